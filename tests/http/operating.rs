//! The log and the configuration of a running node, over HTTP.

use http::Method;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn the_log_is_read_and_changed_by_an_administrator() {
    let world = World::new().await;
    for (method, target) in
        [(Method::GET, "/v1/admin/log"), (Method::PATCH, "/v1/admin/log"), (Method::POST, "/v1/admin/reload")]
    {
        assert_eq!(world.ask(method, target).send().await.code(), "missing_credentials");
    }
    let first = world.get("/v1/admin/log").signed().send().await;
    assert_eq!((first.status.as_u16(), first.header("cache-control")), (200, "no-store"));
    let as_configured = json!({"filter": "info", "format": "text", "slow_microseconds": 100_000, "requests": "off"});
    assert_eq!(first.json(), as_configured);

    let change = json!({"slow_microseconds": 7, "requests": "debug"});
    let changed = world.ask(Method::PATCH, "/v1/admin/log").signed().json(&change).send().await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let wanted = json!({"filter": "info", "format": "text", "slow_microseconds": 7, "requests": "debug"});
    assert_eq!((changed.json(), world.get("/v1/admin/log").signed().send().await.json()), (wanted.clone(), wanted));
    let attention = &world.node.metrics.attention;
    assert!(attention.is_slow(std::time::Duration::from_micros(7)));

    // A reload puts back what the configuration says.
    let reloaded = world.ask(Method::POST, "/v1/admin/reload").signed().send().await;
    let keys: Vec<String> = reloaded.json()["applied"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["key"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(keys, ["log.requests", "log.slow_microseconds"]);
    assert_eq!(reloaded.json()["restart_needed"], json!([]));
    assert_eq!(world.get("/v1/admin/log").signed().send().await.json(), as_configured);
    assert!(!attention.is_slow(std::time::Duration::from_micros(7)));
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_nothing_is_changed() {
    let world = World::new().await;
    for (body, code, pointer) in [
        (json!({"filter": "mingpai=loud", "slow_microseconds": 5}), "config_invalid", "/log/filter"),
        (json!({"slow_microseconds": 3_600_000_001_u64}), "config_invalid", "/log/slow_microseconds"),
        (json!({"slow_microseconds": -1}), "fields_invalid", "/slow_microseconds"),
        (json!({"filter": "x".repeat(4097)}), "fields_invalid", "/filter"),
        (json!({"requests": "loud"}), "fields_invalid", "/requests"),
        (json!({"format": "json"}), "fields_invalid", "/format"),
        (json!([]), "fields_invalid", ""),
    ] {
        let refused = world.ask(Method::PATCH, "/v1/admin/log").signed().json(&body).send().await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, code), "{body}");
        assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{body}");
        assert!(!refused.json()["errors"][0]["detail"].as_str().unwrap().is_empty());
    }
    let log = world.get("/v1/admin/log").signed().send().await.json();
    assert_eq!(log["slow_microseconds"], 100_000);
}

#[tokio::test]
async fn a_body_that_breaks_off_or_is_of_another_type_is_refused() {
    let world = World::new().await;
    let odd = world.ask(Method::PATCH, "/v1/admin/log").signed().typed("text/plain", "{}").send().await;
    assert_eq!(odd.code(), "unsupported_media_type");
    let broken = world.ask(Method::PATCH, "/v1/admin/log").signed().typed("application/json", "{").send().await;
    assert_eq!(broken.status, 400);
    let asked = world.get("/v1/admin/log?level=1").signed().send().await;
    assert_eq!(asked.code(), "query_invalid");
}
