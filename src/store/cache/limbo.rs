//! What is out of its place but maybe still read: kept until no reader can have it. The SAFETY comments cite `reclaim`'s invariants.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use super::reclaim::{Counted, Epochs, Links, Seen, Unlinked};
use super::sync::{AtomicBool, AtomicPtr, Ordering, order, yield_now};

/// What was retired and not freed yet: a stack, pushed by anybody, which one reclaimer at a time takes whole as a batch; and the
/// batches, the oldest first, of which only the first need be looked at.
pub struct Limbo<C: Counted> {
    fresh: AtomicPtr<C::Target>,
    /// First and last batch; whoever made `busy` true has them.
    first: AtomicPtr<C::Target>,
    last: AtomicPtr<C::Target>,
    busy: AtomicBool,
    owns: PhantomData<C>,
}

impl<C: Counted> Limbo<C> {
    pub fn new() -> Limbo<C> {
        let none = || AtomicPtr::new(ptr::null_mut());
        Limbo { fresh: none(), first: none(), last: none(), busy: AtomicBool::new(false), owns: PhantomData }
    }

    /// Keeps the reference until no reader can have seen it.
    pub fn retire(&self, unlinked: Unlinked<C>) {
        #[cfg(seeded_bug = "freed_without_limbo")]
        return drop(unsafe { C::from_raw(unlinked.pointer) });
        #[cfg(not(seeded_bug = "freed_without_limbo"))]
        self.push(unlinked.pointer, unlinked.pointer);
    }

    /// The notes of what is in limbo.
    fn links<'l>(&'l self, pointer: NonNull<C::Target>) -> &'l Links<C::Target> {
        // SAFETY: ONE HAND; the reference that limbo holds keeps it alive, and callers pass pointers that limbo has.
        C::links(unsafe { Seen::<'l, C::Target>::of(pointer) })
    }

    /// Pushes the chain from `first` to `last`.
    fn push(&self, first: NonNull<C::Target>, last: NonNull<C::Target>) {
        let last = self.links(last);
        let mut head = self.fresh.load(Ordering::Relaxed);
        loop {
            last.next.store(head, Ordering::Relaxed);
            // Release: who takes the list sees the links, and that all in it is unlinked. The list is only ever taken whole, so
            // that a head which is the same again does no harm.
            match self.fresh.compare_exchange_weak(head, first.as_ptr(), order::RETIRE, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
            yield_now();
        }
    }

    /// Gives back to `free` what no reader can have any more. Does nothing while another thread is at it.
    pub fn reclaim(&self, epochs: &Epochs, mut free: impl FnMut(C)) {
        if self.is_empty() || self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return;
        }
        self.close(epochs);
        // After the batch is closed, and so after its barrier.
        let oldest = if cfg!(seeded_bug = "pins_not_looked_at") { u64::MAX } else { epochs.oldest() };
        while let Some(batch) = NonNull::new(self.first.load(Ordering::Relaxed))
            && self.links(batch).retired_at.load(Ordering::Relaxed) < oldest
        {
            self.first.store(self.links(batch).later.load(Ordering::Relaxed), Ordering::Relaxed);
            let mut next = Some(batch);
            while let Some(pointer) = next {
                next = NonNull::new(self.links(pointer).next.load(Ordering::Relaxed));
                // SAFETY: ONE HAND; PINNED: no reader can have it any more.
                free(unsafe { C::from_raw(pointer) });
            }
        }
        self.busy.store(false, Ordering::Release);
    }

    fn is_empty(&self) -> bool {
        self.fresh.load(Ordering::Relaxed).is_null() && self.first.load(Ordering::Relaxed).is_null()
    }

    /// Makes a batch of what was retired since the last one.
    fn close(&self, epochs: &Epochs) {
        let Some(batch) = NonNull::new(self.fresh.swap(ptr::null_mut(), order::TAKE)) else { return };
        let Some(epoch) = epochs.end() else {
            // No barrier, no epoch: as if it had not been taken.
            let mut last = batch;
            while let Some(next) = NonNull::new(self.links(last).next.load(Ordering::Relaxed)) {
                last = next;
            }
            return self.push(batch, last);
        };
        let links = self.links(batch);
        links.retired_at.store(epoch, Ordering::Relaxed);
        links.later.store(ptr::null_mut(), Ordering::Relaxed);
        match NonNull::new(self.first.load(Ordering::Relaxed)).and(NonNull::new(self.last.load(Ordering::Relaxed))) {
            Some(before) => self.links(before).later.store(batch.as_ptr(), Ordering::Relaxed),
            None => self.first.store(batch.as_ptr(), Ordering::Relaxed),
        }
        self.last.store(batch.as_ptr(), Ordering::Relaxed);
    }

    /// Drops all of a chain.
    fn drop_all(mut next: *mut C::Target) {
        while let Some(pointer) = NonNull::new(next) {
            // SAFETY: ONE HAND; as `drop` says.
            next = C::links(unsafe { Seen::of(pointer) }).next.load(Ordering::Relaxed);
            // SAFETY: as above.
            drop(unsafe { C::from_raw(pointer) });
        }
    }
}

impl<C: Counted> Drop for Limbo<C> {
    fn drop(&mut self) {
        // Nobody else has this limbo any more (`&mut self`), and so no pin of its domain either.
        Self::drop_all(self.fresh.load(Ordering::Acquire));
        let mut batch = self.first.load(Ordering::Acquire);
        while let Some(first) = NonNull::new(batch) {
            batch = self.links(first).later.load(Ordering::Relaxed);
            Self::drop_all(first.as_ptr());
        }
    }
}
