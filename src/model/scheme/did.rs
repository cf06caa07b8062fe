//! DID: `did:cn:88.100.1`, `did:bid:…`, `did:web:…`.
//!
//! Sources: W3C DID Core 1.0 section 3.1; the public did:cn method (issuer 2 digits, industry 3 to 5, enterprise 1 to 128,
//! and what DID Core lets follow a colon);
//! the BID protocol draft (an optional 4-character chain code and a suffix of 22 to 42 letters and digits); did:web (a host,
//! perhaps %3A and a port, perhaps path parts). Other methods are refused, as are DID URLs: a path, query or fragment names
//! something else than the subject.

use crate::model::identifier::{Identifier, IdentifierError};

use super::{Scheme, vaa};

/// What follows `did:`.
pub(super) fn read(rest: &str) -> Result<Identifier, IdentifierError> {
    let (method, body) = rest.split_once(':').ok_or(IdentifierError::BadDid)?;
    let canonical = match method.to_ascii_lowercase().as_str() {
        "cn" if is_cn(body) => format!("cn:{body}"),
        "bid" if is_bid(body) => format!("bid:{body}"),
        "web" => format!("web:{}", web(body).ok_or(IdentifierError::BadDid)?),
        _ => return Err(IdentifierError::BadDid),
    };
    Ok(Identifier::from_tagged(Scheme::Did, &format!("did:{canonical}"), &canonical))
}

/// The enterprise's number, and perhaps names of its own behind colons (W3C DID Core 1.0, section 3.1: idchars).
fn is_cn(body: &str) -> bool {
    let (number, names) = body.split_once(':').map_or((body, None), |(number, names)| (number, Some(names)));
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    is_cn_number(number) && names.is_none_or(|names| names.split(':').all(is_name))
}

fn is_cn_number(number: &str) -> bool {
    number.split_once('.').is_some_and(|(issuer, rest)| {
        issuer.len() == 2
            && issuer.bytes().all(|byte| byte.is_ascii_digit())
            && rest.contains('.')
            && vaa::is_node_and_enterprise(rest)
    })
}

/// `[acsn:]suffix`, or a chain code alone, which names the chain. Case counts: suffixes are base 58.
fn is_bid(body: &str) -> bool {
    let alphanumeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_chain = |part: &str| part.len() == 4 && alphanumeric(part);
    let is_suffix = |part: &str| (22..=42).contains(&part.len()) && alphanumeric(part);
    match body.split_once(':') {
        Some((chain, suffix)) => is_chain(chain) && is_suffix(suffix),
        None => is_suffix(body) || is_chain(body),
    }
}

/// The host has no case, the path parts have.
fn web(body: &str) -> Option<String> {
    let mut parts = body.split(':');
    let host = parts.next()?.to_ascii_lowercase();
    let name = host.split("%3a").next()?;
    let host_fits = host.len() <= 255
        && name
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        && (host.len() == name.len() || is_port(host.get(name.len() + 3..)?));
    if !host_fits {
        return None;
    }
    let mut canonical = host;
    for part in parts {
        if part.is_empty()
            || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'%'))
        {
            return None;
        }
        canonical.push(':');
        canonical.push_str(part);
    }
    Some(canonical)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_of_the_field_are_read() {
        for good in [
            "cn:88.100.1",
            "cn:88.999.1:nev-veh-2026-000003",
            "bid:efnVUgqQFfYeu97ABf6sGm3WFtVXHZB2",
            "bid:byo1:zfnVUgqQFfYeu97ABf6sGm3WFtVXHZB2",
            "bid:byo1",
            "web:example.com",
            "web:Example.com%3A8443:fab:Line-1",
        ] {
            assert!(read(good).is_ok(), "{good}");
        }
        assert_eq!(read("web:Example.com:Fab").unwrap().key().as_str(), "did:web:example.com:Fab");
        assert_eq!(read("WEB:example.com%3a8443").unwrap().key().as_str(), "did:web:example.com%3a8443");
    }

    #[test]
    fn other_methods_and_did_urls_are_refused() {
        for bad in [
            "cn:88.100",
            "cn:8.100.1",
            "bid:short",
            "bid:",
            "web:",
            "web:a..b",
            "web:a.b/c",
            "web:a.b#key-1",
            "web:a%3Ax",
            "key:z6Mk",
            "cn",
            "",
        ] {
            assert_eq!(read(bad).unwrap_err(), IdentifierError::BadDid, "{bad}");
        }
    }
}
