//! `GET /v1/history/{identifier}`: its versions, newest first, a page at a time. `GET /v1/diff/{identifier}`: what changed
//! between two of them.

use std::sync::Arc;

use http::StatusCode;

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation, resolve};
use crate::codec::answers;
use crate::codec::cursor;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::compare::Compare;
use crate::services::history::{History, Place};

const ROUTE: &str = "/v1/history/";
const DIFF_ROUTE: &str = "/v1/diff/";
pub(in crate::codec) const MOST_VERSIONS: usize = 1_000;
pub(in crate::codec) const USUAL_VERSIONS: usize = 50;

pub(super) async fn versions(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["limit", "cursor", "diff"])?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let limit = query.limit(MOST_VERSIONS)?.unwrap_or(USUAL_VERSIONS);
    let changes = query.flag("diff")?;
    let question = History { identifier, after, limit, changes, most_bytes: desk.limits.history_bytes };
    let asked = call.permit(&pass, question)?;
    let page = desk.aside(move |services| services.history(&asked)).await;
    let page = desk.services.noted(page?).await;
    call.laps.end(Step::Service);
    let keep = if pass.is_anonymous() { Keep::Ask } else { Keep::Never };
    let response = reply::json(StatusCode::OK, keep, answers::history(&page?));
    call.laps.end(Step::Encode);
    Ok(response)
}

pub(super) async fn diff(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(DIFF_ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["from", "to"])?;
    let from = query
        .one("from")?
        .ok_or_else(|| Failure::query("from", "须给出版本号或时间", "a version number or a time is needed"))?;
    let from = resolve::moment("from", &from)?;
    let to = query.one("to")?.map(|text| resolve::moment("to", &text)).transpose()?;
    let asked = call.permit(&pass, Compare { identifier, from, to, most_bytes: desk.limits.history_bytes })?;
    let compared = desk.aside(move |services| services.compare(&asked)).await;
    let compared = desk.services.noted(compared?).await;
    call.laps.end(Step::Service);
    let keep = if pass.is_anonymous() { Keep::Ask } else { Keep::Never };
    let response = reply::json(StatusCode::OK, keep, answers::compared(&compared?));
    call.laps.end(Step::Encode);
    Ok(response)
}

/// That it reads does not make it ours: the service looks whether the version is there.
pub(in crate::codec) fn place(text: &str) -> Result<Place, Failure> {
    Ok(cursor::version(text).ok_or(ServiceError::BadCursor)?)
}
