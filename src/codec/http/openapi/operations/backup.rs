//! The log for backups.

use serde_json::json;

use super::JSON;
use crate::codec::answers::LogEndBody;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::Parameter;
use crate::codec::http::openapi::problems::{JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::model::permitted::Action;
use crate::store::backup::LastBackup;

const BYTES: &str = "application/octet-stream";

pub(super) fn operations() -> Vec<Operation> {
    vec![end(), segment(), note()]
}

fn end() -> Operation {
    Operation::get("/v1/backup", "readLogEnd", Tag::Node, "日志的终点", "Where the log ends")
        .keyed(Action::Administer)
        .answer(200, "终点", "where it ends", vec![(JSON, Shape::of::<LogEndBody>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("end", "终点", "where it ends"))
}

fn segment() -> Operation {
    let bytes = || json!({"type": "integer", "minimum": 0});
    Operation::get("/v1/backup/segments/{number}", "readSegment", Tag::Node, "日志段的字节", "Bytes of a segment")
        .about("供 mingpai backup 使用。", "For mingpai backup.")
        .keyed(Action::Administer)
        .parameter(Parameter::path("number", "段号", "the segment's number", json!({"type": "integer", "minimum": 0})))
        .parameter(Parameter::query("from", "从第几字节", "from this byte", bytes()))
        .parameter(Parameter::query("until", "到第几字节之前", "before this byte", bytes()))
        .answer(200, "字节", "the bytes", vec![(BYTES, Shape::bytes(BYTES))])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .fails(&[Code::SegmentUnknown])
        .example(
            Example::new("begin", "第一段的开头", "the beginning of the first").path("number", "1").query("until", 64),
        )
}

fn note() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {
            "sequence": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
            "bytes": {"type": "integer", "minimum": 0, "maximum": u64::MAX},
        },
        "required": ["sequence", "bytes"],
        "additionalProperties": false,
    });
    Operation::post("/v1/backup", "noteBackup", Tag::Node, "记下一次备份", "Note that a backup was made")
        .keyed(Action::Administer)
        .body(vec![(JSON, Shape::Json(wanted))])
        .answer(200, "记下的", "what is remembered", vec![(JSON, Shape::of::<LastBackup>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .example(Example::new("made", "已备份", "one was made").json(json!({"sequence": 1, "bytes": 4096})))
}
