//! Which answers are still true: counters that a commit raises, and the stamp of them that an answer carries.
//!
//! - A name has a counter in a fixed table, found by its hash; two names may share one, which costs a needless miss and
//!   nothing else. A prefix (the text before the first "/") has one in a smaller table.
//! - A fill takes the stamp of both BEFORE it reads the record store; a hit counts only if both are still the same.
//!
//! Invariants:
//! - **GENERATION** A commit raises the name's counter after its rows are visible and before anybody is told. A stamp with the
//!   raised counter was taken after that (acquire meets release), so the store read that followed it saw the rows. So a stamp
//!   that still holds once the commit is acknowledged belongs to an answer that has the commit in it.
//! - **NO RETURN** A counter never comes back to what a stamp in use says. Prefix counters have 64 bits. Name counters have 32;
//!   at every 2^31st step all prefixes are raised, and between a value and its return there are two such steps.
//!
//! Acknowledging must itself come after raising, as any way of telling another thread, process or machine does; a reader who
//! asks after being told then finds the raised counter in the same memory (coherence; no barrier of its own is needed).

use super::sync::{AtomicU32, AtomicU64, Ordering, PREFIXES, order};

/// What the counters said before the store was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub(super) broad: u64,
    pub(super) name: u32,
    pub(super) prefix: u16,
}

pub struct Generations {
    names: Box<[AtomicU32]>,
    prefixes: Box<[AtomicU64]>,
}

impl Generations {
    /// `names` is a power of two.
    pub fn new(names: usize) -> Generations {
        Generations {
            names: (0..names.next_power_of_two()).map(|_| AtomicU32::new(0)).collect(),
            prefixes: (0..PREFIXES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    pub fn bytes(names: usize) -> u64 {
        (names.next_power_of_two() * size_of::<AtomicU32>() + PREFIXES * size_of::<AtomicU64>()) as u64
    }

    fn name(&self, name_hash: u64) -> &AtomicU32 {
        // The mask keeps the index below the (power of two) length. Other bits than those that choose the set.
        &self.names[(name_hash >> 16) as usize & (self.names.len() - 1)]
    }

    fn prefix(prefix_hash: u64) -> u16 {
        (prefix_hash >> 16) as u16 & (PREFIXES as u16 - 1)
    }

    /// The stamp of a fill: call it before the store is read (GENERATION).
    pub fn begin(&self, name_hash: u64, prefix_hash: u64) -> Stamp {
        let prefix = Generations::prefix(prefix_hash);
        Stamp {
            broad: self.prefixes[prefix as usize].load(order::BEGIN),
            name: self.name(name_hash).load(order::BEGIN),
            prefix,
        }
    }

    /// The name's counter now, to be asked for early: it is a line of memory of its own.
    #[inline]
    pub fn of_name(&self, name_hash: u64) -> u32 {
        self.name(name_hash).load(Ordering::Relaxed)
    }

    /// Whether an answer with this stamp is true, given the counter that [`Generations::of_name`] read since the question came.
    #[inline]
    pub fn holds(&self, of_name: u32, stamp: Stamp) -> bool {
        stamp.name == of_name && stamp.broad == self.prefixes[usize::from(stamp.prefix)].load(Ordering::Relaxed)
    }

    /// The name answers something else from now on.
    pub fn raise(&self, name_hash: u64) {
        let before = self.name(name_hash).fetch_add(1, order::RAISE);
        if before & (u32::MAX >> 1) == u32::MAX >> 1 {
            // NO RETURN
            self.raise_all();
        }
    }

    /// All names of the prefix do (and of those that share its counter).
    pub fn raise_prefix(&self, prefix_hash: u64) {
        self.prefixes[Generations::prefix(prefix_hash) as usize].fetch_add(1, order::RAISE);
    }

    pub fn raise_all(&self) {
        for prefix in &self.prefixes {
            prefix.fetch_add(1, order::RAISE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_comes_round_revives_no_stamp() {
        let generations = Generations::new(16);
        let stamp = generations.begin(0, 0);
        // 2^32 changes, in four steps.
        for to in [u32::MAX >> 1, 1 << 31, u32::MAX, 0] {
            let before = generations.names[0].load(Ordering::Relaxed);
            if before.wrapping_add(1) == to {
                generations.raise(0);
            } else {
                generations.names[0].store(to, Ordering::Relaxed);
            }
        }
        assert_eq!(generations.of_name(0), stamp.name);
        assert!(!generations.holds(generations.of_name(0), stamp));
    }

    #[test]
    fn a_prefix_that_is_purged_takes_its_own_stamps_only() {
        let generations = Generations::new(16);
        let (here, there) = (generations.begin(0, 1 << 16), generations.begin(0, 2 << 16));
        generations.raise_prefix(1 << 16);
        assert!(!generations.holds(0, here) && generations.holds(0, there));
    }
}
