//! How it is measured: A and B take turns (A B A B ...); medians, spread, and the median of the rounds' ratios.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::Instant;

use crate::subjects::{Batched, Papaya, Quick, SLOTS, Scc, Subject, Unknown, frozen, ours, peers};
use crate::traces::{KEYS, Name, Random, Zipf};

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

pub fn fills(rounds: usize) {
    let (zipf, chances) = Zipf::new(KEYS, 0.99);
    println!(
        "== fills: Zipf 0.99 over {KEYS} keys; static optimum of {SLOTS}: {:.4}",
        chances[..SLOTS].iter().sum::<f64>()
    );
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

pub fn hits(rounds: usize) {
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
            contest(
                ["hashbrown, foldhash", "ours, 16 at once"],
                [&foldhash, &Batched(&ours)],
                &traces[..threads],
                rounds,
            );
            contest(["hashbrown, SipHash", "ours"], [&siphash, &ours], &traces[..threads], rounds);
            contest(["papaya", "ours"], [&papaya, &ours], &traces[..threads], rounds);
            contest(["quick_cache", "ours"], [&quick, &ours], &traces[..threads], rounds);
        }
    }
}

pub fn ratios() {
    println!("== hit ratios, one thread; ours with as many places as the peer holds at the end");
    let mut traces: Vec<(String, Vec<u32>)> = Vec::new();
    for exponent in [0.6, 0.8, 0.99, 1.0, 1.2] {
        traces.push((format!("zipf {exponent}"), Zipf::new(KEYS, exponent).0.trace(5, 8_000_000)));
    }
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let mut random = Random(6);
    let scan = |at: usize| at % 1_000_000 < 300_000 && at % 2 == 0;
    traces.push((
        "scan + zipf".into(),
        (0..8_000_000).map(|at| if scan(at) { 2_000_000 + at as u32 } else { zipf.draw(&mut random) }).collect(),
    ));
    traces.push(("loop of 150 k".into(), (0..4_000_000).map(|at| at % 150_000).collect()));
    traces.push((
        "shifting".into(),
        (0..8_000_000).map(|at| (zipf.draw(&mut random) + (at / 1_500_000) as u32 * 150_000) % 3_000_000).collect(),
    ));
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

pub fn flood(rounds: usize) {
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

pub fn hash(rounds: usize) {
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
pub fn alone(rounds: usize) {
    let (zipf, _) = Zipf::new(KEYS, 0.99);
    let ours = ours(SLOTS);
    ask(&ours, &zipf.trace(1, 6_000_000));
    let traces: Vec<Vec<u32>> = (0..2).map(|thread| zipf.trace(10 + thread, 4_000_000)).collect();
    for _ in 0..rounds {
        println!("{:?} {:?}", run(&ours, &traces[..1]), run(&ours, &traces));
    }
}

/// The two bars only.
pub fn bars(rounds: usize) {
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
