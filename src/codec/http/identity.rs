//! `GET /v1/identity/{name}`: who stands behind a prefix, or behind the prefix of an identifier.

use std::sync::Arc;

use axum::body::Body;
use http::StatusCode;

use super::call::Call;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation};
use crate::codec::identity_answers::{self, RDAP};
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::identity::AskIdentity;

const ROUTE: &str = "/v1/identity/";
/// A new registrant must be found soon.
const SECONDS: u32 = 60;

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let name = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    let form = if negotiation::best(&call.headers, &[JSON, RDAP])? == JSON { JSON } else { RDAP };
    let asked = call.permit(&pass, AskIdentity { name })?;
    let identity = desk.services.identity(&asked);
    call.laps.end(Step::Service);
    let body = Body::from(identity_answers::identity(&identity?));
    Ok(reply::of_type(form, StatusCode::OK, Keep::Public(SECONDS), body))
}
