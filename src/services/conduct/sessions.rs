//! The rules of sessions: a key that opens begins one, and what ends was begun. A node that stops ends them all without a word.

use std::collections::HashMap;

use super::Rule;
use super::book::Book;
use super::reading::{Act, key_of};
use crate::services::audit::examine::clipped;
use crate::services::token::sha256;
use crate::tlog::hash::Hash;

/// Who signs out does so while the session lasts; as much later a session is forgotten here.
const FORGOTTEN_SECONDS: i64 = 3_600;
/// Nor is one forgotten before so many more leaves: a clock may go wrong for a moment.
const FORGOTTEN_LEAVES: u64 = 65_536;
/// They are looked through when there are so many, and when they have doubled since.
const LOOKED_THROUGH: usize = 65_536;

/// Sessions that were opened and not closed.
#[derive(Default)]
pub(super) struct Sessions {
    open: HashMap<Hash, Open>,
    /// How many there may be before they are looked through again.
    room: usize,
}

struct Open {
    index: u64,
    expires: i64,
}

impl Open {
    fn is_long_over(&self, now: i64) -> bool {
        self.expires.saturating_add(FORGOTTEN_SECONDS) < now
    }
}

impl Sessions {
    pub(super) fn len(&self) -> u64 {
        self.open.len() as u64
    }

    fn sweep(&mut self, act: &Act) {
        if self.open.len() < self.room.max(LOOKED_THROUGH) {
            return;
        }
        let is_kept = |open: &Open| !open.is_long_over(act.iat) || open.index + FORGOTTEN_LEAVES > act.index;
        self.open.retain(|_, open| is_kept(open));
        self.room = 2 * self.open.len();
    }
}

impl Book {
    pub(super) fn session_opened(&mut self, act: &Act) -> Option<()> {
        let (id, key, expires) = (act.text("session")?, act.text("key")?, act.number("expires")?);
        // Who asks is looked at for every event.
        if key_of(&act.principal) != Some(key) {
            self.asked_by(act, key);
        }
        self.sessions.sweep(act);
        let before = self.sessions.open.insert(sha256(id.as_bytes()), Open { index: act.index, expires });
        if before.is_some_and(|before| before.expires > act.iat) {
            let told = clipped(id);
            let text =
                (format!("会话 {told} 尚未结束又开始"), format!("the session {told} begins again before it ends"));
            self.breach(act, Rule::SessionTwice, &[id], text);
        }
        Some(())
    }

    pub(super) fn session_closed(&mut self, act: &Act) -> Option<()> {
        let id = act.text("session")?;
        let open = self.sessions.open.remove(&sha256(id.as_bytes()));
        if open.is_none_or(|open| open.is_long_over(act.iat)) {
            let told = clipped(id);
            let text = (
                format!("会话 {told} 从未开始，或早已结束"),
                format!("the session {told} never began, or was over long before"),
            );
            self.breach(act, Rule::SessionUnknown, &[id], text);
        }
        Some(())
    }
}
