//! The JSON of API keys: what may be seen of them again, and once their text.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor::{self, Kind};
use crate::model::time::Timestamp;
use crate::services::administer::{KeyPage, KeyView, NewKey};
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
    json(&KeyBody { key: Some(&made.text), ..KeyBody::of(&made.key) })
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
