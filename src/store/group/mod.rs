//! A group under construction: preconditions are checked again here, against the record store and what the group holds already.
//!
//! - `copy`: what a mirror takes over from its origin.

mod copy;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ReadStatement;
use super::apply::{self, ApplyError, Before};
use super::engine::{Engine, Mark, Table};
use super::journal::{FrameContent, FrameKind, JournalError, Location, Meta, Reader};
use super::proposal::{EntryProposal, Expect, Outcome, Proposal, Refusal, StatementProposal};
use super::rows::{LeafHash, RecordRow, RequestRow, leaf_hash};
use crate::model::alias::Alias;
use crate::model::identifier::CanonicalKey;
use crate::model::record::Record;
use crate::tlog::tile::ENTRY_BYTES;

/// A frame that will be appended, and what applying it needs.
pub(super) struct Pending {
    pub content: FrameContent,
    pub meta: Meta,
    pub record: Option<Arc<Record>>,
    /// The version before, where it is committed: read while the proposal could still be refused.
    pub before: Option<Box<Before>>,
    pub leaf: LeafHash,
}

/// Somebody who waits for this group.
pub(super) struct Waiting {
    pub planned: Vec<Planned>,
    pub answer: oneshot::Sender<Vec<Outcome>>,
}

/// A proposal's fate before the fsync.
pub(super) enum Planned {
    /// The frame of the group that answers it (the last, where it makes several).
    Frame(usize),
    Not(Outcome),
}

/// The frames of the next fsync, and an overlay of what they change, so that one identifier may occur twice.
#[derive(Default)]
pub(super) struct Group {
    pub frames: Vec<Pending>,
    pub bytes: usize,
    pub waiting: Vec<Waiting>,
    heads: HashMap<CanonicalKey, Head>,
    /// Who bears a name after this group; `None`: it was given up, and is free.
    aliases: HashMap<CanonicalKey, Option<CanonicalKey>>,
    requests: HashSet<Vec<u8>>,
    rows: HashSet<(Table, Vec<u8>)>,
    /// Whether it changes who is licensed what: nothing that was decided before may follow it here.
    changes_licences: bool,
    /// Identifiers that this group erases: nothing more happens to them.
    erased: HashSet<CanonicalKey>,
    /// Identifiers under which nothing stands any more, since a version of them was kept back from this mirror.
    kept_back: HashSet<CanonicalKey>,
    /// Leaves of the registry among the frames.
    leaves: u64,
}

struct Head {
    version: u64,
    leaf: LeafHash,
    frame: usize,
}

/// Where the version before is: in this group, or committed and read.
#[derive(Default)]
struct Preceding {
    frame: Option<usize>,
    before: Option<Box<Before>>,
}

/// Where the planner reads what is committed.
pub(super) struct Committed<'a> {
    pub engine: &'a dyn Engine,
    pub journal: &'a Reader,
    pub statements: &'a dyn ReadStatement,
    /// What the engine holds by number, so that nobody looks for what is not there.
    pub mark: &'a Mark,
    /// Leaves of the registry before this group.
    pub registry_size: u64,
    /// How often licences have changed since the store was opened.
    pub licences: u64,
}

impl Group {
    /// Checks one proposal and takes it in, or says why not.
    pub fn plan(&mut self, proposal: Proposal, committed: &Committed<'_>) -> Planned {
        let planned = match proposal {
            Proposal::Entry(entry) => self.entry(entry, committed),
            Proposal::Statement(statement) => self.statement(statement, committed),
            Proposal::Erase { key, statements } => self.erase(&key, statements, committed),
            Proposal::Copy(copy) => self.copy(copy, committed),
        };
        // Nothing was written yet, so nothing is in doubt: only this proposal goes without an answer to its question.
        let planned = planned.unwrap_or_else(|error| {
            Planned::Not(match error {
                ApplyError::Row(_) => Outcome::Damaged(error.to_string()),
                _ => Outcome::Refused(Refusal::ReadFailed(error.to_string())),
            })
        });
        if let Planned::Not(Outcome::Damaged(cause) | Outcome::Refused(Refusal::ReadFailed(cause))) = &planned {
            tracing::error!(cause, "a proposal could not be checked, and is refused");
        }
        planned
    }

    fn entry(&mut self, entry: EntryProposal, committed: &Committed<'_>) -> Result<Planned, ApplyError> {
        if self.changes_licences || entry.licences != committed.licences {
            return Ok(Planned::Not(Outcome::Moved(None)));
        }
        let key = entry.record.identifier.key().clone();
        let request = entry.idempotency.as_ref().map(|idempotency| RequestRow::key(&entry.principal, &idempotency.key));
        if let Some(outcome) = self.asked_before(request.as_deref(), entry.time, committed)? {
            return Ok(Planned::Not(outcome));
        }
        let mut meta = Meta {
            previous: None,
            previous_index: 0,
            version: entry.record.version,
            registered: entry.registered,
            time: entry.time,
            effect: entry.effect,
            principal: entry.principal,
            idempotency: entry.idempotency,
            job: entry.job,
        };
        if entry.expect == Expect::Absent
            && committed.mark.erased > 0
            && committed.engine.read(Table::Erased, &entry.sid)?.is_some()
        {
            return Ok(Planned::Not(Outcome::Erased));
        }
        let preceding = match self.preceding(&entry.expect, &key, &mut meta, committed)? {
            Ok(preceding) => preceding,
            Err(outcome) => return Ok(Planned::Not(outcome)),
        };
        if let Some(outcome) = self.names(&entry.record, committed)? {
            return Ok(Planned::Not(outcome));
        }
        self.give_and_take(&entry.record, &preceding);
        // Only what is taken in holds its idempotency key.
        self.requests.extend(request);
        let leaf = entry.leaf;
        let frame = self.frames.len();
        self.heads.insert(key, Head { version: entry.record.version, leaf, frame });
        self.push(Pending {
            content: FrameContent {
                kind: FrameKind::Entry,
                meta: meta.encode(),
                statement: entry.statement,
                disclosures: entry.disclosures,
                previous_in_group: preceding.frame,
            },
            meta,
            record: Some(entry.record),
            before: preceding.before,
            leaf,
        });
        Ok(Planned::Frame(frame))
    }

    /// Whether a request with this row's key was committed before, or waits in this very group.
    fn asked_before(
        &self,
        request: Option<&[u8]>,
        now: i64,
        committed: &Committed<'_>,
    ) -> Result<Option<Outcome>, ApplyError> {
        let Some(request) = request else {
            return Ok(None);
        };
        let before = committed.engine.read(Table::Request, request)?.and_then(|bytes| RequestRow::decode(&bytes));
        if let Some(row) = before.filter(|row| row.remembered(now)) {
            return Ok(Some(Outcome::Repeated(row)));
        }
        Ok(self.requests.contains(request).then_some(Outcome::Exists))
    }

    /// The version before: noted in the meta, or a frame of this group. The inner error says that it has moved on, or
    /// cannot be read.
    fn preceding(
        &self,
        expect: &Expect,
        key: &CanonicalKey,
        meta: &mut Meta,
        committed: &Committed<'_>,
    ) -> Result<Result<Preceding, Outcome>, ApplyError> {
        if self.erased.contains(key) {
            return Ok(Err(Outcome::Moved(None)));
        }
        if let Some(head) = self.heads.get(key) {
            let there = Expect::At { version: head.version, leaf: head.leaf };
            let preceding = Preceding { frame: Some(head.frame), before: None };
            return Ok(if *expect == there { Ok(preceding) } else { Err(Outcome::Moved(None)) });
        }
        let row = committed.record_row(key)?;
        Ok(match (expect, &row) {
            (Expect::Absent, None) => Ok(Preceding::default()),
            (Expect::At { version, leaf }, Some(row)) if row.version == *version && row.leaf == *leaf => {
                meta.previous = Some(row.location);
                meta.previous_index = row.index;
                committed.proved(row).map(|before| Preceding { frame: None, before: Some(before) })
            }
            _ => Err(Outcome::Moved(row)),
        })
    }

    /// Every name of the record must be its own: no other record's identifier, no other record's alias.
    fn names(&self, record: &Record, committed: &Committed<'_>) -> Result<Option<Outcome>, ApplyError> {
        let key = record.identifier.key();
        if let Some(bearer) = self.bearer(key, committed)?.filter(|bearer| bearer != key) {
            return Ok(Some(Outcome::AliasTaken { alias: key.clone(), bearer }));
        }
        for alias in &record.aliases {
            let name = alias.key();
            if let Some(bearer) = self.bearer(name, committed)?.filter(|bearer| bearer != key) {
                return Ok(Some(Outcome::AliasTaken { alias: name.clone(), bearer }));
            }
            // What carries a scheme's tag is no identifier of this node.
            let may_be_identifier = name != key && !apply::is_tagged(name.as_bytes());
            if may_be_identifier && (self.heads.contains_key(name) || committed.record_row(name)?.is_some()) {
                return Ok(Some(Outcome::AliasTaken { alias: name.clone(), bearer: name.clone() }));
            }
        }
        Ok(None)
    }

    /// What the version before bore and this one does not is free for what follows in the group.
    fn give_and_take(&mut self, record: &Record, preceding: &Preceding) {
        let in_group = preceding.frame.and_then(|at| self.frames.get(at)).and_then(|pending| pending.record.clone());
        let of_group = in_group.iter().flat_map(|before| &before.aliases).map(Alias::key);
        let committed = preceding.before.iter().flat_map(|before| &before.aliases);
        self.aliases.extend(of_group.chain(committed).map(|alias| (alias.clone(), None)));
        let key = record.identifier.key();
        self.aliases.extend(record.aliases.iter().map(|alias| (alias.key().clone(), Some(key.clone()))));
    }

    fn bearer(&self, alias: &CanonicalKey, committed: &Committed<'_>) -> Result<Option<CanonicalKey>, ApplyError> {
        if let Some(bearer) = self.aliases.get(alias) {
            return Ok(bearer.clone());
        }
        if committed.mark.untagged_aliases == 0 && !apply::is_tagged(alias.as_bytes()) {
            return Ok(None);
        }
        let row = committed.engine.read(Table::Alias, alias.as_str().as_bytes())?;
        Ok(row.and_then(|bytes| std::str::from_utf8(&bytes).ok().map(CanonicalKey::from_stored)))
    }

    fn statement(&mut self, proposal: StatementProposal, committed: &Committed<'_>) -> Result<Planned, ApplyError> {
        let bytes = proposal.statement.len();
        if bytes > ENTRY_BYTES {
            // No bundle of its tree could have it, nor any leaf beside it.
            return Ok(Planned::Not(Outcome::Refused(Refusal::TooLarge { bytes, limit: ENTRY_BYTES })));
        }
        let rows = committed
            .statements
            .rows(proposal.kind, &proposal.statement, 0)
            .map_err(|cause| ApplyError::Statement { sequence: 0, cause })?;
        for row in &rows {
            let place = (row.table, row.key.clone());
            if self.rows.contains(&place) || committed.engine.read(row.table, &row.key)?.is_some() {
                return Ok(Planned::Not(Outcome::Exists));
            }
        }
        self.changes_licences |= rows.iter().any(|row| apply::DECIDING.contains(&row.table));
        self.rows.extend(rows.into_iter().map(|row| (row.table, row.key)));
        let meta = Meta::plain(proposal.time, &proposal.principal);
        Ok(Planned::Frame(self.push_statement(proposal, meta, None)))
    }

    /// One erasure frame a version, the newest first: the first takes the rows away, each names what it blanks.
    fn erase(
        &mut self,
        key: &CanonicalKey,
        statements: Vec<StatementProposal>,
        committed: &Committed<'_>,
    ) -> Result<Planned, ApplyError> {
        let row = committed.record_row(key)?;
        let Some(newest) = row.as_ref().filter(|row| row.version == statements.len() as u64) else {
            return Ok(Planned::Not(Outcome::Moved(row)));
        };
        if self.heads.contains_key(key) || self.erased.contains(key) {
            return Ok(Planned::Not(Outcome::Moved(row)));
        }
        // All places first: what cannot be read must not leave half an erasure in the group.
        let (before, places) = match committed.proved(newest).and_then(|before| Ok((before, committed.places(newest)?)))
        {
            Ok(read) => read,
            Err(damaged) => return Ok(Planned::Not(damaged)),
        };
        self.erased.insert(key.clone());
        let (mut last, mut before) = (0, Some(before));
        for (statement, (location, index)) in statements.into_iter().zip(places) {
            let meta = Meta {
                previous: Some(location),
                previous_index: index,
                ..Meta::plain(statement.time, &statement.principal)
            };
            last = self.push_statement(statement, meta, before.take());
        }
        Ok(Planned::Frame(last))
    }

    fn push_statement(&mut self, proposal: StatementProposal, meta: Meta, before: Option<Box<Before>>) -> usize {
        let leaf = leaf_hash(&proposal.statement);
        let content = FrameContent {
            kind: proposal.kind,
            meta: meta.encode(),
            statement: proposal.statement,
            disclosures: proposal.disclosures,
            previous_in_group: None,
        };
        self.push(Pending { content, meta, record: None, before, leaf })
    }

    fn push(&mut self, pending: Pending) -> usize {
        self.bytes += pending.content.whole_bytes();
        self.leaves += u64::from(pending.content.kind.in_registry());
        self.frames.push(pending);
        self.frames.len() - 1
    }
}

impl Committed<'_> {
    fn record_row(&self, key: &CanonicalKey) -> Result<Option<RecordRow>, ApplyError> {
        apply::row_of(self.engine, key)
    }

    /// The version at a row, as applying will need it. A group that is durable and cannot be applied would stop this
    /// start and every later one, so what rotted is found here.
    fn proved(&self, row: &RecordRow) -> Result<Box<Before>, Outcome> {
        match Before::read(self.journal, self.statements, row.location, row.index) {
            Ok(Some(before)) if before.row.leaf == row.leaf => Ok(Box::new(before)),
            Ok(Some(_)) => Err(damaged(row, &"another version stands there")),
            // An erasure would have taken the row away.
            Ok(None) => Err(damaged(row, &"its disclosures are blank, and no erasure blanked them")),
            Err(error) => Err(unread(row, error)),
        }
    }

    /// The frames of all versions that lead to a row, the newest first: each reads, as blanking it will need.
    fn places(&self, newest: &RecordRow) -> Result<Vec<(Location, u64)>, Outcome> {
        let mut places = Vec::new();
        let mut next = Some((newest.location, newest.index));
        while let Some((location, index)) = next {
            let frame = self.journal.frame(location).map_err(|error| unread(newest, error.into()))?;
            self.journal.may_blank(location).map_err(|error| unread(newest, error.into()))?;
            if frame.meta.version + places.len() as u64 != newest.version {
                return Err(damaged(newest, &"its versions do not follow one another"));
            }
            places.push((location, index));
            next = frame.meta.previous.map(|previous| (previous, frame.meta.previous_index));
        }
        if places.len() as u64 == newest.version {
            Ok(places)
        } else {
            Err(damaged(newest, &"its first version is missing"))
        }
    }
}

/// A disk that does not answer is another matter than bytes that are wrong.
fn unread(row: &RecordRow, error: ApplyError) -> Outcome {
    match error {
        ApplyError::Journal(JournalError::Io { .. }) => Outcome::Refused(Refusal::ReadFailed(error.to_string())),
        _ => damaged(row, &error),
    }
}

fn damaged(row: &RecordRow, cause: &dyn std::fmt::Display) -> Outcome {
    let place = row.location;
    Outcome::Damaged(format!("version {} at segment {}, byte {}: {cause}", row.version, place.segment, place.offset))
}

#[cfg(test)]
mod tests {
    use super::super::engine::{EngineError, RowBytes, Visit, Write};
    use super::super::engine_memory::MemoryEngine;
    use super::super::journal::{Effect, Journal, Start};
    use super::super::medium::Disk;
    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::time::Timestamp;

    /// An engine whose disk does not answer.
    struct Silent;

    fn silence<T>() -> Result<T, EngineError> {
        Err(EngineError { action: "read", cause: "input/output error".to_owned(), is_full: false })
    }

    impl Engine for Silent {
        fn read(&self, _: Table, _: &[u8]) -> Result<Option<RowBytes>, EngineError> {
            silence()
        }
        fn scan(&self, _: Table, _: Option<&[u8]>, _: usize) -> Result<Vec<(Vec<u8>, RowBytes)>, EngineError> {
            silence()
        }
        fn each(&self, _: &mut Visit<'_>) -> Result<(), EngineError> {
            silence()
        }
        fn write(&self, _: &[Write], _: &Mark) -> Result<(), EngineError> {
            silence()
        }
        fn mark(&self) -> Result<Option<Mark>, EngineError> {
            silence()
        }
        fn persist(&self) -> Result<(), EngineError> {
            silence()
        }
        fn disk_bytes(&self) -> u64 {
            0
        }
    }

    struct NoStatements;

    impl ReadStatement for NoStatements {
        fn record(&self, _: &[u8], _: &[u8], _: &Meta) -> Result<Record, String> {
            Err("none".to_owned())
        }
        fn rows(&self, _: FrameKind, _: &[u8], _: u64) -> Result<Vec<Write>, String> {
            Ok(vec![Write { table: Table::Key, key: vec![1], value: Some(Vec::new()) }])
        }
    }

    fn empty_journal(folder: &std::path::Path) -> Arc<Reader> {
        let medium = Arc::new(Disk::open(folder).unwrap());
        Journal::open(medium, 64 * 1024, Start::default()).unwrap().journal.reader()
    }

    fn first_version(identifier: &str) -> EntryProposal {
        let now = Timestamp::now();
        EntryProposal {
            record: Arc::new(Record::first(Identifier::parse(identifier).unwrap(), Draft::default(), now)),
            expect: Expect::Absent,
            sid: [0; 32],
            statement: Vec::new(),
            leaf: leaf_hash(&[]),
            disclosures: Vec::new(),
            time: now.as_seconds(),
            registered: now.as_seconds(),
            effect: Effect::Created,
            principal: String::new(),
            idempotency: None,
            job: None,
            licences: 0,
        }
    }

    fn statement() -> StatementProposal {
        StatementProposal {
            kind: FrameKind::Audit,
            statement: Vec::new(),
            disclosures: Vec::new(),
            time: 0,
            principal: String::new(),
        }
    }

    /// Every statement is about a licence.
    struct Licences;

    impl ReadStatement for Licences {
        fn record(&self, _: &[u8], _: &[u8], _: &Meta) -> Result<Record, String> {
            Err("none".to_owned())
        }
        fn rows(&self, _: FrameKind, statement: &[u8], _: u64) -> Result<Vec<Write>, String> {
            Ok(vec![Write { table: Table::Licence, key: statement.to_vec(), value: Some(Vec::new()) }])
        }
    }

    #[test]
    fn what_was_decided_under_other_licences_is_decided_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, mark, engine) = (empty_journal(folder.path()), Mark::default(), MemoryEngine::default());
        let committed = Committed {
            engine: &engine,
            journal: &journal,
            statements: &Licences,
            mark: &mark,
            registry_size: 0,
            licences: 7,
        };
        let mut group = Group::default();
        let entry = |licences| Proposal::Entry(EntryProposal { licences, ..first_version("88.999.1/A") });
        assert!(matches!(group.plan(entry(6), &committed), Planned::Not(Outcome::Moved(_))));
        assert!(matches!(group.plan(entry(7), &committed), Planned::Frame(0)));
        assert!(matches!(group.plan(Proposal::Statement(statement()), &committed), Planned::Frame(1)));
        let behind = EntryProposal { licences: 7, ..first_version("88.999.1/B") };
        let behind = group.plan(Proposal::Entry(behind), &committed);
        assert!(matches!(behind, Planned::Not(Outcome::Moved(_))), "the licence before it in the group may forbid it");
        assert!(matches!(group.plan(Proposal::Statement(statement()), &committed), Planned::Not(Outcome::Exists)));
    }

    #[test]
    fn a_row_that_rotted_is_damaged_and_no_name_that_may_be_given_out() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, mark, engine) = (empty_journal(folder.path()), Mark::default(), MemoryEngine::default());
        let committed = Committed {
            engine: &engine,
            journal: &journal,
            statements: &NoStatements,
            mark: &mark,
            registry_size: 0,
            licences: 0,
        };
        let entry = first_version("88.999.1/A");
        let key = entry.record.identifier.key().clone();
        let rotten = Write { table: Table::Record, key: key.as_bytes().to_vec(), value: Some(vec![7; 20]) };
        engine.write(&[rotten], &mark).unwrap();
        for proposal in [Proposal::Entry(entry), Proposal::Erase { key, statements: vec![statement()] }] {
            let planned = Group::default().plan(proposal, &committed);
            assert!(matches!(planned, Planned::Not(Outcome::Damaged(_))));
        }
    }

    #[test]
    fn an_engine_that_does_not_answer_refuses_the_proposal_and_says_that_nothing_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, mark) = (empty_journal(folder.path()), Mark::default());
        let committed = Committed {
            engine: &Silent,
            journal: &journal,
            statements: &NoStatements,
            mark: &mark,
            registry_size: 0,
            licences: 0,
        };
        let (entry, statement) = (first_version("88.999.1/A"), statement());
        let key = entry.record.identifier.key().clone();
        let erasure = Proposal::Erase { key, statements: vec![statement.clone()] };
        for proposal in [Proposal::Entry(entry), Proposal::Statement(statement), erasure] {
            let mut group = Group::default();
            let planned = group.plan(proposal, &committed);
            assert!(matches!(planned, Planned::Not(Outcome::Refused(Refusal::ReadFailed(_)))));
            assert!(group.frames.is_empty());
        }
    }
}
