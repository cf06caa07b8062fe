//! A mirror: another node's registry, followed from its log, checked leaf by leaf, and kept here as it is there. It signs
//! nothing and adds no leaf of its own, so that its tree is the origin's, and so are its answers and its proofs.
//!
//! ```text
//! origin -> follow (held against the signed head) -> check (signature, disclosures; on all cores) -> store (in order) -> head shown
//! ```
//! - `order`: what is followed, and what a mirror's folder says of it. `disclosed`: the log with what it hides. `room`: how much of
//!   that is on its way.
//! - `check`: one leaf. `pipeline`: many, and into the store. `recall`: what was reached before this start.
//! - `own_key`: whom it gives lists and exports. `following`: the thread that goes on with it. `halt`: why it does not. `evidence`: what is kept of a dishonest log.

mod check;
mod disclosed;
mod evidence;
mod following;
mod halt;
mod order;
mod own_key;
mod pipeline;
mod recall;
mod room;

use std::path::{Path, PathBuf};

use parking_lot::RwLock;

pub use self::following::{Following, Reached, follow_once};
pub use self::halt::{Fault, Halt};
pub use self::order::{MIRROR_FILE, Order, OrderError, Stated};
use crate::sign::keys::KeyError;

/// What a mirror is to the rest of the node.
pub struct Mirror {
    /// Where the origin is.
    pub url: String,
    /// Whether it is given what the log hides, and so has names.
    pub is_granted: bool,
    key: own_key::OwnKey,
    /// One word for why it follows no longer.
    stopped: RwLock<Option<&'static str>>,
}

impl Mirror {
    /// A mirror in a folder, which has or gets a key of its own.
    pub fn open(url: &str, is_granted: bool, folder: &Path) -> Result<Mirror, KeyError> {
        let key = own_key::OwnKey::settle(folder)?;
        Ok(Mirror { url: url.to_owned(), is_granted, key, stopped: RwLock::default() })
    }

    /// The file with its operator's key.
    #[must_use]
    pub fn key_file(folder: &Path) -> PathBuf {
        own_key::path(folder)
    }

    /// Whether a token is its operator's.
    #[must_use]
    pub fn opens(&self, token: &str) -> bool {
        self.key.is(token)
    }

    /// Why it follows no longer, in a word; `None` while it does.
    #[must_use]
    pub fn stopped(&self) -> Option<&'static str> {
        *self.stopped.read()
    }

    fn stop(&self, code: &'static str) {
        *self.stopped.write() = Some(code);
    }
}
