//! What still happens to a segment once it is full: its disclosures may be blanked, and it may change its folder.
//!
//! Both change where or what a reader reads, and neither may overtake the other: a copy that was made before a blanking and
//! published after it would say again what was erased. So each segment counts its blankings, under a lock that is also
//! held while the segment changes its place ([`Sealed::settle`]).

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::format::{GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::walk::Walk;
use super::{Journal, JournalError, Location, Reader, Segment, Tail, io_error};
use crate::store::medium::MediumFile;

/// Where the segments are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Places {
    pub hot_segments: u64,
    pub hot_bytes: u64,
    pub cold_segments: u64,
    pub cold_bytes: u64,
}

/// A segment that nothing is appended to any more, in the hot folder.
pub struct Sealed {
    segment: Arc<Segment>,
    /// The head of the segment behind it, which says where this one ends.
    next: SegmentHeader,
}

impl Journal {
    /// Blanks the disclosures of frames in place and makes that durable. Doing it twice does no harm.
    ///
    /// The statements that order it must be durable first.
    pub fn blank(&self, locations: impl IntoIterator<Item = Location>) -> Result<(), JournalError> {
        let mut places: BTreeMap<u32, Vec<Location>> = BTreeMap::new();
        for location in locations {
            places.entry(location.segment).or_default().push(location);
        }
        for (number, locations) in places {
            self.reader.segment(number)?.blank(&locations)?;
        }
        Ok(())
    }
}

impl Segment {
    fn blank(&self, locations: &[Location]) -> Result<(), JournalError> {
        let mut blankings = self.blankings.lock();
        *blankings += 1;
        let (file, number, mut is_written) = (self.file(), self.header.number, false);
        for location in locations {
            let bytes = self.read(*location)?;
            let view = self.view(&bytes, *location)?;
            let offset = u64::from(location.offset) + view.disclosures_offset() as u64;
            // Also what looks blank is written again: a failed fsync may have left it so in memory alone.
            let mut zeros = vec![0; view.disclosures.len()];
            match file.write_all_at(&zeros, offset) {
                Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                    // Blanked while it could be, it is so on the disk, past what the system remembers of it. A file system
                    // that has given up keeps in memory what it never wrote, and says so here.
                    file.forget_cached().map_err(|e| io_error("blank", number, e))?;
                    file.read_exact_at(&mut zeros, offset).map_err(|e| io_error("read", number, e))?;
                    if zeros.iter().any(|byte| *byte != 0) {
                        return Err(io_error("blank", number, error));
                    }
                }
                done => {
                    done.map_err(|e| io_error("blank", number, e))?;
                    is_written = true;
                }
            }
        }
        if !is_written {
            return Ok(());
        }
        file.sync_data().map_err(|e| io_error("fdatasync", number, e))
    }
}

impl Reader {
    /// Whether the disclosures of a frame could be blanked: asked before an erasure is written, for one that cannot be
    /// carried out must not be.
    pub fn may_blank(&self, location: Location) -> Result<(), JournalError> {
        let segment = self.segment(location.segment)?;
        segment.file().check_writable().map_err(|e| io_error("open for blanking", location.segment, e))
    }

    /// Whether nothing is left of the disclosures of a frame.
    pub fn is_blank(&self, location: Location) -> Result<bool, JournalError> {
        let segment = self.segment(location.segment)?;
        let bytes = segment.read(location)?;
        Ok(segment.view(&bytes, location)?.disclosures.iter().all(|byte| *byte == 0))
    }

    /// The segments as they are now. Who adds another does not wait for what is done with them.
    fn all(&self) -> Vec<Arc<Segment>> {
        self.segments.read().clone()
    }

    /// How many segments are where.
    pub fn places(&self) -> Places {
        let mut places = Places::default();
        for segment in self.all() {
            let (segments, bytes) = match segment.file.read().is_cold() {
                true => (&mut places.cold_segments, &mut places.cold_bytes),
                false => (&mut places.hot_segments, &mut places.hot_bytes),
            };
            *segments += 1;
            *bytes += segment.header.length;
        }
        places
    }

    /// The segments that are full and hot, the oldest first. Never the one that is appended to.
    pub fn sealed(&self) -> Vec<Sealed> {
        let segments = self.all();
        let pairs = segments.iter().zip(segments.iter().skip(1));
        let sealed = pairs.filter(|(segment, _)| !segment.file.read().is_cold());
        sealed.map(|(segment, next)| Sealed { segment: Arc::clone(segment), next: next.header.clone() }).collect()
    }
}

impl Sealed {
    pub fn number(&self) -> u32 {
        self.segment.header.number
    }

    pub fn length(&self) -> u64 {
        self.segment.header.length
    }

    /// The sequence of the first frame behind it.
    pub fn end(&self) -> u64 {
        self.next.first_sequence
    }

    /// How often something was blanked in it; what was read of it before is out of date once this is another number.
    pub fn blankings(&self) -> u64 {
        *self.segment.blankings.lock()
    }

    pub fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.segment.file().read_exact_at(bytes, offset)
    }

    /// Whether these bytes are this segment's, every checksum and the chain of its groups up to the next segment; else
    /// where they are not, and why.
    pub fn check(&self, bytes: &[u8]) -> Result<(), (u64, &'static str)> {
        let header = &self.segment.header;
        if SegmentHeader::decode(bytes).as_ref() != Some(header) {
            return Err((0, "the segment's head is wrong"));
        }
        // What was before is not in the segment itself; its first group says it, and the next segment that it was said rightly.
        let start = SEGMENT_HEADER_BYTES;
        let first = bytes.get(start..).and_then(|groups| GroupHeader::decode(groups, header.seed));
        let mut walk = Walk::from(Tail {
            segment: header.number,
            offset: start as u32,
            sequence: header.first_sequence,
            registry_size: first.as_ref().map_or(0, |group| group.registry_size),
            audit_size: first.as_ref().map_or(0, |group| group.audit_size),
            previous: header.previous,
        });
        walk.enter(bytes).map_err(|fault| (fault.offset, fault.what))?;
        while let Some(seen) = walk.group(bytes) {
            for frame in seen.frames.iter().filter(|frame| !frame.disclosures_whole) {
                if !frame.is_blank {
                    return Err((frame.location.offset.into(), "disclosures do not pass their checksum"));
                }
            }
            walk.accept(&seen);
        }
        let arrived = (walk.tail.sequence, walk.tail.previous) == (self.next.first_sequence, self.next.previous);
        arrived.then_some(()).ok_or((walk.tail.offset.into(), "a group does not pass its checksum"))
    }

    /// Has the segment read from another file from now on, the one that `publish` gives. False, and nothing done, where
    /// something was blanked since `blankings` was asked. Nothing is blanked while this runs.
    pub fn settle<E>(
        &self,
        blankings: u64,
        publish: impl FnOnce() -> Result<Arc<dyn MediumFile>, E>,
    ) -> Result<bool, E> {
        let counted = self.segment.blankings.lock();
        if *counted != blankings {
            return Ok(false);
        }
        let file = publish()?;
        // The last handle of a removed file frees its blocks: that takes a while, and no reader waits for it.
        let former = std::mem::replace(&mut *self.segment.file.write(), file);
        drop(former);
        Ok(true)
    }
}
