//! One leaf: signed by the key in force, and disclosing what it was signed over. Costs most of a mirror's time, and needs no order.

use std::sync::Arc;

use bytes::Bytes;

use super::disclosed::Beside;
use super::halt::Fault;
use crate::model::prefix::Prefixes;
use crate::model::time::Timestamp;
use crate::services::audit::examine::{Examined, Says, examine};
use crate::services::audit::keys::Succession;
use crate::sign::disclosed::read_disclosed;
use crate::sign::repeated::SignatureChecker;
use crate::store::journal::Effect;
use crate::store::rows::LeafHash;
use crate::store::{Copied, CopyProposal};
use crate::tlog::hash::Hash;

/// A leaf that may go into the store.
pub(super) struct Checked {
    pub proposal: CopyProposal,
    /// Of an erasure: the index and the leaf of what it erases, where this mirror may hold it.
    pub erases: Option<(u64, LeafHash)>,
    /// An entry without disclosures, in a mirror that is given them: an erasure must name it sooner or later.
    pub is_unexplained: bool,
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
    let fault = |cause: &str| Fault { index, cause: cause.to_owned() };
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
    let (mut erases, mut is_unexplained) = (None, false);
    let copied = match &examined.says {
        Says::Keys | Says::KeyEnd { .. } | Says::Licence { .. } | Says::Origin { .. } => Copied::Statement,
        Says::Erasure { leaf, .. } => {
            if by.is_granted {
                let erased = beside.erases.filter(|erased| *erased < index);
                erases = Some((erased.ok_or_else(|| fault("the origin does not say what it erases"))?, *leaf));
            }
            Copied::Erasure { erased: None }
        }
        Says::Entry { version, prev, .. } => {
            if *version == 0 || (*version == 1) != prev.is_none() {
                return Err(fault("its version and the leaf before it do not fit"));
            }
            match &beside.disclosures {
                None => {
                    is_unexplained = by.is_granted;
                    Copied::Withheld { version: *version }
                }
                Some(disclosures) => {
                    disclosed(&examined, entry, disclosures, beside.registered, by).map_err(|cause| fault(&cause))?
                }
            }
        }
        Says::AuditEvent => return Err(fault("it is an event of the audit tree")),
        Says::Other(_) => return Err(fault("its kind is not known here: a newer mingpai may know it")),
        Says::Unreadable(what) => return Err(fault(what)),
    };
    let proposal = CopyProposal { index, statement: entry.to_vec(), leaf, time, copied };
    Ok(Checked { proposal, erases, is_unexplained })
}

fn disclosed(
    examined: &Examined,
    entry: &Bytes,
    disclosures: &str,
    registered: Option<Timestamp>,
    by: &Measure,
) -> Result<Copied, String> {
    let Says::Entry { sid, version, prev } = examined.says else {
        return Err("it is no entry".to_owned());
    };
    let signed = Timestamp::from_seconds(examined.iat).map_err(|error| error.to_string())?;
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
