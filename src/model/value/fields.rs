//! The members of a value as a caller sent them: all of them in a draft, some in a patch.

use serde_json::Value as Json;

use super::{DEFAULT_TTL_SECONDS, Data, MAX_TTL_SECONDS, Permissions, Reference, Value, Visibility, reading};
use crate::model::field::{Complaints, Place};
use crate::model::identifier::{Identifier, MAX_IDENTIFIER_BYTES};
use crate::model::text::Text;
use crate::model::time::Timestamp;

pub(crate) const MAX_TYPE_BYTES: usize = 255;
pub(crate) const MAX_REFERENCES: usize = 64;
pub(crate) const MEMBERS: [&str; 8] =
    ["index", "type", "data", "ttl", "permissions", "references", "timestamp", "visibility"];

#[derive(Clone, Debug, PartialEq)]
pub(in crate::model) struct ValueFields {
    pub(in crate::model) index: u32,
    pub(in crate::model) r#type: Option<String>,
    pub(in crate::model) data: Option<Data>,
    pub(in crate::model) ttl_seconds: Option<u32>,
    pub(in crate::model) permissions: Option<Permissions>,
    pub(in crate::model) references: Option<Vec<Reference>>,
    pub(in crate::model) timestamp: Option<Timestamp>,
    pub(in crate::model) visibility: Option<Visibility>,
}

impl ValueFields {
    pub(in crate::model) fn read(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Self> {
        let object = complaints.object(json, place)?;
        complaints.refuse_others(object, &MEMBERS, place);
        let member = |name| object.get(name).filter(|json: &&Json| !json.is_null());
        let index = read_index(object.get("index"), &Place::Member(place, "index"), complaints);
        let r#type = complaints.optional_line(object, "type", place, MAX_TYPE_BYTES);
        let data = match object.get("data") {
            Some(json) => Some(reading::read(json, &Place::Member(place, "data"), complaints)?),
            None => None,
        };
        let ttl_seconds = member("ttl").and_then(|json| read_ttl(json, &Place::Member(place, "ttl"), complaints));
        let permissions = member("permissions")
            .and_then(|json| read_permissions(json, &Place::Member(place, "permissions"), complaints));
        let references = member("references")
            .map(|json| read_references(Some(json), &Place::Member(place, "references"), complaints));
        let timestamp =
            member("timestamp").and_then(|json| read_timestamp(json, &Place::Member(place, "timestamp"), complaints));
        let visibility = member("visibility")
            .and_then(|json| read_visibility(json, &Place::Member(place, "visibility"), complaints));
        Some(Self { index: index?, r#type, data, ttl_seconds, permissions, references, timestamp, visibility })
    }

    /// A whole value, or complaints about what is missing.
    pub(in crate::model) fn complete(
        self,
        now: Timestamp,
        place: &Place<'_>,
        complaints: &mut Complaints,
    ) -> Option<Value> {
        if self.r#type.is_none() {
            complaints.required(&Place::Member(place, "type"));
        }
        if self.data.is_none() {
            complaints.required(&Place::Member(place, "data"));
        }
        Some(Value {
            index: self.index,
            r#type: self.r#type?,
            data: self.data?,
            ttl_seconds: self.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS),
            permissions: self.permissions.unwrap_or_default(),
            references: self.references.unwrap_or_default(),
            timestamp: self.timestamp.unwrap_or(now),
            visibility: self.visibility.unwrap_or_default(),
        })
    }
}

/// From 1; Handle clients write it as text too.
pub(in crate::model) fn read_index(json: Option<&Json>, place: &Place<'_>, complaints: &mut Complaints) -> Option<u32> {
    let Some(json) = json else {
        complaints.required(place);
        return None;
    };
    let number = match json {
        Json::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse::<u64>().ok(),
        _ => json.as_u64(),
    };
    let index = number.and_then(|number| u32::try_from(number).ok()).filter(|index| *index >= 1);
    if index.is_none() {
        complaints.out_of_range(place, 1, u64::from(u32::MAX));
    }
    index
}

fn read_ttl(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<u32> {
    let ttl =
        json.as_u64().and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds <= MAX_TTL_SECONDS);
    if ttl.is_none() {
        complaints.out_of_range(place, 0, u64::from(MAX_TTL_SECONDS));
    }
    ttl
}

fn read_permissions(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Permissions> {
    let permissions = json.as_str().and_then(Permissions::from_text);
    if permissions.is_none() {
        let detail = Text::new("应为四位 0 或 1，如 1110", "must be four digits 0 or 1, as in 1110");
        complaints.add(place, "bad_permissions", detail);
    }
    permissions
}

fn read_timestamp(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Timestamp> {
    let time = json.as_str().and_then(|text| Timestamp::parse(text).ok());
    if time.is_none() {
        let detail = Text::new(
            "应为 RFC 3339 时间，如 2026-11-23T15:24:37Z",
            "must be an RFC 3339 time such as 2026-11-23T15:24:37Z",
        );
        complaints.add(place, "bad_time", detail);
    }
    time
}

fn read_visibility(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Visibility> {
    let visibility = json.as_str().and_then(Visibility::from_word);
    if visibility.is_none() {
        complaints.unknown_word(place, &Visibility::ALL.map(Visibility::as_str).join(", "));
    }
    visibility
}

pub(super) fn read_references(json: Option<&Json>, place: &Place<'_>, complaints: &mut Complaints) -> Vec<Reference> {
    let items = complaints.items(json, place, MAX_REFERENCES);
    let mut references = Vec::with_capacity(items.len());
    for (at, json) in items.iter().enumerate() {
        references.extend(read_reference(json, &Place::Item(place, at), complaints));
    }
    references
}

fn read_reference(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Reference> {
    let object = complaints.object(json, place)?;
    complaints.refuse_others(object, &["handle", "index"], place);
    let handle = read_handle(object.get("handle"), &Place::Member(place, "handle"), complaints);
    let index = read_index(object.get("index"), &Place::Member(place, "index"), complaints);
    Some(Reference { handle: handle?, index: index? })
}

/// The spelling of an identifier.
pub(super) fn read_handle(json: Option<&Json>, place: &Place<'_>, complaints: &mut Complaints) -> Option<String> {
    let Some(json) = json else {
        complaints.required(place);
        return None;
    };
    let text = complaints.line(json, place, MAX_IDENTIFIER_BYTES)?;
    match Identifier::parse(text) {
        Ok(identifier) => Some(identifier.spelling().to_owned()),
        Err(error) => {
            complaints.add(place, error.code(), error.text());
            None
        }
    }
}
