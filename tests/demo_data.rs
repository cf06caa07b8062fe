//! The demonstration data (`config/demo/records.ndjson`) judged by itself, as plain JSON.
//!
//! It says whether the file is whole: well formed, linked both ways, aliases unique and rightly
//! checked, recalls carried downstream, nothing pointing at a real host. It does not say that the
//! node accepts the file; loading it is tested with the node.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

const RECORDS: &str = include_str!("../config/demo/records.ndjson");
const PREFIX: &str = "88.999.1/";
/// The first index of a record's items; 1000 and 1001 belong to the template reference.
const FIRST_ITEM_INDEX: u64 = 2000;
/// GS1's prefix for demonstrations and examples; a GTIN carries its indicator digit before it.
const GS1_EXAMPLE_PREFIX: &str = "952";

/// The five focus industries, by the first part of a suffix. A vehicle and its battery are one.
fn industry(identifier: &str) -> Option<&'static str> {
    let suffix = identifier.strip_prefix(PREFIX)?;
    match suffix.split('-').next()? {
        "MAT" => Some("new materials"),
        "MT" => Some("high-end equipment"),
        "AP" => Some("auto parts"),
        "BAT" | "NEV" => Some("new-energy vehicles"),
        "DRG" => Some("biomedicine"),
        _ => None,
    }
}

fn records() -> Vec<Value> {
    let parse = |(at, line): (usize, &str)| match serde_json::from_str(line) {
        Ok(record) => record,
        Err(error) => panic!("line {} is not JSON: {error}", at + 1),
    };
    RECORDS.lines().enumerate().map(parse).collect()
}

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

/// A missing list reads as an empty one: records without links or aliases leave the field out.
fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn by_identifier(records: &[Value]) -> HashMap<&str, &Value> {
    records.iter().map(|r| (text(r, "identifier"), r)).collect()
}

fn linked<'a>(record: &'a Value, rel: &'a str) -> impl Iterator<Item = &'a str> {
    list(record, "links").iter().filter(move |l| text(l, "rel") == rel).map(|l| text(l, "identifier"))
}

/// GS1 General Specifications, section 7.9: from the right, digits weigh 3 and 1 in turn.
fn check_digit_is_right(digits: &str) -> bool {
    let weigh = |(place, digit): (usize, char)| Some(digit.to_digit(10)? * if place % 2 == 0 { 1 } else { 3 });
    digits.chars().rev().enumerate().map(weigh).sum::<Option<u32>>().is_some_and(|sum| sum % 10 == 0)
}

#[test]
fn the_check_digit_rule_knows_right_from_wrong() {
    assert!(check_digit_is_right("9521234543213"), "GS1's own example GTIN");
    assert!(!check_digit_is_right("9521234543214"));
    assert!(!check_digit_is_right("952123454321X"));
}

#[test]
fn every_line_is_a_record_in_the_form_of_import_and_export() {
    assert!(RECORDS.len() <= 400 * 1024, "the file has grown to {} bytes", RECORDS.len());
    let fields = ["identifier", "status", "values", "links", "aliases", "registrant"];
    let mut seen = HashSet::new();
    for record in &records() {
        let identifier = text(record, "identifier");
        assert!(identifier.starts_with(PREFIX), "{identifier} is not under {PREFIX}");
        assert!(seen.insert(identifier.to_ascii_lowercase()), "{identifier} occurs twice");
        assert!(
            record.as_object().is_some_and(|o| o.keys().all(|k| fields.contains(&k.as_str()))),
            "{identifier} has a field that the form does not"
        );
        assert!(
            ["active", "suspended", "recalled", "retired"].contains(&text(record, "status")),
            "{identifier}: status"
        );
        assert!(
            text(record, "registrant").starts_with("示范"),
            "{identifier}: the registrant must show that it is fictional"
        );
        assert!(!list(record, "values").is_empty(), "{identifier} says nothing");
        for (at, value) in list(record, "values").iter().enumerate() {
            assert_eq!(value["index"].as_u64(), Some(FIRST_ITEM_INDEX + at as u64), "{identifier}: value {at}");
            assert!(!text(value, "type").is_empty(), "{identifier}: value {at} has no type");
            assert_data_fits_its_format(identifier, &value["data"]);
        }
    }
}

fn assert_data_fits_its_format(identifier: &str, data: &Value) {
    let value = &data["value"];
    let fits = match text(data, "format") {
        "string" | "identifier" | "bytes" => value.as_str().is_some_and(|s| !s.is_empty()),
        "integer" => value.is_i64(),
        // Exact, so text: a JSON number would pass through a float on the way.
        "decimal" => value.as_str().is_some_and(|s| s.parse::<f64>().is_ok()),
        "date" => value.as_str().is_some_and(is_a_date),
        "boolean" => value.is_boolean(),
        "url" => value.as_str().is_some_and(is_on_an_example_host),
        "list" => {
            list(data, "value").iter().for_each(|item| assert_data_fits_its_format(identifier, item));
            !list(data, "value").is_empty()
        }
        _ => false,
    };
    assert!(fits, "{identifier}: {data} does not fit its format");
}

fn is_a_date(text: &str) -> bool {
    text.parse::<jiff::civil::Date>().is_ok() && text.len() == "2026-01-31".len()
}

/// example.com is reserved (RFC 2606): nobody's server gets requests because of this data.
fn is_on_an_example_host(url: &str) -> bool {
    let host = url.strip_prefix("https://").and_then(|rest| rest.split('/').next());
    host.is_some_and(|host| host == "example.com" || host.ends_with(".example.com"))
}

#[test]
fn every_kind_of_data_and_every_visibility_occurs() {
    let records = records();
    let mut formats = BTreeSet::new();
    let mut visibilities = BTreeSet::new();
    for value in records.iter().flat_map(|r| list(r, "values")) {
        formats.insert(text(&value["data"], "format"));
        visibilities.insert(value["visibility"].as_str().unwrap_or("public"));
    }
    let expected = ["boolean", "bytes", "date", "decimal", "identifier", "integer", "list", "string", "url"];
    assert!(formats.into_iter().eq(expected));
    assert!(visibilities.into_iter().eq(["granted", "owner", "public", "signed-in"]));
}

#[test]
fn every_link_resolves_and_is_answered_from_the_other_end() {
    let records = records();
    let known = by_identifier(&records);
    for record in &records {
        let identifier = text(record, "identifier");
        for (rel, answer) in [("made-from", "went-into"), ("went-into", "made-from")] {
            let mut targets = HashSet::new();
            for target in linked(record, rel) {
                assert!(targets.insert(target), "{identifier} is {rel} {target} twice");
                let Some(other) = known.get(target) else {
                    panic!("{identifier} {rel} {target}, which is not in the file")
                };
                assert!(
                    linked(other, answer).any(|back| back == identifier),
                    "{target} does not say that it {answer} {identifier}"
                );
            }
        }
        for link in list(record, "links").iter().filter(|l| l.get("href").is_some()) {
            assert!(link.get("identifier").is_none(), "{identifier}: a link has both href and identifier");
            assert!(is_on_an_example_host(text(link, "href")), "{identifier}: {link}");
        }
    }
}

#[test]
fn every_identifier_among_the_values_resolves() {
    let records = records();
    let known = by_identifier(&records);
    for record in &records {
        for value in list(record, "values").iter().filter(|v| text(&v["data"], "format") == "identifier") {
            let target = text(&value["data"], "value");
            assert!(
                known.contains_key(target),
                "{} names {target}, which is not in the file",
                text(record, "identifier")
            );
        }
    }
}

#[test]
fn a_record_comes_after_what_it_is_made_from() {
    let records = records();
    let mut earlier = HashSet::new();
    for record in &records {
        let identifier = text(record, "identifier");
        for source in linked(record, "made-from") {
            assert!(earlier.contains(source), "{identifier} comes before {source}");
        }
        earlier.insert(identifier);
    }
}

#[test]
fn aliases_are_unique_and_their_check_digits_right() {
    let records = records();
    let mut owners: HashMap<&str, &str> = HashMap::new();
    let mut checked: BTreeMap<&str, usize> = BTreeMap::new();
    for (record, alias) in records.iter().flat_map(|r| list(r, "aliases").iter().map(move |a| (r, a))) {
        let (owner, alias_text) = (text(record, "identifier"), text(alias, "identifier"));
        if let Some(first) = owners.insert(alias_text, owner) {
            panic!("{alias_text} is claimed by {first} and by {owner}");
        }
        match text(alias, "scheme") {
            "gs1" => *checked.entry(assert_gs1_key(owner, alias_text)).or_default() += 1,
            // 2.999 is the arc that ITU-T and ISO set aside for examples.
            "oid" => assert!(alias_text.starts_with("2.999."), "{owner}: {alias_text} is outside the example arc"),
            "did" => assert!(alias_text.starts_with("did:cn:88.999.1:"), "{owner}: {alias_text}"),
            other => panic!("{owner}: an alias of the scheme {other:?}"),
        }
    }
    for name in ["GTIN", "SSCC", "GLN", "GIAI"] {
        assert!(checked.contains_key(name), "no alias is a {name}");
    }
}

/// Checks one key in element form ("01/…/21/…") and says which kind it is.
fn assert_gs1_key(owner: &str, alias: &str) -> &'static str {
    let parts: Vec<&str> = alias.split('/').collect();
    let [application, key, qualifiers @ ..] = parts.as_slice() else { panic!("{owner}: {alias}") };
    let (name, digits, company_at) = match *application {
        "01" => ("GTIN", 14, 1),
        "00" => ("SSCC", 18, 1),
        "414" => ("GLN", 13, 0),
        // The asset identifier is free text after the company prefix and has no check digit.
        "8004" => ("GIAI", key.len(), 0),
        other => panic!("{owner}: the application identifier {other} is not one of ours"),
    };
    assert_eq!(key.len(), digits, "{owner}: {alias}");
    assert!(name == "GIAI" || check_digit_is_right(key), "{owner}: the check digit of {alias} is wrong");
    assert!(
        key.get(company_at..).is_some_and(|rest| rest.starts_with(GS1_EXAMPLE_PREFIX)),
        "{owner}: {alias} is outside GS1's example range"
    );
    let allowed =
        qualifiers.chunks(2).all(|pair| matches!(pair, ["10" | "21", text] if (1..=20).contains(&text.len())));
    assert!(allowed && (name == "GTIN" || qualifiers.is_empty()), "{owner}: the qualifiers of {alias}");
    name
}

#[test]
fn a_recall_reaches_everything_that_the_batch_went_into() {
    let records = records();
    let known = by_identifier(&records);
    for record in records.iter().filter(|r| text(r, "status") == "recalled") {
        for target in linked(record, "went-into") {
            let status = known.get(target).map_or("", |r| text(r, "status"));
            assert!(
                matches!(status, "recalled" | "suspended"),
                "{target} is {status}, though {} is recalled",
                text(record, "identifier")
            );
        }
    }
    let recalled_of = |kind: &str| {
        records.iter().filter(|r| text(r, "status") == "recalled" && text(r, "identifier").contains(kind)).count()
    };
    assert_eq!(recalled_of("/AP-SEAL-"), 1, "the batch at fault");
    assert_eq!(recalled_of("/NEV-VEH-"), 2, "the vehicles it is in");
    assert_eq!(recalled_of("/DRG-LOT-"), 1, "the drug lot");
}

#[test]
fn each_focus_industry_has_its_share() {
    let records = records();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        let identifier = text(record, "identifier");
        let Some(name) = industry(identifier) else { panic!("{identifier} belongs to no focus industry") };
        *counts.entry(name).or_default() += 1;
    }
    println!("{} demonstration records: {counts:?}", records.len());
    assert!((250..=400).contains(&records.len()));
    assert_eq!(counts.len(), 5);
    assert!(counts.values().all(|count| *count >= 40), "{counts:?}");
}
