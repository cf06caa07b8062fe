//! The outer form of an input text: wrappers taken off, percent escapes of URIs decoded, Unicode made NFC, characters judged.
//!
//! Knows no scheme: what is left goes to `scheme::read`.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::{IdentifierError, MAX_IDENTIFIER_BYTES};

/// A URI spells one byte of an identifier in up to three, and has a host before and a query behind.
const MAX_INPUT_BYTES: usize = 4 * MAX_IDENTIFIER_BYTES;

/// Hosts whose whole path is a Handle.
const HANDLE_PROXIES: [&str; 4] = ["hdl.handle.net", "doi.org", "dx.doi.org", "www.doi.org"];

/// What stood inside the wrapper. Plain and Handle texts are normal; the segments of a Digital Link path are still escaped.
#[derive(Debug)]
pub(super) enum Form<'a> {
    Plain(Cow<'a, str>),
    Handle(Cow<'a, str>),
    DigitalLink(Cow<'a, str>),
}

/// Printable ASCII, with no space at the end. (The caller has looked at the beginning.)
pub(super) fn is_plain_ascii(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && !text.ends_with(' ')
}

pub(super) fn unwrap_outer(text: &str) -> Result<Form<'_>, IdentifierError> {
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if text.len() > MAX_INPUT_BYTES {
        return Err(IdentifierError::TooLong);
    }
    let text = without_tag(text, "id:").unwrap_or(text);
    if let Some(handle) = without_tag(text, "hdl:") {
        return Ok(Form::Handle(normal(Cow::Borrowed(handle))?));
    }
    match without_tag(text, "https://").or_else(|| without_tag(text, "http://")) {
        Some(address) => unwrap_address(address),
        None => Ok(Form::Plain(normal(Cow::Borrowed(text))?)),
    }
}

/// `host[:port]/path[?query][#fragment]`, without the `http://`.
fn unwrap_address(address: &str) -> Result<Form<'_>, IdentifierError> {
    let (authority, rest) = address.split_once('/').ok_or(IdentifierError::UnknownUri)?;
    let host = authority.split(':').next().unwrap_or_default();
    if host.is_empty() || authority.contains(['@', '?', '#']) {
        return Err(IdentifierError::UnknownUri);
    }
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    if HANDLE_PROXIES.iter().any(|proxy| host.eq_ignore_ascii_case(proxy)) {
        let decoded = percent_decoded(path)?;
        return Ok(Form::Handle(normal(decoded)?));
    }
    Ok(Form::DigitalLink(Cow::Borrowed(path)))
}

fn without_tag<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let head = text.get(..tag.len())?;
    if head.eq_ignore_ascii_case(tag) { text.get(tag.len()..) } else { None }
}

/// NFC, within the length, of allowed characters only.
fn normal(text: Cow<'_, str>) -> Result<Cow<'_, str>, IdentifierError> {
    let text = if is_nfc_quick(text.chars()) == IsNormalized::Yes { text } else { Cow::Owned(text.nfc().collect()) };
    if text.is_empty() {
        return Err(IdentifierError::Empty);
    }
    if text.len() > MAX_IDENTIFIER_BYTES {
        return Err(IdentifierError::TooLong);
    }
    if let Some(bad) = text.chars().find(|found| is_refused(*found)) {
        return Err(IdentifierError::BadCharacter(bad));
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Err(IdentifierError::OuterSpace);
    }
    Ok(text)
}

/// Control, invisible and direction-changing characters, and code points that are no characters (Unicode 16, sections
/// 23.2 to 23.9): a label cannot show them, so a name must not hang on them.
fn is_refused(found: char) -> bool {
    found.is_control()
        || matches!(found,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || (u32::from(found) & 0xFFFE) == 0xFFFE
}

/// # Errors
/// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
pub(in crate::model) fn percent_decoded(text: &str) -> Result<Cow<'_, str>, IdentifierError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (Some(high), Some(low)) = (rest.next().and_then(hex_digit), rest.next().and_then(hex_digit)) else {
                return Err(IdentifierError::BadPercentEncoding);
            };
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| IdentifierError::BadPercentEncoding)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
