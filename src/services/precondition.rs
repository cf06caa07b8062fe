//! What must be true of a record before it is changed (RFC 9110, section 13), with one rule more: what exists is changed
//! only by who says which version.

use super::register::Change;
use super::{ServiceError, Standing};
use crate::model::identifier::Identifier;
use crate::model::record::Status;

/// What the caller says about the version that it changes (RFC 9110, section 13).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: enough to create, too little to change.
    #[default]
    None,
    /// `If-None-Match: *`: create only.
    CreateOnly,
    /// `If-Match: *`: change whatever stands there.
    Any,
    /// `If-Match: "3"`: change these versions only.
    Versions(Vec<u64>),
}

/// RFC 9110, section 13, with one rule more: what exists is changed only by who says which version.
pub(super) fn check(
    precondition: &Precondition,
    standing: Option<&Standing>,
    change: &Change,
    identifier: &Identifier,
) -> Result<(), ServiceError> {
    let creates = matches!(change, Change::Put(_));
    match (standing, precondition) {
        (Some(standing), _) if standing.record.status == Status::Deleted => {
            Err(ServiceError::Gone { identifier: identifier.spelling().to_owned() })
        }
        (None, Precondition::None | Precondition::CreateOnly) if creates => Ok(()),
        (None, Precondition::Any | Precondition::Versions(_)) if creates => {
            Err(ServiceError::VersionMismatch { current: None })
        }
        (None, _) => Err(ServiceError::Unknown { identifier: identifier.spelling().to_owned() }),
        (Some(standing), Precondition::None) => {
            Err(ServiceError::PreconditionRequired { version: standing.record.version })
        }
        (Some(standing), Precondition::CreateOnly) => {
            Err(ServiceError::VersionMismatch { current: Some(standing.record.version) })
        }
        (Some(_), Precondition::Any) => Ok(()),
        (Some(standing), Precondition::Versions(versions)) if versions.contains(&standing.record.version) => Ok(()),
        (Some(standing), Precondition::Versions(_)) => {
            Err(ServiceError::VersionMismatch { current: Some(standing.record.version) })
        }
    }
}
