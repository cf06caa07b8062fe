//! From the columns of a row to a record: which column names the identifier, which make values, which are aliases.
//!
//! `{"identifier":"88.999.1/{code}","values":[{"index":2000,"type":"名称","from":"name"}],"aliases":[{"scheme":"gs1","from":"code"}]}`

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::members::MappedMembers;
use crate::model::text::Text;

/// How columns become a record. Unknown members are refused: a typing error must not drop a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Text with `{column}` in it.
    pub identifier: String,
    #[serde(default)]
    pub values: Vec<MappedValue>,
    #[serde(default)]
    pub aliases: Vec<MappedAlias>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Columns that hold members of the record whole, as an export writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<MappedMembers>,
    /// The column that says what a row does ([`super::Operation`]); a row where it is empty does what the job does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The column with the version that a row is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub if_version: Option<String>,
}

/// A value from a column. A row without the column, or with an empty one, gets no such value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedValue {
    pub index: u32,
    #[serde(rename = "type")]
    pub r#type: String,
    pub from: String,
    /// A data format such as `decimal` or `date`; without it text stays text and numbers stay numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<String>,
}

/// An alias from a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedAlias {
    pub scheme: String,
    pub from: String,
}

/// Why a row cannot be mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingError {
    pub column: String,
    pub code: &'static str,
    pub detail: Text,
}

impl Mapping {
    /// The record in the export's form, for the same reading and checking as any other.
    pub fn apply(&self, row: &Map<String, Json>) -> Result<Json, MappingError> {
        let mut record = Map::new();
        record.insert("identifier".to_owned(), Json::String(self.identifier(row)?));
        let values: Vec<Json> = self.values.iter().filter_map(|value| value.apply(row)).collect();
        record.insert("values".to_owned(), Json::Array(values));
        let mut aliases = Vec::new();
        for alias in &self.aliases {
            if let Some(text) = present(row, &alias.from) {
                aliases.push(json!({"scheme": alias.scheme, "identifier": as_text(text, &alias.from)?}));
            }
        }
        record.insert("aliases".to_owned(), Json::Array(aliases));
        for (name, column) in [("operation", &self.operation), ("if_version", &self.if_version)] {
            if let Some(found) = column.as_ref().and_then(|column| present(row, column)) {
                record.insert(name.to_owned(), found.clone());
            }
        }
        for (name, member) in [("registrant", &self.registrant), ("template", &self.template)] {
            if let Some(text) = member {
                record.insert(name.to_owned(), Json::String(text.clone()));
            }
        }
        if let Some(members) = &self.members {
            members.apply(row, &mut record)?;
        }
        Ok(Json::Object(record))
    }

    /// The columns that it reads.
    #[must_use]
    pub fn columns(&self) -> Vec<&str> {
        let values = self.values.iter().map(|value| value.from.as_str());
        let aliases = self.aliases.iter().map(|alias| alias.from.as_str());
        let members = self.members.iter().flat_map(MappedMembers::columns);
        let said = [&self.operation, &self.if_version].into_iter().flatten().map(String::as_str);
        self.identifier_columns().chain(values).chain(aliases).chain(members).chain(said).collect()
    }

    /// The columns that the identifier is made of.
    pub(super) fn identifier_columns(&self) -> impl Iterator<Item = &str> {
        self.identifier.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
    }

    /// The column behind a pointer into the record that was made of a row. Empty columns made no values, so they do not
    /// count.
    pub(super) fn column_of(&self, pointer: &str, row: &Map<String, Json>) -> Option<&str> {
        let mut steps = pointer.split('/').skip(1);
        let (member, at) = (steps.next()?, steps.next().and_then(|at| at.parse().ok()));
        let is_there = |column: &&str| present(row, column).is_some();
        let mapped = match member {
            "aliases" => self.aliases.iter().map(|alias| alias.from.as_str()).filter(is_there).nth(at?),
            "values" => self.values.iter().map(|value| value.from.as_str()).filter(is_there).nth(at?),
            _ => None,
        };
        mapped.or_else(|| self.members.as_ref()?.column_of(member, row))
    }

    fn identifier(&self, row: &Map<String, Json>) -> Result<String, MappingError> {
        let mut out = String::new();
        let mut rest = self.identifier.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (column, after) = after.split_once('}').ok_or_else(|| MappingError {
                column: self.identifier.clone(),
                code: "mapping_unclosed",
                detail: Text::new(
                    "映射的 identifier 中有未闭合的 {",
                    "a `{` in the mapping's identifier is not closed",
                ),
            })?;
            let value = present(row, column).ok_or_else(|| MappingError {
                column: column.to_owned(),
                code: "column_missing",
                detail: Text::new(
                    format!("缺少列“{column}”或其为空，无法组成标识"),
                    format!("the column {column} is missing or empty, so there is no identifier"),
                ),
            })?;
            out.push_str(before);
            out.push_str(&as_text(value, column)?);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

impl MappedValue {
    fn apply(&self, row: &Map<String, Json>) -> Option<Json> {
        let found = present(row, &self.from)?;
        let data = match &self.format {
            Some(format) => {
                let mut data = Map::new();
                data.insert("format".to_owned(), Json::String(format.clone()));
                let value = match (format.as_str(), found) {
                    ("string" | "decimal" | "date" | "url" | "identifier", Json::Number(number)) => {
                        Json::String(number.to_string())
                    }
                    ("integer", Json::String(text)) => {
                        text.trim().parse::<i64>().map_or_else(|_| found.clone(), Json::from)
                    }
                    // Spreadsheets write TRUE and FALSE.
                    ("boolean", Json::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
                        "true" | "是" | "1" => Json::Bool(true),
                        "false" | "否" | "0" => Json::Bool(false),
                        _ => found.clone(),
                    },
                    ("decimal" | "date" | "url" | "identifier", Json::String(text)) => {
                        Json::String(text.trim().to_owned())
                    }
                    _ => found.clone(),
                };
                data.insert("value".to_owned(), value);
                if let Some(unit) = &self.unit {
                    data.insert("unit".to_owned(), Json::String(unit.clone()));
                }
                Json::Object(data)
            }
            None => match found {
                // A list or an object of the source has no value form of its own: its JSON text is kept.
                Json::Array(_) | Json::Object(_) => Json::String(found.to_string()),
                other => other.clone(),
            },
        };
        let mut value = json!({"index": self.index, "type": self.r#type, "data": data});
        if let (Some(visibility), Some(members)) = (&self.visibility, value.as_object_mut()) {
            members.insert("visibility".to_owned(), Json::String(visibility.clone()));
        }
        Some(value)
    }
}

/// The column's content; an absent, null or empty one is none.
pub(super) fn present<'a>(row: &'a Map<String, Json>, column: &str) -> Option<&'a Json> {
    row.get(column).filter(|value| !value.is_null() && value.as_str().is_none_or(|text| !text.trim().is_empty()))
}

pub(super) fn as_text(value: &Json, column: &str) -> Result<String, MappingError> {
    match value {
        Json::String(text) => Ok(text.trim().to_owned()),
        Json::Number(number) => Ok(number.to_string()),
        _ => Err(MappingError {
            column: column.to_owned(),
            code: "column_not_text",
            detail: Text::new(
                format!("列“{column}”应为文本或数字"),
                format!("the column {column} must be text or a number"),
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_a_record_and_empty_ones_become_nothing() {
        let mapping: Mapping = serde_json::from_value(json!({
            "identifier": "88.999.1/{编号}",
            "values": [
                {"index": 2000, "type": "名称", "from": "名称"},
                {"index": 2001, "type": "净重", "from": "净重", "format": "decimal", "unit": "g"},
                {"index": 2002, "type": "空", "from": "空"},
            ],
            "aliases": [{"scheme": "gs1", "from": "条码"}],
        }))
        .unwrap();
        let row = json!({"编号": "A1", "名称": "螺栓", "净重": 12.5, "空": " ", "条码": "09506000134352"});
        let record = mapping.apply(row.as_object().unwrap()).unwrap();
        assert_eq!(
            record,
            json!({
                "identifier": "88.999.1/A1",
                "values": [
                    {"index": 2000, "type": "名称", "data": "螺栓"},
                    {"index": 2001, "type": "净重", "data": {"format": "decimal", "value": "12.5", "unit": "g"}},
                ],
                "aliases": [{"scheme": "gs1", "identifier": "09506000134352"}],
            })
        );
        let missing = mapping.apply(json!({"名称": "螺栓"}).as_object().unwrap()).unwrap_err();
        assert_eq!((missing.column.as_str(), missing.code), ("编号", "column_missing"));
        assert!(serde_json::from_value::<Mapping>(json!({"identifier": "x", "vlaues": []})).is_err());
    }
}
