//! NDJSON in chunks: whole lines out of a body that arrives in pieces, in bounded memory.
//!
//! Knows lines, not JSON: `json::parse` judges each. A line over the limit is reported by its number and skipped, so
//! that one bad row does not end an import.

use bytes::{Bytes, BytesMut};

/// One line of the input; numbers count from 1 and count blank lines too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Without its line end; never blank.
    Whole { number: u64, bytes: Bytes },
    /// Longer than the limit; its bytes are gone.
    TooLong { number: u64 },
}

/// Splits chunks into lines. Holds at most one chunk and `limit` bytes of an unfinished line.
///
/// Lines end with LF or CRLF; a byte order mark before the first is dropped; blank lines are skipped.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    number: u64,
    chunk: Bytes,
    unfinished: BytesMut,
    is_too_long: bool,
    is_ended: bool,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Lines {
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, number: 0, chunk: Bytes::new(), unfinished: BytesMut::new(), is_too_long: false, is_ended: false }
    }

    /// Takes the next chunk. Call [`Lines::next_line`] until it answers `None` first, else the rest of the last chunk
    /// is kept before this one at the cost of a copy.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.chunk));
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// Says that no chunk follows: a last line without a line end becomes a line.
    pub fn end(&mut self) {
        self.is_ended = true;
    }

    /// The next whole line, `None` when a further chunk is needed or all is read.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let Some(at) = self.chunk.iter().position(|byte| *byte == b'\n') else {
                self.keep_unfinished();
                if !self.is_ended || (self.unfinished.is_empty() && !self.is_too_long) {
                    return None;
                }
                let last = self.unfinished.split().freeze();
                match self.line(last) {
                    Some(line) => return Some(line),
                    None => continue,
                }
            };
            let tail = self.chunk.split_to(at);
            let _line_end = self.chunk.split_to(1);
            let whole = if self.unfinished.is_empty() {
                tail
            } else {
                // One byte more than the most that a line may need is enough to know that it is too long.
                let room = (self.most() + 1).saturating_sub(self.unfinished.len()).min(tail.len());
                self.unfinished.extend_from_slice(tail.get(..room).unwrap_or_default());
                self.unfinished.split().freeze()
            };
            if let Some(line) = self.line(whole) {
                return Some(line);
            }
        }
    }

    fn keep_unfinished(&mut self) {
        let rest = std::mem::take(&mut self.chunk);
        if self.is_too_long {
            return;
        }
        if self.unfinished.len() + rest.len() > self.most() {
            self.is_too_long = true;
            self.unfinished = BytesMut::new();
        } else {
            self.unfinished.extend_from_slice(&rest);
        }
    }

    /// The longest an unfinished line may be: its CR and the byte order mark do not count against the limit.
    fn most(&self) -> usize {
        self.limit + 1 + BYTE_ORDER_MARK.len()
    }

    fn line(&mut self, mut bytes: Bytes) -> Option<Line> {
        self.number += 1;
        let number = self.number;
        if std::mem::take(&mut self.is_too_long) {
            return Some(Line::TooLong { number });
        }
        if number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes = bytes.slice(BYTE_ORDER_MARK.len()..);
        }
        if bytes.ends_with(b"\r") {
            bytes.truncate(bytes.len() - 1);
        }
        if bytes.len() > self.limit {
            return Some(Line::TooLong { number });
        }
        let is_blank = bytes.iter().all(u8::is_ascii_whitespace);
        (!is_blank).then_some(Line::Whole { number, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(number: u64, text: &str) -> Line {
        Line::Whole { number, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn split(limit: usize, chunks: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(limit);
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(Bytes::copy_from_slice(chunk));
            found.extend(std::iter::from_fn(|| lines.next_line()));
            assert!(lines.unfinished.len() <= limit + 4, "memory is bounded");
        }
        lines.end();
        found.extend(std::iter::from_fn(|| lines.next_line()));
        found
    }

    #[test]
    fn lines_are_whole_wherever_the_chunks_break() {
        let expected = [whole(1, "{\"a\":1}"), whole(3, "{\"b\":2}"), whole(4, "last")];
        assert_eq!(split(100, &[b"{\"a\":1}\r\n\n{\"b\":2}\nlast"]), expected);
        assert_eq!(split(100, &[b"{\"a\"", b":1}\r", b"\n", b"\n{\"b\":", b"2}\nla", b"st"]), expected);
        assert_eq!(split(100, &[]), []);
    }

    #[test]
    fn a_line_over_the_limit_is_numbered_and_skipped() {
        let expected = [whole(1, "a"), Line::TooLong { number: 2 }, whole(3, "b")];
        assert_eq!(split(5, &[b"a\n123456\nb"]), expected);
        assert_eq!(split(5, &[b"a\n12", b"3456789012345678901234567890", b"1\nb\n"]), expected);
        assert_eq!(split(5, &[b"12345\n12345\r\n"]), [whole(1, "12345"), whole(2, "12345")]);
        assert_eq!(split(5, &[b"123", b"456789012"]), [Line::TooLong { number: 1 }]);
        assert_eq!(split(5, &[b"12345", b"678"]), [Line::TooLong { number: 1 }]);
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        assert_eq!(split(5, &[b"\xef\xbb", b"\xbf12345\n1"]), [whole(1, "12345"), whole(2, "1")]);
    }

    proptest! {
        #[test]
        fn the_chunks_do_not_matter(text in r"[ab\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..8), limit in 1usize..12) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&bytes[from..cut]);
                from = cut;
            }
            chunks.push(&bytes[from..]);
            prop_assert_eq!(split(limit, &chunks), split(limit, &[bytes]));
        }
    }
}
