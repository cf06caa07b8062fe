//! One request, from its parsed head to its answer: the limits of its head, the hot answer, or a task that counts as in
//! flight.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};

use super::body::{Carried, Hold, Inbound, Outbound};
use super::settings::Limits;
use super::turns::{Place, Turns};
use super::watch::Pulse;
use super::worker::Shared;
use super::{Answerer, Refusal};
use crate::metrics::{Outcome, Stage, Transport};

/// What hyper calls for each request of one connection.
pub(super) struct Entry<A> {
    shared: Arc<Shared<A>>,
    pulse: Arc<Pulse>,
    transport: Transport,
}

impl<A> Entry<A> {
    pub(super) fn new(shared: Arc<Shared<A>>, pulse: Arc<Pulse>, transport: Transport) -> Self {
        Self { shared, pulse, transport }
    }
}

impl<A: Answerer> hyper::service::Service<Request<Incoming>> for Entry<A> {
    type Response = Response<Carried>;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, request: Request<Incoming>) -> Reply {
        let started = Instant::now();
        self.pulse.head_complete();
        let shared = &self.shared;
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let transport = if is_grpc(request.version(), headers) { Transport::Grpc } else { self.transport };
        let refusal = oversize(uri, headers, &shared.limits)
            .or_else(|| without_one_host(request.version(), headers))
            .or_else(|| oddly_framed(headers));
        if let Some(refusal) = refusal {
            return self.refuse(refusal, &request, transport, started);
        }
        if let Some(response) = shared.answerer.hot(method, uri, headers) {
            let (took, status) = (started.elapsed(), response.status().as_u16());
            if shared.metrics.attention.wants(took) {
                shared.answerer.tell_hot(method, uri, headers, status, transport, took);
            }
            return self.at_once(response, Outcome::of_hot(status), transport, took);
        }
        let in_flight = &shared.metrics.accept.requests_in_flight;
        if in_flight.inc() >= shared.limits.requests_in_flight as u64 {
            in_flight.dec();
            return self.refuse(Refusal::TooManyRequests, &request, transport, started);
        }
        let hold = Hold::new(Arc::clone(&self.pulse), in_flight.clone());
        self.later(request, hold, transport, started)
    }
}

impl<A: Answerer> Entry<A> {
    fn at_once(&self, response: Response<Outbound>, outcome: Outcome, transport: Transport, took: Duration) -> Reply {
        self.shared.turns.quick();
        self.shared.metrics.requests.record(Stage::Total, transport, outcome, took);
        Reply::Ready(Some(response.map(Carried::free)))
    }

    fn refuse(&self, refusal: Refusal, request: &Request<Incoming>, transport: Transport, started: Instant) -> Reply {
        if !request.body().is_end_stream() {
            self.pulse.left_unread();
        }
        self.shared.metrics.accept.refused(refusal.word());
        let mut response = self.shared.answerer.refuse(refusal, request.headers());
        if refusal == Refusal::OddFraming {
            // Where its body ends is in doubt, so nothing after it may be taken for a request.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let outcome = outcome_of(&response);
        self.at_once(response, outcome, transport, started.elapsed())
    }

    fn later(&self, request: Request<Incoming>, hold: Hold, transport: Transport, started: Instant) -> Reply {
        let shared = Arc::clone(&self.shared);
        let pulse = Arc::clone(&self.pulse);
        let turns = Arc::clone(&shared.turns);
        let answer = Box::pin(async move {
            let request = request.map(|body| Inbound::new(body, &shared.limits, pulse));
            let answer = AssertUnwindSafe(shared.answerer.answer(request)).catch_unwind();
            let response = match answer.await {
                Ok(response) => response,
                Err(_) => {
                    shared.metrics.accept.refused(Refusal::Panicked.word());
                    shared.answerer.refuse(Refusal::Panicked, &told(transport))
                }
            };
            let outcome = outcome_of(&response);
            shared.metrics.requests.record(Stage::Total, transport, outcome, started.elapsed());
            response.map(|body| Carried::held(body, hold))
        });
        Reply::Later(Later { answer, turns, place: Place::default() })
    }
}

/// Whether a request is a call of gRPC: HTTP/2 and a content type of its own. gRPC-Web is another protocol.
#[must_use]
pub fn is_grpc(version: Version, headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    version == Version::HTTP_2
        && headers.get(CONTENT_TYPE).and_then(|said| said.as_bytes().split_at_checked(GRPC.len())).is_some_and(
            |(said, rest)| said.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' ')),
        )
}

/// What is left of a request that a panic took: enough to answer in its protocol.
fn told(transport: Transport) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if transport == Transport::Grpc {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    }
    headers
}

/// gRPC answers 200 whatever became of the call, so whoever made the answer says how it ended.
fn outcome_of(response: &Response<Outbound>) -> Outcome {
    let said = response.extensions().get::<Outcome>();
    said.copied().unwrap_or_else(|| Outcome::of_status(response.status().as_u16()))
}

/// HTTP/1.1 needs exactly one Host (RFC 9112, section 3.2): with none or two, two servers may see two addresses.
fn without_one_host(version: Version, headers: &HeaderMap) -> Option<Refusal> {
    let one = version != Version::HTTP_11 || headers.get_all(HOST).iter().count() == 1;
    (!one).then_some(Refusal::NoSingleHost)
}

/// The only transfer coding is `chunked`, said once and without a length beside it. hyper overlooks codings before the
/// last; a proxy in front may not, and then the two see different requests (RFC 9112, section 11.2).
fn oddly_framed(headers: &HeaderMap) -> Option<Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let first = codings.next()?;
    let plain = first.as_bytes().eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
    (!plain || headers.contains_key(CONTENT_LENGTH)).then_some(Refusal::OddFraming)
}

/// hyper's own limits lie higher, so that these can be answered with a body.
fn oversize(uri: &Uri, headers: &HeaderMap, limits: &Limits) -> Option<Refusal> {
    if uri.path_and_query().is_some_and(|target| target.as_str().len() > limits.uri_bytes) {
        return Some(Refusal::UriTooLong);
    }
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    (headers.len() > limits.header_count || bytes > limits.header_bytes).then_some(Refusal::HeadersTooLarge)
}

/// The future of one request: nothing is boxed when the answer is at hand.
pub(super) enum Reply {
    Ready(Option<Response<Carried>>),
    Later(Later),
}

/// An answer that is worked for, by turns.
pub(super) struct Later {
    answer: Pin<Box<dyn Future<Output = Response<Carried>> + Send>>,
    turns: Arc<Turns>,
    place: Place,
}

impl Drop for Later {
    fn drop(&mut self) {
        self.turns.leave(&self.place);
    }
}

impl Future for Reply {
    type Output = Result<Response<Carried>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // A future is not polled after it was ready; if it were, waiting for ever is the harmless answer.
            Self::Ready(response) => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Self::Later(Later { answer, turns, place }) => {
                turns.poll(place, context, |context| answer.as_mut().poll(context)).map(Ok)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_http2_with_a_content_type_of_its_own() {
        let is = |version, said: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(said));
            is_grpc(version, &headers)
        };
        for said in ["application/grpc", "application/grpc+proto", "Application/gRPC", "application/grpc;charset=utf-8"]
        {
            assert!(is(Version::HTTP_2, said), "{said}");
            assert!(!is(Version::HTTP_11, said), "{said}");
        }
        for said in ["application/grpc-web", "application/grpc-web+proto", "application/json", "", "application/grp"] {
            assert!(!is(Version::HTTP_2, said), "{said}");
        }
        assert!(!is_grpc(Version::HTTP_2, &HeaderMap::new()));
        assert!(is_grpc(Version::HTTP_2, &told(Transport::Grpc)));
        assert!(!is_grpc(Version::HTTP_2, &told(Transport::Http2)));
    }
}
