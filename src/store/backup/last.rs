//! When the last backup of a node succeeded: a small file in its data folder, for the metrics and for an alert.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;
use crate::store::medium::{self, Disk};

const LAST_FILE: &str = "last-backup";
const LAST_LIMIT_BYTES: u64 = 4096;

/// The last backup that was written, read back and published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LastBackup {
    /// When it ended.
    pub time: Timestamp,
    /// Frames below this sequence are in it.
    pub sequence: u64,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// What the data folder says. One that does not read is as good as none: an alert fires.
#[must_use]
pub fn load_last(data: &Path) -> Option<LastBackup> {
    let bytes = medium::read_whole(&Disk::existing(data), LAST_FILE, LAST_LIMIT_BYTES).ok()??;
    serde_json::from_slice(&bytes).ok()
}

/// Notes a backup in the data folder.
pub fn save_last(data: &Path, last: &LastBackup) -> std::io::Result<()> {
    medium::replace(&Disk::existing(data), LAST_FILE, &serde_json::to_vec(last)?)
}
