//! Resolve: from a name to its record, in one of three ways: hot (from the cache, no await), public, and with questions.

use std::time::Duration;

use bytes::Bytes;

use super::file::PrefixClosed;
use super::history::{Place, before};
use super::share::{Sight, Unnoted, View};
use super::{ServiceError, Services, Standing};
use crate::model::filter::is_of_type;
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::model::value::{Value, Visibility};
use crate::observe::laps::{Step, timed};
use crate::sign::entry;
use crate::store::cache::{Answer, Hit, Role, ViewClass};
use crate::store::journal::{Frame, Location};

/// A question about one name.
#[derive(Clone, Debug, Default)]
pub struct Resolve {
    /// Percent-decoded, in any input form.
    pub identifier: String,
    /// Types to show; one that ends in "." matches all that begin with it. With `indexes` empty too: all.
    pub types: Vec<String>,
    pub indexes: Vec<u32>,
    pub at: Option<At>,
    /// Look for that version below this place of the history (a cursor, so perhaps forged).
    pub below: Option<Place>,
    /// How many bytes of entries are read on the way back to a moment.
    pub most_bytes: u64,
    /// Whether the signed entry is wanted.
    pub entry: bool,
}

/// A reading that takes longer is no longer waited for: about what a cold row takes, for a worker waits with all its connections.
const LONGEST_FOLLOWED: Duration = Duration::from_millis(2);
/// Longer keys are made on the heap.
const COMMON_KEY_BYTES: usize = 128;

/// A moment in a record's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    Version(u64),
    Time(Timestamp),
}

impl Asks for Resolve {
    const ACTION: Action = Action::Read;
}

/// A record as its asker may see it.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// Without the values that are not for this asker.
    pub record: Record,
    /// The compact SD-JWT with the disclosures that are for this asker.
    pub entry: Option<String>,
    /// The statement's index in the registry tree.
    pub index: u64,
    /// Where its prefix, or that of the name that was asked, is closed, and is answered for all the same.
    pub suspended: Option<PrefixClosed>,
    /// Whose sight it is.
    pub view: View,
}

impl Resolution {
    /// Names what is told: an ETag's text, quotes included.
    #[must_use]
    pub fn etag(&self) -> String {
        let mut etag = format!("\"{}", self.record.version);
        if let Some(closed) = &self.suspended {
            etag.push_str(&format!("-{}-{}", closed.status.as_str(), closed.since.as_seconds()));
        }
        match &self.view {
            View::Public => {}
            View::Own => etag.push_str("-own"),
            View::SignedIn => etag.push_str("-signed-in"),
            View::Granted(id) => etag.push_str(&format!("-{}", id.map(|byte| format!("{byte:02x}")).concat())),
        }
        etag.push('"');
        etag
    }
}

impl Services {
    /// The cached public answer: no lock, no await, no look at the store. `None`: ask [`Services::resolve_public`].
    pub fn cached(&self, name: &CanonicalKey, now: Timestamp) -> Option<Answer> {
        self.cache.find(ViewClass::Public, name.as_str(), now.as_seconds())
    }

    /// Lends the cached public answer to the name that `text` spells to `take`, where it lies: nothing is counted up, and
    /// nothing allocated where the name is of the commonest kind.
    pub fn lend<T>(&self, text: &str, now: Timestamp, take: impl FnOnce(Hit<'_>) -> T) -> Option<T> {
        let now_ms = u64::try_from(now.as_seconds()).unwrap_or(0).saturating_mul(1_000);
        let mut room = [0; COMMON_KEY_BYTES];
        match self.prefixes.common_key(text, &mut room) {
            Some(key) => self.cache.read(ViewClass::Public, key, now_ms, take),
            None => self.cache.read(ViewClass::Public, self.identifier(text).ok()?.key().as_str(), now_ms, take),
        }
    }

    /// The public answer to a name that is sure not to stand: from memory, and not worth a place in the cache. Ask the cache
    /// first: what it has is answered at less cost.
    pub fn absent(&self, name: &CanonicalKey, now: Timestamp) -> Option<Answer> {
        // A mirror may be given its names later.
        let is_absent = self.mirror().is_none() && self.store.lacks(name) && !self.is_withheld(name);
        is_absent.then(|| self.negative(404, now))
    }

    /// The public answer, read from the store and put into the cache.
    pub fn resolve_public(&self, identifier: &Identifier, now: Timestamp) -> Result<Answer, ServiceError> {
        let name = identifier.key();
        // Before the store is read: a commit from here on makes this fill worthless, and it will not be served.
        let fill = self.cache.begin(name.as_str());
        let of_name = self.told_of(None, identifier)?;
        // Who misses the same name on another core has what the first reads and encodes.
        let leader = match self.cache.join(fill, ViewClass::Public, name.as_str()) {
            Role::Lead(leader) => Some(leader),
            Role::Follow(follower) => match follower.wait(LONGEST_FOLLOWED) {
                Some(answer) => return Ok(answer),
                None => None,
            },
        };
        let answer = match timed(Step::Store, || self.named(name))? {
            // Not kept: a mirror that is given a key later has it.
            None if self.mirror().is_some_and(|mirror| !mirror.is_granted) => {
                return Err(self.unknown(identifier.spelling()));
            }
            None => self.negative(404, now),
            Some(standing) if standing.record.is_tombstone() => self.negative(410, now),
            Some(standing) => {
                let resolution = self.public(standing, of_name)?;
                Answer {
                    status: 200,
                    etag: Bytes::from(resolution.etag()),
                    body: Bytes::from(timed(Step::Form, || self.encoder.encode(&resolution))),
                    cache_control: self.max_age(),
                    until: 0,
                }
            }
        };
        // A fill that is declined (the name is seldom asked for, a commit raced it) is no error: the answer is as good as any.
        let _ = timed(Step::Cache, || self.cache.fill(fill, ViewClass::Public, name.as_str(), &answer));
        if let Some(leader) = leader {
            leader.land(&answer);
        }
        Ok(answer)
    }

    /// The answer to a question with filters, a moment, or for the signed entry; or by who has shown something.
    pub fn resolve(&self, asked: &Permitted<Resolve>) -> Result<Unnoted<Resolution>, ServiceError> {
        let question = asked.request();
        let sight = self.sight(asked.principal())?;
        let identifier = self.identifier(&question.identifier)?;
        let of_name = self.told_of(Some(asked.principal()), &identifier)?;
        let unknown = || self.unknown(&question.identifier);
        let mut standing = timed(Step::Store, || self.named(identifier.key()))?.ok_or_else(unknown)?;
        if let Some(at) = question.at {
            standing = timed(Step::Store, || self.at(standing, at, question))?;
        }
        if standing.record.is_tombstone() {
            return Err(ServiceError::Gone { identifier: question.identifier.clone() });
        }
        let entry = if question.entry { Some(timed(Step::Store, || self.presented(&standing, &sight))?) } else { None };
        let of_record = self.told_under(Some(asked.principal()), standing.record.identifier.prefix())?;
        let (suspended, index) = (of_record.or(of_name), standing.row.index);
        // With its entry all that may be seen is shown, whatever is kept of it beside.
        if question.entry {
            let view = sight.view_of(&standing.record);
            let (mut record, looks) = sight.seen(standing.record, index);
            keep(&mut record, &question.types, &question.indexes);
            return Ok(sight.unnoted(Resolution { record, entry, index, suspended, view }, looks));
        }
        let mut record = standing.record;
        keep(&mut record, &question.types, &question.indexes);
        let view = sight.view_of(&record);
        let (record, looks) = sight.seen(record, index);
        Ok(sight.unnoted(Resolution { record, entry, index, suspended, view }, looks))
    }

    /// Walks back to the version that stood at a moment.
    pub(super) fn at(&self, standing: Standing, at: At, question: &Resolve) -> Result<Standing, ServiceError> {
        let none = || ServiceError::NoSuchVersion { identifier: standing.record.identifier.spelling().to_owned() };
        let fits = |version: u64, seconds: i64| match at {
            At::Version(wanted) => version == wanted,
            At::Time(time) => seconds <= time.as_seconds(),
        };
        if fits(standing.record.version, standing.record.updated.as_seconds()) {
            return Ok(standing);
        }
        if matches!(at, At::Version(wanted) if wanted == 0 || wanted > standing.record.version) {
            return Err(none());
        }
        // Many versions may lie between: each is read once, and only the one that is wanted is decoded.
        let mut next = match &question.below {
            None => Some((standing.row.location, standing.row.index)),
            Some(place) => self.shown(place, &standing)?,
        };
        let mut read_bytes = 0;
        while let Some((location, index)) = next {
            if read_bytes >= question.most_bytes {
                return Err(ServiceError::VersionFarBack { identifier: question.identifier.clone() });
            }
            read_bytes += u64::from(location.length);
            let frame = self.frame_of(&standing, location)?;
            if fits(frame.meta.version, frame.meta.time) {
                return self.version_at(&standing, &frame, location, index)?.ok_or_else(none);
            }
            next = before(&frame);
        }
        Err(none())
    }

    /// The signed entry with what the caller may see.
    pub(super) fn presented(&self, standing: &Standing, sight: &Sight<'_>) -> Result<String, ServiceError> {
        let frame = self.frame_of(standing, standing.row.location)?;
        let gone = || ServiceError::Gone { identifier: standing.record.identifier.spelling().to_owned() };
        let disclosures = frame.disclosures.ok_or_else(gone)?;
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes).map_err(|_| ServiceError::Internal("an entry is not text".to_owned()))
        };
        let on = sight.on(&standing.record);
        let shows = |value: Option<&Value>| on.shows(value);
        entry::present(&text(frame.statement)?, &text(disclosures)?, shows)
            .map_err(|cause| ServiceError::Internal(cause.to_owned()))
    }

    /// A frame of this record.
    fn frame_of(&self, standing: &Standing, location: Location) -> Result<Frame, ServiceError> {
        let unread = |error| ServiceError::of_reading(standing.record.identifier.spelling(), error);
        self.store.frame(location).map_err(|error| unread(error.into()))
    }

    /// What everybody may see.
    fn public(&self, standing: Standing, of_name: Option<PrefixClosed>) -> Result<Resolution, ServiceError> {
        let mut record = standing.record;
        let suspended = self.told_under(None, record.identifier.prefix())?.or(of_name);
        record.values.retain(|value| value.visibility == Visibility::Public);
        Ok(Resolution { record, entry: None, index: standing.row.index, suspended, view: View::Public })
    }

    fn negative(&self, status: u16, now: Timestamp) -> Answer {
        let seconds = self.settings.negative_seconds;
        let cache_control = Bytes::from(format!("public, max-age={seconds}"));
        Answer { until: now.as_seconds() + i64::from(seconds), ..Answer::nothing(status, cache_control) }
    }

    fn max_age(&self) -> Bytes {
        Bytes::from(format!("public, max-age={}", self.settings.max_age_seconds))
    }
}

/// Keeps the values of these types or indexes, as Handle resolution does: an index or a type is enough.
fn keep(record: &mut Record, types: &[String], indexes: &[u32]) {
    if types.is_empty() && indexes.is_empty() {
        return;
    }
    record
        .values
        .retain(|value| indexes.contains(&value.index) || types.iter().any(|wanted| is_of_type(&value.r#type, wanted)));
}
