//! Every byte of a journal damaged, and the journal cut at every length: each is caught, or falls under the one documented
//! ambiguity (the very last group of a journal that was not stopped cleanly looks torn and is cut). No wrong record is
//! ever served.
//!
//! MINGPAI_LONG=1 tries every byte; otherwise every 97th, which walks through all places of a sector.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mingpai::model::time::Timestamp;
use mingpai::store::engine::Table;
use mingpai::store::journal::JournalError;
use mingpai::store::{EngineChoice, Expect, OpenError, Opened, Outcome, Proposal, Store, StoreOptions, doctor};
use seam::disk::{End, TestDisk};
use seam::history::{compare_record, statements};
use seam::registry::{BLINDED, Ear, Registry, Version, draft, idempotency};
use seam::setting;

const SEGMENT: &str = "0000000001.journal";
const SEGMENT_BYTES: u64 = 64 * 1024;

fn options(folder: &Path, engine: EngineChoice) -> StoreOptions {
    StoreOptions { segment_bytes: SEGMENT_BYTES, queue_entries: 16, ..seam::options(folder, engine) }
}

fn open(disk: &TestDisk, registry: &Registry) -> Result<(Store, Opened), OpenError> {
    let ear = Arc::new(Ear::default());
    Store::open_in_memory_on(
        &options(&PathBuf::new(), EngineChoice::Memory),
        disk.medium(),
        registry.reader(),
        ear.clone(),
        ear,
    )
}

fn commit(store: &Store, proposals: Vec<Proposal>) {
    for outcome in store.commit_blocking(proposals, false) {
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// A journal of one segment, and what each of its groups holds.
struct Written {
    bytes: Vec<u8>,
    /// The statements of each group, in order, seals left out.
    groups: Vec<Vec<Vec<u8>>>,
    /// Every version that was ever written.
    versions: Vec<Version>,
    /// Where erased disclosures were: what rots there is blanked again.
    blank: Vec<std::ops::Range<usize>>,
    sealed: bool,
}

/// Fills a segment nearly up: single and mixed groups, updates, an erasure in the middle.
fn write(registry: &Registry, sealed: bool) -> Written {
    let disk = TestDisk::new(1);
    let (store, _) = open(&disk, registry).unwrap();
    let now = Timestamp::now();
    let (mut groups, mut versions): (Vec<Vec<Vec<u8>>>, Vec<Version>) = (Vec::new(), Vec::new());
    let mut group = |proposals: Vec<Proposal>| {
        groups.push(proposals.iter().flat_map(statements_of).collect());
        commit(&store, proposals);
    };
    let name = |number: u64| format!("{BLINDED}/D-{number}");
    for number in 0..12 {
        let first = registry.first(&name(number), draft("件", 60, &[number], now), now);
        let mut proposals = vec![first.propose(Expect::Absent, Some(idempotency(&name(number))))];
        if number % 3 == 0 {
            let next = registry.after(&first, Some(draft("改", 90, &[number], now)), now);
            proposals.push(next.propose(first.expect(), None));
            versions.push(next);
        }
        versions.push(first);
        group(proposals);
    }
    let erased = registry.first(&name(90), draft("隐", 200, &[90], now), now);
    group(vec![erased.propose(Expect::Absent, None)]);
    let last = registry.after(&erased, Some(draft("隐", 20, &[90], now)), now);
    group(vec![last.propose(erased.expect(), None)]);
    group(vec![registry.erasure(&[erased, last], now)]);
    for number in 20..23 {
        let first = registry.first(&name(number), draft("末", 300, &[], now), now);
        group(vec![first.propose(Expect::Absent, None)]);
        versions.push(first);
    }
    let mut blank = Vec::new();
    store
        .replay(|frame| {
            if frame.disclosures.is_none() {
                let place = frame.location;
                let end = (place.offset + place.length) as usize;
                let kept = 24 + frame.meta.encode().len() + frame.statement.len();
                let start = place.offset as usize;
                // Their checksum too: it is of no use any more.
                blank.extend([start + 20..start + 24, start + kept..end]);
            }
            Ok::<(), mingpai::store::ApplyError>(())
        })
        .unwrap();
    assert_eq!(blank.len(), 4);
    if sealed {
        store.stop();
    }
    // From here on the process writes nothing more, so there is no seal where there was no stop.
    disk.restart(End::Kill);
    drop(store);
    Written { bytes: disk.bytes(SEGMENT), groups, versions, blank, sealed }
}

fn statements_of(proposal: &Proposal) -> Vec<Vec<u8>> {
    match proposal {
        Proposal::Entry(entry) => vec![entry.statement.clone()],
        Proposal::Statement(statement) => vec![statement.statement.clone()],
        Proposal::Copy(copy) => vec![copy.statement.clone()],
        Proposal::Erase { statements, .. } => statements.iter().map(|statement| statement.statement.clone()).collect(),
    }
}

impl Written {
    /// Puts the journal alone on a disk: nothing else tells what was durable.
    fn on_a_disk(&self, change: impl FnOnce(&mut Vec<u8>)) -> TestDisk {
        let disk = TestDisk::new(2);
        let mut bytes = self.bytes.clone();
        change(&mut bytes);
        disk.put(SEGMENT, bytes);
        disk
    }

    /// What follows the last group's bytes is zeros.
    fn used(&self) -> usize {
        self.bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1
    }

    /// Opens the damaged journal and says what became of it; anything wrong fails the test.
    fn judge(&self, registry: &Registry, disk: &TestDisk, what: &str) -> Verdict {
        let (store, opened) = match open(disk, registry) {
            Ok(opened) => opened,
            Err(OpenError::Journal(JournalError::Damaged { segment, offset, .. })) => {
                assert_eq!(segment, SEGMENT, "{what}");
                assert!(offset < SEGMENT_BYTES, "{what}");
                return Verdict::Refused;
            }
            Err(other) => panic!("{what}: refused, but not by a place in the journal: {other}"),
        };
        let found: Vec<Vec<u8>> = statements(&store).into_iter().map(|(_, statement)| statement).collect();
        let whole: Vec<Vec<u8>> = self.groups.iter().flatten().cloned().collect();
        let but_the_last: Vec<Vec<u8>> = self.groups[..self.groups.len() - 1].iter().flatten().cloned().collect();
        let verdict = if found == whole {
            Verdict::Whole
        } else if !self.sealed && found == but_the_last {
            assert!(opened.cut.is_some(), "{what}: cut without a word");
            Verdict::LastGroupCut
        } else {
            panic!("{what}: {} of {} statements are there", found.len(), whole.len());
        };
        self.compare(&store, &found);
        verdict
    }

    /// Every record that is there is one that was written, at its newest version that is there, with its whole chain.
    fn compare(&self, store: &Store, found: &[Vec<u8>]) {
        let rows = store.scan(Table::Record, None, usize::MAX).unwrap();
        let mut expected = std::collections::BTreeMap::new();
        for version in &self.versions {
            if found.contains(&version.statement) {
                expected.entry(version.key().clone()).or_insert_with(Vec::new).push(version.clone());
            }
        }
        assert_eq!(rows.len(), expected.len());
        for (key, mut versions) in expected {
            versions.sort_by_key(|version| version.record.version);
            compare_record(store, &key, &versions);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Refused,
    LastGroupCut,
    /// Nothing that was written is missing: the damage was in what no record needs (zeros, the seal, padding).
    Whole,
}

fn places(count: usize) -> impl Iterator<Item = usize> {
    let stride = if setting("MINGPAI_LONG", 0) == 1 { 1 } else { 97 };
    (0..count).step_by(stride).chain(count.saturating_sub(1)..count)
}

/// Runs the cases on two threads and counts the verdicts.
fn count(cases: Vec<usize>, judge: impl Fn(usize) -> Verdict + Sync) -> std::collections::HashMap<String, usize> {
    let half = cases.len() / 2;
    let run = |cases: &[usize]| -> Vec<Verdict> { cases.iter().map(|at| judge(*at)).collect() };
    let verdicts = std::thread::scope(|scope| {
        let second = scope.spawn(|| run(&cases[half..]));
        let mut verdicts = run(&cases[..half]);
        verdicts.extend(second.join().unwrap());
        verdicts
    });
    let mut counted = std::collections::HashMap::new();
    for verdict in verdicts {
        *counted.entry(format!("{verdict:?}")).or_default() += 1;
    }
    counted
}

fn flip_every_byte(sealed: bool) {
    let registry = Registry::new();
    let written = write(&registry, sealed);
    let used = written.used();
    assert!(used > 48 * 1024, "the segment is nearly full: {used}");
    assert_eq!(written.judge(&registry, &written.on_a_disk(|_| {}), "no damage"), Verdict::Whole);
    for mask in [0x01, 0xff] {
        let verdicts = count(places(written.bytes.len()).collect(), |at| {
            let what = format!("byte {at} ^ {mask:#x}");
            let disk = written.on_a_disk(|bytes| bytes[at] ^= mask);
            let verdict = written.judge(&registry, &disk, &what);
            if verdict == Verdict::Whole && !sealed {
                let blank = written.blank.iter().any(|blank| blank.contains(&at));
                assert!(
                    blank || at >= used,
                    "{what} was not noticed; {used} bytes are used, blank: {:?}",
                    written.blank
                );
            }
            verdict
        });
        println!("sealed {sealed}, flips by {mask:#x}: {verdicts:?}");
        assert!(verdicts["Refused"] > verdicts.values().sum::<usize>() / 2);
    }
}

#[test]
fn a_flipped_byte_of_a_cleanly_stopped_journal_is_caught_or_touches_no_record() {
    flip_every_byte(true);
}

#[test]
fn a_flipped_byte_of_a_killed_journal_is_caught_or_cuts_exactly_the_last_group() {
    flip_every_byte(false);
}

/// The group whose disclosures an erasure blanked looks torn, once the erasure behind it cannot be read.
#[test]
fn a_damaged_erasure_at_the_end_takes_no_other_group_with_it() {
    let registry = Registry::new();
    let disk = TestDisk::new(1);
    let (store, _) = open(&disk, &registry).unwrap();
    let now = Timestamp::now();
    let kept = registry.first(&format!("{BLINDED}/KEPT"), draft("留", 60, &[], now), now);
    let gone = registry.first(&format!("{BLINDED}/GONE"), draft("隐", 60, &[], now), now);
    commit(&store, vec![kept.propose(Expect::Absent, None), gone.propose(Expect::Absent, None)]);
    let start = store.tail().offset as usize;
    commit(&store, vec![registry.erasure(&[gone], now)]);
    let end = store.tail().offset as usize;
    disk.restart(End::Kill);
    drop(store);
    let bytes = disk.bytes(SEGMENT);
    for at in start..end {
        let disk = TestDisk::new(2);
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x04;
        disk.put(SEGMENT, damaged);
        match open(&disk, &registry) {
            Err(OpenError::Journal(JournalError::Damaged { .. })) => {}
            Err(other) => panic!("byte {at}: {other}"),
            Ok((store, opened)) => {
                panic!("byte {at}: opened with {} statements, cut {:?}", statements(&store).len(), opened.cut)
            }
        }
    }
}

#[test]
fn a_journal_cut_at_any_length_is_refused() {
    let registry = Registry::new();
    for sealed in [true, false] {
        let written = write(&registry, sealed);
        let verdicts = count(places(written.bytes.len()).collect(), |length| {
            let disk = written.on_a_disk(|bytes| bytes.truncate(length));
            written.judge(&registry, &disk, &format!("cut to {length}"))
        });
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        assert!(verdicts.contains_key("Refused"), "{verdicts:?}");
    }
}

/// As a file system does that lost the blocks but not the length.
#[test]
fn a_journal_that_ends_in_zeros_from_any_place_is_refused_or_loses_exactly_the_last_group() {
    let registry = Registry::new();
    let written = write(&registry, false);
    let used = written.used();
    // Where the journal says nothing at all of what is gone, only the record store or the checkpoint can: see below.
    let verdicts = count(places(used).collect(), |length| {
        let disk = written.on_a_disk(|bytes| bytes[length..].fill(0));
        let Ok((store, _)) = open(&disk, &registry) else {
            return Verdict::Refused;
        };
        let found: Vec<Vec<u8>> = statements(&store).into_iter().map(|(_, statement)| statement).collect();
        let whole_groups = (0..=written.groups.len())
            .find(|count| written.groups[..*count].iter().map(Vec::len).sum::<usize>() == found.len());
        let kept: Vec<Vec<u8>> =
            written.groups[..whole_groups.expect("a group is there in part")].iter().flatten().cloned().collect();
        assert_eq!(found, kept, "zeros from {length}");
        Verdict::LastGroupCut
    });
    println!("zeros from any place: {verdicts:?}");
}

/// A torn group was never acknowledged: the erasure in it orders nothing.
#[test]
fn an_erasure_in_a_group_that_is_cut_blanks_nothing() {
    let registry = Registry::new();
    let disk = TestDisk::new(1);
    let (store, _) = open(&disk, &registry).unwrap();
    let now = Timestamp::now();
    let stays = registry.first(&format!("{BLINDED}/STAYS"), draft("留", 60, &[], now), now);
    let other = registry.first(&format!("{BLINDED}/OTHER"), draft("另", 60, &[], now), now);
    commit(&store, vec![stays.propose(Expect::Absent, None)]);
    commit(&store, vec![registry.erasure(std::slice::from_ref(&stays), now), other.propose(Expect::Absent, None)]);
    disk.restart(End::Kill);
    drop(store);
    // As a power cut leaves it that came before the blanking: the disclosures of the second group torn, those of the first whole.
    let mut bytes = disk.bytes(SEGMENT);
    let place = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let torn = place(&bytes, &other.disclosures).unwrap();
    bytes[torn] ^= 1;
    let statement = place(&bytes, &stays.statement).unwrap() + stays.statement.len();
    bytes[statement..statement + stays.disclosures.len()].copy_from_slice(&stays.disclosures);
    let disk = TestDisk::new(2);
    disk.put(SEGMENT, bytes);
    for _ in 0..2 {
        let (store, _) = open(&disk, &registry).unwrap();
        assert_eq!(store.tail().registry_size, 1, "only the first group is there");
        compare_record(&store, stays.key(), std::slice::from_ref(&stays));
        disk.restart(End::Kill);
    }
}

/// As after a restore that mixes two copies of a journal: every checksum is right, and the sequence goes on.
#[test]
fn a_group_that_continues_another_history_is_refused() {
    let registry = Registry::new();
    let disk = TestDisk::new(1);
    let (store, _) = open(&disk, &registry).unwrap();
    let now = Timestamp::now();
    let register = |store: &Store, name: &str| {
        let first = registry.first(&format!("{BLINDED}/{name}"), draft("件", 60, &[], now), now);
        commit(store, vec![first.propose(Expect::Absent, None)]);
        store.tail().offset as usize
    };
    register(&store, "SAME");
    let fork = disk.bytes(SEGMENT);
    let fork_ends = register(&store, "THIS");
    register(&store, "NEXT");
    // The group behind it is what shows that NEXT had been durable: without it, NEXT would pass for a torn write and be cut.
    let end = register(&store, "MORE");
    let this = disk.bytes(SEGMENT);

    disk.restart(End::Kill);
    drop(store);
    let other_disk = TestDisk::new(2);
    other_disk.put(SEGMENT, fork);
    let (store, _) = open(&other_disk, &registry).unwrap();
    assert_eq!(register(&store, "THAT"), fork_ends, "both histories have groups of one length");
    let mut mixed = other_disk.bytes(SEGMENT);
    mixed[fork_ends..end].copy_from_slice(&this[fork_ends..end]);

    let disk = TestDisk::new(3);
    disk.put(SEGMENT, mixed);
    match open(&disk, &registry) {
        Err(OpenError::Journal(JournalError::Damaged { offset, .. })) => assert_eq!(offset, fork_ends as u64),
        Err(other) => panic!("{other}"),
        Ok((store, _)) => panic!("opened with {} statements", statements(&store).len()),
    }
}

#[test]
fn bytes_that_rot_while_the_store_is_open_are_never_served() {
    let registry = Registry::new();
    let written = write(&registry, false);
    let disk = written.on_a_disk(|_| {});
    let (store, _) = open(&disk, &registry).unwrap();
    let mut frames = Vec::new();
    store
        .replay(|frame| {
            frames.push(frame);
            Ok::<(), mingpai::store::ApplyError>(())
        })
        .unwrap();
    for frame in &frames {
        let place = frame.location;
        for at in (0..place.length).step_by(37) {
            disk.rot(SEGMENT, (place.offset + at) as usize, 0x20);
            match store.frame(place) {
                Err(error @ JournalError::Unreadable { .. }) => {
                    let told = error.to_string();
                    // The rest of the journal is whole: who cut it here would lose what nothing is wrong with.
                    assert!(!told.contains("--cut-journal") && !told.contains("acknowledged"), "{told}");
                    for word in [SEGMENT, &format!("byte {}", place.offset), "backup", "mingpai doctor", "do not cut"] {
                        assert!(told.contains(word), "{word}: {told}");
                    }
                }
                Err(other) => panic!("{other}"),
                Ok(read) => {
                    assert_eq!(read.statement, frame.statement, "rot at {at} was served");
                    assert_eq!(read.disclosures, frame.disclosures, "rot at {at} was served");
                    panic!("rot at {at} of {place:?} was not noticed");
                }
            }
            disk.rot(SEGMENT, (place.offset + at) as usize, 0x20);
        }
    }
}

/// A store on the real disk with the sled engine: its mark and the checkpoint know what was durable.
struct OnDisk {
    folder: tempfile::TempDir,
    registry: Registry,
}

impl OnDisk {
    fn filled(stop_cleanly: bool) -> OnDisk {
        let on_disk = OnDisk { folder: tempfile::tempdir().unwrap(), registry: Registry::new() };
        let (store, _) = on_disk.open().unwrap();
        let now = Timestamp::now();
        for number in 0..150 {
            let name = format!("{BLINDED}/S-{number}");
            let first = on_disk.registry.first(&name, draft("件", 500, &[], now), now);
            commit(&store, vec![first.propose(Expect::Absent, None)]);
        }
        if stop_cleanly {
            store.stop();
        }
        drop(store);
        assert!(on_disk.segments() >= 3, "the journal has several segments");
        on_disk
    }

    fn open(&self) -> Result<(Store, Opened), OpenError> {
        let ear = Arc::new(Ear::default());
        let engine = EngineChoice::Sled { budget_bytes: 64 << 20 };
        Store::open(&options(self.folder.path(), engine), self.registry.reader(), ear.clone(), ear)
    }

    fn journal(&self, number: usize) -> PathBuf {
        self.folder.path().join("journal").join(format!("{number:010}.journal"))
    }

    fn segments(&self) -> usize {
        (1..).take_while(|number| self.journal(*number).exists()).count()
    }

    fn is_refused(&self, what: &str) -> String {
        match self.open() {
            Err(OpenError::Journal(error @ JournalError::Damaged { .. })) => error.to_string(),
            Err(other) => panic!("{what}: refused for another reason: {other}"),
            Ok((_, opened)) => panic!("{what}: opened: {opened:?}"),
        }
    }
}

#[test]
fn a_missing_segment_is_refused_and_named() {
    for (what, lost) in [("first", 0), ("middle", 1), ("last", 2)] {
        let on_disk = OnDisk::filled(true);
        let number = match lost {
            0 => 1,
            1 => 2,
            _ => on_disk.segments(),
        };
        std::fs::remove_file(on_disk.journal(number)).unwrap();
        let message = on_disk.is_refused(what);
        assert!(message.contains(".journal"), "{message}");
        // The same without the checkpoint: the record store's own mark is enough.
        std::fs::remove_file(on_disk.folder.path().join("journal/checkpoint")).unwrap();
        on_disk.is_refused(&format!("{what}, without a checkpoint"));
        // And the same with the checkpoint's word alone, where the hole is in the journal itself.
        std::fs::remove_dir_all(on_disk.folder.path().join("records")).unwrap();
        if lost < 2 {
            on_disk.is_refused(&format!("{what}, by the journal alone"));
        }
    }
}

#[test]
fn an_empty_journal_beside_a_full_record_store_is_refused() {
    let on_disk = OnDisk::filled(true);
    std::fs::remove_dir_all(on_disk.folder.path().join("journal")).unwrap();
    on_disk.is_refused("an empty journal");
    assert!(on_disk.folder.path().join("records").exists(), "nothing was moved aside");
}

/// What serving would not cut, an operator's look at the record store does not cut either.
#[test]
fn making_the_record_store_anew_cuts_nothing_that_the_checkpoint_has_seen() {
    let on_disk = OnDisk::filled(true);
    std::fs::remove_dir_all(on_disk.folder.path().join("records")).unwrap();
    let last = on_disk.journal(on_disk.segments());
    let mut bytes = std::fs::read(&last).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used] ^= 0x20;
    std::fs::write(&last, &bytes).unwrap();
    let options = options(on_disk.folder.path(), EngineChoice::Sled { budget_bytes: 64 << 20 });
    let rebuilt = doctor::rebuild(&options, on_disk.registry.reader());
    assert!(matches!(rebuilt, Err(OpenError::Journal(JournalError::Damaged { .. }))), "{rebuilt:?}");
    assert_eq!(std::fs::read(&last).unwrap(), bytes);
    on_disk.is_refused("the same by serving");
}

/// The opening after a clean stop begins at the checkpoint, so it may not look there; no reader is given it as something else.
#[test]
fn an_older_copy_of_the_last_segment_is_refused_at_the_latest_when_it_is_read() {
    let on_disk = OnDisk::filled(true);
    let last = on_disk.journal(on_disk.segments());
    let mut bytes = std::fs::read(&last).unwrap();
    // As a backup has it that was taken before the last groups: zeros where they stand.
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2..].fill(0);
    std::fs::write(&last, bytes).unwrap();
    if let Ok((store, _)) = on_disk.open() {
        let key = on_disk.registry.identifier(&format!("{BLINDED}/S-149"));
        let row = store.row(key.key()).unwrap().unwrap();
        let read = store.frame(row.location);
        assert!(matches!(read, Err(JournalError::Unreadable { .. })), "{read:?}");
    }
    std::fs::remove_file(on_disk.folder.path().join("journal/checkpoint")).unwrap();
    on_disk.is_refused("an older last segment, scanned whole");
}
