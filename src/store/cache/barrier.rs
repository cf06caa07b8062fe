//! A full barrier of which one side costs nothing: readers, who are many, have the cheap side.
//!
//! Where Linux offers it (membarrier(2), `PRIVATE_EXPEDITED`, since 4.14), the reclaimer asks the kernel to pass a full barrier on
//! every processor that runs a thread of this process, and a reader only keeps the compiler from reordering. The manual page
//! ("each pair of a full and a compiler barrier") promises what two full barriers do: either the reader's loads come after the
//! reclaimer's stores, or the reclaimer sees what the reader stored before. Elsewhere, where the call is filtered, and under miri:
//! a full fence on both sides. Which of the two it is, is decided once, before the first reader, and never changes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

/// Whether the kernel passes the readers' barriers.
static IS_ASYMMETRIC: AtomicBool = AtomicBool::new(false);

/// Decides which barrier it is; call before anybody reads.
pub fn prepare() {
    static DECIDED: OnceLock<()> = OnceLock::new();
    DECIDED.get_or_init(|| IS_ASYMMETRIC.store(register(), Ordering::Relaxed));
}

#[cfg(all(target_os = "linux", not(miri)))]
fn register() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() && pass_everywhere()
}

#[cfg(all(target_os = "linux", not(miri)))]
fn pass_everywhere() -> bool {
    use rustix::thread::{MembarrierCommand, membarrier};
    membarrier(MembarrierCommand::PrivateExpedited).is_ok()
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn register() -> bool {
    false
}

#[cfg(not(all(target_os = "linux", not(miri))))]
fn pass_everywhere() -> bool {
    false
}

/// A reader's side.
#[inline]
pub fn light() {
    if IS_ASYMMETRIC.load(Ordering::Relaxed) {
        compiler_fence(Ordering::SeqCst);
    } else {
        fence(Ordering::SeqCst);
    }
}

/// The reclaimer's side. `false`: the kernel refused what it granted before, and nothing may be concluded.
pub fn heavy() -> bool {
    fence(Ordering::SeqCst);
    !IS_ASYMMETRIC.load(Ordering::Relaxed) || pass_everywhere()
}
