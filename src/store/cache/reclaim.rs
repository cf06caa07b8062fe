//! When memory may be given back: pins of readers, an epoch, and the list of what is out of its place but maybe still read.
//!
//! ```text
//!  reader:  pin (epoch 7) -- follow a pointer -- read -- unpin
//!  writer:  put another pointer in its place -> retire what was there (epoch 7) -> ... -> reclaim: epoch 8,
//!           look at all pins, free what was retired before the oldest of them
//! ```
//!
//! Invariants, which the SAFETY comments cite:
//! - **PUBLISHED** What a [`Place`] points at was written completely before (release on the way in, acquire on the way out).
//! - **UNLINKED FIRST** A pointer is retired only after it was taken out of its place, with a full barrier between that and
//!   the reading of the epoch that it is retired at.
//! - **PINNED** A reader announces an epoch, then a full barrier, and only then follows pointers. If it found a pointer that
//!   was retired at epoch `e`, its barrier came before the writer's, so the reclaimer sees its announcement, and the epoch
//!   announced is at most `e` (the reader read the epoch before its barrier, the writer after its own). Only what was retired
//!   before the oldest announcement is freed.
//! - **ONE DOMAIN** A place is read under pins of the one [`Epochs`] that its owner also reclaims with.
//! - **ONE HAND** What is in a place, or in limbo, is one counted reference, and it is in one of the two only.
//!
//! What it does not promise: that anything is freed while a reader stays pinned. How much may wait is the ledger's business.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::sync::{
    AtomicBool, AtomicPtr, AtomicU64, Ordering, order, pin_barrier, place_of_thread, unlink_barrier, yield_now,
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
    /// As many readers at the same moment as there are slots, a power of two.
    ///
    /// # Safety
    /// ONE DOMAIN: every [`Place`] is read under pins of the same `Epochs` that its [`Limbo`] reclaims with.
    pub unsafe fn new(slots: usize) -> Epochs {
        let pins = (0..slots.next_power_of_two())
            .map(|_| PinSlot { epoch: AtomicU64::new(IDLE), tallies: std::array::from_fn(|_| AtomicU64::new(0)) })
            .collect();
        Epochs { pins, epoch: Lone(AtomicU64::new(0)) }
    }

    /// Announces a reader. Never waits: it tries each slot once, from this thread's own on; `None` if all are taken.
    #[inline]
    pub fn pin(&self) -> Option<Pin<'_>> {
        let epoch = self.epoch.0.load(Ordering::Relaxed);
        let (first, mask) = (place_of_thread(), self.pins.len() - 1);
        for at in 0..self.pins.len() {
            let slot = &self.pins[(first + at) & mask];
            if slot.epoch.compare_exchange(IDLE, epoch, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                pin_barrier();
                return Some(Pin { slot, here: PhantomData });
            }
        }
        None
    }

    /// Raises the epoch and returns the oldest that a reader still announces.
    fn advance(&self) -> u64 {
        self.epoch.0.fetch_add(1, Ordering::AcqRel);
        unlink_barrier();
        self.pins.iter().map(|slot| slot.epoch.load(order::SCAN)).fold(IDLE, u64::min)
    }

    /// What readers counted, all slots together.
    pub fn tally(&self, tally: Tally) -> u64 {
        self.pins.iter().map(|slot| slot.tallies[tally as usize].load(Ordering::Relaxed)).sum()
    }

    /// Bytes that the slots take.
    pub fn bytes(slots: usize) -> u64 {
        (slots * size_of::<PinSlot>()) as u64
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
    fn links(target: &Self::Target) -> &Links<Self::Target>;
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

    fn links(target: &T) -> &Links<T> {
        target.links()
    }
}

/// What limbo notes in the thing itself, so that retiring allocates nothing.
pub struct Links<T> {
    next: AtomicPtr<T>,
    retired_at: AtomicU64,
}

impl<T> Default for Links<T> {
    fn default() -> Links<T> {
        Links { next: AtomicPtr::new(ptr::null_mut()), retired_at: AtomicU64::new(0) }
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
        let pointer = NonNull::new(self.pointer.load(order::FOLLOW))?;
        // SAFETY: PUBLISHED, so it is whole; PINNED and ONE DOMAIN, so it is not freed before the pin ends.
        Some(unsafe { Seen::of(pointer) })
    }

    /// Puts a reference there and gives out what was there before.
    pub fn put(&self, next: Option<C>) -> Option<Unlinked<C>> {
        #[cfg(seeded_bug = "freed_before_unlinked")]
        if let Some(before) = NonNull::new(self.pointer.load(Ordering::Relaxed)) {
            drop(unsafe { C::from_raw(before) });
            self.pointer.store(raw(next), Ordering::Release);
            return None;
        }
        let before = self.pointer.swap(raw(next), order::PUBLISH);
        NonNull::new(before).map(|pointer| Unlinked { pointer, owns: PhantomData })
    }
}

impl<C: Counted> Drop for Place<C> {
    fn drop(&mut self) {
        // SAFETY: ONE HAND; nobody else has this place any more, so nobody follows its pointer (`&mut self`).
        drop(NonNull::new(self.pointer.load(Ordering::Acquire)).map(|pointer| unsafe { C::from_raw(pointer) }));
    }
}

fn raw<C: Counted>(reference: Option<C>) -> *mut C::Target {
    reference.map_or(ptr::null_mut(), |reference| reference.into_raw().as_ptr())
}

/// Out of its place, and perhaps still read by somebody: to be retired.
#[must_use = "what is not retired is never freed"]
pub struct Unlinked<C: Counted> {
    pointer: NonNull<C::Target>,
    owns: PhantomData<C>,
}

impl<C: Counted> Unlinked<C> {
    pub fn target(&self) -> Seen<'_, C::Target> {
        // SAFETY: ONE HAND; the reference that this stands for keeps it alive.
        unsafe { Seen::of(self.pointer) }
    }
}

/// First and last of what is linked together.
type Chain<T> = (NonNull<T>, NonNull<T>);

/// What was retired and not freed yet: a stack, pushed by anybody, taken whole by one reclaimer.
pub struct Limbo<C: Counted> {
    head: AtomicPtr<C::Target>,
    busy: AtomicBool,
    owns: PhantomData<C>,
}

impl<C: Counted> Limbo<C> {
    pub fn new() -> Limbo<C> {
        Limbo { head: AtomicPtr::new(ptr::null_mut()), busy: AtomicBool::new(false), owns: PhantomData }
    }

    /// Notes the epoch and keeps the reference until no reader can have seen it.
    pub fn retire(&self, epochs: &Epochs, unlinked: Unlinked<C>) {
        // UNLINKED FIRST
        unlink_barrier();
        let epoch = epochs.epoch.0.load(Ordering::Relaxed);
        #[cfg(seeded_bug = "freed_without_limbo")]
        return drop(unsafe { C::from_raw(unlinked.pointer) });
        #[cfg(not(seeded_bug = "freed_without_limbo"))]
        C::links(unlinked.target().target()).retired_at.store(epoch, Ordering::Relaxed);
        self.push(unlinked.pointer, unlinked.pointer);
    }

    /// Pushes the chain from `first` to `last`.
    fn push(&self, first: NonNull<C::Target>, last: NonNull<C::Target>) {
        // SAFETY: ONE HAND; a chain that is in nobody's list yet.
        let last = C::links(unsafe { last.as_ref() });
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            last.next.store(head, Ordering::Relaxed);
            // Release: who takes the list sees the links and the epochs. The list is only ever taken whole, so that a
            // head which is the same again does no harm.
            match self.head.compare_exchange_weak(head, first.as_ptr(), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
            yield_now();
        }
    }

    /// Gives back to `free` what no reader can have any more. Does nothing while another thread is at it.
    pub fn reclaim(&self, epochs: &Epochs, mut free: impl FnMut(C)) {
        if self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        let mut next = NonNull::new(self.head.swap(ptr::null_mut(), Ordering::Acquire));
        // After the list is taken: what comes into it from here on is not judged by this look at the pins.
        let oldest = if cfg!(seeded_bug = "pins_not_looked_at") { IDLE } else { epochs.advance() };
        let mut kept: Option<Chain<C::Target>> = None;
        while let Some(pointer) = next {
            // SAFETY: ONE HAND; the list was ours alone from the swap on.
            let links = C::links(unsafe { pointer.as_ref() });
            next = NonNull::new(links.next.load(Ordering::Relaxed));
            if links.retired_at.load(Ordering::Relaxed) < oldest {
                // SAFETY: ONE HAND; PINNED: no reader can have it any more.
                free(unsafe { C::from_raw(pointer) });
            } else {
                links.next.store(kept.map_or(ptr::null_mut(), |(first, _)| first.as_ptr()), Ordering::Relaxed);
                kept = Some((pointer, kept.map_or(pointer, |(_, last)| last)));
            }
        }
        if let Some((first, last)) = kept {
            self.push(first, last);
        }
        self.busy.store(false, Ordering::Release);
    }
}

impl<C: Counted> Drop for Limbo<C> {
    fn drop(&mut self) {
        let mut next = NonNull::new(self.head.load(Ordering::Acquire));
        while let Some(pointer) = next {
            // SAFETY: ONE HAND; nobody else has this list any more (`&mut self`), and so no pin of its domain either.
            next = NonNull::new(C::links(unsafe { pointer.as_ref() }).next.load(Ordering::Relaxed));
            // SAFETY: as above.
            drop(unsafe { C::from_raw(pointer) });
        }
    }
}
