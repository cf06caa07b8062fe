//! What every answer has in common.

use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode};
use mingpai::codec::http::Readiness;
use mingpai::codec::problem::Code;

use crate::world::{World, part};

#[tokio::test]
async fn a_problem_speaks_the_language_asked_for_and_names_path_and_request() {
    let world = World::new().await;
    let answer =
        world.get("/v1/nowhere").header("accept-language", "en").header("x-request-id", "trace-7").send().await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "route_unknown"));
    let problem = answer.json();
    assert_eq!((problem["instance"].as_str(), problem["request_id"].as_str()), (Some("/v1/nowhere"), Some("trace-7")));
    assert_eq!(answer.header("x-request-id"), "trace-7");
    assert_eq!(answer.header("content-language"), "en");
    let chinese = world.get("/v1/nowhere").send().await;
    assert_eq!(chinese.header("content-language"), "zh-CN");
    assert_ne!(chinese.json()["title"], problem["title"]);
}

#[tokio::test]
async fn a_request_id_that_is_not_sane_is_replaced() {
    let world = World::new().await;
    let mut seen = Vec::new();
    for id in ["", "a b", "<script>", &"x".repeat(65)] {
        let answer = world.get("/v1/keys").header("x-request-id", id).send().await;
        let given = answer.header("x-request-id").to_owned();
        assert!(!given.is_empty() && given != id);
        assert_eq!(answer.json()["request_id"], given.as_str());
        seen.push(given);
    }
    seen.dedup();
    assert_eq!(seen.len(), 4, "no id twice");
}

#[tokio::test]
async fn a_method_that_a_route_lacks_is_405_with_allow() {
    let world = World::new().await;
    for (method, target, allow) in [
        (Method::DELETE, "/v1/resolve/88.999.1/a", "GET, HEAD, OPTIONS"),
        (Method::GET, "/v1/resolve", "POST, OPTIONS"),
        (Method::POST, "/v1/records/88.999.1/a", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"),
        (Method::PUT, "/v1/records", "GET, HEAD, POST, OPTIONS"),
        (Method::TRACE, "/", "GET, HEAD, OPTIONS"),
    ] {
        let answer = world.ask(method.clone(), target).send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "method_not_allowed"));
        assert_eq!(answer.header("allow"), allow, "{method} {target}");
    }
}

#[tokio::test]
async fn what_nobody_can_read_is_406() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("a")).await;
    for target in [
        "/v1/resolve/88.999.1/a",
        "/v1/records/88.999.1/a",
        "/v1/history/88.999.1/a",
        "/.well-known/jwks.json",
        "/",
        "/docs",
        "/openapi.json",
    ] {
        let answer = world.get(target).header("accept", "image/png, application/json;q=0").send().await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (406, "not_acceptable"), "{target}");
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let answer = world.get(target).header("accept", browser).send().await;
        assert_eq!(answer.status, 200, "{target}");
    }
}

#[tokio::test]
async fn scripts_of_any_origin_may_read_what_is_public_and_nothing_else() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("a")).await;
    for target in [
        "/v1/resolve/88.999.1/a",
        "/v1/resolve/88.999.1/none",
        "/v1/resolve/88.999.1/a?bad=1",
        "/v1/records",
        "/v1/history/88.999.1/a",
    ] {
        for _ in 0..2 {
            let answer = world.get(target).send().await;
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{target}");
        }
    }
    for target in ["/v1/keys", "/v1/imports/none", "/metrics"] {
        let answer = world.get(target).send().await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{target}");
    }
    let asked = world
        .ask(Method::OPTIONS, "/v1/records/88.999.1/a")
        .header("origin", "https://example.com")
        .header("access-control-request-method", "PUT")
        .send()
        .await;
    assert_eq!(asked.status, 204);
    assert_eq!(asked.header("access-control-allow-methods"), "GET, HEAD");
    assert!(!asked.header("access-control-allow-headers").contains("authorization"));
    let closed = world.ask(Method::OPTIONS, "/v1/keys").send().await;
    assert_eq!(closed.status, 204);
    assert_eq!(closed.header("access-control-allow-methods"), "");
    assert_eq!(closed.header("allow"), "GET, HEAD, POST, OPTIONS");
}

#[tokio::test]
async fn head_is_get_without_the_body_everywhere() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("a")).await;
    for target in [
        "/v1/resolve/88.999.1/a",
        "/v1/resolve/88.999.1/a?entry=1",
        "/v1/resolve/88.999.1/none",
        "/v1/records/88.999.1/a",
        "/v1/records",
        "/v1/history/88.999.1/a",
        "/v1/keys",
        "/.well-known/jwks.json",
        "/livez",
        "/readyz",
        "/openapi.json",
        "/docs",
        "/docs/start.js",
        "/",
    ] {
        let ask = |method| world.ask(method, target).header("x-request-id", "same");
        let (get, head) = (ask(Method::GET).send().await, ask(Method::HEAD).send().await);
        assert_eq!(get.status, head.status, "{target}");
        assert!(head.body.is_empty(), "{target}");
        assert_eq!(head.header("content-length"), get.body.len().to_string(), "{target}");
        assert_eq!(get.header("content-type"), head.header("content-type"));
    }
}

#[tokio::test]
async fn alive_is_not_ready() {
    for (readiness, status, code) in
        [(Readiness::Ready, 200, ""), (Readiness::Starting, 503, "not_ready"), (Readiness::Stopping, 503, "draining")]
    {
        let world = World::ready(&[], readiness).await;
        assert_eq!(world.get("/livez").send().await.status, 200);
        let ready = world.get("/readyz").send().await;
        assert_eq!(ready.status, status);
        if !code.is_empty() {
            assert_eq!(ready.code(), code);
            assert!(ready.headers.contains_key("retry-after"));
        }
    }
}

#[tokio::test]
async fn the_index_names_every_address_for_scripts_and_for_people() {
    let world = World::new().await;
    let json = world.get("/").send().await;
    assert_eq!(json.json()["addresses"]["/v1/resolve/{identifier}"], "GET");
    let page = world.get("/").header("accept", "text/html").send().await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.text().contains("铭牌") && page.text().contains("Its addresses"));
}

#[tokio::test]
async fn the_document_has_the_limits_of_this_node() {
    let world = World::with(&[("limits.batch_identifiers", "7")]).await;
    let document = world.get("/openapi.json").send().await.json();
    assert_eq!(document["x-limits"]["batch_identifiers"], 7);
    let batch = &document["paths"]["/v1/resolve"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(batch["properties"]["identifiers"]["maxItems"], 7);
}

#[tokio::test]
async fn what_nobody_knows_is_not_in_the_folder_of_the_page() {
    let world = World::new().await;
    for target in ["/docs/nothing.js", "/docs/..%2FCargo.toml", "/docs/swagger-ui.css.gz"] {
        assert_eq!(world.get(target).send().await.code(), "route_unknown", "{target}");
    }
    let refused = world.get("/docs?lang=en").send().await;
    assert_eq!(refused.code(), "query_invalid");
}

#[tokio::test]
async fn every_stage_of_a_request_is_timed_by_outcome() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("a")).await;
    world.get("/v1/resolve/88.999.1/a").send().await;
    world.get("/v1/resolve/88.999.1/a").send().await;
    world.get("/v1/resolve/88.999.1/none").send_slowly().await;
    let metrics = world.get("/metrics").send().await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    let text = metrics.text();
    for stage in ["decode", "guard", "service", "encode", "cache", "store", "queue", "journal", "sign", "form"] {
        let series = format!("stage=\"{stage}\",transport=\"http1\",outcome=\"ok\"");
        assert!(text.contains(&series), "{series}");
    }
    assert!(text.contains("stage=\"service\",transport=\"http1\",outcome=\"unknown\""));
    assert!(text.contains("mingpai_cache_hits_total 1"));
    assert!(text.contains("mingpai_cache_misses_total 1"));
    assert!(text.contains("mingpai_cache_absent_total 1"));
    assert!(!text.contains("88.999.1"), "never an identifier");
}

#[tokio::test]
async fn what_accept_turns_away_gets_a_problem_too() {
    let world = World::new().await;
    let mut headers = HeaderMap::new();
    headers.insert("accept-language", "en".parse().unwrap());
    let response = world.http.refuse(Code::Overloaded, &headers);
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(problem["request_id"], response.headers()["x-request-id"].to_str().unwrap());
}

#[tokio::test]
async fn only_streams_and_files_may_be_longer_than_documents() {
    let world = World::new().await;
    let limit = |method: Method, target: &str, media_type: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", media_type.parse().unwrap());
        world.http.body_bytes(&method, &target.parse().unwrap(), &headers)
    };
    let document = 1 << 20;
    assert_eq!(limit(Method::PUT, "/v1/records/a/b", "application/json"), document);
    assert_eq!(limit(Method::POST, "/v1/resolve", "application/json"), document);
    assert!(limit(Method::POST, "/v1/resolve", "application/x-ndjson") > document);
    assert!(limit(Method::POST, "/v1/imports?atomic=1", "application/x-ndjson") > document);
    assert_eq!(limit(Method::POST, "/v1/filings/a/attachments", "image/png"), 4 << 20, "files of filings");
    assert_eq!(limit(Method::POST, "/v1/filings", "application/json"), document);
    assert_eq!(limit(Method::POST, "/v1/sessions", "application/json"), 8 << 10, "anybody may ask for one");
}

#[tokio::test]
async fn sizes_in_the_metrics_are_those_of_now() {
    let world = World::new().await;
    world.register("88.999.1/a", &part("a")).await;
    world.get("/v1/resolve/88.999.1/a").send().await;
    let value = |text: &str, name: &str| -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing from\n{text}")).parse().unwrap()
    };
    let started = Instant::now();
    let text = loop {
        let text = world.get("/metrics").send().await.text();
        // The registration brings a head of the log, which may wait for the sequencer at this very moment.
        if value(&text, "mingpai_journal_queue_entries") == 0 {
            break text;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "the queue is never empty:\n{text}");
    };
    assert_eq!(value(&text, "mingpai_cache_entries"), 1);
    assert!(value(&text, "mingpai_cache_bytes") > 0);
    assert_eq!(value(&text, "mingpai_journal_poisoned"), 0);
    assert_eq!(value(&text, "mingpai_imports_running"), 0);
}
