//! Open files: a journal segment has one and a connection has one, so a node takes all that it may have, and says where that
//! ends.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::path::Path;
use std::process::Command;

use program::Node;
use serde_json::Value as Json;

/// The program under a limit of open files, set by the shell (`-S`: the soft one, which it may raise itself).
fn limited(limit: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit {limit} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_mingpai")]);
    shell
}

#[test]
fn a_node_raises_its_soft_limit_to_the_hard_one() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_by(limited("-S -n 200"), folder.path());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.process.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line["Max open files".len()..].split_whitespace().collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}

/// The doctor's check of open files: what it finds, says and advises.
fn examined(limit: &str, data: &Path) -> (String, String, Option<String>) {
    let output = limited(limit).args(["doctor", "--json", "--lang", "en", "--data"]).arg(data).output().unwrap();
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == "open-files").unwrap_or_else(|| panic!("{report}"));
    let text = |value: &Json| value.as_str().map(str::to_owned);
    (text(&check["finding"]).unwrap(), text(&check["detail"]["en"]).unwrap(), text(&check["repair"]))
}

#[test]
fn a_doctor_counts_the_segments_against_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    for number in 1..=40 {
        std::fs::write(journal.join(format!("{number:010}.journal")), "").unwrap();
    }
    std::fs::write(journal.join("0000000041.journal.new"), "").unwrap();
    let (finding, detail, repair) = examined("-n 100", folder.path());
    assert_eq!(finding, "failed", "{detail}");
    assert!(detail.contains("40 journal segments") && detail.contains("100 open files"), "{detail}");
    assert!(repair.unwrap().contains("LimitNOFILE="));
    // Enough for the journal, not for every connection that the configuration allows.
    let (finding, detail, _) = examined("-n 2000", folder.path());
    assert_eq!(finding, "warning", "{detail}");
    let (finding, detail, repair) = examined("-n 12000", folder.path());
    assert_eq!((finding.as_str(), repair), ("ok", None), "{detail}");
}
