//! A data folder from a backup: the journal and, where the backup has them, the keys. The record store is made at the next start.
//!
//! To a moment: whole groups up to it, since a group is what became durable together. What takes something away for good
//! (erasures, revoked keys) is kept also from later: it is appended behind the moment, so that going back gives
//! nothing back that was taken. A log that was cut so can only begin a new origin (`restored`).

use std::io;
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use super::error::{BackupError, Damage};
use super::folder::{BackupFolder, io_error};
use super::manifest::{Head, Manifest, head};
use super::take::{KeyFileJson, name};
use super::{BackupKey, ReadLog, Watch};
use crate::model::time::Timestamp;
use crate::store::journal::format::{FrameContent, FrameKind, SegmentHeader};
use crate::store::journal::walk::{Seen, SeenFrame, Walk};
use crate::store::journal::{self, Journal, Tail, segment_name};
use crate::store::medium::{Disk, Medium};
use crate::store::open::lock_folder;
use crate::store::restored::{RESTORED_FILE, Restored};
use crate::store::rows::leaf_hash;
use crate::tlog::frontier::Frontier;

/// Frames that are carried behind a moment in one group.
const CARRIED_AT_ONCE: usize = 1_000;

/// How far to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The first so many frames.
    Sequence(u64),
    /// What was written at this time or before.
    Time(Timestamp),
}

/// What is to be restored.
pub struct Restore<'r> {
    pub folder: &'r Path,
    pub key: Option<&'r BackupKey>,
    /// Absent or empty.
    pub data: &'r Path,
    /// `None`: to the end.
    pub moment: Option<Moment>,
    /// The command that does the same again: noted, for whoever finds that it was cut short.
    pub again: Option<String>,
    pub log: &'r dyn ReadLog,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreDone {
    /// When the backup was made.
    pub backup: Timestamp,
    /// Frames that are in the restored log, those carried over included.
    pub sequence: u64,
    /// When the last frame before the moment was written.
    pub last: Option<Timestamp>,
    /// Whether the backup has more than was restored.
    pub is_cut: bool,
    /// Erasures and revocations from after the moment that were kept.
    pub carried: u64,
    pub keys: usize,
    pub head: Head,
}

/// Makes a data folder. It is not to be written to before an operator has decided how its log goes on.
pub fn restore(what: &Restore<'_>, watch: Watch<'_>) -> Result<RestoreDone, BackupError> {
    let folder = BackupFolder::for_reading(what.folder)?;
    let manifest = folder.manifest(what.key)?.ok_or_else(|| BackupError::NoBackup(what.folder.to_owned()))?;
    if let (Some(wanted), None) = (&manifest.key, what.key) {
        return Err(BackupError::KeyNeeded { wanted: wanted.clone() });
    }
    if matches!(what.moment, Some(Moment::Sequence(wanted)) if wanted > manifest.tail.sequence) {
        return Err(BackupError::AfterEnd { sequence: manifest.tail.sequence });
    }
    let mut restored = Restored {
        is_complete: false,
        restored: Timestamp::now(),
        backup: manifest.created,
        origin: String::new(),
        sequence: 0,
        size: 0,
        root: String::new(),
        is_cut: false,
        again: what.again.clone(),
        decision: None,
    };
    Disk::open(what.data).map_err(io_error("make", what.data))?;
    let _lock = lock_folder(what.data).map_err(BackupError::Open)?;
    let medium: Arc<dyn Medium> = Arc::new(prepare(what.data)?);
    let noted = || io_error("write", &what.data.join("journal").join(RESTORED_FILE));
    // First of all: a node must not take what a killed restore leaves for a whole log.
    restored.save(medium.as_ref()).map_err(noted())?;
    let mut log = Log::new(what);
    log.write_segments(&folder, &manifest, medium.as_ref(), watch)?;
    let carried = log.finish(&manifest, &medium)?;
    let keys = write_keys(what, &folder, &manifest)?;
    let head = head(&log.origin, &log.tree);
    restored.is_complete = true;
    restored.again = None;
    restored.origin.clone_from(&head.origin);
    restored.sequence = log.walk.tail.sequence;
    restored.size = head.size;
    restored.root.clone_from(&head.root);
    restored.is_cut = log.ahead.is_some();
    restored.save(medium.as_ref()).map_err(noted())?;
    let (sequence, is_cut) = (restored.sequence, restored.is_cut);
    Ok(RestoreDone { backup: manifest.created, sequence, last: log.last, is_cut, carried, keys, head })
}

/// The log on its way into the folder.
struct Log<'r> {
    what: &'r Restore<'r>,
    walk: Walk,
    tree: Frontier,
    origin: String,
    /// When the last frame was written.
    last: Option<Timestamp>,
    /// Goes on behind the moment, once it was reached.
    ahead: Option<Walk>,
    /// What is kept of that part.
    carried: Vec<FrameContent>,
    segment_bytes: u64,
}

impl<'r> Log<'r> {
    fn new(what: &'r Restore<'r>) -> Log<'r> {
        Log {
            what,
            walk: Walk::from_start(),
            tree: Frontier::default(),
            origin: String::new(),
            last: None,
            ahead: None,
            carried: Vec::new(),
            segment_bytes: 0,
        }
    }

    fn write_segments(
        &mut self,
        folder: &BackupFolder,
        manifest: &Manifest,
        medium: &dyn Medium,
        watch: Watch<'_>,
    ) -> Result<(), BackupError> {
        let (mut done, total) = (0, manifest.bytes());
        for segment in &manifest.segments {
            let bytes = folder.read(&segment.file, self.what.key)?;
            let damaged = |offset: u64, what| {
                BackupError::damaged(Damage { file: segment.file.name.clone(), offset: Some(offset), what })
            };
            let was_ahead = self.ahead.is_some();
            let walk = self.ahead.as_mut().unwrap_or(&mut self.walk);
            let header = walk.enter(&bytes).map_err(|fault| damaged(fault.offset, fault.what))?;
            if !was_ahead {
                self.up_to_the_moment(&bytes)?;
                self.segment_bytes = header.length;
                let is_last = self.ahead.is_some() || header.number as usize == manifest.segments.len();
                let used = self.walk.tail.offset as usize;
                let kept = bytes.get(..used).ok_or_else(|| damaged(0, "the segment is shorter than its groups"))?;
                write_segment(medium, &header, kept, is_last)
                    .map_err(io_error("write", &self.what.data.join("journal").join(segment_name(header.number))))?;
            }
            self.behind_the_moment(&bytes)?;
            let place = self.ahead.as_ref().unwrap_or(&self.walk).tail;
            if u64::from(place.offset) != bytes.len() as u64 {
                return Err(damaged(place.offset.into(), "a group does not pass its checksum"));
            }
            done += segment.file.length;
            watch(done, total);
        }
        Ok(())
    }

    fn up_to_the_moment(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        while let Some(seen) = self.walk.group(bytes) {
            if self.is_behind(&seen) {
                if self.walk.tail.sequence == 0 {
                    let first = seen.frames.first().and_then(|frame| Timestamp::from_seconds(frame.meta.time).ok());
                    return Err(BackupError::BeforeStart { first: first.unwrap_or_else(Timestamp::now) });
                }
                self.ahead = Some(self.walk.clone());
                return Ok(());
            }
            for frame in &seen.frames {
                self.count(frame.kind, frame.statement);
                self.last = Timestamp::from_seconds(frame.meta.time).ok().or(self.last);
            }
            self.walk.accept(&seen);
        }
        Ok(())
    }

    fn count(&mut self, kind: FrameKind, statement: &[u8]) {
        if kind.in_registry() {
            self.tree.push(leaf_hash(statement));
        }
        if kind == FrameKind::Statement {
            name(&mut self.origin, self.what.log.naming(statement));
        }
    }

    fn is_behind(&self, seen: &Seen<'_>) -> bool {
        match self.what.moment {
            None => false,
            Some(Moment::Sequence(wanted)) => seen.next.sequence > wanted,
            Some(Moment::Time(time)) => seen.frames.iter().any(|frame| frame.meta.time > time.as_seconds()),
        }
    }

    /// Collects what takes something away.
    fn behind_the_moment(&mut self, bytes: &[u8]) -> Result<(), BackupError> {
        let Some(ahead) = &mut self.ahead else {
            return Ok(());
        };
        while let Some(seen) = ahead.group(bytes) {
            let kept = seen.frames.iter().filter(|frame| self.what.log.takes_away(frame.kind, frame.statement));
            self.carried.extend(kept.map(|frame| carried(frame, &self.walk.tail)));
            ahead.accept(&seen);
        }
        Ok(())
    }

    /// Appends what is carried, and proves the whole as an opening does.
    fn finish(&mut self, manifest: &Manifest, medium: &Arc<dyn Medium>) -> Result<u64, BackupError> {
        let end = self.ahead.as_ref().unwrap_or(&self.walk);
        let is_whole = end.tail == manifest.tail && end.unexplained().is_none();
        if !is_whole || (self.ahead.is_none() && self.tree != manifest.tree) {
            let what = "the segments end elsewhere than it says";
            return Err(BackupError::damaged(Damage { file: "manifest".to_owned(), offset: None, what }));
        }
        medium.sync_directory().map_err(io_error("make durable", self.what.data))?;
        let frames = std::mem::take(&mut self.carried);
        let mut journal = Journal::at(Arc::clone(medium), self.segment_bytes, self.walk.tail)?;
        for group in frames.chunks(CARRIED_AT_ONCE) {
            journal.append(group)?;
            for frame in group {
                self.count(frame.kind, &frame.statement);
            }
        }
        self.walk.tail = journal.tail();
        let found = journal::examine(medium.as_ref(), 0)?;
        if found.frames != self.walk.tail.sequence || found.registry_size != self.tree.size {
            let what = "the restored log reads otherwise than it was written: the disk is not to be trusted";
            return Err(BackupError::damaged(Damage { file: "journal".to_owned(), offset: None, what }));
        }
        Ok(frames.len() as u64)
    }
}

/// A frame from behind the moment. What it names there is not here.
fn carried(frame: &SeenFrame<'_>, end: &Tail) -> FrameContent {
    let mut meta = frame.meta.clone();
    meta.previous = meta.previous.filter(|place| (place.segment, place.offset) < (end.segment, end.offset));
    FrameContent {
        kind: frame.kind,
        meta: meta.encode(),
        statement: frame.statement.to_vec(),
        disclosures: Vec::new(),
        previous_in_group: None,
    }
}

/// The last one is written to later, and like any such segment must be full of durable zeros.
fn write_segment(medium: &dyn Medium, header: &SegmentHeader, bytes: &[u8], is_last: bool) -> io::Result<()> {
    let name = segment_name(header.number);
    let file = if is_last { medium.allocate(&name, header.length) } else { medium.create(&name, header.length) }?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()
}

/// The folder for the journal, in a data folder that is absent, empty, or what a restore that was cut short has left.
fn prepare(data: &Path) -> Result<Disk, BackupError> {
    let journal = data.join("journal");
    let names = Disk::existing(data).list().map_err(io_error("list", data))?;
    if names.iter().any(|name| !["journal", "keys", "lock", "lost+found"].contains(&name.as_str())) {
        return Err(BackupError::NotEmpty(data.to_owned()));
    }
    if names.iter().any(|name| name == "journal" || name == "keys") {
        if !Restored::is_cut_short(&Disk::existing(&journal)) {
            return Err(BackupError::NotEmpty(data.to_owned()));
        }
        // The note goes last: at every moment before, the folder says what it is.
        for name in Disk::existing(&journal).list().map_err(io_error("list", &journal))? {
            if name != RESTORED_FILE {
                std::fs::remove_file(journal.join(&name)).map_err(io_error("remove", &journal))?;
            }
        }
        let keys = data.join("keys");
        if keys.exists() {
            std::fs::remove_dir_all(&keys).map_err(io_error("remove", &keys))?;
        }
    }
    Disk::open(&journal).map_err(io_error("make", &journal))
}

fn write_keys(what: &Restore<'_>, folder: &BackupFolder, manifest: &Manifest) -> Result<usize, BackupError> {
    let Some(stored) = &manifest.keys else {
        return Ok(0);
    };
    let damaged = |what| BackupError::damaged(Damage { file: stored.name.clone(), offset: None, what });
    let bytes = folder.read(stored, what.key)?;
    let files: Vec<KeyFileJson> = serde_json::from_slice(&bytes).map_err(|_| damaged("it does not read"))?;
    let path = what.data.join("keys");
    let disk = Disk::open(&path).map_err(io_error("make", &path))?;
    for file in &files {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if file.name.starts_with('.') || file.name.is_empty() || !file.name.bytes().all(is_plain) {
            return Err(damaged("it names a file that is none of the keys"));
        }
        let content = BASE64.decode(&file.content).map_err(|_| damaged("it does not read"))?;
        let write = || {
            let out = disk.create(&file.name, content.len() as u64)?;
            out.write_all_at(&content, 0)?;
            out.sync_data()
        };
        write().map_err(io_error("write", &path.join(&file.name)))?;
    }
    disk.sync_directory().map_err(io_error("make durable", &path))?;
    Ok(files.len())
}
