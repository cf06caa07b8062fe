//! What the node counts: Prometheus metrics with bounded labels.
