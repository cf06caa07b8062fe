//! A journal with cold segments is cut: at a damaged place, at a hole, through crashes at every step.

use super::*;

const SECOND: &str = "0000000002.journal";

#[test]
fn a_segment_that_is_lost_for_good_is_cut_off_where_the_message_says() {
    let (on_disk, versions) = OnDisk::filled(NEVER, 60);
    let store = on_disk.open();
    store.move_to_cold(1).unwrap();
    let kept = versions.iter().filter(|v| store.row(v.key()).unwrap().unwrap().location.segment < 3).count();
    drop(store);
    std::fs::remove_file(on_disk.path("cold/0000000003.journal")).unwrap();
    let error = on_disk.refusal(&on_disk.options);
    let ColdError::Missing { end: Some(place), .. } = &error else { panic!("{error}") };
    for told in [error.to_string(), error.text().zh] {
        assert!(told.contains(&format!("mingpai doctor --cut-journal {place}")), "{told}");
    }
    let (segment, offset) = place.split_once(':').unwrap();
    assert_eq!(segment, SECOND);
    cut_journal(&on_disk.options, segment, offset.parse().unwrap()).unwrap();
    // Somebody may have been shown what is gone: the log takes nothing before it has another name.
    let store = on_disk.open();
    compare(&store, &versions[..kept]);
    assert_eq!(store.tail().sequence, kept as u64);
    let refused = store.commit_blocking(vec![first(&on_disk.registry, 99).propose(Expect::Absent, None)], false);
    assert!(matches!(refused[..], [Outcome::Refused(Refusal::Undecided)]), "{refused:?}");
    drop(store);
    let data = on_disk.options.folder.as_path();
    assert!(matches!(decide(data, Decision::LogEndedHere), Err(DecideError::WentOn)));
    decide(data, Decision::NewOrigin { origin: None }).unwrap();
    let store = on_disk.open();
    register(&store, &on_disk.registry, 100..130);
}

/// Wherever a first attempt ends: what is before the place is kept, what is behind it is aside, and the same cut can be made again.
#[test]
fn a_crash_at_every_step_of_a_cut_leaves_a_journal_that_is_cut_again() {
    let registry = Registry::new();
    let versions: Vec<Version> = (0..32).map(|number| first(&registry, number)).collect();
    let damaged = |seed, is_cold: bool| {
        let machine = Machine::new(seed);
        let store = open_on(&machine, &registry).unwrap();
        for version in &versions {
            commit(&store, vec![version.propose(Expect::Absent, None)]);
        }
        store.take_snapshot().unwrap();
        if is_cold {
            store.move_to_cold(1).unwrap();
        }
        let rows = versions.iter().map(|version| store.row(version.key()).unwrap().unwrap());
        let row = rows.filter(|row| row.location.segment == 2).nth(1).unwrap();
        drop(store);
        machine.restart(End::Kill);
        let disk = if is_cold { &machine.cold } else { &machine.hot };
        disk.rot(SECOND, row.location.offset as usize + 60, 4);
        // Where what vouches for it is not there, the damage is named.
        let is_derived = |name: &String| name == "checkpoint" || name.ends_with(".rows");
        let derived: Vec<String> = machine.hot.names().into_iter().filter(is_derived).collect();
        assert_eq!(derived.len(), 2);
        let kept: Vec<Vec<u8>> = derived.iter().map(|name| machine.hot.bytes(name)).collect();
        derived.iter().for_each(|name| machine.hot.lose(name));
        let place = match open_on(&machine, &registry).map(drop) {
            Err(OpenError::Journal(JournalError::Damaged { segment, offset, .. })) => (segment, offset),
            other => panic!("{other:?}"),
        };
        machine.restart(End::Kill);
        derived.iter().zip(kept).for_each(|(name, bytes)| machine.hot.put(name, bytes));
        (machine, row.index as usize, place)
    };
    let (mut step, mut holes) = (0, 0);
    loop {
        let mut is_over = false;
        let ends = [(End::Kill, 1), (End::PowerCut, 2), (End::PowerCut, 3), (End::PowerCut, 4)];
        for ((end, seed), is_cold) in ends.into_iter().flat_map(|end| [(end, false), (end, true)]) {
            let at = format!("step {step}, {end:?}, seed {seed}, cold {is_cold}");
            let (machine, before, (segment, offset)) = damaged(seed + 100 * step, is_cold);
            assert_eq!(segment, SECOND);
            let cut = || cut_journal_on_both(machine.media(), &segment, offset);
            machine.die_in(step);
            is_over = cut().is_ok() && !machine.is_dead();
            machine.restart(end);
            match open_on(&machine, &registry).map(|store| store.tail().sequence as usize) {
                // Behind all of it stands the seal of the stop.
                Ok(sequence) => assert!(sequence == before || sequence > versions.len(), "{at}: {sequence}"),
                Err(OpenError::Cold(ColdError::Missing { .. })) => holes += 1,
                Err(OpenError::Journal(JournalError::Damaged { segment: named, .. })) => {
                    assert_eq!(named, SECOND, "{at}: the place that is named can be cut");
                }
                Err(error) => panic!("{at}: {error}"),
            }
            machine.restart(End::Kill);
            cut().unwrap_or_else(|error| panic!("{at}: {error}"));
            machine.restart(End::PowerCut);
            let store = open_on(&machine, &registry).unwrap_or_else(|error| panic!("{at}: {error}"));
            assert_eq!(store.tail().sequence as usize, before, "{at}");
            compare(&store, &versions[..before]);
            // The one at the place is the damaged one.
            let mut aside = Vec::new();
            for disk in [&machine.hot, &machine.cold] {
                let names = disk.names().into_iter().filter(|name| name.ends_with(".cut"));
                aside.extend(names.map(|name| disk.bytes(&name)));
            }
            for version in &versions[before + 1..] {
                assert!(aside.iter().any(|bytes| contains(bytes, &version.statement)), "{at}: it is not aside");
            }
        }
        if is_over {
            break;
        }
        step += 1;
    }
    println!("{step} steps; after {holes} crashes a segment was missing");
    assert!(step > 12, "{step}");
}
