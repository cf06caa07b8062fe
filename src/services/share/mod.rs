//! Share: an enterprise lets others read values that are not public; and every reading goes by what its caller may see.
//!
//! - `held`: which grants there are, by who holds them. `read`: how they are shown. `sight`: what of a record a caller may see. `uses`: what was shown by them.
//! - `viewed`: plain answers, kept for all who see the same.
//!
//! A grant is given and taken back durably, and then at once for every reading that begins. Who is given a link has its token once;
//! the node keeps a hash.

mod held;
mod read;
mod sight;
mod uses;
mod viewed;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

pub use held::Grants;
pub use read::{GrantPage, GrantView, ListGrants, ListUses, ReadGrant, SeenByGrant, UsePage};
pub use sight::{Sight, Unnoted, View};
pub use uses::{Look, Uses};

use super::file::Sealed;
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
use crate::sign::sharing::{GrantEvent, GrantRow, revocation_key};
use crate::sign::statement::AuditEvent;
use crate::store::engine::Table;

/// Of one prefix that were not taken back.
pub const GRANTS_OF_A_PREFIX: usize = 1_000;
/// Of one prefix to one key or organisation: what each reading of theirs goes through.
pub const GRANTS_TO_ONE: usize = 50;
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

impl Asks for GiveGrant {
    const ACTION: Action = Action::Share;
}

impl Asks for RevokeGrant {
    const ACTION: Action = Action::Share;
}

/// A grant just given. Not `Debug`: the only time that a link's token is seen.
pub struct NewGrant {
    pub grant: Arc<Grant>,
    pub identifiers: Vec<String>,
    /// Of a link.
    pub token: Option<String>,
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
            let event =
                GrantEvent::Given { grant: Box::new(grant.clone()), sealed: sealed.as_ref().map(Sealed::named) };
            let beside = sealed.map(|sealed| sealed.bytes).unwrap_or_default();
            let (id, revocation) = (grant.id.clone(), revocation_key(&grant.id));
            if services.commit_sealed(AuditEvent::Grant(event), beside, &principal).await? {
                services.grants.insert(grant);
                // Who read of it in the log may have taken it back already.
                if services.store.any_row(Table::Revoked, revocation.as_bytes())?.is_some() {
                    services.grants.remove(&id);
                }
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
        let identifiers = identifiers.iter().map(|identifier| identifier.spelling().to_owned()).collect();
        let opened = Opened { sids, ..opened };
        let served = self.prefixes.all();
        if !served.iter().any(|policy| covers(&prefix, &policy.prefix)) {
            return Err(ServiceError::NotResponsible { identifier: prefix });
        }
        let id = random_text(12).map_err(internal)?;
        let mut token = None;
        let holder = match to {
            Recipient::Key(key) => match self.api_key(&key)? {
                Some(_) => Holder::Key(key),
                None => return Err(wrong("/to/key", "没有这把密钥", "there is no such key")),
            },
            Recipient::Prefix(prefix) if served.iter().any(|policy| covers(&prefix, &policy.prefix)) => {
                Holder::Prefix(prefix)
            }
            // Nobody has a key of it here, so the grant would open nothing.
            Recipient::Prefix(_) => {
                let (zh, en) = (
                    "本节点不负责该前缀，没有人持有它的密钥",
                    "this node does not serve it, so nobody has a key of it",
                );
                return Err(wrong("/to/prefix", zh, en));
            }
            Recipient::Link => {
                let text = token_text(GRANT_MARK, &id).map_err(internal)?;
                let (_, hash) = taken_apart(GRANT_MARK, &text)
                    .ok_or_else(|| ServiceError::Internal("a new link does not read back".to_owned()))?;
                token = Some(text);
                Holder::Link { hash: BASE64URL.encode(hash) }
            }
        };
        self.has_room_for_a_grant(&prefix, &holder)?;
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

    fn has_room_for_a_grant(&self, prefix: &str, holder: &Holder) -> Result<(), ServiceError> {
        let bound = || match self.grants.counts(prefix, holder) {
            (_, _, to_one) if to_one >= GRANTS_TO_ONE => Some(GRANTS_TO_ONE),
            (_, own, _) if own >= GRANTS_OF_A_PREFIX => Some(GRANTS_OF_A_PREFIX),
            (all, ..) if all >= MOST_GRANTS => Some(MOST_GRANTS),
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
