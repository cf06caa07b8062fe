//! An engine without a disk: for tests, and for a node that may be rebuilt from its journal at every start.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;

use super::engine::{Engine, EngineError, Mark, RowBytes, Table, Visit, Write, table_of, tagged};

/// Every row in one ordered map. The lock is held for one row at a time, so readers never wait for a whole group.
#[derive(Default)]
pub struct MemoryEngine {
    rows: RwLock<BTreeMap<Vec<u8>, Arc<[u8]>>>,
}

impl Engine for MemoryEngine {
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        Ok(self.rows.read().get(&tagged(table, key)).cloned().map(RowBytes::Shared))
    }

    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        let from = match after {
            Some(key) => Bound::Excluded(tagged(table, key)),
            None => Bound::Included(vec![table as u8]),
        };
        let rows = self.rows.read();
        let found = rows.range((from, Bound::Excluded(vec![table as u8 + 1]))).take(limit);
        Ok(found.map(|(key, value)| (key[1..].to_vec(), RowBytes::Shared(Arc::clone(value)))).collect())
    }

    fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError> {
        for (key, value) in self.rows.read().iter() {
            if let Some(table) = key.first().copied().and_then(table_of).filter(|table| *table != Table::Mark) {
                visit(table, &key[1..], value);
            }
        }
        Ok(())
    }

    fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError> {
        for row in rows {
            let key = tagged(row.table, &row.key);
            match &row.value {
                Some(value) => self.rows.write().insert(key, value.as_slice().into()),
                None => self.rows.write().remove(&key),
            };
        }
        self.rows.write().insert(vec![Table::Mark as u8], mark.encode().into());
        Ok(())
    }

    fn mark(&self) -> Result<Option<Mark>, EngineError> {
        let row = self.rows.read().get(&vec![Table::Mark as u8]).cloned();
        match row.map(|bytes| Mark::decode(&bytes)) {
            None => Ok(None),
            Some(Some(mark)) => Ok(Some(mark)),
            Some(None) => {
                Err(EngineError { action: "read the mark", cause: "it does not decode".to_owned(), is_full: false })
            }
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        0
    }
}
