//! `verify`: 0 for a genuine entry, 1 for one that is not, 2 where it cannot be told; offline.

use std::path::Path;

use mingpai::model::draft::Draft;
use mingpai::model::identifier::Identifier;
use mingpai::model::prefix::LogMode;
use mingpai::model::record::Record;
use mingpai::model::time::Timestamp;
use mingpai::sign::blinding::Blinding;
use mingpai::sign::entry::{Signer, present};
use mingpai::sign::keys::{KeyFolder, KeyUse, PublicJwk};
use mingpai::sign::note_signer::NoteSigner;
use mingpai::sign::verify::{Finding, Known, verify_document};
use mingpai::tlog::checkpoint::Checkpoint;
use mingpai::tlog::log_proof::LogProof;
use mingpai::tlog::note::{KeyKind, Note, SignNote as _, VerifierKey};
use serde_json::{Value as Json, json};

use crate::paper_node::{PaperNode, Reply};
use crate::{mingpai, mingpai_reading};

const NAME: &str = "88.999.1/JXDY2106023";
const ISSUER: &str = "https://id.example.cn";

/// An entry with one value for owners only, and its answer.
struct Made {
    folder: tempfile::TempDir,
    key: PublicJwk,
    whole: String,
    with_hidden: String,
    answer: Json,
}

fn make() -> Made {
    make_of(Identifier::parse(NAME).unwrap(), LogMode::Blinded)
}

fn make_of(identifier: Identifier, log: LogMode) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let keys = KeyFolder::open(&folder.path().join("keys"), 1).unwrap();
    let key = keys.all(KeyUse::Entry)[0];
    let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
    let draft = json!({"registrant": "示范企业", "values": [
        {"index": 2000, "type": "名称", "data": "螺栓"},
        {"index": 2001, "type": "成本", "data": "12.50", "visibility": "owner"}]});
    let record = Record::first(identifier, Draft::from_json(&draft, now).unwrap(), now);
    let blinding = Blinding::new(*keys.secret());
    let entry = Signer { key, issuer: ISSUER, blinding: &blinding }.entry(&record, log, None, None).unwrap();
    let disclosures = &entry.disclosures;
    let with_hidden = present(&entry.statement, disclosures, |value| {
        value.is_some_and(|value| value.visibility == mingpai::model::value::Visibility::Public)
    })
    .unwrap();
    let mut answer = serde_json::to_value(&record).unwrap();
    answer["values"].as_array_mut().unwrap().pop();
    answer["entry"] = with_hidden.clone().into();
    let made =
        Made { key: key.public(), whole: format!("{}~{disclosures}~", entry.statement), with_hidden, answer, folder };
    made.write("jwks.json", &json!({"keys": [made.key]}).to_string());
    made
}

impl Made {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }
}

#[test]
fn a_genuine_entry_passes_with_a_value_shown_and_with_it_hidden() {
    let made = make();
    made.write("whole", &made.whole);
    made.write("hidden", &made.with_hidden);
    made.write("answer", &made.answer.to_string());
    for file in ["whole", "hidden", "answer"] {
        let base = ["verify", file, "--jwks", "jwks.json", "--identifier", NAME, "--issuer", ISSUER];
        let ended = mingpai(made.path(), base).expect(0);
        assert!(ended.out.contains("verdict: genuine"), "{}", ended.out);
        let json = mingpai(made.path(), base.iter().chain(&["--json"])).expect(0).json();
        assert_eq!(json["genuine"], true);
        assert!(json["steps"].as_array().unwrap().iter().all(|step| step["finding"] == "pass"));
    }
    assert!(!made.with_hidden.contains(made.whole.split('~').rev().nth(1).unwrap()), "the value is hidden");
    mingpai_reading(made.path(), ["verify", "-", "--jwks", "jwks.json"], made.whole.as_bytes()).expect(0);
}

#[test]
fn what_is_asked_for_and_is_not_in_the_file_cannot_be_told_and_is_never_passed_over() {
    let made = make();
    made.write("whole", &made.whole);
    made.write("answer", &made.answer.to_string());
    made.write("upper.json", &json!(made.key).to_string());
    let checkpoint = KeyFolder::open(&made.path().join("keys"), 1).unwrap().all(KeyUse::Checkpoint)[0].public_bytes();
    let log = VerifierKey::new("id.example.cn", KeyKind::Note, checkpoint).unwrap();
    made.write("policy", &format!("log {log}\nquorum none\n"));
    for file in ["whole", "answer"] {
        let base = ["verify", file, "--jwks", "jwks.json", "--json"];
        mingpai(made.path(), base).expect(0);
        for (asked, step) in [
            (&["--max-age", "1"][..], "freshness"),
            (&["--max-age", "999999999"], "freshness"),
            (&["--upper-key", "upper.json"], "node_licence"),
            (&["--policy", "policy"], "inclusion"),
            (&["--require-owner"], "owner_signature"),
        ] {
            let told = mingpai(made.path(), base.iter().chain(asked)).expect(2).json();
            let finding = |step: &Json| (step["name"].clone(), step["finding"].clone());
            let found: Vec<_> = told["steps"].as_array().unwrap().iter().map(finding).collect();
            assert!(found.contains(&(json!(step), json!("unknown"))), "{file} {asked:?}: {told}");
            assert_eq!(told["genuine"], Json::Null);
        }
    }
}

#[test]
fn a_flipped_byte_is_never_genuine_wherever_it_stands() {
    let made = make();
    let keys = [made.key.clone()];
    let known = Known { keys: &keys, identifier: Some(NAME), issuer: Some(ISSUER), ..Known::default() };
    let bytes = made.whole.as_bytes();
    assert_eq!(verify_document(bytes, known).verdict(), Finding::Pass);
    for at in 0..bytes.len() - 1 {
        let mut flipped = bytes.to_vec();
        // The last letter of a base64url part may hold unused bits: the next letter of the alphabet is another text.
        flipped[at] ^= 1;
        assert_ne!(verify_document(&flipped, known).verdict(), Finding::Pass, "byte {at}");
    }
    let parts: Vec<usize> = made.whole.match_indices(['.', '~']).map(|(at, _)| at).collect();
    // In the middle of the header, the payload, the signature and the first disclosure.
    for at in [parts[0] / 2, (parts[0] + parts[1]) / 2, (parts[1] + parts[2]) / 2, (parts[2] + parts[3]) / 2] {
        let mut flipped = made.whole.clone();
        let letter = if &flipped[at..=at] == "A" { "B" } else { "A" };
        flipped.replace_range(at..=at, letter);
        made.write("flipped", &flipped);
        let ended = mingpai(made.path(), ["verify", "flipped", "--jwks", "jwks.json"]);
        // A header with another key's id names a key that is not known, and that is all that can be told.
        let in_header = at < parts[0];
        assert!(ended.code == 1 || (in_header && ended.code == 2), "byte {at}: {}", ended.out);
    }
}

#[test]
fn another_identifier_another_issuer_and_an_altered_answer_are_a_no() {
    let made = make();
    made.write("whole", &made.whole);
    let mut altered = made.answer.clone();
    altered["values"][0]["data"]["value"] = "螺母".into();
    made.write("altered", &altered.to_string());
    for arguments in [
        ["whole", "--identifier", "88.999.1/OTHER"],
        ["whole", "--issuer", "https://id.example.com"],
        ["altered", "--identifier", NAME],
    ] {
        let base = ["verify", "--jwks", "jwks.json"];
        mingpai(made.path(), base.iter().chain(&arguments)).expect(1);
    }
}

#[test]
fn a_name_that_differs_in_case_is_another_one_where_the_prefix_tells_cases_apart() {
    let (asked, shouted) = ("88.999.1/abc-1", "88.999.1/ABC-1");
    let plain = Identifier::parse(asked).unwrap();
    let exact = plain.clone().with_case_sensitive_suffix();
    for (log, identifier, code) in [
        (LogMode::Blinded, &plain, 0),
        (LogMode::Blinded, &exact, 1),
        (LogMode::Open, &plain, 0),
        (LogMode::Open, &exact, 1),
    ] {
        let made = make_of(identifier.clone(), log);
        made.write("whole", &made.whole);
        made.write("answer", &made.answer.to_string());
        for file in ["whole", "answer"] {
            let base = ["verify", file, "--jwks", "jwks.json", "--identifier"];
            mingpai(made.path(), base.iter().chain(&[asked])).expect(0);
            let ended = mingpai(made.path(), base.iter().chain(&[shouted]));
            assert_eq!(ended.code, code, "{log:?}, {identifier:?}: {}", ended.out);
        }
    }
}

/// So it is with entries from before the case was signed.
#[test]
fn where_no_case_is_disclosed_a_name_that_differs_in_case_cannot_be_told() {
    let plain = Identifier::parse("88.999.1/abc-1").unwrap();
    for identifier in [plain.clone(), plain.with_case_sensitive_suffix()] {
        let made = make_of(identifier, LogMode::Blinded);
        let parts = made.whole.split('~').filter(|part| disclosed_name(part).as_deref() != Some("case"));
        let silent = parts.collect::<Vec<_>>().join("~");
        assert_ne!(silent, made.whole);
        made.write("silent", &silent);
        for (name, code) in [("88.999.1/abc-1", 0), ("88.999.1/ABC-1", 2), ("88.999.1/ABC-2", 1)] {
            let base = ["verify", "silent", "--jwks", "jwks.json", "--identifier", name];
            assert_eq!(mingpai(made.path(), base).code, code, "{name}");
        }
    }
}

/// The name of the claim, if this part of an entry is a disclosure.
fn disclosed_name(part: &str) -> Option<String> {
    mingpai::sign::sd_jwt::open(part, &mut Vec::new()).ok().map(|(name, _)| name.into_owned())
}

/// A log of one entry, and its proof as others' tools keep it.
#[test]
fn a_proof_of_the_log_is_judged_with_the_entry_that_it_is_about() {
    let made = make();
    let mut folder = KeyFolder::open(&made.path().join("keys"), 1).unwrap();
    let pair = folder.take_all(KeyUse::Checkpoint).remove(0);
    let signer = NoteSigner::new("id.example.cn", KeyKind::Note, pair).unwrap();
    let statement = made.whole.split('~').next().unwrap();
    let root = mingpai::tlog::hash::leaf_hash(statement.as_bytes());
    let head = Checkpoint { origin: "id.example.cn".to_owned(), size: 1, root, extensions: Vec::new() };
    let checkpoint = Note::sign(&head.encode(), &[&signer]).unwrap();
    let proof = LogProof { extra: Some(b"label".to_vec()), index: 0, hashes: Vec::new(), checkpoint };
    made.write("whole", &made.whole);
    made.write("proof", &proof.encode());
    made.write("policy", &format!("log {}\nquorum none\n", signer.verifier()));
    let base = ["verify", "whole", "--jwks", "jwks.json", "--policy", "policy", "--json"];
    let told = mingpai(made.path(), base.iter().chain(&["--proof", "proof"])).expect(2).json();
    let left: Vec<_> = told["steps"].as_array().unwrap().iter().filter(|step| step["finding"] != "pass").collect();
    assert_eq!(left.len(), 1, "the key set does not say for which indexes the key counts: {told}");
    assert_eq!(left[0]["name"], "key_range");
    assert!(
        told["steps"].as_array().unwrap().iter().any(|step| step["name"] == "inclusion" && step["finding"] == "pass")
    );
    made.write("other", &proof.encode().replacen("index 0", "index 1", 1));
    assert_eq!(mingpai(made.path(), base.iter().chain(&["--proof", "other"])).expect(1).json()["genuine"], false);
    // What is no proof, and a proof that nobody says how to judge: the command is wrong.
    mingpai(made.path(), base.iter().chain(&["--proof", "whole"])).expect(2);
    mingpai(made.path(), ["verify", "whole", "--proof", "proof"]).expect(2);
    // By itself.
    let told = mingpai(made.path(), ["verify", "proof", "--policy", "policy"]).expect(2);
    assert!(told.out.contains("--proof"), "{}", told.out);
}

#[test]
fn without_the_keys_it_cannot_be_told_and_nobody_is_asked() {
    let made = make();
    made.write("whole", &made.whole);
    let ended = mingpai(made.path(), ["verify", "whole"]).expect(2);
    assert!(ended.out.contains("cannot tell"), "{}", ended.out);
    let other = KeyFolder::open(&made.path().join("other"), 1).unwrap().all(KeyUse::Entry)[0].public();
    made.write("other.json", &json!({"keys": [other]}).to_string());
    mingpai(made.path(), ["verify", "whole", "--jwks", "other.json"]).expect(2);
    made.write("empty.json", "{\"keys\":[]}");
    mingpai(made.path(), ["verify", "whole", "--jwks", "empty.json"]).expect(2);
    made.write("junk", "no entry at all");
    mingpai(made.path(), ["verify", "junk", "--jwks", "jwks.json"]).expect(2);
    mingpai(made.path(), ["verify", "absent", "--jwks", "jwks.json"]).expect(2);
    mingpai(made.path(), ["verify", "whole", "--jwks", "junk"]).expect(2);
}

#[test]
fn keys_come_from_the_node_only_when_it_is_named() {
    let made = make();
    made.write("whole", &made.whole);
    let set = json!({"keys": [made.key]});
    let node = PaperNode::start(move |_| Reply::Json(200, set.clone()));
    mingpai(made.path(), ["verify", "whole", "--server", &node.url()]).expect(0);
    assert_eq!(node.asked()[0].what(), "GET /.well-known/jwks.json");
    assert_eq!(node.asked().len(), 1);
}
