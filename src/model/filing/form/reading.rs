//! A form from JSON: every member judged, and all that is wrong told at once.

use serde_json::{Map, Value as Json};

use super::{Certificate, CertificateKind, Contact, Document, DocumentKind, Form, LegalPerson, Unit, UnitKind};
use crate::model::codes::{Industry, Region};
use crate::model::field::{Complaints, Place};
use crate::model::prefix::is_canonical;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::model::uscc::Uscc;

/// The most bytes of a name, an address, a capital and the like.
const MAX_LINE_BYTES: usize = 300;
const MAX_INTRODUCTION_BYTES: usize = 4_000;
const MAX_NUMBER_BYTES: usize = 64;
const MAX_EMAIL_BYTES: usize = 254;
const MAX_URL_BYTES: usize = 2_048;

pub(super) fn read(complaints: &mut Complaints, json: &Json) -> Option<Form> {
    let root = Place::Root;
    let object = complaints.object(json, &root)?;
    complaints.refuse_others(object, &["prefix", "unit", "legal_person", "contact"], &root);
    let prefix =
        complaints.required_line(object, "prefix", &root, MAX_LINE_BYTES).map(|text| text.to_ascii_lowercase());
    let prefix = prefix.filter(|prefix| {
        let is_one = is_canonical(prefix);
        if !is_one {
            let text =
                Text::new("不是前缀；应为例如 88.118.8，不带斜线", "is no prefix; write 88.118.8, without a slash");
            complaints.add(&Place::Member(&root, "prefix"), "bad_prefix", text);
        }
        is_one
    });
    let unit = part(complaints, object, "unit", read_unit);
    let legal_person = part(complaints, object, "legal_person", read_person);
    let contact = part(complaints, object, "contact", read_contact);
    Some(Form { prefix: prefix?, unit: unit?, legal_person: legal_person?, contact: contact? })
}

/// A member that is an object.
fn part<T>(
    complaints: &mut Complaints,
    object: &Map<String, Json>,
    name: &str,
    read: impl FnOnce(&mut Complaints, &Map<String, Json>, &Place<'_>) -> Option<T>,
) -> Option<T> {
    part_at(complaints, object, name, &Place::Root, read)
}

fn part_at<T>(
    complaints: &mut Complaints,
    object: &Map<String, Json>,
    name: &str,
    above: &Place<'_>,
    read: impl FnOnce(&mut Complaints, &Map<String, Json>, &Place<'_>) -> Option<T>,
) -> Option<T> {
    let json = complaints.member(object, name, above)?;
    let place = Place::Member(above, name);
    let inner = complaints.object(json, &place)?;
    read(complaints, inner, &place)
}

fn read_unit(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<Unit> {
    complaints.refuse_others(
        object,
        &[
            "name",
            "kind",
            "certificate",
            "industry",
            "region",
            "address",
            "registration_authority",
            "founded",
            "capital",
            "website",
            "introduction",
        ],
        place,
    );
    let optional = ["registration_authority", "founded", "capital", "website", "introduction"];
    refuse_nulls(complaints, object, place, &optional);
    let name = complaints.required_line(object, "name", place, MAX_LINE_BYTES);
    let kind = word(complaints, object, "kind", place, UnitKind::WORDS, UnitKind::of_word);
    let certificate = part_at(complaints, object, "certificate", place, read_certificate);
    let industry = industry(complaints, object, place);
    let region = region(complaints, object, place);
    let address = complaints.required_line(object, "address", place, MAX_LINE_BYTES);
    let registration_authority = complaints.optional_line(object, "registration_authority", place, MAX_LINE_BYTES);
    let founded = date(complaints, object, "founded", place);
    let capital = complaints.optional_line(object, "capital", place, MAX_LINE_BYTES);
    let website = complaints.optional_line(object, "website", place, MAX_URL_BYTES).filter(|url| {
        let is_url =
            ["https://", "http://"].into_iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
                && !url.contains(char::is_whitespace);
        if !is_url {
            let detail =
                Text::new("应为 http(s):// 开头的网址", "must be an address that begins with http:// or https://");
            complaints.add(&Place::Member(place, "website"), "bad_url", detail);
        }
        is_url
    });
    let introduction = paragraphs(complaints, object, "introduction", place);
    Some(Unit {
        name: name?,
        kind: kind?,
        certificate: certificate?,
        industry: industry?,
        region: region?,
        address: address?,
        registration_authority,
        founded,
        capital,
        website,
        introduction,
    })
}

fn industry(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<String> {
    complaints.required_line(object, "industry", place, MAX_NUMBER_BYTES).and_then(|text| {
        let found = Industry::parse(&text);
        if found.is_none() {
            let detail = Text::new(
                "不是国民经济行业分类代码；应为例如 C36 或 C3670",
                "is no code of the industry classification; write C36 or C3670, for example",
            );
            complaints.add(&Place::Member(place, "industry"), "unknown_code", detail);
        }
        found.map(|industry| industry.code)
    })
}

fn region(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<String> {
    complaints.required_line(object, "region", place, MAX_NUMBER_BYTES).filter(|code| {
        let is_known = Region::known(code).is_some();
        if !is_known {
            let detail = Text::new(
                "不是行政区划代码；应为 6 位数字，例如 350203",
                "is no code of a region; six digits are expected, such as 350203",
            );
            complaints.add(&Place::Member(place, "region"), "unknown_code", detail);
        }
        is_known
    })
}

fn read_certificate(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<Certificate> {
    complaints.refuse_others(object, &["type", "number", "valid_until"], place);
    refuse_nulls(complaints, object, place, &["valid_until"]);
    let kind = word(complaints, object, "type", place, CertificateKind::WORDS, CertificateKind::of_word);
    let number = unmasked(complaints, object, "number", place);
    let number = match (kind, number) {
        (Some(CertificateKind::Uscc), Some(text)) => match Uscc::parse(&text) {
            Ok(code) => Some(code.as_str().to_owned()),
            Err(error) => {
                complaints.add(&Place::Member(place, "number"), "bad_uscc", error.text());
                None
            }
        },
        (_, number) => number,
    };
    let valid_until = date(complaints, object, "valid_until", place);
    Some(Certificate { kind: kind?, number: number?, valid_until })
}

fn read_person(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<LegalPerson> {
    complaints.refuse_others(object, &["name", "document", "phone", "fax", "email"], place);
    refuse_nulls(complaints, object, place, &["phone", "fax", "email"]);
    let name = complaints.required_line(object, "name", place, MAX_LINE_BYTES);
    let document = part_at(complaints, object, "document", place, |complaints, object, place| {
        complaints.refuse_others(object, &["type", "number"], place);
        let kind = word(complaints, object, "type", place, DocumentKind::WORDS, DocumentKind::of_word);
        let number = unmasked(complaints, object, "number", place);
        Some(Document { kind: kind?, number: number? })
    });
    let phone = optional(complaints, object, "phone", place, phone);
    let fax = optional(complaints, object, "fax", place, self::phone);
    let email = optional(complaints, object, "email", place, email);
    Some(LegalPerson { name: name?, document: document?, phone, fax, email })
}

fn read_contact(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>) -> Option<Contact> {
    complaints.refuse_others(object, &["name", "phone", "email"], place);
    let name = complaints.required_line(object, "name", place, MAX_LINE_BYTES);
    let number = complaints.required_line(object, "phone", place, MAX_NUMBER_BYTES);
    let number = number.filter(|text| phone(complaints, text, &Place::Member(place, "phone")));
    let address = complaints.required_line(object, "email", place, MAX_EMAIL_BYTES);
    let address = address.filter(|text| email(complaints, text, &Place::Member(place, "email")));
    Some(Contact { name: name?, phone: number?, email: address? })
}

/// What is not said is left out.
fn refuse_nulls(complaints: &mut Complaints, object: &Map<String, Json>, place: &Place<'_>, optional: &[&str]) {
    for name in optional.iter().filter(|name| object.get(**name).is_some_and(Json::is_null)) {
        complaints.wrong_type(
            &Place::Member(place, name),
            "文本（没有则省略此项）",
            "text (or nothing: leave the member out)",
        );
    }
}

/// A number as it is, and not as it is shown: what was masked and comes back would stand in its place.
fn unmasked(complaints: &mut Complaints, object: &Map<String, Json>, name: &str, place: &Place<'_>) -> Option<String> {
    let text = complaints.required_line(object, name, place, MAX_NUMBER_BYTES)?;
    if text.contains('*') {
        let detail = Text::new(
            "这是遮盖后的值：请填写完整号码（修改前以 ?reveal=1 读取）",
            "this is masked: write the whole number (read the form with ?reveal=1 before you change it)",
        );
        complaints.add(&Place::Member(place, name), "masked", detail);
        return None;
    }
    Some(text)
}

/// A member that may be missing, and is judged where it is there.
fn optional(
    complaints: &mut Complaints,
    object: &Map<String, Json>,
    name: &str,
    place: &Place<'_>,
    is_good: impl FnOnce(&mut Complaints, &str, &Place<'_>) -> bool,
) -> Option<String> {
    let text = complaints.optional_line(object, name, place, MAX_EMAIL_BYTES)?;
    is_good(complaints, &text, &Place::Member(place, name)).then_some(text)
}

fn word<T>(
    complaints: &mut Complaints,
    object: &Map<String, Json>,
    name: &str,
    place: &Place<'_>,
    words: &[&str],
    of_word: fn(&str) -> Option<T>,
) -> Option<T> {
    let json = complaints.member(object, name, place)?;
    let found = json.as_str().and_then(of_word);
    if found.is_none() {
        complaints.unknown_word(&Place::Member(place, name), &words.join(", "));
    }
    found
}

fn date(complaints: &mut Complaints, object: &Map<String, Json>, name: &str, place: &Place<'_>) -> Option<String> {
    let json = object.get(name).filter(|json| !json.is_null())?;
    let text = json.as_str().filter(|text| text.len() == 10 && Timestamp::parse(&format!("{text}T00:00:00Z")).is_ok());
    if text.is_none() {
        let detail = Text::new("应为日期，例如 2019-03-01", "must be a date, such as 2019-03-01");
        complaints.add(&Place::Member(place, name), "bad_date", detail);
    }
    text.map(str::to_owned)
}

/// Digits, with the marks that people write between them.
fn phone(complaints: &mut Complaints, text: &str, place: &Place<'_>) -> bool {
    let is_one = (5..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-() ".contains(&byte))
        && text.bytes().filter(u8::is_ascii_digit).count() >= 5;
    if !is_one {
        let detail = Text::new(
            "应为电话号码：5 至 32 个字符，数字与 + - ( ) 空格",
            "must be a telephone number: 5 to 32 characters, digits and + - ( ) and spaces",
        );
        complaints.add(place, "bad_phone", detail);
    }
    is_one
}

fn email(complaints: &mut Complaints, text: &str, place: &Place<'_>) -> bool {
    let is_one = text.len() <= MAX_EMAIL_BYTES
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '*')
        && text.split_once('@').is_some_and(|(name, domain)| {
            !name.is_empty()
                && domain.contains('.')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
                && !domain.contains('@')
        });
    if !is_one {
        let detail = Text::new("应为电子邮箱地址", "must be an e-mail address");
        complaints.add(place, "bad_email", detail);
    }
    is_one
}

/// Text that may have several lines.
fn paragraphs(
    complaints: &mut Complaints,
    object: &Map<String, Json>,
    name: &str,
    place: &Place<'_>,
) -> Option<String> {
    let json = object.get(name).filter(|json| !json.is_null())?;
    let place = Place::Member(place, name);
    let Some(text) = json.as_str() else {
        complaints.wrong_type(&place, "文本", "text");
        return None;
    };
    if text.len() > MAX_INTRODUCTION_BYTES {
        complaints.too_long(&place, MAX_INTRODUCTION_BYTES);
        return None;
    }
    if text.trim().is_empty() || text.chars().any(|c| c.is_control() && c != '\n') {
        let detail =
            Text::new("不得为空或含换行以外的控制字符", "must not be empty, or hold control characters but line feeds");
        complaints.add(&place, "bad_text", detail);
        return None;
    }
    Some(text.to_owned())
}
