//! What is decided about a prefix, as events of the audit tree. Why it was decided is kept encrypted beside the statement
//! (`sealing`): it may speak of persons.

use serde::{Deserialize, Serialize};

use super::statement::put;
use crate::model::prefix::{PrefixStep, PrefixTaken};
use crate::store::engine::{Table, Write};

/// What happened to a prefix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum PrefixEvent {
    #[serde(rename = "prefix.suspended")]
    Suspended(PrefixNote),
    #[serde(rename = "prefix.restored")]
    Restored(PrefixNote),
    #[serde(rename = "prefix.renewed")]
    Renewed(PrefixNote),
    #[serde(rename = "prefix.revoked")]
    Revoked(PrefixNote),
}

/// A step, without its reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixNote {
    pub prefix: String,
    /// Counted from 1: who comes second with a number is refused.
    pub seq: u32,
    /// Of a suspension: whether names are answered meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolves: Option<bool>,
    /// Of a renewal: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// SHA-256, base64url, of what is kept encrypted beside the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

impl PrefixEvent {
    #[must_use]
    pub fn of(step: PrefixStep, note: PrefixNote) -> PrefixEvent {
        match step {
            PrefixStep::Suspended => Self::Suspended(note),
            PrefixStep::Restored => Self::Restored(note),
            PrefixStep::Renewed => Self::Renewed(note),
            PrefixStep::Revoked => Self::Revoked(note),
        }
    }

    fn step(&self) -> (PrefixStep, &PrefixNote) {
        match self {
            Self::Suspended(note) => (PrefixStep::Suspended, note),
            Self::Restored(note) => (PrefixStep::Restored, note),
            Self::Renewed(note) => (PrefixStep::Renewed, note),
            Self::Revoked(note) => (PrefixStep::Revoked, note),
        }
    }

    /// The rows that it asks for.
    pub(super) fn rows(&self, principal: &str, at: i64, index: u64) -> Result<Vec<Write>, String> {
        let (step, note) = self.step();
        let taken = PrefixTaken {
            step,
            seq: note.seq,
            by: principal.to_owned(),
            at,
            index,
            resolves: note.resolves,
            until: note.until,
            sealed: note.sealed.clone(),
        };
        Ok(vec![put(Table::Standing, step_key(&note.prefix, note.seq), &taken)?])
    }
}

/// The key of a step's row: steps about one prefix stand together, in their order. No prefix has a NUL.
#[must_use]
pub fn step_key(prefix: &str, seq: u32) -> Vec<u8> {
    [prefix.as_bytes(), b"\0", &seq.to_be_bytes()].concat()
}

/// The prefix that a row is about.
#[must_use]
pub fn prefix_of_step(key: &[u8]) -> Option<&str> {
    let at = key.len().checked_sub(5)?;
    std::str::from_utf8(key.get(..at)?).ok()
}
