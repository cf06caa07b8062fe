//! `GET /v1/resolve/{identifier}`: one name, plain or with questions.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{IF_NONE_MATCH, RETRY_AFTER, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::Desk;
use super::call::Call;
use super::failure::Failure;
use super::preconditions::is_known;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::resolution::{self, Asked};
use super::{batch, history, negotiation};
use crate::codec::log_answers;
use crate::codec::resolution::encode;
use crate::guard::Pass;
use crate::model::permitted::Action;
use crate::model::time::Timestamp;
use crate::observe::laps::{Laps, Step};
use crate::services::history::Place;
use crate::services::resolve::{At, Resolution, Resolve};

pub(super) const ROUTE: &str = "/v1/resolve/";
/// As the router knows it.
pub(super) const PATTERN: &str = "/v1/resolve/{*identifier}";
const PARAMETERS: [&str; 7] = ["type", "index", "at", "cursor", "entry", "proof", "share"];
/// How long an answer waits for the head that covers it: a head comes within a second of a change.
const PROOF_PATIENCE: Duration = Duration::from_secs(1);
/// More than any record has values.
pub(in crate::codec) const MAX_FILTERS: usize = 1_000;

pub(super) async fn one(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_by_link(&desk, Action::Read)?;
    let text = call.text_after(ROUTE)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &PARAMETERS)?;
    query.one("share")?;
    if call.uri.query().unwrap_or_default().is_empty() && pass.is_anonymous() {
        return plain(&desk, &call, &text);
    }
    if query.has_no_other_than("share") {
        let question = Resolve { identifier: text.into_owned(), ..Resolve::default() };
        let asked = call.permit(&pass, question)?;
        let answer = desk.services.noted(desk.services.resolve_viewed(&asked)?).await;
        call.laps.end(Step::Service);
        let answer = answer?;
        return Ok(told(&call.headers, answer.etag, Keep::Never, || Body::from(answer.body)));
    }
    let question = question(text.into_owned(), &query, desk.limits.history_bytes)?;
    let asked = call.permit(&pass, question)?;
    let resolution = if asked.request().at.is_some() {
        desk.aside(move |services| services.resolve(&asked)).await
    } else {
        desk.services.resolve(&asked)
    };
    let resolution = desk.services.noted(resolution?).await;
    call.laps.end(Step::Service);
    let resolution = resolution?;
    if query.flag("proof")? {
        return proven(&desk, &call.laps, &resolution).await;
    }
    let etag = Bytes::from(resolution.etag());
    let response = told(&call.headers, etag, keep(&desk, &pass), || Body::from(encode(&resolution)));
    call.laps.end(Step::Encode);
    Ok(response)
}

/// The body, or that the client has it already.
fn told(headers: &HeaderMap, etag: Bytes, keep: Keep, body: impl FnOnce() -> Body) -> Response<Body> {
    let known = headers.get(IF_NONE_MATCH).is_some_and(|header| is_known(header, &etag));
    let mut response = if known {
        let mut response = reply::json(StatusCode::NOT_MODIFIED, keep, Vec::new());
        response.headers_mut().remove(http::header::CONTENT_TYPE);
        response
    } else {
        reply::of_type(JSON, StatusCode::OK, keep, body())
    };
    reply::add_etag(&mut response, etag);
    // Who shows a credential may be answered otherwise.
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept, authorization, signature-input"));
    response
}

/// With the proof that the log has this version, under the newest head, or the word that none covers it yet.
async fn proven(desk: &Arc<Desk>, laps: &Laps, resolution: &Resolution) -> Reply {
    let index = resolution.index;
    let proof = match desk.services.log.covering(index, PROOF_PATIENCE).await {
        // Two dozen reads of the tree's file: not on a thread that others' answers wait for.
        Some(published) => Some(desk.aside(move |services| services.proof_under(&published, index)).await?),
        None => None,
    };
    let mut body = encode(resolution);
    body.pop();
    body.extend_from_slice(b",\"proof\":");
    body.extend_from_slice(&log_answers::proof_member(proof.as_ref()));
    body.push(b'}');
    // It is proven under a head that is soon not the newest.
    let mut response = reply::json(StatusCode::OK, Keep::Never, body);
    if proof.is_none() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    laps.end(Step::Encode);
    Ok(response)
}

/// The public answer, by the way that fills the cache.
fn plain(desk: &Desk, call: &Call, text: &str) -> Reply {
    call.laps.end(Step::Decode);
    let answer = batch::look(desk, text, Timestamp::now());
    call.laps.end(Step::Service);
    let asked = Asked { method: &call.method, path: call.uri.path(), headers: &call.headers, text };
    let response = resolution::response(answer?, &asked, || Arc::clone(&call.request_id));
    call.laps.end(Step::Encode);
    Ok(response.map(Body::from))
}

/// Only what strangers may keep is kept by caches.
pub(super) fn keep(desk: &Desk, pass: &Pass) -> Keep {
    if pass.is_anonymous() { Keep::Public(desk.services.settings.max_age_seconds) } else { Keep::Never }
}

fn question(identifier: String, query: &Query<'_>, most_bytes: u64) -> Result<Resolve, Failure> {
    let types = query.many("type")?;
    let indexes = query.many("index")?;
    if types.len() + indexes.len() > MAX_FILTERS {
        return Err(Failure::query("type", "筛选条件过多", "too many types and indexes"));
    }
    let indexes = indexes
        .iter()
        .map(|text| match text.parse() {
            Ok(index @ 1..) => Ok(index),
            _ => Err(Failure::query("index", "应为正整数", "must be a whole number from 1")),
        })
        .collect::<Result<_, _>>()?;
    let at = query.one("at")?.map(|text| moment("at", &text)).transpose()?;
    let below = below(at, query.one("cursor")?.as_deref())?;
    Ok(Resolve {
        identifier,
        types,
        indexes,
        at,
        below,
        most_bytes,
        entry: query.flag("entry")? || query.flag("proof")?,
    })
}

/// The place in the history that a cursor leads to, where it can help to find the version that is asked for.
pub(in crate::codec) fn below(at: Option<At>, cursor: Option<&str>) -> Result<Option<Place>, Failure> {
    let below = cursor.map(history::place).transpose()?;
    // Of a time a cursor could name a place below the version that stood then, and another would pass for it.
    let is_above = |place: Place| matches!(at, Some(At::Version(version)) if version < place.version);
    if below.is_some_and(|place| !is_above(place)) {
        return Err(Failure::query(
            "cursor",
            "只与 at=版本号 同用，且须在该版本之上",
            "goes with at= and a version number only, and must lead to what is above that version",
        ));
    }
    Ok(below)
}

/// A version number, or a time. A `+` of a time zone that was not encoded arrives as a space.
pub(super) fn moment(parameter: &str, text: &str) -> Result<At, Failure> {
    if let Ok(version) = text.parse::<u64>() {
        return Ok(At::Version(version));
    }
    let mut time = text.to_owned();
    if let Some(place) = time.rfind(' ').filter(|place| *place > 10) {
        time.replace_range(place..=place, "+");
    }
    Timestamp::parse(&time).map(At::Time).map_err(|_| {
        Failure::query(
            parameter,
            "应为版本号或 RFC 3339 时间，如 2026-11-23T15:24:37Z",
            "must be a version number or an RFC 3339 time such as 2026-11-23T15:24:37Z",
        )
    })
}

/// For routes that answer a single record, whatever was asked.
pub(super) fn of_record(etag: bytes::Bytes, keep: Keep, body: Vec<u8>) -> Response<Body> {
    let mut response = reply::json(StatusCode::OK, keep, body);
    reply::add_etag(&mut response, etag);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_version_or_a_time_in_any_zone() {
        assert_eq!(moment("at", "3").ok(), Some(At::Version(3)));
        let utc = At::Time(Timestamp::parse("2026-11-23T15:24:37Z").unwrap());
        for text in ["2026-11-23T15:24:37Z", "2026-11-23T23:24:37+08:00", "2026-11-23T23:24:37 08:00"] {
            assert_eq!(moment("at", text).ok(), Some(utc), "{text}");
        }
        for text in ["", "-1", "yesterday", "2026-11-23"] {
            assert!(moment("at", text).is_err(), "{text}");
        }
    }
}
