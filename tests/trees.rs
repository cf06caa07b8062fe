//! The log's two trees in files: whatever becomes of the files, the trees are those of the journal, or nobody is given a head.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::path::Path;
use std::sync::Arc;

use mingpai::model::time::Timestamp;
use mingpai::sign::statement::{AuditEvent, AuditStatement};
use mingpai::store::journal::FrameKind;
use mingpai::store::trees::{Heads, Tree};
use mingpai::store::{EngineChoice, Expect, Outcome, Proposal, Store, StoreOptions};
use seam::disk::{End, TestDisk};
use seam::registry::{BLINDED, Ear, Registry, draft};
use seam::trees::{compare, wait};

const MARK: &str = "trees.mark";

struct World {
    disk: TestDisk,
    registry: Registry,
    options: StoreOptions,
}

impl World {
    fn new() -> World {
        let options = seam::options(Path::new(""), EngineChoice::Memory);
        World { disk: TestDisk::new(1), registry: Registry::new(), options }
    }

    fn open(&self) -> Store {
        let ear = Arc::new(Ear::default());
        let medium = self.disk.medium();
        Store::open_in_memory_on(&self.options, medium, self.registry.reader(), ear.clone(), ear).unwrap().0
    }

    /// So many records from a number on, with an event of the audit tree after every tenth.
    fn write(&self, store: &Store, from: usize, count: usize) {
        let now = Timestamp::now();
        let mut proposals = Vec::new();
        for number in from..from + count {
            let version = self.registry.first(&format!("{BLINDED}/TREE-{number}"), draft("叶", 40, &[], now), now);
            proposals.push(version.propose(Expect::Absent, None));
            if number % 10 == 0 {
                proposals.push(self.event(number));
            }
        }
        for group in proposals.chunks(20) {
            for outcome in store.commit_blocking(group.to_vec(), false) {
                assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
            }
        }
    }

    fn event(&self, number: usize) -> Proposal {
        let statement = AuditStatement {
            iat: 1,
            iss: "urn:example".to_owned(),
            principal: "auditor".to_owned(),
            event: AuditEvent::KeyRevoked { id: format!("key-{number}") },
        };
        Proposal::Statement(self.registry.statement(FrameKind::Audit, &statement))
    }

    /// A store with its trees in files, stopped.
    fn filled(count: usize) -> (World, Heads) {
        let world = World::new();
        let store = world.open();
        world.write(&store, 0, count);
        compare(&store);
        let heads = store.trees().heads().unwrap().0;
        assert!(heads.audit.size > 0 && heads.registry.size as usize == count);
        drop(store);
        (world, heads)
    }

    /// Opens it again, compares, and sees that it goes on from there.
    fn goes_on(&self, heads: Heads) {
        let store = self.open();
        compare(&store);
        assert_eq!(store.trees().heads().unwrap().0, heads);
        self.write(&store, 100_000, 37);
        compare(&store);
    }
}

#[test]
fn trees_grow_with_each_group_and_are_found_again_after_a_stop() {
    let (world, heads) = World::filled(700);
    assert!(world.disk.names().contains(&MARK.to_owned()));
    world.goes_on(heads);
}

#[test]
fn a_bit_that_rotted_in_a_file_is_noticed_wherever_the_root_rests_on_it_and_the_tree_is_made_anew() {
    // 512 leaves are one perfect tree: its root is the only hash that the mark's root is made of.
    let (world, heads) = World::filled(512);
    let last = world.disk.bytes("registry.tree").len() - 32;
    world.disk.rot("registry.tree", last, 4);
    world.goes_on(heads);
    let (world, heads) = World::filled(512);
    world.disk.rot("audit.tree", 0, 1);
    // Hidden below the edge: no head rests on it, and whoever reads it is told so (tests/http/log.rs).
    let store = world.open();
    assert_eq!(store.trees().heads().unwrap().0, heads);
    drop(store);
    let mark = world.disk.bytes(MARK).len() / 2;
    world.disk.rot(MARK, mark, 1);
    world.goes_on(heads);
}

#[test]
fn files_that_are_lost_short_or_of_another_log_are_made_anew() {
    for name in ["registry.tree", "registry.places", "audit.tree", "audit.places", MARK] {
        let (world, heads) = World::filled(300);
        world.disk.lose(name);
        world.goes_on(heads);
    }
    for name in ["registry.tree", "registry.places", "audit.tree", "audit.places"] {
        let (world, heads) = World::filled(300);
        let mut bytes = world.disk.bytes(name);
        bytes.pop();
        world.disk.put(name, bytes);
        world.goes_on(heads);
    }
    // As many statements, but other ones.
    let ((world, heads), (other, others)) = (World::filled(300), World::filled(300));
    assert_eq!(heads.registry.size, others.registry.size);
    assert_ne!(heads.registry.root, others.registry.root);
    for name in ["registry.tree", "registry.places", "audit.tree", "audit.places", MARK] {
        world.disk.put(name, other.disk.bytes(name));
    }
    world.goes_on(heads);
    // Of this log, but from further on than the journal goes.
    let (world, _) = World::filled(300);
    let (early, _) = World::filled(20);
    let is_of_a_tree = |name: &String| name.ends_with(".tree") || name.ends_with(".places") || name == MARK;
    world.disk.names().iter().filter(|name| !is_of_a_tree(name)).for_each(|name| world.disk.lose(name));
    for name in early.disk.names().into_iter().filter(|name| !is_of_a_tree(name)) {
        world.disk.put(&name, early.disk.bytes(&name));
    }
    let store = world.open();
    compare(&store);
    assert_eq!(store.trees().heads().unwrap().0.registry.size, 20);
}

#[test]
fn after_a_kill_or_a_power_cut_without_any_mark_they_are_made_from_the_journal() {
    for end in [End::Kill, End::PowerCut] {
        let world = World::new();
        let store = world.open();
        world.write(&store, 0, 400);
        let heads = store.trees().heads().unwrap().0;
        // From here on nothing reaches the disk: neither the stop's seal nor its mark.
        world.disk.die_in(0);
        drop(store);
        world.disk.restart(end);
        assert!(!world.disk.names().contains(&MARK.to_owned()));
        world.goes_on(heads);
    }
}

#[test]
fn what_takes_long_is_made_beside_while_the_store_answers_and_writes() {
    let (world, _) = World::filled(25_000);
    world.disk.lose(MARK);
    let store = world.open();
    // Heads come once they are right, and not before.
    if let Some((heads, _)) = store.trees().heads() {
        assert_eq!(heads.registry.size, 25_000);
    }
    world.write(&store, 25_000, 200);
    wait(&store);
    compare(&store);
    assert_eq!(store.trees().heads().unwrap().0.registry.size, 25_200);
}

#[test]
fn a_store_that_was_opened_tells_of_no_leaf_that_is_not_there() {
    let (world, heads) = World::filled(3);
    let store = world.open();
    let reader = store.trees().reader(Tree::Registry);
    assert_eq!(reader.size(), heads.registry.size);
    assert_eq!(reader.place(3).unwrap(), None);
    assert_eq!(reader.places(2, 5).unwrap().len(), 1);
    assert!(reader.row(0, 3..4).is_err());
    assert!(reader.row(0, 4..4).unwrap().is_empty());
}
