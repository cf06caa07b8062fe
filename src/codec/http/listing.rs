//! `GET /v1/records`: records in the order of their keys, as pages of JSON or as a stream of lines that an import takes.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, NDJSON, Reply};
use super::{Desk, negotiation};
use crate::codec::cursor::{self, Kind};
use crate::guard::Pass;
use crate::model::filter::Filter;
use crate::model::identifier::CanonicalKey;
use crate::model::permitted::{Action, Permitted};
use crate::model::record::Record;
use crate::model::text::Language;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::list::List;

const PARAMETERS: [&str; 2] = ["cursor", "limit"];
pub(super) const MOST_RECORDS: usize = 1_000;
pub(super) const USUAL_RECORDS: usize = 100;
/// How many records are read at once.
const STEP_RECORDS: usize = 64;
/// A page ends early after so many steps, which only tombstones and what the filter leaves out can take it to.
const PAGE_STEPS: usize = 256;
/// A page ends early when it has grown to this.
const PAGE_BYTES: usize = 4 << 20;

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::List)?;
    let form = negotiation::best(&call.headers, &[JSON, NDJSON])?;
    let query = Query::of(&call.uri, &[&Filter::PARAMETERS[..], &PARAMETERS].concat())?;
    let after = match query.one("cursor")? {
        None => None,
        Some(text) => Some(place(&text)?),
    };
    let filter = query.filter()?;
    listable(&desk, &call, &pass, &filter)?;
    let walk = Walk {
        filter,
        limit: query.limit(MOST_RECORDS)?,
        after,
        is_over: false,
        pass,
        request_id: Arc::clone(&call.request_id),
        language: call.language,
        desk,
    };
    call.laps.end(Step::Decode);
    let response = if form == NDJSON { lines(walk) } else { page(walk).await? };
    call.laps.end(Step::Service);
    Ok(response)
}

/// Whether the caller may have such a list at all: once it has begun it can only break off.
pub(super) fn listable(desk: &Desk, call: &Call, pass: &Pass, filter: &Filter) -> Result<Permitted<List>, Failure> {
    let asked = call.permit(pass, List { filter: filter.clone(), ..List::default() })?;
    desk.services.may_list(&asked)?;
    Ok(asked)
}

fn place(text: &str) -> Result<CanonicalKey, Failure> {
    cursor::decode(Kind::Records, text)
        .map(|key| CanonicalKey::from_stored(&key))
        .ok_or_else(|| Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given"))
}

fn keep(pass: &Pass) -> Keep {
    if pass.is_anonymous() { Keep::Ask } else { Keep::Never }
}

/// A walk through the records, a step at a time.
struct Walk {
    desk: Arc<Desk>,
    request_id: Arc<str>,
    language: Language,
    pass: Pass,
    filter: Filter,
    /// How many records may still be given.
    limit: Option<usize>,
    after: Option<CanonicalKey>,
    is_over: bool,
}

impl Walk {
    /// The next records; none at the end. There may be none in a step that met only tombstones, or what is not meant.
    async fn step(&mut self) -> Result<Option<Vec<Listed>>, Failure> {
        if self.is_over || self.limit == Some(0) {
            return Ok(None);
        }
        // A step reads the disk: other requests of this worker have their turn before it.
        tokio::task::yield_now().await;
        let limit = STEP_RECORDS.min(self.limit.unwrap_or(STEP_RECORDS));
        let asked = self.pass.permit(List { filter: self.filter.clone(), after: self.after.take(), limit })?;
        let found = self.desk.services.list(&asked)?;
        self.is_over = found.next.is_none();
        self.after = found.next;
        if let Some(limit) = &mut self.limit {
            *limit = limit.saturating_sub(found.records.len());
        }
        Ok(Some(found.records))
    }
}

/// A record, or in the place of one that cannot be read `{"identifier":…,"problem":…}`: no import takes that for a record,
/// and no reader misses the record unseen.
pub(super) fn write(
    (key, found): Listed,
    request_id: &str,
    language: Language,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let encoding = |error| Failure::from(ServiceError::from(error));
    match found {
        Ok(record) => serde_json::to_writer(out, &record).map_err(encoding),
        Err(error) => {
            let problem = Failure::from(error).into_problem(request_id);
            out.extend_from_slice(b"{\"identifier\":");
            serde_json::to_writer(&mut *out, &key).map_err(encoding)?;
            out.extend_from_slice(b",\"problem\":");
            out.extend_from_slice(&problem.body(language));
            out.push(b'}');
            Ok(())
        }
    }
}

pub(super) type Listed = (CanonicalKey, Result<Record, ServiceError>);

/// `{"records":[…],"next_cursor":…}`
async fn page(mut walk: Walk) -> Reply {
    let keep = keep(&walk.pass);
    walk.limit = Some(walk.limit.unwrap_or(USUAL_RECORDS));
    let mut out = b"{\"records\":[".to_vec();
    let mut is_first = true;
    let mut cut = None;
    let mut steps = 0;
    'walk: while let Some(records) = walk.step().await? {
        steps += 1;
        for listed in records {
            let key = listed.0.clone();
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            write(listed, &walk.request_id, walk.language, &mut out)?;
            if out.len() >= PAGE_BYTES {
                cut = Some(key);
                break 'walk;
            }
        }
        if steps == PAGE_STEPS {
            break;
        }
    }
    out.push(b']');
    if let Some(next) = cut.or(walk.after) {
        let cursor = cursor::encode(Kind::Records, next.as_str());
        out.extend_from_slice(format!(",\"next_cursor\":\"{cursor}\"").as_bytes());
    }
    out.push(b'}');
    Ok(reply::json(StatusCode::OK, keep, out))
}

/// A record a line. An error in the middle ends the connection, so that a part cannot pass for the whole.
fn lines(walk: Walk) -> http::Response<Body> {
    let keep = keep(&walk.pass);
    let pieces = stream::unfold(walk, |mut walk| async move {
        let piece = piece(&mut walk).await.map_err(|failure| {
            let problem = failure.into_problem(&walk.request_id);
            std::io::Error::other(problem.code.row().code)
        });
        if piece.is_err() {
            walk.is_over = true;
        }
        Some((piece.transpose()?, walk))
    });
    reply::of_type(NDJSON, StatusCode::OK, keep, Body::from_stream(pieces))
}

async fn piece(walk: &mut Walk) -> Result<Option<Bytes>, Failure> {
    while let Some(records) = walk.step().await? {
        let mut out = Vec::new();
        for listed in records {
            write(listed, &walk.request_id, walk.language, &mut out)?;
            out.push(b'\n');
        }
        if !out.is_empty() {
            return Ok(Some(out.into()));
        }
    }
    Ok(None)
}
