//! VAA: the industrial internet's own prefixes, `88.node` and `88.node.enterprise`.
//!
//! Source: the public grammar of prefixes on secondary nodes (also that of `did:cn`): issuer 2 digits, node 3 to 5 digits,
//! enterprise 1 to 128 digits. Digits are text: `88.101.0042` and `88.101.42` are two prefixes.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

/// What every VAA prefix of this issuer begins with.
pub const ROOT: &str = "88.";

pub(in crate::model) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    slash(text).map(|slash| Identifier::from_slash_form(Scheme::Vaa, text, slash))
}

/// Where the prefix ends.
pub(in crate::model) fn slash(text: &str) -> Result<usize, IdentifierError> {
    let Some(slash) = text.bytes().position(|byte| byte == b'/') else {
        // A prefix alone names nobody's thing; anything else after "88." is no prefix either.
        return Err(if is_prefix(text) { IdentifierError::EmptySuffix } else { IdentifierError::BadVaaPrefix });
    };
    let (prefix, suffix) = text.split_at(slash);
    if !is_prefix(prefix) {
        return Err(IdentifierError::BadVaaPrefix);
    }
    if suffix.len() <= 1 {
        return Err(IdentifierError::EmptySuffix);
    }
    Ok(slash)
}

/// `dd.d{3,5}` or `dd.d{3,5}.d{1,128}`, where dd is 88.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    text.strip_prefix(ROOT).is_some_and(is_node_and_enterprise)
}

/// The part of the grammar after the issuer, shared with did:cn.
pub(super) fn is_node_and_enterprise(text: &str) -> bool {
    let digits = |part: &str, least, most| {
        (least..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    match text.split_once('.') {
        None => digits(text, 3, 5),
        Some((node, enterprise)) => digits(node, 3, 5) && digits(enterprise, 1, 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_three_to_five_digits_and_perhaps_an_enterprise() {
        for good in ["88.999", "88.1021", "88.10215", "88.118.8", "88.101.0042"] {
            assert!(is_prefix(good), "{good}");
        }
        assert!(is_prefix(&format!("88.118.{}", "7".repeat(128))));
        for bad in ["88.", "88.99", "88.123456", "88.118.", "88.118.8.9", "88.11a", "86.118.8", "88.118.８"] {
            assert!(!is_prefix(bad), "{bad}");
        }
        assert!(!is_prefix(&format!("88.118.{}", "7".repeat(129))));
    }
}
