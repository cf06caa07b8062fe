//! Jobs whose node is killed again and again: each goes on by itself, no row is done twice and none is left out.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use program::Node;
use serde_json::Value as Json;

const ROWS: u64 = 8_000;
/// Every so many rows one is wrong.
const WRONG: u64 = 100;
const ROUNDS: u32 = 4;

/// The jobs of a data folder, as their files tell.
fn jobs(data: &Path) -> Vec<Json> {
    let folders = std::fs::read_dir(data.join("imports")).unwrap().map(|entry| entry.unwrap().path());
    let read = |folder: PathBuf| std::fs::read(folder.join("job.json")).ok();
    folders.filter_map(read).filter_map(|bytes| serde_json::from_slice(&bytes).ok()).collect()
}

/// Kills the node at some moment of the work, several times, and gives the one that is left.
fn killed(mut node: Node, data: &Path, seed: u32) -> Node {
    for round in 0..ROUNDS {
        let wait = Duration::from_millis(u64::from(seed.wrapping_mul(round + 7).rotate_left(round * 5) % 700));
        let until = Instant::now() + wait;
        while Instant::now() < until {
            std::thread::yield_now();
        }
        node.kill();
        node = Node::start(data);
    }
    node
}

fn watched(node: &Node, id: &str) -> Json {
    let output = node.run_signed_in(&["import", "--watch", id, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn exported(node: &Node, to: &Path) -> Vec<Json> {
    assert!(node.run_signed_in(&["export", "--force", "-o", &to.to_string_lossy()]).status.success());
    let text = std::fs::read_to_string(to).unwrap();
    let records = text.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    records.filter(|record| record["identifier"].as_str().unwrap().contains("/job-")).collect()
}

#[test]
fn an_import_its_undo_and_a_change_in_bulk_go_on_by_themselves_after_their_node_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, input) = (folder.path().join("node"), folder.path().join("rows.ndjson"));
    let mut rows = std::io::BufWriter::new(std::fs::File::create(&input).unwrap());
    for at in 0..ROWS {
        if at % WRONG == 7 {
            writeln!(rows, "row {at} is wrong").unwrap();
        }
        writeln!(rows, "{{\"identifier\":\"88.999.1/job-{at:06}\",\"values\":[{{\"index\":2000,\"type\":\"序号\",\"data\":{at}}}]}}")
            .unwrap();
    }
    rows.flush().unwrap();
    drop(rows);
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("seed {seed}");

    let node = Node::start(&data);
    let arguments = ["import", &*input.to_string_lossy(), "--patience", "0"];
    let mut import = node.signed(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let bytes = std::fs::metadata(&input).unwrap().len();
    let ours = |job: &Json| job["bytes"] == bytes;
    while !jobs(&data).iter().any(ours) && import.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let node = killed(node, &data, seed);
    import.wait().unwrap();
    let id = jobs(&data).iter().find(|job| ours(job)).unwrap()["id"].as_str().unwrap().to_owned();
    let ended = watched(&node, &id);
    let wrong = ROWS / WRONG;
    let expected =
        serde_json::json!({"total": ROWS + wrong, "registered": ROWS, "updated": 0, "skipped": 0, "failed": wrong});
    assert_eq!((&ended["state"], &ended["rows"]), (&Json::from("done"), &expected));
    let errors = std::fs::read_to_string(data.join("imports").join(&id).join("errors.ndjson")).unwrap();
    let lines: Vec<u64> =
        errors.lines().map(|line| serde_json::from_str::<Json>(line).unwrap()["line"].as_u64().unwrap()).collect();
    let planted: Vec<u64> = (0..wrong).map(|at| at * WRONG + 7 + at + 1).collect();
    assert_eq!(lines, planted, "each wrong row is told once");
    let records = exported(&node, &folder.path().join("export.ndjson"));
    assert_eq!(records.len() as u64, ROWS);
    assert!(records.iter().all(|record| record["version"] == 1 && record["status"] == "active"));

    // A change in bulk, then the import itself taken back with everything else untouched.
    let bulk = ["bulk", "--prefix", "88.999.1", "--type", "序号", "--operation", "suspend", "--yes", "--patience", "0"];
    let mut command = node.signed(&bulk).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let of = |kind: &'static str| move |job: &Json| job["plan"] == kind;
    while !jobs(&data).iter().any(of("bulk")) && command.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let node = killed(node, &data, seed.rotate_left(7));
    command.wait().unwrap();
    let change = jobs(&data).into_iter().find(of("bulk")).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(watched(&node, &change)["rows"]["updated"], ROWS);
    let records = exported(&node, &folder.path().join("export.ndjson"));
    assert!(records.iter().all(|record| record["version"] == 2 && record["status"] == "suspended"));

    let mut undo = node.signed(&["import", "--undo", &change, "--patience", "0"]);
    let mut undo = undo.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !jobs(&data).iter().any(of("undo")) && undo.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let node = killed(node, &data, seed.rotate_left(13));
    undo.wait().unwrap();
    let back = jobs(&data).into_iter().find(of("undo")).unwrap()["id"].as_str().unwrap().to_owned();
    let ended = watched(&node, &back);
    assert_eq!((&ended["rows"]["total"], &ended["rows"]["updated"]), (&Json::from(ROWS), &Json::from(ROWS)));
    let records = exported(&node, &folder.path().join("export.ndjson"));
    assert_eq!(records.len() as u64, ROWS);
    assert!(records.iter().all(|record| record["version"] == 3 && record["status"] == "active"));
}
