//! VIN: the 17 characters of a vehicle, an alias type; `vin:LSVAA4182E2123456`.
//!
//! Source: ISO 3779 for length and alphabet. The check character (position 9) is not required: it is mandatory in some markets only.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

/// A VIN has no case: small letters are read as capitals.
pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    let vin = text.to_ascii_uppercase();
    let is_vin = vin.len() == 17
        && vin
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !matches!(byte, b'I' | b'O' | b'Q')));
    if is_vin {
        Ok(Identifier::from_tagged(Scheme::Vin, &format!("vin:{vin}"), &vin))
    } else {
        Err(IdentifierError::BadVin)
    }
}
