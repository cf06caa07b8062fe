//! Who signs heads of the log: one thread, at most once a second, within a second of a change.
//!
//! It reads straight down; each step says what a crash there leaves behind:
//! 1. ask the trees for their heads      nothing
//! 2. sign them                          nothing: nobody has seen the signature
//! 3. append them to the journal         heads that are durable and were shown to nobody; the next start shows them
//! 4. show them                          the same
//!
//! Two heads that disagree are never signed: a head goes out only after it is in the journal, whose order is the log's; the trees
//! only give heads of groups that are durable; and before the first one is signed after a start, the newest one from before is
//! compared with the tree as it is now.
//!
//! - `cosigning`: what witnesses add.

mod cosigning;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::cosigning::Cosigning;
use super::Services;
use super::log::Published;
use super::witnesses::Witnesses;
use crate::metrics::LogMetrics;
use crate::model::time::Timestamp;
use crate::store::journal::FrameKind;
use crate::store::restored::Restored;
use crate::store::trees::{Heads, Tree};
use crate::store::{Outcome, Proposal, Refusal, StatementProposal};
use crate::tlog::hash::Head;
use crate::tlog::proof;

/// At most one head in this time.
const BETWEEN_HEADS: Duration = Duration::from_secs(1);
/// How often it is looked whether there is a change.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The thread that publishes; dropping it ends it, after a last head.
pub struct Publisher {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What it knows from one look to the next.
struct Publishing {
    services: Arc<Services>,
    metrics: LogMetrics,
    cosigning: Option<Cosigning>,
    /// The newest head from before this start was compared with the tree.
    is_compared: bool,
    /// It did not fit: nothing is signed any more.
    is_forked: bool,
    told: String,
}

/// Why no head was published.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Note(#[from] crate::tlog::note::NoteError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the head was not made durable: {0:?}")]
    Refused(Refusal),
    #[error("the head was not made durable: {0}")]
    Lost(String),
    #[error("{0}")]
    Unread(String),
    #[error(
        "the newest head that was signed before ({size} statements) is not one of the trees as they are: nothing is signed, for that \
         could prove a fork. Stop the node, remove trees.mark beside the journal and start it: the trees are made anew. If this is said \
         again, the journal is another one: restore the newest backup, or let the log go on under a new name"
    )]
    Forked { size: u64 },
}

impl Publisher {
    /// Shows what was signed before, if the trees are there, and goes on from it.
    pub fn start(services: &Arc<Services>, metrics: LogMetrics, witnesses: Witnesses) -> std::io::Result<Publisher> {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut publishing = Publishing {
            services: Arc::clone(services),
            metrics,
            cosigning: Cosigning::start(services, witnesses)?,
            is_compared: false,
            is_forked: false,
            told: String::new(),
        };
        // Signing waits for the disk, and this may be a thread that must not wait.
        let recalled = publishing.recall().map(|_| false);
        publishing.tell(recalled);
        let stop = Arc::clone(&is_over);
        let run = move || publishing.run(&stop);
        let thread = std::thread::Builder::new().name("publish".to_owned()).spawn(run)?;
        Ok(Publisher { is_over, thread: Some(thread) })
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Publishing {
    fn run(mut self, is_over: &AtomicBool) {
        let mut last: Option<Instant> = None;
        // What was signed before this start may have been cosigned by nobody yet.
        if let Some(published) = self.services.log.published() {
            self.show((*published).clone());
        }
        loop {
            let is_last = is_over.load(Ordering::Acquire);
            let wait = last.map_or(Duration::ZERO, |last| BETWEEN_HEADS.saturating_sub(last.elapsed()));
            if is_last || wait.is_zero() {
                let begun = Instant::now();
                let done = self.publish();
                // What failed is tried again after as long.
                let has_failed = done.is_err();
                if self.tell(done) || has_failed {
                    last = Some(begun);
                }
            }
            self.add_late();
            if is_last {
                return;
            }
            // Whoever waits for a proof waits for the very moment at which a head may follow.
            std::thread::park_timeout(if wait.is_zero() { LOOK_AGAIN } else { wait.min(LOOK_AGAIN) });
        }
    }

    /// Whether something was published. What hindered it is told once.
    fn tell(&mut self, done: Result<bool, PublishError>) -> bool {
        match &done {
            Ok(_) => self.told.clear(),
            Err(error) => {
                let error = error.to_string();
                if error != self.told {
                    tracing::error!(error, "no head of the log is published");
                    self.told = error;
                }
            }
        }
        let covered = self.services.log.published().map_or(0, |published| published.heads.registry.size);
        let leaves = self.services.store.tail().registry_size;
        self.metrics.published(covered, leaves.saturating_sub(covered));
        done.unwrap_or(false)
    }

    fn publish(&mut self) -> Result<bool, PublishError> {
        let services = Arc::clone(&self.services);
        let store = &services.store;
        let before = services.log.published().map(|published| published.heads);
        let has_grown = |heads: &Heads| {
            let size = |tree| store.trees().reader(tree).size();
            (size(Tree::Registry), size(Tree::Audit)) != (heads.registry.size, heads.audit.size)
        };
        // Roots are reckoned only where there is something new.
        if self.is_compared && before.as_ref().is_some_and(|heads| !has_grown(heads)) {
            return Ok(false);
        }
        let Some(heads) = self.recall()? else {
            return Ok(false);
        };
        let before = services.log.published().map(|published| published.heads);
        if before == Some(heads) || store.restored().is_some_and(Restored::is_undecided) {
            return Ok(false);
        }
        let published = services.log.signer().publish(heads)?;
        self.make_durable(&published)?;
        self.show(published);
        Ok(true)
    }

    /// Shows a head, with what witnesses say of it in a moment.
    fn show(&self, published: Published) {
        let published = match &self.cosigning {
            Some(cosigning) => cosigning.cosign(published),
            None => published,
        };
        self.services.log.show(published);
    }

    fn add_late(&self) {
        let published = self.services.log.published();
        let late = self.cosigning.as_ref().zip(published).and_then(|(cosigning, published)| cosigning.late(&published));
        if let Some(cosigned) = late {
            self.services.log.show(cosigned);
        }
    }

    /// The heads that could be signed now. Before the first of them the newest one from before this start is compared with the
    /// trees, and shown.
    fn recall(&mut self) -> Result<Option<Heads>, PublishError> {
        let services = Arc::clone(&self.services);
        let Some((heads, newest)) = services.store.trees().heads().filter(|_| !self.is_forked) else {
            return Ok(None);
        };
        if !self.is_compared {
            if let Some(place) = newest {
                let (_, frame) =
                    services.store.statement(place).map_err(|error| PublishError::Unread(error.to_string()))?;
                if let Some(published) = services.log.signer().read(&frame) {
                    self.compare(&published, &heads)?;
                    if services.log.signer().made(&published) {
                        services.log.show(published);
                    }
                }
            }
            self.is_compared = true;
        }
        Ok(Some(heads))
    }

    /// Whether heads from before are of the trees as they are.
    fn compare(&mut self, published: &Published, now: &Heads) -> Result<(), PublishError> {
        for (tree, now) in [(Tree::Registry, now.registry), (Tree::Audit, now.audit)] {
            let head = published.head(tree);
            let reader = self.services.store.trees().reader(tree);
            let is_ours = head.size <= now.size
                && proof::root(&reader, head.size)
                    .map(|root| Head { size: head.size, root } == head)
                    .map_err(|error| PublishError::Unread(error.to_string()))?;
            if !is_ours {
                self.is_forked = true;
                return Err(PublishError::Forked { size: published.heads.registry.size });
            }
        }
        Ok(())
    }

    fn make_durable(&self, published: &Published) -> Result<(), PublishError> {
        let statement = StatementProposal {
            disclosures: Vec::new(),
            kind: FrameKind::CheckpointHead,
            statement: published.frame()?,
            time: Timestamp::now().as_seconds(),
            principal: "node".to_owned(),
        };
        match self.services.store.commit_blocking(vec![Proposal::Statement(statement)], false).pop() {
            Some(Outcome::Committed(_)) => Ok(()),
            Some(Outcome::Refused(refusal)) => Err(PublishError::Refused(refusal)),
            other => Err(PublishError::Lost(format!("{other:?}"))),
        }
    }
}
