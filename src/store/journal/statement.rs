//! Reading what a frame states, without what it discloses: all that the log's readers may see.

use super::format::{self, FRAME_HEADER_BYTES};
use super::{FrameKind, JournalError, Location, Reader, unreadable};

impl Reader {
    /// The kind and the statement of a frame, read without its disclosures, which may be long.
    pub fn statement(&self, location: Location) -> Result<(FrameKind, Vec<u8>), JournalError> {
        let segment = self.segment(location.segment)?;
        segment.answering()?;
        let head = Location { length: location.length.min(FRAME_HEADER_BYTES as u32), ..location };
        let kept = format::kept_bytes(&segment.read(head)?).filter(|kept| *kept <= location.length as usize);
        let kept = kept.ok_or_else(|| unreadable(location, "the frame's lengths are wrong"))?;
        let bytes = segment.read(Location { length: kept as u32, ..location })?;
        let (kind, statement) = format::decode_kept(&bytes, segment.header.seed)
            .ok_or_else(|| unreadable(location, "the frame's checksum is wrong"))?;
        Ok((kind, statement.to_vec()))
    }
}
