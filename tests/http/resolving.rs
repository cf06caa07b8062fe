//! Resolve: plain and hot, with questions, in batches, line by line.

use http::Method;
use serde_json::{Value as Json, json};

use crate::world::{World, part};

const NAME: &str = "88.999.1/JXDY-1";

async fn registered() -> World {
    let world = World::new().await;
    let draft = json!({
        "template": "auto/part@1",
        "values": [
            {"index": 1, "type": "URL", "data": {"format": "url", "value": "https://example.com/"}},
            {"index": 2000, "type": "名称", "data": "螺栓"},
            {"index": 2001, "type": "成本", "data": 12, "visibility": "owner"},
        ],
        "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
    });
    world.register(NAME, &draft).await;
    world
}

#[tokio::test]
async fn a_name_resolves_in_every_spelling_and_by_every_name() {
    let world = registered().await;
    for target in [
        "/v1/resolve/88.999.1/JXDY-1",
        "/v1/resolve/88.999.1%2FJXDY-1",
        "/v1/resolve/88.999.1/jxdy-1",
        "/v1/resolve/hdl:88.999.1/JXDY-1",
        "/v1/resolve/01/09506000134352",
        "/v1/resolve/09506000134352",
        "/v1/resolve/https://id.example/01/09506000134352",
        "/v1/resolve/https%3A%2F%2Fid.example%2F01%2F09506000134352",
    ] {
        let answer = world.get(target).send().await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(answer.json()["identifier"], NAME, "{target}");
        assert_eq!(answer.header("etag"), "\"1\"");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("cache-control"), "public, max-age=60");
    }
}

#[tokio::test]
async fn a_hidden_value_is_in_no_answer_to_a_stranger() {
    let world = registered().await;
    for target in [
        "/v1/resolve/88.999.1/JXDY-1".to_owned(),
        "/v1/resolve/88.999.1/JXDY-1?entry=1".to_owned(),
        "/v1/resolve/88.999.1/JXDY-1?index=2001".to_owned(),
        "/v1/resolve/88.999.1/JXDY-1?at=1".to_owned(),
        "/v1/records/88.999.1/JXDY-1".to_owned(),
        "/v1/history/88.999.1/JXDY-1".to_owned(),
    ] {
        for accept in ["application/json", "application/x-ndjson, */*;q=0.1"] {
            let answer = world.get(&target).header("accept", accept).send().await;
            assert_eq!(answer.status, 200, "{target}");
            assert!(!answer.text().contains("成本"), "{target}");
            assert!(!answer.text().contains("2001"), "{target}");
        }
    }
    let entry = world.get("/v1/resolve/88.999.1/JXDY-1?entry=1").send().await.json();
    let disclosures = entry["entry"].as_str().unwrap().split('~').skip(1);
    use base64::Engine;
    for disclosure in disclosures.filter(|text| !text.is_empty()) {
        let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(disclosure).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("value/2001"));
    }
    let owner = world.get("/v1/records/88.999.1/JXDY-1").signed().send().await;
    assert!(owner.text().contains("成本"));
    let stranger = world.get("/v1/records/88.999.1/JXDY-1").send().await;
    assert_eq!(stranger.header("vary"), "accept, authorization, signature-input");
    assert_eq!(owner.header("cache-control"), "no-store");
    let resolved = world.get("/v1/resolve/88.999.1/JXDY-1").signed().send().await;
    assert!(resolved.text().contains("成本"), "it is the caller's own");
    assert_eq!(resolved.header("cache-control"), "no-store");
    let again = world.get("/v1/resolve/88.999.1/JXDY-1").send().await;
    assert_eq!(again.header("vary"), "accept, authorization, signature-input");
    assert!(!again.text().contains("成本"));
}

#[tokio::test]
async fn the_hot_answer_is_the_slow_answer() {
    let world = registered().await;
    world.register("88.999.1/gone", &part("a")).await;
    let deleted =
        world.ask(Method::DELETE, "/v1/records/88.999.1/gone").signed().header("if-match", "\"1\"").send().await;
    assert_eq!(deleted.status, 200);
    for target in [
        "/v1/resolve/88.999.1/JXDY-1",
        "/v1/resolve/88.999.1%2FJXDY-1",
        "/v1/resolve/88.999.1/unknown",
        "/v1/resolve/88.999.1/gone",
    ] {
        world.get(target).send().await;
        for method in [Method::GET, Method::HEAD] {
            for headers in [
                &[][..],
                &[("accept", "*/*")],
                &[("accept", "application/json"), ("x-request-id", "abc.1")],
                &[("if-none-match", "\"1\"")],
                &[("if-none-match", "\"7\"")],
                &[("accept-language", "en")],
            ] {
                let ask = || {
                    let mut ask = world.ask(method.clone(), target);
                    for (name, value) in headers {
                        ask = ask.header(name, value);
                    }
                    ask
                };
                let hot = ask().send_hot().await.expect("it is cached now, or sure not to be there");
                let slow = ask().send_slowly().await;
                assert_eq!(hot.status, slow.status, "{method} {target} {headers:?}");
                let without_id = |body: &[u8]| {
                    let mut body: Json = serde_json::from_slice(body).unwrap_or_default();
                    if let Some(members) = body.as_object_mut() {
                        members.remove("request_id");
                    }
                    body
                };
                assert_eq!(without_id(&hot.body), without_id(&slow.body));
                let mut slow_headers = slow.headers.clone();
                let mut hot_headers = hot.headers.clone();
                if !headers.iter().any(|(name, _)| *name == "x-request-id") {
                    slow_headers.remove("x-request-id");
                    hot_headers.remove("x-request-id");
                }
                // The router writes the length itself; for the hot answer hyper does.
                if method == Method::GET {
                    slow_headers.remove("content-length");
                } else {
                    let length = |headers: &http::HeaderMap| {
                        headers.get("content-length").map(|v| v.to_str().unwrap().parse::<u64>().unwrap())
                    };
                    let (hot_length, slow_length) = (length(&hot_headers), length(&slow_headers));
                    // A problem's length differs by the length of the request's id.
                    assert_eq!(hot_length.is_some(), slow_length.is_some());
                    hot_headers.remove("content-length");
                    slow_headers.remove("content-length");
                    assert!(hot.body.is_empty() && slow.body.is_empty());
                }
                assert_eq!(hot_headers, slow_headers, "{method} {target} {headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_plain_is_not_answered_hot() {
    let world = registered().await;
    let target = "/v1/resolve/88.999.1/JXDY-1";
    world.get(target).send().await;
    assert!(world.get(target).send_hot().await.is_some());
    world.register("88.999.1/not-asked-before", &part("a")).await;
    assert!(world.get("/v1/resolve/88.999.1/not-asked-before").send_hot().await.is_none());
    assert!(world.get(target).signed().send_hot().await.is_none());
    assert!(world.get("/v1/resolve/88.999.1/JXDY-1?entry=1").send_hot().await.is_none());
    assert!(world.get(target).header("accept", "text/html").send_hot().await.is_none());
    assert!(world.ask(Method::POST, target).send_hot().await.is_none());
    assert!(world.get("/v1/resolve/%zz").send_hot().await.is_none());
}

#[tokio::test]
async fn a_change_is_seen_at_once_by_the_hot_way_too() {
    let world = registered().await;
    let target = "/v1/resolve/09506000134352";
    world.get(target).send().await;
    assert!(world.get(target).send_hot().await.is_some());
    world.change(Method::PATCH, NAME, &json!({"status": "recalled"})).await;
    let answer = world.get(target).send().await;
    assert_eq!(answer.json()["status"], "recalled");
    assert_eq!(answer.header("etag"), "\"2\"");
    let unknown = world.get("/v1/resolve/88.999.1/new").send_hot().await.expect("what was never there needs no look");
    assert_eq!(unknown.status, 404);
    world.register("88.999.1/new", &part("a")).await;
    assert_eq!(world.get("/v1/resolve/88.999.1/new").send().await.status, 200);
}

#[tokio::test]
async fn unknown_is_404_and_deleted_is_410_for_a_moment() {
    let world = registered().await;
    let unknown = world.get("/v1/resolve/88.999.1/unknown").header("accept-language", "en").send().await;
    assert_eq!(unknown.code(), "identifier_unknown");
    assert_eq!(unknown.header("cache-control"), "public, max-age=5");
    assert_eq!(unknown.header("vary"), "accept, accept-language");
    assert_eq!(unknown.json()["instance"], "/v1/resolve/88.999.1/unknown");
    assert!(unknown.json()["detail"].as_str().unwrap().contains("88.999.1/unknown"));
    world.ask(Method::DELETE, &format!("/v1/records/{NAME}")).signed().header("if-match", "*").send().await;
    for target in [
        "/v1/resolve/88.999.1/JXDY-1",
        "/v1/resolve/88.999.1/JXDY-1?entry=1",
        "/v1/resolve/01/09506000134352",
        "/v1/records/88.999.1/JXDY-1",
    ] {
        let gone = world.get(target).send().await;
        assert_eq!((gone.status.as_u16(), gone.code().as_str()), (410, "identifier_deleted"));
    }
}

#[tokio::test]
async fn a_text_that_is_no_identifier_is_told_its_rule() {
    let world = World::new().await;
    for (target, code, rule) in [
        ("/v1/resolve/", "identifier_invalid", "identifier_empty"),
        ("/v1/resolve/00012444", "identifier_invalid", "identifier_bad_check_digit"),
        ("/v1/resolve/%zz", "path_malformed", ""),
        ("/v1/resolve/88.1/%FF", "path_malformed", ""),
    ] {
        let answer = world.get(target).send().await;
        assert_eq!(answer.status, 400);
        assert_eq!(answer.code(), code, "{target}");
        if !rule.is_empty() {
            assert_eq!(answer.json()["errors"][0]["code"], rule);
        }
    }
}

#[tokio::test]
async fn questions_filter_go_back_and_bring_the_entry() {
    let world = registered().await;
    world.change(Method::PATCH, NAME, &json!({"values": [{"index": 2000, "data": "螺母"}]})).await;
    let ask = |query: &str| world.get(&format!("/v1/resolve/{NAME}?{query}")).send();
    let indexes = |answer: &Json| -> Vec<u64> {
        let values = answer["values"].as_array().unwrap().iter();
        values.map(|value| value["index"].as_u64().unwrap()).collect()
    };
    assert_eq!(indexes(&ask("type=URL").await.json()), [1]);
    assert_eq!(indexes(&ask("type=%E5%90%8D%E7%A7%B0&index=1").await.json()), [1, 2000]);
    assert_eq!(indexes(&ask("index=1,2000").await.json()), [1, 2000]);
    assert_eq!(indexes(&ask("type=none").await.json()), [] as [u64; 0]);
    let first = ask("at=1").await.json();
    assert_eq!((&first["version"], &first["values"][1]["data"]["value"]), (&json!(1), &json!("螺栓")));
    let now = ask("at=9000-01-01T00:00:00%2B08:00").await.json();
    assert_eq!(now["version"], 2);
    assert_eq!(ask("at=9000-01-01T00:00:00+08:00").await.status, 200);
    assert_eq!(ask("at=7").await.code(), "version_unknown");
    assert_eq!(ask("at=1970-01-01T00:00:00Z").await.code(), "version_unknown");
    let entry = ask("entry=1").await.json();
    assert_eq!(entry["entry"].as_str().unwrap().split('.').count(), 3);
    let tagged = ask("entry=1").await;
    assert_eq!(tagged.header("etag"), "\"2\"");
    let known = world.get(&format!("/v1/resolve/{NAME}?entry=1")).header("if-none-match", "\"2\"").send().await;
    assert_eq!(known.status, 304);
    assert!(known.body.is_empty() && !known.headers.contains_key("content-length"));
}

#[tokio::test]
async fn a_question_that_is_wrong_names_its_parameter() {
    let world = registered().await;
    for (query, code, named) in [
        ("tpye=URL", "query_invalid", "tpye"),
        ("index=0", "query_invalid", "index"),
        ("index=a", "query_invalid", "index"),
        ("type=", "query_invalid", "type"),
        ("at=yesterday", "query_invalid", "at"),
        ("at=1&at=2", "query_invalid", "at"),
        ("entry=yes", "query_invalid", "entry"),
        ("type=%zz", "query_invalid", "type"),
        ("proof=yes", "query_invalid", "proof"),
    ] {
        let answer = world.get(&format!("/v1/resolve/{NAME}?{query}")).header("accept-language", "en").send().await;
        assert_eq!(answer.code(), code, "{query}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.starts_with(named), "{query}: {detail}");
    }
}

#[tokio::test]
async fn a_batch_answers_each_name_in_its_order() {
    let world = registered().await;
    world.register("88.999.1/b", &part("b")).await;
    let asked = json!({"identifiers": [
        "88.999.1/b", "88.999.1/unknown", "00012444", "09506000134352", "88.999.1/b"
    ]});
    let answer = world.ask(Method::POST, "/v1/resolve").json(&asked).send().await;
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].as_array().unwrap().clone();
    let said: Vec<_> = results
        .iter()
        .map(|result| (result["identifier"].as_str().unwrap(), result["status"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("88.999.1/b", 200),
            ("88.999.1/unknown", 404),
            ("00012444", 400),
            ("09506000134352", 200),
            ("88.999.1/b", 200)
        ]
    );
    let alone = world.get("/v1/resolve/09506000134352").send().await.json();
    assert_eq!(results[3]["resolution"], alone);
    assert_eq!(results[1]["problem"]["code"], "identifier_unknown");
    assert_eq!(results[2]["problem"]["code"], "identifier_invalid");
    assert!(!answer.text().contains("成本"));
}

#[tokio::test]
async fn a_batch_that_is_wrong_is_refused_whole() {
    let world = World::with(&[("limits.batch_identifiers", "3")]).await;
    let ask = |body: Json| world.ask(Method::POST, "/v1/resolve").json(&body).send();
    let full = ask(json!({"identifiers": ["a", "b", "c"]})).await;
    assert_eq!(full.json()["results"].as_array().unwrap().len(), 3);
    let none = ask(json!({"identifiers": []})).await;
    assert_eq!(none.text(), "{\"results\":[]}");
    let over = ask(json!({"identifiers": ["a", "b", "c", "d"]})).await;
    assert_eq!((over.status.as_u16(), over.code().as_str()), (400, "batch_too_large"));
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), "/identifiers"),
        (json!({"identifiers": ["a", 1]}), "/identifiers/1"),
        (json!({"identifiers": [], "at": 1}), "/at"),
    ] {
        let answer = ask(body).await;
        assert_eq!(answer.code(), "fields_invalid");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn a_large_batch_comes_in_pieces_and_is_whole() {
    let world = World::new().await;
    let long = "长".repeat(3_000);
    for at in 0..20 {
        world.register(&format!("88.999.1/n{at}"), &part(&long)).await;
    }
    let names: Vec<String> = (0..1_000).map(|at| format!("88.999.1/n{}", at % 20)).collect();
    let answer = world.ask(Method::POST, "/v1/resolve").json(&json!({ "identifiers": names })).send().await;
    assert!(answer.body.len() > 1_000_000);
    let results = answer.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 1_000);
    for (result, name) in results.iter().zip(&names) {
        assert_eq!(result["resolution"]["identifier"], name.as_str());
    }
}

#[tokio::test]
async fn lines_in_give_lines_out_and_a_bad_line_ends_nothing() {
    let world = registered().await;
    let lines = format!(
        "\"{NAME}\"\n\n{{\"identifier\":\"88.999.1/unknown\"}}\r\nnot json\n{{\"identifier\":1}}\n\"09506000134352\""
    );
    let answer = world
        .ask(Method::POST, "/v1/resolve")
        .header("accept-language", "en")
        .typed("application/x-ndjson", lines)
        .send()
        .await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    let results: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 404, 400, 422, 200]);
    assert_eq!(results[2]["identifier"], Json::Null);
    assert!(results[2]["problem"]["detail"].as_str().unwrap().starts_with("line 4: "));
}
