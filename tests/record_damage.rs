//! One record that cannot be read any more while the node runs: it is refused by itself, and nobody else notices.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::Path;
use std::sync::Arc;

use mingpai::model::time::Timestamp;
use mingpai::store::journal::Location;
use mingpai::store::{EngineChoice, Expect, Outcome, Proposal, Refusal, Store};
use seam::disk::{End, TestDisk};
use seam::history::compare_record;
use seam::registry::{BLINDED, Ear, Registry, Version, draft};

/// A store in memory on a test disk.
struct Stand {
    registry: Registry,
    disk: TestDisk,
    ear: Arc<Ear>,
    store: Store,
}

fn open(disk: &TestDisk, registry: &Registry) -> (Store, Arc<Ear>) {
    let options = seam::options(Path::new(""), EngineChoice::Memory);
    let ear = Arc::new(Ear::default());
    let opened = Store::open_in_memory_on(&options, disk.medium(), registry.reader(), ear.clone(), ear.clone());
    (opened.unwrap().0, ear)
}

impl Stand {
    fn new() -> Stand {
        let (registry, disk) = (Registry::new(), TestDisk::new(1));
        let (store, ear) = open(&disk, &registry);
        Stand { registry, disk, ear, store }
    }

    fn first(&self, name: &str, value_bytes: usize, aliases: &[u64]) -> Version {
        let now = Timestamp::now();
        let first = self.registry.first(&format!("{BLINDED}/{name}"), draft("件", value_bytes, aliases, now), now);
        assert!(is_committed(&self.commit(vec![first.propose(Expect::Absent, None)])));
        first
    }

    fn after(&self, before: &Version) -> (Version, Proposal) {
        let now = Timestamp::now();
        let next = self.registry.after(before, Some(draft("改", 50, &[], now)), now);
        let proposal = next.propose(before.expect(), None);
        (next, proposal)
    }

    fn commit(&self, proposals: Vec<Proposal>) -> Vec<Outcome> {
        self.store.commit_blocking(proposals, false)
    }

    fn place(&self, version: &Version) -> Location {
        self.store.row(version.key()).unwrap().unwrap().location
    }

    /// Damages a version's frame; done again, it mends it.
    fn rot(&self, version: &Version, place: Location, rot: Rot) {
        let name = format!("{:010}.journal", place.segment);
        let end = (place.offset + place.length) as usize;
        match rot {
            Rot::Kept => self.disk.rot(&name, place.offset as usize + 30, 4),
            Rot::Disclosures => self.disk.rot(&name, end - 9, 4),
            Rot::Blank => {
                let start = end - version.disclosures.len();
                version.disclosures.iter().enumerate().for_each(|(at, byte)| self.disk.rot(&name, start + at, *byte));
            }
        }
    }

    fn is_healthy(&self) {
        assert!(!self.store.is_poisoned());
        assert!(self.ear.fatal.lock().is_empty(), "{:?}", self.ear.fatal.lock());
    }

    /// Ends the process and opens again, as an operator does who has put the segment back.
    fn reopen(&mut self) {
        self.disk.restart(End::Kill);
        (self.store, self.ear) = open(&self.disk, &self.registry);
    }
}

#[derive(Clone, Copy, Debug)]
enum Rot {
    /// A bit of what is kept for ever.
    Kept,
    /// A bit of the disclosures.
    Disclosures,
    /// Zeros over all of the disclosures: what an erasure leaves, but none was ordered.
    Blank,
}

fn is_committed(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Committed(_)))
}

fn is_damaged(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Damaged(_))
}

#[test]
fn a_change_of_a_record_that_rotted_is_refused_before_anything_is_durable() {
    for (rot, value_bytes) in
        [Rot::Kept, Rot::Disclosures, Rot::Blank].into_iter().flat_map(|rot| [(rot, 40), (rot, 2_000)])
    {
        let mut stand = Stand::new();
        let (sick, well) = (stand.first("SICK", value_bytes, &[1]), stand.first("WELL", value_bytes, &[2]));
        let place = stand.place(&sick);
        stand.rot(&sick, place, rot);
        let frames = stand.store.tail().sequence;
        let ((sick_next, change), (well_next, other)) = (stand.after(&sick), stand.after(&well));
        let outcomes = stand.commit(vec![change.clone(), other]);
        let [damaged, Outcome::Committed(_)] = outcomes.as_slice() else { panic!("{rot:?}: {outcomes:?}") };
        assert!(is_damaged(damaged), "{rot:?}: {damaged:?}");
        assert_eq!(stand.store.tail().sequence, frames + 1, "{rot:?}: only the sound one is in the journal");
        stand.is_healthy();
        assert!(is_damaged(&stand.commit(vec![change.clone()])[0]), "{rot:?}: again");
        stand.first("NEW", 40, &[]);
        // Put back from a backup.
        stand.rot(&sick, place, rot);
        stand.reopen();
        compare_record(&stand.store, sick.key(), std::slice::from_ref(&sick));
        compare_record(&stand.store, well_next.key(), &[well, well_next.clone()]);
        assert!(is_committed(&stand.commit(vec![change])));
        compare_record(&stand.store, sick_next.key(), &[sick, sick_next.clone()]);
        stand.is_healthy();
    }
}

#[test]
fn an_erasure_that_meets_rot_in_any_version_erases_none() {
    for (sick, rot) in (0..3).flat_map(|sick| [(sick, Rot::Kept), (sick, Rot::Disclosures)]) {
        let mut stand = Stand::new();
        let mut versions = vec![stand.first("GONE", 40, &[1])];
        let mut places = vec![stand.place(&versions[0])];
        for _ in 0..2 {
            let (next, change) = stand.after(versions.last().unwrap());
            assert!(is_committed(&stand.commit(vec![change])));
            places.push(stand.place(&next));
            versions.push(next);
        }
        stand.rot(&versions[sick], places[sick], rot);
        let erasure = stand.registry.erasure(&versions, Timestamp::now());
        let outcomes = stand.commit(vec![erasure.clone()]);
        assert!(is_damaged(&outcomes[0]), "version {sick}, {rot:?}: {outcomes:?}");
        stand.is_healthy();
        stand.first("NEW", 40, &[1_000]);
        stand.rot(&versions[sick], places[sick], rot);
        stand.reopen();
        compare_record(&stand.store, versions[0].key(), &versions);
        assert!(is_committed(&stand.commit(vec![erasure])));
        assert!(stand.store.row(versions[0].key()).unwrap().is_none());
        stand.is_healthy();
    }
}

#[test]
fn a_read_that_fails_while_a_proposal_is_checked_poisons_nothing_and_may_be_tried_again() {
    let stand = Stand::new();
    let versions = [stand.first("A", 40, &[1])];
    let change = stand.after(&versions[0]).1;
    let frames = stand.store.tail().sequence;
    for proposal in [change.clone(), stand.registry.erasure(&versions, Timestamp::now())] {
        stand.disk.set_reads_fail(true);
        let outcomes = stand.commit(vec![proposal]);
        assert!(matches!(outcomes[0], Outcome::Refused(Refusal::ReadFailed(_))), "nothing was written: {outcomes:?}");
        stand.is_healthy();
        stand.first(&format!("B-{}", stand.store.tail().sequence), 40, &[]);
        stand.disk.set_reads_fail(false);
    }
    assert_eq!(stand.store.tail().sequence, frames + 2, "what was refused is not in the journal");
    assert!(is_committed(&stand.commit(vec![change])));
    stand.is_healthy();
}

/// What was read to prove a change is what it is applied by.
#[test]
fn a_change_reads_the_version_before_once_and_a_first_version_reads_nothing() {
    let stand = Stand::new();
    let operations = |proposals| {
        let before = stand.disk.operations();
        assert!(is_committed(&stand.commit(proposals)));
        stand.disk.operations() - before
    };
    let _segment_is_made = stand.first("ZERO", 40, &[]);
    let now = Timestamp::now();
    let one = stand.registry.first(&format!("{BLINDED}/ONE"), draft("件", 2_000, &[1], now), now);
    assert_eq!(operations(vec![one.propose(Expect::Absent, None)]), 4, "a write, a sync, and two writes of the tree");
    let (two, change) = stand.after(&one);
    assert_eq!(operations(vec![change]), 5, "a read, a write, a sync, and two writes of the tree");
    compare_record(&stand.store, one.key(), &[one.clone(), two]);
}
