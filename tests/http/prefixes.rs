//! Prefixes after they were given: suspended, restored, renewed, revoked; and what every answer says of it.

use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use serde_json::{Value as Json, json};

use crate::audited::covered;
use crate::filing::{Person, form};
use crate::world::{Answer, World, part};

const CONFIGURED: &str =
    "[[prefixes]]\nprefix = \"88.999\"\n[[prefixes]]\nprefix = \"88.999.1\"\n[[prefixes]]\nprefix = \"88.999.2\"\n";
const NAME: &str = "88.999.1/A";
const GTIN: &str = "gs1:01/09506000134352";

async fn world() -> World {
    let world = World::configured(CONFIGURED).await;
    let draft = json!({
        "values": [
            {"index": 2000, "type": "名称", "data": "螺栓"},
            {"index": 2001, "type": "成本", "data": "SECRET", "visibility": "owner"},
        ],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
    });
    assert_eq!(world.register(NAME, &draft).await.status, 201);
    assert_eq!(world.register("88.999.2/B", &part("二")).await.status, 201);
    world
}

async fn decide(world: &World, prefix: &str, step: &str, body: &Json) -> Answer {
    world.ask(Method::POST, &format!("/v1/prefixes/{prefix}/{step}")).signed().json(body).send().await
}

/// The same, which must succeed; the status that it leads to.
async fn decided(world: &World, prefix: &str, step: &str, body: &Json) -> Json {
    let answer = decide(world, prefix, step, body).await;
    assert_eq!(answer.status, 200, "{step} {prefix}: {}", answer.text());
    answer.json()
}

fn why() -> Json {
    json!({"reasons": [{"text": "证照已注销\n经办人 王法人"}]})
}

fn silent() -> Json {
    json!({"resolves": false, "reasons": [{"text": "上级节点要求停止解析"}]})
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

async fn resolved(world: &World, name: &str) -> Answer {
    world.get(&format!("/v1/resolve/{name}")).send().await
}

/// Every way to write under a prefix, none of which may succeed.
async fn nothing_is_written(world: &World, prefix: &str, expected: (u16, &str)) {
    let expected = refused(expected.0, expected.1);
    let new = format!("/v1/records/{prefix}/new");
    let put = world.ask(Method::PUT, &new).signed().json(&part("一")).send().await;
    assert_eq!(told(&put), expected, "put");
    let standing = format!("/v1/records/{prefix}/A");
    for method in [Method::PUT, Method::PATCH, Method::DELETE] {
        let ask = world.ask(method.clone(), &standing).signed().header("if-match", "*");
        assert_eq!(told(&ask.json(&json!({})).send().await), expected, "{method}");
    }
    let mint = world.ask(Method::POST, "/v1/records").signed().json(&json!({"prefix": prefix, "values": []}));
    assert_eq!(told(&mint.send().await), expected, "mint");
    let row = |suffix| json!({"identifier": format!("{prefix}/{suffix}"), "values": []}).to_string();
    let rows = [row("r1"), row("A"), row("r2")].join("\n");
    for query in ["", "&atomic=true", "&dry_run=true"] {
        let ask = world.ask(Method::POST, &format!("/v1/imports?on_conflict=update{query}")).signed();
        let job = ask.typed("application/x-ndjson", rows.clone()).send().await.header("location").to_owned();
        let done = loop {
            let seen = world.get(&job).signed().send().await.json();
            if seen["state"] != "running" {
                break seen;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((&done["rows"]["registered"], &done["rows"]["updated"]), (&json!(0), &json!(0)), "{query}: {done}");
        let errors = world.get(&format!("{job}/errors")).signed().header("accept", "application/x-ndjson").send().await;
        assert!(errors.text().contains(&format!("\"{}\"", expected.1)), "{query}: {}", errors.text());
    }
}

#[tokio::test]
async fn answers_say_that_a_prefix_is_suspended_and_nothing_is_registered_under_it() {
    let world = world().await;
    let names = [NAME, GTIN];
    let mut before = Vec::new();
    for name in names {
        resolved(&world, name).await;
        // Twice, so that it comes from memory.
        before.push(resolved(&world, name).await);
    }
    let view = decided(&world, "88.999.1", "suspend", &why()).await;
    assert_eq!(
        (&view["status"], &view["suspended"]["resolves"], &view["version"]),
        (&json!("suspended"), &json!(true), &json!(1))
    );
    let since = view["suspended"]["since"].as_str().unwrap().to_owned();
    let marked = json!({"status": "suspended", "since": since});
    for (name, before) in names.iter().zip(&before) {
        for _ in 0..2 {
            let answer = resolved(&world, name).await;
            assert_eq!(answer.json()["prefix"], marked, "{name}");
            assert_ne!(answer.header("etag"), before.header("etag"));
            let known = world.get(&format!("/v1/resolve/{name}")).header("if-none-match", before.header("etag"));
            assert_eq!(known.send().await.status, 200, "who kept the answer before is told");
            let again = world.get(&format!("/v1/resolve/{name}")).header("if-none-match", answer.header("etag"));
            assert_eq!(again.send().await.status, 304);
        }
        let asked = world.get(&format!("/v1/resolve/{name}?type=名称&entry=1")).send().await.json();
        assert_eq!(asked["prefix"], marked, "{name}");
        assert!(asked["entry"].is_string());
    }
    let batch = world.ask(Method::POST, "/v1/resolve").json(&json!({"identifiers": [NAME, "88.999.2/B"]})).send().await;
    let batch = batch.json();
    assert_eq!(batch["results"][0]["resolution"]["prefix"], marked);
    assert_eq!(batch["results"][1]["resolution"].get("prefix"), None);
    let identity = world.get("/v1/identity/88.999.1").send().await.json();
    assert_eq!(
        (&identity["status"], &identity["mingpai_status"]),
        (&json!(["server update prohibited"]), &json!("suspended"))
    );
    assert_eq!(identity["events"], json!([{"eventAction": "locked", "eventDate": since}]));
    nothing_is_written(&world, "88.999.1", (403, "prefix_suspended")).await;
    assert_eq!(world.register("88.999.2/C", &part("三")).await.status, 201, "its neighbour's are");
    // Restored, it is as it was.
    decided(&world, "88.999.1", "restore", &json!({"note": "已补正"})).await;
    for (name, before) in names.iter().zip(&before) {
        let answer = resolved(&world, name).await;
        assert_eq!((answer.text(), answer.header("etag")), (before.text(), before.header("etag")), "{name}");
    }
    assert_eq!(world.register("88.999.1/new", &part("一")).await.status, 201);
    let identity = world.get("/v1/identity/88.999.1").send().await.json();
    assert_eq!((&identity["status"], &identity["events"]), (&json!(["active"]), &json!([])));
}

#[tokio::test]
async fn what_is_suspended_above_counts_below_and_is_restored_there_alone() {
    let world = world().await;
    decided(&world, "88.999", "suspend", &why()).await;
    decided(&world, "88.999.2", "suspend", &silent()).await;
    assert_eq!(resolved(&world, NAME).await.json()["prefix"]["status"], "suspended");
    assert_eq!(told(&resolved(&world, "88.999.2/B").await), refused(403, "prefix_suspended"));
    nothing_is_written(&world, "88.999.1", (403, "prefix_suspended")).await;
    let below = world.get("/v1/prefixes/88.999.1").signed().send().await.json();
    assert_eq!((&below["status"], &below["above"]["prefix"]), (&json!("active"), &json!("88.999")));
    assert_eq!(told(&decide(&world, "88.999.1", "restore", &json!({})).await), refused(409, "prefix_step_refused"));
    decided(&world, "88.999", "restore", &json!({})).await;
    assert_eq!(resolved(&world, NAME).await.json().get("prefix"), None);
    assert_eq!(told(&resolved(&world, "88.999.2/B").await), refused(403, "prefix_suspended"));
}

#[tokio::test]
async fn a_prefix_that_is_not_to_be_answered_is_told_to_its_own_enterprise_alone() {
    let world = world().await;
    let key = |role: &'static str, prefix: &'static str| {
        let body = json!({"role": role, "prefixes": [prefix]});
        let made = world.ask(Method::POST, "/v1/keys").signed().json(&body).send();
        async { format!("Bearer {}", made.await.json()["key"].as_str().unwrap()) }
    };
    let (mine, theirs) = (key("reader", "88.999.1").await, key("owner", "88.999.2").await);
    world.register("88.999.1/gone", &part("一")).await;
    let gone = world.ask(Method::DELETE, "/v1/records/88.999.1/gone").signed().header("if-match", "*").send().await;
    assert_eq!(gone.status, 200);
    for name in [NAME, "88.999.1/gone", "88.999.1/none"] {
        for _ in 0..2 {
            resolved(&world, name).await;
        }
    }
    let since = decided(&world, "88.999.1", "suspend", &why()).await["suspended"]["since"].clone();
    while mingpai::model::time::Timestamp::now().to_string() == since.as_str().unwrap() {
        tokio::task::yield_now().await;
    }
    let otherwise = decided(&world, "88.999.1", "suspend", &silent()).await;
    assert_eq!(otherwise["suspended"], json!({"since": since, "resolves": false}), "since the first time");
    let same = decide(&world, "88.999.1", "suspend", &silent()).await;
    assert_eq!(told(&same), refused(409, "prefix_step_refused"), "it is suspended so already");
    covered(&world).await;
    for name in [NAME, GTIN] {
        for target in [
            format!("/v1/resolve/{name}"),
            format!("/v1/resolve/{name}?entry=1"),
            format!("/v1/resolve/{name}?at=1"),
            format!("/v1/resolve/{name}?proof=1"),
            format!("/v1/records/{name}"),
            format!("/v1/history/{name}"),
            format!("/v1/diff/{name}?from=1"),
            format!("/v1/bundle/{name}"),
        ] {
            for _ in 0..2 {
                let answer = world.get(&target).send().await;
                assert_eq!(told(&answer), refused(403, "prefix_suspended"), "{target}");
                assert!(!answer.text().contains("螺栓"), "{target}");
            }
            let other = world.get(&target).header("authorization", &theirs).send().await;
            assert_eq!(told(&other), refused(403, "prefix_suspended"), "{target}");
        }
        for target in [format!("/v1/records/{name}"), format!("/v1/history/{name}"), format!("/v1/diff/{name}?from=1")]
        {
            let own = world.get(&target).header("authorization", &mine).send().await;
            assert_eq!(own.status, 200, "{target}: {}", own.text());
            if target.contains("resolve") {
                assert_eq!(own.json()["prefix"]["status"], "suspended", "{target}");
            }
        }
    }
    assert_eq!(told(&world.get(&format!("/v1/latest/{NAME}")).send().await), refused(403, "prefix_suspended"));
    // Whether a name is there, was there or never was is told by nothing.
    for target in [
        "/v1/resolve/88.999.1/none",
        "/v1/history/88.999.1/none",
        "/v1/latest/88.999.1/none",
        "/v1/records/88.999.1/none",
    ] {
        for _ in 0..2 {
            let answer = world.get(target).send().await;
            assert_eq!(told(&answer), refused(403, "prefix_suspended"), "{target}");
        }
    }
    assert_eq!(told(&resolved(&world, "88.999.1/gone").await), refused(403, "prefix_suspended"));
    let batch = world.ask(Method::POST, "/v1/resolve").json(&json!({"identifiers": [NAME, GTIN, "88.999.2/B"]}));
    let results = batch.send().await.json()["results"].clone();
    for (at, status) in [(0, 403), (1, 403), (2, 200)] {
        assert_eq!(results[at]["status"], status, "{results}");
    }
    let identity = world.get("/v1/identity/88.999.1").send().await.json();
    assert_eq!(identity["status"], json!(["server hold", "server update prohibited"]));
    // It may be answered again without being restored.
    decided(&world, "88.999.1", "suspend", &why()).await;
    assert_eq!(resolved(&world, NAME).await.json()["prefix"]["status"], "suspended");
}

/// A name is the prefix's whose it is, whatever record bears it.
#[tokio::test]
async fn names_of_a_closed_prefix_are_neither_given_nor_answered_as_aliases() {
    let world = world().await;
    let bearing = |name: &str| json!({"values": [], "aliases": [{"scheme": "vaa", "identifier": name}]});
    world.change(Method::PUT, "88.999.2/B", &bearing("88.999.1/ALIAS")).await;
    for _ in 0..2 {
        assert_eq!(resolved(&world, "88.999.1/ALIAS").await.json()["identifier"], "88.999.2/B");
    }
    decided(&world, "88.999.1", "suspend", &why()).await;
    let marked = resolved(&world, "88.999.1/ALIAS").await.json();
    assert_eq!((&marked["identifier"], &marked["prefix"]["status"]), (&json!("88.999.2/B"), &json!("suspended")));
    assert_eq!(resolved(&world, "88.999.2/B").await.json().get("prefix"), None);
    let put = |body: Json| {
        let ask = world.ask(Method::PUT, "/v1/records/88.999.2/B").signed().header("if-match", "*");
        ask.json(&body).send()
    };
    assert_eq!(told(&put(bearing("88.999.1/OTHER")).await), refused(403, "prefix_suspended"));
    assert_eq!(put(bearing("88.999.1/ALIAS")).await.status, 200, "what it bears it keeps");
    let new = world.ask(Method::PUT, "/v1/records/88.999.2/NEW").signed().json(&bearing("88.999.1/OTHER")).send().await;
    assert_eq!(told(&new), refused(403, "prefix_suspended"));
    decided(&world, "88.999.1", "revoke", &why()).await;
    for _ in 0..2 {
        assert_eq!(told(&resolved(&world, "88.999.1/ALIAS").await), refused(410, "prefix_revoked"));
        assert_eq!(resolved(&world, "88.999.2/B").await.status, 200);
    }
}

#[tokio::test]
async fn a_prefix_that_was_revoked_is_gone_for_good() {
    let mut world = world().await;
    resolved(&world, NAME).await;
    decided(&world, "88.999.1", "revoke", &why()).await;
    for _ in 0..2 {
        assert_eq!(told(&resolved(&world, NAME).await), refused(410, "prefix_revoked"));
        assert_eq!(told(&resolved(&world, GTIN).await), refused(410, "prefix_revoked"));
        nothing_is_written(&world, "88.999.1", (410, "prefix_revoked")).await;
        for (step, body) in [("suspend", why()), ("restore", json!({})), ("revoke", why())] {
            let answer = decide(&world, "88.999.1", step, &body).await;
            assert_eq!(told(&answer), refused(409, "prefix_step_refused"), "{step}");
        }
        let identity = world.get("/v1/identity/88.999.1").send().await.json();
        assert_eq!((&identity["status"], &identity["mingpai_status"]), (&json!(["inactive"]), &json!("revoked")));
        // The same after a restart.
        world = world.restarted(CONFIGURED).await;
    }
}

#[tokio::test]
async fn each_step_has_its_number_its_reasons_and_its_leaf() {
    let world = world().await;
    let reviewer = Person::new(&world, "reviewer").await;
    let auditor = Person::new(&world, "auditor").await;
    let applicant = Person::new(&world, "applicant").await;
    let key = world.ask(Method::POST, "/v1/keys").signed();
    let owner = key.json(&json!({"role": "owner", "prefixes": ["88.999.1"]})).send().await.json();
    let owner = Person { world: &world, key: owner["key"].as_str().unwrap().to_owned() };
    let post = |who: &Person<'_>, step: &str, version: &str, body: Json| {
        let ask = world.ask(Method::POST, &format!("/v1/prefixes/88.999.1/{step}")).header("if-match", version);
        ask.header("authorization", &format!("Bearer {}", who.key)).json(&body).send()
    };
    assert_eq!(told(&post(&owner, "suspend", "*", why()).await), refused(403, "forbidden"));
    assert_eq!(told(&post(&auditor, "revoke", "*", why()).await), refused(403, "forbidden"));
    assert_eq!(told(&post(&reviewer, "suspend", "\"1\"", why()).await), refused(412, "version_mismatch"));
    let done = post(&reviewer, "suspend", "\"0\"", why()).await;
    assert_eq!((done.status.as_u16(), done.header("etag")), (200, "\"1\""), "{}", done.text());
    assert_eq!(told(&post(&reviewer, "restore", "\"0\"", json!({})).await), refused(412, "version_mismatch"));
    assert_eq!(post(&reviewer, "restore", "\"1\"", json!({"note": "只给审核员"})).await.status, 200);
    let steps = |answer: Answer| answer.json()["steps"].clone();
    let seen = steps(reviewer.get("/v1/prefixes/88.999.1").await);
    assert_eq!((&seen[0]["step"], &seen[0]["reasons"]), (&json!("suspended"), &why()["reasons"]));
    assert_eq!((&seen[1]["by"], &seen[1]["reasons"][0]["text"]), (&json!(reviewer.principal()), &json!("只给审核员")));
    let own = steps(owner.get("/v1/prefixes/88.999.1").await);
    assert_eq!((&own[0]["reasons"], own[1].get("reasons")), (&why()["reasons"], None), "notes are the reviewers'");
    let audited = steps(auditor.get("/v1/prefixes/88.999.1").await);
    assert_eq!((&audited[0]["step"], audited[0].get("reasons")), (&json!("suspended"), None));
    for (who, prefix) in [(&owner, "88.999.2"), (&owner, "88.999"), (&applicant, "88.999.1"), (&owner, "88.7")] {
        assert_eq!(told(&who.get(&format!("/v1/prefixes/{prefix}")).await), refused(404, "not_responsible"));
    }
    let names = |answer: Answer| -> Vec<String> {
        let page = answer.json();
        page["prefixes"].as_array().unwrap().iter().map(|one| one["prefix"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(owner.get("/v1/prefixes").await), ["88.999.1"]);
    assert_eq!(names(applicant.get("/v1/prefixes").await), [""; 0]);
    assert_eq!(names(reviewer.get("/v1/prefixes").await), ["88.999", "88.999.1", "88.999.2"]);
    assert_eq!(names(reviewer.get("/v1/prefixes?status=suspended").await), [""; 0]);
    let first = reviewer.get("/v1/prefixes?limit=2").await.json();
    let next = format!("/v1/prefixes?cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(names(reviewer.get(&next).await), ["88.999.2"]);
    covered(&world).await;
    let trail = auditor.get("/v1/audit?event=prefix.*&order=oldest").await;
    let events = trail.json()["events"].clone();
    assert_eq!((&events[0]["event"], &events[0]["subject"]), (&json!("prefix.suspended"), &json!("88.999.1")));
    assert_eq!(
        (&events[1]["event"], &events[1]["principal"]),
        (&json!("prefix.restored"), &json!(reviewer.principal()))
    );
    assert!(!trail.text().contains("王法人"), "{}", trail.text());
}

#[tokio::test]
async fn what_is_wrong_in_a_decision_is_named() {
    let world = world().await;
    for (step, body, pointer) in [
        ("suspend", json!({}), "/reasons"),
        ("suspend", json!({"reasons": []}), "/reasons"),
        ("suspend", json!({"reasons": [{"text": " "}]}), "/reasons/0/text"),
        ("suspend", json!({"reasons": [{"text": "a"}], "resolves": "no"}), "/resolves"),
        ("suspend", json!({"reasons": [{"text": "a"}], "until": "x"}), "/until"),
        ("revoke", json!({"reasons": [{"text": "a"}], "resolves": true}), "/resolves"),
        ("restore", json!({"note": 7}), "/note"),
        ("renew", json!({}), "/valid_until"),
        ("renew", json!({"valid_until": "2020-01-01T00:00:00Z"}), "/valid_until"),
        ("renew", json!([]), ""),
    ] {
        let answer = decide(&world, "88.999.1", step, &body).await;
        assert_eq!(told(&answer), refused(422, "fields_invalid"), "{step} {body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{step} {body}");
    }
    for prefix in ["88.7", "88.999.3", "88", "%20", "88.999.1%2Fx"] {
        let answer = decide(&world, prefix, "suspend", &why()).await;
        assert_eq!(told(&answer), refused(404, "not_responsible"), "{prefix}");
    }
    let until = json!({"valid_until": "9000-01-01T00:00:00Z"});
    assert_eq!(told(&decide(&world, "88.999.1", "renew", &until).await), refused(409, "prefix_step_refused"));
    assert_eq!(decided(&world, "88.999.1", "suspend", &why()).await["version"], 1, "nothing of these was taken");
    for query in ["status=king", "ends_before=3", "ends_before=soon", "cursor=abc", "none=1"] {
        let answer = world.get(&format!("/v1/prefixes?{query}")).signed().send().await;
        assert_eq!(told(&answer), refused(400, "query_invalid"), "{query}");
    }
}

#[tokio::test]
async fn what_has_run_out_resolves_and_takes_nothing_until_it_is_renewed() {
    let world = World::configured("[[prefixes]]\nprefix = \"88.999\"\n").await;
    let (applicant, reviewer) = (Person::new(&world, "applicant").await, Person::new(&world, "reviewer").await);
    let id = applicant.submitted(&form("88.999.7", "甲")).await;
    reviewer.does(&id, "claim", "under_review").await;
    let past = reviewer.say(&id, "approve", &json!({"valid_until": "2020-01-01T00:00:00Z"})).await;
    assert_eq!(told(&past), refused(422, "fields_invalid"));
    let soon = mingpai::model::time::Timestamp::now().as_seconds() + 2;
    let soon = mingpai::model::time::Timestamp::from_seconds(soon).unwrap().to_string();
    let approved = reviewer.say(&id, "approve", &json!({"valid_until": soon})).await;
    assert_eq!(approved.json()["state"], "approved", "{}", approved.text());
    assert_eq!(world.register("88.999.7/A", &part("一")).await.status, 201);
    let ending = reviewer.get("/v1/prefixes?ends_before=9000-01-01T00:00:00Z").await.json();
    assert_eq!(
        (&ending["prefixes"][0]["prefix"], &ending["prefixes"][0]["valid_until"]),
        (&json!("88.999.7"), &json!(soon))
    );
    while reviewer.get("/v1/prefixes/88.999.7").await.json()["status"] != "expired" {
        tokio::task::yield_now().await;
    }
    let answer = resolved(&world, "88.999.7/A").await;
    assert_eq!((answer.status.as_u16(), answer.json().get("prefix")), (200, None));
    nothing_is_written(&world, "88.999.7", (403, "prefix_expired")).await;
    let identity = world.get("/v1/identity/88.999.7").send().await.json();
    assert_eq!(
        (&identity["mingpai_status"], &identity["events"][1]["eventAction"]),
        (&json!("expired"), &json!("expiration"))
    );
    decided(&world, "88.999.7", "renew", &json!({"valid_until": "9000-01-01T00:00:00Z", "note": "续"})).await;
    assert_eq!(world.register("88.999.7/B", &part("二")).await.status, 201);
    let world = world.restarted("[[prefixes]]\nprefix = \"88.999\"\n").await;
    assert_eq!(world.register("88.999.7/C", &part("三")).await.status, 201);
}

/// Registers one name after the other on a thread of its own until it is told to stop; how many were taken.
fn registering(world: &World, thread: usize, is_over: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut taken = 0;
    for number in 0.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let target = format!("/v1/records/88.999.1/w{thread}-{number}");
        let answer = runtime.block_on(world.ask(Method::PUT, &target).signed().json(&part("件")).send_slowly());
        assert!([201, 403].contains(&answer.status.as_u16()), "{}", answer.text());
        taken += usize::from(answer.status == 201);
    }
    taken
}

/// Whatever is on its way when a prefix is suspended: nothing is registered behind the suspension.
#[tokio::test]
async fn nothing_is_registered_behind_a_suspension() {
    let world = world().await;
    let is_over = AtomicBool::new(false);
    let taken: usize = std::thread::scope(|scope| {
        let (world, is_over) = (&world, &is_over);
        let threads: Vec<_> = (0..3).map(|thread| scope.spawn(move || registering(world, thread, is_over))).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deciding = scope.spawn(move || {
            for _ in 0..30 {
                runtime.block_on(decided(world, "88.999.1", "suspend", &why()));
                runtime.block_on(decided(world, "88.999.1", "restore", &json!({})));
            }
            is_over.store(true, Ordering::Relaxed);
        });
        deciding.join().unwrap();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(taken > 0);
    covered(&world).await;
    let mut suspended = false;
    let mut cursor = String::new();
    loop {
        let page = world.get(&format!("/v1/audit?order=oldest&limit=1000{cursor}")).signed().send().await.json();
        for event in page["events"].as_array().unwrap() {
            match event["event"].as_str().unwrap() {
                "prefix.suspended" => suspended = true,
                "prefix.restored" => suspended = false,
                "record.created" => assert!(!suspended, "{event}"),
                _ => {}
            }
        }
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
}
