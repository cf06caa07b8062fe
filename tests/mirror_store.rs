//! The store of a mirror: the statements of another store at their indexes, the same rows, whatever was shown or erased; and what
//! no honest origin can have is refused.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use mingpai::model::time::Timestamp;
use mingpai::sign::jws::payload_of;
use mingpai::store::engine::Table;
use mingpai::store::journal::{Frame, FrameKind, Location};
use mingpai::store::rows::{RecordRow, leaf_hash};
use mingpai::store::trees::Tree;
use mingpai::store::{Copied, CopyProposal, EngineChoice, Expect, Outcome, Proposal, Store, StoreOptions};
use seam::disk::TestDisk;
use seam::registry::{BLINDED, Ear, OPEN, Registry, Version, draft};
use seam::trees::compare;
use serde_json::Value as Json;

/// Two stores that know the same prefixes.
struct World {
    registry: Registry,
    disks: [TestDisk; 2],
}

impl World {
    fn new() -> World {
        World { registry: Registry::new(), disks: [TestDisk::new(1), TestDisk::new(2)] }
    }

    fn open(&self, which: usize) -> Store {
        let options = StoreOptions { segment_bytes: 256 * 1024, ..seam::options(Path::new(""), EngineChoice::Memory) };
        let ear = Arc::new(Ear::default());
        let medium = self.disks[which].medium();
        Store::open_in_memory_on(&options, medium, self.registry.reader(), ear.clone(), ear).unwrap().0
    }

    /// What a mirror is told of a frame of the origin, or what it is not: `shown` says of which.
    fn copied(&self, mirror: &Store, index: u64, frame: &Frame, shown: bool) -> CopyProposal {
        let statement: Json = serde_json::from_slice(&payload_of(&frame.statement).unwrap()).unwrap();
        let hash =
            |member: &str| -> Option<[u8; 32]> { BASE64URL.decode(statement[member].as_str()?).ok()?.try_into().ok() };
        let copied = match (frame.kind, &frame.disclosures) {
            (FrameKind::Entry, Some(disclosures)) if shown => {
                let record = self.registry.reader().record(&frame.statement, disclosures, &frame.meta).unwrap();
                Copied::Entry {
                    record: Arc::new(record),
                    sid: hash("sid").unwrap(),
                    prev: hash("prev"),
                    disclosures: disclosures.clone(),
                    registered: frame.meta.registered,
                    effect: frame.meta.effect,
                }
            }
            (FrameKind::Entry, _) => Copied::Withheld {
                version: frame.meta.version,
                supersedes: frame.meta.previous.and_then(|_| entry_at(mirror, frame.meta.previous_index)),
            },
            (FrameKind::Erasure, _) => Copied::Erasure { erased: entry_at(mirror, frame.meta.previous_index) },
            _ => Copied::Statement,
        };
        let leaf = leaf_hash(&frame.statement);
        CopyProposal { index, statement: frame.statement.clone(), leaf, time: frame.meta.time, copied }
    }

    /// Copies what the mirror has not, as far as it is shown.
    fn follow(&self, origin: &Store, mirror: &Store, shown: impl Fn(u64) -> bool) {
        let reader = origin.trees().reader(Tree::Registry);
        let mut group: Vec<Proposal> = Vec::new();
        let commit = |group: &mut Vec<Proposal>| {
            for outcome in mirror.commit_blocking(std::mem::take(group), false) {
                assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
            }
        };
        for index in mirror.tail().registry_size..reader.size() {
            let frame = origin.frame(reader.place(index).unwrap().unwrap()).unwrap();
            // What it names must be here.
            if frame.kind == FrameKind::Erasure || frame.disclosures.is_none() || !shown(index) {
                commit(&mut group);
            }
            group.push(Proposal::Copy(self.copied(mirror, index, &frame, shown(index))));
            if frame.kind == FrameKind::Erasure {
                commit(&mut group);
            }
        }
        commit(&mut group);
        compare(mirror);
        assert_eq!(mirror.trees().heads().unwrap().0.registry, origin.trees().heads().unwrap().0.registry);
    }
}

/// Where an entry stands that was shown, and its index.
fn entry_at(mirror: &Store, index: u64) -> Option<(Location, u64)> {
    let place = mirror.trees().reader(Tree::Registry).place(index).unwrap().unwrap();
    (mirror.statement(place).unwrap().0 == FrameKind::Entry).then_some((place, index))
}

fn commit(store: &Store, proposals: Vec<Proposal>) {
    for outcome in store.commit_blocking(proposals, false) {
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// All rows but their places in the journal.
fn rows(store: &Store) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for table in [Table::Record, Table::Alias, Table::Erased, Table::Authority, Table::Origin, Table::Licence] {
        for (key, value) in store.scan(table, None, 10_000).unwrap() {
            let value = if table == Table::Record {
                let row = RecordRow::decode(&value).unwrap();
                let told = (row.version, row.index, row.leaf, row.registered, row.body);
                format!("{told:?}").into_bytes()
            } else {
                value.to_vec()
            };
            found.push((table, key, value));
        }
    }
    found
}

/// An origin with versions, aliases that change their bearer, a tombstone, and an identifier of two versions to be erased.
fn fill(world: &World, origin: &Store) -> [Version; 2] {
    let registry = &world.registry;
    let now = |second: i64| Timestamp::from_seconds(1_790_000_000 + second).unwrap();
    let a = registry.first(&format!("{BLINDED}/A"), draft("甲", 40, &[1], now(1)), now(1));
    let a2 = registry.after(&a, Some(draft("乙", 40, &[], now(2))), now(2));
    let b = registry.first(&format!("{OPEN}/B"), draft("丙", 5_000, &[1], now(3)), now(3));
    let gone = registry.first(&format!("{BLINDED}/GONE"), draft("丁", 40, &[], now(4)), now(4));
    let gone2 = registry.after(&gone, None, now(5));
    let c = registry.first(&format!("{BLINDED}/C"), draft("隐", 40, &[2], now(6)), now(6));
    let c2 = registry.after(&c, Some(draft("私", 40, &[2], now(7))), now(7));
    for (one, expect) in [
        (&a, Expect::Absent),
        (&a2, a.expect()),
        (&b, Expect::Absent),
        (&gone, Expect::Absent),
        (&gone2, gone.expect()),
        (&c, Expect::Absent),
        (&c2, c.expect()),
    ] {
        commit(origin, vec![one.propose(expect, None)]);
    }
    [c, c2]
}

#[test]
fn a_mirror_has_the_rows_of_its_origin_also_made_anew_and_blanks_what_is_erased() {
    let world = World::new();
    let (origin, mirror) = (world.open(0), world.open(1));
    let versions = fill(&world, &origin);
    world.follow(&origin, &mirror, |_| true);
    assert_eq!(rows(&origin), rows(&mirror));
    commit(&origin, vec![world.registry.erasure(&versions, Timestamp::now())]);
    world.follow(&origin, &mirror, |_| true);
    assert_eq!(rows(&origin), rows(&mirror));
    let reader = mirror.trees().reader(Tree::Registry);
    for index in [5, 6] {
        let frame = mirror.frame(reader.place(index).unwrap().unwrap()).unwrap();
        assert_eq!((frame.kind, frame.disclosures), (FrameKind::Entry, None), "what was erased is blank");
    }
    drop(mirror);
    // The rows are in memory: they are made anew from the journal alone.
    let mirror = world.open(1);
    assert_eq!(rows(&origin), rows(&mirror));
    // One that comes after the erasure never sees what it took.
    let late = World { registry: world.registry, disks: [TestDisk::new(3), TestDisk::new(4)] };
    let mirror = late.open(1);
    late.follow(&origin, &mirror, |_| true);
    assert_eq!(rows(&origin), rows(&mirror));
    drop(mirror);
    assert_eq!(rows(&origin), rows(&late.open(1)));
}

#[test]
fn what_is_not_shown_is_a_leaf_without_rows_and_what_comes_later_finds_its_place() {
    let world = World::new();
    let (origin, mirror) = (world.open(0), world.open(1));
    let versions = fill(&world, &origin);
    world.follow(&origin, &mirror, |_| false);
    assert!(rows(&mirror).is_empty());
    // A version whose predecessors are not here, and an erasure of what is not here.
    let reader = origin.trees().reader(Tree::Registry);
    let a2 = origin.frame(reader.place(1).unwrap().unwrap()).unwrap();
    let a2 = origin.record_of(&a2).unwrap().unwrap();
    let now = Timestamp::now();
    let statement = leaf_hash(&origin.frame(reader.place(1).unwrap().unwrap()).unwrap().statement);
    let a3 = world.registry.version(
        a2.next(draft("新", 40, &[], now), now),
        mingpai::store::journal::Effect::Updated,
        Some(&statement),
    );
    commit(&origin, vec![a3.propose(Expect::At { version: 2, leaf: statement }, None)]);
    commit(&origin, vec![world.registry.erasure(&versions, now)]);
    world.follow(&origin, &mirror, |index| index >= 7);
    let kinds = |store: &Store| rows(store).into_iter().map(|(table, ..)| table).collect::<Vec<_>>();
    assert_eq!(kinds(&mirror), [Table::Record, Table::Erased]);
    let before = rows(&mirror);
    drop(mirror);
    assert_eq!(rows(&world.open(1)), before);
}

#[test]
fn a_version_that_was_erased_before_it_came_takes_the_one_before_it_away_and_frees_its_names() {
    let world = World::new();
    let (origin, mirror) = (world.open(0), world.open(1));
    let now = |second: i64| Timestamp::from_seconds(1_790_000_000 + second).unwrap();
    let registry = &world.registry;
    let first = registry.first(&format!("{BLINDED}/X"), draft("私", 40, &[1, 2], now(1)), now(1));
    commit(&origin, vec![first.propose(Expect::Absent, None)]);
    world.follow(&origin, &mirror, |_| true);
    // The mirror lags: a second version gives a name up, another record takes it, and then all of it is erased.
    let second = registry.after(&first, Some(draft("密", 40, &[1], now(2))), now(2));
    let heir = registry.first(&format!("{OPEN}/HEIR"), draft("承", 40, &[2], now(3)), now(3));
    commit(&origin, vec![second.propose(first.expect(), None)]);
    commit(&origin, vec![heir.propose(Expect::Absent, None)]);
    commit(&origin, vec![registry.erasure(&[first.clone(), second.clone()], now(4))]);
    world.follow(&origin, &mirror, |_| true);
    assert_eq!(rows(&origin), rows(&mirror));
    let reader = mirror.trees().reader(Tree::Registry);
    let frames = [0, 1].map(|index| mirror.frame(reader.place(index).unwrap().unwrap()).unwrap());
    assert_eq!(frames.each_ref().map(|frame| frame.kind), [FrameKind::Entry, FrameKind::Withheld]);
    assert_eq!(frames[0].disclosures, None, "what was erased is blank");
    // The name of the second version is free at the origin, and here.
    let next = registry.first(&format!("{OPEN}/NEXT"), draft("继", 40, &[1], now(5)), now(5));
    commit(&origin, vec![next.propose(Expect::Absent, None)]);
    world.follow(&origin, &mirror, |_| true);
    assert_eq!(rows(&origin), rows(&mirror));
    drop(mirror);
    assert_eq!(rows(&origin), rows(&world.open(1)));
}

#[test]
fn a_kept_back_version_takes_away_only_what_stands_and_only_once() {
    let world = World::new();
    let (origin, mirror) = (world.open(0), world.open(1));
    let versions = fill(&world, &origin);
    world.follow(&origin, &mirror, |_| true);
    let now = Timestamp::now();
    let next = world.registry.after(&versions[1], Some(draft("次", 40, &[], now)), now);
    let withheld = |index: u64, version: u64, follows: u64| {
        let copied = Copied::Withheld { version, supersedes: entry_at(&mirror, follows) };
        let statement = next.statement.clone();
        Proposal::Copy(CopyProposal { index, statement, leaf: next.leaf, time: now.as_seconds(), copied })
    };
    let known = rows(&mirror);
    for (what, wrong) in [("an older version", withheld(7, 2, 5)), ("another version", withheld(7, 4, 6))] {
        let outcome = mirror.commit_blocking(vec![wrong], false).pop().unwrap();
        assert!(matches!(outcome, Outcome::Unfit(_)), "{what}: {outcome:?}");
        assert_eq!(rows(&mirror), known, "{what}");
    }
    let outcomes = mirror.commit_blocking(vec![withheld(7, 3, 6), withheld(8, 3, 6)], false);
    assert!(matches!(outcomes.as_slice(), [Outcome::Committed(_), Outcome::Unfit(_)]), "{outcomes:?}");
    let outcome = mirror.commit_blocking(vec![withheld(8, 3, 6)], false).pop().unwrap();
    assert!(matches!(outcome, Outcome::Unfit(_)), "{outcome:?}");
    let left = rows(&mirror);
    assert!(left.len() < known.len() && left.iter().all(|row| known.contains(row)));
    drop(mirror);
    assert_eq!(rows(&world.open(1)), left, "made anew it is the same");
}

#[test]
fn a_name_is_erased_once_whether_it_was_shown_or_not_and_the_mirror_opens_again() {
    for shown in [true, false] {
        let world = World::new();
        let (origin, mirror) = (world.open(0), world.open(1));
        let versions = fill(&world, &origin);
        world.follow(&origin, &mirror, |_| shown);
        let later = |second: i64| Timestamp::from_seconds(1_800_000_000 + second).unwrap();
        let last = |index: u64, second: i64| {
            let Proposal::Erase { statements, .. } = world.registry.erasure(&versions, later(second)) else {
                unreachable!()
            };
            let statement = statements[0].statement.clone();
            let (leaf, copied) = (leaf_hash(&statement), Copied::Erasure { erased: None });
            Proposal::Copy(CopyProposal { index, statement, leaf, time: 1_800_000_000 + second, copied })
        };
        // Of one time or of two, in one group or in two: one row stands for both.
        let outcomes = mirror.commit_blocking(vec![last(7, 1), last(8, 2)], false);
        assert!(matches!(outcomes.as_slice(), [Outcome::Committed(_), Outcome::Unfit(_)]), "{outcomes:?}");
        let outcome = mirror.commit_blocking(vec![last(8, 3)], false).pop().unwrap();
        assert!(matches!(outcome, Outcome::Unfit(_)), "{outcome:?}");
        let before = rows(&mirror);
        drop(mirror);
        assert_eq!(rows(&world.open(1)), before, "shown: {shown}");
    }
}

#[test]
fn what_no_honest_origin_has_is_refused_and_changes_nothing() {
    let world = World::new();
    let (origin, mirror) = (world.open(0), world.open(1));
    let versions = fill(&world, &origin);
    world.follow(&origin, &mirror, |_| true);
    let (tail, known) = (mirror.tail(), rows(&mirror));
    let now = Timestamp::now();
    let offer = |index: u64, version: &Version, prev: Option<[u8; 32]>, registered: i64| CopyProposal {
        index,
        statement: version.statement.clone(),
        leaf: version.leaf,
        time: now.as_seconds(),
        copied: Copied::Entry {
            record: Arc::new(version.record.clone()),
            sid: version.sid,
            prev,
            disclosures: version.disclosures.clone(),
            registered,
            effect: version.effect,
        },
    };
    let since = versions[0].record.registered.as_seconds();
    let next = world.registry.after(&versions[1], Some(draft("次", 40, &[], now)), now);
    let thief = world.registry.first(&format!("{BLINDED}/THIEF"), draft("盗", 40, &[2], now), now);
    let again = world.registry.first(&format!("{BLINDED}/A"), draft("重", 40, &[], now), now);
    let place = mirror.trees().reader(Tree::Registry).place(5).unwrap().unwrap();
    let Proposal::Erase { statements, .. } = world.registry.erasure(&versions, now) else { unreachable!() };
    let erasure = |of: usize| CopyProposal {
        index: 7,
        statement: statements[of].statement.clone(),
        leaf: leaf_hash(&statements[of].statement),
        time: now.as_seconds(),
        copied: Copied::Erasure { erased: Some((place, 5)) },
    };
    for (what, wrong) in [
        ("a gap", offer(8, &next, Some(versions[1].leaf), since)),
        ("another version before", offer(7, &next, Some(versions[0].leaf), since)),
        ("another time", offer(7, &next, Some(versions[1].leaf), since + 1)),
        ("a stolen name", offer(7, &thief, None, now.as_seconds())),
        ("a first version once more", offer(7, &again, None, now.as_seconds())),
        ("the last erasure, of an older version", erasure(0)),
    ] {
        let outcome = mirror.commit_blocking(vec![Proposal::Copy(wrong)], false).pop().unwrap();
        assert!(matches!(outcome, Outcome::Unfit(_)), "{what}: {outcome:?}");
        assert_eq!((mirror.tail(), rows(&mirror)), (tail, known.clone()), "{what}");
    }
    let right = offer(7, &next, Some(versions[1].leaf), since);
    commit(&mirror, vec![Proposal::Copy(right)]);
}
