//! The commit, case by case: what may stand in one group, what each proposal is told, and what a disk that fails or fills up
//! does to it. What random histories do is asked in journal_histories.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use mingpai::model::draft::Draft;
use mingpai::model::prefix::SuffixCase;
use mingpai::model::time::Timestamp;
use mingpai::sign::statement::{AuditEvent, AuditStatement};
use mingpai::store::engine::Table;
use mingpai::store::journal::{FrameKind, Tail};
use mingpai::store::rows::{REQUEST_SECONDS, RequestRow};
use mingpai::store::{Commit, EngineChoice, Expect, Observer, Opened, Outcome, Proposal, Refusal, Store, doctor};
use parking_lot::Mutex;
use seam::disk::{End, TestDisk};
use seam::history::{Fate, compare_record, fate};
use seam::options;
use seam::registry::{BLINDED, Ear, ISSUER, OPEN, PRINCIPAL, Registry, Version, draft, idempotency};

/// A store in memory on a test disk.
struct Stand {
    registry: Registry,
    disk: TestDisk,
    ear: Arc<Ear>,
    store: Store,
}

impl Stand {
    fn new() -> Stand {
        let (registry, disk) = (Registry::new(), TestDisk::new(1));
        let (store, ear) = open(&disk, &registry);
        Stand { registry, disk, ear, store }
    }

    fn first(&self, name: &str, aliases: &[u64]) -> Version {
        let now = Timestamp::now();
        self.registry.first(&format!("{BLINDED}/{name}"), draft("件", 40, aliases, now), now)
    }

    fn after(&self, before: &Version, aliases: &[u64]) -> Version {
        let now = Timestamp::now();
        self.registry.after(before, Some(draft("改", 50, aliases, now)), now)
    }

    fn commit(&self, proposals: Vec<Proposal>) -> Vec<Outcome> {
        self.store.commit_blocking(proposals, false)
    }

    fn fates(&self, proposals: Vec<Proposal>, atomic: bool) -> Vec<Option<Fate>> {
        self.store.commit_blocking(proposals, atomic).iter().map(fate).collect()
    }

    /// Ends the process without a word, and opens again.
    fn reopen(&mut self, end: End) -> Opened {
        self.disk.restart(end);
        let ear = Arc::new(Ear::default());
        let opened = Store::open_in_memory_on(
            &options(&PathBuf::new(), EngineChoice::Memory),
            self.disk.medium(),
            self.registry.reader(),
            ear.clone(),
            ear.clone(),
        );
        let (store, opened) = opened.unwrap();
        self.store = store;
        self.ear = ear;
        opened
    }

    fn frames(&self) -> u64 {
        self.store.tail().sequence
    }
}

fn open(disk: &TestDisk, registry: &Registry) -> (Store, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    let options = options(&PathBuf::new(), EngineChoice::Memory);
    let opened = Store::open_in_memory_on(&options, disk.medium(), registry.reader(), ear.clone(), ear.clone());
    (opened.unwrap().0, ear)
}

fn absent(version: &Version) -> Proposal {
    version.propose(Expect::Absent, None)
}

#[test]
fn three_versions_of_one_identifier_fit_into_one_group_and_their_chain_is_whole() {
    let mut stand = Stand::new();
    let one = stand.first("CHAIN", &[1]);
    let two = stand.after(&one, &[2]);
    let three = stand.after(&two, &[1, 3]);
    let proposals = vec![absent(&one), two.propose(one.expect(), None), three.propose(two.expect(), None)];
    assert_eq!(stand.fates(proposals, false), [Some(Fate::Committed); 3]);
    assert_eq!(*stand.ear.groups.lock(), [3], "it was one group");
    let versions = [one, two, three];
    compare_record(&stand.store, versions[0].key(), &versions);
    stand.reopen(End::PowerCut);
    compare_record(&stand.store, versions[0].key(), &versions);
    let aliases: Vec<_> = stand.store.scan(Table::Alias, None, 9).unwrap();
    assert_eq!(aliases.len(), 2, "the alias that the second version bore and the third does not is free");
}

#[test]
fn of_two_claims_to_one_alias_in_one_group_the_first_wins() {
    let stand = Stand::new();
    let (a, b) = (stand.first("A", &[7]), stand.first("B", &[7]));
    let outcomes = stand.commit(vec![absent(&a), absent(&b)]);
    let [Outcome::Committed(_), Outcome::AliasTaken { alias, bearer }] = outcomes.as_slice() else {
        panic!("{outcomes:?}")
    };
    assert_eq!((alias, bearer), (a.record.aliases[0].key(), a.key()));
    assert_eq!(stand.store.bearer(alias).unwrap().as_ref(), Some(a.key()));
    assert_eq!(stand.store.row(b.key()).unwrap(), None);
    // And against what is committed.
    assert_eq!(stand.fates(vec![absent(&b)], false), [Some(Fate::AliasTaken)]);
    // Given up, it can be given to another, and the name that answers differently is told to the cache.
    let given_up = stand.after(&a, &[]);
    assert_eq!(stand.fates(vec![given_up.propose(a.expect(), None)], false), [Some(Fate::Committed)]);
    assert!(stand.ear.changed.lock().contains(alias));
    assert_eq!(stand.fates(vec![absent(&b)], false), [Some(Fate::Committed)]);
    assert_eq!(stand.store.bearer(alias).unwrap().as_ref(), Some(b.key()));
}

#[test]
fn an_alias_that_is_given_up_in_a_group_is_free_for_what_follows_in_it() {
    let mut stand = Stand::new();
    let (a, b) = (stand.first("A", &[7]), stand.first("B", &[7, 8]));
    assert_eq!(stand.fates(vec![absent(&a)], false), [Some(Fate::Committed)]);
    let given_up = stand.after(&a, &[]);
    // Of what is in the journal, and of what is in the group: C has it for one version only.
    let c = stand.first("C", &[8]);
    let c_next = stand.after(&c, &[]);
    let again = stand.after(&given_up, &[7]);
    let proposals = vec![
        given_up.propose(a.expect(), None),
        absent(&c),
        absent(&b),
        c_next.propose(c.expect(), None),
        absent(&b),
        again.propose(given_up.expect(), None),
    ];
    let (done, taken) = (Some(Fate::Committed), Some(Fate::AliasTaken));
    assert_eq!(stand.fates(proposals, false), [done, done, taken, done, done, taken]);
    assert_eq!(*stand.ear.groups.lock(), [1, 4], "it was one group");
    for _ in 0..2 {
        for alias in &b.record.aliases {
            assert_eq!(stand.store.bearer(alias.key()).unwrap().as_ref(), Some(b.key()));
        }
        compare_record(&stand.store, b.key(), std::slice::from_ref(&b));
        stand.reopen(End::PowerCut);
    }
}

#[test]
fn two_first_versions_of_one_identifier_in_one_group_give_one() {
    let stand = Stand::new();
    let (a, b) = (stand.first("ONE", &[]), stand.first("ONE", &[]));
    assert_eq!(stand.fates(vec![absent(&a), absent(&b)], false), [Some(Fate::Committed), Some(Fate::Moved)]);
    compare_record(&stand.store, a.key(), std::slice::from_ref(&a));
}

#[test]
fn an_atomic_commit_of_which_one_part_fails_leaves_nothing_and_nobody_else_is_touched() {
    let stand = Stand::new();
    let taken = stand.first("TAKEN", &[1]);
    stand.commit(vec![absent(&taken)]);
    let before = stand.frames();
    let (good, bad) = (stand.first("GOOD", &[2]), stand.first("BAD", &[1]));
    let request = Some(idempotency("atomic"));
    let proposals = vec![good.propose(Expect::Absent, request.clone()), absent(&bad)];
    assert_eq!(stand.fates(proposals, true), [Some(Fate::Withdrawn), Some(Fate::AliasTaken)]);
    assert_eq!(stand.frames(), before, "nothing was written");
    assert_eq!(stand.store.row(good.key()).unwrap(), None);
    let now = Timestamp::now().as_seconds();
    assert_eq!(stand.store.request(PRINCIPAL, "atomic", now).unwrap(), None);
    // What was withdrawn holds neither its name, nor its alias, nor its idempotency key.
    let proposals = vec![good.propose(Expect::Absent, request)];
    assert_eq!(stand.fates(proposals, false), [Some(Fate::Committed)]);
}

#[test]
fn commits_from_many_callers_all_get_their_own_answer_also_beside_atomic_ones_that_are_withdrawn() {
    let stand = Stand::new();
    let taken = stand.first("TAKEN", &[1]);
    stand.commit(vec![absent(&taken)]);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let (stand, taken) = (&stand, &taken);
            scope.spawn(move || {
                for number in 0..40 {
                    let good = stand.first(&format!("C-{caller}-{number}"), &[]);
                    let again = stand.first("TAKEN", &[]);
                    let (proposals, atomic, expected) = match (caller + number) % 3 {
                        0 => (vec![absent(&good)], false, vec![Fate::Committed]),
                        1 => (vec![absent(&again)], false, vec![Fate::Moved]),
                        _ => (vec![absent(&good), absent(&again)], true, vec![Fate::Withdrawn, Fate::Moved]),
                    };
                    let expected: Vec<_> = expected.into_iter().map(Some).collect();
                    assert_eq!(stand.fates(proposals, atomic), expected);
                }
                let _ = taken;
            });
        }
    });
    assert_eq!(stand.ear.groups.lock().iter().sum::<usize>() as u64, stand.frames());
}

#[test]
fn a_repeated_request_gets_the_first_answer_and_writes_nothing() {
    let mut stand = Stand::new();
    let one = stand.first("REQ", &[]);
    let request = Some(idempotency("key-1"));
    let outcomes = stand.commit(vec![
        one.propose(Expect::Absent, request.clone()),
        stand.first("OTHER", &[]).propose(Expect::Absent, request.clone()),
    ]);
    let [Outcome::Committed(done), Outcome::Exists] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    for end in [End::Kill, End::PowerCut] {
        let before = stand.frames();
        let outcomes = stand.commit(vec![one.propose(Expect::Absent, request.clone())]);
        let [Outcome::Repeated(row)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
        assert_eq!((row.leaf, row.index, row.location), (done.leaf, done.index, done.location));
        assert_eq!(row.request, idempotency("key-1").request);
        assert_eq!(stand.frames(), before);
        stand.reopen(end);
    }
}

#[test]
fn a_refused_change_does_not_hold_its_idempotency_key() {
    let stand = Stand::new();
    let one = stand.first("HOLD", &[]);
    let request = Some(idempotency("key-2"));
    let stale = stand.after(&one, &[]);
    let proposals = vec![stale.propose(one.expect(), request.clone()), one.propose(Expect::Absent, request)];
    assert_eq!(stand.fates(proposals, false), [Some(Fate::Moved), Some(Fate::Committed)]);
}

#[test]
fn an_erased_identifier_is_gone_for_ever_and_so_are_its_disclosures() {
    let mut stand = Stand::new();
    let one = stand.first("GONE", &[5]);
    let two = stand.after(&one, &[5, 6]);
    stand.commit(vec![absent(&one), two.propose(one.expect(), None)]);
    let location = stand.store.row(one.key()).unwrap().unwrap().location;
    let now = Timestamp::now();
    let three = stand.after(&two, &[]);
    // Twice in one group, and a change behind it: one erasure, and nothing comes back.
    let erase = || stand.registry.erasure(&[one.clone(), two.clone()], now);
    let fates = stand.fates(vec![erase(), erase(), three.propose(two.expect(), None)], false);
    assert_eq!(fates, [Some(Fate::Committed), Some(Fate::Moved), Some(Fate::Moved)]);
    for _ in 0..2 {
        assert_eq!(stand.store.row(one.key()).unwrap(), None);
        assert!(stand.store.scan(Table::Alias, None, 9).unwrap().is_empty());
        assert_eq!(stand.store.frame(location).unwrap().disclosures, None);
        let again = stand.first("GONE", &[]);
        assert_eq!(stand.fates(vec![absent(&again)], false), [Some(Fate::Erased)]);
        for version in [&one, &two] {
            let bytes = stand.disk.bytes("0000000001.journal");
            let whole = bytes.windows(version.disclosures.len()).any(|window| *window == version.disclosures);
            assert!(!whole, "the disclosures are still on the disk");
        }
        stand.reopen(End::PowerCut);
    }
}

#[test]
fn a_failed_sync_answers_nobody_as_done_tells_the_node_once_and_ends_writing() {
    let mut stand = Stand::new();
    let before = stand.first("BEFORE", &[]);
    stand.commit(vec![absent(&before)]);
    stand.disk.fail_sync_in(0);
    let lost = stand.first("LOST", &[]);
    let outcomes = stand.commit(vec![absent(&lost), absent(&before)]);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Refused(Refusal::Poisoned(_)))), "{outcomes:?}");
    assert_eq!(stand.ear.fatal.lock().len(), 1);
    assert!(stand.store.is_poisoned());
    assert_eq!(stand.store.row(lost.key()).unwrap(), None, "what is not durable is not visible");
    let later = stand.commit(vec![absent(&stand.first("LATER", &[]))]);
    assert!(matches!(later[..], [Outcome::Refused(Refusal::Poisoned(_))]), "{later:?}");
    compare_record(&stand.store, before.key(), std::slice::from_ref(&before));
    assert_eq!(stand.ear.fatal.lock().len(), 1, "told once");
    // The pages look written. What the next process serves of them must survive the power cut after it.
    stand.reopen(End::Kill);
    let seen = stand.store.row(lost.key()).unwrap();
    stand.reopen(End::PowerCut);
    assert_eq!(stand.store.row(lost.key()).unwrap(), seen, "what was served once is gone");
    compare_record(&stand.store, before.key(), std::slice::from_ref(&before));
}

#[test]
fn a_full_disk_refuses_writes_goes_on_reading_and_takes_writes_again_when_there_is_room() {
    let stand = Stand::new();
    let mut written = Vec::new();
    stand.disk.set_full(true);
    let outcomes = stand.commit(vec![absent(&stand.first("NONE", &[]))]);
    assert!(matches!(outcomes[..], [Outcome::Refused(Refusal::Full { .. })]), "{outcomes:?}");
    stand.disk.set_full(false);
    // Fill the first segment, then let the disk be full when the second is due.
    let refused = loop {
        let next = stand.first(&format!("F-{}", written.len()), &[]);
        stand.disk.set_full(!written.is_empty());
        match stand.commit(vec![absent(&next)]).remove(0) {
            Outcome::Committed(_) => written.push(next),
            Outcome::Refused(Refusal::Full { needed_bytes }) => {
                assert_eq!(needed_bytes, 64 * 1024);
                break next;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(!stand.store.is_poisoned() && stand.ear.fatal.lock().is_empty());
    for version in &written {
        compare_record(&stand.store, version.key(), std::slice::from_ref(version));
    }
    assert_eq!(stand.store.row(refused.key()).unwrap(), None);
    stand.disk.set_full(false);
    assert_eq!(stand.fates(vec![absent(&refused)], false), [Some(Fate::Committed)]);
    compare_record(&stand.store, refused.key(), std::slice::from_ref(&refused));
}

/// The sequencer lets go of it when it has ended, and waits for the test there.
struct LetGo {
    at_end: Sender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Observer for LetGo {
    fn changed(&self, _: &str) {}
    fn committed(&self, _: &Commit, _: Tail) {}
}

impl Drop for LetGo {
    fn drop(&mut self) {
        let _ = self.at_end.send(());
        let _ = self.go_on.lock().recv_timeout(Duration::from_secs(20));
    }
}

/// What becomes of one registration, asked on a thread of its own; `None` where nobody answers.
fn answer_of(store: &Arc<Store>, version: &Version) -> Option<Outcome> {
    let (told, answer) = channel();
    let (store, proposal) = (Arc::clone(store), absent(version));
    std::thread::spawn(move || told.send(store.commit_blocking(vec![proposal], false).remove(0)));
    answer.recv_timeout(Duration::from_secs(10)).ok()
}

#[test]
fn a_commit_that_comes_when_the_sequencer_has_ended_is_told_that_the_node_stops() {
    let (registry, disk) = (Registry::new(), TestDisk::new(1));
    let ((at_end, ended), (let_go, go_on)) = (channel(), channel());
    let options = options(&PathBuf::new(), EngineChoice::Memory);
    let observer = Arc::new(LetGo { at_end, go_on: Mutex::new(go_on) });
    let ear = Arc::new(Ear::default());
    let opened = Store::open_in_memory_on(&options, disk.medium(), registry.reader(), observer, ear);
    let store = Arc::new(opened.unwrap().0);
    let now = Timestamp::now();
    let late = registry.first(&format!("{BLINDED}/LATE"), draft("件", 1, &[], now), now);
    let stopping = Arc::clone(&store);
    let stop = std::thread::spawn(move || stopping.stop());
    ended.recv().unwrap();
    let answer = answer_of(&store, &late);
    let_go.send(()).unwrap();
    assert!(matches!(answer, Some(Outcome::Refused(Refusal::Stopping))), "{answer:?}");
    stop.join().unwrap();
    assert!(!store.is_poisoned());
}

#[test]
fn whoever_commits_while_the_store_stops_is_answered() {
    for _ in 0..30 {
        let Stand { registry, store, .. } = Stand::new();
        let (registry, store) = (Arc::new(registry), Arc::new(store));
        let callers: Vec<_> = (0..4)
            .map(|caller| {
                let (registry, store) = (Arc::clone(&registry), Arc::clone(&store));
                std::thread::spawn(move || {
                    for at in 0.. {
                        let now = Timestamp::now();
                        let name = format!("{BLINDED}/S-{caller}-{at}");
                        match answer_of(&store, &registry.first(&name, draft("件", 1, &[], now), now)) {
                            Some(Outcome::Committed(_)) => {}
                            other => return other,
                        }
                    }
                    None
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(5));
        store.stop();
        for caller in callers {
            let last = caller.join().unwrap();
            assert!(matches!(last, Some(Outcome::Refused(Refusal::Stopping))), "{last:?}");
        }
    }
}

/// A segment that has its name is there for the next opening, so nothing may go on in the one before.
#[test]
fn a_folder_that_is_full_when_a_segment_has_its_name_ends_writing_and_loses_nothing() {
    for end in [End::Kill, End::PowerCut] {
        let mut stand = Stand::new();
        let mut written = vec![stand.first("F-0", &[])];
        stand.commit(vec![absent(&written[0])]);
        stand.disk.set_names_full(true);
        let refused = loop {
            let next = stand.first(&format!("F-{}", written.len()), &[]);
            match stand.commit(vec![absent(&next)]).remove(0) {
                Outcome::Committed(_) => written.push(next),
                outcome => break outcome,
            }
        };
        stand.disk.set_names_full(false);
        // Short enough for what is left of the segment before.
        let short = stand.registry.first(&format!("{OPEN}/S"), Draft::default(), Timestamp::now());
        let after = stand.commit(vec![absent(&short)]);
        stand.reopen(end);
        written.iter().for_each(|version| compare_record(&stand.store, version.key(), std::slice::from_ref(version)));
        assert!(matches!(refused, Outcome::Refused(Refusal::Poisoned(_))), "{refused:?}");
        assert!(matches!(after[..], [Outcome::Refused(Refusal::Poisoned(_))]), "{after:?}");
        assert_eq!(stand.fates(vec![absent(&short)], false), [Some(Fate::Committed)]);
    }
}

#[test]
fn a_commit_larger_than_a_segment_is_refused_and_the_next_one_is_taken() {
    let stand = Stand::new();
    let now = Timestamp::now();
    let large = stand.registry.first(&format!("{BLINDED}/LARGE"), draft("大", 30_000, &[], now), now);
    let outcomes = stand.commit(vec![absent(&large)]);
    assert!(matches!(outcomes[..], [Outcome::Refused(Refusal::TooLarge { .. })]), "{outcomes:?}");
    assert_eq!(stand.fates(vec![absent(&stand.first("SMALL", &[]))], false), [Some(Fate::Committed)]);
}

#[test]
fn a_statement_whose_row_exists_is_not_committed_again() {
    let stand = Stand::new();
    let revoke = |id: &str| {
        let statement = AuditStatement {
            iat: 1,
            iss: ISSUER.to_owned(),
            principal: PRINCIPAL.to_owned(),
            event: AuditEvent::KeyRevoked { id: id.to_owned() },
        };
        Proposal::Statement(stand.registry.statement(FrameKind::Audit, &statement))
    };
    let fates = stand.fates(vec![revoke("a"), revoke("a"), revoke("b")], false);
    assert_eq!(fates, [Some(Fate::Committed), Some(Fate::Exists), Some(Fate::Committed)]);
    assert_eq!(stand.fates(vec![revoke("b")], false), [Some(Fate::Exists)]);
    assert_eq!(stand.store.tail().audit_size, 2);
    assert_eq!(stand.store.tail().registry_size, 0);
}

/// A store on the real disk, with the sled engine.
fn open_sled(folder: &Path, registry: &Registry, interval: Duration) -> (Store, Opened) {
    let ear = Arc::new(Ear::default());
    let mut options = options(folder, EngineChoice::Sled { budget_bytes: 64 << 20 });
    options.checkpoint_interval = interval;
    Store::open(&options, registry.reader(), ear.clone(), ear).unwrap()
}

type Rows = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn rows(store: &Store) -> Rows {
    let scan = |table: Table| {
        let rows = store.scan(table, None, usize::MAX).unwrap();
        rows.into_iter().map(move |(key, value)| ((table, key), value.to_vec()))
    };
    Table::of_rows().flat_map(scan).collect()
}

/// Registrations, chains in one group, deletions, an erasure, long records, an open log, statements.
fn a_bit_of_everything(store: &Store, registry: &Registry) {
    let now = Timestamp::now();
    let commit = |proposals: Vec<Proposal>| {
        for outcome in store.commit_blocking(proposals, false) {
            assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
        }
    };
    for number in 0..60_u64 {
        let prefix = if number % 4 == 0 { OPEN } else { BLINDED };
        let name = format!("{prefix}/Many-{number}");
        let bytes = if number % 7 == 0 { 1_500 } else { 90 };
        let one = registry.first(&name, draft("件号", bytes, &[number, 100 + number], now), now);
        let two = registry.after(&one, Some(draft("改", 30, &[number, 200 + number], now)), now);
        let three = registry.after(&two, None, now);
        let erase = registry.erasure(&[one.clone(), two.clone()], now);
        let first = one.propose(Expect::Absent, Some(idempotency(&name)));
        let second = two.propose(one.expect(), None);
        match number % 5 {
            0 => commit(vec![first]),
            1 => commit(vec![first, second]),
            2 => commit(vec![first, second, three.propose(two.expect(), None)]),
            3 => {
                commit(vec![first, second]);
                commit(vec![erase]);
            }
            _ => {
                commit(vec![first]);
                commit(vec![second]);
                commit(vec![three.propose(two.expect(), None)]);
            }
        }
    }
    // An alias that goes from one record to another within a group, and on to a third.
    let [one, two, three] = ["GIVES", "PASSES", "KEEPS"].map(|name| {
        let alias: &[u64] = if name == "GIVES" { &[999] } else { &[] };
        registry.first(&format!("{BLINDED}/{name}"), draft("件号", 20, alias, now), now)
    });
    commit(vec![absent(&one), absent(&two), absent(&three)]);
    let next = |before: &Version, aliases: &[u64]| registry.after(before, Some(draft("改", 20, aliases, now)), now);
    let (gives, takes, keeps) = (next(&one, &[]), next(&two, &[999]), next(&three, &[999]));
    let passes = next(&takes, &[]);
    commit(vec![
        gives.propose(one.expect(), None),
        takes.propose(two.expect(), None),
        passes.propose(takes.expect(), None),
        keeps.propose(three.expect(), None),
    ]);
    let event = AuditEvent::KeyRevoked { id: "spent".to_owned() };
    let statement = AuditStatement { iat: 1, iss: ISSUER.to_owned(), principal: PRINCIPAL.to_owned(), event };
    commit(vec![Proposal::Statement(registry.statement(FrameKind::Audit, &statement))]);
}

#[test]
fn a_record_store_made_anew_from_the_journal_has_the_rows_and_the_totals_of_the_run() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let hour = Duration::from_secs(3600);
    let (store, opened) = open_sled(folder.path(), &registry, hour);
    assert!(opened.clean);
    a_bit_of_everything(&store, &registry);
    let run = rows(&store);
    drop(store);
    let checked = doctor::examine(&options(folder.path(), EngineChoice::Sled { budget_bytes: 64 << 20 })).unwrap();
    assert_eq!((checked.difference, checked.behind), (None, 0), "the totals of the run");

    let (store, opened) = open_sled(folder.path(), &registry, hour);
    assert!(opened.clean && opened.replayed_frames == 0, "{opened:?}");
    assert_eq!(rows(&store), run);
    drop(store);

    std::fs::remove_dir_all(folder.path().join("records")).unwrap();
    let (store, opened) = open_sled(folder.path(), &registry, hour);
    assert!(!opened.clean && opened.replayed_frames > 100, "{opened:?}");
    assert_eq!(rows(&store), run, "the replay makes other rows than the run");
    drop(store);
    let sled = options(folder.path(), EngineChoice::Sled { budget_bytes: 64 << 20 });
    let rebuilt = doctor::rebuild(&sled, registry.reader()).unwrap();
    assert_eq!(rebuilt.differing_rows, Some(0), "{rebuilt:?}");
}

/// A name in lower case has one key under either policy, and so one row, whichever holds while it is made.
#[test]
fn the_totals_follow_a_change_of_the_policy_between_two_versions() {
    let hour = Duration::from_secs(3600);
    for (before, after) in
        [(SuffixCase::Insensitive, SuffixCase::Sensitive), (SuffixCase::Sensitive, SuffixCase::Insensitive)]
    {
        let (folder, mut registry) = (tempfile::tempdir().unwrap(), Registry::new());
        let now = Timestamp::now();
        registry.compare_suffixes(before);
        let name = format!("{BLINDED}/abc");
        let one = registry.first(&name, draft("件", 1, &[], now), now);
        let (store, _) = open_sled(folder.path(), &registry, hour);
        assert!(matches!(store.commit_blocking(vec![absent(&one)], false)[0], Outcome::Committed(_)));
        drop(store);
        registry.compare_suffixes(after);
        let two = registry.after(&one, Some(draft("改", 1, &[], now)), now);
        let (store, _) = open_sled(folder.path(), &registry, hour);
        let changed = store.commit_blocking(vec![two.propose(one.expect(), None)], false);
        assert!(matches!(changed[0], Outcome::Committed(_)), "{changed:?}");
        drop(store);
        let sled = options(folder.path(), EngineChoice::Sled { budget_bytes: 64 << 20 });
        assert_eq!(doctor::examine(&sled).unwrap().difference, None, "{before:?}, then {after:?}");
        let rebuilt = doctor::rebuild(&sled, registry.reader()).unwrap();
        assert_eq!(rebuilt.differing_rows, Some(0), "{before:?}, then {after:?}");
    }
}

#[test]
fn a_record_store_that_does_not_add_up_or_does_not_read_is_moved_aside_and_made_anew() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let hour = Duration::from_secs(3600);
    let (store, _) = open_sled(folder.path(), &registry, hour);
    a_bit_of_everything(&store, &registry);
    let run = rows(&store);
    drop(store);
    let checkpoint = folder.path().join("journal/checkpoint");
    for damage in ["a row is gone", "the file is noise"] {
        // Without the checkpoint nothing says that the stop was clean.
        std::fs::remove_file(&checkpoint).unwrap();
        let records = folder.path().join("records");
        if damage == "a row is gone" {
            let db = sled::open(&records).unwrap();
            let (key, _) = db.range(b"r".to_vec()..b"s".to_vec()).next().unwrap().unwrap();
            db.remove(key).unwrap();
            db.flush().unwrap();
        } else {
            let db = records.join("db");
            let length = std::fs::metadata(&db).unwrap().len() as usize;
            let noise: Vec<u8> = (0..length).map(|at| (at * 131 % 251) as u8).collect();
            std::fs::write(&db, noise).unwrap();
        }
        let (store, opened) = open_sled(folder.path(), &registry, hour);
        // sled may take noise for an empty tree: then everything is replayed just so.
        let anew = opened.rebuilt.is_some() || opened.replayed_frames == store.tail().sequence;
        assert!(anew, "{damage}: {opened:?}");
        assert_eq!(rows(&store), run, "{damage}");
        drop(store);
        if opened.rebuilt.is_some() {
            assert!(folder.path().join("records.aside").exists());
        }
    }
}

#[test]
fn requests_are_forgotten_after_a_day_and_the_store_still_adds_up() {
    let (folder, registry) = (tempfile::tempdir().unwrap(), Registry::new());
    let (store, _) = open_sled(folder.path(), &registry, Duration::from_millis(2));
    let now = Timestamp::now();
    let long_ago = Timestamp::from_seconds(now.as_seconds() - REQUEST_SECONDS - 3 * 3600).unwrap();
    for (name, time) in [("OLD", long_ago), ("NEW", now)] {
        let version = registry.first(&format!("{BLINDED}/{name}"), draft("件", 40, &[], time), time);
        let outcomes = store.commit_blocking(vec![version.propose(Expect::Absent, Some(idempotency(name)))], false);
        assert!(matches!(outcomes[..], [Outcome::Committed(_)]));
    }
    assert_eq!(store.request(PRINCIPAL, "OLD", now.as_seconds()).unwrap(), None, "a day old: not honoured");
    let started = Instant::now();
    while store.any_row(Table::Request, &RequestRow::key(PRINCIPAL, "OLD")).unwrap().is_some() {
        assert!(started.elapsed() < Duration::from_secs(20), "the old request is never taken away");
        std::thread::yield_now();
    }
    assert!(store.request(PRINCIPAL, "NEW", now.as_seconds()).unwrap().is_some());
    drop(store);
    // Also when the totals are compared, and when everything is made anew and forgotten again.
    std::fs::remove_file(folder.path().join("journal/checkpoint")).unwrap();
    let (store, opened) = open_sled(folder.path(), &registry, Duration::from_secs(3600));
    assert_eq!(opened.rebuilt, None);
    assert!(store.request(PRINCIPAL, "NEW", now.as_seconds()).unwrap().is_some());
}

#[test]
fn a_clock_that_jumped_forward_and_back_does_not_keep_the_store_from_opening() {
    let mut stand = Stand::new();
    let now = Timestamp::now();
    let ahead = Timestamp::from_seconds(now.as_seconds() + REQUEST_SECONDS + 7_200).unwrap();
    for (name, time) in [("NOW", now), ("AHEAD", ahead)] {
        let version = stand.registry.first(&format!("{BLINDED}/{name}"), draft("件", 40, &[], time), time);
        // The same key: by the clock that jumped, the first use is more than a day old.
        let outcomes = stand.commit(vec![version.propose(Expect::Absent, Some(idempotency("one key")))]);
        assert!(matches!(outcomes[..], [Outcome::Committed(_)]), "{outcomes:?}");
    }
    let opened = stand.reopen(End::PowerCut);
    assert_eq!(opened.records, 2);
}

#[test]
fn what_is_asked_while_the_log_grows_is_what_was_settled_then() {
    let stand = Stand::new();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..200 {
                stand.commit(vec![absent(&stand.first(&format!("G-{number}"), &[]))]);
            }
        });
        while !writer.is_finished() {
            let mut next = 0;
            stand
                .store
                .replay(|frame| {
                    assert_eq!(frame.sequence, next);
                    next += 1;
                    Ok::<(), mingpai::store::ApplyError>(())
                })
                .unwrap();
        }
    });
}
