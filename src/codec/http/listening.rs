//! What answers of server-sent events (WHATWG HTML, section 9.2) have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderMap;

use super::failure::Failure;
use crate::codec::problem::Code;

pub(super) const EVENTS: &str = "text/event-stream";
/// What an answer begins with: how long an EventSource waits before it comes back, in milliseconds.
pub(super) const RETRY: &str = "retry: 1000\n\n";
/// What is silent for longer is taken for dead by proxies.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// Who listens is asked again for a credential after this: an EventSource comes back by itself.
pub(super) const LONGEST: Duration = Duration::from_secs(600);
/// Listeners of one kind together: each has a connection and a timer.
const MOST_LISTENERS: usize = 256;
/// Longer ids are none of ours.
const ID_BYTES: usize = 160;

/// The event that was heard last, by whoever comes back.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    headers.get("last-event-id")?.to_str().ok().filter(|id| id.len() <= ID_BYTES).map(str::to_owned)
}

/// One of the places for listeners.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    pub(super) fn take(taken: &Arc<AtomicUsize>) -> Result<Place, Failure> {
        let place = Place(Arc::clone(taken));
        if taken.fetch_add(1, Ordering::Relaxed) >= MOST_LISTENERS { Err(Code::Overloaded.into()) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
