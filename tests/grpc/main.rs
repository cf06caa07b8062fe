//! The gRPC surface, driven in process on a whole node with the memory engine. What Google's own client makes of it over a
//! socket is in tests/foreign/grpc_client.py.
//!
//! - `conformance`: what `world` holds answers of HTTP against. `caller`: a client of the surface that sees the bytes. `failing`: what fails, and as what. `ending`: deadlines, drain, cancellation, slow readers. `roles`: who may do what.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod caller;
#[path = "../conformance/mod.rs"]
mod conformance;
mod ending;
mod failing;
mod roles;
#[path = "../http/world.rs"]
#[allow(dead_code, reason = "made for the tests of HTTP, of which not all is needed here")]
mod world;
