//! Snapshots of the rows: what a start after a power cut begins with, and what happens to one that is damaged, half made, or
//! older than an erasure. Two layers against a model: src/store/snapshot/layered.rs.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mingpai::model::time::Timestamp;
use mingpai::sign::statement::{OriginStatement, propose_origin};
use mingpai::store::engine::{Engine, Table, Write};
use mingpai::store::engine_sled::SledEngine;
use mingpai::store::medium::Disk;
use mingpai::store::snapshot::file::Writer;
use mingpai::store::snapshot::{Rows as Snapshot, SnapshotError};
use mingpai::store::{EngineChoice, Expect, Opened, Outcome, Proposal, Store, StoreOptions, doctor};
use seam::disk::{End, TestDisk};
use seam::options;
use seam::registry::{BLINDED, Ear, ISSUER, Registry, Version, alias, draft, idempotency};

const SLED: EngineChoice = EngineChoice::Sled { budget_bytes: 64 << 20 };

/// The thread takes none by itself: each test says when.
/// A store in memory on a disk whose power can be cut.
fn open(disk: &TestDisk, registry: &Registry, reserve_bytes: u64) -> (Store, Opened) {
    let ear = Arc::new(Ear::default());
    let options = StoreOptions { reserve_bytes, ..options(&PathBuf::new(), EngineChoice::Memory) };
    Store::open_in_memory_on(&options, disk.medium(), registry.reader(), ear.clone(), ear).unwrap()
}

fn open_sled(folder: &Path, registry: &Registry) -> (Store, Opened) {
    let ear = Arc::new(Ear::default());
    Store::open(&options(folder, SLED), registry.reader(), ear.clone(), ear).unwrap()
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn rows(store: &Store) -> Rows {
    let scan = |table: Table| {
        let rows = store.scan(table, None, usize::MAX).unwrap();
        rows.into_iter().map(move |(key, value)| ((table, key), value.to_vec()))
    };
    Table::of_rows().flat_map(scan).collect()
}

fn commit(store: &Store, proposals: Vec<Proposal>) {
    for outcome in store.commit_blocking(proposals, false) {
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// Registers a record with two aliases and an idempotency key.
fn register(store: &Store, registry: &Registry, number: u64) -> Version {
    let now = Timestamp::now();
    let name = format!("{BLINDED}/S-{number}");
    let first = registry.first(&name, draft("件号", 40, &[number, 10_000 + number], now), now);
    commit(store, vec![first.propose(Expect::Absent, Some(idempotency(&name)))]);
    first
}

/// Updates it, so that one alias goes and another comes.
fn update(store: &Store, registry: &Registry, before: &Version, number: u64) -> Version {
    let now = Timestamp::now();
    let next = registry.after(before, Some(draft("改", 50, &[number, 20_000 + number], now)), now);
    commit(store, vec![next.propose(before.expect(), None)]);
    next
}

/// Until it is so, or it never will be.
fn wait(wanted: &dyn Fn() -> bool) {
    let begun = Instant::now();
    while !wanted() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never comes to that");
        std::thread::yield_now();
    }
}

fn snapshots(names: &[String]) -> Vec<&String> {
    names.iter().filter(|name| name.contains(".rows")).collect()
}

fn snapshots_in(folder: &Path) -> Vec<PathBuf> {
    let listing = std::fs::read_dir(folder.join("journal")).unwrap();
    let mut found: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().contains(".rows"));
    found
}

#[test]
fn a_start_after_a_power_cut_begins_with_the_snapshot_and_ends_in_the_rows_of_the_run() {
    let (registry, disk) = (Registry::new(), TestDisk::new(3));
    let (store, opened) = open(&disk, &registry, 0);
    assert_eq!(opened.snapshot_rows, None);
    let first: Vec<Version> = (0..200).map(|number| register(&store, &registry, number)).collect();
    let taken = store.take_snapshot().unwrap();
    assert_eq!((taken.sequence, taken.rows), (200, 800), "a record, two aliases and a request each");
    assert_eq!(store.snapshot(), Some(taken));
    for (number, version) in first.iter().enumerate().filter(|(number, _)| number % 3 == 0) {
        update(&store, &registry, version, number as u64);
    }
    register(&store, &registry, 200);
    let run = rows(&store);
    drop(store);
    // The memory engine has nothing left, as sled after a cut; the checkpoint of the stop is not believed without it.
    disk.restart(End::PowerCut);
    let (store, opened) = open(&disk, &registry, 0);
    assert_eq!(opened.snapshot_rows, Some(800), "{opened:?}");
    assert_eq!(opened.replayed_frames, 67 + 1 + 1, "the updates, one record, the seal: {opened:?}");
    assert_eq!((opened.rebuilt, opened.records), (None, 201));
    assert_eq!(rows(&store), run);
    // And once more from a snapshot of both layers.
    let again = update(&store, &registry, &first[1], 1);
    let taken = store.take_snapshot().unwrap();
    update(&store, &registry, &again, 1);
    assert_eq!(snapshots(&disk.names()).len(), 1, "{:?}", disk.names());
    let run = rows(&store);
    drop(store);
    disk.restart(End::PowerCut);
    let (store, opened) = open(&disk, &registry, 0);
    assert_eq!((opened.snapshot_rows, opened.replayed_frames), (Some(taken.rows), 2), "{opened:?}");
    assert_eq!(rows(&store), run);
}

#[test]
fn a_snapshot_with_any_damage_is_passed_over_and_everything_is_made_anew() {
    let (registry, disk) = (Registry::new(), TestDisk::new(4));
    let (store, _) = open(&disk, &registry, 0);
    let first: Vec<Version> = (0..60).map(|number| register(&store, &registry, number)).collect();
    update(&store, &registry, &first[7], 7);
    store.take_snapshot().unwrap();
    update(&store, &registry, &first[8], 8);
    let run = rows(&store);
    drop(store);
    let name = snapshots(&disk.names())[0].clone();
    let whole = disk.bytes(&name);
    let mut damages: Vec<(String, Vec<u8>)> = (0..40)
        .map(|at| {
            let at = at * (whole.len() - 1) / 39;
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            (format!("byte {at} of {}", whole.len()), bytes)
        })
        .collect();
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        damages.push((format!("cut to {length}"), whole[..length].to_vec()));
    }
    for (what, bytes) in damages {
        disk.restart(End::Kill);
        disk.put(&name, bytes);
        let (store, opened) = open(&disk, &registry, 0);
        assert_eq!(opened.snapshot_rows, None, "{what}: {opened:?}");
        assert_eq!(rows(&store), run, "{what}");
    }
}

#[test]
fn a_power_cut_at_any_moment_of_a_snapshot_leaves_a_store_that_opens_with_the_right_rows() {
    let (registry, disk) = (Registry::new(), TestDisk::new(5));
    let (store, _) = open(&disk, &registry, 0);
    let first: Vec<Version> = (0..40).map(|number| register(&store, &registry, number)).collect();
    let run = rows(&store);
    let before = disk.operations();
    store.take_snapshot().unwrap();
    let operations = disk.operations() - before;
    drop(store);
    let (mut began_with, mut anew) = (0, 0);
    let mut run = run;
    for round in 0..3 * operations {
        disk.restart(End::PowerCut);
        let (store, opened) = open(&disk, &registry, 0);
        *(if opened.snapshot_rows.is_some() { &mut began_with } else { &mut anew }) += 1;
        assert_eq!(rows(&store), run, "round {round}: {opened:?}");
        assert!(!disk.names().iter().any(|name| name.ends_with(".rows.new")), "{:?}", disk.names());
        if round == operations {
            update(&store, &registry, &first[3], 3);
            run = rows(&store);
        }
        disk.die_in(1 + round % operations);
        let _ = store.take_snapshot();
        drop(store);
    }
    assert!(began_with > 0, "{began_with} began with a snapshot, {anew} with the whole journal");
}

#[test]
fn snapshots_taken_while_everything_changes_lead_to_the_same_rows() {
    let (registry, disk) = (Registry::new(), TestDisk::new(6));
    for round in 0..4 {
        let (store, opened) = open(&disk, &registry, 0);
        assert_eq!(opened.snapshot_rows.is_some(), round > 0, "{opened:?}");
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let (store, registry) = (&store, &registry);
                    scope.spawn(move || {
                        for at in 0..60 {
                            let number = round * 1000 + writer * 100 + at;
                            let version = register(store, registry, number);
                            let next = update(store, registry, &version, number);
                            if at % 4 == 0 {
                                let gone = registry.after(&next, None, Timestamp::now());
                                commit(store, vec![gone.propose(next.expect(), None)]);
                            }
                        }
                    })
                })
                .collect();
            let taker = scope.spawn(|| {
                let mut taken = 0;
                while !ended.load(Ordering::Acquire) {
                    taken += u64::from(store.take_snapshot().is_ok());
                }
                taken
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            ended.store(true, Ordering::Release);
            assert!(taker.join().unwrap() > 0, "no snapshot was taken meanwhile");
        });
        let run = rows(&store);
        drop(store);
        disk.restart(End::PowerCut);
        let (store, opened) = open(&disk, &registry, 0);
        assert!(opened.snapshot_rows.is_some() && opened.rebuilt.is_none(), "{opened:?}");
        assert_eq!(rows(&store), run);
        drop(store);
        disk.restart(End::Kill);
    }
}

#[test]
fn what_is_erased_is_in_no_snapshot_and_does_not_come_back() {
    let (registry, disk) = (Registry::new(), TestDisk::new(7));
    let (store, _) = open(&disk, &registry, 0);
    let erase = |store: &Store, version: &Version| {
        commit(store, vec![registry.erasure(std::slice::from_ref(version), Timestamp::now())]);
    };
    let key = |version: &Version| version.key().as_str().as_bytes().to_vec();
    let holds = |name: &str, what: &[u8]| disk.bytes(name).windows(what.len()).any(|window| window == what);
    let first: Vec<Version> = (0..30).map(|number| register(&store, &registry, number)).collect();
    store.take_snapshot().unwrap();
    let old = snapshots(&disk.names())[0].clone();
    let bytes = disk.bytes(&old);
    erase(&store, &first[4]);
    let run = rows(&store);
    drop(store);
    disk.restart(End::PowerCut);
    // As if the power had been cut before the thread saw the erasure.
    disk.put(&old, bytes);
    // The snapshot is older than the erasure: it is not replayed over, and it goes.
    let (store, opened) = open(&disk, &registry, 0);
    assert!(opened.snapshot_rows.is_none() && opened.rebuilt.is_some(), "{opened:?}");
    assert_eq!(rows(&store), run);
    assert!(snapshots(&disk.names()).is_empty(), "{:?}", disk.names());
    // Below the record store: the next one takes its place, and nothing of the erased record is in it.
    store.take_snapshot().unwrap();
    drop(store);
    disk.restart(End::PowerCut);
    let (store, opened) = open(&disk, &registry, 0);
    assert!(opened.snapshot_rows.is_some(), "{opened:?}");
    let old = snapshots(&disk.names())[0].clone();
    assert!(holds(&old, &key(&first[5])));
    erase(&store, &first[5]);
    let run = rows(&store);
    // The thread does the same, sooner or later.
    let _ = store.take_snapshot();
    wait(&|| {
        let names = disk.names();
        matches!(snapshots(&names)[..], [new] if *new != old)
    });
    let new = snapshots(&disk.names())[0].clone();
    assert!(!holds(&new, &key(&first[5])) && holds(&new, &key(&first[6])));
    drop(store);
    disk.restart(End::PowerCut);
    let (store, opened) = open(&disk, &registry, 0);
    assert!(opened.snapshot_rows.is_some() && opened.rebuilt.is_none(), "{opened:?}");
    assert_eq!(rows(&store), run);
}

#[test]
fn the_thread_takes_one_when_it_is_due_and_replaces_it_after_an_erasure() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let ear = Arc::new(Ear::default());
    let options = StoreOptions { snapshot_frames: 50, ..options(folder.path(), SLED) };
    let (store, _) = Store::open(&options, registry.reader(), ear.clone(), ear).unwrap();
    let first: Vec<Version> = (0..50).map(|number| register(&store, &registry, number)).collect();
    wait(&|| store.snapshot().is_some());
    let before = snapshots_in(folder.path());
    commit(&store, vec![registry.erasure(&first[..1], Timestamp::now())]);
    wait(&|| store.snapshot().is_some_and(|state| state.sequence == 51));
    wait(&|| !before[0].exists());
    assert_eq!(snapshots_in(folder.path()).len(), 1);
}

#[test]
fn a_full_disk_keeps_its_reserve_and_no_half_made_snapshot() {
    let (registry, disk) = (Registry::new(), TestDisk::new(8));
    let (store, _) = open(&disk, &registry, 1 << 20);
    (0..20).for_each(|number| drop(register(&store, &registry, number)));
    disk.set_full(true);
    let refused = store.take_snapshot();
    assert!(matches!(refused, Err(SnapshotError::Room(_))), "{refused:?}");
    assert!(snapshots(&disk.names()).is_empty(), "{:?}", disk.names());
    disk.set_full(false);
    // A sync that fails in the middle costs the snapshot and not the node.
    for syncs in 0..2 {
        disk.fail_sync_in(syncs);
        let failed = store.take_snapshot();
        assert!(matches!(failed, Err(SnapshotError::Io(_))), "{failed:?}");
        disk.call_off_faults();
        assert!(snapshots(&disk.names()).is_empty(), "{:?}", disk.names());
    }
    assert!(!store.is_poisoned());
    let taken = store.take_snapshot().unwrap();
    // What is there is left in peace by one more, and by one that fails.
    disk.fail_sync_in(0);
    assert_eq!(store.take_snapshot().unwrap(), taken, "nothing has changed");
    disk.call_off_faults();
    register(&store, &registry, 20);
    let names = disk.names();
    disk.fail_sync_in(0);
    assert!(store.take_snapshot().is_err());
    assert_eq!(disk.names(), names);
    assert_eq!(store.snapshot(), Some(taken));
}

#[test]
fn on_sled_the_layers_survive_stops_are_examined_and_go_with_a_rebuild() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    let first: Vec<Version> = (0..120).map(|number| register(&store, &registry, number)).collect();
    store.take_snapshot().unwrap();
    update(&store, &registry, &first[0], 0);
    drop(store);
    // A power cut, as the checkpoint shows it, that has destroyed sled's files.
    let cut = |noise: bool| {
        std::fs::remove_file(path.join("journal/checkpoint")).unwrap();
        if noise {
            std::fs::write(path.join("records/db"), [0xa5; 4096]).unwrap();
        }
    };
    for noise in [true, false] {
        cut(noise);
        let (store, opened) = open_sled(path, &registry);
        assert!(opened.snapshot_rows.is_some() && !opened.clean, "{opened:?}");
        update(&store, &registry, &first[if noise { 1 } else { 2 }], 500 + u64::from(noise));
        let run = rows(&store);
        drop(store);
        let (store, opened) = open_sled(path, &registry);
        assert!(opened.clean && opened.snapshot_rows.is_none() && opened.records == 120, "{opened:?}");
        assert_eq!(rows(&store), run);
    }
    let examined = doctor::examine(&options(path, SLED)).unwrap();
    let snapshot = examined.snapshot.unwrap();
    assert_eq!((examined.difference, snapshot.damage, snapshot.state.rows), (None, None, 480));
    let rebuilt = doctor::rebuild(&options(path, SLED), registry.reader()).unwrap();
    assert_eq!(rebuilt.differing_rows, Some(0), "{rebuilt:?}");
    assert_eq!(snapshots_in(path), Vec::<PathBuf>::new());
    let (store, opened) = open_sled(path, &registry);
    assert_eq!((opened.rebuilt, opened.records), (None, 120));
    drop(store);
}

#[test]
fn a_snapshot_that_is_gone_from_below_the_record_store_has_it_made_anew() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    (0..50).for_each(|number| drop(register(&store, &registry, number)));
    store.take_snapshot().unwrap();
    let run = rows(&store);
    drop(store);
    std::fs::remove_file(path.join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.snapshot_rows.is_some(), "{opened:?}");
    drop(store);
    std::fs::remove_file(&snapshots_in(path)[0]).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.rebuilt.is_some(), "{opened:?}");
    assert_eq!(rows(&store), run);
}

/// The checkpoint as a node leaves it that was ended, on a machine that cannot tell whether the power was cut.
fn doubt(folder: &Path) {
    let path = folder.join("journal/checkpoint");
    let bytes = std::fs::read(&path).unwrap();
    let mut checkpoint: serde_json::Value = serde_json::from_slice(&bytes[..bytes.len() - 4]).unwrap();
    checkpoint["clean"] = false.into();
    checkpoint["session"] = serde_json::Value::Null;
    let mut bytes = serde_json::to_vec(&checkpoint).unwrap();
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

/// A store whose rows begin with a snapshot of so many records.
fn warm(folder: &Path, registry: &Registry, records: u64) -> (Store, Vec<Version>) {
    let (store, _) = open_sled(folder, registry);
    let first = (0..records).map(|number| register(&store, registry, number)).collect();
    store.take_snapshot().unwrap();
    drop(store);
    std::fs::remove_file(folder.join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(folder, registry);
    assert_eq!(opened.snapshot_rows, Some(4 * records), "{opened:?}");
    (store, first)
}

/// Puts other rows into the files of a record store, without a word in its mark.
fn falsify(folder: &Path, rows: &[Write]) {
    let engine = SledEngine::open(&folder.join("records"), 64 << 20).unwrap();
    let mark = engine.mark().unwrap().unwrap();
    engine.write(rows, &mark).unwrap();
    engine.persist().unwrap();
}

fn gone_record(version: &Version) -> Write {
    Write { table: Table::Record, key: version.key().as_bytes().to_vec(), value: None }
}

#[test]
fn an_older_program_does_not_know_a_record_store_above_a_snapshot() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let (store, _) = warm(folder.path(), &registry, 20);
    drop(store);
    let engine = SledEngine::open(&folder.path().join("records"), 64 << 20).unwrap();
    let mark = engine.read(Table::Mark, b"").unwrap().unwrap();
    // It reads 48 bytes, and then hours of 24 bytes to the end: of any other length it makes nothing, and the rows anew.
    assert_ne!((mark.len() - 48) % 24, 0, "it would take the rows above for all");
}

#[test]
fn a_record_store_with_damage_anywhere_is_opened_examined_and_made_anew_without_a_panic() {
    let (registry, folder, copy) = (Registry::new(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, first) = warm(folder.path(), &registry, 60);
    first.iter().zip(0..).take(30).for_each(|(version, number)| drop(update(&store, &registry, version, number)));
    let run = rows(&store);
    drop(store);
    let db = folder.path().join("records/db");
    let whole = std::fs::read(&db).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    let mut seen = BTreeMap::new();
    for at in (0..24).map(|at| at * used / 23) {
        let path = copy.path().join(at.to_string());
        copy_files(folder.path(), &path);
        let mut bytes = whole.clone();
        bytes[at..(at + 700).min(used + 1)].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(path.join("records/db"), bytes).unwrap();
        let examined = doctor::examine(&options(&path, SLED));
        let is_well = examined.as_ref().is_ok_and(|found| found.difference.is_none() && found.behind == 0);
        *seen.entry(is_well).or_insert(0) += 1;
        if at % 2 == 0 {
            doctor::rebuild(&options(&path, SLED), registry.reader()).unwrap();
        } else {
            doubt(&path);
        }
        let (store, opened) = open_sled(&path, &registry);
        assert_eq!(rows(&store), run, "at {at}: {opened:?}");
    }
    assert!(seen.contains_key(&false), "nothing was damaged: {seen:?}");
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn rot_below_a_running_node_fails_reads_alone_and_the_next_start_mends_it() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let (store, mut first) = warm(folder.path(), &registry, 200);
    let path = &snapshots_in(folder.path())[0];
    // Every block: the index and the end were read at the start.
    let mut bytes = std::fs::read(path).unwrap();
    let blocks = u64::from_le_bytes(bytes[bytes.len() - 32..][..8].try_into().unwrap()) as usize;
    bytes[..blocks].iter_mut().for_each(|byte| *byte ^= 0x11);
    std::fs::write(path, &bytes).unwrap();
    assert!(store.row(first[9].key()).is_err());
    // What was read before may be changed: its old alias, below, cannot be looked at any more.
    let refused = registry.after(&first[9], Some(draft("改", 50, &[9], Timestamp::now())), Timestamp::now());
    let outcomes = store.commit_blocking(vec![refused.propose(first[9].expect(), None)], false);
    assert!(matches!(outcomes[..], [Outcome::Refused(_)]), "{outcomes:?}");
    bytes[..blocks].iter_mut().for_each(|byte| *byte ^= 0x11);
    std::fs::write(path, &bytes).unwrap();
    let next = update(&store, &registry, &first[9], 9);
    bytes[..blocks].iter_mut().for_each(|byte| *byte ^= 0x11);
    std::fs::write(path, &bytes).unwrap();
    // Its record is above by now, the alias that goes with this version is too; one from the snapshot goes unseen.
    let last = registry.after(&next, Some(draft("再", 50, &[], Timestamp::now())), Timestamp::now());
    commit(&store, vec![last.propose(next.expect(), None)]);
    assert!(!store.is_poisoned());
    assert!(store.bearer(alias(9).key()).is_err());
    first[9] = last;
    drop(store);
    let (store, opened) = open_sled(folder.path(), &registry);
    assert!(!opened.clean && opened.rebuilt.is_some(), "{opened:?}");
    for (version, number) in first.iter().zip(0..) {
        assert_eq!(store.row(version.key()).unwrap().unwrap().version, version.record.version);
        let bearer = (number != 9).then(|| version.key().clone());
        assert_eq!(store.bearer(alias(number).key()).unwrap(), bearer);
    }
}

#[test]
fn after_a_kill_that_may_have_been_a_power_cut_sound_rows_are_scanned_where_that_is_sooner() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    let first: Vec<Version> = (0..60).map(|number| register(&store, &registry, number)).collect();
    store.take_snapshot().unwrap();
    (60..90).for_each(|number| drop(register(&store, &registry, number)));
    let run = rows(&store);
    drop(store);
    doubt(path);
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.rebuilt.is_none() && opened.snapshot_rows.is_none() && opened.kind() == "replay", "{opened:?}");
    assert_eq!(rows(&store), run);
    drop(store);
    // Rows that do not pass are not made anew from the whole journal: now the snapshot's turn has come.
    doubt(path);
    falsify(path, &[gone_record(&first[3])]);
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.rebuilt.is_some() && opened.snapshot_rows == Some(240) && !opened.anew, "{opened:?}");
    assert_eq!(rows(&store), run);
}

#[test]
fn a_snapshot_from_before_an_erasure_is_not_fallen_back_on() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    let first: Vec<Version> = (0..60).map(|number| register(&store, &registry, number)).collect();
    store.take_snapshot().unwrap();
    let old = snapshots_in(path)[0].clone();
    let bytes = std::fs::read(&old).unwrap();
    commit(&store, vec![registry.erasure(&first[7..8], Timestamp::now())]);
    (60..90).for_each(|number| drop(register(&store, &registry, number)));
    let run = rows(&store);
    drop(store);
    doubt(path);
    falsify(path, &[gone_record(&first[3])]);
    std::fs::write(&old, bytes).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.rebuilt.is_some() && opened.snapshot_rows.is_none() && opened.anew, "{opened:?}");
    assert_eq!(rows(&store), run);
    assert!(store.row(first[7].key()).unwrap().is_none(), "what was erased has come back");
    assert!(snapshots_in(path).is_empty());
}

#[test]
fn a_snapshot_that_does_not_add_up_goes_and_a_damaged_one_gives_way_to_an_older_one() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    (0..60).for_each(|number| drop(register(&store, &registry, number)));
    store.take_snapshot().unwrap();
    let older = snapshots_in(path)[0].clone();
    let bytes = std::fs::read(&older).unwrap();
    (60..80).for_each(|number| drop(register(&store, &registry, number)));
    store.take_snapshot().unwrap();
    let newer = snapshots_in(path)[0].clone();
    let run = rows(&store);
    drop(store);
    std::fs::write(&older, bytes).unwrap();
    let mut damaged = std::fs::read(&newer).unwrap();
    damaged[5_000] ^= 1;
    std::fs::write(&newer, damaged).unwrap();
    std::fs::remove_file(path.join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert_eq!(opened.snapshot_rows, Some(240), "{opened:?}");
    assert_eq!((rows(&store), snapshots_in(path)), (run.clone(), vec![older]));
    // One whose every checksum is right, and which has a row too few.
    let number = store.take_snapshot().unwrap().sequence;
    drop(store);
    let disk = Disk::open(&path.join("journal")).unwrap();
    let whole = Snapshot::open(&disk, number).unwrap();
    let mut head = whole.head.clone();
    head.rows = 0;
    let mut writer = Writer::create(&disk, "short", head).unwrap();
    for table in Table::of_rows() {
        let skipped = usize::from(table == Table::Record);
        for (key, value) in whole.scan(table, None, usize::MAX).unwrap().into_iter().skip(skipped) {
            writer.row(table, &key, &value).unwrap();
        }
    }
    writer.finish().unwrap();
    std::fs::rename(path.join("journal/short"), &snapshots_in(path)[0]).unwrap();
    Snapshot::open(&disk, number).unwrap().verify().unwrap();
    std::fs::remove_file(path.join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.rebuilt.is_some() && opened.snapshot_rows.is_none(), "{opened:?}");
    assert_eq!((rows(&store), snapshots_in(path)), (run, vec![]));
}

#[test]
fn a_renamed_log_keeps_its_snapshot_and_is_found_sound() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let path = folder.path();
    let (store, _) = open_sled(path, &registry);
    register(&store, &registry, 1);
    let statement = OriginStatement {
        iat: 1,
        iss: ISSUER.to_owned(),
        origin: "node.example/second".to_owned(),
        before: "node.example".to_owned(),
        size: 1,
        root: String::new(),
    };
    let origin = propose_origin(&registry.key, &statement, Timestamp::now()).unwrap();
    commit(&store, vec![Proposal::Statement(origin)]);
    assert_eq!(store.take_snapshot().unwrap().rows, 5);
    let run = rows(&store);
    drop(store);
    std::fs::remove_file(path.join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(path, &registry);
    assert!(opened.snapshot_rows.is_some() && opened.rebuilt.is_none(), "{opened:?}");
    assert_eq!(rows(&store), run);
    drop(store);
    assert_eq!(doctor::examine(&options(path, SLED)).unwrap().difference, None);
}

#[test]
fn notes_of_what_was_taken_away_are_bounded_by_the_snapshot_below() {
    let (registry, folder) = (Registry::new(), tempfile::tempdir().unwrap());
    let (store, mut versions) = warm(folder.path(), &registry, 40);
    let notes = || store.scan(Table::Gone, None, usize::MAX).unwrap().len();
    for round in 1..5 {
        for (number, version) in versions.iter_mut().enumerate() {
            // The alias of the round before goes.
            let next = registry.after(
                version,
                Some(draft("改", 20, &[round * 1_000 + number as u64], Timestamp::now())),
                Timestamp::now(),
            );
            commit(&store, vec![next.propose(version.expect(), None)]);
            *version = next;
        }
        assert!(notes() >= 40, "{} notes in round {round}", notes());
        store.take_snapshot().unwrap();
        // The thread does it, sooner or later.
        wait(&|| notes() == 0);
    }
    let run = rows(&store);
    drop(store);
    assert_eq!(doctor::examine(&options(folder.path(), SLED)).unwrap().difference, None);
    assert_eq!(rows(&open_sled(folder.path(), &registry).0), run);
}

#[test]
fn a_disk_that_fills_up_while_a_snapshot_is_written_costs_the_snapshot_alone() {
    let (registry, disk) = (Registry::new(), TestDisk::new(9));
    let (store, _) = open(&disk, &registry, 1 << 20);
    (0..20).for_each(|number| drop(register(&store, &registry, number)));
    let taken = store.take_snapshot().unwrap();
    let now = Timestamp::now();
    let many = (0..5_000).map(|number| {
        let name = format!("{BLINDED}/M-{number}");
        registry.first(&name, draft("n", 20, &[], now), now).propose(Expect::Absent, Some(idempotency(&name)))
    });
    many.collect::<Vec<_>>().chunks(20).for_each(|some| commit(&store, some.to_vec()));
    let names = disk.names();
    // Less than the floor from the start; a piece more than is expected, of which more will come; nothing.
    let floor = (1 << 20) + 2 * 64 * 1024;
    for free in [floor, floor + 3 * (1 << 19), 0] {
        disk.set_free(free);
        let refused = store.take_snapshot();
        assert!(matches!(refused, Err(SnapshotError::Room(_))), "{refused:?}");
        assert_eq!((disk.names(), store.snapshot()), (names.clone(), Some(taken)));
    }
    disk.set_free(u64::MAX);
    let taken = store.take_snapshot().unwrap();
    assert!(taken.bytes > 3 * (1 << 19), "{taken:?}");
    assert!(!store.is_poisoned());
}
