//! Sends spans to a collector: OTLP over HTTP with protobuf (opentelemetry.io/docs/specs/otlp, 1.x), on a thread of its own.
//!
//! A collector that is down is said once, and once that it is back; meanwhile the queue fills and what finds no room is
//! counted. A batch is tried four times where trying again may help, then dropped and counted.

use std::io;
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use tokio::sync::{mpsc, oneshot};

use super::outgoing::{self, Outgoing, with_causes};
use super::spans::{message, resource};
use super::traces::{Traced, Traces};
use crate::config::{Config, TracesSpec};
use crate::metrics::TraceMetrics;

/// Requests of one message.
const BATCH_REQUESTS: usize = 512;
/// How long a message waits for more.
const BATCH_DELAY: Duration = Duration::from_secs(1);
/// Of one attempt.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// What is still waiting when the node stops has so long.
const LAST_WORDS: Duration = Duration::from_secs(2);
const ANSWER_LIMIT_BYTES: usize = 64 * 1024;

/// The sending thread; when dropped it sends what waits, for a moment, and ends.
pub struct Sending {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sender of spans panicked");
        }
    }
}

/// Starts sending, where the configuration names a collector.
pub fn start(config: &Config, metrics: &TraceMetrics) -> io::Result<(Traces, Option<Sending>)> {
    let spec = &config.traces;
    if spec.endpoint.is_empty() {
        return Ok((Traces::default(), None));
    }
    let (traces, waiting) = Traces::new(spec, metrics.clone());
    let collector = Collector::new(spec, resource(config))?;
    let sender = Sender { collector, metrics: metrics.clone(), is_down: false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel();
    let work = move || runtime.block_on(sender.run(waiting, stopped));
    let thread = std::thread::Builder::new().name("traces".to_owned()).spawn(work)?;
    Ok((traces, Some(Sending { stop: Some(stop), thread: Some(thread) })))
}

/// What the sender heard meanwhile.
#[derive(PartialEq, Eq)]
enum Told {
    Nothing,
    ToStop,
}

struct Sender {
    collector: Collector,
    metrics: TraceMetrics,
    is_down: bool,
}

impl Sender {
    async fn run(mut self, mut waiting: mpsc::Receiver<Traced>, mut stopped: oneshot::Receiver<()>) {
        let mut rest = loop {
            let mut batch = Vec::new();
            let is_over = tokio::select! {
                _ = &mut stopped => true,
                taken = gather(&mut waiting, &mut batch) => !taken,
            };
            if is_over {
                break batch;
            }
            if self.send(batch, &mut stopped).await == Told::ToStop {
                break Vec::new();
            }
        };
        while let Ok(traced) = waiting.try_recv() {
            rest.push(traced);
        }
        let mut left = rest.len() as u64;
        let last_words = async {
            for batch in rest.chunks(BATCH_REQUESTS) {
                if self.attempt(batch).await.is_err() {
                    return;
                }
                left -= batch.len() as u64;
                self.metrics.ended("sent", batch.len() as u64);
            }
        };
        // What could not be said in time is lost.
        let _ = tokio::time::timeout(LAST_WORDS, last_words).await;
        self.metrics.ended("dropped", left);
    }

    /// Tries a batch until it is taken or given up. The stop is heard once only: whoever hears it must be the last to ask.
    async fn send(&mut self, batch: Vec<Traced>, stopped: &mut oneshot::Receiver<()>) -> Told {
        let count = batch.len() as u64;
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let attempt = {
                let mut attempt = pin!(self.attempt(&batch));
                tokio::select! {
                    ended = &mut attempt => Some(ended),
                    _ = &mut *stopped => {
                        let ended = tokio::time::timeout(LAST_WORDS, attempt).await;
                        let outcome = if matches!(ended, Ok(Ok(()))) { "sent" } else { "failed" };
                        self.metrics.ended(outcome, count);
                        None
                    }
                }
            };
            let Some(attempt) = attempt else { return Told::ToStop };
            let failure = match attempt {
                Ok(()) => {
                    if std::mem::take(&mut self.is_down) {
                        tracing::info!(endpoint = %self.collector.endpoint, "the collector takes spans again");
                    }
                    self.metrics.ended("sent", count);
                    return Told::Nothing;
                }
                Err(failure) => failure,
            };
            if !std::mem::replace(&mut self.is_down, true) {
                let endpoint = &self.collector.endpoint;
                tracing::warn!(%endpoint, cause = failure.cause, "the collector does not take spans; they are dropped and counted until it does");
            }
            let Some(pause) = pause.filter(|_| failure.passes) else { break };
            let is_over = tokio::select! {
                _ = &mut *stopped => true,
                () = tokio::time::sleep(pause) => false,
            };
            if is_over {
                self.metrics.ended("failed", count);
                return Told::ToStop;
            }
        }
        self.metrics.ended("failed", count);
        Told::Nothing
    }

    async fn attempt(&self, batch: &[Traced]) -> Result<(), SendFailure> {
        match tokio::time::timeout(SEND_TIMEOUT, self.collector.send(batch)).await {
            Ok(sent) => sent,
            Err(_) => Err(SendFailure { cause: "no answer in time".to_owned(), passes: true }),
        }
    }
}

/// Waits for a first request and, for a moment, for more. False: nobody can send one any more. What was taken is in `batch`
/// also when this is dropped.
async fn gather(waiting: &mut mpsc::Receiver<Traced>, batch: &mut Vec<Traced>) -> bool {
    if waiting.recv_many(batch, BATCH_REQUESTS).await == 0 {
        return false;
    }
    let more = async {
        while batch.len() < BATCH_REQUESTS {
            let room = BATCH_REQUESTS - batch.len();
            if waiting.recv_many(batch, room).await == 0 {
                break;
            }
        }
    };
    // Fewer are as good.
    let _ = tokio::time::timeout(BATCH_DELAY, more).await;
    true
}

struct SendFailure {
    cause: String,
    /// Whether the same may be taken later.
    passes: bool,
}

struct Collector {
    endpoint: Uri,
    client: Outgoing,
    resource: Resource,
}

impl Collector {
    fn new(spec: &TracesSpec, resource: Resource) -> io::Result<Self> {
        let endpoint: Uri = spec.endpoint.parse().map_err(io::Error::other)?;
        let client = outgoing::client([&endpoint], SEND_TIMEOUT)?;
        Ok(Self { endpoint, client, resource })
    }

    async fn send(&self, batch: &[Traced]) -> Result<(), SendFailure> {
        let message = message(&self.resource, batch).encode_to_vec();
        let mut request = Request::new(Full::new(Bytes::from(message)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("mingpai/", env!("CARGO_PKG_VERSION"))));
        let failed = |cause: String, passes| SendFailure { cause, passes };
        let response = self.client.request(request).await.map_err(|error| failed(with_causes(&error), true))?;
        let status = response.status();
        if !status.is_success() {
            // Those that the specification calls worth repeating.
            return Err(failed(format!("HTTP {status}"), matches!(status.as_u16(), 429 | 502 | 503 | 504)));
        }
        // The body is read so that the connection can be used again.
        let body = Limited::new(response.into_body(), ANSWER_LIMIT_BYTES).collect().await;
        let body = body.map_err(|error| failed(error.to_string(), false))?.to_bytes();
        let rejected = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
        match rejected {
            Some(partial) if partial.rejected_spans > 0 => {
                Err(failed(format!("{} spans were rejected", partial.rejected_spans), false))
            }
            _ => Ok(()),
        }
    }
}
