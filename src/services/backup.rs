//! The log, for a copy of it: where it ends, its segments' bytes, and that a copy was made.
//!
//! What leaves here is the journal with everything hidden in it, for administrators only; no key ever does. Erased
//! disclosures are blank.

use super::{ServiceError, Services};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::time::Timestamp;
use crate::store::backup::{LastBackup, save_last};
use crate::store::journal::Tail;

/// The most bytes that are read at once.
pub const PIECE_BYTES: u64 = 1 << 20;

/// Where does the log end?
#[derive(Clone, Copy, Debug)]
pub struct ReadLogEnd;

impl Asks for ReadLogEnd {
    const ACTION: Action = Action::Administer;
}

/// Bytes of a segment's file.
#[derive(Clone, Copy, Debug)]
pub struct ReadSegment {
    pub number: u32,
    pub from: u64,
    /// `None`: as far as there is something.
    pub until: Option<u64>,
}

impl Asks for ReadSegment {
    const ACTION: Action = Action::Administer;
}

/// A backup was made, read back and published.
#[derive(Clone, Copy, Debug)]
pub struct NoteBackup {
    pub sequence: u64,
    pub bytes: u64,
}

impl Asks for NoteBackup {
    const ACTION: Action = Action::Administer;
}

impl Services {
    /// Everything that was acknowledged before this was asked is below.
    pub fn log_end(&self, _asked: &Permitted<ReadLogEnd>) -> Tail {
        self.store.tail()
    }

    /// The part of a segment that was asked for, cut to what is there: from and until.
    pub fn segment_range(&self, asked: &Permitted<ReadSegment>) -> Result<(u64, u64), ServiceError> {
        let ReadSegment { number, from, until } = *asked.request();
        let missing = || ServiceError::NotFound { what: "segment", name: number.to_string() };
        let end = self.store.segment_end(number).ok_or_else(missing)?;
        let until = until.unwrap_or(end).min(end);
        Ok((from.min(until), until))
    }

    /// A piece of it, at most [`PIECE_BYTES`]. Reads the disk.
    pub fn segment_piece(
        &self,
        asked: &Permitted<ReadSegment>,
        from: u64,
        until: u64,
    ) -> Result<Vec<u8>, ServiceError> {
        let until = until.min(from.saturating_add(PIECE_BYTES));
        Ok(self.store.segment_bytes(asked.request().number, from, until)?)
    }

    /// Remembers that a backup was made. One that claims more than there is was not made of this log.
    pub fn note_backup(&self, asked: &Permitted<NoteBackup>) -> Result<LastBackup, ServiceError> {
        let NoteBackup { sequence, bytes } = *asked.request();
        let last = LastBackup { time: Timestamp::now(), sequence: sequence.min(self.store.tail().sequence), bytes };
        save_last(&self.settings.data_folder, &last)
            .map_err(|error| ServiceError::Internal(format!("the last backup could not be noted: {error}")))?;
        Ok(last)
    }
}
