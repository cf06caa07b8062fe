//! Following a log that need not be trusted: what a dishonest one shows is caught and named, what an honest one shows is taken.
//!
//! - `recorded`: a log in memory that lies as a test tells it, and a server of it. `follower`: the library. `auditing`, `conducting`,
//!   `watching`, `mirroring`, `ordering`: the commands, against that server and against a node. `doubting`: what a mirror may believe, forget
//!   and ask for again. `starting`: a mirror without `--dev`, and what it says of its key.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod auditing;
mod conducting;
mod doubting;
mod follower;
mod mirroring;
mod ordering;
#[path = "../program/mod.rs"]
mod program;
mod recorded;
mod starting;
mod watching;

use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;

/// Runs a command in English; its exit code and what it said.
fn mingpai(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(arguments)
        .current_dir(folder)
        .env("MINGPAI_LANG", "en")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!err.contains("panicked"), "{err}");
    (output.status.code().unwrap_or(-1), if out.is_empty() { err } else { out })
}

/// The same for its JSON.
fn mingpai_json(folder: &Path, arguments: &[&str]) -> (i32, Json) {
    let (code, out) = mingpai(folder, &[arguments, &["--json"]].concat());
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {code} {out}")))
}
