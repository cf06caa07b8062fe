//! `/v1/backup`: the log for `mingpai backup`, to administrators only. Where it ends, its segments' bytes as they lie there, and
//! the word that a backup was made.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use serde_json::Value as Json;

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, negotiation};
use crate::codec::answers;
use crate::codec::problem::{Code, Problem};
use crate::model::field::FieldError;
use crate::model::permitted::{Action, Permitted};
use crate::model::text::Text;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::backup::{NoteBackup, ReadLogEnd, ReadSegment};

const ROUTE: &str = "/v1/backup/segments/";
const BYTES: &str = "application/octet-stream";

/// Where the log ends.
pub(super) async fn end(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[JSON])?;
    let asked = call.permit(&pass, ReadLogEnd)?;
    let tail = desk.services.log_end(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, answers::log_end(&tail)))
}

/// Bytes of one segment.
pub(super) async fn segment(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    let text = call.text_after(ROUTE)?;
    let unknown = || Problem::new(Code::SegmentUnknown).with_detail(format!("段 {text}"), format!("segment {text}"));
    let number = text.parse().map_err(|_| unknown())?;
    let query = Query::of(&call.uri, &["from", "until"])?;
    let (from, until) = (offset(&query, "from")?.unwrap_or(0), offset(&query, "until")?);
    negotiation::best(&call.headers, &[BYTES])?;
    let asked = call.permit(&pass, ReadSegment { number, from, until })?;
    let (from, until) = desk.services.segment_range(&asked)?;
    call.laps.end(Step::Service);
    let reading = Reading { desk, asked, from, until };
    let pieces = stream::unfold(reading, |mut reading| async move {
        let piece = reading.piece().await.transpose()?;
        Some((piece, reading))
    });
    let mut response = reply::of_type(BYTES, StatusCode::OK, Keep::Never, Body::from_stream(pieces));
    // Said before, so that an answer that breaks off is not taken for a short one.
    response.headers_mut().insert(CONTENT_LENGTH, (until - from).into());
    Ok(response)
}

fn offset(query: &Query<'_>, name: &str) -> Result<Option<u64>, Failure> {
    let wrong = |_| Failure::query(name, "应为字节数", "must be a number of bytes");
    query.one(name)?.map(|text| text.parse().map_err(wrong)).transpose()
}

struct Reading {
    desk: Arc<Desk>,
    asked: Permitted<ReadSegment>,
    from: u64,
    until: u64,
}

impl Reading {
    async fn piece(&mut self) -> std::io::Result<Option<Bytes>> {
        if self.from >= self.until {
            return Ok(None);
        }
        let (asked, from, until) = (self.asked.clone(), self.from, self.until);
        let piece = self.desk.aside(move |services| services.segment_piece(&asked, from, until)).await;
        let piece = piece.map_err(|error| {
            tracing::error!(cause = error.text().en, "a segment could not be read for a backup");
            std::io::Error::other("the segment cannot be read")
        })?;
        self.from += piece.len() as u64;
        Ok(Some(piece.into()))
    }
}

/// A backup was made.
pub(super) async fn note(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    Query::of(&call.uri, &[])?;
    let (_, json) = body::document(call.body, &call.headers, &[JSON], &desk.limits).await?;
    call.laps.end(Step::Decode);
    let asked = pass.permit(noted(&json)?)?;
    let last = desk.aside(move |services| services.note_backup(&asked)).await;
    call.laps.end(Step::Service);
    let last = last?;
    desk.metrics.backup.set(last.time.as_seconds(), last.sequence, last.bytes);
    Ok(reply::json(StatusCode::OK, Keep::Never, answers::last_backup(&last)))
}

/// `{"sequence","bytes"}`
fn noted(json: &Json) -> Result<NoteBackup, Failure> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, code, zh: &str, en: &str| {
        errors.push(FieldError { pointer, code, detail: Text::new(zh, en) });
    };
    let mut noted = NoteBackup { sequence: 0, bytes: 0 };
    match json.as_object() {
        None => wrong(String::new(), "wrong_type", "应为对象", "must be an object"),
        Some(members) => {
            for name in members.keys().filter(|name| !["sequence", "bytes"].contains(&name.as_str())) {
                let name = name.replace('~', "~0").replace('/', "~1");
                wrong(format!("/{name}"), "unknown_field", "没有这个成员", "no such member");
            }
            for (name, place) in [("sequence", &mut noted.sequence), ("bytes", &mut noted.bytes)] {
                match members.get(name).and_then(Json::as_u64) {
                    Some(number) => *place = number,
                    None => wrong(format!("/{name}"), "wrong_type", "应为非负整数", "must be a whole number"),
                }
            }
        }
    }
    if errors.is_empty() { Ok(noted) } else { Err(ServiceError::Fields(errors).into()) }
}
