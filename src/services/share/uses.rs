//! What was shown by grants, noted before it is shown.
//!
//! The first look of somebody at a version by a grant stands in the audit tree before its answer leaves. Further looks of the
//! same hour are counted, and their sums written once a minute and at a stop: who asks a thousand times a second does not fill
//! the journal, and the owner still sees how often. A node that is killed has forgotten the sums of its last minute, and no look.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use crate::model::time::Timestamp;
use crate::services::token::random_text;
use crate::services::{ServiceError, Services};
use crate::sign::sharing::{GrantEvent, GrantUse};
use crate::sign::statement::AuditEvent;
use crate::store::{Outcome, Proposal};

/// Looks that are remembered; those beyond are noted one by one.
const MOST_REMEMBERED: usize = 100_000;
/// How long a look is remembered.
const HOUR_SECONDS: i64 = 3_600;
/// Of one statement.
const MOST_IN_A_STATEMENT: usize = 500;

/// A look: by which grant, of whom, at which version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    pub grant: String,
    pub principal: String,
    pub leaf: u64,
}

/// Looks of this hour.
#[derive(Default)]
pub struct Uses(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    hour: i64,
    /// When the first look was that the sums count.
    since: Option<i64>,
    /// How often since the last writing.
    looks: HashMap<Look, u64>,
}

impl Uses {
    /// Counts those that are noted already, and gives the others.
    fn count(&self, looks: Vec<Look>, now: Timestamp) -> Vec<Look> {
        let mut noted = self.0.lock();
        let hour = now.as_seconds().div_euclid(HOUR_SECONDS);
        if noted.hour != hour && noted.looks.values().all(|count| *count == 0) {
            // What is still to be summed up belongs to the hour before: it is written first.
            noted.looks.clear();
            noted.hour = hour;
        }
        let is_of_this_hour = noted.hour == hour;
        let Noted { since, looks: known, .. } = &mut *noted;
        looks
            .into_iter()
            .filter(|look| match known.get_mut(look).filter(|_| is_of_this_hour) {
                Some(count) => {
                    since.get_or_insert(now.as_seconds());
                    *count = count.saturating_add(1);
                    false
                }
                None => true,
            })
            .collect()
    }

    fn remember(&self, looks: Vec<Look>, now: Timestamp) {
        let mut noted = self.0.lock();
        if noted.hour != now.as_seconds().div_euclid(HOUR_SECONDS) {
            return;
        }
        for look in looks {
            if noted.looks.len() < MOST_REMEMBERED {
                noted.looks.entry(look).or_default();
            }
        }
    }

    /// The sums since the last time; the looks stay remembered.
    fn take(&self) -> Option<(i64, Vec<GrantUse>)> {
        let mut noted = self.0.lock();
        let since = noted.since.take()?;
        let counted = noted.looks.iter_mut().filter(|(_, count)| **count > 0);
        let uses: Vec<GrantUse> = counted.map(|(look, count)| used(look, std::mem::take(count))).collect();
        (!uses.is_empty()).then_some((since, uses))
    }

    fn put_back(&self, since: i64, uses: &[GrantUse]) {
        let mut noted = self.0.lock();
        noted.since = Some(noted.since.map_or(since, |other| other.min(since)));
        for GrantUse { grant, principal, leaf, count } in uses {
            let look = Look { grant: grant.clone(), principal: principal.clone(), leaf: *leaf };
            let sum = noted.looks.entry(look).or_default();
            *sum = sum.saturating_add(*count);
        }
    }
}

fn used(look: &Look, count: u64) -> GrantUse {
    let Look { grant, principal, leaf } = look;
    GrantUse { grant: grant.clone(), principal: principal.clone(), leaf: *leaf, count }
}

fn used_event(since: i64, until: Timestamp, uses: Vec<GrantUse>) -> Result<AuditEvent, ServiceError> {
    // Those of one second stand in their order.
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_micros());
    let random = random_text(12).map_err(|error| ServiceError::Internal(error.to_string()))?;
    let event_id = format!("{micros:06}{random}");
    Ok(AuditEvent::Grant(GrantEvent::Used { since, until: until.as_seconds(), event_id, uses }))
}

impl Services {
    /// Notes looks durably, those that are the first of their hour; the answer may leave once this is done.
    pub(in crate::services) async fn note_looks(&self, looks: Vec<Look>, now: Timestamp) -> Result<(), ServiceError> {
        let new = self.uses.count(looks, now);
        let Some(principal) = new.first().map(|look| look.principal.clone()) else { return Ok(()) };
        for part in new.chunks(MOST_IN_A_STATEMENT) {
            let uses = part.iter().map(|look| used(look, 1)).collect();
            let event = used_event(now.as_seconds(), now, uses)?;
            self.audit(event, &principal).await?;
        }
        self.uses.remember(new, now);
        Ok(())
    }

    /// Writes how often was looked since the last time. From a thread that may block.
    pub fn write_grant_uses(&self) {
        let now = Timestamp::now();
        let Some((since, uses)) = self.uses.take() else { return };
        for part in uses.chunks(MOST_IN_A_STATEMENT) {
            let event = used_event(since, now, part.to_vec());
            let proposal = event.and_then(|event| self.audit_event(event, "node"));
            let written =
                proposal.map(|proposal| self.store.commit_blocking(vec![Proposal::Statement(proposal)], false));
            if !written.is_ok_and(|outcomes| matches!(outcomes.first(), Some(Outcome::Committed(_)))) {
                self.uses.put_back(since, part);
                tracing::warn!("how often grants were used could not be written to the audit log; it is tried again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn look(leaf: u64) -> Look {
        Look { grant: "g".to_owned(), principal: "key:a".to_owned(), leaf }
    }

    #[test]
    fn the_first_look_of_an_hour_is_new_and_the_others_are_summed_up() {
        let uses = Uses::default();
        assert_eq!(uses.count(vec![look(1), look(2)], at(7_200)).len(), 2);
        uses.remember(vec![look(1), look(2)], at(7_200));
        assert_eq!(uses.count(vec![look(1), look(3)], at(7_201)), [look(3)]);
        assert_eq!(uses.count(vec![look(1)], at(10_799)), []);
        let (_, sums) = uses.take().unwrap();
        assert_eq!(sums.iter().map(|one| (one.leaf, one.count)).collect::<Vec<_>>(), [(1, 2)]);
        assert!(uses.take().is_none());
        // Sums that could not be written are not forgotten, whatever the hour.
        uses.put_back(7_200, &sums);
        assert_eq!(uses.count(vec![look(1)], at(10_800)), [look(1)], "of another hour");
        assert_eq!(uses.take().unwrap().1[0].count, 2);
        assert_eq!(uses.count(vec![look(1)], at(10_802)), [look(1)], "not remembered in the new hour yet");
        uses.remember(vec![look(1)], at(10_802));
        assert_eq!(uses.count(vec![look(1)], at(10_803)), []);
    }

    #[test]
    fn looks_beyond_the_bound_are_new_each_time() {
        let uses = Uses::default();
        uses.count(Vec::new(), at(7_200));
        uses.remember((0..=MOST_REMEMBERED as u64).map(look).collect(), at(7_200));
        assert_eq!(uses.count(vec![look(0)], at(7_201)), []);
        assert_eq!(uses.count(vec![look(MOST_REMEMBERED as u64)], at(7_201)).len(), 1);
    }
}
