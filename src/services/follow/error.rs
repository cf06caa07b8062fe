//! Why a log could not be followed: what hinders, and what proves that the log, or what stands between, is not honest.

use crate::model::text::Text;
use crate::tlog::policy::JudgeError;

/// Two signed heads that cannot both be of one log. Whoever has both can show them to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The head that was remembered, as it was signed; only where it was remembered in full.
    pub remembered: Option<String>,
    /// The head that is shown now.
    pub shown: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The source does not answer, or not as it must.
    #[error("{path}: {}", .cause.en)]
    Source { path: String, cause: Text },
    /// The key that is shown does not open it.
    #[error("{path}: {}", .cause.en)]
    KeyRefused { path: String, cause: Text },
    /// There is no head yet.
    #[error("the log has published no head yet")]
    NoHead,
    #[error("{path} is not there, though a signed head covers it")]
    Withheld { path: String },
    #[error("{path} has more than {limit_bytes} bytes")]
    Oversize { path: String, limit_bytes: usize },
    #[error("the checkpoint: {0}")]
    NotOurs(#[from] JudgeError),
    /// Genuine, but not enough witnesses saw it.
    #[error("too few witnesses of the policy cosigned the checkpoint ({cosigned})")]
    NoQuorum { cosigned: usize },
    #[error("the log calls itself {shown}, and was {remembered}")]
    OtherOrigin { remembered: String, shown: String },
    #[error("rolled back: a head of {remembered} entries was seen before, now one of {shown} is shown")]
    RolledBack { remembered: u64, shown: u64, evidence: Box<Evidence> },
    #[error(
        "forked: the head of {size} entries that was seen before is not the beginning of the one of {shown} shown now"
    )]
    Forked { size: u64, shown: u64, evidence: Box<Evidence> },
    #[error("the tiles do not add up to the signed root of {size} entries")]
    WrongRoot { size: u64 },
    #[error("the tile {path} is altered: it does not add up to the signed root")]
    AlteredTile { path: String },
    #[error("entry {index} is altered: it is not the one that the signed root covers")]
    AlteredEntry { index: u64 },
    #[error("{path} is cut short, too long, or no tile at all")]
    Misshapen { path: String },
    /// What was remembered does not read.
    #[error("what was remembered does not read: {0}")]
    Memory(&'static str),
    /// Whoever takes the entries has had enough.
    #[error("{}", .0.en)]
    Stopped(Text),
}

impl FollowError {
    /// One word for it, for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } => "unreachable",
            Self::KeyRefused { .. } => "key_refused",
            Self::NoHead => "no_head",
            Self::Withheld { .. } => "withheld",
            Self::Oversize { .. } => "oversize",
            // The pinned key signed it, under a name that is not pinned.
            Self::NotOurs(JudgeError::Renamed { .. }) => "other_origin",
            Self::NotOurs(_) => "not_signed",
            Self::NoQuorum { .. } => "no_quorum",
            Self::OtherOrigin { .. } => "other_origin",
            Self::RolledBack { .. } => "rolled_back",
            Self::Forked { .. } => "forked",
            Self::WrongRoot { .. } => "wrong_root",
            Self::AlteredTile { .. } => "altered_tile",
            Self::AlteredEntry { .. } => "altered_entry",
            Self::Misshapen { .. } => "misshapen",
            Self::Memory(_) => "memory",
            Self::Stopped(_) => "stopped",
        }
    }

    /// Whether the log, or somebody between, is to blame: a no. All else leaves it open.
    #[must_use]
    pub fn blames_the_log(&self) -> bool {
        match self {
            // What is no signed text at all is a wrong address rather than a forgery, and another name is none.
            Self::NotOurs(error) => !matches!(
                error,
                JudgeError::Renamed { .. }
                    | JudgeError::Checkpoint(_)
                    | JudgeError::Note(crate::tlog::note::NoteError::Malformed(_))
            ),
            Self::Source { .. }
            | Self::KeyRefused { .. }
            | Self::NoHead
            | Self::NoQuorum { .. }
            | Self::Memory(_)
            | Self::Stopped(_) => false,
            Self::Withheld { .. }
            | Self::Oversize { .. }
            | Self::OtherOrigin { .. }
            | Self::RolledBack { .. }
            | Self::Forked { .. }
            | Self::WrongRoot { .. }
            | Self::AlteredTile { .. }
            | Self::AlteredEntry { .. }
            | Self::Misshapen { .. } => true,
        }
    }

    /// The heads that prove it, where two do.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::RolledBack { evidence, .. } | Self::Forked { evidence, .. } => Some(evidence),
            _ => None,
        }
    }

    /// What happened and what to do.
    #[must_use]
    pub fn text(&self) -> Text {
        let altered = "：日志、其缓存或中间人改动了内容，不要采信；请换一条线路再取一次，并告知运营方";
        let zh = match self {
            Self::Source { path, cause } | Self::KeyRefused { path, cause } => format!("{path}：{}", cause.zh),
            Self::NoHead => "日志尚未发布检查点：请稍后再试".to_owned(),
            Self::Withheld { path } => {
                format!("取不到 {path}，而已签名的检查点包含它：日志扣留了内容，请稍后再试并告知运营方")
            }
            Self::Oversize { path, limit_bytes } => format!("{path} 超过 {limit_bytes} 字节，未读取：不会是日志的内容"),
            Self::NotOurs(error @ JudgeError::Renamed { .. }) => return error.text(),
            Self::NotOurs(error) => format!("检查点不可信：{}", error.text().zh),
            Self::NoQuorum { cosigned } => {
                format!("检查点只有 {cosigned} 个见证方签名，未达策略要求：请稍后再试，或查看见证方是否在运行")
            }
            Self::OtherOrigin { remembered, shown } => {
                format!("日志名为 {shown}，而先前为 {remembered}：若日志由备份恢复并改名，请核实后用新的状态文件")
            }
            Self::RolledBack { remembered, shown, .. } => format!(
                "日志倒退：先前见过 {remembered} 条的检查点，现在只有 {shown} 条。请保留两份检查点作为证据，并告知运营方与见证方"
            ),
            Self::Forked { size, shown, .. } => format!(
                "日志分叉：先前见过的 {size} 条的检查点，不是现在 {shown} 条的检查点的开头。请保留两份检查点作为证据，并告知运营方与见证方"
            ),
            Self::WrongRoot { size } => format!("哈希片与 {size} 条的已签名根不符{altered}"),
            Self::AlteredTile { path } => format!("哈希片 {path} 与已签名的根不符{altered}"),
            Self::AlteredEntry { index } => format!("第 {index} 条与已签名的根不符{altered}"),
            Self::Misshapen { path } => format!("{path} 不完整、过长或不是日志的内容{altered}"),
            Self::Memory(_) => "记住的状态不可读：请核对状态文件，或删去它从头开始".to_owned(),
            Self::Stopped(text) => return text.clone(),
        };
        let en = match self {
            Self::NotOurs(error) => format!("the checkpoint is not to be believed: {}", error.text().en),
            Self::NoHead => format!("{self}; try again later"),
            Self::Withheld { .. } => format!("{self}: the log withholds it; try again later and tell its operator"),
            Self::Oversize { .. } => format!("{self} and was not read: nothing of a log is that long"),
            Self::NoQuorum { .. } => format!("{self}; try again later, or see whether the witnesses run"),
            Self::OtherOrigin { .. } => {
                format!(
                    "{self}: if it was restored under a new name, make sure of that and begin with a new state file"
                )
            }
            Self::RolledBack { .. } | Self::Forked { .. } => {
                format!("{self}; keep both checkpoints as evidence, tell the operator and the witnesses")
            }
            Self::WrongRoot { .. } | Self::AlteredTile { .. } | Self::AlteredEntry { .. } | Self::Misshapen { .. } => {
                format!(
                    "{self}; the log, a cache of it or somebody between changed it: do not believe it, fetch it another way, tell the operator"
                )
            }
            Self::Memory(_) => format!("{self}; look at the state file, or remove it and begin anew"),
            Self::Source { .. } | Self::KeyRefused { .. } | Self::Stopped(_) => self.to_string(),
        };
        Text::new(zh, en)
    }
}
