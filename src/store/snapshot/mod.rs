//! Snapshots: the rows in a file of our own, so that an opening after a power cut need not make all of them anew.
//!
//! A power cut may destroy sled's files, and what it leaves of them must be scanned row by row. A snapshot is finished,
//! fsynced and renamed before anybody relies on it, so it is whole. It is taken while writing goes on: it names the place in
//! the journal where it was begun, and may hold rows that are newer. A replay from that place ends in the right rows all
//! the same, because every row is a function of the last frame that touches it; the set hash proves it ([`super::rows`]).
//! The rows are not copied into sled again: the snapshot becomes the lower layer of the record store, and sled holds what
//! has changed since ([`layered`]).
//!
//! - `file`: the bytes. `layered`: an engine above one. `keeper`: when one is taken, and which are removed.
//!
//! Never needed: a snapshot that is missing, damaged, or older than an erasure costs a replay of the whole journal.

pub mod file;
mod keeper;
pub mod layered;

use std::io;
use std::sync::Arc;

use serde::Serialize;

pub use self::file::{Head, Rows};
pub use self::keeper::SnapshotError;
pub(super) use self::keeper::SnapshotKeeper;
pub use self::layered::Layered;
use super::engine::{Engine, EngineError, Mark};
use super::medium::Medium;

const SUFFIX: &str = ".rows";
const HALF_MADE: &str = ".rows.new";

/// The last snapshot, for whoever watches the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SnapshotState {
    /// When it was begun, epoch seconds.
    pub time: i64,
    pub rows: u64,
    pub bytes: u64,
    /// The journal's sequence from which an opening would replay.
    pub sequence: u64,
}

impl SnapshotState {
    pub fn of(rows: &Rows) -> SnapshotState {
        SnapshotState {
            time: rows.head.time,
            rows: rows.head.rows,
            bytes: rows.bytes,
            sequence: rows.head.tail.sequence,
        }
    }
}

/// Whether a file of the journal's folder is a snapshot.
pub fn is_snapshot(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

/// The newest snapshot that opens; what does not is told, and passed over.
pub fn newest(medium: &dyn Medium) -> Option<Rows> {
    let mut names: Vec<String> = medium.list().ok()?.into_iter().filter(|name| is_snapshot(name)).collect();
    names.sort_unstable();
    names.into_iter().rev().find_map(|name| match Rows::open(medium, &name) {
        Ok(rows) => Some(rows),
        Err(error) => {
            tracing::warn!(name, %error, "the snapshot does not open and is passed over");
            None
        }
    })
}

/// The snapshot to begin with after a power cut, every block of it checked. None where it is so far behind that the
/// journal is replayed nearly as soon.
pub fn sound(medium: &dyn Medium, durable_sequence: u64) -> Option<(Rows, Mark)> {
    let rows = newest(medium)?;
    let sequence = rows.head.tail.sequence;
    if durable_sequence.saturating_sub(sequence) > sequence {
        return None;
    }
    let mark = rows.head.mark();
    match rows.verify() {
        Ok(()) => mark.map(|mark| (rows, mark)),
        Err(error) => {
            tracing::warn!(name = rows.name, %error, "the snapshot is damaged: it is not used");
            if error.kind() == io::ErrorKind::InvalidData {
                remove_others(medium, &[]);
            }
            None
        }
    }
}

/// Removes every snapshot but those named, and what is half made. What cannot be removed is told.
pub fn remove_others(medium: &dyn Medium, kept: &[&str]) {
    let Ok(names) = medium.list() else {
        return;
    };
    for name in names {
        if (is_snapshot(&name) || name.ends_with(HALF_MADE))
            && !kept.contains(&name.as_str())
            && let Err(error) = medium.remove(&name)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(name, %error, "an old snapshot could not be removed");
        }
    }
}

/// An engine as it was left, and its mark.
pub(super) fn reopen(above: Arc<dyn Engine>, medium: &dyn Medium) -> Result<(Layered, Option<Mark>), EngineError> {
    let engine = Layered::reopen(above, medium)?;
    let mark = engine.mark()?;
    Ok((engine, mark))
}
