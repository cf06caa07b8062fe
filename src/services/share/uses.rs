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
const MOST_REMEMBERED: usize = 200_000;
/// Of one caller: nobody takes the place of all others.
const REMEMBERED_OF_ONE: usize = 10_000;
/// How long a look is remembered.
const HOUR_SECONDS: i64 = 3_600;
/// Of one statement, which is a leaf: of some 170 bytes each at most, and 65,535 in all.
const MOST_IN_A_STATEMENT: usize = 300;

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
    /// How many of them are each caller's.
    callers: HashMap<String, usize>,
    /// Sums of hours before, which are to be written.
    past: HashMap<Look, u64>,
}

impl Noted {
    /// Begins another hour, and gives what is forgotten.
    fn turn(&mut self, hour: i64) -> HashMap<Look, u64> {
        self.hour = hour;
        self.callers.clear();
        let mut looks = std::mem::take(&mut self.looks);
        for (look, count) in looks.extract_if(|_, count| *count > 0) {
            *self.past.entry(look).or_default() += count;
        }
        looks
    }
}

impl Uses {
    /// Counts those that are noted already, and gives the others.
    fn count(&self, looks: Vec<Look>, now: Timestamp) -> Vec<Look> {
        let hour = now.as_seconds().div_euclid(HOUR_SECONDS);
        let mut noted = self.0.lock();
        let forgotten = if noted.hour == hour { HashMap::new() } else { noted.turn(hour) };
        let Noted { since, looks: known, .. } = &mut *noted;
        let is_new = |look: &Look| match known.get_mut(look) {
            Some(count) => {
                since.get_or_insert(now.as_seconds());
                *count = count.saturating_add(1);
                false
            }
            None => true,
        };
        let new = looks.into_iter().filter(is_new).collect();
        drop(noted);
        // Many of them take their time, which nobody else waits for.
        drop(forgotten);
        new
    }

    fn remember(&self, looks: Vec<Look>, now: Timestamp) {
        let mut noted = self.0.lock();
        if noted.hour != now.as_seconds().div_euclid(HOUR_SECONDS) {
            return;
        }
        let Noted { looks: known, callers, .. } = &mut *noted;
        for look in looks {
            let of_one = callers.entry(look.principal.clone()).or_default();
            if known.len() < MOST_REMEMBERED && *of_one < REMEMBERED_OF_ONE && !known.contains_key(&look) {
                *of_one += 1;
                known.insert(look, 0);
            }
        }
    }

    /// The sums since the last time; the looks stay remembered.
    fn take(&self) -> Option<(i64, Vec<GrantUse>)> {
        let mut noted = self.0.lock();
        let since = noted.since.take()?;
        let past = std::mem::take(&mut noted.past);
        let counted = noted.looks.iter_mut().filter(|(_, count)| **count > 0);
        let mut uses: Vec<GrantUse> = counted.map(|(look, count)| used(look, std::mem::take(count))).collect();
        uses.extend(past.iter().map(|(look, count)| used(look, *count)));
        (!uses.is_empty()).then_some((since, uses))
    }

    fn put_back(&self, since: i64, uses: &[GrantUse]) {
        let mut noted = self.0.lock();
        noted.since = Some(noted.since.map_or(since, |other| other.min(since)));
        for GrantUse { grant, principal, leaf, count } in uses {
            let look = Look { grant: grant.clone(), principal: principal.clone(), leaf: *leaf };
            let sum = noted.past.entry(look).or_default();
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
    // A clock may have been set back meanwhile.
    let until = until.as_seconds().max(since);
    Ok(AuditEvent::Grant(GrantEvent::Used { since, until, event_id, uses }))
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
        uses.remember(vec![look(1)], at(10_800));
        assert_eq!(uses.count(vec![look(1)], at(10_801)), [], "remembered at once, whatever is still to be written");
        let sums = uses.take().unwrap().1;
        assert_eq!(sums.iter().map(|one| (one.leaf, one.count)).collect::<Vec<_>>(), [(1, 1), (1, 2)]);
        assert!(uses.take().is_none());
    }

    #[test]
    fn looks_beyond_the_bound_are_new_each_time() {
        let uses = Uses::default();
        uses.count(Vec::new(), at(7_200));
        uses.remember((0..=REMEMBERED_OF_ONE as u64).map(look).collect(), at(7_200));
        assert_eq!(uses.count(vec![look(0)], at(7_201)), []);
        assert_eq!(uses.count(vec![look(REMEMBERED_OF_ONE as u64)], at(7_201)).len(), 1);
        // Others are remembered all the same.
        let others = Look { principal: "key:b".to_owned(), ..look(0) };
        uses.remember(vec![others.clone()], at(7_201));
        assert_eq!(uses.count(vec![others], at(7_202)), []);
    }
}
