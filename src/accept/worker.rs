//! Threads: each with its own runtime, its own listeners, its own connections. Nothing is shared but the caps and the
//! answerer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioExecutor;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use super::connection::{self, farewell, farewell_tls, in_bytes};
use super::lifecycle::{Lifecycle, Phase};
use super::listen::{Bound, Door};
use super::settings::{Limits, Settings};
use super::tls::Certificates;
use super::turns::Turns;
use super::watch::{Pulse, Verdict, Watch};
use super::{Answerer, Refusal};
use crate::metrics::{Metrics, claim_shard};

/// What the connections of one worker share.
pub(super) struct Shared<A> {
    pub(super) answerer: Arc<A>,
    pub(super) limits: Limits,
    /// Whether the lane goes before hyper.
    pub(super) fast_lane: bool,
    pub(super) metrics: Arc<Metrics>,
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
    /// Said to a client whose head is late.
    pub(super) late: Bytes,
    /// Said to a client that speaks without TLS where TLS is spoken.
    pub(super) not_tls: Bytes,
    /// Said to a client that is one too many.
    full: Bytes,
    pub(super) watch: Watch,
    pub(super) turns: Arc<Turns>,
    open: Open,
}

/// The connections of one worker that a drain waits for.
#[derive(Default)]
struct Open {
    count: AtomicUsize,
    last_gone: Notify,
}

/// How a node's accepting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every request was answered.
    Drained,
    /// The deadline passed or a second stop came; so many connections were cut off.
    CutOff { connections: u64 },
}

/// The workers, until [`Running::wait`].
pub struct Running {
    lifecycle: Lifecycle,
    settings: Settings,
    /// Connections that were open when a worker had to end.
    cut_off: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
    /// Closes when the last worker has ended.
    ended: mpsc::Receiver<()>,
}

impl Bound {
    /// Starts the workers and returns. [`Lifecycle::stop`] ends them, [`Running::wait`] sees it through.
    pub fn serve<A: Answerer>(
        self,
        answerer: Arc<A>,
        lifecycle: Lifecycle,
        metrics: Arc<Metrics>,
    ) -> io::Result<Running> {
        let Self { settings, listeners, .. } = self;
        // A counter that begins to exist with its first refusal hides that one from every rate.
        for refusal in Refusal::ALL {
            let _ = metrics.accept.refusals(refusal.word());
        }
        let (alive, ended) = mpsc::channel(1);
        let cut_off = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::with_capacity(listeners.len());
        for (position, listeners) in listeners.into_iter().enumerate() {
            let worker = Worker {
                shared: Arc::new(Shared::new(Arc::clone(&answerer), &settings, Arc::clone(&metrics))),
                lifecycle: lifecycle.clone(),
                core: settings.pin_cores.then_some(position),
                cut_off: Arc::clone(&cut_off),
                _alive: alive.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let certificates = settings.tls.as_ref().map(|tls| &tls.certificates);
            let listeners = {
                let _inside = runtime.enter();
                let open = |Door { listener, is_tls }| {
                    Ok((TcpListener::from_std(listener)?, certificates.filter(|_| is_tls).cloned()))
                };
                listeners.into_iter().map(open).collect::<io::Result<Vec<_>>>()?
            };
            let thread = std::thread::Builder::new().name(format!("worker-{position}"));
            threads.push(thread.spawn(move || worker.run(runtime, listeners))?);
        }
        Ok(Running { lifecycle, settings, cut_off, threads, ended })
    }
}

impl Running {
    #[must_use]
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Blocks until a stop is asked for, then walks through lame duck, drain and deadline.
    pub fn wait(mut self) -> io::Result<Ending> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        runtime.block_on(self.walk_to_the_end());
        self.lifecycle.advance(Phase::Stopped);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
        match self.cut_off.load(Ordering::Relaxed) {
            0 => Ok(Ending::Drained),
            connections => {
                tracing::warn!(connections, "stopped with connections open");
                Ok(Ending::CutOff { connections })
            }
        }
    }

    async fn walk_to_the_end(&mut self) {
        let Self { lifecycle, settings, ended, .. } = self;
        // Ends early when every worker has died, which only a bug could do.
        tokio::select! {
            () = lifecycle.reached(Phase::LameDuck) => {}
            _ = ended.recv() => {}
        }
        tracing::info!(seconds = settings.lame_duck.as_secs(), "stopping: /readyz refuses, requests are still served");
        tokio::select! {
            () = tokio::time::sleep(settings.lame_duck) => {}
            () = lifecycle.reached(Phase::Stopped) => {}
        }
        lifecycle.advance(Phase::Draining);
        tracing::info!(seconds = settings.deadline.as_secs(), "draining: no new connections");
        tokio::select! {
            _ = ended.recv() => {}
            () = lifecycle.reached(Phase::Stopped) => {}
            () = tokio::time::sleep(settings.deadline) => {}
        }
    }
}

/// A listening socket, with what it shows where it speaks TLS.
type Listener = (TcpListener, Option<Arc<Certificates>>);

struct Worker<A> {
    shared: Arc<Shared<A>>,
    lifecycle: Lifecycle,
    core: Option<usize>,
    cut_off: Arc<AtomicU64>,
    _alive: mpsc::Sender<()>,
}

impl<A: Answerer> Worker<A> {
    fn run(self, runtime: Runtime, listeners: Vec<Listener>) {
        claim_shard();
        if let Some(core) = self.core {
            pin_to(core);
        }
        runtime.block_on(self.serve(listeners));
        // Requests that block a thread must not hold up a stop that is overdue.
        runtime.shutdown_background();
    }

    async fn serve(&self, listeners: Vec<Listener>) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move { shared.watch.run(&shared.limits).await });
        let turns = Arc::clone(&self.shared.turns);
        tokio::spawn(async move { turns.run().await });
        let accepting: Vec<_> =
            listeners.into_iter().map(|listener| tokio::spawn(accept(listener, Arc::clone(&self.shared)))).collect();
        self.lifecycle.reached(Phase::Draining).await;
        // Nothing is accepted from here on, for a task is not polled again once it is aborted. Every connection hears of the
        // end before the first listener is seen closed.
        accepting.iter().for_each(|task| task.abort());
        self.shared.watch.pass_to_all(Verdict::Close);
        let drained = async {
            for task in accepting {
                let _ = task.await;
            }
            self.shared.open.all_gone().await;
        };
        tokio::select! {
            biased;
            () = self.lifecycle.reached(Phase::Stopped) => {
                let open = self.shared.open.count.load(Ordering::Relaxed);
                self.cut_off.fetch_add(open as u64, Ordering::Relaxed);
            }
            () = drained => {}
        }
    }
}

impl<A: Answerer> Shared<A> {
    pub(super) fn new(answerer: Arc<A>, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        let limits = settings.limits.clone();
        let said = |refusal| in_bytes(answerer.refuse(refusal, &HeaderMap::new()));
        Self {
            late: said(Refusal::HeadLate),
            not_tls: said(Refusal::NotTls),
            full: said(Refusal::TooManyConnections),
            http1: connection::http1_builder(&limits),
            http2: connection::http2_builder(&limits),
            answerer,
            limits,
            fast_lane: settings.fast_lane,
            metrics,
            watch: Watch::default(),
            turns: Arc::default(),
            open: Open::default(),
        }
    }
}

impl Open {
    async fn all_gone(&self) {
        loop {
            let gone = self.last_gone.notified();
            if self.count.load(Ordering::Relaxed) == 0 {
                return;
            }
            gone.await;
        }
    }
}

/// How long accepting pauses when the process or the machine has no file or memory left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

async fn accept<A: Answerer>((listener, certificates): Listener, shared: Arc<Shared<A>>) {
    let mut is_exhausted = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                is_exhausted = false;
                admit(stream, certificates.as_deref(), &shared);
            }
            Err(error) if is_of_one_client(&error) => {}
            Err(error) => {
                shared.metrics.accept.refused("accept_failed");
                if !std::mem::replace(&mut is_exhausted, true) {
                    tracing::error!(%error, "cannot accept connections; trying on. Raise LimitNOFILE if files ran out");
                }
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Errors that accept(2) reports of a connection which is gone already.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// Turned-away connections that still hear why, process-wide; more are closed without a word.
const FAREWELLS: usize = 256;
static FAREWELLS_OPEN: AtomicUsize = AtomicUsize::new(0);

fn admit<A: Answerer>(stream: TcpStream, certificates: Option<&Certificates>, shared: &Arc<Shared<A>>) {
    let metrics = &shared.metrics.accept;
    metrics.connections_accepted.increment();
    if metrics.connections.inc() >= shared.limits.connections as u64 {
        metrics.connections.dec();
        metrics.refused(Refusal::TooManyConnections.word());
        return turn_away(stream, certificates, shared.full.clone());
    }
    shared.open.count.fetch_add(1, Ordering::Relaxed);
    let admitted = Admitted { shared: Arc::clone(shared), pulse: shared.watch.enter() };
    // Two tasks, so that a cleartext one is not as large as one with TLS.
    match certificates.map(Certificates::serving) {
        None => tokio::spawn(async move {
            connection::serve(stream, Arc::clone(&admitted.shared), Arc::clone(&admitted.pulse)).await;
            drop(admitted);
        }),
        Some(config) => tokio::spawn(async move {
            connection::serve_tls(stream, config, Arc::clone(&admitted.shared), Arc::clone(&admitted.pulse)).await;
            drop(admitted);
        }),
    };
}

fn turn_away(stream: TcpStream, certificates: Option<&Certificates>, full: Bytes) {
    if FAREWELLS_OPEN.fetch_add(1, Ordering::Relaxed) >= FAREWELLS {
        FAREWELLS_OPEN.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let config = certificates.map(Certificates::parting);
    tokio::spawn(async move {
        match config {
            None => farewell(stream, full).await,
            Some(config) => farewell_tls(stream, config, full).await,
        }
        FAREWELLS_OPEN.fetch_sub(1, Ordering::Relaxed);
    });
}

/// One connection that counts, until it is dropped.
struct Admitted<A> {
    shared: Arc<Shared<A>>,
    pulse: Arc<Pulse>,
}

impl<A> Drop for Admitted<A> {
    fn drop(&mut self) {
        self.pulse.ended();
        self.shared.metrics.accept.connections.dec();
        if self.shared.open.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.open.last_gone.notify_one();
        }
    }
}

fn pin_to(core: usize) {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut cores = CpuSet::new();
    cores.set(core % CpuSet::MAX_CPU);
    if let Err(error) = sched_setaffinity(None, &cores) {
        tracing::warn!(core, %error, "a worker could not be tied to its core; set http.pin_cores = false");
    }
}
