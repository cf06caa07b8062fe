//! The cache's core, compiled from its own files, over loom's atomics: `sync` is the only file that is not the cache's.
//!
//! `cargo test --release --lib -- models::` explores with at most `LOOM_MAX_PREEMPTIONS` (default 2) preemptions a run; `CACHE_MODELS=long` with one
//! more. `./seeded-bugs` builds each seeded bug and asserts that the models find it.

#![allow(dead_code, reason = "the models use a part of what services use")]

#[path = "../../../../src/store/cache/core.rs"]
mod core;
#[path = "../../../../src/store/cache/draft.rs"]
mod draft;
#[path = "../../../../src/store/cache/entry.rs"]
mod entry;
#[path = "../../../../src/store/cache/fetch.rs"]
mod fetch;
#[path = "../../../../src/store/cache/generation.rs"]
mod generation;
#[path = "../../../../src/store/cache/ledger.rs"]
mod ledger;
#[path = "../../../../src/store/cache/limbo.rs"]
mod limbo;
#[path = "../../../../src/store/cache/reclaim.rs"]
mod reclaim;
#[path = "../../../../src/store/cache/set.rs"]
mod set;
#[path = "../../../../src/store/cache/shelf.rs"]
mod shelf;
mod sync;
#[path = "../../../../src/store/cache/table.rs"]
mod table;

#[cfg(test)]
mod models;
