//! What the node counts: Prometheus metrics named `mingpai_<noun>_<unit>`, with bounded labels, never an identifier.
//!
//! One [`Metrics`] a node, made by node.rs and handed to the stages. The numbers of the hot path are sharded over
//! cache lines (`shard`), because one shared atomic would make the cores wait for each other; everything else is a
//! plain atomic. Not here: what the numbers mean to an operator (dashboards and alert rules).

mod attention;
mod groups;
mod histogram;
mod log;
mod mirror;
mod request;
mod shard;
mod traces;
mod witnesses;
mod witnessing;

use std::sync::Arc;

use prometheus_client::registry::Registry;

pub use attention::{Attention, SLOW_LINES_A_SECOND};
pub use groups::{
    AcceptMetrics, BackupMetrics, CacheMetrics, ImportMetrics, JournalMetrics, Level, NodeMetrics, RecordMetrics,
    TlsMetrics,
};
pub use histogram::BOUNDS_SECONDS;
pub use log::LogMetrics;
pub use mirror::MirrorMetrics;
pub use request::{Outcome, RequestTimes, Stage, Transport};
pub use shard::{ShardedCounter, claim_shard};
pub use traces::TraceMetrics;
pub use witnesses::WitnessMetrics;
pub use witnessing::WitnessingMetrics;

/// The `Content-Type` of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything counted, grouped by the stage that counts it.
#[derive(Debug)]
pub struct Metrics {
    pub node: NodeMetrics,
    pub requests: Arc<RequestTimes>,
    pub accept: AcceptMetrics,
    pub tls: TlsMetrics,
    pub cache: CacheMetrics,
    pub journal: JournalMetrics,
    pub log: LogMetrics,
    pub records: RecordMetrics,
    pub import: ImportMetrics,
    pub traces: TraceMetrics,
    /// What is worth a line; it stands beside the numbers that it is compared with.
    pub attention: Attention,
    pub backup: BackupMetrics,
    pub witnesses: WitnessMetrics,
    pub mirror: MirrorMetrics,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    #[must_use]
    pub fn new() -> Self {
        let requests = Arc::new(RequestTimes::default());
        let (accept, cache) = (AcceptMetrics::default(), CacheMetrics::default());
        let tls = TlsMetrics::default();
        let (journal, records) = (JournalMetrics::default(), RecordMetrics::default());
        let (import, node) = (ImportMetrics::default(), NodeMetrics::default());
        let (traces, attention) = (TraceMetrics::default(), Attention::default());
        let (backup, log, witnesses) = (BackupMetrics::default(), LogMetrics::default(), WitnessMetrics::default());
        let mirror = MirrorMetrics::default();
        let mut registry = Registry::with_prefix("mingpai");
        node.register(&mut registry);
        registry.register_collector(Box::new(Arc::clone(&requests)));
        accept.register(&mut registry);
        tls.register(&mut registry);
        cache.register(&mut registry);
        journal.register(&mut registry);
        log.register(&mut registry);
        records.register(&mut registry);
        import.register(&mut registry);
        traces.register(&mut registry);
        attention.register(&mut registry);
        backup.register(&mut registry);
        witnesses.register(&mut registry);
        mirror.register(&mut registry);
        Self {
            node,
            requests,
            accept,
            tls,
            cache,
            journal,
            log,
            records,
            import,
            traces,
            attention,
            backup,
            witnesses,
            mirror,
            registry,
        }
    }

    /// The OpenMetrics text of everything counted so far.
    #[must_use]
    pub fn render(&self) -> String {
        render(&self.registry)
    }
}

fn render(registry: &Registry) -> String {
    let mut text = String::with_capacity(16 * 1024);
    // Writing into a String fails only when a metric breaks its own format, which the tests would show.
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        tracing::error!(%error, "metrics could not be written");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn everything_counted_is_rendered_under_its_name() {
        let metrics = Metrics::new();
        metrics.requests.record(Stage::Total, Transport::Http1, Outcome::Hit, Duration::from_micros(3));
        metrics.accept.refused("connections");
        metrics.accept.connections.set(5);
        metrics.cache.hits.add(2);
        metrics.journal.sequence.set(99);
        metrics.journal.sync_seconds.observe(0.002);
        assert!(!metrics.render().contains("tls_certificate"), "absent without TLS");
        metrics.tls.shaken("done");
        metrics.tls.set_expiry(1_900_000_000);
        let text = metrics.render();
        for line in [
            "mingpai_tls_handshakes_total{outcome=\"done\"} 1",
            "mingpai_tls_certificate_expiry_timestamp_seconds 1900000000",
            "mingpai_request_seconds_bucket{le=\"0.000005\",stage=\"total\",transport=\"http1\",outcome=\"hit\"} 1",
            "mingpai_request_seconds_count{stage=\"total\",transport=\"http1\",outcome=\"hit\"} 1",
            "mingpai_refusals_total{reason=\"connections\"} 1",
            "mingpai_connections 5",
            "mingpai_cache_hits_total 2",
            "mingpai_journal_sequence 99",
            "mingpai_journal_sync_seconds_count 1",
        ] {
            assert!(text.contains(line), "{line} is missing from\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
