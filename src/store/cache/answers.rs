//! The cache as services use it: names and classes in, answers out.

use std::sync::Arc;

use bytes::Bytes;

use super::core::{Asked, Core, Counters, Fill, Hit, Reader, ShelfSize};
use super::draft::{Draft, Times};
use super::entry::{Entry, Key};
use super::flights::{Flights, Role};
use super::generation::Generations;
use super::hash::{Seed, of_prefix};
use super::ledger::Declined;
use super::table::Table;

/// Who may see an answer. Part of the key: what one class may see is never found by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewClass {
    /// Everybody.
    Public,
    /// Whoever has shown a credential.
    SignedIn,
    /// Whoever has the grants that the view says.
    Granted,
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

impl Answer {
    /// That nothing is there (any more).
    pub fn nothing(status: u16, cache_control: Bytes) -> Answer {
        Answer { status, body: Bytes::new(), etag: Bytes::new(), cache_control, until: 0 }
    }
}

/// The hash of a name, under this process's key. Hash once, ask with it as often as needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameHash(u64);

/// Readers at the same moment beside the first of each thread: threads without a number of their own, and readers within readers.
const PINS: usize = 32;
/// Bytes of an entry beside body and name, about: header of the entry, head lines, name.
const BESIDE_BODY: u64 = 320;

/// How many times larger or smaller than at first a cache may become.
const RESIZED_AT_MOST: u64 = 16;

/// Answers by name and view class.
pub struct AnswerCache {
    pub(super) core: Core,
    pub(super) seed: Seed,
    flights: Arc<Flights<Answer>>,
    sizing: Sizing,
}

/// How a budget becomes two shelves.
#[derive(Clone, Copy, Debug)]
struct Sizing {
    negative_share_percent: u64,
    expected_answer_bytes: u64,
    /// For the budget that it was opened with: their counters stay as they are.
    generations: usize,
    opened_bytes: u64,
}

impl Sizing {
    fn shelves(&self, budget_bytes: u64) -> (ShelfSize, ShelfSize) {
        let fixed = Generations::bytes(self.generations)
            + super::reclaim::Epochs::bytes(PINS)
            + size_of::<AnswerCache>() as u64;
        let rest = budget_bytes.saturating_sub(fixed);
        let negative = rest / 100 * self.negative_share_percent.min(50);
        (
            ShelfSize {
                bytes: rest - negative,
                slots: slots(rest - negative, self.expected_answer_bytes + BESIDE_BODY),
            },
            ShelfSize { bytes: negative, slots: slots(negative, BESIDE_BODY) },
        )
    }
}

/// Places for a quarter more answers than expected: bytes should be what runs out first.
fn slots(bytes: u64, entry_bytes: u64) -> usize {
    let one = entry_bytes + Table::bytes(1 << 10) / (1 << 10);
    usize::try_from(bytes / one * 5 / 4).unwrap_or(usize::MAX).max(16)
}

impl AnswerCache {
    /// A cache that takes at most this many bytes, all included, of which negative answers may fill so many in a hundred.
    /// `expected_answer_bytes` (of a body) sizes its tables.
    pub fn new(budget_bytes: u64, negative_share_percent: u64, expected_answer_bytes: u64) -> AnswerCache {
        let answers = budget_bytes / (expected_answer_bytes + BESIDE_BODY);
        // Four counters an answer, so that one change seldom costs another name's answer; at most a sixteenth of the budget.
        let generations = usize::try_from((answers * 4).min(budget_bytes / 64)).unwrap_or(1 << 20).clamp(64, 1 << 22);
        let generations = (generations + 1).next_power_of_two() / 2;
        let sizing = Sizing { negative_share_percent, expected_answer_bytes, generations, opened_bytes: budget_bytes };
        let (positive, negative) = sizing.shelves(budget_bytes);
        AnswerCache::of(positive, negative, sizing)
    }

    /// A cache of exactly these shelves; its counters and pins come on top.
    pub fn with_shelves(positive: ShelfSize, negative: ShelfSize) -> AnswerCache {
        let generations = (positive.slots * 4).next_power_of_two().clamp(64, 1 << 22);
        let opened_bytes = positive.bytes + negative.bytes;
        let sizing = Sizing { negative_share_percent: 10, expected_answer_bytes: 500, generations, opened_bytes };
        AnswerCache::of(positive, negative, sizing)
    }

    fn of(positive: ShelfSize, negative: ShelfSize, sizing: Sizing) -> AnswerCache {
        AnswerCache {
            core: Core::new(positive, negative, sizing.generations, PINS),
            seed: Seed::default(),
            flights: Arc::new(Flights::new()),
            sizing,
        }
    }

    #[inline]
    pub fn hash(&self, name: &str) -> NameHash {
        NameHash(self.seed.hash(name.as_bytes()))
    }

    /// Opens the cache for reading, for one look or for a batch of them; `None` (ask the store) when more threads read at this
    /// moment than there is room for.
    #[inline]
    pub fn open(&self) -> Option<OpenCache<'_>> {
        Some(OpenCache { reader: self.core.open()? })
    }

    /// Lends the answer for a name to `take`, without touching a reference count.
    #[inline]
    pub fn read<T>(&self, class: ViewClass, name: &str, now_ms: u64, take: impl FnOnce(Hit<'_>) -> T) -> Option<T> {
        let open = self.open()?;
        open.find(class, name, self.hash(name), now_ms).map(take)
    }

    /// The answer for a name as parts that outlive the look. One small allocation (of `Bytes`), no copy.
    pub fn find(&self, class: ViewClass, name: &str, now: i64) -> Option<Answer> {
        self.read(class, name, u64::try_from(now).unwrap_or(0).saturating_mul(1_000), |hit| {
            let all = Bytes::from_owner(hit.hold());
            let part = |bytes: &[u8]| if bytes.is_empty() { Bytes::new() } else { all.slice_ref(bytes) };
            // The parts are taken of the handle's own bytes, which are where the hit's are.
            let entry = hit.entry();
            let (etag, cache_control) = (part(entry.etag()), part(entry.cache_control()));
            Answer { status: hit.status(), body: part(hit.body()), etag, cache_control, until: 0 }
        })
    }

    /// Call before reading the record store.
    pub fn begin(&self, name: &str) -> Fill {
        self.begin_hashed(name, self.hash(name))
    }

    pub fn begin_hashed(&self, name: &str, hash: NameHash) -> Fill {
        self.core.begin(hash.0, of_prefix(prefix(name)))
    }

    /// Shelves what was read since `begin`, which was for the same name.
    pub fn fill(&self, fill: Fill, class: ViewClass, name: &str, answer: &Answer) -> Result<(), Declined> {
        let draft = Draft {
            status: answer.status,
            etag: &answer.etag,
            cache_control: &answer.cache_control,
            body: &answer.body,
            negative: answer.until != 0,
            ..Draft::default()
        };
        let times = match u64::try_from(answer.until) {
            Ok(0) => Times::ALWAYS,
            until => {
                let until = until.unwrap_or(0).saturating_mul(1_000);
                Times { fresh_until: until, stale_until: until }
            }
        };
        self.core.fill(fill, &asked(class, name, NameHash(fill.name_hash)), times, &draft)
    }

    /// As [`AnswerCache::fill`], with all that an HTTP answer has, and times that run from now.
    pub fn fill_draft(
        &self,
        fill: Fill,
        class: ViewClass,
        name: &str,
        hash: NameHash,
        now_ms: u64,
        draft: &Draft<'_>,
    ) -> Result<(), Declined> {
        // Differs from name to name and, as the clock runs, from fill to fill.
        let chance = (hash.0 ^ now_ms).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.core.fill(fill, &asked(class, name, hash), Times::of(draft, now_ms, chance), draft)
    }

    /// The name answers something else from now on. Call after the rows are visible and before anybody is told.
    pub fn changed(&self, name: &str) {
        self.core.changed(self.hash(name).0);
    }

    /// All names of a prefix (the text before the first "/") do. Costs as much as one name.
    pub fn purge(&self, prefix: &str) {
        self.core.purge(of_prefix(prefix.as_bytes()));
    }

    pub fn purge_all(&self) {
        self.core.purge_all();
    }

    /// After a miss: lead, and read the store once for all; or follow, and wait for who leads. `fill` was begun just now, and the
    /// leader fills with it.
    pub fn join(&self, fill: Fill, class: ViewClass, name: &str) -> Role<Answer> {
        self.flights.join(fill.name_hash, class as u8, name.as_bytes(), fill.stamp)
    }

    /// Another budget, while the cache is used: from 1/16 to 16 times of the one that it was opened with, for the generations'
    /// counters stay as they are. The answers asked for most stay. `false`: not such a one, and nothing has changed; or try again, a
    /// reader stalls.
    pub fn resize(&self, budget_bytes: u64) -> bool {
        let opened = self.sizing.opened_bytes;
        if budget_bytes < opened / RESIZED_AT_MOST || budget_bytes / RESIZED_AT_MOST > opened {
            return false;
        }
        let (positive, negative) = self.sizing.shelves(budget_bytes);
        self.core.resize(positive, negative)
    }

    /// As [`AnswerCache::resize`], shelf by shelf.
    pub fn resize_shelves(&self, positive: ShelfSize, negative: ShelfSize) -> bool {
        self.core.resize(positive, negative)
    }

    /// Frees what can be freed now; otherwise fills do it as they come.
    pub fn reclaim(&self) {
        self.core.reclaim();
    }

    pub fn counters(&self) -> Counters {
        self.core.counters()
    }

    /// Answers on the shelves, true or not.
    pub fn len(&self) -> usize {
        let counters = self.counters();
        usize::try_from(counters.positive.entries + counters.negative.entries).unwrap_or(usize::MAX)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in use, tables included.
    pub fn bytes(&self) -> u64 {
        let counters = self.counters();
        counters.positive.used_bytes + counters.negative.used_bytes
    }

    /// Bytes that an answer takes on its shelf.
    pub fn bytes_of(name: &str, draft: &Draft<'_>) -> Option<u64> {
        Entry::bytes_of(name.as_bytes(), draft)
    }
}

/// The cache, open for reading.
pub struct OpenCache<'c> {
    reader: Reader<'c>,
}

impl OpenCache<'_> {
    #[inline]
    pub fn find(&self, class: ViewClass, name: &str, hash: NameHash, now_ms: u64) -> Option<Hit<'_>> {
        self.reader.find(&asked(class, name, hash), now_ms)
    }
}

#[inline]
fn asked(class: ViewClass, name: &str, hash: NameHash) -> Asked<'_> {
    // Classes of one name go to different sets; the constant is the odd number nearest 2^64 over the golden ratio.
    let placed = hash.0 ^ (class as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Asked { key: Key { hash: placed, class: class as u8, name: name.as_bytes() }, name_hash: hash.0 }
}

/// The text before the first "/".
fn prefix(name: &str) -> &[u8] {
    let name = name.as_bytes();
    name.iter().position(|byte| *byte == b'/').map_or(name, |end| &name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: ViewClass = ViewClass::Public;

    fn answer(text: &'static str) -> Answer {
        let body = Bytes::from_static(text.as_bytes());
        Answer { status: 200, body, etag: Bytes::new(), cache_control: Bytes::new(), until: 0 }
    }

    fn small() -> AnswerCache {
        AnswerCache::new(1 << 20, 10, 500)
    }

    fn shelve(cache: &AnswerCache, name: &str, answer: &Answer) {
        let _ = cache.fill(cache.begin(name), PUBLIC, name, answer);
    }

    #[test]
    fn a_fill_that_raced_a_commit_loses() {
        let cache = small();
        let fill = cache.begin("a/1");
        cache.changed("a/1");
        assert_eq!(cache.fill(fill, PUBLIC, "a/1", &answer("old")), Err(Declined::Raced));
        assert!(cache.find(PUBLIC, "a/1", 0).is_none());
        shelve(&cache, "a/1", &answer("new"));
        assert_eq!(cache.find(PUBLIC, "a/1", 0).unwrap().body, "new");
        cache.changed("a/1");
        assert!(cache.find(PUBLIC, "a/1", 0).is_none());
    }

    #[test]
    fn a_purge_takes_the_names_of_its_prefix_only() {
        let cache = small();
        ["a/1", "a/2", "b/1"].iter().for_each(|name| shelve(&cache, name, &answer("text")));
        let raced = cache.begin("a/3");
        cache.purge("a");
        assert!(cache.find(PUBLIC, "a/1", 0).is_none() && cache.find(PUBLIC, "a/2", 0).is_none());
        assert!(cache.find(PUBLIC, "b/1", 0).is_some());
        assert_eq!(cache.fill(raced, PUBLIC, "a/3", &answer("old")), Err(Declined::Raced));
    }

    #[test]
    fn a_negative_answer_is_asked_anew_after_its_time() {
        let cache = small();
        shelve(&cache, "a/2", &Answer { until: 105, ..answer("none") });
        assert!(cache.find(PUBLIC, "a/2", 104).is_some());
        assert!(cache.find(PUBLIC, "a/2", 105).is_none());
    }

    #[test]
    fn a_stale_answer_does_not_hide_the_negative_one_that_holds() {
        let cache = small();
        shelve(&cache, "a/3", &answer("before it was deleted"));
        cache.changed("a/3");
        shelve(&cache, "a/3", &Answer { status: 410, until: 105, ..answer("") });
        assert_eq!(cache.find(PUBLIC, "a/3", 100).map(|found| found.status), Some(410));
        assert_eq!(cache.counters().positive.entries, 0, "what it replaced takes no room");
    }

    #[test]
    fn a_flood_of_unknown_names_evicts_no_known_one() {
        let cache = small();
        shelve(&cache, "a/known", &answer("known"));
        (0..20_000).for_each(|at| shelve(&cache, &format!("a/unknown-{at}"), &Answer { until: 1_000, ..answer("") }));
        assert!(cache.find(PUBLIC, "a/known", 0).is_some());
    }

    #[test]
    fn the_shelves_stay_within_their_budget() {
        let cache = small();
        (0..20_000).for_each(|at| shelve(&cache, &format!("a/{at}"), &answer("0123456789")));
        assert!(cache.bytes() <= 1 << 20, "{} bytes", cache.bytes());
        assert!(cache.len() > 1_000, "{} answers", cache.len());
    }

    #[test]
    fn one_caller_renews_an_answer_past_its_time_and_the_others_are_served_meanwhile() {
        let cache = small();
        let draft = Draft { status: 200, body: b"text", fresh_ms: 8_000, stale_ms: 4_000, ..Draft::default() };
        let _ = cache.fill_draft(cache.begin("a/1"), PUBLIC, "a/1", cache.hash("a/1"), 0, &draft);
        let renew = |now| cache.read(PUBLIC, "a/1", now, |hit| hit.renew);
        // At most an eighth is taken off.
        assert_eq!(renew(6_999), Some(false));
        assert_eq!([renew(8_000), renew(8_001), renew(8_999)], [Some(true), Some(false), Some(false)]);
        assert_eq!(renew(9_001), Some(true), "who was to renew it did not");
        assert_eq!(renew(12_000), None);
    }

    #[test]
    fn answers_made_together_do_not_end_together() {
        let draft = Draft { fresh_ms: 8_000, ..Draft::default() };
        let ends: Vec<u64> = [0, 1 << 62, u64::MAX].map(|chance| Times::of(&draft, 0, chance).fresh_until).into();
        assert_eq!(ends, [8_000, 7_750, 7_001]);
    }

    #[test]
    fn an_answer_is_head_and_body_in_one_piece() {
        let cache = small();
        let draft = Draft {
            status: 200,
            etag: b"\"3\"",
            cache_control: b"public, max-age=60",
            content_type: b"application/json",
            lines: b"vary: accept\r\n",
            body: b"{\"a\":1}",
            ..Draft::default()
        };
        assert_eq!(cache.fill_draft(cache.begin("a/1"), PUBLIC, "a/1", cache.hash("a/1"), 0, &draft), Ok(()));
        let held = cache.read(PUBLIC, "a/1", 0, |hit| {
            assert_eq!((hit.etag(), hit.body()), (draft.etag, draft.body));
            hit.hold()
        });
        let held = held.unwrap();
        drop(cache);
        let text = "content-type: application/json\r\ncache-control: public, max-age=60\r\netag: \"3\"\r\n\
                    content-length: 7\r\nvary: accept\r\n\r\n{\"a\":1}";
        assert_eq!(held.as_ref(), text.as_bytes());
        assert_eq!(held.seen().cache_control(), draft.cache_control);
    }

    #[test]
    fn a_resize_keeps_what_is_asked_for_most() {
        let cache = AnswerCache::new(2 << 20, 10, 500);
        let names: Vec<String> = (0..1_500).map(|at| format!("a/{at}")).collect();
        names.iter().for_each(|name| shelve(&cache, name, &answer("0123456789")));
        for _ in 0..8 {
            names[..100].iter().for_each(|name| drop(cache.find(PUBLIC, name, 0)));
        }
        assert!(cache.resize(1 << 20));
        assert!(cache.bytes() <= 1 << 20);
        let kept = names[..100].iter().filter(|name| cache.find(PUBLIC, name, 0).is_some()).count();
        assert!(kept >= 95, "{kept} of 100");
        assert!(cache.resize(4 << 20), "and larger again");
        let kept = names[..100].iter().filter(|name| cache.find(PUBLIC, name, 0).is_some()).count();
        assert!(kept >= 95, "{kept} of 100");
    }

    #[test]
    fn a_cache_becomes_smaller_than_its_table_was() {
        let cache = AnswerCache::new(64 << 20, 10, 500);
        let names: Vec<String> = (0..4_000).map(|at| format!("a/{at}")).collect();
        names.iter().for_each(|name| shelve(&cache, name, &answer("0123456789")));
        for _ in 0..8 {
            names[..100].iter().for_each(|name| drop(cache.find(PUBLIC, name, 0)));
        }
        assert!(cache.counters().positive.fixed_bytes > 1 << 20, "the table alone is larger than what is to be left");
        assert!(!cache.resize(2 << 20) && !cache.resize(2 << 30), "1/32 and 32 times of what it was opened with");
        let (positive, negative) = cache.sizing.shelves(2 << 20);
        let open = cache.open();
        assert!(!cache.resize_shelves(positive, negative), "who reads may still read the old table");
        drop(open);
        assert!(cache.resize_shelves(positive, negative));
        assert!(cache.bytes() <= 1 << 20, "{} bytes", cache.bytes());
        let kept = names[..100].iter().filter(|name| cache.find(PUBLIC, name, 0).is_some()).count();
        assert!(kept >= 95, "{kept} of 100");
        cache.reclaim();
        let balance = cache.counters().positive;
        assert_eq!(balance.used_bytes, balance.fixed_bytes + balance.live_bytes);
    }

    #[test]
    fn the_smallest_cache_takes_answers_of_both_kinds_however_it_is_shared() {
        let body: &'static str = "x".repeat(600).leak();
        for percent in [1, 2, 10, 49, 50] {
            let cache = AnswerCache::new(1 << 20, percent, 500);
            let negative = Answer { status: 404, until: 105, ..answer(body) };
            assert_eq!(cache.fill(cache.begin("a/1"), PUBLIC, "a/1", &negative), Ok(()), "{percent} in a hundred");
            assert_eq!(cache.fill(cache.begin("a/2"), PUBLIC, "a/2", &answer(body)), Ok(()), "{percent} in a hundred");
            assert!(cache.find(PUBLIC, "a/1", 0).is_some() && cache.find(PUBLIC, "a/2", 0).is_some());
            assert!(cache.bytes() <= 1 << 20);
        }
    }

    #[test]
    fn who_holds_answers_for_long_costs_declined_fills_and_no_answers() {
        let cache = small();
        let body: &'static str = "x".repeat(2_000).leak();
        let names: Vec<String> = (0..600).map(|at| format!("a/{at}")).collect();
        names.iter().for_each(|name| shelve(&cache, name, &answer(body)));
        let held: Vec<_> = names.iter().filter_map(|name| cache.read(PUBLIC, name, 0, |hit| hit.hold())).collect();
        let before = cache.counters().positive;
        for name in (0..2_000).map(|at| format!("b/{at}")) {
            // Asked for more often than what is there.
            (0..4).for_each(|_| shelve(&cache, &name, &answer(body)));
        }
        let after = cache.counters().positive;
        let (evicted, gone) = (after.evictions - before.evictions, before.entries - after.entries);
        assert!(evicted < 20 && gone < 20, "{evicted} evicted, {gone} gone, of {}", held.len());
        drop(held);
        (0..4).for_each(|_| shelve(&cache, "c/1", &answer(body)));
        assert!(cache.find(PUBLIC, "c/1", 0).is_some(), "and once they let go, it goes on");
    }

    #[test]
    fn more_readers_than_there_is_room_for_ask_the_store() {
        let cache = small();
        shelve(&cache, "a/1", &answer("text"));
        // This thread's own pin, and those that all share.
        let open: Vec<_> = (0..=PINS).map_while(|_| cache.open()).collect();
        assert_eq!(open.len(), PINS + 1);
        assert!(cache.find(PUBLIC, "a/1", 0).is_none());
        assert_eq!(cache.fill(cache.begin("a/2"), PUBLIC, "a/2", &answer("text")), Err(Declined::Pins));
        drop(open);
        assert!(cache.find(PUBLIC, "a/1", 0).is_some());
    }
}
