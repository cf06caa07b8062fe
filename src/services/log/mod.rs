//! The log as it is published: its newest signed heads, and what can be proven against them.
//!
//! - `heads`: who signs them, and what they are.

mod heads;

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::watch;

pub use self::heads::{LogSigner, Published, audit_key};
use super::{ServiceError, Services};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::store::Refusal;
use crate::store::trees::{Tree, TreeReader};
use crate::tlog::hash::{Hash, Head, leaf_hash};
use crate::tlog::log_proof::LogProof;
use crate::tlog::proof::{self, check_consistency, check_inclusion};
use crate::tlog::tile::{self, Content, Tile};

/// What is published of the log now.
pub struct Log {
    signer: LogSigner,
    published: RwLock<Option<Arc<Published>>>,
    /// Leaves of the registry that the newest head covers, for those who wait for theirs.
    covered: watch::Sender<u64>,
    /// Who listens to what is added to it.
    pub listeners: Arc<AtomicUsize>,
}

impl Log {
    #[must_use]
    pub fn new(signer: LogSigner) -> Log {
        Log { signer, published: RwLock::default(), covered: watch::Sender::new(0), listeners: Arc::default() }
    }

    /// Who signs.
    #[must_use]
    pub fn signer(&self) -> &LogSigner {
        &self.signer
    }

    /// The newest heads; `None` before the first.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.published.read().clone()
    }

    /// From now on these are the newest. They must be durable.
    pub(in crate::services) fn show(&self, published: Published) {
        let size = published.heads.registry.size;
        *self.published.write() = Some(Arc::new(published));
        self.covered.send_replace(size);
    }

    /// The newest heads once they cover a leaf of the registry; `None` where that takes too long.
    pub async fn covering(&self, index: u64, patience: Duration) -> Option<Arc<Published>> {
        let mut covered = self.covered.subscribe();
        let waited = tokio::time::timeout(patience, covered.wait_for(|size| *size > index)).await;
        waited.ok()?.ok()?;
        self.published()
    }
}

/// A question about the log that anybody may ask.
#[derive(Clone, Debug)]
pub enum AskLog {
    /// One tile or bundle.
    Tile(Tile),
    /// That the tree of one size is the beginning of that of another; without the second: of the newest head.
    Consistency { from: u64, to: Option<u64> },
    /// That a leaf is in the tree of a size; without a size: of the newest head.
    Inclusion { index: u64, size: Option<u64> },
}

impl Asks for AskLog {
    const ACTION: Action = Action::Read;
}

/// The same about the tree of audit events, which auditors may ask.
#[derive(Clone, Debug)]
pub struct AskAudit(pub Tile);

impl Asks for AskAudit {
    const ACTION: Action = Action::Audit;
}

/// That one head continues another.
#[derive(Clone, Debug)]
pub struct Consistency {
    pub from: Head,
    pub to: Head,
    pub hashes: Vec<Hash>,
}

/// That a leaf is in the log.
#[derive(Clone, Debug)]
pub struct Inclusion {
    pub index: u64,
    pub head: Head,
    pub hashes: Vec<Hash>,
    /// The signed head, where it is the newest one that was asked for.
    pub published: Option<Arc<Published>>,
}

impl Inclusion {
    /// As the file that anybody's verifier reads (C2SP tlog-proof); `None` without a signed head.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        let checkpoint = self.published.as_ref()?.note().clone();
        Some(LogProof { extra: None, index: self.index, hashes: self.hashes.clone(), checkpoint }.encode())
    }
}

impl Services {
    /// The newest heads.
    pub fn heads(&self) -> Result<Arc<Published>, ServiceError> {
        self.log.published().ok_or(ServiceError::NotInLog)
    }

    /// A tile of the registry that the newest head covers.
    pub fn log_tile(&self, asked: &Permitted<AskLog>) -> Result<Vec<u8>, ServiceError> {
        match asked.request() {
            AskLog::Tile(tile) => self.tile(Tree::Registry, tile),
            _ => Err(ServiceError::NotInLog),
        }
    }

    /// A tile of the audit tree that the newest head covers.
    pub fn audit_tile(&self, asked: &Permitted<AskAudit>) -> Result<Vec<u8>, ServiceError> {
        self.tile(Tree::Audit, &asked.request().0)
    }

    fn tile(&self, tree: Tree, tile: &Tile) -> Result<Vec<u8>, ServiceError> {
        let size = self.heads()?.head(tree).size;
        if tile.needed().is_none_or(|needed| needed > size) {
            return Err(ServiceError::NotInLog);
        }
        let reader = self.store.trees().reader(tree);
        match tile.content {
            Content::Hashes(_) => hashes_of(&reader, tile),
            Content::Entries => self.statements_of(&reader, tile),
        }
    }

    /// The entries themselves, each compared with its leaf: what rotted is not given out.
    fn statements_of(&self, reader: &TreeReader<'_>, tile: &Tile) -> Result<Vec<u8>, ServiceError> {
        let begin = tile.number * tile::TILE_WIDTH;
        let leaves = reader.row(0, begin..begin + tile.width).map_err(unread)?;
        let places = reader.places(begin, tile.width).map_err(unread)?;
        if places.len() != leaves.len() {
            return Err(rotten("the places of the tree's leaves"));
        }
        let mut bundle = Vec::new();
        for (leaf, place) in leaves.iter().zip(places) {
            let (_, statement) = self.store.statement(place)?;
            if leaf_hash(&statement) != *leaf {
                return Err(rotten("a statement in the journal, or its place in the tree"));
            }
            tile::put_entry(&mut bundle, &statement).ok_or_else(|| rotten("an entry's length"))?;
        }
        Ok(bundle)
    }

    /// That one head continues another.
    pub fn log_consistency(&self, asked: &Permitted<AskLog>) -> Result<Consistency, ServiceError> {
        let AskLog::Consistency { from, to } = *asked.request() else {
            return Err(ServiceError::NotInLog);
        };
        let newest = self.heads()?.heads.registry;
        let to = to.unwrap_or(newest.size);
        if to > newest.size || from > to {
            return Err(ServiceError::NotInLog);
        }
        let reader = self.store.trees().reader(Tree::Registry);
        let (from, to) = (head_at(&reader, from, &newest)?, head_at(&reader, to, &newest)?);
        let hashes = proof::consistency(&reader, from.size, to.size).map_err(unread)?;
        if !check_consistency(&from, &to, &hashes) {
            return Err(rotten("a hash of the tree"));
        }
        Ok(Consistency { from, to, hashes })
    }

    /// That a leaf is in the log, with the newest head or with the tree of an earlier size.
    pub fn log_inclusion(&self, asked: &Permitted<AskLog>) -> Result<Inclusion, ServiceError> {
        let AskLog::Inclusion { index, size } = *asked.request() else {
            return Err(ServiceError::NotInLog);
        };
        let published = self.heads()?;
        let newest = published.heads.registry;
        let size = size.unwrap_or(newest.size);
        if size > newest.size || index >= size {
            return Err(ServiceError::NotInLog);
        }
        if size == newest.size {
            return self.proof_under(&published, index);
        }
        let reader = self.store.trees().reader(Tree::Registry);
        let head = head_at(&reader, size, &newest)?;
        Ok(Inclusion { index, head, hashes: proven(&reader, index, &head)?, published: None })
    }

    /// The same for a leaf that a head covers already.
    pub fn proof_under(&self, published: &Arc<Published>, index: u64) -> Result<Inclusion, ServiceError> {
        let head = published.heads.registry;
        let reader = self.store.trees().reader(Tree::Registry);
        let hashes = proven(&reader, index, &head)?;
        Ok(Inclusion { index, head, hashes, published: Some(Arc::clone(published)) })
    }
}

/// The head at a size, shown to be the beginning of the one that is signed: both its root and a proof would else come from the
/// same bytes, rotten or not.
fn head_at(reader: &TreeReader<'_>, size: u64, newest: &Head) -> Result<Head, ServiceError> {
    let head = Head { size, root: proof::root(reader, size).map_err(unread)? };
    let hashes = proof::consistency(reader, size, newest.size).map_err(unread)?;
    check_consistency(&head, newest, &hashes).then_some(head).ok_or_else(|| rotten("a hash of the tree"))
}

fn hashes_of(reader: &TreeReader<'_>, tile: &Tile) -> Result<Vec<u8>, ServiceError> {
    let nodes: Vec<_> = tile.nodes().collect();
    let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else {
        return Err(ServiceError::NotInLog);
    };
    let hashes = reader.row(first.level, first.number..last.number + 1).map_err(unread)?;
    if !tile::adds_up(tile, &hashes, reader).map_err(unread)? {
        return Err(rotten("a hash of the tree"));
    }
    Ok(hashes.concat())
}

/// A proof that was tried: a file of hashes that rotted makes an error here, never a wrong proof there.
fn proven(reader: &TreeReader<'_>, index: u64, head: &Head) -> Result<Vec<Hash>, ServiceError> {
    let hashes = proof::inclusion(reader, index, head.size).map_err(unread)?;
    let leaf = reader.row(0, index..index + 1).map_err(unread)?;
    let is_right = leaf.first().is_some_and(|leaf| check_inclusion(leaf, index, head, &hashes));
    is_right.then_some(hashes).ok_or_else(|| rotten("a hash of the tree"))
}

pub(super) fn unread(error: io::Error) -> ServiceError {
    ServiceError::Refused(Refusal::ReadFailed(error.to_string()))
}

pub(super) fn rotten(what: &str) -> ServiceError {
    ServiceError::Internal(format!(
        "{what} is not what was written: stop the node, remove trees.mark beside the journal, start it again"
    ))
}
