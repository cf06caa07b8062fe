//! A place in the journal that a client names, in a cursor: perhaps no frame's, perhaps another identifier's.
//!
//! Looking there costs no more than the entry that is claimed: first its head, then its meta, and the whole frame only
//! where that meta is of the version that the client says. Whose entry it is, the caller sees in the frame.

use super::format::{FRAME_HEADER_BYTES, FrameHead};
use super::{Frame, FrameKind, JournalError, Location, Meta, Reader};

/// A meta has a principal and an idempotency key, of 255 bytes each at most, and a few numbers.
const META_LIMIT_BYTES: u32 = 1024;

impl Reader {
    /// The entry of this version at a place; `None` unless one stands just there, whole. An error is the disk's.
    pub fn claimed_entry(&self, number: u32, offset: u32, version: u64) -> Result<Option<Frame>, JournalError> {
        let Ok(segment) = self.segment(number) else {
            return Ok(None);
        };
        segment.answering()?;
        let read = |length: u32| match segment.read(Location { segment: number, offset, length }) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(JournalError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error),
        };
        let head = read(FRAME_HEADER_BYTES as u32)?.and_then(|bytes| FrameHead::decode(&bytes));
        let Some(head) = head.filter(|head| head.kind == FrameKind::Entry && head.meta_bytes <= META_LIMIT_BYTES)
        else {
            return Ok(None);
        };
        let meta = read(FRAME_HEADER_BYTES as u32 + head.meta_bytes)?
            .and_then(|bytes| Meta::decode(bytes.get(FRAME_HEADER_BYTES..)?));
        if meta.is_none_or(|meta| meta.version != version) {
            return Ok(None);
        }
        match self.frame(Location { segment: number, offset, length: head.whole_bytes }) {
            Ok(frame) => Ok(Some(frame)),
            Err(JournalError::Unreadable { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
