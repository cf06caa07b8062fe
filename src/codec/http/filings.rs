//! `/v1/filings`: applications for a prefix, and their review.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::Value as Json;

use super::call::Call;
use super::failure::Failure;
use super::preconditions::of_change;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, negotiation};
use crate::codec::{cursor, filing_answers};
use crate::model::field::{FieldError, pointer_step};
use crate::model::filing::{Form, State, Step};
use crate::model::permitted::Action;
use crate::model::text::{Language, Text};
use crate::model::time::Timestamp;
use crate::observe::laps::Step as Lap;
use crate::services::ServiceError;
use crate::services::file::{
    AdvanceFiling, ChangeFiling, CreateFiling, FilingView, ListFilings, ReadFiling, Reason, Review, ReviewFiling,
};

pub(super) const ROUTE: &str = "/v1/filings/";
/// Of a page.
pub(super) const MOST_FILINGS: usize = 500;
pub(super) const USUAL_FILINGS: usize = 100;
/// Of one step.
pub(super) const MOST_REASONS: usize = 50;
pub(super) const MAX_REASON_BYTES: usize = 2_000;
const MAX_POINTER_BYTES: usize = 255;

pub(super) async fn create(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::File)?;
    Query::of(&call.uri, &[])?;
    let (language, laps) = (call.language, Arc::clone(&call.laps));
    let headers = call.headers;
    let (_, json) = body::document(call.body, &headers, &[JSON], &desk.limits).await?;
    let form = Form::from_json(&json).map_err(ServiceError::Fields)?;
    laps.end(Lap::Decode);
    let principal = pass.principal().clone();
    // One at a time, so that a bound is one.
    let _place = desk.services.filing_place(&principal)?;
    desk.aside(move |services| services.may_file_more(&principal)).await?;
    let created = desk.services.create_filing(pass.permit(CreateFiling { form })?).await;
    laps.end(Lap::Service);
    let view = created?;
    let mut response = shown(&view, StatusCode::CREATED, language);
    reply::add_location(&mut response, format!("{ROUTE}{}", view.id));
    Ok(response)
}

pub(super) async fn replace(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::File)?;
    let id = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    let precondition = of_change(&call.headers)?;
    let (language, laps) = (call.language, Arc::clone(&call.laps));
    let headers = call.headers;
    let (_, json) = body::document(call.body, &headers, &[JSON], &desk.limits).await?;
    let form = Form::from_json(&json).map_err(ServiceError::Fields)?;
    laps.end(Lap::Decode);
    let changed = desk.services.change_filing(pass.permit(ChangeFiling { id, form, precondition })?).await;
    laps.end(Lap::Service);
    Ok(shown(&changed?, StatusCode::OK, language))
}

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeeFilings)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["state", "limit", "cursor"])?;
    let state = query.one("state")?.map(|word| state(&word)).transpose()?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let limit = query.limit(MOST_FILINGS)?.unwrap_or(USUAL_FILINGS);
    let asked = call.permit(&pass, ListFilings { state, after, limit })?;
    let page = desk.aside(move |services| services.filings(&asked)).await;
    call.laps.end(Lap::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, filing_answers::filings(&page?)))
}

fn state(word: &str) -> Result<State, Failure> {
    State::of_word(word).ok_or_else(|| {
        let words = State::ALL.map(State::as_str).join(", ");
        Failure::query("state", &format!("应为 {words} 之一"), &format!("must be one of {words}"))
    })
}

fn place(text: &str) -> Result<(i64, String), Failure> {
    cursor::filing(text)
        .ok_or_else(|| Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given"))
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    desk.services.writes()?;
    let pass = call.admit(&desk, Action::SeeFilings)?;
    let id = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["reveal"])?;
    let reveal = query.flag("reveal")?;
    if reveal {
        // Which is noted.
        desk.services.may_sign()?;
    }
    let asked = call.permit(&pass, ReadFiling { id, reveal })?;
    let view = desk.services.filing(asked).await;
    call.laps.end(Lap::Service);
    Ok(shown(&view?, StatusCode::OK, call.language))
}

pub(super) fn shown(view: &FilingView, status: StatusCode, language: Language) -> Response<axum::body::Body> {
    let mut response = reply::json(status, Keep::Never, filing_answers::filing(view, language));
    reply::add_etag(&mut response, reply::etag(view.course.steps.len() as u64));
    response
}

pub(super) async fn submit(desk: Arc<Desk>, call: Call) -> Reply {
    advance(desk, call, "/submit", Step::Submitted).await
}

pub(super) async fn withdraw(desk: Arc<Desk>, call: Call) -> Reply {
    advance(desk, call, "/withdraw", Step::Withdrawn).await
}

async fn advance(desk: Arc<Desk>, call: Call, word: &str, step: Step) -> Reply {
    let pass = call.admit_writer(&desk, Action::File)?;
    let id = id_before(&call, word)?;
    Query::of(&call.uri, &[])?;
    let precondition = of_change(&call.headers)?;
    let asked = call.permit(&pass, AdvanceFiling { id, precondition, step })?;
    let advanced = desk.services.advance_filing(asked).await;
    call.laps.end(Lap::Service);
    Ok(shown(&advanced?, StatusCode::OK, call.language))
}

pub(super) async fn claim(desk: Arc<Desk>, call: Call) -> Reply {
    review(desk, call, "/claim", |json| none(json).map(|()| Review::Claim)).await
}

pub(super) async fn release(desk: Arc<Desk>, call: Call) -> Reply {
    review(desk, call, "/release", |json| none(json).map(|()| Review::Release)).await
}

pub(super) async fn send_back(desk: Arc<Desk>, call: Call) -> Reply {
    review(desk, call, "/return", |json| reasons(json).map(Review::Return)).await
}

pub(super) async fn reject(desk: Arc<Desk>, call: Call) -> Reply {
    review(desk, call, "/reject", |json| reasons(json).map(Review::Reject)).await
}

pub(super) async fn approve(desk: Arc<Desk>, call: Call) -> Reply {
    review(desk, call, "/approve", approval).await
}

async fn review(
    desk: Arc<Desk>,
    call: Call,
    word: &str,
    read: impl FnOnce(Option<&Json>) -> Result<Review, FieldError>,
) -> Reply {
    let pass = call.admit_writer(&desk, Action::Review)?;
    let id = id_before(&call, word)?;
    Query::of(&call.uri, &[])?;
    let precondition = of_change(&call.headers)?;
    let (language, laps) = (call.language, Arc::clone(&call.laps));
    let headers = call.headers;
    let json = body::optional_document(call.body, &headers, &desk.limits).await?;
    let review = read(json.as_ref()).map_err(|error| ServiceError::Fields(vec![error]))?;
    laps.end(Lap::Decode);
    let reviewed = desk.services.review_filing(pass.permit(ReviewFiling { id, precondition, review })?).await;
    laps.end(Lap::Service);
    Ok(shown(&reviewed?, StatusCode::OK, language))
}

fn id_before(call: &Call, word: &str) -> Result<String, Failure> {
    let text = call.text_after(ROUTE)?;
    Ok(text.strip_suffix(word).unwrap_or(&text).to_owned())
}

pub(super) fn wrong(pointer: impl Into<String>, code: &'static str, zh: &str, en: &str) -> FieldError {
    FieldError { pointer: pointer.into(), code, detail: Text::new(zh, en) }
}

/// No body, or an empty object.
fn none(json: Option<&Json>) -> Result<(), FieldError> {
    members(json, &[])
}

/// Whether a document is an object of such members.
pub(super) fn members(json: Option<&Json>, known: &[&str]) -> Result<(), FieldError> {
    let Some(json) = json else { return Ok(()) };
    let object = json.as_object().ok_or_else(|| wrong("", "wrong_type", "应为对象", "must be an object"))?;
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(wrong(
            format!("/{}", pointer_step(name)),
            "unknown_field",
            &format!("没有这个成员；可用：{}", known.join("、")),
            &format!("no such member; known are: {}", known.join(", ")),
        )),
    }
}

/// `{"reasons": [{"pointer"?, "text"}]}`, one at least.
pub(super) fn reasons(json: Option<&Json>) -> Result<Vec<Reason>, FieldError> {
    members(json, &["reasons"])?;
    listed_reasons(json)
}

/// The `reasons` of a document that may have more.
pub(super) fn listed_reasons(json: Option<&Json>) -> Result<Vec<Reason>, FieldError> {
    let items = json.and_then(|json| json.get("reasons")).and_then(Json::as_array);
    let items = items.filter(|items| (1..=MOST_REASONS).contains(&items.len())).ok_or_else(|| {
        let (zh, en) = (
            format!("应给出 1 至 {MOST_REASONS} 条理由：[{{\"pointer\": \"/unit/name\", \"text\": \"…\"}}]"),
            format!(
                "must be a list of 1 to {MOST_REASONS} reasons: [{{\"pointer\": \"/unit/name\", \"text\": \"…\"}}]"
            ),
        );
        wrong("/reasons", "required", &zh, &en)
    })?;
    items.iter().enumerate().map(|(at, item)| reason(at, item)).collect()
}

fn reason(at: usize, item: &Json) -> Result<Reason, FieldError> {
    if !item.is_object() {
        let (zh, en) = (
            "应为对象：{\"pointer\": \"/unit/name\", \"text\": \"…\"}",
            "must be an object: {\"pointer\": \"/unit/name\", \"text\": \"…\"}",
        );
        return Err(wrong(format!("/reasons/{at}"), "wrong_type", zh, en));
    }
    let text = item.get("text").and_then(Json::as_str).and_then(told).ok_or_else(|| {
        let (zh, en) = (
            format!("应为不超过 {MAX_REASON_BYTES} 字节的文本"),
            format!("must be text of at most {MAX_REASON_BYTES} bytes"),
        );
        wrong(format!("/reasons/{at}/text"), "bad_text", &zh, &en)
    })?;
    let pointer = match item.get("pointer") {
        None | Some(Json::Null) => "",
        Some(Json::String(pointer)) if is_pointer(pointer) => pointer,
        Some(_) => {
            let (zh, en) = ("应为 JSON Pointer，例如 /unit/name", "must be a JSON Pointer, such as /unit/name");
            return Err(wrong(format!("/reasons/{at}/pointer"), "bad_text", zh, en));
        }
    };
    Ok(Reason { pointer: pointer.to_owned(), text })
}

fn is_pointer(text: &str) -> bool {
    (text.is_empty() || text.starts_with('/')) && text.len() <= MAX_POINTER_BYTES && !text.chars().any(char::is_control)
}

/// What a reviewer writes, which may have several lines.
fn told(text: &str) -> Option<String> {
    let is_good = !text.trim().is_empty()
        && text.len() <= MAX_REASON_BYTES
        && !text.chars().any(|character| character.is_control() && character != '\n');
    is_good.then(|| text.to_owned())
}

/// `{"prefix"?, "valid_until"?, "note"?}`
fn approval(json: Option<&Json>) -> Result<Review, FieldError> {
    members(json, &["prefix", "valid_until", "note"])?;
    let member = |name: &str| json.and_then(|json| json.get(name)).filter(|json| !json.is_null());
    let prefix = match member("prefix") {
        None => None,
        Some(Json::String(prefix)) if prefix.len() <= MAX_POINTER_BYTES => Some(prefix.clone()),
        Some(_) => {
            return Err(wrong("/prefix", "bad_prefix", "不是前缀；应为例如 88.118.8", "is no prefix; write 88.118.8"));
        }
    };
    let until = member("valid_until").map(|time| to_come("/valid_until", time)).transpose()?;
    Ok(Review::Approve { prefix, until, note: note(json)? })
}

/// The `note` of a document, which may lack it.
pub(super) fn note(json: Option<&Json>) -> Result<Option<String>, FieldError> {
    let Some(note) = json.and_then(|json| json.get("note")).filter(|json| !json.is_null()) else { return Ok(None) };
    note.as_str().and_then(told).map(Some).ok_or_else(|| {
        let (zh, en) = (
            format!("应为不超过 {MAX_REASON_BYTES} 字节的文本"),
            format!("must be text of at most {MAX_REASON_BYTES} bytes"),
        );
        wrong("/note", "bad_text", &zh, &en)
    })
}

/// A time that is not over yet.
pub(super) fn to_come(pointer: &str, json: &Json) -> Result<Timestamp, FieldError> {
    let time = json.as_str().and_then(|text| Timestamp::parse(text).ok());
    time.filter(|time| *time > Timestamp::now())
        .ok_or_else(|| wrong(pointer, "bad_time", "应为将来的 RFC 3339 时间", "must be an RFC 3339 time to come"))
}
