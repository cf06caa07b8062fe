//! What changed between two versions of a record: its status, template, registrant, values, links and aliases.
//!
//! Of records as somebody sees them: who may not see a value sees nothing of its change either. The times of values are no
//! difference, since a registration states all values anew.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::record::Record;
use super::value::Value;

/// One change. A part that was not there before has no `before`, one that is gone has no `after`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "RecordChange")]
pub struct Change {
    pub part: Part,
    /// Of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    pub change: Kind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Json>,
}

/// What of a record has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RecordPart")]
pub enum Part {
    Status,
    Template,
    Registrant,
    Value,
    Alias,
    Link,
}

/// How a part has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RecordChangeKind")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

impl Change {
    fn of(part: Part, index: Option<u32>, before: Option<Json>, after: Option<Json>) -> Option<Change> {
        let change = match (&before, &after) {
            (None, Some(_)) => Kind::Added,
            (Some(_), None) => Kind::Removed,
            (Some(before), Some(after)) if before != after => Kind::Changed,
            _ => return None,
        };
        Some(Change { part, index, change, before, after })
    }
}

/// The changes from one version to another, in the order of a record's members; `None` stands before the first version.
#[must_use]
pub fn between(before: Option<&Record>, after: &Record) -> Vec<Change> {
    let line = |text: Option<&str>| text.map(Json::from);
    let mut changes = Vec::new();
    let lines = [
        (Part::Status, before.map(|record| record.status.as_str()), Some(after.status.as_str())),
        (Part::Template, before.and_then(|record| record.template.as_deref()), after.template.as_deref()),
        (Part::Registrant, before.and_then(|record| record.registrant.as_deref()), after.registrant.as_deref()),
    ];
    changes.extend(lines.into_iter().filter_map(|(part, one, other)| Change::of(part, None, line(one), line(other))));
    let nothing: (&[Value], _, _) = (&[], [].as_slice(), [].as_slice());
    let (values, aliases, links) =
        before.map_or(nothing, |record| (record.values.as_slice(), record.aliases.as_slice(), record.links.as_slice()));
    changes.extend(of_values(values, &after.values));
    changes.extend(of_items(Part::Alias, aliases, &after.aliases));
    changes.extend(of_items(Part::Link, links, &after.links));
    changes
}

/// Both are sorted by index, and no index occurs twice.
fn of_values<'v>(before: &'v [Value], after: &'v [Value]) -> impl Iterator<Item = Change> + 'v {
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let index = match (before.peek(), after.peek()) {
                (None, None) => return None,
                (Some(one), None) => one.index,
                (None, Some(other)) => other.index,
                (Some(one), Some(other)) => one.index.min(other.index),
            };
            let one = before.next_if(|value| value.index == index).map(timeless);
            let other = after.next_if(|value| value.index == index).map(timeless);
            if let Some(change) = Change::of(Part::Value, Some(index), one, other) {
                return Some(change);
            }
        }
    })
}

fn timeless(value: &Value) -> Json {
    // Text and numbers, whose serialising into memory has no failure to report.
    let mut json = serde_json::to_value(value).unwrap_or_default();
    if let Some(members) = json.as_object_mut() {
        members.remove("timestamp");
    }
    json
}

/// Items without a name: each is there or not. Their order is no difference; how often one is there is.
fn of_items<T: Serialize + PartialEq>(part: Part, before: &[T], after: &[T]) -> Vec<Change> {
    let mut is_kept = vec![false; after.len()];
    let mut changes = Vec::new();
    for item in before {
        let place = after.iter().zip(&is_kept).position(|(other, is_kept)| !is_kept && other == item);
        match place.and_then(|at| is_kept.get_mut(at)) {
            Some(is_kept) => *is_kept = true,
            None => changes.extend(Change::of(part, None, Some(json!(item)), None)),
        }
    }
    let added = after.iter().zip(&is_kept).filter(|(_, is_kept)| !**is_kept);
    changes.extend(added.filter_map(|(item, _)| Change::of(part, None, None, Some(json!(item)))));
    changes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::time::Timestamp;

    fn draft(json: &Json, now: Timestamp) -> Draft {
        Draft::from_json(json, now).unwrap()
    }

    fn record(json: &Json) -> Record {
        let now = Timestamp::EPOCH;
        Record::first(Identifier::parse("88.118.8/A").unwrap(), draft(json, now), now)
    }

    fn told(before: &Record, after: &Record) -> Json {
        serde_json::to_value(between(Some(before), after)).unwrap()
    }

    #[test]
    fn each_part_that_changed_is_told_once_and_the_rest_not_at_all() {
        let before = record(&json!({
            "template": "a@1",
            "values": [{"index": 1, "type": "a", "data": "x"}, {"index": 2, "type": "b", "data": 1}, {"index": 4, "type": "d", "data": true}],
            "links": [{"rel": "manual", "href": "https://example.com/1"}, {"rel": "manual", "href": "https://example.com/2"}],
            "aliases": [{"scheme": "oid", "identifier": "1.2.3"}],
        }));
        let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        let after = before.next(
            draft(
                &json!({
                    "status": "recalled",
                    "registrant": "示范",
                    "values": [{"index": 1, "type": "a", "data": "x"}, {"index": 2, "type": "b", "data": 2}, {"index": 3, "type": "c", "data": "n"}],
                    "links": [{"rel": "manual", "href": "https://example.com/2"}, {"rel": "manual", "href": "https://example.com/3"}],
                    "aliases": [{"scheme": "oid", "identifier": "1.2.3"}],
                }),
                now,
            ),
            now,
        );
        assert_eq!(
            told(&before, &after),
            json!([
                {"part": "status", "change": "changed", "before": "active", "after": "recalled"},
                {"part": "template", "change": "removed", "before": "a@1"},
                {"part": "registrant", "change": "added", "after": "示范"},
                {"part": "value", "index": 2, "change": "changed",
                    "before": {"index": 2, "type": "b", "data": {"format": "integer", "value": 1}, "ttl": 86400},
                    "after": {"index": 2, "type": "b", "data": {"format": "integer", "value": 2}, "ttl": 86400}},
                {"part": "value", "index": 3, "change": "added",
                    "after": {"index": 3, "type": "c", "data": {"format": "string", "value": "n"}, "ttl": 86400}},
                {"part": "value", "index": 4, "change": "removed",
                    "before": {"index": 4, "type": "d", "data": {"format": "boolean", "value": true}, "ttl": 86400}},
                {"part": "link", "change": "removed", "before": {"rel": "manual", "href": "https://example.com/1"}},
                {"part": "link", "change": "added", "after": {"rel": "manual", "href": "https://example.com/3"}},
            ])
        );
        assert_eq!(told(&after, &after), json!([]));
        let first = between(None, &before);
        assert!(first.len() == 8 && first.iter().all(|change| change.change == Kind::Added), "{first:?}");
    }

    fn records() -> impl Strategy<Value = Record> {
        let values = proptest::collection::btree_map(1_u32..6, 0_i64..3, 0..5);
        let links = proptest::collection::vec(0_u8..3, 0..4);
        (values, links).prop_map(|(values, links)| {
            let values: Vec<Json> =
                values.iter().map(|(index, data)| json!({"index": index, "type": "t", "data": data})).collect();
            let links: Vec<Json> =
                links.iter().map(|at| json!({"rel": "x", "href": format!("https://example.com/{at}")})).collect();
            record(&json!({"values": values, "links": links}))
        })
    }

    proptest! {
        /// Applied to the one record the changes give the other.
        #[test]
        fn changes_lead_from_one_version_to_the_other(before in records(), after in records()) {
            let mut values: Vec<Json> = before.values.iter().map(timeless).collect();
            let mut links: Vec<Json> = before.links.iter().map(|link| json!(link)).collect();
            for change in between(Some(&before), &after) {
                let items = if change.part == Part::Value { &mut values } else { &mut links };
                if let Some(before) = &change.before {
                    let at = items.iter().position(|item| item == before);
                    items.remove(at.unwrap());
                }
                items.extend(change.after);
            }
            let sorted = |mut items: Vec<Json>| { items.sort_by_key(ToString::to_string); items };
            prop_assert_eq!(sorted(values), sorted(after.values.iter().map(timeless).collect()));
            prop_assert_eq!(sorted(links), sorted(after.links.iter().map(|link| json!(link)).collect()));
        }
    }
}
