//! The thread that moves full segments to the cold folder.
//!
//! It gives way: it runs behind everything else, and rests after each piece as long as the piece took. Nothing waits for it, but for
//! an erasure in the very segment that is being put into its place. What fails costs the move and nothing else.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
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
use crate::store::medium::Medium;
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
    #[error("the cold folder {0} is not there any more: mount its file system again")]
    Away(PathBuf),
    #[error("no room: {needed} bytes are needed in the cold folder, {free} are free")]
    Full { needed: u64, free: u64 },
    #[error("the store has failed")]
    Poisoned,
    #[error("the node stops")]
    Stopped,
    #[error("a panic: this is a bug")]
    Panicked,
}

impl MoveError {
    /// Whether another segment may be moved all the same.
    fn is_of_the_segment(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::CopyDiffers { .. } | Self::Erased { .. })
    }
}

impl Mover {
    pub fn run(&self, stop: &Receiver<()>) {
        crate::store::step_back("cold");
        let mut not_before = Instant::now();
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(INTERVAL) {
            if !self.look() || Instant::now() < not_before {
                continue;
            }
            let moved = catch_unwind(AssertUnwindSafe(|| self.move_due(self.after_segments, stop)));
            match moved.unwrap_or(Err(MoveError::Panicked)) {
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
        ColdState { failures: self.failures.load(Ordering::Relaxed), is_away: self.tiers.pulse.is_away() }
    }

    /// Whether the cold file system has kept somebody waiting for too long, perhaps for ever.
    pub fn is_stuck(&self) -> bool {
        self.tiers.pulse.is_stuck()
    }

    /// Moves all that is due, on the caller's thread; says how many. Without leave to stop where `stop` never speaks.
    pub fn move_due(&self, after_segments: u64, stop: &Receiver<()>) -> Result<u64, MoveError> {
        let _one = self.moving.lock();
        let (mut moved, mut passed, mut failed) = (0, BTreeSet::new(), None);
        while let Some((sealed, left)) = self.next(after_segments, &passed) {
            let (begun, segment) = (Instant::now(), sealed.number());
            match self.move_one(&sealed, stop) {
                Ok(()) => moved += 1,
                // No reason for the others to stay.
                Err(error) if error.is_of_the_segment() => {
                    tracing::warn!(segment, %error, "a segment stays where it is, and others are moved");
                    passed.insert(segment);
                    failed = Some(error);
                    continue;
                }
                Err(error) => return Err(error),
            }
            let seconds = begun.elapsed().as_secs_f64();
            tracing::info!(segment, bytes = sealed.length(), seconds, left, "a segment was moved to the cold folder");
        }
        failed.map_or(Ok(moved), Err)
    }

    /// Whether the cold folder is there. Told once when that changes.
    pub fn look(&self) -> bool {
        let is_away = !self.tiers.is_there();
        if self.tiers.pulse.note(is_away) != is_away {
            let folder = self.tiers.folder.display();
            if is_away {
                tracing::error!(%folder, "the cold folder is away: what lies there is answered 503 until it is mounted again");
            } else {
                tracing::info!(%folder, "the cold folder is there again");
            }
        }
        !is_away
    }

    /// The segment that is due first, and how many are due behind it: those that are in both folders before others, since what is
    /// erased in one of them stays in its copy until then; the oldest before others.
    ///
    /// What a start after a power cut would replay over the last snapshot stays hot while the hot disk has room.
    fn next(&self, after_segments: u64, passed: &BTreeSet<u32>) -> Option<(Sealed, usize)> {
        let sealed = self.journal.sealed();
        let old = sealed.len().saturating_sub(usize::try_from(after_segments).unwrap_or(usize::MAX));
        let replayed_from = match (self.room)() {
            Some(_) => None,
            None => self.snapshots.last.lock().map(|last| last.sequence),
        };
        let is_due = |(at, segment): &(usize, Sealed)| {
            let is_replayed = replayed_from.is_some_and(|from| segment.end() > from);
            !passed.contains(&segment.number()) && (self.is_leftover(segment) || (*at < old && !is_replayed))
        };
        let mut due: Vec<Sealed> = sealed.into_iter().enumerate().filter(is_due).map(|(_, segment)| segment).collect();
        let first = due.iter().position(|segment| self.is_leftover(segment)).unwrap_or(0);
        (!due.is_empty()).then(|| (due.remove(first), due.len()))
    }

    fn move_one(&self, sealed: &Sealed, stop: &Receiver<()>) -> Result<(), MoveError> {
        let name = segment_name(sealed.number());
        let temporary = format!("{name}.new");
        for _ in 0..ROUNDS {
            // Asked before the first byte is read.
            let blankings = sealed.blankings();
            let done = self
                .drop_twin(sealed, &name, stop)
                .and_then(|()| self.copy(sealed, &temporary, stop))
                .and_then(|()| self.settle(sealed, blankings, [&temporary, &name], stop));
            if !matches!(done, Ok(true)) {
                // What is half made helps nobody, and may say what was erased.
                let _ = self.cold(|cold| cold.remove(&temporary));
            }
            match done {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // Read while it was half blank.
                Err(MoveError::Damaged { .. }) if sealed.blankings() != blankings => {}
                Err(error) => return Err(error),
            }
        }
        Err(MoveError::Erased { segment: name })
    }

    /// Removes the copy that an earlier move left beside the segment: it may say what was erased since, also when there is no
    /// room for another. Not before the hot one is proven and its name durable: until then that copy may be the better one.
    fn drop_twin(&self, sealed: &Sealed, name: &str, stop: &Receiver<()>) -> Result<(), MoveError> {
        if !self.is_leftover(sealed) {
            return Ok(());
        }
        // An operator may have copied it back: nobody has made that durable.
        self.tiers.hot.look(name)?.forget_cached()?;
        self.tiers.hot.sync_directory()?;
        prove(sealed, &self.whole(sealed.length(), stop, |piece, offset| sealed.read(piece, offset))?)?;
        self.is_there()?;
        self.cold(|cold| match cold.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => cold.sync_directory(),
        })?;
        Ok(())
    }

    fn is_leftover(&self, segment: &Sealed) -> bool {
        self.tiers.leftovers.lock().contains(&segment.number())
    }

    /// A copy under a name that counts for nothing: durable, read back from the disk, proven.
    fn copy(&self, sealed: &Sealed, temporary: &str, stop: &Receiver<()>) -> Result<(), MoveError> {
        let length = sealed.length();
        // Another one stays free: where a file system copies on writing, a blanking needs room as well.
        let (needed, free) = (2 * length, self.cold(Medium::free_bytes)?);
        if free < needed {
            return Err(MoveError::Full { needed, free });
        }
        // What is mounted may have changed since the last segment: an empty mount point is a folder too.
        self.is_there()?;
        let file = self.cold(|cold| cold.create(temporary, length))?;
        let written = self.pieces(length, stop, |piece, offset| {
            sealed.read(piece, offset)?;
            self.cold(|_| file.write_all_at(piece, offset))?;
            self.cold(|_| file.sync_data())
        })?;
        self.cold(|_| file.forget_cached())?;
        let whole = self.whole(length, stop, |piece, offset| self.cold(|_| file.read_exact_at(piece, offset)))?;
        if crc32c::crc32c(&whole) != written {
            return Err(MoveError::CopyDiffers { segment: segment_name(sealed.number()) });
        }
        prove(sealed, &whole)
    }

    fn whole(
        &self,
        length: u64,
        stop: &Receiver<()>,
        mut read: impl FnMut(&mut [u8], u64) -> io::Result<()>,
    ) -> Result<Vec<u8>, MoveError> {
        let mut whole = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        self.pieces(length, stop, |piece, offset| {
            read(piece, offset)?;
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
    fn settle(
        &self,
        sealed: &Sealed,
        blankings: u64,
        [temporary, name]: [&str; 2],
        stop: &Receiver<()>,
    ) -> Result<bool, MoveError> {
        let (hot, leftovers) = (&self.tiers.hot, &self.tiers.leftovers);
        sealed.settle(blankings, || {
            if self.poisoned.load(Ordering::Acquire) {
                return Err(MoveError::Poisoned);
            }
            if stop.try_recv().is_ok() {
                return Err(MoveError::Stopped);
            }
            // In both from here on: the hot one counts.
            leftovers.lock().insert(sealed.number());
            self.cold(|cold| cold.rename(temporary, name))?;
            self.cold(Medium::sync_directory)?;
            // The copy is where it will be looked for, and not below what was mounted over it meanwhile.
            self.is_there()?;
            self.cold(|cold| cold.look(name))?;
            if let Err(error) = hot.remove(name) {
                // It may be gone all the same.
                let is_gone = hot.look(name).is_err_and(|looked| looked.kind() == io::ErrorKind::NotFound);
                is_gone.then_some(()).ok_or(error)?;
            }
            // Before anything can be blanked in the cold one, the hot one must not come back.
            hot.sync_directory().inspect_err(|error| {
                self.fatal.failed(&format!("the journal's folder, after {name} was moved to the cold one: {error}"));
            })?;
            leftovers.lock().remove(&sealed.number());
            Ok(self.tiers.cold_file(name))
        })
    }

    fn is_there(&self) -> Result<(), MoveError> {
        if self.look() { Ok(()) } else { Err(MoveError::Away(self.tiers.folder.clone())) }
    }

    /// Does something with the cold folder or a file in it; who waits for that is seen to wait.
    fn cold<T>(&self, act: impl FnOnce(&dyn Medium) -> io::Result<T>) -> io::Result<T> {
        let done = self.tiers.pulse.working(|| act(self.tiers.cold.as_ref()));
        done.map_err(|error| ColdFault::of(&self.tiers.folder, error))
    }
}

fn prove(sealed: &Sealed, bytes: &[u8]) -> Result<(), MoveError> {
    let segment = || segment_name(sealed.number());
    sealed.check(bytes).map_err(|(offset, what)| MoveError::Damaged { segment: segment(), offset, what })
}
