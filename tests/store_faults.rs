//! What goes wrong inside the program or around it: a panic, a drop in a runtime, a policy that was changed between two
//! starts, a disk that was full when it started.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mingpai::model::identifier::Identifier;
use mingpai::model::prefix::{PrefixPolicy, Prefixes, SuffixCase};
use mingpai::model::record::Record;
use mingpai::model::time::Timestamp;
use mingpai::sign::StatementReader;
use mingpai::sign::entry;
use mingpai::store::journal::{Effect, Meta, Tail};
use mingpai::store::{Commit, EngineChoice, Expect, Observer, Outcome, Refusal, Store, StoreOptions};
use seam::disk::{End, TestDisk};
use seam::history::compare_record;
use seam::registry::{BLINDED, Ear, Registry, draft};

fn options(segment_bytes: u64) -> StoreOptions {
    StoreOptions { segment_bytes, queue_entries: 16, ..seam::options(Path::new(""), EngineChoice::Memory) }
}

/// An observer with a bug.
#[derive(Default)]
struct Panics(AtomicBool);

impl Observer for Panics {
    fn changed(&self, _name: &str) {}
    fn committed(&self, _commit: &Commit, _tail: Tail) {
        self.0.store(true, Ordering::Release);
        panic!("a bug behind the sequencer");
    }
}

#[test]
fn a_panic_of_the_sequencer_is_fatal_like_a_failed_disk() {
    let (registry, disk, ear) = (Registry::new(), TestDisk::new(1), Arc::new(Ear::default()));
    let panics = Arc::new(Panics::default());
    let store = Store::open_in_memory_on(
        &options(64 * 1024),
        disk.medium(),
        registry.reader(),
        Arc::<Panics>::clone(&panics),
        Arc::<Ear>::clone(&ear),
    );
    let (store, _) = store.unwrap();
    let now = Timestamp::now();
    let first = registry.first(&format!("{BLINDED}/A"), draft("a", 10, &[], now), now);
    let outcomes = store.commit_blocking(vec![first.propose(Expect::Absent, None)], false);
    assert!(matches!(outcomes.as_slice(), [Outcome::Refused(_)]), "{outcomes:?}");
    assert!(panics.0.load(Ordering::Acquire));
    store.stop();
    assert!(store.is_poisoned());
    assert_eq!(ear.fatal.lock().len(), 1);
}

#[test]
fn a_store_may_be_dropped_inside_a_runtime() {
    let (registry, disk, ear) = (Registry::new(), TestDisk::new(2), Arc::new(Ear::default()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let opened = Store::open_in_memory_on(
            &options(64 * 1024),
            disk.medium(),
            registry.reader(),
            Arc::<Ear>::clone(&ear),
            Arc::<Ear>::clone(&ear),
        );
        drop(opened.unwrap());
    });
    assert!(ear.fatal.lock().is_empty());
}

#[test]
fn a_segment_length_that_is_no_whole_kibibyte_opens_again() {
    let (registry, disk, ear) = (Registry::new(), TestDisk::new(3), Arc::new(Ear::default()));
    let now = Timestamp::now();
    let first = registry.first(&format!("{BLINDED}/A"), draft("a", 10, &[], now), now);
    for turn in 0..2 {
        let opened = Store::open_in_memory_on(
            &options(64 * 1024 + 7),
            disk.medium(),
            registry.reader(),
            Arc::<Ear>::clone(&ear),
            Arc::<Ear>::clone(&ear),
        );
        let (store, _) = opened.unwrap();
        if turn == 0 {
            let outcomes = store.commit_blocking(vec![first.propose(Expect::Absent, None)], false);
            assert!(matches!(outcomes.as_slice(), [Outcome::Committed(_)]), "{outcomes:?}");
        }
        assert!(store.row(first.key()).unwrap().is_some());
        store.stop();
    }
}

/// A node that is started on a full disk serves what it has, and refuses writes until there is room.
#[test]
fn a_store_opens_on_a_disk_without_a_free_block_and_reads_go_on() {
    for seed in 0..8 {
        let (registry, disk, ear) = (Registry::new(), TestDisk::new(seed), Arc::new(Ear::default()));
        let open = || {
            let options = StoreOptions { reserve_bytes: 1, ..options(64 * 1024) };
            let medium = disk.medium();
            Store::open_in_memory_on(
                &options,
                medium,
                registry.reader(),
                Arc::<Ear>::clone(&ear),
                Arc::<Ear>::clone(&ear),
            )
        };
        let now = Timestamp::now();
        let version = |name: &str| registry.first(&format!("{BLINDED}/{name}"), draft("a", 10, &[], now), now);
        let (there, later) = (version("THERE"), version("LATER"));
        let (store, _) = open().unwrap();
        assert!(matches!(
            store.commit_blocking(vec![there.propose(Expect::Absent, None)], false)[0],
            Outcome::Committed(_)
        ));
        store.stop();
        disk.restart(End::Kill);
        disk.set_full(true);
        let (store, _) = open().unwrap();
        compare_record(&store, there.key(), std::slice::from_ref(&there));
        let proposal = || vec![later.propose(Expect::Absent, None)];
        let refused = store.commit_blocking(proposal(), false);
        assert!(matches!(refused[0], Outcome::Refused(Refusal::Full { .. })), "{refused:?}");
        assert!(!disk.names().contains(&"checkpoint".to_owned()), "the last stop's word is not true any more");
        // How much is free is asked a few times a second.
        std::thread::sleep(Duration::from_millis(220));
        disk.set_full(false);
        let taken = store.commit_blocking(proposal(), false);
        assert!(matches!(taken[0], Outcome::Committed(_)), "{taken:?}");
        disk.restart(if seed % 2 == 0 { End::Kill } else { End::PowerCut });
        assert!(!disk.names().contains(&"checkpoint".to_owned()), "and does not come back");
        let (store, _) = open().unwrap();
        compare_record(&store, there.key(), std::slice::from_ref(&there));
        compare_record(&store, later.key(), std::slice::from_ref(&later));
    }
}

/// Two names that differ by a capital stay two when the prefix's policy changes, or the prefix goes.
#[test]
fn an_entry_reads_back_under_the_key_that_it_was_signed_with() {
    let registry = Registry::new();
    let policy = |suffix_case| vec![PrefixPolicy { suffix_case, ..PrefixPolicy::new(BLINDED) }];
    let now = Timestamp::now();
    for spelling in ["Ab", "aB", "ab"] {
        let text = format!("{BLINDED}/{spelling}");
        let exact = Identifier::parse(&text).unwrap().with_case_sensitive_suffix();
        let record = Record::first(exact.clone(), draft("a", 10, &[], now), now);
        let version = registry.version(record, Effect::Created, None);
        for prefixes in [vec![], policy(SuffixCase::Insensitive), policy(SuffixCase::Sensitive)] {
            let prefixes = Prefixes::new(prefixes).unwrap();
            let read = entry::read(&version.statement, &version.disclosures, now, &prefixes).unwrap();
            assert_eq!(read.identifier, exact);
        }
    }
    let plain = registry.first(&format!("{BLINDED}/Ab"), draft("a", 10, &[], now), now);
    let reader = StatementReader { prefixes: Arc::new(Prefixes::new(policy(SuffixCase::Sensitive)).unwrap()) };
    let meta = Meta::plain(now.as_seconds(), "key:test");
    use mingpai::store::ReadStatement as _;
    let read = reader.record(&plain.statement, &plain.disclosures, &meta).unwrap();
    assert_eq!(read.identifier.key(), plain.key());
}
