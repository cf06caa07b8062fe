//! The lines of an upload, with bounded memory whatever their length.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::job::Job;

/// Rows that are committed together: enough for one fdatasync to be cheap, few enough that a single registration which
/// comes between two windows hardly waits.
const WINDOW_ROWS: usize = 1024;
/// Bytes of a window's rows, so that long lines fill neither the memory nor a group of the journal.
const WINDOW_BYTES: usize = 2 << 20;

/// A line as it came.
pub(super) struct Line {
    pub number: u64,
    pub bytes: Vec<u8>,
    /// Whether it was longer than the limit; `bytes` is its beginning then.
    pub cut: bool,
}

/// The lines of an upload, with bounded memory whatever their length.
pub(super) struct Lines {
    input: BufReader<File>,
    number: u64,
    limit: usize,
}

impl Lines {
    pub fn open(job: &Job, limit: usize) -> std::io::Result<Lines> {
        Ok(Lines { input: BufReader::with_capacity(1 << 20, File::open(job.folder.join("input"))?), number: 0, limit })
    }

    /// The next lines that are not blank; none at the end.
    pub fn window(&mut self) -> std::io::Result<Vec<Line>> {
        let mut window = Vec::with_capacity(WINDOW_ROWS);
        let mut bytes = 0;
        while window.len() < WINDOW_ROWS && bytes < WINDOW_BYTES {
            let Some(line) = self.line()? else { break };
            if line.cut || !line.bytes.trim_ascii().is_empty() {
                bytes += line.bytes.len();
                window.push(line);
            }
        }
        Ok(window)
    }

    fn line(&mut self) -> std::io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let (mut cut, mut any) = (false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.unwrap_or(buffer.len());
            let room = self.limit.saturating_sub(bytes.len());
            bytes.extend_from_slice(&buffer[..taken.min(room)]);
            cut |= taken > room;
            self.input.consume(end.map_or(taken, |end| end + 1));
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && bytes.starts_with(b"\xEF\xBB\xBF") {
            bytes.drain(..3);
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(Some(Line { number: self.number, bytes, cut }))
    }
}
