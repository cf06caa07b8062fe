//! Stage 1: bytes in, bytes out: listeners, limits, drain. Knows sockets, nothing of identifiers.
//!
//! ```text
//! listen      sockets bound, one set a worker
//! worker      a thread, its runtime, its accept loops
//! tls         the certificate in use, and the handshake
//! connection  one client: which HTTP, until it ends
//! lane        hot answers, and single readings, before hyper sees the request
//! wire        the socket, seen by the sweeper
//! watch       the sweeper: who is late, idle or stuck
//! entry       one request: limits, hot answer or a task
//! turns       how much of the thread such tasks take between two looks at the sockets
//! body        what comes in and goes out in pieces
//! lifecycle   ready, lame duck, draining, stopped
//! ```
//!
//! node.rs hands in an [`Answerer`]; everything above the bytes is its affair. Three limits are answered by hyper
//! itself, with an empty body: bytes that are no HTTP (400), more than 100 headers when `header_count` is 100 or less
//! (431), and a head beyond `header_bytes + uri_bytes + 4 KiB` (431). All others go through [`Answerer::refuse`].

mod body;
mod connection;
mod entry;
mod lane;
mod lifecycle;
mod listen;
mod settings;
mod signals;
mod tls;
mod turns;
mod watch;
mod wire;
mod worker;

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Uri};

pub use body::{Inbound, InboundError, Outbound};
pub use entry::is_grpc;
pub use lane::Plain;
pub use lifecycle::{Lifecycle, Phase};
pub use listen::{BindError, Bound, bind};
pub use settings::{Limits, Settings, TlsSettings};
pub use signals::stop_on_signals;
pub use tls::{Certificates, FileFault, Judged, Looked, Names, PairError, PairFiles, Refresh, Reread, WARN_DAYS};
pub use worker::{Ending, Running};

use crate::metrics::Transport;

/// Whoever answers the requests. One value serves all workers.
pub trait Answerer: Send + Sync + 'static {
    /// The answer, when it can be given at once from memory: no await, no lock, no I/O. Called for every request,
    /// with only the head in hand, before anything is boxed. These answers count against no limit of requests in
    /// flight, so they go on under overload.
    fn hot(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Outbound>>;

    /// The same answer as whole bytes, appended to `out`: status line, headers and body just as hyper would write what
    /// [`Answerer::hot`] returns, with the Date that `asked` has. Its status. `None`, with `out` as it was: [`Answerer::hot`]
    /// is asked. Nothing is allocated in proportion to the answer, but for a problem.
    fn hot_bytes(&self, _asked: &Plain<'_>, _out: &mut Vec<u8>) -> Option<u16> {
        None
    }

    /// As [`Answerer::hot_bytes`], of what that has no answer to and one reading on this thread has, however long it is. `None`,
    /// with `out` as it was: [`Answerer::answer`] is asked. Whoever gives one tells of it himself, as there.
    fn read_bytes(&self, _asked: &Plain<'_>, _out: &mut Vec<u8>) -> Option<u16> {
        None
    }

    /// Told of a hot answer once it has been given, where the metrics' attention wants that: seldom, or in the pay of whoever
    /// asked for a line a request.
    fn tell_hot(
        &self,
        _method: &Method,
        _uri: &Uri,
        _headers: &HeaderMap,
        _status: u16,
        _transport: Transport,
        _took: Duration,
    ) {
    }

    /// Everything else. The future may be dropped when the client goes away. A panic in it becomes
    /// [`Refusal::Panicked`].
    fn answer(&self, request: Request<Inbound>) -> impl Future<Output = Response<Outbound>> + Send;

    /// What to say when accept turns a request away. `headers` are empty when no request could be read. Of an answer that
    /// says 200 whatever became of it, an extension [`Outcome`](crate::metrics::Outcome) tells what did; so in `answer`.
    fn refuse(&self, refusal: Refusal, headers: &HeaderMap) -> Response<Outbound>;
}

/// Why accept did not let a request through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The request target is longer than `limits.uri_bytes`.
    UriTooLong,
    /// An HTTP/1.1 request with no Host header, or with several.
    NoSingleHost,
    /// A transfer coding other than one `chunked`, or one beside a length. The connection is closed.
    OddFraming,
    /// More headers than `limits.header_count` or more bytes than `limits.header_bytes`.
    HeadersTooLarge,
    /// `limits.requests_in_flight` are being answered.
    TooManyRequests,
    /// `limits.connections` are open. Said to a client that has not asked yet, then the connection is closed.
    TooManyConnections,
    /// The head did not arrive within `limits.header_timeout_seconds`. The connection is closed.
    HeadLate,
    /// HTTP without TLS on an address that speaks TLS. The connection is closed.
    NotTls,
    /// The answerer panicked.
    Panicked,
}

impl Refusal {
    pub const ALL: [Self; 9] = [
        Self::UriTooLong,
        Self::NoSingleHost,
        Self::OddFraming,
        Self::HeadersTooLarge,
        Self::TooManyRequests,
        Self::TooManyConnections,
        Self::HeadLate,
        Self::NotTls,
        Self::Panicked,
    ];

    /// The `reason` in the metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::UriTooLong => "uri_too_long",
            Self::NoSingleHost => "host",
            Self::OddFraming => "framing",
            Self::HeadersTooLarge => "headers_too_large",
            Self::TooManyRequests => "requests_in_flight",
            Self::TooManyConnections => "connections",
            Self::HeadLate => "header_timeout",
            Self::NotTls => "not_tls",
            Self::Panicked => "panicked",
        }
    }
}
