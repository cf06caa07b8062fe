//! Cold storage: full segments of the journal in a second folder, on a slower and larger file system.
//!
//! ```text
//! copy to NUMBER.journal.new -> fsync -> read back, prove -> rename, fsync the folder -> remove the hot one, fsync its folder
//! cold: nothing that counts                                  cold: a whole copy           cold: the segment
//! ```
//! Where a segment is in both folders the hot one counts, and is moved again. So a crash at any point leaves the segment in
//! one place that counts, or in that and another; never in none.
//!
//! - `claim`: a cold folder belongs to one journal. `tiers`: both folders as one, so that no reader asks which.
//! - `mover`: the thread that moves. `pulse`: whether the folder answers. `error`: what can be wrong.
//!
//! A cold file is opened for each read and closed again: the file system may go away and come back, and costs no open files.

mod claim;
mod error;
mod mover;
mod pulse;
mod tiers;

use std::path::PathBuf;

pub(super) use self::claim::{Folders, forget, join, open};
pub use self::claim::{judge, noted};
pub use self::error::{ColdError, ColdFault};
pub(super) use self::mover::Mover;
pub use self::mover::{ColdState, MoveError};
pub use self::tiers::Tiers;

/// Where the cold folder is, and what goes there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColdOptions {
    pub folder: PathBuf,
    /// So many of the newest full segments stay in the hot folder.
    pub after_segments: u64,
}
