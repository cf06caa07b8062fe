//! The cells of one row of CSV (RFC 4180): reading them, and writing them so that a spreadsheet leaves them as they are.
//!
//! A spreadsheet takes `=1+1` for a formula, `6901234567890` for 6.9E12 and `007` for 7. Such a cell is written with an
//! apostrophe before it; in a table that has our error file's columns, and in no other, it is taken away again.

use csv_core::{ReadRecordResult, ReaderBuilder};

/// Digits that a spreadsheet still shows as they are.
const SHOWN_DIGITS: usize = 11;

const MARK: &[u8] = b"\xEF\xBB\xBF";

/// What may stand between cells.
pub const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];

/// The cells of a row, without quotes. Whatever the text, there are cells.
#[must_use]
pub fn read(text: &[u8], separator: char) -> Vec<String> {
    // The parser drops a byte order mark before its first row, which each row is; a file's own is gone already.
    let marked = if text.starts_with(MARK) { [MARK, text].concat() } else { Vec::new() };
    let text = if marked.is_empty() { text } else { &marked };
    let separator = u8::try_from(separator).unwrap_or(b',');
    // Made anew for each row, which costs less than the row's copy: a clone of csv-core's parser has an empty table.
    let mut parser = ReaderBuilder::new().delimiter(separator).build();
    let mut out = vec![0; text.len() + 1];
    let mut ends = vec![0; text.iter().filter(|byte| **byte == separator).count() + 2];
    let (mut read, mut written, mut count) = (0, 0, 0);
    loop {
        let (result, taken, wrote, ended) = parser.read_record(
            text.get(read..).unwrap_or_default(),
            out.get_mut(written..).unwrap_or_default(),
            ends.get_mut(count..).unwrap_or_default(),
        );
        read += taken;
        written += wrote;
        count += ended;
        // The end of the text is told by reading nothing once more. Both rooms are as large as the text can need.
        if result != ReadRecordResult::InputEmpty || (read >= text.len() && taken == 0) {
            break;
        }
    }
    let mut start = 0;
    let ends = ends.get(..count).unwrap_or_default();
    ends.iter()
        .map(|end| {
            let cell = String::from_utf8_lossy(out.get(start..*end).unwrap_or_default());
            start = *end;
            cell.into_owned()
        })
        .collect()
}

/// Writes a cell as it is, quoted where CSV needs it.
pub(super) fn write_as_it_is(cell: &str, out: &mut Vec<u8>) {
    quoted(cell, false, out);
}

/// Writes a cell for a spreadsheet: with an apostrophe before what it would change.
pub fn write(cell: &str, out: &mut Vec<u8>) {
    quoted(cell, is_changed_by_spreadsheets(cell.trim_start_matches('\'')), out);
}

fn quoted(cell: &str, is_changed: bool, out: &mut Vec<u8>) {
    if !is_changed && !cell.contains(['"', ',', ';', '\t', '\r', '\n']) && !cell.starts_with(' ') {
        out.extend_from_slice(cell.as_bytes());
        return;
    }
    out.push(b'"');
    if is_changed {
        out.push(b'\'');
    }
    out.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// A cell without the apostrophe that [`write`] put before it.
#[must_use]
pub fn plain(mut cell: String) -> String {
    if cell.strip_prefix('\'').is_some_and(|rest| is_changed_by_spreadsheets(rest.trim_start_matches('\''))) {
        cell.remove(0);
    }
    cell
}

/// Formulas (OWASP, "CSV Injection", also with the wide signs of Chinese and Japanese) and numbers that are names: long ones, those with leading zeros, and `12E5`.
fn is_changed_by_spreadsheets(cell: &str) -> bool {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(cell) {
        return cell.len() > SHOWN_DIGITS || (cell.len() > 1 && cell.starts_with('0'));
    }
    cell.split_once(['e', 'E']).is_some_and(|(number, power)| digits(number) && digits(power))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(cells: &[String]) -> Vec<u8> {
        let mut out = Vec::new();
        for (at, cell) in cells.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write(cell, &mut out);
        }
        out
    }

    #[test]
    fn cells_are_read_without_quotes_and_missing_ones_are_empty() {
        assert_eq!(read(b"a,\"b,\"\"c\nd\",,e", ','), ["a", "b,\"c\nd", "", "e"]);
        assert_eq!(read(b"a;b,c;", ';'), ["a", "b,c", ""]);
        assert_eq!(read(b"a\tb", '\t'), ["a", "b"]);
        assert_eq!(read(b"6901,\"abc,1", ','), ["6901", "abc,1"]);
    }

    #[test]
    fn what_a_spreadsheet_would_change_is_text_and_comes_back() {
        for (cell, expected) in [
            ("=1+1", "\"'=1+1\""),
            ("-5", "\"'-5\""),
            ("@x", "\"'@x\""),
            ("6901234567890", "\"'6901234567890\""),
            ("007", "\"'007\""),
            ("12E5", "\"'12E5\""),
            ("'=x", "\"''=x\""),
            ("\n=x", "\"'\n=x\""),
            ("＝1+1", "\"'＝1+1\""),
            ("＠x", "\"'＠x\""),
            ("12345", "12345"),
            ("0", "0"),
            ("it's", "it's"),
            ("'quoted'", "'quoted'"),
        ] {
            let mut out = Vec::new();
            write(cell, &mut out);
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
            assert_eq!(read(&out, ',').into_iter().map(plain).collect::<Vec<_>>(), [cell]);
        }
    }

    #[test]
    fn a_mark_that_is_not_the_files_first_is_part_of_its_cell() {
        assert_eq!(read("\u{FEFF}a,\u{FEFF}b".as_bytes(), ','), ["\u{FEFF}a", "\u{FEFF}b"]);
        assert_eq!(read(b"\xEF\xBB", ',').len(), 1);
    }

    proptest! {
        #[test]
        fn cells_come_back_as_they_went(cells in proptest::collection::vec(r#"['"=+@,;\t\r\n0-9aE铭＝\u{FEFF} -]{0,8}"#, 1..6)) {
            // A row of one empty cell is a blank line.
            prop_assume!(cells.len() > 1 || !cells[0].is_empty());
            prop_assert_eq!(read(&written(&cells), ',').into_iter().map(plain).collect::<Vec<_>>(), cells.clone());
            let mut out = Vec::new();
            write_as_it_is(&cells[0], &mut out);
            prop_assert_eq!(read(&out, ',').concat(), cells[0].clone());
        }

        #[test]
        fn any_text_has_cells(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let cells = read(&text, ';');
            prop_assert!(cells.len() <= text.len() + 1);
        }
    }
}
