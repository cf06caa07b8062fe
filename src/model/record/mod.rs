//! The record: what the registry says of one identifier, at one version.
//!
//! Not an entry: signing it is the sign stage's, and history is the journal's. A row is its form inside the store.

mod row;
mod status;
#[cfg(test)]
mod tests;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::alias::Alias;
use super::draft::Draft;
use super::identifier::Identifier;
use super::link::Link;
use super::time::Timestamp;
use super::value::Value;

pub use row::RowError;
pub use status::Status;

#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub identifier: Identifier,
    /// From 1, without gaps.
    pub version: u64,
    pub status: Status,
    pub template: Option<String>,
    /// Sorted by index; no index occurs twice.
    pub values: Vec<Value>,
    pub links: Vec<Link>,
    pub aliases: Vec<Alias>,
    pub registrant: Option<String>,
    pub registered: Timestamp,
    pub updated: Timestamp,
}

impl Record {
    /// The first version. A draft without a status begins active.
    #[must_use]
    pub fn first(identifier: Identifier, draft: Draft, now: Timestamp) -> Self {
        Self {
            identifier,
            version: 1,
            status: draft.status.unwrap_or(Status::Active),
            template: draft.template,
            values: draft.values,
            links: draft.links,
            aliases: draft.aliases,
            registrant: draft.registrant,
            registered: now,
            updated: now,
        }
    }

    /// The next version, with the draft's content in place of this one's. A draft without a status keeps it.
    /// Whether the life cycle allows it is asked of [`Status::may_become`].
    #[must_use]
    pub fn next(&self, draft: Draft, now: Timestamp) -> Self {
        Self {
            identifier: self.identifier.clone(),
            version: self.version.saturating_add(1),
            status: draft.status.unwrap_or(self.status),
            registered: self.registered,
            ..Self::first(self.identifier.clone(), draft, now)
        }
    }

    /// The last version: the name stays taken for ever, its content is gone.
    #[must_use]
    pub fn tombstone(&self, now: Timestamp) -> Self {
        Self {
            identifier: self.identifier.clone(),
            version: self.version.saturating_add(1),
            status: Status::Deleted,
            template: None,
            values: Vec::new(),
            links: Vec::new(),
            // A label that is still out there answers "gone", and its code is given to nothing else.
            aliases: self.aliases.clone(),
            registrant: self.registrant.clone(),
            registered: self.registered,
            updated: now,
        }
    }

    #[must_use]
    pub fn is_tombstone(&self) -> bool {
        self.status == Status::Deleted
    }

    /// Whether it was registered by mistake and taken back: retired, and nothing is said of it. An import may register it as
    /// if it were new.
    #[must_use]
    pub fn is_taken_back(&self) -> bool {
        self.status == Status::Retired
            && self.values.is_empty()
            && self.links.is_empty()
            && self.aliases.is_empty()
            && self.template.is_none()
    }

    /// Its content as a draft, from which a patch makes the next one.
    #[must_use]
    pub fn to_draft(&self) -> Draft {
        Draft {
            status: Some(self.status),
            template: self.template.clone(),
            values: self.values.clone(),
            links: self.links.clone(),
            aliases: self.aliases.clone(),
            registrant: self.registrant.clone(),
            owner_jws: None,
        }
    }

    #[must_use]
    pub fn value(&self, index: u32) -> Option<&Value> {
        self.values.binary_search_by_key(&index, |value| value.index).ok().and_then(|at| self.values.get(at))
    }

    /// The store's form: compact JSON, the same bytes for equal records.
    #[must_use]
    pub fn to_row(&self) -> Vec<u8> {
        row::write(self)
    }

    /// Bytes that the store's form has at least: what it has in any case, without writing it.
    #[must_use]
    pub fn row_bytes_at_least(&self) -> usize {
        // Of a record without content, and of a value besides its texts: names, quotes, brackets, one digit a number.
        const RECORD_BYTES: usize = 32;
        const VALUE_BYTES: usize = 24;
        let values = self.values.iter();
        let values = values.map(|value| VALUE_BYTES + value.r#type.len() + value.data.row_bytes_at_least());
        RECORD_BYTES + self.identifier.spelling().len() + values.sum::<usize>()
    }

    /// # Errors
    /// Bytes that [`Record::to_row`] did not write.
    pub fn from_row(bytes: &[u8]) -> Result<Self, RowError> {
        row::read(bytes)
    }
}

/// The body of a resolution, every value included: whoever answers strangers filters by visibility first.
impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("identifier", &self.identifier)?;
        object.serialize_entry("version", &self.version)?;
        object.serialize_entry("status", self.status.as_str())?;
        if let Some(template) = &self.template {
            object.serialize_entry("template", template)?;
        }
        object.serialize_entry("values", &self.values)?;
        object.serialize_entry("links", &self.links)?;
        object.serialize_entry("aliases", &self.aliases)?;
        if let Some(registrant) = &self.registrant {
            object.serialize_entry("registrant", registrant)?;
        }
        object.serialize_entry("registered", &self.registered)?;
        object.serialize_entry("updated", &self.updated)?;
        object.end()
    }
}
