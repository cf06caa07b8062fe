//! `GET /v1/changes`: the log as lines and as events, for administrators.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt;
use mingpai::sign::sd_jwt;
use serde_json::{Value as Json, json};

use crate::world::{World, part};

const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until a head covers the registry as it is now; its size.
async fn covered(world: &World) -> u64 {
    let size = world.node.services.store.tail().registry_size;
    world.node.services.log.covering(size - 1, Duration::from_secs(30)).await.unwrap();
    size
}

#[tokio::test]
async fn lines_are_every_leaf_with_what_it_hides_as_far_as_a_head_covers_it() {
    let world = World::new().await;
    world.register("88.999.1/C-1", &part("螺栓")).await;
    world.change(Method::PUT, "88.999.1/C-1", &part("螺母")).await;
    let size = covered(&world).await;
    let answer = world.get("/v1/changes").signed().send().await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, LINES), "{}", answer.text());
    assert_eq!(answer.header("mingpai-next"), size.to_string());
    let all = lines(&answer.text());
    assert_eq!(all.len() as u64, size);
    for (index, line) in all.iter().enumerate() {
        assert_eq!(line["index"], index, "in order, none left out");
    }
    assert!(all.windows(2).all(|two| two[0]["sequence"].as_u64() < two[1]["sequence"].as_u64()), "{all:?}");
    assert_eq!((&all[0]["kind"], &all[0]["typ"]), (&json!("statement"), &json!("mingpai-keys+jwt")));
    assert!(all[0].get("disclosures").is_none() && all[0].get("version").is_none());
    let newest = all.last().unwrap();
    assert_eq!((&newest["kind"], &newest["version"]), (&json!("entry"), &json!(2)));
    let before = newest["follows"].as_u64().expect("it says which entry it follows");
    let before = &all[usize::try_from(before).unwrap()];
    assert_eq!((&before["kind"], &before["version"]), (&json!("entry"), &json!(1)));
    assert!(before.get("follows").is_none(), "nothing stands before it");
    let hidden = newest["disclosures"].as_str().unwrap();
    let is_its_name = |one| sd_jwt::open(one, &mut Vec::new()).unwrap().1.get() == "\"88.999.1/C-1\"";
    assert!(hidden.split('~').any(is_its_name), "its name is disclosed");
    // The sequences are those of the journal.
    let mut frames = Vec::new();
    let each = |frame: mingpai::store::journal::Frame| {
        if frame.kind.in_registry() {
            frames.push((frame.sequence, String::from_utf8(frame.statement).unwrap()));
        }
        Ok(())
    };
    world.node.services.store.replay(each).unwrap();
    let told: Vec<(u64, String)> = all
        .iter()
        .map(|line| (line["sequence"].as_u64().unwrap(), line["statement"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(told, frames);
}

#[tokio::test]
async fn a_part_is_asked_for_and_the_next_one_goes_on() {
    let world = World::new().await;
    for number in 0..5 {
        world.register(&format!("88.999.1/C-{number}"), &part("螺栓")).await;
    }
    let size = covered(&world).await;
    let (mut from, mut seen) = (0, Vec::new());
    while from < size {
        let answer = world.get(&format!("/v1/changes?from={from}&limit=2")).signed().send().await;
        seen.extend(lines(&answer.text()).iter().map(|line| line["index"].as_u64().unwrap()));
        from = answer.header("mingpai-next").parse().unwrap();
        assert_eq!(seen.len() as u64, from);
    }
    assert_eq!(seen, (0..size).collect::<Vec<_>>());
    let end = world.get(&format!("/v1/changes?from={size}")).signed().send().await;
    assert_eq!((end.status.as_u16(), end.text().as_str()), (200, ""), "nothing new");
    let beyond = world.get(&format!("/v1/changes?from={}", size + 1)).signed().send().await;
    assert_eq!(
        (beyond.status.as_u16(), beyond.code().as_str()),
        (404, "log_part_unknown"),
        "the asker followed another log"
    );
    for query in ["from=-1", "from=x", "limit=x", "from=1&from=2", "other=1"] {
        let answer = world.get(&format!("/v1/changes?{query}")).signed().send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "query_invalid"), "{query}");
    }
}

#[tokio::test]
async fn nobody_else_sees_what_is_hidden() {
    let world = World::new().await;
    covered(&world).await;
    for accept in [LINES, EVENTS] {
        let answer = world.get("/v1/changes").header("accept", accept).send().await;
        assert_eq!(answer.status, 401);
    }
}

/// The next piece of an answer that goes on; `None` at its end.
async fn frame(body: &mut Body) -> Option<Bytes> {
    let frame = tokio::time::timeout(Duration::from_secs(30), body.frame()).await.expect("nothing comes, and no end");
    frame.map(|frame| frame.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn events_go_on_as_the_log_grows_and_resume_after_the_last_one_heard() {
    let world = World::new().await;
    world.register("88.999.1/C-1", &part("螺栓")).await;
    let size = covered(&world).await;
    let past =
        world.get("/v1/changes?limit=1").signed().header("accept", EVENTS).header("last-event-id", "0").send().await;
    assert_eq!(past.header("content-type"), EVENTS);
    let text = past.text();
    assert!(text.starts_with("retry: 1000\n\nevent: change\nid: 1\ndata: {\"index\":1,"), "{text}");
    assert!(text.ends_with("}\n\n") && text.matches("id: ").count() == 1, "{text}");

    // What is not there yet comes when it is.
    let target = format!("/v1/changes?from={size}&limit=2");
    let request =
        Request::get(target).header("accept", EVENTS).header("authorization", format!("Bearer {}", world.key));
    let mut body = world.http.answer(request.body(Body::empty()).unwrap()).await.into_body();
    let begin = frame(&mut body).await.unwrap();
    assert_eq!(begin, "retry: 1000\n\n");
    let mut heard = String::new();
    for number in 2..4 {
        world.register(&format!("88.999.1/C-{number}"), &part("螺栓")).await;
        let event = frame(&mut body).await.unwrap();
        heard.push_str(std::str::from_utf8(&event).unwrap());
    }
    assert_eq!(world.node.services.log.listeners.load(Ordering::Relaxed), 1);
    let ids: Vec<u64> = heard.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, [size, size + 1]);
    assert!(frame(&mut body).await.is_none(), "two were asked for");
    assert_eq!(world.node.services.log.listeners.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_node_that_stops_lets_no_listener_wait() {
    let world = World::ready(&[], mingpai::codec::http::Readiness::Stopping).await;
    let size = covered(&world).await;
    let target = format!("/v1/changes?from={size}");
    let answer = world.get(&target).signed().header("accept", EVENTS).send();
    let answer = tokio::time::timeout(Duration::from_secs(30), answer).await.expect("it waits all the same");
    assert_eq!(answer.text(), "retry: 1000\n\n");
}
