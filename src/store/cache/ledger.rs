//! What a shelf may take and what it takes, to the byte.
//!
//! ```text
//!   budget >= used = fixed (tables) + live (findable) + limbo (maybe still read) + held (by handles outside)
//! ```
//!
//! Invariants:
//! - **RESERVED** Bytes are reserved before they are allocated and given back after they were freed; a reservation that does
//!   not fit fails. So the allocations of a shelf are never more than its budget (but while it is being made smaller).
//! - **BOUNDED LIMBO** Nothing more is evicted while limbo has its share: a reader that stalls costs declined fills, not
//!   memory, and not the answers that are there.
//!
//! The bytes are those asked of the allocator; what it rounds them up to is its own affair.

use super::sync::{AtomicBool, AtomicU64, COLUMNS, Ordering, place_of_thread};

/// Why a fill was not shelved. The answer itself is as good as any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Declined {
    /// Everything that would have to go is asked for more often.
    Admission = 0,
    /// Another fill is at the same set.
    Busy = 1,
    /// A reader stalls, and limbo has its share (BOUNDED LIMBO).
    Limbo = 2,
    /// It would not fit, or not without evicting more than a fill may.
    Room = 3,
    /// A commit or a purge came between (GENERATION).
    Raced = 4,
    /// More readers at once than there are pins.
    Pins = 5,
}

const REASONS: usize = 6;

/// Limbo's share of a budget, 1 in so many.
const LIMBO_SHARE: u64 = 64;
/// But at least so many bytes, or an eighth of a budget that is smaller than eight times that.
const LIMBO_LEAST: u64 = 8 << 10;
/// What limbo grows by before it is reclaimed: enough to pay for the barrier, and still in the processor's cache.
const MOST_STEP: u64 = 32 << 10;
/// A shelf whose largest entry may be half of it.
const SMALL_SHELF: u64 = 8 << 10;

/// The counters of a shelf, apart by who writes them: what only a resize changes, what every entry changes, and what is counted
/// for people, a column for each thread or two.
#[derive(Debug)]
pub struct Ledger {
    limits: Lone<Limits>,
    bytes: Lone<Bytes>,
    columns: [Lone<Column>; COLUMNS],
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Lone<T>(T);

#[derive(Debug)]
struct Limits {
    budget: AtomicU64,
    fixed: AtomicU64,
    /// Whether any entry ever was here.
    is_used: AtomicBool,
}

#[derive(Debug)]
struct Bytes {
    used: AtomicU64,
    live: AtomicU64,
    limbo: AtomicU64,
    /// What was in limbo after it was last tried to free it.
    left: AtomicU64,
}

/// Sums over all columns are what is told; one by itself may be below zero, and wraps.
#[derive(Debug)]
struct Column {
    entries: AtomicU64,
    evictions: AtomicU64,
    declined: [AtomicU64; REASONS],
}

/// A moment's reading of a shelf's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    pub budget_bytes: u64,
    /// All of it: tables, answers, limbo, handles.
    pub used_bytes: u64,
    pub fixed_bytes: u64,
    pub live_bytes: u64,
    pub limbo_bytes: u64,
    pub entries: u64,
    pub evictions: u64,
    /// In the order of [`Declined`].
    pub declined: [u64; REASONS],
}

impl Ledger {
    pub fn new(budget: u64) -> Ledger {
        let zero = || AtomicU64::new(0);
        let column = |_| Column { entries: zero(), evictions: zero(), declined: std::array::from_fn(|_| zero()) };
        Ledger {
            limits: Lone(Limits { budget: AtomicU64::new(budget), fixed: zero(), is_used: AtomicBool::new(false) }),
            bytes: Lone(Bytes { used: zero(), live: zero(), limbo: zero(), left: zero() }),
            columns: std::array::from_fn(|at| Lone(column(at))),
        }
    }

    fn column(&self) -> &Column {
        &self.columns[place_of_thread() % COLUMNS].0
    }

    fn budget(&self) -> u64 {
        self.limits.0.budget.load(Ordering::Relaxed)
    }

    /// Takes bytes of the budget, if it has them (RESERVED).
    pub fn reserve(&self, bytes: u64) -> bool {
        let (budget, all) = (self.budget(), &self.bytes.0.used);
        let mut used = all.load(Ordering::Relaxed);
        loop {
            let Some(next) = used.checked_add(bytes).filter(|next| *next <= budget) else { return false };
            #[cfg(seeded_bug = "reserve_not_atomic")]
            {
                all.store(next, Ordering::Relaxed);
                return true;
            }
            // Acquire: what is allocated next comes after the free that made room for it.
            match all.compare_exchange_weak(used, next, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => used = now,
            }
        }
    }

    /// Takes bytes whether the budget has them or not: a first table must be.
    pub fn take(&self, bytes: u64) {
        self.bytes.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that were reserved and are free again.
    pub fn give_back(&self, bytes: u64) {
        self.bytes.0.used.fetch_sub(bytes, Ordering::Release);
    }

    /// Whether so many more may be findable: what is over is left to limbo, so that a full shelf need not reclaim at
    /// every fill.
    pub fn has_room(&self, more: u64, less: u64) -> bool {
        let live = self.bytes.0.live.load(Ordering::Relaxed) + more;
        live.saturating_sub(less) <= self.room()
    }

    fn room(&self) -> u64 {
        let budget = self.budget();
        budget.saturating_sub(self.limits.0.fixed.load(Ordering::Relaxed)).saturating_sub(limbo_share(budget))
    }

    /// The largest entry: an eighth of what is there for entries, so that one fill does not empty a shelf; half of a small shelf.
    pub fn most_bytes(&self) -> u64 {
        let room = self.room();
        (room / 8).max(room.min(SMALL_SHELF) / 2)
    }

    /// Whether so many bytes have a place beside the table and limbo's share.
    pub fn has_place_for(&self, bytes: u64) -> bool {
        bytes <= self.room()
    }

    /// Whether something must go before so many more bytes may be used.
    pub fn lacks(&self, more: u64) -> bool {
        self.bytes.0.used.load(Ordering::Relaxed) + more > self.budget() || !self.has_room(more, 0)
    }

    /// BOUNDED LIMBO
    pub fn limbo_is_full(&self) -> bool {
        self.bytes.0.limbo.load(Ordering::Relaxed) >= limbo_share(self.budget())
    }

    /// Whether so many bytes wait in limbo.
    pub fn limbo_has(&self, bytes: u64) -> bool {
        self.bytes.0.limbo.load(Ordering::Relaxed) >= bytes
    }

    /// Whether reclaiming is worth its barrier and its look at all pins: limbo grew since that was last tried.
    pub fn limbo_is_worth_it(&self) -> bool {
        let bytes = &self.bytes.0;
        let step = (limbo_share(self.budget()) / 2).min(MOST_STEP);
        bytes.limbo.load(Ordering::Relaxed) >= bytes.left.load(Ordering::Relaxed).saturating_add(step)
    }

    /// Notes what could not be freed.
    pub fn limbo_was_tried(&self) {
        let bytes = &self.bytes.0;
        bytes.left.store(bytes.limbo.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Whether nothing was ever shelved here.
    pub fn is_unused(&self) -> bool {
        !self.limits.0.is_used.load(Ordering::Relaxed)
    }

    /// So many bytes become findable, in the place of so many that no longer are; 0: of none.
    pub fn exchanged(&self, bytes: u64, leaving: u64) {
        // Seldom: most of one kind are of one size.
        if bytes != leaving {
            self.bytes.0.live.fetch_add(bytes.wrapping_sub(leaving), Ordering::Relaxed);
        }
        if leaving == 0 {
            self.column().entries.fetch_add(1, Ordering::Relaxed);
            if self.is_unused() {
                self.limits.0.is_used.store(true, Ordering::Relaxed);
            }
        }
    }

    /// No longer findable.
    pub fn unshelved(&self, bytes: u64) {
        self.bytes.0.live.fetch_sub(bytes, Ordering::Relaxed);
        self.column().entries.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn limbo_gains(&self, bytes: u64) {
        self.bytes.0.limbo.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn limbo_loses(&self, bytes: u64) {
        self.bytes.0.limbo.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn fixed(&self, bytes: u64) {
        self.limits.0.fixed.store(bytes, Ordering::Relaxed);
    }

    pub fn evicted(&self) {
        self.column().evictions.fetch_add(1, Ordering::Relaxed);
    }

    pub fn declined(&self, reason: Declined) {
        self.column().declined[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn change_budget(&self, bytes: u64) {
        self.limits.0.budget.store(bytes, Ordering::Relaxed);
    }

    pub fn balance(&self) -> Balance {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum = |counter: &dyn Fn(&Column) -> &AtomicU64| {
            self.columns.iter().map(|column| of(counter(&column.0))).fold(0, u64::wrapping_add)
        };
        Balance {
            budget_bytes: of(&self.limits.0.budget),
            used_bytes: of(&self.bytes.0.used),
            fixed_bytes: of(&self.limits.0.fixed),
            live_bytes: of(&self.bytes.0.live),
            limbo_bytes: of(&self.bytes.0.limbo),
            // The columns are read one after the other: an entry that comes and goes meanwhile may be seen going only.
            entries: sum(&|column| &column.entries).cast_signed().max(0).cast_unsigned(),
            evictions: sum(&|column| &column.evictions),
            declined: std::array::from_fn(|at| sum(&move |column: &Column| &column.declined[at])),
        }
    }
}

fn limbo_share(budget: u64) -> u64 {
    (budget / LIMBO_SHARE).max(LIMBO_LEAST.min(budget / 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_that_does_not_fit_fails_and_takes_nothing() {
        let ledger = Ledger::new(100);
        assert!(ledger.reserve(60));
        assert!(!ledger.reserve(41));
        assert!(ledger.reserve(40));
        ledger.give_back(1);
        assert!(ledger.reserve(1) && !ledger.reserve(1));
        assert!(!ledger.reserve(u64::MAX));
    }

    #[test]
    fn what_a_reader_keeps_in_limbo_is_looked_at_when_it_grew_and_not_at_every_fill() {
        let ledger = Ledger::new(64 << 20);
        let mut tries = 0;
        for _ in 0..1_000 {
            ledger.limbo_gains(600);
            if ledger.limbo_is_worth_it() {
                tries += 1;
                ledger.limbo_was_tried();
            }
        }
        assert_eq!(tries, 1_000 * 600 / MOST_STEP);
        ledger.limbo_loses(600_000);
        ledger.limbo_was_tried();
        ledger.limbo_gains(MOST_STEP);
        assert!(ledger.limbo_is_worth_it());
    }
}
