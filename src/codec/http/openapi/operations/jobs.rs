//! What else becomes a job, or belongs to one: changes in bulk, undo, events, uploads in parts.

use serde_json::json;

use super::JSON;
use super::imports::{PART_ROWS, UPLOAD_ID};
use crate::codec::answers::JobBody;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{JSON_BODY, READS};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::openapi::wanted::STATUSES;
use crate::codec::problem::Code;
use crate::model::permitted::Action;

const EVENTS: &str = "text/event-stream";
const PART: &str = "application/partial-upload";
const ID: &str = super::imports::ID;

pub(super) fn operations() -> Vec<Operation> {
    vec![bulk(), events(), undo(), upload(), add_part(), drop_upload()]
}

/// What begins a job answers so.
fn begins(operation: Operation) -> Operation {
    operation
        .keyed(Action::Register)
        .answer(202, "任务已开始", "the job has begun", vec![(JSON, Shape::of::<JobBody<'_>>())])
        .with_headers(&["Location", "Cache-Control", "Vary"])
        .fails(&[Code::StorageFull, Code::StoragePoisoned, Code::Draining, Code::RestoredUndecided])
}

fn bulk() -> Operation {
    let words = |items| json!({"anyOf": [items, {"type": "array", "items": items, "minItems": 1, "maxItems": 100}]});
    let text = json!({"type": "string"});
    let filter = json!({
        "type": "object",
        "properties": {
            "prefix": words(text.clone()),
            "status": words(json!({"enum": STATUSES})),
            "type": words(text.clone()),
            "registered_from": words(text.clone()),
            "registered_before": words(text.clone()),
            "updated_from": words(text.clone()),
            "updated_before": words(text),
        },
        "required": ["prefix"],
        "additionalProperties": false,
        "description": "as in lists and exports; the prefix is needed · 与列表和导出的条件相同, 必须指明前缀",
    });
    let wanted = json!({
        "type": "object",
        "properties": {
            "filter": filter,
            "operation": {"type": "string", "description": "patch, activate, suspend, recall, retire, delete · 作何改动"},
            "patch": {"$ref": "#/components/schemas/DraftPatch"},
            "dry_run": {"type": "boolean", "description": "change nothing; the counts say what would be changed · 不改动，计数说明将改动多少"},
        },
        "required": ["filter", "operation"],
        "additionalProperties": false,
    });
    begins(Operation::post("/v1/bulk", "changeInBulk", Tag::Imports, "批量修改", "Change many records"))
        .about(
            "条件所及的每条记录作同一改动，成为任务。",
            "One change for every record that the filter means, as a job.",
        )
        .body(vec![(JSON, Shape::Json(wanted))])
        .fails(JSON_BODY)
        .fails(READS)
        .fails(&[Code::NotResponsible])
        .example(
            Example::new("rehearse", "试停用被召回的", "rehearse to retire what was recalled")
                .json(json!({
                    "filter": {"prefix": "88.999.1", "type": ["召回原因"]}, "operation": "retire", "dry_run": true,
                }))
                .ends(202),
        )
}

fn undo() -> Operation {
    begins(Operation::post("/v1/imports/{id}/undo", "undoImport", Tag::Imports, "撤销任务", "Undo a job"))
        .about(
            "此后又有改动的记录不动，逐行说明。",
            "Records that were changed since stay as they are, and each is told as a row that failed.",
        )
        .parameter(parameter::import_id())
        .fails(&[Code::ImportUnknown, Code::ImportRunning, Code::ImportNotUndoable])
        .example(Example::new("undo", "撤销刚才的导入", "take the last import back").path("id", ID).ends(202))
}

fn events() -> Operation {
    Operation::get("/v1/imports/{id}/events", "listenToImport", Tag::Imports, "任务的事件", "Events of a job")
        .about(
            "SSE：每个事件是任务的全貌；progress 每秒至多四次，结束时一次 done 或 failed。",
            "Server-sent events, each the whole job: `progress` at most four a second, `done` or `failed` once at the end.",
        )
        .keyed(Action::Register)
        .parameter(parameter::import_id())
        .parameter(Parameter::header(
            "Last-Event-ID",
            "最后听到的事件",
            "the event that was heard last",
            json!({"type": "string"}),
        ))
        .answer(200, "事件流", "the events", vec![(EVENTS, Shape::Json(json!({"contentMediaType": EVENTS})))])
        .with_headers(&["Cache-Control", "Vary"])
        .answer(204, "结束已听到", "the end was heard", vec![])
        .fails(&[Code::ImportUnknown])
        .example(Example::new("ended", "已结束的任务", "a job that has ended").path("id", ID))
}

fn upload() -> Operation {
    Operation::get("/v1/imports/{id}/upload", "readUpload", Tag::Imports, "上传到哪里", "Where an upload stands")
        .about(
            "分段上传；用 HEAD 亦可。以 Upload-Complete: ?0 的 POST /v1/imports 开始。",
            "Of an upload in parts, which a POST /v1/imports with Upload-Complete: ?0 opens; HEAD will do.",
        )
        .keyed(Action::Register)
        .parameter(parameter::import_id())
        .answer(204, "所处的字节", "the byte where it stands", vec![])
        .with_headers(&["Upload-Offset", "Upload-Complete", "Upload-Limit", "Cache-Control"])
        .fails(&[Code::ImportUnknown])
        .example(Example::new("open", "刚开始的上传", "one that was just opened").path("id", UPLOAD_ID).ends(204))
}

fn add_part() -> Operation {
    begins(Operation::patch("/v1/imports/{id}/upload", "addToUpload", Tag::Imports, "续传", "Add to an upload"))
        .about(
            "Upload-Complete: ?1 的一段是最后一段，任务随之开始。",
            "The part with Upload-Complete: ?1 is the last and begins the job.",
        )
        .parameter(parameter::import_id())
        .parameter(upload_complete())
        .parameter(
            Parameter::header(
                "Upload-Offset",
                "这一段从第几字节开始，必须给出",
                "the byte where this part begins; needed",
                json!({"type": "integer", "minimum": 0}),
            )
            .required(),
        )
        .parameter(content_encoding())
        .body(vec![(PART, Shape::bytes(PART))])
        .with_headers(&["Upload-Offset", "Upload-Complete", "Upload-Limit"])
        .answer(204, "已收下，还有后续", "taken, more will come", vec![])
        .with_headers(&["Upload-Offset", "Upload-Complete", "Upload-Limit", "Cache-Control"])
        .fails(&[Code::ImportUnknown, Code::UploadOffset, Code::NotAcceptable])
        .example(
            Example::new("more", "再加一段", "a further part")
                .path("id", UPLOAD_ID)
                .header("Upload-Complete", "?0")
                .header("Upload-Offset", &PART_ROWS.len().to_string())
                .body(PART, PART_ROWS)
                .ends(204),
        )
}

fn drop_upload() -> Operation {
    Operation::delete("/v1/imports/{id}/upload", "dropUpload", Tag::Imports, "放弃上传", "Give an upload up")
        .keyed(Action::Register)
        .parameter(parameter::import_id())
        .answer(204, "已放弃", "given up", vec![])
        .fails(&[Code::ImportUnknown, Code::ImportRunning, Code::UploadOffset])
        .example(Example::new("drop", "放弃", "give it up").path("id", UPLOAD_ID).ends(204))
}

/// Whether a request brings all that is left.
pub(super) fn upload_complete() -> Parameter {
    Parameter::header(
        "Upload-Complete",
        "?0 表示还有后续，?1 表示到此为止（默认）",
        "?0: more will come; ?1: this is all, as if not said",
        json!({"enum": ["?0", "?1"]}),
    )
}

pub(super) fn content_encoding() -> Parameter {
    Parameter::header(
        "Content-Encoding",
        "gzip：所传的是压缩的",
        "gzip where NDJSON or CSV is sent packed",
        json!({"enum": ["gzip", "identity"]}),
    )
}
