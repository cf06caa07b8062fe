//! One leaf of the audit tree: by which key it is signed, and what it says was done. Told by the names of members, so that an
//! event of a later program reads as well as one of this.

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::authorities::Known;
use crate::services::audit::examine::clipped;
use crate::sign::jws::{
    AUDIT_TYPE, ENTRY_TYPE, ERASURE_TYPE, KEY_END_TYPE, KEYS_TYPE, LICENCE_END_TYPE, LICENCE_TYPE, ORIGIN_TYPE, Parsed,
};
use crate::sign::repeated::SignatureChecker;
use crate::tlog::hash::Hash;

/// Statements that the registry tree has, and this one must not.
const OF_THE_REGISTRY: [&str; 7] =
    [ENTRY_TYPE, KEYS_TYPE, KEY_END_TYPE, LICENCE_TYPE, LICENCE_END_TYPE, ORIGIN_TYPE, ERASURE_TYPE];

/// A leaf that was looked at alone. Its payload is read when its turn comes: as JSON it may take twenty times the room.
#[derive(Clone, Debug)]
pub struct Examined {
    pub index: u64,
    /// The place in the succession of the key that signed it; none: no key that the registry authorises did.
    pub signer: Option<usize>,
    /// Type and payload, or in a word why there are none.
    pub said: Result<(String, Vec<u8>), &'static str>,
}

#[derive(Clone, Debug)]
pub enum Says {
    Act(Act),
    /// Of the registry's kinds.
    Misplaced(String),
    /// Of a kind that this program does not know: only its signature is judged.
    Other(String),
}

/// What somebody did.
#[derive(Clone, Debug)]
pub struct Act {
    pub index: u64,
    pub iat: i64,
    pub event: String,
    pub principal: String,
    /// All else that is said of it.
    pub members: Map<String, Json>,
}

#[derive(Deserialize)]
struct Stated {
    iat: i64,
    iss: String,
    principal: String,
    event: String,
    #[serde(flatten)]
    members: Map<String, Json>,
}

impl Says {
    /// What it is called.
    pub(super) fn name(&self) -> &str {
        match self {
            Says::Act(act) => &act.event,
            Says::Misplaced(typ) | Says::Other(typ) => typ,
        }
    }
}

impl Act {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    pub(super) fn number(&self, name: &str) -> Option<i64> {
        self.members.get(name)?.as_i64()
    }

    /// The id of the key that asked, where one did.
    pub(super) fn asking_key(&self) -> Option<&str> {
        key_of(&self.principal)
    }
}

/// The id of a key, as audit names who asks.
pub(super) fn key_of(principal: &str) -> Option<&str> {
    principal.strip_prefix("key:")
}

/// Which key a leaf says that it is signed by.
pub(super) fn kid_of(entry: &[u8]) -> Option<String> {
    Parsed::parse(std::str::from_utf8(entry).ok()?).ok().map(|parsed| parsed.header.kid)
}

/// Looks at one leaf.
pub(super) fn examine(
    index: u64,
    _leaf: Hash,
    entry: &[u8],
    known: &Known,
    checker: &mut SignatureChecker,
) -> Examined {
    let parsed = std::str::from_utf8(entry).map_err(|_| "it is not text").and_then(Parsed::parse);
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(what) => return Examined { index, signer: None, said: Err(what) },
    };
    let named = known.place_of(&parsed.header.kid);
    let signer = named.filter(|(_, key)| parsed.verify_by(key, checker)).map(|(place, _)| place);
    Examined { index, signer, said: Ok((parsed.header.typ, parsed.payload)) }
}

/// What a statement says, and who issued it; in a word what is wrong with it.
pub(super) fn read(index: u64, typ: &str, payload: &[u8]) -> Result<(Says, String), &'static str> {
    if typ != AUDIT_TYPE {
        let issued: Issued = serde_json::from_slice(payload).map_err(|_| "it lacks iss")?;
        let is_misplaced = OF_THE_REGISTRY.contains(&typ);
        return Ok((if is_misplaced { Says::Misplaced(clipped(typ)) } else { Says::Other(clipped(typ)) }, issued.iss));
    }
    let Stated { iat, iss, principal, event, members } =
        serde_json::from_slice(payload).map_err(|_| "it lacks iat, iss, principal or event")?;
    Ok((Says::Act(Act { index, iat, event: clipped(&event), principal, members }), iss))
}

/// What every statement says in clear.
#[derive(Deserialize)]
struct Issued {
    iss: String,
}
