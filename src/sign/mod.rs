//! Stage 5: keys, signed entries, and their verification.
//!
//! - `keys`: pairs in files. `jws`, `sd_jwt`: the two formats. `entry`: a record as an SD-JWT and back.
//! - `blinding`: what stands for a name in the log. `noise`: random bytes for salts.
//! - `disclosed`: an entry that a stranger discloses. `event`: what a leaf tells an auditor of who did what.
//! - `statement`: every other signed statement; `filing`: those about filings, `standing`: about prefixes, `sharing`: about grants, `sealing`: what is kept beside them. `licence`: whose prefix it is. `owner`: an enterprise's own signature, over the
//!   canonical JSON of `jcs`. `latest`: what the node states of a moment. `verify`: what a partner checks, with no node at hand.
//! - `assertion`: by which a key's holder begins a session. `bundle`: an answer with all its proofs in one file. `note_signer`: a key that signs notes of the log.
//! - `prefix_secret`: what an owner is given to know its own names in the log. `signature`: checking one. `repeated`: checking many by one key.
//!
//! Signed bytes are stored and served as they were signed; nothing here re-encodes what another part has signed.

pub mod assertion;
pub mod blinding;
pub mod bundle;
pub mod disclosed;
pub mod entry;
pub mod event;
pub mod filing;
pub mod jcs;
pub mod jws;
pub mod keys;
pub mod latest;
pub mod licence;
mod noise;
pub mod note_signer;
pub mod owner;
pub mod prefix_secret;
pub mod repeated;
pub mod sd_jwt;
pub mod sealing;
pub mod sharing;
pub mod signature;
pub mod standing;
pub mod statement;
pub mod verify;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::model::prefix::Prefixes;
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::store::ReadStatement;
use crate::store::engine::Write;
use crate::store::journal::{FrameKind, Meta};

/// Reads back, for the store, what this stage has written.
pub struct StatementReader {
    pub prefixes: Arc<Prefixes>,
}

impl ReadStatement for StatementReader {
    fn record(&self, statement: &[u8], disclosures: &[u8], meta: &Meta) -> Result<Record, String> {
        let registered = Timestamp::from_seconds(meta.registered).map_err(|error| error.to_string())?;
        entry::read(statement, disclosures, registered, &self.prefixes)
    }

    fn rows(&self, kind: FrameKind, statement: &[u8], index: u64) -> Result<Vec<Write>, String> {
        statement::rows(kind, statement, index)
    }
}

/// A sid or hash of 32 bytes from its base64url text.
pub fn decode_sid(text: &str) -> Option<[u8; 32]> {
    BASE64URL.decode(text).ok()?.try_into().ok()
}
