//! `/v1/keys`: API keys. Made once the guard has let an administrator or the bootstrap token in; shown once.

use std::sync::Arc;

use http::{Response, StatusCode};
use serde_json::Value as Json;

use super::call::Call;
use super::failure::Failure;
use super::filings::to_come;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, jwk, negotiation};
use crate::codec::cursor::{self, Kind};
use crate::codec::key_answers;
use crate::guard::{self, KeyMaker};
use crate::model::field::{FieldError, pointer_step};
use crate::model::permitted::Action;
use crate::model::prefix::is_canonical;
use crate::model::principal::Role;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::administer::{CreateKey, ListKeys, ReadKey, RevokeKey};

const ROUTE: &str = "/v1/keys/";
pub(super) const MAX_LABEL_BYTES: usize = 255;
/// That one key reaches.
pub(super) const MOST_PREFIXES: usize = 100;
/// Of a page, also of one whose size nobody named.
pub(super) const MOST_KEYS: usize = 1_000;

pub(super) async fn create(desk: Arc<Desk>, call: Call) -> Reply {
    let maker = guard::admit_key_maker(&desk.services, &call.credentials, Timestamp::now());
    call.laps.end(Step::Guard);
    let maker = maker?;
    desk.services.may_sign()?;
    if call.headers.contains_key("idempotency-key") {
        let (zh, en) = ("密钥只显示一次，无法重放", "a key is shown once, so its making cannot be repeated");
        return Err(Failure::header("Idempotency-Key", zh, en));
    }
    Query::of(&call.uri, &[])?;
    let bytes = body::whole(call.body, &call.headers, desk.limits.body_bytes).await;
    call.laps.skip();
    let bytes = bytes?;
    let request = if bytes.is_empty() {
        wanted(&Json::Object(serde_json::Map::new()))?
    } else {
        body::expect_type(&call.headers, &[JSON])?;
        body::refuse_encoding(&call.headers)?;
        wanted(&body::parse(&bytes, desk.limits.json_depth)?)?
    };
    call.laps.end(Step::Decode);
    let made = match maker {
        KeyMaker::Principal(pass) => desk.services.create_key(pass.permit(request)?).await,
        KeyMaker::Bootstrap(token) => desk.services.exchange_bootstrap(token.secret(), request).await,
    };
    call.laps.end(Step::Service);
    let made = made?;
    let mut response = reply::json(StatusCode::CREATED, Keep::Never, key_answers::new_key(&made));
    reply::add_location(&mut response, format!("{ROUTE}{}", made.key.id));
    Ok(response)
}

/// `{"label"?, "expires"?, "role"?, "prefixes"?, "public_key"?}`
fn wanted(json: &Json) -> Result<CreateKey, Failure> {
    let mut request = CreateKey::for_administrator("");
    let mut errors: Vec<FieldError> = match json.as_object() {
        None => vec![wrong(String::new(), "wrong_type", "应为对象", "must be an object")],
        Some(members) => members.iter().filter_map(|(name, value)| take(&mut request, name, value).err()).collect(),
    };
    if errors.is_empty() && request.role.is_bound() == request.prefixes.is_empty() {
        let (zh, en) = if request.role.is_bound() {
            ("企业角色需要至少一个前缀", "an enterprise's role needs at least one prefix")
        } else {
            ("只与 reader、registrar 和 owner 同用", "goes with reader, registrar and owner only")
        };
        errors.push(wrong("/prefixes".to_owned(), "wrong_value", zh, en));
    }
    if errors.is_empty() { Ok(request) } else { Err(ServiceError::Fields(errors).into()) }
}

fn wrong(pointer: String, code: &'static str, zh: &str, en: &str) -> FieldError {
    FieldError { pointer, code, detail: Text::new(zh, en) }
}

/// Takes one member of a wish into it.
fn take(request: &mut CreateKey, name: &str, value: &Json) -> Result<(), FieldError> {
    let pointer = || format!("/{}", pointer_step(name));
    match name {
        "label" => {
            let is_one_line = |label: &&str| label.len() <= MAX_LABEL_BYTES && !label.chars().any(char::is_control);
            let label = value.as_str().filter(is_one_line).ok_or_else(|| {
                wrong(pointer(), "wrong_type", "应为一行不超过 255 字节的文本", "must be one line of at most 255 bytes")
            })?;
            label.clone_into(&mut request.label);
        }
        "role" => {
            request.role = value.as_str().and_then(Role::given).ok_or_else(|| {
                let words = Role::GIVEN.map(Role::as_str).join(", ");
                wrong(pointer(), "wrong_value", &format!("应为 {words} 之一"), &format!("must be one of {words}"))
            })?;
        }
        "prefixes" => {
            request.prefixes = prefixes(value)?;
        }
        "public_key" if value.is_null() => {}
        "public_key" => {
            let key = jwk::public_key(value).map_err(|(step, detail)| FieldError {
                pointer: format!("{}{step}", pointer()),
                code: "bad_key",
                detail,
            });
            request.public_key = Some(key?);
        }
        "expires" if value.is_null() => {}
        "expires" => {
            request.expires = Some(to_come(&pointer(), value)?);
        }
        _ => return Err(wrong(pointer(), "unknown_field", "没有这个成员", "no such member")),
    }
    Ok(())
}

/// Prefixes in their canonical case.
fn prefixes(value: &Json) -> Result<Vec<String>, FieldError> {
    let items = value.as_array().filter(|items| items.len() <= MOST_PREFIXES).ok_or_else(|| {
        let (zh, en) = (
            "应为至多 100 个前缀的列表，例如 [\"88.118.8\"]",
            "must be a list of at most 100 prefixes, such as [\"88.118.8\"]",
        );
        wrong("/prefixes".to_owned(), "wrong_type", zh, en)
    })?;
    let read = |(at, item): (usize, &Json)| {
        let prefix = item.as_str().map(str::to_ascii_lowercase).filter(|prefix| is_canonical(prefix));
        prefix.ok_or_else(|| {
            let (zh, en) = ("不是前缀；应为例如 88.118.8，不带斜线", "is no prefix; write 88.118.8, without a slash");
            wrong(format!("/prefixes/{at}"), "wrong_value", zh, en)
        })
    };
    items.iter().enumerate().map(read).collect()
}

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::ManageKeys)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["limit", "cursor"])?;
    let after = query.one("cursor")?.map(|text| place(&text)).transpose()?;
    let asked = call.permit(&pass, ListKeys { after, limit: query.limit(MOST_KEYS)?.unwrap_or(MOST_KEYS) })?;
    let page = desk.services.keys(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, key_answers::keys(&page?)))
}

fn place(text: &str) -> Result<String, Failure> {
    cursor::decode(Kind::Keys, text)
        .ok_or_else(|| Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given"))
}

pub(super) async fn read(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::ManageKeys)?;
    let id = call.text_after(ROUTE)?.into_owned();
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadKey { id })?;
    let view = desk.services.key(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, key_answers::key(&view?)))
}

pub(super) async fn revoke(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::ManageKeys)?;
    let id = call.text_after(ROUTE)?.into_owned();
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, RevokeKey { id })?;
    let revoked = desk.services.revoke_key(asked).await;
    call.laps.end(Step::Service);
    revoked?;
    let mut response = Response::new(axum::body::Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
