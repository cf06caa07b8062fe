//! Stage 7: the log as anybody can verify it: leaves, trees, tiles, proofs. Pure: no I/O, no clock, no keys of its own.
//!
//! - `hash`: leaves, nodes, heads. `frontier`: a tree's right edge. `layout`: where its hashes lie in a file.
//! - `proof`: inclusion and consistency, made and checked. `tile`: the log cut into pieces that can be kept for ever.

pub mod frontier;
pub mod hash;
pub mod layout;
pub mod proof;
pub mod tile;
