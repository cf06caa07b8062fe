//! The key of an upload that has not come to its end, kept over the death of the command: the next run on the same file goes
//! on with it.
//!
//! In `$XDG_STATE_HOME/mingpai/uploads` (else `~/.local/state/…`), one small file an upload, named by node, query and file:
//! path, length and the time of its last change. It holds no credential. Where nothing can be kept, a killed command begins anew.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use ring::digest::{SHA256, digest};

use super::source::Source;
use super::upload::idempotency_key;
use crate::cli::client::Server;
use crate::cli::failure::CliError;

/// Longer than a node keeps an upload.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
const KEY_LETTERS: u64 = 64;

pub struct Memory {
    key: HeaderValue,
    is_remembered: bool,
    /// Held locked: two commands at once on one file must not take the upload from each other.
    kept: Option<(PathBuf, File)>,
}

impl Memory {
    pub fn of(server: &Server, query: &str, source: &Source) -> Result<Memory, CliError> {
        let fresh = idempotency_key()?;
        let Some((path, mut file)) = place(server, query, source).and_then(|path| Some((path.clone(), open(&path)?)))
        else {
            return Ok(Memory { key: fresh, is_remembered: false, kept: None });
        };
        let mut text = String::new();
        let known = Read::by_ref(&mut file).take(KEY_LETTERS).read_to_string(&mut text).ok();
        let known = known.filter(|_| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if let Some(key) = known.and_then(|_| HeaderValue::from_str(&text).ok()) {
            return Ok(Memory { key, is_remembered: true, kept: Some((path, file)) });
        }
        let written = file.set_len(0).and_then(|()| file.write_all(fresh.as_bytes())).and_then(|()| file.sync_data());
        Ok(Memory { key: fresh, is_remembered: false, kept: written.is_ok().then_some((path, file)) })
    }

    pub fn key(&self) -> &HeaderValue {
        &self.key
    }

    /// Whether an earlier run began it.
    pub fn is_remembered(&self) -> bool {
        self.is_remembered
    }

    /// The upload has come to its end.
    pub fn forget(&self) {
        if let Some((path, _)) = &self.kept {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn place(server: &Server, query: &str, source: &Source) -> Option<PathBuf> {
    let file = std::fs::canonicalize(source.path()?).ok()?;
    let about = std::fs::metadata(&file).ok()?;
    let named =
        format!("{server}\n{query}\n{}\n{}\n{}.{}", file.display(), about.len(), about.mtime(), about.mtime_nsec());
    let name: String =
        digest(&SHA256, named.as_bytes()).as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(folder()?.join(name))
}

fn folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("mingpai/uploads");
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700).create(&folder).ok()?;
    drop_old(&folder);
    Some(folder)
}

fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path).ok()?;
    file.try_lock().ok()?;
    Some(file)
}

fn drop_old(folder: &Path) {
    let Some(limit) = SystemTime::now().checked_sub(KEPT) else { return };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().take(1024) {
        let is_old = entry.metadata().and_then(|about| about.modified()).is_ok_and(|time| time < limit);
        if is_old {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
