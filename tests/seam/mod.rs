//! What the store's tests stand on: a disk that can lose its power (`disk`), a machine with two (`machine`), signed proposals for it (`registry`), and
//! a comparison of its trees with its journal (`trees`).
//!
//! Not a test itself. Each test binary takes in the parts that it needs.

#![allow(dead_code, reason = "every test binary compiles this module and none uses all of it")]

pub mod disk;
pub mod history;
pub mod machine;
pub mod registry;
pub mod trees;

use std::num::ParseIntError;
use std::path::Path;
use std::time::Duration;

use mingpai::store::{EngineChoice, GroupLimits, StoreOptions};

/// A small store that does nothing by itself: each test changes what it is about.
pub fn options(folder: &Path, engine: EngineChoice) -> StoreOptions {
    StoreOptions {
        folder: folder.to_owned(),
        engine,
        segment_bytes: 64 * 1024,
        group: GroupLimits { frames: 64, bytes: 1 << 20 },
        queue_entries: 64,
        checkpoint_interval: Duration::from_secs(3600),
        snapshot_frames: 0,
        reserve_bytes: 0,
        cold: None,
    }
}

/// A small deterministic generator (SplitMix64, Steele et al. 2014): a printed seed brings a history back.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// A number from the environment, or a default; a value that is no number is an error and not the default.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Err(_) => default,
        Ok(text) => text.parse().unwrap_or_else(|error: ParseIntError| panic!("{name}={text}: {error}")),
    }
}
