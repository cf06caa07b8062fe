//! What names may stand: a filter in memory that spares the record store the question for what is not there.
//!
//! A name that is not in the filter has no row, so nobody reads for it: who registers a new name, and who asks for one that was
//! never given out. A name that is in it may have one. An engine around an engine, so that nobody above knows of it.
//!
//! - **Never too little**: a name is added before its row is written, and the filter answers only once every row that stood
//!   when it was begun has been added too, a page at a time in the background. It is begun between two writes, so each row is
//!   either found there or added. So who could see a row finds its name.
//! - **Too much is no harm**: names whose rows were taken away stay in it until it is made anew.
//! - It is made anew, for twice its names, when it has more than it was made for. Other versions of a name add nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, after, bounded, never, select};
use parking_lot::{Mutex, RwLock};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::engine::{Engine, EngineError, Mark, RowBytes, Table, Visit, Write};

/// Bits of the filter a name that it was made for. With [`PROBES`] about one of two hundred names that do not stand seems to.
const BITS_A_NAME: u64 = 12;
const PROBES: u32 = 6;
/// Words of a block: all bits of a name lie in one line of the processor's cache.
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: u64 = 512;
/// The names that the smallest filter is made for.
const LEAST_NAMES: u64 = 1 << 20;
/// Rows that are read at once while a filter is filled.
const PAGE_ROWS: usize = 4096;
/// How long after a failure it is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// The tables whose keys are names.
const TABLES: [Table; 2] = [Table::Record, Table::Alias];

/// Blocks of bits; a name has a few bits of one block.
struct Filter {
    words: Box<[AtomicU64]>,
    seed: u64,
    /// Names that were added; a few that seemed to be there are not counted.
    names: AtomicU64,
    made_for: u64,
}

impl Filter {
    fn made_for(names: u64) -> Filter {
        let blocks = usize::try_from((names * BITS_A_NAME).div_ceil(BLOCK_BITS)).unwrap_or(usize::MAX / BLOCK_WORDS);
        let words = (0..blocks.max(1) * BLOCK_WORDS).map(|_| AtomicU64::new(0)).collect();
        // Nobody can choose names that crowd one block.
        let mut seed = [0; 8];
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed);
        Filter { words, seed: u64::from_le_bytes(seed), names: AtomicU64::new(0), made_for: names }
    }

    /// The block of a name and, nine bits each, the places in it.
    fn block(&self, table: Table, key: &[u8]) -> (&[AtomicU64], u64) {
        let hash = xxh3_128_with_seed(key, self.seed ^ u64::from(table as u8));
        let (upper, lower) = ((hash >> 64) as u64, hash as u64);
        let blocks = (self.words.len() / BLOCK_WORDS) as u64;
        let at = ((u128::from(upper) * u128::from(blocks)) >> 64) as usize * BLOCK_WORDS;
        (self.words.get(at..at + BLOCK_WORDS).unwrap_or_default(), lower)
    }

    fn bits(places: u64) -> impl Iterator<Item = (usize, u64)> {
        (0..PROBES).map(move |probe| {
            let place = (places >> (9 * probe)) & (BLOCK_BITS - 1);
            ((place / 64) as usize, 1 << (place % 64))
        })
    }

    fn add(&self, table: Table, key: &[u8]) {
        let (block, places) = self.block(table, key);
        let mut is_new = false;
        for (word, bit) in Filter::bits(places) {
            if let Some(word) = block.get(word)
                && word.load(Ordering::Relaxed) & bit == 0
            {
                is_new |= word.fetch_or(bit, Ordering::Relaxed) & bit == 0;
            }
        }
        if is_new {
            self.names.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn may_have(&self, table: Table, key: &[u8]) -> bool {
        let (block, places) = self.block(table, key);
        Filter::bits(places)
            .all(|(word, bit)| block.get(word).is_none_or(|word| word.load(Ordering::Relaxed) & bit != 0))
    }

    fn names(&self) -> u64 {
        self.names.load(Ordering::Relaxed)
    }

    fn is_full(&self) -> bool {
        self.names() > self.made_for
    }
}

#[derive(Default)]
struct Filters {
    /// Knows every name that stands.
    whole: Option<Arc<Filter>>,
    /// Knows those that were added since it was begun, and more and more of those before.
    growing: Option<Arc<Filter>>,
}

/// The filter around an engine.
pub struct Names {
    inner: Arc<dyn Engine>,
    /// Held for a moment, to look or to add; to exchange a filter, alone.
    filters: RwLock<Filters>,
    /// Held throughout a write: a filter is begun between two.
    writing: Mutex<()>,
    wanted: Sender<()>,
}

/// Who makes filters: it works until the store stops.
pub struct Filler {
    names: Arc<Names>,
    wanted: Receiver<()>,
    /// Names that the first filter is made for.
    made_for: u64,
}

impl Names {
    /// Around an engine with so many records, and who makes the filter.
    pub fn around(inner: Arc<dyn Engine>, records: u64) -> (Arc<Names>, Filler) {
        Names::around_for(inner, records.saturating_mul(2).max(LEAST_NAMES))
    }

    fn around_for(inner: Arc<dyn Engine>, made_for: u64) -> (Arc<Names>, Filler) {
        let (wanted, wants) = bounded(1);
        let names = Arc::new(Names { inner, filters: RwLock::default(), writing: Mutex::default(), wanted });
        let filler = Filler { names: Arc::clone(&names), wanted: wants, made_for };
        (names, filler)
    }

    /// Whether a row is sure not to be there.
    fn lacks(&self, table: Table, key: &[u8]) -> bool {
        TABLES.contains(&table) && self.filters.read().whole.as_ref().is_some_and(|filter| !filter.may_have(table, key))
    }

    /// Begins a filter, or gives one up. What was begun before goes when nobody waits for the lock any more.
    fn exchange_growing(&self, next: Option<Arc<Filter>>) {
        let mut filters = self.filters.write();
        let former = std::mem::replace(&mut filters.growing, next);
        drop(filters);
        drop(former);
    }

    /// The names of the whole filter, where it has more than it was made for.
    fn outgrown(&self) -> Option<u64> {
        self.filters.read().whole.as_ref().filter(|whole| whole.is_full()).map(|whole| whole.names())
    }
}

impl Filler {
    /// Makes the filter, and a larger one whenever it is wanted, until it is told to stop.
    pub fn run(self, stopped: &Receiver<()>) {
        super::step_back("names");
        let mut made_for = Some(self.made_for);
        loop {
            let mut again = never();
            if let Some(names) = made_for.take() {
                match self.make(names, stopped) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        self.names.exchange_growing(None);
                        tracing::warn!(%error, "the filter of names was not made: reads for unknown names go to the record store");
                        (made_for, again) = (Some(names), after(TRY_AGAIN));
                    }
                }
            }
            select! {
                recv(self.wanted) -> _ => {}
                recv(stopped) -> _ => return,
                recv(again) -> _ => {}
            }
            made_for = made_for.or_else(|| self.names.outgrown().map(|names| names.saturating_mul(2)));
        }
    }

    /// Makes a filter that has room for all names; whether it came to its end.
    fn make(&self, mut made_for: u64, stopped: &Receiver<()>) -> Result<bool, EngineError> {
        let names = &self.names;
        loop {
            let growing = Arc::new(Filter::made_for(made_for));
            // Memory of one before it is not given back while writes wait.
            names.exchange_growing(None);
            {
                let _between_writes = names.writing.lock();
                names.exchange_growing(Some(Arc::clone(&growing)));
            }
            if !self.fill(&growing, stopped)? {
                return Ok(false);
            }
            if growing.is_full() {
                // Many aliases, or much that came meanwhile.
                made_for = growing.names().saturating_mul(2);
                continue;
            }
            let mut filters = names.filters.write();
            filters.growing = None;
            let former = filters.whole.replace(growing);
            // What takes a while is done when nobody waits for it.
            drop(filters);
            drop(former);
            return Ok(true);
        }
    }

    /// Adds the names of all rows, resting as long as it works; whether it came to the last.
    fn fill(&self, growing: &Filter, stopped: &Receiver<()>) -> Result<bool, EngineError> {
        for table in TABLES {
            let mut last: Option<Vec<u8>> = None;
            loop {
                let begun = Instant::now();
                let rows = self.names.inner.scan(table, last.as_deref(), PAGE_ROWS)?;
                rows.iter().for_each(|(key, _)| growing.add(table, key));
                let is_last = rows.len() < PAGE_ROWS;
                last = rows.into_iter().next_back().map(|(key, _)| key);
                if stopped.recv_timeout(begun.elapsed()) != Err(RecvTimeoutError::Timeout) {
                    return Ok(false);
                }
                if is_last {
                    break;
                }
            }
        }
        Ok(true)
    }
}

impl Engine for Names {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        if self.lacks(table, key) { Ok(None) } else { self.inner.read(table, key) }
    }

    fn lacks_name(&self, key: &[u8]) -> bool {
        let filters = self.filters.read();
        filters.whole.as_ref().is_some_and(|filter| TABLES.iter().all(|table| !filter.may_have(*table, key)))
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        self.inner.scan(table, after, limit)
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        self.inner.each(visit)
    }

    fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError> {
        let _writing = self.writing.lock();
        let is_full = {
            let filters = self.filters.read();
            for row in rows.iter().filter(|row| row.value.is_some() && TABLES.contains(&row.table)) {
                for filter in [&filters.whole, &filters.growing].into_iter().flatten() {
                    filter.add(row.table, &row.key);
                }
            }
            filters.whole.as_ref().is_some_and(|whole| filters.growing.is_none() && whole.is_full())
        };
        if is_full {
            let _ = self.wanted.try_send(());
        }
        self.inner.write(rows, mark)
    }

    fn mark(&self) -> Result<Option<Mark>, EngineError> {
        self.inner.mark()
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.inner.persist()
    }

    fn disk_bytes(&self) -> u64 {
        self.inner.disk_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::store::engine_memory::MemoryEngine;

    fn key(at: u64) -> Vec<u8> {
        format!("88.999.1/sn{at}").into_bytes()
    }

    fn put(table: Table, at: u64) -> Write {
        Write { table, key: key(at), value: Some(at.to_le_bytes().to_vec()) }
    }

    /// Fills in a thread of its own until `work` is done.
    fn beside<T>(filler: Filler, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            // Here, so that work that fails lets go of it too.
            let (stop, stopped) = bounded(1);
            scope.spawn(move || filler.run(&stopped));
            let done = work();
            stop.send(()).unwrap();
            done
        })
    }

    fn wait_until(condition: impl Fn() -> bool) {
        let since = Instant::now();
        while !condition() {
            assert!(since.elapsed() < Duration::from_secs(60), "it never came to be");
            std::thread::yield_now();
        }
    }

    fn is_whole(names: &Names) -> bool {
        let filters = names.filters.read();
        filters.whole.is_some() && filters.growing.is_none()
    }

    #[test]
    fn what_stood_before_and_what_came_since_is_found_and_little_else() {
        let inner = Arc::new(MemoryEngine::default());
        let before: Vec<Write> = (0..10_000).flat_map(|at| TABLES.map(|table| put(table, at))).collect();
        inner.write(&before, &Mark::default()).unwrap();
        let (names, filler) = Names::around_for(inner, 40_000);
        beside(filler, || {
            let since: Vec<Write> = (10_000..15_000).map(|at| put(Table::Record, at)).collect();
            names.write(&since, &Mark::default()).unwrap();
            wait_until(|| is_whole(&names));
            let whole: Vec<Write> = (15_000..16_000).map(|at| put(Table::Record, at)).collect();
            names.write(&whole, &Mark::default()).unwrap();
            for at in 0..16_000 {
                assert!(names.read(Table::Record, &key(at)).unwrap().is_some(), "{at}");
                assert_eq!(names.read(Table::Alias, &key(at)).unwrap().is_some(), at < 10_000, "{at}");
            }
            let seem = (20_000..120_000).filter(|at| !names.lacks(Table::Record, &key(*at))).count();
            assert!(seem < 1_000, "{seem} of 100,000 that do not stand seem to");
            // Of other tables nothing is known.
            assert!(!names.lacks(Table::Key, b"unknown"));
        });
    }

    #[test]
    fn it_grows_and_never_loses_a_name_on_the_way() {
        let (names, filler) = Names::around_for(Arc::new(MemoryEngine::default()), 1_000);
        const NAMES: u64 = 60_000;
        let written = AtomicU64::new(0);
        let is_over = AtomicBool::new(false);
        beside(filler, || {
            std::thread::scope(|scope| {
                for reader in 0..2 {
                    let (names, written, is_over) = (&names, &written, &is_over);
                    scope.spawn(move || {
                        let mut at = reader;
                        while !is_over.load(Ordering::Relaxed) {
                            let known = written.load(Ordering::Acquire);
                            if known > 0 {
                                at = (at + 7_919) % known;
                                assert!(names.read(Table::Record, &key(at)).unwrap().is_some(), "{at} of {known}");
                            }
                        }
                    });
                }
                for at in 0..NAMES {
                    names.write(&[put(Table::Record, at)], &Mark::default()).unwrap();
                    written.store(at + 1, Ordering::Release);
                }
                wait_until(|| is_whole(&names) && names.outgrown().is_none());
                is_over.store(true, Ordering::Relaxed);
            });
            for at in 0..NAMES {
                assert!(!names.lacks(Table::Record, &key(at)), "{at}");
            }
            assert!(names.filters.read().whole.as_ref().unwrap().made_for > 1_000, "it has grown");
        });
    }

    #[test]
    fn a_full_filter_mistakes_few_names() {
        let filter = Filter::made_for(100_000);
        (0..100_000).for_each(|at| filter.add(Table::Record, &key(at)));
        let seem = (100_000..1_100_000).filter(|at| filter.may_have(Table::Record, &key(*at))).count();
        assert!(seem < 10_000, "{seem} of 1,000,000");
    }

    #[test]
    fn other_versions_of_a_name_do_not_make_it_grow() {
        let (names, filler) = Names::around_for(Arc::new(MemoryEngine::default()), 1_000);
        beside(filler, || {
            wait_until(|| is_whole(&names));
            for _ in 0..100 {
                names.write(&(0..500).map(|at| put(Table::Record, at)).collect::<Vec<_>>(), &Mark::default()).unwrap();
            }
            let whole = names.filters.read().whole.clone().unwrap();
            assert!((450..=500).contains(&whole.names()), "{}", whole.names());
            assert_eq!(names.outgrown(), None);
        });
    }

    #[test]
    fn until_it_is_whole_it_says_nothing() {
        let (names, filler) = Names::around_for(Arc::new(MemoryEngine::default()), 1_000);
        assert!(!names.lacks(Table::Record, b"88.999.1/a"));
        drop(filler);
        assert!(!names.lacks(Table::Record, b"88.999.1/a"));
    }
}
