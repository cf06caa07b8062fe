//! An alias: another name of a record, in a scheme of its own; unique in the node, which the sequencer checks.
//!
//! Not a link: an alias resolves to this record itself.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use super::field::{Complaints, Place, first_of};
use super::identifier::{CanonicalKey, Identifier, IdentifierError, MAX_IDENTIFIER_BYTES};
use super::scheme::Scheme;

/// JSON: `{"scheme":"gs1","identifier":"01/09506000134352"}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Alias {
    identifier: Identifier,
}

impl Alias {
    /// `text` in any input form of `scheme`; the scheme's tag may be left out.
    ///
    /// # Errors
    /// The rule of the scheme that it breaks.
    pub fn new(scheme: Scheme, text: &str) -> Result<Self, IdentifierError> {
        Identifier::parse_as(scheme, text).map(Self::of)
    }

    #[must_use]
    pub fn of(identifier: Identifier) -> Self {
        Self { identifier }
    }

    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.identifier.scheme()
    }

    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    #[must_use]
    pub fn spelling(&self) -> &str {
        self.identifier.spelling()
    }

    #[must_use]
    pub fn key(&self) -> &CanonicalKey {
        self.identifier.key()
    }

    pub(in crate::model) fn read(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Self> {
        let object = complaints.object(json, place)?;
        complaints.refuse_others(object, &["scheme", "identifier"], place);
        let word = complaints.required_line(object, "scheme", place, 16);
        let text = complaints.required_line(object, "identifier", place, MAX_IDENTIFIER_BYTES);
        let scheme = word.as_deref().map(Scheme::from_word);
        if scheme == Some(None) {
            complaints.unknown_word(&Place::Member(place, "scheme"), &Scheme::ALL.map(Scheme::as_str).join(", "));
        }
        match Self::new(scheme??, &text?) {
            Ok(alias) => Some(alias),
            Err(error) => {
                complaints.add(&Place::Member(place, "identifier"), error.code(), error.text());
                None
            }
        }
    }
}

impl Serialize for Alias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Alias", 2)?;
        object.serialize_field("scheme", self.scheme().as_str())?;
        object.serialize_field("identifier", self.spelling())?;
        object.end()
    }
}

/// What [`Serialize`] wrote.
impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let mut complaints = Complaints::default();
        let alias = Self::read(&json, &Place::Root, &mut complaints);
        complaints.or(alias).map_err(|errors| de::Error::custom(first_of(&errors)))
    }
}
