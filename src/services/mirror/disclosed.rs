//! The log with what it hides: bundles made of the lines of `GET /v1/changes`, so that nothing is fetched twice. To the follower
//! it is a source like any other: the statements in it are believed once they add up to the signed head, and the disclosures are
//! handed out beside them.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;

use super::room::{ANSWER_BYTES, Held, Room};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::follow::source::Fetched;
use crate::services::follow::{Source, SourceError};
use crate::tlog::tile::{self, Content, TILE_WIDTH, Tile};

/// What a line says besides the statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    /// Joined by "~"; absent once erased.
    pub disclosures: Option<String>,
    pub registered: Option<Timestamp>,
    /// Of an erasure: the index of what it erases. Of an entry: that of the version before.
    pub names: Option<u64>,
}

/// What stands beside the statements of a bundle, and what it holds of the budget.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub beside: Vec<Beside>,
    pub held: Held,
}

#[derive(Deserialize)]
struct Line {
    index: u64,
    statement: String,
    disclosures: Option<String>,
    version: Option<u64>,
    registered: Option<Timestamp>,
    erases: Option<u64>,
    follows: Option<u64>,
}

pub(super) struct Disclosing {
    log: Arc<dyn Source>,
    granted: Option<Arc<dyn Source>>,
    /// By the number of their bundle, until they are taken.
    hidden: Mutex<HashMap<u64, Hidden>>,
    room: Room,
    /// The head as it was fetched last.
    head: Mutex<Bytes>,
}

impl Disclosing {
    pub fn of(log: Arc<dyn Source>, granted: Option<Arc<dyn Source>>) -> Disclosing {
        Disclosing { log, granted, hidden: Mutex::default(), room: Room::default(), head: Mutex::default() }
    }

    /// The head as it was fetched last.
    pub fn head(&self) -> Bytes {
        self.head.lock().clone()
    }

    /// What is taken next stands at this index; what a look before this one left behind is forgotten.
    pub fn begin(&self, next: u64) {
        self.hidden.lock().clear();
        self.room.turn_to(next / TILE_WIDTH);
    }

    /// What stands beside the statements from an index on, all of one bundle; `None` where nothing is asked for.
    pub fn take(&self, first: u64, count: usize) -> Option<Hidden> {
        self.granted.as_ref()?;
        let number = first / TILE_WIDTH;
        let mut hidden = self.hidden.lock().remove(&number).unwrap_or_default();
        let all = &mut hidden.beside;
        let before = usize::try_from(first % TILE_WIDTH).unwrap_or(usize::MAX).min(all.len());
        all.drain(..before);
        all.resize_with(count, Beside::default);
        self.room.turn_to(number + 1);
        Some(hidden)
    }

    /// The bundle that a path names, and whom to ask for what it hides.
    fn granted(&self, path: &str) -> Option<(Tile, &dyn Source)> {
        let tile = path.strip_prefix("tile/").and_then(Tile::parse).filter(|tile| tile.content == Content::Entries)?;
        Some((tile, self.granted.as_deref()?))
    }

    /// A bundle, asked for as a whole and, where an answer has no room for it, in ever smaller parts.
    async fn bundle(&self, granted: &dyn Source, tile: Tile) -> Result<Bytes, SourceError> {
        let mut held = self.room.enter().await;
        let (mut bundle, mut beside) = (Vec::new(), Vec::new());
        let (mut lines_bytes, mut width) = (0, tile.width);
        while (beside.len() as u64) < tile.width {
            let first = tile.number * TILE_WIDTH + beside.len() as u64;
            width = width.min(tile.width - beside.len() as u64);
            if !self.room.grow(&mut held, tile.number, lines_bytes).await {
                return Err(SourceError::Oversize);
            }
            match granted.fetch(&format!("v1/changes?from={first}&limit={width}"), ANSWER_BYTES).await {
                Err(SourceError::Oversize) if width > 1 => width /= 2,
                answer => {
                    let lines = answer?;
                    lines_bytes += lines.len();
                    take_lines(&lines, first, width, &mut bundle, &mut beside)?;
                }
            }
        }
        held.shrink(lines_bytes);
        self.hidden.lock().insert(tile.number, Hidden { beside, held });
        Ok(bundle.into())
    }
}

/// Takes as many lines as were asked for, no fewer and no more.
fn take_lines(
    lines: &[u8],
    first: u64,
    width: u64,
    bundle: &mut Vec<u8>,
    beside: &mut Vec<Beside>,
) -> Result<(), SourceError> {
    let mut next = first;
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if next == first + width {
            return Err(wrong("it has more lines than were asked for"));
        }
        let line: Line = serde_json::from_slice(line).map_err(|error| wrong(&error.to_string()))?;
        if line.index != next {
            return Err(wrong("its indexes do not follow each other"));
        }
        tile::put_entry(bundle, line.statement.as_bytes()).ok_or_else(|| wrong("a statement is too long"))?;
        let Line { disclosures, version, registered, erases, follows, .. } = line;
        if version.is_some_and(|version| version > 1) && follows.is_none() {
            return Err(wrong("it does not say which entry one follows: the origin must run this version first"));
        }
        beside.push(Beside { disclosures, registered, names: erases.or(follows) });
        next += 1;
    }
    if next != first + width {
        // It ended early: an answer that broke off has the same look.
        return Err(SourceError::Passing { cause: broken("the answer is cut short"), retry_after: None });
    }
    Ok(())
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
            match self.granted(path) {
                Some((tile, granted)) => self.bundle(granted, tile).await,
                None => {
                    let bytes = self.log.fetch(path, limit_bytes).await?;
                    if path == "checkpoint" {
                        *self.head.lock() = bytes.clone();
                    }
                    Ok(bytes)
                }
            }
        })
    }

    fn place_of(&self, path: &str) -> String {
        if self.granted(path).is_some() { "/v1/changes".to_owned() } else { self.log.place_of(path) }
    }

    fn renew(&self) {
        self.log.renew();
        if let Some(granted) = &self.granted {
            granted.renew();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An origin whose every line has so many bytes of what it hides.
    struct Origin {
        hidden_bytes: usize,
        extra_lines: u64,
        asked: Mutex<Vec<(u64, u64)>>,
    }

    impl Source for Origin {
        fn fetch<'a>(&'a self, path: &'a str, limit_bytes: usize) -> Fetched<'a> {
            let (from, limit) = path.strip_prefix("v1/changes?from=").unwrap().split_once("&limit=").unwrap();
            let (from, limit): (u64, u64) = (from.parse().unwrap(), limit.parse().unwrap());
            self.asked.lock().push((from, limit));
            let hidden = "A".repeat(self.hidden_bytes);
            let line =
                move |index: u64| format!("{{\"index\":{index},\"statement\":\"s\",\"disclosures\":\"{hidden}\"}}\n");
            let one = line(from).len();
            Box::pin(async move {
                // No more is made than is asked for, as no more would be read.
                if one * usize::try_from(limit).unwrap() > limit_bytes {
                    return Err(SourceError::Oversize);
                }
                Ok((from..from + limit + self.extra_lines).map(line).collect::<String>().into())
            })
        }
    }

    async fn fetched(hidden_bytes: usize, extra_lines: u64, width: u64) -> (Result<usize, SourceError>, usize, u64) {
        let origin = Arc::new(Origin { hidden_bytes, extra_lines, asked: Mutex::default() });
        let source = Disclosing::of(Arc::clone(&origin) as _, Some(Arc::clone(&origin) as _));
        source.begin(512);
        let tile = Tile { content: Content::Entries, number: 2, width };
        let bundle = source.bundle(origin.as_ref(), tile).await;
        let taken = source.take(512, usize::try_from(width).unwrap()).unwrap();
        let whole =
            taken.beside.iter().filter(|beside| beside.disclosures.as_ref().is_some_and(|it| it.len() == hidden_bytes));
        let asked = origin.asked.lock().iter().map(|(_, limit)| *limit).min().unwrap_or_default();
        (bundle.map(|bundle| bundle.len()), whole.count(), asked)
    }

    #[tokio::test]
    async fn a_bundle_that_one_answer_has_no_room_for_comes_in_parts_and_is_whole() {
        let (bundle, whole, least) = fetched(1_000, 0, 256).await;
        assert_eq!((bundle.unwrap(), whole, least), (256 * 3, 256, 256), "asked for once");
        let (bundle, whole, least) = fetched(100_000, 0, 256).await;
        assert_eq!((bundle.unwrap(), whole, least), (256 * 3, 256, 64));
        // A line that no entry has is asked for alone and not read.
        let (bundle, _, least) = fetched(ANSWER_BYTES, 0, 4).await;
        assert!(matches!(bundle, Err(SourceError::Oversize)) && least == 1, "{bundle:?}");
    }

    #[tokio::test]
    async fn no_more_lines_are_taken_than_were_asked_for() {
        let (bundle, ..) = fetched(10, 1, 4).await;
        assert!(matches!(bundle, Err(SourceError::Lasting(_))), "{bundle:?}");
    }

    #[test]
    fn a_later_version_says_which_entry_it_follows() {
        let take = |line: &str| take_lines(line.as_bytes(), 7, 1, &mut Vec::new(), &mut Vec::new());
        assert!(take("{\"index\":7,\"statement\":\"s\",\"version\":1}\n").is_ok());
        assert!(take("{\"index\":7,\"statement\":\"s\",\"version\":2,\"follows\":3}\n").is_ok());
        assert!(matches!(take("{\"index\":7,\"statement\":\"s\",\"version\":2}\n"), Err(SourceError::Lasting(_))));
        assert!(matches!(take(""), Err(SourceError::Passing { .. })));
    }
}
