//! An answerer with a hot answer, short, long or too long for the lane, one that is read, and slow, streamed and failing ones
//! behind it.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};

use crate::accept::{Answerer, Inbound, Outbound, Plain, Refusal};

pub(super) struct Toy;

/// So chosen that nine of these, one after the other, end when nothing comes from the client, nor for some moments after.
const SLOW: Duration = Duration::from_millis(104);

/// What is hot at a path.
fn hot_body(path: &str) -> Option<Vec<u8>> {
    match path {
        "/hot" => Some(b"hot".to_vec()),
        "/hot/usual" => Some(vec![b'u'; 4_000]),
        "/hot/long" => Some(vec![b'l'; 20_000]),
        "/hot/huge" => Some(vec![b'h'; 100_000]),
        _ => None,
    }
}

impl Answerer for Toy {
    fn hot(&self, method: &Method, uri: &Uri, _: &HeaderMap) -> Option<Response<Outbound>> {
        let body = hot_body(uri.path()).filter(|_| uri.query().is_none())?;
        response(method, body)
    }

    fn hot_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let body = hot_body(asked.path).filter(|body| body.len() + 200 < asked.room)?;
        write(&body, asked, out);
        Some(200)
    }

    fn read_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        match asked.path {
            "/read" => write(b"read", asked, out),
            "/failing" => {
                out.extend_from_slice(b"half of an");
                panic!("the reading fails");
            }
            _ => return None,
        }
        Some(200)
    }

    async fn answer(&self, request: Request<Inbound>) -> Response<Outbound> {
        let method = request.method().clone();
        match request.uri().path() {
            "/slow" => {
                tokio::time::sleep(SLOW).await;
                Response::new(Outbound::whole(format!("slow {method}")))
            }
            "/stream" => Response::new(Outbound::stream(Full::new(Bytes::from(vec![b's'; 9_000])))),
            "/echo" => match request.into_body().collect().await {
                Ok(body) => Response::new(Outbound::whole(format!("{method} of {} bytes", body.to_bytes().len()))),
                Err(_) => status(StatusCode::BAD_REQUEST),
            },
            "/read" => response(&method, b"read".to_vec()).unwrap_or_else(|| status(StatusCode::NOT_FOUND)),
            "/failing" => panic!("the reading fails"),
            "/smuggled" => Response::new(Outbound::whole("smuggled")),
            // The body stays unread.
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn refuse(&self, refusal: Refusal, _: &HeaderMap) -> Response<Outbound> {
        let mut response = Response::new(Outbound::whole(refusal.word()));
        *response.status_mut() = match refusal {
            Refusal::UriTooLong => StatusCode::URI_TOO_LONG,
            Refusal::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::HeadLate => StatusCode::REQUEST_TIMEOUT,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        response
    }
}

fn response(method: &Method, body: Vec<u8>) -> Option<Response<Outbound>> {
    let mut response = Response::new(Outbound::empty());
    response.headers_mut().insert("x-toy", http::HeaderValue::from_static("1"));
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    } else if method == Method::GET {
        *response.body_mut() = Outbound::whole(body);
    } else {
        return None;
    }
    Some(response)
}

/// What hyper makes of [`response`].
fn write(body: &[u8], asked: &Plain<'_>, out: &mut Vec<u8>) {
    let head = format!("HTTP/1.1 200 OK\r\nx-toy: 1\r\ncontent-length: {}\r\ndate: {}\r\n\r\n", body.len(), asked.date);
    out.extend_from_slice(head.as_bytes());
    if !asked.is_head {
        out.extend_from_slice(body);
    }
}

fn status(status: StatusCode) -> Response<Outbound> {
    let mut response = Response::new(Outbound::empty());
    *response.status_mut() = status;
    response
}
