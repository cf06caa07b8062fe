//! Counters that the workers do not fight over: one cache line a shard, one shard a worker.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// More workers than this share shards, which costs time and no correctness.
pub(super) const SHARDS: usize = 16;

static CLAIMED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(0) };
}

/// Gives this thread a shard of its own; a worker calls it once. Threads that never call share the first.
pub fn claim_shard() {
    SHARD.set(1 + CLAIMED.fetch_add(1, Ordering::Relaxed) % (SHARDS - 1));
}

/// The shard of this thread, below [`SHARDS`].
pub(super) fn shard() -> usize {
    SHARD.get()
}

/// Two cache lines, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// A counter that only grows.
#[derive(Debug, Default)]
pub struct ShardedCounter {
    lines: [Line; SHARDS],
}

impl ShardedCounter {
    pub fn add(&self, count: u64) {
        if let Some(line) = self.lines.get(shard()) {
            line.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub fn increment(&self) {
        self.add(1);
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.lines.iter().map(|line| line.0.load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_what_all_threads_added() {
        let counter = ShardedCounter::default();
        std::thread::scope(|scope| {
            for _ in 0..SHARDS + 3 {
                scope.spawn(|| {
                    claim_shard();
                    (0..1000).for_each(|_| counter.increment());
                });
            }
        });
        counter.add(5);
        assert_eq!(counter.total(), 1000 * (SHARDS as u64 + 3) + 5);
    }
}
