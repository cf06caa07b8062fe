//! Whether the cold file system answers, by what the thread sees that asks it every second: a refusal, or nothing for too long.
//!
//! Others look here before they ask it themselves: one that hangs holds up the one who asks, and is not to hold up all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// And what a move asks for: room for a segment, a megabyte that is made durable on a slow disk. Reads may be answered meanwhile.
const PATIENCE_AT_WORK: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Default)]
pub(super) struct Pulse {
    is_away: AtomicBool,
    /// When what is under way was begun, and how long it may take.
    under_way: Mutex<Vec<(Instant, Duration)>>,
}

/// Something that is under way, until it is dropped.
struct Asked<'p> {
    pulse: &'p Pulse,
    entry: (Instant, Duration),
}

impl Pulse {
    /// Asks the file system whether it is there.
    pub fn asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        let _asked = self.begin((Instant::now(), PATIENCE));
        ask()
    }

    /// Has the file system do something that may take longer.
    pub fn working<T>(&self, work: impl FnOnce() -> T) -> T {
        let _asked = self.begin((Instant::now(), PATIENCE_AT_WORK));
        work()
    }

    /// Notes whether it is away; says what was noted before.
    pub fn note(&self, is_away: bool) -> bool {
        self.is_away.swap(is_away, Ordering::Relaxed)
    }

    pub fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
            || self.under_way.lock().iter().any(|(begun, patience)| begun.elapsed() >= *patience)
    }

    /// Whether somebody waits for it longer than a stop does.
    pub fn is_stuck(&self) -> bool {
        self.under_way.lock().iter().any(|(begun, _)| begun.elapsed() >= PATIENCE)
    }

    fn begin(&self, entry: (Instant, Duration)) -> Asked<'_> {
        self.under_way.lock().push(entry);
        Asked { pulse: self, entry }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut under_way = self.pulse.under_way.lock();
        // Of two that were begun in the same moment either will do.
        if let Some(at) = under_way.iter().position(|entry| *entry == self.entry) {
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
        let work = pulse.begin((long_ago, PATIENCE_AT_WORK));
        assert!(!pulse.is_away() && pulse.is_stuck(), "slow work keeps no reader away, and no stop waits for it");
        drop(work);
        let (one, other) = (pulse.begin((long_ago, PATIENCE)), pulse.begin((long_ago, PATIENCE)));
        drop(one);
        assert!(pulse.is_away() && pulse.is_stuck(), "the other waits still");
        drop(other);
        assert!(!pulse.is_away());
    }
}
