//! A value as most rows of a file say it ([`crate::model::draft::PlainRow`]): its data is one text, whole number or boolean.

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    String,
    Integer,
    Decimal,
    Date,
    Boolean,
    Url,
    Identifier,
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
struct ScalarVisitor;
struct FormatVisitor;

impl<'de: 'a, 'a> Deserialize<'de> for PlainData<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DataVisitor)
    }
}

impl<'de> Visitor<'de> for DataVisitor {
    type Value = PlainData<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data in a plain form")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<PlainData<'de>, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "lowercase")]
        enum Member {
            Format,
            Value,
            Unit,
        }
        let (mut format, mut value, mut unit) = (None, None, None);
        while let Some(member) = members.next_key()? {
            let is_again = match member {
                Member::Format => format.replace(members.next_value()?).is_some(),
                Member::Value => value.replace(members.next_value()?).is_some(),
                Member::Unit => unit.replace(members.next_value()?).is_some(),
            };
            if is_again {
                return Err(A::Error::custom("a member occurs twice"));
            }
        }
        let (Some(format), Some(value)) = (format, value) else {
            return Err(A::Error::custom("a member is missing"));
        };
        Ok(PlainData { format: Some(format), value, unit })
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<PlainData<'de>, E> {
        ScalarVisitor.visit_bool(truth).map(bare)
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<PlainData<'de>, E> {
        ScalarVisitor.visit_i64(integer).map(bare)
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<PlainData<'de>, E> {
        ScalarVisitor.visit_u64(integer).map(bare)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PlainData<'de>, E> {
        ScalarVisitor.visit_str(text).map(bare)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<PlainData<'de>, E> {
        ScalarVisitor.visit_borrowed_str(text).map(bare)
    }
}

fn bare(value: Scalar<'_>) -> PlainData<'_> {
    PlainData { format: None, value, unit: None }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number or a boolean")
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Boolean(truth))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Integer(integer))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Scalar<'de>, E> {
        i64::try_from(integer).map(Scalar::Integer).map_err(E::custom)
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }
}

/// From its word alone: a derived enum would take `{"string":null}` too.
impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(FormatVisitor)
    }
}

impl Visitor<'_> for FormatVisitor {
    type Value = Format;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a format of one scalar")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Format, E> {
        Ok(match word {
            "string" => Format::String,
            "integer" => Format::Integer,
            "decimal" => Format::Decimal,
            "date" => Format::Date,
            "boolean" => Format::Boolean,
            "url" => Format::Url,
            "identifier" => Format::Identifier,
            other => return Err(E::unknown_variant(other, &[])),
        })
    }
}
