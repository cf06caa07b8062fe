//! Records as CSV (RFC 4180): UTF-8, lines that end in CR LF, cells marked against spreadsheets that would change them.

use super::cells;
use super::layout::{Cell, Layout, Row, TooWide};

/// The byte order mark, by which Excel knows UTF-8.
pub const MARK: &[u8] = b"\xEF\xBB\xBF";

/// The row of the columns' names.
pub fn write_header(layout: &Layout, out: &mut Vec<u8>) {
    let names = layout.names().iter().map(|name| Cell::Text(name.as_str().into()));
    write_cells(names, out);
}

/// The row of a record.
///
/// # Errors
/// A record that needs more columns than there are.
pub fn write_row(layout: &Layout, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), TooWide> {
    write_cells(layout.cells(row)?.into_iter(), out);
    Ok(())
}

fn write_cells<'c>(row: impl Iterator<Item = Cell<'c>>, out: &mut Vec<u8>) {
    for (at, cell) in row.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        match cell {
            Cell::Empty => {}
            Cell::Text(text) => cells::write(&text, out),
            // Ours by its form: no spreadsheet changes it, and no minus begins a formula.
            Cell::Number(number) => out.extend_from_slice(number.as_bytes()),
        }
    }
    out.extend_from_slice(b"\r\n");
}
