//! From what duration on an answer is worth a line in the log, changeable while the node runs.
//!
//! The fast way asks one number that is read anyway after each answer: [`Attention::floor`]. Not here: what a line says.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::config::{LogSpec, RequestLines};

/// Slow requests told in one second; what a disk that stands still makes slow must not fill the log's disk as well.
pub const SLOW_LINES_A_SECOND: u64 = 100;

const LEVELS: [RequestLines; 6] = [
    RequestLines::Off,
    RequestLines::Error,
    RequestLines::Warn,
    RequestLines::Info,
    RequestLines::Debug,
    RequestLines::Trace,
];

/// What is worth a line.
#[derive(Debug)]
pub struct Attention {
    /// Nanoseconds; `u64::MAX` for none.
    slow: AtomicU64,
    /// A place in [`LEVELS`].
    requests: AtomicU8,
    /// Whether every request is looked at for another reason: spans are made.
    every: AtomicBool,
    /// What follows from the three above.
    floor: AtomicU64,
    /// The second that lines are being counted in, in the upper 40 bits, and how many.
    window: AtomicU64,
    slow_requests: Counter,
    untold: Counter,
}

impl Default for Attention {
    fn default() -> Self {
        let attention = Self {
            slow: AtomicU64::new(u64::MAX),
            requests: AtomicU8::new(0),
            every: AtomicBool::new(false),
            floor: AtomicU64::new(u64::MAX),
            window: AtomicU64::new(0),
            slow_requests: Counter::default(),
            untold: Counter::default(),
        };
        attention.set(&LogSpec::default());
        attention
    }
}

impl Attention {
    /// Goes by these settings from the next answer on.
    pub fn set(&self, log: &LogSpec) {
        let slow = match log.slow_microseconds {
            0 => u64::MAX,
            micros => micros.saturating_mul(1_000),
        };
        let level = LEVELS.iter().position(|level| *level == log.requests).unwrap_or_default();
        self.slow.store(slow, Ordering::Relaxed);
        self.requests.store(u8::try_from(level).unwrap_or_default(), Ordering::Relaxed);
        self.settle();
    }

    /// Has every request looked at.
    pub fn watch_every(&self) {
        self.every.store(true, Ordering::Relaxed);
        self.settle();
    }

    fn settle(&self) {
        let every = self.every.load(Ordering::Relaxed) || self.requests() != RequestLines::Off;
        let floor = if every { 0 } else { self.slow.load(Ordering::Relaxed) };
        self.floor.store(floor, Ordering::Relaxed);
    }

    /// Whether an answer that took so long is to be looked at. One load and one comparison.
    #[must_use]
    pub fn wants(&self, took: Duration) -> bool {
        nanoseconds(took) >= self.floor.load(Ordering::Relaxed)
    }

    /// Whether such an answer has a line, be it for its slowness or because all have one.
    #[must_use]
    pub fn tells(&self, took: Duration) -> bool {
        self.requests() != RequestLines::Off || nanoseconds(took) >= self.slow.load(Ordering::Relaxed)
    }

    #[must_use]
    pub fn requests(&self) -> RequestLines {
        LEVELS.get(usize::from(self.requests.load(Ordering::Relaxed))).copied().unwrap_or(RequestLines::Off)
    }

    /// Whether a request was slow; counts it.
    pub fn is_slow(&self, took: Duration) -> bool {
        let is_slow = nanoseconds(took) >= self.slow.load(Ordering::Relaxed);
        if is_slow {
            self.slow_requests.inc();
        }
        is_slow
    }

    /// Whether one more slow request may be told in this second; counts it where not.
    pub fn may_tell(&self, now_seconds: u64) -> bool {
        const COUNT_BITS: u32 = 24;
        let second = now_seconds << COUNT_BITS;
        let counted = self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |window| {
            let count = if window >> COUNT_BITS == now_seconds { window & ((1 << COUNT_BITS) - 1) } else { 0 };
            (count < SLOW_LINES_A_SECOND).then_some(second | (count + 1))
        });
        if counted.is_err() {
            self.untold.inc();
        }
        counted.is_ok()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "slow_requests",
            "Requests that took log.slow_microseconds or longer",
            self.slow_requests.clone(),
        );
        registry.register(
            "slow_requests_untold",
            "Slow requests without a line, because of too many in one second",
            self.untold.clone(),
        );
    }
}

fn nanoseconds(took: Duration) -> u64 {
    // u64::MAX stands for "no duration".
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(slow_microseconds: u64, requests: RequestLines) -> LogSpec {
        LogSpec { slow_microseconds, requests, ..LogSpec::default() }
    }

    #[test]
    fn a_threshold_is_changed_at_run_time_and_zero_is_none() {
        let attention = Attention::default();
        let (short, long) = (Duration::from_micros(9), Duration::from_micros(10));
        attention.set(&log(10, RequestLines::Off));
        assert!(!attention.wants(short) && attention.wants(long));
        assert!(!attention.is_slow(short) && attention.is_slow(long));
        attention.set(&log(0, RequestLines::Off));
        assert!(!attention.wants(Duration::MAX) && !attention.is_slow(Duration::MAX));
        attention.set(&log(0, RequestLines::Debug));
        assert!(attention.wants(Duration::ZERO) && !attention.is_slow(Duration::MAX));
        attention.set(&log(0, RequestLines::Off));
        attention.watch_every();
        attention.set(&log(10, RequestLines::Off));
        assert!(attention.wants(Duration::ZERO), "spans are made whatever the log says");
        assert!(!attention.tells(short) && attention.tells(long));
    }

    #[test]
    fn a_second_has_so_many_lines_and_the_next_one_begins_anew() {
        let attention = Attention::default();
        let told = |second| (0..SLOW_LINES_A_SECOND + 5).filter(|_| attention.may_tell(second)).count() as u64;
        assert_eq!((told(1_790_000_000), told(1_790_000_001)), (SLOW_LINES_A_SECOND, SLOW_LINES_A_SECOND));
        assert_eq!(attention.untold.get(), 10);
    }
}
