//! Which events an auditor wants: all conditions must hold.

use crate::model::identifier::CanonicalKey;
use crate::model::permitted::{Action, Asks};
use crate::model::time::Timestamp;
use crate::sign::event::Event;
use crate::store::trees::Tree;

/// Events of both trees that meet all of these.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Word for word.
    pub principal: Option<String>,
    pub event: Option<EventName>,
    /// As it is told; an identifier also as its prefix compares.
    pub subject: Option<String>,
    /// The leaf's own time: from this moment on, and before that one.
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
    pub tree: Option<Tree>,
}

impl Asks for Wanted {
    const ACTION: Action = Action::Audit;
}

/// One event, or a family of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventName {
    /// `key.created`
    One(String),
    /// `key.*`, without the star.
    Family(String),
}

impl EventName {
    /// Reads words of `a-z`, `0-9` and `_` with dots between them, of which the last may be a star behind another.
    #[must_use]
    pub fn parse(text: &str) -> Option<EventName> {
        let (words, family) = match text.strip_suffix(".*") {
            Some(words) => (words, Some(format!("{words}."))),
            None => (text, None),
        };
        let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let is_sane = words.split('.').all(|word| !word.is_empty() && word.bytes().all(is_letter));
        is_sane.then(|| family.map_or_else(|| Self::One(words.to_owned()), Self::Family))
    }

    fn means(&self, name: &str) -> bool {
        match self {
            Self::One(wanted) => wanted == name,
            Self::Family(beginning) => name.starts_with(beginning),
        }
    }
}

impl Wanted {
    /// Whether its frame need be read any further.
    pub(super) fn covers(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// `key_of` gives the key of an identifier, whose spelling may differ from the one that is wanted.
    pub(super) fn means(&self, event: &Event, key_of: impl Fn(&str) -> Option<CanonicalKey>) -> bool {
        let is_about = |wanted: &String| {
            event.subject.as_ref().is_some_and(|subject| {
                subject == wanted
                    || (event.version.is_some() && key_of(wanted).is_some_and(|key| key_of(subject) == Some(key)))
            })
        };
        self.principal.as_ref().is_none_or(|wanted| *wanted == event.principal)
            && self.event.as_ref().is_none_or(|wanted| wanted.means(&event.name))
            && self.subject.as_ref().is_none_or(is_about)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_whole_or_by_its_family() {
        let means = |text: &str, name: &str| EventName::parse(text).unwrap().means(name);
        assert!(means("key.created", "key.created") && !means("key.created", "key.created.again"));
        assert!(means("key.*", "key.created") && !means("key.*", "keys.created") && !means("key.*", "key"));
        assert!(means("signing_key.*", "signing_key.ended"));
        for wrong in ["", "*", ".*", "key*", "key.*.a", "key..a", "key.", "Key.created", "key.créé"] {
            assert_eq!(EventName::parse(wrong), None, "{wrong}");
        }
    }
}
