//! Drafts that are refused: each rule with the place where it was broken.

use serde_json::json;

use super::*;

fn complaints(json: &Json) -> Vec<(String, &'static str)> {
    let errors = Draft::from_json(json, now()).unwrap_err();
    errors.into_iter().map(|error| (error.pointer, error.code)).collect()
}

/// The second of two values, so that pointers have something to count.
fn value(members: Json) -> Json {
    json!({"values": [{"index": 1, "type": "A", "data": "x"}, members]})
}

fn data(data: Json) -> Json {
    value(json!({"index": 2, "type": "A", "data": data}))
}

fn refused(cases: &[(Json, &str, &'static str)]) {
    for (json, pointer, code) in cases {
        assert_eq!(complaints(json), at(pointer, code), "{json}");
    }
}

#[test]
fn each_broken_rule_of_a_draft_is_named_with_its_place() {
    refused(&[
        (json!([]), "", "wrong_type"),
        (json!({"colour": 1}), "/colour", "unknown_field"),
        (json!({"a/b": 1}), "/a~1b", "unknown_field"),
        (json!({"status": "deleted"}), "/status", "unknown_word"),
        (json!({"status": 1}), "/status", "unknown_word"),
        (json!({"template": ""}), "/template", "bad_text"),
        (json!({"registrant": " x"}), "/registrant", "bad_text"),
        (json!({"registrant": "x".repeat(256)}), "/registrant", "too_long"),
        (json!({"values": {}}), "/values", "wrong_type"),
        (json!({"links": [{"rel": "a"}]}), "/links/0", "one_of"),
        (json!({"links": [{"rel": "a", "href": "https://a.cn/", "identifier": "10.1000/1"}]}), "/links/0", "one_of"),
        (json!({"links": [{"href": "https://a.cn/"}]}), "/links/0/rel", "required"),
        (json!({"links": [{"rel": "a", "href": "data:,x"}]}), "/links/0/href", "bad_url"),
        (json!({"aliases": [{"scheme": "isbn", "identifier": "1"}]}), "/aliases/0/scheme", "unknown_word"),
        (
            json!({"aliases": [{"scheme": "gs1", "identifier": "00002220"}]}),
            "/aliases/0/identifier",
            "identifier_bad_check_digit",
        ),
        (
            json!({"aliases": [{"scheme": "gs1", "identifier": "96385074"}, {"scheme": "gs1", "identifier": "(01)00000096385074"}]}),
            "/aliases/1",
            "duplicate_alias",
        ),
    ]);
}

#[test]
fn each_broken_rule_of_a_value_is_named_with_its_place() {
    refused(&[
        (value(json!({"index": 1, "type": "A", "data": "x"})), "/values/1/index", "duplicate_index"),
        (value(json!({"index": 0, "type": "A", "data": "x"})), "/values/1/index", "out_of_range"),
        (value(json!({"index": 4_294_967_296_u64, "type": "A", "data": "x"})), "/values/1/index", "out_of_range"),
        (value(json!({"type": "A", "data": "x"})), "/values/1/index", "required"),
        (value(json!({"index": 2, "data": "x"})), "/values/1/type", "required"),
        (value(json!({"index": 2, "type": "A"})), "/values/1/data", "required"),
        (value(json!({"index": 2, "type": "A", "data": null})), "/values/1/data", "wrong_type"),
    ]);
}

#[test]
fn each_broken_rule_of_what_a_value_carries_beside_its_data_is_named() {
    refused(&[
        (value(json!({"index": 2, "type": "A", "data": "x", "ttl": 172_801})), "/values/1/ttl", "out_of_range"),
        (
            value(json!({"index": 2, "type": "A", "data": "x", "permissions": "111"})),
            "/values/1/permissions",
            "bad_permissions",
        ),
        (value(json!({"index": 2, "type": "A", "data": "x", "timestamp": "today"})), "/values/1/timestamp", "bad_time"),
        (
            value(json!({"index": 2, "type": "A", "data": "x", "visibility": "secret"})),
            "/values/1/visibility",
            "unknown_word",
        ),
        (
            value(json!({"index": 2, "type": "A", "data": "x", "references": [{"handle": "x", "index": 1}]})),
            "/values/1/references/0/handle",
            "identifier_unrecognized",
        ),
        (value(json!({"index": 2, "type": "A", "data": "x".repeat(61_441)})), "/values/1/data", "too_long"),
    ]);
}

#[test]
fn each_broken_rule_of_data_is_named_with_its_place() {
    refused(&[
        (data(json!({"format": "string"})), "/values/1/data/value", "required"),
        (data(json!({"format": "float", "value": 1})), "/values/1/data/format", "unknown_word"),
        (
            value(json!({"index": 2, "type": "A", "data": {"format": "string", "value": "x", "unit": "kg"}})),
            "/values/1/data/unit",
            "unknown_field",
        ),
        (data(json!({"format": "decimal", "value": "1,5"})), "/values/1/data/value", "bad_decimal"),
        (data(json!({"format": "integer", "value": 1.5})), "/values/1/data/value", "bad_integer"),
        (
            value(json!({"index": 2, "type": "A", "data": {"format": "date", "value": "2026-02-30"}})),
            "/values/1/data/value",
            "bad_date",
        ),
        (
            value(json!({"index": 2, "type": "A", "data": {"format": "url", "value": "javascript:alert(1)"}})),
            "/values/1/data/value",
            "bad_url",
        ),
        (
            value(json!({"index": 2, "type": "A", "data": {"format": "identifier", "value": "88.1/x"}})),
            "/values/1/data/value",
            "identifier_bad_vaa_prefix",
        ),
    ]);
}

#[test]
fn each_broken_rule_of_bytes_lists_and_handle_data_is_named() {
    refused(&[
        (data(json!({"format": "base64", "value": "*"})), "/values/1/data/value", "bad_bytes"),
        (data(json!({"format": "hex", "value": "123"})), "/values/1/data/value", "bad_bytes"),
        (data(json!({"format": "list", "value": [1, null]})), "/values/1/data/value/1", "wrong_type"),
        (
            value(json!({"index": 2, "type": "A", "data": {"format": "site", "value": {"x": 0.1}}})),
            "/values/1/data/value",
            "bad_document",
        ),
        (
            value(
                json!({"index": 2, "type": "A", "data": {"format": "admin", "value": {"handle": "0.NA/1", "index": 1, "permissions": "1"}}}),
            ),
            "/values/1/data/value/permissions",
            "bad_permissions",
        ),
    ]);
}

#[test]
fn several_errors_are_told_at_once_in_both_languages() {
    let errors =
        Draft::from_json(&json!({"status": "gone", "values": [{"index": 0, "type": "A", "data": 1}], "x": 1}), now())
            .unwrap_err();
    assert_eq!(errors.len(), 3);
    assert!(errors.iter().all(|error| !error.detail.zh.is_ascii() && error.detail.en.is_ascii()), "{errors:?}");
}

#[test]
fn more_than_the_limit_of_anything_is_refused() {
    let limits = DraftLimits {
        max_values: 1,
        max_value_bytes: 4,
        max_record_bytes: 64,
        max_links: 0,
        max_aliases: 0,
        ..DraftLimits::default()
    };
    let json = json!({"values": [{"index": 1, "type": "A", "data": "12345"}], "links": [{}], "aliases": [{}]});
    let errors = Draft::from_json_within(&json, now(), &limits).unwrap_err();
    let found: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.code)).collect();
    assert_eq!(found, [("/values/0/data", "too_long"), ("/links", "too_many"), ("/aliases", "too_many")]);
    let deep = (0..9).fold(json!(1), |inner, _| json!({"format": "list", "value": [inner]}));
    assert_eq!(Data::from_json(&deep).unwrap_err().first().map(|error| error.code), Some("bad_list"));
}
