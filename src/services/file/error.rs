//! What a filing may meet.

use crate::model::filing::{State, Step};
use crate::model::prefix::{PrefixStatus, PrefixStep};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::ServiceError;

#[derive(Clone, Debug)]
pub enum FilingError {
    /// None that this caller may know of.
    Unknown {
        id: String,
    },
    /// Not from where it stands.
    Step {
        state: State,
        step: Step,
    },
    /// Only who has it in review may say this.
    NotClaimed {
        reviewer: Option<String>,
    },
    /// Nobody reviews his own filing, or agrees twice.
    SamePerson,
    /// The prefix cannot be allocated.
    Prefix {
        prefix: String,
        /// The prefixes of the configuration.
        own: String,
        cause: PrefixFault,
    },
    /// The second of two must agree to what the first did.
    OtherPrefix {
        endorsed: String,
    },
    /// Of one applicant that have not ended.
    TooManyOpen {
        limit: usize,
    },
    /// Of one applicant, ended ones too.
    TooMany {
        limit: usize,
    },
    TooManySteps {
        steps: usize,
    },
    /// Not from where the prefix stands, or not for such a one.
    PrefixStep {
        prefix: String,
        status: PrefixStatus,
        step: PrefixStep,
    },
    TooManyFiles {
        limit: usize,
    },
    TooManyBytes {
        limit: u64,
    },
    /// Nothing is submitted without the certificate's image.
    NoCertificate,
    /// No such file.
    NoFile {
        seq: u32,
    },
}

/// A prefix that is not plainly in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixClosed {
    /// The one that was decided about: the name's own, or one above it.
    pub prefix: String,
    /// Never [`PrefixStatus::Active`].
    pub status: PrefixStatus,
    pub since: Timestamp,
    /// Whether what stands under it is told.
    pub is_answered: bool,
}

impl PrefixClosed {
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self.status {
            PrefixStatus::Revoked => "prefix_revoked",
            PrefixStatus::Expired => "prefix_expired",
            PrefixStatus::Suspended | PrefixStatus::Active => "prefix_suspended",
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        let Self { prefix, since, .. } = self;
        match self.status {
            PrefixStatus::Revoked => Text::new(
                format!("前缀 {prefix} 已于 {since} 撤销"),
                format!("the prefix {prefix} was revoked at {since}"),
            ),
            PrefixStatus::Expired => Text::new(
                format!("前缀 {prefix} 已于 {since} 到期：可解析，续期前不能登记"),
                format!(
                    "the prefix {prefix} ran out at {since}: it resolves, and nothing is registered until it is renewed"
                ),
            ),
            PrefixStatus::Suspended | PrefixStatus::Active => Text::new(
                format!("前缀 {prefix} 自 {since} 起暂停"),
                format!("the prefix {prefix} is suspended since {since}"),
            ),
        }
    }
}

/// Why a prefix cannot be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixFault {
    /// Not below a prefix of this node's configuration.
    Elsewhere,
    /// It, or one above or below it, is somebody's.
    Taken,
}

impl From<FilingError> for ServiceError {
    fn from(error: FilingError) -> ServiceError {
        ServiceError::Filing(error)
    }
}

impl FilingError {
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "filing_unknown",
            Self::Step { .. } | Self::TooManySteps { .. } => "filing_step_refused",
            Self::NotClaimed { .. } => "filing_not_claimed",
            Self::SamePerson => "filing_same_person",
            Self::Prefix { .. } | Self::OtherPrefix { .. } => "prefix_unavailable",
            Self::TooManyOpen { .. } | Self::TooMany { .. } | Self::TooManyFiles { .. } | Self::TooManyBytes { .. } => {
                "filing_too_many"
            }
            Self::NoCertificate => "filing_incomplete",
            Self::NoFile { .. } => "filing_unknown",
            Self::PrefixStep { .. } => "prefix_step_refused",
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Unknown { id } => Text::new(format!("没有备案 {id}"), format!("there is no filing {id}")),
            Self::Step { state, step } => Text::new(
                format!("备案处于 {}，不能 {}", state.as_str(), step.as_str()),
                format!("the filing is {}, so it cannot be {}", state.as_str(), step.as_str()),
            ),
            Self::PrefixStep { prefix, step: PrefixStep::Renewed, status } if *status != PrefixStatus::Revoked => {
                Text::new(
                    format!("{prefix} 由配置给出，没有有效期"),
                    format!("{prefix} is named in the configuration and has no end"),
                )
            }
            Self::PrefixStep { prefix, status, step } => Text::new(
                format!("前缀 {prefix} 处于 {}，不能 {}", status.as_str(), step.as_str()),
                format!("the prefix {prefix} is {}, so it cannot be {}", status.as_str(), step.as_str()),
            ),
            Self::NotClaimed { reviewer: None } => Text::new("请先领取（claim）该备案", "claim the filing first"),
            Self::NotClaimed { reviewer: Some(reviewer) } => {
                Text::new(format!("该备案由 {reviewer} 审核"), format!("the filing is {reviewer}'s to review"))
            }
            Self::SamePerson => Text::new(
                "不能审核自己提交的备案，也不能两次同意",
                "nobody reviews a filing of his own, or agrees to one twice",
            ),
            Self::Prefix { prefix, own, cause: PrefixFault::Elsewhere } => Text::new(
                format!("{prefix} 不能分配：应为本节点前缀（{own}）之下的前缀，VAA 前缀为三段，例如 88.999.7"),
                format!(
                    "{prefix} cannot be allocated: it must be a prefix below one of this node ({own}); a VAA prefix has three parts, such as 88.999.7"
                ),
            ),
            Self::Prefix { prefix, cause: PrefixFault::Taken, .. } => Text::new(
                format!("{prefix} 或其上下级前缀已分配"),
                format!("{prefix}, or a prefix above or below it, is allocated already"),
            ),
            Self::OtherPrefix { endorsed } => Text::new(
                format!("第一位审核员同意的是 {endorsed}：同意它，或退回"),
                format!("the first reviewer agreed to {endorsed}: agree to that, or return the filing"),
            ),
            Self::TooManyOpen { limit } => Text::new(
                format!("未办结的备案已有 {limit} 件：撤回一件，或待其办结"),
                format!("{limit} filings have not ended yet: withdraw one, or wait until one has been decided"),
            ),
            Self::TooMany { limit } => Text::new(
                format!("该密钥已办理备案 {limit} 件（含已办结）：请用另一密钥申请"),
                format!("{limit} filings were begun with this key, ended ones too: apply with another key"),
            ),
            Self::TooManyFiles { limit } => {
                Text::new(format!("该备案已有 {limit} 个附件"), format!("the filing has {limit} files: begin another"))
            }
            Self::TooManyBytes { limit } => {
                let limit = limit >> 20;
                Text::new(
                    format!("所有备案的附件合计已超过 {limit} MiB"),
                    format!("the files of all filings are over {limit} MiB together"),
                )
            }
            Self::NoCertificate => Text::new(
                "缺少证件图像：先上传 kind=certificate 的附件",
                "the certificate's image is missing: attach it first, with kind=certificate",
            ),
            Self::NoFile { seq } => {
                Text::new(format!("第 {seq} 步没有附件"), format!("there is no file of step {seq}"))
            }
            Self::TooManySteps { steps } => Text::new(
                format!("该备案已有 {steps} 步：请另行申请"),
                format!("the filing has {steps} steps: begin another"),
            ),
        }
    }
}
