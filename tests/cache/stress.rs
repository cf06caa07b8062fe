//! Reads beside writes, fills, evictions, purges and resizes, every read checked: none may be older than what was acknowledged
//! when it began. `CACHE_STRESS_READS=100000000` for the long run; `CACHE_STRESS_SEED` repeats one.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use mingpai::store::cache::{AnswerCache, Draft, Role, ShelfSize, ViewClass};

const NAMES: usize = if cfg!(miri) { 48 } else { 4_096 };

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Low numbers far more often than high ones.
    fn name(&mut self) -> usize {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (unit.powi(4) * NAMES as f64) as usize
    }
}

struct World {
    cache: AnswerCache,
    names: Vec<String>,
    /// What the store says, and what was acknowledged.
    rows: Vec<AtomicU64>,
    acknowledged: Vec<AtomicU64>,
    done: AtomicBool,
}

/// A body that says its name and version all through, so that a torn one is seen.
fn write_body(body: &mut Vec<u8>, at: usize, version: u64) {
    body.clear();
    let word = ((at as u64) << 40 | version).to_le_bytes();
    (0..8 + at % 100).for_each(|_| body.extend_from_slice(&word));
}

fn version_of(body: &[u8], at: usize) -> u64 {
    let first: [u8; 8] = body[..8].try_into().unwrap();
    assert!(body.len() == 8 * (8 + at % 100) && body.chunks_exact(8).all(|word| word == first), "a torn answer");
    let word = u64::from_le_bytes(first);
    assert_eq!(word >> 40, at as u64, "another name's answer");
    word & ((1 << 40) - 1)
}

impl World {
    fn read(&self, at: usize, body: &mut Vec<u8>) {
        let known = self.acknowledged[at].load(Ordering::Acquire);
        let name = &self.names[at];
        let version = self.cache.read(ViewClass::Public, name, 0, |hit| version_of(hit.body(), at));
        let version = version.unwrap_or_else(|| {
            let fill = self.cache.begin(name);
            let version = self.rows[at].load(Ordering::Relaxed);
            write_body(body, at, version);
            let draft = Draft { status: 200, body, ..Draft::default() };
            let _ = self.cache.fill_draft(fill, ViewClass::Public, name, self.cache.hash(name), 0, &draft);
            version
        });
        assert!(version >= known, "stale: {name} says {version}, acknowledged was {known}");
    }

    fn commit(&self, at: usize, version: u64) {
        self.rows[at].store(version, Ordering::Relaxed);
        self.cache.changed(&self.names[at]);
        self.acknowledged[at].store(version, Ordering::Release);
    }
}

fn reads() -> u64 {
    let default = if cfg!(miri) { 60 } else { 200_000 };
    std::env::var("CACHE_STRESS_READS").map_or(default, |reads| reads.parse().unwrap())
}

fn seed() -> u64 {
    let seed = std::env::var("CACHE_STRESS_SEED").map_or(0x5EED, |seed| seed.parse().unwrap());
    println!("CACHE_STRESS_SEED={seed}");
    seed
}

fn sizes(share: u64) -> (ShelfSize, ShelfSize) {
    let slots = NAMES / 4 * share as usize;
    (ShelfSize { bytes: (slots * 500) as u64, slots }, ShelfSize { bytes: 64 << 10, slots: 64 })
}

#[test]
fn no_read_is_older_than_what_was_acknowledged() {
    let (positive, negative) = sizes(1);
    let world = World {
        cache: AnswerCache::with_shelves(positive, negative),
        names: (0..NAMES).map(|at| format!("88.{}/{at}", at % 7)).collect(),
        rows: (0..NAMES).map(|_| AtomicU64::new(0)).collect(),
        acknowledged: (0..NAMES).map(|_| AtomicU64::new(0)).collect(),
        done: AtomicBool::new(false),
    };
    let (seed, reads) = (seed(), reads());
    let readers = 2;
    thread::scope(|scope| {
        let world = &world;
        let all: Vec<_> = (0..readers)
            .map(|reader| {
                scope.spawn(move || {
                    let (mut random, mut body) = (Random(seed ^ (reader + 1)), Vec::new());
                    (0..reads / readers).for_each(|_| world.read(random.name(), &mut body));
                })
            })
            .collect();
        // One writer a name, as the sequencer is.
        scope.spawn(move || {
            let mut random = Random(seed ^ 0x77);
            let mut version = 0;
            while !world.done.load(Ordering::Relaxed) {
                version += 1;
                world.commit(random.name(), version);
                match random.next() % 4_096 {
                    0 => world.cache.purge(&format!("88.{}", random.next() % 7)),
                    1 => {
                        let (positive, negative) = sizes(1 + random.next() % 3);
                        world.cache.resize_shelves(positive, negative);
                    }
                    _ => {}
                }
                if version % 64 == 0 {
                    thread::yield_now();
                }
            }
        });
        let results: Vec<_> = all.into_iter().map(thread::ScopedJoinHandle::join).collect();
        world.done.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok), "CACHE_STRESS_SEED={seed}");
    });
    let counters = world.cache.counters();
    println!("{reads} reads, 0 stale; {counters:?}");
    assert!(cfg!(miri) || counters.hits > reads / 10, "the cache was used");
}

#[test]
fn many_who_miss_at_once_read_the_store_once() {
    let cache = AnswerCache::new(1 << 20, 10, 500);
    let store_reads = AtomicU64::new(0);
    let callers = if cfg!(miri) { 3 } else { 16 };
    thread::scope(|scope| {
        for _ in 0..callers {
            scope.spawn(|| {
                if cache.read(ViewClass::Public, "a/1", 0, |_| ()).is_some() {
                    return;
                }
                let fill = cache.begin("a/1");
                match cache.join(fill, ViewClass::Public, "a/1") {
                    Role::Lead(leader) => {
                        // Again: who led before may have filled since we looked.
                        if cache.find(ViewClass::Public, "a/1", 0).is_some() {
                            return;
                        }
                        store_reads.fetch_add(1, Ordering::Relaxed);
                        thread::sleep(std::time::Duration::from_millis(20));
                        let answer = mingpai::store::cache::Answer {
                            status: 200,
                            body: bytes::Bytes::from_static(b"one"),
                            etag: bytes::Bytes::new(),
                            cache_control: bytes::Bytes::new(),
                            until: 0,
                        };
                        let _ = cache.fill(fill, ViewClass::Public, "a/1", &answer);
                        leader.land(&answer);
                    }
                    Role::Follow(follower) => {
                        if let Some(answer) = follower.wait(std::time::Duration::from_secs(20)) {
                            assert_eq!(answer.body, "one");
                        }
                    }
                }
            });
        }
    });
    assert_eq!(store_reads.load(Ordering::Relaxed), 1);
}
