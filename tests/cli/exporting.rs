//! `export` as tables, by filters and in several runs; `history` and `diff`.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value as Json, json};

use crate::paper_node::{PaperNode, Reply, problem};
use crate::{folder_with_token, mingpai, names_in};

const COLUMNS: &str =
    "identifier,status,version,template,registrant,2000 名称,aliases,links,registered,updated,more (JSON)";

fn record(name: &str) -> Json {
    json!({"identifier": format!("88.999.1/{name}"), "version": 1, "status": "active",
        "values": [{"index": 2000, "type": "名称", "data": {"format": "string", "value": "=螺栓"}, "ttl": 86400, "timestamp": "2026-11-23T15:24:37Z"}],
        "links": [], "aliases": [], "registered": "2026-11-23T15:24:37Z", "updated": "2026-11-23T15:24:37Z"})
}

fn row(name: &str) -> String {
    format!("88.999.1/{name},active,1,,,\"'=螺栓\",,,2026-11-23T15:24:37Z,2026-11-23T15:24:37Z,\r\n")
}

/// Three pages of two; the third is refused until it is mended.
fn breaking() -> (PaperNode, Arc<AtomicBool>) {
    let is_mended = Arc::new(AtomicBool::new(false));
    let mended = Arc::clone(&is_mended);
    let node = PaperNode::start(move |asked| {
        let page = |names: [&str; 2], next: Option<&str>| {
            Reply::Json(200, json!({"records": names.map(record), "next_cursor": next}))
        };
        if asked.path() == "/v1/export" {
            return Reply::Text(200, format!("{COLUMNS}\r\n"));
        }
        match asked.target.split("cursor=").nth(1) {
            None => page(["A", "B"], Some("c1")),
            Some("c1") => page(["C", "D"], Some("c2")),
            _ if mended.load(Ordering::SeqCst) => page(["E", "F"], None),
            _ => problem(500, "internal"),
        }
    });
    (node, is_mended)
}

fn cursors(node: &PaperNode) -> Vec<String> {
    let cursor = |target: &str| target.split("cursor=").nth(1).unwrap_or("").to_owned();
    node.asked().iter().filter(|asked| asked.path() == "/v1/records").map(|asked| cursor(&asked.target)).collect()
}

#[test]
fn an_export_that_broke_off_goes_on_in_a_later_run_to_the_same_bytes() {
    let rows: String = ["A", "B", "C", "D", "E", "F"].map(row).concat();
    for file in ["out.csv", "out.csv.gz", "out.ndjson"] {
        let (folder, (node, is_mended)) = (folder_with_token(), breaking());
        let url = node.url();
        let base = ["export", "--server", &url, "--token-file", "token", "--resume", "-o", file];
        mingpai(folder.path(), base).expect(2);
        let kept = names_in(folder.path());
        assert_eq!(kept, [format!("{file}.partial"), format!("{file}.partial.json"), "token".to_owned()]);
        // Another question is another export.
        let other = mingpai(folder.path(), base.iter().chain(&["--where", "status=active"])).expect(2);
        assert!(other.err.contains("another export"), "{}", other.err);
        // What came behind the last note is asked for again: here as if the run had been killed in the middle of a write.
        let partial = folder.path().join(format!("{file}.partial"));
        let mut text = std::fs::read(&partial).unwrap();
        text.extend_from_slice(b"half a row");
        std::fs::write(&partial, text).unwrap();
        is_mended.store(true, Ordering::SeqCst);
        let before = cursors(&node).len();
        let ended = mingpai(folder.path(), base).expect(0);
        assert!(ended.err.contains("going on after ") && ended.err.contains("6 records exported"), "{}", ended.err);
        assert_ne!(cursors(&node)[before], "", "it did not begin anew");
        assert_eq!(names_in(folder.path()), [file, "token"]);
        let mut whole = Vec::new();
        let opened = std::fs::File::open(folder.path().join(file)).unwrap();
        if file.ends_with(".gz") {
            flate2::read::MultiGzDecoder::new(opened).read_to_end(&mut whole).unwrap();
        } else {
            (&opened).read_to_end(&mut whole).unwrap();
        }
        let text = String::from_utf8(whole).unwrap();
        if file == "out.ndjson" {
            assert_eq!(text, ["A", "B", "C", "D", "E", "F"].map(|name| format!("{}\n", record(name))).concat());
        } else {
            assert_eq!(text, format!("\u{FEFF}{COLUMNS}\r\n{rows}"));
        }
    }
}

#[test]
fn a_part_that_is_not_what_was_noted_is_not_gone_on_with() {
    let (folder, (node, is_mended)) = (folder_with_token(), breaking());
    let url = node.url();
    let base = ["export", "--server", &url, "--token-file", "token", "--resume", "-o", "out.csv"];
    mingpai(folder.path(), base).expect(2);
    is_mended.store(true, Ordering::SeqCst);
    let partial = folder.path().join("out.csv.partial");
    std::fs::write(&partial, "short").unwrap();
    let ended = mingpai(folder.path(), base).expect(2);
    assert!(ended.err.contains("shorter"), "{}", ended.err);
    std::fs::remove_file(&partial).unwrap();
    mingpai(folder.path(), base).expect(0);
    assert!(std::fs::read_to_string(folder.path().join("out.csv")).unwrap().ends_with(&row("F")));
}

#[test]
fn a_filter_is_checked_here_and_asked_of_the_node_for_columns_and_rows() {
    let (folder, (node, is_mended)) = (folder_with_token(), breaking());
    is_mended.store(true, Ordering::SeqCst);
    let url = node.url();
    let base = ["export", "--server", &url, "--token-file", "token", "--format", "csv"];
    for wrong in ["status=x", "colour=red", "type", "registered_from=yesterday"] {
        let ended = mingpai(folder.path(), base.iter().chain(&["--where", wrong])).expect(2);
        assert!(ended.err.contains(wrong.split('=').next().unwrap()), "{}", ended.err);
    }
    assert!(node.asked().is_empty());
    let conditions = ["--where", "type=名,称", "--where", "updated_from=2026-11-01", "--no-bom"];
    let ended = mingpai(folder.path(), base.iter().chain(&conditions)).expect(0);
    assert!(ended.out.starts_with(COLUMNS) && ended.out.ends_with(&row("F")), "{}", ended.out);
    let filter = "&type=%E5%90%8D%2C%E7%A7%B0&updated_from=2026-10-31T16%3A00%3A00Z";
    assert!(node.asked().iter().all(|asked| asked.target.contains(filter)), "{:?}", node.asked());
    let xlsx =
        mingpai(folder.path(), ["export", "--server", &url, "--token-file", "token", "--format", "xlsx"]).expect(2);
    assert!(xlsx.err.contains("-o"), "{}", xlsx.err);
}

/// The other half is in tests/real_products.rs: a workbook of a real node, imported.
#[test]
fn a_workbook_is_whole_or_not_there() {
    let (folder, (node, is_mended)) = (folder_with_token(), breaking());
    let url = node.url();
    let base = ["export", "--server", &url, "--token-file", "token", "--resume", "-o", "out.xlsx"];
    mingpai(folder.path(), base).expect(2);
    assert_eq!(names_in(folder.path()), ["token"]);
    is_mended.store(true, Ordering::SeqCst);
    mingpai(folder.path(), base).expect(0);
    let workbook = std::fs::File::open(folder.path().join("out.xlsx")).unwrap();
    assert_eq!(zip::ZipArchive::new(workbook).unwrap().len(), 6);
    let proposed = mingpai(folder.path(), ["import", "out.xlsx", "--propose"]).expect(0).json();
    assert_eq!((&proposed["identifier"], &proposed["members"]["status"]), (&json!("{identifier}"), &json!("status")));
}

#[test]
fn an_exported_table_needs_no_mapping_and_another_does() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match asked.method.as_str() {
        "GET" => Reply::Json(200, json!({"records": []})),
        _ => problem(400, "query_invalid"),
    });
    let url = node.url();
    std::fs::write(folder.path().join("exported.csv"), format!("{COLUMNS}\r\n{}", row("A"))).unwrap();
    std::fs::write(folder.path().join("other.csv"), "编号,名称\n1,a\n").unwrap();
    let import =
        |file: &str| mingpai(folder.path(), ["import", file, "--server", &url, "--token-file", "token"]).expect(2);
    import("exported.csv");
    assert!(node.asked().iter().any(|asked| asked.target.contains("mapping=export")), "{:?}", node.asked());
    let before = node.asked().len();
    assert!(import("other.csv").err.contains("--mapping"));
    assert_eq!(node.asked().len(), before);
}

fn changing() -> PaperNode {
    PaperNode::start(|asked| {
        let value = |data: &str| json!({"index": 2000, "type": "名称", "data": {"format": "string", "value": data}, "ttl": 86400});
        let changes = json!([
            {"part": "status", "change": "changed", "before": "active", "after": "recalled"},
            {"part": "value", "index": 2000, "change": "changed", "before": value("螺栓"), "after": value("垫\u{1b}[2J圈")},
            {"part": "alias", "change": "added", "after": {"scheme": "gs1", "identifier": "01/09506000134352"}},
            {"part": "link", "change": "removed", "before": {"rel": "manual", "href": "https://example.com/", "title": "书"}},
        ]);
        let version = |number: u32, changes: Json| {
            json!({"version": number, "effect": "updated", "status": "recalled", "updated": "2026-11-23T15:24:37Z",
                "index": 9, "leaf": "x", "principal": "key-7", "job": "0f", "changes": changes})
        };
        match (asked.path(), asked.target.contains("cursor=")) {
            ("/v1/diff/88.999.1%2FA", _) => Reply::Json(
                200,
                json!({"identifier": "88.999.1/A",
                "from": {"version": 1, "status": "active", "updated": "2026-11-22T15:24:37Z"},
                "to": {"version": 3, "status": "recalled", "updated": "2026-11-23T15:24:37Z"}, "changes": changes}),
            ),
            ("/v1/history/88.999.1%2FA", false) => Reply::Json(
                200,
                json!({"identifier": "88.999.1/A", "versions": [version(3, changes), version(2, json!([]))], "next_cursor": "c1"}),
            ),
            ("/v1/history/88.999.1%2FA", true) => {
                Reply::Json(200, json!({"identifier": "88.999.1/A", "versions": [version(1, Json::Null)]}))
            }
            _ => problem(404, "identifier_unknown"),
        }
    })
}

#[test]
fn a_history_is_told_to_a_person_and_to_a_script() {
    let (folder, node) = (folder_with_token(), changing());
    let url = node.url();
    let base = ["history", "88.999.1/A", "--server", &url];
    let ended = mingpai(folder.path(), base).expect(0);
    let expected = "88.999.1/A
version 3  2026-11-23T15:24:37Z  changed  recalled  by key-7  in job 0f
    ~ status  active -> recalled
    ~ 2000 名称: 螺栓 -> 名称: 垫\u{fffd}[2J圈
    + alias  gs1 01/09506000134352
    - link  manual -> https://example.com/  书
version 2  2026-11-23T15:24:37Z  changed  recalled  by key-7  in job 0f
    (nothing that is visible changed)
version 1  2026-11-23T15:24:37Z  changed  recalled  by key-7  in job 0f
    (erased: what changed cannot be told)
";
    assert_eq!(ended.out, expected);
    let zh = mingpai(folder.path(), base.iter().chain(&["--lang", "zh"])).expect(0).out;
    assert!(zh.contains("版本 3  2026-11-23T15:24:37Z  更新  召回  操作者 key-7  任务 0f"), "{zh}");
    assert!(zh.contains("    ~ 状态  有效 (active) -> 召回 (recalled)"), "{zh}");
    let json = mingpai(folder.path(), base.iter().chain(&["--json"])).expect(0).json();
    assert_eq!(json["versions"].as_array().unwrap().len(), 3);
    assert!(json.get("next_cursor").is_none());
    let cut = mingpai(folder.path(), base.iter().chain(&["--limit", "2", "--json"])).expect(0).json();
    assert_eq!((cut["versions"].as_array().unwrap().len(), &cut["next_cursor"]), (2, &json!("c1")));
    mingpai(folder.path(), ["history", "88.999.1/B", "--server", &url]).expect(1);
}

#[test]
fn a_difference_is_told_to_a_person_and_to_a_script() {
    let (folder, node) = (folder_with_token(), changing());
    let url = node.url();
    let base = ["diff", "88.999.1/A", "1", "3", "--server", &url];
    let ended = mingpai(folder.path(), base).expect(0);
    assert!(
        ended.out.starts_with("88.999.1/A\nversion 1 (2026-11-22T15:24:37Z) -> version 3 (2026-11-23T15:24:37Z)\n")
    );
    assert!(ended.out.contains("    + alias  gs1 01/09506000134352\n"), "{}", ended.out);
    let zh = mingpai(folder.path(), base.iter().chain(&["--lang", "zh"])).expect(0).out;
    assert!(zh.contains("版本 1（2026-11-22T15:24:37Z）→ 版本 3"), "{zh}");
    assert_eq!(node.asked()[0].target, "/v1/diff/88.999.1%2FA?from=1&to=3");
    let json = mingpai(folder.path(), base.iter().chain(&["--json"])).expect(0).json();
    assert_eq!(json["changes"].as_array().unwrap().len(), 4);
    mingpai(folder.path(), ["diff", "88.999.1/B", "1", "--server", &url]).expect(1);
}

#[test]
fn an_export_and_a_change_in_bulk_have_the_same_conditions_and_say_the_same_of_a_wrong_one() {
    let folder = folder_with_token();
    let node = PaperNode::start(|asked| match asked.what().as_str() {
        "POST /v1/bulk" => Reply::Json(200, json!({"id": "0a1b", "state": "done", "kind": "bulk", "dry_run": true})),
        _ => Reply::Json(200, json!({"records": []})),
    });
    let url = node.url();
    let run = |command: &[&str], more: &[&str]| {
        mingpai(folder.path(), [command, more, &["--server", &url, "--token-file", "token"]].concat())
    };
    let (export, bulk): (&[&str], &[&str]) = (&["export"], &["bulk", "--operation", "retire"]);
    let written = [
        "--where",
        "prefix=88.999.1",
        "--where",
        "status=active",
        "--where",
        "status=suspended",
        "--where",
        "type=n",
        "--where",
        "updated_from=2026-11-01T00:00:00Z",
    ];
    let named = [
        "--prefix",
        "88.999.1",
        "--status",
        "active",
        "--status",
        "suspended",
        "--type",
        "n",
        "--updated-from",
        "2026-11-01T00:00:00Z",
    ];
    for conditions in [&written[..], &named] {
        run(export, conditions).expect(0);
        run(bulk, conditions).expect(0);
        let target = node.asked_for("GET /v1/records").pop().unwrap().target;
        let wanted = "&prefix=88.999.1&status=active&status=suspended&type=n&updated_from=2026-11-01T00%3A00%3A00Z";
        assert!(target.ends_with(wanted), "{target}");
        let sent: Json = serde_json::from_slice(&node.asked_for("POST /v1/bulk").pop().unwrap().body).unwrap();
        let filter = json!({"prefix": "88.999.1", "status": ["active", "suspended"], "type": ["n"],
            "updated_from": "2026-11-01T00:00:00Z"});
        assert_eq!((&sent["filter"], &sent["dry_run"]), (&filter, &json!(true)));
    }
    let before = node.asked().len();
    for wrong in [
        &["--where", "colour=red"][..],
        &["--status", "gone"],
        &["--where", "updated_from=yesterday"],
        &["--where", "status"],
        &["--prefix", "88.999.1", "--where", "prefix=88.999.2"],
    ] {
        let (one, other) = (run(export, wrong).expect(2).err, run(bulk, wrong).expect(2).err);
        assert!(one == other && one.contains("the condition "), "{one}{other}");
    }
    assert!(run(bulk, &["--status", "active"]).expect(2).err.contains("--where prefix="));
    assert_eq!(node.asked().len(), before, "nothing was asked");
}
