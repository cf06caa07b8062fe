//! A mapping to begin with: from a table's columns and its first rows to what they probably mean. The person adjusts it.
//!
//! By names that are in use, in Chinese and in English, and by what the rows hold; wherever it is not sure it says less: text
//! is always right.

use std::collections::HashSet;

use jiff::civil::Date;

use super::mapping::{MappedAlias, MappedValue, Mapping};
use super::members::MappedMembers;
use crate::model::alias::Alias;
use crate::model::column::{self, Member};
use crate::model::identifier::Identifier;
use crate::model::scheme::Scheme;
use crate::model::value::Visibility;

/// The index of the first item of a template, by the convention that applications follow.
const FIRST_INDEX: u32 = 2000;
/// Digits that an integer surely keeps in every program.
const INTEGER_DIGITS: usize = 15;

/// Columns that name a product, the likeliest first; compared without case, spaces and punctuation.
const IDENTIFIERS: [&str; 34] = [
    "标识",
    "标识编码",
    "标识码",
    "产品标识",
    "identifier",
    "产品编码",
    "产品编号",
    "产品代码",
    "产品序列号",
    "序列号",
    "物料编码",
    "物料编号",
    "物料号",
    "商品编码",
    "商品编号",
    "料号",
    "件号",
    "零件号",
    "批次号",
    "编码",
    "编号",
    "代码",
    "sku",
    "productcode",
    "productid",
    "partnumber",
    "partno",
    "itemcode",
    "itemno",
    "serialnumber",
    "serialno",
    "sn",
    "code",
    "id",
];
/// Columns that are another name of the product.
const ALIASES: [(Scheme, &[&str]); 7] = [
    (
        Scheme::Gs1,
        &[
            "gtin",
            "gtin8",
            "gtin12",
            "gtin13",
            "gtin14",
            "ean",
            "ean8",
            "ean13",
            "eancode",
            "upc",
            "barcode",
            "条码",
            "条形码",
            "商品条码",
            "商品条形码",
            "产品条码",
            "国际条码",
            "69码",
            "gtin码",
        ],
    ),
    (Scheme::Oid, &["oid", "oid标识", "oid编码", "对象标识符"]),
    (
        Scheme::Vin,
        &["vin", "vin码", "vincode", "vinnumber", "车架号", "车辆识别代号", "车辆识别代码", "车辆识别码", "车辆vin"],
    ),
    (Scheme::Battery, &["电池编码", "电池包编码", "动力电池编码", "电池代码", "batterycode", "batteryid"]),
    (Scheme::Ecode, &["ecode", "ecode编码", "ecode标识"]),
    (Scheme::Ma, &["ma", "ma码", "ma标识", "maid"]),
    (Scheme::Did, &["did", "did标识", "分布式标识"]),
];
/// Endings of names whose digits are no number to calculate with.
const NAMELIKE: [&str; 12] = ["号", "码", "电话", "手机", "id", "no", "code", "phone", "tel", "number", "zip", "编号"];

impl Mapping {
    /// Proposes a mapping below a prefix, from the names of columns and the cells of some rows.
    #[must_use]
    pub fn propose(columns: &[String], rows: &[Vec<String>], prefix: &str) -> Mapping {
        if column::are_of_export(columns) {
            return of_export(columns, rows);
        }
        let columns: Vec<Column<'_>> =
            columns.iter().enumerate().map(|(at, name)| Column::of(name, at, rows)).collect();
        let identifier = identifier_among(&columns);
        let mut mapping = Mapping {
            identifier: String::new(),
            values: Vec::new(),
            aliases: Vec::new(),
            registrant: None,
            template: None,
            members: None,
            operation: None,
            if_version: None,
        };
        for column in &columns {
            let is_identifier = identifier.is_some_and(|chosen| std::ptr::eq(chosen, column));
            if is_identifier {
                let (name, is_whole) = (column.name, column.holds_identifiers());
                mapping.identifier = if is_whole { format!("{{{name}}}") } else { format!("{prefix}/{{{name}}}") };
            }
            match column.alias(is_identifier) {
                Some(scheme) => {
                    mapping
                        .aliases
                        .push(MappedAlias { scheme: scheme.as_str().to_owned(), from: column.name.to_owned() });
                }
                None if !is_identifier => mapping.values.push(column.value(next_index(&mapping.values))),
                None => {}
            }
        }
        mapping
    }
}

/// An export says itself what its columns mean; one that a person has added is a value like any other.
fn of_export(columns: &[String], rows: &[Vec<String>]) -> Mapping {
    let read: Vec<Option<column::Column>> = columns.iter().map(|name| column::Column::read(name)).collect();
    let mut mapping = Mapping {
        identifier: String::new(),
        values: Vec::new(),
        aliases: Vec::new(),
        registrant: None,
        template: None,
        members: Some(MappedMembers::of_export(columns)),
        operation: None,
        if_version: None,
    };
    for (name, column) in columns.iter().zip(&read) {
        match column {
            Some(column::Column::Member(Member::Identifier)) => mapping.identifier = format!("{{{name}}}"),
            Some(column::Column::Value(said)) => mapping.values.push(MappedValue {
                index: said.index,
                r#type: said.r#type.clone(),
                from: name.clone(),
                format: Some(said.format.to_owned()),
                unit: said.unit.clone(),
                visibility: (said.visibility != Visibility::Public).then(|| said.visibility.as_str().to_owned()),
            }),
            Some(column::Column::Member(_)) | None => {}
        }
    }
    for (at, name) in columns.iter().enumerate() {
        if matches!(read.get(at), Some(None)) {
            mapping.values.push(Column::of(name, at, rows).value(next_index(&mapping.values)));
        }
    }
    mapping
}

/// The index behind those that are given already.
fn next_index(before: &[MappedValue]) -> u32 {
    before.iter().map(|value| value.index.saturating_add(1)).max().unwrap_or(0).max(FIRST_INDEX)
}

/// A column with what its cells hold.
struct Column<'t> {
    name: &'t str,
    /// The name as names are compared.
    plain: String,
    /// Its cells that are not empty.
    cells: Vec<&'t str>,
    is_full: bool,
    /// Whether few of its cells are empty: a row of a sample may be wrong.
    is_filled: bool,
}

impl<'t> Column<'t> {
    fn of(name: &'t str, at: usize, rows: &'t [Vec<String>]) -> Column<'t> {
        let all = rows.iter().map(|row| row.get(at).map_or("", |cell| cell.trim()));
        let cells: Vec<&str> = all.filter(|cell| !cell.is_empty()).collect();
        let (before, _) = with_unit(name);
        let plain = before.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        Column { name, plain, is_full: cells.len() == rows.len(), is_filled: 2 * cells.len() >= rows.len(), cells }
    }

    fn all(&self, is: impl Fn(&str) -> bool) -> bool {
        !self.cells.is_empty() && self.cells.iter().all(|cell| is(cell))
    }

    fn is_distinct(&self) -> bool {
        let mut seen = HashSet::new();
        self.is_full && self.cells.iter().all(|cell| seen.insert(*cell))
    }

    /// Whether its cells have a prefix of their own.
    fn holds_identifiers(&self) -> bool {
        let is_whole = |cell: &str| {
            Identifier::parse(cell).is_ok_and(|found| matches!(found.scheme(), Scheme::Vaa | Scheme::Handle))
        };
        self.all(is_whole)
    }

    /// The scheme whose names it holds. The column of the identifier is one beside only if all its cells fit.
    fn alias(&self, is_identifier: bool) -> Option<Scheme> {
        let named = ALIASES.into_iter().find(|(_, names)| names.contains(&self.plain.as_str()));
        match named {
            Some((scheme, _)) if !is_identifier || self.all(|cell| Alias::new(scheme, cell).is_ok()) => Some(scheme),
            None if is_identifier && self.all(|cell| Alias::new(Scheme::Gs1, cell).is_ok()) => Some(Scheme::Gs1),
            _ => None,
        }
    }

    fn value(&self, index: u32) -> MappedValue {
        let (name, unit) = with_unit(self.name);
        let format = self.format();
        // A unit goes with decimals only.
        let (format, unit) = match (format, unit) {
            ("integer" | "decimal", Some(unit)) => ("decimal", Some(unit.to_owned())),
            (format, _) => (format, None),
        };
        MappedValue {
            index,
            r#type: if unit.is_some() { name } else { self.name }.to_owned(),
            from: self.name.to_owned(),
            format: Some(format.to_owned()),
            unit,
            visibility: None,
        }
    }

    fn format(&self) -> &'static str {
        if NAMELIKE.iter().any(|ending| self.plain.ends_with(ending)) {
            return "string";
        }
        if self.all(is_integer) {
            return "integer";
        }
        if self.all(is_decimal) {
            return "decimal";
        }
        if self.all(|cell| cell.len() == 10 && cell.parse::<Date>().is_ok()) {
            return "date";
        }
        let is_url = |cell: &str| {
            (cell.starts_with("https://") || cell.starts_with("http://")) && !cell.contains(char::is_whitespace)
        };
        if self.all(is_url) { "url" } else { "string" }
    }
}

/// The column that names the products: by its name, else the first with a different cell in every row, else the first.
fn identifier_among<'c, 't>(columns: &'c [Column<'t>]) -> Option<&'c Column<'t>> {
    let named = |names: &[&str]| {
        names.iter().find_map(|name| columns.iter().find(|column| column.plain == *name && column.is_filled))
    };
    let [(_, barcodes), ..] = ALIASES;
    named(&IDENTIFIERS)
        .or_else(|| named(barcodes))
        .or_else(|| columns.iter().find(|column| column.is_distinct() && !column.cells.is_empty()))
        .or_else(|| columns.first())
}

/// A name such as `净重(g)` without its unit, and the unit.
fn with_unit(name: &str) -> (&str, Option<&str>) {
    let Some((before, rest)) = name.split_once(['(', '（']) else {
        return (name, None);
    };
    let unit = rest.trim_end().strip_suffix([')', '）']).map(str::trim);
    (before.trim(), unit.filter(|unit| !unit.is_empty()))
}

fn is_integer(cell: &str) -> bool {
    let digits = cell.strip_prefix('-').unwrap_or(cell);
    !digits.is_empty()
        && digits.len() <= INTEGER_DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

fn is_decimal(cell: &str) -> bool {
    match cell.split_once('.') {
        None => is_integer(cell),
        Some((whole, part)) => {
            (is_integer(whole) || whole == "-0") && !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn proposed(header: &str, rows: &[&str]) -> Json {
        let cells = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<String>>();
        let rows: Vec<Vec<String>> = rows.iter().map(|row| cells(row)).collect();
        serde_json::to_value(Mapping::propose(&cells(header), &rows, "88.118.8")).unwrap()
    }

    #[test]
    fn chinese_headers_and_what_is_below_them_tell_what_columns_mean() {
        let proposal = proposed(
            "序号,产品编码,产品名称,商品条码,净重（g）,数量,生产日期,网址,联系电话,库存",
            &[
                "1,A-01,六角螺栓,6901234567892,12.5,7,2026-01-31,https://example.cn/1,13800000000,007",
                "2,A-02,垫圈,,3,70,2026-02-01,https://example.cn/2,13800000001,12",
            ],
        );
        assert_eq!(proposal["identifier"], "88.118.8/{产品编码}");
        assert_eq!(proposal["aliases"], json!([{"scheme": "gs1", "from": "商品条码"}]));
        let value = |at: usize| &proposal["values"][at];
        assert_eq!(value(0), &json!({"index": 2000, "type": "序号", "from": "序号", "format": "string"}));
        assert_eq!(value(1), &json!({"index": 2001, "type": "产品名称", "from": "产品名称", "format": "string"}));
        let weight = json!({"index": 2002, "type": "净重", "from": "净重（g）", "format": "decimal", "unit": "g"});
        assert_eq!(value(2), &weight);
        let formats: Vec<&Json> = (3..8).map(|at| &value(at)["format"]).collect();
        assert_eq!(formats, ["integer", "date", "url", "string", "string"]);
    }

    #[test]
    fn english_headers_whole_identifiers_and_barcodes_as_names_are_known() {
        let proposal = proposed("name,GTIN,VIN,weight", &["a,6901234567892,LSVAA49J132047371,1.5"]);
        assert_eq!(proposal["identifier"], "88.118.8/{GTIN}");
        let aliases = json!([{"scheme": "gs1", "from": "GTIN"}, {"scheme": "vin", "from": "VIN"}]);
        assert_eq!(proposal["aliases"], aliases);
        let proposal = proposed("code,name", &["6901234567892,a"]);
        assert_eq!(proposal["aliases"], json!([{"scheme": "gs1", "from": "code"}]));
        let proposal = proposed("name,标识", &["a,88.118.8/1", "b,88.118.8/2"]);
        assert_eq!(proposal["identifier"], "{标识}");
        let proposal = proposed("colour,what", &["red,a", "red,b"]);
        assert_eq!(proposal["identifier"], "88.118.8/{what}", "no name is known: a column whose cells differ");
        assert_eq!(proposed("a,b", &[])["identifier"], "88.118.8/{a}");
    }
}
