//! The HTTP surface: requests to guarded calls of services, and answers back. Knows no socket: accept brings the bytes.
//!
//! ```text
//! hot          what memory can answer, from the head alone    \
//! lane         the same in bytes, and what is not in memory    > GET /v1/resolve/{identifier}
//! resolution   the answer that hot and slow way have in common /
//! routes       which address and verb is whose handler
//! signature    what of a signed request is signed (RFC 9421)
//! call         one request on its way: who asks, what for, how long each stage took
//! openapi      the document of all this; docs serves it, with a page to read it
//! query, preconditions, negotiation, body, jwk, expansion      what handlers read
//! resolve, batch, records, erasures, listing, export, history, imports, import_errors, import_events, import_mapping, import_parts, bulk, keys, sessions, filings, filed_files, prefixes, grants, identity, licences, backup, bundle, log, changes, trail, operating, about      the handlers
//! listening    what answers that go on while somebody listens have in common
//! notes        what is told of a request afterwards: lines, spans
//! failure      what any stage could not do, as a problem
//! reply        the answer on its way out
//! ```
//! A handler reads top-down: admit (so that a stranger is turned away before his request is judged), decode, permit, serve,
//! encode.

mod about;
mod backup;
mod batch;
pub(in crate::codec) mod body;
mod bulk;
pub(in crate::codec) mod bundle;
pub(in crate::codec) mod call;
mod changes;
mod docs;
mod erasures;
pub(in crate::codec) mod expansion;
mod export;
pub(in crate::codec) mod failure;
mod filed_files;
mod filings;
mod grants;
pub(in crate::codec) mod history;
mod hot;
mod identity;
mod import_errors;
mod import_events;
mod import_form;
mod import_mapping;
mod import_parts;
pub(in crate::codec) mod imports;
mod jwk;
mod keys;
mod lane;
mod licences;
mod listening;
mod listing;
mod log;
mod negotiation;
mod notes;
pub mod openapi;
mod operating;
pub(in crate::codec) mod preconditions;
mod prefixes;
mod query;
mod records;
mod reply;
mod resolution;
pub(in crate::codec) mod resolve;
mod routes;
mod sessions;
mod signature;
mod trail;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use parking_lot::Mutex;
use tower_service::Service;

use super::language;
use super::problem::{Code, Problem};
use crate::config::LimitsSpec;
use crate::metrics::Metrics;
use crate::model::filing::attachment::MAX_ATTACHMENT_BYTES;
use crate::observe::laps::carried;
use crate::observe::traces::Traces;
use crate::services::{ServiceError, Services};

pub use body::BodyFault;
pub use docs::OnceDocument;
pub use lane::PlainGet;
pub use notes::Hit;

/// Whether the node takes requests, for `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    Starting,
    Ready,
    Stopping,
}

/// What the handlers work with.
pub struct Desk {
    pub services: Arc<Services>,
    pub metrics: Arc<Metrics>,
    pub limits: LimitsSpec,
    /// Takes the spans of traced requests.
    pub traces: Traces,
    /// Asked by `/readyz`; accept knows it, and is above this stage.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// Held while a table is looked through for a mapping: one at a time, because a small one can unpack to much.
    pub proposing: Mutex<()>,
    /// The document of this node's interface, once somebody has asked for it.
    pub document: OnceDocument,
}

impl Desk {
    /// Does work that may read the disk many times away from the threads that answer.
    pub(in crate::codec) async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Services) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let desk = Arc::clone(self);
        tokio::task::spawn_blocking(carried(move || work(&desk.services)))
            .await
            .unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string())))
    }
}

/// Answers requests: one value for all workers.
#[derive(Clone)]
pub struct Http {
    desk: Arc<Desk>,
    router: Router,
}

impl Http {
    #[must_use]
    pub fn new(desk: Desk) -> Self {
        let desk = Arc::new(desk);
        let router = routes::router(&desk);
        Self { desk, router }
    }

    /// What the handlers work with, for another transport over the same services.
    #[must_use]
    pub fn desk(&self) -> Arc<Desk> {
        Arc::clone(&self.desk)
    }

    /// The answer, if it is a public resolution that memory has: from the head alone, without waiting. `None`: ask [`Http::answer`].
    #[must_use]
    pub fn hot(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Bytes>> {
        hot::answer(&self.desk, method, uri, headers)
    }

    /// The same in bytes: appends to `out` what hyper would write of [`Http::hot`]'s answer. `None`, with `out` as it was: ask
    /// [`Http::hot`].
    #[must_use]
    pub fn hot_bytes(&self, get: &PlainGet<'_>, out: &mut Vec<u8>) -> Option<u16> {
        lane::answer(&self.desk, get, out)
    }

    /// What [`Http::hot_bytes`] has no answer to, read from the store on this thread, and told of. `None`, with `out` as it was:
    /// ask [`Http::answer`].
    #[must_use]
    pub fn read_bytes(&self, get: &PlainGet<'_>, out: &mut Vec<u8>) -> Option<u16> {
        lane::read(&self.desk, get, out)
    }

    /// Tells of an answer of [`Http::hot`] that the metrics' attention wants told.
    pub fn tell_hit(&self, hit: &Hit<'_>) {
        notes::tell_hit(&self.desk, hit);
    }

    /// Every other answer. Errors of the body that are [`BodyFault`]s are told apart; others count as broken off.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        // The router gives every answer its length; these two have none (RFC 9110, section 8.6).
        if matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            response.headers_mut().remove(CONTENT_LENGTH);
        }
        response
    }

    /// How many bytes the body of such a request may have: streams are bounded as imports are, all else as documents.
    #[must_use]
    pub fn body_bytes(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> u64 {
        let is_part = |path: &str| path.starts_with("/v1/imports/") && path.ends_with("/upload");
        let streams = (method == Method::POST
            && (uri.path() == "/v1/imports" || (uri.path() == "/v1/resolve" && body::is_lines(headers))))
            || (method == Method::PATCH && is_part(uri.path()));
        match self.desk.limits.body_bytes {
            _ if streams => self.desk.limits.import_bytes,
            _ if uri.path().starts_with(filings::ROUTE) && uri.path().ends_with(filed_files::WORD) => {
                MAX_ATTACHMENT_BYTES as u64
            }
            // From anybody, and never longer.
            usual if uri.path().starts_with("/v1/sessions") => usual.min(sessions::BODY_BYTES),
            usual => usual,
        }
    }

    /// What to say when a request was turned away before it came here.
    #[must_use]
    pub fn refuse(&self, code: Code, headers: &HeaderMap) -> Response<Bytes> {
        let id = call::request_id(headers);
        let problem = Problem::new(code).for_request(id.as_ref());
        let mut response = problem.to_response(language::of(headers));
        reply::add_request_id(&mut response, &id);
        response
    }
}
