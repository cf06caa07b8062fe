//! GS1: one key however it is written, every primary key with its qualifiers, every refusal, the real products.
//!
//! The products are read where they lie beside the repository; elsewhere that one test says that it was skipped.

use std::io::{BufRead, BufReader};
use std::path::Path;

use mingpai::model::identifier::{Identifier, IdentifierError};
use mingpai::model::scheme::Scheme;

use crate::{code, key, parse};

#[test]
fn one_product_has_one_key_however_its_gtin_is_written() {
    for text in [
        "01/09506000134352",
        "gs1:01/09506000134352",
        "gs1:9506000134352",
        "gtin:9506000134352",
        "GTIN:09506000134352",
        "9506000134352",
        "09506000134352",
        "(01)09506000134352",
        "(17)271231(01)09506000134352",
        "https://id.gs1.org/01/09506000134352",
        "http://example.com:8080/some/path/01/09506000134352?17=271231&linkType=all",
        "https://example.com/01/9506000134352/",
        "id:https://id.gs1.org/01/09506000134352#x",
    ] {
        assert_eq!(key(text), "gs1:01/09506000134352", "{text}");
    }
    assert_eq!(key("96385074"), "gs1:01/00000096385074");
    assert_eq!(parse("96385074").spelling(), "01/00000096385074");
    assert_eq!((parse("96385074").prefix(), parse("96385074").suffix()), ("gs1", "01/00000096385074"));
}

#[test]
fn every_gs1_key_is_read_with_its_qualifiers() {
    for (text, expected) in [
        ("00/106141412345678908", "00/106141412345678908"),
        ("01/09506000134352/22/2A/10/LOT1/21/s9", "01/09506000134352/22/2A/10/LOT1/21/s9"),
        ("(21)s9(01)09506000134352(10)LOT1", "01/09506000134352/10/LOT1/21/s9"),
        ("(01)09506000134352(10)A(B)C/1%", "01/09506000134352/10/A(B)C%2F1%25"),
        ("https://x.cn/01/09506000134352/10/A(B)C%2F1%25", "01/09506000134352/10/A(B)C%2F1%25"),
        ("01/09506000134352/235/TPX-1", "01/09506000134352/235/TPX-1"),
        ("gs1:253/5412345000013DOC-7", "253/5412345000013DOC-7"),
        ("gs1:255/5412345000013123", "255/5412345000013123"),
        ("gs1:401/5412345ABC", "401/5412345ABC"),
        ("gs1:402/54123450000000013", "402/54123450000000013"),
        ("gs1:410/5412345000013", "410/5412345000013"),
        ("gs1:414/5412345000013/254/D1", "414/5412345000013/254/D1"),
        ("gs1:414/5412345000013/7040/1AB_", "414/5412345000013/7040/1AB_"),
        ("gs1:415/5412345000013/8020/R1", "415/5412345000013/8020/R1"),
        ("gs1:417/5412345000013", "417/5412345000013"),
        ("gs1:8003/05412345000013S1", "8003/05412345000013S1"),
        ("gs1:8004/5412345A", "8004/5412345A"),
        ("gs1:8006/095060001343520102/10/L", "8006/095060001343520102/10/L"),
        ("gs1:8010/5412345#A%2F1/8011/12", "8010/5412345#A%2F1/8011/12"),
        ("gs1:8013/1987654Ad4X4bL5ttr2310c2K", "8013/1987654Ad4X4bL5ttr2310c2K"),
        ("gs1:8017/106141412345678908/8019/7", "8017/106141412345678908/8019/7"),
        ("gs1:8018/106141412345678908", "8018/106141412345678908"),
    ] {
        assert_eq!(key(text), format!("gs1:{expected}"), "{text}");
    }
    assert_ne!(key("01/09506000134352/10/lot1"), key("01/09506000134352/10/LOT1"), "GS1 values have case");
}

#[test]
fn gs1_forms_that_break_a_rule_are_refused_by_name() {
    for (text, expected) in [
        ("01/09506000134353", "identifier_bad_check_digit"),
        ("9506000134353", "identifier_bad_check_digit"),
        ("00/106141412345678901", "identifier_bad_check_digit"),
        ("gs1:8013/1987654Ad4X4bL5ttr2310cXK", "identifier_bad_check_digit"),
        ("gs1:8003/15412345000013", "identifier_bad_gs1_value"),
        ("gs1:8006/095060001343520201", "identifier_bad_gs1_value"),
        ("gs1:8011/1", "identifier_unknown_gs1_key"),
        ("gs1:10/LOT", "identifier_unknown_gs1_key"),
        ("(10)LOT", "identifier_unknown_gs1_key"),
        ("(01)09506000134352(00)106141412345678908", "identifier_bad_gs1_qualifier"),
        ("01/09506000134352/21/s/10/l", "identifier_bad_gs1_qualifier"),
        ("01/09506000134352/10/a/10/b", "identifier_bad_gs1_qualifier"),
        ("01/09506000134352/10/a/235/b", "identifier_bad_gs1_qualifier"),
        ("00/106141412345678908/10/a", "identifier_bad_gs1_qualifier"),
        ("01/09506000134352/10", "identifier_unknown_gs1_key"),
        ("01/09506000134352/10/", "identifier_bad_gs1_value"),
        ("01/09506000134352/10/123456789012345678901", "identifier_bad_gs1_value"),
        ("https://example.com/01/0950600013435X", "identifier_bad_gs1_value"),
        ("https://example.com/products/7", "identifier_unknown_uri"),
        ("https://example.com/10/LOT", "identifier_unknown_uri"),
        ("gs1:414/5412345000013/254/Dock 1", "identifier_bad_gs1_value"),
        ("1234567", "identifier_bad_gs1_value"),
    ] {
        assert_eq!(code(text), expected, "{text}");
    }
    let error = Identifier::parse("9506000134353").unwrap_err();
    assert_eq!(error, IdentifierError::BadCheckDigit { ai: "01", expected: "2".into() });
    assert!(error.text().zh.contains("应为 2"), "{}", error.text().zh);
}

#[test]
fn exactly_three_of_the_real_products_fail_their_check_digit() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/products.ndjson.gz");
    let Ok(file) = std::fs::File::open(file) else {
        eprintln!("skipped: ../shared/data/products.ndjson.gz is not here");
        return;
    };
    let mut refused = Vec::new();
    let mut read = 0;
    for line in BufReader::new(flate2::read::GzDecoder::new(file)).lines() {
        let product: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        let gtin = product["code"].as_str().unwrap();
        match Identifier::parse_as(Scheme::Gs1, gtin) {
            Ok(identifier) => {
                assert_eq!(identifier.key().as_str(), format!("gs1:01/{gtin:0>14}"));
                read += 1;
            }
            Err(error) => {
                assert_eq!(error.code(), "identifier_bad_check_digit", "{gtin}");
                refused.push(gtin.to_owned());
            }
        }
    }
    assert_eq!(refused, ["00002220", "00012444", "00013029"]);
    assert_eq!(read, 997);
}
