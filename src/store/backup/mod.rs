//! Backup and restore: the journal in another folder, whole, proven, and kept up to date by what is new.
//!
//! ```text
//! DEST/manifest          what is there, to which place of the log; replaced at once, last of all
//! DEST/0000000001.journal.GENERATION   the used bytes of one segment, plain or encrypted
//! DEST/keys.GENERATION   the node's private keys, where they were asked for
//! ```
//! A backup holds a prefix of the log, up to a place that was durable. All but the journal and the keys is derived. No file
//! that a manifest names is ever written to: a run writes new files, reads them back, publishes a manifest that names them and
//! only then takes the old ones away. So a run that is cut short at any byte leaves the backup as it was.
//!
//! - `folder`: the files. `manifest`: what they are. `cipher`: how they are encrypted.
//! - `take`: a run. `verify`: is it still whole? `restore`: a data folder from it, to its end or to a moment.
//! - `last`: when the last run succeeded. `error`: what can go wrong.

mod cipher;
mod error;
mod folder;
mod last;
mod manifest;
mod restore;
mod take;
mod verify;

pub use self::cipher::BackupKey;
pub use self::error::{BackupError, Damage, SourceError};
pub use self::last::{LastBackup, load_last, save_last};
pub use self::manifest::{Head, Manifest};
pub use self::restore::{Moment, Restore, RestoreDone, restore};
pub use self::take::{OfflineSource, Source, Take, TakeDone, take};
pub use self::verify::{Verified, verify};

use super::journal::FrameKind;

/// How far long work has come: bytes done, and of how many (0: not known).
pub type Watch<'w> = &'w mut dyn FnMut(u64, u64);

/// What a statement says of the log's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// The log has this origin from here on.
    Origin(String),
    /// Who issues; the origin of a log that never took another.
    Issuer(String),
}

/// What this stage asks of the one above it: to read what that one has signed.
pub trait ReadLog {
    /// What a statement says of the log's name.
    fn naming(&self, statement: &[u8]) -> Option<Naming>;
    /// Whether a frame takes something away for good (an erasure, the revocation of a key). Such frames are kept even where
    /// a restore goes back to a moment before them.
    fn takes_away(&self, kind: FrameKind, statement: &[u8]) -> bool;
}

/// A file that belongs to the node's keys.
pub struct KeyFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
