//! A set: sixteen places for answers, what is needed to find one, and what is needed to choose which one goes.
//!
//! ```text
//!  line 1    | tags: 16 x 16 bits | marks: 16 x 8 bits | place 0..2                            |
//!  line 2, 3 | place 2..16                                                                     |
//!  and, in a table beside it, what only fills look at, so that a declined one writes nothing that readers read:
//!  line 4, 5 | sketch: 240 counters of 4 bits for names asked for, here or not | lock hand time |
//! ```
//!
//! A reader compares four tags at once, follows the pointer of each that fits (one, but for a chance of 1 in 4,000), and raises
//! the way's mark if it is not at its top yet: a relaxed store that may get lost, and that hot answers do not need.
//!
//! Which one goes: the way with the lowest mark, and only if the newcomer was asked for more often by the sketch's account
//! (TinyLFU within a set). From time to time all counters are halved, and those of ways that
//! nobody asked for since are cleared. An answer that goes leaves its mark in the sketch, so that it finds its place again if it was a mistake.
//!
//! Invariant **ONE WRITER**: tags, places, sketch, hand and time are written under the set's lock only. Nobody waits for it: who does
//! not get it declines its fill. Marks are written by everybody; they are advice.

use std::ptr;

use super::entry::{Entry, Held, Key};
use super::fetch::fetch;
use super::reclaim::{Pin, Place, Seen, Unlinked};
use super::sync::{AtomicBool, AtomicU8, AtomicU64, Ordering, SKETCH_WORDS, TAG_WORDS, WAYS, Witness, order};

/// Most that a mark or a counter of the sketch counts to.
const TOP: u8 = 15;
/// In a mark: somebody asked for it since the last halving.
const TOUCHED: u8 = 0x80;
/// Fills between two halvings, for each way: a long time is better for a steady demand, a short one for a demand that moves. So
/// it begins short, becomes longer while nearly all ways are asked for between two halvings, and half as long when not.
const SHORTEST: u8 = 3;
const LONGEST: u8 = 12;
const STEP: u8 = 2;
/// Ways that nobody asked for, from which on demand is taken to move.
const MOVED: usize = 2;

/// A word of tags has so many, of so many bits.
const TAGS: usize = 4;
const TAG_BITS: usize = 16;
/// Pointers in a cache line.
const PLACES_OF_LINE: usize = 8;
const LOW_BITS: u64 = 0x0001_0001_0001_0001;
const HIGH_BITS: u64 = 0x8000_8000_8000_8000;

#[repr(C, align(64))]
pub struct Set {
    tags: [AtomicU64; TAG_WORDS],
    marks: [AtomicU8; WAYS],
    places: [Place<Held>; WAYS],
    writer: Witness,
}

/// What fills note beside a set: who is at it, how often names were asked for, how much time has passed.
#[repr(align(64))]
pub struct Notes {
    sketch: [AtomicU64; SKETCH_WORDS],
    locked: AtomicBool,
    /// Way after the one that was filled last.
    hand: AtomicU8,
    /// Fills since the last halving.
    ticks: AtomicU8,
    /// Fills a way, from one halving to the next.
    period: AtomicU8,
}

/// Never 0: that is an empty way's.
#[inline]
fn tag(hash: u64) -> u16 {
    (hash as u16).max(1)
}

impl Set {
    pub fn new() -> Set {
        Set {
            tags: std::array::from_fn(|_| AtomicU64::new(0)),
            marks: std::array::from_fn(|_| AtomicU8::new(0)),
            places: std::array::from_fn(|_| Place::new(None)),
            writer: Witness::new(),
        }
    }

    /// The way and the entry of a key. Looks at each way once at most.
    #[inline]
    pub fn find<'p>(&self, key: &Key<'_>, pin: &'p Pin<'_>) -> Option<(usize, Seen<'p, Entry>)> {
        // The other lines, while the tags are on their way.
        self.places.iter().skip(2).step_by(PLACES_OF_LINE).for_each(|place| fetch(ptr::from_ref(place)));
        let wanted = LOW_BITS * u64::from(tag(key.hash));
        for (word, tags) in self.tags.iter().enumerate() {
            // Zero where the tag is the wanted one; one found too many does no harm, the key decides.
            let differing = tags.load(Ordering::Relaxed) ^ wanted;
            let mut fitting = differing.wrapping_sub(LOW_BITS) & !differing & HIGH_BITS;
            while fitting != 0 {
                let way = word * TAGS + fitting.trailing_zeros() as usize / TAG_BITS;
                fitting &= fitting - 1;
                let seen = self.places.get(way).and_then(|place| place.follow(pin));
                if let Some(seen) = seen.filter(|seen| seen.is(key)) {
                    return Some((way, seen));
                }
            }
        }
        None
    }

    /// Somebody asked for it.
    #[inline]
    pub fn mark(&self, way: usize) {
        let mark = self.marks[way].load(Ordering::Relaxed);
        let next = TOUCHED | ((mark & TOP) + 1).min(TOP);
        if next != mark {
            self.marks[way].store(next, Ordering::Relaxed);
        }
    }
}

impl Notes {
    pub fn new() -> Notes {
        Notes {
            sketch: std::array::from_fn(|_| AtomicU64::new(0)),
            locked: AtomicBool::new(false),
            hand: AtomicU8::new(0),
            ticks: AtomicU8::new(0),
            period: AtomicU8::new(SHORTEST),
        }
    }

    /// The right to change the set that these notes are of, if nobody has it.
    pub fn try_lock<'s>(&'s self, set: &'s Set) -> Option<Locked<'s>> {
        if self.locked.load(Ordering::Relaxed) || self.is_taken() {
            return None;
        }
        set.writer.write();
        Some(Locked { set, notes: self })
    }

    fn is_taken(&self) -> bool {
        #[cfg(seeded_bug = "lock_not_atomic")]
        {
            self.locked.store(true, Ordering::Relaxed);
            return false;
        }
        #[cfg(not(seeded_bug = "lock_not_atomic"))]
        self.locked.compare_exchange(false, true, order::LOCK, Ordering::Relaxed).is_err()
    }

    /// Word and shift of the two counters of a name. Other bits of the hash than those that choose the set or are the tag.
    fn cells(hash: u64) -> [(usize, u32); 2] {
        [16, 28].map(|shift| ((hash >> (shift + 4)) as usize % SKETCH_WORDS, (hash >> shift) as u32 % 16 * 4))
    }

    fn counted(&self, (word, shift): (usize, u32)) -> u8 {
        (self.sketch[word].load(Ordering::Relaxed) >> shift) as u8 & TOP
    }

    fn set(&self, (word, shift): (usize, u32), count: u8) {
        let others = self.sketch[word].load(Ordering::Relaxed) & !(u64::from(TOP) << shift);
        self.sketch[word].store(others | u64::from(count) << shift, Ordering::Relaxed);
    }

    /// Raises both counters to at least so much.
    fn raise(&self, hash: u64, least: u8) {
        for cell in Notes::cells(hash) {
            if self.counted(cell) < least {
                self.set(cell, least);
            }
        }
    }

    fn halve(&self) {
        for word in &self.sketch {
            word.store(word.load(Ordering::Relaxed) >> 1 & 0x7777_7777_7777_7777, Ordering::Relaxed);
        }
    }
}

/// A set that is ours to change (ONE WRITER).
pub struct Locked<'s> {
    set: &'s Set,
    notes: &'s Notes,
}

impl Locked<'_> {
    /// Counts one more question for a name, and says how many there were of late.
    pub fn count(&self, hash: u64) -> u8 {
        let ticks = self.notes.ticks.load(Ordering::Relaxed) + 1;
        let is_over = ticks >= self.notes.period.load(Ordering::Relaxed) * WAYS as u8;
        self.notes.ticks.store(if is_over { 0 } else { ticks }, Ordering::Relaxed);
        if is_over {
            self.age();
        }
        let seen = (self.seen(hash) + 1).min(TOP);
        self.notes.raise(hash, seen);
        seen
    }

    /// How many questions for a name were counted of late.
    pub fn seen(&self, hash: u64) -> u8 {
        let [one, two] = Notes::cells(hash).map(|cell| self.notes.counted(cell));
        one.min(two)
    }

    fn age(&self) {
        self.notes.halve();
        let mut untouched = 0;
        for mark in &self.set.marks {
            let before = mark.load(Ordering::Relaxed);
            let is_touched = before & TOUCHED != 0;
            untouched += usize::from(!is_touched);
            mark.store(if is_touched { (before & TOP) / 2 } else { 0 }, Ordering::Relaxed);
        }
        let period = self.notes.period.load(Ordering::Relaxed);
        let next = if untouched >= MOVED { (period / 2).max(SHORTEST) } else { (period + STEP).min(LONGEST) };
        self.notes.period.store(next, Ordering::Relaxed);
    }

    pub fn find<'p>(&self, key: &Key<'_>, pin: &'p Pin<'_>) -> Option<(usize, Seen<'p, Entry>)> {
        self.set.find(key, pin)
    }

    fn tag(&self, way: usize) -> u16 {
        (self.set.tags[way / TAGS].load(Ordering::Relaxed) >> (way % TAGS * TAG_BITS)) as u16
    }

    fn set_tag(&self, way: usize, tag: u16) {
        let (word, shift) = (&self.set.tags[way / TAGS], way % TAGS * TAG_BITS);
        let others = word.load(Ordering::Relaxed) & !(0xFFFF << shift);
        word.store(others | u64::from(tag) << shift, Ordering::Relaxed);
    }

    pub fn empty_way(&self) -> Option<usize> {
        let ways = self.set.tags.iter().enumerate().filter_map(|(word, tags)| {
            // The lowest that is zero; below it the trick has no false ones.
            let tags = tags.load(Ordering::Relaxed);
            let empty = tags.wrapping_sub(LOW_BITS) & !tags & HIGH_BITS;
            (empty != 0).then(|| word * TAGS + empty.trailing_zeros() as usize / TAG_BITS)
        });
        ways.min().filter(|way| *way < WAYS)
    }

    /// The way that would go first, of those that hold something and are not spared, and its count. Among equals the one after
    /// the last that was filled.
    pub fn weakest(&self, spared: Option<usize>) -> Option<(usize, u8)> {
        let hand = usize::from(self.notes.hand.load(Ordering::Relaxed));
        // Count, distance from the hand, way, in one number each: the least is found without branches.
        let ranks = (0..WAYS).map(|way| {
            let after = if way >= hand { way - hand } else { way + WAYS - hand };
            let rank = usize::from(self.mark(way)) << 16 | after << 8 | way;
            if self.tag(way) == 0 || spared == Some(way) { usize::MAX } else { rank }
        });
        let least = ranks.fold(usize::MAX, usize::min);
        (least != usize::MAX).then_some((least & 0xFF, (least >> 16) as u8))
    }

    pub fn entry<'p>(&self, way: usize, pin: &'p Pin<'_>) -> Option<Seen<'p, Entry>> {
        self.set.places[way].follow(pin)
    }

    /// Puts an entry in a way and gives out what was there. A reader finds one or the other.
    pub fn put(&self, way: usize, held: Held, count: u8) -> Option<Unlinked<Held>> {
        let hash = held.seen().hash();
        let before = self.set.places[way].put(Some(held));
        self.set_tag(way, tag(hash));
        let is_same = before.as_ref().is_some_and(|before| before.target().hash() == hash);
        let mark = if is_same { count.max(self.mark(way)) } else { count };
        self.remember(way, before.as_ref().filter(|_| !is_same));
        self.set.marks[way].store(TOUCHED | mark.min(TOP), Ordering::Relaxed);
        self.notes.hand.store(((way + 1) % WAYS) as u8, Ordering::Relaxed);
        before
    }

    /// Empties a way.
    pub fn take(&self, way: usize) -> Option<Unlinked<Held>> {
        self.set_tag(way, 0);
        let before = self.set.places[way].put(None);
        self.remember(way, before.as_ref());
        before
    }

    /// What goes leaves its mark in the sketch, so that what was asked for often is known when it comes back.
    fn remember(&self, way: usize, gone: Option<&Unlinked<Held>>) {
        if let Some(gone) = gone {
            self.notes.raise(gone.target().hash(), self.mark(way));
        }
    }

    fn mark(&self, way: usize) -> u8 {
        self.set.marks[way].load(Ordering::Relaxed) & TOP
    }

    /// All that is here, with counts; the strongest first.
    pub fn all<'p>(&self, pin: &'p Pin<'_>) -> Vec<(u8, Seen<'p, Entry>)> {
        let mut all: Vec<_> = (0..WAYS).filter_map(|way| Some((self.mark(way), self.entry(way, pin)?))).collect();
        all.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        all
    }

    /// Leaves the set locked for ever: what is in it is as it is, until the table goes.
    pub fn freeze(self) {
        std::mem::forget(self);
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.set.writer.write();
        self.notes.locked.store(false, order::UNLOCK);
    }
}
