//! What became of the traced requests.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Counted by the sender of spans.
#[derive(Clone, Debug, Default)]
pub struct TraceMetrics {
    requests: Family<Labels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

impl TraceMetrics {
    /// `sent`, `dropped` (the queue was full, or the node stopped) or `failed` (the collector did not take them).
    pub const OUTCOMES: [&str; 3] = ["sent", "dropped", "failed"];

    pub fn ended(&self, outcome: &'static str, requests: u64) {
        self.requests.get_or_create(&Labels { outcome }).inc_by(requests);
    }

    #[must_use]
    pub fn count(&self, outcome: &'static str) -> u64 {
        self.requests.get_or_create(&Labels { outcome }).get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("traced_requests", "Traced requests by what became of their spans", self.requests.clone());
    }
}
