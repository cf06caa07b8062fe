//! The identifier in a request's path: `/v1/resolve/88.118.8/JXDY`, `/v1/resolve/88.118.8%2FJXDY`, a whole Digital Link
//! URI raw or encoded.
//!
//! Only undoes what a URL does to a text; whether the text is an identifier is model/identifier's judgement.

use std::borrow::Cow;

/// Why a path holds no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    #[error("nothing follows in the path")]
    Empty,
    /// The byte offset, in the rest of the path, of a `%` without two hexadecimal digits.
    #[error("a broken percent-encoding at byte {at}")]
    BadEncoding { at: usize },
    #[error("the percent-decoded path is not UTF-8")]
    NotUtf8,
}

impl PathError {
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "identifier_empty",
            Self::BadEncoding { .. } | Self::NotUtf8 => "path_malformed",
        }
    }
}

/// The text after `route` (`/v1/resolve/`) of a raw path, percent-decoded once. `None` when the path has another route.
///
/// Borrowed, without an allocation, when nothing is encoded. `+` stays `+`. Where a proxy has merged the two slashes
/// of a raw `https://…`, they are put back.
#[must_use]
pub fn text_after<'p>(raw_path: &'p str, route: &str) -> Option<Result<Cow<'p, str>, PathError>> {
    raw_path.strip_prefix(route).map(decode)
}

/// Percent-decodes (RFC 3986, section 2.1) the part of a path that names an identifier.
pub fn decode(raw: &str) -> Result<Cow<'_, str>, PathError> {
    if raw.is_empty() {
        return Err(PathError::Empty);
    }
    percent_decoded(raw).map(unmerge_slashes)
}

/// Percent-decodes any part of a URL; borrowed when nothing is encoded.
pub fn percent_decoded(raw: &str) -> Result<Cow<'_, str>, PathError> {
    Ok(match raw.find('%') {
        None => Cow::Borrowed(raw),
        Some(first) => Cow::Owned(decode_from(raw, first)?),
    })
}

/// The path of an identifier as an answer names it: everything but unreserved characters and `/` and `:` is encoded.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' | b':' => {
                out.push(char::from(byte));
            }
            _ => {
                out.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase());
                }
            }
        }
    }
    out
}

fn decode_from(raw: &str, first: usize) -> Result<String, PathError> {
    let mut decoded = Vec::with_capacity(raw.len());
    let (plain, encoded) = raw.as_bytes().split_at(first);
    decoded.extend_from_slice(plain);
    let mut rest = encoded;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let nibbles = match after {
            [high, low, ..] => hexadecimal(*high).zip(hexadecimal(*low)),
            _ => None,
        };
        let Some((high, low)) = nibbles else {
            return Err(PathError::BadEncoding { at: raw.len() - after.len() - 1 });
        };
        decoded.push(high << 4 | low);
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(decoded).map_err(|_| PathError::NotUtf8)
}

fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn unmerge_slashes(text: Cow<'_, str>) -> Cow<'_, str> {
    for scheme in ["https:/", "http:/"] {
        // `get` because the sixth or seventh byte may lie within a character.
        let Some(head) = text.get(..scheme.len()) else {
            continue;
        };
        if head.eq_ignore_ascii_case(scheme) {
            let rest = text.get(scheme.len()..).unwrap_or_default();
            return if rest.starts_with('/') { text } else { Cow::Owned(format!("{head}/{rest}")) };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_raw_and_the_encoded_slash_give_the_same_text() {
        for raw in ["88.118.8/JXDY2106023", "88.118.8%2FJXDY2106023", "88.118.8%2fJXDY%32106023"] {
            assert_eq!(decode(raw).unwrap(), "88.118.8/JXDY2106023", "{raw}");
        }
        assert!(matches!(decode("88.118.8/JXDY"), Ok(Cow::Borrowed(_))), "nothing is copied when nothing is encoded");
    }

    #[test]
    fn utf8_is_read_encoded_and_raw() {
        assert_eq!(decode("88.118.8/%E9%93%AD%E7%89%8C").unwrap(), "88.118.8/铭牌");
        assert_eq!(decode("88.118.8/铭牌").unwrap(), "88.118.8/铭牌");
        assert_eq!(decode("a%20b+c%2Bd%252F").unwrap(), "a b+c+d%2F", "decoded once, plus stays plus");
    }

    #[test]
    fn a_whole_digital_link_is_read_raw_encoded_and_with_merged_slashes() {
        let link = "https://id.example/01/09506000134352";
        for raw in [link, "https%3A%2F%2Fid.example%2F01%2F09506000134352", "https:/id.example/01/09506000134352"] {
            assert_eq!(decode(raw).unwrap(), link, "{raw}");
        }
        assert_eq!(decode("HTTP:/x/01/1").unwrap(), "HTTP://x/01/1");
        assert_eq!(decode("http").unwrap(), "http");
        assert_eq!(decode("https:中").unwrap(), "https:中");
    }

    #[test]
    fn what_is_broken_is_refused_with_its_place() {
        assert_eq!(decode(""), Err(PathError::Empty));
        assert_eq!(decode("88.1/%"), Err(PathError::BadEncoding { at: 5 }));
        assert_eq!(decode("88.1/%2"), Err(PathError::BadEncoding { at: 5 }));
        assert_eq!(decode("88.1%2F%zz"), Err(PathError::BadEncoding { at: 7 }));
        assert_eq!(decode("88.1/%+1"), Err(PathError::BadEncoding { at: 5 }));
        assert_eq!(decode("88.1/%ff"), Err(PathError::NotUtf8));
        assert_eq!(decode("88.1/%ED%A0%80"), Err(PathError::NotUtf8));
    }

    #[test]
    fn another_route_is_not_ours() {
        assert_eq!(text_after("/v1/records/88.1/a", "/v1/resolve/"), None);
        assert_eq!(text_after("/v1/resolve/88.1/a", "/v1/resolve/"), Some(Ok(Cow::Borrowed("88.1/a"))));
        assert_eq!(text_after("/v1/resolve/", "/v1/resolve/"), Some(Err(PathError::Empty)));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in "\\PC{1,40}") {
            prop_assume!(!text.to_ascii_lowercase().starts_with("http"));
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            prop_assert_eq!(decode(&encoded).unwrap(), text);
        }

        #[test]
        fn what_an_answer_names_leads_back(text in "\\PC{1,40}") {
            prop_assume!(!text.to_ascii_lowercase().starts_with("http"));
            let path = encoded(&text);
            prop_assert!(path.is_ascii());
            prop_assert_eq!(decode(&path).unwrap(), text);
        }

        #[test]
        fn any_path_is_answered_without_a_panic(raw in "[%0-9a-f/中:htps]{0,40}") {
            let _ = decode(&raw);
        }
    }
}
