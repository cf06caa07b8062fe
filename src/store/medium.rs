//! The file seam: the few file operations that durability rests on, so that a test can stand between the store and the disk.
//!
//! `Disk` is the real one. What the store relies on, and no more: bytes written are durable once `sync_data` has
//! returned; a name is durable once `sync_directory` has returned; an aligned sector of 512 bytes is written whole or
//! not at all, and a write leaves bytes that it does not change as they were. Not promised: order between unsynced writes.

mod spare;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::spare::Spare;

/// A folder of files.
pub trait Medium: Send + Sync + 'static {
    /// The names of the files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates (or empties) a file of `length` zero bytes whose blocks are reserved.
    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>>;
    /// The same with zeros that are durable: writing over them changes these bytes and nothing else of the file system.
    fn allocate(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        self.create(name, length)
    }
    /// Says that `allocate` will be asked for this length before long, so that a disk may get it ready meanwhile.
    fn allocate_ahead(&self, _length: u64) {}
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>>;
    /// Opens an existing file for reading alone, as one on a file system that is mounted so can be.
    fn look(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.open(name)
    }
    /// Renames over whatever has the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes names durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// Bytes that can still be written here.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One file, read and written by position.
pub trait MediumFile: Send + Sync {
    /// The file's length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer or fails.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes all of it or fails.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the bytes durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Has the next reads ask the disk and not the memory, where the system can. What was written by whomever and is in memory
    /// alone is made durable first, and where that fails nothing that is read here is proven to be on the disk.
    fn forget_cached(&self) -> io::Result<()> {
        self.sync_data()
    }
    /// Whether a read is to be tried: where the disk is known not to answer, who would read need not wait for that.
    fn check_answers(&self) -> io::Result<()> {
        Ok(())
    }
    /// Whether it can be written to, found out without writing.
    fn check_writable(&self) -> io::Result<()> {
        Ok(())
    }
    /// Whether it lies in a cold folder ([`super::cold`]).
    fn is_cold(&self) -> bool {
        false
    }
}

/// A folder on the real disk.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    spare: Spare,
}

impl Disk {
    /// Opens the folder, making it where absent; the folder's own name is made durable too.
    pub fn open(folder: &Path) -> io::Result<Disk> {
        make_folder(folder)?;
        Ok(Disk { folder: folder.to_owned(), spare: Spare::in_folder(folder) })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A folder that is there already, perhaps where nothing can be written.
    pub fn existing(folder: &Path) -> Disk {
        Disk { folder: folder.to_owned(), spare: Spare::in_folder(folder) }
    }
}

/// Makes a folder and what is missing above it; its name is durable when this returns.
fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = match folder.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    // What is hidden from readers lies in here in clear.
    let create = || std::fs::DirBuilder::new().mode(0o700).create(folder);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(parent)?;
            create()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => {
            // Its maker may have been killed before the fsync. A parent that we may not look into is not ours to make durable.
            return match File::open(parent).and_then(|parent| parent.sync_all()) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
                done => done,
            };
        }
        made => made?,
    }
    File::open(parent)?.sync_all()
}

impl Medium for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(DiskFile(reserve(&self.folder.join(name), length)?)))
    }

    fn allocate(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(DiskFile(self.spare.take(&self.folder.join(name), length)?)))
    }

    fn allocate_ahead(&self, length: u64) {
        self.spare.make(length);
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(DiskFile(OpenOptions::new().read(true).write(true).open(self.folder.join(name))?)))
    }

    fn look(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        Ok(Arc::new(DiskFile(File::open(self.folder.join(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.folder)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// A new file of `length` zero bytes, or none: the blocks are reserved, so that later writes find room.
fn reserve(path: &Path, length: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let reserved = match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length) {
        _ if length == 0 => Ok(()),
        // Not every file system can; whoever needs the blocks writes them.
        Err(rustix::io::Errno::OPNOTSUPP) => file.set_len(length),
        other => other.map_err(io::Error::from),
    };
    reserved.map(|()| file).inspect_err(|_| {
        // A reservation that failed may keep what it got: the last blocks of the disk, which the record store needs.
        let _ = std::fs::remove_file(path);
    })
}

struct DiskFile(File);

impl MediumFile for DiskFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn forget_cached(&self) -> io::Result<()> {
        self.0.sync_data()?;
        // Where the system keeps its copy all the same, that is what is read.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    }
}

/// Whether an error says that there is no room, and so that a disk is full and not broken.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Replaces a small file so that a crash at any point leaves the old bytes or the new ones, never a mixture.
pub fn replace(medium: &dyn Medium, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}.new");
    let file = medium.create(&temporary, bytes.len() as u64)?;
    file.write_all_at(bytes, 0)?;
    file.sync_data()?;
    medium.rename(&temporary, name)?;
    medium.sync_directory()
}

/// Replaces a small file by what is said in JSON, with a CRC32C behind it.
pub fn replace_checked<T: serde::Serialize>(medium: &dyn Medium, name: &str, content: &T) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(content)?;
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    replace(medium, name, &bytes)
}

/// Reads such a file; `None` where there is none, an error where it is damaged.
pub fn read_checked<T: serde::de::DeserializeOwned>(
    medium: &dyn Medium,
    name: &str,
    limit: u64,
) -> io::Result<Option<T>> {
    let Some(bytes) = read_whole(medium, name, limit)? else {
        return Ok(None);
    };
    let damaged = || io::Error::new(io::ErrorKind::InvalidData, format!("{name} does not pass its checksum"));
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(damaged)?;
    if crc32c::crc32c(body).to_le_bytes() != *crc {
        return Err(damaged());
    }
    Ok(Some(serde_json::from_slice(body)?))
}

/// Reads a small file whole; `None` where there is none.
pub fn read_whole(medium: &dyn Medium, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match medium.look(name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.length()?;
    if length > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} has {length} bytes, over {limit}")));
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(bytes))
}
