//! Which import an idempotency key belongs to, for as long as a single request's key is remembered.
//!
//! Kept in memory, and made anew at a start from the jobs' own files, which name the digest of their key. A key is held
//! from before its upload has a folder until the job's file is durable, and no row is touched before that. So wherever a
//! crash comes, either a file names the key or nothing was registered under it: no upload runs twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use super::job::JobView;
use crate::model::time::Timestamp;
use crate::store::rows::REQUEST_SECONDS;

/// The keys of uploads on their way and of the jobs that they became.
#[derive(Clone, Default)]
pub(super) struct HeldKeys(Arc<Mutex<HashMap<String, Holder>>>);

enum Holder {
    /// Its upload is on its way.
    Upload,
    Job {
        id: String,
        started: Timestamp,
    },
}

/// Who has a key.
pub(super) enum Hold {
    /// The asker, from now on.
    Taken(HeldKey),
    /// An upload that is on its way.
    Upload,
    /// This job, unless it is gone.
    Job(String),
}

/// A key held by an upload; free again when the upload comes to nothing.
pub(super) struct HeldKey {
    keys: HeldKeys,
    digest: String,
    is_given: bool,
}

impl HeldKeys {
    /// Takes the key, if nobody has it: `is_open` says whether a job has not ended, and such a job keeps its key.
    pub fn hold(&self, digest: String, now: Timestamp, is_open: impl Fn(&str) -> bool) -> Hold {
        let mut holders = self.0.lock();
        match holders.get(&digest) {
            Some(Holder::Upload) => return Hold::Upload,
            Some(Holder::Job { id, started }) if remembered(*started, now) || is_open(id) => {
                return Hold::Job(id.clone());
            }
            _ => holders.insert(digest.clone(), Holder::Upload),
        };
        Hold::Taken(HeldKey { keys: self.clone(), digest, is_given: false })
    }

    /// Takes a job in that a start has found; of two with one key the later.
    pub fn remember(&self, view: &JobView) {
        // Before a job's file had a digest of the key, the job's id was that.
        let digest = view.key.as_ref().or_else(|| view.upload.as_ref().map(|_| &view.id));
        let Some(digest) = digest.filter(|_| remembered(view.started, Timestamp::now())) else {
            return;
        };
        let holder = Holder::Job { id: view.id.clone(), started: view.started };
        match self.0.lock().entry(digest.clone()) {
            Entry::Occupied(mut known) => {
                if matches!(known.get(), Holder::Job { started, .. } if *started < view.started) {
                    known.insert(holder);
                }
            }
            Entry::Vacant(place) => {
                place.insert(holder);
            }
        }
    }

    /// Lets go of a job that is gone from the disk, if the key is still its own.
    pub fn forget(&self, digest: &str, gone: &str) {
        let mut holders = self.0.lock();
        if matches!(holders.get(digest), Some(Holder::Job { id, .. }) if id == gone) {
            holders.remove(digest);
        }
    }

    /// Lets go of what is not remembered any more, so that the memory that keys take is that of a day.
    pub fn forget_old(&self, now: Timestamp, is_open: impl Fn(&str) -> bool) {
        self.0.lock().retain(|_, holder| match holder {
            Holder::Upload => true,
            Holder::Job { id, started } => remembered(*started, now) || is_open(id),
        });
    }
}

impl HeldKey {
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The job has the key from now on.
    pub fn give(mut self, id: &str, started: Timestamp) {
        self.is_given = true;
        self.keys.0.lock().insert(self.digest.clone(), Holder::Job { id: id.to_owned(), started });
    }
}

impl Drop for HeldKey {
    fn drop(&mut self) {
        if !self.is_given {
            self.keys.0.lock().remove(&self.digest);
        }
    }
}

/// What a principal's key is known by: 12 bytes of a SHA-256 in hexadecimal.
pub(super) fn key_digest(principal: &str, key: &str) -> String {
    let digest = digest(&SHA256, format!("{principal}\0{key}").as_bytes());
    digest.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

fn remembered(started: Timestamp, now: Timestamp) -> bool {
    now.as_seconds() < started.as_seconds().saturating_add(REQUEST_SECONDS)
}
