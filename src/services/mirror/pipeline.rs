//! Many leaves: checked on all cores, brought back into their order, and committed in large groups by a thread of its own, so
//! that fetching, checking and committing overlap. What is on its way is bounded.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};
use parking_lot::Mutex;

use super::check::{Checked, Measure, Named, check};
use super::disclosed::Hidden;
use super::halt::{Fault, Halt};
use super::room::Held;
use crate::services::Services;
use crate::services::follow::Batch;
use crate::sign::repeated::SignatureChecker;
use crate::store::journal::{FrameKind, Location};
use crate::store::trees::Tree;
use crate::store::{Copied, Outcome, Proposal};
use crate::tlog::hash::Hash;

/// Bundles on their way for each thread that checks.
const AHEAD: usize = 4;
/// The most statements that are committed at once.
const GROUP_STATEMENTS: usize = 4_096;
/// And the most bytes of them.
const GROUP_BYTES: usize = 8 << 20;

struct Work {
    number: u64,
    batch: Batch,
    hidden: Option<Hidden>,
    by: Measure,
}

struct Done {
    number: u64,
    checked: Vec<Result<Checked, Fault>>,
    /// Until it is on its way into the store.
    held: Held,
}

/// What the committing thread tells.
pub(super) trait Told: Send + Sync + 'static {
    /// So many statements are durable and visible.
    fn committed(&self, statements: usize);
    /// An entry came without what it hides.
    fn unexplained(&self, leaf: Hash, index: u64);
    /// An erasure names this leaf.
    fn explained(&self, leaf: &Hash);
}

pub(super) struct Pipeline {
    input: Option<Sender<Work>>,
    sent: u64,
    threads: Vec<JoinHandle<()>>,
    committer: Option<JoinHandle<()>>,
    halt: Arc<Mutex<Option<Halt>>>,
}

impl Pipeline {
    pub fn start(services: &Arc<Services>, told: &Arc<dyn Told>) -> io::Result<Pipeline> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (input, work) = bounded::<Work>(cores * AHEAD);
        let (output, done) = bounded::<Done>(cores * AHEAD);
        let threads = (0..cores).map(|number| checker(number, work.clone(), output.clone()));
        let threads = threads.collect::<io::Result<Vec<_>>>()?;
        let halt = Arc::new(Mutex::new(None));
        let committing = Committing { services: Arc::clone(services), told: Arc::clone(told) };
        let kept = Arc::clone(&halt);
        let run = move || {
            if let Err(error) = committing.run(&done) {
                *kept.lock() = Some(error);
            }
        };
        let committer = std::thread::Builder::new().name("mirror-commit".to_owned()).spawn(run)?;
        Ok(Pipeline { input: Some(input), sent: 0, threads, committer: Some(committer), halt })
    }

    /// Gives one bundle in; waits while too much is on its way. After a failure nothing more is taken.
    pub fn put(&mut self, batch: Batch, hidden: Option<Hidden>, by: Measure) -> Result<(), Halt> {
        let work = Work { number: self.sent, batch, hidden, by };
        self.sent += 1;
        match self.input.as_ref().map(|input| input.send(work).is_ok()) {
            Some(true) if self.halt.lock().is_none() => Ok(()),
            _ => Err(self.end().err().unwrap_or_else(|| Halt::Own("a thread of the mirror ended".to_owned()))),
        }
    }

    /// Waits until all that was given in is durable, or says why it is not.
    pub fn end(&mut self) -> Result<(), Halt> {
        self.input = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let is_whole = self.committer.take().is_none_or(|committer| committer.join().is_ok());
        match self.halt.lock().take() {
            Some(halt) => Err(halt),
            None if is_whole => Ok(()),
            None => Err(Halt::Own("the thread that commits ended".to_owned())),
        }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn checker(number: usize, work: Receiver<Work>, done: Sender<Done>) -> io::Result<JoinHandle<()>> {
    let run = move || {
        let mut checker = SignatureChecker::default();
        for Work { number, batch, hidden, by } in work {
            let Hidden { beside, held } = hidden.unwrap_or_default();
            let mut beside = beside.into_iter();
            let each = batch.iter().map(|(index, leaf, entry)| {
                check(index, *leaf, entry, beside.next().unwrap_or_default(), &by, &mut checker)
            });
            if done.send(Done { number, checked: each.collect(), held }).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name(format!("mirror-check-{number}")).spawn(run)
}

/// The one who commits.
struct Committing {
    services: Arc<Services>,
    told: Arc<dyn Told>,
}

impl Committing {
    fn run(&self, done: &Receiver<Done>) -> Result<(), Halt> {
        let limit = GROUP_BYTES.min(self.services.store.group_limit() / 2);
        let (mut early, mut next) = (BTreeMap::new(), 0_u64);
        let (mut group, mut bytes): (Vec<Proposal>, usize) = (Vec::new(), 0);
        loop {
            // While something is there it is gathered; a pause commits what there is.
            let one = match done.try_recv() {
                Ok(one) => one,
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    self.commit(&mut group, &mut bytes)?;
                    match done.recv() {
                        Ok(one) => one,
                        Err(_) => break,
                    }
                }
            };
            early.insert(one.number, one);
            while let Some(Done { checked, held: _held, .. }) = early.remove(&next) {
                next += 1;
                for one in checked {
                    let checked = match one {
                        Ok(checked) => checked,
                        Err(fault) => {
                            self.commit(&mut group, &mut bytes)?;
                            return Err(Halt::Fault(fault));
                        }
                    };
                    let proposal = self.prepared(checked, &mut group, &mut bytes)?;
                    let proposal_bytes = proposal.bytes();
                    if group.len() >= GROUP_STATEMENTS || (bytes + proposal_bytes > limit && !group.is_empty()) {
                        self.commit(&mut group, &mut bytes)?;
                    }
                    bytes += proposal_bytes;
                    group.push(proposal);
                }
            }
        }
        self.commit(&mut group, &mut bytes)
    }

    /// The proposal. Erasures share a group with nothing else: what they erase stands as it did before the group.
    fn prepared(&self, checked: Checked, group: &mut Vec<Proposal>, bytes: &mut usize) -> Result<Proposal, Halt> {
        let Checked { mut proposal, names, is_unexplained } = checked;
        if is_unexplained {
            self.told.unexplained(proposal.leaf, proposal.index);
        }
        let is_erasure = |proposal: &Proposal| matches!(proposal, Proposal::Copy(copy) if matches!(copy.copied, Copied::Erasure { .. }));
        let wants = matches!(proposal.copied, Copied::Erasure { .. });
        if group.last().is_some_and(|last| is_erasure(last) != wants) {
            self.commit(group, bytes)?;
        }
        if let Some(named) = names {
            if wants {
                self.told.explained(&named.leaf);
            }
            let stands = self.named(&named, proposal.index, group, bytes)?;
            match &mut proposal.copied {
                Copied::Erasure { erased } => *erased = stands,
                Copied::Withheld { supersedes, .. } => *supersedes = stands,
                Copied::Entry { .. } | Copied::Statement => {}
            }
        }
        Ok(Proposal::Copy(proposal))
    }

    /// Where the entry that a leaf names stands, if what it hides was given. It must be durable for that.
    fn named(
        &self,
        named: &Named,
        by: u64,
        group: &mut Vec<Proposal>,
        bytes: &mut usize,
    ) -> Result<Option<(Location, u64)>, Halt> {
        let fault =
            |(is_signed, cause): (bool, &str)| Halt::Fault(Fault { index: by, cause: cause.to_owned(), is_signed });
        // What waits for its commit stands in the order of indexes, without gaps.
        let begun = if let Some(Proposal::Copy(copy)) = group.first() { copy.index } else { by };
        let at = named.index.checked_sub(begun).and_then(|at| usize::try_from(at).ok());
        if let Some(Proposal::Copy(copy)) = at.and_then(|at| group.get(at)) {
            if matches!(copy.copied, Copied::Withheld { .. }) {
                return named.is(&copy.leaf, &copy.statement).map(|()| None).map_err(fault);
            }
            self.commit(group, bytes)?;
        }
        let unread = |error: io::Error| Halt::Own(format!("the tree does not read: {error}"));
        let behind = || Halt::Own("the trees are behind the journal".to_owned());
        let reader = self.services.store.trees().reader(Tree::Registry);
        if reader.size() <= named.index {
            return Err(behind());
        }
        let leaf = reader.row(0, named.index..named.index + 1).map_err(unread)?.first().copied().ok_or_else(behind)?;
        let place = reader.place(named.index).map_err(unread)?.ok_or_else(behind)?;
        let (kind, statement) = self.services.store.statement(place).map_err(|error| Halt::Own(error.to_string()))?;
        named.is(&leaf, &statement).map_err(fault)?;
        match kind {
            FrameKind::Entry => Ok(Some((place, named.index))),
            FrameKind::Withheld => Ok(None),
            _ => Err(fault((true, "what it names is no entry"))),
        }
    }

    fn commit(&self, group: &mut Vec<Proposal>, bytes: &mut usize) -> Result<(), Halt> {
        *bytes = 0;
        if group.is_empty() {
            return Ok(());
        }
        let proposals = std::mem::take(group);
        let first = if let Some(Proposal::Copy(copy)) = proposals.first() { copy.index } else { 0 };
        let outcomes = self.services.store.commit_blocking(proposals, false);
        let mut durable = 0;
        for (index, outcome) in (first..).zip(outcomes) {
            match outcome {
                Outcome::Committed(_) => durable += 1,
                other => {
                    self.told.committed(durable);
                    return Err(match other {
                        Outcome::Unfit(cause) => Halt::Fault(Fault { index, cause, is_signed: true }),
                        Outcome::Refused(refusal) => Halt::Refused(refusal),
                        other => Halt::Own(format!("statement {index} was not taken: {other:?}")),
                    });
                }
            }
        }
        self.told.committed(durable);
        Ok(())
    }
}
