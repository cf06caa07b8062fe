//! Stage 7: the log as anybody can verify it. Pure: no I/O, no clock, no keys of its own.
//!
//! The formats are those of C2SP (c2sp.org), so that anybody's verifier, witness or mirror reads them. Nothing here knows of
//! identifiers or records: the log is a list of byte strings.
//!
//! - `hash`: leaves, nodes, heads. `frontier`: a tree's right edge. `layout`: where its hashes lie in a file.
//! - `proof`: inclusion and consistency, made and checked. `tile`: the log cut into pieces that can be kept for ever.
//! - `memory`: a tree that is not in files: a recorded one, or a test's.
//! - `note`: text with signatures (signed-note), and the keys that check them.
//! - `checkpoint`: the text that a head is signed as (tlog-checkpoint).
//! - `cosignature`: a witness's timed signature below a checkpoint (tlog-cosignature).
//! - `policy`: which logs and which witnesses a verifier trusts (tlog-policy), and what a checkpoint is worth by it.
//! - `log_proof`: the file that proves one entry offline (tlog-proof).
//! - `add_checkpoint`: what a log asks a witness (tlog-witness).

pub mod add_checkpoint;
pub mod checkpoint;
pub mod cosignature;
pub mod frontier;
pub mod hash;
pub mod layout;
pub mod log_proof;
pub mod memory;
pub mod note;
pub mod policy;
pub mod proof;
pub mod tile;
