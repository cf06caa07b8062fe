//! A tree in memory: a log that was recorded, in the tests of what follows logs and of what reads trees.

use super::hash::Hash;
use super::layout::{Node, ReadHashes};

/// Hashes in memory, in the order of a file.
#[derive(Clone, Debug, Default)]
pub struct Hashes(pub Vec<Hash>);

/// A hash that is asked for and not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absent(pub Node);

impl ReadHashes for Hashes {
    type Error = Absent;

    fn hash(&self, node: Node) -> Result<Hash, Absent> {
        let place = usize::try_from(node.place()).map_err(|_| Absent(node))?;
        self.0.get(place).copied().ok_or(Absent(node))
    }
}
