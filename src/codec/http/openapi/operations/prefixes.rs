//! Prefixes: how they stand, and what reviewers decide about them.

use serde_json::{Value as Json, json};

use super::JSON;
use crate::codec::http::filings::MAX_REASON_BYTES;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::operations::filings::reasons;
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::prefixes::{MOST_PREFIXES, USUAL_PREFIXES};
use crate::codec::prefix_answers::{PrefixBody, PrefixesBody};
use crate::codec::problem::Code;
use crate::model::permitted::Action;
use crate::model::prefix::PrefixStatus;

const PREFIX: &str = "88.999.1";

pub(super) fn operations() -> Vec<Operation> {
    vec![list(), read(), suspend(), restore(), renew(), revoke()]
}

fn list() -> Operation {
    Operation::get("/v1/prefixes", "listPrefixes", Tag::Prefixes, "前缀列表", "List prefixes")
        .about(
            "本节点负责的前缀，按前缀排序；企业只见自己的。ends_before 用于到期提醒。",
            "The prefixes of this node in their order; an enterprise sees its own. With ends_before: those that must be renewed.",
        )
        .keyed(Action::SeePrefixes)
        .parameter(Parameter::query(
            "status",
            "只列此状态的",
            "only those that stand so",
            json!({"enum": PrefixStatus::ALL.map(PrefixStatus::as_str)}),
        ))
        .parameter(Parameter::query(
            "ends_before",
            "只列有效期早于此时的",
            "only those that are good no more before this moment",
            json!({"type": "string", "format": "date-time"}),
        ))
        .parameter(parameter::limit(&USUAL_PREFIXES.to_string(), MOST_PREFIXES))
        .parameter(parameter::cursor())
        .answer(200, "一页前缀", "a page of prefixes", vec![(JSON, Shape::of::<PrefixesBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("suspended", "已暂停的", "those that are suspended").query("status", "suspended"))
}

fn answered(operation: Operation) -> Operation {
    operation
        .parameter(Parameter::path("prefix", "前缀", "the prefix", json!({"type": "string"})))
        .answer(200, "前缀", "the prefix", vec![(JSON, Shape::of::<PrefixBody<'_>>())])
        .with_headers(&["ETag", "Cache-Control", "Vary"])
        .fails(&[Code::NotResponsible])
}

fn read() -> Operation {
    answered(Operation::get("/v1/prefixes/{prefix}", "readPrefix", Tag::Prefixes, "读取前缀", "Read a prefix"))
        .about(
            "状态与每一步变更；暂停与撤销的理由由审核员和该企业可见。",
            "How it stands, with each step. Why it was suspended or revoked is for reviewers and its own enterprise to see.",
        )
        .keyed(Action::SeePrefixes)
        .fails(READS)
        .example(Example::new("read", "一个前缀", "a prefix").path("prefix", PREFIX))
}

fn decided(path: &'static str, name: &'static str, zh: &str, en: &str) -> Operation {
    answered(Operation::post(path, name, Tag::Prefixes, zh, en))
        .keyed(Action::Review)
        .parameter(parameter::if_match())
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::PrefixStepRefused, Code::FilingStepRefused, Code::VersionMismatch])
}

/// A document with some members, of which these are needed.
fn document(mut members: Json, required: &[&str]) -> Vec<(&'static str, Shape)> {
    if let (Some(members), Some(own)) = (members.as_object_mut(), reasons()["properties"].as_object())
        && required.contains(&"reasons")
    {
        members.extend(own.clone());
    }
    let schema = json!({"type": "object", "properties": members, "required": required, "additionalProperties": false});
    vec![(JSON, Shape::Json(schema))]
}

fn note() -> Json {
    json!({"type": ["string", "null"], "maxLength": MAX_REASON_BYTES, "description": "for other reviewers · 审核意见"})
}

fn refused(name: &'static str, zh: &'static str, en: &'static str, id: &str) -> Example {
    Example::new(name, zh, en).header("Accept-Language", "en").header("X-Request-Id", id).path("prefix", PREFIX)
}

fn suspend() -> Operation {
    let resolves = json!({
        "type": ["boolean", "null"],
        "description": "whether names are answered meanwhile, with the word that their prefix is suspended; true where it is not said · 暂停期间是否继续解析",
    });
    decided("/v1/prefixes/{prefix}/suspend", "suspendPrefix", "暂停前缀", "Suspend a prefix")
        .about(
            "此前缀及其下级不再登记、修改；解析照常并注明已暂停（resolves = true），或一概不答（false，403）。应答时缓存已清空。可再次暂停以改变 resolves。",
            "Nothing is registered or changed under it or below. Names are answered with the word that it is suspended (resolves = true), or not \
             at all (false: 403). Once this is answered, no cached answer is left. It may be suspended again with another `resolves`.",
        )
        .body(document(json!({"resolves": resolves}), &["reasons"]))
        .example(refused("unsaid", "没有理由", "without a reason", "example-21").json(json!({"reasons": []})).ends(422))
}

fn restore() -> Operation {
    decided("/v1/prefixes/{prefix}/restore", "restorePrefix", "恢复前缀", "Restore a prefix")
        .about("暂停就此结束。", "The suspension is over.")
        .optional_body(document(json!({"note": note()}), &[]))
        .example(refused("active", "没有暂停的", "one that is not suspended", "example-22").ends(409))
}

fn renew() -> Operation {
    let until = json!({"type": "string", "format": "date-time", "description": "the end from now on · 新的有效期"});
    decided("/v1/prefixes/{prefix}/renew", "renewPrefix", "续期", "Renew a prefix")
        .about(
            "备案分配的前缀自此有效至所给时间。到期的前缀照常解析，但不能登记。",
            "A prefix that a filing was allocated is good until then. One that has run out resolves, and nothing is registered under it.",
        )
        .body(document(json!({"valid_until": until, "note": note()}), &["valid_until"]))
        .example(
            refused("configured", "由配置给出的", "one of the configuration", "example-23")
                .json(json!({"valid_until": "9000-01-01T00:00:00Z"}))
                .ends(409),
        )
}

fn revoke() -> Operation {
    decided("/v1/prefixes/{prefix}/revoke", "revokePrefix", "撤销前缀", "Revoke a prefix")
        .about(
            "不可恢复：不再登记，也不再解析（410），且不再分配给任何人。",
            "For good: nothing is registered or answered (410), and nobody is given it again.",
        )
        .body(document(json!({}), &["reasons"]))
        .example(refused("unsaid", "没有理由", "without a reason", "example-24").json(json!({"reasons": []})).ends(422))
}
