//! The numbers of each stage, and the names they are rendered under.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::shard::ShardedCounter;

/// A number that others set.
pub type Level = Gauge<u64, AtomicU64>;

/// Of the node as a whole.
#[derive(Clone, Debug, Default)]
pub struct NodeMetrics {
    /// When the process began to serve, epoch seconds.
    pub start_timestamp_seconds: Level,
    /// Free on the disk of the journal.
    pub disk_free_bytes: Level,
    /// Below so many free bytes writes are refused.
    pub disk_reserve_bytes: Level,
}

/// Counted by accept.
#[derive(Clone, Debug, Default)]
pub struct AcceptMetrics {
    /// Open now.
    pub connections: Level,
    pub connections_accepted: Arc<ShardedCounter>,
    /// Being answered now, cached resolutions not counted.
    pub requests_in_flight: Level,
    refusals: Family<RefusalLabels, Counter>,
}

impl AcceptMetrics {
    /// One connection or request turned away; `reason` is a word of the code, never of the client.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&RefusalLabels { reason }).inc();
    }

    #[must_use]
    pub fn refusals(&self, reason: &'static str) -> u64 {
        self.refusals.get_or_create(&RefusalLabels { reason }).get()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    reason: &'static str,
}

/// Counted by accept, where it speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct TlsMetrics {
    handshakes: Family<HandshakeLabels, Counter>,
    expiry: Expiry,
}

impl TlsMetrics {
    /// One handshake; `outcome` is a word of the code, never of the client.
    pub fn shaken(&self, outcome: &'static str) {
        self.handshakes.get_or_create(&HandshakeLabels { outcome }).inc();
    }

    #[must_use]
    pub fn handshakes(&self, outcome: &'static str) -> u64 {
        self.handshakes.get_or_create(&HandshakeLabels { outcome }).get()
    }

    /// When the certificate in use ends, in seconds since 1970.
    pub fn set_expiry(&self, seconds: i64) {
        self.expiry.0.store(seconds, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HandshakeLabels {
    outcome: &'static str,
}

/// A moment, or 0 for none: without TLS there is nothing to render, and an alert on "soon" must not fire.
#[derive(Clone, Debug, Default)]
struct Expiry(Arc<AtomicI64>);

impl Collector for Expiry {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seconds = self.0.load(Ordering::Relaxed);
        if seconds == 0 {
            return Ok(());
        }
        let value = ConstGauge::new(seconds);
        let help = "When the TLS certificate in use ends, in seconds since 1970";
        value.encode(encoder.encode_descriptor(
            "tls_certificate_expiry_timestamp_seconds",
            help,
            None,
            value.metric_type(),
        )?)
    }
}

/// Counted by services/resolve and store/cache.
#[derive(Clone, Debug, Default)]
pub struct CacheMetrics {
    pub hits: Arc<ShardedCounter>,
    /// "No such identifier", answered from the cache.
    pub negative_hits: Arc<ShardedCounter>,
    /// The same without a question to cache or store: the filter of names knows.
    pub absent: Arc<ShardedCounter>,
    pub misses: Arc<ShardedCounter>,
    pub bytes: Level,
    pub entries: Level,
}

/// Counted by the sequencer.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    /// The last durable sequence.
    pub sequence: Level,
    pub queue_entries: Level,
    pub group_entries: Histogram,
    pub group_bytes: Histogram,
    /// Of each fdatasync.
    pub sync_seconds: Histogram,
    /// 1 after a failure that needs a restart.
    pub poisoned: Level,
    segments: Family<PlaceLabels, Level>,
    disk_bytes: Family<PlaceLabels, Level>,
    /// 1 while the cold folder does not answer.
    pub cold_away: Level,
    pub cold_moves_failed: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PlaceLabels {
    place: &'static str,
}

impl JournalMetrics {
    /// How many segments are where, and their bytes; `place` is a word of the code.
    pub fn set_place(&self, place: &'static str, segments: u64, bytes: u64) {
        self.segments.get_or_create(&PlaceLabels { place }).set(segments);
        self.disk_bytes.get_or_create(&PlaceLabels { place }).set(bytes);
    }
}

impl Default for JournalMetrics {
    fn default() -> Self {
        Self {
            sequence: Level::default(),
            queue_entries: Level::default(),
            group_entries: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            group_bytes: Histogram::new(exponential_buckets(1024.0, 4.0, 9)),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 15)),
            poisoned: Level::default(),
            segments: Family::default(),
            disk_bytes: Family::default(),
            cold_away: Level::default(),
            cold_moves_failed: Counter::default(),
        }
    }
}

/// Counted by the record store.
#[derive(Clone, Debug, Default)]
pub struct RecordMetrics {
    pub applied_sequence: Level,
    pub disk_bytes: Level,
    /// 1 where the disk had no room for the record store to be opened.
    pub in_memory: Level,
    /// When the last snapshot was begun, epoch seconds; 0: there is none.
    pub snapshot_timestamp_seconds: Level,
    pub snapshot_rows: Level,
    pub snapshot_disk_bytes: Level,
    opening_seconds: Family<OpeningLabels, Gauge<f64, AtomicU64>>,
}

impl RecordMetrics {
    /// How long the last opening took; `kind` is a word of the code.
    pub fn opened(&self, kind: &'static str, seconds: f64) {
        self.opening_seconds.get_or_create(&OpeningLabels { kind }).set(seconds);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OpeningLabels {
    kind: &'static str,
}

/// Counted by imports.
#[derive(Clone, Debug, Default)]
pub struct ImportMetrics {
    pub running: Level,
}

/// Of backups, as `mingpai backup` tells the node; all 0 before the first.
#[derive(Clone, Debug, Default)]
pub struct BackupMetrics {
    last_success_timestamp_seconds: Level,
    sequence: Level,
    bytes: Level,
    /// 1 while a restored log waits for its operator's decision.
    pub restored_undecided: Level,
}

impl BackupMetrics {
    /// A backup was made at this time, up to this sequence, of so many bytes.
    pub fn set(&self, seconds: i64, sequence: u64, bytes: u64) {
        self.last_success_timestamp_seconds.set(seconds.unsigned_abs());
        self.sequence.set(sequence);
        self.bytes.set(bytes);
    }
}

impl NodeMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", version);
        registry.register(
            "start_timestamp_seconds",
            "When the node was opened, epoch seconds",
            self.start_timestamp_seconds.clone(),
        );
        registry.register("disk_free_bytes", "Free bytes on the journal's disk", self.disk_free_bytes.clone());
        registry.register(
            "disk_reserve_bytes",
            "Free bytes below which writes are refused",
            self.disk_reserve_bytes.clone(),
        );
    }
}

impl AcceptMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections open now", self.connections.clone());
        registry.register(
            "requests_in_flight",
            "Requests being answered now, cached resolutions not counted",
            self.requests_in_flight.clone(),
        );
        registry.register("refusals", "Connections and requests turned away by a limit", self.refusals.clone());
        registry.register_collector(Box::new(SharedCounters(vec![(
            "connections_accepted",
            "Connections accepted",
            Arc::clone(&self.connections_accepted),
        )])));
    }
}

impl TlsMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("tls_handshakes", "TLS handshakes by outcome", self.handshakes.clone());
        registry.register_collector(Box::new(self.expiry.clone()));
    }
}

impl CacheMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(SharedCounters(vec![
            ("cache_hits", "Answers found in the cache", Arc::clone(&self.hits)),
            ("cache_negative_hits", "Unknown identifiers answered from the cache", Arc::clone(&self.negative_hits)),
            ("cache_absent", "Unknown identifiers answered by the filter of names", Arc::clone(&self.absent)),
            ("cache_misses", "Resolutions that had to read the record store", Arc::clone(&self.misses)),
        ])));
        registry.register("cache_bytes", "Bytes of cached answers", self.bytes.clone());
        registry.register("cache_entries", "Cached answers", self.entries.clone());
    }
}

impl JournalMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("journal_sequence", "Sequence of the last durable frame", self.sequence.clone());
        registry.register("journal_queue_entries", "Writes that wait for the sequencer", self.queue_entries.clone());
        registry.register("journal_group_entries", "Entries made durable by one sync", self.group_entries.clone());
        registry.register("journal_group_bytes", "Bytes made durable by one sync", self.group_bytes.clone());
        registry.register("journal_sync_seconds", "Duration of a sync", self.sync_seconds.clone());
        registry.register("journal_poisoned", "1 when writes have stopped after a failure", self.poisoned.clone());
        registry.register("journal_segments", "Segments of the journal; place: hot, cold", self.segments.clone());
        registry.register("journal_disk_bytes", "Bytes of these segments; place: hot, cold", self.disk_bytes.clone());
        registry.register(
            "cold_away",
            "1 while the folder of store.cold does not answer: what lies there cannot be read",
            self.cold_away.clone(),
        );
        registry.register(
            "cold_moves_failed",
            "Segments that could not be moved to the cold folder; each is tried again",
            self.cold_moves_failed.clone(),
        );
    }
}

impl RecordMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "records_applied_sequence",
            "Sequence applied to the record store",
            self.applied_sequence.clone(),
        );
        registry.register("records_disk_bytes", "Bytes of the record store on disk", self.disk_bytes.clone());
        registry.register(
            "records_in_memory",
            "1 when the rows are in memory for want of room on the disk",
            self.in_memory.clone(),
        );
        registry.register(
            "snapshot_timestamp_seconds",
            "When the last snapshot of the rows was begun, epoch seconds; 0: there is none",
            self.snapshot_timestamp_seconds.clone(),
        );
        registry.register("snapshot_rows", "Rows of the last snapshot", self.snapshot_rows.clone());
        registry.register("snapshot_disk_bytes", "Bytes of the last snapshot", self.snapshot_disk_bytes.clone());
        registry.register(
            "store_opening_seconds",
            "What the last opening took; kind: clean, replay, snapshot, anew",
            self.opening_seconds.clone(),
        );
    }
}

impl ImportMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("imports_running", "Imports running now", self.running.clone());
    }
}

impl BackupMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "backup_last_success_timestamp_seconds",
            "When the last backup was published, epoch seconds; 0 before the first",
            self.last_success_timestamp_seconds.clone(),
        );
        registry.register(
            "backup_sequence",
            "Frames below this sequence are in the last backup",
            self.sequence.clone(),
        );
        registry.register("backup_bytes", "Bytes of the last backup, all its files", self.bytes.clone());
        registry.register(
            "restored_undecided",
            "1 while a restored log waits for the decision how it goes on: writes are refused",
            self.restored_undecided.clone(),
        );
    }
}

/// Sharded counters under their names; the registry's own counters are single atomics.
struct SharedCounters(Vec<(&'static str, &'static str, Arc<ShardedCounter>)>);

impl fmt::Debug for SharedCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, ..)| name)).finish()
    }
}

impl Collector for SharedCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, counter) in &self.0 {
            let value = ConstCounter::new(counter.total());
            value.encode(encoder.encode_descriptor(name, help, None, value.metric_type())?)?;
        }
        Ok(())
    }
}
