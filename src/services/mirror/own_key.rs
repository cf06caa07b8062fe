//! The key of a mirror's operator, for what is not for everybody: lists, exports, the log of the process. It is no key of the
//! origin and stands in no log: a mirror writes none.

use std::path::{Path, PathBuf};

use super::super::token::{KEY_MARK, are_same, sha256, token_text};
use crate::sign::keys::{KeyError, read_secret_file, write_secret_file};

/// In the data folder, 0600.
const KEY_FILE: &str = "mirror-token";

pub(super) struct OwnKey {
    hash: [u8; 32],
}

impl OwnKey {
    /// The one that is there, or a new one.
    pub fn settle(folder: &Path) -> Result<OwnKey, KeyError> {
        let path = path(folder);
        if !path.exists() {
            write_secret_file(&path, token_text(KEY_MARK, "mirror")?.as_bytes())?;
        }
        Ok(OwnKey { hash: sha256(read_secret_file(&path)?.trim_ascii()) })
    }

    /// Whether this is it. Takes the same time whatever is wrong with it.
    pub fn is(&self, token: &str) -> bool {
        are_same(&sha256(token.as_bytes()), &self.hash)
    }
}

pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join(KEY_FILE)
}
