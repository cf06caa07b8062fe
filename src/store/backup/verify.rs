//! Is a backup still what was written? Every file is read whole; with the key of an encrypted one, or where it is plain, the
//! log in it is walked too: every checksum, the chain of its groups, its tree.

use std::path::Path;

use serde::Serialize;

use super::error::{BackupError, Damage};
use super::folder::BackupFolder;
use super::manifest::{Head, Manifest, SegmentFile};
use super::{BackupKey, Watch};
use crate::model::time::Timestamp;
use crate::store::journal::walk::Walk;
use crate::store::rows::leaf_hash;
use crate::tlog::frontier::Frontier;

/// What a look at a backup found.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    pub created: Timestamp,
    /// Frames below this sequence are in it.
    pub sequence: u64,
    pub segments: usize,
    pub bytes: u64,
    pub is_encrypted: bool,
    pub has_keys: bool,
    /// False where the key of an encrypted backup was not given: then the files were compared with their hashes, and what they hold,
    /// and who wrote the manifest, cannot be told.
    pub is_content_checked: bool,
    pub head: Head,
    /// Everything that is not what was written.
    pub damage: Vec<Damage>,
}

/// Reads all of a backup. Damage is told, not an error, unless it is in the manifest.
pub fn verify(path: &Path, key: Option<&BackupKey>, watch: Watch<'_>) -> Result<Verified, BackupError> {
    let folder = BackupFolder::for_reading(path)?;
    let manifest = folder.manifest(key)?.ok_or_else(|| BackupError::NoBackup(path.to_owned()))?;
    let is_content_checked = manifest.key.is_none() || key.is_some();
    let total = manifest.bytes();
    let mut found = Found { walk: Some(Walk::from_start()), tree: Frontier::default(), damage: Vec::new() };
    let mut done = 0;
    for segment in &manifest.segments {
        let is_told = match folder.read(&segment.file, key) {
            Ok(bytes) if is_content_checked => found.walk_over(segment, &bytes),
            Ok(_) => None,
            Err(BackupError::Damaged(damage)) => Some(damage),
            Err(error) => return Err(error),
        };
        if let Some(damage) = is_told {
            found.damage.push(damage);
            // What follows cannot be joined to what is damaged: its own hashes must do.
            found.walk = None;
        }
        done += segment.file.length;
        watch(done, total);
    }
    if let Some(keys) = &manifest.keys {
        match folder.stream(keys, key, &mut |_| {}) {
            Err(BackupError::Damaged(damage)) => found.damage.push(damage),
            other => other?,
        }
        watch(total, total);
    }
    if is_content_checked {
        found.compare(&manifest);
    }
    Ok(Verified {
        created: manifest.created,
        sequence: manifest.tail.sequence,
        segments: manifest.segments.len(),
        bytes: total,
        is_encrypted: manifest.key.is_some(),
        has_keys: manifest.keys.is_some(),
        is_content_checked,
        head: manifest.head(),
        damage: found.damage,
    })
}

struct Found {
    /// `None` once something did not pass.
    walk: Option<Walk>,
    tree: Frontier,
    damage: Vec<Damage>,
}

impl Found {
    fn walk_over(&mut self, segment: &SegmentFile, bytes: &[u8]) -> Option<Damage> {
        let walk = self.walk.as_mut()?;
        let damage = |offset, what| Some(Damage { file: segment.file.name.clone(), offset: Some(offset), what });
        if let Err(fault) = walk.enter(bytes) {
            return damage(fault.offset, fault.what);
        }
        while let Some(seen) = walk.group(bytes) {
            for frame in seen.frames.iter().filter(|frame| frame.kind.in_registry()) {
                self.tree.push(leaf_hash(frame.statement));
            }
            walk.accept(&seen);
        }
        if u64::from(walk.tail.offset) != bytes.len() as u64 || segment.used != bytes.len() as u64 {
            return damage(walk.tail.offset.into(), "a group does not pass its checksum");
        }
        None
    }

    /// Whether the whole is what the manifest says.
    fn compare(&mut self, manifest: &Manifest) {
        let Some(walk) = &self.walk else {
            return;
        };
        if let Some(location) = walk.unexplained() {
            let name = manifest.segments.get(location.segment as usize - 1).map(|segment| segment.file.name.clone());
            self.damage.push(Damage {
                file: name.unwrap_or_default(),
                offset: Some(location.offset.into()),
                what: "disclosures do not pass their checksum, and no erasure names them",
            });
        }
        if walk.tail != manifest.tail || self.tree != manifest.tree {
            self.damage.push(Damage {
                file: super::manifest::MANIFEST_FILE.to_owned(),
                offset: None,
                what: "the segments end elsewhere than it says",
            });
        }
    }
}
