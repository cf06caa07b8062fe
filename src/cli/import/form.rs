//! The form of a file: by its name, unless it is said.

use std::path::Path;

use clap::{Args, ValueEnum};

use crate::cli::client::{NDJSON, encode};
use crate::cli::failure::CliError;
use crate::codec::table::csv::separator_named;
use crate::codec::table::{CSV, XLSX};
use crate::services::import::Form;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// 每行一个 JSON 对象 / one JSON object a line
    Ndjson,
    /// 首行为列名的表格 / a table whose first row names the columns
    Csv,
    /// Excel 工作簿 / an Excel workbook
    Xlsx,
}

impl Format {
    /// By the extension, which may be followed by `.gz`; what says nothing is NDJSON.
    fn of(file: &Path) -> Format {
        let name = file.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.') {
            Some((_, "csv" | "tsv" | "txt")) => Format::Csv,
            // What is wrong with the latter two the reader says.
            Some((_, "xlsx" | "xlsm" | "xls")) => Format::Xlsx,
            _ => Format::Ndjson,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Format::Ndjson => NDJSON,
            Format::Csv => CSV,
            Format::Xlsx => XLSX,
        }
    }

    pub fn is_table(self) -> bool {
        self != Format::Ndjson
    }
}

#[derive(Debug, Args)]
pub struct FormArguments {
    /// 文件格式，默认按扩展名 / The file's form; by its extension if not said
    #[arg(long, value_name = "FORM")]
    format: Option<Format>,
    /// CSV 的编码，默认自动识别 / The encoding of a CSV, such as gb18030; found out if not said
    #[arg(long, value_name = "NAME")]
    pub encoding: Option<String>,
    /// CSV 的分隔符：comma、semicolon、tab、pipe / What stands between the cells of a CSV
    #[arg(long, value_name = "NAME", value_parser = separator)]
    pub separator: Option<String>,
    /// XLSX 的工作表，默认第一个 / The sheet of an XLSX; the first if not said
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,
}

fn separator(text: &str) -> Result<String, String> {
    separator_named(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl FormArguments {
    /// The form of this file, which the other arguments must go with.
    pub fn format(&self, file: &Path) -> Result<Format, CliError> {
        let format = self.format.unwrap_or_else(|| Format::of(file));
        if format != Format::Csv && (self.encoding.is_some() || self.separator.is_some()) {
            return Err(CliError::wrong(
                "--encoding 与 --separator 只用于 CSV；若文件是 CSV，请加 --format csv",
                "--encoding and --separator are for CSV; if the file is one, add --format csv",
            ));
        }
        if format != Format::Xlsx && self.sheet.is_some() {
            return Err(CliError::wrong(
                "--sheet 只用于 XLSX；若文件是 XLSX，请加 --format xlsx",
                "--sheet is for XLSX; if the file is one, add --format xlsx",
            ));
        }
        Ok(format)
    }

    /// The form as the node reads it; of a table.
    pub fn form(&self, format: Format) -> Result<Form, CliError> {
        match format {
            Format::Ndjson => Err(CliError::wrong(
                "--propose 只用于表格；若文件是 CSV，请加 --format csv",
                "--propose is for tables; if the file is CSV, add --format csv",
            )),
            Format::Csv => {
                let separator = self.separator.as_deref().and_then(|text| separator_named(text).ok());
                Ok(Form::Csv { encoding: self.encoding.clone(), separator })
            }
            Format::Xlsx => Ok(Form::Xlsx { sheet: self.sheet.clone() }),
        }
    }

    /// What of this travels in the query.
    pub fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in [("encoding", &self.encoding), ("separator", &self.separator), ("sheet", &self.sheet)] {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={}", encode(value)));
            }
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_tells_the_form() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("b.CSV.gz", Format::Csv),
            ("c.ndjson.gz", Format::Ndjson),
            ("d.xlsx", Format::Xlsx),
            ("csv", Format::Ndjson),
            ("-", Format::Ndjson),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }
}
