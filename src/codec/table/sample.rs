//! The first rows of a table that may be cut off anywhere: what a mapping is proposed from.

use std::io::Cursor;

use super::Tables;
use crate::services::import::{Form, Mapping, ReadTable, TableError, TableFound};

/// Rows that are looked at.
const ROWS: usize = 200;
/// A text of this length or more is taken to be the beginning of a longer one.
pub const BEGINNING_BYTES: usize = 256 << 10;

/// Proposes a mapping for the table that begins so, and tells what it was read as.
pub fn propose(
    beginning: &[u8],
    form: &Form,
    tables: &Tables,
    prefix: &str,
) -> Result<(Mapping, TableFound), TableError> {
    let whole_lines = match beginning.iter().rposition(|byte| *byte == b'\n') {
        Some(end) if matches!(form, Form::Csv { .. }) && beginning.len() >= BEGINNING_BYTES => {
            beginning.get(..=end).unwrap_or_default()
        }
        _ => beginning,
    };
    let mut table = tables.open(Box::new(Cursor::new(whole_lines.to_vec())), form)?;
    let found = table.found().clone();
    let mut rows = Vec::new();
    while rows.len() < ROWS
        && let Some(row) = table.next_row()?
    {
        let cells = tables.cells(&row.text, found.separator, found.marks());
        if row.faults.is_empty() && cells.len() == found.columns.len() {
            rows.push(cells);
        }
    }
    Ok((Mapping::propose(found.own_columns(), &rows, prefix), found))
}
