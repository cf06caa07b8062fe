//! Sealing: what is kept of a filing that no log may show, encrypted for this node alone.
//!
//! ```text
//! sealed = 1 nonce (12 bytes) AES-256-GCM(content) tag (16 bytes)
//! ```
//! The key is HKDF-SHA-256 (RFC 5869) of the node's secret. The place that the content belongs to is authenticated with it, so
//! that nothing sealed for one filing opens as another's. A nonce is random: with 2^32 of them under one key a repetition has a
//! chance of 2^-33 (NIST SP 800-38D, section 8.3, allows that many), and a node files thousands.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};

const VERSION: u8 = 1;
/// Version and nonce.
const HEAD: usize = 1 + NONCE_LEN;

/// What seals. Not `Debug`, so that no log can hold it.
pub struct Sealing {
    key: LessSafeKey,
}

impl Sealing {
    /// By the node's secret; `None` never, as long as the algorithm has a key length.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Option<Sealing> {
        let info: [&[u8]; 1] = [b"mingpai filing"];
        let derived = Salt::new(HKDF_SHA256, &[]).extract(secret);
        let key = UnboundKey::from(derived.expand(&info, &AES_256_GCM).ok()?);
        Some(Sealing { key: LessSafeKey::new(key) })
    }

    /// `None` where the operating system gives no randomness.
    #[must_use]
    pub fn seal(&self, place: &str, content: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(HEAD + content.len() + AES_256_GCM.tag_len());
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(content);
        let (aad, nonce) = (Aad::from(place.as_bytes()), Nonce::assume_unique_for_key(nonce));
        let tag = self.key.seal_in_place_separate_tag(nonce, aad, sealed.get_mut(HEAD..)?).ok()?;
        sealed.extend_from_slice(tag.as_ref());
        Some(sealed)
    }

    /// `None` where it was not sealed here for this place.
    #[must_use]
    pub fn open(&self, place: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let mut body = body.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self.key.open_in_place(nonce, Aad::from(place.as_bytes()), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_at_its_place_and_nowhere_else() {
        let sealing = Sealing::new(&[7; 32]).unwrap();
        let sealed = sealing.seal("a.1", "张三".as_bytes()).unwrap();
        assert_eq!(sealing.open("a.1", &sealed).as_deref(), Some("张三".as_bytes()));
        assert_eq!(sealing.open("a.2", &sealed), None);
        assert_eq!(Sealing::new(&[8; 32]).unwrap().open("a.1", &sealed), None);
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert_eq!(sealing.open("a.1", &bent), None, "byte {at}");
            assert_eq!(sealing.open("a.1", &sealed[..at]), None, "cut at {at}");
        }
        assert_ne!(sealing.seal("a.1", b"x"), sealing.seal("a.1", b"x"), "a nonce each");
    }
}
