//! A restored log may not go on by itself: its lost original may have gone further, and two continuations of one log are a
//! fork that everybody who was shown both can prove.
//!
//! So a restore leaves the file `restored` beside the segments. While it holds no decision the store takes no frame at all, not even the
//! seal of a stop, and whoever signs heads of the log must ask [`Restored::is_undecided`] first. The operator decides with the
//! node stopped ([`decide`]); the next start writes the decision into the log as its first new frame, and takes the file away.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::backup::Head;
use super::medium::{self, Disk, Medium};
use super::open::{OpenError, lock_folder};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::Note;

/// In the folder of the segments, so that who copies them copies it too.
pub(super) const RESTORED_FILE: &str = "restored";
const RESTORED_LIMIT_BYTES: u64 = 1 << 20;
/// The most bytes of a head that is read, signatures included.
pub const HEAD_LIMIT_BYTES: u64 = 64 * 1024;
/// The most bytes of an origin.
const ORIGIN_BYTES: usize = 255;

/// What a restore left to be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// False while the restore is writing: such a folder opens nothing.
    pub is_complete: bool,
    pub restored: Timestamp,
    /// When the backup was made.
    pub backup: Timestamp,
    /// The log's name, as far as the backup tells.
    pub origin: String,
    /// Frames that are here.
    pub sequence: u64,
    /// Leaves of the registry tree, and its root in base64.
    pub size: u64,
    pub root: String,
    /// Whether the log is known to have gone on: it was restored to a moment before the backup's end.
    pub is_cut: bool,
    /// The command that begins a restore anew that was cut short, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    pub decision: Option<Decision>,
}

/// How the log goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Decision {
    /// The operator's word: nothing came after what is here.
    LogEndedHere,
    /// A head from elsewhere, the newest of this log, says the same.
    ContinueFrom { head: String },
    /// The log goes on under another name. `None`: one is made of the old name and the time.
    NewOrigin { origin: Option<String> },
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("{0} was not restored from a backup, or its log goes on already: there is nothing to decide")]
    NothingToDecide(PathBuf),
    #[error(
        "the log was restored to a moment, and its backup shows that it went on: only a new origin can follow (--new-origin)"
    )]
    WentOn,
    #[error(
        "the file is no checkpoint of a log: its first lines must be origin, size and root in base64 (C2SP tlog-checkpoint)"
    )]
    NoHead,
    #[error("the head is of the log {head}, and this is {here}")]
    AnotherLog { head: String, here: String },
    #[error(
        "the head counts {head} statements and {here} were restored: {} are missing here. Restore a later backup, or begin a new origin (--new-origin)",
        head.saturating_sub(*here)
    )]
    Missing { head: u64, here: u64 },
    #[error(
        "the head counts {head} statements and {here} were restored: it is older than the backup and does not say what came after. Give the newest \
         one, or your own word (--log-ended-here)"
    )]
    Older { head: u64, here: u64 },
    #[error(
        "the head has another root at the same size: it is of another continuation of this log. Begin a new origin (--new-origin)"
    )]
    Forked,
    #[error(
        "an origin has 1 to 255 bytes, no white space, no control characters and no `+`, and is not the present one: {0}"
    )]
    BadOrigin(String),
}

impl Restored {
    /// Whether nothing may be appended, nor a head signed.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.decision.is_none()
    }

    /// What stands beside the segments; `None` where nothing was restored. One that does not read is an error: it is no leave to write.
    pub(super) fn load(medium: &dyn Medium) -> Result<Option<Restored>, OpenError> {
        match Restored::read(medium)? {
            Some(Restored { is_complete: false, .. }) => Err(OpenError::RestoreCutShort),
            other => Ok(other),
        }
    }

    fn read(medium: &dyn Medium) -> Result<Option<Restored>, OpenError> {
        let io = |source| OpenError::Io { action: "read", path: PathBuf::from(RESTORED_FILE), source };
        let bytes = medium::read_whole(medium, RESTORED_FILE, RESTORED_LIMIT_BYTES).map_err(io)?;
        let read = bytes.map(|bytes| serde_json::from_slice::<Restored>(&bytes)).transpose();
        read.map_err(|error| io(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// Whether a restore was cut short here.
    pub(super) fn is_cut_short(medium: &dyn Medium) -> bool {
        matches!(Restored::load(medium), Err(OpenError::RestoreCutShort))
    }

    pub(super) fn save(&self, medium: &dyn Medium) -> io::Result<()> {
        medium::replace(medium, RESTORED_FILE, &serde_json::to_vec_pretty(self)?)
    }

    /// Judges a decision by what is known here.
    fn judge(&self, decision: &Decision) -> Result<(), DecideError> {
        match decision {
            Decision::NewOrigin { origin: None } => Ok(()),
            Decision::NewOrigin { origin: Some(origin) } => {
                let is_plain = |letter: char| !letter.is_whitespace() && !letter.is_control() && letter != '+';
                let fits = (1..=ORIGIN_BYTES).contains(&origin.len()) && origin.chars().all(is_plain);
                (fits && *origin != self.origin).then_some(()).ok_or_else(|| DecideError::BadOrigin(origin.clone()))
            }
            _ if self.is_cut => Err(DecideError::WentOn),
            Decision::LogEndedHere => Ok(()),
            Decision::ContinueFrom { head } => self.compare(&parse_head(head)?),
        }
    }

    fn compare(&self, head: &Head) -> Result<(), DecideError> {
        if !self.origin.is_empty() && head.origin != self.origin {
            return Err(DecideError::AnotherLog { head: head.origin.clone(), here: self.origin.clone() });
        }
        if head.size > self.size {
            return Err(DecideError::Missing { head: head.size, here: self.size });
        }
        if head.size < self.size {
            return Err(DecideError::Older { head: head.size, here: self.size });
        }
        (head.root == self.root).then_some(()).ok_or(DecideError::Forked)
    }
}

/// What a checkpoint says (C2SP tlog-checkpoint). Signatures are not judged, and may be missing: the file is the operator's word for
/// where it came from.
fn parse_head(text: &str) -> Result<Head, DecideError> {
    let checkpoint = match Note::parse(text) {
        Ok(note) => Checkpoint::of_note(&note),
        Err(_) => Checkpoint::parse(&format!("{}\n", text.trim_end_matches('\n'))),
    };
    let Checkpoint { origin, size, root, .. } = checkpoint.map_err(|_| DecideError::NoHead)?;
    Ok(Head { origin, size, root: BASE64.encode(root) })
}

/// What a restore that was cut short has left in a data folder; `None`: none was, or its note does not read.
#[must_use]
pub fn cut_short(data: &Path) -> Option<Restored> {
    Restored::read(&Disk::existing(&data.join("journal"))).ok().flatten().filter(|restored| !restored.is_complete)
}

/// What a data folder has left to decide; `None`: nothing. Only read: a node may run on it.
pub fn undecided(data: &Path) -> Result<Option<Restored>, OpenError> {
    Restored::load(&Disk::existing(&data.join("journal")))
}

/// Notes the operator's decision, for the next start to carry out. Until that start it can be taken anew.
pub fn decide(data: &Path, decision: Decision) -> Result<Restored, DecideError> {
    let folder = data.join("journal");
    if !folder.is_dir() {
        return Err(DecideError::NothingToDecide(data.to_owned()));
    }
    let _lock = lock_folder(data)?;
    let medium = Disk::existing(&folder);
    let mut restored = Restored::load(&medium)?.ok_or_else(|| DecideError::NothingToDecide(data.to_owned()))?;
    restored.judge(&decision)?;
    restored.decision = Some(decision);
    restored.save(&medium).map_err(|source| OpenError::Io {
        action: "write",
        path: folder.join(RESTORED_FILE),
        source,
    })?;
    Ok(restored)
}

impl DecideError {
    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let zh = match self {
            Self::Open(error) => return error.text(),
            Self::NothingToDecide(path) => {
                format!("{} 不是由备份恢复的，或其日志已经继续：没有需要决定的事", path.display())
            }
            Self::WentOn => {
                "日志恢复到了某一时刻，而备份表明其后还有内容：只能以新的日志名继续（--new-origin）".to_owned()
            }
            Self::NoHead => {
                "该文件不是日志检查点：前三行应为日志名、大小与 base64 的根（C2SP tlog-checkpoint）".to_owned()
            }
            Self::AnotherLog { head, here } => format!("检查点属于日志 {head}，而这里是 {here}"),
            Self::Missing { head, here } => format!(
                "检查点含 {head} 条，恢复了 {here} 条：此处缺 {} 条。请恢复更新的备份，或以新的日志名继续（--new-origin）",
                head.saturating_sub(*here)
            ),
            Self::Older { head, here } => format!(
                "检查点含 {head} 条，恢复了 {here} 条：它比备份旧，说明不了其后的情况。请给出最新的检查点，或以操作者的判断为准（--log-ended-here）"
            ),
            Self::Forked => {
                "同一大小下检查点的根不同：它属于此日志的另一分支。请以新的日志名继续（--new-origin）".to_owned()
            }
            Self::BadOrigin(origin) => {
                format!("日志名应为 1 至 255 字节，不含空白、控制字符与 +，且不同于现名：{origin}")
            }
        };
        Text::new(zh, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restored() -> Restored {
        Restored {
            is_complete: true,
            restored: Timestamp::now(),
            backup: Timestamp::now(),
            origin: "node.example/log".to_owned(),
            sequence: 20,
            size: 9,
            root: BASE64.encode([7; 32]),
            is_cut: false,
            again: None,
            decision: None,
        }
    }

    fn checkpoint(origin: &str, size: &str, root: [u8; 32]) -> Decision {
        let head = format!("{origin}\n{size}\n{}\n\n\u{2014} {origin} c2lnbmF0dXJl\n", BASE64.encode(root));
        Decision::ContinueFrom { head }
    }

    #[test]
    fn only_the_newest_head_of_this_very_log_lets_it_go_on() {
        let judge = |decision: &Decision| restored().judge(decision);
        assert!(judge(&checkpoint("node.example/log", "9", [7; 32])).is_ok());
        assert!(matches!(judge(&checkpoint("other", "9", [7; 32])), Err(DecideError::AnotherLog { .. })));
        assert!(matches!(
            judge(&checkpoint("node.example/log", "12", [7; 32])),
            Err(DecideError::Missing { head: 12, here: 9 })
        ));
        assert!(matches!(judge(&checkpoint("node.example/log", "8", [7; 32])), Err(DecideError::Older { .. })));
        assert!(matches!(judge(&checkpoint("node.example/log", "9", [8; 32])), Err(DecideError::Forked)));
        for text in
            ["", "a", "a\n9", "a\n9\nnot base64", "a\n09\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "a\n\nb"]
        {
            let decision = Decision::ContinueFrom { head: text.to_owned() };
            assert!(matches!(judge(&decision), Err(DecideError::NoHead)), "{text}");
        }
    }

    #[test]
    fn a_log_that_is_known_to_have_gone_on_can_only_begin_a_new_origin() {
        let cut = Restored { is_cut: true, ..restored() };
        assert!(matches!(cut.judge(&Decision::LogEndedHere), Err(DecideError::WentOn)));
        assert!(matches!(cut.judge(&checkpoint("node.example/log", "9", [7; 32])), Err(DecideError::WentOn)));
        assert!(cut.judge(&Decision::NewOrigin { origin: None }).is_ok());
        assert!(cut.judge(&Decision::NewOrigin { origin: Some("node.example/log2".to_owned()) }).is_ok());
        for origin in ["", "a b", "a+b", "a\nb", "node.example/log", &"x".repeat(256)] {
            let decision = Decision::NewOrigin { origin: Some(origin.to_owned()) };
            assert!(matches!(cut.judge(&decision), Err(DecideError::BadOrigin(_))), "{origin}");
        }
    }
}
