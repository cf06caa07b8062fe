//! A server that answers as a test tells it to, and remembers what it was asked.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub target: String,
    pub authorization: Option<String>,
    pub idempotency_key: Option<String>,
    pub accept: Option<String>,
    pub accept_language: Option<String>,
    pub content_type: Option<String>,
    pub body: Vec<u8>,
    /// How often the same method and path were asked before.
    pub before: usize,
}

impl Asked {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// "METHOD /path".
    pub fn what(&self) -> String {
        format!("{} {}", self.method, self.path())
    }
}

/// What is answered.
pub enum Reply {
    Json(u16, Json),
    Text(u16, String),
    /// Begins an answer and ends the connection in the middle.
    Break(String),
}

/// A problem document as a node writes it.
pub fn problem(status: u16, code: &str) -> Reply {
    let body = json!({"type": format!("urn:mingpai:problem:{code}"), "title": "the title", "status": status,
        "detail": "the detail", "code": code, "errors": [{"pointer": "/a", "code": "wrong_type", "detail": "must be text"}]});
    Reply::Json(status, body)
}

pub struct PaperNode {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Answerer = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

impl PaperNode {
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> PaperNode {
        PaperNode::start_at((Ipv4Addr::LOCALHOST, 0).into(), answer)
    }

    pub fn start_on_ipv6(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> PaperNode {
        PaperNode::start_at((Ipv6Addr::LOCALHOST, 0).into(), answer)
    }

    fn start_at(at: SocketAddr, answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> PaperNode {
        let listener = std::net::TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen): (Answerer, _) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(listener, answer, seen));
        });
        PaperNode { address, asked }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The requests of one kind, "METHOD /path".
    pub fn asked_for(&self, what: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.what() == what).collect()
    }
}

async fn serve(listener: std::net::TcpListener, answer: Answerer, seen: Arc<Mutex<Vec<Asked>>>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                async move { Ok::<_, Infallible>(reply(request, &answer, &seen).await) }
            });
            // A connection that a test breaks off ends in an error here.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn reply(request: Request<Incoming>, answer: &Answerer, seen: &Mutex<Vec<Asked>>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let header = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let mut asked = Asked {
        method: head.method.to_string(),
        target: head.uri.to_string(),
        authorization: header("authorization"),
        idempotency_key: header("idempotency-key"),
        accept: header("accept"),
        accept_language: header("accept-language"),
        content_type: header("content-type"),
        body,
        before: 0,
    };
    {
        let mut seen = seen.lock().unwrap();
        asked.before = seen.iter().filter(|earlier| earlier.what() == asked.what()).count();
        seen.push(asked.clone());
    }
    let (status, media_type, pieces) = match answer(&asked) {
        Reply::Json(status, json) => {
            let media_type = if status < 400 { "application/json" } else { "application/problem+json" };
            (status, media_type, vec![Ok(json.to_string())])
        }
        Reply::Text(status, text) => (status, "application/x-ndjson", vec![Ok(text)]),
        Reply::Break(text) => (200, "application/json", vec![Ok(text), Err(io::Error::other("broken off"))]),
    };
    let pieces = pieces.into_iter().map(|piece| piece.map(|text| Frame::data(Bytes::from(text))));
    let mut response = Response::new(StreamBody::new(stream::iter(pieces)).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(media_type));
    response
}
