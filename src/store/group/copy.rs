//! What a mirror takes over: a leaf of its origin at the same index, and the rows that it makes there.
//!
//! Nothing is decided here, for the origin has; but what cannot have come about there is refused, since a store that took it
//! in would not be the same when it is made anew.

use std::sync::Arc;

use super::{Committed, Group, Head, Pending, Planned, Preceding};
use crate::model::record::Record;
use crate::model::time::Timestamp;
use crate::store::apply::{ApplyError, Before};
use crate::store::engine::Table;
use crate::store::journal::{Effect, FrameContent, FrameKind, Location, Meta};
use crate::store::proposal::{Copied, CopyProposal, Outcome, StatementProposal};
use crate::store::rows::LeafHash;

/// Who is said to have asked for what a mirror holds.
const PRINCIPAL: &str = "origin";

/// A record's version as it is taken over.
struct Version {
    record: Arc<Record>,
    sid: [u8; 32],
    prev: Option<LeafHash>,
    disclosures: Vec<u8>,
    registered: i64,
    effect: Effect,
}

impl Group {
    /// Takes one leaf in, or says why it cannot be one of the origin's.
    pub(super) fn copy(&mut self, copy: CopyProposal, committed: &Committed<'_>) -> Result<Planned, ApplyError> {
        let next = committed.registry_size + self.leaves;
        if copy.index != next {
            return Ok(unfit(format!("statement {} was offered where {next} is next", copy.index)));
        }
        let CopyProposal { statement, leaf, time, copied, .. } = copy;
        let plain = Meta::plain(time, PRINCIPAL);
        match copied {
            Copied::Withheld { version, supersedes } => {
                self.copied_withheld(statement, leaf, Meta { version, ..plain }, supersedes, committed)
            }
            Copied::Statement => {
                let proposal = StatementProposal {
                    kind: FrameKind::Statement,
                    statement,
                    disclosures: Vec::new(),
                    time,
                    principal: PRINCIPAL.to_owned(),
                };
                Ok(match self.statement(proposal, committed) {
                    Ok(Planned::Not(Outcome::Exists)) => unfit("what it states was stated before".to_owned()),
                    Err(ApplyError::Statement { cause, .. }) => unfit(format!("it does not read: {cause}")),
                    other => other?,
                })
            }
            Copied::Erasure { erased } => self.copied_erasure(statement, leaf, plain, erased, committed),
            Copied::Entry { record, sid, prev, disclosures, registered, effect } => {
                let version = Version { record, sid, prev, disclosures, registered, effect };
                self.copied_version(version, statement, leaf, plain, committed)
            }
        }
    }

    fn copied_version(
        &mut self,
        version: Version,
        statement: Vec<u8>,
        leaf: LeafHash,
        plain: Meta,
        committed: &Committed<'_>,
    ) -> Result<Planned, ApplyError> {
        let Version { mut record, sid, prev, disclosures, registered, effect } = version;
        let key = record.identifier.key().clone();
        if self.is_erased(&sid, committed)? || self.erased.contains(&key) {
            return Ok(unfit("the identifier was erased before".to_owned()));
        }
        let mut meta = Meta { version: record.version, registered, effect, ..plain };
        let (preceding, stands) = match self.heads.get(&key) {
            Some(head) => {
                let since = self.frames.get(head.frame).map(|pending| pending.meta.registered);
                let there = (head.version, head.leaf, since.unwrap_or(registered));
                (Preceding { frame: Some(head.frame), before: None }, Some(there))
            }
            None => match committed.record_row(&key)?.filter(|_| !self.kept_back.contains(&key)) {
                // The mirror was not given what came before.
                None => (Preceding::default(), None),
                Some(row) => {
                    (meta.previous, meta.previous_index) = (Some(row.location), row.index);
                    match committed.proved(&row) {
                        Ok(before) => {
                            let there = (row.version, row.leaf, row.registered);
                            (Preceding { frame: None, before: Some(before) }, Some(there))
                        }
                        Err(damaged) => return Ok(Planned::Not(damaged)),
                    }
                }
            },
        };
        if let Some((version, leaf, since)) = stands {
            if prev != Some(leaf) || record.version != version + 1 {
                return Ok(unfit(format!("version {} does not follow the one that stands", record.version)));
            }
            // Nobody signed what the origin says of it: what the first version was signed with counts.
            if since != registered
                && let Ok(time) = Timestamp::from_seconds(since)
            {
                meta.registered = since;
                Arc::make_mut(&mut record).registered = time;
            }
        }
        // What is said of it is shown to witnesses and stands in logs, so it has no name in it.
        if self.names(&record, committed)?.is_some() {
            return Ok(unfit("a name of it is another record's".to_owned()));
        }
        self.give_and_take(&record, &preceding);
        let frame = self.frames.len();
        self.heads.insert(key, Head { version: record.version, leaf, frame });
        self.push(Pending {
            content: FrameContent {
                kind: FrameKind::Entry,
                meta: meta.encode(),
                statement,
                disclosures,
                previous_in_group: preceding.frame,
            },
            meta,
            record: Some(record),
            before: preceding.before,
            leaf,
        });
        Ok(Planned::Frame(frame))
    }

    /// Whether the last erasure of a blinded name was taken in before, or is in this group.
    fn is_erased(&self, sid: &[u8; 32], committed: &Committed<'_>) -> Result<bool, ApplyError> {
        let is_there = committed.mark.erased > 0 && committed.engine.read(Table::Erased, sid)?.is_some();
        Ok(is_there || (!self.rows.is_empty() && self.rows.contains(&(Table::Erased, sid.to_vec()))))
    }

    /// What a kept back version follows must be what stands; then nothing stands there, and its names are free.
    fn copied_withheld(
        &mut self,
        statement: Vec<u8>,
        leaf: LeafHash,
        plain: Meta,
        supersedes: Option<(Location, u64)>,
        committed: &Committed<'_>,
    ) -> Result<Planned, ApplyError> {
        let Some((location, index)) = supersedes else {
            return Ok(self.copied(FrameKind::Withheld, statement, leaf, plain, None));
        };
        let before = Before::read(committed.journal, committed.statements, location, index)?;
        let Some(before) = before.filter(|before| before.row.version + 1 == plain.version) else {
            return Ok(unfit("what it follows was erased before, or is another version".to_owned()));
        };
        let stands = committed.record_row(&before.key)?.is_some_and(|row| row.location == location);
        if !stands || self.heads.contains_key(&before.key) || !self.kept_back.insert(before.key.clone()) {
            return Ok(unfit("it does not follow the version that stands".to_owned()));
        }
        self.aliases.extend(before.aliases.iter().map(|alias| (alias.clone(), None)));
        let meta = Meta { previous: Some(location), previous_index: index, ..plain };
        Ok(self.copied(FrameKind::Withheld, statement, leaf, meta, Some(Box::new(before))))
    }

    /// What it erases must stand as the origin has it: the newest version with the last erasure, an older one with the others.
    /// No name is erased twice: a row that is made over one that is there would count as two, and the rows would no more be
    /// what the journal says.
    fn copied_erasure(
        &mut self,
        statement: Vec<u8>,
        leaf: LeafHash,
        plain: Meta,
        erased: Option<(Location, u64)>,
        committed: &Committed<'_>,
    ) -> Result<Planned, ApplyError> {
        let rows = match committed.statements.rows(FrameKind::Erasure, &statement, 0) {
            Ok(rows) => rows,
            Err(cause) => return Ok(unfit(format!("it does not read: {cause}"))),
        };
        for row in &rows {
            let place = (row.table, row.key.clone());
            if self.rows.contains(&place) || committed.engine.read(row.table, &row.key)?.is_some() {
                return Ok(unfit("it erases for the last time what was erased before".to_owned()));
            }
        }
        let is_last = !rows.is_empty();
        let Some((location, index)) = erased else {
            self.rows.extend(rows.into_iter().map(|row| (row.table, row.key)));
            return Ok(self.copied(FrameKind::Erasure, statement, leaf, plain, None));
        };
        committed.journal.may_blank(location)?;
        let Some(before) = Before::read(committed.journal, committed.statements, location, index)? else {
            return Ok(unfit("what it erases was erased before".to_owned()));
        };
        let is_newest = committed.record_row(&before.key)?.is_some_and(|row| row.location == location);
        if is_newest != is_last || self.heads.contains_key(&before.key) {
            return Ok(unfit("it erases another version than the one that stands".to_owned()));
        }
        self.rows.extend(rows.into_iter().map(|row| (row.table, row.key)));
        let before = is_last.then(|| {
            self.erased.insert(before.key.clone());
            Box::new(before)
        });
        let meta = Meta { previous: Some(location), previous_index: index, ..plain };
        Ok(self.copied(FrameKind::Erasure, statement, leaf, meta, before))
    }

    fn copied(
        &mut self,
        kind: FrameKind,
        statement: Vec<u8>,
        leaf: LeafHash,
        meta: Meta,
        before: Option<Box<Before>>,
    ) -> Planned {
        let content =
            FrameContent { kind, meta: meta.encode(), statement, disclosures: Vec::new(), previous_in_group: None };
        self.push(Pending { content, meta, record: None, before, leaf });
        Planned::Frame(self.frames.len() - 1)
    }
}

fn unfit(cause: String) -> Planned {
    Planned::Not(Outcome::Unfit(cause))
}
