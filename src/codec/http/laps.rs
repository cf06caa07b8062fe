//! How long each stage of one request took. A stage's time is what passed since the one before ended.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::metrics::{Outcome, RequestTimes, Stage, Transport};

/// The stages that are timed here; the total is accept's.
const TIMED: [Stage; 4] = [Stage::Decode, Stage::Guard, Stage::Service, Stage::Encode];

/// Shared by the handler and by who records it afterwards.
#[derive(Debug)]
pub(in crate::codec) struct Laps {
    started: Instant,
    /// Nanoseconds after the start at which the last lap ended.
    mark: AtomicU64,
    spent: [AtomicU64; TIMED.len()],
}

impl Laps {
    pub(in crate::codec) fn begin() -> Self {
        Self { started: Instant::now(), mark: AtomicU64::new(0), spent: [const { AtomicU64::new(0) }; TIMED.len()] }
    }

    /// What passed since the last mark was this stage.
    pub(in crate::codec) fn end(&self, stage: Stage) {
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let lap = now.saturating_sub(self.mark.swap(now, Ordering::Relaxed));
        let place = TIMED.iter().position(|timed| *timed == stage);
        if let Some(spent) = place.and_then(|place| self.spent.get(place)) {
            spent.fetch_add(lap, Ordering::Relaxed);
        }
    }

    /// What passed since the last mark was nobody's here: waiting for the client.
    pub(in crate::codec) fn skip(&self) {
        self.end(Stage::Total);
    }

    /// Stages that were not reached are not counted.
    pub(in crate::codec) fn record(&self, times: &RequestTimes, transport: Transport, status: u16) {
        let outcome = Outcome::of_status(status);
        for (stage, spent) in TIMED.into_iter().zip(&self.spent) {
            let nanoseconds = spent.load(Ordering::Relaxed);
            if nanoseconds > 0 {
                times.record(stage, transport, outcome, Duration::from_nanos(nanoseconds));
            }
        }
    }
}
