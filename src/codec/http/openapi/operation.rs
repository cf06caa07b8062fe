//! One address and verb, as the document tells of it: a builder that reads like the sentence that it becomes.
//!
//! ```text
//! Operation::get("/v1/keys/{id}", "readKey", Tag::Keys, "读取一个密钥", "One API key").keyed(Action::ManageKeys)
//!     .parameter(parameter::key_id()).answer(200, "密钥", "the key", vec![(JSON, Shape::of::<KeyBody>())]).fails(READS)
//! ```
//! What every address has in common (the problems of accept, `Accept-Language`, the credential's own refusals) is added here
//! and not said by each.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::example::{Example, Recorded};
use super::parameter::{self, Parameter};
use super::problems;
use super::schemas::{Schemas, Shape};
pub use super::tag::Tag;
use crate::codec::http::routes::ROUTES;
use crate::codec::problem::Code;
use crate::model::permitted::Action;
use crate::model::principal::Role;
use crate::model::text::Text;

/// Whether a credential is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Never.
    Unasked,
    /// A wrong one is refused; none is needed.
    Open,
    /// One is needed, of whatever role.
    Shown,
    /// One is needed whose role may do this.
    Keyed(Action),
}

struct Body {
    is_required: bool,
    contents: Vec<(&'static str, Shape)>,
}

struct Answer {
    status: u16,
    about: Text,
    contents: Vec<(&'static str, Shape)>,
    headers: Vec<&'static str>,
}

/// A member of an answer that is a path parameter of another operation.
struct Link {
    status: u16,
    operation: &'static str,
    parameter: &'static str,
    expression: &'static str,
}

/// What is answered, and how it may fail.
pub struct Operation {
    pub path: &'static str,
    /// In capitals.
    pub verb: &'static str,
    pub id: &'static str,
    tag: Tag,
    summary: Text,
    about: Vec<Text>,
    access: Access,
    takes_query: bool,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    answers: Vec<Answer>,
    codes: Vec<Code>,
    links: Vec<Link>,
    pub examples: Vec<Example>,
}

impl Operation {
    fn new(verb: &'static str, path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self {
            path,
            verb,
            id,
            tag,
            summary: Text::new(zh, en),
            about: Vec::new(),
            access: Access::Open,
            takes_query: true,
            parameters: Vec::new(),
            body: None,
            answers: Vec::new(),
            codes: Vec::new(),
            links: Vec::new(),
            examples: Vec::new(),
        }
    }

    /// Negotiates what it answers with, as every GET here does.
    pub fn get(path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self::new("GET", path, id, tag, zh, en).fails(&[Code::NotAcceptable])
    }

    pub fn post(path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self::new("POST", path, id, tag, zh, en)
    }

    pub fn put(path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self::new("PUT", path, id, tag, zh, en)
    }

    pub fn patch(path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self::new("PATCH", path, id, tag, zh, en)
    }

    pub fn delete(path: &'static str, id: &'static str, tag: Tag, zh: &str, en: &str) -> Self {
        Self::new("DELETE", path, id, tag, zh, en)
    }

    /// Needs a key whose role may do this.
    pub fn keyed(mut self, action: Action) -> Self {
        self.access = Access::Keyed(action);
        self
    }

    /// Needs a key, whatever its role.
    pub fn shown(mut self) -> Self {
        self.access = Access::Shown;
        self
    }

    /// Looks neither at credentials nor at the query nor at what is accepted.
    pub fn unasked(mut self) -> Self {
        self.access = Access::Unasked;
        self.takes_query = false;
        self.codes.retain(|code| *code != Code::NotAcceptable);
        self
    }

    /// Looks at no credentials.
    pub fn anonymous(mut self) -> Self {
        self.access = Access::Unasked;
        self
    }

    pub fn about(mut self, zh: &str, en: &str) -> Self {
        self.about.push(Text::new(zh, en));
        self
    }

    pub fn parameter(mut self, parameter: Parameter) -> Self {
        self.parameters.push(parameter);
        self
    }

    pub fn parameters(mut self, parameters: Vec<Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// A body of one of these types.
    pub fn body(self, contents: Vec<(&'static str, Shape)>) -> Self {
        self.with_body(true, contents)
    }

    pub fn optional_body(self, contents: Vec<(&'static str, Shape)>) -> Self {
        self.with_body(false, contents)
    }

    fn with_body(mut self, is_required: bool, contents: Vec<(&'static str, Shape)>) -> Self {
        self.body = Some(Body { is_required, contents });
        self.fails(&[Code::BodyBroken, Code::BodyTooLarge, Code::UnsupportedMediaType])
    }

    /// An answer with a body.
    pub fn answer(mut self, status: u16, zh: &str, en: &str, contents: Vec<(&'static str, Shape)>) -> Self {
        self.answers.push(Answer { status, about: Text::new(zh, en), contents, headers: Vec::new() });
        self
    }

    /// The last answer has these headers; they stand in [`problems::HEADERS`].
    pub fn with_headers(mut self, headers: &[&'static str]) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.extend(headers);
        }
        self
    }

    pub fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// What the answer with this status says is a parameter of another operation.
    pub fn leads_to(
        mut self,
        status: u16,
        operation: &'static str,
        parameter: &'static str,
        expression: &'static str,
    ) -> Self {
        self.links.push(Link { status, operation, parameter, expression });
        self
    }

    pub fn example(mut self, example: Example) -> Self {
        self.examples.push(example);
        self
    }

    /// Every code that it can answer with, in the table's order.
    fn codes(&self) -> Vec<Code> {
        let mut codes = self.codes.clone();
        codes.extend(problems::EVERYWHERE);
        if self.takes_query {
            codes.push(Code::QueryInvalid);
        }
        match self.access {
            Access::Unasked => {}
            Access::Open => {}
            Access::Shown => codes.push(Code::MissingCredentials),
            Access::Keyed(_) => codes.extend([Code::MissingCredentials, Code::MirrorReadOnly, Code::Forbidden]),
        }
        if self.access != Access::Unasked {
            codes.extend([Code::BadCredentials, Code::SignatureUnusable, Code::StorageReadFailed]);
        }
        if self.path.contains('{') {
            codes.push(Code::PathMalformed);
        }
        if codes.contains(&Code::IdentifierUnknown) {
            codes.push(Code::MirrorHoldsNoNames);
        }
        Code::ALL.iter().copied().filter(|code| codes.contains(code)).collect()
    }

    /// As the table of routes says.
    fn is_open(&self) -> bool {
        ROUTES.iter().any(|route| route.is_open && route.path.replace("{*", "{") == self.path)
    }

    /// The operation object (OpenAPI 3.1, section 4.8.10).
    pub(super) fn to_json(&self, schemas: &mut Schemas, recorded: &Recorded) -> Json {
        let mut parameters: Vec<Json> =
            self.parameters.iter().map(|parameter| parameter.to_json(schemas, &self.examples)).collect();
        for parameter in parameter::everywhere() {
            parameters.push(json!({"$ref": format!("#/components/parameters/{}", parameter.name)}));
        }
        let mut operation = Map::new();
        operation.insert("operationId".to_owned(), self.id.into());
        operation.insert("tags".to_owned(), json!([self.tag.name()]));
        operation.insert("summary".to_owned(), format!("{} · {}", self.summary.en, self.summary.zh).into());
        if !self.about.is_empty() {
            let paragraphs = |pick: fn(&Text) -> &str| self.about.iter().map(pick).collect::<Vec<_>>().join(" ");
            let chinese = self.about.iter().map(|text| text.zh.as_str()).collect::<String>();
            let english = paragraphs(|text| &text.en);
            operation.insert("description".to_owned(), format!("{english}\n\n{chinese}").into());
        }
        operation.insert("parameters".to_owned(), parameters.into());
        operation.insert(
            "security".to_owned(),
            match self.access {
                Access::Unasked => json!([]),
                Access::Open => json!([{}, {"key": []}, {"signature": []}]),
                Access::Shown | Access::Keyed(_) => json!([{"key": []}, {"signature": []}]),
            },
        );
        if let Access::Keyed(action) = self.access {
            let may: Vec<&str> = Role::GIVEN.into_iter().filter(|role| role.may(action)).map(Role::as_str).collect();
            operation.insert("x-roles".to_owned(), json!(may));
        }
        if let Some(body) = &self.body {
            operation.insert("requestBody".to_owned(), self.body_json(body, schemas));
        }
        operation.insert("responses".to_owned(), self.responses(schemas, recorded));
        let examples: Vec<Json> = self.examples.iter().map(Example::to_json).collect();
        operation.insert("x-examples".to_owned(), examples.into());
        operation.into()
    }

    fn body_json(&self, body: &Body, schemas: &mut Schemas) -> Json {
        let content: Map<String, Json> = body
            .contents
            .iter()
            .map(|(media_type, shape)| {
                let mut content = Map::new();
                content.insert("schema".to_owned(), shape.to_json(schemas));
                let examples: Map<String, Json> =
                    self.examples.iter().filter_map(|example| example.body_for(media_type)).collect();
                if !examples.is_empty() {
                    content.insert("examples".to_owned(), examples.into());
                }
                ((*media_type).to_owned(), content.into())
            })
            .collect();
        json!({"required": body.is_required, "content": content})
    }

    fn responses(&self, schemas: &mut Schemas, recorded: &Recorded) -> Json {
        let (codes, is_open) = (self.codes(), self.is_open());
        let mut responses: BTreeMap<String, Json> = BTreeMap::new();
        for answer in &self.answers {
            responses.insert(answer.status.to_string(), self.answer_json(answer, schemas, recorded));
        }
        let mut statuses: Vec<u16> = codes.iter().map(|code| code.row().status).collect();
        statuses.dedup();
        for status in statuses {
            let of_status: Vec<Code> = codes.iter().copied().filter(|code| code.row().status == status).collect();
            let examples = self.answered(status, problems::MEDIA_TYPE, recorded);
            // Only those that show something are an operation's own.
            let response = if examples.is_empty() {
                let name = problems::component_name(status, &of_status, is_open);
                let reference = json!({"$ref": format!("#/components/responses/{name}")});
                schemas.responses.insert(name, problems::response(status, &of_status, is_open, examples));
                reference
            } else {
                problems::response(status, &of_status, is_open, examples)
            };
            responses.insert(status.to_string(), response);
        }
        responses.into_iter().collect::<Map<_, _>>().into()
    }

    fn answer_json(&self, answer: &Answer, schemas: &mut Schemas, recorded: &Recorded) -> Json {
        let mut response = Map::new();
        response.insert("description".to_owned(), super::both(&answer.about).into());
        response.insert("headers".to_owned(), problems::headers(&answer.headers, self.is_open()));
        let mut content = Map::new();
        for (media_type, shape) in &answer.contents {
            let mut of_type = Map::new();
            of_type.insert("schema".to_owned(), shape.to_json(schemas));
            let examples = self.answered(answer.status, media_type, recorded);
            if !examples.is_empty() {
                of_type.insert("examples".to_owned(), examples.into());
            }
            content.insert((*media_type).to_owned(), of_type.into());
        }
        if !content.is_empty() {
            response.insert("content".to_owned(), content.into());
        }
        let links: Map<String, Json> = self
            .links
            .iter()
            .filter(|link| link.status == answer.status)
            .map(|link| {
                let target = json!({"operationId": link.operation, "parameters": {link.parameter: link.expression}});
                (link.operation.to_owned(), target)
            })
            .collect();
        if !links.is_empty() {
            response.insert("links".to_owned(), links.into());
        }
        response.into()
    }

    /// The recorded answers of the examples that end so.
    fn answered(&self, status: u16, media_type: &str, recorded: &Recorded) -> Map<String, Json> {
        self.examples
            .iter()
            .filter(|example| example.status == status)
            .filter_map(|example| {
                let value = recorded.answer(self.id, example.name, media_type)?;
                Some((example.name.to_owned(), example.shown(value)))
            })
            .collect()
    }
}
