//! The work of a job: what the lanes have prepared is committed, in the order of the file.
//!
//! A name that occurs twice in a window is decided the second time after the first is committed, and one that a window
//! before has changed meanwhile is decided anew.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::atomic::atomic;
use super::course::DoneBefore;
use super::job::{ErrorRow, Failure, Job};
use super::lanes::{Fate, Piece, Prepared, WINDOWS_IN_FLIGHT, decided, in_lanes};
use super::lines::Line;
use super::plan::spool;
use super::row::{Fault, Wanted, of_service};
use super::table::TableError;
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::text::Text;
use crate::services::register::Attempt;
use crate::services::{ServiceError, Services};
use crate::store::journal::Effect;
use crate::store::{Outcome, Proposal, Refusal};

/// How often a row is decided anew when others change the same record.
const ATTEMPTS: usize = 8;

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

fn row_by_row(services: &Services, job: &Job) -> Result<(), Failed> {
    let mut changed = Changed::default();
    let mut done = services.rows_done_before(job)?;
    in_lanes(services, job, |piece| {
        let rows = piece.rows.len();
        commit(services, job, &mut changed, &mut done, piece)?;
        job.stepped(rows, services.store.tail());
        Ok(())
    })
}

/// The names of the rows that were committed lately: what a lane has decided about one of them may be out of date.
///
/// A change that has moved is found by the sequencer; a row that was skipped or refused never comes to it.
#[derive(Default)]
struct Changed {
    windows: VecDeque<HashSet<CanonicalKey>>,
}

impl Changed {
    fn begin_window(&mut self) {
        self.windows.push_back(HashSet::new());
        if self.windows.len() > WINDOWS_IN_FLIGHT {
            self.windows.pop_front();
        }
    }

    fn add(&mut self, key: &CanonicalKey) {
        if let Some(window) = self.windows.back_mut() {
            window.insert(key.clone());
        }
    }

    fn contains(&self, key: &CanonicalKey) -> bool {
        self.windows.iter().any(|window| window.contains(key))
    }
}

/// Commits a piece of a window, then what has to be decided anew.
fn commit(
    services: &Services,
    job: &Job,
    changed: &mut Changed,
    done: &mut DoneBefore,
    mut piece: Piece,
) -> Result<(), Failed> {
    if piece.is_first {
        changed.begin_window();
    }
    let bytes = piece.rows.iter().map(|row| row.line.spent).sum();
    piece.rows.retain(|row| match row.fate.name().and_then(|key| Some((key, done.take(key)?))) {
        None => true,
        Some((key, effect)) => {
            changed.add(key);
            count(job, effect);
            false
        }
    });
    let mut again = together(services, job, changed, piece.rows, false)?;
    // Many where names were taken for new that are not: one fsync a row would take a second a window.
    if again.len() > 1 {
        let mut names = HashSet::with_capacity(again.len());
        let decide_anew = |(line, wanted): (Line, Wanted)| match names.insert(wanted.key().clone()) {
            true => Prepared { line, fate: decided(services, job, wanted) },
            false => Prepared { line, fate: Fate::Later(wanted) },
        };
        let rows = again.into_iter().map(decide_anew).collect();
        again = together(services, job, changed, rows, true)?;
    }
    for (line, wanted) in again {
        one(services, job, &line, wanted)?;
    }
    job.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Commits rows together; gives those that have to be decided anew, in their order. `fresh`: they were decided after
/// everything before them was committed, so what is to be skipped or refused stays so.
fn together(
    services: &Services,
    job: &Job,
    changed: &mut Changed,
    rows: Vec<Prepared>,
    fresh: bool,
) -> Result<Vec<(Line, Wanted)>, Failed> {
    let mut proposals = Vec::with_capacity(rows.len());
    let mut waiting = Vec::with_capacity(rows.len());
    let mut again = Vec::new();
    for Prepared { line, fate } in rows {
        match fate {
            // A row before it, which will be committed later, may give up or take one of its names.
            Fate::Commit(wanted, proposal) if !again.is_empty() && !proposal.record.aliases.is_empty() => {
                changed.add(wanted.key());
                again.push((line, wanted));
            }
            Fate::Commit(wanted, proposal) => {
                changed.add(wanted.key());
                waiting.push((line, wanted, proposal.effect));
                proposals.push(Proposal::Entry(*proposal));
            }
            Fate::Later(wanted) => {
                changed.add(wanted.key());
                again.push((line, wanted));
            }
            Fate::Skipped(wanted) | Fate::Refused(wanted, _) if !fresh && changed.contains(wanted.key()) => {
                again.push((line, wanted));
            }
            Fate::Would(_, effect, _) => count(job, effect),
            Fate::Skipped(_) => {
                job.skipped.fetch_add(1, Ordering::Relaxed);
            }
            Fate::Refused(_, fault) | Fate::Failed(fault) => reject(job, &line, fault),
        }
    }
    if !proposals.is_empty() {
        commit_all(services, job, proposals, waiting, &mut again)?;
    }
    again.sort_by_key(|(line, _)| line.number);
    Ok(again)
}

/// Commits rows together; adds to `again` those that are to be decided anew, one by one.
fn commit_all(
    services: &Services,
    job: &Job,
    proposals: Vec<Proposal>,
    waiting: Vec<(Line, Wanted, Effect)>,
    again: &mut Vec<(Line, Wanted)>,
) -> Result<(), Failed> {
    let mut stop = None;
    let outcomes = services.store.commit_blocking(proposals, false);
    for (outcome, (line, wanted, effect)) in outcomes.into_iter().zip(waiting) {
        match outcome {
            Outcome::Committed(_) => count(job, effect),
            Outcome::Moved(_) => {
                job.new_ground.saw(true);
                again.push((line, wanted));
            }
            // Too large together, perhaps not alone; not read now, perhaps in a moment.
            Outcome::Refused(Refusal::TooLarge { .. } | Refusal::ReadFailed(_)) => again.push((line, wanted)),
            // Who bears the name may give it up by a row before this one that is still to come.
            Outcome::AliasTaken { .. } if !again.is_empty() => again.push((line, wanted)),
            // Others of the same group may have been committed, and are counted first.
            Outcome::Refused(refusal) => stop = stop.or(Some(refusal)),
            other => reject(job, &line, of_service(&complaint(&other, &wanted.identifier), &job.start)),
        }
    }
    stop.map_or(Ok(()), |refusal| Err(stopped_by(job, &refusal)))
}

/// Decides and commits one row, anew where others got in between.
fn one(services: &Services, job: &Job, line: &Line, mut wanted: Wanted) -> Result<(), Failed> {
    for _ in 0..ATTEMPTS {
        match decided(services, job, wanted) {
            Fate::Commit(same, proposal) => {
                wanted = same;
                let (record, effect) = (Arc::clone(&proposal.record), proposal.effect);
                let outcome = services.store.commit_blocking(vec![Proposal::Entry(*proposal)], false).pop();
                match services.judge(outcome, &record, effect) {
                    Ok(Attempt::Done(_)) => {
                        count(job, effect);
                        return Ok(());
                    }
                    Ok(Attempt::Moved) => {}
                    // Of this row alone: too large, or what stands there cannot be read.
                    Err(ServiceError::Refused(refusal))
                        if !matches!(refusal, Refusal::TooLarge { .. } | Refusal::ReadFailed(_)) =>
                    {
                        return Err(stopped_by(job, &refusal));
                    }
                    Err(error) => {
                        reject(job, line, of_service(&error, &job.start));
                        return Ok(());
                    }
                }
            }
            Fate::Refused(_, fault) | Fate::Failed(fault) => {
                reject(job, line, fault);
                return Ok(());
            }
            Fate::Would(_, effect, _) => {
                count(job, effect);
                return Ok(());
            }
            Fate::Skipped(_) | Fate::Later(_) => {
                job.skipped.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
    let error = ServiceError::Conflict { identifier: wanted.identifier.spelling().to_owned() };
    reject(job, line, of_service(&error, &job.start));
    Ok(())
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
