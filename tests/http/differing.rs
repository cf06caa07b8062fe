//! Time travel and difference: what stood when, what changed from version to version, who asked for it, and who is told.

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::World;

const NAME: &str = "88.999.1/A";
const SECRET: &str = "机密成本";

/// Version 1: a name and a hidden cost. 2: only the hidden cost changes. 3: name, alias, link, status. 4: gone.
async fn stocked() -> World {
    let world = World::new().await;
    let cost = |data: &str| json!({"index": 2, "type": SECRET, "data": data, "visibility": "owner"});
    let name = |data: &str| json!({"index": 1, "type": "名称", "data": data});
    world.register(NAME, &json!({"values": [name("螺栓"), cost("5.17")]})).await;
    world.change(Method::PUT, NAME, &json!({"values": [name("螺栓"), cost("6.28")]})).await;
    let third = json!({
        "status": "recalled",
        "values": [name("螺栓 M8"), cost("6.28")],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
        "links": [{"rel": "manual", "href": "https://example.com/"}],
    });
    world.change(Method::PUT, NAME, &third).await;
    world.ask(Method::DELETE, &format!("/v1/records/{NAME}")).signed().header("if-match", "*").send().await;
    world
}

async fn told(world: &World, target: &str, signed: bool) -> Json {
    let ask = world.get(target);
    let answer = if signed { ask.signed() } else { ask }.send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), if signed { "no-store" } else { "no-cache" });
    answer.json()
}

fn parts(changes: &Json) -> Vec<String> {
    let changes = changes.as_array().unwrap().iter();
    let part = |change: &Json| format!("{} {}", change["change"].as_str().unwrap(), change["part"].as_str().unwrap());
    changes.map(part).collect()
}

#[tokio::test]
async fn a_history_says_who_changed_what_to_whom_may_see_it() {
    let world = stocked().await;
    let history = told(&world, &format!("/v1/history/{NAME}?diff=1"), true).await;
    let versions = history["versions"].as_array().unwrap();
    let changes: Vec<Vec<String>> = versions.iter().map(|version| parts(&version["changes"])).collect();
    assert_eq!(
        changes,
        [
            vec!["changed status", "removed value", "removed value", "removed link"],
            vec!["changed status", "changed value", "added alias", "added link"],
            vec!["changed value"],
            vec!["added status", "added registrant", "added value", "added value"],
        ]
    );
    assert_eq!(versions[2]["changes"][0]["before"]["data"]["value"], "5.17");
    assert_eq!(versions[2]["changes"][0]["after"]["data"]["value"], "6.28");
    for version in versions {
        assert!(version["principal"].as_str().is_some_and(|who| !who.is_empty()), "{version}");
    }
    let plain = told(&world, &format!("/v1/history/{NAME}"), true).await;
    assert!(plain["versions"][0].get("changes").is_none());
}

/// Neither a value that strangers may not see, nor its type, nor who asked is told them; that there is a version is.
#[tokio::test]
async fn a_hidden_values_change_leaks_nowhere() {
    let world = stocked().await;
    let history = told(&world, &format!("/v1/history/{NAME}?diff=1"), false).await;
    let versions = history["versions"].as_array().unwrap();
    assert_eq!(versions.len(), 4);
    assert_eq!(versions[2]["changes"], json!([]));
    assert_eq!(parts(&versions[3]["changes"]), ["added status", "added registrant", "added value"]);
    let one_by_one = told(&world, &format!("/v1/history/{NAME}?diff=1&limit=1"), false).await;
    let diff = told(&world, &format!("/v1/diff/{NAME}?from=1&to=3"), false).await;
    assert_eq!(parts(&diff["changes"]), ["changed status", "changed value", "added alias", "added link"]);
    let hidden_only = told(&world, &format!("/v1/diff/{NAME}?from=1&to=2"), false).await;
    assert_eq!(hidden_only["changes"], json!([]));
    for answer in [history, one_by_one, diff, hidden_only] {
        let text = answer.to_string();
        for secret in [SECRET, "5.17", "6.28", "principal", "owner"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    }
}

/// What an import, a change in bulk or an undo did bears the job's number, for those who may see who did it.
#[tokio::test]
async fn a_history_names_the_job_that_a_version_is_of() {
    let world = World::new().await;
    let line = json!({"identifier": NAME, "values": [{"index": 1, "type": "名称", "data": "a"}]});
    let job = world.import("", "application/x-ndjson", format!("{line}\n")).await;
    world.change(Method::PATCH, NAME, &json!({"status": "recalled"})).await;
    let history = told(&world, &format!("/v1/history/{NAME}"), true).await;
    assert!(history["versions"][0].get("job").is_none(), "{history}");
    assert_eq!(history["versions"][1]["job"], job["id"]);
    let strangers = told(&world, &format!("/v1/history/{NAME}"), false).await;
    assert!(strangers["versions"][1].get("job").is_none());
}

#[tokio::test]
async fn a_page_tells_the_same_changes_as_the_whole() {
    let world = stocked().await;
    let whole = told(&world, &format!("/v1/history/{NAME}?diff=1"), true).await;
    let (mut pages, mut target) = (Vec::new(), format!("/v1/history/{NAME}?diff=1&limit=1"));
    loop {
        let page = told(&world, &target, true).await;
        pages.extend(page["versions"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        target = format!("/v1/history/{NAME}?diff=1&limit=1&cursor={cursor}");
    }
    assert_eq!(Json::from(pages), whole["versions"]);
}

#[tokio::test]
async fn two_versions_are_compared_by_number_or_time_and_in_either_order() {
    let world = stocked().await;
    let there = told(&world, &format!("/v1/diff/{NAME}?from=1&to=3"), true).await;
    assert_eq!((&there["from"]["version"], &there["to"]["version"]), (&json!(1), &json!(3)));
    assert_eq!(there["to"]["status"], "recalled");
    assert_eq!(
        parts(&there["changes"]),
        ["changed status", "changed value", "changed value", "added alias", "added link"]
    );
    let back = told(&world, &format!("/v1/diff/{NAME}?from=3&to=1"), true).await;
    assert_eq!(back["changes"][1]["before"], there["changes"][1]["after"]);
    // By its alias, from a version to now.
    let now = told(&world, "/v1/diff/01/09506000134352?from=3", true).await;
    assert_eq!((&now["identifier"], &now["to"]["status"]), (&json!(NAME), &json!("deleted")));
    let same = told(&world, &format!("/v1/diff/{NAME}?from=9999-01-01T00:00:00%2B08:00"), true).await;
    assert_eq!(same["changes"], json!([]));
    for (target, code) in [
        (format!("/v1/diff/{NAME}"), "query_invalid"),
        (format!("/v1/diff/{NAME}?from=x"), "query_invalid"),
        (format!("/v1/diff/{NAME}?from=1&at=2"), "query_invalid"),
        (format!("/v1/history/{NAME}?diff=yes"), "query_invalid"),
        (format!("/v1/diff/{NAME}?from=5"), "version_unknown"),
        (format!("/v1/diff/{NAME}?from=2000-01-01T00:00:00Z"), "version_unknown"),
        ("/v1/diff/88.999.1/none?from=1".to_owned(), "identifier_unknown"),
        ("/v1/diff/%20?from=1".to_owned(), "identifier_invalid"),
    ] {
        assert_eq!(world.get(&target).send().await.code(), code, "{target}");
    }
    let named = world.get(&format!("/v1/diff/{NAME}?from=1&to=x")).header("accept-language", "en").send().await;
    assert!(named.json()["detail"].as_str().unwrap().starts_with("to: "), "{}", named.text());
}
