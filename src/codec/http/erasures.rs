//! `POST /v1/erasures`: what a record ever said is blanked, for good.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value as Json;

use super::call::Call;
use super::filings::{members, wrong};
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body};
use crate::codec::answers;
use crate::model::erasure::Ground;
use crate::model::field::FieldError;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::erase::Erase;

pub(super) async fn order(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Administer)?;
    Query::of(&call.uri, &[])?;
    let laps = Arc::clone(&call.laps);
    let headers = call.headers;
    let (_, json) = body::document(call.body, &headers, &[JSON], &desk.limits).await?;
    let request = wanted(&json).map_err(|error| ServiceError::Fields(vec![error]))?;
    laps.end(Step::Decode);
    let erased = desk.services.erase(pass.permit(request)?).await;
    laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, answers::erased(&erased?)))
}

/// `{"identifier", "version", "ground"}`, all of them.
fn wanted(json: &Json) -> Result<Erase, FieldError> {
    members(Some(json), &["identifier", "version", "ground"])?;
    let missing = |name: &str| wrong(format!("/{name}"), "required", "缺少此项", "this member is required");
    let member = |name: &str| json.get(name).ok_or_else(|| missing(name));
    let identifier = member("identifier")?
        .as_str()
        .ok_or_else(|| wrong("/identifier", "wrong_type", "应为标识文本", "must be an identifier as text"))?;
    let version = member("version")?.as_u64().filter(|version| *version > 0).ok_or_else(|| {
        wrong("/version", "wrong_value", "应为现行版本号", "must be the number of the version that stands")
    })?;
    let word = member("ground")?.as_str().unwrap_or_default();
    let ground = Ground::ALL.into_iter().find(|ground| ground.as_str() == word).ok_or_else(|| {
        let words = Ground::ALL.map(Ground::as_str).join(", ");
        wrong("/ground", "wrong_value", &format!("应为 {words} 之一"), &format!("must be one of {words}"))
    })?;
    Ok(Erase { identifier: identifier.to_owned(), version, ground })
}
