//! Whether what is shown is in the log, and how old what is known of it is: proofs under a checkpoint that a policy accepts.

use serde::Serialize;

use super::{Finding, Known, Report};
use crate::model::time::Timestamp;
use crate::sign::bundle::{LogProof, ProvenStatement, decode_hashes};
use crate::sign::keys::PublicJwk;
use crate::sign::latest::{AsOf, LatestStatement};
use crate::sign::licence::Listed;
use crate::sign::licence::succession::Succession;
use crate::tlog::hash::{Head, leaf_hash};
use crate::tlog::note::Note;
use crate::tlog::policy::{JudgeError, Policy};
use crate::tlog::proof::check_inclusion;

/// So far ahead of the verifier's clock a node's may be, in seconds.
const CLOCKS_APART_SECONDS: i64 = 300;

/// What a checkpoint that is accepted has shown.
#[derive(Debug, Default)]
pub(super) struct Proven {
    /// The log's name, and the head that the proofs lead to.
    pub head: Option<(String, Head)>,
    /// The entry keys that the log itself authorises, where all of its statements about them are proven.
    pub keys: Succession,
    pub are_statements_proven: bool,
}

/// Up to when a version is known to be the newest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freshness {
    pub state: FreshnessState,
    /// When the node said so.
    pub as_of: Timestamp,
    /// Leaves of the log then.
    pub size: u64,
}

/// How that compares with what the verifier asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FreshnessState {
    /// Not older than asked for.
    Fresh,
    /// Older than asked for: a later version, such as a recall, may have come since.
    Stale,
    /// The verifier did not say how old it may be.
    Unasked,
    /// It is of a time that the verifier's clock has not reached, or the verifier has none.
    Unknown,
}

/// Checks an entry's proof, and those of the statements that are shown with it.
pub(super) fn check(
    report: &mut Report,
    entry: &str,
    proof: &LogProof,
    statements: &[ProvenStatement],
    policy: &Policy,
) -> Proven {
    let Some((origin, head)) = check_checkpoint(report, &proof.checkpoint, policy) else {
        return Proven::default();
    };
    let is_in = |leaf: &str, index, hashes: &[String]| {
        decode_hashes(hashes).is_some_and(|hashes| check_inclusion(&leaf_hash(leaf.as_bytes()), index, &head, &hashes))
    };
    let statement = entry.split('~').next().unwrap_or_default();
    report.pass_or_fail(
        "inclusion",
        is_in(statement, proof.index, &proof.hashes),
        ["条目已收录在检查点所示的日志中", "收录证明不成立：条目不在检查点所示的日志中"],
        [
            "the log of the checkpoint has the entry",
            "the proof fails: the log of the checkpoint does not have the entry",
        ],
    );
    if let Some(wrong) = statements.iter().find(|one| !is_in(&one.statement, one.index, &one.hashes)) {
        report.add(
            "statements",
            Finding::Fail,
            format!("第 {} 条声明的收录证明不成立", wrong.index),
            format!("the proof of the statement at index {} fails", wrong.index),
        );
        return Proven { head: Some((origin, head)), ..Proven::default() };
    }
    let listed: Vec<Listed> =
        statements.iter().map(|one| Listed { index: one.index, statement: one.statement.clone() }).collect();
    // What contradicts is told where the chain is walked.
    let keys = Succession::follow(&listed).ok().filter(|keys| keys.keys.first().is_some_and(|first| first.from == 0));
    Proven { head: Some((origin, head)), keys: keys.unwrap_or_default(), are_statements_proven: !listed.is_empty() }
}

/// The head of a checkpoint that the policy accepts.
pub(super) fn check_checkpoint(report: &mut Report, checkpoint: &str, policy: &Policy) -> Option<(String, Head)> {
    const NAME: &str = "checkpoint";
    let note = match Note::parse(checkpoint) {
        Ok(note) => note,
        Err(error) => {
            let text = error.text();
            report.add(NAME, Finding::Fail, text.zh, text.en);
            return None;
        }
    };
    match policy.judge(&note) {
        Err(error) => {
            let text = error.text();
            // Its own key signed it: no forgery, and nothing that the policy believes.
            let is_renamed = matches!(error, JudgeError::Renamed { .. });
            report.add(NAME, if is_renamed { Finding::Unknown } else { Finding::Fail }, text.zh, text.en);
            None
        }
        Ok(verdict) if !verdict.has_quorum => {
            let count = verdict.cosigned.len();
            report.add(
                NAME,
                Finding::Unknown,
                format!("检查点由日志签署，但只有 {count} 个见证方联署，不足策略所需"),
                format!("the log signed the checkpoint, but only {count} witnesses of the policy did: fewer than it asks for"),
            );
            None
        }
        Ok(verdict) => {
            let (origin, size, count) = (&verdict.checkpoint.origin, verdict.checkpoint.size, verdict.cosigned.len());
            report.add(
                NAME,
                Finding::Pass,
                format!("检查点由策略中的日志 {origin} 签署（{size} 条，{count} 个见证方联署）"),
                format!("the log {origin} of the policy signed the checkpoint ({size} statements, {count} witnesses cosigned)"),
            );
            Some((verdict.checkpoint.origin.clone(), verdict.checkpoint.head()))
        }
    }
}

/// The keys under which the policy believes the log of this name.
pub(super) fn keys_of(policy: &Policy, origin: &str) -> Vec<PublicJwk> {
    policy.logs().iter().filter(|log| log.key.name() == origin).map(|log| PublicJwk::of(log.key.public())).collect()
}

/// What is checked against the node's word for the newest version.
pub(super) struct Shown<'a> {
    pub sid: &'a str,
    pub version: u64,
    /// The issuer JWT.
    pub statement: &'a str,
}

/// The node's word that the version is the newest: is it this version, this head, a key in force; and how old is it?
pub(super) fn check_latest(
    report: &mut Report,
    latest: Option<&str>,
    shown: &Shown<'_>,
    proven: &Proven,
    known: Known<'_>,
) -> Option<Freshness> {
    const NAME: &str = "freshness";
    // That there is none is told where somebody asks for its age.
    let latest = latest?;
    let fail = |report: &mut Report, zh: &str, en: &str| report.add(NAME, Finding::Fail, zh, en);
    // Only the pinned key of the log: what a bundle says of entry keys may leave out that one of them was ended.
    let keys: Vec<PublicJwk> = match (&proven.head, known.policy) {
        (Some((origin, _)), Some(policy)) => keys_of(policy, origin),
        _ => Vec::new(),
    };
    if keys.is_empty() {
        let (zh, en) = (
            "没有可信的检查点，无法核验“最新版本”声明",
            "without a checkpoint that is believed the word for the newest version cannot be checked",
        );
        report.add(NAME, Finding::Unknown, zh, en);
        return None;
    }
    let stated = match LatestStatement::read(latest, &keys) {
        Ok(stated) => stated,
        Err(cause) => {
            fail(report, "“最新版本”声明无效", cause);
            return None;
        }
    };
    let is_of_head = proven.head.as_ref().is_none_or(|(origin, head)| stated.as_of.is_of(origin, head));
    if stated.sid != shown.sid || !is_of_head {
        fail(
            report,
            "“最新版本”声明属于另一标识或另一检查点",
            "the word for the newest version is of another identifier or checkpoint",
        );
        return None;
    }
    if stated.ver != shown.version || !stated.is_leaf(&leaf_hash(shown.statement.as_bytes())) {
        report.add(
            NAME,
            Finding::Fail,
            format!("节点声明最新版本是 {}，所示为 {}", stated.ver, shown.version),
            format!("the node states that version {} is the newest, this is {}", stated.ver, shown.version),
        );
        return None;
    }
    judge_age(report, &stated.as_of, &NEWEST, known)
}

/// What a word says of its moment, and what may have come since; in zh and en.
pub(super) struct Meaning {
    pub said: [&'static str; 2],
    pub since: [&'static str; 2],
}

pub(super) const NEWEST: Meaning = Meaning {
    said: ["是最新版本", "it was the newest version"],
    since: ["其后可能已有新版本（如召回）", "a later one, such as a recall, may have come since"],
};
pub(super) const ABSENT: Meaning = Meaning {
    said: ["没有此标识", "there was no such identifier"],
    since: ["其后可能已注册", "it may have been registered since"],
};

/// How old the node's word is, by what the verifier asks.
pub(super) fn judge_age(report: &mut Report, moment: &AsOf, meaning: &Meaning, known: Known<'_>) -> Option<Freshness> {
    const NAME: &str = "freshness";
    let Ok(as_of) = Timestamp::from_seconds(moment.iat) else {
        report.add(NAME, Finding::Fail, "声明的时间不可用", "the time of the node's word is none");
        return None;
    };
    let Meaning { said: [zh, en], since: [zh_since, en_since] } = meaning;
    let size = moment.size;
    // A time that anybody may have written: no difference of two is to overflow.
    let age = known.now_seconds.map(|now| now.saturating_sub(moment.iat));
    let state = match (known.max_age_seconds, age) {
        (Some(_), Some(age)) if age < -CLOCKS_APART_SECONDS => FreshnessState::Unknown,
        (Some(most), Some(age)) if age <= most => FreshnessState::Fresh,
        (Some(_), Some(_)) => FreshnessState::Stale,
        (Some(_), None) => FreshnessState::Unknown,
        (None, _) => FreshnessState::Unasked,
    };
    let (finding, zh, en) = match state {
        FreshnessState::Fresh => (
            Finding::Pass,
            format!("在 {as_of}（{size} 条）时{zh}，在所要求的时限之内"),
            format!("{en} at {as_of} ({size} statements), within the time asked for"),
        ),
        FreshnessState::Stale => (
            Finding::Unknown,
            format!("在 {as_of}（{size} 条）时{zh}，已超出所要求的时限：{zh_since}"),
            format!("{en} at {as_of} ({size} statements), longer ago than asked for: {en_since}"),
        ),
        FreshnessState::Unknown => (
            Finding::Unknown,
            format!("声明时间 {as_of} 在本机时钟之后，无法判断新旧"),
            format!("the word is of {as_of}, which this machine's clock has not reached: its age cannot be told"),
        ),
        FreshnessState::Unasked => (
            Finding::Pass,
            format!("在 {as_of}（{size} 条）时{zh}；其后如何不得而知（可用 --max-age 要求时限）"),
            format!("{en} at {as_of} ({size} statements); what came after is not known (ask with --max-age)"),
        ),
    };
    report.add(NAME, finding, zh, en);
    Some(Freshness { state, as_of, size })
}
