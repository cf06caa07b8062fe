//! What a mirror's folder says of whom it believes: only a start that goes through may change it.

use std::fs;

use crate::mingpai;
use crate::recorded::{Shelf, Signers, parts, serve};

#[test]
fn a_start_that_is_refused_leaves_the_pinned_policy_alone() {
    let signers = Signers::new();
    let shelf = Shelf::of(parts(&signers.head, &signers.two_versions_each(2)));
    let (url, elsewhere) = (serve(&shelf), serve(&shelf));
    let folder = tempfile::tempdir().unwrap();
    let policy = format!("log {}\nquorum none\n", signers.vkey());
    fs::write(folder.path().join("policy"), policy).unwrap();
    let once = |url: &str, more: &[&str]| {
        let asked = ["mirror", url, "--dev", "--data", "copy", "--patience", "2", "--once"];
        mingpai(folder.path(), &[&asked, more].concat())
    };
    let (code, said) = once(&url, &["--policy", "policy"]);
    assert_eq!(code, 0, "{said}");
    let stated = || fs::read_to_string(folder.path().join("copy/mirror.json")).unwrap();
    let pinned = stated();
    assert!(pinned.contains(&url), "{pinned}");

    // A service has the folder.
    let lock = fs::File::options().write(true).open(folder.path().join("copy/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let (code, said) = once(&elsewhere, &["--vkey", &signers.vkey()]);
    assert!(code == 2 && said.contains("in use by another process"), "{code} {said}");
    assert_eq!(stated(), pinned);
    drop(lock);

    // Nobody has it, and the policy is one by which this log is never believed.
    let mut other = Signers::new();
    other.head = mingpai::services::log::LogSigner::new(
        mingpai::sign::keys::KeyFolder::open(&folder.path().join("other"), 1)
            .unwrap()
            .take_all(mingpai::sign::keys::KeyUse::Checkpoint),
        "urn:test:other",
    )
    .unwrap();
    let (code, said) = once(&elsewhere, &["--vkey", &other.vkey()]);
    assert!(code == 2 && said.contains("names no key of the log urn:test:log"), "{code} {said}");
    assert_eq!(stated(), pinned);

    // A start that goes through says another address of the same log.
    let (code, said) = once(&elsewhere, &["--vkey", &signers.vkey()]);
    assert_eq!(code, 0, "{said}");
    assert!(stated().contains(&elsewhere), "{}", stated());
}
