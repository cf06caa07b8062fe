//! What the node states of a moment: which version of an identifier is the newest that the log has at a size, or that it has none.
//!
//! A proof of inclusion says that a version was registered, not that no later one was. Only the node can say that, and only
//! for a moment; it signs it, with the head that it holds for, so that whoever was told otherwise can show it. These
//! statements are no leaves of the log, so they are signed by the key of its heads, which a verifier has pinned: an entry key
//! that was replaced or stolen says nothing of what is new, whatever statements about keys are left out of a bundle.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize};

use super::jws::{self, ABSENT_TYPE, LATEST_TYPE, Parsed};
use super::keys::{PublicJwk, SigningKey};
use crate::model::prefix::SuffixCase;
use crate::tlog::hash::{Hash, Head};

/// The moment that a statement is about: a head of the log and the node's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// Epoch seconds.
    pub iat: i64,
    pub iss: String,
    /// The log's name.
    pub origin: String,
    /// Leaves of the registry, and its root in base64.
    pub size: u64,
    pub root: String,
}

/// The newest version of an identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestStatement {
    #[serde(flatten)]
    pub as_of: AsOf,
    pub sid: String,
    pub ver: u64,
    /// The leaf hash of the version, base64url.
    pub leaf: String,
}

/// No version of an identifier, and no alias of this name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbsentStatement {
    #[serde(flatten)]
    pub as_of: AsOf,
    /// The name as it was asked for, in its canonical form.
    pub sub: String,
    /// Whether capitals tell names under its prefix apart; who reads the word has only the canonical form. Words from before it was signed lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case: Option<SuffixCase>,
}

impl AsOf {
    /// A head as it is now.
    #[must_use]
    pub fn new(iat: i64, iss: &str, origin: &str, head: &Head) -> AsOf {
        let (iss, origin) = (iss.to_owned(), origin.to_owned());
        AsOf { iat, iss, origin, size: head.size, root: BASE64.encode(head.root) }
    }

    /// Whether it names this head of this log.
    #[must_use]
    pub fn is_of(&self, origin: &str, head: &Head) -> bool {
        self.origin == origin && self.size == head.size && self.root == BASE64.encode(head.root)
    }
}

impl LatestStatement {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Result<String, serde_json::Error> {
        Ok(jws::sign(key, LATEST_TYPE, &serde_json::to_vec(self)?))
    }

    /// Reads one and checks its signature by the key that it names; the inner error says what is wrong.
    pub fn read(compact: &str, keys: &[PublicJwk]) -> Result<LatestStatement, &'static str> {
        read(compact, LATEST_TYPE, keys)
    }

    /// Whether it is about this very leaf.
    #[must_use]
    pub fn is_leaf(&self, leaf: &Hash) -> bool {
        self.leaf == BASE64URL.encode(leaf)
    }
}

impl AbsentStatement {
    /// Signs it.
    pub fn sign(&self, key: &SigningKey) -> Result<String, serde_json::Error> {
        Ok(jws::sign(key, ABSENT_TYPE, &serde_json::to_vec(self)?))
    }

    /// Reads one and checks its signature by the key that it names.
    pub fn read(compact: &str, keys: &[PublicJwk]) -> Result<AbsentStatement, &'static str> {
        read(compact, ABSENT_TYPE, keys)
    }
}

fn read<T: for<'de> Deserialize<'de>>(compact: &str, typ: &str, keys: &[PublicJwk]) -> Result<T, &'static str> {
    let parsed = Parsed::parse(compact)?;
    if parsed.header.typ != typ {
        return Err("it is a statement of another type");
    }
    let key = keys.iter().find(|key| key.kid == parsed.header.kid).ok_or("its key is not a known one")?;
    if !parsed.verify(key) {
        return Err("its signature is wrong");
    }
    serde_json::from_slice(&parsed.payload).map_err(|_| "its payload is not of its type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sign::keys::{KeyFolder, KeyUse};

    #[test]
    fn a_statement_is_read_only_as_it_was_signed_and_by_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::open(folder.path(), 1).unwrap();
        let key = keys.all(KeyUse::Entry)[0];
        let head = Head { size: 9, root: [7; 32] };
        let as_of = AsOf::new(5, "urn:example", "example.com/log", &head);
        let latest =
            LatestStatement { as_of: as_of.clone(), sid: "sid".to_owned(), ver: 3, leaf: BASE64URL.encode([1; 32]) };
        let signed = latest.sign(key).unwrap();
        let known = [key.public()];
        assert_eq!(LatestStatement::read(&signed, &known), Ok(latest.clone()));
        assert!(latest.is_leaf(&[1; 32]) && !latest.is_leaf(&[2; 32]));
        assert!(as_of.is_of("example.com/log", &head));
        assert!(!as_of.is_of("example.com/other", &head) && !as_of.is_of("example.com/log", &Head { size: 8, ..head }));
        assert!(LatestStatement::read(&signed, &[]).is_err());
        assert!(AbsentStatement::read(&signed, &known).is_err(), "another type");
        for at in 0..signed.len() {
            let mut changed = signed.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(LatestStatement::read(&changed, &known).is_err(), "byte {at}");
        }
        let absent = AbsentStatement { as_of, sub: "88.999.1/NOTHING".to_owned(), case: None };
        assert_eq!(AbsentStatement::read(&absent.sign(key).unwrap(), &known), Ok(absent));
    }
}
