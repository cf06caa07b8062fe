//! An engine in two layers: what has changed, above the rows of a snapshot that a power cut could not touch.
//!
//! A row above hides the one below; a row of [`Table::Gone`] hides one that was taken away. The upper layer knows of every
//! key that was touched since it was begun, so a newer snapshot of both can take the place of the lower one at any time.
//! Which one is below stands in the upper layer's mark, so that neither is ever read without the other.
//! Without a lower layer this is the upper one alone.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::super::engine::{Engine, EngineError, Mark, RowBytes, Table, Visit, Write, tagged};
use super::super::medium::Medium;
use super::file::Rows;

/// The most rows of each layer that are looked at together.
const PAGE_ROWS: usize = 4096;
/// And the fewest: what hides a part of them must not make a short page a dear one.
const LEAST_ROWS: usize = 64;
/// Rows of [`Table::Gone`] that are looked through at once: who writes waits for no more than their removal.
const SWEPT_ROWS: usize = 16;

/// See the module.
pub struct Layered {
    above: Arc<dyn Engine>,
    page_rows: usize,
    /// Held throughout a write, so that no removal falls between two states. True: a snapshot is being written that may have
    /// a row which the one below has not, so every removal is noted.
    note_all: Mutex<bool>,
    /// Held for a moment, to take hold of it or to exchange it: no reader ever waits for a write.
    base: RwLock<Option<Arc<Rows>>>,
    /// What is left to be done by [`Layered::sweep_page`]. Taken before `note_all`, where both are.
    sweep: Mutex<Option<Sweep>>,
    /// Set where the rows may differ from what was written: the next opening is to check them.
    doubted: Arc<AtomicBool>,
}

/// Rows of [`Table::Gone`] that hid something in a snapshot before may hide nothing any more.
#[derive(Default)]
struct Sweep {
    /// The snapshots before: who still reads there needs what hides rows of them.
    former: Vec<Weak<Rows>>,
    /// How far it has come.
    after: Vec<u8>,
}

/// As long as this lives every removal is noted.
pub struct Noting<'a>(&'a Layered);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        *self.0.note_all.lock() = false;
    }
}

impl Layered {
    /// The engine alone.
    pub fn alone(above: Arc<dyn Engine>) -> Layered {
        Layered::over(above, None)
    }

    fn over(above: Arc<dyn Engine>, base: Option<Rows>) -> Layered {
        // A crash may have left a sweep undone.
        let sweep = base.is_some().then(Sweep::default);
        Layered {
            above,
            page_rows: PAGE_ROWS,
            note_all: Mutex::new(false),
            base: RwLock::new(base.map(Arc::new)),
            sweep: Mutex::new(sweep),
            doubted: Arc::default(),
        }
    }

    /// An engine as it was left, and its mark: with the snapshot that the mark names. An error where that is not there.
    pub fn reopen(above: Arc<dyn Engine>, medium: &dyn Medium) -> Result<(Layered, Option<Mark>), EngineError> {
        let mark = above.mark()?;
        let base = mark.as_ref().and_then(|mark| mark.base).map(|number| {
            Rows::open(medium, number).map_err(|error| EngineError {
                action: "open the snapshot below",
                cause: format!("{number}: {error}"),
                is_full: false,
            })
        });
        Ok((Layered::over(above, base.transpose()?), mark.map(|mark| Mark { base: None, ..mark })))
    }

    /// An empty engine above a snapshot.
    pub fn begin(above: Arc<dyn Engine>, base: Rows, mark: &Mark) -> Result<Layered, EngineError> {
        let layered = Layered::over(above, Some(base));
        layered.write(&[], mark)?;
        Ok(layered)
    }

    /// From now on every removal is noted, until [`Layered::rest_on`] or the end of what is given.
    pub fn note_removals(&self) -> Noting<'_> {
        *self.note_all.lock() = true;
        Noting(self)
    }

    /// Puts a newer snapshot of this engine in the place of the one below, where there is one, and makes that durable.
    ///
    /// The one below before must stay in its place until this has returned.
    pub fn rest_on(&self, rows: Rows) -> Result<(), EngineError> {
        let exchanged = self.exchange(rows).and_then(|exchanged| if exchanged { self.above.persist() } else { Ok(()) });
        exchanged.inspect_err(|_| self.doubted.store(true, Ordering::Release))
    }

    fn exchange(&self, rows: Rows) -> Result<bool, EngineError> {
        let mut sweep = self.sweep.lock();
        // No writer is in between.
        let mut note_all = self.note_all.lock();
        *note_all = false;
        let Some(before) = self.base() else {
            return Ok(false);
        };
        let mark = self.above.mark()?.unwrap_or_default();
        self.above.write(&[], &Mark { base: Some(rows.number()), ..mark })?;
        *self.base.write() = Some(Arc::new(rows));
        let left = sweep.get_or_insert_default();
        left.former.push(Arc::downgrade(&before));
        left.after.clear();
        Ok(true)
    }

    /// Takes away some of the rows of [`Table::Gone`] that hide nothing in the snapshot below. Says whether more may be left.
    ///
    /// None while anybody reads in a snapshot before, where they may hide something; nor any more after an error, until
    /// there is a newer snapshot.
    pub fn sweep_page(&self) -> Result<bool, EngineError> {
        let mut sweep = self.sweep.lock();
        let (Some(mut left), Some(base)) = (sweep.take(), self.base()) else {
            return Ok(false);
        };
        left.former.retain(|rows| rows.strong_count() > 0);
        if !left.former.is_empty() {
            *sweep = Some(left);
            return Ok(false);
        }
        let page = self.above.scan(Table::Gone, Some(&left.after), SWEPT_ROWS)?;
        let Some((last, _)) = page.last() else {
            return Ok(false);
        };
        left.after.clone_from(last);
        let mut idle = Vec::new();
        for (key, _) in page {
            if base.read(&key).map_err(|error| self.unread(&error))?.is_none() {
                idle.push(Write { table: Table::Gone, key, value: None });
            }
        }
        let note_all = self.note_all.lock();
        if *note_all {
            // What is noted now is for a snapshot that is not below yet; when it is, all is looked through again.
            *sweep = Some(Sweep::default());
            return Ok(false);
        }
        if !idle.is_empty() {
            let mark = self.above.mark()?.unwrap_or_default();
            self.above.write(&idle, &mark)?;
        }
        *sweep = Some(left);
        Ok(true)
    }

    /// The number of the snapshot below.
    pub fn base_number(&self) -> Option<u64> {
        self.base().map(|base| base.number())
    }

    /// What is set where the rows may differ from what was written.
    pub fn doubted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.doubted)
    }

    fn base(&self) -> Option<Arc<Rows>> {
        self.base.read().clone()
    }

    /// The snapshot below does not read: the next opening looks at every block, and begins with another where it must.
    fn unread(&self, error: &io::Error) -> EngineError {
        if !self.doubted.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the snapshot below the record store does not read: restart the node, the start mends it");
        }
        EngineError { action: "read the snapshot", cause: error.to_string(), is_full: false }
    }

    /// Some merged rows, of which up to `limit` of each layer are looked at.
    fn page(&self, base: &Rows, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Page, EngineError> {
        // In this order: what is taken away meanwhile is hidden before it goes.
        let below = base.scan(table, after, limit).map_err(|error| self.unread(&error))?;
        let above = self.above.scan(table, after, limit)?;
        let gone = if below.is_empty() { Vec::new() } else { self.gone(table, after, limit)? };
        // A layer that has given all that it was asked for may have more behind its last key.
        let last =
            |rows: &[(Vec<u8>, RowBytes)]| rows.last().filter(|_| rows.len() >= limit).map(|(key, _)| key.clone());
        let until = [last(&below), last(&above), last(&gone)].into_iter().flatten().min();
        let within = |key: &[u8]| until.as_deref().is_none_or(|until| key <= until);
        let mut rows = Vec::with_capacity(below.len() + above.len());
        let mut above = above.into_iter().filter(|(key, _)| within(key)).peekable();
        for (key, value) in below.into_iter().filter(|(key, _)| within(key)) {
            while let Some(row) = above.next_if(|(other, _)| *other < key) {
                rows.push(row);
            }
            if let Some(row) = above.next_if(|(other, _)| *other == key) {
                rows.push(row);
            } else if gone.binary_search_by(|(other, _)| other.cmp(&key)).is_err() {
                rows.push((key, value));
            }
        }
        rows.extend(above);
        Ok(Page { rows, until })
    }

    /// The keys of a table that were taken away, as a scan of it would give them.
    fn gone(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        let from = tagged(table, after.unwrap_or_default());
        // The scan begins after it: what is at the very beginning is looked for by itself.
        let first = if after.is_none() { self.above.read(Table::Gone, &from)? } else { None };
        let behind = self.above.scan(Table::Gone, Some(&from), limit)?;
        let behind = behind.into_iter().take_while(|(key, _)| key.first() == Some(&(table as u8)));
        let untagged = behind.map(|(key, value)| (key[1..].to_vec(), value));
        Ok(first.map(|value| (Vec::new(), value)).into_iter().chain(untagged).collect())
    }
}

/// Rows in order, up to a key behind which there may be more.
struct Page {
    rows: Vec<(Vec<u8>, RowBytes)>,
    until: Option<Vec<u8>>,
}

impl Engine for Layered {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        // The lower layer first: should another take its place meanwhile, a row is in one of the two.
        let base = self.base();
        if let Some(found) = self.above.read(table, key)? {
            return Ok(Some(found));
        }
        let Some(base) = base else {
            return Ok(None);
        };
        let tagged = tagged(table, key);
        match base.read(&tagged).map_err(|error| self.unread(&error))? {
            Some(found) if self.above.read(Table::Gone, &tagged)?.is_none() => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        let Some(base) = self.base() else {
            return self.above.scan(table, after, limit);
        };
        let (mut found, mut after) = (Vec::new(), after.map(<[u8]>::to_vec));
        while found.len() < limit {
            let wanted = (limit - found.len()).max(LEAST_ROWS).min(self.page_rows);
            let page = self.page(&base, table, after.as_deref(), wanted)?;
            found.extend(page.rows);
            match page.until {
                Some(until) => after = Some(until),
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        let Some(base) = self.base() else {
            return self.above.each(visit);
        };
        for table in Table::of_rows() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.page(&base, table, after.as_deref(), self.page_rows)?;
                page.rows.iter().for_each(|(key, value)| visit(table, key, value));
                match page.until {
                    Some(until) => after = Some(until),
                    None => break,
                }
            }
        }
        Ok(())
    }

    fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError> {
        let note_all = self.note_all.lock();
        let Some(base) = self.base() else {
            return self.above.write(rows, mark);
        };
        let mark = Mark { base: Some(base.number()), ..mark.clone() };
        if rows.iter().all(|row| row.value.is_some()) {
            return self.above.write(rows, &mark);
        }
        let mut all = Vec::with_capacity(rows.len() + 8);
        for row in rows {
            if row.value.is_none() {
                let key = tagged(row.table, &row.key);
                // What does not read may be there: the journal has this group already, so it is no time to fail.
                let hides = *note_all
                    || base.read(&key).inspect_err(|error| drop(self.unread(error))).map_or(true, |row| row.is_some());
                if hides {
                    // First: a reader between the two must not see what is below.
                    all.push(Write { table: Table::Gone, key, value: Some(Vec::new()) });
                }
            }
            all.push(row.clone());
        }
        self.above.write(&all, &mark)
    }

    fn mark(&self) -> Result<Option<Mark>, EngineError> {
        Ok(self.above.mark()?.map(|mark| Mark { base: None, ..mark }))
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.above.persist()
    }

    fn disk_bytes(&self) -> u64 {
        self.above.disk_bytes() + self.base().map_or(0, |base| base.bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::super::engine::table_of;
    use super::super::super::engine_memory::MemoryEngine;
    use super::super::super::journal::Tail;
    use super::super::super::medium::Disk;
    use super::super::file::{Head, Writer};
    use super::super::name_of;
    use super::*;

    type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    #[derive(Clone, Debug)]
    enum Step {
        Put(Table, Vec<u8>, Vec<u8>),
        TakeAway(Table, Vec<u8>),
        /// Another snapshot takes the place of the one below, after so many of the steps that follow.
        RestOn(usize),
        Sweep,
    }

    fn step() -> impl Strategy<Value = Step> {
        let table = prop::sample::select(Table::of_rows().collect::<Vec<_>>());
        let key = prop::collection::vec(0_u8..3, 0..4);
        prop_oneof![
            4 => (table.clone(), key.clone(), prop::collection::vec(any::<u8>(), 0..3))
                .prop_map(|(table, key, value)| Step::Put(table, key, value)),
            4 => (table, key).prop_map(|(table, key)| Step::TakeAway(table, key)),
            1 => (0_usize..6).prop_map(Step::RestOn),
            1 => Just(Step::Sweep),
        ]
    }

    fn tail(sequence: u64) -> Tail {
        Tail { segment: 1, offset: 0, sequence, registry_size: 0, audit_size: 0, previous: [0; 32] }
    }

    fn snapshot(disk: &Disk, number: u64, rows: &Model) -> Rows {
        let mut writer = Writer::create(disk, &name_of(number), Head::new(tail(number), &Mark::default(), 0)).unwrap();
        let mut sorted: Vec<_> = rows.iter().map(|((table, key), value)| (tagged(*table, key), value)).collect();
        sorted.sort();
        for (key, value) in sorted {
            writer.row(table_of(key[0]).unwrap(), &key[1..], value).unwrap();
        }
        writer.finish().unwrap();
        Rows::open(disk, number).unwrap()
    }

    fn put(table: Table, key: &[u8], value: &[u8]) -> Write {
        Write { table, key: key.to_vec(), value: Some(value.to_vec()) }
    }

    fn take_away(table: Table, key: &[u8]) -> Write {
        Write { table, key: key.to_vec(), value: None }
    }

    fn gone(engine: &Layered) -> Vec<Vec<u8>> {
        engine.above.scan(Table::Gone, None, usize::MAX).unwrap().into_iter().map(|(key, _)| key).collect()
    }

    fn compare(engine: &Layered, model: &Model) {
        let mut seen = Model::new();
        engine
            .each(&mut |table, key, value| assert!(seen.insert((table, key.to_vec()), value.to_vec()).is_none()))
            .unwrap();
        assert_eq!(&seen, model);
        for table in Table::of_rows() {
            let all: Vec<_> = model.iter().filter(|((in_table, _), _)| *in_table == table).collect();
            for limit in [1, 2, 100] {
                let mut after: Option<Vec<u8>> = None;
                let mut found = Vec::new();
                loop {
                    let page = engine.scan(table, after.as_deref(), limit).unwrap();
                    assert!(page.len() <= limit);
                    let Some((last, _)) = page.last() else { break };
                    after = Some(last.clone());
                    found.extend(page.into_iter().map(|(key, value)| (key, value.to_vec())));
                }
                let wanted: Vec<_> = all.iter().map(|((_, key), value)| (key.clone(), (*value).clone())).collect();
                assert_eq!(found, wanted, "{table:?} by {limit}");
            }
        }
        for table in Table::of_rows() {
            for key in [&b""[..], &[0], &[1, 2], &[2, 2, 2]] {
                let found = engine.read(table, key).unwrap().map(|row| row.to_vec());
                assert_eq!(found.as_ref(), model.get(&(table, key.to_vec())));
            }
        }
    }

    /// Follows the steps with a map beside the engine.
    fn follow(engine: &Layered, disk: &Disk, model: &mut Model, steps: Vec<Step>) {
        let mut taking: Option<(usize, Model, Noting<'_>)> = None;
        for (at, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(table, key, value) => {
                    engine.write(&[put(table, &key, &value)], &Mark::default()).unwrap();
                    model.insert((table, key), value);
                }
                Step::TakeAway(table, key) => {
                    engine.write(&[take_away(table, &key)], &Mark::default()).unwrap();
                    model.remove(&(table, key));
                }
                Step::RestOn(after) if taking.is_none() => {
                    taking = Some((at + after, model.clone(), engine.note_removals()));
                }
                Step::RestOn(_) => {}
                Step::Sweep => {
                    while engine.sweep_page().unwrap() {}
                    let base = engine.base().unwrap();
                    let hides = |key: &Vec<u8>| base.read(key).unwrap().is_some();
                    assert!(taking.is_some() || gone(engine).iter().all(hides), "a note is left that hides nothing");
                }
            }
            if let Some((_, rows, noting)) = taking.take_if(|(due, ..)| *due <= at) {
                let number = 1 + at as u64;
                engine.rest_on(snapshot(disk, number, &rows)).unwrap();
                drop(noting);
                assert_eq!(engine.base_number(), Some(number));
            }
            compare(engine, model);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn two_layers_are_one_engine_whenever_the_lower_one_changes(
            base in prop::collection::vec(step(), 0..30),
            steps in prop::collection::vec(step(), 0..60),
            page_rows in 1_usize..5,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let disk = Disk::open(folder.path()).unwrap();
            let mut model = Model::new();
            for step in base {
                if let Step::Put(table, key, value) = step {
                    model.insert((table, key), value);
                }
            }
            let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
            let rows = snapshot(&disk, 0, &model);
            let mut engine = Layered::begin(Arc::clone(&above), rows, &Mark::default()).unwrap();
            engine.page_rows = page_rows;
            follow(&engine, &disk, &mut model, steps);
            let (mut engine, mark) = Layered::reopen(above, &disk).unwrap();
            prop_assert_eq!(mark, Some(Mark::default()));
            engine.page_rows = page_rows;
            compare(&engine, &model);
        }
    }

    #[test]
    fn a_note_that_hides_nothing_stays_as_long_as_somebody_reads_in_the_snapshot_before() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let old = Model::from([((Table::Record, b"a".to_vec()), b"1".to_vec())]);
        let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let engine = Layered::begin(above, snapshot(&disk, 0, &old), &Mark::default()).unwrap();
        engine.write(&[take_away(Table::Record, b"a")], &Mark::default()).unwrap();
        let reader = engine.base();
        engine.rest_on(snapshot(&disk, 1, &Model::new())).unwrap();
        assert!(!engine.sweep_page().unwrap());
        assert_eq!(gone(&engine), [b"ra".to_vec()], "the reader still finds the row below");
        drop(reader);
        while engine.sweep_page().unwrap() {}
        assert!(gone(&engine).is_empty());
    }

    #[test]
    fn readers_see_no_row_come_back_while_snapshots_take_each_others_place() {
        const KEYS: u64 = 400;
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let key = |number: u64| number.to_be_bytes();
        let mut model: Model =
            (0..KEYS).map(|number| ((Table::Request, key(number).to_vec()), b"0".to_vec())).collect();
        let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let mut engine = Layered::begin(above, snapshot(&disk, 0, &model), &Mark::default()).unwrap();
        engine.page_rows = 16;
        // Keys below the first have been taken away for good, keys from the second on are there for good.
        let (taken, stop) = (std::sync::atomic::AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for reader in 0..2 {
                let (engine, taken, stop) = (&engine, &taken, &stop);
                scope.spawn(move || {
                    while !stop.load(Ordering::Acquire) {
                        let before = taken.load(Ordering::Acquire);
                        let found: Vec<u64> = if reader == 0 {
                            let rows = engine.scan(Table::Request, None, usize::MAX).unwrap();
                            rows.iter().map(|(key, _)| u64::from_be_bytes(key[..].try_into().unwrap())).collect()
                        } else {
                            (0..KEYS).filter(|at| engine.read(Table::Request, &key(*at)).unwrap().is_some()).collect()
                        };
                        let after = taken.load(Ordering::Acquire);
                        assert!(found.iter().all(|number| *number >= before), "a row came back: {found:?} at {before}");
                        // One is being taken away when the count is read.
                        let missing = (after + 1..KEYS).find(|number| found.binary_search(number).is_err());
                        assert_eq!(missing, None, "a row is not seen: {before} to {after}");
                    }
                });
            }
            for number in 0..KEYS - 1 {
                let row = [take_away(Table::Request, &key(number))];
                if number % 8 == 0 {
                    let rows = model.clone();
                    let noting = engine.note_removals();
                    engine.write(&row, &Mark::default()).unwrap();
                    engine.rest_on(snapshot(&disk, number + 1, &rows)).unwrap();
                    drop(noting);
                } else {
                    engine.write(&row, &Mark::default()).unwrap();
                }
                model.remove(&(Table::Request, key(number).to_vec()));
                taken.store(number + 1, Ordering::Release);
                engine.sweep_page().unwrap();
            }
            stop.store(true, Ordering::Release);
        });
        engine.rest_on(snapshot(&disk, KEYS, &model)).unwrap();
        while engine.sweep_page().unwrap() {}
        assert!(gone(&engine).is_empty(), "{:?}", gone(&engine));
        compare(&engine, &model);
    }

    #[test]
    fn a_row_stays_hidden_behind_many_notes_that_hide_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let old = Model::from([b"x", b"y"].map(|key| ((Table::Record, key.to_vec()), b"1".to_vec())));
        let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let mut engine = Layered::begin(above, snapshot(&disk, 0, &old), &Mark::default()).unwrap();
        engine.page_rows = 2;
        let noting = engine.note_removals();
        let removals: Vec<Write> = (b'a'..=b'x').map(|key| take_away(Table::Record, &[key])).collect();
        engine.write(&removals, &Mark::default()).unwrap();
        drop(noting);
        assert_eq!(gone(&engine).len(), 24);
        compare(&engine, &Model::from([((Table::Record, b"y".to_vec()), b"1".to_vec())]));
    }

    #[test]
    fn a_short_page_reads_few_blocks_and_a_row_that_does_not_read_is_taken_away_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let rows: Model = (0..20_000_u32)
            .map(|number| ((Table::Record, number.to_be_bytes().to_vec()), number.to_le_bytes().to_vec()))
            .collect();
        let above: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let engine = Layered::begin(above, snapshot(&disk, 0, &rows), &Mark::default()).unwrap();
        // Everything but the first block is damaged: who reads on meets it.
        let path = folder.path().join(name_of(0));
        let mut bytes = std::fs::read(&path).unwrap();
        let from = 9 * 1024;
        bytes[from..200_000].iter_mut().for_each(|byte| *byte ^= 0x55);
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(engine.scan(Table::Record, None, 5).unwrap().len(), 5);
        assert!(!engine.doubted().load(Ordering::Acquire));
        let key = 2_000_u32.to_be_bytes();
        engine.write(&[take_away(Table::Record, &key)], &Mark::default()).unwrap();
        assert_eq!(gone(&engine).len(), 1, "what does not read may be there");
        assert!(engine.doubted().load(Ordering::Acquire));
        assert!(engine.read(Table::Record, &key).is_err());
        assert!(engine.sweep_page().is_err() && !engine.sweep_page().unwrap());
    }

    #[test]
    fn a_block_in_the_place_of_another_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(folder.path()).unwrap();
        let rows = |salt: u8| -> Model {
            (0..2_000_u32).map(|at| ((Table::Record, at.to_be_bytes().to_vec()), vec![salt; 16])).collect()
        };
        for number in 0..2 {
            snapshot(&disk, number, &rows(number as u8)).verify().unwrap();
        }
        let (old, path) = (std::fs::read(folder.path().join(name_of(0))).unwrap(), folder.path().join(name_of(1)));
        let whole = std::fs::read(&path).unwrap();
        // All blocks but the last are of one size.
        let block = 8 + u32::from_le_bytes(whole[..4].try_into().unwrap()) as usize;
        let other_place = [&whole[block..2 * block], &whole[block..]].concat();
        let other_file = [&old[..block], &whole[block..]].concat();
        for (what, bytes) in [("another place", other_place), ("another snapshot", other_file)] {
            std::fs::write(&path, bytes).unwrap();
            let found = Rows::open(&disk, 1).unwrap().read(&tagged(Table::Record, &0_u32.to_be_bytes()));
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::InvalidData, "{what}");
        }
    }
}
