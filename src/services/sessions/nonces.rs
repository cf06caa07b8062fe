//! Nonces: each made by this process, good once and for a minute. Making one costs no memory, using one does.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use parking_lot::{Mutex, RwLock};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::{NONCE_SECONDS, SIGN_INS_OF_A_KEY};
use crate::services::ServiceError;
use crate::services::token::are_same;
use crate::sign::keys::KeyError;
use crate::store::Refusal;

/// Nonces within their minute that are spent, of all keys.
const MOST_SPENT: usize = 20_000;

/// Of a nonce: when it was made, in milliseconds of this process; its own random bytes; the proof that it was made here.
const TIME_BYTES: usize = 8;
const RANDOM_BYTES: usize = 16;
const TAG_BYTES: usize = 16;
const NONCE_BYTES: usize = TIME_BYTES + RANDOM_BYTES + TAG_BYTES;

/// What nonces are known by, and which of them are used up.
#[derive(Default)]
pub(super) struct Nonces {
    /// Made when the first one is asked for.
    own: RwLock<Option<hmac::Key>>,
    spent: Mutex<Spent>,
}

/// Nonces that were used, by their random bytes, until they are too old anyway; and how often by whom.
#[derive(Default)]
struct Spent {
    nonces: HashMap<[u8; RANDOM_BYTES], (Duration, String)>,
    by_key: HashMap<String, usize>,
    swept: Duration,
}

/// A nonce that was made here.
#[derive(Clone, Copy)]
pub(super) struct Nonce {
    made: Duration,
    random: [u8; RANDOM_BYTES],
}

impl Nonces {
    pub(super) fn make(&self, audience: &str, elapsed: Duration) -> Result<String, KeyError> {
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
    pub(super) fn read(&self, text: &str, audience: &str) -> Option<Nonce> {
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

    /// Whether it may still be used.
    pub(super) fn is_good(&self, nonce: &Nonce, elapsed: Duration) -> bool {
        nonce.is_fresh(elapsed) && !self.spent.lock().has(nonce)
    }

    /// Uses a nonce up; of two who try at once, one does.
    pub(super) fn spend(&self, nonce: Nonce, key: &str, elapsed: Duration) -> Result<(), ServiceError> {
        let mut spent = self.spent.lock();
        spent.sweep(elapsed);
        if spent.has(&nonce) {
            return Err(super::used());
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

#[cfg(test)]
mod tests {
    use super::*;

    const AUDIENCE: &str = "urn:mingpai:a";

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_nonce_is_good_for_a_minute_at_the_node_that_made_it() {
        let (nonces, other) = (Nonces::default(), Nonces::default());
        let text = nonces.make(AUDIENCE, seconds(100)).unwrap();
        other.make(AUDIENCE, seconds(100)).unwrap();
        let nonce = nonces.read(&text, AUDIENCE).unwrap();
        assert!(nonce.is_fresh(seconds(100)) && nonce.is_fresh(seconds(159)) && !nonce.is_fresh(seconds(160)));
        assert!(!nonce.is_fresh(seconds(99)), "of a time to come");
        assert!(other.read(&text, AUDIENCE).is_none() && nonces.read(&text, "urn:mingpai:b").is_none());
        for at in 0..NONCE_BYTES {
            let mut bytes = BASE64URL.decode(&text).unwrap();
            bytes[at] ^= 1;
            assert!(nonces.read(&BASE64URL.encode(bytes), AUDIENCE).is_none(), "byte {at}");
        }
        assert!(nonces.read("", AUDIENCE).is_none() && nonces.read(&text[1..], AUDIENCE).is_none());
    }

    #[test]
    fn a_nonce_is_spent_once_and_forgotten_when_it_is_too_old_anyway() {
        let nonces = Nonces::default();
        let nonce = |at| nonces.read(&nonces.make(AUDIENCE, seconds(at)).unwrap(), AUDIENCE).unwrap();
        let first = nonce(10);
        assert!(nonces.spend(first, "k", seconds(10)).is_ok());
        assert!(matches!(nonces.spend(first, "k", seconds(69)), Err(ServiceError::Fields(_))));
        assert!(matches!(nonces.spend(first, "l", seconds(69)), Err(ServiceError::Fields(_))));
        assert!(nonces.spent.lock().has(&first));
        nonces.spend(nonce(71), "k", seconds(71)).unwrap();
        assert!(!nonces.spent.lock().has(&first) && !first.is_fresh(seconds(71)));
    }

    #[test]
    fn of_many_who_spend_a_nonce_at_once_one_does() {
        let nonces = Nonces::default();
        for _ in 0..50 {
            let nonce = nonces.read(&nonces.make(AUDIENCE, seconds(10)).unwrap(), AUDIENCE).unwrap();
            let spent = std::thread::scope(|scope| {
                let tries: Vec<_> =
                    ["a", "b", "c", "d"].map(|key| scope.spawn(|| nonces.spend(nonce, key, seconds(10)))).into();
                tries.into_iter().map(|one| one.join().unwrap()).filter(Result::is_ok).count()
            });
            assert_eq!(spent, 1);
            nonces.spent.lock().by_key.clear();
        }
    }

    #[test]
    fn one_key_signs_in_so_often_a_minute_and_others_are_not_kept_from_it() {
        let nonces = Nonces::default();
        let nonce = |at| nonces.read(&nonces.make(AUDIENCE, seconds(at)).unwrap(), AUDIENCE).unwrap();
        for _ in 0..SIGN_INS_OF_A_KEY {
            nonces.spend(nonce(10), "k", seconds(10)).unwrap();
        }
        assert!(matches!(nonces.spend(nonce(10), "k", seconds(10)), Err(ServiceError::Refused(Refusal::Busy))));
        assert!(nonces.spend(nonce(10), "l", seconds(10)).is_ok());
        assert!(nonces.spend(nonce(70), "k", seconds(70)).is_ok());
        assert_eq!(nonces.spent.lock().by_key.len(), 1);
    }
}
