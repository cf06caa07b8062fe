//! Small numbers for threads: no two that run at the same time have the same one.
//!
//! A thread takes the lowest free number when it first asks, and gives it back when it ends. Who finds none free, or asks while
//! it ends, gets one of [`OWN`] or above, which others may have too.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Numbers that are one thread's own: more than there are processors to read at once, on most machines.
pub const OWN: usize = 128;

const UNKNOWN: usize = usize::MAX;

static TAKEN: [AtomicU64; OWN / 64] = [const { AtomicU64::new(0) }; OWN / 64];

/// Gives a number back when its thread ends.
struct Owner(Cell<usize>);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(UNKNOWN) };
    static OWNER: Owner = const { Owner(Cell::new(UNKNOWN)) };
}

/// This thread's number.
#[inline]
pub fn number() -> usize {
    let number = NUMBER.get();
    if number == UNKNOWN { first_number() } else { number }
}

#[cold]
fn first_number() -> usize {
    let own = OWNER.try_with(|owner| {
        let own = take()?;
        owner.0.set(own);
        Some(own)
    });
    let number = own.ok().flatten().unwrap_or_else(shared);
    NUMBER.set(number);
    number
}

fn take() -> Option<usize> {
    TAKEN.iter().enumerate().find_map(|(word, taken)| {
        // Acquire: what the thread that had it before did with it is done.
        let lowest_free = |bits: u64| (bits != u64::MAX).then_some(bits | (bits + 1));
        let before = taken.fetch_update(Ordering::Acquire, Ordering::Relaxed, lowest_free).ok()?;
        Some(word * 64 + before.trailing_ones() as usize)
    })
}

fn shared() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    OWN + NEXT.fetch_add(1, Ordering::Relaxed) % OWN
}

impl Drop for Owner {
    fn drop(&mut self) {
        let own = self.0.get();
        if own < OWN {
            // What else ends with this thread and still reads does not do it under a number that is another's by then.
            NUMBER.set(OWN + own);
            TAKEN[own / 64].fetch_and(!(1 << (own % 64)), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;

    #[test]
    fn threads_that_run_at_once_have_numbers_of_their_own_and_give_them_back() {
        for _ in 0..3 {
            let all = Barrier::new(40);
            let numbers: Vec<usize> = std::thread::scope(|scope| {
                let ask = || {
                    let mine = number();
                    all.wait();
                    assert_eq!(mine, number());
                    mine
                };
                let threads: Vec<_> = (0..40).map(|_| scope.spawn(ask)).collect();
                threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
            });
            // Of 128 in all: three rounds of 40 beside other tests would run out, if they were not given back.
            let own: HashSet<usize> = numbers.iter().copied().filter(|number| *number < OWN).collect();
            assert_eq!(own.len(), 40, "{numbers:?}");
        }
    }
}
