//! What the journal keeps beside a statement: how to find the version before, who asked, the idempotency key, and the job
//! that it is a row of.
//!
//! With it a record's row is a function of one frame alone, so recovery needs no look-up and a history is a walk
//! back from frame to frame.

use super::Location;
use super::format::Reader;

/// What became of a request, as its idempotency key remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Effect {
    /// No record was touched.
    None = 0,
    Created = 1,
    Updated = 2,
    Deleted = 3,
}

impl Effect {
    pub(in crate::store) fn from_byte(byte: u8) -> Option<Effect> {
        [Effect::None, Effect::Created, Effect::Updated, Effect::Deleted]
            .into_iter()
            .find(|effect| *effect as u8 == byte)
    }
}

/// The idempotency key that a request carried, kept for a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 over the request.
    pub request: [u8; 32],
}

/// The number of a job (an import, a change in bulk, an undo), as its frames carry it.
pub type JobTag = [u8; 12];

/// Stands where the length of an idempotency key would, before a job's tag: no key is that long.
const TAGGED: u32 = u32::MAX;

/// The part of a frame that is neither signed nor erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// The frame of this identifier's previous version, where that has rows; for an erasure, the frame whose disclosures it
    /// blanks.
    pub previous: Option<Location>,
    /// The index of that frame's statement in its tree.
    pub previous_index: u64,
    /// The record's version; 0 where the frame is no entry.
    pub version: u64,
    /// When version 1 was registered, epoch seconds.
    pub registered: i64,
    /// When this frame was made, epoch seconds.
    pub time: i64,
    pub effect: Effect,
    /// Who asked.
    pub principal: String,
    pub idempotency: Option<Idempotency>,
    /// The job that wrote it: what a job has done is read from the journal, and so is what an undo takes back.
    pub job: Option<JobTag>,
}

impl Meta {
    /// The meta of a frame that is no entry.
    pub fn plain(time: i64, principal: &str) -> Meta {
        Meta {
            previous: None,
            previous_index: 0,
            version: 0,
            registered: time,
            time,
            effect: Effect::None,
            principal: principal.to_owned(),
            idempotency: None,
            job: None,
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.principal.len());
        let previous = self.previous.unwrap_or_default();
        for number in [previous.segment, previous.offset, previous.length] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.previous_index.to_le_bytes());
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.registered.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.push(self.effect as u8);
        put(&mut out, self.principal.as_bytes());
        if let Some(job) = &self.job {
            out.extend_from_slice(&TAGGED.to_le_bytes());
            out.extend_from_slice(job);
        }
        if let Some(idempotency) = &self.idempotency {
            put(&mut out, idempotency.key.as_bytes());
            out.extend_from_slice(&idempotency.request);
        }
        out
    }

    /// Fills the place of the previous version into an encoded meta.
    pub(super) fn set_previous(encoded: &mut [u8], previous: Location, index: u64) {
        if let Some(field) = encoded.get_mut(12..20) {
            field.copy_from_slice(&index.to_le_bytes());
        }
        for (field, number) in
            encoded.chunks_exact_mut(4).take(3).zip([previous.segment, previous.offset, previous.length])
        {
            field.copy_from_slice(&number.to_le_bytes());
        }
    }

    /// Decodes; `None` where the bytes are no meta (their checksum held, so another program wrote them).
    pub fn decode(bytes: &[u8]) -> Option<Meta> {
        let mut read = Reader(bytes);
        let previous = Location { segment: read.u32()?, offset: read.u32()?, length: read.u32()? };
        let previous_index = read.u64()?;
        let (version, registered, time) = (read.u64()?, read.u64()?.cast_signed(), read.u64()?.cast_signed());
        let effect = Effect::from_byte(read.u8()?)?;
        let principal = String::from_utf8(read.bytes()?.to_vec()).ok()?;
        let mut job = None;
        if let Some(rest) = read.0.strip_prefix(&TAGGED.to_le_bytes()) {
            let (tag, rest) = rest.split_first_chunk()?;
            job = Some(*tag);
            read.0 = rest;
        }
        let idempotency = if read.0.is_empty() {
            None
        } else {
            Some(Idempotency { key: String::from_utf8(read.bytes()?.to_vec()).ok()?, request: read.hash()? })
        };
        let previous = (previous != Location::default()).then_some(previous);
        read.0.is_empty().then_some(Meta {
            previous,
            previous_index,
            version,
            registered,
            time,
            effect,
            principal,
            idempotency,
            job,
        })
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meta_survives_the_trip_with_and_without_its_options() {
        let mut meta = Meta::plain(1_700_000_000, "key:abc");
        assert_eq!(Meta::decode(&meta.encode()), Some(meta.clone()));
        meta.previous = Some(Location { segment: 1, offset: 2, length: 3 });
        meta.version = 9;
        meta.effect = Effect::Updated;
        meta.idempotency = Some(Idempotency { key: "批次-1".into(), request: [7; 32] });
        assert_eq!(Meta::decode(&meta.encode()), Some(meta.clone()));
        assert_eq!(Meta::decode(&meta.encode()[1..]), None);
        meta.job = Some([0xFF; 12]);
        assert_eq!(Meta::decode(&meta.encode()), Some(meta.clone()));
        meta.idempotency = None;
        assert_eq!(Meta::decode(&meta.encode()), Some(meta.clone()));
        assert_eq!(Meta::decode(&meta.encode()[..meta.encode().len() - 1]), None);
    }
}
