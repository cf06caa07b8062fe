//! An alias: another name of a record, in a scheme of its own; unique in the node, which the sequencer checks.
//!
//! Not a link: an alias resolves to this record itself.
//!
//! Below a prefix that tells cases apart its key keeps the case of the suffix, and its JSON says `"case":"sensitive"`. So the
//! key follows from what was signed, whatever the prefix's policy has become since; without the member the key is in lower
//! case.

use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use super::field::{Complaints, Place, first_of};
use super::identifier::{CanonicalKey, Identifier, IdentifierError, MAX_IDENTIFIER_BYTES};
use super::prefix::Prefixes;
use super::scheme::Scheme;

/// The word of a name whose key keeps the case of its suffix.
const SENSITIVE: &str = "sensitive";

/// JSON: `{"scheme":"gs1","identifier":"01/09506000134352"}`, with `"case":"sensitive"` where cases tell names apart.
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

    /// As somebody asks for it: how it compares is its prefix's affair, whatever the JSON says.
    pub(in crate::model) fn read(
        json: &Json,
        prefixes: &Prefixes,
        place: &Place<'_>,
        complaints: &mut Complaints,
    ) -> Option<Self> {
        let (alias, _) = Self::parts(json, place, complaints)?;
        Some(Self::of(prefixes.keyed(alias.identifier)))
    }

    /// The name, and whether its JSON says that cases tell it apart.
    fn parts(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<(Self, bool)> {
        let object = complaints.object(json, place)?;
        complaints.refuse_others(object, &["scheme", "identifier", "case"], place);
        let case = complaints.optional_line(object, "case", place, 16);
        if case.as_deref().is_some_and(|word| word != SENSITIVE) {
            complaints.unknown_word(&Place::Member(place, "case"), SENSITIVE);
        }
        let word = complaints.required_line(object, "scheme", place, 16);
        let text = complaints.required_line(object, "identifier", place, MAX_IDENTIFIER_BYTES);
        let scheme = word.as_deref().map(Scheme::from_word);
        if scheme == Some(None) {
            complaints.unknown_word(&Place::Member(place, "scheme"), &Scheme::ALL.map(Scheme::as_str).join(", "));
        }
        match Self::new(scheme??, &text?) {
            Ok(alias) => Some((alias, case.is_some())),
            Err(error) => {
                complaints.add(&Place::Member(place, "identifier"), error.code(), error.text());
                None
            }
        }
    }
}

impl Serialize for Alias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let is_sensitive = self.identifier.is_case_sensitive();
        let mut object = serializer.serialize_struct("Alias", 2 + usize::from(is_sensitive))?;
        object.serialize_field("scheme", self.scheme().as_str())?;
        object.serialize_field("identifier", self.spelling())?;
        if is_sensitive {
            object.serialize_field("case", SENSITIVE)?;
        }
        object.end()
    }
}

/// What [`Serialize`] wrote, with the key that it had then.
impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let mut complaints = Complaints::default();
        let alias = Self::parts(&json, &Place::Root, &mut complaints).map(|(alias, is_sensitive)| {
            if is_sensitive { Self::of(alias.identifier.with_case_sensitive_suffix()) } else { alias }
        });
        complaints.or(alias).map_err(|errors| de::Error::custom(first_of(&errors)))
    }
}
