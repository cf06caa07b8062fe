//! Turns: how much of its thread a worker's slow requests take before it looks at its sockets again.
//!
//! A registration costs some ten times what a cached answer does (docs/performance.md), and a group's commit wakes dozens at once. All in one go,
//! they would keep the quick ones waiting for milliseconds. So their polls share an allowance, [`TURN`], which is renewed
//! after each look at the sockets; who finds it used up waits in line. What the fast lane or hyper answers at once has no
//! part in it; nor have bodies that are sent in pieces, which yield by themselves.
//!
//! Where quick ones keep the worker busy, slow ones have as much of it as those had in the turn before, up to [`MOST`]. Where
//! none was answered for a while ([`QUIET`]) a turn lasts that long, too: a look at the sockets costs something, and nobody
//! waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

/// What slow requests may take between two looks at the sockets; the poll that goes beyond it is the last of its turn.
const TURN: Duration = Duration::from_micros(100);
/// What they may take at most, however long the quick ones took.
const MOST: Duration = Duration::from_millis(1);
/// Of the thread's time.
const QUIET: Duration = Duration::from_millis(100);

/// The turns of one worker.
#[derive(Default)]
pub(super) struct Turns {
    course: Mutex<Course>,
    begun: Notify,
    /// Whether anything was answered at once since the last look at the sockets.
    has_quick: AtomicBool,
}

struct Course {
    /// Of this turn's allowance.
    spent: Duration,
    allowance: Duration,
    /// Who waits, in order.
    line: BTreeMap<u64, Waker>,
    tickets: u64,
}

/// One request's place in the line. [`Turns::leave`] gives it up.
#[derive(Debug, Default)]
pub(super) struct Place(Option<u64>);

impl Turns {
    /// Begins the next turn each time the sockets were looked at, as long as the worker lives.
    pub(super) async fn run(&self) {
        // So long no quick one has come.
        let mut quiet = Duration::ZERO;
        loop {
            self.begun.notified().await;
            let mut before = worked();
            loop {
                // The runtime wakes who yields after it has looked at its sockets.
                tokio::task::yield_now().await;
                let now = worked();
                let mut course = self.course.lock();
                let quick = now.saturating_sub(before + course.spent);
                let is_quiet = !self.has_quick.swap(false, Ordering::Relaxed);
                quiet = if is_quiet { quiet + now.saturating_sub(before) } else { Duration::ZERO };
                before = now;
                course.spent = Duration::ZERO;
                course.allowance = if quiet < QUIET { quick.clamp(TURN, MOST) } else { MOST };
                let first = course.line.pop_first();
                drop(course);
                match first {
                    Some((_, waker)) => waker.wake(),
                    None => break,
                }
            }
        }
    }

    /// Something was answered at once.
    pub(super) fn quick(&self) {
        self.has_quick.store(true, Ordering::Relaxed);
    }

    /// Polls if there is time left of this turn; if not, the caller is woken in a later one.
    pub(super) fn poll<T>(
        &self,
        place: &mut Place,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.admits(place, context) {
            return Poll::Pending;
        }
        let begun = Instant::now();
        let polled = poll(context);
        self.took(begun.elapsed());
        polled
    }

    fn admits(&self, place: &mut Place, context: &Context<'_>) -> bool {
        let mut course = self.course.lock();
        if course.spent < course.allowance {
            if let Some(ticket) = place.0.take() {
                course.line.remove(&ticket);
            }
            return true;
        }
        // Who was woken too late keeps its place.
        let ticket = *place.0.get_or_insert_with(|| {
            course.tickets += 1;
            course.tickets
        });
        course.line.insert(ticket, context.waker().clone());
        false
    }

    fn took(&self, time: Duration) {
        let mut course = self.course.lock();
        let is_first = course.spent.is_zero();
        course.spent += time.max(Duration::from_nanos(1));
        let next = if course.spent < course.allowance { course.line.pop_first() } else { None };
        drop(course);
        if let Some((_, waker)) = next {
            waker.wake();
        }
        if is_first {
            self.begun.notify_one();
        }
    }

    /// Nobody waits here any more.
    pub(super) fn leave(&self, place: &Place) {
        if let Some(ticket) = place.0 {
            self.course.lock().line.remove(&ticket);
        }
    }
}

/// Of the core, by this thread: what another thread takes in between is nobody's here.
fn worked() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl Default for Course {
    fn default() -> Course {
        Course { spent: Duration::ZERO, allowance: TURN, line: BTreeMap::new(), tickets: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::Arc;

    use super::*;

    type Log = Arc<Mutex<Vec<usize>>>;

    /// A worker with `turns`, which does `work`.
    fn on_a_worker<F: Future>(work: impl FnOnce(Arc<Turns>) -> F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let turns = Arc::new(Turns::default());
            tokio::select! {
                done = work(Arc::clone(&turns)) => done,
                () = turns.run() => unreachable!("turns are begun for ever"),
            }
        })
    }

    /// One that takes a whole turn, whatever its allowance, each time it is polled.
    async fn slow(turns: &Turns, log: &Log, name: usize) {
        let mut place = Place::default();
        poll_fn(|context| {
            turns.poll(&mut place, context, |_| {
                let begun = Instant::now();
                while begun.elapsed() < MOST {
                    std::hint::spin_loop();
                }
                log.lock().push(name);
                Poll::Ready(())
            })
        })
        .await;
    }

    /// One that takes as much of the thread as a turn has at least.
    async fn brief(turns: &Turns, log: &Log) {
        let mut place = Place::default();
        let work = |_: &mut Context<'_>| {
            let begun = worked();
            while worked() - begun < TURN {}
            log.lock().push(0);
            Poll::Ready(())
        };
        poll_fn(|context| turns.poll(&mut place, context, work)).await;
    }

    const QUICK: usize = usize::MAX;

    #[test]
    fn quick_requests_have_their_turn_between_two_slow_ones_which_come_in_order() {
        let log = on_a_worker(|turns| async move {
            let log = Log::default();
            let waiting: Vec<_> = (0..20)
                .map(|name| {
                    let (turns, log) = (Arc::clone(&turns), Arc::clone(&log));
                    tokio::spawn(async move { slow(&turns, &log, name).await })
                })
                .collect();
            let quick = Arc::clone(&log);
            let quick = tokio::spawn(async move {
                loop {
                    // As one whose socket has become readable.
                    tokio::task::yield_now().await;
                    quick.lock().push(QUICK);
                }
            });
            for task in waiting {
                task.await.unwrap();
            }
            quick.abort();
            Arc::try_unwrap(log).unwrap_or_else(|log| Mutex::new(log.lock().clone())).into_inner()
        });
        let together = log.windows(2).find(|pair| !pair.contains(&QUICK));
        assert_eq!(together, None, "{log:?}");
        let slow: Vec<usize> = log.into_iter().filter(|name| *name != QUICK).collect();
        assert_eq!(slow, (0..20).collect::<Vec<_>>());
    }

    #[test]
    fn where_quick_ones_keep_the_worker_busy_slow_ones_have_as_much_of_it() {
        let together = on_a_worker(|turns| async move {
            let log = Log::default();
            let quick = Arc::clone(&log);
            let quick = tokio::spawn(async move {
                loop {
                    tokio::task::yield_now().await;
                    quick.lock().push(QUICK);
                    let begun = worked();
                    while worked() - begun < 2 * MOST {}
                }
            });
            let waiting: Vec<_> = (0..40)
                .map(|_| {
                    let (turns, log) = (Arc::clone(&turns), Arc::clone(&log));
                    tokio::spawn(async move { brief(&turns, &log).await })
                })
                .collect();
            for task in waiting {
                task.await.unwrap();
            }
            quick.abort();
            let log = log.lock();
            log.split(|name| *name == QUICK).map(<[usize]>::len).max()
        });
        assert!(together > Some(2), "{together:?} of a tenth of the most at a time");
    }

    #[test]
    fn where_no_quick_one_comes_for_a_while_more_slow_ones_go_together() {
        let together = |has_quick: bool| {
            on_a_worker(|turns| async move {
                let log = Log::default();
                let (passes, look) = (Arc::clone(&log), Arc::clone(&turns));
                let looking = tokio::spawn(async move {
                    loop {
                        tokio::task::yield_now().await;
                        passes.lock().push(QUICK);
                        if has_quick {
                            look.quick();
                        }
                    }
                });
                // Twice the time that it takes to be quiet; few tasks, so that none of the passes is missed.
                let each = 2 * QUIET.as_micros() / TURN.as_micros() / 20;
                let waiting: Vec<_> = (0..20)
                    .map(|_| {
                        let (turns, log) = (Arc::clone(&turns), Arc::clone(&log));
                        tokio::spawn(async move {
                            for _ in 0..each {
                                brief(&turns, &log).await;
                            }
                        })
                    })
                    .collect();
                for task in waiting {
                    task.await.unwrap();
                }
                looking.abort();
                let log = log.lock();
                let lengths = log.split(|name| *name == QUICK).map(<[usize]>::len).filter(|length| *length > 0);
                let mut last: Vec<usize> = lengths.collect();
                last.reverse();
                last.truncate(50);
                last.sort_unstable();
                last.get(last.len() / 2).copied().unwrap_or_default()
            })
        };
        // In the middle of the turns that come after the quiet has begun, whatever a busy machine makes of a few of them.
        let (busy, quiet) = (together(true), together(false));
        assert!(busy <= 3 && quiet >= 5, "{busy} at a time beside quick ones, {quiet} without");
    }

    #[test]
    fn whoever_goes_away_keeps_nobody_waiting() {
        let log = on_a_worker(|turns| async move {
            let log = Log::default();
            slow(&turns, &log, 0).await;
            let mut gone = Place::default();
            poll_fn(|context| {
                // Polled again while it waits, it has one place all the same.
                for _ in 0..100 {
                    let polled = turns.poll(&mut gone, context, |_| Poll::Ready(()));
                    assert!(polled.is_pending());
                }
                Poll::Ready(())
            })
            .await;
            assert_eq!(turns.course.lock().line.len(), 1);
            let mut next = pin!(slow(&turns, &log, 1));
            let _ = futures_util::poll!(next.as_mut());
            assert_eq!(turns.course.lock().line.len(), 2);
            turns.leave(&gone);
            assert_eq!(turns.course.lock().line.len(), 1);
            next.await;
            assert!(turns.course.lock().line.is_empty());
            // Whoever was woken and never came has lost its turn, and the next one has not.
            let mut lost = Place::default();
            let polled = turns.poll(&mut lost, &mut Context::from_waker(Waker::noop()), |_| Poll::Ready(()));
            assert!(polled.is_pending());
            slow(&turns, &log, 2).await;
            log.lock().clone()
        });
        assert_eq!(log, [0, 1, 2]);
    }
}
