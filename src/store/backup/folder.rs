//! The folder that a backup lies in: files written once and read back, and the manifest that is replaced.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};
use rustix::fs::{Advice, FlockOperation, fadvise, flock};

use super::cipher::{BackupKey, CHUNK_BYTES, HEADER_BYTES, TAG_BYTES};
use super::error::{BackupError, Damage};
use super::hex;
use super::manifest::{MANIFEST_FILE, MANIFEST_LIMIT_BYTES, Manifest, StoredFile};
use crate::store::medium::{self, Disk};

const LOCK_FILE: &str = "lock";

/// An open backup folder; locked as long as it is held.
pub(super) struct BackupFolder {
    path: PathBuf,
    disk: Disk,
    held: Option<File>,
}

impl BackupFolder {
    /// Opens a folder to write a backup to, making it where it is absent. It holds a backup or nothing.
    pub fn for_writing(path: &Path) -> Result<BackupFolder, BackupError> {
        let disk = Disk::open(path).map_err(io_error("make", path))?;
        let unlocked = BackupFolder { path: path.to_owned(), disk, held: None };
        let names = unlocked.names()?;
        if !names.iter().any(|name| name == MANIFEST_FILE) && names.iter().any(|name| !is_ours(name)) {
            return Err(BackupError::NotOurs(path.to_owned()));
        }
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path.join(LOCK_FILE));
        let lock = lock.map_err(io_error("lock", path))?;
        let folder = BackupFolder { held: Some(lock), ..unlocked };
        folder.lock(FlockOperation::NonBlockingLockExclusive)?;
        Ok(folder)
    }

    /// Opens a folder to read a backup from. It may lie on a disk that cannot be written.
    pub fn for_reading(path: &Path) -> Result<BackupFolder, BackupError> {
        if !path.join(MANIFEST_FILE).is_file() {
            return Err(BackupError::NoBackup(path.to_owned()));
        }
        let disk = Disk::existing(path);
        let folder = BackupFolder { path: path.to_owned(), disk, held: File::open(path.join(LOCK_FILE)).ok() };
        folder.lock(FlockOperation::NonBlockingLockShared)?;
        Ok(folder)
    }

    fn lock(&self, how: FlockOperation) -> Result<(), BackupError> {
        match self.held.as_ref().map(|lock| flock(lock, how)) {
            None | Some(Ok(())) => Ok(()),
            Some(Err(rustix::io::Errno::WOULDBLOCK)) => Err(BackupError::InUse(self.path.clone())),
            Some(Err(error)) => Err(io_error("lock", &self.path)(error.into())),
        }
    }

    fn names(&self) -> Result<Vec<String>, BackupError> {
        use crate::store::medium::Medium;
        self.disk.list().map_err(io_error("list", &self.path))
    }

    /// The manifest; `None` where no run has ended yet.
    pub fn manifest(&self, key: Option<&BackupKey>) -> Result<Option<Manifest>, BackupError> {
        let path = self.path.join(MANIFEST_FILE);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MANIFEST_LIMIT_BYTES).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("read", &path)(error)),
            Ok(_) => Manifest::decode(&bytes, key).map(Some),
        }
    }

    /// Writes a file, makes it durable, reads it back from the disk and compares.
    pub fn write(&self, name: &str, content: &[u8], key: Option<&BackupKey>) -> Result<StoredFile, BackupError> {
        let path = self.path.join(name);
        let written = self.write_once(name, content, key);
        let stored = match written {
            Ok(stored) => stored,
            Err(error) => {
                // What is half there helps nobody, and may be what filled the disk.
                let _ = std::fs::remove_file(&path);
                return Err(error);
            }
        };
        let mut at = 0;
        let mut same = true;
        self.stream(&stored, key, &mut |piece| {
            same &= content.get(at..at + piece.len()) == Some(piece);
            at += piece.len();
        })?;
        if same && at == content.len() {
            return Ok(stored);
        }
        let what = "what was read back is not what was written: the disk is not to be trusted";
        Err(BackupError::damaged(Damage { file: name.to_owned(), offset: None, what }))
    }

    fn write_once(&self, name: &str, content: &[u8], key: Option<&BackupKey>) -> Result<StoredFile, BackupError> {
        let path = self.path.join(name);
        let failed = |action| io_error(action, &path);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut out = Hashed::new(options.open(&path).map_err(failed("create"))?);
        match key {
            None => out.write_all(content).map_err(failed("write"))?,
            Some(key) => {
                let no_key = || failed("encrypt")(io::Error::other("no randomness"));
                let (mut chunks, header) = key.seal(name).ok_or_else(no_key)?;
                out.write_all(&header).map_err(failed("write"))?;
                let count = content.len().div_ceil(CHUNK_BYTES).max(1);
                for at in 0..count {
                    let piece = content.get(at * CHUNK_BYTES..).unwrap_or_default();
                    let mut chunk = piece[..piece.len().min(CHUNK_BYTES)].to_vec();
                    chunks.seal(&mut chunk, at + 1 == count).ok_or_else(no_key)?;
                    out.write_all(&chunk).map_err(failed("write"))?;
                }
            }
        }
        out.file.sync_all().map_err(failed("make durable"))?;
        // So that reading back asks the disk. Where the system does not drop its copy, the comparison is of that.
        let _ = fadvise(&out.file, 0, None, Advice::DontNeed);
        Ok(StoredFile { name: name.to_owned(), length: out.length, sha256: hex(out.context.finish().as_ref()) })
    }

    /// Reads a file piece by piece, decrypted, and says at its end whether it was what was written.
    ///
    /// Without its key an encrypted file is hashed as it lies there, and so are the pieces that are given.
    pub fn stream(
        &self,
        stored: &StoredFile,
        key: Option<&BackupKey>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), BackupError> {
        let path = self.path.join(&stored.name);
        let damaged = |offset, what| BackupError::damaged(Damage { file: stored.name.clone(), offset, what });
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged(None, "the file is missing")),
            opened => opened.map_err(io_error("open", &path))?,
        };
        let length = file.metadata().map_err(io_error("measure", &path))?.len();
        if length != stored.length {
            return Err(damaged(Some(length.min(stored.length)), "the file is shorter or longer than it was written"));
        }
        let mut context = Context::new(&SHA256);
        let mut place = 0;
        let mut chunks = None;
        if let Some(key) = key {
            let mut header = [0; HEADER_BYTES];
            file.read_exact(&mut header).map_err(|_| damaged(Some(0), "it is no encrypted file of this backup"))?;
            context.update(&header);
            place = HEADER_BYTES as u64;
            let opened = key.open(&header, &stored.name);
            chunks = Some(opened.ok_or_else(|| damaged(Some(0), "it is no encrypted file of this backup"))?);
        }
        let whole = if key.is_some() { CHUNK_BYTES + TAG_BYTES } else { CHUNK_BYTES };
        let mut buffer = vec![0; whole];
        while place < length || (chunks.is_some() && place == HEADER_BYTES as u64) {
            let count = usize::try_from(length - place).unwrap_or(usize::MAX).min(whole);
            let piece = &mut buffer[..count];
            file.read_exact(piece).map_err(io_error("read", &path))?;
            context.update(piece);
            let is_last = place + count as u64 == length;
            match &mut chunks {
                None => each(piece),
                Some(chunks) => {
                    let plain = chunks.open(piece, is_last);
                    each(plain.ok_or_else(|| damaged(Some(place), "a chunk does not decrypt"))?);
                }
            }
            place += count as u64;
            if is_last {
                break;
            }
        }
        if hex(context.finish().as_ref()) != stored.sha256 {
            return Err(damaged(None, "its SHA-256 is not the one in the manifest"));
        }
        Ok(())
    }

    /// A whole file, decrypted.
    pub fn read(&self, stored: &StoredFile, key: Option<&BackupKey>) -> Result<Vec<u8>, BackupError> {
        let mut whole = Vec::with_capacity(usize::try_from(stored.length).unwrap_or(0));
        self.stream(stored, key, &mut |piece| whole.extend_from_slice(piece))?;
        Ok(whole)
    }

    /// Makes a manifest the one that counts. Before this returns the old one does, after it the new one, at no time none.
    pub fn publish(&self, manifest: &Manifest, key: Option<&BackupKey>) -> Result<(), BackupError> {
        let failed = || io_error("write", &self.path.join(MANIFEST_FILE));
        let bytes = manifest.encode(key).map_err(|error| failed()(error.into()))?;
        medium::replace(&self.disk, MANIFEST_FILE, &bytes).map_err(failed())
    }

    /// Takes away files of earlier runs, and of runs that were cut short: all that the manifest does not name.
    pub fn sweep(&self, manifest: Option<&Manifest>) -> Result<(), BackupError> {
        for name in self.names()? {
            let is_named = manifest.is_some_and(|manifest| manifest.files().any(|file| file.name == name));
            if is_generation(&name) && !is_named {
                let path = self.path.join(&name);
                std::fs::remove_file(&path).map_err(io_error("remove", &path))?;
            }
        }
        Ok(())
    }
}

/// Whether a name is one that a run gives its files: NAME.GENERATION.
fn is_generation(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, generation)| {
        !generation.is_empty()
            && generation.bytes().all(|byte| byte.is_ascii_digit())
            && (stem == "keys" || crate::store::journal::is_segment(stem))
    })
}

fn is_ours(name: &str) -> bool {
    name == LOCK_FILE || name == "manifest.new" || name == "lost+found" || is_generation(name)
}

/// A file, and the hash and count of what was written to it.
struct Hashed {
    file: File,
    context: Context,
    length: u64,
}

impl Hashed {
    fn new(file: File) -> Hashed {
        Hashed { file, context: Context::new(&SHA256), length: 0 }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.context.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let path = path.to_owned();
    move |source| BackupError::Io { action, path, source }
}
