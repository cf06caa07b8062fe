//! Why a licence, or an owner's signature, is refused.

use crate::model::text::Text;

/// Every variant but the last is the caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LicenceError {
    /// No licence has this id.
    Unknown { id: String },
    /// Somebody holds the prefix, or this very key does.
    InForce { prefix: String, holder: String },
    /// The licence had ended before.
    Ended { id: String },
    /// There are as many statements about the prefix as may be.
    ChainFull { prefix: String, limit: u64 },
    /// No entry key has this id.
    SigningKeyUnknown { kid: String },
    /// The entry key signs now.
    SigningKeyActive { kid: String },
    /// The entry key's end was said before.
    SigningKeyEnded { kid: String },
    /// The prefix's licence asks for the owner's signature, and there is none.
    SignatureRequired { prefix: String },
    /// The owner's signature does not read, is not right, or is about another identifier.
    SignatureInvalid { cause: Text },
    /// The key that made it has no licence in force for the prefix.
    NotLicensed { prefix: String, kid: String },
    /// It is for another version than the one that the entry would have.
    VersionMoved { signed: u64, next: u64 },
    /// It is over other content.
    DigestMismatch { expected: String },
}

impl LicenceError {
    /// The stable code: a name in codec/problem's table.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "licence_unknown",
            Self::InForce { .. } => "licence_in_force",
            Self::Ended { .. } => "licence_ended",
            Self::ChainFull { .. } => "licence_chain_full",
            Self::SigningKeyUnknown { .. } => "signing_key_unknown",
            Self::SigningKeyActive { .. } => "signing_key_active",
            Self::SigningKeyEnded { .. } => "signing_key_ended",
            Self::SignatureRequired { .. } => "owner_signature_required",
            Self::SignatureInvalid { .. } => "owner_signature_invalid",
            Self::NotLicensed { .. } => "owner_not_licensed",
            Self::VersionMoved { .. } => "owner_version_moved",
            Self::DigestMismatch { .. } => "owner_digest_mismatch",
        }
    }

    /// What happened, and what to do next.
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Unknown { id } => Text::new(format!("没有这个许可：{id}"), format!("there is no such licence: {id}")),
            Self::InForce { prefix, holder } => Text::new(
                format!("前缀 {prefix} 的许可属于 {holder} 且仍有效：以 replace 结束它并换发，或换一把密钥"),
                format!(
                    "a licence of {prefix} for {holder} is in force: end it in the same step with `replace`, or name another key"
                ),
            ),
            Self::Ended { id } => {
                Text::new(format!("许可 {id} 已经结束"), format!("the licence {id} had ended before"))
            }
            Self::ChainFull { prefix, limit } => Text::new(
                format!("前缀 {prefix} 已有 {limit} 条许可声明，不能再多"),
                format!("there are {limit} statements about {prefix}, and there may be no more"),
            ),
            Self::SigningKeyUnknown { kid } => Text::new(
                format!("没有签名密钥 {kid}：可用的见 /.well-known/jwks.json"),
                format!("there is no signing key {kid}: /.well-known/jwks.json has them"),
            ),
            Self::SigningKeyActive { kid } => Text::new(
                format!("签名密钥 {kid} 正在使用：先用 mingpai keygen --use entry 生成新密钥并重启节点"),
                format!(
                    "the signing key {kid} is in use: make another with `mingpai keygen --use entry` and restart the node first"
                ),
            ),
            Self::SigningKeyEnded { kid } => Text::new(
                format!("签名密钥 {kid} 的终止已经记入日志"),
                format!("the end of the signing key {kid} is in the log already"),
            ),
            other => other.text_of_signatures(),
        }
    }

    fn text_of_signatures(&self) -> Text {
        match self {
            Self::SignatureRequired { prefix } => Text::new(
                format!("前缀 {prefix} 的许可要求所有者签名：请随内容给出 owner_jws（mingpai licence sign）"),
                format!(
                    "the licence of {prefix} asks for the owner's signature: send owner_jws along (`mingpai licence sign`)"
                ),
            ),
            Self::SignatureInvalid { cause } => Text::new(
                format!("所有者签名无效：{}", cause.zh),
                format!("the owner's signature is not valid: {}", cause.en),
            ),
            Self::NotLicensed { prefix, kid } => Text::new(
                format!("密钥 {kid} 没有前缀 {prefix} 的有效许可"),
                format!("the key {kid} has no licence in force for the prefix {prefix}"),
            ),
            Self::VersionMoved { signed, next } => Text::new(
                format!("所有者签的是版本 {signed}，而下一版本是 {next}：重新读取后再签"),
                format!(
                    "the owner signed version {signed}, and the next one is {next}: read the record again and sign anew"
                ),
            ),
            Self::DigestMismatch { expected } => Text::new(
                format!("所有者签名的摘要与登记的内容不符，应为 {expected}"),
                format!("the digest that the owner signed is not that of the content, which is {expected}"),
            ),
            _ => Text::new("许可有误", "the licence is wrong"),
        }
    }
}
