//! `/log/…` and `/v1/log/…`: the log for whoever wants to verify it, in the forms of C2SP tlog-tiles, and proofs in JSON.
//!
//! What a tile says never changes, so caches may keep it for ever. The audit tree is for administrators.

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, negotiation};
use crate::codec::log_answers;
use crate::codec::problem::Code;
use crate::guard::Pass;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::log::{AskAudit, AskLog};
use crate::store::trees::Tree;
use crate::tlog::log_proof;
use crate::tlog::note::VerifierKey;
use crate::tlog::tile::{Content, Tile};

const TEXT: &str = "text/plain; charset=utf-8";
const PLAIN: &str = "text/plain";
const BYTES: &str = "application/octet-stream";
const TILES: &str = "/log/tile/";
const AUDIT_TILES: &str = "/log/audit/tile/";
const PROOFS: &str = "/v1/log/proof/";
/// A head is at most so old where a cache keeps it: a new one comes every second.
const CHECKPOINT_SECONDS: u32 = 1;
/// How long the keys of the log may be kept.
const KEY_SECONDS: u32 = 60;

/// Who may read the audit tree. A mirror has none, whoever asks.
fn auditor(desk: &Desk, call: &Call) -> Result<Pass, Failure> {
    if desk.services.mirror().is_some() {
        return Err(ServiceError::NotInLog.into());
    }
    call.admit(desk, Action::Audit)
}

/// The newest signed head of the registry.
pub(super) async fn checkpoint(desk: Arc<Desk>, call: Call) -> Reply {
    call.admit(&desk, Action::Read)?;
    head(&desk, &call, Tree::Registry, Keep::Public(CHECKPOINT_SECONDS))
}

/// The same of the audit tree.
pub(super) async fn audit_checkpoint(desk: Arc<Desk>, call: Call) -> Reply {
    auditor(&desk, &call)?;
    head(&desk, &call, Tree::Audit, Keep::Never)
}

fn head(desk: &Desk, call: &Call, tree: Tree, keep: Keep) -> Reply {
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[PLAIN])?;
    let published = desk.services.heads()?;
    call.laps.end(Step::Service);
    let note = published.checkpoint(tree).to_owned();
    Ok(reply::of_type(TEXT, StatusCode::OK, keep, Body::from(note)))
}

/// The keys that the registry's heads are signed by, one a line, in the form of notes.
pub(super) async fn vkey(desk: Arc<Desk>, call: Call) -> Reply {
    call.admit(&desk, Action::Read)?;
    keys(&desk, &call, Tree::Registry, Keep::Public(KEY_SECONDS))
}

/// The same of the audit tree.
pub(super) async fn audit_vkey(desk: Arc<Desk>, call: Call) -> Reply {
    auditor(&desk, &call)?;
    keys(&desk, &call, Tree::Audit, Keep::Never)
}

fn keys(desk: &Desk, call: &Call, tree: Tree, keep: Keep) -> Reply {
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[PLAIN])?;
    let line = |key: &VerifierKey| format!("{key}\n");
    let lines: String = desk.services.log.signer().verifiers(tree).iter().map(line).collect();
    Ok(reply::of_type(TEXT, StatusCode::OK, keep, Body::from(lines)))
}

/// A tile of the registry: hashes of one level, or entries.
pub(super) async fn tile(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let tile = named(&call, TILES)?;
    let asked = call.permit(&pass, AskLog::Tile(tile))?;
    let is_small = is_packed(&call.headers, tile);
    let body = desk.aside(move |services| packed(services.log_tile(&asked)?, is_small)).await;
    call.laps.end(Step::Service);
    Ok(immutable(tile, body?, is_small, "public, max-age=31536000, immutable"))
}

/// A tile of the audit tree.
pub(super) async fn audit_tile(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = auditor(&desk, &call)?;
    let tile = named(&call, AUDIT_TILES)?;
    let asked = call.permit(&pass, AskAudit(tile))?;
    let is_small = is_packed(&call.headers, tile);
    let body = desk.aside(move |services| packed(services.audit_tile(&asked)?, is_small)).await;
    call.laps.end(Step::Service);
    Ok(immutable(tile, body?, is_small, "private, no-store"))
}

fn named(call: &Call, route: &str) -> Result<Tile, Failure> {
    let path = call.text_after(route)?;
    Query::of(&call.uri, &[])?;
    negotiation::best(&call.headers, &[BYTES])?;
    // What no tile is ever called is the asker's mistake; what is not there yet is a 404 of the service.
    Tile::parse(&path).ok_or_else(|| Code::TilePathInvalid.into())
}

/// Entries are text and come compressed where that is asked for; hashes would not get smaller.
fn is_packed(headers: &HeaderMap, tile: Tile) -> bool {
    tile.content == Content::Entries && takes_gzip(headers)
}

/// The body as it is sent. Up to 16 MiB are compressed here, for anybody: never on a thread that answers.
fn packed(bytes: Vec<u8>, is_small: bool) -> Result<Vec<u8>, ServiceError> {
    if is_small { gzip(&bytes) } else { Ok(bytes) }
}

fn immutable(tile: Tile, body: Vec<u8>, is_small: bool, keep: &'static str) -> Response<Body> {
    let mut response: Response<Body> = reply::of_type(BYTES, StatusCode::OK, Keep::Never, Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    if tile.content == Content::Entries {
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    }
    if is_small {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Whether `Accept-Encoding` names gzip and does not rule it out (RFC 9110, section 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    codings.flat_map(|text| text.split(',')).any(|coding| {
        let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
        let name = name.trim();
        (name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip"))
            && crate::codec::language::quality(parameters) > 0
    })
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>, ServiceError> {
    let failed = |error: std::io::Error| ServiceError::Internal(format!("gzip: {error}"));
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
    encoder.write_all(bytes).map_err(failed)?;
    encoder.finish().map_err(failed)
}

/// That the log at one size is the beginning of the log at another.
pub(super) async fn consistency(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let query = Query::of(&call.uri, &["from", "to"])?;
    negotiation::best(&call.headers, &[JSON])?;
    let from = size(&query, "from")?.ok_or_else(|| Failure::query("from", "须给出", "must be given"))?;
    let asked = call.permit(&pass, AskLog::Consistency { from, to: size(&query, "to")? })?;
    let found = desk.aside(move |services| services.log_consistency(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Public(CHECKPOINT_SECONDS), log_answers::consistency(&found?)))
}

/// That an entry is in the log: in JSON, or as the file that anybody's verifier reads.
pub(super) async fn proof(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    let text = call.text_after(PROOFS)?;
    let index = text.parse().map_err(|_| ServiceError::NotInLog)?;
    let query = Query::of(&call.uri, &["size"])?;
    let form = negotiation::best(&call.headers, &[JSON, log_proof::MEDIA_TYPE, PLAIN])?;
    let size = size(&query, "size")?;
    let asked = call.permit(&pass, AskLog::Inclusion { index, size })?;
    let found = desk.aside(move |services| services.log_inclusion(&asked)).await;
    call.laps.end(Step::Service);
    let found = found?;
    let keep = Keep::Public(CHECKPOINT_SECONDS);
    if form == JSON {
        return Ok(reply::json(StatusCode::OK, keep, log_answers::inclusion(&found)));
    }
    let unsigned = || {
        let detail = ("size：只有最新检查点的大小有签名", "size: only the newest checkpoint's size is signed");
        Failure::from(crate::codec::problem::Problem::new(Code::QueryInvalid).with_detail(detail.0, detail.1))
    };
    let media_type = if form == PLAIN { TEXT } else { log_proof::MEDIA_TYPE };
    let file = found.file().ok_or_else(unsigned)?;
    Ok(reply::of_type(media_type, StatusCode::OK, keep, Body::from(file)))
}

fn size(query: &Query<'_>, name: &str) -> Result<Option<u64>, Failure> {
    let wrong = |_| Failure::query(name, "应为日志的大小（条数）", "must be a size of the log, in entries");
    query.one(name)?.map(|text| text.parse().map_err(wrong)).transpose()
}
