//! Which sequence a frame has: no frame says so, the heads of segments and groups do.

use super::format::{FRAME_HEADER_BYTES, FrameHead, GROUP_HEADER_BYTES, GroupHeader, SEGMENT_HEADER_BYTES};
use super::{JournalError, Location, Reader, Segment, unreadable};

/// A frame whose sequence is known: from here the next one of its segment is found in a few steps.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    location: Location,
    sequence: u64,
    /// Where the frames of its group end, and where the group after it begins.
    frames_end: u64,
    next_group: u64,
}

/// Where a search stands: before a frame of a group.
struct At {
    offset: u64,
    sequence: u64,
    frames_end: u64,
    next_group: u64,
}

impl Reader {
    /// The sequence of the frame at a place. `near` is what the last call found, or nothing: frames that are asked for in their
    /// order cost a head each, the first one a walk over the heads of its segment's groups.
    pub fn sequence(&self, location: Location, near: &mut Option<Counted>) -> Result<u64, JournalError> {
        let segment = self.segment(location.segment)?;
        segment.answering()?;
        let wanted = u64::from(location.offset);
        let known = near.take().filter(|near| near.location.segment == location.segment);
        let mut at = match known.filter(|near| u64::from(near.location.offset) <= wanted) {
            Some(near) => At {
                offset: near.location.offset.into(),
                sequence: near.sequence,
                frames_end: near.frames_end,
                next_group: near.next_group,
            },
            None => segment.group(SEGMENT_HEADER_BYTES as u64, location)?,
        };
        while wanted >= at.next_group {
            at = segment.group(at.next_group, location)?;
        }
        while at.offset < wanted {
            at.offset += u64::from(segment.frame_bytes(at.offset, location)?);
            at.sequence += 1;
        }
        if at.offset != wanted || at.offset >= at.frames_end {
            return Err(unreadable(location, "no frame begins there"));
        }
        let At { sequence, frames_end, next_group, .. } = at;
        *near = Some(Counted { location, sequence, frames_end, next_group });
        Ok(sequence)
    }
}

impl Segment {
    /// Before the first frame of the group at an offset. `sought`: for whose sake.
    fn group(&self, offset: u64, sought: Location) -> Result<At, JournalError> {
        let head = self.piece(offset, GROUP_HEADER_BYTES, sought)?;
        let group = GroupHeader::decode(&head, self.header.seed)
            .ok_or_else(|| unreadable(sought, "the head of a group before it is wrong"))?;
        let frames = offset + GROUP_HEADER_BYTES as u64;
        Ok(At {
            offset: frames,
            sequence: group.first_sequence,
            frames_end: frames + u64::from(group.frame_bytes),
            next_group: offset + group.whole_bytes() as u64,
        })
    }

    fn frame_bytes(&self, offset: u64, sought: Location) -> Result<u32, JournalError> {
        let head = self.piece(offset, FRAME_HEADER_BYTES, sought)?;
        let head =
            FrameHead::decode(&head).ok_or_else(|| unreadable(sought, "the head of a frame before it is wrong"))?;
        Ok(head.whole_bytes)
    }

    fn piece(&self, offset: u64, bytes: usize, sought: Location) -> Result<Vec<u8>, JournalError> {
        let offset = u32::try_from(offset).map_err(|_| unreadable(sought, "no frame begins there"))?;
        self.read(Location { segment: self.header.number, offset, length: bytes as u32 })
    }
}
