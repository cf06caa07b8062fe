//! Why a command cannot say yes, and how a process says so: 0 yes, 1 no, 2 could not tell or was asked wrongly.
//!
//! One rule for all commands (docs/operations.md, "Exit codes"): 1 is an answer about what was asked, found out by looking at it. A
//! file that is not there, a node that is not reached, a key that is refused leave the question open: 2.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::client::ClientError;
use crate::model::text::Text;

/// What a command found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Yes,
    No,
    /// It could not be told, or the command was asked wrongly.
    Unknown,
}

impl Verdict {
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Yes => "yes",
            Verdict::No => "no",
            Verdict::Unknown => "unknown",
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> ExitCode {
        ExitCode::from(match verdict {
            Verdict::Yes => 0,
            Verdict::No => 1,
            Verdict::Unknown => 2,
        })
    }
}

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The command was asked wrongly, or what it needs is not as it must be.
    #[error("{0}")]
    Wrong(Text),
    #[error("{} {path}: {source}", .action.en)]
    File { action: Text, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The asker was told no: a refusal that is an answer.
    #[error("{0}")]
    No(Text),
    /// Whoever read standard output has gone: nothing is left to say.
    #[error("standard output is closed")]
    OutputClosed,
}

impl CliError {
    pub fn wrong(zh: impl Into<String>, en: impl Into<String>) -> CliError {
        CliError::Wrong(Text::new(zh, en))
    }

    /// For `map_err`: what was tried with which file.
    pub fn file(zh: &'static str, en: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CliError {
        let path = path.to_owned();
        move |source| CliError::File { action: Text::new(zh, en), path, source }
    }

    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self {
            CliError::No(_) => Verdict::No,
            CliError::Client(error) if error.is_no() => Verdict::No,
            _ => Verdict::Unknown,
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            CliError::Wrong(text) | CliError::No(text) => text.clone(),
            CliError::File { action, path, source } => {
                let (path, reason) = (path.display(), Text::of_io(source));
                let (zh, en) = remedy(source);
                Text::new(
                    format!("{} {path} 失败：{}{zh}", action.zh, reason.zh),
                    format!("cannot {} {path}: {}{en}", action.en, reason.en),
                )
            }
            CliError::Client(error) => error.text(),
            CliError::OutputClosed => Text::new("标准输出已关闭", "standard output is closed"),
        }
    }
}

/// What to do about a file, as far as the reason tells.
fn remedy(source: &io::Error) -> (&'static str, &'static str) {
    match source.kind() {
        io::ErrorKind::NotFound => {
            ("。请核对路径：相对路径从当前目录算起", "; check the path: a relative one begins at the current folder")
        }
        io::ErrorKind::PermissionDenied => (
            "。请核对属主与权限（ls -l），或换一个有权限的用户运行",
            "; check owner and permissions (ls -l), or run this as a user who has them",
        ),
        io::ErrorKind::StorageFull => ("。请腾出磁盘空间", "; free disk space"),
        io::ErrorKind::IsADirectory => ("。请指明其中的文件", "; name a file in it"),
        _ => ("", ""),
    }
}
