//! A link from a record to a page or to another identifier: instructions, certificates, parts, what it was made of.
//!
//! Not followed here; whether the other end exists is the reader's question.

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value as Json;

use super::field::{Complaints, Place, first_of};
use super::identifier::{Identifier, MAX_IDENTIFIER_BYTES};
use super::text::Text;

pub const MAX_URL_BYTES: usize = 4_096;
pub(crate) const MAX_WORD_BYTES: usize = 255;
pub(crate) const MAX_TITLE_BYTES: usize = 1_024;
pub(crate) const MAX_LANGUAGES: usize = 32;

/// Where a link leads: exactly one of `href` and `identifier` in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Href(String),
    Identifier(Identifier),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// A relation as in RFC 8288, or a compact name such as `gs1:pip`.
    pub rel: String,
    pub target: Target,
    pub title: Option<String>,
    /// JSON `type`.
    pub media_type: Option<String>,
    pub hreflang: Vec<String>,
}

impl Link {
    pub(in crate::model) fn read(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Self> {
        let object = complaints.object(json, place)?;
        complaints.refuse_others(object, &["rel", "href", "identifier", "title", "type", "hreflang"], place);
        let rel = complaints.required_line(object, "rel", place, MAX_WORD_BYTES);
        let href = complaints.optional_line(object, "href", place, MAX_URL_BYTES);
        let identifier = complaints.optional_line(object, "identifier", place, MAX_IDENTIFIER_BYTES);
        let target = match (href, identifier) {
            (Some(href), None) => Self::read_href(href, place, complaints),
            (None, Some(identifier)) => Self::read_identifier(&identifier, place, complaints),
            _ => {
                let detail =
                    Text::new("href 与 identifier 须且只能有一个", "exactly one of href and identifier is needed");
                complaints.add(place, "one_of", detail);
                None
            }
        };
        let title = complaints.optional_line(object, "title", place, MAX_TITLE_BYTES);
        let media_type = complaints.optional_line(object, "type", place, MAX_WORD_BYTES);
        let list = Place::Member(place, "hreflang");
        let languages = complaints.items(object.get("hreflang"), &list, MAX_LANGUAGES);
        let hreflang = languages
            .iter()
            .enumerate()
            .filter_map(|(at, json)| complaints.line(json, &Place::Item(&list, at), MAX_WORD_BYTES).map(str::to_owned))
            .collect();
        Some(Self { rel: rel?, target: target?, title, media_type, hreflang })
    }

    fn read_href(href: String, place: &Place<'_>, complaints: &mut Complaints) -> Option<Target> {
        if is_url(&href) {
            return Some(Target::Href(href));
        }
        complaints.add(&Place::Member(place, "href"), "bad_url", bad_url());
        None
    }

    fn read_identifier(text: &str, place: &Place<'_>, complaints: &mut Complaints) -> Option<Target> {
        match Identifier::parse(text) {
            Ok(identifier) => Some(Target::Identifier(identifier)),
            Err(error) => {
                complaints.add(&Place::Member(place, "identifier"), error.code(), error.text());
                None
            }
        }
    }
}

/// An absolute URL that a page may safely show as a link: a scheme (RFC 3986 section 3.1), something behind it, no white
/// space, quotes or angle brackets, and none of the schemes that run or embed what they carry.
#[must_use]
pub fn is_url(text: &str) -> bool {
    const REFUSED: [&str; 8] = ["javascript", "vbscript", "data", "blob", "file", "filesystem", "about", "view-source"];
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    let has_authority = match scheme.to_ascii_lowercase().as_str() {
        "http" | "https" => {
            rest.strip_prefix("//").is_some_and(|host| !host.is_empty() && !host.starts_with(['/', '?', '#']))
        }
        _ => !rest.is_empty(),
    };
    is_scheme
        && has_authority
        && text.len() <= MAX_URL_BYTES
        && !REFUSED.iter().any(|refused| scheme.eq_ignore_ascii_case(refused))
        && !text
            .chars()
            .any(|found| found.is_whitespace() || found.is_control() || matches!(found, '"' | '<' | '>' | '\\' | '`'))
}

pub(in crate::model) fn bad_url() -> Text {
    Text::new(
        "应为绝对地址，如 https://example.com/，且不含空白与引号",
        "must be an absolute URL such as https://example.com/, without white space or quotes",
    )
}

/// What [`Serialize`] wrote.
impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let mut complaints = Complaints::default();
        let link = Self::read(&json, &Place::Root, &mut complaints);
        complaints.or(link).map_err(|errors| de::Error::custom(first_of(&errors)))
    }
}

impl Serialize for Link {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("rel", &self.rel)?;
        match &self.target {
            Target::Href(href) => object.serialize_entry("href", href)?,
            Target::Identifier(identifier) => object.serialize_entry("identifier", identifier)?,
        }
        if let Some(title) = &self.title {
            object.serialize_entry("title", title)?;
        }
        if let Some(media_type) = &self.media_type {
            object.serialize_entry("type", media_type)?;
        }
        if !self.hreflang.is_empty() {
            object.serialize_entry("hreflang", &self.hreflang)?;
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_run_or_embed_their_content_are_no_links() {
        for good in [
            "https://example.com/a?b=c#d",
            "mailto:a@example.com",
            "urn:epc:id:sgtin:1.2.3",
            "coap://[2001:db8::1]/x",
            "https://例子.测试/页",
        ] {
            assert!(is_url(good), "{good}");
        }
        for bad in [
            "",
            "example.com",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,x",
            "https://",
            "https:///x",
            "https://a b",
            "1http://x",
            "https://x\"onclick",
            "file:///etc/passwd",
        ] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
