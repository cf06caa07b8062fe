//! The work of a job: read rows, decide and sign them in lanes beside one another, commit them window by window.
//!
//! While one window is being committed the next ones are being prepared. Rows keep their order where it matters: windows
//! are committed in the order of the file; a name that occurs twice in a window is decided the second time after the
//! first is committed, and one that a window before has changed meanwhile is decided anew.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::atomic::atomic;
use super::job::{ErrorRow, Failure, Job};
use super::lines::{Line, Rows};
use super::row::{Decision, Fault, Shape, Wanted, of_service};
use super::table::TableError;
use crate::model::identifier::CanonicalKey;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::register::Attempt;
use crate::services::{ServiceError, Services};
use crate::store::journal::Effect;
use crate::store::{EntryProposal, Outcome, Proposal, Refusal};

/// How often a row is decided anew when others change the same record.
const ATTEMPTS: usize = 8;
/// Signed bytes that are committed at once, about: a mapping can make much of a short row.
const COMMIT_BYTES: usize = 8 << 20;

/// A row on its way.
pub(super) struct Prepared {
    pub line: Line,
    pub fate: Fate,
}

pub(super) enum Fate {
    Commit(Wanted, Box<EntryProposal>),
    /// The name occurs earlier in the window: decide when that one is committed.
    Later(Wanted),
    Skipped,
    Failed(Fault),
}

/// Runs a job to its end. Waits for its turn first.
pub(super) fn run(services: &Arc<Services>, turns: &(Sender<()>, Receiver<()>), job: &Arc<Job>) {
    // It holds all its rows in memory: one at a time does, and waits for that before it takes a turn from others.
    let _alone = job.start.atomic.then(|| services.imports.atomic.lock());
    // A full channel is a full house: `send` waits until somebody leaves.
    if turns.0.send(()).is_err() {
        return;
    }
    let work = || if job.start.atomic { atomic(services, job) } else { row_by_row(services, job) };
    // A row that makes a thread panic must not leave a job that never ends, nor keep its turn.
    let failure = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(internal("a job panicked")));
    if let Err(Failed(failure)) = &failure {
        tracing::warn!(job = job.id, code = failure.code, "an import ended before its last row");
    }
    if job.finish(failure.err().map(|Failed(failure)| failure)) {
        services.imports.forget(&job.id);
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
    in_lanes(services, job, |window| commit(services, job, window))
}

/// Threads that decide and sign: as many as there are cores, no more than the committing thread can keep up with.
const MOST_LANES: usize = 4;

/// Reads the upload window by window, prepares the windows in lanes beside one another, and hands them on in their order.
///
/// ```text
/// reader -> lane 0: windows 0, 2, 4, ... \
///        -> lane 1: windows 1, 3, 5, ... -> take: 0, 1, 2, 3, ...
/// ```
///
/// Each channel holds one window, so memory is bounded by three windows a lane. Who ends early drops its channels, and
/// all others end with it.
pub(super) fn in_lanes(
    services: &Services,
    job: &Job,
    mut take: impl FnMut(Vec<Prepared>) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let lanes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MOST_LANES);
    let (mut rows, shape) = Rows::open(services, job)?;
    let shape = shape.as_ref();
    std::thread::scope(|scope| {
        let (mut entries, mut exits) = (Vec::with_capacity(lanes), Vec::with_capacity(lanes));
        for _ in 0..lanes {
            let (entry, windows) = bounded::<Vec<Line>>(1);
            let (prepared, exit) = bounded::<Vec<Prepared>>(1);
            entries.push(entry);
            exits.push(exit);
            let lane = move || {
                for window in windows {
                    if prepared.send(prepare(services, job, shape, window)).is_err() {
                        break;
                    }
                }
            };
            std::thread::Builder::new().name("import-sign".to_owned()).spawn_scoped(scope, lane)?;
        }
        let reader = move || read_windows(services, job, &mut rows, &entries);
        let reader = std::thread::Builder::new().name("import-read".to_owned()).spawn_scoped(scope, reader)?;
        let taken = exits.iter().cycle().map_while(|exit| exit.recv().ok()).try_for_each(&mut take);
        drop(exits);
        let read = reader.join().unwrap_or_else(|_| Err(internal("the reading thread panicked")));
        taken.and(read)
    })
}

fn read_windows(services: &Services, job: &Job, rows: &mut Rows, entries: &[Sender<Vec<Line>>]) -> Result<(), Failed> {
    for entry in entries.iter().cycle() {
        if let Some(needed_bytes) = (services.store.room())() {
            // Also rows that are only noted as wrong take room.
            return Err(stopped_by(job, &Refusal::Full { needed_bytes }));
        }
        let window = rows.window()?;
        job.total.fetch_add(window.len() as u64, Ordering::Relaxed);
        if window.is_empty() || entry.send(window).is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads, decides and signs a window's rows.
fn prepare(services: &Services, job: &Job, shape: Option<&Shape>, window: Vec<Line>) -> Vec<Prepared> {
    let now = Timestamp::now();
    let mut names: HashSet<CanonicalKey> = HashSet::with_capacity(window.len());
    let prepare_row = |mut line: Line| {
        let fate = match services.wanted(&mut line, shape, &job.start, now) {
            Err(fault) => Fate::Failed(fault),
            Ok(wanted) if !names.insert(wanted.key().clone()) => Fate::Later(wanted),
            Ok(wanted) => decided(services, job, wanted),
        };
        Prepared { line, fate }
    };
    window.into_iter().map(prepare_row).collect()
}

fn decided(services: &Services, job: &Job, wanted: Wanted) -> Fate {
    match services.decide_row(&wanted, &job.start, &job.principal) {
        Ok(Decision::Register(proposal)) => Fate::Commit(wanted, proposal),
        Ok(Decision::Skip) => Fate::Skipped,
        Err(error) => Fate::Failed(of_service(&error, &job.start)),
    }
}

/// Commits a window, then what had to wait for it.
fn commit(services: &Services, job: &Job, window: Vec<Prepared>) -> Result<(), Failed> {
    let mut proposals = Vec::with_capacity(window.len());
    let mut waiting = Vec::with_capacity(window.len());
    let mut again = Vec::new();
    let mut moved = Vec::new();
    let (mut bytes, mut signed_bytes) = (0, 0);
    for Prepared { line, fate } in window {
        bytes += line.spent;
        match fate {
            Fate::Commit(wanted, proposal) => {
                signed_bytes += proposal.statement.len() + proposal.disclosures.len();
                waiting.push((line, wanted, proposal.effect));
                proposals.push(Proposal::Entry(*proposal));
                if signed_bytes >= COMMIT_BYTES {
                    signed_bytes = 0;
                    let (proposals, waiting) = (std::mem::take(&mut proposals), std::mem::take(&mut waiting));
                    moved.append(&mut commit_some(services, job, proposals, waiting)?);
                }
            }
            Fate::Later(wanted) => again.push((line, wanted)),
            Fate::Skipped => {
                job.skipped.fetch_add(1, Ordering::Relaxed);
            }
            Fate::Failed(fault) => reject(job, &line, fault),
        }
    }
    if !proposals.is_empty() {
        moved.append(&mut commit_some(services, job, proposals, waiting)?);
    }
    for (line, wanted) in moved.into_iter().chain(again) {
        one(services, job, &line, wanted)?;
    }
    job.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    Ok(())
}

/// Commits rows together; gives those that are to be decided anew, one by one.
fn commit_some(
    services: &Services,
    job: &Job,
    proposals: Vec<Proposal>,
    waiting: Vec<(Line, Wanted, Effect)>,
) -> Result<Vec<(Line, Wanted)>, Failed> {
    let mut again = Vec::new();
    let outcomes = services.store.commit_blocking(proposals, false);
    for (outcome, (line, wanted, effect)) in outcomes.into_iter().zip(waiting) {
        match outcome {
            Outcome::Committed(_) => count(job, effect),
            // Too large together, perhaps not alone.
            Outcome::Moved(_) | Outcome::Refused(Refusal::TooLarge { .. }) => again.push((line, wanted)),
            Outcome::Refused(refusal) => return Err(stopped_by(job, &refusal)),
            other => reject(job, &line, of_service(&complaint(&other, &wanted), &job.start)),
        }
    }
    Ok(again)
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
                    Err(ServiceError::Refused(refusal)) if !matches!(refusal, Refusal::TooLarge { .. }) => {
                        return Err(stopped_by(job, &refusal));
                    }
                    Err(error) => {
                        reject(job, line, of_service(&error, &job.start));
                        return Ok(());
                    }
                }
            }
            Fate::Failed(fault) => {
                reject(job, line, fault);
                return Ok(());
            }
            Fate::Skipped | Fate::Later(_) => {
                job.skipped.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
    }
    let error = ServiceError::Conflict { identifier: wanted.identifier.spelling().to_owned() };
    reject(job, line, of_service(&error, &job.start));
    Ok(())
}

pub(super) fn complaint(outcome: &Outcome, wanted: &Wanted) -> ServiceError {
    let identifier = wanted.identifier.spelling().to_owned();
    match outcome {
        Outcome::AliasTaken { alias, .. } => ServiceError::AliasTaken { alias: alias.clone() },
        Outcome::Erased => ServiceError::Gone { identifier },
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

fn internal(cause: &'static str) -> Failed {
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
