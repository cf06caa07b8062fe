//! The log, for whoever wants to verify it.

use serde_json::{Value as Json, json};

use super::{JSON, NDJSON};
use crate::codec::http::bundle::PACKED;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{CLOSED, NAMES, READS};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::log_answers::{ChangeBody, ConsistencyBody, InclusionBody, WordBody};
use crate::codec::problem::Code;
use crate::model::permitted::Action;
use crate::sign::bundle::BUNDLE_FORM;
use crate::tlog::log_proof;

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";
const PLAIN: &str = "text/plain";
const EVENTS: &str = "text/event-stream";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        checkpoint("/log/checkpoint", "readCheckpoint").example(Example::new("head", "最新检查点", "the newest head")),
        keys("/log/vkey", "readLogKey").example(Example::new("key", "校验公钥", "the key")),
        tile("/log/tile/{tile}", "readTile")
            .example(Example::new("leaves", "第一个叶哈希", "the first leaf's hash").path("tile", "0/000.p/1"))
            .example(Example::new("entries", "第一条声明", "the first statement").path("tile", "entries/000.p/1"))
            .example(beyond()),
        checkpoint("/log/audit/checkpoint", "readAuditCheckpoint").keyed(Action::Audit).example(Example::new(
            "head",
            "审计树的检查点",
            "the audit tree's head",
        )),
        keys("/log/audit/vkey", "readAuditLogKey")
            .keyed(Action::Audit)
            .fails(&[Code::LogPartUnknown])
            .example(Example::new("key", "校验公钥", "the key")),
        tile("/log/audit/tile/{tile}", "readAuditTile")
            .keyed(Action::Audit)
            .example(Example::new("leaves", "第一个叶哈希", "the first leaf's hash").path("tile", "0/000.p/1")),
        consistency(),
        proof(),
        bundle(),
        latest(),
        changes(),
    ]
}

fn checkpoint(path: &'static str, id: &'static str) -> Operation {
    Operation::get(path, id, Tag::Log, "最新检查点", "The newest checkpoint")
        .about(
            "C2SP tlog-checkpoint：日志名、大小、根，均已签名；变更后一秒内更新。审计树须审计员或管理员。",
            "C2SP tlog-checkpoint: the log's name, size and root, signed; a new one within a second of a change. That of the \
             audit tree is for auditors and administrators.",
        )
        .answer(200, "检查点", "the checkpoint", vec![(TEXT, Shape::text(PLAIN))])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::LogPartUnknown])
}

fn keys(path: &'static str, id: &'static str) -> Operation {
    Operation::get(path, id, Tag::Log, "检查点的公钥", "The keys of checkpoints")
        .about("C2SP signed-note 的 vkey，每行一个。", "As C2SP signed-note has vkeys, one a line.")
        .answer(200, "公钥", "the keys", vec![(TEXT, Shape::text(PLAIN))])
        .with_headers(&["Cache-Control", "Vary"])
}

fn tile(path: &'static str, id: &'static str) -> Operation {
    let form = json!({"type": "string", "minLength": 5});
    Operation::get(path, id, Tag::Log, "日志的一片", "A tile of the log")
        .about(
            "C2SP tlog-tiles：L/N 为哈希，entries/N 为声明；不满 256 的末片写作 N.p/W。内容永不改变。",
            "C2SP tlog-tiles: hashes as L/N, statements as entries/N; a last one of fewer than 256 is N.p/W. What it says \
             never changes.",
        )
        .parameter(Parameter::path(
            "tile",
            "如 0/x001/234（第 1234 片）或 entries/000.p/7",
            "such as 0/x001/234 (tile 1234) or entries/000.p/7",
            form,
        ))
        .answer(200, "哈希，或带长度的声明", "hashes, or statements with their lengths", vec![(BYTES, Shape::bytes(BYTES))])
        .with_headers(&["Cache-Control", "Vary", "Content-Encoding"])
        .fails(READS)
        .fails(&[Code::TilePathInvalid, Code::LogPartUnknown])
}

fn beyond() -> Example {
    Example::new("beyond", "尚不存在的一片", "one that is not there yet")
        .path("tile", "0/x999/999")
        .header("Accept-Language", "en")
        .header("X-Request-Id", "example-3")
        .ends(404)
}

/// A car of the demonstration data.
const CAR: &str = "88.999.1/NEV-VEH-2026-000003";

fn bundle() -> Operation {
    let hashes = json!({"type": "array", "items": {"type": "string"}, "maxItems": 64});
    let index = json!({"type": "integer", "minimum": 0});
    let bundle = json!({
        "type": "object",
        "properties": {
            "bundle": {"const": BUNDLE_FORM},
            "entry": {"type": "string"},
            "proof": {
                "type": "object",
                "properties": {"index": index, "hashes": hashes, "checkpoint": {"type": "string"}},
                "required": ["index", "hashes", "checkpoint"],
                "additionalProperties": false,
            },
            "latest": {"type": "string"},
            "statements": {"type": "array", "items": {
                "type": "object",
                "properties": {"index": index, "statement": {"type": "string"}, "hashes": hashes},
                "required": ["index", "statement", "hashes"],
                "additionalProperties": false,
            }},
        },
        "required": ["bundle", "entry", "proof"],
        "additionalProperties": false,
    });
    Operation::get("/v1/bundle/{identifier}", "readBundle", Tag::Log, "离线包", "A bundle to check offline")
        .about(
            "最新版本的条目、收录证明、检查点、“最新版本”声明，以及密钥与许可声明及其证明：mingpai verify --policy 离线核验。\
             application/vnd.mingpai.bundle 为可印成二维码的短式，不含密钥与许可声明。",
            "The newest version's entry, its proof, the checkpoint, the node's word that it is the newest, and the statements about \
             keys and licences with their proofs, for `mingpai verify --policy`. application/vnd.mingpai.bundle is the short \
             form, for a QR code, without the statements.",
        )
        .parameter(parameter::identifier())
        .answer(
            200,
            "离线包",
            "the bundle",
            vec![(JSON, Shape::Json(bundle)), (PACKED, Shape::text(PACKED))],
        )
        .with_headers(&["Cache-Control", "Vary"])
        .fails(CLOSED)
        .fails(&[Code::IdentifierUnknown, Code::IdentifierDeleted, Code::CheckpointPending])
        .fails(NAMES)
        .fails(READS)
        .example(Example::new("car", "一辆示范汽车", "a demonstration car").path("identifier", CAR))
        .example(
            Example::new("packed", "可印成二维码的短式", "the short form").path("identifier", CAR).header("Accept", PACKED),
        )
}

fn latest() -> Operation {
    Operation::get("/v1/latest/{identifier}", "readLatest", Tag::Log, "最新版本声明", "The node's word for the newest version")
        .about(
            "节点签名声明在某一检查点时哪个版本最新，或没有此标识。收录证明不说明其后有无新版本。",
            "Signed: which version was the newest at a checkpoint, or that there was none. A proof of inclusion does not say \
             whether a later version came.",
        )
        .parameter(parameter::identifier())
        .answer(200, "声明", "the word", vec![(JSON, Shape::of::<WordBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(CLOSED)
        .fails(&[Code::CheckpointPending, Code::IdentifierDeleted, Code::MirrorReadOnly])
        .fails(NAMES)
        .fails(READS)
        .example(Example::new("car", "一辆示范汽车", "a demonstration car").path("identifier", CAR))
        .example(Example::new("absent", "未注册的标识", "a name that is not registered").path("identifier", "88.999.1/UNKNOWN"))
}

fn size() -> Json {
    json!({"type": "integer", "minimum": 0, "maximum": u64::MAX})
}

fn consistency() -> Operation {
    Operation::get("/v1/log/consistency", "proveConsistency", Tag::Log, "一致性证明", "Prove that the log only grew")
        .about("RFC 9162，2.1.4。", "RFC 9162, 2.1.4.")
        .parameter(Parameter::query("from", "较早的大小", "the earlier size", size()).required())
        .parameter(Parameter::query(
            "to",
            "较晚的大小；缺省为最新检查点的",
            "the later one; else the newest head's",
            size(),
        ))
        .answer(200, "证明", "the proof", vec![(JSON, Shape::of::<ConsistencyBody>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .fails(&[Code::LogPartUnknown])
        .example(Example::new("grown", "自第一条起", "since the first statement").query("from", 1).query("to", 2))
}

fn proof() -> Operation {
    Operation::get(
        "/v1/log/proof/{index}",
        "proveInclusion",
        Tag::Log,
        "收录证明",
        "Prove that the log has a statement",
    )
    .about(
        "RFC 9162，2.1.3；text/x-tlog-proof 为 C2SP tlog-proof 文件，只用于最新检查点。",
        "RFC 9162, 2.1.3; as text/x-tlog-proof it is a file of C2SP tlog-proof, under the newest checkpoint only.",
    )
    .parameter(Parameter::path("index", "声明在登记树中的序号", "the statement's index in the registry", size()))
    .parameter(Parameter::query(
        "size",
        "树的大小；缺省为最新检查点的",
        "a size of the tree; else the newest head's",
        size(),
    ))
    .answer(
        200,
        "证明",
        "the proof",
        vec![
            (JSON, Shape::of::<InclusionBody>()),
            (log_proof::MEDIA_TYPE, Shape::text(log_proof::MEDIA_TYPE)),
            (TEXT, Shape::text(PLAIN)),
        ],
    )
    .with_headers(&["Cache-Control", "Vary"])
    .fails(READS)
    .fails(&[Code::LogPartUnknown])
    .example(Example::new("genesis", "日志的第一条", "the first statement").path("index", "0").query("size", 2))
    .example(
        Example::new("file", "供任何校验器使用的文件", "the file for anybody's verifier")
            .path("index", "0")
            .header("Accept", log_proof::MEDIA_TYPE),
    )
}

fn changes() -> Operation {
    Operation::get("/v1/changes", "followChanges", Tag::Log, "日志的变化", "Follow the log")
        .about(
            "登记树的各条及其披露内容，按序，只到最新检查点；以最后一行的 index 加一续读。text/event-stream 则持续推送，事件的 id 即 \
             index，可用 Last-Event-ID 续读。须管理员。",
            "The registry's leaves in order with what they hide, as far as the newest head covers them; the index of the last \
             line and one goes on. As text/event-stream it goes on as the log grows; an event's id is its index, so that \
             Last-Event-ID resumes. For administrators.",
        )
        .keyed(Action::Administer)
        .parameter(Parameter::query("from", "从此序号起，缺省为 0", "the first index, 0 if not said", size()))
        .parameter(Parameter::query("limit", "至多多少条", "how many at most", size()))
        .parameter(Parameter::header(
            "Last-Event-ID",
            "推送时：最后收到的事件，代替 from",
            "of events: the one that was heard last, in place of from",
            json!({"type": "string"}),
        ))
        .answer(200, "各条", "the leaves", vec![
            (NDJSON, Shape::lines(Shape::of::<ChangeBody<'_>>())),
            (EVENTS, Shape::text(EVENTS)),
        ])
        .with_headers(&["Cache-Control", "Vary", "Mingpai-Next"])
        .fails(READS)
        .fails(&[Code::LogPartUnknown, Code::Overloaded])
        .example(Example::new("genesis", "日志的第一条", "the first statement").query("from", 0).query("limit", 1))
}
