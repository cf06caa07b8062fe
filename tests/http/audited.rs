//! `GET /v1/audit`: who did what, as pages and as downloads, held against the journal itself. Whether a broken download can
//! pass for a whole one is seen on a real connection.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::{Method, Request};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mingpai::codec::cursor;
use mingpai::codec::table::cells;
use mingpai::model::time::Timestamp;
use mingpai::sign::keys::{KeyFolder, KeyUse, generate, read_signing_key};
use mingpai::sign::statement::{ErasureStatement, propose};
use mingpai::store::journal::FrameKind;
use mingpai::store::{Outcome, Proposal};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::{Answer, World, part};

const LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";
const SECRET: &str = "SECRET-VALUE-7";

/// Waits until a head covers both trees as they are now.
pub async fn covered(world: &World) {
    let (tail, started) = (world.node.services.store.tail(), Instant::now());
    let covers = || {
        let published = world.node.services.log.published();
        published.is_some_and(|published| {
            published.heads.registry.size >= tail.registry_size && published.heads.audit.size >= tail.audit_size
        })
    };
    while !covers() {
        assert!(started.elapsed() < Duration::from_secs(60), "no head comes");
        tokio::task::yield_now().await;
    }
}

async fn made_key(world: &World, body: &Json) -> Json {
    let made = world.ask(Method::POST, "/v1/keys").signed().json(body).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

async fn revoke(world: &World, id: &str) {
    let revoked = world.ask(Method::DELETE, &format!("/v1/keys/{id}")).signed().send().await;
    assert_eq!(revoked.status, 204);
}

/// What the tests ask about.
struct Done {
    world: World,
    /// A registrar's key that was revoked: its id and its text.
    key: (String, String),
    auditor: String,
}

/// A node on which something of each kind was done.
async fn busy() -> Done {
    let world = World::new().await;
    let registrar =
        json!({"label": "=ERP", "role": "registrar", "prefixes": ["88.999.1"], "expires": "9000-01-01T00:00:00Z"});
    let key = made_key(&world, &registrar).await;
    let (id, text) = (key["id"].as_str().unwrap().to_owned(), key["key"].as_str().unwrap().to_owned());
    let hidden = json!({"values": [
        {"index": 2000, "type": "名称", "data": SECRET},
        {"index": 2001, "type": "成本", "data": SECRET, "visibility": "owner"},
    ]});
    let ask = world.ask(Method::PUT, "/v1/records/88.999.1/Part-A").header("authorization", &format!("Bearer {text}"));
    assert_eq!(ask.json(&hidden).send().await.status, 201);
    world.register("88.999.1/+b", &part("乙")).await;
    world.change(Method::PUT, "88.999.1/Part-A", &part("丙")).await;
    let gone = world.ask(Method::DELETE, "/v1/records/88.999.1/%2Bb").signed().header("if-match", "*").send().await;
    assert_eq!(gone.status, 200, "{}", gone.text());
    revoke(&world, &id).await;
    let folder = tempfile::tempdir().unwrap();
    let owner = read_signing_key(&generate(folder.path(), KeyUse::Owner, 1).unwrap()).unwrap().public().clone();
    let jwk = json!({"kty": owner.kty, "crv": owner.crv, "x": owner.x});
    let licence = json!({"role": "enterprise", "prefix": "88.999.1", "holder": "甲", "key": jwk});
    let given = world.ask(Method::POST, "/v1/licences").signed().json(&licence).send().await.json();
    let end = format!("/v1/licences/{}/end", given["id"].as_str().unwrap());
    let ended = world.ask(Method::POST, &end).signed().json(&json!({"reason": "revoked"})).send().await;
    assert_eq!(ended.status, 201, "{}", ended.text());
    let row = json!({"identifier": "88.999.1/row", "values": []}).to_string();
    let job = world.ask(Method::POST, "/v1/imports").signed().typed(LINES, row).send().await;
    while world.get(job.header("location")).signed().send().await.json()["state"] == "running" {
        tokio::task::yield_now().await;
    }
    let auditor = made_key(&world, &json!({"role": "auditor"})).await["key"].as_str().unwrap().to_owned();
    covered(&world).await;
    Done { world, key: (id, text), auditor }
}

async fn asked(world: &World, query: &str, accept: &str) -> Answer {
    let answer = world.get(&format!("/v1/audit?{query}")).signed().header("accept", accept).send().await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer
}

/// One page with all.
async fn all(world: &World, query: &str) -> Vec<Json> {
    let page = asked(world, &format!("limit=1000&{query}"), "application/json").await.json();
    assert_eq!(page.get("next_cursor"), None);
    page["events"].as_array().unwrap().clone()
}

/// The pages of a query, joined.
async fn walked(world: &World, query: &str) -> Vec<Json> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = asked(world, &format!("{query}{cursor}"), "application/json").await.json();
        found.extend(page["events"].as_array().unwrap().clone());
        let Some(next) = page["next_cursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

fn named(events: &[Json]) -> Vec<&str> {
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// Sequence, tree and index of every leaf, as the journal has them.
fn leaves(world: &World) -> Vec<(u64, &'static str, u64)> {
    let mut leaves = Vec::new();
    let each = |frame: mingpai::store::journal::Frame| {
        if frame.kind.in_registry() {
            leaves.push((frame.sequence, "registry", frame.index));
        } else if frame.kind.in_audit() {
            leaves.push((frame.sequence, "audit", frame.index));
        }
        Ok(())
    };
    world.node.services.store.replay(each).unwrap();
    leaves
}

#[tokio::test]
async fn both_trees_are_told_in_the_journals_order_each_leaf_once() {
    let Done { world, key: (id, _), .. } = busy().await;
    let oldest = all(&world, "order=oldest").await;
    let told: Vec<(u64, &str, u64)> = oldest
        .iter()
        .map(|event| {
            let number = |name: &str| event[name].as_u64().unwrap();
            (number("sequence"), event["tree"].as_str().unwrap(), number("index"))
        })
        .collect();
    assert_eq!(told, leaves(&world));
    let wanted = [
        "signing_key.authorised",
        "bootstrap.used",
        "key.created",
        "record.created",
        "record.created",
        "record.updated",
        "record.deleted",
        "key.revoked",
        "licence.granted",
        "licence.ended",
        "record.created",
        "key.created",
    ];
    assert_eq!(named(&oldest), wanted);
    let subjects: Vec<&Json> = oldest[2..11].iter().map(|event| &event["subject"]).collect();
    let (first, second) = ("88.999.1/Part-A", "88.999.1/+b");
    let ids = [&*id, first, second, first, second, &*id, "88.999.1", "88.999.1", "88.999.1/row"];
    assert_eq!(subjects, ids.map(Json::from).iter().collect::<Vec<_>>());
    let mine = format!("key:{}", world.key.split('_').nth(1).unwrap());
    let principals: Vec<&str> = oldest[1..4].iter().map(|event| event["principal"].as_str().unwrap()).collect();
    assert_eq!(principals, ["bootstrap", mine.as_str(), &format!("key:{id}")]);
    assert_eq!(
        oldest[2]["detail"],
        json!({
            "label": "=ERP", "role": "registrar", "prefixes": ["88.999.1"], "expires": "9000-01-01T00:00:00Z",
            "created": oldest[2]["time"], "maker": mine,
        })
    );
    assert_eq!((&oldest[5]["version"], &oldest[6]["version"]), (&json!(2), &json!(2)));
    assert_eq!((&oldest[3].get("detail"), &oldest[2].get("version")), (&None, &None));
    assert_eq!((&oldest[8]["detail"]["holder"], &oldest[9]["detail"]["reason"]), (&json!("甲"), &json!("revoked")));
    assert!(oldest[10]["detail"]["job"].is_string());
    let mut newest = all(&world, "order=newest").await;
    assert_eq!(newest, all(&world, "").await, "the usual order");
    newest.reverse();
    assert_eq!(newest, oldest);
}

#[tokio::test]
async fn each_filter_leaves_what_it_means_in_both_orders() {
    let Done { world, key: (id, _), .. } = busy().await;
    let whole = all(&world, "order=oldest").await;
    let by = format!("key:{id}");
    let times: Vec<&str> = whole.iter().map(|event| event["time"].as_str().unwrap()).collect();
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    let is = |event: &Json, name: &str, wanted: &str| event[name] == wanted;
    type Means<'m> = Box<dyn Fn(&Json) -> bool + 'm>;
    let filters: Vec<(String, Means<'_>)> = vec![
        (format!("principal={by}"), Box::new(|event| is(event, "principal", &by))),
        ("event=record.updated".to_owned(), Box::new(|event| is(event, "event", "record.updated"))),
        ("event=key.*".to_owned(), Box::new(|event| event["event"].as_str().unwrap().starts_with("key."))),
        (format!("subject={id}"), Box::new(|event| is(event, "subject", &id))),
        // As the prefix compares, however it is spelled.
        ("subject=88.999.1/PART-a".to_owned(), Box::new(|event| is(event, "subject", "88.999.1/Part-A"))),
        ("subject=88.999.1".to_owned(), Box::new(|event| is(event, "subject", "88.999.1"))),
        ("tree=audit".to_owned(), Box::new(|event| is(event, "tree", "audit"))),
        ("tree=registry".to_owned(), Box::new(|event| is(event, "tree", "registry"))),
        (format!("since={last}"), Box::new(|event| event["time"].as_str().unwrap() >= last)),
        (format!("until={last}"), Box::new(|event| event["time"].as_str().unwrap() < last)),
        ("since=2999-01-01T08:00:00%2B08:00".to_owned(), Box::new(|_| false)),
        (format!("until={first}"), Box::new(|_| false)),
        (
            "tree=registry&event=record.*&subject=88.999.1/%2Bb".to_owned(),
            Box::new(|event| is(event, "subject", "88.999.1/+b")),
        ),
        ("tree=registry&event=key.*".to_owned(), Box::new(|_| false)),
    ];
    for (query, means) in filters {
        let wanted: Vec<Json> = whole.iter().filter(|event| means(event)).cloned().collect();
        assert_eq!(all(&world, &format!("order=oldest&{query}")).await, wanted, "{query}");
        assert_eq!(walked(&world, &format!("order=oldest&limit=1&{query}")).await, wanted, "{query}");
        let mut newest = walked(&world, &format!("limit=2&{query}")).await;
        newest.reverse();
        assert_eq!(newest, wanted, "{query}");
    }
    assert_eq!(all(&world, "subject=88.999.1/PART-a").await.len(), 2, "the filters above do mean something");
}

#[tokio::test]
async fn cursors_walk_the_whole_without_gap_or_repetition_while_more_is_written() {
    let Done { world, .. } = busy().await;
    let before = leaves(&world).len();
    let (mut oldest, mut newest) = (Vec::new(), Vec::new());
    let (mut at_oldest, mut at_newest) = (Some(String::new()), Some(String::new()));
    for round in 0.. {
        for (order, found, at) in [("oldest", &mut oldest, &mut at_oldest), ("newest", &mut newest, &mut at_newest)] {
            let Some(cursor) = at.take() else { continue };
            let page = asked(&world, &format!("order={order}&limit=5{cursor}"), "application/json").await.json();
            found.extend(page["events"].as_array().unwrap().clone());
            *at = page["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
        }
        if round < 2 {
            world.register(&format!("88.999.1/w{round}"), &part("丁")).await;
            let id = made_key(&world, &json!({"role": "auditor"})).await["id"].as_str().unwrap().to_owned();
            revoke(&world, &id).await;
            covered(&world).await;
        }
        if at_oldest.is_none() && at_newest.is_none() {
            break;
        }
    }
    let place = |event: &Json| event["sequence"].as_u64().unwrap();
    let told: Vec<u64> = oldest.iter().map(place).collect();
    let written: Vec<u64> = leaves(&world).iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(told, written, "with what was written meanwhile");
    let mut told: Vec<u64> = newest.iter().map(place).collect();
    told.reverse();
    assert_eq!(told, written[..before], "as it was when the first page was asked for");
}

#[tokio::test]
async fn a_download_is_what_the_pages_are() {
    let Done { world, .. } = busy().await;
    for query in ["order=oldest", "order=newest", "event=record.*", "tree=audit&order=oldest", "event=none"] {
        let events = all(&world, query).await;
        let lines = asked(&world, query, LINES).await;
        assert_eq!((lines.header("content-type"), lines.header("cache-control")), (LINES, "no-store"));
        assert_eq!(lines.header("content-disposition"), "attachment; filename=\"audit.ndjson\"");
        let told: Vec<Json> = lines.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(told, events, "{query}");
        let table = asked(&world, query, CSV).await;
        assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
        let text = table.text();
        let rows: Vec<&str> = text.strip_suffix("\r\n").unwrap().split("\r\n").collect();
        assert_eq!(rows[0], "sequence,time,event,principal,subject,version,tree,index,detail");
        let from_cells = |row: &&str| {
            let row: Vec<String> = cells::read(row.as_bytes(), ',').into_iter().map(cells::plain).collect();
            let number = |at: usize| row[at].parse::<u64>().unwrap();
            let mut event = json!({
                "sequence": number(0), "time": row[1], "event": row[2], "principal": row[3], "tree": row[6], "index": number(7),
                "subject": Some(&row[4]).filter(|subject| !subject.is_empty()),
            });
            if !row[5].is_empty() {
                event["version"] = number(5).into();
            }
            if !row[8].is_empty() {
                event["detail"] = serde_json::from_str(&row[8]).unwrap();
            }
            event
        };
        assert_eq!(rows[1..].iter().map(from_cells).collect::<Vec<_>>(), events, "{query}");
        assert!(rows.iter().all(|row| row.split(',').all(|cell| !cell.starts_with(['=', '+', '-', '@']))), "{text}");
    }
}

/// More leaves than a page looks at.
#[tokio::test]
async fn a_page_that_has_looked_long_enough_ends_and_the_next_goes_on() {
    let world = World::new().await;
    let first = all_after_head(&world).await;
    let rows: String = (0..8_300)
        .map(|number| json!({"identifier": format!("88.999.1/n{number}"), "values": []}).to_string() + "\n")
        .collect();
    let job = world.ask(Method::POST, "/v1/imports").signed().typed(LINES, rows).send().await;
    while world.get(job.header("location")).signed().send().await.json()["state"] == "running" {
        tokio::task::yield_now().await;
    }
    covered(&world).await;
    let page = asked(&world, "event=bootstrap.used", "application/json").await.json();
    assert_eq!(page["events"], json!([]), "it is further back than one page looks");
    let cursor = page["next_cursor"].as_str().expect("an empty page that is not the last");
    let next = asked(&world, &format!("event=bootstrap.used&cursor={cursor}"), "application/json").await.json();
    assert_eq!(next["events"][0]["sequence"], first);
    let lines = asked(&world, "order=oldest", LINES).await.text();
    let told: Vec<Json> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<u64> = told.iter().map(|event| event["sequence"].as_u64().unwrap()).collect();
    assert_eq!(told, leaves(&world).iter().map(|(sequence, ..)| *sequence).collect::<Vec<_>>());
    let backwards = asked(&world, "order=newest", LINES).await.text();
    assert!(backwards.lines().rev().eq(lines.lines()), "one is the other backwards");
}

async fn all_after_head(world: &World) -> u64 {
    covered(world).await;
    all(world, "event=bootstrap.used").await[0]["sequence"].as_u64().unwrap()
}

#[tokio::test]
async fn an_identifier_that_is_erased_is_told_no_more() {
    let Done { world, .. } = busy().await;
    assert_eq!(all(&world, "subject=88.999.1/Part-A").await.len(), 2);
    let (row, key) = {
        let identifier = world.node.services.identifier("88.999.1/Part-A").unwrap();
        (world.node.services.store.row(identifier.key()).unwrap().unwrap(), identifier.key().clone())
    };
    let keys = KeyFolder::open(&world.keys(), 1).unwrap();
    let (now, mut next, mut statements) = (Timestamp::now(), Some(row.location), Vec::new());
    while let Some(place) = next {
        let frame = world.node.services.store.frame(place).unwrap();
        let payload = String::from_utf8(frame.statement.clone()).unwrap();
        let payload: Json =
            serde_json::from_slice(&BASE64URL.decode(payload.split('.').nth(1).unwrap()).unwrap()).unwrap();
        let statement = ErasureStatement {
            iat: now.as_seconds(),
            iss: payload["iss"].as_str().unwrap().to_owned(),
            sid: payload["sid"].as_str().unwrap().to_owned(),
            leaf: BASE64URL.encode(mingpai::store::rows::leaf_hash(&frame.statement)),
            last: statements.is_empty(),
        };
        statements
            .push(propose(keys.all(KeyUse::Entry)[0], FrameKind::Erasure, &statement, now, "key:eraser").unwrap());
        next = frame.meta.previous;
    }
    let done = world.node.services.store.commit(vec![Proposal::Erase { key, statements }], false).await;
    assert!(matches!(done[0], Outcome::Committed(_)), "{done:?}");
    covered(&world).await;
    for accept in ["application/json", LINES, CSV] {
        assert!(!asked(&world, "", accept).await.text().contains("Part-A"), "{accept}");
    }
    assert_eq!(all(&world, "subject=88.999.1/Part-A").await, Vec::<Json>::new());
    let events = all(&world, "event=record.*&order=oldest").await;
    let erased: Vec<&Json> = events.iter().filter(|event| event["event"] == "record.erased").collect();
    assert_eq!(erased.len(), 2);
    for event in erased {
        assert_eq!((&event["subject"], &event["principal"]), (&Json::Null, &json!("key:eraser")));
        let of = |other: &&Json| other["index"] == event["detail"]["erases"];
        let entry = events.iter().find(of).expect("it says which leaf");
        assert_eq!((&entry["subject"], entry["version"].is_u64()), (&Json::Null, true), "{entry}");
    }
}

#[tokio::test]
async fn no_form_tells_a_secret_a_hash_or_a_value() {
    let Done { world, key: (_, text), auditor, .. } = busy().await;
    for accept in ["application/json", LINES, CSV] {
        let by = format!("Bearer {auditor}");
        let answer = world.get("/v1/audit").header("authorization", &by).header("accept", accept).send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.text();
        for secret in [SECRET, &world.key, &text, &auditor, "mpk_", "mpb_", "hash", "token", "bootstrap:", "名称", "丙"]
        {
            assert!(!told.contains(secret), "{accept} tells {secret}: {told}");
        }
        for shown in [&world.key, &text, &auditor] {
            let hash = ring::digest::digest(&ring::digest::SHA256, shown.as_bytes());
            assert!(!told.contains(&BASE64URL.encode(hash)), "{accept} tells a hash");
        }
    }
}

/// What comes over a connection of its own, as it comes, up to its end.
async fn over_a_socket(world: &World, accept: &str) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, http) = (listener.local_addr().unwrap(), world.http.clone());
    let serving = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let http = http.clone();
            async move { Ok::<_, Infallible>(http.answer(request.map(Body::new)).await) }
        });
        // A body that breaks off ends it with an error.
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await.ok();
    });
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "GET /v1/audit HTTP/1.1\r\nhost: a\r\nconnection: close\r\naccept: {accept}\r\nauthorization: Bearer {}\r\n\r\n",
        world.key
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut told = Vec::new();
    // Reset or closed: what has come counts.
    socket.read_to_end(&mut told).await.ok();
    serving.await.unwrap();
    String::from_utf8(told).unwrap()
}

#[tokio::test]
async fn a_leaf_that_cannot_be_read_breaks_the_download_off() {
    const LAST_CHUNK: &str = "\r\n0\r\n\r\n";
    let Done { world, .. } = busy().await;
    world.rot("88.999.1/row");
    let refused = world.get("/v1/audit").signed().send().await;
    assert_eq!(refused.status.as_u16() / 100, 5, "{}", refused.text());
    for accept in [LINES, CSV] {
        let told = over_a_socket(&world, accept).await;
        assert!(!told.ends_with(LAST_CHUNK), "a part passes for the whole: {told}");
    }
    world.rot("88.999.1/row");
    for accept in [LINES, CSV] {
        let told = over_a_socket(&world, accept).await;
        assert!(told.starts_with("HTTP/1.1 200 ") && told.ends_with(LAST_CHUNK), "{told}");
        assert!(told.contains("88.999.1/row") && told.contains("signing_key.authorised"), "{told}");
    }
}

#[tokio::test]
async fn auditors_and_administrators_only_are_told() {
    let Done { world, auditor, .. } = busy().await;
    let get = |key: String| world.get("/v1/audit").header("authorization", &format!("Bearer {key}")).send();
    assert_eq!(world.get("/v1/audit?limit=x").send().await.code(), "missing_credentials");
    assert_eq!(get("garbage".to_owned()).await.code(), "bad_credentials");
    for role in ["reader", "registrar", "owner"] {
        let key = made_key(&world, &json!({"role": role, "prefixes": ["88.999.1"]})).await;
        let refused = get(key["key"].as_str().unwrap().to_owned()).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (403, "forbidden"), "{role}");
    }
    assert_eq!(get(auditor).await.status, 200);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_refused_by_name_in_both_languages() {
    let Done { world, .. } = busy().await;
    let of_keys = cursor::encode(cursor::Kind::Keys, "a");
    let beyond = cursor::encode(cursor::Kind::Trail, "n.1000000.1");
    let newest = asked(&world, "limit=1", "application/json").await.json()["next_cursor"].as_str().unwrap().to_owned();
    for (query, name, en, zh) in [
        ("who=me", "who", "there are principal, event", "可用的有"),
        ("principal=", "principal", "leave it out", "不限则不要给出"),
        ("subject=", "subject", "leave it out", "不限则不要给出"),
        ("event=Key.Created", "event", "such as key.created", "如 key.created"),
        ("event=*", "event", "key.*", "key.*"),
        ("since=yesterday", "since", "RFC 3339", "RFC 3339"),
        ("until=2026-11-29T08:00:00+08:00", "until", "%2B", "%2B"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-02T00:00:00Z", "until", "later than since", "应晚于 since"),
        ("tree=oak", "tree", "audit or registry", "audit 或 registry"),
        ("order=up", "order", "newest or oldest", "newest 或 oldest"),
        ("limit=0", "limit", "from 1 to 1000", "1 至 1000"),
        ("limit=1001", "limit", "from 1 to 1000", "1 至 1000"),
        ("tree=audit&tree=audit", "tree", "once", "一次"),
        ("cursor=x", "cursor", "no cursor", "不是本列表"),
        (&format!("cursor={of_keys}"), "cursor", "no cursor", "不是本列表"),
        (&format!("cursor={beyond}"), "cursor", "no cursor", "不是本列表"),
        (&format!("cursor={newest}&order=oldest"), "cursor", "the other order", "另一次序"),
    ] {
        for (language, told) in [("en", en), ("zh-CN", zh)] {
            let refused =
                world.get(&format!("/v1/audit?{query}")).signed().header("accept-language", language).send().await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (400, "query_invalid"), "{query}");
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.starts_with(name) && detail.contains(told), "{query}: {detail}");
        }
    }
    for (query, accept) in [("limit=1", LINES), (&*format!("cursor={newest}"), CSV)] {
        let refused = world.get(&format!("/v1/audit?{query}")).signed().header("accept", accept).send().await;
        assert_eq!(refused.code(), "query_invalid", "{query}");
    }
    assert_eq!(world.get("/v1/audit").signed().header("accept", "image/png").send().await.code(), "not_acceptable");
    // A cursor goes on in its own order, if none is named.
    assert_eq!(walked(&world, &format!("cursor={newest}")).await.len() + 1, leaves(&world).len());
}
