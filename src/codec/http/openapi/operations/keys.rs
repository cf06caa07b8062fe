//! API keys.

use serde_json::json;

use super::JSON;
use crate::codec::http::keys::{MAX_LABEL_BYTES, MOST_KEYS, MOST_PREFIXES};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter;
use crate::codec::http::openapi::problems::{JSON_BODY, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::openapi::wanted;
use crate::codec::key_answers::{KeyBody, KeysBody};
use crate::codec::problem::Code;
use crate::model::permitted::Action;
use crate::model::principal::Role;

/// RFC 8037, appendix A.2.
const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ID: &str = "AAAAAAAAAAAAAAAA";

pub(super) fn operations() -> Vec<Operation> {
    // The list first, while there is one key only: ids have no order that could be foretold.
    vec![list(), create(), read(), revoke()]
}

fn create() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {
            "label": {"type": "string", "maxLength": MAX_LABEL_BYTES, "description": "one line · 一行文本"},
            "expires": {"type": ["string", "null"], "format": "date-time", "description": "a time to come; without one a key never ends, which only who has such a key can give · 将来的时间；不给出即不过期"},
            "role": {
                "enum": Role::GIVEN.map(Role::as_str),
                "default": Role::Administrator.as_str(),
                "description": "what it opens; an owner must name one of reader, registrar and owner · 角色；owner 须指明 reader、registrar 或 owner",
            },
            "prefixes": {
                "type": "array",
                "items": {"type": "string"},
                "maxItems": MOST_PREFIXES,
                "description": "where reader, registrar and owner count, with what is below: needed by them, refused to the others; such as 88.118.8, served by this node · 企业角色的前缀范围（含其下级），这三种角色必填，其他角色不可填",
            },
            "public_key": wanted::public_key("in place of a secret: its holder signs in, see POST /v1/sessions · 以公钥代替密文：持有者以签名登录，见 POST /v1/sessions"),
        },
        "additionalProperties": false,
    });
    Operation::post("/v1/keys", "createKey", Tag::Keys, "新建密钥", "Make an API key")
        .about(
            "密钥只显示一次，故不能以 Idempotency-Key 重发。首个密钥用引导令牌。角色：reader 读取其前缀的全部内容，registrar 另可登记，\
             owner 另可为其前缀发放密钥；auditor 读审计日志；administrator 管理节点。只能授予不多于自己的权限（403）。",
            "Its text is shown once, so its making cannot be repeated with an Idempotency-Key (400). The first one is made with the \
             bootstrap token. Roles: a reader sees everything of its prefixes, a registrar registers there, too, an owner gives keys \
             for them, too; an auditor reads the audit log; an administrator looks after the node. Nobody gives more than he has (403).",
        )
        .keyed(Action::ManageKeys)
        .optional_body(vec![(JSON, Shape::Json(wanted))])
        .answer(201, "密钥", "the key, with its text", vec![(JSON, Shape::of::<KeyBody<'_>>())])
        .with_headers(&["Location", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::Conflict])
        .leads_to(201, "readKey", "id", "$response.body#/id")
        .leads_to(201, "revokeKey", "id", "$response.body#/id")
        .example(
            Example::new("make", "脚本的密钥", "a key for a script")
                .json(json!({"label": "导入脚本", "expires": "9000-01-01T00:00:00Z"}))
                .ends(201),
        )
        .example(
            Example::new("registrar", "企业登记员", "a key for an enterprise")
                .json(json!({"label": "ERP", "role": "registrar", "prefixes": ["88.999.1"]}))
                .ends(201),
        )
        .example(
            Example::new("signing", "以公钥登录的密钥", "a key whose holder signs in")
                .json(json!({
                    "label": "MES", "role": "registrar", "prefixes": ["88.999.1"],
                    "public_key": {"kty": "OKP", "crv": "Ed25519", "x": KEY},
                }))
                .ends(201),
        )
}

fn list() -> Operation {
    Operation::get("/v1/keys", "listKeys", Tag::Keys, "密钥列表", "List API keys")
        .about(
            "已撤销和过期的也在内。owner 只见其前缀之内的企业密钥；一页未满也可能有 next_cursor。",
            "Those that are revoked or have ended, too. An owner sees an enterprise's keys within its prefixes; a page that is not full may have a next_cursor.",
        )
        .keyed(Action::ManageKeys)
        .parameter(parameter::limit(&MOST_KEYS.to_string(), MOST_KEYS))
        .parameter(parameter::cursor())
        .answer(200, "一页密钥", "a page of keys, in the order of the ids", vec![(JSON, Shape::of::<KeysBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(READS)
        .example(Example::new("one", "一页一个", "one to a page").query("limit", 1))
}

fn read() -> Operation {
    Operation::get("/v1/keys/{id}", "readKey", Tag::Keys, "读取密钥", "Read an API key")
        .keyed(Action::ManageKeys)
        .parameter(parameter::key_id())
        .answer(200, "密钥，不含密文", "the key without its text", vec![(JSON, Shape::of::<KeyBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(&[Code::KeyUnknown])
        .fails(READS)
        .example(Example::new("read", "刚建的密钥", "the one that was just made").path("id", ID))
}

fn revoke() -> Operation {
    Operation::delete("/v1/keys/{id}", "revokeKey", Tag::Keys, "撤销密钥", "Revoke an API key")
        .about("立即生效，不能恢复；重复无妨。", "At once and for ever; to repeat it does no harm.")
        .keyed(Action::ManageKeys)
        .parameter(parameter::key_id())
        .answer(204, "已撤销", "revoked", vec![])
        .fails(&[Code::KeyUnknown])
        .fails(WRITES)
        .example(Example::new("revoke", "撤销", "revoke it").path("id", ID).ends(204))
}
