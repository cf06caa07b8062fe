//! A witness as logs and verifiers meet it: the program over HTTP, under logs that fork, clients that send rubbish, and kill -9; and the
//! node's own side of the conversation against it.
//!
//! The logs are made here, tree and proofs by the book (RFC 6962, 2.1), apart from the program's own code.

#![allow(clippy::unwrap_used, reason = "a test may end where it finds something wrong")]

mod program;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer;
use mingpai::config::WitnessSpec;
use mingpai::metrics::{Metrics, WitnessMetrics};
use mingpai::services::witnesses::{Prove, Witnesses};
use mingpai::tlog::checkpoint::Checkpoint;
use mingpai::tlog::hash::Head;
use mingpai::tlog::note::{KeyKind, Note, SignNote, SignatureLine, VerifierKey};
use mingpai::tlog::policy::Policy;
use ring::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};

const ORIGIN: &str = "log.example/one";
const NAME: &str = "witness.example/w1";

/// RFC 6962, 2.1.
fn hash(parts: &[&[u8]]) -> [u8; 32] {
    digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap()
}

fn root(leaves: &[[u8; 32]]) -> [u8; 32] {
    match leaves {
        [] => hash(&[]),
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            hash(&[&[1], &root(left), &root(right)])
        }
    }
}

fn split(size: usize) -> usize {
    let mut half = 1;
    while half * 2 < size {
        half *= 2;
    }
    half
}

/// RFC 6962, 2.1.2: SUBPROOF.
fn subproof(old: usize, leaves: &[[u8; 32]], is_whole: bool) -> Vec<[u8; 32]> {
    if old == leaves.len() {
        return if is_whole { Vec::new() } else { vec![root(leaves)] };
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    if old <= left.len() {
        let mut proof = subproof(old, left, is_whole);
        proof.push(root(right));
        proof
    } else {
        let mut proof = subproof(old - left.len(), right, false);
        proof.push(root(left));
        proof
    }
}

/// A log of the tests: its leaves say which branch they are of from `fork` on.
struct Log {
    key: VerifierKey,
    pair: ed25519_dalek::SigningKey,
    leaves: Vec<[u8; 32]>,
}

impl SignNote for Log {
    fn verifier(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).to_bytes()
    }
}

impl Log {
    fn new(origin: &str, seed: u8, size: usize) -> Log {
        Log::forked(origin, seed, size, size, "")
    }

    /// The same up to `fork`, then another.
    fn forked(origin: &str, seed: u8, size: usize, fork: usize, branch: &str) -> Log {
        let pair = ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let key = VerifierKey::new(origin, KeyKind::Note, *pair.verifying_key().as_bytes()).unwrap();
        let leaf = |at: usize| hash(&[&[0], format!("{at}{}", if at < fork { "" } else { branch }).as_bytes()]);
        Log { key, pair, leaves: (0..size).map(leaf).collect() }
    }

    fn head(&self, size: usize) -> Head {
        Head { size: size as u64, root: root(&self.leaves[..size]) }
    }

    fn note(&self, size: usize) -> Note {
        let Head { size, root } = self.head(size);
        let checkpoint = Checkpoint { origin: self.key.name().to_owned(), size, root, extensions: Vec::new() };
        Note::sign(&checkpoint.encode(), &[self]).unwrap()
    }

    fn proof(&self, old: usize, new: usize) -> Vec<[u8; 32]> {
        if old == 0 { Vec::new() } else { subproof(old, &self.leaves[..new], true) }
    }

    /// The body of a request.
    fn asks(&self, old: usize, new: usize) -> String {
        let proof: String = self.proof(old, new).iter().map(|hash| format!("{}\n", BASE64.encode(hash))).collect();
        format!("old {old}\n{proof}\n{}", self.note(new))
    }
}

/// The program at work; killed when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
    key: VerifierKey,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Answer {
    status: u16,
    content_type: String,
    body: String,
}

impl Running {
    fn start(folder: &Path, logs: &[&Log]) -> Running {
        let keys: Vec<String> = logs.iter().map(|log| log.key.to_string()).collect();
        Running::start_with(folder, &keys.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn start_with(folder: &Path, keys: &[&str]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        command.args(["witness", "--json", "--listen", "127.0.0.1:0", "--name", NAME, "--data"]).arg(folder);
        for key in keys {
            command.args(["--log", key]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = String::new();
        let told: serde_json::Value = loop {
            told += &lines.next().unwrap().unwrap();
            if let Ok(told) = serde_json::from_str(&told) {
                break told;
            }
        };
        let address = told["urls"][0].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
        Running { child, address, key: VerifierKey::parse(told["vkey"].as_str().unwrap()).unwrap() }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn ask(&self, body: impl AsRef<[u8]>) -> Answer {
        send(self.address, "POST", "/add-checkpoint", body.as_ref()).unwrap()
    }

    /// The size that it says it cosigned last.
    fn size(&self, log: &Log) -> u64 {
        // From the end of the log it names its own, or cosigns if it is there.
        let end = log.leaves.len();
        let answer = self.ask(format!("old {end}\n\n{}", log.note(end)));
        if answer.status == 200 {
            return end as u64;
        }
        assert_eq!((answer.status, answer.content_type.as_str()), (409, "text/x.tlog.size"), "{}", answer.body);
        answer.body.strip_suffix('\n').unwrap().parse().unwrap()
    }

    /// Fails unless the head was cosigned, rightly.
    fn cosigns(&self, log: &Log, old: usize, new: usize) -> SignatureLine {
        let answer = self.ask(log.asks(old, new));
        assert_eq!(answer.status, 200, "{old} to {new}: {}", answer.body);
        let line = SignatureLine::parse(answer.body.strip_suffix('\n').unwrap()).unwrap();
        let mut note = log.note(new);
        note.add(line.clone());
        let known = [self.key.clone()];
        assert!(note.verify(&known).unwrap()[0].time.unwrap() > 1_700_000_000);
        line
    }

    fn refuses(&self, body: impl AsRef<[u8]>, status: u16) -> String {
        let answer = self.ask(body);
        assert_eq!(answer.status, status, "{}", answer.body);
        answer.body
    }
}

fn send(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    // One that refuses need not read to the end.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let broken = || std::io::Error::other("no whole answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let content_type = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("", |(_, value)| value);
    Ok(Answer { status, content_type: content_type.to_owned(), body: body.to_owned() })
}

#[test]
fn heads_that_continue_are_cosigned_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1, 40);
    let fork = Log::forked(ORIGIN, 1, 40, 5, "other");
    let witness = Running::start(folder.path(), &[&log]);
    assert_eq!(witness.key.kind(), KeyKind::Cosignature);
    assert_eq!(witness.size(&log), 0);
    witness.cosigns(&log, 0, 7);
    witness.cosigns(&log, 7, 7);
    witness.cosigns(&log, 7, 8);
    witness.cosigns(&log, 8, 21);

    // A head before the last, from what was and from what is said to have been.
    assert_eq!(witness.refuses(log.asks(7, 8), 409), "21\n");
    assert_eq!(witness.refuses(log.asks(0, 8), 409), "21\n");
    witness.refuses(format!("old 21\n\n{}", log.note(8)), 400);
    // The other branch, at the same size and beyond it, with its own proof and with ours.
    assert_eq!(witness.refuses(fork.asks(21, 21), 409), "21\n");
    witness.refuses(fork.asks(21, 30), 422);
    witness.refuses(log.asks(21, 30).replace(&log.note(30).to_string(), &fork.note(30).to_string()), 422);
    // A proof that is none, and none at all.
    witness.refuses(format!("old 21\n\n{}", log.note(30)), 422);
    witness.refuses(log.asks(21, 30).replacen('\n', &format!("\n{}\n", BASE64.encode([0; 32])), 1), 422);
    witness.refuses(log.asks(21, 21).replacen('\n', &format!("\n{}\n", BASE64.encode([0; 32])), 1), 422);
    // Others' logs, and ours with another's key.
    witness.refuses(Log::new("log.example/two", 1, 40).asks(0, 3), 404);
    witness.refuses(Log::new(ORIGIN, 2, 40).asks(21, 30), 403);
    let mut spoilt = log.note(30);
    let mut line = spoilt.signatures()[0].clone();
    line.signature[3] ^= 4;
    spoilt.add(line);
    witness.refuses(log.asks(21, 30).replace(&log.note(30).to_string(), &spoilt.to_string()), 403);

    assert_eq!(witness.size(&log), 21);
    witness.cosigns(&log, 21, 40);
    let page = send(witness.address, "GET", "/", b"").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.contains(&witness.key.to_string()) && page.body.contains(ORIGIN), "{}", page.body);
}

/// The files of evidence.
fn evidence(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder.join("forks")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some()).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

fn counts(witness: &Running) -> String {
    let page = send(witness.address, "GET", "/metrics", b"").unwrap();
    assert_eq!((page.status, page.content_type.as_str()), (200, mingpai::metrics::MEDIA_TYPE));
    page.body
}

/// A note with as many lines of strangers as anybody may add.
fn crowded(mut note: Note) -> Note {
    let own = note.signatures()[0].clone();
    for seed in 10..100 {
        let stranger = Log::new(&format!("{}.example", "s".repeat(200)), seed, 0);
        note.add(SignatureLine::sign(note.text(), &stranger).unwrap());
    }
    note.add(own);
    note
}

#[test]
fn the_evidence_of_a_fork_is_kept_whatever_strangers_send_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1, 40);
    let fork = |branch: &str| Log::forked(ORIGIN, 1, 40, 5, branch);
    let witness = Running::start(folder.path(), &[&log]);
    assert!(counts(&witness).contains("mingpai_witnessing_refusals_total{reason=\"other_root\"} 0\n"));
    // The head that it cosigns came with lines of others.
    let asked = log.asks(0, 21).replace(&log.note(21).to_string(), &crowded(log.note(21)).to_string());
    assert_eq!(witness.ask(asked).status, 200);
    // A stranger sends the log's own head with a proof that is none, again and again.
    let junk = log.asks(21, 30).replacen('\n', &format!("\n{}\n", BASE64.encode([0; 32])), 1);
    for branch in ["a", "b"] {
        for _ in 0..3 {
            witness.refuses(&junk, 422);
            let forked = fork(branch);
            let note = crowded(forked.note(21)).to_string();
            assert_eq!(witness.refuses(format!("old 21\n\n{note}"), 409), "21\n");
            let found = evidence(folder.path());
            let proof: Vec<&String> = found.iter().filter(|text| text.contains(&forked.note(21).to_string())).collect();
            assert_eq!(proof.len(), 1, "once, without the lines of others: {found:?}");
            assert!(proof[0].contains(&log.note(21).to_string()), "{proof:?}");
        }
    }
    let counted = counts(&witness);
    for line in [
        "mingpai_witnessing_cosignatures_total 1".to_owned(),
        "mingpai_witnessing_refusals_total{reason=\"other_root\"} 6".to_owned(),
        "mingpai_witnessing_refusals_total{reason=\"not_consistent\"} 6".to_owned(),
        "mingpai_witnessing_refusals_total{reason=\"unknown_log\"} 0".to_owned(),
        format!("mingpai_witnessing_forks{{log=\"{ORIGIN}\"}} 2"),
        format!("mingpai_witnessing_log_leaves{{log=\"{ORIGIN}\"}} 21"),
    ] {
        assert!(counted.contains(&format!("{line}\n")), "{line} is missing from\n{counted}");
    }
    drop(witness);
    let witness = Running::start(folder.path(), &[&log]);
    assert!(counts(&witness).contains(&format!("mingpai_witnessing_forks{{log=\"{ORIGIN}\"}} 2\n")));
    for branch in 0..20 {
        witness.refuses(fork(&branch.to_string()).asks(21, 21), 409);
    }
    assert_eq!(evidence(folder.path()).len(), 16, "a log cannot fill the disk");
    // Names that nobody told the witness of make no series.
    witness.refuses(Log::new("log.example/two", 1, 3).asks(0, 3), 404);
    assert!(!counts(&witness).contains("log.example/two"));
    witness.cosigns(&log, 21, 40);
}

#[test]
fn rubbish_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1, 20);
    let witness = Running::start(folder.path(), &[&log]);
    witness.cosigns(&log, 0, 9);
    let good = log.asks(9, 20);
    for cut in 0..good.len() {
        if good.is_char_boundary(cut) && cut % 7 == 0 {
            witness.refuses(&good[..cut], 400);
        }
    }
    for bad in ["old 09", "old -9", "old 9 ", "OLD 9", "", "old 18446744073709551616"] {
        witness.refuses(good.replacen("old 9", bad, 1), 400);
    }
    witness.refuses(b"\xff\xfe\x00", 400);
    witness.refuses(good.replace('\n', "\r\n"), 400);
    let line = format!("{}\n", BASE64.encode([7; 32]));
    witness.refuses(format!("old 9\n{}\n{}", line.repeat(64), log.note(20)), 400);
    witness.refuses(vec![b'a'; 300 * 1024], 413);
    assert_eq!(send(witness.address, "GET", "/add-checkpoint", b"").unwrap().status, 405);
    assert_eq!(send(witness.address, "POST", "/", b"").unwrap().status, 405);
    assert_eq!(send(witness.address, "GET", "/other", b"").unwrap().status, 404);
    assert_eq!(witness.size(&log), 9);
    witness.cosigns(&log, 9, 20);
}

#[test]
fn what_was_cosigned_is_known_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::new(ORIGIN, 1, 400));
    let mut known = 0;
    let mut key = None;
    for round in 1..=5 {
        let mut witness = Running::start(folder.path(), &[&log]);
        let first = key.get_or_insert_with(|| witness.key.clone());
        assert_eq!(&witness.key, first, "its key is the same after every start");
        let begun = usize::try_from(witness.size(&log)).unwrap();
        assert!(begun >= known, "it had cosigned {known} and says {begun}");
        let (told, heard) = mpsc::channel();
        let address = witness.address;
        let asking = {
            let log = Arc::clone(&log);
            std::thread::spawn(move || {
                for size in begun..begun + 60 {
                    let asked = send(address, "POST", "/add-checkpoint", log.asks(size, size + 1).as_bytes());
                    match asked {
                        Ok(answer) if answer.status == 200 => drop(told.send(size + 1)),
                        _ => return,
                    }
                }
            })
        };
        for _ in 0..round * 3 {
            known = heard.recv().unwrap();
        }
        // In the middle of whatever it is at.
        witness.child.kill().unwrap();
        witness.child.wait().unwrap();
        asking.join().unwrap();
        known = heard.into_iter().last().unwrap_or(known);
        let again = Running::start(folder.path(), &[&log]);
        let size = usize::try_from(again.size(&log)).unwrap();
        assert!(size >= known, "it had cosigned {known} and says {size}");
        let fork = Log::forked(ORIGIN, 1, size + 9, known - 1, "other");
        again.refuses(fork.asks(size, size), 409);
        again.refuses(fork.asks(size, size + 9), 422);
        known = size;
    }
}

#[test]
fn of_heads_that_come_at_once_only_one_branch_is_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let branches: Vec<Log> = (0..4).map(|branch| Log::forked(ORIGIN, 1, 30, 5, &format!("branch {branch}"))).collect();
    let witness = Running::start(folder.path(), &[&branches[0]]);
    witness.cosigns(&branches[0], 0, 5);
    let cosigned: Vec<(usize, usize)> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..16)
            .map(|number| {
                let (branch, size) = (number % 4, 6 + number);
                let (body, address) = (branches[branch].asks(5, size), witness.address);
                scope.spawn(move || {
                    let answer = send(address, "POST", "/add-checkpoint", body.as_bytes()).unwrap();
                    (answer.status == 200).then_some((branch, size))
                })
            })
            .collect();
        asked.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(cosigned.len(), 1, "all asked from size 5, and only the first of them could: {cosigned:?}");
    let (branch, size) = cosigned[0];
    assert_eq!(witness.size(&branches[branch]), size as u64);
    witness.cosigns(&branches[branch], size, 30);
}

#[test]
fn a_signal_ends_it_and_a_folder_is_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1, 3);
    let mut witness = Running::start(folder.path(), &[&log]);
    let second = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["witness", "--listen", "127.0.0.1:0", "--log", &log.key.to_string(), "--lang", "en", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another witness"), "{second:?}");
    kill_process(Pid::from_child(&witness.child), Signal::TERM).unwrap();
    assert_eq!(witness.child.wait().unwrap().code(), Some(0));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{entry:?}");
    }
}

#[test]
fn a_witness_watches_a_node_and_a_policy_made_from_it_judges_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let node = program::Node::start(&folder.path().join("node"));
    let address: SocketAddr = node.url.strip_prefix("http://").unwrap().parse().unwrap();
    let keys = send(address, "GET", "/log/vkey", b"").unwrap();
    assert_eq!(keys.status, 200, "{}", keys.body);
    let policy = node.command(&["policy", "--lang", "en"]).output().unwrap();
    assert_eq!(policy.status.code(), Some(0), "{policy:?}");
    let policy = Policy::parse(&policy.stdout).unwrap();
    // The first head may take a second.
    let checkpoint = loop {
        let answer = send(address, "GET", "/log/checkpoint", b"").unwrap();
        if answer.status == 200 {
            break answer.body;
        }
        assert_eq!(answer.status, 404, "{}", answer.body);
        std::thread::yield_now();
    };
    let mut note = Note::parse(&checkpoint).unwrap();
    policy.judge(&note).unwrap();

    let witness = Running::start_with(&folder.path().join("witness"), &[&keys.body]);
    let answer = witness.ask(format!("old 0\n\n{note}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    note.add(SignatureLine::parse(answer.body.trim_end()).unwrap());
    let pinned = node.command(&["policy", "--witness", &witness.key.to_string()]).output().unwrap();
    let pinned = Policy::parse(&pinned.stdout).unwrap();
    assert!(pinned.judge(&note).unwrap().has_quorum);
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn proofs(log: &Arc<Log>, to: usize) -> Prove {
    let log = Arc::clone(log);
    Arc::new(move |from| Some(log.proof(usize::try_from(from).unwrap(), to)))
}

fn spec(url: String, key: &VerifierKey) -> WitnessSpec {
    WitnessSpec { url, key: key.to_string() }
}

#[test]
fn a_node_gathers_the_cosignatures_of_its_witnesses() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let log = Arc::new(Log::new(ORIGIN, 1, 40));
    let running: Vec<Running> = folders.iter().map(|folder| Running::start(folder.path(), &[&log])).collect();
    // It has seen more than the node remembers.
    running[1].cosigns(&log, 0, 6);
    let specs: Vec<WitnessSpec> = running.iter().map(|it| spec(it.url() + "/", &it.key)).collect();
    let metrics = Metrics::new();
    let witnesses = Witnesses::new(&specs, metrics.witnesses.clone()).unwrap();
    let keys: Vec<VerifierKey> = running.iter().map(|it| it.key.clone()).collect();
    block_on(async {
        for size in [9, 9, 33, 40] {
            let mut note = log.note(size);
            let lines = witnesses.cosign(&note, log.head(size), proofs(&log, size)).await;
            lines.into_iter().for_each(|line| note.add(line));
            assert_eq!(note.verify(&keys).unwrap().len(), 2, "at {size}");
        }
    });
    let text = metrics.render();
    assert!(text.contains(&format!("mingpai_witness_lag_leaves{{witness=\"{NAME}\"}} 0")), "{text}");
    assert!(text.contains(&format!("mingpai_witness_failures_total{{witness=\"{NAME}\"}} 0")), "{text}");
    assert_eq!(running[0].size(&log), 40);
}

/// Answers every request on a port with these bytes; without any it takes them and is silent.
fn paper_witness(answer: Option<String>) -> (SocketAddr, mpsc::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = told.send(());
            let mut bytes = [0; 4096];
            let _ = stream.read(&mut bytes);
            match &answer {
                Some(answer) => drop(stream.write_all(answer.as_bytes())),
                None => held.push(stream),
            }
        }
    });
    (address, heard)
}

#[test]
fn witnesses_that_lie_or_keep_silent_cost_a_bounded_wait_and_are_left_alone() {
    let log = Arc::new(Log::new(ORIGIN, 1, 20));
    let other = Log::new("witness.example/liar", 9, 0);
    let key = |number: u8| {
        let pair = ed25519_dalek::SigningKey::from_bytes(&[number; 32]);
        VerifierKey::new(&format!("w{number}.example"), KeyKind::Cosignature, *pair.verifying_key().as_bytes()).unwrap()
    };
    let answer = |status: &str, body: &str| {
        Some(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
    };
    let line = format!("{}\n", SignatureLine::sign("text\n", &other).unwrap());
    let behaviours = [
        answer("200 OK", &line),
        answer("200 OK", ""),
        answer("409 Conflict", "3\n"),
        answer("409 Conflict", "21\n"),
        answer("409 Conflict", "rubbish\n"),
        answer("422 Unprocessable Entity", "no\n"),
        answer("500 Internal Server Error", &"x".repeat(200_000)),
        None,
    ];
    let papers: Vec<_> = behaviours.into_iter().map(paper_witness).collect();
    let specs: Vec<WitnessSpec> =
        papers.iter().zip(1..).map(|((address, _), number)| spec(format!("http://{address}"), &key(number))).collect();
    let metrics = WitnessMetrics::default();
    let witnesses = Witnesses::with_timeout(&specs, metrics.clone(), Duration::from_millis(700)).unwrap();
    block_on(async {
        let lines = witnesses.cosign(&log.note(20), log.head(20), proofs(&log, 20)).await;
        assert_eq!(lines, []);
        for number in 1..=8 {
            assert_eq!(metrics.failures(&format!("w{number}.example")), 1, "{number}");
        }
        // Asked a moment ago: they are not asked again.
        for (_, heard) in &papers {
            assert!(heard.try_iter().count() >= 1);
        }
        let lines = witnesses.cosign(&log.note(20), log.head(20), proofs(&log, 20)).await;
        assert_eq!(lines, []);
        assert!(papers.iter().all(|(_, heard)| heard.try_recv().is_err()));
        assert_eq!(metrics.failures("w1.example"), 1);
    });
}

#[test]
fn a_policy_made_of_keys_judges_what_the_witness_cosigned() {
    let folder = tempfile::tempdir().unwrap();
    let log = Log::new(ORIGIN, 1, 20);
    let witness = Running::start(&folder.path().join("w"), &[&log]);
    let vkey = folder.path().join("log.vkey");
    std::fs::write(&vkey, format!("{}\n", log.key)).unwrap();
    let policy = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mingpai"))
            .args(["policy", "--lang", "en", "--vkey"])
            .arg(&vkey)
            .args(arguments)
            .output()
            .unwrap()
    };
    // Its own key is where whoever sets it up finds it.
    let own = std::fs::read_to_string(folder.path().join("w/witness.vkey")).unwrap();
    assert_eq!(own, format!("{}\n", witness.key));
    let made = policy(&["--witness", own.trim()]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let made = Policy::parse(&made.stdout).unwrap();
    assert!(made.demands_witnesses());
    let mut note = log.note(20);
    assert!(!made.judge(&note).unwrap().has_quorum);
    note.add(witness.cosigns(&log, 0, 20));
    assert!(made.judge(&note).unwrap().has_quorum);
    // Without witnesses it says what it does not protect from.
    let bare = policy(&[]);
    assert!(!Policy::parse(&bare.stdout).unwrap().demands_witnesses());
    assert!(String::from_utf8_lossy(&bare.stderr).contains("no witness"), "{bare:?}");
    assert_eq!(policy(&["--witness", &witness.key.to_string(), "--quorum", "2"]).status.code(), Some(2));
    assert_eq!(policy(&["--witness", &log.key.to_string()]).status.code(), Some(2));
    std::fs::write(&vkey, witness.key.to_string()).unwrap();
    assert_eq!(policy(&[]).status.code(), Some(2));
}

/// Stands before a witness: until it is opened it answers as one that does not know the log, and tells what it was asked.
struct Gate {
    address: SocketAddr,
    is_open: Arc<AtomicBool>,
    refused: mpsc::Receiver<String>,
}

impl Gate {
    fn before(witness: SocketAddr) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let is_open = Arc::new(AtomicBool::new(false));
        let (told, refused) = mpsc::channel();
        let opened = Arc::clone(&is_open);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let body = read_request(&mut stream);
                let answer = if opened.load(Ordering::Acquire) {
                    send(witness, "POST", "/add-checkpoint", body.as_bytes()).unwrap()
                } else {
                    let _ = told.send(body);
                    Answer { status: 404, content_type: String::new(), body: "unknown log\n".to_owned() }
                };
                let Answer { status, body, .. } = answer;
                let length = body.len();
                let head = format!("HTTP/1.1 {status} -\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = stream.get_mut().write_all((head + &body).as_bytes());
            }
        });
        Gate { address, is_open, refused }
    }

    /// The head of the next question that it refuses.
    fn refuses(&self) -> Note {
        let body = self.refused.recv_timeout(Duration::from_secs(60));
        let body = body.unwrap_or_else(|error| panic!("nobody asks again: {error}"));
        Note::parse(body.split_once("\n\n").unwrap().1).unwrap()
    }
}

/// The body of a request with a length.
fn read_request(stream: &mut impl BufRead) -> String {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

#[test]
fn a_witness_that_comes_after_the_head_is_shown_it_without_another_write() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ask = |node: &program::Node, path: &str| {
        send(node.url.strip_prefix("http://").unwrap().parse().unwrap(), "GET", path, b"").unwrap()
    };
    let node = program::Node::start(&at("node"));
    let keys = ask(&node, "/log/vkey").body;
    drop(node);
    let witness = Running::start_with(&at("witness"), &[&keys]);
    let gate = Gate::before(witness.address);
    let config = format!("[[witnesses]]\nurl = \"http://{}\"\nkey = \"{}\"\n", gate.address, witness.key);
    std::fs::write(at("node.toml"), config).unwrap();
    let start = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        program.env("MINGPAI_CONFIG", at("node.toml"));
        program::Node::start_by(program, &at("node"))
    };
    let node = start();

    // The same head again, though it was refused and nothing was written.
    let mut shown = gate.refuses();
    let mut times = 1;
    while times < 3 {
        let next = gate.refuses();
        times = if next.text() == shown.text() { times + 1 } else { 1 };
        shown = next;
    }
    assert!(!ask(&node, "/log/checkpoint").body.contains(NAME));
    gate.is_open.store(true, Ordering::Release);
    let end = Instant::now() + Duration::from_secs(60);
    let cosigned = loop {
        let note = Note::parse(&ask(&node, "/log/checkpoint").body).unwrap();
        if note.verify(std::slice::from_ref(&witness.key)).is_ok() {
            break note;
        }
        assert!(Instant::now() < end, "the head was not shown again: {note}");
        std::thread::yield_now();
    };
    assert_eq!(cosigned.text(), shown.text(), "the head that was refused, not a later one");
    assert_eq!(cosigned.verify(std::slice::from_ref(&witness.key)).unwrap().len(), 1);
    // Whoever has it is not asked again.
    assert_eq!(gate.refused.try_iter().count(), 0);

    // A stop does not wait for the next time.
    drop(node);
    gate.is_open.store(false, Ordering::Release);
    let mut node = start();
    for _ in 0..4 {
        gate.refuses();
    }
    let begun = Instant::now();
    kill_process(Pid::from_child(&node.process), Signal::TERM).unwrap();
    assert_eq!(node.process.wait().unwrap().code(), Some(0));
    // The pause after the fourth refusal is 8 s.
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}
