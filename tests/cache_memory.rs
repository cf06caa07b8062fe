//! The budget as the allocator sees it. A test binary of its own: it counts every allocation of the process.

#![expect(unsafe_code, clippy::unwrap_used, reason = "an allocator that counts; a test fails where it finds something")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mingpai::store::cache::{AnswerCache, Draft, ViewClass};

struct Counting;

static ALLOCATED: AtomicU64 = AtomicU64::new(0);
static MOST: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator, counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = ALLOCATED.fetch_add(layout.size() as u64, Ordering::Relaxed) + layout.size() as u64;
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) };
        ALLOCATED.fetch_sub(layout.size() as u64, Ordering::Relaxed);
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn churn(cache: &AnswerCache, thread: u64, rounds: u64, done: &AtomicBool) {
    let body = [b'x'; 4_000];
    let mut name = String::with_capacity(64);
    let mut random = thread + 1;
    for _ in 0..rounds {
        if done.load(Ordering::Relaxed) {
            return;
        }
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (random >> 33) % 60_000;
        name.clear();
        std::fmt::Write::write_fmt(&mut name, format_args!("88.1/{at}")).unwrap();
        let is_negative = at.is_multiple_of(5);
        let draft = Draft {
            status: 200,
            body: if is_negative { &[] } else { &body[..(at % 40) as usize * 100] },
            fresh_ms: if is_negative { 1_000 } else { 0 },
            negative: is_negative,
            ..Draft::default()
        };
        if cache.read(ViewClass::Public, &name, 0, |_| ()).is_none() {
            let fill = cache.begin(&name);
            let _ = cache.fill_draft(fill, ViewClass::Public, &name, cache.hash(&name), 0, &draft);
        }
    }
}

// One test: another one beside it would be counted too.
#[test]
fn memory_stays_within_the_budget_while_answers_come_and_go() {
    const BUDGET: u64 = 16 << 20;
    let before = ALLOCATED.load(Ordering::Relaxed);
    let cache = AnswerCache::new(BUDGET, 10, 2_000);
    let done = AtomicBool::new(false);
    MOST.store(0, Ordering::Relaxed);
    let most_of = |what: &str, bound: u64| {
        let most = MOST.swap(0, Ordering::Relaxed) - before;
        println!(
            "{what}: most {most} of {bound} bytes ({:.2} %) {:?}",
            most as f64 * 100.0 / bound as f64,
            cache.counters()
        );
        assert!(most <= bound / 100 * 102, "{what}: {most} bytes of {bound}");
    };
    let run = |rounds: u64| {
        thread::scope(|scope| {
            (0..3).for_each(|at| {
                drop(scope.spawn({
                    let (cache, done) = (&cache, &done);
                    move || churn(cache, at, rounds, done)
                }))
            })
        });
    };
    run(300_000);
    most_of("churn", BUDGET);
    assert!(cache.bytes() > BUDGET / 10 * 9, "and the budget is used: {}", cache.bytes());

    // A reader that stalls: nothing grows, and what is there stays.
    let live = cache.counters().positive.live_bytes;
    let open = cache.open().unwrap();
    run(100_000);
    most_of("a reader that stalls", BUDGET);
    let stalled = cache.counters().positive;
    assert!(stalled.declined[mingpai::store::cache::Declined::Limbo as usize] > 0, "{stalled:?}");
    assert!(stalled.live_bytes > live / 10 * 9, "what is there stays: {stalled:?}");
    drop(open);

    // Handles that are kept count as well, and so does their end.
    let held: Vec<_> = (0..60_000)
        .filter_map(|at| cache.read(ViewClass::Public, &format!("88.1/{at}"), 0, |hit| hit.hold()))
        .collect();
    cache.purge_all();
    run(200_000);
    drop(held);
    run(100_000);

    // Smaller, while it is used.
    assert!(thread::scope(|scope| {
        scope.spawn(|| churn(&cache, 9, u64::MAX, &done));
        // Tried again while the other thread reads, or was stopped while it did.
        let until = Instant::now() + Duration::from_secs(20);
        let mut is_done = cache.resize(BUDGET / 2);
        while !is_done && Instant::now() < until {
            thread::yield_now();
            is_done = cache.resize(BUDGET / 2);
        }
        done.store(true, Ordering::Relaxed);
        is_done
    }));
    done.store(false, Ordering::Relaxed);
    cache.reclaim();
    MOST.store(0, Ordering::Relaxed);
    run(100_000);
    most_of("half the budget", BUDGET / 2);
    drop(cache);
    let left = ALLOCATED.load(Ordering::Relaxed) - before;
    assert!(left < 4_096, "all is freed: {left} bytes are left");
}
