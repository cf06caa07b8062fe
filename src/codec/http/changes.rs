//! `GET /v1/changes`: the registry's leaves with what they hide, in order, for administrators.
//!
//! Lines of JSON up to the newest signed head, then the end: who has the last line goes on with its index and one. As
//! server-sent events it goes on as the log grows; an event's id is its leaf's index, so that `Last-Event-ID` resumes.
//! Between two reads nothing is held but the lines on their way, and no thread.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderName, StatusCode};
use tokio::time::Instant;

use super::call::Call;
use super::failure::Failure;
use super::listening::{EVENTS, HEARTBEAT, LONGEST, Place, RETRY, last_event_id};
use super::query::Query;
use super::reply::{self, Keep, NDJSON, Reply};
use super::{Desk, Readiness, negotiation};
use crate::codec::log_answers;
use crate::model::permitted::{Action, Permitted};
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::changes::{Change, ReadChanges, Reading};

/// Of lines: the index to go on from once all have come.
const NEXT: HeaderName = HeaderName::from_static("mingpai-next");
/// How often a listener looks whether the node stops.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    // No credential would open this at a mirror.
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::Administer)?;
    let query = Query::of(&call.uri, &["from", "limit"])?;
    let form = negotiation::best(&call.headers, &[NDJSON, EVENTS])?;
    let heard = last_event_id(&call.headers).filter(|_| form == EVENTS).and_then(|id| id.parse::<u64>().ok());
    let from = match heard.and_then(|index| index.checked_add(1)) {
        Some(next) => next,
        None => number(&query, "from")?.unwrap_or(0),
    };
    let limit = number(&query, "limit")?.unwrap_or(u64::MAX);
    let asked = call.permit(&pass, ReadChanges { from })?;
    let end = desk.services.changes_end(&asked)?;
    call.laps.end(Step::Service);
    let until = from.saturating_add(limit);
    let stream = Stream { desk, asked, reading: Reading::from(from), until };
    if form == EVENTS {
        return Listener::of(stream).map(Listener::reply);
    }
    let until = until.min(end);
    let lines = stream::unfold(Stream { until, ..stream }, |mut stream| async move {
        let lines = stream.lines().await.transpose()?;
        Some((lines, stream))
    });
    let mut response = reply::of_type(NDJSON, StatusCode::OK, Keep::Never, Body::from_stream(lines));
    response.headers_mut().insert(NEXT, until.into());
    Ok(response)
}

fn number(query: &Query<'_>, name: &str) -> Result<Option<u64>, Failure> {
    let wrong = |_| Failure::query(name, "应为非负整数", "must be a whole number");
    query.one(name)?.map(|text| text.parse().map_err(wrong)).transpose()
}

struct Stream {
    desk: Arc<Desk>,
    asked: Permitted<ReadChanges>,
    reading: Reading,
    /// The index after the last one that is wanted.
    until: u64,
}

impl Stream {
    async fn step(&mut self, until: u64) -> Result<Vec<Change>, ServiceError> {
        let (asked, next) = (self.asked.clone(), self.reading.next);
        let mut reading = std::mem::replace(&mut self.reading, Reading::from(next));
        let read = self.desk.aside(move |services| {
            let changes = services.changes(&asked, &mut reading, until)?;
            Ok((changes, reading))
        });
        let (changes, reading) = read.await?;
        self.reading = reading;
        Ok(changes)
    }

    /// The next lines. An error in the middle ends the connection, so that a part cannot pass for the whole.
    async fn lines(&mut self) -> io::Result<Option<Bytes>> {
        if self.reading.next >= self.until {
            return Ok(None);
        }
        let changes = self.step(self.until).await.map_err(|error| broken_off(&error))?;
        let mut lines = Vec::new();
        for change in &changes {
            log_answers::write_change(change, &mut lines);
            lines.push(b'\n');
        }
        if lines.is_empty() { Err(io::Error::other("the log ends before its head")) } else { Ok(Some(lines.into())) }
    }
}

fn broken_off(error: &ServiceError) -> io::Error {
    tracing::error!(cause = error.text().en, "a leaf of the log could not be read for who follows it");
    io::Error::other("a leaf cannot be read")
}

/// Who listens to the log.
struct Listener {
    stream: Stream,
    spoke: Instant,
    over: Instant,
    is_first: bool,
    _place: Place,
}

impl Listener {
    fn of(stream: Stream) -> Result<Listener, Failure> {
        let place = Place::take(&stream.desk.services.log.listeners)?;
        let now = Instant::now();
        Ok(Listener { stream, spoke: now, over: now + LONGEST, is_first: true, _place: place })
    }

    fn reply(self) -> http::Response<Body> {
        let pieces = stream::unfold(self, |mut listener| async move {
            let piece = listener.next().await.transpose()?;
            Some((piece, listener))
        });
        reply::of_type(EVENTS, StatusCode::OK, Keep::Never, Body::from_stream(pieces))
    }

    /// What is sent next; none at the end of the answer.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if std::mem::take(&mut self.is_first) {
            return Ok(Some(Bytes::from_static(RETRY.as_bytes())));
        }
        loop {
            let desk = Arc::clone(&self.stream.desk);
            // A node that stops waits for nobody who only listens.
            let is_over = (desk.readiness)() == Readiness::Stopping || Instant::now() >= self.over;
            if is_over || self.stream.reading.next >= self.stream.until {
                return Ok(None);
            }
            if desk.services.log.covering(self.stream.reading.next, LOOK_INTERVAL).await.is_some() {
                return self.events().await.map(Some);
            }
            if self.spoke.elapsed() >= HEARTBEAT {
                self.spoke = Instant::now();
                return Ok(Some(Bytes::from_static(b": alive\n\n")));
            }
        }
    }

    async fn events(&mut self) -> io::Result<Bytes> {
        let end = self.stream.desk.services.changes_end(&self.stream.asked).map_err(|error| broken_off(&error))?;
        let until = end.min(self.stream.until);
        let changes = self.stream.step(until).await.map_err(|error| broken_off(&error))?;
        let mut events = Vec::new();
        for change in &changes {
            events.extend_from_slice(format!("event: change\nid: {}\ndata: ", change.index).as_bytes());
            log_answers::write_change(change, &mut events);
            events.extend_from_slice(b"\n\n");
        }
        self.spoke = Instant::now();
        Ok(events.into())
    }
}
