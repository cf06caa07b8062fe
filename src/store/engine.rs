//! The engine: where derived rows live. It can always be rebuilt from the journal.
//!
//! Promised by every engine, and checked by one suite (tests/engine.rs):
//! - `write` applies its rows in order and the mark last; a reader sees each row whole, old or new; after `write` has
//!   returned every reader sees the new rows;
//! - after a kill of the process, what is read is what some prefix of the `write` calls left, perhaps with a part of the
//!   next call's rows but never with its mark;
//! - what `write` did before a `persist` that has returned is still there after a power cut, as far as the disk's
//!   files are what was written: the self-check decides, see `open`.
//!
//! Not promised: durability of `write` alone (the journal has it), order between two readers, a cheap count.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::format::Reader;

/// Writes the enum and the list of all its tables in one, so that none can be missing in the list.
macro_rules! tables {
    ($($(#[$inner:meta])* $name:ident = $tag:literal,)+) => {
        /// One tree holds all tables; the first byte of a key says which.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Table {
            $($(#[$inner])* $name = $tag,)+
        }

        impl Table {
            /// In the order of their keys.
            const ALL: [Table; [$($tag),+].len()] = [$(Table::$name),+];
        }
    };
}

tables! {
    /// An alias's canonical key -> the canonical key of the identifier that bears it.
    Alias = b'a',
    /// A grant's id -> the grant.
    Grant = b'd',
    /// The sid of an erased identifier: never given out again.
    Erased = b'e',
    /// A filing's id and the number of a step of it -> the step.
    Filing = b'f',
    /// A tagged key that was taken away, and may be in the snapshot below the engine: never a row of its own.
    Gone = b'g',
    /// A prefix that a filing was allocated -> by which one, to whom.
    Allocation = b'h',
    /// Principal and idempotency key -> what became of the request; forgotten after a day.
    Request = b'i',
    /// A grant, a time, an event and a leaf -> who saw what by it.
    GrantUse = b'j',
    /// An API key's id -> its hash and scope.
    Key = b'k',
    /// A prefix and the number of a statement about it -> the statement and its registry index.
    Licence = b'l',
    /// The engine's own mark.
    Mark = b'm',
    /// The leaf hash of a licence -> the key of its row.
    LicencePlace = b'n',
    /// A name that the log took after a restore -> since which registry index.
    Origin = b'o',
    /// Canonical key -> the record's head, with its values when they are small.
    Record = b'r',
    /// A prefix and the number of a step about it -> the step.
    Standing = b's',
    /// A signing key's id -> its public half and the registry index from which it may sign.
    Authority = b'u',
    /// An API key's or a grant's id, once revoked.
    Revoked = b'v',
    /// A signing key's id -> the last registry index for which its signatures count.
    AuthorityEnd = b'w',
}

impl Table {
    /// The tables whose rows follow from the journal, in the order of their keys.
    pub fn of_rows() -> impl Iterator<Item = Table> {
        Table::ALL.into_iter().filter(|table| !matches!(table, Table::Gone | Table::Mark))
    }
}

/// A row's bytes, shared with the engine where it can.
#[derive(Clone, Debug)]
pub enum RowBytes {
    Sled(sled::IVec),
    Shared(Arc<[u8]>),
}

impl std::ops::Deref for RowBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            RowBytes::Sled(bytes) => bytes,
            RowBytes::Shared(bytes) => bytes,
        }
    }
}

/// One row to be put (`Some`) or taken away (`None`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub table: Table,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// How far the engine follows the journal, and what its rows must add up to.
///
/// The totals are sums (mod 2^128) of one hash a row: a set hash, so one scan proves that no row is missing, old or
/// damaged. Request rows are summed by the hour of their making, because they are forgotten after a day: an hour that is
/// past is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Frames below this sequence are applied.
    pub sequence: u64,
    /// How many records there are, tombstones included.
    pub records: u64,
    /// How many identifiers were erased: while none was, nobody looks for one.
    pub erased: u64,
    /// How many aliases could also be identifiers of this node (VAA, Handle): while none could, nobody looks for one.
    pub untagged_aliases: u64,
    /// The sum over every table but the requests'.
    pub rows: u128,
    /// The sum over the requests of each hour (epoch seconds / 3600).
    pub requests: BTreeMap<i64, u128>,
    /// The number of the snapshot below the engine, without which the rows are not whole ([`super::snapshot::Layered`]).
    pub base: Option<u64>,
}

/// Bytes of an hour's sum in a mark.
const HOUR_BYTES: usize = 24;
/// Bytes of a base's number.
const BASE_BYTES: usize = 8;

impl Mark {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48 + self.requests.len() * HOUR_BYTES + BASE_BYTES);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        for count in [self.records, self.erased, self.untagged_aliases] {
            out.extend_from_slice(&count.to_le_bytes());
        }
        out.extend_from_slice(&self.rows.to_le_bytes());
        for (hour, sum) in &self.requests {
            out.extend_from_slice(&hour.to_le_bytes());
            out.extend_from_slice(&sum.to_le_bytes());
        }
        // Behind whole hours, and shorter than one: a program that knows of no base cannot read such a mark, so it makes the
        // rows anew and never takes a part of them for the whole.
        out.extend(self.base.into_iter().flat_map(u64::to_le_bytes));
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Mark> {
        let mut read = Reader(bytes);
        let mut mark = Mark {
            sequence: read.u64()?,
            records: read.u64()?,
            erased: read.u64()?,
            untagged_aliases: read.u64()?,
            rows: read.u128()?,
            requests: BTreeMap::new(),
            base: None,
        };
        while read.0.len() >= HOUR_BYTES {
            mark.requests.insert(read.u64()?.cast_signed(), read.u128()?);
        }
        if !read.0.is_empty() {
            mark.base = Some(read.u64()?);
        }
        read.0.is_empty().then_some(mark)
    }
}

/// What the engine could not do.
#[derive(Debug, thiserror::Error)]
#[error("record store: {action}: {cause}")]
pub struct EngineError {
    pub action: &'static str,
    pub cause: String,
    /// The disk has no room; what is on it is not in doubt.
    pub is_full: bool,
}

/// Who is shown a row: its table, key and value.
pub type Visit<'a> = dyn FnMut(Table, &[u8], &[u8]) + 'a;

/// Rows by table and key. See the module for what is promised.
pub trait Engine: Send + Sync + 'static {
    /// The row with this key.
    fn read(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError>;
    /// Whether it is sure, from memory alone, that there is neither a record nor an alias with this key.
    fn lacks_name(&self, _key: &[u8]) -> bool {
        false
    }
    /// Up to `limit` rows of a table in key order, beginning after `after` (or with the first).
    fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError>;
    /// Visits every row but the mark, in no order. Stops at the first error.
    fn each(&self, visit: &mut Visit<'_>) -> Result<(), EngineError>;
    /// Applies rows in order, then the mark.
    fn write(&self, rows: &[Write], mark: &Mark) -> Result<(), EngineError>;
    /// The mark of the last `write`, if there was one.
    fn mark(&self) -> Result<Option<Mark>, EngineError>;
    /// Makes every finished `write` survive a power cut.
    fn persist(&self) -> Result<(), EngineError>;
    /// Bytes on disk, as far as the engine knows.
    fn disk_bytes(&self) -> u64;
}

/// The engine's key: the table's byte, then the row's key.
pub fn tagged(table: Table, key: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(1 + key.len());
    tag(table, key, &mut tagged);
    tagged
}

/// The same in the place of what `tagged` holds.
pub fn tag(table: Table, key: &[u8], tagged: &mut Vec<u8>) {
    tagged.clear();
    tagged.push(table as u8);
    tagged.extend_from_slice(key);
}

/// The table of an engine's key.
pub fn table_of(tag: u8) -> Option<Table> {
    Table::ALL.into_iter().find(|table| *table as u8 == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As this was before marks had a base: what an older program makes of a mark.
    fn decode_without_base(bytes: &[u8]) -> Option<Mark> {
        let mut read = Reader(bytes);
        let mut mark = Mark {
            sequence: read.u64()?,
            records: read.u64()?,
            erased: read.u64()?,
            untagged_aliases: read.u64()?,
            rows: read.u128()?,
            ..Mark::default()
        };
        while !read.0.is_empty() {
            mark.requests.insert(read.u64()?.cast_signed(), read.u128()?);
        }
        Some(mark)
    }

    #[test]
    fn an_older_program_reads_every_mark_but_one_with_a_base() {
        for hours in 0..40 {
            let requests = (0..hours).map(|hour| (hour - 5, u128::MAX - hour as u128)).collect();
            let mut mark = Mark { sequence: 7, records: 3, rows: u128::MAX / 3, requests, ..Mark::default() };
            assert_eq!(Mark::decode(&mark.encode()), Some(mark.clone()));
            assert_eq!(decode_without_base(&mark.encode()), Some(mark.clone()));
            mark.base = Some(u64::MAX - 1);
            assert_eq!(Mark::decode(&mark.encode()), Some(mark.clone()));
            assert_eq!(decode_without_base(&mark.encode()), None, "a part would be taken for the whole");
            assert_eq!(Mark::decode(&[&mark.encode()[..], &[0]].concat()), None);
        }
    }

    #[test]
    fn tables_are_listed_in_the_order_of_their_keys() {
        assert!(Table::ALL.is_sorted_by(|one, other| (*one as u8) < (*other as u8)));
        assert_eq!(Table::of_rows().count(), Table::ALL.len() - 2);
    }
}
