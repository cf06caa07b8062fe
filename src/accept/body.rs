//! Bodies: what comes in is bounded in size and must make progress; what goes out is one piece, or a stream.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::settings::Limits;
use super::watch::Pulse;
use crate::metrics::Level;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request's body could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum InboundError {
    /// Known from the declared length before a byte is read, else as soon as the limit is passed.
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: u64 },
    #[error("the body brought fewer than {least_bytes} bytes in {seconds} s")]
    Stalled { seconds: u64, least_bytes: u64 },
    /// The client went away or broke the framing.
    #[error("the body broke off: {0}")]
    Broken(#[source] BoxError),
}

/// A request's body under its limits. The clock runs only while the reader waits for the client.
#[derive(Debug)]
pub struct Inbound<B: Body = Incoming> {
    body: B,
    pulse: Arc<Pulse>,
    limit: u64,
    received: u64,
    timeout: Duration,
    least_bytes: u64,
    /// Bytes since the clock was last set back.
    recent: u64,
    clock: Option<Pin<Box<Sleep>>>,
}

impl<B: Body> Inbound<B> {
    pub(super) fn new(body: B, limits: &Limits, pulse: Arc<Pulse>) -> Self {
        Self {
            body,
            pulse,
            limit: limits.body_bytes,
            received: 0,
            timeout: limits.body_timeout,
            least_bytes: limits.body_progress_bytes,
            recent: 0,
            clock: None,
        }
    }

    /// Another limit than `limits.body_bytes`, for routes that take more.
    #[must_use]
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Another least than `limits.body_progress_bytes`, for conversations, where a few bytes are a question.
    #[must_use]
    pub fn with_least(mut self, bytes: u64) -> Self {
        self.least_bytes = bytes;
        self
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<InboundError> {
        let timeout = self.timeout;
        let clock = self.clock.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        ready!(clock.as_mut().poll(context));
        Poll::Ready(InboundError::Stalled { seconds: timeout.as_secs(), least_bytes: self.least_bytes })
    }

    fn count(&mut self, bytes: u64) -> Result<(), InboundError> {
        self.received += bytes;
        if self.received > self.limit {
            return Err(InboundError::TooLarge { limit: self.limit });
        }
        self.recent += bytes;
        if self.recent >= self.least_bytes {
            self.recent = 0;
            if let Some(clock) = &mut self.clock {
                clock.as_mut().reset(Instant::now() + self.timeout);
            }
        }
        Ok(())
    }
}

impl<B: Body> Drop for Inbound<B> {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.pulse.left_unread();
        }
    }
}

impl<B> Body for Inbound<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = InboundError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, InboundError>>> {
        let this = self.get_mut();
        if this.received.saturating_add(this.body.size_hint().lower()) > this.limit {
            return Poll::Ready(Some(Err(InboundError::TooLarge { limit: this.limit })));
        }
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Pending => this.wait(context).map(|error| Some(Err(error))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(InboundError::Broken(error.into())))),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                Poll::Ready(Some(this.count(bytes as u64).map(|()| frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body.
pub enum Outbound {
    /// The usual and the fast one: nothing is boxed.
    Whole(Bytes),
    /// Pieces as they come. A client that takes none for `limits.write_timeout_seconds` is cut off; a producer may be
    /// as slow as it likes.
    Stream(Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>),
}

impl Outbound {
    #[must_use]
    pub fn empty() -> Self {
        Self::Whole(Bytes::new())
    }

    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(bytes.into())
    }

    /// Boxes any body; its errors end the connection, since the head is gone.
    pub fn stream<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        use http_body_util::BodyExt;
        Self::Stream(Box::pin(body.map_err(Into::into)))
    }
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(body) => body.as_mut().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(body) => body.size_hint(),
        }
    }
}

/// One request that counts as in flight, until its answer is wholly handed over or dropped.
#[derive(Debug)]
pub(super) struct Hold {
    pulse: Arc<Pulse>,
    in_flight: Level,
    is_withheld: bool,
}

impl Hold {
    /// `in_flight` has been counted up already.
    pub(super) fn new(pulse: Arc<Pulse>, in_flight: Level) -> Self {
        pulse.opened();
        Self { pulse, in_flight, is_withheld: false }
    }

    fn set_withheld(&mut self, is_withheld: bool) {
        if self.is_withheld != is_withheld {
            self.is_withheld = is_withheld;
            self.pulse.withheld(is_withheld);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.set_withheld(false);
        self.pulse.closed();
        self.in_flight.dec();
    }
}

/// An answer's body on its way out, with what it holds.
pub(super) struct Carried {
    body: Outbound,
    hold: Option<Hold>,
}

impl Carried {
    pub(super) fn free(body: Outbound) -> Self {
        Self { body, hold: None }
    }

    pub(super) fn held(body: Outbound, mut hold: Hold) -> Self {
        hold.set_withheld(!body.is_end_stream());
        Self { body, hold: Some(hold) }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        let is_over = matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream();
        if let Some(hold) = &mut self.hold {
            hold.pulse.piece();
            hold.set_withheld(polled.is_ready() && !is_over);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, Full, StreamBody};
    use tokio::sync::mpsc;

    use super::*;
    use crate::config::LimitsSpec;

    fn limits() -> Limits {
        Limits::of(&LimitsSpec::default())
    }

    type Channel = (mpsc::UnboundedSender<Bytes>, Inbound<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>>);

    fn channel() -> Channel {
        let (sender, receiver) = mpsc::unbounded_channel::<Bytes>();
        let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
            let bytes = receiver.recv().await?;
            Some((Ok::<_, BoxError>(Frame::data(bytes)), receiver))
        });
        let body: Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>> = Box::pin(StreamBody::new(pieces.boxed()));
        (sender, Inbound::new(body, &limits(), Arc::default()))
    }

    #[tokio::test]
    async fn a_declared_length_over_the_limit_is_refused_before_a_byte_is_read() {
        let body = Inbound::new(Full::new(Bytes::from(vec![0; 11])), &limits(), Arc::default()).with_limit(10);
        assert!(matches!(body.collect().await, Err(InboundError::TooLarge { limit: 10 })));
        let body = Inbound::new(Full::new(Bytes::from(vec![0; 10])), &limits(), Arc::default()).with_limit(10);
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 10);
    }

    #[tokio::test]
    async fn an_undeclared_length_is_refused_when_the_limit_is_passed() {
        let (sender, body) = channel();
        sender.send(Bytes::from(vec![0; 6])).unwrap();
        sender.send(Bytes::from(vec![0; 6])).unwrap();
        assert!(matches!(body.with_limit(10).collect().await, Err(InboundError::TooLarge { limit: 10 })));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_brings_nothing_is_stalled_after_the_time_out() {
        let (_sender, body) = channel();
        let started = Instant::now();
        assert!(matches!(body.collect().await, Err(InboundError::Stalled { seconds: 30, .. })));
        assert_eq!(started.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_drips_is_stalled_and_one_that_flows_is_not() {
        let (sender, body) = channel();
        tokio::spawn(async move {
            while sender.send(Bytes::from_static(b"x")).is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        assert!(matches!(body.collect().await, Err(InboundError::Stalled { .. })));

        let (sender, body) = channel();
        tokio::spawn(async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_secs(20)).await;
                sender.send(Bytes::from(vec![0; 1024])).unwrap();
            }
        });
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 5 * 1024);
    }

    #[tokio::test]
    async fn an_outbound_body_is_one_piece_or_many() {
        assert_eq!(Outbound::whole("铭牌").collect().await.unwrap().to_bytes(), "铭牌");
        assert!(Outbound::empty().is_end_stream());
        assert_eq!(Outbound::whole("abc").size_hint().exact(), Some(3));
        let stream = Outbound::stream(Full::new(Bytes::from_static(b"xyz")));
        assert_eq!(stream.collect().await.unwrap().to_bytes(), "xyz");
    }
}
