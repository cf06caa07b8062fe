//! `GET /v1/history/{identifier}`: its versions, newest first, a page at a time.

use std::sync::Arc;

use http::StatusCode;

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation};
use crate::codec::answers;
use crate::codec::cursor;
use crate::metrics::Stage;
use crate::model::permitted::Action;
use crate::services::ServiceError;
use crate::services::history::{History, Place};

const ROUTE: &str = "/v1/history/";
pub(in crate::codec) const MOST_VERSIONS: usize = 1_000;
pub(in crate::codec) const USUAL_VERSIONS: usize = 50;

pub(super) async fn versions(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["limit", "cursor"])?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let limit = query.limit(MOST_VERSIONS)?.unwrap_or(USUAL_VERSIONS);
    let question = History { identifier, after, limit, most_bytes: desk.limits.history_bytes };
    let asked = call.permit(&pass, question)?;
    let page = desk.aside(move |services| services.history(&asked)).await;
    call.laps.end(Stage::Service);
    let keep = if pass.is_anonymous() { Keep::Ask } else { Keep::Never };
    let response = reply::json(StatusCode::OK, keep, answers::history(&page?));
    call.laps.end(Stage::Encode);
    Ok(response)
}

/// That it reads does not make it ours: the service looks whether the version is there.
pub(in crate::codec) fn place(text: &str) -> Result<Place, Failure> {
    Ok(cursor::version(text).ok_or(ServiceError::BadCursor)?)
}
