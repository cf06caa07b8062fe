//! The same stage over TLS: every limit holds there too, and the certificate is replaced under a running node.
//!
//! The clients are rustls and hyper, not ours. rustls reports an end without close_notify as an error, so every
//! `read_to_end` here also checks that the end was announced.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mingpai::accept::{Certificates, Ending, Limits, Looked, PairFiles, Phase, Refusal, Settings, TlsSettings};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::{HOT, LONG, SHORT, Stage1, WAIT, here, patient};

/// A pair in a folder, and the certificate as a client is shown it.
struct Shop {
    folder: tempfile::TempDir,
    files: PairFiles,
}

impl Shop {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = PairFiles { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        Self { folder, files }
    }

    /// Puts a new pair there and gives its certificate.
    fn put(&self) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        write(&self.files.certificate, &made.cert.pem());
        write(&self.files.key, &made.signing_key.serialize_pem());
        made.cert.der().clone()
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A stage that speaks TLS and cleartext, and what its clients trust.
struct TlsStage {
    stage: Stage1,
    shop: Shop,
    certificates: Arc<Certificates>,
    shown: CertificateDer<'static>,
}

impl TlsStage {
    fn start(limits: Limits) -> Self {
        Self::start_with(limits, LONG)
    }

    fn start_with(limits: Limits, deadline: Duration) -> Self {
        let shop = Shop::new();
        let shown = shop.put();
        let certificates = Arc::new(Certificates::open(shop.files.clone()).unwrap());
        let free = || vec!["127.0.0.1:0".parse().unwrap()];
        let stage = Stage1::start_as(Settings {
            listen: free(),
            tls: Some(TlsSettings { listen: free(), certificates: Arc::clone(&certificates) }),
            workers: 2,
            pin_cores: false,
            fast_lane: true,
            limits,
            lame_duck: Duration::ZERO,
            deadline,
        });
        Self { stage, shop, certificates, shown }
    }

    fn socket(&self) -> TcpStream {
        let stream = TcpStream::connect(self.stage.tls_addresses[0]).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// A connection whose handshake is done.
    fn connect(&self) -> Tls {
        self.connect_as(&self.shown, &[&TLS13], &[]).unwrap()
    }

    fn connect_as(
        &self,
        trusted: &CertificateDer<'static>,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&str],
    ) -> std::io::Result<Tls> {
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(client_config(trusted, versions, alpn)), name).unwrap();
        let mut stream = StreamOwned::new(client, self.socket());
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    fn handshakes(&self, outcome: &str) -> u64 {
        let text = self.stage.metrics.render();
        let name = format!("mingpai_tls_handshakes_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
    }

    /// Returns when every connection is gone, as the node counts them.
    fn until_empty(&self) {
        while self.stage.metrics.accept.connections.get() > 0 {
            std::thread::yield_now();
        }
    }
}

fn client_config(
    trusted: &CertificateDer<'static>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[&str],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

/// Sends `text` and reads until the other side says that it closes.
fn talk(stream: &mut Tls, text: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    all_of(stream)
}

fn all_of(stream: &mut Tls) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Reads one answer whose body is `body`, leaving the connection open.
fn ask(stream: &mut Tls, text: &str, body: &str) -> String {
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(format!("\r\n\r\n{body}").as_bytes()) {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

/// An HTTP/2 connection by ALPN; the task ends with the connection.
async fn http2(
    tls: &TlsStage,
) -> (hyper::client::conn::http2::SendRequest<Full<Bytes>>, tokio::task::JoinHandle<hyper::Result<()>>) {
    let config = client_config(&tls.shown, &[&TLS13], &["h2", "http/1.1"]);
    let socket = tokio::net::TcpStream::connect(tls.stage.tls_addresses[0]).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

#[test]
fn both_versions_of_tls_and_both_of_http_are_spoken() {
    let tls = TlsStage::start(patient());
    for version in [&TLS12, &TLS13] {
        for (offered, chosen) in [(&["h2", "http/1.1"][..], Some("h2")), (&["http/1.1"], Some("http/1.1")), (&[], None)]
        {
            let mut stream = tls.connect_as(&tls.shown, &[version], offered).unwrap();
            assert_eq!(stream.conn.alpn_protocol(), chosen.map(str::as_bytes));
            assert_eq!(stream.conn.protocol_version(), Some(version.version));
            if chosen != Some("h2") {
                assert!(ask(&mut stream, HOT, "hot").starts_with("HTTP/1.1 200"));
            }
        }
    }
    here(async {
        let (mut sender, _connection) = http2(&tls).await;
        for (path, body) in [("/hot", "hot"), ("/echo", "0")] {
            let answer = sender.send_request(get(path)).await.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_2);
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), body);
        }
    });
    assert_eq!(tls.handshakes("done"), 7);
    assert_eq!(tls.stage.end(), Ending::Drained);
}

#[test]
fn a_client_that_speaks_neither_http_hears_so_in_the_handshake() {
    let tls = TlsStage::start(patient());
    let error = tls.connect_as(&tls.shown, &[&TLS13], &["imap"]).unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    tls.until_empty();
    assert_eq!(tls.handshakes("nothing_in_common"), 1);
    tls.stage.end();
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_counted() {
    let tls = TlsStage::start(patient());
    let stranger = Shop::new().put();
    assert!(tls.connect_as(&stranger, &[&TLS13], &[]).is_err());
    tls.until_empty();
    assert_eq!(tls.handshakes("refused_by_client"), 1);
    tls.stage.end();
}

#[test]
fn a_handshake_that_stalls_is_ended_by_its_own_time_out() {
    let tls = TlsStage::start(Limits { handshake_timeout: SHORT, ..patient() });
    // Nothing at all, and a record that never ends.
    for beginning in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let mut socket = tls.socket();
        socket.write_all(beginning).unwrap();
        assert_eq!(socket.read(&mut [0; 1]).unwrap(), 0);
    }
    tls.until_empty();
    assert_eq!(tls.handshakes("timeout"), 2);
    assert_eq!(tls.stage.metrics.accept.refusals("handshake_timeout"), 2);
    assert_eq!(tls.stage.refusals(Refusal::HeadLate), 0);
    // One that was done in time is not held to it any more.
    let mut stream = tls.connect();
    let mut other = tls.socket();
    assert_eq!(other.read(&mut [0; 1]).unwrap(), 0, "a whole handshake time-out has passed");
    ask(&mut stream, HOT, "hot");
    tls.stage.end();
}

#[test]
fn a_handshake_that_is_garbage_is_answered_with_an_alert_and_counted() {
    let tls = TlsStage::start(patient());
    let mut socket = tls.socket();
    socket.write_all(&[22, 3, 1, 0, 8, 1, 0, 0, 4, 9, 9, 9, 9]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&21), "a TLS alert: {answer:?}");
    tls.until_empty();
    assert_eq!(tls.handshakes("malformed"), 1);
    let mut socket = tls.socket();
    // Closed while it is still being sent, so either side of this may fail.
    let _ = socket.write_all(&[0xff; 100_000]);
    let _ = socket.read_to_end(&mut answer);
    tls.until_empty();
    assert_eq!(tls.handshakes("malformed"), 2);
    // Gone without a word, as a port scanner is.
    drop(tls.socket());
    while tls.handshakes("gone") == 0 {
        std::thread::yield_now();
    }
    tls.stage.end();
}

#[test]
fn http_without_tls_is_told_so_in_http() {
    let tls = TlsStage::start(patient());
    let answer = crate::talk(&tls.socket(), HOT);
    assert!(answer.starts_with("HTTP/1.1 400") && answer.ends_with("not_tls"), "{answer}");
    let answer = crate::talk(&tls.socket(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(answer.ends_with("not_tls"), "{answer}");
    assert_eq!(tls.stage.refusals(Refusal::NotTls), 2);
    assert_eq!(tls.handshakes("not_tls"), 2);
    tls.stage.end();
}

#[test]
fn tls_where_cleartext_is_spoken_fails_at_once() {
    let tls = TlsStage::start(patient());
    let name = ServerName::try_from("localhost").unwrap();
    let config = client_config(&tls.shown, &[&TLS13], &[]);
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let error = client.complete_io(&mut tls.stage.connect()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    while tls.stage.metrics.accept.refusals("malformed") == 0 {
        std::thread::yield_now();
    }
    tls.stage.end();
}

#[test]
fn a_head_that_drips_is_408_over_tls() {
    let tls = TlsStage::start(Limits { header_timeout: SHORT, ..patient() });
    let answer = talk(&mut tls.connect(), "GET /hot HTTP/1.1\r\nhost: x\r\n");
    assert!(answer.starts_with("HTTP/1.1 408") && answer.ends_with("header_timeout"), "{answer}");
    // The same on a connection that has asked before, with not even a whole record.
    let mut stream = tls.connect();
    ask(&mut stream, HOT, "hot");
    stream.sock.write_all(&[23, 3, 3, 0, 100, 1]).unwrap();
    assert!(all_of(&mut stream).starts_with("HTTP/1.1 408"));
    assert_eq!(tls.stage.refusals(Refusal::HeadLate), 2);
    tls.stage.end();
}

#[test]
fn a_client_of_tls_that_never_asks_is_closed() {
    let tls = TlsStage::start(Limits { header_timeout: SHORT, ..patient() });
    let mut stream = tls.connect();
    assert_eq!(stream.sock.read(&mut [0; 4096]).map(|read| read > 0).ok(), Some(true), "session tickets");
    while stream.sock.read(&mut [0; 4096]).unwrap() > 0 {}
    assert_eq!(tls.stage.refusals(Refusal::HeadLate), 1);
    tls.stage.end();
}

#[test]
fn an_idle_connection_over_tls_is_closed() {
    let tls = TlsStage::start(Limits { idle_timeout: SHORT, ..patient() });
    let answer = talk(&mut tls.connect(), HOT);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hot"), "{answer}");
    tls.stage.end();
}

#[test]
fn bodies_over_tls_are_bounded_in_time_and_size() {
    let tls = TlsStage::start(Limits { body_timeout: SHORT, ..patient() });
    let answer = talk(&mut tls.connect(), "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n123");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let mut stream = tls.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n").unwrap();
    stream.write_all(&vec![b'x'; 100_000]).unwrap();
    assert!(all_of(&mut stream).starts_with("HTTP/1.1 413"));
    tls.stage.end();
}

#[test]
fn a_client_of_tls_that_takes_nothing_of_its_answer_is_cut_off() {
    let tls = TlsStage::start(Limits { write_timeout: SHORT, ..patient() });
    let mut stream = tls.connect();
    stream.write_all(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    while tls.stage.metrics.accept.refusals("write_timeout") == 0 {
        std::thread::yield_now();
    }
    let mut taken = Vec::new();
    let end = stream.read_to_end(&mut taken);
    assert!(end.is_err() && taken.len() < 64 << 20, "cut off, not ended: {end:?}");
    tls.stage.end();
}

#[test]
fn a_connection_too_many_hears_503_over_tls() {
    let tls = TlsStage::start(Limits { connections: 2, ..patient() });
    let mut first = tls.connect();
    ask(&mut first, HOT, "hot");
    // A handshake that is not done has a place as well.
    let stalled = tls.socket();
    while tls.stage.metrics.accept.connections.get() < 2 {
        std::thread::yield_now();
    }
    let mut late = tls.connect_as(&tls.shown, &[&TLS13], &["h2", "http/1.1"]).unwrap();
    assert_eq!(late.conn.alpn_protocol(), Some(&b"http/1.1"[..]), "what is said must be what was agreed on");
    let answer = all_of(&mut late);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("connections"), "{answer}");
    assert_eq!(tls.stage.refusals(Refusal::TooManyConnections), 1);
    ask(&mut first, HOT, "hot");
    drop(stalled);
    tls.stage.end();
}

#[test]
fn a_drain_over_tls_lets_the_running_request_end_and_announces_each_end() {
    let tls = TlsStage::start(patient());
    let (mut waiting, mut idle, mut silent) = (tls.connect(), tls.connect(), tls.connect());
    // Its handshake is not done: nobody waits for it.
    let mut stalled = tls.socket();
    waiting.write_all(WAIT.as_bytes()).unwrap();
    tls.stage.until_waiting(1);
    ask(&mut idle, HOT, "hot");
    while tls.stage.metrics.accept.connections.get() < 4 {
        std::thread::yield_now();
    }
    let (toy, address) = (Arc::clone(&tls.stage.toy), tls.stage.tls_addresses[0]);
    tls.stage.lifecycle.stop();
    let waiter = std::thread::spawn(move || tls.stage.running.wait().unwrap());
    assert_eq!(all_of(&mut idle), "");
    assert_eq!(all_of(&mut silent), "");
    assert_eq!(stalled.read(&mut [0; 1]).unwrap(), 0);
    while TcpStream::connect(address).is_ok() {
        std::thread::yield_now();
    }
    toy.gate.add_permits(1);
    let answer = all_of(&mut waiting);
    assert!(answer.ends_with("waited") && answer.contains("connection: close"), "{answer}");
    assert_eq!(waiter.join().unwrap(), Ending::Drained);
}

#[test]
fn an_http2_connection_over_tls_drains_after_its_streams() {
    let tls = TlsStage::start(patient());
    here(async {
        let (mut sender, connection) = http2(&tls).await;
        let request = tokio::spawn(sender.send_request(get("/wait")));
        tls.stage.toy.waiting.acquire().await.unwrap().forget();
        let (toy, lifecycle) = (Arc::clone(&tls.stage.toy), tls.stage.lifecycle.clone());
        lifecycle.stop();
        let waiter = std::thread::spawn(move || tls.stage.running.wait().unwrap());
        lifecycle.reached(Phase::Draining).await;
        toy.gate.add_permits(1);
        let answer = request.await.unwrap().unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "waited");
        connection.await.unwrap().expect("GOAWAY and close_notify, no broken connection");
        assert_eq!(waiter.join().unwrap(), Ending::Drained);
    });
}

#[test]
fn streams_over_tls_are_bounded_too() {
    let tls = TlsStage::start(Limits { h2_streams: 2, ..patient() });
    here(async {
        let (mut sender, _connection) = http2(&tls).await;
        sender.send_request(get("/hot")).await.unwrap();
        let requests: Vec<_> = (0..5).map(|_| tokio::spawn(sender.send_request(get("/wait")))).collect();
        tls.stage.toy.waiting.acquire_many(2).await.unwrap().forget();
        assert_eq!(tls.stage.metrics.accept.requests_in_flight.get(), 2);
        tls.stage.toy.gate.add_permits(5);
        for request in requests {
            assert_eq!(request.await.unwrap().unwrap().status(), 200);
        }
    });
    tls.stage.end();
}

#[test]
fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let tls = TlsStage::start(patient());
    let mut old = tls.connect();
    ask(&mut old, HOT, "hot");
    assert!(matches!(tls.certificates.look(), Looked::Unchanged));
    let new = tls.shop.put();
    assert!(matches!(tls.certificates.look(), Looked::Replaced));
    let mut stream = tls.connect_as(&new, &[&TLS13], &[]).unwrap();
    ask(&mut stream, HOT, "hot");
    assert!(tls.connect_as(&tls.shown, &[&TLS13], &[]).is_err(), "the old one is not shown any more");
    ask(&mut old, HOT, "hot");
    tls.stage.end();
}

#[test]
fn a_client_cannot_resume_on_a_certificate_that_was_replaced() {
    let tls = TlsStage::start(patient());
    let config = Arc::new(client_config(&tls.shown, &[&TLS13], &[]));
    let again = || {
        let client = ClientConnection::new(Arc::clone(&config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut stream = StreamOwned::new(client, tls.socket());
        stream.write_all(HOT.as_bytes())?;
        stream.read_exact(&mut [0; 12])?;
        Ok::<_, std::io::Error>(stream.conn.handshake_kind())
    };
    assert_eq!(again().unwrap(), Some(rustls::HandshakeKind::Full));
    assert_eq!(again().unwrap(), Some(rustls::HandshakeKind::Resumed));
    tls.shop.put();
    tls.certificates.look();
    assert!(again().is_err(), "a full handshake, and its certificate is not the trusted one");
    tls.stage.end();
}

#[test]
fn a_broken_pair_leaves_the_old_one_in_use() {
    let tls = TlsStage::start(patient());
    let other = Shop::new();
    other.put();
    let good = std::fs::read_to_string(&tls.shop.files.key).unwrap();
    for (key, wanted) in [
        (std::fs::read_to_string(&other.files.key).unwrap(), "does not belong to"),
        (String::new(), "no private key in PEM"),
        (good[..good.len() / 2].to_owned(), "no private key in PEM"),
    ] {
        write(&tls.shop.files.key, &key);
        match tls.certificates.look() {
            Looked::Kept(error) => assert!(error.to_string().contains(wanted), "{error}"),
            other => panic!("{other:?}"),
        }
        ask(&mut tls.connect(), HOT, "hot");
    }
    std::fs::remove_file(&tls.shop.files.certificate).unwrap();
    assert!(matches!(tls.certificates.look(), Looked::Kept(_)));
    ask(&mut tls.connect(), HOT, "hot");
    let new = tls.shop.put();
    assert!(matches!(tls.certificates.look(), Looked::Replaced));
    assert!(tls.connect_as(&new, &[&TLS13], &[]).is_ok());
    assert!(tls.shop.folder.path().exists());
    tls.stage.end();
}
