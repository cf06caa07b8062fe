//! Where the hashes of a growing tree lie in one file: in the order in which they are completed.
//!
//! A leaf's hash comes first, then those of the perfect subtrees that it completes, the smallest first. So a file only grows,
//! every hash has one place for ever, and the place is a function of level and number alone.

use super::hash::Hash;

/// Bytes of a hash.
pub const HASH_BYTES: u64 = 32;

/// The root of a perfect subtree: `2^level` leaves, from leaf `number * 2^level` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Node {
    pub level: u8,
    pub number: u64,
}

impl Node {
    /// How many hashes stand before this one.
    #[must_use]
    pub fn place(self) -> u64 {
        // It is completed by its last leaf, as the hash number `level` of those which that leaf completes.
        let last_leaf = (((u128::from(self.number) + 1) << self.level) - 1) as u64;
        stored(last_leaf) + u64::from(self.level)
    }

    /// The leaf after its last one.
    #[must_use]
    pub fn end(self) -> u64 {
        ((u128::from(self.number) + 1) << self.level) as u64
    }
}

/// How many hashes a tree of this size has: two a leaf, less one for each perfect tree on its right edge.
#[must_use]
pub fn stored(size: u64) -> u64 {
    2 * size - u64::from(size.count_ones())
}

/// The perfect subtrees that the leaves from `begin` up to `end` are made of, from left to right. `begin` must be a multiple of
/// the largest power of two that is not larger than the range, as it is wherever a Merkle tree splits.
#[must_use]
pub fn perfect(mut begin: u64, end: u64) -> Vec<Node> {
    let mut nodes = Vec::new();
    while begin < end {
        let level = (end - begin).ilog2() as u8;
        nodes.push(Node { level, number: begin >> level });
        begin += 1 << level;
    }
    nodes
}

/// Where hashes of a tree are read. Only those are asked for that its size says are there.
pub trait ReadHashes {
    /// What a read fails with.
    type Error;

    /// The hash of a perfect subtree.
    fn hash(&self, node: Node) -> Result<Hash, Self::Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_hash_has_a_place_of_its_own_in_the_order_of_completion() {
        let mut next = 0;
        for leaf in 0..2_000_u64 {
            for level in 0..=(leaf + 1).trailing_zeros() as u8 {
                let node = Node { level, number: ((leaf + 1) >> level) - 1 };
                assert_eq!(node.place(), next, "{node:?}");
                assert_eq!(node.end(), leaf + 1);
                next += 1;
            }
            assert_eq!(stored(leaf + 1), next);
        }
        // The last leaf that a u64 can count does not overflow.
        assert_eq!(Node { level: 63, number: 0 }.end(), 1 << 63);
    }

    #[test]
    fn a_range_is_cut_into_its_perfect_subtrees() {
        let node = |level, number| Node { level, number };
        assert_eq!(perfect(0, 0), []);
        assert_eq!(perfect(0, 7), [node(2, 0), node(1, 2), node(0, 6)]);
        assert_eq!(perfect(4, 7), [node(1, 2), node(0, 6)]);
        assert_eq!(perfect(8, 9), [node(0, 8)]);
    }
}
