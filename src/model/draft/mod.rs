//! What a caller asks to have registered: the content of a record, without identifier, version and times.
//!
//! Reads the JSON of PUT and POST; a change to part of a record is a [`DraftPatch`]. Whether a template, a quota or the life
//! cycle allows the content is asked later; that it is well formed, complete and within the limits is decided here.

mod patch;
mod plain;
mod stated;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::alias::Alias;
use super::field::{Complaints, Place};
use super::link::Link;
use super::prefix::Prefixes;
use super::record::Status;
use super::text::Text;
use super::time::Timestamp;
use super::value::{Value, ValueFields};

pub use super::field::FieldError;
pub use patch::{DraftPatch, ValueChange};
pub use plain::{PLAIN_DEPTH, PlainDraft, PlainRow};

/// A template's name and version: applications assume 128 bytes for the version.
pub(crate) const MAX_TEMPLATE_BYTES: usize = 255;
pub(crate) const MAX_REGISTRANT_BYTES: usize = 255;
/// Of an owner's signature: an identifier of 2,048 bytes, escaped and in base64, has room.
pub const MAX_OWNER_JWS_BYTES: usize = 16 * 1024;
pub(crate) const MEMBERS: [&str; 7] = ["status", "template", "values", "links", "aliases", "registrant", "owner_jws"];

/// How much one record may hold, and what it may not hold twice.
#[derive(Clone, Debug)]
pub struct DraftLimits {
    /// Every value is one digest of the signed statement, which holds at most 1,000 with its other members and decoys.
    pub max_values: usize,
    /// Of the data of one value, see [`super::value::Data::weight_bytes`].
    pub max_value_bytes: usize,
    /// Of the data of all values together: patches must not grow a record past what one request could send.
    pub max_record_bytes: usize,
    pub max_links: usize,
    pub max_aliases: usize,
    /// Whose policies say which aliases are the same.
    pub prefixes: Arc<Prefixes>,
}

impl Default for DraftLimits {
    fn default() -> Self {
        Self {
            max_values: 900,
            max_value_bytes: 60 * 1024,
            max_record_bytes: 1 << 20,
            max_links: 256,
            max_aliases: 64,
            prefixes: Arc::default(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    pub status: Option<Status>,
    pub template: Option<String>,
    /// Sorted by index; no index occurs twice.
    pub values: Vec<Value>,
    pub links: Vec<Link>,
    /// No key occurs twice.
    pub aliases: Vec<Alias>,
    pub registrant: Option<String>,
    /// The owner's own signature over this content, a compact JWS. It is kept with the entry and is no part of the record.
    pub owner_jws: Option<String>,
}

impl Draft {
    /// Within the default limits; values without a timestamp get `now`.
    ///
    /// # Errors
    /// Every field that is wrong, missing or unknown, up to a hundred.
    pub fn from_json(json: &Json, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        Self::from_json_within(json, now, &DraftLimits::default())
    }

    /// # Errors
    /// As [`Draft::from_json`].
    pub fn from_json_within(json: &Json, now: Timestamp, limits: &DraftLimits) -> Result<Self, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let draft = Self::read(json, now, limits, &mut complaints);
        complaints.or(draft)
    }

    fn read(json: &Json, now: Timestamp, limits: &DraftLimits, complaints: &mut Complaints) -> Option<Self> {
        let object = complaints.object(json, &Place::Root)?;
        complaints.refuse_others(object, &MEMBERS, &Place::Root);
        let status = read_status(object, complaints);
        let template = complaints.optional_line(object, "template", &Place::Root, MAX_TEMPLATE_BYTES);
        let registrant = complaints.optional_line(object, "registrant", &Place::Root, MAX_REGISTRANT_BYTES);
        let values = read_values(object, now, limits, complaints);
        let links = read_links(object, limits, complaints);
        let aliases = read_aliases(object, limits, complaints);
        let owner_jws = complaints.optional_line(object, "owner_jws", &Place::Root, MAX_OWNER_JWS_BYTES);
        Some(Self { status, template, values, links, aliases, registrant, owner_jws })
    }
}

/// Deletion is an act of its own: it leaves a tombstone, and no content with it.
fn read_status(object: &Map<String, Json>, complaints: &mut Complaints) -> Option<Status> {
    let json = object.get("status").filter(|json| !json.is_null())?;
    let status = json.as_str().and_then(Status::from_word).filter(|status| *status != Status::Deleted);
    if status.is_none() {
        complaints.unknown_word(&Place::Member(&Place::Root, "status"), "active, suspended, recalled, retired");
    }
    status
}

fn read_values(
    object: &Map<String, Json>,
    now: Timestamp,
    limits: &DraftLimits,
    complaints: &mut Complaints,
) -> Vec<Value> {
    let list = Place::Member(&Place::Root, "values");
    let items = complaints.items(object.get("values"), &list, limits.max_values);
    let mut values = Vec::with_capacity(items.len());
    for (at, json) in items.iter().enumerate() {
        let place = Place::Item(&list, at);
        let fields = ValueFields::read(json, &place, complaints);
        let Some(value) = fields.and_then(|fields| fields.complete(now, &place, complaints)) else {
            continue;
        };
        refuse_heavy(&value, &place, limits, complaints);
        values.push((at, value));
    }
    settled(values, &list, limits, complaints)
}

/// Values with the places where they stood, in their order; complains where they do not go together.
fn settled(
    mut values: Vec<(usize, Value)>,
    list: &Place<'_>,
    limits: &DraftLimits,
    complaints: &mut Complaints,
) -> Vec<Value> {
    values.sort_by_key(|(_, value)| value.index);
    for pair in values.windows(2) {
        if let [(_, one), (at, next)] = pair
            && one.index == next.index
        {
            refuse_second_index(&Place::Item(list, *at), complaints);
        }
    }
    let values: Vec<Value> = values.into_iter().map(|(_, value)| value).collect();
    refuse_heavy_record(&values, list, limits, complaints);
    values
}

fn refuse_heavy_record(values: &[Value], list: &Place<'_>, limits: &DraftLimits, complaints: &mut Complaints) {
    let weight_bytes: usize = values.iter().map(|value| value.data.weight_bytes()).sum();
    if weight_bytes > limits.max_record_bytes {
        complaints.too_long(list, limits.max_record_bytes);
    }
}

fn refuse_heavy(value: &Value, place: &Place<'_>, limits: &DraftLimits, complaints: &mut Complaints) {
    if value.data.weight_bytes() > limits.max_value_bytes {
        complaints.too_long(&Place::Member(place, "data"), limits.max_value_bytes);
    }
}

fn refuse_second_index(place: &Place<'_>, complaints: &mut Complaints) {
    let detail = Text::new("索引重复", "this index occurs twice");
    complaints.add(&Place::Member(place, "index"), "duplicate_index", detail);
}

fn read_links(object: &Map<String, Json>, limits: &DraftLimits, complaints: &mut Complaints) -> Vec<Link> {
    let list = Place::Member(&Place::Root, "links");
    let items = complaints.items(object.get("links"), &list, limits.max_links);
    items.iter().enumerate().filter_map(|(at, json)| Link::read(json, &Place::Item(&list, at), complaints)).collect()
}

fn read_aliases(object: &Map<String, Json>, limits: &DraftLimits, complaints: &mut Complaints) -> Vec<Alias> {
    let list = Place::Member(&Place::Root, "aliases");
    let items = complaints.items(object.get("aliases"), &list, limits.max_aliases);
    let mut aliases: Vec<Alias> = Vec::with_capacity(items.len());
    for (at, json) in items.iter().enumerate() {
        let place = Place::Item(&list, at);
        let Some(alias) = Alias::read(json, &limits.prefixes, &place, complaints) else {
            continue;
        };
        refuse_second_alias(&aliases, &alias, &place, complaints);
        aliases.push(alias);
    }
    aliases
}

fn refuse_second_alias(earlier: &[Alias], alias: &Alias, place: &Place<'_>, complaints: &mut Complaints) {
    if earlier.iter().any(|earlier| earlier.key() == alias.key()) {
        let detail = Text::new("别名重复", "this alias occurs twice");
        complaints.add(place, "duplicate_alias", detail);
    }
}
