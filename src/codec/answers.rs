//! The JSON of what services answer beside a resolution: a registration, a history, a job, the keys that sign.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use schemars::JsonSchema;
use serde::Serialize;

use super::cursor;
use crate::model::difference::Change;
use crate::model::record::Status;
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::services::compare::{Compared, Moment};
use crate::services::erase::Erased;
use crate::services::history::{Changes, Versions};
use crate::services::import::{JobState, JobView, RowCounts};
use crate::services::operate::Reloaded;
use crate::services::register::Registered;
use crate::sign::keys::PublicJwk;
use crate::sign::statement::Authority;
use crate::store::backup::LastBackup;
use crate::store::journal::{Effect, Tail};

pub(super) fn json(body: &impl Serialize) -> Vec<u8> {
    // Everything here is structs of text and numbers, whose serialising into memory has no failure to report.
    serde_json::to_vec(body).unwrap_or_default()
}

/// The words of effects, for the document of the interface.
fn effects() -> [&'static str; 4] {
    [Effect::None, Effect::Created, Effect::Updated, Effect::Deleted].map(effect)
}

fn statuses() -> Vec<Option<&'static str>> {
    Status::ALL.iter().map(|status| Some(status.as_str())).chain([None]).collect()
}

/// What a reload of the configuration did.
#[must_use]
pub fn reloaded(reloaded: &Reloaded) -> Vec<u8> {
    json(reloaded)
}

/// Where the log ends · 日志的终点
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogEnd")]
pub(super) struct LogEndBody {
    segment: u32,
    offset: u32,
    sequence: u64,
    registry_size: u64,
    audit_size: u64,
    /// Of the last group, base64url.
    hash: String,
}

/// Where the log ends.
#[must_use]
pub fn log_end(tail: &Tail) -> Vec<u8> {
    let Tail { segment, offset, sequence, registry_size, audit_size, previous } = *tail;
    json(&LogEndBody { segment, offset, sequence, registry_size, audit_size, hash: BASE64URL.encode(previous) })
}

/// What is remembered of a backup.
#[must_use]
pub fn last_backup(last: &LastBackup) -> Vec<u8> {
    json(last)
}

/// The word of an effect in answers.
#[must_use]
pub fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "none",
        Effect::Created => "created",
        Effect::Updated => "updated",
        Effect::Deleted => "deleted",
    }
}

/// What became of a change; `index` and `leaf` place its statement in the registry log · 修改的结果
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Registration")]
pub(super) struct RegistrationBody<'a> {
    identifier: Option<&'a str>,
    version: u64,
    #[schemars(extend("enum" = effects()))]
    effect: &'static str,
    updated: Timestamp,
    index: u64,
    leaf: String,
}

/// What became of a change. `identifier` is null when it was erased since.
#[must_use]
pub fn registration(registered: &Registered) -> Vec<u8> {
    json(&RegistrationBody {
        identifier: registered.identifier.as_deref(),
        version: registered.version,
        effect: effect(registered.effect),
        updated: registered.time,
        index: registered.index,
        leaf: BASE64URL.encode(registered.leaf),
    })
}

/// Versions, newest first · 各版本, 新的在前
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "History")]
pub(super) struct HistoryBody<'a> {
    identifier: &'a str,
    versions: Vec<VersionBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One version · 一个版本
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Version")]
pub(super) struct VersionBody<'a> {
    version: u64,
    #[schemars(extend("enum" = effects()))]
    effect: &'static str,
    /// Null once erased.
    #[schemars(extend("enum" = statuses()))]
    status: Option<&'static str>,
    updated: Timestamp,
    index: u64,
    leaf: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    /// Null where one of the two versions is erased.
    #[schemars(extend("x-may-be-null" = true))]
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Option<&'a [Change]>>,
}

/// A page of versions, newest first.
#[must_use]
pub fn history(page: &Versions) -> Vec<u8> {
    let versions = page.versions.iter().map(|version| VersionBody {
        version: version.version,
        effect: effect(version.effect),
        status: version.status.map(|status| status.as_str()),
        updated: version.time,
        index: version.index,
        leaf: BASE64URL.encode(version.leaf),
        principal: version.principal.as_deref(),
        job: version.job.as_deref(),
        changes: match &version.changes {
            Changes::NotAsked => None,
            Changes::Erased => Some(None),
            Changes::Known(changes) => Some(Some(changes)),
        },
    });
    json(&HistoryBody {
        identifier: &page.identifier,
        versions: versions.collect(),
        next_cursor: page.next.map(|place| cursor::of_version(&place)),
    })
}

/// What changed between two versions · 两个版本的差异
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub(super) struct ComparedBody<'a> {
    identifier: &'a str,
    from: MomentBody,
    to: MomentBody,
    changes: &'a [Change],
}

/// One of two versions · 其中一个版本
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Moment")]
pub(super) struct MomentBody {
    version: u64,
    #[schemars(extend("enum" = Status::ALL.map(Status::as_str)))]
    status: &'static str,
    updated: Timestamp,
}

/// What changed between two versions.
#[must_use]
pub fn compared(compared: &Compared) -> Vec<u8> {
    let moment = |moment: &Moment| MomentBody {
        version: moment.version,
        status: moment.status.as_str(),
        updated: moment.updated,
    };
    json(&ComparedBody {
        identifier: &compared.identifier,
        from: moment(&compared.from),
        to: moment(&compared.to),
        changes: &compared.changes,
    })
}

/// How an import is doing · 导入任务的进度
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Import")]
pub(super) struct JobBody<'a> {
    id: &'a str,
    /// `import`, `undo` or `bulk`.
    kind: &'a str,
    state: JobState,
    rows: RowCounts,
    format: &'static str,
    #[serde(flatten)]
    table: Option<TableBody<'a>>,
    dry_run: bool,
    atomic: bool,
    bytes: u64,
    bytes_done: u64,
    started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undoes: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    undone_by: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    sample: &'a [String],
    /// Where the rows that failed can be fetched.
    errors: String,
}

/// What a table turned out to be.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Table")]
pub(super) struct TableBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    separator: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sheet: Option<&'a str>,
    columns: &'a [String],
}

/// Why an import failed as a whole · 任务整体失败的原因
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ImportFailure")]
pub(super) struct FailureBody<'a> {
    code: &'a str,
    detail: &'a str,
}

/// How an import is doing.
#[must_use]
pub fn job(view: &JobView, language: Language) -> Vec<u8> {
    json(&JobBody {
        id: &view.id,
        kind: view.plan.as_deref().unwrap_or("import"),
        state: view.state,
        rows: view.rows,
        format: view.form.word(),
        table: view.table.as_ref().map(|found| TableBody {
            encoding: found.encoding.as_deref(),
            separator: found.encoding.as_ref().map(|_| found.separator),
            sheet: found.sheet.as_deref(),
            columns: &found.columns,
        }),
        dry_run: view.dry_run,
        atomic: view.atomic,
        bytes: view.bytes,
        bytes_done: view.bytes_done,
        started: view.started,
        ended: view.ended,
        failure: view.failure.as_ref().map(|failure| FailureBody {
            code: &failure.code,
            detail: in_language(&failure.zh, &failure.en, language),
        }),
        undoes: view.undoes.as_deref(),
        undone_by: view.undone_by.last().map(String::as_str),
        sample: &view.sample,
        errors: format!("/v1/imports/{}/errors", view.id),
    })
}

fn in_language<'a>(zh: &'a str, en: &'a str, language: Language) -> &'a str {
    match language {
        Language::Zh => zh,
        Language::En => en,
    }
}

/// A JWK Set (RFC 7517), the oldest first · 签名公钥
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "JwkSet")]
pub(super) struct JwksBody<'a> {
    keys: Vec<JwkBody<'a>>,
}

/// A key that signs entries, and which · 一把签名公钥
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Jwk")]
pub(super) struct JwkBody<'a> {
    #[serde(flatten)]
    jwk: &'a PublicJwk,
    /// Signs statements after this index of the registry tree (the first key: that one too, the genesis).
    #[serde(rename = "mingpai:from")]
    from: u64,
    /// The last index for which its signatures count: the statement that authorises its successor, or what the key's end says.
    /// Absent while it is in force.
    #[serde(rename = "mingpai:until", skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
    #[serde(rename = "mingpai:active")]
    active: bool,
}

/// A JWK Set (RFC 7517) of every entry key, the oldest first; members of ours begin with "mingpai:".
#[must_use]
pub fn jwks(authorities: &[Authority]) -> Vec<u8> {
    let successors = authorities.iter().skip(1).map(|next| Some(next.from));
    let keys = authorities.iter().zip(successors.chain([None]));
    // A key that was found out counts no longer than its end says.
    let last = |until: Option<u64>, end: Option<u64>| [until, end].into_iter().flatten().min();
    json(&JwksBody {
        keys: keys
            .map(|(authority, until)| JwkBody {
                jwk: &authority.key,
                from: authority.from,
                until: last(until, authority.not_after),
                active: until.is_none(),
            })
            .collect(),
    })
}

/// What was erased · 抹除的结果
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Erased")]
pub struct ErasedBody {
    /// How many versions · 版本数
    versions: u64,
    time: Timestamp,
    /// Of the last erasure's statement, in the registry tree · 注册树中的序号
    index: u64,
}

#[must_use]
pub fn erased(erased: &Erased) -> Vec<u8> {
    let Erased { versions, time, index } = *erased;
    json(&ErasedBody { versions, time, index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_ends_where_its_successor_begins() {
        let authority = |seed: u8, from| Authority {
            key: PublicJwk::of(&[seed; 32]),
            from,
            issued: 0,
            statement: None,
            not_after: None,
        };
        let (first, second) = (authority(1, 0), authority(2, 40));
        let set: serde_json::Value = serde_json::from_slice(&jwks(&[first, second])).unwrap();
        assert_eq!(set["keys"][0]["mingpai:until"], 40);
        assert_eq!(set["keys"][0]["mingpai:active"], false);
        assert_eq!(set["keys"][1]["mingpai:from"], 40);
        assert_eq!(set["keys"][1]["mingpai:active"], true);
        assert!(set["keys"][1].get("mingpai:until").is_none());
        assert_eq!(set["keys"][1]["kty"], "OKP");
    }
}
