//! The audit trail.

use serde_json::json;

use super::{JSON, NDJSON};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::READS;
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::trail::{MOST_EVENTS, USUAL_EVENTS};
use crate::codec::problem::Code;
use crate::codec::table::CSV;
use crate::codec::trail_answers::{EventBody, PageBody};
use crate::model::permitted::Action;

const TABLE: &str = "text/csv; charset=utf-8; header=present";

pub(super) fn operations() -> Vec<Operation> {
    vec![audit()]
}

fn audit() -> Operation {
    Operation::get("/v1/audit", "searchAudit", Tag::Log, "审计", "Who did what")
        .about(
            "审计树与登记树的事件，按日志次序，只到最新检查点；从不含记录的值与任何密文。application/json 为一页，查看的叶数有限，\
             未满或为空的一页也可能有 next_cursor；application/x-ndjson 与 text/csv 为全部匹配者的下载，不与 limit、cursor 同用。",
            "The events of the audit tree and of the registry in the journal's order, as far as the newest head covers them; never a \
             value of a record, nor a secret. As application/json a page, which looks at a bounded number of leaves: one that is not \
             full, or empty, may have a next_cursor. As application/x-ndjson or text/csv a download of all that matches, without \
             limit and cursor.",
        )
        .keyed(Action::Audit)
        .parameter(Parameter::query("principal", "由谁，逐字相同", "who, word for word", text()))
        .parameter(Parameter::query(
            "event",
            "事件名，或以 .* 结尾的一类",
            "the name of an event, or of a family: key.*",
            json!({"type": "string", "pattern": "^[a-z0-9_]+(\\.[a-z0-9_]+)*(\\.\\*)?$"}),
        ))
        .parameter(Parameter::query(
            "subject",
            "对象：标识、密钥编号、前缀；已擦除的标识查不到",
            "what it is about: an identifier, a key's id, a prefix; an identifier that is erased is not found",
            text(),
        ))
        .parameter(Parameter::query("since", "自此时刻起", "from this moment on, by the leaf's own time", moment()))
        .parameter(Parameter::query("until", "早于此时刻", "before this moment, by the leaf's own time", moment()))
        .parameter(Parameter::query("tree", "只在此树中", "of this tree only", json!({"enum": ["audit", "registry"]})))
        .parameter(Parameter::query(
            "order",
            "次序，默认 newest；有游标时为其次序",
            "newest if not said, or that of the cursor",
            json!({"enum": ["newest", "oldest"]}),
        ))
        .parameter(parameter::limit(&USUAL_EVENTS.to_string(), MOST_EVENTS))
        .parameter(parameter::cursor())
        .answer(200, "事件", "the events", vec![
            (JSON, Shape::of::<PageBody<'_>>()),
            (NDJSON, Shape::lines(Shape::of::<EventBody<'_>>())),
            (TABLE, Shape::text(CSV)),
        ])
        .with_headers(&["Cache-Control", "Vary", "Content-Disposition"])
        .fails(READS)
        .fails(&[Code::LogPartUnknown])
        .example(
            Example::new("first", "发放的第一把密钥", "the first key that was given")
                .query("event", "key.*")
                .query("order", "oldest")
                .query("limit", 1),
        )
        .example(
            Example::new("download", "一个标识的经过，逐行", "what became of an identifier, in lines")
                .query("subject", "88.999.1/NEV-VEH-2026-000003")
                .query("event", "record.created")
                .header("Accept", NDJSON),
        )
        .example(
            Example::new("table", "同样的，作为 CSV；此处没有匹配的", "as CSV; here nothing matches")
                .query("event", "log.renamed")
                .header("Accept", CSV),
        )
}

fn text() -> serde_json::Value {
    json!({"type": "string", "minLength": 1})
}

fn moment() -> serde_json::Value {
    json!({"type": "string", "format": "date-time"})
}
