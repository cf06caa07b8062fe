//! When each API key was last used, to the minute: so that whoever looks after keys sees which nobody needs any more.
//!
//! Not in the log, for a use is no act: a small file in the data folder, written every ten minutes and at a stop. A node that
//! was killed may have forgotten what came after the last writing; a file that does not read is begun anew.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::Services;
use crate::model::time::Timestamp;
use crate::store::medium::{self, Disk};

const FILE: &str = "key-uses";
const FILE_LIMIT_BYTES: u64 = 16 << 20;
/// Keys that are kept in mind; those beyond are not noted. Their ids have 12 letters.
const MOST_KEYS: usize = 200_000;

/// A clock may be set back by so much without a key's becoming less used.
const CLOCK_SLACK_SECONDS: i64 = 3600 * 2;

/// The last use of each key, in epoch seconds, at the beginning of its minute.
#[derive(Debug, Default)]
pub struct KeyUses {
    noted: Mutex<Noted>,
    /// Held while the file is written.
    saving: Mutex<()>,
    /// Its disk did not give the file, which may be good: it is left as it is.
    is_unread: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Noted {
    uses: HashMap<String, i64>,
    #[serde(skip)]
    is_unwritten: bool,
}

impl KeyUses {
    /// What a node of before noted.
    pub(super) fn load(data: &Path) -> KeyUses {
        let read = medium::read_whole(&Disk::existing(data), FILE, FILE_LIMIT_BYTES);
        let is_unread = read.is_err();
        let noted = read.and_then(|bytes| match bytes {
            Some(bytes) => Ok(serde_json::from_slice(&bytes)?),
            None => Ok(Noted::default()),
        });
        let noted = noted.unwrap_or_else(|error| {
            tracing::warn!(%error, file = FILE, "when keys were last used could not be read, and is noted anew");
            Noted::default()
        });
        KeyUses { noted: Mutex::new(noted), saving: Mutex::default(), is_unread }
    }

    /// The minute of a moment, which is what is kept of it.
    pub(super) fn minute(now: Timestamp) -> i64 {
        now.as_seconds() - now.as_seconds().rem_euclid(60)
    }

    pub(super) fn note(&self, id: &str, minute: i64) {
        let mut noted = self.noted.lock();
        let is_full = noted.uses.len() >= MOST_KEYS;
        match noted.uses.get_mut(id) {
            // A clock that was set back makes no key less used, unless it was far ahead.
            Some(last) if *last > minute && *last - minute < CLOCK_SLACK_SECONDS => {}
            Some(last) => *last = minute,
            None if is_full => return,
            None => {
                noted.uses.insert(id.to_owned(), minute);
            }
        }
        noted.is_unwritten = true;
    }

    pub(super) fn last(&self, id: &str) -> Option<i64> {
        self.noted.lock().uses.get(id).copied()
    }

    fn save(&self, data: &Path) -> io::Result<()> {
        let _saving = self.saving.lock();
        let uses = {
            let mut noted = self.noted.lock();
            if self.is_unread || !std::mem::take(&mut noted.is_unwritten) {
                return Ok(());
            }
            noted.uses.clone()
        };
        let bytes = serde_json::to_vec(&Noted { uses, is_unwritten: false })?;
        medium::replace(&Disk::existing(data), FILE, &bytes).inspect_err(|_| self.noted.lock().is_unwritten = true)
    }
}

impl Services {
    /// Writes down when keys were last used, where that is news.
    pub fn save_key_uses(&self) {
        if let Err(error) = self.key_uses.save(&self.settings.data_folder) {
            tracing::warn!(%error, file = FILE, "when keys were last used could not be written; it is tried again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_kept_to_the_minute_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let uses = KeyUses::load(folder.path());
        assert_eq!(uses.last("a"), None);
        uses.save(folder.path()).unwrap();
        assert!(!folder.path().join(FILE).exists(), "nothing is written where nothing is new");
        let at = |text: &str| KeyUses::minute(Timestamp::parse(text).unwrap());
        uses.note("a", at("2026-11-30T12:00:59Z"));
        uses.note("a", at("2026-11-30T12:03:01Z"));
        // A clock that was set back a little makes no key less used; one that was far ahead is not believed for ever.
        uses.note("a", at("2026-11-30T11:00:00Z"));
        uses.note("b", at("2036-11-30T12:00:00Z"));
        uses.note("b", at("2026-11-30T12:00:00Z"));
        uses.save(folder.path()).unwrap();
        let found = KeyUses::load(folder.path());
        assert_eq!(found.last("a"), Some(at("2026-11-30T12:03:00Z")));
        assert_eq!(found.last("b"), Some(at("2026-11-30T12:00:00Z")));
    }

    #[test]
    fn a_file_that_does_not_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), "{\"uses\":").unwrap();
        let uses = KeyUses::load(folder.path());
        uses.note("a", 60);
        uses.save(folder.path()).unwrap();
        assert_eq!(KeyUses::load(folder.path()).last("a"), Some(60));
    }
}
