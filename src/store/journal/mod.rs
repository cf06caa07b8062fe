//! The journal: one sequence of frames in segment files that are full of zeros before they are used; the only thing that must survive.
//!
//! - `format`: the bytes. `meta`: what stands beside a statement. `recover`, `scan`: opening after any stop.
//! - `claim`: a look at a place that a client names. `statement`: a frame without its disclosures. `sequences`: which one it has.
//! - `walk`: over a copy of a segment.
//! - `places`: what happens to a segment that is full: blanking, and moving to another folder.
//!
//! Durability: a frame is durable when [`Journal::append`] has returned. A crash before that leaves either the whole
//! group or none of it: the next opening keeps a whole group and cuts a torn one. After an error from `append` the
//! journal must not be used for writing again (the caller ends the process): the kernel may have dropped what it
//! could not write while the pages still look written.

mod claim;
pub mod format;
pub mod meta;
mod places;
mod recover;
mod scan;
pub mod sequences;
mod statement;
pub mod walk;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use ring::rand::SecureRandom;

pub use self::format::{FrameContent, FrameKind, GroupHash};
use self::format::{FrameView, GROUP_HEADER_BYTES, GroupHasher, GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
pub use self::meta::{Effect, Idempotency, JobTag, Meta};
pub use self::places::{Places, Sealed};
pub use self::recover::{Examined, Recovered, Start, copy_rest, cut, examine, remove_half_made, settled};
use super::medium::{self, Medium, MediumFile};

/// Where a frame stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    pub segment: u32,
    /// Of the frame's first byte in the segment file.
    pub offset: u32,
    /// Bytes of the whole frame.
    pub length: u32,
}

/// What can be wrong with the journal. Every variant says where.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk said no.
    #[error("journal: {action} {segment}: {source}")]
    Io { action: &'static str, segment: String, source: io::Error },
    /// There is no room for another segment; nothing was written.
    #[error("journal: no room for another segment of {needed} bytes: free disk space, then write again")]
    Full { needed: u64 },
    /// A scan found that bytes which were durable are not what was written: where the chain of groups ends.
    #[error(
        "journal damaged at {segment}, byte {offset} (sequence {sequence}): {what}; frames up to sequence {durable} had been \
         acknowledged, so nothing is cut. Repair: put back {segment} from a backup or a mirror, or, where there is none, \
         `mingpai doctor --cut-journal {segment}:{offset}` keeps all before this place, moves the rest aside and says what is lost"
    )]
    Damaged { segment: String, offset: u64, sequence: u64, durable: u64, what: &'static str },
    /// One frame, read by its place, is not what was written. What stands before and behind it is not in doubt.
    #[error(
        "journal: the frame at {segment}, byte {offset} cannot be read: {what}. Only this frame is affected: do not cut the \
         journal, that would lose all that stands behind it. Repair: stop the node, put back {segment} from a backup or a \
         mirror, and have `mingpai doctor` check it"
    )]
    Unreadable { segment: String, offset: u64, what: &'static str },
    /// A group larger than a segment.
    #[error("a group of {bytes} bytes does not fit into a segment of {segment_bytes}")]
    GroupTooLarge { bytes: usize, segment_bytes: u64 },
}

/// A frame, read back and owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub sequence: u64,
    pub location: Location,
    pub kind: FrameKind,
    pub meta: Meta,
    pub statement: Vec<u8>,
    /// `None` once they are erased.
    pub disclosures: Option<Vec<u8>>,
    /// Index of the statement in its tree; for kinds that are in no tree, the registry's size.
    pub index: u64,
}

/// The place after the last durable group: all that the next group depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tail {
    pub segment: u32,
    pub offset: u32,
    /// The sequence that the next frame gets.
    pub sequence: u64,
    pub registry_size: u64,
    pub audit_size: u64,
    /// The hash of the last group.
    pub previous: GroupHash,
}

struct Segment {
    header: SegmentHeader,
    /// Another one once the segment has moved (`places`).
    file: RwLock<Arc<dyn MediumFile>>,
    /// Counts blankings. Held while one is written and while the segment changes its place, so that no copy is published that
    /// still says what was blanked.
    blankings: Mutex<u64>,
}

/// The segments, readable by anyone at any time.
///
/// `segments` is locked for reading to clone one `Arc`, for writing only when a segment is added.
pub struct Reader {
    segments: RwLock<Vec<Arc<Segment>>>,
}

/// The writing end, owned by the sequencer.
pub struct Journal {
    medium: Arc<dyn Medium>,
    reader: Arc<Reader>,
    segment_bytes: u64,
    tail: Tail,
    /// The segment during which the next one was asked for.
    looked_ahead: u32,
    buffer: Vec<u8>,
}

/// What `append` did with each frame of a group.
#[derive(Clone, Copy, Debug)]
pub struct Appended {
    pub sequence: u64,
    pub location: Location,
    pub index: u64,
}

impl Journal {
    /// Who reads while this writes.
    pub fn reader(&self) -> Arc<Reader> {
        Arc::clone(&self.reader)
    }

    /// The place after the last group.
    pub fn tail(&self) -> Tail {
        self.tail
    }

    /// The most bytes of frames that one group may have.
    pub fn group_limit(&self) -> usize {
        group_limit(self.segment_bytes)
    }

    /// Appends one group and makes it durable with one fdatasync.
    ///
    /// [`JournalError::Full`] and [`JournalError::GroupTooLarge`] wrote nothing; after any other error the journal is poisoned.
    pub fn append(&mut self, frames: &[FrameContent]) -> Result<Vec<Appended>, JournalError> {
        let frame_bytes: usize = frames.iter().map(FrameContent::whole_bytes).sum();
        if frame_bytes > self.group_limit() {
            return Err(JournalError::GroupTooLarge { bytes: frame_bytes, segment_bytes: self.segment_bytes });
        }
        let whole = (GROUP_HEADER_BYTES + frame_bytes).next_multiple_of(format::GROUP_ALIGNMENT) as u64;
        if self.reader.last().is_none_or(|last| u64::from(self.tail.offset) + whole > last.header.length) {
            // A crash in here leaves a file under a temporary name, or an empty segment: recovery takes both.
            self.add_segment()?;
        }
        let Some(segment) = self.reader.last() else {
            return Err(JournalError::Full { needed: self.segment_bytes });
        };
        let header = GroupHeader {
            frame_bytes: frame_bytes as u32,
            frames: frames.len() as u32,
            first_sequence: self.tail.sequence,
            durable_sequence: self.tail.sequence,
            registry_size: self.tail.registry_size,
            audit_size: self.tail.audit_size,
            previous: self.tail.previous,
        };
        let (appended, next) = self.lay_out(&header, frames, segment.header.seed);
        // A crash from here on leaves the group whole or torn: it was not acknowledged either way.
        let offset = u64::from(self.tail.offset);
        segment.file().write_all_at(&self.buffer, offset).map_err(|e| io_error("write", segment.header.number, e))?;
        segment.file().sync_data().map_err(|e| io_error("fdatasync", segment.header.number, e))?;
        self.tail = next;
        Ok(appended)
    }

    /// Has the next segment made while this one fills up, where the disk keeps so many bytes free beside it. Asked once a
    /// segment: without the room now, it is made when it is needed.
    pub fn look_ahead(&mut self, reserve_bytes: u64) {
        if u64::from(self.tail.offset) <= self.segment_bytes / 2 || self.looked_ahead == self.tail.segment {
            return;
        }
        self.looked_ahead = self.tail.segment;
        let needed = self.segment_bytes.saturating_add(reserve_bytes);
        if self.medium.free_bytes().is_ok_and(|free| free >= needed) {
            self.medium.allocate_ahead(self.segment_bytes);
        }
    }

    fn lay_out(&mut self, header: &GroupHeader, frames: &[FrameContent], seed: u32) -> (Vec<Appended>, Tail) {
        let mut next = self.tail;
        let mut hasher = GroupHasher::new(&self.tail.previous);
        format::begin_group(header, seed, &mut self.buffer);
        let mut appended: Vec<Appended> = Vec::with_capacity(frames.len());
        for frame in frames {
            let index = if frame.kind.in_audit() { next.audit_size } else { next.registry_size };
            let location = Location {
                segment: self.tail.segment,
                offset: self.tail.offset + self.buffer.len() as u32,
                length: frame.whole_bytes() as u32,
            };
            let mut meta = Cow::Borrowed(&frame.meta);
            if let Some(earlier) = frame.previous_in_group.and_then(|at| appended.get(at)) {
                Meta::set_previous(meta.to_mut(), earlier.location, earlier.index);
            }
            appended.push(Appended { sequence: next.sequence, location, index });
            format::encode_frame(frame, &meta, seed, &mut self.buffer);
            hasher.add(frame.kind, &meta, &frame.statement);
            next.count(frame.kind);
        }
        format::end_group(&mut self.buffer);
        next.offset += self.buffer.len() as u32;
        next.previous = hasher.finish();
        (appended, next)
    }

    /// Adds an empty segment: its zeros written and headed under a temporary name, fsynced, renamed, the folder fsynced.
    fn add_segment(&mut self) -> Result<(), JournalError> {
        let number = self.reader.last().map_or(1, |last| last.header.number + 1);
        let mut seed = [0; 4];
        ring::rand::SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| io_error("draw a seed for", number, io::Error::other("no randomness")))?;
        let header = SegmentHeader {
            number,
            length: self.segment_bytes,
            seed: u32::from_le_bytes(seed),
            first_sequence: self.tail.sequence,
            previous: self.tail.previous,
        };
        let fail = |error: io::Error| match medium::is_full(&error) {
            true => JournalError::Full { needed: self.segment_bytes },
            false => io_error("create", number, error),
        };
        let (name, temporary) = (segment_name(number), format!("{}.new", segment_name(number)));
        let file = self.medium.allocate(&temporary, self.segment_bytes).map_err(fail)?;
        file.write_all_at(&header.encode(), 0).map_err(fail)?;
        file.sync_data().map_err(fail)?;
        self.medium.rename(&temporary, &name).map_err(fail)?;
        // From here on the segment is there, for sure or not: going on in the one before would leave it in the way.
        self.medium.sync_directory().map_err(|e| io_error("sync the folder of", number, e))?;
        self.reader.segments.write().push(Arc::new(Segment::new(header, file)));
        self.tail.segment = number;
        self.tail.offset = SEGMENT_HEADER_BYTES as u32;
        Ok(())
    }
}

impl Tail {
    fn count(&mut self, kind: FrameKind) {
        self.sequence += 1;
        self.registry_size += u64::from(kind.in_registry());
        self.audit_size += u64::from(kind.in_audit());
    }
}

impl Reader {
    /// Reads one frame. `sequence` and `index` are the caller's knowledge and are not in the frame: both come back 0.
    pub fn frame(&self, location: Location) -> Result<Frame, JournalError> {
        let segment = self.segment(location.segment)?;
        segment.answering()?;
        let bytes = segment.read(location)?;
        let view = segment.view(&bytes, location)?;
        if !view.disclosures_whole && view.disclosures.iter().any(|byte| *byte != 0) {
            return Err(segment.unreadable(location, "the checksum of the disclosures is wrong"));
        }
        own(&view, location, 0, 0).ok_or_else(|| segment.unreadable(location, "the frame's meta is not readable"))
    }

    /// Whether a frame still has the disclosures that it was written with.
    pub fn discloses(&self, location: Location) -> Result<bool, JournalError> {
        let segment = self.segment(location.segment)?;
        let bytes = segment.read(location)?;
        Ok(segment.view(&bytes, location)?.disclosures_whole)
    }

    /// Bytes of a segment's file as they lie there, for a copy; `until` is cut to the file's end.
    pub fn raw(&self, number: u32, from: u64, until: u64) -> Result<Vec<u8>, JournalError> {
        let segment = self.segment(number)?;
        let until = until.min(segment.header.length);
        let mut bytes = vec![0; usize::try_from(until.saturating_sub(from)).unwrap_or(0)];
        let file = segment.answering()?;
        file.read_exact_at(&mut bytes, from).map_err(|e| io_error("read", number, e))?;
        Ok(bytes)
    }

    /// The length of a segment's file; `None` where there is no such segment.
    pub fn length(&self, number: u32) -> Option<u64> {
        self.segment(number).ok().map(|segment| segment.header.length)
    }

    fn last(&self) -> Option<Arc<Segment>> {
        self.segments.read().last().cloned()
    }

    fn segment(&self, number: u32) -> Result<Arc<Segment>, JournalError> {
        let segments = self.segments.read();
        let first = segments.first().map_or(1, |segment| segment.header.number);
        let at = number.checked_sub(first).map(|at| at as usize);
        at.and_then(|at| segments.get(at))
            .cloned()
            .ok_or_else(|| io_error("find", number, io::Error::new(io::ErrorKind::NotFound, "no such segment")))
    }
}

impl Segment {
    fn new(header: SegmentHeader, file: Arc<dyn MediumFile>) -> Segment {
        Segment { header, file: RwLock::new(file), blankings: Mutex::new(0) }
    }

    fn file(&self) -> Arc<dyn MediumFile> {
        Arc::clone(&self.file.read())
    }

    /// The file, unless its disk is known not to answer.
    fn answering(&self) -> Result<Arc<dyn MediumFile>, JournalError> {
        let file = self.file();
        file.check_answers().map_err(|e| io_error("read", self.header.number, e))?;
        Ok(file)
    }

    fn read(&self, location: Location) -> Result<Vec<u8>, JournalError> {
        if u64::from(location.offset) + u64::from(location.length) > self.header.length {
            return Err(self.unreadable(location, "the frame would end after its segment"));
        }
        let mut bytes = vec![0; location.length as usize];
        self.file()
            .read_exact_at(&mut bytes, u64::from(location.offset))
            .map_err(|e| io_error("read", location.segment, e))?;
        Ok(bytes)
    }

    fn view<'a>(&self, bytes: &'a [u8], location: Location) -> Result<FrameView<'a>, JournalError> {
        format::decode_frame(bytes, self.header.seed)
            .ok_or_else(|| self.unreadable(location, "the frame's checksum is wrong"))
    }

    fn unreadable(&self, location: Location, what: &'static str) -> JournalError {
        unreadable(location, what)
    }
}

fn unreadable(location: Location, what: &'static str) -> JournalError {
    JournalError::Unreadable { segment: segment_name(location.segment), offset: u64::from(location.offset), what }
}

/// Makes an owned frame; the caller has seen that disclosures which are not whole are blank: they are erased.
fn own(view: &FrameView<'_>, location: Location, sequence: u64, index: u64) -> Option<Frame> {
    Some(Frame {
        sequence,
        location,
        kind: view.kind,
        meta: Meta::decode(view.meta)?,
        statement: view.statement.to_vec(),
        disclosures: view.disclosures_whole.then(|| view.disclosures.to_vec()),
        index,
    })
}

/// The most bytes of frames in one group of a segment of this length.
pub fn group_limit(segment_bytes: u64) -> usize {
    usize::try_from(segment_bytes).unwrap_or(usize::MAX)
        - SEGMENT_HEADER_BYTES
        - GROUP_HEADER_BYTES
        - format::GROUP_ALIGNMENT
}

pub(in crate::store) fn segment_name(number: u32) -> String {
    format!("{number:010}.journal")
}

/// Whether a file of the folder is a segment.
pub fn is_segment(name: &str) -> bool {
    segment_number(name).is_some()
}

pub(in crate::store) fn segment_number(name: &str) -> Option<u32> {
    name.strip_suffix(".journal").filter(|digits| digits.len() == 10).and_then(|digits| digits.parse().ok())
}

fn io_error(action: &'static str, number: u32, source: io::Error) -> JournalError {
    JournalError::Io { action, segment: segment_name(number), source }
}
