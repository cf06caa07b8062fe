//! The thread that follows the origin: a look at its head every second, everything that a new one brings taken in, and then the
//! head shown. It stops for good where the log is not honest; all else it tries again.
//!
//! - `taking`: from the follower to the pipeline.

mod taking;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::Notify;

use self::taking::{Counts, Taking, issuer};
use super::disclosed::Disclosing;
use super::evidence;
use super::halt::{Fault, Halt};
use super::order::Order;
use super::recall;
use crate::metrics::MirrorMetrics;
use crate::model::time::Timestamp;
use crate::services::Services;
use crate::services::audit::keys::Succession;
use crate::services::follow::{FollowError, Follower, Options, Source};
use crate::services::log::Published;
use crate::services::signing_keys::authorities;
use crate::store::journal::FrameKind;
use crate::store::{Outcome, Proposal, StatementProposal};
use crate::tlog::hash::Head;
use crate::tlog::note::Note;

/// Between two looks at the origin's head, which changes once a second at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// The same after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// An erasure is durable before what it erases is blank, so the next head covers it; one more for a head that was being signed.
const HEADS_TO_EXPLAIN: u32 = 3;
/// So often in a row what nobody signed must be wrong, each time over new connections, before the log is followed no further: a
/// cache, or another server behind the same address, has about a minute to come right.
const LOOKS_IN_DOUBT: u32 = 12;
/// Bundles that are fetched at once: with what is hidden they are larger.
pub(super) const AT_ONCE: usize = 8;

/// How far a mirror is.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub head: Head,
    /// Taken in by this run.
    pub statements: u64,
}

/// The thread; dropping it ends it. What was taken in is whole.
pub struct Following {
    ending: Arc<Ending>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Ending {
    is_over: AtomicBool,
    told: Notify,
}

impl Ending {
    async fn came(&self) {
        let told = self.told.notified();
        if !self.is_over.load(Ordering::Acquire) {
            told.await;
        }
    }
}

impl Following {
    /// Shows what was reached before, and goes on from there.
    pub fn start(services: &Arc<Services>, metrics: MirrorMetrics, order: Order) -> io::Result<Following> {
        let ending = Arc::new(Ending::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut mirroring = Mirroring::new(services, metrics, order, Arc::clone(&ending));
        if let Err(halt) = mirroring.show_known() {
            tracing::error!(error = %halt, "what was reached before does not hold");
        }
        let run = move || runtime.block_on(mirroring.run());
        let thread = std::thread::Builder::new().name("mirror".to_owned()).spawn(run)?;
        Ok(Following { ending, thread: Some(thread) })
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.ending.is_over.store(true, Ordering::Release);
        self.ending.told.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Follows up to the head that the origin shows now.
pub async fn follow_once(services: &Arc<Services>, metrics: MirrorMetrics, order: Order) -> Result<Reached, Halt> {
    let mut mirroring = Mirroring::new(services, metrics, order, Arc::default());
    mirroring.show_known()?;
    let begun = services.store.tail().registry_size;
    loop {
        let halt = match mirroring.round().await {
            Ok(head) => return Ok(Reached { head, statements: head.size.saturating_sub(begun) }),
            Err(halt) => mirroring.weighed(halt),
        };
        if !halt.is_doubt() {
            mirroring.judge(&halt);
            return Err(halt);
        }
        tokio::time::sleep(BETWEEN_LOOKS / 4).await;
    }
}

/// What the thread knows from one look to the next.
struct Mirroring {
    services: Arc<Services>,
    order: Order,
    source: Arc<Disclosing>,
    /// None before the first look, and after a failure: the journal says then how far it came.
    follower: Option<Follower>,
    keys: Arc<Succession>,
    issuer: Arc<str>,
    counts: Arc<Counts>,
    ending: Arc<Ending>,
    told: String,
    /// Looks since the last good one that found wrong what nobody signed.
    doubts: u32,
}

impl Mirroring {
    fn new(services: &Arc<Services>, metrics: MirrorMetrics, order: Order, ending: Arc<Ending>) -> Mirroring {
        Mirroring {
            services: Arc::clone(services),
            source: Arc::new(Disclosing::of(Arc::clone(&order.log), order.granted.clone())),
            order,
            follower: None,
            keys: Arc::default(),
            issuer: Arc::from(""),
            counts: Arc::new(Counts::of(metrics)),
            ending,
            told: String::new(),
            doubts: 0,
        }
    }

    async fn run(mut self) {
        let ending = Arc::clone(&self.ending);
        loop {
            let done = tokio::select! {
                done = self.round() => done.map_err(|halt| self.weighed(halt)),
                () = ending.came() => return,
            };
            let pause = match done {
                Ok(_) => BETWEEN_LOOKS,
                Err(Halt::Over) => return,
                Err(halt) if self.judge(&halt) => return,
                Err(_) => AFTER_FAILURE,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ending.came() => return,
            }
        }
    }

    /// Shows the head of before this start.
    fn show_known(&mut self) -> Result<(), Halt> {
        if let Some(published) = recall::published(&self.services)? {
            self.counts.metrics.shows(published.heads.registry.size);
            self.services.log.show(published);
        }
        Ok(())
    }

    /// One look, and all that it brings.
    async fn round(&mut self) -> Result<Head, Halt> {
        let heads = self.services.store.trees().heads();
        let (heads, _) = heads.ok_or_else(|| Halt::Own("the trees are being made from the journal".to_owned()))?;
        if self.services.log.published().is_none() {
            self.show_known()?;
        }
        let mut follower = match self.follower.take() {
            Some(follower) => follower,
            None => self.begin(heads.registry)?,
        };
        self.source.begin(heads.registry.size);
        let believed = follower.memory().newest().size;
        let mut taking = Taking::of(self);
        let advanced = follower.advance(|batch| taking.take(batch)).await;
        let (pipeline, kept) = (taking.pipeline.take(), taking.halt.take());
        (self.keys, self.issuer) = (Arc::clone(&taking.keys), Arc::clone(&taking.issuer));
        drop(taking);
        let ended = pipeline.map_or(Ok(()), |mut pipeline| pipeline.end());
        // What a head was believed for must not be forgotten because its entries did not come.
        let memory = follower.memory();
        if let Some(head) = memory.checkpoint().filter(|_| memory.newest().size > believed) {
            recall::keep_seen(&self.services.settings.data_folder, head.as_bytes())?;
        }
        // The first of the three that went wrong is the cause of the others.
        let head = match (kept, ended, advanced) {
            (Some(halt), _, _) | (None, Err(halt), _) => return Err(halt),
            (None, Ok(()), Err(FollowError::RolledBack { remembered, evidence, .. })) => {
                return Err(recall::older(&self.services, remembered, evidence));
            }
            (None, Ok(()), advanced) => advanced?,
        };
        let shown = follower.memory().checkpoint().unwrap_or_default().to_owned();
        self.publish(head, &shown).await?;
        self.follower = Some(follower);
        Ok(head)
    }

    fn begin(&mut self, done: Head) -> Result<Follower, Halt> {
        let known = authorities(&self.services.store)?;
        self.issuer = Arc::from(issuer(&self.services)?.as_str());
        self.keys = Arc::new(Succession::of(known.into_iter().map(|known| (known.key, known.from))));
        let memory = recall::memory(&self.services, &self.order, done)?;
        let options = Options { patience: self.order.patience, at_once: AT_ONCE };
        Ok(Follower::new(Arc::clone(&self.source) as _, self.order.policy.clone(), memory, options))
    }

    /// Everything that the head covers is durable here: it is made durable itself, and shown.
    async fn publish(&mut self, head: Head, shown: &str) -> Result<(), Halt> {
        let now = self.services.store.trees().heads().map(|(heads, _)| heads.registry);
        if now.is_some_and(|now| now != head) {
            return Err(Halt::OtherRoot { size: head.size });
        }
        let note = Note::parse(shown).map_err(|error| Halt::Own(error.to_string()))?;
        let published = Published::of_another(head, note);
        let before = self.services.log.published();
        let is_new = before.as_ref().is_none_or(|before| before.heads.registry != head);
        if is_new {
            self.make_durable(&published).await?;
            self.explain()?;
        }
        // The same head may bear more cosignatures now.
        if is_new || before.is_some_and(|before| before.note().to_string() != shown) {
            self.services.log.show(published);
        }
        self.counts.metrics.verified(head.size, Timestamp::now().as_seconds().unsigned_abs());
        self.told.clear();
        self.doubts = 0;
        Ok(())
    }

    async fn make_durable(&self, published: &Published) -> Result<(), Halt> {
        let statement = StatementProposal {
            disclosures: Vec::new(),
            kind: FrameKind::CheckpointHead,
            statement: published.frame().map_err(|error| Halt::Own(error.to_string()))?,
            time: Timestamp::now().as_seconds(),
            principal: "origin".to_owned(),
        };
        match self.services.store.commit(vec![Proposal::Statement(statement)], false).await.pop() {
            Some(Outcome::Committed(_)) => Ok(()),
            Some(Outcome::Refused(refusal)) => Err(Halt::Refused(refusal)),
            other => Err(Halt::Own(format!("the head was not made durable: {other:?}"))),
        }
    }

    /// What came without disclosures must have been erased, and the erasure must have come by now.
    fn explain(&self) -> Result<(), Halt> {
        let mut unexplained = self.counts.unexplained.lock();
        for (index, heads) in unexplained.values_mut() {
            *heads += 1;
            if *heads > HEADS_TO_EXPLAIN {
                let cause = "the origin keeps back what it hides, and no erasure names it".to_owned();
                return Err(Halt::Fault(Fault { index: *index, cause, is_signed: true }));
            }
        }
        Ok(())
    }

    /// What nobody signed is asked for anew, a bounded number of times.
    fn weighed(&mut self, halt: Halt) -> Halt {
        if !halt.is_doubt() {
            return halt;
        }
        self.doubts += 1;
        self.source.renew();
        if self.doubts < LOOKS_IN_DOUBT { halt } else { Halt::Persists { looks: self.doubts, halt: Box::new(halt) } }
    }

    /// Tells of a failure, once; whether it is the end.
    fn judge(&mut self, halt: &Halt) -> bool {
        let (error, code) = (halt.to_string(), halt.code());
        let known = self.services.store.tail().registry_size;
        if !halt.is_final() {
            self.counts.metrics.failed();
            if error != self.told {
                tracing::warn!(
                    error,
                    code,
                    origin = self.order.url,
                    "the origin could not be followed; it is tried again"
                );
                self.told = error;
            }
            return false;
        }
        let remembered = self.services.log.published().map(|published| published.note().to_string());
        let shown = String::from_utf8_lossy(&self.source.head()).into_owned();
        let folder = &self.services.settings.data_folder;
        let kept = evidence::keep(folder, &self.order.url, halt, &remembered.unwrap_or_default(), &shown);
        let evidence = match &kept {
            Ok(path) => path.display().to_string(),
            Err(error) => format!("not kept: {error}"),
        };
        if let Some(mirror) = self.services.mirror() {
            mirror.stop(code);
        }
        self.counts.metrics.stopped();
        tracing::error!(
            error,
            code,
            origin = self.order.url,
            known,
            evidence,
            "the origin's log is not honest, or is not the one that was mirrored: it is followed no further; what was verified is served on"
        );
        true
    }
}
