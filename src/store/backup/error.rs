//! What can go wrong with a backup or a restore, as an operator reads it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::store::journal::JournalError;
use crate::store::open::OpenError;

/// One place that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Damage {
    pub file: String,
    /// The byte where it shows, as far as that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    pub what: &'static str,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{}, byte {offset}: {}", self.file, self.what),
            None => write!(f, "{}: {}", self.file, self.what),
        }
    }
}

/// What the log is read from said no.
#[derive(Debug)]
pub struct SourceError(pub Text);

/// Every way in which a backup or a restore does not go on. The last good backup is whole in every case but `Damaged`.
#[derive(Debug)]
pub enum BackupError {
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// Another run, or a check, has the folder.
    InUse(PathBuf),
    /// The folder holds something else.
    NotOurs(PathBuf),
    /// There is no backup in the folder.
    NoBackup(PathBuf),
    /// What lies in the backup is not what was written.
    Damaged(Damage),
    /// A later program wrote it.
    Newer {
        program: String,
    },
    /// The backup is encrypted and no key was given.
    KeyNeeded {
        wanted: String,
    },
    WrongKey {
        wanted: String,
        given: String,
    },
    /// A key was given and the backup is plain.
    NotEncrypted,
    Source(SourceError),
    Journal(JournalError),
    /// The data folder cannot be had.
    Open(OpenError),
    /// The log does not continue what the backup holds.
    OtherLog {
        segment: u32,
        offset: u64,
        what: &'static str,
    },
    /// The log ends before the backup does.
    Behind {
        log: u64,
        backup: u64,
    },
    /// Disclosures in the log are not what was written, and no erasure explains it.
    SourceDamaged {
        segment: u32,
        offset: u64,
    },
    /// The folder to restore to is not empty.
    NotEmpty(PathBuf),
    /// The moment lies before everything.
    BeforeStart {
        first: Timestamp,
    },
    /// The moment lies behind the backup's end.
    AfterEnd {
        sequence: u64,
    },
}

impl BackupError {
    pub(super) fn damaged(damage: Damage) -> BackupError {
        BackupError::Damaged(damage)
    }

    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Io { action, path, source } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                Text::new(
                    format!(
                        "备份文件 {path} 操作失败（{action}）：{}。请检查磁盘空间、属主与权限；上一次备份未被改动",
                        reason.zh
                    ),
                    format!(
                        "cannot {action} {path}: {}; look at free space, owner and permissions. The last backup was not touched",
                        reason.en
                    ),
                )
            }
            Self::InUse(path) => Text::new(
                format!("{} 正被另一次备份或检查使用：请等它结束", path.display()),
                format!("{} is in use by another backup or check: wait for it to end", path.display()),
            ),
            Self::NotOurs(path) => Text::new(
                format!("{} 既非空目录也不是备份：请另选一个空目录", path.display()),
                format!("{} is neither empty nor a backup: name an empty folder", path.display()),
            ),
            Self::NoBackup(path) => Text::new(
                format!("{} 中没有备份（缺少 manifest）：请核对路径", path.display()),
                format!("{} holds no backup (there is no manifest): check the path", path.display()),
            ),
            Self::Damaged(damage) => Text::new(
                format!("备份已损坏：{damage}。请改用另一份备份，并另起空目录重新备份"),
                format!("the backup is damaged: {damage}. Use another copy, and begin a new backup in an empty folder"),
            ),
            Self::Newer { program } => Text::new(
                format!("此备份由较新版本 {program} 写成：请用该版本读取"),
                format!("a later version ({program}) wrote this backup: read it with that one"),
            ),
            other => other.text_of_the_rest(),
        }
    }

    fn text_of_the_rest(&self) -> Text {
        match self {
            Self::KeyNeeded { wanted } => Text::new(
                format!("备份已加密（密钥 {wanted}）：请用 --key-file 给出该密钥文件"),
                format!("the backup is encrypted (key {wanted}): give the file of that key with --key-file"),
            ),
            Self::WrongKey { wanted, given } => Text::new(
                format!("密钥不对：备份用的是 {wanted}，给出的是 {given}"),
                format!("the wrong key: the backup was encrypted with {wanted}, and this is {given}"),
            ),
            Self::NotEncrypted => Text::new(
                "此备份未加密：请去掉 --key-file；要加密请另起空目录",
                "this backup is not encrypted: leave --key-file out, or begin an encrypted one in an empty folder",
            ),
            Self::Source(SourceError(text)) => text.clone(),
            Self::Journal(error) => error.text(),
            Self::Open(error) => error.text(),
            Self::OtherLog { segment, offset, what } => Text::new(
                format!(
                    "日志第 {segment} 段第 {offset} 字节起与此备份接不上：{what}。若节点曾由旧副本恢复或截断过日志，请另起空目录备份；否则日志已损坏，\
                     请运行 mingpai doctor。此备份未被改动"
                ),
                format!(
                    "the log does not continue this backup at segment {segment}, byte {offset}: {what}. If the node was restored from an older \
                     copy, or its journal was cut, begin a new backup in an empty folder; if not, the journal is damaged: run `mingpai doctor`. \
                     This backup was not touched"
                ),
            ),
            Self::Behind { log, backup } => Text::new(
                format!(
                    "备份已到序号 {backup}，而此日志只到 {log}：这是另一个或更旧的日志。请另起空目录；此备份未被改动"
                ),
                format!(
                    "the backup goes to sequence {backup} and this log only to {log}: it is another log, or an older copy. Use an empty \
                     folder; this backup was not touched"
                ),
            ),
            Self::SourceDamaged { segment, offset } => Text::new(
                format!("日志第 {segment} 段第 {offset} 字节的一帧已损坏：请运行 mingpai doctor；上一次备份未被改动"),
                format!(
                    "the frame at segment {segment}, byte {offset} of the log is damaged: run `mingpai doctor`; the last backup was not touched"
                ),
            ),
            Self::NotEmpty(path) => Text::new(
                format!("{} 不是空目录：恢复只写入空目录，请另选一个", path.display()),
                format!("{} is not empty: a restore writes to an empty folder only, name another", path.display()),
            ),
            Self::BeforeStart { first } => Text::new(
                format!("所问的时刻早于日志的开始（{first}）"),
                format!("that moment is before the log began ({first})"),
            ),
            Self::AfterEnd { sequence } => Text::new(
                format!("备份只到序号 {sequence}：请去掉 --to，或改用更新的备份"),
                format!("the backup ends at sequence {sequence}: leave --to out, or use a later backup"),
            ),
            // Said above.
            _ => Text::new("", ""),
        }
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().en)
    }
}

impl std::error::Error for BackupError {}

impl From<JournalError> for BackupError {
    fn from(error: JournalError) -> BackupError {
        BackupError::Journal(error)
    }
}
