//! Grants: values that an enterprise shares.

use serde_json::{Value as Json, json};

use super::JSON;
use crate::codec::grant_answers::{GrantBody, GrantsBody, UsesBody};
use crate::codec::http::grants::{MAX_WORD_BYTES, MOST_GRANTS, MOST_NAMED, USUAL_GRANTS};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::model::permitted::Action;

const ID: &str = "aaaaaaaaaaaa";

pub(super) fn operations() -> Vec<Operation> {
    vec![give(), list(), read(), uses(), revoke()]
}

fn id() -> Parameter {
    Parameter::path("id", "授权编号", "the grant's id", json!({"type": "string"}))
}

/// One that there is not.
fn unknown(request_id: &str) -> Example {
    Example::new("unknown", "没有的", "one that there is not")
        .header("Accept-Language", "en")
        .header("X-Request-Id", request_id)
        .path("id", ID)
        .ends(404)
}

fn wanted() -> Json {
    let words = |about: &str| {
        let word = json!({"type": "string", "minLength": 1, "maxLength": MAX_WORD_BYTES});
        json!({"type": ["array", "null"], "items": word, "minItems": 1, "maxItems": MOST_NAMED, "description": about})
    };
    let index = json!({"type": "integer", "minimum": 1, "maximum": u32::MAX});
    let time = |about: &str| json!({"type": ["string", "null"], "format": "date-time", "description": about});
    let to = |name: &str, schema: Json| json!({"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": false});
    json!({
        "type": "object",
        "properties": {
            "prefix": {"type": "string", "description": "one within the own reach: values of records under it and what is below it · 自己范围内的前缀"},
            "to": {
                "description": "an API key by its id, an organisation by its prefix, or whoever has the link that is answered · 密钥、企业前缀或链接",
                "oneOf": [
                    to("key", json!({"type": "string"})),
                    to("prefix", json!({"type": "string"})),
                    to("link", json!({"const": true})),
                ],
            },
            "identifiers": words("these records alone · 只限这些标识"),
            "templates": words("records of these templates alone · 只限这些模板的记录"),
            "indexes": {"type": ["array", "null"], "items": index, "minItems": 1, "maxItems": MOST_NAMED, "description": "values at these indexes, or of these types; with neither all that are not the owner's alone · 值的序号"},
            "types": words("of these types; one that ends in \".\" means all that begin with it · 值的类型"),
            "purpose": {"type": "string", "minLength": 1, "maxLength": MAX_WORD_BYTES, "description": "why it is given; its holder reads it · 用途"},
            "valid_from": time("a time to come; from now on where it is not said · 生效时间"),
            "valid_until": time("a link needs one, at most 366 days from now · 失效时间"),
        },
        "required": ["prefix", "to", "purpose"],
        "additionalProperties": false,
    })
}

fn give() -> Operation {
    Operation::post("/v1/grants", "giveGrant", Tag::Grants, "授权查看", "Share values")
        .about(
            "让另一把密钥、另一企业或持有链接者查看本企业前缀下可见性为 granted 或 signed-in 的值；owner 的值不能授予。\
             查看者由 /v1/resolve、/v1/records、/v1/history、/v1/bundle 得到这些值；每小时第一次查看先记入审计再应答。",
            "Lets another key, another enterprise or whoever has a link read values under one's own prefix whose visibility is granted or signed-in; \
             what is the owner's alone cannot be given. They are answered by /v1/resolve, /v1/records, /v1/history and /v1/bundle. The first look of \
             an hour is in the audit log before it is answered.",
        )
        .keyed(Action::Share)
        .body(vec![(JSON, Shape::Json(wanted()))])
        .answer(201, "授权", "the grant", vec![(JSON, Shape::of::<GrantBody<'_>>())])
        .with_headers(&["Location", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::GrantTooMany, Code::NotResponsible, Code::EntryTooLarge])
        .leads_to(201, "readGrant", "id", "$response.body#/id")
        .leads_to(201, "listGrantUses", "id", "$response.body#/id")
        .leads_to(201, "revokeGrant", "id", "$response.body#/id")
        .example(
            Example::new("unsaid", "没有用途", "without a purpose")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-31")
                .json(json!({"prefix": "88.999.1", "to": {"prefix": "88.999"}, "indexes": [2001]}))
                .ends(422),
        )
}

fn list() -> Operation {
    Operation::get("/v1/grants", "listGrants", Tag::Grants, "授权列表", "List grants")
        .about(
            "自己授予的与授予自己的，未撤回且未过期。",
            "Those that one gave, and those that one holds, which were not taken back and are not over.",
        )
        .keyed(Action::SeeGrants)
        .parameter(parameter::limit(&USUAL_GRANTS.to_string(), MOST_GRANTS))
        .parameter(parameter::cursor())
        .answer(200, "一页授权", "a page of grants", vec![(JSON, Shape::of::<GrantsBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("none", "还没有授权", "none yet"))
}

fn read() -> Operation {
    Operation::get("/v1/grants/{id}", "readGrant", Tag::Grants, "读取授权", "Read a grant")
        .keyed(Action::SeeGrants)
        .parameter(id())
        .answer(200, "授权", "the grant", vec![(JSON, Shape::of::<GrantBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .fails(&[Code::GrantUnknown])
        .example(unknown("example-32"))
}

fn uses() -> Operation {
    Operation::get("/v1/grants/{id}/uses", "listGrantUses", Tag::Grants, "谁看了什么", "Who saw what")
        .about(
            "按时间；每小时第一次查看各一条，其余每分钟合计。撤回之后仍可查。",
            "In the order of time: a line for the first look of an hour, and sums of the others each minute. Also of a grant that was taken back.",
        )
        .keyed(Action::Share)
        .parameter(id())
        .parameter(Parameter::query(
            "from",
            "自此时起",
            "from this moment on",
            json!({"type": "string", "format": "date-time"}),
        ))
        .parameter(parameter::limit(&USUAL_GRANTS.to_string(), MOST_GRANTS))
        .parameter(parameter::cursor())
        .answer(200, "一页查看记录", "a page of uses", vec![(JSON, Shape::of::<UsesBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .fails(&[Code::GrantUnknown])
        .example(unknown("example-33"))
}

fn revoke() -> Operation {
    Operation::delete("/v1/grants/{id}", "revokeGrant", Tag::Grants, "撤回授权", "Take a grant back")
        .about(
            "应答之后不再可见；已看过的不能收回。",
            "Once this is answered it opens nothing. What was seen was seen.",
        )
        .keyed(Action::Share)
        .parameter(id())
        .answer(204, "已撤回", "it opens nothing any more", vec![])
        .with_headers(&[])
        .fails(WRITES)
        .fails(&[Code::GrantUnknown])
        .example(unknown("example-34"))
}
