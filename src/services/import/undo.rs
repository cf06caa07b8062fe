//! Undo: a job that takes back what another job has done, row by row, where nothing later touched the row.
//!
//! What a job has done stands in the journal: its frames carry the job's number. A record that the job made is retired and
//! emptied, and can be registered again as if it were new: a tombstone would take its name away for ever, and a mended
//! file could never be imported under it. A record that the job changed gets the content of the version before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::course::{JobFile, tag_of};
use super::job::{JobState, JobView, spool_failed};
use super::plan::{Plan, Spool, unread};
use super::run::Failed;
use super::{StartImport, StartUndo};
use crate::model::draft::Draft;
use crate::model::permitted::Permitted;
use crate::model::principal::Scope;
use crate::model::record::{Record, Status};
use crate::services::{ServiceError, Services};
use crate::store::ApplyError;
use crate::store::journal::{Frame, JobTag, Location, Tail};
use crate::store::rows::RecordRow;

/// Versions that are walked back over in search of one that a job wrote. Who changed a record more often than this since
/// is told that it was changed.
const MOST_STEPS: u64 = 10_000;

/// What is taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The job.
    pub of: String,
    tag: JobTag,
    from: Tail,
    until: Tail,
    /// The jobs that have tried to take it back before.
    earlier: Vec<JobTag>,
    /// Which names may be given back: those of who asked. Undoings of before roles are administrators'.
    #[serde(default)]
    pub(super) names: Scope,
}

impl Undo {
    /// Whether an earlier undo of the same job has written what stands there.
    pub(super) fn is_own(&self, services: &Services, row: &RecordRow) -> Result<bool, ServiceError> {
        if self.earlier.is_empty() {
            return Ok(false);
        }
        let frame = services.store.frame(row.location)?;
        Ok(frame.meta.job.is_some_and(|tag| self.earlier.contains(&tag)))
    }
}

#[derive(Serialize)]
struct UndoRow<'a> {
    identifier: &'a str,
    if_version: u64,
    at: (u32, u32, u32),
}

impl Services {
    /// Begins to take a job back. Asked again, it gives the same job, unless that one failed.
    pub fn undo_import(self: &Arc<Self>, asked: Permitted<StartUndo>) -> Result<JobView, ServiceError> {
        let (principal, StartUndo { id }) = asked.into_parts();
        let unknown = || ServiceError::NotFound { what: "import", name: id.clone() };
        // One at a time: of two that ask at once, the second finds the job of the first.
        let _alone = self.imports.undoing.lock();
        let view = self.job_within(&id, &principal.scope)?.ok_or_else(unknown)?;
        if view.state == JobState::Running {
            return Err(ServiceError::JobRunning { id });
        }
        if let Some(last) = view.undone_by.last()
            && let Some(job) = self.job_within(last, &principal.scope)?
            && job.state != JobState::Failed
        {
            return Ok(job);
        }
        let folder = self.settings.imports_folder.join(&view.id);
        let mut file = JobFile::read(&folder).map_err(|error| spool_failed(&error))?;
        let (Some(course), Some(tag)) = (&file.course, tag_of(&id)) else {
            return Err(ServiceError::NotUndoable { id });
        };
        let undo = Undo {
            of: id.clone(),
            tag,
            from: course.from,
            until: course.until.unwrap_or_else(|| self.store.tail()),
            earlier: view.undone_by.iter().filter_map(|id| tag_of(id)).collect(),
            names: principal.scope.clone(),
        };
        // It touches what the job did, and who may see that may see this.
        let (dry_run, scope) = (view.dry_run, view.scope.clone());
        let start = StartImport { plan: Some(Plan::Undo(undo)), dry_run, scope, ..StartImport::default() };
        self.start_plan(start, &principal, |undoing| {
            file.view.undone_by.push(undoing.to_owned());
            file.write(&folder)
        })
    }

    /// Writes down one row for every record that the job has touched: its last version there.
    pub(super) fn spool_undo(&self, undo: &Undo, spool: &mut Spool<'_>) -> Result<(), Failed> {
        let mut stopped = None;
        let walked = self.entries_of(undo.tag, undo.from, undo.until, |frame| {
            let written = match self.undo_row(undo, &frame) {
                Ok(Some(record)) => {
                    let Location { segment, offset, length } = frame.location;
                    let identifier = record.identifier.spelling();
                    spool.write(&UndoRow { identifier, if_version: record.version, at: (segment, offset, length) })
                }
                Ok(None) => Ok(()),
                Err(error) => Err(unread(&error.text().en)),
            };
            written.map_err(|failure| {
                stopped = Some(failure);
                ApplyError::Statement { sequence: frame.sequence, cause: "the walk ends here".to_owned() }
            })
        });
        match (stopped, walked) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(unread(&error)),
            (None, Ok(())) => Ok(()),
        }
    }

    /// The record of a frame, if the job wrote no later version of it. One that was erased since is nobody's business.
    fn undo_row(&self, undo: &Undo, frame: &Frame) -> Result<Option<Record>, ServiceError> {
        let Some(record) = self.store.record_of(frame)? else { return Ok(None) };
        let Some(row) = self.store.row(record.identifier.key())? else { return Ok(None) };
        let mut place = row.location;
        for _ in 0..MOST_STEPS {
            if place == frame.location {
                return Ok(Some(record));
            }
            let later = self.store.frame(place)?;
            if later.meta.job == Some(undo.tag) {
                return Ok(None);
            }
            match later.meta.previous {
                Some(previous) if later.meta.version > frame.meta.version => place = previous,
                _ => return Ok(None),
            }
        }
        Ok(Some(record))
    }

    /// What stood before the job that wrote the version at this place: the content of the version before its first, or, if it made
    /// the record, nothing.
    pub(super) fn before_job(&self, place: Location, start: &StartImport) -> Result<Draft, ServiceError> {
        let Some(Plan::Undo(undo)) = &start.plan else {
            return Err(ServiceError::Internal("a row to take back in a job that takes nothing back".to_owned()));
        };
        let mut frame = self.store.frame(place)?;
        // Versions stand in the journal in their order.
        while let Some(previous) = frame.meta.previous.filter(|previous| *previous < frame.location) {
            frame = self.store.frame(previous)?;
            if frame.meta.job != Some(undo.tag) {
                let record = self.store.record_of(&frame)?;
                // What was erased cannot be put back, and was meant to be gone.
                return Ok(record.map_or_else(taken_back, |record| record.to_draft()));
            }
        }
        Ok(taken_back())
    }
}

/// The content of a record that was made by mistake.
fn taken_back() -> Draft {
    Draft { status: Some(Status::Retired), ..Draft::default() }
}
