//! API keys as requests show them, themselves or by a session. A key is read from the store once; again only when one
//! was made or revoked, or a prefix was allocated.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use parking_lot::RwLock;

use super::key_uses::KeyUses;
use super::token::{GRANT_MARK, KEY_MARK, SESSION_MARK, are_same, taken_apart};
use super::{ServiceError, Services};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::sign::keys::PublicJwk;
use crate::sign::signature::NOBODYS_KEY;
use crate::sign::statement::ApiKey;
use crate::store::engine::Table;

/// Keys that are kept at hand; with more of them in use, some are read again.
const AT_HAND: usize = 10_000;

/// Ids of keys are shorter.
pub(super) const MOST_ID_BYTES: usize = 64;

/// Keys by their ids, as they were when [`crate::store::Store::keys_seen`] was this. Only of such as there are.
#[derive(Default)]
pub struct ApiKeys(RwLock<(u64, HashMap<String, Arc<Known>>)>);

/// What decides whether a key opens anything.
pub(super) struct Known {
    /// Of its secret.
    hash: Vec<u8>,
    expires: Option<i64>,
    is_revoked: bool,
    /// Whose signature begins its sessions and authenticates its requests; then it has no secret.
    public_key: Option<PublicJwk>,
    /// The minute of its last use that was noted.
    used: AtomicI64,
    /// What it opens; nothing, where this program does not know its role, or not with such prefixes.
    principal: Option<Principal>,
}

impl Services {
    /// The principal behind a bearer token. Takes the same time whatever is wrong with its secret.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Principal, ServiceError> {
        if let Some(mirror) = self.mirror() {
            let is_operator = mirror.opens(token);
            return is_operator.then(|| Principal::administrator("mirror")).ok_or(ServiceError::BadCredential);
        }
        if taken_apart(GRANT_MARK, token).is_some() {
            return self.link_holder(token, now).ok_or(ServiceError::BadCredential);
        }
        if let Some((id, hash)) = taken_apart(SESSION_MARK, token) {
            let key = self.key_behind(id, &hash, now).ok_or(ServiceError::BadCredential)?;
            return self.opened_by(&key, now, |_| true);
        }
        let (id, hash) = taken_apart(KEY_MARK, token).ok_or(ServiceError::BadCredential)?;
        self.opened_by(id, now, |key| are_same(&hash, &key.hash))
    }

    /// What a key without a secret opens for who has signed with its private half, as `has_signed` tells of the public one. It is
    /// asked of some key where there is none, so that an unknown one takes as long; what it says counts for a known one alone.
    pub(super) fn holder_of(
        &self,
        id: &str,
        now: Timestamp,
        has_signed: impl FnOnce(&[u8]) -> bool,
    ) -> Result<Principal, ServiceError> {
        let key = if id.len() <= MOST_ID_BYTES { self.api_key(id)? } else { None };
        let public = key.and_then(|key| key.public_key.as_ref().and_then(PublicJwk::public));
        let has_signed = has_signed(public.as_deref().unwrap_or(&NOBODYS_KEY)) && public.is_some();
        if has_signed { self.opened_by(id, now, |_| true) } else { Err(ServiceError::BadCredential) }
    }

    /// What a key opens, if it is alive and shown as it must be.
    pub(super) fn opened_by(
        &self,
        id: &str,
        now: Timestamp,
        is_shown: impl FnOnce(&Known) -> bool,
    ) -> Result<Principal, ServiceError> {
        let key = self.api_key(id)?.ok_or(ServiceError::BadCredential)?;
        let is_alive = !key.is_revoked && key.expires.is_none_or(|expires| now.as_seconds() < expires);
        if !is_shown(&key) || !is_alive {
            return Err(ServiceError::BadCredential);
        }
        let principal = key.principal.clone().ok_or(ServiceError::BadCredential)?;
        let minute = KeyUses::minute(now);
        if key.used.swap(minute, Ordering::Relaxed) != minute {
            self.key_uses.note(id, minute);
        }
        Ok(principal)
    }

    /// What a key opens; `None` where this program does not know its role, or not with such prefixes.
    fn principal_of(&self, key: &ApiKey) -> Result<Option<Principal>, ServiceError> {
        let Some(principal) = Principal::of_key(&key.id, &key.role, &key.prefixes, key.expires) else {
            return Ok(None);
        };
        if principal.role != Role::Applicant {
            return Ok(Some(principal));
        }
        let prefixes = self.allocated_to(&principal.id)?;
        Ok(Some(principal.allocated(prefixes)))
    }

    pub(super) fn api_key(&self, id: &str) -> Result<Option<Arc<Known>>, ServiceError> {
        // Before the rows: a key that is revoked meanwhile is kept under a number that is past.
        let seen = self.store.keys_seen();
        {
            let kept = self.api_keys.0.read();
            if kept.0 == seen
                && let Some(known) = kept.1.get(id)
            {
                return Ok(Some(Arc::clone(known)));
            }
        }
        let Some(row) = self.store.any_row(Table::Key, id.as_bytes())? else {
            return Ok(None);
        };
        let key: ApiKey = serde_json::from_slice(&row)?;
        let known = Arc::new(Known {
            hash: BASE64URL.decode(&key.hash).unwrap_or_default(),
            expires: key.expires,
            is_revoked: self.store.any_row(Table::Revoked, id.as_bytes())?.is_some(),
            public_key: key.public_key.clone(),
            used: AtomicI64::new(i64::MIN),
            principal: self.principal_of(&key)?,
        });
        let mut kept = self.api_keys.0.write();
        if kept.0 < seen || kept.1.len() >= AT_HAND {
            kept.1.clear();
            kept.0 = kept.0.max(seen);
        }
        if kept.0 == seen {
            kept.1.insert(id.to_owned(), Arc::clone(&known));
        }
        Ok(Some(known))
    }
}
