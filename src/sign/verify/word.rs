//! The node's word for a moment, as `GET /v1/latest/{identifier}` gives it: which version is the newest, or that there is none.
//!
//! Nothing but the key of the log signs it, so all of it stands on the policy that pins that key. A checkpoint beside it shows
//! whether witnesses saw the head that it names.

use serde::Deserialize;
use serde_json::Value as Json;

use super::in_log::{ABSENT, Meaning, NEWEST, check_checkpoint, judge_age, keys_of};
use super::{Finding, Known, Report};
use crate::model::identifier::Identifier;
use crate::model::prefix::SuffixCase;
use crate::sign::jws::{ABSENT_TYPE, LATEST_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::latest::{AbsentStatement, AsOf, LatestStatement};
use crate::tlog::hash::Head;
use crate::tlog::policy::Policy;

/// The step that says what the word says; a document of another kind has none.
pub const WORD: &str = "word";

/// A word, and the checkpoint that was given with it: the members of an answer, each once and none beside them, so that nothing
/// unsigned looks as if it had been checked.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    latest: Option<String>,
    absent: Option<String>,
    checkpoint: Option<String>,
}

/// What was stated.
enum Stated {
    Latest(LatestStatement),
    Absent(AbsentStatement),
}

impl Document {
    /// A compact JWS that names itself a word; `None`: it is another document.
    pub(super) fn of_compact(text: &str) -> Option<Document> {
        match Parsed::parse(text).ok()?.header.typ.as_str() {
            LATEST_TYPE => Some(Document { latest: Some(text.to_owned()), ..Document::default() }),
            ABSENT_TYPE => Some(Document { absent: Some(text.to_owned()), ..Document::default() }),
            _ => None,
        }
    }

    /// Whether it means to be an answer of `/v1/latest`.
    pub(super) fn is_meant(answer: &Json) -> bool {
        answer.get("entry").is_none() && (answer.get("latest").is_some() || answer.get("absent").is_some())
    }

    fn word(&self) -> Option<&str> {
        match (&self.latest, &self.absent) {
            (Some(word), None) | (None, Some(word)) => Some(word),
            _ => None,
        }
    }
}

/// Checks an answer of `/v1/latest`.
pub(super) fn check_text(report: &mut Report, text: &str, known: Known<'_>) {
    match serde_json::from_str::<Document>(text) {
        Ok(document) => check(report, &document, known),
        Err(cause) => not_an_answer(report, &cause.to_string()),
    }
}

fn not_an_answer(report: &mut Report, cause: &str) {
    report.add(
        "format",
        Finding::Fail,
        format!("不是 /v1/latest 的答复：{cause}"),
        format!("it is not as /v1/latest answers: {cause}"),
    );
}

/// Checks a word: who said it, of which head, about what, and when.
pub(super) fn check(report: &mut Report, document: &Document, known: Known<'_>) {
    let Some(word) = document.word() else {
        return not_an_answer(report, "either `latest` or `absent`");
    };
    if known.proof.is_some() {
        report.add(
            "proof",
            Finding::Unknown,
            "声明不是条目，没有可用 --proof 证明的内容",
            "a word is no entry: there is nothing in it for --proof to prove",
        );
    }
    let Some(policy) = known.policy else {
        return report.add(
            WORD,
            Finding::Unknown,
            "节点的声明由日志的密钥签署：请用 --policy 给出所信任日志的公钥（mingpai policy）",
            "the node's word is signed by the log's key: give the key of the log that you trust with --policy (`mingpai policy`)",
        );
    };
    // What is wrong with it was told; the word is told of all the same.
    let head = document.checkpoint.as_deref().and_then(|checkpoint| check_checkpoint(report, checkpoint, policy));
    let Some(stated) = check_signature(report, word, policy) else { return };
    check_head(report, document, &stated, head.as_ref(), policy);
    if let Some(issuer) = known.issuer {
        report.pass_or_fail(
            "issuer",
            stated.as_of().iss == issuer,
            ["签发者相符", "签发者不是预期的节点"],
            ["the issuer is the expected one", "the issuer is another node"],
        );
    }
    if let Some(asked) = known.identifier {
        check_asked(report, asked, &stated);
    }
    report.freshness = judge_age(report, stated.as_of(), stated.meaning(), known);
}

impl Stated {
    fn read(word: &str, keys: &[PublicJwk]) -> Result<Stated, &'static str> {
        if Parsed::parse(word)?.header.typ == ABSENT_TYPE {
            return Ok(Stated::Absent(AbsentStatement::read(word, keys)?));
        }
        Ok(Stated::Latest(LatestStatement::read(word, keys)?))
    }

    fn as_of(&self) -> &AsOf {
        match self {
            Stated::Latest(stated) => &stated.as_of,
            Stated::Absent(stated) => &stated.as_of,
        }
    }

    fn meaning(&self) -> &'static Meaning {
        match self {
            Stated::Latest(_) => &NEWEST,
            Stated::Absent(_) => &ABSENT,
        }
    }
}

/// Whether a log of the policy said it; and what.
fn check_signature(report: &mut Report, word: &str, policy: &Policy) -> Option<Stated> {
    let all: Vec<PublicJwk> = policy.logs().iter().map(|log| PublicJwk::of(log.key.public())).collect();
    let stated = match Stated::read(word, &all) {
        Ok(stated) => stated,
        Err(cause) => {
            report.add(
                WORD,
                Finding::Fail,
                format!("节点的声明无效，或不是由策略中的日志签署：{cause}"),
                format!("the node's word is not valid, or no log of the policy signed it: {cause}"),
            );
            return None;
        }
    };
    // A key counts for the log that it is pinned for, and no other.
    let origin = &stated.as_of().origin;
    if Stated::read(word, &keys_of(policy, origin)).is_err() {
        report.add(
            WORD,
            Finding::Unknown,
            format!("声明所述的日志 {origin} 不是策略以此公钥所信任的日志"),
            format!("the word is of the log {origin}, for which the policy does not believe the key that signed it"),
        );
        return None;
    }
    let (zh, en) = match &stated {
        Stated::Latest(stated) => (
            format!("日志 {origin} 声明：盲化标识 {} 的最新版本是 {}，叶哈希 {}", stated.sid, stated.ver, stated.leaf),
            format!(
                "the log {origin} states: the newest version of the sid {} is {}, with the leaf hash {}",
                stated.sid, stated.ver, stated.leaf
            ),
        ),
        Stated::Absent(stated) => (
            format!("日志 {origin} 声明：没有标识 {}", stated.sub),
            format!("the log {origin} states: there is no identifier {}", stated.sub),
        ),
    };
    report.add(WORD, Finding::Pass, zh, en);
    Some(stated)
}

/// Whether the head that it names is the checkpoint's; without one, whether anybody asks who else saw that head.
fn check_head(
    report: &mut Report,
    document: &Document,
    stated: &Stated,
    head: Option<&(String, Head)>,
    policy: &Policy,
) {
    match (&document.checkpoint, head) {
        (Some(_), Some((origin, head))) => report.pass_or_fail(
            "head",
            stated.as_of().is_of(origin, head),
            ["声明所述的正是此检查点", "声明所述的是另一检查点"],
            ["the word is of this checkpoint", "the word is of another checkpoint"],
        ),
        (Some(_), None) => {}
        (None, _) if policy.demands_witnesses() => report.add(
            "checkpoint",
            Finding::Unknown,
            "没有附检查点，无法得知见证方是否见过声明所述的日志：请保存 /v1/latest 的整个答复",
            "without its checkpoint it cannot be told whether the witnesses saw the head that the word names: keep the whole answer of /v1/latest",
        ),
        (None, _) => report.add(
            "head",
            Finding::Pass,
            "日志的密钥签署了声明所述的大小与根；策略不要求见证方",
            "the log's key signed the size and root that the word names; the policy asks for no witnesses",
        ),
    }
}

/// Whether it is about the name asked for.
fn check_asked(report: &mut Report, asked: &str, stated: &Stated) {
    const NAME: &str = "asked";
    let Stated::Absent(stated) = stated else {
        return report.add(
            NAME,
            Finding::Unknown,
            "声明只含盲化标识，无法判断是否关于所询问的标识：请取一份离线包（mingpai resolve --bundle）",
            "the word has a blinded sid only: whether it is about the identifier asked for cannot be told; get a bundle (`mingpai resolve --bundle`)",
        );
    };
    let ways = [SuffixCase::Insensitive, SuffixCase::Sensitive];
    let ways: Vec<SuffixCase> = ways.into_iter().filter(|way| stated.case.is_none_or(|said| said == *way)).collect();
    let fitting = Identifier::parse(asked)
        .map_or(0, |asked| ways.iter().filter(|way| way.reading(&asked).key().as_str() == stated.sub).count());
    if fitting > 0 && fitting < ways.len() {
        return report.add(
            NAME,
            Finding::Unknown,
            "与所询问的标识只有大小写不同，声明没有说大小写是否算作不同的标识",
            "it differs from the identifier asked for in case only, and the word does not say whether case tells names apart",
        );
    }
    report.pass_or_fail(
        NAME,
        fitting > 0,
        ["就是所询问的标识", "不是所询问的标识"],
        ["it is about the identifier asked for", "it is about another identifier than asked for"],
    );
}
