//! The JSON of statements about licences and keys: what they say, for people, and the statement itself, for verifiers.

use schemars::JsonSchema;
use serde::Serialize;

use super::answers::json;
use super::cursor;
use crate::model::time::Timestamp;
use crate::services::licence::{About, Stated, StatementPage};
use crate::sign::licence::{EndReason, LicenceRole, OwnerSignature};

/// What a statement is about.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StatementKind {
    Licence,
    End,
    Key,
    KeyEnd,
}

/// A statement of the log about a prefix, or about an entry key of the node · 日志中关于前缀或签名密钥的一条声明
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LicenceStatement")]
pub(super) struct StatementBody<'a> {
    /// Its registry index.
    index: u64,
    /// Its leaf hash, by which others name it.
    id: &'a str,
    kind: StatementKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<&'a str>,
    /// Its number among those about the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<LicenceRole>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a str>,
    /// The key that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_signature: Option<OwnerSignature>,
    /// Of a licence: whether it has not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_force: Option<bool>,
    /// Of an end: the licence that it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    licence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<EndReason>,
    /// The last registry index for which the licence or the key counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued: Option<Timestamp>,
    /// The compact JWS: the leaf, byte for byte.
    statement: &'a str,
}

/// Statements in the order of the log, or of prefix and number · 声明
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "LicenceStatements")]
pub(super) struct StatementsBody<'a> {
    statements: Vec<StatementBody<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

impl<'a> StatementBody<'a> {
    fn of(stated: &'a Stated) -> StatementBody<'a> {
        let time = |seconds| Some(Timestamp::from_seconds(seconds).unwrap_or(Timestamp::EPOCH));
        let bare = |kind| StatementBody {
            index: stated.index,
            id: &stated.id,
            kind,
            prefix: None,
            seq: None,
            role: None,
            holder: None,
            kid: None,
            owner_signature: None,
            in_force: None,
            licence: None,
            reason: None,
            not_after: None,
            issued: None,
            statement: &stated.statement,
        };
        match &stated.about {
            About::Licence(licence) => {
                let said = &licence.statement;
                let is_enterprise = said.role == LicenceRole::Enterprise;
                StatementBody {
                    prefix: Some(&said.prefix),
                    seq: Some(said.seq),
                    role: Some(said.role),
                    holder: Some(&said.holder),
                    kid: said.holder_key.as_ref().map(|key| key.kid.as_str()),
                    owner_signature: is_enterprise.then_some(said.owner_signature),
                    in_force: Some(licence.ended.is_none()),
                    reason: licence.ended.map(|ended| ended.reason),
                    not_after: licence.ended.map(|ended| ended.not_after),
                    issued: time(said.iat),
                    ..bare(StatementKind::Licence)
                }
            }
            About::End(end) => StatementBody {
                prefix: Some(&end.prefix),
                seq: Some(end.seq),
                licence: Some(&end.licence),
                reason: Some(end.reason),
                not_after: Some(end.not_after.unwrap_or(stated.index)),
                issued: time(end.iat),
                ..bare(StatementKind::End)
            },
            About::Key(authority) => StatementBody {
                kid: Some(&authority.key.kid),
                not_after: authority.not_after,
                issued: time(authority.issued),
                ..bare(StatementKind::Key)
            },
            About::KeyEnd { kid, not_after } => {
                StatementBody { kid: Some(kid), not_after: Some(*not_after), ..bare(StatementKind::KeyEnd) }
            }
        }
    }
}

/// One statement.
#[must_use]
pub fn statement(stated: &Stated) -> Vec<u8> {
    json(&StatementBody::of(stated))
}

/// A page of statements.
#[must_use]
pub fn statements(page: &StatementPage) -> Vec<u8> {
    json(&StatementsBody {
        statements: page.statements.iter().map(StatementBody::of).collect(),
        next_cursor: page.next.as_ref().map(|(prefix, seq)| cursor::of_licence(prefix, *seq)),
    })
}
