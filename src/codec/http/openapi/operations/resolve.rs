//! From a name to a record: one, many, its versions.

use serde_json::{Value as Json, json};

use super::{JSON, NDJSON};
use crate::codec::answers::{ComparedBody, HistoryBody};
use crate::codec::http::history::{MOST_VERSIONS, USUAL_VERSIONS};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{CLOSED, JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::resolve::MAX_FILTERS;
use crate::codec::problem::Code;
use crate::config::LimitsSpec;

/// A car of the demonstration data.
const CAR: &str = "88.999.1/NEV-VEH-2026-000003";

pub(super) fn operations(limits: &LimitsSpec) -> Vec<Operation> {
    vec![one(), many(limits), versions(), difference()]
}

fn one() -> Operation {
    questions(Operation::get("/v1/resolve/{identifier}", "resolve", Tag::Resolve, "解析一个标识", "Resolve an identifier"))
        .about(
            "公开的值；出示密钥或链接者另见授予自己的，前缀所属企业见全部。别名与各种写法都可以。公开的缓存至多 60 秒，不论值的 ttl，使召回及时可见。",
            "Its public values; who shows a key or a link sees what is shared with it, and an enterprise all of its own. Aliases and every input \
             form will do. What is public is kept by caches for at most 60 s whatever a value's ttl says, so that a recall shows.",
        )
        .answer(200, "公开的内容", "its public content", vec![(JSON, Shape::named("Resolution"))])
        .with_headers(&["ETag", "Cache-Control", "Vary", "Retry-After"])
        .answer(304, "没有变化", "nothing new", vec![])
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(&[Code::IdentifierInvalid])
        .fails(CLOSED)
        .fails(READS)
        .fails(WRITES)
        .fails(&[
            Code::IdentifierUnknown,
            Code::IdentifierDeleted,
            Code::VersionUnknown,
            Code::VersionFarBack,
        ])
        .example(Example::new("plain", "一辆示范汽车", "a demonstration car").path("identifier", CAR))
        .example(
            Example::new("alias", "以条码解析", "by the code on the label").path("identifier", "(01)09521000050013(21)E1-000003"),
        )
        .example(
            Example::new("filtered", "只要两个值", "two values only")
                .path("identifier", CAR)
                .query("type", json!(["名称"]))
                .query("index", json!([2001]))
                .header("Accept-Language", "en"),
        )
        .example(
            Example::new("signed", "第一版及其已签名的条目", "version 1 with its signed entry")
                .path("identifier", "88.999.1/MAT-SITE-01")
                .query("at", "1")
                .query("entry", "1"),
        )
        .example(
            Example::new("known", "已有的版本", "what the client has already")
                .path("identifier", CAR)
                .header("If-None-Match", "\"1\"")
                .ends(304),
        )
        .example(
            Example::new("unknown", "未注册的标识", "a name that is not registered")
                .path("identifier", "88.999.1/UNKNOWN")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-1")
                .ends(404),
        )
        .example(
            Example::new("deleted", "已注销的标识", "a name that was deleted")
                .path("identifier", "88.999.1/EXAMPLE-2")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-2")
                .ends(410)
                .in_step(2),
        )
}

/// What may be asked of a name.
fn questions(operation: Operation) -> Operation {
    let strings = json!({"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": MAX_FILTERS});
    let indexes = json!({
        "type": "array", "items": {"type": "integer", "minimum": 1, "maximum": u32::MAX}, "maxItems": MAX_FILTERS,
    });
    operation
        .parameter(parameter::identifier())
        .parameter(Parameter::query(
            "type",
            "只要这些类型的值；以 . 结尾者匹配其前缀；可重复",
            "only values of these types; one that ends in . matches what begins with it; repeatable",
            strings,
        ))
        .parameter(Parameter::query(
            "index",
            "只要这些索引的值；与 type 任合其一即可；可重复",
            "only these indexes; with type too either is enough; repeatable",
            indexes,
        ))
        .parameter(Parameter::query(
            "at",
            "版本号，或 RFC 3339 时间",
            "a version number, or a time of RFC 3339",
            moment(),
        ))
        .parameter(Parameter::query(
            "cursor",
            "与 at=版本号 同用：历史的游标，由此往前找",
            "with at=VERSION: a cursor of the history, to look for it from there",
            json!({"type": "string", "minLength": 1}),
        ))
        .parameter(parameter::flag("entry", "附上已签名的条目", "with the signed entry"))
        .parameter(parameter::flag(
            "proof",
            "附上已签名的条目与收录证明：在最新检查点之下，至多等待一秒，否则为 \"pending\" 并带 Retry-After",
            "with the signed entry and the proof that the log has it, under the newest checkpoint: waits at most a second for one that covers it, else says \"pending\" with Retry-After",
        ))
        .parameter(Parameter::query(
            "share",
            "链接的令牌（mpg_…），代替 Authorization",
            "the token of a link (mpg_…), in place of Authorization",
            json!({"type": "string", "minLength": 1}),
        ))
        .parameter(parameter::if_none_match())
}

fn many(limits: &LimitsSpec) -> Operation {
    let most = limits.batch_identifiers;
    let batch = json!({
        "type": "object",
        "properties": {"identifiers": {"type": "array", "items": {"type": "string"}, "maxItems": most}},
        "required": ["identifiers"],
        "additionalProperties": false,
    });
    let results = json!({
        "type": "object",
        "properties": {
            "results": {"type": "array", "items": {"$ref": "#/components/schemas/BatchResult"}, "maxItems": most},
        },
        "required": ["results"],
    });
    let named = json!({"anyOf": [{"type": "string"}, {
        "type": "object",
        "properties": {"identifier": {"type": "string"}},
        "required": ["identifier"],
        "additionalProperties": false,
    }]});
    Operation::post("/v1/resolve", "resolveMany", Tag::Resolve, "批量解析", "Resolve many identifiers")
        .about(
            "每个标识一个结果，次序不变。NDJSON 逐行流式回答，不限行数；读不出的行在其位置回答问题。",
            "One result each, in the order asked. NDJSON is answered line by line, without a bound on their number; a line that \
             cannot be read is answered by a problem in its place.",
        )
        .body(vec![(JSON, Shape::Json(batch)), (NDJSON, Shape::lines(Shape::Json(named)))])
        .answer(
            200,
            "各标识的结果",
            "each name's result",
            vec![(JSON, Shape::Json(results)), (NDJSON, Shape::lines(Shape::named("BatchResult")))],
        )
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(&[Code::BatchTooLarge, Code::NotAcceptable])
        .example(
            Example::new("two", "一个已注册，一个未注册", "one that is there, one that is not")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-3")
                .json(json!({"identifiers": ["88.999.1/MAT-SITE-01", "88.999.1/UNKNOWN"]})),
        )
        .example(
            Example::new("lines", "逐行", "line by line")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-4")
                .body(NDJSON, "\"88.999.1/MAT-SITE-01\"\n{\"identifier\":\"88.999.1/UNKNOWN\"}\n"),
        )
}

fn versions() -> Operation {
    Operation::get("/v1/history/{identifier}", "readHistory", Tag::Resolve, "各版本", "The versions of a record")
        .about(
            "新的在前。条目的字节数超过 limits.history_bytes 时，一页提前结束。",
            "Newest first. A page ends early after limits.history_bytes of entries.",
        )
        .parameter(parameter::identifier())
        .parameter(parameter::limit(&USUAL_VERSIONS.to_string(), MOST_VERSIONS))
        .parameter(parameter::cursor())
        .parameter(parameter::flag("diff", "附上各版本的改动", "with what each version changed"))
        .answer(200, "一页版本", "a page of versions", vec![(JSON, Shape::of::<HistoryBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::IdentifierInvalid])
        .fails(CLOSED)
        .fails(READS)
        .fails(&[Code::IdentifierUnknown])
        .example(
            Example::new("newest", "最新的一版", "the newest version")
                .path("identifier", "88.999.1/EXAMPLE-1")
                .query("limit", 1)
                .in_step(1),
        )
}

/// A version number, or a time of RFC 3339.
fn moment() -> Json {
    json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]})
}

fn difference() -> Operation {
    Operation::get(
        "/v1/diff/{identifier}",
        "compareVersions",
        Tag::Resolve,
        "两个版本的差异",
        "What changed between versions",
    )
    .about(
        "所见的值之间的差异；没有 to 则与现在的版本比较。",
        "Of what the caller may see. Without to: up to the version that stands.",
    )
    .parameter(parameter::identifier())
    .parameter(
        Parameter::query("from", "版本号或时间，必须给出", "a version number or a time; needed", moment()).required(),
    )
    .parameter(Parameter::query("to", "版本号或时间", "a version number or a time", moment()))
    .answer(200, "差异", "the changes", vec![(JSON, Shape::of::<ComparedBody<'_>>())])
    .with_headers(&["Cache-Control", "Vary"])
    .fails(&[Code::IdentifierInvalid, Code::IdentifierUnknown, Code::IdentifierDeleted])
    .fails(&[Code::VersionUnknown, Code::VersionFarBack])
    .fails(CLOSED)
    .fails(READS)
    .example(
        Example::new("recall", "召回改动了什么", "what the recall changed")
            .path("identifier", "88.999.1/EXAMPLE-1")
            .query("from", "1")
            .query("to", "2")
            .in_step(1),
    )
}
