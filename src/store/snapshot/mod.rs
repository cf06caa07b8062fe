//! Snapshots: the rows in a file of our own, so that an opening after a power cut need not make all of them anew.
//!
//! A power cut may destroy sled's files, and what it leaves of them must be scanned row by row. A snapshot is finished,
//! fsynced and renamed before anybody relies on it, so it is whole. It is taken while writing goes on: it names the place in
//! the journal where it was begun, and may hold rows that are newer. A replay from that place ends in the right rows all
//! the same, because every row is a function of the last frame that touches it; the set hash proves it ([`super::rows`]).
//! The rows are not copied into sled again: the snapshot becomes the lower layer of the record store, and sled holds what
//! has changed since the start that began with one ([`layered`]).
//!
//! - `file`: the bytes. `layered`: an engine above one. `keeper`: when one is taken, and which are removed.
//!
//! Never needed: a snapshot that is missing, damaged, or older than an erasure costs a replay of the whole journal.

pub mod file;
mod keeper;
pub mod layered;

use std::io;

use serde::Serialize;

pub use self::file::{Head, Rows};
pub(super) use self::keeper::SnapshotKeeper;
pub use self::keeper::{ROWS_A_DUE_FRAME, SnapshotError};
pub use self::layered::Layered;
use super::engine::Mark;
use super::medium::Medium;

const SUFFIX: &str = ".rows";
const HALF_MADE: &str = ".rows.new";
/// A frame takes as long to replay as so many rows to be scanned (docs/decisions.md, "A snapshot").
const ROWS_SCANNED_A_FRAME: u64 = 20;

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

fn name_of(number: u64) -> String {
    format!("{number:020}{SUFFIX}")
}

fn half_made_name_of(number: u64) -> String {
    format!("{number:020}{HALF_MADE}")
}

/// The snapshots that open, newest first; what does not is told, and passed over.
fn all(medium: &dyn Medium) -> impl Iterator<Item = Rows> {
    let names = names(medium);
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(SUFFIX).and_then(|number| number.parse().ok())).collect();
    numbers.sort_unstable();
    numbers.into_iter().rev().filter_map(move |number| {
        Rows::open(medium, number)
            .inspect_err(|error| tracing::warn!(number, %error, "the snapshot does not open and is passed over"))
            .ok()
    })
}

/// The newest snapshot that opens.
pub fn newest(medium: &dyn Medium) -> Option<Rows> {
    all(medium).next()
}

/// Whether a replay over the newest snapshot is sooner done than a scan of all rows, which proves them where they survived.
pub fn is_sooner_than_a_scan(medium: &dyn Medium, durable_sequence: u64) -> bool {
    newest(medium).is_some_and(|rows| {
        let behind = durable_sequence.saturating_sub(rows.number());
        behind.saturating_mul(ROWS_SCANNED_A_FRAME) <= rows.head.rows
    })
}

/// The newest snapshot with every block of it checked; what is damaged is removed. None where it is so far behind that
/// the journal is replayed nearly as soon.
pub fn sound(medium: &dyn Medium, durable_sequence: u64) -> Option<(Rows, Mark)> {
    for rows in all(medium) {
        if durable_sequence.saturating_sub(rows.number()) > rows.number() {
            return None;
        }
        match rows.verify() {
            Ok(()) => match rows.head.mark() {
                Some(mark) => return Some((rows, mark)),
                None => tracing::warn!(number = rows.number(), "the snapshot is another version's: it is not used"),
            },
            Err(error) => {
                tracing::warn!(number = rows.number(), %error, "the snapshot is damaged: it is not used");
                if error.kind() == io::ErrorKind::InvalidData {
                    remove(medium, &name_of(rows.number()));
                }
            }
        }
    }
    None
}

/// Removes every snapshot but those named, and what is half made. What cannot be removed, or not even found, is told.
pub fn remove_others(medium: &dyn Medium, kept: &[u64]) {
    let kept: Vec<String> = kept.iter().map(|number| name_of(*number)).collect();
    for name in names(medium) {
        if (is_snapshot(&name) && !kept.contains(&name)) || name.ends_with(HALF_MADE) {
            remove(medium, &name);
        }
    }
}

/// Removes what a crash has left half made.
pub fn remove_half_made(medium: &dyn Medium) {
    names(medium).iter().filter(|name| name.ends_with(HALF_MADE)).for_each(|name| remove(medium, name));
}

fn names(medium: &dyn Medium) -> Vec<String> {
    let listed = medium.list();
    listed
        .inspect_err(|error| tracing::error!(%error, "the snapshots cannot be listed: old ones stay, which may say what was erased since"))
        .unwrap_or_default()
}

fn remove(medium: &dyn Medium, name: &str) {
    if let Err(error) = medium.remove(name)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(name, %error, "an old snapshot could not be removed");
    }
}
