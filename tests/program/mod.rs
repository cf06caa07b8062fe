//! The program itself, started and asked by its own command line, as the tests of whole nodes need it.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;

/// A node of our own, killed when dropped.
pub struct Node {
    pub process: Child,
    pub url: String,
    pub folder: PathBuf,
}

impl Node {
    /// Starts `serve --dev` on a free port of loopback; it answers when this returns.
    pub fn start(folder: &Path) -> Node {
        Node::start_by(Command::new(env!("CARGO_BIN_EXE_mingpai")), folder)
    }

    /// The same by a command that the program's arguments are to be added to.
    pub fn start_by(mut program: Command, folder: &Path) -> Node {
        let mut process = program
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
        // The pipe must not fill up while the node runs.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Node { process, url, folder: folder.to_owned() }
    }

    /// A command that asks this node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        command.args(arguments).args(["--server", &self.url]);
        command
    }

    /// The same with the administrator's key.
    pub fn signed(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.arg("--token-file").arg(self.folder.join("dev-token"));
        command
    }

    pub fn run_signed_in(&self, arguments: &[&str]) -> Output {
        self.signed(arguments).output().unwrap()
    }

    /// The resolution of a name that must be there.
    pub fn resolve(&self, name: &str) -> Json {
        let output = self.command(&["resolve", name, "--json"]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
