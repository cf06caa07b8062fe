//! An XLSX sheet, cell by cell: rows as text that a person sees in the cells.
//!
//! calamine lends its cells from the workbook, so a thread of its own holds both and hands the rows on; what waits between
//! the two is bounded. Only the workbook's shared texts are in memory, never the sheet.

use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use calamine::{Reader, SheetType, Xlsx};
use crossbeam_channel::{Receiver, Sender, bounded};

use super::cells;
use super::header::{self, MOST_COLUMNS};
use super::number::{self, Shown};
use super::survey::{Survey, formula_uncomputed};
use super::workbook::{self, WorkbookLimits, broken};
use crate::model::text::Text;
use crate::services::import::{Fault, Input, Table, TableError, TableFound, TableRow};

/// Rows between the reading thread and the import.
const WAITING_ROWS: usize = 64;
/// Excel's own bounds ("Excel specifications and limits"): rows of a sheet, characters of a cell.
const MOST_ROWS: u32 = 1_048_576;
const CELL_CHARACTERS: usize = 32_767;
/// What is told of a row over the limit.
const TOLD_BYTES: usize = 1024;

/// A sheet that is being read.
pub struct Sheet {
    found: TableFound,
    rows: Receiver<Result<Message, TableError>>,
    /// Nobody wants the rest: its thread ends soon.
    abandoned: Arc<AtomicBool>,
}

impl Drop for Sheet {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
    }
}

enum Message {
    Found(TableFound),
    Row(TableRow),
}

impl Sheet {
    /// Opens a workbook and reads the header of a sheet, the first if none is named.
    pub fn open(
        mut input: Box<dyn Input>,
        sheet: Option<&str>,
        row_bytes: usize,
        limits: WorkbookLimits,
    ) -> Result<Sheet, TableError> {
        let size = workbook::check(&mut *input, limits)?;
        let (send, rows) = bounded(WAITING_ROWS);
        let sheet = sheet.map(str::to_owned);
        let abandoned = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&abandoned);
        let read = move || {
            let work =
                || Reading { send: &send, row_bytes, size, told: 0, abandoned: &seen }.sheet(input, sheet.as_deref());
            // The library adds without looking whether it overflows; a hostile sheet must not be more than a broken one.
            let ended = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken(&"a cell that cannot be")));
            if let Err(error) = ended {
                let _ = send.send(Err(error));
            }
        };
        std::thread::Builder::new().name("import-sheet".to_owned()).spawn(read)?;
        match rows.recv() {
            Ok(Ok(Message::Found(found))) => Ok(Sheet { found, rows, abandoned }),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Message::Row(_))) | Err(_) => Err(header::missing()),
        }
    }
}

impl Table for Sheet {
    fn found(&self) -> &TableFound {
        &self.found
    }

    fn next_row(&mut self) -> Result<Option<TableRow>, TableError> {
        match self.rows.recv() {
            Ok(Ok(Message::Row(row))) => Ok(Some(row)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(Message::Found(_))) | Err(_) => Ok(None),
        }
    }
}

/// The thread's work.
struct Reading<'s> {
    send: &'s Sender<Result<Message, TableError>>,
    row_bytes: usize,
    size: u64,
    told: u64,
    abandoned: &'s AtomicBool,
}

/// Cells of one row so far.
struct Row {
    number: u32,
    cells: Vec<String>,
    faults: Vec<(usize, &'static str, Text)>,
}

impl Reading<'_> {
    fn sheet(&mut self, input: Box<dyn Input>, named: Option<&str>) -> Result<(), TableError> {
        let mut workbook: Xlsx<_> = Xlsx::new(BufReader::new(input)).map_err(|error| broken(&error))?;
        let sheets = workbook.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
        let names: Vec<String> = sheets.map(|sheet| sheet.name.clone()).collect();
        let name = match named {
            None => names.first().ok_or_else(header::missing)?,
            Some(named) => names.iter().find(|name| *name == named).ok_or_else(|| no_sheet(named, &names))?,
        };
        let mut survey = Survey::of(&mut workbook, name, self.abandoned)?;
        let mut cells = workbook.worksheet_cells_reader(name).map_err(|error| broken(&error))?;
        // Some programs do not say how many rows there are: then the last one brings all the progress.
        let rows_said = match cells.dimensions().end.0 {
            0 => u64::MAX,
            last => u64::from(last.min(MOST_ROWS)) + 1,
        };
        let styles = cells.styles();
        let formats: Vec<number::Format> = styles
            .iter()
            .map(|style| number::Format::of(style.number_format.as_ref().map_or("", |format| &format.format_code)))
            .collect();
        let (mut columns, mut row, mut waiting) = (None::<Vec<String>>, None::<Row>, None::<TableRow>);
        loop {
            survey.go_on(self.abandoned)?;
            let cell = cells.next_cell_with_style_id().map_err(|error| broken(&error))?;
            let place = cell.as_ref().map(|(cell, _)| cell.get_position());
            if let Some(done) = row.take_if(|row| place.is_none_or(|(number, _)| number != row.number)) {
                self.row(done, &mut columns, &mut waiting, name, rows_said)?;
            }
            let (Some((cell, style)), Some((number, column))) = (cell, place) else { break };
            let row = row.get_or_insert(Row { number, cells: Vec::new(), faults: Vec::new() });
            let (column, is_lost) = (column as usize, survey.next_is_lost(cell.get_value()));
            if number >= MOST_ROWS || column >= MOST_COLUMNS {
                return Err(too_many(number, column));
            }
            let text = match number::shown(cell.get_value(), formats.get(style).copied().unwrap_or_default()) {
                Shown::Nothing if is_lost => {
                    row.faults.push((column, "formula_uncomputed", formula_uncomputed()));
                    continue;
                }
                Shown::Nothing => continue,
                Shown::Text(text) => text,
                Shown::Wrong(code, text) => {
                    row.faults.push((column, code, text));
                    continue;
                }
            };
            if text.len() > CELL_CHARACTERS && text.chars().count() > CELL_CHARACTERS {
                row.faults.push((column, "cell_too_long", cell_too_long()));
                continue;
            }
            if row.cells.len() <= column {
                row.cells.resize(column + 1, String::new());
            }
            if let Some(cell) = row.cells.get_mut(column) {
                *cell = text;
            }
        }
        if let Some(mut last) = waiting {
            last.spent = self.size.saturating_sub(self.told);
            let _ = self.send.send(Ok(Message::Row(last)));
        }
        Ok(())
    }

    /// Takes a row that is whole: the first is the header, blank ones are none. One row waits, so that the last is known.
    fn row(
        &mut self,
        mut row: Row,
        columns: &mut Option<Vec<String>>,
        waiting: &mut Option<TableRow>,
        sheet: &str,
        rows_said: u64,
    ) -> Result<(), TableError> {
        if row.faults.is_empty() && row.cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        let line = u64::from(row.number) + 1;
        let Some(columns) = columns else {
            if let Some((at, _, text)) = row.faults.into_iter().next() {
                let (zh, en) = (
                    format!("表头第 {} 列：{}", at + 1, text.zh),
                    format!("column {} of the header: {}", at + 1, text.en),
                );
                return Err(TableError::wrong("header_unreadable", zh, en));
            }
            let (names, told) = header::columns(row.cells, line)?;
            *columns = Some(names.clone());
            let sheet = Some(sheet.to_owned());
            let found = TableFound { sheet, separator: ',', columns: names, told, ..TableFound::default() };
            return self.send(Message::Found(found));
        };
        if row.cells.len() < columns.len() {
            row.cells.resize(columns.len(), String::new());
        }
        let mut text = Vec::new();
        for (at, cell) in row.cells.iter().enumerate() {
            if at > 0 {
                text.push(b',');
            }
            cells::write_as_it_is(cell, &mut text);
        }
        let told = row.faults.into_iter();
        let mut faults: Vec<Fault> = told
            .map(|(at, code, text)| Fault { column: columns.get(at).cloned(), code: code.to_owned(), text })
            .collect();
        if text.len() > self.row_bytes {
            text.truncate(TOLD_BYTES);
            faults.insert(0, row_too_long(self.row_bytes));
        }
        let spent = self.size / rows_said;
        let next = TableRow { line, text, spent, faults };
        match waiting.replace(next) {
            None => Ok(()),
            Some(mut before) => {
                before.spent = before.spent.min(self.size - self.told);
                self.told += before.spent;
                self.send(Message::Row(before))
            }
        }
    }

    fn send(&self, message: Message) -> Result<(), TableError> {
        // Nobody waits any more: the import has ended, and so does this.
        self.send.send(Ok(message)).map_err(|_| TableError::Io(std::io::ErrorKind::BrokenPipe.into()))
    }
}

fn no_sheet(named: &str, names: &[String]) -> TableError {
    let names = names.join(", ");
    TableError::wrong(
        "sheet_unknown",
        format!("没有工作表“{named}”；有：{names}"),
        format!("there is no sheet {named}; there are {names}"),
    )
}

fn too_many(row: u32, column: usize) -> TableError {
    let (row, column) = (u64::from(row) + 1, column + 1);
    TableError::wrong(
        "columns_too_many",
        format!("第 {row} 行第 {column} 列有内容，上限为 {MOST_ROWS} 行、{MOST_COLUMNS} 列：删去不需要的部分"),
        format!(
            "there is a cell in row {row}, column {column}; {MOST_ROWS} rows and {MOST_COLUMNS} columns are the most: take some away"
        ),
    )
}

fn cell_too_long() -> Text {
    Text::new(
        format!("单元格超过 {CELL_CHARACTERS} 个字符"),
        format!("the cell has more than {CELL_CHARACTERS} characters"),
    )
}

fn row_too_long(limit: usize) -> Fault {
    let text = Text::new(
        format!("该行超过 {limit} 字节（limits.line_bytes）"),
        format!("the row has more than {limit} bytes (limits.line_bytes)"),
    );
    Fault { column: None, code: "line_too_long".to_owned(), text }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use proptest::prelude::*;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const PRODUCTS: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/products.xlsx"));
    const LIMITS: WorkbookLimits = WorkbookLimits { packed_bytes: 1 << 20, unpacked_bytes: 8 << 20 };

    fn open(bytes: &[u8], sheet: Option<&str>) -> Result<Sheet, TableError> {
        Sheet::open(Box::new(Cursor::new(bytes.to_vec())), sheet, 4096, LIMITS)
    }

    fn code(bytes: &[u8], sheet: Option<&str>) -> &'static str {
        match open(bytes, sheet) {
            Err(TableError::Wrong(code, _)) => code,
            Err(TableError::Io(error)) => panic!("{error}"),
            Ok(_) => "opened",
        }
    }

    /// A workbook of one sheet with these rows, and what else is to be in it.
    fn workbook(rows: &str, parts: &[(&str, &[u8])]) -> Vec<u8> {
        let sheet = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
        let frame: [(&str, &[u8]); 4] = [
            (
                "_rels/.rels",
                br#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
            ),
            ("xl/workbook.xml", br#"<workbook><sheets><sheet name="s" sheetId="1" r:id="r1"/></sheets></workbook>"#),
            (
                "xl/_rels/workbook.xml.rels",
                br#"<Relationships><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
            ),
            ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
        ];
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in frame.iter().chain(parts) {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    fn row(number: u32, cells: &[&str]) -> String {
        let cells: String = cells.iter().map(|cell| format!("<c t=\"str\"><v>{cell}</v></c>")).collect();
        format!("<row r=\"{number}\">{cells}</row>")
    }

    #[test]
    fn rows_are_what_a_person_sees_with_the_numbers_of_the_sheet() {
        let mut sheet = open(PRODUCTS, None).unwrap();
        assert_eq!(sheet.found().sheet.as_deref(), Some("产品"));
        assert_eq!(sheet.found().columns.len(), 10);
        let mut rows = Vec::new();
        let mut spent = 0;
        while let Some(row) = sheet.next_row().unwrap() {
            spent += row.spent;
            let fault = row.faults.into_iter().next().map(|fault| (fault.column.unwrap_or_default(), fault.code));
            rows.push((row.line, cells::read(&row.text, ','), fault));
        }
        assert_eq!(spent, PRODUCTS.len() as u64);
        let lines: Vec<u64> = rows.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [2, 3, 5, 6, 7, 8, 9, 10], "empty and merged rows are none");
        let expected = [
            "A001",
            "六角螺栓 M8",
            "6901234567892",
            "12.50",
            "2026-01-31",
            "7",
            "00042",
            "TRUE",
            "87.5",
            "两行的\n备注",
        ];
        assert_eq!(rows[0].1, expected);
        assert_eq!(rows[1].1[3..6], ["0.30", "2026-01-31", "1000"]);
        assert_eq!(rows[2].1[..1], ["20260131001"]);
        assert_eq!(rows[2].1[4], "2026-02-01T08:30:00");
        assert_eq!(rows[4].2, Some(("净重(kg)".to_owned(), "cell_error".to_owned())));
        assert_eq!(rows[5].2, Some(("产品编码".to_owned(), "number_inexact".to_owned())));
        assert_eq!(open(PRODUCTS, Some("第二页")).unwrap().found().columns, ["code"]);
        assert_eq!(code(PRODUCTS, Some("第三页")), "sheet_unknown");
    }

    #[test]
    fn what_is_no_workbook_is_refused_by_name() {
        let good = format!("{}{}", row(1, &["a", "b"]), row(2, &["1", "2"]));
        assert_eq!(code(&workbook(&good, &[]), None), "opened");
        assert_eq!(code(&workbook(&good, &[("xl/vbaProject.bin", b"x")]), None), "workbook_macros");
        assert_eq!(code(b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", None), "workbook_locked");
        assert_eq!(code(b"a,b\n", None), "workbook_broken");
        assert_eq!(code(b"", None), "workbook_broken");
        assert_eq!(code(&workbook("", &[]), None), "header_missing");
        assert_eq!(code(&workbook(&row(1, &["a", "", "b"]), &[]), None), "header_empty");
        assert_eq!(code(&workbook("<row r=\"1\"><c r=\"AAAAAAAAAAAAAAAA1\"/></row>", &[]), None), "workbook_broken");
        assert_eq!(
            code(&workbook("<row r=\"1\"><c r=\"XFD1\" t=\"str\"><v>x</v></c></row>", &[]), None),
            "columns_too_many"
        );
        assert_eq!(code(&vec![0; 2 << 20], None), "workbook_too_large");
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off_whatever_its_directory_says() {
        let good = row(1, &["a"]);
        let zeros = vec![b' '; 9 << 20];
        let bomb = workbook(&good, &[("xl/media/a.bin", &zeros)]);
        assert!(bomb.len() < 20_000);
        assert_eq!(code(&bomb, None), "workbook_too_large");
        // Sizes of one byte, in the directory and before the entry.
        let (length, lie) = ((9_u32 << 20).to_le_bytes(), 1_u32.to_le_bytes());
        let mut liar = bomb.clone();
        while let Some(at) = liar.windows(4).position(|bytes| bytes == length) {
            liar[at..at + 4].copy_from_slice(&lie);
        }
        assert_ne!(liar, bomb);
        assert!(["workbook_too_large", "workbook_broken"].contains(&code(&liar, None)));
        let styles = workbook(&good, &[("xl/styles.xml", &zeros[..3 << 20])]);
        assert_eq!(code(&styles, None), "workbook_too_large");
    }

    #[test]
    fn what_a_workbook_says_of_itself_sets_no_memory_aside() {
        let good = row(1, &["a"]);
        let strings = "<sst uniqueCount=\"100000000000000\"><si><t>a</t></si></sst>".as_bytes();
        assert_eq!(code(&workbook(&good, &[("xl/sharedStrings.xml", strings)]), None), "workbook_broken");
        assert_eq!(code(&workbook(&good, &[("XL\\sharedstrings.xml", strings)]), None), "workbook_broken");
        let strings = b"<sst count=\"900000000000\" uniqueCount=\"1\"><si><t>a</t></si></sst>";
        assert_eq!(code(&workbook(&good, &[("xl/sharedStrings.xml", strings)]), None), "opened");
        let name = "n".repeat(500 << 10);
        let styles = format!(
            "<styleSheet><fonts><font><name val=\"{name}\"/></font></fonts><cellXfs>{}</cellXfs></styleSheet>",
            "<xf fontId=\"0\"/>".repeat(10_000)
        );
        assert_eq!(code(&workbook(&good, &[("xl/styles.xml", styles.as_bytes())]), None), "workbook_too_large");
        let long = row(2, &[&"x".repeat(2 << 20)]);
        assert_eq!(code(&workbook(&[good.clone(), long].concat(), &[]), None), "workbook_too_large");
        // Indexes and areas as large as they please.
        let shared =
            "<row r=\"2\"><c><f t=\"shared\" si=\"100000000000000\" ref=\"A2:XFD1048576\">1</f><v>2</v></c></row>";
        assert_eq!(code(&workbook(&[&good, shared].concat(), &[]), None), "opened");
        let area = "<worksheet><dimension ref=\"A1:XFD1048576\"/><sheetData/><mergeCells count=\"100000000000000\"/></worksheet>";
        assert_eq!(code(&workbook(&good, &[("xl/worksheets/sheet2.xml", area.as_bytes())]), None), "opened");
    }

    #[test]
    fn a_formula_that_nobody_computed_is_told_and_an_empty_text_is_none() {
        let rows = [
            row(1, &["a", "b"]),
            "<row r=\"2\"><c t=\"str\"><v>1</v></c><c><f>1+1</f></c></row>".to_owned(),
            "<row r=\"3\"><c t=\"str\"><v>1</v></c><c><f>1+1</f><v></v></c></row>".to_owned(),
            "<row r=\"4\"><c t=\"str\"><v>1</v></c><c t=\"str\"><f>T(1)</f><v></v></c></row>".to_owned(),
            "<row r=\"5\"><c t=\"str\"><v>1</v></c><c><f>1+1</f><v>2</v></c></row>".to_owned(),
        ];
        let mut sheet = open(&workbook(&rows.concat(), &[]), None).unwrap();
        let mut told = Vec::new();
        while let Some(row) = sheet.next_row().unwrap() {
            told.push(row.faults.into_iter().map(|fault| fault.code).collect::<String>());
        }
        assert_eq!(told, ["formula_uncomputed", "formula_uncomputed", "", ""]);
    }

    #[test]
    fn cells_out_of_their_order_are_refused_and_a_value_before_its_formula_is_told() {
        let twice = [row(1, &["a", "b"]), row(4, &["1", "2"]), row(4, &["3", "4"])].concat();
        assert_eq!(fault(&workbook(&twice, &[])), "workbook_broken A4");
        let cell = |place: &str| format!("<c r=\"{place}\" t=\"str\"><v>x</v></c>");
        for (cells, named) in [(["B2", "B2"], "B2"), (["AB2", "B2"], "B2"), (["A3", "AB2"], "AB2")] {
            let rows = format!("{}<row r=\"2\">{}{}</row>", row(1, &["a", "b"]), cell(cells[0]), cell(cells[1]));
            assert_eq!(fault(&workbook(&rows, &[])), format!("workbook_broken {named}"));
        }
        let rows = [
            row(1, &["a", "b"]),
            "<row r=\"2\"><c><v>2</v><f>1+1</f></c><c><f>1+1</f><v>2</v></c></row>".to_owned(),
            "<row r=\"3\"><c><f>1+1</f><v>2</v></c><c/></row>".to_owned(),
        ];
        let mut sheet = open(&workbook(&rows.concat(), &[]), None).unwrap();
        let told = sheet.next_row().unwrap().unwrap().faults;
        assert_eq!(
            (told[0].column.as_deref(), told[0].code.as_str(), told.len()),
            (Some("a"), "formula_uncomputed", 1)
        );
        assert!(sheet.next_row().unwrap().unwrap().faults.is_empty());
    }

    /// The code, and the cell that is named.
    fn fault(bytes: &[u8]) -> String {
        match open(bytes, None) {
            Err(TableError::Wrong(code, text)) => {
                let cell = text.en.split("cell ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
                format!("{code} {cell}")
            }
            other => format!("{:?}", other.err()),
        }
    }

    #[test]
    fn a_sheet_that_nobody_wants_any_more_is_not_read_to_its_end() {
        // Rows without a text are never handed on, so nothing else tells the thread.
        let rows: String = (2..3_000).map(|at| format!("<row r=\"{at}\"><c/></row>")).collect();
        let bytes = workbook(&[row(1, &["a"]), rows].concat(), &[]);
        let sheet = open(&bytes, None).unwrap();
        let abandoned = Arc::clone(&sheet.abandoned);
        drop(sheet);
        assert!(abandoned.load(Ordering::Relaxed));
        let (send, _rows) = bounded(WAITING_ROWS);
        let mut reading = Reading { send: &send, row_bytes: 4096, size: 1, told: 0, abandoned: &abandoned };
        assert!(matches!(reading.sheet(Box::new(Cursor::new(bytes.clone())), None), Err(TableError::Io(_))));
        abandoned.store(false, Ordering::Relaxed);
        let mut workbook = Xlsx::new(Cursor::new(bytes)).unwrap();
        let mut survey = Survey::of(&mut workbook, "s", &abandoned).unwrap();
        abandoned.store(true, Ordering::Relaxed);
        let seen = (0..3_000).take_while(|_| {
            survey.next_is_lost(&calamine::DataRef::Empty);
            survey.go_on(&abandoned).is_ok()
        });
        assert_eq!(seen.count(), 999, "the second pass looks every thousand cells");
    }

    #[test]
    fn a_cell_or_row_over_the_limit_is_told_and_the_next_is_read() {
        let long = "x".repeat(CELL_CHARACTERS + 1);
        let rows = [row(1, &["a"]), row(2, &[&long]), row(3, &[&long[..5000]]), row(4, &["fine"])].concat();
        let mut sheet = open(&workbook(&rows, &[]), None).unwrap();
        let mut told = Vec::new();
        while let Some(row) = sheet.next_row().unwrap() {
            told.push((row.line, row.faults.into_iter().map(|fault| fault.code).collect::<String>()));
        }
        let code = |line, code: &str| (line, code.to_owned());
        assert_eq!(told, [code(2, "cell_too_long"), code(3, "line_too_long"), code(4, "")]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_a_sheet_or_an_error(
            changes in proptest::collection::vec((0..PRODUCTS.len(), any::<u8>()), 0..20),
            sheet in "[<>/a-z0-9=\"& ]{0,200}",
        ) {
            let mut bytes = PRODUCTS.to_vec();
            for (at, byte) in changes {
                bytes[at] = byte;
            }
            for bytes in [bytes, workbook(&sheet, &[])] {
                if let Ok(mut sheet) = open(&bytes, None) {
                    while let Ok(Some(row)) = sheet.next_row() {
                        prop_assert!(row.line > 0);
                    }
                }
            }
        }
    }
}
