//! What an upload is: lines of JSON, or a table whose first row names its columns. Reading a table is the codec's work; what
//! this stage needs of it are the traits here.

use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

use super::Mapping;
use super::row::Fault;
use crate::model::text::Text;

/// The form of an upload, and what whoever sent it says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "lowercase")]
pub enum Form {
    #[default]
    Ndjson,
    /// What is not said is found out.
    Csv { encoding: Option<String>, separator: Option<char> },
    /// The first sheet, unless another is named.
    Xlsx { sheet: Option<String> },
}

impl Form {
    /// The word that is shown.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Form::Ndjson => "ndjson",
            Form::Csv { .. } => "csv",
            Form::Xlsx { .. } => "xlsx",
        }
    }

    #[must_use]
    pub fn is_table(&self) -> bool {
        *self != Form::Ndjson
    }
}

/// What a table turned out to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableFound {
    /// Of a CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// Of a workbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// Between the cells of a row's text.
    pub separator: char,
    /// The names in the first row, in their order. None is empty and none occurs twice.
    pub columns: Vec<String>,
    /// How many of the last columns are those that an error file adds: they belong to no record.
    #[serde(default)]
    pub told: usize,
    /// Whether it is an export as CSV, whose cells bear marks against spreadsheets.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exported: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl TableFound {
    /// Takes the last columns for the table's own if the mapping asks for one of them, whatever they are called.
    pub(super) fn own_what_is_mapped(&mut self, mapping: &Mapping) {
        let mapped = mapping.columns();
        let told = self.columns.get(self.own_columns().len()..).unwrap_or_default();
        if told.iter().any(|name| mapped.contains(&name.as_str())) {
            self.told = 0;
        }
    }

    /// How often a cell was marked against spreadsheets: by an error file, by an export, by both.
    #[must_use]
    pub fn marks(&self) -> usize {
        usize::from(self.told > 0) + usize::from(self.exported)
    }

    /// The columns without those that an error file added.
    #[must_use]
    pub fn own_columns(&self) -> &[String] {
        let own = self.columns.len().saturating_sub(self.told);
        self.columns.get(..own).unwrap_or_default()
    }
}

/// One row that is not blank, as it came: CSV in UTF-8.
pub struct TableRow {
    /// Of the file, where the row begins; the header's is 1, as a rule.
    pub line: u64,
    pub text: Vec<u8>,
    /// Bytes of the upload that were read since the row before.
    pub spent: u64,
    /// What was wrong in reading it. A fault without a column is the whole row's; `text` is its beginning then.
    pub faults: Vec<Fault>,
}

/// Why a table is not read, or not any further.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    #[error("the table cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// A stable code and a sentence.
    #[error("{0}: {1}")]
    Wrong(&'static str, Text),
}

impl TableError {
    pub fn wrong(code: &'static str, zh: impl Into<String>, en: impl Into<String>) -> TableError {
        TableError::Wrong(code, Text::new(zh, en))
    }
}

/// What a table is read from.
pub trait Input: Read + Seek + Send {}

impl<T: Read + Seek + Send> Input for T {}

/// A table that is being read, in bounded memory.
pub trait Table: Send {
    fn found(&self) -> &TableFound;
    /// The next row that is not blank; none at the end.
    fn next_row(&mut self) -> Result<Option<TableRow>, TableError>;
}

/// Reads tables: what this stage needs of the codec above it.
pub trait ReadTable: Send + Sync + 'static {
    /// Opens a table and reads its header.
    fn open(&self, input: Box<dyn Input>, form: &Form) -> Result<Box<dyn Table>, TableError>;
    /// The cells of a row's text, without so many marks against spreadsheets ([`TableFound::marks`]).
    fn cells(&self, text: &[u8], separator: char, marks: usize) -> Vec<String>;
}
