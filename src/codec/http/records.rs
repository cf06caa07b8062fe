//! `/v1/records/{identifier}`: create, read, change, delete; `POST /v1/records`: a suffix of the node's choosing;
//! `/v1/requests/{key}`: what became of a change.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value as Json;

use super::body::{self};
use super::call::Call;
use super::failure::Failure;
use super::preconditions::{self, idempotency, idempotency_key};
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation, resolve};
use crate::codec::answers;
use crate::codec::path;
use crate::codec::problem::{Code, Problem};
use crate::codec::resolution::encode;
use crate::model::draft::{Draft, DraftPatch, PLAIN_DEPTH, PlainDraft};
use crate::model::field::FieldError;
use crate::model::permitted::Action;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::list::ReadRecord;
use crate::services::once::RequestStatus;
use crate::services::register::{Change, Mint, Precondition, Register, Registered};
use crate::services::resolve::Resolution;
use crate::services::share::View;
use crate::store::journal::Effect;

const ROUTE: &str = "/v1/records/";
const REQUESTS: &str = "/v1/requests/";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// The record as it stands, not from the cache; who reaches its prefix sees every value.
pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadRecord { identifier })?;
    let record = desk.services.record(&asked);
    let record = desk.services.noted(record?).await;
    call.laps.end(Step::Service);
    let record = record?;
    let keep = if pass.is_anonymous() { Keep::Ask } else { Keep::Never };
    let etag = reply::etag(record.version);
    let body = encode(&Resolution { record, entry: None, index: 0, suspended: None, view: View::Public });
    let response = resolve::of_record(etag, keep, body);
    call.laps.end(Step::Encode);
    Ok(response)
}

pub(super) async fn put(desk: Arc<Desk>, call: Call) -> Reply {
    change(desk, call, &[JSON], |body, desk, now| {
        let limits = &desk.services.settings.draft_limits;
        if let Some(draft) = plain(body, desk, now) {
            return Ok(Change::Put(draft));
        }
        let json = body::parse(body, desk.limits.json_depth)?;
        Ok(Change::Put(Draft::from_json_within(&json, now, limits).map_err(ServiceError::Fields)?))
    })
    .await
}

/// The draft in a body of the usual form; any other, or one with a fault, is read by way of a tree.
fn plain(body: &[u8], desk: &Desk, now: Timestamp) -> Option<Draft> {
    let is_allowed = desk.limits.json_depth >= PLAIN_DEPTH as u64;
    let plain = if is_allowed { PlainDraft::read(body)? } else { return None };
    Draft::from_plain(plain, now, &desk.services.settings.draft_limits)
}

pub(super) async fn patch(desk: Arc<Desk>, call: Call) -> Reply {
    change(desk, call, &[JSON, MERGE_PATCH], |body, desk, now| {
        let json = body::parse(body, desk.limits.json_depth)?;
        let limits = &desk.services.settings.draft_limits;
        Ok(Change::Patch(DraftPatch::from_json_within(&json, now, limits).map_err(ServiceError::Fields)?))
    })
    .await
}

pub(super) async fn delete(desk: Arc<Desk>, call: Call) -> Reply {
    change(desk, call, &[], |_, _, _| Ok(Change::Delete)).await
}

/// One change of one record. Without `types` no body is read.
async fn change(
    desk: Arc<Desk>,
    mut call: Call,
    types: &[&str],
    read: impl FnOnce(&[u8], &Desk, Timestamp) -> Result<Change, Failure>,
) -> Reply {
    let pass = call.admit_writer(&desk, Action::Register)?;
    let identifier = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    let precondition = preconditions::of_change(&call.headers)?;
    let key = idempotency_key(&call.headers)?;
    let bytes = if types.is_empty() { Bytes::new() } else { document(&desk, &mut call, types).await? };
    let change = read(&bytes, &desk, Timestamp::now())?;
    let creates_only = precondition == Precondition::CreateOnly;
    let request = Register {
        identifier,
        change,
        precondition,
        idempotency: idempotency(key, &call.method, &call.uri, &call.headers, &bytes),
    };
    let asked = call.permit(&pass, request)?;
    let registered = desk.services.register(asked).await;
    call.laps.end(Step::Service);
    let registered = registered.map_err(|error| existing(error, creates_only))?;
    let response = registration(&registered);
    call.laps.end(Step::Encode);
    Ok(response)
}

/// The body of one of these types. Waiting for the client is nobody's time.
async fn document(desk: &Desk, call: &mut Call, types: &[&str]) -> Result<Bytes, Failure> {
    call.laps.end(Step::Decode);
    let body = std::mem::take(&mut call.body);
    body::expect_type(&call.headers, types)?;
    body::refuse_encoding(&call.headers)?;
    let bytes = body::whole(body, &call.headers, desk.limits.body_bytes).await;
    call.laps.skip();
    bytes
}

/// Who wanted to create hears that it exists, rather than that versions differ.
fn existing(error: ServiceError, creates_only: bool) -> Failure {
    match error {
        ServiceError::VersionMismatch { current: Some(_) } if creates_only => {
            Problem::new(Code::AlreadyExists).with_text(error.text()).into()
        }
        other => other.into(),
    }
}

/// Mints a suffix: the body is a registration with the `prefix` to mint under.
pub(super) async fn mint(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Register)?;
    Query::of(&call.uri, &[])?;
    let key = idempotency_key(&call.headers)?;
    let bytes = document(&desk, &mut call, &[JSON]).await?;
    let mut json = body::parse(&bytes, desk.limits.json_depth)?;
    let prefix = json.as_object_mut().and_then(|members| members.remove("prefix"));
    let Some(Json::String(prefix)) = prefix else {
        return Err(ServiceError::Fields(vec![FieldError {
            pointer: "/prefix".to_owned(),
            code: "required",
            detail: Text::new(
                "缺少 prefix：在哪个前缀下分配后缀",
                "prefix is needed: under which prefix a suffix is to be minted",
            ),
        }])
        .into());
    };
    let limits = &desk.services.settings.draft_limits;
    let draft = Draft::from_json_within(&json, Timestamp::now(), limits).map_err(ServiceError::Fields)?;
    let request = Mint { prefix, draft, idempotency: idempotency(key, &call.method, &call.uri, &call.headers, &bytes) };
    let asked = call.permit(&pass, request)?;
    let registered = desk.services.mint(asked).await;
    call.laps.end(Step::Service);
    let response = registration(&registered?);
    call.laps.end(Step::Encode);
    Ok(response)
}

/// What became of the change that was sent with an idempotency key.
pub(super) async fn request(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let key = call.text_after(REQUESTS)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    if !preconditions::is_key(&key) {
        return Err(ServiceError::UnknownRequest.into());
    }
    let asked = call.permit(&pass, RequestStatus { key })?;
    let registered = desk.services.request(&asked);
    call.laps.end(Step::Service);
    let body = answers::registration(&registered?);
    let response = reply::json(StatusCode::OK, Keep::Never, body);
    call.laps.end(Step::Encode);
    Ok(response)
}

/// The answer to a change; the same when it is repeated.
fn registration(registered: &Registered) -> Response<Body> {
    let is_new = registered.effect == Effect::Created;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let mut response = reply::json(status, Keep::Never, answers::registration(registered));
    reply::add_etag(&mut response, reply::etag(registered.version));
    if is_new && let Some(identifier) = &registered.identifier {
        reply::add_location(&mut response, format!("{ROUTE}{}", path::encoded(identifier)));
    }
    response
}
