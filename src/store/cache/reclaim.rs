//! When memory may be given back: pins of readers, an epoch, and places whose contents are read under them. What is out of its
//! place but maybe still read is in `limbo`.
//!
//! ```text
//!  reader:  pin (epoch 7) -- follow a pointer -- read -- unpin
//!  writer:  put another pointer in its place -> retire what was there -> ...
//!  reclaim: take all that was retired as one batch -> barrier -> the batch is of epoch 7, the epoch is 8 now
//!           -> look at all pins, free the batches that are older than the oldest of them
//! ```
//!
//! Invariants, which the SAFETY comments cite:
//! - **PUBLISHED** What a [`Place`] points at was written completely before (release on the way in, acquire on the way out).
//! - **UNLINKED FIRST** A pointer is retired only after it was taken out of its place; a batch of retired ones gets its epoch
//!   only after a full barrier, and that epoch is over at the same moment.
//! - **PINNED** A reader announces an epoch, then a full barrier, and only then follows pointers. If it found a pointer of a
//!   batch, its barrier came before the batch's: after that one it would have found the place changed. So whoever looks at the
//!   pins after the batch's barrier, sees its announcement; and the epoch announced is at most the batch's, which was not over
//!   when the reader read it. Only batches older than the oldest announcement are freed.
//! - **OWN SLOT** A slot of the first [`OWN_PLACES`] is announced in by the one thread that has its number, so a store will do; if
//!   it is in use (a pin within a pin), the thread takes one of the shared ones, by compare and exchange.
//! - **ONE DOMAIN** A place is read under pins of the one [`Epochs`] that its owner also reclaims with.
//! - **ONE HAND** What is in a place, or in limbo, is one counted reference, and it is in one of the two only.
//!
//! What it does not promise: that anything is freed while a reader stays pinned. How much may wait is the ledger's business.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::sync::{
    AtomicPtr, AtomicU64, OWN_PLACES, Ordering, order, pin_barrier, place_of_thread, prepare_barriers, unlink_barrier,
};

/// A pin slot that nobody has; larger than every epoch, so that the oldest is a plain minimum.
const IDLE: u64 = u64::MAX;

/// What the thread that holds a pin counts; nobody else writes there meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    Hit = 0,
    NegativeHit = 1,
    /// Of the hits: past its time, served while one caller asks anew.
    Stale = 2,
    Miss = 3,
}

/// Alone on its pair of cache lines: two threads that read at the same time write no common line.
#[repr(align(128))]
struct PinSlot {
    epoch: AtomicU64,
    tallies: [AtomicU64; 4],
}

/// The epoch and who is reading.
pub struct Epochs {
    pins: Box<[PinSlot]>,
    epoch: Lone,
}

/// On a line of its own: every reader reads it and only reclaiming writes it.
#[repr(align(128))]
struct Lone(AtomicU64);

impl Epochs {
    /// Besides the slots that threads have to themselves, so many shared ones.
    ///
    /// # Safety
    /// ONE DOMAIN: every [`Place`] is read under pins of the same `Epochs` that its [`Limbo`] reclaims with.
    pub unsafe fn new(shared: usize) -> Epochs {
        prepare_barriers();
        let pins = (0..OWN_PLACES + shared)
            .map(|_| PinSlot { epoch: AtomicU64::new(IDLE), tallies: std::array::from_fn(|_| AtomicU64::new(0)) })
            .collect();
        Epochs { pins, epoch: Lone(AtomicU64::new(0)) }
    }

    /// Announces a reader. Never waits; `None` if the thread's own slot and all shared ones are taken.
    #[inline]
    pub fn pin(&self) -> Option<Pin<'_>> {
        let own = place_of_thread();
        // OWN SLOT
        if own < OWN_PLACES
            && let Some(slot) = self.pins.get(own)
            && slot.epoch.load(order::OWN_SLOT) == IDLE
        {
            slot.epoch.store(self.epoch.0.load(Ordering::Relaxed), order::ANNOUNCE);
            pin_barrier();
            return Some(Pin { slot, here: PhantomData });
        }
        self.pin_shared(own)
    }

    /// Tries each shared slot once.
    #[cold]
    fn pin_shared(&self, first: usize) -> Option<Pin<'_>> {
        let epoch = self.epoch.0.load(Ordering::Relaxed);
        let shared = self.pins.get(OWN_PLACES..).unwrap_or_default();
        let at = |step: usize| &shared[(first + step) % shared.len()];
        let is_taken =
            |slot: &&PinSlot| slot.epoch.compare_exchange(IDLE, epoch, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let slot = (0..shared.len()).map(at).find(is_taken)?;
        pin_barrier();
        Some(Pin { slot, here: PhantomData })
    }

    /// Ends the epoch for what was unlinked before, and returns it (UNLINKED FIRST).
    pub fn end(&self) -> Option<u64> {
        unlink_barrier().then(|| self.epoch.0.fetch_add(1, Ordering::AcqRel))
    }

    /// The oldest epoch that a reader announces.
    pub fn oldest(&self) -> u64 {
        self.pins.iter().map(|slot| slot.epoch.load(order::SCAN)).fold(IDLE, u64::min)
    }

    /// What readers counted, all slots together.
    pub fn tally(&self, tally: Tally) -> u64 {
        self.pins.iter().map(|slot| slot.tallies[tally as usize].load(Ordering::Relaxed)).sum()
    }

    /// Bytes that the slots take.
    pub fn bytes(shared: usize) -> u64 {
        ((OWN_PLACES + shared) * size_of::<PinSlot>()) as u64
    }
}

/// A reader's right to follow pointers, from now until it is dropped. Keep it short: what is retired meanwhile stays in memory.
pub struct Pin<'e> {
    slot: &'e PinSlot,
    /// Stays on its thread: the tallies are written without a read-modify-write.
    here: PhantomData<*const ()>,
}

impl Pin<'_> {
    /// Counts one, and says how many there were. The slot is ours, so load and store are enough.
    #[inline]
    pub fn count(&self, tally: Tally) -> u64 {
        let cell = &self.slot.tallies[tally as usize];
        let before = cell.load(Ordering::Relaxed);
        cell.store(before + 1, Ordering::Relaxed);
        before
    }
}

impl Drop for Pin<'_> {
    #[inline]
    fn drop(&mut self) {
        self.slot.epoch.store(IDLE, order::UNPIN);
    }
}

/// A counted reference that fits one pointer, to something that has room for what reclaiming needs to note.
///
/// # Safety
/// `from_raw` takes back what `into_raw` gave, and the target lives, where it is, as long as one reference does.
pub unsafe trait Counted: Sized {
    type Target;
    fn into_raw(self) -> NonNull<Self::Target>;
    /// # Safety
    /// The pointer is of `into_raw`, and taken back once.
    unsafe fn from_raw(raw: NonNull<Self::Target>) -> Self;
    fn links(target: Seen<'_, Self::Target>) -> &Links<Self::Target>;

    /// Low bits of a pointer that are free, because targets are aligned: a place keeps a hint there for who follows it.
    const HINTS: usize = 0;
    fn hint(_target: Seen<'_, Self::Target>) -> usize {
        0
    }
    /// Somebody follows a pointer with that hint.
    #[inline]
    fn expect(_target: NonNull<Self::Target>, _hint: usize) {}
}

/// What has room for limbo's notes, and so may be held in an `Arc` in a [`Place`].
pub trait Linked: Sized {
    fn links(&self) -> &Links<Self>;
}

// SAFETY: the promises of `Arc::into_raw` and `Arc::from_raw`.
unsafe impl<T: Linked> Counted for Arc<T> {
    type Target = T;

    fn into_raw(self) -> NonNull<T> {
        let pointer = Arc::into_raw(self).cast_mut();
        // SAFETY: the pointer of an Arc is not null.
        unsafe { NonNull::new_unchecked(pointer) }
    }

    unsafe fn from_raw(raw: NonNull<T>) -> Arc<T> {
        // SAFETY: the promise of the caller.
        unsafe { Arc::from_raw(raw.as_ptr()) }
    }

    fn links(target: Seen<'_, T>) -> &Links<T> {
        target.target().links()
    }
}

/// What limbo notes in the thing itself, so that retiring allocates nothing.
pub struct Links<T> {
    /// The next of its batch.
    pub(super) next: AtomicPtr<T>,
    /// Of the first of a batch: the first of the next batch.
    pub(super) later: AtomicPtr<T>,
    /// Of the first of a batch: its epoch.
    pub(super) retired_at: AtomicU64,
}

impl<T> Default for Links<T> {
    fn default() -> Links<T> {
        Links {
            next: AtomicPtr::new(ptr::null_mut()),
            later: AtomicPtr::new(ptr::null_mut()),
            retired_at: AtomicU64::new(0),
        }
    }
}

/// A borrow that keeps the pointer of the whole allocation, where a plain reference would reach only the type's own bytes.
pub struct Seen<'p, T> {
    pointer: NonNull<T>,
    borrows: PhantomData<&'p T>,
}

impl<'p, T> Seen<'p, T> {
    /// # Safety
    /// The target lives and is whole for all of `'p`.
    #[inline]
    pub unsafe fn of(pointer: NonNull<T>) -> Seen<'p, T> {
        Seen { pointer, borrows: PhantomData }
    }

    pub fn pointer(self) -> NonNull<T> {
        self.pointer
    }

    #[inline]
    pub fn target(self) -> &'p T {
        // SAFETY: the promise of `of`.
        unsafe { self.pointer.as_ref() }
    }
}

impl<T> Clone for Seen<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Seen<'_, T> {}

/// A place that holds one reference or none, read by anybody, written by whoever its owner lets.
pub struct Place<C: Counted> {
    pointer: AtomicPtr<C::Target>,
    owns: PhantomData<C>,
}

impl<C: Counted> Place<C> {
    pub fn new(first: Option<C>) -> Place<C> {
        Place { pointer: AtomicPtr::new(raw(first)), owns: PhantomData }
    }

    /// What is there, for as long as the pin lasts.
    #[inline]
    pub fn follow<'p>(&self, _: &'p Pin<'_>) -> Option<Seen<'p, C::Target>> {
        let (pointer, hint) = parted::<C>(self.pointer.load(order::FOLLOW));
        let pointer = pointer?;
        C::expect(pointer, hint);
        // SAFETY: PUBLISHED, so it is whole; PINNED and ONE DOMAIN, so it is not freed before the pin ends.
        Some(unsafe { Seen::of(pointer) })
    }

    /// Puts a reference there and gives out what was there before.
    pub fn put(&self, next: Option<C>) -> Option<Unlinked<C>> {
        #[cfg(seeded_bug = "freed_before_unlinked")]
        if let Some(before) = parted::<C>(self.pointer.load(Ordering::Relaxed)).0 {
            drop(unsafe { C::from_raw(before) });
            self.pointer.store(raw(next), Ordering::Release);
            return None;
        }
        let before = self.pointer.swap(raw(next), order::PUBLISH);
        parted::<C>(before).0.map(|pointer| Unlinked { pointer, owns: PhantomData })
    }
}

impl<C: Counted> Drop for Place<C> {
    fn drop(&mut self) {
        // SAFETY: ONE HAND; nobody else has this place any more, so nobody follows its pointer (`&mut self`).
        drop(parted::<C>(self.pointer.load(Ordering::Acquire)).0.map(|pointer| unsafe { C::from_raw(pointer) }));
    }
}

/// A reference as a place keeps it.
fn raw<C: Counted>(reference: Option<C>) -> *mut C::Target {
    let Some(pointer) = reference.map(C::into_raw) else { return ptr::null_mut() };
    // SAFETY: ONE HAND; the reference that this stands for keeps it alive.
    let hint = C::hint(unsafe { Seen::of(pointer) });
    pointer.as_ptr().map_addr(|address| address | (hint & C::HINTS))
}

/// Pointer and hint.
#[inline]
fn parted<C: Counted>(kept: *mut C::Target) -> (Option<NonNull<C::Target>>, usize) {
    (NonNull::new(kept.map_addr(|address| address & !C::HINTS)), kept.addr() & C::HINTS)
}

/// Out of its place, and perhaps still read by somebody: to be retired.
#[must_use = "what is not retired is never freed"]
pub struct Unlinked<C: Counted> {
    pub(super) pointer: NonNull<C::Target>,
    owns: PhantomData<C>,
}

impl<C: Counted> Unlinked<C> {
    pub fn target(&self) -> Seen<'_, C::Target> {
        // SAFETY: ONE HAND; the reference that this stands for keeps it alive.
        unsafe { Seen::of(self.pointer) }
    }
}
