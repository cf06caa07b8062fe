//! The hot way in bytes: what [`hot`](super::hot) answers, written out as accept's fast lane sends it.
//!
//! Takes less than the hot way: a record that is there, asked for by nobody in particular. A cached "unknown" or "gone", and
//! whoever gives his request an id, goes the other way. tests/lane.rs holds the two against each other, byte for byte.

use httparse::Header;

use super::Desk;
use super::negotiation::quality_among;
use super::preconditions::is_known_by;
use super::reply::JSON;
use super::resolve::ROUTE;
use crate::codec::path;
use crate::model::time::Timestamp;

/// A GET or HEAD as it was sent, framing apart.
#[derive(Clone, Copy, Debug)]
pub struct PlainGet<'a> {
    /// HEAD; else GET.
    pub is_head: bool,
    /// Without a query.
    pub path: &'a str,
    pub headers: &'a [Header<'a>],
    pub now: Timestamp,
    /// For the answer's Date.
    pub date: &'a str,
    /// The most bytes that the answer may have.
    pub room: usize,
}

/// What the answer depends on besides the path.
#[derive(Default)]
struct Asked<'a> {
    accept: Option<&'a [u8]>,
    if_none_match: Option<&'a [u8]>,
    /// A credential, or an id of the client's own.
    is_personal: bool,
}

/// An answer where it lies in the cache.
#[derive(Clone, Copy)]
struct Parts<'a> {
    etag: &'a [u8],
    cache_control: &'a [u8],
    body: &'a [u8],
}

/// More than the headers of an answer come to.
const HEAD_ROOM: usize = 512;

/// Appends the answer to `out` and gives its status; `None`, with nothing appended, where another way answers.
pub(super) fn answer(desk: &Desk, get: &PlainGet<'_>, out: &mut Vec<u8>) -> Option<u16> {
    let text = path::text_after(get.path, ROUTE)?.ok()?;
    let asked = Asked::of(get.headers);
    if asked.is_personal || !accepts_json(&asked, get.headers) {
        return None;
    }
    let written = desk.services.lend(&text, get.now, |hit| {
        let (status, etag, body) = (hit.status(), hit.etag(), hit.body());
        if status != 200 || HEAD_ROOM + body.len() > get.room {
            return None;
        }
        let is_known = asked.if_none_match.is_some_and(|header| is_known_by(header, etag));
        Some(write(&Parts { etag, cache_control: hit.entry().cache_control(), body }, get, is_known, out))
    });
    let status = written.flatten()?;
    desk.metrics.cache.hits.increment();
    Some(status)
}

impl<'a> Asked<'a> {
    /// Of several of one name the first counts, as everywhere.
    fn of(headers: &[Header<'a>]) -> Self {
        let mut asked = Self::default();
        for Header { name, value } in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                6 if is("accept") => asked.accept = asked.accept.or(Some(value)),
                12 if is("x-request-id") => asked.is_personal = true,
                13 if is("authorization") => asked.is_personal = true,
                13 if is("if-none-match") => asked.if_none_match = asked.if_none_match.or(Some(value)),
                _ => {}
            }
        }
        asked
    }
}

fn accepts_json(asked: &Asked<'_>, headers: &[Header<'_>]) -> bool {
    match asked.accept {
        None | Some(b"*/*" | b"application/json") => true,
        Some(_) => {
            let values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
            quality_among(values.map(|header| header.value), JSON) > 0
        }
    }
}

/// The order is that of [`resolution`](super::resolution), with what hyper adds at its end. Pieces of a length that is known
/// here are no calls.
fn write(parts: &Parts<'_>, get: &PlainGet<'_>, is_known: bool, out: &mut Vec<u8>) -> u16 {
    let Parts { body, etag, cache_control } = *parts;
    let mut digits = [0; 20];
    let length = decimal(body.len(), &mut digits);
    if is_known {
        out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\netag: ");
    } else if get.is_head {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ");
        out.extend_from_slice(length);
        out.extend_from_slice(b"\r\netag: ");
    } else {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\netag: ");
    }
    out.extend_from_slice(etag);
    out.extend_from_slice(b"\r\nvary: accept\r\ncache-control: ");
    out.extend_from_slice(cache_control);
    if is_known || get.is_head {
        out.extend_from_slice(b"\r\naccess-control-allow-origin: *\r\ndate: ");
    } else {
        out.extend_from_slice(b"\r\naccess-control-allow-origin: *\r\ncontent-length: ");
        out.extend_from_slice(length);
        out.extend_from_slice(b"\r\ndate: ");
    }
    out.extend_from_slice(get.date.as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    if is_known {
        return 304;
    }
    if !get.is_head {
        out.extend_from_slice(body);
    }
    200
}

/// The digits of a number, in the end of `digits`, which has room for any.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut begin = digits.len();
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        begin = at;
        if number == 0 {
            break;
        }
    }
    digits.get(begin..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_with_all_its_digits() {
        for number in [0, 9, 10, 1_234, usize::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
