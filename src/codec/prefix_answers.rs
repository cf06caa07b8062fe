//! The JSON of prefixes: how each stands, and what was decided about it.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor::{self, Kind};
use super::filing_answers::{ReasonBody, reasons};
use crate::model::prefix::{PrefixStatus, PrefixStep};
use crate::model::time::Timestamp;
use crate::services::file::{PrefixHead, PrefixPage, PrefixView};
use crate::services::identity::PrefixOrigin;

/// A prefix with what was decided about it · 一个前缀及其变更
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Prefix")]
pub(super) struct PrefixBody<'a> {
    #[serde(flatten)]
    head: HeadBody<'a>,
    /// How many steps were taken: the ETag · 步数，即 ETag
    version: usize,
    steps: Vec<StepBody<'a>>,
}

/// How a prefix stands · 前缀的状态
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PrefixHead")]
pub(super) struct HeadBody<'a> {
    prefix: &'a str,
    status: PrefixStatus,
    /// As people are shown it; empty where nobody said · 登记者
    registrant: &'a str,
    /// `configuration` or `filing`: how it came to be served here · 由配置还是备案分配
    origin: &'static str,
    /// Since when it is allocated · 分配时间
    #[serde(skip_serializing_if = "Option::is_none")]
    allocated: Option<Timestamp>,
    /// The filing that it was allocated to · 备案编号
    #[serde(skip_serializing_if = "Option::is_none")]
    filing: Option<&'a str>,
    /// From when on it is good no more · 有效期至
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended: Option<SuspensionBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Timestamp>,
    /// A prefix above that is not in force, which counts for this one too · 上级前缀的状态
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<AboveBody<'a>>,
}

/// A suspension that is not over · 暂停
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PrefixSuspension")]
struct SuspensionBody {
    since: Timestamp,
    /// Whether names are answered meanwhile, with the word that their prefix is suspended · 暂停期间是否解析
    resolves: bool,
}

/// A prefix above that is not in force · 上级前缀
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PrefixAbove")]
struct AboveBody<'a> {
    prefix: &'a str,
    status: PrefixStatus,
    since: Timestamp,
}

/// What was decided about a prefix · 一步变更
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PrefixStep")]
struct StepBody<'a> {
    step: PrefixStep,
    by: &'a str,
    at: Timestamp,
    /// Of its statement in the audit tree · 审计树中的序号
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolves: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "<[ReasonBody<'_>]>::is_empty")]
    reasons: Vec<ReasonBody<'a>>,
}

/// A page of prefixes · 一页前缀
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Prefixes")]
pub(super) struct PrefixesBody<'a> {
    prefixes: Vec<HeadBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

fn head(head: &PrefixHead, now: Timestamp) -> HeadBody<'_> {
    let (origin, allocated) = match head.origin {
        PrefixOrigin::Configured => ("configuration", None),
        PrefixOrigin::Allocated { since } => ("filing", Some(since)),
    };
    let suspension = head.standing.suspension;
    HeadBody {
        prefix: &head.prefix,
        status: head.standing.status(now),
        registrant: &head.registrant,
        origin,
        allocated,
        filing: head.filing.as_deref(),
        valid_until: head.standing.until.map(time),
        suspended: suspension.map(|one| SuspensionBody { since: time(one.since), resolves: one.resolves }),
        revoked: head.standing.revoked.map(time),
        above: head.above.as_ref().map(|above| AboveBody {
            prefix: &above.prefix,
            status: above.status,
            since: above.since,
        }),
    }
}

/// One prefix.
#[must_use]
pub(super) fn prefix(view: &PrefixView) -> Vec<u8> {
    let steps = view.steps.iter().map(|taken| StepBody {
        step: taken.step,
        by: &taken.by,
        at: time(taken.at),
        index: taken.index,
        resolves: taken.resolves,
        valid_until: taken.until.map(time),
        reasons: reasons(view.reasons.get(&taken.seq)),
    });
    let head = head(&view.head, Timestamp::now());
    json(&PrefixBody { head, version: view.steps.len(), steps: steps.collect() })
}

/// A page of prefixes.
#[must_use]
pub(super) fn prefixes(page: &PrefixPage) -> Vec<u8> {
    let now = Timestamp::now();
    json(&PrefixesBody {
        prefixes: page.prefixes.iter().map(|one| head(one, now)).collect(),
        next_cursor: page.next.as_ref().map(|prefix| cursor::encode(Kind::Prefixes, prefix)),
    })
}
