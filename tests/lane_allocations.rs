//! What a hot request in the fast lane allocates: nothing. Counted by the allocator itself, over
//! real sockets, in a process that does nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]
#![expect(unsafe_code, reason = "an allocator is an unsafe trait; this one only counts and passes on")]

#[path = "conformance/mod.rs"]
mod conformance;
#[path = "lane/front.rs"]
mod front;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "http/world.rs"]
mod world;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::front::Door;
use crate::world::{World, part};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(layout.size() as u64, Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Relaxed);
        BYTES.fetch_add(size as u64, Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ROUNDS: u64 = 2_000;

/// Allocations and bytes a request, of so many requests one after the other.
fn cost(stream: &mut TcpStream, request: &[u8], answer_bytes: usize) -> (f64, f64) {
    let mut buffer = vec![0; answer_bytes];
    let mut ask = |rounds: u64| {
        for _ in 0..rounds {
            stream.write_all(request).unwrap();
            stream.read_exact(&mut buffer).unwrap();
        }
    };
    // The worker's buffers are there after the first.
    ask(10);
    let before = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    ask(ROUNDS);
    let after = (COUNT.load(Relaxed), BYTES.load(Relaxed));
    ((after.0 - before.0) as f64 / ROUNDS as f64, (after.1 - before.1) as f64 / ROUNDS as f64)
}

/// The length of one whole answer, whose body ends in `}`.
fn length(stream: &mut TcpStream, request: &[u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).unwrap();
        heard.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&heard);
        let told = text.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()).map(str::parse);
        if let (Some(Ok(told)), Some(end)) = (told, text.find("\r\n\r\n")) {
            let told: usize = told;
            if heard.len() >= end + 4 + told {
                return heard.len();
            }
        }
    }
}

#[tokio::test]
async fn a_hot_answer_allocates_nothing() {
    let world = World::new().await;
    world.register("88.999.1/SMALL", &part("螺栓")).await;
    world.register("88.999.1/LARGE", &part(&"螺栓".repeat(3_000))).await;
    let door = Door::open(&world.http, true);
    let mut costs = Vec::new();
    for name in ["SMALL", "LARGE"] {
        let request =
            format!("GET /v1/resolve/88.999.1/{name} HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n").into_bytes();
        let mut stream = door.connect();
        length(&mut stream, &request);
        let answer_bytes = length(&mut stream, &request);
        let (count, bytes) = cost(&mut stream, &request, answer_bytes);
        println!("{name}: an answer of {answer_bytes} bytes costs {count:.3} allocations, {bytes:.1} bytes");
        costs.push((count, bytes, answer_bytes));
    }
    let [small, large] = costs[..] else { unreachable!() };
    assert!(large.2 > small.2 + 15_000);
    // None at all; what else the process does now and then is less than one in fifty.
    for (count, bytes, _) in [small, large] {
        assert!(count < 0.02 && bytes < 20.0, "{count} allocations, {bytes} bytes");
    }
}
