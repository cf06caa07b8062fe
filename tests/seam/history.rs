//! The model: what a store must hold after any history, and the random jobs that make one.
//!
//! It knows the outcomes that the sequencer owes and the exact order of statements, so that after each opening the whole
//! journal, every row and every idempotent answer can be compared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use mingpai::model::identifier::CanonicalKey;
use mingpai::model::time::Timestamp;
use mingpai::store::engine::Table;
use mingpai::store::journal::{Effect, FrameKind};
use mingpai::store::rows::{LeafHash, RequestRow};
use mingpai::store::{ApplyError, Expect, Outcome, Proposal, Store};

use super::registry::{BLINDED, OPEN, PRINCIPAL, Registry, Version, draft, idempotency};
use super::{Dice, trees};

const NAMES: u64 = 10;
const ALIASES: u64 = 6;
const REQUESTS: u64 = 12;

/// One proposal of a job.
#[derive(Clone)]
pub enum Step {
    Entry { version: Box<Version>, expect: Expect, request: Option<String> },
    Erase { versions: Vec<Version>, proposal: Box<Proposal> },
}

/// What a proposal must come to, if the job is not refused as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    Moved,
    AliasTaken,
    Repeated,
    Exists,
    Erased,
    Withdrawn,
}

/// What is acknowledged.
#[derive(Clone, Default)]
pub struct Model {
    /// Every frame but the seals: its kind, its statement, and its disclosures as long as they are not erased.
    frames: Vec<(FrameKind, Vec<u8>, Option<Vec<u8>>)>,
    records: BTreeMap<CanonicalKey, Vec<Version>>,
    aliases: BTreeMap<CanonicalKey, CanonicalKey>,
    requests: BTreeMap<String, (u64, LeafHash, Effect)>,
    erased_sids: BTreeSet<[u8; 32]>,
    erased_names: BTreeSet<CanonicalKey>,
}

impl Step {
    pub fn proposal(&self) -> Proposal {
        match self {
            Step::Entry { version, expect, request } => version.propose(*expect, request.as_deref().map(idempotency)),
            Step::Erase { proposal, .. } => proposal.as_ref().clone(),
        }
    }

    fn key(&self) -> &CanonicalKey {
        match self {
            Step::Entry { version, .. } => version.key(),
            Step::Erase { versions, .. } => versions[0].key(),
        }
    }
}

/// The fate that an outcome tells; `None` for a refusal.
pub fn fate(outcome: &Outcome) -> Option<Fate> {
    Some(match outcome {
        Outcome::Committed(_) => Fate::Committed,
        Outcome::Moved(_) => Fate::Moved,
        Outcome::AliasTaken { .. } => Fate::AliasTaken,
        Outcome::Repeated(_) => Fate::Repeated,
        Outcome::Exists => Fate::Exists,
        Outcome::Erased => Fate::Erased,
        Outcome::Withdrawn => Fate::Withdrawn,
        Outcome::Damaged(_) | Outcome::Unfit(_) | Outcome::Refused(_) => return None,
    })
}

impl Model {
    /// Draws a job of one to four proposals; some of them are meant to fail.
    pub fn draw(&self, dice: &mut Dice, registry: &Registry, now: Timestamp) -> Vec<Step> {
        let mut view = self.records.clone();
        let count = if dice.once_in(3) { 1 + dice.below(4) } else { 1 };
        (0..count).map(|_| self.draw_one(dice, registry, &mut view, now)).collect()
    }

    fn draw_one(
        &self,
        dice: &mut Dice,
        registry: &Registry,
        view: &mut BTreeMap<CanonicalKey, Vec<Version>>,
        now: Timestamp,
    ) -> Step {
        let number = dice.below(NAMES);
        let prefix = if number.is_multiple_of(3) { OPEN } else { BLINDED };
        let name = format!("{prefix}/PART-{number}");
        let standing = view.get(registry.identifier(&name).key()).cloned();
        let request = dice.once_in(3).then(|| format!("request-{}", dice.below(REQUESTS)));
        let aliases: BTreeSet<u64> = (0..dice.below(3)).map(|_| dice.below(ALIASES)).collect();
        let aliases: Vec<u64> = aliases.into_iter().collect();
        let bytes = match dice.below(8) {
            0 => 2_500,
            1..3 => 0,
            _ => dice.below(700) as usize,
        };
        let content = || draft(&format!("{number}铭牌-"), bytes, &aliases, now);
        let (version, expect) = match standing {
            Some(versions) if dice.once_in(9) => {
                // An erasure; sometimes of fewer versions than there are.
                let kept = if dice.once_in(8) { 1 } else { versions.len() };
                let versions = versions[..kept].to_vec();
                let proposal = registry.erasure(&versions, now);
                return Step::Erase { versions, proposal: Box::new(proposal) };
            }
            // Sometimes a caller does not know that the name is taken.
            Some(versions) if !dice.once_in(6) => {
                let at = if dice.once_in(8) { dice.below(versions.len() as u64) as usize } else { versions.len() - 1 };
                let before = &versions[at];
                let next = (!dice.once_in(8)).then(content);
                (registry.after(before, next, now), before.expect())
            }
            _ => (registry.first(&name, content(), now), Expect::Absent),
        };
        view.entry(version.key().clone()).or_default().push(version.clone());
        Step::Entry { version: Box::new(version), expect, request }
    }

    /// What a job must come to.
    pub fn plan(&self, steps: &[Step], atomic: bool) -> Vec<Fate> {
        let mut group = PlannedGroup::default();
        let mut fates: Vec<Fate> = steps.iter().map(|step| group.plan(self, step)).collect();
        if atomic && fates.iter().any(|fate| *fate != Fate::Committed) {
            for fate in &mut fates {
                if *fate == Fate::Committed {
                    *fate = Fate::Withdrawn;
                }
            }
        }
        fates
    }

    /// Takes in what was committed.
    pub fn take(&mut self, steps: &[Step], fates: &[Fate]) {
        for (step, _) in steps.iter().zip(fates).filter(|(_, fate)| **fate == Fate::Committed) {
            match step {
                Step::Entry { version, request, .. } => self.take_entry(version, request.as_ref()),
                Step::Erase { versions, proposal } => self.take_erasure(versions, proposal),
            }
        }
    }

    fn take_entry(&mut self, version: &Version, request: Option<&String>) {
        let key = version.key().clone();
        self.frames.push((FrameKind::Entry, version.statement.clone(), Some(version.disclosures.clone())));
        self.aliases.retain(|_, bearer| *bearer != key);
        for alias in &version.record.aliases {
            self.aliases.insert(alias.key().clone(), key.clone());
        }
        if let Some(request) = request {
            let answer = (version.record.version, version.leaf, version.effect);
            self.requests.insert(request.clone(), answer);
        }
        self.records.entry(key).or_default().push(version.clone());
    }

    fn take_erasure(&mut self, versions: &[Version], proposal: &Proposal) {
        let Proposal::Erase { key, statements } = proposal else {
            return;
        };
        for (kind, statement, disclosures) in &mut self.frames {
            let erased = *kind == FrameKind::Entry && versions.iter().any(|version| version.statement == *statement);
            if erased {
                *disclosures = None;
            }
        }
        for statement in statements {
            self.frames.push((FrameKind::Erasure, statement.statement.clone(), Some(Vec::new())));
        }
        self.aliases.retain(|_, bearer| bearer != key);
        self.records.remove(key);
        self.erased_names.insert(key.clone());
        self.erased_sids.insert(versions[0].sid);
    }

    /// After an opening: whether the group in doubt is there, whole; anything else than whole or absent is a failure.
    pub fn settle(&mut self, store: &Store, doubt: Option<(Vec<Step>, Vec<Fate>)>) {
        let found = statements(store);
        let known = self.frames.len();
        let same = |(kind, statement): &(FrameKind, Vec<u8>), at: usize, model: &Model| {
            model.frames[at].0 == *kind && model.frames[at].1 == *statement
        };
        assert!(found.len() >= known, "an acknowledged frame is lost: {} of {known} are there", found.len());
        for (at, frame) in found[..known].iter().enumerate() {
            assert!(same(frame, at, self), "frame {at} is another one");
        }
        if found.len() == known {
            return;
        }
        let (steps, fates) = doubt.expect("frames are there that nobody asked for");
        self.take(&steps, &fates);
        assert_eq!(found.len(), self.frames.len(), "a group is there in part, or more than was asked for");
        for (at, frame) in found.iter().enumerate().skip(known) {
            assert!(same(frame, at, self), "frame {at} is another one");
        }
    }

    /// Compares everything that the store says.
    pub fn compare(&self, store: &Store) {
        self.compare_frames(store);
        trees::compare(store);
        for (key, versions) in &self.records {
            compare_record(store, key, versions);
        }
        for name in &self.erased_names {
            assert!(store.row(name).unwrap().is_none(), "{name} is erased");
        }
        let now = Timestamp::now().as_seconds();
        for (request, answer) in &self.requests {
            let row =
                store.request(PRINCIPAL, request, now).unwrap().unwrap_or_else(|| panic!("{request} is forgotten"));
            assert_eq!((row.version, row.leaf, row.effect), *answer, "{request} has another answer");
        }
        let keys = |table| -> Vec<Vec<u8>> {
            let rows = store.scan(table, None, usize::MAX).unwrap();
            rows.into_iter().map(|(key, _)| key).collect()
        };
        let texts = |keys: Vec<&CanonicalKey>| -> Vec<Vec<u8>> {
            keys.into_iter().map(|key| key.as_str().as_bytes().to_vec()).collect()
        };
        assert_eq!(keys(Table::Record), texts(self.records.keys().collect()));
        assert_eq!(keys(Table::Alias), texts(self.aliases.keys().collect()));
        for (alias, bearer) in &self.aliases {
            assert_eq!(store.bearer(alias).unwrap().as_ref(), Some(bearer), "{alias}");
        }
        let sids: Vec<Vec<u8>> = self.erased_sids.iter().map(|sid| sid.to_vec()).collect();
        assert_eq!(keys(Table::Erased), sids);
        let mut requests: Vec<Vec<u8>> =
            self.requests.keys().map(|request| RequestRow::key(PRINCIPAL, request)).collect();
        requests.sort();
        assert_eq!(keys(Table::Request), requests);
    }

    /// Compares the records of a store that went back to this moment, but not on what was erased since.
    pub fn compare_but_erased(&self, store: &Store, erased: &[Version]) {
        for (key, versions) in &self.records {
            if !erased.iter().any(|version| version.key() == key) {
                compare_record(store, key, versions);
            }
        }
    }

    fn compare_frames(&self, store: &Store) {
        let (mut sequence, mut index, mut at) = (0, 0, 0);
        store
            .replay(|frame| {
                assert_eq!(frame.sequence, sequence, "the sequence has a gap");
                sequence += 1;
                if frame.kind == FrameKind::Seal {
                    return Ok::<(), ApplyError>(());
                }
                assert_eq!(frame.index, index, "the registry's index has a gap");
                index += 1;
                assert_eq!(frame.disclosures, self.frames[at].2, "frame {at} discloses something else");
                at += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(at, self.frames.len());
        assert_eq!(store.tail().sequence, sequence);
        assert_eq!(store.tail().registry_size, index);
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }
}

/// The statements of the journal but the seals.
pub fn statements(store: &Store) -> Vec<(FrameKind, Vec<u8>)> {
    let mut found = Vec::new();
    store
        .replay(|frame| {
            if frame.kind != FrameKind::Seal {
                found.push((frame.kind, frame.statement));
            }
            Ok::<(), ApplyError>(())
        })
        .unwrap();
    found
}

/// The newest version from its row, and all of them by the chain of frames.
pub fn compare_record(store: &Store, key: &CanonicalKey, versions: &[Version]) {
    let newest = &versions[versions.len() - 1];
    let row = store.row(key).unwrap().unwrap_or_else(|| panic!("{key} is lost"));
    assert_eq!((row.version, row.leaf), (newest.record.version, newest.leaf), "{key} stands at another version");
    assert_eq!(store.record(&row).unwrap(), newest.record);
    let mut place = Some(row.location);
    for version in versions.iter().rev() {
        let frame = store.frame(place.expect("the chain of versions ends early")).unwrap();
        assert_eq!(frame.statement, version.statement);
        assert_eq!(frame.meta.version, version.record.version);
        assert_eq!(store.record_of(&frame).unwrap().as_ref(), Some(&version.record));
        place = frame.meta.previous;
    }
    assert_eq!(place, None, "the chain of versions is longer than the history");
}

/// The sequencer's group as the model sees it.
#[derive(Default)]
struct PlannedGroup {
    heads: HashMap<CanonicalKey, (u64, LeafHash)>,
    /// What the newest version of each bears, where it is of this group.
    borne: HashMap<CanonicalKey, Vec<CanonicalKey>>,
    aliases: HashMap<CanonicalKey, Option<CanonicalKey>>,
    requests: HashSet<String>,
    erased: HashSet<CanonicalKey>,
}

impl PlannedGroup {
    fn plan(&mut self, model: &Model, step: &Step) -> Fate {
        let key = step.key().clone();
        match step {
            Step::Erase { versions, .. } => {
                let standing = model.records.get(&key).map_or(0, Vec::len);
                if standing != versions.len() || self.heads.contains_key(&key) || !self.erased.insert(key) {
                    return Fate::Moved;
                }
                Fate::Committed
            }
            Step::Entry { version, expect, request } => {
                if let Some(request) = request {
                    if model.requests.contains_key(request) {
                        return Fate::Repeated;
                    }
                    if self.requests.contains(request) {
                        return Fate::Exists;
                    }
                }
                let fate = self.entry(model, &key, version, *expect);
                if fate == Fate::Committed {
                    self.requests.extend(request.clone());
                }
                fate
            }
        }
    }

    fn entry(&mut self, model: &Model, key: &CanonicalKey, version: &Version, expect: Expect) -> Fate {
        if expect == Expect::Absent && model.erased_sids.contains(&version.sid) {
            return Fate::Erased;
        }
        let committed = model
            .records
            .get(key)
            .and_then(|versions| versions.last())
            .map(|version| (version.record.version, version.leaf));
        let head = self.heads.get(key).copied().or(committed);
        let fits = match expect {
            Expect::Absent => head.is_none(),
            Expect::At { version, leaf } => head == Some((version, leaf)),
        };
        if !fits || self.erased.contains(key) {
            return Fate::Moved;
        }
        for alias in &version.record.aliases {
            let bearer = self.aliases.get(alias.key()).cloned();
            let bearer = bearer.unwrap_or_else(|| model.aliases.get(alias.key()).cloned());
            if bearer.is_some_and(|bearer| bearer != *key) {
                return Fate::AliasTaken;
            }
        }
        let names = |version: &Version| version.record.aliases.iter().map(|alias| alias.key().clone()).collect();
        let committed = || model.records.get(key).and_then(|versions| versions.last()).map(names);
        let given_up: Vec<CanonicalKey> = self.borne.get(key).cloned().or_else(committed).unwrap_or_default();
        self.aliases.extend(given_up.into_iter().map(|alias| (alias, None)));
        let borne: Vec<CanonicalKey> = names(version);
        self.aliases.extend(borne.iter().map(|alias| (alias.clone(), Some(key.clone()))));
        self.borne.insert(key.clone(), borne);
        self.heads.insert(key.clone(), (version.record.version, version.leaf));
        Fate::Committed
    }
}
