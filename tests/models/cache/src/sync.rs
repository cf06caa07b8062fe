//! What `sync.rs` of the cache has, by loom: atomics that are explored, orderings that a seeded bug weakens, sets of two ways.

use loom::cell::UnsafeCell;
pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

pub fn pin_barrier() {
    if !cfg!(seeded_bug = "no_pin_barrier") {
        fence(Ordering::SeqCst);
    }
}

pub fn unlink_barrier() -> bool {
    if !cfg!(seeded_bug = "no_unlink_barrier") {
        fence(Ordering::SeqCst);
    }
    true
}

/// Full fences on both sides: what the kernel's barrier promises together with the compiler's.
pub fn prepare_barriers() {}

pub fn yield_now() {
    loom::thread::yield_now();
}

/// One thread more than this reads in some models: it has to share.
pub const OWN_PLACES: usize = 2;

loom::lazy_static! {
    static ref NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
}
loom::thread_local! {
    static PLACE: usize = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
}

pub fn place_of_thread() -> usize {
    PLACE.with(|place| *place)
}

pub const WAYS: usize = 2;
pub const SKETCH_WORDS: usize = 1;
pub const TAG_WORDS: usize = 1;
pub const PREFIXES: usize = 1;
pub const COLUMNS: usize = 1;

pub mod order {
    use super::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

    const fn unless(is_bug: bool, right: Ordering) -> Ordering {
        if is_bug { Relaxed } else { right }
    }

    pub const PUBLISH: Ordering = unless(cfg!(seeded_bug = "publish_relaxed"), AcqRel);
    pub const FOLLOW: Ordering = unless(cfg!(seeded_bug = "follow_relaxed"), Acquire);
    pub const ANNOUNCE: Ordering = unless(cfg!(seeded_bug = "announce_relaxed"), Release);
    pub const OWN_SLOT: Ordering = Acquire;
    pub const RETIRE: Ordering = unless(cfg!(seeded_bug = "retire_relaxed"), Release);
    pub const TAKE: Ordering = Acquire;
    pub const UNPIN: Ordering = unless(cfg!(seeded_bug = "unpin_relaxed"), Release);
    pub const SCAN: Ordering = unless(cfg!(seeded_bug = "scan_relaxed"), Acquire);
    pub const RAISE: Ordering = unless(cfg!(seeded_bug = "raise_relaxed"), Release);
    pub const BEGIN: Ordering = unless(cfg!(seeded_bug = "begin_relaxed"), Acquire);
    pub const RELEASE_HANDLE: Ordering = unless(cfg!(seeded_bug = "handle_relaxed"), Release);
    pub const LAST_HANDLE: Ordering = Acquire;
    pub const LOCK: Ordering = unless(cfg!(seeded_bug = "lock_relaxed"), Acquire);
    pub const UNLOCK: Ordering = unless(cfg!(seeded_bug = "unlock_relaxed"), Release);
}

/// Loom's race detector on a block that its own types do not cover.
#[derive(Debug)]
pub struct Witness(UnsafeCell<()>);

impl Witness {
    pub fn new() -> Witness {
        Witness(UnsafeCell::new(()))
    }

    pub fn read(&self) {
        self.0.with(|_| ());
    }

    pub fn write(&self) {
        self.0.with_mut(|_| ());
    }

    /// The memory is kept: a reader that comes too late is then seen by the detector, and not by chance.
    pub fn free(&self) -> bool {
        self.write();
        false
    }
}
