//! A change to part of a record: the JSON of PATCH.
//!
//! Members that are sent replace those of the record, members that are missing stay, `null` takes away (RFC 7396 at the level
//! of fields). `links` and `aliases` are replaced whole. `values` are merged by index: the members sent for an index replace
//! those of the value there, or make a new one (which needs `type` and `data`), and `{"index":5,"remove":true}` takes a value away.

use serde_json::{Map, Value as Json};

use super::{
    Draft, DraftLimits, MAX_OWNER_JWS_BYTES, MAX_REGISTRANT_BYTES, MAX_TEMPLATE_BYTES, MEMBERS, read_aliases,
    read_links, read_status, refuse_heavy_record, refuse_second_index,
};
use crate::model::alias::Alias;
use crate::model::field::{Complaints, FieldError, Place};
use crate::model::link::Link;
use crate::model::record::Status;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::model::value::{Value, ValueFields};

#[derive(Clone, Debug, PartialEq)]
pub struct DraftPatch {
    status: Option<Status>,
    template: Option<Option<String>>,
    values: Vec<ValueChange>,
    links: Option<Vec<Link>>,
    aliases: Option<Vec<Alias>>,
    registrant: Option<Option<String>>,
    /// Over the content after the change.
    owner_jws: Option<String>,
    /// The time of values that a change touches without naming one.
    now: Timestamp,
}

/// What happens at one index.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueChange(Change);

#[derive(Clone, Debug, PartialEq)]
enum Change {
    Remove(u32),
    Merge(ValueFields),
}

impl ValueChange {
    #[must_use]
    pub fn index(&self) -> u32 {
        match &self.0 {
            Change::Remove(index) => *index,
            Change::Merge(fields) => fields.index,
        }
    }

    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self.0, Change::Remove(_))
    }
}

impl DraftPatch {
    /// Within the default limits.
    ///
    /// # Errors
    /// Every field that is wrong or unknown, up to a hundred.
    pub fn from_json(json: &Json, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        Self::from_json_within(json, now, &DraftLimits::default())
    }

    /// # Errors
    /// As [`DraftPatch::from_json`].
    pub fn from_json_within(json: &Json, now: Timestamp, limits: &DraftLimits) -> Result<Self, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let patch = Self::read(json, now, limits, &mut complaints);
        complaints.or(patch)
    }

    fn read(json: &Json, now: Timestamp, limits: &DraftLimits, complaints: &mut Complaints) -> Option<Self> {
        let object = complaints.object(json, &Place::Root)?;
        complaints.refuse_others(object, &MEMBERS, &Place::Root);
        let mut line =
            |name, most| object.contains_key(name).then(|| complaints.optional_line(object, name, &Place::Root, most));
        let template = line("template", MAX_TEMPLATE_BYTES);
        let registrant = line("registrant", MAX_REGISTRANT_BYTES);
        let status = read_status(object, complaints);
        let values = read_changes(object, limits, complaints);
        let links = object.contains_key("links").then(|| read_links(object, limits, complaints));
        let aliases = object.contains_key("aliases").then(|| read_aliases(object, limits, complaints));
        let owner_jws = complaints.optional_line(object, "owner_jws", &Place::Root, MAX_OWNER_JWS_BYTES);
        Some(Self { status, template, values, links, aliases, registrant, owner_jws, now })
    }

    #[must_use]
    pub fn value_changes(&self) -> &[ValueChange] {
        &self.values
    }

    /// The whole content after the change. Pointers of errors lead into the patch.
    ///
    /// # Errors
    /// A new value without `type` or `data`, the removal of a value that is not there, more values than the limit.
    pub fn apply_to(&self, mut draft: Draft, limits: &DraftLimits) -> Result<Draft, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let list = Place::Member(&Place::Root, "values");
        for (at, change) in self.values.iter().enumerate() {
            let place = Place::Item(&list, at);
            let found = draft.values.binary_search_by_key(&change.index(), |value| value.index);
            match (&change.0, found) {
                (Change::Remove(_), Ok(place)) => {
                    draft.values.remove(place);
                }
                (Change::Remove(_), Err(_)) => {
                    let detail = Text::new("该索引处没有值", "there is no value at this index");
                    complaints.add(&Place::Member(&place, "index"), "no_such_value", detail);
                }
                (Change::Merge(fields), Ok(place)) => {
                    if let Some(value) = draft.values.get_mut(place) {
                        merge(value, fields, self.now);
                    }
                }
                (Change::Merge(fields), Err(gap)) => {
                    if let Some(value) = fields.clone().complete(self.now, &place, &mut complaints) {
                        draft.values.insert(gap, value);
                    }
                }
            }
        }
        if draft.values.len() > limits.max_values {
            complaints.too_many(&list, limits.max_values);
        }
        refuse_heavy_record(&draft.values, &list, limits, &mut complaints);
        draft.status = self.status.or(draft.status);
        replace(&mut draft.template, self.template.as_ref());
        replace(&mut draft.registrant, self.registrant.as_ref());
        replace(&mut draft.links, self.links.as_ref());
        replace(&mut draft.aliases, self.aliases.as_ref());
        draft.owner_jws.clone_from(&self.owner_jws);
        complaints.or(Some(draft))
    }
}

fn replace<T: Clone>(field: &mut T, with: Option<&T>) {
    if let Some(with) = with {
        field.clone_from(with);
    }
}

fn merge(value: &mut Value, fields: &ValueFields, now: Timestamp) {
    replace(&mut value.r#type, fields.r#type.as_ref());
    replace(&mut value.data, fields.data.as_ref());
    replace(&mut value.ttl_seconds, fields.ttl_seconds.as_ref());
    replace(&mut value.permissions, fields.permissions.as_ref());
    replace(&mut value.references, fields.references.as_ref());
    replace(&mut value.visibility, fields.visibility.as_ref());
    value.timestamp = fields.timestamp.unwrap_or(now);
}

fn read_changes(object: &Map<String, Json>, limits: &DraftLimits, complaints: &mut Complaints) -> Vec<ValueChange> {
    let list = Place::Member(&Place::Root, "values");
    let items = complaints.items(object.get("values"), &list, limits.max_values);
    let mut changes: Vec<ValueChange> = Vec::with_capacity(items.len());
    let mut seen = std::collections::HashSet::with_capacity(items.len());
    for (at, json) in items.iter().enumerate() {
        let place = Place::Item(&list, at);
        let Some(change) = read_change(json, &place, limits, complaints) else {
            continue;
        };
        if !seen.insert(change.index()) {
            refuse_second_index(&place, complaints);
        }
        changes.push(change);
    }
    changes
}

fn read_change(
    json: &Json,
    place: &Place<'_>,
    limits: &DraftLimits,
    complaints: &mut Complaints,
) -> Option<ValueChange> {
    if let Some(object) = json.as_object()
        && let Some(remove) = object.get("remove")
    {
        complaints.refuse_others(object, &["index", "remove"], place);
        if remove.as_bool() != Some(true) {
            complaints.wrong_type(&Place::Member(place, "remove"), " true", "true");
        }
        let index = crate::model::value::read_index(object.get("index"), &Place::Member(place, "index"), complaints)?;
        return Some(ValueChange(Change::Remove(index)));
    }
    let fields = ValueFields::read(json, place, complaints)?;
    if fields.data.as_ref().is_some_and(|data| data.weight_bytes() > limits.max_value_bytes) {
        complaints.too_long(&Place::Member(place, "data"), limits.max_value_bytes);
    }
    Some(ValueChange(Change::Merge(fields)))
}
