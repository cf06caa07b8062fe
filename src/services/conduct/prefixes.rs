//! The rules of prefixes: none is allocated twice, or above or below another one; and what is decided about one afterwards follows
//! what was decided before, number by number.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::Rule;
use super::book::Book;
use super::reading::Act;
use crate::model::prefix::{PrefixStep, PrefixTaken, Standing, and_above, is_canonical};
use crate::services::audit::examine::clipped;

/// The prefixes that were allocated, and by which event.
#[derive(Default)]
pub(super) struct Prefixes(BTreeMap<String, u64>, BTreeMap<String, Decided>);

/// Where a prefix stands, and after how many steps.
#[derive(Default)]
struct Decided {
    standing: Standing,
    steps: u64,
}

impl Prefixes {
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// A canonical prefix has a bounded length.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * 128 + self.1.len() as u64 * 192
    }

    /// One that was allocated and covers this one, or lies below it.
    fn in_the_way(&self, prefix: &str) -> Option<(&str, u64)> {
        let above = and_above(prefix).find_map(|above| self.0.get_key_value(above));
        let below = || {
            let start = format!("{prefix}.");
            self.0.range(start.clone()..).next().filter(|(below, _)| below.starts_with(&start))
        };
        above.or_else(below).map(|(prefix, index)| (prefix.as_str(), *index))
    }
}

impl Book {
    pub(super) fn prefix_step(&mut self, act: &Act, step: PrefixStep) -> Option<()> {
        let (prefix, seq) = (act.text("prefix")?, u32::try_from(act.number("seq")?).ok()?);
        if !is_canonical(prefix) {
            return None;
        }
        let resolves = act.members.get("resolves").and_then(Json::as_bool);
        let (by, until) = (act.principal.clone(), act.number("until"));
        let taken = PrefixTaken { step, seq, by, at: act.iat, index: act.index, resolves, until, sealed: None };
        let decided = self.prefixes.1.entry(prefix.to_owned()).or_default();
        let told = clipped(prefix);
        if u64::from(seq) != decided.steps + 1 {
            let (last, expected) = (decided.steps, decided.steps + 1);
            decided.steps = decided.steps.max(u64::from(seq));
            let text = (
                format!("前缀 {told} 的第 {last} 步之后应为第 {expected} 步"),
                format!("step {expected} of the prefix {told} should follow its step {last}"),
            );
            self.breach(act, Rule::StepNumber, &[prefix], text);
            return Some(());
        }
        decided.steps += 1;
        match decided.standing.after(&taken) {
            Some(next) => decided.standing = next,
            None => {
                let text = (
                    format!("前缀 {told} 所处状态不能 {}", step.as_str()),
                    format!("the prefix {told} does not stand where it could be {}", step.as_str()),
                );
                self.breach(act, Rule::StepOrder, &[prefix], text);
            }
        }
        Some(())
    }

    /// `None` where it is no prefix that this program knows how to compare.
    pub(super) fn allocate(&mut self, act: &Act, prefix: &str) -> Option<()> {
        if !is_canonical(prefix) {
            return None;
        }
        let found = self.prefixes.in_the_way(prefix).map(|(other, index)| (other.to_owned(), index));
        if let Some((other, index)) = found {
            let kind = if other == prefix { Rule::PrefixTwice } else { Rule::PrefixOverlaps };
            let (told, others) = (clipped(prefix), clipped(&other));
            let text = (
                format!("前缀 {told} 与第 {index} 条所分配的 {others} 相同或重叠"),
                format!("the prefix {told} is, or overlaps, {others}, which event {index} allocated"),
            );
            self.breach(act, kind, &[prefix, &other], text);
        }
        self.prefixes.0.entry(prefix.to_owned()).or_insert(act.index);
        Some(())
    }
}
