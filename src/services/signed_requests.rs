//! Requests that are signed themselves (HTTP Message Signatures, RFC 9421): no session, no secret, one request each.
//!
//! The signature names an API key that was registered with a public key, says for which node it was made and when, and has a
//! nonce. It is good once and for five minutes. What was used is remembered in memory, so what is forgotten must be refused by its
//! time: that is `Spent::cut_off`, which a start of the process and a sweep raise, and nothing lowers. Not here: what of a request
//! is signed (codec/http/signature).

use std::collections::HashMap;

use parking_lot::Mutex;

use super::token::sha256;
use super::{ServiceError, Services};
use crate::model::principal::Principal;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::signature::{SIGNATURE_BYTES, made};
use crate::store::Refusal;

/// How long a signature is good.
pub const LIFE_SECONDS: i64 = 300;
/// How far the clock of a signer may be ahead.
pub const AHEAD_SECONDS: i64 = 5;
/// What a signature's tag begins with; the node's name follows. So nothing else that the key signs can pass for a request, nor a
/// request to another node for one to this.
pub const TAG: &str = "mingpai-request:";

/// Nonces that are remembered, of all keys and of one: 32 bytes each.
const MOST_SPENT: usize = 200_000;
const MOST_OF_A_KEY: usize = 20_000;
/// Between two sweeps, which look at all of them.
const SWEEP_SECONDS: i64 = 5;
const NONCE_BYTES: usize = 16;

/// A request's signature, taken apart and not yet checked.
pub struct SignedRequest {
    /// The id of the API key (`keyid`).
    pub key: String,
    /// Epoch seconds.
    pub created: i64,
    pub expires: Option<i64>,
    pub nonce: String,
    pub tag: String,
    /// What is signed (RFC 9421, section 2.5).
    pub base: String,
    pub signature: [u8; SIGNATURE_BYTES],
}

/// What was signed and used.
pub struct SignedRequests(Mutex<Spent>);

impl Default for SignedRequests {
    fn default() -> SignedRequests {
        SignedRequests(Mutex::new(Spent::since(Timestamp::now().as_seconds())))
    }
}

impl Services {
    /// What the tag of a signature must be. A mirror knows no keys.
    pub fn request_tag(&self) -> Result<String, ServiceError> {
        Ok(format!("{TAG}{}", self.signing()?.issuer))
    }

    /// Who has signed a request. What is wrong with its tag or times is told; whether there is such a key, and whether it made
    /// the signature, are one answer, given after the same work. That its nonce was used is told to who can sign only.
    pub fn signer_of(&self, request: &SignedRequest, now: Timestamp) -> Result<Principal, ServiceError> {
        if self.mirror().is_some() {
            return Err(ServiceError::BadCredential);
        }
        let found = self.judged_signer(request, now);
        if let Err(error @ (ServiceError::BadCredential | ServiceError::SignatureUnusable(_))) = &found {
            let code = ServiceError::BadCredential.code();
            self.note_denial(&self.principal_named(Some(&request.key)), code, now);
            tracing::debug!(code = error.code(), "a signed request was refused");
        }
        found
    }

    fn judged_signer(&self, request: &SignedRequest, now: Timestamp) -> Result<Principal, ServiceError> {
        let tag = self.request_tag()?;
        if request.tag != tag {
            return Err(unusable(&format!("tag 应为 \"{tag}\""), &format!("its tag must be \"{tag}\"")));
        }
        let now_seconds = now.as_seconds();
        request.is_in_time(now_seconds)?;
        let principal =
            self.holder_of(&request.key, now, |public| made(public, request.base.as_bytes(), &request.signature))?;
        self.signed_requests.0.lock().spend(&request.key, request.created, &request.nonce, now_seconds)?;
        Ok(principal)
    }
}

impl SignedRequest {
    fn is_in_time(&self, now: i64) -> Result<(), ServiceError> {
        if self.created < now.saturating_sub(LIFE_SECONDS) {
            return Err(unusable("created 早于 300 秒之前", "it was created more than 300 seconds ago"));
        }
        if self.created > now.saturating_add(AHEAD_SECONDS) {
            return Err(unusable(
                "created 晚于本节点的时钟 5 秒以上",
                "its created is more than 5 seconds ahead of this node's clock",
            ));
        }
        if self.expires.is_some_and(|expires| expires <= now) {
            return Err(unusable("expires 已过", "its expires is past"));
        }
        Ok(())
    }
}

/// Nonces that were used, by key, with the time that each was signed with.
struct Spent {
    /// What was created no later is refused: whether it was used is not known any more.
    cut_off: i64,
    by_key: HashMap<String, HashMap<[u8; NONCE_BYTES], i64>>,
    count: usize,
    swept: i64,
}

impl Spent {
    /// Of a process that has begun: one before it may have taken what was signed until now, by a clock that was ahead, too.
    fn since(begun: i64) -> Spent {
        Spent { cut_off: begun.saturating_add(AHEAD_SECONDS), by_key: HashMap::new(), count: 0, swept: begun }
    }

    /// Uses a nonce up; of two who try at once, one does.
    fn spend(&mut self, key: &str, created: i64, nonce: &str, now: i64) -> Result<(), ServiceError> {
        self.sweep(now);
        if created <= self.cut_off {
            return Err(unusable(
                "它的签名时间不晚于本节点启动后 5 秒，或早于本节点仍记得的时间：请稍候重新签名",
                "it was signed before this node had been up for 5 seconds, or before what it remembers: sign anew in a moment",
            ));
        }
        let mut short = [0; NONCE_BYTES];
        short.iter_mut().zip(sha256(nonce.as_bytes())).for_each(|(to, from)| *to = from);
        let of_key = self.by_key.get(key);
        if of_key.is_some_and(|spent| spent.contains_key(&short)) {
            return Err(unusable("nonce 已经用过", "its nonce was used before"));
        }
        if self.count >= MOST_SPENT || of_key.is_some_and(|spent| spent.len() >= MOST_OF_A_KEY) {
            return Err(ServiceError::Refused(Refusal::Busy));
        }
        self.by_key.entry(key.to_owned()).or_default().insert(short, created);
        self.count += 1;
        Ok(())
    }

    /// Forgets what is refused for its age, and sees to it that it stays refused, also where the clock is set back.
    fn sweep(&mut self, now: i64) {
        if now.saturating_sub(self.swept).unsigned_abs() < SWEEP_SECONDS.unsigned_abs() {
            return;
        }
        self.swept = now;
        self.cut_off = self.cut_off.max(now.saturating_sub(LIFE_SECONDS).saturating_sub(1));
        let cut_off = self.cut_off;
        self.by_key.retain(|_, spent| {
            spent.retain(|_, created| *created > cut_off);
            !spent.is_empty()
        });
        self.count = self.by_key.values().map(HashMap::len).sum();
    }
}

/// A signature that is refused whoever made it, and why.
fn unusable(zh: &str, en: &str) -> ServiceError {
    ServiceError::SignatureUnusable(Text::new(zh, en))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: Result<(), ServiceError>) -> String {
        match result {
            Ok(()) => "good".to_owned(),
            Err(ServiceError::SignatureUnusable(cause)) => cause.en,
            Err(other) => other.code().to_owned(),
        }
    }

    #[test]
    fn a_nonce_is_good_once_for_each_key() {
        let mut spent = Spent::since(0);
        assert_eq!(told(spent.spend("a", 1_000, "n", 1_000)), "good");
        assert_eq!(told(spent.spend("b", 1_000, "n", 1_000)), "good", "another key's is another");
        assert_eq!(told(spent.spend("a", 1_000, "m", 1_000)), "good");
        for created in [1_000, 1_001] {
            assert_eq!(told(spent.spend("a", created, "n", 1_200)), "its nonce was used before", "{created}");
        }
    }

    #[test]
    fn what_may_have_been_used_before_the_process_began_is_refused() {
        let mut spent = Spent::since(1_000);
        for created in [0, 999, 1_000, 1_000 + AHEAD_SECONDS] {
            assert!(told(spent.spend("a", created, "n", 1_004)).starts_with("it was signed before"), "{created}");
        }
        assert_eq!(told(spent.spend("a", 1_001 + AHEAD_SECONDS, "n", 1_004)), "good");
    }

    #[test]
    fn what_is_forgotten_is_refused_even_if_the_clock_is_set_back() {
        let mut spent = Spent::since(0);
        assert_eq!(told(spent.spend("a", 1_000, "n", 1_000)), "good");
        // Still within its life: still known.
        assert_eq!(told(spent.spend("a", 1_000, "n", 1_000 + LIFE_SECONDS)), "its nonce was used before");
        assert_eq!(told(spent.spend("a", 2_000, "m", 2_000)), "good");
        assert_eq!((spent.count, spent.by_key["a"].len()), (1, 1), "the first one is forgotten");
        assert!(
            told(spent.spend("a", 1_000, "n", 1_001)).starts_with("it was signed before"),
            "the clock was set back"
        );
    }

    #[test]
    fn memory_is_bounded_and_one_key_does_not_use_up_that_of_others() {
        let mut spent = Spent::since(0);
        for nonce in 0..MOST_OF_A_KEY {
            assert!(spent.spend("a", 1_000, &nonce.to_string(), 1_000).is_ok());
        }
        assert!(matches!(spent.spend("a", 1_000, "more", 1_000), Err(ServiceError::Refused(Refusal::Busy))));
        assert_eq!(told(spent.spend("b", 1_000, "more", 1_000)), "good");
        // It goes on as soon as the oldest are forgotten.
        assert_eq!(told(spent.spend("a", 1_400, "more", 1_400)), "good");
        assert_eq!(spent.count, 1);
    }

    #[test]
    fn a_signature_is_good_for_its_time() {
        let request = |created, expires| SignedRequest {
            key: String::new(),
            created,
            expires,
            nonce: String::new(),
            tag: String::new(),
            base: String::new(),
            signature: [0; SIGNATURE_BYTES],
        };
        for (created, expires, good) in [
            (700, None, true),
            (699, None, false),
            (1_005, None, true),
            (1_006, None, false),
            (900, Some(1_001), true),
            (900, Some(1_000), false),
            (i64::MAX, Some(i64::MAX), false),
            (i64::MIN, None, false),
        ] {
            assert_eq!(request(created, expires).is_in_time(1_000).is_ok(), good, "{created} {expires:?}");
        }
    }
}
