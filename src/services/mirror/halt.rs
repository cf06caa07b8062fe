//! Why a mirror does not go on: something passes, or the log is not honest and is followed no further.

use crate::model::text::Text;
use crate::services::ServiceError;
use crate::services::follow::FollowError;
use crate::store::Refusal;

/// A leaf that the origin's log has, and that no honest node can have put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub index: u64,
    pub cause: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Halt {
    #[error(transparent)]
    Follow(#[from] FollowError),
    #[error("statement {}: {}", .0.index, .0.cause)]
    Fault(Fault),
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
            Self::OtherRoot { .. } => "other_root",
            Self::Refused(_) | Self::Service(_) | Self::Own(_) => "own_store",
            Self::Over => "stopped",
        }
    }

    /// Whether nothing more of this log may be believed. What may be a broken line, or a cache's fault, is asked for again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::Follow(
                FollowError::Withheld { .. } | FollowError::Oversize { .. } | FollowError::Misshapen { .. },
            ) => false,
            Self::Follow(error) => error.blames_the_log(),
            Self::Fault(_) | Self::OtherRoot { .. } => true,
            Self::Refused(_) | Self::Service(_) | Self::Own(_) | Self::Over => false,
        }
    }

    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Follow(error) => error.text(),
            Self::Fault(Fault { index, cause }) => Text::new(
                format!("日志第 {index} 条不会是诚实节点所写：{cause}。不再跟随；请保留证据并告知源节点的运营方"),
                format!(
                    "{self}: no honest node writes that; it is followed no further; keep the evidence and tell the origin's operator"
                ),
            ),
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
