//! A node of our own whose log is read while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use serde_json::Value as Json;

const MINGPAI: &str = env!("CARGO_BIN_EXE_mingpai");
/// A line that does not come within this never comes.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    process: Child,
    folder: PathBuf,
    pub url: String,
    pub key: String,
    coming: Receiver<String>,
    come: Mutex<Vec<String>>,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Node {
    pub fn start(folder: &Path, config: &str) -> Node {
        Node::start_in(folder, config, &[])
    }

    pub fn start_in(folder: &Path, config: &str, environment: &[(&str, &str)]) -> Node {
        std::fs::write(folder.join("mingpai.toml"), config).unwrap();
        let mut process = Command::new(MINGPAI)
            .args(["serve", "--config", "mingpai.toml"])
            .current_dir(folder)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, coming) = channel();
        let errors = BufReader::new(process.stderr.take().unwrap());
        std::thread::spawn(move || errors.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut announced = String::new();
        while !(announced.contains("administrator's key") && announced.ends_with('\n')) {
            let read = out.read_line(&mut announced).unwrap();
            assert!(read > 0, "ended early: {:?}", coming.iter().collect::<Vec<_>>());
        }
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        let url = announced.lines().find_map(|line| line.trim().strip_prefix("http://").map(str::to_owned)).unwrap();
        let url = url.trim_end_matches('/').to_owned();
        let mut node =
            Node { process, folder: folder.to_owned(), url, key: String::new(), coming, come: Mutex::default() };
        node.key = node.first_key();
        node
    }

    /// Of a demonstration, or in exchange for the bootstrap token.
    fn first_key(&self) -> String {
        let file = self.key_file();
        if !file.exists() {
            let token = self.folder.join("data/bootstrap-token");
            let server = format!("http://{}", self.url);
            let made = Command::new(MINGPAI)
                .args(["token", "--server", &server, "--bootstrap-file"])
                .arg(token)
                .arg("--out")
                .arg(&file)
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    fn key_file(&self) -> PathBuf {
        let of_demonstration = self.folder.join("data/dev-token");
        if of_demonstration.exists() { of_demonstration } else { self.folder.join("admin-key") }
    }

    /// One request on a connection of its own, with the administrator's key where something is written.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let mut stream = TcpStream::connect(&self.url).unwrap();
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if let Some(body) = body {
            head += &format!("Authorization: Bearer {}\r\n", self.key);
            head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, body: body.to_owned() }
    }

    /// A client command with the administrator's key: exit code, and what was said.
    pub fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.command_in(&[arguments, &["--token-file", self.key_file().to_str().unwrap()]].concat(), &[])
    }

    pub fn command_in(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = Command::new(MINGPAI)
            .args(arguments)
            .args(["--server", &format!("http://{}", self.url)])
            .env("MINGPAI_LANG", "en")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    }

    /// The first line, past or to come, that fits.
    pub fn until(&self, fits: impl Fn(&Json) -> bool) -> Json {
        let mut come = self.come.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = come.iter().map(|line| parsed(line)).find(&fits) {
            return line;
        }
        loop {
            let line =
                self.coming.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never logged:\n{}", come.join("\n")));
            come.push(line);
            let line = parsed(come.last().unwrap());
            if fits(&line) {
                return line;
            }
        }
    }

    pub fn line_of(&self, request_id: &str, message: &str) -> Json {
        self.until(|line| line["span"]["request_id"] == request_id && line["message"] == message)
    }

    pub fn log_so_far(&self) -> String {
        let mut come = self.come.lock().unwrap_or_else(PoisonError::into_inner);
        come.extend(self.coming.try_iter());
        come.join("\n")
    }

    pub fn lines_so_far(&self) -> Vec<Json> {
        self.log_so_far().lines().map(parsed).collect()
    }

    pub fn metric(&self, name: &str) -> u64 {
        let all = self.send("GET", "/metrics", &[], None).body;
        let value = all
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{name}:\n{all}"));
        value.parse().unwrap()
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Every line of this log is one JSON document.
fn parsed(line: &str) -> Json {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// What an entry signs in clear.
pub fn payload_of(entry: &str) -> Json {
    let payload = entry.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

/// A fresh pair for loopback.
pub fn put_pair(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    let key = folder.join("key.pem");
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
}
