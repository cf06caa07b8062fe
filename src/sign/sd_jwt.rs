//! Selective disclosure (RFC 9901): salted disclosures, their digests, decoys.
//!
//! Only what an entry needs: object-property disclosures in one top-level `_sd`, SHA-256, no nesting, no key binding.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::noise;

/// Bytes of a salt: 128 bits (RFC 9901, section 9.3).
const SALT_BYTES: usize = 16;
/// Letters of a salt in base64url.
const SALT_LETTERS: usize = 22;
/// Letters of a digest.
const DIGEST_LETTERS: usize = 43;
/// The number of digests is padded to one of these, so that it tells little about the record.
const BUCKETS: [usize; 8] = [8, 16, 32, 64, 128, 256, 512, MAX_DIGESTS];
/// The most digests of an entry: its statement must fit 65,535 bytes.
pub const MAX_DIGESTS: usize = 1_000;

/// A digest as it stands in `_sd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest([u8; DIGEST_LETTERS]);

impl Digest {
    fn of(bytes: &[u8]) -> Digest {
        Digest(letters(bytes))
    }

    /// Letters, digits, "-" and "_".
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Bytes in base64url, where it is known how many there are.
fn letters<const LETTERS: usize>(bytes: &[u8]) -> [u8; LETTERS] {
    let mut letters = [b'A'; LETTERS];
    let written = URL_SAFE_NO_PAD.encode(bytes, letters.as_mut_slice().as_out()).len();
    debug_assert_eq!(written, LETTERS);
    letters
}

/// The digest of an encoded disclosure.
pub fn digest_of(encoded: &str) -> String {
    BASE64URL.encode(digest(&SHA256, encoded.as_bytes()))
}

/// A disclosure opened: its name, and its value as it is written. `room` holds them.
pub fn open<'r>(encoded: &str, room: &'r mut Vec<u8>) -> Result<(Cow<'r, str>, &'r RawValue), &'static str> {
    #[derive(Deserialize)]
    struct Disclosure<'a>(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>, #[serde(borrow)] &'a RawValue);

    room.clear();
    URL_SAFE_NO_PAD.decode_append(encoded, room).map_err(|_| "a disclosure is not base64url")?;
    let Disclosure(_salt, name, value) =
        serde_json::from_slice(room).map_err(|_| "a disclosure is not [salt, name, value]")?;
    Ok((name, value))
}

/// Claims being hidden.
pub struct Hider {
    /// `"name",value]` of each, one behind the other: the disclosures without their salts.
    json: Vec<u8>,
    ends: Vec<usize>,
}

/// Claims hidden.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// Each disclosure is base64url of `[salt, name, value]`; in the order of the claims, with "~" between them, as they stand
    /// in the journal.
    pub disclosures: String,
    /// Their digests and the decoys, sorted: `_sd`.
    pub digests: Vec<Digest>,
}

/// Why claims could not be hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HideError {
    /// More claims than an entry can carry ([`MAX_DIGESTS`]).
    TooManyClaims,
    /// Without randomness nothing is blinded: the salts would be guessable.
    NoRandomness,
}

/// Room for most records, so that little is moved while they are written.
impl Default for Hider {
    fn default() -> Hider {
        Hider { json: Vec::with_capacity(1024), ends: Vec::with_capacity(16) }
    }
}

impl Hider {
    /// Hides a claim. Names are this program's own, of letters, "_", "/" and digits.
    pub fn hide(&mut self, name: impl Display, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.hide_written(name, |json| serde_json::to_writer(json, value))
    }

    /// Hides a claim whose JSON `write` adds.
    pub fn hide_written(
        &mut self,
        name: impl Display,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        write!(self.json, "\"{name}\",").map_err(serde_json::Error::io)?;
        write(&mut self.json)?;
        self.json.push(b']');
        self.ends.push(self.json.len());
        Ok(())
    }

    /// Salts everything afresh.
    pub fn finish(self) -> Result<Hidden, HideError> {
        let claims = self.ends.len();
        let bucket = BUCKETS.into_iter().find(|size| *size >= claims).ok_or(HideError::TooManyClaims)?;
        let mut random = vec![0; claims * SALT_BYTES + (bucket - claims) * 32];
        noise::fill(&mut random).map_err(|_| HideError::NoRandomness)?;
        let (salts, decoys) = random.split_at(claims * SALT_BYTES);
        // A salt, its quotes, brackets and commas take 26 bytes, three bytes make four letters.
        let mut disclosures = String::with_capacity((self.json.len() + claims * 29) / 3 * 4 + 4);
        let mut digests = Vec::with_capacity(bucket);
        let (mut disclosure, mut begin) = (Vec::with_capacity(256), 0);
        for (end, salt) in self.ends.into_iter().zip(salts.chunks_exact(SALT_BYTES)) {
            disclosure.clear();
            disclosure.extend_from_slice(b"[\"");
            disclosure.extend_from_slice(&letters::<SALT_LETTERS>(salt));
            disclosure.extend_from_slice(b"\",");
            disclosure.extend_from_slice(&self.json[begin..end]);
            begin = end;
            if !disclosures.is_empty() {
                disclosures.push('~');
            }
            let at = disclosures.len();
            URL_SAFE_NO_PAD.encode_append(&disclosure, &mut disclosures);
            digests.push(Digest::of(digest(&SHA256, &disclosures.as_bytes()[at..]).as_ref()));
        }
        digests.extend(decoys.chunks_exact(32).map(Digest::of));
        digests.sort_unstable();
        Ok(Hidden { disclosures, digests })
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
        let mut room = Vec::new();
        let (name, value) = open(disclosure, &mut room).unwrap();
        assert_eq!((name.as_ref(), value.get()), ("family_name", "\"Möbius\""));
    }

    #[test]
    fn what_is_no_disclosure_is_not_opened() {
        let mut room = Vec::new();
        for text in [
            "[\"s\",\"n\"]",
            "[\"s\",\"n\",1,2]",
            "[1,\"n\",1]",
            "[\"s\",1,1]",
            "{}",
            "[\"s\",\"n\",]",
            "[\"s\",\"n\",1] x",
        ] {
            assert!(open(&BASE64URL.encode(text), &mut room).is_err(), "{text}");
        }
        // Padding, letters of the other alphabet, bits left over, a length that no bytes have.
        let right = BASE64URL.encode("[\"s\",\"n\",1]");
        assert!(open(&right, &mut room).is_ok() && right.len() % 4 == 3 && right.ends_with('0'));
        for wrong in [
            format!("{right}="),
            right.replacen('W', "+", 1),
            right.replace("0", "1"),
            format!("{right}AA"),
            format!("{right} "),
        ] {
            assert!(wrong != right && open(&wrong, &mut room).is_err(), "{wrong}");
        }
    }

    #[test]
    fn letters_are_taken_and_refused_as_another_library_does() {
        // Of every length, so that each way through the vector instructions is gone, with one letter wrong at every place.
        for bytes in 0..120_u8 {
            let text = BASE64URL.encode((0..bytes).map(|at| at.wrapping_mul(37) ^ bytes).collect::<Vec<_>>());
            let mut cases = vec![text.clone(), format!("{text}="), format!("{text}A")];
            for at in 0..text.len() {
                for wrong in ["+", "/", "=", "\n", "B", "\u{7f}"] {
                    cases.push(format!("{}{wrong}{}", &text[..at], &text[at + 1..]));
                }
            }
            for case in cases {
                assert_eq!(URL_SAFE_NO_PAD.decode_to_vec(&case).ok(), BASE64URL.decode(&case).ok(), "{case:?}");
            }
        }
    }

    #[test]
    fn digests_are_padded_sorted_and_cover_every_disclosure() {
        for claims in [0, 1, 8, 9, 700, 1_000] {
            let mut hider = Hider::default();
            for at in 0..claims {
                hider.hide(format!("value/{at}"), &at).unwrap();
            }
            let Hidden { disclosures, digests } = hider.finish().unwrap();
            assert!(BUCKETS.contains(&digests.len()) && digests.len() >= claims);
            assert!(digests.is_sorted());
            let disclosures: Vec<&str> = disclosures.split('~').filter(|one| !one.is_empty()).collect();
            assert_eq!(disclosures.len(), claims);
            let is_signed = |one: &&str| digests.iter().any(|digest| digest.as_bytes() == digest_of(one).as_bytes());
            assert!(disclosures.iter().all(is_signed));
            for (at, disclosure) in disclosures.iter().enumerate() {
                let mut room = Vec::new();
                let (name, value) = open(disclosure, &mut room).unwrap();
                assert_eq!((name.as_ref(), value.get()), (format!("value/{at}").as_str(), at.to_string().as_str()));
            }
        }
        let mut hider = Hider::default();
        for at in 0..=1_000 {
            hider.hide(format!("value/{at}"), &at).unwrap();
        }
        assert_eq!(hider.finish(), Err(HideError::TooManyClaims));
    }
}
