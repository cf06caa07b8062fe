//! What a witness of other logs counts (`mingpai witness`): a process of its own, with numbers of its own. The label is the name
//! of a log that it was told to watch, never one that a client sent.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::groups::{AcceptMetrics, Level};

/// Counted by cli/witness.
#[derive(Debug)]
pub struct WitnessingMetrics {
    cosignatures: Counter,
    refusals: Family<ReasonLabels, Counter>,
    sizes: Family<LogLabels, Level>,
    forks: Family<LogLabels, Level>,
    registry: Registry,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LogLabels {
    log: String,
}

impl WitnessingMetrics {
    /// With the numbers of the listeners, and every reason for a refusal: a counter that begins with its first one hides it
    /// from every rate.
    #[must_use]
    pub fn new(accept: &AcceptMetrics, reasons: &[&'static str]) -> WitnessingMetrics {
        let (cosignatures, refusals) = (Counter::default(), Family::<ReasonLabels, Counter>::default());
        let (sizes, forks) = (Family::<LogLabels, Level>::default(), Family::<LogLabels, Level>::default());
        let mut registry = Registry::with_prefix("mingpai");
        accept.register(&mut registry);
        registry.register("witnessing_cosignatures", "Heads of logs that were cosigned", cosignatures.clone());
        registry.register("witnessing_refusals", "Requests for a cosignature that were refused", refusals.clone());
        registry.register(
            "witnessing_log_leaves",
            "Leaves of the largest head of a log that was cosigned",
            sizes.clone(),
        );
        registry.register("witnessing_forks", "Forks of a log whose evidence is kept", forks.clone());
        for reason in reasons {
            let _ = refusals.get_or_create(&ReasonLabels { reason });
        }
        WitnessingMetrics { cosignatures, refusals, sizes, forks, registry }
    }

    pub fn cosigned(&self) {
        self.cosignatures.inc();
    }

    /// `reason` is a word of the code, never of the client.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// The largest head of a log that was cosigned has so many leaves.
    pub fn reached(&self, log: &str, leaves: u64) {
        self.sizes.get_or_create(&LogLabels { log: log.to_owned() }).set(leaves);
    }

    /// So much evidence of a log's forks is kept.
    pub fn forks(&self, log: &str, kept: u64) {
        self.forks.get_or_create(&LogLabels { log: log.to_owned() }).set(kept);
    }

    /// The OpenMetrics text of it.
    #[must_use]
    pub fn render(&self) -> String {
        super::render(&self.registry)
    }
}
