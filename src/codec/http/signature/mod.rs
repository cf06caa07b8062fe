//! What of a request is signed (HTTP Message Signatures, RFC 9421): from its head to the bytes under the signature.
//!
//! Takes one signature of one form and refuses the rest with a sentence, so that no two readers can see two requests: one label,
//! written as RFC 8941 serialises it; every part of the request that decides what it does is covered; components without
//! parameters. `@target-uri`, `@scheme` and `@request-target` are not read: behind a proxy that ends TLS a node does not know them.
//!
//! - `base`: the signature base, line by line. `digest`: that the body is the one that was signed.
//!
//! Not here: whose signature it is, and whether it is in time (services/signed_requests).

pub(super) mod base;
pub(super) mod digest;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Method, Uri};
use sfv::{BareItem, Dictionary, FieldType, InnerList, ListEntry, Parser, Version};

use self::digest::{CONTENT_DIGEST, Digests};
use crate::model::text::Text;
use crate::services::signed_requests::SignedRequest;
use crate::sign::signature::SIGNATURE_BYTES;

const SIGNATURE: HeaderName = HeaderName::from_static("signature");
const SIGNATURE_INPUT: HeaderName = HeaderName::from_static("signature-input");

/// Of each of the headers that are read here.
const MOST_HEADER_BYTES: usize = 4_096;
const MOST_COMPONENTS: usize = 32;
/// Of a nonce, and of a key's id.
const MOST_NONCE_BYTES: usize = 128;
const MOST_ID_BYTES: usize = 64;

/// Headers that decide what a request does; `If-None-Match` only where it does something.
const DECIDING: [HeaderName; 8] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    IF_MATCH,
    IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("upload-complete"),
    HeaderName::from_static("upload-offset"),
    HeaderName::from_static("upload-length"),
];

/// What can be signed of a request.
pub(super) struct Head<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub has_body: bool,
}

/// Whether a request has anything of a signature: by its headers' names alone.
pub(super) fn is_shown(headers: &HeaderMap) -> bool {
    headers.contains_key(SIGNATURE_INPUT) || headers.contains_key(SIGNATURE)
}

/// What is asked of a signature with this tag: `Accept-Signature` (RFC 9421, section 5.1). The rest is in docs/api.md.
pub(super) fn wanted(tag: &str) -> String {
    format!(r#"sig=("@method" "@authority" "@path");created;alg="ed25519";tag="{tag}""#)
}

/// The signature of a request, and what its body must be; says what is wrong with it.
pub(super) fn read(head: &Head<'_>) -> Result<(SignedRequest, Option<Digests>), Text> {
    let (input, (label, entry)) = one_member(head.headers, &SIGNATURE_INPUT, "Signature-Input")?;
    let (_, (signed_label, shown)) = one_member(head.headers, &SIGNATURE, "Signature")?;
    if label != signed_label {
        return Err(text(
            "Signature 与 Signature-Input 的标签不同",
            "the labels of Signature and Signature-Input are not the same",
        ));
    }
    let ListEntry::InnerList(covered) = entry else {
        return Err(text("Signature-Input 的成员不是列表", "the member of Signature-Input is no list"));
    };
    let names = names(&covered)?;
    require(head, &names)?;
    let digests = if names.contains(&CONTENT_DIGEST.as_str()) { Some(Digests::of(head.headers)?) } else { None };
    let parameters = Parameters::of(&covered)?;
    // As it was sent, which is as RFC 8941 serialises it.
    let sent = input.split_once('=').map_or(input, |(_, sent)| sent);
    let request = SignedRequest {
        base: base::of(head, &names, sent)?,
        signature: signature(&shown)?,
        key: parameters.keyid,
        created: parameters.created,
        expires: parameters.expires,
        nonce: parameters.nonce,
        tag: parameters.tag,
    };
    Ok((request, digests))
}

fn text(zh: impl Into<String>, en: impl Into<String>) -> Text {
    Text::new(zh, en)
}

/// The text of a header that must stand once, with its members, which must be written as RFC 8941 (section 4.1) writes them: so
/// no member and no parameter is there twice.
fn dictionary<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &str) -> Result<(&'a str, Dictionary), Text> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(text(format!("{shown} 应恰好出现一次"), format!("{shown} must be there once")));
    };
    let line = line.to_str().ok().filter(|line| line.len() <= MOST_HEADER_BYTES);
    let line =
        line.ok_or_else(|| text(format!("{shown} 过长或不是 ASCII"), format!("{shown} is too long, or not of ASCII")))?;
    let parsed: Option<Dictionary> = Parser::new(line).with_version(Version::Rfc8941).parse().ok();
    match parsed {
        Some(members) if members.serialize().as_deref() == Some(line) => Ok((line, members)),
        _ => Err(text(
            format!("{shown} 不是 RFC 8941 所序列化的字典"),
            format!("{shown} is no dictionary as RFC 8941 serialises it"),
        )),
    }
}

fn one_member<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    shown: &str,
) -> Result<(&'a str, (String, ListEntry)), Text> {
    let (line, members) = dictionary(headers, name, shown)?;
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some((label, entry)), None) => Ok((line, (label.into(), entry))),
        _ => Err(text(format!("{shown} 应只有一个签名"), format!("{shown} must have one signature and no more"))),
    }
}

/// What is covered, by name.
fn names(covered: &InnerList) -> Result<Vec<&str>, Text> {
    if covered.items.len() > MOST_COMPONENTS {
        return Err(text(
            format!("覆盖的组成部分多于 {MOST_COMPONENTS} 个"),
            format!("it covers more than {MOST_COMPONENTS} components"),
        ));
    }
    let mut names: Vec<&str> = Vec::with_capacity(covered.items.len());
    for item in &covered.items {
        let name = item.bare_item.as_string().map(sfv::StringRef::as_str);
        let name = name.ok_or_else(|| text("组成部分的名称应为字符串", "the name of a component must be a string"))?;
        if let Some((parameter, _)) = item.params.first() {
            return Err(text(
                format!("不支持组成部分的参数：\"{name}\";{parameter}"),
                format!("parameters of components are not supported here: \"{name}\";{parameter}"),
            ));
        }
        if names.contains(&name) {
            return Err(text(format!("\"{name}\" 覆盖了两次"), format!("it covers \"{name}\" twice")));
        }
        names.push(name);
    }
    Ok(names)
}

/// Everything that decides what the request does must be covered.
fn require(head: &Head<'_>, names: &[&str]) -> Result<(), Text> {
    let missing = |name: &str| {
        (!names.contains(&name))
            .then(|| text(format!("签名须覆盖 \"{name}\""), format!("the signature must cover \"{name}\"")))
    };
    let parts = ["@method", "@authority", "@path"].into_iter().chain(head.uri.query().map(|_| "@query"));
    let body = head.has_body.then_some(CONTENT_DIGEST);
    let decides = |name: &HeaderName| head.headers.contains_key(name) && !head.method.is_safe();
    let headers = body.into_iter().chain(DECIDING.into_iter().filter(decides));
    let first = parts.filter_map(missing).next();
    first.or_else(|| headers.filter_map(|name| missing(name.as_str())).next()).map_or(Ok(()), Err)
}

fn signature(shown: &ListEntry) -> Result<[u8; SIGNATURE_BYTES], Text> {
    let bytes = match shown {
        ListEntry::Item(item) if item.params.is_empty() => item.bare_item.as_byte_sequence(),
        _ => None,
    };
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        text("Signature 的成员应为 64 字节的序列", "the member of Signature must be a sequence of 64 bytes")
    })
}

/// The parameters of a signature (RFC 9421, section 2.3), all of which are known here.
struct Parameters {
    created: i64,
    expires: Option<i64>,
    nonce: String,
    keyid: String,
    tag: String,
}

impl Parameters {
    fn of(covered: &InnerList) -> Result<Parameters, Text> {
        for (name, value) in &covered.params {
            let is_right = match name.as_str() {
                "created" | "expires" => value.as_integer().is_some(),
                "nonce" => is_text(value, MOST_NONCE_BYTES),
                "keyid" => is_text(value, MOST_ID_BYTES),
                "tag" => is_text(value, MOST_HEADER_BYTES),
                "alg" if value.as_string().is_some_and(|alg| alg.as_str() == "ed25519") => true,
                "alg" => return Err(text("alg 只能是 \"ed25519\"", "its alg must be \"ed25519\", if it has one")),
                _ => {
                    return Err(text(
                        format!("不认识的参数 {name}"),
                        format!("its parameter {name} is not known here"),
                    ));
                }
            };
            if !is_right {
                return Err(text(
                    format!("参数 {name} 的类型或长度不对"),
                    format!("its parameter {name} is of the wrong type or length"),
                ));
            }
        }
        let missing = |name: &str| text(format!("缺少参数 {name}"), format!("it lacks the parameter {name}"));
        let value = |name: &str| covered.params.get(name);
        let number = |name: &str| value(name).and_then(BareItem::as_integer).map(i64::from);
        let string = |name: &str| {
            value(name).and_then(BareItem::as_string).map(|text| text.as_str().to_owned()).ok_or_else(|| missing(name))
        };
        Ok(Parameters {
            created: number("created").ok_or_else(|| missing("created"))?,
            expires: number("expires"),
            nonce: string("nonce")?,
            keyid: string("keyid")?,
            tag: string("tag")?,
        })
    }
}

fn is_text(value: &BareItem, most_bytes: usize) -> bool {
    value.as_string().is_some_and(|text| (1..=most_bytes).contains(&text.as_str().len()))
}

#[cfg(test)]
mod tests;
