//! Roles and scopes: two enterprises and an auditor on one node, each with what is theirs and nothing else.
//!
//! The matrix at the end is made from the document of the interface: every operation by every credential at every place. An
//! operation that has no entry in [`NEEDS`] fails it.

use std::collections::HashMap;

use http::Method;
use serde_json::{Value as Json, json};

use crate::conformance::{CONTRACT, operations};
use crate::filing::{PDF, form};
use crate::signing_in::Holder;
use crate::world::{Answer, Ask, World, part};

const PREFIXES: &str = "[[prefixes]]\nprefix = \"10.1000\"\n[[prefixes]]\nprefix = \"10.1000.7\"\n[[prefixes]]\nprefix = \"10.2000\"\n[[prefixes]]\nprefix = \"10.10001\"\n";
const ONE: &str = "10.1000";
const OTHER: &str = "10.2000";
const NDJSON: &str = "application/x-ndjson";

/// A value that only those may see who see all of the record.
fn with_secret(secret: &str) -> Json {
    json!({"values": [
        {"index": 2000, "type": "名称", "data": "件"},
        {"index": 2001, "type": "成本", "data": secret, "visibility": "owner"},
    ]})
}

async fn world() -> World {
    let world = World::configured(PREFIXES).await;
    for (name, secret) in [("10.1000/a", "SECRET-1"), ("10.1000.7/a", "SECRET-17"), ("10.2000/a", "SECRET-2")] {
        world.register(name, &with_secret(secret)).await;
    }
    world.register("10.10001/a", &with_secret("SECRET-10")).await;
    world
}

/// A new key by the world's own, an administrator's.
async fn key(world: &World, role: &str, prefixes: &[&str]) -> String {
    made(world, &world.key, role, prefixes).await.json()["key"].as_str().unwrap().to_owned()
}

async fn made(world: &World, maker: &str, role: &str, prefixes: &[&str]) -> Answer {
    let body = if prefixes.is_empty() { json!({"role": role}) } else { json!({"role": role, "prefixes": prefixes}) };
    by(world.ask(Method::POST, "/v1/keys"), maker).json(&body).send().await
}

fn by<'w>(ask: Ask<'w>, key: &str) -> Ask<'w> {
    ask.header("authorization", &format!("Bearer {key}"))
}

async fn put(world: &World, key: &str, name: &str, draft: &Json) -> Answer {
    by(world.ask(Method::PUT, &format!("/v1/records/{name}")), key).json(draft).send().await
}

async fn got(world: &World, key: &str, target: &str) -> Answer {
    by(world.get(target), key).send().await
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

#[tokio::test]
async fn a_registrar_registers_below_its_prefix_and_nowhere_else() {
    let world = world().await;
    let mine = key(&world, "registrar", &[ONE]).await;
    assert_eq!(put(&world, &mine, "10.1000/new", &part("一")).await.status, 201);
    assert_eq!(put(&world, &mine, "10.1000.7/new", &part("一")).await.status, 201);
    // Whether it is there or not, and whatever is asked of it.
    for name in ["10.2000/a", "10.2000/none", "10.10001/a", "10.10001/none"] {
        let refused = put(&world, &mine, name, &part("二")).await;
        assert_eq!(told(&refused), (403, "forbidden".to_owned()), "{name}");
        assert!(refused.text().contains(ONE), "its own reach is told: {}", refused.text());
        for method in [Method::DELETE, Method::PATCH] {
            let ask = by(world.ask(method, &format!("/v1/records/{name}")), &mine).header("if-match", "*");
            assert_eq!(told(&ask.json(&json!({})).send().await).0, 403, "{name}");
        }
    }
    let elsewhere = put(&world, &mine, "10.3000/a", &part("二")).await;
    assert_eq!(told(&elsewhere), (404, "not_responsible".to_owned()));
    let mint = |prefix: &str| {
        let body = json!({"prefix": prefix, "values": [{"index": 1, "type": "名称", "data": "a"}]});
        by(world.ask(Method::POST, "/v1/records"), &mine).json(&body).send()
    };
    assert_eq!(mint(ONE).await.status, 201);
    assert_eq!(told(&mint(OTHER).await), (403, "forbidden".to_owned()));
    assert_eq!(got(&world, &world.key, "/v1/records/10.2000/a").await.json()["version"], 1);
}

#[tokio::test]
async fn nobody_gives_a_record_a_name_of_another_enterprise() {
    let world = world().await;
    let mine = key(&world, "registrar", &[ONE]).await;
    let named = |name: &str| json!({"values": [{"index": 1, "type": "名称", "data": "a"}], "aliases": [{"scheme": "handle", "identifier": name}]});
    for taken in ["10.2000/b", "10.3000/b"] {
        let refused = put(&world, &mine, "10.1000/new", &named(taken)).await;
        assert_eq!(told(&refused), (403, "forbidden".to_owned()), "{taken}");
    }
    let did = json!({"values": [], "aliases": [{"scheme": "did", "identifier": "did:cn:88.118.8:x"}]});
    assert_eq!(told(&put(&world, &mine, "10.1000/new", &did).await), (403, "forbidden".to_owned()));
    assert_eq!(put(&world, &mine, "10.1000/new", &named("10.1000/alias")).await.status, 201);
    // What an administrator has given it may stay when its holder changes the record.
    world.change(Method::PUT, "10.1000/new", &named("10.2000/given")).await;
    let ask = by(world.ask(Method::PATCH, "/v1/records/10.1000/new"), &mine).header("if-match", "*");
    let changed = ask.json(&json!({"status": "recalled"})).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
}

/// What its enterprise's job changed is put back with the names that it had, as far as who asks for that might give them.
#[tokio::test]
async fn an_undo_gives_no_name_back_that_its_asker_could_not_give() {
    let world = world().await;
    let mine = key(&world, "registrar", &[ONE]).await;
    let given = json!({"values": [], "aliases": [{"scheme": "handle", "identifier": "10.2000/given"}]});
    world.register("10.1000/new", &given).await;
    let row = json!({"identifier": "10.1000/new", "values": []}).to_string();
    let ask = by(world.ask(Method::POST, "/v1/imports?on_conflict=update"), &mine);
    let job = ask.typed(NDJSON, row).send().await.header("location").to_owned();
    assert_eq!(ended(&world, &mine, &job).await["rows"]["updated"], 1);
    assert_eq!(got(&world, &mine, "/v1/resolve/10.2000/given").await.status, 404);
    // A name that was given up is not its registrar's to take back.
    let undo = by(world.ask(Method::POST, &format!("{job}/undo")), &mine).send().await.header("location").to_owned();
    let undone = ended(&world, &mine, &undo).await;
    assert_eq!((&undone["rows"]["updated"], &undone["rows"]["failed"]), (&json!(0), &json!(1)), "{undone}");
    let errors = by(world.get(&format!("{undo}/errors")), &mine).header("accept", NDJSON).send().await.text();
    assert!(errors.contains("\"forbidden\""), "{errors}");
    // Who might give it may.
    let again = json!({"identifier": "10.1000/new", "values": [], "aliases": []}).to_string();
    world.change(Method::PUT, "10.1000/new", &given).await;
    let ask = by(world.ask(Method::POST, "/v1/imports?on_conflict=update"), &mine);
    let job = ask.typed(NDJSON, again).send().await.header("location").to_owned();
    assert_eq!(ended(&world, &mine, &job).await["rows"]["updated"], 1);
    let undo = world.ask(Method::POST, &format!("{job}/undo")).signed().send().await.header("location").to_owned();
    let undone = ended(&world, &mine, &undo).await;
    assert_eq!((&undone["rows"]["updated"], &undone["rows"]["failed"]), (&json!(1), &json!(0)), "{undone}");
    assert_eq!(got(&world, &mine, "/v1/resolve/10.2000/given").await.json()["identifier"], "10.1000/new");
}

#[tokio::test]
async fn one_enterprise_leaves_places_for_others_uploads() {
    let world = world().await;
    let (mine, others) = (key(&world, "registrar", &[ONE]).await, key(&world, "owner", &[OTHER]).await);
    let open = |key: &str| {
        let ask = by(world.ask(Method::POST, "/v1/imports"), key).header("upload-complete", "?0");
        ask.typed(NDJSON, "").send()
    };
    for _ in 0..8 {
        let begun = open(&mine).await;
        assert_eq!(begun.status, 201, "{}", begun.text());
    }
    assert_eq!(told(&open(&mine).await), (503, "overloaded".to_owned()));
    assert_eq!(open(&others).await.status, 201);
    assert_eq!(open(&world.key).await.status, 201);
}

#[tokio::test]
async fn an_enterprise_sees_all_of_its_records_and_the_public_part_of_others() {
    let world = world().await;
    for role in ["reader", "registrar", "owner"] {
        let mine = key(&world, role, &[ONE]).await;
        for (name, secret, is_seen) in [
            ("10.1000/a", "SECRET-1", true),
            ("10.1000.7/a", "SECRET-17", true),
            ("10.2000/a", "SECRET-2", false),
            ("10.10001/a", "SECRET-10", false),
        ] {
            for target in [format!("/v1/records/{name}"), format!("/v1/history/{name}?diff=1")] {
                let answer = got(&world, &mine, &target).await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.text().contains(secret), is_seen, "{role} {target}");
                assert_eq!(answer.header("cache-control"), "no-store", "{role} {target}");
            }
            // What it resolves is what it may see, twice: the second time from memory, where it is not its own.
            for target in [format!("/v1/resolve/{name}"), format!("/v1/resolve/{name}?type=成本")] {
                for _ in 0..2 {
                    assert_eq!(got(&world, &mine, &target).await.text().contains(secret), is_seen, "{role} {target}");
                    assert!(!world.get(&target).send().await.text().contains(secret), "by nobody in particular");
                }
            }
            let history = got(&world, &mine, &format!("/v1/history/{name}")).await.json();
            assert_eq!(history["versions"][0].get("principal").is_some(), is_seen, "{role} {name}");
        }
    }
    let auditor = key(&world, "auditor", &[]).await;
    assert!(!got(&world, &auditor, "/v1/records/10.1000/a").await.text().contains("SECRET"));
}

/// The names of all pages.
async fn listed(world: &World, key: &str, query: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = got(world, key, &format!("/v1/records?{query}{cursor}")).await.json();
        let records = page["records"].as_array().unwrap_or_else(|| panic!("{page}"));
        found.extend(records.iter().map(|record| record["identifier"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn lists_and_exports_hold_what_is_within_reach() {
    let world = world().await;
    for number in 0..3 {
        world.register(&format!("10.1000/n{number}"), &part("件")).await;
    }
    let [one, both, below, all] = [
        key(&world, "reader", &[ONE]).await,
        key(&world, "registrar", &["10.10001", "10.1000.7"]).await,
        key(&world, "owner", &["10.1000.7"]).await,
        world.key.clone(),
    ];
    let names_of_one = ["10.1000.7/a", "10.1000/a", "10.1000/n0", "10.1000/n1", "10.1000/n2"];
    for limit in ["limit=1", "limit=2", "limit=1000"] {
        assert_eq!(listed(&world, &one, limit).await, names_of_one, "{limit}");
        assert_eq!(listed(&world, &both, limit).await, ["10.1000.7/a", "10.10001/a"], "{limit}");
        assert_eq!(listed(&world, &below, limit).await, ["10.1000.7/a"], "{limit}");
        assert_eq!(listed(&world, &all, limit).await.len(), 7, "{limit}");
        assert_eq!(listed(&world, &one, &format!("{limit}&prefix=10.1000.7")).await, ["10.1000.7/a"]);
    }
    for prefix in [OTHER, "10.10001", "10.3000", "10"] {
        for target in [format!("/v1/records?prefix={prefix}"), format!("/v1/export?prefix={prefix}&format=csv")] {
            let refused = got(&world, &one, &target).await;
            assert_eq!(told(&refused), (403, "forbidden".to_owned()), "{target}");
        }
    }
    // A cursor of another's list begins no list of theirs.
    let foreign = mingpai::codec::cursor::encode(mingpai::codec::cursor::Kind::Records, "10.10001/");
    assert_eq!(listed(&world, &one, &format!("cursor={foreign}")).await, Vec::<String>::new());
    for (reader, format) in [(&one, "ndjson"), (&one, "csv"), (&both, "ndjson")] {
        let file = got(&world, reader, &format!("/v1/export?format={format}")).await.text();
        let has = |secret: &str| file.contains(secret);
        assert!(has("SECRET-17") && !has("SECRET-2") && has("SECRET-10") == (reader == &both), "{format}: {file}");
        assert!(has("10.1000/n2") == (reader == &one), "{format}");
    }
}

/// A job, once it has ended.
async fn ended(world: &World, key: &str, target: &str) -> Json {
    loop {
        let seen = got(world, key, target).await.json();
        if seen["state"] != "running" {
            return seen;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn rows_out_of_reach_are_refused_one_by_one_and_a_job_is_its_enterprises_own() {
    let world = world().await;
    let mine = key(&world, "registrar", &[ONE]).await;
    let others = key(&world, "owner", &[OTHER]).await;
    let row = |name: &str| {
        let aliases =
            if name == "10.1000/x" { json!([{"scheme": "handle", "identifier": "10.2000/x"}]) } else { json!([]) };
        json!({"identifier": name, "values": [{"index": 1, "type": "名称", "data": "a"}], "aliases": aliases})
            .to_string()
    };
    let rows = ["10.1000/r1", "10.2000/r1", "10.1000.7/r1", "10.1000/x", "10.2000/a"].map(row).join("\n");
    for dry_run in ["true", "false"] {
        let ask = by(world.ask(Method::POST, &format!("/v1/imports?dry_run={dry_run}")), &mine);
        let job = ask.typed(NDJSON, rows.clone()).send().await;
        assert_eq!(job.status, 202, "{}", job.text());
        let target = job.header("location").to_owned();
        let done = ended(&world, &mine, &target).await;
        assert_eq!((&done["rows"]["registered"], &done["rows"]["failed"]), (&json!(2), &json!(3)), "{dry_run}: {done}");
        let errors = by(world.get(&format!("{target}/errors")), &mine).header("accept", NDJSON).send().await.text();
        assert_eq!(errors.matches("\"forbidden\"").count(), 3, "{errors}");
        // Its enterprise's other keys see it, an administrator does, nobody else.
        let colleague = key(&world, "owner", &["10.1000"]).await;
        let below = key(&world, "owner", &["10.1000.7"]).await;
        for target in [target.clone(), format!("{target}/errors"), format!("{target}/events")] {
            for (asker, status) in [(&colleague, 200), (&world.key, 200), (&others, 404), (&below, 404)] {
                assert_eq!(got(&world, asker, &target).await.status, status, "{target}");
            }
        }
        let undo = format!("{target}/undo");
        assert_eq!(told(&by(world.ask(Method::POST, &undo), &others).send().await), (404, "import_unknown".to_owned()));
        assert_eq!(told(&got(&world, &others, &format!("{target}/upload")).await), (404, "import_unknown".to_owned()));
        // An administrator takes it back: the enterprise sees that, for it is about its rows.
        let undoing = world.ask(Method::POST, &undo).signed().send().await;
        assert_eq!(undoing.status, 202, "{}", undoing.text());
        for (asker, status) in [(&mine, 200), (&others, 404)] {
            assert_eq!(got(&world, asker, undoing.header("location")).await.status, status);
        }
    }
    assert_eq!(got(&world, &mine, "/v1/resolve/10.2000/r1").await.status, 404);
    // As tables, all or none, and with operations of their own, it is the same.
    let mapping = json!({"identifier": "{identifier}", "values": [{"index": 1, "type": "名称", "from": "名称"}]});
    let mapping: String = mapping.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let by_columns = format!("on_conflict=update&mapping={mapping}");
    for (query, media_type, rows) in [
        ("atomic=true", NDJSON, [row("10.1000/t1"), row("10.2000/t1")].join("\n")),
        ("operation=delete", NDJSON, json!({"identifier": "10.2000/a"}).to_string()),
        ("operation=recall", NDJSON, json!({"identifier": "10.10001/a"}).to_string()),
        (&by_columns, "text/csv", "identifier,名称\n10.2000/a,x\n10.2000/t2,x\n".to_owned()),
    ] {
        let ask = by(world.ask(Method::POST, &format!("/v1/imports?{query}")), &mine);
        let job = ask.typed(media_type, rows).send().await;
        assert_eq!(job.status, 202, "{query}: {}", job.text());
        let done = ended(&world, &mine, job.header("location")).await;
        assert_eq!((&done["rows"]["registered"], &done["rows"]["updated"]), (&json!(0), &json!(0)), "{query}: {done}");
        let errors = format!("{}/errors", job.header("location"));
        let errors = by(world.get(&errors), &mine).header("accept", NDJSON).send().await.text();
        assert!(errors.contains("\"forbidden\""), "{query}: {errors}");
    }
    assert_eq!(got(&world, &world.key, "/v1/records/10.2000/a").await.json()["version"], 1);
    let bulk = |prefix: &str| {
        let body = json!({"filter": {"prefix": prefix}, "operation": "retire", "dry_run": true});
        by(world.ask(Method::POST, "/v1/bulk"), &mine).json(&body).send()
    };
    assert_eq!(told(&bulk(OTHER).await), (403, "forbidden".to_owned()));
    assert_eq!(bulk(ONE).await.status, 202);
}

#[tokio::test]
async fn a_job_keeps_its_scope_over_a_restart() {
    let world = world().await;
    let mine = key(&world, "registrar", &[ONE]).await;
    let others = key(&world, "owner", &[OTHER]).await;
    let row = json!({"identifier": "10.1000/r", "values": [{"index": 1, "type": "名称", "data": "a"}]});
    let job = by(world.ask(Method::POST, "/v1/imports"), &mine).typed(NDJSON, row.to_string()).send().await;
    let target = job.header("location").to_owned();
    ended(&world, &mine, &target).await;
    let world = world.restarted(PREFIXES).await;
    assert_eq!(got(&world, &mine, &target).await.status, 200);
    assert_eq!(told(&got(&world, &others, &target).await), (404, "import_unknown".to_owned()));
    // So do keys.
    assert_eq!(put(&world, &mine, "10.2000/b", &part("二")).await.status, 403);
    assert_eq!(put(&world, &others, "10.2000/b", &part("二")).await.status, 201);
}

#[tokio::test]
async fn an_owner_gives_keys_for_its_prefixes_and_sees_no_others() {
    let world = world().await;
    let owner = key(&world, "owner", &[ONE]).await;
    for (role, prefixes) in [("reader", &[ONE][..]), ("registrar", &["10.1000.7"]), ("owner", &[ONE, "10.1000.7"])] {
        let answer = made(&world, &owner, role, prefixes).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["role"], role);
    }
    for (role, prefixes) in [
        ("reader", &[OTHER][..]),
        ("registrar", &[ONE, OTHER]),
        ("owner", &["10.10001"]),
        ("owner", &["10"]),
        ("auditor", &[]),
        ("administrator", &[]),
    ] {
        let answer = made(&world, &owner, role, prefixes).await;
        assert_eq!(told(&answer), (403, "forbidden".to_owned()), "{role} {prefixes:?}");
    }
    // What nobody said is an administrator's: each is told what is too much.
    for (role, prefixes, told) in [("auditor", &[][..], "role:"), ("owner", &[OTHER][..], "prefixes:")] {
        let ask = by(world.ask(Method::POST, "/v1/keys"), &owner).header("accept-language", "en");
        let body =
            if prefixes.is_empty() { json!({"role": role}) } else { json!({"role": role, "prefixes": prefixes}) };
        let answer = ask.json(&body).send().await;
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(told), "{}", answer.text());
    }
    let unsaid = by(world.ask(Method::POST, "/v1/keys"), &owner).json(&json!({"label": "a"})).send().await;
    assert_eq!(told(&unsaid), (403, "forbidden".to_owned()));
    let theirs = made(&world, &world.key, "reader", &[OTHER]).await.json()["id"].as_str().unwrap().to_owned();
    for method in [Method::GET, Method::DELETE] {
        let answer = by(world.ask(method, &format!("/v1/keys/{theirs}")), &owner).send().await;
        assert_eq!(told(&answer), (404, "key_unknown".to_owned()));
    }
    // Nor does one give a key that lasts longer than its own.
    let body = json!({"role": "owner", "prefixes": [ONE], "expires": "9000-01-01T00:00:00Z"});
    let brief = by(world.ask(Method::POST, "/v1/keys"), &owner).json(&body).send().await.json();
    assert_eq!(brief["maker"], format!("key:{}", owner.split('_').nth(1).unwrap()));
    let brief = brief["key"].as_str().unwrap();
    for (expires, status) in [
        (json!(null), 403),
        (json!("9000-01-01T00:00:01Z"), 403),
        (json!("9000-01-01T00:00:00Z"), 201),
        (json!("8999-01-01T00:00:00Z"), 201),
    ] {
        let body = json!({"role": "reader", "prefixes": [ONE], "expires": expires});
        let answer = by(world.ask(Method::POST, "/v1/keys"), brief).json(&body).send().await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    for limit in [1, 2, 1_000] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = got(&world, &owner, &format!("/v1/keys?limit={limit}{cursor}")).await.json();
            seen.extend(page["keys"].as_array().unwrap().iter().map(|key| key["prefixes"].to_string()));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        // Its own, the four that it gave, and the two that one of these gave.
        assert_eq!(seen.len(), 7, "{limit}: {seen:?}");
        assert!(seen.iter().all(|prefixes| prefixes.contains(ONE) && !prefixes.contains(OTHER)), "{seen:?}");
    }
    let all = got(&world, &world.key, "/v1/keys").await.json();
    assert_eq!(all["keys"].as_array().unwrap().len(), 9);
    // Revoked by who could have made it, it opens nothing.
    let given = made(&world, &owner, "registrar", &[ONE]).await.json();
    let (id, text) = (given["id"].as_str().unwrap(), given["key"].as_str().unwrap());
    assert_eq!(put(&world, text, "10.1000/k", &part("一")).await.status, 201);
    let revoked = by(world.ask(Method::DELETE, &format!("/v1/keys/{id}")), &owner).send().await;
    assert_eq!(revoked.status, 204);
    assert_eq!(told(&put(&world, text, "10.1000/l", &part("一")).await), (401, "bad_credentials".to_owned()));
}

#[tokio::test]
async fn a_wish_whose_role_and_prefixes_do_not_go_together_is_refused() {
    let world = world().await;
    for (body, pointer) in [
        (json!({"role": "king"}), "/role"),
        (json!({"role": "anonymous"}), "/role"),
        (json!({"role": 1}), "/role"),
        (json!({"role": "reader"}), "/prefixes"),
        (json!({"role": "owner", "prefixes": []}), "/prefixes"),
        (json!({"role": "auditor", "prefixes": [ONE]}), "/prefixes"),
        (json!({"prefixes": [ONE]}), "/prefixes"),
        (json!({"role": "owner", "prefixes": "10.1000"}), "/prefixes"),
        (json!({"role": "owner", "prefixes": [ONE, "a/b"]}), "/prefixes/1"),
        (json!({"role": "owner", "prefixes": [ONE, "10.3000"]}), "/prefixes/1"),
        (json!({"role": "owner", "prefixes": ["10.1000.9"]}), "/prefixes/0"),
        (json!({"role": "owner", "prefixes": ["88"]}), "/prefixes/0"),
        (json!({"role": "owner", "prefixes": vec![ONE; 101]}), "/prefixes"),
    ] {
        let answer = world.ask(Method::POST, "/v1/keys").signed().json(&body).send().await;
        assert_eq!(told(&answer), (422, "fields_invalid".to_owned()), "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    // The bootstrap token is exchanged for an administrator's key only: see the first start in `world`.
    let canonical = made(&world, &world.key, "reader", &["10.1000.7", "10.1000", "10.1000"]).await.json();
    assert_eq!(canonical["prefixes"], json!([ONE]));
}

/// What an operation needs of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// No credential is looked at.
    Nothing,
    /// A credential may be shown; a wrong one is refused.
    Open,
    /// Any that opens something.
    Shown,
    /// One of these roles.
    Roles(&'static [&'static str]),
}

const MANAGERS: Need = Need::Roles(&["owner", "applicant", "administrator"]);
const LISTERS: Need = Need::Roles(&["reader", "registrar", "owner", "administrator"]);
const REGISTRARS: Need = Need::Roles(&["registrar", "owner", "administrator"]);
const AUDITORS: Need = Need::Roles(&["auditor", "administrator"]);
const ADMINISTRATORS: Need = Need::Roles(&["administrator"]);

/// Written down apart from the program's own table, to be held against it.
const NEEDS: &[(Need, &[&str])] = &[
    (
        Need::Nothing,
        &[
            "readIndex",
            "readDocs",
            "readDocsFile",
            "readLiveness",
            "readMetrics",
            "readDocument",
            "readReadiness",
            "createChallenge",
            "openSession",
        ],
    ),
    (
        Need::Open,
        &[
            "readIdentity",
            "readSigningKeys",
            "readCheckpoint",
            "readTile",
            "readLogKey",
            "readBundle",
            "compareVersions",
            "readHistory",
            "readLatest",
            "listLicences",
            "proveConsistency",
            "proveInclusion",
            "readRecord",
            "resolveMany",
            "resolve",
        ],
    ),
    (Need::Shown, &["readCurrentSession", "closeSession"]),
    (
        Need::Roles(&["reader", "registrar", "owner", "applicant", "reviewer", "auditor", "administrator"]),
        &["listPrefixes", "readPrefix"],
    ),
    (
        Need::Roles(&["partner", "reader", "registrar", "owner", "applicant", "reviewer", "auditor", "administrator"]),
        &["listGrants", "readGrant"],
    ),
    (Need::Roles(&["owner", "administrator"]), &["giveGrant", "listGrantUses", "revokeGrant"]),
    (AUDITORS, &["readAuditCheckpoint", "readAuditTile", "readAuditLogKey", "searchAudit"]),
    (
        ADMINISTRATORS,
        &[
            "readLogSettings",
            "changeLogSettings",
            "reloadConfiguration",
            "readLogEnd",
            "noteBackup",
            "readSegment",
            "followChanges",
            "grantLicence",
            "endLicence",
            "endSigningKey",
            "eraseRecord",
        ],
    ),
    (LISTERS, &["exportRecords", "listRecords"]),
    (
        REGISTRARS,
        &[
            "changeInBulk",
            "startImport",
            "proposeMapping",
            "readImport",
            "readImportErrors",
            "listenToImport",
            "undoImport",
            "dropUpload",
            "readUpload",
            "addToUpload",
            "mintRecord",
            "deleteRecord",
            "patchRecord",
            "putRecord",
            "readRequest",
        ],
    ),
    (
        Need::Roles(&["applicant", "administrator"]),
        &["createFiling", "replaceFiling", "attachFile", "submitFiling", "withdrawFiling"],
    ),
    (Need::Roles(&["applicant", "reviewer", "administrator"]), &["listFilings", "readFiling", "readFile"]),
    (
        Need::Roles(&["reviewer", "administrator"]),
        &[
            "claimFiling",
            "releaseFiling",
            "returnFiling",
            "rejectFiling",
            "approveFiling",
            "suspendPrefix",
            "restorePrefix",
            "renewPrefix",
            "revokePrefix",
        ],
    ),
    (MANAGERS, &["listKeys", "createKey", "revokeKey", "readKey"]),
];

/// Whose things a cell of the matrix asks for.
struct Place {
    prefix: &'static str,
    identifier: String,
    /// A job and a key there.
    job: String,
    key: String,
    /// A filing that was never sent: its applicant's alone.
    filing: String,
    /// Given to a key that nobody shows.
    grant: String,
    secret: &'static str,
}

/// A credential, the role that it has, and the prefix that it reaches.
struct Shown {
    name: String,
    /// `None`: nothing is shown.
    token: Option<String>,
    /// `None`: it opens nothing.
    role: Option<&'static str>,
    reaches: Option<&'static str>,
}

impl Shown {
    fn reaches(&self, place: &Place) -> bool {
        self.role == Some("administrator") || self.reaches == Some(place.prefix)
    }

    /// The same of an operation: some look at the prefixes of all.
    fn reaches_by(&self, operation: &str, place: &Place) -> bool {
        self.reaches(place) || (operation == "readPrefix" && matches!(self.role, Some("reviewer" | "auditor")))
    }

    /// Whether it sees what is the owner's alone, where it reaches.
    fn sees_all(&self) -> bool {
        !matches!(self.role, Some("auditor" | "partner" | "link"))
    }
}

async fn places(world: &World) -> Vec<Place> {
    let mut places = Vec::new();
    for (prefix, secret) in [(ONE, "SECRET-1\""), (OTHER, "SECRET-2\"")] {
        let registrar = key(world, "registrar", &[prefix]).await;
        let row = json!({"identifier": format!("{prefix}/row"), "values": [{"index": 1, "type": "名称", "data": "a"}]});
        let job = by(world.ask(Method::POST, "/v1/imports"), &registrar).typed(NDJSON, row.to_string()).send().await;
        let job = job.header("location").rsplit('/').next().unwrap().to_owned();
        ended(world, &registrar, &format!("/v1/imports/{job}")).await;
        let key = made(world, &world.key, "reader", &[prefix]).await.json()["id"].as_str().unwrap().to_owned();
        let applicant = self::key(world, "applicant", &[]).await;
        let draft = by(world.ask(Method::POST, "/v1/filings"), &applicant).json(&form(prefix, secret)).send().await;
        let filing = draft.json()["id"].as_str().unwrap().to_owned();
        let given = json!({"prefix": prefix, "to": {"key": key}, "purpose": "件"});
        let given = world.ask(Method::POST, "/v1/grants").signed().json(&given).send().await;
        let grant = given.json()["id"].as_str().unwrap().to_owned();
        places.push(Place { prefix, identifier: format!("{prefix}/a"), job, key, filing, grant, secret });
    }
    places
}

/// A day from now.
pub fn later() -> String {
    let now = mingpai::model::time::Timestamp::now().as_seconds();
    mingpai::model::time::Timestamp::from_seconds(now + 86_400).unwrap().to_string()
}

async fn credentials(world: &World) -> Vec<Shown> {
    let mut shown = vec![Shown { name: "nothing".to_owned(), token: None, role: None, reaches: None }];
    let bad =
        |name: &str, token: String| Shown { name: name.to_owned(), token: Some(token), role: None, reaches: None };
    shown.push(bad("no key", "garbage".to_owned()));
    let mut other_secret = format!("{}_{}", world.key.rsplitn(3, '_').nth(2).unwrap(), "a".repeat(51));
    other_secret = format!("{other_secret}_{:08x}", crc32c::crc32c(other_secret.as_bytes()));
    shown.push(bad("another secret", other_secret));
    for role in ["administrator", "registrar"] {
        let prefixes: &[&str] = if role == "registrar" { &[ONE] } else { &[] };
        let made = made(world, &world.key, role, prefixes).await.json();
        let id = made["id"].as_str().unwrap();
        let revoked = world.ask(Method::DELETE, &format!("/v1/keys/{id}")).signed().send().await;
        assert_eq!(revoked.status, 204);
        shown.push(bad(&format!("a revoked {role}"), made["key"].as_str().unwrap().to_owned()));
    }
    for role in ["partner", "reader", "registrar", "owner"] {
        for prefix in [ONE, OTHER] {
            let (name, token) = (format!("{role} of {prefix}"), key(world, role, &[prefix]).await);
            shown.push(Shown { name, token: Some(token), role: Some(role), reaches: Some(prefix) });
        }
    }
    for role in ["auditor", "applicant", "reviewer", "administrator"] {
        let token = key(world, role, &[]).await;
        shown.push(Shown { name: role.to_owned(), token: Some(token), role: Some(role), reaches: None });
    }
    let link = json!({"prefix": ONE, "to": {"link": true}, "purpose": "件", "valid_until": later()});
    let link = world.ask(Method::POST, "/v1/grants").signed().json(&link).send().await.json();
    let token = link["link"].as_str().unwrap().to_owned();
    shown.push(Shown { name: "a link".to_owned(), token: Some(token), role: Some("link"), reaches: None });
    // The same by sessions, of keys that have no secret.
    let mut seed = 100;
    for (role, reaches) in [
        ("reader", Some(ONE)),
        ("registrar", Some(OTHER)),
        ("owner", Some(ONE)),
        ("auditor", None),
        ("administrator", None),
    ] {
        let holder = Holder::new(world, seed, role, reaches.as_slice()).await;
        let token = holder.session(world).await;
        shown.push(Shown { name: format!("a session of the {role}"), token: Some(token), role: Some(role), reaches });
        seed += 1;
    }
    for (what, target) in [("signed out", "/v1/sessions/current"), ("revoked", "/v1/keys/")] {
        let holder = Holder::new(world, seed, "administrator", &[]).await;
        let token = holder.session(world).await;
        let ended = match target {
            "/v1/keys/" => world.ask(Method::DELETE, &format!("{target}{}", holder.id)).signed().send().await,
            _ => by(world.ask(Method::DELETE, target), &token).send().await,
        };
        assert_eq!(ended.status, 204);
        shown.push(bad(&format!("a session, {what}"), token));
        seed += 1;
    }
    shown
}

/// The operation, asked about what is at a place.
fn asked<'w>(world: &'w World, verb: &str, path: &str, operation: &str, place: &Place) -> Ask<'w> {
    let mut target = path.to_owned();
    let id = match path {
        _ if path.starts_with("/v1/keys") => &place.key,
        _ if path.starts_with("/v1/filings") => &place.filing,
        _ if path.starts_with("/v1/grants") => &place.grant,
        _ => &place.job,
    };
    for (parameter, value) in [
        ("{identifier}", place.identifier.as_str()),
        ("{id}", id),
        ("{key}", "no-request"),
        ("{tile}", "0/000.p/1"),
        ("{seq}", "1"),
        ("{name}", place.prefix),
        ("{prefix}", place.prefix),
        ("{index}", "0"),
        ("{number}", "1"),
        ("{file}", "swagger-ui.css"),
    ] {
        target = target.replace(parameter, value);
    }
    match operation {
        "listRecords" | "exportRecords" => target.push_str(&format!("?prefix={}", place.prefix)),
        "compareVersions" => target.push_str("?from=1"),
        "attachFile" => target.push_str("?kind=other"),
        _ => {}
    }
    let method: Method = verb.to_ascii_uppercase().parse().unwrap();
    let is_written = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
    let mut ask = world.ask(method, &target);
    if ["patchRecord", "deleteRecord", "replaceFiling"].contains(&operation) {
        // Which it never is at: what is in reach is refused for this, and stays as it is for the next cell.
        ask = ask.header("if-match", "\"999\"");
    }
    let value = json!([{"index": 1, "type": "名称", "data": "a"}]);
    let body = match operation {
        "createFiling" | "replaceFiling" => form(place.prefix, "件"),
        "returnFiling" | "rejectFiling" => json!({"reasons": [{"text": "a"}]}),
        "giveGrant" => json!({"prefix": place.prefix, "to": {"prefix": OTHER}, "purpose": "件"}),
        "createKey" => json!({"role": "reader", "prefixes": [place.prefix]}),
        "changeInBulk" => json!({"filter": {"prefix": place.prefix}, "operation": "retire", "dry_run": true}),
        "mintRecord" => json!({"prefix": place.prefix, "values": value}),
        "putRecord" => json!({"values": value}),
        "resolveMany" => json!({"identifiers": [place.identifier]}),
        // So that nothing of the node is changed by who may.
        "changeLogSettings" | "grantLicence" | "noteBackup" | "endLicence" | "endSigningKey" | "eraseRecord" => {
            json!({"none": 1})
        }
        _ => json!({}),
    };
    match operation {
        "attachFile" => ask.typed("application/pdf", PDF),
        _ if is_written => ask.json(&body),
        _ => ask,
    }
}

/// What is refused to who does not reach the place, and how.
fn out_of_reach(operation: &str) -> Option<(u16, &'static str)> {
    match operation {
        "listRecords" | "exportRecords" | "changeInBulk" | "mintRecord" | "deleteRecord" | "patchRecord"
        | "putRecord" | "createKey" | "giveGrant" => Some((403, "forbidden")),
        "readGrant" | "listGrantUses" | "revokeGrant" => Some((404, "grant_unknown")),
        "readPrefix" => Some((404, "not_responsible")),
        "readImport" | "readImportErrors" | "listenToImport" | "undoImport" | "readUpload" => {
            Some((404, "import_unknown"))
        }
        "readKey" | "revokeKey" => Some((404, "key_unknown")),
        "readFiling" | "replaceFiling" | "attachFile" | "readFile" | "submitFiling" | "withdrawFiling"
        | "claimFiling" | "releaseFiling" | "returnFiling" | "rejectFiling" | "approveFiling" => {
            Some((404, "filing_unknown"))
        }
        _ => None,
    }
}

/// Every operation of the document, by every credential, about what is whose.
#[tokio::test]
async fn every_operation_opens_to_whom_it_should_and_shows_nobody_anothers_values() {
    let world = world().await;
    let (places, credentials) = (places(&world).await, credentials(&world).await);
    let needs: HashMap<&str, Need> =
        NEEDS.iter().flat_map(|(need, operations)| operations.iter().map(move |id| (*id, *need))).collect();
    let mut cells = 0;
    for (path, verb, operation) in operations(&CONTRACT.document) {
        let id = operation["operationId"].as_str().unwrap();
        let need = *needs.get(id).unwrap_or_else(|| panic!("{id} has no entry in NEEDS"));
        let roles = operation.get("x-roles").map(|roles| serde_json::from_value::<Vec<String>>(roles.clone()).unwrap());
        match need {
            Need::Roles(wanted) => assert_eq!(roles.as_deref().unwrap(), wanted, "{id}"),
            Need::Nothing | Need::Open | Need::Shown => assert_eq!(roles, None, "{id}"),
        }
        for shown in &credentials {
            for place in &places {
                if id == "closeSession" && shown.name.starts_with("a session of") {
                    continue; // which would end it for the cells that follow: see signing_in
                }
                cells += 1;
                let mut ask = asked(&world, verb, path, id, place);
                if let Some(token) = &shown.token {
                    ask = by(ask, token);
                }
                let answer = ask.send().await;
                let cell = format!("{id} by {} at {}: {}", shown.name, place.prefix, answer.text());
                let code = if answer.status.as_u16() < 400 { String::new() } else { answer.code() };
                let is = |status: u16, wanted: &str| (answer.status.as_u16(), code.as_str()) == (status, wanted);
                match (need, &shown.token, shown.role) {
                    (Need::Nothing, ..) | (Need::Open, None, _) => {}
                    (Need::Roles(_) | Need::Shown, None, _) => assert!(is(401, "missing_credentials"), "{cell}"),
                    (_, Some(_), None) => assert!(is(401, "bad_credentials"), "{cell}"),
                    (Need::Open | Need::Shown, Some(_), Some(_)) => {
                        assert!(!matches!(answer.status.as_u16(), 401 | 403), "{cell}")
                    }
                    (Need::Roles(roles), Some(_), Some(role)) if !roles.contains(&role) => {
                        assert!(is(403, "forbidden"), "{cell}");
                    }
                    (Need::Roles(_), Some(_), Some(_)) => {
                        match out_of_reach(id).filter(|_| !shown.reaches_by(id, place)) {
                            Some((status, code)) => assert!(is(status, code), "{cell}"),
                            None => assert!(!matches!(answer.status.as_u16(), 401 | 403), "{cell}"),
                        }
                    }
                }
                let shows = places.iter().filter(|place| answer.text().contains(place.secret));
                let leak = shows.into_iter().find(|place| !shown.sees_all() || !shown.reaches(place));
                assert!(leak.is_none(), "{} leaks: {cell}", leak.map_or("", |place| place.prefix));
            }
        }
    }
    // By each session its own signing out is left out.
    assert!(cells >= (86 * 25 - 5) * 2, "{cells} cells");
}
