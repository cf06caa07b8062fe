//! Grants: an enterprise lets others read values that are not public, under a prefix of its own.
//!
//! What a grant opens is values that are for signed-in callers or for whom they are granted; what is the owner's alone no grant
//! opens. Deny by default: without a grant nobody but the owner sees a value that is `granted`.

use serde::{Deserialize, Serialize};

use super::filter::is_of_type;
use super::prefix::covers;
use super::record::Record;
use super::time::Timestamp;
use super::value::{Value, Visibility};

/// Who may read.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    /// Who shows this API key, or has a session by it: its id.
    Key(String),
    /// An organisation: the keys of readers, registrars and owners of this prefix and what is below it.
    Prefix(String),
    /// Whoever has the link: the hash of its secret, base64url.
    Link { hash: String },
}

/// What may be read. Empty lists leave the choice open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Blinded names (base64url): these records alone. In clear they would stand in the audit tree for ever, erased or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sids: Vec<String>,
    /// Records of these templates alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub templates: Vec<String>,
    /// Values at these indexes, or of these types.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indexes: Vec<u32>,
    /// One that ends in "." means all that begin with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<String>,
}

/// A grant, as its statement has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: String,
    /// Under this prefix and what is below it.
    pub prefix: String,
    pub holder: Holder,
    #[serde(flatten)]
    pub opened: Opened,
    /// Why it was given, in its maker's words.
    pub purpose: String,
    /// By whom: `key:ID`.
    pub maker: String,
    /// Epoch seconds.
    pub created: i64,
    /// From when on it opens anything.
    pub from: i64,
    /// And from when on nothing any more; absent: until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

impl Grant {
    #[must_use]
    pub fn is_in_force(&self, now: Timestamp) -> bool {
        let now = now.as_seconds();
        self.from <= now && self.until.is_none_or(|until| now < until)
    }

    /// Whether it lets its holder see this value, of a record that it is about.
    #[must_use]
    pub fn opens(&self, value: &Value) -> bool {
        matches!(value.visibility, Visibility::Granted | Visibility::SignedIn) && self.opened.names(value)
    }

    /// Whether it is about this record. `sid`: the record's blinded name, where it is known.
    #[must_use]
    pub fn is_about(&self, record: &Record, sid: Option<&str>) -> bool {
        let Opened { sids, templates, .. } = &self.opened;
        covers(&self.prefix, record.identifier.prefix())
            && (sids.is_empty() || sid.is_some_and(|sid| sids.iter().any(|named| named == sid)))
            && (templates.is_empty() || record.template.as_ref().is_some_and(|template| templates.contains(template)))
    }
}

impl Opened {
    fn names(&self, value: &Value) -> bool {
        let is_any = self.indexes.is_empty() && self.types.is_empty();
        is_any
            || self.indexes.contains(&value.index)
            || self.types.iter().any(|wanted| is_of_type(&value.r#type, wanted))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;

    fn record(name: &str, template: Option<&str>) -> Record {
        let mut draft = json!({"values": [
            {"index": 1, "type": "公开", "data": "a"},
            {"index": 2, "type": "价格", "data": "a", "visibility": "granted"},
            {"index": 3, "type": "价格.细目", "data": "a", "visibility": "signed-in"},
            {"index": 4, "type": "成本", "data": "a", "visibility": "owner"},
        ]});
        if let Some(template) = template {
            draft["template"] = json!(template);
        }
        let draft = Draft::from_json(&draft, Timestamp::EPOCH).unwrap();
        Record::first(Identifier::parse(name).unwrap(), draft, Timestamp::EPOCH)
    }

    fn grant(opened: Opened) -> Grant {
        Grant {
            id: "g".to_owned(),
            prefix: "88.999.1".to_owned(),
            holder: Holder::Key("k".to_owned()),
            opened,
            purpose: String::new(),
            maker: String::new(),
            created: 0,
            from: 10,
            until: Some(20),
        }
    }

    fn opened(grant: &Grant, record: &Record) -> Vec<u32> {
        record
            .values
            .iter()
            .filter(|value| grant.is_about(record, Some("SID")) && grant.opens(value))
            .map(|value| value.index)
            .collect()
    }

    #[test]
    fn a_grant_opens_what_it_names_and_never_what_is_the_owners() {
        let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let here = record("88.999.1/A", Some("part@1"));
        for (what, expected) in [
            (Opened::default(), vec![2, 3]),
            (Opened { indexes: vec![2, 4], ..Opened::default() }, vec![2]),
            (Opened { types: text(&["价格."]), ..Opened::default() }, vec![3]),
            (Opened { types: text(&["价格"]), indexes: vec![3], ..Opened::default() }, vec![2, 3]),
            (Opened { templates: text(&["part@1"]), ..Opened::default() }, vec![2, 3]),
            (Opened { templates: text(&["part@2"]), ..Opened::default() }, vec![]),
            (Opened { sids: text(&["SID"]), indexes: vec![2], ..Opened::default() }, vec![2]),
            (Opened { sids: text(&["SID2"]), ..Opened::default() }, vec![]),
        ] {
            assert_eq!(opened(&grant(what.clone()), &here), expected, "{what:?}");
        }
        for (prefix, name, is_opened) in [
            ("88.999.1", "88.999.10/A", false),
            ("88.999.1", "88.999/A", false),
            ("88.999", "88.999.1/A", true),
            ("86.709", "86.709.1/A", true),
            ("86.709", "86.7091/A", false),
        ] {
            let all = Grant { prefix: prefix.to_owned(), ..grant(Opened::default()) };
            assert_eq!(!opened(&all, &record(name, None)).is_empty(), is_opened, "{prefix} {name}");
        }
        let of_template = grant(Opened { templates: text(&["part@1"]), ..Opened::default() });
        assert_eq!(opened(&of_template, &record("88.999.1/A", None)), [0; 0]);
    }

    #[test]
    fn a_grant_is_in_force_from_its_first_second_to_before_its_last() {
        let at = |seconds| grant(Opened::default()).is_in_force(Timestamp::from_seconds(seconds).unwrap());
        assert_eq!([9, 10, 19, 20].map(at), [false, true, true, false]);
    }
}
