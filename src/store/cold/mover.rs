//! The thread that moves full segments to the cold folder.
//!
//! It gives way: it runs behind everything else, and rests after each piece as long as the piece took. Nothing waits for it, but for
//! an erasure in the very segment that is being put into its place. What fails costs the move and nothing else.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use parking_lot::Mutex;

use super::error::ColdFault;
use super::tiers::Tiers;
use crate::store::Fatal;
use crate::store::handle::Room;
use crate::store::journal::{Reader, Sealed, segment_name};
use crate::store::medium::MediumFile;
use crate::store::snapshot::SnapshotKeeper;

/// What is read, written and made durable between two rests.
const PIECE: usize = 1 << 20;
/// How often it is asked whether one is due, and whether the cold folder is there.
const INTERVAL: Duration = Duration::from_secs(1);
/// After a failure the disks are left alone this long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// A segment in which something was blanked on the way is copied again, so often before others wait their turn.
const ROUNDS: u32 = 3;

/// See the module.
pub(in crate::store) struct Mover {
    /// One at a time.
    pub moving: Mutex<()>,
    pub tiers: Arc<Tiers>,
    pub journal: Arc<Reader>,
    pub snapshots: Arc<SnapshotKeeper>,
    /// Whether the hot disk is short of room.
    pub room: Room,
    pub after_segments: u64,
    pub fatal: Arc<dyn Fatal>,
    pub poisoned: Arc<AtomicBool>,
    pub failures: AtomicU64,
    pub is_away: AtomicBool,
}

/// How cold storage does, for whoever watches the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColdState {
    /// Moves that failed since the start.
    pub failures: u64,
    /// The cold folder does not answer, or is another one.
    pub is_away: bool,
}

/// Why a segment was not moved: it is where it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{segment} is damaged where it is, at byte {offset}: {what}; run `mingpai doctor`")]
    Damaged { segment: String, offset: u64, what: &'static str },
    #[error("the copy of {segment} does not read back as it was written: the cold disk is not to be trusted")]
    CopyDiffers { segment: String },
    #[error("{segment}: something was erased in it again and again while it was copied")]
    Erased { segment: String },
    #[error("no room: {needed} bytes are needed in the cold folder, {free} are free")]
    Full { needed: u64, free: u64 },
    #[error("the store has failed")]
    Poisoned,
    #[error("the node stops")]
    Stopped,
}

impl Mover {
    pub fn run(&self, stop: &Receiver<()>) {
        crate::store::step_back("cold");
        let mut not_before = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
            if !self.look() || Instant::now() < not_before {
                continue;
            }
            match self.move_due(self.after_segments, stop) {
                Ok(_) => {}
                Err(MoveError::Stopped | MoveError::Poisoned) => return,
                Err(error) => {
                    self.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a segment was not moved to the cold folder; it stays where it is and is tried again");
                    not_before = Instant::now() + REST_AFTER_FAILURE;
                }
            }
        }
    }

    pub fn state(&self) -> ColdState {
        ColdState { failures: self.failures.load(Ordering::Relaxed), is_away: self.is_away.load(Ordering::Relaxed) }
    }

    /// Moves all that is due, on the caller's thread; says how many. Without leave to stop where `stop` never speaks.
    pub fn move_due(&self, after_segments: u64, stop: &Receiver<()>) -> Result<u64, MoveError> {
        let _one = self.moving.lock();
        let mut moved = 0;
        while let Some((sealed, left)) = self.next(after_segments) {
            let begun = Instant::now();
            self.move_one(&sealed, stop)?;
            moved += 1;
            let (segment, seconds) = (sealed.number(), begun.elapsed().as_secs_f64());
            tracing::info!(segment, bytes = sealed.length(), seconds, left, "a segment was moved to the cold folder");
        }
        Ok(moved)
    }

    /// Whether the cold folder is there. Told once when that changes.
    pub fn look(&self) -> bool {
        let is_away = !self.tiers.is_there();
        if self.is_away.swap(is_away, Ordering::Relaxed) != is_away {
            let folder = self.tiers.folder.display();
            if is_away {
                tracing::error!(%folder, "the cold folder is away: what lies there is answered 503 until it is mounted again");
            } else {
                tracing::info!(%folder, "the cold folder is there again");
            }
        }
        !is_away
    }

    /// The oldest segment that is due, and how many are due behind it.
    ///
    /// What a start after a power cut would replay over the last snapshot stays hot while the hot disk has room.
    fn next(&self, after_segments: u64) -> Option<(Sealed, usize)> {
        let sealed = self.journal.sealed();
        let old = sealed.len().saturating_sub(usize::try_from(after_segments).unwrap_or(usize::MAX));
        let replayed_from = match (self.room)() {
            Some(_) => None,
            None => self.snapshots.last.lock().map(|last| last.sequence),
        };
        let is_due = |(at, segment): &(usize, Sealed)| {
            let is_replayed = replayed_from.is_some_and(|from| segment.end() > from);
            self.tiers.leftovers.contains(&segment.number()) || (*at < old && !is_replayed)
        };
        let mut due = sealed.into_iter().enumerate().filter(is_due).map(|(_, segment)| segment);
        let first = due.next()?;
        Some((first, due.count()))
    }

    fn move_one(&self, sealed: &Sealed, stop: &Receiver<()>) -> Result<(), MoveError> {
        let name = segment_name(sealed.number());
        let temporary = format!("{name}.new");
        for _ in 0..ROUNDS {
            // Asked before the first byte is read.
            let blankings = sealed.blankings();
            let done =
                self.copy(sealed, &temporary, stop).and_then(|()| self.settle(sealed, blankings, &temporary, &name));
            if !matches!(done, Ok(true)) {
                // What is half made helps nobody, and may say what was erased.
                let _ = self.tiers.cold.remove(&temporary);
            }
            if done? {
                return Ok(());
            }
        }
        Err(MoveError::Erased { segment: name })
    }

    /// A copy under a name that counts for nothing: durable, read back from the disk, proven.
    fn copy(&self, sealed: &Sealed, temporary: &str, stop: &Receiver<()>) -> Result<(), MoveError> {
        let needed = sealed.length();
        let free = self.cold(self.tiers.cold.free_bytes())?;
        if free < needed {
            return Err(MoveError::Full { needed, free });
        }
        let file = self.cold(self.tiers.cold.create(temporary, needed))?;
        let written = self.pieces(needed, stop, |piece, offset| {
            sealed.read(piece, offset)?;
            self.cold(file.write_all_at(piece, offset))?;
            self.cold(file.sync_data())
        })?;
        self.cold(file.sync_data())?;
        file.forget_cached();
        let whole = self.read_back(file.as_ref(), needed, stop)?;
        let segment = segment_name(sealed.number());
        if crc32c::crc32c(&whole) != written {
            return Err(MoveError::CopyDiffers { segment });
        }
        sealed.check(&whole).map_err(|(offset, what)| MoveError::Damaged { segment, offset, what })
    }

    fn read_back(&self, file: &dyn MediumFile, length: u64, stop: &Receiver<()>) -> Result<Vec<u8>, MoveError> {
        let mut whole = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.pieces(length, stop, |piece, offset| {
            self.cold(file.read_exact_at(piece, offset))?;
            whole.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(whole)
    }

    /// Does something with each piece, resting after each as long as it took; the CRC-32C of all of them.
    fn pieces(
        &self,
        length: u64,
        stop: &Receiver<()>,
        mut each: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<u32, MoveError> {
        let (mut at, mut crc, mut buffer) = (0, 0, vec![0; PIECE]);
        while at < length {
            let begun = Instant::now();
            let count = PIECE.min(usize::try_from(length - at).unwrap_or(PIECE));
            let piece = buffer.get_mut(..count).unwrap_or_default();
            each(piece, at)?;
            crc = crc32c::crc32c_append(crc, piece);
            at += count as u64;
            match stop.recv_timeout(begun.elapsed()) {
                Err(RecvTimeoutError::Timeout) => {}
                _ => return Err(MoveError::Stopped),
            }
        }
        Ok(crc)
    }

    /// The copy gets its name, then the hot segment goes; false where something was blanked since the copy was begun.
    fn settle(&self, sealed: &Sealed, blankings: u64, temporary: &str, name: &str) -> Result<bool, MoveError> {
        let (hot, cold) = (&self.tiers.hot, &self.tiers.cold);
        sealed.settle(blankings, || {
            if self.poisoned.load(Ordering::Acquire) {
                return Err(MoveError::Poisoned);
            }
            self.cold(cold.rename(temporary, name))?;
            self.cold(cold.sync_directory())?;
            // In both from here on: the hot one counts.
            hot.remove(name)?;
            // Before anything can be blanked in the cold one, the hot one must not come back.
            hot.sync_directory().inspect_err(|error| {
                self.fatal.failed(&format!("the journal's folder, after {name} was moved to the cold one: {error}"));
            })?;
            Ok(self.tiers.cold_file(name))
        })
    }

    fn cold<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| ColdFault::of(&self.tiers.folder, error))
    }
}
