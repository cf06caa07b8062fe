//! Signing in at a real node: a pair of one's own, its public half registered, a token for a signature.

use serde_json::Value as Json;

use crate::program::Node;
use crate::{mingpai, mode_of, names_in};

/// The pair's file.
fn pair(folder: &std::path::Path) -> String {
    let made = mingpai(folder, ["keygen", "--use", "session", "--keys", "mine", "--json"]).expect(0).json();
    assert_eq!(made["public"]["kid"], made["kid"]);
    made["path"].as_str().unwrap().to_owned()
}

#[test]
fn a_pair_of_ones_own_signs_in_and_what_it_says_is_never_printed_unasked() {
    let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(data.path());
    let url = node.url.clone();
    let admin = data.path().join("dev-token").to_str().unwrap().to_owned();
    let file = pair(folder.path());
    // The public half of a file that holds both.
    let base = ["token", "--server", &url, "--token-file", &admin, "--role", "registrar", "--prefix", "88.999.1"];
    let made = mingpai(folder.path(), base.iter().chain(&["--public-key", &file, "--json"])).expect(0).json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!((made["file"].clone(), made.get("key")), (Json::Null, None));
    assert_eq!(names_in(folder.path()), ["mine"], "there is no secret to keep");
    let base = ["token", "--server", &url, "--key-file", &file, "--key-id", &id];
    let ended = mingpai(folder.path(), base.iter().chain(&["--out", "session"])).expect(0);
    let token = std::fs::read_to_string(folder.path().join("session")).unwrap();
    assert!(token.starts_with("mps_") && mode_of(&folder.path().join("session")) == 0o600);
    assert!(!ended.out.contains("mps_") && !ended.err.contains("mps_"), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("session") && ended.err.contains("registrar 88.999.1"), "{}", ended.err);
    // Another node's name gets no signature.
    let other = mingpai(folder.path(), base.iter().chain(&["--print", "--audience", "urn:mingpai:other"])).expect(2);
    assert!(other.err.contains("nothing was signed"), "{}", other.err);
    let printed = mingpai(folder.path(), base.iter().chain(&["--print"])).expect(0);
    assert!(printed.out.starts_with("mps_") && printed.out.lines().count() == 1);
    // It exports what its prefix has, and no other.
    for (prefix, code) in [("88.999.1", 0), ("88.999", 2)] {
        let export = ["export", "--server", &url, "--token-file", "session", "--prefix", prefix, "-o", prefix];
        mingpai(folder.path(), export).expect(code);
    }
    // Another pair signs nobody in as this one, and an unreadable one is told without its text.
    let other = pair(folder.path());
    let theirs = ["token", "--server", &url, "--key-file", &other, "--key-id", &id, "--out", "stolen"];
    let refused = mingpai(folder.path(), theirs).expect(2);
    assert!(refused.err.contains("its public key is not the one of this file"), "{}", refused.err);
    assert!(!folder.path().join("stolen").exists());
    for wrong in [
        &["--key-file", &file][..],
        &["--key-id", &id],
        &["--key-file", &file, "--key-id", &id, "--role", "owner"],
        &["--key-file", "session", "--key-id", &id],
        &["--token-file", &admin, "--public-key", &file, "--print"],
    ] {
        mingpai(folder.path(), ["token", "--server", &url].iter().chain(wrong)).expect(2);
    }
}
