//! The records that a filter means, as one file.

use serde_json::json;

use super::NDJSON;
use super::records::listed;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::READS;
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::codec::table::{CSV, XLSX};
use crate::model::permitted::Action;

/// What answers say of themselves: a CSV that goes on has no header line.
const WITH_HEADER: &str = "text/csv; charset=utf-8; header=present";
const WITHOUT_HEADER: &str = "text/csv; charset=utf-8; header=absent";
const MOST_RECORDS: u32 = 1_000_000_000;

pub(super) fn operations() -> Vec<Operation> {
    vec![export()]
}

fn export() -> Operation {
    Operation::get("/v1/export", "exportRecords", Tag::Records, "导出记录", "Export records")
        .about(
            "按键的次序，流式；断开后以 after=最后一个完整行的标识 继续，CSV 还须给出 columns。不是快照。",
            "In key order, streamed. What broke off goes on with after, the identifier of the last whole row; a CSV also names its \
             columns. Not a snapshot.",
        )
        .keyed(Action::List)
        .parameters(parameter::filter())
        .parameter(Parameter::query(
            "format",
            "不给则由 Accept 决定",
            "what Accept prefers if not said",
            json!({"enum": ["ndjson", "csv", "xlsx"]}),
        ))
        .parameter(Parameter::query("after", "从此标识之后继续", "goes on after this identifier", json!({"type": "string"})))
        .parameter(Parameter::query(
            "columns",
            "续写 CSV 时：先前回答的 mingpai-columns",
            "of a CSV that goes on: the mingpai-columns of the answer that broke off",
            json!({"type": "string"}),
        ))
        .parameter(parameter::flag("bom", "CSV 以字节序标记开头（Excel）", "a CSV begins with a byte order mark, for Excel"))
        .parameter(Parameter::query(
            "limit",
            "至多多少条；0 只要表头",
            "how many at most; 0 for the header alone",
            json!({"type": "integer", "minimum": 0, "maximum": MOST_RECORDS}),
        ))
        .answer(200, "文件", "the file", vec![
            (NDJSON, Shape::lines(Shape::Json(listed()))),
            (WITH_HEADER, Shape::text(CSV)),
            (WITHOUT_HEADER, Shape::text(CSV)),
            (XLSX, Shape::bytes(XLSX)),
        ])
        .with_headers(&["Cache-Control", "Vary", "Content-Disposition", "Content-Encoding", "Mingpai-Columns"])
        .fails(READS)
        .fails(&[Code::ExportColumnsChanged, Code::IdentifierInvalid])
        .example(
            Example::new("one", "一条召回的记录", "a recalled record")
                .query("prefix", "88.999.1")
                .query("status", json!(["recalled"]))
                .query("limit", 1),
        )
        .example(
            Example::new("table", "同样的，作为 CSV", "the same as CSV")
                .query("prefix", "88.999.1")
                .query("type", json!(["召回原因"]))
                .query("format", "csv"),
        )
}
