//! Stage 6: the one write path and what it feeds.
//!
//! ```text
//! commit -> sequencer (order, preconditions) -> journal (durable) -> engine (rows) -> observer (cache, metrics) -> answer
//! open   -> journal (prove, mend)            -> apply (replay)    -> self-check     -> serve
//! ```
//! - `journal`, `medium`: what must survive, and the files under it.
//! - `engine`, `engine_sled`, `engine_memory`: rows that can be made anew. `names`: which need not be asked for. `rows`, `apply`: from a frame to rows.
//! - `proposal`, `queue`, `group`, `sequencer`, `answer`: the commit. `handle`: the open store. `beside`: its threads. `revisions`: how often small tables changed.
//! - `snapshot`: the rows in a file of our own, which a power cut leaves whole.
//! - `open`, `home`, `catch_up`, `checkpoint`: start, replay and self-check, checkpoints. `explain`: why it does not open.
//! - `trees`: the log's two trees in files, where the journal is or on their way there.
//! - `cold`: the journal's old segments in a second, slower folder.
//! - `doctor`, `cut`: what an operator does while no node has the store open.
//! - `backup`: the journal in another folder, and a data folder made of it. `restored`: what such a one may not do yet.
//! - `cache`: whole answers in memory, and the rule that keeps them true.

mod answer;
mod apply;
pub mod backup;
mod beside;
pub mod cache;
mod catch_up;
mod checkpoint;
pub mod cold;
pub mod cut;
pub mod doctor;
pub mod engine;
pub mod engine_memory;
pub mod engine_sled;
mod explain;
mod group;
mod handle;
mod home;
pub mod journal;
pub mod medium;
pub mod names;
mod open;
mod proposal;
mod queue;
pub mod restored;
mod revisions;
pub mod rows;
mod sequencer;
pub mod snapshot;
pub mod trees;

use std::time::Duration;

pub use self::apply::{ApplyError, ReadStatement};
pub use self::cold::{ColdError, ColdOptions};
pub use self::handle::Store;
use self::journal::Tail;
pub use self::open::{EngineChoice, FolderLock, OpenError, Opened, StoreOptions};
pub use self::proposal::{
    Committed, Copied, CopyProposal, EntryProposal, Expect, Outcome, Proposal, Refusal, StatementProposal,
};
pub use self::queue::UnderWay;
pub use self::sequencer::GroupLimits;

/// Who must hear of commits: the cache and the counters. Called on the sequencer's thread: be quick, never block.
pub trait Observer: Send + Sync + 'static {
    /// This name answers something else from now on. Called before anybody is told that the change is done.
    fn changed(&self, name: &str);
    /// Where a prefix stands has changed, and so may what any name answers. Called before anybody is told.
    fn standings_changed(&self) {}
    /// A group is durable and visible.
    fn committed(&self, commit: &Commit, tail: Tail);
}

/// What happens when a disk can no longer be trusted. The real one ends the process before any acknowledgement.
pub trait Fatal: Send + Sync + 'static {
    fn failed(&self, cause: &str);
}

/// One group's figures.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    pub frames: usize,
    pub bytes: usize,
    /// Until the fdatasync returned.
    pub durable: Duration,
    /// Until readers saw it.
    pub whole: Duration,
}

/// Has whoever answers a request go first where the cores are busy. Linux counts this by thread, and threads that are begun
/// by this one take it over (setpriority(2)).
pub fn step_back(who: &'static str) {
    const NICE: i32 = 10;
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::warn!(%error, who, "a thread in the background runs at the priority of requests");
    }
}
