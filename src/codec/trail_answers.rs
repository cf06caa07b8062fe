//! The audit trail as it is answered: a page in JSON, a line of it, a row of CSV. All three say the same.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::answers::json;
use super::cursor;
use super::table::cells;
use crate::model::time::Timestamp;
use crate::services::trail::{Page, Told};
use crate::store::trees::Tree;

/// The columns of a CSV, which are the members of an event; `detail` is JSON.
const COLUMNS: &str = "sequence,time,event,principal,subject,version,tree,index,detail\r\n";

/// Who did what · 谁做了什么
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditEvent")]
pub(super) struct EventBody<'a> {
    /// Of its frame in the journal: both trees count in one.
    sequence: u64,
    /// The leaf's own time, as the node's clock was · 该叶自身的时间
    time: Timestamp,
    /// Such as `key.created`, `record.updated`; there will be others.
    event: &'a str,
    /// `key:ID`, `bootstrap`, or a part of the node itself · 由谁
    principal: &'a str,
    /// The identifier, key id, prefix or name of the log that it is about; null where it is about none, and once the
    /// identifier is erased · 对象
    subject: Option<&'a str>,
    /// Of a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    version: Option<u64>,
    #[schemars(extend("enum" = ["audit", "registry"]))]
    tree: &'static str,
    /// Of its leaf in that tree, by which it is found and proven.
    index: u64,
    /// What else the leaf says that may be shown: role, prefixes, label, expires, … · 其他可示内容
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Json>")]
    detail: Option<&'a Map<String, Json>>,
}

/// A page of the audit trail · 一页审计
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "AuditPage")]
pub(super) struct PageBody<'a> {
    events: Vec<EventBody<'a>>,
    /// Absent at the end; a page that is not full, or empty, may have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    next_cursor: Option<String>,
}

impl<'a> EventBody<'a> {
    fn of(told: &'a Told) -> Self {
        let event = &told.event;
        Self {
            sequence: told.sequence,
            time: told.time,
            event: &event.name,
            principal: &event.principal,
            subject: event.subject.as_deref(),
            version: event.version,
            tree: match told.tree {
                Tree::Registry => "registry",
                Tree::Audit => "audit",
            },
            index: told.index,
            detail: Some(&event.detail).filter(|detail| !detail.is_empty()),
        }
    }
}

#[must_use]
pub(super) fn page(page: &Page) -> Vec<u8> {
    let next_cursor = page.next.as_ref().map(cursor::of_trail);
    json(&PageBody { events: page.events.iter().map(EventBody::of).collect(), next_cursor })
}

/// A line of JSON.
pub(super) fn write_line(told: &Told, out: &mut Vec<u8>) {
    out.extend(json(&EventBody::of(told)));
    out.push(b'\n');
}

/// The row of the columns' names.
pub(super) fn write_header(out: &mut Vec<u8>) {
    out.extend_from_slice(COLUMNS.as_bytes());
}

/// A row of CSV; what is absent is an empty cell.
pub(super) fn write_row(told: &Told, out: &mut Vec<u8>) {
    let body = EventBody::of(told);
    let version = body.version.map(|version| version.to_string()).unwrap_or_default();
    let detail = body.detail.map(|detail| Json::Object(detail.clone()).to_string()).unwrap_or_default();
    out.extend_from_slice(format!("{},{},", body.sequence, body.time).as_bytes());
    // What others have written; the numbers and the time are ours by their form.
    for cell in [body.event, body.principal, body.subject.unwrap_or_default()] {
        cells::write(cell, out);
        out.push(b',');
    }
    out.extend_from_slice(format!("{version},{},{},", body.tree, body.index).as_bytes());
    cells::write(&detail, out);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sign::event::Event;

    #[test]
    fn a_row_holds_what_a_line_does_and_no_formula() {
        let told = |subject: Option<&str>, detail: Json| Told {
            sequence: 7,
            time: Timestamp::EPOCH,
            event: Event {
                name: "vault.opened".into(),
                principal: "=HYPERLINK(1)".to_owned(),
                subject: subject.map(str::to_owned),
                version: None,
                detail: detail.as_object().cloned().unwrap_or_default(),
            },
            tree: Tree::Audit,
            index: 3,
        };
        let mut out = Vec::new();
        write_row(&told(Some("@a,\"b"), json!({"label": "一"})), &mut out);
        write_row(&told(None, json!({})), &mut out);
        let wanted = "7,1970-01-01T00:00:00Z,vault.opened,\"'=HYPERLINK(1)\",\"'@a,\"\"b\",,audit,3,\"{\"\"label\"\":\"\"一\"\"}\"\r\n\
                      7,1970-01-01T00:00:00Z,vault.opened,\"'=HYPERLINK(1)\",,,audit,3,\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        let mut line = Vec::new();
        write_line(&told(None, json!({})), &mut line);
        let line: Json = serde_json::from_slice(&line).unwrap();
        assert_eq!((&line["subject"], line.get("detail"), line.get("version")), (&Json::Null, None, None));
    }
}
