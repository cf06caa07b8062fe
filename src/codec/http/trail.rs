//! `GET /v1/audit`: who did what on this node, for auditors and administrators: pages to search, downloads to keep.
//!
//! A download goes on as it is read, a step at a time and away from the threads that answer; nothing is held but the step that
//! is being sent. It ends where the newest head did when it began.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, StatusCode};

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, NDJSON, Reply};
use super::{Desk, negotiation};
use crate::codec::table::CSV;
use crate::codec::{cursor, trail_answers};
use crate::model::permitted::{Action, Permitted};
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::trail::{EventName, Order, Place, Trail, Wanted};
use crate::store::trees::Tree;

const PARAMETERS: [&str; 9] = ["principal", "event", "subject", "since", "until", "tree", "order", "limit", "cursor"];
/// Of a page.
pub(super) const MOST_EVENTS: usize = 1_000;
pub(super) const USUAL_EVENTS: usize = 100;

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    // No credential would open this at a mirror.
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::Audit)?;
    let query = Query::of(&call.uri, &PARAMETERS)?;
    let form = negotiation::best(&call.headers, &[JSON, NDJSON, CSV])?;
    let (limit, from) = (query.limit(MOST_EVENTS)?, query.one("cursor")?.map(|text| place(&text)).transpose()?);
    let order = match (order(&query)?, from) {
        (Some(order), Some(from)) if order != from.order => {
            return Err(Failure::query(
                "cursor",
                "属于另一次序的列表：请与给出它的那次查询用同样的 order",
                "is of the other order: ask with the order of the page that gave it",
            ));
        }
        (order, from) => order.or(from.map(|from| from.order)).unwrap_or(Order::Newest),
    };
    let given = [("limit", limit.is_some()), ("cursor", from.is_some())];
    if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given && form != JSON) {
        return Err(of_pages_only(name));
    }
    let asked = call.permit(&pass, wanted(&query)?)?;
    let trail = desk.services.trail(&asked, order, from)?;
    if form == JSON {
        let limit = limit.unwrap_or(USUAL_EVENTS);
        let page = desk.aside(move |services| services.trail_page(&asked, trail, limit)).await;
        call.laps.end(Step::Service);
        return Ok(reply::json(StatusCode::OK, Keep::Never, trail_answers::page(&page?)));
    }
    call.laps.end(Step::Service);
    Ok(Download { desk, asked, trail, is_table: form == CSV, is_begun: false }.reply())
}

/// The filter in the query.
fn wanted(query: &Query<'_>) -> Result<Wanted, Failure> {
    let tree = match query.one("tree")?.as_deref() {
        None => None,
        Some("audit") => Some(Tree::Audit),
        Some("registry") => Some(Tree::Registry),
        Some(_) => return Err(Failure::query("tree", "应为 audit 或 registry", "must be audit or registry")),
    };
    let event = query.one("event")?.map(|text| {
        EventName::parse(&text).ok_or_else(|| {
            Failure::query(
                "event",
                "应为事件名，如 key.created，或以 .* 结尾的一类，如 key.*",
                "must be the name of an event, such as key.created, or of a family, such as key.*",
            )
        })
    });
    let (since, until) = (time(query, "since")?, time(query, "until")?);
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::query("until", "应晚于 since", "must be later than since"));
    }
    let (principal, subject) = (text(query, "principal")?, text(query, "subject")?);
    Ok(Wanted { principal, event: event.transpose()?, subject, since, until, tree })
}

fn text(query: &Query<'_>, name: &str) -> Result<Option<String>, Failure> {
    let text = query.one(name)?;
    if text.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::query(name, "为空；不限则不要给出", "is empty; leave it out for any"));
    }
    Ok(text)
}

fn time(query: &Query<'_>, name: &str) -> Result<Option<Timestamp>, Failure> {
    let wrong = |_| {
        Failure::query(
            name,
            "应为 RFC 3339 时间，如 2026-11-29T08:00:00Z；时区的加号写作 %2B",
            "must be an RFC 3339 time such as 2026-11-29T08:00:00Z; the plus of an offset is written %2B",
        )
    };
    query.one(name)?.map(|text| Timestamp::parse(&text).map_err(wrong)).transpose()
}

fn order(query: &Query<'_>) -> Result<Option<Order>, Failure> {
    match query.one("order")?.as_deref() {
        None => Ok(None),
        Some("newest") => Ok(Some(Order::Newest)),
        Some("oldest") => Ok(Some(Order::Oldest)),
        Some(_) => Err(Failure::query("order", "应为 newest 或 oldest", "must be newest or oldest")),
    }
}

/// A download that went on from a page, or ended early, would pass for all.
fn of_pages_only(name: &str) -> Failure {
    Failure::query(
        name,
        "只与 application/json 同用；下载总是全部，可用 since、until 缩小",
        "goes with application/json only; a download is all that matches: narrow it by since and until",
    )
}

fn place(text: &str) -> Result<Place, Failure> {
    cursor::trail(text).ok_or_else(|| ServiceError::BadCursor.into())
}

/// A download on its way.
struct Download {
    desk: Arc<Desk>,
    asked: Permitted<Wanted>,
    trail: Trail,
    is_table: bool,
    is_begun: bool,
}

impl Download {
    fn reply(self) -> http::Response<Body> {
        let (media_type, name) = if self.is_table {
            ("text/csv; charset=utf-8; header=present", "attachment; filename=\"audit.csv\"")
        } else {
            (NDJSON, "attachment; filename=\"audit.ndjson\"")
        };
        let pieces = stream::unfold(self, |mut download| async move {
            let piece = download.next().await.transpose()?;
            Some((piece, download))
        });
        let mut response = reply::of_type(media_type, StatusCode::OK, Keep::Never, Body::from_stream(pieces));
        response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
        response
    }

    /// What is sent next; none at the end. An error in the middle ends the connection, so that a part cannot pass for the whole.
    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let mut out = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) && self.is_table {
            trail_answers::write_header(&mut out);
        }
        while out.is_empty() && !self.trail.is_over(self.asked.request()) {
            let (asked, mut trail, is_table) = (self.asked.clone(), self.trail.clone(), self.is_table);
            let read = self.desk.aside(move |services| {
                let events = services.trail_step(&asked, &mut trail)?;
                let write = if is_table { trail_answers::write_row } else { trail_answers::write_line };
                let mut out = Vec::new();
                events.iter().for_each(|told| write(told, &mut out));
                Ok((out, trail))
            });
            (out, self.trail) = read.await.map_err(|error| broken_off(&error))?;
        }
        Ok(Some(out).filter(|out| !out.is_empty()).map(Bytes::from))
    }
}

fn broken_off(error: &ServiceError) -> io::Error {
    tracing::error!(cause = error.text().en, "a leaf could not be read for who downloads the audit trail");
    io::Error::other("a leaf cannot be read")
}
