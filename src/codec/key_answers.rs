//! The JSON of API keys and of the sessions that they begin: what may be seen of them again, and once their text.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor::{self, Kind};
use crate::model::principal::Principal;
use crate::model::time::Timestamp;
use crate::services::administer::{KeyPage, KeyView, NewKey};
use crate::services::sessions::{Challenge, NewSession, SessionView};
use crate::sign::keys::PublicJwk;
use crate::sign::statement::ApiKey;

/// An API key; its secret text `key` only where it was just made · 密钥
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKey")]
pub(super) struct KeyBody<'a> {
    id: &'a str,
    label: &'a str,
    role: &'a str,
    /// Where an enterprise's role counts: these and what is below them · 企业角色的前缀范围
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    prefixes: &'a [String],
    /// Who made it: `key:ID`, `bootstrap`, or the node itself (`dev`) · 由谁发放
    #[serde(skip_serializing_if = "Option::is_none")]
    maker: Option<&'a str>,
    /// Of a key without a secret: whose signature begins its sessions · 以其签名开启会话的公钥，此类密钥没有密文
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<&'a PublicJwk>,
    created: Timestamp,
    expires: Option<Timestamp>,
    /// When it was last shown and known, refused requests too; to the minute, absent where it never was · 最近使用，精确到分
    #[serde(skip_serializing_if = "Option::is_none")]
    last_used: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<bool>,
    /// The secret text, at the one time that it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

impl<'a> KeyBody<'a> {
    fn of(key: &'a ApiKey) -> Self {
        let time = |seconds| Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH);
        Self {
            id: &key.id,
            label: &key.label,
            role: &key.role,
            prefixes: &key.prefixes,
            maker: key.maker.as_deref(),
            public_key: key.public_key.as_ref(),
            created: time(key.created),
            expires: key.expires.map(time),
            last_used: None,
            revoked: None,
            key: None,
        }
    }
}

/// A page of keys · 一页密钥
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ApiKeys")]
pub(super) struct KeysBody<'a> {
    keys: Vec<KeyBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn viewed(view: &KeyView) -> KeyBody<'_> {
    let last_used = view.last_used.and_then(|seconds| Timestamp::from_seconds(seconds).ok());
    KeyBody { revoked: Some(view.revoked), last_used, ..KeyBody::of(&view.key) }
}

/// A key that was just made, with its text.
#[must_use]
pub(super) fn new_key(made: &NewKey) -> Vec<u8> {
    json(&KeyBody { key: made.text.as_deref(), ..KeyBody::of(&made.key) })
}

/// One key; never its hash.
#[must_use]
pub(super) fn key(view: &KeyView) -> Vec<u8> {
    json(&viewed(view))
}

/// A page of keys; never their hashes.
#[must_use]
pub(super) fn keys(page: &KeyPage) -> Vec<u8> {
    json(&KeysBody {
        keys: page.keys.iter().map(viewed).collect(),
        next_cursor: page.next.as_ref().map(|id| cursor::encode(Kind::Keys, id)),
    })
}

/// What is to be signed · 待签名的挑战
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SessionChallenge")]
pub(super) struct ChallengeBody<'a> {
    /// For `nonce` of the assertion; good once · 断言的 nonce，只能用一次
    nonce: &'a str,
    /// For `aud` · 断言的 aud
    audience: &'a str,
    expires: Timestamp,
}

/// Who asks, and by what · 当前凭据
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
pub(super) struct SessionBody<'a> {
    /// Of the session; absent where the key itself was shown · 会话编号，直接出示密钥时没有
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// As audit and history name it · 审计与历史中的名称
    principal: &'a str,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefixes: Option<&'a [String]>,
    /// When the session ends, or the key; absent where that never does · 会话或密钥的到期时间
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// The bearer token, at the one time that it is shown · 令牌，只显示一次
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> SessionBody<'a> {
    fn of(principal: &'a Principal) -> Self {
        let expires = principal.until.and_then(|until| Timestamp::from_seconds(until).ok());
        let (role, prefixes) = (principal.role.as_str(), principal.scope.prefixes());
        Self { id: None, principal: &principal.id, role, prefixes, expires, token: None }
    }

    fn viewed(view: &'a SessionView) -> Self {
        Self { id: Some(&view.id), expires: Some(view.expires), ..Self::of(&view.principal) }
    }
}

#[must_use]
pub(super) fn challenge(challenge: &Challenge) -> Vec<u8> {
    json(&ChallengeBody { nonce: &challenge.nonce, audience: &challenge.audience, expires: challenge.expires })
}

/// A session that has begun, with its token.
#[must_use]
pub(super) fn new_session(begun: &NewSession) -> Vec<u8> {
    json(&SessionBody { token: Some(&begun.token), ..SessionBody::viewed(&begun.view) })
}

/// Who asks: by a session, or by a key.
#[must_use]
pub(super) fn current(principal: &Principal, session: Option<&SessionView>) -> Vec<u8> {
    json(&session.map_or_else(|| SessionBody::of(principal), SessionBody::viewed))
}
