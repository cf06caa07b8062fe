//! Where the rows of a CSV begin and end, in bounded memory.
//!
//! A quote that is never closed would make one row of all that follows. So a row has a limit, a quote must stand where
//! quotes may stand, and after a row that breaks either the next line is read as a row of its own: the fault costs the rows
//! that it stands in and no other.

use super::encoding::Decoded;
use crate::model::text::Text;
use crate::services::import::{Fault, TableError, TableRow};

/// What is told of a line over the limit: enough to find it.
const TOLD_BYTES: usize = 1024;
/// Bytes that may be looked at a second time because of quotes that are never closed, before the file is given up; and
/// so many more for each byte read. It keeps the work proportional to the file.
const SPARE_BYTES: u64 = 256 << 20;
const SPARE_FOR_EACH: u64 = 16;

/// The rows of a text.
pub(super) struct Rows {
    text: Decoded,
    buffer: Vec<u8>,
    /// Where the next row begins in the buffer, and in the file.
    start: usize,
    line: u64,
    pub separator: u8,
    limit: usize,
    looked_at_again: u64,
    /// Of the bytes read, what rows have told of.
    pub spent: u64,
}

/// Where a scan stands.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// The beginning of a cell.
    Cell,
    Plain,
    Quoted,
    /// Behind a quote in a quoted cell: its end, or the first of two.
    Quote,
}

/// What a scan found; lengths count from the row's beginning.
enum Scanned {
    Row {
        length: usize,
        with_end: usize,
        lines: u64,
    },
    Nothing,
    /// Gone through so many bytes.
    Fault(&'static str, usize),
}

impl Rows {
    pub fn new(text: Decoded, separator: u8, limit: usize) -> Rows {
        Rows { text, buffer: Vec::new(), start: 0, line: 1, separator, limit, looked_at_again: 0, spent: 0 }
    }

    /// The beginning of the text, without taking it: its first line and more, if there is as much.
    pub fn beginning(&mut self) -> std::io::Result<&[u8]> {
        while self.buffer.len() < self.limit && !self.buffer.contains(&b'\n') && self.fill()? {}
        Ok(self.rest())
    }

    /// The next row that is not blank.
    pub fn next_row(&mut self) -> Result<Option<TableRow>, TableError> {
        loop {
            let line = self.line;
            let (text, faults) = match self.scan()? {
                Scanned::Nothing => return Ok(None),
                Scanned::Row { length, with_end, lines } => {
                    let text = self.rest().get(..length).unwrap_or_default();
                    let text = (!self.is_blank(text)).then(|| text.to_vec());
                    self.start += with_end;
                    self.line += lines;
                    match text {
                        None => continue,
                        Some(text) => (text, Vec::new()),
                    }
                }
                Scanned::Fault(code, seen) => {
                    let told = self.skip_line(if code == "line_too_long" { TOLD_BYTES } else { self.limit })?;
                    self.looked_at_again += seen as u64;
                    if self.looked_at_again > SPARE_BYTES + SPARE_FOR_EACH * self.text.taken {
                        return Err(given_up(line));
                    }
                    (told, vec![self.fault(code, line)])
                }
            };
            let spent = self.text.taken - self.spent;
            self.spent = self.text.taken;
            return Ok(Some(TableRow { line, text, spent, faults }));
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn is_blank(&self, text: &[u8]) -> bool {
        text.iter().all(|byte| *byte == self.separator || *byte == b'"' || byte.is_ascii_whitespace())
    }

    /// Reads on; what lies before the row is let go.
    fn fill(&mut self) -> std::io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.text.fill(&mut self.buffer)
    }

    fn scan(&mut self) -> std::io::Result<Scanned> {
        let (mut at, mut seen, mut lines, mut after_cr) = (At::Cell, 0, 1, false);
        loop {
            let Some(byte) = self.buffer.get(self.start + seen).copied() else {
                if seen <= self.limit && self.fill()? {
                    continue;
                }
                return Ok(match at {
                    _ if seen > self.limit => too_long(at, lines, seen),
                    At::Quoted => Scanned::Fault("quote_unclosed", seen),
                    _ if seen == 0 => Scanned::Nothing,
                    _ => Scanned::Row { length: seen, with_end: seen, lines },
                });
            };
            if seen > self.limit {
                return Ok(too_long(at, lines, seen));
            }
            at = match (at, byte) {
                (At::Quoted, b'"') => At::Quote,
                (At::Quoted, _) => {
                    lines += u64::from(byte == b'\r' || (byte == b'\n' && !after_cr));
                    after_cr = byte == b'\r';
                    At::Quoted
                }
                (_, b'\n' | b'\r') => {
                    let with_end = seen + 1 + usize::from(byte == b'\r' && self.line_feed_follows(seen)?);
                    return Ok(Scanned::Row { length: seen, with_end, lines });
                }
                (_, byte) if byte == self.separator => At::Cell,
                (At::Cell, b'"') => At::Quoted,
                (At::Quote, b'"') => {
                    after_cr = false;
                    At::Quoted
                }
                (At::Quote, _) => return Ok(Scanned::Fault("quote_misplaced", seen)),
                (At::Cell | At::Plain, _) => At::Plain,
            };
            seen += 1;
        }
    }

    fn line_feed_follows(&mut self, seen: usize) -> std::io::Result<bool> {
        if self.buffer.len() <= self.start + seen + 1 {
            self.fill()?;
        }
        Ok(self.buffer.get(self.start + seen + 1) == Some(&b'\n'))
    }

    /// Passes over one line, whatever its length, and gives its beginning, so many bytes at most.
    fn skip_line(&mut self, most: usize) -> std::io::Result<Vec<u8>> {
        let mut told = Vec::new();
        loop {
            let rest = self.rest();
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
            let room = most.saturating_sub(told.len()).min(line.len());
            told.extend_from_slice(line.get(..room).unwrap_or_default());
            match end {
                Some(end) => {
                    let is_cr = rest.get(end) == Some(&b'\r');
                    let with_end = end + 1 + usize::from(is_cr && self.line_feed_follows(end)?);
                    self.start += with_end;
                    break;
                }
                None => {
                    self.start = self.buffer.len();
                    if !self.fill()? {
                        break;
                    }
                }
            }
        }
        self.line += 1;
        Ok(told)
    }

    fn fault(&self, code: &'static str, line: u64) -> Fault {
        let limit = self.limit;
        let text = match code {
            "quote_unclosed" => Text::new(
                format!("第 {line} 行起有引号在 {limit} 字节内或到文件末尾仍未闭合：补上引号，或去掉多余的引号"),
                format!(
                    "a quote in the row that begins at line {line} is not closed within {limit} bytes or before the end of the file: close it, or take it away"
                ),
            ),
            "quote_misplaced" => Text::new(
                "引号位置有误：单元格内的引号应成对书写（\"\"），整个单元格用引号括起",
                "a quote stands in the wrong place: double a quote inside a cell, and put the whole cell into quotes",
            ),
            _ => Text::new(
                format!("该行超过 {limit} 字节（limits.line_bytes）"),
                format!("the row has more than {limit} bytes (limits.line_bytes)"),
            ),
        };
        Fault { column: None, code: code.to_owned(), text }
    }
}

fn too_long(at: At, lines: u64, seen: usize) -> Scanned {
    Scanned::Fault(if at == At::Quoted || lines > 1 { "quote_unclosed" } else { "line_too_long" }, seen)
}

fn given_up(line: u64) -> TableError {
    TableError::wrong(
        "quotes_broken",
        format!("引号未闭合的行过多，读到第 {line} 行放弃：请用电子表格软件重新保存为 CSV 或 XLSX"),
        format!(
            "too many rows have a quote that is never closed, given up at line {line}: save the file anew as CSV or XLSX from a spreadsheet"
        ),
    )
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn rows(bytes: &[u8], limit: usize) -> Vec<(u64, String, String)> {
        let text = Decoded::new(Box::new(Cursor::new(bytes.to_vec())), encoding_rs::UTF_8);
        let mut rows = Rows::new(text, b',', limit);
        let mut found = Vec::new();
        while let Some(row) = rows.next_row().unwrap() {
            let text = String::from_utf8_lossy(&row.text).into_owned();
            found.push((row.line, text, row.faults.into_iter().map(|fault| fault.code).collect::<String>()));
        }
        assert!(rows.buffer.len() <= limit + 4 * 64 * 1024, "memory is bounded");
        assert_eq!(rows.text.taken, bytes.len() as u64);
        found
    }

    fn good(line: u64, text: &str) -> (u64, String, String) {
        (line, text.to_owned(), String::new())
    }

    fn bad(line: u64, text: &str, code: &str) -> (u64, String, String) {
        (line, text.to_owned(), code.to_owned())
    }

    #[test]
    fn rows_begin_where_they_begin_in_the_file() {
        let text = b"a,b\r\n1,\"x\r\ny\nz\"\r\n\r\n, ,\n2,\"\"\"q\"\"\"\r3,last";
        let expected = [good(1, "a,b"), good(2, "1,\"x\r\ny\nz\""), good(7, "2,\"\"\"q\"\"\""), good(8, "3,last")];
        assert_eq!(rows(text, 100), expected);
        assert_eq!(rows(b"a,b\"c\"\n", 100), [good(1, "a,b\"c\"")], "a quote within a plain cell is a letter");
        assert_eq!(rows(b"", 100), []);
    }

    #[test]
    fn a_quote_that_is_never_closed_costs_its_own_row_only() {
        let expected = [good(1, "1,a"), bad(2, "2,\"b", "quote_unclosed"), good(3, "3,c"), good(4, "4,d")];
        assert_eq!(rows(b"1,a\n2,\"b\n3,c\n4,d\n", 100), expected);
        let mut many = b"1,a\n2,\"b\n".to_vec();
        for at in 0..100_000 {
            many.extend(format!("{at},c\r\n").bytes());
        }
        let found = rows(&many, 1000);
        assert_eq!(found.len(), 100_002);
        assert_eq!(found[1], bad(2, "2,\"b", "quote_unclosed"));
        assert_eq!(found[100_001], good(100_002, "99999,c"));
        let closed_by_the_next = rows(b"2,\"b\n3,\"c\"\n4,d\n", 100);
        assert_eq!(closed_by_the_next, [bad(1, "2,\"b", "quote_misplaced"), good(2, "3,\"c\""), good(3, "4,d")]);
    }

    #[test]
    fn a_row_over_the_limit_is_named_and_passed_over() {
        let long = "x".repeat(300_000);
        let text = format!("1\n{long}\r\n3\n\"{long}\"\n5\n");
        let found: Vec<_> = rows(text.as_bytes(), 100).into_iter().map(|(line, _, code)| (line, code)).collect();
        let code = |line, code: &str| (line, code.to_owned());
        let expected = [code(1, ""), code(2, "line_too_long"), code(3, ""), code(4, "quote_unclosed"), code(5, "")];
        assert_eq!(found, expected);
    }

    #[test]
    fn quotes_without_end_do_not_make_the_work_grow_with_the_square() {
        let text = Decoded::new(Box::new(Cursor::new(b"a\",\"\n".repeat(100_000))), encoding_rs::UTF_8);
        let mut rows = Rows::new(text, b',', 1 << 20);
        let ended = loop {
            match rows.next_row() {
                Ok(Some(_)) => {}
                Ok(None) => break "read",
                Err(TableError::Wrong(code, _)) => break code,
                Err(TableError::Io(error)) => panic!("{error}"),
            }
        };
        assert_eq!(ended, "quotes_broken");
    }

    proptest! {
        #[test]
        fn any_text_is_rows_and_every_line_is_in_one(text in "[ab\",\r\n\u{0}铭]{0,200}", limit in 1usize..60) {
            let found = rows(text.as_bytes(), limit);
            prop_assert!(found.is_sorted_by(|one, other| one.0 < other.0));
        }
    }
}
