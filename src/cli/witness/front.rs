//! The witness over HTTP: `POST /add-checkpoint` (c2sp.org/tlog-witness) and a page that says who it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;

use super::forks::Kept;
use super::judge::{Fork, Outcome, Witness};
use crate::accept::{Answerer, Inbound, InboundError, Outbound, Refusal};
use crate::model::time::Timestamp;
use crate::tlog::add_checkpoint::SIZE_MEDIA_TYPE;

/// The most bytes of a request: a proof of 63 lines and a note with dozens of signatures, also post-quantum ones.
pub const BODY_LIMIT_BYTES: u64 = 256 * 1024;
const TEXT: &str = "text/plain; charset=utf-8";

/// What answers the requests of a witness.
pub struct Front {
    witness: Arc<Witness>,
    /// Of each log, the second of the last line about a proof that does not hold: anybody can send those.
    told: BTreeMap<String, AtomicU64>,
    /// The second of the last line about evidence that could not be written. It shares no line with what anybody can send.
    told_unwritten: AtomicU64,
}

impl Front {
    pub fn new(witness: Arc<Witness>) -> Front {
        let told = witness.logs().into_iter().map(|(origin, _)| (origin, AtomicU64::new(0))).collect();
        Front { witness, told, told_unwritten: AtomicU64::new(0) }
    }

    async fn add_checkpoint(&self, body: Inbound) -> Response<Outbound> {
        let bytes = match body.with_limit(BODY_LIMIT_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(InboundError::TooLarge { limit }) => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has at most {limit} bytes\n"));
            }
            Err(error @ InboundError::Stalled { .. }) => {
                return text(StatusCode::REQUEST_TIMEOUT, format!("{error}\n"));
            }
            Err(error @ InboundError::Broken(_)) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        };
        let witness = Arc::clone(&self.witness);
        match tokio::task::spawn_blocking(move || witness.add_checkpoint(&bytes, now)).await {
            Ok(outcome) => self.response(outcome),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the witness failed; nothing was cosigned\n"),
        }
    }

    fn response(&self, outcome: Outcome) -> Response<Outbound> {
        match outcome {
            Outcome::Cosigned(line) => text(StatusCode::OK, format!("{line}\n")),
            Outcome::Malformed(error) => text(StatusCode::BAD_REQUEST, format!("{error}\n")),
            Outcome::UnknownLog { origin } => {
                text(StatusCode::NOT_FOUND, format!("this witness does not know the log {origin}\n"))
            }
            Outcome::NotTheLog { origin } => {
                text(StatusCode::FORBIDDEN, format!("no key of the log {origin} that this witness knows signed this\n"))
            }
            Outcome::OtherSize { size } => size_answer(size),
            Outcome::OtherRoot { fork, kept } => {
                self.tell_fork(&fork, &kept);
                size_answer(fork.size)
            }
            Outcome::NotConsistent { origin, from, to } => {
                if self.told.get(&origin).is_some_and(is_first_this_second) {
                    tracing::warn!(
                        origin,
                        from,
                        to,
                        "refused: the proof does not show that the new head continues the old"
                    );
                }
                text(StatusCode::UNPROCESSABLE_ENTITY, format!("the proof from size {from} to {to} does not hold\n"))
            }
            Outcome::Unwritten { cause } => {
                tracing::error!(cause, "the state could not be made durable: nothing is cosigned until a restart");
                let mut response = text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the witness cannot write its state; its operator must look\n",
                );
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("60"));
                response
            }
        }
    }

    /// Each fork has its line once, with the file; what could not be written, again and again.
    fn tell_fork(&self, fork: &Fork, kept: &Kept) {
        let Fork { origin, size, cosigned, offered } = fork;
        let cosigned = cosigned.as_deref().unwrap_or("not kept");
        match kept {
            Kept::Before => {}
            Kept::New(path) => tracing::error!(
                origin,
                size,
                cosigned,
                offered,
                evidence = %path.display(),
                "the log has signed two roots at one size: it has forked. Both heads are evidence, show them to its readers"
            ),
            Kept::Unwritten(cause) => {
                if is_first_this_second(&self.told_unwritten) {
                    tracing::error!(
                        origin,
                        size,
                        cosigned,
                        offered,
                        cause,
                        "the log has forked, and the evidence could not be written: keep this line, both heads are evidence"
                    );
                }
            }
        }
    }

    /// For people, and for whoever fetches the key to pin it.
    fn page(&self) -> Response<Outbound> {
        let key = self.witness.verifier();
        let mut page = format!(
            "铭牌日志见证方 / a Mingpai witness of transparency logs (c2sp.org/tlog-witness)\n\n名称 name  {}\n公钥 vkey  {key}\n\n",
            key.name()
        );
        page += "请经可信的渠道核对公钥后再固定它 / compare the key over another channel before you pin it\n\n";
        page += "日志与最近见证的大小 / logs, with the size that was cosigned last:\n";
        for (origin, size) in self.witness.logs() {
            page += &format!("  {size:>20}  {origin}\n");
        }
        text(StatusCode::OK, page)
    }
}

impl Answerer for Front {
    fn hot(&self, _: &Method, _: &Uri, _: &HeaderMap) -> Option<Response<Outbound>> {
        None
    }

    async fn answer(&self, request: Request<Inbound>) -> Response<Outbound> {
        let (head, body) = request.into_parts();
        match (head.uri.path(), head.method) {
            ("/add-checkpoint", Method::POST) => self.add_checkpoint(body).await,
            ("/add-checkpoint", _) => not_allowed("POST"),
            ("/", Method::GET | Method::HEAD) => self.page(),
            ("/metrics", Method::GET | Method::HEAD) => {
                let mut response = text(StatusCode::OK, self.witness.metrics().render());
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(crate::metrics::MEDIA_TYPE));
                response
            }
            ("/" | "/metrics", _) => not_allowed("GET, HEAD"),
            _ => text(StatusCode::NOT_FOUND, "a witness has POST /add-checkpoint, GET / and GET /metrics\n"),
        }
    }

    fn refuse(&self, refusal: Refusal, _: &HeaderMap) -> Response<Outbound> {
        let status = match refusal {
            Refusal::UriTooLong => StatusCode::URI_TOO_LONG,
            Refusal::NoSingleHost | Refusal::OddFraming | Refusal::NotTls => StatusCode::BAD_REQUEST,
            Refusal::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::TooManyRequests | Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::HeadLate => StatusCode::REQUEST_TIMEOUT,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        text(status, format!("{}\n", refusal.word()))
    }
}

/// Whether nothing was told in this second.
fn is_first_this_second(told: &AtomicU64) -> bool {
    let now = now();
    told.swap(now, Ordering::Relaxed) != now
}

fn now() -> u64 {
    u64::try_from(Timestamp::now().as_seconds()).unwrap_or(0)
}

/// tlog-witness demands the size and this media type of every 409 about the old size; the other 409 says the same.
fn size_answer(size: u64) -> Response<Outbound> {
    let mut response = text(StatusCode::CONFLICT, format!("{size}\n"));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(SIZE_MEDIA_TYPE));
    response
}

fn not_allowed(methods: &'static str) -> Response<Outbound> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("allowed here: {methods}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Outbound> {
    let mut response = Response::new(Outbound::whole(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
