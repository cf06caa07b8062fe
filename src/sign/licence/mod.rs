//! Licences of prefixes: from an upper node to this node, from this node to an enterprise's key; and their ends.
//!
//! All statements about one prefix are a chain in the log: numbered from 1 (`seq`), each naming the leaf hash of the one
//! before (`prev`), so that whoever is shown some of them sees whether one between is missing. A licence holds for registry
//! indexes after its own; its end says up to which index, so that time stamps decide nothing.
//!
//! - `chain`: the licences of one prefix and which are in force. `succession`: the node's own entry keys, one after another.
//! - `check`: what a verifier makes of all of them.

pub mod chain;
pub mod check;
pub mod succession;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decode_sid;
use super::jws::{self, GRANT_TYPE, KEY_END_TYPE, LICENCE_END_TYPE, LICENCE_TYPE, Parsed};
use super::keys::{PublicJwk, SigningKey};
use super::statement::propose_typed;
use crate::model::prefix;
use crate::model::time::Timestamp;
use crate::store::StatementProposal;
use crate::store::engine::{Table, Write};
use crate::store::journal::FrameKind;
use crate::store::rows::{LeafHash, leaf_hash};

/// The most bytes of a grant from elsewhere: a few keys and names.
pub const MAX_GRANT_BYTES: usize = 16 * 1024;
/// The most keys that a grant names.
pub const MAX_GRANT_KEYS: usize = 16;
/// The most bytes of a holder's name.
pub const MAX_HOLDER_BYTES: usize = 255;

/// Whom a licence makes what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LicenceRole {
    /// This node answers for the prefix, by the upper node's word.
    Node,
    /// The enterprise registers under the prefix, and may sign its own entries.
    Enterprise,
}

/// Whether entries under the prefix need their owner's signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OwnerSignature {
    #[default]
    Optional,
    Required,
}

/// Why a licence ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EndReason {
    /// Taken back.
    Revoked,
    /// The key is known to others; `not_after` may lie in the past.
    Compromised,
    /// The same holder goes on with another key.
    Rotated,
    /// Another holder goes on.
    Transferred,
}

impl EndReason {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Compromised => "compromised",
            Self::Rotated => "rotated",
            Self::Transferred => "transferred",
        }
    }
}

/// Licenses a prefix, from the next index on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LicenceStatement {
    pub iat: i64,
    pub iss: String,
    pub prefix: String,
    /// The number of this statement among those about the prefix, from 1.
    pub seq: u64,
    /// The leaf hash of the statement before, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<String>,
    pub role: LicenceRole,
    pub holder: String,
    /// The enterprise's key. A node's keys stand in the grant. Not `key`: a program that knows no licences must not take this
    /// statement for one that authorises an entry key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder_key: Option<PublicJwk>,
    #[serde(default)]
    pub owner_signature: OwnerSignature,
    /// The upper node's own word ([`Grant`]), verbatim, where the role is a node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// Ends a licence.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LicenceEndStatement {
    pub iat: i64,
    pub iss: String,
    pub prefix: String,
    pub seq: u64,
    pub prev: String,
    /// The leaf hash of the licence, base64url.
    pub licence: String,
    pub reason: EndReason,
    /// The last registry index that the licence holds for; absent: that of this statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<u64>,
}

/// An entry key's signatures count no more after an index, whatever it signed: it is known to others. Signed by the key that
/// followed it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyEndStatement {
    pub iat: i64,
    pub iss: String,
    pub kid: String,
    pub not_after: u64,
}

/// The end of an entry key, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEnd {
    pub not_after: u64,
    /// The registry index of the statement that says so.
    pub index: u64,
    pub statement: String,
}

/// A statement about a prefix, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its registry index.
    pub index: u64,
    pub statement: String,
}

/// An upper node's word that a prefix is a node's, known by one of these keys. It is no leaf: it comes from elsewhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Grant {
    pub iat: i64,
    /// The upper node's name.
    pub iss: String,
    /// The key that signs this; a verifier compares it with the one that it has pinned.
    pub by: PublicJwk,
    pub prefix: String,
    /// The node's name.
    pub holder: String,
    /// Entry keys of the node. Those that the log puts in their place later need no other grant.
    pub keys: Vec<PublicJwk>,
}

impl Grant {
    /// Signs it: the upper node's part.
    pub fn sign(&self, key: &SigningKey) -> Result<String, serde_json::Error> {
        Ok(jws::sign(key, GRANT_TYPE, &serde_json::to_vec(self)?))
    }

    /// Reads a grant whose signature is that of the key that it names; says in a word what is wrong with it otherwise.
    pub fn read(compact: &str) -> Result<Grant, &'static str> {
        if compact.len() > MAX_GRANT_BYTES {
            return Err("it is too long");
        }
        let parsed = Parsed::parse(compact)?;
        if parsed.header.typ != GRANT_TYPE {
            return Err("its typ is not that of a grant");
        }
        let grant: Grant = serde_json::from_slice(&parsed.payload).map_err(|_| "it lacks a member of a grant")?;
        if !parsed.verify(&grant.by) {
            return Err("its signature is not that of the key that it names");
        }
        let sane =
            |name: &str| !name.is_empty() && name.len() <= MAX_HOLDER_BYTES && !name.chars().any(char::is_control);
        if !prefix::is_canonical(&grant.prefix) || !sane(&grant.holder) || !sane(&grant.iss) {
            return Err("its prefix or a name in it is not well formed");
        }
        let known = (1..=MAX_GRANT_KEYS).contains(&grant.keys.len());
        if !known || grant.keys.iter().any(|key| key.public().is_none()) {
            return Err("its keys are not Ed25519 keys with their thumbprints");
        }
        Ok(grant)
    }

    /// Whether it names this key.
    #[must_use]
    pub fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid == kid)
    }
}

/// What is to be signed into the log.
pub trait Stated: Serialize {
    const TYPE: &'static str;
}

impl Stated for LicenceStatement {
    const TYPE: &'static str = LICENCE_TYPE;
}

impl Stated for LicenceEndStatement {
    const TYPE: &'static str = LICENCE_END_TYPE;
}

impl Stated for KeyEndStatement {
    const TYPE: &'static str = KEY_END_TYPE;
}

/// Signs a statement for the journal, and gives its leaf hash, by which others name it.
pub fn propose<T: Stated>(
    key: &SigningKey,
    statement: &T,
    now: Timestamp,
    principal: &str,
) -> Result<(StatementProposal, LeafHash), serde_json::Error> {
    let proposal = propose_typed(key, FrameKind::Statement, T::TYPE, statement, now, principal)?;
    let leaf = leaf_hash(&proposal.statement);
    Ok((proposal, leaf))
}

/// The key of a statement's row: statements of a prefix lie together, in their order. No two can have one number, so the
/// second of two that were decided at the same time is refused by the sequencer.
#[must_use]
pub fn row_key(prefix: &str, seq: u64) -> Vec<u8> {
    [prefix.as_bytes(), b"\0", &seq.to_be_bytes()].concat()
}

/// The prefix in such a key.
#[must_use]
pub fn prefix_of_row(key: &[u8]) -> Option<&str> {
    let at = key.len().checked_sub(9)?;
    std::str::from_utf8(key.get(..at)?).ok()
}

/// The rows of a statement about a prefix or a key's end; `None` where it is another kind.
pub(super) fn rows(typ: &str, payload: &[u8], statement: &[u8], index: u64) -> Result<Option<Vec<Write>>, String> {
    let wrong = |error: serde_json::Error| error.to_string();
    let text = || String::from_utf8(statement.to_vec()).map_err(|_| "not text".to_owned());
    let put = |table, key: Vec<u8>, row: Vec<u8>| Write { table, key, value: Some(row) };
    let listed = |prefix: &str, seq| -> Result<Write, String> {
        let row = serde_json::to_vec(&Listed { index, statement: text()? }).map_err(wrong)?;
        Ok(put(Table::Licence, row_key(prefix, seq), row))
    };
    Ok(Some(match typ {
        LICENCE_TYPE => {
            let licence: LicenceStatement = serde_json::from_slice(payload).map_err(wrong)?;
            let place = row_key(&licence.prefix, licence.seq);
            vec![listed(&licence.prefix, licence.seq)?, put(Table::LicencePlace, leaf_hash(statement).to_vec(), place)]
        }
        LICENCE_END_TYPE => {
            let end: LicenceEndStatement = serde_json::from_slice(payload).map_err(wrong)?;
            decode_sid(&end.licence).ok_or("the licence is not 32 bytes in base64url")?;
            vec![listed(&end.prefix, end.seq)?]
        }
        KEY_END_TYPE => {
            let end: KeyEndStatement = serde_json::from_slice(payload).map_err(wrong)?;
            let row = KeyEnd { not_after: end.not_after, index, statement: text()? };
            vec![put(Table::AuthorityEnd, end.kid.into_bytes(), serde_json::to_vec(&row).map_err(wrong)?)]
        }
        _ => return Ok(None),
    }))
}
