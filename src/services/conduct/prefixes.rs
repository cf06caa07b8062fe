//! The rule of prefixes that filings were allocated: none twice, and none that lies above or below another one.

use std::collections::BTreeMap;

use super::Rule;
use super::book::Book;
use super::reading::Act;
use crate::model::prefix::{and_above, is_canonical};
use crate::services::audit::examine::clipped;

/// The prefixes that were allocated, and by which event.
#[derive(Default)]
pub(super) struct Prefixes(BTreeMap<String, u64>);

impl Prefixes {
    pub(super) fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// A canonical prefix has a bounded length.
    pub(super) fn bytes(&self) -> u64 {
        self.0.len() as u64 * 128
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
