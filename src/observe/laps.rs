//! How long each step of one request took. A step's time is what passed since the one before ended; steps within the
//! service are timed by themselves.
//!
//! What works for a request finds its laps by itself ([`timed`], [`timed_async`]), as it would find a span: so no service takes
//! a stopwatch with its request, and nothing is measured, nor is a clock read, where nobody asked.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;

use crate::metrics::{Outcome, RequestTimes, Stage, Transport};

/// Laps kept one by one; of a request with more only the sums are known.
const MOST_LAPS: usize = 32;

/// A part of the work on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Decode,
    Guard,
    Service,
    Encode,
    /// Waiting for the client: nobody's time here.
    Wait,
    /// Within the service: the cache is asked or filled.
    Cache,
    /// Within the service: rows and journal are read, or a commit is waited for.
    Store,
    /// Of that wait: until the turn of its group came.
    Queue,
    /// Of that wait: until its group was durable.
    Journal,
    /// Within the service: an entry is built and signed.
    Sign,
    /// Within the service: the answer is written for the cache.
    Form,
}

impl Step {
    pub const ALL: [Step; 11] = [
        Step::Decode,
        Step::Guard,
        Step::Service,
        Step::Encode,
        Step::Wait,
        Step::Cache,
        Step::Store,
        Step::Queue,
        Step::Journal,
        Step::Sign,
        Step::Form,
    ];

    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Guard => "guard",
            Self::Service => "service",
            Self::Encode | Self::Form => "encode",
            Self::Wait => "wait",
            Self::Cache => "cache",
            Self::Store => "store",
            Self::Queue => "queue",
            Self::Journal => "journal",
            Self::Sign => "sign",
        }
    }

    /// Whether it is a part of [`Step::Service`].
    #[must_use]
    pub fn is_within_service(self) -> bool {
        matches!(self, Self::Cache | Self::Store | Self::Queue | Self::Journal | Self::Sign | Self::Form)
    }

    /// What the histograms call it; waiting for the client has no series.
    fn stage(self) -> Option<Stage> {
        match self {
            Self::Decode => Some(Stage::Decode),
            Self::Guard => Some(Stage::Guard),
            Self::Service => Some(Stage::Service),
            Self::Encode => Some(Stage::Encode),
            Self::Cache => Some(Stage::Cache),
            Self::Store => Some(Stage::Store),
            Self::Queue => Some(Stage::Queue),
            Self::Journal => Some(Stage::Journal),
            Self::Sign => Some(Stage::Sign),
            Self::Form => Some(Stage::Form),
            Self::Wait => None,
        }
    }
}

/// One stretch of a step, in nanoseconds after the request's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lap {
    pub step: Step,
    pub from: u64,
    pub to: u64,
}

/// Shared by the handler, by what works for it, and by who tells of it afterwards.
#[derive(Debug)]
pub struct Laps {
    started: Instant,
    began: SystemTime,
    course: Mutex<Course>,
}

#[derive(Debug, Default)]
struct Course {
    /// Where the last lap ended.
    mark: u64,
    sums: [u64; Step::ALL.len()],
    laps: Vec<Lap>,
}

impl Laps {
    #[must_use]
    pub fn begin() -> Self {
        let course = Course { laps: Vec::with_capacity(8), ..Course::default() };
        Self { started: Instant::now(), began: SystemTime::now(), course: Mutex::new(course) }
    }

    /// What passed since the last mark was this step.
    pub fn end(&self, step: Step) {
        let now = self.now();
        let mut course = self.course.lock();
        let from = std::mem::replace(&mut course.mark, now);
        course.add(Lap { step, from, to: now });
    }

    /// What passed since the last mark was nobody's here: waiting for the client.
    pub fn skip(&self) {
        self.end(Step::Wait);
    }

    fn within(&self, step: Step, from: u64) {
        let to = self.now();
        self.course.lock().add(Lap { step, from, to });
    }

    fn now(&self) -> u64 {
        nanoseconds(self.started.elapsed())
    }

    /// Since the beginning, waiting for the client not counted.
    #[must_use]
    pub fn worked(&self) -> Duration {
        Duration::from_nanos(self.now()).saturating_sub(self.spent(Step::Wait))
    }

    #[must_use]
    pub fn spent(&self, step: Step) -> Duration {
        Duration::from_nanos(self.course.lock().sums.get(step as usize).copied().unwrap_or_default())
    }

    /// When it began, by the clock on the wall.
    #[must_use]
    pub fn began(&self) -> SystemTime {
        self.began
    }

    /// Nanoseconds since the beginning, and what was kept one by one.
    #[must_use]
    pub fn course(&self) -> (u64, Vec<Lap>) {
        (self.now(), self.course.lock().laps.clone())
    }

    /// Adds to the histograms. Stages that were not reached are not counted.
    pub fn record(&self, times: &RequestTimes, transport: Transport, status: u16) {
        let (outcome, sums) = (Outcome::of_status(status), self.course.lock().sums);
        for (step, spent) in Step::ALL.into_iter().zip(sums) {
            if let Some(stage) = step.stage()
                && spent > 0
            {
                times.record(stage, transport, outcome, Duration::from_nanos(spent));
            }
        }
    }
}

impl Course {
    fn add(&mut self, lap: Lap) {
        if let Some(sum) = self.sums.get_mut(lap.step as usize) {
            *sum += lap.to.saturating_sub(lap.from);
        }
        if self.laps.len() < MOST_LAPS {
            self.laps.push(lap);
        }
    }
}

tokio::task_local! {
    static CURRENT: Arc<Laps>;
}

/// Does all of `work` for the request that these laps belong to.
pub async fn on_behalf<F: Future>(laps: Arc<Laps>, work: F) -> F::Output {
    CURRENT.scope(laps, work).await
}

/// Does work that waits for nothing for the request that these laps belong to.
pub fn while_timed<T>(laps: &Arc<Laps>, work: impl FnOnce() -> T) -> T {
    CURRENT.sync_scope(Arc::clone(laps), work)
}

/// For work that goes on on another thread: takes the laps of this request along.
pub fn carried<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let laps = current();
    let span = tracing::Span::current();
    move || {
        span.in_scope(|| match laps {
            Some(laps) => CURRENT.sync_scope(laps, work),
            None => work(),
        })
    }
}

/// Notes how long `work` takes, where it is done for a request.
pub fn timed<T>(step: Step, work: impl FnOnce() -> T) -> T {
    let Some(laps) = current() else {
        return work();
    };
    let from = laps.now();
    let done = work();
    laps.within(step, from);
    done
}

/// The same of work that waits.
pub async fn timed_async<F: Future>(step: Step, work: F) -> F::Output {
    let Some(laps) = current() else {
        return work.await;
    };
    let from = laps.now();
    let done = work.await;
    laps.within(step, from);
    done
}

/// Notes a stretch that was measured elsewhere.
pub fn noted(step: Step, from: Instant, to: Instant) {
    if let Some(laps) = current() {
        let since = |at: Instant| nanoseconds(at.saturating_duration_since(laps.started));
        laps.course.lock().add(Lap { step, from: since(from), to: since(to) });
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn current() -> Option<Arc<Laps>> {
    CURRENT.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_works_for_a_request_finds_its_laps_on_other_threads_too() {
        let laps = Arc::new(Laps::begin());
        let work = async {
            timed(Step::Cache, || ());
            timed_async(Step::Sign, async {}).await;
            let elsewhere = carried(|| timed(Step::Store, || ()));
            tokio::task::spawn_blocking(elsewhere).await.unwrap();
            laps.end(Step::Service);
        };
        on_behalf(Arc::clone(&laps), work).await;
        timed(Step::Form, || ());
        let (total, course) = laps.course();
        let steps: Vec<Step> = course.iter().map(|lap| lap.step).collect();
        assert_eq!(steps, [Step::Cache, Step::Sign, Step::Store, Step::Service]);
        let service = course.last().unwrap();
        assert!(course.iter().all(|lap| service.from <= lap.from && lap.from <= lap.to && lap.to <= service.to));
        assert!(total >= service.to);
    }

    #[test]
    fn sums_are_whole_where_laps_are_too_many_to_keep() {
        let laps = Laps::begin();
        for _ in 0..1_000 {
            laps.end(Step::Decode);
            laps.skip();
        }
        let (_, course) = laps.course();
        assert_eq!(course.len(), MOST_LAPS);
        let passed = Duration::from_nanos(laps.course.lock().mark);
        assert_eq!(laps.spent(Step::Decode) + laps.spent(Step::Wait), passed);
    }

    #[test]
    fn the_places_of_the_sums_are_those_of_the_steps() {
        assert!(Step::ALL.iter().enumerate().all(|(place, step)| *step as usize == place));
    }
}
