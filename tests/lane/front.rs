//! The HTTP surface of a node behind real sockets, with the fast lane or without, and a client of its bytes.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, Method, Request, Response, Uri};
use mingpai::accept::{self, Answerer, Inbound, Lifecycle, Limits, Outbound, Plain, Refusal, Running, Settings};
use mingpai::codec::http::{Http, PlainGet};
use mingpai::codec::problem::Code;
use mingpai::config::LimitsSpec;
use mingpai::metrics::Metrics;

struct Front(Http);

impl Answerer for Front {
    fn hot(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Outbound>> {
        self.0.hot(method, uri, headers).map(|response| response.map(Outbound::Whole))
    }

    fn hot_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let Plain { is_head, path, headers, now, date, room } = *asked;
        self.0.hot_bytes(&PlainGet { is_head, path, headers, now, date, room }, out)
    }

    fn read_bytes(&self, asked: &Plain<'_>, out: &mut Vec<u8>) -> Option<u16> {
        let Plain { is_head, path, headers, now, date, room } = *asked;
        self.0.read_bytes(&PlainGet { is_head, path, headers, now, date, room }, out)
    }

    async fn answer(&self, request: Request<Inbound>) -> Response<Outbound> {
        self.0.answer(request.map(Body::new)).await.map(Outbound::stream)
    }

    fn refuse(&self, _: Refusal, headers: &HeaderMap) -> Response<Outbound> {
        self.0.refuse(Code::HeaderInvalid, headers).map(Outbound::Whole)
    }
}

/// One accept stage over the surface.
pub struct Door {
    pub metrics: Arc<Metrics>,
    address: SocketAddr,
    lifecycle: Lifecycle,
    running: Option<Running>,
}

impl Door {
    pub fn open(http: &Http, fast_lane: bool) -> Door {
        let settings = Settings {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls: None,
            workers: 1,
            pin_cores: false,
            fast_lane,
            limits: Limits::of(&LimitsSpec::default()),
            lame_duck: Duration::ZERO,
            deadline: Duration::from_secs(60),
        };
        let bound = accept::bind(settings).unwrap();
        let (address, metrics, lifecycle) = (bound.addresses()[0], Arc::new(Metrics::new()), Lifecycle::new());
        let running = bound.serve(Arc::new(Front(http.clone())), lifecycle.clone(), Arc::clone(&metrics)).unwrap();
        Door { metrics, address, lifecycle, running: Some(running) }
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream
    }

    /// What a client hears that sends these requests and a last one, and listens to the end.
    pub fn hear(&self, requests: &str) -> String {
        let mut stream = self.connect();
        let last = "GET /livez HTTP/1.1\r\nhost: x\r\nx-request-id: last\r\nconnection: close\r\n\r\n";
        stream.write_all(format!("{requests}{last}").as_bytes()).unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        without_dates(&String::from_utf8(heard).unwrap())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.lifecycle.stop();
        // Waiting has a runtime of its own, which the thread of another runtime may not have.
        if let Some(running) = self.running.take() {
            std::thread::spawn(move || running.wait()).join().unwrap().unwrap();
        }
    }
}

fn without_dates(text: &str) -> String {
    let mut parts = text.split("\r\ndate: ");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out += "\r\ndate: D";
        out += &part[29..];
    }
    out
}
