//! Erasing: what a record ever said is gone from every address; the trees stay whole.

use http::Method;
use serde_json::{Value as Json, json};

use crate::audited::covered;
use crate::roles::later;
use crate::world::{Answer, World, part};

const NAME: &str = "88.999.1/Erased-Name";
const ALIAS: &str = "gs1:01/09506000134352";
/// What it said, in its versions.
const WORDS: [&str; 3] = ["FIRST-WORD", "SECOND-WORD", "HIDDEN-WORD"];

async fn erase(world: &World, version: u64, ground: &str) -> Answer {
    let body = json!({"identifier": NAME, "version": version, "ground": ground});
    world.ask(Method::POST, "/v1/erasures").signed().json(&body).send().await
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.code())
}

fn draft(word: &str) -> Json {
    json!({
        "values": [
            {"index": 1, "type": "名称", "data": word},
            {"index": 2, "type": "价格", "data": WORDS[2], "visibility": "granted"},
        ],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
    })
}

/// Nothing of it is in an answer.
fn says_nothing(answer: &Answer, target: &str) {
    let text = answer.text();
    for word in WORDS {
        assert!(!text.contains(word), "{target}: {text}");
    }
}

#[tokio::test]
async fn what_is_erased_is_shown_nowhere_and_its_proofs_still_verify() {
    let world = World::new().await;
    assert_eq!(world.register(NAME, &draft(WORDS[0])).await.status, 201);
    world.change(Method::PUT, NAME, &draft(WORDS[1])).await;
    world.register("88.999.1/Stays", &part("一")).await;
    // Shared and looked at, by everybody and by who may see more.
    let grant = json!({"prefix": "88.999.1", "to": {"link": true}, "identifiers": [NAME], "purpose": "验收", "valid_until": later()});
    let grant = world.ask(Method::POST, "/v1/grants").signed().json(&grant).send().await.json();
    let (id, link) = (grant["id"].as_str().unwrap(), grant["link"].as_str().unwrap());
    let shared = format!("/v1/resolve/{NAME}?share={link}");
    for target in [format!("/v1/resolve/{NAME}"), format!("/v1/resolve/{ALIAS}"), shared.clone()] {
        for _ in 0..2 {
            assert!(world.get(&target).send().await.text().contains(WORDS[1]), "{target}");
        }
    }
    assert!(world.get(&shared).send().await.text().contains(WORDS[2]));
    covered(&world).await;
    let proven = world.get(&format!("/v1/resolve/{NAME}?proof=1")).send().await.json();
    assert_eq!(told(&erase(&world, 1, "request").await), (412, "version_mismatch".to_owned()));
    let done = erase(&world, 2, "request").await;
    assert_eq!((done.status.as_u16(), &done.json()["versions"]), (200, &json!(2)), "{}", done.text());
    covered(&world).await;
    for name in [NAME, ALIAS] {
        for target in [
            format!("/v1/resolve/{name}"),
            format!("/v1/resolve/{name}?at=1"),
            format!("/v1/resolve/{name}?share={link}"),
            format!("/v1/records/{name}"),
            format!("/v1/history/{name}?diff=1"),
            format!("/v1/diff/{name}?from=1"),
            format!("/v1/bundle/{name}"),
        ] {
            for signed in [false, true] {
                let ask = world.get(&target);
                let answer =
                    if signed && !target.contains("share") { ask.signed().send().await } else { ask.send().await };
                assert!([404, 410].contains(&answer.status.as_u16()), "{target}: {}", answer.text());
                says_nothing(&answer, &target);
            }
        }
    }
    for target in ["/v1/records?prefix=88.999.1", "/v1/export?format=ndjson", "/v1/changes", "/v1/audit?limit=1000"] {
        let answer = world.get(target).signed().send().await;
        says_nothing(&answer, target);
        assert!(!answer.text().contains("Erased-Name"), "{target}: {}", answer.text());
    }
    for target in [format!("/v1/grants/{id}"), format!("/v1/grants/{id}/uses"), "/v1/grants".to_owned()] {
        let answer = world.get(&target).signed().send().await;
        assert_eq!(answer.status, 200);
        assert!(!answer.text().to_lowercase().contains("erased-name"), "{target}: {}", answer.text());
    }
    let again = world.ask(Method::PUT, &format!("/v1/records/{NAME}")).signed().json(&draft("x")).send().await;
    assert_eq!(told(&again), (410, "identifier_deleted".to_owned()), "the name is never given out again");
    // Who kept the statement proves as before that the log has it.
    let index = proven["proof"]["index"].as_u64().unwrap();
    let proof = world.get(&format!("/v1/log/proof/{index}")).send().await;
    assert_eq!(proof.status, 200, "{}", proof.text());
    let events = world.get("/v1/audit?event=erasure.ordered").signed().send().await.json();
    let event = &events["events"][0];
    assert_eq!((&event["detail"]["ground"], &event["detail"]["versions"]), (&json!("request"), &json!(2)), "{events}");
    let events = world.get("/v1/audit?event=record.erased").signed().send().await.json();
    assert_eq!(events["events"].as_array().unwrap().len(), 2);
    assert_eq!(told(&erase(&world, 2, "request").await), (404, "identifier_unknown".to_owned()));
}

#[tokio::test]
async fn an_erasure_names_its_ground_and_what_stands() {
    let world = World::new().await;
    world.register(NAME, &draft(WORDS[0])).await;
    for (body, pointer) in [
        (json!([]), ""),
        (json!({"version": 1, "ground": "law"}), "/identifier"),
        (json!({"identifier": NAME, "ground": "law"}), "/version"),
        (json!({"identifier": NAME, "version": 0, "ground": "law"}), "/version"),
        (json!({"identifier": NAME, "version": 1}), "/ground"),
        (json!({"identifier": NAME, "version": 1, "ground": "whim"}), "/ground"),
        (json!({"identifier": NAME, "version": 1, "ground": "law", "more": 1}), "/more"),
    ] {
        let answer = world.ask(Method::POST, "/v1/erasures").signed().json(&body).send().await;
        assert_eq!(told(&answer), (422, "fields_invalid".to_owned()), "{body}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    // An alias erases nothing; a tombstone is erased as any version is.
    let by_alias = json!({"identifier": ALIAS, "version": 1, "ground": "law"});
    let answer = world.ask(Method::POST, "/v1/erasures").signed().json(&by_alias).send().await;
    assert_eq!(told(&answer), (404, "identifier_unknown".to_owned()));
    let deleted = world.ask(Method::DELETE, &format!("/v1/records/{NAME}")).signed().header("if-match", "*");
    assert_eq!(deleted.send().await.status, 200);
    let done = erase(&world, 2, "policy").await;
    assert_eq!((done.status.as_u16(), &done.json()["versions"]), (200, &json!(2)), "{}", done.text());
}
