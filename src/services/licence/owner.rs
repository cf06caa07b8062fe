//! The owner's signature on a registration: whether the prefix's licence asks for one, and whether the one that came is right.

use crate::model::prefix::and_above;
use crate::model::record::Record;
use crate::model::text::Text;
use crate::services::licence::LicenceError;
use crate::services::{ServiceError, Services};
use crate::sign::licence::chain::Licence;
use crate::sign::licence::{LicenceRole, OwnerSignature};
use crate::sign::owner::{Content, OwnerPayload};

impl Services {
    /// Whether a record may be registered with this owner's signature, or without one. Never signed or built anew: what has
    /// moved is told to the owner.
    pub(in crate::services) fn check_owner(
        &self,
        record: &Record,
        owner_jws: Option<&str>,
    ) -> Result<(), ServiceError> {
        let prefix = record.identifier.prefix();
        let licences = self.enterprise_licences(prefix)?;
        let Some(owner_jws) = owner_jws else {
            let is_asked = licences.iter().any(|one| one.statement.owner_signature == OwnerSignature::Required);
            // A tombstone has no content to sign; who may delete is the node's to say.
            return if is_asked && !record.is_tombstone() {
                Err(LicenceError::SignatureRequired { prefix: prefix.to_owned() }.into())
            } else {
                Ok(())
            };
        };
        let (parsed, payload) =
            OwnerPayload::read(owner_jws).map_err(|cause| invalid(format!("不是所有者的 JWS：{cause}"), cause))?;
        let kid = &parsed.header.kid;
        let of_key = |one: &&Licence| one.statement.holder_key.as_ref().is_some_and(|key| key.kid == *kid);
        let Some(key) = licences.iter().find(of_key).and_then(|one| one.statement.holder_key.as_ref()) else {
            let kid: String = kid.chars().take(64).collect();
            return Err(LicenceError::NotLicensed { prefix: prefix.to_owned(), kid }.into());
        };
        if !parsed.verify(key) {
            return Err(invalid("签名与许可中的密钥不符", "it is not that of the licensed key"));
        }
        if !self.identifier(&payload.sub).is_ok_and(|sub| sub.key() == record.identifier.key()) {
            return Err(invalid("签的是另一个标识", "it is about another identifier"));
        }
        if payload.ver != record.version {
            return Err(LicenceError::VersionMoved { signed: payload.ver, next: record.version }.into());
        }
        let expected = Content::of(record)
            .digest()
            .map_err(|error| invalid("内容没有规范形式：数字超出 2^53", error.to_string()))?;
        if payload.digest != expected {
            return Err(LicenceError::DigestMismatch { expected }.into());
        }
        Ok(())
    }

    /// The enterprise licences that count for a prefix: those in force of the longest prefix that has any.
    fn enterprise_licences(&self, prefix: &str) -> Result<Vec<Licence>, ServiceError> {
        for licensed in and_above(prefix) {
            let chain = self.chain(licensed)?;
            let standing: Vec<Licence> = chain.standing(LicenceRole::Enterprise).cloned().collect();
            if !standing.is_empty() {
                return Ok(standing);
            }
        }
        Ok(Vec::new())
    }
}

fn invalid(zh: impl Into<String>, en: impl Into<String>) -> ServiceError {
    LicenceError::SignatureInvalid { cause: Text::new(zh, en) }.into()
}
