//! The columns of a table of records: what an export names them, and what an import reads from those names.
//!
//! `标识`, `状态`, … are members of a record; `2000 名称`, `2001 净重 [decimal unit=g]` are values by index, type, format,
//! visibility and unit. A column says all of its values but the data, so that a table alone gives the records back.

use super::text::Language;
use super::value::{DEFAULT_TTL_SECONDS, Data, Permissions, Value, Visibility};

/// The most bytes of a column's name.
const MOST_NAME_BYTES: usize = 900;

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Column {
    Member(Member),
    Value(ValueColumn),
}

/// A member of a record, as text in one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    Identifier,
    /// The node's own word, which no import takes; so are the two times.
    Version,
    Status,
    Template,
    Registrant,
    Registered,
    Updated,
    /// A line each: the scheme, a space, the name.
    Aliases,
    /// A JSON array.
    Links,
    /// What fits no other column, as the JSON object of a draft. It may be cut into pieces, of which this is one, from 1.
    More(usize),
}

/// The values of one column, and what they have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueColumn {
    pub index: u32,
    pub r#type: String,
    pub format: &'static str,
    pub visibility: Visibility,
    pub unit: Option<String>,
}

/// The formats whose data is one text.
const FORMATS: [&str; 7] = ["string", "integer", "decimal", "date", "boolean", "url", "identifier"];

impl Member {
    /// Before the values.
    pub const FIRST: [Member; 5] =
        [Member::Identifier, Member::Status, Member::Version, Member::Template, Member::Registrant];
    /// Behind the values, and before [`Member::More`].
    pub const LAST: [Member; 4] = [Member::Aliases, Member::Links, Member::Registered, Member::Updated];

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Member::Identifier => ("标识", "identifier"),
            Member::Version => ("版本", "version"),
            Member::Status => ("状态", "status"),
            Member::Template => ("模板", "template"),
            Member::Registrant => ("登记者", "registrant"),
            Member::Registered => ("登记时间", "registered"),
            Member::Updated => ("更新时间", "updated"),
            Member::Aliases => ("别名", "aliases"),
            Member::Links => ("链接", "links"),
            Member::More(_) => ("其他 (JSON)", "more (JSON)"),
        }
    }

    #[must_use]
    pub fn name(self, language: Language) -> String {
        let (zh, en) = self.names();
        let name = match language {
            Language::Zh => zh,
            Language::En => en,
        };
        match self {
            Member::More(piece @ 2..) => format!("{name} {piece}"),
            _ => name.to_owned(),
        }
    }

    fn read(name: &str) -> Option<Member> {
        let is_named = |member: Member, name: &str| {
            let (zh, en) = member.names();
            name == zh || name.eq_ignore_ascii_case(en)
        };
        let whole = Member::FIRST.into_iter().chain(Member::LAST).chain([Member::More(1)]);
        whole.into_iter().find(|member| is_named(*member, name)).or_else(|| {
            let (before, piece) = name.rsplit_once(' ')?;
            let piece = piece.parse().ok().filter(|piece| *piece >= 2)?;
            is_named(Member::More(1), before).then_some(Member::More(piece))
        })
    }
}

impl ValueColumn {
    /// The column of a value; none where a column's name and a cell's text would not say all of it.
    #[must_use]
    pub fn of(value: &Value) -> Option<ValueColumn> {
        let unit = match &value.data {
            Data::Decimal { unit, .. } => unit.clone(),
            _ => None,
        };
        let is_usual = value.ttl_seconds == DEFAULT_TTL_SECONDS
            && value.permissions == Permissions::default()
            && value.references.is_empty();
        let format = FORMATS.into_iter().find(|format| *format == value.data.format())?;
        let is_nameable = |text: &String| is_plain(text) && !text.contains(['[', ']', '\n']);
        let says_all = is_usual && is_nameable(&value.r#type) && unit.as_ref().is_none_or(is_nameable);
        let column = ValueColumn {
            index: value.index,
            r#type: value.r#type.clone(),
            format,
            visibility: value.visibility,
            unit,
        };
        (says_all && column.name().len() <= MOST_NAME_BYTES).then_some(column)
    }

    /// `2001 净重 [decimal visibility=owner unit=g]`; a public string needs no brackets.
    #[must_use]
    pub fn name(&self) -> String {
        let mut words = String::new();
        if self.visibility != Visibility::Public {
            words.push_str(&format!(" visibility={}", self.visibility.as_str()));
        }
        if let Some(unit) = &self.unit {
            words.push_str(&format!(" unit={unit}"));
        }
        match (self.format, words.as_str()) {
            ("string", "") => format!("{} {}", self.index, self.r#type),
            (format, words) => format!("{} {} [{format}{words}]", self.index, self.r#type),
        }
    }

    fn read(name: &str) -> Option<ValueColumn> {
        let (index, rest) = name.split_once(' ')?;
        let is_number = index.bytes().all(|byte| byte.is_ascii_digit()) && !index.starts_with('0');
        let index = index.parse().ok().filter(|_| is_number)?;
        let (kind, said) = match rest.strip_suffix(']') {
            Some(inside) => inside.split_once(" [")?,
            None => (rest, "string"),
        };
        let (said, unit) = match said.split_once(" unit=") {
            Some((said, unit)) => (said, Some(unit.to_owned())),
            None => (said, None),
        };
        let (format, visibility) = match said.split_once(" visibility=") {
            Some((format, word)) => (format, Visibility::from_word(word)?),
            None => (said, Visibility::Public),
        };
        let format = FORMATS.into_iter().find(|known| *known == format)?;
        let is_right = !kind.is_empty() && unit.as_ref().is_none_or(|unit| format == "decimal" && !unit.is_empty());
        is_right.then(|| ValueColumn { index, r#type: kind.to_owned(), format, visibility, unit })
    }
}

impl Column {
    /// What a column's name says, if an export gave it.
    #[must_use]
    pub fn read(name: &str) -> Option<Column> {
        Member::read(name).map(Column::Member).or_else(|| ValueColumn::read(name).map(Column::Value))
    }
}

/// Whether columns are those of an export, some perhaps taken away and others added.
#[must_use]
pub fn are_of_export(columns: &[String]) -> bool {
    let (mut identifier, mut status, mut value, mut more) = (false, false, false, false);
    for column in columns.iter().filter_map(|name| Column::read(name)) {
        match column {
            Column::Member(Member::Identifier) => identifier = true,
            Column::Member(Member::Status) => status = true,
            Column::Member(Member::More(_)) => more = true,
            Column::Member(_) => {}
            Column::Value(_) => value = true,
        }
    }
    identifier && (more || (status && value))
}

/// Whether a text comes back from any cell of a CSV or a workbook as it went: not blank and no blanks around it, no
/// control characters but line feeds, no marks that readers drop or take for damage, no `_x000D_` (ECMA-376, part 1,
/// 22.4.2.4), no apostrophe in front.
#[must_use]
pub fn is_plain(text: &str) -> bool {
    let is_lost = |letter: char| {
        (letter.is_control() && letter != '\n') || matches!(letter, '\u{FEFF}' | '\u{FFFD}' | '\u{FFFE}' | '\u{FFFF}')
    };
    !text.is_empty()
        && text.trim().len() == text.len()
        && !text.contains(is_lost)
        && !has_cell_escape(text)
        && !text.starts_with('\'')
}

/// Whether a workbook's reader would take a part of a text for a character in its escape, `_x000D_`.
#[must_use]
pub fn has_cell_escape(text: &str) -> bool {
    text.match_indices("_x").any(|(at, _)| {
        text.as_bytes()
            .get(at + 2..at + 7)
            .is_some_and(|rest| rest.last() == Some(&b'_') && rest.iter().take(4).all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn column(index: u32, kind: &str, data: Data) -> Option<ValueColumn> {
        ValueColumn::of(&Value::new(index, kind, data, Timestamp::EPOCH))
    }

    #[test]
    fn names_say_all_of_a_column_and_are_read_again() {
        let weight = Data::Decimal { text: "1.50".to_owned(), unit: Some("kg net".to_owned()) };
        let mut hidden = column(7, "成本 price", weight).unwrap();
        hidden.visibility = Visibility::Owner;
        for (column, name) in [
            (column(2000, "名称", Data::String("a".to_owned())).unwrap(), "2000 名称"),
            (column(1, "a b", Data::Integer(1)).unwrap(), "1 a b [integer]"),
            (hidden, "7 成本 price [decimal visibility=owner unit=kg net]"),
        ] {
            assert_eq!(column.name(), name);
            assert_eq!(Column::read(name), Some(Column::Value(column)));
        }
        for language in [Language::Zh, Language::En] {
            for member in Member::FIRST.into_iter().chain(Member::LAST).chain([Member::More(1), Member::More(12)]) {
                assert_eq!(Column::read(&member.name(language)), Some(Column::Member(member)));
            }
        }
        for name in
            ["", "2000", "2000 ", "0 a", "007 a", "+7 a", "1 a [float]", "1 a [integer unit=g]", "其他 (JSON) 1"]
        {
            assert_eq!(Column::read(name), None, "{name}");
        }
    }

    #[test]
    fn what_a_name_or_a_cell_would_not_say_has_no_column() {
        assert_eq!(column(1, "a [b]", Data::Integer(1)), None);
        assert_eq!(column(1, " a", Data::Integer(1)), None);
        assert_eq!(column(1, "a", Data::Bytes(vec![1])), None);
        let mut value = Value::new(1, "a", Data::Integer(1), Timestamp::EPOCH);
        value.ttl_seconds = 60;
        assert_eq!(ValueColumn::of(&value), None);
        for text in ["", " ", "a ", "\u{FEFF}a", "a\rb", "_x000D_", "a\0", "'a", "\u{FFFD}"] {
            assert!(!is_plain(text), "{text:?}");
        }
        assert!(is_plain("=1+1\n铭 牌's size_xl _x00_"));
    }

    #[test]
    fn a_table_is_an_exports_by_its_own_columns_only() {
        let are = |names: &[&str]| are_of_export(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert!(are(&["标识", "2000 名称", "状态"]));
        assert!(are(&["Identifier", "more (JSON)"]));
        assert!(!are(&["标识", "2024 产量"]));
        assert!(!are(&["编号", "状态", "2024 产量"]));
    }
}
