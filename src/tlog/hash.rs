//! The hashes of a log's Merkle tree (RFC 9162, section 2.1.1; the same as RFC 6962, section 2.1), and the head that sums it up.

use ring::digest::{Context, SHA256};

/// SHA-256.
pub type Hash = [u8; 32];

/// How large a tree is, and its root: what a checkpoint states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Leaves.
    pub size: u64,
    pub root: Hash,
}

/// The hash of a leaf: SHA-256(0x00 || entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    digest(&[&[0], entry])
}

/// The hash of a node: SHA-256(0x01 || left || right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    digest(&[&[1], left, right])
}

/// The root of a tree without leaves: the hash of nothing.
#[must_use]
pub fn empty_root() -> Hash {
    digest(&[])
}

fn digest(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
