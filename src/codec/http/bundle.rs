//! `GET /v1/bundle/{identifier}`: all that is needed to check the newest version offline. `GET /v1/latest/{identifier}`: the
//! node's signed word for which version is the newest, or that there is none.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use http::StatusCode;

use super::call::Call;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation};
use crate::codec::log_answers;
use crate::model::permitted::{Action, Permitted};
use crate::observe::laps::Step;
use crate::services::bundle::{AskMoment, Moment};
use crate::services::log::Published;
use crate::services::{ServiceError, Services};

const BUNDLES: &str = "/v1/bundle/";
const WORDS: &str = "/v1/latest/";
/// The packed form: the letters of a QR code.
pub(in crate::codec) const PACKED: &str = "application/vnd.mingpai.bundle";
/// How long it is waited for a head that covers the newest version.
const PATIENCE: Duration = Duration::from_secs(2);

/// The bundle.
pub(super) async fn one(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(BUNDLES)?.into_owned();
    Query::of(&call.uri, &[])?;
    let form = negotiation::best(&call.headers, &[JSON, PACKED])?;
    let asked = call.permit(&pass, AskMoment { identifier })?;
    let bundle = under_a_head(&desk, &asked, Services::bundle).await;
    call.laps.end(Step::Service);
    let bundle = desk.services.noted(bundle?).await?;
    // It says what was the newest now: nobody else is to be told so later.
    if form == JSON {
        return Ok(reply::json(StatusCode::OK, Keep::Never, bundle.encode().into_bytes()));
    }
    let packed = bundle.pack().ok_or_else(|| ServiceError::Internal("a bundle does not pack".to_owned()))?;
    Ok(reply::of_type(PACKED, StatusCode::OK, Keep::Never, Body::from(packed)))
}

/// The word.
pub(super) async fn latest(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let identifier = call.text_after(WORDS)?.into_owned();
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[JSON])?;
    let asked = call.permit(&pass, AskMoment { identifier })?;
    let word = under_a_head(&desk, &asked, |services, asked, under| services.word(asked, under)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, log_answers::word(&word?)))
}

/// Says it under the newest head, and where that is older than the newest version under the next.
async fn under_a_head<T: Send + 'static>(
    desk: &Arc<Desk>,
    asked: &Permitted<AskMoment>,
    say: impl Fn(&Services, &Permitted<AskMoment>, &Arc<Published>) -> Result<Moment<T>, ServiceError>
    + Copy
    + Send
    + 'static,
) -> Result<T, ServiceError> {
    let end = Instant::now() + PATIENCE;
    let mut head = desk.services.log.covering(0, PATIENCE).await;
    while let Some(under) = head {
        let asked = asked.clone();
        match desk.aside(move |services| say(services, &asked, &under)).await? {
            Moment::Said(said) => return Ok(said),
            Moment::NotCovered(index) => {
                head = desk.services.log.covering(index, end.saturating_duration_since(Instant::now())).await;
            }
        }
    }
    Err(ServiceError::HeadPending)
}
