//! A node as its operator sees it: lines of the log, a configuration that is read again, a service manager that is told.

#![allow(clippy::unwrap_used, reason = "a test fails where it finds something")]

mod node;

use std::collections::HashSet;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use node::{Node, put_pair};
use serde_json::{Value as Json, json};

const HIDDEN: &str = "成本八十八元";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// One prefix with an open log, one with a blinded one.
fn two_prefixes(log: &str) -> String {
    format!(
        "[node]\ndev = true\ndata = \"data\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[log]\nformat = \"json\"\n{log}\n\
         [[prefixes]]\nprefix = \"88.999\"\nlog = \"open\"\n[[prefixes]]\nprefix = \"88.999.1\"\n"
    )
}

fn with_hidden_value() -> Json {
    json!({"values": [{"index": 1, "type": "名称", "data": "螺栓"},
                      {"index": 2, "type": "成本", "data": HIDDEN, "visibility": "owner"}]})
}

#[test]
fn a_slow_request_is_told_with_its_stages_and_without_what_is_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = Node::start(folder.path(), &two_prefixes("slow_microseconds = 1"));
    let record = with_hidden_value().to_string();
    for (id, name) in [("put-open", "88.999/OPEN-1"), ("put-blinded", "88.999.1/BLINDED-1")] {
        let path = format!("/v1/records/{name}");
        let answer = node.send("PUT", &path, &[("x-request-id", id), ("if-none-match", "*")], Some(&record));
        assert_eq!(answer.status, 201, "{}", answer.body);
        let line = node.line_of(id, "slow request");
        for stage in ["parse", "guard", "store", "journal", "sign", "service", "encode"] {
            assert!(line[format!("{stage}_micros")].is_u64(), "{stage}: {line}");
        }
        let waits = ["queue_micros", "journal_micros"].map(|part| line[part].as_u64().unwrap_or_default());
        assert!(waits.iter().sum::<u64>() <= line["store_micros"].as_u64().unwrap() + 1, "{line}");
        let parts = ["store_micros", "sign_micros"].map(|part| line[part].as_u64().unwrap());
        assert!(parts.iter().sum::<u64>() <= line["service_micros"].as_u64().unwrap() + 1, "{line}");
        assert_eq!((&line["level"], &line["method"], &line["status"]), (&json!("WARN"), &json!("PUT"), &json!(201)));
    }
    // The miss, with every stage; then the hit, of which only the cache knows.
    let ask = |id: &str, name: &str| {
        let answer = node.send("GET", &format!("/v1/resolve/{name}"), &[("x-request-id", id)], None);
        assert_eq!(answer.status, 200);
    };
    ask("miss-open", "88.999/OPEN-1");
    ask("hit-open", "88.999/OPEN-1");
    ask("miss-blinded", "88.999.1/blinded-1");
    ask("hit-blinded", "88.999.1/BLINDED-1");
    let missed = node.line_of("miss-open", "slow request");
    for stage in ["parse", "guard", "cache", "store", "encode", "service"] {
        assert!(missed[format!("{stage}_micros")].is_u64(), "{stage}: {missed}");
    }
    for stage in ["sign", "queue", "journal"] {
        assert!(missed[format!("{stage}_micros")].is_null(), "nothing is signed or written when it is read: {missed}");
    }
    let hit = node.line_of("hit-open", "slow request");
    assert_eq!((&hit["outcome"], &hit["total_micros"]), (&json!("hit"), &hit["cache_micros"]));
    assert_eq!(hit["route"], "/v1/resolve/{*identifier}");
    for id in ["miss-open", "hit-open"] {
        assert_eq!(node.line_of(id, "slow request")["identifier"], "88.999/OPEN-1");
    }
    // What the public log hides stands in no line, and yet whoever holds the record finds its lines.
    let entry = node.send("GET", "/v1/resolve/88.999.1/BLINDED-1?entry=1", &[], None).json();
    let sid = node::payload_of(entry["entry"].as_str().unwrap())["sid"].clone();
    for id in ["miss-blinded", "hit-blinded", "put-blinded"] {
        let line = node.line_of(id, "slow request");
        assert_eq!((&line["sid"], &line["prefix"]), (&sid, &json!("88.999.1")), "{line}");
        assert!(line["identifier"].is_null());
    }
    let refused = node.send("GET", "/v1/resolve/88.118.8/SOMEBODY-ELSES", &[("x-request-id", "foreign")], None);
    assert_eq!(refused.status, 404);
    assert!(node.line_of("foreign", "slow request")["prefix"].is_null());
    let all = node.log_so_far();
    for hidden in [HIDDEN, "BLINDED-1", "blinded-1", "SOMEBODY-ELSES", node.key.as_str()] {
        assert!(!all.contains(hidden), "{hidden} stands in the log:\n{all}");
    }
    assert!(node.metric("mingpai_slow_requests_total") >= 7);
    node.stop();
}

#[test]
fn threshold_filter_and_request_lines_are_changed_at_run_time() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &two_prefixes("slow_microseconds = 0"));
    let ask = |id: &str| node.send("GET", "/v1/resolve/88.999.1/NEV-VEH-2026-000003", &[("x-request-id", id)], None);
    let set = |arguments: &[&str]| {
        let (code, out) = node.command(&[&["log", "--json"], arguments].concat());
        assert_eq!(code, Some(0), "{out}");
        serde_json::from_str::<Json>(&out).unwrap()
    };
    ask("silent-1");
    set(&["--slow-microseconds", "1"]);
    ask("told-1");
    node.line_of("told-1", "slow request");
    set(&["--slow-microseconds", "0"]);
    ask("silent-2");
    let set_to = set(&["--requests", "info"]);
    assert_eq!((&set_to["requests"], &set_to["slow_microseconds"]), (&json!("info"), &json!(0)));
    ask("told-2");
    assert_eq!(node.line_of("told-2", "request")["level"], "INFO");
    set(&["--filter", "mingpai=warn"]);
    ask("silent-3");
    set(&["--requests", "warn"]);
    ask("told-3");
    assert_eq!(node.line_of("told-3", "request")["level"], "WARN");
    let told: HashSet<String> =
        node.lines_so_far().iter().filter_map(|line| line["span"]["request_id"].as_str().map(str::to_owned)).collect();
    for silent in ["silent-1", "silent-2", "silent-3"] {
        assert!(!told.contains(silent), "{silent} has a line");
    }
    let (code, said) = node.command(&["log", "--filter", "mingpai=loud"]);
    assert!(code == Some(2) && said.contains("config_invalid"), "{said}");
}

#[test]
fn a_line_names_the_callers_trace_and_a_problem_its_request() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(folder.path(), &two_prefixes("requests = \"info\""));
    let parent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let lost = |id: &str, parent: &str| {
        node.send("GET", "/v1/resolve/88.999.1/LOST", &[("x-request-id", id), ("traceparent", parent)], None)
    };
    assert_eq!(lost("traced-miss", &parent).json()["request_id"], "traced-miss");
    assert_eq!(lost("traced-hit", &parent).json()["request_id"], "traced-hit");
    for id in ["traced-miss", "traced-hit"] {
        let line = node.line_of(id, "request");
        assert_eq!((&line["span"]["trace_id"], &line["outcome"]), (&json!(TRACE), &json!("unknown")), "{line}");
    }
    lost("untraced", "00-nonsense");
    assert!(node.line_of("untraced", "request")["span"]["trace_id"].is_null());
    // Our own command line hands on where it stands itself.
    let (code, _) = node.command_in(&["resolve", "88.999.1/LOST"], &[("TRACEPARENT", &parent.replace("3331", "3332"))]);
    assert_eq!(code, Some(1));
    node.until(|line| {
        line["span"]["trace_id"] == TRACE
            && line["span"]["request_id"] != "traced-miss"
            && line["span"]["request_id"] != "traced-hit"
    });
}

/// Outside `--dev`, where SIGHUP asks to read again.
fn service(log: &str, more: &str) -> String {
    format!(
        "[node]\niss = \"urn:x:1\"\ndata = \"data\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[log]\nformat = \"json\"\n{log}\n\
         [tls]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n{more}"
    )
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("mingpai.toml"), text).unwrap();
}

#[test]
fn a_reload_takes_all_or_nothing_and_tells_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    put_pair(folder.path());
    let mut node = Node::start(folder.path(), &service("", ""));
    let slow = |node: &Node| {
        let (code, out) = node.command(&["log", "--json"]);
        assert_eq!(code, Some(0), "{out}");
        serde_json::from_str::<Json>(&out).unwrap()["slow_microseconds"].as_u64().unwrap()
    };
    let expiry = |node: &Node| node.metric("mingpai_tls_certificate_expiry_timestamp_seconds");
    let (first, as_started) = (slow(&node), expiry(&node));
    assert_eq!(first, 100_000);

    // A fault anywhere: neither the threshold nor the new certificate is taken, by neither way.
    put_pair(folder.path());
    write(folder.path(), &service("slow_microseconds = 5", "[limits]\njson_depth = 0\n"));
    node.signal("-HUP");
    node.until(|line| line["message"].as_str().is_some_and(|text| text.contains("nothing of it was taken")));
    let (code, said) = node.command(&["reload"]);
    assert!(code == Some(2) && said.contains("limits.json_depth") || said.contains("/limits/json_depth"), "{said}");
    assert_eq!((slow(&node), expiry(&node)), (first, as_started));
    // Broken files of TLS likewise.
    let key = folder.path().join("key.pem");
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, "").unwrap();
    write(folder.path(), &service("slow_microseconds = 5", ""));
    let (code, said) = node.command(&["reload"]);
    assert!(code == Some(2) && said.contains("/tls/key"), "{said}");
    assert_eq!(slow(&node), first);
    std::fs::write(&key, good).unwrap();

    // All good: taken at once, and what is not taken is told.
    write(folder.path(), &service("slow_microseconds = 5", "[limits]\njson_depth = 9\n"));
    let (code, said) = node.command(&["reload", "--json"]);
    assert_eq!(code, Some(1), "{said}");
    let done: Json = serde_json::from_str(&said).unwrap();
    assert_eq!(done["applied"], json!([{"key": "log.slow_microseconds", "from": "100000", "to": "5"}]));
    assert_eq!(done["restart_needed"], json!([{"key": "limits.json_depth", "from": "32", "to": "9"}]));
    assert_eq!(done["certificate"], "replaced");
    assert_eq!(slow(&node), 5);
    // What waits is told until it is done or taken back.
    write(folder.path(), &service("slow_microseconds = 6", "[limits]\njson_depth = 9\n"));
    node.signal("-HUP");
    node.until(|line| line["keys"] == "limits.json_depth");
    node.until(|line| line["message"] == "the configuration was read again");
    assert_eq!(slow(&node), 6);
    write(folder.path(), &service("slow_microseconds = 6", ""));
    let (code, said) = node.command(&["reload"]);
    assert!(code == Some(0) && said.contains("certificate is unchanged"), "{said}");
    std::fs::remove_file(folder.path().join("mingpai.toml")).unwrap();
    let (code, said) = node.command(&["reload"]);
    assert!(code == Some(2) && said.contains("mingpai.toml"), "{said}");
    assert_eq!(slow(&node), 6);
    node.stop();
}

#[test]
fn the_service_manager_hears_when_the_node_serves_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let manager = UnixDatagram::bind(&socket).unwrap();
    let mut node = Node::start_in(folder.path(), &two_prefixes(""), &[("NOTIFY_SOCKET", socket.to_str().unwrap())]);
    let heard = || {
        let mut bytes = [0; 512];
        let length = manager.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let opening = heard();
    assert!(opening.contains("EXTEND_TIMEOUT_USEC="), "{opening}");
    assert!(heard().starts_with("READY=1\n"));
    assert_eq!(node.send("GET", "/readyz", &[], None).status, 200);
    node.signal("-TERM");
    assert!(heard().starts_with("STOPPING=1\n"));
    assert_eq!(node.wait(), Some(0));
}
