//! The log's name, and how a restored log goes on: what the operator decided becomes its first new frame.

use super::ServiceError;
use super::signing_keys::{SettleError, authorities};
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, KeyFolder, KeyUse};
use crate::sign::statement::{AuditEvent, AuditStatement, Origin, OriginStatement, propose, propose_origin};
use crate::store::engine::{RowBytes, Table};
use crate::store::journal::FrameKind;
use crate::store::restored::{Decision, Restored};
use crate::store::{Outcome, Proposal, StatementProposal, Store};

/// More names than any log will ever have had.
const ORIGINS_AT_MOST: usize = 10_000;

/// The log's name: the one that it took last, else the issuer's.
pub fn origin(store: &Store, issuer: &str) -> Result<String, ServiceError> {
    let mut newest: Option<Origin> = None;
    for (_, row) in store.scan(Table::Origin, None, ORIGINS_AT_MOST)? {
        let found: Origin = serde_json::from_slice(&row)?;
        if newest.as_ref().is_none_or(|known| known.from < found.from) {
            newest = Some(found);
        }
    }
    Ok(newest.map_or_else(|| issuer.to_owned(), |newest| newest.origin))
}

/// Carries out what was decided about a restored log; nothing while nothing is. Must come before any other commit.
///
/// A crash in here leaves the note, and perhaps the frame: then only the note is taken away.
pub async fn settle_restore(store: &Store, keys: &KeyFolder, issuer: &str) -> Result<(), SettleError> {
    let Some(restored) = store.restored() else {
        return Ok(());
    };
    let Some(decision) = &restored.decision else {
        tracing::warn!(
            sequence = restored.sequence,
            "restored from a backup: reads are served, nothing is written until `mingpai restore --data DIR` was told how the log goes on"
        );
        return Ok(());
    };
    if !is_carried_out(store, restored, decision)? {
        let statement = statement(store, keys, issuer, restored, decision)?;
        match store.commit(vec![Proposal::Statement(statement)], false).await.pop() {
            Some(Outcome::Committed(done)) => {
                tracing::info!(sequence = done.sequence, ?decision, "the restored log goes on");
            }
            Some(Outcome::Refused(refusal)) => return Err(ServiceError::Refused(refusal).into()),
            _ => return Err(taken(decision).into()),
        }
    }
    store.forget_restore().map_err(|error| ServiceError::Internal(format!("the note of a restore: {error}")))?;
    Ok(())
}

/// Whether the decision is in the log. A new name has a row. The operator's word has none, but nothing else may have come
/// before it: a log that is not longer than what was restored does not have it.
fn is_carried_out(store: &Store, restored: &Restored, decision: &Decision) -> Result<bool, ServiceError> {
    match decision {
        Decision::NewOrigin { .. } => {
            let is_later = |(_, row): &(Vec<u8>, RowBytes)| {
                serde_json::from_slice::<Origin>(row).is_ok_and(|origin| origin.from >= restored.size)
            };
            Ok(store.scan(Table::Origin, None, ORIGINS_AT_MOST)?.iter().any(is_later))
        }
        Decision::LogEndedHere | Decision::ContinueFrom { .. } => Ok(store.tail().sequence > restored.sequence),
    }
}

fn statement(
    store: &Store,
    keys: &KeyFolder,
    issuer: &str,
    restored: &Restored,
    decision: &Decision,
) -> Result<StatementProposal, SettleError> {
    let kid = authorities(store)?.pop().map(|authority| authority.key.kid).unwrap_or_default();
    let signer = keys.key(KeyUse::Entry, &kid).ok_or(KeyError::Missing(kid))?;
    let now = Timestamp::now();
    let (iat, iss, root) = (now.as_seconds(), issuer.to_owned(), restored.root.clone());
    let signed = match decision {
        Decision::NewOrigin { origin: wanted } => {
            let before = origin(store, issuer)?;
            let origin = wanted.clone().unwrap_or_else(|| format!("{before}/restored-{}", compact(now)));
            // The first name has no row, and heads of it may be about: a log that takes it again forks that one.
            if origin == issuer {
                return Err(ServiceError::OriginTaken { origin }.into());
            }
            let statement = OriginStatement { iat, iss, origin, before, size: restored.size, root };
            propose_origin(signer, &statement, now)
        }
        Decision::LogEndedHere | Decision::ContinueFrom { .. } => {
            let head = match decision {
                Decision::ContinueFrom { head } => Some(head.clone()),
                _ => None,
            };
            let event = AuditEvent::LogContinued { sequence: restored.sequence, size: restored.size, root, head };
            let statement = AuditStatement { iat, iss, principal: "operator".to_owned(), event };
            propose(signer, FrameKind::Audit, &statement, now, "operator")
        }
    };
    Ok(signed.map_err(ServiceError::from)?)
}

/// The row of the name is there: an earlier part of this log has it.
fn taken(decision: &Decision) -> ServiceError {
    match decision {
        Decision::NewOrigin { origin: Some(origin) } => ServiceError::OriginTaken { origin: origin.clone() },
        _ => ServiceError::Internal("what was decided about a restored log was not taken".to_owned()),
    }
}

/// 20261125T040000Z
fn compact(time: Timestamp) -> String {
    time.to_string().chars().filter(|letter| !matches!(letter, '-' | ':')).collect()
}
