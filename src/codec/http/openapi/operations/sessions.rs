//! Sessions: signing in by a key, and who asks.

use serde_json::json;

use super::JSON;
use crate::codec::http::openapi::example::Example;
use crate::codec::http::openapi::operation::{Operation, Tag};
use crate::codec::http::openapi::problems::{JSON_BODY, WRITES};
use crate::codec::http::openapi::schemas::Shape;
use crate::codec::key_answers::{ChallengeBody, SessionBody};
use crate::codec::problem::Code;
use crate::services::sessions::{NONCE_SECONDS, SESSION_SECONDS, SESSIONS_OF_A_KEY};
use crate::sign::assertion::MAX_ASSERTION_BYTES;

pub(super) fn operations() -> Vec<Operation> {
    vec![challenge(), open(), current(), close()]
}

fn challenge() -> Operation {
    Operation::post(
        "/v1/sessions/challenge",
        "createChallenge",
        Tag::Keys,
        "取得登录挑战",
        "Ask for a challenge to sign",
    )
    .about(
        &format!("nonce 只能用一次，{NONCE_SECONDS} 秒内有效，只对本进程有效。"),
        &format!("The nonce is good once, for {NONCE_SECONDS} seconds, and at this process."),
    )
    .anonymous()
    .answer(200, "挑战", "the challenge", vec![(JSON, Shape::of::<ChallengeBody<'_>>())])
    .with_headers(&["Cache-Control", "Vary"])
    .fails(&[Code::MirrorReadOnly, Code::NotAcceptable])
    .example(Example::new("ask", "取得挑战", "ask for one"))
}

fn open() -> Operation {
    let wanted = json!({
        "type": "object",
        "properties": {
            "assertion": {
                "type": "string",
                "maxLength": MAX_ASSERTION_BYTES,
                "description": "a compact JWS (RFC 7515): header {alg: EdDSA, typ: mingpai-session+jwt, kid: the key's RFC 7638 thumbprint}, claims {sub: the API key's id, aud, nonce, exp?, nbf?} · 紧凑 JWS",
            },
        },
        "required": ["assertion"],
        "additionalProperties": false,
    });
    Operation::post("/v1/sessions", "openSession", Tag::Keys, "登录", "Sign in")
        .about(
            &format!(
                "以已登记公钥的私钥签署挑战，换取至多 {} 分钟的令牌（作 Bearer 使用）。会话的权限即该密钥的权限，密钥撤销或过期即失效，重启后须重新登录；\
                 每把密钥同时至多 {SESSIONS_OF_A_KEY} 个会话，再多则最早的失效。",
                SESSION_SECONDS / 60
            ),
            &format!(
                "For a challenge signed with the private half of a key that was registered with its public one: a token for {} minutes \
                 at most, shown as a bearer token. It opens what the key opens, and nothing once that is revoked or has ended; a restart \
                 ends all sessions. A key has {SESSIONS_OF_A_KEY} at a time, one more ends the oldest.",
                SESSION_SECONDS / 60
            ),
        )
        .anonymous()
        .body(vec![(JSON, Shape::Json(wanted))])
        .answer(201, "会话", "the session, with its token", vec![(JSON, Shape::of::<SessionBody<'_>>())])
        .with_headers(&["Location", "Cache-Control", "Vary"])
        .fails(JSON_BODY)
        .fails(WRITES)
        .fails(&[Code::MirrorReadOnly, Code::BadCredentials])
        .example(
            Example::new("unsigned", "不是断言", "what is no assertion")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-9")
                .json(json!({"assertion": "e30.e30.e30"}))
                .ends(422),
        )
}

fn current() -> Operation {
    Operation::get("/v1/sessions/current", "readCurrentSession", Tag::Keys, "当前凭据", "Who asks")
        .about("密钥与会话均可。", "By a key or by a session.")
        .shown()
        .answer(200, "当前凭据", "the principal, its role and reach", vec![(JSON, Shape::of::<SessionBody<'_>>())])
        .with_headers(&["Cache-Control", "Vary"])
        .example(Example::new("me", "以密钥", "by a key"))
}

fn close() -> Operation {
    Operation::delete("/v1/sessions/current", "closeSession", Tag::Keys, "注销会话", "Sign out")
        .shown()
        .answer(204, "已注销", "the session is over", vec![])
        .fails(WRITES)
        .example(
            Example::new("a_key", "密钥没有会话", "a key has no session")
                .header("Accept-Language", "en")
                .header("X-Request-Id", "example-10")
                .ends(400),
        )
}
