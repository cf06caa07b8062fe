//! The data of a value: `{"format":…,"value":…}`, typed, exact and bounded.
//!
//! Numbers that are no 64-bit integers stay text: no float ever stands between what was sent and what is signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value as Json};

use super::{Reference, reading};
use crate::model::field::first_of;
use crate::model::field::{Complaints, FieldError, Place};
use crate::model::identifier::Identifier;

pub const MAX_LIST_DEPTH: usize = 8;
pub const MAX_LIST_ITEMS: usize = 1_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    String(String),
    Integer(i64),
    /// Text as sent: `12.50` is not `12.5`.
    Decimal {
        text: String,
        unit: Option<String>,
    },
    /// `2026-11-23`, or an RFC 3339 time.
    Date(String),
    Boolean(bool),
    Url(String),
    Identifier(Identifier),
    List(Vec<Data>),
    Bytes(Vec<u8>),
    /// HS_ADMIN: twelve permission bits.
    Admin {
        handle: String,
        index: u32,
        permissions: u16,
    },
    /// HS_VLIST.
    Vlist(Vec<Reference>),
    /// HS_SITE in the form of the Handle JSON API; whole numbers only.
    Site(Map<String, Json>),
    /// HS_PUBKEY as a JSON Web Key.
    Key(Map<String, Json>),
}

impl Data {
    #[must_use]
    pub fn format(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Integer(_) => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Date(_) => "date",
            Self::Boolean(_) => "boolean",
            Self::Url(_) => "url",
            Self::Identifier(_) => "identifier",
            Self::List(_) => "list",
            Self::Bytes(_) => "bytes",
            Self::Admin { .. } => "admin",
            Self::Vlist(_) => "vlist",
            Self::Site(_) => "site",
            Self::Key(_) => "key",
        }
    }

    /// What a limit on the size of a value counts: bytes of its content, roughly those of its JSON.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        match self {
            Self::String(text) | Self::Date(text) | Self::Url(text) => text_weight(text),
            Self::Integer(_) | Self::Boolean(_) => 8,
            Self::Decimal { text, unit } => text.len() + unit.as_ref().map_or(0, String::len),
            Self::Identifier(identifier) => identifier.spelling().len(),
            Self::List(items) => items.iter().map(|item| item.weight_bytes() + 32).sum(),
            Self::Bytes(bytes) => bytes.len().div_ceil(3) * 4,
            Self::Admin { handle, .. } => handle.len() + 32,
            Self::Vlist(references) => references.iter().map(|reference| reference.handle.len() + 32).sum(),
            Self::Site(object) | Self::Key(object) => {
                object.iter().map(|(name, json)| name.len() + weight_of(json) + 8).sum()
            }
        }
    }

    /// Bytes that the store's form has at least.
    #[must_use]
    pub(in crate::model) fn row_bytes_at_least(&self) -> usize {
        match self {
            Self::String(text) | Self::Date(text) | Self::Url(text) | Self::Decimal { text, .. } => text.len(),
            Self::Identifier(identifier) => identifier.spelling().len(),
            Self::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Reads the object form, or a bare string, number or boolean.
    ///
    /// # Errors
    /// Everything that is wrong in it.
    pub fn from_json(json: &Json) -> Result<Self, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let data = reading::read(json, &Place::Root, &mut complaints);
        complaints.or(data)
    }
}

/// JSON writes a control character in six bytes, a quote or backslash in two.
fn text_weight(text: &str) -> usize {
    let escapes = |byte: u8| match byte {
        0..=0x1F => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    text.bytes().map(escapes).sum()
}

fn weight_of(json: &Json) -> usize {
    match json {
        Json::String(text) => text_weight(text),
        Json::Array(items) => items.iter().map(|item| weight_of(item) + 2).sum(),
        Json::Object(object) => object.iter().map(|(name, item)| name.len() + weight_of(item) + 6).sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("format", self.format())?;
        match self {
            Self::String(text) | Self::Date(text) | Self::Url(text) => object.serialize_entry("value", text)?,
            Self::Integer(integer) => object.serialize_entry("value", integer)?,
            Self::Decimal { text, unit } => {
                object.serialize_entry("value", text)?;
                if let Some(unit) = unit {
                    object.serialize_entry("unit", unit)?;
                }
            }
            Self::Boolean(truth) => object.serialize_entry("value", truth)?,
            Self::Identifier(identifier) => object.serialize_entry("value", identifier)?,
            Self::List(items) => object.serialize_entry("value", items)?,
            Self::Bytes(bytes) => object.serialize_entry("value", &BASE64.encode(bytes))?,
            Self::Admin { handle, index, permissions } => {
                object.serialize_entry(
                    "value",
                    &AdminForm { handle, index: *index, permissions: format!("{permissions:012b}") },
                )?;
            }
            Self::Vlist(references) => object.serialize_entry("value", references)?,
            Self::Site(document) | Self::Key(document) => object.serialize_entry("value", document)?,
        }
        object.end()
    }
}

#[derive(Serialize)]
struct AdminForm<'a> {
    handle: &'a str,
    index: u32,
    permissions: String,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::from_json(&json).map_err(|errors| de::Error::custom(first_of(&errors)))
    }
}
