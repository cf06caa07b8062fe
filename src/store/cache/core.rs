//! The two shelves, the generations and the epoch as one thing that takes hashes: all of the cache that the model checker sees.
//!
//! Answers that say "there is nothing" have a shelf and a budget of their own: a flood of unknown names evicts no known one.

use super::draft::{Draft, Times};
use super::entry::{Entry, Freshness, Held, Key};
use super::generation::{Generations, Stamp};
use super::ledger::{Balance, Declined};
use super::reclaim::{Epochs, Pin, Seen, Tally};
use super::shelf::{Newcomer, Shelf};

/// Budget and places of a shelf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShelfSize {
    /// Bytes of answers, of the table and of what waits to be freed.
    pub bytes: u64,
    /// Answers, at most; rounded up to whole sets.
    pub slots: usize,
}

/// A question: a name seen by a class, the hashes that place it. `hash` places class and name, `name_hash` the generation.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub key: Key<'a>,
    pub name_hash: u64,
}

/// The right to shelve an answer, taken before the record store is read.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    pub(super) stamp: Stamp,
    /// Of the name that it was begun for.
    pub(super) name_hash: u64,
}

pub struct Core {
    positive: Shelf,
    negative: Shelf,
    generations: Generations,
    epochs: Epochs,
}

/// What was counted, a shelf at a time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    pub hits: u64,
    pub negative_hits: u64,
    /// Of both: served past their time.
    pub stale_hits: u64,
    pub misses: u64,
    pub positive: Balance,
    pub negative: Balance,
}

/// An answer, for as long as its reader is open.
#[derive(Clone, Copy)]
pub struct Hit<'p> {
    entry: Seen<'p, Entry>,
    /// Past its time: `true` for the one caller that should ask anew.
    pub renew: bool,
}

impl<'p> Hit<'p> {
    pub fn entry(self) -> Seen<'p, Entry> {
        self.entry
    }

    pub fn status(self) -> u16 {
        self.entry.status()
    }

    /// Header lines, blank line and body, in one piece: what follows status line and date.
    #[inline]
    pub fn head_and_body(self) -> &'p [u8] {
        self.entry.head_and_body()
    }

    pub fn head(self) -> &'p [u8] {
        self.entry.head()
    }

    pub fn body(self) -> &'p [u8] {
        self.entry.body()
    }

    pub fn etag(self) -> &'p [u8] {
        self.entry.etag()
    }

    /// A reference that outlives the reader.
    pub fn hold(self) -> Held {
        self.entry.hold()
    }
}

impl Core {
    pub fn new(positive: ShelfSize, negative: ShelfSize, generations: usize, pins: usize) -> Core {
        // SAFETY: ONE DOMAIN: both shelves are private to this core, and every pin that they are given is of these epochs.
        #[expect(unsafe_code, reason = "the one promise that ties shelves and epochs together")]
        let epochs = unsafe { Epochs::new(pins) };
        Core {
            positive: Shelf::new(positive.bytes, positive.slots),
            negative: Shelf::new(negative.bytes, negative.slots),
            generations: Generations::new(generations),
            epochs,
        }
    }

    /// Opens the cache for reading; `None` when more read at this moment than there are pins.
    #[inline]
    pub fn open(&self) -> Option<Reader<'_>> {
        Some(Reader { core: self, pin: self.epochs.pin()? })
    }

    /// Call before the store is read.
    pub fn begin(&self, name_hash: u64, prefix_hash: u64) -> Fill {
        Fill { stamp: self.generations.begin(name_hash, prefix_hash), name_hash }
    }

    /// Shelves what was read since `begin`; a refusal is no error, the answer is as good as any.
    pub fn fill(&self, fill: Fill, asked: &Asked<'_>, times: Times, draft: &Draft<'_>) -> Result<(), Declined> {
        let (shelf, other) = match draft.negative {
            false => (&self.positive, &self.negative),
            true => (&self.negative, &self.positive),
        };
        // Not what keeps a raced fill from being served (GENERATION does): only that it takes no place from a true one.
        if !self.generations.holds(self.generations.of_name(asked.name_hash), fill.stamp) {
            shelf.ledger().declined(Declined::Raced);
            return Err(Declined::Raced);
        }
        if !other.ledger().is_unused()
            && let Some(pin) = self.epochs.pin()
        {
            other.forget(&asked.key, &pin);
        }
        shelf.fill(&self.epochs, &Newcomer { key: asked.key, draft, stamp: fill.stamp, times })
    }

    /// The name answers something else from now on.
    pub fn changed(&self, name_hash: u64) {
        self.generations.raise(name_hash);
    }

    pub fn purge(&self, prefix_hash: u64) {
        self.generations.raise_prefix(prefix_hash);
    }

    pub fn purge_all(&self) {
        self.generations.raise_all();
    }

    /// Other budgets and places, while the cache is used. `false`: at least one table is still as it was (see [`Shelf::resize`]).
    pub fn resize(&self, positive: ShelfSize, negative: ShelfSize) -> bool {
        let first = self.positive.resize(&self.epochs, positive.bytes, positive.slots);
        self.negative.resize(&self.epochs, negative.bytes, negative.slots) && first
    }

    /// Frees what can be freed now, without waiting for a fill to do it.
    pub fn reclaim(&self) {
        self.positive.reclaim(&self.epochs);
        self.negative.reclaim(&self.epochs);
    }

    pub fn counters(&self) -> Counters {
        Counters {
            hits: self.epochs.tally(Tally::Hit),
            negative_hits: self.epochs.tally(Tally::NegativeHit),
            stale_hits: self.epochs.tally(Tally::Stale),
            misses: self.epochs.tally(Tally::Miss),
            positive: self.positive.ledger().balance(),
            negative: self.negative.ledger().balance(),
        }
    }
}

/// The cache, open for reading: what is found stays where it is until this is dropped. Short is good: fills of others wait to
/// have their memory back.
pub struct Reader<'c> {
    core: &'c Core,
    pin: Pin<'c>,
}

impl Reader<'_> {
    /// The answer, if a true one is here. No lock, no loop that others can prolong; on a hit nothing shared is written but a
    /// mark that may get lost.
    #[inline]
    pub fn find(&self, asked: &Asked<'_>, now: u64) -> Option<Hit<'_>> {
        // Early: a line of memory of its own, fetched while the set is.
        let of_name = self.core.generations.of_name(asked.name_hash);
        // What is no longer true on the first shelf (a record that was deleted) must not hide what holds on the other.
        let found = self.find_on(&self.core.positive, asked, of_name, now, Tally::Hit);
        let found = found.or_else(|| self.find_on(&self.core.negative, asked, of_name, now, Tally::NegativeHit));
        if found.is_none() {
            self.pin.count(Tally::Miss);
        }
        found
    }

    #[inline]
    fn find_on(&self, shelf: &Shelf, asked: &Asked<'_>, of_name: u32, now: u64, tally: Tally) -> Option<Hit<'_>> {
        let found = shelf.find(&asked.key, &self.pin)?;
        let entry = found.entry;
        // GENERATION
        if !cfg!(seeded_bug = "generation_not_checked") && !self.core.generations.holds(of_name, entry.target().stamp())
        {
            return None;
        }
        let renew = match entry.freshness(now) {
            Freshness::Fresh => false,
            Freshness::Stale { renew } => {
                self.pin.count(Tally::Stale);
                renew
            }
            Freshness::Over => return None,
        };
        self.pin.count(tally);
        found.mark();
        Some(Hit { entry, renew })
    }
}
