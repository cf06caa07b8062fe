//! What was erased is not left in, and does not come back from, a cold folder that could not be written to, was left with a copy
//! that does not count, or was put back from before.

use super::*;

const FIRST: &str = "0000000001.journal";

#[test]
fn a_folder_that_became_read_only_opens_with_what_was_erased_before() {
    let (registry, machine) = (Registry::new(), Machine::new(400));
    let store = open_on(&machine, &registry).unwrap();
    let versions = register(&store, &registry, 0..40);
    store.move_to_cold(1).unwrap();
    commit(&store, vec![registry.erasure(&versions[..1], Timestamp::now())]);
    // A crash: the opening comes upon the erasure, and would blank once more.
    machine.die_in(0);
    drop(store);
    machine.restart(End::PowerCut);
    machine.set_trouble(Trouble::ReadOnly);
    let store = open_on(&machine, &registry).expect("it is blank there already");
    compare(&store, &versions[1..]);
    assert!(store.row(versions[0].key()).unwrap().is_none());
    machine.die_in(0);
    drop(store);
    // An older copy of the folder is not blank, and is not taken for it.
    machine.restart(End::Kill);
    let (pristine, offset) = unblanked(&versions, &machine);
    machine.cold.rot(FIRST, offset, pristine);
    machine.set_trouble(Trouble::ReadOnly);
    assert!(open_on(&machine, &registry).is_err(), "what is erased cannot be blanked");
    // Nor are zeros that were written, and that the file system has in memory alone for good.
    machine.set_trouble(Trouble::None);
    let [_, cold] = machine.media();
    cold.open(FIRST).unwrap().write_all_at(&[0], offset as u64).unwrap();
    machine.set_trouble(Trouble::GaveUp);
    assert!(open_on(&machine, &registry).is_err(), "the disk still says what is erased");
}

/// A blanked byte of the first version, and what it was.
fn unblanked(versions: &[Version], machine: &Machine) -> (u8, usize) {
    let bytes = machine.cold.bytes(FIRST);
    let statement = &versions[0].statement;
    let at = bytes.windows(statement.len()).position(|window| window == statement).unwrap() + statement.len();
    let first = versions[0].disclosures.iter().position(|byte| *byte != 0).unwrap();
    assert!(bytes[at..at + versions[0].disclosures.len()].iter().all(|byte| *byte == 0), "it is blank behind it");
    (versions[0].disclosures[first], at + first)
}

/// The copy got its name, and the segment could not be removed beside it.
#[test]
fn a_copy_that_a_failed_move_left_goes_before_anything_else_and_with_it_what_was_erased() {
    let (registry, machine) = (Registry::new(), Machine::new(401));
    let store = open_on(&machine, &registry).unwrap();
    let versions = register(&store, &registry, 0..40);
    machine.set_hot_removals_fail(true);
    assert!(store.move_to_cold(1).is_err());
    assert_eq!((machine.in_both(), store.places().cold_segments), (1, 0));
    commit(&store, vec![registry.erasure(&versions[..1], Timestamp::now())]);
    assert!(contains(&machine.cold.bytes(FIRST), &versions[0].disclosures), "it is the copy from before");
    machine.set_hot_removals_fail(false);
    // There is no room for another copy, and nothing is due by the rule.
    machine.set_trouble(Trouble::Room(0));
    assert!(matches!(store.move_to_cold(NEVER), Err(MoveError::Full { .. })));
    assert_eq!(machine.cold_names(), ["mingpai-cold"], "the copy is gone all the same");
    machine.set_trouble(Trouble::None);
    assert!(store.move_to_cold(1).unwrap() > 2);
    assert!(!contains(&machine.cold.bytes(FIRST), &versions[0].disclosures));
    compare(&store, &versions[1..]);
}

/// The copy in the cold folder may be all there is of a segment that has rotted.
#[test]
fn a_copy_is_not_removed_beside_a_segment_that_is_damaged() {
    let (registry, machine) = (Registry::new(), Machine::new(402));
    let store = open_on(&machine, &registry).unwrap();
    register(&store, &registry, 0..40);
    machine.set_hot_removals_fail(true);
    assert!(store.move_to_cold(1).is_err());
    machine.set_hot_removals_fail(false);
    machine.hot.rot(FIRST, 2_000, 1);
    assert!(matches!(store.move_to_cold(1), Err(MoveError::Damaged { .. })));
    assert!(machine.cold_names().contains(&FIRST.to_owned()));
    // The others are no worse for it.
    assert!(store.places().cold_segments > 2);
    assert_eq!((machine.in_both(), store.places().hot_segments), (1, 3));
}

#[test]
fn an_older_copy_of_the_cold_folder_is_found_to_disclose_and_a_rebuild_blanks_it() {
    let mut on_disk = OnDisk::new(NEVER);
    on_disk.options.engine = SLED;
    let store = on_disk.open();
    let versions = register(&store, &on_disk.registry, 0..40);
    store.move_to_cold(1).unwrap();
    let segment = on_disk.path("cold").join(FIRST);
    let before = std::fs::read(&segment).unwrap();
    let erased =
        versions[..2].iter().map(|version| on_disk.registry.erasure(std::slice::from_ref(version), Timestamp::now()));
    commit(&store, erased.collect());
    drop(store);
    assert_eq!(doctor::examine(&on_disk.options).unwrap().journal.disclosing, 0);
    std::fs::write(&segment, &before).unwrap();
    // A start begins at the checkpoint and does not come upon it.
    drop(on_disk.open());
    assert_eq!(doctor::examine(&on_disk.options).unwrap().journal.disclosing, 2);
    doctor::rebuild(&on_disk.options, on_disk.registry.reader()).unwrap();
    let after = std::fs::read(&segment).unwrap();
    assert!(versions[..2].iter().all(|version| !contains(&after, &version.disclosures)));
    assert_eq!(doctor::examine(&on_disk.options).unwrap().journal.disclosing, 0);
    compare(&on_disk.open(), &versions[2..]);
}
