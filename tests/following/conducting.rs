//! `mingpai audit --tree audit`: 0 where who did what obeyed the rules, 1 with each fault by its name and index, 2 where it cannot
//! be told. The rules themselves are tested where they stand.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mingpai::services::log::LogSigner;
use mingpai::sign::jws::{AUDIT_TYPE, KEY_END_TYPE, KEYS_TYPE, sign};
use mingpai::sign::keys::SigningKey;
use serde_json::{Value as Json, json};

use crate::program::Node;
use crate::recorded::{ISSUER, Shelf, Signers, parts_of_both, serve};
use crate::{mingpai, mingpai_json};

/// More than a tile, so that full and partial ones are read.
const EVENTS: usize = 300;

fn stated(key: &SigningKey, typ: &str, statement: &Json) -> Vec<u8> {
    sign(key, typ, statement.to_string().as_bytes()).into_bytes()
}

/// An event of the audit tree.
fn event(key: &SigningKey, event: &str, principal: &str, members: Json) -> Vec<u8> {
    let mut statement = json!({"iat": 1_790_000_000, "iss": ISSUER, "principal": principal, "event": event});
    statement.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    stated(key, AUDIT_TYPE, &statement)
}

fn made(key: &SigningKey, id: &str) -> Vec<u8> {
    event(
        key,
        "key.created",
        "dev",
        json!({"key": {"id": id, "hash": "h", "role": "reader", "label": "", "created": 1}}),
    )
}

/// As many keys made.
fn keys_made(key: &SigningKey, count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|at| made(key, &format!("k{at}"))).collect()
}

/// A log of both trees, and the folder that its auditor works in.
struct Audited {
    signers: Signers,
    shelf: Arc<Shelf>,
    url: String,
    folder: tempfile::TempDir,
}

impl Audited {
    fn of(signers: Signers, entries: &[Vec<u8>], events: &[Vec<u8>]) -> Audited {
        let shelf = Shelf::of(parts_of_both(&signers.head, entries, events));
        let (url, folder) = (serve(&shelf), tempfile::tempdir().unwrap());
        let token = folder.path().join("token");
        fs::write(&token, "mpk_auditor_thisisthesecretpart_00000000\n").unwrap();
        fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
        Audited { signers, shelf, url, folder }
    }

    fn events(events: impl FnOnce(&Signers) -> Vec<Vec<u8>>) -> Audited {
        let signers = Signers::new();
        let events = events(&signers);
        let entries = signers.two_versions_each(2);
        Audited::of(signers, &entries, &events)
    }

    fn ask(&self, more: &[&str]) -> (i32, Json) {
        self.ask_by(&self.signers.vkey(), more)
    }

    fn ask_by(&self, vkey: &str, more: &[&str]) -> (i32, Json) {
        let arguments = ["audit", &self.url, "--tree", "audit", "--token-file", "token", "--vkey", vkey];
        mingpai_json(self.folder.path(), &[&arguments, more].concat())
    }

    /// Exit code, and the faults as "index kind".
    fn faults(&self) -> (i32, Vec<String>) {
        let (code, report) = self.ask(&[]);
        let fault = |found: &Json| format!("{} {}", found["index"], found["kind"].as_str().unwrap());
        (code, report["anomalies"].as_array().unwrap().iter().map(fault).collect())
    }
}

#[test]
fn a_tree_without_fault_is_clean_and_a_forged_leaf_is_named() {
    let whole = Audited::events(|signers| keys_made(&signers.entry, EVENTS));
    let (code, report) = whole.ask(&[]);
    assert_eq!(
        (code, &report["clean"], &report["pinned"], &report["judged"]),
        (0, &json!(true), &json!(true), &json!(300))
    );
    assert_eq!((&report["events"]["key.created"], &report["held"]["keys"]), (&json!(300), &json!(300)));
    assert_eq!(report["signing_keys"][0], json!({"kid": whole.signers.entry.kid(), "from": 0, "signed": 300}));
    assert!(whole.shelf.asked.lock().unwrap().iter().any(|path| path == "audit/tile/entries/001.p/44"));

    let with = |leaf: fn(&Signers) -> Vec<u8>| {
        Audited::events(|signers| {
            let mut events = keys_made(&signers.entry, EVENTS);
            events[270] = leaf(signers);
            events
        })
        .faults()
    };
    let one = |fault: &str| (1, vec![fault.to_owned()]);
    assert_eq!(with(|signers| made(&signers.stranger, "k")), one("270 not_signed"));
    // Under the name of the key in force, by another.
    let passed_off = |signers: &Signers| {
        let (own, strange) = (made(&signers.entry, "k"), made(&signers.stranger, "k"));
        let [header, others] = [own, strange].map(|leaf| String::from_utf8(leaf).unwrap());
        let (header, rest) = (header.split_once('.').unwrap().0, others.split_once('.').unwrap().1);
        format!("{header}.{rest}").into_bytes()
    };
    assert_eq!(with(passed_off), one("270 not_signed"));
    assert_eq!(with(|signers| made(&signers.entry, "k0")), one("270 key_twice"));
    assert_eq!(with(|_| b"no statement".to_vec()).1[0], "270 unreadable");
    assert_eq!(with(Signers::genesis), one("270 misplaced"));
    let other = |signers: &Signers| {
        let other = json!({"iat": 1, "iss": "urn:other", "principal": "dev", "event": "log.continued"});
        stated(&signers.entry, AUDIT_TYPE, &other)
    };
    assert_eq!(with(other), one("270 wrong_issuer"));
}

#[test]
fn what_is_not_as_the_signed_head_says_is_not_believed() {
    let log = Audited::events(|signers| keys_made(&signers.entry, EVENTS));
    assert_eq!(log.ask(&["--state", "state"]).0, 0);
    let lies = |change: &dyn Fn(&Shelf), vkey: &str| {
        let honest = log.shelf.parts.lock().unwrap().clone();
        change(&log.shelf);
        let (code, report) = log.ask_by(vkey, &["--state", "state", "--patience", "0"]);
        log.shelf.show(honest);
        (code, format!("{} {}", report["error"]["tree"].as_str().unwrap(), report["error"]["code"].as_str().unwrap()))
    };
    let flip = |path: &'static str| move |shelf: &Shelf| shelf.change(path, |bytes| bytes[40] ^= 1);
    let own = log.signers.vkey();
    let no = |told: &str| (1, told.to_owned());
    assert_eq!(lies(&flip("audit/tile/entries/000"), &own), no("audit altered_entry"));
    assert_eq!(lies(&flip("audit/tile/0/000"), &own), no("audit altered_tile"));
    assert_eq!(lies(&flip("audit/tile/0/001.p/44"), &own), no("audit wrong_root"));
    let withhold = |shelf: &Shelf| drop(shelf.remove("audit/tile/entries/000"));
    assert_eq!(lies(&withhold, &own), no("audit withheld"));
    // Shorter than was remembered, or another history; and a head that the log's key did not sign.
    let only_audit = |by: &LogSigner, events: &[Vec<u8>]| {
        let parts = parts_of_both(by, &[], events).into_iter().filter(|(path, _)| path.starts_with("audit/"));
        let parts: Vec<_> = parts.collect();
        move |shelf: &Shelf| shelf.parts.lock().unwrap().extend(parts.clone())
    };
    let shorter = keys_made(&log.signers.entry, EVENTS - 1);
    let mut other = keys_made(&log.signers.entry, EVENTS);
    other[3] = made(&log.signers.entry, "other");
    let head = &log.signers.head;
    assert_eq!(lies(&only_audit(head, &shorter), &own), no("audit rolled_back"));
    assert_eq!(lies(&only_audit(head, &other), &own), no("audit forked"));
    let stranger = Signers::new();
    assert_eq!(lies(&|_| {}, &stranger.vkey()), no("registry not_signed"));
    let same = keys_made(&log.signers.entry, EVENTS);
    assert_eq!(lies(&only_audit(&stranger.head, &same), &own), no("audit not_signed"));
    assert_eq!(log.ask(&["--state", "state"]).0, 0, "nothing of it was remembered");
}

#[test]
fn keys_sign_in_the_order_in_which_the_registry_authorises_them() {
    let next = |signers: &Signers| {
        let statement = json!({"iat": 1, "iss": ISSUER, "key": signers.stranger.public()});
        stated(&signers.entry, KEYS_TYPE, &statement)
    };
    let rotated = |events: &dyn Fn(&Signers) -> Vec<Vec<u8>>, end: Option<u64>| {
        let signers = Signers::new();
        let mut entries = signers.two_versions_each(2);
        entries.push(next(&signers));
        if let Some(not_after) = end {
            let end = json!({"iat": 1, "iss": ISSUER, "kid": signers.entry.kid(), "not_after": not_after});
            entries.push(stated(&signers.stranger, KEY_END_TYPE, &end));
        }
        let events = events(&signers);
        Audited::of(signers, &entries, &events)
    };
    let in_turn = |signers: &Signers| vec![made(&signers.entry, "a"), made(&signers.stranger, "b")];
    assert_eq!(rotated(&in_turn, None).faults(), (0, vec![]));
    let back = |signers: &Signers| [in_turn(signers), vec![made(&signers.entry, "c")]].concat();
    assert_eq!(rotated(&back, None).faults(), (1, vec!["2 key_out_of_turn".to_owned()]));
    // Where a key's end was said to lie before its successor, what it signed here may have come after: that is told.
    for (not_after, notes) in [(3, 1), (5, 0)] {
        let (code, report) = rotated(&in_turn, Some(not_after)).ask(&[]);
        assert_eq!((code, report["notes"].as_array().unwrap().len()), (0, notes), "{report}");
    }

    // A key that signs while the log is read is looked for in the registry once more.
    let signers = Signers::new();
    let (mut entries, events) = (signers.two_versions_each(2), in_turn(&signers));
    let log = Audited::of(signers, &entries, &events);
    entries.push(next(&log.signers));
    let newer = parts_of_both(&log.signers.head, &entries, &events);
    let shelf = Arc::clone(&log.shelf);
    let later = std::thread::spawn(move || {
        let has_read = || shelf.asked.lock().unwrap().iter().any(|path| path.starts_with("audit/tile/entries/"));
        while !has_read() {
            std::thread::sleep(Duration::from_millis(10));
        }
        shelf.show(newer);
    });
    let (code, report) = log.ask(&["--state", "state"]);
    later.join().unwrap();
    assert_eq!((code, report["signing_keys"].as_array().unwrap().len()), (0, 2), "{report}");
    // The keys are remembered: of the registry only the newest head is read again.
    log.shelf.asked.lock().unwrap().clear();
    assert_eq!(log.ask(&["--state", "state"]).0, 0);
    assert!(!log.shelf.asked.lock().unwrap().iter().any(|path| path.starts_with("tile/")));
}

#[test]
fn the_first_key_of_the_registry_is_one_that_was_pinned() {
    let log = Audited::events(|signers| keys_made(&signers.entry, 1));
    for (key, expected) in [(&log.signers.entry, 0), (&log.signers.stranger, 1)] {
        fs::write(log.folder.path().join("jwks.json"), json!({"keys": [key.public()]}).to_string()).unwrap();
        let (code, report) = log.ask(&["--jwks", "jwks.json"]);
        assert_eq!(code, expected, "{report}");
    }
}

#[test]
fn an_event_to_come_is_a_note_and_what_hangs_on_it_cannot_be_told() {
    let renewed = |signers: &Signers| event(&signers.entry, "key.renewed", "dev", json!({"id": "a"}));
    let (code, report) = Audited::events(|signers| vec![renewed(signers)]).ask(&[]);
    assert_eq!((code, &report["unknown"]["key.renewed"], report["notes"].as_array().unwrap().len()), (0, &json!(1), 1));
    let hanging =
        |signers: &Signers| vec![renewed(signers), event(&signers.entry, "key.revoked", "dev", json!({"id": "a"}))];
    let (code, report) = Audited::events(hanging).ask(&[]);
    assert_eq!(
        (code, &report["clean"], &report["unclear"], &report["anomaly_count"]),
        (2, &Json::Null, &json!(1), &json!(0))
    );
}

#[test]
fn a_state_of_the_other_tree_is_refused() {
    let log = Audited::events(|signers| keys_made(&signers.entry, 1));
    let vkey = log.signers.vkey();
    let registry = |state: &str| mingpai(log.folder.path(), &["audit", &log.url, "--vkey", &vkey, "--state", state]);
    assert_eq!(log.ask(&["--state", "mine"]).0, 0);
    assert_eq!(registry("theirs").0, 0);
    let (code, said) = registry("mine");
    assert!(code == 2 && said.contains("a file of its own"), "{code} {said}");
    let arguments =
        ["audit", &log.url, "--tree", "audit", "--token-file", "token", "--vkey", &vkey, "--state", "theirs"];
    let (code, said) = mingpai(log.folder.path(), &arguments);
    assert!(code == 2 && said.contains("a file of its own"), "{code} {said}");
}

/// A node's own tree, by who may read it and who may not.
#[test]
fn an_auditors_key_opens_the_tree_of_a_node_and_no_other_does() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&folder.path().join("data"));
    let given = |role: &[&str], out: &str| {
        let out = folder.path().join(out);
        let told = node.run_signed_in(&[&["token", "--out", out.to_str().unwrap()], role].concat());
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    };
    given(&["--role", "auditor"], "auditor");
    given(&["--role", "reader", "--prefix", "88.999.1"], "reader");
    let audit = |more: &[&str]| mingpai(folder.path(), &[&["audit", &node.url, "--tree", "audit"], more].concat());
    for token in ["auditor", "data/dev-token"] {
        let started = Instant::now();
        // A head that covers what was written comes within a second.
        let (code, said) = loop {
            let told = audit(&["--token-file", token]);
            if told.1.contains("3 keys") || told.0 != 0 || started.elapsed() > Duration::from_secs(60) {
                break told;
            }
        };
        assert!(code == 0 && said.contains("verdict: clean") && said.contains("3 keys"), "{code} {said}");
    }
    let (code, said) = audit(&["--token-file", "reader"]);
    assert!(code == 2 && said.contains("key_refused") && said.contains("--role auditor"), "{code} {said}");
    let (code, said) = audit(&[]);
    assert!(code == 2 && said.contains("--token-file"), "{code} {said}");
    for key in ["auditor", "reader"] {
        let secret = fs::read_to_string(folder.path().join(key)).unwrap();
        assert!(!said.contains(secret.trim()) && !secret.is_empty());
    }
    // A key that opens nothing.
    let strange = folder.path().join("strange");
    fs::write(&strange, "mpk_a_b_c\n").unwrap();
    fs::set_permissions(&strange, fs::Permissions::from_mode(0o600)).unwrap();
    let (code, said) = audit(&["--token-file", "strange"]);
    assert!(code == 2 && said.contains("does not accept the key"), "{code} {said}");
}
