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
use crate::codec::language;
use crate::codec::path::{self, PathError};
use crate::codec::problem::{Code, Problem};
use crate::guard::{self, Credentials, Pass, Token};
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
    pub transport: Transport,
    pub language: Language,
    pub request_id: Arc<str>,
    pub laps: Arc<Laps>,
}

impl Call {
    pub(super) fn of(request: Request<Body>) -> Self {
        let laps = Arc::new(Laps::begin());
        let (Parts { method, uri, headers, version, .. }, body) = request.into_parts();
        Self {
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

    /// The first step of every handler: whether the caller may do this kind of thing at all.
    pub(super) fn admit(&self, desk: &Desk, action: Action) -> Result<Pass, Failure> {
        self.laps.end(Step::Decode);
        if action != Action::Read && !self.method.is_safe() && !self.uri.path().starts_with(OWN) {
            // No credential would open this at a mirror.
            desk.services.writes()?;
        }
        let credentials = credentials(&self.headers);
        let pass = guard::admit(&desk.services, &credentials, action, Timestamp::now());
        self.laps.end(Step::Guard);
        Ok(pass?)
    }

    /// The same of an address that a link leads to, which may carry its token: `?share=mpg_…`.
    pub(super) fn admit_by_link(&self, desk: &Desk, action: Action) -> Result<Pass, Failure> {
        let Some(token) = shared(&self.uri) else { return self.admit(desk, action) };
        self.laps.end(Step::Decode);
        let credentials = match credentials(&self.headers) {
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

/// The credential of a request: one bearer token (RFC 6750, section 2.1).
pub(in crate::codec) fn credentials(headers: &HeaderMap) -> Credentials {
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
