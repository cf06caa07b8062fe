//! What the lanes have prepared is committed, in the order of the file.
//!
//! A name that occurs twice in a window is decided the second time after the first is committed, and one that a window
//! before has changed meanwhile is decided anew.
//!
//! A piece whose rows stand apart from those of the piece before is handed over while that one is still under way: the
//! sequencer has it at hand, and its outcomes are counted while the next is committed. How far the job has come is only
//! noted while nothing is under way, so that a stop finds all that was committed behind that place.

use std::collections::{HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::course::{DoneBefore, STEP_INTERVAL};
use super::job::Job;
use super::lanes::{Fate, PIECE_BYTES, Piece, Prepared, WINDOWS_IN_FLIGHT, again, few_errors, in_lanes};
use super::lines::{Line, Rows};
use super::row::{Fault, Shape, of_service};
use super::run::{Failed, complaint, count, internal, reject, stopped_by};
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;
use crate::services::register::Attempt;
use crate::services::{ServiceError, Services};
use crate::store::journal::Effect;
use crate::store::{Expect, Outcome, Proposal, Refusal, UnderWay};

/// How often a row is decided anew when others change the same record.
const ATTEMPTS: usize = 8;

/// Commits a job's rows one by one, whatever becomes of the others.
pub(super) fn row_by_row(services: &Services, job: &Job) -> Result<(), Failed> {
    let (rows, shape) = Rows::open(services, job)?;
    let mut committer = Committer {
        services,
        job,
        shape: shape.as_ref(),
        changed: Changed::default(),
        done: services.rows_done_before(job)?,
        ahead: None,
        settled: Settled { rows: 0, is_exact: true, since: Instant::now() },
    };
    let work = || in_lanes(services, job, rows, shape.as_ref(), |piece| committer.take(piece));
    let taken = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        committer.settled.is_exact = false;
        Err(internal("a lane panicked"))
    });
    // What is under way is counted whatever has ended the work.
    taken.and(committer.settle()).and_then(|()| few_errors(services, job))
}

struct Committer<'a> {
    services: &'a Services,
    job: &'a Job,
    shape: Option<&'a Shape>,
    changed: Changed,
    done: DoneBefore,
    /// A piece that is under way.
    ahead: Option<Ahead>,
    settled: Settled,
}

/// A piece that was handed over, and nobody has waited for it yet.
struct Ahead {
    under_way: UnderWay,
    rest: Rest,
    /// Whether another was under way then.
    is_behind: bool,
}

/// What remains of a piece when its proposals are handed over.
#[derive(Default)]
struct Rest {
    waiting: Vec<(Line, Arc<Record>, Effect)>,
    failed: Vec<(Line, Fault)>,
    /// To be decided anew, whatever becomes of the proposals.
    again: Vec<Line>,
    rows: usize,
    /// Bytes of the upload that they had.
    bytes: u64,
}

/// Rows that have their outcome since the last step.
struct Settled {
    rows: usize,
    /// Whether these are all rows up to a place in the file: not behind a piece that was given up.
    is_exact: bool,
    since: Instant,
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

    /// The window before the one that was begun last. Within a window no name is committed twice at once.
    fn before(&self) -> Option<&HashSet<CanonicalKey>> {
        self.windows.iter().rev().nth(1)
    }
}

impl Committer<'_> {
    /// Commits a piece of a window, then what has to be decided anew.
    fn take(&mut self, mut piece: Piece) -> Result<(), Failed> {
        if piece.is_first {
            self.changed.begin_window();
        }
        let (rows, bytes) = (piece.rows.len(), piece.rows.iter().map(|row| row.line.spent).sum());
        // While rows that were committed before a stop are still to come, nothing goes ahead and no step is noted: it would
        // stand behind their frames, and the next start would not find them.
        let stands_apart = self.done.is_empty() && self.stands_apart(&piece.rows);
        if !stands_apart {
            self.settle()?;
        }
        piece.rows.retain(|row| match row.fate.name().and_then(|key| Some((key, self.done.take(key)?))) {
            None => true,
            Some((key, effect)) => {
                self.changed.add(key);
                count(self.job, effect);
                false
            }
        });
        let (mut proposals, rest) = self.sorted(piece.rows, false);
        let rest = Rest { rows, bytes, ..rest };
        if stands_apart {
            match self.services.store.commit_ahead(proposals) {
                Ok(under_way) => {
                    let before = self.ahead.take();
                    self.ahead = Some(Ahead { under_way, rest, is_behind: before.is_some() });
                    if let Some(before) = before {
                        self.finish(before)?;
                    }
                    return if self.settled.since.elapsed() < STEP_INTERVAL { Ok(()) } else { self.settle() };
                }
                Err(back) => proposals = back,
            }
            self.settle()?;
        }
        let outcomes = self.committed(proposals);
        self.outcomes(outcomes, rest, false)?;
        self.settle()
    }

    /// Whether it makes no difference to these rows what becomes of the piece that is under way: all are new records of other
    /// names, and none takes an alias. (A change may give one up.)
    fn stands_apart(&self, rows: &[Prepared]) -> bool {
        let before = self.changed.before().filter(|_| self.ahead.is_some());
        rows.iter().all(|row| match &row.fate {
            Fate::Commit(proposal) => {
                let record = &proposal.record;
                let is_new = proposal.expect == Expect::Absent && record.aliases.is_empty();
                is_new && before.is_none_or(|names| !names.contains(record.identifier.key()))
            }
            Fate::Failed(_) => true,
            _ => false,
        })
    }

    /// Waits for what is under way, and notes how far the job has come.
    fn settle(&mut self) -> Result<(), Failed> {
        if let Some(ahead) = self.ahead.take() {
            self.finish(ahead)?;
        }
        if self.settled.is_exact && self.settled.rows > 0 && self.done.is_empty() {
            self.job.stepped(self.settled.rows, self.services.store.tail());
            self.settled = Settled { rows: 0, is_exact: true, since: Instant::now() };
        }
        Ok(())
    }

    fn finish(&mut self, ahead: Ahead) -> Result<(), Failed> {
        self.outcomes(ahead.under_way.outcomes(), ahead.rest, ahead.is_behind)
    }

    /// Counts what became of a piece, then decides anew what has to be. `is_behind`: it was handed over before what had to be
    /// decided anew of the piece before it was.
    fn outcomes(&mut self, outcomes: Vec<Outcome>, rest: Rest, is_behind: bool) -> Result<(), Failed> {
        let (rows, bytes) = (rest.rows, rest.bytes);
        let ended = self.counted(outcomes, rest, is_behind).and_then(|left| self.decided_anew(left));
        match ended {
            Ok(()) => {
                self.settled.rows += rows;
                self.job.bytes_done.fetch_add(bytes, Ordering::Relaxed);
            }
            // What follows is counted, but no place in the file has all before it behind it any more.
            Err(_) => self.settled.is_exact = false,
        }
        ended
    }

    fn committed(&self, proposals: Vec<Proposal>) -> Vec<Outcome> {
        if proposals.is_empty() { Vec::new() } else { self.services.store.commit_blocking(proposals, false) }
    }

    fn decided_anew(&mut self, left: Vec<Line>) -> Result<(), Failed> {
        let mut lines = left.into_iter();
        while lines.len() > 1 {
            // Many where names were taken for new that are not: one fsync a row would take a second a window.
            let rows = self.some_anew(&mut lines);
            let (proposals, rest) = self.sorted(rows, true);
            let outcomes = self.committed(proposals);
            let left = self.counted(outcomes, rest, false)?;
            left.into_iter().try_for_each(|mut line| self.one(&mut line))?;
        }
        lines.try_for_each(|mut line| self.one(&mut line))
    }

    /// The next lines decided anew, no more at once than a lane hands on.
    fn some_anew(&self, lines: &mut impl Iterator<Item = Line>) -> Vec<Prepared> {
        let (mut rows, mut names, mut bytes) = (Vec::new(), HashSet::new(), 0);
        for mut line in lines {
            let fate = match again(self.services, self.job, self.shape, &mut line) {
                fate if fate.name().is_none_or(|key| names.insert(key.clone())) => fate,
                fate => fate.name().cloned().map_or(fate, Fate::Later),
            };
            bytes += fate.bytes();
            rows.push(Prepared { line, fate });
            if bytes >= PIECE_BYTES {
                break;
            }
        }
        rows
    }

    /// Rows as what is proposed of them, and what remains. `fresh`: they were decided after everything before them was
    /// committed, so what is to be skipped or refused stays so.
    fn sorted(&mut self, rows: Vec<Prepared>, fresh: bool) -> (Vec<Proposal>, Rest) {
        let mut proposals = Vec::with_capacity(rows.len());
        let mut rest = Rest { waiting: Vec::with_capacity(rows.len()), ..Rest::default() };
        for Prepared { line, fate } in rows {
            match fate {
                // A row before it, which will be committed later, may give up or take one of its names.
                Fate::Commit(proposal) if !rest.again.is_empty() && !proposal.record.aliases.is_empty() => {
                    self.changed.add(proposal.record.identifier.key());
                    rest.again.push(line);
                }
                Fate::Commit(proposal) => {
                    self.changed.add(proposal.record.identifier.key());
                    rest.waiting.push((line, Arc::clone(&proposal.record), proposal.effect));
                    proposals.push(Proposal::Entry(*proposal));
                }
                Fate::Later(key) => {
                    self.changed.add(&key);
                    rest.again.push(line);
                }
                Fate::Skipped(key) | Fate::Refused(key, _) if !fresh && self.changed.contains(&key) => {
                    rest.again.push(line);
                }
                Fate::Would(_, effect, _) => count(self.job, effect),
                Fate::Skipped(_) => {
                    self.job.skipped.fetch_add(1, Ordering::Relaxed);
                }
                Fate::Refused(_, fault) | Fate::Failed(fault) => rest.failed.push((line, fault)),
            }
        }
        (proposals, rest)
    }

    /// Counts outcomes; gives the lines that have to be decided anew, in their order.
    fn counted(&self, outcomes: Vec<Outcome>, rest: Rest, is_behind: bool) -> Result<Vec<Line>, Failed> {
        let job = self.job;
        let (mut again, mut stop) = (rest.again, None);
        rest.failed.into_iter().for_each(|(line, fault)| reject(job, &line, fault));
        for (outcome, (line, record, effect)) in outcomes.into_iter().zip(rest.waiting) {
            match outcome {
                Outcome::Committed(_) => count(job, effect),
                Outcome::Moved(_) => {
                    job.new_ground.saw(true);
                    again.push(line);
                }
                // Too large together, perhaps not alone; not read now, perhaps in a moment.
                Outcome::Refused(Refusal::TooLarge { .. } | Refusal::ReadFailed(_)) => again.push(line),
                // Who bears the name may give it up by a row before this one that is still to come, or was.
                Outcome::AliasTaken { .. } if !again.is_empty() || is_behind => again.push(line),
                // Others of the same group may have been committed, and are counted first.
                Outcome::Refused(refusal) => stop = stop.or(Some(refusal)),
                other => reject(job, &line, of_service(&complaint(&other, &record.identifier), &job.start)),
            }
        }
        again.sort_by_key(|line| line.number);
        stop.map_or(Ok(again), |refusal| Err(stopped_by(job, &refusal)))
    }

    /// Decides and commits one row, anew where others got in between.
    fn one(&self, line: &mut Line) -> Result<(), Failed> {
        let (services, job) = (self.services, self.job);
        let mut identifier = String::new();
        for _ in 0..ATTEMPTS {
            match again(services, job, self.shape, line) {
                Fate::Commit(proposal) => {
                    let (record, effect) = (Arc::clone(&proposal.record), proposal.effect);
                    let outcome = services.store.commit_blocking(vec![Proposal::Entry(*proposal)], false).pop();
                    match services.judge(outcome, &record, effect) {
                        Ok(Attempt::Done(_)) => {
                            count(job, effect);
                            return Ok(());
                        }
                        Ok(Attempt::Moved) => record.identifier.spelling().clone_into(&mut identifier),
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
        let error = ServiceError::Conflict { identifier };
        reject(job, line, of_service(&error, &job.start));
        Ok(())
    }
}
