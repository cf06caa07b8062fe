//! What any stage could not do, as a problem: the one place where a service's error gets its code and so its status.

use crate::codec::problem::{Code, Problem};
use crate::config::ConfigError;
use crate::guard::GuardError;
use crate::model::field::FieldError;
use crate::model::prefix::PrefixStatus;
use crate::model::text::Text;
use crate::services::ServiceError;
use crate::services::file::FilingError;
use crate::services::licence::LicenceError;
use crate::store::Refusal;

/// Why a handler has no answer.
#[derive(Debug)]
pub(in crate::codec) enum Failure {
    Problem(Box<Problem>),
    Service(ServiceError),
    Guard(GuardError),
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Problem::new(code).into()
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<GuardError> for Failure {
    fn from(error: GuardError) -> Self {
        Self::Guard(error)
    }
}

impl Failure {
    /// A query parameter that is wrong, named.
    pub(in crate::codec) fn query(name: &str, zh: &str, en: &str) -> Self {
        Problem::new(Code::QueryInvalid).with_detail(format!("{name}：{zh}"), format!("{name}: {en}")).into()
    }

    /// A header that is wrong, named.
    pub(in crate::codec) fn header(name: &str, zh: &str, en: &str) -> Self {
        Problem::new(Code::HeaderInvalid).with_detail(format!("{name}：{zh}"), format!("{name}: {en}")).into()
    }

    /// The problem to answer with. A cause inside the node goes to the log under the request's id, not to the caller.
    pub(in crate::codec) fn into_problem(self, request_id: &str) -> Problem {
        match self {
            Self::Problem(problem) => *problem,
            Self::Service(error) => {
                if let ServiceError::Internal(cause)
                | ServiceError::RecordDamaged { cause, .. }
                | ServiceError::Refused(Refusal::Poisoned(cause) | Refusal::ReadFailed(cause)) = &error
                {
                    tracing::error!(request_id, cause, "a request failed inside the node");
                }
                of_service(&error)
            }
            Self::Guard(GuardError::MissingCredentials) => Code::MissingCredentials.into(),
            Self::Guard(GuardError::BadCredentials) => Code::BadCredentials.into(),
            Self::Guard(GuardError::Forbidden { role }) => Problem::new(Code::Forbidden).with_detail(
                format!("密钥的角色（{}）不能这样做", role.as_str()),
                format!("the role of the key, {}, may not do this", role.as_str()),
            ),
            Self::Guard(GuardError::Service(error)) => Self::Service(error).into_problem(request_id),
        }
    }
}

/// The problem of a service's error.
pub(in crate::codec) fn of_service(error: &ServiceError) -> Problem {
    let problem = Problem::new(code_of(error)).with_text(error.text());
    match error {
        ServiceError::Identifier(error) => Problem::from(error),
        ServiceError::Fields(errors) => problem.with_errors(errors.clone()),
        ServiceError::Configuration(error) => problem.with_errors(faults(error)),
        _ => problem,
    }
}

/// Each fault of a configuration, by its key as a pointer: `/log/filter`.
fn faults(error: &ConfigError) -> Vec<FieldError> {
    let told = error.faults.iter().map(|fault| FieldError {
        pointer: format!("/{}", fault.key.replace('.', "/")),
        code: Code::ConfigInvalid.row().code,
        detail: Text::new(
            format!("{} ({})", fault.text.zh, fault.place),
            format!("{} ({})", fault.text.en, fault.place),
        ),
    });
    told.collect()
}

/// The same names as [`ServiceError::code`], as codes of the table (tested).
fn code_of(error: &ServiceError) -> Code {
    match error {
        ServiceError::Identifier(_) => Code::IdentifierInvalid,
        ServiceError::Fields(_) => Code::FieldsInvalid,
        ServiceError::Configuration(_) => Code::ConfigInvalid,
        ServiceError::EntryTooLarge(_) | ServiceError::Refused(Refusal::TooLarge { .. }) => Code::EntryTooLarge,
        ServiceError::IdempotencyMismatch => Code::IdempotencyMismatch,
        ServiceError::NotResponsible { .. } => Code::NotResponsible,
        ServiceError::OutOfReach { .. } | ServiceError::MoreThanHeld(_) => Code::Forbidden,
        ServiceError::Unknown { .. } => Code::IdentifierUnknown,
        ServiceError::BadCursor => Code::QueryInvalid,
        ServiceError::NoSuchVersion { .. } => Code::VersionUnknown,
        ServiceError::VersionFarBack { .. } => Code::VersionFarBack,
        ServiceError::Gone { .. } => Code::IdentifierDeleted,
        ServiceError::PreconditionRequired { .. } => Code::PreconditionRequired,
        ServiceError::VersionMismatch { .. } => Code::VersionMismatch,
        ServiceError::StatusStep { .. } => Code::StatusChangeRefused,
        ServiceError::AliasTaken { .. } => Code::AliasTaken,
        ServiceError::IdempotencyRunning => Code::IdempotencyRunning,
        ServiceError::Conflict { .. } => Code::Conflict,
        ServiceError::UnknownRequest => Code::RequestUnknown,
        ServiceError::NotFound { what: "import", .. } => Code::ImportUnknown,
        ServiceError::NotFound { what: "segment", .. } => Code::SegmentUnknown,
        ServiceError::NotFound { what: "grant", .. } => Code::GrantUnknown,
        ServiceError::NotFound { .. } => Code::KeyUnknown,
        ServiceError::TooManyGrants { .. } => Code::GrantTooMany,
        ServiceError::UploadTooLarge { .. } => Code::BodyTooLarge,
        ServiceError::UploadOffset { .. } => Code::UploadOffset,
        ServiceError::OriginTaken { .. } => Code::Internal,
        ServiceError::NotInLog => Code::LogPartUnknown,
        ServiceError::HeadPending => Code::CheckpointPending,
        ServiceError::ChangedSince { .. } => Code::ChangedSince,
        ServiceError::JobRunning { .. } => Code::ImportRunning,
        ServiceError::NotUndoable { .. } => Code::ImportNotUndoable,
        ServiceError::BadCredential => Code::BadCredentials,
        ServiceError::SignatureUnusable(_) => Code::SignatureUnusable,
        ServiceError::MirrorReadOnly { .. } => Code::MirrorReadOnly,
        ServiceError::MirrorHoldsNoNames { .. } => Code::MirrorHoldsNoNames,
        ServiceError::Licence(error) => of_licence(error),
        ServiceError::Filing(error) => of_filing(error),
        ServiceError::PrefixClosed(closed) => match closed.status {
            PrefixStatus::Revoked => Code::PrefixRevoked,
            PrefixStatus::Expired => Code::PrefixExpired,
            PrefixStatus::Suspended | PrefixStatus::Active => Code::PrefixSuspended,
        },
        ServiceError::RecordDamaged { .. } => Code::RecordDamaged,
        ServiceError::Refused(Refusal::Busy) => Code::Overloaded,
        ServiceError::Refused(Refusal::Full { .. }) => Code::StorageFull,
        ServiceError::Refused(Refusal::ReadFailed(_)) => Code::StorageReadFailed,
        ServiceError::Refused(Refusal::Poisoned(_)) => Code::StoragePoisoned,
        ServiceError::Refused(Refusal::Undecided) => Code::RestoredUndecided,
        ServiceError::Refused(Refusal::Stopping) => Code::Draining,
        ServiceError::Internal(_) => Code::Internal,
    }
}

fn of_filing(error: &FilingError) -> Code {
    match error {
        FilingError::Unknown { .. } => Code::FilingUnknown,
        FilingError::Step { .. } | FilingError::TooManySteps { .. } => Code::FilingStepRefused,
        FilingError::NotClaimed { .. } => Code::FilingNotClaimed,
        FilingError::SamePerson => Code::FilingSamePerson,
        FilingError::Prefix { .. } | FilingError::OtherPrefix { .. } => Code::PrefixUnavailable,
        FilingError::TooManyOpen { .. }
        | FilingError::TooMany { .. }
        | FilingError::TooManyFiles { .. }
        | FilingError::TooManyBytes { .. } => Code::FilingTooMany,
        FilingError::NoCertificate => Code::FilingIncomplete,
        FilingError::NoFile { .. } => Code::FilingUnknown,
        FilingError::PrefixStep { .. } => Code::PrefixStepRefused,
    }
}

fn of_licence(error: &LicenceError) -> Code {
    match error {
        LicenceError::Unknown { .. } => Code::LicenceUnknown,
        LicenceError::InForce { .. } => Code::LicenceInForce,
        LicenceError::Ended { .. } => Code::LicenceEnded,
        LicenceError::ChainFull { .. } => Code::LicenceChainFull,
        LicenceError::SigningKeyUnknown { .. } => Code::SigningKeyUnknown,
        LicenceError::SigningKeyActive { .. } => Code::SigningKeyActive,
        LicenceError::SigningKeyEnded { .. } => Code::SigningKeyEnded,
        LicenceError::SignatureRequired { .. } => Code::OwnerSignatureRequired,
        LicenceError::SignatureInvalid { .. } => Code::OwnerSignatureInvalid,
        LicenceError::NotLicensed { .. } => Code::OwnerNotLicensed,
        LicenceError::VersionMoved { .. } => Code::OwnerVersionMoved,
        LicenceError::DigestMismatch { .. } => Code::OwnerDigestMismatch,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::filing::{State, Step};
    use crate::model::identifier::{CanonicalKey, IdentifierError};
    use crate::model::prefix::PrefixStep;
    use crate::model::record::Status;
    use crate::model::time::Timestamp;
    use crate::services::file::{PrefixClosed, PrefixFault};

    #[test]
    fn the_service_and_the_table_give_every_error_the_same_name() {
        let identifier = || "88.999.1/a".to_owned();
        let refused = ServiceError::Refused;
        let closed = |status| {
            let (prefix, since) = (String::new(), Timestamp::EPOCH);
            ServiceError::PrefixClosed(PrefixClosed { prefix, status, since, is_answered: false })
        };
        for error in [
            ServiceError::Identifier(IdentifierError::Empty),
            ServiceError::Fields(Vec::new()),
            ServiceError::Configuration(ConfigError { faults: Vec::new() }),
            ServiceError::EntryTooLarge(String::new()),
            ServiceError::IdempotencyMismatch,
            ServiceError::NotResponsible { identifier: identifier() },
            ServiceError::Unknown { identifier: identifier() },
            ServiceError::BadCursor,
            ServiceError::NoSuchVersion { identifier: identifier() },
            ServiceError::VersionFarBack { identifier: identifier() },
            ServiceError::Gone { identifier: identifier() },
            ServiceError::PreconditionRequired { version: 1 },
            ServiceError::VersionMismatch { current: Some(1) },
            ServiceError::StatusStep { from: Status::Deleted, to: Status::Active },
            ServiceError::AliasTaken { alias: CanonicalKey::from_stored("gs1:01/0") },
            ServiceError::IdempotencyRunning,
            ServiceError::Conflict { identifier: identifier() },
            ServiceError::UnknownRequest,
            ServiceError::NotFound { what: "import", name: String::new() },
            ServiceError::NotFound { what: "segment", name: String::new() },
            ServiceError::NotFound { what: "key", name: String::new() },
            ServiceError::UploadTooLarge { limit: 1 },
            ServiceError::UploadOffset { offset: 1 },
            ServiceError::OriginTaken { origin: String::new() },
            ServiceError::ChangedSince { identifier: identifier(), current: 2 },
            ServiceError::JobRunning { id: String::new() },
            ServiceError::NotUndoable { id: String::new() },
            ServiceError::BadCredential,
            ServiceError::SignatureUnusable(Text::new("", "")),
            ServiceError::MirrorReadOnly { origin: String::new() },
            ServiceError::MirrorHoldsNoNames { origin: String::new() },
            FilingError::Unknown { id: String::new() }.into(),
            FilingError::Step { state: State::Draft, step: Step::Approved }.into(),
            FilingError::NotClaimed { reviewer: None }.into(),
            FilingError::SamePerson.into(),
            FilingError::OtherPrefix { endorsed: String::new() }.into(),
            FilingError::Prefix { prefix: String::new(), own: String::new(), cause: PrefixFault::Taken }.into(),
            FilingError::TooManyOpen { limit: 1 }.into(),
            FilingError::TooMany { limit: 1 }.into(),
            FilingError::TooManyFiles { limit: 1 }.into(),
            FilingError::TooManyBytes { limit: 1 }.into(),
            FilingError::NoCertificate.into(),
            FilingError::NoFile { seq: 1 }.into(),
            FilingError::TooManySteps { steps: 1 }.into(),
            FilingError::PrefixStep { prefix: String::new(), status: PrefixStatus::Active, step: PrefixStep::Restored }
                .into(),
            ServiceError::NotFound { what: "grant", name: String::new() },
            ServiceError::TooManyGrants { limit: 1 },
            closed(PrefixStatus::Suspended),
            closed(PrefixStatus::Expired),
            closed(PrefixStatus::Revoked),
            LicenceError::Unknown { id: String::new() }.into(),
            LicenceError::InForce { prefix: String::new(), holder: String::new() }.into(),
            LicenceError::Ended { id: String::new() }.into(),
            LicenceError::ChainFull { prefix: String::new(), limit: 1 }.into(),
            LicenceError::SigningKeyUnknown { kid: String::new() }.into(),
            LicenceError::SigningKeyActive { kid: String::new() }.into(),
            LicenceError::SigningKeyEnded { kid: String::new() }.into(),
            LicenceError::SignatureRequired { prefix: String::new() }.into(),
            LicenceError::SignatureInvalid { cause: Text::new("", "") }.into(),
            LicenceError::NotLicensed { prefix: String::new(), kid: String::new() }.into(),
            LicenceError::VersionMoved { signed: 1, next: 2 }.into(),
            LicenceError::DigestMismatch { expected: String::new() }.into(),
            ServiceError::RecordDamaged { identifier: identifier(), cause: String::new() },
            refused(Refusal::Busy),
            refused(Refusal::Full { needed_bytes: 1 }),
            refused(Refusal::TooLarge { bytes: 2, limit: 1 }),
            refused(Refusal::ReadFailed(String::new())),
            refused(Refusal::Poisoned(String::new())),
            refused(Refusal::Undecided),
            refused(Refusal::Stopping),
            ServiceError::Internal(String::new()),
        ] {
            assert_eq!(of_service(&error).code.row().code, error.code());
        }
    }

    #[test]
    fn a_cause_inside_the_node_is_not_told() {
        let error = ServiceError::Internal("/data/secret path".to_owned());
        let problem = Failure::from(error).into_problem("r");
        assert!(!format!("{problem:?}").contains("secret"));
    }
}
