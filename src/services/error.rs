//! What a service could not do, and whose fault it is. Status codes are given at the edge (codec/problem), not here.

use crate::model::field::FieldError;
use crate::model::identifier::{CanonicalKey, IdentifierError};
use crate::model::record::Status;
use crate::store::engine::EngineError;
use crate::store::journal::JournalError;
use crate::store::{ApplyError, Refusal};

/// Every way in which a service says no.
#[derive(Clone, Debug)]
pub enum ServiceError {
    // The caller's: what was sent.
    /// The text is no identifier.
    Identifier(IdentifierError),
    /// The document breaks rules; all of them are listed.
    Fields(Vec<FieldError>),
    /// The signed entry would be too large.
    EntryTooLarge(String),
    /// The idempotency key was used for another request.
    IdempotencyMismatch,

    // The caller's: what it assumed.
    /// No prefix of this node.
    NotResponsible { identifier: String },
    /// Never registered here.
    Unknown { identifier: String },
    /// The version that was asked for does not exist.
    NoSuchVersion { identifier: String },
    /// Deleted or erased; never given out again.
    Gone { identifier: String },
    /// It exists, and no precondition was sent.
    PreconditionRequired { version: u64 },
    /// It stands at another version (`None`: it does not exist).
    VersionMismatch { current: Option<u64> },
    /// The life cycle has no such step.
    StatusStep { from: Status, to: Status },
    /// Another identifier bears this name.
    AliasTaken { alias: CanonicalKey },
    /// A request with the same idempotency key is still running.
    IdempotencyRunning,
    /// It changed under every attempt.
    Conflict { identifier: String },
    /// No request with this idempotency key is remembered.
    UnknownRequest,
    /// No such job, key or the like.
    NotFound { what: &'static str, name: String },
    /// An upload has more bytes than the limit.
    UploadTooLarge { limit: u64 },
    /// The credential does not open anything.
    BadCredential,

    // The node's.
    /// The store takes no writes.
    Refused(Refusal),
    /// Something that should not happen; the cause goes to the log, not to the caller.
    Internal(String),
}

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}

impl From<JournalError> for ServiceError {
    fn from(error: JournalError) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}

impl From<ApplyError> for ServiceError {
    fn from(error: ApplyError) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}

impl From<IdentifierError> for ServiceError {
    fn from(error: IdentifierError) -> ServiceError {
        ServiceError::Identifier(error)
    }
}

impl From<serde_json::Error> for ServiceError {
    fn from(error: serde_json::Error) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}
