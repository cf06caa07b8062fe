//! How names are blinded: a secret of the node, from it one a prefix, and from that one a name.

use std::collections::HashMap;

use parking_lot::RwLock;
use ring::hmac;

use crate::model::identifier::{CanonicalKey, Identifier};

/// Prefixes whose keys are kept ready; one more, and all are made anew as they are asked for.
const MOST_PREFIXES_READY: usize = 1024;

/// The secret that blinds every name, and the names' blindings that come from it.
pub struct Blinding {
    secret: [u8; 32],
    /// What a prefix's secret makes a name's key with: made once a prefix, asked for once an entry.
    ready: RwLock<HashMap<String, hmac::Key>>,
}

impl Blinding {
    pub fn new(secret: [u8; 32]) -> Blinding {
        Blinding { secret, ready: RwLock::default() }
    }

    /// The secret of one prefix, which its owner may be given.
    pub fn prefix_secret(&self, prefix: &str) -> [u8; 32] {
        authenticated(&hmac_key(&self.secret), prefix.as_bytes())
    }

    /// The key that ties an identifier to its `sid`.
    pub fn sid_key(&self, identifier: &Identifier) -> [u8; 32] {
        let (prefix, name) = (identifier.prefix(), identifier.key().as_bytes());
        if let Some(key) = self.ready.read().get(prefix) {
            return authenticated(key, name);
        }
        let key = hmac_key(&self.prefix_secret(prefix));
        let sid_key = authenticated(&key, name);
        let mut ready = self.ready.write();
        if ready.len() >= MOST_PREFIXES_READY {
            ready.clear();
        }
        ready.insert(prefix.to_owned(), key);
        sid_key
    }

    /// The blinded name of an identifier.
    pub fn sid(&self, identifier: &Identifier) -> [u8; 32] {
        sid_of(&self.sid_key(identifier), identifier.key())
    }
}

/// The key that ties an identifier to its `sid`, by the secret of the identifier's prefix: what its owner computes.
pub fn sid_key_of(prefix_secret: &[u8; 32], identifier: &Identifier) -> [u8; 32] {
    authenticated(&hmac_key(prefix_secret), identifier.key().as_bytes())
}

/// sid = SHA-256(sid_key || canonical identifier).
pub fn sid_of(sid_key: &[u8], key: &CanonicalKey) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(sid_key);
    context.update(key.as_str().as_bytes());
    let mut sid = [0; 32];
    sid.copy_from_slice(context.finish().as_ref());
    sid
}

fn hmac_key(secret: &[u8; 32]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn authenticated(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(hmac::sign(key, message).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_one_secret_whether_its_key_is_ready_or_not() {
        let blinding = Blinding::new([7; 32]);
        for number in (0..3 * MOST_PREFIXES_READY).chain([5, 5]) {
            let identifier = Identifier::parse(&format!("88.999.{number}/A")).unwrap();
            let secret = blinding.prefix_secret(identifier.prefix());
            assert_eq!(blinding.sid_key(&identifier), sid_key_of(&secret, &identifier));
        }
        assert!(blinding.ready.read().len() <= MOST_PREFIXES_READY);
    }
}
