//! The hot way in bytes: what [`hot`](super::hot) answers, written out as accept's fast lane sends it; and the same of a
//! resolution that memory has no answer to.
//!
//! Takes less than the hot way: what is asked for by nobody in particular; whoever gives his request an id goes the other way.
//! tests/lane.rs holds the two against each other, byte for byte.

use std::sync::Arc;

use bytes::Bytes;
use http::header::ACCEPT_LANGUAGE;
use http::{HeaderMap, HeaderValue, Method};
use httparse::Header;

use super::negotiation::quality_among;
use super::preconditions::is_known_by;
use super::reply::JSON;
use super::resolve::ROUTE;
use super::{Desk, call, notes, resolution};
use crate::codec::path;
use crate::guard::{self, Credentials};
use crate::metrics::Transport;
use crate::model::permitted::Action;
use crate::model::time::Timestamp;
use crate::observe::laps::{Laps, Step, while_timed};
use crate::store::cache::Answer;

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
    /// Whether there is more than one of those.
    accepts_more: bool,
    if_none_match: Option<&'a [u8]>,
    accept_language: Option<&'a [u8]>,
    /// A credential, a signature among them, or an id of the client's own.
    is_personal: bool,
}

/// An answer where it lies in the cache.
#[derive(Clone, Copy)]
struct Parts<'a> {
    etag: &'a [u8],
    cache_control: &'a [u8],
    body: &'a [u8],
    /// Of one that was read; what memory has is given without.
    request_id: Option<&'a str>,
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
    let cache = &desk.metrics.cache;
    let lent = desk.services.lend(&text, get.now, |hit| {
        let (status, etag, body, cache_control) = (hit.status(), hit.etag(), hit.body(), hit.entry().cache_control());
        if status != 200 {
            return Lent::Nothing(Answer::nothing(status, Bytes::copy_from_slice(cache_control)));
        }
        if HEAD_ROOM + body.len() > get.room {
            return Lent::TooLong;
        }
        let is_known = asked.if_none_match.is_some_and(|header| is_known_by(header, etag));
        Lent::Written(write(&Parts { etag, cache_control, body, request_id: None }, get, is_known, out))
    });
    let (answer, counter) = match lent {
        Some(Lent::Written(status)) => {
            cache.hits.increment();
            return Some(status);
        }
        Some(Lent::TooLong) => return None,
        Some(Lent::Nothing(answer)) => (answer, &cache.negative_hits),
        None => (desk.services.absent(desk.services.identifier(&text).ok()?.key(), get.now)?, &cache.absent),
    };
    let request_id = call::new_request_id();
    let status = write_nothing(&answer, get, (&text, asked.accept_language), &request_id, out)?;
    counter.increment();
    Some(status)
}

/// The same of a name that [`answer`] has nothing of: read from the store, on this thread, and put into the cache. However long
/// it is: it is not read twice. What goes wrong is told by the other way, which meets it again.
pub(super) fn read(desk: &Desk, get: &PlainGet<'_>, out: &mut Vec<u8>) -> Option<u16> {
    let text = path::text_after(get.path, ROUTE)?.ok()?;
    let asked = Asked::of(get.headers);
    // A mirror that was given no key knows no name: that is a refusal, and no answer.
    let knows_names = desk.services.mirror().is_none_or(|mirror| mirror.is_granted);
    if asked.is_personal || !knows_names || !accepts_json(&asked, get.headers) {
        return None;
    }
    let laps = Arc::new(Laps::begin());
    let identifier = desk.services.identifier(&text).ok()?;
    if desk.services.cached(identifier.key(), get.now).is_some() {
        // Too long for this way, or just come.
        return None;
    }
    laps.end(Step::Decode);
    guard::admit(&desk.services, &Credentials::Absent, Action::Read, get.now).ok()?;
    laps.end(Step::Guard);
    let answer = while_timed(&laps, || desk.services.resolve_public(&identifier, get.now)).ok()?;
    desk.metrics.cache.misses.increment();
    laps.end(Step::Service);
    let request_id = call::new_request_id();
    let status = if answer.status == 200 {
        let Answer { body, etag, cache_control, .. } = &answer;
        let is_known = asked.if_none_match.is_some_and(|header| is_known_by(header, etag));
        write(&Parts { etag, cache_control, body, request_id: Some(&request_id) }, get, is_known, out)
    } else {
        write_nothing(&answer, get, (&text, asked.accept_language), &request_id, out)?
    };
    laps.end(Step::Encode);
    laps.record(&desk.metrics.requests, Transport::Http1, status);
    notes::tell_read(desk, get, (request_id, status), &laps);
    Some(status)
}

/// What was found in the cache.
enum Lent {
    Written(u16),
    TooLong,
    /// A name that is unknown or gone.
    Nothing(Answer),
}

/// Writes what [`resolution::negative`] makes of the answer. This way allocates, as a problem does anyway.
fn write_nothing(
    answer: &Answer,
    get: &PlainGet<'_>,
    (text, accept_language): (&str, Option<&[u8]>),
    request_id: &Arc<str>,
    out: &mut Vec<u8>,
) -> Option<u16> {
    let mut headers = HeaderMap::new();
    if let Some(value) = accept_language {
        headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_bytes(value).ok()?);
    }
    let method = if get.is_head { Method::HEAD } else { Method::GET };
    let asked = resolution::Asked { method: &method, path: get.path, headers: &headers, text };
    let response = resolution::negative(answer, &asked, request_id);
    let (head, body) = response.into_parts();
    if HEAD_ROOM + body.len() > get.room {
        return None;
    }
    let mut digits = [0; 20];
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(decimal(head.status.as_u16().into(), &mut digits));
    let reason = head.status.canonical_reason().unwrap_or_default();
    [b" ", reason.as_bytes(), b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
    let mut line = |name: &str, value: &[u8]| {
        [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
    };
    head.headers.iter().for_each(|(name, value)| line(name.as_str(), value.as_bytes()));
    if !get.is_head {
        line("content-length", decimal(body.len(), &mut digits));
    }
    line("date", get.date.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&body);
    Some(head.status.as_u16())
}

impl<'a> Asked<'a> {
    /// Of several of one name the first counts, as everywhere.
    fn of(headers: &[Header<'a>]) -> Self {
        let mut asked = Self::default();
        for Header { name, value } in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            match name.len() {
                6 if is("accept") => {
                    asked.accepts_more = asked.accept.is_some();
                    asked.accept = asked.accept.or(Some(value));
                }
                9 if is("signature") => asked.is_personal = true,
                15 if is("signature-input") => asked.is_personal = true,
                12 if is("x-request-id") => asked.is_personal = true,
                13 if is("authorization") => asked.is_personal = true,
                15 if is("accept-language") => asked.accept_language = asked.accept_language.or(Some(value)),
                13 if is("if-none-match") => asked.if_none_match = asked.if_none_match.or(Some(value)),
                _ => {}
            }
        }
        asked
    }
}

fn accepts_json(asked: &Asked<'_>, headers: &[Header<'_>]) -> bool {
    match asked.accept {
        None => true,
        Some(b"*/*" | b"application/json") if !asked.accepts_more => true,
        Some(_) => {
            let values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
            quality_among(values.map(|header| header.value), JSON) > 0
        }
    }
}

/// The order is that of [`resolution`](super::resolution), with what hyper adds at its end. Pieces of a length that is known
/// here are no calls.
fn write(parts: &Parts<'_>, get: &PlainGet<'_>, is_known: bool, out: &mut Vec<u8>) -> u16 {
    let Parts { body, etag, cache_control, request_id } = *parts;
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
    out.extend_from_slice(b"\r\nvary: accept, authorization, signature-input\r\ncache-control: ");
    out.extend_from_slice(cache_control);
    out.extend_from_slice(b"\r\naccess-control-allow-origin: *\r\n");
    if let Some(id) = request_id {
        [b"x-request-id: ", id.as_bytes(), b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
    }
    if is_known || get.is_head {
        out.extend_from_slice(b"date: ");
    } else {
        out.extend_from_slice(b"content-length: ");
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
