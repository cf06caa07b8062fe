//! A mirror: another node's registry, followed from its log, checked leaf by leaf, and kept here as it is there. It signs
//! nothing and adds no leaf of its own, so that its tree is the origin's, and so are its answers and its proofs.
//!
//! ```text
//! origin -> follow (held against the signed head) -> check (signature, disclosures; on all cores) -> store (in order) -> head shown
//! ```
//! - `order`: what is followed, and what a mirror's folder says of it. `disclosed`: the log with what it hides.
//! - `check`: one leaf. `pipeline`: many, and into the store. `recall`: what was reached before this start.
//! - `following`: the thread that goes on with it. `halt`: why it does not. `evidence`: what is kept of a dishonest log.

mod check;
mod disclosed;
mod evidence;
mod following;
mod halt;
mod order;
mod pipeline;
mod recall;

use parking_lot::RwLock;

pub use self::following::{Following, Reached, follow_once};
pub use self::halt::{Fault, Halt};
pub use self::order::{MIRROR_FILE, Order, OrderError, Stated};

/// What a mirror is to the rest of the node.
pub struct Mirror {
    /// Where the origin is.
    pub url: String,
    /// One word for why it follows no longer.
    stopped: RwLock<Option<&'static str>>,
}

impl Mirror {
    #[must_use]
    pub fn of(url: &str) -> Mirror {
        Mirror { url: url.to_owned(), stopped: RwLock::default() }
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
