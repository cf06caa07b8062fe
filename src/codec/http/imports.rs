//! `/v1/imports`: an upload of lines, or of a table, becomes a job.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;

use super::body::{self, BodyFault, Pieces};
use super::call::Call;
use super::expansion::Expansion;
use super::failure::Failure;
use super::preconditions::idempotency_key;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, import_form, import_parts, negotiation};
use crate::codec::answers;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::import::{Begun, Form, JobView, OnConflict, Operation, ReadJob, StartImport, Upload};

const ROUTE: &str = "/v1/imports/";
const PARAMETERS: [&str; 8] =
    ["mapping", "on_conflict", "operation", "dry_run", "atomic", "encoding", "separator", "sheet"];

pub(super) async fn start(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let query = Query::of(&call.uri, &PARAMETERS)?;
    if !query.flag("dry_run")? {
        desk.services.may_sign()?;
    }
    let form = import_form::of_import(&call.headers, &query)?;
    let mut start = question(form, &query, desk.limits.json_depth)?;
    start.idempotency_key = idempotency_key(&call.headers)?;
    if import_parts::is_partial(&call.headers)? {
        return import_parts::open(desk, call, pass, start).await;
    }
    let mut expansion = Expansion::of(&call.headers)?;
    let asked = call.permit(&pass, start)?;
    let begun = desk.services.begin_import(asked).await?;
    call.laps.end(Step::Service);
    let mut pieces = Pieces::of(call.body);
    let view = match begun {
        // The same upload once more: it is taken off the wire, and the job that it became is told.
        Begun::Known(mut repeat) => {
            while let Some(mut piece) = pieces.next().await.transpose()? {
                while !piece.is_empty() {
                    repeat.take(&expansion.take(&mut piece)?);
                }
            }
            repeat.take(&expansion.end()?);
            desk.services.repeated_import(*repeat)?
        }
        Begun::Upload(upload) => {
            let received = receive(pieces, expansion, *upload).await?;
            desk.services.start_import(received).await?
        }
    };
    call.laps.skip();
    let body = answers::job(&view, call.language);
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, body);
    reply::add_location(&mut response, format!("{ROUTE}{}", view.id));
    call.laps.end(Step::Encode);
    Ok(response)
}

fn question(form: Form, query: &Query<'_>, depth: u64) -> Result<StartImport, Failure> {
    let text = query.one("mapping")?;
    let brings_its_own = form.is_table() && text.as_deref() == Some("export");
    let mapping = match text.filter(|_| !brings_its_own) {
        None => None,
        Some(text) => {
            let json = body::parse(text.as_bytes(), depth)?;
            let mapping = serde_json::from_value(json).map_err(|error| {
                let cause = error.to_string();
                Failure::query("mapping", &cause, &cause)
            })?;
            Some(mapping)
        }
    };
    if mapping.is_none() && form.is_table() && !brings_its_own {
        return Err(Failure::query(
            "mapping",
            "导入表格必须给出映射，说明各列的去向；导出的表格可用 mapping=export",
            "a table needs a mapping, which says what its columns become; for an export it is mapping=export",
        ));
    }
    let on_conflict = match query.one("on_conflict")?.as_deref() {
        None | Some("error") => OnConflict::Error,
        Some("skip") => OnConflict::Skip,
        Some("update") => OnConflict::Update,
        Some(_) => {
            return Err(Failure::query("on_conflict", "应为 error、skip 或 update", "must be error, skip or update"));
        }
    };
    let operation = match query.one("operation")? {
        None => Operation::Put,
        Some(word) => Operation::from_word(&word).ok_or_else(|| {
            let words = Operation::words();
            Failure::query("operation", &format!("可用的有 {words}"), &format!("there are {words}"))
        })?,
    };
    Ok(StartImport {
        form,
        mapping,
        on_conflict,
        dry_run: query.flag("dry_run")?,
        atomic: query.flag("atomic")?,
        operation,
        ..StartImport::default()
    })
}

/// Takes the whole upload; one that does not come to its end leaves nothing behind.
async fn receive(mut pieces: Pieces, mut expansion: Expansion, upload: Upload) -> Result<Upload, Failure> {
    let mut upload = Abandoned(Some(upload));
    let taken = take(&mut pieces, &mut expansion, &mut upload).await;
    match (taken, upload.0.take()) {
        (Ok(()), Some(upload)) => Ok(upload),
        (Err(failure), Some(upload)) => {
            upload.abandon().await;
            Err(failure)
        }
        (taken, None) => Err(taken.err().unwrap_or_else(|| BodyFault::Broken.into())),
    }
}

async fn take(pieces: &mut Pieces, expansion: &mut Expansion, upload: &mut Abandoned) -> Result<(), Failure> {
    while let Some(piece) = pieces.next().await.transpose()? {
        let mut rest = piece;
        while !rest.is_empty() {
            let plain = expansion.take(&mut rest)?;
            upload.write(&plain).await?;
        }
    }
    let last = expansion.end()?;
    upload.write(&last).await
}

/// Removes what was spooled when the client goes away and this request is dropped in the middle.
pub(in crate::codec) struct Abandoned(pub Option<Upload>);

impl Abandoned {
    pub(in crate::codec) async fn write(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        match &mut self.0 {
            Some(upload) if !bytes.is_empty() => Ok(upload.write(bytes).await?),
            _ => Ok(()),
        }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(upload.abandon());
        }
    }
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let id = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadJob { id })?;
    let view: Result<JobView, _> = desk.services.import(&asked);
    call.laps.end(Step::Service);
    let body = answers::job(&view?, call.language);
    let response = reply::json(StatusCode::OK, Keep::Never, body);
    call.laps.end(Step::Encode);
    Ok(response)
}
