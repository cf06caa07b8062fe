//! Checkpoints: the file that lets an opening begin near the end of the journal, and the thread that moves it along.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::RecvTimeoutError;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::journal::Tail;
use super::medium::{self, Medium};
use super::open::OpenError;

const CHECKPOINT_FILE: &str = "checkpoint";
const CHECKPOINT_LIMIT_BYTES: u64 = 64 * 1024;

/// The file that lets an opening begin near the end of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    pub tail: Tail,
    /// The record store was complete and durable up to the tail, and nothing was written after.
    pub clean: bool,
    /// The mount that the writing process saw ([`session`]).
    pub session: Option<String>,
}

/// The thread that moves the checkpoint along.
pub(super) struct CheckpointKeeper {
    pub engine: Arc<dyn Engine>,
    pub medium: Arc<dyn Medium>,
    pub settled: Arc<Mutex<Tail>>,
    /// The place of the last checkpoint.
    pub saved: Tail,
    pub session: Option<String>,
    pub interval: Duration,
    /// Set once a `persist` has failed: this process never calls the record store clean again.
    pub doubted: Arc<AtomicBool>,
}

impl CheckpointKeeper {
    pub fn run(mut self, stop: &crossbeam_channel::Receiver<()>) {
        let mut due = Instant::now() + self.interval;
        while let Err(RecvTimeoutError::Timeout) = stop.recv_timeout(self.interval.min(Duration::from_secs(1))) {
            self.tell_doubt();
            let tail = *self.settled.lock();
            if Instant::now() < due || tail.sequence == self.saved.sequence {
                continue;
            }
            due = Instant::now() + self.interval;
            let done = self.engine.persist().map_err(OpenError::from);
            match done.and_then(|()| {
                save(self.medium.as_ref(), &Checkpoint { tail, clean: false, session: self.session.clone() })
            }) {
                Ok(()) => self.saved = tail,
                Err(error) => {
                    tracing::warn!(%error, "no checkpoint: the next start replays from the one before, and checks every row");
                    // The kernel may have dropped what it could not write, and will not say so again: from now on the
                    // rows are believed after a check only, even if no power was cut.
                    self.doubted.store(true, Ordering::Release);
                    self.tell_doubt();
                }
            }
        }
        self.tell_doubt();
    }

    /// Where the rows are in doubt, whoever saw it, the next opening must not take a kill for an excuse.
    fn tell_doubt(&mut self) {
        if self.doubted.load(Ordering::Acquire) && self.session.take().is_some() {
            let _ = doubt(self.medium.as_ref(), &Checkpoint { tail: self.saved, clean: false, session: None });
        }
    }
}

/// Names the running kernel, the mount that a folder is on, and the folder, as they will never be named again. While all
/// are the same, every byte that any process wrote is still in the kernel's hands: there was no power cut. `None` where
/// the kernel cannot tell (before Linux 6.8).
pub(super) fn session(folder: &Path) -> Option<String> {
    /// STATX_MNT_ID_UNIQUE, statx(2).
    const UNIQUE_MOUNT: rustix::fs::StatxFlags = rustix::fs::StatxFlags::from_bits_retain(0x4000);
    let wanted = UNIQUE_MOUNT | rustix::fs::StatxFlags::INO;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let found = rustix::fs::statx(rustix::fs::CWD, folder, rustix::fs::AtFlags::empty(), wanted).ok()?;
    // A copy that was taken of a running node's folder is another folder: its rows are not what a kill leaves.
    let journal = std::fs::metadata(folder.join("journal")).map_or(0, |journal| journal.ino());
    let known = found.stx_mask & UNIQUE_MOUNT.bits() != 0;
    known.then(|| format!("{}/{}/{}/{journal}", boot.trim(), found.stx_mnt_id, found.stx_ino))
}

/// The checkpoint, if there is one that reads; without it the whole journal is scanned.
pub(super) fn load(medium: &dyn Medium) -> Option<Checkpoint> {
    match medium::read_checked(medium, CHECKPOINT_FILE, CHECKPOINT_LIMIT_BYTES) {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            tracing::warn!(%error, "the checkpoint file is damaged: the whole journal is scanned");
            None
        }
    }
}

/// Takes the checkpoint away: the next opening scans everything.
pub(super) fn forget(medium: &dyn Medium) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { action: "remove", path: PathBuf::from(CHECKPOINT_FILE), source };
    match medium.remove(CHECKPOINT_FILE) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(error)),
        _ => medium.sync_directory().map_err(io),
    }
}

/// Takes back what the last checkpoint says of the record store; its place stays.
///
/// On a disk without a free block the whole checkpoint goes: removing needs none, and the next opening scans everything.
pub(super) fn doubt(medium: &dyn Medium, checkpoint: &Checkpoint) -> Result<(), OpenError> {
    match save(medium, checkpoint) {
        Err(OpenError::Io { source, .. }) if medium::is_full(&source) => {
            tracing::warn!(
                "no room for a checkpoint: the old one is removed, and the next start reads the whole journal"
            );
            forget(medium)
        }
        done => done,
    }
}

pub(super) fn save(medium: &dyn Medium, checkpoint: &Checkpoint) -> Result<(), OpenError> {
    let io = |source| OpenError::Io { action: "write", path: PathBuf::from(CHECKPOINT_FILE), source };
    medium::replace_checked(medium, CHECKPOINT_FILE, checkpoint).map_err(io)
}
