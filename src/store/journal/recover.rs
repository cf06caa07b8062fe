//! Opening a journal after any stop: prove what is durable, mend the end, then hand the frames out for applying.
//!
//! 1. Scan from a proven place (a checkpoint, or the first segment): checksums, sequence, hash chain.
//! 2. Where a group does not pass: if anything shows that it had been durable (a later group's watermark, a later
//!    segment, the record store's own mark), refuse to open; else it was never acknowledged: cut it.
//! 3. Write the last group again and fdatasync it, with zeros over what was cut, BEFORE anything of it is applied, served
//!    or signed: a process that died of a failed fsync leaves pages that look written and are not.
//! 4. Name the blankings that a crash may have cut short.
//!
//! What stays ambiguous: rot inside the very last group after a crash looks like a torn write. docs/security.md says so.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::format::{
    self, FrameKind, GROUP_ALIGNMENT, GroupHasher, GroupHeader, SEGMENT_HEADER_BYTES, SegmentHeader,
};
use super::{
    Frame, Journal, JournalError, Location, Reader, Segment, Tail, io_error, own, segment_name,
    segment_number,
};
use crate::store::medium::Medium;

/// From where to scan, and what is known to have been durable.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// A place that a checkpoint proved; `None` scans everything.
    pub tail: Option<Tail>,
    /// Every frame below this sequence was durable, by the word of a derived view.
    pub durable_sequence: u64,
}

/// An open journal, and what opening did.
pub struct Recovered {
    pub journal: Journal,
    /// Where the scan began.
    pub from: Tail,
    /// Bytes of a torn group that were cut, and where.
    pub cut: Option<(String, u64, u64)>,
    /// Whether the last stop was a clean one.
    pub sealed: bool,
    /// Frames that the scanned erasures name: their blanking may have been cut short, and is finished by doing it
    /// again once what follows from the erasure is durable in the record store.
    pub erased: Vec<Location>,
}

struct Scan {
    tail: Tail,
    /// Sequences below this were durable, by the groups' own watermarks.
    durable: u64,
    last_group: Option<(u32, u64, Vec<u8>)>,
    sealed: bool,
    unwhole: Vec<(u64, Location)>,
    erased: HashSet<Location>,
}

impl Journal {
    /// Opens the journal in this folder, making it where there is none.
    pub fn open(
        medium: Arc<dyn Medium>,
        segment_bytes: u64,
        start: Start,
    ) -> Result<Recovered, JournalError> {
        let segments = open_segments(medium.as_ref())?;
        let reader = Arc::new(Reader {
            segments: RwLock::new(segments.clone()),
        });
        let from = start.tail.unwrap_or_else(|| reader.start());
        let scan = Scan::new(from).run(&segments, start.durable_sequence)?;
        let journal = Journal {
            medium,
            reader,
            segment_bytes,
            tail: scan.tail,
            buffer: Vec::new(),
        };
        let cut = journal.mend(&scan)?;
        Ok(Recovered {
            journal,
            from,
            cut,
            sealed: scan.sealed,
            erased: scan.erased.into_iter().collect(),
        })
    }

    /// Writes the last group again, zeros what follows it, and makes both durable.
    fn mend(&self, scan: &Scan) -> Result<Option<(String, u64, u64)>, JournalError> {
        self.medium
            .sync_directory()
            .map_err(|e| io_error("sync the folder of", scan.tail.segment, e))?;
        let Some(last) = self.reader.last() else {
            return Ok(None);
        };
        let number = last.header.number;
        if let Some((segment, offset, bytes)) = &scan.last_group
            && *segment == number
        {
            last.file
                .write_all_at(bytes, *offset)
                .map_err(|e| io_error("rewrite", number, e))?;
        }
        let from = u64::from(scan.tail.offset);
        let rest = last.rest(from)?;
        let cut_bytes = rest
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |at| at + 1);
        last.file
            .write_all_at(&vec![0; cut_bytes], from)
            .map_err(|e| io_error("cut", number, e))?;
        last.file
            .sync_data()
            .map_err(|e| io_error("fdatasync", number, e))?;
        Ok((cut_bytes > 0).then(|| (segment_name(number), from, cut_bytes as u64)))
    }
}

impl Reader {
    /// Hands out every frame from one place to another, in order.
    pub fn replay<E: From<JournalError>>(
        &self,
        from: Tail,
        until: Tail,
        mut each: impl FnMut(Frame) -> Result<(), E>,
    ) -> Result<(), E> {
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        let mut place = from;
        for segment in segments
            .iter()
            .filter(|segment| segment.header.number >= from.segment)
        {
            if segment.header.number > place.segment {
                place.segment = segment.header.number;
                place.offset = SEGMENT_HEADER_BYTES as u32;
            }
            let bytes = segment.rest(0)?;
            while let Some(group) = group_at(&bytes, &place, segment.header.seed) {
                for (sequence, location, view, index) in
                    frames(&bytes, &place, &group, segment.header.seed)
                {
                    let erased = view.disclosures.iter().all(|byte| *byte == 0);
                    let frame = own(&view, location, sequence, index)
                        .filter(|_| view.disclosures_whole || erased)
                        .ok_or_else(|| segment.damaged(location, "the frame does not read"))?;
                    each(frame)?;
                }
                place = after(&bytes, &place, &group, segment.header.seed);
            }
        }
        if place == until {
            return Ok(());
        }
        Err(E::from(JournalError::Damaged {
            segment: segment_name(place.segment),
            offset: u64::from(place.offset),
            sequence: place.sequence,
            durable: until.sequence,
            what: "a durable group does not pass its checksum",
        }))
    }

    /// The place of the first frame.
    pub fn start(&self) -> Tail {
        let first = self
            .segments
            .read()
            .first()
            .map(|first| (first.header.number, first.header.previous));
        let (segment, previous) = first.unwrap_or((0, [0; 32]));
        let offset = if segment == 0 {
            0
        } else {
            SEGMENT_HEADER_BYTES as u32
        };
        Tail {
            segment,
            offset,
            sequence: 0,
            registry_size: 0,
            audit_size: 0,
            previous,
        }
    }
}

impl Segment {
    /// The segment's bytes from an offset to its end.
    fn rest(&self, offset: u64) -> Result<Vec<u8>, JournalError> {
        let mut bytes =
            vec![0; usize::try_from(self.header.length.saturating_sub(offset)).unwrap_or(0)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .map_err(|e| io_error("read", self.header.number, e))?;
        Ok(bytes)
    }
}

fn open_segments(medium: &dyn Medium) -> Result<Vec<Arc<Segment>>, JournalError> {
    let names = medium
        .list()
        .map_err(|e| io_error("list the folder of", 0, e))?;
    for name in names.iter().filter(|name| name.ends_with(".journal.new")) {
        medium
            .remove(name)
            .map_err(|e| io_error("remove a half-made", 0, e))?;
    }
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    numbers.sort_unstable();
    let mut segments = Vec::with_capacity(numbers.len());
    for (at, &number) in numbers.iter().enumerate() {
        let damaged = |what| JournalError::Damaged {
            segment: segment_name(number),
            offset: 0,
            sequence: 0,
            durable: 0,
            what,
        };
        if at > 0 && numbers[at - 1] + 1 != number {
            return Err(damaged("the segment before it is missing"));
        }
        let file = medium
            .open(&segment_name(number))
            .map_err(|e| io_error("open", number, e))?;
        let length = file.length().map_err(|e| io_error("measure", number, e))?;
        let mut head = [0; SEGMENT_HEADER_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(io_error("read", number, error));
            }
            _ => {}
        }
        let header =
            SegmentHeader::decode(&head).ok_or_else(|| damaged("the segment's head is wrong"))?;
        if header.number != number {
            return Err(damaged("the segment's head names another number"));
        }
        if header.length != length {
            return Err(damaged("the file is shorter or longer than its head says"));
        }
        segments.push(Arc::new(Segment { header, file }));
    }
    Ok(segments)
}

impl Scan {
    fn new(from: Tail) -> Scan {
        Scan {
            tail: from,
            durable: from.sequence,
            last_group: None,
            sealed: false,
            unwhole: Vec::new(),
            erased: HashSet::new(),
        }
    }

    fn run(
        mut self,
        segments: &[Arc<Segment>],
        durable_sequence: u64,
    ) -> Result<Scan, JournalError> {
        let last_number = segments.last().map_or(0, |last| last.header.number);
        if self.tail.segment > last_number {
            return Err(self.damaged(
                self.tail.segment,
                "the segment that the last checkpoint names is missing",
            ));
        }
        let first_number = self.tail.segment;
        for segment in segments
            .iter()
            .filter(|segment| segment.header.number >= first_number)
        {
            let header = &segment.header;
            if header.number > self.tail.segment {
                if header.first_sequence != self.tail.sequence
                    || header.previous != self.tail.previous
                {
                    return Err(self.damaged(
                        self.tail.segment,
                        "a durable group does not pass its checksum",
                    ));
                }
                self.tail.segment = header.number;
                self.tail.offset = SEGMENT_HEADER_BYTES as u32;
            }
            let bytes = segment.rest(0)?;
            self.groups(&bytes, header.seed, header.number == last_number);
            if header.number == last_number {
                self.judge_end(&bytes, header.seed, durable_sequence)?;
            }
        }
        if segments.is_empty() && durable_sequence > 0 {
            return Err(self.damaged(1, "the journal is gone, but its record store is here"));
        }
        Ok(self)
    }

    /// Takes the groups that pass, up to the first that does not.
    fn groups(&mut self, bytes: &[u8], seed: u32, last_segment: bool) {
        while let Some(group) = group_at(bytes, &self.tail, seed) {
            // The group shows that all before it was durable, so what is unwhole there is damage or an erasure.
            self.durable = self.durable.max(group.durable_sequence);
            let place = self.tail;
            let unwhole_before = self.unwhole.len();
            self.sealed = false;
            for (sequence, location, view, _) in frames(bytes, &place, &group, seed) {
                if !view.disclosures_whole {
                    self.unwhole.push((sequence, location));
                }
                if view.kind == FrameKind::Erasure
                    && let Some(target) =
                        super::Meta::decode(view.meta).and_then(|meta| meta.previous)
                {
                    self.erased.insert(target);
                }
                self.sealed = view.kind == FrameKind::Seal;
            }
            if last_segment
                && self.unwhole.len() > unwhole_before
                && !shown_durable(bytes, seed, &place, &group)
            {
                // Nothing shows that it was durable, and its disclosures are torn: leave it to be cut. An erasure would
                // stand in a later group, and there is none.
                self.unwhole.truncate(unwhole_before);
                return;
            }
            let start = place.offset as usize;
            self.tail = after(bytes, &place, &group, seed);
            self.last_group = Some((
                place.segment,
                start as u64,
                bytes[start..self.tail.offset as usize].to_vec(),
            ));
        }
    }

    /// At the end of the last segment: is what follows torn, or was it durable?
    fn judge_end(
        &self,
        bytes: &[u8],
        seed: u32,
        durable_sequence: u64,
    ) -> Result<(), JournalError> {
        let from = self.tail.offset as usize;
        let watermark = later_watermark(bytes, from, seed).max(durable_sequence);
        if watermark > self.tail.sequence {
            return Err(JournalError::Damaged {
                segment: segment_name(self.tail.segment),
                offset: from as u64,
                sequence: self.tail.sequence,
                durable: watermark,
                what: "a durable group does not pass its checksum",
            });
        }
        if let Some((sequence, location)) = self
            .unwhole
            .iter()
            .find(|(_, location)| !self.erased.contains(location))
        {
            return Err(JournalError::Damaged {
                segment: segment_name(location.segment),
                offset: u64::from(location.offset),
                sequence: *sequence,
                durable: self.durable,
                what: "the disclosures of a durable frame do not pass their checksum, and no erasure names them",
            });
        }
        Ok(())
    }

    fn damaged(&self, segment: u32, what: &'static str) -> JournalError {
        JournalError::Damaged {
            segment: segment_name(segment),
            offset: u64::from(self.tail.offset),
            sequence: self.tail.sequence,
            durable: self.durable.max(self.tail.sequence + 1),
            what,
        }
    }
}

/// Whether a later group of the segment says that this one was durable.
fn shown_durable(bytes: &[u8], seed: u32, place: &Tail, group: &GroupHeader) -> bool {
    let next = group.first_sequence + u64::from(group.frames);
    later_watermark(bytes, place.offset as usize + group.whole_bytes(), seed) >= next
}

/// The highest watermark of any group head at or after an offset: the proof that something before it was durable.
fn later_watermark(bytes: &[u8], from: usize, seed: u32) -> u64 {
    (from..bytes.len())
        .step_by(GROUP_ALIGNMENT)
        .filter_map(|at| GroupHeader::decode(bytes.get(at..)?, seed))
        .map(|group| group.durable_sequence)
        .max()
        .unwrap_or(0)
}

/// The group at a place, if all that must be kept of it passes and it continues the chain.
fn group_at(bytes: &[u8], place: &Tail, seed: u32) -> Option<GroupHeader> {
    let at = place.offset as usize;
    let group = GroupHeader::decode(bytes.get(at..)?, seed)?;
    let frame_bytes = bytes
        .get(at + format::GROUP_HEADER_BYTES..)?
        .get(..group.frame_bytes as usize)?;
    if group.first_sequence != place.sequence
        || group.registry_size != place.registry_size
        || group.audit_size != place.audit_size
        || group.previous != place.previous
    {
        return None;
    }
    let mut rest = frame_bytes;
    for _ in 0..group.frames {
        let view = format::decode_frame(rest, seed)?;
        rest = rest.get(view.whole_bytes..)?;
    }
    rest.is_empty().then_some(group)
}

/// The frames of a group that [`group_at`] passed: sequence, place, view, index in its tree.
fn frames<'a>(
    bytes: &'a [u8],
    place: &Tail,
    group: &GroupHeader,
    seed: u32,
) -> impl Iterator<Item = (u64, Location, format::FrameView<'a>, u64)> {
    let mut counted = *place;
    let mut offset = place.offset as usize + format::GROUP_HEADER_BYTES;
    (0..group.frames).map_while(move |_| {
        let view = format::decode_frame(bytes.get(offset..)?, seed)?;
        let location = Location {
            segment: counted.segment,
            offset: offset as u32,
            length: view.whole_bytes as u32,
        };
        let index = if view.kind.in_audit() {
            counted.audit_size
        } else {
            counted.registry_size
        };
        let sequence = counted.sequence;
        counted.count(view.kind);
        offset += view.whole_bytes;
        Some((sequence, location, view, index))
    })
}

/// The place after a group that [`group_at`] passed.
fn after(bytes: &[u8], place: &Tail, group: &GroupHeader, seed: u32) -> Tail {
    let mut next = *place;
    let mut hasher = GroupHasher::new(&place.previous);
    for (_, _, view, _) in frames(bytes, place, group, seed) {
        hasher.add(view.kind, view.meta, view.statement);
        next.count(view.kind);
    }
    next.offset += group.whole_bytes() as u32;
    next.previous = hasher.finish();
    next
}
