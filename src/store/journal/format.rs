//! The journal's bytes: segment header, group header, frame. Pure encoding and decoding, no I/O.
//!
//! ```text
//! segment  = header (64 bytes) group* zeros            full of zeros from the start, its length is in the header
//! group    = header (88 bytes) frame* padding to 8     written by one write, made durable by one fdatasync
//! frame    = header (24 bytes) meta statement disclosures
//! ```
//! All integers are little-endian. Checksums are CRC32C (RFC 3720, appendix B.4) continued from the segment's random
//! seed, so bytes of an older segment that shared the disk blocks never pass. A frame has two checksums: one for what is
//! kept for ever (header, meta, statement), one for the disclosures, which an erasure blanks in place.

use ring::digest::{Context, SHA256};

/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 64;
/// Bytes of a group header.
pub const GROUP_HEADER_BYTES: usize = 88;
/// Bytes of a frame header.
pub const FRAME_HEADER_BYTES: usize = 24;
/// Groups begin at multiples of this, so that the search for a later group after damage is cheap and complete.
pub const GROUP_ALIGNMENT: usize = 8;

const SEGMENT_MAGIC: [u8; 8] = *b"MPJSEG01";
const GROUP_MAGIC: u32 = u32::from_le_bytes(*b"MPJG");

/// A SHA-256 over the statements of a group, chained to the group before it.
pub type GroupHash = [u8; 32];

/// What a frame holds, and so which tree counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// A record's version: a leaf of the registry tree.
    Entry = 1,
    /// Any other public statement (keys, licences): a leaf of the registry tree.
    Statement = 2,
    /// Who did what: a leaf of the audit tree.
    Audit = 3,
    /// Says that the disclosures of an earlier frame are erased: a leaf of the registry tree.
    Erasure = 4,
    /// A signed tree head, kept so that two heads never disagree; a leaf of no tree.
    CheckpointHead = 5,
    /// The end of a clean stop: everything before it is durable; a leaf of no tree.
    Seal = 6,
    /// In a mirror: a record's version whose disclosures it was not given, so that it makes no rows, and takes away those of
    /// the version before it, where that is named: a leaf of the registry tree.
    Withheld = 7,
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        Some(match byte {
            1 => FrameKind::Entry,
            2 => FrameKind::Statement,
            3 => FrameKind::Audit,
            4 => FrameKind::Erasure,
            5 => FrameKind::CheckpointHead,
            6 => FrameKind::Seal,
            7 => FrameKind::Withheld,
            _ => return None,
        })
    }

    /// Whether the frame's statement is a leaf of the registry tree.
    pub fn in_registry(self) -> bool {
        matches!(self, FrameKind::Entry | FrameKind::Statement | FrameKind::Erasure | FrameKind::Withheld)
    }

    /// Whether the frame's statement is a leaf of the audit tree.
    pub fn in_audit(self) -> bool {
        self == FrameKind::Audit
    }
}

/// The head of a segment file, fsynced before the file gets its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Counts from 1.
    pub number: u32,
    /// The file's whole length in bytes.
    pub length: u64,
    /// Where checksums of this segment start from.
    pub seed: u32,
    /// The sequence of the first frame that goes here.
    pub first_sequence: u64,
    /// The hash of the last group of the segment before.
    pub previous: GroupHash,
}

impl SegmentHeader {
    /// Encodes into exactly [`SEGMENT_HEADER_BYTES`].
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(&SEGMENT_MAGIC);
        out[8..12].copy_from_slice(&self.number.to_le_bytes());
        // Lengths are whole kibibytes, so that four bytes reach 4 TiB.
        out[12..16].copy_from_slice(&u32::try_from(self.length / 1024).unwrap_or(u32::MAX).to_le_bytes());
        out[16..20].copy_from_slice(&self.seed.to_le_bytes());
        out[20..28].copy_from_slice(&self.first_sequence.to_le_bytes());
        out[28..60].copy_from_slice(&self.previous);
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes; `None` where the magic or the checksum is wrong.
    pub fn decode(bytes: &[u8]) -> Option<SegmentHeader> {
        let mut read = Reader(bytes);
        if read.take(8)? != SEGMENT_MAGIC || crc32c::crc32c(bytes.get(..60)?) != u32_at(bytes, 60)? {
            return None;
        }
        Some(SegmentHeader {
            number: read.u32()?,
            length: u64::from(read.u32()?) * 1024,
            seed: read.u32()?,
            first_sequence: read.u64()?,
            previous: read.hash()?,
        })
    }
}

/// The head of a group: what one fdatasync makes durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupHeader {
    /// Bytes of the frames that follow, without padding.
    pub frame_bytes: u32,
    /// How many frames follow.
    pub frames: u32,
    /// The sequence of the first of them.
    pub first_sequence: u64,
    /// Every frame below this sequence was durable when this group was written.
    pub durable_sequence: u64,
    /// Leaves of the registry tree before this group.
    pub registry_size: u64,
    /// Leaves of the audit tree before this group.
    pub audit_size: u64,
    /// The hash of the group before.
    pub previous: GroupHash,
}

impl GroupHeader {
    /// Bytes of the whole group in the file.
    pub fn whole_bytes(&self) -> usize {
        padded(GROUP_HEADER_BYTES + self.frame_bytes as usize)
    }

    fn encode(&self, seed: u32) -> [u8; GROUP_HEADER_BYTES] {
        let mut out = [0; GROUP_HEADER_BYTES];
        out[..4].copy_from_slice(&GROUP_MAGIC.to_le_bytes());
        out[8..12].copy_from_slice(&self.frame_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.frames.to_le_bytes());
        for (at, number) in
            [(16, self.first_sequence), (24, self.durable_sequence), (32, self.registry_size), (40, self.audit_size)]
        {
            out[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        out[48..80].copy_from_slice(&self.previous);
        let crc = crc32c::crc32c_append(seed, &out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes; `None` where these bytes are not the head of a group of the segment with this seed.
    pub fn decode(bytes: &[u8], seed: u32) -> Option<GroupHeader> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        if u32_at(bytes, 0)? != GROUP_MAGIC || crc32c::crc32c_append(seed, &bytes[8..]) != u32_at(bytes, 4)? {
            return None;
        }
        let mut read = Reader(&bytes[8..]);
        Some(GroupHeader {
            frame_bytes: read.u32()?,
            frames: read.u32()?,
            first_sequence: read.u64()?,
            durable_sequence: read.u64()?,
            registry_size: read.u64()?,
            audit_size: read.u64()?,
            previous: read.hash()?,
        })
    }
}

/// What goes into a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameContent {
    pub kind: FrameKind,
    /// What the journal keeps beside the statement ([`super::meta::Meta`], encoded).
    pub meta: Vec<u8>,
    /// The exact signed bytes: a leaf.
    pub statement: Vec<u8>,
    /// The disclosures, joined by "~"; empty where the kind has none.
    pub disclosures: Vec<u8>,
    /// Where the previous version is an earlier frame of the same group, which one: its place is filled in on append.
    pub previous_in_group: Option<usize>,
}

impl FrameContent {
    /// Bytes of the frame in the file.
    pub fn whole_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.meta.len() + self.statement.len() + self.disclosures.len()
    }
}

/// A decoded frame, borrowing its group's bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    pub kind: FrameKind,
    pub meta: &'a [u8],
    pub statement: &'a [u8],
    pub disclosures: &'a [u8],
    /// Whether the disclosures carry the checksum they were written with. False after an erasure, or by damage.
    pub disclosures_whole: bool,
    /// Bytes of the whole frame.
    pub whole_bytes: usize,
}

impl FrameView<'_> {
    /// Where the disclosures begin, counted from the frame's first byte.
    pub fn disclosures_offset(&self) -> usize {
        self.whole_bytes - self.disclosures.len()
    }
}

/// What a frame's first [`FRAME_HEADER_BYTES`] say of it. No checksum was asked yet: good for how much to read, no more.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    pub kind: FrameKind,
    pub meta_bytes: u32,
    pub whole_bytes: u32,
}

impl FrameHead {
    /// `None` where no frame can begin so.
    pub fn decode(head: &[u8]) -> Option<FrameHead> {
        let (kind, meta_bytes) = (FrameKind::from_byte(*head.first()?)?, u32_at(head, 4)?);
        let parts = [meta_bytes, u32_at(head, 8)?, u32_at(head, 12)?];
        let whole_bytes = parts.into_iter().try_fold(FRAME_HEADER_BYTES as u32, u32::checked_add)?;
        (head.get(1..4)? == [0; 3]).then_some(FrameHead { kind, meta_bytes, whole_bytes })
    }
}

/// Appends one frame. `meta` is the frame's own, of the same length, perhaps with the place of the previous version filled in.
pub fn encode_frame(frame: &FrameContent, meta: &[u8], seed: u32, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[frame.kind as u8, 0, 0, 0]);
    for part in [meta, &frame.statement, &frame.disclosures] {
        out.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    let mut crc = crc32c::crc32c_append(seed, &out[start..]);
    crc = crc32c::crc32c_append(crc, meta);
    crc = crc32c::crc32c_append(crc, &frame.statement);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c_append(seed, &frame.disclosures).to_le_bytes());
    out.extend_from_slice(meta);
    out.extend_from_slice(&frame.statement);
    out.extend_from_slice(&frame.disclosures);
}

/// Decodes the frame at the start of `bytes`; `None` where what must be kept for ever is damaged.
pub fn decode_frame(bytes: &[u8], seed: u32) -> Option<FrameView<'_>> {
    let (kind, meta, statement) = decode_parts(bytes, seed)?;
    let kept = FRAME_HEADER_BYTES + meta.len() + statement.len();
    let disclosures = bytes.get(kept..)?.get(..u32_at(bytes, 12)? as usize)?;
    Some(FrameView {
        kind,
        meta,
        statement,
        disclosures,
        disclosures_whole: crc32c::crc32c_append(seed, disclosures) == u32_at(bytes, 20)?,
        whole_bytes: kept + disclosures.len(),
    })
}

/// The bytes of a frame before its disclosures, by its header.
pub fn kept_bytes(header: &[u8]) -> Option<usize> {
    let (meta, statement) = (u32_at(header, 4)? as usize, u32_at(header, 8)? as usize);
    FRAME_HEADER_BYTES.checked_add(meta)?.checked_add(statement)
}

/// Decodes what stands before the disclosures: kind and statement.
pub fn decode_kept(bytes: &[u8], seed: u32) -> Option<(FrameKind, &[u8])> {
    decode_parts(bytes, seed).map(|(kind, _, statement)| (kind, statement))
}

fn decode_parts(bytes: &[u8], seed: u32) -> Option<(FrameKind, &[u8], &[u8])> {
    let head = bytes.get(..FRAME_HEADER_BYTES)?;
    let kind = FrameKind::from_byte(head[0])?;
    let mut read = Reader(&bytes[FRAME_HEADER_BYTES..]);
    let (meta, statement) = (read.take(u32_at(head, 4)? as usize)?, read.take(u32_at(head, 8)? as usize)?);
    let mut crc = crc32c::crc32c_append(seed, &head[..16]);
    crc = crc32c::crc32c_append(crc, meta);
    crc = crc32c::crc32c_append(crc, statement);
    (crc == u32_at(head, 16)?).then_some((kind, meta, statement))
}

/// Begins a group in an emptied buffer; its frames follow by [`encode_frame`].
pub fn begin_group(header: &GroupHeader, seed: u32, out: &mut Vec<u8>) {
    out.clear();
    out.reserve(header.whole_bytes());
    out.extend_from_slice(&header.encode(seed));
}

/// Pads a group that has all its frames.
pub fn end_group(out: &mut Vec<u8>) {
    out.resize(padded(out.len()), 0);
}

/// The hash that the next group names: over the chain so far and every kept part of the group's frames.
pub struct GroupHasher(Context);

impl GroupHasher {
    pub fn new(previous: &GroupHash) -> GroupHasher {
        let mut context = Context::new(&SHA256);
        context.update(previous);
        GroupHasher(context)
    }

    /// Adds a frame; its disclosures stay out, so that an erasure leaves the chain whole.
    pub fn add(&mut self, kind: FrameKind, meta: &[u8], statement: &[u8]) {
        self.0.update(&[kind as u8]);
        for part in [meta, statement] {
            self.0.update(&(part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
    }

    pub fn finish(self) -> GroupHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(self.0.finish().as_ref());
        hash
    }
}

fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(GROUP_ALIGNMENT)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Reader(bytes.get(at..)?).u32()
}

/// Reads little-endian fields off the front of a slice; every step may run out.
pub(in crate::store) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }
    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
    pub fn u128(&mut self) -> Option<u128> {
        self.take(16)?.try_into().ok().map(u128::from_le_bytes)
    }
    pub fn hash(&mut self) -> Option<[u8; 32]> {
        self.take(32)?.try_into().ok()
    }
    /// A u32 length and that many bytes.
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.u32()? as usize;
        self.take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> FrameContent {
        FrameContent {
            kind: FrameKind::Entry,
            meta: vec![1, 2, 3],
            statement: b"statement".to_vec(),
            disclosures: b"one~two".to_vec(),
            previous_in_group: None,
        }
    }

    #[test]
    fn a_frame_survives_the_trip_and_no_flip_in_its_kept_part_does() {
        let mut bytes = Vec::new();
        encode_frame(&frame(), &frame().meta, 7, &mut bytes);
        let view = decode_frame(&bytes, 7).unwrap();
        assert_eq!((view.statement, view.disclosures, view.meta), (&b"statement"[..], &b"one~two"[..], &[1, 2, 3][..]));
        assert!(view.disclosures_whole);
        assert!(decode_frame(&bytes, 8).is_none(), "another segment's frame must not pass");
        for at in 0..view.disclosures_offset() {
            if (20..24).contains(&at) {
                continue; // the disclosures' checksum: a flip there shows as disclosures that are not whole
            }
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(decode_frame(&damaged, 7).is_none(), "flip at {at}");
        }
        for at in (20..24).chain(view.disclosures_offset()..bytes.len()) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(!decode_frame(&damaged, 7).unwrap().disclosures_whole, "flip at {at}");
        }
    }

    #[test]
    fn headers_survive_the_trip_and_no_flip_does() {
        let group = GroupHeader {
            frame_bytes: 9,
            frames: 1,
            first_sequence: 4,
            durable_sequence: 4,
            registry_size: 2,
            audit_size: 1,
            previous: [5; 32],
        };
        let mut bytes = b"what the group before has left".to_vec();
        begin_group(&group, 3, &mut bytes);
        bytes.extend_from_slice(&[0; 9]);
        end_group(&mut bytes);
        assert_eq!(bytes.len(), group.whole_bytes());
        assert_eq!(GroupHeader::decode(&bytes, 3), Some(group));
        for at in 0..GROUP_HEADER_BYTES {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            assert_eq!(GroupHeader::decode(&damaged, 3), None, "flip at {at}");
        }
        let segment = SegmentHeader { number: 3, length: 65_536, seed: 9, first_sequence: 77, previous: [6; 32] };
        let encoded = segment.encode();
        assert_eq!(SegmentHeader::decode(&encoded), Some(segment));
        for at in 0..SEGMENT_HEADER_BYTES {
            let mut damaged = encoded;
            damaged[at] ^= 0x10;
            assert_eq!(SegmentHeader::decode(&damaged), None, "flip at {at}");
        }
    }
}
