//! Which media type to answer with: `Accept` against what a route offers (RFC 9110, section 12.5.1).

use http::HeaderMap;
use http::HeaderValue;
use http::header::ACCEPT;

use super::failure::Failure;
use crate::codec::language::quality;
use crate::codec::problem::Code;

/// The best of the offers, the first of equals; without an `Accept` the first.
pub(super) fn best<'o>(headers: &HeaderMap, offers: &[&'o str]) -> Result<&'o str, Failure> {
    let mut best: Option<(&'o str, u16)> = None;
    for offer in offers.iter().copied() {
        let quality = quality_of(headers, offer);
        if quality > best.map_or(0, |(_, quality)| quality) {
            best = Some((offer, quality));
        }
    }
    best.map(|(offer, _)| offer).ok_or_else(|| Code::NotAcceptable.into())
}

/// In thousandths; 0: not accepted.
pub(super) fn quality_of(headers: &HeaderMap, offer: &str) -> u16 {
    quality_among(headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes), offer)
}

/// The same of the values of every `Accept`, in their order.
pub(super) fn quality_among<'v>(values: impl Iterator<Item = &'v [u8]>, offer: &str) -> u16 {
    let mut found: Option<(u8, u16)> = None;
    let mut any = false;
    for value in values {
        let Some(text) = visible(value) else { continue };
        for range in text.split(',') {
            let (range, parameters) = range.split_once(';').unwrap_or((range, ""));
            let range = range.trim();
            any |= !range.is_empty();
            let Some(precision) = precision(range, offer) else {
                continue;
            };
            if found.is_none_or(|(known, _)| precision > known) {
                found = Some((precision, quality(parameters)));
            }
        }
    }
    match found {
        Some((_, quality)) => quality,
        None if any => 0,
        None => 1000,
    }
}

/// The text of a header's value, if it has only what a text may have: what `HeaderValue::to_str` takes.
pub(super) fn visible(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?;
    text.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\t')).then_some(text)
}

/// How exactly a range names the offer; `None`: not at all.
fn precision(range: &str, offer: &str) -> Option<u8> {
    if range.eq_ignore_ascii_case(offer) {
        return Some(2);
    }
    if range == "*/*" {
        return Some(0);
    }
    let family = range.strip_suffix("/*")?;
    let (offered, _) = offer.split_once('/')?;
    family.eq_ignore_ascii_case(offered).then_some(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: Option<&'static str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(ACCEPT, accept.parse().unwrap());
        }
        best(&headers, &["application/json", "application/x-ndjson"]).ok()
    }

    #[test]
    fn a_text_is_what_the_type_of_values_takes_for_one() {
        for byte in (0..=255).filter(|byte| HeaderValue::from_bytes(&[*byte]).is_ok()) {
            let bytes = [b'a', byte];
            let value = HeaderValue::from_bytes(&bytes).unwrap();
            assert_eq!(visible(&bytes), value.to_str().ok(), "{byte}");
        }
    }

    #[test]
    fn the_most_exact_range_decides_and_the_first_offer_wins_a_tie() {
        for (accept, expected) in [
            (None, Some("application/json")),
            (Some(""), Some("application/json")),
            (Some("*/*"), Some("application/json")),
            (Some("application/*"), Some("application/json")),
            (Some("Application/X-NDJSON"), Some("application/x-ndjson")),
            (Some("application/json;q=0.5, application/x-ndjson"), Some("application/x-ndjson")),
            (Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), Some("application/json")),
            (Some("application/json;q=0, */*"), Some("application/x-ndjson")),
            (Some("text/html"), None),
            (Some("application/json;q=0"), None),
        ] {
            assert_eq!(chosen(accept), expected, "{accept:?}");
        }
    }
}
