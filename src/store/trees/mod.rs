//! The two trees over the journal, as files beside its segments: every hash of a tree, and where each leaf's frame stands.
//!
//! ```text
//! registry.tree    audit.tree      32 bytes a hash, in the order of completion (tlog::layout)
//! registry.places  audit.places    12 bytes a leaf: segment, offset, length of its frame
//! trees.mark                       how far all four were durable, and the roots there
//! ```
//! They are derived: the journal alone has to survive. They grow with each group, in the sequencer; what a crash, a full disk
//! or rot has taken from them is made again from the journal by [`TreeKeeper`], in the background where that is long. Until they
//! are where the journal is, nobody is given a head to sign. What they say below their size never changes, so it is read
//! without a lock.
//!
//! - `files`: one tree's two. `keeper`: the thread.

mod files;
mod keeper;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::files::TreeFiles;
pub use self::files::TreeReader;
pub(super) use self::keeper::TreeKeeper;
use super::journal::{FrameKind, JournalError, Location, Reader, Tail};
use super::medium::{self, Medium};
use crate::tlog::frontier::Frontier;
use crate::tlog::hash::{Hash, Head};

const MARK_FILE: &str = "trees.mark";
const MARK_LIMIT_BYTES: u64 = 64 * 1024;
/// So many frames behind, the rest is taken in while the sequencer waits: otherwise a busy one is never caught up with.
const LAST_FRAMES: u64 = 20_000;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tree {
    /// The public statements.
    Registry,
    /// Who did what: for auditors only.
    Audit,
}

impl Tree {
    fn name(self) -> &'static str {
        match self {
            Tree::Registry => "registry",
            Tree::Audit => "audit",
        }
    }

    /// The tree that counts frames of a kind.
    fn of(kind: FrameKind) -> Option<Tree> {
        match kind {
            _ if kind.in_registry() => Some(Tree::Registry),
            _ if kind.in_audit() => Some(Tree::Audit),
            _ => None,
        }
    }
}

/// A frame that is durable, as the trees see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grown {
    pub kind: FrameKind,
    pub location: Location,
    pub leaf: Hash,
}

/// The trees of a store.
pub struct Trees {
    medium: Arc<dyn Medium>,
    registry: TreeFiles,
    audit: TreeFiles,
    /// Locked by the sequencer for each group, and by the keeper while it takes in what is missing.
    state: Mutex<State>,
    /// Whether the trees are where the journal is.
    in_step: AtomicBool,
    /// Whether they were found in their files, and are behind by what came after their mark alone.
    is_as_left: bool,
    /// What the mark said was given up.
    is_doubted: AtomicBool,
    /// A sync has failed: no mark is written any more.
    is_undurable: AtomicBool,
}

struct State {
    /// How far the journal is in the trees.
    tail: Tail,
    registry: Frontier,
    audit: Frontier,
    /// The frame of the newest head that was signed.
    newest_head: Option<Location>,
}

impl State {
    fn start(tail: Tail) -> State {
        State { tail, registry: Frontier::default(), audit: Frontier::default(), newest_head: None }
    }
}

/// The heads of both trees at one place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub registry: Head,
    pub audit: Head,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    tail: Tail,
    registry_root: Hash,
    audit_root: Hash,
    newest_head: Option<[u32; 3]>,
}

impl Trees {
    /// The trees as they were left, as far as they are believed; the rest is [`Trees::catch_up`]'s. Never fails: the journal is
    /// whole without them.
    pub(super) fn open(medium: &Arc<dyn Medium>, start: Tail, until: Tail) -> Trees {
        let mut trees = Trees {
            is_as_left: false,
            medium: Arc::clone(medium),
            registry: TreeFiles::of(Tree::Registry),
            audit: TreeFiles::of(Tree::Audit),
            state: Mutex::new(State::start(start)),
            in_step: AtomicBool::new(false),
            is_doubted: AtomicBool::new(false),
            is_undurable: AtomicBool::new(false),
        };
        // Now, while nobody else can: two who make a file at once would empty it.
        for files in [&trees.registry, &trees.audit] {
            if let Err(error) = files.open(medium.as_ref()) {
                tracing::warn!(%error, "the files of the log's trees do not open; it is tried again");
            }
        }
        match trees.load(until) {
            Ok(Some(state)) => {
                *trees.state.lock() = state;
                trees.is_as_left = true;
            }
            Ok(None) if until.sequence > 0 => tracing::info!("the log's trees are made from the journal"),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the log's trees do not read: they are made anew from the journal"),
        }
        trees
    }

    /// What the files hold up to the mark, if it is of this journal and they add up to its roots.
    fn load(&self, until: Tail) -> io::Result<Option<State>> {
        let Some(mark) = medium::read_checked::<Mark>(self.medium.as_ref(), MARK_FILE, MARK_LIMIT_BYTES)? else {
            return Ok(None);
        };
        let tail = mark.tail;
        if tail.sequence > until.sequence || (tail.sequence == until.sequence && tail.previous != until.previous) {
            return Ok(None);
        }
        let registry = self.registry.load(self.medium.as_ref(), tail.registry_size, &mark.registry_root)?;
        let audit = self.audit.load(self.medium.as_ref(), tail.audit_size, &mark.audit_root)?;
        let (Some(registry), Some(audit)) = (registry, audit) else {
            tracing::warn!("the log's trees are not what their mark says: they are made anew from the journal");
            return Ok(None);
        };
        let newest_head = mark.newest_head.map(|[segment, offset, length]| Location { segment, offset, length });
        Ok(Some(State { tail, registry, audit, newest_head }))
    }

    /// Takes a group in that has just become durable. Where the trees are not right before it, the keeper takes it in later.
    pub(super) fn advance(&self, before: Tail, frames: &[Grown], tail: Tail) {
        let mut state = self.state.lock();
        if state.tail.sequence >= tail.sequence {
            return;
        }
        let done = if state.tail.sequence == before.sequence { self.take(&mut state, frames, tail) } else { Ok(()) };
        if let Err(error) = done {
            tracing::error!(%error, "the log's trees cannot be written: no head is signed until they can");
        }
        self.in_step.store(state.tail.sequence == tail.sequence, Ordering::Release);
    }

    /// Hashes and places first, then the sizes that readers go by; after an error nothing has changed.
    fn take(&self, state: &mut State, frames: &[Grown], tail: Tail) -> io::Result<()> {
        let medium = self.medium.as_ref();
        let of = |tree| frames.iter().filter(move |grown| Tree::of(grown.kind) == Some(tree));
        let registry = self.registry.grow(medium, &state.registry, of(Tree::Registry))?;
        let audit = self.audit.grow(medium, &state.audit, of(Tree::Audit))?;
        self.registry.size.store(registry.size, Ordering::Release);
        self.audit.size.store(audit.size, Ordering::Release);
        let newest = frames.iter().rev().find(|grown| grown.kind == FrameKind::CheckpointHead);
        state.newest_head = newest.map(|grown| grown.location).or(state.newest_head);
        (state.registry, state.audit, state.tail) = (registry, audit, tail);
        Ok(())
    }

    /// Takes in what the journal has and the trees have not, up to what `settled` says; whether they are there now. `go_on` is
    /// asked between two segments.
    pub(super) fn catch_up(
        &self,
        journal: &Reader,
        settled: &Mutex<Tail>,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<bool, TreeError> {
        while go_on() {
            let (from, until) = (self.state.lock().tail, *settled.lock());
            if until.sequence - from.sequence.min(until.sequence) > LAST_FRAMES {
                let (frames, tail) = missing(journal, from, until)?;
                let mut state = self.state.lock();
                if state.tail.sequence == from.sequence {
                    self.take(&mut state, &frames, tail)?;
                }
                continue;
            }
            // The sequencer settles a group before it asks for the lock: what is settled now and not here, it will not bring.
            let mut state = self.state.lock();
            let until = *settled.lock();
            while state.tail.sequence < until.sequence {
                let (frames, tail) = missing(journal, state.tail, until)?;
                self.take(&mut state, &frames, tail)?;
            }
            self.in_step.store(true, Ordering::Release);
            return Ok(true);
        }
        Ok(false)
    }

    /// After the journal could not be followed from where the mark left them: they are made anew from its start, once.
    fn doubt(&self, journal: &Reader) {
        let mut state = self.state.lock();
        if self.is_as_left && !self.in_step.load(Ordering::Acquire) && !self.is_doubted.swap(true, Ordering::AcqRel) {
            tracing::warn!("the log's trees do not fit the journal: they are made anew from it");
            self.registry.size.store(0, Ordering::Release);
            self.audit.size.store(0, Ordering::Release);
            *state = State::start(journal.start());
        }
    }

    /// Makes them durable as far as they are now, so that the next start goes on from here.
    ///
    /// After a failure never again: the kernel may have dropped what it could not write and say at the next call that all is
    /// well, while the bytes still look written (docs/decisions.md, "Every failed fsync ends the process"). Without a mark the
    /// next opening makes them anew.
    pub(super) fn persist(&self) -> io::Result<()> {
        if self.is_undurable.load(Ordering::Acquire) {
            return Ok(());
        }
        self.sync_and_mark().inspect_err(|_| {
            self.is_undurable.store(true, Ordering::Release);
            if let Err(error) = forget(self.medium.as_ref()).and_then(|()| self.medium.sync_directory()) {
                tracing::error!(%error, "the mark of the log's trees cannot be taken away: remove trees.mark before the next start");
            }
        })
    }

    fn sync_and_mark(&self) -> io::Result<()> {
        let mark = {
            let state = self.state.lock();
            Mark {
                tail: state.tail,
                registry_root: state.registry.root(),
                audit_root: state.audit.root(),
                newest_head: state.newest_head.map(|head| [head.segment, head.offset, head.length]),
            }
        };
        self.registry.sync(self.medium.as_ref())?;
        self.audit.sync(self.medium.as_ref())?;
        medium::replace_checked(self.medium.as_ref(), MARK_FILE, &mark)
    }

    /// The heads of the trees where the journal stands, and the frame of the newest head that was signed; `None` while the
    /// trees are not there.
    #[must_use]
    pub fn heads(&self) -> Option<(Heads, Option<Location>)> {
        let state = self.state.lock();
        let heads = Heads { registry: state.registry.head(), audit: state.audit.head() };
        self.in_step.load(Ordering::Acquire).then_some((heads, state.newest_head))
    }

    /// Whether they are where the journal is.
    #[must_use]
    pub fn is_in_step(&self) -> bool {
        self.in_step.load(Ordering::Acquire)
    }

    /// What one of them holds now.
    #[must_use]
    pub fn reader(&self, tree: Tree) -> TreeReader<'_> {
        TreeReader { files: self.files(tree), size: self.files(tree).size.load(Ordering::Acquire) }
    }

    fn files(&self, tree: Tree) -> &TreeFiles {
        match tree {
            Tree::Registry => &self.registry,
            Tree::Audit => &self.audit,
        }
    }
}

/// The frames from one place on, to the end of a segment at most, and the place behind them.
fn missing(journal: &Reader, from: Tail, until: Tail) -> Result<(Vec<Grown>, Tail), JournalError> {
    let mut frames = Vec::new();
    let tail = journal.step::<JournalError>(from, until, |_, location, view, _| {
        let leaf = super::rows::leaf_hash(view.statement);
        frames.push(Grown { kind: view.kind, location, leaf });
        Ok(())
    })?;
    Ok((frames, tail))
}

/// Takes the mark away: the next opening makes the trees anew.
pub(super) fn forget(medium: &dyn Medium) -> io::Result<()> {
    match medium.remove(MARK_FILE) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Why the trees are not where the journal is.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the files of the log's trees: {0}")]
    Io(#[from] io::Error),
}
