//! A job's folder while its upload is received: one request has it, and it goes away with a request that does not come to
//! its end.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A folder that this request alone writes to.
pub(super) struct Claim {
    folder: Option<PathBuf>,
}

impl Claim {
    /// Makes the folder; `AlreadyExists` where another request has it. Rows may hold what is hidden from readers, so
    /// nobody else may look in.
    pub fn make(folder: &Path) -> io::Result<Claim> {
        let mut private = std::fs::DirBuilder::new();
        private.mode(0o700);
        if let Some(parent) = folder.parent() {
            private.recursive(true).create(parent)?;
        }
        private.recursive(false).create(folder)?;
        Ok(Claim { folder: Some(folder.to_owned()) })
    }

    /// The job has it from now on.
    pub fn keep(mut self) {
        self.folder = None;
    }

    /// Takes the folder away, and says so when it is gone.
    pub async fn give_up(mut self) -> io::Result<()> {
        match self.folder.take() {
            Some(folder) => tokio::fs::remove_dir_all(folder).await,
            None => Ok(()),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(folder) = self.folder.take() else {
            return;
        };
        let remove = move || {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!(%error, "an upload that did not come to its end could not be removed");
            }
        };
        // An upload may be large: its removal must not hold up the requests of this thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}
