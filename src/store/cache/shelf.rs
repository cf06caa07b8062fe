//! A table of answers with a budget of its own: finding, filling, evicting, reclaiming.
//!
//! A fill, step by step, and what holds after each:
//! 1. lock the set (or decline: ONE WRITER), count the question, choose a way (or decline: admission)
//! 2. make room: evict by the hand, reserve the bytes (RESERVED)
//! 3. copy the answer into an entry of its own (nobody knows of it)
//! 4. put it in its way (PUBLISHED): readers find the old one or the new one
//! 5. retire the old one (UNLINKED FIRST); now and then reclaim, with no pin of our own
//!
//! Fills never wait for each other or for readers. Only [`Shelf::resize`] waits, for fills that are at a set already.

use std::sync::Arc;

use super::entry::{Draft, Entry, Held, Key};
use super::generation::Stamp;
use super::ledger::{Declined, Ledger};
use super::reclaim::{Epochs, Limbo, Pin, Place, Seen, Unlinked};
use super::set::{Locked, Set};
use super::sync::{AtomicBool, AtomicUsize, Ordering, yield_now};
use super::table::Table;

/// Evictions that one fill may make.
const MOST_EVICTIONS: usize = 16;

pub struct Shelf {
    table: Place<Arc<Table>>,
    tables: Limbo<Arc<Table>>,
    limbo: Limbo<Held>,
    ledger: Arc<Ledger>,
    /// The set that is looked at next for something to evict.
    hand: AtomicUsize,
    resizing: AtomicBool,
}

/// An answer to be shelved.
#[derive(Clone, Copy)]
pub struct Newcomer<'a> {
    pub key: Key<'a>,
    pub draft: &'a Draft<'a>,
    pub stamp: Stamp,
    pub fresh_until: u64,
    pub stale_until: u64,
}

/// An entry where it stands.
pub struct Found<'p> {
    set: &'p Set,
    way: usize,
    pub entry: Seen<'p, Entry>,
}

impl Found<'_> {
    /// Counts a question for it; `turn` runs with the questions.
    #[inline]
    pub fn mark(&self, turn: u64) {
        self.set.mark(self.way, turn);
    }
}

/// Why a try ended without an entry.
enum Stopped {
    Declined(Declined),
    /// What was evicted has to leave limbo first, which it cannot while we are pinned.
    InLimbo,
}

impl From<Declined> for Stopped {
    fn from(reason: Declined) -> Stopped {
        Stopped::Declined(reason)
    }
}

impl Shelf {
    /// A shelf of so many places. Its table is taken from the budget; a budget smaller than that holds no answers.
    pub fn new(budget: u64, slots: usize) -> Shelf {
        let ledger = Arc::new(Ledger::new(budget));
        let slots = if Table::bytes(slots) <= budget { slots } else { 1 };
        ledger.take(Table::bytes(slots));
        ledger.fixed(Table::bytes(slots));
        Shelf {
            table: Place::new(Some(Arc::new(Table::new(slots)))),
            tables: Limbo::new(),
            limbo: Limbo::new(),
            ledger,
            hand: AtomicUsize::new(0),
            resizing: AtomicBool::new(false),
        }
    }

    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    #[inline]
    fn table<'p>(&self, pin: &'p Pin<'_>) -> Option<&'p Table> {
        self.table.follow(pin).map(Seen::target)
    }

    #[inline]
    pub fn find<'p>(&self, key: &Key<'_>, pin: &'p Pin<'_>) -> Option<Found<'p>> {
        let set = self.table(pin)?.set(key.hash);
        set.find(key, pin).map(|(way, entry)| Found { set, way, entry })
    }

    /// Shelves an answer, or says why not.
    pub fn fill(&self, epochs: &Epochs, newcomer: &Newcomer<'_>) -> Result<(), Declined> {
        let result = self.fill_in_two_tries(epochs, newcomer);
        match result {
            // Nothing went: there is no more to be freed than before.
            Err(reason @ (Declined::Admission | Declined::Busy | Declined::Raced | Declined::Pins)) => {
                self.ledger.declined(reason);
                return result;
            }
            Err(reason) => self.ledger.declined(reason),
            Ok(()) => {}
        }
        if self.ledger.limbo_is_worth_it() {
            self.reclaim(epochs);
        }
        result
    }

    fn fill_in_two_tries(&self, epochs: &Epochs, newcomer: &Newcomer<'_>) -> Result<(), Declined> {
        for is_last in [false, true] {
            let pin = epochs.pin().ok_or(Declined::Pins)?;
            match self.try_fill(epochs, &pin, newcomer, is_last) {
                Ok(()) => return Ok(()),
                Err(Stopped::Declined(reason)) => return Err(reason),
                Err(Stopped::InLimbo) => {
                    drop(pin);
                    self.reclaim(epochs);
                }
            }
        }
        Err(Declined::Limbo)
    }

    fn try_fill(&self, epochs: &Epochs, pin: &Pin<'_>, newcomer: &Newcomer<'_>, again: bool) -> Result<(), Stopped> {
        let key = &newcomer.key;
        let bytes = Entry::bytes_of(key.name, newcomer.draft).filter(|bytes| *bytes <= self.ledger.most_bytes());
        let bytes = bytes.ok_or(Declined::Room)?;
        let table = self.table(pin).ok_or(Declined::Room)?;
        let locked = table.lock(key.hash).ok_or(Declined::Busy)?;
        let count = if again { locked.seen(key.hash) } else { locked.count(key.hash) };
        let here = locked.find(key, pin).map(|(way, _)| way);
        let way = match here.or_else(|| locked.empty_way()) {
            Some(way) => way,
            None => locked.weakest(None).filter(|(_, weakest)| count > *weakest).ok_or(Declined::Admission)?.0,
        };
        let leaving = locked.entry(way, pin).map_or(0, |entry| entry.target().bytes());
        if leaving > 0 && self.ledger.limbo_is_full() {
            return Err(Stopped::InLimbo);
        }
        self.make_room(epochs, table, &Wanted { locked: &locked, way, count, bytes, leaving })?;
        let times = [newcomer.fresh_until, newcomer.stale_until];
        let Some(held) = Entry::make(*key, newcomer.draft, newcomer.stamp, times, &self.ledger) else {
            self.ledger.give_back(bytes);
            return Err(Declined::Room.into());
        };
        self.ledger.exchanged(bytes, leaving);
        if here.is_none() && leaving > 0 {
            self.ledger.evicted();
        }
        // ONE WRITER: what was in the way is what was seen leaving.
        if let Some(gone) = locked.put(way, held, count) {
            self.ledger.limbo_gains(leaving);
            self.limbo.retire(epochs, gone);
        }
        Ok(())
    }

    /// Evicts until the bytes fit, and reserves them.
    fn make_room(&self, epochs: &Epochs, table: &Table, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        for _ in 0..MOST_EVICTIONS {
            if self.ledger.has_room(wanted.bytes, wanted.leaving) {
                return if self.ledger.reserve(wanted.bytes) { Ok(()) } else { self.make_bytes(epochs, table, wanted) };
            }
            self.evict_for(epochs, table, wanted)?;
        }
        Err(Declined::Room.into())
    }

    /// Fewer live bytes than allowed, and still no room: limbo or handles outside have it.
    fn make_bytes(&self, epochs: &Epochs, table: &Table, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        if !self.ledger.limbo_is_full() {
            self.evict_for(epochs, table, wanted)?;
        }
        Err(Stopped::InLimbo)
    }

    /// Evicts something that is asked for less often than the newcomer, from the set at the hand.
    fn evict_for(&self, epochs: &Epochs, table: &Table, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        if self.ledger.limbo_is_full() {
            return Err(Stopped::InLimbo);
        }
        let at = self.hand.fetch_add(1, Ordering::Relaxed) % table.sets();
        let other = table.lock_at(at);
        // No lock: another fill's, or our own.
        let (locked, spared) = other.as_ref().map_or((wanted.locked, Some(wanted.way)), |other| (other, None));
        match locked.weakest(spared) {
            Some((way, weakest)) if weakest < wanted.count => self.evict(epochs, locked, way),
            Some(_) => return Err(Declined::Admission.into()),
            // An empty set: on to the next one.
            None => {}
        }
        Ok(())
    }

    fn evict(&self, epochs: &Epochs, locked: &Locked<'_>, way: usize) {
        if let Some(gone) = locked.take(way) {
            self.ledger.evicted();
            self.retire(epochs, gone);
        }
    }

    /// Takes a key's entry off the shelf, if it is there and nobody is at its set.
    pub fn forget(&self, epochs: &Epochs, key: &Key<'_>, pin: &Pin<'_>) {
        let Some(table) = self.table(pin).filter(|table| table.set(key.hash).find(key, pin).is_some()) else { return };
        let Some(locked) = table.lock(key.hash) else { return };
        if let Some(gone) = locked.find(key, pin).and_then(|(way, _)| locked.take(way)) {
            self.retire(epochs, gone);
        }
    }

    fn retire(&self, epochs: &Epochs, gone: Unlinked<Held>) {
        let bytes = gone.target().target().bytes();
        self.ledger.limbo_gains(bytes);
        self.ledger.unshelved(bytes);
        self.limbo.retire(epochs, gone);
    }

    /// Frees what no reader can have any more. With a pin of the calling thread's own, little is freed.
    pub fn reclaim(&self, epochs: &Epochs) {
        let (mut gone, mut free) = (0, 0);
        self.limbo.reclaim(epochs, |held| {
            gone += held.seen().target().bytes();
            free += held.release();
        });
        if gone > 0 {
            self.ledger.limbo_loses(gone);
            self.ledger.give_back(free);
        }
        self.tables.reclaim(epochs, |table| {
            let bytes = Table::bytes(table.slots());
            table.free();
            self.ledger.give_back(bytes);
        });
    }

    /// Gives the shelf another budget and number of places, while it is used. Answers stay, the ones asked for most first; fills
    /// of sets that were moved already are declined meanwhile. `false`: another resize is under way, or a reader that stalls
    /// keeps the bytes that a new table needs (the budget holds all the same).
    pub fn resize(&self, epochs: &Epochs, budget: u64, slots: usize) -> bool {
        if self.resizing.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        self.ledger.change_budget(budget);
        let is_done = self.shrink(epochs, 0) && self.change_table(epochs, slots);
        self.resizing.store(false, Ordering::Release);
        is_done
    }

    /// Evicts until the budget is kept with so many more bytes in use.
    fn shrink(&self, epochs: &Epochs, more: u64) -> bool {
        let mut rounds_without = 0;
        while self.ledger.lacks(more) {
            let balance = self.ledger.balance();
            {
                let Some(pin) = epochs.pin() else { return false };
                let Some(table) = self.table(&pin) else { return false };
                if balance.entries == 0 || rounds_without > 2 * table.sets() + 64 {
                    return false;
                }
                let at = self.hand.fetch_add(1, Ordering::Relaxed) % table.sets();
                let locked = table.lock_at(at);
                let victim = locked.as_ref().and_then(|locked| locked.weakest(None));
                match (locked, victim) {
                    (Some(locked), Some((way, _))) if !self.ledger.limbo_is_full() => {
                        self.evict(epochs, &locked, way);
                        rounds_without = 0;
                    }
                    _ => rounds_without += 1,
                }
            }
            if self.ledger.limbo_is_worth_it() {
                self.reclaim(epochs);
            }
        }
        true
    }

    fn change_table(&self, epochs: &Epochs, slots: usize) -> bool {
        let bytes = Table::bytes(slots);
        let Some(pin) = epochs.pin() else { return false };
        let Some(old) = self.table(&pin) else { return false };
        if Table::bytes(old.slots()) == bytes {
            return true;
        }
        drop(pin);
        if !self.shrink(epochs, bytes) || !self.ledger.reserve(bytes) {
            return false;
        }
        let Some(pin) = epochs.pin() else {
            self.ledger.give_back(bytes);
            return false;
        };
        let Some(old) = self.table(&pin) else { return false };
        let new = Table::new(slots);
        for at in 0..old.sets() {
            self.move_set(epochs, (old, at), &new, &pin);
        }
        self.ledger.fixed(bytes);
        if let Some(gone) = self.table.put(Some(Arc::new(new))) {
            self.tables.retire(epochs, gone);
        }
        drop(pin);
        self.reclaim(epochs);
        true
    }

    /// Puts references to all entries of a set into the new table, and freezes the set: readers still find them there, and no
    /// fill changes it, until the new table is the table.
    fn move_set(&self, epochs: &Epochs, (old, at): (&Table, usize), new: &Table, pin: &Pin<'_>) {
        let locked = loop {
            if let Some(locked) = old.lock_at(at) {
                break locked;
            }
            yield_now();
        };
        for (count, entry) in locked.all(pin) {
            let there = new.lock(entry.target().hash);
            // Of several old sets one new one may be made: the strongest of all stay, in whichever order they come.
            let weaker = |there: &Locked<'_>| {
                there.weakest(None).filter(|(_, weakest)| *weakest < count && !self.ledger.limbo_is_full())
            };
            let way = |there: &Locked<'_>| there.empty_way().or_else(|| weaker(there).map(|(way, _)| way));
            match there.as_ref().and_then(|there| Some((there, way(there)?))) {
                Some((there, way)) => {
                    if let Some(gone) = there.put(way, entry.hold(), count) {
                        self.retire(epochs, gone);
                    }
                }
                // The old table has the last reference.
                None => self.ledger.unshelved(entry.target().bytes()),
            }
        }
        #[cfg(seeded_bug = "moved_not_shared")]
        for way in 0..super::sync::WAYS {
            locked.take(way).map(std::mem::forget);
        }
        locked.freeze();
    }
}

/// What a fill needs room for.
struct Wanted<'l> {
    locked: &'l Locked<'l>,
    way: usize,
    count: u8,
    bytes: u64,
    /// Bytes of what leaves the way.
    leaving: u64,
}
