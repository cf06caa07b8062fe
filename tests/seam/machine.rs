//! A machine with two disks, one for each folder of a journal: it goes off at one operation on either of them, and the cold one may
//! be away, full, read-only, or write something else than it was given.

use std::io;
use std::sync::Arc;

use mingpai::store::medium::{Medium, MediumFile};
use parking_lot::{Condvar, Mutex};

use super::disk::{End, TestDisk};

/// What is wrong with the cold disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    None,
    /// Not mounted, nor is there a folder: no file is there.
    Away,
    /// Not mounted: what is there is the mount point, an empty folder of another disk.
    Unmounted,
    ReadOnly,
    /// Read-only since something could not be written: what is in memory alone stays there, and can be read.
    GaveUp,
    /// So many bytes are free.
    Room(u64),
    /// Whoever asks it for something waits.
    Hangs,
}

pub struct Machine {
    pub hot: TestDisk,
    pub cold: TestDisk,
    /// What is to be seen while the cold one is not mounted.
    pub bare: TestDisk,
    fate: Arc<Fate>,
}

pub type Hook = Box<dyn Fn() + Send + Sync>;

struct Fate {
    state: Mutex<State>,
    at_cold_sync: Mutex<Option<Arc<Hook>>>,
    /// Called after a cold file got its name.
    at_cold_name: Mutex<Option<Arc<Hook>>>,
    /// Tells those who wait that it answers again.
    answers: Condvar,
}

struct State {
    /// Changes of either disk until the machine goes off.
    dies_in: Option<u64>,
    is_dead: bool,
    operations: u64,
    trouble: Trouble,
    rot_at: Option<usize>,
    /// How many wait for the cold disk.
    waiting: usize,
    hot_removals_fail: bool,
}

impl Machine {
    pub fn new(seed: u64) -> Machine {
        let state = State {
            dies_in: None,
            is_dead: false,
            operations: 0,
            trouble: Trouble::None,
            rot_at: None,
            waiting: 0,
            hot_removals_fail: false,
        };
        let (at_cold_sync, at_cold_name) = (Mutex::new(None), Mutex::new(None));
        let fate = Arc::new(Fate { state: Mutex::new(state), at_cold_sync, at_cold_name, answers: Condvar::new() });
        let disk = |at: u64| TestDisk::new(seed.wrapping_add(at << 32));
        Machine { hot: disk(0), cold: disk(1), bare: disk(2), fate }
    }

    /// The folders as the process that runs now sees them: hot, cold.
    pub fn media(&self) -> [Arc<dyn Medium>; 2] {
        let half = |disk: &TestDisk, is_cold| -> Arc<dyn Medium> {
            let (mounted, bare) = (disk.medium(), self.bare.medium());
            Arc::new(Half { mounted, bare, fate: Arc::clone(&self.fate), is_cold })
        };
        [half(&self.hot, false), half(&self.cold, true)]
    }

    /// The machine goes off before the change after so many more.
    pub fn die_in(&self, operations: u64) {
        self.fate.state.lock().dies_in = Some(operations);
    }

    pub fn call_off(&self) {
        self.fate.state.lock().dies_in = None;
    }

    pub fn is_dead(&self) -> bool {
        self.fate.state.lock().is_dead
    }

    /// Changes of either disk so far.
    pub fn operations(&self) -> u64 {
        self.fate.state.lock().operations
    }

    pub fn set_trouble(&self, trouble: Trouble) {
        self.fate.state.lock().trouble = trouble;
        self.fate.answers.notify_all();
    }

    /// How many wait for the cold disk.
    pub fn waiting(&self) -> usize {
        self.fate.state.lock().waiting
    }

    /// Nothing can be removed from the hot disk.
    pub fn set_hot_removals_fail(&self, fail: bool) {
        self.fate.state.lock().hot_removals_fail = fail;
    }

    /// Called after a cold file got another name.
    pub fn at_cold_name(&self, hook: Option<Hook>) {
        *self.fate.at_cold_name.lock() = hook.map(Arc::new);
    }

    /// What has the cold disk be in trouble from then on.
    pub fn becomes(&self, trouble: Trouble) -> Hook {
        let fate = Arc::downgrade(&self.fate);
        Box::new(move || {
            if let Some(fate) = fate.upgrade() {
                fate.state.lock().trouble = trouble;
            }
        })
    }

    /// One bit of what is written to the cold disk at this place is another.
    pub fn rot_cold_writes(&self, at: Option<usize>) {
        self.fate.state.lock().rot_at = at;
    }

    /// Called after each sync of a cold file.
    pub fn at_cold_sync(&self, hook: Option<Hook>) {
        *self.fate.at_cold_sync.lock() = hook.map(Arc::new);
    }

    pub fn restart(&self, end: End) {
        self.hot.restart(end);
        self.cold.restart(end);
        let mut state = self.fate.state.lock();
        (state.dies_in, state.is_dead) = (None, false);
    }

    pub fn restarted(self, end: End) -> Machine {
        self.restart(end);
        self
    }

    pub fn cold_names(&self) -> Vec<String> {
        self.cold.names()
    }

    /// How many segments are in both folders.
    pub fn in_both(&self) -> usize {
        let hot = self.hot.names();
        self.cold.names().iter().filter(|name| name.ends_with(".journal") && hot.contains(name)).count()
    }
}

impl Fate {
    /// A look: refused when the machine is off, or the disk is away.
    fn look(&self, is_cold: bool) -> io::Result<()> {
        let mut state = self.state.lock();
        while is_cold && state.trouble == Trouble::Hangs {
            state.waiting += 1;
            self.answers.wait(&mut state);
            state.waiting -= 1;
        }
        if state.is_dead {
            return Err(io::Error::other("the machine is off"));
        }
        match state.trouble {
            Trouble::Away if is_cold => Err(io::ErrorKind::NotFound.into()),
            _ => Ok(()),
        }
    }

    /// A change, perhaps the one before which the machine goes off.
    fn change(&self, is_cold: bool) -> io::Result<()> {
        self.look(is_cold)?;
        let mut state = self.state.lock();
        if is_cold && matches!(state.trouble, Trouble::ReadOnly | Trouble::GaveUp) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        match &mut state.dies_in {
            Some(0) => {
                state.is_dead = true;
                return Err(io::Error::other("the machine went off"));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        state.operations += 1;
        Ok(())
    }
}

struct Half {
    mounted: Arc<dyn Medium>,
    bare: Arc<dyn Medium>,
    fate: Arc<Fate>,
    is_cold: bool,
}

impl Half {
    fn inner(&self) -> &dyn Medium {
        let is_bare = self.is_cold && self.fate.state.lock().trouble == Trouble::Unmounted;
        if is_bare { self.bare.as_ref() } else { self.mounted.as_ref() }
    }

    fn file(&self, inner: Arc<dyn MediumFile>) -> Arc<dyn MediumFile> {
        Arc::new(HalfFile { inner, fate: Arc::clone(&self.fate), is_cold: self.is_cold })
    }
}

impl Medium for Half {
    fn list(&self) -> io::Result<Vec<String>> {
        self.fate.look(self.is_cold)?;
        self.inner().list()
    }

    fn create(&self, name: &str, length: u64) -> io::Result<Arc<dyn MediumFile>> {
        self.fate.change(self.is_cold)?;
        Ok(self.file(self.inner().create(name, length)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.fate.look(self.is_cold)?;
        if self.is_cold && matches!(self.fate.state.lock().trouble, Trouble::ReadOnly | Trouble::GaveUp) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(self.file(self.inner().open(name)?))
    }

    fn look(&self, name: &str) -> io::Result<Arc<dyn MediumFile>> {
        self.fate.look(self.is_cold)?;
        Ok(self.file(self.inner().look(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.fate.change(self.is_cold)?;
        self.inner().rename(from, to)?;
        let hook = self.fate.at_cold_name.lock().clone().filter(|_| self.is_cold);
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.fate.change(self.is_cold)?;
        if !self.is_cold && self.fate.state.lock().hot_removals_fail {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.inner().remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.fate.change(self.is_cold)?;
        self.inner().sync_directory()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.fate.look(self.is_cold)?;
        let trouble = self.fate.state.lock().trouble;
        match trouble {
            Trouble::Room(bytes) if self.is_cold => Ok(bytes),
            _ => self.inner().free_bytes(),
        }
    }
}

struct HalfFile {
    inner: Arc<dyn MediumFile>,
    fate: Arc<Fate>,
    is_cold: bool,
}

impl MediumFile for HalfFile {
    fn length(&self) -> io::Result<u64> {
        self.fate.look(self.is_cold)?;
        self.inner.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.fate.look(self.is_cold)?;
        self.inner.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.fate.change(self.is_cold)?;
        let rot_at = self.fate.state.lock().rot_at.filter(|_| self.is_cold);
        let mut bytes = bytes.to_vec();
        if let Some(byte) = rot_at.and_then(|at| bytes.get_mut(at.checked_sub(offset as usize)?)) {
            *byte ^= 1;
        }
        self.inner.write_all_at(&bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fate.change(self.is_cold)?;
        self.inner.sync_data()?;
        let hook = self.fate.at_cold_sync.lock().clone().filter(|_| self.is_cold);
        if let Some(hook) = hook {
            hook();
        }
        Ok(())
    }

    fn forget_cached(&self) -> io::Result<()> {
        let trouble = self.fate.state.lock().trouble;
        match trouble {
            // Nothing is left to be written.
            Trouble::ReadOnly if self.is_cold => Ok(()),
            _ => self.sync_data(),
        }
    }
}
