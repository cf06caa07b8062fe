//! The answer cache beside others: `benches/cache/run`, or `cargo run --release -- [bars|fills|hits|ratios|flood|hash|alone] [rounds]`.
//!
//! Both hold the same number of answers, which is counted, not configured: the peer runs first, and ours gets as many places as
//! the peer then holds. `traces` are what is asked, `subjects` who answers, `contests` how it is measured.

#[path = "../../../src/store/cache/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the bench uses a part of what services use")]
mod cache;
mod contests;
mod subjects;
mod traces;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let what = arguments.first().map_or("all", String::as_str);
    let rounds = arguments.get(1).and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let is = |name: &str| what == "all" || what == name;
    if what == "alone" {
        contests::alone(rounds);
    }
    if what == "bars" {
        contests::bars(rounds);
    }
    if is("hash") {
        contests::hash(rounds);
    }
    if is("fills") {
        contests::fills(rounds);
    }
    if is("hits") {
        contests::hits(rounds);
    }
    if is("flood") {
        contests::flood(rounds);
    }
    if is("ratios") {
        contests::ratios();
    }
}
