//! The main job on real input: a thousand real products imported with a mapping, resolved three ways, exported, and the export
//! imported on an empty node. Runs the program itself; the data lies beside the project (../shared/data) and is not copied.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::path::Path;

use program::Node;
use serde_json::Value as Json;

const MAPPING: &str = r#"{
    "identifier": "88.999.1/{code}",
    "values": [
        {"index": 2000, "type": "产品名称", "from": "product_name"},
        {"index": 2001, "type": "品牌", "from": "brands"},
        {"index": 2002, "type": "规格", "from": "quantity"},
        {"index": 2003, "type": "类别", "from": "categories"},
        {"index": 2004, "type": "产地", "from": "countries"},
        {"index": 2005, "type": "修改时间", "from": "last_modified_t", "format": "integer"}
    ],
    "aliases": [{"scheme": "gs1", "from": "code"}]
}"#;

#[test]
fn a_thousand_real_products_are_registered_resolved_three_ways_and_moved_to_another_node() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/products.ndjson.gz");
    if !data.exists() {
        println!("skipped: ../shared/data/products.ndjson.gz is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("node"));
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(at("mapping.json"), MAPPING).unwrap();

    let imported = node.run_signed_in(&[
        "import",
        &data.to_string_lossy(),
        "--mapping",
        &at("mapping.json"),
        "--errors",
        &at("errors.ndjson"),
    ]);
    assert_eq!(imported.status.code(), Some(1), "three rows fail: {}", String::from_utf8_lossy(&imported.stderr));
    let errors: Vec<Json> = std::fs::read_to_string(at("errors.ndjson"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut bad: Vec<&str> = errors
        .iter()
        .map(|error| {
            assert_eq!(error["code"], "identifier_bad_check_digit", "{error}");
            assert_eq!(error["column"], "code");
            assert!(error["line"].as_u64().unwrap() > 0);
            ["00002220", "00012444", "00013029"]
                .into_iter()
                .find(|code| error["row"].to_string().contains(code))
                .expect("one of the three")
        })
        .collect();
    bad.sort_unstable();
    assert_eq!(bad, ["00002220", "00012444", "00013029"]);

    let by_prefix = node.resolve("88.999.1/0000101209159");
    assert_eq!(by_prefix["values"][0]["data"]["value"], "Véritable pâte à tartiner noisettes chocolat noir");
    for name in ["0000101209159", "01/00000101209159", "https://id.gs1.org/01/00000101209159"] {
        assert_eq!(node.resolve(name), by_prefix, "{name}");
    }

    let exported = node.run_signed_in(&["export", "-o", &at("export.ndjson")]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let first = records(&at("export.ndjson"));
    assert!(first.len() >= 997 + 336, "{} records", first.len());

    let other = Node::start(&folder.path().join("other"));
    let imported = other.run_signed_in(&["import", &at("export.ndjson"), "--on-conflict", "skip"]);
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let exported = other.run_signed_in(&["export", "-o", &at("again.ndjson")]);
    assert!(exported.status.success());
    assert_eq!(records(&at("again.ndjson")), first);

    // The same by way of spreadsheets, whose headers say themselves what their columns mean.
    for table in ["export.csv", "export.csv.gz", "export.xlsx"] {
        let exported = node.run_signed_in(&["export", "--resume", "-o", &at(table)]);
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        let third = Node::start(&folder.path().join(format!("{table}.node")));
        let imported = third.run_signed_in(&["import", &at(table), "--on-conflict", "skip"]);
        assert!(imported.status.success(), "{table}: {}", String::from_utf8_lossy(&imported.stderr));
        let exported = third.run_signed_in(&["export", "--force", "-o", &at("again.ndjson")]);
        assert!(exported.status.success());
        assert_eq!(records(&at("again.ndjson")), first, "{table}");
        let again = node.run_signed_in(&["import", &at(table)]);
        assert!(again.status.success(), "nothing has changed: {}", String::from_utf8_lossy(&again.stderr));
    }
}

/// An export's records without what another node gives anew: version and times.
fn records(path: &str) -> Vec<Json> {
    let mut found: Vec<Json> = std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| {
            let mut record: Json = serde_json::from_str(line).unwrap();
            let members = record.as_object_mut().unwrap();
            for name in ["version", "registered", "updated"] {
                members.remove(name);
            }
            // The demonstration records are loaded by each node at its own moment.
            for value in members["values"].as_array_mut().unwrap() {
                value.as_object_mut().unwrap().remove("timestamp");
            }
            record
        })
        .collect();
    found.sort_by_key(|record| record["identifier"].to_string());
    found
}
