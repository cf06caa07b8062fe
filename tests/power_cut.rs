//! Real power cuts and real kills: a process that registers as fast as it can on the sled engine, stopped at random moments.
//!
//! - Cut: on a loop-mounted ext4 whose journal is thrown away by the shutdown ioctl, so that what was not synced is gone. Needs
//!   root and loop devices; where they are missing the test says `skipped:` and is counted so.
//! - Kill: `kill -9`, the file system stays.
//!
//! A publisher runs beside: it makes a head of the log durable and then shows it, as often as it can. After each end the store must
//! open, hold every acknowledged version, agree with itself, and have a log that every head ever shown is a head of. MINGPAI_CUT_ROUNDS and
//! MINGPAI_KILL_ROUNDS say how often, MINGPAI_SEED how the moments are drawn. This test has a `main` of its own because it is
//! also the process that is killed.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mingpai::model::time::Timestamp;
use mingpai::store::journal::FrameKind;
use mingpai::store::trees::Tree;
use mingpai::store::{
    EngineChoice, Expect, GroupLimits, OpenError, Opened, Outcome, Proposal, StatementProposal, Store, StoreOptions,
    doctor,
};
use mingpai::tlog::proof;
use seam::registry::{BLINDED, Ear, Registry, draft, idempotency};
use seam::{Dice, setting};

/// Tells a process that it is the one to be killed, and where to write.
const WRITER: &str = "MINGPAI_TEST_WRITER";
const WRITER_ROUND: &str = "MINGPAI_TEST_ROUND";
/// Before a line of a head that was shown.
const HEAD: &str = "head ";
const WRITERS: u64 = 4;
/// Stands for the version of a name that was erased.
const ERASED: u64 = 0;
/// After so many ends a new store begins, for every check looks at all of it.
const ENDS_A_STORE: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    if let Some(folder) = std::env::var_os(WRITER) {
        write_until_killed(Path::new(&folder), setting(WRITER_ROUND, 0));
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let tests: [(&str, fn()); 2] = [
        ("no_acknowledged_write_is_lost_by_kill_9", kill_rounds),
        ("no_acknowledged_write_is_lost_when_the_power_of_an_ext4_disk_is_cut", cut_rounds),
    ];
    if std::env::args().any(|word| word == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        let went_well = std::panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if went_well { "ok" } else { "FAILED" });
        *(if went_well { &mut passed } else { &mut failed }) += 1;
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out");
    ExitCode::from(u8::from(failed > 0))
}

fn options(folder: &Path) -> StoreOptions {
    StoreOptions {
        folder: folder.to_owned(),
        engine: EngineChoice::Sled { budget_bytes: 64 << 20 },
        // Small and short, so that segments and checkpoints are cut too.
        segment_bytes: 1 << 20,
        group: GroupLimits { frames: 256, bytes: 512 << 10 },
        queue_entries: 64,
        checkpoint_interval: Duration::from_millis(150),
        // Often enough that some rounds begin with one, and some are cut while one is written.
        snapshot_frames: 150,
        reserve_bytes: 0,
        cold: None,
    }
}

fn open(folder: &Path, registry: &Registry) -> Result<(Store, Opened), OpenError> {
    let ear = Arc::new(Ear::default());
    Store::open(&options(folder), registry.reader(), ear.clone(), ear)
}

/// The process that is killed: every line that it prints is an acknowledged version.
fn write_until_killed(folder: &Path, round: u64) -> ! {
    let registry = Registry::new();
    let (store, opened) = open(folder, &registry).unwrap_or_else(|error| {
        eprintln!("the writer cannot open: {error}");
        std::process::exit(3);
    });
    eprintln!("writer: {opened:?}");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, registry) = (&store, &registry);
            let aliases = (round * WRITERS + writer) * 1_000_000;
            scope.spawn(move || write_for_ever(store, registry, &format!("{round}-{writer}"), aliases));
        }
        let store = &store;
        scope.spawn(move || publish_for_ever(store));
    });
    std::process::exit(4);
}

/// Heads of the registry, each shown once it is durable.
fn publish_for_ever(store: &Store) {
    let mut last = 0;
    loop {
        let head = store.trees().heads().map(|(heads, _)| heads.registry).filter(|head| head.size > last);
        let Some(head) = head else {
            std::thread::yield_now();
            continue;
        };
        let shown = format!("{HEAD}{} {}", head.size, hex(&head.root));
        let statement = StatementProposal {
            disclosures: Vec::new(),
            kind: FrameKind::CheckpointHead,
            statement: shown.clone().into_bytes(),
            time: Timestamp::now().as_seconds(),
            principal: "publisher".to_owned(),
        };
        if !matches!(store.commit_blocking(vec![Proposal::Statement(statement)], false)[..], [Outcome::Committed(_)]) {
            return;
        }
        if std::io::stdout().lock().write_all(format!("{shown}\n").as_bytes()).is_err() {
            return;
        }
        last = head.size;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Aliases from a number on are this writer's.
fn write_for_ever(store: &Store, registry: &Registry, writer: &str, aliases: u64) {
    for number in 0.. {
        let now = Timestamp::now();
        let name = format!("{BLINDED}/P-{writer}-{number}");
        // One alias goes with the second version, and one comes.
        let alias = aliases + 3 * number;
        let first = registry.first(&name, draft("铭牌", 300, &[alias, alias + 1], now), now);
        let again = registry.after(&first, Some(draft("改", 40, &[alias + 1, alias + 2], now)), now);
        let mut proposals = vec![first.propose(Expect::Absent, Some(idempotency(&name)))];
        let mut version = 1;
        if number % 3 == 0 {
            proposals.push(again.propose(first.expect(), None));
            version = 2;
        }
        let outcomes = store.commit_blocking(proposals, number % 5 == 0);
        if !outcomes.iter().all(|outcome| matches!(outcome, Outcome::Committed(_))) {
            eprintln!("writer: {outcomes:?}");
            return;
        }
        if number % 50 == 7 {
            let versions = [first, again];
            let erasure = registry.erasure(&versions[..version], now);
            if !matches!(store.commit_blocking(vec![erasure], false)[..], [Outcome::Committed(_)]) {
                return;
            }
            version = ERASED as usize;
        }
        // One write of one line: a pipe keeps it whole.
        let line = format!("{name} {version}\n");
        if std::io::stdout().lock().write_all(line.as_bytes()).is_err() {
            return;
        }
    }
}

/// An acknowledged version, and when we heard of it.
struct Heard {
    name: String,
    version: u64,
    at: Instant,
}

/// The writer, and what it has acknowledged.
struct Writer {
    child: Child,
    heard: Option<JoinHandle<(Vec<Heard>, Vec<Shown>)>>,
    count: Arc<AtomicU64>,
}

impl Writer {
    fn start(folder: &Path, round: u64) -> Writer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .env(WRITER, folder)
            .env(WRITER_ROUND, round.to_string())
            .stdout(Stdio::piped())
            .stderr(if setting("MINGPAI_VERBOSE", 0) == 1 { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let heard = std::thread::spawn(move || {
            let (mut heard, mut shown) = (Vec::new(), Vec::new());
            for line in lines.lines().map_while(Result::ok) {
                if let Some(head) = line.strip_prefix(HEAD) {
                    shown.extend(head.split_once(' ').map(|(size, root)| (size.parse().unwrap(), root.to_owned())));
                } else if let Some((name, version)) = line.rsplit_once(' ') {
                    heard.push(Heard { name: name.to_owned(), version: version.parse().unwrap(), at: Instant::now() });
                    counted.fetch_add(1, Ordering::Release);
                }
            }
            (heard, shown)
        });
        Writer { child, heard: Some(heard), count }
    }

    /// Waits until so many writes are acknowledged.
    fn wait_for(&mut self, acknowledged: u64) {
        let started = Instant::now();
        while self.count.load(Ordering::Acquire) < acknowledged {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "the writer ended by itself: {ended:?}");
            assert!(started.elapsed() < PATIENCE, "the writer writes nothing");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn kill(&mut self) -> (Vec<Heard>, Vec<Shown>) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.heard.take().unwrap().join().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A head of the log: its size, and its root in hexadecimal.
type Shown = (u64, String);

/// Everything that was acknowledged since the folder was made.
#[derive(Default)]
struct Acknowledged {
    versions: BTreeMap<String, u64>,
    /// Heard while the disk was being shut down, counted apart so that a loss tells when it was answered. Held to all the
    /// same: an answer that was given is an acknowledgement.
    in_doubt: BTreeMap<String, u64>,
    /// Every head that anybody was shown.
    heads: Vec<Shown>,
}

impl Acknowledged {
    /// `end` is the moment before the disk began to go.
    fn add(&mut self, (heard, shown): (Vec<Heard>, Vec<Shown>), end: Option<Instant>) {
        self.heads.extend(shown);
        for Heard { name, version, at } in heard {
            let is_before = end.is_none_or(|end| at < end);
            if is_before { &mut self.versions } else { &mut self.in_doubt }.insert(name, version);
        }
    }

    /// What in doubt is not there; what is there is held to from now on.
    fn settle(&mut self, store: &Store, registry: &Registry) -> usize {
        let in_doubt = std::mem::take(&mut self.in_doubt);
        let count = in_doubt.len();
        let there = |(name, version): &(String, u64)| {
            let row = store.row(registry.identifier(name).key()).unwrap();
            if *version == ERASED { row.is_none() } else { row.is_some_and(|row| row.version >= *version) }
        };
        let there: Vec<_> = in_doubt.into_iter().filter(there).collect();
        let gone = count - there.len();
        self.versions.extend(there);
        gone
    }

    /// Opens the store and looks for every acknowledged version. Gives what opening did.
    fn check(&mut self, folder: &Path) -> (Opened, usize) {
        let registry = Registry::new();
        let (store, opened) = open(folder, &registry).unwrap_or_else(|error| panic!("refused to open: {error}"));
        let now = Timestamp::now().as_seconds();
        let gone = self.settle(&store, &registry);
        for (name, version) in &self.versions {
            let key = registry.identifier(name);
            let row = store.row(key.key()).unwrap();
            if *version == ERASED {
                assert!(row.is_none(), "{name} was erased and is there; {opened:?}");
                continue;
            }
            let row = row.unwrap_or_else(|| panic!("{name} is lost; {opened:?}"));
            assert!(row.version >= *version, "{name} {version} is lost: {} is there", row.version);
            let record = store.record(&row).unwrap();
            assert_eq!((record.identifier.spelling(), record.version), (name.as_str(), row.version));
            let frame = store.frame(row.location).unwrap();
            assert_eq!(
                store.record_of(&frame).unwrap().as_ref(),
                Some(&record),
                "the row says what its frame does not"
            );
            for alias in &record.aliases {
                assert_eq!(store.bearer(alias.key()).unwrap().as_ref(), Some(key.key()), "{name}: an alias is lost");
            }
            assert!(store.request(seam::registry::PRINCIPAL, name, now).unwrap().is_some(), "{name}: key forgotten");
        }
        self.check_heads(&store);
        drop(store);
        let examined = doctor::examine(&options(folder)).unwrap();
        assert_eq!((examined.difference, examined.behind), (None, 0), "the record store does not add up");
        (opened, gone)
    }
}

impl Acknowledged {
    /// Whether all heads are of the log as it is: then they are consistent with one another too.
    fn check_heads(&self, store: &Store) {
        seam::trees::wait(store);
        let reader = store.trees().reader(Tree::Registry);
        for (size, root) in &self.heads {
            assert!(*size <= reader.size(), "a head of {size} statements was shown, {} are there", reader.size());
            assert_eq!(
                hex(&proof::root(&reader, *size).unwrap()),
                *root,
                "the head of {size} statements has another root"
            );
        }
    }
}

/// A moment: mostly under load, sometimes while the store is still opening.
fn until_a_random_moment(dice: &mut Dice, writer: &mut Writer) {
    if dice.once_in(5) {
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        return;
    }
    writer.wait_for(1 + dice.below(1_500));
    std::thread::sleep(Duration::from_micros(dice.below(3_000)));
}

fn report(what: &str, rounds: u64, acknowledged: u64, openings: &[Opened], started: Instant) {
    let count = |wanted: fn(&Opened) -> bool| openings.iter().filter(|opened| wanted(opened)).count();
    println!(
        "{what}: {rounds} rounds, {acknowledged} acknowledged writes, none lost; {} openings: {} cut a torn group, {} made the record \
         store anew, {} began with a snapshot, {} frames replayed; {:.1} s",
        openings.len(),
        count(|opened| opened.cut.is_some()),
        count(|opened| opened.rebuilt.is_some()),
        count(|opened| opened.snapshot_rows.is_some()),
        openings.iter().map(|opened| opened.replayed_frames).sum::<u64>(),
        started.elapsed().as_secs_f64()
    );
}

fn kill_rounds() {
    let (rounds, started) = (setting("MINGPAI_KILL_ROUNDS", 5), Instant::now());
    let mut dice = Dice::new(setting("MINGPAI_SEED", started_at()));
    let (mut openings, mut total, mut heads) = (Vec::new(), 0, 0);
    let mut round = 0;
    while round < rounds {
        let folder = tempfile::tempdir().unwrap();
        let mut acknowledged = Acknowledged::default();
        let last = rounds.min(round + ENDS_A_STORE);
        while round < last {
            let mut writer = Writer::start(folder.path(), round);
            until_a_random_moment(&mut dice, &mut writer);
            acknowledged.add(writer.kill(), None);
            round += 1;
            if dice.once_in(3) {
                // As after a power cut: the next rounds write above a snapshot.
                let _ = std::fs::remove_file(folder.path().join("journal/checkpoint"));
            }
            // Sometimes the next writer must recover by itself, and is killed in turn.
            if round == last || !dice.once_in(3) {
                openings.push(acknowledged.check(folder.path()).0);
            }
        }
        total += acknowledged.versions.len() as u64;
        heads += acknowledged.heads.len();
    }
    println!("kill -9: {heads} heads were shown, all are of the log as it is");
    assert!(heads > 0 || rounds == 0, "no head was shown");
    report("kill -9", rounds, total, &openings, started);
}

fn cut_rounds() {
    let (rounds, started) = (setting("MINGPAI_CUT_ROUNDS", 3), Instant::now());
    let mut dice = Dice::new(setting("MINGPAI_SEED", started_at()));
    let (mut openings, mut total, mut in_doubt, mut gone, mut heads) = (Vec::new(), 0, 0, 0, 0);
    let mut round = 0;
    while round < rounds {
        let Some(disk) = LoopDisk::make() else {
            println!("skipped: power cuts on ext4: needs root and loop devices");
            return;
        };
        let mut acknowledged = Acknowledged::default();
        let last = rounds.min(round + ENDS_A_STORE);
        while round < last {
            let mut writer = Writer::start(&disk.folder(), round);
            until_a_random_moment(&mut dice, &mut writer);
            let end = Instant::now();
            disk.cut();
            acknowledged.add(writer.kill(), Some(end));
            disk.mount_again();
            round += 1;
            in_doubt += acknowledged.in_doubt.len();
            if round == last || !dice.once_in(3) {
                let (opened, not_there) = acknowledged.check(&disk.folder());
                openings.push(opened);
                gone += not_there;
            }
        }
        total += acknowledged.versions.len() as u64;
        heads += acknowledged.heads.len();
    }
    println!("power cut: {in_doubt} answers were heard while the disk went, {gone} of them are not there");
    assert_eq!(gone, 0, "answers that were heard while the disk went are lost, of {in_doubt} in {rounds} rounds");
    println!("power cut: {heads} heads were shown, all are of the log as it is");
    assert!(heads > 0 || rounds == 0, "no head was shown");
    report("power cut", rounds, total, &openings, started);
}

/// Without MINGPAI_SEED every run draws other moments: the moments themselves cannot be brought back anyway.
fn started_at() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |since| since.as_nanos() as u64)
}

/// An ext4 image on a loop device. Unmounted when dropped, also by a panic.
struct LoopDisk {
    place: tempfile::TempDir,
}

impl LoopDisk {
    /// `None` where this machine does not let us mount.
    fn make() -> Option<LoopDisk> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let disk = LoopDisk { place: tempfile::tempdir().unwrap() };
        std::fs::File::create(disk.image()).unwrap().set_len(1 << 30).unwrap();
        std::fs::create_dir(disk.mount()).unwrap();
        let made = run("mkfs.ext4", &["-q", "-F", disk.image().to_str()?]) && disk.try_mount();
        made.then_some(disk)
    }

    fn image(&self) -> PathBuf {
        self.place.path().join("image")
    }

    fn mount(&self) -> PathBuf {
        self.place.path().join("mount")
    }

    fn folder(&self) -> PathBuf {
        self.mount().join("data")
    }

    fn try_mount(&self) -> bool {
        run("mount", &["-o", "loop", &self.image().to_string_lossy(), &self.mount().to_string_lossy()])
    }

    /// Nothing that is in memory reaches the disk any more: EXT4_IOC_SHUTDOWN with EXT4_GOING_FLAGS_NOLOGFLUSH
    /// (linux/fs/ext4/ext4.h).
    fn cut(&self) {
        const SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587D;
        const NO_LOG_FLUSH: u32 = 2;
        let mount = std::fs::File::open(self.mount()).unwrap();
        #[expect(unsafe_code, reason = "no crate offers this ioctl; it reads one u32, which lives as long as the call")]
        let done = unsafe { rustix::ioctl::ioctl(&mount, rustix::ioctl::Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        done.unwrap();
    }

    fn mount_again(&self) {
        assert!(run("umount", &[&self.mount().to_string_lossy()]), "the disk is still in use");
        assert!(self.try_mount(), "the disk does not mount after the cut");
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // The loop device goes with its mount. A lazy unmount where something still holds it.
        let mount = self.mount().to_string_lossy().into_owned();
        if !run("umount", &[&mount]) {
            run("umount", &["-l", &mount]);
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
