//! The open store as the stages above see it: reads go straight down, commits through a bounded queue (`queue`).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Sender, bounded};
use parking_lot::{Mutex, RwLock};

use super::apply::{self, ApplyError, ReadStatement};
use super::beside::Moving;
use super::checkpoint::{self, Checkpoint};
use super::cold::{ColdState, MoveError, Mover};
use super::engine::{Engine, EngineError, RowBytes, Table};
use super::journal::sequences::Counted;
use super::journal::{Frame, FrameKind, JournalError, Location, Places, Reader, Tail};
use super::medium::Medium;
use super::open::OpenError;
use super::queue::Singles;
use super::restored::{RESTORED_FILE, Restored};
use super::revisions::Revisions;
use super::rows::{RecordRow, RequestRow};
use super::sequencer::Job;
use super::snapshot::{SnapshotError, SnapshotKeeper, SnapshotState};
use super::trees::Trees;
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;

/// The store: commits go in through a bounded queue, reads go straight to the engine and the journal.
pub struct Store {
    /// Gone with the stop. Who sends has a clone of its own meanwhile, and the sequencer answers until all are gone.
    pub(super) jobs: RwLock<Option<Sender<Job>>>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) journal: Arc<Reader>,
    pub(super) statements: Arc<dyn ReadStatement>,
    pub(super) settled: Arc<Mutex<Tail>>,
    pub(super) medium: Arc<dyn Medium>,
    pub(super) room: Room,
    pub(super) group_limit: usize,
    pub(super) snapshots: Arc<SnapshotKeeper>,
    pub(super) singles: Singles,
    pub(super) keeper: Mutex<Option<Keeper>>,
    pub(super) poisoned: Arc<AtomicBool>,
    /// Whether the record store's files may differ from what was written.
    pub(super) doubted: Arc<AtomicBool>,
    pub(super) revisions: Arc<Revisions>,
    /// What a restore has left beside the journal when this was opened.
    pub(super) restored: Option<Restored>,
    pub(super) trees: Arc<Trees>,
    /// Who moves segments to the cold folder, where there is one.
    pub(super) mover: Option<Arc<Mover>>,
    /// Held as long as the store is open: no second process may write here, nor in the cold folder.
    pub(super) _locks: Arc<Locks>,
}

/// Of the data folder and of the cold one.
pub(super) type Locks = [Option<std::fs::File>; 2];

/// Says how many bytes are missing, when the disk has less room than the record store's own files may need.
pub type Room = Arc<dyn Fn() -> Option<u64> + Send + Sync>;

pub(super) struct Keeper {
    pub stop: Sender<()>,
    pub thread: std::thread::JoinHandle<()>,
    pub sequencer: std::thread::JoinHandle<()>,
    pub stop_snapshots: Sender<()>,
    pub snapshots_thread: std::thread::JoinHandle<()>,
    pub trees: (Sender<()>, std::thread::JoinHandle<()>),
    pub names: (Sender<()>, std::thread::JoinHandle<()>),
    pub moving: Option<Moving>,
}

impl Store {
    /// The row of an identifier.
    pub fn row(&self, key: &CanonicalKey) -> Result<Option<RecordRow>, ApplyError> {
        apply::row_of(self.engine.as_ref(), key)
    }

    /// The identifier that bears an alias.
    pub fn bearer(&self, alias: &CanonicalKey) -> Result<Option<CanonicalKey>, EngineError> {
        let row = self.engine.read(Table::Alias, alias.as_str().as_bytes())?;
        Ok(row.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(CanonicalKey::from_stored)))
    }

    /// Whether it is sure, from memory alone, that nothing stands under this name, neither as an identifier nor as an alias.
    pub fn lacks(&self, name: &CanonicalKey) -> bool {
        self.engine.lacks_name(name.as_str().as_bytes())
    }

    /// The record at a row: from the row itself, or from the journal where it is too long for that.
    pub fn record(&self, row: &RecordRow) -> Result<Record, ApplyError> {
        if let Some(body) = &row.body {
            return Record::from_row(body)
                .map_err(|error| ApplyError::Statement { sequence: row.index, cause: error.to_string() });
        }
        let frame = self.frame(row.location)?;
        self.record_of(&frame)?.ok_or_else(|| ApplyError::Statement { sequence: row.index, cause: "erased".to_owned() })
    }

    /// The record that a frame states; `None` once it is erased.
    pub fn record_of(&self, frame: &Frame) -> Result<Option<Record>, ApplyError> {
        let Some(disclosures) = &frame.disclosures else {
            return Ok(None);
        };
        self.statements
            .record(&frame.statement, disclosures, &frame.meta)
            .map(Some)
            .map_err(|cause| ApplyError::Statement { sequence: frame.sequence, cause })
    }

    /// One frame of the journal.
    pub fn frame(&self, location: Location) -> Result<Frame, JournalError> {
        self.journal.frame(location)
    }

    /// Which sequence the frame at a place has. `near`: what the last call found in there, or nothing.
    pub fn sequence(&self, location: Location, near: &mut Option<Counted>) -> Result<u64, JournalError> {
        self.journal.sequence(location, near)
    }

    /// The trees over the journal.
    pub fn trees(&self) -> &Trees {
        &self.trees
    }

    /// Kind and statement of one frame, read without its disclosures.
    pub fn statement(&self, location: Location) -> Result<(FrameKind, Vec<u8>), JournalError> {
        self.journal.statement(location)
    }

    /// The entry of a version at a place that a client names; `None` unless one stands just there, whole.
    pub fn claimed_entry(&self, segment: u32, offset: u32, version: u64) -> Result<Option<Frame>, JournalError> {
        self.journal.claimed_entry(segment, offset, version)
    }

    /// What became of a request, if it is still remembered.
    pub fn request(&self, principal: &str, key: &str, now: i64) -> Result<Option<RequestRow>, EngineError> {
        let row = self.engine.read(Table::Request, &RequestRow::key(principal, key))?;
        Ok(row.and_then(|bytes| RequestRow::decode(&bytes)).filter(|row| row.remembered(now)))
    }

    /// A row of any table (API keys).
    pub fn any_row(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        self.engine.read(table, key)
    }

    /// Rows of a table in key order.
    pub fn scan(
        &self,
        table: Table,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        self.engine.scan(table, after, limit)
    }

    /// Every frame, oldest first, up to what is settled now.
    pub fn replay(&self, mut each: impl FnMut(Frame) -> Result<(), ApplyError>) -> Result<(), ApplyError> {
        self.journal.replay(self.journal.start(), self.tail(), &mut each)
    }

    /// Every frame from one place to another, in order.
    pub fn replay_between(
        &self,
        from: Tail,
        until: Tail,
        each: impl FnMut(Frame) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        self.journal.replay(from, until, each)
    }

    /// How often licences have changed since the store was opened. Read before their rows, it goes into the proposal that
    /// was decided by them.
    pub fn licences_seen(&self) -> u64 {
        self.revisions.licences.load(Ordering::Acquire)
    }

    /// How often API keys have been made or revoked since the store was opened. Read before their rows, it says how long what
    /// was read is true.
    pub fn keys_seen(&self) -> u64 {
        self.revisions.keys.load(Ordering::Acquire)
    }

    /// Where the journal and the record store stand together.
    pub fn tail(&self) -> Tail {
        *self.settled.lock()
    }

    /// What a restore has left to be decided or carried out. While it is undecided every commit is refused, and no head of
    /// this log may be signed.
    pub fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// Takes the note of a restore away: its decision is in the log.
    pub fn forget_restore(&self) -> io::Result<()> {
        self.medium.remove(RESTORED_FILE)?;
        self.medium.sync_directory()
    }

    /// Bytes of a segment's file as they lie there, as far as all in them is durable and applied.
    pub fn segment_bytes(&self, segment: u32, from: u64, until: u64) -> Result<Vec<u8>, JournalError> {
        self.journal.raw(segment, from, until)
    }

    /// How far a segment may be copied: to its end, or to the end of the log; `None` where there is no such segment.
    pub fn segment_end(&self, segment: u32) -> Option<u64> {
        let tail = self.tail();
        let length = self.journal.length(segment).filter(|_| segment <= tail.segment)?;
        Some(if segment == tail.segment { tail.offset.into() } else { length })
    }

    /// The most bytes that one group takes, and with it an atomic commit ([`Proposal::bytes`]).
    pub fn group_limit(&self) -> usize {
        self.group_limit
    }

    /// Whether writes are refused until a restart.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    /// Whether there is room to write beside the store, on its disk.
    pub fn room(&self) -> Room {
        Arc::clone(&self.room)
    }

    /// Commits that wait for the sequencer.
    pub fn queue_entries(&self) -> usize {
        self.jobs.read().as_ref().map_or(0, Sender::len)
    }

    /// Free bytes on the journal's disk, if it says so.
    pub fn free_bytes(&self) -> Option<u64> {
        self.medium.free_bytes().ok()
    }

    /// The last snapshot of the rows, if there is one.
    pub fn snapshot(&self) -> Option<SnapshotState> {
        *self.snapshots.last.lock()
    }

    /// Takes a snapshot of the rows now and waits for it: before a measurement, a test, or a planned stop of the machine.
    pub fn take_snapshot(&self) -> Result<SnapshotState, SnapshotError> {
        self.snapshots.take_now()
    }

    /// How many segments are where.
    pub fn places(&self) -> Places {
        self.journal.places()
    }

    /// How cold storage does; `None` without.
    pub fn cold(&self) -> Option<ColdState> {
        self.mover.as_ref().map(|mover| mover.state())
    }

    /// Moves all but so many of the newest full segments to the cold folder now and waits for it: before a measurement or a
    /// test. Says how many.
    pub fn move_to_cold(&self, after_segments: u64) -> Result<u64, MoveError> {
        let moved = self.mover.as_ref().map(|mover| mover.move_due(after_segments, &crossbeam_channel::never()));
        moved.unwrap_or(Ok(0))
    }

    /// Bytes of the record store on disk.
    pub fn engine_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    /// Finishes what waits, seals the journal, makes the record store durable and calls it clean. Blocks.
    pub fn stop(&self) {
        let Some(mut keeper) = self.keeper.lock().take() else {
            return;
        };
        let moving = keeper.moving.take();
        if let Some(moving) = &moving {
            moving.tell();
        }
        self.close(keeper);
        // Last: a file system that does not answer holds up nothing else.
        if let Some(moving) = moving {
            moving.end();
        }
    }

    fn close(&self, keeper: Keeper) {
        let _ = keeper.stop_snapshots.send(());
        // Not tokio's channel: a store may be dropped inside a runtime, where that one refuses to block.
        let (done, sealed) = bounded(1);
        let jobs = self.jobs.write().take();
        let ended = jobs.is_some_and(|jobs| jobs.send(Job::Stop { done }).is_ok()) && sealed.recv().is_ok();
        // The sequencer answers until nobody can send any more.
        let _ = keeper.stop.send(());
        let _ = keeper.thread.join();
        let _ = keeper.sequencer.join();
        let _ = keeper.snapshots_thread.join();
        // After the last frame, so that the next opening finds them where the journal ends.
        for (stop, thread) in [keeper.trees, keeper.names] {
            let _ = stop.send(());
            let _ = thread.join();
        }
        if !ended || self.is_poisoned() || self.doubted.load(Ordering::Acquire) {
            return;
        }
        let tail = self.tail();
        let saved =
            self.engine.persist().map_err(OpenError::from).and_then(|()| {
                checkpoint::save(self.medium.as_ref(), &Checkpoint { tail, clean: true, session: None })
            });
        if let Err(error) = saved {
            tracing::warn!(%error, "the stop was not recorded as clean: the next start checks the record store");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}
