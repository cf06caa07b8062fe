//! Every address and verb, a file a chapter.
//!
//! A new route needs its operation here: the address, what it takes, what it answers, how it may fail, an example.

mod backup;
mod erasures;
mod exports;
mod filings;
mod grants;
mod identity;
mod imports;
mod jobs;
mod keys;
mod licences;
mod log;
mod node;
mod operating;
mod prefixes;
mod records;
mod resolve;
mod sessions;
mod trail;

use super::operation::Operation;
use crate::config::LimitsSpec;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";

/// In the order in which their examples are sent.
pub(super) fn all(limits: &LimitsSpec) -> Vec<Operation> {
    let chapters = [
        resolve::operations(limits),
        records::operations(),
        erasures::operations(),
        exports::operations(),
        imports::operations(),
        jobs::operations(),
        keys::operations(),
        sessions::operations(),
        filings::operations(),
        prefixes::operations(),
        grants::operations(),
        identity::operations(),
        licences::operations(),
        operating::operations(),
        backup::operations(),
        log::operations(),
        trail::operations(),
        node::operations(),
    ];
    let mut all: Vec<Operation> = chapters.into_iter().flatten().collect();
    let mut examples: Vec<_> = all.iter_mut().flat_map(|operation| &mut operation.examples).collect();
    // Stable, so that those of one step keep their order.
    examples.sort_by_key(|example| example.step);
    for (place, example) in (1..).zip(examples) {
        example.step = place;
    }
    all
}
