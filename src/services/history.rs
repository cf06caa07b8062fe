//! History: the versions of a record, newest first, by walking back from frame to frame, and what changed in each.

use super::share::Unnoted;
use super::{ServiceError, Services, Standing};
use crate::model::difference::{self, Change};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::record::{Record, Status};
use crate::model::time::Timestamp;
use crate::store::journal::{Effect, Frame, Location};
use crate::store::rows::{LeafHash, RecordRow, leaf_hash};

/// The versions of one record.
#[derive(Clone, Debug)]
pub struct History {
    pub identifier: String,
    /// Only versions below the one that is there (a cursor, so perhaps forged).
    pub after: Option<Place>,
    pub limit: usize,
    /// Whether it is asked what changed in each version.
    pub changes: bool,
    /// The page ends early once the entries that it is made of have this many bytes.
    pub most_bytes: u64,
}

/// Where the last version of a page stands: the next page goes on from what its frame says of the version before it, so that
/// a page costs what it shows, however many versions are above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub version: u64,
    pub segment: u32,
    pub offset: u32,
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
    /// Who asked for it, as the journal has it; told to who sees all of the record.
    pub principal: Option<String>,
    /// The job (an import, a change in bulk, an undo) that it is a row of; told to the same.
    pub job: Option<String>,
    pub changes: Changes,
}

/// What changed in a version, as far as its asker may see it.
#[derive(Clone, Debug, PartialEq)]
pub enum Changes {
    NotAsked,
    /// It or the version before is erased: nobody can tell any more.
    Erased,
    Known(Vec<Change>),
}

/// A page of versions.
#[derive(Clone, Debug)]
pub struct Versions {
    pub identifier: String,
    pub versions: Vec<Version>,
    /// Ask on `after` this place.
    pub next: Option<Place>,
}

impl Services {
    pub fn history(&self, asked: &Permitted<History>) -> Result<Unnoted<Versions>, ServiceError> {
        let question = asked.request();
        let (sight, mut looks) = (self.sight(asked.principal())?, Vec::new());
        let identifier = self.identifier(&question.identifier)?;
        let unknown = || self.unknown(&question.identifier);
        self.told_of(Some(asked.principal()), &identifier)?;
        let standing = self.named(identifier.key())?.ok_or_else(unknown)?;
        self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
        let spelling = standing.record.identifier.spelling();
        let unread = |error| ServiceError::of_reading(spelling, error);
        let mut next = match &question.after {
            None => Some((standing.row.location, standing.row.index)),
            Some(place) => self.shown(place, &standing)?,
        };
        let principal = asked.principal();
        let mut seen = |frame: &Frame, index: u64| -> Result<Option<Record>, ServiceError> {
            let Some(record) = self.store.record_of(frame).map_err(unread)? else { return Ok(None) };
            let (record, by) = sight.seen(record, index);
            // Without what changed no value is told.
            looks.extend(by.into_iter().filter(|_| question.changes));
            Ok(Some(record))
        };
        let mut versions: Vec<Version> = Vec::new();
        let (mut last, mut newer, mut read_bytes) = (None, None, 0);
        while let Some((location, index)) = next
            && versions.len() < question.limit
            && read_bytes < question.most_bytes
        {
            read_bytes += u64::from(location.length);
            let frame = self.store.frame(location).map_err(|error| unread(error.into()))?;
            let record = seen(&frame, index)?;
            let version = frame.meta.version;
            if question.changes
                && let Some(above) = versions.last_mut()
            {
                above.changes = changes(Some(record.as_ref()), newer.as_ref());
            }
            let is_told = principal.sees_all_of(&standing.record);
            versions.push(Version {
                version,
                effect: frame.meta.effect,
                status: record.as_ref().map(|record| record.status),
                time: Timestamp::from_seconds(frame.meta.time).unwrap_or(Timestamp::EPOCH),
                index,
                leaf: leaf_hash(&frame.statement),
                principal: is_told.then(|| frame.meta.principal.clone()),
                job: frame.meta.job.filter(|_| is_told).map(|tag| tag.map(|byte| format!("{byte:02x}")).concat()),
                changes: Changes::NotAsked,
            });
            newer = record;
            last = Some(Place { version, segment: location.segment, offset: location.offset });
            next = before(&frame);
        }
        if question.changes
            && let Some(lowest) = versions.last_mut()
        {
            lowest.changes = match next {
                None => changes(None, newer.as_ref()),
                Some((location, index)) => {
                    let frame = self.store.frame(location).map_err(|error| unread(error.into()))?;
                    changes(Some(seen(&frame, index)?.as_ref()), newer.as_ref())
                }
            };
        }
        let page = Versions { identifier: spelling.to_owned(), versions, next: last.filter(|_| next.is_some()) };
        Ok(sight.unnoted(page, looks))
    }

    /// What stands before a version that a page has shown, if the place is what it says: an entry of this very
    /// identifier and version. Anything else is no cursor of ours.
    pub(super) fn shown(&self, place: &Place, standing: &Standing) -> Result<Option<(Location, u64)>, ServiceError> {
        // What is above the standing version may be in the journal, but is not committed yet.
        if place.version > standing.row.version {
            return Err(ServiceError::BadCursor);
        }
        let claimed = self.store.claimed_entry(place.segment, place.offset, place.version)?;
        let frame = claimed.ok_or(ServiceError::BadCursor)?;
        match self.store.record_of(&frame)? {
            Some(record) if record.identifier.key() == standing.record.identifier.key() => Ok(before(&frame)),
            _ => Err(ServiceError::BadCursor),
        }
    }

    /// The version that a frame states; `None` once it is erased.
    pub(super) fn version_at(
        &self,
        standing: &Standing,
        frame: &Frame,
        location: Location,
        index: u64,
    ) -> Result<Option<Standing>, ServiceError> {
        let unread = |error| ServiceError::of_reading(standing.record.identifier.spelling(), error);
        let Some(record) = self.store.record_of(frame).map_err(unread)? else {
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

/// What changed from the version before (`None`: there is none) to a version.
fn changes(before: Option<Option<&Record>>, after: Option<&Record>) -> Changes {
    match (before, after) {
        (None, Some(after)) => Changes::Known(difference::between(None, after)),
        (Some(Some(before)), Some(after)) => Changes::Known(difference::between(Some(before), after)),
        (_, None) | (Some(None), Some(_)) => Changes::Erased,
    }
}

/// Where the version before a frame stands, and its index.
pub(super) fn before(frame: &Frame) -> Option<(Location, u64)> {
    frame.meta.previous.map(|location| (location, frame.meta.previous_index))
}
