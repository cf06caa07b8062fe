//! Tables: spreadsheets as CSV, read in bounded memory whatever they hold.
//!
//! - `encoding`: from a file's bytes to UTF-8. `rows`: where rows begin and end. `cells`: what lies between the separators.
//! - `csv`: the three together. `header`: the first row. `sample`: the first rows, for a mapping to begin with.

pub mod cells;
pub mod csv;
pub mod encoding;
pub mod header;
mod rows;
pub mod sample;

use self::csv::Csv;
use crate::services::import::{Form, Input, ReadTable, Table, TableError};

/// The media type of CSV (RFC 7111).
pub const CSV: &str = "text/csv";

/// Reads tables within limits.
pub struct Tables {
    /// The most bytes of one row, in UTF-8.
    pub row_bytes: usize,
}

impl Tables {
    #[must_use]
    pub fn new(row_bytes: usize) -> Tables {
        Tables { row_bytes }
    }
}

impl ReadTable for Tables {
    fn open(&self, input: Box<dyn Input>, form: &Form) -> Result<Box<dyn Table>, TableError> {
        match form {
            Form::Ndjson => Err(TableError::wrong("table_unreadable", "不是表格", "this is no table")),
            Form::Csv { encoding, separator } => {
                let csv = Csv::open(input, encoding.as_deref(), *separator, self.row_bytes)?;
                Ok(Box::new(csv))
            }
        }
    }

    fn cells(&self, text: &[u8], separator: char) -> Vec<String> {
        cells::read(text, separator)
    }
}
