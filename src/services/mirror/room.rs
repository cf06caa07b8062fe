//! How much of what is hidden is on its way at once: one budget over fetching, checking and committing.
//!
//! Every bundle that is fetched has room for an answer from the beginning, and keeps only what it then holds, until it is
//! committed. A bundle larger than most waits for its turn, since those before it must be able to go on, and there is one such
//! at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The most bytes of one answer, unpacked: more lines than it has room for are asked for in two halves. Room for the longest line:
/// a statement of 64 KiB and what it discloses, see [`crate::sign::disclosed::MAX_DISCLOSED_BYTES`].
pub(super) const ANSWER_BYTES: usize = 8 << 20;
/// Lines that a bundle may hold without a turn of its own.
const SMALL_BYTES: usize = 16 << 20;
/// And with one: 256 records of the longest values, in base64.
const LARGE_BYTES: usize = 384 << 20;
/// What a bundle is given before it is fetched: an answer as it comes, unpacked and parsed, and twice the lines of the answers before.
const FETCHED_BYTES: usize = 3 * ANSWER_BYTES + 2 * SMALL_BYTES;
/// All bundles but the large one. No less than [`FETCHED_BYTES`] for each that is fetched at once, so that the first of them
/// always comes to its end.
const BUDGET_BYTES: usize = 512 << 20;
/// Permits are counted in kibibytes.
const UNIT: usize = 1 << 10;

const _: () = assert!(super::following::AT_ONCE * FETCHED_BYTES <= BUDGET_BYTES);

pub(super) struct Room {
    budget: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// The number of the bundle that is taken next.
    turn: AtomicU64,
    turned: Notify,
}

/// What one bundle holds of the budget; given back when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Default for Room {
    fn default() -> Room {
        Room {
            budget: Arc::new(Semaphore::new(BUDGET_BYTES / UNIT)),
            large: Arc::new(Semaphore::new(1)),
            turn: AtomicU64::new(0),
            turned: Notify::new(),
        }
    }
}

impl Room {
    /// The bundle of this number is taken next.
    pub fn turn_to(&self, number: u64) {
        self.turn.store(number, Ordering::Release);
        self.turned.notify_waiters();
    }

    /// Room to fetch a bundle in. Only a closed semaphore gives none, and these are never closed.
    pub async fn enter(&self) -> Held {
        let small = Arc::clone(&self.budget).acquire_many_owned((FETCHED_BYTES / UNIT) as u32).await.ok();
        Held { small, large: None }
    }

    /// Room for one more answer beside the lines that a bundle has; false where no honest bundle has so many bytes.
    pub async fn grow(&self, held: &mut Held, number: u64, lines_bytes: usize) -> bool {
        if lines_bytes > LARGE_BYTES {
            return false;
        }
        if lines_bytes > SMALL_BYTES && held.large.is_none() {
            loop {
                let turned = self.turned.notified();
                if self.turn.load(Ordering::Acquire) == number {
                    break;
                }
                turned.await;
            }
            held.large = Arc::clone(&self.large).acquire_owned().await.ok();
        }
        true
    }
}

impl Held {
    /// Keeps no more than the lines of a bundle need, as text and parsed.
    pub fn shrink(&mut self, lines_bytes: usize) {
        let kept = if self.large.is_some() { 0 } else { (2 * lines_bytes).div_ceil(UNIT) };
        if let Some(small) = &mut self.small {
            drop(small.split(small.num_permits().saturating_sub(kept)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whether it waits rather than ends.
    async fn waits<T>(what: impl Future<Output = T>) -> bool {
        tokio::select! {
            biased;
            _ = what => false,
            () = tokio::task::yield_now() => true,
        }
    }

    #[tokio::test]
    async fn no_more_is_on_its_way_than_the_budget_and_what_was_taken_gives_room() {
        let room = Room::default();
        let mut all = Vec::new();
        while !waits(async { all.push(room.enter().await) }).await {
            assert!(all.len() <= BUDGET_BYTES / FETCHED_BYTES);
        }
        assert!(all.len() >= super::super::following::AT_ONCE);
        // A bundle of a few bytes leaves the rest to the others.
        all[0].shrink(1000);
        assert!(!waits(room.enter()).await);
        all[1].shrink(SMALL_BYTES);
        all.clear();
        assert_eq!(room.budget.available_permits(), BUDGET_BYTES / UNIT);
    }

    #[tokio::test]
    async fn a_large_bundle_waits_for_its_turn_and_there_is_one_at_a_time() {
        let room = Arc::new(Room::default());
        let (mut first, mut second) = (room.enter().await, room.enter().await);
        assert!(room.grow(&mut first, 4, SMALL_BYTES).await && first.large.is_none());
        assert!(!room.grow(&mut first, 4, LARGE_BYTES + 1).await, "no honest bundle has that");
        let late = Arc::clone(&room);
        let waiting = tokio::spawn(async move { late.grow(&mut first, 4, SMALL_BYTES + 1).await.then_some(first) });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "another one's turn");
        room.turn_to(4);
        let mut first = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap().unwrap();
        room.turn_to(5);
        assert!(waits(room.grow(&mut second, 5, SMALL_BYTES + 1)).await, "the one before is not committed");
        first.shrink(LARGE_BYTES);
        drop(first);
        assert!(room.grow(&mut second, 5, SMALL_BYTES + 1).await);
    }
}
