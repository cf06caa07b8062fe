//! Random histories on a disk that loses power: what was acknowledged is there, what was not is whole or absent, and the
//! store always opens.
//!
//! MINGPAI_SEEDS is how many histories are run, MINGPAI_SEED where they begin. A failure prints its seed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mingpai::model::time::Timestamp;
use mingpai::store::{EngineChoice, GroupLimits, Outcome, Refusal, Store, StoreOptions};
use seam::disk::{End, TestDisk};
use seam::history::{Fate, Model, Step, fate};
use seam::registry::{Ear, Registry};
use seam::{Dice, setting};

fn options(dice: &mut Dice) -> StoreOptions {
    StoreOptions {
        folder: PathBuf::new(),
        engine: EngineChoice::Memory,
        segment_bytes: *dice.pick(&[16, 16, 64]) * 1024,
        group: GroupLimits { frames: 64, bytes: 1 << 20 },
        queue_entries: 16,
        // Some histories have checkpoints while they run, most only those of opening and stopping.
        checkpoint_interval: if dice.once_in(8) { Duration::from_millis(1) } else { Duration::from_secs(3600) },
        snapshot_frames: 0,
        reserve_bytes: 0,
        cold: None,
    }
}

struct History<'a> {
    dice: Dice,
    disk: TestDisk,
    registry: &'a Registry,
    options: StoreOptions,
    model: Model,
    doubt: Option<(Vec<Step>, Vec<Fate>)>,
}

/// What all histories together did, to show that they do what they are for.
#[derive(Default)]
struct Tally {
    frames: AtomicU64,
    openings: AtomicU64,
    failed_openings: AtomicU64,
    doubts: AtomicU64,
    cuts: AtomicU64,
    full: AtomicU64,
}

impl History<'_> {
    fn run(&mut self, tally: &Tally) {
        for _ in 0..3 + self.dice.below(4) {
            let (store, ear) = self.open_alive(tally);
            if self.doubt.is_some() {
                tally.doubts.fetch_add(1, Ordering::Relaxed);
            }
            self.model.settle(&store, self.doubt.take());
            self.model.compare(&store);
            if self.work(&store, &ear, tally) {
                self.model.compare(&store);
                // A stop that the end may come into at any point.
                if !self.dice.once_in(3) {
                    self.disk.die_in(self.dice.below(14));
                }
            }
            drop(store);
            let end = self.end();
            self.disk.restart(end);
        }
        let (store, _) = self.open_alive(tally);
        self.model.settle(&store, self.doubt.take());
        self.model.compare(&store);
        tally.frames.fetch_add(self.model.len() as u64, Ordering::Relaxed);
    }

    /// Opens the store, and again where its checkpoint thread ran into what was meant for the opening.
    fn open_alive(&mut self, tally: &Tally) -> (Store, Arc<Ear>) {
        loop {
            let opened = self.open(tally);
            self.disk.call_off_faults();
            if !self.disk.is_dead() {
                return opened;
            }
            drop(opened);
            let end = self.end();
            self.disk.restart(end);
        }
    }

    /// Opens the store, however often it dies on the way.
    fn open(&mut self, tally: &Tally) -> (Store, Arc<Ear>) {
        loop {
            match self.dice.below(6) {
                0 | 1 => self.disk.die_in(self.dice.below(12)),
                2 => self.disk.fail_sync_in(self.dice.below(5)),
                3 => self.disk.set_full(true),
                _ => {}
            }
            let ear = Arc::new(Ear::default());
            let opened = Store::open_in_memory_on(
                &self.options,
                self.disk.medium(),
                self.registry.reader(),
                ear.clone(),
                ear.clone(),
            );
            tally.openings.fetch_add(1, Ordering::Relaxed);
            match opened {
                Ok((store, opened)) => {
                    assert!(opened.rebuilt.is_none(), "{:?}", opened.rebuilt);
                    if opened.cut.is_some() {
                        tally.cuts.fetch_add(1, Ordering::Relaxed);
                    }
                    return (store, ear);
                }
                Err(error) => {
                    assert!(self.disk.is_dead() || self.disk.has_failed_sync(), "the store refuses to open: {error}");
                    tally.failed_openings.fetch_add(1, Ordering::Relaxed);
                }
            }
            let end = self.end();
            self.disk.restart(end);
        }
    }

    fn end(&mut self) -> End {
        *self.dice.pick(&[End::Kill, End::PowerCut, End::PowerCut])
    }

    /// Commits jobs until there are enough of them or the store gives up. Says whether it still lives.
    fn work(&mut self, store: &Store, ear: &Ear, tally: &Tally) -> bool {
        for _ in 0..self.dice.below(9) {
            match self.dice.below(14) {
                0 => self.disk.die_in(self.dice.below(10)),
                1 => self.disk.fail_sync_in(self.dice.below(3)),
                2 => self.disk.set_full(true),
                3 => self.disk.set_full(false),
                _ => {}
            }
            let atomic = self.dice.once_in(4);
            let steps = self.model.draw(&mut self.dice, self.registry, Timestamp::now());
            let fates = self.model.plan(&steps, atomic);
            let proposals = steps.iter().map(Step::proposal).collect();
            let outcomes = store.commit_blocking(proposals, atomic);
            assert_eq!(outcomes.len(), steps.len());
            if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(Refusal::ReadFailed(_)))) {
                // The checkpoint thread died between: a proposal could not even be checked, and nothing was written.
                assert!(self.disk.is_dead(), "{outcomes:?}");
                return false;
            }
            let poisoned = |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::Poisoned(_)));
            if outcomes.iter().any(poisoned) {
                assert!(outcomes.iter().all(poisoned), "{outcomes:?}");
                assert!(
                    self.disk.is_dead() || self.disk.has_failed_sync(),
                    "poisoned without a cause: {:?}",
                    ear.fatal.lock()
                );
                assert_eq!(ear.fatal.lock().len(), 1, "the node was not told");
                assert!(store.is_poisoned());
                self.doubt = Some((steps, fates));
                return false;
            }
            assert!(
                !self.disk.has_failed_sync()
                    || !fates.contains(&Fate::Committed)
                    || self.options.checkpoint_interval < Duration::from_secs(1),
                "a commit was acknowledged after a failed sync"
            );
            let mut refused = false;
            for (outcome, expected) in outcomes.iter().zip(&fates) {
                match outcome {
                    Outcome::Refused(Refusal::Full { .. } | Refusal::TooLarge { .. }) => {
                        refused = true;
                        tally.full.fetch_add(1, Ordering::Relaxed);
                    }
                    other => assert_eq!(fate(other), Some(*expected), "{other:?}"),
                }
            }
            if !refused {
                self.model.take(&steps, &fates);
            }
        }
        self.disk.call_off_faults();
        !self.disk.is_dead()
    }
}

#[test]
fn no_acknowledged_write_is_lost_whatever_the_disk_does_at_a_power_cut() {
    let (first, count) = (setting("MINGPAI_SEED", 1), setting("MINGPAI_SEEDS", 300));
    let registry = Registry::new();
    let (next, tally) = (AtomicU64::new(first), Tally::default());
    let failure = parking_lot::Mutex::new(None);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failure.lock().is_some() {
                return;
            }
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut dice = Dice::new(seed);
                let options = options(&mut dice);
                let mut history = History {
                    disk: TestDisk::new(dice.next()),
                    dice,
                    registry: &registry,
                    options,
                    model: Model::default(),
                    doubt: None,
                };
                history.run(&tally);
            }));
            if run.is_err() {
                failure.lock().get_or_insert(seed);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    if let Some(seed) = *failure.lock() {
        panic!("the history fails: MINGPAI_SEED={seed} MINGPAI_SEEDS=1 cargo test --test journal_histories");
    }
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{count} histories: {} frames, {} openings ({} of them died), {} groups in doubt, {} torn tails cut, {} refusals for want of room",
        read(&tally.frames),
        read(&tally.openings),
        read(&tally.failed_openings),
        read(&tally.doubts),
        read(&tally.cuts),
        read(&tally.full)
    );
    assert!(
        count < 100
            || [&tally.frames, &tally.failed_openings, &tally.doubts, &tally.cuts, &tally.full]
                .iter()
                .all(|counter| read(counter) > 0),
        "the histories do not reach what they are for"
    );
}
