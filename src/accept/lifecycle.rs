//! Where the node stands between start and exit, for `/readyz` and for the drain.
//!
//! The phases only go forward. [`Lifecycle::stop`] once begins the way out; twice ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// In the order in which they are passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serving,
    /// Requests are served, `/readyz` is not: load balancers turn away.
    LameDuck,
    /// No new connection; requests in flight end.
    Draining,
    /// Everything still open is cut off.
    Stopped,
}

/// Shared by the workers, `/readyz` and the signals.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: watch::Sender<Phase>,
    /// Set by node.rs when the store is open and the answers are true.
    is_filled: AtomicBool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    #[must_use]
    pub fn new() -> Self {
        let (phase, _) = watch::channel(Phase::Serving);
        Self(Arc::new(Inner { phase, is_filled: AtomicBool::new(false) }))
    }

    /// Says that the node can answer truly; until then `/readyz` refuses.
    pub fn set_ready(&self) {
        self.0.is_filled.store(true, Ordering::Release);
    }

    /// What `/readyz` answers.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.is_filled.load(Ordering::Acquire) && self.phase() == Phase::Serving
    }

    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Asks for the end: the first call begins the lame duck and the drain, the second stops at once.
    pub fn stop(&self) {
        self.0.phase.send_modify(|phase| {
            *phase = if *phase == Phase::Serving { Phase::LameDuck } else { Phase::Stopped };
        });
    }

    /// Goes forward to `phase`; never back.
    pub(super) fn advance(&self, phase: Phase) {
        self.0.phase.send_if_modified(|current| {
            let is_later = phase > *current;
            if is_later {
                *current = phase;
            }
            is_later
        });
    }

    /// Returns once `phase` or a later one is reached.
    pub async fn reached(&self, phase: Phase) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.0.phase.subscribe().wait_for(|current| *current >= phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_after_filling_and_before_stopping() {
        let lifecycle = Lifecycle::new();
        assert!(!lifecycle.is_ready());
        lifecycle.set_ready();
        assert!(lifecycle.is_ready());
        lifecycle.stop();
        assert!(!lifecycle.is_ready());
        assert_eq!(lifecycle.phase(), Phase::LameDuck);
    }

    #[test]
    fn the_second_stop_ends_at_once_and_phases_never_go_back() {
        let lifecycle = Lifecycle::new();
        lifecycle.stop();
        lifecycle.advance(Phase::Draining);
        lifecycle.advance(Phase::LameDuck);
        assert_eq!(lifecycle.phase(), Phase::Draining);
        lifecycle.stop();
        assert_eq!(lifecycle.phase(), Phase::Stopped);
        lifecycle.stop();
        assert_eq!(lifecycle.phase(), Phase::Stopped);
    }
}
