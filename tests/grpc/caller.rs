//! Calls as bytes: messages framed by hand, answers taken frame by frame.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use mingpai::codec::grpc::{DOMAIN, Grpc};
use prost::Message;
use tokio::sync::watch;
use tonic::Status;
use tonic_types::StatusExt;

use crate::world::World;

pub type Answer = Response<tonic::body::Body>;

/// The surface over a world's services, with a stop of our own.
pub struct Surface {
    pub grpc: Grpc,
    pub stop: watch::Sender<bool>,
}

impl Surface {
    pub fn of(world: &World) -> Surface {
        Surface::reflecting(world, true)
    }

    pub fn reflecting(world: &World, reflects: bool) -> Surface {
        let (stop, seen) = watch::channel(false);
        let stopping = move || -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let mut seen = seen.clone();
            Box::pin(async move {
                let _ = seen.wait_for(|is_stopping| *is_stopping).await;
            })
        };
        Surface { grpc: Grpc::new(world.http.desk(), Box::new(stopping), reflects), stop }
    }
}

/// A call in the making.
pub struct Call(http::request::Builder);

impl Call {
    pub fn to(path: &str) -> Call {
        Call(Request::post(path).version(http::Version::HTTP_2).header("content-type", "application/grpc"))
    }

    pub fn header(self, name: &str, value: &str) -> Call {
        Call(self.0.header(name, value))
    }

    pub fn signed(self, world: &World) -> Call {
        let bearer = format!("Bearer {}", world.key);
        self.header("authorization", &bearer)
    }

    /// With one message.
    pub async fn send(self, surface: &Surface, message: &impl Message) -> Answer {
        self.stream(surface, Full::new(framed(message))).await
    }

    pub async fn stream<B>(self, surface: &Surface, body: B) -> Answer
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        surface.grpc.answer(self.0.body(body).unwrap()).await
    }
}

/// A message with what stands before it: a flag, and its length.
pub fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut out).unwrap();
    out.freeze()
}

/// The messages of some frames, whole.
pub fn messages<M: Message + Default>(mut bytes: Bytes) -> Vec<M> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let head = bytes.split_to(5);
        let length = u32::from_be_bytes(head[1..].try_into().unwrap());
        found.push(M::decode(bytes.split_to(length as usize)).unwrap());
    }
    found
}

/// How a call ended: its messages, and the status behind them.
pub async fn ended<M: Message + Default>(answer: Answer) -> (Vec<M>, Status) {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    (messages(body.to_bytes()), status(&trailers))
}

/// The one message of a call that went well.
pub async fn one<M: Message + Default>(answer: Answer) -> M {
    let (mut messages, status) = ended::<M>(answer).await;
    assert_eq!((status.code(), messages.len()), (tonic::Code::Ok, 1), "{status:?}");
    messages.remove(0)
}

pub fn status(headers: &HeaderMap) -> Status {
    Status::from_header_map(headers).unwrap_or_else(|| panic!("no status in {headers:?}"))
}

/// The status and the stable code of a call that failed.
pub async fn failed(answer: Answer) -> (tonic::Code, String) {
    let (messages, status) = ended::<()>(answer).await;
    assert!(messages.is_empty());
    (status.code(), reason(&status))
}

pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, DOMAIN);
    info.reason.clone()
}

/// A body without end: the same frame again and again, or, where there is none, nothing. Knows how much of it was taken,
/// and whether it was dropped.
pub struct Endless {
    frame: Option<Bytes>,
    taken: Arc<AtomicUsize>,
    _held: Arc<()>,
}

/// What became of an [`Endless`].
pub struct Trace {
    taken: Arc<AtomicUsize>,
    held: Arc<()>,
}

impl Endless {
    pub fn of(first: Vec<Bytes>, frame: Option<Bytes>) -> (impl Body<Data = Bytes, Error = std::io::Error>, Trace) {
        let trace = Trace { taken: Arc::default(), held: Arc::default() };
        let endless = Endless { frame, taken: Arc::clone(&trace.taken), _held: Arc::clone(&trace.held) };
        (Begun { first: first.into_iter(), endless }, trace)
    }
}

impl Trace {
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.held) == 1
    }
}

struct Begun {
    first: std::vec::IntoIter<Bytes>,
    endless: Endless,
}

impl Body for Begun {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if let Some(frame) = this.first.next() {
            return Poll::Ready(Some(Ok(Frame::data(frame))));
        }
        match &this.endless.frame {
            None => Poll::Pending,
            Some(frame) => {
                this.endless.taken.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(frame.clone()))))
            }
        }
    }
}
