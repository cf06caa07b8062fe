//! The whole client against a server that misbehaves in a known way.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::drive::Run;
use crate::plan::Plan;
use crate::report::Report;

/// A server with a thread a connection; `answer` makes each answer from the number of the request on its connection.
fn server(answer: impl Fn(u64) -> Vec<u8> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || serve(socket, answer));
        }
    });
    address
}

fn serve(mut socket: TcpStream, answer: impl Fn(u64) -> Vec<u8>) {
    let (mut bytes, mut rest) = (vec![0; 4096], Vec::new());
    let mut count = 0;
    while let Ok(read @ 1..) = socket.read(&mut bytes) {
        rest.extend_from_slice(&bytes[..read]);
        while let Some(end) = memchr::memmem::find(&rest, b"\r\n\r\n") {
            rest.drain(..end + 4);
            if socket.write_all(&answer(count)).is_err() {
                return;
            }
            count += 1;
        }
    }
}

fn ran(address: SocketAddr, stream: &str) -> Report {
    let text = format!(
        r#"{{"address":"{address}","seconds":0.5,"warm_seconds":0,"streams":[{{"name":"s","sources":[{{"path":"/{{n}}","body_bytes":2}}],{stream}}}]}}"#
    );
    let plan: Plan = serde_json::from_str(&text).expect("a plan");
    plan.check().expect("a good plan");
    Run::new(&plan).expect("connections").complete().expect("a report")
}

fn good(_: u64) -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec()
}

#[test]
fn every_request_of_the_open_loop_is_sent_and_answered_once() {
    let report = ran(server(good), r#""connections":4,"rate":1000"#);
    assert!(report.is_good(), "{:?}", report.streams[0].bad);
    assert_eq!(report.streams[0].answers, 500);
}

#[test]
fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
    // The one connection is held up for 200 ms: of 1,000 requests a second 200 were due meanwhile.
    let answer = |count| {
        if count == 50 {
            thread::sleep(Duration::from_millis(200));
        }
        good(count)
    };
    let report = ran(server(answer), r#""connections":1,"rate":1000"#);
    let stream = &report.streams[0];
    assert!(report.is_good(), "{:?}", stream.bad);
    assert_eq!(stream.answers, 500);
    assert!(stream.microseconds["max"] >= 199_000.0, "{:?}", stream.microseconds);
    // 200 of 500 waited, evenly between 0 and 200 ms: the last tenth of all waited for over 140.
    assert!(stream.microseconds["p90"] >= 140_000.0, "{:?}", stream.microseconds);
}

#[test]
fn a_pipelined_closed_loop_counts_each_answer() {
    let report = ran(server(good), r#""connections":2,"depth":16"#);
    assert!(report.is_good(), "{:?}", report.streams[0].bad);
    assert!(report.streams[0].answers >= 32);
    assert_eq!(report.streams[0].body_bytes, 2 * report.streams[0].answers);
}

#[test]
fn a_refusal_or_an_answer_of_another_length_is_not_an_answer() {
    let cases: [(&[u8], &str); 2] = [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno", "status 503 instead of 200"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", "a body of another length"),
    ];
    for (bytes, told) in cases {
        let report = ran(server(move |_| bytes.to_vec()), r#""connections":2"#);
        let stream = &report.streams[0];
        assert!(!report.is_good());
        assert_eq!(stream.answers, 0);
        assert!(stream.bad[told] > 0, "{:?}", stream.bad);
    }
}

#[test]
fn a_server_that_hangs_up_ends_the_run_in_bounded_time() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(drop));
    let started = Instant::now();
    let text = format!(
        r#"{{"address":"{address}","seconds":0.5,"streams":[{{"name":"s","connections":2,"sources":[{{"path":"/"}}]}}]}}"#
    );
    let plan: Plan = serde_json::from_str(&text).expect("a plan");
    let ended = Run::new(&plan).expect("connections").complete();
    assert!(ended.is_err() || ended.is_ok_and(|report| !report.is_good()));
    assert!(started.elapsed() < Duration::from_secs(10));
}
