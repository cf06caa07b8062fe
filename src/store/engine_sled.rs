//! The engine on sled 0.34.7: the embedded default.
//!
//! sled is trusted for nothing that the journal does not have too (docs/decisions.md has the figures):
//! - `flush` does not survive a power cut by itself, so `persist` fsyncs sled's files after it;
//! - `apply_batch` locks readers out, so rows go in by `insert`;
//! - it may panic on damaged files, so every call of it runs under `catch_unwind`.

use std::fs::{File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError, Mark, RowBytes, Table, Visit, Write, table_of, tag, tagged};
use super::medium;

/// Bytes of one of sled's log segments: measured best for records of this size.
const SEGMENT_BYTES: usize = 512 * 1024;
/// sled flushes by itself this often, so that a killed process replays little.
const FLUSH_MILLISECONDS: u64 = 500;
/// How long an opening waits for what an earlier one in this process still has under way.
const FORMER_WAIT: Duration = Duration::from_secs(60);
const FORMER_POLL: Duration = Duration::from_millis(2);

/// One sled tree in one folder.
pub struct SledEngine {
    folder: PathBuf,
    db: sled::Db,
}

impl SledEngine {
    /// Opens or makes the tree. A panic of sled's comes back as an error.
    pub fn open(folder: &Path, budget_bytes: u64) -> Result<SledEngine, EngineError> {
        // Readers' hidden values are in here in clear. Where the folder cannot be made, sled says why.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        wait_for_former(folder);
        remove_half_made_snapshots(folder);
        let open = || {
            sled::Config::new()
                .path(folder)
                .cache_capacity(cache_capacity(budget_bytes))
                .segment_size(SEGMENT_BYTES)
                .flush_every_ms(Some(FLUSH_MILLISECONDS))
                .use_compression(false)
                .open()
        };
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(db)) => Ok(SledEngine { folder: folder.to_owned(), db }),
            Ok(Err(error)) => Err(failed("open")(error)),
            Err(_) => {
                Err(EngineError { action: "open", cause: "sled panicked on its files".to_owned(), is_full: false })
            }
        }
    }
}

/// The setting that keeps sled's memory near a budget: sled counts bytes on disk, not in memory.
///
/// Fitted to measurements at 1 M rows (docs/decisions.md, "sled"): about 145 MB whatever the cache, and 2.6 bytes of memory
/// for one of the cache; a little air on top.
fn cache_capacity(budget_bytes: u64) -> u64 {
    const WHATEVER_THE_CACHE_BYTES: u64 = 145 << 20;
    const LEAST_BYTES: u64 = 16 << 20;
    (budget_bytes.saturating_sub(WHATEVER_THE_CACHE_BYTES) / 3).max(LEAST_BYTES)
}

/// Waits until sled has let go of the files.
///
/// Dropped, it may leave a task in its thread pool that holds them and their lock until it is done, and what opens them
/// then is refused. Other processes are kept out by the store's own lock. Where the wait is for nothing, sled says so.
fn wait_for_former(folder: &Path) {
    let Ok(file) = File::open(folder.join("db")) else {
        return; // a new folder, or sled says why
    };
    let since = Instant::now();
    while matches!(file.try_lock(), Err(TryLockError::WouldBlock)) && since.elapsed() < FORMER_WAIT {
        std::thread::sleep(FORMER_POLL);
    }
}

/// A snapshot that a stop cut short would be taken for the newest one, and refuse to open.
fn remove_half_made_snapshots(folder: &Path) {
    let Ok(listing) = std::fs::read_dir(folder) else {
        return; // a new folder
    };
    for path in listing.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "generating") {
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Engine for SledEngine {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        guarded("read", || Ok(self.db.get(tagged(table, key)).map_err(failed("read"))?.map(RowBytes::Sled)))
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        let from = match after {
            Some(key) => std::ops::Bound::Excluded(tagged(table, key)),
            None => std::ops::Bound::Included(vec![table as u8]),
        };
        let until = std::ops::Bound::Excluded(vec![table as u8 + 1]);
        guarded("scan", || {
            let rows = self.db.range::<Vec<u8>, _>((from, until)).take(limit);
            rows.map(|row| row.map(|(key, value)| (key[1..].to_vec(), RowBytes::Sled(value))).map_err(failed("scan")))
                .collect()
        })
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        guarded("scan", || {
            for row in self.db.iter() {
                let (key, value) = row.map_err(failed("scan"))?;
                match key.first().copied().and_then(table_of) {
                    Some(Table::Mark) => {}
                    Some(table) => visit(table, &key[1..], &value),
                    None => {
                        return Err(EngineError {
                            action: "scan",
                            cause: "a row of no known table".to_owned(),
                            is_full: false,
                        });
                    }
                }
            }
            Ok(())
        })
    }

    fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError> {
        guarded("write", || {
            let mut key = Vec::with_capacity(64);
            for row in rows {
                tag(row.table, &row.key, &mut key);
                match &row.value {
                    Some(value) => self.db.insert(&key, value.as_slice()).map_err(failed("insert"))?,
                    None => self.db.remove(&key).map_err(failed("remove"))?,
                };
            }
            self.db.insert([Table::Mark as u8], mark.encode()).map_err(failed("insert"))?;
            Ok(())
        })
    }

    fn mark(&self) -> Result<Option<Mark>, EngineError> {
        match guarded("read the mark", || self.db.get([Table::Mark as u8]).map_err(failed("read")))? {
            None => Ok(None),
            Some(bytes) => Mark::decode(&bytes).map(Some).ok_or_else(|| EngineError {
                action: "read the mark",
                cause: "it does not decode".to_owned(),
                is_full: false,
            }),
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        guarded("flush", || self.db.flush().map_err(failed("flush")))?;
        sync_tree(&self.folder).map_err(|error| EngineError {
            action: "fsync",
            cause: error.to_string(),
            is_full: medium::is_full(&error),
        })
    }

    fn disk_bytes(&self) -> u64 {
        guarded("measure", || self.db.size_on_disk().map_err(failed("measure"))).unwrap_or(0)
    }
}

/// fsyncs every file below a folder, then the folder.
fn sync_tree(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => sync_tree(&entry.path())?,
            // sled may take a snapshot file away while we walk: what is gone needs no fsync.
            _ => match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            },
        }
    }
    File::open(folder)?.sync_all()
}

/// sled panics where its files are damaged, and it may come upon that in any call: the caller can make them anew.
fn guarded<T>(action: &'static str, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(EngineError { action, cause: "sled panicked on its files".to_owned(), is_full: false }))
}

fn failed(action: &'static str) -> impl Fn(sled::Error) -> EngineError {
    move |error| EngineError {
        action,
        cause: error.to_string(),
        is_full: matches!(&error, sled::Error::Io(io) if medium::is_full(io)),
    }
}
