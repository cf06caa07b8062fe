//! Whole answers in memory, and the rule that keeps them true.
//!
//! Coherence: once a write is acknowledged no later read on this node returns what was before it.
//! - Every name has a generation: a counter in a fixed table, found by the name's hash (two names may share one, which
//!   costs a needless miss and nothing else).
//! - A fill takes the generation BEFORE it reads the record store ([`AnswerCache::begin`]) and stores it with the answer.
//! - A hit counts only if the stored generation is the name's generation now.
//! - The sequencer raises the generation after the rows are visible and before anybody is told ([`AnswerCache::changed`]).
//!
//! So a fill that raced a commit carries the older generation and is never served: invariant GENERATION. There is no moment
//! between "insert" and "take it out again", because nothing needs to be taken out.
//!
//! The key holds the view class: what one class of readers may see is never found by another. The shelf that holds the
//! answers is quick_cache; it is behind this interface so that another can take its place.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

/// Who may see an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewClass {
    /// Everybody.
    Public,
}

/// A whole answer, encoded once.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// The record's version as an ETag's text, quotes included; empty where there is none.
    pub etag: Bytes,
    /// A ready Cache-Control value.
    pub cache_control: Bytes,
    /// Epoch seconds after which a negative answer is asked anew; 0: as long as it is true.
    pub until: i64,
}

/// How many generations there are: a power of two. At 25,000 changes a second an answer that did not change is
/// dropped needlessly every 40 s or so, which costs one read of the record store.
const GENERATIONS: usize = 1 << 20;
/// What one entry costs beside its bytes, about: key, slot, bookkeeping.
const ENTRY_BYTES: u64 = 160;

/// Answers by name and view class.
pub struct AnswerCache {
    shelf: Cache<Key, Shelved, ByBytes>,
    /// Answers that hold for a time only ("unknown") have a shelf of their own: a flood of unknown names evicts no known one.
    negative: Cache<Key, Shelved, ByBytes>,
    generations: Box<[AtomicU32]>,
    hasher: RandomState,
}

type Key = (ViewClass, Box<str>);

/// The same key, borrowed, for a look-up that allocates nothing.
#[derive(Hash)]
struct Borrowed<'a>(ViewClass, &'a str);

impl quick_cache::Equivalent<Key> for Borrowed<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.0 && self.1 == &*key.1
    }
}

#[derive(Clone)]
struct Shelved {
    generation: u32,
    answer: Answer,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Shelved> for ByBytes {
    fn weight(&self, key: &Key, shelved: &Shelved) -> u64 {
        ENTRY_BYTES + (key.1.len() + shelved.answer.body.len() + shelved.answer.etag.len()) as u64
    }
}

/// The right to put an answer on the shelf, taken before the record store is read.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    generation: u32,
}

impl AnswerCache {
    /// A cache of about this many bytes, of which negative answers may fill so many in a hundred.
    /// `expected_answer_bytes` sizes its table.
    pub fn new(budget_bytes: u64, negative_share_percent: u64, expected_answer_bytes: u64) -> AnswerCache {
        let negative_bytes = budget_bytes / 100 * negative_share_percent.min(50);
        AnswerCache {
            shelf: shelf(budget_bytes - negative_bytes, expected_answer_bytes),
            negative: shelf(negative_bytes, 0),
            generations: (0..GENERATIONS).map(|_| AtomicU32::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The answer for a name, if a true one is here.
    pub fn find(&self, class: ViewClass, name: &str, now: i64) -> Option<Answer> {
        let key = Borrowed(class, name);
        let holds = |shelved: &Shelved| {
            let fresh = shelved.answer.until == 0 || now < shelved.answer.until;
            // GENERATION
            fresh && shelved.generation == self.generation(name).load(Ordering::Acquire)
        };
        // What is stale on the first shelf (a record that was deleted) must not hide what holds on the other.
        let shelved = self.shelf.get(&key).filter(holds).or_else(|| self.negative.get(&key).filter(holds))?;
        Some(shelved.answer)
    }

    /// Call before reading the record store.
    pub fn begin(&self, name: &str) -> Fill {
        Fill { generation: self.generation(name).load(Ordering::Acquire) }
    }

    /// Shelves what was read since `begin`.
    pub fn fill(&self, fill: Fill, class: ViewClass, name: &str, answer: Answer) {
        let shelf = if answer.until == 0 { &self.shelf } else { &self.negative };
        shelf.insert((class, name.into()), Shelved { generation: fill.generation, answer });
    }

    /// The name answers something else from now on.
    pub fn changed(&self, name: &str) {
        self.generation(name).fetch_add(1, Ordering::Release);
    }

    /// Answers on the shelf, true or not.
    pub fn len(&self) -> usize {
        self.shelf.len() + self.negative.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that the shelf counts.
    pub fn bytes(&self) -> u64 {
        self.shelf.weight() + self.negative.weight()
    }

    fn generation(&self, name: &str) -> &AtomicU32 {
        // The mask keeps the index below GENERATIONS.
        &self.generations[self.hasher.hash_one(name) as usize & (GENERATIONS - 1)]
    }
}

fn shelf(budget_bytes: u64, expected_answer_bytes: u64) -> Cache<Key, Shelved, ByBytes> {
    let expected = usize::try_from(budget_bytes / (ENTRY_BYTES + expected_answer_bytes)).unwrap_or(usize::MAX);
    Cache::with_weighter(expected.max(16), budget_bytes, ByBytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> Answer {
        Answer {
            status: 200,
            body: Bytes::from_static(text.as_bytes()),
            etag: Bytes::new(),
            cache_control: Bytes::new(),
            until: 0,
        }
    }

    #[test]
    fn a_fill_that_raced_a_commit_loses() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        let fill = cache.begin("a/1");
        cache.changed("a/1");
        cache.fill(fill, ViewClass::Public, "a/1", answer("old"));
        assert!(cache.find(ViewClass::Public, "a/1", 0).is_none());
        let fill = cache.begin("a/1");
        cache.fill(fill, ViewClass::Public, "a/1", answer("new"));
        assert_eq!(cache.find(ViewClass::Public, "a/1", 0).unwrap().body, "new");
        cache.changed("a/1");
        assert!(cache.find(ViewClass::Public, "a/1", 0).is_none());
    }

    #[test]
    fn a_negative_answer_is_asked_anew_after_its_time() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        let fill = cache.begin("a/2");
        cache.fill(fill, ViewClass::Public, "a/2", Answer { until: 105, ..answer("none") });
        assert!(cache.find(ViewClass::Public, "a/2", 104).is_some());
        assert!(cache.find(ViewClass::Public, "a/2", 105).is_none());
    }

    #[test]
    fn a_stale_answer_does_not_hide_the_negative_one_that_holds() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        let fill = cache.begin("a/3");
        cache.fill(fill, ViewClass::Public, "a/3", answer("before it was deleted"));
        cache.changed("a/3");
        let fill = cache.begin("a/3");
        cache.fill(fill, ViewClass::Public, "a/3", Answer { status: 410, until: 105, ..answer("") });
        assert_eq!(cache.find(ViewClass::Public, "a/3", 100).map(|found| found.status), Some(410));
    }

    #[test]
    fn a_flood_of_unknown_names_evicts_no_known_one() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        let fill = cache.begin("a/known");
        cache.fill(fill, ViewClass::Public, "a/known", answer("known"));
        for at in 0..20_000 {
            let name = format!("a/unknown-{at}");
            let fill = cache.begin(&name);
            cache.fill(fill, ViewClass::Public, &name, Answer { until: 1_000, ..answer("") });
        }
        assert!(cache.find(ViewClass::Public, "a/known", 0).is_some());
    }

    #[test]
    fn the_shelf_stays_within_its_budget() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        for at in 0..20_000 {
            let name = format!("a/{at}");
            let fill = cache.begin(&name);
            cache.fill(fill, ViewClass::Public, &name, answer("0123456789"));
        }
        assert!(cache.bytes() <= 1 << 20, "{} bytes", cache.bytes());
        assert!(cache.len() > 1_000);
    }
}
