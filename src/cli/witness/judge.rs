//! Whether a head may be cosigned (c2sp.org/tlog-witness): the rules, in their order, and the one place that signs.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use super::state::State;
use crate::sign::note_signer::NoteSigner;
use crate::tlog::add_checkpoint::{AddCheckpoint, RequestError};
use crate::tlog::cosignature::cosign;
use crate::tlog::hash::Head;
use crate::tlog::note::{SignNote, SignatureLine, VerifierKey};
use crate::tlog::proof::check_consistency;

/// A witness at work.
pub struct Witness {
    signer: NoteSigner,
    /// The keys of each log, by its origin.
    logs: BTreeMap<String, Vec<VerifierKey>>,
    /// Held from the look at the last head until the new one is durable, so requests for a log follow one another; those for
    /// different logs too, for they share a file.
    state: Mutex<State>,
}

/// What a request for a cosignature comes to.
#[derive(Debug)]
pub enum Outcome {
    Cosigned(SignatureLine),
    Malformed(RequestError),
    UnknownLog {
        origin: String,
    },
    /// None of the log's keys signed it, or one of them wrongly.
    NotTheLog {
        origin: String,
    },
    /// The last head that was cosigned has this size, which is not the request's old size.
    OtherSize {
        size: u64,
    },
    /// At the size of the last head the request has another root: the log has forked.
    OtherRoot {
        size: u64,
        kept: Option<String>,
        offered: String,
    },
    NotConsistent {
        origin: String,
        from: u64,
        to: u64,
    },
    /// The state could not be made durable.
    Unwritten {
        cause: String,
    },
}

impl Witness {
    pub fn new(signer: NoteSigner, logs: Vec<VerifierKey>, state: State) -> Witness {
        let mut by_origin: BTreeMap<String, Vec<VerifierKey>> = BTreeMap::new();
        for key in logs {
            by_origin.entry(key.name().to_owned()).or_default().push(key);
        }
        Witness { signer, logs: by_origin, state: Mutex::new(state) }
    }

    /// The key that verifiers pin.
    pub fn verifier(&self) -> &VerifierKey {
        self.signer.verifier()
    }

    /// The logs, each with the size that was cosigned last.
    pub fn logs(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        let size = |origin: &String| state.of(origin).map_or(0, |cosigned| cosigned.size);
        self.logs.keys().map(|origin| (origin.clone(), size(origin))).collect()
    }

    /// Answers one request at a time in seconds since 1970. Writes to the disk: for a thread that may block.
    pub fn add_checkpoint(&self, body: &[u8], time: u64) -> Outcome {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Outcome::Malformed(error),
        };
        let origin = request.checkpoint.origin.clone();
        let Some(keys) = self.logs.get(&origin) else {
            return Outcome::UnknownLog { origin };
        };
        if request.note.verify(keys).is_err() {
            return Outcome::NotTheLog { origin };
        }
        self.judge(&request, time)
    }

    /// The log itself asks.
    fn judge(&self, request: &AddCheckpoint, time: u64) -> Outcome {
        let AddCheckpoint { old_size, proof, note, checkpoint } = request;
        let origin = &checkpoint.origin;
        let mut state = self.state.lock();
        let Some(known) = state.head(origin).filter(|_| state.is_sure()) else {
            return Outcome::Unwritten { cause: "an earlier write failed".to_owned() };
        };
        if *old_size != known.size {
            return Outcome::OtherSize { size: known.size };
        }
        let head = Head { size: checkpoint.size, root: checkpoint.root };
        if head.size == known.size && head.root != known.root {
            let kept = state.of(origin).and_then(|cosigned| cosigned.note.clone());
            return Outcome::OtherRoot { size: known.size, kept, offered: note.to_string() };
        }
        if !check_consistency(&known, &head, proof) {
            return Outcome::NotConsistent { origin: origin.clone(), from: known.size, to: head.size };
        }
        if head != known
            && let Err(error) = state.advance(origin, &head, time, note.to_string())
        {
            return Outcome::Unwritten { cause: error.to_string() };
        }
        match cosign(note.text(), time, &self.signer) {
            Ok(line) => Outcome::Cosigned(line),
            Err(error) => Outcome::Unwritten { cause: error.to_string() },
        }
    }
}
