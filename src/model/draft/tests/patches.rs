//! Patches, and that no JSON makes reading drafts or patches panic.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn base() -> Draft {
    let json = json!({"template": "t/1", "registrant": "R", "links": [{"rel": "a", "href": "https://a.cn/"}],
        "values": [{"index": 1, "type": "A", "data": "x", "ttl": 60, "timestamp": "2020-01-01T00:00:00Z"}, {"index": 5, "type": "B", "data": 2}]});
    Draft::from_json(&json, now()).unwrap()
}

fn patched(json: &Json) -> Result<Draft, Vec<FieldError>> {
    DraftPatch::from_json(json, now()).and_then(|patch| patch.apply_to(base(), &DraftLimits::default()))
}

#[test]
fn a_patch_leaves_alone_what_it_does_not_name() {
    assert_eq!(patched(&json!({})), Ok(base()));
    let draft = patched(&json!({"status": "recalled", "template": null, "links": []})).unwrap();
    assert_eq!(draft, Draft { status: Some(Status::Recalled), template: None, links: Vec::new(), ..base() });
}

#[test]
fn values_of_a_patch_are_merged_removed_and_added_by_index() {
    let json = json!({"values": [{"index": 5, "remove": true}, {"index": 1, "data": "y"}, {"index": 3, "type": "C", "data": true}]});
    let draft = patched(&json).unwrap();
    let merged = Value { ttl_seconds: 60, ..Value::new(1, "A", Data::String("y".into()), now()) };
    assert_eq!(draft.values, [merged, Value::new(3, "C", Data::Boolean(true), now())]);
}

#[test]
fn a_patch_that_cannot_be_applied_says_where() {
    for (json, pointer, code) in [
        (json!({"values": [{"index": 9, "remove": true}]}), "/values/0/index", "no_such_value"),
        (json!({"values": [{"index": 9, "data": 1}]}), "/values/0/type", "required"),
        (json!({"values": [{"index": 1, "remove": false}]}), "/values/0/remove", "wrong_type"),
        (json!({"values": [{"index": 1, "remove": true, "data": 1}]}), "/values/0/data", "unknown_field"),
        (
            json!({"values": [{"index": 1, "data": 1}, {"index": 1, "remove": true}]}),
            "/values/1/index",
            "duplicate_index",
        ),
        (json!({"identifier": "88.999/x"}), "/identifier", "unknown_field"),
    ] {
        let errors = patched(&json).unwrap_err();
        assert_eq!(
            errors.iter().map(|error| (error.pointer.clone(), error.code)).collect::<Vec<_>>(),
            at(pointer, code),
            "{json}"
        );
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let names = prop::sample::select(vec![
        "values",
        "links",
        "aliases",
        "status",
        "index",
        "type",
        "data",
        "format",
        "value",
        "rel",
        "href",
        "scheme",
        "identifier",
        "remove",
        "ttl",
        "references",
    ]);
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,9}".prop_map(Json::from),
        prop::sample::select(vec!["list", "admin", "decimal", "hex", "gs1", "vaa", "88.118.8/x", "active"])
            .prop_map(Json::from)
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(|members| members
                .into_iter()
                .map(|(name, json)| (name.to_owned(), json))
                .collect::<Map<_, _>>()
                .into()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_reading_panic_and_no_refusal_is_silent(json in any_json()) {
        if let Err(errors) = Draft::from_json(&json, now()) {
            prop_assert!(!errors.is_empty(), "refused without a reason: {}", json);
        }
        match DraftPatch::from_json(&json, now()) {
            Err(errors) => prop_assert!(!errors.is_empty(), "refused without a reason: {}", json),
            Ok(patch) => {
                if let Err(errors) = patch.apply_to(base(), &DraftLimits::default()) {
                    prop_assert!(!errors.is_empty(), "refused without a reason: {}", json);
                }
            }
        }
        if let Err(errors) = Value::from_json(&json, now()) {
            prop_assert!(!errors.is_empty(), "refused without a reason: {}", json);
        }
    }
}

#[test]
fn patches_cannot_grow_a_record_without_end() {
    let patch =
        DraftPatch::from_json(&json!({"values": [{"index": 9, "type": "A", "data": "0123456789"}]}), now()).unwrap();
    assert!(patch.apply_to(base(), &DraftLimits::default()).is_ok());
    let heavier = patch.apply_to(base(), &DraftLimits { max_record_bytes: 18, ..DraftLimits::default() }).unwrap_err();
    assert_eq!(
        heavier.iter().map(|error| (error.pointer.as_str(), error.code)).collect::<Vec<_>>(),
        [("/values", "too_long")]
    );
}
