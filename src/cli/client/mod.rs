//! HTTP to a running node: HTTP/1.1, in the clear or over TLS, over IPv4 and IPv6, with time-outs, bounded answers, and patience where asking
//! again does no harm.
//!
//! - `server`: where the node is. `trust`: whose certificates count. `answer`: what it said. `error`: what went wrong.

mod answer;
mod error;
mod server;
mod trust;

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use answer::Answer;
pub use error::ClientError;
pub use server::{Server, ServerArguments, encode};

use self::error::ShownKey;
use super::failure::{CliError, Verdict};
use super::screen::Screen;
use super::token_file::Token;
use crate::model::text::Language;
use crate::observe::trace_context::TraceContext;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the last byte of a request to the first of its answer. An atomic import's upload is answered before its work.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause before asking again; each later one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// How long a question is repeated when nobody asked for more patience.
const PATIENCE: Duration = Duration::from_secs(2);

pub const JSON: &str = "application/json";
pub const NDJSON: &str = "application/x-ndjson";

/// What is sent.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One node, and who asks it.
pub struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Body>,
    server: Server,
    authorization: Option<HeaderValue>,
    /// Where the key is from.
    key_source: Option<String>,
    screen: Screen,
    patience: Duration,
    /// Of whoever runs the command: handed on as it is, for nothing here is a span of its own.
    place_in_trace: Option<HeaderValue>,
}

/// `TRACEPARENT`, as OpenTelemetry hands a place in a trace to a process; what is malformed is left out.
fn place_in_trace() -> Option<HeaderValue> {
    let text = std::env::var("TRACEPARENT").ok()?;
    TraceContext::parse(text.as_bytes())?;
    HeaderValue::try_from(text).ok()
}

/// Runs a client command to its end on this thread.
pub fn wait_for(command: impl Future<Output = Result<Verdict, CliError>>) -> Result<Verdict, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        CliError::wrong(format!("无法启动运行时：{error}"), format!("the runtime does not start: {error}"))
    })?;
    let verdict = runtime.block_on(command);
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    verdict
}

impl Client {
    pub fn new(node: ServerArguments, token: Option<&Token>, screen: Screen) -> Result<Client, CliError> {
        let ServerArguments { server, ca_file } = node;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        connector.enforce_http(false);
        let connector = trust::over_tls(connector, &server, ca_file.as_deref())?;
        let mut pool = Pool::builder(TokioExecutor::new());
        pool.pool_timer(TokioTimer::new());
        Ok(Client {
            pool: pool.build(connector),
            server,
            authorization: token.map(Token::header).transpose()?,
            key_source: token.map(|token| token.source().to_owned()),
            screen,
            patience: PATIENCE,
            place_in_trace: place_in_trace(),
        })
    }

    /// How long a node may be away before a question that can be repeated is given up.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Client {
        self.patience = patience;
        self
    }

    /// Asks for a JSON document of at most `limit` bytes; asks again where that may help.
    pub async fn ask_json<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Result<T, ClientError> {
        self.patiently(async || {
            let answer = self.ask(Method::GET, path, JSON, None).await?;
            answer.json(limit).await
        })
        .await
    }

    /// Asks once and hands over the answer with its body unread.
    pub async fn get(&self, path: &str, accept: &'static str) -> Result<Answer, ClientError> {
        self.ask(Method::GET, path, accept, None).await
    }

    /// Sends a document once: what it asks for may have been done even where no answer comes.
    pub async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        document: &impl Serialize,
        limit: usize,
    ) -> Result<T, ClientError> {
        self.send_json(Method::POST, path, document, limit).await
    }

    /// The same by another method.
    pub async fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        document: &impl Serialize,
        limit: usize,
    ) -> Result<T, ClientError> {
        let bytes = serde_json::to_vec(document)
            .map_err(|_| ClientError::Unexpected { what: "a request that does not encode".to_owned() })?;
        let body = Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed_unsync();
        let answer = self.ask(method, path, JSON, Some((JSON, body))).await?;
        answer.json(limit).await
    }

    /// Repeats a question while its failure is one that passes and patience lasts.
    pub async fn patiently<T>(&self, question: impl AsyncFn() -> Result<T, ClientError>) -> Result<T, ClientError> {
        let started = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            let error = match question().await {
                Err(error) if error.passes() => error,
                other => return other,
            };
            let wait = error.retry_after().unwrap_or(pause).max(pause);
            if started.elapsed() + wait > self.patience {
                return Err(error);
            }
            if started.elapsed() > Duration::from_secs(3) && !told {
                told = true;
                let left = self.patience.as_secs();
                self.screen.note(
                    format!("{}；继续重试，最多 {left} 秒", error.text().zh),
                    format!("{}; trying again for up to {left} s", error.text().en),
                );
            }
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&'static str, Body)>,
    ) -> Result<Answer, ClientError> {
        let request = self.request(method, path, accept, body)?;
        match tokio::time::timeout(ANSWER_TIMEOUT, self.send(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::TimedOut { seconds: ANSWER_TIMEOUT.as_secs() }),
        }
    }

    /// A request with the headers that every one has. `path` begins with a slash and is encoded.
    pub fn request(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Option<(&'static str, Body)>,
    ) -> Result<Request<Body>, ClientError> {
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = method;
        *request.uri_mut() = self.server.uri(path)?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        let language = match self.screen.language {
            Language::Zh => "zh-CN",
            Language::En => "en",
        };
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mingpai/", env!("CARGO_PKG_VERSION"))));
        if let Some(place) = &self.place_in_trace {
            headers.insert("traceparent", place.clone());
        }
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        if let Some((media_type, body)) = body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
            *request.body_mut() = body;
        }
        Ok(request)
    }

    /// Sends without a time-out of its own, and turns a refusal into an error.
    pub async fn send(&self, request: Request<Body>) -> Result<Answer, ClientError> {
        match self.pool.request(request).await {
            Ok(response) => Answer::of(response).await.map_err(|error| self.with_key(error)),
            Err(error) => Err(ClientError::of_transport(&error, &self.server)),
        }
    }

    /// A refused key is named by its node and its file: either may be the wrong one.
    fn with_key(&self, mut error: ClientError) -> ClientError {
        if let (ClientError::Refused(refused), Some(source)) = (&mut error, &self.key_source)
            && refused.status == 401
        {
            refused.key = Some(ShownKey { server: self.server.to_string(), source: source.clone() });
        }
        error
    }

    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }
}
