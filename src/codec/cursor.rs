//! Cursors: where the next page begins, as a text that clients hand back and do not read.
//!
//! A cursor names the kind of list that it belongs to, so that one list's cursor is refused by another. It carries no
//! secret and no right: what it names is looked up under the guard as everything else, and doubted.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

use crate::services::history::Place;
use crate::services::trail::{self, Order};

/// The lists that have cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// After a record's canonical key.
    Records,
    /// After the version at a place: `version.segment.offset`.
    Versions,
    /// After an API key's id.
    Keys,
    /// After the filing that began at a time: `seconds.id`.
    Filings,
    /// After a prefix.
    Prefixes,
    /// After a grant's id.
    Grants,
    /// After a row of a grant's uses.
    GrantUses,
    /// After a statement about a prefix: `prefix.seq`, the last dot parting them.
    Licences,
    /// In the audit trail: `order.registry.audit`.
    Trail,
}

impl Kind {
    fn mark(self) -> &'static str {
        match self {
            Self::Records => "r1:",
            Self::Versions => "v2:",
            Self::Keys => "k1:",
            Self::Filings => "f1:",
            Self::Prefixes => "p1:",
            Self::Grants => "g1:",
            Self::GrantUses => "u1:",
            Self::Licences => "l1:",
            Self::Trail => "t1:",
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

/// The cursor of a history that goes on after a version.
#[must_use]
pub fn of_version(place: &Place) -> String {
    let Place { version, segment, offset } = place;
    encode(Kind::Versions, &format!("{version}.{segment}.{offset}"))
}

/// The place in a history's cursor, if it is one by its form.
#[must_use]
pub fn version(cursor: &str) -> Option<Place> {
    let text = decode(Kind::Versions, cursor)?;
    let [version, segment, offset] = text.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let place = Place { version: version.parse().ok()?, segment: segment.parse().ok()?, offset: offset.parse().ok()? };
    // Of all the ways to write these numbers one is ours.
    (of_version(&place) == cursor).then_some(place)
}

/// The cursor of a list that goes on after a statement about a prefix.
#[must_use]
pub fn of_licence(prefix: &str, seq: u64) -> String {
    encode(Kind::Licences, &format!("{prefix}.{seq}"))
}

/// The prefix and number in such a cursor.
#[must_use]
pub fn licence(cursor: &str) -> Option<(String, u64)> {
    let text = decode(Kind::Licences, cursor)?;
    let (prefix, seq) = text.rsplit_once('.')?;
    let place = (prefix.to_owned(), seq.parse().ok()?);
    (of_licence(&place.0, place.1) == cursor).then_some(place)
}

/// The cursor of an audit trail that goes on at a place.
#[must_use]
pub fn of_trail(place: &trail::Place) -> String {
    let trail::Place { order, registry, audit } = place;
    let order = if *order == Order::Newest { 'n' } else { 'o' };
    encode(Kind::Trail, &format!("{order}.{registry}.{audit}"))
}

/// The place in such a cursor, if it is one by its form.
#[must_use]
pub fn trail(cursor: &str) -> Option<trail::Place> {
    let text = decode(Kind::Trail, cursor)?;
    let [order, registry, audit] = text.split('.').collect::<Vec<_>>()[..] else {
        return None;
    };
    let order = if order == "n" { Order::Newest } else { Order::Oldest };
    let place = trail::Place { order, registry: registry.parse().ok()?, audit: audit.parse().ok()? };
    (of_trail(&place) == cursor).then_some(place)
}

/// The cursor of a list of filings that goes on after one.
#[must_use]
pub fn of_filing((began, id): &(i64, String)) -> String {
    encode(Kind::Filings, &format!("{began}.{id}"))
}

/// The filing that a list goes on after.
#[must_use]
pub fn filing(cursor: &str) -> Option<(i64, String)> {
    let text = decode(Kind::Filings, cursor)?;
    let (began, id) = text.split_once('.')?;
    Some((began.parse().ok()?, id.to_owned()))
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
        let place = Place { version: u64::MAX, segment: 7, offset: u32::MAX };
        assert_eq!(version(&of_version(&place)), Some(place));
        assert_eq!(version(&cursor), None);
        assert_eq!(licence(&of_licence("88.999.1", 7)), Some(("88.999.1".to_owned(), 7)));
        assert_eq!(licence(&cursor), None);
        for order in [Order::Newest, Order::Oldest] {
            let place = trail::Place { order, registry: u64::MAX, audit: 0 };
            assert_eq!(trail(&of_trail(&place)), Some(place));
        }
        for broken in ["n.1", "x.1.2", "n.+1.2", "n.1.2.3"] {
            assert_eq!(trail(&encode(Kind::Trail, broken)), None, "{broken}");
        }
        for broken in ["", "*", "cjE", "AAAA"] {
            assert_eq!(decode(Kind::Records, broken), None, "{broken}");
        }
    }
}
