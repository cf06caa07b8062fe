//! Who answers: the cache and the libraries beside it, each as its documentation says to use it.
//!
//! Names come on the stack, as a request brings them; a hit looks at both ends of the value; a miss copies 500 bytes into a new value.

use std::hash::BuildHasher;
use std::hint::black_box;

use bytes::Bytes;

use crate::cache::{AnswerCache, Draft, ShelfSize, ViewClass};
use crate::traces::Name;

/// Answers that each is to hold.
pub const SLOTS: usize = 100_000;
const BODY: [u8; 500] = [b'v'; 500];

pub trait Subject: Sync {
    fn hit(&self, name: &str) -> bool;
    fn put(&self, name: &str);
    /// A whole question: a hit, or a miss and a fill.
    #[inline]
    fn ask(&self, name: &str) -> bool {
        let is_hit = self.hit(name);
        if !is_hit {
            self.put(name);
        }
        is_hit
    }
    /// All of a trace; returns hits.
    fn ask_all(&self, trace: &[u32]) -> usize {
        trace.iter().filter(|key| self.ask(Name::of(**key).text())).count()
    }
    fn held(&self) -> usize;
}

#[inline]
pub fn look(value: &[u8]) -> bool {
    black_box(value[0] ^ value[value.len() - 1]);
    true
}

pub fn value() -> Bytes {
    Bytes::copy_from_slice(&BODY)
}

pub struct Ours(pub AnswerCache);

pub fn ours(slots: usize) -> Ours {
    let of = |slots: usize| ShelfSize { bytes: slots as u64 * 1_000 + (1 << 20), slots };
    Ours(AnswerCache::with_shelves(of(slots), of(slots / 10)))
}

const DRAFT: Draft<'static> = Draft {
    status: 200,
    etag: b"",
    cache_control: b"",
    content_type: b"",
    lines: b"",
    body: &BODY,
    fresh_ms: 0,
    stale_ms: 0,
    negative: false,
};

impl Subject for Ours {
    #[inline]
    fn hit(&self, name: &str) -> bool {
        self.0.read(ViewClass::Public, name, 1, |hit| look(hit.body())).is_some()
    }

    fn put(&self, name: &str) {
        let hash = self.0.hash(name);
        let fill = self.0.begin_hashed(name, hash);
        let _ = self.0.fill_draft(fill, ViewClass::Public, name, hash, 1, &DRAFT);
    }

    /// The name is hashed once: its hash goes from the look to the fill.
    #[inline]
    fn ask(&self, name: &str) -> bool {
        let hash = self.0.hash(name);
        let is_hit = self
            .0
            .open()
            .is_some_and(|open| open.find(ViewClass::Public, name, hash, 1).is_some_and(|hit| look(hit.body())));
        if !is_hit {
            let fill = self.0.begin_hashed(name, hash);
            let _ = self.0.fill_draft(fill, ViewClass::Public, name, hash, 1, &DRAFT);
        }
        is_hit
    }

    fn held(&self) -> usize {
        self.0.len()
    }
}

/// Ours as a pipelined connection or a batch uses it: opened once for so many looks.
pub struct Batched<'a>(pub &'a Ours);

const BATCH: usize = 16;

impl Subject for Batched<'_> {
    fn hit(&self, name: &str) -> bool {
        self.0.hit(name)
    }

    fn put(&self, name: &str) {
        self.0.put(name);
    }

    fn ask_all(&self, trace: &[u32]) -> usize {
        let cache = &self.0.0;
        let mut hits = 0;
        let mut missed: Vec<u32> = Vec::with_capacity(BATCH);
        for batch in trace.chunks(BATCH) {
            if let Some(open) = cache.open() {
                for key in batch {
                    let name = Name::of(*key);
                    let text = name.text();
                    match open.find(ViewClass::Public, text, cache.hash(text), 1) {
                        Some(hit) => hits += usize::from(look(hit.body())),
                        None => missed.push(*key),
                    }
                }
            }
            missed.drain(..).for_each(|key| self.0.put(Name::of(key).text()));
        }
        hits
    }

    fn held(&self) -> usize {
        self.0.held()
    }
}

pub struct Quick(pub quick_cache::sync::Cache<Box<str>, Bytes>);

impl Subject for Quick {
    fn hit(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| look(&value))
    }
    fn put(&self, name: &str) {
        self.0.insert(name.into(), value());
    }
    fn held(&self) -> usize {
        self.0.len()
    }
}

pub struct Moka(pub moka::sync::Cache<Box<str>, Bytes>);

impl Subject for Moka {
    fn hit(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| look(&value))
    }
    fn put(&self, name: &str) {
        self.0.insert(name.into(), value());
    }
    fn held(&self) -> usize {
        // What is in the map, not what its policy has got round to count.
        self.0.iter().count()
    }
}

pub struct Scc(pub scc::HashCache<Box<str>, Bytes>);

impl Subject for Scc {
    fn hit(&self, name: &str) -> bool {
        self.0.read_sync(name, |_, value| look(value)).is_some()
    }
    fn put(&self, name: &str) {
        let _ = self.0.put_sync(name.into(), value());
    }
    fn held(&self) -> usize {
        self.0.len()
    }
}

pub struct Foyer(pub foyer::Cache<Box<str>, Bytes>);

impl Subject for Foyer {
    fn hit(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|entry| look(entry.value()))
    }
    fn put(&self, name: &str) {
        self.0.insert(name.into(), value());
    }
    fn held(&self) -> usize {
        self.0.usage()
    }
}

pub struct Papaya(pub papaya::HashMap<Box<str>, Bytes>);

impl Subject for Papaya {
    fn hit(&self, name: &str) -> bool {
        self.0.pin().get(name).is_some_and(|value| look(value))
    }
    fn put(&self, name: &str) {
        self.0.pin().insert(name.into(), value());
    }
    fn held(&self) -> usize {
        self.0.len()
    }
}

pub struct Frozen<S>(pub hashbrown::HashMap<Box<str>, Bytes, S>);

impl<S: BuildHasher + Sync> Subject for Frozen<S> {
    fn hit(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| look(value))
    }
    fn put(&self, _: &str) {}
    fn held(&self) -> usize {
        self.0.len()
    }
}

pub fn frozen<S: BuildHasher + Default>(keys: &[u32]) -> Frozen<S> {
    Frozen(keys.iter().map(|key| (Name::of(*key).text().into(), value())).collect())
}

pub type Peer = (&'static str, Box<dyn Fn() -> Box<dyn Subject>>);

pub fn peers() -> Vec<Peer> {
    vec![
        ("quick_cache", Box::new(|| Box::new(Quick(quick_cache::sync::Cache::new(SLOTS))) as Box<dyn Subject>)),
        ("scc::HashCache", Box::new(|| Box::new(Scc(scc::HashCache::with_capacity(1_024, SLOTS))))),
        ("moka", Box::new(|| Box::new(Moka(moka::sync::Cache::new(SLOTS as u64))))),
        ("foyer", Box::new(|| Box::new(Foyer(foyer::CacheBuilder::new(SLOTS).build())))),
    ]
}

/// Unknown names beside known ones.
pub struct Unknown<'a>(pub &'a Ours);

impl Subject for Unknown<'_> {
    fn hit(&self, name: &str) -> bool {
        self.0.hit(name)
    }
    fn put(&self, name: &str) {
        let cache = &self.0.0;
        let hash = cache.hash(name);
        let fill = cache.begin_hashed(name, hash);
        let draft = Draft { status: 404, body: b"", negative: true, fresh_ms: 1 << 40, ..DRAFT };
        let _ = cache.fill_draft(fill, ViewClass::Public, name, hash, 1, &draft);
    }
    fn held(&self) -> usize {
        self.0.held()
    }
}
