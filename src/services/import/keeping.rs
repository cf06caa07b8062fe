//! What becomes of jobs that run no more: a crash may have cut them short.

use super::job::{Failure, JobState, JobView, write_replacing};
use crate::model::time::Timestamp;
use crate::services::Services;

impl Services {
    /// Says of every job that a crash cut short that it failed, and removes its upload and those that never became a job.
    /// Called once, before the node serves.
    pub fn close_interrupted_imports(&self) -> std::io::Result<usize> {
        let mut closed = 0;
        let Ok(listing) = std::fs::read_dir(&self.settings.imports_folder) else {
            return Ok(0);
        };
        for entry in listing {
            let folder = entry?.path();
            let path = folder.join("job.json");
            let Ok(bytes) = std::fs::read(&path) else {
                if folder.is_dir() && !path.exists() {
                    std::fs::remove_dir_all(&folder)?;
                }
                continue;
            };
            let Ok(mut view) = serde_json::from_slice::<JobView>(&bytes) else {
                continue;
            };
            if view.state == JobState::Running {
                view.state = JobState::Failed;
                view.ended = Some(Timestamp::now());
                view.failure = Some(interrupted(view.atomic));
                write_replacing(&path, &serde_json::to_vec(&view)?)?;
                let _ = std::fs::remove_file(folder.join("input"));
                closed += 1;
            }
        }
        Ok(closed)
    }
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
