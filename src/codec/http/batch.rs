//! `POST /v1/resolve`: many names, one result each, in the order asked. As one JSON document, or line by line.
//!
//! Results are written as the client takes them, so memory holds one piece of the answer and not the whole.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use serde_json::Value as Json;

use super::body::{self, LINES, Pieces};
use super::call::Call;
use super::failure::Failure;
use super::hot::at_hand;
use super::query::Query;
use super::reply::{self, JSON, Keep, NDJSON, Reply};
use super::{Desk, negotiation};
use crate::codec::lines::{Line, Lines};
use crate::codec::problem::{Code, Problem};
use crate::guard::Pass;
use crate::model::field::{FieldError, pointer_step};
use crate::model::identifier::Identifier;
use crate::model::permitted::Action;
use crate::model::text::{Language, Text};
use crate::model::time::Timestamp;
use crate::observe::laps::{Step, timed};
use crate::services::ServiceError;
use crate::services::resolve::Resolve;
use crate::services::share::Unnoted;
use crate::store::cache::Answer;

/// How much of an answer is written at once.
const PIECE_BYTES: usize = 64 * 1024;
/// What most results come to.
const COMMON_RESULT_BYTES: usize = 700;
/// More than any identifier, quoted and escaped, needs.
const LINE_BYTES: usize = 16 * 1024;

pub(super) async fn many(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    Query::of(&call.uri, &[])?;
    let shown = Some(pass).filter(|pass| !pass.is_anonymous());
    if body::is_lines(&call.headers) {
        return by_line(desk, call, shown);
    }
    negotiation::best(&call.headers, &[JSON])?;
    let language = call.language;
    let types = [JSON, LINES[0]];
    let read = body::document(call.body, &call.headers, &types, &desk.limits).await;
    call.laps.skip();
    let (_, document) = read?;
    let asked = identifiers(document, desk.limits.batch_identifiers)?;
    call.laps.end(Step::Decode);
    let keep = if shown.is_some() { Keep::Never } else { Keep::Ask };
    let teller = Teller { desk, language, request_id: call.request_id, shown, unnoted: None };
    let mut batch = Batch { teller, asked: asked.into_iter(), is_first: true, is_done: false };
    let first = batch.piece().await.transpose()?.unwrap_or_default();
    call.laps.end(Step::Service);
    if batch.is_done {
        return Ok(reply::json(StatusCode::OK, keep, first));
    }
    let pieces = stream::unfold((Some(first), batch), |(first, mut batch)| async move {
        let piece = match first {
            Some(first) => Ok(first),
            None => {
                // Between pieces other requests of this worker have their turn.
                tokio::task::yield_now().await;
                batch.piece().await?
            }
        };
        Some((piece.map(Bytes::from).map_err(unwritten), (None, batch)))
    });
    let body = Body::from_stream(pieces);
    Ok(reply::of_type(JSON, StatusCode::OK, keep, body))
}

/// The names of a batch document.
fn identifiers(document: Json, most: u64) -> Result<Vec<String>, Failure> {
    let wrong = |pointer: &str, zh: &str, en: &str| -> Failure {
        let detail = Text::new(zh, en);
        let error = FieldError { pointer: pointer.to_owned(), code: "wrong_type", detail: detail.clone() };
        Problem::new(Code::FieldsInvalid).with_text(detail).with_errors(vec![error]).into()
    };
    let Json::Object(mut members) = document else {
        return Err(wrong("", "应为对象", "must be an object"));
    };
    let Some(Json::Array(items)) = members.remove("identifiers") else {
        return Err(wrong("/identifiers", "应为标识的数组", "must be an array of identifiers"));
    };
    if let Some(name) = members.keys().next() {
        let pointer = format!("/{}", pointer_step(name));
        return Err(wrong(&pointer, "没有这个成员", "no such member"));
    }
    if items.len() as u64 > most {
        return Err(Problem::new(Code::BatchTooLarge)
            .with_detail(
                format!("共 {} 个标识，上限 {most}", items.len()),
                format!("{} identifiers, at most {most}", items.len()),
            )
            .into());
    }
    let mut asked = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        match item {
            Json::String(text) => asked.push(text),
            _ => {
                let pointer = format!("/identifiers/{at}");
                return Err(wrong(&pointer, "应为文本", "must be text"));
            }
        }
    }
    Ok(asked)
}

/// A batch that is being answered.
struct Batch {
    teller: Teller,
    asked: std::vec::IntoIter<String>,
    is_first: bool,
    is_done: bool,
}

impl Batch {
    /// The next piece of the document; none after its end. An error where what it shows could not be noted.
    async fn piece(&mut self) -> Option<Result<Vec<u8>, ServiceError>> {
        if self.is_done {
            return None;
        }
        let out = self.written();
        Some(self.teller.noted().await.map(|()| out))
    }

    fn written(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity((self.asked.len() * COMMON_RESULT_BYTES).min(PIECE_BYTES));
        if self.is_first {
            out.extend_from_slice(b"{\"results\":[");
        }
        let now = Timestamp::now();
        while out.len() < PIECE_BYTES {
            let Some(text) = self.asked.next() else {
                out.extend_from_slice(b"]}");
                self.is_done = true;
                break;
            };
            if !std::mem::take(&mut self.is_first) {
                out.push(b',');
            }
            self.teller.result(&text, now, &mut out);
        }
        out
    }
}

/// The answer of one name, from the cache or into it.
pub(super) fn look(desk: &Desk, text: &str, now: Timestamp) -> Result<Answer, ServiceError> {
    let identifier = desk.services.identifier(text)?;
    match timed(Step::Cache, || at_hand(desk, identifier.key(), now)) {
        Some(answer) => Ok(answer),
        None => missed(desk, &identifier, now),
    }
}

fn count_hit(desk: &Desk, status: u16) {
    let cache = &desk.metrics.cache;
    if status == 200 { &cache.hits } else { &cache.negative_hits }.increment();
}

fn missed(desk: &Desk, identifier: &Identifier, now: Timestamp) -> Result<Answer, ServiceError> {
    desk.metrics.cache.misses.increment();
    desk.services.resolve_public(identifier, now)
}

/// Writes the results of one request.
struct Teller {
    desk: Arc<Desk>,
    language: Language,
    request_id: Arc<str>,
    /// Who asks, if not just anybody.
    shown: Option<Pass>,
    /// Of what is written and not sent.
    unnoted: Option<Unnoted<()>>,
}

impl Teller {
    /// Writes `{"identifier":…,"status":…,"resolution"|"problem":…}`. To be sent once it is [`Teller::noted`].
    fn result(&mut self, text: &str, now: Timestamp, out: &mut Vec<u8>) {
        let looked = match &self.shown {
            Some(pass) => self.viewed(pass, text, out).map(|unnoted| {
                self.unnoted = Some(match self.unnoted.take() {
                    None => unnoted,
                    Some(others) => others.and(unnoted, |(), ()| ()),
                });
                200
            }),
            None => match self.lent(text, now, out) {
                Some(status) => Ok(status),
                None => self.read(text, now, out),
            },
        };
        let identifier = || text.to_owned();
        let error = match looked {
            Ok(200) => return,
            Ok(410) => ServiceError::Gone { identifier: identifier() },
            Ok(_) => ServiceError::Unknown { identifier: identifier() },
            Err(error) => error,
        };
        self.failed(Some(text), &self.problem(error.into()), out);
    }

    /// What was written may leave.
    async fn noted(&mut self) -> Result<(), ServiceError> {
        match self.unnoted.take() {
            None => Ok(()),
            Some(unnoted) => self.desk.services.noted(unnoted).await,
        }
    }

    /// Writes what this caller may see.
    fn viewed(&self, pass: &Pass, text: &str, out: &mut Vec<u8>) -> Result<Unnoted<()>, ServiceError> {
        let question = Resolve { identifier: text.to_owned(), ..Resolve::default() };
        let asked = pass.permit(question).map_err(|_| ServiceError::BadCredential)?;
        let answer = self.desk.services.resolve_viewed(&asked)?;
        Ok(answer.map(|answer| resolved(text, &answer.body, out)))
    }

    /// The status of a cached answer; a record's result is written from where it lies in the cache.
    fn lent(&self, text: &str, now: Timestamp, out: &mut Vec<u8>) -> Option<u16> {
        let status = self.desk.services.lend(text, now, |hit| {
            if hit.status() == 200 {
                resolved(text, hit.body(), out);
            }
            hit.status()
        })?;
        count_hit(&self.desk, status);
        Some(status)
    }

    /// The same of an answer that is not cached, or of what names nothing.
    fn read(&self, text: &str, now: Timestamp, out: &mut Vec<u8>) -> Result<u16, ServiceError> {
        let answer = missed(&self.desk, &self.desk.services.identifier(text)?, now)?;
        if answer.status == 200 {
            resolved(text, &answer.body, out);
        }
        Ok(answer.status)
    }

    fn problem(&self, failure: Failure) -> Problem {
        failure.into_problem(&self.request_id)
    }

    fn failed(&self, text: Option<&str>, problem: &Problem, out: &mut Vec<u8>) {
        begin_result(text, problem.status().as_u16(), out);
        out.extend_from_slice(b"\"problem\":");
        out.extend_from_slice(&problem.body(self.language));
        out.push(b'}');
    }
}

/// An answer that has begun ends with an error, so that it cannot pass for complete.
fn unwritten(error: ServiceError) -> std::io::Error {
    tracing::warn!(code = error.code(), "what a batch shows could not be noted: it breaks off");
    std::io::Error::other("what is shown could not be noted")
}

fn resolved(text: &str, body: &[u8], out: &mut Vec<u8>) {
    name_result(Some(text), out);
    out.extend_from_slice(b",\"status\":200,\"resolution\":");
    out.extend_from_slice(body);
    out.push(b'}');
}

fn begin_result(text: Option<&str>, status: u16, out: &mut Vec<u8>) {
    name_result(text, out);
    out.extend_from_slice(format!(",\"status\":{status},").as_bytes());
}

fn name_result(text: Option<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"identifier\":");
    // Text into memory: there is nothing that could fail.
    let _ = serde_json::to_writer(&mut *out, &text);
}

/// A name a line in, a result a line out, for as many as come.
fn by_line(desk: Arc<Desk>, call: Call, shown: Option<Pass>) -> Reply {
    negotiation::best(&call.headers, &[NDJSON])?;
    body::refuse_encoding(&call.headers)?;
    let keep = if shown.is_some() { Keep::Never } else { Keep::Ask };
    let lines = ByLine {
        teller: Teller { desk, language: call.language, request_id: call.request_id, shown, unnoted: None },
        pieces: Pieces::of(call.body),
        lines: Lines::new(LINE_BYTES),
        is_ended: false,
    };
    let results = stream::unfold(lines, |mut lines| async move {
        let piece = lines.piece().await?;
        Some((piece, lines))
    });
    let body = Body::from_stream(results);
    Ok(reply::of_type(NDJSON, StatusCode::OK, keep, body))
}

struct ByLine {
    teller: Teller,
    pieces: Pieces,
    lines: Lines,
    is_ended: bool,
}

impl ByLine {
    /// The results of the lines at hand, once there are any. A body that breaks off ends the answer with an error, so that
    /// it cannot pass for complete.
    async fn piece(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        let mut out = Vec::new();
        loop {
            let now = Timestamp::now();
            while out.len() < PIECE_BYTES {
                let Some(line) = self.lines.next_line() else {
                    break;
                };
                self.answer(&line, now, &mut out);
            }
            if !out.is_empty() {
                tokio::task::yield_now().await;
                let noted = self.teller.noted().await;
                self.is_ended |= noted.is_err();
                return Some(noted.map(|()| out.into()).map_err(unwritten));
            }
            if self.is_ended {
                return None;
            }
            match self.pieces.next().await {
                Some(Ok(piece)) => self.lines.push(piece),
                Some(Err(_)) => {
                    self.is_ended = true;
                    return Some(Err(std::io::Error::other("the request's body broke off")));
                }
                None => {
                    self.lines.end();
                    self.is_ended = true;
                }
            }
        }
    }

    /// A line is a JSON string, or an object with `identifier`.
    fn answer(&mut self, line: &Line, now: Timestamp, out: &mut Vec<u8>) {
        let number = match line {
            Line::Whole { number, .. } | Line::TooLong { number } => *number,
        };
        let text = match line {
            Line::TooLong { .. } => Err(Code::BodyTooLarge.into()),
            Line::Whole { bytes, .. } => body::parse(bytes, self.teller.desk.limits.json_depth).and_then(named),
        };
        match text {
            Ok(text) => self.teller.result(&text, now, out),
            Err(failure) => {
                let mut problem = self.teller.problem(failure);
                let at = Text::new(format!("第 {number} 行"), format!("line {number}"));
                problem.detail = Some(match problem.detail.take() {
                    None => at,
                    Some(detail) => Text::new(format!("{}：{}", at.zh, detail.zh), format!("{}: {}", at.en, detail.en)),
                });
                self.teller.failed(None, &problem, out);
            }
        }
        out.push(b'\n');
    }
}

fn named(json: Json) -> Result<String, Failure> {
    let text = match json {
        Json::String(text) => Some(text),
        Json::Object(mut members) if members.len() == 1 => match members.remove("identifier") {
            Some(Json::String(text)) => Some(text),
            _ => None,
        },
        _ => None,
    };
    text.ok_or_else(|| {
        Problem::new(Code::FieldsInvalid)
            .with_detail("应为标识文本，或 {\"identifier\":…}", "must be an identifier as text, or {\"identifier\":…}")
            .into()
    })
}
