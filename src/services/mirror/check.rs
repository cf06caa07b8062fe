//! One leaf: signed by the key in force, and disclosing what it was signed over. Costs most of a mirror's time, and needs no order.

use std::sync::Arc;

use bytes::Bytes;

use super::disclosed::Beside;
use super::halt::Fault;
use crate::model::prefix::Prefixes;
use crate::model::time::Timestamp;
use crate::services::audit::examine::{Examined, Says, examine};
use crate::services::audit::keys::Succession;
use crate::sign::decode_sid;
use crate::sign::disclosed::{Undisclosed, read_disclosed};
use crate::sign::entry::Payload;
use crate::sign::jws;
use crate::sign::repeated::SignatureChecker;
use crate::store::journal::Effect;
use crate::store::rows::LeafHash;
use crate::store::{Copied, CopyProposal};
use crate::tlog::hash::Hash;

/// A leaf that may go into the store.
pub(super) struct Checked {
    pub proposal: CopyProposal,
    /// The entry that it names, where this mirror may hold it: what an erasure erases, what a kept back version follows.
    pub names: Option<Named>,
    /// An entry without disclosures, in a mirror that is given them: an erasure must name it sooner or later.
    pub is_unexplained: bool,
}

/// An entry before a leaf that the leaf is about.
pub(super) struct Named {
    /// As the origin says; the rest is signed.
    pub index: u64,
    pub leaf: LeafHash,
    pub sid: Hash,
    /// Of the entry, where it is known.
    pub version: Option<u64>,
}

impl Named {
    /// Whether a statement, whose leaf this is, is the entry; says in a word what is wrong with it.
    pub fn is(&self, leaf: &LeafHash, statement: &[u8]) -> Result<(), (bool, &'static str)> {
        if *leaf != self.leaf {
            return Err((false, "the entry that it names is not the one at the index that the origin gives"));
        }
        let payload = jws::payload_of(statement).map_err(|_| (true, "what it names does not read"))?;
        let payload = serde_json::from_slice::<Payload>(&payload).map_err(|_| (true, "what it names is no entry"))?;
        if decode_sid(&payload.sid) != Some(self.sid) {
            return Err((true, "the entry that it names is of another identifier"));
        }
        if self.version.is_some_and(|version| version != payload.ver) {
            return Err((true, "the entry that it names is of another version"));
        }
        Ok(())
    }
}

/// What leaves are held against.
#[derive(Clone)]
pub(super) struct Measure {
    pub keys: Arc<Succession>,
    pub issuer: Arc<str>,
    pub prefixes: Arc<Prefixes>,
    /// Whether the origin gives what it hides.
    pub is_granted: bool,
}

/// Checks one leaf.
pub(super) fn check(
    index: u64,
    leaf: Hash,
    entry: &Bytes,
    beside: Beside,
    by: &Measure,
    checker: &mut SignatureChecker,
) -> Result<Checked, Fault> {
    let fault = |cause: &str| Fault { index, cause: cause.to_owned(), is_signed: true };
    // What stands beside the statement nobody has signed.
    let unsigned = |cause: &str| Fault { is_signed: false, ..fault(cause) };
    let examined = examine(index, leaf, entry, &by.keys, checker);
    if let Says::Unreadable(what) = examined.says {
        return Err(fault(what));
    }
    if !examined.is_signed {
        return Err(fault("it is not signed by the key in force"));
    }
    if *examined.iss != *by.issuer {
        return Err(fault("its issuer is not that of the log"));
    }
    let time = examined.iat;
    let before = beside.names.filter(|named| *named < index);
    let (mut names, mut is_unexplained) = (None, false);
    let copied = match &examined.says {
        Says::KeyEnd { kid, .. } if !by.keys.is_succeeded(kid, index) => {
            return Err(fault("the key that it ends was never in force, or still is"));
        }
        Says::Keys | Says::KeyEnd { .. } | Says::Licence { .. } | Says::Origin { .. } => Copied::Statement,
        Says::Erasure { leaf, sid, .. } => {
            if by.is_granted {
                let erased = before.ok_or_else(|| unsigned("the origin does not say what it erases"))?;
                names = Some(Named { index: erased, leaf: *leaf, sid: *sid, version: None });
            }
            Copied::Erasure { erased: None }
        }
        Says::Entry { sid, version, prev } => {
            if *version == 0 || (*version == 1) != prev.is_none() {
                return Err(fault("its version and the leaf before it do not fit"));
            }
            match &beside.disclosures {
                None => {
                    is_unexplained = by.is_granted;
                    names = follows(before, *sid, *version, prev.filter(|_| by.is_granted)).map_err(unsigned)?;
                    Copied::Withheld { version: *version, supersedes: None }
                }
                Some(disclosures) => {
                    disclosed(&examined, entry, disclosures, beside.registered, by).map_err(|wrong| match wrong {
                        Undisclosed::NotSigned(what) => unsigned(what),
                        Undisclosed::NoRecord(what) => fault(&what),
                    })?
                }
            }
        }
        Says::AuditEvent => return Err(fault("it is an event of the audit tree")),
        Says::Other(_) => return Err(fault("its kind is not known here: a newer mingpai may know it")),
        Says::Unreadable(what) => return Err(fault(what)),
    };
    let proposal = CopyProposal { index, statement: entry.to_vec(), leaf, time, copied };
    Ok(Checked { proposal, names, is_unexplained })
}

/// The entry that a kept back version follows.
fn follows(
    before: Option<u64>,
    sid: Hash,
    version: u64,
    prev: Option<LeafHash>,
) -> Result<Option<Named>, &'static str> {
    let Some(leaf) = prev else { return Ok(None) };
    let index = before.ok_or("the origin does not say what it follows")?;
    Ok(Some(Named { index, leaf, sid, version: Some(version - 1) }))
}

fn disclosed(
    examined: &Examined,
    entry: &Bytes,
    disclosures: &str,
    registered: Option<Timestamp>,
    by: &Measure,
) -> Result<Copied, Undisclosed> {
    let Says::Entry { sid, version, prev } = examined.says else {
        return Err(Undisclosed::NoRecord("it is no entry".to_owned()));
    };
    let signed = Timestamp::from_seconds(examined.iat).map_err(|error| Undisclosed::NoRecord(error.to_string()))?;
    // The first version was registered when it was signed; of a later one the origin's word is all there is, and where the
    // version before is here, what that one says counts.
    let registered = if version == 1 { signed } else { registered.unwrap_or(signed) };
    let record = read_disclosed(entry, disclosures, registered, &by.prefixes)?;
    let effect = match version {
        _ if record.is_tombstone() => Effect::Deleted,
        1 => Effect::Created,
        _ => Effect::Updated,
    };
    Ok(Copied::Entry {
        record: Arc::new(record),
        sid,
        prev,
        disclosures: disclosures.as_bytes().to_vec(),
        registered: registered.as_seconds(),
        effect,
    })
}
