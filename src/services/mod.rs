//! Stage 4: one file a verb. A service takes a [`Permitted`](crate::model::permitted::Permitted) request and reads as
//! five to seven calls into the stages below.
//!
//! - `resolve`: from a name to a record, through the cache. `history`: its versions. `compare`: what changed between two.
//! - `file`: applications for a prefix, and their review. `identity`: who stands behind one. `list`: records in the order of their keys.
//! - `register`, `precondition`, `once`: create, change, delete, mint. `reach`: what a caller may change. `import`: many at once, as a job.
//! - `operate`: the log and the configuration of a running node.
//! - `licence`: who may use a prefix, and whose signature counts there.
//! - `administer`, `api_keys`, `key_uses`, `token`: API keys, the bootstrap token. `sessions`: who signs in. `signed_requests`: who signs each request.
//!   `share`: who sees what of a record. `denials`: what was refused to whom. `signing_keys`: which key signs, and since when.
//! - `log`: what is published of the log, and proven. `bundle`: an answer with all its proofs. `publish`: who signs its heads.
//! - `changes`: the log with what it hides, as it grows. `trail`: who did what, of both trees. `backup`: the journal, for a copy of it. `origin`: how a restored log goes on.
//! - `follow`: a log elsewhere, which need not be trusted. `audit`: whether it is what it must be. `watch`: what an owner sees in it.
//!   `conduct`: whether what was done obeyed the rules, by the audit tree.
//! - `mirror`: another node's log, kept here.
//! - `witnesses`: those who are asked to cosign the log's heads.

pub mod administer;
mod api_keys;
pub mod audit;
pub mod backup;
pub mod bundle;
pub mod changes;
pub mod compare;
pub mod conduct;
mod denials;
pub mod erase;
pub mod error;
pub mod file;
pub mod follow;
pub mod history;
pub mod identity;
pub mod import;
mod key_uses;
pub mod licence;
pub mod list;
pub mod log;
pub mod mirror;
pub mod once;
pub mod operate;
pub mod origin;
mod precondition;
pub mod publish;
mod reach;
mod refusal;
pub mod register;
pub mod resolve;
pub mod sessions;
pub mod share;
pub mod signed_requests;
pub mod signing_keys;
mod token;
pub mod trail;
pub mod watch;
pub mod witnesses;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::model::draft::DraftLimits;
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::prefix::{PolicyRef, Prefixes};
use crate::model::record::Record;
use crate::sign::blinding::Blinding;
use crate::sign::entry::Signer;
use crate::sign::keys::SigningKey;
use crate::sign::sealing::Sealing;
use crate::store::cache::AnswerCache;
use crate::store::restored::Restored;
use crate::store::rows::RecordRow;
use crate::store::{Refusal, Store};

pub use error::ServiceError;

/// Encodes a resolution for the cache: what this stage needs of the codec above it.
pub trait EncodeResolution: Send + Sync + 'static {
    fn encode(&self, resolution: &resolve::Resolution) -> Vec<u8>;
}

/// What signs on behalf of the node.
pub struct Signing {
    pub key: SigningKey,
    pub issuer: String,
    pub blinding: Blinding,
    pub sealing: Sealing,
}

impl Signing {
    pub fn signer(&self) -> Signer<'_> {
        Signer { key: &self.key, issuer: &self.issuer, blinding: &self.blinding }
    }
}

/// What a node does for its log.
pub enum Duty {
    /// Registers, and signs what it registers.
    Signs(Box<Signing>),
    /// Shows another node's.
    Mirrors(mirror::Mirror),
}

/// The settings that services go by.
#[derive(Clone, Debug)]
pub struct ServiceSettings {
    pub draft_limits: DraftLimits,
    /// HTTP freshness of an answer, in seconds: not the record's ttl.
    pub max_age_seconds: u32,
    /// How long "unknown" is believed, in seconds.
    pub negative_seconds: u32,
    /// The node's data folder.
    pub data_folder: PathBuf,
    /// Where uploads and jobs lie.
    pub imports_folder: PathBuf,
    /// The most bytes of one line of an import.
    pub line_bytes: usize,
    /// The most bytes of one upload.
    pub import_bytes: u64,
    /// The same of a workbook, and of what it unpacks to.
    pub workbook_bytes: u64,
    pub workbook_unpacked_bytes: u64,
    pub json_depth: usize,
    /// Import jobs that run at the same time; more wait.
    pub parallel_imports: usize,
    /// Days after its end that a job is kept.
    pub import_keep_days: u64,
    /// How many reviewers must agree to a filing: 1 or 2.
    pub filing_approvals: u64,
    /// The most bytes of rejected rows that one job notes.
    pub import_error_bytes: u64,
}

/// All services over one store.
pub struct Services {
    pub store: Store,
    pub cache: Arc<AnswerCache>,
    pub log: log::Log,
    pub prefixes: Arc<Prefixes>,
    pub settings: ServiceSettings,
    pub(crate) duty: Duty,
    pub(crate) encoder: Arc<dyn EncodeResolution>,
    pub(crate) row_reader: Arc<dyn import::ReadRow>,
    pub(crate) table_reader: Arc<dyn import::ReadTable>,
    /// Idempotency keys of requests that are running: (principal, key).
    pub(crate) running: Mutex<HashSet<(String, String)>>,
    pub(crate) chains: licence::Chains,
    pub(crate) api_keys: api_keys::ApiKeys,
    pub(crate) key_uses: key_uses::KeyUses,
    pub(crate) sessions: sessions::Sessions,
    pub(crate) signed_requests: signed_requests::SignedRequests,
    pub(crate) denials: denials::Denials,
    /// Whose files are on their way.
    pub(crate) filing_busy: Mutex<HashSet<String>>,
    pub(crate) standings: file::Standings,
    pub(crate) grants: share::Grants,
    pub(crate) uses: share::Uses,
    /// Held while a prefix is allocated.
    pub(crate) allocating: tokio::sync::Mutex<()>,
    pub imports: import::Jobs,
    pub bootstrap: administer::Bootstrap,
    pub(crate) operator: Arc<dyn operate::Operate>,
}

/// What [`Services::new`] is made of.
pub struct Parts {
    pub store: Store,
    pub cache: Arc<AnswerCache>,
    pub log: log::Log,
    pub prefixes: Arc<Prefixes>,
    pub settings: ServiceSettings,
    pub duty: Duty,
    pub encoder: Arc<dyn EncodeResolution>,
    pub row_reader: Arc<dyn import::ReadRow>,
    pub table_reader: Arc<dyn import::ReadTable>,
    pub operator: Arc<dyn operate::Operate>,
}

/// A record as the store has it.
pub(crate) struct Standing {
    pub row: RecordRow,
    pub record: Record,
}

impl Services {
    #[must_use]
    pub fn new(parts: Parts) -> Services {
        Services {
            store: parts.store,
            cache: parts.cache,
            log: parts.log,
            prefixes: parts.prefixes,
            imports: import::Jobs::new(parts.settings.parallel_imports),
            key_uses: key_uses::KeyUses::load(&parts.settings.data_folder),
            sessions: sessions::Sessions::default(),
            signed_requests: signed_requests::SignedRequests::default(),
            denials: denials::Denials::default(),
            filing_busy: Mutex::default(),
            standings: file::Standings::default(),
            grants: share::Grants::default(),
            uses: share::Uses::default(),
            allocating: tokio::sync::Mutex::default(),
            settings: parts.settings,
            duty: parts.duty,
            encoder: parts.encoder,
            row_reader: parts.row_reader,
            table_reader: parts.table_reader,
            running: Mutex::default(),
            chains: licence::Chains::default(),
            api_keys: api_keys::ApiKeys::default(),
            bootstrap: administer::Bootstrap::default(),
            operator: parts.operator,
        }
    }

    /// What signs here; a mirror writes nothing.
    pub(crate) fn signing(&self) -> Result<&Signing, ServiceError> {
        match &self.duty {
            Duty::Signs(signing) => Ok(signing),
            Duty::Mirrors(mirror) => Err(ServiceError::MirrorReadOnly { origin: mirror.url.clone() }),
        }
    }

    /// What it shows of another node, if it is a mirror.
    #[must_use]
    pub fn mirror(&self) -> Option<&mirror::Mirror> {
        match &self.duty {
            Duty::Mirrors(mirror) => Some(mirror),
            Duty::Signs(_) => None,
        }
    }

    /// Whether it has anything to answer: a mirror has not before its first head, and would call every name unknown.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.mirror().is_none() || self.log.published().is_some()
    }

    /// Why there is no record under a name: nobody registered it, or this is a mirror that could not know.
    pub(crate) fn unknown(&self, identifier: &str) -> ServiceError {
        match self.mirror() {
            Some(mirror) if !mirror.is_granted => ServiceError::MirrorHoldsNoNames { origin: mirror.url.clone() },
            _ => ServiceError::Unknown { identifier: identifier.to_owned() },
        }
    }

    /// Whether it does more than answer everybody's reading; if not, where to ask.
    pub fn writes(&self) -> Result<(), ServiceError> {
        self.signing().map(|_| ())
    }

    /// Whether anything can be signed now: not while a restored log waits for its decision. Asked before a body is judged, so
    /// that nobody mends a request that no node could take.
    pub fn may_sign(&self) -> Result<(), ServiceError> {
        if self.store.restored().is_some_and(Restored::is_undecided) {
            return Err(ServiceError::Refused(Refusal::Undecided));
        }
        self.writes()
    }

    /// Reads an identifier as its prefix's policy compares it.
    pub fn identifier(&self, text: &str) -> Result<Identifier, ServiceError> {
        Ok(self.prefixes.keyed(Identifier::parse(text)?))
    }

    /// The policy of an identifier that can be registered here.
    pub(crate) fn policy(&self, identifier: &Identifier) -> Result<PolicyRef, ServiceError> {
        self.prefixes
            .responsible(identifier)
            .ok_or_else(|| ServiceError::NotResponsible { identifier: identifier.spelling().to_owned() })
    }

    /// The record that stands under this very key.
    pub(crate) fn standing(&self, key: &CanonicalKey) -> Result<Option<Standing>, ServiceError> {
        let Some(row) = self.store.row(key)? else {
            return Ok(None);
        };
        let record = self.store.record(&row).map_err(|error| ServiceError::of_reading(key.as_str(), error))?;
        Ok(Some(Standing { row, record }))
    }

    /// The record under this name, be it the identifier or an alias.
    pub(crate) fn named(&self, name: &CanonicalKey) -> Result<Option<Standing>, ServiceError> {
        if let Some(standing) = self.standing(name)? {
            return Ok(Some(standing));
        }
        match self.store.bearer(name)? {
            Some(bearer) => self.standing(&bearer),
            None => Ok(None),
        }
    }
}
