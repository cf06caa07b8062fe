//! The log with what it hides: bundles made of the lines of `GET /v1/changes`, so that nothing is fetched twice. To the follower
//! it is a source like any other: the statements in it are believed once they add up to the signed head, and the disclosures are
//! handed out beside them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::follow::source::Fetched;
use crate::services::follow::{Source, SourceError};
use crate::tlog::tile::{self, Content, TILE_WIDTH, Tile};

/// Of 256 lines; a record may have a mebibyte, most have a few kilobytes.
const LINES_LIMIT_BYTES: usize = 256 << 20;

/// What a line says besides the statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// Joined by "~"; absent once erased.
    pub disclosures: Option<String>,
    pub registered: Option<Timestamp>,
    /// Of an erasure: the index of what it erases.
    pub erases: Option<u64>,
}

#[derive(Deserialize)]
struct Line {
    index: u64,
    statement: String,
    disclosures: Option<String>,
    registered: Option<Timestamp>,
    erases: Option<u64>,
}

pub(super) struct Disclosing {
    log: Arc<dyn Source>,
    granted: Option<Arc<dyn Source>>,
    /// By the number of their bundle, until they are taken.
    beside: Mutex<HashMap<u64, Vec<Beside>>>,
    /// The head as it was fetched last.
    head: Mutex<Bytes>,
}

impl Disclosing {
    pub fn of(log: Arc<dyn Source>, granted: Option<Arc<dyn Source>>) -> Disclosing {
        Disclosing { log, granted, beside: Mutex::default(), head: Mutex::default() }
    }

    /// The head as it was fetched last.
    pub fn head(&self) -> Bytes {
        self.head.lock().clone()
    }

    /// What stands beside the statements from an index on, all of one bundle; `None` where nothing is asked for.
    pub fn take(&self, first: u64, count: usize) -> Option<Vec<Beside>> {
        self.granted.as_ref()?;
        let mut all = self.beside.lock().remove(&(first / TILE_WIDTH)).unwrap_or_default();
        let before = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX).min(all.len());
        all.drain(..before);
        all.resize_with(count, Beside::default);
        Some(all)
    }

    async fn bundle(&self, granted: &dyn Source, tile: Tile) -> Result<Bytes, SourceError> {
        let first = tile.number * TILE_WIDTH;
        let path = format!("v1/changes?from={first}&limit={}", tile.width);
        let lines = granted.fetch(&path, LINES_LIMIT_BYTES).await?;
        let (mut bundle, mut beside) = (Vec::with_capacity(lines.len() / 2), Vec::new());
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: Line = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
            if line.index != first + beside.len() as u64 {
                return Err(wrong("its indexes do not follow each other"));
            }
            tile::put_entry(&mut bundle, line.statement.as_bytes()).ok_or_else(|| wrong("a statement is too long"))?;
            let Line { disclosures, registered, erases, .. } = line;
            beside.push(Beside { disclosures, registered, erases });
        }
        if beside.len() as u64 != tile.width {
            // It ended early: an answer that broke off has the same look.
            return Err(SourceError::Passing { cause: broken("the answer is cut short"), retry_after: None });
        }
        self.beside.lock().insert(tile.number, beside);
        Ok(bundle.into())
    }
}

fn broken(what: &str) -> Text {
    Text::new(format!("/v1/changes 的答复不可读：{what}"), format!("the answer of /v1/changes does not read: {what}"))
}

fn wrong(what: &str) -> SourceError {
    SourceError::Lasting(broken(what))
}

impl Source for Disclosing {
    fn fetch<'a>(&'a self, path: &'a str, limit_bytes: usize) -> Fetched<'a> {
        Box::pin(async move {
            let tile = path.strip_prefix("tile/").and_then(Tile::parse).filter(|tile| tile.content == Content::Entries);
            match (tile, &self.granted) {
                (Some(tile), Some(granted)) => self.bundle(granted.as_ref(), tile).await,
                _ => {
                    let bytes = self.log.fetch(path, limit_bytes).await?;
                    if path == "checkpoint" {
                        *self.head.lock() = bytes.clone();
                    }
                    Ok(bytes)
                }
            }
        })
    }
}
