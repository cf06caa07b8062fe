//! What becomes of jobs that run no more: a crash may have cut them short, and in time they are removed.

use std::fs::ReadDir;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::course::JobFile;
use super::job::{Failure, JobState, JobView, write_replacing};
use crate::model::time::Timestamp;
use crate::services::Services;
use crate::store::medium::is_full;

/// Jobs that are looked at in one go, which takes a few hundredths of a second.
const LOOKED_AT: usize = 1024;
const DAY_SECONDS: u64 = 24 * 3600;

/// Where a walk through all jobs stands, in search of old ones.
#[derive(Default)]
pub struct OldImports(Option<ReadDir>);

/// What a start has found of the jobs that the stop before it cut short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FoundJobs {
    /// They go on where they were.
    pub resumed: usize,
    /// They are told to have failed.
    pub closed: usize,
}

impl Services {
    /// Goes on with every job that a stop cut short. Says of those with which nothing can be done any more that they failed;
    /// removes uploads that never became a job; remembers whose the idempotency keys are.
    /// Called once, before the node serves.
    pub fn take_up_imports(self: &Arc<Self>) -> io::Result<FoundJobs> {
        let mut found = FoundJobs::default();
        let Ok(listing) = std::fs::read_dir(&self.settings.imports_folder) else {
            return Ok(found);
        };
        for entry in listing {
            let folder = entry?.path();
            let path = folder.join("job.json");
            let Ok(bytes) = std::fs::read(&path) else {
                if folder.is_dir() && !path.exists() && !self.take_up_upload(&folder)? {
                    std::fs::remove_dir_all(&folder)?;
                }
                continue;
            };
            let Ok(file) = serde_json::from_slice::<JobFile>(&bytes) else {
                continue;
            };
            let view = file.view.clone();
            self.imports.keys.remember(&view);
            if file.goes_on(&folder) {
                match self.go_on(&folder, file) {
                    Ok(true) => {
                        found.resumed += 1;
                        continue;
                    }
                    Ok(false) => {}
                    // Told to have failed, as far as that can be written.
                    Err(error) => tracing::warn!(%error, job = view.id, "an import cannot go on"),
                }
            }
            if view.state == JobState::Running {
                // Its room may be what the file needs.
                let _ = std::fs::remove_file(folder.join("input"));
                let view = JobView { ended: Some(Timestamp::now()), ..cut_short(view) };
                match write_replacing(&path, &serde_json::to_vec(&view)?) {
                    // Reads must go on there. Whoever asks is told all the same, and the next start writes it down.
                    Err(error) if is_full(&error) => {
                        tracing::warn!(%error, job = view.id, "no room to note that an import was cut short");
                    }
                    written => written?,
                }
                found.closed += 1;
            }
        }
        Ok(found)
    }

    /// Goes a step further through the jobs and removes those that ended too long ago; after the last one it begins anew.
    /// Gives how many were removed. A job that cannot be removed is told of and passed over.
    pub fn remove_old_imports(&self, walk: &mut OldImports, now: Timestamp) -> io::Result<usize> {
        self.imports.keys.forget_old(now, |id| self.imports.knows(id));
        self.drop_old_uploads();
        let mut listing = match walk.0.take() {
            Some(listing) => listing,
            None => match std::fs::read_dir(&self.settings.imports_folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
                listing => listing?,
            },
        };
        let mut removed = 0;
        for _ in 0..LOOKED_AT {
            let Some(entry) = listing.next() else {
                return Ok(removed);
            };
            let folder = entry?.path();
            if !self.is_old(&folder, now) {
                continue;
            }
            match std::fs::remove_dir_all(&folder) {
                Ok(()) => removed += 1,
                Err(error) => tracing::warn!(%error, path = %folder.display(), "an old import could not be removed"),
            }
        }
        walk.0 = Some(listing);
        Ok(removed)
    }

    /// Whether a folder is that of a job that ended too long ago. An upload that is being received has no job yet.
    fn is_old(&self, folder: &Path, now: Timestamp) -> bool {
        let Ok(bytes) = std::fs::read(folder.join("job.json")) else {
            return false;
        };
        let Ok(view) = serde_json::from_slice::<JobView>(&bytes) else {
            return false;
        };
        let kept_seconds = self.settings.import_keep_days.saturating_mul(DAY_SECONDS).cast_signed();
        view.state != JobState::Running
            && view.ended.is_some_and(|ended| ended.as_seconds().saturating_add(kept_seconds) < now.as_seconds())
            && !self.imports.knows(&view.id)
    }
}

/// A job whose file says that it runs, and that this process does not run: a stop of the node cut it short.
pub(super) fn cut_short(view: JobView) -> JobView {
    JobView { state: JobState::Failed, failure: Some(interrupted(view.atomic)), ..view }
}

/// What a job says that a stop of the node cut short.
fn interrupted(atomic: bool) -> Failure {
    let (zh, en) = if atomic {
        (
            "节点在导入途中停止：整个文件要么全部登记，要么完全没有；请重新导入，内容相同的行会被跳过",
            "the node stopped during the import: all rows are registered or none; import again, rows that stand there with the same content are skipped",
        )
    } else {
        (
            "节点在导入途中停止：请用 on_conflict=skip 重新导入，已登记的行会被跳过",
            "the node stopped during the import: import again with on_conflict=skip, rows that are registered are skipped",
        )
    };
    Failure { code: "import_interrupted".to_owned(), zh: zh.to_owned(), en: en.to_owned() }
}
