//! Which requests the lane answers: a GET or HEAD of HTTP/1.1 without a body, whose head has nothing that changes how the
//! connection goes on.
//!
//! Parsed by httparse, as hyper parses, so both see the same head or the same fault. Nothing is refused here: whatever is
//! odd is hyper's, which refuses it as it always did.

use std::mem::MaybeUninit;

use httparse::{Header, Status};

use crate::accept::settings::Limits;
use crate::model::time::Timestamp;

/// The longest head. hyper takes more whatever the limits (`Limits::head_bytes`), so it judges the longer ones.
pub(super) const HEAD_BYTES: usize = 8_192;
/// Headers that are parsed on the stack. hyper takes 100 and more.
pub(super) const HEADERS: usize = 64;

/// Room for the headers of one head.
pub(super) type Room<'b> = [MaybeUninit<Header<'b>>; HEADERS];

/// A request that needs no thought, as an [`Answerer`](crate::accept::Answerer) sees it.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    /// HEAD; else GET.
    pub is_head: bool,
    /// The path as it was sent, with neither query nor fragment; plain characters of ASCII.
    pub path: &'a str,
    pub headers: &'a [Header<'a>],
    pub now: Timestamp,
    /// For the Date of the answer (RFC 9110, section 5.6.7).
    pub date: &'a str,
    /// The most bytes that the answer may have.
    pub room: usize,
}

/// What the bytes at the beginning of a request come to.
pub(super) enum Judged<'a> {
    /// A whole head that is the lane's to answer, if it has the answer. Its bytes, the blank line's included.
    Plain { length: usize, is_head: bool, path: &'a str, headers: &'a [Header<'a>] },
    /// A whole head of a request without a body after which the connection goes on: for hyper, and then back.
    Other { length: usize },
    /// The beginning of what may be one of those.
    Beginning,
    /// Anything else, faults included.
    Unknown,
}

/// `room` is only for the headers of the one that is found.
pub(super) fn judge<'a, 'b: 'a>(bytes: &'b [u8], room: &'a mut Room<'b>, limits: &Limits) -> Judged<'a> {
    let mut request = httparse::Request::new(&mut []);
    let length = match request.parse_with_uninit_headers(bytes, room) {
        Ok(Status::Complete(length)) if length <= HEAD_BYTES => length,
        Ok(Status::Partial) if bytes.len() < HEAD_BYTES && is_beginning(bytes) => return Judged::Beginning,
        Ok(_) | Err(_) => return Judged::Unknown,
    };
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Judged::Unknown,
    };
    let (Some(path), Some(1)) = (request.path, request.version) else {
        return Judged::Unknown;
    };
    let headers: &'a [Header<'a>] = request.headers;
    if path.len() > limits.uri_bytes || !is_without_consequence(headers, limits) {
        return Judged::Unknown;
    }
    match path.strip_prefix('/').map_or(Target::Odd, target) {
        Target::Plain => Judged::Plain { length, is_head, path, headers },
        Target::Good => Judged::Other { length },
        Target::Odd => Judged::Unknown,
    }
}

/// Whether what follows empty lines, which a parser skips, may become `GET ` or `HEAD `.
fn is_beginning(bytes: &[u8]) -> bool {
    let begun = bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).and_then(|at| bytes.get(at..));
    let is_of = |method: &[u8]| begun.is_none_or(|begun| begun.iter().zip(method).all(|(byte, of)| byte == of));
    is_of(b"GET ") || is_of(b"HEAD ")
}

/// One Host, within the limits, nothing about a body, another protocol or the connection's end.
fn is_without_consequence(headers: &[Header<'_>], limits: &Limits) -> bool {
    if headers.len() > limits.header_count {
        return false;
    }
    let (mut bytes, mut hosts) = (0, 0);
    for Header { name, value } in headers {
        bytes += name.len() + value.len();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let has_consequence = match name.len() {
            4 => {
                hosts += usize::from(is("host"));
                false
            }
            2 => is("te"),
            6 => is("expect"),
            7 => is("upgrade") || is("trailer"),
            10 => is("connection") && !value.eq_ignore_ascii_case(b"keep-alive"),
            14 => is("content-length") || is("http2-settings"),
            17 => is("transfer-encoding"),
            _ => false,
        };
        if has_consequence {
            return false;
        }
    }
    hosts == 1 && bytes <= limits.header_bytes
}

/// What is asked for, as far as its characters tell.
enum Target {
    /// A path alone, of ASCII.
    Plain,
    /// One that the type of URIs is sure to take; what follows a fault is another matter than what follows a request.
    Good,
    Odd,
}

/// Characters of a path that the type of URIs takes as they are, and none that begins a query or a fragment.
const PLAIN: [bool; 256] = {
    let (mut table, plain) = ([false; 256], b"-._~/:%@!$&'()*+,;=");
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < plain.len() {
        table[plain[at] as usize] = true;
        at += 1;
    }
    table
};

fn target(path: &str) -> Target {
    let is_plain = |byte: u8| PLAIN.get(usize::from(byte)).copied().unwrap_or_default();
    if path.bytes().all(is_plain) {
        Target::Plain
    } else if path.bytes().all(|byte| is_plain(byte) || byte == b'?' || !byte.is_ascii()) {
        Target::Good
    } else {
        Target::Odd
    }
}

/// Whether a head of which `seen` bytes were not a whole one may be whole now: an empty line ends beyond them. So a head that
/// drips in is parsed twice, not once a byte.
pub(super) fn has_blank_line(bytes: &[u8], seen: usize) -> bool {
    let fresh = bytes.get(seen.saturating_sub(3)..).unwrap_or_default();
    fresh.windows(2).any(|pair| pair == b"\n\n") || fresh.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LimitsSpec;

    #[derive(Debug, PartialEq)]
    enum Verdict {
        Plain(String),
        Other,
        Beginning,
        Unknown,
    }

    fn judged(text: &str) -> Verdict {
        let limits = Limits::of(&LimitsSpec::default());
        let mut room = [const { MaybeUninit::uninit() }; HEADERS];
        match judge(text.as_bytes(), &mut room, &limits) {
            Judged::Plain { path, length, .. } => {
                assert_eq!(length, text.len());
                Verdict::Plain(path.to_owned())
            }
            Judged::Other { .. } => Verdict::Other,
            Judged::Beginning => Verdict::Beginning,
            Judged::Unknown => Verdict::Unknown,
        }
    }

    #[test]
    fn a_get_without_consequences_is_the_lanes() {
        for head in [
            "GET /a HTTP/1.1\r\nhost: x\r\n\r\n",
            "\r\n\nHEAD /a HTTP/1.1\nHOST:x\n\n",
            "GET /a HTTP/1.1\r\nhost: x\r\nConnection: Keep-Alive\r\naccept: */*\r\ncookie: \u{ff}\r\n\r\n",
        ] {
            assert_eq!(judged(head), Verdict::Plain("/a".to_owned()), "{head}");
        }
        let of = |target| judged(&format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n"));
        for target in ["/a?b", "/a?b=c?d", "/铭"] {
            assert_eq!(of(target), Verdict::Other, "{target}");
        }
        for target in ["/a#b", "*", "a", "http://x/a", "/a|b", "/a\"b", "/a<"] {
            assert_eq!(of(target), Verdict::Unknown, "{target}");
        }
    }

    #[test]
    fn what_is_odd_is_hypers() {
        for rest in [
            "content-length: 0",
            "Transfer-Encoding: chunked",
            "connection: close",
            "connection: keep-alive, close",
            "connection: upgrade",
            "upgrade: h2c",
            "expect: 100-continue",
            "te: trailers",
            "trailer: a",
            "http2-settings: a",
            "host: y",
            " folded",
            "space : a",
            "nul: \0",
        ] {
            assert_eq!(judged(&format!("GET /a HTTP/1.1\r\nhost: x\r\n{rest}\r\n\r\n")), Verdict::Unknown, "{rest}");
        }
        for head in
            ["GET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.0\r\nhost: x\r\n\r\n", "PUT /a HTTP/1.1\r\nhost: x\r\n\r\n"]
        {
            assert_eq!(judged(head), Verdict::Unknown, "{head}");
        }
        let long = "a".repeat(HEAD_BYTES);
        assert_eq!(judged(&format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n")), Verdict::Unknown);
        assert_eq!(judged(&format!("GET /{long}")), Verdict::Unknown);
        let many: String = (0..HEADERS).map(|at| format!("a{at}: b\r\n")).collect();
        assert_eq!(judged(&format!("GET /a HTTP/1.1\r\nhost: x\r\n{many}\r\n")), Verdict::Unknown);
    }

    #[test]
    fn only_the_beginning_of_a_get_or_head_is_waited_for() {
        for begun in ["", "\r", "\r\n\r\n", "G", "\nHEA", "GET /a HTTP/1.1\r\nho"] {
            assert_eq!(judged(begun), Verdict::Beginning, "{begun:?}");
        }
        for begun in ["P", "PRI * HTTP/2.0\r\n", "GEX", "get ", "\u{16}\u{3}\u{1}"] {
            assert_eq!(judged(begun), Verdict::Unknown, "{begun:?}");
        }
    }

    #[test]
    fn every_whole_head_has_a_blank_line_wherever_it_was_cut() {
        for head in ["G / H\r\na: b\r\n\r\n", "G / H\na: b\n\n", "G / H\r\na: b\n\r\n", "G / H\na: b\r\n\n"] {
            for seen in 0..head.len() {
                assert!(has_blank_line(head.as_bytes(), seen), "{head:?} {seen}");
                assert!(!has_blank_line(&head.as_bytes()[..seen], 0), "{head:?} {seen}");
            }
        }
    }
}
