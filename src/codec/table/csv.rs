//! A CSV: encoding and separator found or named, the header read, then its rows.

use std::io;

use super::cells::{self, SEPARATORS};
use super::encoding::{self, Decoded};
use super::header;
use super::rows::Rows;
use crate::model::column;
use crate::services::import::{Input, Table, TableError, TableFound, TableRow};

/// A CSV that is being read.
pub struct Csv {
    found: TableFound,
    rows: Rows,
}

impl Csv {
    /// Opens it and reads its header; `label` and `separator` say what is not to be found out.
    pub fn open(
        mut input: Box<dyn Input>,
        label: Option<&str>,
        separator: Option<char>,
        row_bytes: usize,
    ) -> Result<Csv, TableError> {
        let encoding = match label {
            Some(label) => encoding::named(label)?,
            None => encoding::find(&mut *input)?,
        };
        let mut rows = Rows::new(Decoded::new(input, encoding), b',', row_bytes);
        let beginning = rows.beginning()?;
        // A first line that spreadsheets write and read: `sep=;`.
        let said = said_separator(beginning);
        let separator = separator.or(said).unwrap_or_else(|| likeliest(beginning));
        rows.separator = u8::try_from(separator).unwrap_or(b',');
        if said.is_some() {
            rows.next_row()?;
        }
        let first = rows.next_row()?.ok_or_else(header::missing)?;
        if let Some(fault) = first.faults.first() {
            let (zh, en) =
                (format!("表头不可读：{}", fault.text.zh), format!("the header cannot be read: {}", fault.text.en));
            return Err(TableError::wrong("header_unreadable", zh, en));
        }
        // What was read for the header counts with the first row.
        rows.spent = 0;
        let (columns, told) = header::columns(cells::read(&first.text, separator), first.line)?;
        let exported = column::are_of_export(&columns);
        let encoding = Some(encoding::word(encoding));
        let found = TableFound { encoding, sheet: None, separator, columns, told, exported };
        Ok(Csv { found, rows })
    }
}

impl Table for Csv {
    fn found(&self) -> &TableFound {
        &self.found
    }

    fn next_row(&mut self) -> Result<Option<TableRow>, TableError> {
        self.rows.next_row()
    }
}

fn first_line(beginning: &[u8]) -> &[u8] {
    beginning.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default()
}

fn said_separator(beginning: &[u8]) -> Option<char> {
    let said = first_line(beginning).strip_prefix(b"sep=")?;
    SEPARATORS.into_iter().find(|separator| said == [*separator as u8])
}

/// What occurs most often in the header outside of quotes.
fn likeliest(beginning: &[u8]) -> char {
    let blank = beginning.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let line = first_line(beginning.get(blank..).unwrap_or_default());
    let count = |separator: char| {
        let mut is_quoted = false;
        line.iter()
            .filter(|byte| {
                is_quoted ^= **byte == b'"';
                !is_quoted && **byte == separator as u8
            })
            .count()
    };
    let [mut best, ..] = SEPARATORS;
    for separator in [';', '\t'] {
        if count(separator) > count(best) {
            best = separator;
        }
    }
    best
}

/// A separator as it is named in a query or on a command line.
pub fn separator_named(text: &str) -> io::Result<char> {
    let named = match text {
        "comma" | "," => ',',
        "semicolon" | ";" => ';',
        "tab" | "\t" | "\\t" => '\t',
        "pipe" | "|" => '|',
        _ => return Err(io::Error::other("must be comma, semicolon, tab or pipe, or the character itself")),
    };
    Ok(named)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::table::Tables;
    use crate::codec::table::workbook::WorkbookLimits;
    use crate::services::import::{Form, ReadTable};

    fn tables(row_bytes: usize) -> Tables {
        Tables::new(row_bytes, WorkbookLimits { packed_bytes: 1 << 20, unpacked_bytes: 1 << 20 })
    }

    fn open(bytes: &[u8]) -> Result<TableFound, TableError> {
        let form = Form::Csv { encoding: None, separator: None };
        tables(1000).open(Box::new(Cursor::new(bytes.to_vec())), &form).map(|table| table.found().clone())
    }

    #[test]
    fn the_header_tells_the_separator() {
        for (text, separator) in [
            ("a,b;c,d\n", ','),
            ("a;\"b,,,\";c\n", ';'),
            ("\n\na\tb\n", '\t'),
            ("alone\n1;2;3\n", ','),
            ("sep=;\na;b,c\n", ';'),
        ] {
            assert_eq!(open(text.as_bytes()).unwrap().separator, separator, "{text}");
        }
        let form = Form::Csv { encoding: None, separator: Some('|') };
        let table = tables(1000).open(Box::new(Cursor::new(b"a|b,c\n".to_vec())), &form).unwrap();
        assert_eq!(table.found().columns, ["a", "b,c"]);
    }

    #[test]
    fn a_table_without_a_header_is_refused() {
        for (text, expected) in [
            (&b""[..], "header_missing"),
            (b"\n , \n", "header_missing"),
            (b"a,\"b\n1,2\n", "header_unreadable"),
            (b"a\0,\0b\0\n\0", "header_unreadable"),
        ] {
            match open(text) {
                Err(TableError::Wrong(code, _)) => assert_eq!(code, expected),
                other => panic!("{other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let tables = tables(100);
            let form = Form::Csv { encoding: None, separator: None };
            if let Ok(mut table) = tables.open(Box::new(Cursor::new(bytes)), &form) {
                while let Ok(Some(row)) = table.next_row() {
                    tables.cells(&row.text, table.found().separator, 2);
                }
            }
        }
    }
}
