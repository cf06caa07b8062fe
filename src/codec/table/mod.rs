//! Tables: spreadsheets as CSV or XLSX, read in bounded memory whatever they hold.
//!
//! - `encoding`: from a file's bytes to UTF-8. `rows`: where rows begin and end. `cells`: what lies between the separators.
//! - `csv`: the three together. `workbook`, `part`: whether an XLSX may be opened. `survey`: whether its cells are in order. `xlsx`: its rows. `number`: what a person sees in a cell.
//! - `header`: the first row. `sample`: the first rows, for a mapping to begin with.
//!
//! And written: records as rows that come back as the same records.
//!
//! - `layout`: which columns, and what stands in them. `csv_file`, `xlsx_file`: the rows as bytes, a part at a time.

pub mod cells;
pub mod csv;
pub mod csv_file;
pub mod encoding;
pub mod header;
pub mod layout;
mod number;
mod part;
mod rows;
pub mod sample;
mod survey;
pub mod workbook;
pub mod xlsx;
pub mod xlsx_file;

use self::csv::Csv;
use self::workbook::WorkbookLimits;
use self::xlsx::Sheet;
use crate::config::LimitsSpec;
use crate::services::import::{Form, Input, ReadTable, Table, TableError};

/// The media type of CSV (RFC 7111).
pub const CSV: &str = "text/csv";
/// The media type of XLSX (ECMA-376).
pub const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

/// Reads tables within limits.
pub struct Tables {
    /// The most bytes of one row, in UTF-8.
    pub row_bytes: usize,
    pub workbook: WorkbookLimits,
}

impl Tables {
    #[must_use]
    pub fn new(row_bytes: usize, workbook: WorkbookLimits) -> Tables {
        Tables { row_bytes, workbook }
    }

    /// With the configured limits.
    #[must_use]
    pub fn of(limits: &LimitsSpec) -> Tables {
        let workbook = WorkbookLimits { packed_bytes: limits.xlsx_bytes, unpacked_bytes: limits.xlsx_unpacked_bytes };
        Tables::new(usize::try_from(limits.line_bytes).unwrap_or(usize::MAX), workbook)
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
            Form::Xlsx { sheet } => Ok(Box::new(Sheet::open(input, sheet.as_deref(), self.row_bytes, self.workbook)?)),
        }
    }

    fn cells(&self, text: &[u8], separator: char, marks: usize) -> Vec<String> {
        let row = cells::read(text, separator);
        (0..marks).fold(row, |row, _| row.into_iter().map(cells::plain).collect())
    }
}
