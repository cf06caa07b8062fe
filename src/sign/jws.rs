//! Compact JWS (RFC 7515) with EdDSA (RFC 8037): what every statement of the node is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::keys::{PublicJwk, SigningKey};
use super::repeated::SignatureChecker;
use super::signature::made;

/// The `typ` of a record's entry.
pub const ENTRY_TYPE: &str = "mingpai-entry+sd-jwt";
/// The `typ` of a statement about entry keys.
pub const KEYS_TYPE: &str = "mingpai-keys+jwt";
/// The `typ` of an audit event.
pub const AUDIT_TYPE: &str = "mingpai-audit+jwt";
/// The `typ` of a statement by which the log takes another name.
pub const ORIGIN_TYPE: &str = "mingpai-origin+jwt";
/// The `typ` of a statement that an entry key's signatures count no more from some index on.
pub const KEY_END_TYPE: &str = "mingpai-key-end+jwt";
/// The `typ` of a licence: a prefix, and who may use it by which key.
pub const LICENCE_TYPE: &str = "mingpai-licence+jwt";
/// The `typ` of a licence's end.
pub const LICENCE_END_TYPE: &str = "mingpai-licence-end+jwt";
/// The `typ` of an upper node's own word that a prefix is this node's; it stands inside a licence.
pub const GRANT_TYPE: &str = "mingpai-grant+jwt";
/// The `typ` of an owner's signature over what is registered.
pub const OWNER_TYPE: &str = "mingpai-owner+jwt";
/// The `typ` of the node's word that a version is the newest at a head of the log; no leaf.
pub const LATEST_TYPE: &str = "mingpai-latest+jwt";
/// The `typ` of the node's word that it has no such name at a head of the log; no leaf.
pub const ABSENT_TYPE: &str = "mingpai-absent+jwt";
/// The `typ` of an assertion by which a key's holder begins a session; no leaf.
pub const SESSION_TYPE: &str = "mingpai-session+jwt";
/// The `typ` of an erasure.
pub const ERASURE_TYPE: &str = "mingpai-erasure+jwt";

/// The protected header. The algorithm is a field: another one is another value, not another format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub alg: String,
    pub typ: String,
    pub kid: String,
    /// Extensions that a reader must know (RFC 7515, section 4.1.11), and none is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    crit: Option<serde_json::Value>,
}

/// A compact JWS taken apart, its signature not yet checked.
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    pub header: Header,
    /// The payload's JSON bytes.
    pub payload: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Signs a payload of JSON bytes.
pub fn sign(key: &SigningKey, typ: &str, payload: &[u8]) -> String {
    // Written by hand: three known strings, and this runs once an entry.
    let header = format!(r#"{{"alg":"EdDSA","typ":"{typ}","kid":"{}"}}"#, key.kid());
    let mut out = String::with_capacity(header.len() * 4 / 3 + payload.len() * 4 / 3 + 96);
    URL_SAFE_NO_PAD.encode_append(header, &mut out);
    out.push('.');
    URL_SAFE_NO_PAD.encode_append(payload, &mut out);
    let signature = key.sign(out.as_bytes());
    out.push('.');
    URL_SAFE_NO_PAD.encode_append(signature, &mut out);
    out
}

impl<'a> Parsed<'a> {
    /// Takes a compact JWS apart; says in a word what is wrong with it.
    pub fn parse(compact: &'a str) -> Result<Parsed<'a>, &'static str> {
        let (signed, signature) = compact.rsplit_once('.').ok_or("it has no signature part")?;
        let (header, payload) = signed.split_once('.').ok_or("it has no payload part")?;
        let header = BASE64URL.decode(header).map_err(|_| "its header is not base64url")?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| "its header lacks alg, typ or kid")?;
        if header.crit.is_some() {
            return Err("its header names extensions (crit) that are not known here");
        }
        Ok(Parsed {
            header,
            payload: BASE64URL.decode(payload).map_err(|_| "its payload is not base64url")?,
            signed,
            signature: BASE64URL.decode(signature).map_err(|_| "its signature is not base64url")?,
        })
    }

    /// Whether this key made the signature. Only EdDSA, and only the key that the header names.
    pub fn verify(&self, key: &PublicJwk) -> bool {
        self.names(key) && key.public().is_some_and(|public| self.is_signed_by(&public))
    }

    /// Whether the raw key made the signature, whatever the header names.
    pub fn is_signed_by(&self, public: &[u8]) -> bool {
        made(public, self.signed.as_bytes(), &self.signature)
    }

    /// The same, by one who checks many.
    pub fn verify_by(&self, key: &PublicJwk, checker: &mut SignatureChecker) -> bool {
        self.names(key) && checker.made(key, self.signed.as_bytes(), &self.signature)
    }

    fn names(&self, key: &PublicJwk) -> bool {
        self.header.alg == "EdDSA" && self.header.kid == key.kid
    }
}

/// The `typ` of a statement whose checksum held.
pub fn type_of(statement: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(statement).map_err(|_| "not text".to_owned())?;
    Parsed::parse(text).map(|parsed| parsed.header.typ).map_err(str::to_owned)
}

/// The payload of a statement whose checksum held: no signature check, for reading back what this node wrote.
pub fn payload_of(statement: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(statement).map_err(|_| "not text".to_owned())?;
    let payload = text.split('.').nth(1).ok_or("no payload part")?;
    URL_SAFE_NO_PAD.decode_to_vec(payload).map_err(|_| "the payload is not base64url".to_owned())
}
