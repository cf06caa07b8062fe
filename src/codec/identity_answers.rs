//! The JSON of who stands behind a prefix: shaped as RDAP is (RFC 9083), with names as jCards (RFC 7095).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::answers::json as written;
use crate::model::prefix::PrefixStatus;
use crate::model::time::Timestamp;
use crate::services::identity::{Identity, PrefixOrigin};

/// The media type of RDAP (RFC 7480, section 4.2).
pub(super) const RDAP: &str = "application/rdap+json";

/// Who stands behind a prefix · 前缀的登记信息
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Identity")]
pub(super) struct IdentityBody<'a> {
    /// RFC 9083, section 4.1 · 遵循的规范
    #[serde(rename = "rdapConformance")]
    conformance: [&'static str; 1],
    #[serde(rename = "objectClassName")]
    class: &'static str,
    /// The prefix · 前缀
    handle: &'a str,
    /// RFC 9083, section 10.2.2, and RFC 8056: `active`; `server update prohibited` where nothing is registered under it;
    /// `server hold` where nothing is answered either; `inactive` once it is revoked · 状态
    status: Vec<&'static str>,
    /// Registrants and holders of licences; of persons nothing is said · 登记者与许可持有者
    entities: Vec<EntityBody>,
    events: Vec<EventBody>,
    links: [LinkBody; 1],
    /// `configuration` or `filing`: how the prefix came to be served here · 由配置还是备案分配
    #[serde(rename = "mingpai_origin")]
    origin: &'static str,
    /// Where it stands, be it for a prefix above it · 前缀的状态
    #[serde(rename = "mingpai_status")]
    standing: PrefixStatus,
}

/// One who stands behind it · 主体
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IdentityEntity")]
struct EntityBody {
    #[serde(rename = "objectClassName")]
    class: &'static str,
    roles: [&'static str; 1],
    /// A jCard (RFC 7095) with a name and nothing else · 名称
    #[serde(rename = "vcardArray")]
    #[schemars(with = "Vec<Json>")]
    card: Json,
}

/// What happened to it · 事件
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IdentityEvent")]
struct EventBody {
    #[serde(rename = "eventAction")]
    action: &'static str,
    #[serde(rename = "eventDate")]
    date: Timestamp,
}

/// Where this stands · 链接
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "IdentityLink")]
struct LinkBody {
    rel: &'static str,
    href: String,
    #[serde(rename = "type")]
    media_type: &'static str,
}

fn entity(name: &str, role: &'static str) -> EntityBody {
    let card =
        json!(["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name], ["kind", {}, "text", "org"]]]);
    EntityBody { class: "entity", roles: [role], card }
}

#[must_use]
pub(super) fn identity(identity: &Identity) -> Vec<u8> {
    let registrant = identity.registrant.as_deref().map(|name| entity(name, "registrant"));
    let licensed = identity.licensed.iter().map(|name| entity(name, "sponsor"));
    let (origin, since) = match identity.origin {
        PrefixOrigin::Configured => ("configuration", None),
        PrefixOrigin::Allocated { since } => ("filing", Some(since)),
    };
    written(&IdentityBody {
        conformance: ["rdap_level_0"],
        class: "mingpai_prefix",
        handle: &identity.prefix,
        status: status(identity),
        entities: registrant.into_iter().chain(licensed).collect(),
        events: events(identity, since),
        links: [LinkBody { rel: "self", href: format!("/v1/identity/{}", identity.prefix), media_type: RDAP }],
        origin,
        standing: identity.closed.as_ref().map_or(PrefixStatus::Active, |closed| closed.status),
    })
}

fn status(identity: &Identity) -> Vec<&'static str> {
    match &identity.closed {
        None => vec!["active"],
        Some(closed) if closed.status == PrefixStatus::Revoked => vec!["inactive"],
        Some(closed) if closed.is_answered => vec!["server update prohibited"],
        Some(_) => vec!["server hold", "server update prohibited"],
    }
}

/// The words are those of RFC 9083, section 10.2.3.
fn events(identity: &Identity, since: Option<Timestamp>) -> Vec<EventBody> {
    let until = identity.standing.until.map(|until| Timestamp::from_seconds(until).unwrap_or(Timestamp::EPOCH));
    let closed = identity.closed.as_ref().and_then(|closed| match closed.status {
        PrefixStatus::Suspended => Some(("locked", closed.since)),
        PrefixStatus::Revoked => Some(("deletion", closed.since)),
        PrefixStatus::Expired | PrefixStatus::Active => None,
    });
    let all = [since.map(|date| ("registration", date)), closed, until.map(|date| ("expiration", date))];
    all.into_iter().flatten().map(|(action, date)| EventBody { action, date }).collect()
}
