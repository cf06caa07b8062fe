//! A mirror as operators start it: without `--dev`, from a configuration that has only what a mirror needs, or from none at
//! all; and what it says where its key, or its holding no names, is in the way.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::auditing::DEMONSTRATION;
use crate::mingpai_json;
use crate::mirroring::{Mirror, ask, get, size, until};
use crate::program::Node;

const NAME: &str = "88.999.1/NEV-VEH-2026-000003";

/// An origin whose head covers all that it began with, and its log's policy in a file.
fn origin(folder: &Path) -> Node {
    let node = Node::start(&folder.join("node"));
    until("the demonstration", || (size(&node.url) == DEMONSTRATION).then_some(()));
    let policy = format!("log {}\nquorum none\n", get(&node.url, "/log/vkey").text().trim());
    fs::write(folder.join("node.policy"), policy).unwrap();
    node
}

#[test]
fn a_mirror_needs_no_issuer_and_no_prefixes() {
    let folder = tempfile::tempdir().unwrap();
    let node = origin(folder.path());
    let more = ["--policy", "node.policy", "--token-file", "node/dev-token"];

    // As README starts it: no configuration at all.
    let once = |data: &str, more: &[&str]| {
        let asked = ["mirror", &node.url, "--patience", "2", "--once", "--data", data];
        mingpai_json(folder.path(), &[&asked, more].concat())
    };
    let (code, said) = once("bare", &more);
    assert_eq!((code, &said["size"]), (0, &json!(DEMONSTRATION)), "{said}");

    // As operations.md configures it.
    let config =
        "[node]\ndata = \"configured\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[[prefixes]]\nprefix = \"88.999.1\"\n";
    fs::write(folder.path().join("mirror.toml"), config).unwrap();
    let configured = [&more[..], &["--config", "mirror.toml"]].concat();
    let mirrors = [
        Mirror::start_in(
            folder.path(),
            &node.url,
            &[&more[..], &["--data", "bare", "--listen", "127.0.0.1:0"]].concat(),
        ),
        Mirror::start_in(folder.path(), &node.url, &configured),
    ];
    for mirror in &mirrors {
        mirror.reaches(DEMONSTRATION);
        // Every name that it holds has its bundle, whatever prefixes its configuration names.
        for path in [format!("/v1/resolve/{NAME}"), format!("/v1/bundle/{NAME}")] {
            let answer = get(&mirror.url, &path);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        }
        let statements = |url: &str| get(url, &format!("/v1/bundle/{NAME}")).json()["statements"].clone();
        assert_eq!(statements(&mirror.url), statements(&node.url));
    }
    // A node that registers is asked for its issuer as before, and a mirror for what it does need.
    let refused = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mingpai"))
            .args(["--lang", "en"])
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["serve", "--config", "mirror.toml"]).contains("node.iss"));
    let said = refused(&["mirror", &node.url, "--config", "mirror.toml", "--set", "http.listen="]);
    assert!(said.contains("no address to listen on") && !said.contains("node.iss"), "{said}");
}

#[test]
fn a_key_that_the_origin_does_not_take_is_named_as_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let node = origin(folder.path());
    let key = fs::read_to_string(folder.path().join("node/dev-token")).unwrap();
    let other = Node::start(&folder.path().join("other"));
    drop(other);
    let asked = ["mirror", &node.url, "--patience", "2", "--once", "--data", "copy", "--policy", "node.policy"];
    let with = |file: &str| mingpai_json(folder.path(), &[&asked[..], &["--token-file", file]].concat());
    let (code, said) = with("other/dev-token");
    assert_eq!((code, &said["code"]), (2, &json!("key_refused")), "{said}");
    let error = said["error"].as_str().unwrap();
    for part in ["v1/changes", "does not accept the key in other/dev-token", "revoked"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert!(!error.contains("tile/entries") && !error.contains(key.trim()), "{error}");
    let (code, said) = with("node/dev-token");
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_mirror_that_holds_no_names_says_so_and_calls_none_unregistered() {
    let folder = tempfile::tempdir().unwrap();
    let node = origin(folder.path());
    let more = ["--policy", "node.policy", "--dev", "--listen", "127.0.0.1:0", "--data", "copy"];
    let mirror = Mirror::start_in(folder.path(), &node.url, &more);
    mirror.reaches(DEMONSTRATION);
    let paths = ["/v1/resolve/", "/v1/history/", "/v1/bundle/", "/v1/records/"];
    // Twice: what is kept in the cache says the same.
    for path in paths.iter().chain(&paths).map(|path| format!("{path}{NAME}")) {
        let own = format!("Bearer {}", fs::read_to_string(folder.path().join("copy/mirror-token")).unwrap().trim());
        let answer = ask(&mirror.url, "GET", &path, &[("authorization", &own)], "");
        let problem = answer.json();
        assert_eq!((answer.status, &problem["code"]), (421, &json!("mirror_holds_no_names")), "{path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(&node.url), "{problem}");
    }
    let body = json!({"identifiers": [NAME]}).to_string();
    let answer = ask(&mirror.url, "POST", "/v1/resolve", &[], &body);
    assert!(answer.text().contains("mirror_holds_no_names"), "{}", answer.text());
    let client = |command: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_mingpai"))
            .args(command)
            .args(["--lang", "en", "--server", &mirror.url])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    for command in [["resolve", NAME], ["history", NAME]] {
        let (code, said) = client(&command);
        assert!(code == Some(2) && said.contains(&node.url), "{command:?}: {code:?} {said}");
    }
    assert!(!mirror.announced.contains("/v1/resolve/"), "{}", mirror.announced);
    assert!(mirror.announced.contains("/log/checkpoint"), "{}", mirror.announced);

    // What no mirror has is refused as such to whoever asks, with a key or without.
    let problem = get(&mirror.url, "/v1/changes").json();
    assert_eq!((&problem["status"], &problem["code"]), (&json!(403), &json!("mirror_read_only")), "{problem}");
    for path in ["/log/audit/checkpoint", "/log/audit/vkey", "/log/audit/tile/0/000"] {
        assert_eq!(get(&mirror.url, path).status, 404, "{path}");
    }
}
