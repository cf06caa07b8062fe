//! The JSON of grants: whom they open what to, and what was seen by them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor::{self, Kind};
use crate::model::grant::{Grant, Holder};
use crate::model::time::Timestamp;
use crate::services::share::{GrantPage, GrantView, NewGrant, SeenByGrant, UsePage};

/// A grant; a link's token only where it was just made · 授权
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Grant")]
pub(super) struct GrantBody<'a> {
    id: &'a str,
    /// Values of records under this prefix and what is below it · 前缀
    prefix: &'a str,
    to: HolderBody<'a>,
    /// These records alone · 只限这些标识
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    identifiers: &'a [String],
    /// Records of these templates alone · 只限这些模板的记录
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    templates: &'a [String],
    /// Values at these indexes, or of these types; with neither all that are not the owner's alone · 值的序号
    #[serde(skip_serializing_if = "<[u32]>::is_empty")]
    indexes: &'a [u32],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    types: &'a [String],
    purpose: &'a str,
    /// By whom it was given: `key:ID` · 由谁授予
    maker: &'a str,
    created: Timestamp,
    valid_from: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<bool>,
    /// The token of a link, at the one time that it is shown: `Authorization: Bearer …`, or `?share=…` of /v1/resolve/ · 链接令牌，只显示一次
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
}

/// Who may read · 授予谁
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GrantHolder")]
#[serde(rename_all = "snake_case")]
enum HolderBody<'a> {
    /// The id of an API key · 密钥
    Key(&'a str),
    /// The keys of readers, registrars and owners of this prefix and what is below it · 企业前缀
    Prefix(&'a str),
    /// Whoever has the link · 持有链接者
    Link(bool),
}

/// A page of grants · 一页授权
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Grants")]
pub(super) struct GrantsBody<'a> {
    grants: Vec<GrantBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// What somebody saw · 一次查看
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GrantUse")]
struct UseBody<'a> {
    /// `key:ID`, or `link:ID` of who has the link alone · 谁
    principal: &'a str,
    /// Absent once it is erased · 标识
    #[serde(skip_serializing_if = "Option::is_none")]
    identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Of the version's statement, in the registry tree · 注册树中的序号
    index: u64,
    /// How often, from `since` to `until` · 次数
    count: u64,
    since: Timestamp,
    until: Timestamp,
}

/// A page of uses · 一页查看记录
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "GrantUses")]
pub(super) struct UsesBody<'a> {
    uses: Vec<UseBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH)
}

fn of<'a>(grant: &'a Grant, identifiers: &'a [String]) -> GrantBody<'a> {
    GrantBody {
        id: &grant.id,
        prefix: &grant.prefix,
        to: match &grant.holder {
            Holder::Key(id) => HolderBody::Key(id),
            Holder::Prefix(prefix) => HolderBody::Prefix(prefix),
            Holder::Link { .. } => HolderBody::Link(true),
        },
        identifiers,
        templates: &grant.opened.templates,
        indexes: &grant.opened.indexes,
        types: &grant.opened.types,
        purpose: &grant.purpose,
        maker: &grant.maker,
        created: time(grant.created),
        valid_from: time(grant.from),
        valid_until: grant.until.map(time),
        revoked: None,
        link: None,
    }
}

/// A grant that was just given, with a link's token.
#[must_use]
pub(super) fn new_grant(given: &NewGrant) -> Vec<u8> {
    json(&GrantBody { link: given.token.as_deref(), ..of(&given.grant, &given.identifiers) })
}

fn viewed(view: &GrantView) -> GrantBody<'_> {
    GrantBody { revoked: Some(view.is_revoked), ..of(&view.grant, &view.identifiers) }
}

/// One grant; never a link's token or its hash.
#[must_use]
pub(super) fn grant(view: &GrantView) -> Vec<u8> {
    json(&viewed(view))
}

/// A page of grants.
#[must_use]
pub(super) fn grants(page: &GrantPage) -> Vec<u8> {
    json(&GrantsBody {
        grants: page.grants.iter().map(viewed).collect(),
        next_cursor: page.next.as_ref().map(|id| cursor::encode(Kind::Grants, id)),
    })
}

/// A page of what was seen.
#[must_use]
pub(super) fn uses(page: &UsePage) -> Vec<u8> {
    let uses = page.uses.iter().map(|SeenByGrant { row, seen }| UseBody {
        principal: &row.used.principal,
        identifier: seen.as_ref().map(|(name, _)| name.as_str()),
        version: seen.as_ref().map(|(_, version)| *version),
        index: row.used.leaf,
        count: row.used.count,
        since: time(row.since),
        until: time(row.until),
    });
    json(&UsesBody {
        uses: uses.collect(),
        next_cursor: page.next.as_ref().map(|key| cursor::encode(Kind::GrantUses, &BASE64URL.encode(key))),
    })
}
