//! What a worker's connections read into and write from, one after the other: a connection without a request in the middle
//! has no buffer of its own.

use std::cell::Cell;
use std::time::{Duration, UNIX_EPOCH};

use crate::model::time::Timestamp;

/// What is read at once: 300 short requests, or four of the longest heads.
pub(super) const INBOX_BYTES: usize = 32 * 1024;
/// What is written at once.
pub(super) const OUTBOX_BYTES: usize = 64 * 1024;

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
    /// The buffers, and the time of the clock on the wall, read now.
    pub(super) fn parts(&mut self) -> (&mut [u8], &mut Vec<u8>, &Clock) {
        self.clock.read();
        (&mut self.inbox, &mut self.outbox, &self.clock)
    }
}

/// The time in whole seconds, written once for each.
pub(super) struct Clock {
    pub(super) now: Timestamp,
    pub(super) date: String,
}

impl Default for Clock {
    fn default() -> Self {
        Self { now: Timestamp::EPOCH, date: httpdate::fmt_http_date(UNIX_EPOCH) }
    }
}

impl Clock {
    fn read(&mut self) {
        let now = Timestamp::now();
        if now != self.now {
            let since = Duration::from_secs(now.as_seconds().unsigned_abs());
            (self.now, self.date) = (now, httpdate::fmt_http_date(UNIX_EPOCH + since));
        }
    }
}
