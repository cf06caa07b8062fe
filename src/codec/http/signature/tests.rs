//! The signature base against RFC 9421's own examples, and whatever else may stand in the headers.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use ring::hmac;

use super::*;
use crate::sign::signature::made;

/// The test request of RFC 9421, appendix B.2.
fn request() -> Request<()> {
    Request::post("/foo?param=Value&Pet=dog")
        .header("host", "example.com")
        .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("content-type", "application/json")
        .header(
            "content-digest",
            "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        )
        .header("content-length", "18")
        .body(())
        .unwrap()
}

fn head(request: &Request<()>) -> Head<'_> {
    Head { method: request.method(), uri: request.uri(), headers: request.headers(), has_body: true }
}

/// The base of `covered` with `parameters`, as the RFC writes `Signature-Input`.
fn base_of(request: &Request<()>, input: &str) -> Result<String, Text> {
    let parsed: Dictionary = Parser::new(input).parse().unwrap();
    let (label, entry) = parsed.into_iter().next().unwrap();
    let ListEntry::InnerList(covered) = entry else { panic!() };
    let sent = input.strip_prefix(&format!("{label}=")).unwrap();
    base::of(&head(request), &names(&covered)?, sent)
}

/// RFC 9421, appendix B.2.6, with the key of B.1.4.
#[test]
fn the_rfcs_ed25519_example_is_good() {
    let input = r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#;
    let base = base_of(&request(), input).unwrap();
    assert_eq!(
        base,
        r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#
    );
    let public = URL_SAFE_NO_PAD.decode("JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs").unwrap();
    let signature = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==";
    assert!(made(&public, base.as_bytes(), &STANDARD.decode(signature).unwrap()));
}

/// Appendix B.2.5: the base is the same for every algorithm, so an HMAC tells of it as well.
#[test]
fn the_rfcs_hmac_example_has_the_same_base() {
    let input = r#"sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#;
    let base = base_of(&request(), input).unwrap();
    let secret = STANDARD
        .decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
        .unwrap();
    let tag = STANDARD.decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=").unwrap();
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), base.as_bytes(), &tag).unwrap();
}

/// Appendix B.2.1 covers nothing, which is a base all the same.
#[test]
fn the_rfcs_minimal_example_has_its_base() {
    let input = r#"sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd""#;
    let base = base_of(&request(), input).unwrap();
    assert_eq!(base, format!("\"@signature-params\": {}", input.strip_prefix("sig-b21=").unwrap()));
}

/// Appendix B.2.3 signs with RSA, which is not read here; its base is.
#[test]
fn the_rfcs_full_coverage_has_its_base() {
    let input = r#"sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#;
    assert_eq!(
        base_of(&request(), input).unwrap(),
        r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@query": ?param=Value&Pet=dog
"@authority": example.com
"content-type": application/json
"content-digest": sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss""#
    );
}

/// Appendix B.2.2 covers a parameter of the query, which is not read here, and is told so.
#[test]
fn what_is_not_read_is_refused_and_named() {
    for (covered, told) in [
        (r#""@query-param";name="Pet""#, "parameters of components are not supported here: \"@query-param\";name"),
        (r#""content-type";sf"#, "parameters of components are not supported here: \"content-type\";sf"),
        (r#""content-type";bs"#, "parameters of components are not supported here: \"content-type\";bs"),
        (
            r#""content-digest";key="sha-512""#,
            "parameters of components are not supported here: \"content-digest\";key",
        ),
        (r#""@method";req"#, "parameters of components are not supported here: \"@method\";req"),
        (r#""content-type";tr"#, "parameters of components are not supported here: \"content-type\";tr"),
        (r#""@target-uri""#, "the component \"@target-uri\" is not supported here"),
        (r#""@scheme""#, "the component \"@scheme\" is not supported here"),
        (r#""@request-target""#, "the component \"@request-target\" is not supported here"),
        (r#""@status""#, "the component \"@status\" is not supported here"),
        (r#""@signature-params""#, "the component \"@signature-params\" is not supported here"),
        (r#""@""#, "the component \"@\" is not supported here"),
        (r#""Content-Type""#, "\"Content-Type\" cannot be a component"),
        (r#""signature""#, "\"signature\" cannot be a component"),
        (r#""signature-input""#, "\"signature-input\" cannot be a component"),
        (r#""a\"b""#, "\"a\"b\" cannot be a component"),
        (r#""""#, "\"\" cannot be a component"),
        (r#""x-absent""#, "it covers the header x-absent, which is not there"),
        (r#""date" "date""#, "it covers \"date\" twice"),
        ("date", "the name of a component must be a string"),
        ("1", "the name of a component must be a string"),
    ] {
        let refused = base_of(&request(), &format!("sig=({covered});created=1")).unwrap_err();
        assert!(refused.en.starts_with(told), "{covered}: {}", refused.en);
    }
    let many: Vec<String> = (0..=MOST_COMPONENTS).map(|count| format!("\"x-{count}\"")).collect();
    let refused = base_of(&request(), &format!("sig=({});created=1", many.join(" "))).unwrap_err();
    assert_eq!(refused.en, "it covers more than 32 components");
}

/// RFC 9421, section 2.1: lines are trimmed and joined in their order.
#[test]
fn the_lines_of_a_header_are_joined() {
    let mut request = request();
    for line in ["  one, two ", "", "\tthree"] {
        request.headers_mut().append("x-lines", HeaderValue::from_static(line));
    }
    let base = base_of(&request, r#"sig=("x-lines")"#).unwrap();
    assert_eq!(base.lines().next(), Some(r#""x-lines": one, two, , three"#));
    request.headers_mut().append("x-lines", HeaderValue::from_bytes("铭".as_bytes()).unwrap());
    assert!(base_of(&request, r#"sig=("x-lines")"#).is_err());
}

/// RFC 9421, sections 2.2.3, 2.2.6 and 2.2.7.
#[test]
fn the_parts_of_a_target_are_as_they_were_sent() {
    let line = |target: &str, host: &str, component: &str| {
        let request = Request::get(target).header("host", host).body(()).unwrap();
        let base = base_of(&request, &format!(r#"sig=("{component}")"#));
        base.map(|base| base.lines().next().unwrap().split_once(": ").unwrap().1.to_owned()).ok()
    };
    let is = |target, host, component, value: &str| {
        assert_eq!(line(target, host, component).as_deref(), Some(value), "{target} {host} {component}");
    };
    is("/a%2Fb/%e9%93%ad", "a", "@path", "/a%2Fb/%e9%93%ad");
    is("/a?b=%20&c=+", "a", "@query", "?b=%20&c=+");
    is("/a", "a", "@query", "?");
    is("/a?", "a", "@query", "?");
    is("/a", "Node.Example:443", "@authority", "node.example");
    is("/a", "node.example:80", "@authority", "node.example");
    is("/a", "node.example:8080", "@authority", "node.example:8080");
    is("/a", "[::1]:8443", "@authority", "[::1]:8443");
    is("https://node.example/a", "NODE.example", "@authority", "node.example");
    is("https://node.example", "node.example", "@path", "/");
    for (target, host) in
        [("https://node.example/a", "other.example"), ("/a", ""), ("/a", "user@node.example"), ("/a", "a b")]
    {
        assert_eq!(line(target, host, "@authority"), None, "{target} {host}");
    }
    let mut two = request();
    two.headers_mut().append("host", HeaderValue::from_static("example.com"));
    assert!(base_of(&two, r#"sig=("@authority")"#).is_err());
    two.headers_mut().remove("host");
    assert!(base_of(&two, r#"sig=("@authority")"#).is_err());
}

const COVERED: &str = r#""@method" "@authority" "@path" "@query" "content-digest" "content-type""#;
const PARAMETERS: &str = r#"created=1;nonce="n";keyid="k";tag="t""#;

/// What becomes of a request with these two headers.
fn read_with(input: &str, signature: &str) -> Result<SignedRequest, String> {
    let mut request = request();
    request.headers_mut().insert(SIGNATURE_INPUT, HeaderValue::try_from(input).unwrap());
    request.headers_mut().insert(SIGNATURE, HeaderValue::try_from(signature).unwrap());
    read(&head(&request)).map(|(request, _)| request).map_err(|cause| cause.en)
}

fn some_signature() -> String {
    format!("sig=:{}:", STANDARD.encode([7; 64]))
}

#[test]
fn a_signature_of_the_one_form_is_read() {
    let input = format!(r#"sig=({COVERED});{PARAMETERS};expires=2;alg="ed25519""#);
    let request = read_with(&input, &some_signature()).unwrap_or_else(|cause| panic!("{cause}"));
    assert_eq!((request.key.as_str(), request.nonce.as_str(), request.tag.as_str()), ("k", "n", "t"));
    assert_eq!((request.created, request.expires, request.signature), (1, Some(2), [7; 64]));
    let last = format!(r#""@signature-params": {}"#, input.strip_prefix("sig=").unwrap());
    assert_eq!(request.base.lines().last(), Some(last.as_str()));
}

#[test]
fn every_other_form_is_refused_with_its_sentence() {
    let not_written = "Signature-Input is no dictionary as RFC 8941 serialises it";
    let good = format!("sig=({COVERED});{PARAMETERS}");
    let long = format!(r#"sig=({COVERED});created=1;nonce="{}";keyid="k";tag="t""#, "n".repeat(MOST_NONCE_BYTES + 1));
    for (input, told) in [
        (good.replace("sig=", "other="), "the labels of Signature and Signature-Input are not the same"),
        (format!("{good}, two=()"), "Signature-Input must have one signature and no more"),
        (format!("{good}, {good}"), not_written),
        (String::new(), not_written),
        (good.replace(";created", "; created"), not_written),
        (good.replace("(\"@method\"", "( \"@method\""), not_written),
        (good.replace("created=1", "created=01"), not_written),
        (good.replace("created=1", "created=1;created=1"), not_written),
        (good.replace("created=1", "created=@1"), not_written),
        ("sig=1".to_owned(), "the member of Signature-Input is no list"),
        (good.replace("created=1;", ""), "it lacks the parameter created"),
        (good.replace("nonce=\"n\";", ""), "it lacks the parameter nonce"),
        (good.replace("keyid=\"k\";", ""), "it lacks the parameter keyid"),
        (good.replace(";tag=\"t\"", ""), "it lacks the parameter tag"),
        (good.replace("nonce=\"n\"", "nonce=\"\""), "its parameter nonce is of the wrong type or length"),
        (good.replace("nonce=\"n\"", "nonce=n"), "its parameter nonce is of the wrong type or length"),
        (long, "its parameter nonce is of the wrong type or length"),
        (good.replace("created=1", "created=1.5"), "its parameter created is of the wrong type or length"),
        (good.replace("created=1", "created=\"1\""), "its parameter created is of the wrong type or length"),
        (format!("{good};expires"), "its parameter expires is of the wrong type or length"),
        (format!("{good};alg=\"hmac-sha256\""), "its alg must be \"ed25519\", if it has one"),
        (format!("{good};alg=\"rsa-pss-sha512\""), "its alg must be \"ed25519\", if it has one"),
        (format!("{good};alg=ed25519"), "its alg must be \"ed25519\", if it has one"),
        (format!("{good};more=1"), "its parameter more is not known here"),
        (good.replace("\"@method\" ", ""), "the signature must cover \"@method\""),
        (good.replace("\"@authority\" ", ""), "the signature must cover \"@authority\""),
        (good.replace("\"@path\" ", ""), "the signature must cover \"@path\""),
        (good.replace("\"@query\" ", ""), "the signature must cover \"@query\""),
        (good.replace(" \"content-digest\"", ""), "the signature must cover \"content-digest\""),
        (good.replace(" \"content-type\"", ""), "the signature must cover \"content-type\""),
    ] {
        assert_eq!(read_with(&input, &some_signature()).err().as_deref(), Some(told), "{input}");
    }
    let wrong_bytes = "the member of Signature must be a sequence of 64 bytes";
    for (signature, told) in [
        (format!("sig=:{}:", STANDARD.encode([7; 63])), wrong_bytes),
        (format!("sig=:{}:", STANDARD.encode([7; 65])), wrong_bytes),
        ("sig=::".to_owned(), wrong_bytes),
        ("sig=\"text\"".to_owned(), wrong_bytes),
        ("sig=()".to_owned(), wrong_bytes),
        (format!("{};a", some_signature()), wrong_bytes),
        (format!("{}, two=:AA==:", some_signature()), "Signature must have one signature and no more"),
        (some_signature().replace("=:", "=: "), "Signature is no dictionary as RFC 8941 serialises it"),
        (some_signature().replace("==:", ":"), "Signature is no dictionary as RFC 8941 serialises it"),
    ] {
        assert_eq!(read_with(&good, &signature).err().as_deref(), Some(told), "{signature}");
    }
}

#[test]
fn a_header_that_is_there_twice_or_not_at_all_is_refused() {
    let input = format!("sig=({COVERED});{PARAMETERS}");
    for twice in [SIGNATURE, SIGNATURE_INPUT, CONTENT_DIGEST] {
        let mut request = request();
        request.headers_mut().insert(SIGNATURE_INPUT, HeaderValue::try_from(&input).unwrap());
        request.headers_mut().insert(SIGNATURE, HeaderValue::try_from(some_signature()).unwrap());
        assert!(read(&head(&request)).is_ok());
        let value = request.headers()[&twice].clone();
        request.headers_mut().append(&twice, value);
        let told = read(&head(&request)).err().unwrap();
        assert!(told.en.ends_with("must be there once"), "{}", told.en);
        request.headers_mut().remove(&twice);
        assert!(read(&head(&request)).is_err(), "{twice}");
    }
}

#[test]
fn a_digest_is_of_an_algorithm_that_is_known() {
    let of = |value: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_DIGEST, HeaderValue::from_static(value));
        Digests::of(&headers).map(|_| ()).map_err(|cause| cause.en)
    };
    let right = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:";
    assert_eq!(of(right), Ok(()));
    assert_eq!(of("md5=:AAAA:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"), Ok(()));
    for wrong in [
        "md5=:AAAA:",
        "sha-256=:AAAA:",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE",
        "sha-256=()",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-512=:AAAA:",
        "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:, sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        "",
    ] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
}

/// Text that looks like what is read, whole or in part.
fn like_a_signature() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("sig=(".to_owned()),
        Just(")".to_owned()),
        Just(format!("({COVERED})")),
        Just(PARAMETERS.to_owned()),
        Just(some_signature()),
        Just("\"@method\"".to_owned()),
        Just("\"@query-param\";name=\"a\"".to_owned()),
        "[ ;=,()\":?@%\\\\*0-9a-z.-]{0,8}",
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn whatever_the_headers_hold_is_read_or_refused(
        input in prop_oneof![like_a_signature().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..6_000)],
        signature in prop_oneof![like_a_signature().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)],
        digest in prop_oneof![like_a_signature().prop_map(String::into_bytes), prop::collection::vec(any::<u8>(), 0..200)],
        host in prop::collection::vec(any::<u8>(), 0..50),
    ) {
        let mut request = request();
        for (name, value) in [(SIGNATURE_INPUT, input), (SIGNATURE, signature), (CONTENT_DIGEST, digest), (http::header::HOST, host)] {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                request.headers_mut().insert(name, value);
            }
        }
        let read = read(&head(&request));
        if let Ok((read, _)) = read {
            // What is read has every part, each in a line of its own.
            prop_assert!(read.base.lines().count() >= 6);
            prop_assert!(!request.headers().contains_key(AUTHORIZATION));
        }
    }

    /// What is written as it must be is read again, whatever its values.
    #[test]
    fn what_a_signer_writes_is_read(
        created in 0_i64..999_999_999_999_999,
        nonce in "[ -~]{1,128}",
        key in "[ -~]{1,64}",
    ) {
        let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let input = format!(r#"sig=({COVERED});created={created};nonce="{}";keyid="{}";tag="t""#, escaped(&nonce), escaped(&key));
        let read = read_with(&input, &some_signature()).unwrap();
        prop_assert_eq!((read.created, read.nonce, read.key), (created, nonce, key));
    }
}
