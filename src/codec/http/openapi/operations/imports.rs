//! Imports: a mapping to begin with, an upload, its job, the rows that failed.

use serde_json::{Value as Json, json};

use super::jobs::{content_encoding, upload_complete};
use super::{JSON, NDJSON};
use crate::codec::answers::JobBody;
use crate::codec::error_file::ErrorRowBody;
use crate::codec::http::import_mapping::ProposalBody;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::REPEATS;
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::codec::table::{CSV, XLSX};
use crate::model::permitted::Action;
use crate::services::import::Mapping;

/// What answers say of themselves.
const CSV_UTF8: &str = "text/csv; charset=utf-8";
const TABLE: &str =
    "产品编码,产品名称,净重(g),条码\r\nEXAMPLE-2,六角螺母 M8,5.20,09506000149356\r\nEXAMPLE-3,平垫圈 8,1.83,\r\n";
pub(super) const ID: &str = "0123456789abcdef01234567";
pub(super) const UPLOAD_ID: &str = "76543210fedcba9876543210";
pub(super) const PART_ROWS: &str = "{\"identifier\":\"88.999.1/EXAMPLE-6\",\"values\":[]}\n";

pub(super) fn operations() -> Vec<Operation> {
    vec![propose(), start(), read(), errors()]
}

fn encoding() -> Parameter {
    Parameter::query(
        "encoding",
        "CSV 的编码，如 gb18030；不给则按字节序标记、UTF-8、GB18030 依次判断",
        "of CSV: a WHATWG label such as gb18030; without it the byte order mark, else UTF-8, else GB18030",
        json!({"type": "string", "minLength": 1}),
    )
}

fn separator() -> Parameter {
    Parameter::query(
        "separator",
        "CSV 的分隔符",
        "of CSV; without it what the header has most of",
        json!({"enum": ["comma", "semicolon", "tab", "pipe", ",", ";", "\t", "|"]}),
    )
}

fn sheet() -> Parameter {
    let schema = json!({"type": "string"});
    Parameter::query(
        "sheet",
        "XLSX 的工作表名；不给则取第一个",
        "of XLSX: the sheet's name; without it the first",
        schema,
    )
}

fn propose() -> Operation {
    Operation::post("/v1/imports/mapping", "proposeMapping", Tag::Imports, "建议映射", "Propose a mapping")
        .about(
            "由列名与前 200 行推断各列的去向。CSV 给开头即可，XLSX 给整个文件。不保存任何内容。",
            "What the columns might become, by their names and the first 200 rows. Of a CSV the beginning will do, an XLSX is \
             sent whole. Nothing is kept.",
        )
        .keyed(Action::Register)
        .parameter(Parameter::query(
            "prefix",
            "标识的前缀；不给则取节点的最后一个",
            "of the identifiers; without it the node's last",
            json!({"type": "string"}),
        ))
        .parameter(encoding())
        .parameter(separator())
        .parameter(sheet())
        .optional_body(vec![(CSV, Shape::text(CSV)), (XLSX, Shape::bytes(XLSX))])
        .answer(200, "映射与读表的方式", "a mapping, and how the table was read", vec![(
            JSON,
            Shape::of::<ProposalBody<'_>>(),
        )])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::TableUnreadable, Code::NotAcceptable])
        .example(Example::new("parts", "零件表", "a table of parts").body(CSV, TABLE))
}

fn start() -> Operation {
    let mapping = json!({
        "identifier": "88.999.1/{产品编码}",
        "values": [
            {"index": 2000, "type": "产品名称", "from": "产品名称"},
            {"index": 2001, "type": "净重", "from": "净重(g)", "format": "decimal", "unit": "g"},
        ],
        "aliases": [{"scheme": "gs1", "from": "条码"}],
    });
    let good = "{\"identifier\":\"88.999.1/EXAMPLE-4\",\"values\":[{\"index\":2000,\"type\":\"产品名称\",\"data\":\"弹簧垫圈\"}]}\n";
    let rows = format!("{good}{{\"identifier\":\"88.999.1/EXAMPLE-5\",\"values\":[{{\"index\":0}}]}}\n");
    asked(Operation::post("/v1/imports", "startImport", Tag::Imports, "开始导入", "Start an import"))
        .about(
            "NDJSON、CSV（二者也可 gzip）或 XLSX 的流成为一个任务。CSV 与 XLSX 须给出映射。上限见 limits.import_bytes、\
             limits.line_bytes、limits.xlsx_bytes。",
            "A stream of NDJSON or CSV, both also with Content-Encoding: gzip, or an XLSX, becomes a job. CSV and XLSX need a \
             mapping. Bounds: limits.import_bytes, limits.line_bytes, limits.xlsx_bytes.",
        )
        .answer(202, "任务已开始", "the job has begun", vec![(JSON, Shape::of::<JobBody<'_>>())])
        .with_headers(&["Location", "Cache-Control", "Vary"])
        .answer(201, "分段上传已开始", "an upload in parts is open", vec![])
        .with_headers(&["Location", "Upload-Offset", "Upload-Complete", "Upload-Limit", "Cache-Control"])
        .fails(&[Code::JsonSyntax, Code::JsonTooDeep, Code::JsonDuplicateKey, Code::JsonNumberInexact])
        .fails(REPEATS)
        .fails(&[Code::StorageFull, Code::Draining, Code::RestoredUndecided])
        .leads_to(202, "readImport", "id", "$response.body#/id")
        .leads_to(202, "readImportErrors", "id", "$response.body#/id")
        .leads_to(202, "listenToImport", "id", "$response.body#/id")
        .leads_to(202, "undoImport", "id", "$response.body#/id")
        .example(table_example(mapping))
        .example(
            Example::new("lines", "两行，其一有误", "two lines, one of them wrong").body(NDJSON, rows).ends(202),
        )
        .example(
            Example::new("part", "分段上传的第一段", "the first part of an upload")
                .header("Upload-Complete", "?0")
                .body(NDJSON, PART_ROWS)
                .ends(201),
        )
}

fn table_example(mapping: Json) -> Example {
    Example::new("table", "CSV 与映射", "a CSV with its mapping").query("mapping", mapping).body(CSV, TABLE).ends(202)
}

fn read() -> Operation {
    Operation::get("/v1/imports/{id}", "readImport", Tag::Imports, "任务的进度", "How an import is doing")
        .keyed(Action::Register)
        .parameter(parameter::import_id())
        .answer(200, "进度", "how it is doing", vec![(JSON, Shape::of::<JobBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::ImportUnknown])
        .example(Example::new("ended", "已结束", "one that has ended").path("id", ID))
        .example(
            Example::new("unknown", "没有这个任务", "no such import")
                .path("id", "none")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-8")
                .ends(404),
        )
}

fn errors() -> Operation {
    Operation::get("/v1/imports/{id}/errors", "readImportErrors", Tag::Imports, "未登记的行", "The rows that failed")
        .about(
            "每行的行号、列、代码、说明与原文。上传的是表格时默认为 CSV，改正后可直接再导入。",
            "Each with line, column, code, message and the original row. CSV where a table was uploaded, to be mended and imported \
             as it is; NDJSON otherwise; Accept says it too.",
        )
        .keyed(Action::Register)
        .parameter(parameter::import_id())
        .answer(200, "这些行", "the rows", vec![
            (NDJSON, Shape::lines(Shape::of::<ErrorRowBody<'_>>())),
            (CSV_UTF8, Shape::text(CSV)),
        ])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::ImportUnknown])
        .example(
            Example::new("rejected", "一行有误", "one row was wrong").path("id", ID).header("Accept-Language", "en"),
        )
}

/// What an upload may say of itself, and its bodies.
fn asked(operation: Operation) -> Operation {
    let conflict = json!({"enum": ["error", "skip", "update"], "default": "error"});
    operation
        .keyed(Action::Register)
        .parameter(Parameter::document(
            "mapping",
            "各列的去向；不给则每行是一条导出的记录；导出的表格写 export",
            "what the columns become; without it each line is a record as exported; `export` for a table that was exported",
            Shape::read::<Mapping>(),
        ))
        .parameter(Parameter::query(
            "on_conflict",
            "标识已有不同内容时如何；内容相同总是跳过",
            "where the identifier exists with other content; the same content is always skipped",
            conflict,
        ))
        .parameter(Parameter::query(
            "operation",
            "各行作何改动：put、patch、activate、suspend、recall、retire、delete；默认 put",
            "what the rows do: put, patch, activate, suspend, recall, retire, delete; put if not said",
            json!({"type": "string"}),
        ))
        .parameter(parameter::flag("dry_run", "全部检查，什么都不写入；计数说明每行将如何", "check all, write nothing; the counts say what would become of the rows"))
        .parameter(parameter::flag("atomic", "全部登记或全不登记", "all rows or none"))
        .parameter(encoding())
        .parameter(separator())
        .parameter(sheet())
        .parameter(content_encoding())
        .parameter(upload_complete())
        .parameter(Parameter::header(
            "Upload-Length",
            "分段上传的总字节数",
            "of an upload in parts: its length in bytes",
            json!({"type": "integer", "minimum": 0}),
        ))
        .parameter(parameter::idempotency_key())
        .optional_body(vec![
            (NDJSON, Shape::lines(Shape::named("RecordLine"))),
            ("application/ndjson", Shape::lines(Shape::named("RecordLine"))),
            ("application/jsonl", Shape::lines(Shape::named("RecordLine"))),
            (CSV, Shape::text(CSV)),
            (XLSX, Shape::bytes(XLSX)),
        ])
}
