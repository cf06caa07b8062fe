//! `mingpai mirror`: it answers as its origin does, goes on after any death, and follows a dishonest log no further.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::auditing::DEMONSTRATION;
use crate::mingpai_json;
use crate::program::Node;
use crate::recorded::{Shelf, Signers, name, parts, serve};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub fn ask(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept-language: en\r\n{headers}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
    let body = answer.split_off(end + 4);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, body: if head.contains("transfer-encoding: chunked") { unchunked(&body) } else { body } }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|bytes| bytes == b"\r\n").unwrap();
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
}

pub fn get(url: &str, path: &str) -> Answer {
    ask(url, "GET", path, &[], "")
}

pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub fn size(url: &str) -> u64 {
    let answer = get(url, "/log/checkpoint");
    if answer.status == 200 { answer.text().lines().nth(1).unwrap().parse().unwrap() } else { 0 }
}

/// An origin, and what a test does there.
struct Origin {
    node: Node,
    key: String,
}

impl Origin {
    fn start(folder: &Path) -> Origin {
        let node = Node::start(folder);
        let key = fs::read_to_string(folder.join("dev-token")).unwrap().trim().to_owned();
        Origin { node, key }
    }

    fn url(&self) -> &str {
        &self.node.url
    }

    fn change(&self, method: &str, name: &str, version: u64, body: &Json) {
        let bearer = format!("Bearer {}", self.key);
        let tag = format!("\"{version}\"");
        let condition = if version == 0 { ("if-none-match", "*") } else { ("if-match", tag.as_str()) };
        let body = if method == "DELETE" { String::new() } else { body.to_string() };
        let headers = [("authorization", bearer.as_str()), condition];
        let answer = ask(self.url(), method, &format!("/v1/records/{name}"), &headers, &body);
        assert!((200..300).contains(&answer.status), "{name}: {}", answer.text());
    }

    fn put(&self, name: &str, version: u64, text: &str) {
        self.change("PUT", name, version, &json!({"values": [{"index": 1, "type": "名称", "data": text}]}));
    }

    fn import(&self, folder: &Path, count: usize) {
        let rows: String = (0..count)
            .map(|at| format!("{}\n", json!({"identifier": format!("88.999.1/ROW-{at}"), "values": [{"index": 1, "type": "名称", "data": format!("行 {at}")}]})))
            .collect();
        let file = folder.join("rows.ndjson");
        fs::write(&file, rows).unwrap();
        let output = self.node.run_signed_in(&["import", &file.to_string_lossy()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The size of the head that covers the newest change, which this name had.
    fn settled(&self, last: &str) -> u64 {
        until("the head that covers the last change", || {
            let answer = get(self.url(), &format!("/v1/resolve/{last}?proof=1")).json();
            answer["proof"].is_object().then(|| size(self.url()))
        })
    }

    fn vkey(&self) -> String {
        get(self.url(), "/log/vkey").text().trim().to_owned()
    }
}

/// A mirror of our own, killed when dropped.
pub struct Mirror {
    process: Child,
    pub url: String,
    /// What it said of itself at its start.
    pub announced: String,
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mirror {
    /// It listens when this returns; what it has is another question.
    pub fn start(origin: &str, folder: &Path, more: &[&str]) -> Mirror {
        let data = folder.to_string_lossy();
        let dev = ["--dev", "--listen", "127.0.0.1:0", "--data", &data];
        Mirror::start_in(folder, origin, &[&dev[..], more].concat())
    }

    /// The same in a folder, with these arguments and no others.
    pub fn start_in(folder: &Path, origin: &str, more: &[&str]) -> Mirror {
        let mut process = Command::new(env!("CARGO_BIN_EXE_mingpai"))
            .args(["mirror", origin, "--patience", "2"])
            .args(more)
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let (mut line, mut announced, mut url) = (String::new(), String::new(), String::new());
        // The operator's key is what is told last.
        while !line.contains("mirror-token") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the mirror ended before it named its URL: {announced}");
            if let (Some(at), true) = (line.find("http://127.0.0.1:"), url.is_empty()) {
                url = line[at..].trim().trim_end_matches('/').to_owned();
            }
            announced.push_str(&line);
        }
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        Mirror { process, url, announced }
    }

    pub fn reaches(&self, wanted: u64) {
        until("the origin's head", || (size(&self.url) >= wanted).then_some(()));
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Every answer about these names and the log itself, at both.
fn same(origin: &str, mirror: &str, names: &[&str], leaves: u64) {
    let mut paths = vec![
        "/log/checkpoint".to_owned(),
        "/log/vkey".to_owned(),
        "/.well-known/jwks.json".to_owned(),
        "/log/tile/0/000".to_owned(),
        "/log/tile/entries/000".to_owned(),
        format!("/log/tile/entries/{:03}.p/{}", leaves / 256, leaves % 256),
        format!("/log/tile/0/{:03}.p/{}", leaves / 256, leaves % 256),
        format!("/v1/log/consistency?from=7&to={leaves}"),
        "/v1/log/proof/5".to_owned(),
    ];
    for name in names {
        paths.extend(["", "?entry=1", "?proof=1", "?at=1"].map(|more| format!("/v1/resolve/{name}{more}")));
        paths.push(format!("/v1/history/{name}?changes=1"));
    }
    for path in paths {
        let (there, here) = (get(origin, &path), get(mirror, &path));
        assert_eq!(there.status, here.status, "{path}: {} {}", there.text(), here.text());
        // Problems name their request, and cursors a place in the journal.
        let plain = |answer: &Answer| match serde_json::from_slice::<Json>(&answer.body) {
            Ok(mut json) => {
                for member in ["request_id", "next_cursor"] {
                    json.as_object_mut().map(|members| members.remove(member));
                }
                json.to_string().into_bytes()
            }
            Err(_) => answer.body.clone(),
        };
        assert!(plain(&there) == plain(&here), "{path}:\n{}\n{}", there.text(), here.text());
    }
}

const NAMES: [&str; 7] = [
    "88.999.1/M-1",
    "88.999.1/M-2",
    "88.999.1/M-3",
    "88.999.1/NEV-VEH-2026-000003",
    "88.999.1/ROW-77",
    "88.999.1/M-GONE",
    "88.999.1/NOBODY",
];

#[test]
fn a_mirror_answers_as_its_origin_does_refuses_writes_and_follows_later_changes() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let origin = Origin::start(folder.path());
    origin.put("88.999.1/M-1", 0, "一");
    origin.put("88.999.1/M-1", 1, "二");
    let alias = |name: &str| json!({"values": [], "aliases": [{"scheme": "vaa", "identifier": name}]});
    origin.change("PUT", "88.999.1/M-2", 0, &alias("88.999.1/M-OTHER"));
    origin.put("88.999.1/M-2", 1, "别名已去");
    origin.change("PUT", "88.999.1/M-3", 0, &alias("88.999.1/M-OTHER"));
    origin.put("88.999.1/M-GONE", 0, "将删除");
    origin.change("DELETE", "88.999.1/M-GONE", 1, &Json::Null);
    origin.import(folder.path(), 600);
    let leaves = origin.settled("88.999.1/ROW-599");
    let token = folder.path().join("dev-token");
    let vkey = origin.vkey();
    let pinned = ["--vkey", &vkey, "--token-file", &token.to_string_lossy()];
    let mirror = Mirror::start(origin.url(), copies.path(), &pinned);
    mirror.reaches(leaves);
    let names: Vec<&str> = NAMES.into_iter().chain(["88.999.1/M-OTHER"]).collect();
    same(origin.url(), &mirror.url, &names, leaves);

    // It writes nothing, and says who does.
    for (method, path) in [("PUT", "/v1/records/88.999.1/NEW"), ("POST", "/v1/imports"), ("POST", "/v1/keys")] {
        let answer = ask(&mirror.url, method, path, &[("if-none-match", "*")], "{}");
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (403, &json!("mirror_read_only")), "{path}");
        assert!(problem["detail"].as_str().unwrap().contains(origin.url()), "{problem}");
    }
    // With the key of its operator, which is no key of the origin's, it lists and exports.
    let own = fs::read_to_string(copies.path().join("mirror-token")).unwrap();
    let with =
        |url: &str, key: &str, path: &str| ask(url, "GET", path, &[("authorization", &format!("Bearer {key}"))], "");
    for path in ["/v1/records?limit=1000&prefix=88.999.1", "/v1/export?format=ndjson"] {
        let (there, here) = (with(origin.url(), &origin.key, path), with(&mirror.url, own.trim(), path));
        assert!(there.status == 200 && there.body == here.body, "{path}: {} {}", there.text(), here.text());
        assert_eq!(with(&mirror.url, &origin.key, path).status, 401, "{path}");
    }
    assert_eq!(with(&mirror.url, own.trim(), "/log/audit/checkpoint").status, 404);
    for path in ["/v1/changes", "/v1/audit", "/v1/audit?no=1"] {
        assert_eq!(with(&mirror.url, own.trim(), path).json()["code"], "mirror_read_only", "{path}");
    }
    // Its log is a log to whoever audits one.
    let (code, report) = mingpai_json(copies.path(), &["audit", &mirror.url, "--vkey", &vkey]);
    assert_eq!((code, &report["clean"]), (0, &json!(true)), "{report}");

    // Live; a cached answer is not what it was.
    assert_eq!(get(&mirror.url, "/v1/resolve/88.999.1/M-1").json()["version"], 2);
    origin.put("88.999.1/M-1", 2, "三");
    let leaves = origin.settled("88.999.1/M-1");
    mirror.reaches(leaves);
    assert_eq!(get(&mirror.url, "/v1/resolve/88.999.1/M-1").json()["version"], 3);

    // Killed, its origin changed meanwhile; what is pinned and granted is remembered, but the key is not.
    mirror.kill();
    origin.put("88.999.1/M-1", 3, "四");
    let leaves = origin.settled("88.999.1/M-1");
    let refused = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["--lang", "en", "mirror", origin.url(), "--dev", "--once", "--data"])
        .arg(copies.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("--token-file"), "{said}");
    let mirror = Mirror::start(origin.url(), copies.path(), &["--token-file", &token.to_string_lossy()]);
    mirror.reaches(leaves);
    same(origin.url(), &mirror.url, &names, leaves);
    assert!(get(&mirror.url, "/metrics").text().contains("mingpai_mirror_stopped{origin=\"urn:mingpai:dev\"} 0\n"));

    // With its origin away it starts and serves what it has.
    mirror.kill();
    drop(origin);
    let mirror = Mirror::start("http://127.0.0.1:9", copies.path(), &["--token-file", &token.to_string_lossy()]);
    assert_eq!(size(&mirror.url), leaves);
    assert_eq!(get(&mirror.url, "/v1/resolve/88.999.1/M-1?proof=1").json()["version"], 4);
    drop(mirror);
    // No node that signs is started on it.
    let refused = Command::new(env!("CARGO_BIN_EXE_mingpai"))
        .args(["--lang", "en", "serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(copies.path())
        .output()
        .unwrap();
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("mirror"));
}

#[test]
fn without_a_grant_the_log_alone_is_mirrored_and_a_later_grant_shows_what_comes_later() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let origin = Origin::start(folder.path());
    let leaves = until("the demonstration", || Some(size(origin.url())).filter(|size| *size == DEMONSTRATION));
    let vkey = origin.vkey();
    let mirror = Mirror::start(origin.url(), copies.path(), &["--vkey", &vkey]);
    mirror.reaches(leaves);
    same(origin.url(), &mirror.url, &[], leaves);
    assert_eq!(get(&mirror.url, "/v1/resolve/88.999.1/NEV-VEH-2026-000003").status, 421);
    mirror.kill();
    origin.put("88.999.1/LATER", 0, "后来");
    origin.change("PUT", "88.999.1/NEV-VEH-2026-000003", 1, &json!({"values": []}));
    let leaves = origin.settled("88.999.1/NEV-VEH-2026-000003");
    let token = folder.path().join("dev-token");
    let mirror = Mirror::start(origin.url(), copies.path(), &["--token-file", &token.to_string_lossy()]);
    mirror.reaches(leaves);
    same(origin.url(), &mirror.url, &["88.999.1/LATER"], leaves);
    assert_eq!(get(&mirror.url, "/v1/resolve/88.999.1/NEV-VEH-2026-000003").json()["version"], 2);
    mirror.kill();
    // Made anew from its journal it is the same.
    let _ = fs::remove_dir_all(copies.path().join("records"));
    let mirror = Mirror::start(origin.url(), copies.path(), &["--token-file", &token.to_string_lossy()]);
    same(origin.url(), &mirror.url, &["88.999.1/LATER"], leaves);
}

#[test]
fn a_mirror_that_is_killed_again_and_again_while_it_catches_up_ends_with_every_entry() {
    let (folder, copies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let origin = Origin::start(folder.path());
    origin.import(folder.path(), 4_000);
    let leaves = origin.settled("88.999.1/ROW-3999");
    let (vkey, token) = (origin.vkey(), folder.path().join("dev-token"));
    let more = ["--vkey", &vkey, "--token-file", &token.to_string_lossy()];
    let mut cut = 0;
    for _ in 0..4 {
        let mirror = Mirror::start(origin.url(), copies.path(), &more);
        until("an entry", || {
            let metrics = get(&mirror.url, "/metrics").text();
            let count = metrics
                .lines()
                .find_map(|line| line.strip_prefix("mingpai_mirror_entries_total{origin=\"urn:mingpai:dev\"} "));
            (count.is_some_and(|count| count != "0") || size(&mirror.url) > 0).then_some(())
        });
        cut += u32::from(size(&mirror.url) < leaves);
        mirror.kill();
    }
    assert!(cut > 0, "no death was in the middle");
    let mirror = Mirror::start(origin.url(), copies.path(), &more);
    mirror.reaches(leaves);
    same(origin.url(), &mirror.url, &["88.999.1/ROW-3999", "88.999.1/ROW-0"], leaves);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub fn evidence(folder: &Path) -> Vec<PathBuf> {
    let is_evidence = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("fork-evidence-");
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(is_evidence).collect()
}

#[test]
fn an_origin_that_was_put_back_and_went_on_otherwise_is_followed_no_further() {
    let (folder, old, copies) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut origin = Origin::start(folder.path());
    let token = folder.path().join("dev-token");
    until("the demonstration", || Some(size(origin.url())).filter(|size| *size == DEMONSTRATION));
    let vkey = origin.vkey();
    origin.node.kill();
    copy_folder(folder.path(), &old.path().join("node"));
    let origin = Origin::start(folder.path());
    origin.put("88.999.1/FORK", 0, "甲");
    let leaves = origin.settled("88.999.1/FORK");
    let once = |url: &str| {
        let data = copies.path().to_string_lossy().into_owned();
        let token = token.to_string_lossy().into_owned();
        let arguments = [
            "mirror",
            url,
            "--dev",
            "--data",
            &data,
            "--vkey",
            &vkey,
            "--token-file",
            &token,
            "--patience",
            "2",
            "--once",
        ];
        mingpai_json(folder.path(), &arguments)
    };
    let (code, said) = once(origin.url());
    assert_eq!((code, &said["size"], &said["verdict"]), (0, &json!(leaves), &json!("yes")), "{said}");
    drop(origin);
    let origin = Origin::start(&old.path().join("node"));
    until("the head of before", || Some(size(origin.url())).filter(|size| *size == DEMONSTRATION));
    let (code, said) = once(origin.url());
    // A beginning of what is here proves nothing yet: a cache may show it.
    assert_eq!((code, &said["code"]), (2, &json!("stale")), "{said}");
    assert!(evidence(copies.path()).is_empty());
    origin.put("88.999.1/FORK", 0, "乙");
    origin.put("88.999.1/FORK", 1, "丙");
    origin.settled("88.999.1/FORK");
    let mirror = Mirror::start(origin.url(), copies.path(), &["--token-file", &token.to_string_lossy()]);
    until("the stop", || {
        let metrics = get(&mirror.url, "/metrics").text();
        metrics.contains("mingpai_mirror_stopped{origin=\"urn:mingpai:dev\"} 1\n").then_some(())
    });
    // What was verified is served on, and whoever asks hears that it is not the newest.
    let ready = get(&mirror.url, "/readyz");
    assert_eq!((ready.status, &ready.json()["mirror"]), (200, &json!("forked")), "{}", ready.text());
    let answer = get(&mirror.url, "/v1/resolve/88.999.1/FORK?proof=1").json();
    assert_eq!((&answer["version"], &answer["values"][0]["data"]["value"]), (&json!(1), &json!("甲")), "{answer}");
    assert_eq!(size(&mirror.url), leaves);
    let kept = evidence(copies.path());
    assert_eq!(kept.len(), 1, "a fork: {kept:?}");
    for path in kept {
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.matches("\nurn:mingpai:dev\n").count(), 2, "both heads: {text}");
        assert!(text.matches("\n— urn:mingpai:dev ").count() >= 2, "as they were signed: {text}");
    }
}

#[test]
fn what_a_dishonest_server_changes_is_not_taken_in() {
    let signers = Signers::new();
    let entries = signers.two_versions_each(300);
    let (vkey, copies) = (signers.vkey(), tempfile::tempdir().unwrap());
    let shelf = Shelf::of(parts(&signers.head, &entries[..400]));
    let url = serve(&shelf);
    let once = |folder: &Path| {
        let data = folder.to_string_lossy().into_owned();
        mingpai_json(folder, &["mirror", &url, "--dev", "--data", &data, "--vkey", &vkey, "--patience", "1", "--once"])
    };
    let (code, said) = once(copies.path());
    assert_eq!((code, &said["size"]), (0, &json!(400)), "{said}");
    // Each lie from here on, and none of it is believed.
    let mut forged = entries.clone();
    let stranger = signers.entry(&name(5), 3, Some(&entries[306]), &signers.stranger, &signers.blinding);
    forged.push(stranger.statement.into_bytes());
    let mut rewritten = entries.clone();
    rewritten[7] = signers.entry(&name(6), 1, None, &signers.entry, &signers.blinding).statement.into_bytes();
    type Lie<'a> = (&'a str, Vec<Vec<u8>>, &'a dyn Fn());
    let lies: [Lie<'_>; 5] = [
        ("altered_entry", entries.clone(), &|| shelf.change("tile/entries/001", |bytes| bytes[70_000] ^= 1)),
        ("altered_tile", entries.clone(), &|| shelf.change("tile/0/001", |bytes| bytes[8_000] ^= 1)),
        ("wrong_root", entries.clone(), &|| shelf.change("tile/0/002.p/89", |bytes| bytes[8] ^= 1)),
        ("forked", rewritten, &|| {}),
        ("false_statement", forged, &|| {}),
    ];
    for (code, shown, change) in lies {
        shelf.show(parts(&signers.head, &shown));
        change();
        let (exit, said) = once(copies.path());
        assert_eq!((exit, &said["code"]), (1, &json!(code)), "{said}");
        assert!(!evidence(copies.path()).is_empty());
    }
    // The log as it is; what stood before the forged statement was genuine, and is here.
    shelf.show(parts(&signers.head, &entries));
    let (exit, said) = once(copies.path());
    assert!((exit, &said["code"]) == (2, &json!("stale")), "a head of 602 was signed and seen: {said}");
    let fresh = tempfile::tempdir().unwrap();
    let (exit, said) = once(fresh.path());
    assert_eq!((exit, &said["size"], &said["statements"]), (0, &json!(601), &json!(601)), "{said}");
}
