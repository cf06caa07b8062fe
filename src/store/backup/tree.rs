//! The Merkle tree hash over a log's registry statements (RFC 6962, section 2.1), kept as its right edge alone.
//!
//! A backup and a restored folder end at a head: size and root. It is what a checkpoint of the log states (C2SP tlog-checkpoint), so
//! a checkpoint from elsewhere can be compared with what was restored.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use crate::store::rows::LeafHash;

/// The roots of the perfect trees that a tree of this size is made of, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    pub size: u64,
    edge: Vec<LeafHash>,
}

impl Frontier {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: LeafHash) {
        self.edge.push(leaf);
        for _ in 0..self.size.trailing_ones() {
            if let (Some(right), Some(left)) = (self.edge.pop(), self.edge.pop()) {
                self.edge.push(node(&left, &right));
            }
        }
        self.size += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> LeafHash {
        let mut edge = self.edge.iter().rev();
        let Some(last) = edge.next() else {
            return digest(&[]);
        };
        edge.fold(*last, |right, left| node(left, &right))
    }

    /// Whether the edge is one of a tree of this size.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.edge.len() == self.size.count_ones() as usize
    }
}

fn node(left: &LeafHash, right: &LeafHash) -> LeafHash {
    digest(&[&[1], left, right])
}

fn digest(parts: &[&[u8]]) -> LeafHash {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;
    use crate::store::rows::leaf_hash;

    #[test]
    fn roots_are_those_of_the_reference_implementation_of_rfc_6962() {
        // The eight leaves and the roots of certificate-transparency's own merkletree tests.
        let leaves: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut frontier = Frontier::default();
        assert_eq!(hex(&frontier.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (leaf, root) in leaves.into_iter().zip(roots) {
            frontier.push(leaf_hash(leaf));
            assert_eq!(hex(&frontier.root()), root, "{} leaves", frontier.size);
            assert!(frontier.is_sound());
        }
    }
}
