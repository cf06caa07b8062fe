//! How far a mirror is behind its origin. The label is the name of the origin's log: one a process; a node that mirrors nothing
//! has no such numbers.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

type Level = Family<Labels, Gauge<u64, AtomicU64>>;

/// Counted by services/mirror.
#[derive(Clone, Debug, Default)]
pub struct MirrorMetrics {
    origin: String,
    lag: Level,
    verified: Level,
    covered: Level,
    entries: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    stopped: Level,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    origin: String,
}

impl MirrorMetrics {
    /// The numbers of one origin. They exist from now on: a counter that begins with its first failure hides it from every rate.
    #[must_use]
    pub fn of(&self, origin: &str) -> MirrorMetrics {
        let metrics = MirrorMetrics { origin: origin.to_owned(), ..self.clone() };
        let labels = metrics.labels();
        for level in [&metrics.lag, &metrics.verified, &metrics.covered, &metrics.stopped] {
            level.get_or_create(&labels).set(0);
        }
        let _ = (metrics.entries.get_or_create(&labels), metrics.failures.get_or_create(&labels));
        metrics
    }

    fn labels(&self) -> Labels {
        Labels { origin: self.origin.clone() }
    }

    /// A head of so many statements is shown.
    pub fn shows(&self, covered: u64) {
        self.covered.get_or_create(&self.labels()).set(covered);
    }

    /// A head of so many statements was verified at this time (epoch seconds), and all of them are here.
    pub fn verified(&self, covered: u64, seconds: u64) {
        let labels = self.labels();
        self.covered.get_or_create(&labels).set(covered);
        self.lag.get_or_create(&labels).set(0);
        self.verified.get_or_create(&labels).set(seconds);
    }

    /// So many statements of the head that was shown are not here yet.
    pub fn lags(&self, leaves: u64) {
        self.lag.get_or_create(&self.labels()).set(leaves);
    }

    /// So many statements were taken in.
    pub fn applied(&self, statements: u64) {
        self.entries.get_or_create(&self.labels()).inc_by(statements);
        let lag = self.lag.get_or_create(&self.labels());
        lag.set(lag.get().saturating_sub(statements));
    }

    /// The origin could not be followed; it is tried again.
    pub fn failed(&self) {
        self.failures.get_or_create(&self.labels()).inc();
    }

    /// It is followed no further.
    pub fn stopped(&self) {
        self.stopped.get_or_create(&self.labels()).set(1);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "mirror_lag_leaves",
            "Statements of the newest head that the origin showed which are not in this mirror yet",
            self.lag.clone(),
        );
        registry.register(
            "mirror_verified_timestamp_seconds",
            "When a head of the origin was last verified and all of it was here, epoch seconds; 0 before the first",
            self.verified.clone(),
        );
        registry.register(
            "mirror_head_leaves",
            "Statements that the newest head of the origin covers which this mirror shows",
            self.covered.clone(),
        );
        registry.register("mirror_entries", "Statements that this mirror has taken in", self.entries.clone());
        registry.register(
            "mirror_failures",
            "Attempts to follow the origin that failed and are made again",
            self.failures.clone(),
        );
        registry.register(
            "mirror_stopped",
            "1 once the origin's log was found dishonest and is followed no further",
            self.stopped.clone(),
        );
    }
}
