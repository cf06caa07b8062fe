//! A day of a node, over its sockets: two enterprises apply, one is returned and mends, two reviewers agree, a prefix and its keys
//! follow, a machine signs in and registers ten thousand records, two fields are shared with a partner for an hour, the prefix is
//! suspended and restored; and an auditor reads the whole story afterwards, and verifies it.
//!
//! Not in it, for it is not built: the upper node.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod program;

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use program::Node;
use serde_json::{Value as Json, json};

const RECORDS: usize = 10_000;
const PDF: &str = "%PDF-1.4\n1 0 obj << /Type /Catalog >> endobj\n% THE-PICTURE\nstartxref\n9\n%%EOF\n";
/// What is nobody's to read on the disk, in the log or in a backup.
const PERSONAL: [&str; 5] = ["350203199001011234", "13900001234", "li.contact@example.cn", "王法人", "THE-PICTURE"];

struct Day {
    node: Node,
    folder: tempfile::TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Day {
    fn start() -> Day {
        let folder = tempfile::tempdir().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        program.env("MINGPAI_FILING_APPROVALS", "2");
        let node = Node::start_by(program, &folder.path().join("data"));
        Day { node, folder, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A command of the program with a key's file; what it printed.
    fn run(&self, token: &str, arguments: &[&str]) -> String {
        let mut command = self.node.command(arguments);
        if !token.is_empty() {
            command.args(["--token-file", &self.path(token)]);
        }
        let output = command.current_dir(self.folder.path()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {out}{err}");
        out.into_owned()
    }

    /// A key in a file of this name, made by the key in another.
    fn key(&self, maker: &str, name: &str, more: &[&str]) {
        let out = self.path(name);
        self.run(maker, &[&["token", "--label", name, "--out", &out], more].concat());
    }

    async fn ask(&self, who: &str, verb: &str, target: &str, body: impl Into<Sent>) -> (u16, Json) {
        let token = fs::read_to_string(self.path(who)).unwrap();
        let Sent { media_type, bytes } = body.into();
        let request = Request::builder()
            .method(verb)
            .uri(format!("{}{target}", self.node.url))
            .header("authorization", format!("Bearer {}", token.trim()))
            .header("content-type", media_type)
            .body(Full::new(bytes))
            .unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), serde_json::from_slice(&body).unwrap_or(Json::Null))
    }

    /// The same, which must succeed.
    async fn does(&self, who: &str, verb: &str, target: &str, body: impl Into<Sent>) -> Json {
        let (status, answer) = self.ask(who, verb, target, body).await;
        assert!((200..300).contains(&status), "{who} {verb} {target}: {status} {answer}");
        answer
    }

    /// A filing with its certificate's image, submitted.
    async fn filed(&self, who: &str, prefix: &str, name: &str) -> String {
        let draft = self.does(who, "POST", "/v1/filings", form(prefix, name)).await;
        let filing = format!("/v1/filings/{}", draft["id"].as_str().unwrap());
        self.does(who, "POST", &format!("{filing}/attachments?kind=certificate"), Sent::pdf()).await;
        self.does(who, "POST", &format!("{filing}/submit"), ()).await;
        filing
    }
}

/// A body and its type.
struct Sent {
    media_type: &'static str,
    bytes: Bytes,
}

impl Sent {
    fn pdf() -> Sent {
        Sent { media_type: "application/pdf", bytes: PDF.into() }
    }
}

impl From<Json> for Sent {
    fn from(json: Json) -> Sent {
        Sent { media_type: "application/json", bytes: json.to_string().into() }
    }
}

impl From<()> for Sent {
    fn from((): ()) -> Sent {
        Sent { media_type: "application/json", bytes: Bytes::new() }
    }
}

fn form(prefix: &str, name: &str) -> Json {
    json!({
        "prefix": prefix,
        "unit": {
            "name": name, "kind": "enterprise", "industry": "C3451", "region": "350203", "address": "厦门市思明区示范路 1 号",
            "certificate": {"type": "uscc", "number": "91350200MA2YJ1XR9G"},
        },
        "legal_person": {"name": PERSONAL[3], "document": {"type": "resident_identity_card", "number": PERSONAL[0]}},
        "contact": {"name": "李四", "phone": PERSONAL[1], "email": PERSONAL[2]},
    })
}

/// Every file below a folder, with its content.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn a_day_from_the_application_to_the_audit() {
    let day = Day::start();
    let admin = "data/dev-token";
    for (name, role) in [
        ("one", "applicant"),
        ("two", "applicant"),
        ("first", "reviewer"),
        ("second", "reviewer"),
        ("auditor", "auditor"),
    ] {
        day.key(admin, name, &["--role", role]);
    }
    // Two enterprises apply; one is returned, mends its address and is approved by two; the other is rejected.
    let (mine, theirs) = (day.filed("one", "88.999.7", "甲公司").await, day.filed("two", "88.999.7", "乙公司").await);
    day.does("first", "POST", &format!("{mine}/claim"), ()).await;
    let reasons = json!({"reasons": [{"pointer": "/unit/address", "text": "与证照不符"}]});
    day.does("first", "POST", &format!("{mine}/return"), reasons.clone()).await;
    let version = day.does("one", "GET", &mine, ()).await["version"].clone();
    let (status, _) = day.ask("one", "PUT", &mine, form("88.999.7", "甲公司")).await;
    assert_eq!(status, 428, "a change says which version it changes, such as {version}");
    day.does("one", "POST", &format!("{mine}/submit"), ()).await;
    for (reviewer, state) in [("first", "submitted"), ("second", "approved")] {
        day.does(reviewer, "POST", &format!("{mine}/claim"), ()).await;
        day.does(reviewer, "GET", &format!("{mine}?reveal=1"), ()).await;
        assert_eq!(day.does(reviewer, "POST", &format!("{mine}/approve"), ()).await["state"], state);
    }
    day.does("first", "POST", &format!("{theirs}/claim"), ()).await;
    assert_eq!(day.ask("first", "POST", &format!("{theirs}/approve"), ()).await.0, 409, "the prefix is given away");
    day.does("first", "POST", &format!("{theirs}/reject"), reasons).await;
    // Its keys: an owner's by the applicant, a machine's by the owner, which has no secret and signs in.
    day.key("one", "owner", &["--role", "owner", "--prefix", "88.999.7"]);
    let mut keygen = Command::new(env!("CARGO_BIN_EXE_mingpai"));
    let pair = keygen.args(["keygen", "--use", "session", "--keys", &day.path("machine"), "--json"]).output().unwrap();
    let pair: Json = serde_json::from_slice(&pair.stdout).unwrap();
    let public = pair["public"].to_string();
    let machine =
        day.run("owner", &["token", "--role", "registrar", "--prefix", "88.999.7", "--public-key", &public, "--json"]);
    let machine: Json = serde_json::from_str(&machine).unwrap();
    let (file, id, out) = (pair["path"].as_str().unwrap(), machine["id"].as_str().unwrap(), day.path("session"));
    day.run("", &["token", "--key-file", file, "--key-id", id, "--out", &out]);
    // Ten thousand records.
    let row = |number| json!({"identifier": format!("88.999.7/P{number}"), "values": [{"index": 2000, "type": "名称", "data": "轴承"}]});
    let rows: String = (0..RECORDS).map(|number| format!("{}\n", row(number))).collect();
    fs::write(day.path("records.ndjson"), rows).unwrap();
    let told = day.run("session", &["import", &day.path("records.ndjson"), "--json"]);
    assert!(told.contains("\"registered\":10000") || told.contains("\"registered\": 10000"), "{told}");
    assert_eq!(day.node.resolve("88.999.7/P9999")["registrant"], "甲公司");
    shared_for_an_hour(&day).await;
    suspended_and_restored(&day).await;
    // What others may not is refused, and noted.
    let draft = json!({"values": []});
    assert_eq!(day.ask("two", "PUT", "/v1/records/88.999.7/P1", draft.clone()).await.0, 403);
    assert_eq!(day.ask("session", "PUT", "/v1/records/88.999.1/P1", draft).await.0, 403);
    day.does("session", "DELETE", "/v1/sessions/current", ()).await;
    the_auditor_reads_it_all(&day, id).await;
}

/// The owner shares two fields with a partner for an hour, and sees that they were read.
async fn shared_for_an_hour(day: &Day) {
    let row = json!({"values": [
        {"index": 2000, "type": "名称", "data": "轴承"},
        {"index": 2001, "type": "报价", "data": "QUOTE", "visibility": "granted"},
        {"index": 2002, "type": "图纸", "data": "DRAWING", "visibility": "granted"},
        {"index": 2003, "type": "配方", "data": "RECIPE", "visibility": "granted"},
    ]});
    day.does("owner", "PUT", "/v1/records/88.999.7/SHARED", row).await;
    let partner = day
        .run("owner", &["token", "--role", "partner", "--prefix", "88.999.7", "--out", &day.path("partner"), "--json"]);
    let partner: Json = serde_json::from_str(&partner).unwrap();
    let until = mingpai::model::time::Timestamp::now().as_seconds() + 3_600;
    let until = mingpai::model::time::Timestamp::from_seconds(until).unwrap().to_string();
    let grant = json!({
        "prefix": "88.999.7", "to": {"key": partner["id"]}, "indexes": [2001, 2002], "purpose": "询价", "valid_until": until,
    });
    let seen = |answer: &Json| ["QUOTE", "DRAWING", "RECIPE"].map(|word| answer.to_string().contains(word));
    let target = "/v1/resolve/88.999.7/SHARED";
    assert_eq!(seen(&day.does("partner", "GET", target, ()).await), [false; 3]);
    let grant = day.does("owner", "POST", "/v1/grants", grant).await;
    for _ in 0..2 {
        assert_eq!(seen(&day.does("partner", "GET", target, ()).await), [true, true, false]);
        assert_eq!(seen(&day.does("auditor", "GET", target, ()).await), [false; 3]);
        assert_eq!(seen(&day.node.resolve("88.999.7/SHARED")), [false; 3]);
    }
    let uses = format!("/v1/grants/{}/uses", grant["id"].as_str().unwrap());
    let uses = day.does("owner", "GET", &uses, ()).await;
    assert_eq!(uses["uses"][0]["identifier"], "88.999.7/SHARED");
    assert_eq!(uses["uses"][0]["principal"], format!("key:{}", partner["id"].as_str().unwrap()));
}

/// A reviewer suspends the prefix; answers say so, nothing is registered; and it is as before once it is restored.
async fn suspended_and_restored(day: &Day) {
    let why = json!({"reasons": [{"text": format!("证照待核，联系 {}", PERSONAL[3])}]});
    let row = json!({"values": [{"index": 2000, "type": "名称", "data": "轴承"}]});
    assert_eq!(day.ask("owner", "POST", "/v1/prefixes/88.999.7/suspend", why.clone()).await.0, 403);
    day.does("second", "POST", "/v1/prefixes/88.999.7/suspend", why).await;
    assert_eq!(day.node.resolve("88.999.7/P9999")["prefix"]["status"], "suspended");
    assert_eq!(day.ask("owner", "PUT", "/v1/records/88.999.7/LATE", row.clone()).await.0, 403);
    let identity = day.does("owner", "GET", "/v1/identity/88.999.7", ()).await;
    assert_eq!(identity["mingpai_status"], "suspended");
    day.does("first", "POST", "/v1/prefixes/88.999.7/restore", json!({"note": "已核"})).await;
    assert_eq!(day.node.resolve("88.999.7/P9999").get("prefix"), None);
    day.does("owner", "PUT", "/v1/records/88.999.7/LATE", row).await;
}

/// The story in its order, in one list; the log is whole; nothing of a person is in clear on the disk or in a backup.
async fn the_auditor_reads_it_all(day: &Day, machine: &str) {
    let told = async |family: &str| -> Vec<String> {
        let target = format!("/v1/audit?event={family}&tree=audit&order=oldest&limit=1000");
        let page = day.does("auditor", "GET", &target, ()).await;
        page["events"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect()
    };
    // A head that covers the last of it comes within a second; whatever is asked after it covers all.
    let mut looks = 0;
    while told("session.*").await.last().is_none_or(|last| last != "session.closed") {
        looks += 1;
        assert!(looks < 2_000, "no head covers the sign-out");
    }
    let mut story: Vec<String> = Vec::new();
    for family in ["filing.*", "key.*", "prefix.*", "grant.*", "session.*"] {
        story.extend(told(family).await);
    }
    let filing: Vec<&str> = story.iter().filter_map(|event| event.strip_prefix("filing.")).collect();
    let mine = ["drafted", "attached", "submitted"];
    let expected = [
        &mine[..],
        &mine,
        &["claimed", "returned", "submitted", "claimed", "revealed", "endorsed", "claimed", "revealed", "approved"],
        &["claimed", "rejected"],
    ];
    assert_eq!(filing, expected.concat());
    assert_eq!(story.iter().filter(|event| *event == "key.created").count(), 9, "{story:?}");
    let others: Vec<&String> =
        story.iter().filter(|event| event.starts_with("prefix.") || event.starts_with("grant.")).collect();
    assert_eq!(others, ["prefix.suspended", "prefix.restored", "grant.given", "grant.used"]);
    let registered = format!("/v1/audit?event=record.created&principal=key:{machine}&limit=1000");
    let (mut count, mut cursor) = (0, String::new());
    loop {
        let page = day.does("auditor", "GET", &format!("{registered}{cursor}"), ()).await;
        count += page["events"].as_array().unwrap().len();
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(count, RECORDS);
    assert_eq!(day.ask("auditor", "GET", "/v1/filings", ()).await.0, 403, "who audits does not read what was filed");
    let vkey = day.client.get(format!("{}/log/vkey", day.node.url).parse().unwrap()).await.unwrap();
    let vkey = vkey.into_body().collect().await.unwrap().to_bytes();
    let vkey = std::str::from_utf8(&vkey).unwrap();
    for tree in ["registry", "audit"] {
        let mut audit = Command::new(env!("CARGO_BIN_EXE_mingpai"));
        audit.args(["audit", &day.node.url, "--tree", tree, "--vkey", vkey, "--json"]);
        let audited = audit.args(["--token-file", &day.path("auditor")]).output().unwrap();
        let report = String::from_utf8_lossy(&audited.stdout);
        assert!(audited.status.success(), "{tree}: {report}");
        for personal in PERSONAL {
            assert!(!report.contains(personal), "{personal} in the report on the {tree} tree");
        }
        let report: Json = serde_json::from_str(&report).unwrap();
        if tree == "audit" {
            let held = (&report["held"]["keys"], &report["held"]["filings"], &report["held"]["prefixes"]);
            assert_eq!(held, (&json!(9), &json!(2), &json!(1)), "{report}");
            assert_eq!((&report["unknown"], &report["unclear"]), (&json!({}), &json!(0)), "all is known: {report}");
        }
    }
    let backup = day.path("backup");
    day.run("data/dev-token", &["backup", &backup]);
    let (mut seen, folders) = (0, [day.path("data"), backup]);
    for (name, content) in folders.iter().flat_map(|folder| files(Path::new(folder))) {
        seen += content.len();
        for personal in PERSONAL {
            let found = content.windows(personal.len()).any(|window| window == personal.as_bytes());
            assert!(!found, "{personal} in {name}");
        }
    }
    assert!(seen > 10 << 20, "{seen} bytes looked through");
}
