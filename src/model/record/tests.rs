//! Records: rows read back exactly whatever is in them, and versions follow one another.
//!
//! Statuses are tested beside their definition.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::link::Target;
use crate::model::scheme::Scheme;
use crate::model::value::{Data, Permissions, Reference, ValueWriter, Visibility};

fn time() -> impl Strategy<Value = Timestamp> {
    (0_i64..4_000_000_000).prop_map(|seconds| Timestamp::from_seconds(seconds).unwrap())
}

fn identifier() -> impl Strategy<Value = Identifier> {
    let texts = prop_oneof![
        "88\\.[0-9]{3,5}(\\.[0-9]{1,9})?/[!-~]{1,20}",
        "88\\.118\\.8/[一-龥]{1,8}",
        "10\\.[0-9]{4}/[A-Za-z]{1,9}",
        Just("https://id.example.cn/01/09506000134352/10/A%2FB".to_owned()),
    ];
    (texts, any::<bool>()).prop_map(|(text, sensitive)| {
        let identifier = Identifier::parse(&text).unwrap();
        if sensitive { identifier.with_case_sensitive_suffix() } else { identifier }
    })
}

fn reference() -> impl Strategy<Value = Reference> {
    ("[0-9]{2}\\.[0-9]{4}/[a-z]{1,9}", any::<u32>()).prop_map(|(handle, index)| Reference { handle, index })
}

fn document() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    prop::collection::btree_map("\\PC{0,8}", any::<i64>(), 0..4)
        .prop_map(|members| members.into_iter().map(|(name, number)| (name, json!([number, {"x": null}]))).collect())
}

fn data() -> impl Strategy<Value = Data> {
    let leaf =
        prop_oneof![
            any::<String>().prop_map(Data::String),
            any::<i64>().prop_map(Data::Integer),
            ("-?[0-9]{1,9}\\.[0-9]{1,9}", prop::option::of("kg|m/s"))
                .prop_map(|(text, unit)| Data::Decimal { text, unit }),
            Just(Data::Date("2026-11-23".to_owned())),
            any::<bool>().prop_map(Data::Boolean),
            "https://[a-z]{1,9}\\.cn/[ -~&&[^ \"<>\\\\`]]{0,9}".prop_map(Data::Url),
            identifier().prop_map(Data::Identifier),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Data::Bytes),
            ("10\\.[0-9]{4}/[a-z]{1,9}", 1..u32::MAX, 0_u16..4096)
                .prop_map(|(handle, index, permissions)| Data::Admin { handle, index, permissions }),
            prop::collection::vec(reference(), 0..3).prop_map(Data::Vlist),
            document().prop_map(Data::Site),
            document().prop_map(Data::Key),
        ];
    leaf.prop_recursive(3, 12, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Data::List))
}

fn value() -> impl Strategy<Value = Value> {
    let attributes = (0..=172_800_u32, 0_u8..16, prop::sample::select(Visibility::ALL.to_vec()));
    (1..u32::MAX, "[A-Z_]{1,12}", data(), attributes, prop::collection::vec(reference(), 0..3), time()).prop_map(
        |(index, kind, data, (ttl_seconds, bits, visibility), references, timestamp)| Value {
            ttl_seconds,
            permissions: Permissions::from_bits(bits),
            references,
            visibility,
            ..Value::new(index, kind, data, timestamp)
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    let target =
        prop_oneof!["https://[a-z]{1,9}\\.cn/".prop_map(Target::Href), identifier().prop_map(Target::Identifier)];
    let languages = prop::collection::vec("[a-z]{2}", 0..3);
    ("[a-z:]{1,9}", target, prop::option::of("\\PC{1,9}"), prop::option::of("text/html"), languages)
        .prop_map(|(rel, target, title, media_type, hreflang)| Link { rel, target, title, media_type, hreflang })
}

fn record() -> impl Strategy<Value = Record> {
    let lists = (
        prop::collection::btree_map(1..u32::MAX, value(), 0..6),
        prop::collection::vec(link(), 0..3),
        prop::collection::vec(identifier().prop_map(Alias::of), 0..3),
    );
    let words = (prop::option::of("\\PC{1,20}"), prop::option::of("\\PC{1,20}"));
    let status = prop::sample::select(Status::ALL.to_vec());
    (identifier(), 1..u64::MAX, status, lists, words, time(), time()).prop_map(
        |(identifier, version, status, (values, links, aliases), (template, registrant), registered, updated)| Record {
            identifier,
            version,
            status,
            template,
            values: values.into_iter().map(|(index, value)| Value { index, ..value }).collect(),
            links,
            aliases,
            registrant,
            registered,
            updated,
        },
    )
}

proptest! {
    #[test]
    fn every_record_reads_back_from_its_row_and_writes_the_same_bytes(record in record()) {
        let row = record.to_row();
        prop_assert!(record.row_bytes_at_least() <= row.len());
        let again = Record::from_row(&row);
        prop_assert!(again.is_ok(), "{:?} of {}", again, String::from_utf8_lossy(&row));
        let again = again.unwrap();
        prop_assert_eq!(again.identifier.key(), record.identifier.key());
        prop_assert_eq!(again.identifier.spelling(), record.identifier.spelling());
        // The policy is told where the key shows it, and only there.
        let shown = record.identifier.key() != Identifier::parse(record.identifier.spelling()).unwrap().key();
        prop_assert_eq!(again.identifier.is_case_sensitive(), shown);
        prop_assert_eq!(&Record { identifier: record.identifier.clone(), ..again.clone() }, &record);
        prop_assert_eq!(again.to_row(), row);
    }

    #[test]
    fn reading_a_row_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = Record::from_row(&bytes);
        let mut row = record.to_row();
        let at = at.index(row.len());
        row[at] = byte;
        let _ = Record::from_row(&row);
        row.truncate(at);
        prop_assert!(Record::from_row(&row).is_err(), "a row cut short is no row");
    }

    #[test]
    fn values_are_written_as_they_serialise(record in record()) {
        let mut writer = ValueWriter::default();
        let plain = record.values.iter().map(|value| Value {
            ttl_seconds: value.ttl_seconds,
            ..Value::new(value.index, value.r#type.clone(), value.data.clone(), value.timestamp)
        });
        for value in record.values.iter().cloned().chain(plain) {
            let mut json = Vec::new();
            writer.write(&value, &mut json).unwrap();
            prop_assert_eq!(String::from_utf8(json).unwrap(), serde_json::to_string(&value).unwrap());
        }
    }

    #[test]
    fn data_reads_back_from_its_json(data in data()) {
        let json = serde_json::to_value(&data).unwrap();
        let again = Data::from_json(&json);
        prop_assert!(again.is_ok(), "{:?} of {}", again, json);
        // The case sensitivity of a name is its prefix's policy, not part of what is written.
        prop_assert_eq!(serde_json::to_value(again.unwrap()).unwrap(), json);
    }

    #[test]
    fn a_value_reads_back_from_its_json(value in value()) {
        let value = Value { references: Vec::new(), data: Data::Integer(7), ..value };
        let json = serde_json::to_value(&value).unwrap();
        prop_assert_eq!(Value::from_json(&json, Timestamp::EPOCH), Ok(value.clone()));
        prop_assert_eq!(serde_json::from_value::<Value>(json).unwrap(), value);
    }
}

fn sample() -> Record {
    let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
    let body = json!({
        "template": "part/1",
        "registrant": "示范企业",
        "values": [{"index": 2, "type": "NAME", "data": "轴承"}, {"index": 1, "type": "URL", "data": {"format": "url", "value": "https://example.cn/"}}],
        "links": [{"rel": "gs1:pip", "href": "https://example.cn/p", "hreflang": ["zh"]}],
        "aliases": [{"scheme": "gs1", "identifier": "9506000134352"}],
    });
    Record::first(Identifier::parse("88.999.1/A-1").unwrap(), Draft::from_json(&body, now).unwrap(), now)
}

#[test]
fn a_record_is_written_as_a_resolution_shows_it() {
    let json = serde_json::to_value(sample()).unwrap();
    let expected = json!({
        "identifier": "88.999.1/A-1", "version": 1, "status": "active", "template": "part/1", "registrant": "示范企业",
        "values": [
            {"index": 1, "type": "URL", "data": {"format": "url", "value": "https://example.cn/"}, "ttl": 86400, "timestamp": "2026-11-23T15:24:37Z"},
            {"index": 2, "type": "NAME", "data": {"format": "string", "value": "轴承"}, "ttl": 86400, "timestamp": "2026-11-23T15:24:37Z"},
        ],
        "links": [{"rel": "gs1:pip", "href": "https://example.cn/p", "hreflang": ["zh"]}],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
        "registered": "2026-11-23T15:24:37Z", "updated": "2026-11-23T15:24:37Z",
    });
    assert_eq!(json, expected);
}

#[test]
fn versions_follow_one_another_and_a_tombstone_keeps_only_the_names() {
    let later = Timestamp::parse("2026-11-24T00:00:00Z").unwrap();
    let first = sample();
    let second = first.next(Draft { status: None, ..first.to_draft() }, later);
    assert_eq!((second.version, second.status), (2, Status::Active));
    assert_eq!((second.registered, second.updated), (first.registered, later));
    assert_eq!(second.values, first.values);
    let last = second.tombstone(later);
    assert_eq!((last.version, last.is_tombstone()), (3, true));
    assert_eq!(last.identifier, first.identifier);
    assert!(last.values.is_empty() && last.links.is_empty() && last.template.is_none());
    assert_eq!(last.aliases, first.aliases, "its codes are given to nothing else");
}

#[test]
fn a_value_is_found_by_its_index() {
    let record = sample();
    assert_eq!(record.value(2).map(|value| value.r#type.as_str()), Some("NAME"));
    assert_eq!(record.value(3), None);
    assert_eq!(
        record.aliases.first().map(|alias| (alias.scheme(), alias.key().as_str())),
        Some((Scheme::Gs1, "gs1:01/09506000134352"))
    );
}

#[test]
fn the_row_of_an_earlier_release_still_reads() {
    let row = br#"{"i":"88.999.1/A-1","v":1,"s":"a","t":"part/1","d":[{"i":1,"t":"URL","d":{"u":"https://example.cn/"}},{"i":2,"t":"NAME","d":{"s":"\u8f74\u627f"}}],"l":[{"r":"gs1:pip","h":"https://example.cn/p","g":["zh"]}],"a":["01/09506000134352"],"o":"\u793a\u8303\u4f01\u4e1a","r":1795447477,"u":1795447477}"#;
    assert_eq!(Record::from_row(row).unwrap(), sample());
}

/// Before, every row below a prefix that tells cases apart had the member `c`.
#[test]
fn the_row_of_a_name_in_lower_case_says_nothing_of_its_prefixs_policy() {
    let row = |suffix: &str, sensitive: bool| {
        let identifier = Identifier::parse(&format!("88.999.1/{suffix}")).unwrap();
        let identifier = if sensitive { identifier.with_case_sensitive_suffix() } else { identifier };
        Record { identifier, ..sample() }.to_row()
    };
    assert_eq!(row("a-1", true), row("a-1", false));
    assert_ne!(row("A-1", true), row("A-1", false));
    let earlier = br#"{"i":"88.999.1/a-1","c":true,"v":1,"s":"a","r":0,"u":0}"#;
    assert_eq!(Record::from_row(earlier).unwrap().identifier.key().as_str(), "88.999.1/a-1");
}

#[test]
fn rows_that_break_a_rule_of_records_are_refused() {
    for row in [
        r#"{"i":"88.999.1/A","v":0,"s":"a","r":0,"u":0}"#,
        r#"{"i":"88.999.1/A","v":1,"s":"x","r":0,"u":0}"#,
        r#"{"i":"88.9/A","v":1,"s":"a","r":0,"u":0}"#,
        r#"{"i":"88.999.1/A","v":1,"s":"a","r":0,"u":999999999999999}"#,
        r#"{"i":"88.999.1/A","v":1,"s":"a","d":[{"i":0,"t":"A","d":{"i":1}}],"r":0,"u":0}"#,
        r#"{"i":"88.999.1/A","v":1,"s":"a","d":[{"i":2,"t":"A","d":{"i":1}},{"i":2,"t":"A","d":{"i":1}}],"r":0,"u":0}"#,
        r#"{"i":"88.999.1/A","v":1,"s":"a","l":[{"r":"x"}],"r":0,"u":0}"#,
    ] {
        assert!(Record::from_row(row.as_bytes()).is_err(), "{row}");
    }
}
