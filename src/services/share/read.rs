//! Grants as they are shown: to who gave them and who holds them; and, to who gave them, what was seen.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::{is_givers, place, unknown};
use crate::model::grant::Grant;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::principal::Principal;
use crate::model::time::Timestamp;
use crate::services::log::unread;
use crate::services::{ServiceError, Services};
use crate::sign::sharing::{GrantRow, GrantUseRow, grant_of_use, revocation_key, uses_from};
use crate::store::engine::Table;
use crate::store::trees::Tree;

/// What does a grant open?
#[derive(Clone, Debug)]
pub struct ReadGrant {
    pub id: String,
}

/// Which grants has the caller given, or does it hold?
#[derive(Clone, Debug)]
pub struct ListGrants {
    /// Only what follows this id (a cursor).
    pub after: Option<String>,
    /// At least 1.
    pub limit: usize,
}

/// Who saw what by a grant?
#[derive(Clone, Debug)]
pub struct ListUses {
    pub id: String,
    /// Only what follows this row (a cursor).
    pub after: Option<Vec<u8>>,
    /// Only from this moment on.
    pub from: Option<Timestamp>,
    /// At least 1.
    pub limit: usize,
}

impl Asks for ListUses {
    const ACTION: Action = Action::Share;
}

impl Asks for ReadGrant {
    const ACTION: Action = Action::SeeGrants;
}

impl Asks for ListGrants {
    const ACTION: Action = Action::SeeGrants;
}

/// A grant, the names that it is about, but for those that were erased since, and whether it was taken back.
#[derive(Clone, Debug)]
pub struct GrantView {
    pub grant: Arc<Grant>,
    pub identifiers: Vec<String>,
    pub is_revoked: bool,
}

/// Grants in the order of their ids.
#[derive(Clone, Debug)]
pub struct GrantPage {
    pub grants: Vec<GrantView>,
    pub next: Option<String>,
}

/// What was seen by a grant.
#[derive(Clone, Debug)]
pub struct SeenByGrant {
    pub row: GrantUseRow,
    /// The identifier and the version; `None` once it is erased.
    pub seen: Option<(String, u64)>,
}

/// Uses in the order of their times.
#[derive(Clone, Debug)]
pub struct UsePage {
    pub uses: Vec<SeenByGrant>,
    pub next: Option<Vec<u8>>,
}

impl Services {
    /// One grant, for who gave it or holds it.
    pub fn grant(&self, asked: &Permitted<ReadGrant>) -> Result<GrantView, ServiceError> {
        let id = &asked.request().id;
        self.grant_viewed(self.known_grant(id, asked.principal())?)
    }

    fn grant_viewed(&self, row: GrantRow) -> Result<GrantView, ServiceError> {
        let GrantRow { grant, index, sealed } = row;
        let is_revoked = self.store.any_row(Table::Revoked, revocation_key(&grant.id).as_bytes())?.is_some();
        let mut identifiers = Vec::new();
        if let Some(hash) = &sealed {
            let content = self.content(&place(&grant.id), index, hash)?;
            let names: Vec<String> = serde_json::from_slice(&content)
                .map_err(|_| ServiceError::Internal("the names of a grant".to_owned()))?;
            for (name, sid) in names.into_iter().zip(&grant.opened.sids) {
                let sid = BASE64URL.decode(sid).unwrap_or_default();
                if self.store.any_row(Table::Erased, &sid)?.is_none() {
                    identifiers.push(name);
                }
            }
        }
        Ok(GrantView { grant: Arc::new(grant), identifiers, is_revoked })
    }

    pub(super) fn known_grant(&self, id: &str, principal: &Principal) -> Result<GrantRow, ServiceError> {
        let row = self.grant_row(id)?;
        let is_held = || self.grants.of(principal, Timestamp::now()).iter().any(|held| held.id == id);
        if is_givers(&row.grant, principal) || is_held() { Ok(row) } else { Err(unknown(id)) }
    }

    fn grant_row(&self, id: &str) -> Result<GrantRow, ServiceError> {
        let row = self.store.any_row(Table::Grant, id.as_bytes())?.ok_or_else(|| unknown(id))?;
        Ok(serde_json::from_slice(&row)?)
    }

    /// A page of those that the caller gave or holds, which were not taken back.
    pub fn grants_of(&self, asked: &Permitted<ListGrants>) -> Result<GrantPage, ServiceError> {
        let ListGrants { after, limit } = asked.request();
        let principal = asked.principal();
        let now = Timestamp::now();
        let held = self.grants.of(principal, now);
        let is_held = |grant: &Grant| held.binary_search_by(|other| other.id.cmp(&grant.id)).is_ok();
        let all = self.grants.after(after.as_deref(), now);
        let mut grants: Vec<Arc<Grant>> =
            all.into_iter().filter(|grant| is_givers(grant, principal) || is_held(grant)).take(limit + 1).collect();
        let has_more = grants.len() > *limit;
        grants.truncate(*limit);
        let next = grants.last().filter(|_| has_more).map(|last| last.id.clone());
        let viewed = |grant: Arc<Grant>| self.grant_viewed(self.grant_row(&grant.id)?);
        Ok(GrantPage { grants: grants.into_iter().map(viewed).collect::<Result<_, _>>()?, next })
    }

    /// A page of who saw what by a grant, also of one that is over.
    pub fn grant_uses(&self, asked: &Permitted<ListUses>) -> Result<UsePage, ServiceError> {
        let ListUses { id, after, from, limit } = asked.request();
        if !is_givers(&self.grant_row(id)?.grant, asked.principal()) {
            return Err(unknown(id));
        }
        let start = uses_from(id, from.map_or(0, Timestamp::as_seconds));
        let start = after.clone().filter(|after| *after >= start && grant_of_use(after) == Some(id)).unwrap_or(start);
        let rows = self.store.scan(Table::GrantUse, Some(&start), limit + 1)?;
        let own = rows.iter().take_while(|(key, _)| grant_of_use(key) == Some(id));
        let mut page = UsePage { uses: Vec::new(), next: None };
        let mut last = None;
        for (key, row) in own {
            if page.uses.len() == *limit {
                page.next = last;
                break;
            }
            let row: GrantUseRow = serde_json::from_slice(row)?;
            let seen = self.version_at_leaf(row.used.leaf)?;
            page.uses.push(SeenByGrant { row, seen });
            last = Some(key.to_vec());
        }
        Ok(page)
    }

    /// The identifier and the version of a statement in the registry tree; `None` once it is erased.
    fn version_at_leaf(&self, leaf: u64) -> Result<Option<(String, u64)>, ServiceError> {
        let reader = self.store.trees().reader(Tree::Registry);
        let Some(place) = reader.places(leaf, 1).map_err(unread)?.into_iter().next() else {
            return Ok(None);
        };
        let frame = self.store.frame(place)?;
        let record = self.store.record_of(&frame).map_err(|error| ServiceError::Internal(error.to_string()))?;
        Ok(record.map(|record| (record.identifier.spelling().to_owned(), frame.meta.version)))
    }
}
