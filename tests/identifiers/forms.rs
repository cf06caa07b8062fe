//! Prefix and suffix, the other schemes, wrappers, the normal form, and the texts that no rule allows.
//!
//! GS1 has a file of its own.

use mingpai::model::identifier::{Identifier, IdentifierError, MAX_IDENTIFIER_BYTES};
use mingpai::model::scheme::Scheme;

use crate::{code, key, parse};

#[test]
fn the_vectors_of_the_field_are_read_as_prefix_and_suffix() {
    for (text, scheme, prefix, suffix) in [
        ("88.118.8/JXDY2106023", Scheme::Vaa, "88.118.8", "JXDY2106023"),
        ("88.709.911/123", Scheme::Vaa, "88.709.911", "123"),
        ("88.1021.150/xx002", Scheme::Vaa, "88.1021.150", "xx002"),
        ("88.608.8889/87654321", Scheme::Vaa, "88.608.8889", "87654321"),
        ("88.101.0042/001", Scheme::Vaa, "88.101.0042", "001"),
        ("88.999/a", Scheme::Vaa, "88.999", "a"),
        ("86.709.612/cc", Scheme::Handle, "86.709.612", "cc"),
        ("10.1000/1", Scheme::Handle, "10.1000", "1"),
        ("20.500.1234/x/y z", Scheme::Handle, "20.500.1234", "x/y z"),
        ("0.NA/88.999", Scheme::Handle, "0.na", "88.999"),
        ("TEST/H000001", Scheme::Handle, "test", "H000001"),
        ("01/12345", Scheme::Handle, "01", "12345"),
        ("1.2.156/5", Scheme::Handle, "1.2.156", "5"),
    ] {
        let identifier = parse(text);
        assert_eq!(identifier.scheme(), scheme, "{text}");
        assert_eq!(identifier.prefix(), prefix, "{text}");
        assert_eq!(identifier.suffix(), suffix, "{text}");
        assert_eq!(identifier.spelling(), text);
        assert_eq!(identifier.key().as_str(), text.to_ascii_lowercase());
    }
}

#[test]
fn the_other_schemes_carry_their_tag_in_the_key() {
    for (text, scheme, key, spelling) in [
        ("1.2.156.3088", Scheme::Oid, "oid:1.2.156.3088", "1.2.156.3088"),
        ("urn:oid:1.2.156.3088", Scheme::Oid, "oid:1.2.156.3088", "1.2.156.3088"),
        ("ecode:100036930100000", Scheme::Ecode, "ecode:100036930100000", "ecode:100036930100000"),
        ("MA.156.M0.100204.13351764", Scheme::Ma, "ma:156.m0.100204.13351764", "MA.156.M0.100204.13351764"),
        ("did:cn:88.100.1", Scheme::Did, "did:cn:88.100.1", "did:cn:88.100.1"),
        ("did:web:Example.com", Scheme::Did, "did:web:example.com", "did:web:example.com"),
        ("vin:lsvaa4182e2123456", Scheme::Vin, "vin:LSVAA4182E2123456", "vin:LSVAA4182E2123456"),
        (
            "battery:001PE0123456789012345678",
            Scheme::Battery,
            "battery:001PE0123456789012345678",
            "battery:001PE0123456789012345678",
        ),
        ("414/5412345000013", Scheme::Handle, "414/5412345000013", "414/5412345000013"),
    ] {
        let identifier = parse(text);
        assert_eq!(
            (identifier.scheme(), identifier.key().as_str(), identifier.spelling()),
            (scheme, key, spelling),
            "{text}"
        );
    }
}

#[test]
fn wrappers_come_off_in_any_case() {
    let plain = parse("88.118.8/JXDY2106023");
    for text in [
        "id:88.118.8/JXDY2106023",
        "ID:88.118.8/JXDY2106023",
        "hdl:88.118.8/JXDY2106023",
        "HDL:88.118.8/JXDY2106023",
        "id:hdl:88.118.8/JXDY2106023",
        "https://hdl.handle.net/88.118.8/JXDY2106023",
        "HTTP://HDL.Handle.net:80/88.118.8/JXDY2106023?noredirect#top",
        "https://hdl.handle.net/88.118.8%2FJXDY2106023",
    ] {
        assert_eq!(parse(text), plain, "{text}");
    }
    assert_eq!(key("https://doi.org/10.1000/ABC%20d"), "10.1000/abc d");
    assert_eq!(key("88.118.8/%41"), "88.118.8/%41", "outside a URI percent signs mean themselves");
}

#[test]
fn texts_that_no_rule_allows_are_refused_by_name() {
    for (text, expected) in [
        ("", "identifier_empty"),
        ("id:", "identifier_empty"),
        ("88.118.8", "identifier_empty_suffix"),
        ("88.118.8/", "identifier_empty_suffix"),
        ("10.1000/", "identifier_empty_suffix"),
        ("88.11/x", "identifier_bad_vaa_prefix"),
        ("88.118.8.9/x", "identifier_bad_vaa_prefix"),
        ("88.x/x", "identifier_bad_vaa_prefix"),
        ("a..b/x", "identifier_bad_handle_prefix"),
        ("/x", "identifier_bad_handle_prefix"),
        ("foo:bar/x", "identifier_bad_handle_prefix"),
        ("hdl:hdl:10.1000/1", "identifier_bad_handle_prefix"),
        ("a b/x", "identifier_bad_handle_prefix"),
        ("hdl:1.2.156.3088", "identifier_not_a_handle"),
        ("hdl:01/09506000134352", "identifier_not_a_handle"),
        ("https://hdl.handle.net/01/09506000134352", "identifier_not_a_handle"),
        ("https://doi.org/10.1000/%zz", "identifier_bad_percent_encoding"),
        ("https://doi.org/10.1000/%ff", "identifier_bad_percent_encoding"),
        ("https://doi.org/10.1000/a%00b", "identifier_bad_character"),
        ("https://a@doi.org/10.1000/1", "identifier_unknown_uri"),
        ("https://doi.org", "identifier_unknown_uri"),
        ("hello", "identifier_unrecognized"),
        ("urn:isbn:1", "identifier_unknown_uri"),
        ("3.1", "identifier_bad_oid"),
        ("did:key:z6Mk", "identifier_bad_did"),
        ("ecode:9", "identifier_bad_ecode"),
        ("MA.156..1", "identifier_bad_ma"),
        ("vin:LSVAA4182E212345O", "identifier_bad_vin"),
        ("battery:1", "identifier_bad_battery_code"),
        (" 88.118.8/x", "identifier_outer_space"),
        ("88.118.8/x ", "identifier_outer_space"),
        ("88.118.8/x\u{3000}", "identifier_outer_space"),
        ("88.118.8/a\nb", "identifier_bad_character"),
        ("88.118.8/a\u{7f}b", "identifier_bad_character"),
        ("88.118.8/a\u{85}b", "identifier_bad_character"),
        ("88.118.8/a\u{202e}b", "identifier_bad_character"),
        ("88.118.8/a\u{200b}b", "identifier_bad_character"),
        ("88.118.8/a\u{feff}b", "identifier_bad_character"),
        ("88.118.8/a\u{ffff}b", "identifier_bad_character"),
    ] {
        assert_eq!(code(text), expected, "{text:?}");
    }
}

#[test]
fn length_is_counted_in_bytes_of_the_normal_form() {
    let prefix = "88.118.8/";
    let longest = format!("{prefix}{}", "x".repeat(MAX_IDENTIFIER_BYTES - prefix.len()));
    assert_eq!(parse(&longest).spelling().len(), MAX_IDENTIFIER_BYTES);
    assert_eq!(code(&format!("{longest}x")), "identifier_too_long");
    // e + combining acute is three bytes and composes to two.
    let decomposed = format!("{prefix}{}", "e\u{301}".repeat((MAX_IDENTIFIER_BYTES - prefix.len()) / 2));
    assert!(decomposed.len() > MAX_IDENTIFIER_BYTES && parse(&decomposed).spelling().len() <= MAX_IDENTIFIER_BYTES);
    assert_eq!(code(&"x".repeat(1 << 20)), "identifier_too_long");
}

#[test]
fn composed_and_decomposed_spellings_are_one_name() {
    assert_eq!(key("88.118.8/Caf\u{e9}"), key("88.118.8/Cafe\u{301}"));
    assert_eq!(parse("88.118.8/Cafe\u{301}").spelling(), "88.118.8/Caf\u{e9}");
    assert_eq!(parse("88.118.8/电池包-001").suffix(), "电池包-001");
}

#[test]
fn leading_zeros_count_and_the_case_of_ascii_letters_does_not() {
    assert_ne!(key("88.101.0042/001"), key("88.101.42/001"));
    assert_ne!(key("88.101.0042/001"), key("88.101.0042/1"));
    assert_eq!(key("88.118.8/jxdy2106023"), key("88.118.8/JXDY2106023"));
    assert_ne!(key("88.118.8/É"), key("88.118.8/é"), "only ASCII letters lose their case");
}

#[test]
fn a_case_sensitive_prefix_keeps_the_suffix_in_the_key() {
    let identifier = parse("TEST/AbC").with_case_sensitive_suffix();
    assert_eq!(identifier.key().as_str(), "test/AbC");
    assert_eq!((identifier.prefix(), identifier.suffix(), identifier.spelling()), ("test", "AbC", "TEST/AbC"));
    assert_eq!(parse("1.2.156.3088").with_case_sensitive_suffix(), parse("1.2.156.3088"));
}

#[test]
fn a_name_read_as_one_of_a_scheme_may_leave_out_the_tag() {
    for (scheme, text, key) in [
        (Scheme::Gs1, "9506000134352", "gs1:01/09506000134352"),
        (Scheme::Gs1, "414/5412345000013", "gs1:414/5412345000013"),
        (Scheme::Oid, "1.2.156.3088", "oid:1.2.156.3088"),
        (Scheme::Ecode, "100036930100000", "ecode:100036930100000"),
        (Scheme::Ma, "MA.156.M0.100204", "ma:156.m0.100204"),
        (Scheme::Vin, "LSVAA4182E2123456", "vin:LSVAA4182E2123456"),
        (Scheme::Battery, "001PE0123456789012345678", "battery:001PE0123456789012345678"),
        (Scheme::Did, "did:cn:88.100.1", "did:cn:88.100.1"),
        (Scheme::Handle, "hdl:10.1000/1", "10.1000/1"),
    ] {
        assert_eq!(Identifier::parse_as(scheme, text).unwrap().key().as_str(), key, "{text}");
    }
    let wrong = Identifier::parse_as(Scheme::Gs1, "88.118.8/x").unwrap_err();
    assert_eq!(wrong, IdentifierError::WrongScheme { wanted: Scheme::Gs1, found: Scheme::Vaa });
    for text in ["00002220", "414/5412345000014", "gs1:414/5412345000014", "https://id.example/414/5412345000014"] {
        let code = Identifier::parse_as(Scheme::Gs1, text).unwrap_err().code();
        assert_eq!(code, "identifier_bad_check_digit", "{text}");
    }
}
