//! Backup and restore with the real program: under load, killed, after the machine was lost; and how a restored log goes on.

#![expect(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod program;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use program::Node;
use serde_json::Value as Json;

const ACKNOWLEDGED: usize = 400;

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: &Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    fn json(&self) -> Json {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

fn mingpai(arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
    Ended::of(&command.args(arguments).env("MINGPAI_LANG", "en").output().unwrap())
}

/// One request, and the answer's status and body.
fn ask(node: &Node, method: &str, path: &str, key: Option<&str>, body: &str) -> (u16, String) {
    let address = node.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let key = key.map_or_else(String::new, |key| format!("authorization: Bearer {key}\r\n"));
    let length = body.len();
    let create = if method == "PUT" { "if-none-match: *\r\n" } else { "" };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{key}accept-language: en\r\n\
         content-type: application/json\r\n{create}content-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn register(node: &Node, name: &str, key: &str) -> (u16, Json) {
    let (status, body) = ask(node, "PUT", &format!("/v1/records/88.999.1/{name}"), Some(key), "{\"values\":[]}");
    (status, serde_json::from_str(&body).unwrap())
}

/// The published head, once it covers so many statements: origin, size, root.
fn head(node: &Node, least: u64) -> (String, u64, String) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, note) = ask(node, "GET", "/log/checkpoint", None, "");
        let mut lines = note.lines().map(str::to_owned);
        if status == 200 {
            let (origin, size, root) = (lines.next().unwrap(), lines.next().unwrap(), lines.next().unwrap());
            if size.parse::<u64>().unwrap() >= least {
                return (origin, size.parse().unwrap(), root);
            }
        }
        assert!(Instant::now() < until, "no head of {least} statements: {note}");
    }
}

/// The root that the log had at a size, by a proof of the node.
fn root_at(node: &Node, size: u64) -> String {
    let (status, body) = ask(node, "GET", &format!("/v1/log/consistency?from={size}"), None, "");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str::<Json>(&body).unwrap()["from"]["root"].as_str().unwrap().to_owned()
}

fn admin_key(data: &Path) -> String {
    std::fs::read_to_string(data.join("dev-token")).unwrap().trim().to_owned()
}

fn rows(path: &Path, name: &str, count: usize) {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for at in 0..count {
        writeln!(
            out,
            "{{\"identifier\":\"88.999.1/{name}-{at}\",\"values\":[{{\"index\":1,\"type\":\"序号\",\"data\":{at}}},\
             {{\"index\":2,\"type\":\"成本\",\"data\":\"hidden-{at}\",\"visibility\":\"owner\"}}]}}"
        )
        .unwrap();
    }
    out.flush().unwrap();
}

/// A start that must fail; gives what it says.
fn serve_in_vain(data: &Path) -> String {
    let arguments = ["serve", "--dev", "--listen", "127.0.0.1:0", "--data", &text(data)];
    let ended = mingpai(&arguments);
    assert_ne!(ended.code, 0, "it started");
    ended.err
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A node, an administrator's key apart from it, and a place for backups.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    fn arg(&self, name: &str) -> String {
        text(&self.path(name))
    }
}

#[test]
fn a_machine_lost_under_load_comes_back_with_all_that_was_acknowledged_byte_for_byte() {
    let place = Place::new();
    let (data, new) = (place.path("node"), place.path("new"));
    mingpai(&["keygen", "--use", "backup", "--out", &place.arg("key")]).expect(0);
    let mut node = Node::start(&data);
    let key = admin_key(&data);
    rows(&place.path("first.ndjson"), "first", ACKNOWLEDGED);
    rows(&place.path("load.ndjson"), "load", 20_000);
    assert!(node.run_signed_in(&["import", &place.arg("first.ndjson")]).status.success());
    let path = |at: usize| format!("/v1/resolve/88.999.1/first-{at}?entry=1");
    let before: Vec<String> = (0..ACKNOWLEDGED).map(|at| ask(&node, "GET", &path(at), None, "").1).collect();
    let hidden = ask(&node, "GET", "/v1/records/88.999.1/first-7", Some(&key), "").1;
    assert!(hidden.contains("hidden-7"));
    let mut load = node
        .signed(&["import", &place.arg("load.ndjson")])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // One run on top of the other while the log grows.
    let (dest, key_file, keys) = (place.arg("dest"), place.arg("key"), text(&data.join("keys")));
    let arguments = ["backup", &dest, "--key-file", &key_file, "--keys", &keys, "--json"];
    let mut sequences: Vec<u64> = Vec::new();
    let until = Instant::now() + Duration::from_secs(60);
    while sequences.len() < 4 || (sequences.first() == sequences.last() && Instant::now() < until) {
        let done = Ended::of(&node.run_signed_in(&arguments)).expect(0).json();
        sequences.push(done["sequence"].as_u64().unwrap());
        assert_eq!((&done["is_encrypted"], &done["has_keys"]), (&Json::Bool(true), &Json::Bool(true)));
    }
    assert!(sequences.is_sorted() && sequences.first() < sequences.last(), "no load: {sequences:?}");
    let verified = mingpai(&["backup", "verify", &dest, "--key-file", &key_file, "--json"]).expect(0).json();
    assert_eq!((&verified["verdict"], &verified["damage"]), (&"yes".into(), &Json::Array(Vec::new())));
    assert_eq!(verified["sequence"].as_u64(), sequences.last().copied());
    node.kill();
    load.kill().unwrap();
    load.wait().unwrap();
    let lost = std::fs::read(data.join("journal/0000000001.journal")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();

    let done = mingpai(&["restore", &dest, "--data", &text(&new), "--key-file", &key_file, "--json"]).expect(0).json();
    assert_eq!(done["restored"]["sequence"].as_u64(), sequences.last().copied());
    let restored = std::fs::read(new.join("journal/0000000001.journal")).unwrap();
    let used = restored.iter().rposition(|byte| *byte != 0).unwrap();
    assert!(used > 100_000 && restored[..=used] == lost[..=used], "the log is not the lost one's beginning");
    let node = Node::start(&new);
    for (at, known) in before.iter().enumerate() {
        assert_eq!(ask(&node, "GET", &path(at), None, "").1, *known);
    }
    assert_eq!(ask(&node, "GET", "/v1/records/88.999.1/first-7", Some(&key), "").1, hidden, "its key opens it too");
}

#[test]
fn a_run_killed_anywhere_leaves_a_whole_backup_and_the_next_goes_on() {
    let place = Place::new();
    let data = place.path("node");
    let node = Node::start(&data);
    let dest = place.arg("dest");
    let run = |node: &Node| Ended::of(&node.run_signed_in(&["backup", &dest, "--json"]));
    let first = run(&node).expect(0).json()["sequence"].as_u64().unwrap();
    rows(&place.path("rows.ndjson"), "kill", 3_000);
    assert!(node.run_signed_in(&["import", &place.arg("rows.ndjson")]).status.success());
    let started = Instant::now();
    let mut command = node.signed(&["backup", &place.arg("other")]);
    assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
    let whole = started.elapsed();
    let mut killed = 0;
    for step in 0..24_u32 {
        let mut command = node.signed(&["backup", &dest]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + whole * step / 20;
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        killed += u32::from(!ended);
        let found = mingpai(&["backup", "verify", &dest, "--json"]).expect(0).json();
        assert!(found["sequence"].as_u64().unwrap() >= first);
    }
    assert!(killed > 5, "{killed}");
    let last = run(&node).expect(0).json()["sequence"].as_u64().unwrap();
    assert!(last >= first + 3_000);
    let left: Vec<String> =
        std::fs::read_dir(&dest).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(left.len(), 3, "manifest, lock and one segment: {left:?}");
    mingpai(&["backup", "verify", &dest]).expect(0);
    let (_, metrics) = ask(&node, "GET", "/metrics", None, "");
    assert!(metrics.contains(&format!("mingpai_backup_sequence {last}\n")), "the node was told");
    assert!(!metrics.contains("mingpai_backup_last_success_timestamp_seconds 0\n"));
    // It is remembered over a restart.
    drop(node);
    let node = Node::start(&data);
    assert!(ask(&node, "GET", "/metrics", None, "").1.contains(&format!("mingpai_backup_sequence {last}\n")));
}

#[test]
fn a_restored_node_serves_reads_and_refuses_writes_until_its_operator_has_decided() {
    let place = Place::new();
    let data = place.path("node");
    let mut node = Node::start(&data);
    let key = admin_key(&data);
    let (_, last) = register(&node, "LAST", &key);
    let shown = head(&node, last["index"].as_u64().unwrap() + 1);
    node.kill();
    drop(node);
    let dest = place.arg("dest");
    // Plain, so the keys come along only where somebody insists.
    mingpai(&["backup", &dest, "--data", &text(&data), "--keys", &text(&data.join("keys"))]).expect(2);
    let told = mingpai(&["backup", &dest, "--data", &text(&data)]).expect(0);
    assert!(told.err.contains("not encrypted") && told.err.contains("keep a copy of DATA/keys"), "{}", told.err);
    let bare = place.arg("bare");
    let told = mingpai(&["restore", &dest, "--data", &bare]).expect(0);
    assert!(told.err.contains("no private keys"), "{}", told.err);
    assert!(!place.path("bare").join("keys").exists());
    mingpai(&["backup", &dest, "--data", &text(&data), "--with-keys"]).expect(0);

    let new = place.path("new");
    mingpai(&["restore", &dest, "--data", &text(&new), "--to", "0"]).expect(2);
    let done = mingpai(&["restore", &dest, "--data", &text(&new), "--json"]).expect(0).json();
    let (size, root) = (done["log"]["size"].as_u64().unwrap(), done["log"]["root"].as_str().unwrap().to_owned());
    let mode = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode(&new), mode(&new.join("keys")), mode(&new.join("keys/prefix-secret"))), (0o700, 0o700, 0o600));
    let mut node = Node::start(&new);
    assert_eq!(ask(&node, "GET", "/v1/resolve/88.999.1/LAST", None, "").0, 200);
    // It shows the newest head that was signed before, and proofs under it.
    assert_eq!(head(&node, 1), shown);
    assert!(ask(&node, "GET", "/v1/resolve/88.999.1/LAST?proof=1", None, "").1.contains("\"checkpoint\":"));
    let import = {
        rows(&place.path("rows.ndjson"), "more", 3);
        let arguments = ["import", &place.arg("rows.ndjson"), "--patience", "1", "--server", &node.url];
        let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        std::fs::write(place.path("admin"), &key).unwrap();
        std::fs::set_permissions(place.path("admin"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let output =
            command.args(arguments).args(["--token-file", &place.arg("admin")]).env("MINGPAI_LANG", "en").output();
        Ended::of(&output.unwrap())
    };
    assert!(import.code != 0 && import.err.contains("restored_undecided"), "{}", import.err);
    // The state is told before the body is judged: none of these would be taken by a node that signs.
    for (method, path) in [
        ("PUT", "/v1/records/88.999.1/X"),
        ("PATCH", "/v1/records/88.999.1/X"),
        ("DELETE", "/v1/records/88.999.1/LAST"),
        ("POST", "/v1/records"),
        ("POST", "/v1/keys"),
        ("DELETE", "/v1/keys/none"),
        ("POST", "/v1/licences"),
        ("POST", "/v1/licences/none/end"),
        ("POST", "/v1/signing-keys/none/end"),
        ("POST", "/v1/imports"),
        ("POST", "/v1/imports/none/undo"),
        ("POST", "/v1/bulk"),
    ] {
        let (status, body) = ask(&node, method, path, Some(&key), "{\"never\":1}");
        let problem: Json = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["code"]), (503, &"restored_undecided".into()), "{method} {path}: {body}");
        assert!(body.contains("mingpai restore --data"), "{method} {path}: {body}");
        let unnamed = ask(&node, method, path, None, "{\"never\":1}").0;
        assert_eq!(unnamed, 401, "{method} {path}");
    }
    // What signs nothing is judged as ever.
    for (path, code) in [("/v1/bulk", "fields_invalid"), ("/v1/imports/mapping", "unsupported_media_type")] {
        let (status, body) = ask(&node, "POST", path, Some(&key), "{\"dry_run\":true}");
        assert!(status < 500 && body.contains(code), "{path}: {status} {body}");
    }
    assert!(ask(&node, "GET", "/metrics", None, "").1.contains("mingpai_restored_undecided 1\n"));
    let address = node.url.strip_prefix("http://").unwrap();
    let doctor = mingpai(&["doctor", "--dev", "--data", &text(&new), "--listen", address, "--json"]).expect(2).json();
    let finding = |name: &str| doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
    // The ports are the node's own, and what is to be decided is seen beside it.
    assert_eq!(
        (&finding("port")["finding"], &finding("lock")["finding"]),
        (&"ok".into(), &"unknown".into()),
        "{doctor}"
    );
    assert!(finding("port")["detail"]["en"].as_str().unwrap().contains("as it should be"), "{doctor}");
    assert_eq!(finding("restored")["finding"], "warning", "{doctor}");
    assert_eq!(head(&node, 1), shown, "nothing was signed meanwhile");
    node.kill();
    drop(node);
    let doctor = mingpai(&["doctor", "--dev", "--data", &text(&new)]);
    let anew = format!("mingpai restore --data {} --new-origin", text(&new));
    assert!(doctor.out.contains(&anew) && doctor.out.contains("--continue-from"), "{}", doctor.out);

    let decide = |arguments: &[&str]| mingpai(&[&["restore", "--data", &text(&new)], arguments].concat());
    decide(&[]).expect(2);
    decide(&["--log-ended-here", "--new-origin"]).expect(2);
    let head_file = |size: u64, root: &str| {
        let path = place.path("head");
        std::fs::write(&path, format!("urn:mingpai:dev\n{size}\n{root}\n\n\u{2014} witness c2lnbmF0dXJl\n")).unwrap();
        text(&path)
    };
    let told = decide(&["--continue-from", &head_file(size + 5, &root)]).expect(1);
    assert!(told.err.contains("5 are missing"), "{}", told.err);
    decide(&["--continue-from", &head_file(size - 1, &root)]).expect(1);
    decide(&["--continue-from", &head_file(size, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")]).expect(1);
    decide(&["--continue-from", &place.arg("admin")]).expect(2);
    decide(&["--continue-from", &head_file(size, &root)]).expect(0);
    let node = Node::start(&new);
    let (_, next) = register(&node, "NEXT", &key);
    let continued = head(&node, next["index"].as_u64().unwrap() + 1);
    assert_eq!(continued.0, shown.0);
    assert_eq!(root_at(&node, shown.1), shown.2, "the heads from before are heads of this log");
    assert!(ask(&node, "GET", "/metrics", None, "").1.contains("mingpai_restored_undecided 0\n"));
    drop(node);
    let told = decide(&[]).expect(0);
    assert!(told.out.contains("nothing to decide"), "{}", told.out);
    // The same backup goes on with it: it is the same log.
    mingpai(&["backup", &dest, "--data", &text(&new)]).expect(0);
}

#[test]
fn an_old_copy_goes_on_under_a_new_name_only_and_says_so_in_its_log() {
    let place = Place::new();
    let data = place.path("node");
    let mut node = Node::start(&data);
    let key = admin_key(&data);
    assert_eq!(register(&node, "BEFORE", &key).0, 201);
    let dest = place.arg("dest");
    let keys = text(&data.join("keys"));
    let arguments = ["backup", &dest, "--keys", &keys, "--with-keys", "--json"];
    let first = Ended::of(&node.run_signed_in(&arguments)).expect(0).json();
    let early = head(&node, first["head"]["size"].as_u64().unwrap());
    let (_, after) = register(&node, "AFTER", &key);
    let lost = head(&node, after["index"].as_u64().unwrap() + 1);
    Ended::of(&node.run_signed_in(&arguments)).expect(0);
    node.kill();
    drop(node);

    let (new, sequence) = (place.path("new"), first["sequence"].to_string());
    mingpai(&["restore", &dest, "--data", &text(&new), "--to", &sequence, "--log-ended-here"]).expect(1);
    let decide = |arguments: &[&str]| mingpai(&[&["restore", "--data", &text(&new)], arguments].concat());
    let told = decide(&["--log-ended-here"]).expect(1);
    assert!(told.err.contains("only a new origin"), "{}", told.err);
    decide(&["--new-origin", "urn:mingpai:dev"]).expect(2);
    decide(&["--new-origin", "node.example/second"]).expect(0);
    // A start that fails, here for want of the key, must not lose what was decided.
    let key_file = |of: &Path| {
        let mut names = std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path());
        names.find(|path| text(path).contains("/entry-")).expect("an entry key")
    };
    let (kept, aside) = (key_file(&new.join("keys")), place.path("aside.jwk"));
    std::fs::rename(&kept, &aside).unwrap();
    serve_in_vain(&new);
    std::fs::remove_file(key_file(&new.join("keys"))).unwrap();
    std::fs::rename(&aside, &kept).unwrap();
    let node = Node::start(&new);
    assert_eq!(ask(&node, "GET", "/v1/resolve/88.999.1/BEFORE", None, "").0, 200);
    assert_eq!(ask(&node, "GET", "/v1/resolve/88.999.1/AFTER", None, "").0, 404);
    let (status, answer) = register(&node, "AFTER", &key);
    // The name stands between the old log's last statement and the new one's first.
    let size = first["head"]["size"].as_u64().unwrap();
    assert_eq!((status, answer["index"].as_u64()), (201, Some(size + 1)));
    // Heads under the old name are all of the log that was lost. What this one signs bears the new name, from the first head on.
    let fresh = head(&node, size + 2);
    assert_eq!(
        (early.0.as_str(), lost.0.as_str(), fresh.0.as_str()),
        ("urn:mingpai:dev", "urn:mingpai:dev", "node.example/second")
    );
    assert_eq!(root_at(&node, early.1), early.2, "what was restored is the beginning of both");
    assert_ne!(root_at(&node, lost.1), lost.2, "and they part behind it");
    let other = place.arg("other");
    let second = Ended::of(&node.run_signed_in(&["backup", &other, "--json"])).expect(0).json();
    assert_eq!(second["head"]["origin"], "node.example/second");
    // The backup of the log that was lost takes nothing of this one.
    let told = Ended::of(&node.signed(&["backup", &dest]).env("MINGPAI_LANG", "en").output().unwrap()).expect(2);
    assert!(told.err.contains("begin a new backup in an empty folder"), "{}", told.err);
    mingpai(&["backup", "verify", &dest]).expect(0);
    drop(node);
    // And once more, with a name that is made.
    let third = place.path("third");
    mingpai(&["restore", &other, "--data", &text(&third), "--new-origin"]).expect(0);
    std::fs::create_dir(third.join("keys")).unwrap();
    for entry in std::fs::read_dir(new.join("keys")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, third.join("keys").join(path.file_name().unwrap())).unwrap();
    }
    // The very first name is as little free as the present one.
    mingpai(&["restore", "--data", &text(&third), "--new-origin", "urn:mingpai:dev"]).expect(0);
    let told = serve_in_vain(&third);
    assert!(told.contains("urn:mingpai:dev") && told.contains("--new-origin"), "{told}");
    mingpai(&["restore", "--data", &text(&third), "--new-origin"]).expect(0);
    let node = Node::start(&third);
    let last = Ended::of(&node.run_signed_in(&["backup", &place.arg("last"), "--json"])).expect(0).json();
    let origin = last["head"]["origin"].as_str().unwrap().to_owned();
    assert!(origin.starts_with("node.example/second/restored-2"), "{origin}");
}

#[test]
fn a_destination_that_is_full_keeps_the_last_good_backup() {
    let place = Place::new();
    let (data, disk) = (place.path("node"), place.path("disk"));
    std::fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = Command::new(arguments[0]);
        command.args(&arguments[1..]).arg(&disk).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
        println!("skipped: a full destination: needs root and tmpfs");
        return;
    }
    let node = Node::start(&data);
    let dest = text(&disk.join("dest"));
    let first = Ended::of(&node.run_signed_in(&["backup", &dest, "--json"])).expect(0).json();
    rows(&place.path("rows.ndjson"), "full", 3_000);
    assert!(node.run_signed_in(&["import", &place.arg("rows.ndjson")]).status.success());
    let told = Ended::of(&node.signed(&["backup", &dest]).env("MINGPAI_LANG", "en").output().unwrap());
    let found = mingpai(&["backup", "verify", &dest, "--json"]);
    let left = std::fs::read_dir(&dest).unwrap().count();
    assert!(mount(&["umount", "-l"]));
    let told = told.expect(2);
    assert!(told.err.contains("free space"), "{}", told.err);
    assert_eq!(found.expect(0).json()["sequence"], first["sequence"]);
    assert_eq!(left, 3, "what did not fit was taken away again");
}

#[test]
fn the_log_is_given_to_administrators_only_and_asked_wrongly_says_so() {
    let place = Place::new();
    let data = place.path("node");
    let node = Node::start(&data);
    let key = admin_key(&data);
    for path in ["/v1/backup", "/v1/backup/segments/1"] {
        assert_eq!(ask(&node, "GET", path, None, "").0, 401, "{path}");
        assert_eq!(ask(&node, "GET", path, Some("mpk_x_y_z"), "").0, 401, "{path}");
    }
    assert_eq!(ask(&node, "POST", "/v1/backup", None, "{}").0, 401);
    let code = |(status, body): (u16, String)| {
        let problem: Json = serde_json::from_str(&body).unwrap();
        format!("{status} {}", problem["code"].as_str().unwrap())
    };
    let get = |path: &str| ask(&node, "GET", path, Some(&key), "");
    assert_eq!(code(get("/v1/backup/segments/2")), "404 segment_unknown");
    assert_eq!(code(get("/v1/backup/segments/x")), "404 segment_unknown");
    assert_eq!(code(get("/v1/backup/segments/1?from=x")), "400 query_invalid");
    assert_eq!(code(get("/v1/backup/segments/1?to=9")), "400 query_invalid");
    for body in ["[]", "{}", "{\"sequence\":-1,\"bytes\":2}", "{\"sequence\":1,\"bytes\":2,\"x\":3}"] {
        assert_eq!(code(ask(&node, "POST", "/v1/backup", Some(&key), body)), "422 fields_invalid", "{body}");
    }
    // Never past the end of what is durable.
    let (_, end) = get("/v1/backup");
    let end: Json = serde_json::from_str(&end).unwrap();
    let address = node.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /v1/backup/segments/1?until=99999999999 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n"
    )
    .unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - body, end["offset"].as_u64().unwrap() as usize);
    // The command line.
    for arguments in [
        &["backup"][..],
        &["backup", "verify"],
        &["backup", "verify", "nowhere"],
        &["backup", "dest", "--data", "nowhere"],
        &["restore", "nowhere", "--data", "new"],
        &["restore"],
        &["restore", "--data", "nowhere", "--log-ended-here"],
        &["restore", "--data", "x", "--to", "5"],
        &["restore", "b", "--data", "x", "--to", "yesterday"],
        &["keygen", "--use", "backup", "--keys", "k"],
        &["keygen", "--use", "entry", "--out", "k"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        let output =
            command.args(arguments).current_dir(place.folder.path()).env("MINGPAI_LANG", "en").output().unwrap();
        let ended = Ended::of(&output).expect(2);
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
    }
}

#[test]
fn a_restore_that_failed_is_told_by_the_doctor_with_the_very_command_that_does_it_again() {
    let place = Place::new();
    let data = place.path("data");
    let mut node = Node::start(&data);
    let key = admin_key(&data);
    register(&node, "A", &key);
    node.kill();
    drop(node);
    let (dest, new) = (place.arg("the backup"), place.path("a new folder"));
    mingpai(&["backup", &dest, "--data", &text(&data), "--keys", &text(&data.join("keys")), "--with-keys"]).expect(0);
    let largest = std::fs::read_dir(&dest).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let largest = largest.max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let whole = std::fs::read(&largest).unwrap();
    let mut rotten = whole.clone();
    rotten[whole.len() / 2] ^= 1;
    std::fs::write(&largest, &rotten).unwrap();
    mingpai(&["restore", &dest, "--data", &text(&new)]).expect(1);

    let told =
        mingpai(&["doctor", "--dev", "--data", &text(&new), "--listen", "127.0.0.1:0", "--json"]).expect(1).json();
    let checks = told["checks"].as_array().unwrap();
    let restored = checks.iter().find(|check| check["name"] == "restored").unwrap_or_else(|| panic!("{told}"));
    assert_eq!(restored["finding"], "failed", "{told}");
    let repair = restored["repair"].as_str().unwrap();
    assert!(repair.starts_with("mingpai restore '"), "{repair}");
    std::fs::write(&largest, &whole).unwrap();
    // As it is printed, in a shell.
    let program = Path::new(env!("CARGO_BIN_EXE_mingpai")).parent().unwrap();
    let done =
        Command::new("/bin/sh").args(["-c", repair]).env("PATH", program).env("MINGPAI_LANG", "en").output().unwrap();
    Ended::of(&done).expect(0);
    let doctor = mingpai(&["doctor", "--dev", "--data", &text(&new), "--listen", "127.0.0.1:0", "--json"]).expect(0);
    assert!(doctor.out.contains("--new-origin"), "{}", doctor.out);
}
