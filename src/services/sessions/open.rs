//! The sessions that live: which key is behind a token.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;

use super::{SESSION_SECONDS, SESSIONS_OF_A_KEY, SessionView};
use crate::model::time::Timestamp;
use crate::services::ServiceError;
use crate::services::token::{SESSION_MARK, are_same, taken_apart};
use crate::store::Refusal;

/// Of all keys.
const MOST_SESSIONS: usize = 20_000;

/// All that live.
#[derive(Default)]
pub(super) struct OpenSessions(RwLock<Open>);

/// Sessions by their ids, and the ids of each key's, the oldest first.
#[derive(Default)]
struct Open {
    sessions: HashMap<String, Arc<Session>>,
    by_key: HashMap<String, VecDeque<String>>,
    swept: Duration,
}

pub(super) struct Session {
    /// Of its token's secret.
    hash: [u8; 32],
    pub(super) key: String,
    /// By the clock of the process, which nobody sets.
    over: Duration,
    /// By the clock of the world.
    expires: Timestamp,
}

impl OpenSessions {
    /// The key behind a session that lives.
    pub(super) fn key_behind(&self, id: &str, hash: &[u8; 32], now: Timestamp, elapsed: Duration) -> Option<String> {
        let session = self.0.read().sessions.get(id).map(Arc::clone)?;
        let lives = elapsed < session.over && now < session.expires;
        (are_same(hash, &session.hash) && lives).then(|| session.key.clone())
    }

    /// The key behind one that lives or did, as long as it is remembered.
    pub(super) fn key_that_was_behind(&self, id: &str, hash: &[u8; 32]) -> Option<String> {
        let session = self.0.read().sessions.get(id).map(Arc::clone)?;
        are_same(hash, &session.hash).then(|| session.key.clone())
    }

    pub(super) fn expires(&self, id: &str) -> Option<Timestamp> {
        self.0.read().sessions.get(id).map(|session| session.expires)
    }

    pub(super) fn remove(&self, id: &str) -> Option<Arc<Session>> {
        self.0.write().remove(id)
    }

    /// Makes room for a session, which is over again unless its place is kept.
    pub(super) fn begin(
        &self,
        view: &SessionView,
        token: &str,
        key: String,
        elapsed: Duration,
    ) -> Result<Begun<'_>, ServiceError> {
        let (_, hash) = taken_apart(SESSION_MARK, token)
            .ok_or_else(|| ServiceError::Internal("a new token does not read back".to_owned()))?;
        let over = elapsed + Duration::from_secs(SESSION_SECONDS);
        let mut open = self.0.write();
        open.sweep(elapsed);
        while let Some(oldest) = open.oldest_too_many(&key) {
            open.remove(&oldest);
        }
        if open.sessions.len() >= MOST_SESSIONS {
            return Err(ServiceError::Refused(Refusal::Busy));
        }
        open.by_key.entry(key.clone()).or_default().push_back(view.id.clone());
        open.sessions.insert(view.id.clone(), Arc::new(Session { hash, key, over, expires: view.expires }));
        Ok(Begun { sessions: self, id: Some(view.id.clone()) })
    }
}

/// A session that ends when this goes, unless it is kept.
#[must_use]
pub(super) struct Begun<'a> {
    sessions: &'a OpenSessions,
    id: Option<String>,
}

impl Begun<'_> {
    pub(super) fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.sessions.remove(&id);
        }
    }
}

impl Open {
    fn remove(&mut self, id: &str) -> Option<Arc<Session>> {
        let removed = self.sessions.remove(id)?;
        if let Some(ids) = self.by_key.get_mut(&removed.key) {
            ids.retain(|other| other != id);
            if ids.is_empty() {
                self.by_key.remove(&removed.key);
            }
        }
        Some(removed)
    }

    /// The session that ends, where one more of the key is to begin.
    fn oldest_too_many(&self, key: &str) -> Option<String> {
        let ids = self.by_key.get(key).filter(|ids| ids.len() >= SESSIONS_OF_A_KEY)?;
        ids.front().cloned()
    }

    /// Forgets, once a second at most, what is over.
    fn sweep(&mut self, elapsed: Duration) {
        if elapsed.saturating_sub(self.swept) < Duration::from_secs(1) {
            return;
        }
        self.swept = elapsed;
        let over = self.sessions.iter().filter(|(_, session)| session.over <= elapsed);
        for id in over.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::principal::Principal;
    use crate::services::token::{random_text, token_text};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begun(sessions: &OpenSessions, key: &str, elapsed: Duration) -> (String, String) {
        let id = random_text(8).unwrap();
        let token = token_text(SESSION_MARK, &id).unwrap();
        let view = SessionView {
            id: id.clone(),
            expires: Timestamp::from_seconds(1_060).unwrap(),
            principal: Principal::administrator("a"),
        };
        sessions.begin(&view, &token, key.to_owned(), elapsed).unwrap().keep();
        (id, token)
    }

    #[test]
    fn a_session_ends_by_both_clocks_and_the_oldest_of_too_many_ends_first() {
        let sessions = OpenSessions::default();
        let at = |text: &str| Timestamp::from_seconds(text.parse().unwrap()).unwrap();
        let behind = |(id, token): &(String, String), now| {
            let (_, hash) = taken_apart(SESSION_MARK, token).unwrap();
            sessions.key_behind(id, &hash, now, seconds(5))
        };
        let elapsed = seconds(5);
        let mine: Vec<_> = (0..=SESSIONS_OF_A_KEY as u32)
            .map(|count| begun(&sessions, "k", elapsed + Duration::from_secs(1) * count))
            .collect();
        let others = begun(&sessions, "l", elapsed);
        assert_eq!(behind(&mine[0], at("1000")), None, "one too many");
        assert_eq!(behind(&mine[1], at("1059")).as_deref(), Some("k"));
        assert_eq!(behind(&mine[1], at("1060")), None, "by the clock of the world");
        assert_eq!(behind(&others, at("1000")).as_deref(), Some("l"));
        assert_eq!(sessions.key_behind(&others.0, &[0; 32], at("1000"), elapsed), None, "another secret");
        let (id, token) = begun(&sessions, "m", Duration::ZERO);
        let over = Arc::new(Session {
            over: Duration::ZERO,
            hash: taken_apart(SESSION_MARK, &token).unwrap().1,
            key: "m".to_owned(),
            expires: at("2000"),
        });
        sessions.0.write().sessions.insert(id.clone(), over);
        assert_eq!(behind(&(id, token), at("1000")), None, "by the clock of the process");
    }

    #[test]
    fn a_place_that_is_not_kept_is_free_again() {
        let sessions = OpenSessions::default();
        let token = token_text(SESSION_MARK, "a").unwrap();
        let expires = Timestamp::from_seconds(1_000).unwrap();
        let view = SessionView { id: "a".to_owned(), expires, principal: Principal::administrator("a") };
        drop(sessions.begin(&view, &token, "k".to_owned(), seconds(1)).unwrap());
        assert!(sessions.0.read().sessions.is_empty() && sessions.0.read().by_key.is_empty());
        sessions.begin(&view, &token, "k".to_owned(), seconds(1)).unwrap().keep();
        sessions.0.write().sweep(seconds(1 + SESSION_SECONDS));
        assert!(sessions.0.read().sessions.is_empty() && sessions.0.read().by_key.is_empty());
    }
}
