//! The identifier: prefix + "/" + suffix, or a name of another scheme; compared by a canonical key, shown as it was registered.
//!
//! Reads every input form that clients send. Says nothing of whether the name is registered, or whose it is.
//!
//! Normal form: Unicode NFC, at most 2,048 bytes of UTF-8, nothing invisible (controls, bidirectional and zero-width
//! characters, line separators, noncharacters) and no white space at either end: two names that look alike on a label must
//! not resolve to different things. Inside, spaces are allowed, as Handle allows them.

mod error;
pub(in crate::model) mod form;
mod key;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use error::IdentifierError;
pub use key::CanonicalKey;

use super::scheme::{self, Scheme, vaa};
use form::Form;

/// Of the registered spelling, in bytes of UTF-8.
pub const MAX_IDENTIFIER_BYTES: usize = 2_048;

/// A name that obeys its scheme's rules. Clone copies the spelling and shares the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identifier {
    scheme: Scheme,
    case_sensitive: bool,
    spelling: Box<str>,
    key: CanonicalKey,
    /// Where the prefix ends in the key and the suffix begins in the spelling. Both lie on character boundaries.
    prefix_end: usize,
    suffix_start: usize,
}

impl Identifier {
    /// Reads any input form: plain, `id:`, `hdl:`, a Handle proxy address, `oid:`, `urn:oid:`, `gtin:`, `gs1:`, GS1 element
    /// strings with brackets, bare GTINs, GS1 Digital Links, `ecode:`, `MA.…`, `did:…`, `vin:` and `battery:`.
    ///
    /// Percent escapes are decoded inside http(s) URIs only; elsewhere that was the transport's business.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdentifierError> {
        // The common case first: a plain ASCII VAA identifier needs no NFC and exactly two allocations.
        if is_common(text) {
            return vaa::read(text);
        }
        match form::unwrap_outer(text)? {
            Form::Plain(inner) => scheme::read(&inner),
            Form::Handle(inner) => {
                let identifier = scheme::read(&inner)?;
                if identifier.has_slash() { Ok(identifier) } else { Err(IdentifierError::NotAHandle) }
            }
            Form::DigitalLink(path) => scheme::gs1::read_link_path(&path),
        }
    }

    /// Reads `text` as a name of `scheme`, whose tag it may leave out (`1.2.156.3088`, `414/…`, a bare VIN).
    ///
    /// # Errors
    /// The rule that it breaks, or [`IdentifierError::WrongScheme`].
    pub fn parse_as(scheme: Scheme, text: &str) -> Result<Self, IdentifierError> {
        let found = match Self::parse(text) {
            Ok(identifier) if identifier.scheme == scheme => return Ok(identifier),
            Ok(identifier) => IdentifierError::WrongScheme { wanted: scheme, found: identifier.scheme },
            Err(error) => error,
        };
        if scheme.is_tagged() && text.len() <= MAX_IDENTIFIER_BYTES {
            let tagged = Self::parse(&format!("{scheme}:{text}"));
            let is_whole_elsewhere = matches!(found, IdentifierError::WrongScheme { .. });
            // `gs1:414/…` and `https://…` say their scheme, so a second tag in front would hide what is wrong with them.
            let is_tagged =
                text.contains("://") || text.strip_prefix(scheme.as_str()).is_some_and(|rest| rest.starts_with(':'));
            return match tagged {
                Ok(identifier) => Ok(identifier),
                // Only its last digit is wrong: `414/…` with it is a GLN, though a Handle may look like that too.
                Err(error @ IdentifierError::BadCheckDigit { .. }) => Err(error),
                // A name that is whole in another scheme is told so, rather than why it is none of this one.
                Err(_) if is_whole_elsewhere || is_tagged => Err(found),
                Err(error) => Err(error),
            };
        }
        Err(found)
    }

    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The registered spelling, without outer wrappers. Parsing it again gives the same key.
    #[must_use]
    pub fn spelling(&self) -> &str {
        &self.spelling
    }

    #[must_use]
    pub fn key(&self) -> &CanonicalKey {
        &self.key
    }

    /// The canonical prefix: `88.118.8`, `10.1000`; of schemes without one, their tag: `oid`, `gs1`, …
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.key.as_str().get(..self.prefix_end).unwrap_or_default()
    }

    /// The prefix whose holder gives this name: its own, or the number that a `did:cn` begins with. Names of other schemes
    /// are given elsewhere.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        match self.scheme {
            Scheme::Vaa | Scheme::Handle => Some(self.prefix()),
            Scheme::Did => self.key.as_str().strip_prefix("did:cn:")?.split(':').next(),
            _ => None,
        }
    }

    /// What follows the prefix, as it was spelled.
    #[must_use]
    pub fn suffix(&self) -> &str {
        self.spelling.get(self.suffix_start..).unwrap_or_default()
    }

    /// Whether the key keeps the case of the suffix.
    #[must_use]
    pub fn is_case_sensitive(&self) -> bool {
        self.case_sensitive
    }

    /// The same name under a prefix whose policy tells cases apart: the key keeps the suffix as spelled. Names that are not
    /// prefix/suffix stay as they are, their scheme decides.
    #[must_use]
    pub fn with_case_sensitive_suffix(self) -> Self {
        if self.case_sensitive || !self.has_slash() {
            return self;
        }
        let key = CanonicalKey::from_stored(&format!("{}/{}", self.prefix(), self.suffix()));
        Self { case_sensitive: true, key, ..self }
    }

    fn has_slash(&self) -> bool {
        matches!(self.scheme, Scheme::Vaa | Scheme::Handle)
    }

    /// Where the prefix of an identifier of the commonest kind ends, for whoever needs no more of it than its key: in lower
    /// case it is that. `None`: [`Identifier::parse`] has to say.
    pub(in crate::model) fn common_slash(text: &str) -> Option<usize> {
        if is_common(text) { vaa::slash(text).ok() } else { None }
    }

    /// prefix/suffix, already normal; `slash` is the place of the first one.
    pub(in crate::model) fn from_slash_form(scheme: Scheme, text: &str, slash: usize) -> Self {
        Self {
            scheme,
            case_sensitive: false,
            spelling: text.into(),
            key: CanonicalKey::lower_cased(text),
            prefix_end: slash,
            suffix_start: slash + 1,
        }
    }

    /// A name of a scheme with a tag: the key is `tag:canonical`; the spelling may carry the tag or not.
    pub(in crate::model) fn from_tagged(scheme: Scheme, spelling: &str, canonical: &str) -> Self {
        let tag = scheme.as_str();
        let suffix_start = match spelling.get(..=tag.len()) {
            Some(head) if head.ends_with(':') && head.starts_with(tag) => tag.len() + 1,
            _ => 0,
        };
        Self {
            scheme,
            case_sensitive: false,
            spelling: spelling.into(),
            key: CanonicalKey::from_stored(&format!("{tag}:{canonical}")),
            prefix_end: tag.len(),
            suffix_start,
        }
    }
}

fn is_common(text: &str) -> bool {
    text.starts_with(vaa::ROOT) && text.len() <= MAX_IDENTIFIER_BYTES && form::is_plain_ascii(text)
}

/// The registered spelling.
impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelling)
    }
}

impl std::str::FromStr for Identifier {
    type Err = IdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// As its spelling; a policy's case sensitivity is not part of it.
impl Serialize for Identifier {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.spelling)
    }
}

impl<'de> Deserialize<'de> for Identifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}
