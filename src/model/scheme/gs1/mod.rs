//! GS1: keys such as GTIN, SSCC and GLN with their qualifiers, in path form, as element strings, as Digital Links and bare.
//!
//! Canonical: the path of a GS1 Digital Link, `01/09506000134352/10/LOT1`, with `%` and `/` inside a value as `%25` and
//! `%2F`; case counts after the application identifier. Spelled with the tag `gs1:` unless the key is 00 or 01, whose paths
//! no Handle prefix can be mistaken for. Attributes (weights, dates) do not name a thing and are left out.
//!
//! Not a resolver: link types and redirects are the codec's.

mod check;
mod keys;

use std::fmt::Write as _;

pub use check::{check_character_pair, check_digit};
use keys::{Format, Key, Qualifier};

use super::Scheme;
use crate::model::identifier::form::percent_decoded;
use crate::model::identifier::{Identifier, IdentifierError};

const TAG: &str = "gs1:";
const GTIN: &str = "01";
const SSCC: &str = "00";

/// A bare GTIN-8, -12, -13 or -14; shorter ones are padded to 14 digits, as GS1 compares them.
pub(super) fn read_gtin(text: &str) -> Result<Identifier, IdentifierError> {
    if !matches!(text.len(), 8 | 12 | 13 | 14) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(IdentifierError::BadGs1Value(GTIN));
    }
    assemble(GTIN, text, &[])
}

/// What follows `gs1:`: a path, an element string, or a bare GTIN.
pub(super) fn read_any(text: &str) -> Result<Identifier, IdentifierError> {
    if text.starts_with('(') {
        read_elements(text)
    } else if text.contains('/') {
        read_path(text)
    } else {
        read_gtin(text)
    }
}

/// Whether a plain text is a path of the two keys that need no tag: `00/` + 18 digits, `01/` + 14 digits.
pub(super) fn is_path_of_a_common_key(text: &str) -> bool {
    let (digits, rest) = match (text.strip_prefix("00/"), text.strip_prefix("01/")) {
        (Some(rest), _) => (18, rest),
        (_, Some(rest)) => (14, rest),
        _ => return false,
    };
    let bytes = rest.as_bytes();
    bytes.get(..digits).is_some_and(|value| value.iter().all(u8::is_ascii_digit))
        && matches!(bytes.get(digits), None | Some(b'/'))
}

/// `key/value[/qualifier/value]…`, where only `%2F` and `%25` are escapes: the rest was decoded on the way in.
pub(super) fn read_path(text: &str) -> Result<Identifier, IdentifierError> {
    let segments: Vec<String> = text.split('/').map(unescaped).collect();
    let (elements, _) = segments.as_chunks::<2>();
    if !segments.len().is_multiple_of(2) {
        return Err(IdentifierError::UnknownGs1Key(segments.last().cloned().unwrap_or_default()));
    }
    read_in_order(elements)
}

/// The path of a Digital Link URI, still escaped, without host and query; anything may stand before the key.
///
/// # Errors
/// [`IdentifierError::UnknownUri`] when no primary key is in it.
pub(in crate::model) fn read_link_path(path: &str) -> Result<Identifier, IdentifierError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = Vec::new();
    // From the right: values may look like keys, but a key's place is always even from the end.
    let mut places = path.rsplit('/');
    while let (Some(value), Some(ai)) = (places.next(), places.next()) {
        let found = keys::key(ai).is_some();
        segments.push([ai.to_owned(), percent_decoded(value)?.into_owned()]);
        if found {
            segments.reverse();
            return read_in_order(&segments);
        }
    }
    Err(IdentifierError::UnknownUri)
}

/// Key first, then qualifiers in the order of the standard.
fn read_in_order(elements: &[[String; 2]]) -> Result<Identifier, IdentifierError> {
    let Some(([ai, value], qualifiers)) = elements.split_first() else {
        return Err(IdentifierError::Empty);
    };
    let qualifiers: Vec<(&str, &str)> = qualifiers.iter().map(|[ai, value]| (ai.as_str(), value.as_str())).collect();
    assemble(ai, value, &qualifiers)
}

/// `(01)09506000134352(10)LOT1`, in any order; elements that are neither key nor qualifier are attributes and left out.
pub(super) fn read_elements(text: &str) -> Result<Identifier, IdentifierError> {
    let elements = split_elements(text)?;
    let mut found = elements.iter().filter(|(ai, _)| keys::key(ai).is_some());
    let (ai, value) = *found
        .next()
        .ok_or_else(|| IdentifierError::UnknownGs1Key(elements.first().map_or("", |(ai, _)| ai).to_owned()))?;
    if let Some((second, _)) = found.next() {
        let key = keys::key(ai).map_or("", |key| key.ai);
        return Err(IdentifierError::BadGs1Qualifier { key, qualifier: (*second).to_owned() });
    }
    let order = keys::key(ai).map(|key| key.qualifiers).unwrap_or_default();
    let qualifiers: Vec<(&str, &str)> = order
        .iter()
        .flat_map(|path| path.iter())
        .flat_map(|qualifier| elements.iter().filter(|(ai, _)| *ai == qualifier.ai).copied())
        .collect();
    assemble(ai, value, &qualifiers)
}

/// Splits at each `(` + 2 to 4 digits + `)`: brackets inside values are followed by something else, or the text is ambiguous
/// and read as elements.
fn split_elements(text: &str) -> Result<Vec<(&str, &str)>, IdentifierError> {
    let mut elements = Vec::new();
    let mut rest = text;
    while let Some((ai, after)) = bracketed_ai(rest) {
        let end = after
            .match_indices('(')
            .map(|(at, _)| at)
            .find(|at| after.get(*at..).is_some_and(|tail| bracketed_ai(tail).is_some()));
        let (value, next) = after.split_at_checked(end.unwrap_or(after.len())).unwrap_or((after, ""));
        elements.push((ai, value));
        rest = next;
    }
    if rest.is_empty() { Ok(elements) } else { Err(IdentifierError::Unrecognized) }
}

/// Looks no further than four digits, so that a text of brackets costs no more than any other.
fn bracketed_ai(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let digits = bytes.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).take(5).count();
    if bytes.first() != Some(&b'(') || !(2..=4).contains(&digits) || bytes.get(digits + 1) != Some(&b')') {
        return None;
    }
    Some((text.get(1..=digits)?, text.get(digits + 2..)?))
}

/// Checks every value and the order of the qualifiers, and writes the canonical path.
fn assemble(ai: &str, value: &str, qualifiers: &[(&str, &str)]) -> Result<Identifier, IdentifierError> {
    let key = keys::key(ai).ok_or_else(|| IdentifierError::UnknownGs1Key(ai.to_owned()))?;
    let padded =
        if key.ai == GTIN && matches!(value.len(), 8 | 12 | 13) { format!("{value:0>14}") } else { value.to_owned() };
    key.format.check(key.ai, &padded)?;
    let mut path = format!("{}/{}", key.ai, escaped(&padded));
    for ((qualifier, value), found) in qualifiers.iter().zip(ordered(key, qualifiers)?) {
        found.format.check(found.ai, value)?;
        // Writing to a String cannot fail.
        let _ = write!(path, "/{qualifier}/{}", escaped(value));
    }
    let spelling = if matches!(key.ai, GTIN | SSCC) { path.clone() } else { format!("{TAG}{path}") };
    Ok(Identifier::from_tagged(Scheme::Gs1, &spelling, &path))
}

/// The rule of each qualifier, if all stand on one of the key's paths, each at most once, in its order.
fn ordered(key: &'static Key, qualifiers: &[(&str, &str)]) -> Result<Vec<&'static Qualifier>, IdentifierError> {
    let mut furthest = qualifiers.first().map_or("", |(ai, _)| ai);
    for path in key.qualifiers {
        let mut steps = path.iter();
        let mut rules = Vec::with_capacity(qualifiers.len());
        for (ai, _) in qualifiers {
            match steps.find(|step| step.ai == *ai) {
                Some(rule) => rules.push(rule),
                None => {
                    furthest = ai;
                    break;
                }
            }
        }
        if rules.len() == qualifiers.len() {
            return Ok(rules);
        }
    }
    if qualifiers.is_empty() {
        Ok(Vec::new())
    } else {
        Err(IdentifierError::BadGs1Qualifier { key: key.ai, qualifier: furthest.to_owned() })
    }
}

fn escaped(value: &str) -> String {
    value.replace('%', "%25").replace('/', "%2F")
}

fn unescaped(segment: &str) -> String {
    segment.replace("%2F", "/").replace("%2f", "/").replace("%25", "%")
}

impl Format {
    fn check(self, ai: &'static str, value: &str) -> Result<(), IdentifierError> {
        if !self.is_shaped(value) {
            return Err(IdentifierError::BadGs1Value(ai));
        }
        match self.expected_check(value) {
            Some(expected) => Err(IdentifierError::BadCheckDigit { ai, expected }),
            None => Ok(()),
        }
    }
}
