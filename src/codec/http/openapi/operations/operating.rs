//! The node while it runs: its log, its configuration.

use serde_json::json;

use super::JSON;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::problems::JSON_BODY;
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::operating::MAX_FILTER_BYTES;
use crate::codec::problem::Code;
use crate::config::LogSpec;
use crate::model::permitted::Action;
use crate::services::operate::Reloaded;

const MERGE_PATCH: &str = "application/merge-patch+json";

pub(super) fn operations() -> Vec<Operation> {
    vec![log(), change_log(), reload()]
}

fn log() -> Operation {
    Operation::get("/v1/admin/log", "readLogSettings", Tag::Node, "日志的设置", "How the log is kept")
        .keyed(Action::Administer)
        .answer(200, "设置", "the settings in force", vec![(JSON, Shape::of::<LogSpec>())])
        .with_headers(&["Cache-Control", "Vary"])
        .example(Example::new("settings", "现在的设置", "those of now"))
}

fn change_log() -> Operation {
    let wanted = || {
        Shape::Json(json!({
            "type": "object",
            "properties": {
                "filter": {"type": "string", "maxLength": MAX_FILTER_BYTES},
                "slow_microseconds": {"type": "integer", "minimum": 0},
                "requests": {"enum": ["off", "error", "warn", "info", "debug", "trace"]},
            },
            "additionalProperties": false,
        }))
    };
    Operation::patch("/v1/admin/log", "changeLogSettings", Tag::Node, "修改日志设置", "Change how the log is kept")
        .about("到下次重载或重启为止。", "Until the next reload or restart.")
        .keyed(Action::Administer)
        .body(vec![(JSON, wanted()), (MERGE_PATCH, wanted())])
        .answer(200, "设置", "the settings in force", vec![(JSON, Shape::of::<LogSpec>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(&[Code::ConfigInvalid])
        .example(
            Example::new("slow", "记下超过 0.2 秒的请求", "lines for what takes 0.2 s")
                .json(json!({"slow_microseconds": 200_000})),
        )
}

fn reload() -> Operation {
    Operation::post("/v1/admin/reload", "reloadConfiguration", Tag::Node, "重载配置", "Read the configuration again")
        .about(
            "全部采用或全不采用；须重启的会列出。",
            "All of it is taken or nothing; what waits for a restart is told.",
        )
        .keyed(Action::Administer)
        .answer(200, "结果", "what it did", vec![(JSON, Shape::of::<Reloaded>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::ConfigInvalid, Code::NotAcceptable])
        .example(Example::new("reload", "重载", "reload"))
}
