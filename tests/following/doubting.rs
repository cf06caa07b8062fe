//! `mingpai mirror` against a log that is not what it was: what proves a fork ends the following, what a cache or another server
//! may have done is asked for again, and nothing that was believed is forgotten.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use bytes::Bytes;
use mingpai::model::alias::Alias;
use mingpai::model::draft::Draft;
use mingpai::model::identifier::Identifier;
use mingpai::model::prefix::LogMode;
use mingpai::model::record::Record;
use mingpai::model::scheme::Scheme;
use mingpai::model::time::Timestamp;
use mingpai::services::log::LogSigner;
use mingpai::sign::entry::{Entry, Signer};
use mingpai::sign::jws::{ERASURE_TYPE, sign};
use mingpai::sign::keys::{KeyFolder, KeyUse};
use mingpai::store::trees::Tree;
use mingpai::tlog::hash::leaf_hash;
use mingpai::tlog::policy::{Log, Policy};
use serde_json::{Value as Json, json};

use crate::mingpai_json;
use crate::mirroring::{Mirror, evidence, get};
use crate::recorded::{ISSUER, PREFIX, Shelf, Signers, checkpoint, head_of, parts, serve};

/// One look of a mirror in a folder; exit code and what it said.
fn once(url: &str, folder: &Path, more: &[&str]) -> (i32, Json) {
    let data = folder.to_string_lossy().into_owned();
    let arguments = ["mirror", url, "--dev", "--data", &data, "--patience", "1", "--once"];
    mingpai_json(folder, &[&arguments, more].concat())
}

fn said(found: (i32, Json)) -> (i32, String) {
    let (code, said) = found;
    (code, said["code"].as_str().map_or_else(|| said.to_string(), str::to_owned))
}

#[test]
fn a_head_that_was_believed_is_not_forgotten_when_its_entries_do_not_come() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let all = signers.two_versions_each(300);
    let vkey = signers.vkey();
    let shelf = Shelf::of(parts(&signers.head, &all[..400]));
    let url = serve(&shelf);
    let look = || said(once(&url, folder.path(), &["--vkey", &vkey]));
    assert_eq!(look().0, 0);
    shelf.show(parts(&signers.head, &all));
    shelf.remove("tile/entries/001");
    assert_eq!(look(), (2, "withheld".to_owned()));
    // It had 601 entries, and now it has 500.
    shelf.show(parts(&signers.head, &all[..500]));
    assert_eq!(look(), (2, "stale".to_owned()));
    let mut forked = all.clone();
    forked[450] = b"another".to_vec();
    shelf.show(parts(&signers.head, &forked));
    assert_eq!(look(), (1, "forked".to_owned()));
    shelf.show(parts(&signers.head, &all));
    assert_eq!(look().0, 0);
}

#[test]
fn an_older_head_of_the_log_that_is_here_ends_nothing_and_one_of_another_log_is_evidence() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let all = signers.two_versions_each(200);
    let vkey = signers.vkey();
    let shelf = Shelf::of(parts(&signers.head, &all));
    let url = serve(&shelf);
    let look = || said(once(&url, folder.path(), &["--vkey", &vkey]));
    assert_eq!(look().0, 0);
    shelf.show(parts(&signers.head, &all[..300]));
    assert_eq!(look(), (2, "stale".to_owned()));
    assert!(evidence(folder.path()).is_empty(), "it proves nothing");
    shelf.show(parts(&signers.head, &all));
    assert_eq!(look().0, 0, "a cache has come right");
    let mut other = all[..300].to_vec();
    other[7] = b"another".to_vec();
    shelf.show(parts(&signers.head, &other));
    assert_eq!(look(), (1, "forked".to_owned()));
    let kept = fs::read_to_string(&evidence(folder.path())[0]).unwrap();
    assert!(kept.contains("\n401\n") && kept.contains("\n300\n"), "both heads: {kept}");
}

#[test]
fn another_server_behind_the_address_ends_nothing_at_first_and_is_left_by_new_connections() {
    let (signers, other, folder) = (Signers::new(), Signers::new(), tempfile::tempdir().unwrap());
    let all = signers.two_versions_each(10);
    let vkey = signers.vkey();
    let shelf = Shelf::of(parts(&signers.head, &all));
    let url = serve(&shelf);
    let look = || once(&url, folder.path(), &["--vkey", &vkey]);
    assert_eq!(look().0, 0);
    *shelf.strange.lock().unwrap() = (3, checkpoint(&other.head, head_of(&all)));
    let before = *shelf.connections.lock().unwrap();
    let (code, answer) = look();
    assert_eq!((code, &answer["size"]), (0, &json!(21)), "{answer}");
    assert!(*shelf.connections.lock().unwrap() >= before + 4, "each look over a connection of its own");
    // Shown for ever it is the end.
    shelf.strange.lock().unwrap().0 = usize::MAX;
    let (code, answer) = look();
    assert_eq!((code, &answer["code"]), (1, &json!("not_signed")), "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("12 times in a row"), "{answer}");
    assert!(!evidence(folder.path()).is_empty());
}

#[test]
fn a_remembered_head_that_does_not_read_is_no_reason_to_go_on_without_it() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let all = signers.two_versions_each(20);
    let (vkey, other) = (signers.vkey(), Signers::new().vkey());
    let shelf = Shelf::of(parts(&signers.head, &all[..30]));
    let url = serve(&shelf);
    let look = |vkey: &str| once(&url, folder.path(), &["--vkey", vkey]);
    assert_eq!(look(&vkey).0, 0);
    let seen = folder.path().join("mirror.seen");
    let note = fs::read(&seen).unwrap();
    shelf.show(parts(&signers.head, &all));
    let refused = |vkey: &str| {
        let (code, answer) = look(vkey);
        let error = answer["error"].as_str().unwrap_or_default();
        assert_eq!((code, &answer["code"]), (2, &json!("own_store")), "{answer}");
        assert!(error.contains("mirror.seen") && error.contains("remove the file"), "the remedy: {error}");
    };
    fs::write(&seen, &note[..note.len() / 2]).unwrap();
    refused(&vkey);
    fs::remove_file(&seen).unwrap();
    fs::create_dir(&seen).unwrap();
    refused(&vkey);
    fs::remove_dir(&seen).unwrap();
    fs::write(&seen, &note).unwrap();
    refused(&other);
    assert_eq!(look(&vkey).0, 0);
}

#[test]
fn heads_of_keys_that_are_no_longer_pinned_are_not_shown() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let all = signers.two_versions_each(10);
    let shelf = Shelf::of(parts(&signers.head, &all));
    let url = serve(&shelf);
    assert_eq!(once(&url, folder.path(), &["--vkey", &signers.vkey()]).0, 0);
    let mirror = Mirror::start("http://127.0.0.1:9", folder.path(), &["--vkey", &Signers::new().vkey()]);
    assert_ne!(get(&mirror.url, "/log/checkpoint").status, 200);
    drop(mirror);
    let mirror = Mirror::start("http://127.0.0.1:9", folder.path(), &["--vkey", &signers.vkey()]);
    assert_eq!(get(&mirror.url, "/log/checkpoint").status, 200);
}

#[test]
fn the_first_look_is_bound_to_the_log_that_was_chosen() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let keys = tempfile::tempdir().unwrap();
    let mut keys = KeyFolder::open(keys.path(), 1).unwrap();
    let other = LogSigner::new(keys.take_all(KeyUse::Checkpoint), "urn:test:other").unwrap();
    let all = signers.two_versions_each(10);
    let logs = [&signers.head, &other].map(|log| Log { key: log.verifiers(Tree::Registry)[0].clone(), url: None });
    let policy = folder.path().join("policy");
    fs::write(&policy, Policy::of(logs.to_vec(), Vec::new(), 0).unwrap().encode()).unwrap();
    let shelf = Shelf::of(parts(&signers.head, &all));
    let url = serve(&shelf);
    shelf.remove("tile/entries/000.p/21");
    let look = || said(once(&url, folder.path(), &["--policy", &policy.to_string_lossy()]));
    assert_eq!(look(), (2, "withheld".to_owned()));
    // Nothing of it is here yet, but its name.
    fs::remove_file(folder.path().join("mirror.seen")).unwrap();
    shelf.show(parts(&other, &all));
    assert_eq!(look(), (1, "other_origin".to_owned()));
    shelf.show(parts(&signers.head, &all));
    assert_eq!(look().0, 0);
}

/// A log with what it hides, as an administrator reads it.
struct Disclosed {
    signers: Signers,
    leaves: Vec<Vec<u8>>,
    lines: Vec<Json>,
}

impl Disclosed {
    fn new() -> Disclosed {
        let signers = Signers::new();
        let genesis = signers.genesis();
        let mut log = Disclosed { signers, leaves: Vec::new(), lines: Vec::new() };
        log.add(genesis, json!({"kind": "statement"}));
        log
    }

    fn add(&mut self, statement: Vec<u8>, mut line: Json) {
        line["index"] = json!(self.leaves.len());
        line["statement"] = json!(String::from_utf8(statement.clone()).unwrap());
        self.leaves.push(statement);
        self.lines.push(line);
    }

    /// A version of a record with these aliases; `before`: the index of the one before.
    fn version(&mut self, name: &str, version: u64, before: Option<usize>, aliases: &[&str]) -> Entry {
        let now = Timestamp::from_seconds(1_790_000_000).unwrap();
        let draft = json!({"values": [{"index": 1, "type": "名称", "data": format!("{name} {version}")}]});
        let identifier = Identifier::parse(&format!("{PREFIX}/{name}")).unwrap();
        let mut record = Record::first(identifier, Draft::from_json(&draft, now).unwrap(), now);
        record.version = version;
        record.aliases = aliases.iter().map(|alias| Alias::new(Scheme::Oid, alias).unwrap()).collect();
        let prev = before.map(|before| leaf_hash(&self.leaves[before]));
        let Signers { entry, blinding, .. } = &self.signers;
        let signer = Signer { key: entry, issuer: ISSUER, blinding };
        let entry = signer.entry(&record, LogMode::Blinded, prev.as_ref(), None).unwrap();
        let mut line = json!({
            "kind": "entry",
            "version": version,
            "registered": "2026-09-21T13:33:20Z",
            "disclosures": entry.disclosures,
        });
        if let Some(before) = before {
            line["follows"] = json!(before);
        }
        self.add(entry.statement.clone().into_bytes(), line);
        entry
    }

    fn erasure(&mut self, sid: &[u8; 32], erases: usize, last: bool, iat: i64) {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
        let leaf = leaf_hash(&self.leaves[erases]);
        let statement = json!({
            "iat": iat,
            "iss": ISSUER,
            "sid": BASE64URL.encode(sid),
            "leaf": BASE64URL.encode(leaf),
            "last": last,
        });
        let statement = sign(&self.signers.entry, ERASURE_TYPE, statement.to_string().as_bytes());
        self.add(statement.into_bytes(), json!({"kind": "erasure", "erases": erases}));
        self.lines[erases].as_object_mut().unwrap().remove("disclosures");
    }

    /// What a log of all this shows.
    fn show(&self, shelf: &Shelf) {
        let mut shown = parts(&self.signers.head, &self.leaves);
        let lines: String = self.lines.iter().map(|line| format!("{line}\n")).collect();
        shown.insert(format!("v1/changes?from=0&limit={}", self.leaves.len()), Bytes::from(lines));
        shelf.show(shown);
    }
}

const ALIAS: &str = "1.2.156.3088.7";

#[test]
fn a_change_that_is_erased_while_a_mirror_lags_leaves_nothing_of_the_name_and_frees_its_aliases() {
    let (mut log, folder) = (Disclosed::new(), tempfile::tempdir().unwrap());
    let vkey = log.signers.vkey();
    let first = log.version("X", 1, None, &[ALIAS]);
    let key = folder.path().join("key");
    fs::write(&key, "test").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let more = ["--vkey", &vkey, "--token-file", &key.to_string_lossy()].map(str::to_owned);
    let shelf = Shelf::of(HashMap::new());
    let url = serve(&shelf);
    let data = folder.path().join("mirror");
    let look = || {
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        let (code, answer) = once(&url, &data, &more);
        (code, answer.to_string())
    };
    fs::create_dir(&data).unwrap();
    log.show(&shelf);
    let (code, answer) = look();
    assert_eq!(code, 0, "{answer}");
    // The alias goes from X to HEIR, and all of X is erased, before the mirror looks again.
    log.version("X", 2, Some(1), &[]);
    log.version("HEIR", 1, None, &[ALIAS]);
    log.erasure(&first.sid, 2, true, 1_790_000_001);
    log.erasure(&first.sid, 1, false, 1_790_000_001);
    log.show(&shelf);
    for _ in 0..2 {
        let (code, answer) = look();
        assert_eq!(code, 0, "{answer}");
    }
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let mirror = Mirror::start(&url, &data, &more);
    let oid = get(&mirror.url, &format!("/v1/resolve/{ALIAS}"));
    assert!(oid.status == 200 && oid.json()["identifier"] == format!("{PREFIX}/HEIR"), "{}", oid.text());
    assert_ne!(get(&mirror.url, &format!("/v1/resolve/{PREFIX}/X")).status, 200);
    drop(mirror);
    // One name is erased once.
    log.erasure(&first.sid, 2, true, 1_790_000_002);
    log.show(&shelf);
    let (code, answer) = look();
    assert!(code == 1 && answer.contains("false_statement") && answer.contains("erased before"), "{answer}");
}
