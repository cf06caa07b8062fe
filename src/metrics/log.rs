//! Of the log as it is published: how much of it the newest head covers.

use prometheus_client::registry::Registry;

use super::groups::Level;

/// Counted by who publishes heads.
#[derive(Clone, Debug, Default)]
pub struct LogMetrics {
    checkpoint_leaves: Level,
    uncovered_leaves: Level,
}

impl LogMetrics {
    /// The newest head covers so many statements, and so many are durable beyond it.
    pub fn published(&self, covered: u64, uncovered: u64) {
        self.checkpoint_leaves.set(covered);
        self.uncovered_leaves.set(uncovered);
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "checkpoint_leaves",
            "Statements of the registry that the newest published head covers",
            self.checkpoint_leaves.clone(),
        );
        registry.register(
            "uncovered_leaves",
            "Durable statements of the registry that no published head covers yet",
            self.uncovered_leaves.clone(),
        );
    }
}
