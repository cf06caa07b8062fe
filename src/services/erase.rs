//! Erase: what a record ever said is blanked, by somebody's right, a law or a policy. The statements and both trees stay whole, the
//! name is never given out again, and nothing here shows it any more.
//!
//! The order stands in the audit tree with its ground and the blinded name, in one group with the erasures: both or neither.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use super::history::before;
use super::{ServiceError, Services};
use crate::model::erasure::Ground;
use crate::model::identifier::Identifier;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::time::Timestamp;
use crate::sign::statement::{AuditEvent, ErasureStatement, propose};
use crate::store::journal::FrameKind;
use crate::store::rows::leaf_hash;
use crate::store::{Committed, Outcome, Proposal, StatementProposal};

/// Each is read and signed for before any is blanked.
const MOST_VERSIONS: u64 = 10_000;

/// An identifier is to be erased, with all its versions.
#[derive(Clone, Debug)]
pub struct Erase {
    /// The identifier itself, and no alias.
    pub identifier: String,
    /// The version that stands.
    pub version: u64,
    pub ground: Ground,
}

impl Asks for Erase {
    const ACTION: Action = Action::Administer;
}

/// What was erased.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    pub versions: u64,
    pub time: Timestamp,
    /// Of the last erasure's statement, in the registry tree.
    pub index: u64,
}

impl Services {
    /// Erases an identifier. Who asks may go away: what is begun is done.
    pub async fn erase(self: &Arc<Self>, asked: Permitted<Erase>) -> Result<Erased, ServiceError> {
        let (principal, request) = asked.into_parts();
        let services = Arc::clone(self);
        let erasing = tokio::spawn(async move {
            let (drawing, by) = (Arc::clone(&services), principal.id.clone());
            // As many reads of the journal as there are versions: not on a thread that others' answers wait for.
            let drawn = tokio::task::spawn_blocking(move || drawing.order(&request, &by)).await;
            let (identifier, proposals, time) = drawn.unwrap_or_else(|error| Err(internal(&error)))?;
            let versions = proposals.iter().map(erased_by).sum();
            let outcomes = services.store.commit(proposals, true).await;
            judged(&identifier, outcomes).map(|done| Erased { versions, time, index: done.index })
        });
        erasing.await.unwrap_or_else(|error| Err(internal(&error)))
    }

    /// The order and its erasures, signed: the newest version first.
    fn order(&self, request: &Erase, by: &str) -> Result<(Identifier, Vec<Proposal>, Timestamp), ServiceError> {
        let identifier = self.identifier(&request.identifier)?;
        let unknown = || ServiceError::Unknown { identifier: request.identifier.clone() };
        let standing = self.standing(identifier.key())?.ok_or_else(unknown)?;
        if standing.row.version != request.version {
            return Err(ServiceError::VersionMismatch { current: Some(standing.row.version) });
        }
        let (signing, time) = (self.signing()?, Timestamp::now());
        let sid = BASE64URL.encode(signing.blinding.sid(&standing.record.identifier));
        let mut statements: Vec<StatementProposal> = Vec::new();
        let mut next = Some(standing.row.location);
        if standing.row.version > MOST_VERSIONS {
            let (versions, most) = (standing.row.version, MOST_VERSIONS);
            return Err(ServiceError::EntryTooLarge(format!("{versions} versions, at most {most} are erased at once")));
        }
        while let Some(location) = next {
            let unread = |error| ServiceError::of_reading(identifier.spelling(), error);
            let frame = self.store.frame(location).map_err(|error| unread(error.into()))?;
            let statement = ErasureStatement {
                iat: time.as_seconds(),
                iss: signing.issuer.clone(),
                sid: sid.clone(),
                leaf: BASE64URL.encode(leaf_hash(&frame.statement)),
                last: statements.is_empty(),
            };
            statements.push(propose(&signing.key, FrameKind::Erasure, &statement, time, by)?);
            next = before(&frame).map(|(location, _)| location);
        }
        let event = AuditEvent::ErasureOrdered { sid, ground: request.ground, versions: statements.len() as u64 };
        let order = Proposal::Statement(self.audit_event(event, by)?);
        let key = standing.record.identifier.key().clone();
        Ok((identifier, vec![order, Proposal::Erase { key, statements }], time))
    }
}

fn erased_by(proposal: &Proposal) -> u64 {
    match proposal {
        Proposal::Erase { statements, .. } => statements.len() as u64,
        _ => 0,
    }
}

fn internal(error: &tokio::task::JoinError) -> ServiceError {
    ServiceError::Internal(error.to_string())
}

/// What became of the erasure, or of the order that it goes with.
fn judged(identifier: &Identifier, outcomes: Vec<Outcome>) -> Result<Committed, ServiceError> {
    let spelling = || identifier.spelling().to_owned();
    match outcomes.into_iter().next_back() {
        Some(Outcome::Committed(done)) => Ok(done),
        Some(Outcome::Moved(Some(row))) => Err(ServiceError::VersionMismatch { current: Some(row.version) }),
        Some(Outcome::Moved(None)) => Err(ServiceError::Unknown { identifier: spelling() }),
        Some(Outcome::Damaged(cause)) => Err(ServiceError::RecordDamaged { identifier: spelling(), cause }),
        Some(Outcome::Refused(refusal)) => Err(ServiceError::Refused(refusal)),
        _ => Err(ServiceError::Conflict { identifier: spelling() }),
    }
}
