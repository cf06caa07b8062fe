//! A record as the store keeps it: compact JSON with one-letter names, numbers for times, defaults left out.
//!
//! Internal: its only reader is this file, so a change of form must go on reading the old one. Equal records give equal
//! bytes, on which the store's self-check relies; what is written reads back exactly, but for a policy that no key shows.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use thiserror::Error;

use super::{Record, Status};
use crate::model::alias::Alias;
use crate::model::identifier::{Identifier, IdentifierError};
use crate::model::link::{Link, Target};
use crate::model::time::{Timestamp, TimestampError};
use crate::model::value::{DEFAULT_TTL_SECONDS, Data, Permissions, Reference, Value, Visibility};

#[derive(Debug, Error)]
pub enum RowError {
    #[error("the row is not of the form that this program writes: {0}")]
    Form(#[from] serde_json::Error),
    #[error("the row names an identifier that breaks a rule: {0}")]
    Identifier(#[from] IdentifierError),
    #[error("the row holds {0}")]
    Time(#[from] TimestampError),
    #[error("the row breaks a rule of records: {0}")]
    Rule(&'static str),
}

type Words<'a> = Cow<'a, str>;

#[derive(Serialize, Deserialize)]
struct Row<'a> {
    /// The spelling, and whether its key keeps capitals of it. What is spelled without has one key either way, and its row
    /// says nothing of its prefix's policy, which may be another when the row is made anew.
    #[serde(rename = "i")]
    identifier: Words<'a>,
    #[serde(rename = "c", default, skip_serializing_if = "is_false")]
    case_sensitive: bool,
    #[serde(rename = "v")]
    version: u64,
    #[serde(rename = "s")]
    status: char,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    template: Option<Words<'a>>,
    #[serde(rename = "d", default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<ValueRow<'a>>,
    #[serde(rename = "l", default, skip_serializing_if = "Vec::is_empty")]
    links: Vec<LinkRow<'a>>,
    #[serde(rename = "a", default, skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<NameRow<'a>>,
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    registrant: Option<Words<'a>>,
    #[serde(rename = "r")]
    registered: i64,
    #[serde(rename = "u")]
    updated: i64,
}

/// A spelling, and whether its suffix tells cases apart.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum NameRow<'a> {
    Plain(Words<'a>),
    CaseSensitive(Words<'a>, bool),
}

#[derive(Serialize, Deserialize)]
struct ValueRow<'a> {
    #[serde(rename = "i")]
    index: u32,
    #[serde(rename = "t")]
    r#type: Words<'a>,
    #[serde(rename = "d")]
    data: DataRow<'a>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    ttl_seconds: Option<u32>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    permissions: Option<u8>,
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    references: Vec<(Words<'a>, u32)>,
    /// Left out when it is the record's own `updated`.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    visibility: Option<u8>,
}

#[derive(Serialize, Deserialize)]
enum DataRow<'a> {
    #[serde(rename = "s")]
    String(Words<'a>),
    #[serde(rename = "i")]
    Integer(i64),
    #[serde(rename = "n")]
    Decimal(Words<'a>, Option<Words<'a>>),
    #[serde(rename = "d")]
    Date(Words<'a>),
    #[serde(rename = "b")]
    Boolean(bool),
    #[serde(rename = "u")]
    Url(Words<'a>),
    #[serde(rename = "k")]
    Identifier(NameRow<'a>),
    #[serde(rename = "l")]
    List(Vec<DataRow<'a>>),
    #[serde(rename = "x")]
    Bytes(String),
    #[serde(rename = "A")]
    Admin(Words<'a>, u32, u16),
    #[serde(rename = "V")]
    Vlist(Vec<(Words<'a>, u32)>),
    #[serde(rename = "S")]
    Site(Cow<'a, Map<String, Json>>),
    #[serde(rename = "K")]
    Key(Cow<'a, Map<String, Json>>),
}

#[derive(Serialize, Deserialize)]
struct LinkRow<'a> {
    #[serde(rename = "r")]
    rel: Words<'a>,
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    href: Option<Words<'a>>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    identifier: Option<NameRow<'a>>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    title: Option<Words<'a>>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    media_type: Option<Words<'a>>,
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    hreflang: Vec<Words<'a>>,
}

pub(super) fn write(record: &Record) -> Vec<u8> {
    let row = Row {
        identifier: record.identifier.spelling().into(),
        case_sensitive: keeps_capitals(&record.identifier),
        version: record.version,
        status: record.status.letter(),
        template: record.template.as_deref().map(Cow::Borrowed),
        values: record.values.iter().map(|value| value_row(value, record.updated)).collect(),
        links: record.links.iter().map(link_row).collect(),
        aliases: record.aliases.iter().map(|alias| name_row(alias.identifier())).collect(),
        registrant: record.registrant.as_deref().map(Cow::Borrowed),
        registered: record.registered.as_seconds(),
        updated: record.updated.as_seconds(),
    };
    // Every map key is text and nothing else here can fail to serialise; an empty row would be refused on reading.
    serde_json::to_vec(&row).unwrap_or_default()
}

fn keeps_capitals(identifier: &Identifier) -> bool {
    identifier.is_case_sensitive() && identifier.key().as_bytes().iter().any(u8::is_ascii_uppercase)
}

fn value_row(value: &Value, updated: Timestamp) -> ValueRow<'_> {
    ValueRow {
        index: value.index,
        r#type: value.r#type.as_str().into(),
        data: data_row(&value.data),
        ttl_seconds: (value.ttl_seconds != DEFAULT_TTL_SECONDS).then_some(value.ttl_seconds),
        permissions: (value.permissions != Permissions::default()).then_some(value.permissions.bits()),
        references: value.references.iter().map(reference_row).collect(),
        timestamp: (value.timestamp != updated).then_some(value.timestamp.as_seconds()),
        visibility: visibility_row(value.visibility),
    }
}

fn data_row(data: &Data) -> DataRow<'_> {
    match data {
        Data::String(text) => DataRow::String(text.into()),
        Data::Integer(integer) => DataRow::Integer(*integer),
        Data::Decimal { text, unit } => DataRow::Decimal(text.into(), unit.as_deref().map(Cow::Borrowed)),
        Data::Date(text) => DataRow::Date(text.into()),
        Data::Boolean(truth) => DataRow::Boolean(*truth),
        Data::Url(text) => DataRow::Url(text.into()),
        Data::Identifier(identifier) => DataRow::Identifier(name_row(identifier)),
        Data::List(items) => DataRow::List(items.iter().map(data_row).collect()),
        Data::Bytes(bytes) => DataRow::Bytes(BASE64.encode(bytes)),
        Data::Admin { handle, index, permissions } => DataRow::Admin(handle.into(), *index, *permissions),
        Data::Vlist(references) => DataRow::Vlist(references.iter().map(reference_row).collect()),
        Data::Site(document) => DataRow::Site(Cow::Borrowed(document)),
        Data::Key(document) => DataRow::Key(Cow::Borrowed(document)),
    }
}

fn reference_row(reference: &Reference) -> (Words<'_>, u32) {
    (reference.handle.as_str().into(), reference.index)
}

fn name_row(identifier: &Identifier) -> NameRow<'_> {
    let spelling = Cow::Borrowed(identifier.spelling());
    if identifier.is_case_sensitive() { NameRow::CaseSensitive(spelling, true) } else { NameRow::Plain(spelling) }
}

fn link_row(link: &Link) -> LinkRow<'_> {
    let (href, identifier) = match &link.target {
        Target::Href(href) => (Some(Cow::Borrowed(href.as_str())), None),
        Target::Identifier(identifier) => (None, Some(name_row(identifier))),
    };
    LinkRow {
        rel: link.rel.as_str().into(),
        href,
        identifier,
        title: link.title.as_deref().map(Cow::Borrowed),
        media_type: link.media_type.as_deref().map(Cow::Borrowed),
        hreflang: link.hreflang.iter().map(|language| Cow::Borrowed(language.as_str())).collect(),
    }
}

fn visibility_row(visibility: Visibility) -> Option<u8> {
    match visibility {
        Visibility::Public => None,
        Visibility::SignedIn => Some(1),
        Visibility::Granted => Some(2),
        Visibility::Owner => Some(3),
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Record, RowError> {
    let row: Row<'_> = serde_json::from_slice(bytes)?;
    let updated = Timestamp::from_seconds(row.updated)?;
    let values = row.values.into_iter().map(|value| read_value(value, updated)).collect::<Result<Vec<_>, _>>()?;
    if !values.is_sorted_by(|one, next| one.index < next.index) {
        return Err(RowError::Rule("values are sorted by index, each index once"));
    }
    if row.version == 0 {
        return Err(RowError::Rule("versions begin at 1"));
    }
    let identifier = Identifier::parse(&row.identifier)?;
    Ok(Record {
        identifier: if row.case_sensitive { identifier.with_case_sensitive_suffix() } else { identifier },
        version: row.version,
        status: Status::from_letter(row.status).ok_or(RowError::Rule("a known status"))?,
        template: row.template.map(Cow::into_owned),
        values,
        links: row.links.into_iter().map(read_link).collect::<Result<_, _>>()?,
        aliases: row.aliases.into_iter().map(|name| read_name(name).map(Alias::of)).collect::<Result<_, _>>()?,
        registrant: row.registrant.map(Cow::into_owned),
        registered: Timestamp::from_seconds(row.registered)?,
        updated,
    })
}

fn read_value(row: ValueRow<'_>, updated: Timestamp) -> Result<Value, RowError> {
    if row.index == 0 {
        return Err(RowError::Rule("indexes begin at 1"));
    }
    Ok(Value {
        index: row.index,
        r#type: row.r#type.into_owned(),
        data: read_data(row.data)?,
        ttl_seconds: row.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS),
        permissions: row.permissions.map_or_else(Permissions::default, Permissions::from_bits),
        references: read_references(row.references),
        timestamp: row.timestamp.map_or(Ok(updated), Timestamp::from_seconds)?,
        visibility: match row.visibility {
            None => Visibility::Public,
            Some(1) => Visibility::SignedIn,
            Some(2) => Visibility::Granted,
            // The narrowest is the safe reading of what an unknown number may have meant.
            Some(_) => Visibility::Owner,
        },
    })
}

fn read_data(row: DataRow<'_>) -> Result<Data, RowError> {
    Ok(match row {
        DataRow::String(text) => Data::String(text.into_owned()),
        DataRow::Integer(integer) => Data::Integer(integer),
        DataRow::Decimal(text, unit) => Data::Decimal { text: text.into_owned(), unit: unit.map(Cow::into_owned) },
        DataRow::Date(text) => Data::Date(text.into_owned()),
        DataRow::Boolean(truth) => Data::Boolean(truth),
        DataRow::Url(text) => Data::Url(text.into_owned()),
        DataRow::Identifier(name) => Data::Identifier(read_name(name)?),
        DataRow::List(items) => Data::List(items.into_iter().map(read_data).collect::<Result<_, _>>()?),
        DataRow::Bytes(text) => Data::Bytes(BASE64.decode(text).map_err(|_| RowError::Rule("bytes are base64"))?),
        DataRow::Admin(handle, index, permissions) => Data::Admin { handle: handle.into_owned(), index, permissions },
        DataRow::Vlist(references) => Data::Vlist(read_references(references)),
        DataRow::Site(document) => Data::Site(document.into_owned()),
        DataRow::Key(document) => Data::Key(document.into_owned()),
    })
}

fn read_references(rows: Vec<(Words<'_>, u32)>) -> Vec<Reference> {
    rows.into_iter().map(|(handle, index)| Reference { handle: handle.into_owned(), index }).collect()
}

fn read_name(row: NameRow<'_>) -> Result<Identifier, RowError> {
    Ok(match row {
        NameRow::Plain(spelling) => Identifier::parse(&spelling)?,
        NameRow::CaseSensitive(spelling, _) => Identifier::parse(&spelling)?.with_case_sensitive_suffix(),
    })
}

fn read_link(row: LinkRow<'_>) -> Result<Link, RowError> {
    let target = match (row.href, row.identifier) {
        (Some(href), None) => Target::Href(href.into_owned()),
        (None, Some(name)) => Target::Identifier(read_name(name)?),
        _ => return Err(RowError::Rule("a link has one target")),
    };
    Ok(Link {
        rel: row.rel.into_owned(),
        target,
        title: row.title.map(Cow::into_owned),
        media_type: row.media_type.map(Cow::into_owned),
        hreflang: row.hreflang.into_iter().map(Cow::into_owned).collect(),
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands the field by reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}
