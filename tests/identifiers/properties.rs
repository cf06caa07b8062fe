//! Properties: nothing panics, what is read is canonical, check digits catch every single wrong digit.
//!
//! Single vectors are in the other files.

use mingpai::model::identifier::{CanonicalKey, Identifier, MAX_IDENTIFIER_BYTES};
use mingpai::model::scheme::Scheme;
use mingpai::model::scheme::gs1::{check_character_pair, check_digit};
use proptest::prelude::*;

use crate::{code, key};

/// Texts that look like identifiers far more often than chance would have it.
fn likely_text() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "",
        "id:",
        "hdl:",
        "HDL:",
        "https://hdl.handle.net/",
        "http://x.cn/a/",
        "gs1:",
        "gtin:",
        "oid:",
        "urn:oid:",
        "ecode:",
        "ma:",
        "MA.",
        "did:",
        "did:web:",
        "did:bid:",
        "vin:",
        "88.",
        "88.118.8/",
        "86.709/",
        "01/",
        "00/",
        "(01)",
        "(10)",
    ]);
    let tail = prop_oneof![
        "\\PC{0,24}",
        "[0-9]{0,20}",
        "[0-9./:%()A-Za-z]{0,40}",
        "[0-9]{1,3}(\\.[0-9]{1,3}){1,4}(/[ -~]{1,10})?",
        "[0-9]{14}/10/[!-~]{0,20}",
        ".{0,12}",
    ];
    (head, tail).prop_map(|(head, tail)| format!("{head}{tail}"))
}

/// Identifiers that are valid by construction, one strategy a scheme.
fn valid_text() -> impl Strategy<Value = String> {
    let gtin = "[0-9]{13}".prop_map(|body| with_check_digit(&body));
    prop_oneof![
        ("[0-9]{3,5}", prop::option::of("[0-9]{1,128}"), "[!-~]{1,64}").prop_map(|(node, enterprise, suffix)| {
            let enterprise = enterprise.map(|digits| format!(".{digits}")).unwrap_or_default();
            format!("88.{node}{enterprise}/{suffix}")
        }),
        "10\\.[0-9]{4}/[!-~]{1,64}",
        "2\\.(0|[1-9][0-9]{0,20})(\\.(0|[1-9][0-9]{0,9})){0,8}",
        (gtin.clone(), "[!-$&-.0-Z_a-z]{1,20}").prop_filter_map("set 82", |(gtin, lot)| {
            (!lot.contains(['#', '$', '@'])).then(|| format!("(01){gtin}(10){lot}"))
        }),
        gtin.prop_map(|gtin| format!("https://id.example.cn/x/01/{gtin}")),
        "ecode:1[0-9]{4}[0-9]{1,20}",
        "MA\\.[0-9]{3}(\\.[A-Za-z0-9]{1,8}){1,6}",
        "did:cn:[0-9]{2}\\.[0-9]{3,5}\\.[0-9]{1,128}",
        "did:bid:[A-Za-z0-9]{22,42}",
    ]
}

fn with_check_digit(body: &str) -> String {
    format!("{body}{}", check_digit(body).map_or('?', char::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC*") {
        let _ = Identifier::parse(&text);
        for scheme in Scheme::ALL {
            let _ = Identifier::parse_as(scheme, &text);
        }
    }

    #[test]
    fn whatever_is_read_is_canonical_already(text in likely_text()) {
        let Ok(identifier) = Identifier::parse(&text) else { return Ok(()) };
        let again = Identifier::parse(identifier.spelling());
        prop_assert_eq!(again.as_ref(), Ok(&identifier), "the spelling of {}", text);
        let from_key = Identifier::parse(identifier.key().as_str());
        prop_assert_eq!(from_key.as_ref().map(Identifier::key), Ok(identifier.key()), "the key of {}", text);
        let again = Identifier::parse_as(identifier.scheme(), identifier.spelling());
        prop_assert_eq!(again.as_ref(), Ok(&identifier), "the spelling of {} read as {}", text, identifier.scheme());
        prop_assert!(identifier.spelling().len() <= MAX_IDENTIFIER_BYTES);
        prop_assert!(identifier.key().as_str().starts_with(identifier.prefix()));
        prop_assert!(identifier.spelling().ends_with(identifier.suffix()) && !identifier.suffix().is_empty());
    }

    #[test]
    fn identifiers_built_by_the_rules_are_read_and_canonical(text in valid_text()) {
        let identifier = Identifier::parse(&text);
        prop_assert!(identifier.is_ok(), "{}: {:?}", text, identifier);
        let identifier = identifier.unwrap();
        prop_assert_eq!(&Identifier::parse(identifier.spelling()).unwrap(), &identifier);
        let sensitive = identifier.clone().with_case_sensitive_suffix();
        prop_assert_eq!(sensitive.clone().with_case_sensitive_suffix(), sensitive.clone());
        prop_assert_eq!(sensitive.spelling(), identifier.spelling());
        prop_assert_eq!(CanonicalKey::from_stored(identifier.key().as_str()), identifier.key().clone());
    }

    #[test]
    fn any_one_wrong_digit_of_a_gtin_is_caught(body in "[0-9]{13}", at in 0_usize..14, step in 1_u8..10) {
        let good = with_check_digit(&body);
        prop_assert_eq!(key(&good), format!("gs1:01/{good}"));
        let mut bytes = good.into_bytes();
        bytes[at] = b'0' + (bytes[at] - b'0' + step) % 10;
        let bad = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(code(&bad), "identifier_bad_check_digit");
    }

    #[test]
    fn any_one_wrong_character_of_a_model_number_is_caught(body in "[0-9]{4}[A-Za-z0-9]{1,19}", at in 0_usize..23, other in "[A-Za-z0-9]") {
        let pair = String::from_iter(check_character_pair(&body).unwrap());
        prop_assert_eq!(key(&format!("gs1:8013/{body}{pair}")), format!("gs1:8013/{body}{pair}"));
        if at < body.len() && body[at..=at] != other {
            let mut changed = body.clone();
            changed.replace_range(at..=at, &other);
            let wrong = format!("gs1:8013/{changed}{pair}");
            prop_assert!(Identifier::parse(&wrong).is_err());
        }
    }
}
