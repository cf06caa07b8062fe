//! The sweeper: who is late with a head, idle, or stuck with an answer.
//!
//! Each connection keeps a [`Pulse`] of plain counters, written without a clock; a few times a second one task a worker
//! compares them with what it saw before and passes a [`Verdict`]. So a request arms no timer. A time-out is met
//! within an eighth of the shortest configured one. hyper's own header time-out is switched off: it also runs while a
//! kept-alive connection idles, and it allocates and registers a timer for each request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::settings::Limits;

/// What is to become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Verdict {
    GoOn = 0,
    /// End after the request in flight (connection: close, GOAWAY).
    Close = 1,
    /// The head, or the handshake before it, is late: say so and close.
    HeadLate = 2,
    /// Cut off.
    Abort = 3,
}

/// The signs of life of one connection. Everything is `Relaxed`: writer and sweeper are on one thread, the waker orders
/// the rest.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Moves with every read or write that carried bytes.
    moved: AtomicU32,
    /// Requests whose head was complete.
    heads: AtomicU32,
    /// Bytes have come since the last complete head and no request is open.
    has_partial_head: AtomicBool,
    /// HTTP/2: bytes between requests are frames, not the beginning of a head.
    is_framed: AtomicBool,
    /// The TLS handshake is not done.
    is_shaking: AtomicBool,
    /// The socket takes no more bytes.
    is_blocked: AtomicBool,
    /// Requests whose answer is not wholly handed over.
    open: AtomicU32,
    /// Of those, answers with more to send that HTTP does not ask for: the client has closed its window.
    withheld: AtomicU32,
    /// Moves with every piece of an answer's body that is handed over.
    pieces: AtomicU32,
    /// A request's body was not read to its end: bytes of it may still come.
    has_unread_body: AtomicBool,
    verdict: AtomicU8,
    waker: AtomicWaker,
    is_ended: AtomicBool,
}

impl Pulse {
    pub(super) fn received(&self) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add(1), Relaxed);
        if self.open.load(Relaxed) == 0 {
            self.has_partial_head.store(true, Relaxed);
        }
    }

    /// The TLS handshake begins: its time-out goes before that of a head.
    pub(super) fn shaking(&self) {
        self.is_shaking.store(true, Relaxed);
    }

    /// TLS stands; what was said for it is no part of a request.
    pub(super) fn shaken(&self) {
        self.is_shaking.store(false, Relaxed);
        self.has_partial_head.store(false, Relaxed);
        self.moved.store(0, Relaxed);
    }

    /// Whether the client, or we, have said anything yet; over TLS: since the handshake.
    pub(super) fn is_silent(&self) -> bool {
        self.moved.load(Relaxed) == 0
    }

    pub(super) fn sent(&self) {
        self.moved.store(self.moved.load(Relaxed).wrapping_add(1), Relaxed);
        self.is_blocked.store(false, Relaxed);
    }

    pub(super) fn blocked(&self) {
        self.is_blocked.store(true, Relaxed);
    }

    pub(super) fn framed(&self) {
        self.is_framed.store(true, Relaxed);
    }

    pub(super) fn head_complete(&self) {
        self.heads.store(self.heads.load(Relaxed).wrapping_add(1), Relaxed);
        self.has_partial_head.store(false, Relaxed);
    }

    /// Wraps around.
    pub(super) fn heads(&self) -> u32 {
        self.heads.load(Relaxed)
    }

    /// Whether an answer is not wholly handed over.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    pub(super) fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
        self.has_partial_head.store(false, Relaxed);
    }

    /// Whether a request is being answered.
    pub(super) fn is_answering(&self) -> bool {
        self.open.load(Relaxed) > 0
    }

    pub(super) fn withheld(&self, is_withheld: bool) {
        if is_withheld {
            self.withheld.fetch_add(1, Relaxed);
        } else {
            self.withheld.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn piece(&self) {
        self.pieces.store(self.pieces.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(super) fn left_unread(&self) {
        self.has_unread_body.store(true, Relaxed);
    }

    pub(super) fn has_unread_body(&self) -> bool {
        self.has_unread_body.load(Relaxed)
    }

    pub(super) fn ended(&self) {
        self.is_ended.store(true, Relaxed);
    }

    /// Only ever towards the harsher.
    pub(super) fn pass(&self, verdict: Verdict) {
        if self.verdict.fetch_max(verdict as u8, Relaxed) < verdict as u8 {
            self.waker.wake();
        }
    }

    pub(super) fn verdict(&self) -> Verdict {
        match self.verdict.load(Relaxed) {
            0 => Verdict::GoOn,
            1 => Verdict::Close,
            2 => Verdict::HeadLate,
            _ => Verdict::Abort,
        }
    }

    /// Once a task is enough until the next verdict: a task keeps its waker, and a verdict takes it.
    pub(super) fn listen(&self, context: &Context<'_>) {
        self.waker.register(context.waker());
    }
}

/// What the sweeper remembers of a connection.
#[derive(Debug)]
struct Seen {
    pulse: Arc<Pulse>,
    moved: u32,
    moved_at: Instant,
    heads: u32,
    is_shaking: bool,
    /// The last time that a request was open or began.
    busy_at: Instant,
    partial_head_at: Option<Instant>,
    pieces: u32,
    withheld_at: Option<Instant>,
}

impl Seen {
    fn new(pulse: Arc<Pulse>, now: Instant) -> Self {
        // A client must ask within the header time-out of connecting.
        let partial_head_at = Some(now);
        Self {
            pulse,
            moved: 0,
            moved_at: now,
            heads: 0,
            is_shaking: false,
            busy_at: now,
            partial_head_at,
            pieces: 0,
            withheld_at: None,
        }
    }

    fn judge(&mut self, now: Instant, limits: &Limits) -> Verdict {
        let pulse = &self.pulse;
        let (moved, heads) = (pulse.moved.load(Relaxed), pulse.heads.load(Relaxed));
        let (is_open, is_blocked) = (pulse.open.load(Relaxed) > 0, pulse.is_blocked.load(Relaxed));
        let has_asked = heads != self.heads;
        let is_shaking = pulse.is_shaking.load(Relaxed);
        let begins_anew = std::mem::replace(&mut self.is_shaking, is_shaking) && !is_shaking;
        if moved != self.moved {
            (self.moved, self.moved_at) = (moved, now);
        }
        if has_asked || is_open {
            (self.heads, self.busy_at) = (heads, now);
        }
        let waits_for_head =
            if heads == 0 { true } else { pulse.has_partial_head.load(Relaxed) && !pulse.is_framed.load(Relaxed) };
        self.partial_head_at = match self.partial_head_at {
            _ if !waits_for_head || is_open => None,
            Some(since) if !has_asked && !begins_anew => Some(since),
            _ => Some(now),
        };
        let pieces = pulse.pieces.load(Relaxed);
        self.withheld_at = match self.withheld_at {
            _ if pulse.withheld.load(Relaxed) == 0 => None,
            Some(since) if pieces == self.pieces => Some(since),
            _ => Some(now),
        };
        self.pieces = pieces;
        let is_over = |since: Instant, limit: Duration| now.duration_since(since) >= limit;
        let head_timeout = if is_shaking { limits.handshake_timeout } else { limits.header_timeout };
        let is_closing = pulse.verdict() == Verdict::Close;
        let is_stuck = (is_blocked || (is_closing && !is_open)) && is_over(self.moved_at, limits.write_timeout);
        if is_stuck || self.withheld_at.is_some_and(|since| is_over(since, limits.write_timeout)) {
            Verdict::Abort
        } else if self.partial_head_at.is_some_and(|since| is_over(since, head_timeout)) {
            Verdict::HeadLate
        } else if !is_open && !is_blocked && is_over(self.busy_at, limits.idle_timeout) {
            Verdict::Close
        } else {
            Verdict::GoOn
        }
    }
}

/// The connections of one worker.
#[derive(Debug, Default)]
pub(super) struct Watch {
    seen: Mutex<Vec<Seen>>,
}

impl Watch {
    pub(super) fn enter(&self) -> Arc<Pulse> {
        let pulse = Arc::new(Pulse::default());
        self.seen.lock().push(Seen::new(Arc::clone(&pulse), Instant::now()));
        pulse
    }

    pub(super) fn pass_to_all(&self, verdict: Verdict) {
        for seen in self.seen.lock().iter() {
            seen.pulse.pass(verdict);
        }
    }

    fn sweep(&self, limits: &Limits) {
        let now = Instant::now();
        self.seen.lock().retain_mut(|seen| {
            let is_ended = seen.pulse.is_ended.load(Relaxed);
            if !is_ended {
                let verdict = seen.judge(now, limits);
                seen.pulse.pass(verdict);
            }
            !is_ended
        });
    }

    /// Never returns.
    pub(super) async fn run(&self, limits: &Limits) {
        let shortest =
            limits.header_timeout.min(limits.handshake_timeout).min(limits.idle_timeout).min(limits.write_timeout);
        let pause = (shortest / 8).clamp(Duration::from_millis(5), Duration::from_millis(500));
        loop {
            tokio::time::sleep(pause).await;
            self.sweep(limits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitsSpec;

    const SECOND: Duration = Duration::from_secs(1);

    /// Header 10 s, idle 60 s, write 30 s.
    struct Bench {
        limits: Limits,
        seen: Seen,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            let limits = Limits::of(&LimitsSpec::default());
            Self { limits, seen: Seen::new(Arc::default(), now), now }
        }

        fn pulse(&self) -> &Pulse {
            &self.seen.pulse
        }

        /// The seconds, at most 200, until the sweeper says something.
        fn until_verdict(&mut self) -> (u64, Verdict) {
            for second in 1..=200 {
                self.now += SECOND;
                let verdict = self.seen.judge(self.now, &self.limits);
                if verdict != Verdict::GoOn {
                    return (second, verdict);
                }
            }
            (200, Verdict::GoOn)
        }

        fn pass(&mut self, seconds: u32) {
            self.now += SECOND * seconds;
            assert_eq!(self.seen.judge(self.now, &self.limits), Verdict::GoOn);
        }
    }

    #[test]
    fn a_client_that_says_nothing_or_drips_a_head_is_late() {
        assert_eq!(Bench::new().until_verdict(), (10, Verdict::HeadLate));
        let mut bench = Bench::new();
        for _ in 0..9 {
            bench.pulse().received();
            bench.pass(1);
        }
        bench.pulse().received();
        assert_eq!(bench.until_verdict(), (1, Verdict::HeadLate), "bytes alone do not put the end off");
    }

    #[test]
    fn a_handshake_has_a_time_of_its_own_and_a_head_its_whole_time_after_it() {
        let mut bench = Bench::new();
        bench.limits.handshake_timeout = SECOND * 5;
        bench.pulse().shaking();
        bench.pulse().received();
        assert_eq!(bench.until_verdict(), (5, Verdict::HeadLate));
        let mut bench = Bench::new();
        bench.limits.handshake_timeout = SECOND * 20;
        bench.pulse().shaking();
        bench.pass(15);
        bench.pulse().shaken();
        assert!(bench.pulse().is_silent());
        bench.pass(1);
        assert_eq!(bench.until_verdict(), (10, Verdict::HeadLate));
    }

    #[test]
    fn a_kept_alive_connection_idles_longer_than_a_head_may_take() {
        let mut bench = Bench::new();
        bench.pulse().received();
        bench.pulse().head_complete();
        bench.pulse().sent();
        bench.pass(1);
        assert_eq!(bench.until_verdict(), (60, Verdict::Close));
    }

    #[test]
    fn the_next_head_has_its_whole_time_after_a_long_pause() {
        let mut bench = Bench::new();
        bench.pulse().head_complete();
        bench.pass(50);
        bench.pulse().received();
        bench.pass(1);
        assert_eq!(bench.until_verdict(), (10, Verdict::HeadLate));
    }

    #[test]
    fn a_request_in_flight_is_left_alone_and_its_body_is_no_head() {
        let mut bench = Bench::new();
        bench.pulse().head_complete();
        bench.pulse().opened();
        bench.pulse().received();
        bench.pass(500);
        bench.pulse().received();
        bench.pulse().closed();
        bench.pass(1);
        assert_eq!(bench.until_verdict(), (59, Verdict::Close));
    }

    #[test]
    fn frames_between_requests_are_no_head() {
        let mut bench = Bench::new();
        bench.pulse().framed();
        bench.pulse().head_complete();
        bench.pass(1);
        for _ in 0..59 {
            bench.pulse().received();
            bench.pass(1);
        }
        bench.pulse().received();
        assert_eq!(bench.until_verdict(), (1, Verdict::Close), "pings do not keep a connection");
    }

    #[test]
    fn a_client_that_takes_nothing_is_cut_off_and_one_that_takes_slowly_is_not() {
        let mut bench = Bench::new();
        bench.pulse().head_complete();
        bench.pulse().blocked();
        bench.pass(29);
        bench.pulse().sent();
        bench.pulse().blocked();
        bench.pass(29);
        assert_eq!(bench.until_verdict(), (30, Verdict::Abort));
    }

    #[test]
    fn a_closed_window_is_cut_off_while_a_slow_producer_is_not() {
        let mut bench = Bench::new();
        bench.pulse().head_complete();
        bench.pulse().opened();
        bench.pass(500);
        bench.pulse().withheld(true);
        for _ in 0..10 {
            bench.pulse().piece();
            bench.pass(20);
        }
        assert_eq!(bench.until_verdict(), (30, Verdict::Abort));
    }

    #[test]
    fn a_closed_connection_that_does_not_go_is_cut_off() {
        let mut bench = Bench::new();
        bench.pulse().received();
        bench.pulse().head_complete();
        bench.pass(1);
        bench.pulse().pass(Verdict::Close);
        assert_eq!(bench.until_verdict(), (30, Verdict::Abort));
    }

    #[test]
    fn verdicts_only_get_harsher() {
        let pulse = Pulse::default();
        pulse.pass(Verdict::Abort);
        pulse.pass(Verdict::Close);
        assert_eq!(pulse.verdict(), Verdict::Abort);
    }
}
