//! The command line as users and scripts meet it: exit codes, files, what is printed and what never is.
//!
//! The other end is a node of paper (`paper_node`), so that it can break off, be busy and lie; the real one is tested with
//! the node, and in `signing_in`.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something wrong")]

mod clients;
mod exit_codes;
mod exporting;
mod importing;
mod licensing;
mod local;
mod operating;
mod paper_node;
#[path = "../program/mod.rs"]
mod program;
mod signing_in;
mod verifying;

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A secret that must never be printed.
const SECRET: &str = "mpk_test_thisisthesecretpart_00000000";

/// What a command left behind.
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }

    /// Fails with everything that was said unless the exit code is this one.
    fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }
}

/// Runs a command in English, with nothing of the tester's own environment.
fn mingpai<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Ended {
    mingpai_reading(folder, arguments, &[])
}

fn mingpai_reading<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>, input: &[u8]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("MINGPAI_LANG", "en")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command may end without reading all that it is given.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let ended = Ended {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    };
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
    ended
}

/// A folder with a token file that only its owner can read.
fn folder_with_token() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_with_mode(&folder.path().join("token"), SECRET, 0o600);
    folder
}

fn write_with_mode(path: &Path, text: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, format!("{text}\n")).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The names in a folder, sorted.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
