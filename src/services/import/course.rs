//! How far a job has come, in its file: what the next start needs to go on with it, and an undo to take it back.
//!
//! A step is written about once a second, after the rows before it have been committed. What was committed after the last
//! step is found in the journal, whose frames carry the job's number: so no row is done twice and none is left out,
//! wherever a stop came.

use std::collections::{HashMap, VecDeque};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::StartImport;
use super::job::{Job, JobState, JobView, RowCounts, write_replacing};
use super::lanes::{Fate, NewGround};
use super::run::{Failed, internal};
use crate::model::identifier::CanonicalKey;
use crate::services::Services;
use crate::services::reach::Author;
use crate::store::journal::{Effect, Frame, FrameKind, JobTag, Tail};
use crate::store::{ApplyError, EntryProposal};

/// How often a step is written: so much is read again after a stop, and so many names are held in memory then.
pub(super) const STEP_INTERVAL: Duration = Duration::from_secs(1);
/// Starts at the same step after which a job is given up: it may be what ends the node.
const MOST_ATTEMPTS: u32 = 5;

/// `job.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct JobFile {
    #[serde(flatten)]
    pub view: JobView,
    /// Absent in files of before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Course>,
}

/// What a job is and how far it has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Course {
    pub start: StartImport,
    pub principal: String,
    /// The journal's end before the first row.
    pub from: Tail,
    /// The journal's end behind the last one, once the job has ended.
    pub until: Option<Tail>,
    pub step: Step,
    /// How often work began at this step.
    pub attempts: u32,
    /// Whether the rows of a job that finds them itself are written down.
    #[serde(default)]
    pub is_spooled: bool,
}

/// All rows before it have their outcome.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Step {
    pub rows: u64,
    pub counts: RowCounts,
    pub bytes_done: u64,
    /// Bytes of the error file.
    pub noted_bytes: u64,
    pub tail: Tail,
}

/// A job's course while it runs.
pub(super) struct Running {
    pub course: Course,
    /// The journal's end when the job was found at a start: what it has done behind its step stands before this.
    pub found: Option<Tail>,
    noted: Instant,
}

/// What was committed behind the last step, by name, in its order.
#[derive(Default)]
pub(super) struct DoneBefore(HashMap<CanonicalKey, VecDeque<Effect>>);

impl DoneBefore {
    /// Whether every one of them has come.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What became of the next row of this name, if a run before this one committed it.
    pub fn take(&mut self, key: &CanonicalKey) -> Option<Effect> {
        if self.is_empty() {
            return None;
        }
        let effects = self.0.get_mut(key)?;
        let effect = effects.pop_front();
        if effects.is_empty() {
            self.0.remove(key);
        }
        effect
    }
}

impl JobFile {
    pub fn read(folder: &Path) -> io::Result<JobFile> {
        Ok(serde_json::from_slice(&std::fs::read(folder.join("job.json"))?)?)
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        write_replacing(&folder.join("job.json"), &serde_json::to_vec(self)?)
    }

    /// Whether the next start goes on with it.
    pub fn goes_on(&self, folder: &Path) -> bool {
        let Some(course) = &self.course else { return false };
        self.view.state == JobState::Running
            && course.attempts < MOST_ATTEMPTS
            // The rows of a plan are never looked for a second time once some may have been changed.
            && ((course.start.plan.is_some() && !course.is_spooled) || folder.join("input").exists())
    }
}

impl Running {
    pub fn begin(start: StartImport, principal: String, from: Tail) -> Running {
        let step = Step { rows: 0, counts: RowCounts::default(), bytes_done: 0, noted_bytes: 0, tail: from };
        let course = Course { start, principal, from, until: None, step, attempts: 0, is_spooled: false };
        Running { course, found: None, noted: Instant::now() }
    }
}

impl Job {
    /// The job as a stop left it, with its error file cut back to the step.
    pub fn taken_up(folder: &Path, file: JobFile, tail: Tail) -> io::Result<Option<Job>> {
        let Some(course) = file.course else { return Ok(None) };
        let (view, step) = (file.view, course.step);
        let errors = std::fs::OpenOptions::new().append(true).create(true).open(folder.join("errors.ndjson"))?;
        if errors.metadata()?.len() > step.noted_bytes {
            errors.set_len(step.noted_bytes)?;
        }
        let counts = step.counts;
        Ok(Some(Job {
            tag: tag_of(&view.id).unwrap_or_default(),
            id: view.id,
            folder: folder.to_owned(),
            start: course.start.clone(),
            principal: course.principal.clone(),
            bytes: AtomicU64::new(view.bytes),
            upload: view.upload,
            key: view.key,
            table: Mutex::new(view.table),
            bytes_done: AtomicU64::new(step.bytes_done),
            total: AtomicU64::new(counts.total),
            registered: AtomicU64::new(counts.registered),
            updated: AtomicU64::new(counts.updated),
            skipped: AtomicU64::new(counts.skipped),
            failed: AtomicU64::new(counts.failed),
            errors: Mutex::new(Some(BufWriter::new(errors))),
            new_ground: NewGround::default(),
            noted_bytes: AtomicU64::new(step.noted_bytes),
            end: Mutex::new(None),
            sample: Mutex::new(view.sample),
            undone_by: view.undone_by,
            started: view.started,
            running: Mutex::new(Running { course, found: Some(tail), noted: Instant::now() }),
        }))
    }

    /// In whose name its rows are changed.
    pub fn author(&self) -> Author<'_> {
        Author { id: &self.principal, scope: &self.start.scope }
    }

    /// A change of this job's: its frame will say so.
    pub fn row(&self, mut proposal: Box<EntryProposal>) -> Fate {
        proposal.job = Some(self.tag);
        Fate::Commit(proposal)
    }

    /// Rows that have their outcome and are not read again.
    pub fn rows_behind(&self) -> u64 {
        self.running.lock().course.step.rows
    }

    /// Notes that work begins at the step where the job stands.
    pub fn attempt(&self) -> io::Result<()> {
        self.running.lock().course.attempts += 1;
        self.save()
    }

    /// Notes that its rows are written down, and how many bytes they have.
    pub fn spooled(&self, bytes: u64) -> io::Result<()> {
        self.bytes.store(bytes, Ordering::Relaxed);
        self.running.lock().course.is_spooled = true;
        self.save()
    }

    /// More rows have their outcome; from time to time that is written down. A disk that is full is told elsewhere.
    pub fn stepped(&self, rows: usize, tail: Tail) {
        {
            let mut running = self.running.lock();
            let step = &mut running.course.step;
            step.rows += rows as u64;
            step.tail = tail;
            step.bytes_done = self.bytes_done.load(Ordering::Relaxed);
            step.counts = RowCounts { total: step.rows, ..self.counts() };
            // Of these rows and no more: those behind the step are read, and rejected, once more.
            step.noted_bytes = self.noted_bytes.load(Ordering::Relaxed);
            if running.noted.elapsed() < STEP_INTERVAL {
                return;
            }
            running.noted = Instant::now();
            running.course.attempts = 0;
        }
        if let Err(error) = self.note_step() {
            tracing::warn!(%error, job = self.id, "how far an import has come could not be noted");
        }
    }

    /// The rows that failed first: the step says how many bytes they have.
    pub fn note_step(&self) -> io::Result<()> {
        if let Some(errors) = self.errors.lock().as_mut() {
            errors.flush()?;
        }
        self.save()
    }
}

impl Services {
    /// What a job has committed behind its step, before the start that found it.
    pub(super) fn rows_done_before(&self, job: &Job) -> Result<DoneBefore, Failed> {
        let (step, found) = {
            let running = job.running.lock();
            (running.course.step.tail, running.found)
        };
        let mut done = DoneBefore::default();
        let Some(found) = found else { return Ok(done) };
        self.entries_of(job.tag, step, found, |frame| {
            if let Some(record) = self.store.record_of(&frame)? {
                done.0.entry(record.identifier.key().clone()).or_default().push_back(frame.meta.effect);
            }
            Ok(())
        })
        .map_err(|error| {
            tracing::error!(%error, job = job.id, "what an import has done could not be read from the journal");
            internal("the journal does not read")
        })?;
        Ok(done)
    }

    /// The entries that a job has written between two places, in their order.
    pub(super) fn entries_of(
        &self,
        tag: JobTag,
        from: Tail,
        until: Tail,
        mut each: impl FnMut(Frame) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        self.store.replay_between(from, until, |frame| {
            if frame.kind == FrameKind::Entry && frame.meta.job == Some(tag) { each(frame) } else { Ok(()) }
        })
    }

    /// Goes on with a job that a stop left; says whether it does.
    pub(super) fn go_on(self: &Arc<Self>, folder: &Path, file: JobFile) -> io::Result<bool> {
        let Some(job) = Job::taken_up(folder, file, self.store.tail())? else { return Ok(false) };
        // Whether there is room for its end: else its own room is given back, as before.
        job.save()?;
        self.work_off(Arc::new(job))?;
        Ok(true)
    }
}

/// The number of a job from its name: 12 bytes in hexadecimal.
pub(super) fn tag_of(id: &str) -> Option<JobTag> {
    let mut tag = JobTag::default();
    let bytes = id.as_bytes();
    if bytes.len() != tag.len() * 2 {
        return None;
    }
    for (byte, digits) in tag.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(tag)
}
