//! The rows of an upload, window by window, in bounded memory: lines of JSON, or the rows of a table.

use std::fs::File;
use std::io::{BufRead, BufReader};

use super::job::Job;
use super::row::{Fault, Shape};
use super::run::Failed;
use super::table::Table;
use crate::services::Services;

/// Rows that are committed together: enough for one fdatasync to be cheap, few enough that a single registration which
/// comes between two windows hardly waits.
const WINDOW_ROWS: usize = 1024;
/// Bytes of a window's rows, so that long lines fill neither the memory nor a group of the journal.
const WINDOW_BYTES: usize = 2 << 20;

/// A line as it came; of a table a row, which may have several.
pub(super) struct Line {
    pub number: u64,
    pub bytes: Vec<u8>,
    /// Whether it was longer than the limit; `bytes` is its beginning then.
    pub cut: bool,
    /// What was wrong in reading it, of a table; a fault without a column is the whole row's.
    pub faults: Vec<Fault>,
    /// Bytes of the upload that are worked off with it.
    pub spent: u64,
}

/// Where rows come from.
pub(super) enum Rows {
    Lines(Lines),
    Table(Box<dyn Table>),
}

impl Rows {
    /// Opens a job's upload, at the first row that has no outcome yet. Of a table what it turned out to be is noted in the job, and the mapping compared with it.
    pub fn open(services: &Services, job: &Job) -> Result<(Rows, Option<Shape>), Failed> {
        let behind = job.rows_behind();
        if !job.start.form.is_table() {
            let mut rows = Rows::Lines(Lines::open(job, services.settings.line_bytes)?);
            rows.pass_over(behind)?;
            return Ok((rows, None));
        }
        let file = File::open(job.folder.join("input"))?;
        let table = services.table_reader.open(Box::new(file), &job.start.form)?;
        let mut found = table.found().clone();
        if let Some(mapping) = &job.start.mapping {
            found.own_what_is_mapped(mapping);
        }
        job.found(&found)?;
        let shape = Shape::of(&found, &job.start)?;
        let mut rows = Rows::Table(table);
        rows.pass_over(behind)?;
        Ok((rows, Some(shape)))
    }

    fn pass_over(&mut self, rows: u64) -> Result<(), Failed> {
        for _ in 0..rows {
            self.next()?;
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Line>, Failed> {
        Ok(match self {
            Rows::Lines(lines) => lines.next()?,
            Rows::Table(table) => table.next_row()?.map(|row| Line {
                number: row.line,
                bytes: row.text,
                cut: false,
                faults: row.faults,
                spent: row.spent,
            }),
        })
    }

    /// The next rows that are not blank; none at the end.
    pub fn window(&mut self) -> Result<Vec<Line>, Failed> {
        let mut window = Vec::with_capacity(WINDOW_ROWS);
        let mut bytes = 0;
        while window.len() < WINDOW_ROWS && bytes < WINDOW_BYTES {
            let Some(line) = self.next()? else { break };
            bytes += line.bytes.len();
            window.push(line);
        }
        Ok(window)
    }
}

/// The lines of an upload, with bounded memory whatever their length.
pub(super) struct Lines {
    input: BufReader<File>,
    number: u64,
    limit: usize,
}

impl Lines {
    fn open(job: &Job, limit: usize) -> std::io::Result<Lines> {
        Ok(Lines { input: BufReader::with_capacity(1 << 20, File::open(job.folder.join("input"))?), number: 0, limit })
    }

    /// The next line that is not blank; none at the end.
    fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            match self.line()? {
                Some(line) if !line.cut && line.bytes.trim_ascii().is_empty() => {}
                other => return Ok(other),
            }
        }
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
        let spent = bytes.len() as u64 + 1;
        Ok(Some(Line { number: self.number, bytes, cut, faults: Vec::new(), spent }))
    }
}
