//! Selective disclosure (RFC 9901): salted disclosures, their digests, decoys.
//!
//! Only what an entry needs: object-property disclosures in one top-level `_sd`, SHA-256, no nesting, no key binding.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::Serialize;
use serde_json::Value as Json;

/// Bytes of a salt: 128 bits (RFC 9901, section 9.3).
const SALT_BYTES: usize = 16;
/// The number of digests is padded to one of these, so that it tells little about the record.
const BUCKETS: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, MAX_DIGESTS];
/// The most digests of an entry: its statement must fit 65,535 bytes.
pub const MAX_DIGESTS: usize = 1_000;

/// A disclosure: base64url of `[salt, name, value]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure(String);

impl Disclosure {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digest as it stands in `_sd`.
    pub fn digest(&self) -> String {
        digest_of(&self.0)
    }
}

/// The digest of an encoded disclosure.
pub fn digest_of(encoded: &str) -> String {
    BASE64URL.encode(digest(&SHA256, encoded.as_bytes()))
}

/// A disclosure opened: its name and value.
pub fn open(encoded: &str) -> Result<(String, Json), &'static str> {
    let bytes = BASE64URL.decode(encoded).map_err(|_| "a disclosure is not base64url")?;
    let (_salt, name, value): (String, String, Json) =
        serde_json::from_slice(&bytes).map_err(|_| "a disclosure is not [salt, name, value]")?;
    Ok((name, value))
}

/// Claims being hidden.
#[derive(Default)]
pub struct Hider {
    claims: Vec<(String, String)>,
}

/// Why claims could not be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HideError {
    /// More claims than an entry can carry ([`MAX_DIGESTS`]).
    TooManyClaims,
    /// Without randomness nothing is blinded: the salts would be guessable.
    NoRandomness,
}

impl Hider {
    /// Hides a claim.
    pub fn hide(&mut self, name: impl Into<String>, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.claims.push((name.into(), serde_json::to_string(value)?));
        Ok(())
    }

    /// Salts everything afresh: the disclosures in their order, and the sorted digests with decoys among them.
    pub fn finish(self) -> Result<(Vec<Disclosure>, Vec<String>), HideError> {
        let bucket = BUCKETS.into_iter().find(|size| *size >= self.claims.len()).ok_or(HideError::TooManyClaims)?;
        let decoys = bucket - self.claims.len();
        // One call for all: it is a system call.
        let mut random = vec![0; self.claims.len() * SALT_BYTES + decoys * 32];
        SystemRandom::new().fill(&mut random).map_err(|_| HideError::NoRandomness)?;
        let (salts, noise) = random.split_at(self.claims.len() * SALT_BYTES);
        let mut disclosures = Vec::with_capacity(self.claims.len());
        let mut json = String::new();
        for ((name, value), salt) in self.claims.iter().zip(salts.chunks_exact(SALT_BYTES)) {
            json.clear();
            json.push_str("[\"");
            BASE64URL.encode_string(salt, &mut json);
            json.push_str("\",");
            // Names are this program's own, of letters, "_", "/" and digits.
            json.push('"');
            json.push_str(name);
            json.push_str("\",");
            json.push_str(value);
            json.push(']');
            disclosures.push(Disclosure(BASE64URL.encode(&json)));
        }
        let mut digests: Vec<String> = disclosures.iter().map(Disclosure::digest).collect();
        digests.extend(noise.chunks_exact(32).map(|noise| BASE64URL.encode(noise)));
        digests.sort_unstable();
        Ok((disclosures, digests))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_rfc_9901() {
        // RFC 9901, section 4.2.3: the disclosure of family_name.
        let disclosure = "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0";
        assert_eq!(digest_of(disclosure), "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0");
        assert_eq!(open(disclosure).unwrap(), ("family_name".to_owned(), Json::from("Möbius")));
    }

    #[test]
    fn digests_are_padded_sorted_and_cover_every_disclosure() {
        for claims in [0, 1, 8, 9, 700, 1_000] {
            let mut hider = Hider::default();
            for at in 0..claims {
                hider.hide(format!("value/{at}"), &at).unwrap();
            }
            let (disclosures, digests) = hider.finish().unwrap();
            assert!(BUCKETS.contains(&digests.len()) && digests.len() >= claims);
            assert!(digests.is_sorted());
            assert!(disclosures.iter().all(|disclosure| digests.contains(&disclosure.digest())));
        }
        let mut hider = Hider::default();
        for at in 0..=1_000 {
            hider.hide(format!("value/{at}"), &at).unwrap();
        }
        assert_eq!(hider.finish(), Err(HideError::TooManyClaims));
    }
}
