//! An import that is killed again and again, now the node, now the client, and run again: every row is there once.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use program::Node;
use serde_json::Value as Json;

const ROWS: usize = 10_000;
const ROUNDS: u32 = 5;

fn exported(node: &Node, to: &Path) -> Vec<Json> {
    assert!(node.run_signed_in(&["export", "--force", "-o", &to.to_string_lossy()]).status.success());
    let text = std::fs::read_to_string(to).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_import_killed_five_times_and_run_again_registers_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, input) = (folder.path().join("node"), folder.path().join("rows.ndjson"));
    let mut rows = std::io::BufWriter::new(std::fs::File::create(&input).unwrap());
    for at in 0..ROWS {
        writeln!(
            rows,
            "{{\"identifier\":\"88.999.1/kill-{at:06}\",\"values\":[{{\"index\":2000,\"type\":\"序号\",\"data\":{at}}}]}}"
        )
        .unwrap();
    }
    rows.flush().unwrap();
    drop(rows);
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    println!("seed {seed}");
    let arguments = ["import", &*input.to_string_lossy(), "--on-conflict", "skip", "--patience", "1"];
    for round in 0..ROUNDS {
        let mut node = Node::start(&data);
        let mut import = node.signed(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Somewhere within the work, which takes about two seconds in a debug build.
        let wait = Duration::from_millis(u64::from(seed.wrapping_mul(round + 7).rotate_left(round * 5) % 1_500));
        let until = Instant::now() + wait;
        while Instant::now() < until && import.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if round % 2 == 0 {
            // Without its node the client must end by itself, and not say yes.
            let finished_before = import.try_wait().unwrap().is_some();
            node.kill();
            assert!(finished_before || !import.wait().unwrap().success());
        } else {
            import.kill().unwrap();
            import.wait().unwrap();
            node.kill();
        }
    }
    let node = Node::start(&data);
    assert!(node.run_signed_in(&arguments).status.success());
    let records = exported(&node, &folder.path().join("export.ndjson"));
    let mut ours: Vec<u64> = records
        .iter()
        .filter(|record| record["identifier"].as_str().unwrap().contains("/kill-"))
        .map(|record| {
            assert_eq!(record["version"], 1, "a row was registered twice: {record}");
            record["values"][0]["data"]["value"].as_u64().unwrap()
        })
        .collect();
    ours.sort_unstable();
    assert_eq!(ours.len(), ROWS);
    assert!(ours.iter().enumerate().all(|(at, value)| at as u64 == *value));
}
