//! `GET /v1/imports/{id}/events`: how a job is doing, as server-sent events (WHATWG HTML, section 9.2).
//!
//! Each event is the whole job as `GET /v1/imports/{id}` shows it, so whoever has missed some has missed nothing. `progress`
//! while it runs, at most four a second and only where something has changed; `done` or `failed` once, at the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use tokio::time::Instant;

use super::call::Call;
use super::listening::{EVENTS, HEARTBEAT, LONGEST, Place, RETRY, last_event_id};
use super::query::Query;
use super::reply::{self, Keep, Reply};
use super::{Desk, Readiness, negotiation};
use crate::codec::answers;
use crate::model::permitted::{Action, Permitted};
use crate::model::text::Language;
use crate::observe::laps::Step;
use crate::services::import::{JobState, JobView, ReadJob};

const ROUTE: &str = "/v1/imports/";
/// Between two looks at the job.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let text = call.text_after(ROUTE)?;
    let id = text.strip_suffix("/events").unwrap_or(&text).to_owned();
    negotiation::best(&call.headers, &[EVENTS])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadJob { id })?;
    let view = desk.services.import(&asked)?;
    let last = last_event_id(&call.headers);
    call.laps.end(Step::Service);
    if view.state != JobState::Running && last.as_deref() == Some(event_id(&view).as_str()) {
        // The end was heard: 204 tells an EventSource not to come back.
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    let place = Place::take(&desk.services.imports.listeners)?;
    let listener = Listener {
        asked,
        language: call.language,
        last,
        spoke: Instant::now(),
        until: Instant::now() + LONGEST,
        is_first: true,
        is_over: false,
        _place: place,
        desk,
    };
    let pieces = stream::unfold(listener, |mut listener| async move {
        let piece = listener.next().await?;
        Some((Ok::<_, Infallible>(piece), listener))
    });
    Ok(reply::of_type(EVENTS, StatusCode::OK, Keep::Never, Body::from_stream(pieces)))
}

struct Listener {
    desk: Arc<Desk>,
    asked: Permitted<ReadJob>,
    language: Language,
    /// The event that was heard last.
    last: Option<String>,
    spoke: Instant,
    until: Instant,
    is_first: bool,
    is_over: bool,
    _place: Place,
}

impl Listener {
    /// What is sent next; none at the end of the answer.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_first) {
            let event = self.event().unwrap_or_default();
            return Some(format!("{RETRY}{event}").into());
        }
        while !self.is_over {
            tokio::time::sleep(LOOK_INTERVAL).await;
            if let Some(event) = self.event() {
                self.spoke = Instant::now();
                return Some(event.into());
            }
            // A node that stops waits for nobody who only listens.
            self.is_over |= (self.desk.readiness)() == Readiness::Stopping || Instant::now() >= self.until;
            if !self.is_over && self.spoke.elapsed() >= HEARTBEAT {
                self.spoke = Instant::now();
                return Some(Bytes::from_static(b": alive\n\n"));
            }
        }
        None
    }

    /// How the job is doing, unless that was said already.
    fn event(&mut self) -> Option<String> {
        let Ok(view) = self.desk.services.import(&self.asked) else {
            // Removed while somebody listened.
            self.is_over = true;
            return None;
        };
        let name = match view.state {
            JobState::Running => "progress",
            JobState::Done => "done",
            JobState::Failed => "failed",
        };
        self.is_over |= view.state != JobState::Running;
        let id = event_id(&view);
        if self.last.as_deref() == Some(id.as_str()) {
            return None;
        }
        let data = answers::job(&view, self.language);
        let event = format!("event: {name}\nid: {id}\ndata: {}\n\n", String::from_utf8_lossy(&data));
        self.last = Some(id);
        Some(event)
    }
}

/// What is different whenever the job is.
fn event_id(view: &JobView) -> String {
    let rows = view.rows;
    let state = match view.state {
        JobState::Running => 'r',
        JobState::Done => 'd',
        JobState::Failed => 'f',
    };
    format!(
        "{state}.{}.{}.{}.{}.{}.{}",
        rows.total, rows.registered, rows.updated, rows.skipped, rows.failed, view.bytes_done
    )
}
