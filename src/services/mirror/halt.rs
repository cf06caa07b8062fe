//! Why a mirror does not go on: something passes, or the log is not honest and is followed no further.

use crate::model::text::Text;
use crate::services::ServiceError;
use crate::services::follow::{Evidence, FollowError};
use crate::store::Refusal;
use crate::tlog::policy::JudgeError;

/// A leaf that the origin's log has, and that no honest node can have put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub index: u64,
    pub cause: String,
    /// Whether what is wrong was signed. If not, whoever passed it on may have changed it.
    pub is_signed: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("statement {}: {}", .0.index, .0.cause)]
    Fault(Fault),
    /// An older head, of the log that is here: a cache's, or the origin was put back.
    #[error("a head of {remembered} entries was seen before, and an older one of {shown} is shown now")]
    Stale { remembered: u64, shown: u64 },
    /// An older head, of a log that is not the one here. Both heads prove it.
    #[error("forked: the head of {shown} entries that is shown now is not a beginning of the log that was verified")]
    OtherPast { shown: u64, evidence: Box<Evidence> },
    /// What nobody signed was wrong so often that it is no broken line.
    #[error("{halt} (found {looks} times in a row)")]
    Persists { looks: u32, halt: Box<Halt> },
    /// The entries are genuine, and their tree here is not the one that was signed: a fault of this program or its disk.
    #[error("the tree of {size} statements here has not the root that was signed")]
    OtherRoot { size: u64 },
    /// The mirror's own store does not take them now.
    #[error("the store takes no statement: {0:?}")]
    Refused(Refusal),
    #[error("{}", .0.text())]
    Service(ServiceError),
    #[error("{0}")]
    Own(String),
    /// It is to end.
    #[error("asked to stop")]
    Over,
}

impl Halt {
    /// One word for it, for scripts and for `/readyz`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Follow(error) => error.code(),
            Self::Fault(_) => "false_statement",
            Self::Stale { .. } => "stale",
            Self::OtherPast { .. } => "forked",
            Self::Persists { halt, .. } => halt.code(),
            Self::OtherRoot { .. } => "other_root",
            Self::Refused(_) | Self::Service(_) | Self::Own(_) => "own_store",
            Self::Over => "stopped",
        }
    }

    /// Whether nothing more of this log may be believed: it is proved by what the log signed, or was found again and again. What
    /// may be a broken line, or a cache's fault, is asked for again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Follow(FollowError::Forked { .. })
            | Self::OtherPast { .. }
            | Self::Persists { .. }
            | Self::OtherRoot { .. } => true,
            Self::Fault(fault) => fault.is_signed,
            Self::Follow(_) | Self::Stale { .. } | Self::Refused(_) | Self::Service(_) | Self::Own(_) | Self::Over => {
                false
            }
        }
    }

    /// Whether the log is to blame for it, or whoever stands between: nothing that it signed tells which.
    #[must_use]
    pub fn is_doubt(&self) -> bool {
        match self {
            Self::Follow(
                FollowError::NotOurs(_)
                | FollowError::OtherOrigin { .. }
                | FollowError::WrongRoot { .. }
                | FollowError::AlteredTile { .. }
                | FollowError::AlteredEntry { .. },
            ) => true,
            Self::Fault(fault) => !fault.is_signed,
            _ => false,
        }
    }

    /// Whether the pinned key signed under another name: the log is followed no further, and nothing is held against it.
    #[must_use]
    pub fn is_renaming(&self) -> bool {
        match self {
            Self::Follow(error) => matches!(error, FollowError::NotOurs(JudgeError::Renamed { .. })),
            Self::Persists { halt, .. } => halt.is_renaming(),
            _ => false,
        }
    }

    /// Both heads, where they are what proves it.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Follow(error) => error.evidence(),
            Self::OtherPast { evidence, .. } => Some(evidence),
            Self::Persists { halt, .. } => halt.evidence(),
            _ => None,
        }
    }

    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Follow(error) => error.text(),
            Self::Fault(Fault { index, cause, is_signed: false }) => Text::new(
                format!(
                    "源节点所给的第 {index} 条有误：{cause}。未被采信，将换新连接再试；如持续出现请告知源节点的运营方"
                ),
                format!(
                    "{self}: it was not taken in, and is asked for again over new connections; if it goes on, tell the origin's operator"
                ),
            ),
            Self::Fault(Fault { index, cause, .. }) => Text::new(
                format!("日志第 {index} 条不会是诚实节点所写：{cause}。不再跟随；请保留证据并告知源节点的运营方"),
                format!(
                    "{self}: no honest node writes that; it is followed no further; keep the evidence and tell the origin's operator"
                ),
            ),
            Self::Stale { remembered, shown } => Text::new(
                format!(
                    "先前见过 {remembered} 条的检查点，现在只有 {shown} 条：可能是缓存过时，也可能源节点已由备份恢复。已核验的内容照常提供，将再试"
                ),
                format!(
                    "{self}: perhaps a stale cache, perhaps the origin was restored from a backup; what was verified is served on, and it is tried again"
                ),
            ),
            Self::OtherPast { shown, .. } => Text::new(
                format!(
                    "日志分叉：现在 {shown} 条的检查点不是已核验日志的开头。请保留两份检查点作为证据，并告知运营方与见证方"
                ),
                format!("{self}; keep both checkpoints as evidence, tell the operator and the witnesses"),
            ),
            Self::Persists { looks, halt } => {
                let Text { zh, en } = halt.text();
                Text::new(
                    format!("{zh}（连续 {looks} 次，每次均为新连接）"),
                    format!("{en} (found {looks} times in a row, each over new connections)"),
                )
            }
            Self::OtherRoot { size } => Text::new(
                format!("本机 {size} 条的树与已签名的根不符：请停止镜像，检查磁盘，并用空目录重建"),
                format!("{self}: stop the mirror, look at the disk, begin anew in an empty folder"),
            ),
            Self::Refused(refusal) => ServiceError::Refused(refusal.clone()).text(),
            Self::Service(error) => error.text(),
            Self::Own(cause) => {
                Text::new(format!("镜像自身出错：{cause}"), format!("the mirror itself failed: {cause}"))
            }
            Self::Over => Text::new("镜像正在停止", "the mirror is stopping"),
        }
    }
}

impl From<ServiceError> for Halt {
    fn from(error: ServiceError) -> Halt {
        Halt::Service(error)
    }
}
