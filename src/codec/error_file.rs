//! The rows that were not registered, as a file to be mended and imported again.
//!
//! As NDJSON one object a row. As CSV of a table its own columns in their order, then line, column, code and message, which
//! a further import does not read; of other uploads these four and the row as it came.

use schemars::JsonSchema;
use serde::Serialize;

use super::table::cells;
use super::table::header::{TOLD, told_header};
use crate::model::text::Language;
use crate::services::import::{ErrorRow, TableFound};

/// Writes the rows of one job.
pub struct ErrorFile {
    pub language: Language,
    pub form: ErrorForm,
}

/// In which form.
pub enum ErrorForm {
    Ndjson,
    /// With what the table turned out to be, if the upload was one.
    Csv {
        table: Option<TableFound>,
    },
}

/// A row that was not registered · 未注册的行
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RejectedRow")]
pub(super) struct ErrorRowBody<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<&'a str>,
    code: &'a str,
    message: &'a str,
    row: &'a str,
}

impl ErrorFile {
    /// What comes before the first row.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        match &self.form {
            ErrorForm::Ndjson => Vec::new(),
            ErrorForm::Csv { table: Some(found) } => record(told_header(found)),
            ErrorForm::Csv { table: None } => record(TOLD.into_iter().chain(["row"])),
        }
    }

    pub fn write(&self, row: &ErrorRow, out: &mut Vec<u8>) {
        let message = match self.language {
            Language::Zh => &row.zh,
            Language::En => &row.en,
        };
        let column = row.column.as_deref();
        match &self.form {
            ErrorForm::Ndjson => {
                let body = ErrorRowBody { line: row.line, column, code: &row.code, message, row: &row.row };
                // Text and numbers, whose serialising into memory has no failure to report.
                out.extend(serde_json::to_vec(&body).unwrap_or_default());
                out.push(b'\n');
            }
            ErrorForm::Csv { table } => {
                let line = row.line.to_string();
                let told = [line.as_str(), column.unwrap_or_default(), &row.code, message];
                out.extend(match table {
                    Some(found) => record(table_row(found, cells::read(row.row.as_bytes(), found.separator), told)),
                    None => record(told.into_iter().chain([row.row.as_str()])),
                });
            }
        }
    }
}

/// A row's own cells, what is told of it, and then the cells that no column is there for.
fn table_row(found: &TableFound, mut row: Vec<String>, told: [&str; TOLD.len()]) -> Vec<String> {
    let surplus = row.split_off(found.columns.len().min(row.len()));
    if found.told > 0 {
        row = row.into_iter().map(cells::plain).collect();
    }
    row.resize(found.own_columns().len(), String::new());
    // A NUL ends a text in many programs; in its place stands what an import does not take either.
    row.into_iter().chain(told.map(str::to_owned)).chain(surplus).map(|cell| cell.replace('\0', "\u{FFFD}")).collect()
}

fn record<T: AsRef<str>>(record: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, cell) in record.into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        cells::write(cell.as_ref(), &mut out);
    }
    out.extend_from_slice(b"\r\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(table: Option<TableFound>, row: &str) -> String {
        let file = ErrorFile { language: Language::En, form: ErrorForm::Csv { table } };
        let row = ErrorRow {
            line: 7,
            column: Some("n".to_owned()),
            code: "c".to_owned(),
            zh: "错".to_owned(),
            en: "bad, really".to_owned(),
            row: row.to_owned(),
        };
        let mut out = file.head();
        file.write(&row, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn found(columns: &[&str], told: usize) -> Option<TableFound> {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Some(TableFound { separator: ';', columns, told, ..TableFound::default() })
    }

    #[test]
    fn a_table_has_its_own_columns_first() {
        let head = "编号,n,line,column,code,message\r\n";
        assert_eq!(written(found(&["编号", "n"], 0), "1;=2"), format!("{head}1,\"'=2\",7,n,c,\"bad, really\"\r\n"));
        assert_eq!(written(found(&["编号", "n"], 0), "1"), format!("{head}1,,7,n,c,\"bad, really\"\r\n"));
        assert_eq!(
            written(found(&["编号", "n"], 0), "1;2;3;\0"),
            format!("{head}1,2,7,n,c,\"bad, really\",3,\u{FFFD}\r\n")
        );
        let again = found(&["编号", "n", "line", "column", "code", "message"], 4);
        assert_eq!(written(again.clone(), "1;2;5;n;old;old"), format!("{head}1,2,7,n,c,\"bad, really\"\r\n"));
        let kept = format!("{head}1,\"'=2\",7,n,c,\"bad, really\"\r\n");
        assert_eq!(written(again, "1;'=2;5;n;old;old"), kept, "one apostrophe, however often it is mended");
    }

    #[test]
    fn other_uploads_have_the_row_as_it_came() {
        let expected = "line,column,code,message,row\r\n7,n,c,\"bad, really\",\"{\"\"a\"\":1}\"\r\n";
        assert_eq!(written(None, "{\"a\":1}"), expected);
    }
}
