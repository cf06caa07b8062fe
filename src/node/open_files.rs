//! Open files: a connection has one, a journal segment has one as long as the node runs, and the record store has some. Where
//! they run out, no segment can be added and no connection taken.

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;
use crate::store::doctor;

/// The record store, imports, listeners, and whatever else is open for a moment.
const OTHER_FILES: u64 = 512;
/// Fewer than this beside the journal, and a node does not even start.
const FEWEST_OTHER_FILES: u64 = 64;

/// What a node needs of open files, and what it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    pub segments: u64,
    pub connections: u64,
    /// `None`: as many as it wants.
    pub limit: Option<u64>,
}

/// How far the limit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    All,
    /// The journal opens, but not every connection that the configuration allows.
    NotEveryConnection,
    /// Not even the journal and the record store.
    NotTheStore,
}

impl OpenFiles {
    /// Raises the soft limit to the hard one, and says where that ends.
    ///
    /// All of it and not just what is needed now: the journal grows while the node runs. Nothing here uses select(2), for
    /// which a high limit would be a danger.
    pub fn raise(config: &Config) -> OpenFiles {
        let limit = getrlimit(Resource::Nofile);
        if limit.current != limit.maximum {
            // Where it fails, the old limit stands, and is what is told.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
        }
        OpenFiles {
            segments: segments(&config.node.data),
            connections: config.limits.connections,
            limit: getrlimit(Resource::Nofile).current,
        }
    }

    /// Files for everything that the configuration allows.
    pub fn wanted(&self) -> u64 {
        self.segments.saturating_add(self.connections).saturating_add(OTHER_FILES)
    }

    pub fn reach(&self) -> Reach {
        match self.limit {
            Some(limit) if limit < self.segments.saturating_add(FEWEST_OTHER_FILES) => Reach::NotTheStore,
            Some(limit) if limit < self.wanted() => Reach::NotEveryConnection,
            _ => Reach::All,
        }
    }

    /// Notes it in the log.
    pub fn log(&self) {
        let (limit, segments, wanted) = (self.limit.unwrap_or(u64::MAX), self.segments, self.wanted());
        if self.reach() == Reach::All {
            tracing::info!(limit, segments, wanted, "open files");
        } else {
            tracing::warn!(
                limit,
                segments,
                wanted,
                "fewer open files are allowed than the journal's segments and limits.connections need; raise LimitNOFILE (systemd) or ulimit -Hn"
            );
        }
    }
}

fn segments(data: &Path) -> u64 {
    doctor::segments(data) as u64
}
