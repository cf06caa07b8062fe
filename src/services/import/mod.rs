//! Import: many records at once, as a job with progress and one outcome a row.
//!
//! The upload is spooled to a file first, so a job never depends on its client staying. Then rows are decided and signed on
//! several threads, committed in groups, and counted; a row that fails is kept with its line, code and reason.
//!
//! - `upload`: what becomes a job. `claim`: a folder for one upload. `held`: whose an idempotency key is. `lines`: an upload's rows. `table`: what a table is. `mapping`: from a row's columns to a record. `proposal`: a mapping to begin with. `job`: state, counters, files. `row`: one row. `lanes`, `run`, `atomic`: the work. `keeping`: jobs that run no more.

mod atomic;
mod claim;
mod held;
mod job;
mod keeping;
mod lanes;
mod lines;
mod mapping;
mod proposal;
mod repeat;
mod row;
mod run;
mod table;
mod upload;

use serde::{Deserialize, Serialize};

pub use job::{ErrorRow, Failure, JobState, JobView, Jobs, RowCounts};
pub use keeping::OldImports;
pub use mapping::{MappedAlias, MappedValue, Mapping, MappingError};
pub use repeat::Repeat;
pub use row::{Fault, ReadRow};
pub use table::{Form, Input, ReadTable, Table, TableError, TableFound, TableRow};
pub use upload::{Begun, Upload};

use crate::model::permitted::{Action, Asks};

/// What happens to a row whose identifier exists with other content. A row that says what stands there is skipped always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The row fails.
    #[default]
    Error,
    Skip,
    /// The row becomes the next version.
    Update,
}

/// How an upload is to be taken.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct StartImport {
    #[serde(default, skip_serializing_if = "is_ndjson")]
    pub form: Form,
    /// Without one every row is a record in the export's form.
    pub mapping: Option<Mapping>,
    pub on_conflict: OnConflict,
    /// Everything is checked and nothing registered.
    pub dry_run: bool,
    /// All rows or none.
    pub atomic: bool,
    /// Makes a repeated upload find the first one's job, for 24 hours.
    pub idempotency_key: Option<String>,
}

/// What an upload's digest leaves out, so that it is the same as before there were tables.
fn is_ndjson(form: &Form) -> bool {
    !form.is_table()
}

impl Asks for StartImport {
    const ACTION: Action = Action::Register;
}

/// How is a job doing?
#[derive(Clone, Debug)]
pub struct ReadJob {
    pub id: String,
}

impl Asks for ReadJob {
    const ACTION: Action = Action::Register;
}
