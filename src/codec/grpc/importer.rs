//! Imports: a stream of a file's bytes or of rows becomes a job; how it is doing; what it rejected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tonic::{Request, Response, Status, Streaming};

use super::call::{Caller, malformed};
use super::import_start::start_of;
use super::resolver::Answers;
use super::wire::v1 as wire;
use super::wire::v1::import_request::Part;
use super::wire::v1::importer_server::Importer;
use super::{draft, record};
use crate::codec::http::Desk;
use crate::codec::http::expansion::Expansion;
use crate::codec::http::failure::Failure;
use crate::codec::http::imports::Abandoned;
use crate::codec::lines::{Line, Lines};
use crate::model::permitted::Permitted;
use crate::model::text::Language;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::import::{Begun, ErrorRow, JobState, JobView, ReadJob, Repeat, StartImport};

/// How often a watched job is looked at.
const LOOK: Duration = Duration::from_millis(250);
const PIECE_BYTES: usize = 64 * 1024;

#[derive(Clone)]
pub(super) struct Importing(pub Arc<Desk>);

#[tonic::async_trait]
impl Importer for Importing {
    type WatchImportStream = Answers<wire::ImportJob>;
    type ImportErrorsStream = Answers<wire::ImportError>;

    async fn import(
        &self,
        request: Request<Streaming<wire::ImportRequest>>,
    ) -> Result<Response<wire::ImportJob>, Status> {
        let (caller, parts) = Caller::of(request)?;
        let view = self.received(&caller, parts).await;
        caller.laps.skip();
        view.map(|view| Response::new(job(&view, caller.language))).map_err(|failure| caller.status(failure))
    }

    async fn read_import(
        &self,
        request: Request<wire::ReadImportRequest>,
    ) -> Result<Response<wire::ImportJob>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let view = self.view(&caller, asked).map(|(_, view)| view);
        view.map(|view| Response::new(job(&view, caller.language))).map_err(|failure| caller.status(failure))
    }

    async fn watch_import(
        &self,
        request: Request<wire::ReadImportRequest>,
    ) -> Result<Response<Self::WatchImportStream>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let (asked, first) = self.view(&caller, asked).map_err(|failure| caller.status(failure))?;
        let watch = Watch { desk: Arc::clone(&self.0), asked, caller, told: None, next: Some(first) };
        let views = stream::unfold(watch, |mut watch| async move {
            let view = watch.view().await?;
            Some((view, watch))
        });
        Ok(Response::new(Box::pin(views)))
    }

    async fn import_errors(
        &self,
        request: Request<wire::ReadImportRequest>,
    ) -> Result<Response<Self::ImportErrorsStream>, Status> {
        let (caller, asked) = Caller::of(request)?;
        let rows = self.rejected(&caller, asked).await.map_err(|failure| caller.status(failure))?;
        let rows = stream::unfold((rows, caller), |(mut rows, caller)| async move {
            let row = match rows.next(caller.language).await {
                Ok(row) => Ok(row?),
                Err(error) => {
                    rows.is_ended = true;
                    let error = ServiceError::Internal(format!("the error file does not read: {error}"));
                    Err(caller.status(error.into()))
                }
            };
            Some((row, (rows, caller)))
        });
        Ok(Response::new(Box::pin(rows)))
    }
}

impl Importing {
    fn view(&self, caller: &Caller, asked: wire::ReadImportRequest) -> Result<(Permitted<ReadJob>, JobView), Failure> {
        let asked = caller.permit(ReadJob { id: asked.id })?;
        let view = self.0.services.import(&asked);
        caller.laps.end(Step::Service);
        Ok((asked, view?))
    }

    /// Takes the whole upload; one that does not come to its end leaves nothing behind.
    async fn received(&self, caller: &Caller, mut parts: Streaming<wire::ImportRequest>) -> Result<JobView, Failure> {
        let services = &self.0.services;
        let first = next(caller, &mut parts).await?;
        let Some(Part::Start(start)) = first else {
            return Err(malformed("第一条消息须为 start", "the first message must be start"));
        };
        if !start.dry_run {
            services.may_sign()?;
        }
        let is_packed = start.gzip;
        let start: StartImport = start_of(start)?;
        let mut intake = Intake {
            expansion: if is_packed { Expansion::gzip() } else { Expansion::None },
            takes_rows: !is_packed && !start.form.is_table(),
            came: None,
            json_depth: self.0.limits.json_depth,
        };
        let asked = caller.permit(start)?;
        match services.begin_import(asked).await? {
            Begun::Known(repeat) => {
                let mut sink = Sink::Known(repeat);
                intake.take_all(caller, &mut parts, &mut sink).await?;
                let Sink::Known(repeat) = sink else { return Err(broken()) };
                Ok(services.repeated_import(*repeat)?)
            }
            Begun::Upload(upload) => {
                // Dropped in the middle, by a client that goes away or a deadline, it removes what was spooled.
                let mut sink = Sink::Upload(Box::new(Abandoned(Some(*upload))));
                let taken = intake.take_all(caller, &mut parts, &mut sink).await;
                let Sink::Upload(mut upload) = sink else { return Err(broken()) };
                let upload = upload.0.take().ok_or_else(broken)?;
                if let Err(failure) = taken {
                    upload.abandon().await;
                    return Err(failure);
                }
                Ok(services.start_import(upload).await?)
            }
        }
    }

    async fn rejected(&self, caller: &Caller, asked: wire::ReadImportRequest) -> Result<Rejected, Failure> {
        let id = asked.id.clone();
        let (asked, _) = self.view(caller, asked)?;
        let path = self.0.aside(move |services| services.import_errors(&asked)).await?;
        let file = File::open(path).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ServiceError::NotFound { what: "import", name: id },
            _ => ServiceError::Internal(format!("the error file does not open: {error}")),
        })?;
        // A row is kept as a JSON text, where a byte may take six, beside what was wrong with it.
        let line_bytes = self.0.services.settings.line_bytes * 6 + 16 * 1024;
        Ok(Rejected { file, lines: Lines::new(line_bytes), is_ended: false })
    }
}

fn broken() -> Failure {
    ServiceError::Internal("an upload changed its kind".to_owned()).into()
}

async fn next(caller: &Caller, parts: &mut Streaming<wire::ImportRequest>) -> Result<Option<Part>, Failure> {
    match parts.message().await {
        Ok(None) => Ok(None),
        Ok(Some(wire::ImportRequest { part: Some(part) })) => Ok(Some(part)),
        Ok(Some(_)) => Err(malformed("消息为空", "a message is empty")),
        Err(status) => Err(caller.unread(&status)),
    }
}

/// Where the bytes go.
enum Sink {
    Upload(Box<Abandoned>),
    /// The same idempotency key has a job already: they are compared and kept nowhere.
    Known(Box<Repeat>),
}

impl Sink {
    async fn write(&mut self, bytes: &Bytes) -> Result<(), Failure> {
        match self {
            Self::Upload(upload) => upload.write(bytes).await,
            Self::Known(repeat) => {
                repeat.take(bytes);
                Ok(())
            }
        }
    }
}

/// From messages to the bytes of an upload.
struct Intake {
    expansion: Expansion,
    takes_rows: bool,
    /// What the first part was; others must be like it, as a row within a cut line would be part of it.
    came: Option<&'static str>,
    json_depth: u64,
}

impl Intake {
    async fn take_all(
        &mut self,
        caller: &Caller,
        parts: &mut Streaming<wire::ImportRequest>,
        sink: &mut Sink,
    ) -> Result<(), Failure> {
        while let Some(part) = next(caller, parts).await? {
            match part {
                Part::Start(_) => return Err(malformed("start 只能出现一次", "start may come once")),
                Part::Chunk(bytes) => {
                    self.expect("chunk")?;
                    let mut rest = bytes;
                    while !rest.is_empty() {
                        sink.write(&self.expansion.take(&mut rest)?).await?;
                    }
                }
                Part::Row(row) => {
                    self.expect("row")?;
                    let mut line = draft::row(row, self.json_depth).to_string();
                    line.push('\n');
                    sink.write(&line.into()).await?;
                }
            }
        }
        let last = self.expansion.end()?;
        sink.write(&last).await
    }

    fn expect(&mut self, part: &'static str) -> Result<(), Failure> {
        if part == "row" && !self.takes_rows {
            return Err(malformed("row 只用于未压缩的 NDJSON", "rows are for NDJSON that is not compressed"));
        }
        if *self.came.get_or_insert(part) != part {
            return Err(malformed("chunk 与 row 不能混用", "chunks and rows do not go together"));
        }
        Ok(())
    }
}

/// A job that is watched.
struct Watch {
    desk: Arc<Desk>,
    asked: Permitted<ReadJob>,
    caller: Arc<Caller>,
    told: Option<wire::ImportJob>,
    next: Option<JobView>,
}

impl Watch {
    /// The job, once it is not as it was told; none after its end.
    async fn view(&mut self) -> Option<Result<wire::ImportJob, Status>> {
        if self.told.as_ref().is_some_and(|told| told.state() != wire::ImportState::Running) {
            return None;
        }
        loop {
            let view = match self.next.take() {
                Some(first) => Ok(first),
                None => {
                    tokio::time::sleep(LOOK).await;
                    self.desk.services.import(&self.asked)
                }
            };
            let view = match view {
                Ok(view) => job(&view, self.caller.language),
                Err(error) => {
                    self.told = Some(wire::ImportJob::default());
                    return Some(Err(self.caller.status(error.into())));
                }
            };
            if self.told.as_ref() != Some(&view) {
                self.told = Some(view.clone());
                return Some(Ok(view));
            }
        }
    }
}

/// The rows that were not registered, as they are read from their file.
struct Rejected {
    file: File,
    lines: Lines,
    is_ended: bool,
}

impl Rejected {
    async fn next(&mut self, language: Language) -> std::io::Result<Option<wire::ImportError>> {
        loop {
            while let Some(line) = self.lines.next_line() {
                // The last line of a job that runs may be half written: the next call has it.
                if let Line::Whole { bytes, .. } = line
                    && let Ok(row) = serde_json::from_slice::<ErrorRow>(&bytes)
                {
                    return Ok(Some(rejected(row, language)));
                }
            }
            if self.is_ended {
                return Ok(None);
            }
            let mut buffer = vec![0; PIECE_BYTES];
            let count = self.file.read(&mut buffer).await?;
            buffer.truncate(count);
            if count == 0 {
                self.lines.end();
                self.is_ended = true;
            } else {
                self.lines.push(buffer.into());
            }
        }
    }
}

fn rejected(row: ErrorRow, language: Language) -> wire::ImportError {
    let message = match language {
        Language::Zh => row.zh,
        Language::En => row.en,
    };
    wire::ImportError { line: row.line, column: row.column, code: row.code, message, row: row.row }
}

/// How an import is doing.
fn job(view: &JobView, language: Language) -> wire::ImportJob {
    let state = match view.state {
        JobState::Running => wire::ImportState::Running,
        JobState::Done => wire::ImportState::Done,
        JobState::Failed => wire::ImportState::Failed,
    };
    wire::ImportJob {
        id: view.id.clone(),
        state: state.into(),
        rows: Some(wire::RowCounts {
            total: view.rows.total,
            registered: view.rows.registered,
            updated: view.rows.updated,
            skipped: view.rows.skipped,
            failed: view.rows.failed,
        }),
        format: view.form.word().to_owned(),
        table: view.table.as_ref().map(|found| wire::TableFound {
            encoding: found.encoding.clone(),
            separator: found.encoding.as_ref().map(|_| found.separator.to_string()),
            sheet: found.sheet.clone(),
            columns: found.columns.clone(),
        }),
        dry_run: view.dry_run,
        atomic: view.atomic,
        bytes: view.bytes,
        bytes_done: view.bytes_done,
        started: Some(record::time(view.started)),
        ended: view.ended.map(record::time),
        failure: view.failure.as_ref().map(|failure| wire::ImportFailure {
            code: failure.code.clone(),
            detail: match language {
                Language::Zh => failure.zh.clone(),
                Language::En => failure.en.clone(),
            },
        }),
        kind: view.plan.clone().unwrap_or_else(|| "import".to_owned()),
        undoes: view.undoes.clone(),
        undone_by: view.undone_by.last().cloned(),
        sample: view.sample.clone(),
    }
}
