//! Register: create, change, delete, mint; preconditions; idempotency keys; history.

use http::Method;
use mingpai::codec::cursor::{self, Kind};
use serde_json::json;

use crate::world::{Answer, World, part};

const NAME: &str = "88.999.1/A-1";
const RECORD: &str = "/v1/records/88.999.1/A-1";

async fn put(world: &World, headers: &[(&str, &str)], name: &str) -> Answer {
    let mut ask = world.ask(Method::PUT, RECORD).signed();
    for (header, value) in headers {
        ask = ask.header(header, value);
    }
    ask.json(&part(name)).send().await
}

#[tokio::test]
async fn creating_answers_201_with_location_version_and_leaf() {
    let world = World::new().await;
    let done = put(&world, &[], "一").await;
    assert_eq!(done.status, 201);
    assert_eq!(done.header("location"), RECORD);
    assert_eq!(done.header("etag"), "\"1\"");
    let body = done.json();
    assert_eq!(body["identifier"], NAME);
    assert_eq!((&body["version"], &body["effect"]), (&json!(1), &json!("created")));
    assert!(body["index"].as_u64().unwrap() >= 1, "0 is the genesis");
    use base64::Engine;
    let leaf = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body["leaf"].as_str().unwrap()).unwrap();
    assert_eq!(leaf.len(), 32);
    let record = world.get(RECORD).send().await;
    assert_eq!(record.json()["values"][0]["data"]["value"], "一");
    assert_eq!(record.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn the_location_of_a_chinese_suffix_leads_to_the_record() {
    let world = World::new().await;
    let done = world.register("88.999.1/%E9%93%AD%20%E7%89%8C%3F%23", &part("一")).await;
    assert_eq!(done.json()["identifier"], "88.999.1/铭 牌?#");
    let location = done.header("location").to_owned();
    assert_eq!(world.get(&location).send().await.status, 200);
}

#[tokio::test]
async fn each_precondition_is_kept() {
    let world = World::new().await;
    let (none, only) = ("if-none-match", "if-match");
    let absent = put(&world, &[(only, "\"1\"")], "a").await;
    assert_eq!((absent.status.as_u16(), absent.code().as_str()), (412, "version_mismatch"));
    assert_eq!(put(&world, &[(only, "*")], "a").await.status, 412);
    assert_eq!(put(&world, &[(none, "*")], "a").await.status, 201);
    let exists = put(&world, &[(none, "*")], "b").await;
    assert_eq!((exists.status.as_u16(), exists.code().as_str()), (412, "already_exists"));
    let bare = put(&world, &[], "b").await;
    assert_eq!((bare.status.as_u16(), bare.code().as_str()), (428, "precondition_required"));
    let other = put(&world, &[(only, "\"2\"")], "b").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (412, "version_mismatch"));
    let changed = put(&world, &[(only, "\"1\"")], "b").await;
    assert_eq!((changed.status.as_u16(), changed.header("etag")), (200, "\"2\""));
    assert_eq!(changed.json()["effect"], "updated");
    assert_eq!(put(&world, &[(only, "*")], "c").await.header("etag"), "\"3\"");
    assert_eq!(put(&world, &[(only, "\"9\", \"3\"")], "d").await.status, 200);
    for headers in [&[(only, "3")][..], &[(none, "\"3\"")], &[(only, "*"), (none, "*")]] {
        let wrong = put(&world, headers, "e").await;
        assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (400, "header_invalid"));
    }
}

#[tokio::test]
async fn a_patch_merges_and_a_deletion_is_for_ever() {
    let world = World::new().await;
    put(&world, &[], "a").await;
    let patch = json!({"values": [{"index": 2001, "type": "批次", "data": "L1"}]});
    let bare = world.ask(Method::PATCH, RECORD).signed().json(&patch).send().await;
    assert_eq!(bare.code(), "precondition_required");
    let done = world
        .ask(Method::PATCH, RECORD)
        .signed()
        .header("if-match", "\"1\"")
        .typed("application/merge-patch+json", patch.to_string())
        .send()
        .await;
    assert_eq!(done.status, 200, "{}", done.text());
    let values = world.get(RECORD).send().await.json()["values"].clone();
    assert_eq!(values.as_array().unwrap().len(), 2);
    let delete = |tag: &'static str| world.ask(Method::DELETE, RECORD).signed().header("if-match", tag).send();
    assert_eq!(delete("\"1\"").await.status, 412);
    let gone = delete("\"2\"").await;
    assert_eq!((gone.status.as_u16(), gone.json()["effect"].as_str()), (200, Some("deleted")));
    for answer in [delete("*").await, put(&world, &[(("if-none-match"), "*")], "a").await, put(&world, &[], "a").await]
    {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (410, "identifier_deleted"));
    }
    let unknown = world.ask(Method::DELETE, "/v1/records/88.999.1/none").signed().header("if-match", "*").send().await;
    assert_eq!(unknown.code(), "identifier_unknown");
}

#[tokio::test]
async fn everything_wrong_with_a_document_is_told_at_once() {
    let world = World::new().await;
    let wrong = json!({"values": [{"index": 0, "type": "", "data": 1}, {"index": 2, "type": "a"}], "vlaues": []});
    let answer = world.ask(Method::PUT, RECORD).signed().header("accept-language", "en").json(&wrong).send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "fields_invalid"));
    let pointers: Vec<String> = answer.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    for pointer in ["/values/0/index", "/values/1/data", "/vlaues"] {
        assert!(pointers.iter().any(|found| found == pointer), "{pointer} in {pointers:?}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_documents_have_their_own_codes() {
    let world = World::with(&[("limits.body_bytes", "2000")]).await;
    let deep = format!("{{\"values\":{}1{}}}", "[".repeat(40), "]".repeat(40));
    for (media_type, body, status, code) in [
        ("application/json", "{".to_owned(), 400, "json_syntax"),
        ("application/json", String::new(), 400, "json_syntax"),
        ("application/json", deep, 400, "json_too_deep"),
        ("application/json", "{\"a\":1,\"a\":1}".to_owned(), 400, "json_duplicate_key"),
        ("application/json", "{\"values\":1e-400}".to_owned(), 400, "json_number_inexact"),
        ("text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/json", " ".repeat(2001), 413, "body_too_large"),
    ] {
        let answer = world.ask(Method::PUT, RECORD).signed().typed(media_type, body).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
    }
    let packed =
        world.ask(Method::PUT, RECORD).signed().header("content-encoding", "gzip").json(&part("a")).send().await;
    assert_eq!(packed.code(), "unsupported_media_type");
    let charset = world
        .ask(Method::PUT, RECORD)
        .signed()
        .typed("Application/JSON; charset=utf-8", part("a").to_string())
        .send()
        .await;
    assert_eq!(charset.status, 201);
}

#[tokio::test]
async fn what_is_not_ours_or_not_free_is_refused() {
    let world = World::new().await;
    let alias = json!({"aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}]});
    world.register("88.999.1/one", &alias).await;
    let ask = |name: &str, body: serde_json::Value| {
        world.ask(Method::PUT, &format!("/v1/records/{name}")).signed().json(&body).send()
    };
    let taken = ask("88.999.1/two", alias.clone()).await;
    assert_eq!((taken.status.as_u16(), taken.code().as_str()), (409, "alias_taken"));
    let foreign = ask("88.123.4/x", part("a")).await;
    assert_eq!((foreign.status.as_u16(), foreign.code().as_str()), (404, "not_responsible"));
    let broken = ask("88.999.1/", part("a")).await;
    assert_eq!((broken.status.as_u16(), broken.code().as_str()), (400, "identifier_invalid"));
    let patch = |status: &str| {
        world
            .ask(Method::PATCH, "/v1/records/88.999.1/one")
            .signed()
            .header("if-match", "*")
            .json(&json!({ "status": status }))
            .send()
    };
    assert_eq!(patch("recalled").await.status, 200);
    let step = patch("suspended").await;
    assert_eq!((step.status.as_u16(), step.code().as_str()), (409, "status_change_refused"));
    let large: Vec<_> =
        (1..=30).map(|index| json!({"index": index, "type": "a", "data": "x".repeat(30_000)})).collect();
    let kept = ask("88.999.1/large", json!({ "values": large })).await;
    assert!(matches!(kept.status.as_u16(), 201 | 413), "{}", kept.text());
}

#[tokio::test]
async fn a_stranger_hears_401_before_anything_that_he_sent_is_judged() {
    let world = World::new().await;
    for (method, target) in [
        (Method::PUT, "/v1/records/88.999.1/A-1"),
        (Method::PUT, "/v1/records/%zz"),
        (Method::PATCH, "/v1/records/00012444"),
        (Method::DELETE, "/v1/records/88.999.1/none?x=1"),
        (Method::POST, "/v1/records"),
        (Method::POST, "/v1/imports?mapping={"),
        (Method::GET, "/v1/imports/none"),
        (Method::GET, "/v1/imports/none/errors"),
        (Method::GET, "/v1/requests/none"),
        (Method::POST, "/v1/keys"),
        (Method::GET, "/v1/keys"),
        (Method::GET, "/v1/keys/none"),
        (Method::DELETE, "/v1/keys/none"),
    ] {
        let ask = || world.ask(method.clone(), target).typed("text/odd", "{");
        let missing = ask().send().await;
        assert_eq!(
            (missing.status.as_u16(), missing.code().as_str()),
            (401, "missing_credentials"),
            "{method} {target}"
        );
        assert_eq!(missing.header("www-authenticate"), "Bearer realm=\"mingpai\"");
        for credential in ["Bearer mpk_abc_def_00000000", "Bearer x", "Bearer", "Basic YTpi", "Bearer a b"] {
            let bad = ask().header("authorization", credential).send().await;
            assert_eq!((bad.status.as_u16(), bad.code().as_str()), (401, "bad_credentials"), "{method} {target}");
            assert!(!bad.text().contains("mpk_abc"));
        }
    }
    let reader = world.get("/v1/resolve/88.999.1/A-1").header("authorization", "Bearer wrong").send().await;
    assert_eq!(reader.code(), "bad_credentials");
    let two = world.get("/v1/keys").signed().signed().send().await;
    assert_eq!(two.code(), "bad_credentials");
}

#[tokio::test]
async fn a_repeated_request_gets_its_first_answer_and_another_one_is_refused() {
    let world = World::new().await;
    let key = [("idempotency-key", "k-1"), ("if-none-match", "*")];
    let first = put(&world, &key, "a").await;
    assert_eq!(first.status, 201);
    let again = put(&world, &key, "a").await;
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    assert_eq!(again.header("location"), RECORD);
    let other = put(&world, &key, "b").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (422, "idempotency_mismatch"));
    let other = put(&world, &[("idempotency-key", "k-1")], "a").await;
    assert_eq!(other.code(), "idempotency_mismatch");
    let told = world.get("/v1/requests/k-1").signed().send().await;
    assert_eq!((told.status.as_u16(), told.json()), (200, first.json()));
    let unknown = world.get("/v1/requests/k-2").signed().send().await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "request_unknown"));
    for bad in ["", "a b", &"x".repeat(256)] {
        let wrong = put(&world, &[("idempotency-key", bad)], "a").await;
        assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (400, "header_invalid"));
    }
    // A failed request leaves the key free.
    let failed = put(&world, &[("idempotency-key", "k-3")], "a").await;
    assert_eq!(failed.code(), "precondition_required");
    let mended = put(&world, &[("idempotency-key", "k-3"), ("if-match", "*")], "b").await;
    assert_eq!(mended.status, 200);
}

#[tokio::test]
async fn a_minted_suffix_is_new_each_time_and_repeats_with_its_key() {
    let world = World::new().await;
    let mut body = part("a");
    body["prefix"] = json!("88.999.1");
    let mint = |key: &'static str, body: &serde_json::Value| {
        world.ask(Method::POST, "/v1/records").signed().header("idempotency-key", key).json(body).send()
    };
    let one = mint("m-1", &body).await;
    assert_eq!(one.status, 201, "{}", one.text());
    let two = mint("m-2", &body).await;
    assert_ne!(one.json()["identifier"], two.json()["identifier"]);
    assert_eq!(mint("m-1", &body).await.json(), one.json());
    let location = one.header("location").to_owned();
    assert_eq!(world.get(&location).send().await.status, 200);
    let missing = mint("m-3", &part("a")).await;
    assert_eq!(missing.json()["errors"][0]["pointer"], "/prefix");
    body["prefix"] = json!("88.123");
    assert_eq!(mint("m-4", &body).await.code(), "not_responsible");
}

/// The journal's bytes changed on the disk under a running node.
#[tokio::test]
async fn a_record_that_rotted_is_answered_500_by_its_own_code_and_all_others_as_ever() {
    let world = World::new().await;
    let long = "长".repeat(500);
    for (name, text) in [("SHORT", "短"), ("LONG", &long), ("WELL", "好")] {
        world.register(&format!("88.999.1/{name}"), &part(text)).await;
    }
    for name in ["SHORT", "LONG"] {
        let (identifier, target) = (format!("88.999.1/{name}"), format!("/v1/records/88.999.1/{name}"));
        world.rot(&identifier);
        for (language, word) in [("zh", "无法读出"), ("en", "cannot be read")] {
            let change = world.ask(Method::PUT, &target).signed().header("if-match", "*");
            let refused = change.header("accept-language", language).json(&part("新")).send().await;
            assert_eq!((refused.status.as_u16(), refused.code().as_str()), (500, "record_damaged"));
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.to_uppercase().contains(&identifier) && detail.contains(word), "{detail}");
            assert!(refused.json()["remedy"].as_str().unwrap().contains("mingpai doctor"));
        }
        let read = world.get(&target).send().await;
        // A short record is served from its row, which is whole; a long one lies in the journal alone.
        assert_eq!(read.status, if name == "SHORT" { 200 } else { 500 });
        world.change(Method::PUT, "88.999.1/WELL", &part(name)).await;
        assert_eq!(world.get("/readyz").send().await.status, 200);
        world.rot(&identifier);
        let put_back = world.change(Method::PUT, &identifier, &part("新")).await;
        assert_eq!(put_back.json()["version"], 2);
    }
}

/// What a repeated request is answered, old versions and the signed entry are read from the journal too.
#[tokio::test]
async fn every_read_that_meets_rot_names_the_record() {
    let world = World::new().await;
    let put = async |key: &str, etag: (&str, &str), text: &str| {
        let ask = world.ask(Method::PUT, RECORD).signed().header("idempotency-key", key).header(etag.0, etag.1);
        ask.json(&part(text)).send().await
    };
    assert_eq!(put("r-1", ("if-none-match", "*"), "v1").await.status, 201);
    world.rot(NAME);
    let damaged = |answer: crate::world::Answer, named: &str, asked: &str| {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "record_damaged"), "{asked}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(named), "{asked}: {detail}");
    };
    damaged(put("r-1", ("if-none-match", "*"), "v1").await, NAME, "the same again");
    damaged(world.get("/v1/requests/r-1").signed().send().await, "r-1", "by its key");
    damaged(world.get(&format!("/v1/resolve/{NAME}?entry=1")).send().await, NAME, "entry=1");
    world.rot(NAME);
    let sick = world.node.services.store.row(world.node.services.identifier(NAME).unwrap().key()).unwrap().unwrap();
    for (etag, text) in [("\"1\"", "v2"), ("\"2\"", "v3")] {
        assert_eq!(put(&format!("r-{text}"), ("if-match", etag), text).await.status, 200);
    }
    world.rot_at(sick.location);
    damaged(world.get(&format!("/v1/resolve/{NAME}?at=1")).send().await, NAME, "at=1");
    assert_eq!(world.get(&format!("/v1/resolve/{NAME}?at=2")).send().await.status, 200);
    world.rot(NAME);
    damaged(world.get(&format!("/v1/resolve/{NAME}?at=2")).send().await, NAME, "at=2");
}

#[tokio::test]
async fn history_is_newest_first_and_pages_by_cursor() {
    let world = World::new().await;
    put(&world, &[], "v1").await;
    for version in 2..=5 {
        world.change(Method::PUT, NAME, &part(&format!("v{version}"))).await;
    }
    world.ask(Method::DELETE, RECORD).signed().header("if-match", "*").send().await;
    let mut found = Vec::new();
    let mut target = "/v1/history/88.999.1/A-1?limit=4".to_owned();
    loop {
        let page = world.get(&target).send().await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        for version in page["versions"].as_array().unwrap() {
            found.push((
                version["version"].as_u64().unwrap(),
                version["effect"].as_str().unwrap().to_owned(),
                version["status"].as_str().unwrap().to_owned(),
            ));
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        target = format!("/v1/history/88.999.1/A-1?limit=4&cursor={cursor}");
    }
    let versions: Vec<u64> = found.iter().map(|(version, ..)| *version).collect();
    assert_eq!(versions, [6, 5, 4, 3, 2, 1]);
    assert_eq!((found[0].1.as_str(), found[0].2.as_str()), ("deleted", "deleted"));
    assert_eq!((found[5].1.as_str(), found[5].2.as_str()), ("created", "active"));
    for bad in ["cursor=x", "limit=0", "limit=1001", "before=3"] {
        let answer = world.get(&format!("/v1/history/88.999.1/A-1?{bad}")).send().await;
        assert_eq!(answer.code(), "query_invalid", "{bad}");
    }
    let unknown = world.get("/v1/history/88.999.1/none").send().await;
    assert_eq!(unknown.code(), "identifier_unknown");
}

/// The first page of a history, and the cursor to the next.
async fn paged(world: &World, target: &str) -> (Vec<u64>, Option<String>) {
    let page = world.get(target).send().await;
    assert_eq!(page.status, 200, "{target}: {}", page.text());
    let page = page.json();
    let versions = page["versions"].as_array().unwrap().iter();
    (
        versions.map(|version| version["version"].as_u64().unwrap()).collect(),
        page["next_cursor"].as_str().map(str::to_owned),
    )
}

/// Rot in the newest version is no matter to a page that begins below it: it is not read again.
#[tokio::test]
async fn a_page_of_a_history_reads_no_version_above_it() {
    let world = World::new().await;
    put(&world, &[], "v1").await;
    for version in 2..=6 {
        world.change(Method::PUT, NAME, &part(&format!("v{version}"))).await;
    }
    let target = |cursor: &str| format!("/v1/history/88.999.1/A-1?limit=2&cursor={cursor}");
    let (first, cursor) = paged(&world, "/v1/history/88.999.1/A-1?limit=2").await;
    assert_eq!(first, [6, 5]);
    world.change(Method::PUT, NAME, &part("v7")).await;
    world.rot(NAME);
    let (second, next) = paged(&world, &target(&cursor.unwrap())).await;
    assert_eq!(second, [4, 3]);
    assert_eq!(paged(&world, &target(&next.unwrap())).await, (vec![2, 1], None));
    let whole = world.get("/v1/history/88.999.1/A-1").send().await;
    assert_eq!((whole.status.as_u16(), whole.code().as_str()), (500, "record_damaged"));
}

/// Reading is open to everybody, and a record may have any number of versions.
#[tokio::test]
async fn one_request_reads_a_bounded_part_of_a_records_past_and_a_cursor_leads_on() {
    let world = World::with(&[("limits.history_bytes", "4096")]).await;
    put(&world, &[], "v1").await;
    for version in 2..=20 {
        world.change(Method::PUT, NAME, &part(&format!("v{version}"))).await;
    }
    let resolve = async |query: &str| world.get(&format!("/v1/resolve/{NAME}?{query}")).send().await;
    let (mut found, mut queries) = (Vec::new(), vec![String::new()]);
    loop {
        let query = &queries[queries.len() - 1];
        let (versions, next) = paged(&world, &format!("/v1/history/{NAME}?limit=1000{query}")).await;
        assert!((1..=6).contains(&versions.len()), "{versions:?}");
        for version in &versions {
            let asked = resolve(&format!("at={version}{query}")).await;
            assert_eq!(asked.json()["version"], *version, "{}", asked.text());
        }
        found.extend(versions);
        let Some(next) = next else { break };
        queries.push(format!("&cursor={next}"));
    }
    assert_eq!(found, (1..=20).rev().collect::<Vec<u64>>());
    for far in ["at=1", "at=2000-01-01T00:00:00Z", &format!("at=1{}", queries[1])] {
        let answer = resolve(far).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, "version_far_back"), "{far}");
        assert!(answer.text().contains("/v1/history/"));
    }
    let last = &queries[queries.len() - 1];
    world.register("88.999.1/B-2", &part("other")).await;
    world.change(Method::PUT, "88.999.1/B-2", &part("again")).await;
    for wrong in ["at=19", "at=2030-01-01T00:00:00Z", "entry=1"] {
        assert_eq!(resolve(&format!("{wrong}{last}")).await.code(), "query_invalid", "{wrong}");
    }
    let stranger = world.get(&format!("/v1/resolve/88.999.1/B-2?at=1{last}")).send().await;
    assert_eq!(stranger.code(), "query_invalid", "it is another record's cursor");
}

/// Cursors are a client's to hand back, so also to forge: every place in the journal, as every version.
#[tokio::test]
async fn a_forged_cursor_of_a_history_is_refused_and_shows_nothing() {
    let world = World::new().await;
    for name in ["A-1", "B-2"] {
        world.register(&format!("88.999.1/{name}"), &part("v1")).await;
        for version in 2..=3 {
            world.change(Method::PUT, &format!("88.999.1/{name}"), &part(&format!("v{version}"))).await;
        }
    }
    let (_, cursor) = paged(&world, "/v1/history/88.999.1/B-2?limit=1").await;
    let place = cursor::decode(Kind::Versions, &cursor.unwrap()).unwrap();
    let numbers: Vec<u64> = place.split('.').map(|number| number.parse().unwrap()).collect();
    let [version, segment, offset] = numbers[..] else { panic!("{place}") };
    assert_eq!((version, segment), (3, 1));
    let ask = async |name: &str, place: &str| {
        let cursor = cursor::encode(Kind::Versions, place);
        world.get(&format!("/v1/history/88.999.1/{name}?cursor={cursor}")).send().await
    };
    assert_eq!(ask("B-2", &place).await.json()["versions"].as_array().unwrap().len(), 2);
    assert_eq!(ask("A-1", &place).await.code(), "query_invalid", "another record's place");
    let mut taken = Vec::new();
    let end = world.node.services.store.tail().offset;
    for offset in 0..u64::from(end) + 200 {
        for version in 1..=4 {
            let answer = ask("A-1", &format!("{version}.1.{offset}")).await;
            match answer.status.as_u16() {
                200 => {
                    let page = answer.json();
                    assert_eq!(page["identifier"], "88.999.1/A-1");
                    taken.push((version, page["versions"].as_array().unwrap().len()));
                }
                _ => assert_eq!(answer.code(), "query_invalid"),
            }
        }
    }
    assert_eq!(taken, [(1, 0), (2, 1), (3, 2)], "its own versions at their own places, and nothing else");
    let (big, bigger) = (u64::from(u32::MAX), u64::MAX);
    for place in [
        format!("{version}.{segment}.{}", big),
        format!("{version}.{segment}.{}", big + 1),
        format!("{version}.0.{offset}"),
        format!("{version}.2.{offset}"),
        format!("{version}.{big}.{offset}"),
        format!("{bigger}.{segment}.{offset}"),
        format!("0.{segment}.{offset}"),
        format!("{version}.{segment}"),
        format!("{version}.{segment}.{offset}.1"),
        format!("+{version}.{segment}.{offset}"),
        format!("{version}.{segment}.-{offset}"),
        format!("{version}.{segment}. {offset}"),
        "3".to_owned(),
        "...".to_owned(),
        String::new(),
    ] {
        assert_eq!(ask("B-2", &place).await.code(), "query_invalid", "{place}");
    }
}
