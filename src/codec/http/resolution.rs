//! The public answer of one name over HTTP: the same response whether it came from the cache at once or by the longer way.
//!
//! Headers are ready values and shared bytes: nothing here grows with the answer.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::failure;
use super::preconditions::is_known;
use super::reply::JSON;
use crate::codec::language;
use crate::services::ServiceError;
use crate::store::cache::Answer;

/// The part of a request that the answer depends on.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    /// As it was sent.
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// The identifier's text.
    pub text: &'a str,
}

/// The response of an answer. The request's id is asked for only when there is something to complain of.
pub(super) fn response(answer: Answer, asked: &Asked<'_>, request_id: impl FnOnce() -> Arc<str>) -> Response<Bytes> {
    if answer.status != 200 {
        return negative(&answer, asked, &request_id());
    }
    let known = asked.headers.get(IF_NONE_MATCH).is_some_and(|header| is_known(header, &answer.etag));
    let mut response = Response::new(Bytes::new());
    *response.headers_mut() = HeaderMap::with_capacity(8);
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
        give_body(&mut response, answer.body, asked.method);
    }
    let headers = response.headers_mut();
    if let Ok(etag) = HeaderValue::from_maybe_shared(answer.etag) {
        headers.insert(ETAG, etag);
    }
    headers.insert(VARY, HeaderValue::from_static("accept, authorization, signature-input"));
    public(headers, answer.cache_control);
    response
}

/// Unknown or gone: a problem that may be kept for a moment.
pub(super) fn negative(answer: &Answer, asked: &Asked<'_>, request_id: &Arc<str>) -> Response<Bytes> {
    let identifier = asked.text.to_owned();
    let error =
        if answer.status == 410 { ServiceError::Gone { identifier } } else { ServiceError::Unknown { identifier } };
    let problem = failure::of_service(&error).at(asked.path).for_request(request_id.as_ref());
    let mut response = problem.to_response(language::of(asked.headers));
    let body = std::mem::take(response.body_mut());
    give_body(&mut response, body, asked.method);
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("accept, accept-language"));
    public(headers, answer.cache_control.clone());
    super::reply::add_request_id(&mut response, request_id);
    response
}

fn public(headers: &mut HeaderMap, cache_control: Bytes) {
    if let Ok(cache_control) = HeaderValue::from_maybe_shared(cache_control) {
        headers.insert(CACHE_CONTROL, cache_control);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// A HEAD gets the length without the bytes.
fn give_body(response: &mut Response<Bytes>, body: Bytes, method: &Method) {
    if method == Method::HEAD {
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    } else {
        *response.body_mut() = body;
    }
}
