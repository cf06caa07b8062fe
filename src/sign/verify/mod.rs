//! Verification without a node: is this entry genuine, and does it say what the answer says?
//!
//! Every step passes, fails, or cannot be told; the verdict is the worst of them. What an entry alone cannot show is said
//! as such: that it is in the log, that it is the newest version, that its key was in force at its index.

mod answer;
mod asked;
mod entry;
mod in_log;
mod rights;
mod word;

use serde::Serialize;
use serde_json::Value as Json;

use self::answer::compare;
use self::asked::tell_unanswered;
pub use self::entry::Checked;
use self::entry::check_entry;
pub use self::in_log::{Freshness, FreshnessState};
use self::in_log::{Proven, Shown};
pub use self::rights::KeyIndexes;
use self::rights::{check_indexes, check_licences};
pub use self::word::WORD;
use super::bundle::{self, Bundle, LogProof};
use super::keys::PublicJwk;
use super::licence::Listed;
use crate::model::text::Text;
use crate::tlog::log_proof;
use crate::tlog::policy::Policy;

/// How a step ended. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    Pass,
    /// There was nothing to tell it by.
    Unknown,
    Fail,
}

/// One thing that was checked.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    pub name: &'static str,
    pub finding: Finding,
    pub detail: Text,
}

/// Everything that was checked.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub steps: Vec<Step>,
    /// Up to when the version is known to be the newest; `None`: that is not known at all.
    pub freshness: Option<Freshness>,
}

impl Report {
    /// The worst finding; a report without steps told nothing.
    pub fn verdict(&self) -> Finding {
        self.steps.iter().map(|step| step.finding).max().unwrap_or(Finding::Unknown)
    }

    pub(super) fn add(&mut self, name: &'static str, finding: Finding, zh: impl Into<String>, en: impl Into<String>) {
        self.steps.push(Step { name, finding, detail: Text { zh: zh.into(), en: en.into() } });
    }

    fn pass_or_fail(&mut self, name: &'static str, passed: bool, zh: [&str; 2], en: [&str; 2]) {
        let at = usize::from(!passed);
        self.add(name, if passed { Finding::Pass } else { Finding::Fail }, zh[at], en[at]);
    }
}

/// What the verifier knows from elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// The node's entry keys; empty: none are known.
    pub keys: &'a [PublicJwk],
    /// The identifier that was asked for.
    pub identifier: Option<&'a str>,
    /// The issuer that is expected.
    pub issuer: Option<&'a str>,
    /// The upper node's key, pinned.
    pub upper: Option<&'a PublicJwk>,
    /// Whether the statements in the document's `licences` were proven to be in the log.
    pub are_licences_proven: bool,
    /// Whose checkpoints count; `None`: no proof is looked at.
    pub policy: Option<&'a Policy>,
    /// The proof that the log has the entry, where it is a file of its own (C2SP tlog-proof).
    pub proof: Option<&'a LogProof>,
    /// How old the node's word for the newest version may be, in seconds; `None`: nobody asks.
    pub max_age_seconds: Option<i64>,
    /// For which registry indexes each of `keys` may sign, as the node says it; empty: that is not known.
    pub ranges: &'a [KeyIndexes],
    /// Whether an answer counts only with the signature of a licensed owner.
    pub requires_owner: bool,
    /// The verifier's clock, epoch seconds; `None`: it has none.
    pub now_seconds: Option<i64>,
}

/// Verifies a file: a compact SD-JWT entry, the JSON of a resolution that carries one as `entry`, a bundle in either form, or the
/// node's word for a moment. Of a proof of the log alone it is told whose checkpoint it is under.
pub fn verify_document(document: &[u8], known: Known<'_>) -> Report {
    let mut report = Report::default();
    check_document(&mut report, document, known);
    tell_unanswered(&mut report, known);
    report
}

fn check_document(report: &mut Report, document: &[u8], known: Known<'_>) {
    let Ok(text) = std::str::from_utf8(document) else {
        return report.add("format", Finding::Unknown, "文件不是文本", "the file is not text");
    };
    let text = text.trim();
    if text.starts_with(bundle::PACKED_PREFIX) {
        return check_bundle(report, Bundle::unpack(text).map_err(str::to_owned), known);
    }
    if text.starts_with(log_proof::HEADER) {
        return check_bare_proof(report, document, known);
    }
    if let Some(word) = word::Document::of_compact(text) {
        return word::check(report, &word, known);
    }
    if !text.starts_with('{') {
        return check_bare_entry(report, text, known);
    }
    match serde_json::from_str::<Json>(text) {
        Ok(answer) if answer.get("bundle").is_some() => check_bundle(report, Bundle::read(text), known),
        Ok(answer) if word::Document::is_meant(&answer) => word::check_text(report, text, known),
        Ok(answer) => check_answer(report, &answer, known),
        Err(error) => {
            report.add("format", Finding::Unknown, format!("不是 JSON：{error}"), format!("not JSON: {error}"));
        }
    }
}

/// A resolution: what it says in clear, and what is signed; and its proof, where a policy says whose checkpoints count.
fn check_answer(report: &mut Report, answer: &Json, known: Known<'_>) {
    let Some(entry) = answer.get("entry").and_then(Json::as_str) else {
        return report.add(
            "format",
            Finding::Unknown,
            "文件里没有 entry：请用 ?entry=1 重新解析并保存",
            "the file has no `entry`: resolve again with ?entry=1 and save that",
        );
    };
    let own = answer.get("proof").and_then(|proof| serde_json::from_value::<LogProof>(proof.clone()).ok());
    let proof = known.proof.or(own.as_ref());
    check_proof(report, entry, proof, known);
    if known.proof.is_some() {
        // Its own is judged all the same: an answer that contradicts itself is none.
        check_proof(report, entry, own.as_ref(), known);
    }
    let Some(checked) = check_entry(report, entry, known) else { return };
    compare(report, answer, &checked);
    let proven = proof.map(|proof| proof.index);
    if known.policy.is_some() {
        check_indexes(report, proven, &checked, known);
    }
    let index = proven.or_else(|| answer.get("index").and_then(Json::as_u64));
    match answer.get("licences").map(|listed| serde_json::from_value::<Vec<Listed>>(listed.clone())) {
        Some(Err(error)) => {
            report.add("licences", Finding::Unknown, format!("licences 不可读：{error}"), error.to_string());
        }
        Some(Ok(listed)) => check_licences(report, Some(&listed), index, &checked, known),
        None => check_licences(report, None, index, &checked, known),
    }
}

/// An entry, and a proof that lies beside it.
fn check_bare_entry(report: &mut Report, entry: &str, known: Known<'_>) {
    check_proof(report, entry, known.proof, known);
    let Some(checked) = check_entry(report, entry, known) else { return };
    if let Some(proof) = known.proof {
        check_indexes(report, Some(proof.index), &checked, known);
    }
}

fn check_proof(report: &mut Report, entry: &str, proof: Option<&LogProof>, known: Known<'_>) {
    if let (Some(policy), Some(proof)) = (known.policy, proof) {
        in_log::check(report, entry, proof, &[], policy);
    }
}

/// A proof without the entry that it is about: there is nothing to prove.
fn check_bare_proof(report: &mut Report, document: &[u8], known: Known<'_>) {
    let proof = match log_proof::LogProof::parse(document) {
        Ok(proof) => LogProof::from(&proof),
        Err(error) => {
            let text = error.text();
            return report.add("format", Finding::Fail, text.zh, text.en);
        }
    };
    if let Some(policy) = known.policy {
        in_log::check_checkpoint(report, &proof.checkpoint, policy);
    }
    report.add(
        "inclusion",
        Finding::Unknown,
        "日志证明不含条目本身：mingpai verify 条目文件 --proof 此文件 --policy 策略",
        "a proof of the log is without the entry that it is about: mingpai verify ENTRY --proof THIS-FILE --policy FILE",
    );
}

/// A bundle: every byte of it counts.
fn check_bundle(report: &mut Report, bundle: Result<Bundle, String>, known: Known<'_>) {
    let bundle = match bundle {
        Ok(bundle) => bundle,
        Err(cause) => return report.add("format", Finding::Fail, format!("离线包不可读：{cause}"), cause),
    };
    if known.proof.is_some() {
        report.add(
            "proof",
            Finding::Unknown,
            "离线包自带证明，只核验其自带的：--proof 用于条目或解析结果",
            "a bundle has its own proof, and only that is checked: --proof is for entries and resolutions",
        );
    }
    let proven = match known.policy {
        Some(policy) => in_log::check(report, &bundle.entry, &bundle.proof, &bundle.statements, policy),
        None => {
            report.add(
                "checkpoint",
                Finding::Unknown,
                "没有策略：请用 --policy 给出所信任日志的公钥（mingpai policy）",
                "no policy: give the key of the log that you trust with --policy (`mingpai policy`)",
            );
            Proven::default()
        }
    };
    // What the log itself authorises is better than what was fetched from somewhere.
    let of_log: Vec<PublicJwk> = proven.keys.keys.iter().map(|range| range.key.clone()).collect();
    let keys = if of_log.is_empty() { known.keys } else { &of_log };
    let within = Known { keys, are_licences_proven: proven.are_statements_proven, ..known };
    let Some(checked) = check_entry(report, &bundle.entry, within) else { return };
    let listed: Vec<Listed> =
        bundle.statements.iter().map(|one| Listed { index: one.index, statement: one.statement.clone() }).collect();
    let listed = (!listed.is_empty()).then_some(&listed[..]);
    if listed.is_none() {
        check_indexes(report, Some(bundle.proof.index), &checked, known);
    }
    check_licences(report, listed, Some(bundle.proof.index), &checked, within);
    let statement = bundle.entry.split('~').next().unwrap_or_default();
    let shown = Shown { sid: &checked.payload.sid, version: checked.payload.ver, statement };
    report.freshness = in_log::check_latest(report, bundle.latest.as_deref(), &shown, &proven, known);
}

/// What a document claims, and what was checked of it: as [`verify_document`], for whoever goes on with the claims. They are
/// there where the disclosures belong to the statement, whatever else failed.
pub fn open_document(document: &[u8], known: Known<'_>) -> (Report, Option<Checked>) {
    let mut report = Report::default();
    let text = std::str::from_utf8(document).unwrap_or_default().trim();
    let answer = serde_json::from_str::<Json>(text).ok();
    let entry = answer.as_ref().map_or(Some(text), |answer| answer.get("entry").and_then(Json::as_str));
    let checked = entry.and_then(|entry| check_entry(&mut report, entry, known));
    (report, checked)
}
