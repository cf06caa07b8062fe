//! A cold folder belongs to one journal, and one journal has one cold folder.
//!
//! The note `cold` beside the hot segments and the file `mingpai-cold` in the cold folder have the same random id. The note is
//! written first, and again once the other is there: a note that is settled and a cold folder without its file is a file system
//! that is not mounted, never a new one. A copy of the data folder has the same id; the lock keeps both from running.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::error::ColdError;
use super::tiers::Tiers;
use crate::config::OWN_FOLDERS;
use crate::store::journal::{segment_name, segment_number};
use crate::store::medium::{self, Disk, Medium};

/// Beside the hot segments.
const NOTE_FILE: &str = "cold";
/// In the cold folder.
const OWNER_FILE: &str = "mingpai-cold";
const LOCK_FILE: &str = "lock";
const LIMIT_BYTES: u64 = 64 * 1024;

/// What the journal's folder says of its cold one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    id: String,
    folder: PathBuf,
    /// False while the cold folder is being claimed.
    is_claimed: bool,
}

/// What a cold folder says of its journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    id: String,
}

/// A journal's folders, and what keeps others out of them.
pub(in crate::store) struct Folders {
    /// The journal's own. All but cold segments is here, and who has no business with those asks for nothing elsewhere: a
    /// file system that does not answer must hold up nobody else.
    pub hot: Arc<dyn Medium>,
    /// Both, where there is a cold one.
    pub tiers: Option<Arc<Tiers>>,
    pub lock: Option<File>,
}

impl Folders {
    pub fn alone(hot: Arc<dyn Medium>) -> Folders {
        Folders { hot, tiers: None, lock: None }
    }

    /// Where the segments are, wherever they are.
    pub fn segments(&self) -> Arc<dyn Medium> {
        match &self.tiers {
            Some(tiers) => Arc::<Tiers>::clone(tiers),
            None => Arc::clone(&self.hot),
        }
    }

    /// The same folders, once it is clear that no segment is missing.
    pub fn whole(self) -> Result<Folders, ColdError> {
        self.tiers.as_deref().map_or(Ok(()), no_gap)?;
        Ok(self)
    }
}

/// The folders of a journal on the disk. Its data folder must be locked. Segments may be missing: see [`Folders::whole`].
pub(in crate::store) fn open(hot: Disk, cold: Option<&Path>) -> Result<Folders, ColdError> {
    let Some(folder) = cold else {
        stands_alone(&hot)?;
        return Ok(Folders::alone(Arc::new(hot)));
    };
    stands_apart(hot.folder(), folder)?;
    let lock = lock(folder)?;
    let folders = join(Arc::new(hot), Arc::new(Disk::existing(folder)), folder)?;
    Ok(Folders { lock, ..folders })
}

/// Both folders as one, once it is clear that they belong together.
pub(in crate::store) fn join(hot: Arc<dyn Medium>, cold: Arc<dyn Medium>, folder: &Path) -> Result<Folders, ColdError> {
    claim(hot.as_ref(), cold.as_ref(), folder)?;
    remove_half_made(cold.as_ref(), folder);
    let (here, there) = (segments(hot.as_ref(), Path::new("journal"))?, segments(cold.as_ref(), folder)?);
    let leftovers: BTreeSet<u32> = here.intersection(&there).copied().collect();
    if !leftovers.is_empty() {
        tracing::info!(segments = leftovers.len(), "in both folders: the hot ones count, and are moved again");
    }
    let tiers = Tiers::new(Arc::clone(&hot), cold, folder.to_owned(), leftovers);
    Ok(Folders { hot, tiers: Some(Arc::new(tiers)), lock: None })
}

/// Whether a folder could be the cold one of a journal: as an opening judges it, without a lock and without a change.
pub fn judge(data: &Path, folder: &Path) -> Result<(), ColdError> {
    let journal = data.join("journal");
    stands_apart(&journal, folder)?;
    fit(&Disk::existing(&journal), &Disk::existing(folder), folder).map(drop)
}

/// The cold folder that a journal has, by its own word.
pub fn noted(data: &Path) -> Option<PathBuf> {
    let note = read::<Note>(&Disk::existing(&data.join("journal")), NOTE_FILE, Path::new("")).ok().flatten();
    note.map(|note| note.folder)
}

/// Whether the cold folder answers, and is the one that was joined.
pub(super) fn is_there(cold: &dyn Medium, folder: &Path, id: &str) -> bool {
    read::<Owner>(cold, OWNER_FILE, folder).is_ok_and(|owner| owner.is_some_and(|owner| owner.id == id))
}

/// The id of a journal that has claimed a cold folder.
pub(super) fn id(hot: &dyn Medium) -> Option<String> {
    read::<Note>(hot, NOTE_FILE, Path::new("")).ok().flatten().map(|note| note.id)
}

/// Takes the note away where nothing is cold any more: all was copied back. Only once that is durable, for then the copies go.
pub(in crate::store) fn forget(hot: &dyn Medium) {
    if let Ok(Some(note)) = read::<Note>(hot, NOTE_FILE, Path::new("")) {
        let durable = |name: &String| hot.look(name)?.sync_data();
        let forgotten = hot
            .list()
            .and_then(|names| names.iter().filter(|name| segment_number(name).is_some()).try_for_each(durable))
            .and_then(|()| hot.sync_directory())
            .and_then(|()| hot.remove(NOTE_FILE))
            .and_then(|()| hot.sync_directory());
        let folder = note.folder.display();
        match forgotten {
            Ok(()) => {
                tracing::info!(%folder, "every segment is in the journal's folder again: the cold folder is not used any more")
            }
            Err(error) => {
                tracing::warn!(%folder, %error, "what was copied back could not be made durable: keep the cold folder until a start says that it is not used any more");
            }
        }
    }
}

fn claim(hot: &dyn Medium, cold: &dyn Medium, folder: &Path) -> Result<(), ColdError> {
    let folder_now = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let (note, owner) = fit(hot, cold, folder)?;
    let is_first = note.is_none();
    let is_settled = note.as_ref().is_some_and(|note| note.is_claimed && note.folder == folder_now);
    if is_settled && owner.is_some() {
        return Ok(());
    }
    let id = note.map_or_else(|| new_id(folder), |note| Ok(note.id))?;
    let mut note = Note { id: id.clone(), folder: folder_now, is_claimed: owner.is_some() };
    // A crash before the last line leaves a note that is not settled: the next opening goes on here.
    write(hot, NOTE_FILE, &note, Path::new("journal"))?;
    if owner.is_none() {
        if read::<Note>(cold, NOTE_FILE, folder)?.is_some() {
            // It has just come to be there: one folder, by two names that no path tells to be one.
            if is_first && let Err(error) = hot.remove(NOTE_FILE).and_then(|()| hot.sync_directory()) {
                tracing::warn!(%error, "the note of a cold folder could not be removed");
            }
            return Err(ColdError::Taken(folder.to_owned()));
        }
        write(cold, OWNER_FILE, &Owner { id }, folder)?;
        note.is_claimed = true;
        write(hot, NOTE_FILE, &note, Path::new("journal"))?;
        tracing::info!(folder = %folder.display(), "the cold folder is this journal's now");
    }
    Ok(())
}

/// What both sides say of each other, if it goes together.
fn fit(hot: &dyn Medium, cold: &dyn Medium, folder: &Path) -> Result<(Option<Note>, Option<Owner>), ColdError> {
    let note: Option<Note> = read(hot, NOTE_FILE, Path::new("journal"))?;
    let owner: Option<Owner> = read(cold, OWNER_FILE, folder)?;
    let is_new = !note.as_ref().is_some_and(|note| note.is_claimed);
    // A journal's own note is in no cold folder, whoever's that is.
    if read::<Note>(cold, NOTE_FILE, folder)?.is_some() {
        return Err(ColdError::Taken(folder.to_owned()));
    }
    match (&note, &owner) {
        (None, Some(_)) if segments(cold, folder)?.is_empty() => Err(ColdError::Claimed(folder.to_owned())),
        (None, Some(_)) => Err(ColdError::Anothers(folder.to_owned())),
        (Some(note), Some(owner)) if note.id != owner.id => Err(ColdError::Anothers(folder.to_owned())),
        (_, None) if is_new && !segments(cold, folder)?.is_empty() => Err(ColdError::Anothers(folder.to_owned())),
        (Some(note), None) if note.is_claimed => {
            Err(ColdError::Away { folder: folder.to_owned(), noted: note.folder.clone() })
        }
        _ => Ok((note, owner)),
    }
}

/// A journal whose cold folder is not set must have all its segments.
fn stands_alone(hot: &dyn Medium) -> Result<(), ColdError> {
    let Some(note) = read::<Note>(hot, NOTE_FILE, Path::new("journal"))? else {
        return Ok(());
    };
    let here = segments(hot, Path::new("journal"))?;
    let last = here.last().copied().unwrap_or(1);
    match (1..=last).find(|number| !here.contains(number)) {
        Some(missing) if note.is_claimed => {
            Err(ColdError::NotSet { segment: segment_name(missing), folder: note.folder })
        }
        _ => Ok(()),
    }
}

/// The cold folder is none of those that the node has for something else, by whatever path: a symbolic link, a mount of the
/// same folder elsewhere. What is moved from a folder into itself is removed.
fn stands_apart(journal: &Path, folder: &Path) -> Result<(), ColdError> {
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let Some(real) = folder.canonicalize().ok().filter(|real| real.is_dir()) else {
        return Err(ColdError::NoFolder(folder.to_owned()));
    };
    let data = journal.parent().unwrap_or(Path::new("."));
    let own: Vec<_> = OWN_FOLDERS.iter().filter_map(|name| identity(&data.join(name))).collect();
    let is_within = real.ancestors().filter_map(identity).any(|above| own.contains(&above));
    let is_taken = is_within || identity(&real) == identity(data) || identity(&real) == identity(journal);
    if is_taken { Err(ColdError::Taken(folder.to_owned())) } else { Ok(()) }
}

/// Every segment is in one of the folders, up to the last.
fn no_gap(tiers: &Tiers) -> Result<(), ColdError> {
    let Tiers { hot, cold, folder, .. } = tiers;
    let (here, there) = (segments(hot.as_ref(), Path::new("journal"))?, segments(cold.as_ref(), folder)?);
    // What is written to is hot: above the last cold one there is another.
    let last = here.last().copied().unwrap_or(0).max(there.last().map_or(0, |last| last + 1));
    let is_nowhere = |number: &u32| !here.contains(number) && !there.contains(number);
    let Some(missing) = (1..=last).find(is_nowhere) else {
        return Ok(());
    };
    let before = (missing > 1).then(|| segment_name(missing - 1));
    let length = |name: &String| tiers.open(name).and_then(|file| file.length()).ok();
    let end = before.and_then(|name| length(&name).map(|length| format!("{name}:{length}")));
    Err(ColdError::Missing { segment: segment_name(missing), folder: folder.clone(), end })
}

fn segments(medium: &dyn Medium, folder: &Path) -> Result<BTreeSet<u32>, ColdError> {
    let names = medium.list().map_err(io_error("list", folder))?;
    Ok(names.iter().filter_map(|name| segment_number(name)).collect())
}

/// Copies that were cut short. On a file system that cannot be written to they stay for the next time.
fn remove_half_made(cold: &dyn Medium, folder: &Path) {
    for name in cold.list().unwrap_or_default().iter().filter(|name| name.ends_with(".journal.new")) {
        if let Err(error) = cold.remove(name) {
            tracing::warn!(name, folder = %folder.display(), %error, "a half-made copy could not be removed");
        }
    }
}

/// Nobody else may move segments here. Where nothing can be written nobody can, and an old lock file is shared: a network file
/// system lets nobody have it alone who cannot write to it.
fn lock(folder: &Path) -> Result<Option<File>, ColdError> {
    use rustix::fs::FlockOperation::{NonBlockingLockExclusive, NonBlockingLockShared};
    let path = folder.join(LOCK_FILE);
    let (file, operation) = match File::options().create(true).truncate(false).write(true).open(&path) {
        Ok(file) => (file, NonBlockingLockExclusive),
        Err(error) if is_closed(&error) => match File::open(&path) {
            Ok(file) => (file, NonBlockingLockShared),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        },
        Err(error) => return Err(io_error("open", &path)(error)),
    };
    match rustix::fs::flock(&file, operation) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(ColdError::InUse(folder.to_owned())),
        Err(error) => Err(io_error("lock", &path)(error.into())),
    }
}

/// Whether nothing can be written there, by us.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

fn new_id(folder: &Path) -> Result<String, ColdError> {
    let mut id = [0; 16];
    let drawn = ring::rand::SystemRandom::new().fill(&mut id);
    drawn.map_err(|_| io_error("draw an id for", folder)(io::Error::other("no randomness")))?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn read<T: serde::de::DeserializeOwned>(
    medium: &dyn Medium,
    name: &str,
    folder: &Path,
) -> Result<Option<T>, ColdError> {
    let failed = || io_error("read", &folder.join(name));
    let bytes = medium::read_whole(medium, name, LIMIT_BYTES).map_err(failed())?;
    bytes.map(|bytes| serde_json::from_slice(&bytes)).transpose().map_err(|error| failed()(error.into()))
}

fn write<T: Serialize>(medium: &dyn Medium, name: &str, what: &T, folder: &Path) -> Result<(), ColdError> {
    let failed = || io_error("write", &folder.join(name));
    let bytes = serde_json::to_vec(what).map_err(|error| failed()(error.into()))?;
    medium::replace(medium, name, &bytes).map_err(failed())
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ColdError + use<> {
    let path = path.to_owned();
    move |source| ColdError::Io { action, path, source }
}
