//! Data read from JSON: the object form, or a bare string, number or boolean.
//!
//! Everything that decides whether data is well formed stands here; `Data` itself only holds what passed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json};

use super::data::{Data, MAX_LIST_DEPTH, MAX_LIST_ITEMS};
use super::fields::{read_handle, read_index, read_references};
use super::plain::{Format, PlainData, Scalar};
use crate::model::field::{Complaints, Place};
use crate::model::identifier::{Identifier, MAX_IDENTIFIER_BYTES};
use crate::model::link::{MAX_URL_BYTES, bad_url, is_url};
use crate::model::text::Text;
use crate::model::time::Timestamp;

pub(crate) const MAX_DECIMAL_BYTES: usize = 64;
pub(crate) const MAX_UNIT_BYTES: usize = 64;
/// Before the limits of a draft are applied, so that nothing larger is ever decoded.
const MAX_TEXT_BYTES: usize = 1 << 20;
pub(crate) const FORMATS: &str =
    "string, integer, decimal, date, boolean, url, identifier, list, bytes, base64, hex, admin, vlist, site, key";

pub(super) fn read(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    read_at_depth(json, place, complaints, 0)
}

fn read_at_depth(json: &Json, place: &Place<'_>, complaints: &mut Complaints, depth: usize) -> Option<Data> {
    match json {
        Json::String(text) => read_string(text, place, complaints),
        Json::Bool(truth) => Some(Data::Boolean(*truth)),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Some(Data::Integer(integer)),
            None => read_decimal(&number.to_string(), None, place, complaints),
        },
        Json::Object(object) => read_object(object, place, complaints, depth),
        Json::Null | Json::Array(_) => {
            complaints.wrong_type(
                place,
                "带 format 与 value 的对象，或文本、数字、布尔值",
                "an object with format and value, or a text, number or boolean",
            );
            None
        }
    }
}

fn read_object(
    object: &Map<String, Json>,
    place: &Place<'_>,
    complaints: &mut Complaints,
    depth: usize,
) -> Option<Data> {
    let format = complaints.required_line(object, "format", place, 16);
    let inside = Place::Member(place, "value");
    let (json, format) = (complaints.member(object, "value", place)?, format?);
    complaints.refuse_others(
        object,
        if format == "decimal" { &["format", "value", "unit"] } else { &["format", "value"] },
        place,
    );
    match format.as_str() {
        "string" => read_string(text_of(json, &inside, complaints)?, &inside, complaints),
        "integer" => read_integer(json, &inside, complaints),
        "decimal" => {
            let unit = complaints.optional_line(object, "unit", place, MAX_UNIT_BYTES);
            read_decimal(&number_text(json, &inside, complaints)?, unit, &inside, complaints)
        }
        "date" => read_date(text_of(json, &inside, complaints)?, &inside, complaints),
        "boolean" => read_boolean(json, &inside, complaints),
        "url" => read_url(complaints.line(json, &inside, MAX_URL_BYTES)?, &inside, complaints),
        "identifier" => read_identifier(complaints.line(json, &inside, 4 * MAX_IDENTIFIER_BYTES)?, &inside, complaints),
        "list" => read_list(json, &inside, complaints, depth),
        "bytes" | "base64" => read_bytes(BASE64.decode(text_of(json, &inside, complaints)?).ok(), &inside, complaints),
        "hex" => read_bytes(bytes_of_hex(text_of(json, &inside, complaints)?), &inside, complaints),
        "admin" => read_admin(json, &inside, complaints),
        "vlist" => Some(Data::Vlist(read_references(Some(json), &inside, complaints))),
        "site" => read_document(json, &inside, complaints).map(Data::Site),
        "key" => read_document(json, &inside, complaints).map(Data::Key),
        _ => {
            complaints.unknown_word(&Place::Member(place, "format"), FORMATS);
            None
        }
    }
}

/// Data of one text, whole number or boolean; what would need more to be read, or to be refused well, is `None`.
pub(super) fn read_plain(plain: PlainData<'_>, complaints: &mut Complaints) -> Option<Data> {
    let place = &Place::Root;
    let PlainData { format, value, unit } = plain;
    if let Some(unit) = &unit {
        complaints.line_text(unit, place, MAX_UNIT_BYTES)?;
    }
    match (format, value) {
        (Some(Format::Decimal), Scalar::Text(text)) => read_decimal(&text, unit, place, complaints),
        _ if unit.is_some() => None,
        (None | Some(Format::String), Scalar::Text(text)) => read_string(&text, place, complaints),
        (None | Some(Format::Integer), Scalar::Integer(integer)) => Some(Data::Integer(integer)),
        (None | Some(Format::Boolean), Scalar::Boolean(truth)) => Some(Data::Boolean(truth)),
        (Some(Format::Date), Scalar::Text(text)) => read_date(&text, place, complaints),
        (Some(Format::Url), Scalar::Text(text)) => {
            read_url(complaints.line_text(&text, place, MAX_URL_BYTES)?, place, complaints)
        }
        (Some(Format::Identifier), Scalar::Text(text)) => {
            read_identifier(complaints.line_text(&text, place, 4 * MAX_IDENTIFIER_BYTES)?, place, complaints)
        }
        _ => None,
    }
}

fn text_of<'j>(json: &'j Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<&'j str> {
    let text = json.as_str();
    match text {
        None => complaints.wrong_type(place, "文本", "text"),
        Some(long) if long.len() > MAX_TEXT_BYTES => {
            complaints.too_long(place, MAX_TEXT_BYTES);
            return None;
        }
        Some(_) => {}
    }
    text
}

fn read_string(text: &str, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    if text.len() > MAX_TEXT_BYTES {
        complaints.too_long(place, MAX_TEXT_BYTES);
        return None;
    }
    Some(Data::String(text.to_owned()))
}

fn read_integer(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    let integer = match json {
        Json::String(text) => text.parse().ok(),
        _ => json.as_i64(),
    };
    if integer.is_none() {
        let detail = Text::new(
            "应为 64 位整数；更大的数请用 decimal",
            "must be a 64-bit integer; use decimal for larger numbers",
        );
        complaints.add(place, "bad_integer", detail);
    }
    integer.map(Data::Integer)
}

/// A decimal may come as a JSON number too, though only text keeps its last zeros.
fn number_text<'j>(json: &'j Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Cow<'j, str>> {
    match json {
        Json::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => text_of(json, place, complaints).map(Cow::Borrowed),
    }
}

fn read_boolean(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    let truth = json.as_bool();
    if truth.is_none() {
        complaints.wrong_type(place, "布尔值", "a boolean");
    }
    truth.map(Data::Boolean)
}

fn read_decimal(text: &str, unit: Option<String>, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    if is_decimal(text) {
        return Some(Data::Decimal { text: text.to_owned(), unit });
    }
    let detail = Text::new(
        "应为十进制数，如 12.50 或 1.2e-3，至多 64 个字符",
        "must be a decimal number such as 12.50 or 1.2e-3, at most 64 characters",
    );
    complaints.add(place, "bad_decimal", detail);
    None
}

/// The numbers of JSON (RFC 8259 section 6), with leading zeros allowed.
fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) =
        text.split_once(['e', 'E']).map_or((text, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let mantissa_fits = mantissa
        .split_once('.')
        .map_or_else(|| digits(mantissa), |(whole, fraction)| digits(whole) && digits(fraction));
    let exponent_fits = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    text.len() <= MAX_DECIMAL_BYTES && mantissa_fits && exponent_fits
}

fn read_date(text: &str, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    let is_day = text.len() == 10
        && text.bytes().enumerate().all(
            |(at, byte)| {
                if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() }
            },
        );
    if (is_day && text.parse::<jiff::civil::Date>().is_ok()) || Timestamp::parse(text).is_ok() {
        return Some(Data::Date(text.to_owned()));
    }
    let detail =
        Text::new("应为日期 2026-11-23 或 RFC 3339 时间", "must be a date such as 2026-11-23 or an RFC 3339 time");
    complaints.add(place, "bad_date", detail);
    None
}

fn read_url(text: &str, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    if is_url(text) {
        return Some(Data::Url(text.to_owned()));
    }
    complaints.add(place, "bad_url", bad_url());
    None
}

fn read_identifier(text: &str, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    match Identifier::parse(text) {
        Ok(identifier) => Some(Data::Identifier(identifier)),
        Err(error) => {
            complaints.add(place, error.code(), error.text());
            None
        }
    }
}

fn read_list(json: &Json, place: &Place<'_>, complaints: &mut Complaints, depth: usize) -> Option<Data> {
    if !json.is_array() || depth >= MAX_LIST_DEPTH {
        let detail = Text::new(
            format!("应为数组，嵌套不超过 {MAX_LIST_DEPTH} 层"),
            format!("must be an array, nested at most {MAX_LIST_DEPTH} deep"),
        );
        complaints.add(place, "bad_list", detail);
        return None;
    }
    let items = complaints.items(Some(json), place, MAX_LIST_ITEMS);
    let mut list = Vec::with_capacity(items.len());
    for (at, json) in items.iter().enumerate() {
        list.extend(read_at_depth(json, &Place::Item(place, at), complaints, depth + 1));
    }
    Some(Data::List(list))
}

fn read_bytes(bytes: Option<Vec<u8>>, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    if bytes.is_none() {
        complaints.add(
            place,
            "bad_bytes",
            Text::new(
                "编码有误：应为标准 base64 或十六进制",
                "badly encoded: standard base64 or hexadecimal is expected",
            ),
        );
    }
    bytes.map(Data::Bytes)
}

fn bytes_of_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn read_admin(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Data> {
    let object = complaints.object(json, place)?;
    complaints.refuse_others(object, &["handle", "index", "permissions"], place);
    let handle = read_handle(object.get("handle"), &Place::Member(place, "handle"), complaints);
    let index = read_index(object.get("index"), &Place::Member(place, "index"), complaints);
    let bits = object
        .get("permissions")
        .and_then(Json::as_str)
        .filter(|bits| bits.len() == 12 && bits.bytes().all(|bit| matches!(bit, b'0' | b'1')));
    let permissions = bits.and_then(|bits| u16::from_str_radix(bits, 2).ok());
    if permissions.is_none() {
        let detail = Text::new("应为十二位 0 或 1", "must be twelve digits 0 or 1");
        complaints.add(&Place::Member(place, "permissions"), "bad_permissions", detail);
    }
    Some(Data::Admin { handle: handle?, index: index?, permissions: permissions? })
}

/// An object kept as it is. Fractions are refused: a float would not survive being written and read.
fn read_document(json: &Json, place: &Place<'_>, complaints: &mut Complaints) -> Option<Map<String, Json>> {
    let object = complaints.object(json, place)?;
    if !is_exact(json, MAX_LIST_DEPTH) {
        let detail = Text::new(
            format!("只可含整数，嵌套不超过 {MAX_LIST_DEPTH} 层"),
            format!("may hold whole numbers only, nested at most {MAX_LIST_DEPTH} deep"),
        );
        complaints.add(place, "bad_document", detail);
        return None;
    }
    Some(object.clone())
}

fn is_exact(json: &Json, depth_left: usize) -> bool {
    match json {
        Json::Number(number) => number.is_i64() || number.is_u64(),
        Json::Array(items) => depth_left > 0 && items.iter().all(|item| is_exact(item, depth_left - 1)),
        Json::Object(object) => depth_left > 0 && object.values().all(|item| is_exact(item, depth_left - 1)),
        Json::Null | Json::Bool(_) | Json::String(_) => true,
    }
}
