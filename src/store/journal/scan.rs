//! Scanning a journal: which groups pass, where they end, and whether what does not pass had been durable.

use std::collections::HashMap;
use std::sync::Arc;

use super::format::{self, FrameKind, GROUP_ALIGNMENT, GroupHasher, GroupHeader, SEGMENT_HEADER_BYTES};
use super::{JournalError, Location, Meta, Segment, Tail, segment_name};

/// What a scan has found so far.
pub(super) struct Scan {
    pub tail: Tail,
    /// Sequences below this were durable, by the groups' own watermarks.
    durable: u64,
    pub last_group: Option<(u32, u64, Vec<u8>)>,
    unwhole: Vec<(u64, Location)>,
    /// What erasures name, and the sequence of the erasure.
    pub erased: HashMap<Location, u64>,
}

impl Scan {
    pub(super) fn new(from: Tail) -> Scan {
        Scan { tail: from, durable: from.sequence, last_group: None, unwhole: Vec::new(), erased: HashMap::new() }
    }

    pub(super) fn run(mut self, segments: &[Arc<Segment>], durable_sequence: u64) -> Result<Scan, JournalError> {
        let last_number = segments.last().map_or(0, |last| last.header.number);
        if self.tail.segment > last_number {
            return Err(self.damaged(self.tail.segment, "the segment that the last checkpoint names is missing"));
        }
        let first_number = self.tail.segment;
        for segment in segments.iter().filter(|segment| segment.header.number >= first_number) {
            let header = &segment.header;
            if header.number > self.tail.segment {
                if header.first_sequence != self.tail.sequence || header.previous != self.tail.previous {
                    return Err(self.damaged(self.tail.segment, "a durable group does not pass its checksum"));
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
            let (mut erased, mut blank) = (Vec::new(), true);
            for (sequence, location, view, _) in frames(bytes, &place, &group, seed) {
                if !view.disclosures_whole {
                    self.unwhole.push((sequence, location));
                    blank &= view.disclosures.iter().all(|byte| *byte == 0);
                }
                if view.kind == FrameKind::Erasure
                    && let Some(target) = Meta::decode(view.meta).and_then(|meta| meta.previous)
                {
                    erased.push((target, sequence));
                }
            }
            if last_segment
                && self.unwhole.len() > unwhole_before
                && !shown_durable(bytes, seed, &place, &group)
                && !(blank && written_after(bytes, &place, &group))
            {
                // Nothing shows that it was durable, and its disclosures are torn: leave it to be cut. An erasure would
                // stand in a later group, and there is none.
                self.unwhole.truncate(unwhole_before);
                return;
            }
            // Only now: what is cut orders no erasure.
            self.erased.extend(erased);
            let start = place.offset as usize;
            self.tail = after(bytes, &place, &group, seed);
            self.last_group = Some((place.segment, start as u64, bytes[start..self.tail.offset as usize].to_vec()));
        }
    }

    /// At the end of the last segment: is what follows torn, or was it durable?
    fn judge_end(&self, bytes: &[u8], seed: u32, durable_sequence: u64) -> Result<(), JournalError> {
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
        if let Some((sequence, location)) =
            self.unwhole.iter().find(|(_, location)| !self.erased.contains_key(location))
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
    // The next group shows it as a rule, so this ends at once: an erased frame must not cost a walk over the segment.
    watermarks(bytes, place.offset as usize + group.whole_bytes(), seed).any(|watermark| watermark >= next)
}

/// Whether anything was ever written behind a group. After a torn write there are zeros; behind a blanked frame stands its
/// erasure, even if that cannot be read any more.
fn written_after(bytes: &[u8], place: &Tail, group: &GroupHeader) -> bool {
    bytes.get(place.offset as usize + group.whole_bytes()..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0))
}

/// The highest watermark of any group head at or after an offset: the proof that something before it was durable.
fn later_watermark(bytes: &[u8], from: usize, seed: u32) -> u64 {
    watermarks(bytes, from, seed).max().unwrap_or(0)
}

fn watermarks(bytes: &[u8], from: usize, seed: u32) -> impl Iterator<Item = u64> {
    (from..bytes.len())
        .step_by(GROUP_ALIGNMENT)
        .filter_map(move |at| GroupHeader::decode(bytes.get(at..)?, seed))
        .map(|group| group.durable_sequence)
}

/// The group at a place, if all that must be kept of it passes and it continues the chain.
pub(super) fn group_at(bytes: &[u8], place: &Tail, seed: u32) -> Option<GroupHeader> {
    let at = place.offset as usize;
    let group = GroupHeader::decode(bytes.get(at..)?, seed)?;
    let frame_bytes = bytes.get(at + format::GROUP_HEADER_BYTES..)?.get(..group.frame_bytes as usize)?;
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
    let padding = bytes.get(at + format::GROUP_HEADER_BYTES + frame_bytes.len()..at + group.whole_bytes())?;
    (rest.is_empty() && padding.iter().all(|byte| *byte == 0)).then_some(group)
}

/// The frames of a group that [`group_at`] passed: sequence, place, view, index in its tree.
pub(super) fn frames<'a>(
    bytes: &'a [u8],
    place: &Tail,
    group: &GroupHeader,
    seed: u32,
) -> impl Iterator<Item = (u64, Location, format::FrameView<'a>, u64)> {
    let mut counted = *place;
    let mut offset = place.offset as usize + format::GROUP_HEADER_BYTES;
    (0..group.frames).map_while(move |_| {
        let view = format::decode_frame(bytes.get(offset..)?, seed)?;
        let location = Location { segment: counted.segment, offset: offset as u32, length: view.whole_bytes as u32 };
        let index = if view.kind.in_audit() { counted.audit_size } else { counted.registry_size };
        let sequence = counted.sequence;
        counted.count(view.kind);
        offset += view.whole_bytes;
        Some((sequence, location, view, index))
    })
}

/// The place after a group that [`group_at`] passed.
pub(super) fn after(bytes: &[u8], place: &Tail, group: &GroupHeader, seed: u32) -> Tail {
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
