//! `export`, `resolve`, `token`: the other clients of a node.

use std::io::Read;

use serde_json::{Value as Json, json};

use crate::paper_node::{PaperNode, Reply, problem};
use crate::{SECRET, folder_with_token, mingpai, mode_of, names_in, write_with_mode};

fn record(name: &str) -> Json {
    json!({"identifier": format!("88.999.1/{name}"), "version": 1, "status": "active",
        "values": [{"index": 2000, "type": "名称", "data": {"format": "string", "value": "螺栓\u{1b}[2J"}}]})
}

/// Three pages; the second breaks off the first time.
fn paging() -> PaperNode {
    PaperNode::start(|asked| {
        let page = |names: &[&str], next: Option<&str>| {
            let records: Vec<Json> = names.iter().map(|name| record(name)).collect();
            json!({"records": records, "next_cursor": next})
        };
        let after = asked.target.split("cursor=").nth(1);
        match (after, asked.before) {
            (None, _) => Reply::Json(200, page(&["A", "B"], Some("c1"))),
            (Some("c1"), 1) => Reply::Break(page(&["C"], None).to_string()[..30].to_owned()),
            (Some("c1"), _) => Reply::Json(200, page(&["C", "D"], Some("c2"))),
            _ => Reply::Json(200, page(&["E"], None)),
        }
    })
}

fn names(ndjson: &str) -> Vec<String> {
    let name = |line: &str| {
        let record: Json = serde_json::from_str(line).unwrap();
        record["identifier"].as_str().unwrap().trim_start_matches("88.999.1/").to_owned()
    };
    ndjson.lines().map(name).collect()
}

#[test]
fn an_export_goes_on_after_a_break_with_no_record_missing_or_twice() {
    let (folder, node) = (folder_with_token(), paging());
    let url = node.url();
    let base = ["export", "--server", &url, "--token-file", "token", "--prefix", "88.999.1"];
    mingpai(folder.path(), base.iter().chain(&["-o", "out.ndjson.gz"])).expect(0);
    let mut text = String::new();
    let packed = std::fs::File::open(folder.path().join("out.ndjson.gz")).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert_eq!(names(&text), ["A", "B", "C", "D", "E"]);
    assert_eq!(names_in(folder.path()), ["out.ndjson.gz", "token"], "no temporary file stays");
    assert!(node.asked().iter().all(|asked| asked.target.contains("&prefix=88.999.1")));
    assert_eq!(names(&mingpai(folder.path(), base).expect(0).out), ["A", "B", "C", "D", "E"]);
}

#[test]
fn an_export_without_a_key_is_told_so_before_a_node_is_asked() {
    let (folder, node) = (folder_with_token(), paging());
    let ended = mingpai(folder.path(), ["export", "--server", &node.url()]).expect(2);
    assert!(ended.err.contains("--token-file") && node.asked().is_empty(), "{}", ended.err);
}

#[test]
fn an_export_that_fails_leaves_the_file_of_before() {
    let folder = folder_with_token();
    std::fs::write(folder.path().join("out"), "before").unwrap();
    let node = PaperNode::start(|asked| match asked.before {
        0 => Reply::Json(200, json!({"records": [record("A")], "next_cursor": "c1"})),
        _ => problem(500, "internal"),
    });
    let url = node.url();
    let base = ["export", "--server", &url, "--token-file", "token", "-o", "out"];
    let refused = mingpai(folder.path(), base).expect(2);
    assert!(refused.err.contains("--force") && node.asked().is_empty(), "{}", refused.err);
    mingpai(folder.path(), base.iter().chain(&["--force"])).expect(2);
    assert_eq!(node.asked().len(), 2);
    assert_eq!(std::fs::read_to_string(folder.path().join("out")).unwrap(), "before");
    assert_eq!(names_in(folder.path()), ["out", "token"]);
}

#[test]
fn an_export_leaves_out_what_the_node_cannot_read_and_says_no() {
    let folder = folder_with_token();
    let damaged = json!({"identifier": "88.999.1/b", "problem": {"code": "record_damaged", "status": 500}});
    let mut quoting = record("C");
    quoting["template"] = "\"problem\"".into();
    quoting["values"][0]["type"] = "problem".into();
    let node = PaperNode::start(move |_| {
        Reply::Json(200, json!({"records": [record("A"), damaged.clone(), quoting.clone()]}))
    });
    let url = node.url();
    let ended = mingpai(folder.path(), ["export", "--server", &url, "--token-file", "token", "-o", "out"]).expect(1);
    assert_eq!(names(&std::fs::read_to_string(folder.path().join("out")).unwrap()), ["A", "C"]);
    for said in ["damaged: 88.999.1/b", "2 records exported", "left out: 1;"] {
        assert!(ended.err.contains(said), "{}", ended.err);
    }
}

#[test]
fn a_cursor_that_leads_to_itself_is_not_followed_for_ever() {
    let folder = folder_with_token();
    let node = PaperNode::start(|_| Reply::Json(200, json!({"records": [], "next_cursor": "c1"})));
    let url = node.url();
    mingpai(folder.path(), ["export", "--server", &url, "--token-file", "token", "-o", "out"]).expect(2);
}

#[test]
fn a_record_is_printed_for_a_person_without_what_a_terminal_obeys() {
    let folder = folder_with_token();
    let node = PaperNode::start_on_ipv6(|_| Reply::Json(200, record("A/1 #?")));
    let url = node.url();
    let arguments =
        ["resolve", "88.999.1/A/1 #?", "--server", &url, "--type", "名称", "--index", "2000", "--at", "1", "--entry"];
    let ended = mingpai(folder.path(), arguments).expect(0);
    assert!(ended.out.contains("2000  名称  螺栓\u{fffd}[2J"), "{}", ended.out);
    assert!(!ended.out.contains('\u{1b}'));
    let asked = &node.asked()[0];
    assert_eq!(asked.target, "/v1/resolve/88.999.1%2FA%2F1%20%23%3F?type=%E5%90%8D%E7%A7%B0&index=2000&at=1&entry=1");
    assert_eq!(asked.authorization, None, "nobody gave a key");
    let json = mingpai(folder.path(), ["resolve", "x", "--server", &url, "--json"]).expect(0).json();
    assert_eq!(json, record("A/1 #?"));
}

#[test]
fn unknown_and_gone_are_a_no_and_a_broken_node_is_no_answer() {
    let folder = folder_with_token();
    for (status, code) in [(404, 1), (410, 1), (400, 2), (401, 2), (500, 2)] {
        let node = PaperNode::start(move |_| problem(status, "some_code"));
        let url = node.url();
        let ended = mingpai(folder.path(), ["resolve", "88.999.1/A", "--server", &url]).expect(code);
        assert!(ended.err.contains("the title: the detail (some_code)"), "{}", ended.err);
        assert_eq!(node.asked().len(), 1, "{status} does not pass by asking again");
    }
    let node = PaperNode::start(|_| Reply::Text(200, "<html>no node</html>".to_owned()));
    mingpai(folder.path(), ["resolve", "88.999.1/A", "--server", &node.url()]).expect(2);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ended = mingpai(folder.path(), ["resolve", "88.999.1/A", "--server", &format!("http://{nobody}")]).expect(2);
    assert!(ended.err.contains("cannot reach"), "{}", ended.err);
}

const NEW_KEY: &str = "mpk_new_anothersecretpart_11111111";

fn making_keys() -> PaperNode {
    PaperNode::start(|_| {
        let key = json!({"id": "new", "key": NEW_KEY, "label": "ci", "role": "administrator", "expires": "2027-01-01T00:00:00Z"});
        Reply::Json(201, key)
    })
}

#[test]
fn a_new_key_lies_in_a_private_file_and_is_never_printed_unasked() {
    let (folder, node) = (folder_with_token(), making_keys());
    let url = node.url();
    let base = ["token", "--server", &url, "--bootstrap-file", "token", "--label", "ci", "--expires", "90d"];
    for more in [&["--out", "key"][..], &["--out", "key2", "--json"]] {
        let ended = mingpai(folder.path(), base.iter().chain(more)).expect(0);
        for said in [&ended.out, &ended.err] {
            assert!(!said.contains(NEW_KEY) && !said.contains(SECRET), "{said}");
        }
    }
    let file = folder.path().join("key");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{NEW_KEY}\n"));
    assert_eq!(mode_of(&file), 0o600);
    let sent: Json = serde_json::from_slice(&node.asked()[0].body).unwrap();
    assert_eq!(sent["label"], "ci");
    assert!(sent["expires"].as_str().unwrap().ends_with('Z'));
    let printed = mingpai(folder.path(), base.iter().chain(&["--print"])).expect(0);
    assert_eq!(printed.out, format!("{NEW_KEY}\n"));
}

#[test]
fn a_key_for_an_enterprise_names_its_role_and_its_prefixes() {
    let (folder, node) = (folder_with_token(), making_keys());
    let url = node.url();
    let base = ["token", "--server", &url, "--token-file", "token", "--print"];
    mingpai(folder.path(), base).expect(0);
    let bound = ["--role", "registrar", "--prefix", "88.118.8", "--prefix", "10.1000"];
    mingpai(folder.path(), base.iter().chain(&bound)).expect(0);
    let sent: Vec<Json> = node.asked().iter().map(|asked| serde_json::from_slice(&asked.body).unwrap()).collect();
    // An administrator's is what older nodes make, who know no other.
    assert_eq!(sent[0], json!({"label": "cli"}));
    assert_eq!(sent[1], json!({"label": "cli", "role": "registrar", "prefixes": ["88.118.8", "10.1000"]}));
    mingpai(folder.path(), base.iter().chain(&["--role", "king"])).expect(2);
    assert_eq!(node.asked().len(), 2);
}

#[test]
fn a_bootstrap_token_is_not_spent_where_the_key_would_have_no_place() {
    let (folder, node) = (folder_with_token(), making_keys());
    write_with_mode(&folder.path().join("key"), "an earlier key", 0o600);
    let url = node.url();
    let base = ["token", "--server", &url, "--bootstrap-file", "token", "--out"];
    for place in ["key", "absent/key"] {
        mingpai(folder.path(), base.iter().chain(&[place])).expect(2);
    }
    assert!(node.asked().is_empty());
    assert_eq!(std::fs::read_to_string(folder.path().join("key")).unwrap(), "an earlier key\n");
}

#[test]
fn a_refused_bootstrap_token_is_told_and_leaves_no_file() {
    let folder = folder_with_token();
    let node = PaperNode::start(|_| problem(401, "credential_refused"));
    let url = node.url();
    let ended =
        mingpai(folder.path(), ["token", "--server", &url, "--bootstrap-file", "token", "--out", "key"]).expect(2);
    assert!(ended.err.contains("used before"), "{}", ended.err);
    assert_eq!(names_in(folder.path()), ["token"]);
    // An answer that does not read must not show what it holds.
    let node = PaperNode::start(|_| Reply::Json(201, json!({"id": 5, "key": NEW_KEY})));
    let url = node.url();
    let ended = mingpai(folder.path(), ["token", "--server", &url, "--token-file", "token", "--out", "key"]).expect(2);
    assert!(!ended.err.contains(NEW_KEY) && !ended.err.contains(SECRET), "{}", ended.err);
    assert_eq!(names_in(folder.path()), ["token"]);
}

#[test]
fn a_refusal_says_nothing_twice_and_a_refused_key_is_named_by_node_and_file() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| {
        let status = if asked.authorization.is_some() { 401 } else { 400 };
        let whole = json!({"pointer": "", "code": "bad_check_digit", "detail": "the check digit is wrong"});
        Reply::Json(status, json!({"title": "t", "detail": "the check digit is wrong", "code": "c", "errors": [whole]}))
    });
    let url = node.url();
    let plain = mingpai(folder.path(), ["resolve", "x", "--server", &url]).expect(2);
    assert_eq!(plain.err.matches("the check digit is wrong").count(), 1, "{}", plain.err);
    let keyed = mingpai(folder.path(), ["resolve", "x", "--server", &url, "--token-file", "token"]).expect(2);
    let told = format!("{url} does not take the key in token");
    assert!(keyed.err.contains(&told), "{}", keyed.err);
}
