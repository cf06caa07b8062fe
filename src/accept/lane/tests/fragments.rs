//! What clients send: plain requests, odd ones, bodies framed well and badly, and bytes that are no HTTP.

use proptest::prelude::*;
use proptest::sample::select;

/// A request that is the lane's, if its answer is hot.
pub(super) fn plain(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

const HIDDEN: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

/// Requests in which servers have been seen to find another than the proxy before them (RFC 9112, section 11.2, and the
/// published variations of CL.TE, TE.CL, TE.TE, CL.CL and line ends): names, and bytes.
pub(super) fn smuggling() -> Vec<(&'static str, Vec<u8>)> {
    let length = HIDDEN.len();
    let chunk = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let with = |method: &str, headers: &str, body: &str| {
        format!("{method} /hot HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n{body}").into_bytes()
    };
    let framing = |headers: &str| with("POST", headers, &format!("0\r\n\r\n{HIDDEN}"));
    let mut all = vec![
        ("CL.TE", framing("content-length: 6\r\ntransfer-encoding: chunked")),
        ("TE.CL", framing("transfer-encoding: chunked\r\ncontent-length: 6")),
        ("TE.TE identity", framing("transfer-encoding: chunked\r\ntransfer-encoding: identity")),
        ("TE.TE identity first", framing("transfer-encoding: identity\r\ntransfer-encoding: chunked")),
        ("TE.TE list", framing("transfer-encoding: identity, chunked")),
        ("TE x", framing("transfer-encoding: xchunked")),
        ("TE tab", framing("transfer-encoding:\tchunked\r\ncontent-length: 6")),
        ("TE vertical tab", framing("transfer-encoding:\u{b}chunked")),
        ("TE space before colon", framing("transfer-encoding : chunked")),
        ("TE folded", framing("transfer-encoding:\r\n chunked")),
        ("TE after a folded line", framing("a: b\r\n\ttransfer-encoding: chunked\r\ncontent-length: 5")),
        ("TE after a bare CR", framing("a: b\rtransfer-encoding: chunked\r\ncontent-length: 5")),
        ("TE quoted", framing("transfer-encoding: \"chunked\"")),
        ("TE with a NUL", framing("transfer-encoding: chunked\0")),
        ("TE name with a NUL", framing("transfer-encoding\0: chunked")),
        ("TE with a parameter", framing("transfer-encoding: chunked;a=b")),
        ("CL.CL", framing("content-length: 5\r\ncontent-length: 6")),
        ("CL list", framing("content-length: 5, 6")),
        ("CL plus", framing("content-length: +5")),
        ("CL minus", framing("content-length: -5")),
        ("CL hexadecimal", framing("content-length: 0x5")),
        ("CL two numbers", framing("content-length: 5 5")),
        ("CL empty", framing("content-length:")),
        ("CL overflowing", framing("content-length: 18446744073709551621")),
        ("CL space before colon", framing("content-length : 5")),
        ("leading space", framing(" a: b")),
        ("two hosts", with("GET", "host: y\r\nconnection: close", HIDDEN)),
        ("GET with CL", with("GET", &format!("content-length: {length}"), HIDDEN)),
        ("GET chunked", with("GET", "transfer-encoding: chunked", &chunk)),
        ("HEAD with CL", with("HEAD", &format!("content-length: {length}"), HIDDEN)),
        (
            "connection: content-length",
            with("GET", &format!("connection: content-length\r\ncontent-length: {length}"), HIDDEN),
        ),
        ("expect", with("POST", &format!("expect: 100-continue\r\ncontent-length: {length}"), HIDDEN)),
        ("upgrade", with("GET", "connection: upgrade, close\r\nupgrade: h2c", HIDDEN)),
    ];
    let others = [
        ("bare LF", format!("POST /hot HTTP/1.1\nhost: x\ncontent-length: {length}\n\n{HIDDEN}")),
        ("no host", format!("GET /hot HTTP/1.1\r\nconnection: close\r\n\r\n{HIDDEN}")),
        ("HTTP/1.0 with TE", format!("POST /hot HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")),
        ("HTTP/1.0", format!("GET /hot HTTP/1.0\r\n\r\n{HIDDEN}")),
        ("HTTP/1.2", format!("GET /hot HTTP/1.2\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("HTTP/0.9", format!("GET /hot\r\n\r\n{HIDDEN}")),
        ("space after the version", format!("GET /hot HTTP/1.1 \r\nhost: x\r\n\r\n{HIDDEN}")),
        ("two spaces", format!("GET  /hot HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("tab for space", format!("GET\t/hot HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("NUL in the target", format!("GET /hot\0 HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("CR in the target", format!("GET /hot\r HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("CR CR LF", format!("GET /hot HTTP/1.1\r\nhost: x\r\r\n\r\n{HIDDEN}")),
        ("CR before", format!("\rGET /hot HTTP/1.1\r\nhost: x\r\n\r\n{HIDDEN}")),
        ("HTTP/2", format!("PRI * HTTP/2.0\r\n\r\n{HIDDEN}")),
    ];
    all.extend(others.into_iter().map(|(name, text)| (name, text.into_bytes())));
    all
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![30 => Just("\r\n"), 3 => Just("\n"), 1 => select(vec!["\r", "\r\r\n", "\n\r", ""])]
}

fn target() -> impl Strategy<Value = String> {
    let hot = select(vec!["/hot", "/hot/long", "/hot/huge", "/hot"]);
    let other = select(vec!["/cold", "/read", "/slow", "/stream", "/echo", "/"]);
    let odd = select(vec![
        "/hot?",
        "/hot?a=b",
        "/hot#a",
        "/%68ot",
        "/hot/",
        "//hot",
        "http://y/hot",
        "http://y",
        "*",
        "hot",
        "/铭牌",
        "/hot|",
        "/hot\"",
        "/hot<",
        "/hot\\",
        "/hot\u{7f}",
        "/hot\u{0}",
        "/hot\t",
        "y:80",
        "",
    ]);
    prop_oneof![
        12 => hot.prop_map(str::to_owned),
        5 => other.prop_map(str::to_owned),
        2 => odd.prop_map(str::to_owned),
        1 => (150_usize..260).prop_map(|length| format!("/{}", "a".repeat(length))),
    ]
}

fn header() -> impl Strategy<Value = String> {
    let harmless = select(vec![
        "accept: */*",
        "Connection: keep-alive",
        "connection: Keep-Alive",
        "user-agent: a/1",
        "a:",
        "a: \u{e9}",
        "accept:\ta ",
        "X-Request-Id: 1",
        "if-none-match: \"1\"",
        "cookie: a=b; c",
        "keep-alive: timeout=5",
        "proxy-connection: close",
    ]);
    let odd = select(vec![
        "host: y",
        "connection: close",
        "connection: keep-alive, close",
        "connection:",
        "connection: upgrade",
        "upgrade: h2c",
        "expect: 100-continue",
        "te: trailers",
        "trailer: a",
        "content-length: 0",
        "content-length: 3",
        "content-length: x",
        "transfer-encoding: chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        " folded",
        "a : b",
        "a\u{0}: b",
        "a: b\u{0}",
        "a: b\rc: d",
        ": b",
        "a",
        "",
        "http2-settings: a",
        "a: b\u{7f}",
    ]);
    prop_oneof![
        6 => harmless.prop_map(str::to_owned),
        2 => odd.prop_map(str::to_owned),
        1 => (1_usize..1_100).prop_map(|length| format!("long: {}", "v".repeat(length))),
    ]
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![
        20 => Just("GET"),
        5 => Just("HEAD"),
        3 => select(vec!["POST", "PUT", "OPTIONS", "CONNECT", "DELETE", "get", "GE", "GETS", "G\u{0}T", "", "PRI"]),
    ];
    let version = prop_oneof![
        30 => Just("HTTP/1.1"),
        2 => select(vec!["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""]),
    ];
    let hosts = prop_oneof![30 => Just(1_usize), 1 => Just(0), 1 => Just(2)];
    let body = prop_oneof![
        12 => Just(String::new()),
        1 => Just("0\r\n\r\n".to_owned()),
        1 => Just("3\r\nabc\r\n0\r\n\r\n".to_owned()),
        1 => "[a-z]{0,9}",
    ];
    let many = prop_oneof![20 => 0_usize..5, 1 => 15_usize..24];
    let headers = many.prop_flat_map(|count| prop::collection::vec((header(), line_end()), count));
    (method, target(), version, hosts, headers, line_end(), line_end(), body).prop_map(
        |(method, target, version, hosts, headers, end, last, body)| {
            let mut text = format!("{method} {target} {version}{end}");
            for _ in 0..hosts {
                text += &format!("Host: x{end}");
            }
            for (header, end) in headers {
                text += &header;
                text += end;
            }
            text += last;
            text += &body;
            text.into_bytes()
        },
    )
}

fn usual() -> impl Strategy<Value = Vec<u8>> {
    let method = prop_oneof![8 => Just("GET"), 1 => Just("HEAD")];
    let path = prop_oneof![
        8 => Just("/hot"),
        2 => Just("/cold"),
        2 => Just("/read"),
        1 => select(vec!["/slow", "/stream", "/hot/long", "/hot/huge", "/hot?a"]),
    ];
    (method, path).prop_map(|(method, path)| plain(method, path).into_bytes())
}

/// A request that is well framed and has a body.
fn with_body() -> impl Strategy<Value = Vec<u8>> {
    let path = select(vec!["/echo", "/hot", "/read", "/cold"]);
    let method = select(vec!["POST", "PUT", "GET"]);
    (method, path, any::<bool>(), "[a-z\r\n]{0,30}").prop_map(|(method, path, is_chunked, body)| {
        let (length, head) = (body.len(), format!("{method} {path} HTTP/1.1\r\nhost: x\r\n"));
        let text = match (is_chunked, length) {
            (true, 0) => format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            (true, _) => format!("{head}transfer-encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"),
            (false, _) => format!("{head}content-length: {length}\r\n\r\n{body}"),
        };
        text.into_bytes()
    })
}

/// All that one client sends.
pub(super) fn conversation() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop_oneof![
        3 => select(vec!["\r\n", "\n", "\r\n\r\n", "\r", "\r\n\n"]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        1 => Just(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        1 => select(smuggling()).prop_map(|(_, bytes)| bytes),
    ];
    let fragment = prop_oneof![12 => usual(), 4 => request(), 2 => with_body(), 1 => noise];
    let whole = prop::collection::vec(fragment, 0..9).prop_map(|fragments| fragments.concat());
    // Now and then the end is missing.
    (whole, prop_oneof![6 => Just(0_usize), 1 => 1_usize..60]).prop_map(|(mut bytes, missing)| {
        bytes.truncate(bytes.len().saturating_sub(missing));
        bytes
    })
}
