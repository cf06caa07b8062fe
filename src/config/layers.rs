//! The sources of the configuration, and who set each key. Putting them together is `merge`'s work.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use toml::{Table, Value};

use super::spec::Spec;

/// The sources, as the command line found them.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// Path (for messages) and text of the file.
    pub file: Option<(PathBuf, String)>,
    /// Variables by name; see [`environment`].
    pub environment: Vec<(String, String)>,
    /// Dotted key and text; lists are separated by commas.
    pub flags: Vec<(String, String)>,
}

/// The variables of this process that begin with `MINGPAI_`.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, _)| name.starts_with("MINGPAI_"))
        .collect()
}

/// Who set a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    Dev,
    File { path: PathBuf, line: usize },
    Environment { name: String },
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Dev => f.write_str("--dev"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment { name } => f.write_str(name),
            Self::Flag => f.write_str("flag"),
        }
    }
}

/// The origin of every key that is not at its default. A key inside `[[prefixes]]` reads `prefixes[0].log`, and one of `[[witnesses]]` likewise.
#[derive(Clone, Debug, Default)]
pub struct Origins(pub(super) BTreeMap<String, Origin>);

impl Origins {
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&Origin> {
        self.0.get(key)
    }

    /// For messages: `default` when nobody set it.
    pub(super) fn place(&self, key: &str) -> &Origin {
        self.of(key).unwrap_or(&Origin::Default)
    }
}

/// Every key with its value, sections in alphabetical order.
pub(super) fn leaves(spec: &Spec) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    // Serialising what was deserialised cannot fail; an empty list would be seen at once by `check-config`'s test.
    for (name, value) in Table::try_from(spec).unwrap_or_default() {
        match value {
            Value::Table(section) => {
                found.extend(section.into_iter().map(|(inner, value)| (format!("{name}.{inner}"), value)));
            }
            Value::Array(elements) if name == "prefixes" || name == "witnesses" => {
                for (position, element) in elements.into_iter().enumerate() {
                    let inner = element.as_table().cloned().unwrap_or_default();
                    found.extend(inner.into_iter().map(|(key, value)| (format!("{name}[{position}].{key}"), value)));
                }
            }
            value => found.push((name, value)),
        }
    }
    found
}
