//! Prefixes that filings were allocated: served from a start on, and reached by their applicants' keys.

use crate::services::{ServiceError, Services};
use crate::sign::filing::Allocation;
use crate::store::engine::Table;

impl Services {
    /// Takes up the prefixes that filings were allocated: at a start, before anything is asked.
    pub fn take_up_allocations(&self) -> Result<(), ServiceError> {
        self.each_allocation(|allocation| self.serve_allocation(&allocation.prefix, &allocation.registrant))
    }

    /// The prefixes that an applicant's filings were allocated.
    pub(in crate::services) fn allocated_to(&self, applicant: &str) -> Result<Vec<String>, ServiceError> {
        let mut prefixes = Vec::new();
        self.each_allocation(|allocation| {
            if allocation.applicant == applicant {
                prefixes.push(allocation.prefix);
            }
            Ok(())
        })?;
        Ok(prefixes)
    }

    pub(super) fn each_allocation(
        &self,
        mut take: impl FnMut(Allocation) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self.store.scan(Table::Allocation, after.as_deref(), 1_000)?;
            for (key, row) in &rows {
                match serde_json::from_slice::<Allocation>(row) {
                    Ok(allocation) => take(allocation)?,
                    // It stays taken: nobody else is given it.
                    Err(_) => {
                        let prefix = String::from_utf8_lossy(key);
                        tracing::error!(%prefix, "the row of an allocated prefix does not read: it is not served");
                    }
                }
            }
            match rows.last() {
                Some((key, _)) => after = Some(key.to_vec()),
                None => return Ok(()),
            }
        }
    }

    pub(super) fn serve_allocation(&self, prefix: &str, registrant: &str) -> Result<(), ServiceError> {
        self.prefixes.allocate(prefix, registrant).map_err(|error| ServiceError::Internal(error.to_string()))
    }
}
