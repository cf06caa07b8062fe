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

use std::io;
use std::sync::Arc;

use parking_lot::RwLock;

use super::format::{FrameView, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::{Scan, after, frames, group_at};
use super::{
    Frame, Journal, JournalError, Location, Reader, Segment, Tail, io_error, own, segment_name, segment_number,
    unreadable,
};
use crate::store::medium::{Medium, MediumFile};

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
    /// Frames that the scanned erasures name: their blanking may have been cut short, and is finished by doing it
    /// again once what follows from the erasure is durable in the record store.
    /// Beside each stands the sequence of the erasure.
    pub erased: Vec<(u64, Location)>,
}

impl Journal {
    /// Opens the journal in this folder, making it where there is none.
    pub fn open(medium: Arc<dyn Medium>, segment_bytes: u64, start: Start) -> Result<Recovered, JournalError> {
        // A segment's head counts whole kibibytes: another length would not read back.
        let segment_bytes = segment_bytes / 1024 * 1024;
        let segments = open_segments(medium.as_ref())?;
        let reader = Arc::new(Reader { segments: RwLock::new(segments.clone()) });
        let from = start.tail.unwrap_or_else(|| reader.start());
        let scan = Scan::new(from).run(&segments, start.durable_sequence)?;
        // A segment's head counts its length in kibibytes.
        let segment_bytes = segment_bytes / 1024 * 1024;
        let journal = Journal { medium, reader, segment_bytes, tail: scan.tail, looked_ahead: 0, buffer: Vec::new() };
        let cut = journal.mend(&scan)?;
        Ok(Recovered {
            journal,
            from,
            cut,
            erased: scan.erased.into_iter().map(|(location, sequence)| (sequence, location)).collect(),
        })
    }

    /// Opens a journal to go on at a place that the caller has proven: nothing is scanned.
    pub fn at(medium: Arc<dyn Medium>, segment_bytes: u64, tail: Tail) -> Result<Journal, JournalError> {
        let reader = Arc::new(Reader { segments: RwLock::new(open_segments(medium.as_ref())?) });
        Ok(Journal { medium, reader, segment_bytes, tail, looked_ahead: 0, buffer: Vec::new() })
    }

    /// Writes the last group again, zeros what follows it, and makes both durable.
    fn mend(&self, scan: &Scan) -> Result<Option<(String, u64, u64)>, JournalError> {
        self.medium.sync_directory().map_err(|e| io_error("sync the folder of", scan.tail.segment, e))?;
        let Some(last) = self.reader.last() else {
            return Ok(None);
        };
        let number = last.header.number;
        rewrite_end(&last, scan)?;
        let from = u64::from(scan.tail.offset);
        let rest = last.rest(from)?;
        let cut_bytes = rest.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        last.file().write_all_at(&vec![0; cut_bytes], from).map_err(|e| io_error("cut", number, e))?;
        last.file().sync_data().map_err(|e| io_error("fdatasync", number, e))?;
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
        let mut place = from;
        while place.sequence < until.sequence {
            place = self.step(place, until, |sequence, location, view, index| {
                let erased = view.disclosures.iter().all(|byte| *byte == 0);
                let frame = own(view, location, sequence, index)
                    .filter(|_| view.disclosures_whole || erased)
                    .ok_or_else(|| unreadable(location, "the frame does not read"))?;
                each(frame)
            })?;
        }
        // The place may lie at the end of one segment and at the start of the next.
        if place.sequence == until.sequence && place.previous == until.previous {
            return Ok(());
        }
        Err(E::from(broken_off(place, until)))
    }

    /// Hands out the frames from one place on, to the end of a segment or to another place, and says where that is.
    pub fn step<E: From<JournalError>>(
        &self,
        from: Tail,
        until: Tail,
        mut each: impl FnMut(u64, Location, &FrameView<'_>, u64) -> Result<(), E>,
    ) -> Result<Tail, E> {
        let segments: Vec<Arc<Segment>> = self.segments.read().clone();
        let mut place = from;
        for segment in segments.iter().filter(|segment| segment.header.number >= from.segment) {
            if segment.header.number > place.segment {
                place.segment = segment.header.number;
                place.offset = SEGMENT_HEADER_BYTES as u32;
            }
            let bytes = segment.rest(0)?;
            // What the sequencer appends meanwhile is not asked for.
            while place.sequence < until.sequence
                && let Some(group) = group_at(&bytes, &place, segment.header.seed)
            {
                for (sequence, location, view, index) in frames(&bytes, &place, &group, segment.header.seed) {
                    each(sequence, location, &view, index)?;
                }
                place = after(&bytes, &place, &group, segment.header.seed);
            }
            if place.sequence > from.sequence {
                return Ok(place);
            }
        }
        Err(E::from(broken_off(from, until)))
    }

    /// The place of the first frame.
    pub fn start(&self) -> Tail {
        let first = self.segments.read().first().map(|first| (first.header.number, first.header.previous));
        let (segment, previous) = first.unwrap_or((0, [0; 32]));
        let offset = if segment == 0 { 0 } else { SEGMENT_HEADER_BYTES as u32 };
        Tail { segment, offset, sequence: 0, registry_size: 0, audit_size: 0, previous }
    }
}

/// No group that passes stands where one must.
fn broken_off(place: Tail, until: Tail) -> JournalError {
    JournalError::Damaged {
        segment: segment_name(place.segment),
        offset: u64::from(place.offset),
        sequence: place.sequence,
        durable: until.sequence,
        what: "a durable group does not pass its checksum",
    }
}

impl Segment {
    /// The segment's bytes from an offset to its end.
    pub(super) fn rest(&self, offset: u64) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![0; usize::try_from(self.header.length.saturating_sub(offset)).unwrap_or(0)];
        self.answering()?.read_exact_at(&mut bytes, offset).map_err(|e| io_error("read", self.header.number, e))?;
        Ok(bytes)
    }
}

/// Removes what a crash left of segments in the making, which may be the last room on the disk; gives the names of the files.
pub fn remove_half_made(medium: &dyn Medium) -> Result<Vec<String>, JournalError> {
    let names = medium.list().map_err(|e| io_error("list the folder of", 0, e))?;
    for name in names.iter().filter(|name| name.ends_with(".journal.new")) {
        match medium.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove a half-made", 0, error));
            }
            _ => {}
        }
    }
    Ok(names)
}

fn open_segments(medium: &dyn Medium) -> Result<Vec<Arc<Segment>>, JournalError> {
    let names = remove_half_made(medium)?;
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    let mut segments = Vec::with_capacity(numbers.len());
    for (at, &number) in numbers.iter().enumerate() {
        let damaged =
            |what| JournalError::Damaged { segment: segment_name(number), offset: 0, sequence: 0, durable: 0, what };
        if number != at as u32 + 1 {
            return Err(damaged("the segment before it is missing"));
        }
        let file = medium.open(&segment_name(number)).map_err(|e| io_error("open", number, e))?;
        let length = file.length().map_err(|e| io_error("measure", number, e))?;
        let mut head = [0; SEGMENT_HEADER_BYTES];
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(io_error("read", number, error));
            }
            _ => {}
        }
        let header = SegmentHeader::decode(&head).ok_or_else(|| damaged("the segment's head is wrong"))?;
        if header.number != number {
            return Err(damaged("the segment's head names another number"));
        }
        if header.length != length {
            return Err(damaged("the file is shorter or longer than its head says"));
        }
        segments.push(Arc::new(Segment::new(header, file)));
    }
    Ok(segments)
}

/// Writes the last group of the last segment again: pages that look written may not be.
fn rewrite_end(last: &Segment, scan: &Scan) -> Result<(), JournalError> {
    match &scan.last_group {
        Some((segment, offset, bytes)) if *segment == last.header.number => {
            last.file().write_all_at(bytes, *offset).map_err(|e| io_error("rewrite", *segment, e))
        }
        _ => Ok(()),
    }
}

/// Finds the end of a journal that nobody has open and makes it durable, as an opening does. Cuts nothing.
pub fn settled(medium: &dyn Medium, durable_sequence: u64) -> Result<(Arc<Reader>, Tail), JournalError> {
    let segments = open_segments(medium)?;
    let reader = Arc::new(Reader { segments: RwLock::new(segments.clone()) });
    let scan = Scan::new(reader.start()).run(&segments, durable_sequence)?;
    if let Some(last) = segments.last() {
        rewrite_end(last, &scan)?;
        last.file().sync_data().map_err(|e| io_error("fdatasync", last.header.number, e))?;
    }
    medium.sync_directory().map_err(|e| io_error("sync the folder of", scan.tail.segment, e))?;
    Ok((reader, scan.tail))
}

/// What a look at a journal found, without changing a byte.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Examined {
    pub segments: usize,
    /// Those of them that are in the cold folder.
    pub cold_segments: u64,
    /// Frames that were erased and still disclose something: of a segment whose older copy was put back, or after a crash in an erasure.
    pub disclosing: u64,
    pub frames: u64,
    pub registry_size: u64,
    pub audit_size: u64,
}

/// Scans a whole journal without mending anything. A torn end is no damage, unless it was durable by the word of a derived
/// view: the next opening cuts it.
pub fn examine(medium: &dyn Medium, durable_sequence: u64) -> Result<Examined, JournalError> {
    let segments = open_segments(medium)?;
    let reader = Reader { segments: RwLock::new(segments.clone()) };
    let Scan { tail, erased, .. } = Scan::new(reader.start()).run(&segments, durable_sequence)?;
    let mut disclosing = 0;
    for location in erased.keys() {
        disclosing += u64::from(!reader.is_blank(*location)?);
    }
    Ok(Examined {
        segments: segments.len(),
        disclosing,
        cold_segments: reader.places().cold_segments,
        frames: tail.sequence,
        registry_size: tail.registry_size,
        audit_size: tail.audit_size,
    })
}

/// Copies what a cut at this place would take from its segment to a file named `*.cut`.
pub fn copy_rest(medium: &dyn Medium, segment: &str, offset: u64) -> Result<(), JournalError> {
    let (number, _, bytes) = rest(medium, segment, offset)?;
    let names = medium.list().map_err(|e| io_error("list the folder of", number, e))?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(());
    }
    // Never over an earlier copy: after a cut that a crash cut short that one is of more than is left now.
    let (mut name, mut again) = (format!("{segment}.{offset}.cut"), 1);
    while names.contains(&name) {
        again += 1;
        name = format!("{segment}.{offset}.{again}.cut");
    }
    let copied = medium.create(&name, bytes.len() as u64).and_then(|file| {
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        medium.sync_directory()
    });
    copied.map_err(|e| io_error("copy", number, e))
}

/// Cuts a damaged journal at a group: an operator's decision, never the program's. The segments behind that place are moved
/// aside as `*.cut`; what is behind it in its own must have been copied ([`copy_rest`]).
pub fn cut(medium: &dyn Medium, segment: &str, offset: u64) -> Result<(), JournalError> {
    let (number, file, rest) = rest(medium, segment, offset)?;
    let names = medium.list().map_err(|e| io_error("list the folder of", number, e))?;
    let mut later: Vec<u32> =
        names.iter().filter_map(|name| segment_number(name)).filter(|found| *found > number).collect();
    later.sort_unstable();
    // The last first: a crash in between leaves a journal that ends earlier, never one with a hole.
    for number in later.into_iter().rev() {
        let name = segment_name(number);
        medium.rename(&name, &format!("{name}.cut")).map_err(|e| io_error("move aside", number, e))?;
    }
    medium.sync_directory().map_err(|e| io_error("sync the folder of", number, e))?;
    file.write_all_at(&vec![0; rest.len()], offset).map_err(|e| io_error("cut", number, e))?;
    file.sync_data().map_err(|e| io_error("fdatasync", number, e))
}

/// A segment's number and file, and its bytes from a place on.
type Rest = (u32, Arc<dyn MediumFile>, Vec<u8>);

fn rest(medium: &dyn Medium, segment: &str, offset: u64) -> Result<Rest, JournalError> {
    let number = segment_number(segment)
        .ok_or_else(|| io_error("find", 0, io::Error::other(format!("{segment} is no segment's name"))))?;
    let file = medium.open(segment).map_err(|e| io_error("open", number, e))?;
    let length = file.length().map_err(|e| io_error("measure", number, e))?;
    let mut bytes = vec![0; usize::try_from(length.saturating_sub(offset)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, offset).map_err(|e| io_error("read", number, e))?;
    Ok((number, file, bytes))
}
