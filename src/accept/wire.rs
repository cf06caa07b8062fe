//! The bytes of one connection: the socket with its signs of life for the sweeper, and above it, or above TLS, what was read
//! ahead by the fast lane or to tell HTTP/1 from HTTP/2.
//!
//! The signs of life are taken at the socket, below TLS: there a client that takes nothing, or drips, is seen for what it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::watch::Pulse;

/// What a client that knows that we speak HTTP/2 sends first (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spoken {
    Http1,
    Http2,
    /// Closed without a byte.
    Nothing,
}

/// What carries HTTP: a socket, or TLS over one.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Whether an end must be announced by a shutdown: without its close_notify a client of TLS takes it for an attack
    /// (RFC 8446, section 6.1). A socket that is dropped says enough.
    const ANNOUNCES_ITS_END: bool;

    fn pulse(&self) -> &Pulse;
}

impl Carrier for Socket {
    const ANNOUNCES_ITS_END: bool = false;

    fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

impl Carrier for TlsStream<Socket> {
    const ANNOUNCES_ITS_END: bool = true;

    fn pulse(&self) -> &Pulse {
        self.get_ref().0.pulse()
    }
}

/// The accepted socket. What moves through it is noted for the sweeper.
pub(super) struct Socket {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse }
    }

    fn note<T>(&self, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &polled {
            Poll::Ready(Ok(_)) => self.pulse.sent(),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pulse.blocked(),
        }
        polled
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            this.pulse.received();
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

pub(super) struct Wire<S> {
    stream: S,
    /// Read ahead and not yet handed on.
    pub(super) ahead: BytesMut,
    /// How much of that is handed on by itself at first; 0: as much as is asked for. Whoever parses a head goes by what he
    /// sees of it first, so he must see it in the same pieces whoever has read it before him.
    pub(super) first: usize,
    loan: Option<Loan>,
}

impl<S: Carrier> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: BytesMut::new(), first: 0, loan: None }
    }

    /// Reads as far as the preface matches. The bytes decide, also over TLS, where ALPN has let the client know what we speak.
    pub(super) async fn listen(&mut self) -> io::Result<Spoken> {
        let mut buffer = [0; PREFACE.len()];
        let spoken = loop {
            let heard = self.ahead.get(..PREFACE.len()).unwrap_or(&self.ahead);
            if !PREFACE.starts_with(heard) {
                break Spoken::Http1;
            }
            if heard.len() == PREFACE.len() {
                break Spoken::Http2;
            }
            let wanted = PREFACE.len() - heard.len();
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            let read = self.stream.read(room).await?;
            if read == 0 {
                break if self.ahead.is_empty() { Spoken::Nothing } else { Spoken::Http1 };
            }
            self.ahead.extend_from_slice(buffer.get(..read).unwrap_or_default());
            // As long as all of it may be the preface, it is one look.
            self.first = 0;
        };
        if self.first == 0 {
            self.first = self.ahead.len().min(PREFACE.len());
        }
        Ok(spoken)
    }

    pub(super) fn stream(&mut self) -> Pin<&mut S> {
        Pin::new(&mut self.stream)
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    /// Lends the connection out for the request that the next `length` bytes are, and for no byte after it.
    pub(super) fn lend(&mut self, length: usize) -> Arc<Lent> {
        let rest = self.ahead.split_off(length.min(self.ahead.len()));
        let lent = Arc::<Lent>::default();
        self.loan = Some(Loan { rest, lent: Arc::clone(&lent) });
        lent
    }

    /// Ends the loan. What came meanwhile is ahead; `unused` is what the borrower has read and not used.
    pub(super) fn give_back(&mut self, unused: &[u8]) {
        let left = self.ahead.split();
        if !unused.is_empty() || !left.is_empty() {
            self.ahead.extend_from_slice(unused);
            self.ahead.extend_from_slice(&left);
        }
        if let Some(loan) = self.loan.take() {
            self.ahead.unsplit(loan.rest);
        }
    }
}

/// A connection that is lent out for one request.
struct Loan {
    /// What has come after the request.
    rest: BytesMut,
    lent: Arc<Lent>,
}

/// What the lender sees of a borrower that has the connection in its hands.
#[derive(Debug, Default)]
pub(super) struct Lent {
    /// It has asked for more than the request.
    is_read: AtomicBool,
    /// What it has written last is not flushed.
    is_unflushed: AtomicBool,
}

impl Lent {
    /// Whether it has read all of the request, and all that it has written is on its way.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_read.load(Relaxed) && !self.is_unflushed.load(Relaxed)
    }
}

impl Loan {
    /// Looks for the client's end, as long as nothing has come after the request: just as long does hyper, and drops what
    /// it does for a client that is gone.
    fn poll_end<S: Carrier>(&mut self, stream: &mut S, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.lent.is_read.store(true, Relaxed);
        if !self.rest.is_empty() {
            return Poll::Pending;
        }
        let mut room = [0; 2048];
        let mut buffer = ReadBuf::new(&mut room);
        ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        if buffer.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.rest.extend_from_slice(buffer.filled());
        // No waker: until the loan ends nobody reads on.
        Poll::Pending
    }
}

impl<S: Carrier> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return match &mut this.loan {
                None => Pin::new(&mut this.stream).poll_read(context, buffer),
                Some(loan) => loan.poll_end(&mut this.stream, context),
            };
        }
        let most = match std::mem::take(&mut this.first) {
            0 => {
                // What follows a head may be the beginning of the next, for the sweeper as if it came now.
                this.stream.pulse().received();
                usize::MAX
            }
            first => first,
        };
        let length = this.ahead.len().min(buffer.remaining()).min(most);
        buffer.put_slice(this.ahead.get(..length).unwrap_or_default());
        this.ahead.advance(length);
        if this.ahead.is_empty() {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S> Wire<S> {
    /// Notes for the lender what the borrower does.
    fn note<T>(&self, polled: Poll<io::Result<T>>, is_flush: bool) -> Poll<io::Result<T>> {
        if let Some(loan) = &self.loan {
            let is_flushed = is_flush && matches!(polled, Poll::Ready(Ok(_)));
            loan.lent.is_unflushed.store(!is_flushed, Relaxed);
        }
        polled
    }
}

impl<S: Carrier> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note(polled, false)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note(polled, false)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.note(polled, true)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
