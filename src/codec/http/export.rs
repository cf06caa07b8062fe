//! `GET /v1/export`: the records that a filter means as one file (NDJSON, CSV or XLSX), a part at a time.
//!
//! Nothing is held but the part that is being sent. Not a snapshot: a row is the record as it was when its part was read; who
//! is registered behind that place meanwhile is missing, and nobody is there twice, for the order is that of the keys. What
//! broke off goes on with `after`, the identifier of the last whole row (a CSV also names its columns).

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::stream;
use http::header::{ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_ENCODING, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::call::Call;
use super::failure::Failure;
use super::listing::{self, Listed};
use super::query::Query;
use super::reply::{self, Keep, NDJSON, Reply};
use super::{Desk, negotiation};
use crate::codec::language::quality;
use crate::codec::problem::{Code, Problem};
use crate::codec::table::layout::{Layout, Row, Tally};
use crate::codec::table::xlsx_file::{XlsxFile, XlsxFileError};
use crate::codec::table::{CSV, XLSX, csv_file};
use crate::guard::Pass;
use crate::model::filter::Filter;
use crate::model::identifier::CanonicalKey;
use crate::model::permitted::Action;
use crate::model::text::Language;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::list::List;

const PARAMETERS: [&str; 5] = ["format", "after", "columns", "bom", "limit"];
/// How many records are read for one part.
const STEP_RECORDS: usize = 256;
/// The columns of a table are those of so many records; what comes later and has none stands in its last column.
const SURVEYED_RECORDS: usize = 1_000_000;
const MOST_RECORDS: usize = 1_000_000_000;
/// Of the columns of a CSV, to be given back with `after`.
const COLUMNS: HeaderName = HeaderName::from_static("mingpai-columns");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Ndjson,
    Csv,
    Xlsx,
}

impl Format {
    /// What `format` says, else what `Accept` prefers.
    fn of(query: &Query<'_>, headers: &HeaderMap) -> Result<Format, Failure> {
        match query.one("format")?.as_deref() {
            Some("ndjson") => Ok(Format::Ndjson),
            Some("csv") => Ok(Format::Csv),
            Some("xlsx") => Ok(Format::Xlsx),
            Some(_) => Err(Failure::query("format", "应为 ndjson、csv 或 xlsx", "must be ndjson, csv or xlsx")),
            None => Ok(match negotiation::best(headers, &[NDJSON, CSV, XLSX])? {
                CSV => Format::Csv,
                XLSX => Format::Xlsx,
                _ => Format::Ndjson,
            }),
        }
    }
}

pub(super) async fn file(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::List)?;
    let query = Query::of(&call.uri, &[&Filter::PARAMETERS[..], &PARAMETERS].concat())?;
    let format = Format::of(&query, &call.headers)?;
    let asked = Asked {
        format,
        after: query.one("after")?,
        columns: query.one("columns")?,
        has_mark: query.flag("bom")?,
        limit: limit(&query)?,
    };
    asked.check()?;
    let filter = query.filter()?;
    let listed = listing::listable(&desk, &call, &pass, &filter)?;
    let after = asked.after.as_deref().map(|text| desk.services.listed_key(&listed, text)).transpose()?;
    let reader = Arc::new(Reader { desk, pass, filter, language: call.language, request_id: call.request_id });
    let layout = if format == Format::Ndjson { None } else { Some(survey(&reader).await?) };
    let fingerprint = layout.as_ref().map(Layout::fingerprint);
    if asked.columns.is_some() && asked.columns != fingerprint {
        return Err(Code::ExportColumnsChanged.into());
    }
    let gzip = format != Format::Xlsx && wants_gzip(&call.headers);
    let writer = Writer::begin(layout, &asked, gzip)?;
    let export = Export { reader, after, writer: Some(writer), left: asked.limit.unwrap_or(MOST_RECORDS) };
    let mut response = reply::of_type(media_type(format, &asked), StatusCode::OK, Keep::Never, export.body());
    dress(&mut response, format, fingerprint, gzip);
    call.laps.end(Step::Service);
    Ok(response)
}

/// What of the query is not the filter.
struct Asked {
    format: Format,
    after: Option<String>,
    columns: Option<String>,
    has_mark: bool,
    limit: Option<usize>,
}

impl Asked {
    fn check(&self) -> Result<(), Failure> {
        match (self.format, &self.after, &self.columns) {
            (Format::Xlsx, Some(_), _) => Err(Failure::query(
                "after",
                "工作簿不能续写：请重新导出，或用 csv",
                "a workbook cannot be continued: export it anew, or as csv",
            )),
            (Format::Csv, Some(_), None) => Err(Failure::query(
                "columns",
                "续写 CSV 时须给出上次回答的 mingpai-columns 头",
                "a CSV goes on with the mingpai-columns header of the answer that broke off",
            )),
            (Format::Csv, Some(_), Some(_)) | (_, _, None) => Ok(()),
            (_, _, Some(_)) => {
                Err(Failure::query("columns", "只与 format=csv 和 after 同用", "goes with format=csv and after only"))
            }
        }
    }
}

fn limit(query: &Query<'_>) -> Result<Option<usize>, Failure> {
    // A header without rows tells which columns there are.
    if query.one("limit")?.as_deref() == Some("0") { Ok(Some(0)) } else { query.limit(MOST_RECORDS) }
}

/// Whether `Accept-Encoding` names gzip (RFC 9110, section 12.5.3); a star alone does not ask for it.
fn wants_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            name.trim().eq_ignore_ascii_case("gzip") && quality(parameters) > 0
        })
}

fn media_type(format: Format, asked: &Asked) -> &'static str {
    match format {
        Format::Ndjson => NDJSON,
        Format::Csv if asked.after.is_some() => "text/csv; charset=utf-8; header=absent",
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Xlsx => XLSX,
    }
}

fn dress(response: &mut Response<Body>, format: Format, fingerprint: Option<String>, gzip: bool) {
    let headers = response.headers_mut();
    let name = match format {
        Format::Ndjson => "attachment; filename=\"records.ndjson\"",
        Format::Csv => "attachment; filename=\"records.csv\"",
        Format::Xlsx => "attachment; filename=\"records.xlsx\"",
    };
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(name));
    headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding, accept-language"));
    if format == Format::Csv
        && let Some(value) = fingerprint.and_then(|text| HeaderValue::try_from(text).ok())
    {
        headers.insert(COLUMNS, value);
    }
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

/// Reads records, a step at a time and away from the threads that answer.
struct Reader {
    desk: Arc<Desk>,
    pass: Pass,
    filter: Filter,
    language: Language,
    request_id: Arc<str>,
}

impl Reader {
    /// The records of the next step, and where the one after it begins.
    fn step(&self, after: Option<CanonicalKey>, limit: usize) -> Result<(Vec<Listed>, Option<CanonicalKey>), Failure> {
        let asked = self.pass.permit(List { filter: self.filter.clone(), after, limit })?;
        let page = self.desk.services.list(&asked)?;
        Ok((page.records, page.next))
    }
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ServiceError::Internal(error.to_string()).into())
}

/// Looks through the records for the columns of their table. Ends with its request: a step is the most that is done in vain.
async fn survey(reader: &Arc<Reader>) -> Result<Layout, Failure> {
    let (mut tally, mut after, mut seen) = (Tally::new(reader.language), None, 0);
    loop {
        let held = Arc::clone(reader);
        let step = aside(move || {
            let (records, next) = held.step(after, STEP_RECORDS)?;
            let records = records.into_iter().filter_map(|(_, record)| record.ok());
            let count = records.map(|record| tally.add(&Row::from(&record))).count();
            Ok::<_, Failure>((tally, count, next))
        });
        let (counted, count, next) = step.await??;
        (tally, after) = (counted, next);
        seen += count;
        if after.is_none() || seen >= SURVEYED_RECORDS {
            return Ok(tally.layout());
        }
    }
}

/// Writes records in their format.
struct Writer {
    rows: Rows,
    gzip: Option<GzEncoder<Vec<u8>>>,
    out: Vec<u8>,
}

enum Rows {
    Ndjson,
    Csv(Layout),
    Xlsx(Box<XlsxFile>),
}

impl Writer {
    fn begin(layout: Option<Layout>, asked: &Asked, gzip: bool) -> Result<Writer, Failure> {
        let mut out = Vec::new();
        let rows = match layout {
            None => Rows::Ndjson,
            Some(layout) if asked.format == Format::Xlsx => {
                Rows::Xlsx(Box::new(XlsxFile::new(layout).map_err(workbook_failed)?))
            }
            Some(layout) => {
                if asked.after.is_none() {
                    out.extend_from_slice(if asked.has_mark { csv_file::MARK } else { b"" });
                    csv_file::write_header(&layout, &mut out);
                }
                Rows::Csv(layout)
            }
        };
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Ok(Writer { rows, gzip, out })
    }

    fn write(&mut self, listed: Listed, reader: &Reader) -> Result<(), Failure> {
        match (&mut self.rows, listed) {
            (Rows::Ndjson, listed) => {
                listing::write(listed, &reader.request_id, reader.language, &mut self.out)?;
                self.out.push(b'\n');
            }
            (Rows::Csv(layout), (_, Ok(record))) => {
                csv_file::write_row(layout, &Row::from(&record), &mut self.out)
                    .map_err(|error| ServiceError::Internal(error.to_string()))?;
            }
            (Rows::Xlsx(file), (_, Ok(record))) => file.write_row(&Row::from(&record)).map_err(workbook_failed)?,
            // No import takes it for a record, and no reader misses the record unseen.
            (rows, (key, Err(error))) => {
                let problem = Failure::from(error).into_problem(&reader.request_id);
                let remark = format!("!{} {key}", problem.code.row().code);
                match rows {
                    Rows::Xlsx(file) => file.write_remark(&remark).map_err(workbook_failed)?,
                    _ => {
                        crate::codec::table::cells::write(&remark, &mut self.out);
                        self.out.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        Ok(())
    }

    /// What can be sent. A packed part can be unpacked as far as it came.
    fn part(&mut self) -> Result<Vec<u8>, Failure> {
        let out = match &mut self.rows {
            Rows::Xlsx(file) => file.take(),
            _ => std::mem::take(&mut self.out),
        };
        let Some(gzip) = &mut self.gzip else { return Ok(out) };
        if out.is_empty() {
            return Ok(out);
        }
        gzip.write_all(&out).and_then(|()| gzip.flush()).map_err(packing_failed)?;
        Ok(std::mem::take(gzip.get_mut()))
    }

    fn end(mut self) -> Result<Vec<u8>, Failure> {
        let mut last = self.part()?;
        if let Rows::Xlsx(file) = self.rows {
            last.extend(file.finish().map_err(workbook_failed)?);
        }
        if let Some(gzip) = self.gzip {
            last.extend(gzip.finish().map_err(packing_failed)?);
        }
        Ok(last)
    }
}

fn workbook_failed(error: XlsxFileError) -> Failure {
    ServiceError::Internal(error.to_string()).into()
}

fn packing_failed(error: std::io::Error) -> Failure {
    ServiceError::Internal(error.to_string()).into()
}

/// An export on its way.
struct Export {
    reader: Arc<Reader>,
    after: Option<CanonicalKey>,
    /// None once all is written, or nothing more can be.
    writer: Option<Writer>,
    left: usize,
}

impl Export {
    /// An error in the middle ends the connection, so that a part cannot pass for the whole.
    fn body(self) -> Body {
        Body::from_stream(stream::unfold(self, |mut export| async move {
            loop {
                export.writer.as_ref()?;
                let request_id = Arc::clone(&export.reader.request_id);
                let done = aside(move || {
                    let part = export.step();
                    (export, part)
                });
                let (after, part) = match done.await {
                    Ok(done) => done,
                    // The work was lost with its thread, and the export with it.
                    Err(failure) => {
                        failure.into_problem(&request_id);
                        return None;
                    }
                };
                export = after;
                match part {
                    Ok(part) if part.is_empty() => {}
                    Ok(part) => return Some((Ok(Bytes::from(part)), export)),
                    Err(failure) => {
                        let problem: Problem = failure.into_problem(&request_id);
                        export.writer = None;
                        return Some((Err(std::io::Error::other(problem.code.row().code)), export));
                    }
                }
            }
        }))
    }

    /// The next part; it may be empty. The last takes the writer along.
    fn step(&mut self) -> Result<Vec<u8>, Failure> {
        let Some(mut writer) = self.writer.take() else { return Ok(Vec::new()) };
        if self.left == 0 {
            return writer.end();
        }
        let limit = STEP_RECORDS.min(self.left);
        let (records, next) = self.reader.step(self.after.take(), limit)?;
        self.left -= records.len();
        for listed in records {
            writer.write(listed, &self.reader)?;
        }
        if next.is_none() {
            return writer.end();
        }
        self.after = next;
        let part = writer.part()?;
        self.writer = Some(writer);
        Ok(part)
    }
}
