//! Signed heads: who signs them here, or whose signature they bear, and the form in which the journal keeps them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sign::keys::SigningKey;
use crate::sign::note_signer::NoteSigner;
use crate::store::trees::{Heads, Tree};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::hash::{Head, empty_root};
use crate::tlog::note::{KeyKind, Note, NoteError, SignNote, SignatureLine, VerifierKey};

/// Behind the log's name, for the tree of the audit events.
const AUDIT_SUFFIX: &str = "/audit";

/// The key by which heads of the audit tree are checked, where this one is that of the log itself: the pair is the same, under
/// the name of the other tree.
pub fn audit_key(key: &VerifierKey) -> Result<VerifierKey, NoteError> {
    VerifierKey::new(&format!("{}{AUDIT_SUFFIX}", key.name()), key.kind(), *key.public())
}

/// The keys that sign heads, under the log's name.
pub struct LogSigner {
    registry: Signers,
    audit: Signers,
}

/// The same keys under one of the two names.
struct Signers {
    origin: String,
    signers: Vec<NoteSigner>,
    verifiers: Vec<VerifierKey>,
}

impl Signers {
    fn new(keys: &[Arc<SigningKey>], origin: String) -> Result<Signers, NoteError> {
        let named = keys.iter().map(|key| NoteSigner::new(&origin, KeyKind::Note, Arc::clone(key)));
        let signers = named.collect::<Result<Vec<_>, _>>()?;
        let verifiers = signers.iter().map(|signer| signer.verifier().clone()).collect();
        Ok(Signers { origin, signers, verifiers })
    }

    fn sign(&self, head: Head) -> Result<Note, NoteError> {
        let origin = self.origin.clone();
        let text = Checkpoint { origin, size: head.size, root: head.root, extensions: Vec::new() }.encode();
        let signers: Vec<&dyn SignNote> = self.signers.iter().map(|signer| signer as &dyn SignNote).collect();
        Note::sign(&text, &signers)
    }
}

impl LogSigner {
    /// All keys sign every head, so that a new one can be pinned before an old one goes.
    pub fn new(keys: Vec<SigningKey>, origin: &str) -> Result<LogSigner, NoteError> {
        let keys: Vec<Arc<SigningKey>> = keys.into_iter().map(Arc::new).collect();
        let audit = format!("{origin}{AUDIT_SUFFIX}");
        Ok(LogSigner { registry: Signers::new(&keys, origin.to_owned())?, audit: Signers::new(&keys, audit)? })
    }

    /// Keys of another node, whose heads are shown here as that node signed them.
    #[must_use]
    pub fn of_others(verifiers: Vec<VerifierKey>, origin: &str) -> LogSigner {
        let registry = Signers { origin: origin.to_owned(), signers: Vec::new(), verifiers };
        let audit = Signers { origin: format!("{origin}{AUDIT_SUFFIX}"), signers: Vec::new(), verifiers: Vec::new() };
        LogSigner { registry, audit }
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.registry.origin
    }

    /// The pair that signs the node's word for a moment, as it signs heads: the newest of them; `None` in a mirror.
    pub(in crate::services) fn pair(&self) -> Option<&SigningKey> {
        self.registry.signers.last().map(NoteSigner::pair)
    }

    /// The keys that others check heads of a tree by.
    #[must_use]
    pub fn verifiers(&self, tree: Tree) -> &[VerifierKey] {
        &self.of(tree).verifiers
    }

    fn of(&self, tree: Tree) -> &Signers {
        match tree {
            Tree::Registry => &self.registry,
            Tree::Audit => &self.audit,
        }
    }

    /// Signs both heads.
    pub fn publish(&self, heads: Heads) -> Result<Published, NoteError> {
        let registry = self.registry.sign(heads.registry)?;
        let audit = self.audit.sign(heads.audit)?;
        Ok(Published { heads, registry: registry.to_string(), audit: Some(audit.to_string()), note: registry })
    }

    /// Heads that were signed before, from the journal; `None` where they bear another name: the log had it before.
    #[must_use]
    pub fn read(&self, frame: &[u8]) -> Option<Published> {
        let kept: Kept = serde_json::from_slice(frame).ok()?;
        let read = |tree, text: &str| {
            let note = Note::parse(text).ok()?;
            let checkpoint =
                Checkpoint::of_note(&note).ok().filter(|checkpoint| checkpoint.origin == self.of(tree).origin)?;
            Some((note, checkpoint.head()))
        };
        let (note, registry) = read(Tree::Registry, &kept.registry)?;
        let audit = match &kept.audit {
            Some(text) => read(Tree::Audit, text)?.1,
            None => Head { size: 0, root: empty_root() },
        };
        Some(Published { heads: Heads { registry, audit }, registry: kept.registry, audit: kept.audit, note })
    }

    /// Whether heads are signed by the keys of now: by others, they are no longer to be shown.
    #[must_use]
    pub fn made(&self, published: &Published) -> bool {
        published.note.verify(&self.registry.verifiers).is_ok_and(|signed| !signed.is_empty())
    }
}

/// What a frame of the journal keeps of signed heads.
#[derive(Serialize, Deserialize)]
struct Kept {
    registry: String,
    /// Absent in a mirror, which has no audit tree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audit: Option<String>,
}

/// Signed heads of both trees.
#[derive(Clone, Debug)]
pub struct Published {
    pub heads: Heads,
    /// The notes, as they are given out.
    registry: String,
    audit: Option<String>,
    note: Note,
}

impl Published {
    /// A head of the registry that another node signed; the tree of audit events is not there.
    #[must_use]
    pub fn of_another(head: Head, note: Note) -> Published {
        let heads = Heads { registry: head, audit: Head { size: 0, root: empty_root() } };
        Published { heads, registry: note.to_string(), audit: None, note }
    }

    /// The note of a tree's head; empty where there is no such tree.
    #[must_use]
    pub fn checkpoint(&self, tree: Tree) -> &str {
        match tree {
            Tree::Registry => &self.registry,
            Tree::Audit => self.audit.as_deref().unwrap_or_default(),
        }
    }

    /// The head of a tree.
    #[must_use]
    pub fn head(&self, tree: Tree) -> Head {
        match tree {
            Tree::Registry => self.heads.registry,
            Tree::Audit => self.heads.audit,
        }
    }

    /// The registry's head with its signatures.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }

    /// What the journal keeps.
    pub fn frame(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Kept { registry: self.registry.clone(), audit: self.audit.clone() })
    }

    /// The same head with what witnesses have signed below it.
    #[must_use]
    pub fn cosigned(&self, lines: Vec<SignatureLine>) -> Published {
        let mut published = self.clone();
        for line in lines {
            published.note.add(line);
        }
        published.registry = published.note.to_string();
        published
    }
}
