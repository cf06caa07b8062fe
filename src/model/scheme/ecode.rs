//! Ecode: `ecode:` + version (V) + numbering system (NSI) + master code (MD).
//!
//! Source: the public summaries of GB/T 31866 (物联网标识体系 物品编码Ecode), whose full text is not public: version 1 has 4
//! digits of NSI and up to 20 of MD, version 2 up to 28, version 3 five digits of NSI and up to 39 letters or digits, version
//! 4 five digits of NSI and text; version 0 stands for GS1-compatible and binary codes, 5 to 9 are reserved or forbidden.
//! Unsure, so lenient: version 0 is any 1 to 62 letters and digits, and the case of letters is kept and counts. The tag is
//! required: bare digits would be taken for a GTIN.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    if is_ecode(text) {
        Ok(Identifier::from_tagged(Scheme::Ecode, &format!("ecode:{text}"), text))
    } else {
        Err(IdentifierError::BadEcode)
    }
}

fn is_ecode(text: &str) -> bool {
    let Some((version, body)) = text.split_at_checked(1) else {
        return false;
    };
    let numbered = |nsi_digits: usize| {
        body.split_at_checked(nsi_digits)
            .filter(|(nsi, _)| nsi.bytes().all(|byte| byte.is_ascii_digit()))
            .map(|(_, master)| master)
    };
    let digits =
        |master: &str, most| (1..=most).contains(&master.len()) && master.bytes().all(|byte| byte.is_ascii_digit());
    let alphanumeric = |master: &str, most| {
        (1..=most).contains(&master.len()) && master.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    match version {
        "0" => alphanumeric(body, 62),
        "1" => numbered(4).is_some_and(|master| digits(master, 20)),
        "2" => numbered(4).is_some_and(|master| digits(master, 28)),
        "3" => numbered(5).is_some_and(|master| alphanumeric(master, 39)),
        "4" => numbered(5).is_some_and(|master| !master.is_empty()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_its_own_lengths() {
        for good in ["100036930100000", "2003612345678901234567890", "300036AB12", "400036电池", "0ABC"] {
            assert!(is_ecode(good), "{good}");
        }
        for bad in ["", "1", "10003", "1000A1", "500036123", "300036", "30003_1", "0", "1０００３６"] {
            assert!(!is_ecode(bad), "{bad}");
        }
        assert!(!is_ecode(&format!("10003{}", "1".repeat(21))));
    }
}
