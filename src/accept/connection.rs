//! One client, from the accepted socket to its end: TLS where its address has it, the fast lane, which HTTP it speaks, then
//! hyper, under the sweeper's verdicts.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::body::Outbound;
use super::entry::Entry;
use super::lane::{Lane, Left};
use super::settings::Limits;
use super::tls::{Shaken, shake};
use super::watch::{Pulse, Verdict};
use super::wire::{Carrier, Lent, Socket, Spoken, Wire};
use super::worker::Shared;
use super::{Answerer, Refusal};
use crate::metrics::Transport;

/// hyper's HTTP/1 side. Its header time-out stays off: the sweeper has a cheaper one. `pipeline_flush` stays off too:
/// it holds an answer back while any byte of the next request is there, so a stray CRLF after a body would hang the
/// client, and it never sends hyper's own 400 and 431.
pub(super) fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(limits.head_bytes())
        .max_buf_size(limits.head_bytes());
    // Up to 100 hyper parses on the stack; asked for more it allocates for each request.
    if limits.header_count > 100 {
        builder.max_headers(limits.header_count);
    }
    builder
}

/// What a client may send of one body, and of all together, before it is read: at most this times the requests in flight is
/// held for clients.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// h2 ends a connection on which small frames wait that cost more than half of this; a frame of n bytes costs 256 - n (its
/// guard against floods, RUSTSEC-2026-0258). A stream of short messages whose answers are taken slowly must be held back by
/// its own window before: 16 bytes and more a message are, at 32 times that window.
const CONNECTION_WINDOW_BYTES: u32 = 32 * STREAM_WINDOW_BYTES;

pub(super) fn http2_builder(limits: &Limits) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(limits.h2_streams)
        .max_pending_accept_reset_streams(limits.h2_resets)
        .max_local_error_reset_streams(limits.h2_resets)
        .max_header_list_size(u32::try_from(limits.head_bytes()).unwrap_or(u32::MAX));
    builder
}

/// Serves one cleartext connection until its end, whatever ends it.
pub(super) async fn serve<A: Answerer>(stream: TcpStream, shared: Arc<Shared<A>>, pulse: Arc<Pulse>) {
    speak(Socket::new(stream, Arc::clone(&pulse)), shared, pulse).await;
}

/// The same over TLS. The handshake has a time-out of its own, and a drain does not wait for one that is not done.
pub(super) async fn serve_tls<A: Answerer>(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    shared: Arc<Shared<A>>,
    pulse: Arc<Pulse>,
) {
    pulse.shaking();
    let shaken = {
        let mut shaking = pin!(shake(stream, config, Arc::clone(&pulse)));
        watched(&pulse, |context, is_closing| match shaking.as_mut().poll(context) {
            Poll::Pending if is_closing => Poll::Ready(Shaken::Failed("draining")),
            polled => polled,
        })
        .await
    };
    let metrics = &shared.metrics;
    match shaken {
        Ended::ByItself(Shaken::Done(stream)) => {
            metrics.tls.shaken("done");
            pulse.shaken();
            speak(*stream, shared, pulse).await;
        }
        Ended::ByItself(Shaken::Cleartext(stream)) => {
            metrics.tls.shaken(Refusal::NotTls.word());
            metrics.accept.refused(Refusal::NotTls.word());
            farewell(stream, shared.not_tls.clone()).await;
        }
        Ended::ByItself(Shaken::Failed(word)) => metrics.tls.shaken(word),
        Ended::By(_) => {
            metrics.tls.shaken("timeout");
            metrics.accept.refused("handshake_timeout");
        }
    }
}

/// What carries HTTP, until its end: the fast lane's, then hyper's, for one request or for good.
pub(super) async fn speak<A: Answerer, S: Carrier>(stream: S, shared: Arc<Shared<A>>, pulse: Arc<Pulse>) {
    let mut wire = Wire::new(stream);
    let mut has_asked = false;
    loop {
        let mut lent = None;
        match in_lane(&mut wire, &shared, &pulse, &mut has_asked).await {
            Ended::ByItself(Left::Lend(length)) => lent = Some(wire.lend(length)),
            Ended::ByItself(Left::ForGood) if has_asked => {}
            Ended::ByItself(Left::ForGood) => match listen(&mut wire, &pulse).await {
                Ended::ByItself(Ok(Spoken::Http1)) => {}
                Ended::ByItself(Ok(Spoken::Http2)) => {
                    pulse.framed();
                    return speak_http2(wire, shared, pulse).await;
                }
                Ended::ByItself(Ok(Spoken::Nothing)) => return part(wire.into_stream()).await,
                Ended::ByItself(Err(_)) => return,
                Ended::By(_) => return shared.metrics.accept.refused(Refusal::HeadLate.word()),
            },
            Ended::ByItself(Left::Over) => return part(wire.into_stream()).await,
            Ended::ByItself(Left::Broken) => return,
            Ended::By(Verdict::HeadLate) => {
                shared.metrics.accept.refused(Refusal::HeadLate.word());
                // Who has never spoken is not spoken to.
                if has_asked || !wire.ahead.is_empty() {
                    farewell(wire.into_stream(), shared.late.clone()).await;
                }
                return;
            }
            Ended::By(_) => return shared.metrics.accept.refused("write_timeout"),
        }
        match speak_http1(wire, &shared, &pulse, lent, has_asked).await {
            Some(back) => wire = back,
            None => return,
        }
    }
}

async fn in_lane<A: Answerer, S: Carrier>(
    wire: &mut Wire<S>,
    shared: &Shared<A>,
    pulse: &Pulse,
    has_asked: &mut bool,
) -> Ended<Left> {
    if !shared.fast_lane {
        return Ended::ByItself(Left::ForGood);
    }
    let mut lane = Lane::new(wire, shared, pulse, *has_asked);
    let ended = watched(pulse, |context, close_now| lane.poll(context, close_now)).await;
    *has_asked = lane.has_asked();
    ended
}

/// Which HTTP it is.
async fn listen<S: Carrier>(wire: &mut Wire<S>, pulse: &Pulse) -> Ended<io::Result<Spoken>> {
    let mut listening = pin!(wire.listen());
    watched(pulse, |context, is_closing| match listening.as_mut().poll(context) {
        // During a drain nobody waits for a client that has not begun to ask.
        Poll::Pending if is_closing && pulse.is_silent() => Poll::Ready(Ok(Spoken::Nothing)),
        polled => polled,
    })
    .await
}

/// Ends a connection on which nothing is left to say.
async fn part<S: Carrier>(mut stream: S) {
    if S::ANNOUNCES_ITS_END {
        // A client that does not listen has lost only the announcement.
        let _ = tokio::time::timeout(LINGER, stream.shutdown()).await;
    }
}

/// hyper's turn, until the connection ends or, where it is `lent`, until the one request is answered. `has_asked`: it is not
/// the first request of the connection that hyper begins with.
async fn speak_http1<A: Answerer, S: Carrier>(
    wire: Wire<S>,
    shared: &Arc<Shared<A>>,
    pulse: &Arc<Pulse>,
    lent: Option<Arc<Lent>>,
    has_asked: bool,
) -> Option<Wire<S>> {
    let entry = Entry::new(Arc::clone(shared), Arc::clone(pulse), Transport::Http1);
    let heads = pulse.heads();
    let mut connection = shared.http1.serve_connection(TokioIo::new(wire), entry);
    let ended = watched(pulse, |context, is_closing| {
        let mut connection = Pin::new(&mut connection);
        if is_closing {
            // First what has already come: a request in the socket is answered, not dropped. Not so while one is being
            // answered: that answer is the last one, and says it, though it may be ready this very moment.
            if !pulse.is_answering()
                && let Poll::Ready(end) = connection.poll_without_shutdown(context)
            {
                return Poll::Ready(end.map(|()| true));
            }
            connection.as_mut().graceful_shutdown();
        }
        let polled = connection.poll_without_shutdown(context);
        // Only for the first head of a connection does hyper wait at its end, and it takes what comes first for that.
        if is_closing && polled.is_pending() && has_asked && pulse.heads() == heads {
            return Poll::Ready(Ok(true));
        }
        let is_back = |lent: &Lent| lent.is_quiet() && pulse.heads() != heads && !pulse.is_open();
        if polled.is_pending() && lent.as_deref().is_some_and(is_back) {
            return Poll::Ready(Ok(false));
        }
        polled.map_ok(|()| true)
    });
    let last_words = match ended.await {
        Ended::ByItself(Ok(false)) => {
            let parts = connection.into_parts();
            let mut wire = parts.io.into_inner();
            wire.give_back(&parts.read_buf);
            return Some(wire);
        }
        Ended::ByItself(Ok(true)) if pulse.has_unread_body() => Bytes::new(),
        Ended::ByItself(Ok(true)) => {
            part(connection.into_parts().io.into_inner().into_stream()).await;
            return None;
        }
        Ended::ByItself(Err(error)) => {
            note_end(shared, &error);
            if !error.is_parse() {
                return None;
            }
            Bytes::new()
        }
        Ended::By(Verdict::HeadLate) => {
            shared.metrics.accept.refused(Refusal::HeadLate.word());
            shared.late.clone()
        }
        Ended::By(_) => {
            shared.metrics.accept.refused("write_timeout");
            return None;
        }
    };
    let stream = connection.into_parts().io.into_inner().into_stream();
    farewell(stream, last_words).await;
    None
}

async fn speak_http2<A: Answerer, S: Carrier>(wire: Wire<S>, shared: Arc<Shared<A>>, pulse: Arc<Pulse>) {
    let entry = Entry::new(Arc::clone(&shared), Arc::clone(&pulse), Transport::Http2);
    let mut connection = pin!(shared.http2.serve_connection(TokioIo::new(wire), entry));
    let ended = watched(&pulse, |context, is_closing| {
        if is_closing {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    });
    match ended.await {
        Ended::ByItself(Ok(())) => {}
        Ended::ByItself(Err(error)) => note_end(&shared, &error),
        Ended::By(Verdict::HeadLate) => shared.metrics.accept.refused(Refusal::HeadLate.word()),
        Ended::By(_) => shared.metrics.accept.refused("write_timeout"),
    }
}

fn note_end<A>(shared: &Shared<A>, error: &hyper::Error) {
    if error.is_parse() {
        shared.metrics.accept.refused("malformed");
    }
    tracing::debug!(%error, "connection ended");
}

enum Ended<T> {
    ByItself(T),
    By(Verdict),
}

/// Polls `work` until it is done or the sweeper wants its end. `work` hears once that it is to close.
async fn watched<T>(pulse: &Pulse, mut work: impl FnMut(&mut Context<'_>, bool) -> Poll<T>) -> Ended<T> {
    let (mut is_heard, mut is_closing) = (false, false);
    poll_fn(|context| {
        let verdict = pulse.verdict();
        // A verdict uses the waker up, and a harsher one may follow.
        if !is_heard || verdict != Verdict::GoOn {
            is_heard = true;
            pulse.listen(context);
        }
        let close_now = match verdict {
            Verdict::GoOn => false,
            Verdict::Close => !std::mem::replace(&mut is_closing, true),
            verdict @ (Verdict::HeadLate | Verdict::Abort) => {
                return Poll::Ready(Ended::By(verdict));
            }
        };
        work(context, close_now).map(Ended::ByItself)
    })
    .await
}

/// A whole HTTP/1.1 answer in bytes, for clients that hyper does not serve (yet, or any more).
pub(super) fn in_bytes(response: Response<Outbound>) -> Bytes {
    let (head, body) = response.into_parts();
    let body = match body {
        Outbound::Whole(bytes) => bytes,
        Outbound::Stream(_) => Bytes::new(),
    };
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    let mut headers: HeaderMap = head.headers;
    headers.insert(http::header::CONTENT_LENGTH, body.len().into());
    headers.insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    for (name, value) in &headers {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&body);
    bytes.into()
}

/// How long, and for how many bytes, a client that was turned away may still be talking.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Says `bytes` and closes. Reads what the client still sends for a moment: closing over unread bytes resets the
/// connection, and a client that is still sending its body would lose the answer.
pub(super) async fn farewell(mut stream: impl AsyncRead + AsyncWrite + Unpin, bytes: Bytes) {
    let talk = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await?;
        let mut heard = 0;
        let mut buffer = [0; 4096];
        while heard < LINGER_BYTES {
            match stream.read(&mut buffer).await? {
                0 => break,
                read => heard += read,
            }
        }
        io::Result::Ok(())
    };
    // A client that does not listen has lost only the reason.
    let _ = tokio::time::timeout(LINGER, talk).await;
}

/// The same to a client of TLS: after a handshake, all of it within the same moment.
pub(super) async fn farewell_tls(stream: TcpStream, config: Arc<ServerConfig>, bytes: Bytes) {
    let talk = async {
        if let Ok(stream) = TlsAcceptor::from(config).accept(stream).await {
            farewell(stream, bytes).await;
        }
    };
    let _ = tokio::time::timeout(LINGER, talk).await;
}
