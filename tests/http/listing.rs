//! List: pages and streams of records, and the round trip through an import.

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{World, part};

async fn stocked() -> World {
    let world = World::new().await;
    for at in 0..150 {
        world.register(&format!("88.999.1/n{at:03}"), &part("一")).await;
    }
    world.register("88.999/own", &part("二")).await;
    let hidden = json!({"values": [{"index": 1, "type": "成本", "data": 5, "visibility": "owner"}]});
    world.register("88.999.1/hidden", &hidden).await;
    world.register("88.999.1/gone", &part("三")).await;
    world.ask(Method::DELETE, "/v1/records/88.999.1/gone").signed().header("if-match", "*").send().await;
    world
}

fn names(records: &[Json]) -> Vec<String> {
    records.iter().map(|record| record["identifier"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_cover_every_record_once_and_leave_out_what_is_deleted() {
    let world = stocked().await;
    let mut found = Vec::new();
    let mut target = "/v1/records?limit=70".to_owned();
    loop {
        let page = world.get(&target).signed().send().await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(page.header("cache-control"), "no-store");
        let page = page.json();
        let records = page["records"].as_array().unwrap();
        assert!(records.len() <= 70);
        found.extend(names(records));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        target = format!("/v1/records?limit=70&cursor={cursor}");
    }
    assert_eq!(found.len(), 152);
    let mut sorted = found.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 152);
    assert!(!found.contains(&"88.999.1/gone".to_owned()));
}

#[tokio::test]
async fn a_prefix_keeps_to_itself() {
    let world = stocked().await;
    let own = world.get("/v1/records?prefix=88.999").signed().send().await.json();
    assert_eq!(names(own["records"].as_array().unwrap()), ["88.999/own"]);
    let all = world.get("/v1/records?prefix=88.999.1&limit=1000").signed().send().await.json();
    assert_eq!(all["records"].as_array().unwrap().len(), 151);
    assert!(all.get("next_cursor").is_none());
    let none = world.get("/v1/records?prefix=88.9").signed().send().await.json();
    assert_eq!(none["records"], json!([]));
    // A cursor of another prefix's list does not lead out of this one.
    let page = world.get("/v1/records?limit=1").signed().send().await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let own = world.get(&format!("/v1/records?prefix=88.999&cursor={cursor}")).signed().send().await.json();
    assert_eq!(names(own["records"].as_array().unwrap()), ["88.999/own"]);
    for bad in ["cursor=x", "limit=0", "where=a"] {
        let answer = world.get(&format!("/v1/records?{bad}")).signed().send().await;
        assert_eq!(answer.code(), "query_invalid", "{bad}");
    }
}

#[tokio::test]
async fn an_export_of_lines_is_what_an_import_takes() {
    let world = stocked().await;
    let export = world.get("/v1/records").header("accept", "application/x-ndjson").signed().send().await;
    assert_eq!(export.header("content-type"), "application/x-ndjson");
    assert_eq!(export.header("cache-control"), "no-store");
    assert_eq!(export.text().lines().count(), 152);
    assert!(export.text().contains("成本"));
    // Which identifiers there are is not told to strangers.
    let stranger = world.get("/v1/records").header("accept", "application/x-ndjson").send().await;
    assert_eq!(stranger.code(), "missing_credentials");
    let limited = world.get("/v1/records?limit=3").header("accept", "application/x-ndjson").signed().send().await;
    assert_eq!(limited.text().lines().count(), 3);

    let other = World::new().await;
    let job = other.import("", "application/x-ndjson", export.body.clone()).await;
    assert_eq!(job["state"], "done", "{job}");
    assert_eq!(job["rows"]["registered"], 152);
    let again = other.get("/v1/records").header("accept", "application/x-ndjson").signed().send().await;
    let content = |text: String| -> Vec<Json> {
        text.lines()
            .map(|line| {
                let mut record: Json = serde_json::from_str(line).unwrap();
                for told in ["version", "registered", "updated"] {
                    record.as_object_mut().unwrap().remove(told);
                }
                record
            })
            .collect()
    };
    assert_eq!(content(again.text()), content(export.text()));
}

/// An export after rot is what an operator wants most: everything else, and the name of what is missing.
#[tokio::test]
async fn a_record_that_rotted_has_its_place_in_the_list_and_ends_nothing() {
    let world = World::new().await;
    let long = "长".repeat(500);
    for at in 0..70 {
        world.register(&format!("88.999.1/N{at:03}"), &part(&long)).await;
    }
    let rotten = ["88.999.1/n000", "88.999.1/n040", "88.999.1/n069"];
    rotten.iter().for_each(|name| world.rot(name));
    let damaged = |records: &[Json]| -> Vec<String> {
        let damaged: Vec<Json> = records.iter().filter(|record| record.get("problem").is_some()).cloned().collect();
        assert!(damaged.iter().all(|listed| listed["problem"]["code"] == "record_damaged"), "{damaged:?}");
        names(&damaged)
    };
    let (mut found, mut target) = (Vec::new(), "/v1/records?limit=7".to_owned());
    loop {
        let page = world.get(&target).signed().header("accept-language", "en").send().await;
        assert_eq!(page.status, 200, "{}", page.text());
        found.extend(page.json()["records"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page.json()["next_cursor"].as_str().map(str::to_owned) else { break };
        target = format!("/v1/records?limit=7&cursor={cursor}");
    }
    assert_eq!(found.len(), 70);
    assert_eq!(damaged(&found), rotten);
    assert!(found[0]["problem"]["detail"].as_str().unwrap().contains(rotten[0]), "{}", found[0]);
    assert!(found[0]["problem"]["remedy"].as_str().unwrap().contains("mingpai doctor"));

    let export = world.get("/v1/records").header("accept", "application/x-ndjson").signed().send().await;
    let lines: Vec<Json> = export.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), damaged(&lines)), (70, rotten.map(str::to_owned).to_vec()));
    // An import takes what is there, and says of each of the others that it is no record.
    let other = World::new().await;
    let job = other.import("on_conflict=update", "application/x-ndjson", export.body.clone()).await;
    assert_eq!((&job["rows"]["registered"], &job["rows"]["failed"]), (&json!(67), &json!(3)), "{job}");
}

/// The same filter narrows pages and lines. A hidden value's type finds nothing that its asker may not see.
#[tokio::test]
async fn a_filter_by_status_type_and_time_narrows_a_list() {
    let world = World::new().await;
    for (name, kind) in [("A1", "名称"), ("A2", "证书.质检"), ("A3", "证书.环保"), ("A4", "名称")] {
        let draft = json!({"values": [{"index": 1, "type": kind, "data": "x"}]});
        world.register(&format!("88.999.1/{name}"), &draft).await;
    }
    world.change(Method::PATCH, "88.999.1/A4", &json!({"status": "recalled"})).await;
    let found = async |query: &str| {
        let page = world.get(&format!("/v1/records?{query}")).signed().send().await;
        assert_eq!(page.status, 200, "{}", page.text());
        names(page.json()["records"].as_array().unwrap())
    };
    assert_eq!(found("status=recalled").await, ["88.999.1/A4"]);
    assert_eq!(found("status=active&type=%E8%AF%81%E4%B9%A6.").await, ["88.999.1/A2", "88.999.1/A3"]);
    assert_eq!(found("type=%E5%90%8D%E7%A7%B0,none&prefix=88.999.1").await, ["88.999.1/A1", "88.999.1/A4"]);
    assert_eq!(found("registered_from=2020-01-01&updated_before=2020-01-02T00:00:00%2B08:00").await, [""; 0]);
    assert_eq!(found("registered_from=2020-01-01").await.len(), 4);
    let lines = world.get("/v1/records?status=recalled").header("accept", "application/x-ndjson").signed().send().await;
    assert_eq!(lines.text().lines().count(), 1);
    for bad in
        ["status=deleted", "status=x", "type=", "prefix=a%2Fb", "updated_from=now", "updated_from=1&updated_from=2"]
    {
        let answer = world.get(&format!("/v1/records?{bad}")).signed().header("accept-language", "en").send().await;
        assert_eq!(answer.code(), "query_invalid", "{bad}");
        assert!(answer.text().contains(bad.split('=').next().unwrap()), "{}", answer.text());
    }
}
