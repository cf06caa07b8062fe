//! The prefixes that this node answers for, and the policy of each: how cases compare, how the log is kept, how suffixes are
//! minted.
//!
//! Some are the operator's, named in the configuration; others were allocated by a filing that was approved, and come while the node
//! runs. What is decided about a prefix afterwards is `standing`'s. Not a delegation: who was licensed a prefix is in the log
//! (`sign::licence`).

mod licensed;
mod mint;
mod standing;

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::identifier::Identifier;
use super::scheme::{handle, vaa};
use super::time::Timestamp;

pub use licensed::{and_above, covers, is_canonical};
pub use mint::{MintPattern, MintPatternError};
pub use standing::{PrefixStatus, PrefixStep, PrefixTaken, Standing, Suspension};

/// What the public log shows of a prefix's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogMode {
    /// Neither identifier nor registrant can be read from it.
    #[default]
    Blinded,
    /// Identifier, status and registrant in clear.
    Open,
}

/// How suffixes under a prefix compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuffixCase {
    #[default]
    Insensitive,
    Sensitive,
}

impl SuffixCase {
    /// How this identifier's suffix compares.
    #[must_use]
    pub fn of(identifier: &Identifier) -> SuffixCase {
        if identifier.is_case_sensitive() { SuffixCase::Sensitive } else { SuffixCase::Insensitive }
    }

    /// The identifier, compared so.
    #[must_use]
    pub fn reading(self, identifier: &Identifier) -> Identifier {
        match self {
            SuffixCase::Insensitive => identifier.clone(),
            SuffixCase::Sensitive => identifier.clone().with_case_sensitive_suffix(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrefixPolicy {
    pub prefix: String,
    #[serde(default)]
    pub log: LogMode,
    #[serde(default)]
    pub suffix_case: SuffixCase,
    /// The name that people are shown.
    #[serde(default)]
    pub registrant: String,
    /// See [`MintPattern`].
    #[serde(default = "default_mint_pattern")]
    pub mint_pattern: String,
}

fn default_mint_pattern() -> String {
    MintPattern::DEFAULT.to_owned()
}

impl PrefixPolicy {
    /// Every default.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
            log: LogMode::default(),
            suffix_case: SuffixCase::default(),
            registrant: String::new(),
            mint_pattern: default_mint_pattern(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PrefixError {
    #[error("{0} is no prefix: a VAA prefix such as 88.118.8 or a Handle prefix such as 86.709.612 is expected")]
    NotAPrefix(String),
    #[error("the prefix {0} is named twice")]
    NamedTwice(String),
    #[error("the mint pattern of {prefix}: {error}")]
    MintPattern { prefix: String, error: MintPatternError },
}

/// What stands behind a prefix.
#[derive(Debug)]
struct Served {
    policy: PrefixPolicy,
    pattern: MintPattern,
}

/// The prefixes of this node, by canonical prefix: those of the configuration for ever, and those that are allocated, whose
/// policies are the usual ones.
#[derive(Debug, Default)]
pub struct Prefixes {
    configured: HashMap<Box<str>, Arc<Served>>,
    allocated: RwLock<HashMap<Box<str>, Arc<Served>>>,
    /// Whether any policy of the configuration does: where none does, a name's key needs no look at its prefix.
    tells_cases_apart: bool,
}

/// A policy for as long as somebody looks at it.
#[derive(Clone, Debug)]
pub struct PolicyRef(Arc<Served>);

impl Deref for PolicyRef {
    type Target = PrefixPolicy;

    fn deref(&self) -> &PrefixPolicy {
        &self.0.policy
    }
}

impl Prefixes {
    /// Prefixes are brought to their canonical case.
    ///
    /// # Errors
    /// A text that is no prefix, one named twice, a mint pattern that cannot be minted from.
    pub fn new(policies: Vec<PrefixPolicy>) -> Result<Self, PrefixError> {
        let mut known = HashMap::with_capacity(policies.len());
        for mut policy in policies {
            policy.prefix.make_ascii_lowercase();
            let prefix = policy.prefix.clone();
            let is_prefix =
                if prefix.starts_with(vaa::ROOT) { vaa::is_prefix(&prefix) } else { handle::is_prefix(&prefix) };
            if !is_prefix {
                return Err(PrefixError::NotAPrefix(prefix));
            }
            let pattern = MintPattern::parse(&policy.mint_pattern)
                .map_err(|error| PrefixError::MintPattern { prefix: prefix.clone(), error })?;
            if known.insert(prefix.clone().into_boxed_str(), Arc::new(Served { policy, pattern })).is_some() {
                return Err(PrefixError::NamedTwice(prefix));
            }
        }
        let tells_cases_apart = known.values().any(|served| served.policy.suffix_case == SuffixCase::Sensitive);
        Ok(Self { configured: known, allocated: RwLock::default(), tells_cases_apart })
    }

    /// From now on this node answers for this canonical prefix, too. One of the configuration stays as it is there.
    ///
    /// # Errors
    /// None, as long as the usual mint pattern can be minted from.
    pub fn allocate(&self, prefix: &str, registrant: &str) -> Result<(), PrefixError> {
        let policy = PrefixPolicy { registrant: registrant.to_owned(), ..PrefixPolicy::new(prefix) };
        let pattern = MintPattern::parse(&policy.mint_pattern)
            .map_err(|error| PrefixError::MintPattern { prefix: prefix.to_owned(), error })?;
        self.allocated.write().insert(prefix.into(), Arc::new(Served { policy, pattern }));
        Ok(())
    }

    fn served(&self, prefix: &str) -> Option<Arc<Served>> {
        let configured = self.configured.get(prefix).map(Arc::clone);
        configured.or_else(|| self.allocated.read().get(prefix).map(Arc::clone))
    }

    /// The policy of exactly this identifier's prefix. Names of schemes without prefixes are nobody's here: they are reached
    /// as aliases.
    #[must_use]
    pub fn responsible(&self, identifier: &Identifier) -> Option<PolicyRef> {
        if identifier.scheme().is_tagged() { None } else { self.policy(identifier.prefix()) }
    }

    /// By canonical prefix.
    #[must_use]
    pub fn policy(&self, prefix: &str) -> Option<PolicyRef> {
        self.served(prefix).map(PolicyRef)
    }

    /// Whether the prefix is one of the configuration.
    #[must_use]
    pub fn is_configured(&self, prefix: &str) -> bool {
        self.configured.contains_key(prefix)
    }

    /// Only a policy of the configuration tells cases apart.
    fn keeps_case(&self, prefix: &str) -> bool {
        self.tells_cases_apart
            && self.configured.get(prefix).is_some_and(|served| served.policy.suffix_case == SuffixCase::Sensitive)
    }

    /// The identifier with the key that its prefix's policy gives it.
    #[must_use]
    pub fn keyed(&self, identifier: Identifier) -> Identifier {
        if !identifier.scheme().is_tagged() && self.keeps_case(identifier.prefix()) {
            return identifier.with_case_sensitive_suffix();
        }
        identifier
    }

    /// The key that [`Prefixes::keyed`] gives to this text, written into `room`: nothing is allocated. `None` for any but the
    /// commonest kind, plain VAA, and where the room is too small.
    #[must_use]
    pub fn common_key<'r>(&self, text: &str, room: &'r mut [u8]) -> Option<&'r str> {
        let slash = Identifier::common_slash(text)?;
        let key = room.get_mut(..text.len())?;
        key.copy_from_slice(text.as_bytes());
        let keeps_case = text.get(..slash).is_some_and(|prefix| self.keeps_case(prefix));
        if !keeps_case {
            key.make_ascii_lowercase();
        }
        std::str::from_utf8(key).ok()
    }

    /// A new suffix by the pattern of this canonical prefix; `fill` writes fresh randomness.
    #[must_use]
    pub fn mint_suffix(&self, prefix: &str, now: Timestamp, fill: impl FnMut(&mut [u8])) -> Option<String> {
        self.served(prefix).map(|served| served.pattern.mint(now, fill))
    }

    /// Each once, in the order of the prefixes.
    #[must_use]
    pub fn all(&self) -> Vec<PolicyRef> {
        let allocated = self.allocated.read();
        let others = allocated.iter().filter(|(prefix, _)| !self.is_configured(prefix)).map(|(_, served)| served);
        let mut all: Vec<PolicyRef> = self.configured.values().chain(others).cloned().map(PolicyRef).collect();
        all.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(policies: Vec<PrefixPolicy>) -> Prefixes {
        Prefixes::new(policies).unwrap()
    }

    #[test]
    fn a_node_is_responsible_for_exactly_its_prefixes() {
        let known =
            prefixes(vec![PrefixPolicy::new("88.999"), PrefixPolicy::new("88.999.1"), PrefixPolicy::new("TEST")]);
        let responsible =
            |text: &str| known.responsible(&Identifier::parse(text).unwrap()).map(|policy| policy.prefix.clone());
        assert_eq!(responsible("88.999.1/A").as_deref(), Some("88.999.1"));
        assert_eq!(responsible("88.999/A").as_deref(), Some("88.999"));
        assert_eq!(responsible("test/A").as_deref(), Some("test"));
        assert_eq!(responsible("88.999.01/A").as_deref(), None);
        assert_eq!(responsible("4006381333931").as_deref(), None, "a GTIN is an alias, not a prefix");
    }

    #[test]
    fn what_is_allocated_is_answered_for_and_changes_nothing_of_the_configuration() {
        let known =
            prefixes(vec![PrefixPolicy { suffix_case: SuffixCase::Sensitive, ..PrefixPolicy::new("88.999.1") }]);
        let name = |text: &str| Identifier::parse(text).unwrap();
        assert!(known.responsible(&name("88.999.7/A")).is_none());
        known.allocate("88.999.7", "示范").unwrap();
        known.allocate("88.999.1", "夺").unwrap();
        assert_eq!(known.responsible(&name("88.999.7/A")).unwrap().registrant, "示范");
        assert_eq!(known.policy("88.999.1").unwrap().registrant, "");
        assert!(known.is_configured("88.999.1") && !known.is_configured("88.999.7"));
        let all = known.all();
        let all: Vec<(&str, &str)> = all.iter().map(|one| (one.prefix.as_str(), one.registrant.as_str())).collect();
        assert_eq!(all, [("88.999.1", ""), ("88.999.7", "示范")], "each once, as it is answered for");
        assert_ne!(known.keyed(name("88.999.1/Ab")).key(), known.keyed(name("88.999.1/aB")).key());
        assert_eq!(known.keyed(name("88.999.7/Ab")).key(), known.keyed(name("88.999.7/aB")).key());
        assert!(known.mint_suffix("88.999.7", Timestamp::EPOCH, |bytes| bytes.fill(7)).is_some());
    }

    #[test]
    fn only_a_case_sensitive_prefix_tells_cases_apart() {
        let known = prefixes(vec![
            PrefixPolicy { suffix_case: SuffixCase::Sensitive, ..PrefixPolicy::new("88.999.1") },
            PrefixPolicy::new("88.999.2"),
        ]);
        let key = |text: &str| known.keyed(Identifier::parse(text).unwrap()).key().clone();
        assert_ne!(key("88.999.1/Ab"), key("88.999.1/aB"));
        assert_eq!(key("88.999.2/Ab"), key("88.999.2/aB"));
    }

    #[test]
    fn the_common_key_is_the_key_or_none() {
        let known = prefixes(vec![
            PrefixPolicy { suffix_case: SuffixCase::Sensitive, ..PrefixPolicy::new("88.999.1") },
            PrefixPolicy::new("88.999.2"),
        ]);
        for (text, is_common) in [
            ("88.999.1/Ab C", true),
            ("88.999.2/Ab/cD", true),
            ("88.118/X~", true),
            ("88.999.2/", false),
            ("88.999.2", false),
            ("88.99/A", false),
            ("88.999.2/A ", false),
            ("88.999.2/铭牌", false),
            ("id:88.999.2/A", false),
            ("10.1000/A", false),
            ("oid:1.2.156", false),
            ("", false),
        ] {
            let mut room = [0; 16];
            let key = Identifier::parse(text).map(|identifier| known.keyed(identifier).key().as_str().to_owned());
            assert_eq!(known.common_key(text, &mut room), key.ok().as_deref().filter(|_| is_common), "{text}");
        }
        assert_eq!(known.common_key("88.999.2/ABCDEFGH", &mut [0; 16]), None, "no room");
    }

    #[test]
    fn prefixes_that_break_the_grammar_or_occur_twice_are_refused() {
        assert_eq!(Prefixes::new(vec![PrefixPolicy::new("88.1")]).unwrap_err(), PrefixError::NotAPrefix("88.1".into()));
        assert_eq!(Prefixes::new(vec![PrefixPolicy::new("a/b")]).unwrap_err(), PrefixError::NotAPrefix("a/b".into()));
        let twice = vec![PrefixPolicy::new("Test"), PrefixPolicy::new("TEST")];
        assert_eq!(Prefixes::new(twice).unwrap_err(), PrefixError::NamedTwice("test".into()));
    }

    #[test]
    fn a_minted_suffix_makes_a_valid_identifier() {
        let known = prefixes(vec![PrefixPolicy::new("88.999.1")]);
        let suffix = known.mint_suffix("88.999.1", Timestamp::EPOCH, |bytes| bytes.fill(7)).unwrap();
        assert!(Identifier::parse(&format!("88.999.1/{suffix}")).is_ok());
        assert_eq!(known.mint_suffix("88.999.2", Timestamp::EPOCH, |_| ()), None);
    }
}
