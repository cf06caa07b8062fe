//! The document of the HTTP interface (OpenAPI 3.1), made by the program itself.
//!
//! - `operations`: every address and verb, a file a chapter. A route that is missing there fails a test.
//! - `operation`, `tag`, `parameter`, `example`, `problems`: what an operation is made of.
//! - `schemas`: shapes from the types that serde writes and reads. `shapes`, `wanted`: those of the types that do it by hand.
//!
//! docs/openapi.json is this document with the default limits; `UPDATE_DOCS=1 cargo test --test openapi` writes it and the
//! recorded answers of the examples. A node serves it with its own limits.

mod example;
mod operation;
mod operations;
mod parameter;
mod problems;
mod schemas;
mod shapes;
mod tag;
mod wanted;

use serde_json::{Map, Value as Json, json};

use crate::config::LimitsSpec;
use crate::model::draft::DraftLimits;
use crate::model::text::Text;
pub use example::Recorded;
use operation::Tag;
use schemas::Schemas;

/// In both languages, English first.
fn both(text: &Text) -> String {
    format!("{} · {}", text.en, text.zh)
}

const ABOUT: &str = "A secondary node of the industrial-internet identifier system. Errors are `application/problem+json` \
    (RFC 9457) with a stable `code`; Accept-Language chooses Chinese (default) or English. GET stands for HEAD too, and every \
    address answers OPTIONS with 204 and Allow; other verbs are 405 `method_not_allowed`, other addresses 404 \
    `route_unknown`. An unknown query parameter or member of a body is an error that names it. Answers grow by further \
    members: overlook what you do not know. The connection itself answers a request that is too broken to be read with an \
    empty body: 400 where the bytes are no HTTP, 431 far beyond the header limits. Bounds of texts are in bytes of UTF-8; those of \
    requests as a whole stand in `x-limits`. `x-roles` of an operation names the roles of keys that it opens to; where it is missing no key is \
    needed.\n\n\
    工业互联网标识解析二级节点的接口. 错误为 `application/problem+json`, `code` 稳定不变; Accept-Language 选择语言, 默认中文. \
    GET 兼含 HEAD, 各地址以 204 与 Allow 回答 OPTIONS. 未知的查询参数或成员是错误, 会指明其名. 回答只会增加成员, 请忽略不认识的. \
    文本长度以 UTF-8 字节计; 请求整体的上限见 `x-limits`. 操作的 `x-roles` 列出可用的密钥角色, 没有此项则不需密钥.";

const SIGNATURE: &str = "In place of Authorization: the headers Signature-Input and Signature (HTTP Message Signatures, RFC 9421) by the \
    Ed25519 key that an API key was registered with. Covered: @method, @authority, @path, @query where there is one, content-digest \
    (RFC 9530) where there is a body, and content-type, content-encoding, if-match, if-none-match, idempotency-key and upload-* where a \
    request that changes something has them. Parameters: created, keyid (the id of the API key), nonce, tag (as Accept-Signature of a 401 says) \
    · 不用 Authorization, 而以注册 API 密钥时的 Ed25519 密钥为请求签名 (RFC 9421): 请求头 Signature-Input 与 Signature";

/// The document of a node with these limits.
#[must_use]
pub fn document(limits: &LimitsSpec) -> Json {
    document_with(limits, &Recorded::built_in())
}

/// The same with other answers to its examples, as they are when they are recorded.
#[must_use]
pub fn document_with(limits: &LimitsSpec, recorded: &Recorded) -> Json {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    for operation in operations::all(limits) {
        let described = operation.to_json(&mut schemas, recorded);
        let path = paths.entry(operation.path).or_insert_with(|| Json::Object(Map::new()));
        path[operation.verb.to_ascii_lowercase()] = described;
    }
    let parameters: Map<String, Json> = parameter::everywhere()
        .iter()
        .map(|parameter| (parameter.name.to_owned(), parameter.to_json(&mut schemas, &[])))
        .collect();
    let tags: Vec<Json> =
        Tag::ALL.iter().map(|tag| json!({"name": tag.name(), "description": both(&tag.about())})).collect();
    let responses = std::mem::take(&mut schemas.responses);
    let components = schemas.components(&DraftLimits::default());
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "铭牌 Mingpai",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "x-limits": bounds(limits),
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": parameters,
            "responses": responses,
            "headers": problems::header_components(),
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`mpk_…`), or once the bootstrap token at POST /v1/keys · API 密钥, 首次可用引导令牌",
                },
                // No scheme of OpenAPI: the headers of RFC 9421 in place of Authorization.
                "signature": {"type": "http", "scheme": "signature", "description": SIGNATURE},
            },
        },
    })
}

/// Bounds that no schema can say, by the names that the configuration has for them.
fn bounds(limits: &LimitsSpec) -> Json {
    json!({
        "uri_bytes": limits.uri_bytes,
        "header_bytes": limits.header_bytes,
        "body_bytes": limits.body_bytes,
        "json_depth": limits.json_depth,
        "batch_identifiers": limits.batch_identifiers,
        "history_bytes": limits.history_bytes,
        "import_bytes": limits.import_bytes,
        "line_bytes": limits.line_bytes,
        "xlsx_bytes": limits.xlsx_bytes,
        "xlsx_unpacked_bytes": limits.xlsx_unpacked_bytes,
    })
}

/// Every operation, for the test that holds them against the routes.
#[cfg(test)]
pub(super) fn described() -> Vec<(&'static str, &'static str)> {
    operations::all(&LimitsSpec::default()).iter().map(|operation| (operation.verb, operation.path)).collect()
}

/// The operations' names and their parameters are unique.
#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reference_leads_to_a_component_and_every_name_is_given_once() {
        let document = document(&LimitsSpec::default());
        let mut references = Vec::new();
        gather(&document, &mut references);
        assert!(references.len() > 100);
        for reference in &references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            assert!(references.contains(&format!("#/components/schemas/{name}")), "nobody uses {name}");
        }
        let mut ids = HashSet::new();
        for operation in operations::all(&LimitsSpec::default()) {
            assert!(ids.insert(operation.id), "{} twice", operation.id);
            assert!(!operation.examples.is_empty(), "{} shows no example", operation.id);
        }
    }

    fn gather(json: &Json, references: &mut Vec<String>) {
        match json {
            Json::Object(members) => {
                references.extend(members.get("$ref").and_then(Json::as_str).map(str::to_owned));
                members.values().for_each(|member| gather(member, references));
            }
            Json::Array(items) => items.iter().for_each(|item| gather(item, references)),
            _ => {}
        }
    }
}
