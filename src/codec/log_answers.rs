//! The JSON of proofs. Hashes are in standard base64, as in checkpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::time::Timestamp;
use crate::services::bundle::{Said, Word};
use crate::services::changes::Change;
use crate::services::log::{Consistency, Inclusion};
use crate::sign::bundle::encode_hashes;
use crate::store::journal::FrameKind;
use crate::store::trees::Tree;
use crate::tlog::hash::Head;

/// A head of the log · 日志的头
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogHead")]
pub(super) struct HeadBody {
    /// In entries.
    size: u64,
    /// In base64.
    root: String,
}

/// That the log at one size is the beginning of the log at another · 一致性证明
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogConsistency")]
pub(super) struct ConsistencyBody {
    from: HeadBody,
    to: HeadBody,
    /// As RFC 9162, 2.1.4 has them, in base64.
    hashes: Vec<String>,
}

/// That an entry is in the log · 收录证明
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LogInclusion")]
pub(super) struct InclusionBody {
    index: u64,
    /// In entries.
    size: u64,
    /// In base64.
    root: String,
    /// From the leaf's sibling upwards, in base64.
    hashes: Vec<String>,
    /// The signed head (C2SP tlog-checkpoint), where it is of this size.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    checkpoint: Option<String>,
}

/// What `proof=1` adds to a resolution.
#[derive(Serialize)]
struct ProofBody<'a> {
    index: u64,
    hashes: Vec<String>,
    checkpoint: &'a str,
}

/// A leaf of the registry with what it hides · 日志的一条及其披露内容
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Change")]
pub(super) struct ChangeBody<'a> {
    index: u64,
    /// Of its frame in the journal.
    sequence: u64,
    #[schemars(extend("enum" = ["entry", "statement", "erasure"]))]
    kind: &'static str,
    /// Of its statement.
    typ: &'a str,
    /// The leaf, byte for byte: a compact JWS.
    statement: &'a str,
    /// Joined by "~"; absent once erased, and where the kind hides nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    disclosures: Option<&'a str>,
    /// Of the record, where it is an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    registered: Option<Timestamp>,
    /// Of an erasure: the index of the version that it erases.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    erases: Option<u64>,
    /// Of an entry after its first: the index of the version before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    follows: Option<u64>,
    updated: Timestamp,
}

/// One line of what follows the log, without its end.
pub(super) fn write_change(change: &Change, out: &mut Vec<u8>) {
    let body = ChangeBody {
        index: change.index,
        sequence: change.sequence,
        kind: match change.kind {
            FrameKind::Entry => "entry",
            FrameKind::Erasure => "erasure",
            _ => "statement",
        },
        typ: &change.typ,
        statement: &change.statement,
        disclosures: change.disclosures.as_deref(),
        version: change.version,
        registered: change.registered,
        erases: change.erases,
        follows: change.follows,
        updated: change.updated,
    };
    out.extend(json(&body));
}

pub(in crate::codec) fn consistency(found: &Consistency) -> Vec<u8> {
    json(&ConsistencyBody { from: head(found.from), to: head(found.to), hashes: encode_hashes(&found.hashes) })
}

pub(super) fn inclusion(found: &Inclusion) -> Vec<u8> {
    let HeadBody { size, root } = head(found.head);
    let checkpoint = found.published.as_ref().map(|published| published.checkpoint(Tree::Registry).to_owned());
    json(&InclusionBody { index: found.index, size, root, hashes: encode_hashes(&found.hashes), checkpoint })
}

/// The member `proof` of a resolution: under a signed head, or `"pending"` while no head covers the entry.
pub(super) fn proof_member(found: Option<&Inclusion>) -> Vec<u8> {
    let signed = found.and_then(|found| Some((found, found.published.as_ref()?)));
    match signed {
        None => b"\"pending\"".to_vec(),
        Some((found, published)) => json(&ProofBody {
            index: found.index,
            hashes: encode_hashes(&found.hashes),
            checkpoint: published.checkpoint(Tree::Registry),
        }),
    }
}

/// The node's word for a moment · 节点对某一时刻的声明
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Word")]
pub(in crate::codec) struct WordBody<'a> {
    /// Which version is the newest: a JWS of the type mingpai-latest+jwt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    latest: Option<&'a str>,
    /// That there is none: a JWS of the type mingpai-absent+jwt.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    absent: Option<&'a str>,
    /// The signed note of the head that it names: the newest, whose root the word has.
    checkpoint: &'a str,
}

pub(super) fn word(word: &Word) -> Vec<u8> {
    let (latest, absent) = match &word.said {
        Said::Latest(signed) => (Some(signed.as_str()), None),
        Said::Absent(signed) => (None, Some(signed.as_str())),
    };
    json(&WordBody { latest, absent, checkpoint: &word.checkpoint })
}

fn head(head: Head) -> HeadBody {
    HeadBody { size: head.size, root: BASE64.encode(head.root) }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    // Text and numbers: their serialising into memory has no failure to report.
    serde_json::to_vec(body).unwrap_or_default()
}
