//! What a service asks the sequencer to commit, and what it is told.

use std::sync::Arc;
use std::time::Instant;

use super::journal::{Effect, FrameKind, Idempotency, JobTag, JournalError, Location};
use super::rows::{LeafHash, RecordRow, RequestRow};
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;

/// What must be true of the identifier at the moment of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It was never registered.
    Absent,
    /// It stands at this version, whose leaf has this hash.
    At { version: u64, leaf: LeafHash },
}

/// A signed entry, ready for the journal.
#[derive(Clone, Debug)]
pub struct EntryProposal {
    pub record: Arc<Record>,
    pub expect: Expect,
    /// The blinded name, as in the statement.
    pub sid: [u8; 32],
    pub statement: Vec<u8>,
    /// The statement's hash, which the caller has computed: many sign beside one another, and one thread commits.
    pub leaf: LeafHash,
    pub disclosures: Vec<u8>,
    /// Epoch seconds, as in the statement's `iat`.
    pub time: i64,
    /// When version 1 was registered.
    pub registered: i64,
    pub effect: Effect,
    pub principal: String,
    pub idempotency: Option<Idempotency>,
    /// The job that it is a row of.
    pub job: Option<JobTag>,
    /// What [`super::Store::licences_seen`] said before it was decided who may sign it: other licences, another decision.
    pub licences: u64,
}

/// Any other signed statement.
#[derive(Clone, Debug)]
pub struct StatementProposal {
    pub kind: FrameKind,
    pub statement: Vec<u8>,
    /// What is kept beside it and in no tree; mostly nothing.
    pub disclosures: Vec<u8>,
    pub time: i64,
    pub principal: String,
}

/// A statement of another node's registry, kept here as it is there: signed by that node, at the same index.
#[derive(Clone, Debug)]
pub struct CopyProposal {
    /// Its index there, and the one that it must get here.
    pub index: u64,
    pub statement: Vec<u8>,
    /// Its hash, which the caller has computed.
    pub leaf: LeafHash,
    /// Epoch seconds, as that node has it.
    pub time: i64,
    pub copied: Copied,
}

/// What a copied statement is.
#[derive(Clone, Debug)]
pub enum Copied {
    /// A record's version with what it hides.
    Entry {
        record: Arc<Record>,
        sid: [u8; 32],
        /// The leaf of the version before.
        prev: Option<LeafHash>,
        disclosures: Vec<u8>,
        /// When version 1 was registered.
        registered: i64,
        effect: Effect,
    },
    /// A record's version whose disclosures were not given. Where the version before it was, that one's frame here and its
    /// index: it stands no longer, and neither do its names.
    Withheld { version: u64, supersedes: Option<(Location, u64)> },
    /// About keys or names.
    Statement,
    /// What it erases, where that is known: the frame here and its index.
    Erasure { erased: Option<(Location, u64)> },
}

/// One change that is asked for.
#[derive(Clone, Debug)]
pub enum Proposal {
    Entry(EntryProposal),
    /// Committed unless a row that it would make exists already.
    Statement(StatementProposal),
    /// Erases every version of an identifier: one statement a version, the newest first.
    Erase {
        key: CanonicalKey,
        statements: Vec<StatementProposal>,
    },
    /// One leaf of another node's registry, which a mirror keeps.
    Copy(CopyProposal),
}

impl Proposal {
    /// Bytes that it will take in the journal, at most.
    pub fn bytes(&self) -> usize {
        256 + match self {
            Proposal::Entry(entry) => {
                let key = entry.idempotency.as_ref().map_or(0, |idempotency| idempotency.key.len());
                entry.statement.len() + entry.disclosures.len() + entry.principal.len() + key
            }
            Proposal::Statement(proposal) => {
                proposal.statement.len() + proposal.disclosures.len() + proposal.principal.len()
            }
            Proposal::Copy(copy) => {
                let hidden = if let Copied::Entry { disclosures, .. } = &copy.copied { disclosures.len() } else { 0 };
                copy.statement.len() + hidden
            }
            Proposal::Erase { statements, .. } => {
                statements.iter().map(|proposal| 256 + proposal.statement.len() + proposal.principal.len()).sum()
            }
        }
    }
}

/// What became of one proposal.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Durable and visible.
    Committed(Committed),
    /// The identifier has moved on: it stands at this row now (`None`: it does not exist), or a licence was given or ended
    /// since. Decide, build and sign anew, or give up.
    Moved(Option<RecordRow>),
    /// Another identifier has this name, as its own or as an alias.
    AliasTaken { alias: CanonicalKey, bearer: CanonicalKey },
    /// A request with this idempotency key was committed before.
    Repeated(RequestRow),
    /// A row that the statement would make exists.
    Exists,
    /// The identifier was erased and is never given out again.
    Erased,
    /// What stands in the journal under this identifier cannot be read, so nothing can follow it: the cause. Nothing was
    /// written, and nobody else is concerned.
    Damaged(String),
    /// A copied statement does not fit what stands here: the cause. Nothing was written.
    Unfit(String),
    /// Another proposal of the same atomic commit failed.
    Withdrawn,
    /// The group that holds it was refused as a whole; nothing was written.
    Refused(Refusal),
}

/// A change that is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub sequence: u64,
    pub location: Location,
    /// Index of the statement in its tree.
    pub index: u64,
    pub leaf: LeafHash,
    /// When its group's turn came, and when that was durable.
    pub begun: Instant,
    pub durable: Instant,
}

/// Why the store takes no writes. Reads go on in every case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The queue is full: ask again in a moment.
    Busy,
    /// The disk is full: free some space, then write again.
    Full { needed_bytes: u64 },
    /// A read failed while the proposal was checked. Nothing of it was written, and it may be tried again.
    ReadFailed(String),
    /// The entries do not fit into one group.
    TooLarge { bytes: usize, limit: usize },
    /// A disk or a record store failed. The node must be restarted; what was asked may or may not be durable.
    Poisoned(String),
    /// The log was restored from a backup, and the operator has not decided how it goes on.
    Undecided,
    /// The node is stopping.
    Stopping,
}

impl Refusal {
    pub(super) fn of_journal(error: &JournalError) -> Refusal {
        match error {
            JournalError::Full { needed } => Refusal::Full { needed_bytes: *needed },
            JournalError::GroupTooLarge { bytes, segment_bytes } => {
                Refusal::TooLarge { bytes: *bytes, limit: super::journal::group_limit(*segment_bytes) }
            }
            other => Refusal::Poisoned(other.to_string()),
        }
    }
}
