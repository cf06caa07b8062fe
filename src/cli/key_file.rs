//! Public keys that a command is given: a JWK, a JWK Set or a list, in a file or as the argument itself.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde_json::Value as Json;

use super::failure::CliError;
use crate::sign::keys::PublicJwk;

/// The largest file that is read as keys.
const LIMIT_BYTES: u64 = 1 << 20;

/// The Ed25519 keys of a JWK Set, a list of keys, or one key. Of each only `x` is believed: the id is computed from it.
pub fn ed25519_keys(document: &Json) -> Vec<PublicJwk> {
    let listed = document.get("keys").unwrap_or(document);
    let listed = match listed {
        Json::Array(keys) => keys.as_slice(),
        one => std::slice::from_ref(one),
    };
    let member = |key: &Json, name: &str| key.get(name).and_then(Json::as_str).map(str::to_owned);
    listed
        .iter()
        .filter(|key| member(key, "kty").as_deref() == Some("OKP") && member(key, "crv").as_deref() == Some("Ed25519"))
        .filter_map(|key| BASE64URL.decode(member(key, "x")?).ok())
        .filter(|public| public.len() == 32)
        .map(|public| PublicJwk::of(&public))
        .collect()
}

/// The keys that an argument gives: the text of a JWK, or the name of a file with one or several. Of a private key's file the
/// public half is taken.
pub fn read_public_keys(argument: &str) -> Result<Vec<PublicJwk>, CliError> {
    let text = if argument.trim_start().starts_with('{') {
        argument.to_owned()
    } else {
        let path = Path::new(argument);
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(LIMIT_BYTES).read_to_string(&mut text));
        read.map_err(CliError::file("读取公钥文件", "read the key file", path))?;
        text
    };
    let keys = serde_json::from_str(&text).map(|document| ed25519_keys(&document)).unwrap_or_default();
    if keys.is_empty() {
        // What was given may be a secret: it is not repeated.
        return Err(CliError::wrong(
            "给出的不是 Ed25519 公钥（JWK 或 JWK Set）",
            "what was given holds no Ed25519 key (a JWK or a JWK Set)",
        ));
    }
    Ok(keys)
}

/// The same where one key is meant.
pub fn read_public_key(argument: &str) -> Result<PublicJwk, CliError> {
    let mut keys = read_public_keys(argument)?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(CliError::wrong("须恰为一把公钥", "exactly one key is meant")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_found_in_a_set_a_list_and_alone_and_their_ids_are_computed() {
        // RFC 8037, appendix A.2.
        let key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "claimed",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        let rsa = json!({"kty": "RSA", "n": "AQAB"});
        for document in [json!({"keys": [rsa, key]}), json!([key]), key.clone()] {
            let keys = ed25519_keys(&document);
            assert_eq!(keys.len(), 1);
            assert_eq!(keys[0].kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        }
        assert_eq!(read_public_key(&key.to_string()).unwrap().kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert!(ed25519_keys(&json!({"keys": [rsa]})).is_empty());
        assert!(ed25519_keys(&json!("text")).is_empty());
        assert!(read_public_key("{}").is_err());
    }
}
