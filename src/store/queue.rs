//! The way into the sequencer's queue: one change at a time, or many from a thread that may wait, which make room for the single ones.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::oneshot;

use super::Store;
use super::proposal::{Outcome, Proposal, Refusal};
use super::sequencer::Job;

/// Proposals that were handed over.
pub struct UnderWay {
    count: usize,
    /// `None`: the store takes no more.
    answered: Option<oneshot::Receiver<Vec<Outcome>>>,
}

impl UnderWay {
    /// Waits for what became of each. From a thread that may block.
    #[must_use]
    pub fn outcomes(self) -> Vec<Outcome> {
        let refused = match self.answered.map(oneshot::Receiver::blocking_recv) {
            Some(Ok(outcomes)) => return outcomes,
            Some(Err(_)) => lost(),
            None => Refusal::Stopping,
        };
        vec![Outcome::Refused(refused); self.count]
    }
}

/// Rows of an import that are committed together while single changes come in: a single one waits for the group before it
/// (docs/decisions.md, "Beside an import").
const ROWS_BESIDE_SINGLES: usize = 16;
/// How long after a single change others are expected.
const SINGLES_EXPECTED: Duration = Duration::from_millis(500);

/// Whether single changes come in, so that imports make room for them.
pub(super) struct Singles {
    since: Instant,
    /// When the last one came, in milliseconds after `since`; 0: none did.
    last: AtomicU64,
}

impl Default for Singles {
    fn default() -> Singles {
        Singles { since: Instant::now(), last: AtomicU64::new(0) }
    }
}

impl Singles {
    fn now(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn came(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    fn are_expected(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && u128::from(self.now().saturating_sub(last)) < SINGLES_EXPECTED.as_millis()
    }
}

impl Store {
    /// Commits; answers when all of it is durable and visible, or says why not. Never waits for room in the queue.
    pub async fn commit(&self, proposals: Vec<Proposal>, atomic: bool) -> Vec<Outcome> {
        let count = proposals.len();
        self.singles.came();
        let (answer, answered) = oneshot::channel();
        let sent = self.sender().map(|jobs| jobs.try_send(Job::Commit { proposals, atomic, answer }));
        let refused = match sent {
            Some(Ok(())) => match answered.await {
                Ok(outcomes) => return outcomes,
                Err(_) => lost(),
            },
            Some(Err(TrySendError::Full(_))) => Refusal::Busy,
            Some(Err(TrySendError::Disconnected(_))) | None => Refusal::Stopping,
        };
        vec![Outcome::Refused(refused); count]
    }

    /// Commits from a thread that may block: waits for room in the queue, which is what slows an import down. Many that need
    /// not be one are committed a few at a time while single changes come in.
    pub fn commit_blocking(&self, mut proposals: Vec<Proposal>, atomic: bool) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(proposals.len());
        while !atomic && proposals.len() > ROWS_BESIDE_SINGLES && self.singles.are_expected() {
            let rest = proposals.split_off(ROWS_BESIDE_SINGLES);
            let begun = Instant::now();
            outcomes.extend(self.commit_group(std::mem::replace(&mut proposals, rest), false));
            // As long again nothing of it: disk and cores are free half of the time for whoever else comes.
            std::thread::sleep(begun.elapsed());
        }
        outcomes.extend(self.commit_group(proposals, atomic));
        outcomes
    }

    /// Hands proposals over and does not wait for what becomes of them: the sequencer has them at hand when it is done with
    /// those before. They come back while single changes come in.
    pub fn commit_ahead(&self, proposals: Vec<Proposal>) -> Result<UnderWay, Vec<Proposal>> {
        if self.singles.are_expected() { Err(proposals) } else { Ok(self.hand_over(proposals, false)) }
    }

    fn commit_group(&self, proposals: Vec<Proposal>, atomic: bool) -> Vec<Outcome> {
        self.hand_over(proposals, atomic).outcomes()
    }

    fn hand_over(&self, proposals: Vec<Proposal>, atomic: bool) -> UnderWay {
        let count = proposals.len();
        let (answer, answered) = oneshot::channel();
        let sent = self.sender().is_some_and(|jobs| jobs.send(Job::Commit { proposals, atomic, answer }).is_ok());
        UnderWay { count, answered: sent.then_some(answered) }
    }

    fn sender(&self) -> Option<Sender<Job>> {
        self.jobs.read().clone()
    }
}

fn lost() -> Refusal {
    Refusal::Poisoned(
        "the store failed while this was being written; ask again by the idempotency key after a restart".to_owned(),
    )
}
