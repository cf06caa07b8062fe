//! Examples: requests that are sent as they stand (tests/openapi.rs), with the answers that were recorded when they were.
//!
//! `answers.json` holds the answers; `UPDATE_DOCS=1 cargo test --test openapi` writes it anew.

use serde_json::{Map, Value as Json, json};

use super::parameter::{In, Parameter};
use crate::model::text::Text;

/// A request that shows something. Its values stand in the document at their places, all under its name.
pub struct Example {
    pub name: &'static str,
    about: Text,
    values: Vec<(In, &'static str, Json)>,
    body: Option<(&'static str, Json)>,
    pub status: u16,
    /// When it is sent: those of one step in the order of the operations; in the document its place among all.
    pub step: u32,
}

impl Example {
    pub fn new(name: &'static str, zh: &str, en: &str) -> Self {
        Self { name, about: Text::new(zh, en), values: Vec::new(), body: None, status: 200, step: 0 }
    }

    /// A parameter in the path. Where the answer to an earlier example leads here, what that said is sent in its place.
    pub fn path(mut self, name: &'static str, value: &str) -> Self {
        self.values.push((In::Path, name, value.into()));
        self
    }

    pub fn query(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.values.push((In::Query, name, value.into()));
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.values.push((In::Header, name, value.into()));
        self
    }

    pub fn json(self, body: Json) -> Self {
        self.body("application/json", body)
    }

    /// A body that is text of another media type, or JSON.
    pub fn body(mut self, media_type: &'static str, body: impl Into<Json>) -> Self {
        self.body = Some((media_type, body.into()));
        self
    }

    /// The status that it ends with, if not 200.
    pub fn ends(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Sent after all those of earlier steps.
    pub fn in_step(mut self, step: u32) -> Self {
        self.step = step;
        self
    }

    pub(super) fn value_of(&self, parameter: &Parameter) -> Option<&Json> {
        let found = self.values.iter().find(|(place, name, _)| *place == parameter.place && *name == parameter.name);
        found.map(|(_, _, value)| value)
    }

    pub(super) fn body_for(&self, media_type: &str) -> Option<(String, Json)> {
        let (_, body) = self.body.as_ref().filter(|(own, _)| *own == media_type)?;
        Some((self.name.to_owned(), self.shown(body)))
    }

    /// An item of x-examples: what the example's other parts, which stand at their places under its name, do not say.
    pub(super) fn to_json(&self) -> Json {
        let values = |wanted: In| -> Map<String, Json> {
            let of_place = self.values.iter().filter(|(place, ..)| *place == wanted);
            of_place.map(|(_, name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        json!({
            "name": self.name,
            "summary": super::both(&self.about),
            "query": values(In::Query),
            "headers": values(In::Header),
            "status": self.status,
            "step": self.step,
        })
    }

    /// The example object (OpenAPI 3.1, section 4.8.19).
    pub(super) fn shown(&self, value: &Json) -> Json {
        json!({"summary": super::both(&self.about), "value": value})
    }
}

/// What examples were answered with: `{"operation/example": {"type": media type, "body": …}}`.
pub struct Recorded(Map<String, Json>);

impl Recorded {
    #[must_use]
    pub fn of(answers: Map<String, Json>) -> Self {
        Self(answers)
    }

    /// The answers that this program was built with.
    #[must_use]
    pub fn built_in() -> Self {
        // A file of the program's own; a broken one leaves the document without answers, which its test sees.
        Self(serde_json::from_str(include_str!("answers.json")).unwrap_or_default())
    }

    pub(super) fn answer(&self, operation: &str, example: &str, media_type: &str) -> Option<&Json> {
        let answer = self.0.get(&format!("{operation}/{example}"))?;
        (answer.get("type")? == media_type).then(|| answer.get("body"))?
    }
}
