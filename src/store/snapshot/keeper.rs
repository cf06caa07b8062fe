//! The thread that takes snapshots, and removes those that are not to be used any more.
//!
//! It gives way: after each piece it rests as long as the piece took, unless the journal has run far ahead meanwhile.
//! It never takes the disk's reserve, and what fails costs the snapshot and nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::file::{Head, Rows, Writer};
use super::layered::{Layered, TABLES};
use super::{HALF_MADE, SUFFIX, SnapshotState, remove_others};
use crate::model::time::Timestamp;
use crate::store::engine::{Engine, EngineError, Mark};
use crate::store::handle::Room;
use crate::store::journal::Tail;
use crate::store::medium::Medium;

/// Rows of one piece: about a millisecond of work.
const PIECE_ROWS: usize = 256;
/// How often it is asked whether one is due.
const INTERVAL: Duration = Duration::from_millis(500);
/// After a failure the disk is left alone this long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(300);
/// Bytes of a row on the disk where no snapshot has been taken to say so: generous, for it must fit beside the reserve.
const EXPECTED_ROW_BYTES: u64 = 400;
/// Looks for a moment at which journal and record store stand together, a millisecond apart.
const LOOKS: u32 = 2_000;

/// See the module.
pub(in crate::store) struct SnapshotKeeper {
    /// One at a time.
    pub taking: Mutex<()>,
    pub engine: Arc<Layered>,
    pub medium: Arc<dyn Medium>,
    pub settled: Arc<Mutex<Tail>>,
    pub room: Room,
    /// Bytes that must stay free.
    pub reserve_bytes: u64,
    /// Frames since the last one after which another is due; 0: never.
    pub every_frames: u64,
    /// How many frames have been erased by this process.
    pub erasures: Arc<AtomicU64>,
    /// What is there is older than an erasure: it is to be replaced at once.
    pub is_stale: bool,
    /// Set where the record store could not be made durable.
    pub doubted: Arc<AtomicBool>,
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
}

impl SnapshotKeeper {
    pub fn run(&self, stop: &Receiver<()>) {
        let mut erasures = if self.is_stale { u64::MAX } else { 0 };
        let mut not_before = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
            let now = self.erasures.load(Ordering::Acquire);
            let mut erased = now != erasures;
            if erased && !self.drop_last() {
                (erased, erasures) = (false, now);
            }
            if Instant::now() < not_before || !(erased || self.is_due()) {
                continue;
            }
            match self.take(stop, now) {
                Ok(state) => {
                    erasures = now;
                    tracing::info!(rows = state.rows, bytes = state.bytes, "a snapshot of the record store was taken");
                }
                Err(SnapshotError::Stopped) => return,
                Err(SnapshotError::Erased) => {}
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
        self.every_frames > 0 && self.settled.lock().sequence.saturating_sub(taken) >= self.every_frames
    }

    /// A snapshot older than an erasure holds what is erased, and could not be replayed over. Says whether another
    /// is to be taken: where one was wanted, and where the record store rests on one, which only another can take the place of.
    fn drop_last(&self) -> bool {
        let _one = self.taking.lock();
        let base = self.engine.base();
        let had = self.last.lock().take().is_some();
        remove_others(self.medium.as_ref(), &base.iter().map(String::as_str).collect::<Vec<_>>());
        base.is_some() || (had && self.every_frames > 0)
    }

    /// A crash in here leaves a half-made file, or an old snapshot more: an opening removes both.
    fn take(&self, stop: &Receiver<()>, erasures: u64) -> Result<SnapshotState, SnapshotError> {
        let _one = self.taking.lock();
        self.engine.note_removals();
        let taken = self.settled_together().and_then(|(tail, mark)| {
            // Nothing has changed: another thread was first. Its file has the name that this one would get.
            if let Some(last) = self.last.lock().filter(|last| last.sequence == tail.sequence) {
                self.engine.call_off();
                return Ok(last);
            }
            let number = format!("{:020}", tail.sequence);
            let (name, temporary) = (format!("{number}{SUFFIX}"), format!("{number}{HALF_MADE}"));
            let done = self.write(&temporary, &tail, &mark, stop, erasures).and_then(|()| self.put(&temporary, &name));
            if done.is_err() {
                // The blocks that it has are blocks that others need, and an erasure must find nothing that nobody knows of.
                let _ = self.medium.remove(&temporary);
                if self.engine.base().as_ref() != Some(&name) {
                    let _ = self.medium.remove(&name);
                }
            }
            done
        });
        taken.inspect_err(|_| self.engine.call_off())
    }

    /// A whole file gets its name, and the place of the one before.
    fn put(&self, temporary: &str, name: &str) -> Result<SnapshotState, SnapshotError> {
        self.medium.rename(temporary, name)?;
        self.medium.sync_directory()?;
        let rows = Rows::open(self.medium.as_ref(), name)?;
        let state = SnapshotState::of(&rows);
        self.engine.rest_on(rows).inspect_err(|_| self.doubted.store(true, Ordering::Release))?;
        *self.last.lock() = Some(state);
        remove_others(self.medium.as_ref(), &[name]);
        Ok(state)
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
        let expected = self.last.lock().map_or(mark.records * EXPECTED_ROW_BYTES, |last| last.bytes + last.bytes / 4);
        let free = self.medium.free_bytes()?;
        if let Some(short) = (self.reserve_bytes + expected).checked_sub(free).filter(|short| *short > 0) {
            return Err(SnapshotError::Room(short));
        }
        let head = Head::new(*tail, mark, Timestamp::now().as_seconds());
        let mut writer = Writer::create(self.medium.as_ref(), name, head)?;
        for table in TABLES {
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
                if let Some(short) = (self.room)() {
                    return Err(SnapshotError::Room(short));
                }
                self.rest(begun.elapsed(), tail, stop)?;
            }
        }
        writer.finish()?;
        if self.erasures.load(Ordering::Acquire) == erasures { Ok(()) } else { Err(SnapshotError::Erased) }
    }

    /// Rests as long as the piece took. A journal that runs ahead makes the next opening longer: then there is no rest.
    fn rest(&self, took: Duration, tail: &Tail, stop: &Receiver<()>) -> Result<(), SnapshotError> {
        let behind = self.settled.lock().sequence.saturating_sub(tail.sequence);
        let pause = if behind < self.every_frames { took } else { Duration::ZERO };
        match stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            _ => Err(SnapshotError::Stopped),
        }
    }
}
