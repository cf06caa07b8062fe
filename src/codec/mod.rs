//! Stage 2: bytes to requests and answers to bytes. Pure: no socket, no store.

// What comes in.
pub mod json;
pub mod language;
pub mod lines;
pub mod path;
pub mod rows;
pub mod table;

// What goes out.
pub mod answers;
pub mod cursor;
pub mod error_file;
mod filing_answers;
mod grant_answers;
mod identity_answers;
mod key_answers;
pub mod licence_answers;
mod log_answers;
mod prefix_answers;
pub mod resolution;
mod trail_answers;

// What goes out when it cannot be done.
pub mod problem;

// Both, over HTTP: decodes, asks the guard, calls a service, encodes.
pub mod http;

// The same services over gRPC.
pub mod grpc;
