//! Answers held against the document of the interface: status, media type, and each body against its schema, with no member
//! that the schema does not name.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails where it finds something")]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use http::HeaderMap;
use jsonschema::Validator;
use mingpai::codec::http::openapi;
use mingpai::config::LimitsSpec;
use serde_json::{Map, Value as Json, json};

/// The document, with the schemas that were made of it.
pub struct Contract {
    pub document: Json,
    schemas: Json,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

pub static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let document = openapi::document(&LimitsSpec::default());
    let mut schemas = document["components"]["schemas"].clone();
    for schema in schemas.as_object_mut().unwrap().values_mut() {
        close(schema);
    }
    Contract { document, schemas, validators: Mutex::default() }
});

/// What an answer was.
pub struct Seen<'a> {
    pub method: &'a str,
    /// The path, and a query perhaps.
    pub target: &'a str,
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Of HTTP itself, on every answer.
const OF_HTTP: [&str; 5] = ["content-type", "content-length", "date", "connection", "transfer-encoding"];

impl Contract {
    /// The operation that a request belongs to: its path in the document, and itself.
    fn operation(&self, method: &str, target: &str) -> Option<(String, &Json)> {
        let path = target.split('?').next().unwrap();
        let verb = if method == "HEAD" { "GET" } else { method }.to_ascii_lowercase();
        let paths = self.document["paths"].as_object().unwrap();
        // The most exact of those that fit: the one with the longest literal beginning.
        let fitting = paths.iter().filter(|(pattern, _)| fits(pattern, path));
        let (pattern, item) = fitting.max_by_key(|(pattern, _)| pattern.split('{').next().map(str::len))?;
        Some((format!("{verb} {pattern}"), item.get(&verb)?))
    }

    /// Behind a reference, if it is one.
    fn resolved<'c>(&'c self, part: &'c Json) -> &'c Json {
        let reference = part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        reference.map_or(part, |pointer| self.document.pointer(pointer).unwrap())
    }

    /// What is wrong with an answer. Addresses and verbs that are in no document are nobody's.
    pub fn complaint(&self, seen: &Seen<'_>) -> Option<String> {
        let (name, operation) = self.operation(seen.method, seen.target)?;
        let response = self.resolved(&operation["responses"][seen.status.to_string()]);
        let place = format!("{name} {}", seen.status);
        if response.is_null() {
            return Some(format!("{place}: the status is not in the document"));
        }
        let described = response["headers"].as_object().unwrap();
        let is_known =
            |name: &str| OF_HTTP.contains(&name) || described.keys().any(|known| known.eq_ignore_ascii_case(name));
        if let Some(name) = seen.headers.keys().map(|name| name.as_str()).find(|name| !is_known(name)) {
            return Some(format!("{place}: the header {name} is not in the document"));
        }
        let said = seen.headers.get("content-type").map(|value| value.to_str().unwrap());
        let Some(content) = response["content"].as_object() else {
            return (!seen.body.is_empty()).then(|| format!("{place}: a body that is not in the document"));
        };
        let Some(schema) = said.and_then(|media_type| content.get(media_type)) else {
            return Some(format!("{place}: the media type {said:?} is not in the document"));
        };
        if seen.method == "HEAD" {
            return None;
        }
        let media_type = said.unwrap();
        let schema = &schema["schema"];
        if media_type.ends_with("json") && !media_type.ends_with("ndjson") {
            let body: Json = match serde_json::from_slice(seen.body) {
                Ok(body) => body,
                Err(error) => return Some(format!("{place}: {error}")),
            };
            return self.judged(&format!("{place} {media_type}"), schema, &body);
        }
        let line_schema = schema.get("contentSchema")?;
        String::from_utf8_lossy(seen.body).lines().filter(|line| !line.is_empty()).find_map(|line| {
            match serde_json::from_str(line) {
                Ok(body) => self.judged(&format!("{place} line"), line_schema, &body),
                Err(error) => Some(format!("{place}: {error} in {line}")),
            }
        })
    }

    fn judged(&self, place: &str, schema: &Json, body: &Json) -> Option<String> {
        let validator = self.validator(place, schema);
        let errors: Vec<String> =
            validator.iter_errors(body).map(|error| format!("{} at {}", error, error.instance_path())).collect();
        (!errors.is_empty()).then(|| format!("{place}: {}\n{body}", errors.join("; ")))
    }

    fn validator(&self, place: &str, schema: &Json) -> Arc<Validator> {
        let mut known = self.validators.lock().unwrap();
        let make = || {
            let mut schema = schema.clone();
            close(&mut schema);
            let root = json!({"components": {"schemas": self.schemas}, "allOf": [schema]});
            let validator = jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .should_validate_formats(true)
                .build(&root)
                .unwrap_or_else(|error| panic!("{place}: {error}"));
            Arc::new(validator)
        };
        Arc::clone(known.entry(place.to_owned()).or_insert_with(make))
    }
}

/// Whether a path is of a pattern; an identifier may hold slashes.
fn fits(pattern: &str, path: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('{') else {
        return pattern == path;
    };
    let (name, after) = rest.split_once('}').unwrap();
    let Some(value) = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after)) else {
        return false;
    };
    name == "identifier" || !value.contains('/')
}

/// Refuses members that an object's schema does not name.
fn close(schema: &mut Json) {
    match schema {
        Json::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("type").is_some_and(|kind| kind == "object")
                && members.contains_key("properties")
                && !members.contains_key("additionalProperties")
            {
                members.insert("additionalProperties".to_owned(), false.into());
            }
        }
        Json::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// Every operation of the document with its path and verb.
pub fn operations(document: &Json) -> Vec<(&str, &str, &Map<String, Json>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (verb, operation) in item.as_object().unwrap() {
            found.push((path.as_str(), verb.as_str(), operation.as_object().unwrap()));
        }
    }
    found
}
