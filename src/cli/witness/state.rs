//! What a witness remembers: of each log the largest head that it cosigned. Durable before a cosignature leaves.
//!
//! One file, replaced whole, holds the state of every log and the witness's name. It is made before the key is, so a key without
//! it means that it was lost, and a witness that begins anew could cosign the other branch of a fork: that is refused.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use crate::cli::failure::CliError;
use crate::sign::keys::{KeyUse, SigningKey, generate, only};
use crate::tlog::hash::{Head, empty_root};
use crate::tlog::note::is_key_name;

const STATE_FILE: &str = "witness-state.json";
const FRESH_FILE: &str = "witness-state.json.fresh";
const STATE_LIMIT_BYTES: u64 = 64 << 20;
/// The most bytes of a note that is kept beside its head, as evidence.
const KEPT_NOTE_BYTES: usize = 8 * 1024;

/// The file's shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    version: u32,
    /// Part of the key's id that others pin: it never changes.
    name: String,
    logs: BTreeMap<String, Cosigned>,
}

/// The largest head of one log that was cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cosigned {
    pub size: u64,
    root: String,
    /// Seconds since 1970 of the last cosignature: none after it has an earlier time.
    pub time: u64,
    /// The log's own signed words, where they are short.
    pub note: Option<String>,
}

/// The state of a running witness; the folder is its own while this lives.
pub struct State {
    folder: PathBuf,
    remembered: Remembered,
    /// After a failure that leaves in doubt what is on the disk nothing is signed until a restart has read it.
    is_in_doubt: bool,
    _lock: File,
}

impl State {
    /// Opens the folder, or begins a witness in it under this name.
    pub fn open(folder: &Path, name: Option<&str>, now: i64) -> Result<(State, SigningKey), CliError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(CliError::file("创建", "make", folder))?;
        let lock = lock(folder)?;
        let key = only(folder, KeyUse::Witness).map_err(|error| CliError::Wrong(error.text()))?;
        let remembered = match (read(folder)?, key.is_some()) {
            (Some(remembered), true) => remembered,
            // A first start that was cut short.
            (Some(remembered), false) if remembered.logs.is_empty() => remembered,
            (Some(_), false) => return Err(key_lost(folder)),
            (None, true) => return Err(state_lost(folder)),
            (None, false) => Remembered { version: 1, name: new_name(name)?, logs: BTreeMap::new() },
        };
        if let Some(name) = name.filter(|name| **name != *remembered.name) {
            let known = &remembered.name;
            return Err(CliError::wrong(
                format!(
                    "此见证方名为 {known}，不能改为 {name}：他人固定的公钥含名称。请去掉 --name，或为新名称另用一个目录"
                ),
                format!(
                    "this witness is called {known} and cannot become {name}: the key that others pinned holds the name. Leave out --name, or use another folder for the new name"
                ),
            ));
        }
        let state = State { folder: folder.to_owned(), remembered, is_in_doubt: false, _lock: lock };
        state.write(&state.remembered).map_err(CliError::file("写入", "write", &folder.join(STATE_FILE)))?;
        let key = match key {
            Some(key) => key,
            None => {
                let made = generate(folder, KeyUse::Witness, now).and_then(|_| only(folder, KeyUse::Witness));
                let lost = || CliError::wrong("新密钥不见了", "the new key has gone");
                made.map_err(|error| CliError::Wrong(error.text()))?.ok_or_else(lost)?
            }
        };
        Ok((state, key))
    }

    pub fn name(&self) -> &str {
        &self.remembered.name
    }

    /// What was cosigned last of this log.
    pub fn of(&self, origin: &str) -> Option<&Cosigned> {
        self.remembered.logs.get(origin)
    }

    /// The head of it; an empty tree where nothing was. `None`: the file does not say it properly.
    pub fn head(&self, origin: &str) -> Option<Head> {
        let Some(Cosigned { size, root, .. }) = self.of(origin) else {
            return Some(Head { size: 0, root: empty_root() });
        };
        let root = BASE64.decode(root).ok()?.try_into().ok()?;
        Some(Head { size: *size, root })
    }

    /// Whether cosignatures may leave.
    pub fn is_sure(&self) -> bool {
        !self.is_in_doubt
    }

    /// Makes a head durable, a new one or the same at a later time. Only after this may it be cosigned.
    pub fn advance(&mut self, origin: &str, head: &Head, time: u64, note: String) -> io::Result<()> {
        let standing = self.of(origin).filter(|_| self.head(origin) == Some(*head));
        let standing = standing.and_then(|cosigned| cosigned.note.clone());
        let note = standing.or(Some(note).filter(|note| note.len() <= KEPT_NOTE_BYTES));
        let cosigned = Cosigned { size: head.size, root: BASE64.encode(head.root), time, note };
        let mut next = self.remembered.clone();
        next.logs.insert(origin.to_owned(), cosigned);
        // What was not written, or perhaps was, is not signed: on the disk it does no harm, for it follows what was.
        self.is_in_doubt = true;
        self.write(&next)?;
        self.is_in_doubt = false;
        self.remembered = next;
        Ok(())
    }

    /// Written aside, made durable, put in place, and the place made durable.
    fn write(&self, remembered: &Remembered) -> io::Result<()> {
        let bytes = serde_json::to_vec_pretty(remembered)?;
        let fresh = self.folder.join(FRESH_FILE);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&fresh, self.folder.join(STATE_FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

fn lock(folder: &Path) -> Result<File, CliError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(CliError::file("打开", "open", &path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(_) => {
            let folder = folder.display();
            Err(CliError::wrong(
                format!("{folder} 正被另一个见证方进程使用：请先停止它"),
                format!("another witness runs on {folder}: stop it first"),
            ))
        }
    }
}

fn read(folder: &Path) -> Result<Option<Remembered>, CliError> {
    let path = folder.join(STATE_FILE);
    let mut bytes = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(STATE_LIMIT_BYTES).read_to_end(&mut bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => Err(error),
    }
    .map_err(CliError::file("读取", "read", &path))?;
    let remembered: Option<Remembered> = serde_json::from_slice(&bytes).ok();
    let is_hash = |root: &str| BASE64.decode(root).is_ok_and(|root| root.len() == 32);
    let sound = remembered.filter(|it| {
        it.version == 1 && is_key_name(&it.name) && it.logs.values().all(|cosigned| is_hash(&cosigned.root))
    });
    sound.map(Some).ok_or_else(|| {
        let path = path.display();
        CliError::wrong(
            format!("{path} 已损坏：见证方不知道自己签过什么，不能继续。若没有与停机时一致的副本，请以新目录、新密钥重新开始，并告知各方"),
            format!(
                "{path} is damaged: the witness does not know what it has cosigned and must not go on. Without a copy of the moment when it stopped, begin with a new folder and a new key, and tell whoever pinned the old one"
            ),
        )
    })
}

fn new_name(name: Option<&str>) -> Result<String, CliError> {
    let name = name.ok_or_else(|| {
        CliError::wrong(
            "首次启动请用 --name 给见证方取名，例如 witness.example.cn（以后不能更改）",
            "at its first start a witness is given its name with --name, for example witness.example.cn; it cannot change later",
        )
    })?;
    if !is_key_name(name) {
        return Err(CliError::wrong(
            format!("名称不得为空，不得含空白与 +：{name:?}"),
            format!("a name is not empty and has neither white space nor `+`: {name:?}"),
        ));
    }
    Ok(name.to_owned())
}

fn key_lost(folder: &Path) -> CliError {
    let folder = folder.display();
    CliError::wrong(
        format!("{folder} 中缺少见证密钥（witness-*.jwk）：请由备份放回，或换一个空目录重新开始"),
        format!(
            "the witness's key (witness-*.jwk) is missing from {folder}: put it back from a backup, or begin in an empty folder"
        ),
    )
}

fn state_lost(folder: &Path) -> CliError {
    let folder = folder.display();
    CliError::wrong(
        format!(
            "{folder} 中有密钥而缺少 {STATE_FILE}：见证方不知道自己签过什么，继续签署可能为分叉背书。若没有与停机时一致的副本，请以新目录、新密钥重新开始，并告知各方"
        ),
        format!(
            "{folder} has a key but no {STATE_FILE}: the witness does not know what it has cosigned, and going on could bless a fork. Without a copy of the moment when it stopped, begin with a new folder and a new key, and tell whoever pinned the old one"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cosigned_is_there_after_a_restart_and_the_folder_is_for_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(State::open(folder.path(), None, 1).is_err());
        let (mut state, key) = State::open(folder.path(), Some("w.example"), 1).unwrap();
        assert!(State::open(folder.path(), None, 1).is_err(), "in use");
        let head = Head { size: 5, root: [3; 32] };
        state.advance("log.example", &head, 7, "note".to_owned()).unwrap();
        drop(state);
        // A write that a crash cut short.
        std::fs::write(folder.path().join(FRESH_FILE), "{").unwrap();
        let (state, again) = State::open(folder.path(), None, 2).unwrap();
        assert_eq!((state.name(), state.head("log.example")), ("w.example", Some(head)));
        assert_eq!(state.head("other").unwrap().size, 0);
        assert_eq!(again.kid(), key.kid());
        drop(state);
        assert!(State::open(folder.path(), Some("other.example"), 2).is_err());
    }

    #[test]
    fn a_lost_or_damaged_state_is_never_taken_for_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        drop(State::open(folder.path(), Some("w.example"), 1).unwrap());
        let path = folder.path().join(STATE_FILE);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 2]).unwrap();
        assert!(State::open(folder.path(), None, 1).is_err());
        std::fs::remove_file(&path).unwrap();
        assert!(State::open(folder.path(), Some("w.example"), 1).is_err());
        std::fs::write(&path, &whole).unwrap();
        assert!(State::open(folder.path(), None, 1).is_ok());
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_taken_up_again() {
        let folder = tempfile::tempdir().unwrap();
        let (state, key) = State::open(folder.path(), Some("w.example"), 1).unwrap();
        drop(state);
        std::fs::remove_file(folder.path().join(format!("witness-{}.jwk", key.kid()))).unwrap();
        let (mut state, other) = State::open(folder.path(), None, 1).unwrap();
        assert_ne!(key.kid(), other.kid());
        state.advance("log.example", &Head { size: 1, root: [3; 32] }, 7, String::new()).unwrap();
        drop(state);
        std::fs::remove_file(folder.path().join(format!("witness-{}.jwk", other.kid()))).unwrap();
        assert!(State::open(folder.path(), None, 1).is_err(), "the key of a witness that has signed is missed");
    }
}
