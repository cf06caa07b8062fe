//! `POST /v1/bulk`: one change for every record that a filter matches. `POST /v1/imports/{id}/undo`: take a job back. Both
//! become jobs as imports do, with the same addresses.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value as Json};

use super::Desk;
use super::body;
use super::call::Call;
use super::failure::Failure;
use super::query::Query;
use super::reply::{self, JSON, Keep, Reply};
use crate::codec::answers;
use crate::metrics::Stage;
use crate::model::field::FieldError;
use crate::model::permitted::Action;
use crate::model::record::Status;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::services::ServiceError;
use crate::services::import::{Filter, JobView, Operation, StartBulk, StartUndo};

const JOBS: &str = "/v1/imports/";
/// Words that a filter may name, of one kind.
const MOST_WORDS: usize = 64;

pub(super) async fn start(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    Query::of(&call.uri, &[])?;
    let sent = std::mem::take(&mut call.body);
    let (_, json) = body::document(sent, &call.headers, &[JSON], &desk.limits).await?;
    let bulk = Reading::default().bulk(json).map_err(ServiceError::Fields)?;
    let asked = call.permit(&pass, bulk)?;
    let services = Arc::clone(&desk.services);
    let view = desk.aside(move |_| services.start_bulk(asked)).await;
    begun(&call, &view?)
}

pub(super) async fn undo(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    let text = call.text_after(JOBS)?;
    let id = text.strip_suffix("/undo").unwrap_or(&text).to_owned();
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, StartUndo { id })?;
    let services = Arc::clone(&desk.services);
    let view = desk.aside(move |_| services.undo_import(asked)).await;
    begun(&call, &view?)
}

fn begun(call: &Call, view: &JobView) -> Result<http::Response<axum::body::Body>, Failure> {
    call.laps.end(Stage::Service);
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, answers::job(view, call.language));
    reply::add_location(&mut response, format!("{JOBS}{}", view.id));
    call.laps.end(Stage::Encode);
    Ok(response)
}

/// A body on its way to a request, with everything that is wrong with it.
#[derive(Default)]
struct Reading(Vec<FieldError>);

impl Reading {
    fn bulk(mut self, json: Json) -> Result<StartBulk, Vec<FieldError>> {
        let mut object = self.object(Some(json), "");
        let mut filter = self.object(object.remove("filter"), "/filter");
        let operation = self.operation(object.remove("operation"));
        let patch = object.remove("patch");
        if (operation == Some(Operation::Patch)) != patch.is_some() {
            let code = if patch.is_some() { "unknown_field" } else { "required" };
            let text =
                Text::new("patch 与 operation=patch 须同时给出", "goes with the operation patch, and only with it");
            self.complain("/patch", code, text);
        }
        let dry_run = match object.remove("dry_run") {
            None => false,
            Some(Json::Bool(dry_run)) => dry_run,
            Some(_) => {
                self.complain("/dry_run", "wrong_type", Text::new("应为 true 或 false", "must be true or false"));
                false
            }
        };
        let found = Filter {
            prefix: self.prefix(filter.remove("prefix")),
            status: self.status(filter.remove("status")),
            types: self.words(filter.remove("type"), "/filter/type"),
            updated: self.span(&mut filter, "updated_from", "updated_before"),
            registered: self.span(&mut filter, "registered_from", "registered_before"),
            patch,
        };
        self.no_others(&object, "");
        self.no_others(&filter, "/filter");
        match operation {
            Some(operation) if self.0.is_empty() => Ok(StartBulk { filter: found, operation, dry_run }),
            _ => Err(self.0),
        }
    }

    fn complain(&mut self, pointer: &str, code: &'static str, detail: Text) {
        self.0.push(FieldError { pointer: pointer.to_owned(), code, detail });
    }

    fn object(&mut self, json: Option<Json>, pointer: &str) -> Map<String, Json> {
        match json {
            Some(Json::Object(object)) => object,
            _ => {
                self.complain(pointer, "wrong_type", Text::new("应为 JSON 对象", "must be a JSON object"));
                Map::new()
            }
        }
    }

    fn operation(&mut self, json: Option<Json>) -> Option<Operation> {
        let found = json.as_ref().and_then(Json::as_str).and_then(Operation::from_word);
        match found {
            Some(operation) if operation != Operation::Put => Some(operation),
            _ => {
                let words = "patch, activate, suspend, recall, retire, delete";
                self.complain(
                    "/operation",
                    "unknown_word",
                    Text::new(format!("应为 {words} 之一"), format!("must be one of {words}")),
                );
                None
            }
        }
    }

    /// Without one a typing error would change everything that the node has.
    fn prefix(&mut self, json: Option<Json>) -> String {
        match json {
            Some(Json::String(prefix)) if !prefix.trim().is_empty() => prefix.trim().to_owned(),
            _ => {
                let text = Text::new("必须指明前缀，如 88.999.1", "must name a prefix, such as 88.999.1");
                self.complain("/filter/prefix", "required", text);
                String::new()
            }
        }
    }

    fn status(&mut self, json: Option<Json>) -> Vec<Status> {
        let words = self.words(json, "/filter/status");
        let known = |word: &String| Status::from_word(word).filter(|status| *status != Status::Deleted);
        if !words.iter().all(|word| known(word).is_some()) {
            let all = "active, suspended, recalled, retired";
            let text = Text::new(format!("应为 {all} 之一"), format!("must be one of {all}"));
            self.complain("/filter/status", "unknown_word", text);
        }
        words.iter().filter_map(known).collect()
    }

    /// One text, or a list of some.
    fn words(&mut self, json: Option<Json>, pointer: &str) -> Vec<String> {
        let is_good = |word: &String| !word.is_empty() && word.len() <= 255;
        let words: Option<Vec<String>> = match json {
            None => return Vec::new(),
            Some(Json::String(word)) => Some(vec![word]),
            Some(Json::Array(words)) if (1..=MOST_WORDS).contains(&words.len()) => {
                words.into_iter().map(|word| word.as_str().map(str::to_owned)).collect()
            }
            Some(_) => None,
        };
        words.filter(|words| words.iter().all(is_good)).unwrap_or_else(|| {
            let text = Text::new(
                format!("应为文本，或 1 至 {MOST_WORDS} 个文本的列表"),
                format!("must be a text, or a list of 1 to {MOST_WORDS} texts"),
            );
            self.complain(pointer, "wrong_type", text);
            Vec::new()
        })
    }

    fn span(
        &mut self,
        filter: &mut Map<String, Json>,
        from: &str,
        before: &str,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        let mut moment = |name: &str| {
            let json = filter.remove(name)?;
            let moment = json.as_str().and_then(|text| Timestamp::parse(text).ok());
            if moment.is_none() {
                let text = Text::new("应为 RFC 3339 时间", "must be a time as RFC 3339 writes it");
                self.complain(&format!("/filter/{name}"), "bad_time", text);
            }
            moment
        };
        (moment(from), moment(before))
    }

    fn no_others(&mut self, object: &Map<String, Json>, pointer: &str) {
        for name in object.keys() {
            let text = Text::new("没有这个成员", "there is no such member");
            self.complain(&format!("{pointer}/{name}"), "unknown_field", text);
        }
    }
}
