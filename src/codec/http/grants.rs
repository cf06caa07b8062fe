//! `/v1/grants`: values that an enterprise shares: with a key, an organisation, or whoever has a link.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use http::{Response, StatusCode};
use serde_json::{Map, Value as Json};

use super::call::Call;
use super::failure::Failure;
use super::filings::{to_come, wrong};
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::resolve::moment;
use super::{Desk, body, negotiation};
use crate::codec::cursor::{self, Kind};
use crate::codec::grant_answers;
use crate::model::field::{FieldError, pointer_step};
use crate::model::grant::Opened;
use crate::model::identifier::Identifier;
use crate::model::permitted::Action;
use crate::model::prefix::is_canonical;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::resolve::At;
use crate::services::share::{
    GiveGrant, LONGEST_LINK_SECONDS, ListGrants, ListUses, ReadGrant, Recipient, RevokeGrant,
};
use crate::services::{ServiceError, Services};

const ROUTE: &str = "/v1/grants/";
/// Of a page.
pub(super) const MOST_GRANTS: usize = 1_000;
pub(super) const USUAL_GRANTS: usize = 100;
/// Of each list that says what is opened.
pub(super) const MOST_NAMED: usize = 100;
pub(super) const MAX_WORD_BYTES: usize = 255;
const MEMBERS: [&str; 9] =
    ["prefix", "to", "identifiers", "templates", "indexes", "types", "purpose", "valid_from", "valid_until"];

pub(super) async fn give(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Share)?;
    if call.headers.contains_key("idempotency-key") {
        let (zh, en) = ("链接只显示一次，无法重放", "a link is shown once, so its making cannot be repeated");
        return Err(Failure::header("Idempotency-Key", zh, en));
    }
    Query::of(&call.uri, &[])?;
    let laps = Arc::clone(&call.laps);
    let headers = call.headers;
    let (_, json) = body::document(call.body, &headers, &[JSON], &desk.limits).await?;
    let wanted = wanted(&json, &desk.services).map_err(ServiceError::Fields)?;
    laps.end(Step::Decode);
    let given = desk.services.give_grant(pass.permit(wanted)?).await;
    laps.end(Step::Service);
    let given = given?;
    let mut response = reply::json(StatusCode::CREATED, Keep::Never, grant_answers::new_grant(&given));
    reply::add_location(&mut response, format!("{ROUTE}{}", given.grant.id));
    Ok(response)
}

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeeGrants)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["limit", "cursor"])?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let asked = call.permit(&pass, ListGrants { after, limit: query.limit(MOST_GRANTS)?.unwrap_or(USUAL_GRANTS) })?;
    let page = desk.aside(move |services| services.grants_of(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, grant_answers::grants(&page?)))
}

fn place(text: &str) -> Result<String, Failure> {
    cursor::decode(Kind::Grants, text).ok_or_else(not_of_this_list)
}

fn not_of_this_list() -> Failure {
    Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given")
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeeGrants)?;
    let id = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadGrant { id })?;
    let view = desk.aside(move |services| services.grant(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, grant_answers::grant(&view?)))
}

pub(super) async fn revoke(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Share)?;
    let id = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, RevokeGrant { id })?;
    let revoked = desk.services.revoke_grant(asked).await;
    call.laps.end(Step::Service);
    revoked?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

pub(super) async fn uses(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::Share)?;
    let text = call.text_after(ROUTE)?;
    let id = text.strip_suffix("/uses").unwrap_or(&text).to_owned();
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["from", "limit", "cursor"])?;
    let from = query.one("from")?.map(|text| time("from", &text)).transpose()?;
    let after = query.one("cursor")?.map(|text| row(&text)).transpose()?;
    let limit = query.limit(MOST_GRANTS)?.unwrap_or(USUAL_GRANTS);
    let asked = call.permit(&pass, ListUses { id, after, from, limit })?;
    let page = desk.aside(move |services| services.grant_uses(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, grant_answers::uses(&page?)))
}

fn time(name: &str, text: &str) -> Result<Timestamp, Failure> {
    match moment(name, text)? {
        At::Time(time) => Ok(time),
        At::Version(_) => Err(Failure::query(
            name,
            "应为 RFC 3339 时间，如 2026-11-30T08:00:00Z",
            "must be an RFC 3339 time such as 2026-11-30T08:00:00Z",
        )),
    }
}

fn row(text: &str) -> Result<Vec<u8>, Failure> {
    let place = cursor::decode(Kind::GrantUses, text).ok_or_else(not_of_this_list)?;
    BASE64URL.decode(place).map_err(|_| not_of_this_list())
}

/// A wish for a grant, read; everything that is wrong is told at once.
fn wanted(json: &Json, services: &Services) -> Result<GiveGrant, Vec<FieldError>> {
    let Some(members) = json.as_object() else {
        return Err(vec![wrong("", "wrong_type", "应为对象", "must be an object")]);
    };
    let mut errors: Vec<FieldError> = members
        .keys()
        .filter(|name| !MEMBERS.contains(&name.as_str()))
        .take(MOST_NAMED)
        .map(|name| wrong(format!("/{}", pointer_step(name)), "unknown_field", "没有这个成员", "no such member"))
        .collect();
    let mut of = Reading { members, errors: &mut errors };
    let prefix = of.take("prefix", prefix);
    let to = of.take("to", recipient);
    let purpose = of.take("purpose", |json| word("/purpose", json));
    let identifiers = of.list("identifiers", |at, json| identifier(at, json, services));
    let opened = Opened {
        templates: of.list("templates", word),
        indexes: of.list("indexes", index),
        types: of.list("types", word),
        ..Opened::default()
    };
    let from = of.time("valid_from");
    let until = of.time("valid_until");
    if matches!(to, Some(Recipient::Link)) {
        let longest = Timestamp::now().as_seconds() + LONGEST_LINK_SECONDS;
        if until.is_none_or(|until| until.as_seconds() > longest) {
            let (zh, en) = ("链接须给出至多 366 天的有效期", "a link needs one, at most 366 days from now");
            errors.push(wrong("/valid_until", "required", zh, en));
        }
    }
    if let (Some(from), Some(until)) = (from, until)
        && from >= until
    {
        errors.push(wrong("/valid_until", "wrong_value", "须晚于 valid_from", "must be later than valid_from"));
    }
    match (prefix, to, purpose) {
        (Some(prefix), Some(to), Some(purpose)) if errors.is_empty() => {
            Ok(GiveGrant { prefix, to, identifiers, opened, purpose, from, until })
        }
        _ => Err(errors),
    }
}

/// A document that is being read, and what was wrong so far.
struct Reading<'a> {
    members: &'a Map<String, Json>,
    errors: &'a mut Vec<FieldError>,
}

impl Reading<'_> {
    /// A member that must be there.
    fn take<T>(&mut self, name: &str, read: impl FnOnce(&Json) -> Result<T, FieldError>) -> Option<T> {
        let missing = || wrong(format!("/{name}"), "required", "缺少此项", "this member is required");
        let read = self.members.get(name).ok_or_else(missing).and_then(read);
        read.map_err(|error| self.errors.push(error)).ok()
    }

    /// A time to come, which may be left out.
    fn time(&mut self, name: &str) -> Option<Timestamp> {
        let json = self.members.get(name).filter(|json| !json.is_null())?;
        to_come(&format!("/{name}"), json).map_err(|error| self.errors.push(error)).ok()
    }

    /// A list, which may be left out.
    fn list<T>(&mut self, name: &str, read: impl Fn(&str, &Json) -> Result<T, FieldError>) -> Vec<T> {
        let Some(json) = self.members.get(name).filter(|json| !json.is_null()) else { return Vec::new() };
        let items = json.as_array().filter(|items| (1..=MOST_NAMED).contains(&items.len()));
        let Some(items) = items else {
            let (zh, en) = (
                format!("应为 1 至 {MOST_NAMED} 项的列表；不限则不写"),
                format!("must be a list of 1 to {MOST_NAMED}; leave it out where any will do"),
            );
            self.errors.push(wrong(format!("/{name}"), "wrong_type", &zh, &en));
            return Vec::new();
        };
        let read = items.iter().enumerate().map(|(at, item)| read(&format!("/{name}/{at}"), item));
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        read.for_each(|item| match item {
            Ok(item) => found.push(item),
            Err(error) => errors.push(error),
        });
        self.errors.extend(errors);
        found
    }
}

fn canonical(pointer: &str, json: &Json) -> Result<String, FieldError> {
    let prefix = json.as_str().map(str::to_ascii_lowercase).filter(|prefix| is_canonical(prefix));
    prefix.ok_or_else(|| {
        let (zh, en) = ("不是前缀；应为例如 88.118.8，不带斜线", "is no prefix; write 88.118.8, without a slash");
        wrong(pointer, "bad_prefix", zh, en)
    })
}

fn prefix(json: &Json) -> Result<String, FieldError> {
    canonical("/prefix", json)
}

/// `{"key": ID}`, `{"prefix": PREFIX}` or `{"link": true}`.
fn recipient(json: &Json) -> Result<Recipient, FieldError> {
    let shape = || {
        let (zh, en) = (
            "应为 {\"key\": \"…\"}、{\"prefix\": \"…\"} 或 {\"link\": true} 之一",
            "must be one of {\"key\": \"…\"}, {\"prefix\": \"…\"} and {\"link\": true}",
        );
        wrong("/to", "wrong_type", zh, en)
    };
    let members = json.as_object().filter(|members| members.len() == 1).ok_or_else(shape)?;
    match members.iter().next() {
        Some((name, Json::String(id))) if name == "key" => Ok(Recipient::Key(id.clone())),
        Some((name, json)) if name == "prefix" => canonical("/to/prefix", json).map(Recipient::Prefix),
        Some((name, Json::Bool(true))) if name == "link" => Ok(Recipient::Link),
        _ => Err(shape()),
    }
}

fn word(pointer: &str, json: &Json) -> Result<String, FieldError> {
    let is_one_line = |word: &&str| (1..=MAX_WORD_BYTES).contains(&word.len()) && !word.chars().any(char::is_control);
    json.as_str().filter(is_one_line).map(str::to_owned).ok_or_else(|| {
        let (zh, en) = ("应为一行不超过 255 字节的文本", "must be one line of at most 255 bytes");
        wrong(pointer, "bad_text", zh, en)
    })
}

fn index(pointer: &str, json: &Json) -> Result<u32, FieldError> {
    let index = json.as_u64().and_then(|index| u32::try_from(index).ok()).filter(|index| *index > 0);
    index.ok_or_else(|| wrong(pointer, "wrong_value", "应为正整数", "must be a whole number from 1"))
}

/// As it is compared.
fn identifier(pointer: &str, json: &Json, services: &Services) -> Result<Identifier, FieldError> {
    let read = json.as_str().and_then(|text| services.identifier(text).ok());
    let plain = read.filter(|identifier: &Identifier| !identifier.scheme().is_tagged());
    plain.ok_or_else(|| {
        let (zh, en) = ("不是本系统的标识；应为例如 88.118.8/A", "is no identifier of a prefix; write 88.118.8/A");
        wrong(pointer, "bad_identifier", zh, en)
    })
}
