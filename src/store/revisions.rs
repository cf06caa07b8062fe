//! How often small tables have changed, so that what follows from their rows is worked out once.

use std::sync::atomic::{AtomicU64, Ordering};

use super::apply;
use super::engine::{Table, Write};

/// How often the rows of small tables have changed since the store was opened, for whoever keeps what follows from them.
#[derive(Debug, Default)]
pub struct Revisions {
    /// Of all that decides whether and by whom something is registered: licences, and where prefixes stand.
    pub licences: AtomicU64,
    /// Of the API: keys, and the prefixes that applicants were allocated, which theirs reach.
    pub keys: AtomicU64,
}

impl Revisions {
    /// Once the rows are readable: who read a number before it changed may have read the rows before, who reads it after
    /// cannot.
    pub fn count(&self, writes: &[Write]) {
        for (counter, tables) in [
            (&self.licences, &apply::DECIDING as &[Table]),
            (&self.keys, &[Table::Key, Table::Revoked, Table::Allocation]),
        ] {
            // What is taken back of grants is no key's.
            let is_grants = |row: &Write| row.table == Table::Revoked && row.key.starts_with(b"grant:");
            if writes.iter().any(|row| tables.contains(&row.table) && !is_grants(row)) {
                counter.fetch_add(1, Ordering::Release);
            }
        }
    }
}
