//! How the node is watched from outside, beside its numbers (`metrics`): log lines, and spans for a collector.
//!
//! - `log`: where events go, and what is let through, changeable while the node runs.
//! - `laps`: how long each step of one request took; known to whatever works for that request.
//! - `trace_context`: the caller's place in a trace (W3C `traceparent`), and fresh ids.
//! - `traces`: which requests are traced, and the queue of those that are done. `spans`: what is told of one. `otlp`: the thread
//!   that sends them. `outgoing`: the HTTP client of that thread, and of others in the node that send.
//!
//! Free to every stage. Nothing here ever holds an identifier, a value or a key: a span is made of words of the code, of
//! numbers, and of the request's id.

pub mod laps;
pub mod log;
pub mod otlp;
pub mod outgoing;
mod spans;
pub mod trace_context;
pub mod traces;
