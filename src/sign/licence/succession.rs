//! The node's own entry keys: the first is pinned by the genesis statement, each later one is signed by the one before.
//!
//! An end bounds what a key's signatures on entries and licences are worth. It does not undo the succession: a key that is
//! found out after it has handed over would else cut the node off from its own log. What a forged succession would be is a
//! leaf that everybody sees.

use super::{KeyEndStatement, Listed};
use crate::sign::jws::{KEY_END_TYPE, KEYS_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::statement::KeysStatement;

/// A key and the indexes for which its signatures count.
#[derive(Clone, Debug)]
pub struct KeyRange {
    pub key: PublicJwk,
    /// The index of the statement that authorises it: it signs what comes after, and the genesis itself.
    pub from: u64,
    /// The index of the statement that authorises its successor, the last that it signs.
    pub until: Option<u64>,
    /// What an end says.
    pub not_after: Option<u64>,
}

impl KeyRange {
    /// Whether its signature counts at an index.
    #[must_use]
    pub fn holds_at(&self, index: u64) -> bool {
        (index > self.from || (index == 0 && self.from == 0)) && self.last().is_none_or(|last| index <= last)
    }

    /// The last index for which its signature counts; `None`: it is in force.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        [self.until, self.not_after].into_iter().flatten().min()
    }
}

/// The keys in their order.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    pub keys: Vec<KeyRange>,
}

impl Succession {
    /// Follows statements about keys (others are left out), every signature checked; says in a word what contradicts.
    /// Whether the first of them is the genesis is for the caller to see.
    pub fn follow(statements: &[Listed]) -> Result<Succession, String> {
        let mut line = Succession::default();
        let mut sorted: Vec<&Listed> = statements.iter().collect();
        sorted.sort_by_key(|listed| listed.index);
        for Listed { index, statement } in sorted {
            let parsed = Parsed::parse(statement)?;
            match parsed.header.typ.as_str() {
                KEYS_TYPE => line.add_key(*index, &parsed)?,
                KEY_END_TYPE => line.add_end(*index, &parsed)?,
                _ => {}
            }
        }
        Ok(line)
    }

    fn add_key(&mut self, index: u64, parsed: &Parsed<'_>) -> Result<(), String> {
        let keys: KeysStatement = serde_json::from_slice(&parsed.payload).map_err(|error| error.to_string())?;
        let signed_by = self.keys.last().map_or(&keys.key, |range| &range.key);
        if !parsed.verify(signed_by) {
            return Err(format!("the key {} was not authorised by the one before it", keys.key.kid));
        }
        if let Some(before) = self.keys.last_mut() {
            before.until = Some(index);
        }
        self.keys.push(KeyRange { key: keys.key, from: index, until: None, not_after: None });
        Ok(())
    }

    fn add_end(&mut self, index: u64, parsed: &Parsed<'_>) -> Result<(), String> {
        let end: KeyEndStatement = serde_json::from_slice(&parsed.payload).map_err(|error| error.to_string())?;
        let in_force = self.keys.last().filter(|range| range.key.kid != end.kid && index > range.from);
        if !in_force.is_some_and(|range| parsed.verify(&range.key)) {
            return Err(format!("the end of the key {} was not signed by the key in force", end.kid));
        }
        let ended = self.keys.iter_mut().find(|range| range.key.kid == end.kid);
        let ended = ended.ok_or_else(|| format!("the key {} that ends was never authorised", end.kid))?;
        ended.not_after = Some(ended.not_after.map_or(end.not_after, |before| before.min(end.not_after)));
        Ok(())
    }

    /// The key whose signature counts at an index.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<&KeyRange> {
        self.keys.iter().find(|range| range.holds_at(index))
    }

    #[must_use]
    pub fn of(&self, kid: &str) -> Option<&KeyRange> {
        self.keys.iter().find(|range| range.key.kid == kid)
    }
}
