//! Resolutions over HTTP/1.1 with the fast lane and without: the same bytes, whatever the request says, and the same counts.
//!
//! What is no resolution, broken framing, pieces, time-outs: src/accept/lane/tests.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

#[path = "../conformance/mod.rs"]
mod conformance;
mod front;
#[allow(dead_code, reason = "a part of it is used here")]
#[path = "../http/world.rs"]
mod world;

use std::io::{Read, Write};

use http::Method;
use httparse::Header;
use mingpai::codec::http::PlainGet;
use mingpai::metrics::{Outcome, Stage, Transport};
use mingpai::model::time::Timestamp;
use serde_json::json;

use crate::front::Door;
use crate::world::{World, part};

/// A record, the same by an alias, a deleted one, one that was never there; each in the spellings of a path.
const PATHS: [&str; 16] = [
    "/v1/resolve/88.999.1/JXDY-1",
    "/v1/resolve/88.999.1%2FJXDY-1",
    "/v1/resolve/88.999.1%2fjxdy%2D1",
    "/v1/resolve/hdl:88.999.1/JXDY-1",
    "/v1/resolve/01/09506000134352",
    "/v1/resolve/https://id.example/01/09506000134352",
    "/v1/resolve/https:/id.example/01/09506000134352",
    "/v1/resolve/88.999.1/%E9%93%AD%E7%89%8C",
    "/v1/resolve/88.999.1/GONE",
    "/v1/resolve/88.999.1/NONE",
    "/v1/resolve/88.999.1/%E6%97%A0",
    "/v1/resolve/01/09506000134369",
    "/v1/resolve/88.999.1/JXDY-1?",
    "/v1/resolve/88.999.1/JXDY-1?index=2000",
    "/v1/resolve/88.999.1/%zz",
    "/v1/resolve/",
];

const HEADERS: [&str; 37] = [
    "",
    "accept: */*\r\n",
    "Accept: application/json\r\n",
    "accept: application/json, text/plain, */*\r\n",
    "accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n",
    "accept: text/html\r\n",
    "accept: application/json;q=0\r\n",
    "accept:\r\n",
    "accept: \u{e9}\r\n",
    "accept: text/html\r\naccept: application/json\r\n",
    "accept: */*\r\naccept: application/json;q=0\r\n",
    "accept: application/json;q=0\r\naccept: */*\r\n",
    "accept: application/*;q=0.5\r\n",
    "if-none-match: \"1\"\r\n",
    "If-None-Match: W/\"1\"\r\n",
    "if-none-match: \"7\", \"1\"\r\n",
    "if-none-match: *\r\n",
    "if-none-match: \"2\"\r\n",
    "if-none-match: \"2\"\r\nif-none-match: \"1\"\r\n",
    "if-none-match: \"1\"\r\nif-none-match: \"2\"\r\n",
    "if-none-match: \"\u{e9}\", \"1\"\r\n",
    "if-none-match:\r\n",
    "if-modified-since: Sun, 06 Nov 2044 08:49:37 GMT\r\n",
    "authorization: Bearer nonsense\r\n",
    "authorization:\r\n",
    "signature: sig=:AA==:\r\n",
    "Signature-Input: sig=()\r\nSignature: sig=:AA==:\r\n",
    "signature-input:\r\n",
    "signaturf: a\r\nsignature-inpux: a\r\n",
    "accept-language: en\r\naccept-encoding: gzip, br\r\n",
    "accept-language: en\r\naccept-language: zh\r\n",
    "accept-language: \u{e9}\r\n",
    "Accept-Language:\r\n",
    "origin: https://example.com\r\nreferer: https://example.com/\r\ncookie: a=b\r\n",
    "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    "connection: keep-alive\r\nrange: bytes=0-3\r\ncache-control: no-cache\r\n",
    "x-http-method-override: DELETE\r\nx-forwarded-for: 10.0.0.1\r\n",
];

async fn registered() -> World {
    // "Unknown" must not be forgotten between two questions.
    let world = World::with(&[("cache.negative_seconds", "60")]).await;
    let draft = json!({
        "values": [{"index": 2000, "type": "名称", "data": "螺栓"}],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
    });
    world.register("88.999.1/JXDY-1", &draft).await;
    world.register("88.999.1/%E9%93%AD%E7%89%8C", &part("铭牌")).await;
    world.register("88.999.1/GONE", &part("螺母")).await;
    let gone = world.ask(Method::DELETE, "/v1/records/88.999.1/GONE").signed().header("if-match", "*").send().await;
    assert!(gone.status.is_success(), "{}", gone.text());
    world
}

/// Hits, negative hits, unknown without a look, misses; requests by outcome.
fn counted(world: &World, door: &Door) -> Vec<u64> {
    let cache = &world.node.metrics.cache;
    let times = &door.metrics.requests;
    let outcomes = Outcome::ALL.iter().map(|outcome| times.count(Stage::Total, Transport::Http1, *outcome));
    let looks = [&cache.hits, &cache.negative_hits, &cache.absent, &cache.misses];
    looks.map(|counter| counter.total()).into_iter().chain(outcomes).collect()
}

/// What the request is answered, and by how much it moved the counters.
fn asked(world: &World, door: &Door, request: &str) -> (String, Vec<u64>) {
    let before = counted(world, door);
    let heard = door.hear(request);
    let after = counted(world, door);
    (heard, after.iter().zip(before).map(|(after, before)| after - before).collect())
}

#[tokio::test]
async fn a_resolution_is_the_same_bytes_with_the_lane_and_without_and_counts_the_same() {
    let world = registered().await;
    let (with, without) = (Door::open(&world.http, true), Door::open(&world.http, false));
    for path in PATHS {
        // Cached from here on.
        without.hear(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
        for method in ["GET", "HEAD"] {
            for headers in HEADERS {
                for id in ["", "x-request-id: mine-1\r\n", "x-request-id: not a good one\r\n"] {
                    let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}{id}\r\n");
                    let (right, counted_right) = asked(&world, &without, &request);
                    let (left, counted_left) = asked(&world, &with, &request);
                    assert_eq!(counted_left, counted_right, "{request}");
                    // `hear` asks one more thing at the end.
                    assert_eq!(answers(&left, &[method, "GET"]), answers(&right, &[method, "GET"]), "{request}");
                }
            }
        }
    }
    // Each by the longer way, with the cache empty before it.
    for path in PATHS {
        for method in ["GET", "HEAD"] {
            for headers in HEADERS {
                let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
                world.node.services.cache.purge_all();
                let (right, counted_right) = asked(&world, &without, &request);
                world.node.services.cache.purge_all();
                let (left, counted_left) = asked(&world, &with, &request);
                assert_eq!(counted_left, counted_right, "{request}");
                assert_eq!(answers(&left, &[method, "GET"]), answers(&right, &[method, "GET"]), "{request}");
            }
        }
    }
    PATHS.iter().for_each(|path| drop(without.hear(&format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n"))));
    let between = PATHS.map(|path| format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-request-id: a\r\n\r\n")).concat();
    let hot = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", PATHS[0]).repeat(3);
    let pipelined = format!("{hot}{between}{hot}").repeat(20);
    assert_eq!(with.hear(&pipelined), without.hear(&pipelined));
    let (unknown, gone) = (PATHS[9], PATHS[8]);
    let methods = ["GET", "HEAD", "GET", "GET", "HEAD", "HEAD"].repeat(10);
    let paths = [unknown, unknown, PATHS[0], gone, gone, PATHS[0]].repeat(10);
    let mixed = methods.iter().zip(paths).map(|(method, path)| format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n"));
    let mixed: String = mixed.collect();
    let methods = [methods, vec!["GET"]].concat();
    assert_eq!(answers(&with.hear(&mixed), &methods), answers(&without.hear(&mixed), &methods));
}

/// The answers, taken apart by the lengths that they state, without the ids of their requests and what those add to the lengths.
fn answers(heard: &str, methods: &[&str]) -> Vec<String> {
    let mut rest = heard;
    let mut answers = Vec::new();
    for method in methods {
        let (head, behind) = rest.split_once("\r\n\r\n").unwrap();
        let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let status = head.split(' ').nth(1).unwrap();
        let has_body = *method == "GET" && status != "304";
        let length = if has_body { value("content-length").unwrap().parse().unwrap() } else { 0 };
        let (body, next) = behind.split_at(length);
        let whole = format!("{head}\r\n\r\n{body}");
        let is_problem = value("content-type") == Some("application/problem+json");
        let id = value("x-request-id").unwrap_or("no id");
        assert_eq!(whole.matches(id).count() > 1, is_problem && has_body, "{whole}");
        let mut alike = whole.replace(id, "ID");
        if let Some(stated) = value("content-length").filter(|_| is_problem) {
            // A longer id makes a longer problem.
            let without = stated.parse::<usize>().unwrap() - id.len();
            alike = alike.replace(&format!("content-length: {stated}"), &format!("content-length: {without}"));
        }
        answers.push(alike);
        rest = next;
    }
    assert_eq!(rest, "", "more than was asked for");
    answers
}

#[tokio::test]
async fn the_lane_takes_what_it_is_there_for() {
    let world = registered().await;
    world.get(PATHS[0]).send_slowly().await;
    let takes = |path: &str, headers: &[(&str, &[u8])], room: usize| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| Header { name, value }).collect();
        let (now, date) = (Timestamp::now(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let mut out = b"before".to_vec();
        let get = PlainGet { is_head: false, path, headers: &headers, now, date, room };
        let status = world.http.hot_bytes(&get, &mut out);
        assert_eq!(out.len() > 6, status.is_some());
        assert!(out.starts_with(b"before"));
        status
    };
    assert_eq!(takes(PATHS[0], &[], 32_768), Some(200));
    assert_eq!(takes(PATHS[0], &[("host", b"x"), ("User-Agent", b"a"), ("Accept", b"*/*")], 32_768), Some(200));
    assert_eq!(takes(PATHS[0], &[("If-None-Match", b"\"1\"")], 32_768), Some(304));
    assert_eq!(takes(PATHS[0], &[("authorization", b"Bearer a")], 32_768), None);
    assert_eq!(takes(PATHS[0], &[("signature", b"sig=:AA==:")], 32_768), None);
    assert_eq!(takes(PATHS[0], &[("Signature-Input", b"")], 32_768), None);
    assert_eq!(takes(PATHS[0], &[("x-request-id", b"a")], 32_768), None);
    assert_eq!(takes(PATHS[0], &[("accept", b"text/html")], 32_768), None);
    assert_eq!(takes(PATHS[0], &[], 700), None, "it must fit");
    let unknown = |headers: &[(&str, &[u8])]| takes("/v1/resolve/88.999.1/never-asked", headers, 32_768);
    assert_eq!(unknown(&[]), Some(404));
    assert_eq!(unknown(&[("accept-language", b"en"), ("accept", b"application/json")]), Some(404));
    assert_eq!(unknown(&[("accept-language", b"\x01")]), None);
    assert_eq!(unknown(&[("x-request-id", b"a")]), None);
    assert_eq!(unknown(&[("accept", b"text/html")]), None);
    assert_eq!(takes("/v1/resolve/88.999.1/never-asked", &[], 700), None, "it must fit");
    assert_eq!(takes(PATHS[8], &[], 32_768), None, "gone, and not asked for yet: the row says so");
    world.get(PATHS[8]).send_slowly().await;
    assert_eq!(takes(PATHS[8], &[], 32_768), Some(410));
    assert_eq!(takes("/v1/resolve/nonsense", &[], 32_768), None);
    assert_eq!(takes("/v1/records/88.999.1/JXDY-1", &[], 32_768), None);
}

#[tokio::test]
async fn what_memory_has_not_is_read_in_the_lane_once_and_however_long_it_is() {
    let world = registered().await;
    let long = json!({"values": [{"index": 1, "type": "说明", "data": "长".repeat(15_000)}]});
    world.register("88.999.1/LONG", &long).await;
    let reads = |path: &str, headers: &[(&str, &[u8])]| {
        let headers: Vec<_> = headers.iter().map(|(name, value)| Header { name, value }).collect();
        let (now, date) = (Timestamp::now(), "Sun, 06 Nov 1994 08:49:37 GMT");
        let get = PlainGet { is_head: false, path, headers: &headers, now, date, room: 32_768 };
        let mut out = b"before".to_vec();
        assert_eq!(world.http.hot_bytes(&get, &mut out), None);
        let status = world.http.read_bytes(&get, &mut out);
        assert!(out.starts_with(b"before") && (out.len() > 6) == status.is_some());
        status
    };
    let personal = [("authorization", b"Bearer a".as_slice()), ("Signature", b"a"), ("signature-input", b"a")];
    for refused in personal.into_iter().chain([("x-request-id", b"a".as_slice()), ("accept", b"text/html")]) {
        assert_eq!(reads(PATHS[0], &[refused]), None);
    }
    assert_eq!(reads("/v1/records/88.999.1/JXDY-1", &[]), None);
    assert_eq!(reads("/v1/resolve/nonsense", &[]), None);
    assert_eq!(reads(PATHS[0], &[("accept", b"*/*")]), Some(200));
    world.node.services.cache.purge_all();
    assert_eq!(reads(PATHS[0], &[("If-None-Match", b"\"1\"")]), Some(304));
    assert_eq!(reads(PATHS[4], &[]), Some(200), "by its alias");
    assert_eq!(reads(PATHS[8], &[]), Some(410));
    assert_eq!(reads("/v1/resolve/88.999.1/LONG", &[]), Some(200));
    assert_eq!(reads("/v1/resolve/88.999.1/LONG", &[]), None, "it is cached, and too long for the lane");
    let (with, without) = (Door::open(&world.http, true), Door::open(&world.http, false));
    let request = "GET /v1/resolve/88.999.1/LONG HTTP/1.1\r\nhost: x\r\n\r\n";
    let heard = [&without, &with].map(|door| {
        world.node.services.cache.purge_all();
        let (heard, counted) = asked(&world, door, request);
        (answers(&heard, &["GET", "GET"]), counted)
    });
    assert_eq!(heard[1], heard[0]);
}

#[tokio::test]
async fn no_answer_is_older_than_a_change_that_was_acknowledged() {
    let world = registered().await;
    let door = Door::open(&world.http, true);
    let mut stream = door.connect();
    let request = format!("GET {} HTTP/1.1\r\nhost: x\r\n\r\n", PATHS[0]);
    let mut ask = || {
        stream.write_all(request.as_bytes()).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !heard.ends_with(b"}") {
            let read = stream.read(&mut buffer).unwrap();
            heard.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(heard).unwrap()
    };
    for version in 1..=30 {
        for _ in 0..3 {
            assert!(ask().contains(&format!("\r\netag: \"{version}\"\r\n")), "version {version}");
        }
        world.change(Method::PUT, "88.999.1/JXDY-1", &part(&format!("螺栓 {version}"))).await;
    }
}
