//! Records as a workbook (ECMA-376), written front to back: what is done with leaves at once, so that memory does not grow
//! with the rows and nothing lies on the disk meanwhile.
//!
//! The sheets' XML is ours because workbook writers keep a sheet, in memory or in a file, until it is whole; the archive around
//! it is the crate zip's. Texts stand in the cells themselves (`inlineStr`) and are formatted as text, so that digits stay
//! what they are. Where a sheet is full (Excel's 1,048,576 rows) another begins.

use std::io::{self, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::layout::{Cell, Layout, Row, TooWide};

/// Excel's own bound ("Excel specifications and limits"), the header's row included.
pub const SHEET_ROWS: u32 = 1_048_576;
/// Sheets end before their XML has this many bytes: from 4 GiB on an archive needs an extension (ZIP64) that Excel does not
/// read in a streamed one.
const SHEET_BYTES: u64 = 3 << 30;
/// What is gathered before it is packed.
const GATHERED_BYTES: usize = 64 << 10;
/// Fast: a sheet's XML packs well at any level.
const LEVEL: i64 = 3;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8" standalone="yes"?>"#;
const MAIN: &str = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const RELATIONS: &str = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const PACKAGE: &str = "http://schemas.openxmlformats.org/package/2006";
/// Style 1 is text (the built-in number format 49, `@`), style 2 the same in bold.
const STYLES: &str = concat!(
    r#"<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>"#,
    r#"<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>"#,
    r#"<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>"#,
    r#"<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>"#,
    r#"<cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>"#,
    r#"<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>"#,
    r#"<xf numFmtId="49" fontId="1" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyFont="1"/></cellXfs>"#,
    r#"<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>"#,
);

/// Why a workbook does not go on.
#[derive(Debug, thiserror::Error)]
pub enum XlsxFileError {
    #[error(transparent)]
    TooWide(#[from] TooWide),
    #[error("the workbook cannot be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("the workbook cannot be written: {0}")]
    Io(#[from] io::Error),
}

/// What was packed and not yet taken away.
#[derive(Clone, Default)]
struct Packed(Arc<Mutex<Vec<u8>>>);

impl Write for Packed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A workbook on its way.
pub struct XlsxFile {
    layout: Layout,
    archive: ZipWriter<StreamWriter<Packed>>,
    packed: Packed,
    /// XML of the sheet that is being written, before it is packed.
    xml: Vec<u8>,
    sheets: usize,
    rows: u32,
    most_rows: u32,
    sheet_bytes: u64,
}

impl XlsxFile {
    /// Begins a workbook with the header of its first sheet.
    ///
    /// # Errors
    /// None that memory would not give.
    pub fn new(layout: Layout) -> Result<XlsxFile, XlsxFileError> {
        XlsxFile::with_sheets_of(layout, SHEET_ROWS)
    }

    fn with_sheets_of(layout: Layout, most_rows: u32) -> Result<XlsxFile, XlsxFileError> {
        let packed = Packed::default();
        let archive = ZipWriter::new_stream(packed.clone());
        let mut file =
            XlsxFile { layout, archive, packed, xml: Vec::new(), sheets: 0, rows: 0, most_rows, sheet_bytes: 0 };
        file.begin_sheet()?;
        Ok(file)
    }

    /// Writes the row of a record.
    ///
    /// # Errors
    /// A record that needs more columns than there are.
    pub fn write_row(&mut self, row: &Row<'_>) -> Result<(), XlsxFileError> {
        if self.rows >= self.most_rows || self.sheet_bytes >= SHEET_BYTES {
            self.end_sheet()?;
            self.begin_sheet()?;
        }
        let cells = self.layout.cells(row)?;
        self.put(&cells, 1)
    }

    /// A row that is no record: a text in its first cell.
    pub fn write_remark(&mut self, text: &str) -> Result<(), XlsxFileError> {
        self.put(&[Cell::Text(text.into())], 1)
    }

    /// What can be sent on.
    #[must_use]
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.packed.0.lock())
    }

    /// Ends the workbook; [`XlsxFile::take`] has the last of it.
    pub fn finish(mut self) -> Result<Vec<u8>, XlsxFileError> {
        self.end_sheet()?;
        let sheets = 1..=self.sheets;
        let each = |part: &dyn Fn(usize) -> String| sheets.clone().map(part).collect::<String>();
        let listed = each(&|at| format!(r#"<sheet name="{}" sheetId="{at}" r:id="rId{at}"/>"#, sheet_name(at)));
        let related = each(&|at| relation(at, "worksheet", &format!("worksheets/sheet{at}.xml")));
        let typed = each(&|at| part_type(&format!("/xl/worksheets/sheet{at}.xml"), "worksheet+xml"));
        let styles = relation(self.sheets + 1, "styles", "styles.xml");
        for (name, document) in [
            (
                "xl/workbook.xml",
                format!(r#"<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{listed}</sheets></workbook>"#),
            ),
            (
                "xl/_rels/workbook.xml.rels",
                format!(r#"<Relationships xmlns="{PACKAGE}/relationships">{related}{styles}</Relationships>"#),
            ),
            ("xl/styles.xml", format!(r#"<styleSheet xmlns="{MAIN}">{STYLES}</styleSheet>"#)),
            (
                "_rels/.rels",
                format!(
                    r#"<Relationships xmlns="{PACKAGE}/relationships">{}</Relationships>"#,
                    relation(1, "officeDocument", "xl/workbook.xml")
                ),
            ),
            (
                "[Content_Types].xml",
                format!(
                    r#"<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>{}{typed}{}</Types>"#,
                    part_type("/xl/workbook.xml", "sheet.main+xml"),
                    part_type("/xl/styles.xml", "styles+xml"),
                ),
            ),
        ] {
            self.archive.start_file(name, options())?;
            self.archive.write_all(format!("{HEAD}\n{document}").as_bytes())?;
        }
        self.archive.finish()?;
        let mut last = self.packed.0.lock();
        Ok(std::mem::take(&mut last))
    }

    fn begin_sheet(&mut self) -> Result<(), XlsxFileError> {
        self.sheets += 1;
        (self.rows, self.sheet_bytes) = (0, 0);
        self.archive.start_file(format!("xl/worksheets/sheet{}.xml", self.sheets), options())?;
        let columns = self.layout.names().len();
        let beginning = format!(
            r#"{HEAD}
<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><cols><col min="1" max="{columns}" width="18" style="1"/></cols><sheetData>"#
        );
        self.xml.extend_from_slice(beginning.as_bytes());
        let names = self.layout.names().to_vec();
        let header: Vec<Cell<'_>> = names.iter().map(|name| Cell::Text(name.as_str().into())).collect();
        self.put(&header, 2)
    }

    fn end_sheet(&mut self) -> Result<(), XlsxFileError> {
        self.xml.extend_from_slice(b"</sheetData></worksheet>");
        self.pack()
    }

    fn put(&mut self, cells: &[Cell<'_>], style: u8) -> Result<(), XlsxFileError> {
        self.rows += 1;
        let number = self.rows;
        let xml = &mut self.xml;
        write!(xml, r#"<row r="{number}">"#)?;
        for (at, cell) in cells.iter().enumerate() {
            match cell {
                Cell::Empty => {}
                Cell::Number(text) => write!(xml, r#"<c r="{}{number}"><v>{text}</v></c>"#, column_letters(at))?,
                Cell::Text(text) => {
                    let is_bordered = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
                    let space = if is_bordered { r#" xml:space="preserve""# } else { "" };
                    write!(xml, r#"<c r="{}{number}" s="{style}" t="inlineStr"><is><t{space}>"#, column_letters(at))?;
                    escape(text, xml);
                    xml.extend_from_slice(b"</t></is></c>");
                }
            }
        }
        xml.extend_from_slice(b"</row>");
        if self.xml.len() >= GATHERED_BYTES { self.pack() } else { Ok(()) }
    }

    fn pack(&mut self) -> Result<(), XlsxFileError> {
        self.sheet_bytes += self.xml.len() as u64;
        self.archive.write_all(&self.xml)?;
        self.xml.clear();
        Ok(())
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).compression_level(Some(LEVEL))
}

fn sheet_name(at: usize) -> String {
    if at == 1 { "records".to_owned() } else { format!("records {at}") }
}

fn relation(id: usize, kind: &str, target: &str) -> String {
    format!(r#"<Relationship Id="rId{id}" Type="{RELATIONS}/{kind}" Target="{target}"/>"#)
}

fn part_type(part: &str, kind: &str) -> String {
    format!(
        r#"<Override PartName="{part}" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.{kind}"/>"#
    )
}

/// `A` to `Z`, `AA` and so on.
fn column_letters(mut at: usize) -> String {
    let mut letters = Vec::new();
    loop {
        letters.insert(0, b'A' + u8::try_from(at % 26).unwrap_or(0));
        if at < 26 {
            break;
        }
        at = at / 26 - 1;
    }
    letters.into_iter().map(char::from).collect()
}

/// What XML 1.0 cannot hold at all (section 2.2) becomes U+FFFD: cells have none of it but in names that nothing can write.
fn escape(text: &str, out: &mut Vec<u8>) {
    for letter in text.chars() {
        match letter {
            '&' => out.extend_from_slice(b"&amp;"),
            '<' => out.extend_from_slice(b"&lt;"),
            '>' => out.extend_from_slice(b"&gt;"),
            '\n' => out.push(b'\n'),
            '\0'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}' => out.extend_from_slice("\u{FFFD}".as_bytes()),
            letter => out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::codec::table::Tables;
    use crate::codec::table::workbook::WorkbookLimits;
    use crate::model::time::Timestamp;
    use crate::services::import::{Form, ReadTable};

    #[test]
    fn a_full_sheet_is_followed_by_another_and_each_has_the_header() {
        let layout = Layout::named(["identifier", "status", "more (JSON)"].map(str::to_owned).to_vec()).unwrap();
        let mut file = XlsxFile::with_sheets_of(layout, 3).unwrap();
        let mut bytes = Vec::new();
        for at in 0..5 {
            let identifier = format!("88.118.8/<{at}>&\n\"");
            let row = Row {
                identifier: &identifier,
                version: 1,
                status: "active",
                template: None,
                registrant: None,
                registered: Timestamp::EPOCH,
                updated: Timestamp::EPOCH,
                values: &[],
                links: &[],
                aliases: &[],
            };
            file.write_row(&row).unwrap();
            bytes.extend(file.take());
        }
        bytes.extend(file.finish().unwrap());
        let tables = Tables::new(1 << 20, WorkbookLimits { packed_bytes: 1 << 20, unpacked_bytes: 1 << 20 });
        for (sheet, expected) in [("records", 2), ("records 2", 2), ("records 3", 1)] {
            let form = Form::Xlsx { sheet: Some(sheet.to_owned()) };
            let mut table = tables.open(Box::new(Cursor::new(bytes.clone())), &form).unwrap();
            assert_eq!(table.found().columns, ["identifier", "status", "more (JSON)"]);
            let mut rows = 0;
            while let Some(row) = table.next_row().unwrap() {
                let cells = tables.cells(&row.text, ',', 0);
                assert!(cells[0].ends_with(">&\n\"") && cells[1] == "active", "{cells:?}");
                rows += 1;
            }
            assert_eq!(rows, expected, "{sheet}");
        }
    }

    #[test]
    fn columns_have_letters() {
        for (at, letters) in [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")] {
            assert_eq!(column_letters(at), letters);
        }
    }
}
