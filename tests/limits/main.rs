//! The accept stage under bad clients: each limit, each time-out, the drain, over real sockets.
//!
//! A toy answerer stands in for the node. What is hot goes by the fast lane, all else by hyper after it. Time-outs are
//! configured short and seen by what they do to the connection; nothing sleeps to wait for something.
#![allow(clippy::unwrap_used, reason = "a test may end where it finds something wrong")]

mod tls;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mingpai::accept::{
    self, Answerer, Ending, Inbound, InboundError, Lifecycle, Limits, Outbound, Phase, Plain, Refusal, Running,
    Settings,
};
use mingpai::config::LimitsSpec;
use mingpai::metrics::{Metrics, Outcome, Stage, Transport};
use tokio::sync::Semaphore;

/// A time-out that a test waits for.
const SHORT: Duration = Duration::from_millis(200);
/// What must not pass while a test runs.
const LONG: Duration = Duration::from_secs(60);

/// `/hot` at once; `/wait` when the gate opens; `/echo` the body's length; `/panic`; `/big` a long answer.
struct Toy {
    gate: Semaphore,
    waiting: Semaphore,
}

impl Answerer for Toy {
    fn hot(&self, _: &Method, uri: &Uri, _: &HeaderMap) -> Option<Response<Outbound>> {
        (uri.path() == "/hot").then(|| Response::new(Outbound::whole("hot")))
    }

    fn hot_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let date = asked.date;
        let body = if asked.is_head { "" } else { "hot" };
        let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: 3\r\ndate: {date}\r\n\r\n{body}");
        (asked.path == "/hot").then(|| out.extend_from_slice(whole.as_bytes())).map(|()| 200)
    }

    async fn answer(&self, request: Request<Inbound>) -> Response<Outbound> {
        match request.uri().path() {
            "/wait" => {
                self.waiting.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Response::new(Outbound::whole("waited"))
            }
            "/echo" => match request.into_body().with_limit(1000).collect().await {
                Ok(body) => Response::new(Outbound::whole(body.to_bytes().len().to_string())),
                Err(InboundError::TooLarge { .. }) => status(StatusCode::PAYLOAD_TOO_LARGE),
                Err(InboundError::Stalled { .. }) => status(StatusCode::REQUEST_TIMEOUT),
                Err(InboundError::Broken(_)) => status(StatusCode::BAD_REQUEST),
            },
            "/panic" => panic!("the answerer panics, as asked"),
            "/big" => Response::new(Outbound::stream(Full::new(Bytes::from(vec![0; 64 << 20])))),
            _ => status(StatusCode::NOT_FOUND),
        }
    }

    fn refuse(&self, refusal: Refusal, _: &HeaderMap) -> Response<Outbound> {
        let mut response = Response::new(Outbound::whole(refusal.word()));
        *response.status_mut() = match refusal {
            Refusal::UriTooLong => StatusCode::URI_TOO_LONG,
            Refusal::NoSingleHost | Refusal::OddFraming | Refusal::NotTls => StatusCode::BAD_REQUEST,
            Refusal::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::TooManyRequests | Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::HeadLate => StatusCode::REQUEST_TIMEOUT,
            Refusal::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        };
        response
    }
}

fn status(status: StatusCode) -> Response<Outbound> {
    let mut response = Response::new(Outbound::empty());
    *response.status_mut() = status;
    response
}

fn patient() -> Limits {
    let limits = Limits::of(&LimitsSpec::default());
    Limits {
        handshake_timeout: LONG,
        header_timeout: LONG,
        idle_timeout: LONG,
        body_timeout: LONG,
        write_timeout: LONG,
        ..limits
    }
}

/// A running accept stage on free ports.
struct Stage1 {
    toy: Arc<Toy>,
    metrics: Arc<Metrics>,
    lifecycle: Lifecycle,
    addresses: Vec<SocketAddr>,
    tls_addresses: Vec<SocketAddr>,
    running: Running,
}

impl Stage1 {
    fn start(limits: Limits) -> Self {
        Self::start_with(limits, Duration::ZERO, LONG)
    }

    fn start_with(limits: Limits, lame_duck: Duration, deadline: Duration) -> Self {
        let listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
        Self::start_as(Settings {
            listen,
            tls: None,
            workers: 2,
            pin_cores: false,
            fast_lane: true,
            limits,
            lame_duck,
            deadline,
        })
    }

    fn start_as(settings: Settings) -> Self {
        let bound = accept::bind(settings).unwrap();
        let (addresses, tls_addresses) = (bound.addresses().to_vec(), bound.tls_addresses().to_vec());
        let toy = Arc::new(Toy { gate: Semaphore::new(0), waiting: Semaphore::new(0) });
        let (metrics, lifecycle) = (Arc::new(Metrics::new()), Lifecycle::new());
        lifecycle.set_ready();
        let running = bound.serve(Arc::clone(&toy), lifecycle.clone(), Arc::clone(&metrics)).unwrap();
        Self { toy, metrics, lifecycle, addresses, tls_addresses, running }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    fn refusals(&self, refusal: Refusal) -> u64 {
        self.metrics.accept.refusals(refusal.word())
    }

    /// Returns when `count` more requests have reached `/wait`.
    fn until_waiting(&self, count: u32) {
        here(self.toy.waiting.acquire_many(count)).unwrap().forget();
    }

    fn end(self) -> Ending {
        self.lifecycle.stop();
        self.running.wait().unwrap()
    }
}

fn here<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}

/// A client that knows that the server speaks HTTP/2.
fn http2() -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// Sends `text` and reads until the other side closes.
fn talk(mut stream: &TcpStream, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    all_of(stream)
}

fn all_of(mut stream: &TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer whose body is `body`, leaving the connection open.
fn read_until(mut stream: &TcpStream, body: &str) -> String {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

const HOT: &str = "GET /hot HTTP/1.1\r\nhost: x\r\n\r\n";
const WAIT: &str = "GET /wait HTTP/1.1\r\nhost: x\r\n\r\n";

#[test]
fn both_address_families_answer_on_both_protocols() {
    let stage = Stage1::start(patient());
    assert!(stage.addresses[0].is_ipv4() && stage.addresses[1].is_ipv6());
    here(async {
        for address in &stage.addresses {
            for is_http2 in [false, true] {
                let client: Client<_, Full<Bytes>> =
                    Client::builder(TokioExecutor::new()).http2_only(is_http2).build_http();
                for (path, body) in [("hot", "hot"), ("echo", "0")] {
                    let answer = client.get(format!("http://{address}/{path}").parse().unwrap()).await.unwrap();
                    assert_eq!(answer.version() == http::Version::HTTP_2, is_http2);
                    assert!(answer.headers().contains_key("date"));
                    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
                }
            }
        }
    });
    for transport in [Transport::Http1, Transport::Http2] {
        assert_eq!(stage.metrics.requests.count(Stage::Total, transport, Outcome::Hit), 2);
        assert_eq!(stage.metrics.requests.count(Stage::Total, transport, Outcome::Ok), 2);
    }
    assert_eq!(stage.end(), Ending::Drained);
}

#[test]
fn a_port_that_is_taken_is_refused_with_its_address_and_a_remedy() {
    let stage = Stage1::start(patient());
    for workers in [1, 2] {
        let taken = stage.addresses[1];
        let error = accept::bind(Settings {
            listen: vec![taken],
            tls: None,
            workers,
            pin_cores: false,
            fast_lane: true,
            limits: patient(),
            lame_duck: Duration::ZERO,
            deadline: LONG,
        })
        .unwrap_err();
        assert!(error.to_string().contains(&taken.to_string()), "{error}");
        assert!(error.to_string().contains("--listen"), "{error}");
    }
    stage.end();
}

#[test]
fn a_target_beyond_its_limit_is_414() {
    let stage = Stage1::start(Limits { uri_bytes: 300, ..patient() });
    let target =
        |length: usize| format!("GET /{} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "a".repeat(length - 1));
    assert!(talk(&stage.connect(), &target(300)).starts_with("HTTP/1.1 404"));
    let answer = talk(&stage.connect(), &target(301));
    assert!(answer.starts_with("HTTP/1.1 414") && answer.ends_with("uri_too_long"), "{answer}");
    assert_eq!(stage.refusals(Refusal::UriTooLong), 1);
    stage.end();
}

#[test]
fn headers_beyond_their_limits_are_431() {
    let stage = Stage1::start(Limits { header_bytes: 2000, header_count: 20, uri_bytes: 300, ..patient() });
    let with = |headers: String| format!("GET /hot HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
    let many = |count: usize| with((0..count).map(|at| format!("a{at}: b\r\n")).collect());
    let large = |length: usize| with(format!("a: {}\r\n", "b".repeat(length)));
    assert!(talk(&stage.connect(), &many(18)).starts_with("HTTP/1.1 200"));
    assert!(talk(&stage.connect(), &large(1900)).starts_with("HTTP/1.1 200"));
    for request in [many(19), large(2000)] {
        let answer = talk(&stage.connect(), &request);
        assert!(answer.starts_with("HTTP/1.1 431") && answer.ends_with("headers_too_large"), "{answer}");
    }
    assert_eq!(stage.refusals(Refusal::HeadersTooLarge), 2);
    // So large that it is not read to its end: hyper's own answer, without a body.
    let answer = talk(&stage.connect(), &large(9000));
    assert!(answer.starts_with("HTTP/1.1 431") && answer.ends_with("\r\n\r\n"), "{answer}");
    stage.end();
}

#[test]
fn a_request_without_exactly_one_host_is_refused() {
    let stage = Stage1::start(patient());
    for hosts in ["", "host: x\r\nhost: y\r\n"] {
        let answer = talk(&stage.connect(), &format!("GET /hot HTTP/1.1\r\n{hosts}connection: close\r\n\r\n"));
        assert!(answer.ends_with("host"), "{answer}");
    }
    stage.end();
}

#[test]
fn a_body_whose_end_is_in_doubt_is_refused_and_nothing_after_it_is_answered() {
    let stage = Stage1::start(patient());
    for codings in
        ["transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n", "transfer-encoding: identity, chunked\r\n"]
    {
        let answer = talk(
            &stage.connect(),
            &format!("POST /echo HTTP/1.1\r\nhost: x\r\n{codings}\r\n0\r\n\r\nGET /hot HTTP/1.1\r\nhost: x\r\n\r\n"),
        );
        assert!(answer.ends_with("framing"), "{answer}");
    }
    stage.end();
}

#[test]
fn bytes_that_are_no_http_are_400() {
    let stage = Stage1::start(patient());
    assert!(talk(&stage.connect(), "\u{16}\u{3}\u{1} not http\r\n\r\n").starts_with("HTTP/1.1 400"));
    assert!(talk(&stage.connect(), "PRI * HTTP/2.0\r\n\r\nXX").starts_with("HTTP/1.1 400"));
    stage.end();
}

#[test]
fn a_head_that_drips_is_408_and_closed() {
    let stage = Stage1::start(Limits { header_timeout: SHORT, ..patient() });
    let stream = stage.connect();
    let answer = talk(&stream, "GET /hot HTTP/1.1\r\nhost: x\r\n");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("header_timeout"), "{answer}");
    assert_eq!(stage.refusals(Refusal::HeadLate), 1);
    stage.end();
}

#[test]
fn a_client_that_never_speaks_is_closed() {
    let stage = Stage1::start(Limits { header_timeout: SHORT, ..patient() });
    for beginning in ["", "PRI * HT"] {
        assert_eq!(talk(&stage.connect(), beginning), "");
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    talk(&stage.connect(), preface);
    assert_eq!(stage.refusals(Refusal::HeadLate), 3);
    stage.end();
}

#[test]
fn a_kept_alive_connection_that_idles_is_closed() {
    let stage = Stage1::start(Limits { idle_timeout: SHORT, ..patient() });
    let answer = talk(&stage.connect(), HOT);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hot"), "{answer}");
    stage.end();
}

#[test]
fn an_idle_time_out_does_not_touch_a_request_in_flight() {
    let stage = Stage1::start(Limits { idle_timeout: SHORT, header_timeout: SHORT, write_timeout: SHORT, ..patient() });
    let (waiting, idle) = (stage.connect(), stage.connect());
    (&waiting).write_all(WAIT.as_bytes()).unwrap();
    stage.until_waiting(1);
    // Another connection lives through its whole idle time meanwhile.
    talk(&idle, HOT);
    stage.toy.gate.add_permits(1);
    assert!(all_of(&waiting).ends_with("waited"));
    stage.end();
}

#[test]
fn a_body_that_stops_is_seen_by_its_reader() {
    let stage = Stage1::start(Limits { body_timeout: SHORT, ..patient() });
    let answer = talk(&stage.connect(), "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    stage.end();
}

#[test]
fn a_body_beyond_its_limit_is_seen_by_its_reader() {
    let stage = Stage1::start(patient());
    let echo = |rest: &str| format!("POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{rest}");
    let answer = talk(&stage.connect(), &echo(&format!("content-length: 1000\r\n\r\n{}", "x".repeat(1000))));
    assert!(answer.ends_with("\r\n\r\n1000"), "{answer}");
    // Declared: answered before the body is sent, and the client is not told to go on.
    let answer = talk(&stage.connect(), &echo("content-length: 1001\r\nexpect: 100-continue\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // A petabyte declared costs nothing.
    let answer = talk(&stage.connect(), &echo("content-length: 1000000000000000\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Undeclared: answered when the limit is passed.
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    let answer = talk(&stage.connect(), &echo(&format!("transfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    stage.end();
}

#[test]
fn a_connection_too_many_hears_503_and_the_others_go_on() {
    let stage = Stage1::start(Limits { connections: 2, ..patient() });
    let (first, second) = (stage.connect(), stage.connect());
    for stream in [&first, &second] {
        (&mut &*stream).write_all(HOT.as_bytes()).unwrap();
        read_until(stream, "hot");
    }
    let answer = talk(&stage.connect(), HOT);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("connections"), "{answer}");
    assert_eq!(stage.refusals(Refusal::TooManyConnections), 1);
    (&first).write_all(HOT.as_bytes()).unwrap();
    read_until(&first, "hot");
    stage.end();
}

#[test]
fn a_request_too_many_hears_503_while_hot_answers_go_on() {
    let stage = Stage1::start(Limits { requests_in_flight: 2, ..patient() });
    let waiting = [stage.connect(), stage.connect()];
    for stream in &waiting {
        (&mut &*stream).write_all(WAIT.as_bytes()).unwrap();
    }
    stage.until_waiting(2);
    let stream = stage.connect();
    (&stream).write_all(WAIT.as_bytes()).unwrap();
    assert!(read_until(&stream, "requests_in_flight").starts_with("HTTP/1.1 503"));
    (&stream).write_all(HOT.as_bytes()).unwrap();
    assert!(read_until(&stream, "hot").starts_with("HTTP/1.1 200"));
    stage.toy.gate.add_permits(2);
    for stream in &waiting {
        read_until(stream, "waited");
    }
    // Their places are free again.
    stage.toy.gate.add_permits(1);
    (&stream).write_all(WAIT.as_bytes()).unwrap();
    assert!(read_until(&stream, "waited").starts_with("HTTP/1.1 200"));
    assert_eq!(stage.refusals(Refusal::TooManyRequests), 1);
    stage.end();
}

#[test]
fn a_panic_is_500_and_costs_no_place() {
    let stage = Stage1::start(Limits { requests_in_flight: 1, ..patient() });
    let stream = stage.connect();
    for _ in 0..3 {
        (&stream).write_all(b"GET /panic HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
        assert!(read_until(&stream, "panicked").starts_with("HTTP/1.1 500"));
    }
    stage.end();
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let stage = Stage1::start(Limits { write_timeout: SHORT, ..patient() });
    let stream = stage.connect();
    (&stream).write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    // Not read here: the socket's buffers fill up, and the place in flight comes free only by the time-out.
    while stage.metrics.accept.refusals("write_timeout") == 0 {
        std::thread::yield_now();
    }
    let mut taken = Vec::new();
    // Reset or ended; either way short of the whole.
    let _ = (&stream).read_to_end(&mut taken);
    assert!(taken.len() < 64 << 20);
    stage.end();
}

#[test]
fn a_refused_body_that_is_still_being_sent_does_not_cost_the_answer() {
    let stage = Stage1::start(patient());
    let mut stream = stage.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n").unwrap();
    stream.write_all(&vec![b'x'; 100_000]).unwrap();
    assert!(all_of(&stream).starts_with("HTTP/1.1 413"));
    stage.end();
}

#[test]
fn a_stray_line_end_holds_no_answer_back() {
    let stage = Stage1::start(patient());
    let stream = stage.connect();
    (&stream).write_all(format!("{HOT}\r\n").as_bytes()).unwrap();
    read_until(&stream, "hot");
    (&stream).write_all(HOT.as_bytes()).unwrap();
    read_until(&stream, "hot");
    stage.end();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let stage = Stage1::start(patient());
    let last = "GET /hot HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = talk(&stage.connect(), &format!("{HOT}GET /none HTTP/1.1\r\nhost: x\r\n\r\n{last}"));
    let statuses: Vec<_> = answer.match_indices("HTTP/1.1 ").map(|(at, _)| &answer[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "404", "200"]);
    stage.end();
}

#[test]
fn a_drain_lets_the_running_request_end_and_takes_no_new_connection() {
    let stage = Stage1::start(patient());
    let (waiting, idle) = (stage.connect(), stage.connect());
    (&waiting).write_all(WAIT.as_bytes()).unwrap();
    stage.until_waiting(1);
    (&idle).write_all(HOT.as_bytes()).unwrap();
    read_until(&idle, "hot");

    let (toy, address) = (Arc::clone(&stage.toy), stage.addresses[0]);
    assert!(stage.lifecycle.is_ready());
    stage.lifecycle.stop();
    assert!(!stage.lifecycle.is_ready());
    let waiter = std::thread::spawn(move || stage.running.wait().unwrap());
    // The idle one is closed at once; each worker closes its own listener.
    assert_eq!(all_of(&idle), "");
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    toy.gate.add_permits(1);
    let answer = all_of(&waiting);
    assert!(answer.ends_with("waited") && answer.contains("connection: close"), "{answer}");
    assert_eq!(waiter.join().unwrap(), Ending::Drained);
}

#[test]
fn a_lame_duck_still_serves_new_connections() {
    let stage = Stage1::start_with(patient(), LONG, LONG);
    stage.lifecycle.stop();
    assert_eq!(stage.lifecycle.phase(), Phase::LameDuck);
    let stream = stage.connect();
    (&stream).write_all(HOT.as_bytes()).unwrap();
    read_until(&stream, "hot");
    let lifecycle = stage.lifecycle.clone();
    let waiter = std::thread::spawn(move || stage.running.wait().unwrap());
    lifecycle.stop();
    assert_eq!(waiter.join().unwrap(), Ending::CutOff { connections: 1 });
}

#[test]
fn the_second_stop_cuts_off_what_still_runs() {
    let stage = Stage1::start(patient());
    let waiting = stage.connect();
    (&waiting).write_all(WAIT.as_bytes()).unwrap();
    stage.until_waiting(1);
    let lifecycle = stage.lifecycle.clone();
    lifecycle.stop();
    let waiter = std::thread::spawn(move || stage.running.wait().unwrap());
    lifecycle.stop();
    assert_eq!(waiter.join().unwrap(), Ending::CutOff { connections: 1 });
    assert_eq!((&waiting).read(&mut [0; 8]).unwrap_or(0), 0, "no answer was made up");
}

#[test]
fn a_deadline_ends_a_drain_that_would_not() {
    let stage = Stage1::start_with(patient(), Duration::ZERO, SHORT);
    let waiting = stage.connect();
    (&waiting).write_all(WAIT.as_bytes()).unwrap();
    stage.until_waiting(1);
    assert_eq!(stage.end(), Ending::CutOff { connections: 1 });
}

#[test]
fn an_http2_connection_drains_after_its_streams() {
    let stage = Stage1::start(patient());
    let uri: Uri = format!("http://{}/wait", stage.addresses[1]).parse().unwrap();
    let (toy, lifecycle) = (Arc::clone(&stage.toy), stage.lifecycle.clone());
    let waiter = std::thread::spawn(move || stage.running.wait().unwrap());
    here(async {
        let request = tokio::spawn(http2().get(uri));
        toy.waiting.acquire().await.unwrap().forget();
        lifecycle.stop();
        lifecycle.reached(Phase::Draining).await;
        toy.gate.add_permits(1);
        let answer = request.await.unwrap().unwrap();
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "waited");
    });
    assert_eq!(waiter.join().unwrap(), Ending::Drained);
}

#[test]
fn streams_beyond_the_limit_wait_their_turn() {
    let stage = Stage1::start(Limits { h2_streams: 2, ..patient() });
    let uri: Uri = format!("http://{}/wait", stage.addresses[0]).parse().unwrap();
    here(async {
        let client = http2();
        let hot = format!("http://{}/hot", stage.addresses[0]);
        // Its settings are known only after the first answer; earlier streams would be refused, to be repeated.
        client.get(hot.parse().unwrap()).await.unwrap();
        let requests: Vec<_> = (0..5).map(|_| tokio::spawn(client.get(uri.clone()))).collect();
        stage.toy.waiting.acquire_many(2).await.unwrap().forget();
        assert_eq!(stage.metrics.accept.requests_in_flight.get(), 2);
        stage.toy.gate.add_permits(5);
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().status(), 200);
        }
    });
    stage.end();
}
