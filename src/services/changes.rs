//! The registry's leaves in their order, with what they hide: for a mirror of our own, for administrators only.
//!
//! Only what the newest signed head covers: who follows this and the published log sees one and the same. Erased disclosures
//! are gone, and nothing here brings them back.

use super::log::{rotten, unread};
use super::{ServiceError, Services};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::time::Timestamp;
use crate::sign::jws;
use crate::store::journal::FrameKind;
use crate::store::journal::sequences::Counted;
use crate::store::rows::leaf_hash;
use crate::store::trees::Tree;

/// The most leaves that are read at once.
const STEP_LEAVES: u64 = 256;
/// No more leaves are read at once after so many bytes.
const STEP_BYTES: u64 = 1 << 20;

/// The leaves from an index on.
#[derive(Clone, Copy, Debug)]
pub struct ReadChanges {
    pub from: u64,
}

impl Asks for ReadChanges {
    const ACTION: Action = Action::Administer;
}

/// One leaf of the registry.
#[derive(Clone, Debug)]
pub struct Change {
    pub index: u64,
    /// Of its frame in the journal.
    pub sequence: u64,
    pub kind: FrameKind,
    /// The `typ` of its statement.
    pub typ: String,
    /// The leaf, byte for byte.
    pub statement: String,
    /// Joined by "~"; absent once erased, and where the kind hides nothing.
    pub disclosures: Option<String>,
    /// Of an entry: the record's version, and when its first was registered.
    pub version: Option<u64>,
    pub registered: Option<Timestamp>,
    /// Of an erasure: the index of what it erases.
    pub erases: Option<u64>,
    /// Of an entry after its first: the index of the version before.
    pub follows: Option<u64>,
    pub updated: Timestamp,
}

/// How far a reader has come.
#[derive(Debug)]
pub struct Reading {
    /// The index that is read next.
    pub next: u64,
    near: Option<Counted>,
}

impl Reading {
    #[must_use]
    pub fn from(index: u64) -> Reading {
        Reading { next: index, near: None }
    }
}

impl Services {
    /// The size of the newest head. Whoever has more than that followed another log, or a head that is lost.
    pub fn changes_end(&self, asked: &Permitted<ReadChanges>) -> Result<u64, ServiceError> {
        // What a mirror was not given would look here as if it had been erased.
        self.writes()?;
        let size = self.heads()?.head(Tree::Registry).size;
        if asked.request().from > size { Err(ServiceError::NotInLog) } else { Ok(size) }
    }

    /// Some leaves from where the reader stands, at least one while there are any before `until`. Reads the disk.
    pub fn changes(
        &self,
        _asked: &Permitted<ReadChanges>,
        reading: &mut Reading,
        until: u64,
    ) -> Result<Vec<Change>, ServiceError> {
        let count = until.saturating_sub(reading.next).min(STEP_LEAVES);
        let reader = self.store.trees().reader(Tree::Registry);
        let places = reader.places(reading.next, count).map_err(unread)?;
        let leaves = reader.row(0, reading.next..reading.next + places.len() as u64).map_err(unread)?;
        let (mut changes, mut bytes) = (Vec::with_capacity(places.len()), 0);
        for (place, leaf) in places.into_iter().zip(leaves) {
            if bytes >= STEP_BYTES {
                break;
            }
            bytes += u64::from(place.length);
            let sequence = self.store.sequence(place, &mut reading.near)?;
            let frame = self.store.frame(place)?;
            if leaf_hash(&frame.statement) != leaf {
                return Err(rotten("a statement in the journal, or its place in the tree"));
            }
            let is_entry = frame.kind == FrameKind::Entry;
            let time = |seconds| Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH);
            changes.push(Change {
                index: reading.next,
                sequence,
                kind: frame.kind,
                typ: jws::type_of(&frame.statement).map_err(ServiceError::Internal)?,
                statement: text(frame.statement)?,
                disclosures: frame.disclosures.filter(|hidden| !hidden.is_empty()).map(text).transpose()?,
                version: is_entry.then_some(frame.meta.version),
                registered: is_entry.then(|| time(frame.meta.registered)),
                erases: frame
                    .meta
                    .previous
                    .filter(|_| frame.kind == FrameKind::Erasure)
                    .map(|_| frame.meta.previous_index),
                follows: frame.meta.previous.filter(|_| is_entry).map(|_| frame.meta.previous_index),
                updated: time(frame.meta.time),
            });
            reading.next += 1;
        }
        Ok(changes)
    }
}

fn text(bytes: Vec<u8>) -> Result<String, ServiceError> {
    String::from_utf8(bytes).map_err(|_| rotten("a statement that is no text"))
}
