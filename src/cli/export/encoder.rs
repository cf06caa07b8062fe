//! Records as the bytes of a file: lines of JSON as the node gave them, or rows of a table by the node's columns.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Format;
use crate::cli::client::{Client, ClientError};
use crate::cli::failure::CliError;
use crate::codec::table::layout::{Layout, Row, TooWide};
use crate::codec::table::xlsx_file::{XlsxFile, XlsxFileError};
use crate::codec::table::{CSV, cells, csv_file};
use crate::model::alias::Alias;
use crate::model::link::Link;
use crate::model::time::Timestamp;
use crate::model::value::Value;

/// A header of a thousand columns is far below.
const HEADER_LIMIT_BYTES: usize = 4 << 20;

pub(super) enum Encoder {
    Ndjson,
    Csv(Layout),
    Xlsx(Box<XlsxFile>),
}

/// A record as a node lists it.
#[derive(Deserialize)]
struct Listed {
    identifier: String,
    version: u64,
    status: String,
    #[serde(default)]
    template: Option<String>,
    values: Vec<Value>,
    #[serde(default)]
    links: Vec<Link>,
    #[serde(default)]
    aliases: Vec<Alias>,
    #[serde(default)]
    registrant: Option<String>,
    registered: Timestamp,
    updated: Timestamp,
}

impl Encoder {
    /// Asks the node for the columns of a table.
    pub async fn begin(format: Format, client: &Client, query: &str) -> Result<Encoder, CliError> {
        if format == Format::Ndjson {
            return Ok(Encoder::Ndjson);
        }
        let path = format!("/v1/export?format=csv&limit=0{query}");
        let header = client
            .patiently(async || {
                // The node looks through all that is asked for, which has no time of its own.
                let answer = client.send(client.request(http::Method::GET, &path, CSV, None)?).await?;
                answer.bytes(HEADER_LIMIT_BYTES).await
            })
            .await?;
        let line = header.strip_suffix(b"\r\n").unwrap_or(&header);
        Encoder::again(format, cells::read(line, ','))
    }

    /// With the columns of an earlier run.
    pub fn again(format: Format, columns: Vec<String>) -> Result<Encoder, CliError> {
        if format == Format::Ndjson {
            return Ok(Encoder::Ndjson);
        }
        let unknown = || ClientError::Unexpected { what: "columns that are not known here".to_owned() };
        let layout = Layout::named(columns).ok_or_else(unknown)?;
        Ok(match format {
            Format::Xlsx => Encoder::Xlsx(Box::new(XlsxFile::new(layout).map_err(failed)?)),
            _ => Encoder::Csv(layout),
        })
    }

    /// To be kept for a later run.
    pub fn columns(&self) -> Vec<String> {
        match self {
            Encoder::Csv(layout) => layout.names().to_vec(),
            Encoder::Ndjson | Encoder::Xlsx(_) => Vec::new(),
        }
    }

    /// What comes before the first record.
    pub fn header(&self, with_mark: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if let Encoder::Csv(layout) = self {
            out.extend_from_slice(if with_mark { csv_file::MARK } else { b"" });
            csv_file::write_header(layout, &mut out);
        }
        out
    }

    pub fn write(&mut self, record: &RawValue, out: &mut Vec<u8>) -> Result<(), CliError> {
        match self {
            Encoder::Ndjson => {
                // One line, whatever white space the node has put into the record: line ends stand between tokens only,
                // inside a JSON string they are escaped.
                out.extend(record.get().bytes().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
                out.push(b'\n');
                Ok(())
            }
            Encoder::Csv(layout) => {
                let listed = read(record)?;
                csv_file::write_row(layout, &listed.row(), out).map_err(too_wide)
            }
            Encoder::Xlsx(file) => {
                let listed = read(record)?;
                file.write_row(&listed.row()).map_err(failed)?;
                out.extend(file.take());
                Ok(())
            }
        }
    }

    /// What comes behind the last record.
    pub fn finish(self) -> Result<Vec<u8>, CliError> {
        match self {
            Encoder::Xlsx(file) => file.finish().map_err(failed),
            Encoder::Ndjson | Encoder::Csv(_) => Ok(Vec::new()),
        }
    }
}

fn read(record: &RawValue) -> Result<Listed, CliError> {
    // What serde says may quote the record.
    serde_json::from_str(record.get()).map_err(|error| {
        ClientError::Unexpected { what: format!("a record, at {}:{}", error.line(), error.column()) }.into()
    })
}

impl Listed {
    fn row(&self) -> Row<'_> {
        Row {
            identifier: &self.identifier,
            version: self.version,
            status: &self.status,
            template: self.template.as_deref(),
            registrant: self.registrant.as_deref(),
            registered: self.registered,
            updated: self.updated,
            values: &self.values,
            links: &self.links,
            aliases: &self.aliases,
        }
    }
}

fn too_wide(error: TooWide) -> CliError {
    let identifier = error.identifier;
    CliError::wrong(
        format!("{identifier} 在导出过程中变大，已有的列放不下：请重新导出（--force）"),
        format!("{identifier} has grown during the export beyond its columns: export again (--force)"),
    )
}

fn failed(error: XlsxFileError) -> CliError {
    match error {
        XlsxFileError::TooWide(error) => too_wide(error),
        other => CliError::wrong(format!("工作簿写不出来：{other}"), other.to_string()),
    }
}
