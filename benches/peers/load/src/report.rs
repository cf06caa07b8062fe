//! What came of a run.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::answer::Answer;
use crate::source::Expected;

/// Latencies are told to three digits, and up to this.
const MOST_NANOSECONDS: u64 = 600_000_000_000;

#[derive(Serialize)]
pub struct Report {
    pub seconds: f64,
    #[serde(flatten)]
    pub cores: Cores,
    pub streams: Vec<Told>,
}

/// Cores that were busy, on average over the counted seconds.
#[derive(Serialize)]
pub struct Cores {
    /// With this program.
    pub client: f64,
    /// With the plan's processes together. Where it is less than what they have, they were not the bound.
    pub server: f64,
    /// With anything else: a measurement beside which much else ran is none.
    pub others: f64,
    /// Taken by the machine's host.
    pub stolen: f64,
}

#[derive(Serialize)]
pub struct Told {
    pub name: String,
    /// Answers a second that were as expected: to requests that were due within the counted seconds in the open loop, that
    /// came within them in the closed one.
    pub rate: f64,
    /// Such answers that came within the counted seconds, a second: less than `rate` where a server does not keep up.
    pub arrived: f64,
    pub answers: u64,
    pub body_bytes: u64,
    pub statuses: BTreeMap<u16, u64>,
    /// What was not as expected, by kind, in the whole run, the warm-up included.
    pub bad: BTreeMap<String, u64>,
    /// Latency in microseconds: from when a request was to be sent to when its answer was read.
    pub microseconds: BTreeMap<&'static str, f64>,
}

impl Report {
    pub fn is_good(&self) -> bool {
        self.streams.iter().all(|stream| stream.bad.is_empty() && stream.answers > 0)
    }
}

/// What is counted of one stream while it runs.
pub struct Count {
    answers: u64,
    arrived: u64,
    body_bytes: u64,
    statuses: BTreeMap<u16, u64>,
    bad: BTreeMap<String, u64>,
    latency: Histogram<u64>,
}

impl Count {
    pub fn new() -> Result<Count, hdrhistogram::CreationError> {
        let latency = Histogram::new_with_max(MOST_NANOSECONDS, 3)?;
        let (statuses, bad) = (BTreeMap::new(), BTreeMap::new());
        Ok(Count { answers: 0, arrived: 0, body_bytes: 0, statuses, bad, latency })
    }

    /// An answer, whether it falls within what is counted, and whether it came within the counted time.
    pub fn answer(&mut self, expected: Expected, answer: Answer, took: Duration, [is_counted, is_in_time]: [bool; 2]) {
        if answer.status != expected.status {
            self.bad(&format!("status {} instead of {}", answer.status, expected.status), 1);
            return;
        }
        if expected.body_bytes.is_some_and(|bytes| bytes != answer.body_bytes) {
            self.bad("a body of another length", 1);
            return;
        }
        self.arrived += u64::from(is_in_time);
        if is_counted {
            self.answers += 1;
            self.body_bytes += answer.body_bytes;
            *self.statuses.entry(answer.status).or_default() += 1;
            self.latency.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    pub fn bad(&mut self, kind: &str, count: u64) {
        if count > 0 {
            *self.bad.entry(kind.to_owned()).or_default() += count;
        }
    }

    pub fn told(self, name: &str, seconds: f64) -> Told {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let latency = &self.latency;
        let quantiles = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        let mut microseconds: BTreeMap<_, _> =
            quantiles.map(|(name, share)| (name, us(latency.value_at_quantile(share)))).into();
        microseconds.insert("mean", latency.mean() / 1000.0);
        Told {
            name: name.to_owned(),
            rate: self.answers as f64 / seconds,
            arrived: self.arrived as f64 / seconds,
            answers: self.answers,
            body_bytes: self.body_bytes,
            statuses: self.statuses,
            bad: self.bad,
            microseconds,
        }
    }
}

/// What CPUs had done at a moment, in ticks.
pub struct Ticks {
    at: Instant,
    client: u64,
    server: u64,
    machine: u64,
    stolen: u64,
}

impl Ticks {
    pub fn now(pids: &[u32]) -> Ticks {
        let (machine, stolen) = machine().unwrap_or_default();
        let client = of_process(std::process::id()).unwrap_or(0);
        let server = pids.iter().filter_map(|&pid| of_process(pid)).sum();
        Ticks { at: Instant::now(), client, server, machine, stolen }
    }

    pub fn until(&self, end: &Ticks) -> Cores {
        let ticks = (end.at - self.at).as_secs_f64() * rustix::param::clock_ticks_per_second() as f64;
        let cores = |from: u64, to: u64| to.saturating_sub(from) as f64 / ticks;
        let client = cores(self.client, end.client);
        let server = cores(self.server, end.server);
        let others = (cores(self.machine, end.machine) - client - server).max(0.0);
        Cores { client, server, others, stolen: cores(self.stolen, end.stolen) }
    }
}

/// Fields 14 and 15 of proc_pid_stat(5): all threads of the process, in user and in kernel mode.
fn of_process(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, field 2, may hold blanks and parentheses itself.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// The first line of proc_stat(5): user, nice and system, which is what processes are told to have had; and stolen.
fn machine() -> Option<(u64, u64)> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    Some((fields.get(..3)?.iter().sum(), *fields.get(7)?))
}
