//! `import`: what is sent, what is watched, what is left behind.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::paper_node::{Asked, PaperNode, Reply, problem};
use crate::{SECRET, folder_with_token, mingpai, mingpai_reading, names_in, write_with_mode};

const ROWS: &str = "{\"identifier\":\"88.999.1/A\"}\n{\"identifier\":\"88.999.1/B\"}\n";

fn job(state: &str, failed: u64) -> Reply {
    Reply::Json(
        if state == "running" { 202 } else { 200 },
        json!({"id": "0a1b", "state": state, "bytes": 10, "bytes_done": 10, "dry_run": false, "atomic": false,
            "rows": {"total": 2, "registered": 2 - failed, "updated": 0, "skipped": 0, "failed": failed}}),
    )
}

const TOLD: &str = "{\"line\":2,\"column\":\"code\",\"code\":\"identifier_bad_check_digit\",\"message\":\"wrong check digit\",\"row\":\"{}\"}\n";

/// A node whose imports end with so many failed rows, after one look at a running job.
fn importing(failed: u64) -> PaperNode {
    PaperNode::start(move |asked| answer(asked, failed))
}

fn answer(asked: &Asked, failed: u64) -> Reply {
    match asked.what().as_str() {
        "GET /v1/imports/0" => problem(404, "import_unknown"),
        "POST /v1/imports" => job("running", 0),
        "GET /v1/imports/0a1b" if asked.before == 0 => job("running", 0),
        "GET /v1/imports/0a1b" => job("done", failed),
        "GET /v1/imports/0a1b/errors" if asked.accept.as_deref() == Some("text/csv") => {
            Reply::Text(200, "code,line\r\n'007,2\r\n".to_owned())
        }
        "GET /v1/imports/0a1b/errors" => Reply::Text(200, TOLD.to_owned()),
        other => panic!("nobody asks for {other}"),
    }
}

#[test]
fn a_file_is_sent_whole_and_all_rows_registered_is_a_yes() {
    let (folder, node) = (folder_with_token(), importing(0));
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    let ended = mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "token"]).expect(0);
    assert!(ended.out.contains("2 rows: 2 registered, 0 updated, 0 skipped, 0 failed"), "{}", ended.out);
    let sent = node.asked_for("POST /v1/imports");
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].body, ROWS.as_bytes());
    assert_eq!(sent[0].target, "/v1/imports?on_conflict=error");
    assert_eq!(sent[0].authorization.as_deref(), Some(format!("Bearer {SECRET}").as_str()));
    assert_eq!(sent[0].accept_language.as_deref(), Some("en"));
    assert_eq!(names_in(folder.path()), ["rows.ndjson", "token"], "no error file where no row failed");
}

#[test]
fn failed_rows_are_a_no_and_lie_in_the_error_file() {
    let (folder, node) = (folder_with_token(), importing(1));
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    let arguments = ["import", "rows.ndjson", "--server", &url, "--token-file", "token", "--json"];
    let ended = mingpai(folder.path(), arguments).expect(1);
    assert_eq!(ended.json()["rows"]["failed"], 1);
    assert_eq!(ended.json()["errors_file"], "rows.errors.ndjson");
    let rejected = std::fs::read_to_string(folder.path().join("rows.errors.ndjson")).unwrap();
    let row: serde_json::Value = serde_json::from_str(&rejected).unwrap();
    assert_eq!((&row["line"], &row["code"]), (&json!(2), &json!("identifier_bad_check_digit")));
    assert!(!ended.out.contains(SECRET) && !ended.err.contains(SECRET));
}

#[test]
fn a_table_is_sent_as_it_is_and_its_error_file_is_one_for_spreadsheets() {
    let (folder, node) = (folder_with_token(), importing(1));
    let gbk = b"\xB1\xE0\xBA\xC5;name\n1;a\n";
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(gbk).unwrap();
    std::fs::write(folder.path().join("rows.csv.gz"), encoder.finish().unwrap()).unwrap();
    std::fs::write(folder.path().join("rows"), gbk).unwrap();
    std::fs::write(folder.path().join("map.json"), r#"{"identifier":"88.999.1/{编号}"}"#).unwrap();
    let url = node.url();
    let base = ["--mapping", "map.json", "--server", &url, "--token-file", "token"];
    let ended = mingpai(folder.path(), ["import", "rows.csv.gz"].iter().chain(&base)).expect(1);
    assert!(ended.err.contains("wrong check digit"), "{}", ended.err);
    let rejected = std::fs::read(folder.path().join("rows.errors.csv")).unwrap();
    assert_eq!(rejected, b"\xEF\xBB\xBFcode,line\r\n'007,2\r\n", "Excel needs the mark");
    let said = ["--format", "csv", "--encoding", "gb18030", "--separator", ";", "--errors", "e.ndjson"];
    mingpai(folder.path(), ["import", "rows"].iter().chain(&base).chain(&said)).expect(1);
    assert!(std::fs::read_to_string(folder.path().join("e.ndjson")).unwrap().starts_with("{\"line\":2"));
    let sent = node.asked_for("POST /v1/imports");
    assert!(sent[1].target.contains("&encoding=gb18030&separator=%3B&"), "{}", sent[1].target);
    for sent in sent {
        assert_eq!((sent.content_type.as_deref(), sent.body.as_slice()), (Some("text/csv"), &gbk[..]));
    }
    for wrong in [&["import", "rows.csv.gz"][..], &["import", "rows.ndjson", "--encoding", "gbk"]] {
        mingpai(folder.path(), wrong.iter().chain(&["--server", &url, "--token-file", "token"])).expect(2);
    }
}

#[test]
fn a_mapping_is_proposed_without_a_node() {
    let folder = folder_with_token();
    let mut text = "编号,名称,数量\n".to_owned();
    for at in 0..50_000 {
        text.push_str(&format!("A{at},铭牌,{at}\n"));
    }
    std::fs::write(folder.path().join("parts.csv"), &text).unwrap();
    let ended = mingpai(folder.path(), ["import", "parts.csv", "--propose", "--prefix", "88.118.8"]).expect(0);
    let proposed = ended.json();
    assert_eq!(proposed["identifier"], "88.118.8/{编号}");
    assert_eq!(proposed["values"][1], json!({"index": 2001, "type": "数量", "from": "数量", "format": "integer"}));
    assert!(ended.err.contains("read as utf-8, 3 columns"), "{}", ended.err);
    std::fs::write(folder.path().join("map.json"), &ended.out).unwrap();
    let node = importing(0);
    let url = node.url();
    let base = ["import", "parts.csv", "--mapping", "map.json", "--server", &url, "--token-file", "token"];
    mingpai(folder.path(), base).expect(0);
    for wrong in [&["import", "rows.ndjson", "--propose"][..], &["import", "absent.csv", "--propose"]] {
        mingpai(folder.path(), wrong).expect(2);
    }
}

#[test]
fn a_packed_file_is_unpacked_on_the_way_and_so_is_standard_input() {
    let (folder, node) = (folder_with_token(), importing(0));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(ROWS.as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let url = node.url();
    // The name says nothing: the first bytes do.
    std::fs::write(folder.path().join("rows"), &packed).unwrap();
    mingpai(folder.path(), ["import", "rows", "--server", &url, "--token-file", "token"]).expect(0);
    mingpai_reading(folder.path(), ["import", "-", "--server", &url, "--token-file", "token"], &packed).expect(0);
    for sent in node.asked_for("POST /v1/imports") {
        assert_eq!(sent.body, ROWS.as_bytes());
    }
}

#[test]
fn options_and_mapping_travel_in_the_query() {
    let (folder, node) = (folder_with_token(), importing(0));
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let mapping = r#"{"identifier": "88.999.1/{编号}", "values": []}"#;
    std::fs::write(folder.path().join("map.json"), mapping).unwrap();
    let url = node.url();
    let base = ["import", "rows.ndjson", "--server", &url, "--token-file", "token"];
    let more = ["--mapping", "map.json", "--on-conflict", "update", "--dry-run", "--atomic"];
    mingpai(folder.path(), base.iter().chain(&more)).expect(0);
    let target = &node.asked_for("POST /v1/imports")[0].target;
    assert!(target.starts_with("/v1/imports?on_conflict=update&dry_run=true&atomic=true&mapping=%7B"), "{target}");
    assert!(target.contains("%E7%BC%96%E5%8F%B7"), "{target}");
}

#[test]
fn what_cannot_be_imported_is_said_before_anything_is_sent() {
    let (folder, node) = (folder_with_token(), importing(0));
    let url = node.url();
    std::fs::write(folder.path().join("table.csv"), "code,name\n1,a\n").unwrap();
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    std::fs::write(folder.path().join("map.json"), r#"{"identifier":"x","vlaues":[]}"#).unwrap();
    let base = ["--server", &url, "--token-file", "token"];
    for first in [
        &["import", "table.csv"][..],
        &["import", "absent.ndjson"],
        &["import", "rows.ndjson", "--mapping", "map.json"],
        &["import", "rows.ndjson", "--on-conflict", "overwrite"],
        &["import", "rows.ndjson", "--errors", "absent/rejected.csv"],
    ] {
        mingpai(folder.path(), first.iter().chain(&base)).expect(2);
    }
    assert!(node.asked_for("POST /v1/imports").is_empty());
}

#[test]
fn a_file_that_unpacks_to_too_much_is_given_up() {
    let (folder, node) = (folder_with_token(), importing(0));
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"{}\n").unwrap();
    encoder.write_all(&vec![b' '; 8 << 20]).unwrap();
    std::fs::write(folder.path().join("bomb.gz"), encoder.finish().unwrap()).unwrap();
    let url = node.url();
    let arguments = ["import", "bomb.gz", "--server", &url, "--token-file", "token", "--unpacked-limit", "1000000"];
    let ended = mingpai(folder.path(), arguments).expect(2);
    assert!(ended.err.contains("unpacked-limit"), "{}", ended.err);
}

#[test]
fn an_interrupted_job_is_a_no_that_says_how_to_go_on() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match asked.what().as_str() {
        "GET /v1/imports/0a1b" => Reply::Json(
            200,
            json!({"id": "0a1b", "state": "failed", "rows": {"total": 2, "registered": 1, "updated": 0, "skipped": 0, "failed": 0},
                "failure": {"code": "import_interrupted", "detail": "the node stopped during the import"}}),
        ),
        _ => answer(asked, 0),
    });
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    let ended = mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "token"]).expect(1);
    assert!(ended.err.contains("import_interrupted") && ended.err.contains("--on-conflict skip"), "{}", ended.err);
}

#[test]
fn a_node_that_is_away_for_a_moment_is_waited_for() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match (asked.what().as_str(), asked.before) {
        ("GET /v1/imports/0a1b", 0) => Reply::Break("{\"id\":".to_owned()),
        ("GET /v1/imports/0a1b", 1) => problem(503, "draining"),
        _ => answer(asked, 0),
    });
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "token"]).expect(0);
    assert!(node.asked_for("GET /v1/imports/0a1b").len() >= 3);
}

#[test]
fn a_lost_answer_sends_the_file_again_under_the_same_idempotency_key() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match (asked.what().as_str(), asked.before) {
        ("POST /v1/imports", 0) => Reply::Break("{".to_owned()),
        _ => answer(asked, 0),
    });
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "token"]).expect(0);
    let sent = node.asked_for("POST /v1/imports");
    assert_eq!(sent.len(), 2);
    assert!(sent[0].idempotency_key.is_some());
    assert_eq!(sent[0].idempotency_key, sent[1].idempotency_key);
    assert_eq!(sent[0].body, sent[1].body);
}

#[test]
fn a_token_that_everybody_can_read_is_not_used_and_never_shown() {
    let (folder, node) = (folder_with_token(), importing(0));
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    write_with_mode(&folder.path().join("open"), SECRET, 0o644);
    let url = node.url();
    let ended = mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "open"]).expect(2);
    assert!(ended.err.contains("chmod 600"), "{}", ended.err);
    assert!(node.asked().is_empty());
    for code in [401, 403] {
        let node = PaperNode::start(move |_| problem(code, "credential_refused"));
        let url = node.url();
        let ended =
            mingpai(folder.path(), ["import", "rows.ndjson", "--server", &url, "--token-file", "token"]).expect(2);
        assert!(ended.err.contains("the title: the detail (credential_refused)"), "{}", ended.err);
        assert!(ended.err.contains("/a: must be text"), "{}", ended.err);
        assert!(!ended.err.contains(SECRET) && !ended.out.contains(SECRET));
        assert!(node.asked_for("POST /v1/imports").is_empty(), "nothing is sent to who refuses the key");
    }
}

#[test]
fn a_job_whose_node_stays_away_is_neither_a_yes_nor_a_no() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match asked.what().as_str() {
        "GET /v1/imports/0a1b" => Reply::Break("{".to_owned()),
        _ => answer(asked, 0),
    });
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let url = node.url();
    let base = ["import", "rows.ndjson", "--server", &url, "--token-file", "token"];
    let ended = mingpai(folder.path(), base.iter().chain(&["--patience", "1"])).expect(2);
    assert!(ended.err.contains("0a1b is not known") && ended.err.contains("--on-conflict skip"), "{}", ended.err);
}

/// README: the rejected rows are mended and imported again, and whoever runs that twice names the same file twice.
#[test]
fn the_imported_file_is_never_replaced_by_its_own_rejected_rows() {
    let folder = folder_with_token();
    let mended = "编号\n1\n2\n";
    let file = folder.path().join("rejected.csv");
    std::fs::write(folder.path().join("map.json"), r#"{"identifier":"88.999.1/{编号}"}"#).unwrap();
    std::os::unix::fs::symlink(&file, folder.path().join("link.csv")).unwrap();
    let run = |node: &PaperNode, more: &[&str]| {
        std::fs::write(&file, mended).unwrap();
        let url = node.url();
        let base = ["import", "--mapping", "map.json", "--server", &url, "--token-file", "token"];
        let ended = mingpai(folder.path(), base.iter().chain(more));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), mended, "{more:?}: {}", ended.err);
        ended
    };
    let failed = |rows: u64| {
        PaperNode::start(move |asked| match asked.what().as_str() {
            "GET /v1/imports/0a1b" => job("failed", rows),
            _ => answer(asked, rows),
        })
    };
    for more in [&["rejected.csv", "--errors", "rejected.csv"][..], &["link.csv", "--errors", "./rejected.csv"]] {
        run(&failed(0), more).expect(1);
        run(&failed(1), more).expect(1);
        run(&importing(0), more).expect(0);
        run(&importing(1), &[more, &["--dry-run"]].concat()).expect(1);
    }
    let ended = run(&importing(1), &["rejected.csv", "--errors", "rejected.csv"]).expect(1);
    assert!(ended.err.contains("rejected.errors.csv"), "{}", ended.err);
    let rejected = std::fs::read(folder.path().join("rejected.errors.csv")).unwrap();
    assert_eq!(rejected, b"\xEF\xBB\xBFcode,line\r\n'007,2\r\n");
}

#[test]
fn rejected_rows_of_an_earlier_run_are_cleared_only_by_rows_that_were_registered() {
    let folder = folder_with_token();
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let left = folder.path().join("left.ndjson");
    let run = |node: &PaperNode, more: &[&str]| {
        std::fs::write(&left, TOLD).unwrap();
        let url = node.url();
        let base = ["import", "rows.ndjson", "--errors", "left.ndjson", "--server", &url, "--token-file", "token"];
        mingpai(folder.path(), base.iter().chain(more));
        std::fs::read_to_string(&left).unwrap()
    };
    let failed = PaperNode::start(|asked| match asked.what().as_str() {
        "GET /v1/imports/0a1b" => job("failed", 0),
        _ => answer(asked, 0),
    });
    assert_eq!(run(&failed, &[]), TOLD);
    assert_eq!(run(&importing(0), &["--dry-run"]), TOLD);
    assert_eq!(run(&importing(0), &[]), "");
}

#[test]
fn a_dry_run_says_first_that_nothing_was_written_and_what_would_become_of_the_rows() {
    let folder = folder_with_token();
    std::fs::write(folder.path().join("rows.ndjson"), ROWS).unwrap();
    let run = |more: &[&str]| {
        let node = PaperNode::start(|asked| match asked.what().as_str() {
            "GET /v1/imports/0" => problem(404, "import_unknown"),
            _ => Reply::Json(
                200,
                json!({"id": "0a1b", "state": "done", "dry_run": true, "kind": "import",
                    "rows": {"total": 2, "registered": 1, "updated": 1, "skipped": 0, "failed": 0}}),
            ),
        });
        let url = node.url();
        let base = ["import", "rows.ndjson", "--dry-run", "--server", &url, "--token-file", "token"];
        mingpai(folder.path(), base.iter().chain(more)).expect(0).out
    };
    let told = run(&[]);
    let wanted = "dry run, nothing was written; of 2 rows 1 would be registered, 1 updated, 0 skipped, 0 would fail";
    assert!(told.contains(wanted), "{told}");
    assert!(run(&["--json"]).contains("\"dry_run\": true"));
}

#[test]
fn a_change_in_bulk_names_the_records_that_would_fail_for_it_has_no_file_with_lines() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match asked.what().as_str() {
        "GET /v1/imports/0a1b/errors" => Reply::Text(
            200,
            json!({"line": 2, "code": "status_change_refused", "message": "it was recalled",
                "row": "{\"identifier\":\"88.999.1/B\",\"if_version\":3}"})
            .to_string()
                + "\n",
        ),
        _ => Reply::Json(
            200,
            json!({"id": "0a1b", "state": "done", "dry_run": true, "kind": "bulk", "sample": ["88.999.1/A"],
                "rows": {"total": 2, "registered": 0, "updated": 1, "skipped": 0, "failed": 1}}),
        ),
    });
    let (url, retire) = (node.url(), ["--prefix", "88.999.1", "--operation", "retire", "--token-file", "token"]);
    let ended = mingpai(folder.path(), ["bulk", "--server", &url].iter().chain(&retire)).expect(1);
    assert!(ended.err.contains("  88.999.1/B: it was recalled (status_change_refused)"), "{}", ended.err);
    assert!(!ended.err.contains("line 2"), "{}", ended.err);
    assert!(ended.out.contains("matching: 2 records; 1 would be changed"), "{}", ended.out);
}
