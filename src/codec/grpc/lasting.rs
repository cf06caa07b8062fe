//! How many streamed answers there are at once. A stream may last for an hour and cost its client nothing, so streams get half of
//! the requests in flight at most: the other half is for what is asked and answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The streams that are open.
#[derive(Debug)]
pub(super) struct Lasting {
    open: Arc<AtomicU64>,
    most: u64,
}

/// The place of one stream, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken(Arc<AtomicU64>);

impl Lasting {
    pub(super) fn of(requests_in_flight: u64) -> Lasting {
        Lasting { open: Arc::default(), most: (requests_in_flight / 2).max(1) }
    }

    /// `None`: there are too many.
    pub(super) fn take(&self) -> Option<Taken> {
        let taken = Taken(Arc::clone(&self.open));
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        (before < self.most).then_some(taken)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_requests_may_last_and_a_place_comes_back() {
        let lasting = Lasting::of(4);
        let (one, two) = (lasting.take(), lasting.take());
        assert!(one.is_some() && two.is_some());
        assert!(lasting.take().is_none());
        assert!(lasting.take().is_none(), "who was refused holds nothing");
        drop(one);
        assert!(lasting.take().is_some());
        assert!(Lasting::of(1).take().is_some(), "one at least");
    }
}
