//! Shapes of what the model writes and reads by hand: records and their parts, and documents that handlers write in pieces.
//!
//! Words and bounds are the model's own constants. That each shape is the true one is tested: every answer of tests/http is
//! held against its schema with no further member allowed, and `wanted` against the lists of members that are read.

use serde_json::{Map, Value as Json, json};

use super::schemas::reference;
use super::wanted;
use crate::model::draft::{DraftLimits, MAX_REGISTRANT_BYTES, MAX_TEMPLATE_BYTES};
use crate::model::identifier::MAX_IDENTIFIER_BYTES;
use crate::model::link::{MAX_LANGUAGES, MAX_TITLE_BYTES, MAX_URL_BYTES, MAX_WORD_BYTES};
use crate::model::record::Status;
use crate::model::scheme::Scheme;
use crate::model::value::{
    MAX_LIST_ITEMS, MAX_REFERENCES, MAX_TTL_SECONDS, MAX_TYPE_BYTES, MAX_UNIT_BYTES, Visibility,
};

/// Every component that is written here.
pub(super) fn components(limits: &DraftLimits) -> Map<String, Json> {
    let mut components = Map::new();
    let mut add = |name: &str, schema: Json| components.insert(name.to_owned(), schema);
    add("Record", record("A record at one version · 一个版本的记录", None, limits));
    let entry = json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_.~-]+$",
        "description": "with entry=1: `<issuer JWT>~<disclosure>~…~` (SD-JWT, RFC 9901) · 已签名的条目",
    });
    add(
        "Resolution",
        record("A record with the values that the caller may see · 记录中调用者可见的内容", Some(entry), limits),
    );
    add("Value", value());
    add("Data", data());
    add("Reference", pointing(json!({"type": "integer", "minimum": 1, "maximum": u32::MAX})));
    add("Link", link());
    add("Alias", alias());
    add("DamagedRecord", damaged());
    add("BatchResult", batch_result());
    for (name, schema) in wanted::components(limits) {
        add(name, schema);
    }
    components
}

/// One line of text, at most so many bytes.
pub(super) fn line(most: usize) -> Json {
    json!({"type": "string", "minLength": 1, "maxLength": most})
}

pub(super) fn time() -> Json {
    json!({"type": "string", "format": "date-time"})
}

fn identifier() -> Json {
    line(MAX_IDENTIFIER_BYTES)
}

/// What `proof=1` adds.
fn proof() -> Json {
    let hash = json!({"type": "string", "pattern": "^[A-Za-z0-9+/]{43}=$"});
    json!({
        "description": "with proof=1: that the log has the entry (RFC 9162, 2.1.3), under a signed checkpoint · 收录证明",
        "anyOf": [
            {"const": "pending"},
            {
                "type": "object",
                "properties": {
                    "index": {"type": "integer", "minimum": 0},
                    "hashes": {"type": "array", "items": hash, "maxItems": 64},
                    "checkpoint": {"type": "string"},
                },
                "required": ["index", "hashes", "checkpoint"],
            },
        ],
    })
}

/// What an answer says where the record's prefix is suspended.
fn suspended() -> Json {
    json!({
        "description": "where the prefix is suspended, and is answered for all the same; or withheld from others than its own enterprise · 前缀已暂停或撤销而仍予解析",
        "type": "object",
        "properties": {"status": {"enum": ["suspended", "revoked"]}, "since": time()},
        "required": ["status", "since"],
        "additionalProperties": false,
    })
}

fn record(title: &str, entry: Option<Json>, limits: &DraftLimits) -> Json {
    let mut properties = json!({
        "identifier": identifier(),
        "version": {"type": "integer", "minimum": 1, "description": "from 1, without gaps · 从 1 起, 连续"},
        "status": {"enum": Status::ALL.map(Status::as_str)},
        "template": line(MAX_TEMPLATE_BYTES),
        "values": {"type": "array", "items": reference("Value"), "maxItems": limits.max_values},
        "links": {"type": "array", "items": reference("Link"), "maxItems": limits.max_links},
        "aliases": {"type": "array", "items": reference("Alias"), "maxItems": limits.max_aliases},
        "registrant": line(MAX_REGISTRANT_BYTES),
        "registered": time(),
        "updated": time(),
    });
    if let (Some(entry), Some(members)) = (entry, properties.as_object_mut()) {
        members.insert("entry".to_owned(), entry);
        members.insert("prefix".to_owned(), suspended());
        members.insert("proof".to_owned(), proof());
    }
    json!({
        "type": "object",
        "description": title,
        "properties": properties,
        "required": ["identifier", "version", "status", "values", "links", "aliases", "registered", "updated"],
    })
}

fn value() -> Json {
    json!({
        "type": "object",
        "description": "A value, as Handle has it, with typed data and a visibility · 值",
        "properties": {
            "index": {"type": "integer", "minimum": 1, "maximum": u32::MAX},
            "type": line(MAX_TYPE_BYTES),
            "data": reference("Data"),
            "ttl": {"type": "integer", "minimum": 0, "maximum": MAX_TTL_SECONDS, "description": "seconds · 秒"},
            "permissions": {"type": "string", "pattern": "^[01]{4}$", "description": "if not 1110 · 不是 1110 时才有"},
            "references": {
                "type": "array", "items": reference("Reference"), "minItems": 1, "maxItems": MAX_REFERENCES,
            },
            "timestamp": time(),
            "visibility": {
                "enum": Visibility::ALL[1..].iter().map(|word| word.as_str()).collect::<Vec<_>>(),
                "description": "if not public · 不公开时才有",
            },
        },
        "required": ["index", "type", "data", "ttl", "timestamp"],
    })
}

/// `{"format": …, "value": …}` of one format.
pub(super) fn of_format(format: &str, value: Json) -> Json {
    json!({
        "type": "object",
        "properties": {"format": {"const": format}, "value": value},
        "required": ["format", "value"],
        "additionalProperties": false,
    })
}

pub(super) fn with_unit(mut of_format: Json, unit: Json) -> Json {
    of_format["properties"]["unit"] = unit;
    of_format
}

/// `{"handle": …, "index": …}`
pub(super) fn pointing(index: Json) -> Json {
    json!({
        "type": "object",
        "description": "Points at a value of another record · 指向另一记录的值",
        "properties": {"handle": identifier(), "index": index},
        "required": ["handle", "index"],
        "additionalProperties": false,
    })
}

/// Twelve permission bits of HS_ADMIN.
pub(super) fn administrator() -> Json {
    json!({
        "type": "object",
        "properties": {
            "handle": identifier(),
            "index": {"type": "integer", "minimum": 1, "maximum": u32::MAX},
            "permissions": {"type": "string", "pattern": "^[01]{12}$"},
        },
        "required": ["handle", "index", "permissions"],
        "additionalProperties": false,
    })
}

fn data() -> Json {
    let list = json!({"type": "array", "items": reference("Data"), "maxItems": MAX_LIST_ITEMS});
    let references = json!({"type": "array", "items": reference("Reference"), "maxItems": MAX_REFERENCES});
    json!({
        "description": "Typed, exact data; a decimal stays the text that was sent · 有类型的精确数据",
        "oneOf": [
            of_format("string", json!({"type": "string"})),
            of_format("integer", json!({"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX})),
            with_unit(of_format("decimal", json!({"type": "string"})), line(MAX_UNIT_BYTES)),
            of_format("date", json!({"type": "string", "description": "2026-11-23, or RFC 3339"})),
            of_format("boolean", json!({"type": "boolean"})),
            of_format("url", line(MAX_URL_BYTES)),
            of_format("identifier", identifier()),
            of_format("list", list),
            of_format("bytes", json!({"type": "string", "contentEncoding": "base64"})),
            of_format("admin", administrator()),
            of_format("vlist", references),
            of_format("site", json!({"type": "object"})),
            of_format("key", json!({"type": "object"})),
        ],
    })
}

fn link() -> Json {
    json!({
        "type": "object",
        "description": "Leads to a page (href) or to another identifier · 链接",
        "properties": {
            "rel": line(MAX_WORD_BYTES),
            "href": line(MAX_URL_BYTES),
            "identifier": identifier(),
            "title": line(MAX_TITLE_BYTES),
            "type": line(MAX_WORD_BYTES),
            "hreflang": {"type": "array", "items": line(MAX_WORD_BYTES), "minItems": 1, "maxItems": MAX_LANGUAGES},
        },
        "required": ["rel"],
        "oneOf": [{"required": ["href"]}, {"required": ["identifier"]}],
    })
}

fn alias() -> Json {
    json!({
        "type": "object",
        "description": "Another name of the record, unique in the node · 别名",
        "properties": {
            "scheme": {"enum": Scheme::ALL.map(Scheme::as_str)},
            "identifier": identifier(),
            "case": {"const": "sensitive", "description": "where case tells names apart · 区分大小写时才有"},
        },
        "required": ["scheme", "identifier"],
    })
}

/// What stands in a list in the place of a record that cannot be read.
fn damaged() -> Json {
    json!({
        "type": "object",
        "description": "In the place of a record that cannot be read any more · 无法读出的记录",
        "properties": {"identifier": identifier(), "problem": reference("Problem")},
        "required": ["identifier", "problem"],
    })
}

/// The result of one name of a batch.
fn batch_result() -> Json {
    json!({
        "type": "object",
        "description": "One name's answer, in the order asked · 一个标识的结果, 顺序与请求相同",
        "properties": {
            "identifier": {
                "type": ["string", "null"],
                "description": "as it was asked; null for a line that cannot be read · 所问的标识",
            },
            "status": {"type": "integer", "minimum": 200, "maximum": 599},
            "resolution": reference("Resolution"),
            "problem": reference("Problem"),
        },
        "required": ["identifier", "status"],
        "oneOf": [{"required": ["resolution"]}, {"required": ["problem"]}],
    })
}
