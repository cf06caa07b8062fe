//! An engine in two layers: what has changed, above the rows of a snapshot that a power cut could not touch.
//!
//! A row above hides the one below; a row of [`Table::Gone`] hides one that was taken away. The upper layer knows of every
//! key that was touched since it was begun, so a newer snapshot of both can take the place of the lower one at any time.
//! Without a lower layer this is the upper one alone.

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::super::engine::{Engine, EngineError, Mark, RowBytes, Table, Visit, Write, tagged};
use super::super::medium::Medium;
use super::file::Rows;

/// The row that names the snapshot below; beside the mark, and like it no row of any table.
const BASE_KEY: &[u8] = b"base";
/// Rows that are looked at together.
const PAGE_ROWS: usize = 4096;
/// Every table with rows of its own, in the order of their keys.
pub const TABLES: [Table; 7] =
    [Table::Alias, Table::Erased, Table::Request, Table::Key, Table::Record, Table::Authority, Table::Revoked];

/// See the module.
pub struct Layered {
    above: Arc<dyn Engine>,
    page_rows: usize,
    /// Held for reading throughout a write, so that no removal falls between two states.
    below: RwLock<Below>,
}

#[derive(Clone, Default)]
struct Below {
    rows: Option<Arc<Rows>>,
    /// A snapshot is being written: it may have a row that the one below has not, so every removal is noted.
    note_all: bool,
}

impl Layered {
    /// The engine alone.
    pub fn alone(above: Arc<dyn Engine>) -> Layered {
        Layered::over(above, None)
    }

    fn over(above: Arc<dyn Engine>, rows: Option<Rows>) -> Layered {
        let below = Below { rows: rows.map(Arc::new), note_all: false };
        Layered { above, page_rows: PAGE_ROWS, below: RwLock::new(below) }
    }

    /// An engine as it was left: with the snapshot that it names, if it names one. An error where that is not there.
    pub fn reopen(above: Arc<dyn Engine>, medium: &dyn Medium) -> Result<Layered, EngineError> {
        let Some(named) = above.read(Table::Mark, BASE_KEY)? else {
            return Ok(Layered::alone(above));
        };
        let name = String::from_utf8_lossy(&named).into_owned();
        let rows = Rows::open(medium, &name).map_err(|error| EngineError {
            action: "open the snapshot below",
            cause: format!("{name}: {error}"),
            is_full: false,
        })?;
        Ok(Layered::over(above, Some(rows)))
    }

    /// An empty engine above a snapshot.
    pub fn begin(above: Arc<dyn Engine>, rows: Rows, mark: &Mark) -> Result<Layered, EngineError> {
        above.write(&[base_row(&rows.name)], mark)?;
        Ok(Layered::over(above, Some(rows)))
    }

    /// From now on every removal is noted, until [`Layered::rest_on`] or [`Layered::call_off`].
    pub fn note_removals(&self) {
        self.below.write().note_all = true;
    }

    pub fn call_off(&self) {
        self.below.write().note_all = false;
    }

    /// Puts a newer snapshot of this engine in the place of the one below, where there is one, and makes that durable.
    ///
    /// The one below before must stay in its place until this has returned.
    pub fn rest_on(&self, rows: Rows) -> Result<(), EngineError> {
        let mut below = self.below.write();
        below.note_all = false;
        if below.rows.is_none() {
            return Ok(());
        }
        // No writer is in between: each holds the lock for reading.
        let mark = self.above.mark()?.unwrap_or_default();
        self.above.write(&[base_row(&rows.name)], &mark)?;
        below.rows = Some(Arc::new(rows));
        drop(below);
        self.above.persist()
    }

    /// The name of the snapshot below.
    pub fn base(&self) -> Option<String> {
        self.below.read().rows.as_ref().map(|rows| rows.name.clone())
    }

    fn rows(&self) -> Option<Arc<Rows>> {
        self.below.read().rows.clone()
    }

    /// Which keys from `after` up to `until` (tagged, both) were taken away, in order.
    fn gone(&self, after: Vec<u8>, until: &[u8]) -> Result<Vec<Vec<u8>>, EngineError> {
        let (mut after, mut gone) = (after, Vec::new());
        loop {
            let page = self.above.scan(Table::Gone, Some(&after), self.page_rows)?;
            let full = page.len() == self.page_rows;
            gone.extend(page.into_iter().map(|(key, _)| key).take_while(|key| **key <= *until));
            match gone.last() {
                Some(last) if full && **last < *until && last != &after => after = last.clone(),
                _ => return Ok(gone),
            }
        }
    }

    /// One merged page: rows up to a key, and that key where there may be more behind it.
    fn page(&self, rows: &Rows, table: Table, after: Option<&[u8]>) -> Result<Page, EngineError> {
        let below = rows.scan(table, after, self.page_rows).map_err(|error| unread(&error))?;
        let above = self.above.scan(table, after, self.page_rows)?;
        let last = |page: &[(Vec<u8>, RowBytes)]| {
            (page.len() == self.page_rows).then(|| page.last().map(|(key, _)| key.clone())).flatten()
        };
        let until = match (last(&below), last(&above)) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        let within = |key: &[u8]| until.as_deref().is_none_or(|until| key <= until);
        let gone = match below.last() {
            Some((last, _)) => {
                // From one before the table, where there is no key to begin after: what is too much does no harm.
                let from = after.map_or_else(|| vec![(table as u8).saturating_sub(1)], |key| tagged(table, key));
                self.gone(from, &tagged(table, last))?
            }
            None => Vec::new(),
        };
        let mut merged = Vec::with_capacity(below.len() + above.len());
        let mut above = above.into_iter().filter(|(key, _)| within(key)).peekable();
        for (key, value) in below.into_iter().filter(|(key, _)| within(key)) {
            while let Some(row) = above.next_if(|(other, _)| *other < key) {
                merged.push(row);
            }
            if let Some(row) = above.next_if(|(other, _)| *other == key) {
                merged.push(row);
            } else if gone.is_empty() || gone.binary_search(&tagged(table, &key)).is_err() {
                merged.push((key, value));
            }
        }
        merged.extend(above);
        Ok(Page { rows: merged, until })
    }
}

struct Page {
    rows: Vec<(Vec<u8>, RowBytes)>,
    until: Option<Vec<u8>>,
}

impl Engine for Layered {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        // The lower layer first: should another take its place meanwhile, a row is in one of the two.
        let rows = self.rows();
        if let Some(found) = self.above.read(table, key)? {
            return Ok(Some(found));
        }
        let Some(rows) = rows else {
            return Ok(None);
        };
        let tagged = tagged(table, key);
        match rows.read(&tagged).map_err(|error| unread(&error))? {
            Some(found) if self.above.read(Table::Gone, &tagged)?.is_none() => Ok(Some(found)),
            _ => Ok(None),
        }
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        let Some(rows) = self.rows() else {
            return self.above.scan(table, after, limit);
        };
        let (mut found, mut after) = (Vec::new(), after.map(<[u8]>::to_vec));
        while found.len() < limit {
            let page = self.page(&rows, table, after.as_deref())?;
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
        let Some(rows) = self.rows() else {
            return self.above.each(visit);
        };
        for table in TABLES {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let page = self.page(&rows, table, after.as_deref())?;
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
        let below = self.below.read();
        let Some(base) = below.rows.as_ref().filter(|_| rows.iter().any(|row| row.value.is_none())) else {
            return self.above.write(rows, mark);
        };
        let mut all = Vec::with_capacity(rows.len() + 8);
        for row in rows {
            let key = tagged(row.table, &row.key);
            let hides =
                row.value.is_none() && (below.note_all || base.read(&key).map_err(|error| unread(&error))?.is_some());
            if hides {
                // First: a reader between the two must not see what is below.
                all.push(Write { table: Table::Gone, key, value: Some(Vec::new()) });
            }
            all.push(row.clone());
        }
        self.above.write(&all, mark)
    }

    fn mark(&self) -> Result<Option<Mark>, EngineError> {
        self.above.mark()
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.above.persist()
    }

    fn disk_bytes(&self) -> u64 {
        self.above.disk_bytes() + self.rows().map_or(0, |rows| rows.bytes)
    }
}

fn base_row(name: &str) -> Write {
    Write { table: Table::Mark, key: BASE_KEY.to_vec(), value: Some(name.as_bytes().to_vec()) }
}

fn unread(error: &io::Error) -> EngineError {
    EngineError { action: "read the snapshot", cause: error.to_string(), is_full: false }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::super::engine_memory::MemoryEngine;
    use super::super::super::journal::Tail;
    use super::super::super::medium::Disk;
    use super::super::file::{Head, Writer};
    use super::*;

    type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

    #[derive(Clone, Debug)]
    enum Step {
        Put(Table, Vec<u8>, Vec<u8>),
        TakeAway(Table, Vec<u8>),
        /// Another snapshot takes the place of the one below, after so many of the steps that follow.
        RestOn(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let table = prop::sample::select(TABLES.to_vec());
        let key = prop::collection::vec(0_u8..3, 0..4);
        prop_oneof![
            4 => (table.clone(), key.clone(), prop::collection::vec(any::<u8>(), 0..3))
                .prop_map(|(table, key, value)| Step::Put(table, key, value)),
            4 => (table, key).prop_map(|(table, key)| Step::TakeAway(table, key)),
            1 => (0_usize..6).prop_map(Step::RestOn),
        ]
    }

    fn tail(sequence: u64) -> Tail {
        Tail { segment: 1, offset: 0, sequence, registry_size: 0, audit_size: 0, previous: [0; 32] }
    }

    fn snapshot(disk: &Disk, name: &str, rows: &Model) -> Rows {
        let mut writer = Writer::create(disk, name, Head::new(tail(0), &Mark::default(), 0)).unwrap();
        let mut sorted: Vec<_> = rows.iter().map(|((table, key), value)| (tagged(*table, key), value)).collect();
        sorted.sort();
        for (key, value) in sorted {
            let table = super::super::super::engine::table_of(key[0]).unwrap();
            writer.row(table, &key[1..], value).unwrap();
        }
        writer.finish().unwrap();
        Rows::open(disk, name).unwrap()
    }

    fn compare(engine: &Layered, model: &Model) {
        let mut seen = Model::new();
        engine
            .each(&mut |table, key, value| assert!(seen.insert((table, key.to_vec()), value.to_vec()).is_none()))
            .unwrap();
        assert_eq!(&seen, model);
        for table in TABLES {
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
        for table in TABLES {
            for key in [&b""[..], &[0], &[1, 2], &[2, 2, 2]] {
                let found = engine.read(table, key).unwrap().map(|row| row.to_vec());
                assert_eq!(found.as_ref(), model.get(&(table, key.to_vec())));
            }
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
            let rows = snapshot(&disk, "0", &model);
            let mut engine = Layered::begin(Arc::clone(&above), rows, &Mark::default()).unwrap();
            engine.page_rows = page_rows;
            let mut taking: Option<(usize, Model)> = None;
            for (at, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Put(table, key, value) => {
                        let write = Write { table, key: key.clone(), value: Some(value.clone()) };
                        engine.write(&[write], &Mark::default()).unwrap();
                        model.insert((table, key), value);
                    }
                    Step::TakeAway(table, key) => {
                        let write = Write { table, key: key.clone(), value: None };
                        engine.write(&[write], &Mark::default()).unwrap();
                        model.remove(&(table, key));
                    }
                    Step::RestOn(after) if taking.is_none() => {
                        engine.note_removals();
                        taking = Some((at + after, model.clone()));
                    }
                    Step::RestOn(_) => {}
                }
                if let Some((_, rows)) = taking.take_if(|(due, _)| *due <= at) {
                    let name = format!("{at}-again");
                    engine.rest_on(snapshot(&disk, &name, &rows)).unwrap();
                    prop_assert_eq!(engine.base(), Some(name));
                }
                compare(&engine, &model);
            }
            engine = Layered::reopen(above, &disk).unwrap();
            engine.page_rows = page_rows;
            compare(&engine, &model);
        }
    }
}
