//! The traction battery code, an alias type; `battery:` + 24 characters.
//!
//! Source: the public summaries of GB/T 34014 (汽车动力蓄电池编码规则): 24 letters and digits. The meaning of the places is
//! not checked, so that codes of older rules stay readable.

use crate::model::identifier::{Identifier, IdentifierError};

use super::Scheme;

/// The code has no case: small letters are read as capitals.
pub(super) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    let code = text.to_ascii_uppercase();
    if code.len() == 24 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(Identifier::from_tagged(Scheme::Battery, &format!("battery:{code}"), &code))
    } else {
        Err(IdentifierError::BadBattery)
    }
}
