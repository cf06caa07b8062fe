//! Start, self-check, checkpoints and stop: what turns the parts into one store.
//!
//! After a stop that was not clean the record store is believed only if a scan of all its rows adds up to the totals in
//! its mark (a set hash); sled's own files prove nothing after a power cut. What does not add up is moved aside and made
//! anew from the journal.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::apply::{self, Applier, ApplyError, ReadStatement};
use super::engine::{Engine, EngineError, Mark, RowBytes, Table};
use super::engine_memory::MemoryEngine;
use super::engine_sled::SledEngine;
use super::journal::{Frame, Journal, JournalError, Location, Reader, Recovered, Start, Tail};
use super::medium::{self, Disk, Medium};
use super::proposal::{Outcome, Proposal, Refusal};
use super::rows::{REQUEST_SECONDS, RecordRow, RequestRow, row_hash};
use super::sequencer::{GroupLimits, Job, Sequencer};
use super::{Fatal, Observer};
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;
use crate::model::time::Timestamp;

const CHECKPOINT_FILE: &str = "checkpoint";
const CHECKPOINT_LIMIT_BYTES: u64 = 64 * 1024;
/// How many frames are applied at once during a replay.
const REPLAY_FRAMES: usize = 4096;

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
    /// Free bytes on the disk below which writes are refused, so that the record store's own files never hit the end.
    pub reserve_bytes: u64,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0} is in use by another process: stop that one first, or name another folder")]
    InUse(PathBuf),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
    #[error(
        "the record store made anew from the journal does not add up: {0}; this is a bug, nothing was changed in the journal"
    )]
    SelfCheck(String),
}

/// What opening found and did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Opened {
    pub clean: bool,
    pub replayed_frames: u64,
    pub cut: Option<(String, u64, u64)>,
    /// Why the record store was made anew, if it was.
    pub rebuilt: Option<String>,
    pub records: u64,
    pub seconds: f64,
}

/// The file that lets an opening begin near the end of the journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Checkpoint {
    tail: Tail,
    /// The record store was complete and durable up to the tail, and nothing was written after.
    clean: bool,
    /// The mount that the writing process saw ([`session`]).
    session: Option<String>,
}

/// The store: commits go in through a bounded queue, reads go straight to the engine and the journal.
pub struct Store {
    jobs: Sender<Job>,
    engine: Arc<dyn Engine>,
    journal: Arc<Reader>,
    statements: Arc<dyn ReadStatement>,
    settled: Arc<Mutex<Tail>>,
    medium: Arc<dyn Medium>,
    keeper: Mutex<Option<Keeper>>,
    poisoned: Arc<std::sync::atomic::AtomicBool>,
    /// Held as long as the store is open: no second process may write here.
    _lock: Option<std::fs::File>,
}

struct Keeper {
    stop: Sender<()>,
    thread: std::thread::JoinHandle<()>,
    sequencer: std::thread::JoinHandle<()>,
}

impl Store {
    /// Opens the store in its folder, making it where there is none.
    pub fn open(
        options: &StoreOptions,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io {
                action,
                path,
                source,
            }
        };
        std::fs::create_dir_all(&options.folder).map_err(io("make", &options.folder))?;
        let lock = lock_folder(&options.folder)?;
        let folder = options.folder.join("journal");
        let medium: Arc<dyn Medium> = Arc::new(Disk::open(&folder).map_err(io("open", &folder))?);
        let records = options.folder.join("records");
        let mut home = match options.engine {
            EngineChoice::Memory => Home::Memory,
            EngineChoice::Sled { budget_bytes } => Home::Sled {
                folder: records,
                budget_bytes,
            },
        };
        let (mut store, opened) =
            Store::open_on(options, medium, session(&options.folder), &mut home, statements, observer, fatal)?;
        store._lock = Some(lock);
        Ok((store, opened))
    }

    /// Opens on a medium that a test stands behind; rows live in memory.
    pub fn open_in_memory_on(
        options: &StoreOptions,
        medium: Arc<dyn Medium>,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        Store::open_on(
            options,
            medium,
            None,
            &mut Home::Memory,
            statements,
            observer,
            fatal,
        )
    }

    fn open_on(
        options: &StoreOptions,
        medium: Arc<dyn Medium>,
        session: Option<String>,
        home: &mut Home,
        statements: Arc<dyn ReadStatement>,
        observer: Arc<dyn Observer>,
        fatal: Arc<dyn Fatal>,
    ) -> Result<(Store, Opened), OpenError> {
        let started = Instant::now();
        let mut opening = Opening::begin(medium.as_ref(), home, session.clone())?;
        let Recovered {
            journal,
            from,
            cut,
            sealed,
            erased,
        } = Journal::open(Arc::clone(&medium), options.segment_bytes, opening.start())?;
        let reader = journal.reader();
        let applier = Applier {
            statements: Arc::clone(&statements),
            journal: Arc::clone(&reader),
        };
        opening.catch_up(home, &applier, from, journal.tail(), sealed)?;
        if !erased.is_empty() {
            opening.engine.persist()?;
            for location in erased {
                journal.blank(location)?;
            }
        }
        // From the first write on, the checkpoint must not call the record store clean. Its place stays where the
        // record store was last made durable.
        save(
            medium.as_ref(),
            &Checkpoint {
                tail: from,
                clean: false,
                session: session.clone(),
            },
        )?;
        let opened = Opened {
            cut,
            records: opening.mark.records,
            seconds: started.elapsed().as_secs_f64(),
            ..opening.opened
        };

        let settled = Arc::new(Mutex::new(journal.tail()));
        let poisoned = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (jobs, queue) = bounded(options.queue_entries);
        let sequencer = Sequencer {
            journal,
            engine: Arc::clone(&opening.engine),
            applier,
            observer,
            fatal: Arc::new(Poison {
                told: fatal,
                poisoned: Arc::clone(&poisoned),
            }),
            limits: options.group,
            mark: opening.mark,
            settled: Arc::clone(&settled),
            short_of: Box::new(room(Arc::clone(&medium), options.reserve_bytes)),
            poisoned: None,
            forgotten_to: None,
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(work)
                .map_err(|source| OpenError::Io {
                    action: "start a thread for",
                    path: options.folder.clone(),
                    source,
                })
        };
        let sequencer = spawn("sequencer", Box::new(move || sequencer.run(&queue)))?;
        let (stop, stopped) = bounded(1);
        let keeper = CheckpointKeeper {
            engine: Arc::clone(&opening.engine),
            medium: Arc::clone(&medium),
            settled: Arc::clone(&settled),
            jobs: jobs.clone(),
            saved: from,
            session,
            interval: options.checkpoint_interval,
        };
        let thread = spawn("checkpoints", Box::new(move || keeper.run(&stopped)))?;
        let keeper = Mutex::new(Some(Keeper {
            stop,
            thread,
            sequencer,
        }));
        let engine = opening.engine;
        Ok((
            Store {
                jobs,
                engine,
                journal: reader,
                statements,
                settled,
                medium,
                keeper,
                poisoned,
                _lock: None,
            },
            opened,
        ))
    }

    /// Commits; answers when all of it is durable and visible, or says why not. Never waits for room in the queue.
    pub async fn commit(&self, proposals: Vec<Proposal>, atomic: bool) -> Vec<Outcome> {
        let count = proposals.len();
        let (answer, answered) = oneshot::channel();
        let refused = match self.jobs.try_send(Job::Commit {
            proposals,
            atomic,
            answer,
        }) {
            Ok(()) => match answered.await {
                Ok(outcomes) => return outcomes,
                Err(_) => lost(),
            },
            Err(TrySendError::Full(_)) => Refusal::Busy,
            Err(TrySendError::Disconnected(_)) => Refusal::Stopping,
        };
        vec![Outcome::Refused(refused); count]
    }

    /// Commits from a thread that may block: waits for room in the queue, which is what slows an import down.
    pub fn commit_blocking(&self, proposals: Vec<Proposal>, atomic: bool) -> Vec<Outcome> {
        let count = proposals.len();
        let (answer, answered) = oneshot::channel();
        let refused = match self.jobs.send(Job::Commit {
            proposals,
            atomic,
            answer,
        }) {
            Ok(()) => match answered.blocking_recv() {
                Ok(outcomes) => return outcomes,
                Err(_) => lost(),
            },
            Err(_) => Refusal::Stopping,
        };
        vec![Outcome::Refused(refused); count]
    }

    /// The row of an identifier.
    pub fn row(&self, key: &CanonicalKey) -> Result<Option<RecordRow>, EngineError> {
        Ok(self
            .engine
            .read(Table::Record, key.as_str().as_bytes())?
            .and_then(|bytes| RecordRow::decode(&bytes)))
    }

    /// The identifier that bears an alias.
    pub fn bearer(&self, alias: &CanonicalKey) -> Result<Option<CanonicalKey>, EngineError> {
        let row = self.engine.read(Table::Alias, alias.as_str().as_bytes())?;
        Ok(row.and_then(|bytes| {
            std::str::from_utf8(&bytes)
                .ok()
                .map(CanonicalKey::from_stored)
        }))
    }

    /// The record at a row: from the row itself, or from the journal where it is too long for that.
    pub fn record(&self, row: &RecordRow) -> Result<Record, ApplyError> {
        if let Some(body) = &row.body {
            return Record::from_row(body).map_err(|error| ApplyError::Statement {
                sequence: row.index,
                cause: error.to_string(),
            });
        }
        let frame = self.frame(row.location)?;
        self.record_of(&frame)?
            .ok_or_else(|| ApplyError::Statement {
                sequence: row.index,
                cause: "erased".to_owned(),
            })
    }

    /// The record that a frame states; `None` once it is erased.
    pub fn record_of(&self, frame: &Frame) -> Result<Option<Record>, ApplyError> {
        let Some(disclosures) = &frame.disclosures else {
            return Ok(None);
        };
        self.statements
            .record(&frame.statement, disclosures, &frame.meta)
            .map(Some)
            .map_err(|cause| ApplyError::Statement {
                sequence: frame.sequence,
                cause,
            })
    }

    /// One frame of the journal.
    pub fn frame(&self, location: Location) -> Result<Frame, JournalError> {
        self.journal.frame(location)
    }

    /// What became of a request, if it is still remembered.
    pub fn request(
        &self,
        principal: &str,
        key: &str,
        now: i64,
    ) -> Result<Option<RequestRow>, EngineError> {
        let row = self
            .engine
            .read(Table::Request, &RequestRow::key(principal, key))?;
        Ok(row
            .and_then(|bytes| RequestRow::decode(&bytes))
            .filter(|row| row.remembered(now)))
    }

    /// A row of any table (API keys).
    pub fn any_row(&self, table: Table, key: &[u8]) -> Result<Option<RowBytes>, EngineError> {
        self.engine.read(table, key)
    }

    /// Rows of a table in key order.
    pub fn scan(
        &self,
        table: Table,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
        self.engine.scan(table, after, limit)
    }

    /// Every frame, oldest first, up to what is settled now.
    pub fn replay(
        &self,
        mut each: impl FnMut(Frame) -> Result<(), ApplyError>,
    ) -> Result<(), ApplyError> {
        self.journal
            .replay(self.journal.start(), self.tail(), &mut each)
    }

    /// Where the journal and the record store stand together.
    pub fn tail(&self) -> Tail {
        *self.settled.lock()
    }

    /// Whether writes are refused until a restart.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Bytes of the record store on disk.
    pub fn engine_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    /// Finishes what waits, seals the journal, makes the record store durable and calls it clean. Blocks.
    pub fn stop(&self) {
        let Some(keeper) = self.keeper.lock().take() else {
            return;
        };
        let (done, sealed) = oneshot::channel();
        let ended = self.jobs.send(Job::Stop { done }).is_ok() && sealed.blocking_recv().is_ok();
        let _ = keeper.sequencer.join();
        let _ = keeper.stop.send(());
        let _ = keeper.thread.join();
        if !ended || self.is_poisoned() {
            return;
        }
        let tail = self.tail();
        let saved = self
            .engine
            .persist()
            .map_err(OpenError::from)
            .and_then(|()| save(self.medium.as_ref(), &Checkpoint { tail, clean: true, session: None }));
        if let Err(error) = saved {
            tracing::warn!(%error, "the stop was not recorded as clean: the next start checks the record store");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

fn lost() -> Refusal {
    Refusal::Poisoned("the store failed while this was being written; ask again by the idempotency key after a restart".to_owned())
}

/// Marks the store before it tells the node.
struct Poison {
    told: Arc<dyn Fatal>,
    poisoned: Arc<std::sync::atomic::AtomicBool>,
}

impl Fatal for Poison {
    fn failed(&self, cause: &str) {
        self.poisoned
            .store(true, std::sync::atomic::Ordering::Release);
        self.told.failed(cause);
    }
}

enum Home {
    Memory,
    Sled { folder: PathBuf, budget_bytes: u64 },
}

impl Home {
    fn open(&self) -> Result<Arc<dyn Engine>, EngineError> {
        Ok(match self {
            Home::Memory => Arc::new(MemoryEngine::default()),
            Home::Sled {
                folder,
                budget_bytes,
            } => Arc::new(SledEngine::open(folder, *budget_bytes)?),
        })
    }

    /// Moves damaged files to `records.aside`, in place of what was moved there before.
    fn set_aside(&self) -> Result<(), OpenError> {
        let Home::Sled { folder, .. } = self else {
            return Ok(());
        };
        let aside = folder.with_extension("aside");
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io {
                action,
                path,
                source,
            }
        };
        if aside.exists() {
            std::fs::remove_dir_all(&aside).map_err(io("remove", &aside))?;
        }
        if folder.exists() {
            std::fs::rename(folder, &aside).map_err(io("move aside", folder))?;
        }
        Ok(())
    }
}

/// A record store on its way to where the journal is.
struct Opening {
    engine: Arc<dyn Engine>,
    mark: Mark,
    known: bool,
    checkpoint: Option<Checkpoint>,
    /// Whether the writing process saw the very mount that we see: then the kernel has lost nothing of sled's files.
    same_mount: bool,
    opened: Opened,
}

impl Opening {
    fn begin(medium: &dyn Medium, home: &Home, session: Option<String>) -> Result<Opening, OpenError> {
        let mut opened = Opened::default();
        let checkpoint = load(medium);
        let before = checkpoint.as_ref().and_then(|checkpoint| checkpoint.session.clone());
        let same_mount = session.is_some() && session == before;
        let tried = home.open().and_then(|engine| Ok((engine.mark()?, engine)));
        let (mark, engine) = match tried {
            Ok(both) => both,
            Err(error) => {
                tracing::warn!(%error, "the record store does not open: moved aside, made anew from the journal");
                opened.rebuilt = Some(error.to_string());
                home.set_aside()?;
                (None, home.open()?)
            }
        };
        Ok(Opening {
            engine,
            known: mark.is_some(),
            same_mount,
            mark: mark.unwrap_or_default(),
            checkpoint,
            opened,
        })
    }

    /// Scanning may begin at the checkpoint; both it and the record store say what had been durable.
    fn start(&self) -> Start {
        let tail = self.checkpoint.as_ref().map(|checkpoint| checkpoint.tail);
        let durable_sequence = tail.map_or(0, |tail| tail.sequence).max(self.mark.sequence);
        // Without rows, or with rows older than the checkpoint, everything will be replayed, so everything is scanned.
        let near = self.known && tail.is_some_and(|tail| tail.sequence <= self.mark.sequence);
        Start {
            tail: tail.filter(|_| near),
            durable_sequence,
        }
    }

    fn catch_up(
        &mut self,
        home: &Home,
        applier: &Applier,
        from: Tail,
        until: Tail,
        sealed: bool,
    ) -> Result<(), OpenError> {
        let clean = self.known
            && sealed
            && self
                .checkpoint
                .as_ref()
                .is_some_and(|checkpoint| checkpoint.clean && checkpoint.tail == until)
            && self.mark.sequence == until.sequence;
        self.opened.clean = clean || (!self.known && until.sequence == 0);
        if clean {
            return Ok(());
        }
        self.replay(applier, from, until)?;
        // A killed process leaves a prefix of its writes in sled (measured: docs/decisions.md), a power cut leaves anything.
        let only_killed = self.known && self.same_mount && from.sequence <= self.mark.sequence;
        let checked = if self.opened.rebuilt.is_none() && !only_killed {
            self.self_check()
        } else {
            Ok(())
        };
        if let Err(difference) = checked {
            tracing::warn!(
                difference,
                "the record store is not what the journal says: moved aside and made anew"
            );
            self.opened.rebuilt = Some(difference);
            // The old files must be closed before their folder is moved.
            self.engine = Arc::new(MemoryEngine::default());
            home.set_aside()?;
            self.engine = home.open()?;
            self.mark = Mark::default();
            self.replay(applier, applier.journal.start(), until)?;
            self.self_check().map_err(OpenError::SelfCheck)?;
        }
        Ok(())
    }

    /// Applies what the record store does not have yet.
    fn replay(&mut self, applier: &Applier, from: Tail, until: Tail) -> Result<(), OpenError> {
        let skip = self.mark.sequence;
        let mut waiting = Vec::with_capacity(REPLAY_FRAMES);
        applier.journal.replay::<ApplyError>(from, until, |frame| {
            if frame.sequence >= skip {
                waiting.push(frame);
            }
            if waiting.len() == REPLAY_FRAMES {
                self.apply(applier, &mut waiting)
            } else {
                Ok(())
            }
        })?;
        self.apply(applier, &mut waiting)?;
        Ok(())
    }

    fn apply(&mut self, applier: &Applier, frames: &mut Vec<Frame>) -> Result<(), ApplyError> {
        let Some(last) = frames.last() else {
            return Ok(());
        };
        let sequence = last.sequence + 1;
        // Decoding is most of the work and needs no order; the rows go in one after the other.
        let half = frames.len() / 2;
        let decode = |frames: &[Frame]| {
            frames
                .iter()
                .map(|frame| applier.changes(frame, None))
                .collect::<Vec<_>>()
        };
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| decode(&frames[half..]));
            (decode(&frames[..half]), second.join())
        });
        let second = second.map_err(|_| ApplyError::Statement {
            sequence,
            cause: "decoding panicked".to_owned(),
        })?;
        let mut all = Vec::with_capacity(frames.len() * 2);
        for changes in first.into_iter().chain(second) {
            let changes = changes?;
            apply::count(&mut self.mark, &changes);
            all.extend(changes);
        }
        self.mark.sequence = sequence;
        self.engine.write(&apply::writes(all), &self.mark)?;
        self.opened.replayed_frames += frames.len() as u64;
        frames.clear();
        Ok(())
    }

    /// Whether all rows together are what the mark says.
    fn self_check(&self) -> Result<(), String> {
        compare(
            self.engine.as_ref(),
            &self.mark,
            Timestamp::now().as_seconds(),
        )
    }
}

/// Compares a scan of all rows with the totals in a mark.
fn compare(engine: &dyn Engine, mark: &Mark, now: i64) -> Result<(), String> {
    let mut found = Mark {
        sequence: mark.sequence,
        ..Mark::default()
    };
    engine
        .each(&mut |table, key, value| {
            let hash = row_hash(table, key, value);
            if table == Table::Request {
                let sum = found.requests.entry(RequestRow::hour(value)).or_default();
                *sum = sum.wrapping_add(hash);
            } else {
                found.rows = found.rows.wrapping_add(hash);
                found.records += u64::from(table == Table::Record);
            }
        })
        .map_err(|error| error.to_string())?;
    if found.records != mark.records {
        return Err(format!(
            "{} records are there, {} should be",
            found.records, mark.records
        ));
    }
    if found.rows != mark.rows {
        return Err("a row is missing, old or damaged".to_owned());
    }
    let oldest = (now - REQUEST_SECONDS).div_euclid(3600) + 1;
    let recent = |mark: &Mark| {
        mark.requests
            .range(oldest..)
            .map(|(hour, sum)| (*hour, *sum))
            .collect::<Vec<_>>()
    };
    if recent(&found) != recent(mark) {
        return Err("an idempotency key is missing or damaged".to_owned());
    }
    Ok(())
}

/// Says how many bytes are missing to the reserve; asks the disk a few times a second at most.
fn room(medium: Arc<dyn Medium>, reserve_bytes: u64) -> impl Fn() -> Option<u64> + Send {
    const ASK_AGAIN: Duration = Duration::from_millis(200);
    let last: Mutex<Option<(Instant, Option<u64>)>> = Mutex::new(None);
    move || {
        let mut last = last.lock();
        if let Some((_, known)) = last.filter(|(asked, _)| asked.elapsed() < ASK_AGAIN) {
            return known;
        }
        let short = medium
            .free_bytes()
            .ok()
            .and_then(|free| reserve_bytes.checked_sub(free))
            .filter(|short| *short > 0);
        *last = Some((Instant::now(), short));
        short
    }
}

/// The thread that moves the checkpoint along, and has old request rows taken away.
struct CheckpointKeeper {
    engine: Arc<dyn Engine>,
    medium: Arc<dyn Medium>,
    settled: Arc<Mutex<Tail>>,
    jobs: Sender<Job>,
    /// The place of the last checkpoint.
    saved: Tail,
    session: Option<String>,
    interval: Duration,
}

impl CheckpointKeeper {
    fn run(mut self, stop: &crossbeam_channel::Receiver<()>) {
        let mut due = Instant::now() + self.interval;
        while let Err(RecvTimeoutError::Timeout) =
            stop.recv_timeout(self.interval.min(Duration::from_secs(1)))
        {
            // A full queue has more urgent work: the next second asks again.
            let _ = self.jobs.try_send(Job::Forget {
                now: Timestamp::now().as_seconds(),
            });
            let tail = *self.settled.lock();
            if Instant::now() < due || tail.sequence == self.saved.sequence {
                continue;
            }
            due = Instant::now() + self.interval;
            let done = self.engine.persist().map_err(OpenError::from);
            match done.and_then(|()| save(self.medium.as_ref(), &Checkpoint { tail, clean: false, session: self.session.clone() }))
            {
                Ok(()) => self.saved = tail,
                Err(error) => {
                    tracing::warn!(%error, "no checkpoint: the next start replays from the one before")
                }
            }
        }
    }
}

/// Names the running kernel and the mount that a folder is on, as it will never be named again. While both are the same,
/// every byte that any process wrote is still in the kernel's hands: there was no power cut. `None` where the kernel
/// cannot tell (before Linux 6.8).
fn session(folder: &Path) -> Option<String> {
    /// STATX_MNT_ID_UNIQUE, statx(2).
    const UNIQUE_MOUNT: rustix::fs::StatxFlags = rustix::fs::StatxFlags::from_bits_retain(0x4000);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let found = rustix::fs::statx(
        rustix::fs::CWD,
        folder,
        rustix::fs::AtFlags::empty(),
        UNIQUE_MOUNT,
    )
    .ok()?;
    (found.stx_mask & UNIQUE_MOUNT.bits() != 0)
        .then(|| format!("{}/{}", boot.trim(), found.stx_mnt_id))
}

fn lock_folder(folder: &Path) -> Result<std::fs::File, OpenError> {
    let path = folder.join("lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| OpenError::Io {
            action: "open",
            path: path.clone(),
            source,
        })?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(folder.to_owned())),
        Err(error) => Err(OpenError::Io {
            action: "lock",
            path,
            source: error.into(),
        }),
    }
}

/// The checkpoint, if there is one that reads; without it the whole journal is scanned.
fn load(medium: &dyn Medium) -> Option<Checkpoint> {
    let bytes = medium::read_whole(medium, CHECKPOINT_FILE, CHECKPOINT_LIMIT_BYTES).ok()??;
    let (body, crc) = bytes.split_last_chunk::<4>()?;
    if crc32c::crc32c(body).to_le_bytes() != *crc {
        tracing::warn!("the checkpoint file is damaged: the whole journal is scanned");
        return None;
    }
    serde_json::from_slice(body).ok()
}

fn save(medium: &dyn Medium, checkpoint: &Checkpoint) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        action: "write",
        path: PathBuf::from(CHECKPOINT_FILE),
        source,
    };
    let mut bytes = serde_json::to_vec(checkpoint).map_err(|error| io(error.into()))?;
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    medium::replace(medium, CHECKPOINT_FILE, &bytes).map_err(io)
}
