//! The sequencer: one thread that puts all changes in order, makes them durable group by group, and then visible.
//!
//! It reads straight down; each step says what a crash there leaves behind:
//! 1. take what waits                 nothing
//! 2. check preconditions again       nothing
//! 3. append and fdatasync once       the whole group or none of it; nobody was answered
//! 4. apply to the record store       the group is durable; recovery applies it again from the journal
//! 5. tell the cache                  the same
//! 6. let the trees grow              the same; the trees are made again from the journal
//! 7. answer                          acknowledged = durable and visible
//!
//! A failure in 3 or 4 poisons the store: nothing is answered as done and nothing more is taken (`Fatal` ends the process).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::answer::{answer, refuse};
use super::apply::{self, Applier, Before, Change, Known};
use super::engine::{Engine, Mark, Table, Write};
use super::group::{Committed as Reading, Group, Pending, Planned, Waiting};
use super::handle::Room;
use super::journal::{Appended, Frame, FrameContent, FrameKind, Journal, Location, Meta, Tail};
use super::proposal::{Committed, Outcome, Proposal, Refusal};
use super::revisions::Revisions;
use super::rows::RequestRow;
use super::trees::{Grown, Trees};
use super::{Commit, Fatal, Observer};
use crate::model::time::Timestamp;

/// How much one group may hold.
#[derive(Clone, Copy, Debug)]
pub struct GroupLimits {
    pub frames: usize,
    pub bytes: usize,
}

pub(super) enum Job {
    Commit {
        proposals: Vec<Proposal>,
        atomic: bool,
        answer: oneshot::Sender<Vec<Outcome>>,
    },
    /// Seal the journal and end.
    Stop {
        done: Sender<()>,
    },
}

/// How often the sequencer looks for rows of requests that are a day old.
const FORGET_EVERY: Duration = Duration::from_secs(1);

/// State that the sequencer alone owns.
pub(super) struct Sequencer {
    pub journal: Journal,
    pub engine: Arc<dyn Engine>,
    pub applier: Applier,
    pub observer: Arc<dyn Observer>,
    pub fatal: Arc<dyn Fatal>,
    pub limits: GroupLimits,
    pub mark: Mark,
    /// Where the journal and the record store stand together, for checkpoints and for those who follow the log.
    pub settled: Arc<Mutex<Tail>>,
    /// Says how many bytes are missing, when the disk has less room than the record store's own files may need.
    pub short_of: Room,
    /// Bytes that stay free on the disk.
    pub reserve_bytes: u64,
    pub poisoned: Option<String>,
    /// How far the pass that takes old request rows away has come.
    pub forgotten_to: Option<Vec<u8>>,
    pub trees: Arc<Trees>,
    /// How many frames were erased, for whoever keeps copies of rows.
    pub erasures: Arc<AtomicU64>,
    pub revisions: Arc<Revisions>,
    /// The log was restored and nobody has decided how it goes on: nothing is appended, whoever asks (`restored`).
    pub is_held: bool,
    /// A restore's note was there at the opening. What was decided becomes the first new frame, so not even a seal goes
    /// before it: a start that fails in between must find the log as the restore left it.
    pub is_restored: bool,
}

impl Sequencer {
    pub fn run(mut self, jobs: &Receiver<Job>) {
        let mut tidied = Instant::now();
        loop {
            match jobs.recv_deadline(tidied + FORGET_EVERY) {
                Ok(first) => {
                    if let Some(done) = self.turn(first, jobs) {
                        self.seal();
                        let _ = done.send(());
                        return turn_away(jobs);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if tidied.elapsed() >= FORGET_EVERY {
                self.forget(Timestamp::now().as_seconds());
                tidied = Instant::now();
            }
        }
    }

    /// The first of a group, whatever else waits, and their commit.
    fn turn(&mut self, first: Job, jobs: &Receiver<Job>) -> Option<Sender<()>> {
        let mut group = Group::default();
        let mut stop = self.take(first, &mut group);
        while stop.is_none() && group.frames.len() < self.limits.frames && group.bytes < self.limits.bytes {
            let Ok(job) = jobs.try_recv() else { break };
            stop = self.take(job, &mut group);
        }
        self.commit(group);
        stop
    }

    fn take(&mut self, job: Job, group: &mut Group) -> Option<Sender<()>> {
        match job {
            Job::Stop { done } => return Some(done),
            Job::Commit { proposals, atomic, answer } => {
                let bytes: usize = proposals.iter().map(Proposal::bytes).sum();
                // An atomic request has a group of its own, so that withdrawing it touches nobody else.
                if !group.waiting.is_empty() && (atomic || group.bytes + bytes > self.journal.group_limit()) {
                    self.commit(std::mem::take(group));
                }
                match self.refusal(bytes) {
                    Some(refusal) => {
                        let _ = answer.send(vec![Outcome::Refused(refusal); proposals.len()]);
                    }
                    None => self.plan(proposals, atomic, answer, group),
                }
                if atomic {
                    self.commit(std::mem::take(group));
                }
            }
        }
        None
    }

    fn refusal(&self, bytes: usize) -> Option<Refusal> {
        if let Some(cause) = &self.poisoned {
            return Some(Refusal::Poisoned(cause.clone()));
        }
        if self.is_held {
            return Some(Refusal::Undecided);
        }
        let limit = self.journal.group_limit();
        if bytes > limit {
            return Some(Refusal::TooLarge { bytes, limit });
        }
        (self.short_of)().map(|needed_bytes| Refusal::Full { needed_bytes })
    }

    fn plan(
        &mut self,
        proposals: Vec<Proposal>,
        atomic: bool,
        answer: oneshot::Sender<Vec<Outcome>>,
        group: &mut Group,
    ) {
        let reader = self.journal.reader();
        let reading = Reading {
            engine: self.engine.as_ref(),
            journal: &reader,
            statements: self.applier.statements.as_ref(),
            mark: &self.mark,
            registry_size: self.journal.tail().registry_size,
            licences: self.revisions.licences.load(Ordering::Acquire),
        };
        let planned: Vec<Planned> = proposals.into_iter().map(|proposal| group.plan(proposal, &reading)).collect();
        if atomic && planned.iter().any(|fate| matches!(fate, Planned::Not(_))) {
            *group = Group::default();
            let outcomes = planned.into_iter().map(|fate| match fate {
                Planned::Not(outcome) => outcome,
                Planned::Frame(_) => Outcome::Withdrawn,
            });
            let _ = answer.send(outcomes.collect());
            return;
        }
        group.waiting.push(Waiting { planned, answer });
    }

    fn commit(&mut self, mut group: Group) {
        let waiting = std::mem::take(&mut group.waiting);
        if group.frames.is_empty() {
            answer(waiting, &[]);
            return;
        }
        let started = Instant::now();
        let (contents, pending): (Vec<FrameContent>, Vec<Applied>) =
            group.frames.into_iter().map(Applied::split).unzip();
        let (before, kinds) = (self.journal.tail(), contents.iter().map(|content| content.kind).collect::<Vec<_>>());
        let appended = match self.journal.append(&contents) {
            Ok(appended) => appended,
            Err(error) => {
                let refusal = Refusal::of_journal(&error);
                if let Refusal::Poisoned(cause) = &refusal {
                    // Nobody is answered: what was asked may be durable or not, and only a restart can tell.
                    self.poison(cause.clone());
                    return;
                }
                return refuse(waiting, &refusal);
            }
        };
        let durable = Instant::now();
        self.journal.look_ahead(self.reserve_bytes);
        let mut committed = Vec::with_capacity(appended.len());
        match self.apply(contents, pending, (&appended, started, durable), &mut committed) {
            Ok(erased) => {
                if let Err(error) = self.finish_erasures(&erased) {
                    return self.poison(error.to_string());
                }
                // Only now: a checkpoint behind an erasure says that its blanking is done.
                *self.settled.lock() = self.journal.tail();
            }
            Err(error) => return self.poison(error.to_string()),
        }
        let grown = kinds.into_iter().zip(&committed);
        let grown: Vec<Grown> =
            grown.map(|(kind, done)| Grown { kind, location: done.location, leaf: done.leaf }).collect();
        self.trees.advance(before, &grown, self.journal.tail());
        let durable = durable.saturating_duration_since(started);
        let commit = Commit { frames: committed.len(), bytes: group.bytes, durable, whole: started.elapsed() };
        self.observer.committed(&commit, self.journal.tail());
        answer(waiting, &committed);
    }

    /// Rows in, mark last, then the cache. Gives the frames whose disclosures are to be blanked.
    fn apply(
        &mut self,
        contents: Vec<FrameContent>,
        pending: Vec<Applied>,
        (appended, begun, durable): (&[Appended], Instant, Instant),
        committed: &mut Vec<Committed>,
    ) -> Result<Vec<Location>, apply::ApplyError> {
        let mut mark = self.mark.clone();
        let mut all: Vec<Change> = Vec::with_capacity(contents.len() * 2);
        let mut erased = Vec::new();
        let mut bearers = Vec::new();
        for ((content, mut applied), place) in contents.into_iter().zip(pending).zip(appended) {
            if let Some(earlier) = content.previous_in_group.and_then(|at| appended.get(at)) {
                applied.meta.previous = Some(earlier.location);
                applied.meta.previous_index = earlier.index;
            }
            if content.kind == FrameKind::Erasure {
                erased.extend(applied.meta.previous);
            }
            let frame = Frame {
                sequence: place.sequence,
                location: place.location,
                kind: content.kind,
                meta: applied.meta,
                statement: content.statement,
                disclosures: Some(content.disclosures),
                index: place.index,
            };
            let known = Known {
                record: applied.record.as_deref(),
                before: applied.before.as_deref(),
                leaf: Some(applied.leaf),
            };
            let changes = self.applier.changes(&frame, known)?;
            apply::count(&mut mark, &changes);
            // A record that changed changes what its aliases answer, also those that it keeps.
            bearers.extend(applied.record.filter(|record| !record.aliases.is_empty()));
            all.extend(changes);
            let Appended { sequence, location, index } = *place;
            committed.push(Committed { sequence, location, index, leaf: applied.leaf, begun, durable });
        }
        mark.sequence = self.journal.tail().sequence;
        let writes = apply::writes(all);
        self.engine.write(&writes, &mark)?;
        self.mark = mark;
        self.revisions.count(&writes);
        // From here on no reader may be given what was before.
        let kept = bearers.iter().flat_map(|record| &record.aliases).map(|alias| alias.key().as_str());
        for name in writes.iter().filter_map(apply::changed_name).chain(kept) {
            self.observer.changed(name);
        }
        if writes.iter().any(|row| row.table == Table::Standing) {
            self.observer.standings_changed();
        }
        Ok(erased)
    }

    /// The erasure is durable and its rows are gone; when that too is durable, the disclosures are blanked in place.
    fn finish_erasures(&self, erased: &[Location]) -> Result<(), apply::ApplyError> {
        if erased.is_empty() {
            return Ok(());
        }
        self.erasures.fetch_add(erased.len() as u64, Ordering::Release);
        self.engine.persist()?;
        self.journal.blank(erased.iter().copied())?;
        Ok(())
    }

    /// Takes away a bounded number of request rows that are past, so that nobody waits for it.
    fn forget(&mut self, now: i64) {
        let oldest = RequestRow::forgotten_hour(now);
        let due = self.mark.requests.first_key_value().is_some_and(|(hour, _)| *hour <= oldest);
        if due
            && self.poisoned.is_none()
            && let Err(error) = self.forget_step(oldest)
        {
            tracing::warn!(%error, "old idempotency keys were not taken away; it is tried again");
        }
    }

    fn forget_step(&mut self, oldest: i64) -> Result<(), super::engine::EngineError> {
        const ROWS_A_STEP: usize = 1_000;
        let rows = self.engine.scan(Table::Request, self.forgotten_to.as_deref(), ROWS_A_STEP)?;
        let old = rows.iter().filter(|(_, value)| RequestRow::hour(value) <= oldest);
        let writes: Vec<Write> =
            old.map(|(key, _)| Write { table: Table::Request, key: key.clone(), value: None }).collect();
        let mut mark = self.mark.clone();
        if rows.is_empty() {
            // A whole pass is done: the sums of those hours can go too.
            mark.requests = mark.requests.split_off(&(oldest + 1));
        }
        self.engine.write(&writes, &mark)?;
        (self.mark, self.forgotten_to) = (mark, rows.into_iter().next_back().map(|(key, _)| key));
        Ok(())
    }

    fn poison(&mut self, cause: String) {
        self.fatal.failed(&cause);
        self.poisoned = Some(cause);
    }

    fn seal(&mut self) {
        if self.poisoned.is_some() || self.is_restored {
            return;
        }
        let seal = FrameContent {
            kind: FrameKind::Seal,
            meta: Meta::plain(Timestamp::now().as_seconds(), "").encode(),
            statement: Vec::new(),
            disclosures: Vec::new(),
            previous_in_group: None,
        };
        let before = self.journal.tail();
        match self.journal.append(&[seal]) {
            Ok(_) => {
                self.mark.sequence = self.journal.tail().sequence;
                if let Err(error) = self.engine.write(&[], &self.mark) {
                    tracing::warn!(%error, "the record store's mark was not moved; the next start replays a little");
                }
                *self.settled.lock() = self.journal.tail();
                self.trees.advance(before, &[], self.journal.tail());
            }
            Err(error) => {
                tracing::warn!(%error, "the journal was not sealed; the next start checks its end")
            }
        }
    }
}

/// What applying needs of a frame beside its content.
struct Applied {
    meta: Meta,
    record: Option<Arc<crate::model::record::Record>>,
    before: Option<Box<Before>>,
    leaf: super::rows::LeafHash,
}

impl Applied {
    fn split(pending: Pending) -> (FrameContent, Applied) {
        let Pending { content, meta, record, before, leaf } = pending;
        (content, Applied { meta, record, before, leaf })
    }
}

/// Who came after the stop is told so, until nobody can send any more: nothing of theirs was written. What is left in the
/// queue by its last reader is answered by nobody.
fn turn_away(jobs: &Receiver<Job>) {
    for job in jobs {
        if let Job::Commit { proposals, answer, .. } = job {
            let _ = answer.send(vec![Outcome::Refused(Refusal::Stopping); proposals.len()]);
        }
    }
}
