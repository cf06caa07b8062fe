//! The manifest: what a backup consists of and where in the log it ends.
//!
//! ```text
//! line 1   JSON
//! line 2   "sha256 " and the hash of line 1 with its line end
//! line 3   "hmac-sha256 " and the tag of lines 1 and 2 under the backup key; encrypted backups only
//! ```
//! The lines are compared byte by byte: nothing in the file is without a check.

use serde::{Deserialize, Serialize};

use super::cipher::BackupKey;
use super::error::{BackupError, Damage};
use super::hex;
use crate::model::time::Timestamp;
use crate::store::journal::Tail;
use crate::tlog::frontier::Frontier;

/// The file's name.
pub(super) const MANIFEST_FILE: &str = "manifest";
/// The most bytes of a manifest: some 200 a segment.
pub(super) const MANIFEST_LIMIT_BYTES: u64 = 256 << 20;
const FORMAT: u64 = 1;

/// What a backup consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this shape.
    pub format: u64,
    /// The version of the program that wrote it.
    pub program: String,
    /// Counts the runs; new files carry it in their names.
    pub generation: u64,
    pub created: Timestamp,
    /// The log's name: what its last origin statement says, else its issuer.
    pub origin: String,
    /// The id of the key that encrypts the files; absent: they are plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The place in the log that the backup ends at.
    pub tail: Tail,
    /// The registry tree there.
    pub tree: Frontier,
    /// Frames whose disclosures are blank, by an erasure.
    pub erased: u64,
    /// One a segment, in their order, from 1.
    pub segments: Vec<SegmentFile>,
    /// The node's keys, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<StoredFile>,
}

/// A file of the backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    pub name: String,
    /// Bytes of the file as it lies there.
    pub length: u64,
    /// SHA-256 of the file as it lies there.
    pub sha256: String,
}

/// A segment's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFile {
    pub number: u32,
    /// Bytes of the segment that are used, its head included.
    pub used: u64,
    #[serde(flatten)]
    pub file: StoredFile,
}

/// A head of the log: what a checkpoint states (C2SP tlog-checkpoint).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Head {
    pub origin: String,
    pub size: u64,
    /// Base64, as in a checkpoint.
    pub root: String,
}

impl Manifest {
    /// One of a backup that has nothing yet.
    pub(super) fn empty(tail: Tail, key: Option<&BackupKey>) -> Manifest {
        Manifest {
            format: FORMAT,
            program: String::new(),
            generation: 0,
            created: Timestamp::now(),
            origin: String::new(),
            key: key.map(BackupKey::id),
            tail,
            tree: Frontier::default(),
            erased: 0,
            segments: Vec::new(),
            keys: None,
        }
    }

    /// The head of the log that the backup ends at.
    #[must_use]
    pub fn head(&self) -> Head {
        head(&self.origin, &self.tree)
    }

    /// Every file that the manifest names.
    pub(super) fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.segments.iter().map(|segment| &segment.file).chain(self.keys.as_ref())
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files().map(|file| file.length).sum()
    }

    pub(super) fn encode(&self, key: Option<&BackupKey>) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        let line = format!("sha256 {}\n", sha256(&text));
        text.extend_from_slice(line.as_bytes());
        if let Some(key) = key {
            let line = format!("hmac-sha256 {}\n", key.tag(&text));
            text.extend_from_slice(line.as_bytes());
        }
        Ok(text)
    }

    /// Reads a manifest and checks all of it that can be checked: without the key of an encrypted one not who wrote it.
    pub(super) fn decode(bytes: &[u8], key: Option<&BackupKey>) -> Result<Manifest, BackupError> {
        let damaged = |what| BackupError::damaged(Damage { file: MANIFEST_FILE.to_owned(), offset: None, what });
        let (json, rest) = line_of(bytes).ok_or_else(|| damaged("it has no line end"))?;
        let (sum, rest) = line_of(rest).ok_or_else(|| damaged("its checksum is missing"))?;
        if sum != format!("sha256 {}\n", sha256(json)).as_bytes() {
            return Err(damaged("its checksum is wrong"));
        }
        let manifest: Manifest = serde_json::from_slice(json).map_err(|_| damaged("it does not read"))?;
        if manifest.format != FORMAT {
            return Err(BackupError::Newer { program: manifest.program });
        }
        match (&manifest.key, key) {
            (None, None) if rest.is_empty() => {}
            (None, None) => return Err(damaged("something follows its checksum")),
            (Some(_), None) => {}
            (None, Some(_)) => return Err(BackupError::NotEncrypted),
            (Some(wanted), Some(key)) => {
                if *wanted != key.id() {
                    return Err(BackupError::WrongKey { wanted: wanted.clone(), given: key.id() });
                }
                let signed = &bytes[..bytes.len() - rest.len()];
                if rest != format!("hmac-sha256 {}\n", key.tag(signed)).as_bytes() {
                    return Err(damaged("it was not written with this backup key"));
                }
            }
        }
        let in_order = manifest.segments.iter().zip(1..).all(|(segment, number)| segment.number == number);
        if !manifest.tree.is_sound() || !in_order {
            return Err(damaged("it contradicts itself"));
        }
        Ok(manifest)
    }
}

pub(super) fn head(origin: &str, tree: &Frontier) -> Head {
    use base64::Engine;
    let root = base64::engine::general_purpose::STANDARD.encode(tree.root());
    Head { origin: origin.to_owned(), size: tree.size, root }
}

fn line_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    Some(bytes.split_at(end))
}

fn sha256(bytes: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::walk::Walk;

    #[test]
    fn every_flipped_bit_of_a_manifest_is_found() {
        let key = BackupKey::generate().unwrap();
        for key in [None, Some(&key)] {
            let mut manifest = Manifest::empty(Walk::from_start().tail, key);
            let file = StoredFile { name: "0000000001.journal.1".to_owned(), length: 9, sha256: "ab".to_owned() };
            manifest.segments.push(SegmentFile { number: 1, used: 9, file });
            let bytes = manifest.encode(key).unwrap();
            assert_eq!(Manifest::decode(&bytes, key).unwrap(), manifest);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Manifest::decode(&flipped, key).is_err(), "bit {bit}");
            }
            for end in 0..bytes.len() {
                assert!(Manifest::decode(&bytes[..end], key).is_err(), "cut at {end}");
            }
            assert!(Manifest::decode(&[&bytes[..], b"\n"].concat(), key).is_err());
        }
        let plain = Manifest::empty(Walk::from_start().tail, None).encode(None).unwrap();
        assert!(matches!(Manifest::decode(&plain, Some(&key)), Err(BackupError::NotEncrypted)));
    }
}
