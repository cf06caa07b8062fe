//! Verification without a node: is this entry genuine, and does it say what the answer says?
//!
//! Every step passes, fails, or cannot be told; the verdict is the worst of them. What an entry alone cannot show is said
//! as such: that it is in the log, that it is the newest version, that its key was in force at its index.

mod answer;
mod asked;
mod in_log;
mod rights;

use serde::Serialize;
use serde_json::Value as Json;

use self::answer::compare;
use self::asked::tell_unanswered;
pub use self::in_log::{Freshness, FreshnessState};
use self::in_log::{Proven, Shown};
pub use self::rights::KeyIndexes;
use self::rights::{check_indexes, check_licences};
use super::bundle::{self, Bundle, LogProof};
use super::entry::{Claims, Payload};
use super::jws::{ENTRY_TYPE, Parsed};
use super::keys::PublicJwk;
use super::licence::Listed;
use super::sd_jwt;
use crate::model::identifier::Identifier;
use crate::model::text::Text;
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
    /// How old the node's word for the newest version may be, in seconds; `None`: nobody asks.
    pub max_age_seconds: Option<i64>,
    /// For which registry indexes each of `keys` may sign, as the node says it; empty: that is not known.
    pub ranges: &'a [KeyIndexes],
    /// Whether an answer counts only with the signature of a licensed owner.
    pub requires_owner: bool,
    /// The verifier's clock, epoch seconds; `None`: it has none.
    pub now_seconds: Option<i64>,
}

/// Verifies a file: a compact SD-JWT entry, the JSON of a resolution that carries one as `entry`, or a bundle in either form.
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
    if !text.starts_with('{') {
        check_entry(report, text, known);
        return;
    }
    match serde_json::from_str::<Json>(text) {
        Ok(answer) if answer.get("bundle").is_some() => check_bundle(report, Bundle::read(text), known),
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
    let proof = answer.get("proof").and_then(|proof| serde_json::from_value::<LogProof>(proof.clone()).ok());
    if let (Some(policy), Some(proof)) = (known.policy, proof) {
        in_log::check(report, entry, &proof, &[], policy);
    }
    let Some(checked) = check_entry(report, entry, known) else { return };
    compare(report, answer, &checked);
    if known.policy.is_some() {
        check_indexes(report, answer.pointer("/proof/index").and_then(Json::as_u64), &checked, known);
    }
    let index = answer.pointer("/proof/index").or_else(|| answer.get("index")).and_then(Json::as_u64);
    match answer.get("licences").map(|listed| serde_json::from_value::<Vec<Listed>>(listed.clone())) {
        Some(Err(error)) => {
            report.add("licences", Finding::Unknown, format!("licences 不可读：{error}"), error.to_string());
        }
        Some(Ok(listed)) => check_licences(report, Some(&listed), index, &checked, known),
        None => check_licences(report, None, index, &checked, known),
    }
}

/// A bundle: every byte of it counts.
fn check_bundle(report: &mut Report, bundle: Result<Bundle, String>, known: Known<'_>) {
    let bundle = match bundle {
        Ok(bundle) => bundle,
        Err(cause) => return report.add("format", Finding::Fail, format!("离线包不可读：{cause}"), cause),
    };
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

/// An entry that was taken apart.
pub struct Checked {
    kid: String,
    pub payload: Payload,
    pub claims: Claims,
    /// The identifier, where the entry was shown to belong to it.
    identifier: Option<Identifier>,
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

fn check_entry(report: &mut Report, entry: &str, known: Known<'_>) -> Option<Checked> {
    let mut parts = entry.trim().split('~');
    let statement = parts.next().unwrap_or_default();
    let disclosures: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let parsed = match Parsed::parse(statement) {
        Ok(parsed) => parsed,
        Err(cause) => {
            // What has the three parts of an entry and does not read is a damaged entry: not genuine, whoever signed it.
            let damaged = statement.split('.').count() == 3;
            report.add(
                "format",
                if damaged { Finding::Fail } else { Finding::Unknown },
                format!("不是签名条目：{cause}"),
                format!("not a signed entry: {cause}"),
            );
            return None;
        }
    };
    let Ok(payload) = serde_json::from_slice::<Payload>(&parsed.payload) else {
        report.add("format", Finding::Unknown, "签名内容不是条目", "what is signed is no entry");
        // Its signature tells whether it never was an entry or is an altered one.
        check_signature(report, &parsed, known);
        return None;
    };
    let typed = parsed.header.typ == ENTRY_TYPE && payload.sd_alg == "sha-256";
    report.pass_or_fail(
        "format",
        typed,
        ["格式正确", "类型不是条目"],
        ["the format is right", "its type is not an entry's"],
    );
    check_signature(report, &parsed, known);
    if let Some(issuer) = known.issuer {
        report.pass_or_fail(
            "issuer",
            payload.iss == issuer,
            ["签发者相符", "签发者不是预期的节点"],
            ["the issuer is the expected one", "the issuer is another node"],
        );
    }
    let claims = check_disclosures(report, &payload, &disclosures)?;
    let identifier = check_identifier(report, &payload, &claims, known);
    Some(Checked { kid: parsed.header.kid, payload, claims, identifier })
}

fn check_signature(report: &mut Report, parsed: &Parsed<'_>, known: Known<'_>) {
    match known.keys.iter().find(|key| key.kid == parsed.header.kid) {
        Some(key) => report.pass_or_fail(
            "signature",
            parsed.verify(key),
            ["签名正确", "签名不正确：内容被改动或伪造"],
            ["the signature is right", "the signature is wrong: altered or forged"],
        ),
        None if known.keys.is_empty() => report.add(
            "signature",
            Finding::Unknown,
            "没有可用的公钥：用 --jwks 给出节点的公钥文件",
            "no key is known: give the node's keys with --jwks",
        ),
        None => report.add(
            "signature",
            Finding::Unknown,
            format!("不认识签名密钥 {}", parsed.header.kid),
            format!("the signing key {} is not among the known ones", parsed.header.kid),
        ),
    }
}

fn check_disclosures(report: &mut Report, payload: &Payload, disclosures: &[&str]) -> Option<Claims> {
    let mut claims = Claims::in_clear(payload);
    let mut names = std::collections::HashSet::new();
    for encoded in disclosures {
        let taken = if payload.sd.binary_search(&sd_jwt::digest_of(encoded)).is_err() {
            Err("a disclosure is not among the signed digests".to_owned())
        } else {
            sd_jwt::open(encoded).map_err(str::to_owned).and_then(|(name, value)| {
                let in_clear = matches!(name.as_str(), "sub" | "case") && payload.sub.is_some();
                if in_clear || !names.insert(name.clone()) {
                    return Err(format!("the claim {name} is there twice"));
                }
                claims.take(&name, value).map_err(|error| format!("{name}: {error}"))
            })
        };
        if let Err(cause) = taken {
            report.add("disclosures", Finding::Fail, format!("披露内容不符：{cause}"), cause);
            return None;
        }
    }
    let hidden = payload.sd.len() - disclosures.len();
    report.add(
        "disclosures",
        Finding::Pass,
        format!("{} 项披露内容均已签名（另有 {hidden} 项未披露或为填充）", disclosures.len()),
        format!("all {} disclosures are signed ({hidden} more are hidden or padding)", disclosures.len()),
    );
    Some(claims)
}

fn check_identifier(report: &mut Report, payload: &Payload, claims: &Claims, known: Known<'_>) -> Option<Identifier> {
    let (Some(sub), Some(_)) = (&claims.sub, &claims.sid_key) else {
        report.add(
            "identifier",
            Finding::Unknown,
            "没有披露标识或其盲化密钥，无法判断条目属于哪个标识",
            "the identifier or its blinding key is not disclosed: which identifier this is about cannot be told",
        );
        return None;
    };
    let Ok(identifier) = Identifier::parse(sub) else {
        report.add("identifier", Finding::Fail, "披露的标识不合规则", "the disclosed identifier breaks the rules");
        return None;
    };
    let mut bound = claims.readings(&identifier);
    bound.retain(|reading| claims.belongs(reading, &payload.sid));
    report.pass_or_fail(
        "identifier",
        !bound.is_empty(),
        ["条目属于所披露的标识", "条目的盲化标识与所披露的标识不符"],
        [
            "the entry belongs to the disclosed identifier",
            "the entry's sid does not belong to the disclosed identifier",
        ],
    );
    if let Some(asked) = known.identifier {
        check_asked(report, asked, &bound, claims);
    }
    bound.into_iter().next()
}

/// Whether the entry is about the name asked for. `bound`: the readings of its identifier that the `sid` fits; both fit a
/// suffix in lower case whose `case` is not shown, or was not signed yet.
fn check_asked(report: &mut Report, asked: &str, bound: &[Identifier], claims: &Claims) {
    let asked = Identifier::parse(asked).ok();
    let asked: Vec<Identifier> =
        asked.into_iter().flat_map(|name| [name.clone().with_case_sensitive_suffix(), name]).collect();
    // In lower case both readings of a name have one key, so which of them it is counts too.
    let is_asked = |own: &Identifier| {
        asked.iter().any(|name| own.key() == name.key() && own.is_case_sensitive() == name.is_case_sensitive())
    };
    let fitting = bound.iter().filter(|own| is_asked(own)).count();
    let is_alias = claims.aliases.iter().any(|alias| is_asked(alias.identifier()));
    if fitting > 0 && fitting < bound.len() && !is_alias {
        report.add(
            "asked",
            Finding::Unknown,
            "与所询问的标识只有大小写不同，条目没有披露大小写是否算作不同的标识",
            "it differs from the identifier asked for in case only, and the entry does not show whether case tells names apart",
        );
        return;
    }
    report.pass_or_fail(
        "asked",
        fitting > 0 || is_alias,
        ["就是所询问的标识（或其别名）", "不是所询问的标识"],
        ["it is about the identifier asked for (or an alias of it)", "it is about another identifier than asked for"],
    );
}
