//! Records: register, read, change, delete, mint, list; what became of a request.

use serde_json::{Value as Json, json};

use super::{JSON, NDJSON};
use crate::codec::answers::RegistrationBody;
use crate::codec::http::listing::{MOST_RECORDS, USUAL_RECORDS};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{CHANGES, CLOSED, JSON_BODY, NAMES, OWNERS, READS, REPEATS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::model::permitted::Action;

const MERGE_PATCH: &str = "application/merge-patch+json";
const NAME: &str = "88.999.1/EXAMPLE-1";

pub(super) fn operations() -> Vec<Operation> {
    vec![put(), read(), patch(), request(), mint(), list(), delete()]
}

/// What every change of one record has: preconditions, repetition, and an answer that says what became of it.
fn changing(operation: Operation) -> Operation {
    operation
        .keyed(Action::Register)
        .parameter(parameter::identifier())
        .parameter(parameter::if_match())
        .parameter(parameter::create_only())
        .parameter(parameter::idempotency_key())
        .fails(NAMES)
        .fails(WRITES)
        .fails(CHANGES)
        .fails(REPEATS)
        .fails(&[
            Code::IdentifierUnknown,
            Code::IdentifierDeleted,
            Code::StatusChangeRefused,
            Code::VersionMismatch,
            Code::AlreadyExists,
            Code::PreconditionRequired,
        ])
}

fn registered() -> Vec<(&'static str, Shape)> {
    vec![(JSON, Shape::of::<RegistrationBody<'_>>())]
}

fn put() -> Operation {
    changing(Operation::put("/v1/records/{identifier}", "putRecord", Tag::Records, "登记全部内容", "Register a record"))
        .about(
            "给出全部内容。已有的要以 If-Match 指明版本；If-None-Match: * 仅新建。回答时改动已落盘并可见。",
            "The whole content. To change what exists say which version with If-Match; If-None-Match: * creates only. \
             Answered when the change is on disk and visible.",
        )
        .body(vec![(JSON, Shape::named("Draft"))])
        .answer(201, "已新建", "created", registered())
        .with_headers(&["ETag", "Location", "Cache-Control", "Vary"])
        .answer(200, "已修改", "changed", registered())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(OWNERS)
        .leads_to(201, "readRecord", "identifier", "$response.body#/identifier")
        .leads_to(201, "readHistory", "identifier", "$response.body#/identifier")
        .example(
            Example::new("create", "新建一条记录", "a new record")
                .path("identifier", NAME)
                .header("If-None-Match", "*")
                .header("Idempotency-Key", "example-key-1")
                .json(json!({
                    "values": [
                        {"index": 2000, "type": "产品名称", "data": "六角头螺栓 M8×30"},
                        {"index": 2001, "type": "净重", "data": {"format": "decimal", "value": "21.25", "unit": "g"}},
                        {"index": 2002, "type": "成本", "data": 3, "visibility": "owner"},
                    ],
                    "links": [{"rel": "manual", "href": "https://example.com/m8", "title": "说明书", "hreflang": ["zh"]}],
                    "aliases": [{"scheme": "gs1", "identifier": "09506000134352"}],
                }))
                .ends(201),
        )
        .example(
            Example::new("refused", "没有前提条件", "without a precondition")
                .path("identifier", NAME)
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-5")
                .json(json!({"values": []}))
                .ends(428),
        )
        .example(
            Example::new("wrong", "内容有两处错误", "two members are wrong")
                .path("identifier", NAME)
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-6")
                .header("If-Match", "\"1\"")
                .json(json!({"values": [{"index": 0, "type": "名称", "data": "x"}], "state": "active"}))
                .ends(422),
        )
}

fn read() -> Operation {
    Operation::get("/v1/records/{identifier}", "readRecord", Tag::Records, "读取记录", "Read a record")
        .about(
            "当前内容，不经缓存；密钥范围含其前缀者（reader、registrar、owner）与管理员可见不公开的值。",
            "The record as it stands, not from the cache; its hidden values, too, with a key that reaches its prefix (reader, registrar, owner) or an administrator's.",
        )
        .parameter(parameter::identifier())
        .answer(200, "记录", "the record", vec![(JSON, Shape::named("Record"))])
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(&[Code::IdentifierInvalid, Code::IdentifierUnknown, Code::IdentifierDeleted])
        .fails(CLOSED)
        .fails(READS)
        .example(Example::new("own", "自己的记录", "one's own record").path("identifier", NAME))
}

fn patch() -> Operation {
    let shape = || Shape::named("DraftPatch");
    changing(Operation::patch("/v1/records/{identifier}", "patchRecord", Tag::Records, "修改部分内容", "Change a part"))
        .about(
            "给出的成员替换原有的，null 表示去除；值按索引合并。",
            "Members that are given replace, null takes away; values merge by index, and {\"index\": 5, \"remove\": true} takes one \
             away.",
        )
        .body(vec![(JSON, shape()), (MERGE_PATCH, shape())])
        .answer(200, "已修改", "changed", registered())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(OWNERS)
        .example(
            Example::new("recall", "召回并补充一个值", "recall it, and add a value")
                .path("identifier", NAME)
                .header("If-Match", "\"1\"")
                .body(
                    MERGE_PATCH,
                    json!({"status": "recalled", "values": [
                        {"index": 2003, "type": "召回原因", "data": "硬度不足"}, {"index": 2002, "remove": true},
                    ]}),
                ),
        )
        .example(
            Example::new("stale", "版本已经变了", "the version has moved")
                .path("identifier", NAME)
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-7")
                .header("If-Match", "\"1\"")
                .json(json!({"status": "active"}))
                .ends(412),
        )
}

fn delete() -> Operation {
    changing(Operation::delete("/v1/records/{identifier}", "deleteRecord", Tag::Records, "注销", "Delete a record"))
        .about(
            "留下墓碑：此后为 410，标识不再发放。",
            "Leaves a tombstone: 410 from then on, and the name is never given out again.",
        )
        .answer(200, "已注销", "deleted", registered())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .example(
            Example::new("delete", "注销", "delete it")
                .path("identifier", "88.999.1/EXAMPLE-2")
                .header("If-Match", "*")
                .in_step(1),
        )
}

fn mint() -> Operation {
    Operation::post("/v1/records", "mintRecord", Tag::Records, "分配后缀并登记", "Register under a minted suffix")
        .about("节点按前缀的模式分配后缀。", "The node mints the suffix by the prefix's pattern.")
        .keyed(Action::Register)
        .parameter(parameter::idempotency_key())
        .body(vec![(JSON, Shape::named("MintDraft"))])
        .answer(201, "已新建", "created", registered())
        .with_headers(&["ETag", "Location", "Cache-Control", "Vary"])
        .answer(200, "重发得到的首次回答，其记录此后又有改动", "the first answer again", registered())
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(OWNERS)
        .fails(NAMES)
        .fails(WRITES)
        .fails(CHANGES)
        .fails(REPEATS)
        .leads_to(201, "readRecord", "identifier", "$response.body#/identifier")
        .example(
            Example::new("mint", "由节点分配后缀", "the node chooses the suffix")
                .json(json!({"prefix": "88.999.1", "values": [{"index": 2000, "type": "产品名称", "data": "垫圈"}]}))
                .ends(201)
                .in_step(1),
        )
}

/// A record of a list, or what stands in the place of one that cannot be read.
pub(super) fn listed() -> Json {
    json!({"anyOf": [{"$ref": "#/components/schemas/Record"}, {"$ref": "#/components/schemas/DamagedRecord"}]})
}

fn list() -> Operation {
    let page = json!({
        "type": "object",
        "properties": {
            "records": {
                "type": "array",
                "items": listed(),
                "maxItems": MOST_RECORDS,
            },
            "next_cursor": {"type": "string"},
        },
        "required": ["records"],
    });
    Operation::get("/v1/records", "listRecords", Tag::Records, "记录列表", "List records")
        .about(
            "按键的次序，含不公开的值。NDJSON 为全部记录的流，可直接导入；无法读出的记录由带 problem 的一行代替。",
            "In key order, hidden values too. As NDJSON all of them, streamed as import takes them; in the place of a record that \
             cannot be read stands a line with its problem.",
        )
        .keyed(Action::List)
        .parameters(parameter::filter())
        .parameter(parameter::limit(&USUAL_RECORDS.to_string(), MOST_RECORDS))
        .parameter(parameter::cursor())
        .answer(
            200,
            "一页，或全部",
            "a page, or all",
            vec![(JSON, Shape::Json(page)), (NDJSON, Shape::lines(Shape::Json(listed())))],
        )
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("first", "前一条", "the first one").query("prefix", "88.999.1").query("limit", 1))
}

fn request() -> Operation {
    Operation::get("/v1/requests/{key}", "readRequest", Tag::Records, "请求的结果", "What became of a request")
        .about(
            "以 Idempotency-Key 查询改动的结果：首次的回答；404 没有；409 仍在处理。",
            "By its Idempotency-Key: its answer, 404, or 409 while it runs.",
        )
        .keyed(Action::Register)
        .parameter(Parameter::path(
            "key",
            "请求所带的 Idempotency-Key",
            "the Idempotency-Key that it was sent with",
            json!({"type": "string", "minLength": 1}),
        ))
        .answer(200, "首次的回答", "its answer", registered())
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::RequestUnknown, Code::IdempotencyRunning])
        .fails(READS)
        .example(Example::new("done", "已完成", "one that was done").path("key", "example-key-1"))
}
