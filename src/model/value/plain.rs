//! A value as most requests and rows of a file say it ([`crate::model::draft::PlainDraft`]): its data is one text, whole number or boolean.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{DEFAULT_TTL_SECONDS, MAX_TTL_SECONDS, MAX_TYPE_BYTES, Permissions, Value, Visibility, reading};
use crate::model::field::{Complaints, Place};
use crate::model::time::Timestamp;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::model) struct PlainValue<'a> {
    index: u32,
    #[serde(borrow, rename = "type")]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    data: PlainData<'a>,
    ttl: Option<u32>,
    visibility: Option<Cow<'a, str>>,
    timestamp: Option<Cow<'a, str>>,
}

/// What is written as an object. A derived reader would take an array of the members in their order too.
#[derive(Debug)]
pub(crate) struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Object)
    }
}

/// Data in the object form, or bare.
#[derive(Debug)]
pub(super) struct PlainData<'a> {
    pub format: Option<Format>,
    pub value: Scalar<'a>,
    pub unit: Option<String>,
}

/// The object form.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Formatted<'a> {
    format: Format,
    #[serde(borrow)]
    value: Scalar<'a>,
    /// Where it is there it is text: beside most formats even a null is one member too many.
    #[serde(default, deserialize_with = "present")]
    unit: Option<String>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// Read from its word alone: a derived enum would take `{"string":null}` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "&str")]
pub(super) enum Format {
    String,
    Integer,
    Decimal,
    Date,
    Boolean,
    Url,
    Identifier,
}

impl TryFrom<&str> for Format {
    type Error = &'static str;

    fn try_from(word: &str) -> Result<Format, &'static str> {
        Ok(match word {
            "string" => Format::String,
            "integer" => Format::Integer,
            "decimal" => Format::Decimal,
            "date" => Format::Date,
            "boolean" => Format::Boolean,
            "url" => Format::Url,
            "identifier" => Format::Identifier,
            _ => return Err("no format of one scalar"),
        })
    }
}

#[derive(Debug)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Integer(i64),
    Boolean(bool),
}

impl PlainValue<'_> {
    /// The value; `None`, or a complaint, where anything in it breaks a rule.
    pub(in crate::model) fn read(self, now: Timestamp, complaints: &mut Complaints) -> Option<Value> {
        complaints.line_text(&self.r#type, &Place::Root, MAX_TYPE_BYTES)?;
        let ttl_seconds = self.ttl.unwrap_or(DEFAULT_TTL_SECONDS);
        if self.index == 0 || ttl_seconds > MAX_TTL_SECONDS {
            return None;
        }
        Some(Value {
            index: self.index,
            data: reading::read_plain(self.data, complaints)?,
            r#type: self.r#type.into_owned(),
            ttl_seconds,
            permissions: Permissions::default(),
            references: Vec::new(),
            timestamp: match self.timestamp {
                None => now,
                Some(text) => Timestamp::parse(&text).ok()?,
            },
            visibility: match self.visibility {
                None => Visibility::default(),
                Some(word) => Visibility::from_word(&word)?,
            },
        })
    }
}

struct DataVisitor;

impl<'de: 'a, 'a> Deserialize<'de> for PlainData<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PlainData::deserialize(deserializer)? {
            PlainData { format: None, value, .. } => Ok(value),
            PlainData { format: Some(_), .. } => Err(D::Error::custom("an object is no scalar")),
        }
    }
}

impl<'de> Visitor<'de> for DataVisitor {
    type Value = PlainData<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number, a boolean, or one with its format")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<PlainData<'de>, A::Error> {
        let Formatted { format, value, unit } = Formatted::deserialize(MapAccessDeserializer::new(members))?;
        Ok(PlainData { format: Some(format), value, unit })
    }

    fn visit_bool<E>(self, truth: bool) -> Result<PlainData<'de>, E> {
        Ok(bare(Scalar::Boolean(truth)))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<PlainData<'de>, E> {
        Ok(bare(Scalar::Integer(integer)))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<PlainData<'de>, E> {
        i64::try_from(integer).map(|integer| bare(Scalar::Integer(integer))).map_err(E::custom)
    }

    fn visit_str<E>(self, text: &str) -> Result<PlainData<'de>, E> {
        Ok(bare(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<PlainData<'de>, E> {
        Ok(bare(Scalar::Text(Cow::Borrowed(text))))
    }
}

fn bare(value: Scalar<'_>) -> PlainData<'_> {
    PlainData { format: None, value, unit: None }
}
