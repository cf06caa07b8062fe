//! The hot way: a public resolution that memory has the answer to, from the head of the request alone, before any router sees it.
//!
//! Takes only what needs no thought: GET or HEAD, a plain path, no query, no credential, JSON accepted. Everything else, and
//! every doubt, falls through to the handler in `resolve`, which answers the same (tests/http.rs compares them).

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Method, Response, Uri};

use super::negotiation::quality_of;
use super::reply::{JSON, X_REQUEST_ID};
use super::resolution::{self, Asked};
use super::resolve::ROUTE;
use super::{Desk, call, signature};
use crate::codec::path;
use crate::model::identifier::CanonicalKey;
use crate::model::time::Timestamp;
use crate::store::cache::Answer;

pub(super) fn answer(desk: &Desk, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Bytes>> {
    if !(method == Method::GET || method == Method::HEAD) {
        return None;
    }
    let text = path::text_after(uri.path(), ROUTE)?.ok()?;
    if uri.query().is_some() || is_personal(headers) || !accepts_json(headers) {
        return None;
    }
    let identifier = desk.services.identifier(&text).ok()?;
    let answer = at_hand(desk, identifier.key(), Timestamp::now())?;
    let asked = Asked { method, path: uri.path(), headers, text: &text };
    let mut response = resolution::response(answer, &asked, || call::request_id(headers));
    if let Some(id) = call::clients_request_id(headers)
        && let Ok(id) = HeaderValue::from_str(id)
    {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
    Some(response)
}

/// The answer that memory has, counted: the cache's, or that there is nothing.
pub(super) fn at_hand(desk: &Desk, name: &CanonicalKey, now: Timestamp) -> Option<Answer> {
    let cache = &desk.metrics.cache;
    let (answer, counter) = match desk.services.cached(name, now) {
        Some(answer) if answer.status == 200 => (answer, &cache.hits),
        Some(answer) => (answer, &cache.negative_hits),
        None => (desk.services.absent(name, now)?, &cache.absent),
    };
    counter.increment();
    Some(answer)
}

/// Whether it shows a credential, its own signature among them.
fn is_personal(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || signature::is_shown(headers)
}

/// The two headers that nearly every client sends are compared before anything is parsed.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    match (values.next(), values.next()) {
        (None, _) | (Some(b"*/*" | b"application/json"), None) => true,
        _ => quality_of(headers, JSON) > 0,
    }
}
