//! `mingpai audit`: 0 for a log without fault, 1 with each fault by its name and index, 2 where it cannot be told.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use mingpai::services::log::LogSigner;
use mingpai::sign::jws::{
    ENTRY_TYPE, ERASURE_TYPE, KEY_END_TYPE, KEYS_TYPE, LICENCE_END_TYPE, LICENCE_TYPE, ORIGIN_TYPE, sign,
};
use mingpai::sign::keys::{KeyFolder, KeyUse, SigningKey};
use mingpai::sign::prefix_secret::PrefixSecret;
use mingpai::store::trees::Tree;
use mingpai::tlog::hash::leaf_hash;
use serde_json::{Value as Json, json};

use crate::program::Node;
use crate::recorded::{ISSUER, PREFIX, Shelf, Signers, head_of, name, parts, serve};
use crate::{mingpai, mingpai_json};

/// More than a tile, so that full and partial ones are read.
const NAMES: usize = 150;
/// The demonstration records of a node, and the statement of its key.
pub const DEMONSTRATION: u64 = 337;

/// Exit code, and the faults as "index kind".
fn audit(signers: &Signers, entries: &[Vec<u8>]) -> (i32, Vec<String>, Json) {
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shelf::of(parts(&signers.head, entries)));
    let (code, report) = mingpai_json(folder.path(), &["audit", &url, "--vkey", &signers.vkey()]);
    let fault = |found: &Json| format!("{} {}", found["index"], found["kind"].as_str().unwrap());
    let faults = report["anomalies"].as_array().unwrap().iter().map(fault).collect();
    (code, faults, report)
}

fn payload_of(entry: &[u8]) -> Json {
    serde_json::from_slice(&mingpai::sign::jws::payload_of(entry).unwrap()).unwrap()
}

/// The same entry with another member, signed anew.
fn altered(entry: &[u8], member: &str, value: Json, key: &SigningKey) -> Vec<u8> {
    let mut payload = payload_of(entry);
    payload[member] = value;
    sign(key, ENTRY_TYPE, payload.to_string().as_bytes()).into_bytes()
}

fn stated(key: &SigningKey, typ: &str, statement: &Json) -> Vec<u8> {
    sign(key, typ, statement.to_string().as_bytes()).into_bytes()
}

#[test]
fn a_log_without_fault_is_clean_and_each_fault_is_named_with_its_index() {
    let signers = Signers::new();
    let good = signers.two_versions_each(NAMES);
    let (code, faults, report) = audit(&signers, &good);
    assert_eq!((code, faults), (0, Vec::<String>::new()), "{report}");
    assert_eq!((&report["clean"], &report["pinned"], &report["judged"]), (&json!(true), &json!(true), &json!(301)));
    assert_eq!((&report["counts"]["entries"], &report["identifiers"]), (&json!(300), &json!(150)));

    // The newest version of the third name stands at 153, the first one at 3.
    let with = |index: usize, entry: Vec<u8>| {
        let mut entries = good.clone();
        entries[index] = entry;
        audit(&signers, &entries).1
    };
    let iat = altered(&good[3], "iat", json!(1_790_000_009), &signers.entry);
    assert_eq!(with(3, iat), ["153 wrong_prev"], "a rewritten entry");
    assert_eq!(with(153, altered(&good[153], "ver", json!(4), &signers.entry)), ["153 version_gap"]);
    assert_eq!(with(153, altered(&good[153], "iss", json!("urn:other"), &signers.entry)), ["153 wrong_issuer"]);
    let forged = altered(&good[153], "iat", json!(1_790_000_009), &signers.stranger);
    assert_eq!(with(153, forged), ["153 not_signed"], "a forged entry");
    let mut flipped = good[153].clone();
    let last = flipped.len() - 20;
    flipped[last] = if flipped[last] == b'A' { b'B' } else { b'A' };
    assert_eq!(with(153, flipped), ["153 not_signed"]);
    assert_eq!(with(153, b"no statement".to_vec()), ["153 unreadable"]);
    let event = stated(&signers.entry, "mingpai-audit+jwt", &json!({"iat": 1, "iss": ISSUER}));
    assert_eq!(with(153, event), ["153 misplaced"]);
    let mut dropped = good.clone();
    dropped.remove(3);
    assert_eq!(audit(&signers, &dropped).1, ["152 version_gap"], "a first version was dropped");
    let second = signers.entry(&name(2), 1, None, &signers.entry, &signers.blinding);
    let mut doubled = good.clone();
    doubled.push(second.statement.into_bytes());
    assert_eq!(audit(&signers, &doubled).1, ["301 second_first"]);
}

#[test]
fn the_first_statement_pins_the_key_and_only_the_key_in_force_hands_over() {
    let signers = Signers::new();
    let good = signers.two_versions_each(2);
    // Nothing but records: no key can be told.
    let (code, faults, _) = audit(&signers, &good[1..]);
    assert_eq!((code, faults[0].as_str()), (1, "0 genesis"));
    let keys = |by: &SigningKey| {
        stated(by, KEYS_TYPE, &json!({"iat": 1_790_000_003, "iss": ISSUER, "key": signers.stranger.public()}))
    };
    let with = |added: Vec<Vec<u8>>| audit(&signers, &[good.clone(), added].concat()).1;
    let next = |key: &SigningKey| {
        let entry = signers.entry(&name(0), 3, Some(&good[3]), key, &signers.blinding);
        entry.statement.into_bytes()
    };
    assert_eq!(with(vec![keys(&signers.entry), next(&signers.stranger)]), Vec::<String>::new(), "a rotation");
    assert_eq!(with(vec![keys(&signers.entry), next(&signers.entry)]), ["6 not_signed"], "by the key before");
    assert_eq!(
        with(vec![keys(&signers.stranger), next(&signers.stranger)]),
        ["5 key_not_authorised", "5 not_signed", "6 not_signed"]
    );

    // The pinned genesis key.
    let folder = tempfile::tempdir().unwrap();
    let url = serve(&Shelf::of(parts(&signers.head, &good)));
    for (key, expected) in [(signers.entry.public(), 0), (signers.stranger.public(), 1)] {
        std::fs::write(folder.path().join("jwks.json"), json!({"keys": [key]}).to_string()).unwrap();
        let (code, said) = mingpai(folder.path(), &["audit", &url, "--vkey", &signers.vkey(), "--jwks", "jwks.json"]);
        assert_eq!(code, expected, "{said}");
    }
}

#[test]
fn erasures_name_what_is_there_and_names_of_the_log_what_it_was() {
    let signers = Signers::new();
    let good = signers.two_versions_each(2);
    let with = |added: Vec<Vec<u8>>| audit(&signers, &[good.clone(), added].concat()).1;
    let sid = payload_of(&good[1])["sid"].clone();
    let erasure = |leaf: &[u8], last: bool| {
        let leaf = BASE64URL.encode(leaf_hash(leaf));
        let statement = json!({"iat": 1_790_000_005, "iss": ISSUER, "sid": sid, "leaf": leaf, "last": last});
        stated(&signers.entry, ERASURE_TYPE, &statement)
    };
    let none = Vec::<String>::new();
    assert_eq!(with(vec![erasure(&good[1], false), erasure(&good[3], true)]), none);
    assert_eq!(with(vec![erasure(b"nowhere", false)]), ["5 erasure_unknown"]);
    assert_eq!(with(vec![erasure(&good[1], true)]), ["5 erasure_unknown"], "an older version is not the last");
    let next = signers.entry(&name(0), 3, Some(&good[3]), &signers.entry, &signers.blinding).statement.into_bytes();
    assert_eq!(with(vec![erasure(&good[3], true), next]), ["6 after_erasure"]);

    let head = head_of(&good);
    let root = base64::engine::general_purpose::STANDARD.encode(head.root);
    let origin = |before: &str, size: u64, root: &str| {
        let statement = json!({"iat": 1_790_000_005, "iss": ISSUER, "origin": ISSUER, "before": before, "size": size, "root": root});
        stated(&signers.entry, ORIGIN_TYPE, &statement)
    };
    assert_eq!(with(vec![origin(ISSUER, 5, &root)]), none);
    assert_eq!(with(vec![origin("urn:other", 5, &root)]), ["5 wrong_origin"]);
    assert_eq!(with(vec![origin(ISSUER, 4, &root)]), ["5 wrong_origin"]);
    let other = base64::engine::general_purpose::STANDARD.encode([7; 32]);
    assert_eq!(with(vec![origin(ISSUER, 5, &other)]), ["5 wrong_origin"]);
    // A kind that this program does not know is told, not judged.
    let unknown = stated(&signers.entry, "mingpai-new+jwt", &json!({"iat": 1_790_000_005, "iss": ISSUER}));
    let (code, faults, report) = audit(&signers, &[good.clone(), vec![unknown]].concat());
    assert_eq!((code, faults, &report["counts"]["other"]["mingpai-new+jwt"]), (0, none, &json!(1)));
}

#[test]
fn licences_follow_each_other_and_a_key_that_ended_is_named() {
    let signers = Signers::new();
    let good = signers.two_versions_each(2);
    let key = signers.entry.public();
    let licence = stated(
        &signers.entry,
        LICENCE_TYPE,
        &json!({"iat": 1_790_000_003, "iss": ISSUER, "prefix": "88.999.1", "seq": 1,
        "role": "enterprise", "holder": "示范企业", "holder_key": key}),
    );
    let end = |seq: u64, prev: &[u8]| {
        let id = BASE64URL.encode(leaf_hash(&licence));
        let statement = json!({"iat": 1_790_000_004, "iss": ISSUER, "prefix": "88.999.1", "seq": seq,
            "prev": BASE64URL.encode(leaf_hash(prev)), "licence": id, "reason": "revoked"});
        stated(&signers.entry, LICENCE_END_TYPE, &statement)
    };
    let with = |added: Vec<Vec<u8>>| audit(&signers, &[good.clone(), added].concat());
    let (code, faults, report) = with(vec![licence.clone(), end(2, &licence)]);
    assert_eq!((code, faults, &report["counts"]["licences"]), (0, vec![], &json!(2)), "{report}");
    assert_eq!(with(vec![end(2, &licence)]).1, ["5 licence_chain"], "the licence itself is missing");
    assert_eq!(with(vec![licence.clone(), end(2, b"another")]).1, ["6 licence_chain"]);

    // What nobody authorised has no place in the chain: the genuine one is still the first.
    let false_one = json!({"iat": 1_790_000_003, "iss": ISSUER, "prefix": "88.999.1", "seq": 1,
        "role": "enterprise", "holder": "他人", "holder_key": key});
    let false_one = stated(&signers.stranger, LICENCE_TYPE, &false_one);
    assert_eq!(with(vec![false_one, licence.clone()]).1, ["5 not_signed"]);

    let keys = json!({"iat": 1_790_000_003, "iss": ISSUER, "key": signers.stranger.public()});
    let keys = stated(&signers.entry, KEYS_TYPE, &keys);
    let ended = |kid: &str, by: &SigningKey| {
        stated(by, KEY_END_TYPE, &json!({"iat": 1_790_000_004, "iss": ISSUER, "kid": kid, "not_after": 3}))
    };
    let (code, faults, report) = with(vec![keys.clone(), ended(signers.entry.kid(), &signers.stranger)]);
    assert_eq!((code, faults), (0, Vec::<String>::new()), "{report}");
    let note = report["notes"][0]["en"].as_str().unwrap();
    assert!(note.contains("from entry 4 on: what it signed up to entry 5 is void"), "{note}");
    assert_eq!(with(vec![keys.clone(), ended(signers.stranger.kid(), &signers.stranger)]).1, ["6 key_not_authorised"]);
    // The key that was handed over from ends nothing any more.
    let (_, faults, report) = with(vec![keys, ended(signers.entry.kid(), &signers.entry)]);
    assert_eq!((faults, &report["notes"]), (vec!["6 not_signed".to_owned()], &json!([])));
    // Made-up kinds are counted, and only so many of them apart.
    let kinds = (0..150).map(|kind| {
        let statement = json!({"iat": 1_790_000_005, "iss": ISSUER});
        stated(&signers.entry, &format!("kind-{kind}\\u001b[2J"), &statement)
    });
    let (code, _, report) = with(kinds.collect());
    let other = report["counts"]["other"].as_object().unwrap();
    assert_eq!((code, other.len(), &other["(others)"]), (0, 101, &json!(50)));
    assert!(other.contains_key("kind-7[2J"), "nothing in it is meant for a terminal: {other:?}");
}

#[test]
fn a_log_that_turns_back_or_splits_is_told_by_what_was_remembered() {
    let signers = Signers::new();
    let good = signers.two_versions_each(3);
    let shelf = Shelf::of(parts(&signers.head, &good));
    let url = serve(&shelf);
    let folder = tempfile::tempdir().unwrap();
    let vkey = signers.vkey();
    let arguments = ["audit", &url, "--vkey", &vkey, "--state", "state.json", "--patience", "0"];
    assert_eq!(mingpai(folder.path(), &arguments).0, 0);
    assert_eq!(mingpai(folder.path(), &arguments).0, 0, "the same again");
    let kept = std::fs::read(folder.path().join("state.json")).unwrap();
    shelf.show(parts(&signers.head, &good[..6]));
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["error"]["code"]), (1, &json!("rolled_back")));
    // The newest version alone was rewritten: without a memory nobody can see it.
    let mut forked = good.clone();
    forked[6] = altered(&good[6], "iat", json!(1_790_000_009), &signers.entry);
    shelf.show(parts(&signers.head, &forked));
    assert_eq!(mingpai(folder.path(), &arguments[..4]).0, 0);
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["error"]["code"]), (1, &json!("forked")));
    assert!(report["error"]["shown"].as_str().unwrap().starts_with(ISSUER));
    assert_eq!(std::fs::read(folder.path().join("state.json")).unwrap(), kept, "a lie is not remembered");
    shelf.show(parts(&signers.head, &good));
    shelf.change("tile/entries/000.p/7", |bytes| bytes[30] ^= 1);
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["error"]["code"]), (1, &json!("altered_entry")));
    // Nobody there, another key, no key at all.
    let (code, report) =
        mingpai_json(folder.path(), &["audit", "http://127.0.0.1:9", "--vkey", &vkey, "--patience", "0"]);
    assert_eq!((code, &report["clean"], &report["error"]["code"]), (2, &Json::Null, &json!("unreachable")));
    shelf.show(parts(&signers.head, &good));
    let other = Signers::new().vkey();
    assert_eq!(mingpai(folder.path(), &["audit", &url, "--vkey", &other]).0, 1);
    assert_eq!(mingpai(folder.path(), &["audit", &url, "--vkey", "junk"]).0, 2);
    assert_eq!(mingpai(folder.path(), &["audit", &url]).0, 0, "by the key that it shows");
}

#[test]
fn a_log_that_took_another_name_is_no_forgery_and_cannot_be_told_by_the_old_policy() {
    let (signers, folder) = (Signers::new(), tempfile::tempdir().unwrap());
    let keys = tempfile::tempdir().unwrap();
    // One key of the log, before and after `restore --new-origin`.
    let [before, after] = [ISSUER, "urn:test:renamed"].map(|name| {
        let mut keys = KeyFolder::open(keys.path(), 1).unwrap();
        LogSigner::new(keys.take_all(KeyUse::Checkpoint), name).unwrap()
    });
    let [old, new] = [&before, &after].map(|signer| signer.verifiers(Tree::Registry)[0].to_string());
    let entries = signers.two_versions_each(3);
    let shelf = Shelf::of(parts(&before, &entries));
    let url = serve(&shelf);
    let here = folder.path();
    let secret = &signers.blinding.prefix_secret(PREFIX);
    PrefixSecret::write(PREFIX, secret, &here.join("secret")).unwrap();
    std::fs::write(here.join("names"), name(0)).unwrap();
    let data = here.join("data").to_string_lossy().into_owned();
    let audit = |vkey: &str, state: &str| {
        mingpai_json(here, &["audit", &url, "--vkey", vkey, "--state", state, "--patience", "1"])
    };
    let watch = |vkey: &str| {
        let asked = ["watch", &url, "--vkey", vkey, "--prefix", PREFIX, "--secret-file", "secret", "--names", "names"];
        mingpai_json(here, &[&asked[..], &["--patience", "1"]].concat())
    };
    let mirror = |data: &str| {
        let asked = ["mirror", &url, "--dev", "--data", data, "--vkey", &old, "--patience", "1", "--once"];
        mingpai_json(here, &asked)
    };
    assert_eq!((audit(&old, "state").0, mirror(&data).0), (0, 0));
    shelf.show(parts(&after, &entries));
    for (code, said) in [audit(&old, "state"), audit(&old, "fresh"), watch(&old)] {
        assert_eq!((code, &said["error"]["code"]), (2, &json!("other_origin")), "{said}");
        assert_eq!(said["error"]["blames_the_log"], false, "{said}");
        assert!(
            said["error"]["detail"]["en"].as_str().unwrap().contains("a new policy and a new state file"),
            "{said}"
        );
    }
    let (code, said) = mirror(&data);
    assert_eq!((code, &said["code"]), (2, &json!("other_origin")), "{said}");
    // What the auditor then does.
    assert_eq!(audit(&new, "new-state").0, 0);
    let (code, said) = audit(&new, "state");
    assert_eq!((code, &said["error"]["code"]), (1, &json!("other_origin")), "what is remembered is of another log");
    // The name alone, by another key, is a forgery as ever.
    shelf.show(parts(&LogSigner::new(strangers(), "urn:test:renamed").unwrap(), &entries));
    let (code, said) = audit(&old, "fresh");
    assert_eq!((code, &said["error"]["code"]), (1, &json!("not_signed")), "{said}");
}

/// Checkpoint keys of nobody in particular.
fn strangers() -> Vec<SigningKey> {
    let keys = tempfile::tempdir().unwrap();
    KeyFolder::open(keys.path(), 1).unwrap().take_all(KeyUse::Checkpoint)
}

#[test]
fn a_head_whose_entries_did_not_come_is_remembered_against_the_next_one() {
    let signers = Signers::new();
    let good = signers.two_versions_each(3);
    let shelf = Shelf::of(parts(&signers.head, &good));
    let url = serve(&shelf);
    let folder = tempfile::tempdir().unwrap();
    let vkey = signers.vkey();
    let arguments = ["audit", &url, "--vkey", &vkey, "--state", "state.json", "--patience", "0"];
    // Nothing was believed: there is nothing to remember.
    shelf.remove("checkpoint");
    assert_eq!(mingpai(folder.path(), &arguments).0, 2);
    assert!(!folder.path().join("state.json").exists());
    shelf.show(parts(&signers.head, &good));
    shelf.remove("tile/entries/000.p/7");
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["error"]["code"]), (1, &json!("withheld")));
    // The other branch, longer and whole.
    let mut forked = good.clone();
    forked[6] = altered(&good[6], "iat", json!(1_790_000_009), &signers.entry);
    let next = signers.entry(&name(0), 3, Some(&forked[4]), &signers.entry, &signers.blinding);
    forked.push(next.statement.into_bytes());
    shelf.show(parts(&signers.head, &forked));
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["error"]["code"]), (1, &json!("forked")), "{report}");
}

#[test]
fn a_node_of_our_own_is_clean() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path());
    wait_for_head(&node, DEMONSTRATION);
    std::fs::write(folder.path().join("policy"), format!("log {}quorum none\n", shown(&node, "/log/vkey"))).unwrap();
    let arguments = ["audit", &node.url, "--policy", "policy", "--state", "audit.json"];
    let (code, report) = mingpai_json(folder.path(), &arguments);
    assert_eq!((code, &report["clean"]), (0, &json!(true)), "{report}");
    assert_eq!((&report["judged"], &report["counts"]["keys"]), (&json!(DEMONSTRATION), &json!(1)));
    assert!(folder.path().join("audit.json").exists());
}

/// What a node shows anybody at an address.
pub fn shown(node: &Node, target: &str) -> String {
    use std::io::{Read, Write};
    let address = node.url.strip_prefix("http://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {target} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split("\r\n\r\n").nth(1).unwrap().to_owned()
}

/// Waits until the published head covers so many entries.
pub fn wait_for_head(node: &Node, size: u64) {
    let end = Instant::now() + Duration::from_secs(60);
    let covered = || shown(node, "/log/checkpoint").lines().nth(1).and_then(|line| line.parse::<u64>().ok());
    while covered().is_none_or(|covered| covered < size) {
        assert!(Instant::now() < end, "no head of {size} entries");
        std::thread::sleep(Duration::from_millis(20));
    }
}
