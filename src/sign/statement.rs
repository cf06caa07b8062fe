//! The other signed statements: which key may sign from where on, who was given an API key, what is erased.
//!
//! The first keys statement is the genesis of the log: registry index 0, signed by the key that it authorises. A later one
//! is signed by the key in force, and its key signs everything after it. So validity is a range of registry indexes, not of
//! times, and a rotation leaves every older entry valid.

use serde::{Deserialize, Serialize};

use super::filing::FilingEvent;
use super::jws::{self, AUDIT_TYPE, ERASURE_TYPE, KEYS_TYPE, ORIGIN_TYPE};
use super::keys::{PublicJwk, SigningKey};
use super::licence;
use super::sharing::GrantEvent;
use super::standing::PrefixEvent;
use crate::model::erasure::Ground;
use crate::model::time::Timestamp;
use crate::store::StatementProposal;
use crate::store::backup::{Naming, ReadLog};
use crate::store::engine::{Table, Write};
use crate::store::journal::FrameKind;

/// Authorises an entry key for everything after this statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeysStatement {
    pub iat: i64,
    pub iss: String,
    pub key: PublicJwk,
}

/// The log takes another name from here on: it was restored, and its lost original may have gone further. What stands before
/// it the two logs have in common, and nothing after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginStatement {
    pub iat: i64,
    pub iss: String,
    pub origin: String,
    /// The head that the two have in common: name, leaves of the registry tree, its root in base64.
    pub before: String,
    pub size: u64,
    pub root: String,
}

/// A name of the log, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub origin: String,
    /// The registry index of the statement that took it.
    pub from: u64,
    pub issued: i64,
}

/// An authorised entry key, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    pub key: PublicJwk,
    /// The registry index of the statement that authorises it. It may sign what comes after (and the genesis itself).
    pub from: u64,
    pub issued: i64,
    /// The statement itself, to be shown to verifiers. Rows of programs before licences lack it; a rebuild adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// The last index for which its signatures count, where its end was said. It has a row of its own.
    #[serde(skip)]
    pub not_after: Option<u64>,
}

/// An API key, as its row has it: the secret only as a hash, or none and a public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: String,
    /// SHA-256 of the secret part, base64url; empty where there is none. The secret has 256 random bits, so a fast hash is enough.
    pub hash: String,
    /// Whose signature begins sessions, in place of a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<PublicJwk>,
    pub role: String,
    /// Of an enterprise's role: where it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// By whom: `key:ID`. Keys of before roles do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maker: Option<String>,
    pub label: String,
    pub created: i64,
    /// Epoch seconds; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
}

/// Who did what: a leaf of the audit tree.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditStatement {
    pub iat: i64,
    pub iss: String,
    pub principal: String,
    #[serde(flatten)]
    pub event: AuditEvent,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum AuditEvent {
    #[serde(rename = "key.created")]
    KeyCreated { key: ApiKey },
    #[serde(rename = "key.revoked")]
    KeyRevoked { id: String },
    /// Somebody signed in: the id of the session, not its token.
    #[serde(rename = "session.opened")]
    SessionOpened { session: String, key: String, expires: i64 },
    /// Somebody signed out.
    #[serde(rename = "session.closed")]
    SessionClosed { session: String, key: String },
    /// What was refused to whom, summed up ([`Denial`]).
    #[serde(rename = "access.denied")]
    AccessDenied { since: i64, until: i64, denials: Vec<Denial> },
    /// The bootstrap token was exchanged for a key, which works once.
    #[serde(rename = "bootstrap.used")]
    BootstrapUsed { token: String, key: ApiKey },
    /// A restored log goes on under its own name, from so many frames and this head.
    #[serde(rename = "log.continued")]
    LogContinued {
        sequence: u64,
        size: u64,
        root: String,
        /// By whose word: the operator's, or that of a head from elsewhere, which is here in full.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<String>,
    },
    /// What all versions of a record said is erased, by this order.
    #[serde(rename = "erasure.ordered")]
    ErasureOrdered { sid: String, ground: Ground, versions: u64 },
    /// A step of a filing.
    #[serde(untagged)]
    Filing(FilingEvent),
    /// A grant, and its use.
    #[serde(untagged)]
    Grant(GrantEvent),
    /// A step about a prefix.
    #[serde(untagged)]
    Prefix(PrefixEvent),
}

/// How often one kind of thing was refused to one caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// `key:ID`: a key that there is, whether it was shown with its secret or not. `anonymous`: nothing was shown, or nothing
    /// that names a key. `others`: callers beyond those that are told apart.
    pub principal: String,
    /// The code of the problem that was answered.
    pub code: String,
    pub count: u64,
}

/// Says that the disclosures of one version are erased.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErasureStatement {
    pub iat: i64,
    pub iss: String,
    pub sid: String,
    /// The leaf hash of the version, base64url.
    pub leaf: String,
    /// Whether the version is the newest: then the identifier is gone for ever.
    pub last: bool,
}

/// Signs a statement for the journal.
pub fn propose<T: Serialize>(
    key: &SigningKey,
    kind: FrameKind,
    statement: &T,
    now: Timestamp,
    principal: &str,
) -> Result<StatementProposal, serde_json::Error> {
    let typ = match kind {
        FrameKind::Audit => AUDIT_TYPE,
        FrameKind::Erasure => ERASURE_TYPE,
        _ => KEYS_TYPE,
    };
    propose_typed(key, kind, typ, statement, now, principal)
}

/// Signs the statement by which a restored log takes another name.
pub fn propose_origin(
    key: &SigningKey,
    statement: &OriginStatement,
    now: Timestamp,
) -> Result<StatementProposal, serde_json::Error> {
    propose_typed(key, FrameKind::Statement, ORIGIN_TYPE, statement, now, "node")
}

pub(super) fn propose_typed<T: Serialize>(
    key: &SigningKey,
    kind: FrameKind,
    typ: &str,
    statement: &T,
    now: Timestamp,
    principal: &str,
) -> Result<StatementProposal, serde_json::Error> {
    let statement = jws::sign(key, typ, &serde_json::to_vec(statement)?).into_bytes();
    let (disclosures, time) = (Vec::new(), now.as_seconds());
    Ok(StatementProposal { kind, statement, disclosures, time, principal: principal.to_owned() })
}

/// The rows that a statement asks for.
pub(super) fn rows(kind: FrameKind, statement: &[u8], index: u64) -> Result<Vec<Write>, String> {
    if matches!(kind, FrameKind::Entry | FrameKind::Withheld | FrameKind::CheckpointHead | FrameKind::Seal) {
        return Ok(Vec::new());
    }
    let payload = jws::payload_of(statement)?;
    let wrong = |error: serde_json::Error| error.to_string();
    if kind == FrameKind::Statement
        && let Some(rows) = licence::rows(&jws::type_of(statement)?, &payload, statement, index)?
    {
        return Ok(rows);
    }
    Ok(match kind {
        FrameKind::Statement if jws::type_of(statement)? == ORIGIN_TYPE => {
            let OriginStatement { origin, iat, .. } = serde_json::from_slice(&payload).map_err(wrong)?;
            let row = Origin { origin: origin.clone(), from: index, issued: iat };
            vec![put(Table::Origin, origin, &row)?]
        }
        FrameKind::Statement => {
            let keys: KeysStatement = serde_json::from_slice(&payload).map_err(wrong)?;
            let kid = keys.key.kid.clone();
            let statement = String::from_utf8(statement.to_vec()).map_err(|_| "not text".to_owned())?;
            let row =
                Authority { key: keys.key, from: index, issued: keys.iat, statement: Some(statement), not_after: None };
            vec![put(Table::Authority, kid, &row)?]
        }
        FrameKind::Audit => {
            let audit: AuditStatement = serde_json::from_slice(&payload).map_err(wrong)?;
            match audit.event {
                AuditEvent::KeyCreated { key } => vec![put(Table::Key, key.id.clone(), &key)?],
                AuditEvent::KeyRevoked { id } => vec![put(Table::Revoked, id, &audit.iat)?],
                AuditEvent::BootstrapUsed { token, key } => {
                    vec![put(Table::Revoked, token, &audit.iat)?, put(Table::Key, key.id.clone(), &key)?]
                }
                AuditEvent::Filing(event) => event.rows(&audit.principal, audit.iat, index)?,
                AuditEvent::Grant(event) => event.rows(audit.iat, index)?,
                AuditEvent::Prefix(event) => event.rows(&audit.principal, audit.iat, index)?,
                AuditEvent::SessionOpened { .. }
                | AuditEvent::SessionClosed { .. }
                | AuditEvent::AccessDenied { .. }
                | AuditEvent::ErasureOrdered { .. }
                | AuditEvent::LogContinued { .. } => Vec::new(),
            }
        }
        FrameKind::Erasure => {
            let erasure: ErasureStatement = serde_json::from_slice(&payload).map_err(wrong)?;
            let sid = super::decode_sid(&erasure.sid).ok_or("the sid is not 32 bytes in base64url")?;
            if erasure.last {
                vec![Write { table: Table::Erased, key: sid.to_vec(), value: Some(erasure.iat.to_le_bytes().to_vec()) }]
            } else {
                Vec::new()
            }
        }
        FrameKind::Entry | FrameKind::Withheld | FrameKind::CheckpointHead | FrameKind::Seal => Vec::new(),
    })
}

/// What a backup asks of signed statements. Needs no configuration: names and revocations do not depend on it.
pub struct LogReader;

impl ReadLog for LogReader {
    fn naming(&self, statement: &[u8]) -> Option<Naming> {
        let payload = jws::payload_of(statement).ok()?;
        match jws::type_of(statement).ok()?.as_str() {
            ORIGIN_TYPE => serde_json::from_slice::<OriginStatement>(&payload)
                .ok()
                .map(|statement| Naming::Origin(statement.origin)),
            KEYS_TYPE => {
                serde_json::from_slice::<KeysStatement>(&payload).ok().map(|statement| Naming::Issuer(statement.iss))
            }
            _ => None,
        }
    }

    fn takes_away(&self, kind: FrameKind, statement: &[u8]) -> bool {
        match kind {
            FrameKind::Erasure => true,
            FrameKind::Audit => rows(kind, statement, 0)
                .is_ok_and(|rows| !rows.is_empty() && rows.iter().all(|row| row.table == Table::Revoked)),
            _ => false,
        }
    }
}

pub(super) fn put<T: Serialize>(table: Table, key: impl Into<Vec<u8>>, value: &T) -> Result<Write, String> {
    let value = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    Ok(Write { table, key: key.into(), value: Some(value) })
}
