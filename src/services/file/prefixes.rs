//! Prefixes as they are shown: one with what was decided about it, and all of them in their order.

use std::collections::BTreeMap;

use super::error::PrefixClosed;
use super::standing::{closed, place, unserved};
use super::{Details, Reason};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::prefix::{PrefixStatus, PrefixStep, PrefixTaken, Standing, and_above};
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;
use crate::services::identity::PrefixOrigin;
use crate::services::{ServiceError, Services};

/// How does a prefix stand?
#[derive(Clone, Debug)]
pub struct ReadPrefix {
    pub prefix: String,
}

/// Which prefixes does this node answer for?
#[derive(Clone, Debug)]
pub struct ListPrefixes {
    pub status: Option<PrefixStatus>,
    /// Only those that are good no more from a moment before this one.
    pub ends_before: Option<Timestamp>,
    /// Only what follows this prefix (a cursor).
    pub after: Option<String>,
    /// At least 1.
    pub limit: usize,
}

impl Asks for ReadPrefix {
    const ACTION: Action = Action::SeePrefixes;
}

impl Asks for ListPrefixes {
    const ACTION: Action = Action::SeePrefixes;
}

/// How a prefix stands.
#[derive(Clone, Debug)]
pub struct PrefixHead {
    pub prefix: String,
    pub registrant: String,
    pub origin: PrefixOrigin,
    /// The filing that it was allocated to.
    pub filing: Option<String>,
    pub standing: Standing,
    /// A prefix above this one that is suspended or revoked, and where that one stands.
    pub above: Option<PrefixClosed>,
}

/// A prefix with what was decided about it.
#[derive(Clone, Debug)]
pub struct PrefixView {
    pub head: PrefixHead,
    pub steps: Vec<PrefixTaken>,
    /// Why, by the number of the step; for those who may know.
    pub reasons: BTreeMap<u32, Vec<Reason>>,
}

/// Prefixes in their order.
#[derive(Clone, Debug)]
pub struct PrefixPage {
    pub prefixes: Vec<PrefixHead>,
    pub next: Option<String>,
}

impl Services {
    /// One prefix, for who may know of it.
    pub fn prefix(&self, asked: &Permitted<ReadPrefix>) -> Result<PrefixView, ServiceError> {
        let prefix = self.served_prefix(&asked.request().prefix)?;
        self.prefix_viewed(&prefix, asked.principal())
    }

    pub(super) fn prefix_viewed(&self, prefix: &str, principal: &Principal) -> Result<PrefixView, ServiceError> {
        if !knows(principal, prefix) {
            return Err(unserved(prefix));
        }
        let head = self.prefix_head(prefix)?;
        let steps = self.prefix_steps(prefix)?;
        let mut reasons = BTreeMap::new();
        let is_reviewer = principal.role.may(Action::Review);
        let is_told = |step| is_reviewer || matches!(step, PrefixStep::Suspended | PrefixStep::Revoked);
        if principal.role != Role::Auditor {
            for taken in steps.iter().filter(|taken| is_told(taken.step)) {
                let Some(hash) = &taken.sealed else { continue };
                if let Details::Reasons(told) = self.unsealed(&place(prefix, taken.seq), taken.index, hash)? {
                    reasons.insert(taken.seq, told);
                }
            }
        }
        Ok(PrefixView { head, steps, reasons })
    }

    /// A page of those that this caller may know of.
    pub fn prefixes(&self, asked: &Permitted<ListPrefixes>) -> Result<PrefixPage, ServiceError> {
        let ListPrefixes { status, ends_before, after, limit } = asked.request();
        let now = Timestamp::now();
        let mut page = PrefixPage { prefixes: Vec::new(), next: None };
        for policy in self.prefixes.all() {
            let prefix = policy.prefix.as_str();
            if !knows(asked.principal(), prefix) || after.as_deref().is_some_and(|after| prefix <= after) {
                continue;
            }
            let head = self.prefix_head(prefix)?;
            let ends = |before: &Timestamp| head.standing.until.is_some_and(|until| until < before.as_seconds());
            let is_wanted = status.is_none_or(|status| head.standing.status(now) == status)
                && ends_before.as_ref().is_none_or(ends);
            if !is_wanted {
                continue;
            }
            if page.prefixes.len() == *limit {
                page.next = page.prefixes.last().map(|last| last.prefix.clone());
                break;
            }
            page.prefixes.push(head);
        }
        Ok(page)
    }

    fn prefix_head(&self, prefix: &str) -> Result<PrefixHead, ServiceError> {
        let policy = self.prefixes.policy(prefix).ok_or_else(|| unserved(prefix))?;
        let allocation = self.allocation_of(prefix)?;
        let origin = match &allocation {
            Some(allocation) if !self.prefixes.is_configured(prefix) => {
                PrefixOrigin::Allocated { since: Timestamp::from_seconds(allocation.since).unwrap_or(Timestamp::EPOCH) }
            }
            _ => PrefixOrigin::Configured,
        };
        let standings = self.standings()?;
        let above = and_above(prefix).skip(1).find_map(|above| closed(above, standings.get(above)?, Timestamp::now()));
        Ok(PrefixHead {
            prefix: prefix.to_owned(),
            registrant: policy.registrant.clone(),
            origin,
            filing: allocation.map(|allocation| allocation.filing),
            standing: standings.get(prefix).cloned().unwrap_or_default(),
            above,
        })
    }
}

/// Those whom it concerns: reviewers, auditors, and who has it in reach.
fn knows(principal: &Principal, prefix: &str) -> bool {
    principal.scope.reaches(prefix)
}
