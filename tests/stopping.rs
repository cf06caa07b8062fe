//! A stop at a moment when nothing is served yet.

use std::fs::OpenOptions;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_signal_does_not_wait_for_a_store_that_is_still_opening() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("node");
        std::fs::create_dir_all(data.join("records")).unwrap();
        // The record store reads this file first of all. From a pipe it reads when the test writes, which is never: the
        // store is opening for as long as the test holds the other end.
        let pipe = data.join("records").join("conf");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let mut node = Command::new(env!("CARGO_BIN_EXE_mingpai"))
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .env("MINGPAI_LOG_FILTER", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let held = OpenOptions::new().write(true).open(&pipe).unwrap(); // returns when the store has opened it
        kill_process(Pid::from_child(&node), signal).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let ended = loop {
            if let Some(status) = node.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > until {
                node.kill().unwrap();
                node.wait().unwrap();
                break None;
            }
            std::thread::yield_now();
        };
        drop(held);
        let (mut out, mut log) = (String::new(), String::new());
        node.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        node.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{signal:?}: {log}");
        assert!(log.contains("asked to stop while the store was opening"), "{log}");
        assert_eq!(out, "", "it called itself ready");
    }
}
