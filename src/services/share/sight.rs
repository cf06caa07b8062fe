//! Sight: what of a record a caller may see. Every reading of a record for somebody goes by it.
//!
//! | visibility | who sees the value |
//! |---|---|
//! | public | everybody |
//! | signed-in | whoever shows a key or session, and who is granted it |
//! | granted | who is granted it |
//! | owner | keys whose prefix it is (reader, registrar, owner), and administrators; these see the others too |
//!
//! What a grant opens is [`Unnoted`] until the look is in the audit tree.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::Look;
use crate::model::grant::Grant;
use crate::model::principal::{Principal, Role};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::model::value::{Value, Visibility};
use crate::services::token::sha256;
use crate::services::{ServiceError, Services};
use crate::sign::blinding::Blinding;

/// What a caller may see.
pub struct Sight<'a> {
    principal: &'a Principal,
    grants: Vec<Arc<Grant>>,
    /// What blinds names, where a grant names some.
    blinding: Option<&'a Blinding>,
    now: Timestamp,
}

/// Callers with the same view see the same of what is not their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Public,
    /// All of it, of records that are the caller's.
    Own,
    SignedIn,
    /// By these grants: the hash of their ids.
    Granted([u8; 16]),
}

/// What was read, and may be shown once the looks are noted.
#[must_use]
#[derive(Clone, Debug)]
pub struct Unnoted<T> {
    read: T,
    looks: Vec<Look>,
    now: Timestamp,
}

impl Services {
    /// What this caller may see now. Looked at anew for each of many questions: what it showed may have ended since.
    pub(in crate::services) fn sight<'a>(&'a self, principal: &'a Principal) -> Result<Sight<'a>, ServiceError> {
        let now = Timestamp::now();
        if let Some(id) = principal.id.strip_prefix("key:") {
            self.opened_by(id, now, |_| true)?;
        }
        let grants = self.grants.of(principal, now);
        let names_some = grants.iter().any(|grant| !grant.opened.sids.is_empty());
        let blinding = self.signing().ok().map(|signing| &signing.blinding).filter(|_| names_some);
        Ok(Sight { principal, grants, blinding, now })
    }

    /// Gives what was read, once the looks at it are in the audit tree.
    pub async fn noted<T>(&self, unnoted: Unnoted<T>) -> Result<T, ServiceError> {
        if !unnoted.looks.is_empty() {
            self.note_looks(unnoted.looks, unnoted.now).await?;
        }
        Ok(unnoted.read)
    }
}

impl Sight<'_> {
    /// What of this record.
    pub fn on<'s>(&'s self, record: &Record) -> OnRecord<'s> {
        let is_own = self.principal.sees_all_of(record);
        let sid = self.blinding.map(|blinding| BASE64URL.encode(blinding.sid(&record.identifier)));
        let is_about = |grant: &&Arc<Grant>| !is_own && grant.is_about(record, sid.as_deref());
        OnRecord { sight: self, is_own, grants: self.grants.iter().filter(is_about).collect() }
    }

    /// The record without the values that are not for this caller, and the looks that the others cost: a value that several
    /// grants open is shown by the first. `leaf` is its version's in the registry tree.
    pub fn seen(&self, mut record: Record, leaf: u64) -> (Record, Vec<Look>) {
        let on = self.on(&record);
        if on.is_own {
            return (record, Vec::new());
        }
        let mut is_used = vec![false; on.grants.len()];
        record.values.retain(|value| {
            self.sees_plainly(value.visibility)
                || on.opener(value).and_then(|at| is_used.get_mut(at)).map(|used| *used = true).is_some()
        });
        let used = on.grants.iter().zip(is_used).filter(|(_, is_used)| *is_used);
        let looks = used.map(|(grant, _)| self.look(grant, leaf)).collect();
        (record, looks)
    }

    fn sees_plainly(&self, visibility: Visibility) -> bool {
        match visibility {
            Visibility::Public => true,
            Visibility::SignedIn => self.is_signed_in(),
            Visibility::Granted | Visibility::Owner => false,
        }
    }

    /// Who has a link alone has not said who he is.
    fn is_signed_in(&self) -> bool {
        !matches!(self.principal.role, Role::Anonymous | Role::Link)
    }

    fn look(&self, grant: &Grant, leaf: u64) -> Look {
        Look { grant: grant.id.clone(), principal: self.principal.id.clone(), leaf }
    }

    /// What was read with these looks.
    pub fn unnoted<T>(&self, read: T, looks: Vec<Look>) -> Unnoted<T> {
        Unnoted { read, looks, now: self.now }
    }

    /// The view of this record.
    pub fn view_of(&self, record: &Record) -> View {
        if self.principal.sees_all_of(record) { View::Own } else { self.view() }
    }

    /// With whom the caller shares what it sees of others' records.
    pub fn view(&self) -> View {
        if !self.grants.is_empty() {
            let ids: Vec<&str> = self.grants.iter().map(|grant| grant.id.as_str()).collect();
            let whole = sha256(format!("{} {}", self.is_signed_in(), ids.join(" ")).as_bytes());
            let mut half = [0; 16];
            half.copy_from_slice(&whole[..16]);
            return View::Granted(half);
        }
        if self.is_signed_in() { View::SignedIn } else { View::Public }
    }
}

/// What a caller may see of one record.
pub struct OnRecord<'s> {
    sight: &'s Sight<'s>,
    is_own: bool,
    /// Those that are about it.
    grants: Vec<&'s Arc<Grant>>,
}

impl OnRecord<'_> {
    /// Whether the caller may see a value; one that does not read is the owner's alone.
    pub fn shows(&self, value: Option<&Value>) -> bool {
        let is_shown = |value: &Value| self.sight.sees_plainly(value.visibility) || self.opener(value).is_some();
        self.is_own || value.is_some_and(is_shown)
    }

    fn opener(&self, value: &Value) -> Option<usize> {
        self.grants.iter().position(|grant| grant.opens(value))
    }
}

impl<T> Unnoted<T> {
    /// Something else made of what was read.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Unnoted<U> {
        Unnoted { read: make(self.read), looks: self.looks, now: self.now }
    }

    /// One of two that were read.
    pub fn and<U, V>(mut self, other: Unnoted<U>, make: impl FnOnce(T, U) -> V) -> Unnoted<V> {
        self.looks.extend(other.looks);
        Unnoted { read: make(self.read, other.read), looks: self.looks, now: self.now.max(other.now) }
    }
}
