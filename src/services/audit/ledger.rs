//! What all leaves say together, in their order: each identifier's versions follow each other, erasures name what is there,
//! names of the log are taken as they must be.
//!
//! Of each blinded identifier its newest leaf and version are held: 72 bytes, with the table's own room about 85 to 170.

use std::collections::{BTreeMap, HashMap};

use super::examine::{Examined, Says, clipped, shown};
use super::keys::{KEYS_AT_MOST, KeyFault, Succession};
use super::{Anomaly, Kind};
use crate::model::text::Text;
use crate::sign::licence::chain::Chain;
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::Hash;

/// Anomalies that are told one by one; the rest is counted.
pub const TOLD_ANOMALIES: usize = 1_000;
/// Kinds that this program does not know and that are counted one by one; the rest is counted together.
const OTHER_KINDS: usize = 100;
/// Under this word. No type of a statement has a space.
const OTHER_KINDS_TOGETHER: &str = "(others)";
/// Statements about one prefix's licences that are held against each other.
const LICENCES_OF_A_PREFIX: u64 = 10_000;
/// The bytes of all statements about licences that are held against each other. What a log says must not decide how much its
/// readers hold; a node of 100,000 enterprises needs a quarter of it.
const LICENCE_BYTES: usize = 256 << 20;
/// Stands for a version after which none may come: the identifier was erased.
const GONE: u64 = u64::MAX;

/// The newest leaf of a blinded identifier.
struct Standing {
    leaf: Hash,
    version: u64,
}

/// How many leaves there are of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    pub entries: u64,
    pub keys: u64,
    /// Statements about licences of prefixes: given, and ended.
    pub licences: u64,
    pub origins: u64,
    pub erasures: u64,
    /// Kinds that this program does not know: only their signatures were judged.
    pub other: BTreeMap<String, u64>,
}

/// Counts one of a kind that the log names: as many kinds as are told apart, the rest together.
pub(in crate::services) fn count_apart(counts: &mut BTreeMap<String, u64>, kind: &str) {
    let is_apart = counts.len() < OTHER_KINDS || counts.contains_key(kind);
    *counts.entry(if is_apart { kind } else { OTHER_KINDS_TOGETHER }.to_owned()).or_default() += 1;
}

#[derive(Default)]
pub struct Ledger {
    sids: HashMap<Hash, Standing>,
    pub counts: Counts,
    pub anomalies: Vec<Anomaly>,
    /// With those that are not told.
    pub anomaly_count: u64,
    /// Of the genesis: every statement must bear it.
    issuer: Option<String>,
    /// The log's name, as the last statement about it says.
    pub origin: Option<String>,
    last_iat: i64,
    /// Statements dated before the one in front of them, and the first of them. No fault: clocks are set back.
    pub earlier: (u64, Option<u64>),
    /// What the log says of each prefix.
    licences: HashMap<String, Chain>,
    /// Of the statements in those chains.
    licence_bytes: usize,
    /// The place of each key in the succession, by its id: as far as they were looked up.
    places: HashMap<String, usize>,
    /// Keys whose signatures count no more, by their places: the last index for which they do, and the last one that it signed.
    ended: BTreeMap<usize, (String, u64, u64)>,
    /// Leaves that erasures name and that are no newest ones: the erasures' indexes.
    pub sought: HashMap<Hash, Vec<u64>>,
}

impl Ledger {
    /// Blinded identifiers.
    #[must_use]
    pub fn identifiers(&self) -> u64 {
        self.sids.len() as u64
    }

    /// What the table of identifiers takes, in bytes.
    #[must_use]
    pub fn table_bytes(&self) -> u64 {
        // One byte of the table's own a place; an eighth of the places stays empty.
        let place = size_of::<(Hash, Standing)>() + 1;
        (self.sids.capacity() * 8 / 7 * place) as u64
    }

    /// Keys whose signatures count no more: key, the last index for which they do, and the last one that it signed.
    pub fn ended(&self) -> impl Iterator<Item = &(String, u64, u64)> {
        self.ended.values()
    }

    pub fn found(&mut self, index: u64, kind: Kind, zh: impl Into<String>, en: impl Into<String>) {
        self.anomaly_count += 1;
        if self.anomalies.len() < TOLD_ANOMALIES {
            self.anomalies.push(Anomaly { index, kind, detail: Text::new(zh, en) });
        }
    }

    /// Notes what was wrong with a statement about keys.
    pub fn key_fault(&mut self, index: u64, fault: KeyFault) {
        match fault {
            KeyFault::Unreadable => {
                self.found(index, Kind::Unreadable, "密钥声明不可读", "a statement about keys does not read")
            }
            KeyFault::Genesis => self.found(
                index,
                Kind::Genesis,
                "日志的第一条不是由其自身密钥签署的密钥声明：没有可依据的密钥",
                "the log does not begin with a statement about keys that signs itself: no key can be told",
            ),
            KeyFault::NotAuthorised => self.found(
                index,
                Kind::KeyNotAuthorised,
                "新密钥不是由当时有效的密钥授权，或不是密钥，或早已列入",
                "a key was not authorised by the one in force, or is none, or is known already",
            ),
            KeyFault::TooMany => self.found(
                index,
                Kind::TooManyKeys,
                format!("密钥超过 {KEYS_AT_MOST} 个：不再采纳，此后由它签署的都查不出真伪"),
                format!(
                    "more than {KEYS_AT_MOST} keys: this one is not taken, and what it signs is not known to be signed"
                ),
            ),
        }
    }

    /// Takes leaves in, in their order. `before`: the tree in front of the first of them.
    pub fn take(&mut self, examined: Vec<Examined>, before: &Frontier, keys: &Succession) {
        let mut tree = before.clone();
        for one in examined {
            self.take_one(&one, &mut tree, keys);
        }
    }

    fn take_one(&mut self, one: &Examined, tree: &mut Frontier, keys: &Succession) {
        let index = one.index;
        if let Says::Unreadable(what) = one.says {
            self.found(
                index,
                Kind::Unreadable,
                format!("不是可读的声明：{what}"),
                format!("no statement that reads: {what}"),
            );
            tree.push(one.leaf);
            return;
        }
        // Without any key that was said once, of the first statement.
        let is_told = index > 0 && keys.keys().is_empty();
        if !one.is_signed && !is_told {
            self.found(
                index,
                Kind::NotSigned,
                "签名不是由日志此时授权的密钥所作",
                "not signed by the key that the log authorises at this index",
            );
        }
        self.take_issuer(one);
        match &one.says {
            Says::Entry { sid, version, prev } => self.take_entry(one, *sid, *version, prev.as_ref()),
            Says::Keys => self.counts.keys += 1,
            Says::KeyEnd { kid, not_after } => self.take_key_end(one, kid, *not_after, keys),
            Says::Licence { prefix, statement } => self.take_licence(one, prefix, statement),
            Says::Origin { origin, before, size, root } => {
                let is_there = *size == index && tree.root() == *root;
                self.take_origin(index, origin, before, is_there);
            }
            Says::Erasure { sid, leaf, is_last } => self.take_erasure(index, *sid, leaf, *is_last),
            Says::AuditEvent => self.found(
                index,
                Kind::Misplaced,
                "审计事件不应出现在登记树中",
                "an event of the audit tree has no place in the registry",
            ),
            Says::Other(typ) => count_apart(&mut self.counts.other, typ),
            Says::Unreadable(_) => {}
        }
        tree.push(one.leaf);
    }

    fn take_issuer(&mut self, one: &Examined) {
        match &self.issuer {
            None => {
                self.issuer = Some(one.iss.clone());
                self.origin = Some(one.iss.clone());
            }
            Some(issuer) if *issuer != one.iss => {
                let (iss, issuer) = (clipped(&one.iss), clipped(issuer));
                let (zh, en) = (format!("签发者是 {iss}，不是 {issuer}"), format!("its issuer is {iss}, not {issuer}"));
                self.found(one.index, Kind::WrongIssuer, zh, en);
            }
            Some(_) => {}
        }
        if one.iat < self.last_iat {
            self.earlier.0 += 1;
            self.earlier.1.get_or_insert(one.index);
        }
        self.last_iat = one.iat;
    }

    fn take_entry(&mut self, one: &Examined, sid: Hash, version: u64, prev: Option<&Hash>) {
        self.counts.entries += 1;
        let index = one.index;
        let before = self.sids.insert(sid, Standing { leaf: one.leaf, version });
        let name = shown(&sid);
        match before {
            None if version == 1 && prev.is_none() => {}
            None => self.found(
                index,
                Kind::VersionGap,
                format!("{name} 的第一个条目是版本 {version}，且前面没有其他版本"),
                format!("{name} begins with version {version}: no version stands before it"),
            ),
            Some(Standing { version: GONE, .. }) => {
                self.sids.insert(sid, Standing { leaf: one.leaf, version: GONE });
                self.found(
                    index,
                    Kind::AfterErasure,
                    format!("{name} 抹除后又有条目"),
                    format!("{name} was erased, and here it is again"),
                );
            }
            Some(_) if version == 1 => {
                self.found(
                    index,
                    Kind::SecondFirst,
                    format!("{name} 有第二个版本 1"),
                    format!("{name} has a second version 1"),
                );
            }
            Some(before) if version != before.version + 1 => self.found(
                index,
                Kind::VersionGap,
                format!("{name} 的版本由 {} 跳到 {version}", before.version),
                format!("{name} goes from version {} to {version}", before.version),
            ),
            Some(before) if prev != Some(&before.leaf) => self.found(
                index,
                Kind::WrongPrev,
                format!("{name} 版本 {version} 所指的前一版本不是日志中的那一条"),
                format!("{name}, version {version}: the entry that it names as the one before is not the log's"),
            ),
            Some(_) => {}
        }
    }

    fn take_key_end(&mut self, one: &Examined, kid: &str, not_after: u64, keys: &Succession) {
        self.counts.keys += 1;
        // What nobody authorised was told as such, and ends nothing.
        if !one.is_signed {
            return;
        }
        for (place, known) in keys.keys().iter().enumerate().skip(self.places.len()) {
            self.places.insert(known.key.kid.clone(), place);
        }
        // The key in force must not end itself: its successor does.
        let ended = self.places.get(kid).copied();
        let next = ended.and_then(|place| Some((place, keys.keys().get(place + 1)?)));
        match next.filter(|(_, next)| next.from < one.index) {
            Some((place, next)) => {
                let said = self.ended.entry(place).or_insert_with(|| (kid.to_owned(), not_after, next.from));
                said.1 = said.1.min(not_after);
            }
            None => {
                let kid = clipped(kid);
                self.found(
                    one.index,
                    Kind::KeyNotAuthorised,
                    format!("结束的密钥 {kid} 从未列入，或仍然有效"),
                    format!("the key that it ends, {kid}, was never authorised, or is the one in force"),
                );
            }
        }
    }

    fn take_licence(&mut self, one: &Examined, prefix: &str, statement: &str) {
        self.counts.licences += 1;
        // What nobody authorised was told as such, and has no place in a chain.
        if !one.is_signed {
            return;
        }
        let (index, told) = (one.index, clipped(prefix));
        self.licence_bytes = self.licence_bytes.saturating_add(statement.len());
        let length = self.licences.get(prefix).map_or(0, |chain| chain.seq);
        if self.licence_bytes > LICENCE_BYTES || length >= LICENCES_OF_A_PREFIX {
            self.found(
                index,
                Kind::LicenceChain,
                format!("关于许可的声明过多，未查前缀 {told} 的这一条"),
                format!("more statements about licences than are judged: this one, about {told}, was not"),
            );
            return;
        }
        let chain = self.licences.entry(prefix.to_owned()).or_insert_with(|| Chain::new(prefix));
        if let Err(fault) = chain.add(index, statement) {
            let en = clipped(&fault.to_string());
            self.found(index, Kind::LicenceChain, format!("关于前缀 {told} 的声明不相接：{en}"), en);
        }
    }

    fn take_origin(&mut self, index: u64, origin: &str, before: &str, is_there: bool) {
        self.counts.origins += 1;
        let is_continued = self.origin.as_deref() == Some(before);
        if !is_continued || !is_there {
            let origin = clipped(origin);
            self.found(
                index,
                Kind::WrongOrigin,
                format!("改名为 {origin} 的声明所指的检查点不是此日志在此处的检查点"),
                format!("the statement that names the log {origin} is about another head than the log has here"),
            );
        }
        self.origin = Some(origin.to_owned());
    }

    fn take_erasure(&mut self, index: u64, sid: Hash, leaf: &Hash, is_last: bool) {
        self.counts.erasures += 1;
        let name = shown(&sid);
        let Some(standing) = self.sids.get_mut(&sid) else {
            self.found(
                index,
                Kind::ErasureUnknown,
                format!("抹除了日志中没有的 {name}"),
                format!("it erases {name}, which the log does not have"),
            );
            return;
        };
        let is_newest = standing.leaf == *leaf;
        if is_last && is_newest {
            standing.version = GONE;
        } else if is_last || is_newest {
            self.found(
                index,
                Kind::ErasureUnknown,
                format!("对 {name} 的抹除没有如实说明所抹除的是否为最新版本"),
                format!("the erasure of {name} misstates whether it names the newest version"),
            );
        } else {
            self.sought.entry(*leaf).or_default().push(index);
        }
    }

    /// A leaf that stands at an index: erasures behind it may name it.
    pub fn is_at(&mut self, leaf: &Hash, index: u64) {
        if let Some(erasures) = self.sought.get_mut(leaf) {
            erasures.retain(|erasure| *erasure < index);
        }
    }

    /// Every leaf was shown: what is still sought is not there.
    pub fn end_search(&mut self) {
        let mut missing: Vec<u64> = std::mem::take(&mut self.sought).into_values().flatten().collect();
        missing.sort_unstable();
        for index in missing {
            self.found(
                index,
                Kind::ErasureUnknown,
                "抹除了日志中在它之前没有的条目",
                "it erases an entry that the log does not have before it",
            );
        }
    }
}
