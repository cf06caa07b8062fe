//! Where the record store's files are: opened, put aside, moved; and what stands in for them on a full disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine::{Engine, EngineError};
use super::engine_memory::MemoryEngine;
use super::engine_sled::SledEngine;
use super::open::{OpenError, Opened};

/// Where a record store is opened, and put aside.
pub(super) enum Home {
    Memory,
    Sled { folder: PathBuf, budget_bytes: u64 },
}

impl Home {
    pub fn open(&self) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(match self {
            Home::Memory => Arc::new(MemoryEngine::default()),
            Home::Sled { folder, budget_bytes } => Arc::new(SledEngine::open(folder, *budget_bytes)?),
        })
    }

    /// Moves damaged files to `records.aside`, in place of what was moved there before.
    pub fn set_aside(&self) -> Result<(), OpenError> {
        let Home::Sled { folder, .. } = self else {
            return Ok(());
        };
        // Done before a crash: what is aside is the latest.
        if !folder.exists() {
            return Ok(());
        }
        let aside = folder.with_extension("aside");
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(io("remove", &aside))?;
        }
        std::fs::rename(folder, &aside).map_err(io("move aside", folder))
    }

    /// Takes away what an earlier attempt has left here.
    pub fn remove(&self) -> Result<(), OpenError> {
        match self {
            Home::Sled { folder, .. } if folder.exists() => {
                std::fs::remove_dir_all(folder).map_err(io("remove", folder))
            }
            _ => Ok(()),
        }
    }

    /// Moves these files, closed before, to where another home has none.
    pub fn rename_to(&self, other: &Home) -> Result<(), OpenError> {
        match (self, other) {
            (Home::Sled { folder, .. }, Home::Sled { folder: to, .. }) => {
                std::fs::rename(folder, to).map_err(io("move into place", folder))?;
                let parent = to.parent().unwrap_or(Path::new("."));
                std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(io("fsync", parent))
            }
            _ => Ok(()),
        }
    }
}

/// Rows in memory for this run, where the record store's files need room and the disk has none. They are left as they
/// are, for nothing is wrong with them.
pub(super) fn stand_in(error: &EngineError) -> Arc<dyn Engine> {
    tracing::warn!(
        %error,
        "the disk is too full for the record store: its rows are made in memory from the whole journal, which takes \
         memory; free space, then restart the node"
    );
    Arc::new(MemoryEngine::default())
}

pub(super) fn open_or_stand_in(home: &Home, opened: &mut Opened) -> Result<Arc<dyn Engine>, EngineError> {
    home.open().or_else(|error| {
        if error.is_full {
            opened.in_memory = true;
            Ok(stand_in(&error))
        } else {
            Err(error)
        }
    })
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { action, path, source }
}
