//! Backups of a store: every history comes back whole from a chain of incremental runs, erased values leave them, every flipped
//! bit is found, and a restored log takes nothing before its operator has decided.
//!
//! MINGPAI_SEEDS is how many histories are run. A failure prints its seed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mingpai::model::time::Timestamp;
use mingpai::sign::statement::{ApiKey, AuditEvent, AuditStatement, LogReader};
use mingpai::store::backup::{
    BackupError, BackupKey, Moment, OfflineSource, Restore, RestoreDone, Source, SourceError, Take, TakeDone, restore,
    take, verify,
};
use mingpai::store::engine::Table;
use mingpai::store::journal::{FrameKind, Tail};
use mingpai::store::restored::{DecideError, Decision, decide, undecided};
use mingpai::store::{
    ApplyError, EngineChoice, Expect, GroupLimits, OpenError, Opened, Outcome, Proposal, Refusal, Store, StoreOptions,
};
use seam::history::{Fate, Model, Step};
use seam::registry::{BLINDED, Ear, ISSUER, PRINCIPAL, Registry, Version, draft};
use seam::{Dice, setting};

fn open_result(folder: &Path, registry: &Registry, segment_kib: u64) -> Result<(Store, Opened), OpenError> {
    let ear = Arc::new(Ear::default());
    let options = StoreOptions {
        folder: folder.to_owned(),
        engine: EngineChoice::Memory,
        segment_bytes: segment_kib * 1024,
        group: GroupLimits { frames: 64, bytes: 1 << 20 },
        queue_entries: 16,
        checkpoint_interval: Duration::from_secs(3600),
        snapshot_frames: 0,
        reserve_bytes: 0,
        cold: None,
    };
    Store::open(&options, registry.reader(), ear.clone(), ear)
}

fn open(folder: &Path, registry: &Registry) -> Store {
    open_result(folder, registry, 16).expect("the store opens").0
}

/// A running store as a log to copy.
struct Running<'s>(&'s Store);

impl Source for Running<'_> {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        Ok(self.0.tail())
    }
    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        Ok(self.0.segment_bytes(segment, from, until.unwrap_or(u64::MAX)).unwrap())
    }
}

fn back_up(source: &mut dyn Source, dest: &Path, key: Option<&BackupKey>) -> Result<TakeDone, BackupError> {
    take(&Take { folder: dest, key, keys: None, log: &LogReader }, source, &mut |_, _| {})
}

fn bring_back(
    dest: &Path,
    key: Option<&BackupKey>,
    data: &Path,
    moment: Option<Moment>,
) -> Result<RestoreDone, BackupError> {
    restore(&Restore { folder: dest, key, data, moment, again: None, log: &LogReader }, &mut |_, _| {})
}

fn is_whole(dest: &Path, key: Option<&BackupKey>) -> bool {
    verify(dest, key, &mut |_, _| {}).is_ok_and(|found| found.damage.is_empty() && found.is_content_checked)
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    found
}

fn contains(folder: &Path, needle: &[u8]) -> bool {
    files(folder).iter().any(|(_, bytes)| bytes.windows(needle.len()).any(|window| window == needle))
}

fn commit(store: &Store, proposals: Vec<Proposal>) {
    for outcome in store.commit_blocking(proposals, false) {
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    }
}

/// Sequence, kind, statement, disclosures.
type Told = (u64, FrameKind, Vec<u8>, Option<Vec<u8>>);

fn statements(store: &Store) -> Vec<Told> {
    let mut found = Vec::new();
    let each = |frame: mingpai::store::journal::Frame| {
        found.push((frame.sequence, frame.kind, frame.statement, frame.disclosures));
        Ok::<(), ApplyError>(())
    };
    store.replay(each).unwrap();
    found
}

/// One history: jobs, runs between them, restarts, and what was known at each run.
fn history(seed: u64, registry: &Registry) -> (u64, u64, u64) {
    let mut dice = Dice::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let (data, dest) = (folder.path().join("data"), folder.path().join("dest"));
    let key = dice.once_in(2).then(|| BackupKey::generate().unwrap());
    let key = key.as_ref();
    let mut model = Model::default();
    let mut erased: Vec<Version> = Vec::new();
    let mut moments: Vec<(u64, Model, usize)> = Vec::new();
    let mut store = open(&data, registry);
    let mut runs = 0;
    for _ in 0..4 + dice.below(5) {
        for _ in 0..dice.below(12) {
            let steps = model.draw(&mut dice, registry, Timestamp::now());
            let fates = model.plan(&steps, false);
            let proposals = steps.iter().map(Step::proposal).collect();
            let outcomes = store.commit_blocking(proposals, false);
            if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(Refusal::TooLarge { .. }))) {
                continue;
            }
            model.take(&steps, &fates);
            for (step, fate) in steps.iter().zip(&fates) {
                if let (Step::Erase { versions, .. }, Fate::Committed) = (step, fate) {
                    erased.extend(versions.iter().cloned());
                }
            }
            moments.push((store.tail().sequence, model.clone(), erased.len()));
        }
        if store.tail().sequence == 0 {
            continue;
        }
        runs += 1;
        if dice.once_in(3) {
            drop(store);
            let done = back_up(&mut OfflineSource::open(&data).unwrap(), &dest, key).unwrap();
            store = open(&data, registry);
            assert_eq!(done.sequence, store.tail().sequence);
        } else {
            let done = back_up(&mut Running(&store), &dest, key).unwrap();
            assert_eq!(done.sequence, store.tail().sequence);
        }
        assert!(is_whole(&dest, key));
        if key.is_none() {
            for version in &erased {
                assert!(!contains(&dest, &version.disclosures), "an erased value is still in the backup");
            }
        }
    }
    if store.tail().sequence == 0 {
        return (0, 0, 0);
    }
    back_up(&mut Running(&store), &dest, key).unwrap();
    let (sequence, all) = (store.tail().sequence, statements(&store));
    drop(store);
    let new = folder.path().join("new");
    assert_eq!(bring_back(&dest, key, &new, None).unwrap().sequence, sequence);
    let restored = open(&new, registry);
    model.compare(&restored);
    assert_eq!(statements(&restored), all[..restored.tail().sequence as usize]);
    drop(restored);
    let mut carried = 0;
    for (at, (sequence, then, known_erased)) in moments.into_iter().enumerate().filter(|(at, _)| at % 5 == 0) {
        let new = folder.path().join(format!("moment-{at}"));
        let done = bring_back(&dest, key, &new, Some(Moment::Sequence(sequence))).unwrap();
        let restored = open(&new, registry);
        if done.carried == 0 {
            then.compare(&restored);
        }
        then.compare_but_erased(&restored, &erased);
        carried += done.carried;
        assert_eq!(known_erased == erased.len(), done.carried == 0, "erasures from after the moment are kept");
        for version in &erased {
            assert!(restored.row(version.key()).unwrap().is_none(), "{} was erased", version.key());
            assert!(restored.any_row(Table::Erased, &version.sid).unwrap().is_some());
            assert!(!contains(&new.join("journal"), &version.disclosures));
        }
    }
    (sequence, runs, carried)
}

#[test]
fn every_history_comes_back_from_its_incremental_runs_and_at_every_moment() {
    let (first, count) = (setting("MINGPAI_SEED", 1), setting("MINGPAI_SEEDS", 40));
    let registry = Registry::new();
    let (mut frames, mut runs, mut carried) = (0, 0, 0);
    for seed in first..first + count {
        let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history(seed, &registry)));
        let Ok((more, chain, kept)) = run else {
            panic!("the history fails: MINGPAI_SEED={seed} MINGPAI_SEEDS=1 cargo test --test backup");
        };
        frames += more;
        runs += chain;
        carried += kept;
    }
    println!("{count} histories: {frames} frames, {runs} runs, {carried} erasures kept from after a moment");
    assert!(count < 20 || carried > 0, "the histories do not reach what they are for");
}

/// A store with some of everything, and backups of it: plain and encrypted, each of two runs.
struct Ready {
    folder: tempfile::TempDir,
    registry: Registry,
    key: BackupKey,
}

impl Ready {
    fn new() -> Ready {
        let ready = Ready {
            folder: tempfile::tempdir().unwrap(),
            registry: Registry::new(),
            key: BackupKey::generate().unwrap(),
        };
        let store = open(&ready.data(), &ready.registry);
        ready.fill(&store, 0);
        for key in ready.keys() {
            back_up(&mut Running(&store), &ready.dest(key), key).unwrap();
        }
        ready.fill(&store, 30);
        for key in ready.keys() {
            back_up(&mut Running(&store), &ready.dest(key), key).unwrap();
        }
        ready
    }

    fn fill(&self, store: &Store, from: u64) {
        let now = Timestamp::now();
        for number in from..from + 24 {
            let name = format!("{BLINDED}/B-{number}");
            let one = self.registry.first(&name, draft("件", 300, &[number], now), now);
            commit(store, vec![one.propose(Expect::Absent, None)]);
            if number % 8 == 0 {
                commit(store, vec![self.registry.erasure(&[one], now)]);
            }
        }
    }

    fn keys(&self) -> [Option<&BackupKey>; 2] {
        [None, Some(&self.key)]
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn dest(&self, key: Option<&BackupKey>) -> PathBuf {
        self.folder.path().join(if key.is_some() { "encrypted" } else { "plain" })
    }
}

#[test]
fn every_flipped_bit_is_found_and_its_file_is_named() {
    let ready = Ready::new();
    let mut dice = Dice::new(setting("MINGPAI_SEED", 7));
    let (mut flips, mut restores) = (0, 0);
    for key in ready.keys() {
        let dest = ready.dest(key);
        assert!(is_whole(&dest, key));
        for (path, bytes) in files(&dest) {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            // The first and last bytes are the heads and ends of something; the others are drawn.
            let ends = (0..bytes.len().min(120)).chain(bytes.len().saturating_sub(40)..bytes.len());
            let drawn: Vec<usize> = (0..150).map(|_| dice.below(bytes.len() as u64) as usize).collect();
            for at in ends.chain(drawn).filter(|at| *at < bytes.len()) {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << dice.below(8);
                std::fs::write(&path, &flipped).unwrap();
                flips += 1;
                match verify(&dest, key, &mut |_, _| {}) {
                    Ok(found) => assert!(
                        found.damage.iter().any(|damage| damage.file == name),
                        "byte {at} of {name} was not found: {:?}",
                        found.damage
                    ),
                    Err(BackupError::Damaged(damage)) => assert_eq!(damage.file, name),
                    Err(other) => panic!("byte {at} of {name}: {other}"),
                }
                if dice.once_in(20) {
                    restores += 1;
                    let new = ready.folder.path().join(format!("new-{flips}"));
                    assert!(matches!(bring_back(&dest, key, &new, None), Err(BackupError::Damaged(_))));
                }
            }
            if name != "lock" {
                for end in [0, bytes.len() / 2, bytes.len() - 1] {
                    std::fs::write(&path, &bytes[..end]).unwrap();
                    assert!(!is_whole(&dest, key), "{name} was cut to {end} bytes");
                }
                std::fs::remove_file(&path).unwrap();
                assert!(!is_whole(&dest, key), "{name} is missing");
            }
            std::fs::write(&path, &bytes).unwrap();
        }
        assert!(is_whole(&dest, key));
    }
    println!("{flips} flipped bits, all found; {restores} restores refused");
    assert!(flips > 1_000);
}

#[test]
fn files_that_changed_places_are_found() {
    let ready = Ready::new();
    for key in ready.keys() {
        let dest = ready.dest(key);
        let segments: Vec<_> =
            files(&dest).into_iter().filter(|(path, _)| path.to_string_lossy().contains(".journal.")).collect();
        let ((one, first), (two, second)) = (segments[0].clone(), segments[1].clone());
        std::fs::write(&one, &second).unwrap();
        std::fs::write(&two, &first).unwrap();
        assert!(!is_whole(&dest, key));
        std::fs::write(&one, &first).unwrap();
        std::fs::write(&two, &second).unwrap();
        assert!(is_whole(&dest, key));
    }
}

#[test]
fn only_the_right_key_opens_an_encrypted_backup() {
    let ready = Ready::new();
    let (plain, encrypted) = (ready.dest(None), ready.dest(Some(&ready.key)));
    let (other, new) = (BackupKey::generate().unwrap(), ready.folder.path().join("new"));
    let wrong = |error| matches!(error, Some(BackupError::WrongKey { .. }));
    assert!(wrong(verify(&encrypted, Some(&other), &mut |_, _| {}).err()));
    assert!(wrong(bring_back(&encrypted, Some(&other), &new, None).err()));
    assert!(matches!(bring_back(&encrypted, None, &new, None), Err(BackupError::KeyNeeded { .. })));
    assert!(matches!(bring_back(&plain, Some(&other), &new, None), Err(BackupError::NotEncrypted)));
    assert!(!new.exists(), "nothing was made before the key was right");
    let store = open(&ready.data(), &ready.registry);
    assert!(wrong(back_up(&mut Running(&store), &encrypted, Some(&other)).err()));
    assert!(matches!(back_up(&mut Running(&store), &encrypted, None), Err(BackupError::KeyNeeded { .. })));
    assert!(matches!(back_up(&mut Running(&store), &plain, Some(&other)), Err(BackupError::NotEncrypted)));
    // Without the key the files are compared, and nothing is claimed of what they hold.
    let found = verify(&encrypted, None, &mut |_, _| {}).unwrap();
    assert!(found.damage.is_empty() && !found.is_content_checked);
    // What hidden values are made of is in the plain one, and nowhere in the other.
    assert!(contains(&plain, "测试企业".as_bytes()) || contains(&plain, b"eyJ"));
    assert!(!contains(&encrypted, b"eyJ"), "a statement or disclosure is readable");
    assert!(is_whole(&plain, None) && is_whole(&encrypted, Some(&ready.key)));
}

/// Gives up after so many questions, as a node that is killed or a network that breaks does.
struct Dying<'s>(Running<'s>, u64);

impl Dying<'_> {
    fn live(&mut self) -> Result<(), SourceError> {
        self.1 =
            self.1.checked_sub(1).ok_or_else(|| SourceError(mingpai::model::text::Text::new("断", "broken off")))?;
        Ok(())
    }
}

impl Source for Dying<'_> {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        self.live()?;
        self.0.tail()
    }
    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        self.live()?;
        self.0.bytes(segment, from, until)
    }
}

#[test]
fn a_run_that_breaks_off_leaves_the_last_good_backup() {
    let ready = Ready::new();
    let store = open(&ready.data(), &ready.registry);
    ready.fill(&store, 60);
    for key in ready.keys() {
        let dest = ready.dest(key);
        let before = files(&dest);
        let mut broken = 0;
        for questions in 0.. {
            match back_up(&mut Dying(Running(&store), questions), &dest, key) {
                Ok(done) => {
                    assert_eq!(done.sequence, store.tail().sequence);
                    break;
                }
                Err(BackupError::Source(_)) => broken += 1,
                Err(other) => panic!("{other}"),
            }
            assert!(is_whole(&dest, key));
            assert_eq!(files(&dest), before, "after {questions} questions");
        }
        assert!(broken > 3, "{broken}");
        assert!(is_whole(&dest, key));
    }
}

#[test]
fn a_backup_holds_one_log_only_and_never_goes_back() {
    let ready = Ready::new();
    let dest = ready.dest(None);
    let before = files(&dest);
    let elsewhere = ready.folder.path().join("elsewhere");
    let other = open(&elsewhere, &ready.registry);
    ready.fill(&other, 0);
    assert!(matches!(back_up(&mut Running(&other), &dest, None), Err(BackupError::Behind { .. })));
    ready.fill(&other, 30);
    ready.fill(&other, 60);
    assert!(matches!(back_up(&mut Running(&other), &dest, None), Err(BackupError::OtherLog { .. })));
    // Two that have a beginning in common, too.
    let new = ready.folder.path().join("new");
    bring_back(&dest, None, &new, None).unwrap();
    decide(&new, Decision::LogEndedHere).unwrap();
    let fork = open(&new, &ready.registry);
    ready.fill(&fork, 100);
    let store = open(&ready.data(), &ready.registry);
    ready.fill(&store, 60);
    let second = ready.folder.path().join("second");
    back_up(&mut Running(&store), &second, None).unwrap();
    ready.fill(&fork, 200);
    assert!(matches!(back_up(&mut Running(&fork), &second, None), Err(BackupError::OtherLog { .. })));
    assert_eq!(files(&dest), before);
    assert!(is_whole(&second, None));
    // A folder with something else in it is no place for one.
    let journal = ready.data().join("journal");
    assert!(matches!(back_up(&mut Running(&store), &journal, None), Err(BackupError::NotOurs(_))));
    let file = ready.folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(back_up(&mut Running(&store), &file.join("dest"), None), Err(BackupError::Io { .. })));
}

#[test]
fn rot_in_the_log_does_not_reach_the_backup() {
    let ready = Ready::new();
    let (data, dest) = (ready.data(), ready.dest(None));
    let store = open(&data, &ready.registry);
    ready.fill(&store, 60);
    let (tail, before) = (store.tail(), files(&dest));
    drop(store);
    let segment = data.join("journal").join(format!("{:010}.journal", tail.segment - 1));
    let bytes = std::fs::read(&segment).unwrap();
    let mut rotten = bytes.clone();
    rotten[bytes.len() / 2] ^= 4;
    std::fs::write(&segment, &rotten).unwrap();
    assert!(OfflineSource::open(&data).is_err());
    std::fs::write(&segment, &bytes).unwrap();
    let store = open(&data, &ready.registry);
    std::fs::write(&segment, &rotten).unwrap();
    let told = back_up(&mut Running(&store), &dest, None).unwrap_err();
    assert!(matches!(told, BackupError::OtherLog { .. } | BackupError::SourceDamaged { .. }), "{told}");
    assert_eq!(files(&dest), before);
    std::fs::write(&segment, &bytes).unwrap();
    assert!(back_up(&mut Running(&store), &dest, None).is_ok());
}

/// Says that the log ends earlier than it does, as long as there are such places: what is read is younger than what was asked for.
struct Racing<'s>(Running<'s>, VecDeque<Tail>);

impl Source for Racing<'_> {
    fn tail(&mut self) -> Result<Tail, SourceError> {
        self.1.pop_front().map_or_else(|| self.0.tail(), Ok)
    }
    fn bytes(&mut self, segment: u32, from: u64, until: Option<u64>) -> Result<Vec<u8>, SourceError> {
        self.0.bytes(segment, from, until)
    }
}

#[test]
fn an_erasure_that_is_carried_out_while_its_frame_is_copied_is_waited_for() {
    let ready = Ready::new();
    let (data, dest) = (ready.data(), ready.dest(None));
    let store = open(&data, &ready.registry);
    let now = Timestamp::now();
    let secret = ready.registry.first(&format!("{BLINDED}/SECRET"), draft("密", 50, &[900], now), now);
    commit(&store, vec![secret.propose(Expect::Absent, None)]);
    let before = store.tail();
    commit(&store, vec![ready.registry.erasure(std::slice::from_ref(&secret), now)]);
    let done = back_up(&mut Racing(Running(&store), [before, before].into()), &dest, None).unwrap();
    assert_eq!(done.sequence, store.tail().sequence);
    assert!(is_whole(&dest, None) && !contains(&dest, &secret.disclosures));
}

#[test]
fn going_back_to_a_moment_gives_back_no_key_that_was_revoked_since() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, data, dest) = (Registry::new(), folder.path().join("data"), folder.path().join("dest"));
    let store = open(&data, &registry);
    let audit = |event| {
        let iat = Timestamp::now().as_seconds();
        let statement = AuditStatement { iat, iss: ISSUER.to_owned(), principal: PRINCIPAL.to_owned(), event };
        commit(&store, vec![Proposal::Statement(registry.statement(FrameKind::Audit, &statement))]);
    };
    let key = |id: &str| ApiKey {
        public_key: None,
        id: id.to_owned(),
        hash: String::new(),
        role: "administrator".to_owned(),
        prefixes: Vec::new(),
        maker: None,
        label: String::new(),
        created: 1,
        expires: None,
    };
    audit(AuditEvent::KeyCreated { key: key("kept") });
    audit(AuditEvent::KeyCreated { key: key("stolen") });
    let moment = store.tail().sequence;
    audit(AuditEvent::KeyRevoked { id: "stolen".to_owned() });
    audit(AuditEvent::KeyCreated { key: key("later") });
    back_up(&mut Running(&store), &dest, None).unwrap();
    let new = folder.path().join("new");
    let done = bring_back(&dest, None, &new, Some(Moment::Sequence(moment))).unwrap();
    assert_eq!((done.carried, done.is_cut), (1, true));
    let restored = open(&new, &registry);
    let there = |table, id: &str| restored.any_row(table, id.as_bytes()).unwrap().is_some();
    assert!(there(Table::Key, "kept") && there(Table::Key, "stolen") && !there(Table::Key, "later"));
    assert!(there(Table::Revoked, "stolen") && !there(Table::Revoked, "kept"));
}

#[test]
fn a_moment_is_a_time_too_and_must_lie_within_the_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, data, dest) = (Registry::new(), folder.path().join("data"), folder.path().join("dest"));
    let store = open(&data, &registry);
    let at = |seconds| Timestamp::from_seconds(seconds).unwrap();
    for number in 0..5 {
        let now = at(1_800_000_000 + 10 * number);
        let one = registry.first(&format!("{BLINDED}/T-{number}"), draft("件", 40, &[], now), now);
        commit(&store, vec![one.propose(Expect::Absent, None)]);
    }
    back_up(&mut Running(&store), &dest, None).unwrap();
    let frames = |moment| {
        let new = tempfile::tempdir_in(folder.path()).unwrap();
        bring_back(&dest, None, &new.path().join("new"), Some(moment)).map(|done| done.sequence)
    };
    assert_eq!(frames(Moment::Time(at(1_800_000_020))).unwrap(), 3);
    assert_eq!(frames(Moment::Time(at(1_800_000_029))).unwrap(), 3);
    assert_eq!(frames(Moment::Time(at(1_900_000_000))).unwrap(), 5);
    assert_eq!(frames(Moment::Sequence(5)).unwrap(), 5);
    assert!(matches!(frames(Moment::Sequence(6)), Err(BackupError::AfterEnd { sequence: 5 })));
    assert!(matches!(frames(Moment::Sequence(0)), Err(BackupError::BeforeStart { .. })));
    assert!(matches!(frames(Moment::Time(at(1))), Err(BackupError::BeforeStart { .. })));
}

#[test]
fn a_restored_log_takes_nothing_not_even_a_seal_before_it_was_decided_about() {
    let ready = Ready::new();
    let (dest, new) = (ready.dest(None), ready.folder.path().join("new"));
    let done = bring_back(&dest, None, &new, None).unwrap();
    let segments = |folder: &Path| -> Vec<_> {
        let is_segment = |(path, _): &(PathBuf, Vec<u8>)| path.extension().is_some_and(|end| end == "journal");
        files(&folder.join("journal")).into_iter().filter(is_segment).map(|(_, bytes)| bytes).collect()
    };
    let before = segments(&new);
    let now = Timestamp::now();
    let one = ready.registry.first(&format!("{BLINDED}/NEW"), draft("件", 40, &[], now), now);
    for _ in 0..2 {
        let store = open(&new, &ready.registry);
        for atomic in [false, true] {
            let outcome = store.commit_blocking(vec![one.propose(Expect::Absent, None)], atomic).pop().unwrap();
            assert!(matches!(outcome, Outcome::Refused(Refusal::Undecided)), "{outcome:?}");
        }
        assert_eq!(store.tail().sequence, done.sequence);
        store.stop();
        drop(store);
        assert_eq!(segments(&new), before, "the log was touched");
    }
    // A note that does not read is no leave to write.
    let note = new.join("journal/restored");
    let text = std::fs::read(&note).unwrap();
    std::fs::write(&note, "{}").unwrap();
    assert!(open_result(&new, &ready.registry, 16).is_err());
    std::fs::write(&note, &text).unwrap();
    assert!(undecided(&new).unwrap().unwrap().is_undecided());
    assert_eq!(decide(&new, Decision::LogEndedHere).unwrap().sequence, done.sequence);
    // A start that fails before it is carried out leaves the log as it is, and the decision.
    drop(open(&new, &ready.registry));
    assert_eq!(segments(&new), before, "the log was touched");
    let store = open(&new, &ready.registry);
    commit(&store, vec![one.propose(Expect::Absent, None)]);
    store.forget_restore().unwrap();
    drop(store);
    assert!(matches!(decide(&new, Decision::LogEndedHere), Err(DecideError::NothingToDecide(_))));
    assert!(matches!(
        decide(&ready.folder.path().join("nowhere"), Decision::LogEndedHere),
        Err(DecideError::NothingToDecide(_))
    ));
}

#[test]
fn a_restore_writes_to_an_empty_folder_only_and_one_that_was_cut_short_opens_nothing() {
    let ready = Ready::new();
    let dest = ready.dest(None);
    let not_empty = |folder: &Path| matches!(bring_back(&dest, None, folder, None), Err(BackupError::NotEmpty(_)));
    assert!(not_empty(ready.folder.path()));
    let new = ready.folder.path().join("new");
    bring_back(&dest, None, &new, None).unwrap();
    assert!(not_empty(&new), "what was restored is not written over");
    // As a kill leaves it: the note of a restore on its way, and whatever is there already.
    let note = new.join("journal/restored");
    let text = std::fs::read_to_string(&note).unwrap();
    std::fs::write(&note, text.replace("\"is_complete\": true", "\"is_complete\": false")).unwrap();
    std::fs::remove_file(new.join("journal/0000000002.journal")).unwrap();
    assert!(matches!(open_result(&new, &ready.registry, 16), Err(OpenError::RestoreCutShort)));
    assert!(matches!(OfflineSource::open(&new), Err(OpenError::RestoreCutShort)));
    assert!(matches!(decide(&new, Decision::LogEndedHere), Err(DecideError::Open(OpenError::RestoreCutShort))));
    bring_back(&dest, None, &new, None).unwrap();
    let restored = open(&new, &ready.registry);
    let store = open(&ready.data(), &ready.registry);
    assert_eq!(statements(&restored), statements(&store)[..restored.tail().sequence as usize]);
}
