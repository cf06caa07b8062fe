//! What a service could not do, and whose fault it is. Status codes are given at the edge (codec/problem), not here.

use super::file::{FilingError, PrefixClosed};
use super::licence::LicenceError;
use super::refusal;
use crate::config::ConfigError;
use crate::model::field::FieldError;
use crate::model::identifier::{CanonicalKey, IdentifierError};
use crate::model::principal::Excess;
use crate::model::record::Status;
use crate::model::text::Text;
use crate::store::engine::EngineError;
use crate::store::journal::JournalError;
use crate::store::{ApplyError, Refusal};

/// Every way in which a service says no.
#[derive(Clone, Debug)]
pub enum ServiceError {
    // The caller's: what was sent.
    /// The text is no identifier.
    Identifier(IdentifierError),
    /// The document breaks rules; all of them are listed.
    Fields(Vec<FieldError>),
    /// A configuration or a setting of it that cannot be used; nothing of it was taken.
    Configuration(ConfigError),
    /// The signed entry would be too large.
    EntryTooLarge(String),
    /// The idempotency key was used for another request.
    IdempotencyMismatch,

    // The caller's: what it assumed.
    /// No prefix of this node.
    NotResponsible { identifier: String },
    /// Not below a prefix of the caller's.
    OutOfReach { identifier: String, scope: String },
    /// More than the caller has cannot be given away.
    MoreThanHeld(Excess),
    /// Never registered here.
    Unknown { identifier: String },
    /// A cursor that no page of this list has given.
    BadCursor,
    /// The version that was asked for does not exist.
    NoSuchVersion { identifier: String },
    /// So many versions came after it that one request does not walk back to it.
    VersionFarBack { identifier: String },
    /// Deleted or erased; never given out again.
    Gone { identifier: String },
    /// It exists, and no precondition was sent.
    PreconditionRequired { version: u64 },
    /// It stands at another version (`None`: it does not exist).
    VersionMismatch { current: Option<u64> },
    /// The life cycle has no such step.
    StatusStep { from: Status, to: Status },
    /// Another identifier bears this name.
    AliasTaken { alias: CanonicalKey },
    /// A request with the same idempotency key is still running.
    IdempotencyRunning,
    /// It changed under every attempt.
    Conflict { identifier: String },
    /// No request with this idempotency key is remembered.
    UnknownRequest,
    /// No such job, key or the like.
    NotFound { what: &'static str, name: String },
    /// An upload has more bytes than the limit.
    UploadTooLarge { limit: u64 },
    /// The upload stands at another byte, or another request adds to it now.
    UploadOffset { offset: u64 },
    /// A name that this log had before, which it may not take again.
    OriginTaken { origin: String },
    /// It is no longer what it was when the job was made.
    ChangedSince { identifier: String, current: u64 },
    /// No head of the log covers what was asked for in time.
    HeadPending,
    /// No head of the log covers it, or the log has no such part.
    NotInLog,
    /// The job has not ended.
    JobRunning { id: String },
    /// Nothing is known of what the job wrote.
    NotUndoable { id: String },
    /// The credential does not open anything.
    BadCredential,
    /// A request's own signature, refused whoever made it; says why.
    SignatureUnusable(Text),
    /// This node shows another one's records, and whoever wants more must ask that one.
    MirrorReadOnly { origin: String },
    /// A mirror that was given nothing of what the log hides cannot tell which names are registered.
    MirrorHoldsNoNames { origin: String },
    /// A licence, or an owner's signature.
    Licence(LicenceError),
    /// A filing.
    Filing(FilingError),
    /// As many grants as there may be.
    TooManyGrants { limit: usize },
    /// The prefix is suspended, revoked or run out.
    PrefixClosed(PrefixClosed),

    // The node's.
    /// What the journal holds of it cannot be read; the cause goes to the log.
    RecordDamaged { identifier: String, cause: String },
    /// The store takes no writes.
    Refused(Refusal),
    /// Something that should not happen; the cause goes to the log, not to the caller.
    Internal(String),
}

impl ServiceError {
    /// The stable code of the failure: a name in codec/problem's table, for answers and for rows of an import.
    pub fn code(&self) -> &'static str {
        match self {
            ServiceError::Identifier(_) => "identifier_invalid",
            ServiceError::Fields(_) => "fields_invalid",
            ServiceError::Configuration(_) => "config_invalid",
            ServiceError::EntryTooLarge(_) | ServiceError::Refused(Refusal::TooLarge { .. }) => "entry_too_large",
            ServiceError::IdempotencyMismatch => "idempotency_mismatch",
            ServiceError::NotResponsible { .. } => "not_responsible",
            ServiceError::OutOfReach { .. } | ServiceError::MoreThanHeld(_) => "forbidden",
            ServiceError::Unknown { .. } => "identifier_unknown",
            ServiceError::BadCursor => "query_invalid",
            ServiceError::NoSuchVersion { .. } => "version_unknown",
            ServiceError::VersionFarBack { .. } => "version_far_back",
            ServiceError::Gone { .. } => "identifier_deleted",
            ServiceError::PreconditionRequired { .. } => "precondition_required",
            ServiceError::VersionMismatch { .. } => "version_mismatch",
            ServiceError::StatusStep { .. } => "status_change_refused",
            ServiceError::AliasTaken { .. } => "alias_taken",
            ServiceError::IdempotencyRunning => "idempotency_running",
            ServiceError::Conflict { .. } => "conflict",
            ServiceError::UnknownRequest => "request_unknown",
            ServiceError::NotFound { what: "import", .. } => "import_unknown",
            ServiceError::NotFound { what: "segment", .. } => "segment_unknown",
            ServiceError::NotFound { what: "grant", .. } => "grant_unknown",
            ServiceError::NotFound { .. } => "key_unknown",
            ServiceError::TooManyGrants { .. } => "grant_too_many",
            ServiceError::UploadTooLarge { .. } => "body_too_large",
            ServiceError::UploadOffset { .. } => "upload_offset",
            // Met at a start only.
            ServiceError::OriginTaken { .. } => "internal",
            ServiceError::NotInLog => "log_part_unknown",
            ServiceError::HeadPending => "checkpoint_pending",
            ServiceError::ChangedSince { .. } => "changed_since",
            ServiceError::JobRunning { .. } => "import_running",
            ServiceError::NotUndoable { .. } => "import_not_undoable",
            ServiceError::BadCredential => "bad_credentials",
            ServiceError::SignatureUnusable(_) => "signature_unusable",
            ServiceError::MirrorReadOnly { .. } => "mirror_read_only",
            ServiceError::MirrorHoldsNoNames { .. } => "mirror_holds_no_names",
            ServiceError::Licence(error) => error.code(),
            ServiceError::Filing(error) => error.code(),
            ServiceError::PrefixClosed(closed) => closed.code(),
            ServiceError::RecordDamaged { .. } => "record_damaged",
            ServiceError::Refused(Refusal::Busy) => "overloaded",
            ServiceError::Refused(Refusal::Full { .. }) => "storage_full",
            ServiceError::Refused(Refusal::ReadFailed(_)) => "storage_read_failed",
            ServiceError::Refused(Refusal::Poisoned(_)) => "storage_poisoned",
            ServiceError::Refused(Refusal::Undecided) => "restored_undecided",
            ServiceError::Refused(Refusal::Stopping) => "draining",
            ServiceError::Internal(_) => "internal",
        }
    }

    /// What happened, to which identifier, and what to do next. Never names a cause inside the node.
    pub fn text(&self) -> Text {
        match self {
            ServiceError::Identifier(error) => error.text(),
            ServiceError::Fields(errors) => errors.first().map_or_else(
                || Text::new("字段不合规则", "a field breaks a rule"),
                |error| {
                    let at = if error.pointer.is_empty() { "/" } else { &error.pointer };
                    Text::new(format!("{at}：{}", error.detail.zh), format!("{at}: {}", error.detail.en))
                },
            ),
            ServiceError::EntryTooLarge(cause) => Text::new(format!("签名条目过大：{cause}"), cause.clone()),
            ServiceError::NotResponsible { identifier } => Text::new(
                format!("本节点不负责 {identifier} 的前缀"),
                format!("this node is not responsible for the prefix of {identifier}"),
            ),
            ServiceError::OutOfReach { identifier, scope } => Text::new(
                format!("{identifier} 不在密钥的范围（{scope}）之内"),
                format!("{identifier} is out of the key's reach ({scope})"),
            ),
            ServiceError::MoreThanHeld(excess) => excess.text(),
            ServiceError::Unknown { identifier } => {
                Text::new(format!("{identifier} 未在本节点登记"), format!("{identifier} is not registered here"))
            }
            ServiceError::NoSuchVersion { identifier } => {
                Text::new(format!("{identifier} 没有所问的版本"), format!("{identifier} has no such version"))
            }
            ServiceError::Gone { identifier } => Text::new(
                format!("{identifier} 已删除，不再分配"),
                format!("{identifier} was deleted and is never given out again"),
            ),
            ServiceError::PreconditionRequired { version } => Text::new(
                format!("已有版本 {version}：修改须带 If-Match: \"{version}\""),
                format!("version {version} stands: to change it send If-Match: \"{version}\""),
            ),
            ServiceError::VersionMismatch { current: Some(version) } => {
                Text::new(format!("当前版本是 {version}"), format!("the current version is {version}"))
            }
            ServiceError::VersionMismatch { current: None } => {
                Text::new("尚未登记，没有可匹配的版本", "it is not registered, so no version matches")
            }
            ServiceError::StatusStep { from, to } => Text::new(
                format!("状态不能从 {} 变为 {}", from.as_str(), to.as_str()),
                format!("the status may not go from {} to {}", from.as_str(), to.as_str()),
            ),
            ServiceError::AliasTaken { alias } => Text::new(
                format!("名称 {alias} 已属于另一标识"),
                format!("the name {alias} belongs to another identifier"),
            ),
            ServiceError::HeadPending => {
                Text::new("尚无涵盖最新内容的检查点", "no checkpoint covers the newest version yet")
            }
            ServiceError::NotInLog => Text::new(
                "最新检查点没有涵盖它，或没有这样的部分",
                "the newest checkpoint does not cover it, or there is no such part",
            ),
            other => other.text_of_the_rest(),
        }
    }

    fn text_of_the_rest(&self) -> Text {
        match self {
            ServiceError::Filing(error) => error.text(),
            ServiceError::PrefixClosed(closed) => closed.text(),
            ServiceError::TooManyGrants { limit } => too_many_grants(*limit),
            ServiceError::Licence(error) => error.text(),
            ServiceError::SignatureUnusable(cause) => Text::new(
                format!("请求的签名不可用：{}", cause.zh),
                format!("the signature of the request cannot be used: {}", cause.en),
            ),
            ServiceError::Configuration(error) => {
                let told = error.text();
                Text::new(
                    format!("配置有误，未作任何改动\n{}", told.zh),
                    format!("the configuration is wrong; nothing of it was taken\n{}", told.en),
                )
            }
            ServiceError::Conflict { identifier } => Text::new(
                format!("{identifier} 在写入期间被反复修改，请重试"),
                format!("{identifier} kept changing while it was written: try again"),
            ),
            ServiceError::VersionFarBack { identifier } => Text::new(
                format!("{identifier} 在所问的版本之后版本过多，一次请求不回溯那么远"),
                format!("{identifier} has too many versions after the one asked for to walk back to it in one request"),
            ),
            ServiceError::NotFound { what, name } => {
                Text::new(format!("没有这个 {what}：{name}"), format!("there is no such {what}: {name}"))
            }
            ServiceError::UploadTooLarge { limit } => {
                Text::new(format!("上传超过 {limit} 字节"), format!("the upload has more than {limit} bytes"))
            }
            ServiceError::RecordDamaged { identifier, .. } => Text::new(
                format!("{identifier} 在日志中的数据无法读出，未作任何改动；其他标识不受影响"),
                format!(
                    "what the journal holds of {identifier} cannot be read; nothing was changed, other identifiers are not affected"
                ),
            ),
            ServiceError::Refused(refusal) => refusal::text(refusal),
            ServiceError::UploadOffset { offset } => {
                Text::new(format!("上传已到第 {offset} 字节"), format!("the upload stands at byte {offset}"))
            }
            ServiceError::ChangedSince { identifier, current } => Text::new(
                format!("{identifier} 之后又有改动，现为版本 {current}：未作改动"),
                format!("{identifier} was changed since and stands at version {current}: it was left as it is"),
            ),
            ServiceError::OriginTaken { origin } => origin_taken(origin),
            ServiceError::JobRunning { id } => {
                Text::new(format!("任务 {id} 仍在运行"), format!("the job {id} is still running"))
            }
            ServiceError::NotUndoable { id } => Text::new(
                format!("任务 {id} 是旧版本登记的，日志中没有它的编号"),
                format!("the job {id} is from an older version, and the journal does not know what it wrote"),
            ),
            ServiceError::IdempotencyMismatch => {
                Text::new("此 Idempotency-Key 已用于另一请求", "this Idempotency-Key was used for another request")
            }
            ServiceError::IdempotencyRunning => {
                Text::new("带此 Idempotency-Key 的请求仍在处理", "a request with this Idempotency-Key is still running")
            }
            ServiceError::BadCursor => {
                Text::new("cursor：不是本列表给出的游标", "cursor: is no cursor that this list has given")
            }
            ServiceError::UnknownRequest => Text::new("没有记得的请求带此键", "no remembered request has this key"),
            ServiceError::MirrorReadOnly { origin } => read_only(origin),
            ServiceError::MirrorHoldsNoNames { origin } => holds_no_names(origin),
            ServiceError::BadCredential => Text::new("凭据无效", "the credential is not valid"),
            // The node's own fault, whose cause is for the log alone.
            _ => Text::new("节点内部错误，已记入日志", "an internal error, noted in the log"),
        }
    }
}

fn too_many_grants(limit: usize) -> Text {
    Text::new(
        format!("授权已有 {limit} 个：先撤回不再需要的"),
        format!("there are {limit} grants: take back those that nobody needs any more"),
    )
}

fn holds_no_names(origin: &str) -> Text {
    Text::new(
        format!("本镜像只有日志，不含标识，无法判断是否注册：请向源节点 {origin} 查询"),
        format!(
            "this mirror holds no names, only the log, and cannot tell which are registered: ask its origin, {origin}"
        ),
    )
}

fn read_only(origin: &str) -> Text {
    Text::new(
        format!("本节点是只读镜像：请向源节点 {origin} 登记或查询"),
        format!("this node is a mirror and only reads: ask its origin, {origin}"),
    )
}

fn origin_taken(origin: &str) -> Text {
    Text::new(
        format!("日志曾用过名称 {origin}，不能再用：请以 mingpai restore --data DIR --new-origin 另取一个"),
        format!(
            "this log had the name {origin} before and may not take it again: choose another (mingpai restore --data DIR --new-origin NAME)"
        ),
    )
}

impl ServiceError {
    /// A read of one record failed: whether its bytes are wrong, or the node is. A statement that does not read, or is blank
    /// though nobody erased it, concerns that record alone too. A disk that does not answer, such as a cold folder that is not
    /// mounted, says nothing against the record.
    pub(super) fn of_reading(identifier: &str, error: ApplyError) -> ServiceError {
        match error {
            ApplyError::Journal(JournalError::Unreadable { .. }) | ApplyError::Statement { .. } => {
                ServiceError::RecordDamaged { identifier: identifier.to_owned(), cause: error.to_string() }
            }
            other => other.into(),
        }
    }
}

impl From<EngineError> for ServiceError {
    fn from(error: EngineError) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}

impl From<JournalError> for ServiceError {
    fn from(error: JournalError) -> ServiceError {
        match &error {
            JournalError::Io { .. } => ServiceError::Refused(Refusal::ReadFailed(error.to_string())),
            _ => ServiceError::Internal(error.to_string()),
        }
    }
}

impl From<ApplyError> for ServiceError {
    fn from(error: ApplyError) -> ServiceError {
        match &error {
            ApplyError::Row(key) => {
                ServiceError::RecordDamaged { identifier: key.to_string(), cause: error.to_string() }
            }
            ApplyError::Journal(JournalError::Io { .. }) => {
                ServiceError::Refused(Refusal::ReadFailed(error.to_string()))
            }
            _ => ServiceError::Internal(error.to_string()),
        }
    }
}

impl From<IdentifierError> for ServiceError {
    fn from(error: IdentifierError) -> ServiceError {
        ServiceError::Identifier(error)
    }
}

impl From<serde_json::Error> for ServiceError {
    fn from(error: serde_json::Error) -> ServiceError {
        ServiceError::Internal(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_does_not_read_is_a_damaged_record() {
        let error = ServiceError::from(ApplyError::Row(CanonicalKey::from_stored("88.999.1/a")));
        assert_eq!(error.code(), "record_damaged");
    }

    #[test]
    fn a_disk_that_does_not_answer_damages_no_record() {
        let away = || JournalError::Io {
            action: "read",
            segment: "0000000001.journal".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        assert_eq!(ServiceError::from(away()).code(), "storage_read_failed");
        assert_eq!(ServiceError::of_reading("88.999.1/a", away().into()).code(), "storage_read_failed");
    }
}
