//! What was refused to whom, summed up for the audit log: a line of it for each minute in which anything was.
//!
//! One statement a refusal would let anybody fill the journal, and make a refusal dearer than what was refused. So refusals are
//! counted by caller and kind, callers beyond a bound together, and the sums written once a minute and at a stop. A node that is
//! killed has forgotten those of its last minute. Rows of a job are not counted: its error file tells them.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::api_keys::MOST_ID_BYTES;
use super::file::FilingError;
use super::token::{KEY_MARK, taken_apart};
use super::{ServiceError, Services};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::sign::statement::{AuditEvent, Denial};
use crate::store::{Outcome, Proposal};

/// Callers and kinds that are told apart between two writings.
const MOST_COUNTED: usize = 512;
/// The codes of refusals that are counted.
const CODES: [&str; 5] =
    ["missing_credentials", "bad_credentials", "forbidden", "filing_same_person", "filing_not_claimed"];
/// Who stands for all others.
const OTHERS: &str = "others";

/// Refusals since the last writing.
#[derive(Default)]
pub struct Denials(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// When the first of them was, in epoch seconds.
    since: Option<i64>,
    counts: HashMap<(String, &'static str), u64>,
}

impl Denials {
    fn note(&self, principal: &str, code: &'static str, now: Timestamp) {
        let mut counted = self.0.lock();
        counted.since.get_or_insert(now.as_seconds());
        counted.add(principal, code, 1);
    }

    /// All of them, the most frequent first; none are left.
    fn take(&self, now: Timestamp) -> Option<AuditEvent> {
        let Counted { since, counts } = std::mem::take(&mut *self.0.lock());
        let mut denials: Vec<Denial> = counts
            .into_iter()
            .map(|((principal, code), count)| Denial { principal, code: code.to_owned(), count })
            .collect();
        denials.sort_by(|one, other| {
            other.count.cmp(&one.count).then_with(|| (&one.principal, &one.code).cmp(&(&other.principal, &other.code)))
        });
        since.map(|since| AuditEvent::AccessDenied { since, until: now.as_seconds().max(since), denials })
    }

    /// Takes back what could not be written.
    fn put_back(&self, event: AuditEvent) {
        let AuditEvent::AccessDenied { since, denials, .. } = event else { return };
        let mut counted = self.0.lock();
        counted.since = Some(counted.since.map_or(since, |other| other.min(since)));
        for denial in denials {
            if let Some(code) = CODES.into_iter().find(|code| *code == denial.code) {
                counted.add(&denial.principal, code, denial.count);
            }
        }
    }
}

impl Counted {
    fn add(&mut self, principal: &str, code: &'static str, count: u64) {
        let is_full = self.counts.len() >= MOST_COUNTED;
        let key = (principal.to_owned(), code);
        let known = !is_full || self.counts.contains_key(&key);
        let counted = self.counts.entry(if known { key } else { (OTHERS.to_owned(), code) }).or_default();
        *counted = counted.saturating_add(count);
    }
}

impl Services {
    /// Notes that a credential opened nothing: under the key that it names, if there is one.
    pub fn note_bad_credential(&self, token: Option<&str>, now: Timestamp) {
        let named = token.and_then(|token| taken_apart(KEY_MARK, token)).map(|(id, _)| id.to_owned());
        let named = named.or_else(|| token.and_then(|token| self.key_of_session(token)));
        self.note_denial(&self.principal_named(named.as_deref()), "bad_credentials", now);
    }

    /// Notes that a role may not do what was asked, or that nobody showed any.
    pub fn note_forbidden(&self, principal: &Principal, now: Timestamp) {
        let code = if principal.role == Role::Anonymous { "missing_credentials" } else { "forbidden" };
        self.note_denial(&principal.id, code, now);
    }

    /// The error, noted where it is a refusal of what is out of the caller's reach.
    pub(super) fn denied(&self, principal: &Principal, error: ServiceError) -> ServiceError {
        if let ServiceError::OutOfReach { .. }
        | ServiceError::MoreThanHeld(_)
        | ServiceError::Filing(FilingError::SamePerson | FilingError::NotClaimed { .. }) = error
        {
            self.note_denial(&principal.id, error.code(), Timestamp::now());
        }
        error
    }

    /// As audit knows a key that somebody names: a text that names none must not come into the log.
    pub(super) fn principal_named(&self, id: Option<&str>) -> String {
        let key = id.filter(|id| id.len() <= MOST_ID_BYTES && self.api_key(id).is_ok_and(|key| key.is_some()));
        key.map_or_else(|| Principal::anonymous().id, |id| format!("key:{id}"))
    }

    pub(super) fn note_denial(&self, principal: &str, code: &'static str, now: Timestamp) {
        // A mirror has no audit log of its own.
        if self.writes().is_ok() {
            self.denials.note(principal, code, now);
        }
    }

    /// Writes what was refused since the last time, if anything was. From a thread that may block; where the journal takes
    /// nothing, that is told in the node's own log, and the sums wait for the next time.
    pub fn write_denials(&self) {
        let Some(event) = self.denials.take(Timestamp::now()) else { return };
        let proposal = self.audit_event(event.clone(), "node");
        let written = proposal.map(|proposal| self.store.commit_blocking(vec![Proposal::Statement(proposal)], false));
        let is_written = written.is_ok_and(|outcomes| matches!(outcomes.first(), Some(Outcome::Committed(_))));
        if !is_written {
            self.denials.put_back(event);
            tracing::warn!("the sums of refused requests could not be written to the audit log; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    #[test]
    fn refusals_are_summed_up_and_taken_once() {
        let denials = Denials::default();
        assert!(denials.take(at(1)).is_none());
        for (principal, code, time) in [
            ("key:a", "forbidden", 10),
            ("key:b", "forbidden", 11),
            ("key:b", "forbidden", 12),
            ("key:b", "bad_credentials", 13),
        ] {
            denials.note(principal, code, at(time));
        }
        let Some(AuditEvent::AccessDenied { since, until, denials: taken }) = denials.take(at(70)) else { panic!() };
        assert_eq!((since, until), (10, 70));
        let told: Vec<_> = taken.iter().map(|one| (one.principal.as_str(), one.code.as_str(), one.count)).collect();
        assert_eq!(told, [("key:b", "forbidden", 2), ("key:a", "forbidden", 1), ("key:b", "bad_credentials", 1)]);
        assert!(denials.take(at(71)).is_none());
        // What could not be written comes with the next.
        denials.note("key:a", "forbidden", at(80));
        denials.put_back(AuditEvent::AccessDenied { since, until, denials: taken });
        let Some(AuditEvent::AccessDenied { since, denials: taken, .. }) = denials.take(at(90)) else { panic!() };
        assert_eq!((since, taken.iter().map(|one| one.count).collect::<Vec<_>>()), (10, vec![2, 2, 1]));
    }

    #[test]
    fn callers_beyond_the_bound_are_counted_together() {
        let denials = Denials::default();
        for count in 0..MOST_COUNTED * 2 {
            denials.note(&format!("key:{count}"), "forbidden", at(1));
        }
        denials.note("key:0", "forbidden", at(1));
        let Some(AuditEvent::AccessDenied { denials: taken, .. }) = denials.take(at(2)) else { panic!() };
        assert_eq!(taken.len(), MOST_COUNTED + 1);
        assert_eq!((taken[0].principal.as_str(), taken[0].count), (OTHERS, MOST_COUNTED as u64));
        assert_eq!((taken[1].principal.as_str(), taken[1].count), ("key:0", 2));
    }
}
