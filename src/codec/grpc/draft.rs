//! Drafts and patches as the JSON that HTTP takes, so that both are read, checked and refused by the same rules.
//!
//! Only what JSON has no place for is decided here: whether a document within a text can be read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};

use super::wire::v1 as wire;
use crate::codec::json;
use crate::model::field::FieldError;
use crate::model::text::Text;
use crate::model::time::Timestamp;

/// Writes messages as JSON, and notes what cannot be.
#[derive(Default)]
pub(super) struct Writer {
    wrong: Vec<FieldError>,
    depth: usize,
}

/// An object in the making; what is absent has no member.
#[derive(Default)]
struct Members(Map<String, Json>);

impl Members {
    fn put(&mut self, name: &str, json: impl Into<Json>) {
        self.0.insert(name.to_owned(), json.into());
    }

    fn put_some(&mut self, name: &str, json: Option<impl Into<Json>>) {
        if let Some(json) = json {
            self.put(name, json);
        }
    }
}

impl From<Members> for Json {
    fn from(members: Members) -> Json {
        Json::Object(members.0)
    }
}

/// The JSON of a registration.
pub(super) fn draft(draft: wire::Draft, json_depth: u64) -> Result<Json, Vec<FieldError>> {
    let mut writer = Writer::new(json_depth);
    let members = writer.draft(draft);
    writer.or(members.into())
}

/// The JSON of a change to part of a record.
pub(super) fn patch(patch: wire::RecordPatch, json_depth: u64) -> Result<Json, Vec<FieldError>> {
    let mut writer = Writer::new(json_depth);
    let members = writer.patch(patch);
    writer.or(members.into())
}

/// A row of an import in the form of an export. What cannot be read in it makes the row fail, and no other.
pub(super) fn row(row: wire::ImportRow, json_depth: u64) -> Json {
    let mut writer = Writer::new(json_depth);
    let mut members = match row.content {
        None => Members::default(),
        Some(wire::import_row::Content::Draft(draft)) => writer.draft(draft),
        Some(wire::import_row::Content::Patch(patch)) => writer.patch(patch),
    };
    members.put("identifier", row.identifier);
    members.put_some("operation", operation(row.operation));
    members.put_some("if_version", row.if_version);
    members.into()
}

impl Writer {
    fn new(json_depth: u64) -> Writer {
        Writer { wrong: Vec::new(), depth: usize::try_from(json_depth).unwrap_or(usize::MAX) }
    }

    fn or(self, json: Json) -> Result<Json, Vec<FieldError>> {
        if self.wrong.is_empty() { Ok(json) } else { Err(self.wrong) }
    }

    fn draft(&mut self, draft: wire::Draft) -> Members {
        let mut members = Members::default();
        members.put_some("status", status(draft.status));
        members.put_some("template", draft.template);
        members.put_some("registrant", draft.registrant);
        members.put_some("owner_jws", draft.owner_jws);
        let values = draft.values.into_iter().enumerate();
        let values: Vec<Json> = values.map(|(at, value)| self.value(value, at)).collect();
        // An empty list is none, also where members that are there take the place of others.
        for (name, list) in
            [("values", Json::Array(values)), ("links", all(draft.links, link)), ("aliases", all(draft.aliases, alias))]
        {
            members.put_some(name, Some(list).filter(|list| list != &json!([])));
        }
        members
    }

    fn patch(&mut self, patch: wire::RecordPatch) -> Members {
        let mut members = Members::default();
        members.put_some("status", status(patch.status));
        for (name, text) in [("template", patch.template), ("registrant", patch.registrant)] {
            members.put_some(name, text.map(|text| if text.is_empty() { Json::Null } else { text.into() }));
        }
        let values = patch.values.into_iter().enumerate();
        members.put("values", values.map(|(at, value)| self.value_patch(value, at)).collect::<Vec<Json>>());
        members.put_some("owner_jws", patch.owner_jws);
        members.put_some("links", patch.links.map(|list| all(list.items, link)));
        members.put_some("aliases", patch.aliases.map(|list| all(list.items, alias)));
        members
    }

    fn value(&mut self, value: wire::Value, at: usize) -> Json {
        let mut members = Members::default();
        members.put("index", value.index);
        members.put("type", value.r#type);
        members.put_some("data", value.data.and_then(|data| self.data(data, &format!("/values/{at}/data"))));
        members.put_some("ttl", value.ttl);
        if !value.permissions.is_empty() {
            members.put("permissions", value.permissions);
        }
        if !value.references.is_empty() {
            members.put("references", all(value.references, reference));
        }
        members.put_some("timestamp", value.timestamp.as_ref().map(time));
        members.put_some("visibility", visibility(value.visibility));
        members.into()
    }

    fn value_patch(&mut self, value: wire::ValuePatch, at: usize) -> Json {
        let mut members = Members::default();
        members.put("index", value.index);
        if value.remove {
            members.put("remove", true);
        }
        members.put_some("type", value.r#type);
        members.put_some("data", value.data.and_then(|data| self.data(data, &format!("/values/{at}/data"))));
        members.put_some("ttl", value.ttl);
        members.put_some("permissions", value.permissions);
        members.put_some("references", value.references.map(|list| all(list.items, reference)));
        members.put_some("timestamp", value.timestamp.as_ref().map(time));
        members.put_some("visibility", visibility(value.visibility));
        members.into()
    }

    /// `None`: no format was chosen. Lists nest no deeper than protobuf's own bound of 100.
    fn data(&mut self, data: wire::Data, place: &str) -> Option<Json> {
        use wire::data::Value as Wire;
        let (format, value) = match data.value? {
            Wire::String(text) => ("string", Json::String(text)),
            Wire::Integer(integer) => ("integer", integer.into()),
            Wire::Decimal(decimal) => {
                let mut members = Members::default();
                members.put("format", "decimal");
                members.put("value", decimal.value);
                members.put_some("unit", decimal.unit);
                return Some(members.into());
            }
            Wire::Date(text) => ("date", text.into()),
            Wire::Boolean(truth) => ("boolean", truth.into()),
            Wire::Url(text) => ("url", text.into()),
            Wire::Identifier(text) => ("identifier", text.into()),
            Wire::List(list) => {
                let items = list.items.into_iter().enumerate();
                let items = items.map(|(at, item)| self.data(item, &format!("{place}/value/{at}")));
                ("list", items.map(|item| item.unwrap_or(Json::Null)).collect::<Vec<Json>>().into())
            }
            Wire::Bytes(bytes) => ("bytes", BASE64.encode(bytes).into()),
            Wire::Admin(admin) => {
                ("admin", json!({"handle": admin.handle, "index": admin.index, "permissions": admin.permissions}))
            }
            Wire::Vlist(list) => ("vlist", all(list.items, reference)),
            Wire::Site(text) => ("site", self.document(&text, place)),
            Wire::Key(text) => ("key", self.document(&text, place)),
        };
        Some(json!({"format": format, "value": value}))
    }

    fn document(&mut self, text: &str, place: &str) -> Json {
        json::parse(text.as_bytes(), self.depth).unwrap_or_else(|error| {
            self.wrong.push(FieldError {
                pointer: format!("{place}/value"),
                code: "bad_document",
                detail: Text::new(format!("不是可读的 JSON：{error}"), format!("no JSON that can be read: {error}")),
            });
            // A text, where an object belongs.
            text.into()
        })
    }
}

fn all<T>(items: Vec<T>, write: impl FnMut(T) -> Json) -> Json {
    Json::Array(items.into_iter().map(write).collect())
}

/// A number that no word has is passed on as it is, to be refused as any word that nobody knows.
fn status(number: i32) -> Option<Json> {
    let word = match wire::RecordStatus::try_from(number) {
        Ok(wire::RecordStatus::Unspecified) => return None,
        Ok(wire::RecordStatus::Active) => "active",
        Ok(wire::RecordStatus::Suspended) => "suspended",
        Ok(wire::RecordStatus::Recalled) => "recalled",
        Ok(wire::RecordStatus::Retired) => "retired",
        Ok(wire::RecordStatus::Deleted) => "deleted",
        Err(_) => return Some(number.to_string().into()),
    };
    Some(word.into())
}

fn visibility(number: i32) -> Option<Json> {
    let word = match wire::Visibility::try_from(number) {
        Ok(wire::Visibility::Unspecified) => return None,
        Ok(wire::Visibility::Public) => "public",
        Ok(wire::Visibility::SignedIn) => "signed-in",
        Ok(wire::Visibility::Granted) => "granted",
        Ok(wire::Visibility::Owner) => "owner",
        Err(_) => return Some(number.to_string().into()),
    };
    Some(word.into())
}

fn operation(number: i32) -> Option<Json> {
    let word = match wire::Operation::try_from(number) {
        Ok(wire::Operation::Unspecified) => return None,
        Ok(wire::Operation::Put) => "put",
        Ok(wire::Operation::Patch) => "patch",
        Ok(wire::Operation::Activate) => "activate",
        Ok(wire::Operation::Suspend) => "suspend",
        Ok(wire::Operation::Recall) => "recall",
        Ok(wire::Operation::Retire) => "retire",
        Ok(wire::Operation::Delete) => "delete",
        Err(_) => return Some(number.to_string().into()),
    };
    Some(word.into())
}

/// A time that is none is passed on as a text that is none.
fn time(time: &prost_types::Timestamp) -> Json {
    match Timestamp::from_seconds(time.seconds) {
        Ok(time) => json!(time),
        Err(_) => time.seconds.to_string().into(),
    }
}

fn reference(reference: wire::Reference) -> Json {
    json!({"handle": reference.handle, "index": reference.index})
}

fn link(link: wire::Link) -> Json {
    let mut members = Members::default();
    members.put("rel", link.rel);
    match link.target {
        Some(wire::link::Target::Href(href)) => members.put("href", href),
        Some(wire::link::Target::Identifier(identifier)) => members.put("identifier", identifier),
        None => {}
    }
    members.put_some("title", link.title);
    members.put_some("type", link.r#type);
    members.put("hreflang", link.hreflang);
    members.into()
}

fn alias(alias: wire::Alias) -> Json {
    let mut members = Members::default();
    members.put("scheme", alias.scheme);
    members.put("identifier", alias.identifier);
    if alias.case_sensitive {
        members.put("case", "sensitive");
    }
    members.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::grpc::record;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::record::Record;

    /// Everything that a record may hold, as HTTP takes it.
    fn everything() -> Json {
        json!({
            "status": "suspended", "template": "auto/part@1", "registrant": "示范企业",
            "values": [
                {"index": 1, "type": "a", "data": "铭牌", "ttl": 0, "permissions": "1010", "visibility": "owner",
                 "references": [{"handle": "88.999.1/a", "index": 3}], "timestamp": "2026-11-23T15:24:37Z"},
                {"index": 2, "type": "a", "data": {"format": "integer", "value": i64::MIN}},
                {"index": 3, "type": "a", "data": {"format": "decimal", "value": "21.250", "unit": "g"}},
                {"index": 4, "type": "a", "data": {"format": "date", "value": "2026-11-23"}},
                {"index": 5, "type": "a", "data": {"format": "boolean", "value": false}, "visibility": "signed-in"},
                {"index": 6, "type": "a", "data": {"format": "url", "value": "https://example.com/"}},
                {"index": 7, "type": "a", "data": {"format": "identifier", "value": "88.999.1/b"}, "visibility": "granted"},
                {"index": 8, "type": "a", "data": {"format": "list", "value": [{"format": "list", "value": [1, "x"]}]}},
                {"index": 9, "type": "a", "data": {"format": "bytes", "value": "AAEC"}},
                {"index": 10, "type": "a", "data": {"format": "admin",
                    "value": {"handle": "88.999.1/c", "index": 1, "permissions": "011111111111"}}},
                {"index": 11, "type": "a", "data": {"format": "vlist", "value": [{"handle": "88.999.1/a", "index": 3}]}},
                {"index": 12, "type": "a", "data": {"format": "site", "value": {"a": [1, "二"]}}},
                {"index": u32::MAX, "type": "a", "data": {"format": "key", "value": {"kty": "OKP"}}},
            ],
            "links": [{"rel": "manual", "href": "https://example.com/", "title": "手册", "type": "text/html", "hreflang": ["zh"]},
                      {"rel": "part-of", "identifier": "88.999.1/d"}],
            "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
        })
    }

    #[test]
    fn a_record_that_came_out_goes_in_again_as_it_was() {
        let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        let first = Draft::from_json(&everything(), now).unwrap();
        let identifier = Identifier::parse("88.999.1/A1").unwrap();
        let out = record::record(&Record::first(identifier, first.clone(), now));
        let back = wire::Draft {
            status: out.status,
            template: out.template,
            values: out.values,
            links: out.links,
            aliases: out.aliases,
            registrant: out.registrant,
            owner_jws: None,
        };
        let again = draft(back, 32).unwrap();
        assert_eq!(Draft::from_json(&again, Timestamp::EPOCH).unwrap(), first);
    }

    #[test]
    fn what_nobody_knows_is_refused_and_not_taken_for_nothing() {
        let refused = |draft: wire::Draft| match super::draft(draft, 32) {
            Ok(json) => Draft::from_json(&json, Timestamp::EPOCH).unwrap_err(),
            Err(errors) => errors,
        };
        let value = |data: Option<wire::Data>, visibility| wire::Value {
            index: 1,
            r#type: "a".to_owned(),
            data,
            visibility,
            ..wire::Value::default()
        };
        let site = |text: &str| wire::Data { value: Some(wire::data::Value::Site(text.to_owned())) };
        for (draft, pointer, code) in [
            (wire::Draft { status: 77, ..Default::default() }, "/status", "unknown_word"),
            (wire::Draft { status: 5, ..Default::default() }, "/status", "unknown_word"),
            (wire::Draft { values: vec![value(None, 0)], ..Default::default() }, "/values/0/data", "required"),
            (
                wire::Draft { values: vec![value(Some(site("{}")), 9)], ..Default::default() },
                "/values/0/visibility",
                "unknown_word",
            ),
            (
                wire::Draft { values: vec![value(Some(site("{\"a\":1,\"a\":2}")), 0)], ..Default::default() },
                "/values/0/data/value",
                "bad_document",
            ),
        ] {
            let errors = refused(draft);
            assert_eq!((errors[0].pointer.as_str(), errors[0].code), (pointer, code));
        }
    }

    #[test]
    fn an_empty_text_of_a_patch_takes_away_and_an_absent_one_leaves() {
        let patch = wire::RecordPatch { template: Some(String::new()), ..Default::default() };
        let json = super::patch(patch, 32).unwrap();
        assert_eq!(json["template"], Json::Null);
        assert!(json.as_object().unwrap().contains_key("template"));
        for absent in ["registrant", "links", "aliases", "status"] {
            assert!(!json.as_object().unwrap().contains_key(absent), "{absent}");
        }
    }
}
