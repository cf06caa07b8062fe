//! Code tables that filings are checked against: regions and industries. config/codes says where they are from.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A region by its code (GB/T 2260): province, prefecture or county.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    pub code: String,
    /// With the regions that it lies in: 福建省厦门市思明区.
    pub name: String,
    /// The last year in which a table had it, where none has it now.
    pub withdrawn: Option<u16>,
}

/// A class of industries by its code (GB/T 4754): 门类, 大类, 中类 or 小类.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Industry {
    /// The letter, and the digits if there are any: `C3670`.
    pub code: String,
    pub name: &'static str,
}

struct Row {
    name: &'static str,
    /// A region's last year, or the class above.
    more: &'static str,
}

type Rows = HashMap<&'static str, Row>;

static REGIONS: LazyLock<Rows> = LazyLock::new(|| rows(include_str!("../../config/codes/gbt2260.tsv")));
static WITHDRAWN: LazyLock<Rows> = LazyLock::new(|| rows(include_str!("../../config/codes/gbt2260-withdrawn.tsv")));
static INDUSTRIES: LazyLock<Rows> = LazyLock::new(|| rows(include_str!("../../config/codes/gbt4754.tsv")));

fn rows(table: &'static str) -> Rows {
    let row = |line: &'static str| {
        let mut cells = line.split('\t');
        let (code, name) = (cells.next()?, cells.next()?);
        Some((code, Row { name, more: cells.next().unwrap_or_default() }))
    };
    table.lines().filter_map(row).collect()
}

impl Region {
    /// The region that has this code now.
    #[must_use]
    pub fn current(code: &str) -> Option<Region> {
        REGIONS.get(code).map(|row| Region { code: code.to_owned(), name: with_above(code, row.name), withdrawn: None })
    }

    /// The region that has or had this code.
    #[must_use]
    pub fn known(code: &str) -> Option<Region> {
        Region::current(code).or_else(|| {
            let row = WITHDRAWN.get(code)?;
            let withdrawn = row.more.parse().ok();
            Some(Region { code: code.to_owned(), name: with_above(code, row.name), withdrawn })
        })
    }
}

/// A county after its prefecture, that after its province.
fn with_above(code: &str, own: &str) -> String {
    let above = [2, 4].into_iter().filter_map(|digits| {
        let above = format!("{:0<6}", code.get(..digits)?);
        let row = (above != code).then(|| REGIONS.get(above.as_str())).flatten()?;
        Some(row.name)
    });
    above.chain([own]).collect()
}

impl Industry {
    /// A letter, or two to four digits after their letter or without it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Industry> {
        let capital = text.to_ascii_uppercase();
        let digits = capital.trim_start_matches(|first: char| first.is_ascii_uppercase());
        let said = &capital[..capital.len() - digits.len()];
        if digits.is_empty() {
            let (letter, row) = INDUSTRIES.get_key_value(said)?;
            return Some(Industry { code: (*letter).to_owned(), name: row.name });
        }
        let row = INDUSTRIES.get(digits)?;
        let mut above = row.more;
        while let Some(higher) = INDUSTRIES.get(above).map(|row| row.more).filter(|higher| !higher.is_empty()) {
            above = higher;
        }
        let is_its = said.is_empty() || said == above;
        is_its.then(|| Industry { code: format!("{above}{digits}"), name: row.name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_told_with_those_that_they_lie_in() {
        for (code, name) in [
            ("350203", "福建省厦门市思明区"),
            ("350200", "福建省厦门市"),
            ("350000", "福建省"),
            ("110101", "北京市东城区"),
            ("419001", "河南省济源市"),
        ] {
            assert_eq!(Region::current(code).unwrap().name, name, "{code}");
        }
        assert_eq!(Region::current("110103"), None);
        let gone = Region::known("110103").unwrap();
        assert_eq!((gone.name.as_str(), gone.withdrawn), ("北京市崇文区", Some(2009)));
        for code in ["", "35020", "3502033", "999999", "000000", "35020a", "思明区"] {
            assert_eq!(Region::known(code), None, "{code}");
        }
    }

    #[test]
    fn industries_are_known_by_their_digits_with_or_without_the_letter() {
        for (text, code, name) in [
            ("C", "C", "制造业"),
            ("36", "C36", "汽车制造业"),
            ("C36", "C36", "汽车制造业"),
            ("3670", "C3670", "汽车零部件及配件制造"),
            ("c3841", "C3841", "锂离子电池制造"),
            ("0111", "A0111", "稻谷种植"),
        ] {
            let found = Industry::parse(text).unwrap();
            assert_eq!((found.code.as_str(), found.name), (code, name), "{text}");
        }
        for text in ["", "U", "A36", "CC36", "3", "36700", "C36X", "９", "制造业", "-36"] {
            assert_eq!(Industry::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_tables_are_whole() {
        assert_eq!((REGIONS.len(), WITHDRAWN.len(), INDUSTRIES.len()), (3_214, 3_896, 1_971));
        assert!(WITHDRAWN.keys().all(|code| !REGIONS.contains_key(code)));
        let of_length = |length| INDUSTRIES.keys().filter(|code| code.len() == length).count();
        assert_eq!((of_length(1), of_length(2), of_length(3), of_length(4)), (20, 97, 473, 1_381));
        assert!(INDUSTRIES.iter().all(|(code, row)| code.len() == 1 || INDUSTRIES.contains_key(row.more)));
    }
}
