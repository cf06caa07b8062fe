//! A disk in memory that tells what was written from what is durable, and can lose its power at any operation.
//!
//! Every 512-byte sector keeps all its unsynced versions; a name keeps what was done to it since the folder was last
//! synced. At a power cut each unsynced sector becomes any of its versions, apart from all others, so a write that spans
//! sectors tears; names go by a prefix of the unsynced operations or each by itself. A failed sync clears the dirt and
//! leaves the pages looking written, as Linux does: only what of it happened to reach the disk survives a cut.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use mingpai::store::medium::{Medium, MediumFile};
use parking_lot::Mutex;

use super::Dice;

const SECTOR: usize = 512;

/// The disk, which outlives every process that uses it.
#[derive(Clone)]
pub struct TestDisk(Arc<Mutex<State>>);

struct State {
    files: BTreeMap<u64, Inode>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    unsynced: Vec<NameChange>,
    /// Handles of an earlier process write nothing.
    process: u64,
    /// Operations until the process dies, with or without the power.
    dies_in: Option<u64>,
    dead: bool,
    /// Syncs until one fails.
    sync_fails_in: Option<u64>,
    /// A sync has failed in this process.
    sync_failed: bool,
    full: bool,
    /// Bytes by which files may still grow.
    free: u64,
    names_full: bool,
    reads_fail: bool,
    operations: u64,
    dice: Dice,
}

#[derive(Clone)]
enum NameChange {
    Set(String, u64),
    Rename(String, String, u64),
    Remove(String),
}

/// One file: what reads see, what is on the disk, and the versions between.
#[derive(Clone, Default)]
struct Inode {
    seen: Vec<u8>,
    disk: Vec<u8>,
    dirty: BTreeMap<usize, Vec<[u8; SECTOR]>>,
    length_dirty: bool,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Killed: the page cache stays.
    Kill,
    /// The power is cut: only the disk stays.
    PowerCut,
}

impl TestDisk {
    pub fn new(seed: u64) -> TestDisk {
        TestDisk(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            next_file: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced: Vec::new(),
            process: 0,
            dies_in: None,
            dead: false,
            sync_fails_in: None,
            sync_failed: false,
            full: false,
            free: u64::MAX,
            names_full: false,
            reads_fail: false,
            operations: 0,
            dice: Dice::new(seed),
        })))
    }

    /// The folder as the process that runs now sees it.
    pub fn medium(&self) -> Arc<dyn Medium> {
        let process = self.0.lock().process;
        Arc::new(Seen { disk: self.clone(), process })
    }

    /// The process dies within so many operations.
    pub fn die_in(&self, operations: u64) {
        self.0.lock().dies_in = Some(operations);
    }

    /// One of the next syncs fails.
    pub fn fail_sync_in(&self, syncs: u64) {
        self.0.lock().sync_fails_in = Some(syncs);
    }

    /// Reads of files' bytes fail as those of a bad sector, and writes do not.
    pub fn set_reads_fail(&self, fail: bool) {
        self.0.lock().reads_fail = fail;
    }

    pub fn set_full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Files may grow by so many bytes more.
    pub fn set_free(&self, bytes: u64) {
        self.0.lock().free = bytes;
    }

    /// The folder has no room for the names that are synced, which the disk says no sooner.
    pub fn set_names_full(&self, full: bool) {
        self.0.lock().names_full = full;
    }

    /// Nothing fails any more, until it is asked for again.
    pub fn call_off_faults(&self) {
        let mut state = self.0.lock();
        state.dies_in = None;
        state.sync_fails_in = None;
        state.full = false;
        state.free = u64::MAX;
        state.names_full = false;
        state.reads_fail = false;
    }

    pub fn is_dead(&self) -> bool {
        self.0.lock().dead
    }

    pub fn has_failed_sync(&self) -> bool {
        self.0.lock().sync_failed
    }

    /// Operations so far.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// Ends the process, if it still runs, and lets the next one begin. Pending faults are called off.
    pub fn restart(&self, end: End) {
        let mut state = self.0.lock();
        state.process += 1;
        state.dead = false;
        state.dies_in = None;
        state.sync_fails_in = None;
        state.sync_failed = false;
        state.full = false;
        state.free = u64::MAX;
        state.names_full = false;
        state.reads_fail = false;
        if end == End::PowerCut {
            state.cut();
        }
    }

    /// A file as a process would read it.
    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.0.lock();
        state.files[&state.names[name]].seen.clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// Puts a durable file there, past all rules: rot, or somebody's restore.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let number = state.next_file;
        state.next_file += 1;
        let inode = Inode { seen: bytes.clone(), disk: bytes, ..Inode::default() };
        state.files.insert(number, inode);
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    /// Flips bits of a byte, on the disk and in memory.
    pub fn rot(&self, name: &str, at: usize, mask: u8) {
        let mut state = self.0.lock();
        let file = state.names[name];
        if let Some(inode) = state.files.get_mut(&file) {
            inode.seen[at] ^= mask;
            inode.disk[at] ^= mask;
        }
    }

    /// Takes a file away, durably.
    pub fn lose(&self, name: &str) {
        let mut state = self.0.lock();
        state.names.remove(name);
        state.durable_names.remove(name);
    }
}

impl State {
    fn cut(&mut self) {
        let mut names = self.durable_names.clone();
        let changes = std::mem::take(&mut self.unsynced);
        let in_order = self.dice.once_in(2);
        let kept = self.dice.below(changes.len() as u64 + 1) as usize;
        for (at, change) in changes.into_iter().enumerate() {
            let keep = if in_order { at < kept } else { self.dice.once_in(2) };
            if keep {
                apply(&mut names, change);
            }
        }
        self.names.clone_from(&names);
        self.durable_names = names;
        // All kept, all dropped, and everything between.
        let keep_in_ten = self.dice.below(11);
        let dice = &mut self.dice;
        for inode in self.files.values_mut() {
            inode.cut(dice, keep_in_ten);
        }
    }

    fn step(&mut self, process: u64) -> io::Result<()> {
        if process != self.process {
            return Err(io::Error::other("this process has ended"));
        }
        if self.dead {
            return Err(io::Error::other("the machine is off"));
        }
        self.operations += 1;
        Ok(())
    }

    /// Whether the process dies at this operation.
    fn dies(&mut self) -> io::Result<()> {
        let Some(left) = self.dies_in.as_mut() else {
            return Ok(());
        };
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        self.dead = true;
        Err(io::Error::other("the machine went off"))
    }

    /// Whether this sync fails.
    fn sync_fails(&mut self) -> bool {
        let Some(left) = self.sync_fails_in.as_mut() else {
            return false;
        };
        if *left > 0 {
            *left -= 1;
            return false;
        }
        self.sync_fails_in = None;
        self.sync_failed = true;
        true
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
            self.length_dirty = true;
        }
        self.seen[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            for sector in offset / SECTOR..=(end - 1) / SECTOR {
                self.remember(sector);
            }
        }
    }

    fn remember(&mut self, sector: usize) {
        let version = sector_of(&self.seen, sector);
        self.dirty.entry(sector).or_default().push(version);
    }

    fn sync(&mut self) {
        // Only what is dirty: a sector that an earlier failed sync left looking clean stays lost.
        if self.length_dirty {
            self.disk.resize(self.seen.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty).into_keys() {
            let from = sector * SECTOR;
            let end = self.disk.len().min(from + SECTOR).min(self.seen.len());
            if from < end {
                self.disk[from..end].copy_from_slice(&self.seen[from..end]);
            }
        }
        self.length_dirty = false;
    }

    /// The kernel tried to write and could not: some of it may be on the disk, and none of it is dirty any more.
    fn fail_sync(&mut self, dice: &mut Dice) {
        let keep_in_ten = dice.below(11);
        let mut disk = Inode { seen: Vec::new(), ..self.clone() };
        disk.cut(dice, keep_in_ten);
        self.disk = disk.disk;
        self.dirty.clear();
        self.length_dirty = false;
    }

    fn cut(&mut self, dice: &mut Dice, keep_in_ten: u64) {
        if self.length_dirty && dice.below(10) < keep_in_ten {
            let length = self.seen.len().max(self.disk.len());
            self.disk.resize(length, 0);
        }
        for (sector, versions) in std::mem::take(&mut self.dirty) {
            if dice.below(10) >= keep_in_ten {
                continue;
            }
            // Mostly the newest version, sometimes one that was overwritten before it was synced.
            let version = if dice.once_in(4) { *dice.pick(&versions) } else { versions[versions.len() - 1] };
            let from = sector * SECTOR;
            let end = self.disk.len().min(from + SECTOR);
            if from < end {
                self.disk[from..end].copy_from_slice(&version[..end - from]);
            }
        }
        self.length_dirty = false;
        self.seen.clone_from(&self.disk);
    }
}

fn sector_of(bytes: &[u8], sector: usize) -> [u8; SECTOR] {
    let mut out = [0; SECTOR];
    let from = sector * SECTOR;
    let end = bytes.len().min(from + SECTOR);
    out[..end - from].copy_from_slice(&bytes[from..end]);
    out
}

fn apply(names: &mut BTreeMap<String, u64>, change: NameChange) {
    match change {
        NameChange::Set(name, file) => {
            names.insert(name, file);
        }
        NameChange::Rename(from, to, file) => {
            names.remove(&from);
            names.insert(to, file);
        }
        NameChange::Remove(name) => {
            names.remove(&name);
        }
    }
}

/// The disk as one process sees it.
struct Seen {
    disk: TestDisk,
    process: u64,
}

impl Seen {
    fn handle(&self, file: u64) -> Arc<dyn MediumFile> {
        Arc::new(SeenFile { disk: self.disk.clone(), process: self.process, file })
    }
}

impl Medium for Seen {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        let full = state.full;
        let file = match state.names.get(name) {
            Some(file) => *file,
            None => {
                let file = state.next_file;
                state.next_file += 1;
                state.files.insert(file, Inode::default());
                state.names.insert(name.to_owned(), file);
                state.unsynced.push(NameChange::Set(name.to_owned(), file));
                file
            }
        };
        let inode = state.files.entry(file).or_default();
        inode.seen = vec![0; if full { 0 } else { length as usize }];
        inode.length_dirty = true;
        let sectors = inode.disk.len().div_ceil(SECTOR);
        let shown = inode.seen.len().div_ceil(SECTOR);
        let touched: BTreeSet<usize> = (0..sectors.min(shown)).collect();
        for sector in touched {
            inode.remember(sector);
        }
        state.dies()?;
        if full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        match state.names.get(name) {
            Some(file) => Ok(self.handle(*file)),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        let Some(file) = state.names.get(from).copied() else {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        };
        let change = NameChange::Rename(from.to_owned(), to.to_owned(), file);
        apply(&mut state.names, change.clone());
        state.unsynced.push(change);
        state.dies()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        if state.names.remove(name).is_none() {
            return Err(io::Error::from(io::ErrorKind::NotFound));
        }
        state.unsynced.push(NameChange::Remove(name.to_owned()));
        state.dies()
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        state.dies()?;
        if state.sync_fails() {
            return Err(io::Error::other("input/output error (the test's)"));
        }
        if state.names_full {
            return Err(io::Error::from(io::ErrorKind::QuotaExceeded));
        }
        state.durable_names = state.names.clone();
        state.unsynced.clear();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.disk.0.lock();
        Ok(if state.full { 0 } else { state.free })
    }
}

struct SeenFile {
    disk: TestDisk,
    process: u64,
    file: u64,
}

impl MediumFile for SeenFile {
    fn length(&self) -> io::Result<u64> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        Ok(state.files[&self.file].seen.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        if state.reads_fail {
            return Err(io::Error::other("input/output error (the test's)"));
        }
        let inode = &state.files[&self.file];
        let from = offset as usize;
        let bytes =
            inode.seen.get(from..from + buffer.len()).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        let State { files, free, .. } = &mut *state;
        if let Some(inode) = files.get_mut(&self.file) {
            let growth = (offset + bytes.len() as u64).saturating_sub(inode.seen.len() as u64);
            *free = free.checked_sub(growth).ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
            inode.write(bytes, offset as usize);
        }
        state.dies()
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.step(self.process)?;
        state.dies()?;
        let fails = state.sync_fails();
        let State { files, dice, .. } = &mut *state;
        let inode = files.entry(self.file).or_default();
        if fails {
            inode.fail_sync(dice);
            return Err(io::Error::other("input/output error (the test's)"));
        }
        inode.sync();
        Ok(())
    }
}
