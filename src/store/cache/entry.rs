//! One answer in one allocation, and the counted reference to it.
//!
//! ```text
//!  | header: stamp, time, lengths | name | head: "content-type: ...\r\n" ... "\r\n" | body | rest: hash, count, links, ... |
//!  '----- one cache line ---------------'-------- one piece: head and body ---------'
//! ```
//! What a reader compares, a name of up to 31 bytes included, is the cache line that the pointer leads to; what only fills,
//! evictions and handles look at stands behind the body. The pointer itself says how many lines there are to the body's end
//! ([`Counted::hint`]), so that a reader has the last one on its way before it has seen the first.
//!
//! The head is the lines of an HTTP/1.1 answer between "Date" and the body, blank line included. Status line and date are not
//! here: they change by the second and are the same for all, so a worker keeps them ready, and an answer is two pieces for
//! writev, or one copy after them.
//!
//! Invariants, which the SAFETY comments cite:
//! - **LAYOUT** The allocation is [`Shape::of`] the three lengths in the header: the header, from [`PARTS_AT`] on the three parts,
//!   and the rest; all was written before a reference to it existed.
//! - **FROZEN** After that nothing in it changes but the atomics.
//! - **HELD** The count is the number of references (one of them the cache's own, until it is reclaimed). Who raises it has a
//!   reference, or a pin under which the cache's own cannot be given back. Who lowers it to none frees.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::draft::{Draft, END, LINES, Times};
use super::fetch::fetch;
use super::generation::Stamp;
use super::ledger::Ledger;
use super::reclaim::{Counted, Links, Seen};
use super::sync::{AtomicU32, AtomicU64, Ordering, Witness, fence, order};

/// What a reader compares and takes. The name follows the last field, in what would be padding.
#[repr(C)]
pub struct Entry {
    broad: u64,
    fresh_until: u64,
    name: u32,
    head_bytes: u32,
    body_bytes: u32,
    prefix: u16,
    key_bytes: u16,
    class: u8,
}

/// What a hit does not look at.
#[repr(C)]
struct Rest {
    hash: u64,
    /// When the next caller may be sent to ask anew.
    renew_at: AtomicU64,
    links: Links<Entry>,
    ledger: Arc<Ledger>,
    stale_ms: u32,
    count: AtomicU32,
    value_bytes: [u16; 3],
    status: u16,
    witness: Witness,
}

/// Where the parts begin.
const PARTS_AT: usize = std::mem::offset_of!(Entry, class) + 1;
/// A cache line: entries begin at one, so that a pointer's low bits are free for the hint.
const LINE: usize = 64;

/// Whether an answer may be served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    Fresh,
    /// Past its time but within what its maker allows. `renew`: this caller, and no other for a while, should ask anew.
    Stale {
        renew: bool,
    },
    Over,
}

/// For how long one caller has the task of asking anew.
const RENEWAL_MS: u64 = 1_000;

/// An allocation: where the parts end, where the rest is, and all of it.
struct Shape {
    parts_end: usize,
    rest_at: usize,
    layout: Layout,
}

impl Shape {
    #[inline]
    fn of(key: usize, head: usize, body: usize) -> Option<Shape> {
        let parts_end = key.checked_add(head)?.checked_add(body)?.checked_add(PARTS_AT)?;
        // A header's own padding is there, however short the parts are.
        let rest_at = parts_end.max(size_of::<Entry>()).checked_next_multiple_of(align_of::<Rest>())?;
        let layout = Layout::from_size_align(rest_at.checked_add(size_of::<Rest>())?, LINE).ok()?;
        Some(Shape { parts_end, rest_at, layout })
    }
}

impl Entry {
    /// Bytes that the entry of this draft takes; `None`: it is too large for any cache.
    pub fn bytes_of(key: &[u8], draft: &Draft<'_>) -> Option<u64> {
        let (key, body) = (u16::try_from(key.len()).ok()?, u32::try_from(draft.body.len()).ok()?);
        if draft.values().iter().any(|value| value.len() > usize::from(u16::MAX)) {
            return None;
        }
        let head = u32::try_from(draft.head_bytes()).ok()?;
        u32::try_from(Shape::of(key.into(), head as usize, body as usize)?.layout.size()).ok().map(u64::from)
    }

    /// Copies a draft. Its bytes ([`Entry::bytes_of`]) were reserved in the ledger, and the last reference gives them back.
    pub fn make(key: Key<'_>, draft: &Draft<'_>, stamp: Stamp, times: Times, ledger: &Arc<Ledger>) -> Option<Held> {
        Entry::bytes_of(key.name, draft)?;
        let (key_bytes, head_bytes, body_bytes) = (key.name.len(), draft.head_bytes(), draft.body.len());
        let Shape { rest_at, layout, .. } = Shape::of(key_bytes, head_bytes, body_bytes)?;
        // SAFETY: the layout is larger than none: it has the header and the rest.
        let Some(base) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let rest = Rest {
            hash: key.hash,
            renew_at: AtomicU64::new(0),
            links: Links::default(),
            ledger: Arc::clone(ledger),
            stale_ms: u32::try_from(times.stale_until.saturating_sub(times.fresh_until)).unwrap_or(u32::MAX),
            count: AtomicU32::new(1),
            value_bytes: draft.values().map(|value| value.len() as u16),
            status: draft.status,
            witness: Witness::new(),
        };
        let header = Entry {
            broad: stamp.broad,
            fresh_until: times.fresh_until,
            name: stamp.name,
            head_bytes: head_bytes as u32,
            body_bytes: body_bytes as u32,
            prefix: stamp.prefix,
            key_bytes: key_bytes as u16,
            class: key.class,
        };
        // SAFETY: LAYOUT: the allocation begins with room for a header, and has room for the rest where it is said to be, aligned
        // for both.
        unsafe {
            base.cast::<Entry>().write(header);
            base.add(rest_at).cast::<Rest>().write(rest);
        }
        let mut at = PARTS_AT;
        let mut put = |bytes: &[u8]| {
            assert!(at + bytes.len() <= rest_at, "the parts are as long as they were counted");
            // SAFETY: LAYOUT: between the header's last field and the rest, as just asserted, and nobody else knows of it yet.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), base.as_ptr().add(at), bytes.len()) };
            at += bytes.len();
        };
        put(key.name);
        draft.write(put);
        Some(Held(base.cast()))
    }

    /// Of lengths that had a shape when it was made.
    #[inline]
    fn shape(&self) -> Shape {
        let parts_end = PARTS_AT + usize::from(self.key_bytes) + self.head_bytes as usize + self.body_bytes as usize;
        let rest_at = parts_end.max(size_of::<Entry>()).next_multiple_of(align_of::<Rest>());
        let layout = Layout::from_size_align(rest_at + size_of::<Rest>(), LINE);
        Shape { parts_end, rest_at, layout: layout.unwrap_or(Layout::new::<Entry>()) }
    }

    /// Bytes that this takes.
    pub fn bytes(&self) -> u64 {
        self.shape().layout.size() as u64
    }

    /// What the generations said when it was begun.
    #[inline]
    pub fn stamp(&self) -> Stamp {
        Stamp { broad: self.broad, name: self.name, prefix: self.prefix }
    }
}

/// The bytes after the header.
impl<'p> Seen<'p, Entry> {
    #[inline]
    fn part(self, from: u32, bytes: u32) -> &'p [u8] {
        self.rest().witness.read();
        // SAFETY: LAYOUT and FROZEN: callers ask for parts that the header names, which end where the allocation does; the
        // pointer is of the whole allocation, and lives as long as `Seen` says.
        unsafe {
            let first = self.pointer().as_ptr().cast::<u8>().add(PARTS_AT + from as usize);
            std::slice::from_raw_parts(first, bytes as usize)
        }
    }

    #[inline]
    fn rest(self) -> &'p Rest {
        let at = self.target().shape().rest_at;
        // SAFETY: LAYOUT: the rest is there; the pointer is of the whole allocation, and lives as long as `Seen` says.
        unsafe { self.pointer().byte_add(at).cast::<Rest>().as_ref() }
    }

    #[inline]
    pub fn is(self, key: &Key<'_>) -> bool {
        self.target().class == key.class && self.key() == key.name
    }

    pub fn hash(self) -> u64 {
        self.rest().hash
    }

    /// Whether somebody has a handle to it beside the cache.
    pub fn is_held(self) -> bool {
        self.rest().count.load(Ordering::Relaxed) > 1
    }

    /// Whether it may be served at this moment.
    #[inline]
    pub fn freshness(self, now: u64) -> Freshness {
        if now < self.target().fresh_until { Freshness::Fresh } else { self.staleness(now) }
    }

    #[cold]
    fn staleness(self, now: u64) -> Freshness {
        let stale_until = self.target().fresh_until.saturating_add(self.rest().stale_ms.into());
        if now < stale_until { Freshness::Stale { renew: self.takes_renewal(now) } } else { Freshness::Over }
    }

    fn takes_renewal(self, now: u64) -> bool {
        let renew_at = &self.rest().renew_at;
        let at = renew_at.load(Ordering::Relaxed);
        let next = now.saturating_add(RENEWAL_MS);
        at <= now && renew_at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    #[inline]
    pub fn key(self) -> &'p [u8] {
        self.part(0, self.target().key_bytes.into())
    }

    pub fn status(self) -> u16 {
        self.rest().status
    }

    /// Header lines and blank line.
    pub fn head(self) -> &'p [u8] {
        let entry = self.target();
        self.part(entry.key_bytes.into(), entry.head_bytes)
    }

    pub fn body(self) -> &'p [u8] {
        let entry = self.target();
        self.part(u32::from(entry.key_bytes) + entry.head_bytes, entry.body_bytes)
    }

    /// Both in one piece, as they follow status line and date.
    #[inline]
    pub fn head_and_body(self) -> &'p [u8] {
        let entry = self.target();
        self.part(entry.key_bytes.into(), entry.head_bytes + entry.body_bytes)
    }

    /// Where a value stands in the head.
    fn value(self, line: usize) -> &'p [u8] {
        let lengths = self.rest().value_bytes.map(usize::from);
        let before = (0..line).filter(|at| lengths[*at] > 0);
        let start = before.map(|at| LINES[at].len() + lengths[at] + END.len()).sum::<usize>() + LINES[line].len();
        if lengths[line] == 0 { &[] } else { &self.head()[start..start + lengths[line]] }
    }

    pub fn content_type(self) -> &'p [u8] {
        self.value(0)
    }

    pub fn cache_control(self) -> &'p [u8] {
        self.value(1)
    }

    /// With its quotes; empty where there is none.
    pub fn etag(self) -> &'p [u8] {
        self.value(2)
    }

    /// One more reference, which outlives pin and cache.
    pub fn hold(self) -> Held {
        // HELD: what `Seen` borrows from is a reference or a pin.
        if self.rest().count.fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
            // As `Arc` does: two thousand million handles were leaked, and one more round of them would free what is held.
            std::process::abort();
        }
        Held(self.pointer())
    }
}

/// What is asked for: a name seen by a class of readers, and the hash of both.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    pub hash: u64,
    pub class: u8,
    pub name: &'a [u8],
}

/// A counted reference to an entry: cheap to clone, and good after the cache is gone.
pub struct Held(NonNull<Entry>);

// SAFETY: FROZEN: an entry is read only, beside its atomics; the count is atomic, and any thread may free.
unsafe impl Send for Held {}
// SAFETY: as above.
unsafe impl Sync for Held {}

impl Held {
    /// The entry.
    pub fn seen(&self) -> Seen<'_, Entry> {
        // SAFETY: HELD: this reference keeps it alive.
        unsafe { Seen::of(self.0) }
    }
}

impl AsRef<[u8]> for Held {
    /// Head and body.
    fn as_ref(&self) -> &[u8] {
        self.seen().head_and_body()
    }
}

impl Clone for Held {
    fn clone(&self) -> Held {
        self.seen().hold()
    }
}

impl Held {
    /// Drops this reference, and leaves it to the caller to give back the bytes that became free by it.
    pub fn release(self) -> u64 {
        let held = ManuallyDrop::new(self);
        held.let_go().map_or(0, |(_, bytes)| bytes)
    }

    /// Lowers the count; if it was the last reference, frees, and says what to give back to whom.
    fn let_go(&self) -> Option<(Arc<Ledger>, u64)> {
        let (entry, rest) = (self.seen().target(), self.seen().rest());
        // HELD: who finds one has that one, and nobody is left who could raise it: no need to lower it first.
        if rest.count.load(order::LAST_HANDLE) != 1 {
            if rest.count.fetch_sub(1, order::RELEASE_HANDLE) != 1 {
                return None;
            }
            // HELD: all that others did with it happened before this.
            fence(order::LAST_HANDLE);
        }
        let layout = entry.shape().layout;
        if !rest.witness.free() {
            return Some((Arc::clone(&rest.ledger), layout.size() as u64));
        }
        // SAFETY: HELD: the last reference, so the ledger is taken out once, and nothing else needs dropping; LAYOUT: allocated
        // with this layout.
        let ledger = unsafe {
            let ledger = ptr::read(&raw const rest.ledger);
            dealloc(self.0.as_ptr().cast(), layout);
            ledger
        };
        Some((ledger, layout.size() as u64))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // After the memory is back: the ledger never says less than there is.
        if let Some((ledger, bytes)) = self.let_go() {
            ledger.give_back(bytes);
        }
    }
}

// SAFETY: the pointer is of the allocation, which lives as long as one reference does (HELD).
unsafe impl Counted for Held {
    type Target = Entry;

    fn into_raw(self) -> NonNull<Entry> {
        let pointer = self.0;
        std::mem::forget(self);
        pointer
    }

    unsafe fn from_raw(raw: NonNull<Entry>) -> Held {
        Held(raw)
    }

    fn links(target: Seen<'_, Entry>) -> &Links<Entry> {
        &target.rest().links
    }

    const HINTS: usize = LINE - 1;

    /// Lines from the first to the one that has the body's end, as far as it can say.
    fn hint(target: Seen<'_, Entry>) -> usize {
        ((target.target().shape().parts_end - 1) / LINE).min(Self::HINTS)
    }

    #[inline]
    fn expect(target: NonNull<Entry>, hint: usize) {
        let first = target.as_ptr().cast_const().cast::<u8>();
        fetch(first.wrapping_add(LINE));
        fetch(first.wrapping_add(hint * LINE));
    }
}
