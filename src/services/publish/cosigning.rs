//! The thread that shows heads to the witnesses, one at a time, so that a slow one delays no head but is waited for a moment. A
//! witness that did not cosign the newest head is shown it again, after each of its pauses, until a newer one comes.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::mpsc;

use crate::services::Services;
use crate::services::log::Published;
use crate::services::witnesses::{Prove, Witnesses};
use crate::store::trees::Tree;
use crate::tlog::note::SignatureLine;
use crate::tlog::proof;

/// How long a head waits for its cosignatures before it is shown without them; they are added when they come.
const PATIENCE: Duration = Duration::from_millis(300);

/// A head and what witnesses have signed below it.
type Cosigned = (Arc<Published>, Vec<SignatureLine>);

/// Asks the witnesses beside who publishes.
pub(super) struct Cosigning {
    /// Holds one head; gone at the end.
    to: Option<mpsc::Sender<Arc<Published>>>,
    from: Receiver<Cosigned>,
    thread: Option<JoinHandle<()>>,
}

impl Cosigning {
    /// `None` where there is nobody to ask.
    pub fn start(services: &Arc<Services>, witnesses: Witnesses) -> std::io::Result<Option<Cosigning>> {
        if witnesses.is_empty() {
            return Ok(None);
        }
        let (to, heads) = mpsc::channel(1);
        let (cosigned, from) = bounded(1);
        let services = Arc::clone(services);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asking = Asking { services, witnesses, heads, cosigned };
        let ask = move || runtime.block_on(asking.run());
        let thread = std::thread::Builder::new().name("cosign".to_owned()).spawn(ask)?;
        Ok(Some(Cosigning { to: Some(to), from, thread: Some(thread) }))
    }

    /// Has a head cosigned; gives it back with what came in time. Where an earlier one is still on its way, without.
    pub fn cosign(&self, published: Published) -> Published {
        let published = Arc::new(published);
        let is_asked = self.to.as_ref().is_some_and(|to| to.try_send(Arc::clone(&published)).is_ok());
        let answered = if is_asked { self.from.recv_timeout(PATIENCE).ok() } else { None };
        match answered {
            Some((of, lines)) if Arc::ptr_eq(&of, &published) => published.cosigned(lines),
            _ => (*published).clone(),
        }
    }

    /// What came late, if it is of this head.
    pub fn late(&self, published: &Published) -> Option<Published> {
        let (of, lines) = self.from.try_recv().ok()?;
        (of.heads == published.heads && !lines.is_empty()).then(|| published.cosigned(lines))
    }
}

impl Drop for Cosigning {
    fn drop(&mut self) {
        self.to = None;
        // Whoever still asks has nobody to tell.
        let (_, nobody) = bounded(0);
        self.from = nobody;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Asking {
    services: Arc<Services>,
    witnesses: Witnesses,
    heads: mpsc::Receiver<Arc<Published>>,
    cosigned: Sender<Cosigned>,
}

impl Asking {
    async fn run(mut self) {
        let mut next = self.heads.recv().await;
        while let Some(published) = next {
            let prove = prover(&self.services, &published);
            let lines = self.witnesses.cosign(published.note(), published.head(Tree::Registry), prove).await;
            // Who asked may have gone on to a later head, or have ended.
            let _ = self.cosigned.send((Arc::clone(&published), lines));
            next = self.ask_again(&published).await;
        }
    }

    /// Shows the head to those that lack it, until a newer one comes, or the end: either cuts short whoever is being asked.
    async fn ask_again(&mut self, published: &Arc<Published>) -> Option<Arc<Published>> {
        loop {
            let prove = prover(&self.services, published);
            let again = self.witnesses.cosign_late(published.note(), published.head(Tree::Registry), prove);
            let lines = tokio::select! {
                newer = self.heads.recv() => return newer,
                lines = again => lines,
            };
            if !lines.is_empty() {
                let _ = self.cosigned.send((Arc::clone(published), lines));
            }
        }
    }
}

/// Proofs from earlier sizes to this head; one that does not read is none.
fn prover(services: &Arc<Services>, published: &Arc<Published>) -> Prove {
    let (services, size) = (Arc::clone(services), published.head(Tree::Registry).size);
    Arc::new(move |from| {
        let reader = services.store.trees().reader(Tree::Registry);
        let proof = (from <= size).then(|| proof::consistency(&reader, from, size));
        proof?.inspect_err(|error| tracing::error!(%error, "no consistency proof for a witness")).ok()
    })
}
