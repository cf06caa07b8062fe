//! The primary keys of GS1 Digital Link, the format of each, and its qualifiers in their fixed order.
//!
//! Source: GS1 General Specifications (application identifiers), GS1 Digital Link standard "URI Syntax" 1.2 (primary keys and
//! key qualifiers), and the GS1 Barcode Syntax Dictionary, which states both for machines.

use super::check::{SET_82, check_character_pair, check_digit};

/// What a value looks like. Lengths count characters, which are all ASCII.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    /// Exactly so many digits, the last one a check digit.
    Checked(usize),
    /// Digits with a check digit, then 0 to `most` characters of set 82 (GDTI serial).
    CheckedThenText(usize, usize),
    /// Digits with a check digit, then 0 to `most` digits (GCN serial).
    CheckedThenDigits(usize, usize),
    /// A zero, 13 digits with a check digit, then 0 to `most` characters of set 82 (GRAI).
    Asset(usize),
    /// A GTIN, the number of the piece and of pieces, two digits each (ITIP).
    Piece,
    /// 1 to `most` characters of set 82.
    Text(usize),
    /// The same, beginning with a company prefix: at least four digits.
    CompanyText(usize),
    /// 1 to `most` characters of set 39 beginning with a company prefix (CPID).
    Component(usize),
    /// A company prefix, a model reference and a check character pair (GMN).
    Model(usize),
    /// 1 to `most` digits.
    Digits(usize),
    /// The same without a leading zero.
    DigitsNoZero(usize),
    /// A digit, two characters of set 82 and an importer index (EU 2018/574).
    Facility,
}

#[derive(Debug)]
pub(super) struct Qualifier {
    pub(super) ai: &'static str,
    pub(super) format: Format,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) ai: &'static str,
    pub(super) format: Format,
    /// Alternative sequences; within one, every qualifier is optional but the order is not.
    pub(super) qualifiers: &'static [&'static [Qualifier]],
}

const fn qualifier(ai: &'static str, format: Format) -> Qualifier {
    Qualifier { ai, format }
}

const VARIANT_LOT_SERIAL: &[Qualifier] =
    &[qualifier("22", Format::Text(20)), qualifier("10", Format::Text(20)), qualifier("21", Format::Text(20))];
const THIRD_PARTY_SERIAL: &[Qualifier] = &[qualifier("235", Format::Text(28))];
const GLN_EXTENSION: &[Qualifier] = &[qualifier("254", Format::Text(20))];
const FACILITY: &[Qualifier] = &[qualifier("7040", Format::Facility)];
const PAYMENT_REFERENCE: &[Qualifier] = &[qualifier("8020", Format::Text(25))];
const COMPONENT_SERIAL: &[Qualifier] = &[qualifier("8011", Format::DigitsNoZero(12))];
const SERVICE_INSTANCE: &[Qualifier] = &[qualifier("8019", Format::Digits(10))];

const fn primary(ai: &'static str, format: Format, qualifiers: &'static [&'static [Qualifier]]) -> Key {
    Key { ai, format, qualifiers }
}

const KEYS: &[Key] = &[
    primary("00", Format::Checked(18), &[]), // SSCC
    primary("01", Format::Checked(14), &[VARIANT_LOT_SERIAL, THIRD_PARTY_SERIAL]), // GTIN
    primary("253", Format::CheckedThenText(13, 17), &[]), // GDTI
    primary("255", Format::CheckedThenDigits(13, 12), &[]), // GCN
    primary("401", Format::CompanyText(30), &[]), // GINC
    primary("402", Format::Checked(17), &[]), // GSIN
    primary("410", Format::Checked(13), &[]), // GLN: ship to
    primary("411", Format::Checked(13), &[]), // GLN: bill to
    primary("412", Format::Checked(13), &[]), // GLN: purchased from
    primary("413", Format::Checked(13), &[]), // GLN: ship for
    primary("414", Format::Checked(13), &[GLN_EXTENSION, FACILITY]), // GLN: physical location
    primary("415", Format::Checked(13), &[PAYMENT_REFERENCE]), // GLN: invoicing party
    primary("416", Format::Checked(13), &[]), // GLN: production or service
    primary("417", Format::Checked(13), &[FACILITY]), // GLN: party
    primary("8003", Format::Asset(16), &[]), // GRAI
    primary("8004", Format::CompanyText(30), &[FACILITY]), // GIAI
    primary("8006", Format::Piece, &[VARIANT_LOT_SERIAL]), // ITIP
    primary("8010", Format::Component(30), &[COMPONENT_SERIAL]), // CPID
    primary("8013", Format::Model(25), &[]), // GMN
    primary("8017", Format::Checked(18), &[SERVICE_INSTANCE]), // GSRN: provider
    primary("8018", Format::Checked(18), &[SERVICE_INSTANCE]), // GSRN: recipient
];

pub(super) fn key(ai: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.ai == ai)
}

impl Format {
    /// Length and characters; not the check digit.
    pub(super) fn is_shaped(self, value: &str) -> bool {
        let within = |least: usize, most: usize| (least..=most).contains(&value.len());
        match self {
            Self::Checked(length) => value.len() == length && is_digits(value),
            Self::CheckedThenText(length, most) => {
                within(length, length + most) && splits(value, length, is_digits, is_set_82)
            }
            Self::CheckedThenDigits(length, most) => within(length, length + most) && is_digits(value),
            Self::Asset(most) => {
                within(14, 14 + most) && value.starts_with('0') && splits(value, 14, is_digits, is_set_82)
            }
            Self::Piece => value.len() == 18 && is_digits(value) && is_piece_of_total(value),
            Self::Text(most) => within(1, most) && is_set_82(value),
            Self::CompanyText(most) => within(4, most) && splits(value, 4, is_digits, is_set_82),
            Self::Component(most) => within(4, most) && splits(value, 4, is_digits, is_set_39),
            Self::Model(most) => within(6, most) && splits(value, 4, is_digits, is_set_82),
            Self::Digits(most) => within(1, most) && is_digits(value),
            Self::DigitsNoZero(most) => within(1, most) && is_digits(value) && !value.starts_with('0'),
            Self::Facility => {
                value.len() == 4
                    && splits(value, 1, is_digits, is_set_82)
                    && value.ends_with(|last: char| last.is_ascii_alphanumeric() || matches!(last, '-' | '_'))
            }
        }
    }

    /// What should stand in place of a wrong check; `None` when it is right or the format has none.
    pub(super) fn expected_check(self, value: &str) -> Option<String> {
        let checked = match self {
            Self::Checked(length) | Self::CheckedThenText(length, _) | Self::CheckedThenDigits(length, _) => {
                value.get(..length)?
            }
            Self::Asset(_) | Self::Piece => value.get(..14)?,
            Self::Model(_) => {
                let (body, pair) = value.split_at_checked(value.len().checked_sub(2)?)?;
                return check_character_pair(body).map(String::from_iter).filter(|expected| expected != pair);
            }
            _ => return None,
        };
        let (body, digit) = checked.split_at_checked(checked.len().checked_sub(1)?)?;
        check_digit(body).map(|expected| char::from(expected).to_string()).filter(|expected| expected != digit)
    }
}

fn splits(value: &str, at: usize, head: fn(&str) -> bool, tail: fn(&str) -> bool) -> bool {
    value.split_at_checked(at).is_some_and(|(first, rest)| head(first) && tail(rest))
}

fn is_digits(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_set_82(value: &str) -> bool {
    value.bytes().all(|byte| SET_82.contains(&byte))
}

/// GS1 AI encodable character set 39.
fn is_set_39(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b'#' | b'-' | b'/'))
}

/// Neither number is zero, and no piece is beyond the last.
fn is_piece_of_total(value: &str) -> bool {
    let number =
        |range: std::ops::Range<usize>| value.get(range).and_then(|digits| digits.parse::<u8>().ok()).unwrap_or(0);
    let (piece, total) = (number(14..16), number(16..18));
    piece > 0 && piece <= total
}
