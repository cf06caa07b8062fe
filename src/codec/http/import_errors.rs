//! `GET /v1/imports/{id}/errors`: the rows that were not registered, as they came, with line, column, code and message.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use tokio::fs::File;
use tokio::io::AsyncReadExt;

use super::call::Call;
use super::query::Query;
use super::reply::{self, Keep, NDJSON, Reply};
use super::{Desk, negotiation};
use crate::codec::error_file::{ErrorFile, ErrorForm};
use crate::codec::lines::{Line, Lines};
use crate::codec::table::CSV;
use crate::model::permitted::Action;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::import::{ErrorRow, ReadJob};

const ROUTE: &str = "/v1/imports/";
const PIECE_BYTES: usize = 64 * 1024;

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let text = call.text_after(ROUTE)?;
    let id = text.strip_suffix("/errors").unwrap_or(&text).to_owned();
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadJob { id: id.clone() })?;
    let view = desk.services.import(&asked)?;
    // Who came with a table gets one, unless something else is asked for.
    let offers = if view.form.is_table() { [CSV, NDJSON] } else { [NDJSON, CSV] };
    let is_csv = negotiation::best(&call.headers, &offers)? == CSV;
    let path = desk.aside(move |services| services.import_errors(&asked)).await;
    call.laps.end(Step::Service);
    let file = File::open(path?).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ServiceError::NotFound { what: "import", name: id },
        _ => ServiceError::Internal(format!("the error file does not open: {error}")),
    })?;
    let form = if is_csv { ErrorForm::Csv { table: view.table } } else { ErrorForm::Ndjson };
    let out = ErrorFile { language: call.language, form };
    let head = out.head();
    let rows = Rows {
        file,
        // A row is kept as a JSON text, where a byte may take six, beside what was wrong with it (U+FFFD stands for one byte).
        lines: Lines::new(desk.services.settings.line_bytes * 6 + 16 * 1024),
        out,
        is_ended: false,
    };
    let pieces = stream::unfold((head, rows), |(head, mut rows)| async move {
        let piece = rows.piece(head).await.transpose()?;
        Some((piece, (Vec::new(), rows)))
    });
    let media_type = if is_csv { "text/csv; charset=utf-8" } else { NDJSON };
    let body = Body::from_stream(pieces);
    Ok(reply::of_type(media_type, StatusCode::OK, Keep::Never, body))
}

struct Rows {
    file: File,
    lines: Lines,
    out: ErrorFile,
    is_ended: bool,
}

impl Rows {
    async fn piece(&mut self, head: Vec<u8>) -> std::io::Result<Option<Bytes>> {
        let mut out = head;
        loop {
            while out.len() < PIECE_BYTES
                && let Some(line) = self.lines.next_line()
            {
                self.write(&line, &mut out);
            }
            if out.len() >= PIECE_BYTES || (self.is_ended && !out.is_empty()) {
                return Ok(Some(out.into()));
            }
            if self.is_ended {
                return Ok(None);
            }
            let mut buffer = vec![0; PIECE_BYTES];
            let count = self.file.read(&mut buffer).await?;
            buffer.truncate(count);
            if count == 0 {
                self.lines.end();
                self.is_ended = true;
            } else {
                self.lines.push(buffer.into());
            }
        }
    }

    /// The last line of a job that runs may be half written: the next fetch has it.
    fn write(&self, line: &Line, out: &mut Vec<u8>) {
        let Line::Whole { bytes, .. } = line else {
            return;
        };
        let Ok(row) = serde_json::from_slice::<ErrorRow>(bytes) else {
            return;
        };
        self.out.write(&row, out);
    }
}
