//! The JSON of who stands behind a prefix: shaped as RDAP is (RFC 9083), with names as jCards (RFC 7095).

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::answers::json as written;
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
    status: [&'static str; 1],
    /// Registrants and holders of licences; of persons nothing is said · 登记者与许可持有者
    entities: Vec<EntityBody>,
    events: Vec<EventBody>,
    links: [LinkBody; 1],
    /// `configuration` or `filing`: how the prefix came to be served here · 由配置还是备案分配
    #[serde(rename = "mingpai_origin")]
    origin: &'static str,
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
        status: ["active"],
        entities: registrant.into_iter().chain(licensed).collect(),
        events: since.map(|date| EventBody { action: "registration", date }).into_iter().collect(),
        links: [LinkBody { rel: "self", href: format!("/v1/identity/{}", identity.prefix), media_type: RDAP }],
        origin,
    })
}
