//! Keeps the certificate fresh: new files are taken into use within a minute of their change, a broken pair is said once, and
//! an end that is near is said once a day. SIGHUP is heard here, and asks the node to read all of its configuration again,
//! of which the certificate is a part.

use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::certificates::{Certificates, Looked};
use super::handshake::OUTCOMES;
use crate::accept::lifecycle::{Lifecycle, Phase};
use crate::metrics::TlsMetrics;
use crate::model::time::Timestamp;

const LOOK_EVERY: Duration = Duration::from_secs(60);
const WARN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Reads the configuration again, certificate and all, and says in the log what came of it.
pub type Reread = Box<dyn FnMut() + Send>;

/// The thread that looks, waiting for its beginning. It ends with the node, and when this is dropped before.
pub struct Refresh {
    certificates: Option<Arc<Certificates>>,
    begin: oneshot::Sender<(Option<Keeper>, Reread)>,
}

impl Refresh {
    /// Starts the thread. Hears signals at once, so that none ends a node that is still opening.
    ///
    /// `hears_hangup`: whether SIGHUP asks to read again, also where there is no TLS (a service manager's reload must not end
    /// a node); otherwise the signal keeps its default, the end of the process.
    pub fn start(
        certificates: Option<Arc<Certificates>>,
        lifecycle: Lifecycle,
        hears_hangup: bool,
    ) -> io::Result<Refresh> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut hangup = {
            let _inside = runtime.enter();
            hears_hangup.then(|| signal(SignalKind::hangup())).transpose()?
        };
        let (begin, begun) = oneshot::channel();
        std::thread::Builder::new().name("certificates".to_owned()).spawn(move || {
            let asked = stream::poll_fn(move |context| match &mut hangup {
                Some(hangup) => hangup.poll_recv(context),
                None => Poll::Pending,
            });
            let looking = async {
                if let Ok((keeper, reread)) = begun.await {
                    run(keeper, asked, reread).await;
                }
            };
            runtime.block_on(async {
                tokio::select! {
                    () = looking => {}
                    () = lifecycle.reached(Phase::Stopped) => {}
                }
            });
        })?;
        Ok(Refresh { certificates, begin })
    }

    /// Says when the certificate ends, and looks from now on.
    pub fn begin(self, metrics: TlsMetrics, reread: Reread) {
        let keeper = self.certificates.map(|certificates| Keeper::new(certificates, metrics));
        // Fails only where the thread has ended with the node.
        let _ = self.begin.send((keeper, reread));
    }
}

/// Reads again whenever asked, looks every minute; ends when nobody can ask any more.
async fn run(mut keeper: Option<Keeper>, asked: impl Stream<Item = ()>, mut reread: Reread) {
    let mut asked = std::pin::pin!(asked);
    loop {
        let is_asked = tokio::select! {
            item = asked.next() => match item {
                Some(()) => true,
                None => return,
            },
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        if is_asked {
            reread();
        }
        match &mut keeper {
            Some(keeper) if is_asked => keeper.was_reread(),
            Some(keeper) => keeper.look(),
            None => {}
        }
    }
}

struct Keeper {
    certificates: Arc<Certificates>,
    metrics: TlsMetrics,
    /// What was last said of a pair that cannot be used.
    said: Option<String>,
    /// When, and of which end.
    warned: Option<(Instant, Timestamp)>,
}

impl Keeper {
    fn new(certificates: Arc<Certificates>, metrics: TlsMetrics) -> Self {
        // A counter that begins to exist with its first event hides that one from every rate.
        for outcome in OUTCOMES {
            let _ = metrics.handshakes(outcome);
        }
        let mut keeper = Self { certificates, metrics, said: None, warned: None };
        keeper.tell_expiry();
        keeper
    }

    /// Somebody else has looked, taken what was good, and said what was not.
    fn was_reread(&mut self) {
        self.said = self.certificates.judge().err().map(|error| error.to_string());
        self.tell_expiry();
    }

    fn look(&mut self) {
        match self.certificates.look() {
            Looked::Unchanged => self.said = None,
            Looked::Replaced => {
                self.said = None;
                tracing::info!(expires = %self.certificates.expires(), "new connections are shown the new certificate");
            }
            Looked::Kept(error) => {
                let text = error.to_string();
                if self.said.as_ref() != Some(&text) {
                    tracing::error!(error = text, "the new certificate cannot be used; the one before stays in use");
                }
                self.said = Some(text);
            }
        }
        self.tell_expiry();
    }

    fn tell_expiry(&mut self) {
        let expires = self.certificates.expires();
        self.metrics.set_expiry(expires.as_seconds());
        let is_due = self.warned.is_none_or(|(when, of)| of != expires || when.elapsed() >= WARN_EVERY);
        let Some(days) = self.certificates.ends_soon().filter(|_| is_due) else {
            return;
        };
        self.warned = Some((Instant::now(), expires));
        let file = self.certificates.files().certificate.display();
        if days < 0 {
            tracing::error!(%expires, %file, "the TLS certificate has ended and clients refuse it: put a new one there");
        } else {
            tracing::warn!(%expires, %file, days, "the TLS certificate ends soon: renew it; the new one is taken by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use parking_lot::Mutex;
    use tokio::sync::mpsc;

    use super::super::pair::tests::{pair, put};
    use super::*;
    use crate::metrics::Metrics;

    /// What was logged, for as long as the guard lives.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn start() -> (Log, tracing::subscriber::DefaultGuard) {
            let log = Log::default();
            let sink = log.clone();
            let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || sink.clone()).finish();
            (log, tracing::subscriber::set_default(subscriber))
        }

        fn count(&self, text: &str) -> usize {
            String::from_utf8_lossy(&self.0.lock()).matches(text).count()
        }
    }

    fn open(files: &super::super::PairFiles) -> Arc<Certificates> {
        Arc::new(Certificates::open(files.clone()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn changed_files_are_taken_within_a_minute_and_at_once_when_asked() {
        let (_folder, files) = pair(-1, 30);
        let certificates = open(&files);
        let metrics = Metrics::new();
        let (ask, mut asked) = mpsc::unbounded_channel();
        let keeper = Keeper::new(Arc::clone(&certificates), metrics.tls.clone());
        let reread = {
            let certificates = Arc::clone(&certificates);
            Box::new(move || drop(certificates.look()))
        };
        tokio::spawn(run(Some(keeper), stream::poll_fn(move |context| asked.poll_recv(context)), reread));
        let first = certificates.expires();
        put(&files, -1, 60);
        tokio::time::sleep(LOOK_EVERY - Duration::from_secs(1)).await;
        assert_eq!(certificates.expires(), first);
        tokio::time::sleep(Duration::from_secs(2)).await;
        let second = certificates.expires();
        assert!(second > first);
        let rendered = format!("mingpai_tls_certificate_expiry_timestamp_seconds {}\n", second.as_seconds());
        assert!(metrics.render().contains(&rendered), "{}", metrics.render());

        put(&files, -1, 90);
        let before = Instant::now();
        ask.send(()).unwrap();
        while certificates.expires() == second {
            tokio::task::yield_now().await;
        }
        assert!(before.elapsed() < LOOK_EVERY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_pair_is_logged_once_and_whoever_was_told_hears_it_no_more() {
        let (log, _guard) = Log::start();
        let (_folder, files) = pair(-1, 30);
        let mut keeper = Keeper::new(open(&files), TlsMetrics::default());
        let good = std::fs::read(&files.key).unwrap();
        std::fs::write(&files.key, "").unwrap();
        for _ in 0..3 {
            keeper.look();
        }
        assert_eq!(log.count("cannot be used; the one before stays"), 1);
        std::fs::write(&files.key, good).unwrap();
        keeper.look();
        std::fs::write(&files.key, "").unwrap();
        keeper.look();
        assert_eq!(log.count("cannot be used; the one before stays"), 2, "broken anew");
        put(&files, -1, 30);
        keeper.look();
        std::fs::write(&files.key, "").unwrap();
        keeper.was_reread();
        keeper.look();
        assert_eq!(log.count("cannot be used; the one before stays"), 2, "whoever asked was told");
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_that_is_near_is_said_at_the_load_and_once_a_day() {
        let (log, _guard) = Log::start();
        let (_folder, files) = pair(-1, 13);
        let mut keeper = Keeper::new(open(&files), TlsMetrics::default());
        keeper.look();
        assert_eq!(log.count("ends soon"), 1);
        for (hours, said) in [(23, 1), (1, 2), (1, 2)] {
            tokio::time::advance(Duration::from_secs(hours * 3600)).await;
            keeper.look();
            assert_eq!(log.count("ends soon"), said);
        }
        put(&files, -1, 10);
        keeper.look();
        assert_eq!(log.count("ends soon"), 3, "a new one that ends soon as well is said at its load");
        put(&files, -1, 15);
        keeper.look();
        tokio::time::advance(WARN_EVERY).await;
        keeper.look();
        assert_eq!(log.count("ends soon"), 3);
    }
}
