//! OID: `1.2.156.3088`, also `oid:…` and `urn:oid:…`.
//!
//! Source: ITU-T X.660 and RFC 3061: arcs are numbers without leading zeros, the first 0 to 2, the second below 40 under 0 and 1.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    if is_oid(text) { Ok(Identifier::from_tagged(Scheme::Oid, text, text)) } else { Err(IdentifierError::BadOid) }
}

/// What follows `urn:`; of URNs only `oid:` is known here.
pub(super) fn read_urn(rest: &str) -> Result<Identifier, IdentifierError> {
    match rest.split_once(':') {
        Some((namespace, oid)) if namespace.eq_ignore_ascii_case("oid") => read(oid),
        _ => Err(IdentifierError::UnknownUri),
    }
}

fn is_oid(text: &str) -> bool {
    let mut arcs = text.split('.');
    let (Some(root), Some(second)) = (arcs.next(), arcs.next()) else {
        return false;
    };
    let second_fits = match root {
        "0" | "1" => second.len() <= 2 && second.parse::<u8>().is_ok_and(|arc| arc < 40),
        "2" => true,
        _ => false,
    };
    second_fits && is_arc(second) && arcs.all(is_arc)
}

fn is_arc(arc: &str) -> bool {
    !arc.is_empty() && arc.bytes().all(|byte| byte.is_ascii_digit()) && (arc == "0" || !arc.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_have_no_leading_zeros_and_the_roots_are_three() {
        for good in ["1.2.156.3088", "0.0", "2.999", "2.25.329800735698586629295641978511506172918", "1.39"] {
            assert!(is_oid(good), "{good}");
        }
        for bad in ["1", "1.", "1.40", "3.1", "1.2.0156", "1..2", ".1.2", "1.2.", "1.+2"] {
            assert!(!is_oid(bad), "{bad}");
        }
    }
}
