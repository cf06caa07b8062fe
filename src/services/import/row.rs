//! One row: from its bytes to a change that is decided and signed, or to what is wrong with it.

use std::borrow::Cow;

use serde_json::{Map, Value as Json};

use super::lines::Line;
use super::operation::Act;
use super::table::{TableError, TableFound};
use super::{Mapping, OnConflict, StartImport};
use crate::model::alias::Alias;
use crate::model::column;
use crate::model::draft::{Draft, PlainRow};
use crate::model::identifier::{CanonicalKey, Identifier};
use crate::model::record::{Record, Status};
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::reach::Author;
use crate::services::register::{Change, Decided};
use crate::services::{ServiceError, Services, Standing};
use crate::store::engine::Table;
use crate::store::journal::Effect;
use crate::store::{EntryProposal, Proposal};

/// Reads one document strictly: what this stage needs of the codec above it.
pub trait ReadRow: Send + Sync + 'static {
    /// The document, or a stable code and a sentence.
    fn read(&self, line: &[u8]) -> Result<Json, (&'static str, Text)>;
    /// The same without a tree in between, where the line has the form of most; `None` says nothing about it.
    fn plain<'l>(&self, line: &'l [u8]) -> Option<PlainRow<'l>>;
}

/// What is wrong with a row.
#[derive(Clone, Debug)]
pub struct Fault {
    pub column: Option<String>,
    pub code: String,
    pub text: Text,
}

/// What a table's rows are read by.
pub(super) struct Shape {
    columns: Vec<String>,
    /// How many of them are the table's own: what an error file added is not looked at.
    own: usize,
    /// Whether the mapping asks for the column.
    is_mapped: Vec<bool>,
    separator: char,
    marks: usize,
    mapping: Mapping,
}

impl Shape {
    /// Compares a table's columns with what the mapping asks for; an export brings its own mapping in its header.
    pub fn of(found: &TableFound, start: &StartImport) -> Result<Shape, TableError> {
        let mapping = match &start.mapping {
            Some(mapping) => mapping.clone(),
            None if column::are_of_export(found.own_columns()) => Mapping::propose(found.own_columns(), &[], ""),
            None => return Err(no_mapping()),
        };
        let mapped = mapping.columns();
        let known = |column: &&str| found.columns.iter().any(|name| name == column);
        let missing: Vec<&str> = mapped.iter().copied().filter(|column| !known(column)).collect();
        if !missing.is_empty() {
            let (missing, there) = (missing.join(", "), found.columns.join(", "));
            return Err(TableError::wrong(
                "mapping_column_missing",
                format!("映射用到的列不在表头中：{missing}；表头有：{there}"),
                format!("the mapping names columns that the table lacks: {missing}; it has: {there}"),
            ));
        }
        let is_mapped = found.columns.iter().map(|name| mapped.contains(&name.as_str())).collect();
        let own = found.own_columns().len();
        let (separator, marks) = (found.separator, found.marks());
        Ok(Shape { columns: found.columns.clone(), own, is_mapped, separator, marks, mapping })
    }

    /// Whether a fault is the whole row's or in a column that the mapping asks for.
    fn concerns(&self, fault: &Fault) -> bool {
        let is_mapped = |column: &String| {
            self.columns.iter().zip(&self.is_mapped).any(|(name, is_mapped)| *is_mapped && name == column)
        };
        fault.column.as_ref().is_none_or(is_mapped)
    }

    /// The mapped cells by the names of their columns. Every cell is looked at: a row that is damaged anywhere is not
    /// what its writer meant.
    fn members(&self, cells: Vec<String>) -> Result<Map<String, Json>, Fault> {
        let (wanted, count) = (self.columns.len(), cells.len());
        let surplus = cells.get(wanted..).unwrap_or_default();
        if count < wanted || surplus.iter().any(|cell| !cell.trim().is_empty()) {
            let text = Text::new(
                format!("该行有 {count} 个单元格，表头有 {wanted} 列：检查分隔符、引号和换行"),
                format!("the row has {count} cells, the header {wanted}: look at separators, quotes and line breaks"),
            );
            return Err(fault(None, "row_ragged", text));
        }
        let mut members = Map::new();
        for (at, ((name, is_mapped), cell)) in self.columns.iter().zip(&self.is_mapped).zip(cells).enumerate() {
            if at < self.own
                && let Some((code, text)) = damage(&cell)
            {
                return Err(fault(Some(name.clone()), code, text));
            }
            if *is_mapped {
                members.insert(name.clone(), Json::String(cell));
            }
        }
        Ok(members)
    }
}

fn no_mapping() -> TableError {
    TableError::wrong(
        "mapping_missing",
        "表头不是本程序导出的：请给出映射（mapping），说明各列的去向",
        "the header is not that of an export: give a mapping, which says what the columns become",
    )
}

/// What no cell may hold. U+FFFD stands where bytes were no text: here, or in whatever wrote the file.
fn damage(cell: &str) -> Option<(&'static str, Text)> {
    if cell.contains('\u{FFFD}') {
        let text = Text::new(
            "单元格中有无法解码的字节（显示为 U+FFFD）：改正文字，或用 encoding 指明文件的编码",
            "the cell holds bytes that are no text (shown as U+FFFD): correct it, or name the file's encoding with `encoding`",
        );
        return Some(("encoding_broken", text));
    }
    if cell.contains('\0') {
        let text = Text::new("单元格中有空字符（NUL）：删去它", "the cell holds a NUL character: take it away");
        return Some(("nul_character", text));
    }
    None
}

/// What is to become of a row.
pub(super) enum Decision {
    Register(Box<EntryProposal>),
    /// What would become of it, and the bytes that a group would have of it: of a dry run, which commits nothing.
    Would(Effect, usize),
    /// It stands there already, or was to be skipped.
    Skip,
}

/// Members of an export's line that say what the record was: the node gives its own.
const TOLD_BY_THE_NODE: [&str; 3] = ["version", "registered", "updated"];

/// A row's record, before anything is looked up.
pub(super) struct Wanted {
    pub identifier: Identifier,
    /// The record's whole content; empty where the row does something else.
    pub draft: Draft,
    pub act: Act,
    /// The version that the row is for, if it says so.
    pub expected: Option<u64>,
}

impl Wanted {
    pub fn key(&self) -> &CanonicalKey {
        self.identifier.key()
    }

    /// Whether it is a record's whole content, whatever stands there.
    pub fn is_whole(&self) -> bool {
        matches!(self.act, Act::Put) && self.expected.is_none()
    }
}

impl Services {
    /// Reads a row into what it wants registered; `shape` is that of a table.
    pub(super) fn wanted(
        &self,
        line: &mut Line,
        shape: Option<&Shape>,
        start: &StartImport,
        now: Timestamp,
    ) -> Result<Wanted, Fault> {
        let counts = |fault: &Fault| shape.is_none_or(|shape| shape.concerns(fault));
        if let Some(at) = line.faults.iter().position(counts) {
            return Err(line.faults.swap_remove(at));
        }
        if line.cut {
            let limit = self.settings.line_bytes;
            let text = Text::new(format!("该行超过 {limit} 字节"), format!("the line has more than {limit} bytes"));
            return Err(fault(None, "line_too_long", text));
        }
        let has_plain_rows =
            shape.is_none() && start.mapping.is_none() && start.plan.is_none() && start.operation.is_put();
        if has_plain_rows && let Some((identifier, draft)) = self.plain(line, now) {
            let identifier = self.registrable(&identifier, start)?;
            return Ok(Wanted { identifier, draft, act: Act::Put, expected: None });
        }
        let mut row = match shape {
            None => self.members(&line.bytes)?,
            Some(shape) => shape.members(self.table_reader.cells(&line.bytes, shape.separator, shape.marks))?,
        };
        let mut source = None;
        if let Some(mapping) = shape.map(|shape| &shape.mapping).or(start.mapping.as_ref()) {
            let mapped = mapping.apply(&row);
            let mapped = mapped.map_err(|error| fault(Some(error.column), error.code, error.detail))?;
            let members = match mapped {
                Json::Object(members) => members,
                _ => Map::new(),
            };
            source = Some((mapping, std::mem::replace(&mut row, members)));
        }
        for name in TOLD_BY_THE_NODE {
            row.remove(name);
        }
        let Some(Json::String(text)) = row.remove("identifier") else {
            let mut text = Text::new("缺少 identifier", "the member identifier is missing");
            if start.mapping.is_none() {
                text.zh.push_str("：若用自己的字段名，需要映射（--mapping / mapping=）");
                text.en.push_str(": own field names need a mapping (--mapping / mapping=)");
            }
            return Err(fault(Some("identifier".to_owned()), "fields_invalid", text));
        };
        let identifier = self.registrable(&text, start)?;
        let (act, expected) = Act::take(&mut row, start, now, self, source.is_some())?;
        let draft =
            Draft::from_json_within(&Json::Object(row), now, &self.settings.draft_limits).map_err(|errors| {
                let column = source.as_ref().zip(errors.first()).and_then(|((mapping, source), first)| {
                    mapping.column_of(&first.pointer, source).map(str::to_owned)
                });
                let told = of_service(&ServiceError::Fields(errors), start);
                Fault { column: column.or(told.column), ..told }
            })?;
        Ok(Wanted { identifier, draft, act, expected })
    }

    /// A row of the commonest form: its name, and the content that any other reading would find in it too.
    fn plain<'l>(&self, line: &'l Line, now: Timestamp) -> Option<(Cow<'l, str>, Draft)> {
        let mut row = self.row_reader.plain(&line.bytes)?;
        let identifier = std::mem::take(&mut row.identifier);
        Some((identifier, Draft::from_plain(row.into_content(), now, &self.settings.draft_limits)?))
    }

    fn registrable(&self, text: &str, start: &StartImport) -> Result<Identifier, Fault> {
        let identifier = self.identifier(text).and_then(|identifier| {
            self.reachable(&start.scope, &identifier)?;
            Ok(identifier)
        });
        identifier.map_err(|error| of_service(&error, start))
    }

    fn members(&self, line: &[u8]) -> Result<Map<String, Json>, Fault> {
        let json = self.row_reader.read(line).map_err(|(code, text)| fault(None, code, text))?;
        let Json::Object(row) = json else {
            let text = Text::new("每行应为一个 JSON 对象", "every line must be a JSON object");
            return Err(fault(None, "fields_invalid", text));
        };
        Ok(row)
    }

    /// Signs a row as if nothing stood there. That something does is found by the commit.
    pub(super) fn decide_new_row(
        &self,
        wanted: Wanted,
        author: Author<'_>,
    ) -> Result<Box<EntryProposal>, ServiceError> {
        let decided = self.first(wanted.identifier, wanted.draft, author)?;
        Ok(Box::new(self.propose(decided, author, None)?))
    }

    /// Decides what is to become of a row by what stands there now, and signs it.
    pub(super) fn decide_row(
        &self,
        wanted: &Wanted,
        standing: Option<Standing>,
        start: &StartImport,
        author: Author<'_>,
    ) -> Result<Decision, ServiceError> {
        if !wanted.is_whole() {
            return self.decide_act(wanted, standing, start, author);
        }
        let mut draft = wanted.draft.clone();
        if let Some(standing) = &standing
            && standing.record.is_taken_back()
            // An export of it says that it was taken back: that is no wish to have it again.
            && !(draft.status.is_some() && self.says_the_same(standing, wanted))
        {
            // Registered by mistake and taken back: the row is as good as the first.
            draft.status = draft.status.or(Some(Status::Active));
        } else if let Some(standing) = &standing {
            if standing.record.is_tombstone() {
                return Err(ServiceError::Gone { identifier: wanted.identifier.spelling().to_owned() });
            }
            if self.says_the_same(standing, wanted) || start.on_conflict == OnConflict::Skip {
                return Ok(Decision::Skip);
            }
            if start.on_conflict == OnConflict::Error {
                return Err(ServiceError::VersionMismatch { current: Some(standing.record.version) });
            }
        }
        let decided = self.next(&wanted.identifier, Change::Put(draft), standing.as_ref(), author)?;
        self.settled(decided, start, author)
    }

    /// What was decided, to be committed; of a dry run, what a commit would say to it.
    pub(super) fn settled(
        &self,
        decided: Decided,
        start: &StartImport,
        author: Author<'_>,
    ) -> Result<Decision, ServiceError> {
        if start.dry_run {
            self.names_free(&decided.record)?;
            // Made, and thrown away: only so it is known whether it is too large.
            let proposal = self.propose(decided, author, None)?;
            let effect = proposal.effect;
            return Ok(Decision::Would(effect, Proposal::Entry(proposal).bytes()));
        }
        Ok(Decision::Register(Box::new(self.propose(decided, author, None)?)))
    }

    /// Whether the row says what stands there already. When it was said is no difference.
    fn says_the_same(&self, standing: &Standing, wanted: &Wanted) -> bool {
        let stands = timeless(standing.record.to_draft());
        let mut wants = timeless(wanted.draft.clone());
        wants.status = wants.status.or(stands.status);
        if wants.registrant.is_none() {
            wants.registrant.clone_from(&stands.registrant);
        }
        stands == wants
    }

    /// For a dry run: whether the record's names belong to nobody else, and none was erased. The commit checks it for itself.
    fn names_free(&self, record: &Record) -> Result<(), ServiceError> {
        let own = record.identifier.key();
        for name in std::iter::once(own).chain(record.aliases.iter().map(Alias::key)) {
            if self.named(name)?.is_some_and(|standing| standing.record.identifier.key() != own) {
                return Err(ServiceError::AliasTaken { alias: name.clone() });
            }
        }
        let sid = self.signing()?.blinding.sid(&record.identifier);
        if record.version == 1 && self.store.any_row(Table::Erased, &sid)?.is_some() {
            return Err(ServiceError::Gone { identifier: record.identifier.spelling().to_owned() });
        }
        Ok(())
    }
}

/// A draft without the times of its values, and without what only an entry has.
pub(super) fn timeless(mut draft: Draft) -> Draft {
    draft.owner_jws = None;
    for value in &mut draft.values {
        value.timestamp = Timestamp::EPOCH;
    }
    draft
}

fn fault(column: Option<String>, code: &str, text: Text) -> Fault {
    Fault { column, code: code.to_owned(), text }
}

/// A service's error as a row's fault; where a field is wrong, its own code and the column that it came from.
pub(super) fn of_service(error: &ServiceError, start: &StartImport) -> Fault {
    match error {
        ServiceError::Identifier(error) => fault(Some(identifier_column(start)), error.code(), error.text()),
        ServiceError::Fields(errors) => match errors.first() {
            Some(first) => fault(Some(first.pointer.clone()), first.code, error.text()),
            None => fault(None, error.code(), error.text()),
        },
        ServiceError::VersionMismatch { .. } => fault(
            Some(identifier_column(start)),
            "already_exists",
            Text::new(
                "标识已登记且内容不同：用 on_conflict=update 更新或 skip 跳过",
                "the identifier is registered with other content: on_conflict=update changes it, skip leaves it",
            ),
        ),
        other => fault(None, other.code(), other.text()),
    }
}

/// The column that the identifier is made of, the first of several; without a mapping its member.
fn identifier_column(start: &StartImport) -> String {
    let mapped = start.mapping.as_ref().and_then(|mapping| mapping.identifier_columns().next());
    mapped.unwrap_or("identifier").to_owned()
}
