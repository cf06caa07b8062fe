//! Request bytes, made before the run wherever they can be: during it they are copied, no more.

use std::fs;
use std::io;
use std::net::SocketAddr;

use crate::plan;

/// What the requests that are drawn before a run may take.
const MOST_DRAWN_BYTES: usize = 64 << 20;

/// The answer that a request must have.
#[derive(Clone, Copy)]
pub struct Expected {
    pub status: u16,
    pub body_bytes: Option<u64>,
}

pub struct Sources {
    sources: Vec<Source>,
    /// Which source is next: one place for each unit of weight.
    turns: Vec<usize>,
    random: Random,
}

struct Source {
    requests: Requests,
    expected: Expected,
}

enum Requests {
    /// One behind the other in the order in which they go out, so that the memory runs ahead; where each ends; the next.
    Made { bytes: Vec<u8>, ends: Vec<usize>, next: usize },
    /// What stands before and after the running number.
    Numbered { before: Vec<u8>, after: Vec<u8>, next: u64 },
}

impl Sources {
    pub fn new(stream: &plan::Stream, address: SocketAddr, seed: u64) -> io::Result<Sources> {
        let mut random = Random::new(seed);
        let mut sources = Vec::new();
        let mut turns = Vec::new();
        for (at, source) in stream.sources.iter().enumerate() {
            turns.extend(std::iter::repeat_n(at, source.weight));
            sources.push(Source {
                requests: Requests::new(source, address, &mut random)?,
                expected: Expected { status: source.status, body_bytes: source.body_bytes },
            });
        }
        Ok(Sources { sources, turns, random })
    }

    /// Puts the next request behind what is in `out`.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Expected {
        let turn = if self.turns.len() == 1 { 0 } else { self.random.below(self.turns.len()) };
        let source = &mut self.sources[self.turns[turn]];
        match &mut source.requests {
            Requests::Made { bytes, ends, next } => {
                let at = std::mem::replace(next, (*next + 1) % ends.len());
                let from = if at == 0 { 0 } else { ends[at - 1] };
                out.extend_from_slice(&bytes[from..ends[at]]);
            }
            Requests::Numbered { before, after, next } => {
                out.extend_from_slice(before);
                let mut digits = [0; 20];
                out.extend_from_slice(decimal(*next, &mut digits));
                out.extend_from_slice(after);
                *next += 1;
            }
        }
        source.expected
    }
}

impl Requests {
    fn new(source: &plan::Source, address: SocketAddr, random: &mut Random) -> io::Result<Requests> {
        let mut headers = format!(" HTTP/1.1\r\nhost: {address}\r\n");
        for (name, value) in &source.headers {
            headers.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = Vec::new();
        let mut ends = Vec::new();
        if let Some(paths) = &source.paths {
            for path in fs::read_to_string(paths)?.lines() {
                bytes.extend_from_slice(format!("{} {path}{headers}\r\n", source.method).as_bytes());
                ends.push(bytes.len());
            }
        } else {
            let path = source.path.as_deref().unwrap_or_default();
            let bodies = bodies(source)?;
            if let Some((before, after)) = path.split_once("{n}") {
                if bodies.len() > 1 {
                    return Err(io::Error::other(format!("{path}: a numbered path takes one body at most")));
                }
                let mut end = format!("{after}{headers}");
                end.push_str(&framing(bodies.first()));
                let mut after = end.into_bytes();
                after.extend_from_slice(bodies.first().map_or(&[], Vec::as_slice));
                let before = format!("{} {before}", source.method).into_bytes();
                return Ok(Requests::Numbered { before, after, next: 0 });
            }
            for body in bodies.iter().map(Some).chain(bodies.is_empty().then_some(None)) {
                let head = format!("{} {path}{headers}{}", source.method, framing(body));
                bytes.extend_from_slice(head.as_bytes());
                bytes.extend_from_slice(body.map_or(&[], Vec::as_slice));
                ends.push(bytes.len());
            }
        }
        if ends.is_empty() {
            return Err(io::Error::other("a source has no request"));
        }
        if let Some(first) = source.in_turn {
            return Ok(Requests::Made { next: first % ends.len(), bytes, ends });
        }
        let (bytes, ends) = drawn(&bytes, &ends, random);
        Ok(Requests::Made { bytes, ends, next: 0 })
    }
}

/// Some of these, drawn uniformly and with replacement: four times as many, if that is not too much memory.
fn drawn(bytes: &[u8], ends: &[usize], random: &mut Random) -> (Vec<u8>, Vec<usize>) {
    let most = (MOST_DRAWN_BYTES / (bytes.len() / ends.len()).max(1)).max(ends.len());
    let (mut all, mut all_ends) = (Vec::new(), Vec::new());
    for _ in 0..(4 * ends.len()).min(most) {
        let at = random.below(ends.len());
        let from = if at == 0 { 0 } else { ends[at - 1] };
        all.extend_from_slice(&bytes[from..ends[at]]);
        all_ends.push(all.len());
    }
    (all, all_ends)
}

fn framing(body: Option<&Vec<u8>>) -> String {
    body.map_or_else(|| "\r\n".to_owned(), |body| format!("content-length: {}\r\n\r\n", body.len()))
}

fn bodies(source: &plan::Source) -> io::Result<Vec<Vec<u8>>> {
    let Some(file) = &source.bodies else { return Ok(Vec::new()) };
    let all = fs::read(file)?;
    if source.body_lines == 0 {
        return Ok(vec![all]);
    }
    let lines: Vec<&[u8]> = all.split_inclusive(|&byte| byte == b'\n').collect();
    // What is left over at the end would be a shorter body.
    Ok(lines.chunks_exact(source.body_lines).map(<[&[u8]]>::concat).collect())
}

fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut from = digits.len();
    loop {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[from..];
        }
    }
}

/// xorshift64* (Vigna 2016): the same requests in the same order in every run of a plan.
struct Random(u64);

impl Random {
    /// The seed is spread first (the golden ratio's multiples, as in splitmix64): small ones would begin alike.
    fn new(seed: u64) -> Random {
        let mut random = Random(seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.below(1);
        }
        random
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D);
        ((u128::from(drawn) * bound as u128) >> 64) as usize
    }
}
