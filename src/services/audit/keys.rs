//! Which key may sign what, by the log's own word: the genesis statement pins the first entry key, and each later one is
//! signed by the key in force before it, whose last signature that is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};

use crate::sign::jws::{Header, KEYS_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::statement::KeysStatement;

/// A key, and from where on it signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorised {
    pub key: PublicJwk,
    /// The registry index of the statement that authorises it: it signs what comes after, and the genesis itself.
    pub from: u64,
}

/// The keys in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Succession(Vec<Authorised>);

/// What is wrong with a statement about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It does not read.
    Unreadable,
    /// The first statement of the log does not sign itself.
    Genesis,
    /// Not signed by the key in force, or the key that it names is none or known already.
    NotAuthorised,
}

impl Succession {
    /// Keys that were judged before, each with the index of the statement that authorises it, the oldest first.
    #[must_use]
    pub fn of(known: impl IntoIterator<Item = (PublicJwk, u64)>) -> Succession {
        Succession(known.into_iter().map(|(key, from)| Authorised { key, from }).collect())
    }

    #[must_use]
    pub fn keys(&self) -> &[Authorised] {
        &self.0
    }

    /// The key whose signature counts at an index.
    #[must_use]
    pub fn at(&self, index: u64) -> Option<&PublicJwk> {
        let signs = |known: &&Authorised| known.from < index || (index == 0 && known.from == 0);
        self.0.iter().rev().find(signs).map(|known| &known.key)
    }

    /// Whether a key was in force once, and another one was at an index: only then a statement there may end it.
    #[must_use]
    pub fn is_succeeded(&self, kid: &str, index: u64) -> bool {
        let ended = self.0.iter().position(|known| known.key.kid == kid);
        ended.and_then(|at| self.0.get(at + 1)).is_some_and(|next| next.from < index)
    }

    /// Takes a leaf about keys in ([`is_about_keys`]), in the order of indexes.
    pub fn take(&mut self, index: u64, entry: &[u8]) -> Result<(), KeyFault> {
        let statement = std::str::from_utf8(entry).map_err(|_| KeyFault::Unreadable)?;
        let parsed = Parsed::parse(statement).map_err(|_| KeyFault::Unreadable)?;
        let keys: KeysStatement = serde_json::from_slice(&parsed.payload).map_err(|_| KeyFault::Unreadable)?;
        let is_known = self.0.iter().any(|known| known.key.kid == keys.key.kid);
        let is_sound = keys.key.public().is_some() && !is_known;
        let signer = if self.0.is_empty() { Some(&keys.key).filter(|_| index == 0) } else { self.at(index) };
        if !is_sound || !signer.is_some_and(|signer| parsed.verify(signer)) {
            return Err(if self.0.is_empty() { KeyFault::Genesis } else { KeyFault::NotAuthorised });
        }
        self.0.push(Authorised { key: keys.key, from: index });
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
