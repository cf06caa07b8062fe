//! How the witnesses of the log answer. The label is a witness's name of the configuration, of which there are few.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counted by services/witnesses.
#[derive(Clone, Debug, Default)]
pub struct WitnessMetrics {
    last_success: Family<Labels, Gauge<u64, AtomicU64>>,
    failures: Family<Labels, Counter>,
    lag: Family<Labels, Gauge<u64, AtomicU64>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    witness: String,
}

impl WitnessMetrics {
    /// Makes the numbers of a witness exist: a counter that begins with its first failure hides it from every rate.
    pub fn know(&self, witness: &str) {
        let labels = Labels { witness: witness.to_owned() };
        self.last_success.get_or_create(&labels).set(0);
        let _ = self.failures.get_or_create(&labels);
        self.lag.get_or_create(&labels).set(0);
    }

    /// It cosigned the newest head at this time, in seconds since 1970.
    pub fn cosigned(&self, witness: &str, seconds: u64) {
        let labels = Labels { witness: witness.to_owned() };
        self.last_success.get_or_create(&labels).set(seconds);
        self.lag.get_or_create(&labels).set(0);
    }

    /// It did not cosign a head that has so many leaves more than the last one that it did; `asked`: it had its chance.
    pub fn missed(&self, witness: &str, lag_leaves: u64, asked: bool) {
        let labels = Labels { witness: witness.to_owned() };
        self.lag.get_or_create(&labels).set(lag_leaves);
        if asked {
            self.failures.get_or_create(&labels).inc();
        }
    }

    #[must_use]
    pub fn failures(&self, witness: &str) -> u64 {
        self.failures.get_or_create(&Labels { witness: witness.to_owned() }).get()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "witness_last_success_timestamp_seconds",
            "When a witness last cosigned a head, epoch seconds; 0 before the first",
            self.last_success.clone(),
        );
        registry.register(
            "witness_failures",
            "Heads that a witness was asked to cosign and did not",
            self.failures.clone(),
        );
        registry.register(
            "witness_lag_leaves",
            "Leaves of the newest head beyond the last one that a witness cosigned",
            self.lag.clone(),
        );
    }
}
