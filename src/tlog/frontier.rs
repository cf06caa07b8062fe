//! A tree that is kept as its right edge alone: enough to add leaves and to tell the root at any moment, and no more.

use serde::{Deserialize, Serialize};

use super::hash::{Hash, Head, empty_root, node_hash};

/// The roots of the perfect trees that a tree of this size is made of, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frontier {
    pub size: u64,
    edge: Vec<Hash>,
}

impl Frontier {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.push_all(leaf, |_| {});
    }

    /// Adds a leaf and hands out every hash that it completes, its own first: the order of [`super::layout`].
    pub fn push_all(&mut self, leaf: Hash, mut completed: impl FnMut(&Hash)) {
        completed(&leaf);
        let mut right = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.edge.pop() {
                right = node_hash(&left, &right);
                completed(&right);
            }
        }
        self.edge.push(right);
        self.size += 1;
    }

    /// A tree by its size and edge; `None` where the edge is not one of a tree of this size.
    #[must_use]
    pub fn of(size: u64, edge: Vec<Hash>) -> Option<Frontier> {
        let frontier = Frontier { size, edge };
        frontier.is_sound().then_some(frontier)
    }

    /// Size and root.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { size: self.size, root: self.root() }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut edge = self.edge.iter().rev();
        let Some(last) = edge.next() else {
            return empty_root();
        };
        edge.fold(*last, |right, left| node_hash(left, &right))
    }

    /// Whether the edge is one of a tree of this size.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.edge.len() == self.size.count_ones() as usize
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::leaf_hash;
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

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
