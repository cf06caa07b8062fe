//! When which request is sent: the loop of the whole run.
//!
//! Closed loop: a connection sends `depth` requests in one write, waits for all their answers, and sends again. Open loop:
//! request i is due at the beginning + i / rate, whatever became of those before it; it takes the connection that has waited
//! longest, or waits for one, and its latency counts from when it was DUE, so a server that stalls is not excused from the
//! requests that it kept from being sent. While a stream has a rate the loop polls without sleeping: timers are too coarse.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::connection::{Connection, Open};
use crate::plan::{Plan, Stream};
use crate::report::{Cores, Count, Report, Ticks};
use crate::source::Sources;

/// A request without an answer for this long is given up, with its connection.
const STALL: Duration = Duration::from_secs(5);
/// How long answers are waited for after the last request.
const GRACE: Duration = Duration::from_secs(5);
const SWEEP: Duration = Duration::from_millis(100);
/// More broken connections than this end the run.
const MOST_BROKEN: usize = 200;
const SPACE_BYTES: usize = 512 * 1024;

pub struct Run<'p> {
    plan: &'p Plan,
    poll: OwnedFd,
    connections: Vec<Connection>,
    streams: Vec<Running<'p>>,
    from: Instant,
    until: Instant,
    broken: usize,
}

struct Running<'p> {
    stream: &'p Stream,
    sources: Sources,
    count: Count,
    begin: Instant,
    /// Requests of the open loop that were sent.
    sent: u64,
    /// Connections that can take a request of the open loop.
    free: VecDeque<usize>,
}

impl<'p> Run<'p> {
    pub fn new(plan: &'p Plan) -> Result<Run<'p>, Box<dyn std::error::Error>> {
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        let mut streams = Vec::new();
        for (at, stream) in plan.streams.iter().enumerate() {
            let sources = Sources::new(stream, plan.address, plan.seed.wrapping_mul(64) + at as u64)?;
            let mut free = VecDeque::new();
            for _ in 0..stream.connections {
                free.extend(std::iter::repeat_n(connections.len(), stream.depth));
                connections.push(Connection::open(plan.address, at)?);
            }
            let begin = Instant::now();
            streams.push(Running { stream, sources, count: Count::new()?, begin, sent: 0, free });
        }
        for (at, connection) in connections.iter().enumerate() {
            epoll::add(&poll, &connection.socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        }
        let begin = Instant::now();
        for running in &mut streams {
            running.begin = begin;
        }
        let from = begin + Duration::from_secs_f64(plan.warm_seconds);
        let until = from + Duration::from_secs_f64(plan.seconds);
        Ok(Run { plan, poll, connections, streams, from, until, broken: 0 })
    }

    pub fn complete(mut self) -> io::Result<Report> {
        let is_open_loop = self.plan.streams.iter().any(|stream| stream.rate.is_some());
        let pause = if is_open_loop { Duration::ZERO } else { Duration::from_millis(10) };
        let pause = rustix::event::Timespec::try_from(pause).map_err(io::Error::other)?;
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let mut space = vec![0; SPACE_BYTES];
        for at in 0..self.connections.len() {
            self.refill(at, Instant::now())?;
        }
        let (mut ticks_before, mut ticks) = (None, None);
        let mut next_sweep = Instant::now() + SWEEP;
        loop {
            let now = Instant::now();
            if now >= self.from {
                ticks_before.get_or_insert_with(|| Ticks::now(&self.plan.pids));
            }
            if now >= self.until {
                ticks.get_or_insert_with(|| Ticks::now(&self.plan.pids));
                let is_done = self.connections.iter().all(|one| one.open.is_empty())
                    && self.streams.iter().all(|running| running.due(now, self.until).is_none());
                if is_done || now >= self.until + GRACE {
                    break;
                }
            }
            self.send_due(now)?;
            if now >= next_sweep {
                self.give_up(now)?;
                next_sweep = now + SWEEP;
            }
            events.clear();
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&pause))?;
            for event in &events {
                let at = usize::try_from(event.data.u64()).unwrap_or(usize::MAX);
                if let Err(error) = self.turn(at, event.flags, &mut space) {
                    self.reopen(at, &format!("connection broken: {}", error.kind()))?;
                }
            }
        }
        let cores = match (ticks_before, ticks) {
            (Some(before), Some(after)) => before.until(&after),
            _ => return Err(io::Error::other("the run had no beginning or no end")),
        };
        Ok(self.report(cores))
    }

    /// Bytes came, or can go.
    fn turn(&mut self, at: usize, flags: EventFlags, space: &mut [u8]) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let running = &mut self.streams[connection.stream];
        let (from, until) = (self.from, self.until);
        let is_open_loop = running.stream.rate.is_some();
        if !flags.intersection(EventFlags::IN | EventFlags::HUP | EventFlags::ERR).is_empty() {
            let mut now = None;
            connection.receive(space, |request, answer| {
                let now = *now.get_or_insert_with(Instant::now);
                // What is counted: by when it was due in the open loop, by when it is there in the closed one.
                let moment = if is_open_loop { request.due } else { now };
                let within = [moment, now].map(|moment| moment >= from && moment < until);
                running.count.answer(request.expected, answer, now - request.due, within);
                if is_open_loop {
                    running.free.push_back(at);
                }
            })?;
            if connection.open.is_empty() && !is_open_loop {
                return self.refill(at, now.unwrap_or_else(Instant::now));
            }
        }
        if flags.contains(EventFlags::OUT) {
            self.flush(at)?;
        }
        Ok(())
    }

    /// Closed loop: the next `depth` requests.
    fn refill(&mut self, at: usize, now: Instant) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let running = &mut self.streams[connection.stream];
        if running.stream.rate.is_some() || now >= self.until {
            return Ok(());
        }
        for _ in 0..running.stream.depth {
            let expected = running.sources.write(&mut connection.out);
            connection.open.push_back(Open { due: now, sent: now, expected });
        }
        self.flush(at)
    }

    /// Open loop: all requests whose time has come and for which there is a connection.
    fn send_due(&mut self, now: Instant) -> io::Result<()> {
        for at in 0..self.streams.len() {
            while let Some(to) = self.streams[at].due(now, self.until).and_then(|due| self.streams[at].take(due)) {
                let (index, due) = to;
                let connection = &mut self.connections[index];
                let expected = self.streams[at].sources.write(&mut connection.out);
                connection.open.push_back(Open { due, sent: now, expected });
                if let Err(error) = self.flush(index) {
                    self.reopen(index, &format!("connection broken: {}", error.kind()))?;
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let waits = connection.send()?;
        if waits != connection.waits_to_write {
            let flags = if waits { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.poll, &connection.socket, EventData::new_u64(at as u64), flags)?;
            connection.waits_to_write = waits;
        }
        Ok(())
    }

    fn give_up(&mut self, now: Instant) -> io::Result<()> {
        for at in 0..self.connections.len() {
            if self.connections[at].open.front().is_some_and(|request| now - request.sent > STALL) {
                self.reopen(at, "no answer in 5 s")?;
            }
        }
        Ok(())
    }

    /// Another connection in the place of a broken one; its open requests are lost, and told.
    fn reopen(&mut self, at: usize, why: &str) -> io::Result<()> {
        self.broken += 1;
        let stream = self.connections[at].stream;
        let running = &mut self.streams[stream];
        let lost = self.connections[at].open.len();
        running.count.bad(why, lost.max(1) as u64);
        if self.broken > MOST_BROKEN {
            return Err(io::Error::other(format!("{MOST_BROKEN} connections were broken, the last: {why}")));
        }
        if running.stream.rate.is_some() {
            running.free.extend(std::iter::repeat_n(at, lost));
        }
        self.connections[at] = Connection::open(self.plan.address, stream)?;
        epoll::add(&self.poll, &self.connections[at].socket, EventData::new_u64(at as u64), EventFlags::IN)?;
        self.refill(at, Instant::now())
    }

    fn report(mut self, cores: Cores) -> Report {
        for connection in &self.connections {
            self.streams[connection.stream].count.bad("no answer at the end", connection.open.len() as u64);
        }
        let until = self.until;
        for running in &mut self.streams {
            let unsent = running.should_have_sent(until).saturating_sub(running.sent);
            running.count.bad("due but not sent for want of a connection", unsent);
        }
        let seconds = self.plan.seconds;
        let streams =
            self.streams.into_iter().map(|running| running.count.told(&running.stream.name, seconds)).collect();
        Report { seconds, cores, streams }
    }
}

impl Running<'_> {
    /// When the next request of the open loop is or was due, if that has come.
    fn due(&self, now: Instant, until: Instant) -> Option<Instant> {
        let rate = self.stream.rate?;
        let due = self.begin + Duration::from_secs_f64(self.sent as f64 / rate);
        (due <= now && due < until).then_some(due)
    }

    fn take(&mut self, due: Instant) -> Option<(usize, Instant)> {
        let at = self.free.pop_front()?;
        self.sent += 1;
        Some((at, due))
    }

    fn should_have_sent(&self, until: Instant) -> u64 {
        self.stream.rate.map_or(0, |rate| ((until - self.begin).as_secs_f64() * rate).floor() as u64)
    }
}
