//! gRPC: the calls of proto/ as guarded calls of the same services that HTTP asks, and answers back. Knows no socket: accept
//! brings the bytes and decides what is gRPC.
//!
//! ```text
//! methods      which call is whose, who may make it, how large it may be
//! deadline     when it ends at the latest
//! lasting      how many streamed answers there are at once
//! call         who asks; what it is told when it fails
//! wire         the messages, made from proto/
//! draft, import_start     messages to what services are asked
//! record, status          what services answer to messages, problems to statuses
//! resolver, registrar, importer, health      the calls
//! ```
//!
//! A call is judged before a byte of its messages is read: is there such a call, how long may it take, who asks. What is
//! stable, and what fails how, is the same as over HTTP: the codes, the limits, the rules of a record.

mod call;
mod deadline;
mod draft;
mod health;
mod import_start;
mod importer;
mod lasting;
mod methods;
mod record;
mod registrar;
mod resolver;
mod status;
pub mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method as Verb, Request, Response, Uri};
use http_body::Body as HttpBody;
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use self::call::Caller;
use self::deadline::Bounded;
use self::lasting::Lasting;
use self::methods::{Flow, Method};
use self::wire::health::health_server::HealthServer;
use self::wire::v1::importer_server::ImporterServer;
use self::wire::v1::registrar_server::RegistrarServer;
use self::wire::v1::resolver_server::ResolverServer;
use super::http::Desk;
use super::http::call::{credentials, request_id};
use super::http::failure::Failure;
use super::language;
use super::problem::{Code, Problem};
use crate::guard;
use crate::metrics::{Outcome, Transport};
use crate::model::permitted::Action;
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::observe::laps::{Laps, Step, on_behalf};

pub use status::DOMAIN;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Reflection = Box<dyn Fn(Request<Body>, &Method) -> Answer + Send + Sync>;

/// Ends when the node begins to drain; accept knows, and is above this stage.
pub type Stopping = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Answers calls: one value for all workers.
pub struct Grpc {
    desk: Arc<Desk>,
    stopping: Stopping,
    lasting: Lasting,
    resolver: ResolverServer<resolver::Reading>,
    registrar: RegistrarServer<registrar::Writing>,
    importer: ImporterServer<importer::Importing>,
    health: HealthServer<health::Checking>,
    /// Answers questions about the interface itself, on a developer's node.
    reflection: Option<Reflection>,
}

/// How accept is to bound the body of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub body_bytes: u64,
    /// A least progress other than `limits.body_progress_bytes`.
    pub least_bytes: Option<u64>,
}

/// What every answer has, whatever the call comes to.
struct Head {
    language: Language,
    request_id: Arc<str>,
    laps: Arc<Laps>,
}

impl Grpc {
    #[must_use]
    pub fn new(desk: Arc<Desk>, stopping: Stopping, reflects: bool) -> Grpc {
        Grpc {
            stopping,
            lasting: Lasting::of(desk.limits.requests_in_flight),
            resolver: ResolverServer::new(resolver::Reading(Arc::clone(&desk))),
            registrar: RegistrarServer::new(registrar::Writing(Arc::clone(&desk))),
            importer: ImporterServer::new(importer::Importing(Arc::clone(&desk))),
            health: HealthServer::new(health::Checking(Arc::clone(&desk))),
            reflection: if reflects { reflection() } else { None },
            desk,
        }
    }

    #[must_use]
    pub fn bounds(&self, uri: &Uri) -> Bounds {
        let limits = &self.desk.limits;
        match methods::named(uri.path()) {
            None => Bounds { body_bytes: limits.body_bytes, least_bytes: None },
            Some(method) => {
                Bounds { body_bytes: method.body_bytes(limits), least_bytes: method.is_conversation().then_some(1) }
            }
        }
    }

    /// The answer to a call. Errors of the body that are [`BodyFault`](super::http::BodyFault)s are told apart; others
    /// count as broken off.
    pub async fn answer<B>(&self, mut request: Request<B>) -> Response<Body>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let head = Head {
            language: language::of(request.headers()),
            request_id: request_id(request.headers()),
            laps: Arc::new(Laps::begin()),
        };
        let mut response = match self.judge(&head, &request) {
            Err(failure) => {
                let problem = failure.into_problem(&head.request_id).for_request(head.request_id.as_ref());
                status::of(&problem, head.language, "").into_http()
            }
            Ok((caller, deadline)) => {
                request.extensions_mut().insert(Arc::clone(&caller));
                on_behalf(Arc::clone(&head.laps), self.run(request.map(Body::new), &caller, deadline)).await
            }
        };
        dress(&mut response, &head.request_id);
        let status = response.extensions().get::<Status>();
        let status = status.map_or(200, |status| status::code(status).map_or(500, |code| code.row().status));
        response.extensions_mut().insert(Outcome::of_status(status));
        head.laps.record(&self.desk.metrics.requests, Transport::Grpc, status);
        response
    }

    /// What to say when a call was turned away before it came here.
    #[must_use]
    pub fn refuse(&self, code: Code, headers: &HeaderMap) -> Response<Bytes> {
        let id = request_id(headers);
        let problem = Problem::new(code).for_request(id.as_ref());
        let mut response = status::of(&problem, language::of(headers), "").into_http();
        dress(&mut response, &id);
        response.extensions_mut().insert(Outcome::of_status(code.row().status));
        response
    }

    /// Everything that can be said of a call by its head.
    fn judge<B>(&self, head: &Head, request: &Request<B>) -> Result<(Arc<Caller>, Instant), Failure> {
        let (headers, limits) = (request.headers(), &self.desk.limits);
        let method = methods::named(request.uri().path())
            .filter(|method| method.service != methods::Service::Reflection || self.reflection.is_some())
            .ok_or(Code::RouteUnknown)?;
        if request.method() != Verb::POST {
            return Err(Code::MethodNotAllowed.into());
        }
        expect_protobuf(headers)?;
        let deadline = deadline::of_call(headers, limits.grpc_call_seconds)?;
        head.laps.end(Step::Decode);
        let admit = |action| guard::admit(&self.desk.services, &credentials(headers), action, Timestamp::now());
        if method.action == Some(Action::Register) {
            self.desk.services.writes()?;
        }
        let pass = method.action.map(admit).transpose()?;
        head.laps.end(Step::Guard);
        let caller = Caller {
            pass,
            language: head.language,
            request_id: Arc::clone(&head.request_id),
            laps: Arc::clone(&head.laps),
            method,
            message_bytes: method.message_bytes(limits),
        };
        Ok((Arc::new(caller), deadline))
    }

    /// The call within its time. What it was about is dropped when that is over.
    async fn run(&self, request: Request<Body>, caller: &Arc<Caller>, deadline: Instant) -> Response<Body> {
        let place = if caller.method.answers == Flow::Stream {
            let Some(place) = self.lasting.take() else {
                return caller.status(Code::Overloaded.into()).into_http();
            };
            Some(place)
        } else {
            None
        };
        let is_late = deadline <= Instant::now();
        let answer = async { if is_late { None } else { Some(self.dispatch(request, caller).await) } };
        let Ok(Some(response)) = tokio::time::timeout_at(deadline, answer).await else {
            return caller.status(Code::DeadlineExceeded.into()).into_http();
        };
        if let Some(status) = response.extensions().get::<Status>() {
            // What tonic could not read has no code of ours yet.
            let is_told = status::code(status).is_some() || caller.method.service == methods::Service::Reflection;
            return if is_told { response } else { caller.status(caller.unread(status)).into_http() };
        }
        let Some(place) = place else {
            return response;
        };
        let (stopping, caller) = ((self.stopping)(), Arc::clone(caller));
        response.map(|body| Body::new(Bounded::new(body, deadline, stopping, caller, place)))
    }

    fn dispatch(&self, request: Request<Body>, caller: &Caller) -> Answer {
        let most = caller.message_bytes;
        match caller.method.service {
            methods::Service::Resolver => served(self.resolver.clone().max_decoding_message_size(most), request),
            methods::Service::Registrar => served(self.registrar.clone().max_decoding_message_size(most), request),
            methods::Service::Importer => served(self.importer.clone().max_decoding_message_size(most), request),
            methods::Service::Health => served(self.health.clone().max_decoding_message_size(most), request),
            methods::Service::Reflection => match &self.reflection {
                Some(reflection) => reflection(request, caller.method),
                None => Box::pin(std::future::ready(caller.status(Code::RouteUnknown.into()).into_http())),
            },
        }
    }
}

/// `application/grpc`, alone or with `+proto`: there is no other encoding here.
fn expect_protobuf(headers: &HeaderMap) -> Result<(), Failure> {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = said.split(';').next().unwrap_or_default().trim();
    if ["application/grpc", "application/grpc+proto"].iter().any(|known| known.eq_ignore_ascii_case(media_type)) {
        return Ok(());
    }
    Err(Problem::new(Code::UnsupportedMediaType)
        .with_detail(
            "content-type 应为 application/grpc 或 application/grpc+proto",
            "content-type must be application/grpc or application/grpc+proto",
        )
        .into())
}

fn dress<B>(response: &mut Response<B>, id: &str) {
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-request-id", id);
    }
}

fn served<S>(mut server: S, request: Request<Body>) -> Answer
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let answer = server.call(request);
    Box::pin(async move {
        match answer.await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    })
}

/// Both versions of the reflection protocol: tools ask for the newer one, then for the older.
fn reflection() -> Option<Reflection> {
    let builder =
        || tonic_reflection::server::Builder::configure().register_encoded_file_descriptor_set(wire::DESCRIPTORS);
    let (v1, v1alpha) = match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => (v1, v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "gRPC reflection is off: the descriptors do not read");
            return None;
        }
    };
    Some(Box::new(move |request, method| {
        if method.path.contains(".v1alpha.") { served(v1alpha.clone(), request) } else { served(v1.clone(), request) }
    }))
}
