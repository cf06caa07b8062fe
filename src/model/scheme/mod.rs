//! The identifier schemes, one file each, and the order in which a plain text is tried against them.
//!
//! Each file holds the grammar of its scheme and the source of it; none knows wrappers, which came off before.
//!
//! A text with a slash is VAA when it begins with `88.`, GS1 when it begins with `00/` + 18 digits or `01/` + 14 digits, MA
//! when it begins with `MA.` + three digits, and a Handle of any other prefix.

pub mod battery;
pub mod did;
pub mod ecode;
pub mod gs1;
pub mod handle;
pub mod ma;
pub mod oid;
pub mod vaa;
pub mod vin;

use std::fmt;

use super::identifier::{Identifier, IdentifierError};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    Vaa,
    Handle,
    Oid,
    Gs1,
    Ecode,
    Ma,
    Did,
    /// Vehicle identification number: an alias of vehicles.
    Vin,
    /// Traction battery code: an alias of battery packs, modules and cells.
    Battery,
}

impl Scheme {
    pub const ALL: [Self; 9] =
        [Self::Vaa, Self::Handle, Self::Oid, Self::Gs1, Self::Ecode, Self::Ma, Self::Did, Self::Vin, Self::Battery];

    /// The word in JSON, and the tag of the scheme's keys.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vaa => "vaa",
            Self::Handle => "handle",
            Self::Oid => "oid",
            Self::Gs1 => "gs1",
            Self::Ecode => "ecode",
            Self::Ma => "ma",
            Self::Did => "did",
            Self::Vin => "vin",
            Self::Battery => "battery",
        }
    }

    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.as_str() == word)
    }

    /// Whether keys of this scheme begin with its tag; VAA and Handle keys are prefix/suffix as they stand.
    #[must_use]
    pub fn is_tagged(self) -> bool {
        !matches!(self, Self::Vaa | Self::Handle)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A normal text (NFC, bounded, visible) without outer wrapper.
pub(in crate::model) fn read(text: &str) -> Result<Identifier, IdentifierError> {
    if text.starts_with(vaa::ROOT) {
        return vaa::read(text);
    }
    if let Some((tag, rest)) = text.split_once(':')
        && let Some(read_tagged) = tagged_reader(tag)
    {
        return read_tagged(rest);
    }
    if text.starts_with('(') {
        return gs1::read_elements(text);
    }
    if gs1::is_path_of_a_common_key(text) {
        return gs1::read_path(text);
    }
    if ma::is_ma(text) {
        return ma::read(text);
    }
    if text.contains('/') {
        return handle::read(text);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return gs1::read_gtin(text);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return oid::read(text);
    }
    Err(IdentifierError::Unrecognized)
}

type Reader = fn(&str) -> Result<Identifier, IdentifierError>;

/// The reader of what follows `tag:`.
fn tagged_reader(tag: &str) -> Option<Reader> {
    const READERS: [(&str, Reader); 9] = [
        ("did", did::read),
        ("oid", oid::read),
        ("urn", oid::read_urn),
        ("gs1", gs1::read_any),
        ("gtin", gs1::read_gtin),
        ("ecode", ecode::read),
        ("ma", ma::read),
        ("vin", vin::read),
        ("battery", battery::read),
    ];
    READERS.iter().find(|(word, _)| word.eq_ignore_ascii_case(tag)).map(|(_, reader)| *reader)
}
