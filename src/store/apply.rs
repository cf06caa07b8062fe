//! From a durable frame to rows: the one function that running and recovery share.
//!
//! Everything comes from the frame and the frame before it, never from the rows that happen to be there. So a replay
//! gives the same rows as the run, whatever sled kept, and the totals in the mark can be checked against a scan.

use std::borrow::Cow;
use std::sync::Arc;

use super::engine::{Engine, Mark, Table, Write};
use super::journal::{Frame, FrameKind, JournalError, Location, Meta, Reader};
use super::rows::{INLINE_BYTES, LeafHash, RecordRow, RequestRow, leaf_hash, row_hash};
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;

/// Rows of these decide who may register something, and whether anybody may: what was decided before they changed is decided
/// anew.
pub(super) const DECIDING: [Table; 3] = [Table::Licence, Table::Standing, Table::Allocation];

/// What the store asks of the stage above it: to read what that stage has written.
pub trait ReadStatement: Send + Sync + 'static {
    /// The record that an entry's disclosures state.
    fn record(&self, statement: &[u8], disclosures: &[u8], meta: &Meta) -> Result<Record, String>;
    /// The rows that a statement or an audit event asks for (keys of the API, what was erased).
    ///
    /// `index` is the statement's place in its tree, where it is known; the rows' keys never depend on it.
    fn rows(&self, kind: FrameKind, statement: &[u8], index: u64) -> Result<Vec<Write>, String>;
}

/// One row's change. `old` is what the journal says was there, so that totals follow without a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub table: Table,
    pub key: Vec<u8>,
    pub old: Option<Vec<u8>>,
    pub new: Option<Vec<u8>>,
}

/// Why a frame could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Engine(#[from] super::engine::EngineError),
    /// The bytes are what was written, and do not say what they should: another program's journal, or a bug.
    #[error("sequence {sequence}: the statement does not read: {cause}")]
    Statement { sequence: u64, cause: String },
    /// The record store has a row there, and it says nothing.
    #[error("the row of {0} in the record store does not read: stop the node and run `mingpai doctor --rebuild`")]
    Row(CanonicalKey),
}

/// The row of an identifier. One that does not read is damaged, never absent: the name would be given out again.
pub fn row_of(engine: &dyn Engine, key: &CanonicalKey) -> Result<Option<RecordRow>, ApplyError> {
    let row = engine.read(Table::Record, key.as_bytes())?;
    row.map(|bytes| RecordRow::decode(&bytes).ok_or_else(|| ApplyError::Row(key.clone()))).transpose()
}

/// The version before, as its own frame states it: what a later frame of the identifier takes away.
#[derive(Clone, Debug)]
pub struct Before {
    pub row: RecordRow,
    pub aliases: Vec<CanonicalKey>,
    pub key: CanonicalKey,
}

impl Before {
    /// Reads the version in this frame; `None` once it is erased. The index is not in the frame.
    pub fn read(
        journal: &Reader,
        statements: &dyn ReadStatement,
        location: Location,
        index: u64,
    ) -> Result<Option<Before>, ApplyError> {
        let mut frame = journal.frame(location)?;
        frame.index = index;
        let Some(disclosures) = &frame.disclosures else {
            return Ok(None);
        };
        let record = decode(statements, &frame, disclosures)?;
        Ok(Some(Before {
            row: record_row(&frame, &record, leaf_hash(&frame.statement)),
            key: record.identifier.key().clone(),
            aliases: record.aliases.iter().map(|alias| alias.key().clone()).collect(),
        }))
    }
}

/// What a running store knows already of a frame that it applies. A replay knows nothing and reads it all.
#[derive(Clone, Copy, Default)]
pub struct Known<'a> {
    pub record: Option<&'a Record>,
    pub before: Option<&'a Before>,
    pub leaf: Option<LeafHash>,
}

/// Turns frames into changes.
pub struct Applier {
    pub statements: Arc<dyn ReadStatement>,
    pub journal: Arc<Reader>,
}

impl Applier {
    /// The changes that a frame makes. What is known spares the reading, and changes nothing of the result.
    pub fn changes(&self, frame: &Frame, known: Known<'_>) -> Result<Vec<Change>, ApplyError> {
        match frame.kind {
            FrameKind::Entry => self.entry(frame, known),
            FrameKind::Erasure => self.erasure(frame, known),
            FrameKind::Statement | FrameKind::Audit => {
                let rows = self
                    .statements
                    .rows(frame.kind, &frame.statement, frame.index)
                    .map_err(|cause| unread(frame, cause))?;
                Ok(rows
                    .into_iter()
                    .map(|row| Change { table: row.table, key: row.key, old: None, new: row.value })
                    .collect())
            }
            FrameKind::Withheld => {
                let before = self.before(frame, known)?;
                Ok(before.map(|before| taken_away(&before)).unwrap_or_default())
            }
            FrameKind::CheckpointHead | FrameKind::Seal => Ok(Vec::new()),
        }
    }

    fn entry(&self, frame: &Frame, known: Known<'_>) -> Result<Vec<Change>, ApplyError> {
        let mut changes = Vec::with_capacity(2);
        let leaf = known.leaf.unwrap_or_else(|| leaf_hash(&frame.statement));
        if let Some(idempotency) = &frame.meta.idempotency {
            let row = RequestRow {
                request: idempotency.request,
                time: frame.meta.time,
                effect: frame.meta.effect,
                version: frame.meta.version,
                location: frame.location,
                index: frame.index,
                leaf,
            };
            let key = RequestRow::key(&frame.meta.principal, &idempotency.key);
            changes.push(Change { table: Table::Request, key, old: None, new: Some(row.encode()) });
        }
        let decoded;
        let record = match (known.record, &frame.disclosures) {
            (Some(record), _) => record,
            (None, Some(disclosures)) => {
                decoded = decode(self.statements.as_ref(), frame, disclosures)?;
                &decoded
            }
            // Erased: what it said is gone, and the erasure's own frame keeps the identifier from being given out again.
            (None, None) => return Ok(changes),
        };
        let before = self.before(frame, known)?;
        let key = record.identifier.key().as_str().as_bytes().to_vec();
        let mut held: Vec<&str> = Vec::new();
        if let Some(before) = before.as_deref() {
            held.extend(before.aliases.iter().map(CanonicalKey::as_str));
        }
        let wanted: Vec<&str> = record.aliases.iter().map(|alias| alias.key().as_str()).collect();
        for alias in held.iter().filter(|alias| !wanted.contains(alias)) {
            changes.push(alias_change(alias, Some(key.clone()), None));
        }
        for alias in wanted.iter().filter(|alias| !held.contains(alias)) {
            changes.push(alias_change(alias, None, Some(key.clone())));
        }
        let old = before.as_deref().map(|before| before.row.encode());
        changes.push(Change { table: Table::Record, key, old, new: Some(record_row(frame, record, leaf).encode()) });
        Ok(changes)
    }

    /// The version before, made from its own frame.
    fn before<'a>(&self, frame: &Frame, known: Known<'a>) -> Result<Option<Cow<'a, Before>>, ApplyError> {
        match (known.before, frame.meta.previous) {
            (Some(before), _) => Ok(Some(Cow::Borrowed(before))),
            (None, None) => Ok(None),
            // The index is not in the frame; the chain of statements gives it only by counting, so it stands in the next
            // version's meta.
            (None, Some(location)) => {
                let index = frame.meta.previous_index;
                Ok(Before::read(&self.journal, self.statements.as_ref(), location, index)?.map(Cow::Owned))
            }
        }
    }

    fn erasure(&self, frame: &Frame, known: Known<'_>) -> Result<Vec<Change>, ApplyError> {
        let rows =
            self.statements.rows(frame.kind, &frame.statement, frame.index).map_err(|cause| unread(frame, cause))?;
        let mut changes: Vec<Change> =
            rows.into_iter().map(|row| Change { table: row.table, key: row.key, old: None, new: row.value }).collect();
        // Only the statement about the newest version asks for a row; the others blank, and change no row.
        if !changes.is_empty()
            && let Some(before) = self.before(frame, known)?
        {
            changes.extend(taken_away(&before));
        }
        Ok(changes)
    }
}

fn decode(statements: &dyn ReadStatement, frame: &Frame, disclosures: &[u8]) -> Result<Record, ApplyError> {
    statements.record(&frame.statement, disclosures, &frame.meta).map_err(|cause| unread(frame, cause))
}

/// The row of a record's version: a function of its frame alone (`leaf` is the hash of its statement).
pub fn record_row(frame: &Frame, record: &Record, leaf: LeafHash) -> RecordRow {
    let may_fit = record.row_bytes_at_least() <= INLINE_BYTES;
    RecordRow {
        version: frame.meta.version,
        location: frame.location,
        index: frame.index,
        leaf,
        registered: frame.meta.registered,
        body: may_fit.then(|| record.to_row()).filter(|body| body.len() <= INLINE_BYTES),
    }
}

/// Follows changes in a mark's totals.
pub fn count(mark: &mut Mark, changes: &[Change]) {
    for change in changes {
        if change.table == Table::Request {
            // The old row of a request, if any, is a day old and its hour is not compared any more.
            if let Some(new) = &change.new {
                let sum = mark.requests.entry(RequestRow::hour(new)).or_default();
                *sum = sum.wrapping_add(row_hash(change.table, &change.key, new));
            }
            continue;
        }
        if let Some(old) = &change.old {
            mark.rows = mark.rows.wrapping_sub(row_hash(change.table, &change.key, old));
        }
        if let Some(new) = &change.new {
            mark.rows = mark.rows.wrapping_add(row_hash(change.table, &change.key, new));
        }
        let (added, taken) = (u64::from(change.new.is_some()), u64::from(change.old.is_some()));
        match change.table {
            Table::Record => mark.records = mark.records + added - taken,
            Table::Erased => mark.erased += added,
            Table::Alias if !is_tagged(&change.key) => mark.untagged_aliases = mark.untagged_aliases + added - taken,
            _ => {}
        }
    }
}

/// Whether a key begins with a scheme's tag ("gs1:", "oid:"): identifiers of this node never do.
pub fn is_tagged(key: &[u8]) -> bool {
    key.split(|byte| *byte == b'/').next().is_some_and(|first| first.contains(&b':'))
}

/// The name that a row gives another answer, if any.
pub fn changed_name(row: &Write) -> Option<&str> {
    matches!(row.table, Table::Record | Table::Alias).then(|| std::str::from_utf8(&row.key).ok()).flatten()
}

/// The writes of changes, in their order.
pub fn writes(changes: Vec<Change>) -> Vec<Write> {
    changes.into_iter().map(|change| Write { table: change.table, key: change.key, value: change.new }).collect()
}

/// Nothing stands under an identifier any more: its aliases go, then its row.
fn taken_away(before: &Before) -> Vec<Change> {
    let key = before.key.as_str().as_bytes().to_vec();
    let aliases = before.aliases.iter().map(|alias| alias_change(alias.as_str(), Some(key.clone()), None));
    let row = Change { table: Table::Record, key: key.clone(), old: Some(before.row.encode()), new: None };
    aliases.chain([row]).collect()
}

fn alias_change(alias: &str, old: Option<Vec<u8>>, new: Option<Vec<u8>>) -> Change {
    Change { table: Table::Alias, key: alias.as_bytes().to_vec(), old, new }
}

fn unread(frame: &Frame, cause: String) -> ApplyError {
    ApplyError::Statement { sequence: frame.sequence, cause }
}
