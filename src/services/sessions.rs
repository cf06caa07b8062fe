//! Sessions: the holder of a private key signs the node's challenge, and has a token for a quarter of an hour.
//!
//! A challenge is a nonce that this process alone could have made, so that asking for one costs nobody memory. An assertion
//! over it (sign/assertion) is good once and for a minute. What comes of it opens what the API key opens that the assertion
//! names, and nothing once that is revoked or over. Sessions live in memory: a restart ends them all, and their keys sign anew.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use parking_lot::{Mutex, RwLock};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::token::{SESSION_MARK, are_same, random_text, taken_apart, token_text};
use super::{ServiceError, Services};
use crate::model::field::FieldError;
use crate::model::principal::Principal;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::assertion::{self, Claims};
use crate::sign::jws::Parsed;
use crate::sign::keys::{KeyError, PublicJwk};
use crate::sign::statement::AuditEvent;
use crate::store::Refusal;

/// How long a nonce is good.
pub const NONCE_SECONDS: u64 = 60;
/// How long a session is, at most: it ends with its key.
pub const SESSION_SECONDS: u64 = 15 * 60;
/// Of one key at a time; one more ends the oldest.
pub const SESSIONS_OF_A_KEY: usize = 16;
/// Of all keys.
const MOST_SESSIONS: usize = 20_000;
/// Sign-ins of one key within a nonce's life, or one key could fill the journal with them.
pub const SIGN_INS_OF_A_KEY: usize = 30;
/// The same of all keys.
const MOST_SPENT: usize = 20_000;
/// Ids of keys are shorter.
const MOST_ID_BYTES: usize = 64;

/// Of a nonce: when it was made, in milliseconds of this process; its own random bytes; the proof that it was made here.
const TIME_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = TIME_BYTES + RANDOM_BYTES + TAG_BYTES;

/// What is asked to be signed.
#[derive(Clone, Debug)]
pub struct Challenge {
    pub nonce: String,
    /// The node's name, for `aud`.
    pub audience: String,
    pub expires: Timestamp,
}

/// A session that has begun. Not `Debug`: this is the only time that its token is seen.
pub struct NewSession {
    pub view: SessionView,
    pub token: String,
}

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct SessionView {
    pub id: String,
    pub expires: Timestamp,
    pub principal: Principal,
}

/// All sessions of this process, and what its challenges are known by.
pub struct Sessions {
    begun: Instant,
    /// Made when the first challenge is asked for.
    own: RwLock<Option<hmac::Key>>,
    spent: Mutex<Spent>,
    open: RwLock<Open>,
}

/// Nonces that were used, by their random bytes, until they are too old anyway; and how often by whom.
#[derive(Default)]
struct Spent {
    nonces: HashMap<[u8; RANDOM_BYTES], (Duration, String)>,
    by_key: HashMap<String, usize>,
    swept: Duration,
}

/// Sessions by their ids, and the ids of each key's, the oldest first.
#[derive(Default)]
struct Open {
    sessions: HashMap<String, Arc<Session>>,
    by_key: HashMap<String, VecDeque<String>>,
    swept: Duration,
}

struct Session {
    /// Of its token's secret.
    hash: [u8; 32],
    key: String,
    /// By the clock of the process, which nobody sets.
    over: Duration,
    /// By the clock of the world.
    expires: Timestamp,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { begun: Instant::now(), own: RwLock::default(), spent: Mutex::default(), open: RwLock::default() }
    }
}

impl Services {
    /// What the holder of a key is to sign. Says the same to everybody.
    pub fn challenge(&self, now: Timestamp) -> Result<Challenge, ServiceError> {
        let audience = self.signing()?.issuer.clone();
        let nonce = self.sessions.nonce(&audience, self.sessions.begun.elapsed()).map_err(internal)?;
        Ok(Challenge { nonce, audience, expires: later(now, NONCE_SECONDS) })
    }

    /// Begins a session for who has signed a challenge. What is wrong with the assertion itself is told; whether there is such
    /// a key, and whether it made the signature, are one answer, given after the same work.
    pub async fn open_session(&self, text: &str, now: Timestamp) -> Result<NewSession, ServiceError> {
        let audience = &self.signing()?.issuer;
        let elapsed = self.sessions.begun.elapsed();
        let (assertion, claims) = assertion::read(text).map_err(|cause| wrong("bad_assertion", cause))?;
        let nonce = self.judged(&claims, audience, elapsed, now)?;
        let principal = self.signer(&assertion, &claims.sub, now)?;
        self.sessions.spend(nonce, &claims.sub, elapsed)?;
        let id = random_text(8).map_err(internal)?;
        let token = token_text(SESSION_MARK, &id).map_err(internal)?;
        let view = SessionView { expires: ends(&principal, now), id, principal };
        let event = AuditEvent::SessionOpened {
            session: view.id.clone(),
            key: claims.sub.clone(),
            expires: view.expires.as_seconds(),
        };
        // Its place before its note: what is noted has begun.
        let place = self.sessions.begin(&view, &token, claims.sub, elapsed)?;
        self.audit(event, &view.principal.id).await?;
        place.keep();
        Ok(NewSession { view, token })
    }

    /// The session behind a token, if it is one's.
    #[must_use]
    pub fn session(&self, token: &str, now: Timestamp) -> Option<SessionView> {
        let (id, _) = taken_apart(SESSION_MARK, token)?;
        let principal = self.authenticate(token, now).ok()?;
        let expires = self.sessions.open.read().sessions.get(id)?.expires;
        Some(SessionView { id: id.to_owned(), expires, principal })
    }

    /// Ends the session behind a token.
    pub async fn close_session(&self, session: &SessionView) -> Result<(), ServiceError> {
        // Over whatever becomes of the note: who signs out must not be told that he is still in.
        let closed = self.sessions.open.write().remove(&session.id);
        if let Some(closed) = closed {
            let event = AuditEvent::SessionClosed { session: session.id.clone(), key: closed.key.clone() };
            self.audit(event, &session.principal.id).await?;
        }
        Ok(())
    }

    /// What can be judged of an assertion without a look at any key; gives its nonce.
    fn judged(
        &self,
        claims: &Claims,
        audience: &str,
        elapsed: Duration,
        now: Timestamp,
    ) -> Result<Nonce, ServiceError> {
        if claims.aud != audience {
            return Err(wrong("bad_assertion", "its aud is not the audience of the challenge"));
        }
        let now = now.as_seconds();
        if claims.exp.is_some_and(|exp| exp <= now) || claims.nbf.is_some_and(|nbf| nbf > now) {
            return Err(wrong("bad_assertion", "its exp is past, or its nbf to come"));
        }
        let nonce = self.sessions.own_nonce(&claims.nonce, audience);
        let nonce = nonce.filter(|nonce| nonce.is_fresh(elapsed) && !self.sessions.spent.lock().has(nonce));
        nonce.ok_or_else(used)
    }

    /// Who has signed.
    fn signer(&self, assertion: &Parsed<'_>, id: &str, now: Timestamp) -> Result<Principal, ServiceError> {
        let key = if id.len() <= MOST_ID_BYTES { self.api_key(id)? } else { None };
        let named = key.as_ref().and_then(|key| key.public_key());
        let public = named.and_then(PublicJwk::public);
        // The check comes first, so that an unknown key takes as long; what it says counts for a known one alone.
        let has_signed = assertion.is_signed_by(public.as_deref().unwrap_or(&NOBODYS_KEY))
            && public.is_some()
            && named.is_some_and(|key| key.kid == assertion.header.kid);
        let opened = if has_signed { self.opened_by(id, now, |_| true) } else { Err(ServiceError::BadCredential) };
        opened.inspect_err(|error| {
            if let ServiceError::BadCredential = error {
                let id = Some(id).filter(|id| id.len() <= MOST_ID_BYTES);
                self.note_denial(&self.principal_named(id), error.code(), now);
            }
        })
    }
}

/// RFC 8032, section 7.1, test 1: some key, so that an unknown one takes as long as a known one.
const NOBODYS_KEY: [u8; 32] = [
    0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72,
    0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
];

impl Services {
    /// The key whose session a token is or was, as long as that is remembered: for the audit log, where it opens nothing any more.
    pub(super) fn key_of_session(&self, token: &str) -> Option<String> {
        let (id, hash) = taken_apart(SESSION_MARK, token)?;
        let session = self.sessions.open.read().sessions.get(id).map(Arc::clone)?;
        are_same(&hash, &session.hash).then(|| session.key.clone())
    }
}

impl Sessions {
    /// The key behind a session that lives.
    pub(super) fn key_behind(&self, id: &str, hash: &[u8; 32], now: Timestamp) -> Option<String> {
        let session = self.open.read().sessions.get(id).map(Arc::clone)?;
        let lives = self.begun.elapsed() < session.over && now < session.expires;
        (are_same(hash, &session.hash) && lives).then(|| session.key.clone())
    }

    /// Makes room for a session, which is over again unless its place is kept.
    fn begin(
        &self,
        view: &SessionView,
        token: &str,
        key: String,
        elapsed: Duration,
    ) -> Result<Begun<'_>, ServiceError> {
        let (_, hash) = taken_apart(SESSION_MARK, token)
            .ok_or_else(|| ServiceError::Internal("a new token does not read back".to_owned()))?;
        let over = elapsed + Duration::from_secs(SESSION_SECONDS);
        let mut open = self.open.write();
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

    fn nonce(&self, audience: &str, elapsed: Duration) -> Result<String, KeyError> {
        let mut bytes = Vec::with_capacity(NONCE_BYTES);
        bytes.extend_from_slice(&millis(elapsed).to_be_bytes());
        bytes.resize(TIME_BYTES + RANDOM_BYTES, 0);
        let random = bytes.get_mut(TIME_BYTES..).unwrap_or_default();
        SystemRandom::new().fill(random).map_err(|_| KeyError::NoRandomness)?;
        let tag = tag(&self.own()?, &bytes, audience);
        bytes.extend_from_slice(&tag);
        Ok(BASE64URL.encode(bytes))
    }

    /// The nonce in a text, if it was made here.
    fn own_nonce(&self, text: &str, audience: &str) -> Option<Nonce> {
        let bytes: [u8; NONCE_BYTES] = BASE64URL.decode(text).ok()?.try_into().ok()?;
        let (said, shown) = bytes.split_at(TIME_BYTES + RANDOM_BYTES);
        let own = self.own.read().clone()?;
        if !are_same(&tag(&own, said, audience), shown) {
            return None;
        }
        let (time, random) = said.split_at(TIME_BYTES);
        let made = Duration::from_millis(u64::from_be_bytes(time.try_into().ok()?));
        Some(Nonce { made, random: random.try_into().ok()? })
    }

    fn own(&self) -> Result<hmac::Key, KeyError> {
        if let Some(own) = self.own.read().clone() {
            return Ok(own);
        }
        let mut own = self.own.write();
        match &*own {
            Some(own) => Ok(own.clone()),
            None => {
                let made = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
                Ok(own.insert(made.map_err(|_| KeyError::NoRandomness)?).clone())
            }
        }
    }

    /// Uses a nonce up; of two who try at once, one does.
    fn spend(&self, nonce: Nonce, key: &str, elapsed: Duration) -> Result<(), ServiceError> {
        let mut spent = self.spent.lock();
        spent.sweep(elapsed);
        if spent.has(&nonce) {
            return Err(used());
        }
        let of_key = spent.by_key.get(key).copied().unwrap_or_default();
        if spent.nonces.len() >= MOST_SPENT || of_key >= SIGN_INS_OF_A_KEY {
            return Err(ServiceError::Refused(Refusal::Busy));
        }
        spent.by_key.insert(key.to_owned(), of_key + 1);
        spent.nonces.insert(nonce.random, (nonce.made, key.to_owned()));
        Ok(())
    }
}

/// A session that ends when this goes, unless it is kept.
struct Begun<'a> {
    sessions: &'a Sessions,
    id: Option<String>,
}

impl Begun<'_> {
    fn keep(mut self) {
        self.id = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.sessions.open.write().remove(&id);
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

#[derive(Clone, Copy)]
struct Nonce {
    made: Duration,
    random: [u8; RANDOM_BYTES],
}

impl Nonce {
    fn is_fresh(&self, elapsed: Duration) -> bool {
        elapsed.checked_sub(self.made).is_some_and(|age| age < Duration::from_secs(NONCE_SECONDS))
    }
}

impl Spent {
    fn has(&self, nonce: &Nonce) -> bool {
        self.nonces.contains_key(&nonce.random)
    }

    /// Forgets, once a second at most, what is refused for its age.
    fn sweep(&mut self, elapsed: Duration) {
        if elapsed.saturating_sub(self.swept) < Duration::from_secs(1) {
            return;
        }
        self.swept = elapsed;
        let by_key = &mut self.by_key;
        self.nonces.retain(|random, (made, key)| {
            let is_fresh = Nonce { made: *made, random: *random }.is_fresh(elapsed);
            if !is_fresh && let Some(count) = by_key.get_mut(key) {
                *count -= 1;
            }
            is_fresh
        });
        by_key.retain(|_, count| *count > 0);
    }
}

fn tag(own: &hmac::Key, said: &[u8], audience: &str) -> [u8; TAG_BYTES] {
    let mut context = hmac::Context::with_key(own);
    context.update(said);
    context.update(audience.as_bytes());
    let mut tag = [0; TAG_BYTES];
    for (to, from) in tag.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    tag
}

fn millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// No later than the key.
fn ends(principal: &Principal, now: Timestamp) -> Timestamp {
    let latest = later(now, SESSION_SECONDS);
    let of_key = principal.until.and_then(|until| Timestamp::from_seconds(until).ok());
    of_key.map_or(latest, |of_key| of_key.min(latest))
}

fn later(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_seconds(now.as_seconds().saturating_add_unsigned(seconds)).unwrap_or(now)
}

fn internal(error: KeyError) -> ServiceError {
    ServiceError::Internal(error.to_string())
}

fn used() -> ServiceError {
    wrong("nonce_expired", "its nonce is over a minute old, was used, or is none of this process's: ask for another")
}

fn wrong(code: &'static str, cause: &str) -> ServiceError {
    let detail = Text::new(format!("不是可用的断言：{cause}"), format!("no assertion that can be used: {cause}"));
    ServiceError::Fields(vec![FieldError { pointer: "/assertion".to_owned(), code, detail }])
}

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "urn:mingpai:a";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_nonce_is_good_for_a_minute_at_the_node_that_made_it() {
        let (sessions, other) = (Sessions::default(), Sessions::default());
        let text = sessions.nonce(AUDIENCE, seconds(100)).unwrap();
        other.nonce(AUDIENCE, seconds(100)).unwrap();
        let nonce = sessions.own_nonce(&text, AUDIENCE).unwrap();
        assert!(nonce.is_fresh(seconds(100)) && nonce.is_fresh(seconds(159)) && !nonce.is_fresh(seconds(160)));
        assert!(!nonce.is_fresh(seconds(99)), "of a time to come");
        assert!(other.own_nonce(&text, AUDIENCE).is_none() && sessions.own_nonce(&text, "urn:mingpai:b").is_none());
        for at in 0..NONCE_BYTES {
            let mut bytes = BASE64URL.decode(&text).unwrap();
            bytes[at] ^= 1;
            assert!(sessions.own_nonce(&BASE64URL.encode(bytes), AUDIENCE).is_none(), "byte {at}");
        }
        assert!(sessions.own_nonce("", AUDIENCE).is_none() && sessions.own_nonce(&text[1..], AUDIENCE).is_none());
    }

    #[test]
    fn a_nonce_is_spent_once_and_forgotten_when_it_is_too_old_anyway() {
        let sessions = Sessions::default();
        let nonce = |at| sessions.own_nonce(&sessions.nonce(AUDIENCE, seconds(at)).unwrap(), AUDIENCE).unwrap();
        let first = nonce(10);
        assert!(sessions.spend(first, "k", seconds(10)).is_ok());
        assert!(matches!(sessions.spend(first, "k", seconds(69)), Err(ServiceError::Fields(_))));
        assert!(matches!(sessions.spend(first, "l", seconds(69)), Err(ServiceError::Fields(_))));
        assert!(sessions.spent.lock().has(&first));
        sessions.spend(nonce(71), "k", seconds(71)).unwrap();
        assert!(!sessions.spent.lock().has(&first) && !first.is_fresh(seconds(71)));
    }

    #[test]
    fn of_many_who_spend_a_nonce_at_once_one_does() {
        let sessions = Sessions::default();
        for _ in 0..50 {
            let nonce = sessions.own_nonce(&sessions.nonce(AUDIENCE, seconds(10)).unwrap(), AUDIENCE).unwrap();
            let spent = std::thread::scope(|scope| {
                let tries: Vec<_> =
                    ["a", "b", "c", "d"].map(|key| scope.spawn(|| sessions.spend(nonce, key, seconds(10)))).into();
                tries.into_iter().map(|one| one.join().unwrap()).filter(Result::is_ok).count()
            });
            assert_eq!(spent, 1);
            sessions.spent.lock().by_key.clear();
        }
    }

    #[test]
    fn one_key_signs_in_so_often_a_minute_and_others_are_not_kept_from_it() {
        let sessions = Sessions::default();
        let nonce = |at| sessions.own_nonce(&sessions.nonce(AUDIENCE, seconds(at)).unwrap(), AUDIENCE).unwrap();
        for _ in 0..SIGN_INS_OF_A_KEY {
            sessions.spend(nonce(10), "k", seconds(10)).unwrap();
        }
        assert!(matches!(sessions.spend(nonce(10), "k", seconds(10)), Err(ServiceError::Refused(Refusal::Busy))));
        assert!(sessions.spend(nonce(10), "l", seconds(10)).is_ok());
        assert!(sessions.spend(nonce(70), "k", seconds(70)).is_ok());
        assert_eq!(sessions.spent.lock().by_key.len(), 1);
    }

    fn begun(sessions: &Sessions, key: &str, elapsed: Duration) -> (String, String) {
        let id = random_text(8).unwrap();
        let token = token_text(SESSION_MARK, &id).unwrap();
        let now = Timestamp::from_seconds(1_000).unwrap();
        let view = SessionView { id: id.clone(), expires: later(now, 60), principal: Principal::administrator("a") };
        sessions.begin(&view, &token, key.to_owned(), elapsed).unwrap().keep();
        (id, token)
    }

    #[test]
    fn a_session_ends_by_both_clocks_and_the_oldest_of_too_many_ends_first() {
        let sessions = Sessions::default();
        let at = |text: &str| Timestamp::from_seconds(text.parse().unwrap()).unwrap();
        let behind = |(id, token): &(String, String), now| {
            let (_, hash) = taken_apart(SESSION_MARK, token).unwrap();
            sessions.key_behind(id, &hash, now)
        };
        let elapsed = sessions.begun.elapsed();
        let mine: Vec<_> = (0..=SESSIONS_OF_A_KEY as u32)
            .map(|count| begun(&sessions, "k", elapsed + Duration::from_secs(1) * count))
            .collect();
        let others = begun(&sessions, "l", elapsed);
        assert_eq!(behind(&mine[0], at("1000")), None, "one too many");
        assert_eq!(behind(&mine[1], at("1059")).as_deref(), Some("k"));
        assert_eq!(behind(&mine[1], at("1060")), None, "by the clock of the world");
        assert_eq!(behind(&others, at("1000")).as_deref(), Some("l"));
        assert_eq!(sessions.key_behind(&others.0, &[0; 32], at("1000")), None, "another secret");
        let (id, token) = begun(&sessions, "m", Duration::ZERO);
        let over = Arc::new(Session {
            over: Duration::ZERO,
            hash: taken_apart(SESSION_MARK, &token).unwrap().1,
            key: "m".to_owned(),
            expires: at("2000"),
        });
        sessions.open.write().sessions.insert(id.clone(), over);
        assert_eq!(behind(&(id, token), at("1000")), None, "by the clock of the process");
    }

    #[test]
    fn a_place_that_is_not_kept_is_free_again() {
        let sessions = Sessions::default();
        let token = token_text(SESSION_MARK, "a").unwrap();
        let expires = Timestamp::from_seconds(1_000).unwrap();
        let view = SessionView { id: "a".to_owned(), expires, principal: Principal::administrator("a") };
        drop(sessions.begin(&view, &token, "k".to_owned(), seconds(1)).unwrap());
        assert!(sessions.open.read().sessions.is_empty() && sessions.open.read().by_key.is_empty());
        sessions.begin(&view, &token, "k".to_owned(), seconds(1)).unwrap().keep();
        sessions.open.write().sweep(seconds(1 + SESSION_SECONDS));
        assert!(sessions.open.read().sessions.is_empty() && sessions.open.read().by_key.is_empty());
    }

    #[test]
    fn a_session_is_no_longer_than_its_key() {
        let now = Timestamp::from_seconds(1_000).unwrap();
        let until = |until| Principal::of_key("a", "administrator", &[], until).unwrap();
        for (of_key, ends_at) in [(None, 1_900), (Some(1_500), 1_500), (Some(5_000), 1_900)] {
            assert_eq!(ends(&until(of_key), now).as_seconds(), ends_at, "{of_key:?}");
        }
    }
}
