//! History: the versions of a record, newest first, by walking back from frame to frame.

use super::{ServiceError, Services, Standing};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::record::Status;
use crate::model::time::Timestamp;
use crate::store::journal::{Effect, Frame, Location};
use crate::store::rows::{LeafHash, RecordRow, leaf_hash};

/// The versions of one record.
#[derive(Clone, Debug)]
pub struct History {
    pub identifier: String,
    /// Only versions below this one (a cursor).
    pub before: Option<u64>,
    pub limit: usize,
}

impl Asks for History {
    const ACTION: Action = Action::Read;
}

/// One version.
#[derive(Clone, Debug)]
pub struct Version {
    pub version: u64,
    pub effect: Effect,
    /// Absent once erased.
    pub status: Option<Status>,
    pub time: Timestamp,
    /// Index of its statement in the registry tree.
    pub index: u64,
    pub leaf: LeafHash,
}

/// A page of versions.
#[derive(Clone, Debug)]
pub struct Versions {
    pub identifier: String,
    pub versions: Vec<Version>,
    /// Ask on with `before` this version.
    pub next: Option<u64>,
}

impl Services {
    pub fn history(&self, asked: &Permitted<History>) -> Result<Versions, ServiceError> {
        let question = asked.request();
        let identifier = self.identifier(&question.identifier)?;
        let unknown = || ServiceError::Unknown { identifier: question.identifier.clone() };
        let standing = self.named(identifier.key())?.ok_or_else(unknown)?;
        let mut versions = Vec::new();
        let mut place = Some((standing.row.location, standing.row.index));
        while let Some((location, index)) = place {
            let frame = self.store.frame(location)?;
            let version = frame.meta.version;
            if versions.len() == question.limit {
                return Ok(Versions {
                    identifier: standing.record.identifier.spelling().to_owned(),
                    next: Some(version + 1),
                    versions,
                });
            }
            place = frame.meta.previous.map(|location| (location, frame.meta.previous_index));
            if question.before.is_some_and(|before| version >= before) {
                continue;
            }
            let record = self.store.record_of(&frame)?;
            versions.push(Version {
                version,
                effect: frame.meta.effect,
                status: record.map(|record| record.status),
                time: Timestamp::from_seconds(frame.meta.time).unwrap_or(Timestamp::EPOCH),
                index,
                leaf: leaf_hash(&frame.statement),
            });
        }
        Ok(Versions { identifier: standing.record.identifier.spelling().to_owned(), versions, next: None })
    }

    /// The version that a frame states; `None` once it is erased.
    pub(super) fn version_at(
        &self,
        frame: &Frame,
        location: Location,
        index: u64,
    ) -> Result<Option<Standing>, ServiceError> {
        let Some(record) = self.store.record_of(frame)? else {
            return Ok(None);
        };
        let row = RecordRow {
            version: record.version,
            location,
            index,
            leaf: leaf_hash(&frame.statement),
            registered: frame.meta.registered,
            body: None,
        };
        Ok(Some(Standing { row, record }))
    }
}
