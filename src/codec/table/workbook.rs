//! Whether a workbook may be opened: its ZIP looked through before anything of it is believed.
//!
//! A few kilobytes can promise gigabytes, and a directory can lie about them. So the directory is judged first, and then
//! every entry is unpacked once to nowhere, counting: what is opened afterwards has been measured (`part`).

use std::io::{Read, SeekFrom};

use zip::ZipArchive;

use super::part::{Harm, Part};
use crate::services::import::{Input, TableError};

/// The most that a workbook may have of everything.
#[derive(Clone, Copy, Debug)]
pub struct WorkbookLimits {
    pub packed_bytes: u64,
    pub unpacked_bytes: u64,
}

/// Texts that the cells share: they are held in memory while the sheet is read, at up to five times this.
const SHARED_TEXT_BYTES: u64 = 64 << 20;
/// Styles, relationships, the list of sheets: held in memory too.
const FRAME_BYTES: u64 = 2 << 20;
const MOST_ENTRIES: u16 = 10_000;
/// The end of a ZIP's directory lies within so many bytes of its end (APPNOTE 4.3.16: 22, and a comment of 65,535).
const END_WITHIN: u64 = 22 + 65_535;
const END_MAGIC: &[u8] = b"PK\x05\x06";
const OLD_FILE_MAGIC: &[u8] = b"\xD0\xCF\x11\xE0";

/// Looks a workbook through; gives its size, and leaves it at its beginning.
pub fn check(input: &mut dyn Input, limits: WorkbookLimits) -> Result<u64, TableError> {
    let size = input.seek(SeekFrom::End(0))?;
    if size > limits.packed_bytes {
        return Err(too_large("limits.xlsx_bytes", limits.packed_bytes));
    }
    check_kind(input, size)?;
    input.seek(SeekFrom::Start(0))?;
    let mut archive = ZipArchive::new(&mut *input).map_err(|error| broken(&error))?;
    let mut left = limits.unpacked_bytes;
    for at in 0..archive.len() {
        let entry = archive.by_index_raw(at).map_err(|error| broken(&error))?;
        if entry.encrypted() {
            return Err(locked());
        }
        left = left.checked_sub(entry.size()).ok_or_else(|| unpacks(limits.unpacked_bytes))?;
    }
    let mut left = limits.unpacked_bytes;
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(|error| broken(&error))?;
        let name = entry.name().map_err(|error| broken(&error))?.to_ascii_lowercase();
        if name.ends_with("vbaproject.bin") {
            return Err(macros());
        }
        let most = part_bytes(&name).unwrap_or(left).min(left);
        let mut part = Part::default();
        std::io::copy(&mut (&mut entry).take(most + 1), &mut part).map_err(|error| broken(&error))?;
        if part.bytes > most {
            return Err(unpacks(most));
        }
        part.judge(&name).map_err(|harm| harmful(&name, &harm))?;
        left -= part.bytes;
    }
    drop(archive);
    input.seek(SeekFrom::Start(0))?;
    Ok(size)
}

/// How large a part may be that is held in memory.
fn part_bytes(name: &str) -> Option<u64> {
    let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
    if file == "sharedstrings.xml" {
        return Some(SHARED_TEXT_BYTES);
    }
    let is_frame = file == "styles.xml"
        || file.starts_with("workbook")
        || file.ends_with(".rels")
        || file == "[content_types].xml";
    is_frame.then_some(FRAME_BYTES)
}

/// Whether it is a ZIP, whose directory is not larger than any spreadsheet needs.
fn check_kind(input: &mut dyn Input, size: u64) -> Result<(), TableError> {
    let mut beginning = Vec::new();
    input.seek(SeekFrom::Start(0))?;
    input.take(4).read_to_end(&mut beginning)?;
    if beginning.starts_with(OLD_FILE_MAGIC) {
        return Err(locked());
    }
    let mut end = Vec::new();
    input.seek(SeekFrom::Start(size.saturating_sub(END_WITHIN)))?;
    input.take(END_WITHIN).read_to_end(&mut end)?;
    let ends = end.windows(12).filter(|bytes| bytes.starts_with(END_MAGIC));
    let counts: Vec<u16> =
        ends.filter_map(|bytes| Some(u16::from_le_bytes([*bytes.get(10)?, *bytes.get(11)?]))).collect();
    if counts.is_empty() {
        return Err(broken(&"no ZIP"));
    }
    if counts.iter().any(|count| *count > MOST_ENTRIES) {
        return Err(broken(&format!("more than {MOST_ENTRIES} parts")));
    }
    Ok(())
}

pub(super) fn broken(cause: &dyn std::fmt::Display) -> TableError {
    let cause: String = cause.to_string().chars().take(200).collect();
    TableError::wrong(
        "workbook_broken",
        format!("不是完好的 XLSX 工作簿（{cause}）：请用电子表格软件重新另存为 .xlsx"),
        format!("not a sound XLSX workbook ({cause}): save it anew as .xlsx from a spreadsheet"),
    )
}

fn harmful(name: &str, harm: &Harm) -> TableError {
    let name: String = name.chars().take(100).collect();
    match harm {
        Harm::Count(count) => broken(&format!("{name}: uniqueCount {count}")),
        Harm::Text(most) => TableError::wrong(
            "workbook_too_large",
            format!("工作簿的 {name} 中有一段文字超过 {most} 字节：请缩短该文字，或另存为 CSV"),
            format!("{name} in the workbook has a text of more than {most} bytes: shorten it, or save the file as CSV"),
        ),
    }
}

fn locked() -> TableError {
    TableError::wrong(
        "workbook_locked",
        "工作簿带密码，或是旧版 .xls：请取消密码并另存为 .xlsx",
        "the workbook has a password, or is an old .xls: take the password away and save it as .xlsx",
    )
}

fn macros() -> TableError {
    TableError::wrong(
        "workbook_macros",
        "工作簿含有宏，不予读取：请另存为不含宏的 .xlsx",
        "the workbook holds macros and is not read: save it as .xlsx, which has none",
    )
}

fn too_large(key: &str, limit: u64) -> TableError {
    TableError::wrong(
        "workbook_too_large",
        format!("工作簿超过 {limit} 字节（{key}）：请拆分，或另存为 CSV，CSV 没有此限制"),
        format!(
            "the workbook has more than {limit} bytes ({key}): split it, or save it as CSV, which has no such limit"
        ),
    )
}

fn unpacks(limit: u64) -> TableError {
    TableError::wrong(
        "workbook_too_large",
        format!(
            "工作簿或其中一部分展开后超过 {limit} 字节（limits.xlsx_unpacked_bytes；经 HTTP 提议映射时至多 32 MiB）：请拆分，或另存为 CSV，CSV 没有此限制"
        ),
        format!(
            "the workbook, or a part of it, unpacks to more than {limit} bytes (limits.xlsx_unpacked_bytes; for a mapping proposed over HTTP 32 MiB at most): split it, or save it as CSV, which has no such limit"
        ),
    )
}
