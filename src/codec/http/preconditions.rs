//! Preconditions of a request (RFC 9110, section 13): which version it assumes, and whether it was made before.

use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};
use ring::digest::{Context, SHA256};

use super::failure::Failure;
use super::negotiation::visible;
use crate::services::register::Precondition;
use crate::store::journal::Idempotency;

/// Whether the client has this representation already: `If-None-Match` of a GET, compared weakly.
pub(super) fn is_known(if_none_match: &HeaderValue, etag: &[u8]) -> bool {
    is_known_by(if_none_match.as_bytes(), etag)
}

/// The same of a header's bytes.
pub(super) fn is_known_by(header: &[u8], etag: &[u8]) -> bool {
    // The usual case: one tag, as it was given out.
    if header == etag || header == b"*" {
        return true;
    }
    visible(header).is_some_and(|text| {
        text.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag.as_bytes() == etag)
    })
}

/// What a change says about the version that it assumes.
pub(super) fn of_change(headers: &HeaderMap) -> Result<Precondition, Failure> {
    let (is_match, is_none) =
        (listed(headers, "If-Match", &IF_MATCH)?, listed(headers, "If-None-Match", &IF_NONE_MATCH)?);
    match (is_match, is_none) {
        (None, None) => Ok(Precondition::None),
        (None, Some(text)) if text == "*" => Ok(Precondition::CreateOnly),
        (None, Some(_)) => Err(Failure::header("If-None-Match", "修改时只能为 *", "a change takes * only")),
        (Some(text), None) if text == "*" => Ok(Precondition::Any),
        (Some(text), None) => versions(&text).map(Precondition::Versions),
        (Some(_), Some(_)) => {
            Err(Failure::header("If-Match", "不能与 If-None-Match 同时使用", "not together with If-None-Match"))
        }
    }
}

fn listed(headers: &HeaderMap, shown: &str, name: &http::HeaderName) -> Result<Option<String>, Failure> {
    let mut texts = Vec::new();
    for value in headers.get_all(name) {
        let text = value.to_str().map_err(|_| Failure::header(shown, "不是可读文本", "not readable text"))?;
        texts.push(text.trim());
    }
    Ok((!texts.is_empty()).then(|| texts.join(",")))
}

/// The versions that entity tags name. A tag that is no version of ours is well-formed and matches nothing, and so does a
/// weak one, since `If-Match` compares strongly.
fn versions(text: &str) -> Result<Vec<u64>, Failure> {
    let mut versions = Vec::new();
    for tag in text.split(',').map(str::trim).filter(|tag| !tag.is_empty()) {
        let (weak, tag) = match tag.strip_prefix("W/") {
            Some(tag) => (true, tag),
            None => (false, tag),
        };
        let Some(inner) =
            tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).filter(|inner| !inner.contains('"'))
        else {
            return Err(Failure::header(
                "If-Match",
                "应为带引号的 ETag，如 \"3\"",
                "must be a quoted ETag such as \"3\"",
            ));
        };
        // What a tag says beside the version is of whose sight it is.
        let number = inner.split_once('-').map_or(inner, |(number, _)| number);
        if !weak && let Ok(version) = number.parse() {
            versions.push(version);
        }
    }
    Ok(versions)
}

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const MAX_KEY_BYTES: usize = 255;

/// The idempotency key: 1 to 255 visible ASCII characters. Quotes around it (the draft's structured form) are not part of it.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut found = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = found.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    if found.next().is_some() || !is_key(text) {
        return Err(Failure::header(
            "Idempotency-Key",
            "应为一个 1 至 255 个可见 ASCII 字符的键",
            "must be one key of 1 to 255 visible ASCII characters",
        ));
    }
    Ok(Some(text.to_owned()))
}

pub(in crate::codec) fn is_key(text: &str) -> bool {
    (1..=MAX_KEY_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The key with what it stands for: a SHA-256 over method, target, preconditions and body, each with its length.
pub(super) fn idempotency(
    key: Option<String>,
    method: &http::Method,
    uri: &http::Uri,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Idempotency> {
    let key = key?;
    let mut context = Context::new(&SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_le_bytes());
        context.update(bytes);
    };
    part(method.as_str().as_bytes());
    part(uri.path().as_bytes());
    part(uri.query().unwrap_or_default().as_bytes());
    for name in [IF_MATCH, IF_NONE_MATCH] {
        for value in headers.get_all(&name) {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
    }
    part(body);
    let mut request = [0; 32];
    request.copy_from_slice(context.finish().as_ref());
    Some(Idempotency { key, request })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn each_form_of_a_precondition_is_read() {
        let read = |pairs| of_change(&headers(pairs)).ok();
        assert_eq!(read(&[]), Some(Precondition::None));
        assert_eq!(read(&[("if-none-match", "*")]), Some(Precondition::CreateOnly));
        assert_eq!(read(&[("if-match", "*")]), Some(Precondition::Any));
        assert_eq!(
            read(&[("if-match", "\"3\", \"4\""), ("if-match", "\"7\"")]),
            Some(Precondition::Versions(vec![3, 4, 7]))
        );
        assert_eq!(read(&[("if-match", "W/\"3\", \"abc\"")]), Some(Precondition::Versions(vec![])));
        assert_eq!(read(&[("if-match", "3")]), None);
        assert_eq!(read(&[("if-none-match", "\"3\"")]), None);
        assert_eq!(read(&[("if-match", "*"), ("if-none-match", "*")]), None);
    }

    #[test]
    fn a_known_representation_is_compared_weakly() {
        let known = |header| is_known(&HeaderValue::from_static(header), b"\"3\"");
        assert!(known("\"3\"") && known("*") && known("W/\"3\"") && known("\"2\", \"3\""));
        assert!(!known("\"33\"") && !known("3") && !known("\"2\""));
    }

    #[test]
    fn an_idempotency_key_is_one_visible_word() {
        let key = |text| idempotency_key(&headers(&[("idempotency-key", text)])).ok();
        assert_eq!(key("abc-1"), Some(Some("abc-1".to_owned())));
        assert_eq!(key("\"abc\""), Some(Some("abc".to_owned())));
        assert_eq!(key("a b"), None);
        assert_eq!(key(""), None);
        assert_eq!(idempotency_key(&headers(&[("idempotency-key", "a"), ("idempotency-key", "b")])).ok(), None);
    }

    #[test]
    fn what_a_key_stands_for_changes_with_every_part_of_the_request() {
        let uri: http::Uri = "/v1/records/88.1/a".parse().unwrap();
        let hash = |method, headers: &HeaderMap, body: &[u8]| {
            idempotency(Some("k".to_owned()), &method, &uri, headers, body).unwrap().request
        };
        let none = HeaderMap::new();
        let base = hash(http::Method::PUT, &none, b"{}");
        assert_eq!(base, hash(http::Method::PUT, &none, b"{}"));
        assert_ne!(base, hash(http::Method::PATCH, &none, b"{}"));
        assert_ne!(base, hash(http::Method::PUT, &none, b"{ }"));
        assert_ne!(base, hash(http::Method::PUT, &headers(&[("if-match", "*")]), b"{}"));
    }
}
