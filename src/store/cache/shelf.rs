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

use super::draft::{Draft, Times};
use super::entry::{Entry, Held, Key};
use super::generation::Stamp;
use super::ledger::{Declined, Ledger};
use super::limbo::Limbo;
use super::reclaim::{Epochs, Pin, Place, Seen, Unlinked};
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
    pub times: Times,
}

/// An entry where it stands.
pub struct Found<'p> {
    set: &'p Set,
    way: usize,
    pub entry: Seen<'p, Entry>,
}

impl Found<'_> {
    /// Counts a question for it.
    #[inline]
    pub fn mark(&self) {
        self.set.mark(self.way);
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
        let slots = Shelf::slots_for(budget, slots);
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

    /// So many, if their table is not all of the budget.
    fn slots_for(budget: u64, slots: usize) -> usize {
        if Table::bytes(slots) <= budget { slots } else { 1 }
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
            match self.try_fill(&pin, newcomer, is_last) {
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

    fn try_fill(&self, pin: &Pin<'_>, newcomer: &Newcomer<'_>, again: bool) -> Result<(), Stopped> {
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
        self.make_room(table, &Wanted { locked: &locked, pin, way, count, bytes, leaving })?;
        let Some(held) = Entry::make(*key, newcomer.draft, newcomer.stamp, newcomer.times, &self.ledger) else {
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
            self.limbo.retire(gone);
        }
        Ok(())
    }

    /// Evicts until the bytes fit, and reserves them.
    fn make_room(&self, table: &Table, wanted: &Wanted<'_>) -> Result<(), Stopped> {
        for _ in 0..MOST_EVICTIONS {
            if !self.ledger.has_room(wanted.bytes, wanted.leaving) {
                self.evict_for(table, wanted, |_| true)?;
            } else if self.ledger.reserve(wanted.bytes) {
                return Ok(());
            } else if self.ledger.limbo_has(wanted.bytes) {
                // What left already is enough, once nobody reads it: nothing more has to go.
                return Err(Stopped::InLimbo);
            } else {
                // Handles outside have it. What they hold would give no bytes if it went.
                self.evict_for(table, wanted, |victim| !victim.is_held())?;
            }
        }
        Err(Declined::Room.into())
    }

    /// Evicts something that is asked for less often than the newcomer, from the set at the hand.
    fn evict_for(
        &self,
        table: &Table,
        wanted: &Wanted<'_>,
        may_go: impl Fn(Seen<'_, Entry>) -> bool,
    ) -> Result<(), Stopped> {
        if self.ledger.limbo_is_full() {
            return Err(Stopped::InLimbo);
        }
        let at = self.hand.fetch_add(1, Ordering::Relaxed) % table.sets();
        let other = table.lock_at(at);
        // No lock: another fill's, or our own.
        let (locked, spared) = other.as_ref().map_or((wanted.locked, Some(wanted.way)), |other| (other, None));
        match locked.weakest(spared) {
            Some((_, weakest)) if weakest >= wanted.count => return Err(Declined::Admission.into()),
            Some((way, _)) if locked.entry(way, wanted.pin).is_some_and(may_go) => self.evict(locked, way),
            // An empty set, or one that may not go: on to the next one.
            _ => {}
        }
        Ok(())
    }

    fn evict(&self, locked: &Locked<'_>, way: usize) {
        if let Some(gone) = locked.take(way) {
            self.ledger.evicted();
            self.retire(gone);
        }
    }

    /// Takes a key's entry off the shelf, if it is there and nobody is at its set.
    pub fn forget(&self, key: &Key<'_>, pin: &Pin<'_>) {
        let Some(table) = self.table(pin).filter(|table| table.set(key.hash).find(key, pin).is_some()) else { return };
        let Some(locked) = table.lock(key.hash) else { return };
        if let Some(gone) = locked.find(key, pin).and_then(|(way, _)| locked.take(way)) {
            self.retire(gone);
        }
    }

    fn retire(&self, gone: Unlinked<Held>) {
        let bytes = gone.target().target().bytes();
        self.ledger.limbo_gains(bytes);
        self.ledger.unshelved(bytes);
        self.limbo.retire(gone);
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
        self.ledger.limbo_was_tried();
        self.tables.reclaim(epochs, |table| {
            let bytes = Table::bytes(table.slots());
            table.free();
            self.ledger.give_back(bytes);
        });
    }

    /// Gives the shelf another budget and number of places, while it is used. Answers stay, the ones asked for most first; fills
    /// of sets that were moved already are declined meanwhile. `false`: another resize is under way, or a reader that stalls
    /// keeps bytes that must go (no more is taken, all the same).
    pub fn resize(&self, epochs: &Epochs, budget: u64, slots: usize) -> bool {
        if self.resizing.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return false;
        }
        self.ledger.change_budget(budget);
        // A resize before may have left a table that nobody reads any more.
        self.reclaim(epochs);
        let is_done = self.change_table(epochs, Shelf::slots_for(budget, slots));
        self.resizing.store(false, Ordering::Release);
        is_done
    }

    /// Evicts until there is no lack.
    fn shrink(&self, epochs: &Epochs, lacks: impl Fn(&Ledger) -> bool) -> bool {
        let mut rounds_without = 0;
        while lacks(&self.ledger) {
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
                        self.evict(&locked, way);
                        rounds_without = 0;
                    }
                    _ => rounds_without += 1,
                }
            }
            if self.ledger.limbo_is_worth_it() || self.ledger.limbo_is_full() {
                self.reclaim(epochs);
            }
        }
        true
    }

    fn change_table(&self, epochs: &Epochs, slots: usize) -> bool {
        let bytes = Table::bytes(slots);
        let Some(old_bytes) = epochs.pin().and_then(|pin| Some(Table::bytes(self.table(&pin)?.slots()))) else {
            return false;
        };
        if old_bytes == bytes {
            return self.shrink(epochs, |ledger| ledger.lacks(0));
        }
        if self.ledger.has_place_for(bytes) {
            if !self.shrink(epochs, |ledger| ledger.lacks(bytes)) || !self.ledger.reserve(bytes) {
                return false;
            }
        } else {
            // Old and new have no place beside each other, and the old one has to go: its bytes are over the budget until then.
            self.ledger.fixed(bytes);
            if !self.shrink(epochs, |ledger| !ledger.has_room(0, 0)) {
                self.ledger.fixed(old_bytes);
                return false;
            }
            self.ledger.take(bytes);
        }
        self.ledger.fixed(if self.move_all(slots, epochs) { bytes } else { old_bytes });
        self.reclaim(epochs);
        !self.ledger.lacks(0)
    }

    /// Puts another table, whose bytes are taken already, in the place of the one that is there.
    fn move_all(&self, slots: usize, epochs: &Epochs) -> bool {
        let Some(pin) = epochs.pin() else {
            self.ledger.give_back(Table::bytes(slots));
            return false;
        };
        let new = Table::new(slots);
        if let Some(old) = self.table(&pin) {
            (0..old.sets()).for_each(|at| self.move_set((old, at), &new, &pin));
        }
        if let Some(gone) = self.table.put(Some(Arc::new(new))) {
            self.tables.retire(gone);
        }
        true
    }

    /// Puts references to all entries of a set into the new table, and freezes the set: readers still find them there, and no
    /// fill changes it, until the new table is the table.
    fn move_set(&self, (old, at): (&Table, usize), new: &Table, pin: &Pin<'_>) {
        let locked = loop {
            if let Some(locked) = old.lock_at(at) {
                break locked;
            }
            yield_now();
        };
        for (count, entry) in locked.all(pin) {
            let there = new.lock(entry.hash());
            // Of several old sets one new one may be made: the strongest of all stay, in whichever order they come.
            let weaker = |there: &Locked<'_>| {
                there.weakest(None).filter(|(_, weakest)| *weakest < count && !self.ledger.limbo_is_full())
            };
            let way = |there: &Locked<'_>| there.empty_way().or_else(|| weaker(there).map(|(way, _)| way));
            match there.as_ref().and_then(|there| Some((there, way(there)?))) {
                Some((there, way)) => {
                    if let Some(gone) = there.put(way, entry.hold(), count) {
                        // Readers still find it in the old table, which has a reference of its own.
                        #[cfg(seeded_bug = "replaced_not_retired")]
                        std::mem::forget(gone);
                        #[cfg(not(seeded_bug = "replaced_not_retired"))]
                        self.retire(gone);
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
    pin: &'l Pin<'l>,
    way: usize,
    count: u8,
    bytes: u64,
    /// Bytes of what leaves the way.
    leaving: u64,
}
