//! The assertion by which the holder of a private key begins a session: a compact JWS over the node's own challenge.
//!
//! It names the API key, the node and one nonce of that node, so that it is good once, there and for a minute. A JWT as RFC 7523
//! has it (section 3), with a `typ` of its own, so that nothing else that the key ever signs can pass for it.

use serde::{Deserialize, Serialize};

use super::jws::{self, Parsed, SESSION_TYPE};
use super::keys::SigningKey;

/// The largest one that is read.
pub const MAX_ASSERTION_BYTES: usize = 4_096;

/// What is signed. Other claims may stand beside them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The id of the API key.
    pub sub: String,
    /// The node, as its challenge names it.
    pub aud: String,
    pub nonce: String,
    /// Epoch seconds, where the signer sets bounds of its own (RFC 7519, sections 4.1.4 and 4.1.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
}

/// The assertion, signed.
pub fn sign(key: &SigningKey, claims: &Claims) -> Result<String, serde_json::Error> {
    Ok(jws::sign(key, SESSION_TYPE, &serde_json::to_vec(claims)?))
}

/// Takes an assertion apart, its signature not yet checked; says in a sentence what is wrong with it.
pub fn read(compact: &str) -> Result<(Parsed<'_>, Claims), &'static str> {
    if compact.len() > MAX_ASSERTION_BYTES {
        return Err("it is longer than 4,096 bytes");
    }
    let parsed = Parsed::parse(compact)?;
    if parsed.header.alg != "EdDSA" {
        return Err("its alg is not EdDSA");
    }
    if parsed.header.typ != SESSION_TYPE {
        return Err("its typ is not mingpai-session+jwt");
    }
    let claims = serde_json::from_slice(&parsed.payload)
        .map_err(|_| "it lacks sub, aud or nonce, or one of them is no text, or exp or nbf no whole number")?;
    Ok((parsed, claims))
}
