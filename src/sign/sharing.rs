//! Grants as events of the audit tree: that one was given, taken back, used. A use names the statement of the version that was
//! shown by its index in the registry tree, and no identifier: what is erased there is not told here.

use serde::{Deserialize, Serialize};

use super::statement::put;
use crate::model::grant::Grant;
use crate::store::engine::{Table, Write};

/// What happened to grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum GrantEvent {
    #[serde(rename = "grant.given")]
    Given {
        grant: Box<Grant>,
        /// SHA-256, base64url, of the names that it is about, which are kept encrypted beside the statement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sealed: Option<String>,
    },
    #[serde(rename = "grant.revoked")]
    Revoked { grant: String },
    /// Values were shown by grants.
    #[serde(rename = "grant.used")]
    Used {
        since: i64,
        until: i64,
        /// Of this event alone, so that no two ask for the same rows; those of one second are in its order.
        event_id: String,
        uses: Vec<GrantUse>,
    },
}

/// A grant, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    #[serde(flatten)]
    pub grant: Grant,
    /// Of its statement in the audit tree.
    pub index: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// What somebody saw by a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    pub grant: String,
    /// `key:ID`, or `link:ID` of who has the link alone.
    pub principal: String,
    /// Of the version's statement, in the registry tree.
    pub leaf: u64,
    /// How often since the last time that this was noted.
    pub count: u64,
}

/// A use, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUseRow {
    #[serde(flatten)]
    pub used: GrantUse,
    /// Epoch seconds.
    pub since: i64,
    pub until: i64,
}

impl GrantEvent {
    /// The rows that it asks for. `index` is never part of a key.
    pub(super) fn rows(self, at: i64, index: u64) -> Result<Vec<Write>, String> {
        match self {
            Self::Given { grant, sealed } => {
                Ok(vec![put(Table::Grant, grant.id.clone(), &GrantRow { grant: *grant, index, sealed })?])
            }
            Self::Revoked { grant } => Ok(vec![put(Table::Revoked, revocation_key(&grant), &at)?]),
            Self::Used { since, until, event_id, uses } => {
                let row = |used: GrantUse| {
                    let key = use_key(&used, until, &event_id);
                    put(Table::GrantUse, key, &GrantUseRow { used, since, until })
                };
                uses.into_iter().map(row).collect()
            }
        }
    }
}

/// The key of a grant's revocation, beside those of API keys.
#[must_use]
pub fn revocation_key(grant: &str) -> String {
    format!("grant:{grant}")
}

/// The key of a use's row: those of a grant stand together, in the order of their times.
#[must_use]
pub fn use_key(used: &GrantUse, until: i64, event_id: &str) -> Vec<u8> {
    // No clock of a node stands before 1970; what is negative would stand behind.
    let until = until.max(0).to_be_bytes();
    let GrantUse { grant, principal, leaf, .. } = used;
    [grant.as_bytes(), b"\0", &until, event_id.as_bytes(), &leaf.to_be_bytes(), principal.as_bytes()].concat()
}

/// Where the rows of a grant's uses begin, at a time.
#[must_use]
pub fn uses_from(grant: &str, time: i64) -> Vec<u8> {
    [grant.as_bytes(), b"\0", &time.max(0).to_be_bytes()].concat()
}

/// The grant that a use's row belongs to.
#[must_use]
pub fn grant_of_use(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.split(|byte| *byte == 0).next()?).ok()
}
