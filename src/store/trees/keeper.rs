//! The thread that brings the trees to where the journal is, and makes them durable now and then.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::Trees;
use crate::store::journal::{Reader, Tail};

/// Of trees that are made anew, so many frames are waited for at an opening.
const WAITED_FOR_FRAMES: u64 = 20_000;

/// What it works with.
pub(in crate::store) struct TreeKeeper {
    pub trees: Arc<Trees>,
    pub journal: Arc<Reader>,
    pub settled: Arc<Mutex<Tail>>,
    pub interval: Duration,
}

impl TreeKeeper {
    /// At an opening: what is soon done is waited for, and so is what came after their mark, as it is with the record store and its
    /// checkpoint.
    pub fn begin(&self) {
        let (from, until) = (self.trees.state.lock().tail, *self.settled.lock());
        if until.sequence - from.sequence.min(until.sequence) <= WAITED_FOR_FRAMES || self.trees.is_as_left {
            self.catch_up(&mut String::new(), || true);
        }
    }

    pub fn run(self, stop: &Receiver<()>) {
        const LOOK_AGAIN: Duration = Duration::from_millis(200);
        const LONGEST_PAUSE: Duration = Duration::from_secs(30);
        let (mut due, mut told) = (Instant::now() + self.interval, String::new());
        let mut saved = self.trees.state.lock().tail.sequence;
        // What fails each time costs the sequencer a moment each time.
        let (mut pause, mut next) = (LOOK_AGAIN, Instant::now());
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(self.interval.min(LOOK_AGAIN)) {
            if !self.trees.is_in_step() && Instant::now() >= next {
                self.catch_up(&mut told, || stop.is_empty());
                pause = if told.is_empty() { LOOK_AGAIN } else { (pause * 2).min(LONGEST_PAUSE) };
                next = Instant::now() + if told.is_empty() { Duration::ZERO } else { pause };
            }
            let sequence = self.trees.state.lock().tail.sequence;
            if Instant::now() >= due && sequence != saved {
                self.persist();
                (due, saved) = (Instant::now() + self.interval, sequence);
            }
        }
        self.persist();
    }

    fn catch_up(&self, told: &mut String, go_on: impl FnMut() -> bool) {
        match self.trees.catch_up(&self.journal, &self.settled, go_on) {
            Ok(_) => told.clear(),
            Err(error) => {
                // A journal that was mended behind the mark may have another group there than the one that it knew.
                self.trees.doubt(&self.journal);
                let error = error.to_string();
                if error != *told {
                    tracing::error!(
                        error,
                        "the log's trees cannot follow the journal: no head is signed; it is tried again"
                    );
                    *told = error;
                }
            }
        }
    }

    fn persist(&self) {
        if let Err(error) = self.trees.persist() {
            tracing::warn!(%error, "the log's trees were not made durable: the next start makes them anew");
        }
    }
}
