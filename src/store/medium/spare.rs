//! Files of written zeros, one of them made ahead.
//!
//! Blocks that are only reserved are marked unwritten, and the first write to each changes that mark: metadata, which an
//! fdatasync must commit besides the bytes, and which ext4 may fail to change without a word while it is being shut down.
//! Over zeros that are on the disk a write changes its bytes alone. Writing them takes a while, so the next file is made
//! by a thread while the one before fills up.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use super::reserve;

/// Zeros between two syncs: what a group's fdatasync may have to wait for, about a millisecond.
const SYNC_BYTES: u64 = 1 << 20;
/// Zeros at once. Each piece is a fifth of a millisecond in the kernel, where many kernels interrupt nobody; after it the
/// core is offered to whoever waits for it.
const PIECE: usize = 64 << 10;
/// Ends like a half-made segment: what a crash leaves of it is removed with those.
const NAME: &str = "spare.journal.new";

/// At most one file, made or being made.
#[derive(Debug)]
pub(super) struct Spare {
    path: PathBuf,
    making: Mutex<Option<Making>>,
}

#[derive(Debug)]
struct Making {
    length: u64,
    called_off: Arc<AtomicBool>,
    maker: JoinHandle<io::Result<File>>,
}

impl Spare {
    pub(super) fn in_folder(folder: &Path) -> Spare {
        Spare { path: folder.join(NAME), making: Mutex::new(None) }
    }

    /// Begins to make a file of this length, unless one is there. What goes wrong shows when it is taken.
    pub(super) fn make(&self, length: u64) {
        let mut making = self.making.lock();
        if making.is_some() {
            return;
        }
        let called_off = Arc::new(AtomicBool::new(false));
        let (path, stop) = (self.path.clone(), Arc::clone(&called_off));
        let maker = std::thread::Builder::new().name("segment".into()).spawn(move || written(&path, length, &stop));
        // Without a thread it is made when it is needed.
        *making = maker.ok().map(|maker| Making { length, called_off, maker });
    }

    /// A file of zeros under this name: the one made ahead, else one made now.
    pub(super) fn take(&self, path: &Path, length: u64) -> io::Result<File> {
        let making = self.making.lock().take();
        if let Some(making) = making {
            // What is half done is done sooner than what has not begun.
            match making.maker.join().unwrap_or_else(|_| Err(io::Error::other("its thread panicked"))) {
                Ok(file) if making.length == length && is_at(&file, &self.path) => {
                    if std::fs::rename(&self.path, path).is_ok() && is_at(&file, path) {
                        return Ok(file);
                    }
                }
                Ok(_) => drop(std::fs::remove_file(&self.path)),
                Err(error) => tracing::warn!(%error, "the next segment could not be made ahead; it is made now"),
            }
        }
        written(path, length, &AtomicBool::new(false))
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(making) = self.making.get_mut().take() {
            making.called_off.store(true, Ordering::Relaxed);
            if let Ok(Ok(_)) = making.maker.join() {
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

/// Whether this very file has this name: what somebody else has put there is not to be taken for it.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(held), Ok(named)) => (held.dev(), held.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Makes a file of zeros that are on the disk when this returns, or leaves none.
fn written(path: &Path, length: u64, called_off: &AtomicBool) -> io::Result<File> {
    let file = reserve(path, length)?;
    fill(&file, length, called_off).map(|()| file).inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

fn fill(file: &File, length: u64, called_off: &AtomicBool) -> io::Result<()> {
    let zeros = vec![0; PIECE];
    let mut at = 0;
    while at < length {
        if called_off.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let bytes = zeros.len().min(usize::try_from(length - at).unwrap_or(PIECE));
        file.write_all_at(zeros.get(..bytes).unwrap_or_default(), at)?;
        at += bytes as u64;
        if at.is_multiple_of(SYNC_BYTES) || at == length {
            file.sync_data()?;
        }
        std::thread::yield_now();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> (tempfile::TempDir, Spare) {
        let folder = tempfile::tempdir().unwrap();
        let spare = Spare::in_folder(folder.path());
        (folder, spare)
    }

    fn names(folder: &Path) -> Vec<String> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_made_ahead_is_the_one_that_is_taken() {
        let (folder, spare) = spare();
        spare.make(3 << 20);
        spare.make(3 << 20);
        let inode = {
            let making = spare.making.lock();
            while !making.as_ref().unwrap().maker.is_finished() {
                std::thread::yield_now();
            }
            std::fs::metadata(folder.path().join(NAME)).unwrap().ino()
        };
        let file = spare.take(&folder.path().join("a"), 3 << 20).unwrap();
        assert_eq!((file.metadata().unwrap().ino(), names(folder.path())), (inode, vec!["a".to_owned()]));
    }

    #[test]
    fn a_file_has_its_length_whether_made_ahead_or_now_and_all_its_blocks() {
        let (folder, spare) = spare();
        for (ahead, length) in [(None, (1 << 20) + 1024), (Some(2 << 20), 5 << 10), (Some(4096), 4096), (None, 0)] {
            ahead.inspect(|ahead| spare.make(*ahead));
            let file = spare.take(&folder.path().join("a"), length).unwrap();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut &file, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0));
            assert_eq!(bytes.len() as u64, length);
            assert!(file.metadata().unwrap().blocks() * 512 >= length);
            assert_eq!(names(folder.path()), ["a"]);
        }
    }

    #[test]
    fn a_file_that_was_put_or_taken_meanwhile_is_no_spare() {
        let (folder, spare) = spare();
        for put in [None, Some("somebody else's")] {
            spare.make(4096);
            while !spare.making.lock().as_ref().unwrap().maker.is_finished() {
                std::thread::yield_now();
            }
            std::fs::remove_file(folder.path().join(NAME)).unwrap();
            put.inspect(|text| std::fs::write(folder.path().join(NAME), text).unwrap());
            let path = folder.path().join("a");
            let file = spare.take(&path, 4096).unwrap();
            assert!(is_at(&file, &path) && std::fs::read(&path).unwrap() == [0; 4096]);
        }
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing() {
        let (folder, spare) = spare();
        assert!(spare.take(&folder.path().join("a"), 1 << 60).is_err());
        spare.make(1 << 60);
        assert!(spare.take(&folder.path().join("a"), 1 << 60).is_err());
        assert_eq!(names(folder.path()), Vec::<String>::new());
        spare.make(64 << 20);
        drop(spare);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}
