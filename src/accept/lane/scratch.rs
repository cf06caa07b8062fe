//! What a worker's connections read into and write from, one after the other: a connection without a request in the middle
//! has no buffer of its own.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::time::Timestamp;

/// What is read at once: 300 short requests, or four of the longest heads.
pub(super) const INBOX_BYTES: usize = 32 * 1024;
/// What is written at once: thirty answers of the usual length.
pub(super) const OUTBOX_BYTES: usize = 128 * 1024;
/// The longest answer. So much is free in the outbox for each, so that whether it fits does not depend on others.
pub(super) const ANSWER_BYTES: usize = 32 * 1024;

pub(super) struct Scratch {
    pub(super) inbox: Box<[u8]>,
    pub(super) outbox: Vec<u8>,
    clock: Clock,
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// Lends the thread's buffers to `work`, which must not ask for them again.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    let mut scratch = SCRATCH.take().unwrap_or_default();
    scratch.outbox.clear();
    // One long answer that was read must not be kept room for.
    scratch.outbox.shrink_to(OUTBOX_BYTES);
    let done = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    done
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            inbox: vec![0; INBOX_BYTES].into_boxed_slice(),
            outbox: Vec::with_capacity(OUTBOX_BYTES),
            clock: Clock::default(),
        }
    }
}

impl Scratch {
    /// The buffers, and the time of the clock on the wall.
    pub(super) fn parts(&mut self, now: Instant) -> (&mut [u8], &mut Vec<u8>, &Clock) {
        self.clock.read(now);
        (&mut self.inbox, &mut self.outbox, &self.clock)
    }
}

/// The time in whole seconds, read and written once for each. Whoever sets the clock is believed a second later.
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) date: String,
    until: Option<Instant>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: Timestamp::EPOCH, date: httpdate::fmt_http_date(UNIX_EPOCH), until: None }
    }
}

impl Clock {
    fn read(&mut self, now: Instant) {
        if self.until.is_some_and(|until| now < until) {
            return;
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let rest = Duration::from_nanos(1_000_000_000 - u64::from(since.subsec_nanos()));
        self.now = Timestamp::now();
        let seconds = Duration::from_secs(self.now.as_seconds().unsigned_abs());
        (self.date, self.until) = (httpdate::fmt_http_date(UNIX_EPOCH + seconds), Some(now + rest));
    }
}
