//! Register: create, change, delete, mint. Every change becomes one signed entry.
//!
//! Decide -> build and sign -> commit -> answer. What has moved between deciding and committing is decided again, a
//! bounded number of times; a caller who named a version is told at once.

use std::sync::Arc;
use std::time::Instant;

use super::once::FirstTime;
pub use super::precondition::Precondition;
use super::precondition::check;
use super::reach::{Author, names_within};
use super::{ServiceError, Services, Standing};
use crate::model::alias::Alias;
use crate::model::draft::{Draft, DraftPatch};
use crate::model::identifier::Identifier;
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::observe::laps::{Step, noted, timed, timed_async};
use crate::sign::entry;
use crate::store::journal::{Effect, Idempotency};
use crate::store::rows::{LeafHash, leaf_hash};
use crate::store::{Committed, EntryProposal, Expect, Outcome, Proposal, Refusal};

/// How often a change that nobody pinned to a version is decided anew.
const ATTEMPTS: usize = 8;

/// What is to be done to the record.
#[derive(Clone, Debug)]
pub enum Change {
    /// Its whole content.
    Put(Draft),
    Patch(DraftPatch),
    /// Leave a tombstone.
    Delete,
}

/// A change of one record.
#[derive(Clone, Debug)]
pub struct Register {
    pub identifier: String,
    pub change: Change,
    pub precondition: Precondition,
    pub idempotency: Option<Idempotency>,
}

impl Asks for Register {
    const ACTION: Action = Action::Register;
}

/// A new record under a suffix that the node chooses.
#[derive(Clone, Debug)]
pub struct Mint {
    pub prefix: String,
    pub draft: Draft,
    pub idempotency: Option<Idempotency>,
}

impl Asks for Mint {
    const ACTION: Action = Action::Register;
}

/// What has become of a change.
#[derive(Clone, Debug)]
pub struct Registered {
    /// As registered; absent when a repeated request asks for what was erased since.
    pub identifier: Option<String>,
    pub version: u64,
    pub effect: Effect,
    pub time: Timestamp,
    /// Index of the statement in the registry tree.
    pub index: u64,
    pub leaf: LeafHash,
    /// Whether an idempotency key brought back the first answer.
    pub repeated: bool,
}

/// A change that is decided: the record's next version, and what must still be true when it is committed.
pub(super) struct Decided {
    pub record: Record,
    pub expect: Expect,
    pub effect: Effect,
    /// The owner's own signature over the record, checked.
    owner_jws: Option<String>,
    /// By which licences and standings of prefixes it was decided.
    licences: u64,
}

impl Services {
    /// Creates, changes or deletes one record.
    pub async fn register(&self, asked: Permitted<Register>) -> Result<Registered, ServiceError> {
        let (principal, request) = asked.into_parts();
        let identifier = self.identifier(&request.identifier)?;
        self.reachable(&principal.scope, &identifier).map_err(|error| self.denied(&principal, error))?;
        let author = Author::from(&principal);
        let about = request.identifier.as_str();
        let _running = match self.first_time(&principal.id, request.idempotency.as_ref(), about)? {
            FirstTime::Yes(running) => running,
            FirstTime::No(registered) => return Ok(registered),
        };
        for _ in 0..ATTEMPTS {
            let decide = || self.decide(&identifier, request.change.clone(), &request.precondition, author);
            let decided = match timed(Step::Store, decide) {
                Ok(decided) => decided,
                // What is in the way may be this very request, sent before by a client that went away.
                Err(error) => {
                    let done = self.done_before(&principal.id, request.idempotency.as_ref(), about)?;
                    return done.ok_or_else(|| self.denied(&principal, error));
                }
            };
            let propose = || self.propose(decided, author, request.idempotency.clone());
            let proposal = timed(Step::Sign, propose)?;
            match timed_async(Step::Store, self.commit_one(proposal)).await? {
                Attempt::Done(registered) => return Ok(registered),
                Attempt::Moved => {}
            }
        }
        Err(ServiceError::Conflict { identifier: request.identifier })
    }

    /// Registers a record under a new suffix.
    pub async fn mint(&self, asked: Permitted<Mint>) -> Result<Registered, ServiceError> {
        let (principal, request) = asked.into_parts();
        let author = Author::from(&principal);
        // What a repeated request has minted is in the entry alone.
        let about = request.idempotency.as_ref().map_or("", |idempotency| idempotency.key.as_str());
        let _running = match self.first_time(&principal.id, request.idempotency.as_ref(), about)? {
            FirstTime::Yes(running) => running,
            FirstTime::No(registered) => return Ok(registered),
        };
        for _ in 0..ATTEMPTS {
            let identifier = self.minted(&request.prefix)?;
            self.reachable(&principal.scope, &identifier).map_err(|error| self.denied(&principal, error))?;
            if self.standing(identifier.key())?.is_some() {
                continue;
            }
            let change = Change::Put(request.draft.clone());
            let decided = timed(Step::Store, || self.decide(&identifier, change, &Precondition::CreateOnly, author));
            let decided = decided.map_err(|error| self.denied(&principal, error))?;
            let propose = || self.propose(decided, author, request.idempotency.clone());
            let proposal = timed(Step::Sign, propose)?;
            match timed_async(Step::Store, self.commit_one(proposal)).await? {
                Attempt::Done(registered) => return Ok(registered),
                Attempt::Moved => {}
            }
        }
        Err(ServiceError::Conflict { identifier: request.prefix })
    }

    fn minted(&self, prefix: &str) -> Result<Identifier, ServiceError> {
        let prefix = prefix.to_ascii_lowercase();
        let fill = |bytes: &mut [u8]| {
            // Without randomness two suffixes may meet: the store then says "exists", and another is drawn.
            let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), bytes);
        };
        let suffix = self
            .prefixes
            .mint_suffix(&prefix, Timestamp::now(), fill)
            .ok_or_else(|| ServiceError::NotResponsible { identifier: prefix.clone() })?;
        self.identifier(&format!("{prefix}/{suffix}"))
    }

    fn decide(
        &self,
        identifier: &Identifier,
        change: Change,
        precondition: &Precondition,
        author: Author<'_>,
    ) -> Result<Decided, ServiceError> {
        let standing = self.standing(identifier.key())?;
        check(precondition, standing.as_ref(), &change, identifier)?;
        self.next(identifier, change, standing.as_ref(), author)
    }

    /// The record's next version. Preconditions have been checked.
    pub(super) fn next(
        &self,
        identifier: &Identifier,
        change: Change,
        standing: Option<&Standing>,
        author: Author<'_>,
    ) -> Result<Decided, ServiceError> {
        let Some(standing) = standing else {
            let Change::Put(draft) = change else {
                return Err(ServiceError::Unknown { identifier: identifier.spelling().to_owned() });
            };
            return self.first(identifier.clone(), draft, author);
        };
        let licences = self.store.licences_seen();
        self.may_register_under(identifier.prefix())?;
        // A clock that was set back must not order versions backwards.
        let now = Timestamp::now().max(standing.record.updated);
        let mut draft = match change {
            Change::Put(draft) => Some(draft),
            Change::Patch(patch) => {
                let limits = &self.settings.draft_limits;
                Some(patch.apply_to(standing.record.to_draft(), limits).map_err(ServiceError::Fields)?)
            }
            Change::Delete => None,
        };
        let owner_jws = draft.as_mut().and_then(|draft| draft.owner_jws.take());
        let mut record = draft.map_or_else(|| standing.record.tombstone(now), |draft| standing.record.next(draft, now));
        let (from, to) = (standing.record.status, record.status);
        if !from.may_become(to) {
            return Err(ServiceError::StatusStep { from, to });
        }
        // Where the key is one either way, the policy may have changed since: the entry says how names compare from now on.
        let compared = self.identifier(record.identifier.spelling())?;
        if compared.key() == record.identifier.key() {
            record.identifier = compared;
        }
        names_within(author.scope, &record, Some(&standing.record))?;
        self.may_bear(&record, Some(&standing.record))?;
        self.complete(&mut record)?;
        self.check_owner(&record, owner_jws.as_deref())?;
        let effect = if record.is_tombstone() { Effect::Deleted } else { Effect::Updated };
        let expect = Expect::At { version: standing.row.version, leaf: standing.row.leaf };
        Ok(Decided { record, expect, effect, owner_jws, licences })
    }

    /// The first version of a record that does not stand yet.
    pub(super) fn first(
        &self,
        identifier: Identifier,
        mut draft: Draft,
        author: Author<'_>,
    ) -> Result<Decided, ServiceError> {
        let licences = self.store.licences_seen();
        self.may_register_under(identifier.prefix())?;
        let owner_jws = draft.owner_jws.take();
        let mut record = Record::first(identifier, draft, Timestamp::now());
        names_within(author.scope, &record, None)?;
        self.may_bear(&record, None)?;
        self.complete(&mut record)?;
        self.check_owner(&record, owner_jws.as_deref())?;
        Ok(Decided { record, expect: Expect::Absent, effect: Effect::Created, owner_jws, licences })
    }

    /// Whether the prefixes of names that the record did not bear before take anything now.
    fn may_bear(&self, record: &Record, standing: Option<&Record>) -> Result<(), ServiceError> {
        let bears = |alias: &Alias| standing.is_some_and(|standing| standing.aliases.contains(alias));
        let mut holders =
            record.aliases.iter().filter(|alias| !bears(alias)).filter_map(|alias| alias.identifier().holder());
        holders.try_for_each(|holder| self.may_register_under(holder))
    }

    /// Fills in what the prefix says.
    fn complete(&self, record: &mut Record) -> Result<(), ServiceError> {
        let policy = self.policy(&record.identifier)?;
        if record.registrant.is_none() && !policy.registrant.is_empty() {
            record.registrant = Some(policy.registrant.clone());
        }
        Ok(())
    }

    /// Builds and signs the entry.
    pub(super) fn propose(
        &self,
        decided: Decided,
        author: Author<'_>,
        idempotency: Option<Idempotency>,
    ) -> Result<EntryProposal, ServiceError> {
        let Decided { record, expect, effect, owner_jws, licences } = decided;
        let log = self.policy(&record.identifier)?.log;
        let prev = match &expect {
            Expect::Absent => None,
            Expect::At { leaf, .. } => Some(leaf),
        };
        let signer = self.signing()?.signer();
        let signed = signer.entry(&record, log, prev, owner_jws.as_deref()).map_err(|error| match error {
            entry::EntryError::TooLarge { .. } => ServiceError::EntryTooLarge(error.to_string()),
            other => ServiceError::Internal(other.to_string()),
        })?;
        Ok(EntryProposal {
            expect,
            sid: signed.sid,
            leaf: leaf_hash(signed.statement.as_bytes()),
            disclosures: signed.disclosures.into_bytes(),
            statement: signed.statement.into_bytes(),
            time: record.updated.as_seconds(),
            registered: record.registered.as_seconds(),
            effect,
            principal: author.id.to_owned(),
            idempotency,
            job: None,
            licences,
            record: Arc::new(record),
        })
    }

    async fn commit_one(&self, proposal: EntryProposal) -> Result<Attempt, ServiceError> {
        let (record, effect) = (Arc::clone(&proposal.record), proposal.effect);
        let request = proposal.idempotency.as_ref().map(|idempotency| idempotency.request);
        let sent = Instant::now();
        let outcome = self.store.commit(vec![Proposal::Entry(proposal)], false).await.pop();
        if let Some(Outcome::Committed(Committed { begun, durable, .. })) = &outcome {
            noted(Step::Queue, sent, *begun);
            noted(Step::Journal, *begun, *durable);
        }
        if let Some(Outcome::Repeated(row)) = &outcome
            && Some(row.request) != request
        {
            return Err(ServiceError::IdempotencyMismatch);
        }
        self.judge(outcome, &record, effect)
    }

    /// What an outcome means to who asked.
    pub(super) fn judge(
        &self,
        outcome: Option<Outcome>,
        record: &Record,
        effect: Effect,
    ) -> Result<Attempt, ServiceError> {
        match outcome {
            Some(Outcome::Committed(done)) => Ok(Attempt::Done(registered(record, effect, &done))),
            Some(Outcome::Moved(_)) => Ok(Attempt::Moved),
            Some(Outcome::AliasTaken { alias, .. }) => Err(ServiceError::AliasTaken { alias }),
            Some(Outcome::Repeated(row)) => self.repeated(&row, record.identifier.spelling()).map(Attempt::Done),
            Some(Outcome::Exists) => Err(ServiceError::IdempotencyRunning),
            Some(Outcome::Erased) => Err(ServiceError::Gone { identifier: record.identifier.spelling().to_owned() }),
            Some(Outcome::Damaged(cause)) => {
                Err(ServiceError::RecordDamaged { identifier: record.identifier.spelling().to_owned(), cause })
            }
            Some(Outcome::Withdrawn | Outcome::Unfit(_)) => {
                Err(ServiceError::Conflict { identifier: record.identifier.spelling().to_owned() })
            }
            Some(Outcome::Refused(refusal)) => Err(ServiceError::Refused(refusal)),
            None => Err(ServiceError::Refused(Refusal::Stopping)),
        }
    }
}

pub(super) enum Attempt {
    Done(Registered),
    Moved,
}

fn registered(record: &Record, effect: Effect, done: &Committed) -> Registered {
    Registered {
        identifier: Some(record.identifier.spelling().to_owned()),
        version: record.version,
        effect,
        time: record.updated,
        index: done.index,
        leaf: done.leaf,
        repeated: false,
    }
}
