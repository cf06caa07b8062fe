//! The bundle: all that a partner needs to check one answer with no node at hand, in one file without a byte that is not checked.
//!
//! ```text
//! {"bundle":"mingpai-bundle@1","entry":"<issuer JWT>~<disclosures>~","proof":{"index","hashes","checkpoint"},
//!  "latest":"<JWS>","statements":[{"index","statement","hashes"},...]}
//! ```
//! `latest` is the node's word that the version is the newest at the checkpoint (`latest`); `statements` are those of the log about
//! its keys and the prefix's licences (`licence`), each with its own proof. The packed form is the same without `statements`,
//! its base64 taken off, compressed (RFC 1951), with a CRC32C behind it, in base45 (RFC 9285): the letters of a QR code's
//! alphanumeric mode.

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::tlog::hash::Hash;
use crate::tlog::log_proof;
use crate::tlog::proof::PROOF_HASHES;

/// Names the form, and its version.
pub const BUNDLE_FORM: &str = "mingpai-bundle@1";
/// Before the packed form; a later one has another number.
pub const PACKED_PREFIX: &str = "MPB1:";
/// The most bytes that a packed bundle unpacks to: an entry has at most 64 KiB and discloses a mebibyte.
const UNPACKED_LIMIT_BYTES: u64 = 4 << 20;
/// More statements than any node will have about its keys and one prefix.
const STATEMENTS_AT_MOST: usize = 10_000;

/// One answer with all its proofs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    pub bundle: String,
    /// The compact SD-JWT.
    pub entry: String,
    pub proof: LogProof,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<ProvenStatement>,
}

/// Where the entry stands in the log, the way from there to the root, and the signed root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogProof {
    pub index: u64,
    /// In base64.
    pub hashes: Vec<String>,
    pub checkpoint: String,
}

/// A statement of the log, and the way from it to the same root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProvenStatement {
    pub index: u64,
    /// The compact JWS: the leaf.
    pub statement: String,
    pub hashes: Vec<String>,
}

/// As a bundle has it; what an application added proves nothing, and is left out.
impl From<&log_proof::LogProof> for LogProof {
    fn from(file: &log_proof::LogProof) -> LogProof {
        LogProof { index: file.index, hashes: encode_hashes(&file.hashes), checkpoint: file.checkpoint.to_string() }
    }
}

/// Hashes as a bundle writes them.
#[must_use]
pub fn encode_hashes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| BASE64.encode(hash)).collect()
}

/// Hashes as a bundle has them; `None` where one is none, or there are more than a proof can have.
#[must_use]
pub fn decode_hashes(hashes: &[String]) -> Option<Vec<Hash>> {
    if hashes.len() > PROOF_HASHES {
        return None;
    }
    hashes.iter().map(|hash| BASE64.decode(hash).ok()?.try_into().ok()).collect()
}

impl Bundle {
    /// Reads the JSON form. There is one way to write a bundle: another is none, so that no byte of a file means nothing.
    pub fn read(text: &str) -> Result<Bundle, String> {
        let bundle: Bundle = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if bundle.bundle != BUNDLE_FORM {
            return Err(format!("it is not a {BUNDLE_FORM}"));
        }
        if bundle.statements.len() > STATEMENTS_AT_MOST {
            return Err(format!("it has more than {STATEMENTS_AT_MOST} statements"));
        }
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_plain =
            bundle.entry.bytes().all(is_letter) && bundle.entry.ends_with('~') && !bundle.entry.contains("~~");
        if !is_plain || bundle.encode() != text {
            return Err("it is not written as a bundle is".to_owned());
        }
        Ok(bundle)
    }

    /// The JSON form.
    #[must_use]
    pub fn encode(&self) -> String {
        // Text and numbers: their serialising into memory has no failure to report.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The packed form, without `statements`: for a code on a label. `None` where the parts are not what a node writes.
    #[must_use]
    pub fn pack(&self) -> Option<String> {
        let mut parts = Parts(Vec::new());
        let mut entry = self.entry.strip_suffix('~')?.split('~');
        parts.put_jws(entry.next()?)?;
        parts.put_number(entry.clone().count() as u64);
        for disclosure in entry {
            parts.put(&decode_exactly(disclosure)?);
        }
        parts.put_number(self.proof.index);
        parts.put(&decode_hashes(&self.proof.hashes)?.concat());
        parts.put(self.proof.checkpoint.as_bytes());
        if let Some(latest) = &self.latest {
            parts.put_jws(latest)?;
        }
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&parts.0).ok()?;
        let mut packed = encoder.finish().ok()?;
        let crc = crc32c::crc32c(&packed);
        packed.extend_from_slice(&crc.to_be_bytes());
        Some(format!("{PACKED_PREFIX}{}", base45::encode(&packed)))
    }

    /// Reads the packed form.
    pub fn unpack(text: &str) -> Result<Bundle, &'static str> {
        let text = text.strip_prefix(PACKED_PREFIX).ok_or("it is not a packed bundle")?;
        let packed = base45::decode(text).map_err(|_| "it is not base45")?;
        if base45::encode(&packed) != text {
            return Err("it is not written as a bundle is");
        }
        // Compressed bytes can say the same in many ways: the checksum leaves one.
        let (packed, crc) = packed.split_last_chunk::<4>().ok_or("it is cut short")?;
        if crc32c::crc32c(packed).to_be_bytes() != *crc {
            return Err("its checksum is wrong: it was read or copied with a mistake");
        }
        let mut bytes = Vec::new();
        let mut decoder = DeflateDecoder::new(packed);
        let unpacked = decoder.by_ref().take(UNPACKED_LIMIT_BYTES + 1).read_to_end(&mut bytes);
        let is_whole = decoder.total_in() == packed.len() as u64;
        if unpacked.is_err() || !is_whole || bytes.len() as u64 > UNPACKED_LIMIT_BYTES {
            return Err("it does not unpack, or to more than a bundle has");
        }
        Bundle::of_parts(&mut Reading(&bytes)).ok_or("its parts are cut short or too many")
    }

    fn of_parts(parts: &mut Reading<'_>) -> Option<Bundle> {
        let mut entry = parts.jws()?;
        entry.push('~');
        for _ in 0..parts.number()? {
            entry.push_str(&BASE64URL.encode(parts.part().filter(|part| !part.is_empty())?));
            entry.push('~');
        }
        let index = parts.number()?;
        let (hashes, rest) = parts.part()?.as_chunks::<32>();
        let checkpoint = String::from_utf8(parts.part()?.to_vec()).ok()?;
        let latest = if parts.0.is_empty() { None } else { Some(parts.jws()?) };
        (rest.is_empty() && parts.0.is_empty()).then(|| Bundle {
            bundle: BUNDLE_FORM.to_owned(),
            entry,
            proof: LogProof { index, hashes: encode_hashes(hashes), checkpoint },
            latest,
            statements: Vec::new(),
        })
    }
}

/// base64url that was written in its only way.
fn decode_exactly(text: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
}

/// Parts one behind the other, each with its length.
struct Parts(Vec<u8>);

impl Parts {
    fn put_number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    fn put(&mut self, part: &[u8]) {
        self.0.extend_from_slice(&(part.len() as u32).to_be_bytes());
        self.0.extend_from_slice(part);
    }

    fn put_jws(&mut self, compact: &str) -> Option<()> {
        let mut parts = compact.split('.');
        for _ in 0..3 {
            self.put(&decode_exactly(parts.next()?)?);
        }
        parts.next().is_none().then_some(())
    }
}

/// The same, read back.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_be_bytes(*number))
    }

    fn part(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        self.0 = rest;
        Some(part)
    }

    fn jws(&mut self) -> Option<String> {
        let parts = [self.part()?, self.part()?, self.part()?];
        Some(parts.map(|part| BASE64URL.encode(part)).join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        let jws = |text: &str| {
            [br#"{"alg":"EdDSA"}"#.as_slice(), text.as_bytes(), &[7; 64]].map(|part| BASE64URL.encode(part)).join(".")
        };
        let disclosure = BASE64URL.encode(r#"["salt","sub","88.999.1/A1"]"#);
        Bundle {
            bundle: BUNDLE_FORM.to_owned(),
            entry: format!("{}~{disclosure}~{disclosure}~", jws(r#"{"ver":1}"#)),
            proof: LogProof {
                index: 77,
                hashes: encode_hashes(&[[1; 32], [2; 32]]),
                checkpoint: "example.com/log\n9\nAAAA\n\n\u{2014} example.com/log AAAA\n".to_owned(),
            },
            latest: Some(jws(r#"{"ver":1,"size":9}"#)),
            statements: vec![ProvenStatement { index: 0, statement: jws("{}"), hashes: encode_hashes(&[[3; 32]]) }],
        }
    }

    #[test]
    fn a_bundle_survives_the_trip_in_both_forms() {
        let bundle = bundle();
        assert_eq!(Bundle::read(&bundle.encode()), Ok(bundle.clone()));
        let packed = bundle.pack().unwrap();
        let alphanumeric = |byte: u8| b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:".contains(&byte);
        assert!(packed.bytes().all(alphanumeric), "ISO/IEC 18004, 7.4.4: {packed}");
        let without = Bundle { statements: Vec::new(), ..bundle };
        assert_eq!(Bundle::unpack(&packed), Ok(without.clone()));
        let bare = Bundle { latest: None, ..without };
        assert_eq!(Bundle::unpack(&bare.pack().unwrap()), Ok(bare));
    }

    #[test]
    fn there_is_one_way_to_write_a_bundle() {
        let text = bundle().encode();
        for other in [
            format!(" {text}"),
            format!("{text}\n"),
            text.replacen(':', ": ", 1),
            text.replacen("\"proof\"", "\"pr\\u006fof\"", 1),
            text.replacen("{\"bundle\"", "{\"more\":1,\"bundle\"", 1),
            text.replacen("@1", "@2", 1),
        ] {
            assert!(Bundle::read(&other).is_err(), "{other}");
        }
        let packed = bundle().pack().unwrap();
        for at in 0..packed.len() {
            for letter in "0A:".chars() {
                let mut changed = packed.clone();
                changed.replace_range(at..=at, &letter.to_string());
                assert!(changed == packed || Bundle::unpack(&changed).is_err(), "{at}: {letter}");
            }
        }
        assert!(Bundle::unpack(PACKED_PREFIX).is_err());
        assert!(Bundle::unpack("MPB2:00").is_err());
    }
}
