//! Verification without a node: is this entry genuine, and does it say what the answer says?
//!
//! Every step passes, fails, or cannot be told; the verdict is the worst of them. What an entry alone cannot show is said
//! as such: that it is in the log, that it is the newest version, that its key was in force at its index.

use serde::Serialize;
use serde_json::Value as Json;

use super::entry::{Claims, Payload};
use super::jws::{ENTRY_TYPE, Parsed};
use super::keys::PublicJwk;
use super::licence::{self, Listed};
use super::owner::Content;
use super::sd_jwt;
use crate::model::identifier::Identifier;
use crate::model::record::Status;
use crate::model::text::Text;

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
}

/// Verifies a file: a compact SD-JWT entry, or the JSON of a resolution that carries one as `entry`.
pub fn verify_document(document: &[u8], known: Known<'_>) -> Report {
    let mut report = Report::default();
    let text = match std::str::from_utf8(document) {
        Ok(text) => text.trim(),
        Err(_) => {
            report.add("format", Finding::Unknown, "文件不是文本", "the file is not text");
            return report;
        }
    };
    if !text.starts_with('{') {
        check_entry(&mut report, text, known);
        return report;
    }
    match serde_json::from_str::<Json>(text) {
        Ok(answer) => match answer.get("entry").and_then(Json::as_str) {
            Some(entry) => {
                if let Some(checked) = check_entry(&mut report, entry, known) {
                    compare(&mut report, &answer, &checked);
                    check_licences(&mut report, &answer, &checked, known);
                }
            }
            None => report.add(
                "format",
                Finding::Unknown,
                "文件里没有 entry：请用 ?entry=1 重新解析并保存",
                "the file has no `entry`: resolve again with ?entry=1 and save that",
            ),
        },
        Err(error) => {
            report.add("format", Finding::Unknown, format!("不是 JSON：{error}"), format!("not JSON: {error}"));
        }
    }
    report
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

/// What `licences` beside the entry show, `[{"index", "statement"}]`; the entry's own index stands in `proof` or in `index`.
/// Without them nobody asked whose prefix it is, and only what contradicts is told.
fn check_licences(report: &mut Report, answer: &Json, checked: &Checked, known: Known<'_>) {
    let Checked { kid, payload, claims, identifier } = checked;
    let listed = answer.get("licences");
    let statements = match listed {
        None => Vec::new(),
        Some(listed) => match serde_json::from_value::<Vec<Listed>>(listed.clone()) {
            Ok(listed) => listed,
            Err(error) => {
                return report.add(
                    "licences",
                    Finding::Unknown,
                    format!("licences 不可读：{error}"),
                    error.to_string(),
                );
            }
        },
    };
    // Which identifier it is about was told above.
    let Some(identifier) = identifier else { return };
    let index = answer.pointer("/proof/index").or_else(|| answer.get("index")).and_then(Json::as_u64);
    let mut values = claims.values.clone();
    values.sort_by_key(|value| value.index);
    let shown = licence::check::Presented {
        statements: &statements,
        are_proven: known.are_licences_proven,
        upper: known.upper,
        keys: known.keys,
        index,
        kid,
        identifier,
        version: payload.ver,
        owner_jws: claims.owner_jws.as_deref(),
        content: claims.state.map(|status| Content {
            status,
            template: claims.template.as_deref(),
            values: &values,
            links: &claims.links,
            aliases: &claims.aliases,
        }),
        is_deleted: claims.state == Some(Status::Deleted),
    };
    match listed {
        Some(_) => licence::check::check(report, &shown),
        None => licence::check::check_bare(report, &shown),
    }
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

/// Whether the readable part of an answer says what its entry says.
fn compare(report: &mut Report, answer: &Json, checked: &Checked) {
    let claims = &checked.claims;
    let mut differing: Vec<&str> = Vec::new();
    let mut same = |field: &'static str, expected: Json| {
        let found = answer.get(field).cloned().unwrap_or(Json::Null);
        let absent = |json: &Json| json.is_null() || json.as_array().is_some_and(Vec::is_empty);
        if found != expected && !(absent(&found) && absent(&expected)) {
            differing.push(field);
        }
    };
    same("identifier", json(&claims.sub));
    same("version", json(&checked.payload.ver));
    same("status", json(&claims.state));
    same("template", json(&claims.template));
    same("registrant", json(&claims.registrant));
    same("links", json(&claims.links));
    same("aliases", json(&claims.aliases));
    if !values_agree(answer.get("values"), claims) {
        differing.push("values");
    }
    let listed = differing.join(", ");
    let (finding, zh, en) = if differing.is_empty() {
        (Finding::Pass, "答复内容与条目一致".to_owned(), "the answer says what the entry says".to_owned())
    } else {
        (
            Finding::Fail,
            format!("答复与条目不一致：{listed}"),
            format!("the answer differs from the entry in: {listed}"),
        )
    };
    report.add("answer", finding, zh, en);
}

/// Every value shown must be a disclosed one, member for member as far as it is shown.
fn values_agree(shown: Option<&Json>, claims: &Claims) -> bool {
    let Some(shown) = shown.and_then(Json::as_array) else {
        return claims.values.is_empty();
    };
    shown.iter().all(|value| {
        let index = value.get("index").and_then(Json::as_u64);
        let entry = claims.values.iter().find(|entry| Some(u64::from(entry.index)) == index);
        entry.and_then(|entry| serde_json::to_value(entry).ok()).is_some_and(|entry| {
            value
                .as_object()
                .is_some_and(|members| members.iter().all(|(name, member)| entry.get(name) == Some(member)))
        })
    })
}

/// A claim as JSON; one that cannot be encoded equals nothing that an answer shows.
fn json(claim: &impl Serialize) -> Json {
    serde_json::to_value(claim).unwrap_or(Json::Null)
}
