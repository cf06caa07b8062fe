//! `/v1/sessions`: the holder of a private key signs in; who asks; signing out.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::Value as Json;

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, negotiation};
use crate::codec::key_answers;
use crate::codec::problem::Code;
use crate::guard::{Credentials, Pass};
use crate::model::field::{FieldError, pointer_step};
use crate::model::permitted::Action;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::sessions::SessionView;

/// The most bytes of an assertion's document.
pub(super) const BODY_BYTES: u64 = 8 * 1024;
const CURRENT: &str = "/v1/sessions/current";

/// A nonce for whoever asks: nothing is kept of it.
pub(super) async fn challenge(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[JSON])?;
    call.laps.end(Step::Decode);
    let challenge = desk.services.challenge(Timestamp::now());
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, key_answers::challenge(&challenge?)))
}

/// `{"assertion": "<JWS>"}`
pub(super) async fn open(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.may_sign()?;
    Query::of(&call.uri, &[])?;
    let (_, json) = body::document(call.body, &call.headers, &[JSON], &desk.limits).await?;
    let assertion = assertion(&json)?;
    call.laps.end(Step::Decode);
    let begun = desk.services.open_session(assertion, Timestamp::now()).await;
    call.laps.end(Step::Service);
    let mut response = reply::json(StatusCode::CREATED, Keep::Never, key_answers::new_session(&begun?));
    reply::add_location(&mut response, CURRENT.to_owned());
    Ok(response)
}

fn assertion(json: &Json) -> Result<&str, Failure> {
    let wrong = |pointer: String, code, zh, en| {
        Failure::from(ServiceError::Fields(vec![FieldError { pointer, code, detail: Text::new(zh, en) }]))
    };
    let Some(members) = json.as_object() else {
        return Err(wrong(String::new(), "wrong_type", "应为对象", "must be an object"));
    };
    if let Some(name) = members.keys().find(|name| *name != "assertion") {
        let pointer = format!("/{}", pointer_step(name));
        return Err(wrong(pointer, "unknown_field", "没有这个成员，只有 assertion", "no such member, only assertion"));
    }
    let Some(assertion) = members.get("assertion") else {
        return Err(wrong("/assertion".to_owned(), "required", "缺少此项", "this member is required"));
    };
    assertion.as_str().ok_or_else(|| {
        wrong("/assertion".to_owned(), "wrong_type", "应为紧凑 JWS 文本", "must be the text of a compact JWS")
    })
}

/// Who asks, for any credential that opens something.
pub(super) async fn current(desk: Arc<Desk>, call: Call) -> Reply {
    let (pass, session) = shown(&desk, &call)?;
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[JSON])?;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, key_answers::current(pass.principal(), session.as_ref())))
}

/// Signs out.
pub(super) async fn close(desk: Arc<Desk>, call: Call) -> Reply {
    let (_, session) = shown(&desk, &call)?;
    Query::of(&call.uri, &[])?;
    let session = session.ok_or_else(|| {
        let (zh, en) = (
            "出示的是密钥而非会话令牌；密钥以 DELETE /v1/keys/{id} 撤销",
            "shows a key and no session's token; DELETE /v1/keys/{id} revokes a key",
        );
        Failure::header("Authorization", zh, en)
    })?;
    let closed = desk.services.close_session(&session).await;
    call.laps.end(Step::Service);
    closed?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// Who asks, and the session that he does it by. Every role may ask this, nobody without a credential.
fn shown(desk: &Desk, call: &Call) -> Result<(Pass, Option<SessionView>), Failure> {
    let pass = call.admit(desk, Action::Read)?;
    if pass.is_anonymous() {
        return Err(Code::MissingCredentials.into());
    }
    let session = match &call.credentials {
        Credentials::Bearer(token) => desk.services.session(token.secret(), Timestamp::now()),
        _ => None,
    };
    Ok((pass, session))
}
