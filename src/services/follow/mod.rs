//! Following a log that need not be trusted (C2SP tlog-tiles): its entries in order, each only once the signed head covers it.
//!
//! ```text
//! checkpoint -> signed as the policy says -> not behind what was remembered -> right edge adds up to the signed root
//!            -> what was remembered is its beginning -> bundle by bundle: leaves add up, entries are those leaves -> handed on
//! ```
//! - `source`: where the log is read. `http_source`: over HTTP. `roots`: whose certificates count there.
//! - `tiles`: the hashes of one head, held against it. `memory`: what is remembered. `error`: what can be wrong.
//!
//! Memory is bounded: a tile a level, and as many bundles as are fetched at once (each of 16 MiB at most, usually a third of one).

pub mod error;
pub mod http_source;
pub mod memory;
pub mod roots;
pub mod source;
mod tiles;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;

pub use error::{Evidence, FollowError};
pub use memory::Memory;
pub use source::{Source, SourceError};

use self::source::{Asking, FIRST_PAUSE, LAST_PAUSE};
use self::tiles::Tiles;
use crate::tlog::hash::{Hash, Head};
use crate::tlog::note::{NOTE_LIMIT_BYTES, Note};
use crate::tlog::policy::{JudgeError, Policy};
use crate::tlog::tile::TILE_WIDTH;

/// Where a log's newest head is.
const CHECKPOINT: &str = "checkpoint";
/// An older head than was seen before may come from a cache; after this it counts as what the log says.
const ROLLBACK_PATIENCE: Duration = Duration::from_secs(10);

/// How a log is followed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long a question is repeated where that may help.
    pub patience: Duration,
    /// Bundles that are fetched at the same time.
    pub at_once: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { patience: Duration::from_secs(60), at_once: 8 }
    }
}

/// Entries that follow each other, verified.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The index of the first one.
    pub first: u64,
    /// As many leaf hashes as entries.
    pub leaves: Vec<Hash>,
    pub entries: Vec<Bytes>,
}

impl Batch {
    /// Index, leaf hash and bytes of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Hash, &Bytes)> {
        (self.first..).zip(self.leaves.iter().zip(&self.entries)).map(|(index, (leaf, entry))| (index, leaf, entry))
    }

    fn without_those_before(&mut self, index: u64) {
        let known = usize::try_from(index.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.entries.len());
        self.leaves.drain(..known);
        self.entries.drain(..known);
        self.first += known as u64;
    }
}

/// One log, and how far it was followed.
pub struct Follower {
    asking: Asking,
    policy: Policy,
    memory: Memory,
    options: Options,
}

/// A head that the policy believes.
struct Shown {
    origin: String,
    head: Head,
    text: String,
}

impl Follower {
    #[must_use]
    pub fn new(source: Arc<dyn Source>, policy: Policy, memory: Memory, options: Options) -> Follower {
        Follower { asking: Asking { source, patience: options.patience }, policy, memory, options }
    }

    /// What it knows now: to be kept for the next time. Right after an error, too.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Reads the newest head and hands on every entry that it adds, in order. Each is verified before: it is the leaf that the
    /// signed root covers, and that root continues the one remembered. What was handed on before an error stays done: the
    /// next call goes on from there.
    pub async fn advance(
        &mut self,
        mut each: impl FnMut(Batch) -> Result<(), FollowError>,
    ) -> Result<Head, FollowError> {
        let shown = self.newest_head().await?;
        let head = shown.head;
        if self.memory.done == head {
            self.memory.remember(shown);
            return Ok(head);
        }
        let mut tiles = Tiles::open(&self.asking, head).await?;
        for old in [self.memory.newest, self.memory.done] {
            if tiles.frontier_at(old.size).await?.head() != old {
                return Err(forked(&self.memory, old, shown));
            }
        }
        self.memory.remember(shown);
        hand_on(&self.asking, &mut self.memory, &mut tiles, self.options.at_once, &mut each).await?;
        Ok(head)
    }

    /// All leaf hashes of the newest head that was believed, without the entries: a fortieth of the bytes. Index of the first,
    /// and some that follow each other.
    pub async fn leaf_hashes(&self, mut each: impl FnMut(u64, &[Hash])) -> Result<(), FollowError> {
        let head = self.memory.newest;
        let mut tiles = Tiles::open(&self.asking, head).await?;
        let mut number = 0;
        while number < head.size.div_ceil(TILE_WIDTH) {
            let end = (number / TILE_WIDTH + 1) * TILE_WIDTH;
            let wanted = tiles.above(number, end).await?;
            let asking = &self.asking;
            let leaves = wanted.into_iter().map(|(tile, above)| async move {
                asking.leaves(tile, above).await.map(|leaves| (tile.number * TILE_WIDTH, leaves))
            });
            let mut leaves = stream::iter(leaves).buffered(self.options.at_once.max(1));
            while let Some(found) = leaves.next().await {
                let (first, leaves) = found?;
                each(first, &leaves);
            }
            number = end;
        }
        Ok(())
    }

    /// The log's name, as a head says it that the policy believes.
    pub async fn origin(&self) -> Result<String, FollowError> {
        Ok(self.newest_head().await?.origin)
    }

    /// The newest head, if it is one to go on from.
    async fn newest_head(&self) -> Result<Shown, FollowError> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let shown = self.head_shown().await?;
            let known = self.memory.newest;
            if let Some(remembered) = self.memory.origin.as_ref().filter(|origin| **origin != shown.origin) {
                return Err(FollowError::OtherOrigin { remembered: remembered.clone(), shown: shown.origin });
            }
            if shown.head.size == known.size && shown.head.root != known.root {
                return Err(forked(&self.memory, known, shown));
            }
            if shown.head.size >= known.size {
                return Ok(shown);
            }
            // Caches may show a head of a moment ago.
            if started.elapsed() + pause > self.options.patience.min(ROLLBACK_PATIENCE) {
                let evidence = Box::new(evidence(&self.memory, &shown));
                return Err(FollowError::RolledBack { remembered: known.size, shown: shown.head.size, evidence });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    async fn head_shown(&self) -> Result<Shown, FollowError> {
        let bytes = self.asking.read(CHECKPOINT, NOTE_LIMIT_BYTES).await?.ok_or(FollowError::NoHead)?;
        let note = Note::parse_bytes(&bytes).map_err(JudgeError::Note)?;
        let verdict = self.policy.judge(&note)?;
        if !verdict.has_quorum {
            return Err(FollowError::NoQuorum { cosigned: verdict.cosigned.len() });
        }
        Ok(Shown { head: verdict.checkpoint.head(), origin: verdict.checkpoint.origin, text: note.to_string() })
    }
}

impl Memory {
    fn remember(&mut self, shown: Shown) {
        self.origin = Some(shown.origin);
        self.newest = shown.head;
        self.checkpoint = Some(shown.text);
    }
}

/// Bundle by bundle, several on their way at once.
async fn hand_on(
    asking: &Asking,
    memory: &mut Memory,
    tiles: &mut Tiles<'_>,
    at_once: usize,
    each: &mut impl FnMut(Batch) -> Result<(), FollowError>,
) -> Result<(), FollowError> {
    let mut frontier = tiles.frontier_at(memory.done.size).await?;
    let count = tiles.head().size.div_ceil(TILE_WIDTH);
    let mut number = frontier.size / TILE_WIDTH;
    while number < count {
        let end = (number / TILE_WIDTH + 1) * TILE_WIDTH;
        let wanted = tiles.above(number, end).await?;
        let bundles = wanted.into_iter().map(|(tile, above)| asking.bundle(tile, above));
        let mut bundles = stream::iter(bundles).buffered(at_once.max(1));
        while let Some(batch) = bundles.next().await {
            let mut batch = batch?;
            batch.without_those_before(frontier.size);
            for leaf in &batch.leaves {
                frontier.push(*leaf);
            }
            each(batch)?;
            memory.done = frontier.head();
        }
        number = end;
    }
    Ok(())
}

fn evidence(memory: &Memory, shown: &Shown) -> Evidence {
    Evidence { remembered: memory.checkpoint.clone(), shown: shown.text.clone() }
}

fn forked(memory: &Memory, old: Head, shown: Shown) -> FollowError {
    let evidence = Box::new(evidence(memory, &shown));
    FollowError::Forked { size: old.size, shown: shown.head.size, evidence }
}
