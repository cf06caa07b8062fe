//! What a follower remembers of a log from one time to the next: its name, how far its entries were handed on, and the newest
//! head that it was shown. Without it a rollback or a fork cannot be seen.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::error::FollowError;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::{Head, empty_root};
use crate::tlog::note::Note;

/// The most bytes of a memory that is read: a head may bear many signatures.
pub const MEMORY_LIMIT_BYTES: usize = 2 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The log's name; none before its first head.
    pub(super) origin: Option<String>,
    /// Entries that were handed on, and the tree over them.
    pub(super) done: Head,
    /// The newest head that was believed; `done` is a beginning of it.
    pub(super) newest: Head,
    /// The same as it was signed.
    pub(super) checkpoint: Option<String>,
}

/// A memory as a file.
#[derive(Serialize, Deserialize)]
struct Kept {
    origin: Option<String>,
    size: u64,
    root: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
}

impl Default for Memory {
    fn default() -> Memory {
        let nothing = Head { size: 0, root: empty_root() };
        Memory { origin: None, done: nothing, newest: nothing, checkpoint: None }
    }
}

impl Memory {
    /// Of a head alone.
    #[must_use]
    pub fn of(origin: String, head: Head) -> Memory {
        Memory { origin: Some(origin), done: head, newest: head, checkpoint: None }
    }

    /// Reads `{"origin", "size", "root", "checkpoint"}`, the last perhaps absent.
    pub fn decode(bytes: &[u8]) -> Result<Memory, FollowError> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|_| FollowError::Memory("it is not its JSON"))?;
        let root = BASE64.decode(&kept.root).ok().and_then(|root| root.try_into().ok());
        let done =
            Head { size: kept.size, root: root.ok_or(FollowError::Memory("its root is not 32 bytes in base64"))? };
        let mut newest = done;
        if let Some(text) = &kept.checkpoint {
            let note = Note::parse(text).ok().and_then(|note| Checkpoint::of_note(&note).ok());
            let checkpoint = note.ok_or(FollowError::Memory("its checkpoint is none"))?;
            newest = checkpoint.head();
            if Some(&checkpoint.origin) != kept.origin.as_ref() || newest.size < done.size {
                return Err(FollowError::Memory("its checkpoint is of another log, or older"));
            }
        }
        Ok(Memory { origin: kept.origin, done, newest, checkpoint: kept.checkpoint })
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kept = Kept {
            origin: self.origin.clone(),
            size: self.done.size,
            root: BASE64.encode(self.done.root),
            checkpoint: self.checkpoint.clone(),
        };
        // Text and numbers: their serialising into memory has no failure to report.
        serde_json::to_vec_pretty(&kept).unwrap_or_default()
    }

    /// The same, to have all entries handed on once more.
    #[must_use]
    pub fn from_the_start(self) -> Memory {
        Memory { done: Memory::default().done, ..self }
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.origin.as_deref()
    }

    /// What was handed on.
    #[must_use]
    pub fn done(&self) -> Head {
        self.done
    }

    /// The newest head that was believed.
    #[must_use]
    pub fn newest(&self) -> Head {
        self.newest
    }

    /// The same as it was signed.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }
}
