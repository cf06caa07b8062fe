//! From file, environment and flags (the [`Spec`]) to one immutable [`Config`].
//!
//! Precedence: flag > environment > file > the `--dev` preset > default. Every key remembers where its value came from,
//! so that `check-config` and every complaint can say it. Not here: what the keys do (config/mingpai.toml tells the
//! operator, each stage's own file the reader).

mod check;
mod difference;
mod explain;
mod fault;
mod layers;
mod merge;
mod nearest;
mod spec;
#[cfg(test)]
mod tests;
mod typed;

use std::ops::Deref;

pub use difference::{CACHE_BUDGET, Change};
pub use explain::Explained;
pub use fault::{ConfigError, Fault};
pub use layers::{Layers, Origin, Origins, environment};
pub use spec::*;

use self::check::Purpose;
use crate::model::text::Text;

/// The whole configuration, checked. Reading is by field (`config.http.listen`); nothing can change it.
#[derive(Clone, Debug)]
pub struct Config {
    spec: Spec,
    origins: Origins,
    purpose: Purpose,
}

impl Config {
    /// Merges the layers and checks the result. Every fault found is reported, not only the first.
    pub fn load(layers: &Layers) -> Result<Self, ConfigError> {
        Self::load_for(layers, Purpose::Node)
    }

    /// The same for a mirror, which signs nothing: no issuer is asked for.
    pub fn load_for_mirror(layers: &Layers) -> Result<Self, ConfigError> {
        Self::load_for(layers, Purpose::Mirror)
    }

    fn load_for(layers: &Layers, purpose: Purpose) -> Result<Self, ConfigError> {
        let (spec, origins) = merge::merge(layers)?;
        check::check(&spec, &origins, purpose)?;
        Ok(Self { spec, origins, purpose })
    }

    /// A fault of what a key leads to, such as a file, told like a fault of its value.
    #[must_use]
    pub fn fault(&self, key: &str, text: Text) -> Fault {
        Fault::new(key, self.origins.place(key), text)
    }

    /// Every effective value and where it came from, sorted by key; secrets are hidden.
    #[must_use]
    pub fn explain(&self) -> Vec<Explained> {
        explain::explain(&self.spec, &self.origins)
    }
}

impl Deref for Config {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}
