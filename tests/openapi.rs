//! The document of the interface: committed as it is served, every example in it sent to a running node.
//!
//! `UPDATE_DOCS=1 cargo test --test openapi` records the answers of the examples and writes docs/openapi.json.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end where it finds something wrong")]

mod conformance;
mod program;

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use conformance::{CONTRACT, Seen, operations};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mingpai::codec::http::openapi::{self, Recorded};
use mingpai::config::LimitsSpec;
use serde_json::{Map, Value as Json, json};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
const ANSWERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/codec/http/openapi/answers.json");
const HOW: &str = "run UPDATE_DOCS=1 cargo test --test openapi and commit what it wrote";
/// Longer answers are not shown.
const MOST_SHOWN_BYTES: usize = 8 * 1024;

/// A running node and a client of it.
struct Asked {
    node: program::Node,
    client: Client<HttpConnector, Full<Bytes>>,
    key: String,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

impl Asked {
    async fn start() -> Asked {
        let folder = tempfile::tempdir().unwrap();
        let node = program::Node::start(folder.path());
        let client = Client::builder(TokioExecutor::new()).build_http();
        let key = fs::read_to_string(folder.path().join("dev-token")).unwrap().trim().to_owned();
        let asked = Asked { node, client, key, _folder: folder };
        while asked.get("/readyz").await.status != 200 {
            tokio::task::yield_now().await;
        }
        // Heads that cover the demonstration, which are signed within a second of it.
        while asked.head("/log/checkpoint").await < 337 || asked.head("/log/audit/checkpoint").await < 1 {
            tokio::task::yield_now().await;
        }
        asked
    }

    /// The size of a published head; 0 before the first.
    async fn head(&self, target: &str) -> u64 {
        let request = Request::get(self.url(target)).header("authorization", format!("Bearer {}", self.key));
        let answer = self.send(request.body(Full::default()).unwrap()).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        text.lines().nth(1).filter(|_| answer.status == 200).map_or(0, |size| size.parse().unwrap())
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(self.url(target)).body(Full::default()).unwrap()).await
    }

    fn url(&self, target: &str) -> String {
        format!("{}{target}", self.node.url)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

/// An example as the document has it.
struct Example<'d> {
    step: u64,
    name: &'d str,
    status: u16,
    verb: &'d str,
    path: &'d str,
    query: &'d Map<String, Json>,
    headers: &'d Map<String, Json>,
    operation: &'d Map<String, Json>,
}

fn examples(document: &Json) -> Vec<Example<'_>> {
    let mut found = Vec::new();
    for (path, verb, operation) in operations(document) {
        for example in operation["x-examples"].as_array().unwrap() {
            found.push(Example {
                step: example["step"].as_u64().unwrap(),
                name: example["name"].as_str().unwrap(),
                status: u16::try_from(example["status"].as_u64().unwrap()).unwrap(),
                verb,
                path,
                query: example["query"].as_object().unwrap(),
                headers: example["headers"].as_object().unwrap(),
                operation,
            });
        }
    }
    found.sort_by_key(|example| example.step);
    found
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn plain(json: &Json) -> String {
    json.as_str().map_or_else(|| json.to_string(), str::to_owned)
}

impl Example<'_> {
    fn id(&self) -> &str {
        self.operation["operationId"].as_str().unwrap()
    }

    fn title(&self) -> String {
        format!("{}/{}", self.id(), self.name)
    }

    /// The value that a part of the document shows under this example's name.
    fn shown<'j>(&self, part: &'j Json) -> Option<&'j Json> {
        part["examples"].get(self.name).map(|example| &example["value"])
    }

    /// The request as the document has it; `known` are parameters that earlier answers gave.
    fn request(&self, asked: &Asked, known: &HashMap<(String, String), String>) -> Request<Full<Bytes>> {
        let mut path = self.path.to_owned();
        let mut request = Request::builder().method(self.verb.to_ascii_uppercase().as_str());
        for parameter in self.operation["parameters"].as_array().unwrap() {
            let (Some(name), Some(value)) = (parameter["name"].as_str(), self.shown(parameter)) else { continue };
            // A name that is chosen for the example is sent as it stands.
            let given = known.get(&(self.id().to_owned(), name.to_owned()));
            let given = given.filter(|_| name == "id" && value != "none");
            let value = given.cloned().unwrap_or_else(|| plain(value));
            path = path.replace(&format!("{{{name}}}"), &encoded(&value));
        }
        let mut query = Vec::new();
        for (name, value) in self.query {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            query.extend(values.iter().map(|value| format!("{name}={}", encoded(&plain(value)))));
        }
        for (name, value) in self.headers {
            request = request.header(name, plain(value));
        }
        assert!(!path.contains('{'), "{}: no value for {path}", self.title());
        // Where a key is looked at there is one, except where everybody may read what is cached.
        if self.operation["security"][0].get("key").is_some() || self.id() == "readRecord" {
            request = request.header("authorization", format!("Bearer {}", asked.key));
        }
        let mut body = Bytes::new();
        if let Some(contents) = self.operation.get("requestBody").and_then(|body| body["content"].as_object()) {
            for (media_type, content) in contents {
                if let Some(value) = self.shown(content) {
                    request = request.header("content-type", media_type);
                    body = plain(value).into();
                }
            }
        }
        let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        request.uri(asked.url(&target)).body(Full::new(body)).unwrap()
    }

    /// What the answer says of parameters of other operations.
    fn learn(&self, document: &Json, answer: &Answer, known: &mut HashMap<(String, String), String>) {
        // What was made answers at its address, by whichever verbs there are.
        let location = answer.header("location").unwrap_or_default();
        for (path, _, operation) in operations(document) {
            let Some((before, after)) = path.split_once("{id}") else { continue };
            let id = location.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            if let Some(id) = id.filter(|id| !id.is_empty() && !id.contains('/')) {
                known.insert((operation["operationId"].as_str().unwrap().to_owned(), "id".to_owned()), id.to_owned());
            }
        }
        let links = &self.operation["responses"][answer.status.to_string()]["links"];
        for link in links.as_object().into_iter().flat_map(Map::values) {
            let target = link["operationId"].as_str().unwrap();
            for (parameter, expression) in link["parameters"].as_object().unwrap() {
                let pointer = expression.as_str().unwrap().strip_prefix("$response.body#").unwrap();
                let value = plain(answer.json().pointer(pointer).unwrap());
                known.insert((target.to_owned(), parameter.clone()), value);
            }
        }
    }
}

/// What is another each time: its kind stands for it.
const CHANGING: [&str; 41] = [
    "applicant",
    "began",
    "submitted",
    "by",
    "at",
    "nonce",
    "audience",
    "expires",
    "principal",
    "last_used",
    "job",
    "maker",
    "root",
    "hashes",
    "checkpoint",
    "proof",
    "statements",
    "latest",
    "absent",
    "updated",
    "registered",
    "timestamp",
    "started",
    "ended",
    "created",
    "leaf",
    "id",
    "key",
    "entry",
    "next_cursor",
    "x",
    "kid",
    "hash",
    "offset",
    "sequence",
    "registry_size",
    "audit_size",
    "time",
    "statement",
    "licence",
    "issued",
];
/// Of a job that has just begun: how far it is already.
const PROGRESS: [&str; 8] = ["state", "rows", "bytes_done", "ended", "columns", "encoding", "separator", "errors"];

fn settled(body: &Json, status: u16) -> Json {
    match body {
        Json::Object(members) => {
            let is_logged =
                members.contains_key("step") || members.contains_key("leaf") || members.contains_key("statement");
            // The demonstration is registered by several at once, and its keys are new each time.
            let is_event = members.contains_key("tree");
            let kept = members.iter().filter(|(name, _)| status != 202 || !PROGRESS.contains(&name.as_str()));
            kept.map(|(name, value)| {
                let changes = CHANGING.contains(&name.as_str())
                    || (is_logged && ["index", "not_after"].contains(&name.as_str()))
                    || (is_event && ["index", "subject"].contains(&name.as_str()))
                    || value.as_str().is_some_and(|text| text.starts_with("/v1/imports/"));
                let is_minted = value.as_str().and_then(|text| text.strip_prefix("88.999.1/20")).is_some();
                let value = match value {
                    _ if changes || is_minted => json!(format!("a {}", kind(value))),
                    value => settled(value, status),
                };
                (name.clone(), value)
            })
            .collect::<Map<_, _>>()
            .into()
        }
        Json::Array(items) => items.iter().map(|item| settled(item, status)).collect::<Vec<_>>().into(),
        // Lines are compared as documents.
        Json::String(text) if text.starts_with('{') && text.ends_with('\n') => {
            text.lines().map(|line| settled(&serde_json::from_str(line).unwrap(), status)).collect::<Vec<_>>().into()
        }
        other => other.clone(),
    }
}

fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "truth",
        Json::Number(_) => "number",
        Json::String(_) => "text",
        Json::Array(_) => "list",
        Json::Object(_) => "object",
    }
}

/// An answer as it is recorded: JSON as a document, lines and tables as text; others are not shown. No secret is kept.
fn record(answer: &Answer, ids: &HashMap<(String, String), String>, document: &Json) -> Option<Json> {
    let media_type = answer.header("content-type")?;
    let mut text = String::from_utf8(answer.body.to_vec()).ok()?;
    if text.len() > MOST_SHOWN_BYTES {
        return None;
    }
    for ((operation, parameter), id) in ids {
        if let Some(shown) = shown_id(document, operation, parameter) {
            text = text.replace(id, shown);
        }
    }
    let body = match media_type {
        "application/json" | "application/problem+json" => {
            let mut body: Json = serde_json::from_str(&text).unwrap();
            if let Some(key) = body.get_mut("key").filter(|key| key.is_string()) {
                *key = "mpk_…".into();
            }
            body
        }
        "application/x-ndjson" | "text/csv; charset=utf-8" => text.into(),
        _ => return None,
    };
    Some(json!({"type": media_type, "body": body}))
}

/// The id that the document shows in the place of a real one.
fn shown_id<'d>(document: &'d Json, operation: &str, parameter: &str) -> Option<&'d str> {
    let (_, _, found) = operations(document).into_iter().find(|(_, _, found)| found["operationId"] == operation)?;
    let parameters = found["parameters"].as_array()?;
    let parameter = parameters.iter().find(|known| known["name"] == parameter && parameter == "id")?;
    parameter["examples"].as_object()?.values().find_map(|example| example["value"].as_str().filter(|id| *id != "none"))
}

#[tokio::test]
async fn every_example_is_answered_as_the_document_says() {
    let document = &CONTRACT.document;
    let asked = Asked::start().await;
    let mut known = HashMap::new();
    let kept: Map<String, Json> = serde_json::from_str(&fs::read_to_string(ANSWERS).unwrap()).unwrap();
    let (mut recorded, mut differing, mut wrong) = (Map::new(), Vec::new(), Vec::new());
    let all = examples(document);
    assert!(all.len() > 35, "only {} examples were found", all.len());
    for example in &all {
        let title = example.title();
        let request = example.request(&asked, &known);
        let (method, target) = (request.method().to_string(), request.uri().path().to_owned());
        let answer = asked.send(request).await;
        let text = String::from_utf8_lossy(&answer.body);
        if answer.status != example.status {
            wrong.push(format!("{title}: {} {text}", answer.status));
            continue;
        }
        let seen = Seen {
            method: &method,
            target: &target,
            status: answer.status,
            headers: &answer.headers,
            body: &answer.body,
        };
        wrong.extend(CONTRACT.complaint(&seen).map(|complaint| format!("{title}: {complaint}")));
        example.learn(document, &answer, &mut known);
        if answer.status == 202 {
            let job = answer.header("location").unwrap();
            loop {
                let request = Request::get(asked.url(job)).header("authorization", format!("Bearer {}", asked.key));
                if asked.send(request.body(Full::default()).unwrap()).await.json()["state"] != "running" {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let Some(new) = record(&answer, &known, document) else { continue };
        match kept.get(&title).filter(|old| settled(old, answer.status) == settled(&new, answer.status)) {
            Some(old) => {
                recorded.insert(title, old.clone());
            }
            None => {
                differing.push(format!("{title}: {new}"));
                recorded.insert(title, new);
            }
        }
    }
    println!("openapi: {} examples sent", all.len());
    assert!(wrong.is_empty(), "answers that are not as the document says:\n{}", wrong.join("\n"));
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(ANSWERS, pretty(&Json::Object(recorded.clone()))).unwrap();
        let document = openapi::document_with(&LimitsSpec::default(), &Recorded::of(recorded));
        fs::write(DOCUMENT, pretty(&document)).unwrap();
        return;
    }
    assert!(differing.is_empty(), "{HOW}; answered otherwise than recorded:\n{}", differing.join("\n"));
    let stale: Vec<&String> = kept.keys().filter(|title| !recorded.contains_key(*title)).collect();
    assert!(stale.is_empty(), "{HOW}; recorded for no example: {stale:?}");
}

fn pretty(json: &Json) -> String {
    serde_json::to_string_pretty(json).unwrap() + "\n"
}

#[test]
fn docs_openapi_json_is_the_document_of_this_program() {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return;
    }
    let kept = fs::read_to_string(Path::new(DOCUMENT)).unwrap_or_default();
    let made = pretty(&CONTRACT.document);
    let first = kept.lines().zip(made.lines()).position(|(kept, made)| kept != made);
    let is_same = kept == made;
    assert!(is_same, "{HOW}; the first other line is {:?}: {:?}", first, first.and_then(|at| made.lines().nth(at)));
    let (bytes, count) = (made.len(), operations(&CONTRACT.document).len());
    assert!(bytes < count * (11 << 10), "the document has grown to {bytes} bytes for {count} operations");
}

#[tokio::test]
async fn the_document_is_served_as_it_is_committed_and_known_by_its_etag() {
    let asked = Asked::start().await;
    let served = asked.get("/openapi.json").await;
    assert_eq!(served.json(), CONTRACT.document);
    assert_eq!(served.header("cache-control"), Some("public, max-age=60"));
    let etag = served.header("etag").unwrap();
    let ask = |name: &str, value: &str| Request::get(asked.url("/openapi.json")).header(name, value);
    let again = asked.send(ask("if-none-match", etag).body(Full::default()).unwrap()).await;
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(etag)));
    let packed = asked.send(ask("accept-encoding", "gzip").body(Full::default()).unwrap()).await;
    assert_eq!(
        (packed.header("content-encoding"), packed.header("vary")),
        (Some("gzip"), Some("accept, accept-encoding"))
    );
    assert_ne!(packed.header("etag"), Some(etag), "another form, another tag");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut plain).unwrap();
    assert_eq!(plain, served.body);
    assert!(packed.body.len() < 80 << 10, "{} bytes", packed.body.len());
}

#[tokio::test]
async fn the_page_speaks_both_languages_and_asks_nobody_else() {
    let asked = Asked::start().await;
    for (language, tag, title) in
        [("zh-CN", "zh-CN", "<title>铭牌接口文档</title>"), ("en", "en", "<title>Mingpai API</title>")]
    {
        for target in ["/docs", "/docs/"] {
            let request = Request::get(asked.url(target)).header("accept-language", language);
            let page = asked.send(request.body(Full::default()).unwrap()).await;
            let text = String::from_utf8(page.body.to_vec()).unwrap();
            assert!(text.contains(title) && text.contains(&format!("<html lang=\"{tag}\">")), "{text}");
            assert!(!text.contains("://"), "a foreign host: {text}");
            assert_eq!(page.header("content-language"), Some(tag));
            let policy = page.header("content-security-policy").unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe") && !policy.contains("http"), "{policy}");
            // Every file that it names is there.
            for name in text.split("/docs/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
                let file = asked.get(&format!("/docs/{name}")).await;
                assert_eq!((file.status, file.header("x-content-type-options")), (200, Some("nosniff")), "{name}");
            }
        }
    }
    let licence = asked.get("/docs/LICENSE").await;
    assert!(String::from_utf8_lossy(&licence.body).contains("Apache License"));
    assert_eq!(asked.get("/docs/nothing.js").await.status, 404);
}

#[tokio::test]
async fn every_parameter_of_a_query_is_in_the_document_and_no_other_is_taken() {
    let asked = Asked::start().await;
    for (path, verb, operation) in operations(&CONTRACT.document) {
        let described = operation["parameters"].as_array().unwrap().iter().filter(|known| known["in"] == "query");
        let mut described: Vec<&str> = described.map(|known| known["name"].as_str().unwrap()).collect();
        let target = path
            .replace("{file}", "start.js")
            .replace("{identifier}", "88.999.1%2Fx")
            .replace("{id}", "x")
            .replace("{key}", "x")
            .replace("{number}", "1")
            .replace("{index}", "0")
            .replace("{tile}", "0%2F000.p%2F1");
        let request =
            Request::builder().method(verb.to_ascii_uppercase().as_str()).uri(asked.url(&format!("{target}?nobody=1")));
        let request = request.header("accept-language", "en").header("authorization", format!("Bearer {}", asked.key));
        let answer = asked.send(request.body(Full::default()).unwrap()).await;
        let refuses = operation["responses"]["400"]["$ref"].as_str().is_some_and(|name| name.contains("query_invalid"))
            || operation["responses"]["400"].to_string().contains("query_invalid");
        if !refuses {
            assert!(described.is_empty() && answer.status == 200, "{verb} {path} overlooks its query");
            continue;
        }
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        let known = detail.strip_prefix("nobody: no such parameter; there are ").unwrap_or_default();
        assert!(!known.is_empty() || detail == "nobody: this address takes none", "{verb} {path}: {detail}");
        let mut known: Vec<&str> = known.split(", ").filter(|name| !name.is_empty()).collect();
        known.sort_unstable();
        described.sort_unstable();
        assert_eq!(known, described, "{verb} {path}");
    }
}
