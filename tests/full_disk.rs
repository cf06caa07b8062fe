//! A disk without one free block, for real: an ext4 on a loop device. Needs root and loop devices; where they are missing the
//! test says `skipped:` and passes.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails where it finds something")]

mod seam;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use mingpai::model::time::Timestamp;
use mingpai::store::{EngineChoice, Expect, GroupLimits, Opened, Outcome, Refusal, Store, StoreOptions};
use seam::history::compare_record;
use seam::registry::{BLINDED, Ear, Registry, Version, draft};

/// A small ext4 image. Unmounted when dropped, also by a panic.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this machine does not let us mount.
    fn make() -> Option<SmallDisk> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let disk = SmallDisk(tempfile::tempdir().unwrap());
        let image = disk.0.path().join("image");
        std::fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        std::fs::create_dir(disk.mount()).unwrap();
        let (image, mount) = (image.to_string_lossy().into_owned(), disk.mount().to_string_lossy().into_owned());
        // Without blocks that only root may use: the test is root.
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", &image]) && run("mount", &["-o", "loop", &image, &mount]);
        made.then_some(disk)
    }

    fn mount(&self) -> PathBuf {
        self.0.path().join("mount")
    }

    fn folder(&self) -> PathBuf {
        self.mount().join("data")
    }

    /// Another program takes every block.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.mount().join("filler")).unwrap();
        for piece in [vec![1; 1 << 20], vec![1; 512]] {
            while file.write_all(&piece).is_ok() {}
        }
        file.sync_all().unwrap();
    }

    /// And gives some of them back.
    fn free_bytes(&self, room: u64) {
        let filler = std::fs::File::options().write(true).open(self.mount().join("filler")).unwrap();
        filler.set_len(filler.metadata().unwrap().len() - room).unwrap();
        filler.sync_all().unwrap();
    }

    /// And gives them back.
    fn free(&self) {
        std::fs::remove_file(self.mount().join("filler")).unwrap();
        assert!(run("sync", &["-f", &self.mount().to_string_lossy()]));
        // How much is free is asked a few times a second.
        std::thread::sleep(Duration::from_millis(250));
    }

    fn open(&self, registry: &Registry) -> (Store, Opened) {
        let options = StoreOptions {
            folder: self.folder(),
            engine: EngineChoice::Sled { budget_bytes: 64 << 20 },
            segment_bytes: 256 * 1024,
            group: GroupLimits { frames: 64, bytes: 64 * 1024 },
            queue_entries: 16,
            checkpoint_interval: Duration::from_millis(300),
            snapshot_frames: 0,
            reserve_bytes: 1 << 20,
            cold: None,
        };
        let ear = Arc::new(Ear::default());
        Store::open(&options, registry.reader(), ear.clone(), ear).expect("the store opens")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.mount().to_string_lossy()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn commit(store: &Store, version: &Version) -> Outcome {
    store.commit_blocking(vec![version.propose(Expect::Absent, None)], false).pop().unwrap()
}

/// Short records ride in their rows; of long ones the rows name a place in the journal.
fn versions(registry: &Registry, name: &str) -> Vec<Version> {
    let now = Timestamp::now();
    let version = |at: usize| registry.first(&format!("{BLINDED}/{name}-{at}"), draft("件", 40 * at, &[], now), now);
    (0..20).map(version).collect()
}

fn compare(store: &Store, versions: &[Version]) {
    for version in versions {
        compare_record(store, version.key(), std::slice::from_ref(version));
    }
}

#[test]
fn a_node_that_starts_on_a_full_disk_serves_reads_and_loses_nothing() {
    let Some(disk) = SmallDisk::make() else {
        println!("skipped: a full ext4: needs root and loop devices");
        return;
    };
    let registry = Registry::new();
    let (first, second) = (versions(&registry, "FIRST"), versions(&registry, "SECOND"));
    let (store, _) = disk.open(&registry);
    first.iter().for_each(|version| assert!(matches!(commit(&store, version), Outcome::Committed(_))));
    store.stop();
    drop(store);
    disk.fill();
    // Twice: what the first start did must not be in the way of the next.
    for _ in 0..2 {
        let (store, opened) = disk.open(&registry);
        assert!(opened.in_memory && opened.rebuilt.is_none(), "{opened:?}");
        compare(&store, &first);
        let refused = commit(&store, &second[0]);
        assert!(matches!(refused, Outcome::Refused(Refusal::Full { .. })), "{refused:?}");
        store.stop();
        assert!(!disk.folder().join("records.aside").exists(), "nothing is wrong with the record store");
    }
    let (store, _) = disk.open(&registry);
    disk.free();
    second.iter().for_each(|version| assert!(matches!(commit(&store, version), Outcome::Committed(_))));
    // Whatever happened to the record store's files meanwhile, this run does not know it and must not vouch for them.
    std::thread::sleep(Duration::from_millis(900));
    let checkpoint = std::fs::read(disk.folder().join("journal/checkpoint")).unwrap();
    let checkpoint = String::from_utf8_lossy(&checkpoint).into_owned();
    assert!(checkpoint.contains("\"session\":null") && checkpoint.contains("\"clean\":false"), "{checkpoint}");
    store.stop();
    drop(store);
    let (store, opened) = disk.open(&registry);
    assert!(!opened.in_memory && opened.rebuilt.is_none() && !opened.clean, "{opened:?}");
    compare(&store, &first);
    compare(&store, &second);
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(run("cp", &["-a", &from.to_string_lossy(), &to.to_string_lossy()]));
}

#[test]
fn a_record_store_that_is_behind_on_a_full_disk_is_left_alone_and_its_rows_are_made_in_memory() {
    let Some(disk) = SmallDisk::make() else {
        println!("skipped: a full ext4: needs root and loop devices");
        return;
    };
    let registry = Registry::new();
    let now = Timestamp::now();
    let version = |at: usize| registry.first(&format!("{BLINDED}/{at}"), draft("件", 20, &[], now), now);
    let versions: Vec<Version> = (0..4_000).map(version).collect();
    let (records, early) = (disk.folder().join("records"), disk.0.path().join("early"));
    let (first, rest) = versions.split_at(20);
    for part in [first, rest] {
        let (store, _) = disk.open(&registry);
        for group in part.chunks(30) {
            let proposals = group.iter().map(|version| version.propose(Expect::Absent, None)).collect();
            let outcomes = store.commit_blocking(proposals, false);
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Committed(_))), "{outcomes:?}");
        }
        store.stop();
        drop(store);
        if !early.exists() {
            copy_folder(&records, &early);
        }
    }
    let mut met = 0;
    for room in [0, 256, 768, 1_024, 1_536, 2_048, 3_072] {
        std::fs::remove_dir_all(&records).unwrap();
        copy_folder(&early, &records);
        disk.fill();
        disk.free_bytes(room * 1024);
        let (store, opened) = disk.open(&registry);
        assert!(opened.rebuilt.is_none(), "with {room} KiB: {opened:?}");
        assert!(!disk.folder().join("records.aside").exists(), "with {room} KiB: nothing is wrong with it");
        compare(&store, &versions);
        // Opening had room, and following the journal had none.
        met += usize::from(opened.in_memory && opened.replayed_frames > 0 && room >= 768);
        store.stop();
        drop(store);
        disk.free();
    }
    println!("{met} times the disk was full in the middle of a replay");
}
