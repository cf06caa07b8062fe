//! One call on its way: who asks, in which language, and what it is told when it fails.

use std::sync::Arc;

use tonic::{Request, Status};

use super::methods::Method;
use super::status;
use crate::codec::http::body::fault_in;
use crate::codec::http::failure::Failure;
use crate::codec::problem::{Code, Problem};
use crate::guard::Pass;
use crate::model::permitted::{Asks, Permitted};
use crate::model::text::Language;
use crate::observe::laps::{Laps, Step};

/// What is known of a call before its messages are read.
pub(super) struct Caller {
    /// Absent where nothing is asked of the guard.
    pub pass: Option<Pass>,
    pub language: Language,
    pub request_id: Arc<str>,
    pub laps: Arc<Laps>,
    pub method: &'static Method,
    /// The most bytes of one message.
    pub message_bytes: usize,
}

impl Caller {
    /// The caller of a request that was judged, and what was asked.
    pub(super) fn of<T>(mut request: Request<T>) -> Result<(Arc<Caller>, T), Status> {
        let caller = request.extensions_mut().remove::<Arc<Caller>>();
        // Whatever reaches a service has passed `Grpc::answer`, which puts it there.
        let caller = caller.ok_or_else(|| Status::internal("the call was not judged"))?;
        // Waiting for the client, and tonic's decoding.
        caller.laps.skip();
        Ok((caller, request.into_inner()))
    }

    /// The last step before a service.
    pub(super) fn permit<R: Asks>(&self, request: R) -> Result<Permitted<R>, Failure> {
        self.laps.end(Step::Decode);
        let permitted = match &self.pass {
            Some(pass) => pass.permit(request)?,
            None => return Err(Code::MissingCredentials.into()),
        };
        self.laps.end(Step::Guard);
        Ok(permitted)
    }

    pub(super) fn problem(&self, failure: Failure) -> Problem {
        failure.into_problem(&self.request_id).for_request(self.request_id.as_ref())
    }

    /// How the call fails.
    pub(super) fn status(&self, failure: Failure) -> Status {
        status::of(&self.problem(failure), self.language, self.method.content)
    }

    /// The same for what could not be read.
    pub(super) fn unread(&self, status: &Status) -> Failure {
        if let Some(fault) = std::error::Error::source(status).and_then(fault_in) {
            return fault.into();
        }
        let limit = self.message_bytes;
        match status.code() {
            tonic::Code::OutOfRange => Problem::new(Code::BodyTooLarge)
                .with_detail(format!("一条消息的上限为 {limit} 字节"), format!("a message may have {limit} bytes"))
                .into(),
            tonic::Code::Unimplemented => Problem::new(Code::UnsupportedMediaType)
                .with_detail("不接受压缩的消息", "compressed messages are not taken")
                .into(),
            tonic::Code::Internal => malformed(status.message(), status.message()),
            _ => Problem::new(Code::BodyBroken).into(),
        }
    }
}

/// A message that is none, or not where it belongs.
pub(super) fn malformed(zh: &str, en: &str) -> Failure {
    Problem::new(Code::MessageMalformed).with_detail(zh, en).into()
}
