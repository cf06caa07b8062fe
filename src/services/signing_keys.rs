//! Which key signs, and since when: the log says so, the key files only follow.

use super::ServiceError;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, KeyFolder, KeyUse, PublicJwk, SigningKey};
use crate::sign::licence::KeyEnd;
use crate::sign::statement::{Authority, KeysStatement, propose};
use crate::store::engine::Table;
use crate::store::journal::FrameKind;
use crate::store::restored::Restored;
use crate::store::{Outcome, Proposal};

/// More keys than any node will ever have had.
const KEYS_AT_MOST: usize = 10_000;

/// The entry keys that the log authorised, the oldest first.
pub fn authorities(store: &crate::store::Store) -> Result<Vec<Authority>, ServiceError> {
    let mut found: Vec<Authority> = Vec::new();
    for (_, row) in store.scan(Table::Authority, None, KEYS_AT_MOST)? {
        let mut authority: Authority = serde_json::from_slice(&row)?;
        if let Some(end) = store.any_row(Table::AuthorityEnd, authority.key.kid.as_bytes())? {
            authority.not_after = Some(serde_json::from_slice::<KeyEnd>(&end)?.not_after);
        }
        found.push(authority);
    }
    found.sort_by_key(|authority| authority.from);
    Ok(found)
}

/// Takes the entry key that signs from now on, and tells the log of every key that it does not know yet.
///
/// The first key's statement is the genesis of the log. A later one is signed by the key in force before it.
pub async fn settle_keys(
    store: &crate::store::Store,
    keys: &mut KeyFolder,
    issuer: &str,
) -> Result<SigningKey, SettleError> {
    let mut known: Vec<String> = authorities(store)?.into_iter().map(|authority| authority.key.kid).collect();
    let fresh: Vec<PublicJwk> =
        keys.all(KeyUse::Entry).into_iter().map(SigningKey::public).filter(|key| !known.contains(&key.kid)).collect();
    // A log that waits for a decision hears of no new key: the key in force is enough to serve reads.
    let is_undecided = store.restored().is_some_and(Restored::is_undecided);
    for key in fresh.into_iter().filter(|_| !is_undecided) {
        let signer_kid = known.last().unwrap_or(&key.kid).clone();
        let signer = keys.key(KeyUse::Entry, &signer_kid).ok_or_else(|| KeyError::Missing(signer_kid.clone()))?;
        let now = Timestamp::now();
        let kid = key.kid.clone();
        let statement = KeysStatement { iat: now.as_seconds(), iss: issuer.to_owned(), key };
        let proposal = propose(signer, FrameKind::Statement, &statement, now, "node").map_err(ServiceError::from)?;
        match store.commit(vec![Proposal::Statement(proposal)], false).await.pop() {
            Some(Outcome::Committed(_)) => known.push(kid),
            Some(Outcome::Refused(refusal)) => return Err(ServiceError::Refused(refusal).into()),
            _ => {
                return Err(ServiceError::Internal("a key statement was not taken".to_owned()).into());
            }
        }
    }
    let active = known.pop().unwrap_or_default();
    Ok(keys.take(KeyUse::Entry, &active)?)
}

/// Why no key can sign.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("{}", .0.text())]
    Service(ServiceError),
}

impl SettleError {
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Key(error) => error.text(),
            Self::Service(error) => error.text(),
        }
    }
}

impl From<ServiceError> for SettleError {
    fn from(error: ServiceError) -> SettleError {
        SettleError::Service(error)
    }
}
