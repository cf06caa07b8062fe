//! The thread that takes snapshots, and removes those that are not to be used any more.
//!
//! It gives way: after each piece it rests as long as the piece took, unless the journal has run far ahead meanwhile.
//! It never takes the disk's reserve, and what fails costs the snapshot and nothing else.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::file::{Head, Rows, Writer};
use super::layered::Layered;
use super::{SnapshotState, half_made_name_of, name_of, remove_others};
use crate::model::time::Timestamp;
use crate::store::engine::{Engine, EngineError, Mark, Table};
use crate::store::journal::Tail;
use crate::store::medium::Medium;

/// Rows of one piece: about a millisecond of work.
const PIECE_ROWS: usize = 256;
/// How often it is asked whether one is due.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a failure the disk is left alone this long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(300);
/// Bytes of a record and what goes with it where no snapshot has been taken to say so: generous, for it must fit beside the
/// reserve.
const EXPECTED_RECORD_BYTES: u64 = 400;
/// After so many bytes of it the disk is asked again for what is free.
const ROOM_BYTES: u64 = 1 << 20;
/// Each snapshot writes all rows: another is not due before there were frames for a fifteenth of the last one's. With a tenth a
/// start at 10 M records would take up to 34 s, by proportion (docs/decisions.md); the bar is 30 s.
pub const ROWS_A_DUE_FRAME: u64 = 15;
/// Looks for a moment at which journal and record store stand together, a millisecond apart.
const LOOKS: u32 = 2_000;

/// See the module.
pub(in crate::store) struct SnapshotKeeper {
    /// One at a time.
    pub taking: Mutex<()>,
    pub engine: Arc<Layered>,
    pub medium: Arc<dyn Medium>,
    pub settled: Arc<Mutex<Tail>>,
    /// Bytes that must stay free: the reserve, and what the journal makes ahead.
    pub floor_bytes: u64,
    /// The fewest frames since the last one after which another is due; 0: never.
    pub every_frames: u64,
    /// How many frames have been erased by this process.
    pub erasures: Arc<AtomicU64>,
    /// The one below the record store may be older than an erasure: it is to be replaced at once.
    pub is_stale: bool,
    pub last: Mutex<Option<SnapshotState>>,
}

/// Why there is no new snapshot. Nothing else suffers.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("it would take the reserve of the disk: {0} bytes are missing")]
    Room(u64),
    #[error("something was erased meanwhile")]
    Erased,
    #[error("the writes left no moment for it")]
    Busy,
    #[error("the node stops")]
    Stopped,
    #[error("a panic: this is a bug")]
    Panicked,
}

impl SnapshotKeeper {
    pub fn run(&self, stop: &Receiver<()>) {
        crate::store::step_back("snapshots");
        let mut erasures = if self.is_stale { u64::MAX } else { 0 };
        let mut not_before = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
            match self.sweep(stop) {
                Err(SnapshotError::Stopped) => return,
                Err(error) => tracing::warn!(%error, "notes of removed rows are left until the next snapshot"),
                Ok(()) => {}
            }
            let now = self.erasures.load(Ordering::Acquire);
            let mut erased = now != erasures;
            if erased && !self.drop_last() {
                (erased, erasures) = (false, now);
            }
            let begun = Instant::now();
            if begun < not_before || !(erased || self.is_due()) {
                continue;
            }
            let taken = catch_unwind(AssertUnwindSafe(|| self.take(stop, now)));
            match taken.unwrap_or(Err(SnapshotError::Panicked)) {
                Ok(state) => {
                    erasures = now;
                    tracing::info!(rows = state.rows, bytes = state.bytes, "a snapshot of the record store was taken");
                }
                Err(SnapshotError::Stopped) => return,
                // Of a node that erases steadily it takes no more than half the time.
                Err(SnapshotError::Erased | SnapshotError::Busy) => not_before = Instant::now() + begun.elapsed(),
                Err(error) => {
                    tracing::warn!(%error, "no snapshot was taken: after a power cut the start takes longer");
                    not_before = Instant::now() + REST_AFTER_FAILURE;
                }
            }
        }
    }

    /// Takes one now, on the caller's thread.
    pub fn take_now(&self) -> Result<SnapshotState, SnapshotError> {
        self.take(&crossbeam_channel::never(), self.erasures.load(Ordering::Acquire))
    }

    fn is_due(&self) -> bool {
        let taken = self.last.lock().map_or(0, |last| last.sequence);
        self.every_frames > 0 && self.settled.lock().sequence.saturating_sub(taken) >= self.due_frames()
    }

    fn due_frames(&self) -> u64 {
        self.every_frames.max(self.last.lock().map_or(0, |last| last.rows / ROWS_A_DUE_FRAME))
    }

    /// A snapshot older than an erasure holds what is erased, and could not be replayed over. Says whether another
    /// is to be taken: where one was wanted, and where the record store rests on one, which only another can take the place of.
    fn drop_last(&self) -> bool {
        let _one = self.taking.lock();
        let base = self.engine.base_number();
        let had = self.last.lock().take().is_some();
        remove_others(self.medium.as_ref(), base.as_slice());
        base.is_some() || (had && self.every_frames > 0)
    }

    /// A crash in here leaves a half-made file, or an old snapshot more: an opening removes both.
    fn take(&self, stop: &Receiver<()>, erasures: u64) -> Result<SnapshotState, SnapshotError> {
        let _one = self.taking.lock();
        let _noting = self.engine.note_removals();
        let (tail, mark) = self.settled_together()?;
        // Nothing has changed: another thread was first. Its file has the name that this one would get.
        if let Some(last) = self.last.lock().filter(|last| last.sequence == tail.sequence) {
            return Ok(last);
        }
        let number = tail.sequence;
        let temporary = half_made_name_of(number);
        let done = self.write(&temporary, &tail, &mark, stop, erasures).and_then(|()| self.put(&temporary, number));
        if done.is_err() {
            // The blocks that it has are blocks that others need, and an erasure must find nothing that nobody knows of.
            let _ = self.medium.remove(&temporary);
            if self.engine.base_number() != Some(number) {
                let _ = self.medium.remove(&name_of(number));
            }
        }
        done
    }

    /// A whole file gets its name, and the place of the one before.
    fn put(&self, temporary: &str, number: u64) -> Result<SnapshotState, SnapshotError> {
        self.medium.rename(temporary, &name_of(number))?;
        // Elsewhere a failed fsync ends the process, for bytes that were answered for. Nobody has been told of this name,
        // and a file system that could not write the names of its folders fails every fsync from then on, the journal's too.
        self.medium.sync_directory()?;
        let rows = Rows::open(self.medium.as_ref(), number)?;
        let state = SnapshotState::of(&rows);
        self.engine.rest_on(rows)?;
        *self.last.lock() = Some(state);
        remove_others(self.medium.as_ref(), &[number]);
        Ok(state)
    }

    /// Takes away what hid rows of a snapshot before and hides none of the one that is below now.
    fn sweep(&self, stop: &Receiver<()>) -> Result<(), SnapshotError> {
        loop {
            let begun = Instant::now();
            if !self.engine.sweep_page()? {
                return Ok(());
            }
            rest(begun.elapsed(), stop)?;
        }
    }

    /// The journal's place and the totals that belong to it.
    fn settled_together(&self) -> Result<(Tail, Mark), SnapshotError> {
        for _ in 0..LOOKS {
            let tail = *self.settled.lock();
            let mark = self.engine.mark()?.unwrap_or_default();
            if mark.sequence == tail.sequence {
                return Ok((tail, mark));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Err(SnapshotError::Busy)
    }

    fn write(
        &self,
        name: &str,
        tail: &Tail,
        mark: &Mark,
        stop: &Receiver<()>,
        erasures: u64,
    ) -> Result<(), SnapshotError> {
        // sled's own files are larger than a snapshot of what is in them, aliases and requests included.
        let first = || self.engine.disk_bytes().max(mark.records * EXPECTED_RECORD_BYTES);
        self.room(self.last.lock().map_or_else(first, |last| last.bytes + last.bytes / 4))?;
        let head = Head::new(*tail, mark, Timestamp::now().as_seconds());
        let mut writer = Writer::create(self.medium.as_ref(), name, head)?;
        let mut ask_at = ROOM_BYTES;
        for table in Table::of_rows() {
            let mut after: Option<Vec<u8>> = None;
            loop {
                let begun = Instant::now();
                let rows = self.engine.scan(table, after.as_deref(), PIECE_ROWS)?;
                for (key, value) in &rows {
                    writer.row(table, key, value)?;
                }
                let Some((last, _)) = rows.into_iter().next_back() else {
                    break;
                };
                after = Some(last);
                if writer.bytes() >= ask_at {
                    ask_at = writer.bytes() + ROOM_BYTES;
                    self.room(ROOM_BYTES)?;
                }
                self.unless_erased(erasures)?;
                // A journal that runs ahead makes the next opening longer: then there is no rest.
                let behind = self.settled.lock().sequence.saturating_sub(tail.sequence);
                rest(if behind < self.due_frames() { begun.elapsed() } else { Duration::ZERO }, stop)?;
            }
        }
        writer.finish()?;
        self.unless_erased(erasures)
    }

    /// Whether so many bytes fit beside what must stay free.
    fn room(&self, bytes: u64) -> Result<(), SnapshotError> {
        let short =
            self.floor_bytes.saturating_add(bytes).checked_sub(self.medium.free_bytes()?).filter(|short| *short > 0);
        short.map_or(Ok(()), |short| Err(SnapshotError::Room(short)))
    }

    fn unless_erased(&self, erasures: u64) -> Result<(), SnapshotError> {
        if self.erasures.load(Ordering::Acquire) == erasures { Ok(()) } else { Err(SnapshotError::Erased) }
    }
}

fn rest(pause: Duration, stop: &Receiver<()>) -> Result<(), SnapshotError> {
    match stop.recv_timeout(pause) {
        Err(RecvTimeoutError::Timeout) => Ok(()),
        _ => Err(SnapshotError::Stopped),
    }
}
