//! A large file over a poor line: the connection breaks, the client is killed, and what has come is never sent again.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use program::Node;

/// Between client and node: counts what the client sends, and breaks or holds connections once so much has passed.
struct Line {
    url: String,
    sent: Arc<AtomicU64>,
    /// Bytes that may still pass; beyond that the line does what `holds` says. Negative: all passes.
    left: Arc<AtomicI64>,
}

impl Line {
    fn to(node: &Node) -> Line {
        let target = node.url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sent, left) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicI64::new(-1)));
        let (counted, allowed) = (Arc::clone(&sent), Arc::clone(&left));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(node) = TcpStream::connect(&target) else { continue };
                let (sent, left) = (Arc::clone(&counted), Arc::clone(&allowed));
                let (mut back, mut to_client) = (node.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut to_client);
                    let _ = to_client.shutdown(Shutdown::Both);
                });
                std::thread::spawn(move || pass(client, node, &sent, &left));
            }
        });
        Line { url, sent, left }
    }

    fn break_after(&self, bytes: i64) {
        self.left.store(bytes, Ordering::SeqCst);
    }

    fn sent(&self) -> u64 {
        self.sent.swap(0, Ordering::SeqCst)
    }
}

/// Breaks the connection when nothing may pass any more; the next one has no limit.
fn pass(mut client: TcpStream, mut node: TcpStream, sent: &AtomicU64, left: &AtomicI64) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count) = client.read(&mut buffer) {
        if count == 0 || node.write_all(&buffer[..count]).is_err() {
            break;
        }
        sent.fetch_add(count as u64, Ordering::SeqCst);
        if left.load(Ordering::SeqCst) >= 0 && left.fetch_sub(count as i64, Ordering::SeqCst) <= count as i64 {
            left.store(-1, Ordering::SeqCst);
            break;
        }
    }
    let _ = node.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}

fn write_rows(to: &Path) -> u64 {
    let mut file = std::io::BufWriter::new(std::fs::File::create(to).unwrap());
    // Large beside what the buffers of a loopback connection hold.
    let filler = "x".repeat(16_000);
    for at in 0..3_000 {
        let value = format!("[{{\"index\":1,\"type\":\"n\",\"data\":\"{filler}\"}}]");
        writeln!(file, "{{\"identifier\":\"88.999.1/line-{at}\",\"values\":{value}}}").unwrap();
    }
    file.flush().unwrap();
    std::fs::metadata(to).unwrap().len()
}

fn import(node: &Node, line: &Line, file: &Path, state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
    // Checked only: what is looked at is the way to the node.
    command.args(["import", "--dry-run", "--server", &line.url, "--token-file"]).arg(node.folder.join("dev-token"));
    command.arg(file).env("XDG_STATE_HOME", state).env("MINGPAI_LANG", "en");
    command
}

#[test]
fn what_has_come_is_not_sent_again_when_the_line_breaks_or_the_client_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, state) = (folder.path().join("rows.ndjson"), folder.path().join("state"));
    let bytes = write_rows(&file);
    let node = Node::start(&folder.path().join("node"));
    let line = Line::to(&node);
    let uploads = state.join("mingpai/uploads");
    let kept = || std::fs::read_dir(&uploads).map_or(0, Iterator::count);

    line.break_after((bytes / 2) as i64);
    let output = import(&node, &line, &file, &state).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("going on with the upload from"), "{told}");
    // What was in the buffers of a connection that broke is lost with it, and nothing else.
    let sent = line.sent();
    assert!(sent < bytes + bytes / 3, "{sent} bytes were sent of {bytes}");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(out.contains("3000 rows"), "{out}{told}");
    assert_eq!(kept(), 0, "what has come to its end is forgotten");

    // Another file time is another upload.
    std::fs::File::options().append(true).open(&file).unwrap().write_all(b"\n").unwrap();
    let mut first = import(&node, &line, &file, &state).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while line.sent.load(Ordering::SeqCst) < bytes / 2 && first.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let before = line.sent();
    if kept() == 0 {
        // The machine was faster than the test: all had been sent, and there is nothing to go on with.
        return;
    }
    let output = import(&node, &line, &file, &state).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(String::from_utf8_lossy(&output.stdout).contains("3000 rows"), "{told}");
    let after = line.sent();
    assert!(before + after < bytes + bytes / 3, "{before} and then {after} bytes were sent of {bytes}: {told}");
    assert_eq!(kept(), 0);
}
