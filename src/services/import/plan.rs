//! Jobs whose rows are not uploaded but found: what a job before has written (to take it back), or what a filter matches.
//!
//! The rows are written down before the first is touched: a stable picture, each with the version that was seen. So such a
//! job never meets its own writes, holds nothing in memory, and goes on after a stop as an import does.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::filter::Chosen;
use super::job::Job;
use super::run::{Failed, failed, internal, stopped_by};
use super::undo::Undo;
use crate::model::text::Text;
use crate::services::Services;
use crate::store::Refusal;

/// Where a job's rows come from, if not from an upload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    Undo(Undo),
    Bulk(Chosen),
}

impl Plan {
    /// The word that is shown.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Plan::Undo(_) => "undo",
            Plan::Bulk(_) => "bulk",
        }
    }
}

/// Rows on their way into a job's input, which has its name when it is whole.
pub(super) struct Spool<'a> {
    services: &'a Services,
    job: &'a Job,
    out: BufWriter<File>,
    beside: PathBuf,
    pub rows: u64,
    bytes: u64,
}

/// How often the room on the disk is looked at.
const ROWS_BETWEEN_LOOKS: u64 = 4096;

/// Writes down the rows of a job that has a plan, unless a start before this has.
pub(super) fn spool(services: &Services, job: &Job, plan: &Plan) -> Result<(), Failed> {
    let input = job.folder.join("input");
    if let Ok(about) = std::fs::metadata(&input) {
        job.spooled(about.len())?;
        return Ok(());
    }
    let beside = job.folder.join("input.new");
    let out = BufWriter::with_capacity(1 << 18, File::create(&beside)?);
    let mut spool = Spool { services, job, out, beside, rows: 0, bytes: 0 };
    match plan {
        Plan::Undo(undo) => services.spool_undo(undo, &mut spool)?,
        Plan::Bulk(chosen) => services.spool_filter(&chosen.filter, &mut spool)?,
    }
    spool.end(&input)
}

impl Spool<'_> {
    pub fn write(&mut self, line: &impl Serialize) -> Result<(), Failed> {
        let mut bytes = serde_json::to_vec(line).map_err(io::Error::from)?;
        bytes.push(b'\n');
        self.rows += 1;
        self.bytes += bytes.len() as u64;
        let limit = self.services.settings.import_bytes;
        if self.bytes > limit {
            return Err(failed(
                "plan_too_large",
                Text::new(
                    format!("要改动的记录过多（清单超过 {limit} 字节，见 limits.import_bytes）：请缩小范围，分次进行"),
                    format!(
                        "too many records to change (their list has more than {limit} bytes, see limits.import_bytes): narrow it down, in several jobs"
                    ),
                ),
            ));
        }
        if self.rows.is_multiple_of(ROWS_BETWEEN_LOOKS)
            && let Some(needed_bytes) = (self.services.store.room())()
        {
            return Err(stopped_by(self.job, &Refusal::Full { needed_bytes }));
        }
        Ok(self.out.write_all(&bytes)?)
    }

    /// Shows one of the first rows to whoever looks at the job.
    pub fn show(&self, identifier: &str, most: usize) {
        let mut sample = self.job.sample.lock();
        if sample.len() < most {
            sample.push(identifier.to_owned());
        }
    }

    /// A crash before the name is there leaves a job that writes its rows down again, with nothing touched yet.
    fn end(self, input: &std::path::Path) -> Result<(), Failed> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_data()?;
        std::fs::rename(&self.beside, input)?;
        File::open(&self.job.folder)?.sync_all()?;
        self.job.spooled(self.bytes)?;
        Ok(())
    }
}

/// What stands in the way of writing rows down, inside a walk that has its own kind of error.
pub(super) fn unread(error: &dyn std::fmt::Display) -> Failed {
    tracing::error!(%error, "the rows of a job could not be found");
    internal("the rows of a job could not be found")
}
