//! `/v1/admin/log`: how the log is kept while the node runs; `/v1/admin/reload`: the configuration read again.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value as Json, json};

use super::call::Call;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use super::{Desk, body, negotiation};
use crate::codec::answers;
use crate::config::{LogSpec, RequestLines};
use crate::model::field::FieldError;
use crate::model::permitted::Action;
use crate::model::text::Text;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::operate::{ChangeLog, ReadLog, Reload};

const MERGE_PATCH: &str = "application/merge-patch+json";
/// A filter that says something about every module is shorter.
pub(super) const MAX_FILTER_BYTES: usize = 4096;

pub(super) async fn log(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, ReadLog)?;
    let log = desk.services.log(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, document(&log)))
}

pub(super) async fn change_log(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    Query::of(&call.uri, &[])?;
    body::expect_type(&call.headers, &[JSON, MERGE_PATCH])?;
    body::refuse_encoding(&call.headers)?;
    let bytes = body::whole(std::mem::take(&mut call.body), &call.headers, desk.limits.body_bytes).await;
    call.laps.skip();
    let change = wanted(&body::parse(&bytes?, desk.limits.json_depth)?).map_err(ServiceError::Fields)?;
    let asked = call.permit(&pass, change)?;
    let log = desk.services.change_log(&asked);
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, document(&log?)))
}

pub(super) async fn reload(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Administer)?;
    negotiation::best(&call.headers, &[JSON])?;
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, Reload)?;
    let reloaded = desk.aside(move |services| services.reload(&asked)).await;
    call.laps.end(Step::Service);
    Ok(reply::json(StatusCode::OK, Keep::Never, answers::reloaded(&reloaded?)))
}

fn document(log: &LogSpec) -> Vec<u8> {
    let LogSpec { filter, format, slow_microseconds, requests } = log;
    json!({"filter": filter, "format": format, "slow_microseconds": slow_microseconds, "requests": requests})
        .to_string()
        .into_bytes()
}

/// `{"filter"?, "slow_microseconds"?, "requests"?}`; the values themselves are judged as those of the file are.
fn wanted(json: &Json) -> Result<ChangeLog, Vec<FieldError>> {
    let mut change = ChangeLog::default();
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, code, zh: &str, en: &str| {
        errors.push(FieldError { pointer, code, detail: Text::new(zh, en) });
    };
    let Some(members) = json.as_object() else {
        wrong(String::new(), "wrong_type", "应为对象", "must be an object");
        return Err(errors);
    };
    for (name, value) in members {
        match name.as_str() {
            "filter" => match value.as_str().filter(|text| text.len() <= MAX_FILTER_BYTES) {
                Some(filter) => change.filter = Some(filter.to_owned()),
                None => wrong(
                    "/filter".to_owned(),
                    "wrong_type",
                    "应为不超过 4096 字节的文本，如 \"mingpai=debug,info\"",
                    "must be text of at most 4,096 bytes, such as \"mingpai=debug,info\"",
                ),
            },
            "slow_microseconds" => match value.as_u64() {
                Some(micros) => change.slow_microseconds = Some(micros),
                None => wrong(
                    "/slow_microseconds".to_owned(),
                    "wrong_type",
                    "应为非负整数（微秒），0 为不记",
                    "must be a whole number of microseconds, 0 for none",
                ),
            },
            "requests" => match serde_json::from_value::<RequestLines>(value.clone()) {
                Ok(level) => change.requests = Some(level),
                Err(_) => wrong(
                    "/requests".to_owned(),
                    "unknown_word",
                    "应为 off、error、warn、info、debug 或 trace",
                    "must be off, error, warn, info, debug or trace",
                ),
            },
            name => wrong(
                format!("/{}", name.replace('~', "~0").replace('/', "~1")),
                "unknown_field",
                "没有这个成员；可改的是 filter、slow_microseconds、requests",
                "no such member; filter, slow_microseconds and requests may be changed",
            ),
        }
    }
    if errors.is_empty() { Ok(change) } else { Err(errors) }
}
