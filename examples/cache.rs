//! A resolver in small: the cache before a slow store, with commits.

#![expect(clippy::unwrap_used, reason = "an example")]

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use mingpai::store::cache::{Answer, AnswerCache, Role, ViewClass};

struct Resolver {
    cache: AnswerCache,
    store: Mutex<BTreeMap<String, String>>,
}

impl Resolver {
    fn resolve(&self, name: &str) -> Answer {
        if let Some(answer) = self.cache.find(ViewClass::Public, name, 0) {
            return answer;
        }
        // Before the store is read.
        let fill = self.cache.begin(name);
        let leader = match self.cache.join(fill, ViewClass::Public, name) {
            Role::Follow(follower) => match follower.wait(Duration::from_millis(50)) {
                Some(answer) => return answer,
                None => None,
            },
            Role::Lead(leader) => Some(leader),
        };
        let answer = match self.store.lock().unwrap().get(name) {
            Some(text) => Answer {
                status: 200,
                body: text.clone().into(),
                etag: "\"1\"".into(),
                cache_control: "public, max-age=60".into(),
                until: 0,
            },
            None => Answer { status: 404, body: "".into(), etag: "".into(), cache_control: "".into(), until: 5 },
        };
        // A refusal (a fill that raced a commit, say) is no error.
        let _ = self.cache.fill(fill, ViewClass::Public, name, &answer);
        if let Some(leader) = leader {
            leader.land(&answer);
        }
        answer
    }

    fn commit(&self, name: &str, text: &str) {
        self.store.lock().unwrap().insert(name.to_owned(), text.to_owned());
        // After the rows are visible, before anybody is told.
        self.cache.changed(name);
    }
}

fn main() {
    let resolver = Resolver { cache: AnswerCache::new(16 << 20, 10, 500), store: Mutex::default() };
    println!("unknown: {}", resolver.resolve("88.1/a").status);
    resolver.commit("88.1/a", "first");
    println!("first:   {:?}", resolver.resolve("88.1/a").body);
    resolver.commit("88.1/a", "second");
    println!("second:  {:?}", resolver.resolve("88.1/a").body);
    // As the fast lane of an HTTP server has it: status line and date first, then one copy.
    let mut out = b"HTTP/1.1 200 OK\r\ndate: Sun, 29 Nov 2026 19:11:29 GMT\r\n".to_vec();
    resolver.resolve("88.1/a");
    let found = resolver.cache.read(ViewClass::Public, "88.1/a", 0, |hit| out.extend_from_slice(hit.head_and_body()));
    assert!(found.is_some());
    println!("{}", String::from_utf8_lossy(&out));
    println!("{:?}", resolver.cache.counters());
}
