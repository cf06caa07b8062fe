//! One answer in one allocation, and the counted reference to it.
//!
//! ```text
//!  | header: stamp, hash, times, lengths, count | name | head: "content-type: ...\r\n" ... "\r\n" | body |
//!                                                      '------- one piece: head and body --------'
//! ```
//!
//! The head is the lines of an HTTP/1.1 answer between "Date" and the body, blank line included. Status line and date are not
//! here: they change by the second and are the same for all, so a worker keeps them ready, and an answer is two pieces for
//! writev, or one copy after them.
//!
//! Invariants, which the SAFETY comments cite:
//! - **LAYOUT** The allocation is [`layout`] of the three lengths in the header, and all bytes of the three parts were written
//!   before a reference to it existed.
//! - **FROZEN** After that nothing in it changes but the atomics.
//! - **HELD** The count is the number of references (one of them the cache's own, until it is reclaimed). Who raises it has a
//!   reference, or a pin under which the cache's own cannot be given back. Who lowers it to none frees.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::generation::Stamp;
use super::ledger::Ledger;
use super::reclaim::{Counted, Links, Seen};
use super::sync::{AtomicU32, AtomicU64, Ordering, Witness, fence, order};

/// What is to be shelved; the parts are copied once, into the entry.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draft<'a> {
    pub status: u16,
    /// With its quotes; empty where there is none.
    pub etag: &'a [u8],
    pub cache_control: &'a [u8],
    pub content_type: &'a [u8],
    /// More header lines, each with its "\r\n".
    pub lines: &'a [u8],
    pub body: &'a [u8],
    /// For how long it may be served; 0: as long as it is true.
    pub fresh_ms: u64,
    /// For how long after that it may be served while one caller asks anew.
    pub stale_ms: u64,
    /// Says that there is nothing: kept on the shelf that known names do not share.
    pub negative: bool,
}

/// Names of the lines of a head, in their order.
const LINES: [&[u8]; 4] = [b"content-type: ", b"cache-control: ", b"etag: ", b"content-length: "];
const END: &[u8] = b"\r\n";

impl<'a> Draft<'a> {
    fn values(&self) -> [&'a [u8]; 3] {
        [self.content_type, self.cache_control, self.etag]
    }

    fn head_bytes(&self) -> usize {
        let of_line = |(name, value): (&&[u8], &[u8])| {
            if value.is_empty() { 0 } else { name.len() + value.len() + END.len() }
        };
        let lines: usize = LINES.iter().zip(self.values()).map(of_line).sum();
        lines + LINES[3].len() + digits(self.body.len()) + END.len() + self.lines.len() + END.len()
    }

    /// Writes head and body.
    fn write(&self, mut put: impl FnMut(&[u8])) {
        for (name, value) in LINES.iter().zip(self.values()) {
            if !value.is_empty() {
                put(name);
                put(value);
                put(END);
            }
        }
        put(LINES[3]);
        let mut text = [b'0'; 20];
        let length = digits(self.body.len());
        let mut rest = self.body.len();
        for digit in text[..length].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        put(&text[..length]);
        put(END);
        put(self.lines);
        put(END);
        put(self.body);
    }
}

fn digits(number: usize) -> usize {
    number.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// What a reader compares and takes comes first, so that it is the line that the pointer leads to.
#[repr(C)]
pub struct Entry {
    pub(super) hash: u64,
    pub(super) stamp: Stamp,
    fresh_until: u64,
    stale_until: u64,
    key_bytes: u32,
    head_bytes: u32,
    body_bytes: u32,
    status: u16,
    class: u8,
    // From here on: not looked at by a hit.
    value_bytes: [u16; 3],
    /// When the next caller may be sent to ask anew.
    renew_at: AtomicU64,
    count: AtomicU32,
    links: Links<Entry>,
    ledger: Arc<Ledger>,
    witness: Witness,
}

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

fn layout(key: usize, head: usize, body: usize) -> Option<Layout> {
    let bytes = Layout::array::<u8>(key.checked_add(head)?.checked_add(body)?).ok()?;
    Some(Layout::new::<Entry>().extend(bytes).ok()?.0.pad_to_align())
}

impl Entry {
    /// Bytes that the entry of this draft takes; `None`: it is too large for any cache.
    pub fn bytes_of(key: &[u8], draft: &Draft<'_>) -> Option<u64> {
        let (key, body) = (u32::try_from(key.len()).ok()?, u32::try_from(draft.body.len()).ok()?);
        if draft.values().iter().any(|value| value.len() > usize::from(u16::MAX)) {
            return None;
        }
        let head = u32::try_from(draft.head_bytes()).ok()?;
        u32::try_from(layout(key as usize, head as usize, body as usize)?.size()).ok().map(u64::from)
    }

    /// Copies a draft. Its bytes ([`Entry::bytes_of`]) were reserved in the ledger, and the last reference gives them back.
    pub fn make(key: Key<'_>, draft: &Draft<'_>, stamp: Stamp, times: [u64; 2], ledger: &Arc<Ledger>) -> Option<Held> {
        Entry::bytes_of(key.name, draft)?;
        let (key_bytes, head_bytes, body_bytes) = (key.name.len(), draft.head_bytes(), draft.body.len());
        let layout = layout(key_bytes, head_bytes, body_bytes)?;
        // SAFETY: the layout is larger than none: it has the header.
        let Some(entry) = NonNull::new(unsafe { alloc(layout) }.cast::<Entry>()) else { handle_alloc_error(layout) };
        let mut at = size_of::<Entry>();
        let mut put = |bytes: &[u8]| {
            assert!(at + bytes.len() <= layout.size(), "the parts are as long as they were counted");
            // SAFETY: LAYOUT: within the allocation, as just asserted, and nobody else knows of it yet.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), entry.as_ptr().cast::<u8>().add(at), bytes.len()) };
            at += bytes.len();
        };
        put(key.name);
        draft.write(put);
        let header = Entry {
            hash: key.hash,
            stamp,
            fresh_until: times[0],
            stale_until: times[1],
            key_bytes: key_bytes as u32,
            head_bytes: head_bytes as u32,
            body_bytes: body_bytes as u32,
            status: draft.status,
            class: key.class,
            value_bytes: draft.values().map(|value| value.len() as u16),
            renew_at: AtomicU64::new(0),
            count: AtomicU32::new(1),
            links: Links::default(),
            ledger: Arc::clone(ledger),
            witness: Witness::new(),
        };
        // SAFETY: LAYOUT: the allocation begins with room for a header, aligned for it.
        unsafe { entry.write(header) };
        Some(Held(entry))
    }

    fn layout(&self) -> Layout {
        let [key, head, body] = [self.key_bytes, self.head_bytes, self.body_bytes].map(|bytes| bytes as usize);
        layout(key, head, body).unwrap_or(Layout::new::<Entry>())
    }

    /// Bytes that this takes.
    pub fn bytes(&self) -> u64 {
        self.layout().size() as u64
    }

    /// Whether it may be served at this moment.
    #[inline]
    pub fn freshness(&self, now: u64) -> Freshness {
        if now < self.fresh_until {
            Freshness::Fresh
        } else if now < self.stale_until {
            Freshness::Stale { renew: self.takes_renewal(now) }
        } else {
            Freshness::Over
        }
    }

    fn takes_renewal(&self, now: u64) -> bool {
        let at = self.renew_at.load(Ordering::Relaxed);
        let next = now.saturating_add(RENEWAL_MS);
        at <= now && self.renew_at.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// The bytes after the header.
impl<'p> Seen<'p, Entry> {
    #[inline]
    fn part(self, from: u32, bytes: u32) -> &'p [u8] {
        let entry = self.target();
        entry.witness.read();
        // SAFETY: LAYOUT and FROZEN: callers ask for parts that the header names, which end where the allocation does; the
        // pointer is of the whole allocation, and lives as long as `Seen` says.
        unsafe {
            let first = self.pointer().as_ptr().cast::<u8>().add(size_of::<Entry>() + from as usize);
            std::slice::from_raw_parts(first, bytes as usize)
        }
    }

    #[inline]
    pub fn is(self, key: &Key<'_>) -> bool {
        let entry = self.target();
        entry.hash == key.hash && entry.class == key.class && self.key() == key.name
    }

    #[inline]
    pub fn key(self) -> &'p [u8] {
        self.part(0, self.target().key_bytes)
    }

    pub fn status(self) -> u16 {
        self.target().status
    }

    /// Header lines and blank line.
    pub fn head(self) -> &'p [u8] {
        self.part(self.target().key_bytes, self.target().head_bytes)
    }

    pub fn body(self) -> &'p [u8] {
        let entry = self.target();
        self.part(entry.key_bytes + entry.head_bytes, entry.body_bytes)
    }

    /// Both in one piece, as they follow status line and date.
    #[inline]
    pub fn head_and_body(self) -> &'p [u8] {
        let entry = self.target();
        self.part(entry.key_bytes, entry.head_bytes + entry.body_bytes)
    }

    /// Where a value stands in the head.
    fn value(self, line: usize) -> &'p [u8] {
        let lengths = self.target().value_bytes.map(usize::from);
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
        if self.target().count.fetch_add(1, Ordering::Relaxed) > u32::MAX / 2 {
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
        let entry = self.seen().target();
        if entry.count.fetch_sub(1, order::RELEASE_HANDLE) != 1 {
            return None;
        }
        // HELD: all that others did with it happened before this.
        fence(order::LAST_HANDLE);
        let layout = entry.layout();
        if !entry.witness.free() {
            return Some((Arc::clone(&entry.ledger), layout.size() as u64));
        }
        // SAFETY: HELD: the last reference, so the ledger is taken out once, and nothing else in a header needs dropping; LAYOUT:
        // allocated with this layout.
        let ledger = unsafe {
            let ledger = ptr::read(&raw const entry.ledger);
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

    fn links(target: &Entry) -> &Links<Entry> {
        &target.links
    }
}
