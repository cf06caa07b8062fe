//! The atomics that the core stands on, each memory ordering that matters by name, and what a build with seeded bugs changes.
//!
//! The core names no atomic type but through this module, so the model checker can put a module of the same shape in its
//! place (`tests/models/cache`): the same source is then explored by loom under every order of its steps.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// What must be decided before the first pin.
pub use super::barrier::prepare as prepare_barriers;

/// The full barrier between announcing a pin and the first load under it.
#[inline]
pub fn pin_barrier() {
    super::barrier::light();
}

/// The full barrier between taking pointers out of their places and looking at the pins. `false`: there was none.
#[inline]
pub fn unlink_barrier() -> bool {
    super::barrier::heavy()
}

/// Between two tries of a writer.
#[inline]
pub fn yield_now() {
    std::hint::spin_loop();
}

/// This thread's number: below [`OWN_PLACES`] it is its own as long as it runs.
pub use super::threads::{OWN as OWN_PLACES, number as place_of_thread};

/// Slots of a set. Sixteen tags, marks and pointers are three cache lines, of which a look needs two.
pub const WAYS: usize = 16;
/// Words of a set's sketch, 16 counters each: with the lock and the time they fill two cache lines. Half of it costs 0.3 points of
/// hit ratio (Zipf 0.99) to 1.2 (Zipf 0.6): too many names share a counter.
pub const SKETCH_WORDS: usize = 15;
/// Words of four tags.
pub const TAG_WORDS: usize = WAYS.div_ceil(4);

/// Columns of a ledger's counts: threads beyond so many share one.
pub const COLUMNS: usize = 8;

/// Prefixes that are told apart; a node has few (it issues them, or its organizations have them).
pub const PREFIXES: usize = 1 << 12;

/// The orderings on which an invariant rests. A build with a seeded bug weakens one of them and a model must notice.
pub mod order {
    use super::Ordering;

    /// A pointer put in its place: what it points at was written before (PUBLISHED).
    pub const PUBLISH: Ordering = Ordering::AcqRel;
    /// A pointer read from its place (PUBLISHED).
    pub const FOLLOW: Ordering = Ordering::Acquire;
    /// A pin announced: all reads under the pins that were in this slot before happened before (PINNED).
    pub const ANNOUNCE: Ordering = Ordering::Release;
    /// A slot found idle by the thread whose own it is now.
    pub const OWN_SLOT: Ordering = Ordering::Acquire;
    /// A pin taken back: all reads under it happened before (PINNED).
    pub const UNPIN: Ordering = Ordering::Release;
    /// Retired, and taken as a batch: what is in it is unlinked (UNLINKED FIRST). The batch's barrier would do for the second.
    pub const RETIRE: Ordering = Ordering::Release;
    pub const TAKE: Ordering = Ordering::Acquire;
    /// The reclaimer's look at a pin (PINNED).
    pub const SCAN: Ordering = Ordering::Acquire;
    /// A name's generation raised: the rows are visible before (GENERATION).
    pub const RAISE: Ordering = Ordering::Release;
    /// The generation taken by a fill, before it reads the store (GENERATION).
    pub const BEGIN: Ordering = Ordering::Acquire;
    /// A handle dropped (HELD).
    pub const RELEASE_HANDLE: Ordering = Ordering::Release;
    /// The last one, before it frees (HELD).
    pub const LAST_HANDLE: Ordering = Ordering::Acquire;
    /// A set's lock taken and given back (ONE WRITER).
    pub const LOCK: Ordering = Ordering::Acquire;
    pub const UNLOCK: Ordering = Ordering::Release;
}

/// A place where the model checker watches who reads, writes and frees a block of memory; nothing in a real build.
#[derive(Debug)]
pub struct Witness;

impl Witness {
    #[inline]
    pub fn new() -> Witness {
        Witness
    }

    /// Somebody reads the block.
    #[inline]
    pub fn read(&self) {}

    /// Somebody writes the block; no read or write may be beside it.
    #[inline]
    pub fn write(&self) {}

    /// The block goes: as a write. Whether to give its memory back (the model keeps it, to see who reads it still).
    #[inline]
    pub fn free(&self) -> bool {
        true
    }
}
