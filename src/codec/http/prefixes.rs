//! `/v1/prefixes`: how the prefixes of this node stand, and what reviewers decide about them.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::Value as Json;

use super::call::Call;
use super::failure::Failure;
use super::filings::{listed_reasons, members, note, reasons, to_come, wrong};
use super::preconditions::of_change;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::resolve::moment;
use super::{Desk, body, negotiation};
use crate::codec::cursor::{self, Kind};
use crate::codec::prefix_answers;
use crate::model::field::FieldError;
use crate::model::permitted::Action;
use crate::model::prefix::PrefixStatus;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::file::{DecidePrefix, ListPrefixes, PrefixDecision, PrefixView, ReadPrefix};
use crate::services::resolve::At;

const ROUTE: &str = "/v1/prefixes/";
/// Of a page.
pub(super) const MOST_PREFIXES: usize = 1_000;
pub(super) const USUAL_PREFIXES: usize = 100;

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeePrefixes)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["status", "ends_before", "limit", "cursor"])?;
    let status = query.one("status")?.map(|word| status(&word)).transpose()?;
    let ends_before = query.one("ends_before")?.map(|text| end(&text)).transpose()?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let limit = query.limit(MOST_PREFIXES)?.unwrap_or(USUAL_PREFIXES);
    let asked = call.permit(&pass, ListPrefixes { status, ends_before, after, limit })?;
    let page = desk.aside(move |services| services.prefixes(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, prefix_answers::prefixes(&page?)))
}

fn status(word: &str) -> Result<PrefixStatus, Failure> {
    PrefixStatus::of_word(word).ok_or_else(|| {
        let words = PrefixStatus::ALL.map(PrefixStatus::as_str).join(", ");
        Failure::query("status", &format!("应为 {words} 之一"), &format!("must be one of {words}"))
    })
}

fn end(text: &str) -> Result<Timestamp, Failure> {
    match moment("ends_before", text)? {
        At::Time(time) => Ok(time),
        At::Version(_) => Err(Failure::query(
            "ends_before",
            "应为 RFC 3339 时间，如 2026-12-31T16:00:00Z",
            "must be an RFC 3339 time such as 2026-12-31T16:00:00Z",
        )),
    }
}

fn place(text: &str) -> Result<String, Failure> {
    cursor::decode(Kind::Prefixes, text)
        .ok_or_else(|| Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given"))
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeePrefixes)?;
    let prefix = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadPrefix { prefix })?;
    let view = desk.aside(move |services| services.prefix(&asked)).await;
    call.laps.end(Step::Service);
    Ok(shown(&view?))
}

fn shown(view: &PrefixView) -> Response<axum::body::Body> {
    let mut response = reply::json(StatusCode::OK, Keep::Never, prefix_answers::prefix(view));
    reply::add_etag(&mut response, reply::etag(view.steps.len() as u64));
    response
}

pub(super) async fn suspend(desk: Arc<Desk>, call: Call) -> Reply {
    decide(desk, call, "/suspend", suspension).await
}

pub(super) async fn restore(desk: Arc<Desk>, call: Call) -> Reply {
    decide(desk, call, "/restore", |json| {
        members(json, &["note"])?;
        Ok(PrefixDecision::Restore { note: note(json)? })
    })
    .await
}

pub(super) async fn renew(desk: Arc<Desk>, call: Call) -> Reply {
    decide(desk, call, "/renew", |json| {
        members(json, &["valid_until", "note"])?;
        let until = to_come("/valid_until", json.and_then(|json| json.get("valid_until")).unwrap_or(&Json::Null))?;
        Ok(PrefixDecision::Renew { until, note: note(json)? })
    })
    .await
}

pub(super) async fn revoke(desk: Arc<Desk>, call: Call) -> Reply {
    decide(desk, call, "/revoke", |json| Ok(PrefixDecision::Revoke { reasons: reasons(json)? })).await
}

/// `{"reasons": […], "resolves"?}`
fn suspension(json: Option<&Json>) -> Result<PrefixDecision, FieldError> {
    members(json, &["reasons", "resolves"])?;
    let reasons = listed_reasons(json)?;
    let resolves = match json.and_then(|json| json.get("resolves")) {
        None | Some(Json::Null) => true,
        Some(Json::Bool(resolves)) => *resolves,
        Some(_) => return Err(wrong("/resolves", "wrong_type", "应为 true 或 false", "must be true or false")),
    };
    Ok(PrefixDecision::Suspend { resolves, reasons })
}

async fn decide(
    desk: Arc<Desk>,
    call: Call,
    word: &str,
    read: impl FnOnce(Option<&Json>) -> Result<PrefixDecision, FieldError>,
) -> Reply {
    let pass = call.admit_writer(&desk, Action::Review)?;
    let text = call.text_after(ROUTE)?;
    let prefix = text.strip_suffix(word).unwrap_or(&text).to_owned();
    Query::of(&call.uri, &[])?;
    let precondition = of_change(&call.headers)?;
    let laps = Arc::clone(&call.laps);
    let headers = call.headers;
    let json = body::optional_document(call.body, &headers, &desk.limits).await?;
    let decision = read(json.as_ref()).map_err(|error| ServiceError::Fields(vec![error]))?;
    laps.end(Step::Decode);
    let asked = pass.permit(DecidePrefix { prefix, precondition, decision })?;
    let decided = desk.services.decide_prefix(asked).await;
    laps.end(Step::Service);
    Ok(shown(&decided?))
}
