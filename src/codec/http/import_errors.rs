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
use crate::codec::answers::{ERROR_COLUMNS, error_cells, error_line};
use crate::codec::lines::{Line, Lines};
use crate::metrics::Stage;
use crate::model::permitted::Action;
use crate::model::text::Language;
use crate::services::ServiceError;
use crate::services::import::{ErrorRow, ReadJob};

const ROUTE: &str = "/v1/imports/";
const CSV: &str = "text/csv";
const PIECE_BYTES: usize = 64 * 1024;

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let text = call.text_after(ROUTE)?;
    let id = text.strip_suffix("/errors").unwrap_or(&text).to_owned();
    let form = negotiation::best(&call.headers, &[NDJSON, CSV])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadJob { id: id.clone() })?;
    let path = desk.aside(move |services| services.import_errors(&asked)).await;
    call.laps.end(Stage::Service);
    let file = File::open(path?).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => ServiceError::NotFound { what: "import", name: id },
        _ => ServiceError::Internal(format!("the error file does not open: {error}")),
    })?;
    let is_csv = form == CSV;
    let rows = Rows {
        file,
        // A row is kept as a JSON text, where a byte may take six, beside what was wrong with it.
        lines: Lines::new(desk.services.settings.line_bytes * 6 + 16 * 1024),
        language: call.language,
        is_csv,
        is_ended: false,
    };
    let head = if is_csv { ERROR_COLUMNS } else { "" };
    let pieces = stream::unfold((head, rows), |(head, mut rows)| async move {
        let piece = rows.piece(head).await.transpose()?;
        Some((piece, ("", rows)))
    });
    let media_type = if is_csv { "text/csv; charset=utf-8" } else { NDJSON };
    let body = Body::from_stream(pieces);
    Ok(reply::of_type(media_type, StatusCode::OK, Keep::Never, body))
}

struct Rows {
    file: File,
    lines: Lines,
    language: Language,
    is_csv: bool,
    is_ended: bool,
}

impl Rows {
    async fn piece(&mut self, head: &str) -> std::io::Result<Option<Bytes>> {
        let mut out = head.as_bytes().to_vec();
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
        if self.is_csv {
            error_cells(&row, self.language, out);
        } else {
            error_line(&row, self.language, out);
        }
    }
}
