//! The log's name, and how a restored log goes on: what the operator decided becomes its first new frame.

use super::ServiceError;
use super::signing_keys::{SettleError, authorities};
use crate::model::time::Timestamp;
use crate::sign::keys::{KeyError, KeyFolder, KeyUse};
use crate::sign::statement::{AuditEvent, AuditStatement, Origin, OriginStatement, propose, propose_origin};
use crate::store::engine::Table;
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
/// A crash in here leaves the note, and perhaps the frame: then the log is longer than what was restored, and only the note
/// is taken away.
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
    if store.tail().sequence == restored.sequence {
        let statement = statement(store, keys, issuer, restored, decision)?;
        match store.commit(vec![Proposal::Statement(statement)], false).await.pop() {
            Some(Outcome::Committed(done)) => {
                tracing::info!(sequence = done.sequence, ?decision, "the restored log goes on");
            }
            Some(Outcome::Refused(refusal)) => return Err(ServiceError::Refused(refusal).into()),
            _ => return Err(ServiceError::Internal("the log had this name before".to_owned()).into()),
        }
    }
    store.forget_restore().map_err(|error| ServiceError::Internal(format!("the note of a restore: {error}")))?;
    Ok(())
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

/// 20261125T040000Z
fn compact(time: Timestamp) -> String {
    time.to_string().chars().filter(|letter| !matches!(letter, '-' | ':')).collect()
}
