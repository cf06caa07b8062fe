//! Drafts that are read: defaults, every member, every kind of data.
//!
//! What is refused, and patches, have files of their own.

mod patches;
mod refusals;

use serde_json::json;

use super::*;
use crate::model::value::{Data, Visibility};

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_447_477).unwrap()
}

fn at(pointer: &str, code: &'static str) -> Vec<(String, &'static str)> {
    vec![(pointer.to_owned(), code)]
}

fn data_of(json: Json) -> Data {
    Data::from_json(&json).unwrap()
}

#[test]
fn an_empty_draft_is_a_draft() {
    assert_eq!(Draft::from_json(&json!({}), now()), Ok(Draft::default()));
}

#[test]
fn values_are_sorted_and_get_every_default() {
    let draft = Draft::from_json(
        &json!({"values": [{"index": 7, "type": "A", "data": 1}, {"index": "3", "type": "B", "data": true}]}),
        now(),
    )
    .unwrap();
    assert_eq!(
        draft.values,
        [Value::new(3, "B", Data::Boolean(true), now()), Value::new(7, "A", Data::Integer(1), now())]
    );
}

#[test]
fn every_member_of_a_value_is_read() {
    let json = json!({"index": 1, "type": "A", "data": "x", "ttl": 0, "permissions": "1100", "references": [{"handle": "hdl:10.1000/1", "index": 2}],
        "timestamp": "2020-01-01T00:00:00Z", "visibility": "signed-in"});
    let value = Value::from_json(&json, now()).unwrap();
    assert_eq!((value.ttl_seconds, value.permissions.bits(), value.visibility), (0, 0x0C, Visibility::SignedIn));
    assert_eq!(value.references.first().map(|reference| reference.handle.as_str()), Some("10.1000/1"));
    assert_eq!(value.timestamp.to_string(), "2020-01-01T00:00:00Z");
}

#[test]
fn bare_data_and_typed_data_mean_the_same() {
    assert_eq!(data_of(json!("x")), data_of(json!({"format": "string", "value": "x"})));
    assert_eq!(data_of(json!(12)), data_of(json!({"format": "integer", "value": "12"})));
    assert_eq!(data_of(json!(true)), data_of(json!({"format": "boolean", "value": true})));
    assert_eq!(data_of(json!(1.5)), data_of(json!({"format": "decimal", "value": "1.5"})));
    assert_eq!(
        data_of(json!(18_446_744_073_709_551_615_u64)),
        data_of(json!({"format": "decimal", "value": "18446744073709551615"}))
    );
    assert_eq!(
        data_of(json!({"format": "hex", "value": "00fF"})),
        data_of(json!({"format": "base64", "value": "AP8="}))
    );
    assert_eq!(data_of(json!({"format": "hex", "value": "00ff"})), Data::Bytes(vec![0, 255]));
}

#[test]
fn a_decimal_keeps_its_digits_and_unit() {
    let data = data_of(json!({"format": "decimal", "value": "12.50", "unit": "kg"}));
    assert_eq!(serde_json::to_value(&data).unwrap(), json!({"format": "decimal", "value": "12.50", "unit": "kg"}));
}

#[test]
fn handle_administration_data_keeps_its_form() {
    for json in [
        json!({"format": "admin", "value": {"handle": "0.NA/88.999", "index": 300, "permissions": "011111110011"}}),
        json!({"format": "vlist", "value": [{"handle": "0.NA/88.999", "index": 300}]}),
        json!({"format": "site", "value": {"version": 1, "servers": [{"serverId": 1}]}}),
        json!({"format": "key", "value": {"kty": "OKP", "crv": "Ed25519", "x": "AA"}}),
        json!({"format": "list", "value": [{"format": "list", "value": [{"format": "integer", "value": 1}]}]}),
    ] {
        assert_eq!(serde_json::to_value(data_of(json.clone())).unwrap(), json);
    }
}
