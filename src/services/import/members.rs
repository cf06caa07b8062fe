//! Members of a record from columns that hold them whole, as an export writes them: the other half of the table layout.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::mapping::{MappingError, as_text, present};
use crate::model::column::{Column, Member};
use crate::model::text::Text;

/// Which column holds which member. A row without the column, or with an empty one, goes without the member.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappedMembers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrant: Option<String>,
    /// A line each: scheme, space, name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aliases: Option<String>,
    /// A JSON array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub links: Option<String>,
    /// The pieces of a JSON object with further members; `values`, `links` and `aliases` join those of other columns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<String>,
}

impl MappedMembers {
    /// From the names that an export gives its columns. The node's own words (version, times) are left where they are.
    pub(super) fn of_export(columns: &[String]) -> MappedMembers {
        let mut members = MappedMembers::default();
        let mut pieces = Vec::new();
        for name in columns {
            let Some(Column::Member(member)) = Column::read(name) else { continue };
            let place = match member {
                Member::Status => &mut members.status,
                Member::Template => &mut members.template,
                Member::Registrant => &mut members.registrant,
                Member::Aliases => &mut members.aliases,
                Member::Links => &mut members.links,
                Member::More(piece) => {
                    pieces.push((piece, name.clone()));
                    continue;
                }
                Member::Identifier | Member::Version | Member::Registered | Member::Updated => continue,
            };
            place.get_or_insert(name.clone());
        }
        pieces.sort();
        members.more = pieces.into_iter().map(|(_, name)| name).collect();
        members
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        let single = [&self.status, &self.template, &self.registrant, &self.aliases, &self.links];
        single.into_iter().flatten().chain(&self.more).map(String::as_str)
    }

    /// Puts the members of a row into its record.
    pub(super) fn apply(&self, row: &Map<String, Json>, record: &mut Map<String, Json>) -> Result<(), MappingError> {
        for (name, column) in [("status", &self.status), ("template", &self.template), ("registrant", &self.registrant)]
        {
            if let Some((found, column)) = column.as_ref().and_then(|column| Some((present(row, column)?, column))) {
                record.insert(name.to_owned(), Json::String(as_text(found, column)?));
            }
        }
        if let Some((text, column)) = cell(row, self.aliases.as_ref())? {
            join(record, "aliases", aliases(&text, column)?);
        }
        if let Some((text, column)) = cell(row, self.links.as_ref())? {
            let links = serde_json::from_str(&text).map_err(|_| unreadable(column))?;
            join(record, "links", links);
        }
        let mut whole = String::new();
        for column in &self.more {
            // Its pieces are cut anywhere, also beside a blank.
            whole.push_str(row.get(column).and_then(Json::as_str).unwrap_or_default());
        }
        if let Some(first) = self.more.first().filter(|_| !whole.trim().is_empty()) {
            let more: Map<String, Json> = serde_json::from_str(&whole).map_err(|_| unreadable(first))?;
            for (name, member) in more {
                match member {
                    Json::Array(items) => join(record, &name, items),
                    // What is no member of a record is refused when the record is read.
                    member => drop(record.insert(name, member)),
                }
            }
        }
        Ok(())
    }

    /// The column behind a member of the record that was made of a row.
    pub(super) fn column_of(&self, member: &str, row: &Map<String, Json>) -> Option<&str> {
        let is_there = |column: &&String| present(row, column).is_some();
        let own = match member {
            "status" => self.status.as_ref(),
            "template" => self.template.as_ref(),
            "registrant" => self.registrant.as_ref(),
            "aliases" => self.aliases.as_ref(),
            "links" => self.links.as_ref(),
            _ => None,
        };
        own.filter(is_there).or_else(|| self.more.first().filter(is_there)).map(String::as_str)
    }
}

/// The text of a column's cell that is not empty.
fn cell<'m>(row: &Map<String, Json>, column: Option<&'m String>) -> Result<Option<(String, &'m str)>, MappingError> {
    let Some(column) = column else { return Ok(None) };
    present(row, column).map(|found| Ok((as_text(found, column)?, column.as_str()))).transpose()
}

fn join(record: &mut Map<String, Json>, name: &str, mut items: Vec<Json>) {
    match record.get_mut(name) {
        Some(Json::Array(there)) => there.append(&mut items),
        _ => drop(record.insert(name.to_owned(), Json::Array(items))),
    }
}

fn aliases(text: &str, column: &str) -> Result<Vec<Json>, MappingError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (scheme, name) = line.split_once(' ').ok_or_else(|| unreadable(column))?;
            Ok(json!({"scheme": scheme, "identifier": name.trim()}))
        })
        .collect()
}

fn unreadable(column: &str) -> MappingError {
    MappingError {
        column: column.to_owned(),
        code: "column_unreadable",
        detail: Text::new(
            format!("列“{column}”不是导出时所写的形式：别名每行为“方案 名称”，链接与其他为 JSON"),
            format!(
                "the column {column} is not as an export writes it: aliases are lines of scheme and name, links and more are JSON"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::import::Mapping;

    #[test]
    fn the_columns_of_an_export_propose_the_mapping_that_gives_its_records_back() {
        let columns: Vec<String> = [
            "标识",
            "状态",
            "版本",
            "2000 名称",
            "2001 净重 [decimal visibility=owner unit=g]",
            "别名",
            "链接",
            "登记时间",
            "其他 (JSON) 2",
            "其他 (JSON)",
            "备注",
        ]
        .map(str::to_owned)
        .to_vec();
        let mapping = Mapping::propose(&columns, &[], "88.118.8");
        assert_eq!(mapping.identifier, "{标识}");
        let row = json!({
            "标识": "88.118.8/A", "状态": "recalled", "2000 名称": "螺栓", "2001 净重 [decimal visibility=owner unit=g]": "1.50",
            "别名": "gs1 01/09506000134352\noid 1.2.3", "链接": r#"[{"rel":"manual","href":"https://example.com/"}]"#,
            "其他 (JSON)": r#"{"template":"a@1","values":[{"index":1,"type":"x","da"#, "其他 (JSON) 2": r#"ta":"y"}]}"#,
        });
        assert_eq!(
            mapping.apply(row.as_object().unwrap()).unwrap(),
            json!({
                "identifier": "88.118.8/A",
                "status": "recalled",
                "template": "a@1",
                "values": [
                    {"index": 2000, "type": "名称", "data": {"format": "string", "value": "螺栓"}},
                    {"index": 2001, "type": "净重", "data": {"format": "decimal", "value": "1.50", "unit": "g"}, "visibility": "owner"},
                    {"index": 1, "type": "x", "data": "y"},
                ],
                "links": [{"rel": "manual", "href": "https://example.com/"}],
                "aliases": [
                    {"scheme": "gs1", "identifier": "01/09506000134352"},
                    {"scheme": "oid", "identifier": "1.2.3"},
                ],
            })
        );
        // A column that somebody has added takes no index of an export's.
        assert_eq!(mapping.values.last().unwrap().index, 2002);
        for (column, broken) in [("别名", "gs1"), ("链接", "[{]"), ("其他 (JSON)", "[]")] {
            let row = json!({"标识": "88.118.8/A", column: broken});
            let error = mapping.apply(row.as_object().unwrap()).unwrap_err();
            assert_eq!((error.column.as_str(), error.code), (column, "column_unreadable"));
        }
        let row = row.as_object().unwrap();
        assert_eq!(mapping.column_of("/status", row), Some("状态"));
        assert_eq!(mapping.column_of("/values/2/data", row), Some("其他 (JSON)"));
        assert_eq!(mapping.column_of("/aliases/1", row), Some("别名"));
    }
}
