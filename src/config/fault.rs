//! What is wrong with a configuration, for a person: which key, where it was set, what to do.

use std::fmt;

use crate::model::text::Text;

/// One fault. `key` is dotted (`limits.json_depth`), `place` says which source set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub place: String,
    pub text: Text,
}

impl Fault {
    pub(super) fn new(key: impl Into<String>, place: impl fmt::Display, text: Text) -> Self {
        Self { key: key.into(), place: place.to_string(), text }
    }
}

/// All faults of one configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub faults: Vec<Fault>,
}

impl From<Fault> for ConfigError {
    fn from(fault: Fault) -> Self {
        Self { faults: vec![fault] }
    }
}

impl ConfigError {
    /// The sources could not be read at all.
    #[must_use]
    pub fn unread(text: Text) -> Self {
        Fault::new("config", "--config", text).into()
    }

    /// Every fault, a paragraph each.
    #[must_use]
    pub fn text(&self) -> Text {
        let told = |zh: bool| {
            let faults = self.faults.iter().map(|fault| {
                let detail = if zh { &fault.text.zh } else { &fault.text.en };
                format!("{} ({})\n  {detail}", fault.key, fault.place)
            });
            faults.collect::<Vec<_>>().join("\n")
        };
        Text::new(told(true), told(false))
    }
}

/// Both languages, a fault a paragraph: whoever starts a node has no Accept-Language.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.faults.iter().enumerate() {
            if position > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{} ({})", fault.key, fault.place)?;
            writeln!(f, "  {}", fault.text.zh)?;
            write!(f, "  {}", fault.text.en)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
