//! One request on its way through the stages.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri, Version};

use super::Desk;
use super::failure::Failure;
use super::signature::digest::{Digests, checked};
use super::signature::{self, Head};
use super::{body, filed_files, import_parts};
use crate::codec::language;
use crate::codec::path::{self, PathError};
use crate::codec::problem::{Code, Problem};
use crate::guard::{self, Credentials, Pass, Signed, Token};
use crate::metrics::Transport;
use crate::model::identifier::IdentifierError;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::observe::laps::{Laps, Step};

/// What concerns the process and not its records.
const OWN: &str = "/v1/admin/";

/// A request, and what is known of it from the start.
pub(super) struct Call {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Body,
    pub credentials: Credentials,
    /// What the body must be, of a signed request.
    digests: Option<Digests>,
    pub transport: Transport,
    pub language: Language,
    pub request_id: Arc<str>,
    pub laps: Arc<Laps>,
}

impl Call {
    pub(super) fn of(request: Request<Body>) -> Self {
        let laps = Arc::new(Laps::begin());
        let (Parts { method, uri, headers, version, .. }, body) = request.into_parts();
        let (credentials, digests) = shown(&method, &uri, &headers, &body);
        Self {
            credentials,
            digests,
            language: language::of(&headers),
            request_id: request_id(&headers),
            transport: if version == Version::HTTP_2 { Transport::Http2 } else { Transport::Http1 },
            method,
            uri,
            headers,
            body,
            laps,
        }
    }

    /// Before every handler: sees to it that the body of a signed request is the one that was signed before anything is done of
    /// it. It is read whole here, also where no handler would read it; or, where it may be long and comes to nothing before its
    /// end, it is compared there, on its way to the handler. Nobody's is read.
    pub(super) async fn attest_body(&mut self, desk: &Desk) -> Result<(), Failure> {
        let Some(digests) = self.digests.take() else { return Ok(()) };
        if guard::identify(&desk.services, &self.credentials, Timestamp::now()).is_err() {
            // The handler says so, or needs no credential.
            return Ok(());
        }
        self.body = checked(std::mem::take(&mut self.body), digests);
        if !self.is_received_whole()? {
            let sent = std::mem::take(&mut self.body);
            self.body = body::whole(sent, &self.headers, desk.limits.body_bytes).await?.into();
        }
        Ok(())
    }

    /// Of handlers that do nothing before the end of a body: an import of one piece, a filed file.
    fn is_received_whole(&self) -> Result<bool, Failure> {
        let path = self.uri.path();
        let is_import = path == "/v1/imports" && !import_parts::is_partial(&self.headers)?;
        let is_file = path.starts_with(super::filings::ROUTE) && path.ends_with(filed_files::WORD);
        Ok(self.method == Method::POST && (is_import || is_file))
    }

    /// Whether the request itself is signed, well or not.
    pub(super) fn is_signed(&self) -> bool {
        matches!(self.credentials, Credentials::Signed(_) | Credentials::SignedUnusably(_))
    }

    /// The first step of every handler: whether the caller may do this kind of thing at all.
    pub(super) fn admit(&self, desk: &Desk, action: Action) -> Result<Pass, Failure> {
        self.laps.end(Step::Decode);
        if action != Action::Read && !self.method.is_safe() && !self.uri.path().starts_with(OWN) {
            // No credential would open this at a mirror.
            desk.services.writes()?;
        }
        let pass = guard::admit(&desk.services, &self.credentials, action, Timestamp::now());
        self.laps.end(Step::Guard);
        Ok(pass?)
    }

    /// The same of an address that a link leads to, which may carry its token: `?share=mpg_…`.
    pub(super) fn admit_by_link(&self, desk: &Desk, action: Action) -> Result<Pass, Failure> {
        let Some(token) = shared(&self.uri) else { return self.admit(desk, action) };
        self.laps.end(Step::Decode);
        let credentials = match &self.credentials {
            // Any other credential in an address would be kept by whoever keeps addresses.
            Credentials::Absent if token.starts_with(LINK_MARK) => Credentials::Bearer(Token::new(token)),
            _ => Credentials::Unreadable,
        };
        let pass = guard::admit(&desk.services, &credentials, action, Timestamp::now());
        self.laps.end(Step::Guard);
        Ok(pass?)
    }

    /// The same of a handler that writes, whatever it is asked: the state of the node is told before the body is judged.
    pub(super) fn admit_writer(&self, desk: &Desk, action: Action) -> Result<Pass, Failure> {
        let pass = self.admit(desk, action)?;
        desk.services.may_sign()?;
        Ok(pass)
    }

    /// The last step before a service.
    pub(super) fn permit<R: Asks>(&self, pass: &Pass, request: R) -> Result<Permitted<R>, Failure> {
        self.laps.end(Step::Decode);
        let permitted = pass.permit(request);
        self.laps.end(Step::Guard);
        Ok(permitted?)
    }

    /// What follows a route in the path, percent-decoded.
    pub(super) fn text_after(&self, route: &str) -> Result<Cow<'_, str>, Failure> {
        match path::text_after(self.uri.path(), route) {
            Some(Ok(text)) => Ok(text),
            Some(Err(error)) => Err(broken_path(error)),
            None => Err(broken_path(PathError::Empty)),
        }
    }
}

/// A path that names nothing is the empty identifier; one that does not decode is malformed.
fn broken_path(error: PathError) -> Failure {
    let problem = match error {
        PathError::Empty => Problem::from(&IdentifierError::Empty),
        PathError::BadEncoding { at } => Problem::new(Code::PathMalformed).with_detail(
            format!("第 {at} 字节的百分号编码有误"),
            format!("a broken percent-encoding at byte {at} of the identifier"),
        ),
        PathError::NotUtf8 => {
            Problem::new(Code::PathMalformed).with_detail("解码后不是 UTF-8", "the decoded path is not UTF-8")
        }
    };
    problem.into()
}

/// How the token of a link begins.
const LINK_MARK: &str = "mpg_";

/// The token in an address, as it stands there: letters, digits and `_` need no encoding.
fn shared(uri: &Uri) -> Option<&str> {
    uri.query()?.split('&').find_map(|parameter| parameter.strip_prefix("share="))
}

/// The one credential of a request; with a signature, what its body must be.
fn shown(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Body) -> (Credentials, Option<Digests>) {
    if !signature::is_shown(headers) {
        return (bearer(headers), None);
    }
    if headers.contains_key(AUTHORIZATION) {
        return (Credentials::Unreadable, None);
    }
    let has_body = !http_body::Body::is_end_stream(body);
    match signature::read(&Head { method, uri, headers, has_body }) {
        Ok((request, digests)) => (Credentials::Signed(Box::new(Signed::new(request))), digests),
        Err(cause) => (Credentials::SignedUnusably(cause), None),
    }
}

/// The credential of a call of gRPC, which has no signatures.
pub(in crate::codec) fn credentials(headers: &HeaderMap) -> Credentials {
    if signature::is_shown(headers) { Credentials::Unreadable } else { bearer(headers) }
}

/// One bearer token (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Credentials {
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    let (first, second) = (shown.next(), shown.next());
    let Some(first) = first else {
        return Credentials::Absent;
    };
    let token = first.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    match token {
        Some(token) if second.is_none() && !token.is_empty() => Credentials::Bearer(Token::new(token)),
        _ => Credentials::Unreadable,
    }
}

const REQUEST_ID: &str = "x-request-id";
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The client's own id, if it is fit for a header and a log line, else one of ours.
pub(in crate::codec) fn request_id(headers: &HeaderMap) -> Arc<str> {
    clients_request_id(headers).map_or_else(new_request_id, Arc::from)
}

pub(super) fn clients_request_id(headers: &HeaderMap) -> Option<&str> {
    let sane = |id: &&str| {
        (1..=MAX_REQUEST_ID_BYTES).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    headers.get(REQUEST_ID)?.to_str().ok().filter(sane)
}

/// Random for the process, counted within it: unique enough to find a log line, and no secret.
pub(super) fn new_request_id() -> Arc<str> {
    static PROCESS: LazyLock<u32> = LazyLock::new(|| {
        let mut bytes = [0; 4];
        // Without randomness ids of two runs may meet; nothing depends on it.
        let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes);
        u32::from_le_bytes(bytes)
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:08x}-{count:x}", *PROCESS).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_call_of_grpc_with_a_signature_is_not_taken_for_a_strangers() {
        let mut headers = HeaderMap::new();
        assert!(matches!(credentials(&headers), Credentials::Absent));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer a"));
        assert!(matches!(credentials(&headers), Credentials::Bearer(_)));
        for name in ["signature", "signature-input"] {
            for beside in [true, false] {
                let mut headers = if beside { headers.clone() } else { HeaderMap::new() };
                headers.insert(name, HeaderValue::from_static("sig=()"));
                assert!(matches!(credentials(&headers), Credentials::Unreadable), "{name}");
            }
        }
    }
}
