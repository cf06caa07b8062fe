//! Aliases below a prefix that tells cases apart.

use http::Method;
use mingpai::model::identifier::CanonicalKey;
use mingpai::sign::verify::{Finding, Known, verify_document};
use serde_json::{Value as Json, json};

use crate::world::World;

const SENSITIVE: &str =
    "[[prefixes]]\nprefix = \"88.999.1\"\n[[prefixes]]\nprefix = \"88.999.2\"\nsuffix_case = \"sensitive\"\n";
const INSENSITIVE: &str = "[[prefixes]]\nprefix = \"88.999.1\"\n[[prefixes]]\nprefix = \"88.999.2\"\n";

fn alias(name: &str) -> Json {
    json!({"scheme": "vaa", "identifier": name})
}

/// Who bears the alias with this very key.
fn bearer(world: &World, key: &str) -> Option<String> {
    world.node.services.store.bearer(&CanonicalKey::from_stored(key)).unwrap().map(|key| key.as_str().to_owned())
}

async fn resolved(world: &World, name: &str) -> Json {
    world.get(&format!("/v1/resolve/{name}")).send().await.json()["identifier"].clone()
}

#[tokio::test]
async fn aliases_that_differ_in_case_are_two_names_also_when_the_rows_are_made_anew() {
    let mut world = World::configured(SENSITIVE).await;
    world.register("88.999.1/a", &json!({"aliases": [alias("88.999.2/Ab"), alias("88.999.2/aB")]})).await;
    world.register("88.999.1/b", &json!({"aliases": [alias("88.999.2/AB")]})).await;
    for _ in 0..2 {
        for (name, identifier) in [("Ab", "88.999.1/a"), ("aB", "88.999.1/a"), ("AB", "88.999.1/b")] {
            assert_eq!(resolved(&world, &format!("88.999.2/{name}")).await, identifier, "{name}");
        }
        assert_eq!(world.get("/v1/resolve/88.999.2/ab").send().await.status, 404);
        world = world.restarted(SENSITIVE).await;
    }
    // A change that says nothing of aliases leaves them as they are.
    world.change(Method::PATCH, "88.999.1/a", &json!({"template": "t"})).await;
    let taken = world.ask(Method::PUT, "/v1/records/88.999.1/c").signed();
    assert_eq!(taken.json(&json!({"aliases": [alias("88.999.2/aB")]})).send().await.code(), "alias_taken");

    world = world.restarted(INSENSITIVE).await;
    for (key, identifier) in [("Ab", "88.999.1/a"), ("aB", "88.999.1/a"), ("AB", "88.999.1/b")] {
        let found = bearer(&world, &format!("88.999.2/{key}"));
        assert_eq!(found.as_deref(), Some(identifier), "the key is what it was when it was signed");
    }
    assert_eq!(bearer(&world, "88.999.2/ab"), None);
}

#[tokio::test]
async fn an_alias_that_was_signed_without_a_word_of_its_case_keeps_its_key() {
    let mut world = World::configured(INSENSITIVE).await;
    let aliases = json!({"aliases": [alias("88.999.2/Ab")]});
    world.register("88.999.1/a", &aliases).await;
    assert_eq!(world.get("/v1/resolve/88.999.1/a").send().await.json()["aliases"], aliases["aliases"]);
    let twice = world.ask(Method::PUT, "/v1/records/88.999.1/b").signed();
    let twice = twice.json(&json!({"aliases": [alias("88.999.2/c"), alias("88.999.2/C")]})).send().await;
    assert_eq!(twice.json()["errors"][0]["code"], "duplicate_alias");
    world = world.restarted(SENSITIVE).await;
    assert_eq!(bearer(&world, "88.999.2/ab").as_deref(), Some("88.999.1/a"));
    assert_eq!(bearer(&world, "88.999.2/Ab"), None);
}

#[tokio::test]
async fn an_entry_says_whether_cases_tell_its_identifier_apart() {
    let mut world = World::configured(INSENSITIVE).await;
    world.register("88.999.2/abc", &json!({})).await;
    let keys = [world.node.services.authorities().unwrap().pop().unwrap().key];
    for (policy, finding) in [(INSENSITIVE, Finding::Pass), (SENSITIVE, Finding::Fail), (INSENSITIVE, Finding::Pass)] {
        world = world.restarted(policy).await;
        // From the first change on the entry says what the policy is by then.
        world.change(Method::PATCH, "88.999.2/abc", &json!({"template": "t"})).await;
        let answer = world.get("/v1/resolve/88.999.2/abc?entry=1").send().await;
        for (asked, finding) in [("abc", Finding::Pass), ("ABC", finding)] {
            let asked = format!("88.999.2/{asked}");
            let known = Known { keys: &keys, identifier: Some(&asked), issuer: None, ..Known::default() };
            assert_eq!(verify_document(&answer.body, known).verdict(), finding, "{policy}: {asked}");
        }
        let statement = answer.json()["entry"].as_str().unwrap().split('~').next().unwrap().to_owned();
        let payload = mingpai::sign::jws::payload_of(statement.as_bytes()).unwrap();
        let payload: Json = serde_json::from_slice(&payload).unwrap();
        assert_eq!((payload.get("case"), payload.get("sub")), (None, None), "the public statement says nothing of it");
    }
}

#[tokio::test]
async fn an_answer_says_that_cases_tell_an_alias_apart_and_an_import_takes_it() {
    let world = World::configured(SENSITIVE).await;
    world.register("88.999.1/a", &json!({"aliases": [alias("88.999.2/Ab"), alias("88.999.2/low")]})).await;
    let answer = world.get("/v1/resolve/88.999.1/a?entry=1").send().await;
    assert_eq!(answer.json()["aliases"][0]["case"], "sensitive");
    let keys = [world.node.services.authorities().unwrap().pop().unwrap().key];
    for (asked, finding) in
        [("Ab", Finding::Pass), ("aB", Finding::Fail), ("low", Finding::Pass), ("LOW", Finding::Fail)]
    {
        let asked = format!("88.999.2/{asked}");
        let known = Known { keys: &keys, identifier: Some(&asked), issuer: None, ..Known::default() };
        assert_eq!(verify_document(&answer.body, known).verdict(), finding, "{asked}");
    }
    let lines = world.get("/v1/records").signed().header("accept", "application/x-ndjson").send().await;
    let job = world.import("on_conflict=error", "application/x-ndjson", lines.body).await;
    assert_eq!((&job["rows"]["skipped"], &job["rows"]["failed"]), (&json!(1), &json!(0)), "{job}");
    let wrong = json!({"aliases": [{"scheme": "vaa", "identifier": "88.999.2/x", "case": "upper"}]});
    let wrong = world.ask(Method::PUT, "/v1/records/88.999.1/b").signed().json(&wrong).send().await;
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/aliases/0/case");
}
