//! Whether the cold file system answers, by what the thread sees that asks it every second: a refusal, or nothing for too long.
//!
//! Others look here before they ask it themselves: one that hangs holds up the one who asks, and is not to hold up all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A megabyte that is made durable on a busy disk takes less.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Default)]
pub(super) struct Pulse {
    is_away: AtomicBool,
    /// When what is under way was begun.
    under_way: Mutex<Vec<Instant>>,
}

/// Something that is under way, until it is dropped.
struct Asked<'p> {
    pulse: &'p Pulse,
    begun: Instant,
}

impl Pulse {
    /// Asks the file system for something.
    pub fn asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        let _asked = self.begin(Instant::now());
        ask()
    }

    /// Notes whether it is away; says what was noted before.
    pub fn note(&self, is_away: bool) -> bool {
        self.is_away.swap(is_away, Ordering::Relaxed)
    }

    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed) || self.is_stuck()
    }

    /// Whether somebody waits for it, and has waited too long.
    pub fn is_stuck(&self) -> bool {
        self.under_way.lock().iter().any(|begun| begun.elapsed() >= PATIENCE)
    }

    fn begin(&self, begun: Instant) -> Asked<'_> {
        self.under_way.lock().push(begun);
        Asked { pulse: self, begun }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut under_way = self.pulse.under_way.lock();
        // Of two that were begun in the same moment either will do.
        if let Some(at) = under_way.iter().position(|begun| *begun == self.begun) {
            under_way.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_away_where_it_refuses_or_lets_somebody_wait_and_not_any_longer() {
        let pulse = Pulse::default();
        assert!(!pulse.asking(|| pulse.is_away()), "a moment is not too long");
        assert!(!pulse.note(true) && pulse.is_away() && !pulse.is_stuck());
        assert!(pulse.note(false) && !pulse.is_away());
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        let (one, other) = (pulse.begin(long_ago), pulse.begin(long_ago));
        drop(one);
        assert!(pulse.is_away() && pulse.is_stuck(), "the other waits still");
        drop(other);
        assert!(!pulse.is_away());
    }
}
