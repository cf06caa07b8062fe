//! A job: its state, its counters, its files. `imports/ID/` holds `input`, `errors.ndjson` and `job.json`.

use std::collections::HashMap;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::course::{JobFile, Running};
use super::held::HeldKeys;
use super::keeping::cut_short;
use super::lanes::NewGround;
use super::parts::OpenUpload;
use super::plan::Plan;
use super::{Form, ReadJob, StartImport, TableFound};
use crate::model::permitted::Permitted;
use crate::model::principal::Scope;
use crate::model::time::Timestamp;
use crate::services::{ServiceError, Services};
use crate::store::Refusal;
use crate::store::journal::{JobTag, Tail};

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    Running,
    Done,
    Failed,
}

/// What became of the rows so far; of a dry run, what would become of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowCounts {
    pub total: u64,
    pub registered: u64,
    pub updated: u64,
    pub skipped: u64,
    pub failed: u64,
}

/// A job as its owner sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobView {
    pub id: String,
    pub state: JobState,
    pub rows: RowCounts,
    #[serde(default)]
    pub form: Form,
    /// What a table turned out to be, once it is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableFound>,
    pub dry_run: bool,
    pub atomic: bool,
    /// Bytes of the upload, and how many of them are worked off.
    pub bytes: u64,
    pub bytes_done: u64,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// Why it failed as a whole; a stable code and a sentence.
    pub failure: Option<Failure>,
    /// What was uploaded, as one digest; absent without an idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<String>,
    /// The digest of its idempotency key, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it does, where that is no import of a file: `undo` or `bulk`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Of an undo: the job that it takes back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
    /// The jobs that have taken it back, or tried to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone_by: Vec<String>,
    /// Of a change in bulk: the first identifiers that match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sample: Vec<String>,
    /// What its rows may touch.
    #[serde(default, skip_serializing_if = "Scope::is_node")]
    pub scope: Scope,
}

/// Why a job failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub code: String,
    pub zh: String,
    pub en: String,
}

/// A row that was not registered, with everything that its mending needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorRow {
    pub line: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    pub code: String,
    pub zh: String,
    pub en: String,
    /// The row as it came.
    pub row: String,
}

/// The jobs that wait or run, and a bound on how many run. The others are read from their files.
pub struct Jobs {
    pub(super) known: Mutex<HashMap<String, Arc<Job>>>,
    /// As many places as jobs may run: who sends into it has one, who takes out gives it back.
    pub(super) turns: (crossbeam_channel::Sender<()>, crossbeam_channel::Receiver<()>),
    /// The one turn of atomic jobs. Not a channel: who holds it gives it back even if it panics.
    pub(super) atomic: Mutex<()>,
    pub(super) keys: HeldKeys,
    /// Held while it is found out whether a job is being taken back already.
    pub(super) undoing: Mutex<()>,
    /// Uploads in parts that are not whole yet.
    pub(super) open: Mutex<HashMap<String, Arc<OpenUpload>>>,
    /// How many listen to what jobs do.
    pub listeners: Arc<AtomicUsize>,
}

/// One enterprise has this part of all places at most, so that the others keep theirs.
const SHARE: usize = 8;

/// Whether there is a place for one more, with what the places that are taken may touch.
pub(super) fn has_place<'a>(most: usize, taken: impl Iterator<Item = &'a Scope>, scope: &Scope) -> bool {
    let (mut all, mut own) = (0, 0);
    for other in taken {
        all += 1;
        own += usize::from(scope.shares_with(other));
    }
    all < most && (scope.is_node() || own < most / SHARE)
}

/// One job at work.
pub(super) struct Job {
    pub id: String,
    /// The number that its frames carry.
    pub tag: JobTag,
    pub folder: PathBuf,
    pub start: StartImport,
    pub principal: String,
    pub bytes: AtomicU64,
    pub upload: Option<String>,
    pub key: Option<String>,
    pub table: Mutex<Option<TableFound>>,
    pub bytes_done: AtomicU64,
    pub total: AtomicU64,
    pub registered: AtomicU64,
    pub updated: AtomicU64,
    pub skipped: AtomicU64,
    pub failed: AtomicU64,
    pub new_ground: NewGround,
    pub errors: Mutex<Option<BufWriter<std::fs::File>>>,
    /// Bytes of rejected rows that were noted.
    pub noted_bytes: AtomicU64,
    pub end: Mutex<Option<End>>,
    pub started: Timestamp,
    pub sample: Mutex<Vec<String>>,
    /// Of a job that is found at a start: it has not ended, so nobody has.
    pub undone_by: Vec<String>,
    pub running: Mutex<Running>,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub state: JobState,
    pub at: Timestamp,
    pub failure: Option<Failure>,
}

impl Jobs {
    pub fn new(parallel: usize) -> Jobs {
        let turns = crossbeam_channel::bounded(parallel.max(1));
        Jobs {
            known: Mutex::default(),
            turns,
            atomic: Mutex::default(),
            keys: HeldKeys::default(),
            undoing: Mutex::default(),
            open: Mutex::default(),
            listeners: Arc::default(),
        }
    }

    /// Jobs that have not ended; those that wait for their turn too.
    pub fn running(&self) -> usize {
        self.known.lock().len()
    }

    /// Whether it waits or runs.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.known.lock().contains_key(id)
    }

    /// Its file tells from now on.
    pub(super) fn forget(&self, id: &str) {
        self.known.lock().remove(id);
    }
}

impl Services {
    /// How a job is doing.
    pub fn import(&self, asked: &Permitted<ReadJob>) -> Result<JobView, ServiceError> {
        let id = &asked.request().id;
        let found = self.job_within(id, &asked.principal().scope)?;
        found.ok_or_else(|| ServiceError::NotFound { what: "import", name: id.clone() })
    }

    /// The file with the rows that failed so far, one [`ErrorRow`] in JSON a line.
    pub fn import_errors(&self, asked: &Permitted<ReadJob>) -> Result<PathBuf, ServiceError> {
        let id = &asked.request().id;
        let missing = || ServiceError::NotFound { what: "import", name: id.clone() };
        self.job_within(id, &asked.principal().scope)?.ok_or_else(missing)?;
        // On a disk that stalls the flush takes its time: not under the lock that the counters and every new upload take.
        let job = self.imports.known.lock().get(id).cloned();
        if let Some(job) = job
            && let Some(errors) = job.errors.lock().as_mut()
        {
            errors.flush().map_err(|error| spool_failed(&error))?;
        }
        Ok(self.settings.imports_folder.join(id).join("errors.ndjson"))
    }

    /// A job, for who reaches all that its rows may touch: the keys of one enterprise see each other's.
    pub(super) fn job_within(&self, id: &str, scope: &Scope) -> Result<Option<JobView>, ServiceError> {
        Ok(self.job_view(id)?.filter(|view| scope.includes(&view.scope)))
    }

    pub(super) fn job_view(&self, id: &str) -> Result<Option<JobView>, ServiceError> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) || id.is_empty() || id.len() > 64 {
            return Ok(None);
        }
        if let Some(job) = self.imports.known.lock().get(id) {
            return Ok(Some(job.view()));
        }
        match std::fs::read(self.settings.imports_folder.join(id).join("job.json")) {
            Ok(bytes) => {
                let view: JobView = serde_json::from_slice(&bytes)?;
                // The disk may have been too full for its end to be written.
                Ok(Some(if view.state == JobState::Running { cut_short(view) } else { view }))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(spool_failed(&error)),
        }
    }
}

impl Job {
    pub fn view(&self) -> JobView {
        let end = self.end.lock().clone();
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JobView {
            id: self.id.clone(),
            state: end.as_ref().map_or(JobState::Running, |end| end.state),
            rows: self.counts(),
            form: self.start.form.clone(),
            table: self.table.lock().clone(),
            dry_run: self.start.dry_run,
            atomic: self.start.atomic,
            bytes: count(&self.bytes),
            bytes_done: count(&self.bytes_done),
            started: self.started,
            ended: end.as_ref().map(|end| end.at),
            failure: end.and_then(|end| end.failure),
            upload: self.upload.clone(),
            key: self.key.clone(),
            plan: self.start.plan.as_ref().map(|plan| plan.word().to_owned()),
            undoes: match &self.start.plan {
                Some(Plan::Undo(undo)) => Some(undo.of.clone()),
                _ => None,
            },
            undone_by: self.undone_by.clone(),
            sample: self.sample.lock().clone(),
            scope: self.start.scope.clone(),
        }
    }

    pub fn counts(&self) -> RowCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RowCounts {
            total: count(&self.total),
            registered: count(&self.registered),
            updated: count(&self.updated),
            skipped: count(&self.skipped),
            failed: count(&self.failed),
        }
    }

    pub fn save(&self) -> std::io::Result<()> {
        let course = self.running.lock().course.clone();
        JobFile { view: self.view(), course: Some(course) }.write(&self.folder)
    }

    /// Notes what its table turned out to be. Also in its file: after a stop the error file is read by it.
    pub(super) fn found(&self, found: &TableFound) -> std::io::Result<()> {
        *self.table.lock() = Some(found.clone());
        self.save()
    }

    /// Makes the names of its file and folders durable, up to the folder that the jobs' folder lies in.
    pub(super) fn sync_folders(&self) -> std::io::Result<()> {
        self.folder.ancestors().take(3).try_for_each(|folder| std::fs::File::open(folder)?.sync_all())
    }

    /// Notes a row that was not registered.
    pub fn reject(&self, row: &ErrorRow) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let written = serde_json::to_vec(row).map_err(std::io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.noted_bytes.fetch_add(line.len() as u64, Ordering::Relaxed);
            self.errors.lock().as_mut().map_or(Ok(()), |errors| errors.write_all(&line))
        });
        if let Err(error) = written {
            tracing::warn!(%error, job = self.id, line = row.line, "a rejected row could not be noted");
        }
    }

    /// Ends the job, and says whether its file tells so. The uploaded bytes are not needed any more.
    pub fn finish(&self, failure: Option<Failure>, tail: Tail) -> bool {
        self.running.lock().course.until = Some(tail);
        if let Some(mut errors) = self.errors.lock().take()
            && let Err(error) = errors.flush()
        {
            tracing::warn!(%error, job = self.id, "the error file is not complete");
        }
        let state = if failure.is_some() { JobState::Failed } else { JobState::Done };
        let end = End { state, at: Timestamp::now(), failure };
        let view = JobView { state, ended: Some(end.at), failure: end.failure.clone(), ..self.view() };
        let course = self.running.lock().course.clone();
        let saved = JobFile { view, course: Some(course) }.write(&self.folder);
        if let Err(error) = &saved {
            tracing::warn!(%error, job = self.id, "the job's end could not be written");
        }
        let _ = std::fs::remove_file(self.folder.join("input"));
        // Told last: who hears of it may ask at once for what the file says.
        *self.end.lock() = Some(end);
        saved.is_ok()
    }
}

pub(super) fn write_replacing(path: &std::path::Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = std::fs::File::create(&temporary)?;
    // Durable before it has its name: an empty file would be a job that nobody can read.
    file.write_all(bytes).and_then(|()| file.sync_data())?;
    std::fs::rename(temporary, path)
}

pub(super) fn spool_failed(error: &std::io::Error) -> ServiceError {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            ServiceError::Refused(Refusal::Full { needed_bytes: 0 })
        }
        _ => ServiceError::Internal(format!("the upload could not be kept: {error}")),
    }
}
