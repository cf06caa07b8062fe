//! The owner's signature: an enterprise's own JWS over an identifier, the version that its entry will have, and a digest of the
//! content.
//!
//! The digest is SHA-256, base64url, over the canonical JSON (RFC 8785) of an object with `status`, `template` (where there is
//! one), `values`, `links` and `aliases`, each as the record's JSON has it once it is registered, but no value with its
//! `timestamp`: that is the node's to set. Nothing that a node signs again changes a letter of it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::jcs::{self, Inexact};
use super::jws::{self, OWNER_TYPE, Parsed};
use super::keys::SigningKey;
use crate::model::alias::Alias;
use crate::model::draft::MAX_OWNER_JWS_BYTES;
use crate::model::link::Link;
use crate::model::record::{Record, Status};
use crate::model::value::Value;

/// What an owner signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerPayload {
    /// The identifier.
    pub sub: String,
    /// The version that the entry will have: 1 for a new record.
    pub ver: u64,
    /// Of the content.
    pub digest: String,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    #[error(transparent)]
    Inexact(#[from] Inexact),
    #[error("the content does not encode: {0}")]
    Encode(#[from] serde_json::Error),
}

/// The part of a record that its owner signs.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    pub status: Status,
    pub template: Option<&'a str>,
    /// Sorted by index.
    pub values: &'a [Value],
    pub links: &'a [Link],
    pub aliases: &'a [Alias],
}

impl<'a> Content<'a> {
    #[must_use]
    pub fn of(record: &'a Record) -> Content<'a> {
        Content {
            status: record.status,
            template: record.template.as_deref(),
            values: &record.values,
            links: &record.links,
            aliases: &record.aliases,
        }
    }

    /// The bytes that the digest is over.
    pub fn canonical(&self) -> Result<Vec<u8>, DigestError> {
        let mut values = serde_json::to_value(self.values)?;
        for value in values.as_array_mut().into_iter().flatten().filter_map(Json::as_object_mut) {
            value.remove("timestamp");
        }
        let mut content = Map::new();
        content.insert("status".to_owned(), self.status.as_str().into());
        if let Some(template) = self.template {
            content.insert("template".to_owned(), template.into());
        }
        content.insert("values".to_owned(), values);
        content.insert("links".to_owned(), serde_json::to_value(self.links)?);
        content.insert("aliases".to_owned(), serde_json::to_value(self.aliases)?);
        Ok(jcs::canonical(&Json::Object(content))?)
    }

    /// The digest, base64url.
    pub fn digest(&self) -> Result<String, DigestError> {
        Ok(BASE64URL.encode(digest(&SHA256, &self.canonical()?)))
    }
}

impl OwnerPayload {
    /// What the owner of a record signs.
    pub fn of(record: &Record) -> Result<OwnerPayload, DigestError> {
        let (sub, ver) = (record.identifier.spelling().to_owned(), record.version);
        Ok(OwnerPayload { sub, ver, digest: Content::of(record).digest()? })
    }

    /// The compact JWS.
    pub fn sign(&self, key: &SigningKey) -> Result<String, serde_json::Error> {
        Ok(jws::sign(key, OWNER_TYPE, &serde_json::to_vec(self)?))
    }

    /// Takes an owner's JWS apart, its signature not yet checked; says in a word what is wrong with it.
    pub fn read(compact: &str) -> Result<(Parsed<'_>, OwnerPayload), &'static str> {
        if compact.len() > MAX_OWNER_JWS_BYTES {
            return Err("it is too long");
        }
        let parsed = Parsed::parse(compact)?;
        if parsed.header.typ != OWNER_TYPE || parsed.header.alg != "EdDSA" {
            return Err("its typ or alg is not that of an owner's signature");
        }
        let payload = serde_json::from_slice(&parsed.payload).map_err(|_| "it lacks sub, ver or digest")?;
        Ok((parsed, payload))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::time::Timestamp;

    fn record(json: &Json, time: &str) -> Record {
        let now = Timestamp::parse(time).unwrap();
        Record::first(Identifier::parse("88.999.1/A").unwrap(), Draft::from_json(json, now).unwrap(), now)
    }

    #[test]
    fn the_digest_is_over_what_is_registered_and_not_over_the_nodes_times() {
        let draft = json!({"values": [{"index": 2000, "type": "名称", "data": "螺栓"}]});
        let first = record(&draft, "2026-11-23T15:24:37Z");
        let expected = r#"{"aliases":[],"links":[],"status":"active","values":[{"data":{"format":"string","value":"螺栓"},"index":2000,"ttl":86400,"type":"名称"}]}"#;
        assert_eq!(Content::of(&first).canonical().unwrap(), expected.as_bytes());
        let later = record(&draft, "2027-01-01T00:00:00Z");
        assert_eq!(Content::of(&first).digest().unwrap(), Content::of(&later).digest().unwrap());
        for other in [
            json!({"values": [{"index": 2000, "type": "名称", "data": "螺母"}]}),
            json!({"status": "suspended", "values": draft["values"]}),
            json!({"template": "t", "values": draft["values"]}),
            json!({"aliases": [{"scheme": "gs1", "identifier": "09506000134352"}], "values": draft["values"]}),
            json!({"links": [{"rel": "manual", "href": "https://example.cn/"}], "values": draft["values"]}),
        ] {
            let other = record(&other, "2026-11-23T15:24:37Z");
            assert_ne!(Content::of(&first).digest().unwrap(), Content::of(&other).digest().unwrap());
        }
    }

    #[test]
    fn what_is_no_owners_signature_is_told_in_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let keys = crate::sign::keys::KeyFolder::open(folder.path(), 1).unwrap();
        let key = keys.all(crate::sign::keys::KeyUse::Entry)[0];
        let signed = OwnerPayload::of(&record(&json!({}), "2026-11-23T15:24:37Z")).unwrap().sign(key).unwrap();
        let (parsed, payload) = OwnerPayload::read(&signed).unwrap();
        assert!(parsed.verify(&key.public()));
        assert_eq!((payload.sub.as_str(), payload.ver), ("88.999.1/A", 1));
        let entry = jws::sign(key, "mingpai-entry+sd-jwt", b"{}");
        let empty = jws::sign(key, OWNER_TYPE, b"{}");
        for wrong in ["", "a.b.c", &entry, &empty, &"a".repeat(MAX_OWNER_JWS_BYTES + 1)] {
            assert!(OwnerPayload::read(wrong).is_err(), "{wrong}");
        }
    }
}
