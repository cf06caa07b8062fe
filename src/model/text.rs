//! A message to a person, in Chinese and in English.
//!
//! Not a translation table: whoever has something to say writes both at once, so that neither can be forgotten.

use std::fmt;

/// The languages that every message exists in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Zh,
    En,
}

/// One message, twice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Text {
    pub zh: String,
    pub en: String,
}

impl Text {
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

/// The English half: logs are read by tools.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_gets_its_own_half() {
        let text = Text::new("标识为空", "the identifier is empty");
        assert_eq!(text.in_language(Language::Zh), "标识为空");
        assert_eq!(text.in_language(Language::En), "the identifier is empty");
        assert_eq!(text.to_string(), "the identifier is empty");
    }
}
