//! Both ways, with the lane and without, hear the same bytes in the same pieces at the same moments, and must say the same
//! bytes, end the same way at the same moment, and count the same.
//!
//! The clock is tokio's, paused: a piece arrives when all that came before it has been dealt with, an idle hour costs
//! nothing, and a case that fails fails again.

mod client;
mod cutting;
mod fragments;
mod readings;
mod toy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use self::client::{Client, Said};
use self::fragments::{conversation, plain};
use self::toy::Toy;
use crate::accept::connection::speak;
use crate::accept::watch::Verdict;
use crate::accept::worker::Shared;
use crate::accept::{Limits, Refusal, Settings};
use crate::config::LimitsSpec;
use crate::metrics::{Metrics, Outcome, Stage, Transport};

/// What one client does.
#[derive(Clone, Debug)]
struct Course {
    bytes: Vec<u8>,
    /// Where the bytes are cut.
    cuts: Vec<usize>,
    /// What passes before each piece, and before the end.
    pauses: Vec<Duration>,
    /// How many bytes it takes before it takes none for a moment.
    gulps: Vec<usize>,
    /// When the node wants to end the connection.
    drained_at: Option<Duration>,
    /// Whether no further request may be in flight.
    is_full: bool,
}

impl Course {
    fn of(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            cuts: Vec::new(),
            pauses: Vec::new(),
            gulps: Vec::new(),
            drained_at: None,
            is_full: false,
        }
    }

    fn cut(mut self, at: usize) -> Self {
        self.cuts.push(at);
        self
    }

    /// Where the pieces begin, and their end.
    fn places(&self) -> Vec<usize> {
        let mut cuts: Vec<usize> = self.cuts.iter().map(|cut| cut % (self.bytes.len() + 1)).collect();
        cuts.extend([0, self.bytes.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    fn pieces(&self) -> Vec<(Duration, Vec<u8>)> {
        let cuts = self.places();
        let usual = (self.pauses.len()..).map(|at| if at + 1 < cuts.len() { USUAL_PAUSE } else { LAST_PAUSE });
        let pauses = self.pauses.iter().copied().chain(usual);
        // The last one, of no bytes, is the end.
        let ends = cuts.iter().copied().skip(1).chain([self.bytes.len()]);
        let pieces = cuts.iter().copied().zip(ends).zip(pauses);
        pieces.map(|((from, to), pause)| (pause, self.bytes[from..to].to_vec())).collect()
    }
}

/// Longer than the client ever takes to take what it was sent.
const USUAL_PAUSE: Duration = Duration::from_millis(50);
/// Before the end: longer than any answer takes.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// The longest piece of a random course.
const PIECE_BYTES: usize = 2_000;

/// What became of a connection.
#[derive(Debug, PartialEq)]
struct Fate {
    said: Said,
    lasted: Duration,
    counted: BTreeMap<String, u64>,
}

fn limits() -> Limits {
    let limits = Limits::of(&LimitsSpec::default());
    Limits { uri_bytes: 200, header_bytes: 1000, header_count: 20, ..limits }
}

fn fate(course: &Course, fast_lane: bool) -> Fate {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let settings = Settings {
            listen: Vec::new(),
            tls: None,
            workers: 1,
            pin_cores: false,
            fast_lane,
            limits: limits(),
            lame_duck: Duration::ZERO,
            deadline: Duration::ZERO,
        };
        let metrics = Arc::new(Metrics::new());
        if course.is_full {
            metrics.accept.requests_in_flight.set(settings.limits.requests_in_flight as u64);
        }
        let shared = Arc::new(Shared::new(Arc::new(Toy), &settings, Arc::clone(&metrics)));
        let pulse = shared.watch.enter();
        let (client, said) = Client::new(course.pieces(), course.gulps.clone(), Arc::clone(&pulse));
        let started = tokio::time::Instant::now();
        let work = speak(client, Arc::clone(&shared), Arc::clone(&pulse));
        let drain = async {
            match course.drained_at {
                Some(at) => tokio::time::sleep(at).await,
                None => std::future::pending().await,
            }
            pulse.pass(Verdict::Close);
            std::future::pending::<()>().await;
        };
        // A task of its own, as in a worker: in one with the connection each turn would poll what begins the next, for ever.
        let turns = Arc::clone(&shared.turns);
        let turning = tokio::spawn(async move { turns.run().await });
        tokio::select! {
            // What happens at one moment happens in this order.
            biased;
            () = work => {}
            () = drain => {}
            () = shared.watch.run(&shared.limits) => {}
        }
        turning.abort();
        let lasted = started.elapsed();
        Fate { said: said.lock().clone().without_dates(), lasted, counted: counted(&metrics) }
    })
}

fn counted(metrics: &Metrics) -> BTreeMap<String, u64> {
    let words = Refusal::ALL.into_iter().map(Refusal::word).chain(["malformed", "write_timeout"]);
    let mut counted: BTreeMap<_, _> = words.map(|word| (word.to_owned(), metrics.accept.refusals(word))).collect();
    for transport in [Transport::Http1, Transport::Http2] {
        for outcome in Outcome::ALL {
            let count = metrics.requests.count(Stage::Total, transport, *outcome);
            counted.insert(format!("{} {}", transport.word(), outcome.word()), count);
        }
    }
    counted.retain(|_, count| *count > 0);
    counted
}

/// Both ways' fate, which must be one.
fn same(course: &Course) -> Fate {
    let (with, without) = (fate(course, true), fate(course, false));
    assert_eq!(with, without, "with the lane (left) and without it (right), of {course:?}");
    with
}

fn cases() -> u32 {
    std::env::var("MINGPAI_LANE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

fn courses() -> impl Strategy<Value = Course> {
    let pause = prop_oneof![
        40 => Just(USUAL_PAUSE),
        4 => Just(Duration::from_millis(100)),
        2 => Just(Duration::from_secs(3)),
        1 => Just(Duration::from_secs(11)),
        1 => Just(Duration::from_secs(61)),
    ];
    let drained_at = prop_oneof![
        9 => Just(None),
        1 => (0_u64..20).prop_map(|at| Some(Duration::from_millis(25 * at + 10))),
    ];
    let parts = (
        conversation(),
        prop::collection::vec(any::<usize>(), 0..6),
        prop::collection::vec(pause, 0..8),
        prop::collection::vec(1_usize..5_000, 0..6),
        drained_at,
    );
    parts.prop_map(|(bytes, mut cuts, pauses, gulps, drained_at)| {
        // What hyper takes with one read, and the lane does not, is no matter of either.
        cuts.extend((PIECE_BYTES..bytes.len()).step_by(PIECE_BYTES));
        // While its client takes nothing, hyper has answered fewer of the requests that have come than the lane has.
        let gulps = if drained_at.is_some() { Vec::new() } else { gulps };
        let mut course = Course { bytes, cuts, pauses, gulps, drained_at, is_full: false };
        // See `an_end_that_comes_before_the_last_answer_loses_no_more_than_with_hyper_alone`.
        if course.bytes.windows(5).any(|text| text == b"/slow") {
            course.pauses.truncate(course.places().len() - 1);
        }
        course
    })
}

#[test]
fn any_conversation_goes_the_same_way_with_the_lane_and_without() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let outcome = runner.run(&courses(), |course| {
        let (with, without) = (fate(&course, true), fate(&course, false));
        prop_assert_eq!(with, without);
        Ok(())
    });
    outcome.unwrap_or_else(|failed| panic!("{failed}"));
}

#[test]
fn published_ways_to_smuggle_a_request_are_refused_the_same_way() {
    for (name, bytes) in fragments::smuggling() {
        let course = Course::of(bytes);
        let text = |fate: &Fate| String::from_utf8_lossy(&fate.said.bytes).into_owned();
        let alone = same(&course);
        // After a hot answer, and cut where it hurts.
        let after = same(&Course::of([plain("GET", "/hot").into_bytes(), course.bytes.clone()].concat()));
        assert!(text(&after).ends_with(&text(&alone)) && text(&after).starts_with("HTTP/1.1 200"), "{name}");
        for cut in 1..course.bytes.len() {
            same(&course.clone().cut(cut));
        }
        assert!(!text(&alone).contains("smuggled"), "{name}: {}", text(&alone));
    }
}

#[test]
fn heads_at_and_beyond_each_limit_go_the_same_way() {
    let head = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
    let path = |length: usize| format!("/hot{}", "a".repeat(length - 4));
    let many = |count: usize| (0..count).map(|at| format!("a{at}: b\r\n")).collect::<String>();
    let large = |length: usize| format!("a: {}\r\n", "b".repeat(length));
    for (text, status) in [
        (head(&path(200), ""), "404"),
        (head(&path(201), ""), "414"),
        (head("/hot", &many(19)), "200"),
        (head("/hot", &many(20)), "431"),
        (head("/hot", &many(99)), "431"),
        (head("/hot", &many(100)), "431"),
        (head("/hot", &large(994)), "200"),
        (head("/hot", &large(995)), "431"),
        (head("/hot", &large(8_000)), "431"),
        (head("/hot", &large(20_000)), "431"),
        (head(&path(70_000), ""), "431"),
    ] {
        let fate = same(&Course::of(text.clone() + &plain("GET", "/hot")));
        let said = String::from_utf8_lossy(&fate.said.bytes).into_owned();
        assert!(said.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {said}");
        same(&Course::of(text.clone() + &plain("GET", "/hot")).cut(text.len() / 2));
    }
}

#[test]
fn hundreds_of_requests_in_one_piece_are_all_answered_in_order() {
    let mut text = String::new();
    for at in 0..700 {
        text += &plain("GET", if at % 50 == 49 { "/cold" } else { "/hot" });
    }
    let fate = same(&Course::of(text));
    assert_eq!(fate.counted["http1 hit"], 686);
    assert_eq!(fate.counted["http1 unknown"], 14);
    // Long answers fill the outbox; the longest is not the lane's.
    let text: String = ["/hot/long", "/hot", "/hot/huge", "/hot/long"].iter().map(|path| plain("GET", path)).collect();
    assert_eq!(same(&Course::of(text.repeat(9))).counted["http1 hit"], 36);
}

#[test]
fn a_client_that_is_late_idle_or_takes_nothing_is_ended_at_the_same_moment() {
    let hot = plain("GET", "/hot");
    for (bytes, cut) in [
        (String::new(), 0),
        ("GET /h".to_owned(), 0),
        (hot.clone(), 7),
        (hot.clone() + "GET /h", hot.len()),
        (hot.clone() + &hot, hot.len()),
        (plain("GET", "/cold") + "GET /h", 0),
    ] {
        for seconds in [3, 9, 11, 59, 61, 200] {
            let pause = Duration::from_secs(seconds);
            let course = Course { pauses: vec![USUAL_PAUSE, pause, pause], ..Course::of(bytes.clone()).cut(cut) };
            same(&course);
            same(&Course { pauses: vec![pause; 3], ..course });
        }
    }
    // Forty answers of 20 KB to a client that takes a kilobyte and then nothing more.
    let course = Course { gulps: vec![1_000, client::NEVER], ..Course::of(plain("GET", "/hot/long").repeat(40)) };
    let [with, without] = [true, false].map(|fast_lane| {
        let mut fate = fate(&course, fast_lane);
        // That a client takes nothing is found out with the second answer, or with the whole of what is written at once.
        let hits = fate.counted.remove("http1 hit").unwrap();
        assert!((1..=5).contains(&hits), "{hits} answers were written of which none was taken");
        fate
    });
    assert_eq!(with, without);
    assert_eq!(with.counted, BTreeMap::from([("write_timeout".to_owned(), 1)]));
}

#[test]
fn a_drain_does_not_wait_for_the_rest_of_a_head_that_is_not_the_first() {
    let drained_at = Some(Duration::from_millis(120));
    for begun in ["GET /h", "POST /ec", "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n"] {
        for before in [plain("GET", "/hot"), plain("GET", "/cold"), String::new()] {
            let course = Course { pauses: vec![USUAL_PAUSE, LONG], ..Course::of(before.clone() + begun) };
            let fate = same(&Course { drained_at, ..course });
            assert_eq!(fate.lasted < Duration::from_secs(1), !before.is_empty(), "{before}{begun}: {:?}", fate.lasted);
        }
    }
}

#[test]
fn an_end_that_comes_before_the_last_answer_loses_no_more_than_with_hyper_alone() {
    let early = |text: String| Course { pauses: vec![USUAL_PAUSE; 2], ..Course::of(text) };
    assert_eq!(same(&early(plain("GET", "/slow"))).said.bytes, b"", "dropped for a client that is gone");
    same(&early(plain("GET", "/hot") + &plain("GET", "/slow")));
    // hyper looks for the end when it has read the last request, and then drops its answer. The lane writes that first.
    let course = early(plain("GET", "/slow") + &plain("GET", "/hot"));
    let (with, without) = (fate(&course, true), fate(&course, false));
    assert!(with.said.bytes.starts_with(&without.said.bytes) && with.said.bytes.ends_with(b"\r\n\r\nhot"));
    assert!(without.said.bytes.ends_with(b"slow GET"));
}

#[test]
fn a_drain_answers_what_has_come_and_ends() {
    let hot = plain("GET", "/hot");
    let at = |millis| Some(Duration::from_millis(millis));
    for (bytes, cut) in [
        (String::new(), 0),
        (hot.clone(), 0),
        (hot.clone() + &hot, hot.len()),
        (hot.clone() + &hot, hot.len() + 9),
        (hot.clone(), 9),
        (plain("GET", "/slow") + &hot, 0),
    ] {
        for millis in [10, 60, 75, 110] {
            same(&Course { drained_at: at(millis), ..Course::of(bytes.clone()).cut(cut) });
        }
    }
    let drained = Course { drained_at: at(60), pauses: vec![USUAL_PAUSE, LONG], ..Course::of(hot) };
    let fate = same(&drained);
    assert!(fate.lasted < Duration::from_secs(1), "{:?}", fate.lasted);
}

const LONG: Duration = Duration::from_secs(50);

#[test]
fn sixteen_requests_cost_one_read_and_one_write() {
    for path in ["/hot", "/hot/usual"] {
        let said = fate(&Course::of(plain("GET", path).repeat(16)), true).said;
        assert_eq!((said.reads, said.writes), (1, 1), "{path}");
    }
    // One after the other: one of each.
    let hot = plain("GET", "/hot");
    let course = (1..50).fold(Course::of(hot.repeat(50)), |course, at| course.cut(at * hot.len()));
    let said = fate(&course, true).said;
    assert_eq!((said.reads, said.writes), (50, 50));
    let said = fate(&Course::of(plain("GET", "/hot").repeat(16)), false).said;
    assert_eq!(said.writes, 16, "what hyper does alone");
}

#[test]
fn a_connection_that_has_met_a_miss_comes_back_to_the_lane() {
    for cold in [plain("GET", "/cold"), plain("GET", "/hot?a=b"), plain("GET", "/slow"), plain("GET", "/hot/huge")] {
        let said = fate(&Course::of(cold.clone() + &plain("GET", "/hot").repeat(16)), true).said;
        let alone = fate(&Course::of(cold), true).said;
        assert_eq!(said.writes, alone.writes + 1);
    }
    // Where only hyper knows where a message ends, it stays.
    let posted = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc".to_owned();
    let said = fate(&Course::of(posted + &plain("GET", "/hot").repeat(16)), true).said;
    assert_eq!(said.writes, 17);
}
