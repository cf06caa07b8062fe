//! Cursors: where the next page begins, as a text that clients hand back and do not read.
//!
//! A cursor names the kind of list that it belongs to, so that one list's cursor is refused by another. It carries no
//! secret and no right: what it names is looked up under the guard as everything else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// The lists that have cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// After a record's canonical key.
    Records,
    /// Before a version.
    Versions,
    /// After an API key's id.
    Keys,
}

impl Kind {
    fn mark(self) -> &'static str {
        match self {
            Self::Records => "r1:",
            Self::Versions => "v1:",
            Self::Keys => "k1:",
        }
    }
}

#[must_use]
pub fn encode(kind: Kind, place: &str) -> String {
    BASE64URL.encode(format!("{}{place}", kind.mark()))
}

/// The place, if this is a cursor of that kind.
#[must_use]
pub fn decode(kind: Kind, cursor: &str) -> Option<String> {
    let text = String::from_utf8(BASE64URL.decode(cursor).ok()?).ok()?;
    text.strip_prefix(kind.mark()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_leads_back_to_its_place_in_its_own_list_only() {
        let cursor = encode(Kind::Records, "88.118.8/铭牌");
        assert!(cursor.is_ascii());
        assert_eq!(decode(Kind::Records, &cursor).as_deref(), Some("88.118.8/铭牌"));
        assert_eq!(decode(Kind::Versions, &cursor), None);
        for broken in ["", "*", "cjE", "AAAA"] {
            assert_eq!(decode(Kind::Records, broken), None, "{broken}");
        }
    }
}
