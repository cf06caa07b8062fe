//! Share: an enterprise lets others read values that are not public; and every reading goes by what its caller may see.
//!
//! - `held`: which grants there are, by who holds them. `sight`: what of a record a caller may see. `uses`: what was shown by them.
//! - `viewed`: plain answers, kept for all who see the same.
//!
//! A grant is given and taken back durably, and then at once for every reading that begins. Who is given a link has its token once;
//! the node keeps a hash.

mod held;
mod sight;
mod uses;
mod viewed;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

pub use held::Grants;
pub use sight::{Sight, Unnoted, View};
pub use uses::{Look, Uses};

use super::file::Sealed;
use super::log::unread;
use super::token::{GRANT_MARK, are_same, random_text, taken_apart, token_text};
use super::{ServiceError, Services};
use crate::model::field::FieldError;
use crate::model::grant::{Grant, Holder, Opened};
use crate::model::identifier::Identifier;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::covers;
use crate::model::principal::{Principal, Role};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::keys::KeyError;
use crate::sign::sharing::{GrantEvent, GrantRow, GrantUseRow, grant_of_use, revocation_key, uses_from};
use crate::sign::statement::AuditEvent;
use crate::store::engine::Table;
use crate::store::trees::Tree;

/// Of one prefix that were not taken back.
pub const GRANTS_OF_A_PREFIX: usize = 1_000;
/// Of all prefixes.
const MOST_GRANTS: usize = 100_000;
/// A link is good for so long at most: 366 days.
pub const LONGEST_LINK_SECONDS: i64 = 366 * 86_400;
/// Rows that are read at once.
const ROWS: usize = 1_000;

/// Values are to be shared.
#[derive(Clone, Debug)]
pub struct GiveGrant {
    pub prefix: String,
    pub to: Recipient,
    /// These records alone; none: any.
    pub identifiers: Vec<Identifier>,
    /// What of them; its names are filled in here.
    pub opened: Opened,
    pub purpose: String,
    /// From when on; `None`: from now on.
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

/// With whom.
#[derive(Clone, Debug)]
pub enum Recipient {
    /// The id of an API key.
    Key(String),
    /// An organisation, by its prefix.
    Prefix(String),
    /// Whoever is given the link.
    Link,
}

/// A grant is to open nothing any more.
#[derive(Clone, Debug)]
pub struct RevokeGrant {
    pub id: String,
}

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

impl Asks for GiveGrant {
    const ACTION: Action = Action::Share;
}

impl Asks for RevokeGrant {
    const ACTION: Action = Action::Share;
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

/// A grant just given. Not `Debug`: the only time that a link's token is seen.
pub struct NewGrant {
    pub grant: Arc<Grant>,
    pub identifiers: Vec<String>,
    /// Of a link.
    pub token: Option<String>,
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
    /// Takes up the grants that were given: at a start, before anything is asked.
    pub fn take_up_grants(&self) -> Result<(), ServiceError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.scan(Table::Grant, after.as_deref(), ROWS)?;
            for (key, row) in &rows {
                let grant = match serde_json::from_slice::<GrantRow>(row) {
                    Ok(row) => row.grant,
                    // Of a later program, perhaps: it opens nothing here.
                    Err(_) => {
                        let id = String::from_utf8_lossy(key);
                        tracing::error!(%id, "the row of a grant does not read: it opens nothing");
                        continue;
                    }
                };
                let is_revoked = self.store.any_row(Table::Revoked, revocation_key(&grant.id).as_bytes())?.is_some();
                let is_over = grant.until.is_some_and(|until| until <= Timestamp::now().as_seconds());
                if !is_revoked && !is_over {
                    self.grants.insert(grant);
                }
            }
            match rows.last() {
                Some((key, _)) => after = Some(key.to_vec()),
                None => return Ok(()),
            }
        }
    }

    /// Gives a grant. Who asks may go away: what is begun is done.
    pub async fn give_grant(self: &Arc<Self>, asked: Permitted<GiveGrant>) -> Result<NewGrant, ServiceError> {
        let (principal, request) = asked.into_parts();
        if !principal.scope.reaches(&request.prefix) {
            let scope = principal.scope.to_string();
            let error = ServiceError::OutOfReach { identifier: request.prefix, scope };
            return Err(self.denied(&principal, error));
        }
        let made = self.grant_of(request, &principal)?;
        let sealed = match made.identifiers.as_slice() {
            [] => None,
            names => Some(self.sealed(&place(&made.grant.id), &serde_json::to_vec(names)?)?),
        };
        let (services, grant) = (Arc::clone(self), Grant::clone(&made.grant));
        let giving = tokio::spawn(async move {
            let event = GrantEvent::Given { grant: grant.clone(), sealed: sealed.as_ref().map(Sealed::named) };
            let beside = sealed.map(|sealed| sealed.bytes).unwrap_or_default();
            if services.commit_sealed(AuditEvent::Grant(event), beside, &principal).await? {
                services.grants.insert(grant);
                return Ok(());
            }
            Err(ServiceError::Internal("two grants of one id".to_owned()))
        });
        giving.await.unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string())))?;
        Ok(made)
    }

    fn grant_of(&self, request: GiveGrant, principal: &Principal) -> Result<NewGrant, ServiceError> {
        let internal = |error: KeyError| ServiceError::Internal(error.to_string());
        let GiveGrant { prefix, to, identifiers, opened, purpose, from, until } = request;
        let blinding = &self.signing()?.blinding;
        let sids = identifiers.iter().map(|identifier| BASE64URL.encode(blinding.sid(identifier))).collect();
        let identifiers = identifiers.iter().map(|identifier| identifier.key().as_str().to_owned()).collect();
        let opened = Opened { sids, ..opened };
        let served = self.prefixes.all();
        if !served.iter().any(|policy| covers(&prefix, &policy.prefix)) {
            return Err(ServiceError::NotResponsible { identifier: prefix });
        }
        self.has_room_for_a_grant(&prefix)?;
        let id = random_text(12).map_err(internal)?;
        let mut token = None;
        let holder = match to {
            Recipient::Key(key) => match self.api_key(&key)? {
                Some(_) => Holder::Key(key),
                None => return Err(wrong("/to/key", "没有这把密钥", "there is no such key")),
            },
            Recipient::Prefix(prefix) => Holder::Prefix(prefix),
            Recipient::Link => {
                let text = token_text(GRANT_MARK, &id).map_err(internal)?;
                let (_, hash) = taken_apart(GRANT_MARK, &text)
                    .ok_or_else(|| ServiceError::Internal("a new link does not read back".to_owned()))?;
                token = Some(text);
                Holder::Link { hash: BASE64URL.encode(hash) }
            }
        };
        let now = Timestamp::now().as_seconds();
        let grant = Grant {
            id,
            prefix,
            holder,
            opened,
            purpose,
            maker: principal.id.clone(),
            created: now,
            from: from.map_or(now, Timestamp::as_seconds),
            until: until.map(Timestamp::as_seconds),
        };
        Ok(NewGrant { grant: Arc::new(grant), identifiers, token })
    }

    fn has_room_for_a_grant(&self, prefix: &str) -> Result<(), ServiceError> {
        let bound = || match self.grants.counts(prefix) {
            (_, own) if own >= GRANTS_OF_A_PREFIX => Some(GRANTS_OF_A_PREFIX),
            (all, _) if all >= MOST_GRANTS => Some(MOST_GRANTS),
            _ => None,
        };
        if bound().is_some() {
            self.grants.sweep(Timestamp::now());
        }
        bound().map_or(Ok(()), |limit| Err(ServiceError::TooManyGrants { limit }))
    }

    /// Takes a grant back.
    pub async fn revoke_grant(self: &Arc<Self>, asked: Permitted<RevokeGrant>) -> Result<(), ServiceError> {
        let (principal, RevokeGrant { id }) = asked.into_parts();
        let row = self.known_grant(&id, &principal)?;
        if !is_givers(&row.grant, &principal) {
            return Err(unknown(&id));
        }
        let (services, by) = (Arc::clone(self), principal.id);
        let revoking = tokio::spawn(async move {
            match services.audit(AuditEvent::Grant(GrantEvent::Revoked { grant: id.clone() }), &by).await {
                Ok(()) | Err(ServiceError::IdempotencyRunning) => services.grants.remove(&id), // or taken back before
                Err(error) => return Err(error),
            }
            Ok(())
        });
        revoking.await.unwrap_or_else(|error| Err(ServiceError::Internal(error.to_string())))
    }

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

    fn known_grant(&self, id: &str, principal: &Principal) -> Result<GrantRow, ServiceError> {
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

    /// The principal behind a link's token.
    pub(super) fn link_holder(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let (id, hash) = taken_apart(GRANT_MARK, token)?;
        let grant = self.grants.get(id)?;
        let Holder::Link { hash: kept } = &grant.holder else { return None };
        let is_shown = are_same(&hash, &BASE64URL.decode(kept).unwrap_or_default());
        (is_shown && grant.is_in_force(now)).then(|| Principal::of_link(id, grant.until))
    }
}

/// Whether this caller could have given it.
fn is_givers(grant: &Grant, principal: &Principal) -> bool {
    matches!(principal.role, Role::Owner | Role::Administrator) && principal.scope.reaches(&grant.prefix)
}

/// What a grant's names belong to, sealed.
fn place(id: &str) -> String {
    format!("grant:{id}")
}

fn unknown(id: &str) -> ServiceError {
    ServiceError::NotFound { what: "grant", name: id.to_owned() }
}

fn wrong(pointer: &str, zh: &str, en: &str) -> ServiceError {
    let detail = Text::new(zh, en);
    ServiceError::Fields(vec![FieldError { pointer: pointer.to_owned(), code: "wrong_value", detail }])
}
