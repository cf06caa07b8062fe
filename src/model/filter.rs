//! Which records are meant: by prefix, status, the types of their values, and when they were registered or last changed.
//!
//! One filter for whatever works on many records (lists, exports, changes in bulk). Its parameters have the same names in a
//! query, on the command line and as members of JSON. Attributes of templates are no part of it.

use serde::{Deserialize, Serialize};

use super::record::{Record, Status};
use super::text::Text;
use super::time::Timestamp;

/// The most statuses and types that one filter names, each.
const MOST_WORDS: usize = 100;

/// A record is meant if it fits every part that is there; an empty filter means all. Periods begin at `from` and end
/// before `before`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Exactly this prefix (`88.999.1`), not those below it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<Status>,
    /// At least one value has one of these types; one that ends in "." means all that begin with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub r#type: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_before: Option<Timestamp>,
    /// Of the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_before: Option<Timestamp>,
}

impl Filter {
    /// The names of its parameters.
    pub const PARAMETERS: [&str; 7] =
        ["prefix", "status", "type", "registered_from", "registered_before", "updated_from", "updated_before"];

    /// Sets a parameter as it is written on a command line: `NAME=VALUE`.
    ///
    /// # Errors
    /// What was written, and what is wrong with it.
    pub fn set_written(&mut self, condition: &str) -> Result<(), Text> {
        let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
        let (name, value) = (name.trim(), value.trim());
        self.set(name, value).map_err(|text| {
            Text::new(format!("条件 {name}={value}：{}", text.zh), format!("the condition {name}={value}: {}", text.en))
        })
    }

    /// Sets a parameter by its name. `status` and `type` may be set again, and mean one more.
    ///
    /// # Errors
    /// What the value should be, or that there is no such parameter.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Text> {
        match name {
            "prefix" => once(&mut self.prefix, prefix(value)?),
            "status" => one_more(&mut self.status, status(value)?),
            "type" => one_more(&mut self.r#type, value_type(value)?),
            "registered_from" => once(&mut self.registered_from, moment(value)?),
            "registered_before" => once(&mut self.registered_before, moment(value)?),
            "updated_from" => once(&mut self.updated_from, moment(value)?),
            "updated_before" => once(&mut self.updated_before, moment(value)?),
            _ => {
                let known = Filter::PARAMETERS.join(", ");
                Err(Text::new(
                    format!("没有这个条件，可用的有 {known}"),
                    format!("no such condition; there are {known}"),
                ))
            }
        }
    }

    /// Its parameters as they can be set again.
    #[must_use]
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        all.extend(self.prefix.iter().map(|prefix| ("prefix", prefix.clone())));
        all.extend(self.status.iter().map(|status| ("status", status.to_string())));
        all.extend(self.r#type.iter().map(|kind| ("type", kind.clone())));
        for (name, time) in [
            ("registered_from", self.registered_from),
            ("registered_before", self.registered_before),
            ("updated_from", self.updated_from),
            ("updated_before", self.updated_before),
        ] {
            all.extend(time.map(|time| (name, time.to_string())));
        }
        all
    }

    /// What keys of the records begin with, where it names a prefix.
    #[must_use]
    pub fn key_start(&self) -> Option<String> {
        self.prefix.as_ref().map(|prefix| format!("{}/", prefix.to_ascii_lowercase()))
    }

    /// Whether a record that was registered then may be meant, before anything else of it is read.
    #[must_use]
    pub fn may_mean(&self, registered: Timestamp) -> bool {
        within(registered, self.registered_from, self.registered_before)
    }

    /// Whether a record is meant. It must hold only what its asker may see: else a type would tell of a hidden value.
    #[must_use]
    pub fn means(&self, record: &Record) -> bool {
        let has_type = |wanted: &String| record.values.iter().any(|value| is_of_type(&value.r#type, wanted));
        self.key_start().is_none_or(|start| record.identifier.key().as_str().starts_with(&start))
            && (self.status.is_empty() || self.status.contains(&record.status))
            && (self.r#type.is_empty() || self.r#type.iter().any(has_type))
            && self.may_mean(record.registered)
            && within(record.updated, self.updated_from, self.updated_before)
    }
}

/// Whether a type is the wanted one, or begins with it where that ends in a dot (Handle's rule for queries by type).
#[must_use]
pub fn is_of_type(found: &str, wanted: &str) -> bool {
    if wanted.ends_with('.') { found.starts_with(wanted) } else { found == wanted }
}

fn within(time: Timestamp, from: Option<Timestamp>, before: Option<Timestamp>) -> bool {
    from.is_none_or(|from| from <= time) && before.is_none_or(|before| time < before)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Text> {
    if place.is_some() {
        return Err(Text::new("只能出现一次", "may occur once"));
    }
    *place = Some(value);
    Ok(())
}

fn one_more<T: PartialEq>(words: &mut Vec<T>, word: T) -> Result<(), Text> {
    if words.len() == MOST_WORDS {
        return Err(Text::new(format!("至多 {MOST_WORDS} 个"), format!("at most {MOST_WORDS} of them")));
    }
    if !words.contains(&word) {
        words.push(word);
    }
    Ok(())
}

fn prefix(text: &str) -> Result<String, Text> {
    if text.is_empty() || text.contains('/') {
        return Err(Text::new("应为前缀，如 88.999.1", "must be a prefix such as 88.999.1"));
    }
    Ok(text.to_owned())
}

fn status(word: &str) -> Result<Status, Text> {
    Status::from_word(word).filter(|status| *status != Status::Deleted).ok_or_else(|| {
        let words = "active, suspended, recalled, retired";
        Text::new(format!("应为下列之一：{words}"), format!("must be one of: {words}"))
    })
}

fn value_type(text: &str) -> Result<String, Text> {
    if text.is_empty() {
        return Err(Text::new("值为空", "a value is empty"));
    }
    Ok(text.to_owned())
}

/// An RFC 3339 time, or a date: then the midnight with which that day begins in China (UTC+8).
fn moment(text: &str) -> Result<Timestamp, Text> {
    let of_day = || Timestamp::parse(&format!("{text}T00:00:00+08:00"));
    // A `+` of a time zone that a query did not encode arrives as a space.
    let in_zone = || match text.char_indices().rev().find(|(place, letter)| *letter == ' ' && *place > 10) {
        Some((place, _)) => {
            Timestamp::parse(&format!("{}+{}", text.get(..place).unwrap_or(""), text.get(place + 1..).unwrap_or("")))
        }
        None => Timestamp::parse(text),
    };
    let read = if text.len() == 10 { of_day() } else { in_zone() };
    read.map_err(|_| {
        Text::new(
            "应为 RFC 3339 时间（如 2026-11-23T15:24:37Z）或日期（如 2026-11-23，按北京时间零时）",
            "must be an RFC 3339 time such as 2026-11-23T15:24:37Z, or a date such as 2026-11-23 (midnight in China)",
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn filter(parameters: &[(&str, &str)]) -> Filter {
        let mut filter = Filter::default();
        for (name, value) in parameters {
            filter.set(name, value).unwrap();
        }
        filter
    }

    fn record() -> Record {
        let registered = time("2026-11-23T15:24:37Z");
        let draft = json!({"values": [{"index": 1, "type": "证书.质检", "data": "x"}]});
        let draft = Draft::from_json(&draft, registered).unwrap();
        let first = Record::first(Identifier::parse("88.118.8/A").unwrap(), draft.clone(), registered);
        first.next(draft, time("2026-11-24T00:00:00Z"))
    }

    #[test]
    fn a_record_is_meant_if_it_fits_every_part() {
        for parameters in [
            &[][..],
            &[("prefix", "88.118.8")],
            &[("status", "retired"), ("status", "active")],
            &[("type", "证书.质检"), ("type", "名称")],
            &[("type", "证书.")],
            &[("registered_from", "2026-11-23T15:24:37Z"), ("registered_before", "2026-11-23T15:24:38Z")],
            &[("updated_from", "2026-11-24"), ("updated_before", "2026-11-24T08:00:01 08:00")],
        ] {
            assert!(filter(parameters).means(&record()), "{parameters:?}");
        }
        for parameters in [
            ("prefix", "88.118"),
            ("status", "retired"),
            ("type", "证书"),
            ("registered_before", "2026-11-23T15:24:37Z"),
            ("registered_from", "2026-11-24"),
            ("updated_from", "2026-11-25"),
            ("updated_before", "2026-11-24T00:00:00Z"),
        ] {
            assert!(!filter(&[parameters]).means(&record()), "{parameters:?}");
        }
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for (name, value) in [
            ("prefix", "a/b"),
            ("prefix", ""),
            ("status", "deleted"),
            ("type", ""),
            ("updated_from", "now"),
            ("x", "y"),
        ] {
            assert!(Filter::default().set(name, value).is_err(), "{name}={value}");
        }
        let mut twice = filter(&[("prefix", "88.1.1")]);
        assert!(twice.set("prefix", "88.1.2").is_err());
    }

    #[test]
    fn parameters_and_json_give_the_same_filter_back() {
        let whole = filter(&[
            ("prefix", "88.118.8"),
            ("status", "active"),
            ("type", "名称"),
            ("registered_from", "2026-11-23"),
            ("updated_before", "2026-11-24T00:00:00Z"),
        ]);
        let parameters = whole.parameters();
        let again: Vec<(&str, &str)> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(filter(&again), whole);
        let json = serde_json::to_value(&whole).unwrap();
        assert_eq!(json["registered_from"], "2026-11-22T16:00:00Z");
        assert_eq!(serde_json::from_value::<Filter>(json).unwrap(), whole);
        assert!(serde_json::from_value::<Filter>(json!({"statsu": ["active"]})).is_err());
    }
}
