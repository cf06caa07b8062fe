//! `POST /v1/imports/mapping`: the beginning of a table, and a mapping for it to begin with.

use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::body::{self, refuse_encoding};
use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, import_form, negotiation};
use crate::codec::problem::{Code, Problem};
use crate::codec::table::{Tables, sample};
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::import::{Mapping, TableError};

const PARAMETERS: [&str; 4] = ["prefix", "encoding", "separator", "sheet"];

/// What a workbook may unpack to that only a mapping is wanted for; the limit of an import counts where it is less.
const PROPOSED_UNPACKED_BYTES: u64 = 32 << 20;

/// A mapping to begin with, and how the table was read · 建议的映射
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "MappingProposal")]
pub(in crate::codec) struct ProposalBody<'a> {
    mapping: &'a Mapping,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<&'a str>,
    columns: &'a [String],
}

pub(super) async fn propose(desk: Arc<Desk>, call: Call) -> Reply {
    call.admit(&desk, Action::Register)?;
    let query = Query::of(&call.uri, &PARAMETERS)?;
    let form = import_form::of_table(&call.headers, &query)?;
    refuse_encoding(&call.headers)?;
    negotiation::best(&call.headers, &[JSON])?;
    let prefix = match query.one("prefix")? {
        Some(prefix) => prefix,
        // The enterprise's prefix stands behind the node's own.
        None => desk.services.prefixes.all().last().map_or_else(String::new, |policy| policy.prefix.clone()),
    };
    let bytes = body::whole(call.body, &call.headers, desk.limits.body_bytes).await?;
    let mut tables = Tables::of(&desk.limits);
    tables.workbook.unpacked_bytes = tables.workbook.unpacked_bytes.min(PROPOSED_UNPACKED_BYTES);
    let read = {
        let (desk, form) = (Arc::clone(&desk), form.clone());
        move || {
            // Held by the work, not by the request: who hangs up and asks again waits for it too.
            let _alone = desk.proposing.try_lock()?;
            Some(sample::propose(&bytes, &form, &tables, &prefix))
        }
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|_| Failure::from(Code::Internal))?;
    let (mapping, found) = read.ok_or(Code::Overloaded)?.map_err(|error| unreadable(&error))?;
    call.laps.end(Step::Service);
    let body = ProposalBody {
        mapping: &mapping,
        format: form.word(),
        encoding: found.encoding.as_deref(),
        separator: found.encoding.as_ref().map(|_| found.separator),
        sheet: found.sheet.as_deref(),
        columns: &found.columns,
    };
    // Text and numbers, whose serialising into memory has no failure to report.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let response = reply::json(StatusCode::OK, Keep::Never, body);
    call.laps.end(Step::Encode);
    Ok(response)
}

fn unreadable(error: &TableError) -> Failure {
    let problem = Problem::new(Code::TableUnreadable);
    match error {
        TableError::Wrong(code, text) => {
            problem.with_detail(format!("{}（{code}）", text.zh), format!("{} ({code})", text.en)).into()
        }
        TableError::Io(_) => problem.into(),
    }
}
