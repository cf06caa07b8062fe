//! Whether a head may be cosigned (c2sp.org/tlog-witness): the rules, in their order, and the one place that signs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::forks::{Forks, Kept};
use super::state::State;
use crate::metrics::WitnessingMetrics;
use crate::sign::note_signer::NoteSigner;
use crate::tlog::add_checkpoint::{AddCheckpoint, RequestError};
use crate::tlog::cosignature::cosign;
use crate::tlog::hash::Head;
use crate::tlog::note::{Note, SignNote, SignatureLine, VerifierKey};
use crate::tlog::proof::check_consistency;

/// A witness at work.
pub struct Witness {
    signer: NoteSigner,
    /// The keys of each log, by its origin.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Held from the look at the last head until the new one is durable, so requests for a log follow one another; those for
    /// different logs too, for they share a file.
    state: Mutex<State>,
    /// The size that was cosigned last of each log: for whoever only looks, and must not wait for a disk.
    sizes: BTreeMap<String, AtomicU64>,
    /// Held while evidence is written.
    forks: Mutex<Forks>,
    metrics: WitnessingMetrics,
}

/// What a request for a cosignature comes to.
#[derive(Debug)]
pub enum Outcome {
    Cosigned(SignatureLine),
    Malformed(RequestError),
    UnknownLog {
        origin: String,
    },
    /// None of the log's keys signed it, or one of them wrongly.
    NotTheLog {
        origin: String,
    },
    /// The last head that was cosigned has this size, which is not the request's old size.
    OtherSize {
        size: u64,
    },
    /// At the size of the last head the request has another root: the log has forked.
    OtherRoot {
        fork: Box<Fork>,
        kept: Kept,
    },
    NotConsistent {
        origin: String,
        from: u64,
        to: u64,
    },
    /// The state could not be made durable.
    Unwritten {
        cause: String,
    },
}

/// Two heads of one size that the log has signed, without the lines of others.
#[derive(Debug)]
pub struct Fork {
    pub origin: String,
    pub size: u64,
    pub cosigned: Option<String>,
    pub offered: String,
}

impl Outcome {
    /// Every [`Outcome::reason`].
    pub const REASONS: [&str; 7] =
        ["malformed", "unknown_log", "not_the_log", "other_size", "other_root", "not_consistent", "unwritten"];

    /// In a word why nothing was cosigned.
    pub fn reason(&self) -> Option<&'static str> {
        Some(match self {
            Self::Cosigned(_) => return None,
            Self::Malformed(_) => "malformed",
            Self::UnknownLog { .. } => "unknown_log",
            Self::NotTheLog { .. } => "not_the_log",
            Self::OtherSize { .. } => "other_size",
            Self::OtherRoot { .. } => "other_root",
            Self::NotConsistent { .. } => "not_consistent",
            Self::Unwritten { .. } => "unwritten",
        })
    }
}

/// The keys of logs by their origins.
pub fn by_origin(keys: Vec<VerifierKey>) -> BTreeMap<String, Vec<VerifierKey>> {
    let mut logs: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
    for key in keys {
        logs.entry(key.name().to_owned()).or_default().push(key);
    }
    logs
}

impl Witness {
    pub fn new(
        signer: NoteSigner,
        logs: BTreeMap<String, Vec<VerifierKey>>,
        state: State,
        forks: Forks,
        metrics: WitnessingMetrics,
    ) -> Witness {
        let mut sizes = BTreeMap::new();
        for origin in logs.keys() {
            let size = state.of(origin).map_or(0, |cosigned| cosigned.size);
            metrics.reached(origin, size);
            metrics.forks(origin, forks.count(origin));
            sizes.insert(origin.clone(), AtomicU64::new(size));
        }
        Witness { signer, logs, state: Mutex::new(state), sizes, forks: Mutex::new(forks), metrics }
    }

    /// What it counts.
    pub fn metrics(&self) -> &WitnessingMetrics {
        &self.metrics
    }

    /// The key that verifiers pin.
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// The logs, each with the size that was cosigned last. Waits for nobody.
    pub fn logs(&self) -> Vec<(String, u64)> {
        self.sizes.iter().map(|(origin, size)| (origin.clone(), size.load(Ordering::Relaxed))).collect()
    }

    /// Answers one request; the clock tells seconds since 1970. Writes to the disk: for a thread that may block.
    pub fn add_checkpoint(&self, body: &[u8], clock: impl Fn() -> u64) -> Outcome {
        let outcome = self.outcome(body, clock);
        match outcome.reason() {
            None => self.metrics.cosigned(),
            Some(reason) => self.metrics.refused(reason),
        }
        outcome
    }

    fn outcome(&self, body: &[u8], clock: impl Fn() -> u64) -> Outcome {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Outcome::Malformed(error),
        };
        let origin = request.checkpoint.origin.clone();
        let Some(keys) = self.logs.get(&origin) else {
            return Outcome::UnknownLog { origin };
        };
        if request.note.verify(keys).is_err() {
            return Outcome::NotTheLog { origin };
        }
        self.judge(&request, own_words(&request.note, keys), clock)
    }

    /// The log itself asks, in these words.
    fn judge(&self, request: &AddCheckpoint, words: String, clock: impl Fn() -> u64) -> Outcome {
        let AddCheckpoint { old_size, proof, note, checkpoint } = request;
        let origin = &checkpoint.origin;
        let mut state = self.state.lock();
        let Some(known) = state.head(origin).filter(|_| state.is_sure()) else {
            return Outcome::Unwritten { cause: "an earlier write failed".to_owned() };
        };
        if *old_size != known.size {
            return Outcome::OtherSize { size: known.size };
        }
        let head = Head { size: checkpoint.size, root: checkpoint.root };
        if head.size == known.size && head.root != known.root {
            let cosigned = state.of(origin).and_then(|cosigned| cosigned.note.clone());
            drop(state);
            return self.fork(Fork { origin: origin.clone(), size: known.size, cosigned, offered: words }, &head);
        }
        if !check_consistency(&known, &head, proof) {
            return Outcome::NotConsistent { origin: origin.clone(), from: known.size, to: head.size };
        }
        // The clock is asked while nobody else signs, and set back it does not make a later cosignature the earlier one.
        let last = state.of(origin).map_or(0, |cosigned| cosigned.time);
        let time = clock().max(last);
        if (head != known || time != last)
            && let Err(error) = state.advance(origin, &head, time, words)
        {
            return Outcome::Unwritten { cause: error.to_string() };
        }
        if let Some(size) = self.sizes.get(origin) {
            size.store(head.size, Ordering::Relaxed);
        }
        self.metrics.reached(origin, head.size);
        match cosign(note.text(), time, &self.signer) {
            Ok(line) => Outcome::Cosigned(line),
            Err(error) => Outcome::Unwritten { cause: error.to_string() },
        }
    }
    /// Keeps the evidence before the answer leaves.
    fn fork(&self, fork: Fork, offered: &Head) -> Outcome {
        let mut forks = self.forks.lock();
        let kept = forks.keep(&fork.origin, offered, fork.cosigned.as_deref(), &fork.offered);
        self.metrics.forks(&fork.origin, forks.count(&fork.origin));
        Outcome::OtherRoot { fork: Box::new(fork), kept }
    }
}

/// A note without the lines of others: anybody can add those, until it is too long to be kept.
fn own_words(note: &Note, keys: &[VerifierKey]) -> String {
    let made = |key: &VerifierKey| {
        let is_its = |line: &&SignatureLine| key.made(line) && key.check(note.text(), &line.signature).is_some();
        note.signatures().iter().find(is_its)
    };
    let lines: String = keys.iter().filter_map(made).map(|line| format!("{line}\n")).collect();
    format!("{}\n{lines}", note.text())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use crate::sign::keys::{KeyUse, generate, only};
    use crate::tlog::checkpoint::Checkpoint;
    use crate::tlog::note::KeyKind;

    struct World {
        folder: tempfile::TempDir,
        log: NoteSigner,
    }

    impl World {
        fn new() -> World {
            let folder = tempfile::tempdir().unwrap();
            let keys = folder.path().join("log");
            std::fs::create_dir(&keys).unwrap();
            generate(&keys, KeyUse::Checkpoint, 1).unwrap();
            let pair = only(&keys, KeyUse::Checkpoint).unwrap().unwrap();
            World { folder, log: NoteSigner::new("log.example", KeyKind::Note, pair).unwrap() }
        }

        fn witness(&self) -> Witness {
            let (state, pair) = State::open(self.folder.path(), Some("w.example"), 1).unwrap();
            let signer = NoteSigner::new("w.example", KeyKind::Cosignature, pair).unwrap();
            let logs = by_origin(vec![self.log.verifier().clone()]);
            let forks = Forks::open(self.folder.path(), logs.keys()).unwrap();
            let metrics = WitnessingMetrics::new(&Metrics::new().accept, &Outcome::REASONS);
            Witness::new(signer, logs, state, forks, metrics)
        }

        fn note(&self) -> Note {
            let checkpoint =
                Checkpoint { origin: "log.example".to_owned(), size: 1, root: [3; 32], extensions: Vec::new() };
            Note::sign(&checkpoint.encode(), &[&self.log]).unwrap()
        }

        /// The time of a cosignature when the clock shows one.
        fn cosigned_at(&self, witness: &Witness, old: u64, clock: u64) -> u64 {
            let mut note = self.note();
            match witness.add_checkpoint(format!("old {old}\n\n{note}").as_bytes(), || clock) {
                Outcome::Cosigned(line) => note.add(line),
                other => panic!("{other:?}"),
            }
            note.verify(std::slice::from_ref(witness.verifier())).unwrap()[0].time.unwrap()
        }
    }

    #[test]
    fn a_later_cosignature_never_bears_an_earlier_time() {
        let world = World::new();
        let witness = world.witness();
        assert_eq!(world.cosigned_at(&witness, 0, 1_000), 1_000);
        assert_eq!(world.cosigned_at(&witness, 1, 900), 1_000, "the clock was set back");
        assert_eq!(world.cosigned_at(&witness, 1, 1_500), 1_500);
        drop(witness);
        let witness = world.witness();
        assert_eq!(world.cosigned_at(&witness, 1, 1_400), 1_500, "after a restart, too");
    }

    #[test]
    fn who_only_looks_does_not_wait_for_the_disk() {
        let world = World::new();
        let witness = world.witness();
        world.cosigned_at(&witness, 0, 1_000);
        // As it is held while a head is made durable.
        let held = witness.state.lock();
        let (told, heard) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| told.send(witness.logs()).unwrap());
            let logs = heard.recv_timeout(Duration::from_secs(10));
            drop(held);
            assert_eq!(logs.unwrap(), [("log.example".to_owned(), 1)]);
        });
    }
}
