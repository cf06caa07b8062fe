//! What another configuration changes, and which of it a running node takes.

use serde::Serialize;

use super::Config;
use super::explain::shown;
use super::layers::leaves;

/// Keys that a running node takes; every other one waits for a restart. What lies in the files of `tls.certificate` and
/// `tls.key` is taken too: only their names wait.
const LIVE: [&str; 5] =
    [CACHE_BUDGET, "log.filter", "log.slow_microseconds", "log.requests", "traces.sample_per_million"];
/// Taken within what the cache can become.
pub const CACHE_BUDGET: &str = "cache.budget_bytes";

/// One key with two values, as TOML; `None`: the key is not there (of a prefix that came or went). Secrets are hidden.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[schemars(rename = "SettingChange")]
pub struct Change {
    pub key: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

impl Change {
    #[must_use]
    pub fn is_live(&self) -> bool {
        LIVE.contains(&self.key.as_str())
    }
}

impl Config {
    /// From this configuration to another, sorted by key.
    #[must_use]
    pub fn changes_to(&self, other: &Config) -> Vec<Change> {
        let (old, new) = (leaves(&self.spec), leaves(&other.spec));
        let value = |of: &[(String, toml::Value)], key: &str| {
            of.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let mut keys: Vec<&String> = old.iter().chain(&new).map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        let changed = keys.into_iter().filter_map(|key| {
            let (from, to) = (value(&old, key), value(&new, key));
            let told = |value: Option<toml::Value>| value.map(|value| shown(key, &value));
            (from != to).then(|| Change { key: key.clone(), from: told(from), to: told(to) })
        });
        changed.collect()
    }

    /// This one, with what a running node takes of another.
    #[must_use]
    pub fn with_live_of(&self, other: &Config) -> Config {
        let mut merged = self.clone();
        let format = merged.spec.log.format;
        merged.spec.log = super::LogSpec { format, ..other.spec.log.clone() };
        merged.spec.traces.sample_per_million = other.spec.traces.sample_per_million;
        merged.spec.cache.budget_bytes = other.spec.cache.budget_bytes;
        merged
    }
}

impl Config {
    #[must_use]
    pub fn with_cache_budget(mut self, bytes: u64) -> Config {
        self.spec.cache.budget_bytes = bytes;
        self
    }

    /// This one with other settings of the log, judged as those of a file are.
    pub fn with_log(&self, log: super::LogSpec) -> Result<Config, super::ConfigError> {
        let mut changed = self.clone();
        changed.spec.log = log;
        super::check::check(&changed.spec, &changed.origins, changed.purpose)?;
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    fn load(text: &str) -> Config {
        let file = Some(("m.toml".into(), format!("node.iss = \"urn:x:1\"\n{text}")));
        Config::load(&Layers { file, ..Layers::default() }).unwrap()
    }

    #[test]
    fn changes_are_told_by_key_and_split_by_what_a_running_node_takes() {
        let old = load("[log]\nfilter = \"warn\"\n");
        let new = load(
            "[log]\nfilter = \"debug\"\nformat = \"json\"\nslow_microseconds = 5\nrequests = \"info\"\n\
             [traces]\nsample_per_million = 7\n[cache]\nbudget_bytes = 2000000\nmax_age_seconds = 9\n[[prefixes]]\nprefix = \"88.118.8\"\n",
        );
        let told = |from: &Config| {
            let (live, waiting): (Vec<_>, Vec<_>) = from.changes_to(&new).into_iter().partition(Change::is_live);
            let keys = |changes: Vec<Change>| changes.into_iter().map(|change| change.key).collect::<Vec<_>>();
            (keys(live), keys(waiting))
        };
        let (live, waiting) = told(&old);
        assert_eq!(
            live,
            ["cache.budget_bytes", "log.filter", "log.requests", "log.slow_microseconds", "traces.sample_per_million"]
        );
        for key in ["log.format", "cache.max_age_seconds", "prefixes[0].prefix"] {
            assert!(waiting.contains(&key.to_owned()), "{key}");
        }
        let filter = old.changes_to(&new).into_iter().find(|change| change.key == "log.filter").unwrap();
        assert_eq!((filter.from.as_deref(), filter.to.as_deref()), (Some("\"warn\""), Some("\"debug\"")));
        // Once taken, nothing live is left, and what waits still does.
        let (live, still) = told(&old.with_live_of(&new));
        assert_eq!((live.len(), still), (0, waiting));
    }

    #[test]
    fn every_live_key_exists() {
        let known = leaves(&super::super::Spec::default());
        assert!(LIVE.iter().all(|key| known.iter().any(|(known, _)| known == key)));
    }
}
