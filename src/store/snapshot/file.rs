//! The bytes of a snapshot: rows in key order in blocks, an index of the blocks, and a head that is written last.
//!
//! ```text
//! block*  u32 bytes | u32 crc32c | row*      row: u32 key bytes | u32 value bytes | key | value   (key: the table's byte first)
//! index   per block: u64 offset | u32 first key bytes | first key
//! head    JSON ([`Head`])
//! end     u64 index offset | u32 index crc32c | u32 head bytes | u32 head crc32c | 12 bytes "mingpai-rows"
//! ```
//! A block's checksum is seeded with the snapshot's number and the block's place, so that no other block passes for it.
//! A file without a whole end is none: what a crash leaves of one is removed. Every block is checked whenever it is read.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::engine::{Mark, RowBytes, Table, tagged};
use super::super::journal::Tail;
use super::super::journal::format::Reader;
use super::super::medium::{Medium, MediumFile};
use super::name_of;

/// Rows of one block end where it has these bytes: one read and one checksum of about a microsecond each.
const BLOCK_BYTES: usize = 8 * 1024;
/// Blocks go to the file in pieces of this size, each synced, so that no fdatasync of the journal waits behind many.
const PIECE_BYTES: usize = 1 << 20;
const END_BYTES: u64 = 32;
const MAGIC: &[u8; 12] = b"mingpai-rows";
/// More would be no head of ours.
const HEAD_LIMIT_BYTES: u64 = 64 * 1024;

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The place in the journal from which a replay over these rows ends in the right ones.
    pub tail: Tail,
    /// The totals at that place, encoded ([`Mark`]). The rows may be newer: only after the replay do they add up.
    mark: Vec<u8>,
    /// When it was begun, epoch seconds.
    pub time: i64,
    pub rows: u64,
}

impl Head {
    pub fn new(tail: Tail, mark: &Mark, time: i64) -> Head {
        Head { tail, mark: mark.encode(), time, rows: 0 }
    }

    /// The totals at the head's place; `None` where another version wrote them.
    pub fn mark(&self) -> Option<Mark> {
        Mark::decode(&self.mark).filter(|mark| mark.sequence == self.tail.sequence)
    }
}

/// A snapshot on its way to the disk.
pub struct Writer {
    file: Arc<dyn MediumFile>,
    head: Head,
    /// Bytes that are in the file.
    offset: u64,
    piece: Vec<u8>,
    block: Vec<u8>,
    first_key: Vec<u8>,
    index: Vec<u8>,
}

impl Writer {
    /// Begins a file under this name, which is to be a temporary one.
    pub fn create(medium: &dyn Medium, name: &str, head: Head) -> io::Result<Writer> {
        let file = medium.create(name, 0)?;
        let (piece, block) = (Vec::with_capacity(PIECE_BYTES + 2 * BLOCK_BYTES), Vec::with_capacity(2 * BLOCK_BYTES));
        Ok(Writer { file, head, offset: 0, piece, block, first_key: Vec::new(), index: Vec::new() })
    }

    /// Bytes that are in the file so far.
    pub fn bytes(&self) -> u64 {
        self.offset
    }

    /// The next row; keys come in ascending order.
    pub fn row(&mut self, table: Table, key: &[u8], value: &[u8]) -> io::Result<()> {
        if self.block.is_empty() {
            self.first_key = tagged(table, key);
        }
        let length = |bytes: usize| u32::try_from(bytes).map_err(io::Error::other);
        self.block.extend_from_slice(&length(key.len() + 1)?.to_le_bytes());
        self.block.extend_from_slice(&length(value.len())?.to_le_bytes());
        self.block.push(table as u8);
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.head.rows += 1;
        if self.block.len() >= BLOCK_BYTES { self.end_block() } else { Ok(()) }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let offset = self.offset + self.piece.len() as u64;
        self.index.extend_from_slice(&offset.to_le_bytes());
        self.index.extend_from_slice(&(self.first_key.len() as u32).to_le_bytes());
        self.index.extend_from_slice(&self.first_key);
        self.piece.extend_from_slice(&(self.block.len() as u32).to_le_bytes());
        self.piece.extend_from_slice(&block_crc(self.head.tail.sequence, offset, &self.block).to_le_bytes());
        self.piece.append(&mut self.block);
        if self.piece.len() >= PIECE_BYTES { self.write_out() } else { Ok(()) }
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.piece, self.offset)?;
        self.file.sync_data()?;
        self.offset += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Writes index, head and end; the bytes are durable when this returns, the name is not. Gives the file's length.
    pub fn finish(mut self) -> io::Result<u64> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        let index_offset = self.offset + self.piece.len() as u64;
        let head = serde_json::to_vec(&self.head).map_err(io::Error::other)?;
        let index = std::mem::take(&mut self.index);
        self.piece.extend_from_slice(&index);
        self.piece.extend_from_slice(&head);
        self.piece.extend_from_slice(&index_offset.to_le_bytes());
        self.piece.extend_from_slice(&crc32c::crc32c(&index).to_le_bytes());
        self.piece.extend_from_slice(&(head.len() as u32).to_le_bytes());
        self.piece.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        self.piece.extend_from_slice(MAGIC);
        self.write_out()?;
        Ok(self.offset)
    }
}

/// A finished snapshot, open for reading by anybody at any time.
pub struct Rows {
    pub head: Head,
    /// Of the file.
    pub bytes: u64,
    file: Arc<dyn MediumFile>,
    /// The first key of each block and its place, in order.
    blocks: Vec<(Box<[u8]>, u64)>,
    /// Where the last block ends.
    end: u64,
}

impl Rows {
    /// Opens the snapshot with this number and reads its head and index; the blocks are not looked at.
    pub fn open(medium: &dyn Medium, number: u64) -> io::Result<Rows> {
        let file = medium.open(&name_of(number))?;
        let bytes = file.length()?;
        let (head, index_offset, index_end, index_crc) = head(file.as_ref(), bytes)?;
        if head.tail.sequence != number {
            return Err(damaged("it is another one under its name"));
        }
        let index = read(file.as_ref(), index_offset, index_end)?;
        if crc32c::crc32c(&index) != index_crc {
            return Err(damaged("the checksum of its index is wrong"));
        }
        let mut blocks = Vec::new();
        let mut rest = Reader(&index);
        while !rest.0.is_empty() {
            let (Some(offset), Some(key)) = (rest.u64(), rest.bytes()) else {
                return Err(damaged("its index does not read"));
            };
            blocks.push((key.into(), offset));
        }
        Ok(Rows { head, bytes, file, blocks, end: index_offset })
    }

    /// The journal's sequence where it was begun, which its file is named by.
    pub fn number(&self) -> u64 {
        self.head.tail.sequence
    }

    /// Reads every block and its checksum.
    pub fn verify(&self) -> io::Result<()> {
        let mut rows = 0;
        for at in 0..self.blocks.len() {
            self.block(at)?.rows(|_, _| {
                rows += 1;
                true
            })?;
        }
        if rows != self.head.rows {
            return Err(damaged("it has not as many rows as its head says"));
        }
        Ok(())
    }

    /// The row with this tagged key.
    pub fn read(&self, key: &[u8]) -> io::Result<Option<RowBytes>> {
        let Some(at) = self.blocks.partition_point(|(first, _)| **first <= *key).checked_sub(1) else {
            return Ok(None);
        };
        let mut found = None;
        self.block(at)?.rows(|here, value| {
            if here == key {
                found = Some(RowBytes::Shared(value.into()));
            }
            here < key
        })?;
        Ok(found)
    }

    /// Up to `limit` rows of a table in key order, beginning after `after` (or with the first).
    pub fn scan(&self, table: Table, after: Option<&[u8]>, limit: usize) -> io::Result<Vec<(Vec<u8>, RowBytes)>> {
        let from = after.map_or_else(|| vec![table as u8], |key| tagged(table, key));
        let begin = self.blocks.partition_point(|(first, _)| **first <= *from).saturating_sub(1);
        let mut found = Vec::new();
        let mut more = limit > 0;
        for at in begin..self.blocks.len() {
            if !more {
                break;
            }
            self.block(at)?.rows(|key, value| {
                let in_table = key.first() == Some(&(table as u8));
                if in_table && (after.is_none() || *key > *from) {
                    found.push((key.get(1..).unwrap_or_default().to_vec(), RowBytes::Shared(value.into())));
                }
                more = found.len() < limit && key.first() <= Some(&(table as u8));
                more
            })?;
        }
        Ok(found)
    }

    fn block(&self, at: usize) -> io::Result<Block> {
        let offset = self.blocks.get(at).map_or(self.end, |(_, offset)| *offset);
        let end = self.blocks.get(at + 1).map_or(self.end, |(_, offset)| *offset);
        let bytes = read(self.file.as_ref(), offset, end)?;
        let mut reader = Reader(&bytes);
        let (length, crc) = (reader.u32(), reader.u32());
        if length != Some(reader.0.len() as u32) || crc != Some(block_crc(self.number(), offset, reader.0)) {
            return Err(damaged("the checksum of a block is wrong"));
        }
        Ok(Block(bytes))
    }
}

struct Block(Vec<u8>);

impl Block {
    /// Shows each row, until `each` says that it has seen enough.
    fn rows(&self, mut each: impl FnMut(&[u8], &[u8]) -> bool) -> io::Result<()> {
        let mut reader = Reader(self.0.get(8..).unwrap_or_default());
        while !reader.0.is_empty() {
            let lengths = (reader.u32(), reader.u32());
            let row = match lengths {
                (Some(key), Some(value)) => reader.take(key as usize).zip(reader.take(value as usize)),
                _ => None,
            };
            let (key, value) = row.ok_or_else(|| damaged("a row does not read"))?;
            if !each(key, value) {
                break;
            }
        }
        Ok(())
    }
}

/// The head, where the index begins and ends, and its checksum.
fn head(file: &dyn MediumFile, bytes: u64) -> io::Result<(Head, u64, u64, u32)> {
    let end_at = bytes.checked_sub(END_BYTES).ok_or_else(|| damaged("it is cut short"))?;
    let end = read(file, end_at, bytes)?;
    let mut reader = Reader(&end);
    let (Some(index_offset), Some(index_crc), Some(head_bytes), Some(head_crc)) =
        (reader.u64(), reader.u32(), reader.u32(), reader.u32())
    else {
        return Err(damaged("it is cut short"));
    };
    let head_at = end_at.checked_sub(u64::from(head_bytes)).filter(|at| *at >= index_offset);
    let Some(head_at) = head_at.filter(|_| reader.0 == MAGIC && u64::from(head_bytes) <= HEAD_LIMIT_BYTES) else {
        return Err(damaged("its end is not that of a snapshot"));
    };
    let head = read(file, head_at, end_at)?;
    if crc32c::crc32c(&head) != head_crc {
        return Err(damaged("the checksum of its head is wrong"));
    }
    Ok((serde_json::from_slice(&head).map_err(io::Error::other)?, index_offset, head_at, index_crc))
}

fn read(file: &dyn MediumFile, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let length = to.checked_sub(from).and_then(|length| usize::try_from(length).ok());
    let mut bytes = vec![0; length.ok_or_else(|| damaged("its places are out of order"))?];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn block_crc(number: u64, offset: u64, block: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), &offset.to_le_bytes());
    crc32c::crc32c_append(place, block)
}

fn damaged(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
