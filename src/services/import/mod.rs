//! Import: many records at once, as a job with progress and one outcome a row.
//!
//! The upload is spooled to a file first, so a job never depends on its client staying. Then rows are decided and signed on
//! several threads, committed in groups, and counted; a row that fails is kept with its line, code and reason.
//!
//! - `upload`: what becomes a job. `claim`: a folder for one upload. `parts`: an upload that may break off. `held`: whose an idempotency key is. `lines`: an upload's rows. `table`: what a table is. `mapping`: from a row's columns to a record. `proposal`: a mapping to begin with. `job`: state, counters, files. `row`: one row. `lanes`, `commit`, `atomic`, `run`: the work. `course`: how far a job has come, over stops. `plan`, `undo`, `filter`: jobs that find their rows. `operation`: what a row does. `keeping`: jobs that run no more.

mod atomic;
mod claim;
mod commit;
mod course;
mod filter;
mod held;
mod job;
mod keeping;
mod lanes;
mod lines;
mod mapping;
mod members;
mod operation;
mod parts;
mod plan;
mod proposal;
mod repeat;
mod row;
mod run;
mod table;
mod undo;
mod upload;

use serde::{Deserialize, Serialize};

pub use filter::Chosen;
pub use job::{ErrorRow, Failure, JobState, JobView, Jobs, RowCounts};
pub use keeping::{FoundJobs, OldImports};
pub use mapping::{MappedAlias, MappedValue, Mapping, MappingError};
pub use members::MappedMembers;
pub use operation::Operation;
pub use parts::{Adding, PartsBegun, UploadView};
pub use plan::Plan;
pub use repeat::Repeat;
pub use row::{Fault, ReadRow};
pub use table::{Form, Input, ReadTable, Table, TableError, TableFound, TableRow};
pub use undo::Undo;
pub use upload::{Begun, Upload};

use crate::model::permitted::{Action, Asks};
use crate::model::principal::Scope;

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
    /// What a row does that does not say so itself.
    #[serde(default, skip_serializing_if = "Operation::is_put")]
    pub operation: Operation,
    /// Where the rows come from, if nothing is uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// What its rows may touch: what who asked for it may.
    #[serde(default, skip_serializing_if = "Scope::is_node")]
    pub scope: Scope,
}

/// What an upload's digest leaves out, so that it is the same as before there were tables.
fn is_ndjson(form: &Form) -> bool {
    !form.is_table()
}

impl Asks for StartImport {
    const ACTION: Action = Action::Register;
}

/// Where does an upload stand? Also: give it up.
#[derive(Clone, Debug)]
pub struct ReadUpload {
    pub id: String,
}

impl Asks for ReadUpload {
    const ACTION: Action = Action::Register;
}

/// Add to an upload.
#[derive(Clone, Debug)]
pub struct AddPart {
    pub id: String,
    /// The byte where the part begins.
    pub offset: u64,
}

impl Asks for AddPart {
    const ACTION: Action = Action::Register;
}

/// Take back what a job has done.
#[derive(Clone, Debug)]
pub struct StartUndo {
    pub id: String,
}

impl Asks for StartUndo {
    const ACTION: Action = Action::Register;
}

/// Change every record that a filter matches.
#[derive(Clone, Debug)]
pub struct StartBulk {
    pub chosen: Chosen,
    pub operation: Operation,
    /// Only count, check and show.
    pub dry_run: bool,
}

impl Asks for StartBulk {
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
