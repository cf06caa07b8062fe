//! What one leaf says, and whether the key in force signed it: the part that costs, on all cores at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use serde::Deserialize;

use super::keys::Succession;
use crate::model::text::Text;
use crate::services::follow::{Batch, FollowError};
use crate::sign::decode_sid;
use crate::sign::jws::{
    AUDIT_TYPE, ENTRY_TYPE, ERASURE_TYPE, KEY_END_TYPE, KEYS_TYPE, LICENCE_END_TYPE, LICENCE_TYPE, ORIGIN_TYPE, Parsed,
};
use crate::sign::licence::KeyEndStatement;
use crate::sign::repeated::SignatureChecker;
use crate::sign::statement::{ErasureStatement, OriginStatement};
use crate::tlog::hash::Hash;

/// Batches on their way for each thread: what is held at once.
const AHEAD: usize = 4;

/// A leaf that was looked at alone.
#[derive(Clone, Debug)]
pub struct Examined {
    pub index: u64,
    pub leaf: Hash,
    /// By the key in force at its index. False too where nothing can be read.
    pub is_signed: bool,
    pub iss: String,
    pub iat: i64,
    pub says: Says,
}

/// What a leaf says, as far as an audit needs it.
#[derive(Clone, Debug)]
pub enum Says {
    Entry {
        sid: Hash,
        version: u64,
        prev: Option<Hash>,
    },
    Keys,
    /// The signatures of a key count no more after an index.
    KeyEnd {
        kid: String,
        not_after: u64,
    },
    /// A licence of a prefix, or its end: in full.
    Licence {
        prefix: String,
        statement: String,
    },
    Origin {
        origin: String,
        before: String,
        size: u64,
        root: Hash,
    },
    Erasure {
        sid: Hash,
        leaf: Hash,
        is_last: bool,
    },
    /// An event of the audit tree, which has no place here.
    AuditEvent,
    /// Of a kind that this program does not know: only its signature is judged.
    Other(String),
    /// In a word what is wrong with it.
    Unreadable(&'static str),
}

/// What every statement says in clear.
#[derive(Deserialize)]
struct Stated {
    iat: i64,
    iss: String,
}

/// The same of a record's entry; its digests are not read.
#[derive(Deserialize)]
struct EntryStated {
    #[serde(rename = "_sd_alg")]
    sd_alg: String,
    sid: String,
    ver: u64,
    prev: Option<String>,
}

/// The same of a licence, or of its end.
#[derive(Deserialize)]
struct LicenceStated {
    prefix: String,
}

/// Looks at one leaf.
#[must_use]
pub fn examine(index: u64, leaf: Hash, entry: &[u8], keys: &Succession, checker: &mut SignatureChecker) -> Examined {
    let unreadable =
        |what| Examined { index, leaf, is_signed: false, iss: String::new(), iat: 0, says: Says::Unreadable(what) };
    let Ok(text) = std::str::from_utf8(entry) else { return unreadable("it is not text") };
    let parsed = match Parsed::parse(text) {
        Ok(parsed) => parsed,
        Err(what) => return unreadable(what),
    };
    let Ok(Stated { iat, iss }) = serde_json::from_slice(&parsed.payload) else {
        return unreadable("it lacks iss or iat");
    };
    let is_signed = keys.at(index).is_some_and(|key| parsed.verify_by(key, checker));
    let says = read(&parsed, text).unwrap_or_else(Says::Unreadable);
    Examined { index, leaf, is_signed, iss, iat, says }
}

fn read(parsed: &Parsed<'_>, text: &str) -> Result<Says, &'static str> {
    let payload = parsed.payload.as_slice();
    Ok(match parsed.header.typ.as_str() {
        ENTRY_TYPE => {
            let stated: EntryStated =
                serde_json::from_slice(payload).map_err(|_| "its payload is not that of an entry")?;
            if stated.sd_alg != "sha-256" {
                return Err("its digests are not SHA-256");
            }
            let prev = stated.prev.map(|text| decode_sid(&text).ok_or("its prev is not a leaf hash")).transpose()?;
            let sid = decode_sid(&stated.sid).ok_or("its sid is not 32 bytes in base64url")?;
            Says::Entry { sid, version: stated.ver, prev }
        }
        KEYS_TYPE => Says::Keys,
        KEY_END_TYPE => {
            let stated: KeyEndStatement = serde_json::from_slice(payload).map_err(|_| "it is no end of a key")?;
            Says::KeyEnd { kid: stated.kid, not_after: stated.not_after }
        }
        LICENCE_TYPE | LICENCE_END_TYPE => {
            let LicenceStated { prefix } = serde_json::from_slice(payload).map_err(|_| "it names no prefix")?;
            Says::Licence { prefix, statement: text.to_owned() }
        }
        ORIGIN_TYPE => {
            let stated: OriginStatement =
                serde_json::from_slice(payload).map_err(|_| "it is no statement about the log's name")?;
            let root = BASE64.decode(&stated.root).ok().and_then(|root| root.try_into().ok());
            let root = root.ok_or("its root is not 32 bytes in base64")?;
            Says::Origin { origin: stated.origin, before: stated.before, size: stated.size, root }
        }
        ERASURE_TYPE => {
            let stated: ErasureStatement = serde_json::from_slice(payload).map_err(|_| "it is no erasure")?;
            let decoded = decode_sid(&stated.sid).zip(decode_sid(&stated.leaf));
            let (sid, leaf) = decoded.ok_or("its sid or leaf is not 32 bytes in base64url")?;
            Says::Erasure { sid, leaf, is_last: stated.last }
        }
        AUDIT_TYPE => Says::AuditEvent,
        other => Says::Other(clipped(other)),
    })
}

/// As much of a statement's own words as is told: a leaf may have 64 KiB of them, and they may be meant for a terminal.
pub(in crate::services) fn clipped(word: &str) -> String {
    const TOLD_CHARACTERS: usize = 80;
    word.chars().filter(|letter| !letter.is_control()).take(TOLD_CHARACTERS).collect()
}

/// A hash as statements write it.
pub(in crate::services) fn shown(hash: &Hash) -> String {
    BASE64URL.encode(hash)
}

/// Looks at one leaf: its index and hash, what stands there, and what is known of the keys.
pub type Examine<K, E> = fn(u64, Hash, &[u8], &K, &mut SignatureChecker) -> E;

type Work<K> = (u64, Batch, Arc<K>);
type Done<E> = (u64, Vec<E>);

/// Threads that examine batches, and hand them back in their order.
pub struct Examiners<K, E> {
    input: Option<Sender<Work<K>>>,
    output: Receiver<Done<E>>,
    threads: Vec<JoinHandle<()>>,
    sent: u64,
    taken: u64,
    /// What came back before its turn.
    early: BTreeMap<u64, Vec<E>>,
}

impl<K: Send + Sync + 'static, E: Send + 'static> Examiners<K, E> {
    /// One a core.
    pub fn start(examine: Examine<K, E>) -> std::io::Result<Examiners<K, E>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (input, work) = bounded::<Work<K>>(cores * AHEAD);
        let (done, output) = unbounded::<Done<E>>();
        let start = |number| {
            let (work, done) = (work.clone(), done.clone());
            let run = move || {
                let mut checker = SignatureChecker::default();
                for (number, batch, keys) in work {
                    let each =
                        batch.iter().map(|(index, leaf, entry)| examine(index, *leaf, entry, &keys, &mut checker));
                    if done.send((number, each.collect())).is_err() {
                        return;
                    }
                }
            };
            std::thread::Builder::new().name(format!("examine-{number}")).spawn(run)
        };
        let threads = (0..cores).map(start).collect::<Result<_, _>>()?;
        Ok(Examiners { input: Some(input), output, threads, sent: 0, taken: 0, early: BTreeMap::new() })
    }

    /// Gives a batch in, and what is ready out; waits while too much is on its way.
    pub fn put(&mut self, batch: Batch, keys: &Arc<K>, mut each: impl FnMut(Vec<E>)) -> Result<(), FollowError> {
        let most = (self.threads.len() * AHEAD) as u64;
        while self.sent - self.taken >= most {
            self.next(&mut each)?;
        }
        let input = self.input.as_ref().ok_or_else(lost)?;
        input.send((self.sent, batch, Arc::clone(keys))).map_err(|_| lost())?;
        self.sent += 1;
        Ok(())
    }

    /// Waits for all that was given in.
    pub fn finish(&mut self, mut each: impl FnMut(Vec<E>)) -> Result<(), FollowError> {
        while self.taken < self.sent {
            self.next(&mut each)?;
        }
        Ok(())
    }

    fn next(&mut self, each: &mut impl FnMut(Vec<E>)) -> Result<(), FollowError> {
        let (number, examined) = self.output.recv().map_err(|_| lost())?;
        self.early.insert(number, examined);
        while let Some(examined) = self.early.remove(&self.taken) {
            each(examined);
            self.taken += 1;
        }
        Ok(())
    }
}

impl<K, E> Drop for Examiners<K, E> {
    fn drop(&mut self) {
        self.input = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lost() -> FollowError {
    FollowError::Stopped(Text::new("校验线程意外结束", "a thread that examines entries has ended"))
}
