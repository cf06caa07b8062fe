//! The evidence that a log has forked: two heads of one size that it signed. Each is a file, durable before the answer leaves.
//!
//! Only the log's keys can make such a head, so nobody else can fill the folder; the log itself can, and so each has its share.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};

use crate::model::time::Timestamp;
use crate::tlog::hash::Head;

/// The folder, in that of the witness.
const FOLDER: &str = "forks";
/// Files of one log. The first proves everything; the others say how often.
const FORKS_OF_A_LOG: usize = 16;

/// What became of the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It stands in this file, since now.
    New(PathBuf),
    /// It was there already, or as much as is kept of this log.
    Before,
    /// It could not be made durable.
    Unwritten(String),
}

/// The files that are there.
pub struct Forks {
    folder: PathBuf,
    /// Their names, by the mark of the log.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Forks {
    /// Looks what is there of these logs.
    pub fn open<'a>(data: &Path, origins: impl Iterator<Item = &'a String>) -> io::Result<Forks> {
        let folder = data.join(FOLDER);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        File::open(data)?.sync_all()?;
        let mut names: BTreeMap<String, BTreeSet<String>> =
            origins.map(|origin| (mark(origin.as_bytes()), BTreeSet::new())).collect();
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let log = name.strip_prefix("fork-").and_then(|rest| rest.split('-').next());
            if let Some(of_log) = log.and_then(|log| names.get_mut(log)).filter(|_| name.ends_with(".txt")) {
                of_log.insert(name);
            }
        }
        Ok(Forks { folder, names })
    }

    /// How many there are of a log.
    pub fn count(&self, origin: &str) -> u64 {
        self.names.get(&mark(origin.as_bytes())).map_or(0, |names| names.len() as u64)
    }

    /// Keeps both heads as they were signed; the same fork once.
    pub fn keep(&mut self, origin: &str, offered: &Head, cosigned_note: Option<&str>, offered_note: &str) -> Kept {
        let log = mark(origin.as_bytes());
        let name = format!("fork-{log}-{}-{}.txt", offered.size, mark(&offered.root));
        let names = self.names.entry(log).or_default();
        if names.contains(&name) || names.len() >= FORKS_OF_A_LOG {
            return Kept::Before;
        }
        let text = format!(
            "{}\n{origin} 在同一大小签署了两个根：日志已分叉 / signed two roots at one size: the log has forked\n\n\
             --- 先前见证的 / cosigned before ---\n{}\n--- 现在所示 / shown now ---\n{offered_note}\n",
            Timestamp::now(),
            cosigned_note.unwrap_or("（签署内容过长，未保留 / not kept: it was too long）\n"),
        );
        match write(&self.folder, &name, text.as_bytes()) {
            Ok(path) => {
                names.insert(name);
                Kept::New(path)
            }
            Err(error) => Kept::Unwritten(error.to_string()),
        }
    }
}

/// Written aside, made durable, put in place, and the place made durable.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (fresh, path) = (folder.join("fresh"), folder.join(name));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, &path)?;
    File::open(folder)?.sync_all()?;
    Ok(path)
}

/// The first 12 bytes of the SHA-256, in hexadecimal: a name that any origin has and no origin chooses.
fn mark(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}
