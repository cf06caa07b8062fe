//! Two folders as one: what is written goes to the hot one, a segment that is not there is read from the cold one.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::claim;
use super::error::ColdFault;
use super::pulse::Pulse;
use crate::store::journal::is_segment;
use crate::store::medium::{Medium, MediumFile};

/// The folders of a journal.
pub struct Tiers {
    pub(super) hot: Arc<dyn Medium>,
    pub(super) cold: Arc<dyn Medium>,
    pub(super) folder: PathBuf,
    /// Segments that are in both, as an opening found them or a move left them: the hot ones count.
    pub(super) leftovers: Mutex<BTreeSet<u32>>,
    pub(super) pulse: Arc<Pulse>,
    id: String,
    /// Names in the cold folder were changed and not synced.
    is_renamed: AtomicBool,
}

impl Tiers {
    pub(super) fn new(hot: Arc<dyn Medium>, cold: Arc<dyn Medium>, folder: PathBuf, leftovers: BTreeSet<u32>) -> Tiers {
        let id = claim::id(hot.as_ref()).unwrap_or_default();
        let (leftovers, pulse) = (Mutex::new(leftovers), Arc::default());
        Tiers { hot, cold, folder, leftovers, pulse, id, is_renamed: AtomicBool::new(false) }
    }

    /// Whether the cold folder answers, and is still the one that was joined.
    pub(super) fn is_there(&self) -> bool {
        self.pulse.asking(|| claim::is_there(self.cold.as_ref(), &self.folder, &self.id))
    }

    /// A segment in the cold folder.
    pub(super) fn cold_file(&self, name: &str) -> Arc<dyn MediumFile> {
        Arc::new(ColdFile {
            medium: Arc::clone(&self.cold),
            path: self.folder.join(name),
            name: name.to_owned(),
            pulse: Arc::clone(&self.pulse),
            written: Mutex::new(None),
        })
    }

    /// Makes a cold segment a hot one again, since it will be written to. Nothing of it stays here: an erasure would not reach it.
    pub fn bring_back(&self, name: &str) -> io::Result<()> {
        // Before a kill others may have been renamed, and are not seen to be any more: the next sync makes that durable too.
        self.is_renamed.store(true, Ordering::Release);
        let cold = match self.cold.look(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let there = self.hot.look(name).and_then(|file| file.sync_data());
        if let Err(error) = there {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            let mut bytes = vec![0; usize::try_from(cold.length()?).unwrap_or(0)];
            cold.read_exact_at(&mut bytes, 0)?;
            let temporary = format!("{name}.new");
            let file = self.hot.allocate(&temporary, bytes.len() as u64)?;
            file.write_all_at(&bytes, 0)?;
            file.sync_data()?;
            self.hot.rename(&temporary, name)?;
        }
        // Also where it is there already: a kill may have come before this.
        self.hot.sync_directory()?;
        self.cold.remove(name)?;
        self.cold.sync_directory()
    }
}

impl Medium for Tiers {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.hot.list()?;
        let here: BTreeSet<String> = names.iter().cloned().collect();
        names.extend(self.cold.list()?.into_iter().filter(|name| is_segment(name) && !here.contains(name)));
        Ok(names)
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        self.hot.create(name, length)
    }

    fn allocate(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        self.hot.allocate(name, length)
    }

    fn allocate_ahead(&self, length: u64) {
        self.hot.allocate_ahead(length);
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        match self.hot.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_segment(name) => {
                self.cold.look(name)?;
                Ok(self.cold_file(name))
            }
            other => other,
        }
    }

    fn look(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.hot.look(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let is_cold = is_segment(from) && self.cold.look(from).is_ok();
        if is_cold {
            self.cold.rename(from, to)?;
            self.is_renamed.store(true, Ordering::Release);
        }
        match self.hot.rename(from, to) {
            Err(error) if is_cold && error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.hot.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        // The hot ones are the later ones: what a crash in between brings back leaves no hole.
        self.hot.sync_directory()?;
        if self.is_renamed.swap(false, Ordering::AcqRel) {
            self.cold.sync_directory()?;
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.hot.free_bytes()
    }
}

/// A file that is opened anew for each read: its file system may have gone and come back meanwhile.
struct ColdFile {
    medium: Arc<dyn Medium>,
    name: String,
    path: PathBuf,
    pulse: Arc<Pulse>,
    /// From the first write to the sync, which must be of the same opening to hear of its failures.
    written: Mutex<Option<Arc<dyn MediumFile>>>,
}

impl ColdFile {
    fn told<T>(&self, outcome: io::Result<T>) -> io::Result<T> {
        outcome.map_err(|error| ColdFault::of(&self.path, error))
    }
}

impl MediumFile for ColdFile {
    fn length(&self) -> io::Result<u64> {
        self.told(self.medium.look(&self.name).and_then(|file| file.length()))
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.told(self.medium.look(&self.name).and_then(|file| file.read_exact_at(buffer, offset)))
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        let opened = written.take().map_or_else(|| self.medium.open(&self.name), Ok);
        let done = opened.and_then(|file| file.write_all_at(bytes, offset).map(|()| file));
        *written = Some(self.told(done)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let file = self.written.lock().take().map_or_else(|| self.medium.open(&self.name), Ok);
        self.told(file.and_then(|file| file.sync_data()))
    }

    fn forget_cached(&self) -> io::Result<()> {
        self.told(self.medium.look(&self.name).and_then(|file| file.forget_cached()))
    }

    fn check_answers(&self) -> io::Result<()> {
        let away = || io::Error::new(io::ErrorKind::TimedOut, "the cold folder is away, or does not answer");
        if self.pulse.is_away() { self.told(Err(away())) } else { Ok(()) }
    }

    fn check_writable(&self) -> io::Result<()> {
        self.check_answers()?;
        self.told(self.medium.open(&self.name).map(drop))
    }

    fn is_cold(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::medium::Disk;

    fn tiers(folder: &Path) -> Tiers {
        let (hot, cold) = (folder.join("hot"), folder.join("cold"));
        let (hot, cold) = (Disk::open(&hot).unwrap(), Disk::open(&cold).unwrap());
        Tiers::new(Arc::new(hot), Arc::new(cold), folder.join("cold"), BTreeSet::new())
    }

    fn read(file: &dyn MediumFile) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 4];
        file.read_exact_at(&mut bytes, 0).map(|()| bytes)
    }

    #[test]
    fn segments_are_found_in_either_folder_and_nothing_else_in_the_cold_one() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = tiers(folder.path());
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        put("hot/0000000002.journal", "hot2");
        put("cold/0000000002.journal", "old2");
        put("cold/0000000001.journal", "cold");
        put("cold/0000000003.journal.new", "half");
        put("cold/checkpoint", "none");
        let mut names = tiers.list().unwrap();
        names.sort();
        assert_eq!(names, ["0000000001.journal", "0000000002.journal"]);
        let (one, two) = (tiers.open("0000000001.journal").unwrap(), tiers.open("0000000002.journal").unwrap());
        assert_eq!((read(one.as_ref()).unwrap(), read(two.as_ref()).unwrap()), (b"cold".to_vec(), b"hot2".to_vec()));
        assert!(one.is_cold() && !two.is_cold());
        let missing = tiers.open("checkpoint").map(drop).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_cold_file_that_went_and_came_back_is_read_on() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = tiers(folder.path());
        let path = folder.path().join("cold/0000000001.journal");
        std::fs::write(&path, "cold").unwrap();
        let file = tiers.open("0000000001.journal").unwrap();
        std::fs::rename(folder.path().join("cold"), folder.path().join("away")).unwrap();
        let error = read(file.as_ref()).unwrap_err();
        assert!(error.to_string().contains(&*path.to_string_lossy()), "{error}");
        assert!(file.check_writable().is_err() && file.write_all_at(b"x", 0).is_err());
        std::fs::rename(folder.path().join("away"), folder.path().join("cold")).unwrap();
        file.write_all_at(b"COLD", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(read(file.as_ref()).unwrap(), b"COLD");
    }

    #[test]
    fn what_is_moved_aside_is_moved_in_both_folders_and_what_is_brought_back_is_hot() {
        let folder = tempfile::tempdir().unwrap();
        let tiers = tiers(folder.path());
        let put = |name: &str| std::fs::write(folder.path().join(name), "abcd").unwrap();
        ["hot/0000000003.journal", "cold/0000000003.journal", "cold/0000000002.journal"]
            .iter()
            .for_each(|name| put(name));
        tiers.rename("0000000003.journal", "0000000003.journal.cut").unwrap();
        tiers.bring_back("0000000002.journal").unwrap();
        tiers.sync_directory().unwrap();
        assert!(!tiers.open("0000000002.journal").unwrap().is_cold());
        let mut found = tiers.list().unwrap();
        found.sort();
        assert_eq!(found, ["0000000002.journal", "0000000003.journal.cut"]);
        assert!(!folder.path().join("cold/0000000002.journal").exists());
    }
}
