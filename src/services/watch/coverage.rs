//! How far a watch can be believed: which names it has seen nothing of, and whether anything shows its secret to be the right one.
//!
//! A wrong secret looks like an honest log without one's entries, and makes every genuine bundle look like a second `sid`. Only
//! what stands under a blinded name that the secret gives shows it to be right: nobody finds that by chance.

use std::collections::HashSet;

use super::{Bundle, Finding, FindingKind, Watch};
use crate::model::text::Text;
use crate::tlog::hash::Hash;

/// What a watch has seen of its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// Names that are watched.
    pub names: usize,
    /// Those that have no entry in the log, in order.
    pub without_entry: Vec<String>,
}

/// Names without an entry that are written out.
const NAMES_SHOWN: usize = 5;

impl Coverage {
    /// Whether there are names, and nothing was seen of any.
    #[must_use]
    pub fn is_blind(&self) -> bool {
        self.names > 0 && self.without_entry.len() == self.names
    }

    /// What to say where names have no entry.
    #[must_use]
    pub fn text(&self) -> Option<Text> {
        let (missing, names) = (self.without_entry.len(), self.names);
        if missing == 0 {
            return None;
        }
        let mut shown = self.without_entry.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if missing > NAMES_SHOWN {
            shown.push_str(" …");
        }
        Some(if self.is_blind() {
            Text::new(
                format!(
                    "{names} 个标识在日志中都没有条目（{shown}）：请核对标识的写法、密文是否为此前缀与此节点的，以及是否已登记；现在什么也无法判断"
                ),
                format!(
                    "{missing} of {names} names have no entry in the log ({shown}): see whether they are spelled right, the secret is this prefix's at this node, and they are registered; nothing can be told now"
                ),
            )
        } else {
            Text::new(
                format!("{names} 个标识中有 {missing} 个在日志中没有条目（{shown}）：请核对写法，或尚未登记"),
                format!(
                    "{missing} of {names} names have no entry in the log ({shown}): misspelled, or not registered yet?"
                ),
            )
        })
    }
}

impl Watch {
    /// What was seen of the names so far.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        let names: HashSet<&str> = self.names.sids.values().map(String::as_str).collect();
        let seen: HashSet<&str> = self.seen.values().map(|seen| seen.identifier.as_str()).collect();
        let mut without_entry: Vec<String> = names.difference(&seen).map(|&name| name.to_owned()).collect();
        without_entry.sort_unstable();
        Coverage { names: names.len(), without_entry }
    }

    /// Takes back what rests on the secret alone where nothing shows that to be right, and says so. `named`: leaves that the
    /// owner knows with their identifiers; `missing`: leaves that the log does not have.
    pub fn doubt_secret(
        &self,
        bundles: &[Bundle],
        named: &[(Hash, String)],
        missing: &HashSet<Hash>,
        findings: &mut Vec<Finding>,
    ) -> Option<Text> {
        let is_second = |found: &Finding| found.kind == FindingKind::SecondSid;
        let is_right = |bundle: &Bundle| {
            !findings.iter().any(|found| is_second(found) && found.file.as_deref() == Some(&bundle.file))
        };
        if !self.seen.is_empty() || bundles.iter().any(is_right) {
            return None;
        }
        // In the log, under a name that is watched, and not under that name's blinded name.
        let names: HashSet<&str> = self.names.sids.values().map(String::as_str).collect();
        let hidden =
            named.iter().filter(|(leaf, name)| names.contains(name.as_str()) && !missing.contains(leaf)).count();
        let second = findings.iter().filter(|found| is_second(found)).count();
        if hidden + second == 0 {
            return None;
        }
        findings.retain(|found| !is_second(found));
        let prefix = &self.names.prefix;
        Some(Text::new(
            format!(
                "密文看来不是前缀 {prefix} 在此节点的：已知的 {hidden} 个条目与 {second} 份答复，没有一个在它所给出的盲化名之下，所以不指控节点。请向运营方重新索取（mingpai keygen --use prefix-secret）；\
                 若确信密文无误，请用 --names 给出日志中已有条目的标识再查：只有如此才能看出第二个 sid"
            ),
            format!(
                "wrong secret, it seems: of {hidden} known entries and {second} bundles none is under the blinded name that it gives under {prefix}, so nobody is accused. Ask the operator for \
                 the secret of this prefix (`mingpai keygen --use prefix-secret`); if it is the right one, give --names that have entries in the log: only then a second sid can be told"
            ),
        ))
    }
}
