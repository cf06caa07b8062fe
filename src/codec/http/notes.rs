//! What is told of a request once it is answered: a line in the log where it was slow or every request has one, and spans
//! where it is traced.
//!
//! An identifier stands in a line only where its prefix keeps an open log; else there is the `sid` that its entries have
//! (docs/security.md). Spans, which leave the machine, name none.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use httparse::Header;
use tracing::Span;

use super::routes::Route;
use super::{Desk, PlainGet, call, resolve};
use crate::codec::path;
use crate::config::RequestLines;
use crate::metrics::{Outcome, Transport};
use crate::observe::laps::{Lap, Laps, Step};
use crate::observe::trace_context::{TraceContext, TraceId};
use crate::observe::traces::{SpanIds, Traced, method_word};
use crate::services::operate::Told;

/// An answer that memory had, told of afterwards.
pub struct Hit<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub status: u16,
    pub transport: Transport,
    pub took: Duration,
}

/// What has to be kept of a request to tell of it.
pub(super) struct Note {
    method: &'static str,
    route: Option<&'static str>,
    /// The path, encoded.
    path: String,
    request_id: Arc<str>,
    transport: Transport,
    trace: Option<TraceId>,
    ids: Option<SpanIds>,
}

impl Note {
    pub(super) fn of(desk: &Desk, route: Option<&'static Route>, call: &call::Call) -> Self {
        let ids = desk.traces.decide(&call.headers);
        Self {
            method: method_word(&call.method),
            route: route.map(|route| route.path),
            path: call.uri.path().to_owned(),
            request_id: Arc::clone(&call.request_id),
            transport: call.transport,
            trace: trace_of(ids, &call.headers),
            ids,
        }
    }

    /// What every line that is written for the request is to have.
    pub(super) fn span(&self) -> Span {
        span(&self.request_id, self.trace)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Tells of the request. The time that its client took is not held against it.
    pub(super) fn tell(self, desk: &Desk, laps: &Laps, status: u16) {
        let worked = laps.worked();
        if desk.metrics.attention.tells(worked) {
            let steps = Step::ALL.map(|step| laps.spent(step));
            self.lines(desk, Outcome::of_status(status), status, worked, steps);
        }
        if let Some(ids) = self.ids {
            let (took_nanoseconds, laps_kept) = laps.course();
            desk.traces.take(Traced {
                ids,
                method: self.method,
                route: self.route,
                status,
                transport: self.transport,
                request_id: self.request_id,
                began: laps.began(),
                took_nanoseconds,
                laps: laps_kept,
            });
        }
    }

    fn lines(&self, desk: &Desk, outcome: Outcome, status: u16, took: Duration, steps: [Duration; Step::ALL.len()]) {
        let attention = &desk.metrics.attention;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let is_slow = attention.is_slow(took) && attention.may_tell(now);
        let level = attention.requests();
        if !is_slow && level == RequestLines::Off {
            return;
        }
        let told = self.name().and_then(|name| desk.services.told(&name));
        let line = Line { note: self, outcome, status, took, steps, told };
        if is_slow {
            line.write_slow();
        }
        line.write(level);
    }

    /// The identifier that the path names, if its address has one.
    fn name(&self) -> Option<std::borrow::Cow<'_, str>> {
        let before = self.route?.strip_suffix("{*identifier}")?;
        path::text_after(&self.path, before)?.ok()
    }
}

/// Tells of an answer that memory had at once.
pub(super) fn tell_hit(desk: &Desk, hit: &Hit<'_>) {
    let ids = desk.traces.decide(hit.headers);
    let is_told = desk.metrics.attention.tells(hit.took);
    if ids.is_none() && !is_told {
        return;
    }
    let note = Note {
        method: method_word(hit.method),
        route: Some(resolve::PATTERN),
        path: hit.uri.path().to_owned(),
        request_id: call::request_id(hit.headers),
        transport: hit.transport,
        trace: trace_of(ids, hit.headers),
        ids,
    };
    let took = u64::try_from(hit.took.as_nanos()).unwrap_or(u64::MAX);
    let steps = Step::ALL.map(|step| if step == Step::Cache { hit.took } else { Duration::ZERO });
    if is_told {
        note.span().in_scope(|| note.lines(desk, Outcome::of_hot(hit.status), hit.status, hit.took, steps));
    }
    if let Some(ids) = ids {
        let now = SystemTime::now();
        desk.traces.take(Traced {
            ids,
            method: note.method,
            route: note.route,
            status: hit.status,
            transport: note.transport,
            request_id: note.request_id,
            began: now.checked_sub(hit.took).unwrap_or(now),
            took_nanoseconds: took,
            laps: vec![Lap { step: Step::Cache, from: 0, to: took }],
        });
    }
}

/// Tells of an answer that the lane has read from the store.
pub(super) fn tell_read(desk: &Desk, get: &PlainGet<'_>, (request_id, status): (Arc<str>, u16), laps: &Laps) {
    if !desk.metrics.attention.wants(laps.worked()) {
        return;
    }
    let mut headers = HeaderMap::with_capacity(get.headers.len());
    for Header { name, value } in get.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    let ids = desk.traces.decide(&headers);
    let note = Note {
        method: method_word(if get.is_head { &Method::HEAD } else { &Method::GET }),
        route: Some(resolve::PATTERN),
        path: get.path.to_owned(),
        request_id,
        transport: Transport::Http1,
        trace: trace_of(ids, &headers),
        ids,
    };
    note.span().in_scope(|| note.tell(desk, laps, status));
}

/// The trace that the lines name: also where the caller's trace is not kept here.
fn trace_of(ids: Option<SpanIds>, headers: &HeaderMap) -> Option<TraceId> {
    ids.map(|ids| ids.trace).or_else(|| TraceContext::of(headers).map(|context| context.trace))
}

fn span(request_id: &str, trace: Option<TraceId>) -> Span {
    // Of the highest level, so that no filter that lets a line through keeps its span away.
    match trace {
        Some(trace) => tracing::error_span!("request", request_id, trace_id = %trace),
        None => tracing::error_span!("request", request_id),
    }
}

/// A line about a request.
struct Line<'n> {
    note: &'n Note,
    outcome: Outcome,
    status: u16,
    took: Duration,
    steps: [Duration; Step::ALL.len()],
    told: Option<Told>,
}

macro_rules! write_line {
    ($line:expr, $level:ident, $message:literal) => {{
        let line: &Line<'_> = $line;
        let (identifier, prefix, sid) = line.name();
        tracing::event!(
            target: "mingpai::request",
            tracing::Level::$level,
            method = line.note.method,
            route = line.note.route,
            status = line.status,
            outcome = line.outcome.word(),
            transport = line.note.transport.word(),
            identifier,
            prefix,
            sid,
            total_micros = micros(line.took),
            parse_micros = line.spent(&[Step::Decode]),
            guard_micros = line.spent(&[Step::Guard]),
            cache_micros = line.spent(&[Step::Cache]),
            store_micros = line.spent(&[Step::Store]),
            queue_micros = line.spent(&[Step::Queue]),
            journal_micros = line.spent(&[Step::Journal]),
            sign_micros = line.spent(&[Step::Sign]),
            encode_micros = line.spent(&[Step::Encode, Step::Form]),
            service_micros = line.spent(&[Step::Service]),
            wait_micros = line.spent(&[Step::Wait]),
            $message
        );
    }};
}

impl Line<'_> {
    fn write_slow(&self) {
        write_line!(self, WARN, "slow request");
    }

    fn write(&self, level: RequestLines) {
        match level {
            RequestLines::Off => {}
            RequestLines::Error => write_line!(self, ERROR, "request"),
            RequestLines::Warn => write_line!(self, WARN, "request"),
            RequestLines::Info => write_line!(self, INFO, "request"),
            RequestLines::Debug => write_line!(self, DEBUG, "request"),
            RequestLines::Trace => write_line!(self, TRACE, "request"),
        }
    }

    /// Identifier, or prefix and sid.
    fn name(&self) -> (Option<&str>, Option<&str>, Option<&str>) {
        match &self.told {
            Some(Told::Clear(identifier)) => (Some(identifier), None, None),
            Some(Told::Blinded { prefix, sid }) => (None, prefix.as_deref(), Some(sid)),
            None => (None, None, None),
        }
    }

    /// Absent where the request did not come there.
    fn spent(&self, steps: &[Step]) -> Option<u64> {
        let spent = steps.iter().filter_map(|step| self.steps.get(*step as usize)).sum::<Duration>();
        (spent > Duration::ZERO).then(|| micros(spent))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
