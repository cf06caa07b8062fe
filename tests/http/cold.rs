//! Cold storage as a client and an operator see it: what lies there is served, and while it is away the rest is.

use std::path::Path;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{World, part};

/// Until the store's thread has seen it.
fn wait(world: &World, is_away: bool) {
    let begun = Instant::now();
    while world.node.services.store.cold().unwrap().is_away != is_away {
        assert!(begun.elapsed() < Duration::from_secs(60), "nobody sees it");
        std::thread::yield_now();
    }
}

/// A node with so many long records, of which all but the last few are cold.
async fn cold_world(cold: &Path) -> World {
    let cold = cold.to_string_lossy().into_owned();
    let settings = [
        ("store.cold", cold.as_str()),
        ("store.segment_bytes", "1048576"),
        ("store.group_bytes", "524288"),
        ("store.cold_after_segments", "1000000"),
    ];
    let world = World::with(&settings).await;
    for at in 0..8 {
        let value = |index: u64| json!({"index": index, "type": "说明", "data": "长".repeat(20_000)});
        let long = json!({"values": (2000..2005).map(value).collect::<Vec<Json>>()});
        world.register(&format!("88.999.1/COLD-{at}"), &long).await;
    }
    assert!(world.node.services.store.move_to_cold(0).unwrap() >= 2);
    world
}

#[tokio::test]
async fn what_is_cold_is_served_and_while_it_is_away_all_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let (cold, away) = (folder.path().join("cold"), folder.path().join("away"));
    std::fs::create_dir(&cold).unwrap();
    let world = cold_world(&cold).await;
    let old = ["/v1/records/88.999.1/COLD-0", "/v1/resolve/88.999.1/COLD-0?entry=1", "/v1/history/88.999.1/COLD-0"];
    let resolve = |at: usize| format!("/v1/resolve/88.999.1/COLD-{at}");
    for target in old {
        assert_eq!(world.get(target).signed().send().await.status, 200, "{target}");
    }
    assert_eq!(world.get("/readyz").send().await.json(), json!({"status": "ready"}));

    std::fs::rename(&cold, &away).unwrap();
    for target in old {
        let refused = world.get(target).signed().header("accept-language", "en").send().await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "storage_read_failed"), "{target}");
        assert_eq!(refused.header("retry-after"), "1");
        assert!(!refused.text().contains("cold/0000"), "no path of the node's in {}", refused.text());
    }
    let delete = world.ask(Method::DELETE, old[0]).signed().header("if-match", "*").send().await;
    assert_eq!((delete.status.as_u16(), delete.code().as_str()), (503, "storage_read_failed"));
    assert_eq!(world.get(&resolve(7)).send().await.status, 200);
    world.register("88.999.1/NEW", &part("新")).await;
    // A list has the place of what it cannot read, and goes on.
    let listed = world.get("/v1/records?limit=100").signed().send().await.json();
    let (lost, found): (Vec<&Json>, Vec<&Json>) =
        listed["records"].as_array().unwrap().iter().partition(|record| record.get("problem").is_some());
    assert!(lost.len() >= 4 && found.len() >= 3, "{} {}", lost.len(), found.len());
    assert!(lost.iter().all(|record| record["problem"]["code"] == "storage_read_failed"));
    wait(&world, true);
    assert_eq!(world.get("/readyz").send().await.json(), json!({"status": "ready", "cold": "away"}));
    // What a filter means cannot be told: nothing is changed that might not be meant, also once it can be read again.
    let body = json!({"filter": {"prefix": "88.999.1", "type": ["none"]}, "operation": "delete"});
    let begun = world.ask(Method::POST, "/v1/bulk").signed().json(&body).send().await;
    assert_eq!(begun.status, 202, "{}", begun.text());
    let job = world.ended(begun.header("location")).await;
    assert_eq!((&job["state"], &job["failure"]["code"]), (&json!("failed"), &json!("storage_read_failed")), "{job}");
    let metrics = world.get("/metrics").send().await.text();
    let segments = world.node.services.store.places().cold_segments;
    for line in [
        "mingpai_cold_away 1".to_owned(),
        format!("mingpai_journal_segments{{place=\"cold\"}} {segments}"),
        format!("mingpai_journal_disk_bytes{{place=\"cold\"}} {}", segments << 20),
        "mingpai_cold_moves_failed_total 0".to_owned(),
    ] {
        assert!(metrics.contains(&line), "{line} is missing from\n{metrics}");
    }

    std::fs::rename(&away, &cold).unwrap();
    // Until then nobody else asks for it.
    wait(&world, false);
    for target in old {
        assert_eq!(world.get(target).signed().send().await.status, 200, "{target}");
    }
    assert_eq!(world.get("/readyz").send().await.json(), json!({"status": "ready"}));
    let deleted = world.ask(Method::DELETE, old[0]).signed().header("if-match", "*").send().await;
    assert!(deleted.status.is_success(), "{}", deleted.text());
}
