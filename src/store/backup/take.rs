//! A run: what is new in the log goes into the folder, what was erased since is blanked there, and a manifest says so.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::error::{BackupError, SourceError};
use super::folder::{BackupFolder, io_error};
use super::manifest::{Head, Manifest, SegmentFile};
use super::{BackupKey, KeyFile, Naming, ReadLog, Watch};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::store::checkpoint;
use crate::store::cold;
use crate::store::journal::format::SEGMENT_HEADER_BYTES;
use crate::store::journal::walk::{Seen, Walk, WalkFault, blank};
use crate::store::journal::{self, FrameKind, Location, Reader, Tail, segment_name};
use crate::store::medium::Disk;
use crate::store::open::{OpenError, lock_folder};
use crate::store::rows::leaf_hash;

/// An erasure on its way may blank what is being read; its own frame follows within a group's time.
const ERASURE_ROUNDS: u32 = 100;
const ERASURE_PAUSE: Duration = Duration::from_millis(50);

/// A log that can be copied.
pub trait Source {
    /// Where it durably ends now. Everything that was acknowledged before this was asked is below.
    fn tail(&mut self) -> Result<Tail, SourceError>;
    /// Bytes of a segment's file, up to `until` or, without it, to the file's end.
    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError>;
}

/// What a run is to do.
pub struct Take<'t> {
    pub folder: &'t Path,
    /// Encrypts; absent: the backup is plain.
    pub key: Option<&'t BackupKey>,
    /// The node's keys, to be kept too. Without them those of an earlier run stay.
    pub keys: Option<&'t [KeyFile]>,
    pub log: &'t dyn ReadLog,
}

/// What a run did.
#[derive(Clone, Debug, Serialize)]
pub struct TakeDone {
    pub created: Timestamp,
    /// Frames below this sequence are in the backup.
    pub sequence: u64,
    pub new_frames: u64,
    /// Bytes of the log that were not in the backup before.
    pub new_bytes: u64,
    /// Frames whose disclosures were blanked by this run.
    pub newly_erased: u64,
    /// Bytes of the whole backup.
    pub bytes: u64,
    pub is_encrypted: bool,
    /// Whether the node's private keys are in it.
    pub has_keys: bool,
    pub head: Head,
}

/// Brings the backup in a folder to where the log is, or begins one.
pub fn take(what: &Take<'_>, source: &mut dyn Source, watch: Watch<'_>) -> Result<TakeDone, BackupError> {
    let folder = BackupFolder::for_writing(what.folder)?;
    let before = folder.manifest(what.key)?;
    let mut run = Run::begin(what, &folder, before.clone())?;
    let began = run.walk.tail;
    let written =
        run.follow(source, watch).and_then(|()| run.blank_erased()).and_then(|erased| run.keep_keys().map(|()| erased));
    let newly_erased = match written {
        Ok(erased) => erased,
        Err(error) => {
            // What is half there helps nobody, and may be what filled the disk.
            let _ = folder.sweep(before.as_ref());
            return Err(error);
        }
    };
    let Run { mut manifest, walk, new_bytes, .. } = run;
    manifest.tail = walk.tail;
    manifest.erased += walk.erased().len() as u64;
    manifest.created = Timestamp::now();
    manifest.program = env!("CARGO_PKG_VERSION").to_owned();
    folder.publish(&manifest, what.key)?;
    folder.sweep(Some(&manifest))?;
    Ok(TakeDone {
        created: manifest.created,
        sequence: manifest.tail.sequence,
        new_frames: manifest.tail.sequence - began.sequence,
        new_bytes,
        newly_erased,
        bytes: manifest.bytes(),
        is_encrypted: manifest.key.is_some(),
        has_keys: manifest.keys.is_some(),
        head: manifest.head(),
    })
}

struct Run<'r> {
    what: &'r Take<'r>,
    folder: &'r BackupFolder,
    /// What will be published.
    manifest: Manifest,
    walk: Walk,
    new_bytes: u64,
}

impl<'r> Run<'r> {
    fn begin(what: &'r Take<'r>, folder: &'r BackupFolder, before: Option<Manifest>) -> Result<Run<'r>, BackupError> {
        let mut manifest = before.unwrap_or_else(|| Manifest::empty(Walk::from_start().tail, what.key));
        if let (Some(wanted), None) = (&manifest.key, what.key) {
            return Err(BackupError::KeyNeeded { wanted: wanted.clone() });
        }
        manifest.generation += 1;
        Ok(Run { what, folder, walk: Walk::from(manifest.tail), manifest, new_bytes: 0 })
    }

    /// Copies up to the end of the log, and on until every blank is explained by an erasure.
    fn follow(&mut self, source: &mut dyn Source, watch: Watch<'_>) -> Result<(), BackupError> {
        for _ in 0..ERASURE_ROUNDS {
            let until = source.tail().map_err(BackupError::Source)?;
            self.copy(source, until, watch)?;
            if self.walk.unexplained().is_none() {
                return Ok(());
            }
            std::thread::sleep(ERASURE_PAUSE);
        }
        let Location { segment, offset, .. } = self.walk.unexplained().unwrap_or_default();
        Err(BackupError::SourceDamaged { segment, offset: offset.into() })
    }

    fn copy(&mut self, source: &mut dyn Source, until: Tail, watch: Watch<'_>) -> Result<(), BackupError> {
        let place = self.walk.tail;
        if until.sequence < place.sequence {
            return Err(BackupError::Behind { log: until.sequence, backup: place.sequence });
        }
        if until.sequence == place.sequence {
            let is_same = until.previous == place.previous;
            return is_same.then_some(()).ok_or_else(|| self.other_log("the last group is another"));
        }
        for number in place.segment.max(1)..=until.segment {
            self.segment(source, number, until)?;
            watch(self.new_bytes, 0);
        }
        let arrived = self.walk.tail.sequence == until.sequence && self.walk.tail.previous == until.previous;
        arrived.then_some(()).ok_or_else(|| self.other_log("a durable group does not pass its checksum or is another"))
    }

    /// Adds what is new of one segment.
    fn segment(&mut self, source: &mut dyn Source, number: u32, until: Tail) -> Result<(), BackupError> {
        let mut bytes = match self.manifest.segments.get(number as usize - 1) {
            Some(known) => self.folder.read(&known.file, self.what.key)?,
            None => Vec::new(),
        };
        let known = bytes.len();
        if known > 0 {
            let head = source.bytes(number, 0, Some(SEGMENT_HEADER_BYTES as u64)).map_err(BackupError::Source)?;
            if !bytes.starts_with(&head) {
                return Err(self.other_log("the segment is another"));
            }
        }
        let end = (number == until.segment).then_some(u64::from(until.offset));
        bytes.extend(source.bytes(number, known as u64, end).map_err(BackupError::Source)?);
        let before = self.walk.tail;
        self.walk.enter(&bytes).map_err(|fault| self.misfit(number, fault))?;
        while self.walk.tail.sequence < until.sequence
            && let Some(seen) = self.walk.group(&bytes)
        {
            self.note(&seen);
            self.walk.accept(&seen);
        }
        bytes.truncate(self.walk.tail.offset as usize);
        if self.walk.tail == before {
            return Ok(());
        }
        self.new_bytes += bytes.len().saturating_sub(known) as u64;
        self.store(number, &bytes)
    }

    fn note(&mut self, seen: &Seen<'_>) {
        for frame in &seen.frames {
            if frame.kind.in_registry() {
                self.manifest.tree.push(leaf_hash(frame.statement));
            }
            if frame.kind == FrameKind::Statement {
                name(&mut self.manifest.origin, self.what.log.naming(frame.statement));
            }
        }
    }

    fn store(&mut self, number: u32, bytes: &[u8]) -> Result<(), BackupError> {
        let name = format!("{}.{}", segment_name(number), self.manifest.generation);
        let file = self.folder.write(&name, bytes, self.what.key)?;
        let entry = SegmentFile { number, used: bytes.len() as u64, file };
        match self.manifest.segments.get_mut(number as usize - 1) {
            Some(known) => *known = entry,
            None => self.manifest.segments.push(entry),
        }
        Ok(())
    }

    /// Blanks what the new erasures name, wherever in the backup it lies.
    fn blank_erased(&mut self) -> Result<u64, BackupError> {
        let mut places: BTreeMap<u32, Vec<Location>> = BTreeMap::new();
        for location in self.walk.erased() {
            places.entry(location.segment).or_default().push(*location);
        }
        let mut blanked = 0;
        for (number, locations) in places {
            let nowhere =
                |location: &Location| BackupError::SourceDamaged { segment: number, offset: location.offset.into() };
            let Some(known) = self.manifest.segments.get(number as usize - 1) else {
                return Err(nowhere(&Location::default()));
            };
            let mut bytes = self.folder.read(&known.file, self.what.key)?;
            let mut shown = 0;
            for location in &locations {
                shown += u64::from(blank(&mut bytes, *location).ok_or_else(|| nowhere(location))?);
            }
            if shown > 0 {
                self.store(number, &bytes)?;
            }
            blanked += shown;
        }
        Ok(blanked)
    }

    fn keep_keys(&mut self) -> Result<(), BackupError> {
        let Some(files) = self.what.keys else {
            return Ok(());
        };
        let encoded: Vec<KeyFileJson> = files
            .iter()
            .map(|file| KeyFileJson { name: file.name.clone(), content: BASE64.encode(&file.bytes) })
            .collect();
        let name = format!("keys.{}", self.manifest.generation);
        let failed = |error: serde_json::Error| io_error("write", self.what.folder)(error.into());
        let bytes = serde_json::to_vec(&encoded).map_err(failed)?;
        self.manifest.keys = Some(self.folder.write(&name, &bytes, self.what.key)?);
        Ok(())
    }

    fn other_log(&self, what: &'static str) -> BackupError {
        let Tail { segment, offset, .. } = self.walk.tail;
        BackupError::OtherLog { segment, offset: offset.into(), what }
    }

    /// A segment that does not follow: the fault is where the one before it stopped passing.
    fn misfit(&self, number: u32, fault: WalkFault) -> BackupError {
        if number == self.walk.tail.segment + 1 && number > 1 {
            return self.other_log(fault.what);
        }
        BackupError::OtherLog { segment: number, offset: fault.offset, what: fault.what }
    }
}

/// A key's file in the backup.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyFileJson {
    pub name: String,
    /// Base64.
    pub content: String,
}

/// Follows what statements say of the log's name.
pub(super) fn name(origin: &mut String, naming: Option<Naming>) {
    match naming {
        Some(Naming::Origin(name)) => *origin = name,
        Some(Naming::Issuer(name)) if origin.is_empty() => *origin = name,
        _ => {}
    }
}

/// The log in a data folder that no node has open; the folder stays locked as long as this is held.
pub struct OfflineSource {
    journal: Arc<Reader>,
    tail: Tail,
    _locks: [Option<File>; 2],
}

impl OfflineSource {
    /// Finds the log's end as an opening does, and makes it durable.
    pub fn open(data: &Path) -> Result<OfflineSource, OpenError> {
        let lock = lock_folder(data)?;
        // Without a configuration the folder's own word says where its cold segments are.
        let folders = cold::open(Disk::existing(&data.join("journal")), cold::noted(data).as_deref())?.whole()?;
        crate::store::restored::Restored::load(folders.hot.as_ref())?;
        let durable = checkpoint::load(folders.hot.as_ref()).map_or(0, |checkpoint| checkpoint.tail.sequence);
        let (journal, tail) = journal::settled(folders.segments().as_ref(), durable)?;
        Ok(OfflineSource { journal, tail, _locks: [Some(lock), folders.lock] })
    }
}

impl Source for OfflineSource {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        Ok(self.tail)
    }

    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        let failed = |error: journal::JournalError| -> Text { error.text() };
        self.journal.raw(segment, from, until.unwrap_or(u64::MAX)).map_err(|error| SourceError(failed(error)))
    }
}
