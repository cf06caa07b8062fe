//! A public key that somebody sends: a JWK (RFC 8037), of which only the key itself is believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value as Json;

use crate::model::text::Text;
use crate::sign::keys::PublicJwk;

/// The key, its id computed; or the step of a JSON pointer to what is wrong, and what that is. A private half is refused: it
/// belongs to nobody here.
pub(super) fn public_key(json: &Json) -> Result<PublicJwk, (&'static str, Text)> {
    if json.get("d").is_some() {
        let (zh, en) = (
            "是私钥：只可给出公钥，此私钥应视为已泄露",
            "a private key: send the public half only, and take this one for exposed",
        );
        return Err(("/d", Text::new(zh, en)));
    }
    let member = |name: &str| json.get(name).and_then(Json::as_str);
    let is_ed25519 = member("kty") == Some("OKP") && member("crv") == Some("Ed25519");
    let public = member("x").and_then(|x| BASE64URL.decode(x).ok()).filter(|x| is_ed25519 && x.len() == 32);
    let Some(key) = public.map(|public| PublicJwk::of(&public)) else {
        let (zh, en) =
            ("应为 Ed25519 公钥的 JWK（kty、crv、x）", "must be the JWK of an Ed25519 public key (kty, crv, x)");
        return Err(("", Text::new(zh, en)));
    };
    if !key.is_sound() {
        let (zh, en) = (
            "不是可用的 Ed25519 公钥：该点不在主子群中或编码不规范，其签名证明不了什么",
            "no key whose signatures prove anything: the point is outside the group of prime order, or not in its canonical form",
        );
        return Err(("/x", Text::new(zh, en)));
    }
    Ok(key)
}
