//! The HTTP surface, driven in process on a whole node with the memory engine: every address's good and bad cases.
//!
//! - `world`: the node and a client of it. `changes`: the log as it grows. `audited`: who did what. `resolving`, `registering`, `importing`, `undoing`, `parts`, `exporting`, `differing`, `erasing`, `tables`, `workbooks`, `listing`, `licensing`, `administering`, `operating`: by verb. `roles`: who may do what. `signing_in`: sessions. `signed_requests`: requests that are signed themselves. `filing`: applications for a prefix. `prefixes`: what becomes of it. `sharing`: what others may read.
//! - `conformance`: every answer of all these is held against the document of the interface.
//! - `manners`: what every answer has in common: problems, methods, negotiation, origins, ids, limits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod administering;
mod aliases;
mod audited;
mod bundle;
mod changes;
mod cold;
#[path = "../conformance/mod.rs"]
mod conformance;
mod differing;
mod erasing;
mod exporting;
mod filing;
mod importing;
mod licensing;
mod listing;
mod log;
mod manners;
mod operating;
mod parts;
mod prefixes;
mod registering;
mod resolving;
mod roles;
mod sharing;
mod signed_requests;
mod signing_in;
mod tables;
mod undoing;
mod workbooks;
mod world;
