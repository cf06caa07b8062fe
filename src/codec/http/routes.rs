//! Which address and verb is whose handler: one table, from which the router, `Allow` and the index are made.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ALLOW,
};
use http::{HeaderValue, Request, Response, StatusCode};
use tracing::Instrument;

use super::call::Call;
use super::failure::Failure;
use super::notes::Note;
use super::reply::{self, Reply};
use super::{
    Desk, about, backup, batch, bulk, bundle, changes, docs, erasures, export, filed_files, filings, grants, history,
    identity, import_errors, import_events, import_mapping, import_parts, imports, keys, licences, listing, log,
    operating, prefixes, records, resolve, sessions, trail,
};
use crate::codec::problem::{Code, Problem};
use crate::observe::laps::on_behalf;

type Handler = fn(Arc<Desk>, Call) -> Pin<Box<dyn Future<Output = Reply> + Send>>;

/// One address.
pub(super) struct Route {
    pub path: &'static str,
    /// Whether scripts of any origin may read it: what everybody may see anyway.
    pub is_open: bool,
    pub verbs: &'static [(&'static str, Handler)],
}

macro_rules! routes {
    ($($path:literal $openness:ident { $($verb:ident $handler:path),+ $(,)? })+) => {
        &[$(Route {
            path: $path,
            is_open: routes!(@$openness),
            verbs: &[$((stringify!($verb), |desk, call| Box::pin($handler(desk, call)))),+],
        }),+]
    };
    (@open) => { true };
    (@closed) => { false };
}

pub(super) const ROUTES: &[Route] = routes! {
    "/v1/resolve/{*identifier}" open { GET resolve::one }
    "/v1/resolve/" open { GET resolve::one }
    "/v1/resolve" open { POST batch::many }
    "/v1/records/{*identifier}" open { GET records::read, PUT records::put, PATCH records::patch, DELETE records::delete }
    "/v1/records/" open { GET records::read }
    "/v1/records" open { GET listing::list, POST records::mint }
    "/v1/history/{*identifier}" open { GET history::versions }
    "/v1/diff/{*identifier}" open { GET history::diff }
    "/v1/erasures" closed { POST erasures::order }
    "/v1/export" closed { GET export::file }
    "/v1/imports" closed { POST imports::start }
    "/v1/imports/mapping" closed { POST import_mapping::propose }
    "/v1/imports/{id}" closed { GET imports::read }
    "/v1/imports/{id}/errors" closed { GET import_errors::read }
    "/v1/imports/{id}/events" closed { GET import_events::read }
    "/v1/imports/{id}/upload" closed {
        GET import_parts::read, PATCH import_parts::add_part, DELETE import_parts::drop_upload,
    }
    "/v1/imports/{id}/undo" closed { POST bulk::undo }
    "/v1/bulk" closed { POST bulk::start }
    "/v1/requests/{key}" closed { GET records::request }
    "/v1/keys" closed { GET keys::list, POST keys::create }
    "/v1/keys/{id}" closed { GET keys::read, DELETE keys::revoke }
    "/v1/sessions" closed { POST sessions::open }
    "/v1/sessions/challenge" closed { POST sessions::challenge }
    "/v1/sessions/current" closed { GET sessions::current, DELETE sessions::close }
    "/v1/filings" closed { GET filings::list, POST filings::create }
    "/v1/filings/{id}" closed { GET filings::read, PUT filings::replace }
    "/v1/filings/{id}/attachments" closed { POST filed_files::attach }
    "/v1/filings/{id}/attachments/{seq}" closed { GET filed_files::read }
    "/v1/filings/{id}/submit" closed { POST filings::submit }
    "/v1/filings/{id}/withdraw" closed { POST filings::withdraw }
    "/v1/filings/{id}/claim" closed { POST filings::claim }
    "/v1/filings/{id}/release" closed { POST filings::release }
    "/v1/filings/{id}/return" closed { POST filings::send_back }
    "/v1/filings/{id}/reject" closed { POST filings::reject }
    "/v1/filings/{id}/approve" closed { POST filings::approve }
    "/v1/prefixes" closed { GET prefixes::list }
    "/v1/prefixes/{prefix}" closed { GET prefixes::read }
    "/v1/prefixes/{prefix}/suspend" closed { POST prefixes::suspend }
    "/v1/prefixes/{prefix}/restore" closed { POST prefixes::restore }
    "/v1/prefixes/{prefix}/renew" closed { POST prefixes::renew }
    "/v1/prefixes/{prefix}/revoke" closed { POST prefixes::revoke }
    "/v1/grants" closed { GET grants::list, POST grants::give }
    "/v1/grants/{id}" closed { GET grants::read, DELETE grants::revoke }
    "/v1/grants/{id}/uses" closed { GET grants::uses }
    "/v1/identity/{*name}" open { GET identity::read }
    "/v1/licences" open { GET licences::list, POST licences::grant }
    "/v1/licences/{id}/end" closed { POST licences::end }
    "/v1/signing-keys/{id}/end" closed { POST licences::end_key }
    "/v1/admin/log" closed { GET operating::log, PATCH operating::change_log }
    "/v1/admin/reload" closed { POST operating::reload }
    "/v1/backup" closed { GET backup::end, POST backup::note }
    "/v1/backup/segments/{number}" closed { GET backup::segment }
    "/v1/bundle/{*identifier}" open { GET bundle::one }
    "/v1/latest/{*identifier}" open { GET bundle::latest }
    "/log/checkpoint" open { GET log::checkpoint }
    "/log/vkey" open { GET log::vkey }
    "/log/tile/{*tile}" open { GET log::tile }
    "/log/audit/checkpoint" closed { GET log::audit_checkpoint }
    "/log/audit/vkey" closed { GET log::audit_vkey }
    "/log/audit/tile/{*tile}" closed { GET log::audit_tile }
    "/v1/changes" closed { GET changes::read }
    "/v1/audit" closed { GET trail::read }
    "/v1/log/consistency" open { GET log::consistency }
    "/v1/log/proof/{index}" open { GET log::proof }
    "/.well-known/jwks.json" open { GET about::jwks }
    "/livez" open { GET about::livez }
    "/readyz" open { GET about::readyz }
    "/metrics" closed { GET about::metrics }
    "/openapi.json" open { GET docs::document }
    "/docs" open { GET docs::page }
    "/docs/" open { GET docs::page }
    "/docs/{file}" open { GET docs::file }
    "/" open { GET about::index }
};

pub(super) fn router(desk: &Arc<Desk>) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let desk = Arc::clone(desk);
        let serve = move |request: Request<Body>| serve(Some(route), Arc::clone(&desk), request);
        router = router.route(route.path, axum::routing::any(serve));
    }
    let desk = Arc::clone(desk);
    router.fallback(move |request: Request<Body>| serve(None, Arc::clone(&desk), request))
}

/// Gives a request to its handler, and the answer what every answer has.
async fn serve(route: Option<&'static Route>, desk: Arc<Desk>, request: Request<Body>) -> Response<Body> {
    let mut call = Call::of(request);
    let (language, request_id) = (call.language, Arc::clone(&call.request_id));
    let (laps, transport) = (Arc::clone(&call.laps), call.transport);
    let is_signed = call.is_signed();
    let note = Note::of(&desk, route, &call);
    let span = note.span();
    let work = async {
        match route {
            None => Err(Code::RouteUnknown.into()),
            Some(route) => {
                call.attest_body(&desk).await?;
                route.handle(Arc::clone(&desk), call).await
            }
        }
    };
    let reply = on_behalf(Arc::clone(&laps), work.instrument(span.clone())).await;
    let _inside = span.entered();
    let mut response = reply.unwrap_or_else(|failure| {
        let problem = failure.into_problem(&request_id).at(note.path()).for_request(request_id.as_ref());
        problem.to_response(language).map(Body::from)
    });
    if let Some(route) = route {
        route.dress(&mut response);
    }
    if is_signed {
        reply::keep_from_all(&mut response);
    }
    if response.status() == StatusCode::UNAUTHORIZED {
        reply::ask_for_signature(&desk.services, &mut response);
    }
    reply::add_request_id(&mut response, &request_id);
    let status = response.status().as_u16();
    laps.record(&desk.metrics.requests, transport, status);
    note.tell(&desk, &laps, status);
    response
}

impl Route {
    async fn handle(&self, desk: Arc<Desk>, call: Call) -> Reply {
        let verb = match call.method.as_str() {
            "HEAD" => "GET",
            verb => verb,
        };
        match self.verbs.iter().find(|(known, _)| *known == verb) {
            Some((_, handler)) => handler(desk, call).await,
            None if verb == "OPTIONS" => Ok(self.options()),
            None => Err(self.refused(verb)),
        }
    }

    /// `GET, HEAD, PUT, …, OPTIONS`
    fn allowed(&self) -> String {
        let mut verbs: Vec<&str> = Vec::with_capacity(self.verbs.len() + 2);
        for (verb, _) in self.verbs {
            verbs.push(verb);
            if *verb == "GET" {
                verbs.push("HEAD");
            }
        }
        verbs.push("OPTIONS");
        verbs.join(", ")
    }

    fn refused(&self, verb: &str) -> Failure {
        let allowed = self.allowed();
        let verb: String = verb.chars().take(32).collect();
        Problem::new(Code::MethodNotAllowed)
            .with_detail(format!("{verb} 不可用，可用的有 {allowed}"), format!("{verb} is not one of {allowed}"))
            .into()
    }

    /// What a browser asks before it lets a foreign page's script ask. Credentials are never allowed that way.
    fn options(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        if let Ok(allowed) = HeaderValue::try_from(self.allowed()) {
            headers.insert(ALLOW, allowed);
        }
        if self.is_open {
            for (name, value) in [
                (ACCESS_CONTROL_ALLOW_METHODS, self.open_verbs()),
                (ACCESS_CONTROL_ALLOW_HEADERS, "accept, accept-language, content-type, if-none-match, x-request-id"),
                (ACCESS_CONTROL_MAX_AGE, "86400"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }

    /// Of an open address: what needs no credential.
    fn open_verbs(&self) -> &'static str {
        if self.path == "/v1/resolve" { "POST" } else { "GET, HEAD" }
    }

    fn dress(&self, response: &mut Response<Body>) {
        if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && let Ok(allowed) = HeaderValue::try_from(self.allowed())
        {
            response.headers_mut().insert(ALLOW, allowed);
        }
        if self.is_open {
            response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
    }
}
