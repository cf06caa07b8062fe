//! A value of a record, as Handle has it (index, type, data, ttl, permissions, references, timestamp), with typed data and a
//! visibility.
//!
//! Knows JSON, which is its interchange form, but neither the Handle wire format nor any template.

mod data;
mod fields;
mod plain;
mod reading;
mod writing;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use super::field::{Complaints, FieldError, Place, first_of};
use super::time::Timestamp;

pub use data::{Data, MAX_LIST_DEPTH, MAX_LIST_ITEMS};
#[cfg(test)]
pub(crate) use fields::MEMBERS;
pub(crate) use fields::{MAX_REFERENCES, MAX_TYPE_BYTES};
pub(in crate::model) use fields::{ValueFields, read_index};
pub(crate) use plain::Object;
pub(in crate::model) use plain::PlainValue;
#[cfg(test)]
pub(crate) use reading::FORMATS;
pub(crate) use reading::{MAX_DECIMAL_BYTES, MAX_UNIT_BYTES};
pub use writing::ValueWriter;

/// Seconds that a value without `ttl` may be kept by a resolver.
pub const DEFAULT_TTL_SECONDS: u32 = 86_400;
/// Two days: no application may be told to keep a value longer.
pub const MAX_TTL_SECONDS: u32 = 172_800;

/// One value. What is read through this module obeys: `index >= 1`, `ttl_seconds <= MAX_TTL_SECONDS`, `type` not empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    pub index: u32,
    pub r#type: String,
    pub data: Data,
    pub ttl_seconds: u32,
    pub permissions: Permissions,
    pub references: Vec<Reference>,
    pub timestamp: Timestamp,
    pub visibility: Visibility,
}

impl Value {
    /// A public value with every default.
    #[must_use]
    pub fn new(index: u32, r#type: impl Into<String>, data: Data, timestamp: Timestamp) -> Self {
        Self {
            index: index.max(1),
            r#type: r#type.into(),
            data,
            ttl_seconds: DEFAULT_TTL_SECONDS,
            permissions: Permissions::default(),
            references: Vec::new(),
            timestamp,
            visibility: Visibility::default(),
        }
    }

    /// Reads what [`Serialize`] wrote, the commonest form without a tree of JSON; a missing timestamp reads as 1970.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(json: &str) -> Result<Self, serde_json::Error> {
        let plain = serde_json::from_str(json).ok().and_then(|Object::<PlainValue<'_>>(plain)| {
            let mut complaints = Complaints::default();
            let value = plain.read(Timestamp::EPOCH, &mut complaints);
            complaints.or(value).ok()
        });
        plain.map_or_else(|| serde_json::from_str(json), Ok)
    }

    /// Reads one value; a missing timestamp is `now`.
    ///
    /// # Errors
    /// Every member that is wrong, missing or unknown.
    pub fn from_json(json: &Json, now: Timestamp) -> Result<Self, Vec<FieldError>> {
        let mut complaints = Complaints::default();
        let value = ValueFields::read(json, &Place::Root, &mut complaints)
            .and_then(|fields| fields.complete(now, &Place::Root, &mut complaints));
        complaints.or(value)
    }
}

/// Who may read a value. Wider comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Visibility {
    #[default]
    Public,
    SignedIn,
    Granted,
    Owner,
}

impl Visibility {
    pub const ALL: [Self; 4] = [Self::Public, Self::SignedIn, Self::Granted, Self::Owner];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignedIn => "signed-in",
            Self::Granted => "granted",
            Self::Owner => "owner",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|visibility| visibility.as_str() == word)
    }
}

/// Four bits of a Handle value: 8 administrator reads, 4 administrator writes, 2 public reads, 1 public writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Permissions(u8);

impl Permissions {
    pub const ADMIN_READ: u8 = 8;
    pub const ADMIN_WRITE: u8 = 4;
    pub const PUBLIC_READ: u8 = 2;
    pub const PUBLIC_WRITE: u8 = 1;

    /// The low four bits count.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0x0F)
    }

    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    #[must_use]
    pub fn allows_public_reading(self) -> bool {
        self.0 & Self::PUBLIC_READ != 0
    }

    /// `"1110"`, the highest bit first.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let is_bits = text.len() == 4 && text.bytes().all(|byte| matches!(byte, b'0' | b'1'));
        if is_bits { u8::from_str_radix(text, 2).ok().map(Self) } else { None }
    }
}

impl Default for Permissions {
    fn default() -> Self {
        Self(Self::ADMIN_READ | Self::ADMIN_WRITE | Self::PUBLIC_READ)
    }
}

impl std::fmt::Display for Permissions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04b}", self.0)
    }
}

/// Points at a value of another record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Reference {
    pub handle: String,
    pub index: u32,
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("index", &self.index)?;
        object.serialize_entry("type", &self.r#type)?;
        object.serialize_entry("data", &self.data)?;
        object.serialize_entry("ttl", &self.ttl_seconds)?;
        if self.permissions != Permissions::default() {
            object.serialize_entry("permissions", &format_args!("{}", self.permissions))?;
        }
        if !self.references.is_empty() {
            object.serialize_entry("references", &self.references)?;
        }
        object.serialize_entry("timestamp", &self.timestamp)?;
        if self.visibility != Visibility::Public {
            object.serialize_entry("visibility", self.visibility.as_str())?;
        }
        object.end()
    }
}

/// What [`Serialize`] wrote; a missing timestamp reads as 1970.
impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        Self::from_json(&json, Timestamp::EPOCH).map_err(|errors| de::Error::custom(first_of(&errors)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_reads_the_same_with_a_tree_and_without() {
        for data in [
            json!("六角头\"螺栓"),
            json!({"format": "string", "value": "a"}),
            json!({"format": "decimal", "value": "21.25", "unit": "g"}),
            json!({"format": "integer", "value": -7}),
            json!({"format": "boolean", "value": true}),
            json!({"format": "date", "value": "2026-11-23"}),
            json!({"format": "url", "value": "https://example.com/a"}),
            json!({"format": "identifier", "value": "88.999.1/sn-2"}),
            json!({"format": "list", "value": [{"format": "integer", "value": "1"}]}),
            json!({"format": "bytes", "value": "AAE="}),
            json!({"format": "site", "value": {"a": {"b": [15, null]}}}),
        ] {
            for (name, member) in [
                ("ttl", json!(60)),
                ("visibility", json!("owner")),
                ("permissions", json!("1100")),
                ("references", json!([{"handle": "88.999.1/A", "index": 3}])),
                ("timestamp", json!("2026-11-23T15:24:37Z")),
            ] {
                let text = json!({"index": 3, "type": "净重", "data": data, name: member}).to_string();
                let value = Value::read(&text).unwrap();
                assert_eq!(Value::from_json(&serde_json::from_str(&text).unwrap(), Timestamp::EPOCH).unwrap(), value);
                let written = serde_json::to_string(&value).unwrap();
                assert_eq!(Value::read(&written).unwrap(), value);
            }
        }
        for wrong in ["{}", "[]", "3", "{\"index\":0,\"type\":\"a\",\"data\":1}", "{\"index\":1,\"type\":\"a\"}"] {
            assert!(Value::read(wrong).is_err(), "{wrong}");
        }
    }
}
