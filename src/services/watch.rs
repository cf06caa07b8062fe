//! An owner's watch over a log: what stands there under the blinded names of its own identifiers, and whether the entries that
//! its partners were given are those.
//!
//! The secret of its prefix lets an owner compute the `sid` of each of its names, and nobody else's. Under a second `sid` an
//! entry of the same name is invisible to it in the log; the bundle of a partner who was given that entry shows it. An erasure
//! names the `sid` that it empties, so its owner sees that too.

mod coverage;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

pub use self::coverage::Coverage;
use super::audit::examine::shown;
use super::audit::keys::{Succession, is_about_keys};
use super::follow::{Batch, FollowError, Memory};
use crate::model::identifier::Identifier;
use crate::model::text::Text;
use crate::sign::blinding::{sid_key_of, sid_of};
use crate::sign::decode_sid;
use crate::sign::jws::{self, ERASURE_TYPE};
use crate::sign::keys::PublicJwk;
use crate::sign::statement::ErasureStatement;
use crate::sign::verify::{Finding as StepFinding, Known, open_document};
use crate::store::rows::leaf_hash;
use crate::tlog::hash::Hash;

/// What a state has seen. One of a program that saw less is not gone on from: the log is read anew.
const STATE_VERSION: u32 = 2;

/// The names that are watched, by their blinded names.
pub struct Names {
    prefix: String,
    secret: [u8; 32],
    sids: HashMap<Hash, String>,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// An entry under one of its names that the owner does not know.
    UnknownEntry,
    /// An erasure under one of its names that the owner does not know.
    UnknownErasure,
    /// An entry that the owner knows, or that a partner was given, is not in the log.
    NotInLog,
    /// A genuine entry about one of its names under another `sid` than that name has.
    SecondSid,
    /// A partner was given what no key of the log signed, or with disclosures that do not belong to it.
    ForgedBundle,
}

impl FindingKind {
    /// Whether it is none once the owner has written the statement down as one that it knows.
    #[must_use]
    pub fn can_be_known(self) -> bool {
        matches!(self, Self::UnknownEntry | Self::UnknownErasure)
    }
}

/// Something that must not be, and as much as is known of it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub kind: FindingKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// The leaf hash, base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The bundle that shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub detail: Text,
}

/// An entry, or an erasure, under one of the watched names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub identifier: String,
    /// Erasures have none.
    pub version: Option<u64>,
    /// The leaf hash, base64url.
    pub leaf: String,
    pub iat: i64,
    /// What an erasure empties; `None`: it is an entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erases: Option<Erases>,
}

/// What an erasure says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erases {
    /// The leaf hash of the version, base64url.
    pub leaf: String,
    /// Whether it says that the version is the newest, and the identifier gone for ever.
    pub is_last: bool,
}

/// What was seen so far: kept from one time to the next.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(default)]
    version: u32,
    log: serde_json::Value,
    /// Of the names that were watched: others begin anew.
    names: String,
    keys: Succession,
    seen: BTreeMap<u64, Seen>,
}

/// A name that cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotWatched {
    pub name: String,
    pub detail: Text,
}

impl Names {
    /// Names under a prefix, with the secret that its owner was given.
    pub fn of(prefix: &str, secret: [u8; 32], names: &[String]) -> Result<Names, NotWatched> {
        let mut sids = HashMap::new();
        for name in names {
            let wrong = |zh: String, en: String| NotWatched { name: name.clone(), detail: Text::new(zh, en) };
            let identifier = Identifier::parse(name).map_err(|error| wrong(error.text().zh, error.text().en))?;
            if identifier.prefix() != prefix {
                return Err(wrong(format!("不在前缀 {prefix} 之下"), format!("it is not under {prefix}")));
            }
            for sid in sids_of(&secret, &identifier) {
                sids.insert(sid, identifier.spelling().to_owned());
            }
        }
        Ok(Names { prefix: prefix.to_owned(), secret, sids })
    }

    /// Stands for these very names and this secret.
    fn digest(&self) -> String {
        let mut sids: Vec<&Hash> = self.sids.keys().collect();
        sids.sort_unstable();
        let mut all = Vec::with_capacity(32 * sids.len());
        sids.into_iter().for_each(|sid| all.extend_from_slice(sid));
        shown(&leaf_hash(&all))
    }
}

/// The blinded names of an identifier: with cases that tell names apart and without, for the prefix's policy is the node's.
fn sids_of(secret: &[u8; 32], identifier: &Identifier) -> [Hash; 2] {
    [identifier.clone(), identifier.clone().with_case_sensitive_suffix()]
        .map(|reading| sid_of(&sid_key_of(secret, &reading), reading.key()))
}

/// A watch over one log.
pub struct Watch {
    names: Names,
    keys: Succession,
    /// By registry index.
    seen: BTreeMap<u64, Seen>,
    /// The registry index of each leaf that was seen, by its hash as statements write it.
    places: HashMap<String, u64>,
}

/// What of an entry's payload a watch reads. Erasures have no version: they name a leaf.
#[derive(Deserialize)]
struct Stated {
    iat: i64,
    sid: String,
    ver: Option<u64>,
    leaf: Option<String>,
}

/// A bundle of a partner that is about one of the owner's names.
pub struct Bundle {
    pub leaf: Hash,
    pub identifier: String,
    pub version: u64,
    pub file: String,
}

impl Watch {
    /// A watch that begins, with a follower's empty memory; or that goes on from a state, where that was of the same names.
    /// Of other names, and for a state of a program that saw less, the log is read anew, and only its newest head is kept.
    pub fn begin(names: Names, state: Option<&[u8]>) -> Result<(Watch, Memory), FollowError> {
        let Some(state) = state else {
            return Ok((Watch::of(names, Succession::default(), BTreeMap::new()), Memory::default()));
        };
        let kept: Kept = serde_json::from_slice(state).map_err(|_| FollowError::Memory("it is not a watch's JSON"))?;
        let memory = Memory::decode(kept.log.to_string().as_bytes())?;
        if kept.version == STATE_VERSION && kept.names == names.digest() {
            return Ok((Watch::of(names, kept.keys, kept.seen), memory));
        }
        Ok((Watch::of(names, Succession::default(), BTreeMap::new()), memory.from_the_start()))
    }

    fn of(names: Names, keys: Succession, seen: BTreeMap<u64, Seen>) -> Watch {
        let places = seen.iter().map(|(index, seen)| (seen.leaf.clone(), *index)).collect();
        Watch { names, keys, seen, places }
    }

    /// The state to go on from.
    #[must_use]
    pub fn encode(&self, memory: &Memory) -> Vec<u8> {
        let log = serde_json::from_slice(&memory.encode()).unwrap_or_default();
        let (names, keys, seen) = (self.names.digest(), self.keys.clone(), self.seen.clone());
        serde_json::to_vec_pretty(&Kept { version: STATE_VERSION, log, names, keys, seen }).unwrap_or_default()
    }

    /// Takes entries in that were verified. Those that do not read are for an audit to tell.
    pub fn take(&mut self, batch: &Batch) {
        for (index, leaf, entry) in batch.iter() {
            if is_about_keys(entry) {
                // A fault of keys is for an audit to tell, too: such a key is not learnt.
                let _ = self.keys.take(index, entry);
                continue;
            }
            if let Some(seen) = self.seen_in(leaf, entry) {
                self.places.insert(seen.leaf.clone(), index);
                self.seen.insert(index, seen);
            }
        }
    }

    /// What a leaf says under a watched name. An erasure says it by its `sid`, or by the leaf that it empties whatever its `sid`.
    fn seen_in(&self, leaf: &Hash, entry: &[u8]) -> Option<Seen> {
        let payload = jws::payload_of(entry).ok()?;
        let Stated { iat, sid, ver, leaf: emptied } = serde_json::from_slice(&payload).ok()?;
        let by_sid = decode_sid(&sid).and_then(|sid| self.names.sids.get(&sid));
        let by_leaf = emptied.and_then(|leaf| Some(&self.seen_at(&leaf)?.identifier));
        let identifier = by_sid.or(by_leaf)?.clone();
        let leaf = shown(leaf);
        if jws::type_of(entry).is_ok_and(|typ| typ == ERASURE_TYPE) {
            let erasure: ErasureStatement = serde_json::from_slice(&payload).ok()?;
            let erases = Some(Erases { leaf: erasure.leaf, is_last: erasure.last });
            return Some(Seen { identifier, version: None, leaf, iat, erases });
        }
        Some(Seen { identifier, version: Some(ver?), leaf, iat, erases: None })
    }

    fn seen_at(&self, leaf: &str) -> Option<&Seen> {
        self.seen.get(self.places.get(leaf)?)
    }

    /// Entries under the watched names, by their registry indexes.
    #[must_use]
    pub fn seen(&self) -> &BTreeMap<u64, Seen> {
        &self.seen
    }

    /// Entries under the watched names that are none of these, from an index on.
    #[must_use]
    pub fn unknown(&self, known: &HashSet<Hash>, from: u64) -> Vec<Finding> {
        let is_unknown = |seen: &Seen| decode_sid(&seen.leaf).is_none_or(|leaf| !known.contains(&leaf));
        let found = self.seen.range(from..).filter(|(_, seen)| is_unknown(seen));
        // An erasure names a leaf: which version that is, the owner is told.
        let version = |seen: &Seen| match &seen.erases {
            Some(erases) => self.seen_at(&erases.leaf)?.version,
            None => seen.version,
        };
        let finding = |(index, seen): (&u64, &Seen)| {
            let (kind, detail) = told_of(seen);
            Finding {
                kind,
                identifier: Some(seen.identifier.clone()),
                version: version(seen),
                index: Some(*index),
                leaf: Some(seen.leaf.clone()),
                file: None,
                detail,
            }
        };
        found.map(finding).collect()
    }

    /// Those of some leaves that were not seen under the watched names: whether the log has them elsewhere is not known yet.
    #[must_use]
    pub fn unseen(&self, leaves: impl IntoIterator<Item = Hash>) -> HashSet<Hash> {
        let seen: HashSet<Hash> = self.seen.values().filter_map(|seen| decode_sid(&seen.leaf)).collect();
        leaves.into_iter().filter(|leaf| !seen.contains(leaf)).collect()
    }

    /// Judges what a partner was given: an answer of a resolution with its entry, or the entry. `Ok(None)`: about a name of
    /// another prefix. The log must have been followed before, for its keys.
    pub fn judge(&self, file: &str, document: &[u8], findings: &mut Vec<Finding>) -> Result<Option<Bundle>, Text> {
        let keys: Vec<PublicJwk> = self.keys.keys().iter().map(|known| known.key.clone()).collect();
        let (report, checked) = open_document(document, Known { keys: &keys, ..Known::default() });
        let statement = statement_of(document).ok_or_else(|| {
            Text::new(
                "没有 entry：请用 ?entry=1 重新解析并保存",
                "it has no `entry`: resolve again with ?entry=1 and save that",
            )
        })?;
        let leaf = leaf_hash(statement.as_bytes());
        let step = |name: &str| report.steps.iter().find(|step| step.name == name).map(|step| step.finding);
        let mut found = |kind, identifier: Option<&str>, version, detail| {
            findings.push(Finding {
                kind,
                identifier: identifier.map(str::to_owned),
                version,
                index: None,
                leaf: Some(shown(&leaf)),
                file: Some(file.to_owned()),
                detail,
            });
        };
        let is_genuine = step("signature") == Some(StepFinding::Pass) && step("disclosures") == Some(StepFinding::Pass);
        let Some(checked) = checked.filter(|_| is_genuine) else {
            let detail = Text::new(
                "条目不是由日志授权的密钥签署，或披露内容与之不符：不是此节点所签",
                "no key that the log authorises signed this, or its disclosures are not the signed ones: the node did not make it",
            );
            found(FindingKind::ForgedBundle, None, None, detail);
            return Ok(None);
        };
        let hidden = || Text::new("没有披露标识，无法判断", "its identifier is not disclosed: nothing can be told");
        let name = checked.claims.sub.as_deref().ok_or_else(hidden)?;
        let identifier = Identifier::parse(name).map_err(|error| error.text())?;
        if identifier.prefix() != self.names.prefix {
            return Ok(None);
        }
        let version = checked.payload.ver;
        let signed = decode_sid(&checked.payload.sid);
        if !signed.is_some_and(|sid| sids_of(&self.names.secret, &identifier).contains(&sid)) {
            let sid = &checked.payload.sid;
            let detail = Text::new(
                format!(
                    "条目已由节点签署，但其 sid {sid} 不是此标识的：节点为同一标识使用了第二个 sid，请保留此文件作为证据"
                ),
                format!(
                    "the node signed this entry, and its sid {sid} is not this identifier's: one name under two sids; keep the file as evidence"
                ),
            );
            found(FindingKind::SecondSid, Some(name), Some(version), detail);
        }
        Ok(Some(Bundle { leaf, identifier: name.to_owned(), version, file: file.to_owned() }))
    }
}

/// What an owner is told of a statement that it does not know.
fn told_of(seen: &Seen) -> (FindingKind, Text) {
    let detail = match seen.erases.as_ref().map(|erases| erases.is_last) {
        None => Text::new(
            "日志中有此标识的条目，而不在您的已知条目之中：若非您所登记，请告知运营方",
            "the log has an entry under this name that is none of those you know: if you did not make it, tell the operator",
        ),
        Some(true) => Text::new(
            "运营方抹除了此标识的最新版本：此标识从此不再解析，也不再发放。若非您所要求，请告知运营方",
            "the newest version under this name was erased: the name is gone for ever. If you did not ask for it, tell the operator",
        ),
        Some(false) => Text::new(
            "运营方抹除了此标识的一个旧版本所披露的内容。若非您所要求，请告知运营方",
            "what an older version under this name disclosed was erased. If you did not ask for it, tell the operator",
        ),
    };
    let kind = if seen.erases.is_some() { FindingKind::UnknownErasure } else { FindingKind::UnknownEntry };
    (kind, detail)
}

/// An entry that is not in the log, though its owner knows it or a partner was given it.
#[must_use]
pub fn not_in_log(leaf: &Hash, bundle: Option<&Bundle>) -> Finding {
    Finding {
        kind: FindingKind::NotInLog,
        identifier: bundle.map(|bundle| bundle.identifier.clone()),
        version: bundle.map(|bundle| bundle.version),
        index: None,
        leaf: Some(shown(leaf)),
        file: bundle.map(|bundle| bundle.file.clone()),
        detail: Text::new(
            "最新检查点不包含此条目：刚登记的请稍后再查，否则节点没有把它记入公开的日志",
            "the newest checkpoint does not cover this entry: just made, look again in a moment; else the node kept it out of its public log",
        ),
    }
}

/// The statement in a document: before the first "~", or all of it.
fn statement_of(document: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(document).ok()?.trim();
    let entry = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(answer) => answer.get("entry")?.as_str()?.to_owned(),
        Err(_) => text.to_owned(),
    };
    entry.split('~').next().map(str::to_owned)
}
