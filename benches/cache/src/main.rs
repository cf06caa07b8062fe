//! The answer cache beside others: `cargo bench -- [fills|hits|ratios|flood|hash] [rounds]`.
//!
//! Rules: A and B take turns (A B A B ...), medians of the rounds and their ratio; both hold the same number of answers, which is
//! counted, not configured: the peer runs first, and ours gets as many places as the peer then holds. Names are built on the
//! stack, as a request brings them; a hit looks at both ends of the value; a miss copies 500 bytes into a new value and puts it.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use bytes::Bytes;
#[path = "../../../src/store/cache/mod.rs"]
#[allow(dead_code, unused_imports)]
mod cache;
use cache::{AnswerCache, Draft, ShelfSize, ViewClass};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const KEYS: usize = 1_000_000;
const SLOTS: usize = 100_000;
const BODY: [u8; 500] = [b'v'; 500];

// ---- what is asked ----

struct Random(u64);

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }
}

/// Draws by the alias method.
struct Zipf(Vec<(f32, u32)>);

impl Zipf {
    fn new(keys: usize, exponent: f64) -> (Zipf, Vec<f64>) {
        let weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let chances: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
        let mut left: Vec<f64> = chances.iter().map(|chance| chance * keys as f64).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..keys).partition(|at| left[*at] < 1.0);
        let mut table = vec![(1.0, 0); keys];
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            table[low] = (left[low] as f32, high as u32);
            left[high] -= 1.0 - left[low];
            if left[high] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        (Zipf(table), chances)
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let x = random.next();
        let at = ((x as u32 as u64 * self.0.len() as u64) >> 32) as usize;
        let unit = (x >> 32) as f32 / 4_294_967_296.0;
        if unit < self.0[at].0 { at as u32 } else { self.0[at].1 }
    }

    fn trace(&self, seed: u64, length: usize) -> Vec<u32> {
        let mut random = Random(seed);
        (0..length).map(|_| self.draw(&mut random)).collect()
    }
}

struct Name([u8; 25]);

impl Name {
    #[inline]
    fn of(key: u32) -> Name {
        let mut text = *b"88.118.1/0000000000000000";
        let mut bits = u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for letter in &mut text[9..] {
            *letter = b"0123456789abcdef"[(bits & 15) as usize];
            bits >>= 4;
        }
        Name(text)
    }

    #[inline]
    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap()
    }
}

// ---- who answers ----

trait Subject: Sync {
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
fn look(value: &[u8]) -> bool {
    black_box(value[0] ^ value[value.len() - 1]);
    true
}

fn value() -> Bytes {
    Bytes::copy_from_slice(&BODY)
}

struct Ours(AnswerCache);

fn ours(slots: usize) -> Ours {
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
struct Batched<'a>(&'a Ours);

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

struct Quick(quick_cache::sync::Cache<Box<str>, Bytes>);

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

struct Moka(moka::sync::Cache<Box<str>, Bytes>);

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

struct Scc(scc::HashCache<Box<str>, Bytes>);

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

struct Foyer(foyer::Cache<Box<str>, Bytes>);

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

struct Papaya(papaya::HashMap<Box<str>, Bytes>);

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

struct Frozen<S>(hashbrown::HashMap<Box<str>, Bytes, S>);

impl<S: BuildHasher + Sync> Subject for Frozen<S> {
    fn hit(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|value| look(value))
    }
    fn put(&self, _: &str) {}
    fn held(&self) -> usize {
        self.0.len()
    }
}

fn frozen<S: BuildHasher + Default>(keys: &[u32]) -> Frozen<S> {
    Frozen(keys.iter().map(|key| (Name::of(*key).text().into(), value())).collect())
}

type Peer = (&'static str, Box<dyn Fn() -> Box<dyn Subject>>);

fn peers() -> Vec<Peer> {
    vec![
        ("quick_cache", Box::new(|| Box::new(Quick(quick_cache::sync::Cache::new(SLOTS))) as Box<dyn Subject>)),
        ("scc::HashCache", Box::new(|| Box::new(Scc(scc::HashCache::with_capacity(1_024, SLOTS))))),
        ("moka", Box::new(|| Box::new(Moka(moka::sync::Cache::new(SLOTS as u64))))),
        ("foyer", Box::new(|| Box::new(Foyer(foyer::CacheBuilder::new(SLOTS).build())))),
    ]
}

// ---- how it is measured ----

/// Asks; returns hits.
fn ask<S: Subject + ?Sized>(subject: &S, trace: &[u32]) -> usize {
    subject.ask_all(trace)
}

/// Million questions a second of all threads together, and the hit ratio.
fn run<S: Subject + ?Sized>(subject: &S, traces: &[Vec<u32>]) -> (f64, f64) {
    let barrier = Barrier::new(traces.len());
    let results: Vec<(f64, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = traces
            .iter()
            .map(|trace| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let hits = ask(subject, trace);
                    (start.elapsed().as_secs_f64(), hits)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let asked: usize = traces.iter().map(Vec::len).sum();
    let seconds = results.iter().map(|(seconds, _)| *seconds).fold(0.0, f64::max);
    (asked as f64 / seconds / 1e6, results.iter().map(|(_, hits)| hits).sum::<usize>() as f64 / asked as f64)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A B A B ...; prints medians, spread and the ratio B / A.
fn contest(names: [&str; 2], subjects: [&dyn Subject; 2], traces: &[Vec<u32>], rounds: usize) -> f64 {
    let mut speeds = [vec![], vec![]];
    let mut ratios = [vec![], vec![]];
    for _ in 0..rounds {
        for which in 0..2 {
            let (speed, ratio) = run(subjects[which], traces);
            speeds[which].push(speed);
            ratios[which].push(ratio);
        }
    }
    let pairs: Vec<f64> = speeds[0].iter().zip(&speeds[1]).map(|(a, b)| b / a).collect();
    for which in 0..2 {
        let lowest = speeds[which].iter().copied().fold(f64::MAX, f64::min);
        let highest = speeds[which].iter().copied().fold(0.0, f64::max);
        println!(
            "  {:24} {:6.2} Mops/s ({lowest:.2}..{highest:.2})  hit ratio {:.4}  holds {}",
            names[which],
            median(speeds[which].clone()),
            median(ratios[which].clone()),
            subjects[which].held()
        );
    }
    let ratio = median(pairs);
    println!("  -> {:.2}x with {} threads", ratio, traces.len());
    ratio
}

fn fills(rounds: usize) {
    let (zipf, chances) = Zipf::new(KEYS, 0.99);
    println!("== fills: Zipf 0.99 over {KEYS} keys; static optimum of {SLOTS}: {:.4}", chances[..SLOTS].iter().sum::<f64>());
    let warm = zipf.trace(1, 6_000_000);
    let traces: Vec<Vec<u32>> = (0..2).map(|thread| zipf.trace(10 + thread, 2_000_000)).collect();
    for (name, make) in peers() {
        let peer = make();
        ask(&*peer, &warm);
        let held = peer.held();
        let ours = ours(held);
        ask(&ours, &warm);
        println!("{name} (optimum of {held}: {:.4})", chances[..held].iter().sum::<f64>());
        contest([name, "ours"], [&*peer, &ours], &traces, rounds);
        contest([name, "ours"], [&*peer, &ours], &traces[..1], rounds);
    }
}

fn hits(rounds: usize) {
    println!("== all hits");
    let ours = ours(SLOTS * 3 / 2);
    (0..SLOTS as u32).for_each(|key| Subject::put(&ours, Name::of(key).text()));
    let keys: Vec<u32> = (0..SLOTS as u32).filter(|key| ours.hit(Name::of(*key).text())).collect();
    println!("{} of {SLOTS} keys are held by all", keys.len());
    let foldhash = frozen::<foldhash::fast::RandomState>(&keys);
    let siphash = frozen::<std::hash::RandomState>(&keys);
    let papaya = Papaya(papaya::HashMap::new());
    let quick = Quick(quick_cache::sync::Cache::new(SLOTS * 2));
    keys.iter().for_each(|key| papaya.put(Name::of(*key).text()));
    keys.iter().for_each(|key| quick.put(Name::of(*key).text()));
    let (zipf, _) = Zipf::new(keys.len(), 0.99);
    let (flat, _) = Zipf::new(keys.len(), 0.0);
    for (law, draw) in [("Zipf 0.99", zipf), ("uniform", flat)] {
        println!("{law}");
        let traces: Vec<Vec<u32>> = (0..2)
            .map(|thread| draw.trace(20 + thread, 2_000_000).into_iter().map(|at| keys[at as usize]).collect())
            .collect();
        for threads in [1, 2] {
            contest(["hashbrown, foldhash", "ours"], [&foldhash, &ours], &traces[..threads], rounds);
            contest(["hashbrown, foldhash", "ours, 16 at once"], [&foldhash, &Batched(&ours)], &traces[..threads], rounds);
            contest(["hashbrown, SipHash", "ours"], [&siphash, &ours], &traces[..threads], rounds);
            contest(["papaya", "ours"], [&papaya, &ours], &traces[..threads], rounds);
            contest(["quick_cache", "ours"], [&quick, &ours], &traces[..threads], rounds);
        }
    }
}

fn ratios() {
    println!("== hit ratios, one thread; ours with as many places as the peer holds at the end");
    let mut traces: Vec<(String, Vec<u32>)> = Vec::new();
    for exponent in [0.6, 0.8, 0.99, 1.0, 1.2] {
        traces.push((format!("zipf {exponent}"), Zipf::new(KEYS, exponent).0.trace(5, 8_000_000)));
    }
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let mut random = Random(6);
    let scan = |at: usize| at % 1_000_000 < 300_000 && at % 2 == 0;
    traces.push(("scan + zipf".into(), (0..8_000_000).map(|at| if scan(at) { 2_000_000 + at as u32 } else { zipf.draw(&mut random) }).collect()));
    traces.push(("loop of 150 k".into(), (0..4_000_000).map(|at| at % 150_000).collect()));
    traces.push(("shifting".into(), (0..8_000_000).map(|at| (zipf.draw(&mut random) + (at / 1_500_000) as u32 * 150_000) % 3_000_000).collect()));
    for (name, trace) in traces {
        print!("{name:14}");
        let warm = trace.len() / 3;
        let mut cells = String::new();
        for (peer_name, make) in peers() {
            let peer = make();
            ask(&*peer, &trace[..warm]);
            let theirs = ask(&*peer, &trace[warm..]) as f64 / (trace.len() - warm) as f64;
            let held = peer.held();
            drop(peer);
            let ours = ours(held);
            ask(&ours, &trace[..warm]);
            let mine = ask(&ours, &trace[warm..]) as f64 / (trace.len() - warm) as f64;
            cells += &format!("  {peer_name} {theirs:.4} ours {mine:.4} at {held}/{} |", ours.held());
        }
        println!("{cells}");
    }
}

/// Unknown names beside known ones.
struct Unknown<'a>(&'a Ours);

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

fn flood(rounds: usize) {
    println!("== flood of unknown names");
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let cache = ours(SLOTS);
    ask(&cache, &zipf.trace(1, 6_000_000));
    let known = |key: &u32| cache.hit(Name::of(*key).text());
    let hot: Vec<u32> = zipf.trace(2, 6_000_000).into_iter().filter(known).take(2_000_000).collect();
    let fresh = zipf.trace(3, 2_000_000);
    let mut next = 100_000_000;
    let (mut hot_alone, mut flood_alone, mut hot_beside_hot, mut hot_beside_flood) = (vec![], vec![], vec![], vec![]);
    let (mut before, mut after) = (vec![], vec![]);
    for _ in 0..rounds {
        let mut unknown = || -> Vec<u32> {
            next += 3_000_000;
            (next..next + 2_000_000).collect()
        };
        hot_alone.push(run(&cache, std::slice::from_ref(&hot)).0);
        flood_alone.push(run(&Unknown(&cache), &[unknown()]).0);
        let beside = |other: &dyn Subject, trace: &[u32]| -> f64 {
            std::thread::scope(|scope| {
                let noise = scope.spawn(|| ask(other, trace));
                let speed = run(&cache, &[hot[..1_000_000].to_vec()]).0;
                noise.join().unwrap();
                speed
            })
        };
        hot_beside_hot.push(beside(&cache, &hot));
        before.push(ask(&cache, &fresh) as f64 / fresh.len() as f64);
        hot_beside_flood.push(beside(&Unknown(&cache), &unknown()));
        after.push(ask(&cache, &fresh) as f64 / fresh.len() as f64);
    }
    let of = median;
    let (alone, flood) = (of(hot_alone), of(flood_alone));
    println!("  hits alone {alone:.2}, a flood alone {flood:.2} Mops/s: {:.2}x", flood / alone);
    let (hot, flooded) = (of(hot_beside_hot), of(hot_beside_flood));
    println!("  hits beside hits {hot:.2}, beside a flood {flooded:.2} Mops/s: {:.2}x", flooded / hot);
    println!("  hit ratio before {:.4}, after {:.4}", of(before), of(after));
    println!("  {:?}", cache.0.counters());
}

fn hash(rounds: usize) {
    println!("== hashing 25 bytes, ns");
    fn time<S: BuildHasher + Default>(name: &str, rounds: usize) {
        let state = S::default();
        let names: Vec<Name> = (0..1_000).map(Name::of).collect();
        let mut times = vec![];
        for _ in 0..rounds.max(3) {
            let start = Instant::now();
            let mut sum = 0u64;
            for _ in 0..2_000 {
                for name in &names {
                    let mut hasher = state.build_hasher();
                    // Each waits for the one before: what it costs, not how many go at once.
                    hasher.write(&name.0[..25 - (sum & 1) as usize]);
                    sum = hasher.finish();
                }
            }
            black_box(sum);
            times.push(start.elapsed().as_secs_f64() * 1e9 / 2_000_000.0);
        }
        println!("  {name:12} {:.2}", median(times));
    }
    time::<std::hash::RandomState>("SipHash-1-3", rounds);
    time::<foldhash::fast::RandomState>("foldhash", rounds);
    time::<foldhash::quality::RandomState>("foldhash, q", rounds);
}

/// Ours only, for a profiler.
fn alone(rounds: usize) {
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let ours = ours(SLOTS);
    ask(&ours, &zipf.trace(1, 6_000_000));
    let traces: Vec<Vec<u32>> = (0..2).map(|thread| zipf.trace(10 + thread, 4_000_000)).collect();
    for _ in 0..rounds {
        println!("{:?} {:?}", run(&ours, &traces[..1]), run(&ours, &traces));
    }
}

/// The two bars only.
fn bars(rounds: usize) {
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let traces: Vec<Vec<u32>> = (0..2).map(|thread| zipf.trace(10 + thread, 2_000_000)).collect();
    {
        let peer = Scc(scc::HashCache::with_capacity(1_024, SLOTS));
        let warm = zipf.trace(1, 4_000_000);
        ask(&peer, &warm);
        let ours = ours(peer.held());
        ask(&ours, &warm);
        println!("fills");
        contest(["scc", "ours"], [&peer, &ours], &traces, rounds);
    }
    let ours = ours(SLOTS * 3 / 2);
    (0..SLOTS as u32).for_each(|key| Subject::put(&ours, Name::of(key).text()));
    let keys: Vec<u32> = (0..SLOTS as u32).filter(|key| ours.hit(Name::of(*key).text())).collect();
    let foldhash = frozen::<foldhash::fast::RandomState>(&keys);
    for (law, exponent) in [("hits, Zipf 0.99", 0.99), ("hits, uniform", 0.0)] {
        let draw = Zipf::new(keys.len(), exponent).0;
        println!("{law}");
        let traces: Vec<Vec<u32>> = (0..2)
            .map(|thread| draw.trace(20 + thread, 2_000_000).into_iter().map(|at| keys[at as usize]).collect())
            .collect();
        contest(["hashbrown, foldhash", "ours"], [&foldhash, &ours], &traces, rounds);
        contest(["hashbrown, foldhash", "ours, 16 at once"], [&foldhash, &Batched(&ours)], &traces, rounds);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let what = arguments.first().map_or("all", String::as_str);
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let is = |name: &str| what == "all" || what == name;
    if what == "alone" {
        alone(rounds);
    }
    if what == "bars" {
        bars(rounds);
    }
    if is("hash") {
        hash(rounds);
    }
    if is("fills") {
        fills(rounds);
    }
    if is("hits") {
        hits(rounds);
    }
    if is("flood") {
        flood(rounds);
    }
    if is("ratios") {
        ratios();
    }
}
