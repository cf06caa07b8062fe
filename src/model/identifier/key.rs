//! The canonical key: what two spellings of one name have in common, and the only thing that names are compared by.
//!
//! Not for showing to people: that is the spelling.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// `88.118.8/jxdy2106023`, `oid:1.2.156.3088`, `gs1:01/09506000134352/10/LOT1`, … Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalKey(Arc<str>);

impl CanonicalKey {
    /// A key that this program wrote earlier; it is taken as it stands.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// ASCII letters lowered in place: one allocation.
    pub(super) fn lower_cased(text: &str) -> Self {
        let mut shared: Arc<str> = Arc::from(text);
        if let Some(unshared) = Arc::get_mut(&mut shared) {
            unshared.make_ascii_lowercase();
        }
        Self(shared)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for CanonicalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// So that a map keyed by canonical keys can be asked with a `&str`.
impl std::borrow::Borrow<str> for CanonicalKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CanonicalKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for CanonicalKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
