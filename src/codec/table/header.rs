//! The first row of a table: the names of its columns, each there once and none empty.

use super::cells;
use crate::services::import::{TableError, TableFound};

/// The most columns of a table.
pub const MOST_COLUMNS: usize = 1024;
const MOST_NAME_BYTES: usize = 1024;
/// What an error file adds behind a table's own columns.
pub const TOLD: [&str; 4] = ["line", "column", "code", "message"];

/// The columns of a table, if they can be told apart.
pub fn columns(row: Vec<String>, line: u64) -> Result<(Vec<String>, usize), TableError> {
    if row.len() > MOST_COLUMNS {
        return Err(TableError::wrong(
            "columns_too_many",
            format!("表头有 {} 列，上限为 {MOST_COLUMNS}：删去不需要的列", row.len()),
            format!("the header has {} columns, {MOST_COLUMNS} are the most: take some away", row.len()),
        ));
    }
    let mut names: Vec<String> = row.into_iter().map(|cell| cell.trim().to_owned()).collect();
    let told = told_columns(&names);
    if told > 0 {
        names = names.into_iter().map(cells::plain).collect();
    }
    if let Some(broken) = names.iter().find(|name| is_unreadable(name)) {
        let shown: String = broken.chars().take(40).collect::<String>().replace('\0', "");
        return Err(TableError::wrong(
            "header_unreadable",
            format!(
                "第 {line} 行（表头）“{shown}”不可读：请用 encoding 指明编码（如 gb18030、utf-16le），或另存为 UTF-8"
            ),
            format!(
                "the header in line {line} cannot be read at {shown:?}: name the encoding (gb18030, utf-16le, …) with `encoding`, or save the file as UTF-8"
            ),
        ));
    }
    let empty: Vec<String> =
        names.iter().enumerate().filter(|(_, name)| name.is_empty()).map(|(at, _)| (at + 1).to_string()).collect();
    if !empty.is_empty() {
        let places = empty.join(", ");
        return Err(TableError::wrong(
            "header_empty",
            format!("第 {line} 行（表头）第 {places} 列没有列名：补上列名，或删去该列"),
            format!("the header in line {line} has no name for column {places}: give it one, or take the column away"),
        ));
    }
    let mut sorted: Vec<&str> = names.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut twice: Vec<&str> =
        sorted.windows(2).filter_map(|pair| (pair.first() == pair.last()).then_some(*pair.first()?)).collect();
    twice.dedup();
    if !twice.is_empty() {
        let twice = twice.join(", ");
        return Err(TableError::wrong(
            "header_duplicate",
            format!("第 {line} 行（表头）列名重复：{twice}；请改名"),
            format!("the header in line {line} has a name more than once: {twice}; rename the columns"),
        ));
    }
    Ok((names, told))
}

pub(super) fn missing() -> TableError {
    TableError::wrong(
        "header_missing",
        "表格为空：第一行应为列名",
        "the table is empty: its first row must name the columns",
    )
}

fn is_unreadable(name: &str) -> bool {
    name.len() > MOST_NAME_BYTES || name.contains(['\0', '\u{FFFD}'])
}

/// How many of the last columns an error file has added.
fn told_columns(names: &[String]) -> usize {
    let own = names.len().saturating_sub(TOLD.len());
    let (own, last) = names.split_at(own);
    let is_told = !own.is_empty() && last.iter().eq(told_names(own).iter());
    if is_told { TOLD.len() } else { 0 }
}

/// The names of an error file's further columns; `error_` stands before one that the table has itself.
#[must_use]
pub fn told_names(own: &[String]) -> [String; TOLD.len()] {
    TOLD.map(|name| {
        let mut name = name.to_owned();
        while own.contains(&name) {
            name.insert_str(0, "error_");
        }
        name
    })
}

/// The header of a table's error file has its own columns, whatever was added to them before.
#[must_use]
pub fn told_header(found: &TableFound) -> Vec<String> {
    let own = found.own_columns();
    own.iter().cloned().chain(told_names(own)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(names: &[&str]) -> Result<(Vec<String>, usize), &'static str> {
        match columns(names.iter().map(|name| (*name).to_owned()).collect(), 1) {
            Ok(found) => Ok(found),
            Err(TableError::Wrong(code, _)) => Err(code),
            Err(TableError::Io(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn a_header_names_every_column_once() {
        assert_eq!(named(&["编号 ", "name"]).unwrap().0, ["编号", "name"]);
        assert_eq!(named(&["a", "", "b"]), Err("header_empty"));
        assert_eq!(named(&["a", "b", "a"]), Err("header_duplicate"));
        assert_eq!(named(&["a\u{FFFD}"]), Err("header_unreadable"));
        assert_eq!(named(&["a\0"]), Err("header_unreadable"));
        assert_eq!(named(&vec!["a"; MOST_COLUMNS + 1]), Err("columns_too_many"));
    }

    #[test]
    fn what_an_error_file_added_is_known_again_and_added_once_only() {
        let (columns, told) = named(&["code", "name", "line", "column", "error_code", "message"]).unwrap();
        let found = TableFound { columns, told, ..TableFound::default() };
        assert_eq!(found.own_columns(), ["code", "name"]);
        assert_eq!(told_header(&found), ["code", "name", "line", "column", "error_code", "message"]);
        assert_eq!(named(&["line", "column", "code", "message"]).unwrap().1, 0, "a table needs columns of its own");
    }
}
