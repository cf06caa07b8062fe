//! The atomics that the core stands on, each memory ordering that matters by name, and what a build with seeded bugs changes.
//!
//! The core names no atomic type but through this module, so the model checker can put a module of the same shape in its
//! place (`tests/models/cache`): the same source is then explored by loom under every order of its steps.

pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// The full barrier between announcing a pin (always a read-modify-write) and the first load under it.
///
/// On x86-64 that read-modify-write is a locked instruction, which is a full barrier itself (Intel SDM volume 3, 9.2.3.9:
/// loads and stores are not reordered with locked instructions), so only the compiler is held; elsewhere, and under miri,
/// a fence.
#[inline]
pub fn pin_barrier() {
    if cfg!(all(target_arch = "x86_64", not(miri))) {
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The full barrier between taking a pointer out of its place and reading the epoch that it is retired at; and between
/// raising the epoch and looking at the pins.
#[inline]
pub fn unlink_barrier() {
    fence(Ordering::SeqCst);
}

/// Between two tries of a writer.
#[inline]
pub fn yield_now() {
    std::hint::spin_loop();
}

/// A number that differs from thread to thread as far as it can, for where to look first.
#[inline]
pub fn place_of_thread() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // Without one (the thread is ending): the first place will do.
    PLACE.try_with(|place| *place).unwrap_or(0)
}

/// Slots of a set. Twelve pointers, twelve tags, twelve marks and a lock are two cache lines, which the processor fetches as
/// a pair; the policy simulator gives 8 ways 0.3 points of hit ratio less and 16 ways 0.1 more.
pub const WAYS: usize = 12;
/// Words of a set's sketch, 16 counters each: with the lock and the time they fill one cache line.
pub const SKETCH_WORDS: usize = 7;
/// Words of eight tags.
pub const TAG_WORDS: usize = WAYS.div_ceil(8);

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
    /// A pin taken back: all reads under it happened before (PINNED).
    pub const UNPIN: Ordering = Ordering::Release;
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
