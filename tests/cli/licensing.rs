//! `mingpai licence`: what is signed offline, and what a node is told.

use mingpai::sign::licence::Grant;
use mingpai::sign::owner::OwnerPayload;
use serde_json::{Value as Json, json};

use crate::paper_node::{PaperNode, Reply, problem};
use crate::{folder_with_token, mingpai, mingpai_reading, mode_of};

/// A pair in the folder: its file and its public half.
fn keygen(folder: &std::path::Path) -> (String, Json) {
    let made = mingpai(folder, ["keygen", "--use", "owner", "--keys", "keys", "--json"]).expect(0).json();
    (made["path"].as_str().unwrap().to_owned(), made["public"].clone())
}

#[test]
fn an_upper_node_signs_a_grant_that_a_node_reads() {
    let folder = tempfile::tempdir().unwrap();
    let ((upper, upper_public), (_, node)) = (keygen(folder.path()), keygen(folder.path()));
    assert_eq!(mode_of(&folder.path().join(&upper)), 0o600);
    std::fs::write(folder.path().join("jwks.json"), json!({"keys": [node]}).to_string()).unwrap();
    let base = [
        "licence",
        "issue",
        "--key",
        &upper,
        "--issuer",
        "https://top.example.cn",
        "--holder",
        "https://id.example.cn",
    ];
    for key in ["jwks.json", &node.to_string()] {
        let issued = mingpai(folder.path(), base.iter().chain(&["--prefix", "88.999", "--node-key", key])).expect(0);
        let grant = Grant::read(issued.out.trim()).unwrap();
        assert_eq!((grant.prefix.as_str(), grant.holder.as_str()), ("88.999", "https://id.example.cn"));
        assert_eq!(upper_public["kid"], grant.by.kid.as_str());
        assert!(grant.names(node["kid"].as_str().unwrap()));
    }
    for wrong in [["--prefix", "88", "--node-key", "jwks.json"], ["--prefix", "88.999", "--node-key", "absent"]] {
        mingpai(folder.path(), base.iter().chain(&wrong)).expect(2);
    }
}

#[test]
fn an_enterprise_signs_the_version_that_comes_next() {
    let folder = tempfile::tempdir().unwrap();
    let (key, _) = keygen(folder.path());
    let draft = json!({"values": [{"index": 2000, "type": "名称", "data": "螺栓"}]});
    std::fs::write(folder.path().join("draft.json"), draft.to_string()).unwrap();
    let sign = ["licence", "sign", "draft.json", "--key", &key];
    mingpai(folder.path(), sign).expect(2);
    let named = [&sign[..], &["--identifier", "88.999.1/A"]].concat();
    let plain = mingpai(folder.path(), &named).expect(0).out;
    let (_, first) = OwnerPayload::read(plain.trim()).unwrap();
    assert_eq!((first.sub.as_str(), first.ver), ("88.999.1/A", 1));
    let told = mingpai(folder.path(), named.iter().chain(&["--json"])).expect(0).json();
    assert_eq!(told["digest"], first.digest.as_str());
    assert!(told["canonical"].as_str().unwrap().starts_with("{\"aliases\":[],\"links\":[],\"status\":\"active\","));
    // A record as it was resolved: the version after it is signed, and the content is the same whenever it was stated.
    let resolved = json!({"identifier": "88.999.1/A", "version": 4, "status": "active", "links": [], "aliases": [],
        "values": [{"index": 2000, "type": "名称", "data": {"format": "string", "value": "螺栓"}, "ttl": 86400,
                    "timestamp": "2026-11-23T15:24:37Z"}],
        "registered": "2026-11-23T15:24:37Z", "updated": "2026-11-23T15:24:37Z", "entry": "x~"});
    let attach = ["licence", "sign", "-", "--key", &key, "--attach"];
    let attached = mingpai_reading(folder.path(), attach, resolved.to_string().as_bytes()).expect(0).json();
    let (_, next) = OwnerPayload::read(attached["owner_jws"].as_str().unwrap()).unwrap();
    assert_eq!((next.ver, &next.digest), (5, &first.digest));
    assert!(attached.get("version").is_none() && attached.get("entry").is_none(), "{attached}");
    mingpai_reading(folder.path(), attach, b"{\"surprise\":1,\"identifier\":\"88.999.1/A\"}").expect(2);
    mingpai_reading(folder.path(), attach, b"[]").expect(2);
}

#[test]
fn a_node_is_told_of_grants_licences_and_ends_and_a_private_key_never_leaves() {
    let folder = folder_with_token();
    let (key, public) = keygen(folder.path());
    std::fs::write(folder.path().join("grant"), "a.b.c\n").unwrap();
    let node = PaperNode::start(|_| Reply::Json(201, json!({"id": "ID", "index": 7})));
    let url = node.url();
    let to = ["--server", &url, "--token-file", "token"];
    let run = |arguments: &[&str]| mingpai(folder.path(), arguments.iter().chain(&to)).expect(0);
    assert!(run(&["licence", "add", "grant"]).out.contains("index  7"));
    run(&["licence", "grant", "--prefix", "88.999.1", "--holder", "甲", "--key", &key, "--require-owner-signature"]);
    run(&[
        "licence",
        "grant",
        "--prefix",
        "88.999.1",
        "--holder",
        "甲",
        "--key",
        &key,
        "--replace",
        "compromised",
        "--not-after",
        "5",
    ]);
    run(&["licence", "end", "ID", "--reason", "revoked"]);
    run(&["licence", "end-key", "KID", "--not-after", "4"]);
    let asked = node.asked();
    let what: Vec<(String, Json)> =
        asked.iter().map(|asked| (asked.what(), serde_json::from_slice(&asked.body).unwrap())).collect();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": public["x"]});
    let licence = json!({"role": "enterprise", "prefix": "88.999.1", "holder": "甲", "key": jwk});
    let mut required = licence.clone();
    required["owner_signature"] = "required".into();
    let mut replacing = licence;
    replacing["replace"] = json!({"reason": "compromised", "not_after": 5});
    let expected = [
        ("POST /v1/licences", json!({"role": "node", "grant": "a.b.c"})),
        ("POST /v1/licences", required),
        ("POST /v1/licences", replacing),
        ("POST /v1/licences/ID/end", json!({"reason": "revoked"})),
        ("POST /v1/signing-keys/KID/end", json!({"not_after": 4})),
    ];
    assert_eq!(what, expected.map(|(what, body)| (what.to_owned(), body)));
    assert!(asked.iter().all(|asked| asked.authorization.is_some()));
}

#[test]
fn a_refusal_is_a_no_and_the_list_is_read_page_by_page() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match (asked.method.as_str(), asked.target.as_str()) {
        ("POST", _) => problem(409, "licence_ended"),
        (_, "/v1/licences") => Reply::Json(
            200,
            json!({"next_cursor": "next", "statements": [
            {"index": 5, "kind": "licence", "id": "I", "prefix": "88.999.1", "role": "enterprise", "holder": "甲\u{1b}[2J",
             "kid": "K", "in_force": false, "reason": "revoked", "not_after": 9}]}),
        ),
        (_, "/v1/licences?cursor=next") => Reply::Json(
            200,
            json!({"statements": [
            {"index": 9, "kind": "end", "id": "J", "prefix": "88.999.1", "licence": "I", "reason": "revoked", "not_after": 9}]}),
        ),
        _ => Reply::Json(200, json!({"statements": []})),
    });
    let url = node.url();
    let end = ["licence", "end", "ID", "--reason", "revoked", "--server", &url, "--token-file", "token"];
    assert!(mingpai(folder.path(), end).expect(1).err.contains("the detail"));
    let listed = mingpai(folder.path(), ["licence", "list", "--server", &url]).expect(0).out;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("revoked up to 9") && !listed.contains('\u{1b}'), "{listed}");
    mingpai(folder.path(), ["licence", "list", "--identifier", "88.999.1/A", "--server", &url]).expect(0);
    assert_eq!(node.asked().last().unwrap().target, "/v1/licences?identifier=88.999.1%2FA");
}
