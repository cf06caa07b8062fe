//! Change in bulk: the records that a filter matches, each at the version that was seen.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::job::JobView;
use super::operation::Operation;
use super::plan::{Plan, Spool, unread};
use super::run::{Failed, failed};
use super::{StartBulk, StartImport};
use crate::model::draft::DraftPatch;
use crate::model::filter::Filter;
use crate::model::permitted::Permitted;
use crate::model::time::Timestamp;
use crate::services::{ServiceError, Services};
use crate::store::ApplyError;
use crate::store::engine::Table;
use crate::store::journal::JournalError;
use crate::store::rows::RecordRow;

/// Records that are read at once.
const PAGE_ROWS: usize = 512;
/// Identifiers that are shown of a job.
const SHOWN: usize = 20;

/// Every record that a filter means, and what is done to it. Tombstones are never meant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chosen {
    /// It names a prefix.
    pub filter: Filter,
    /// What is changed, where the operation is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<Json>,
}

#[derive(Serialize)]
struct FilterRow<'a> {
    identifier: &'a str,
    if_version: u64,
}

impl Services {
    /// Begins to change what a filter matches.
    pub fn start_bulk(self: &Arc<Self>, asked: Permitted<StartBulk>) -> Result<JobView, ServiceError> {
        let (principal, StartBulk { chosen, operation, dry_run }) = asked.into_parts();
        let prefix = chosen.filter.prefix.clone().unwrap_or_default();
        if self.prefixes.policy(&prefix.to_ascii_lowercase()).is_none() {
            return Err(ServiceError::NotResponsible { identifier: prefix });
        }
        if !principal.scope.reaches(&prefix.to_ascii_lowercase()) {
            let error = ServiceError::OutOfReach { identifier: prefix, scope: principal.scope.to_string() };
            return Err(self.denied(&principal, error));
        }
        if let (Operation::Patch, Some(patch)) = (operation, &chosen.patch) {
            // What is wrong with it is wrong with every row.
            DraftPatch::from_json_within(patch, Timestamp::now(), &self.settings.draft_limits)
                .map_err(ServiceError::Fields)?;
        }
        let scope = principal.scope.clone();
        let start = StartImport { plan: Some(Plan::Bulk(chosen)), operation, dry_run, scope, ..StartImport::default() };
        self.start_plan(start, &principal, |_| Ok(()))
    }

    /// Writes down every record that matches now. One that is damaged is written down at a version that none has, and fails as
    /// a row; where a disk does not answer the job ends, before anything is touched: what may be read again by the time of its
    /// row must not be changed unless the filter means it.
    pub(super) fn spool_filter(&self, filter: &Filter, spool: &mut Spool<'_>) -> Result<(), Failed> {
        let beginning = filter.key_start().unwrap_or_default();
        // No key equals "prefix/", since a suffix is never empty.
        let mut after = beginning.clone().into_bytes();
        loop {
            let rows = self.store.scan(Table::Record, Some(&after), PAGE_ROWS).map_err(|error| unread(&error))?;
            let is_last = rows.len() < PAGE_ROWS;
            for (key, row) in rows {
                let text = String::from_utf8_lossy(&key).into_owned();
                if !text.starts_with(&beginning) {
                    return Ok(());
                }
                let found = RecordRow::decode(&row).map(|row| (row.version, self.store.record(&row)));
                match found {
                    Some((_, Ok(record))) if record.is_tombstone() || !filter.means(&record) => {}
                    Some((version, Ok(record))) => {
                        let identifier = record.identifier.spelling();
                        spool.show(identifier, SHOWN);
                        spool.write(&FilterRow { identifier, if_version: version })?;
                    }
                    Some((_, Err(error @ ApplyError::Journal(JournalError::Io { .. })))) => {
                        let error = ServiceError::from(error);
                        return Err(failed(error.code(), error.text()));
                    }
                    Some((_, Err(_))) | None => spool.write(&FilterRow { identifier: &text, if_version: 0 })?,
                }
                after = key;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
