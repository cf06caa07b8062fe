//! Mingpai (铭牌): a secondary node of the industrial-internet identifier resolution system that proves its answers.
//!
//! The house: folders are stages, and calls go down only (tests/tidy.rs keeps it so).
//!
//! ```text
//!             read way                                write way
//!   socket      |  ^                                    |  ^
//!   accept      v  |   1 bytes in, bytes out            v  |
//!   codec       v  |   2 bytes <-> requests, answers    v  |
//!   guard       v  |   3 who asks, and may he           v  |
//!   services    v  |   4 resolve, history               v  |   register, import: decide
//!   sign        .  .   5                                v  |   build and sign the entry
//!   store       v  |   6 cache, else record store       v  |   sequencer -> journal (fdatasync: the commit point)
//!                                                          |      -> record store -> cache is told -> answer
//!   tlog        .  .   7 notes, checkpoints, policies      v  |   what is published of the journal
//! ```
//!
//! - `accept`: listeners, limits, drain; knows sockets, nothing of identifiers.
//! - `codec`: HTTP, gRPC, strict JSON, problems. `codec/http` and `codec/grpc` ask the guard and the services.
//! - `guard`: credentials to a principal, requests to permitted requests.
//! - `services`: one file a verb.
//! - `sign`: keys, entries (SD-JWT), verification.
//! - `store`: the journal, the sequencer, the record store, the cache.
//! - `tlog`: the log as anybody can verify it: trees, tiles, proofs, notes, policies.
//! - `model`: the nouns, free to all, as are `config`, `metrics` and `observe` (log lines, spans).
//! - `node`: wiring. `cli`: the subcommands.
//!
//! The log is the registry: every change is one signed entry in the journal, and all else can be made anew from it.
#![deny(unsafe_code)]

pub mod accept;
pub mod cli;
pub mod codec;
pub mod config;
pub mod guard;
pub mod metrics;
pub mod model;
pub mod node;
pub mod observe;
pub mod services;
pub mod sign;
pub mod store;
pub mod tlog;
