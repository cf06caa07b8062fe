//! The rows of the record store and their bytes. A row is a function of one frame, so that it can be made anew.

use xxhash_rust::xxh3::Xxh3Default;

use super::engine::Table;
use super::journal::format::Reader;
use super::journal::{Effect, Location};
use crate::tlog::hash::Hash;
pub use crate::tlog::hash::leaf_hash;

/// Values ride inside the row up to this many bytes; longer ones are read from the journal (docs/decisions.md, "Inline rows").
///
/// A constant and not a setting: rows must come out the same whenever they are made.
pub const INLINE_BYTES: usize = 256;

/// The hash of a statement as a leaf of its tree.
pub type LeafHash = Hash;

/// What the record store knows of an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    pub version: u64,
    /// The frame of this version.
    pub location: Location,
    /// The statement's index in the registry tree.
    pub index: u64,
    /// The statement's leaf hash: the next version's `prev`.
    pub leaf: LeafHash,
    /// When version 1 was registered, epoch seconds.
    pub registered: i64,
    /// The record ([`crate::model::record::Record::to_row`]); `None` where it is longer than [`INLINE_BYTES`].
    pub body: Option<Vec<u8>>,
}

impl RecordRow {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(69 + self.body.as_ref().map_or(0, Vec::len));
        out.extend_from_slice(&self.version.to_le_bytes());
        put_location(&mut out, self.location);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.leaf);
        out.extend_from_slice(&self.registered.to_le_bytes());
        out.push(u8::from(self.body.is_some()));
        out.extend_from_slice(self.body.as_deref().unwrap_or_default());
        out
    }

    /// `None` where the bytes are no such row.
    pub fn decode(bytes: &[u8]) -> Option<RecordRow> {
        let mut read = Reader(bytes);
        let version = read.u64()?;
        let location = location(&mut read)?;
        let (index, leaf, registered) = (read.u64()?, read.hash()?, read.u64()?.cast_signed());
        let body = (read.u8()? == 1).then(|| read.0.to_vec());
        Some(RecordRow { version, location, index, leaf, registered, body })
    }
}

/// What became of a request with an idempotency key. It names no identifier: an erasure leaves it alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRow {
    /// SHA-256 over the request.
    pub request: [u8; 32],
    /// Epoch seconds.
    pub time: i64,
    pub effect: Effect,
    pub version: u64,
    pub location: Location,
    pub index: u64,
    pub leaf: LeafHash,
}

/// A request is remembered this long (conventions: 24 h).
pub const REQUEST_SECONDS: i64 = 24 * 3600;

impl RequestRow {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(101);
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.request);
        out.push(self.effect as u8);
        out.extend_from_slice(&self.version.to_le_bytes());
        put_location(&mut out, self.location);
        out.extend_from_slice(&self.index.to_le_bytes());
        out.extend_from_slice(&self.leaf);
        out
    }

    /// `None` where the bytes are no such row.
    pub fn decode(bytes: &[u8]) -> Option<RequestRow> {
        let mut read = Reader(bytes);
        let (time, request) = (read.u64()?.cast_signed(), read.hash()?);
        let effect = Effect::from_byte(read.u8()?)?;
        let version = read.u64()?;
        let location = location(&mut read)?;
        Some(RequestRow { request, time, effect, version, location, index: read.u64()?, leaf: read.hash()? })
    }

    /// Whether the row is still to be honoured.
    pub fn remembered(&self, now: i64) -> bool {
        now < self.time + REQUEST_SECONDS
    }

    /// The last hour whose rows are taken away, and not made anew by a replay. Two hours before what is compared.
    pub fn forgotten_hour(now: i64) -> i64 {
        (now - REQUEST_SECONDS).div_euclid(3600) - 1
    }

    /// The hour that a row's bytes are summed under.
    pub fn hour(bytes: &[u8]) -> i64 {
        Reader(bytes).u64().map_or(0, |time| time.cast_signed().div_euclid(3600))
    }

    /// The key of the row: principals have no NUL.
    pub fn key(principal: &str, key: &str) -> Vec<u8> {
        [principal.as_bytes(), b"\0", key.as_bytes()].concat()
    }
}

/// One row's share of a [`super::engine::Mark`]'s totals.
pub fn row_hash(table: Table, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Xxh3Default::new();
    hasher.update(&[table as u8]);
    hasher.update(&(key.len() as u32).to_le_bytes());
    hasher.update(key);
    hasher.update(value);
    hasher.digest128()
}

fn put_location(out: &mut Vec<u8>, location: Location) {
    for number in [location.segment, location.offset, location.length] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn location(read: &mut Reader<'_>) -> Option<Location> {
    Some(Location { segment: read.u32()?, offset: read.u32()?, length: read.u32()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_trip() {
        let location = Location { segment: 1, offset: 2, length: 3 };
        let mut row =
            RecordRow { version: 4, location, index: 5, leaf: [6; 32], registered: -7, body: Some(b"{}".to_vec()) };
        assert_eq!(RecordRow::decode(&row.encode()), Some(row.clone()));
        row.body = None;
        assert_eq!(RecordRow::decode(&row.encode()), Some(row.clone()));
        let request = RequestRow {
            request: [1; 32],
            time: 3600 * 5 + 1,
            effect: Effect::Created,
            version: 1,
            location,
            index: 0,
            leaf: [2; 32],
        };
        assert_eq!(RequestRow::decode(&request.encode()), Some(request.clone()));
        assert_eq!(RequestRow::hour(&request.encode()), 5);
        assert!(
            request.remembered(request.time + REQUEST_SECONDS - 1)
                && !request.remembered(request.time + REQUEST_SECONDS)
        );
    }
}
