//! The sets of a shelf, and how a hash chooses one.

use std::sync::Arc;

use super::reclaim::{Linked, Links};
use super::set::{Locked, Notes, Set};
use super::sync::{WAYS, Witness};

pub struct Table {
    sets: Box<[Set]>,
    notes: Box<[Notes]>,
    links: Links<Table>,
    witness: Witness,
}

impl Table {
    /// A table with at least so many places.
    pub fn new(slots: usize) -> Table {
        let sets = Table::sets_for(slots);
        Table {
            sets: (0..sets).map(|_| Set::new()).collect(),
            notes: (0..sets).map(|_| Notes::new()).collect(),
            links: Links::default(),
            witness: Witness::new(),
        }
    }

    fn sets_for(slots: usize) -> usize {
        slots.div_ceil(WAYS).max(1)
    }

    /// Bytes that a table of so many places takes.
    pub fn bytes(slots: usize) -> u64 {
        (Table::sets_for(slots) * (size_of::<Set>() + size_of::<Notes>()) + size_of::<Table>()) as u64
    }

    pub fn slots(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Gives a table's memory back, with its references to entries.
    pub fn free(self: Arc<Table>) {
        if !self.witness.free() {
            std::mem::forget(self);
        }
    }

    /// Sets.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    fn place(&self, hash: u64) -> usize {
        // The hash as a fraction of 2^64, times the number of sets.
        ((u128::from(hash) * self.sets.len() as u128) >> 64) as usize
    }

    #[inline]
    pub fn set(&self, hash: u64) -> &Set {
        self.witness.read();
        &self.sets[self.place(hash)]
    }

    pub fn lock(&self, hash: u64) -> Option<Locked<'_>> {
        self.lock_at(self.place(hash))
    }

    /// The lock of a set by number.
    pub fn lock_at(&self, at: usize) -> Option<Locked<'_>> {
        self.notes[at].try_lock(&self.sets[at])
    }
}

impl Linked for Table {
    fn links(&self) -> &Links<Table> {
        &self.links
    }
}
