//! What every engine promises (src/store/engine.rs), asked of each of them by one suite.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mingpai::store::engine::{Engine, Mark, Table, Write};
use mingpai::store::engine_memory::MemoryEngine;
use mingpai::store::engine_sled::SledEngine;
use mingpai::store::journal::Tail;
use mingpai::store::medium::Disk;
use mingpai::store::names::Names;
use mingpai::store::snapshot::file::Writer;
use mingpai::store::snapshot::{Head, Layered, Rows};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const SLED_BUDGET_BYTES: u64 = 64 << 20;

fn tables() -> Vec<Table> {
    Table::of_rows().collect()
}

/// Two layers: below a snapshot with rows of every table, all of which are taken away, so that it looks empty.
fn layered(folder: &Path) -> Layered {
    let disk = Disk::open(folder).unwrap();
    let tail = Tail { segment: 1, offset: 0, sequence: 0, registry_size: 0, audit_size: 0, previous: [0; 32] };
    let keys = [&b""[..], &[0], &[0, 97], b"a", b"a\x00", b"b", b"big", b"same", &[255], &[255, 255]];
    let mut writer = Writer::create(&disk, "00000000000000000000.rows", Head::new(tail, &Mark::default(), 0)).unwrap();
    let rows = || Table::of_rows().flat_map(|table| keys.map(|key| (table, key)));
    rows().for_each(|(table, key)| writer.row(table, key, b"below").unwrap());
    writer.finish().unwrap();
    let (above, rows_below) = (Arc::new(MemoryEngine::default()), Rows::open(&disk, 0).unwrap());
    let engine = Layered::begin(above, rows_below, &Mark::default()).unwrap();
    let removals: Vec<Write> = rows().map(|(table, key)| take_away(table, key)).collect();
    engine.write(&removals, &Mark::default()).unwrap();
    engine
}

fn sled(folder: &Path) -> Box<dyn Engine> {
    Box::new(SledEngine::open(folder, SLED_BUDGET_BYTES).unwrap())
}

/// Runs a part of the suite on every engine, each time on an empty one.
fn on_every_engine(part: impl Fn(Arc<dyn Engine>)) {
    part(Arc::new(MemoryEngine::default()));
    let folder = tempfile::tempdir().unwrap();
    part(Arc::from(sled(folder.path())));
    let folder = tempfile::tempdir().unwrap();
    part(Arc::new(layered(folder.path())));
    let (names, filler) = Names::around(Arc::new(MemoryEngine::default()), 0);
    std::thread::scope(|scope| {
        let (stop, stopped) = crossbeam_channel::bounded(1);
        scope.spawn(move || filler.run(&stopped));
        part(names);
        stop.send(()).unwrap();
    });
}

fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
    Write { table, key: key.to_vec(), value: Some(value.to_vec()) }
}

fn take_away(table: Table, key: &[u8]) -> Write {
    Write { table, key: key.to_vec(), value: None }
}

fn mark(sequence: u64) -> Mark {
    Mark { sequence, ..Mark::default() }
}

fn read(engine: &dyn Engine, table: Table, key: &[u8]) -> Option<Vec<u8>> {
    engine.read(table, key).unwrap().map(|row| row.to_vec())
}

fn scan(engine: &dyn Engine, table: Table, after: Option<&[u8]>, limit: usize) -> Vec<Vec<u8>> {
    let rows = engine.scan(table, after, limit).unwrap();
    rows.into_iter().map(|(key, _)| key).collect()
}

#[test]
fn an_empty_engine_has_no_row_and_no_mark() {
    on_every_engine(|engine| {
        assert_eq!(engine.mark().unwrap().unwrap_or_default(), Mark::default());
        for table in tables() {
            assert_eq!(read(engine.as_ref(), table, b""), None);
            assert!(scan(engine.as_ref(), table, None, 10).is_empty());
        }
        engine.each(&mut |_, _, _| panic!("a row")).unwrap();
    });
}

#[test]
fn rows_of_one_write_are_applied_in_their_order_and_the_mark_is_the_last_one_given() {
    on_every_engine(|engine| {
        let rows = [
            put(Table::Record, b"a", b"1"),
            take_away(Table::Record, b"a"),
            put(Table::Record, b"a", b"2"),
            put(Table::Record, b"b", b"1"),
            take_away(Table::Record, b"b"),
            take_away(Table::Record, b"never there"),
        ];
        let mut whole = mark(7);
        whole.records = 3;
        whole.rows = u128::MAX - 5;
        whole.requests.insert(-1, 9);
        whole.requests.insert(470_000, u128::MAX);
        engine.write(&rows, &whole).unwrap();
        assert_eq!(read(engine.as_ref(), Table::Record, b"a").unwrap(), b"2");
        assert_eq!(read(engine.as_ref(), Table::Record, b"b"), None);
        assert_eq!(engine.mark().unwrap(), Some(whole));
        engine.write(&[], &mark(8)).unwrap();
        assert_eq!(engine.mark().unwrap(), Some(mark(8)));
    });
}

#[test]
fn tables_do_not_see_each_other_and_the_mark_is_no_row() {
    on_every_engine(|engine| {
        let rows: Vec<Write> = tables().iter().map(|table| put(*table, b"same", &[*table as u8])).collect();
        engine.write(&rows, &mark(1)).unwrap();
        for table in tables() {
            assert_eq!(read(engine.as_ref(), table, b"same").unwrap(), [table as u8]);
            assert_eq!(scan(engine.as_ref(), table, None, 10), [b"same"]);
        }
        engine.write(&[take_away(Table::Key, b"same")], &mark(2)).unwrap();
        let mut seen = Vec::new();
        engine
            .each(&mut |table, key, value| {
                assert_eq!((key, value), (&b"same"[..], &[table as u8][..]));
                seen.push(table);
            })
            .unwrap();
        seen.sort();
        let left: Vec<Table> = tables().into_iter().filter(|table| *table != Table::Key).collect();
        assert_eq!(seen, left);
    });
}

#[test]
fn empty_keys_empty_values_and_values_of_a_mebibyte_come_back() {
    on_every_engine(|engine| {
        let big: Vec<u8> = (0..1_u32 << 20).map(|at| (at % 251) as u8).collect();
        let rows = [
            put(Table::Record, b"", b""),
            put(Table::Alias, b"", b"x"),
            put(Table::Record, b"big", &big),
            put(Table::Record, &[0xff; 2048], b"long key"),
        ];
        engine.write(&rows, &mark(1)).unwrap();
        assert_eq!(read(engine.as_ref(), Table::Record, b"").unwrap(), b"");
        assert_eq!(read(engine.as_ref(), Table::Alias, b"").unwrap(), b"x");
        assert_eq!(read(engine.as_ref(), Table::Record, b"big").unwrap(), big);
        assert_eq!(scan(engine.as_ref(), Table::Record, None, 10), [vec![], b"big".to_vec(), vec![0xff; 2048]]);
        assert_eq!(
            scan(engine.as_ref(), Table::Record, Some(b""), 1),
            [b"big".to_vec()],
            "after the empty key comes the next one"
        );
    });
}

#[test]
fn a_scan_is_in_key_order_begins_after_a_key_that_need_not_exist_and_stops_at_its_limit() {
    on_every_engine(|engine| {
        let keys: Vec<Vec<u8>> =
            [&b"\x00"[..], b"a", b"a\x00", b"a\xff", b"b", b"\xff\xff"].iter().map(|key| key.to_vec()).collect();
        let rows: Vec<Write> = keys
            .iter()
            .rev()
            .map(|key| put(Table::Record, key, key))
            .chain([put(Table::Key, b"z", b""), put(Table::Revoked, b"", b"")])
            .collect();
        engine.write(&rows, &mark(1)).unwrap();
        let engine = engine.as_ref();
        assert_eq!(scan(engine, Table::Record, None, 100), keys);
        assert!(scan(engine, Table::Record, None, 0).is_empty());
        assert_eq!(scan(engine, Table::Record, None, 2), keys[..2]);
        assert_eq!(scan(engine, Table::Record, Some(b"a"), 100), keys[2..]);
        assert_eq!(scan(engine, Table::Record, Some(b"a\x01"), 1), keys[3..4]);
        assert!(scan(engine, Table::Record, Some(b"\xff\xff"), 9).is_empty());
        assert!(scan(engine, Table::Record, Some(&[0xff; 9]), 9).is_empty());
    });
}

#[test]
fn readers_see_each_row_old_or_new_and_every_row_once_the_write_has_returned() {
    on_every_engine(|engine| {
        let engine: &dyn Engine = engine.as_ref();
        let value = |round: u64| vec![round as u8; 3_000];
        let stop = AtomicBool::new(false);
        engine.write(&[put(Table::Record, b"k", &value(0))], &mark(0)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    let row = read(engine, Table::Record, b"k").unwrap();
                    assert!(row.len() == 3_000 && row.iter().all(|byte| *byte == row[0]));
                }
            });
            for round in 1..200 {
                engine.write(&[put(Table::Record, b"k", &value(round))], &mark(round)).unwrap();
                assert_eq!(
                    read(engine, Table::Record, b"k").unwrap(),
                    value(round),
                    "after the write everybody sees it"
                );
                assert_eq!(engine.mark().unwrap().unwrap().sequence, round);
            }
            stop.store(true, Ordering::Release);
        });
    });
}

#[derive(Clone, Debug)]
enum Act {
    Write(Vec<(usize, Vec<u8>, Option<Vec<u8>>)>),
    Scan(usize, Option<Vec<u8>>, usize),
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let key = || proptest::collection::vec(prop_oneof![Just(0_u8), Just(97), Just(255)], 0..4);
    let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
    let rows = proptest::collection::vec((0..tables().len(), key(), value), 0..12);
    let act = prop_oneof![
        6 => rows.prop_map(Act::Write),
        4 => (0..tables().len(), proptest::option::of(key()), 0..9_usize)
            .prop_map(|(table, after, limit)| Act::Scan(table, after, limit)),
        1 => Just(Act::Reopen),
    ];
    proptest::collection::vec(act, 1..30)
}

/// Follows the acts with a map beside the engine. `reopen` persists, closes and opens again.
fn follow(mut engine: Box<dyn Engine>, acts: &[Act], reopen: impl Fn(Box<dyn Engine>) -> Box<dyn Engine>) {
    let mut model: BTreeMap<(Table, Vec<u8>), Vec<u8>> = BTreeMap::new();
    let mut sequence = engine.mark().unwrap().map(|mark| mark.sequence);
    for act in acts {
        match act {
            Act::Write(rows) => {
                let rows = rows.iter().map(|(table, key, value)| Write {
                    table: tables()[*table],
                    key: key.clone(),
                    value: value.clone(),
                });
                let rows: Vec<Write> = rows.collect();
                let next = sequence.map_or(0, |sequence| sequence + 1);
                engine.write(&rows, &mark(next)).unwrap();
                sequence = Some(next);
                for row in rows {
                    let place = (row.table, row.key);
                    match row.value {
                        Some(value) => model.insert(place, value),
                        None => model.remove(&place),
                    };
                }
            }
            Act::Scan(table, after, limit) => {
                let table = tables()[*table];
                let expected: Vec<(Vec<u8>, Vec<u8>)> = model
                    .iter()
                    .filter(|((of, key), _)| *of == table && after.as_ref().is_none_or(|after| key > after))
                    .take(*limit)
                    .map(|((_, key), value)| (key.clone(), value.clone()))
                    .collect();
                let found = engine.scan(table, after.as_deref(), *limit).unwrap();
                let found: Vec<_> = found.into_iter().map(|(key, value)| (key, value.to_vec())).collect();
                assert_eq!(found, expected);
            }
            Act::Reopen => engine = reopen(engine),
        }
        let mut each = BTreeMap::new();
        engine
            .each(&mut |table, key, value| {
                let before = each.insert((table, key.to_vec()), value.to_vec());
                assert_eq!(before, None, "a row was visited twice");
            })
            .unwrap();
        assert_eq!(each, model);
        for ((table, key), value) in &model {
            assert_eq!(read(engine.as_ref(), *table, key).as_ref(), Some(value));
        }
        assert_eq!(engine.mark().unwrap(), sequence.map(mark));
    }
}

fn check(cases: u32, test: impl Fn(Vec<Act>)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&acts(), |acts| {
            test(acts);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_memory_engine_does_what_an_ordered_map_does() {
    check(300, |acts| {
        follow(Box::new(MemoryEngine::default()), &acts, |engine| engine);
    });
}

#[test]
fn two_layers_do_what_an_ordered_map_does() {
    check(150, |acts| {
        let folder = tempfile::tempdir().unwrap();
        follow(Box::new(layered(folder.path())), &acts, |engine| engine);
    });
}

#[test]
fn the_sled_engine_does_what_an_ordered_map_does_also_across_reopening() {
    check(40, |acts| {
        let folder = tempfile::tempdir().unwrap();
        follow(sled(folder.path()), &acts, |engine| {
            engine.persist().unwrap();
            drop(engine);
            sled(folder.path())
        });
    });
}

#[test]
fn an_opening_waits_for_what_an_earlier_one_has_still_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let engine = sled(folder.path());
    engine.write(&[put(Table::Record, b"kept", b"value")], &mark(1)).unwrap();
    engine.persist().unwrap();
    drop(engine);

    // As a task of sled's does that is not done when the tree is dropped.
    let under_way = std::fs::File::open(folder.path().join("db")).unwrap();
    under_way.lock().unwrap();
    let reopened = std::thread::scope(|scope| {
        let opening = scope.spawn(|| sled(folder.path()));
        while times_open(&folder.path().join("db")) < 2 && !opening.is_finished() {
            std::thread::yield_now();
        }
        drop(under_way);
        opening.join().unwrap()
    });
    assert_eq!(read(reopened.as_ref(), Table::Record, b"kept").unwrap(), b"value");
}

/// How often this process has a file open.
fn times_open(path: &Path) -> usize {
    let path = path.canonicalize().unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter(|descriptor| std::fs::read_link(descriptor.path()).is_ok_and(|file| file == path)).count()
}

#[test]
fn what_was_persisted_is_in_the_files_even_if_the_engine_is_never_closed() {
    let (folder, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let engine = sled(folder.path());
    let rows: Vec<Write> = (0..2_000_u32).map(|at| put(Table::Record, &at.to_be_bytes(), &[at as u8; 300])).collect();
    engine.write(&rows, &mark(2_000)).unwrap();
    engine.persist().unwrap();
    copy_files(folder.path(), copy.path());
    let reopened = sled(copy.path());
    assert_eq!(reopened.mark().unwrap(), Some(mark(2_000)));
    assert_eq!(scan(reopened.as_ref(), Table::Record, None, usize::MAX).len(), 2_000);
    assert!(engine.disk_bytes() > 0);
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy_files(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn files_that_are_no_sled_tree_are_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = sled(folder.path());
        let rows: Vec<Write> = (0..500_u32).map(|at| put(Table::Record, &at.to_be_bytes(), &[7; 900])).collect();
        engine.write(&rows, &mark(500)).unwrap();
        engine.persist().unwrap();
    }
    let db = folder.path().join("db");
    let length = std::fs::metadata(&db).unwrap().len();
    for (what, bytes) in [("zeros", 0_u8), ("ones", 0xff)] {
        std::fs::write(&db, vec![bytes; length as usize]).unwrap();
        // An engine that opens empty is right too: the journal's mark then says that everything is missing.
        if let Ok(engine) = SledEngine::open(folder.path(), SLED_BUDGET_BYTES) {
            let rows = engine.each(&mut |_, _, _| {});
            let mark = engine.mark();
            assert!(rows.is_err() || mark.is_err() || mark.unwrap().is_none(), "{what}: a mark came out of nothing");
        }
    }
}

#[test]
fn a_page_that_is_damaged_is_an_error_of_every_call_that_meets_it_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    {
        let engine = sled(folder.path());
        let rows: Vec<Write> = (0..3_000_u32).map(|at| put(Table::Record, &at.to_be_bytes(), &[7; 300])).collect();
        engine.write(&rows, &mark(3_000)).unwrap();
        engine.persist().unwrap();
    }
    let db = folder.path().join("db");
    let whole = std::fs::read(&db).unwrap();
    // Pages are read when they are asked for: what damages them after the opening is met by the first call.
    type Call = fn(&dyn Engine) -> bool;
    let calls: [(&str, Call); 5] = [
        ("read", |engine| (0..3_000_u32).any(|at| engine.read(Table::Record, &at.to_be_bytes()).is_err())),
        ("scan", |engine| engine.scan(Table::Record, None, usize::MAX).is_err()),
        ("each", |engine| engine.each(&mut |_, _, _| {}).is_err()),
        ("mark", |engine| engine.mark().is_err()),
        ("write", |engine| engine.write(&[put(Table::Record, b"a", b"b")], &mark(1)).is_err()),
    ];
    for (name, fails) in calls {
        std::fs::write(&db, &whole).unwrap();
        let engine = sled(folder.path());
        let file = std::fs::OpenOptions::new().write(true).open(&db).unwrap();
        let damaged: Vec<u8> = whole.iter().map(|byte| byte ^ 0x5a).collect();
        std::os::unix::fs::FileExt::write_all_at(&file, &damaged, 0).unwrap();
        assert!(fails(engine.as_ref()), "{name} saw nothing");
    }
}
