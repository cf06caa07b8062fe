//! Answers out of bytes: status and length of the body, whole or in chunks. The bodies themselves are passed over.

use memchr::{memchr, memmem};

/// Heads and lines of chunks longer than this are no answer.
const MOST_HEAD_BYTES: usize = 16 * 1024;
const END: &[u8] = b"\r\n\r\n";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body_bytes: u64,
}

/// Where in the bytes of a connection the reader stands.
#[derive(Default)]
pub struct Reader {
    state: State,
    answer: Answer,
    /// Where the last head said its length: the next one mostly says it there, too.
    length_at: usize,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Head,
    Body(u64),
    ChunkSize,
    /// Bytes of the chunk, with its end of line.
    Chunk(u64),
    Trailer,
}

#[derive(Debug)]
pub struct NotHttp;

impl Reader {
    /// Reads on, and gives each answer that is complete to `take`. Returns how many bytes it is done with; the others are to
    /// be given again, with more behind them.
    pub fn read(&mut self, bytes: &[u8], mut take: impl FnMut(Answer)) -> Result<usize, NotHttp> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let (used, is_done) = match self.state {
                State::Head => match memmem::find(rest, END) {
                    Some(end) => (end + END.len(), self.head(&rest[..end + 2])?),
                    None => return short(at, rest),
                },
                State::Body(left) => {
                    let used = left.min(rest.len() as u64);
                    self.state = State::Body(left - used);
                    (used as usize, left == used)
                }
                State::ChunkSize => match memchr(b'\n', rest) {
                    Some(end) => (end + 1, self.chunk_size(&rest[..end])?),
                    None => return short(at, rest),
                },
                State::Chunk(left) => {
                    let used = left.min(rest.len() as u64);
                    self.state = if left == used { State::ChunkSize } else { State::Chunk(left - used) };
                    (used as usize, false)
                }
                State::Trailer => match memchr(b'\n', rest) {
                    Some(end) => (end + 1, end <= 1),
                    None => return short(at, rest),
                },
            };
            at += used;
            if is_done {
                take(self.answer);
                self.state = State::Head;
            }
            if at == bytes.len() {
                return Ok(at);
            }
        }
    }

    /// Takes a head with the end of its last line; tells whether the answer is complete with it.
    fn head(&mut self, head: &[u8]) -> Result<bool, NotHttp> {
        let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.first_chunk::<3>()).ok_or(NotHttp)?;
        let status = number(status).ok_or(NotHttp)?;
        self.answer = Answer { status: u16::try_from(status).map_err(|_| NotHttp)?, body_bytes: 0 };
        if let Some(length) = value_at(head, self.length_at, b"content-length:").or_else(|| self.length_in(head)) {
            let length = number(length).ok_or(NotHttp)?;
            self.answer.body_bytes = length;
            self.state = State::Body(length);
            return Ok(length == 0);
        }
        if lines(head).any(|at| value_at(head, at, b"transfer-encoding:") == Some(b"chunked")) {
            self.state = State::ChunkSize;
            return Ok(false);
        }
        // An answer without a length is one without a body (204, 304); one that ends with its connection is not awaited.
        Ok(true)
    }

    fn length_in<'a>(&mut self, head: &'a [u8]) -> Option<&'a [u8]> {
        let (at, value) = lines(head).find_map(|at| Some((at, value_at(head, at, b"content-length:")?)))?;
        self.length_at = at;
        Some(value)
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<bool, NotHttp> {
        let digits = line.split(|&byte| byte == b';' || byte == b'\r').next().unwrap_or_default();
        let digits = std::str::from_utf8(digits).map_err(|_| NotHttp)?;
        let size = u64::from_str_radix(digits.trim(), 16).map_err(|_| NotHttp)?;
        if size == 0 {
            self.state = State::Trailer;
        } else {
            self.answer.body_bytes = self.answer.body_bytes.saturating_add(size);
            self.state = State::Chunk(size.checked_add(2).ok_or(NotHttp)?);
        }
        Ok(false)
    }
}

fn short(at: usize, rest: &[u8]) -> Result<usize, NotHttp> {
    if rest.len() > MOST_HEAD_BYTES { Err(NotHttp) } else { Ok(at) }
}

/// Where lines begin, the status line left out.
fn lines(head: &[u8]) -> impl Iterator<Item = usize> {
    memchr::memchr_iter(b'\n', head).map(|end| end + 1)
}

/// The value of the header `name`, if the line at `at` is that header.
fn value_at<'a>(head: &'a [u8], at: usize, name: &[u8]) -> Option<&'a [u8]> {
    let is_line = at > 0 && head.get(at - 1) == Some(&b'\n');
    let line = head.get(at..).filter(|_| is_line)?;
    let (found, rest) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    Some(rest[..memchr(b'\r', rest)?].trim_ascii())
}

fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0, |sum, &digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::{Answer, Reader};

    const BYTES: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nx: y\r\n\r\nabcdeHTTP/1.1 404 Not Found\r\na: b\r\ncontent-length: 2\r\n\r\n\r\n\
        HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n";

    #[test]
    fn answers_are_the_same_however_the_bytes_are_cut() {
        let expected = [(200, 5), (404, 2), (200, 13), (304, 0), (201, 0)];
        let expected: Vec<Answer> = expected.map(|(status, body_bytes)| Answer { status, body_bytes }).into();
        for piece in 1..=BYTES.len() {
            let mut reader = Reader::default();
            let mut found = Vec::new();
            let mut rest: Vec<u8> = Vec::new();
            for bytes in BYTES.chunks(piece) {
                rest.extend_from_slice(bytes);
                let used = reader.read(&rest, |answer| found.push(answer)).expect("HTTP");
                rest.drain(..used);
            }
            assert_eq!(found, expected, "in pieces of {piece}");
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn what_is_not_http_is_told() {
        for bytes in
            [&b"SSH-2.0\r\n\r\n"[..], b"HTTP/1.1 2xx\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"]
        {
            assert!(Reader::default().read(bytes, |_| ()).is_err());
        }
        assert!(Reader::default().read(&[b'a'; 20_000], |_| ()).is_err());
    }
}
