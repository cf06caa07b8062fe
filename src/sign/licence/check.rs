//! What a verifier makes of licences: was the entry's key in force, is the prefix this node's by the upper node's word, was the
//! enterprise licensed, and is the owner's signature right. Pure: it asks nobody.
//!
//! Everything is judged at the entry's registry index. Whether the statements are in the log at their indexes is proven
//! elsewhere; where it is not, that is said, for then they are the presenter's word. A newer statement that is not shown
//! cannot be missed here: what is shown of a prefix is a chain from its first statement on, and may end early.

use std::collections::BTreeMap;

use super::chain::{Chain, ChainFault, Licence};
use super::succession::Succession;
use super::{Grant, LicenceRole, Listed, OwnerSignature};
use crate::model::identifier::Identifier;
use crate::model::prefix::and_above;
use crate::sign::jws::{LICENCE_END_TYPE, LICENCE_TYPE, Parsed};
use crate::sign::keys::PublicJwk;
use crate::sign::owner::{Content, OwnerPayload};
use crate::sign::verify::{Finding, Report};

/// What is shown with an entry, and what the verifier knows from elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// Licences, ends and statements about keys, each with its registry index.
    pub statements: &'a [Listed],
    /// Whether each was proven to stand in the log at its index.
    pub are_proven: bool,
    /// The upper node's key, pinned.
    pub upper: Option<&'a PublicJwk>,
    /// Keys of the node that are known otherwise: enough to read its statements where its own key statements are not shown.
    pub keys: &'a [PublicJwk],
    /// The entry's registry index.
    pub index: Option<u64>,
    /// The id of the key that signed the entry.
    pub kid: &'a str,
    /// The identifier that the entry belongs to, once that was checked.
    pub identifier: &'a Identifier,
    pub version: u64,
    pub owner_jws: Option<&'a str>,
    /// What is disclosed; `None` where the status is not.
    pub content: Option<Content<'a>>,
    pub is_deleted: bool,
}

/// Adds what can be said to a report.
pub fn check(report: &mut Report, shown: &Presented<'_>) {
    let told = if shown.are_proven {
        (Finding::Pass, "各项许可声明均已证明在日志中", "the statements about licences are proven to be in the log")
    } else {
        (
            Finding::Unknown,
            "没有证明各项许可声明在日志中：它们只是出示者的说法",
            "nothing proves that the statements about licences are in the log: they are the presenter's word",
        )
    };
    report.add("statements", told.0, told.1, told.2);
    let succession = match Succession::follow(shown.statements) {
        Ok(succession) => succession,
        Err(cause) => return report.add("key_range", Finding::Fail, format!("签名密钥的声明相互矛盾：{cause}"), cause),
    };
    check_key(report, shown, &succession);
    match chains(shown, &succession) {
        Ok(chains) => {
            let walk = Walk { shown, chains, succession };
            walk.check_node(report);
            walk.check_owner(report);
        }
        Err((finding, cause)) => {
            report.add("licences", finding, format!("许可声明不成链：{cause}"), cause);
        }
    }
}

/// Whether the key that signed the entry was in force at its index.
fn check_key(report: &mut Report, shown: &Presented<'_>, succession: &Succession) {
    const NAME: &str = "key_range";
    let unknown = |report: &mut Report, zh: &str, en: &str| report.add(NAME, Finding::Unknown, zh, en);
    if succession.keys.first().is_none_or(|first| first.from != 0) {
        let (zh, en) =
            ("没有出示日志的首条密钥声明", "the first statement about the node's keys (the genesis) is not shown");
        return unknown(report, zh, en);
    }
    let Some(index) = shown.index else {
        return unknown(report, "不知道条目在日志中的位置", "the entry's index in the log is not known");
    };
    match succession.of(shown.kid) {
        None => unknown(
            report,
            "出示的声明里没有签署条目的密钥",
            "the key that signed the entry is not among the statements that are shown",
        ),
        Some(range) if range.holds_at(index) => report.add(
            NAME,
            Finding::Pass,
            format!("签署条目的密钥在第 {index} 条处有效"),
            format!("the key that signed the entry was in force at index {index}"),
        ),
        Some(range) => {
            let last = range.last().map_or_else(|| "-".to_owned(), |last| last.to_string());
            report.add(
                NAME,
                Finding::Fail,
                format!("签署条目的密钥在第 {index} 条处无效：有效范围为 {} 之后至 {last}", range.from),
                format!("the key that signed the entry counts after index {} up to {last}, not at {index}", range.from),
            );
        }
    }
}

type Fault = (Finding, String);

/// The chains of the identifier's prefix and those above it, every signature checked.
fn chains(shown: &Presented<'_>, succession: &Succession) -> Result<BTreeMap<String, Chain>, Fault> {
    let mut sorted: Vec<&Listed> = shown.statements.iter().collect();
    sorted.sort_by_key(|listed| listed.index);
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    for Listed { index, statement } in sorted {
        let parsed = Parsed::parse(statement).map_err(|cause| (Finding::Fail, cause.to_owned()))?;
        if ![LICENCE_TYPE, LICENCE_END_TYPE].contains(&parsed.header.typ.as_str()) {
            continue;
        }
        #[derive(serde::Deserialize)]
        struct Prefixed {
            prefix: String,
        }
        let Prefixed { prefix } = serde_json::from_slice(&parsed.payload)
            .map_err(|_| (Finding::Fail, format!("the statement at index {index} names no prefix")))?;
        if !and_above(shown.identifier.prefix()).any(|above| above == prefix) {
            continue;
        }
        check_signature(shown, succession, *index, &parsed)?;
        let chain = chains.entry(prefix.clone()).or_insert_with(|| Chain::new(&prefix));
        chain.add(*index, statement).map_err(|fault| {
            let finding = if matches!(fault, ChainFault::Missing { .. }) { Finding::Unknown } else { Finding::Fail };
            (finding, fault.to_string())
        })?;
    }
    Ok(chains)
}

/// Whether the node signed a statement, by a key that counted at its index.
fn check_signature(
    shown: &Presented<'_>,
    succession: &Succession,
    index: u64,
    parsed: &Parsed<'_>,
) -> Result<(), Fault> {
    let kid = &parsed.header.kid;
    let key = match succession.of(kid) {
        Some(range) if !range.holds_at(index) => {
            return Err((Finding::Fail, format!("the key of the statement at index {index} did not count there")));
        }
        Some(range) => &range.key,
        None => shown.keys.iter().find(|key| key.kid == *kid).ok_or_else(|| {
            (Finding::Unknown, format!("the key of the statement at index {index} is not known: {kid}"))
        })?,
    };
    if parsed.verify(key) {
        Ok(())
    } else {
        Err((Finding::Fail, format!("the signature of the statement at index {index} is wrong")))
    }
}

/// A walk down the chain, once all statements are read.
struct Walk<'a> {
    shown: &'a Presented<'a>,
    chains: BTreeMap<String, Chain>,
    succession: Succession,
}

impl Walk<'_> {
    /// The chains that cover the identifier, that of the longest prefix first.
    fn covering(&self) -> impl Iterator<Item = &Chain> {
        and_above(self.shown.identifier.prefix()).filter_map(|prefix| self.chains.get(prefix))
    }

    /// Whether the upper node gave this node the prefix, as of the entry's index.
    fn check_node(&self, report: &mut Report) {
        const NAME: &str = "node_licence";
        let is_node = |licence: &&Licence| licence.statement.role == LicenceRole::Node;
        let given = self.covering().find(|chain| chain.licences.iter().any(|licence| is_node(&licence)));
        let (Some(chain), Some(index)) = (given, self.shown.index) else {
            return report.add(
                NAME,
                Finding::Unknown,
                "没有出示上级节点对本节点的许可，或不知道条目在日志中的位置",
                "no licence of an upper node for this node is shown, or the entry's index is not known",
            );
        };
        let Some(licence) = chain.holding(LicenceRole::Node, index).next() else {
            return report.add(
                NAME,
                Finding::Fail,
                format!("上级节点对前缀 {} 的许可在第 {index} 条处不成立", chain.prefix),
                format!("no upper node's licence of {} was in force at index {index}", chain.prefix),
            );
        };
        let (finding, zh, en) = self.judge_grant(licence);
        report.add(NAME, finding, zh, en);
    }

    fn judge_grant(&self, licence: &Licence) -> (Finding, String, String) {
        let fail = |zh: &str, en: &str| (Finding::Fail, zh.to_owned(), en.to_owned());
        let grant = match Grant::read(licence.statement.grant.as_deref().unwrap_or_default()) {
            Ok(grant) if grant.prefix == licence.statement.prefix => grant,
            Ok(_) => return fail("上级节点的授权是另一前缀的", "the upper node's grant is of another prefix"),
            Err(cause) => return fail("许可中上级节点的授权无效", cause),
        };
        // A key that the log put in the place of a granted one needs no grant of its own.
        let is_named = self.succession.keys.iter().any(|range| grant.names(&range.key.kid));
        if !is_named && !self.succession.keys.is_empty() {
            return fail("上级节点的授权不是给本节点密钥的", "the upper node's grant names no key of this node");
        }
        if !is_named && !grant.names(self.shown.kid) {
            let zh = "没有出示本节点的密钥声明，无法判断授权是否给了它".to_owned();
            let en =
                "the node's key statements are not shown: whether the grant is this node's cannot be told".to_owned();
            return (Finding::Unknown, zh, en);
        }
        match self.shown.upper {
            Some(upper) if upper.kid == grant.by.kid => (
                Finding::Pass,
                format!("上级节点把前缀 {} 许可给了本节点", grant.prefix),
                format!("the upper node licensed {} to this node", grant.prefix),
            ),
            Some(_) => {
                fail("许可不是所信任的上级节点给的", "the licence was given by another upper node than the pinned one")
            }
            None => (
                Finding::Unknown,
                format!("许可由 {}（密钥 {}）给出，没有可比对的上级公钥（--upper-key）", grant.iss, grant.by.kid),
                format!(
                    "given by {} with the key {}; no upper node's key is pinned (--upper-key)",
                    grant.iss, grant.by.kid
                ),
            ),
        }
    }

    /// Whether the enterprise was licensed at the entry's index, and signed what is shown.
    fn check_owner(&self, report: &mut Report) {
        const NAME: &str = "owner_licence";
        let Some(index) = self.shown.index else {
            if self.shown.owner_jws.is_some() {
                let (zh, en) = ("不知道条目在日志中的位置", "the entry's index in the log is not known");
                report.add(NAME, Finding::Unknown, zh, en);
            }
            return;
        };
        let holding = |chain: &&Chain| chain.holding(LicenceRole::Enterprise, index).next().is_some();
        let Some(chain) = self.covering().find(holding) else {
            return self.check_unlicensed(report, index);
        };
        let licences: Vec<&Licence> = chain.holding(LicenceRole::Enterprise, index).collect();
        let holder = licences.first().map_or("", |licence| licence.statement.holder.as_str());
        report.add(
            NAME,
            Finding::Pass,
            format!("前缀 {} 在第 {index} 条处许可给 {holder}", chain.prefix),
            format!("{} was licensed to {holder} at index {index}", chain.prefix),
        );
        let Some(owner_jws) = self.shown.owner_jws else {
            let is_asked = licences.iter().any(|one| one.statement.owner_signature == OwnerSignature::Required);
            if is_asked && !self.shown.is_deleted {
                report.add(
                    "owner_signature",
                    Finding::Unknown,
                    "许可要求所有者签名，而没有出示（有不公开的值时只向能看到全部的人出示）",
                    "the licence asks for the owner's signature and none is shown; where a value is hidden it goes only to who sees all",
                );
            }
            return;
        };
        let (finding, zh, en) = self.judge_owner(owner_jws, &licences);
        report.add("owner_signature", finding, zh, en);
    }

    /// No licence of an enterprise was in force: nothing is wrong unless an owner signed all the same.
    fn check_unlicensed(&self, report: &mut Report, index: u64) {
        let Some(owner_jws) = self.shown.owner_jws else { return };
        let is_enterprise = |licence: &Licence| licence.statement.role == LicenceRole::Enterprise;
        let known = self.covering().any(|chain| chain.licences.iter().any(is_enterprise));
        let kid = OwnerPayload::read(owner_jws).map(|(parsed, _)| parsed.header.kid).unwrap_or_default();
        let (finding, zh, en) = if known {
            (
                Finding::Fail,
                format!("所有者的密钥 {kid} 在第 {index} 条处没有有效的许可"),
                format!("the owner's key {kid} had no licence in force at index {index}"),
            )
        } else {
            (
                Finding::Unknown,
                "有所有者签名，而没有出示该前缀的企业许可".to_owned(),
                "there is an owner's signature, and no licence of an enterprise for the prefix is shown".to_owned(),
            )
        };
        report.add("owner_licence", finding, zh, en);
    }

    fn judge_owner(&self, owner_jws: &str, licences: &[&Licence]) -> (Finding, String, String) {
        let fail = |zh: String, en: String| (Finding::Fail, zh, en);
        let (parsed, payload) = match OwnerPayload::read(owner_jws) {
            Ok(read) => read,
            Err(cause) => return fail(format!("不是所有者的 JWS：{cause}"), format!("not an owner's JWS: {cause}")),
        };
        let kid = &parsed.header.kid;
        let key =
            licences.iter().filter_map(|licence| licence.statement.holder_key.as_ref()).find(|key| key.kid == *kid);
        let Some(key) = key else {
            let index = self.shown.index.unwrap_or_default();
            return fail(
                format!("所有者的密钥 {kid} 在第 {index} 条处没有有效的许可"),
                format!("the owner's key {kid} had no licence in force at index {index}"),
            );
        };
        if !parsed.verify(key) {
            return fail("所有者签名不正确".to_owned(), "the owner's signature is wrong".to_owned());
        }
        judge_payload(self.shown, &payload)
    }
}

/// Whether what an owner signed is what is shown; whose signature it is is another question.
fn judge_payload(shown: &Presented<'_>, payload: &OwnerPayload) -> (Finding, String, String) {
    let fail = |zh: &str, en: &str| (Finding::Fail, zh.to_owned(), en.to_owned());
    if !is_about(&payload.sub, shown.identifier) || payload.ver != shown.version {
        return fail("所有者签的是另一标识或另一版本", "the owner signed another identifier or another version");
    }
    match shown.content.map(|content| content.digest()) {
        Some(Ok(digest)) if digest == payload.digest => {
            (Finding::Pass, "内容由获许可的所有者签名".to_owned(), "the licensed owner signed the content".to_owned())
        }
        // The owner's signature is shown with every value only; who took one out again shows something else.
        Some(Ok(_)) => fail(
            "所示内容不是所有者所签（被改动，或有缺失）",
            "what is shown is not what the owner signed: altered, or a part was left out",
        ),
        Some(Err(_)) | None => (
            Finding::Unknown,
            "内容没有全部披露，无法核对所有者签名的摘要".to_owned(),
            "not all of the content is disclosed: the digest that the owner signed cannot be compared".to_owned(),
        ),
    }
}

/// Where no statements are shown: only what contradicts is told. Whose signature it is was not asked.
pub fn check_bare(report: &mut Report, shown: &Presented<'_>) {
    let Some(owner_jws) = shown.owner_jws else { return };
    let (finding, zh, en) = match OwnerPayload::read(owner_jws) {
        Ok((_, payload)) => judge_payload(shown, &payload),
        Err(cause) => (Finding::Fail, format!("不是所有者的 JWS：{cause}"), format!("not an owner's JWS: {cause}")),
    };
    if finding == Finding::Fail {
        report.add("owner_signature", finding, zh, en);
    }
}

/// Whether the owner's name for it is this identifier, as this one compares.
fn is_about(sub: &str, identifier: &Identifier) -> bool {
    Identifier::parse(sub).is_ok_and(|named| {
        let named = if identifier.is_case_sensitive() { named.with_case_sensitive_suffix() } else { named };
        named.key() == identifier.key()
    })
}
