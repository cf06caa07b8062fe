//! An import that is killed again and again, now the node, now the client, and run again: every row is there once.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

const ROWS: usize = 20_000;
const ROUNDS: u32 = 5;

fn start(folder: &Path) -> (Child, String) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    let url = loop {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the node ended before it named its URL");
        if let Some(at) = line.find("http://127.0.0.1:") {
            break line[at..].trim().trim_end_matches('/').to_owned();
        }
    };
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    (process, url)
}

fn client(arguments: &[&str], url: &str, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
    command.args(arguments).args(["--server", url, "--token-file"]).arg(folder.join("dev-token"));
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// How many records the node has, by its own metrics or by listing: here by an export.
fn exported(url: &str, folder: &Path, to: &Path) -> Vec<Json> {
    let output = client(&["export", "-o", &to.to_string_lossy()], url, folder).status().unwrap();
    assert!(output.success());
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
        let (mut node, url) = start(&data);
        let mut import = client(&arguments, &url, &data).spawn().unwrap();
        // Somewhere within the work, which takes about two seconds in a debug build.
        let wait = Duration::from_millis(u64::from(seed.wrapping_mul(round + 7).rotate_left(round * 5) % 1_500));
        let (victim, other) = if round % 2 == 0 { (&mut node, &mut import) } else { (&mut import, &mut node) };
        let until = Instant::now() + wait;
        while Instant::now() < until && victim.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        victim.kill().unwrap();
        victim.wait().unwrap();
        if round % 2 == 0 {
            // Without its node the client must end by itself, and not say yes.
            assert!(!other.wait().unwrap().success());
        } else {
            other.kill().unwrap();
            other.wait().unwrap();
        }
    }
    let (mut node, url) = start(&data);
    assert!(client(&arguments, &url, &data).status().unwrap().success());
    let records = exported(&url, &data, &folder.path().join("export.ndjson"));
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
    node.kill().unwrap();
    node.wait().unwrap();
}
