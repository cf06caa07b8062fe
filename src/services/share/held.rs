//! Grants that are at hand: who holds which. Read at a start, and kept as they are given and taken back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::model::grant::{Grant, Holder};
use crate::model::prefix::and_above;
use crate::model::principal::{Principal, Role};
use crate::model::time::Timestamp;

/// All that were given and not taken back.
#[derive(Default)]
pub struct Grants(RwLock<Held>);

#[derive(Default)]
struct Held {
    all: HashMap<String, Arc<Grant>>,
    /// Of keys and organisations; a link names its grant itself.
    by_holder: HashMap<Holder, Vec<Arc<Grant>>>,
    /// How many each prefix has given.
    counts: HashMap<String, usize>,
}

impl Grants {
    pub(super) fn insert(&self, grant: Grant) {
        let grant = Arc::new(grant);
        let mut held = self.0.write();
        if held.all.insert(grant.id.clone(), Arc::clone(&grant)).is_some() {
            return;
        }
        *held.counts.entry(grant.prefix.clone()).or_default() += 1;
        if !matches!(grant.holder, Holder::Link { .. }) {
            held.by_holder.entry(grant.holder.clone()).or_default().push(grant);
        }
    }

    pub(super) fn remove(&self, id: &str) {
        let mut held = self.0.write();
        let Some(grant) = held.all.remove(id) else { return };
        if let Some(count) = held.counts.get_mut(&grant.prefix) {
            *count -= 1;
            if *count == 0 {
                held.counts.remove(&grant.prefix);
            }
        }
        if let Some(of_holder) = held.by_holder.get_mut(&grant.holder) {
            of_holder.retain(|other| other.id != id);
            if of_holder.is_empty() {
                held.by_holder.remove(&grant.holder);
            }
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Grant>> {
        self.0.read().all.get(id).map(Arc::clone)
    }

    /// How many there are in all, how many of one prefix, and how many of them to this holder.
    pub(super) fn counts(&self, prefix: &str, holder: &Holder) -> (usize, usize, usize) {
        let held = self.0.read();
        let to_one = held.by_holder.get(holder).into_iter().flatten().filter(|grant| grant.prefix == prefix).count();
        (held.all.len(), held.counts.get(prefix).copied().unwrap_or_default(), to_one)
    }

    /// Those in force that this caller holds, in the order of their ids.
    pub(super) fn of(&self, principal: &Principal, now: Timestamp) -> Vec<Arc<Grant>> {
        let mut found: Vec<Arc<Grant>> = Vec::new();
        {
            let held = self.0.read();
            if held.all.is_empty() {
                return found;
            }
            match principal.id.split_once(':') {
                Some(("key", id)) => held.take(&Holder::Key(id.to_owned()), &mut found),
                Some(("link", id)) => found.extend(held.all.get(id).cloned()),
                _ => {}
            }
            // A partner's prefixes are whose values it may be shown, and not its own.
            let is_member = matches!(principal.role, Role::Reader | Role::Registrar | Role::Owner);
            for prefix in principal.scope.prefixes().filter(|_| is_member).into_iter().flatten() {
                and_above(prefix).for_each(|one| held.take(&Holder::Prefix(one.to_owned()), &mut found));
            }
        }
        found.retain(|grant| grant.is_in_force(now));
        found.sort_by(|one, other| one.id.cmp(&other.id));
        found.dedup_by(|one, other| one.id == other.id);
        found
    }

    /// Forgets those that are over.
    pub(super) fn sweep(&self, now: Timestamp) {
        let is_over = |grant: &&Arc<Grant>| is_over(grant, now);
        let over: Vec<String> = self.0.read().all.values().filter(is_over).map(|grant| grant.id.clone()).collect();
        over.iter().for_each(|id| self.remove(id));
    }

    /// In the order of their ids, those after one, and none that is over.
    pub(super) fn after(&self, after: Option<&str>, now: Timestamp) -> Vec<Arc<Grant>> {
        let is_meant = |grant: &&Arc<Grant>| after.is_none_or(|after| *grant.id > *after) && !is_over(grant, now);
        let mut all: Vec<Arc<Grant>> = self.0.read().all.values().filter(is_meant).cloned().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        all
    }
}

fn is_over(grant: &Grant, now: Timestamp) -> bool {
    grant.until.is_some_and(|until| until <= now.as_seconds())
}

impl Held {
    fn take(&self, holder: &Holder, found: &mut Vec<Arc<Grant>>) {
        found.extend(self.by_holder.get(holder).into_iter().flatten().cloned());
    }
}
