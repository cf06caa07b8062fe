//! The fast lane in front of hyper: answers plain hot requests of HTTP/1.1 from the bytes of the socket, all that have come
//! in one write, and leaves everything else to hyper.
//!
//! ```text
//! plain      which requests are the lane's
//! scratch    the buffers of a worker, and its clock
//! ```
//!
//! - What it does not know is handed over with every unread byte, for good: bodies, other versions, faults, endings.
//! - What memory has no answer to is read from the store where that is one reading; so much at a time, that others have
//!   their turn.
//! - Any other GET or HEAD that it knows is lent to hyper, for that one request: a connection that has met one such is not
//!   slow for ever.
//! - It answers what hyper with [`Entry`](super::entry) would answer, byte for byte, and counts it the same; it never
//!   refuses anything itself. `tests` here and tests/lane.rs hold both ways against each other.
//!
//! The time limits are the sweeper's, as for hyper: the socket notes what moves, the lane notes each head.

mod plain;
mod scratch;

use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use httparse::Header;
use tokio::io::ReadBuf;

use self::plain::{HEAD_BYTES, HEADERS, Judged, Room, has_blank_line, judge};
use self::scratch::{ANSWER_BYTES, Clock, OUTBOX_BYTES, Scratch, with_scratch};
use super::Answerer;
use super::watch::Pulse;
use super::wire::{Carrier, Wire};
use super::worker::Shared;
use crate::metrics::{Outcome, Stage, Transport};

pub use plain::Plain;

/// Reads of one connection before others have their turn: a thousand requests at most, a few milliseconds.
const ROUNDS: usize = 4;
/// Answers that are read from the store for one connection before others have their turn, and for how long.
const READINGS: usize = 16;
const READING_TIME: Duration = Duration::from_millis(1);
/// What the first look at a connection sees; see [`Wire::listen`].
const FIRST_LOOK: usize = 24;

/// Why the lane is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// The request of this length, which is whole and ahead, is hyper's; what comes after it may be the lane's again.
    Lend(usize),
    /// The connection is hyper's from here on.
    ForGood,
    /// Nothing is left to say.
    Over,
    /// The socket failed.
    Broken,
}

/// One connection in the lane. The beginning of a head lies in the wire's `ahead`.
pub(super) struct Lane<'c, A, S> {
    wire: &'c mut Wire<S>,
    shared: &'c Shared<A>,
    pulse: &'c Pulse,
    /// Whether any request has come on this connection.
    has_asked: bool,
    /// Whether `ahead` was not looked at yet.
    is_fresh: bool,
    /// Of the head in `ahead`: how much of it was looked at, be it what came first or what was looked at again.
    first: usize,
    /// What the socket did not take.
    unsent: BytesMut,
    is_unflushed: bool,
    is_closing: bool,
    /// Why to leave, once all is sent.
    left: Option<Left>,
    /// Answers read from the store in this turn, and how long that took.
    readings: usize,
    reading_time: Duration,
}

/// How a round ended.
enum Round {
    Again,
    /// Others have their turn.
    Yield,
    /// Nothing more has come.
    Wait,
    Leave(Left),
}

impl<'c, A: Answerer, S: Carrier> Lane<'c, A, S> {
    pub(super) fn new(wire: &'c mut Wire<S>, shared: &'c Shared<A>, pulse: &'c Pulse, has_asked: bool) -> Self {
        let is_fresh = !wire.ahead.is_empty();
        Self {
            wire,
            shared,
            pulse,
            has_asked,
            is_fresh,
            first: 0,
            unsent: BytesMut::new(),
            is_unflushed: false,
            is_closing: false,
            left: None,
            readings: 0,
            reading_time: Duration::ZERO,
        }
    }

    /// Whether the lane, or hyper before it, has had a request of this connection.
    pub(super) fn has_asked(&self) -> bool {
        self.has_asked
    }

    /// Answers until it has to leave. `close_now`: what has come is still answered, then the connection ends.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, close_now: bool) -> Poll<Left> {
        self.is_closing |= close_now;
        (self.readings, self.reading_time) = (0, Duration::ZERO);
        for _ in 0..ROUNDS {
            if ready!(self.poll_send(context)).is_err() {
                return Poll::Ready(Left::Broken);
            }
            if let Some(left) = self.left {
                self.wire.first = if left == Left::ForGood { self.first } else { 0 };
                return Poll::Ready(left);
            }
            match with_scratch(|scratch| self.round(context, scratch)) {
                Round::Again => {}
                Round::Yield => break,
                Round::Wait if !self.is_closing => return Poll::Pending,
                // hyper, too, waits for the rest of a head only if it is the first.
                Round::Wait if self.has_asked || self.wire.ahead.is_empty() => return Poll::Ready(Left::Over),
                Round::Wait => self.left = Some(Left::ForGood),
                Round::Leave(left) => self.left = Some(left),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, answers what is whole, writes once.
    fn round(&mut self, context: &mut Context<'_>, scratch: &mut Scratch) -> Round {
        let ahead = &self.wire.ahead;
        let kept = ahead.len();
        let mut length = kept;
        // `ahead` is shorter than the inbox: the beginning of a head, or what a read has left of an inbox.
        if let Some(begun) = scratch.inbox.get_mut(..kept) {
            begun.copy_from_slice(ahead);
        }
        let seen = if std::mem::take(&mut self.is_fresh) { 0 } else { kept };
        if seen == kept {
            let mut buffer = ReadBuf::new(scratch.inbox.get_mut(kept..).unwrap_or_default());
            match self.wire.stream().poll_read(context, &mut buffer) {
                Poll::Pending => return Round::Wait,
                Poll::Ready(Err(_)) => return Round::Leave(Left::Broken),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Round::Leave(self.at_end()),
                Poll::Ready(Ok(())) => length += buffer.filled().len(),
            }
        }
        let started = Instant::now();
        let (inbox, outbox, clock) = scratch.parts(started);
        let bytes = inbox.get(..length).unwrap_or_default();
        let (used, round) = self.answer(bytes, (seen, started), outbox, clock);
        self.keep(bytes.get(used..).unwrap_or_default(), used > 0 || seen == 0);
        if outbox.is_empty() {
            return round;
        }
        match self.wire.stream().poll_write(context, outbox) {
            Poll::Ready(Err(_)) => return Round::Leave(Left::Broken),
            Poll::Ready(Ok(sent)) => self.unsent.extend_from_slice(outbox.get(sent..).unwrap_or_default()),
            Poll::Pending => self.unsent.extend_from_slice(outbox),
        }
        self.is_unflushed = true;
        round
    }

    /// Answers what it can of these bytes, of which the first `seen` were no whole head. How many it has used.
    ///
    /// The clock is read once an answer: each begins where the one before has ended, so its parsing counts in.
    fn answer(
        &mut self,
        bytes: &[u8],
        (seen, mut started): (usize, Instant),
        outbox: &mut Vec<u8>,
        clock: &Clock,
    ) -> (usize, Round) {
        let limits = &self.shared.limits;
        let mut used = 0;
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if rest.is_empty() {
                return (used, Round::Again);
            }
            if outbox.len() > OUTBOX_BYTES - ANSWER_BYTES {
                self.is_fresh = true;
                return (used, Round::Again);
            }
            if self.readings >= READINGS || self.reading_time >= READING_TIME {
                self.is_fresh = true;
                return (used, Round::Yield);
            }
            if used == 0 && seen > 0 && rest.len() < HEAD_BYTES && !has_blank_line(rest, seen) {
                return (used, Round::Again);
            }
            let mut room: Room<'_> = [const { MaybeUninit::uninit() }; HEADERS];
            let (length, asked) = match judge(rest, &mut room, limits) {
                Judged::Beginning => {
                    if used == 0 && seen > 0 {
                        // Empty lines passed for its end: hyper, too, looked at all of it by now.
                        self.first = rest.len();
                    }
                    return (used, Round::Again);
                }
                Judged::Unknown => return (used, Round::Leave(Left::ForGood)),
                Judged::Other { length } => (length, None),
                Judged::Plain { length, is_head, path, headers } => {
                    let Clock { now, date, .. } = clock;
                    (length, Some(Plain { is_head, path, headers, now: *now, date, room: ANSWER_BYTES }))
                }
            };
            self.has_asked = true;
            let Some(ended) = asked.and_then(|asked| self.answered_at(&asked, outbox, started)) else {
                return (used, Round::Leave(Left::Lend(length)));
            };
            started = ended;
            used += length;
        }
    }

    /// What [`Entry`](super::entry::Entry) does for an answer.
    fn answered_at(&mut self, asked: &Plain<'_>, outbox: &mut Vec<u8>, started: Instant) -> Option<Instant> {
        let hot = self.shared.answerer.hot_bytes(asked, outbox);
        let outcome = match hot {
            Some(status) => Outcome::of_hot(status),
            None => Outcome::of_status(self.read(asked, outbox)?),
        };
        self.pulse.head_complete();
        self.shared.turns.quick();
        let metrics = &self.shared.metrics;
        let ended = Instant::now();
        let took = ended.saturating_duration_since(started);
        if hot.is_none() {
            self.readings += 1;
            self.reading_time += took;
        }
        if let Some(status) = hot.filter(|_| metrics.attention.wants(took)) {
            self.tell(asked, status, took);
        }
        metrics.requests.record(Stage::Total, Transport::Http1, outcome, took);
        Some(ended)
    }

    /// Whoever is over the limit of requests in flight, or meets a panic, is hyper's: it says so.
    fn read(&self, asked: &Plain<'_>, outbox: &mut Vec<u8>) -> Option<u16> {
        let Shared { answerer, limits, metrics, .. } = self.shared;
        if metrics.accept.requests_in_flight.get() >= limits.requests_in_flight as u64 {
            return None;
        }
        let begun = outbox.len();
        let asked = Plain { room: usize::MAX, ..*asked };
        let answered = catch_unwind(AssertUnwindSafe(|| answerer.read_bytes(&asked, outbox))).unwrap_or_default();
        if answered.is_none() {
            outbox.truncate(begun);
        }
        answered
    }

    /// Only for a request that is to be told of, which costs more than the answer did.
    #[cold]
    fn tell(&self, asked: &Plain<'_>, status: u16, took: Duration) {
        let method = if asked.is_head { Method::HEAD } else { Method::GET };
        let Ok(uri) = asked.path.parse::<Uri>() else { return };
        let mut headers = HeaderMap::with_capacity(asked.headers.len());
        for Header { name, value } in asked.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                headers.append(name, value);
            }
        }
        self.shared.answerer.tell_hot(&method, &uri, &headers, status, Transport::Http1, took);
    }

    /// Keeps what was not used, of a head that begins in it or has begun before.
    fn keep(&mut self, rest: &[u8], is_begun_here: bool) {
        let ahead = &mut self.wire.ahead;
        if is_begun_here {
            self.first = if self.has_asked { rest.len() } else { rest.len().min(FIRST_LOOK) };
            ahead.clear();
        }
        if rest.is_empty() {
            // An idle connection has no buffer.
            *ahead = BytesMut::new();
        }
        let known = ahead.len();
        ahead.extend_from_slice(rest.get(known..).unwrap_or_default());
    }

    /// The client says no more. Line ends between requests are nothing; the half of a head is for hyper to judge.
    fn at_end(&self) -> Left {
        let is_nothing = self.wire.ahead.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
        if is_nothing { Left::Over } else { Left::ForGood }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(self.wire.stream().poll_write(context, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
            if self.unsent.is_empty() {
                self.unsent = BytesMut::new();
            }
        }
        if self.is_unflushed {
            ready!(self.wire.stream().poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
