//! Shapes of what is sent to be registered. Wider than what is answered: bare data, missing members, null where it says "none".

use serde_json::{Value as Json, json};

use super::schemas::reference;
use super::shapes::{administrator, line, of_format, pointing, time, with_unit};
use crate::model::draft::{DraftLimits, MAX_OWNER_JWS_BYTES, MAX_REGISTRANT_BYTES, MAX_TEMPLATE_BYTES};
use crate::model::identifier::MAX_IDENTIFIER_BYTES;
use crate::model::link::{MAX_LANGUAGES, MAX_TITLE_BYTES, MAX_URL_BYTES, MAX_WORD_BYTES};
use crate::model::scheme::Scheme;
use crate::model::value::{
    DEFAULT_TTL_SECONDS, MAX_DECIMAL_BYTES, MAX_LIST_ITEMS, MAX_REFERENCES, MAX_TTL_SECONDS, MAX_TYPE_BYTES,
    MAX_UNIT_BYTES, Visibility,
};

/// Those that may be asked for: deletion is an act of its own.
pub(super) const STATUSES: [&str; 4] = ["active", "suspended", "recalled", "retired"];

/// A number of JSON as text, zeros before it allowed.
const DECIMAL: &str = "^-?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$";

pub(super) fn components(limits: &DraftLimits) -> Vec<(&'static str, Json)> {
    let content = |values| {
        json!({
            "status": maybe(json!({"enum": STATUSES})),
            "template": maybe(line(MAX_TEMPLATE_BYTES)),
            "values": list_of(values, limits.max_values),
            "links": list_of("LinkDraft", limits.max_links),
            "aliases": list_of("AliasDraft", limits.max_aliases),
            "registrant": maybe(line(MAX_REGISTRANT_BYTES)),
            "owner_jws": maybe(json!({
                "type": "string", "maxLength": MAX_OWNER_JWS_BYTES,
                "description": "the owner's signature: a compact JWS over {sub, ver, digest} · 所有者签名",
            })),
        })
    };
    let mut minted = content("ValueDraft");
    minted["prefix"] = json!({"type": "string", "description": "under which a suffix is minted · 在哪个前缀下分配"});
    // What a row does may be a patch.
    let mut listed = content("ValueChange");
    listed["operation"] = json!({"type": ["string", "null"], "description": "put, patch, activate, suspend, recall, retire, delete · 作何改动"});
    listed["if_version"] =
        json!({"type": ["integer", "string", "null"], "description": "the version that it is for · 所据的版本"});
    for name in ["identifier", "version", "registered", "updated"] {
        listed[name] =
            json!({"description": "as in an export; the version and the times are the node's own · 与导出相同"});
    }
    listed["identifier"] = line(MAX_IDENTIFIER_BYTES);
    vec![
        ("Draft", closed("The content of a record · 记录的内容", content("ValueDraft"), &[])),
        (
            "DraftPatch",
            closed(
                "Members that are sent replace; null takes away; values merge by index · 给出的成员替换原有的, null 表示去除, \
                 值按索引合并",
                content("ValueChange"),
                &[],
            ),
        ),
        ("MintDraft", closed("A draft with the prefix to mint under · 内容与前缀", minted, &["prefix"])),
        ("RecordLine", closed("A record as exported, a line of an import · 导出的一行", listed, &["identifier"])),
        ("ValueDraft", closed("A value · 值", members_of_a_value(), &["index", "type", "data"])),
        ("ValueChange", change_of_a_value()),
        ("DataDraft", data(limits)),
        ("ReferenceDraft", pointing(index())),
        ("LinkDraft", link()),
        ("AliasDraft", alias()),
    ]
}

/// An object without other members.
fn closed(about: &str, properties: Json, required: &[&str]) -> Json {
    json!({
        "type": "object",
        "description": about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

/// Or null, which says the same as leaving it out.
fn maybe(schema: Json) -> Json {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn list_of(component: &str, most: usize) -> Json {
    json!({"type": ["array", "null"], "items": reference(component), "maxItems": most})
}

/// From 1; Handle clients write it as text too.
fn index() -> Json {
    json!({"anyOf": [
        {"type": "integer", "minimum": 1, "maximum": u32::MAX},
        {"type": "string", "pattern": "^0*[1-9][0-9]{0,9}$"},
    ]})
}

fn members_of_a_value() -> Json {
    json!({
        "index": index(),
        "type": line(MAX_TYPE_BYTES),
        "data": reference("DataDraft"),
        "ttl": maybe(json!({
            "type": "integer", "minimum": 0, "maximum": MAX_TTL_SECONDS, "default": DEFAULT_TTL_SECONDS,
            "description": "seconds · 秒",
        })),
        "permissions": maybe(json!({
            "type": "string", "pattern": "^[01]{4}$", "default": "1110",
            "description": "admin reads, admin writes, public reads, public writes · 管理读, 管理写, 公众读, 公众写",
        })),
        "references": list_of("ReferenceDraft", MAX_REFERENCES),
        "timestamp": maybe(time()),
        "visibility": maybe(json!({"enum": Visibility::ALL.map(Visibility::as_str), "default": "public"})),
    })
}

fn change_of_a_value() -> Json {
    let mut merged = members_of_a_value();
    merged["type"] = maybe(line(MAX_TYPE_BYTES));
    let removed =
        closed("Takes a value away · 去除", json!({"index": index(), "remove": {"const": true}}), &["index", "remove"]);
    json!({"anyOf": [closed("Changes or adds a value · 修改或添加", merged, &["index"]), removed]})
}

fn data(limits: &DraftLimits) -> Json {
    let text = json!({"type": "string", "maxLength": limits.max_value_bytes});
    let integer = json!({"anyOf": [
        {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
        {"type": "string", "pattern": "^[+-]?[0-9]+$"},
    ]});
    let decimal = json!({"anyOf": [
        {"type": "string", "pattern": DECIMAL, "maxLength": MAX_DECIMAL_BYTES},
        {"type": "number"},
    ]});
    let list = json!({"type": "array", "items": reference("DataDraft"), "maxItems": MAX_LIST_ITEMS});
    let references =
        json!({"type": ["array", "null"], "items": reference("ReferenceDraft"), "maxItems": MAX_REFERENCES});
    let base64 = json!({"type": "string", "contentEncoding": "base64", "maxLength": limits.max_value_bytes});
    let hex = json!({"type": "string", "pattern": "^([0-9A-Fa-f]{2})*$"});
    json!({
        "description": "Bare text, a number or a truth; or with its format, which keeps numbers exact · 文本, 数字, 布尔值, 或带格式的数据",
        "anyOf": [
            text.clone(),
            {"type": "number"},
            {"type": "boolean"},
            of_format("string", text),
            of_format("integer", integer),
            with_unit(of_format("decimal", decimal), maybe(line(MAX_UNIT_BYTES))),
            of_format("date", json!({"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}"})),
            of_format("boolean", json!({"type": "boolean"})),
            of_format("url", line(MAX_URL_BYTES)),
            of_format("identifier", line(4 * MAX_IDENTIFIER_BYTES)),
            of_format("list", list),
            of_format("bytes", base64.clone()),
            of_format("base64", base64),
            of_format("hex", hex),
            of_format("admin", administrator()),
            of_format("vlist", references),
            of_format("site", json!({"type": "object", "description": "whole numbers only · 只可含整数"})),
            of_format("key", json!({"type": "object", "description": "a JSON Web Key · JWK"})),
        ],
    })
}

fn link() -> Json {
    let mut link = closed(
        "Exactly one of href and identifier · href 与 identifier 须且只能有一个",
        json!({
            "rel": line(MAX_WORD_BYTES),
            "href": maybe(line(MAX_URL_BYTES)),
            "identifier": maybe(line(MAX_IDENTIFIER_BYTES)),
            "title": maybe(line(MAX_TITLE_BYTES)),
            "type": maybe(line(MAX_WORD_BYTES)),
            "hreflang": {"type": ["array", "null"], "items": line(MAX_WORD_BYTES), "maxItems": MAX_LANGUAGES},
        }),
        &["rel"],
    );
    let given = |name: &str| json!({"required": [name], "properties": {name: {"type": "string"}}});
    link["oneOf"] = json!([given("href"), given("identifier")]);
    link
}

fn alias() -> Json {
    closed(
        "In any input form of its scheme · 别名",
        json!({
            "scheme": {"enum": Scheme::ALL.map(Scheme::as_str)},
            "identifier": line(MAX_IDENTIFIER_BYTES),
            "case": {"anyOf": [{"const": "sensitive"}, {"type": "null"}]},
        }),
        &["scheme", "identifier"],
    )
}

/// A public key that is sent, as codec/http/jwk reads it.
pub fn public_key(about: &str) -> Json {
    json!({
        "type": "object",
        "description": about,
        "properties": {
            "kty": {"const": "OKP"}, "crv": {"const": "Ed25519"},
            "x": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
            "d": false,
        },
        "required": ["kty", "crv", "x"],
        "additionalProperties": true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::draft::MEMBERS;
    use crate::model::value::{FORMATS, MEMBERS as MEMBERS_OF_A_VALUE};

    fn named(name: &str) -> Json {
        let all = components(&DraftLimits::default());
        all.into_iter().find(|(known, _)| *known == name).unwrap().1
    }

    fn members(schema: &Json) -> Vec<&str> {
        schema["properties"].as_object().unwrap().keys().map(String::as_str).collect()
    }

    fn sorted<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
        let mut words: Vec<&str> = words.into_iter().collect();
        words.sort_unstable();
        words
    }

    #[test]
    fn the_members_that_are_read_are_those_of_the_document() {
        assert_eq!(members(&named("Draft")), sorted(MEMBERS));
        assert_eq!(members(&named("DraftPatch")), sorted(MEMBERS));
        assert_eq!(members(&named("ValueDraft")), sorted(MEMBERS_OF_A_VALUE));
        assert_eq!(members(&named("ValueChange")["anyOf"][0]), sorted(MEMBERS_OF_A_VALUE));
        let data = named("DataDraft");
        let formats = data["anyOf"].as_array().unwrap().iter();
        let formats = formats.filter_map(|of| of["properties"]["format"]["const"].as_str());
        assert_eq!(sorted(formats), sorted(FORMATS.split(", ")));
    }
}
