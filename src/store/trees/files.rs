//! One tree's two files: every hash, and where each leaf's frame stands.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{Grown, Tree};
use crate::store::journal::Location;
use crate::store::medium::{Medium, MediumFile};
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::Hash;
use crate::tlog::layout::{HASH_BYTES, Node, ReadHashes, perfect, stored};

/// Bytes of a leaf's place.
const PLACE_BYTES: u64 = 12;

pub(super) struct TreeFiles {
    tree: Tree,
    files: OnceLock<Files>,
    making: Mutex<()>,
    /// Leaves whose hashes and places are written.
    pub size: AtomicU64,
}

pub(super) struct Files {
    hashes: Arc<dyn MediumFile>,
    places: Arc<dyn MediumFile>,
}

impl TreeFiles {
    pub fn of(tree: Tree) -> TreeFiles {
        TreeFiles { tree, files: OnceLock::new(), making: Mutex::new(()), size: AtomicU64::new(0) }
    }

    /// Opens or makes the files; a failure is tried again at the next call.
    pub fn open(&self, medium: &dyn Medium) -> io::Result<&Files> {
        // One at a time: a file that two make at once would be emptied by the second.
        let _making = self.making.lock();
        if self.files.get().is_none() {
            let file = |extension| {
                let name = format!("{}.{extension}", self.tree.name());
                match medium.open(&name) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => medium.create(&name, 0),
                    other => other,
                }
            };
            let _ = self.files.set(Files { hashes: file("tree")?, places: file("places")? });
        }
        self.files.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The tree at a size, if the files have it and it has this root.
    pub fn load(&self, medium: &dyn Medium, size: u64, root: &Hash) -> io::Result<Option<Frontier>> {
        let files = self.open(medium)?;
        if files.hashes.length()? < stored(size) * HASH_BYTES || files.places.length()? < size * PLACE_BYTES {
            return Ok(None);
        }
        let reader = TreeReader { files: self, size };
        let edge = perfect(0, size).into_iter().map(|node| reader.hash(node)).collect::<io::Result<Vec<_>>>()?;
        let found = Frontier::of(size, edge).filter(|frontier| frontier.root() == *root);
        if found.is_some() {
            self.size.store(size, Ordering::Release);
        }
        Ok(found)
    }

    pub fn grow<'a>(
        &self,
        medium: &dyn Medium,
        from: &Frontier,
        frames: impl Iterator<Item = &'a Grown>,
    ) -> io::Result<Frontier> {
        let mut frontier = from.clone();
        let (mut hashes, mut places) = (Vec::new(), Vec::new());
        for grown in frames {
            frontier.push_all(grown.leaf, |hash| hashes.extend_from_slice(hash));
            let Location { segment, offset, length } = grown.location;
            for number in [segment, offset, length] {
                places.extend_from_slice(&number.to_le_bytes());
            }
        }
        if !places.is_empty() {
            let files = self.open(medium)?;
            files.hashes.write_all_at(&hashes, stored(from.size) * HASH_BYTES)?;
            files.places.write_all_at(&places, from.size * PLACE_BYTES)?;
        }
        Ok(frontier)
    }

    pub fn sync(&self, medium: &dyn Medium) -> io::Result<()> {
        let files = self.open(medium)?;
        files.hashes.sync_data()?;
        files.places.sync_data()
    }
}

/// What a tree held when this was made.
pub struct TreeReader<'a> {
    pub(super) files: &'a TreeFiles,
    pub(super) size: u64,
}

impl TreeReader<'_> {
    /// Leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The place of a leaf's frame; `None` where there is no such leaf.
    pub fn place(&self, index: u64) -> io::Result<Option<Location>> {
        Ok(self.places(index, 1)?.pop())
    }

    /// The places of so many leaves from an index on, as far as they are there.
    pub fn places(&self, index: u64, count: u64) -> io::Result<Vec<Location>> {
        let count = count.min(self.size.saturating_sub(index));
        let mut bytes = vec![0; usize::try_from(count * PLACE_BYTES).unwrap_or(0)];
        if count > 0 {
            self.opened()?.places.read_exact_at(&mut bytes, index * PLACE_BYTES)?;
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u32::from_le_bytes).unwrap_or_default();
        let place = |bytes: &[u8]| Location {
            segment: number(&bytes[..4]),
            offset: number(&bytes[4..8]),
            length: number(&bytes[8..]),
        };
        Ok(bytes.chunks_exact(PLACE_BYTES as usize).map(place).collect())
    }

    /// Hashes of one level that follow each other.
    pub fn row(&self, level: u8, numbers: std::ops::Range<u64>) -> io::Result<Vec<Hash>> {
        let node = |number| Node { level, number };
        if level > 0 || numbers.is_empty() {
            return numbers.map(|number| self.hash(node(number))).collect();
        }
        // Leaves stand close together: one read for all of them.
        self.check(node(numbers.end - 1))?;
        let (first, last) = (node(numbers.start).place(), node(numbers.end - 1).place());
        let mut bytes = vec![0; usize::try_from((last - first + 1) * HASH_BYTES).unwrap_or(0)];
        self.opened()?.hashes.read_exact_at(&mut bytes, first * HASH_BYTES)?;
        let hash = |number| {
            let at = ((node(number).place() - first) * HASH_BYTES) as usize;
            bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
        };
        Ok(numbers.map(hash).collect())
    }

    fn check(&self, node: Node) -> io::Result<()> {
        let is_there = node.end() <= self.size;
        is_there.then_some(()).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the tree is not that large"))
    }

    fn opened(&self) -> io::Result<&Files> {
        self.files.files.get().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl ReadHashes for TreeReader<'_> {
    type Error = io::Error;

    fn hash(&self, node: Node) -> io::Result<Hash> {
        self.check(node)?;
        let mut hash = [0; 32];
        self.opened()?.hashes.read_exact_at(&mut hash, node.place() * HASH_BYTES)?;
        Ok(hash)
    }
}
