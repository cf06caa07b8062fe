//! MA: the codes of ISO/IEC 15459 issuing agency MA (IDcode): `MA.156.M0.100204.13351764`, `MA.156.1003.1629/10.46100000.x`.
//!
//! Source: the agency's public description: nodes of letters and digits joined by dots; the user's root (four nodes: MA, the
//! country, the industry, the user), the object's category and the user's own part may be joined by "." or "/", so both
//! spell one name. Unsure, so lenient: node count and lengths are not checked, `-` and `_` are allowed. The case of the root counts for
//! nothing, that of all that follows is kept: serial numbers of users may differ by it.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

const TAG: &str = "MA.";

/// Whether a plain text begins like an MA code: `MA.` and a country of three digits.
pub(super) fn is_ma(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.get(..3).is_some_and(|tag| tag.eq_ignore_ascii_case(TAG.as_bytes()))
        && bytes.get(3..6).is_some_and(|country| country.iter().all(u8::is_ascii_digit))
        && matches!(bytes.get(6), Some(b'.' | b'/'))
}

/// With or without the leading `MA.`, which a key leaves out.
pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    let whole = if is_ma(text) { text.to_owned() } else { format!("{TAG}{text}") };
    let nodes: Vec<&str> = whole.split(['.', '/']).collect();
    let is_node = |node: &&str| {
        !node.is_empty() && node.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if !is_ma(&whole) || !nodes.iter().all(is_node) {
        return Err(IdentifierError::BadMa);
    }
    let canonical: Vec<String> = nodes
        .iter()
        .enumerate()
        .skip(1)
        .map(|(at, node)| if at < 4 { node.to_ascii_lowercase() } else { (*node).to_owned() })
        .collect();
    let spelling = whole.get(TAG.len()..).map(|rest| format!("{TAG}{rest}")).unwrap_or_default();
    Ok(Identifier::from_tagged(Scheme::Ma, &spelling, &canonical.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes_between_the_parts_spell_one_name() {
        let slashed = read("MA.156.1003.1629/10.46100000.riseplatform").unwrap();
        let dotted = read("ma.156.1003.1629.10.46100000.riseplatform").unwrap();
        assert_eq!(slashed.key(), dotted.key());
        assert_eq!(slashed.key().as_str(), "ma:156.1003.1629.10.46100000.riseplatform");
        assert_eq!(slashed.spelling(), "MA.156.1003.1629/10.46100000.riseplatform");
    }

    #[test]
    fn the_root_has_no_case_and_the_serial_number_has() {
        assert_eq!(read("MA.156.m0.100204.Sx1").unwrap().key(), read("MA.156.M0.100204.Sx1").unwrap().key());
        assert_ne!(read("MA.156.M0.100204.SX1").unwrap().key(), read("MA.156.M0.100204.Sx1").unwrap().key());
    }

    #[test]
    fn empty_nodes_and_foreign_characters_are_refused() {
        for bad in ["MA.156.", "MA.156..1", "MA.156.1//2", "MA.156.电", "MA.15.1", "MA.156"] {
            assert_eq!(read(bad).unwrap_err(), IdentifierError::BadMa, "{bad}");
        }
    }
}
