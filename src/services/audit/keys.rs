//! Which key may sign what, by the log's own word: the genesis statement pins the first entry key, and each later one is
//! signed by the key in force before it, whose last signature that is.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use crate::sign::jws::{Header, KEYS_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::statement::KeysStatement;

/// The most keys that a log may have: a node that takes another key every day needs 27 years for so many. More are a fault,
/// for what a log says must not decide how much its readers hold.
pub const KEYS_AT_MOST: usize = 10_000;

/// A key, and from where on it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorised {
    pub key: PublicJwk,
    /// The registry index of the statement that authorises it: it signs what comes after, and the genesis itself.
    pub from: u64,
}

/// The keys in the order of the indexes that they sign from. A copy shares the keys themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Authorised>", into = "Vec<Authorised>")]
pub struct Succession(Vec<Arc<Authorised>>);

impl From<Vec<Authorised>> for Succession {
    fn from(known: Vec<Authorised>) -> Succession {
        Succession(known.into_iter().map(Arc::new).collect())
    }
}

impl From<Succession> for Vec<Authorised> {
    fn from(keys: Succession) -> Vec<Authorised> {
        keys.0.into_iter().map(Arc::unwrap_or_clone).collect()
    }
}

/// What is wrong with a statement about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It does not read.
    Unreadable,
    /// The first statement of the log does not sign itself.
    Genesis,
    /// Not signed by the key in force, or the key that it names is none or known already.
    NotAuthorised,
    /// Authorised as it should be, after [`KEYS_AT_MOST`] others.
    TooMany,
}

impl Succession {
    /// Keys that were judged before, each with the index of the statement that authorises it, the oldest first.
    #[must_use]
    pub fn of(known: impl IntoIterator<Item = (PublicJwk, u64)>) -> Succession {
        Succession(known.into_iter().map(|(key, from)| Arc::new(Authorised { key, from })).collect())
    }

    #[must_use]
    pub fn keys(&self) -> &[Arc<Authorised>] {
        &self.0
    }

    /// The key whose signature counts at an index.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<&PublicJwk> {
        let signs = |known: &Arc<Authorised>| known.from < index || (index == 0 && known.from == 0);
        let after = self.0.partition_point(signs);
        after.checked_sub(1).map(|last| &self.0[last].key)
    }

    /// Whether a key was in force once, and another one was at an index: only then a statement there may end it.
    #[must_use]
    pub fn is_succeeded(&self, kid: &str, index: u64) -> bool {
        let ended = self.0.iter().position(|known| known.key.kid == kid);
        ended.and_then(|at| self.0.get(at + 1)).is_some_and(|next| next.from < index)
    }

    /// Judges a leaf about keys ([`is_about_keys`]): the key that it authorises, for [`Succession::push`]. Nothing is copied, so
    /// statements that nobody authorised cost one signature each, however many keys there are.
    pub fn judge(&self, index: u64, entry: &[u8]) -> Result<Authorised, KeyFault> {
        let statement = std::str::from_utf8(entry).map_err(|_| KeyFault::Unreadable)?;
        let parsed = Parsed::parse(statement).map_err(|_| KeyFault::Unreadable)?;
        let keys: KeysStatement = serde_json::from_slice(&parsed.payload).map_err(|_| KeyFault::Unreadable)?;
        let signer = if self.0.is_empty() { Some(&keys.key).filter(|_| index == 0) } else { self.at(index) };
        let is_authorised = signer.is_some_and(|signer| parsed.verify(signer));
        let is_new = || self.0.iter().all(|known| known.key.kid != keys.key.kid);
        if !is_authorised || keys.key.public().is_none() || !is_new() {
            return Err(if self.0.is_empty() { KeyFault::Genesis } else { KeyFault::NotAuthorised });
        }
        if self.0.len() >= KEYS_AT_MOST {
            return Err(KeyFault::TooMany);
        }
        Ok(Authorised { key: keys.key, from: index })
    }

    /// Takes a key in that was judged, in the order of indexes.
    pub fn push(&mut self, key: Authorised) {
        self.0.push(Arc::new(key));
    }

    /// Judges a leaf about keys, and takes its key in.
    pub fn take(&mut self, index: u64, entry: &[u8]) -> Result<(), KeyFault> {
        let key = self.judge(index, entry)?;
        self.push(key);
        Ok(())
    }
}

/// Whether a leaf is a statement about keys. Most are records: their heads are told without reading the rest.
#[must_use]
pub fn is_about_keys(entry: &[u8]) -> bool {
    let header = entry.split(|byte| *byte == b'.').next().unwrap_or_default();
    let header = BASE64URL.decode(header).unwrap_or_default();
    serde_json::from_slice::<Header>(&header).is_ok_and(|header| header.typ == KEYS_TYPE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sign::jws::sign;
    use crate::sign::keys::{KeyFolder, KeyUse, SigningKey};

    /// Two keys, made anew.
    fn keys() -> [SigningKey; 2] {
        let folder = tempfile::tempdir().unwrap();
        [1, 2].map(|at| {
            let mut keys = KeyFolder::open(&folder.path().join(at.to_string()), 1).unwrap();
            keys.take_all(KeyUse::Entry).pop().unwrap()
        })
    }

    fn statement(by: &SigningKey, of: &SigningKey) -> Vec<u8> {
        let statement = json!({"iat": 1, "iss": "urn:test", "key": of.public()});
        sign(by, KEYS_TYPE, statement.to_string().as_bytes()).into_bytes()
    }

    /// So many keys, the last of which is this one; each signs from ten times its place on.
    fn line(count: usize, last: &SigningKey) -> Succession {
        let made = |at: usize| {
            let kid = if at + 1 == count { last.kid().to_owned() } else { format!("k{at}") };
            (PublicJwk { kid, ..last.public() }, 10 * at as u64)
        };
        Succession::of((0..count).map(made))
    }

    #[test]
    fn the_key_in_force_is_the_last_one_before_an_index() {
        let [key, _] = keys();
        let line = line(4, &key);
        let found: Vec<&str> = [0, 1, 10, 11, 30, 31, u64::MAX].map(|at| line.at(at).unwrap().kid.as_str()).to_vec();
        assert_eq!(found, ["k0", "k0", "k0", "k1", "k2", key.kid(), key.kid()]);
        assert!(Succession::default().at(0).is_none());
    }

    #[test]
    fn a_log_has_only_so_many_keys_and_what_nobody_authorised_is_no_key_at_all() {
        let [key, other] = keys();
        let (handed, forged) = (statement(&key, &other), statement(&other, &other));
        let at = 10 * KEYS_AT_MOST as u64;
        let mut almost = line(KEYS_AT_MOST - 1, &key);
        assert_eq!(almost.judge(at, &forged), Err(KeyFault::NotAuthorised));
        almost.take(at, &handed).unwrap();
        assert_eq!(almost.keys().len(), KEYS_AT_MOST);
        let full = line(KEYS_AT_MOST, &key);
        assert_eq!(full.judge(at, &forged), Err(KeyFault::NotAuthorised), "told as what it is");
        assert_eq!(full.judge(at, &handed), Err(KeyFault::TooMany));
        // A copy holds the same keys, and none of its own.
        assert!(full.keys().iter().zip(full.clone().keys()).all(|(one, copy)| Arc::ptr_eq(one, copy)));
    }
}
