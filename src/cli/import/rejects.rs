//! The rows that failed: fetched whole into a file, the first of them shown.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::job::JobSeen;
use crate::cli::client::{Client, NDJSON};
use crate::cli::failure::CliError;
use crate::cli::new_file::NewFile;
use crate::cli::screen::Screen;
use crate::codec::table::CSV;

/// Rows that are shown on the screen.
const SHOWN: usize = 5;
/// The most of the answer's beginning that is kept to show rows from.
const SHOWN_BYTES: usize = 256 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What was fetched.
#[derive(Default)]
pub struct Rejects {
    /// Where the rows are, if they are in a file.
    pub file: Option<PathBuf>,
    beginning: Vec<u8>,
    count: u64,
}

#[derive(Deserialize)]
struct RejectedRow {
    line: u64,
    #[serde(default)]
    column: Option<String>,
    code: String,
    message: String,
    /// As it came; of a job that found its rows itself, a line that names the record.
    #[serde(default)]
    row: String,
}

impl RejectedRow {
    /// The record that a row of no file is about: its line's number would lead nowhere.
    fn identifier(&self) -> Option<String> {
        let row: Value = serde_json::from_str(&self.row).ok()?;
        row.get("identifier").and_then(Value::as_str).map(str::to_owned)
    }
}

impl Rejects {
    /// Fetches the rows of an ended job. Where none failed and `clears`, a file of an earlier run is replaced by an empty
    /// one: its rows would be taken for this run's.
    pub async fn fetch(
        client: &Client,
        job: &JobSeen,
        file: Option<PathBuf>,
        clears: bool,
        screen: Screen,
    ) -> Result<Rejects, CliError> {
        let count = job.rows.failed;
        if count == 0 {
            if let Some(file) = file.filter(|file| clears && file.is_file()) {
                NewFile::create(&file)?.finish()?;
            }
            return Ok(Rejects::default());
        }
        let path = format!("/v1/imports/{}/errors", job.id);
        let mut attempts = 3;
        loop {
            attempts -= 1;
            match Rejects::fetch_both(client, &path, file.as_deref()).await {
                Err(CliError::Client(error)) if error.passes() && attempts > 0 => {
                    screen.note_text(&error.text());
                    // Waits until the node answers again.
                    super::upload::may_import(client).await?;
                }
                other => {
                    return other.map(|beginning| Rejects { file, beginning, count });
                }
            }
        }
    }

    /// A table for a spreadsheet goes into its file; what is shown is read from the other form.
    async fn fetch_both(client: &Client, path: &str, file: Option<&Path>) -> Result<Vec<u8>, CliError> {
        let is_csv = |file: &&Path| file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        match file.filter(is_csv) {
            None => Rejects::fetch_once(client, path, NDJSON, file).await,
            Some(table) => {
                Rejects::fetch_once(client, path, CSV, Some(table)).await?;
                Rejects::fetch_once(client, path, NDJSON, None).await
            }
        }
    }

    async fn fetch_once(
        client: &Client,
        path: &str,
        form: &'static str,
        file: Option<&Path>,
    ) -> Result<Vec<u8>, CliError> {
        let mut answer = client.get(path, form).await?;
        let mut out = file.map(NewFile::create).transpose()?.map(BufWriter::new);
        if let (CSV, Some(out), Some(file)) = (form, &mut out, file) {
            // Without the mark Excel reads a CSV in the encoding of its system.
            out.write_all(BYTE_ORDER_MARK).map_err(CliError::file("写入", "write", file))?;
        }
        let mut beginning = Vec::new();
        while let Some(piece) = answer.piece().await? {
            let room = SHOWN_BYTES.saturating_sub(beginning.len()).min(piece.len());
            beginning.extend_from_slice(piece.get(..room).unwrap_or_default());
            match (&mut out, file) {
                (Some(out), Some(file)) => out.write_all(&piece).map_err(CliError::file("写入", "write", file))?,
                _ if beginning.len() >= SHOWN_BYTES => break,
                _ => {}
            }
        }
        if let (Some(out), Some(file)) = (out, file) {
            out.into_inner()
                .map_err(std::io::IntoInnerError::into_error)
                .map_err(CliError::file("写入", "write", file))?
                .finish()?;
        }
        Ok(beginning)
    }

    /// The first rows as a person reads them: by their lines where they are `of_a_file`, else by their records' names.
    pub fn shown(&self, of_a_file: bool, screen: Screen) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.beginning);
        let mut lines: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<RejectedRow>(line).ok())
            .take(SHOWN)
            .map(|row| {
                if let Some(name) = row.identifier().filter(|_| !of_a_file) {
                    return format!("  {name}: {} ({})", row.message, row.code);
                }
                let column = row.column.map(|column| format!(", {column}")).unwrap_or_default();
                let line = match screen.pick("zh", "en") {
                    "zh" => format!("第 {} 行{column}", row.line),
                    _ => format!("line {}{column}", row.line),
                };
                format!("  {line}: {} ({})", row.message, row.code)
            })
            .collect();
        let more = self.count.saturating_sub(lines.len() as u64);
        if more > 0 && !lines.is_empty() {
            lines.push(match screen.pick("zh", "en") {
                "zh" => format!("  …另有 {more} 行"),
                _ => format!("  … and {more} more"),
            });
        }
        lines
    }
}
