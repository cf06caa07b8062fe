//! Opening: from a folder to a running store. The order is the argument: prove and mend the journal, catch the record store
//! up, finish what a crash cut short, and only then take the first commit.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use parking_lot::{Mutex, RwLock};
use serde::Serialize;

use super::apply::{Applier, ApplyError, ReadStatement};
use super::beside::{Moving, Poison, checkpoints, keepers, mover, room, run_to_the_end, snapshots, spawn, trees};
use super::catch_up::Opening;
use super::checkpoint::{self, Checkpoint};
use super::cold::{self, ColdError, ColdOptions, Folders};
use super::engine::EngineError;
use super::handle::Store;
use super::home::Home;
use super::journal::{self, Journal, JournalError, Recovered};
use super::medium::{Disk, Medium};
use super::names::Names;
use super::queue::Singles;
use super::restored::Restored;
use super::revisions::Revisions;
use super::sequencer::{GroupLimits, Sequencer};
use super::snapshot::{self, Layered};
use super::{Fatal, Observer};

/// Where the rows live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineChoice {
    Sled { budget_bytes: u64 },
    Memory,
}

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Holds `journal/` and `records/`.
    pub folder: PathBuf,
    pub engine: EngineChoice,
    pub segment_bytes: u64,
    pub group: GroupLimits,
    /// Commits that may wait.
    pub queue_entries: usize,
    pub checkpoint_interval: Duration,
    /// Frames since the last snapshot of the rows after which another is taken; 0: never.
    pub snapshot_frames: u64,
    /// Free bytes on the disk below which writes are refused, so that the record store's own files never hit the end.
    pub reserve_bytes: u64,
    /// Where old segments go; `None`: they stay.
    pub cold: Option<ColdOptions>,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{action} {path}: {source}")]
    Io { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{0} is in use by another process: stop that one first, or name another folder")]
    InUse(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Cold(#[from] ColdError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(
        "the record store made anew from the journal does not add up: {0}; this is a bug, nothing was changed in the journal"
    )]
    SelfCheck(String),
    #[error(
        "nothing would remain of the log before this place, not even who signs it: restore a backup, or begin in an empty folder"
    )]
    NothingRemains,
    #[error(
        "the journal is whole: every checksum holds, and a cut would only take away what is there. Nothing was cut"
    )]
    NothingDamaged,
    #[error(
        "the journal is damaged at {segment}:{offset}, before the place that was named: cut it there. Nothing was cut"
    )]
    DamagedBefore { segment: String, offset: u64 },
    #[error("a restore into this folder was cut short: run the same `mingpai restore` again, it begins anew")]
    RestoreCutShort,
}

/// What opening found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Opened {
    pub clean: bool,
    pub replayed_frames: u64,
    pub cut: Option<(String, u64, u64)>,
    /// The disk had no room for the record store to be opened: its rows are in memory for this run.
    pub in_memory: bool,
    /// Why the record store was made anew, if it was.
    pub rebuilt: Option<String>,
    /// Rows of the snapshot that the record store began with, if it did.
    pub snapshot_rows: Option<u64>,
    /// The whole journal was replayed.
    pub anew: bool,
    pub records: u64,
    pub seconds: f64,
}

impl Opened {
    /// What the opening rested on: a clean stop, a replay over the rows that were left, a snapshot, the journal alone.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            _ if self.anew => "anew",
            _ if self.snapshot_rows.is_some() => "snapshot",
            _ if self.clean => "clean",
            _ => "replay",
        }
    }
}

impl Store {
    /// Opens the store in its folder, making it where there is none.
    pub fn open(
        options: &StoreOptions,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let made = |source| OpenError::Io { action: "make", path: options.folder.clone(), source };
        Disk::open(&options.folder).map_err(made)?;
        Store::open_held(FolderLock::take(&options.folder)?, options, statements, observer, fatal)
    }

    /// The same in a folder that is held already, by whoever had to look or write there before.
    pub fn open_held(
        FolderLock(lock): FolderLock,
        options: &StoreOptions,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { action, path, source }
        };
        let folder = options.folder.join("journal");
        let disk = Disk::open(&folder).map_err(io("open", &folder))?;
        let folders = cold::open(disk, options.cold.as_ref().map(|cold| cold.folder.as_path()))?.whole()?;
        let records = options.folder.join("records");
        let home = match options.engine {
            EngineChoice::Memory => Home::Memory,
            EngineChoice::Sled { budget_bytes } => Home::Sled { folder: records, budget_bytes },
        };
        let session = checkpoint::session(&options.folder);
        let hooks = Hooks { statements, observer, fatal };
        Store::open_on(options, Ground { folders, lock: Some(lock), session, home }, hooks)
    }

    /// Opens on a medium that a test stands behind; rows live in memory.
    pub fn open_in_memory_on(
        options: &StoreOptions,
        medium: Arc<dyn Medium>,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let ground = Ground { folders: Folders::alone(medium), lock: None, session: None, home: Home::Memory };
        Store::open_on(options, ground, Hooks { statements, observer, fatal })
    }

    /// The same with the medium of a cold folder besides.
    pub fn open_in_memory_on_both(
        options: &StoreOptions,
        [hot, cold]: [Arc<dyn Medium>; 2],
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let folder = options.cold.as_ref().map_or(Path::new("cold"), |cold| cold.folder.as_path());
        let folders = cold::join(hot, cold, folder)?.whole()?;
        let ground = Ground { folders, lock: None, session: None, home: Home::Memory };
        Store::open_on(options, ground, Hooks { statements, observer, fatal })
    }

    fn open_on(options: &StoreOptions, ground: Ground, hooks: Hooks) -> Result<(Store, Opened), OpenError> {
        let started = Instant::now();
        let Ground { folders, lock, session, home } = ground;
        let medium = Arc::clone(&folders.hot);
        let restored = Restored::load(medium.as_ref())?;
        // Before the record store opens, which needs room too.
        journal::remove_half_made(medium.as_ref())?;
        snapshot::remove_half_made(medium.as_ref());
        let mut opening = Opening::begin(medium.as_ref(), &home, session.clone())?;
        opening.restored = restored;
        let Recovered { journal, from, cut, erased } =
            Journal::open(folders.segments(), options.segment_bytes, opening.start())?;
        let applier = Applier { statements: Arc::clone(&hooks.statements), journal: journal.reader() };
        opening.catch_up(medium.as_ref(), &home, &applier, &journal, from, &erased)?;
        // From the first write on, the checkpoint must not call the record store clean. Its place stays where the
        // record store was last made durable.
        // What becomes of files that this run did not open it cannot know: it vouches for nothing of them.
        let in_memory = opening.opened.in_memory;
        let checkpoint = Checkpoint { tail: from, clean: false, session: session.filter(|_| !in_memory) };
        checkpoint::doubt(medium.as_ref(), &checkpoint)?;
        if folders.tiers.is_none() {
            cold::forget(medium.as_ref());
        }
        let opened = Opened {
            cut,
            records: opening.mark.records,
            seconds: started.elapsed().as_secs_f64(),
            ..opening.opened.clone()
        };
        let store = Store::start(options, journal, applier, opening, (folders, lock), checkpoint, hooks)?;
        if in_memory {
            store.doubted.store(true, Ordering::Release);
        }
        Ok((store, opened))
    }

    /// Starts the sequencer and those who work beside it.
    fn start(
        options: &StoreOptions,
        journal: Journal,
        applier: Applier,
        opening: Opening,
        (Folders { hot: medium, tiers, lock: cold_lock }, lock): (Folders, Option<File>),
        checkpoint: Checkpoint,
        hooks: Hooks,
    ) -> Result<Store, OpenError> {
        let (locks, group_limit) = (Arc::new([lock, cold_lock]), journal.group_limit());
        let (reader, settled) = (journal.reader(), Arc::new(Mutex::new(journal.tail())));
        let (poisoned, revisions) = (Arc::new(AtomicBool::new(false)), Arc::new(Revisions::default()));
        let (room, (jobs, queue)) = (room(&medium, options.reserve_bytes), bounded(options.queue_entries));
        let fatal: Arc<dyn Fatal> = Arc::new(Poison { told: hooks.fatal, poisoned: Arc::clone(&poisoned) });
        let snapshots = Arc::new(snapshots(options, &opening, &medium, &settled));
        let (trees, tree_keeper) = trees(options, &medium, &reader, &settled);
        let mover = mover(options, tiers, &reader, &snapshots, &room, &fatal, &poisoned);
        let (engine, filler) = Names::around(Arc::<Layered>::clone(&opening.engine), opening.mark.records);
        let sequencer = Sequencer {
            journal,
            engine: Arc::<Names>::clone(&engine),
            applier,
            observer: hooks.observer,
            fatal: Arc::clone(&fatal),
            limits: options.group,
            mark: opening.mark,
            settled: Arc::clone(&settled),
            short_of: Arc::clone(&room),
            reserve_bytes: options.reserve_bytes,
            poisoned: None,
            forgotten_to: None,
            trees: Arc::clone(&trees),
            erasures: Arc::clone(&snapshots.erasures),
            revisions: Arc::clone(&revisions),
            is_held: opening.restored.as_ref().is_some_and(Restored::is_undecided),
            is_restored: opening.restored.is_some(),
        };
        let sequencer = spawn(options, "sequencer", move || run_to_the_end(sequencer, &queue, fatal.as_ref()))?;
        let keeper = checkpoints(options, &opening.engine, (&medium, &settled), checkpoint);
        let moving = mover.clone().map(|mover| Moving::start(options, mover, &locks)).transpose()?;
        let keeper = keepers(options, sequencer, keeper, &snapshots, tree_keeper, filler, moving)?;
        Ok(Store {
            doubted: opening.engine.doubted(),
            jobs: RwLock::new(Some(jobs)),
            engine,
            journal: reader,
            statements: hooks.statements,
            settled,
            medium,
            room,
            group_limit,
            singles: Singles::default(),
            snapshots,
            trees,
            mover,
            keeper: Mutex::new(Some(keeper)),
            poisoned,
            revisions,
            restored: opening.restored,
            _locks: locks,
        })
    }
}

/// A data folder that is this process's own until this is dropped, or until the store is that was opened with it.
#[derive(Debug)]
pub struct FolderLock(File);

impl FolderLock {
    /// Takes a folder that is there; [`OpenError::InUse`] where another process has it.
    pub fn take(folder: &Path) -> Result<FolderLock, OpenError> {
        lock_folder(folder).map(FolderLock)
    }
}

/// What a store stands on.
struct Ground {
    folders: Folders,
    /// Of the data folder.
    lock: Option<File>,
    session: Option<String>,
    home: Home,
}

/// What the stages above give a store.
struct Hooks {
    statements: Arc<dyn ReadStatement>,
    observer: Arc<dyn Observer>,
    fatal: Arc<dyn Fatal>,
}

pub(super) fn lock_folder(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| OpenError::Io { action: "open", path: path.clone(), source })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(folder.to_owned())),
        Err(error) => Err(OpenError::Io { action: "lock", path, source: error.into() }),
    }
}
