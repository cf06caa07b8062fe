//! The cache against a plain map: any order of commits, questions, late fills, purges, resizes and time on one thread.

use std::collections::HashMap;

use mingpai::store::cache::{AnswerCache, Draft, Fill, Held, ShelfSize, ViewClass};
use proptest::prelude::*;

const NAMES: usize = 24;

#[derive(Clone, Debug)]
enum Step {
    /// A commit: the store says something new, then the cache is told.
    Commit(usize),
    /// A commit that makes a name unknown, or known again.
    Remove(usize),
    /// A whole resolution: the cache, or the store and a fill.
    Ask(usize),
    /// Begins a fill and reads the store; shelves it some steps later.
    Begin(usize),
    Finish,
    /// All names of one prefix change in the store.
    Purge(usize),
    PurgeAll,
    Resize(u64),
    Wait(u64),
    Hold(usize),
    Reclaim,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = 0..NAMES;
    let step = prop_oneof![
        4 => name.clone().prop_map(Step::Commit),
        1 => name.clone().prop_map(Step::Remove),
        12 => name.clone().prop_map(Step::Ask),
        3 => name.clone().prop_map(Step::Begin),
        3 => Just(Step::Finish),
        1 => (0..3usize).prop_map(Step::Purge),
        1 => Just(Step::PurgeAll),
        1 => (1..4u64).prop_map(Step::Resize),
        1 => (1..4_000u64).prop_map(Step::Wait),
        1 => name.prop_map(Step::Hold),
        1 => Just(Step::Reclaim),
    ];
    prop::collection::vec(step, 1..200)
}

fn name(at: usize) -> String {
    format!("88.{}/{at}", at % 3)
}

fn body(at: usize, version: u64) -> String {
    format!("{at}:{version}:{}", "x".repeat(at * 40))
}

struct World {
    cache: AnswerCache,
    /// The record store: version and whether it is known.
    rows: HashMap<usize, (u64, bool)>,
    begun: Vec<(usize, Fill, (u64, bool))>,
    held: Vec<(Held, usize, u64)>,
    now: u64,
    reached: bool,
}

fn sizes(of: u64) -> (ShelfSize, ShelfSize) {
    let kib = of << 10;
    (ShelfSize { bytes: 10 * kib + 9_000, slots: 6 * of as usize }, ShelfSize { bytes: 6 * kib + 9_000, slots: 12 })
}

impl World {
    fn row(&self, at: usize) -> (u64, bool) {
        self.rows.get(&at).copied().unwrap_or((0, true))
    }

    fn shelve(&self, at: usize, fill: Fill, (version, known): (u64, bool)) {
        let (name, body) = (name(at), body(at, version));
        let draft = match known {
            true => Draft { status: 200, etag: b"\"1\"", body: body.as_bytes(), ..Draft::default() },
            false => Draft { status: 404, fresh_ms: 1_000, stale_ms: 500, negative: true, ..Draft::default() },
        };
        let _ = self.cache.fill_draft(fill, ViewClass::Public, &name, self.cache.hash(&name), self.now, &draft);
    }

    fn ask(&mut self, at: usize) {
        let (version, known) = self.row(at);
        let name = name(at);
        let found = self.cache.read(ViewClass::Public, &name, self.now, |hit| {
            assert_eq!(hit.status(), if known { 200 } else { 404 }, "what the store says");
            assert!(!known || hit.body() == body(at, version).as_bytes(), "what the store says");
            let all = hit.head_and_body();
            assert_eq!(&all[..hit.head().len()], hit.head());
            assert_eq!(&all[hit.head().len()..], hit.body());
        });
        self.reached |= found.is_some();
        if found.is_none() {
            let fill = self.cache.begin(&name);
            self.shelve(at, fill, (version, known));
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Commit(at) => {
                self.rows.insert(at, (self.row(at).0 + 1, true));
                self.cache.changed(&name(at));
            }
            Step::Remove(at) => {
                self.rows.insert(at, (self.row(at).0 + 1, !self.row(at).1));
                self.cache.changed(&name(at));
            }
            Step::Ask(at) => self.ask(at),
            Step::Begin(at) => self.begun.push((at, self.cache.begin(&name(at)), self.row(at))),
            Step::Finish => {
                if let Some((at, fill, row)) = self.begun.pop() {
                    self.shelve(at, fill, row);
                }
            }
            Step::Purge(prefix) => {
                for at in (prefix..NAMES).step_by(3) {
                    self.rows.insert(at, (self.row(at).0 + 1, true));
                }
                self.cache.purge(&format!("88.{prefix}"));
            }
            Step::PurgeAll => {
                for at in 0..NAMES {
                    self.rows.insert(at, (self.row(at).0 + 1, true));
                }
                self.cache.purge_all();
            }
            Step::Resize(of) => {
                let (positive, negative) = sizes(of);
                self.cache.resize_shelves(positive, negative);
            }
            Step::Wait(ms) => self.now += ms,
            Step::Hold(at) => {
                let version = self.row(at).0;
                let held = self
                    .cache
                    .read(ViewClass::Public, &name(at), self.now, |hit| (hit.status() == 200).then(|| hit.hold()));
                self.held.extend(held.flatten().map(|held| (held, at, version)));
            }
            Step::Reclaim => self.cache.reclaim(),
        }
    }

    fn check(&self) {
        let counters = self.cache.counters();
        for balance in [counters.positive, counters.negative] {
            let counted = balance.fixed_bytes + balance.live_bytes + balance.limbo_bytes;
            assert!(balance.used_bytes >= counted, "{balance:?}");
            assert!(!self.held.is_empty() || balance.used_bytes == counted, "{balance:?}");
        }
        for (held, at, version) in &self.held {
            assert_eq!(held.seen().body(), body(*at, *version).as_bytes(), "a handle keeps its answer");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 512 }, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_cache_says_what_the_store_says(steps in steps()) {
        let (positive, negative) = sizes(1);
        let cache = AnswerCache::with_shelves(positive, negative);
        let mut world = World { cache, rows: HashMap::new(), begun: vec![], held: vec![], now: 1_000, reached: false };
        for step in &steps {
            world.take(step);
            world.check();
        }
        let World { cache, held, .. } = world;
        drop(cache);
        // Handles outlive the cache.
        drop(held);
    }
}
