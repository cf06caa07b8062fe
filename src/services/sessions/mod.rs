//! Sessions: the holder of a private key signs the node's challenge, and has a token for a quarter of an hour.
//!
//! A challenge is a nonce that this process alone could have made, so that asking for one costs nobody memory. An assertion
//! over it (sign/assertion) is good once and for a minute. What comes of it opens what the API key opens that the assertion
//! names, and nothing once that is revoked or over. Sessions live in memory: a restart ends them all, and their keys sign anew.
//!
//! - `nonces`: what is signed. `open`: the sessions that live.

mod nonces;
mod open;

use std::time::{Duration, Instant};

use nonces::{Nonce, Nonces};
use open::OpenSessions;

use super::token::{SESSION_MARK, random_text, taken_apart, token_text};
use super::{ServiceError, Services};
use crate::model::field::FieldError;
use crate::model::principal::Principal;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::assertion::{self, Claims};
use crate::sign::jws::Parsed;
use crate::sign::keys::{KeyError, PublicJwk};
use crate::sign::statement::AuditEvent;

/// How long a nonce is good.
pub const NONCE_SECONDS: u64 = 60;
/// How long a session is, at most: it ends with its key.
pub const SESSION_SECONDS: u64 = 15 * 60;
/// Of one key at a time; one more ends the oldest.
pub const SESSIONS_OF_A_KEY: usize = 16;
/// Sign-ins of one key within a nonce's life, or one key could fill the journal with them.
pub const SIGN_INS_OF_A_KEY: usize = 30;

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
    nonces: Nonces,
    open: OpenSessions,
}

impl Default for Sessions {
    fn default() -> Sessions {
        Sessions { begun: Instant::now(), nonces: Nonces::default(), open: OpenSessions::default() }
    }
}

impl Services {
    /// What the holder of a key is to sign. Says the same to everybody.
    pub fn challenge(&self, now: Timestamp) -> Result<Challenge, ServiceError> {
        let audience = self.signing()?.issuer.clone();
        let nonce = self.sessions.nonces.make(&audience, self.sessions.begun.elapsed()).map_err(internal)?;
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
        self.sessions.nonces.spend(nonce, &claims.sub, elapsed)?;
        let id = random_text(8).map_err(internal)?;
        let token = token_text(SESSION_MARK, &id).map_err(internal)?;
        let view = SessionView { expires: ends(&principal, now), id, principal };
        let event = AuditEvent::SessionOpened {
            session: view.id.clone(),
            key: claims.sub.clone(),
            expires: view.expires.as_seconds(),
        };
        // Its place before its note: what is noted has begun.
        let place = self.sessions.open.begin(&view, &token, claims.sub, elapsed)?;
        self.audit(event, &view.principal.id).await?;
        place.keep();
        Ok(NewSession { view, token })
    }

    /// The session behind a token, if it is one's.
    #[must_use]
    pub fn session(&self, token: &str, now: Timestamp) -> Option<SessionView> {
        let (id, _) = taken_apart(SESSION_MARK, token)?;
        let principal = self.authenticate(token, now).ok()?;
        let expires = self.sessions.open.expires(id)?;
        Some(SessionView { id: id.to_owned(), expires, principal })
    }

    /// Ends the session behind a token.
    pub async fn close_session(&self, session: &SessionView) -> Result<(), ServiceError> {
        // Over whatever becomes of the note: who signs out must not be told that he is still in.
        let closed = self.sessions.open.remove(&session.id);
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
        let nonces = &self.sessions.nonces;
        nonces.read(&claims.nonce, audience).filter(|nonce| nonces.is_good(nonce, elapsed)).ok_or_else(used)
    }

    /// Who has signed.
    fn signer(&self, assertion: &Parsed<'_>, id: &str, now: Timestamp) -> Result<Principal, ServiceError> {
        let has_signed =
            |public: &[u8]| assertion.is_signed_by(public) && assertion.header.kid == PublicJwk::of(public).kid;
        self.holder_of(id, now, has_signed).inspect_err(|error| {
            if let ServiceError::BadCredential = error {
                self.note_denial(&self.principal_named(Some(id)), error.code(), now);
            }
        })
    }
}

impl Services {
    /// The key behind a session that lives.
    pub(super) fn key_behind(&self, id: &str, hash: &[u8; 32], now: Timestamp) -> Option<String> {
        self.sessions.open.key_behind(id, hash, now, self.sessions.begun.elapsed())
    }

    /// The key whose session a token is or was, as long as that is remembered: for the audit log, where it opens nothing any more.
    pub(super) fn key_of_session(&self, token: &str) -> Option<String> {
        let (id, hash) = taken_apart(SESSION_MARK, token)?;
        self.sessions.open.key_that_was_behind(id, &hash)
    }
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

    #[test]
    fn a_session_is_no_longer_than_its_key() {
        let now = Timestamp::from_seconds(1_000).unwrap();
        let until = |until| Principal::of_key("a", "administrator", &[], until).unwrap();
        for (of_key, ends_at) in [(None, 1_900), (Some(1_500), 1_500), (Some(5_000), 1_900)] {
            assert_eq!(ends(&until(of_key), now).as_seconds(), ends_at, "{of_key:?}");
        }
    }
}
