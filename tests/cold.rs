//! Cold storage: segments that move to a second folder, under load, through crashes at every step, over disks that lie, go away or
//! cannot be written to; erasure, backup and rebuild where they lie.
//!
//! MINGPAI_SEEDS is how many random histories are run, MINGPAI_SEED where they begin. A failure prints its seed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

#[path = "cold/away.rs"]
mod away;
#[path = "cold/cut.rs"]
mod cut;
#[path = "cold/erased.rs"]
mod erased;
mod seam;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mingpai::model::time::Timestamp;
use mingpai::sign::statement::LogReader;
use mingpai::store::backup::{OfflineSource, Restore, Source, SourceError, Take, restore, take, verify};
use mingpai::store::cold::MoveError;
use mingpai::store::cut::{cut_journal, cut_journal_on_both};
use mingpai::store::journal::{FrameKind, JournalError, Tail};
use mingpai::store::restored::{DecideError, Decision, decide};
use mingpai::store::{
    ApplyError, ColdError, ColdOptions, EngineChoice, Expect, OpenError, Outcome, Proposal, Refusal, Store,
    StoreOptions, doctor,
};
use seam::disk::End;
use seam::history::{Fate, Model, Step, compare_record, fate, statements};
use seam::machine::{Machine, Trouble};
use seam::registry::{BLINDED, Ear, Registry, Version, draft};
use seam::{Dice, setting};

const SLED: EngineChoice = EngineChoice::Sled { budget_bytes: 64 << 20 };
/// The thread moves nothing by itself then: each test says when.
const NEVER: u64 = u64::MAX;

fn options(folder: &Path, after_segments: u64) -> StoreOptions {
    StoreOptions {
        segment_bytes: 16 * 1024,
        cold: Some(ColdOptions { folder: folder.join("cold"), after_segments }),
        ..seam::options(&folder.join("data"), EngineChoice::Memory)
    }
}

/// A data folder and a cold one on the real disk.
struct OnDisk {
    folder: tempfile::TempDir,
    registry: Registry,
    options: StoreOptions,
}

impl OnDisk {
    fn new(after_segments: u64) -> OnDisk {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cold")).unwrap();
        let options = options(folder.path(), after_segments);
        OnDisk { folder, registry: Registry::new(), options }
    }

    fn open(&self) -> Store {
        self.opening().expect("the store opens")
    }

    fn opening(&self) -> Result<Store, OpenError> {
        self.opening_with(&self.options)
    }

    fn opening_with(&self, options: &StoreOptions) -> Result<Store, OpenError> {
        let ear = Arc::new(Ear::default());
        Store::open(options, self.registry.reader(), ear.clone(), ear).map(|(store, _)| store)
    }

    fn refusal(&self, options: &StoreOptions) -> ColdError {
        match self.opening_with(options).map(drop) {
            Err(OpenError::Cold(error)) => error,
            other => panic!("it must be refused for its cold folder: {other:?}"),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn segments(&self, folder: &str) -> Vec<String> {
        let listing = std::fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> = listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".journal"));
        names.sort();
        names
    }

    /// Registers so many records of a kilobyte or two, and closes.
    fn filled(after_segments: u64, count: u64) -> (OnDisk, Vec<Version>) {
        let on_disk = OnDisk::new(after_segments);
        let store = on_disk.open();
        let versions = register(&store, &on_disk.registry, 0..count);
        drop(store);
        (on_disk, versions)
    }
}

fn first(registry: &Registry, number: u64) -> Version {
    let now = Timestamp::now();
    registry.first(&format!("{BLINDED}/C-{number}"), draft("冷存储", 400, &[number], now), now)
}

fn register(store: &Store, registry: &Registry, numbers: std::ops::Range<u64>) -> Vec<Version> {
    let versions: Vec<Version> = numbers.map(|number| first(registry, number)).collect();
    for version in &versions {
        commit(store, vec![version.propose(Expect::Absent, None)]);
    }
    versions
}

fn commit(store: &Store, proposals: Vec<Proposal>) {
    for outcome in store.commit_blocking(proposals, false) {
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

fn compare(store: &Store, versions: &[Version]) {
    for version in versions {
        compare_record(store, version.key(), std::slice::from_ref(version));
    }
    let told: Vec<Vec<u8>> = statements(store).into_iter().map(|(_, statement)| statement).collect();
    let mut at = 0;
    for version in versions {
        let found = told[at..].iter().position(|statement| *statement == version.statement);
        at += found.expect("a statement is lost, or stands elsewhere") + 1;
        assert!(!told[at..].contains(&version.statement), "a statement stands twice");
    }
}

/// Until it is so, or it never will be.
fn wait(wanted: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never comes to that");
        std::thread::yield_now();
    }
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// A running store as a log to copy.
struct Running<'s>(&'s Store);

impl Source for Running<'_> {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        Ok(self.0.tail())
    }
    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.segment_bytes(segment, from, until.unwrap_or(u64::MAX)).unwrap())
    }
}

#[test]
fn segments_move_while_writing_goes_on_and_everything_reads_the_same() {
    let on_disk = OnDisk::new(NEVER);
    let store = on_disk.open();
    let is_done = AtomicBool::new(false);
    let (versions, moved) = std::thread::scope(|scope| {
        let mover = scope.spawn(|| {
            let mut moved = 0;
            while !is_done.load(Ordering::Acquire) {
                moved += store.move_to_cold(1).unwrap();
            }
            moved + store.move_to_cold(1).unwrap()
        });
        let mut versions = Vec::new();
        for number in 0..200 {
            versions.extend(register(&store, &on_disk.registry, number..number + 1));
            // Whatever has moved meanwhile.
            compare_record(&store, versions[number as usize / 2].key(), &versions[number as usize / 2..][..1]);
        }
        is_done.store(true, Ordering::Release);
        (versions, mover.join().unwrap())
    });
    assert!(moved > 10, "{moved}");
    let places = store.places();
    assert_eq!(
        (places.cold_segments, places.hot_segments),
        (moved, 2),
        "one that stays and the one that is written to"
    );
    assert_eq!(places.cold_bytes, moved * 16 * 1024);
    compare(&store, &versions);
    drop(store);
    assert_eq!(on_disk.segments("cold").len() as u64, moved);
    let store = on_disk.open();
    assert_eq!(store.places(), places);
    compare(&store, &versions);
}

#[test]
fn the_thread_moves_by_itself_what_is_due_and_only_that() {
    let on_disk = OnDisk::new(2);
    let store = on_disk.open();
    let mut versions = Vec::new();
    while store.places().hot_segments < 7 {
        versions.extend(register(&store, &on_disk.registry, versions.len() as u64..versions.len() as u64 + 1));
    }
    wait(&|| store.places().hot_segments == 3);
    assert_eq!(on_disk.segments("cold").len() as u64, store.places().cold_segments);
    assert_eq!(store.cold().unwrap().failures, 0);
    compare(&store, &versions);
}

/// Every operation on either disk, with and without the power.
#[test]
fn a_crash_at_every_step_of_a_move_leaves_each_segment_in_a_place_that_counts() {
    let registry = Registry::new();
    let versions: Vec<Version> = (0..40).map(|number| first(&registry, number)).collect();
    let fill = |machine: &Machine| {
        let store = open_on(machine, &registry).expect("the store opens");
        for version in &versions {
            commit(&store, vec![version.propose(Expect::Absent, None)]);
        }
        store
    };
    let steps = {
        let machine = Machine::new(1);
        let store = fill(&machine);
        let before = machine.operations();
        assert!(store.move_to_cold(1).unwrap() >= 3);
        machine.operations() - before
    };
    let mut in_both = 0;
    for step in 0..steps {
        for (end, seed) in
            [(End::Kill, 1), (End::PowerCut, 2), (End::PowerCut, 3), (End::PowerCut, 4), (End::PowerCut, 5)]
        {
            let at = format!("step {step} of {steps}, {end:?}, seed {seed}");
            let machine = Machine::new(seed + 100 * step);
            let store = fill(&machine);
            machine.die_in(step);
            assert!(store.move_to_cold(1).is_err(), "{at}");
            assert!(machine.is_dead(), "{at}");
            drop(store);
            machine.restart(end);
            in_both += u64::from(machine.in_both() > 0);
            let store = open_on(&machine, &registry).unwrap_or_else(|error| panic!("{at}: {error}"));
            compare(&store, &versions);
            assert!(
                machine.cold_names().iter().all(|name| !name.ends_with(".journal.new")),
                "{at}: a half-made copy is left"
            );
            // What a crash has left in both is moved whatever the rule says.
            store.move_to_cold(NEVER).unwrap();
            assert_eq!(machine.in_both(), 0, "{at}");
            store.move_to_cold(1).unwrap();
            assert_eq!((machine.in_both(), store.places().hot_segments), (0, 2), "{at}");
            compare(&store, &versions);
            drop(store);
            machine.restart(End::PowerCut);
            compare(&open_on(&machine, &registry).unwrap(), &versions);
        }
    }
    println!("{steps} steps; after {in_both} crashes a segment was in both folders");
    assert!(in_both > 0 && steps >= 24);
}

fn open_on(machine: &Machine, registry: &Registry) -> Result<Store, OpenError> {
    let ear = Arc::new(Ear::default());
    open_hearing(machine, registry, &ear)
}

fn open_hearing(machine: &Machine, registry: &Registry, ear: &Arc<Ear>) -> Result<Store, OpenError> {
    let options = options(Path::new(""), NEVER);
    let opened = Store::open_in_memory_on_both(&options, machine.media(), registry.reader(), ear.clone(), ear.clone());
    opened.map(|(store, _)| store)
}

/// A random history on both disks: jobs, erasures, moves, crashes between and during all of them.
fn history(seed: u64, registry: &Registry, moved: &mut u64, erased_cold: &mut u64) {
    let mut dice = Dice::new(seed);
    let machine = Machine::new(dice.next());
    let mut model = Model::default();
    let mut doubt: Option<(Vec<Step>, Vec<Fate>)> = None;
    for _ in 0..6 + dice.below(6) {
        let store = loop {
            if dice.once_in(3) {
                machine.die_in(dice.below(20));
            }
            let opened = open_on(&machine, registry);
            match opened {
                Ok(store) if !machine.is_dead() => break store,
                Ok(_) => {}
                Err(error) => assert!(machine.is_dead(), "the store refuses to open: {error}"),
            }
            machine.restart(*dice.pick(&[End::Kill, End::PowerCut]));
        };
        machine.call_off();
        model.settle(&store, doubt.take());
        model.compare(&store);
        for _ in 0..dice.below(14) {
            if dice.once_in(12) {
                machine.die_in(dice.below(12));
            }
            if dice.once_in(3) {
                match store.move_to_cold(dice.below(3)) {
                    Ok(count) => *moved += count,
                    Err(error) => assert!(machine.is_dead(), "{error}"),
                }
            }
            let steps = model.draw(&mut dice, registry, Timestamp::now());
            let fates = model.plan(&steps, false);
            let cold = store.places().cold_segments;
            let outcomes = store.commit_blocking(steps.iter().map(Step::proposal).collect(), false);
            let is_unwritten =
                |outcome: &Outcome| matches!(outcome, Outcome::Refused(Refusal::ReadFailed(_) | Refusal::Full { .. }));
            if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(Refusal::TooLarge { .. }))) {
                continue;
            }
            if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_))) {
                assert!(machine.is_dead(), "{outcomes:?}");
                if !outcomes.iter().any(is_unwritten) {
                    doubt = Some((steps, fates));
                }
                break;
            }
            for ((outcome, expected), step) in outcomes.iter().zip(&fates).zip(&steps) {
                assert_eq!(fate(outcome), Some(*expected), "{outcome:?}");
                *erased_cold +=
                    u64::from(cold > 0 && *expected == Fate::Committed && matches!(step, Step::Erase { .. }));
            }
            model.take(&steps, &fates);
        }
        if !machine.is_dead() {
            model.compare(&store);
        }
        drop(store);
        machine.restart(*dice.pick(&[End::Kill, End::PowerCut, End::PowerCut]));
    }
    let store = open_on(&machine, registry).unwrap();
    model.settle(&store, doubt.take());
    model.compare(&store);
}

#[test]
fn no_history_of_moves_and_crashes_loses_or_doubles_anything() {
    let (first, count) = (setting("MINGPAI_SEED", 1), setting("MINGPAI_SEEDS", 100));
    let (registry, mut moved, mut erased_cold) = (Registry::new(), 0, 0);
    for seed in first..first + count {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            history(seed, &registry, &mut moved, &mut erased_cold);
        }));
        assert!(run.is_ok(), "the history fails: MINGPAI_SEED={seed} MINGPAI_SEEDS=1 cargo test --test cold");
    }
    println!("{count} histories from seed {first}: {moved} segments moved, {erased_cold} erasures with cold segments");
    assert!(count < 50 || (moved > 100 && erased_cold > 10), "{moved} {erased_cold}");
}

#[test]
fn rot_in_a_cold_segment_is_found_when_it_is_read_and_by_the_doctor() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 40);
    let store = on_disk.open();
    store.move_to_cold(1).unwrap();
    let row = store.row(versions[3].key()).unwrap().unwrap();
    assert_eq!(row.location.segment, 1, "an old record lies in the first segment");
    let path = on_disk.path("cold/0000000001.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[row.location.offset as usize + 60] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(store.frame(row.location), Err(JournalError::Unreadable { .. })));
    for version in versions.iter().filter(|version| version.key() != versions[3].key()) {
        compare_record(&store, version.key(), std::slice::from_ref(version));
    }
    drop(store);
    let examined = doctor::examine(&on_disk.options);
    match examined {
        Err(OpenError::Journal(JournalError::Damaged { segment, .. })) => assert_eq!(segment, "0000000001.journal"),
        other => panic!("{other:?}"),
    }
    // The remedy: a good copy in either folder.
    bytes[row.location.offset as usize + 60] ^= 4;
    std::fs::write(on_disk.path("data/journal/0000000001.journal"), &bytes).unwrap();
    assert!(doctor::examine(&on_disk.options).is_ok());
    compare(&on_disk.open(), &versions);
}

#[test]
fn a_copy_that_does_not_read_back_and_a_segment_that_has_rotted_are_not_moved() {
    let registry = Registry::new();
    let machine = Machine::new(9);
    let store = open_on(&machine, &registry).unwrap();
    let versions = register(&store, &registry, 0..40);
    for at in [70, 3_000, 16_383] {
        machine.rot_cold_writes(Some(at));
        let error = store.move_to_cold(1).unwrap_err();
        assert!(matches!(error, MoveError::CopyDiffers { .. }), "{error}");
        assert_eq!(machine.cold_names(), ["mingpai-cold"], "byte {at}");
    }
    machine.rot_cold_writes(None);
    machine.hot.rot("0000000001.journal", 2_000, 1);
    // It alone is due: others would be moved.
    let full = store.places().hot_segments - 1;
    let error = store.move_to_cold(full - 1).unwrap_err();
    assert!(matches!(&error, MoveError::Damaged { segment, .. } if segment == "0000000001.journal"), "{error}");
    machine.hot.rot("0000000001.journal", 2_000, 1);
    // Another segment's bytes stay free: where a file system copies on writing, a blanking needs room as well.
    for free in [0, 16 * 1024, 32 * 1024 - 1] {
        machine.set_trouble(Trouble::Room(free));
        assert!(matches!(store.move_to_cold(1), Err(MoveError::Full { needed: 32_768, .. })), "{free}");
    }
    machine.set_trouble(Trouble::None);
    assert_eq!(machine.cold_names(), ["mingpai-cold"]);
    assert!(store.move_to_cold(1).unwrap() > 2);
    compare(&store, &versions);
}

#[test]
fn a_cold_folder_that_is_away_costs_what_lies_there_and_nothing_else() {
    let registry = Registry::new();
    let machine = Machine::new(10);
    let (store, versions) = {
        let store = open_on(&machine, &registry).unwrap();
        let versions = register(&store, &registry, 0..40);
        store.move_to_cold(1).unwrap();
        (store, versions)
    };
    let (old, new) = (&versions[0], &versions[39]);
    machine.set_trouble(Trouble::Away);
    let row = store.row(old.key()).unwrap().unwrap();
    match store.frame(row.location) {
        Err(error @ JournalError::Io { .. }) => {
            assert!(error.to_string().contains("cold/0000000001.journal"), "{error}");
        }
        other => panic!("{other:?}"),
    }
    compare_record(&store, new.key(), std::slice::from_ref(new));
    // What can be written goes on; what needs the past is refused, and nothing of it is written.
    let before = store.tail();
    let change = |version: &Version| {
        let now = Timestamp::now();
        let next = registry.after(version, Some(draft("改", 30, &[], now)), now);
        store.commit_blocking(vec![next.propose(version.expect(), None)], false).pop().unwrap()
    };
    assert!(matches!(change(old), Outcome::Refused(Refusal::ReadFailed(_))));
    let erased = store.commit_blocking(vec![registry.erasure(std::slice::from_ref(old), Timestamp::now())], false);
    assert!(matches!(erased[0], Outcome::Refused(Refusal::ReadFailed(_))), "{erased:?}");
    assert_eq!(store.tail(), before);
    assert!(matches!(change(new), Outcome::Committed(_)));
    // The thread sees it without being asked.
    wait(&|| store.cold().unwrap().is_away);
    machine.set_trouble(Trouble::None);
    wait(&|| !store.cold().unwrap().is_away);
    compare_record(&store, old.key(), std::slice::from_ref(old));
    assert!(!store.is_poisoned());
}

#[test]
fn an_erasure_is_not_done_while_the_cold_folder_cannot_be_written_to() {
    let registry = Registry::new();
    let machine = Machine::new(11);
    let store = open_on(&machine, &registry).unwrap();
    let versions = register(&store, &registry, 0..40);
    store.move_to_cold(1).unwrap();
    machine.set_trouble(Trouble::ReadOnly);
    let old = &versions[0];
    let before = store.tail();
    let erase = || registry.erasure(std::slice::from_ref(old), Timestamp::now());
    let refused = store.commit_blocking(vec![erase()], false);
    assert!(matches!(refused[0], Outcome::Refused(Refusal::ReadFailed(_))), "{refused:?}");
    assert_eq!(store.tail(), before, "nothing is written of an erasure that cannot be carried out");
    compare(&store, &versions);
    drop(store);
    // It opens and serves so.
    let machine = machine.restarted(End::Kill);
    machine.set_trouble(Trouble::ReadOnly);
    let store = open_on(&machine, &registry).unwrap();
    compare(&store, &versions);
    machine.set_trouble(Trouble::None);
    commit(&store, vec![erase()]);
    assert!(!contains(&machine.cold.bytes("0000000001.journal"), &old.disclosures));
    drop(store);
    machine.restart(End::PowerCut);
    assert!(!contains(&machine.cold.bytes("0000000001.journal"), &old.disclosures), "durably");
}

/// The erasure's frame is durable and the machine goes off, at every step after it.
#[test]
fn an_erasure_in_a_cold_segment_that_a_crash_cut_short_is_finished() {
    let registry = Registry::new();
    let versions: Vec<Version> = (0..30).map(|number| first(&registry, number)).collect();
    let (mut finished, mut step) = (0, 0);
    loop {
        let machine = Machine::new(50 + step);
        let store = open_on(&machine, &registry).unwrap();
        for version in &versions {
            commit(&store, vec![version.propose(Expect::Absent, None)]);
        }
        store.move_to_cold(1).unwrap();
        machine.die_in(step);
        let outcome =
            store.commit_blocking(vec![registry.erasure(&versions[..1], Timestamp::now())], false).pop().unwrap();
        let is_acknowledged = matches!(outcome, Outcome::Committed(_));
        machine.call_off();
        let is_over = !machine.is_dead();
        drop(store);
        machine.restart(if step % 2 == 0 { End::Kill } else { End::PowerCut });
        // Once more on the way of the opening that finishes it.
        machine.die_in(step);
        drop(open_on(&machine, &registry));
        machine.restart(End::PowerCut);
        let store = open_on(&machine, &registry).unwrap();
        let is_erased = store.row(versions[0].key()).unwrap().is_none();
        assert!(is_erased || !is_acknowledged, "step {step}: an acknowledged erasure is gone");
        assert_eq!(
            is_erased,
            !contains(&machine.cold.bytes("0000000001.journal"), &versions[0].disclosures),
            "step {step}"
        );
        finished += u64::from(is_erased && !is_acknowledged);
        for version in &versions[1..] {
            compare_record(&store, version.key(), std::slice::from_ref(version));
        }
        if is_over {
            break;
        }
        step += 1;
    }
    println!("{step} steps; {finished} erasures were finished by an opening");
    assert!(finished > 0 && step > 2);
}

/// It would count before the cold one, which alone was blanked.
#[test]
fn a_hot_segment_does_not_come_back_with_what_was_erased_in_its_cold_copy() {
    let registry = Registry::new();
    let versions: Vec<Version> = (0..30).map(|number| first(&registry, number)).collect();
    for seed in 200..216 {
        let machine = Machine::new(seed);
        let store = open_on(&machine, &registry).unwrap();
        for version in &versions {
            commit(&store, vec![version.propose(Expect::Absent, None)]);
        }
        store.move_to_cold(1).unwrap();
        commit(&store, vec![registry.erasure(&versions[..1], Timestamp::now())]);
        // Off at once: a stop would make the names durable by the way.
        machine.die_in(0);
        drop(store);
        machine.restart(End::PowerCut);
        assert_eq!(machine.in_both(), 0, "seed {seed}");
        let store = open_on(&machine, &registry).unwrap();
        let row = store.row(versions[1].key()).unwrap().unwrap();
        assert_eq!(row.location.segment, 1, "its neighbour");
        for disk in [&machine.hot, &machine.cold] {
            for name in disk.names() {
                assert!(!contains(&disk.bytes(&name), &versions[0].disclosures), "seed {seed}: {name}");
            }
        }
        compare(&store, &versions[1..]);
    }
}

#[test]
fn what_is_erased_while_its_segment_is_copied_is_not_in_the_copy() {
    let registry = Arc::new(Registry::new());
    let machine = Machine::new(12);
    let store = Arc::new(open_on(&machine, &registry).unwrap());
    let versions = register(&store, &registry, 0..40);
    let erasure = registry.erasure(&versions[..1], Timestamp::now());
    // When the first piece of the copy has been made durable.
    let (writer, wanted) = (Arc::clone(&store), parking_lot::Mutex::new(Some(erasure)));
    machine.at_cold_sync(Some(Box::new(move || {
        if let Some(erasure) = wanted.lock().take() {
            commit(&writer, vec![erasure]);
        }
    })));
    assert!(store.move_to_cold(1).unwrap() > 2);
    machine.at_cold_sync(None);
    for name in machine.cold_names() {
        assert!(!contains(&machine.cold.bytes(&name), &versions[0].disclosures), "{name}");
    }
    assert!(machine.cold_names().contains(&"0000000001.journal".to_owned()));
    compare(&store, &versions[1..]);
}

#[test]
fn a_stop_does_not_wait_for_a_copy_and_leaves_none_half_made() {
    let registry = Registry::new();
    let machine = Machine::new(13);
    let ear = Arc::new(Ear::default());
    let options = options(Path::new(""), 1);
    let opened = Store::open_in_memory_on_both(&options, machine.media(), registry.reader(), ear.clone(), ear.clone());
    let store = Arc::new(opened.unwrap().0);
    let held = first(&registry, 0);
    // The thread's first copy goes on only once the store takes no more writes: then it has been told to stop.
    let (weak, again) = (Arc::downgrade(&store), held.propose(Expect::Absent, None));
    let (begun, has_begun) = crossbeam_channel::bounded(8);
    machine.at_cold_sync(Some(Box::new(move || {
        let _ = begun.try_send(());
        while let Some(store) = weak.upgrade() {
            let outcome = store.commit_blocking(vec![again.clone()], false).pop().unwrap();
            if matches!(outcome, Outcome::Refused(Refusal::Stopping)) {
                return;
            }
            std::thread::yield_now();
        }
    })));
    let versions = register(&store, &registry, 0..40);
    has_begun.recv_timeout(Duration::from_secs(60)).expect("the thread moves what is due");
    store.stop();
    machine.at_cold_sync(None);
    assert_eq!(machine.cold_names(), ["mingpai-cold"], "nothing is half made");
    assert_eq!(store.places().cold_segments, 0);
    drop(store);
    machine.restart(End::Kill);
    compare(&open_on(&machine, &registry).unwrap(), &versions);
}

#[test]
fn a_segment_that_is_in_neither_folder_is_named_with_its_remedy() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 60);
    let store = on_disk.open();
    store.move_to_cold(2).unwrap();
    drop(store);
    let (cold, aside) = (on_disk.path("cold/0000000002.journal"), on_disk.path("aside"));
    std::fs::rename(&cold, &aside).unwrap();
    let error = on_disk.refusal(&on_disk.options);
    assert!(matches!(&error, ColdError::Missing { segment, .. } if segment == "0000000002.journal"), "{error}");
    assert!(error.to_string().contains("put 0000000002.journal back") && error.text().zh.contains("备份"), "{error}");
    assert!(matches!(doctor::examine(&on_disk.options), Err(OpenError::Cold(ColdError::Missing { .. }))));
    std::fs::rename(&aside, &cold).unwrap();
    // A hot one too, and the newest: the cold folder alone is never taken for a whole journal.
    for name in on_disk.segments("data/journal") {
        let (path, aside) = (on_disk.path("data/journal").join(&name), on_disk.path(&name));
        std::fs::rename(&path, &aside).unwrap();
        assert!(on_disk.opening().is_err(), "{name}");
        std::fs::rename(&aside, &path).unwrap();
    }
    let hot = on_disk.path("data/journal");
    let all: Vec<String> = on_disk.segments("data/journal");
    for name in &all {
        std::fs::rename(hot.join(name), on_disk.path(name)).unwrap();
    }
    std::fs::remove_file(hot.join("checkpoint")).unwrap();
    assert!(matches!(on_disk.refusal(&on_disk.options), ColdError::Missing { .. }), "all hot segments are lost");
    for name in &all {
        std::fs::rename(on_disk.path(name), hot.join(name)).unwrap();
    }
    compare(&on_disk.open(), &versions);
}

#[test]
fn without_the_setting_it_says_where_the_segments_are_and_copied_back_they_are_enough() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 40);
    let store = on_disk.open();
    let moved = store.move_to_cold(1).unwrap();
    drop(store);
    let without = StoreOptions { cold: None, ..on_disk.options.clone() };
    let error = on_disk.refusal(&without);
    assert!(matches!(&error, ColdError::NotSet { folder, .. } if *folder == on_disk.path("cold")), "{error}");
    // Its file system is not mounted: a folder that is empty, or none.
    std::fs::rename(on_disk.path("cold"), on_disk.path("unmounted")).unwrap();
    assert!(matches!(on_disk.refusal(&on_disk.options), ColdError::NoFolder(_)));
    std::fs::create_dir(on_disk.path("cold")).unwrap();
    assert!(matches!(on_disk.refusal(&on_disk.options), ColdError::Away { .. }));
    assert!(std::fs::read_dir(on_disk.path("cold")).unwrap().all(|entry| entry.unwrap().file_name() == "lock"));
    std::fs::remove_dir_all(on_disk.path("cold")).unwrap();
    std::fs::rename(on_disk.path("unmounted"), on_disk.path("cold")).unwrap();
    for name in on_disk.segments("cold") {
        std::fs::copy(on_disk.path("cold").join(&name), on_disk.path("data/journal").join(&name)).unwrap();
    }
    let store = on_disk.opening_with(&without).unwrap();
    compare(&store, &versions);
    assert!(store.places().hot_segments > moved && store.cold().is_none());
    drop(store);
    // The old folder is of no journal any more, full or emptied; one that never was of any is begun anew.
    assert!(matches!(on_disk.refusal(&on_disk.options), ColdError::Anothers(_)));
    on_disk.segments("cold").iter().for_each(|name| std::fs::remove_file(on_disk.path("cold").join(name)).unwrap());
    let error = on_disk.refusal(&on_disk.options);
    assert!(matches!(error, ColdError::Claimed(_)), "{error}");
    assert!(
        error.to_string().contains("cold/mingpai-cold") && error.text().zh.contains("cold/mingpai-cold"),
        "{error}"
    );
    std::fs::remove_dir_all(on_disk.path("cold")).unwrap();
    std::fs::create_dir(on_disk.path("cold")).unwrap();
    let store = on_disk.open();
    assert!(store.move_to_cold(1).unwrap() >= moved);
    compare(&store, &versions);
}

#[test]
fn a_cold_folder_is_of_one_journal_and_one_process() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 40);
    let store = on_disk.open();
    store.move_to_cold(1).unwrap();
    let other = OnDisk::new(NEVER);
    let theirs = StoreOptions { cold: on_disk.options.cold.clone(), ..other.options.clone() };
    assert!(matches!(other.refusal(&theirs), ColdError::InUse(_)));
    drop(store);
    let error = other.refusal(&theirs);
    assert!(matches!(error, ColdError::Anothers(_)), "{error}");
    // Nor segments that nobody owns.
    std::fs::copy(on_disk.path("cold/0000000001.journal"), other.path("cold/0000000001.journal")).unwrap();
    assert!(matches!(other.refusal(&other.options), ColdError::Anothers(_)));
    // Nor one that has a cold folder of its own already.
    let third = OnDisk::new(NEVER);
    drop(third.open());
    let theirs = StoreOptions { cold: on_disk.options.cold.clone(), ..third.options.clone() };
    assert!(matches!(third.refusal(&theirs), ColdError::Anothers(_)));
    // Moved as a whole to another place it stays this journal's.
    std::fs::rename(on_disk.path("cold"), on_disk.path("colder")).unwrap();
    let mut moved = on_disk.options.clone();
    moved.cold = Some(ColdOptions { folder: on_disk.path("colder"), after_segments: NEVER });
    let store = on_disk.opening_with(&moved).unwrap();
    compare(&store, &versions);
    drop(store);
    assert_eq!(mingpai::store::cold::noted(&on_disk.path("data")), Some(on_disk.path("colder")));
    assert!(mingpai::store::cold::judge(&on_disk.path("data"), &on_disk.path("colder")).is_ok());
    assert!(mingpai::store::cold::judge(&other.path("data"), &on_disk.path("colder")).is_err());
}

/// What is moved from a folder into itself would be removed.
#[test]
fn the_nodes_own_folders_are_not_the_cold_one_by_any_path() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 40);
    let records = on_disk.path("data/records.fresh/below");
    std::fs::create_dir_all(&records).unwrap();
    let link = on_disk.path("link");
    for own in ["data", "data/journal", "data/records.fresh/below"] {
        let dotted = on_disk.path("cold/..").join(own);
        std::os::unix::fs::symlink(on_disk.path(own), &link).unwrap();
        for path in [&link, &dotted, &on_disk.path(own)] {
            let cold = Some(ColdOptions { folder: path.clone(), after_segments: NEVER });
            let error = on_disk.refusal(&StoreOptions { cold, ..on_disk.options.clone() });
            assert!(matches!(error, ColdError::Taken(_)), "{}: {error}", path.display());
            let judged = mingpai::store::cold::judge(&on_disk.path("data"), path);
            assert!(matches!(judged, Err(ColdError::Taken(_))), "{}", path.display());
        }
        std::fs::remove_file(&link).unwrap();
    }
    compare(&on_disk.open(), &versions);
    // Nor where no path tells: both media are of one disk.
    let (registry, machine, ear) = (Registry::new(), Machine::new(71), Arc::new(Ear::default()));
    let options = StoreOptions { cold: None, ..options(Path::new(""), NEVER) };
    let [hot, _] = machine.media();
    for _ in 0..2 {
        let both = [Arc::clone(&hot), Arc::clone(&hot)];
        let refused = Store::open_in_memory_on_both(&options, both, registry.reader(), ear.clone(), ear.clone());
        assert!(matches!(refused.map(drop), Err(OpenError::Cold(ColdError::Taken(_)))));
        assert_eq!(machine.hot.names(), Vec::<String>::new(), "nothing was changed");
    }
    Store::open_in_memory_on(&options, hot, registry.reader(), ear.clone(), ear).unwrap();
}

/// The claim is two files on two disks.
#[test]
fn a_crash_while_a_cold_folder_is_claimed_leaves_it_to_be_claimed() {
    let registry = Registry::new();
    let mut step = 0;
    loop {
        let machine = Machine::new(70 + step);
        machine.die_in(step);
        let opened = open_on(&machine, &registry);
        let is_over = opened.is_ok() && !machine.is_dead();
        drop(opened);
        machine.restart(if step % 2 == 0 { End::Kill } else { End::PowerCut });
        let store = open_on(&machine, &registry).unwrap_or_else(|error| panic!("step {step}: {error}"));
        let versions = register(&store, &registry, 0..20);
        store.move_to_cold(1).unwrap();
        compare(&store, &versions);
        if is_over {
            break;
        }
        step += 1;
    }
    assert!(step > 8, "{step}");
}

#[test]
fn a_backup_takes_cold_segments_and_a_restore_puts_all_of_it_hot() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 40);
    let store = on_disk.open();
    store.move_to_cold(1).unwrap();
    let (dest, offline, new) = (on_disk.path("dest"), on_disk.path("offline"), on_disk.path("new"));
    let back_up = |source: &mut dyn Source, folder: &Path| {
        take(&Take { folder, key: None, keys: None, log: &LogReader }, source, &mut |_, _| {}).unwrap()
    };
    let done = back_up(&mut Running(&store), &dest);
    assert_eq!(done.sequence, store.tail().sequence);
    // An erasure in a cold segment reaches the next run.
    commit(&store, vec![on_disk.registry.erasure(&versions[..1], Timestamp::now())]);
    assert_eq!(back_up(&mut Running(&store), &dest).newly_erased, 1);
    drop(store);
    // Without a configuration: the folder's own word is enough.
    back_up(&mut OfflineSource::open(&on_disk.path("data")).unwrap(), &offline);
    for folder in [&dest, &offline] {
        assert!(verify(folder, None, &mut |_, _| {}).unwrap().damage.is_empty());
    }
    restore(
        &Restore { folder: &offline, key: None, data: &new, moment: None, again: None, log: &LogReader },
        &mut |_, _| {},
    )
    .unwrap();
    decide(&new, Decision::LogEndedHere).unwrap();
    let all = |options: &StoreOptions| {
        let store = on_disk.opening_with(options).unwrap();
        compare(&store, &versions[1..]);
        assert!(store.row(versions[0].key()).unwrap().is_none());
        let told: Vec<(FrameKind, Vec<u8>)> = statements(&store);
        (told, store.places().cold_segments)
    };
    let restored = StoreOptions { folder: new.clone(), cold: None, ..on_disk.options.clone() };
    let (told, cold) = all(&restored);
    assert_eq!((told, cold), (all(&on_disk.options).0, 0));
    // The lost node's cold folder is not the restored one's.
    let greedy = StoreOptions { folder: new, ..on_disk.options.clone() };
    assert!(matches!(on_disk.refusal(&greedy), ColdError::Anothers(_)));
}

#[test]
fn the_record_store_is_made_anew_from_cold_segments_and_is_the_same() {
    let mut on_disk = OnDisk::new(NEVER);
    on_disk.options.engine = SLED;
    let store = on_disk.open();
    let versions = register(&store, &on_disk.registry, 0..60);
    store.move_to_cold(1).unwrap();
    drop(store);
    let rebuilt = doctor::rebuild(&on_disk.options, on_disk.registry.reader()).unwrap();
    assert_eq!((rebuilt.differing_rows, rebuilt.records), (Some(0), 60));
    let examined = doctor::examine(&on_disk.options).unwrap();
    assert_eq!((examined.difference, examined.journal.cold_segments as usize), (None, on_disk.segments("cold").len()));
    // Destroyed rows and no checkpoint: an opening does the same by itself.
    std::fs::remove_file(on_disk.path("data/journal/checkpoint")).unwrap();
    std::fs::write(on_disk.path("data/records/db"), [0xa5; 4096]).unwrap();
    compare(&on_disk.open(), &versions);
}

#[test]
fn a_journal_that_is_cut_in_a_cold_segment_ends_in_a_hot_one() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 60);
    let store = on_disk.open();
    store.move_to_cold(1).unwrap();
    // Not the first of its segment, so that some of it is kept.
    let rows = versions.iter().map(|version| store.row(version.key()).unwrap().unwrap());
    let row = rows.filter(|row| row.location.segment == 2).nth(3).unwrap();
    let before = row.index as usize;
    drop(store);
    let path = on_disk.path("cold/0000000002.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[row.location.offset as usize + 60] ^= 4;
    std::fs::write(&path, &bytes).unwrap();
    let (segment, offset) = match doctor::examine(&on_disk.options) {
        Err(OpenError::Journal(JournalError::Damaged { segment, offset, .. })) => (segment, offset),
        other => panic!("{other:?}"),
    };
    // Behind it, or in a segment that is not there, nothing is cut.
    let behind = cut_journal(&on_disk.options, &segment, offset + 1);
    assert!(matches!(&behind, Err(OpenError::DamagedBefore { offset: at, .. }) if *at == offset), "{behind:?}");
    let unknown = cut_journal(&on_disk.options, "000001.seg", offset);
    assert!(matches!(&unknown, Err(OpenError::Io { action: "find", .. })), "{unknown:?}");
    cut_journal(&on_disk.options, &segment, offset).unwrap();
    // And never twice: what is left is whole, and a cut would take its name.
    let again = cut_journal(&on_disk.options, &segment, offset);
    assert!(matches!(again, Err(OpenError::NothingDamaged)), "{again:?}");
    assert_eq!(
        (on_disk.segments("cold"), on_disk.segments("data/journal")),
        (vec!["0000000001.journal".into()], vec![segment])
    );
    let store = on_disk.open();
    let kept: Vec<&Version> = versions.iter().filter(|version| store.row(version.key()).unwrap().is_some()).collect();
    assert_eq!(kept.len(), before, "all that was before the damage");
    for version in kept {
        compare_record(&store, version.key(), std::slice::from_ref(version));
    }
    drop(store);
    // Others may have been shown what was cut.
    decide(&on_disk.options.folder, Decision::NewOrigin { origin: None }).unwrap();
    let store = on_disk.open();
    let later = register(&store, &on_disk.registry, 100..130);
    store.move_to_cold(1).unwrap();
    drop(store);
    let store = on_disk.open();
    for version in &later {
        compare_record(&store, version.key(), std::slice::from_ref(version));
    }
}

#[test]
fn what_a_start_replays_over_the_last_snapshot_stays_hot() {
    let on_disk = OnDisk::new(NEVER);
    let store = on_disk.open();
    let versions = register(&store, &on_disk.registry, 0..30);
    store.take_snapshot().unwrap();
    let hot = store.places().hot_segments;
    register(&store, &on_disk.registry, 30..70);
    assert!(store.places().hot_segments > hot + 2);
    assert_eq!(
        store.move_to_cold(0).unwrap(),
        hot - 1,
        "the segment in which the snapshot was begun is replayed in part"
    );
    store.take_snapshot().unwrap();
    store.move_to_cold(0).unwrap();
    assert_eq!(store.places().hot_segments, 1);
    compare(&store, &versions);
    let mut told = Vec::new();
    let each = |frame: mingpai::store::journal::Frame| {
        told.push(frame.sequence);
        Ok::<(), ApplyError>(())
    };
    store.replay(each).unwrap();
    assert_eq!(told, (0..70).collect::<Vec<u64>>());
}
