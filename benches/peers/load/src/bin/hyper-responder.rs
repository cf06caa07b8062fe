//! The least that hyper can do: `hyper-responder PORT FILE` answers the status, headers and body of FILE to every request.
//!
//! One thread. hyper writes `date` and `content-length` itself, as it does for everybody.

use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{HeaderMap, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, file] = arguments.as_slice() else { return Err("usage: hyper-responder PORT FILE".into()) };
    let (headers, body) = parsed(&std::fs::read(file)?)?;
    let port: u16 = port.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let (headers, body) = (headers.clone(), body.clone());
            tokio::spawn(async move {
                let answer = service_fn(move |_| {
                    let mut response = Response::new(Full::new(body.clone()));
                    *response.headers_mut() = headers.clone();
                    async move { Ok::<_, Infallible>(response) }
                });
                let http = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(socket), answer);
                // A client that goes away is the end of its connection, and nothing else.
                let _ = http.await;
            });
        }
    })
}

fn parsed(file: &[u8]) -> Result<(HeaderMap, Bytes), Box<dyn Error>> {
    let end = memchr::memmem::find(file, b"\r\n\r\n").ok_or("the file has no end of a head")?;
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(&file[..end])?.split("\r\n").skip(1) {
        let (name, value) = line.split_once(": ").ok_or("a line of the head is not a header")?;
        if !["content-length", "date"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
            headers.append(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
        }
    }
    Ok((headers, Bytes::copy_from_slice(&file[end + 4..])))
}
