//! Erasures: what a record ever said is blanked.

use serde_json::json;

use super::JSON;
use crate::codec::answers::ErasedBody;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::problems::{JSON_BODY, NAMES, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::problem::Code;
use crate::model::erasure::Ground;
use crate::model::identifier::MAX_IDENTIFIER_BYTES;
use crate::model::permitted::Action;

pub(super) fn operations() -> Vec<Operation> {
    vec![order()]
}

fn order() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {
            "identifier": {"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_BYTES, "description": "the identifier itself, no alias · 标识本身，不用别名"},
            "version": {"type": "integer", "minimum": 1, "description": "the version that stands · 现行版本"},
            "ground": {"enum": Ground::ALL.map(Ground::as_str), "description": "somebody's right, a law or order, a rule of the node's own · 依据"},
        },
        "required": ["identifier", "version", "ground"],
        "additionalProperties": false,
    });
    Operation::post("/v1/erasures", "eraseRecord", Tag::Records, "抹除记录", "Erase a record")
        .about(
            "不可恢复：所有版本的内容与标识就此抹去，标识不再发放；声明与树保持完整，证明仍可核验。应答时本节点已不再显示它；旧备份在下一次备份后亦不再含有，其余副本见 docs/security.md。",
            "For good: the content of all versions, and the name, are blanked, and the name is never given out again. Statements and trees stay whole, and proofs \
             still verify. Once this is answered the node shows it nowhere; a backup loses it with its next run. Which other copies there may be says docs/security.md.",
        )
        .keyed(Action::Administer)
        .body(vec![(JSON, Shape::Json(wanted))])
        .answer(200, "已抹除", "what was erased", vec![(JSON, Shape::of::<ErasedBody>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(NAMES)
        .fails(WRITES)
        .fails(&[Code::IdentifierUnknown, Code::VersionMismatch, Code::Conflict, Code::EntryTooLarge])
        .example(
            Example::new("unknown", "未注册的标识", "a name that is not registered")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-41")
                .json(json!({"identifier": "88.999.1/UNKNOWN", "version": 1, "ground": "request"}))
                .ends(404),
        )
}
