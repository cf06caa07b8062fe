//! A cold disk that goes away, hangs, or is another one while the store runs: what has no business there does not feel it.

use std::thread;

use super::*;

const FIRST: &str = "0000000001.journal";

fn snapshots(machine: &Machine) -> Vec<String> {
    machine.hot.names().into_iter().filter(|name| name.ends_with(".rows")).collect()
}

/// Does something that must not wait for the cold disk.
fn soon<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = crossbeam_channel::bounded(1);
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(Duration::from_secs(60)).expect("it waits for the cold disk")
}

/// A store with cold segments, and what is in it.
fn half_cold(machine: &Machine, registry: &Registry) -> (Arc<Store>, Vec<Version>) {
    let store = Arc::new(open_on(machine, registry).unwrap());
    let versions = register(&store, registry, 0..40);
    store.move_to_cold(1).unwrap();
    (store, versions)
}

#[test]
fn an_old_snapshot_goes_while_the_cold_folder_is_away() {
    let (registry, machine) = (Registry::new(), Machine::new(300));
    let (store, versions) = half_cold(&machine, &registry);
    store.take_snapshot().unwrap();
    assert_eq!(snapshots(&machine).len(), 1);
    machine.set_trouble(Trouble::Away);
    commit(&store, vec![registry.erasure(&versions[39..], Timestamp::now())]);
    // It may say what was erased.
    wait(&|| snapshots(&machine).is_empty());
}

#[test]
fn a_cold_disk_that_hangs_holds_up_neither_snapshots_nor_reads_nor_the_stop() {
    let (registry, machine) = (Registry::new(), Machine::new(301));
    let (store, versions) = half_cold(&machine, &registry);
    store.take_snapshot().unwrap();
    let row = store.row(versions[0].key()).unwrap().unwrap();
    assert_eq!(row.location.segment, 1);
    machine.set_trouble(Trouble::Hangs);
    commit(&store, vec![registry.erasure(&versions[39..], Timestamp::now())]);
    wait(&|| snapshots(&machine).is_empty());
    // The thread that asks it waits; others see that, and do not.
    wait(&|| store.cold().unwrap().is_away);
    assert_eq!(machine.waiting(), 1);
    let reading = Arc::clone(&store);
    let read = soon(move || reading.frame(row.location));
    assert!(matches!(&read, Err(JournalError::Io { .. })), "{read:?}");
    let (erasing, erasure) = (Arc::clone(&store), registry.erasure(&versions[..1], Timestamp::now()));
    let refused = soon(move || erasing.commit_blocking(vec![erasure], false));
    assert!(matches!(refused[0], Outcome::Refused(Refusal::ReadFailed(_))), "{refused:?}");
    assert_eq!(machine.waiting(), 1, "nobody else went there");
    let stopping = Arc::clone(&store);
    soon(move || stopping.stop());
    assert_eq!(machine.waiting(), 1, "the thread is left behind");
    machine.set_trouble(Trouble::None);
    wait(&|| machine.waiting() == 0);
    drop(store);
    machine.restart(End::PowerCut);
    compare(&open_on(&machine, &registry).unwrap(), &versions[..39]);
}

/// Whatever of a move it is that never comes back, the stop is not kept by it; and what comes back in the end moves nothing any more.
#[test]
fn a_move_that_hangs_is_left_behind_and_moves_nothing_once_it_goes_on() {
    let (registry, machine) = (Registry::new(), Machine::new(302));
    let options = options(Path::new(""), 1);
    let ear = Arc::new(Ear::default());
    let opened = Store::open_in_memory_on_both(&options, machine.media(), registry.reader(), ear.clone(), ear.clone());
    let store = Arc::new(opened.unwrap().0);
    machine.at_cold_sync(Some(machine.becomes(Trouble::Hangs)));
    let versions = register(&store, &registry, 0..40);
    wait(&|| machine.waiting() == 1);
    let stopping = Arc::clone(&store);
    soon(move || stopping.stop());
    machine.at_cold_sync(None);
    machine.set_trouble(Trouble::None);
    drop(store);
    wait(&|| machine.cold_names() == ["mingpai-cold"]);
    assert!(machine.hot.names().contains(&FIRST.to_owned()));
    machine.restart(End::Kill);
    compare(&open_on(&machine, &registry).unwrap(), &versions);
}

#[test]
fn a_segment_is_not_taken_for_moved_where_its_copy_is_below_a_mount_that_has_gone() {
    for at_name in [false, true] {
        let (registry, machine) = (Registry::new(), Machine::new(303));
        let store = open_on(&machine, &registry).unwrap();
        let versions = register(&store, &registry, 0..40);
        let full = store.places().hot_segments - 1;
        assert!(full > 3);
        assert_eq!(store.move_to_cold(full - 1).unwrap(), 1);
        // Between two segments, or when the second one has got its name: an empty mount point takes what it is given.
        match at_name {
            true => machine.at_cold_name(Some(machine.becomes(Trouble::Unmounted))),
            false => machine.set_trouble(Trouble::Unmounted),
        }
        let error = store.move_to_cold(1).unwrap_err();
        assert!(matches!(error, MoveError::Away(_)), "{error}");
        assert_eq!(machine.bare.names(), Vec::<String>::new(), "nothing is left in the mount point");
        assert_eq!(store.places().cold_segments, 1);
        machine.at_cold_name(None);
        machine.set_trouble(Trouble::None);
        wait(&|| !store.cold().unwrap().is_away);
        compare(&store, &versions);
        drop(store);
        machine.restart(End::PowerCut);
        let store = open_on(&machine, &registry).unwrap();
        compare(&store, &versions);
        assert!(store.move_to_cold(1).unwrap() > 1);
        assert_eq!(machine.in_both(), 0);
        compare(&store, &versions);
    }
}

/// As an operator copies it back: nobody has made it durable.
fn copy_back(machine: &Machine) {
    let [hot, _] = machine.media();
    for name in machine.cold_names().into_iter().filter(|name| name.ends_with(".journal")) {
        let bytes = machine.cold.bytes(&name);
        hot.create(&name, bytes.len() as u64).unwrap().write_all_at(&bytes, 0).unwrap();
    }
}

#[test]
fn what_was_copied_back_is_durable_before_the_copies_in_the_cold_folder_go() {
    for seed in 0.. {
        let (registry, machine) = (Registry::new(), Machine::new(500 + seed));
        let (store, versions) = half_cold(&machine, &registry);
        drop(store);
        machine.restart(End::Kill);
        copy_back(&machine);
        let store = open_on(&machine, &registry).unwrap();
        machine.die_in(seed);
        let is_moved = store.move_to_cold(NEVER).is_ok();
        machine.die_in(0);
        drop(store);
        machine.restart(End::PowerCut);
        // What is still in both may be lost in the hot one, and an operator copies it again; it must not be in neither.
        let in_cold = machine.cold_names().into_iter().filter(|name| name.ends_with(".journal"));
        in_cold.filter(|name| machine.hot.names().contains(name)).for_each(|name| machine.hot.lose(&name));
        compare(&open_on(&machine, &registry).unwrap(), &versions);
        if is_moved {
            assert!(seed > 20);
            return;
        }
    }
}

#[test]
fn a_start_forgets_the_cold_folder_only_once_all_that_was_copied_back_is_durable() {
    for seed in 0..20 {
        let (registry, machine) = (Registry::new(), Machine::new(600 + seed));
        let (store, versions) = half_cold(&machine, &registry);
        drop(store);
        machine.restart(End::Kill);
        copy_back(&machine);
        let open = || {
            let ear = Arc::new(Ear::default());
            let options = StoreOptions { cold: None, ..options(Path::new(""), NEVER) };
            let [hot, _] = machine.media();
            Store::open_in_memory_on(&options, hot, registry.reader(), ear.clone(), ear).unwrap().0
        };
        assert!(machine.hot.names().contains(&"cold".to_owned()));
        let store = open();
        assert!(!machine.hot.names().contains(&"cold".to_owned()), "the note is gone: the cold folder may go too");
        machine.die_in(0);
        drop(store);
        machine.restart(End::PowerCut);
        compare(&open(), &versions);
    }
}
