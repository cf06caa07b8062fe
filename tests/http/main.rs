//! The HTTP surface, driven in process on a whole node with the memory engine: every address's good and bad cases.
//!
//! - `world`: the node and a client of it. `resolving`, `registering`, `importing`, `tables`, `workbooks`, `listing`, `administering`, `operating`: by verb.
//! - `manners`: what every answer has in common: problems, methods, negotiation, origins, ids, limits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod administering;
mod aliases;
mod importing;
mod listing;
mod manners;
mod operating;
mod registering;
mod resolving;
mod tables;
mod workbooks;
mod world;
