//! Like faults end like, whichever command meets them: the table of docs/operations.md, "Exit codes".

use std::path::Path;

use serde_json::json;

use crate::paper_node::{PaperNode, Reply, problem};
use crate::{Ended, folder_with_token, mingpai};

/// Nobody listens there.
const AWAY: &str = "http://127.0.0.1:9";

/// Commands that ask a node with a key, without server and key.
const KEYED: [&[&str]; 13] = [
    &["resolve", "88.999.1/A"],
    &["history", "88.999.1/A"],
    &["diff", "88.999.1/A", "1"],
    &["export", "--patience", "0"],
    &["import", "rows.ndjson", "--patience", "0"],
    &["import", "--undo", "0a1b", "--patience", "0"],
    &["import", "--watch", "0a1b", "--patience", "0"],
    &["bulk", "--prefix", "88.999.1", "--operation", "retire", "--patience", "0"],
    &["token", "--out", "made"],
    &["log"],
    &["reload"],
    &["licence", "end", "ID", "--reason", "revoked"],
    &["backup", "dest", "--patience", "0"],
];

fn keyed(folder: &Path, command: &[&str], server: &str, token: &str) -> Ended {
    std::fs::write(folder.join("rows.ndjson"), "{\"identifier\":\"88.999.1/A\"}\n").unwrap();
    mingpai(folder, [command, &["--server", server, "--token-file", token]].concat())
}

#[test]
fn a_file_that_is_not_there_is_a_2_and_is_told_before_any_node_is_asked() {
    let folder = folder_with_token();
    for command in KEYED {
        let ended = keyed(folder.path(), command, AWAY, "absent").expect(2);
        assert!(ended.err.contains("absent"), "{command:?}: {}", ended.err);
    }
    let node = ["--server", AWAY, "--token-file", "token"];
    for command in [
        // However long the node may be waited for: the file is looked for first.
        &[&["import", "absent", "--patience", "600"][..], &node].concat(),
        &[&["import", "rows.ndjson", "--mapping", "absent"][..], &node].concat(),
        &[&["bulk", "--prefix", "88.999.1", "--operation", "patch", "--patch", "absent"][..], &node].concat(),
        &[&["licence", "add", "absent"][..], &node].concat(),
        &vec!["token", "--bootstrap-file", "absent", "--server", AWAY],
        &vec!["licence", "sign", "absent", "--key", "absent"],
        &vec!["verify", "absent"],
        &vec!["verify", "rows.ndjson", "--jwks", "absent"],
        &vec!["verify", "rows.ndjson", "--policy", "absent"],
        &vec!["audit", AWAY, "--policy", "absent"],
        &vec!["audit", AWAY, "--tree", "audit", "--token-file", "absent"],
        &vec!["watch", AWAY, "--prefix", "88.999.1", "--secret-file", "absent", "--names", "rows.ndjson"],
        &vec!["mirror", AWAY, "--policy", "absent", "--data", "mirror"],
        &vec!["policy", "--vkey", "absent"],
        &vec!["witness", "--logs-file", "absent", "--data", "witness"],
        &vec!["serve", "--config", "absent"],
        &vec!["check-config", "--config", "absent"],
        &vec!["doctor", "--config", "absent"],
        &vec!["doctor", "--data", "absent"],
        &vec!["backup", "dest", "--data", "absent"],
        &vec!["backup", "verify", "absent"],
        &vec!["restore", "absent", "--data", "new"],
        &vec!["restore", "--data", "absent"],
        &vec!["restore", "--data", "absent", "--log-ended-here"],
    ] {
        let ended = mingpai(folder.path(), command).expect(2);
        assert!((ended.err + &ended.out).contains("absent"), "{command:?}");
    }
}

#[test]
fn a_node_that_is_away_is_a_2() {
    let folder = folder_with_token();
    for command in KEYED {
        let ended = keyed(folder.path(), command, AWAY, "token").expect(2);
        assert!(ended.err.contains("cannot reach"), "{command:?}: {}", ended.err);
    }
    for command in [
        &["audit", AWAY, "--patience", "0"][..],
        &["audit", AWAY, "--tree", "audit", "--token-file", "token", "--patience", "0"],
        &["mirror", AWAY, "--data", "mirror", "--once", "--patience", "0"],
        &["bench", "hashes", AWAY, "--patience", "0"],
        &["policy", "--server", AWAY],
        &["licence", "list", "--server", AWAY],
        &["verify", "rows.ndjson", "--server", AWAY],
    ] {
        mingpai(folder.path(), command).expect(2);
    }
}

#[test]
fn what_a_node_refuses_is_a_1_only_where_that_is_the_answer() {
    let folder = folder_with_token();
    for (status, code, wanted) in [
        // The key, the question, the node or the moment: the question stays open.
        (400, "query_invalid", 2),
        (401, "bad_credentials", 2),
        (403, "forbidden", 2),
        (404, "not_responsible", 2),
        (404, "route_unknown", 2),
        (409, "idempotency_running", 2),
        (421, "mirror_holds_no_names", 2),
        (422, "fields_invalid", 2),
        (500, "internal", 2),
        (503, "restored_undecided", 2),
        // It was looked at, and the answer is no.
        (404, "identifier_unknown", 1),
        (409, "licence_ended", 1),
        (410, "identifier_deleted", 1),
        (412, "version_mismatch", 1),
    ] {
        let node = PaperNode::start(move |_| problem(status, code));
        let url = node.url();
        for command in KEYED {
            // The first thing that it asks is whether the key may: 404 is its yes. A backup asks for an end, which is always there.
            if (command[0] == "import" && command[1] == "rows.ndjson") || command[0] == "backup" {
                continue;
            }
            let ended = keyed(folder.path(), command, &url, "token");
            assert_eq!(ended.code, wanted, "{command:?} {status} {code}: {}{}", ended.out, ended.err);
        }
    }
    // Some other server's 404 says nothing about a name.
    let other = PaperNode::start(|_| Reply::Json(404, json!({"message": "no such page"})));
    keyed(folder.path(), KEYED[0], &other.url(), "token").expect(2);
}
