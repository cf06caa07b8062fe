//! As the service names it.

#[path = "../../../../src/store/cache/mod.rs"]
pub mod cache;
