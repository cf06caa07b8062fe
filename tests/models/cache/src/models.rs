//! One model an invariant. Threads are few and do little: what is explored is every order of their steps.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::core::{Asked, Core, Fill, ShelfSize};
use crate::draft::{Draft, Times};
use crate::entry::{Entry, Held, Key};
use crate::generation::Generations;
use crate::ledger::Ledger;
use crate::limbo::Limbo;
use crate::reclaim::{Epochs, Place};
use crate::table::Table;

fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let more = usize::from(std::env::var("CACHE_MODELS").is_ok_and(|how| how == "long"));
    builder.preemption_bound = Some(preemptions + more);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn asked(name: &'static str) -> Asked<'static> {
    // All in the first set, but for capital letters, which are in the last; under one counter; the low bytes are the tag.
    let letter = name.as_bytes()[0];
    let hash = u64::from(letter) | if letter.is_ascii_uppercase() { 1 << 63 } else { 0 };
    Asked { key: Key { hash, class: 0, name: name.as_bytes() }, name_hash: 0 }
}

fn draft(version: &[u8; 1]) -> Draft<'_> {
    Draft { status: 200, body: version, ..Draft::default() }
}

fn core(slots: usize) -> Arc<Core> {
    let positive = ShelfSize { bytes: Table::bytes(2 * slots) + (64 << 10), slots };
    Arc::new(Core::new(positive, ShelfSize { bytes: Table::bytes(1) + (64 << 10), slots: 1 }, 1, 4))
}

fn fill(core: &Core, begun: Fill, name: &'static str, version: u64) {
    let _ = core.fill(begun, &asked(name), Times::ALWAYS, &draft(&[version as u8]));
}

fn find(core: &Core, name: &'static str) -> Option<u64> {
    let open = core.open()?;
    open.find(&asked(name), 0).map(|hit| u64::from(hit.body()[0]))
}

fn held(ledger: &Arc<Ledger>, version: u8) -> Held {
    let stamp = Generations::new(1).begin(0, 0);
    assert!(ledger.reserve(Entry::bytes_of(b"a", &draft(&[version])).unwrap()));
    Entry::make(asked("a").key, &draft(&[version]), stamp, Times::ALWAYS, ledger).unwrap()
}

/// PUBLISHED, UNLINKED FIRST, PINNED.
#[test]
fn a_reader_never_reads_what_was_freed() {
    explore(4, || {
        let ledger = Arc::new(Ledger::new(1 << 20));
        // SAFETY: ONE DOMAIN: one place, one limbo, these epochs.
        let epochs = Arc::new(unsafe { Epochs::new(2) });
        let place = Arc::new(Place::new(Some(held(&ledger, 1))));
        let limbo = Arc::new(Limbo::new());
        let reader = {
            let (epochs, place) = (Arc::clone(&epochs), Arc::clone(&place));
            thread::spawn(move || {
                for _ in 0..2 {
                    let pin = epochs.pin().unwrap();
                    if let Some(seen) = place.follow(&pin) {
                        assert!([1, 2].contains(&seen.body()[0]));
                    }
                }
            })
        };
        if let Some(gone) = place.put(Some(held(&ledger, 2))) {
            limbo.retire(gone);
        }
        limbo.reclaim(&epochs, drop);
        if let Some(gone) = place.put(None) {
            limbo.retire(gone);
        }
        limbo.reclaim(&epochs, drop);
        reader.join().unwrap();
        limbo.reclaim(&epochs, drop);
        assert_eq!(ledger.balance().used_bytes, 0, "all is free once nobody reads");
    });
}

/// Two retire and reclaim at once.
#[test]
fn two_writers_share_one_limbo() {
    explore(3, || {
        let ledger = Arc::new(Ledger::new(1 << 20));
        // SAFETY: ONE DOMAIN: as above.
        let epochs = Arc::new(unsafe { Epochs::new(2) });
        let place = Arc::new(Place::new(Some(held(&ledger, 1))));
        let limbo = Arc::new(Limbo::new());
        let other = {
            let (epochs, place, limbo, ledger) = (epochs.clone(), place.clone(), limbo.clone(), ledger.clone());
            thread::spawn(move || {
                {
                    let pin = epochs.pin().unwrap();
                    let _ = place.follow(&pin).map(|seen| seen.body()[0]);
                    place.put(Some(held(&ledger, 2))).map(|gone| limbo.retire(gone));
                }
                limbo.reclaim(&epochs, drop);
            })
        };
        place.put(Some(held(&ledger, 3))).map(|gone| limbo.retire(gone));
        limbo.reclaim(&epochs, drop);
        other.join().unwrap();
        limbo.reclaim(&epochs, drop);
        let one = Entry::bytes_of(b"a", &draft(&[1])).unwrap();
        assert_eq!(ledger.balance().used_bytes, one, "the one in its place is left");
    });
}

/// HELD.
#[test]
fn a_handle_outlives_its_place() {
    explore(4, || {
        let ledger = Arc::new(Ledger::new(1 << 20));
        // SAFETY: ONE DOMAIN: as above.
        let epochs = Arc::new(unsafe { Epochs::new(2) });
        let place = Arc::new(Place::new(Some(held(&ledger, 1))));
        let limbo = Arc::new(Limbo::new());
        let reader = {
            let (epochs, place) = (Arc::clone(&epochs), Arc::clone(&place));
            thread::spawn(move || {
                let handle = {
                    let pin = epochs.pin().unwrap();
                    place.follow(&pin).map(|seen| seen.hold())
                };
                handle.map(|handle| assert_eq!(handle.seen().body(), [1]));
            })
        };
        place.put(None).map(|gone| limbo.retire(gone));
        limbo.reclaim(&epochs, drop);
        reader.join().unwrap();
        limbo.reclaim(&epochs, drop);
        assert_eq!(ledger.balance().used_bytes, 0);
    });
}

/// GENERATION: a fill races a commit; a reader who knows of the commit never sees what was before.
fn coherent(commit: fn(&Core)) {
    explore(3, move || {
        let core = core(2);
        let (rows, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let filler = {
            let (core, rows) = (Arc::clone(&core), Arc::clone(&rows));
            thread::spawn(move || {
                if cfg!(seeded_bug = "generation_after_read") {
                    let version = rows.load(Ordering::Relaxed);
                    fill(&core, core.begin(0, 0), "a", version);
                } else {
                    let begun = core.begin(0, 0);
                    let version = rows.load(Ordering::Relaxed);
                    fill(&core, begun, "a", version);
                }
            })
        };
        let writer = {
            let (core, rows, acknowledged) = (Arc::clone(&core), Arc::clone(&rows), Arc::clone(&acknowledged));
            thread::spawn(move || {
                rows.store(1, Ordering::Relaxed);
                commit(&core);
                acknowledged.store(1, Ordering::Release);
            })
        };
        let known = acknowledged.load(Ordering::Acquire);
        if let Some(found) = find(&core, "a") {
            assert!(found >= known, "a stale answer");
        }
        filler.join().unwrap();
        writer.join().unwrap();
        assert!(find(&core, "a").is_none_or(|found| found == 1), "a stale answer at rest");
    });
}

#[test]
fn a_fill_that_raced_a_commit_loses() {
    coherent(|core| core.changed(0));
}

#[test]
fn a_fill_that_raced_a_purge_loses() {
    coherent(|core| core.purge(0));
}

/// ONE WRITER, and eviction beside reading: both ways are full, two newcomers contend, one reads.
#[test]
fn fills_evictions_and_reads_at_one_set() {
    explore(2, || {
        let core = core(2);
        for (name, version) in [("a", 1), ("b", 2)] {
            fill(&core, core.begin(0, 0), name, version);
        }
        // Asked for often enough to be let in.
        for _ in 0..2 {
            fill(&core, core.begin(0, 0), "c", 3);
        }
        let other = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                fill(&core, core.begin(0, 0), "c", 3);
                core.reclaim();
            })
        };
        let reader = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                for (name, version) in [("a", 1), ("c", 3)] {
                    assert!(find(&core, name).is_none_or(|found| found == version));
                }
            })
        };
        fill(&core, core.begin(0, 0), "d", 4);
        other.join().unwrap();
        reader.join().unwrap();
        core.reclaim();
        let balance = core.counters().positive;
        assert_eq!(balance.used_bytes, balance.fixed_bytes + balance.live_bytes + balance.limbo_bytes);
        assert!(balance.entries <= 2);
    });
}

/// What is there is found before, while and after the table is changed.
#[test]
fn a_resize_loses_no_answer_and_frees_none_too_early() {
    explore(3, || {
        let core = core(2);
        fill(&core, core.begin(0, 0), "a", 1);
        let reader = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                let found = find(&core, "a");
                assert_eq!(found, Some(1), "a resize loses nothing");
            })
        };
        let size = ShelfSize { bytes: Table::bytes(4) * 2 + (64 << 10), slots: 4 };
        core.resize(size, ShelfSize { bytes: Table::bytes(1) + (64 << 10), slots: 1 });
        reader.join().unwrap();
        core.reclaim();
        assert_eq!(find(&core, "a"), Some(1));
    });
}

/// A smaller table: of two sets one is made, and what is asked for most takes the place of what is asked for least.
#[test]
fn a_smaller_table_keeps_what_is_asked_for_most() {
    explore(2, || {
        let core = core(4);
        for (name, version) in [("a", 1), ("b", 2), ("C", 3)] {
            fill(&core, core.begin(0, 0), name, version);
        }
        (0..3).for_each(|_| assert_eq!(find(&core, "C"), Some(3)));
        let reader = {
            let core = Arc::clone(&core);
            thread::spawn(move || {
                for (name, version) in [("a", 1), ("C", 3)] {
                    let found = find(&core, name);
                    assert!(found == Some(version) || name == "a" && found.is_none());
                }
            })
        };
        let size = ShelfSize { bytes: Table::bytes(4) * 2 + (64 << 10), slots: 2 };
        core.resize(size, ShelfSize { bytes: Table::bytes(1) + (64 << 10), slots: 1 });
        reader.join().unwrap();
        core.reclaim();
        assert_eq!(find(&core, "C"), Some(3));
        let left = ["a", "b"].iter().filter(|name| find(&core, name).is_some()).count();
        let balance = core.counters().positive;
        assert_eq!((left, balance.entries, balance.fixed_bytes), (1, 2, Table::bytes(2)));
        assert_eq!(balance.live_bytes, 2 * Entry::bytes_of(b"a", &draft(&[1])).unwrap());
    });
}

/// OWN SLOT, PINNED: a thread that reads again under a later pin hides nothing that it read under the first.
#[test]
fn a_later_pin_in_the_same_slot_covers_the_reads_before() {
    explore(4, || {
        let ledger = Arc::new(Ledger::new(1 << 20));
        // SAFETY: ONE DOMAIN: one place, one limbo, these epochs.
        let epochs = Arc::new(unsafe { Epochs::new(2) });
        let place = Arc::new(Place::new(Some(held(&ledger, 1))));
        let limbo = Arc::new(Limbo::new());
        let reader = {
            let (epochs, place) = (Arc::clone(&epochs), Arc::clone(&place));
            thread::spawn(move || {
                let pin = epochs.pin().unwrap();
                let body = place.follow(&pin).map(|seen| seen.body()[0]);
                assert!(matches!(body, None | Some(1)));
                drop(pin);
                let _later = epochs.pin().unwrap();
                // A pin within a pin takes another slot.
                let within = epochs.pin().unwrap();
                let body = place.follow(&within).map(|seen| seen.body()[0]);
                assert!(matches!(body, None | Some(1)));
            })
        };
        if let Some(gone) = place.put(None) {
            limbo.retire(gone);
        }
        limbo.reclaim(&epochs, drop);
        limbo.reclaim(&epochs, drop);
        reader.join().unwrap();
        limbo.reclaim(&epochs, drop);
        assert_eq!(ledger.balance().used_bytes, 0, "all is free once nobody reads");
    });
}

/// A fill beside a resize: it gets into the new table, or into the old one before its set is moved, or is declined.
#[test]
fn a_fill_beside_a_resize_is_kept_whole() {
    explore(2, || {
        let core = core(2);
        let filler = {
            let core = Arc::clone(&core);
            thread::spawn(move || fill(&core, core.begin(0, 0), "a", 1))
        };
        let size = ShelfSize { bytes: Table::bytes(4) * 2 + (64 << 10), slots: 4 };
        core.resize(size, ShelfSize { bytes: Table::bytes(1) + (64 << 10), slots: 1 });
        filler.join().unwrap();
        core.reclaim();
        assert!(find(&core, "a").is_none_or(|found| found == 1));
        let balance = core.counters().positive;
        assert_eq!(balance.entries, u64::from(find(&core, "a").is_some()));
        assert_eq!(balance.used_bytes, balance.fixed_bytes + balance.live_bytes);
    });
}

/// RESERVED.
#[test]
fn two_reservations_never_take_more_than_the_budget() {
    explore(4, || {
        let ledger = Arc::new(Ledger::new(100));
        let other = {
            let ledger = Arc::clone(&ledger);
            thread::spawn(move || u64::from(ledger.reserve(60)))
        };
        let mine = u64::from(ledger.reserve(60));
        assert_eq!(mine + other.join().unwrap(), 1);
        assert_eq!(ledger.balance().used_bytes, 60);
    });
}
