//! A record as most requests and rows of a file say it: members of text and whole numbers, read without a tree of JSON in
//! between.
//!
//! Not a second set of rules: whatever is unusual in one is not read here at all, but by [`Draft::from_json_within`], which
//! says what is wrong with it. What is read here reads there as the same draft (the tests hold them against one another).

use std::borrow::Cow;

use serde::Deserialize;

use super::{Draft, DraftLimits, MAX_REGISTRANT_BYTES, MAX_TEMPLATE_BYTES, refuse_heavy, settled};
use crate::model::field::{Complaints, Place};
use crate::model::record::Status;
use crate::model::time::Timestamp;
use crate::model::value::{Object, PlainValue};

/// Arrays and objects that are open at once in the deepest of what is read here.
pub const PLAIN_DEPTH: usize = 4;

/// The content of a record, as it stands in a request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainDraft<'a> {
    status: Option<Cow<'a, str>>,
    template: Option<Cow<'a, str>>,
    registrant: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<Object<PlainValue<'a>>>,
}

/// A row of identifier and content, as it stands in the file. What the node says of a record itself is read and not used.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRow<'a> {
    #[serde(borrow)]
    pub identifier: Cow<'a, str>,
    status: Option<Cow<'a, str>>,
    template: Option<Cow<'a, str>>,
    registrant: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    values: Vec<Object<PlainValue<'a>>>,
    #[serde(rename = "version")]
    _version: Option<u64>,
    #[serde(rename = "registered")]
    _registered: Option<Cow<'a, str>>,
    #[serde(rename = "updated")]
    _updated: Option<Cow<'a, str>>,
}

impl<'a> PlainDraft<'a> {
    /// The content in these bytes of JSON, if they have its form.
    #[must_use]
    pub fn read(json: &'a [u8]) -> Option<PlainDraft<'a>> {
        serde_json::from_slice(json).ok().map(|Object(draft)| draft)
    }
}

impl<'a> PlainRow<'a> {
    /// The row in these bytes of JSON, if they have its form.
    #[must_use]
    pub fn read(json: &'a [u8]) -> Option<PlainRow<'a>> {
        serde_json::from_slice(json).ok().map(|Object(row)| row)
    }

    /// What stands beside the identifier.
    #[must_use]
    pub fn into_content(self) -> PlainDraft<'a> {
        let PlainRow { status, template, registrant, values, .. } = self;
        PlainDraft { status, template, registrant, values }
    }
}

impl Draft {
    /// The draft of this content; `None` where anything in it breaks a rule.
    #[must_use]
    pub fn from_plain(plain: PlainDraft<'_>, now: Timestamp, limits: &DraftLimits) -> Option<Draft> {
        if plain.values.len() > limits.max_values {
            return None;
        }
        let mut complaints = Complaints::default();
        let status = match &plain.status {
            None => None,
            Some(word) => Some(Status::from_word(word).filter(|status| *status != Status::Deleted)?),
        };
        for (text, most) in [(&plain.template, MAX_TEMPLATE_BYTES), (&plain.registrant, MAX_REGISTRANT_BYTES)] {
            if let Some(text) = text {
                complaints.line_text(text, &Place::Root, most)?;
            }
        }
        let list = Place::Member(&Place::Root, "values");
        let mut values = Vec::with_capacity(plain.values.len());
        for (at, Object(value)) in plain.values.into_iter().enumerate() {
            let value = value.read(now, &mut complaints)?;
            refuse_heavy(&value, &list, limits, &mut complaints);
            values.push((at, value));
        }
        let draft = Draft {
            status,
            template: plain.template.map(Cow::into_owned),
            values: settled(values, &list, limits, &mut complaints),
            registrant: plain.registrant.map(Cow::into_owned),
            ..Draft::default()
        };
        complaints.or(Some(draft)).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value as Json, json};

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_790_000_000).unwrap()
    }

    fn plain(text: &str, limits: &DraftLimits) -> Option<(String, Draft)> {
        let row = PlainRow::read(text.as_bytes())?;
        let identifier = row.identifier.clone().into_owned();
        Some((identifier, Draft::from_plain(row.into_content(), now(), limits)?))
    }

    /// The long way; `None` where it finds anything wrong.
    fn by_tree(text: &str, limits: &DraftLimits) -> Option<(String, Draft)> {
        let Json::Object(mut row) = serde_json::from_str(text).ok()? else { return None };
        for name in ["version", "registered", "updated"] {
            row.remove(name);
        }
        let Json::String(identifier) = row.remove("identifier")? else { return None };
        Some((identifier, Draft::from_json_within(&Json::Object(row), now(), limits).ok()?))
    }

    #[test]
    fn the_rows_of_a_file_are_read() {
        let row = json!({
            "identifier": "88.999.1/SN-1", "status": "active", "template": "t/1", "registrant": "海宁紧固件",
            "values": [
                {"index": 2, "type": "净重", "data": {"format": "decimal", "value": "12.50", "unit": "kg"}},
                {"index": 1, "type": "名称", "data": {"format": "string", "value": "六角\"头\"\n螺栓"}, "ttl": 60},
                {"index": 3, "type": "日期", "data": {"format": "date", "value": "2026-11-23"}, "visibility": "owner"},
                {"index": 4, "type": "a", "data": {"format": "integer", "value": -7}, "timestamp": "2026-11-23T15:24:37Z"},
                {"index": 5, "type": "b", "data": {"format": "boolean", "value": true}},
                {"index": 6, "type": "c", "data": {"format": "url", "value": "https://example.com/a"}},
                {"index": 7, "type": "d", "data": {"format": "identifier", "value": "88.999.1/SN-2"}},
                {"index": 8, "type": "e", "data": "bare"}, {"index": 9, "type": "f", "data": 5},
                {"index": 10, "type": "g", "data": false},
            ],
            "version": 3, "registered": "2026-11-23T15:24:37Z", "updated": "2026-11-23T15:24:37Z",
        });
        let limits = DraftLimits::default();
        let read = plain(&row.to_string(), &limits).unwrap();
        assert_eq!(read.1.values.len(), 10);
        assert_eq!(Some(read), by_tree(&row.to_string(), &limits));
    }

    #[test]
    fn the_content_of_a_request_is_read_and_what_a_row_has_beside_it_is_not() {
        let values = json!([{"index": 1, "type": "名称", "data": "螺栓"}]);
        let content = json!({"status": "active", "template": "t/1", "registrant": "a", "values": values});
        let limits = DraftLimits::default();
        let read = |json: &Json| Draft::from_plain(PlainDraft::read(json.to_string().as_bytes())?, now(), &limits);
        assert_eq!(read(&content), Draft::from_json_within(&content, now(), &limits).ok());
        assert!(read(&content).is_some_and(|draft| draft.values.len() == 1));
        assert_eq!(read(&json!({})), Some(Draft::default()));
        for member in ["identifier", "version", "registered", "updated", "links", "x"] {
            let mut more = content.clone();
            more[member] = json!(null);
            assert_eq!(read(&more), None, "{member}");
        }
        for text in ["[]", "null", "", "{\"values\":[],\"values\":[]}", "{} {}", "{\"template\":\"\u{0}\"}"] {
            assert!(PlainDraft::read(text.as_bytes()).is_none(), "{text}");
        }
        assert!(PlainDraft::read(b"{\"template\":\"\xff\"}").is_none());
    }

    #[test]
    fn what_is_unusual_is_left_to_the_tree() {
        let limits = DraftLimits { max_values: 2, ..DraftLimits::default() };
        let value =
            |data: &str| format!(r#"{{"identifier":"88.999.1/A","values":[{{"index":1,"type":"t","data":{data}}}]}}"#);
        assert!(plain(&value("\"text\""), &limits).is_some());
        for text in [
            value("null"),
            value("1.5"),
            value("-0"),
            value("18446744073709551615"),
            value(r#"{"format":"string"}"#),
            value(r#"{"value":"x"}"#),
            value(r#"{"format":{"string":null},"value":"x"}"#),
            value(r#"{"format":"string","value":"x","value":"x"}"#),
            value(r#"{"format":"string","format":"string","value":"x"}"#),
            value(r#"{"format":"string","value":"x","unit":"kg"}"#),
            value(r#"{"format":"decimal","value":"x"}"#),
            value(r#"{"format":"decimal","value":"1","unit":" kg"}"#),
            value(r#"{"format":"integer","value":"1"}"#),
            value(r#"{"format":"list","value":[]}"#),
            value(r#"["string","x",null]"#),
            value(r#"{"format":"string","value":"x","unit":null}"#),
            value(r#"{"format":"string","value":{"format":"string","value":"x"}}"#),
            value(&format!("{}1{}", "{\"value\":".repeat(1_000), "}".repeat(1_000))),
            r#"{"identifier":"88.999.1/A","identifier":"88.999.1/A"}"#.to_owned(),
            r#"{"identifier":"88.999.1/A","links":[]}"#.to_owned(),
            r#"{"identifier":"88.999.1/A","values":null}"#.to_owned(),
            r#"{"identifier":"88.999.1/A"} x"#.to_owned(),
            r#"["88.999.1/A"]"#.to_owned(),
            r#"["88.999.1/A",null,null,null,[],null,null,null]"#.to_owned(),
            r#"{"identifier":"88.999.1/A","values":[[1,"t","data",null,null,null]]}"#.to_owned(),
            r#"{"identifier":"88.999.1/A","status":"deleted"}"#.to_owned(),
            r#"{"identifier":"88.999.1/A","template":""}"#.to_owned(),
            format!(
                r#"{{"identifier":"88.999.1/A","values":[{}]}}"#,
                [r#"{"index":1,"type":"t","data":1}"#; 2].join(",")
            ),
            format!(
                r#"{{"identifier":"88.999.1/A","values":[{}]}}"#,
                [r#"{"index":1,"type":"t","data":1}"#; 3].join(",")
            ),
        ] {
            assert_eq!(plain(&text, &limits), None, "{text}");
        }
    }

    /// Members that are right, wrong, missing or strange.
    fn row() -> impl Strategy<Value = Json> {
        let word = prop_oneof![
            Just(json!("active")),
            Just(json!("retired")),
            Just(json!("deleted")),
            Just(json!("owner")),
            Just(json!("public")),
            Just(json!("")),
            Just(json!(" a")),
            Just(json!(null)),
            Just(json!(1)),
            Just(json!("2026-11-23T15:24:37Z")),
            "[a-zA-Z0-9./ \\\\\"\u{7f}中é-]{0,12}".prop_map(Json::from),
        ];
        let scalar = prop_oneof![
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<bool>().prop_map(Json::from),
            Just(json!("2026-11-23")),
            Just(json!("12.50")),
            Just(json!("https://a.example/x")),
            Just(json!("88.999.1/B")),
            Just(json!(null)),
            Just(json!([])),
            Just(json!({})),
            Just(json!(1.5)),
            Just(json!("7")),
            word.clone(),
        ];
        let format = prop_oneof![
            4 => proptest::sample::select(vec!["string", "integer", "decimal", "date", "boolean", "url", "identifier", "list", "bytes", "x"])
                .prop_map(Json::from),
            1 => scalar.clone(),
        ];
        let data = prop_oneof![
            1 => scalar.clone(),
            4 => (format, scalar.clone(), proptest::option::weighted(0.2, word.clone()), 0..20_u8).prop_map(|(format, value, unit, lost)| {
                let mut data = json!({"format": format, "value": value});
                if let Some(unit) = unit { data["unit"] = unit; }
                if lost == 0 { data.as_object_mut().unwrap().remove("format"); }
                if lost == 1 { data["more"] = json!(1); }
                data
            }),
        ];
        let index = prop_oneof![9 => (1..9_u32).prop_map(Json::from), 1 => scalar.clone()];
        let rare = |value: BoxedStrategy<Json>| proptest::option::weighted(0.1, value);
        let value = (
            index,
            word.clone(),
            data,
            rare(scalar.clone().boxed()),
            rare(word.clone().boxed()),
            rare(word.clone().boxed()),
        )
            .prop_map(|(index, r#type, data, ttl, visibility, timestamp)| {
                let mut value = json!({"index": index, "type": r#type, "data": data});
                for (name, member) in [("ttl", ttl), ("visibility", visibility), ("timestamp", timestamp)] {
                    if let Some(member) = member {
                        value[name] = member;
                    }
                }
                value
            });
        let members = proptest::collection::vec(
            (
                proptest::sample::select(vec![
                    "status",
                    "template",
                    "registrant",
                    "version",
                    "registered",
                    "updated",
                    "links",
                    "owner_jws",
                    "x",
                ]),
                scalar,
            ),
            0..2,
        );
        (word, proptest::collection::vec(value, 0..3), members).prop_map(|(identifier, values, members)| {
            let mut row: Map<String, Json> =
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            row.insert("identifier".to_owned(), identifier);
            row.insert("values".to_owned(), Json::Array(values));
            Json::Object(row)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn what_is_read_here_reads_by_the_tree_as_the_same(row in row(), heavy in any::<bool>()) {
            let limits = DraftLimits { max_value_bytes: if heavy { 4 } else { 60_000 }, max_values: 2, ..DraftLimits::default() };
            let text = row.to_string();
            if let Some(read) = plain(&text, &limits) {
                prop_assert_eq!(Some(read), by_tree(&text, &limits));
            }
        }

        #[test]
        fn content_without_an_identifier_reads_by_the_tree_as_the_same(row in row(), named in 0..20_u8) {
            let (limits, mut content) = (DraftLimits { max_values: 2, ..DraftLimits::default() }, row);
            if named > 0 {
                content.as_object_mut().unwrap().remove("identifier");
            }
            let text = content.to_string();
            let read = PlainDraft::read(text.as_bytes()).and_then(|plain| Draft::from_plain(plain, now(), &limits));
            if let Some(read) = read {
                prop_assert_eq!(Ok(read), Draft::from_json_within(&content, now(), &limits));
            }
        }
    }
}
