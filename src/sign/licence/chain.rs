//! The chain of statements about one prefix: which licences there are, and which of them hold at an index.
//!
//! Signatures are not looked at here: a node reads what it wrote, a verifier checks before (`check`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::{EndReason, LicenceEndStatement, LicenceRole, LicenceStatement};
use crate::sign::jws::{LICENCE_END_TYPE, LICENCE_TYPE, Parsed};
use crate::store::rows::leaf_hash;

/// Why a statement does not follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Statements between are not there.
    #[error("statement {expected} about {prefix} is missing")]
    Missing { prefix: String, expected: u64 },
    #[error("a statement about {prefix} contradicts the chain: {cause}")]
    Broken { prefix: String, cause: String },
}

/// How a licence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The registry index of the end.
    pub index: u64,
    pub reason: EndReason,
    /// The last index that the licence holds for; never after the end itself.
    pub not_after: u64,
}

/// One licence of the chain.
#[derive(Clone, Debug)]
pub struct Licence {
    /// Its leaf hash, base64url.
    pub id: String,
    pub index: u64,
    pub statement: LicenceStatement,
    pub ended: Option<Ended>,
}

impl Licence {
    /// Whether it holds for what stands at a registry index.
    #[must_use]
    pub fn holds_at(&self, index: u64) -> bool {
        index > self.index && self.ended.is_none_or(|ended| index <= ended.not_after)
    }
}

/// What the statements about a prefix come to.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    pub prefix: String,
    /// How many statements there are.
    pub seq: u64,
    /// The leaf hash of the last one, base64url.
    pub last: Option<String>,
    pub licences: Vec<Licence>,
    last_index: u64,
}

impl Chain {
    #[must_use]
    pub fn new(prefix: &str) -> Chain {
        Chain { prefix: prefix.to_owned(), ..Chain::default() }
    }

    /// Takes the next statement in.
    pub fn add(&mut self, index: u64, statement: &str) -> Result<(), ChainFault> {
        let prefix = self.prefix.clone();
        let broken = |cause: &str| ChainFault::Broken { prefix: prefix.clone(), cause: cause.to_owned() };
        let parsed = Parsed::parse(statement).map_err(&broken)?;
        let unread = |error: serde_json::Error| broken(&error.to_string());
        let id = BASE64URL.encode(leaf_hash(statement.as_bytes()));
        match parsed.header.typ.as_str() {
            LICENCE_TYPE => {
                let licence: LicenceStatement = serde_json::from_slice(&parsed.payload).map_err(unread)?;
                self.follows(index, &licence.prefix, licence.seq, licence.prev.as_deref())?;
                self.licences.push(Licence { id: id.clone(), index, statement: licence, ended: None });
            }
            LICENCE_END_TYPE => {
                let end: LicenceEndStatement = serde_json::from_slice(&parsed.payload).map_err(unread)?;
                self.follows(index, &end.prefix, end.seq, Some(&end.prev))?;
                let ended = Ended { index, reason: end.reason, not_after: end.not_after.unwrap_or(index).min(index) };
                let licence = self.licences.iter_mut().find(|licence| licence.id == end.licence);
                let licence = licence.ok_or_else(|| broken("it ends a licence that is not there"))?;
                if licence.ended.is_some() {
                    return Err(broken("it ends a licence that had ended"));
                }
                licence.ended = Some(ended);
            }
            _ => return Err(broken("it is no statement about a prefix")),
        }
        self.seq += 1;
        self.last = Some(id);
        self.last_index = index;
        Ok(())
    }

    fn follows(&self, index: u64, prefix: &str, seq: u64, prev: Option<&str>) -> Result<(), ChainFault> {
        let broken = |cause: &str| Err(ChainFault::Broken { prefix: self.prefix.clone(), cause: cause.to_owned() });
        if prefix != self.prefix {
            return broken("it is about another prefix");
        }
        if seq > self.seq + 1 {
            return Err(ChainFault::Missing { prefix: self.prefix.clone(), expected: self.seq + 1 });
        }
        if seq != self.seq + 1 || prev != self.last.as_deref() || (self.seq > 0 && index <= self.last_index) {
            return broken("its number, its place or the statement that it names is not the next");
        }
        Ok(())
    }

    /// Licences of a role that have not ended.
    pub fn standing(&self, role: LicenceRole) -> impl Iterator<Item = &Licence> {
        self.licences.iter().filter(move |licence| licence.statement.role == role && licence.ended.is_none())
    }

    /// Licences of a role that hold for what stands at an index.
    pub fn holding(&self, role: LicenceRole, index: u64) -> impl Iterator<Item = &Licence> {
        self.licences.iter().filter(move |licence| licence.statement.role == role && licence.holds_at(index))
    }
}
