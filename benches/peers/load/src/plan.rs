//! What a run is to do, as JSON.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// Bounds, so that a slip of the pen does not run for a day.
const MOST_SECONDS: f64 = 600.0;
const MOST_CONNECTIONS: usize = 4096;
const MOST_DEPTH: usize = 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    pub address: SocketAddr,
    /// What is counted; it begins after the warm-up.
    pub seconds: f64,
    #[serde(default = "one_second")]
    pub warm_seconds: f64,
    /// Other draws of names and bodies in every run; the same plan asks for the same ones in the same order.
    #[serde(default)]
    pub seed: u64,
    /// Processes whose CPU time within the counted seconds is told.
    #[serde(default)]
    pub pids: Vec<u32>,
    pub streams: Vec<Stream>,
}

/// Connections that ask alike. Streams of a plan run beside one another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub name: String,
    #[serde(default = "sixty_four")]
    pub connections: usize,
    /// Requests sent together on a connection before their answers are waited for (closed loop), or that may be open at
    /// once on one (open loop).
    #[serde(default = "one")]
    pub depth: usize,
    /// Requests a second; absent: closed loop, as fast as answers come.
    pub rate: Option<f64>,
    pub sources: Vec<Source>,
}

/// Requests of one kind, and the answer that each must have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// How often this one among the stream's sources.
    #[serde(default = "one")]
    pub weight: usize,
    #[serde(default = "get")]
    pub method: String,
    /// Where `{n}` stands the running number is put.
    pub path: Option<String>,
    /// One path a line, drawn uniformly; instead of `path`.
    pub paths: Option<PathBuf>,
    /// Paths or bodies one after the other, from this one on, instead of drawn.
    pub in_turn: Option<usize>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// A file of bodies: `body_lines` lines each, or the whole file when that is 0. Drawn uniformly.
    pub bodies: Option<PathBuf>,
    #[serde(default)]
    pub body_lines: usize,
    #[serde(default = "ok")]
    pub status: u16,
    /// The length of the body that an answer must have; absent: any.
    pub body_bytes: Option<u64>,
}

impl Plan {
    pub fn check(&self) -> Result<(), String> {
        let seconds = self.seconds + self.warm_seconds;
        if !(self.seconds > 0.0 && self.warm_seconds >= 0.0 && seconds <= MOST_SECONDS) {
            return Err(format!("seconds: more than 0 and, with the warm-up, at most {MOST_SECONDS}"));
        }
        if self.streams.is_empty() || self.streams.iter().map(|s| s.connections).sum::<usize>() > MOST_CONNECTIONS {
            return Err(format!("streams: at least one, and at most {MOST_CONNECTIONS} connections in all"));
        }
        self.streams.iter().try_for_each(Stream::check)
    }
}

impl Stream {
    fn check(&self) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("{}: {what}", self.name));
        if self.connections == 0 || self.depth == 0 || self.depth > MOST_DEPTH {
            return wrong("connections and depth must be at least 1, depth at most 1024");
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate <= 1e7)) {
            return wrong("rate: more than 0, at most ten million");
        }
        if self.sources.iter().map(|source| source.weight).sum::<usize>() == 0 {
            return wrong("sources: at least one that has a weight");
        }
        if self.sources.iter().any(|source| source.path.is_some() == source.paths.is_some()) {
            return wrong("each source needs one of path and paths");
        }
        if self.sources.iter().any(|source| source.paths.is_some() && source.bodies.is_some()) {
            return wrong("paths go without bodies");
        }
        Ok(())
    }
}

fn one() -> usize {
    1
}

fn sixty_four() -> usize {
    64
}

fn one_second() -> f64 {
    1.0
}

fn ok() -> u16 {
    200
}

fn get() -> String {
    "GET".to_owned()
}
