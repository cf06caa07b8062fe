//! What those who wait for a group are told.

use super::group::{Planned, Waiting};
use super::proposal::{Committed, Outcome, Refusal};

/// What became of each proposal of a group that is durable and visible.
pub(super) fn answer(waiting: Vec<Waiting>, committed: &[Committed]) {
    for one in waiting {
        let outcomes = one.planned.into_iter().map(|fate| match fate {
            Planned::Not(outcome) => outcome,
            Planned::Frame(at) => committed.get(at).map_or(Outcome::Withdrawn, |done| Outcome::Committed(*done)),
        });
        // Who no longer waits learns the outcome by the idempotency key.
        let _ = one.answer.send(outcomes.collect());
    }
}

/// The group was refused as a whole; what was refused before keeps its own reason.
pub(super) fn refuse(waiting: Vec<Waiting>, refusal: &Refusal) {
    for one in waiting {
        let outcomes = one.planned.into_iter().map(|fate| match fate {
            Planned::Not(outcome) => outcome,
            Planned::Frame(_) => Outcome::Refused(refusal.clone()),
        });
        let _ = one.answer.send(outcomes.collect());
    }
}
