//! The effective configuration, line by line, for `check-config`.

use std::fmt;

use serde::Serialize;

use super::layers::{Origin, Origins, leaves};
use super::spec::Spec;

/// Endings of keys whose value is never shown.
const SECRET_ENDINGS: [&str; 4] = ["secret", "password", "token", "private_key"];

/// One key, its value as TOML, and who set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    pub key: String,
    pub value: String,
    pub origin: String,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<32} = {:<40} # {}", self.key, self.value, self.origin)
    }
}

pub(super) fn explain(spec: &Spec, origins: &Origins) -> Vec<Explained> {
    leaves(spec)
        .into_iter()
        .map(|(key, value)| {
            let origin = origins.of(&key).unwrap_or(&Origin::Default).to_string();
            let value = shown(&key, &value);
            Explained { key, value, origin }
        })
        .collect()
}

/// A value as TOML, unless it is a secret.
pub(super) fn shown(key: &str, value: &toml::Value) -> String {
    if is_secret(key) { "(hidden)".to_owned() } else { value.to_string() }
}

fn is_secret(key: &str) -> bool {
    SECRET_ENDINGS.iter().any(|ending| key.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_names_a_secret_is_hidden() {
        assert!(is_secret("peer.password"));
        assert!(is_secret("upper.client_secret"));
        assert!(!is_secret("store.engine"));
    }
}
