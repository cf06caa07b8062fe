//! Who works beside the callers: the sequencer, and the threads that keep checkpoints, snapshots and cold segments. What each is
//! given, and how it is started. What they do stands with each.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;

use super::Fatal;
use super::catch_up::Opening;
use super::checkpoint::{Checkpoint, CheckpointKeeper};
use super::cold::{Mover, Tiers};
use super::handle::{Keeper, Locks, Room};
use super::journal::{Reader, Tail};
use super::medium::Medium;
use super::names::Filler;
use super::open::{OpenError, StoreOptions};
use super::proposal::{Outcome, Refusal};
use super::sequencer::{Job, Sequencer};
use super::snapshot::{self, Layered, Rows, SnapshotKeeper, SnapshotState};
use super::trees::{TreeKeeper, Trees};

/// The sequencer until it is stopped. One that panics may leave a group that is durable and not visible, and nobody would take
/// another: as bad as a failed disk.
pub(super) fn run_to_the_end(sequencer: Sequencer, queue: &Receiver<Job>, fatal: &dyn Fatal) {
    if catch_unwind(AssertUnwindSafe(|| sequencer.run(queue))).is_err() {
        fatal.failed("the sequencer panicked");
        refuse_until_stopped(queue);
    }
}

/// Stands in for a sequencer that panicked, where that did not end the process: nobody may wait for an answer for ever.
fn refuse_until_stopped(jobs: &Receiver<Job>) {
    for job in jobs {
        match job {
            Job::Commit { proposals, answer, .. } => {
                let refusal = Refusal::Poisoned("the sequencer panicked".to_owned());
                let _ = answer.send(vec![Outcome::Refused(refusal); proposals.len()]);
            }
            Job::Stop { done } => {
                let _ = done.send(());
            }
        }
    }
}

/// A thread that goes on until it is told to stop, and what tells it.
pub(super) fn keep(
    options: &StoreOptions,
    name: &str,
    run: impl FnOnce(&Receiver<()>) + Send + 'static,
) -> Result<(Sender<()>, JoinHandle<()>), OpenError> {
    let (stop, stopped) = bounded(1);
    Ok((stop, spawn(options, name, move || run(&stopped))?))
}

/// A thread of the store.
pub(super) fn spawn(
    options: &StoreOptions,
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(|source| OpenError::Io {
        action: "start a thread for",
        path: options.folder.clone(),
        source,
    })
}

/// Who moves segments to the cold folder, where there is one.
pub(super) fn mover(
    options: &StoreOptions,
    tiers: Option<Arc<Tiers>>,
    journal: &Arc<Reader>,
    snapshots: &Arc<SnapshotKeeper>,
    room: &Room,
    fatal: &Arc<dyn Fatal>,
    poisoned: &Arc<AtomicBool>,
) -> Option<Arc<Mover>> {
    let mover = Mover {
        moving: Mutex::new(()),
        tiers: tiers?,
        journal: Arc::clone(journal),
        snapshots: Arc::clone(snapshots),
        room: Arc::clone(room),
        after_segments: options.cold.as_ref()?.after_segments,
        fatal: Arc::clone(fatal),
        poisoned: Arc::clone(poisoned),
        failures: AtomicU64::new(0),
    };
    Some(Arc::new(mover))
}

/// The thread that moves segments, and what ends it.
pub(super) struct Moving {
    stop: Sender<()>,
    /// Hears of its end: it may be left waiting for the cold disk for ever, and is not joined before.
    ended: Receiver<()>,
    mover: Arc<Mover>,
    thread: JoinHandle<()>,
}

impl Moving {
    /// The thread holds the locks too: where a stop leaves it behind, nobody else opens the folders before it is gone.
    pub fn start(options: &StoreOptions, mover: Arc<Mover>, locks: &Arc<Locks>) -> Result<Moving, OpenError> {
        let (end, ended) = bounded::<()>(0);
        let (worker, locks) = (Arc::clone(&mover), Arc::clone(locks));
        let (stop, thread) = keep(options, "cold", move |stop| {
            worker.run(stop);
            drop((worker, locks, end));
        })?;
        Ok(Moving { stop, ended, mover, thread })
    }

    pub fn tell(&self) {
        let _ = self.stop.send(());
    }

    /// Waits until it has ended, or is seen to wait itself for what may never come.
    pub fn end(self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(100);
        while self.ended.recv_timeout(LOOK_AGAIN) == Err(RecvTimeoutError::Timeout) {
            if self.mover.is_stuck() {
                tracing::error!("cold storage does not answer: its thread is left behind, and ends with the process");
                return;
            }
        }
        let _ = self.thread.join();
    }
}

/// Starts the threads that keep what is derived from the journal.
pub(super) fn keepers(
    options: &StoreOptions,
    sequencer: JoinHandle<()>,
    checkpoints: CheckpointKeeper,
    snapshots: &Arc<SnapshotKeeper>,
    trees: TreeKeeper,
    names: Filler,
    moving: Option<Moving>,
) -> Result<Keeper, OpenError> {
    let (stop, thread) = keep(options, "checkpoints", move |stop| checkpoints.run(stop))?;
    let snapshots = Arc::clone(snapshots);
    let (stop_snapshots, snapshots_thread) = keep(options, "snapshots", move |stop| snapshots.run(stop))?;
    let (stop_trees, trees_thread) = keep(options, "trees", move |stop| trees.run(stop))?;
    let (stop_names, names_thread) = keep(options, "names", move |stop| names.run(stop))?;
    let (names, trees) = ((stop_names, names_thread), (stop_trees, trees_thread));
    Ok(Keeper { stop, thread, sequencer, stop_snapshots, snapshots_thread, trees, names, moving })
}

/// The trees, and who keeps them where the journal is. What is soon done is done when this returns.
pub(super) fn trees(
    options: &StoreOptions,
    medium: &Arc<dyn Medium>,
    journal: &Arc<Reader>,
    settled: &Arc<Mutex<Tail>>,
) -> (Arc<Trees>, TreeKeeper) {
    let trees = Arc::new(Trees::open(medium, journal.start(), *settled.lock()));
    let keeper = TreeKeeper {
        trees: Arc::clone(&trees),
        journal: Arc::clone(journal),
        settled: Arc::clone(settled),
        interval: options.checkpoint_interval,
    };
    keeper.begin();
    (trees, keeper)
}

/// Who keeps the checkpoints of this store.
pub(super) fn checkpoints(
    options: &StoreOptions,
    engine: &Arc<Layered>,
    (medium, settled): (&Arc<dyn Medium>, &Arc<Mutex<Tail>>),
    checkpoint: Checkpoint,
) -> CheckpointKeeper {
    CheckpointKeeper {
        engine: Arc::<Layered>::clone(engine),
        medium: Arc::clone(medium),
        settled: Arc::clone(settled),
        saved: checkpoint.tail,
        session: checkpoint.session,
        interval: options.checkpoint_interval,
        doubted: engine.doubted(),
    }
}

/// Who takes the snapshots of this store.
pub(super) fn snapshots(
    options: &StoreOptions,
    opening: &Opening,
    medium: &Arc<dyn Medium>,
    settled: &Arc<Mutex<Tail>>,
) -> SnapshotKeeper {
    let (last, is_stale) = snapshots_left(medium.as_ref(), opening);
    SnapshotKeeper {
        taking: Mutex::new(()),
        engine: Arc::clone(&opening.engine),
        medium: Arc::clone(medium),
        settled: Arc::clone(settled),
        // The journal stops at the reserve, and makes its next segment before it is needed.
        floor_bytes: options.reserve_bytes.saturating_add(2 * options.segment_bytes),
        // Rows in memory mean that the disk is full.
        every_frames: if opening.opened.in_memory { 0 } else { options.snapshot_frames },
        erasures: Arc::new(AtomicU64::new(0)),
        is_stale,
        last: Mutex::new(last),
    }
}

/// The snapshot that may be replayed over, and whether the one below the record store is to be replaced. Removes the others.
///
/// A crash may have left a newer one than the one below. It cannot take that one's place now, for what was removed since it
/// was begun may be noted nowhere; and the one below may hold what an erasure before it has taken away.
fn snapshots_left(medium: &dyn Medium, opening: &Opening) -> (Option<SnapshotState>, bool) {
    let base = opening.engine.base_number();
    let newest = snapshot::newest(medium);
    let is_fit = |rows: &Rows| rows.head.mark().is_some_and(|mark| mark.erased == opening.mark.erased);
    let fit = newest.as_ref().filter(|rows| is_fit(rows) && rows.number() <= opening.mark.sequence);
    let kept: Vec<u64> = fit.map(Rows::number).into_iter().chain(base).collect();
    snapshot::remove_others(medium, &kept);
    let is_stale = base.is_some() && base != fit.map(Rows::number);
    (fit.filter(|_| !is_stale).map(SnapshotState::of), is_stale)
}

/// Marks the store before it tells the node.
pub(super) struct Poison {
    pub told: Arc<dyn Fatal>,
    pub poisoned: Arc<AtomicBool>,
}

impl Fatal for Poison {
    fn failed(&self, cause: &str) {
        self.poisoned.store(true, Ordering::Release);
        self.told.failed(cause);
    }
}

/// Says how many bytes are missing to the reserve; asks the disk a few times a second at most.
pub(super) fn room(medium: &Arc<dyn Medium>, reserve_bytes: u64) -> Room {
    let medium = Arc::clone(medium);
    const ASK_AGAIN: Duration = Duration::from_millis(200);
    let last: Mutex<Option<(Instant, Option<u64>)>> = Mutex::new(None);
    Arc::new(move || {
        let mut last = last.lock();
        if let Some((_, known)) = last.filter(|(asked, _)| asked.elapsed() < ASK_AGAIN) {
            return known;
        }
        let short =
            medium.free_bytes().ok().and_then(|free| reserve_bytes.checked_sub(free)).filter(|short| *short > 0);
        *last = Some((Instant::now(), short));
        short
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::engine::{Engine, Mark};
    use crate::store::engine_memory::MemoryEngine;
    use crate::store::home::Home;
    use crate::store::medium::Disk;
    use crate::store::snapshot::file::Writer;
    use crate::store::snapshot::{Head, Layered};

    #[test]
    fn a_snapshot_that_a_crash_left_beside_the_one_below_does_not_hide_that_this_one_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let tail =
            |sequence| Tail { segment: 1, offset: 0, sequence, registry_size: 0, audit_size: 0, previous: [0; 32] };
        let snapshot = |sequence, erased| {
            let mark = Mark { sequence, erased, ..Mark::default() };
            let name = format!("{sequence:020}.rows");
            Writer::create(&disk, &name, Head::new(tail(sequence), &mark, 0)).unwrap().finish().unwrap();
            Rows::open(&disk, sequence).unwrap()
        };
        // An erasure came, another snapshot was written, and the process ended before anything rested on it.
        let below = snapshot(5, 0);
        let mut opening = Opening::empty(&Home::Memory).unwrap();
        opening.mark = Mark { sequence: 9, erased: 1, ..Mark::default() };
        let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        opening.engine = Arc::new(Layered::begin(above, below, &opening.mark).unwrap());
        snapshot(8, 1);
        let (last, is_stale) = snapshots_left(&disk, &opening);
        assert!(is_stale && last.is_none(), "what is erased would stay in the one below");
        assert_eq!(disk.list().unwrap().len(), 2);
        // Where nothing rests on any, the newest is as good as ever.
        opening.engine = Arc::new(Layered::alone(Arc::new(MemoryEngine::default())));
        let (last, is_stale) = snapshots_left(&disk, &opening);
        assert!(!is_stale && last.is_some_and(|state| state.sequence == 8));
        assert_eq!(disk.list().unwrap().len(), 1);
    }
}
