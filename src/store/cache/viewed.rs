//! Answers that are not everybody's: the same cache, under keys that nobody else asks with.
//!
//! A view is a text that callers share who see the same. It is part of the key, behind a NUL, which no name has; the counters that
//! say whether an answer is still true are those of the name itself, so that a commit takes all views of it.

use bytes::Bytes;

use super::answers::{Answer, AnswerCache, ViewClass};
use super::core::{Asked, Fill};
use super::draft::{Draft, Times};
use super::entry::Key;
use super::ledger::Declined;

impl AnswerCache {
    /// The answer for a name in a view of a class that is not everybody's.
    pub fn find_viewed(&self, class: ViewClass, name: &str, view: &str, now: i64) -> Option<Answer> {
        let key = key_of(name, view);
        let now_ms = u64::try_from(now).unwrap_or(0).saturating_mul(1_000);
        let reader = self.core.open()?;
        let hit = reader.find(&self.asked_viewed(class, name, &key), now_ms)?;
        let all = Bytes::from_owner(hit.hold());
        let part = |bytes: &[u8]| if bytes.is_empty() { Bytes::new() } else { all.slice_ref(bytes) };
        let entry = hit.entry();
        let (etag, cache_control) = (part(entry.etag()), part(entry.cache_control()));
        Some(Answer { status: hit.status(), body: part(hit.body()), etag, cache_control, until: 0 })
    }

    /// Shelves what was read since `begin`, which was for this name.
    pub fn fill_viewed(
        &self,
        fill: Fill,
        class: ViewClass,
        name: &str,
        view: &str,
        answer: &Answer,
    ) -> Result<(), Declined> {
        let draft = Draft {
            status: answer.status,
            etag: &answer.etag,
            cache_control: &answer.cache_control,
            body: &answer.body,
            ..Draft::default()
        };
        let key = key_of(name, view);
        self.core.fill(fill, &self.asked_viewed(class, name, &key), Times::ALWAYS, &draft)
    }

    fn asked_viewed<'k>(&self, class: ViewClass, name: &str, key: &'k str) -> Asked<'k> {
        debug_assert!(class != ViewClass::Public, "what is everybody's has no view");
        Asked {
            key: Key { hash: self.seed.hash(key.as_bytes()), class: class as u8, name: key.as_bytes() },
            name_hash: self.seed.hash(name.as_bytes()),
        }
    }
}

fn key_of(name: &str, view: &str) -> String {
    format!("{name}\0{view}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &'static str) -> Answer {
        Answer { body: Bytes::from_static(text.as_bytes()), ..Answer::nothing(200, Bytes::new()) }
    }

    fn body(found: Option<Answer>) -> Option<Bytes> {
        found.map(|answer| answer.body)
    }

    #[test]
    fn a_view_is_found_by_its_own_callers_and_gone_with_its_name() {
        let cache = AnswerCache::new(1 << 20, 10, 500);
        let name = "88.999.1/a";
        let fill = |class, view, text| {
            let begun = cache.begin(name);
            // Seldom asked for: an answer is taken in the second time, where the shelf is full.
            cache.fill_viewed(begun, class, name, view, &answer(text)).unwrap();
        };
        fill(ViewClass::SignedIn, "", "signed in");
        fill(ViewClass::Granted, "one", "by one");
        fill(ViewClass::Granted, "two", "by two");
        let found = |class, view| body(cache.find_viewed(class, name, view, 0));
        assert_eq!(found(ViewClass::SignedIn, "").as_deref(), Some(&b"signed in"[..]));
        assert_eq!(found(ViewClass::Granted, "one").as_deref(), Some(&b"by one"[..]));
        assert_eq!(found(ViewClass::Granted, "two").as_deref(), Some(&b"by two"[..]));
        for (class, view) in [(ViewClass::Granted, ""), (ViewClass::Granted, "three"), (ViewClass::SignedIn, "one")] {
            assert_eq!(found(class, view), None, "{class:?} {view}");
        }
        assert!(cache.find(ViewClass::Public, name, 0).is_none());
        assert!(cache.find(ViewClass::Public, "88.999.1/a\0one", 0).is_none());
        assert_eq!(body(cache.find_viewed(ViewClass::Granted, "88.999.1/b", "one", 0)), None);
        let begun = cache.begin(name);
        cache.changed(name);
        for (class, view) in [(ViewClass::SignedIn, ""), (ViewClass::Granted, "one"), (ViewClass::Granted, "two")] {
            assert_eq!(found(class, view), None, "{class:?} {view}");
        }
        // What was read before the change is not served after it.
        let _ = cache.fill_viewed(begun, ViewClass::Granted, name, "one", &answer("stale"));
        assert_eq!(found(ViewClass::Granted, "one"), None);
        fill(ViewClass::Granted, "one", "anew");
        cache.purge_all();
        assert_eq!(found(ViewClass::Granted, "one"), None);
    }
}
