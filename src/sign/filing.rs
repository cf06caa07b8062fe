//! The steps of filings as events of the audit tree. They hold nothing of a person: what the form says is kept encrypted beside
//! the statement (`sealing`), and the statement has its hash.

use serde::{Deserialize, Serialize};

use super::statement::put;
use crate::model::filing::{Attachment, Step, Taken};
use crate::store::engine::{Table, Write};

/// What happened to a filing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum FilingEvent {
    #[serde(rename = "filing.drafted")]
    Drafted(FilingNote),
    #[serde(rename = "filing.attached")]
    Attached(FilingNote),
    #[serde(rename = "filing.submitted")]
    Submitted(FilingNote),
    #[serde(rename = "filing.claimed")]
    Claimed(FilingNote),
    #[serde(rename = "filing.released")]
    Released(FilingNote),
    #[serde(rename = "filing.returned")]
    Returned(FilingNote),
    #[serde(rename = "filing.rejected")]
    Rejected(FilingNote),
    #[serde(rename = "filing.endorsed")]
    Endorsed(FilingNote),
    #[serde(rename = "filing.approved")]
    Approved(FilingNote),
    #[serde(rename = "filing.withdrawn")]
    Withdrawn(FilingNote),
    /// Somebody saw the numbers of persons whole, or a file.
    #[serde(rename = "filing.revealed")]
    Revealed { filing: String, seq: u32 },
}

/// A step, without anything of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilingNote {
    pub filing: String,
    /// Counted from 1: who comes second with a number is refused.
    pub seq: u32,
    /// SHA-256, base64url, of what is kept encrypted beside the statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// Of an endorsement and an approval: the prefix that is allocated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Of a file that was added: what it is for, what it is, how long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
    /// Of an approval: to whom, and who applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applicant: Option<String>,
    /// Of an approval: from when on the prefix is good no more, where that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

/// A prefix that a filing was allocated, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    pub prefix: String,
    pub filing: String,
    /// As people are shown it.
    pub registrant: String,
    /// Who applied.
    pub applicant: String,
    pub since: i64,
    /// Epoch seconds from which on it is good no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl FilingEvent {
    #[must_use]
    pub fn of(step: Step, note: FilingNote) -> FilingEvent {
        match step {
            Step::Drafted => Self::Drafted(note),
            Step::Attached => Self::Attached(note),
            Step::Submitted => Self::Submitted(note),
            Step::Claimed => Self::Claimed(note),
            Step::Released => Self::Released(note),
            Step::Returned => Self::Returned(note),
            Step::Rejected => Self::Rejected(note),
            Step::Endorsed => Self::Endorsed(note),
            Step::Approved => Self::Approved(note),
            Step::Withdrawn => Self::Withdrawn(note),
        }
    }

    fn step(&self) -> Option<(Step, &FilingNote)> {
        Some(match self {
            Self::Drafted(note) => (Step::Drafted, note),
            Self::Attached(note) => (Step::Attached, note),
            Self::Submitted(note) => (Step::Submitted, note),
            Self::Claimed(note) => (Step::Claimed, note),
            Self::Released(note) => (Step::Released, note),
            Self::Returned(note) => (Step::Returned, note),
            Self::Rejected(note) => (Step::Rejected, note),
            Self::Endorsed(note) => (Step::Endorsed, note),
            Self::Approved(note) => (Step::Approved, note),
            Self::Withdrawn(note) => (Step::Withdrawn, note),
            Self::Revealed { .. } => return None,
        })
    }

    /// The rows that it asks for.
    pub(super) fn rows(&self, principal: &str, at: i64, index: u64) -> Result<Vec<Write>, String> {
        let Some((step, note)) = self.step() else { return Ok(Vec::new()) };
        let taken = Taken {
            step,
            seq: note.seq,
            by: principal.to_owned(),
            at,
            index,
            prefix: note.prefix.clone(),
            attachment: note.attachment,
            sealed: note.sealed.clone(),
        };
        let mut rows = vec![put(Table::Filing, row_key(&note.filing, note.seq), &taken)?];
        if let (Step::Approved, Some(prefix)) = (step, &note.prefix) {
            let allocation = Allocation {
                prefix: prefix.clone(),
                filing: note.filing.clone(),
                registrant: note.registrant.clone().unwrap_or_default(),
                applicant: note.applicant.clone().unwrap_or_default(),
                since: at,
                until: note.until,
            };
            rows.push(put(Table::Allocation, prefix.as_bytes(), &allocation)?);
        }
        Ok(rows)
    }
}

/// The key of a step's row: steps of one filing stand together, in their order.
#[must_use]
pub fn row_key(id: &str, seq: u32) -> Vec<u8> {
    [id.as_bytes(), b".", &seq.to_be_bytes()].concat()
}

/// The filing that a row belongs to.
#[must_use]
pub fn filing_of_row(key: &[u8]) -> Option<&str> {
    let at = key.len().checked_sub(5)?;
    std::str::from_utf8(key.get(..at)?).ok()
}
