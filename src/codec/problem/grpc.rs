//! Which status of gRPC a code has: by its HTTP status, but for the few where gRPC has a word of its own.

use super::Code;

impl Code {
    /// The status of a call that fails with this code (google/rpc/code.proto has what each says).
    #[must_use]
    pub fn grpc(self) -> tonic::Code {
        match self {
            // What is not there to be called, rather than a thing that was not found.
            Code::RouteUnknown | Code::MethodNotAllowed => tonic::Code::Unimplemented,
            Code::AlreadyExists | Code::AliasTaken => tonic::Code::AlreadyExists,
            Code::StatusChangeRefused => tonic::Code::FailedPrecondition,
            Code::RecordDamaged => tonic::Code::DataLoss,
            other => of_status(other.row().status),
        }
    }
}

fn of_status(status: u16) -> tonic::Code {
    match status {
        401 => tonic::Code::Unauthenticated,
        403 => tonic::Code::PermissionDenied,
        404 | 410 => tonic::Code::NotFound,
        408 | 504 => tonic::Code::DeadlineExceeded,
        409 => tonic::Code::Aborted,
        412 | 421 | 428 => tonic::Code::FailedPrecondition,
        413 | 414 | 429 | 431 | 507 => tonic::Code::ResourceExhausted,
        415 | 501 => tonic::Code::Unimplemented,
        502 | 503 => tonic::Code::Unavailable,
        400..=499 => tonic::Code::InvalidArgument,
        _ => tonic::Code::Internal,
    }
}

/// The name of a status as documents write it: `FAILED_PRECONDITION`.
#[must_use]
pub fn name(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
