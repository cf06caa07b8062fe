//! What is decided about a prefix after it was given: suspended, restored, renewed, revoked.
//!
//! Each is a step in the audit tree, committed under the next number of the prefix. Whoever registers looks at where the prefix
//! stands, and what moved meanwhile is decided anew at the commit; whoever resolves does so after a look at the rows, and the cache
//! forgets all answers before the step is acknowledged. So nothing is registered or answered otherwise once the reviewer was told.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::error::PrefixClosed;
use super::prefixes::PrefixView;
use super::{Details, FilingError, Reason, at_step, number_after};
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::{PrefixStatus, PrefixStep, PrefixTaken, Standing, and_above, is_canonical};
use crate::model::principal::Principal;
use crate::model::time::Timestamp;
use crate::services::precondition::Precondition;
use crate::services::{ServiceError, Services};
use crate::sign::filing::Allocation;
use crate::sign::standing::{PrefixEvent, PrefixNote, prefix_of_step, step_key};
use crate::sign::statement::AuditEvent;
use crate::store::engine::Table;

/// Of one prefix; its revocation may always follow.
pub const MOST_PREFIX_STEPS: usize = 500;
/// Rows that are read at once.
const ROWS: usize = 1_000;

/// Something is decided about a prefix.
#[derive(Clone, Debug)]
pub struct DecidePrefix {
    pub prefix: String,
    pub precondition: Precondition,
    pub decision: PrefixDecision,
}

#[derive(Clone, Debug)]
pub enum PrefixDecision {
    /// With reasons, at least one; names are answered meanwhile, or not.
    Suspend {
        resolves: bool,
        reasons: Vec<Reason>,
    },
    Restore {
        note: Option<String>,
    },
    /// Of one that was allocated.
    Renew {
        until: Timestamp,
        note: Option<String>,
    },
    /// With reasons, at least one.
    Revoke {
        reasons: Vec<Reason>,
    },
}

impl Asks for DecidePrefix {
    const ACTION: Action = Action::Review;
}

/// Where prefixes stand of which that is not plain.
pub struct Standings {
    /// With what [`crate::store::Store::licences_seen`] said before they were read.
    read: RwLock<Option<(u64, ByPrefix)>>,
    /// What it said when none was suspended or revoked: as long as it says the same no reading looks further.
    quiet_at: AtomicU64,
}

impl Default for Standings {
    fn default() -> Standings {
        Standings { read: RwLock::default(), quiet_at: AtomicU64::new(NEVER) }
    }
}

/// No counter comes so far.
const NEVER: u64 = u64::MAX;

type ByPrefix = Arc<HashMap<String, Standing>>;

impl Services {
    /// Takes a step about a prefix. What follows from it follows from its row, whether or not its reviewer waits for the answer.
    pub async fn decide_prefix(&self, asked: Permitted<DecidePrefix>) -> Result<PrefixView, ServiceError> {
        let (principal, request) = asked.into_parts();
        let DecidePrefix { prefix, precondition, decision } = request;
        let prefix = self.served_prefix(&prefix)?;
        let steps = self.prefix_steps(&prefix)?;
        at_step(steps.len() as u64, &precondition, false)?;
        let (step, note, details) = self.prefix_step(&prefix, &steps, decision)?;
        let seq = note.seq;
        let place = place(&prefix, seq);
        let sealed = details.map(|details| self.sealed(&place, &serde_json::to_vec(&details)?)).transpose()?;
        let note = PrefixNote { sealed: sealed.as_ref().map(super::Sealed::named), ..note };
        let event = AuditEvent::Prefix(PrefixEvent::of(step, note));
        let bytes = sealed.map(|sealed| sealed.bytes).unwrap_or_default();
        if self.commit_sealed(event, bytes, &principal).await? {
            return self.prefix_viewed(&prefix, &principal);
        }
        Err(ServiceError::VersionMismatch { current: Some(self.prefix_steps(&prefix)?.len() as u64) })
    }

    /// The step that a decision makes, if it can be taken now.
    fn prefix_step(
        &self,
        prefix: &str,
        steps: &[PrefixTaken],
        decision: PrefixDecision,
    ) -> Result<(PrefixStep, PrefixNote, Option<Details>), ServiceError> {
        let now = Timestamp::now();
        let noted = |note: Option<String>| note.map(|text| vec![Reason { pointer: String::new(), text }]);
        let (step, resolves, until, reasons) = match decision {
            PrefixDecision::Suspend { resolves, reasons } => {
                (PrefixStep::Suspended, Some(resolves), None, Some(reasons))
            }
            PrefixDecision::Restore { note } => (PrefixStep::Restored, None, None, noted(note)),
            PrefixDecision::Renew { until, note } => (PrefixStep::Renewed, None, Some(until), noted(note)),
            PrefixDecision::Revoke { reasons } => (PrefixStep::Revoked, None, None, Some(reasons)),
        };
        let seq = number_after(steps.len());
        let allocation = self.allocation_of(prefix)?;
        let standing = folded(allocation.as_ref().and_then(|allocation| allocation.until), steps)
            .ok_or_else(|| ServiceError::Internal(format!("the steps about the prefix {prefix}")))?;
        let until = until.map(Timestamp::as_seconds);
        let taken =
            PrefixTaken { step, seq, by: String::new(), at: now.as_seconds(), index: 0, resolves, until, sealed: None };
        let is_fit = step != PrefixStep::Renewed || (allocation.is_some() && !self.prefixes.is_configured(prefix));
        let status = standing.status(now);
        if !is_fit || standing.after(&taken).is_none() {
            return Err(FilingError::PrefixStep { prefix: prefix.to_owned(), status, step }.into());
        }
        if steps.len() >= MOST_PREFIX_STEPS && step != PrefixStep::Revoked {
            return Err(FilingError::TooManySteps { steps: steps.len() }.into());
        }
        let note = PrefixNote { prefix: prefix.to_owned(), seq, resolves, until, sealed: None };
        Ok((step, note, reasons.map(Details::Reasons)))
    }

    /// The prefix as it is compared, if this node answers for it.
    pub(super) fn served_prefix(&self, text: &str) -> Result<String, ServiceError> {
        let prefix = text.trim().to_ascii_lowercase();
        if is_canonical(&prefix) && self.prefixes.policy(&prefix).is_some() { Ok(prefix) } else { Err(unserved(text)) }
    }

    pub(super) fn prefix_steps(&self, prefix: &str) -> Result<Vec<PrefixTaken>, ServiceError> {
        let rows = self.store.scan(Table::Standing, Some(&step_key(prefix, 0)), MOST_PREFIX_STEPS + 2)?;
        let own = rows.iter().take_while(|(key, _)| prefix_of_step(key) == Some(prefix));
        Ok(own.map(|(_, row)| serde_json::from_slice(row)).collect::<Result<_, _>>()?)
    }

    /// The prefixes that do not stand as plain ones do; read again only when something was decided.
    pub(super) fn standings(&self) -> Result<Arc<HashMap<String, Standing>>, ServiceError> {
        let seen = self.store.licences_seen();
        if let Some((at, standings)) = &*self.standings.read.read()
            && *at == seen
        {
            return Ok(Arc::clone(standings));
        }
        let standings = Arc::new(self.read_standings()?);
        let is_quiet = standings.values().all(|one| one.suspension.is_none() && one.revoked.is_none());
        self.standings.quiet_at.store(if is_quiet { seen } else { NEVER }, Ordering::Release);
        *self.standings.read.write() = Some((seen, Arc::clone(&standings)));
        Ok(standings)
    }

    fn read_standings(&self) -> Result<HashMap<String, Standing>, ServiceError> {
        let mut standings: HashMap<String, Standing> = HashMap::new();
        self.each_allocation(|allocation| {
            if allocation.until.is_some() && !self.prefixes.is_configured(&allocation.prefix) {
                standings.insert(allocation.prefix, Standing::allocated(allocation.until));
            }
            Ok(())
        })?;
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.scan(Table::Standing, after.as_deref(), ROWS)?;
            for (key, row) in &rows {
                let prefix = prefix_of_step(key).ok_or_else(|| ServiceError::Internal("a prefix's row".to_owned()))?;
                let taken: PrefixTaken = serde_json::from_slice(row)?;
                let standing = standings.entry(prefix.to_owned()).or_default();
                match standing.after(&taken) {
                    Some(next) => *standing = next,
                    None => tracing::error!(prefix, seq = taken.seq, "a step about a prefix does not follow: left out"),
                }
            }
            match rows.last() {
                Some((key, _)) => after = Some(key.to_vec()),
                None => break,
            }
        }
        // What the configuration names has no end, whatever it had when it was allocated.
        let configured = standings.iter_mut().filter(|(prefix, _)| self.prefixes.is_configured(prefix));
        configured.for_each(|(_, standing)| standing.until = None);
        Ok(standings)
    }

    /// Where a prefix stands by itself.
    pub(in crate::services) fn standing_of(&self, prefix: &str) -> Result<Standing, ServiceError> {
        Ok(self.standings()?.get(prefix).cloned().unwrap_or_default())
    }

    /// Where a prefix stands, and those above it: `None`, where it is plain. What is worse of several is told.
    pub(in crate::services) fn closing(&self, prefix: &str) -> Result<Option<PrefixClosed>, ServiceError> {
        let standings = self.standings()?;
        if standings.is_empty() {
            return Ok(None);
        }
        let now = Timestamp::now();
        let all = and_above(prefix).filter_map(|one| closed(one, standings.get(one)?, now));
        let rank = |closed: &PrefixClosed| {
            let (revoked, suspended) = (PrefixStatus::Revoked, PrefixStatus::Suspended);
            (!closed.is_answered, closed.status == revoked, closed.status == suspended)
        };
        Ok(all.max_by_key(rank))
    }

    /// Whether something may be registered under a prefix now. To be asked after [`crate::store::Store::licences_seen`].
    pub(in crate::services) fn may_register_under(&self, prefix: &str) -> Result<(), ServiceError> {
        self.closing(prefix)?.map_or(Ok(()), |closed| Err(ServiceError::PrefixClosed(closed)))
    }

    /// Whether what stands under a prefix is told to this caller (`None`: to everybody), and the word that it is closed, if it is:
    /// who has it in reach sees to it meanwhile.
    pub(in crate::services) fn told_under(
        &self,
        principal: Option<&Principal>,
        prefix: &str,
    ) -> Result<Option<PrefixClosed>, ServiceError> {
        if self.standings.quiet_at.load(Ordering::Acquire) == self.store.licences_seen() {
            return Ok(None);
        }
        let is_own = |principal: &Principal| principal.role.may(Action::List) && principal.scope.reaches(prefix);
        match self.closing(prefix)? {
            Some(closed) if !closed.is_answered && !principal.is_some_and(is_own) => {
                Err(ServiceError::PrefixClosed(closed))
            }
            closed => Ok(closed.filter(|closed| closed.status != PrefixStatus::Expired)),
        }
    }

    /// The same of a name, to be asked before it is looked up: what is there, what is not and what was hear the same.
    pub(in crate::services) fn told_of(
        &self,
        principal: Option<&Principal>,
        name: &Identifier,
    ) -> Result<Option<PrefixClosed>, ServiceError> {
        if name.scheme().is_tagged() { Ok(None) } else { self.told_under(principal, name.prefix()) }
    }

    /// Whether nothing is told of this name. No lock is taken while no prefix is suspended or revoked.
    pub(in crate::services) fn is_withheld(&self, name: &CanonicalKey) -> bool {
        let prefix = name.as_str().split('/').next().unwrap_or_default();
        self.told_under(None, prefix).is_err()
    }
}

pub(super) fn closed(prefix: &str, standing: &Standing, now: Timestamp) -> Option<PrefixClosed> {
    let status = standing.status(now);
    let since = match status {
        PrefixStatus::Active => return None,
        PrefixStatus::Suspended => standing.suspension.map(|suspension| suspension.since),
        PrefixStatus::Revoked => standing.revoked,
        PrefixStatus::Expired => standing.until,
    };
    let since = Timestamp::from_seconds(since?).unwrap_or(Timestamp::EPOCH);
    Some(PrefixClosed { prefix: prefix.to_owned(), status, since, is_answered: standing.is_answered() })
}

/// The steps one after the other; `None` where they do not follow.
fn folded(until: Option<i64>, steps: &[PrefixTaken]) -> Option<Standing> {
    steps.iter().try_fold(Standing::allocated(until), |standing, taken| standing.after(taken))
}

pub(super) fn place(prefix: &str, seq: u32) -> String {
    format!("prefix:{prefix}.{seq}")
}

pub(super) fn unserved(prefix: &str) -> ServiceError {
    ServiceError::NotResponsible { identifier: prefix.to_owned() }
}

impl Services {
    /// To whom a prefix was allocated.
    pub(in crate::services) fn allocation_of(&self, prefix: &str) -> Result<Option<Allocation>, ServiceError> {
        let row = self.store.any_row(Table::Allocation, prefix.as_bytes())?;
        Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?)
    }
}
