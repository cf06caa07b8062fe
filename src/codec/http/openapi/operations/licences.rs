//! Licences of prefixes, and the ends of signing keys.

use serde_json::{Value as Json, json};

use super::JSON;
use crate::codec::http::licences::{MOST_STATEMENTS, USUAL_STATEMENTS};
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::parameter::{self, Parameter};
use crate::codec::http::openapi::problems::{JSON_BODY, NAMES, READS, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::http::openapi::shapes::line;
use crate::codec::http::openapi::wanted;
use crate::codec::licence_answers::{StatementBody, StatementsBody};
use crate::codec::problem::Code;
use crate::model::identifier::MAX_IDENTIFIER_BYTES;
use crate::model::permitted::Action;
use crate::sign::licence::{MAX_GRANT_BYTES, MAX_HOLDER_BYTES};

/// RFC 8037, appendix A.2.
const KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ID: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

pub(super) fn operations() -> Vec<Operation> {
    vec![list(), grant(), end(), end_key()]
}

fn one() -> Vec<(&'static str, Shape)> {
    vec![(JSON, Shape::of::<StatementBody<'_>>())]
}

fn list() -> Operation {
    Operation::get("/v1/licences", "listLicences", Tag::Licences, "许可声明", "Statements about licences")
        .about(
            "公开。以 identifier 得到与一个标识有关的全部声明（含本节点的签名密钥），供验证者使用；以 prefix 得到一个前缀的声明；都不给则分页列出全部。",
            "Public. With identifier everything that bears on it, the node's signing keys included, as a verifier needs it; with prefix \
             the statements about one prefix; with neither all of them, page by page.",
        )
        .parameter(Parameter::query("prefix", "恰为此前缀", "exactly this prefix", line(MAX_HOLDER_BYTES)))
        .parameter(Parameter::query("identifier", "与此标识有关的", "what bears on this identifier", line(MAX_IDENTIFIER_BYTES)))
        .parameter(parameter::limit(&USUAL_STATEMENTS.to_string(), MOST_STATEMENTS))
        .parameter(parameter::cursor())
        .answer(200, "声明", "statements", vec![(JSON, Shape::of::<StatementsBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .fails(NAMES)
        .fails(READS)
        .example(Example::new("prefix", "一个前缀的", "about one prefix").query("prefix", "88.999.1").in_step(3))
}

fn ending() -> Json {
    json!({
        "reason": {"enum": ["revoked", "compromised", "rotated", "transferred"]},
        "not_after": {
            "type": ["integer", "null"], "minimum": 0,
            "description": "with compromised: the last registry index at which the key was sound · 泄露前最后可信的日志序号",
        },
    })
}

fn grant() -> Operation {
    let key = wanted::public_key("an Ed25519 public key (RFC 8037) · 公钥");
    let replace = json!({
        "anyOf": [
            {"type": "object", "properties": ending(), "required": ["reason"], "additionalProperties": false},
            {"type": "null"},
        ],
        "description": "ends what is in force in the same step · 在同一步中结束有效的许可",
    });
    let enterprise = json!({
        "type": "object",
        "properties": {
            "role": {"const": "enterprise"},
            "prefix": line(MAX_HOLDER_BYTES),
            "holder": line(MAX_HOLDER_BYTES),
            "key": key,
            "owner_signature": {"anyOf": [{"enum": ["optional", "required"]}, {"type": "null"}]},
            "replace": replace.clone(),
        },
        "required": ["role", "prefix", "holder", "key"],
        "additionalProperties": false,
    });
    let node = json!({
        "type": "object",
        "properties": {"role": {"const": "node"}, "grant": line(MAX_GRANT_BYTES), "replace": replace},
        "required": ["role", "grant"],
        "additionalProperties": false,
    });
    Operation::post("/v1/licences", "grantLicence", Tag::Licences, "发放许可", "Give a licence")
        .about(
            "enterprise：本节点把前缀许可给企业的公钥；node：登记上级节点对本节点的授权（其 JWS）。同一持有者可有多把有效密钥，换持有者用 replace。",
            "enterprise: this node licenses a prefix to an enterprise's key; node: an upper node's own JWS for this node is put into the \
             log. One holder may have several keys in force; another holder takes replace.",
        )
        .keyed(Action::Administer)
        .body(vec![(JSON, Shape::Json(json!({"oneOf": [enterprise, node]})))])
        .answer(201, "许可", "the licence", one())
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::NotResponsible, Code::LicenceInForce, Code::LicenceChainFull, Code::Conflict])
        .leads_to(201, "endLicence", "id", "$response.body#/id")
        .example(
            Example::new("enterprise", "许可给一家企业", "to an enterprise")
                .json(json!({
                    "role": "enterprise", "prefix": "88.999.1", "holder": "示范企业",
                    "key": {"kty": "OKP", "crv": "Ed25519", "x": KEY},
                }))
                .ends(201)
                .in_step(2),
        )
}

fn end() -> Operation {
    let wanted =
        json!({"type": "object", "properties": ending(), "required": ["reason"], "additionalProperties": false});
    Operation::post("/v1/licences/{id}/end", "endLicence", Tag::Licences, "结束许可", "End a licence")
        .about(
            "此后的条目不在许可之内；compromised 以 not_after 指明最后可信的日志序号，可在过去。",
            "What is entered after it is not under the licence; compromised says with not_after up to which index the key was sound, \
             which may be long ago.",
        )
        .keyed(Action::Administer)
        .parameter(Parameter::path("id", "许可的编号", "the licence's id", json!({"type": "string", "minLength": 1})))
        .body(vec![(JSON, Shape::Json(wanted))])
        .answer(201, "许可的结束", "the end", one())
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::LicenceUnknown, Code::LicenceEnded, Code::LicenceChainFull, Code::Conflict])
        .example(
            Example::new("revoke", "撤销", "revoke it").path("id", ID).json(json!({"reason": "revoked"})).ends(201).in_step(4),
        )
}

fn end_key() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {"not_after": {"type": "integer", "minimum": 0}},
        "required": ["not_after"],
        "additionalProperties": false,
    });
    Operation::post("/v1/signing-keys/{id}/end", "endSigningKey", Tag::Licences, "登记签名密钥的泄露", "Report a signing key as compromised")
        .about(
            "该密钥在 not_after 之后的签名不再算数。须先换用新密钥（mingpai keygen --use entry 并重启），由新密钥签署。",
            "Signatures of the key after not_after count no more. Another key must be in use first (`mingpai keygen --use entry`, and a \
             restart): it signs the statement.",
        )
        .keyed(Action::Administer)
        .parameter(Parameter::path("id", "密钥的 kid", "the key's kid", json!({"type": "string", "minLength": 1})))
        .body(vec![(JSON, Shape::Json(wanted))])
        .answer(201, "密钥的终止", "the key's end", one())
        .with_headers(&["Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::SigningKeyUnknown, Code::SigningKeyActive, Code::SigningKeyEnded])
        .example(
            Example::new("unknown", "没有这把密钥", "a key that this node never had")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-8")
                .path("id", "none")
                .json(json!({"not_after": 0}))
                .ends(404),
        )
}
