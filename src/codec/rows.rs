//! The rows of an import as documents: the strict reader, handed to the service that needs it.

use serde_json::Value as Json;

use super::json;
use super::problem::Problem;
use crate::model::draft::{PLAIN_DEPTH, PlainRow};
use crate::model::text::Text;
use crate::services::import::ReadRow;

/// Reads each line as strict JSON, nested no deeper than this.
pub struct StrictRows {
    pub depth: usize,
}

impl ReadRow for StrictRows {
    fn read(&self, line: &[u8]) -> Result<Json, (&'static str, Text)> {
        json::parse(line, self.depth).map_err(|error| {
            let problem = Problem::from(error);
            let code = problem.code.row().code;
            let detail = problem.detail.unwrap_or_else(|| Text::new("不是合格的 JSON", "not well-formed JSON"));
            (code, detail)
        })
    }

    fn plain<'l>(&self, line: &'l [u8]) -> Option<PlainRow<'l>> {
        // Where the limit would not let them in, the long way says so.
        let is_allowed = self.depth >= PLAIN_DEPTH;
        if is_allowed { PlainRow::read(line) } else { None }
    }
}
