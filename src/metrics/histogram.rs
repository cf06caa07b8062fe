//! A latency histogram that costs two additions: fixed bounds, found from the number of leading zeros.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, 1-2.5-5 from a microsecond to ten seconds; what is longer goes into one more.
pub const BOUNDS_SECONDS: [f64; 22] = [
    1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// The same in nanoseconds.
const BOUNDS: [u64; 22] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// By the number of significant bits: the first bucket that such a number may fall into.
const FIRST: [u8; 65] = first_buckets();

const fn first_buckets() -> [u8; 65] {
    let mut table = [0; 65];
    let mut bits = 1;
    while bits <= 64 {
        let least = 1_u64 << (bits - 1);
        let mut bucket = 0;
        while (bucket as usize) < BOUNDS.len() && BOUNDS[bucket as usize] < least {
            bucket += 1;
        }
        table[bits] = bucket;
        bits += 1;
    }
    table
}

fn bucket_of(nanoseconds: u64) -> usize {
    let bits = (u64::BITS - nanoseconds.leading_zeros()) as usize;
    let mut bucket = usize::from(FIRST.get(bits).copied().unwrap_or_default());
    while BOUNDS.get(bucket).is_some_and(|bound| *bound < nanoseconds) {
        bucket += 1;
    }
    bucket
}

/// One series of one shard.
#[derive(Debug)]
pub(super) struct Buckets {
    counts: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

impl Default for Buckets {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], nanoseconds: AtomicU64::new(0) }
    }
}

impl Buckets {
    pub(super) fn record(&self, duration: Duration) {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.counts.get(bucket_of(nanoseconds)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut Sum) {
        for (total, count) in sum.counts.iter_mut().zip(&self.counts) {
            *total += count.load(Ordering::Relaxed);
        }
        sum.nanoseconds += self.nanoseconds.load(Ordering::Relaxed);
    }
}

/// The shards of one series added up.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) counts: [u64; BUCKETS],
    nanoseconds: u64,
}

impl Sum {
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum of seconds is shown, not counted with")]
    pub(super) fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// Bound and count of each bucket, not cumulative.
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS_SECONDS.into_iter().chain([f64::INFINITY]);
        bounds.zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_holds_it() {
        for (position, bound) in BOUNDS.into_iter().enumerate() {
            assert_eq!(bucket_of(bound), position, "a bound belongs to its own bucket");
            assert_eq!(bucket_of(bound + 1), position + 1);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BOUNDS.len());
    }

    #[test]
    fn the_bounds_in_seconds_are_the_bounds_in_nanoseconds() {
        for (seconds, nanoseconds) in BOUNDS_SECONDS.into_iter().zip(BOUNDS) {
            assert_eq!(Duration::from_secs_f64(seconds).as_nanos(), u128::from(nanoseconds));
        }
    }
}
