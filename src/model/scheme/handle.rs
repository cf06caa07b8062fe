//! Handle: any other prefix (naming authority) + "/" + suffix, as RFC 3651 has it: `86.709.612/cc`, `10.1000/1`, `0.NA/88.999`.
//!
//! Stricter than RFC 3651 about the prefix, which may hold any printable character there: a colon, a bracket or a space in it
//! would be mistaken for a wrapper, and no allocated prefix has one.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

const MAX_PREFIX_BYTES: usize = 255;

pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    let slash = text.find('/').ok_or(IdentifierError::Unrecognized)?;
    let (prefix, suffix) = text.split_at(slash);
    if !is_prefix(prefix) {
        return Err(IdentifierError::BadHandlePrefix);
    }
    if suffix.len() <= 1 {
        return Err(IdentifierError::EmptySuffix);
    }
    Ok(Identifier::from_slash_form(Scheme::Handle, text, slash))
}

/// Dot-joined parts of letters, digits, `-` and `_`.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.len() <= MAX_PREFIX_BYTES
        && text.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|found| found.is_alphanumeric() || matches!(found, '-' | '_'))
        })
}
