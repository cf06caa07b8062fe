//! The form of an upload: its media type, and what the query says that is not to be found out.

use http::HeaderMap;

use super::body::{LINES, expect_type, media_type};
use super::failure::Failure;
use super::query::Query;
use crate::codec::table::csv::separator_named;
use crate::codec::table::{CSV, XLSX, encoding};
use crate::services::import::{Form, TableError};

/// The form of a body that may be lines or a table.
pub(super) fn of_import(headers: &HeaderMap, query: &Query<'_>) -> Result<Form, Failure> {
    let [first, second, third] = LINES;
    expect_type(headers, &[first, second, third, CSV, XLSX])?;
    of(headers, query)
}

/// The form of a body that is a table.
pub(super) fn of_table(headers: &HeaderMap, query: &Query<'_>) -> Result<Form, Failure> {
    expect_type(headers, &[CSV, XLSX])?;
    of(headers, query)
}

fn of(headers: &HeaderMap, query: &Query<'_>) -> Result<Form, Failure> {
    let is = |name: &str| media_type(headers).is_some_and(|said| said.eq_ignore_ascii_case(name));
    let (label, separator, sheet) = (query.one("encoding")?, query.one("separator")?, query.one("sheet")?);
    if sheet.is_some() && !is(XLSX) {
        return Err(Failure::query("sheet", "只用于 XLSX", "is for XLSX only"));
    }
    if is(CSV) {
        if let Some(label) = &label {
            encoding::named(label).map_err(|error| wrong("encoding", &error))?;
        }
        let separator = separator.map(|text| separator_named(&text)).transpose().map_err(|_| {
            Failure::query("separator", "应为 comma、semicolon、tab 或 pipe", "must be comma, semicolon, tab or pipe")
        })?;
        return Ok(Form::Csv { encoding: label, separator });
    }
    for (name, value) in [("encoding", &label), ("separator", &separator)] {
        if value.is_some() {
            return Err(Failure::query(name, "只用于 text/csv", "is for text/csv only"));
        }
    }
    Ok(if is(XLSX) { Form::Xlsx { sheet } } else { Form::Ndjson })
}

fn wrong(name: &str, error: &TableError) -> Failure {
    match error {
        TableError::Wrong(_, text) => Failure::query(name, &text.zh, &text.en),
        TableError::Io(error) => Failure::query(name, &error.to_string(), &error.to_string()),
    }
}
