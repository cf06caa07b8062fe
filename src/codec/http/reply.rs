//! The answer on its way out: headers that depend on what kind of answer it is.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION, VARY};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::failure::Failure;
use super::signature;
use crate::services::Services;

/// What a handler gives back.
pub(super) type Reply = Result<Response<Body>, Failure>;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";
const ACCEPT_SIGNATURE: HeaderName = HeaderName::from_static("accept-signature");
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long others may keep an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is everybody's, for these seconds.
    Public(u32),
    /// It depends on who asks, and only the newest will do.
    Ask,
    /// It is somebody's.
    Never,
}

impl Keep {
    fn header(self) -> HeaderValue {
        match self {
            Self::Public(seconds) => {
                HeaderValue::try_from(format!("public, max-age={seconds}")).unwrap_or_else(|_| Self::Never.header())
            }
            Self::Ask => HeaderValue::from_static("no-cache"),
            Self::Never => HeaderValue::from_static("no-store"),
        }
    }
}

/// An answer in JSON.
pub(super) fn json(status: StatusCode, keep: Keep, body: Vec<u8>) -> Response<Body> {
    of_type(JSON, status, keep, Body::from(body))
}

/// An answer of another media type.
pub(super) fn of_type(media_type: &'static str, status: StatusCode, keep: Keep, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, keep.header());
    let vary = if keep == Keep::Ask { "accept, authorization, signature-input" } else { "accept" };
    headers.insert(VARY, HeaderValue::from_static(vary));
    response
}

/// A record's version as its ETag.
pub(super) fn etag(version: u64) -> Bytes {
    Bytes::from(format!("\"{version}\""))
}

pub(super) fn add_etag<B>(response: &mut Response<B>, etag: Bytes) {
    if let Ok(value) = HeaderValue::from_maybe_shared(etag) {
        response.headers_mut().insert(ETAG, value);
    }
}

pub(super) fn add_location(response: &mut Response<Body>, path: String) {
    if let Ok(value) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, value);
    }
}

/// What a signed request is told is for its signer alone: no cache knows of a signature what it knows of `Authorization`
/// (RFC 9111, section 3.5).
pub(super) fn keep_from_all(response: &mut Response<Body>) {
    response.headers_mut().insert(CACHE_CONTROL, Keep::Never.header());
}

/// How a request to this node can be signed (RFC 9421, section 5.1).
pub(super) fn ask_for_signature(services: &Services, response: &mut Response<Body>) {
    let wanted = services.request_tag().ok().and_then(|tag| HeaderValue::try_from(signature::wanted(&tag)).ok());
    if let Some(wanted) = wanted {
        response.headers_mut().insert(ACCEPT_SIGNATURE, wanted);
    }
}

pub(super) fn add_request_id<B>(response: &mut Response<B>, id: &Arc<str>) {
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
}
