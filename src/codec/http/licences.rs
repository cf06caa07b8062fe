//! `/v1/licences`, `/v1/signing-keys/{id}/end`: who may use a prefix, by which key. Everybody reads, administrators change.

use std::sync::Arc;

use http::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, jwk, negotiation};
use crate::codec::cursor;
use crate::codec::licence_answers;
use crate::guard::Pass;
use crate::model::field::{FieldError, pointer_step};
use crate::model::permitted::{Action, Asks, Permitted};
use crate::model::text::Text;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::licence::{EndLicence, EndSigningKey, Ending, GrantLicence, Licensed, ListLicences, Wanted};
use crate::sign::keys::PublicJwk;
use crate::sign::licence::{EndReason, LicenceRole, MAX_GRANT_BYTES, MAX_HOLDER_BYTES};

const LICENCES: &str = "/v1/licences/";
const SIGNING_KEYS: &str = "/v1/signing-keys/";
const END: &str = "/end";
/// Of a page.
pub(super) const MOST_STATEMENTS: usize = 500;
pub(super) const USUAL_STATEMENTS: usize = 100;

pub(super) async fn list(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Read)?;
    negotiation::best(&call.headers, &[JSON])?;
    let query = Query::of(&call.uri, &["prefix", "identifier", "limit", "cursor"])?;
    let (prefix, identifier) = (query.one("prefix")?, query.one("identifier")?);
    if prefix.as_ref().is_some_and(|prefix| prefix.is_empty() || prefix.chars().count() > MAX_HOLDER_BYTES) {
        return Err(Failure::query("prefix", "为空或过长", "is empty, or too long"));
    }
    let (limit, after) = (query.limit(MOST_STATEMENTS)?, query.one("cursor")?);
    let is_page = limit.is_some() || after.is_some();
    let wanted = match (prefix, identifier) {
        (None, None) => {
            Wanted::All { after: after.map(|text| place(&text)).transpose()?, limit: limit.unwrap_or(USUAL_STATEMENTS) }
        }
        (Some(prefix), None) if !is_page => Wanted::Prefix(prefix),
        (None, Some(identifier)) if !is_page => Wanted::Identifier(identifier),
        _ => {
            let (zh, en) = ("不与 identifier、limit、cursor 同用", "goes with neither identifier nor limit nor cursor");
            return Err(Failure::query("prefix", zh, en));
        }
    };
    let asked = call.permit(&pass, ListLicences { wanted })?;
    let page = desk.services.licences(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Ask, licence_answers::statements(&page?)))
}

fn place(text: &str) -> Result<(String, u64), Failure> {
    cursor::licence(text)
        .ok_or_else(|| Failure::query("cursor", "不是本列表给出的游标", "is no cursor that this list has given"))
}

pub(super) async fn grant(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Administer)?;
    Query::of(&call.uri, &[])?;
    let asked = document(&desk, &mut call, &pass, |members| {
        let mut members = members;
        let replace = members.optional("replace", |members, json| members.replacement(json));
        let what = members.licensed();
        members.done(what.map(|what| GrantLicence { what, replace }))
    })
    .await?;
    let granted = desk.services.grant_licence(asked).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::CREATED, Keep::Never, licence_answers::statement(&granted?)))
}

pub(super) async fn end(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Administer)?;
    let id = id_after(&call, LICENCES)?;
    Query::of(&call.uri, &[])?;
    let asked = document(&desk, &mut call, &pass, |members| {
        let mut members = members;
        let ending = members.ending();
        members.done(ending.map(|ending| EndLicence { id, ending }))
    })
    .await?;
    let ended = desk.services.end_licence(asked).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::CREATED, Keep::Never, licence_answers::statement(&ended?)))
}

pub(super) async fn end_key(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Administer)?;
    let kid = id_after(&call, SIGNING_KEYS)?;
    Query::of(&call.uri, &[])?;
    let asked = document(&desk, &mut call, &pass, |members| {
        let mut members = members;
        let not_after = members.required("not_after", Members::index);
        members.done(not_after.map(|not_after| EndSigningKey { kid, not_after }))
    })
    .await?;
    let ended = desk.services.end_signing_key(asked).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::CREATED, Keep::Never, licence_answers::statement(&ended?)))
}

fn id_after(call: &Call, route: &str) -> Result<String, Failure> {
    let text = call.text_after(route)?;
    Ok(text.strip_suffix(END).unwrap_or(&text).to_owned())
}

/// The request in a body, permitted.
async fn document<R: Asks>(
    desk: &Desk,
    call: &mut Call,
    pass: &Pass,
    read: impl FnOnce(Members) -> Result<R, Vec<FieldError>>,
) -> Result<Permitted<R>, Failure> {
    let sent = std::mem::take(&mut call.body);
    body::expect_type(&call.headers, &[JSON])?;
    body::refuse_encoding(&call.headers)?;
    let bytes = body::whole(sent, &call.headers, desk.limits.body_bytes).await;
    call.laps.skip();
    let json = body::parse(&bytes?, desk.limits.json_depth)?;
    let request = read(Members::of(json)).map_err(ServiceError::Fields)?;
    call.permit(pass, request)
}

/// The members of a document while they are read; what is left over at the end is unknown.
struct Members {
    left: Map<String, Json>,
    at: String,
    errors: Vec<FieldError>,
}

impl Members {
    fn of(json: Json) -> Members {
        let mut members = Members { left: Map::new(), at: String::new(), errors: Vec::new() };
        match json {
            Json::Object(left) => members.left = left,
            _ => members.wrong("", "wrong_type", "应为对象", "must be an object"),
        }
        members
    }

    fn wrong(&mut self, step: &str, code: &'static str, zh: &str, en: &str) {
        let pointer = format!("{}{step}", self.at);
        self.errors.push(FieldError { pointer, code, detail: Text::new(zh, en) });
    }

    fn optional<T>(&mut self, name: &str, read: impl FnOnce(&mut Members, Json) -> Option<T>) -> Option<T> {
        let json = self.left.remove(name).filter(|json| !json.is_null())?;
        let before = self.errors.len();
        let at = format!("{}/{name}", self.at);
        let outer = std::mem::replace(&mut self.at, at);
        let value = read(self, json);
        if value.is_none() && self.errors.len() == before {
            self.wrong("", "wrong_type", "此处的值不合要求", "this is not what is expected here");
        }
        self.at = outer;
        value
    }

    fn required<T>(&mut self, name: &str, read: impl FnOnce(&mut Members, Json) -> Option<T>) -> Option<T> {
        if self.left.get(name).is_none_or(Json::is_null) {
            self.wrong(&format!("/{name}"), "required", "缺少此项", "this member is required");
        }
        self.optional(name, read)
    }

    fn text(&mut self, json: &Json, most: usize) -> Option<String> {
        let text = json.as_str().filter(|text| {
            !text.is_empty() && text.len() <= most && text.trim() == *text && !text.chars().any(char::is_control)
        });
        if text.is_none() {
            self.wrong(
                "",
                "bad_text",
                "应为一行文本，首尾无空白",
                "must be one line of text without white space around it",
            );
        }
        text.map(str::to_owned)
    }

    /// One of the words of a type.
    fn word<T: DeserializeOwned>(&mut self, json: Json, words: &str) -> Option<T> {
        let word = serde_json::from_value(json).ok();
        if word.is_none() {
            self.wrong("", "unknown_word", &format!("应为下列之一：{words}"), &format!("must be one of: {words}"));
        }
        word
    }

    fn index(&mut self, json: Json) -> Option<u64> {
        json.as_u64()
    }

    /// A public key as a JWK; its id is computed. A private half is refused: it belongs to nobody here.
    fn key(&mut self, json: Json) -> Option<PublicJwk> {
        jwk::public_key(&json).map_err(|(step, text)| self.wrong(step, "bad_key", &text.zh, &text.en)).ok()
    }

    fn licensed(&mut self) -> Option<Licensed> {
        match self.required("role", |members, json| members.word(json, "node, enterprise"))? {
            LicenceRole::Node => {
                let grant = self.required("grant", |members, json| members.text(&json, MAX_GRANT_BYTES))?;
                Some(Licensed::Node { grant })
            }
            LicenceRole::Enterprise => {
                let prefix = self.required("prefix", |members, json| members.text(&json, MAX_HOLDER_BYTES));
                let holder = self.required("holder", |members, json| members.text(&json, MAX_HOLDER_BYTES));
                let key = self.required("key", Members::key);
                let owner_signature =
                    self.optional("owner_signature", |members, json| members.word(json, "optional, required"));
                let owner_signature = owner_signature.unwrap_or_default();
                Some(Licensed::Enterprise { prefix: prefix?, holder: holder?, key: key?, owner_signature })
            }
        }
    }

    fn replacement(&mut self, json: Json) -> Option<Ending> {
        let outer = match json {
            Json::Object(inner) => std::mem::replace(&mut self.left, inner),
            _ => return None,
        };
        let ending = self.ending();
        self.refuse_others();
        self.left = outer;
        ending
    }

    fn ending(&mut self) -> Option<Ending> {
        let words = "revoked, compromised, rotated, transferred";
        let reason = self.required("reason", |members, json| members.word(json, words));
        let not_after = self.optional("not_after", Members::index);
        let reason: EndReason = reason?;
        match (reason, not_after) {
            (EndReason::Compromised, None) => {
                let (zh, en) = (
                    "密钥泄露须指明最后可信的日志序号",
                    "a compromise needs the last index at which the key was sound",
                );
                self.wrong("/not_after", "required", zh, en);
            }
            (EndReason::Compromised, Some(_)) | (_, None) => {}
            (_, Some(_)) => {
                let (zh, en) =
                    ("只用于 compromised", "is for compromised only: other ends hold from their own index on");
                self.wrong("/not_after", "unknown_field", zh, en);
            }
        }
        Some(Ending { reason, not_after })
    }

    fn refuse_others(&mut self) {
        for name in std::mem::take(&mut self.left).into_iter().map(|(name, _)| name) {
            self.wrong(&format!("/{}", pointer_step(&name)), "unknown_field", "没有这个成员", "no such member");
        }
    }

    fn done<T>(mut self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        self.refuse_others();
        match value {
            Some(value) if self.errors.is_empty() => Ok(value),
            _ => Err(self.errors),
        }
    }
}
