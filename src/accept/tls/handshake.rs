//! The handshake of one connection. Its time is the sweeper's affair; its memory is bounded by rustls.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::accept::watch::Pulse;
use crate::accept::wire::Socket;

/// How a handshake came out, when it was not cut short.
pub(in super::super) enum Shaken {
    Done(Box<TlsStream<Socket>>),
    /// The client speaks HTTP without TLS. Nothing was read yet.
    Cleartext(TcpStream),
    /// It came to nothing; the word is for the metrics. rustls has sent its alert, if it has one for the case.
    Failed(&'static str),
}

/// How handshakes end, for the metrics.
pub(super) const OUTCOMES: [&str; 8] =
    ["done", "timeout", "malformed", "nothing_in_common", "refused_by_client", "not_tls", "gone", "draining"];

/// Waits for the client's first byte and shakes hands.
pub(in super::super) async fn shake(stream: TcpStream, config: Arc<ServerConfig>, pulse: Arc<Pulse>) -> Shaken {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(1..) => {}
        Ok(0) | Err(_) => return Shaken::Failed("gone"),
    }
    // A TLS record begins with its type, 20 to 23 (RFC 8446, section 5.1); an HTTP request with a method's letter.
    if first.iter().all(u8::is_ascii_uppercase) {
        return Shaken::Cleartext(stream);
    }
    match TlsAcceptor::from(config).accept(Socket::new(stream, pulse)).await {
        Ok(stream) => Shaken::Done(Box::new(stream)),
        Err(error) => Shaken::Failed(word(&error)),
    }
}

fn word(error: &io::Error) -> &'static str {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        // Most often: it does not trust our certificate.
        Some(rustls::Error::AlertReceived(_)) => "refused_by_client",
        Some(rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol) => "nothing_in_common",
        Some(_) => "malformed",
        None => "gone",
    }
}
