//! The tiles of one signed head, none believed before it adds up: the right edge to the signed root, every other tile to the
//! one above it. So whatever is given out here the head covers, and little is kept: a tile a level.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{try_join, try_join_all};

use super::Batch;
use super::error::FollowError;
use super::source::Asking;
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{Hash, Head, leaf_hash};
use crate::tlog::layout::{HASH_BYTES, perfect};
use crate::tlog::tile::{self, Content, ENTRY_BYTES, TILE_HEIGHT, TILE_WIDTH, Tile, perfect_root};

/// Levels of tiles that a tree of 64-bit size has.
const LEVELS: u8 = 64 / TILE_HEIGHT;
const HASHES_LIMIT_BYTES: usize = (TILE_WIDTH * HASH_BYTES) as usize;
const BUNDLE_LIMIT_BYTES: usize = TILE_WIDTH as usize * (2 + ENTRY_BYTES);

type Hashes = Arc<[Hash]>;

pub(super) struct Tiles<'a> {
    asking: &'a Asking,
    head: Head,
    /// By level: the last tile, where it is not full.
    edge: Vec<Option<Hashes>>,
    /// By level: the full tile that was read last, with its number.
    kept: Vec<Option<(u64, Hashes)>>,
}

/// What the entries of a bundle are held against.
#[derive(Clone)]
pub(super) enum Above {
    /// The root over the 256 of a full one.
    Root(Hash),
    /// The leaves themselves: those of the right edge.
    Leaves(Hashes),
}

impl<'a> Tiles<'a> {
    /// Reads the right edge and holds it against the head.
    pub async fn open(asking: &'a Asking, head: Head) -> Result<Tiles<'a>, FollowError> {
        let edge = (0..LEVELS).map(async |level| match Tile::of_size(Content::Hashes(level), head.size) {
            (_, Some(tile)) => asking.hashes(tile).await.map(Some),
            (_, None) => Ok(None),
        });
        let edge = try_join_all(edge).await?;
        let mut tiles = Tiles { asking, head, edge, kept: vec![None; LEVELS.into()] };
        if tiles.frontier_at(head.size).await?.root() != head.root {
            return Err(FollowError::WrongRoot { size: head.size });
        }
        Ok(tiles)
    }

    /// The tree as it was at a size that the head covers.
    pub async fn frontier_at(&mut self, size: u64) -> Result<Frontier, FollowError> {
        let mut edge = Vec::new();
        for node in perfect(0, size) {
            let (level, height) = (node.level / TILE_HEIGHT, node.level % TILE_HEIGHT);
            // Its hashes stand together: a perfect subtree begins at a multiple of its width.
            let first = node.number << height;
            let hashes = self.tile(level, first / TILE_WIDTH).await?;
            let from = (first % TILE_WIDTH) as usize;
            let part = hashes.get(from..from + (1 << height));
            edge.push(perfect_root(part.ok_or(FollowError::WrongRoot { size: self.head.size })?));
        }
        Frontier::of(size, edge).ok_or(FollowError::WrongRoot { size: self.head.size })
    }

    /// A tile of hashes, full or the last of its level.
    pub async fn tile(&mut self, level: u8, number: u64) -> Result<Hashes, FollowError> {
        // Up to one that is known, and down again.
        let (mut at, mut wanted) = ((level, number), Vec::new());
        let mut known = loop {
            if let Some(hashes) = self.known(at) {
                break hashes;
            }
            if at.0 + 1 >= LEVELS {
                return Err(FollowError::WrongRoot { size: self.head.size });
            }
            wanted.push(at);
            at = (at.0 + 1, at.1 / TILE_WIDTH);
        };
        while let Some((level, number)) = wanted.pop() {
            let tile = Tile { content: Content::Hashes(level), number, width: TILE_WIDTH };
            let hashes = self.asking.hashes(tile).await?;
            if known.get((number % TILE_WIDTH) as usize) != Some(&perfect_root(&hashes)) {
                return Err(FollowError::AlteredTile { path: path_of(&tile) });
            }
            if let Some(kept) = self.kept.get_mut(usize::from(level)) {
                *kept = Some((number, Arc::clone(&hashes)));
            }
            known = hashes;
        }
        Ok(known)
    }

    fn known(&self, (level, number): (u8, u64)) -> Option<Hashes> {
        let (full, partial) = Tile::of_size(Content::Hashes(level), self.head.size);
        let level = usize::from(level);
        if partial.is_some() && number == full {
            return self.edge.get(level).cloned().flatten();
        }
        let kept = self.kept.get(level)?.as_ref();
        kept.filter(|(known, _)| *known == number).map(|(_, hashes)| Arc::clone(hashes))
    }

    /// What each bundle from `first` up to `end` is held against; all must hang from one tile.
    pub async fn above(&mut self, first: u64, end: u64) -> Result<Vec<(Tile, Above)>, FollowError> {
        let (full, partial) = Tile::of_size(Content::Entries, self.head.size);
        let mut found = Vec::new();
        if first < full {
            let roots = self.tile(1, first / TILE_WIDTH).await?;
            for number in first..end.min(full) {
                let root = roots.get((number % TILE_WIDTH) as usize);
                let root = *root.ok_or(FollowError::WrongRoot { size: self.head.size })?;
                found.push((Tile { content: Content::Entries, number, width: TILE_WIDTH }, Above::Root(root)));
            }
        }
        if let Some(tile) = partial.filter(|_| end > full) {
            found.push((tile, Above::Leaves(self.tile(0, full).await?)));
        }
        Ok(found)
    }

    pub fn head(&self) -> Head {
        self.head
    }
}

impl Asking {
    /// A tile of hashes, not yet held against anything. Where a partial one has gone, the full one has come (C2SP tlog-tiles,
    /// "Partial Tiles").
    pub async fn hashes(&self, tile: Tile) -> Result<Hashes, FollowError> {
        let (bytes, found) = self.tile(tile, HASHES_LIMIT_BYTES).await?;
        let hashes = bytes.chunks_exact(HASH_BYTES as usize).filter_map(|hash| hash.try_into().ok());
        let hashes: Vec<Hash> = hashes.take(tile.width as usize).collect();
        if bytes.len() as u64 != found.width * HASH_BYTES || hashes.len() as u64 != tile.width {
            return Err(FollowError::Misshapen { path: path_of(&found) });
        }
        Ok(hashes.into())
    }

    /// The leaves of a bundle.
    pub async fn leaves(&self, bundle: Tile, above: Above) -> Result<Hashes, FollowError> {
        match above {
            Above::Leaves(leaves) => Ok(leaves),
            Above::Root(root) => {
                let tile = Tile { content: Content::Hashes(0), ..bundle };
                let leaves = self.hashes(tile).await?;
                let is_right = perfect_root(&leaves) == root;
                is_right.then_some(leaves).ok_or_else(|| FollowError::AlteredTile { path: path_of(&tile) })
            }
        }
    }

    /// The entries of a bundle, each held against its leaf.
    pub async fn bundle(&self, tile: Tile, above: Above) -> Result<Batch, FollowError> {
        let (leaves, (bytes, found)) = try_join(self.leaves(tile, above), self.tile(tile, BUNDLE_LIMIT_BYTES)).await?;
        let entries = tile::entries(&bytes, found.width);
        let entries = entries.ok_or_else(|| FollowError::Misshapen { path: path_of(&found) })?;
        let entries: Vec<Bytes> = entries.into_iter().take(leaves.len()).map(|entry| bytes.slice_ref(entry)).collect();
        let first = tile.number * TILE_WIDTH;
        for (index, (entry, leaf)) in (first..).zip(entries.iter().zip(leaves.iter())) {
            if leaf_hash(entry) != *leaf {
                return Err(FollowError::AlteredEntry { index });
            }
        }
        Ok(Batch { first, leaves: leaves.to_vec(), entries })
    }

    /// A tile, or the full one in its place.
    async fn tile(&self, tile: Tile, limit_bytes: usize) -> Result<(Bytes, Tile), FollowError> {
        let full = Tile { width: TILE_WIDTH, ..tile };
        for tile in [tile, full] {
            if let Some(bytes) = self.read(&path_of(&tile), limit_bytes).await? {
                return Ok((bytes, tile));
            }
        }
        Err(FollowError::Withheld { path: path_of(&tile) })
    }
}

fn path_of(tile: &Tile) -> String {
    format!("tile/{}", tile.path())
}
