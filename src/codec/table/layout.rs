//! Records as rows of a table: which columns there are, and what stands in them.
//!
//! The columns are found by looking once through what is exported. What no column or no cell can hold goes to the last
//! column as JSON, so that every record comes back whole whatever the columns are. Left out are the times of single values.

use std::borrow::Cow;
use std::collections::HashMap;

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value as Json};

use crate::model::alias::Alias;
use crate::model::column::{Column, Member, ValueColumn, is_plain};
use crate::model::link::Link;
use crate::model::record::Record;
use crate::model::text::Language;
use crate::model::time::Timestamp;
use crate::model::value::{Data, Value};

/// The most columns of values; an import takes 1,024 columns of all kinds.
const MOST_VALUE_COLUMNS: usize = 900;
/// Columns that are counted at most, before the most frequent are chosen.
const MOST_COUNTED: usize = 10_000;
/// Excel's own bound of a cell ("Excel specifications and limits"), in UTF-16 units.
const CELL_UNITS: usize = 32_767;
/// Digits that every spreadsheet shows and keeps of a number.
const NUMBER_DIGITS: usize = 11;

/// A record as a row takes it.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    pub identifier: &'a str,
    pub version: u64,
    pub status: &'a str,
    pub template: Option<&'a str>,
    pub registrant: Option<&'a str>,
    pub registered: Timestamp,
    pub updated: Timestamp,
    pub values: &'a [Value],
    pub links: &'a [Link],
    pub aliases: &'a [Alias],
}

impl<'a> From<&'a Record> for Row<'a> {
    fn from(record: &'a Record) -> Row<'a> {
        Row {
            identifier: record.identifier.spelling(),
            version: record.version,
            status: record.status.as_str(),
            template: record.template.as_deref(),
            registrant: record.registrant.as_deref(),
            registered: record.registered,
            updated: record.updated,
            values: &record.values,
            links: &record.links,
            aliases: &record.aliases,
        }
    }
}

/// What stands in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Empty,
    Text(Cow<'a, str>),
    /// A number that a spreadsheet may calculate with and gives back as it was.
    Number(Cow<'a, str>),
}

/// A row needs more columns than were found: the record has grown since.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record {identifier} has grown since the columns were found: export again")]
pub struct TooWide {
    pub identifier: String,
}

/// Looks through records for the columns of a table.
pub struct Tally {
    language: Language,
    values: HashMap<ValueColumn, u64>,
    /// The most pieces of a row's last column, if every value that may have a column has one.
    pieces: usize,
    /// The most bytes of a row's values, which count if not every one has.
    heaviest_bytes: usize,
}

impl Tally {
    #[must_use]
    pub fn new(language: Language) -> Tally {
        Tally { language, values: HashMap::new(), pieces: 1, heaviest_bytes: 0 }
    }

    pub fn add(&mut self, row: &Row<'_>) {
        for column in row.values.iter().filter_map(ValueColumn::of) {
            if let Some(count) = self.values.get_mut(&column) {
                *count += 1;
            } else if self.values.len() < MOST_COUNTED {
                self.values.insert(column, 1);
            }
        }
        let more = Placed::of(row, |_| Some(0)).more();
        self.pieces = self.pieces.max(pieces(&more).count());
        self.heaviest_bytes = self.heaviest_bytes.max(row.values.iter().map(|value| value.data.weight_bytes()).sum());
    }

    /// The columns: the most frequent where there are too many.
    #[must_use]
    pub fn layout(self) -> Layout {
        let mut values: Vec<(ValueColumn, u64)> = self.values.into_iter().collect();
        let mut pieces_count = self.pieces;
        if values.len() > MOST_VALUE_COLUMNS {
            values.sort_by(|(one, often), (other, oftener)| oftener.cmp(often).then_with(|| one.cmp(other)));
            values.truncate(MOST_VALUE_COLUMNS);
            // An escape writes at most seven letters for two bytes; members of a value besides its data are short.
            pieces_count += self.heaviest_bytes * 4 / CELL_UNITS + 1;
        }
        let mut values: Vec<ValueColumn> = values.into_iter().map(|(column, _)| column).collect();
        values.sort();
        let first = Member::FIRST.into_iter().map(Column::Member);
        let last = Member::LAST.into_iter().chain((1..=pieces_count).map(Member::More)).map(Column::Member);
        let columns: Vec<Column> = first.chain(values.into_iter().map(Column::Value)).chain(last).collect();
        let names = columns.iter().map(|column| match column {
            Column::Member(member) => member.name(self.language),
            Column::Value(value) => value.name(),
        });
        Layout { names: names.collect(), values: places(&columns), columns }
    }
}

/// The columns of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    names: Vec<String>,
    columns: Vec<Column>,
    /// Where each column of values stands.
    values: HashMap<ValueColumn, usize>,
}

fn places(columns: &[Column]) -> HashMap<ValueColumn, usize> {
    let values = columns.iter().enumerate().filter_map(|(at, column)| match column {
        Column::Value(value) => Some((value.clone(), at)),
        Column::Member(_) => None,
    });
    values.collect()
}

impl Layout {
    /// From the names that a layout gave.
    #[must_use]
    pub fn named(names: Vec<String>) -> Option<Layout> {
        let columns = names.iter().map(|name| Column::read(name)).collect::<Option<Vec<_>>>()?;
        Some(Layout { names, values: places(&columns), columns })
    }

    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Tells two layouts apart: the beginning of the SHA-256 of their names, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hash = digest(&SHA256, self.names.join("\n").as_bytes());
        hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The cells of a record, one a column.
    pub fn cells<'r>(&self, row: &Row<'r>) -> Result<Vec<Cell<'r>>, TooWide> {
        let mut placed = Placed::of(row, |column| self.values.get(column).copied());
        let more = placed.more();
        let mut pieces = pieces(&more);
        let mut cells = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            cells.push(match column {
                Column::Value(_) => Cell::Empty,
                Column::Member(Member::More(_)) => match pieces.next() {
                    Some(piece) => Cell::Text(Cow::Owned(piece.to_owned())),
                    None => Cell::Empty,
                },
                Column::Member(member) => placed.member(*member, row),
            });
        }
        if pieces.next().is_some() {
            return Err(TooWide { identifier: row.identifier.to_owned() });
        }
        for (at, cell) in placed.values {
            if let Some(place) = cells.get_mut(at) {
                *place = cell;
            }
        }
        Ok(cells)
    }
}

/// A record's parts, by whether a cell holds them.
struct Placed<'a> {
    values: Vec<(usize, Cell<'a>)>,
    aliases: Option<String>,
    links: Option<String>,
    template: Option<&'a str>,
    registrant: Option<&'a str>,
    rest: Map<String, Json>,
}

impl<'a> Placed<'a> {
    fn of(row: &Row<'a>, place: impl Fn(&ValueColumn) -> Option<usize>) -> Placed<'a> {
        let mut rest = Map::new();
        let (mut values, mut others) = (Vec::with_capacity(row.values.len()), Vec::new());
        for value in row.values {
            match ValueColumn::of(value).and_then(|column| place(&column)).zip(cell(&value.data)) {
                Some(placed) => values.push(placed),
                None => others.push(timeless(value)),
            }
        }
        if !others.is_empty() {
            rest.insert("values".to_owned(), Json::Array(others));
        }
        let aliases: Vec<String> =
            row.aliases.iter().map(|alias| format!("{} {}", alias.scheme().as_str(), alias.spelling())).collect();
        // A name with a line feed in it there is not: none has control characters.
        let aliases = held(aliases.join("\n"), row.aliases, "aliases", &mut rest);
        let links = if row.links.is_empty() { String::new() } else { escaped_json(&row.links) };
        let links = held(links, row.links, "links", &mut rest);
        let mut line = |name: &str, text: Option<&'a str>| match text {
            Some(text) if !fits(text) => {
                rest.insert(name.to_owned(), Json::from(text));
                None
            }
            text => text,
        };
        let template = line("template", row.template);
        let registrant = line("registrant", row.registrant);
        Placed { values, aliases, links, template, registrant, rest }
    }

    /// The text of the last column; empty where there is nothing for it.
    fn more(&mut self) -> String {
        if self.rest.is_empty() { String::new() } else { escaped_json(&self.rest) }
    }

    fn member(&mut self, member: Member, row: &Row<'a>) -> Cell<'a> {
        let text = |text: Option<&'a str>| text.map_or(Cell::Empty, |text| Cell::Text(Cow::Borrowed(text)));
        let owned = |text: Option<String>| text.map_or(Cell::Empty, |text| Cell::Text(Cow::Owned(text)));
        match member {
            Member::Identifier => text(Some(row.identifier)),
            Member::Status => text(Some(row.status)),
            Member::Version => Cell::Number(Cow::Owned(row.version.to_string())),
            Member::Template => text(self.template),
            Member::Registrant => text(self.registrant),
            Member::Registered => owned(Some(row.registered.to_string())),
            Member::Updated => owned(Some(row.updated.to_string())),
            Member::Aliases => owned(self.aliases.take()),
            Member::Links => owned(self.links.take()),
            Member::More(_) => Cell::Empty,
        }
    }
}

/// The text of a member, if a cell holds it; else the member goes to the rest.
fn held<T: serde::Serialize>(text: String, member: &[T], name: &str, rest: &mut Map<String, Json>) -> Option<String> {
    if text.is_empty() || fits(&text) {
        return Some(text).filter(|text| !text.is_empty());
    }
    rest.insert(name.to_owned(), serde_json::to_value(member).unwrap_or_default());
    None
}

fn timeless(value: &Value) -> Json {
    // Structs of text and numbers: serialising them has no failure to report.
    let mut json = serde_json::to_value(value).unwrap_or_default();
    if let Some(members) = json.as_object_mut() {
        members.remove("timestamp");
    }
    json
}

/// The cell of data that one text says.
fn cell(data: &Data) -> Option<Cell<'_>> {
    let text = match data {
        Data::String(text) | Data::Date(text) | Data::Url(text) => Cow::Borrowed(text.as_str()),
        Data::Decimal { text, .. } if is_kept_number(text) => return Some(Cell::Number(text.into())),
        Data::Decimal { text, .. } => Cow::Borrowed(text.as_str()),
        Data::Integer(integer) => {
            let text = integer.to_string();
            if is_kept_number(&text) {
                return Some(Cell::Number(text.into()));
            }
            text.into()
        }
        Data::Boolean(truth) => Cow::Borrowed(if *truth { "true" } else { "false" }),
        Data::Identifier(identifier) => Cow::Borrowed(identifier.spelling()),
        Data::List(_) | Data::Bytes(_) | Data::Admin { .. } | Data::Vlist(_) | Data::Site(_) | Data::Key(_) => {
            return None;
        }
    };
    fits(&text).then_some(Cell::Text(text))
}

fn fits(text: &str) -> bool {
    is_plain(text) && (text.len() <= CELL_UNITS || text.encode_utf16().count() <= CELL_UNITS)
}

/// Whether a spreadsheet gives a number back as it was written: few digits, no zeros that say nothing, no exponent.
fn is_kept_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').map_or((digits, None), |(whole, part)| (whole, Some(part)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && part.is_none_or(|part| is_digits(part) && !part.ends_with('0'))
        && whole.len() + part.map_or(0, str::len) <= NUMBER_DIGITS
        && text != "-0"
}

/// JSON that stands in any cell as it is: what a cell would not keep is written as an escape.
fn escaped_json(document: &impl serde::Serialize) -> String {
    // As above.
    let text = serde_json::to_string(document).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    // An underscore stands inside texts and names only, never between them.
    for letter in text.replace("_x", "\\u005fx").chars() {
        match letter {
            '\u{FEFF}' | '\u{FFFD}' | '\u{FFFE}' | '\u{FFFF}' | '\u{7F}'..='\u{9F}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out
}

/// Cuts a text into what cells hold.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut units = 0;
        let end = rest.char_indices().find(|(_, letter)| {
            units += letter.len_utf16();
            units > CELL_UNITS
        });
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;

    fn record(draft: &Json) -> Record {
        let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        Record::first(Identifier::parse("88.118.8/A").unwrap(), Draft::from_json(draft, now).unwrap(), now)
    }

    fn laid(records: &[Record]) -> Layout {
        let mut tally = Tally::new(Language::En);
        records.iter().for_each(|record| tally.add(&Row::from(record)));
        tally.layout()
    }

    #[test]
    fn values_of_one_kind_share_a_column_and_the_rest_is_json() {
        let one = record(&json!({"values": [
            {"index": 2000, "type": "名称", "data": "螺栓"},
            {"index": 2001, "type": "净重", "data": {"format": "decimal", "value": "1.50", "unit": "g"}},
            {"index": 2002, "type": "证书", "data": {"format": "list", "value": ["a"]}},
            {"index": 2003, "type": "短", "data": "x", "ttl": 60},
        ]}));
        let other = record(
            &json!({"values": [{"index": 2000, "type": "名称", "data": "垫_x0041_圈"}, {"index": 2004, "type": "数", "data": 7}]}),
        );
        let layout = laid(&[one.clone(), other.clone()]);
        let expected = [
            "identifier",
            "status",
            "version",
            "template",
            "registrant",
            "2000 名称",
            "2001 净重 [decimal unit=g]",
            "2004 数 [integer]",
            "aliases",
            "links",
            "registered",
            "updated",
            "more (JSON)",
        ];
        assert_eq!(layout.names(), expected);
        assert_eq!(Layout::named(layout.names().to_vec()), Some(layout.clone()));
        let row = Row::from(&one);
        let cells = layout.cells(&row).unwrap();
        assert_eq!(cells[5], Cell::Text("螺栓".into()));
        assert_eq!(cells[6], Cell::Text("1.50".into()), "a number would lose its last zero");
        assert_eq!(cells[7], Cell::Empty);
        let Cell::Text(more) = &cells[12] else { panic!("{cells:?}") };
        let more: Json = serde_json::from_str(more).unwrap();
        assert_eq!(more["values"][1]["ttl"], 60);
        assert!(more["values"][0].get("timestamp").is_none());
        let row = Row::from(&other);
        let cells = layout.cells(&row).unwrap();
        assert_eq!(cells[7], Cell::Number("7".into()));
        assert!(matches!(&cells[12], Cell::Text(more) if more.contains("\\u005fx0041_")), "{cells:?}");
    }

    #[test]
    fn what_is_longer_than_a_cell_is_cut_and_what_has_grown_is_refused() {
        let long = record(&json!({"values": [{"index": 1, "type": "t", "data": "x".repeat(50_000)}]}));
        let draft = json!({"values": [{"index": 1, "type": "t", "data": "a"}]});
        let layout = laid(std::slice::from_ref(&long));
        assert_eq!(layout.names().last().unwrap(), "more (JSON) 2");
        assert!(layout.cells(&Row::from(&long)).is_ok());
        assert!(laid(&[record(&draft)]).cells(&Row::from(&long)).is_err());
    }

    #[test]
    fn only_numbers_that_spreadsheets_keep_are_numbers() {
        for text in ["0", "-5", "12.5", "0.001", "12345678901"] {
            assert!(is_kept_number(text), "{text}");
        }
        for text in ["-0", "007", "12.50", "1e5", "123456789012", "1.", ".5", ""] {
            assert!(!is_kept_number(text), "{text}");
        }
    }
}
