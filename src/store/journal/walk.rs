//! Walking over the bytes of a segment that no open journal has: a copy of it, on its way or at rest.
//!
//! The proof is a scan's: checksums, sequences, the chain of groups. Nothing is mended and nothing judged torn: a copy ends
//! where its maker says, so what does not pass before that is damage.

use std::collections::BTreeSet;

use super::format::{self, FrameKind, GroupHash, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::scan::{after, frames, group_at};
use super::{Location, Meta, Tail};

/// How far a walk has come, and what it knows of erasures.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The place after the last group that was accepted.
    pub tail: Tail,
    seed: u32,
    unwhole: BTreeSet<Location>,
    erased: BTreeSet<Location>,
}

/// A group that passes where the walk stands.
pub struct Seen<'a> {
    pub frames: Vec<SeenFrame<'a>>,
    /// The place after it.
    pub next: Tail,
}

/// A frame of such a group.
pub struct SeenFrame<'a> {
    pub sequence: u64,
    pub location: Location,
    pub kind: FrameKind,
    pub meta: Meta,
    pub statement: &'a [u8],
    /// False after an erasure, or by damage.
    pub disclosures_whole: bool,
    /// Whether they are zeros, as an erasure leaves them.
    pub is_blank: bool,
}

/// What is wrong with a copied segment, and at which byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkFault {
    pub offset: u64,
    pub what: &'static str,
}

impl Walk {
    /// A walk that goes on from a place that was proven before.
    pub fn from(tail: Tail) -> Walk {
        Walk { tail, seed: 0, unwhole: BTreeSet::new(), erased: BTreeSet::new() }
    }

    /// A walk from before the first segment.
    pub fn from_start() -> Walk {
        const NOTHING: GroupHash = [0; 32];
        Walk::from(Tail { segment: 0, offset: 0, sequence: 0, registry_size: 0, audit_size: 0, previous: NOTHING })
    }

    /// Enters a segment by its bytes: the one that the walk stands in, or the next.
    pub fn enter(&mut self, bytes: &[u8]) -> Result<SegmentHeader, WalkFault> {
        let fault = |what| WalkFault { offset: 0, what };
        let header = SegmentHeader::decode(bytes).ok_or_else(|| fault("the segment's head is wrong"))?;
        if header.number == self.tail.segment + 1 {
            if header.first_sequence != self.tail.sequence || header.previous != self.tail.previous {
                return Err(fault("the segment does not continue the one before it"));
            }
            self.tail.segment = header.number;
            self.tail.offset = SEGMENT_HEADER_BYTES as u32;
        } else if header.number != self.tail.segment {
            return Err(fault("the segment's head names another number"));
        }
        self.seed = header.seed;
        Ok(header)
    }

    /// The group where the walk stands, if it passes. `bytes` are those of the segment that was entered, from its start.
    pub fn group<'a>(&self, bytes: &'a [u8]) -> Option<Seen<'a>> {
        let group = group_at(bytes, &self.tail, self.seed)?;
        let found = frames(bytes, &self.tail, &group, self.seed).map(|(sequence, location, view, _)| {
            Some(SeenFrame {
                sequence,
                location,
                kind: view.kind,
                meta: Meta::decode(view.meta)?,
                statement: view.statement,
                disclosures_whole: view.disclosures_whole,
                is_blank: !view.disclosures_whole && view.disclosures.iter().all(|byte| *byte == 0),
            })
        });
        Some(Seen { frames: found.collect::<Option<_>>()?, next: after(bytes, &self.tail, &group, self.seed) })
    }

    /// Takes a group in and goes on behind it.
    pub fn accept(&mut self, seen: &Seen<'_>) {
        for frame in &seen.frames {
            if !frame.disclosures_whole {
                self.unwhole.insert(frame.location);
            }
            if frame.kind == FrameKind::Erasure {
                self.erased.extend(frame.meta.previous);
            }
        }
        self.tail = seen.next;
    }

    /// What the erasures that were met name.
    pub fn erased(&self) -> &BTreeSet<Location> {
        &self.erased
    }

    /// A frame whose disclosures are not what was written, though no erasure that was met names it.
    pub fn unexplained(&self) -> Option<Location> {
        self.unwhole.difference(&self.erased).next().copied()
    }
}

/// Blanks the disclosures of a frame in the bytes of its segment; whether anything was left to blank. `None`: no frame is there.
pub fn blank(bytes: &mut [u8], location: Location) -> Option<bool> {
    let seed = SegmentHeader::decode(bytes)?.seed;
    let (start, end) = (location.offset as usize, location.offset as usize + location.length as usize);
    let view = format::decode_frame(bytes.get(start..end)?, seed)?;
    let from = start + view.disclosures_offset();
    let disclosures = bytes.get_mut(from..end)?;
    let was_shown = disclosures.iter().any(|byte| *byte != 0);
    disclosures.fill(0);
    Some(was_shown)
}
