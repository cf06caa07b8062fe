//! What an answer says in clear, held against what is signed in it.

use serde::Serialize;
use serde_json::Value as Json;

use super::{Checked, Finding, Report};
use crate::sign::entry::Claims;

/// Whether the readable part of an answer says what its entry says.
pub(super) fn compare(report: &mut Report, answer: &Json, checked: &Checked) {
    let claims = &checked.claims;
    let mut differing: Vec<&str> = Vec::new();
    let mut same = |field: &'static str, expected: Json| {
        let found = answer.get(field).cloned().unwrap_or(Json::Null);
        let absent = |json: &Json| json.is_null() || json.as_array().is_some_and(Vec::is_empty);
        if found != expected && !(absent(&found) && absent(&expected)) {
            differing.push(field);
        }
    };
    same("identifier", json(&claims.sub));
    same("version", json(&checked.payload.ver));
    same("status", json(&claims.state));
    same("template", json(&claims.template));
    same("registrant", json(&claims.registrant));
    same("links", json(&claims.links));
    same("aliases", json(&claims.aliases));
    if !values_agree(answer.get("values"), claims) {
        differing.push("values");
    }
    let listed = differing.join(", ");
    let (finding, zh, en) = if differing.is_empty() {
        (Finding::Pass, "答复内容与条目一致".to_owned(), "the answer says what the entry says".to_owned())
    } else {
        (
            Finding::Fail,
            format!("答复与条目不一致：{listed}"),
            format!("the answer differs from the entry in: {listed}"),
        )
    };
    report.add("answer", finding, zh, en);
}

/// Every value shown must be a disclosed one, member for member as far as it is shown.
fn values_agree(shown: Option<&Json>, claims: &Claims) -> bool {
    let Some(shown) = shown.and_then(Json::as_array) else {
        return claims.values.is_empty();
    };
    shown.iter().all(|value| {
        let index = value.get("index").and_then(Json::as_u64);
        let entry = claims.values.iter().find(|entry| Some(u64::from(entry.index)) == index);
        entry.and_then(|entry| serde_json::to_value(entry).ok()).is_some_and(|entry| {
            value
                .as_object()
                .is_some_and(|members| members.iter().all(|(name, member)| entry.get(name) == Some(member)))
        })
    })
}

/// A claim as JSON; one that cannot be encoded equals nothing that an answer shows.
fn json(claim: &impl Serialize) -> Json {
    serde_json::to_value(claim).unwrap_or(Json::Null)
}
