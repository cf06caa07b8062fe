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
use crate::model::field::{FieldError, pointer_step};
use crate::model::filter::Filter;
use crate::model::permitted::Action;
use crate::model::text::Text;
use crate::observe::laps::Step;
use crate::services::ServiceError;
use crate::services::import::{Chosen, JobView, Operation, StartBulk, StartUndo};

const JOBS: &str = "/v1/imports/";

pub(super) async fn start(desk: Arc<Desk>, mut call: Call) -> Reply {
    let pass = call.admit(&desk, Action::Register)?;
    Query::of(&call.uri, &[])?;
    let sent = std::mem::take(&mut call.body);
    let (_, json) = body::document(sent, &call.headers, &[JSON], &desk.limits).await?;
    if json.get("dry_run") != Some(&Json::Bool(true)) {
        desk.services.may_sign()?;
    }
    let bulk = Reading::default().bulk(json).map_err(ServiceError::Fields)?;
    let asked = call.permit(&pass, bulk)?;
    let services = Arc::clone(&desk.services);
    let view = desk.aside(move |_| services.start_bulk(asked)).await;
    begun(&call, &view?)
}

pub(super) async fn undo(desk: Arc<Desk>, call: Call) -> Reply {
    let pass = call.admit_writer(&desk, Action::Register)?;
    let text = call.text_after(JOBS)?;
    let id = text.strip_suffix("/undo").unwrap_or(&text).to_owned();
    Query::of(&call.uri, &[])?;
    let asked = call.permit(&pass, StartUndo { id })?;
    let services = Arc::clone(&desk.services);
    let view = desk.aside(move |_| services.undo_import(asked)).await;
    begun(&call, &view?)
}

fn begun(call: &Call, view: &JobView) -> Result<http::Response<axum::body::Body>, Failure> {
    call.laps.end(Step::Service);
    let mut response = reply::json(StatusCode::ACCEPTED, Keep::Never, answers::job(view, call.language));
    reply::add_location(&mut response, format!("{JOBS}{}", view.id));
    call.laps.end(Step::Encode);
    Ok(response)
}

/// A body on its way to a request, with everything that is wrong with it.
#[derive(Default)]
struct Reading(Vec<FieldError>);

impl Reading {
    fn bulk(mut self, json: Json) -> Result<StartBulk, Vec<FieldError>> {
        let mut object = self.object(Some(json), "");
        let filter = self.object(object.remove("filter"), "/filter");
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
        let filter = self.filter(filter);
        self.no_others(&object);
        match operation {
            Some(operation) if self.0.is_empty() => {
                Ok(StartBulk { chosen: Chosen { filter, patch }, operation, dry_run })
            }
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

    /// The parameters of a filter as members: a text each, or a list of texts.
    fn filter(&mut self, members: Map<String, Json>) -> Filter {
        let mut filter = Filter::default();
        for (name, json) in members {
            let pointer = format!("/filter/{}", pointer_step(&name));
            if !Filter::PARAMETERS.contains(&name.as_str()) {
                self.complain(&pointer, "unknown_field", Text::new("没有这个成员", "there is no such member"));
                continue;
            }
            let words: Option<Vec<&str>> = match &json {
                Json::String(word) => Some(vec![word.trim()]),
                Json::Array(words) if !words.is_empty() => words.iter().map(Json::as_str).collect(),
                _ => None,
            };
            let Some(words) = words else {
                let text = Text::new("应为文本，或文本的列表", "must be a text, or a list of texts");
                self.complain(&pointer, "wrong_type", text);
                continue;
            };
            if let Some(text) = words.into_iter().find_map(|word| filter.set(&name, word).err()) {
                self.complain(&pointer, "bad_condition", text);
            }
        }
        // Without one a typing error would change everything that the node has.
        if filter.prefix.is_none() && !self.0.iter().any(|error| error.pointer == "/filter/prefix") {
            let text = Text::new("必须指明前缀，如 88.999.1", "must name a prefix, such as 88.999.1");
            self.complain("/filter/prefix", "required", text);
        }
        filter
    }

    fn no_others(&mut self, object: &Map<String, Json>) {
        for name in object.keys() {
            let pointer = format!("/{}", pointer_step(name));
            self.complain(&pointer, "unknown_field", Text::new("没有这个成员", "there is no such member"));
        }
    }
}
