//! Which language a person reads: `Accept-Language` to Chinese or English.

use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;

use crate::model::text::Language;

/// The language tag of an answer (`Content-Language`).
#[must_use]
pub fn tag(language: Language) -> &'static str {
    match language {
        Language::Zh => "zh-CN",
        Language::En => "en",
    }
}

/// The best of our two for the header (RFC 9110, section 12.5.4); Chinese when it names neither or is absent.
#[must_use]
pub fn of(headers: &HeaderMap) -> Language {
    headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).map_or(Language::Zh, choose)
}

fn choose(accepted: &str) -> Language {
    let (mut zh, mut en, mut any) = (None, None, None);
    for range in accepted.split(',') {
        let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
        let quality = quality(parameters);
        let primary = tag.trim().split('-').next().unwrap_or_default();
        let slot = match primary.to_ascii_lowercase().as_str() {
            "zh" => &mut zh,
            "en" => &mut en,
            "*" => &mut any,
            _ => continue,
        };
        *slot = Some(slot.map_or(quality, |earlier: u16| earlier.max(quality)));
    }
    let rest = any.unwrap_or(0);
    if en.unwrap_or(rest) > zh.unwrap_or(rest) { Language::En } else { Language::Zh }
}

/// In thousandths; what is not a number counts as nothing.
pub(in crate::codec) fn quality(parameters: &str) -> u16 {
    let Some(text) = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q=")) else {
        return 1000;
    };
    let quality = text.trim().parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1 above")]
    let thousandths = (quality * 1000.0) as u16;
    thousandths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chinese_is_the_default_and_english_must_be_preferred() {
        for (header, language) in [
            ("", Language::Zh),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Zh),
            ("en", Language::En),
            ("en-GB;q=0.9, zh-Hant;q=0.8", Language::En),
            ("en;q=0.5, zh;q=0.5", Language::Zh),
            ("de, en;q=0.1", Language::En),
            ("de", Language::Zh),
            ("*", Language::Zh),
            ("zh;q=0, *", Language::En),
            ("en;q=nan", Language::Zh),
        ] {
            assert_eq!(choose(header), language, "{header}");
        }
        assert_eq!(of(&HeaderMap::new()), Language::Zh);
    }
}
