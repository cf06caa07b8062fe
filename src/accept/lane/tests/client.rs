//! A client that sends prepared pieces at prepared moments and takes what it is sent in gulps.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::accept::watch::Pulse;
use crate::accept::wire::Carrier;

/// A gulp after which it takes nothing more.
pub(super) const NEVER: usize = 0;
/// How long it takes nothing between two gulps; six of them are shorter than any pause between two pieces.
const BREATH: Duration = Duration::from_millis(2);

/// What it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    pub(super) bytes: Vec<u8>,
    pub(super) is_shut: bool,
    /// That brought bytes.
    pub(super) reads: usize,
    pub(super) writes: usize,
}

/// In how many pieces it came does not matter.
impl PartialEq for Said {
    fn eq(&self, other: &Self) -> bool {
        (&self.bytes, self.is_shut) == (&other.bytes, other.is_shut)
    }
}

impl Said {
    pub(super) fn without_dates(mut self) -> Self {
        const DATE: &[u8] = b"\r\ndate: ";
        let places: Vec<usize> =
            self.bytes.windows(DATE.len()).enumerate().filter(|(_, text)| *text == DATE).map(|(at, _)| at).collect();
        for at in places {
            let begin = at + DATE.len();
            let end = (begin + 29).min(self.bytes.len());
            self.bytes[begin..end].fill(b'D');
        }
        self
    }
}

pub(super) struct Client {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    gulps: VecDeque<usize>,
    reading: Option<Pin<Box<Sleep>>>,
    writing: Option<Pin<Box<Sleep>>>,
    pulse: Arc<Pulse>,
    said: Arc<Mutex<Said>>,
}

impl Client {
    /// Each piece comes so long after the one before; one without bytes is the end.
    pub(super) fn new(
        pieces: Vec<(Duration, Vec<u8>)>,
        gulps: Vec<usize>,
        pulse: Arc<Pulse>,
    ) -> (Self, Arc<Mutex<Said>>) {
        let mut at = Instant::now();
        let pieces = pieces.into_iter().map(|(pause, bytes)| {
            at += pause;
            (at, bytes)
        });
        let said = Arc::<Mutex<Said>>::default();
        let client = Self {
            pieces: pieces.collect(),
            gulps: gulps.into(),
            reading: None,
            writing: None,
            pulse,
            said: Arc::clone(&said),
        };
        (client, said)
    }

    fn poll_take(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<usize> {
        if let Some(breath) = &mut self.writing {
            ready!(breath.as_mut().poll(context));
            self.writing = None;
        }
        let taken = match self.gulps.front_mut() {
            None => bytes.len(),
            Some(&mut NEVER) => return Poll::Pending,
            Some(gulp) => {
                let taken = bytes.len().min(*gulp);
                *gulp -= taken;
                if *gulp == 0 {
                    self.gulps.pop_front();
                    self.writing = Some(Box::pin(tokio::time::sleep(BREATH)));
                }
                taken
            }
        };
        let mut said = self.said.lock();
        said.writes += 1;
        said.bytes.extend_from_slice(&bytes[..taken]);
        Poll::Ready(taken)
    }
}

impl Carrier for Client {
    const ANNOUNCES_ITS_END: bool = true;

    fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

/// Notes its signs of life as a socket does.
impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some((at, bytes)) = this.pieces.front_mut() else {
            return Poll::Ready(Ok(()));
        };
        if Instant::now() < *at {
            let sleep = this.reading.insert(Box::pin(tokio::time::sleep_until(*at)));
            ready!(sleep.as_mut().poll(context));
        }
        this.reading = None;
        let length = bytes.len().min(buffer.remaining());
        buffer.put_slice(&bytes[..length]);
        if length > 0 {
            this.said.lock().reads += 1;
            this.pulse.received();
        }
        bytes.drain(..length);
        if bytes.is_empty() {
            this.pieces.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.poll_take(context, bytes) {
            Poll::Ready(taken) => {
                self.pulse.sent();
                Poll::Ready(Ok(taken))
            }
            Poll::Pending => {
                self.pulse.blocked();
                Poll::Pending
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.said.lock().is_shut = true;
        Poll::Ready(Ok(()))
    }
}
