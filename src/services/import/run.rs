//! The work of a job, from its turn to its end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::atomic::atomic;
use super::commit::row_by_row;
use super::job::{ErrorRow, Failure, Job};
use super::lines::Line;
use super::plan::spool;
use super::row::Fault;
use super::table::TableError;
use crate::model::identifier::Identifier;
use crate::model::text::Text;
use crate::services::{ServiceError, Services};
use crate::store::journal::Effect;
use crate::store::{Outcome, Refusal};

/// What is no fault of a job's.
const LEFT_TO_THE_NEXT_START: [&str; 2] = ["draining", "storage_poisoned"];

/// Runs a job to its end. Waits for its turn first.
pub(super) fn run(services: &Arc<Services>, turns: &(Sender<()>, Receiver<()>), job: &Arc<Job>) {
    // Those who read and sign for the job are begun by this thread.
    crate::store::step_back("import");
    // It holds all its rows in memory: one at a time does, and waits for that before it takes a turn from others.
    let _alone = job.start.atomic.then(|| services.imports.atomic.lock());
    // A full channel is a full house: `send` waits until somebody leaves.
    if turns.0.send(()).is_err() {
        return;
    }
    let work = || {
        job.attempt()?;
        if let Some(plan) = &job.start.plan {
            spool(services, job, plan)?;
        }
        if job.start.atomic { atomic(services, job) } else { row_by_row(services, job) }
    };
    // A row that makes a thread panic must not leave a job that never ends, nor keep its turn.
    let failure = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(internal("a job panicked")));
    match failure {
        // The node ends, and the next start goes on with it: until then it is a job that runs.
        Err(Failed(failure)) if LEFT_TO_THE_NEXT_START.contains(&failure.code.as_str()) => {
            if let Err(error) = job.note_step() {
                tracing::warn!(%error, job = job.id, "how far an import has come could not be noted");
            }
            tracing::info!(job = job.id, code = failure.code, "an import waits for the next start");
        }
        ended => {
            let failure = ended.err().map(|Failed(failure)| failure);
            if let Some(failure) = &failure {
                tracing::warn!(job = job.id, code = failure.code, "an import ended before its last row");
            }
            if job.finish(failure, services.store.tail()) {
                services.imports.forget(&job.id);
            }
        }
    }
    let _ = turns.1.try_recv();
}

/// The job cannot go on.
pub(super) struct Failed(pub Failure);

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Failed {
        tracing::error!(%error, "an upload could not be read back");
        failed("internal", Text::new("上传文件读取失败，详见日志", "the upload could not be read back, see the log"))
    }
}

impl From<TableError> for Failed {
    fn from(error: TableError) -> Failed {
        match error {
            TableError::Io(error) => error.into(),
            TableError::Wrong(code, text) => failed(code, text),
        }
    }
}

pub(super) fn failed(code: &str, text: Text) -> Failed {
    Failed(Failure { code: code.to_owned(), zh: text.zh, en: text.en })
}

pub(super) fn complaint(outcome: &Outcome, identifier: &Identifier) -> ServiceError {
    let identifier = identifier.spelling().to_owned();
    match outcome {
        Outcome::AliasTaken { alias, .. } => ServiceError::AliasTaken { alias: alias.clone() },
        Outcome::Erased => ServiceError::Gone { identifier },
        Outcome::Damaged(cause) => ServiceError::RecordDamaged { identifier, cause: cause.clone() },
        _ => ServiceError::Conflict { identifier },
    }
}

/// Ends a job because the store takes no more, and says what to do about its rows.
pub(super) fn stopped_by(job: &Job, refusal: &Refusal) -> Failed {
    let error = ServiceError::Refused(refusal.clone());
    let text = error.text();
    let (zh, en) = match refusal {
        _ if !job.start.atomic => (
            "排除后用 on_conflict=skip 重新导入，已登记的行会被跳过",
            "then import again with on_conflict=skip, rows that are registered are skipped",
        ),
        // What became of the group is not known; it is one group all the same.
        Refusal::Poisoned(_) => (
            "整个文件要么全部登记，要么完全没有；之后请重新导入",
            "all rows are registered or none: import the file again",
        ),
        _ => (
            "整个文件未登记任何内容，排除后请重新导入",
            "nothing of the file was registered: import it again after that",
        ),
    };
    failed(error.code(), Text::new(format!("{}。{zh}", text.zh), format!("{}; {en}", text.en)))
}

pub(super) fn internal(cause: &'static str) -> Failed {
    tracing::error!(cause, "an import failed");
    failed("internal", Text::new("节点内部错误，已记入日志", "an internal error, noted in the log"))
}

pub(super) fn count(job: &Job, effect: Effect) {
    let counter = if effect == Effect::Created { &job.registered } else { &job.updated };
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What is told of a line over the limit: enough to find it. It could not be given back whole, and files of such lines
/// would double what an upload takes of the disk.
const TOLD_OF_CUT: usize = 1024;

pub(super) fn reject(job: &Job, line: &Line, fault: Fault) {
    let told = if line.cut { line.bytes.get(..TOLD_OF_CUT) } else { None };
    job.reject(&ErrorRow {
        line: line.number,
        column: fault.column,
        code: fault.code,
        zh: fault.text.zh,
        en: fault.text.en,
        row: String::from_utf8_lossy(told.unwrap_or(&line.bytes)).into_owned(),
    });
}
