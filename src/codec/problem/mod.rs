//! What went wrong, as RFC 9457 `application/problem+json`, in Chinese or English.
//!
//! The only place where a status code is decided: every stage below has its own errors, the handlers turn them into a
//! [`Problem`] of one [`Code`]. Titles, statuses and remedies stand in `table`, once, and docs/problems.md is made
//! from it.

pub mod grpc;
mod row;
mod table;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

pub use table::{Code, Row};

use super::json::{JsonError, JsonErrorKind};
use crate::model::draft::FieldError;
use crate::model::identifier::IdentifierError;
use crate::model::text::{Language, Text};

/// The media type of every body made here.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One failed request, before it is put into a language.
#[derive(Clone, Debug)]
pub struct Problem {
    pub code: Code,
    /// What happened here, to which identifier; the code's title says the general part.
    pub detail: Option<Text>,
    pub errors: Vec<FieldError>,
    /// The path that was asked.
    pub instance: Option<String>,
    pub request_id: Option<String>,
    pub retry_after_seconds: Option<u64>,
}

impl Problem {
    #[must_use]
    pub fn new(code: Code) -> Self {
        let retry_after_seconds = code.row().retry_after_seconds;
        Self { code, detail: None, errors: Vec::new(), instance: None, request_id: None, retry_after_seconds }
    }

    #[must_use]
    pub fn with_detail(mut self, zh: impl Into<String>, en: impl Into<String>) -> Self {
        self.detail = Some(Text::new(zh, en));
        self
    }

    #[must_use]
    pub fn with_text(mut self, detail: Text) -> Self {
        self.detail = Some(detail);
        self
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    #[must_use]
    pub fn at(mut self, instance: impl Into<String>) -> Self {
        self.instance = Some(instance.into());
        self
    }

    #[must_use]
    pub fn for_request(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = Some(request_id.into());
        self
    }

    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The JSON body.
    #[must_use]
    pub fn body(&self, language: Language) -> Bytes {
        let row = self.code.row();
        let body = Body {
            r#type: format!("urn:mingpai:problem:{}", row.code),
            title: row.title(language),
            status: row.status,
            detail: self.detail.as_ref().map(|detail| detail.in_language(language)),
            remedy: row.remedy(language),
            instance: self.instance.as_deref(),
            code: row.code,
            request_id: self.request_id.as_deref(),
            errors: self.errors.iter().map(|member| MemberBody::of(member, language)).collect(),
        };
        // Serialising strings and numbers into memory has no failure to report.
        serde_json::to_vec(&body).unwrap_or_default().into()
    }

    /// Status, headers and body. A problem is never kept by a cache, except what `cache_control` of the caller
    /// replaces.
    #[must_use]
    pub fn to_response(&self, language: Language) -> Response<Bytes> {
        let mut response = Response::new(self.body(language));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(super::language::tag(language)));
        headers.insert(VARY, HeaderValue::from_static("accept-language"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mingpai\""));
        }
        response
    }
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl From<&IdentifierError> for Problem {
    fn from(error: &IdentifierError) -> Self {
        let member = FieldError { pointer: String::new(), code: error.code(), detail: error.text() };
        Self::new(Code::IdentifierInvalid).with_text(error.text()).with_errors(vec![member])
    }
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        let (line, column) = (error.line, error.column);
        let (code, reason) = match &error.kind {
            JsonErrorKind::NotUtf8 => (Code::JsonSyntax, Text::new("不是 UTF-8", "not UTF-8")),
            JsonErrorKind::Syntax(reason) => (Code::JsonSyntax, Text::new(reason, reason)),
            JsonErrorKind::TooDeep { limit } => {
                (Code::JsonTooDeep, Text::new(format!("嵌套超过 {limit} 层"), format!("nested deeper than {limit}")))
            }
            JsonErrorKind::DuplicateKey(key) => (
                Code::JsonDuplicateKey,
                Text::new(format!("键 \"{key}\" 出现了两次"), format!("the key \"{key}\" occurs twice")),
            ),
            JsonErrorKind::InexactNumber(number) => (
                Code::JsonNumberInexact,
                Text::new(format!("数字 {number} 无法精确保存"), format!("the number {number} cannot be kept exactly")),
            ),
        };
        let detail = Text::new(
            format!("第 {line} 行第 {column} 列: {}", reason.zh),
            format!("line {line}, column {column}: {}", reason.en),
        );
        let member = error.pointer.map(|pointer| FieldError { pointer, code: code.row().code, detail: reason });
        Self::new(code).with_text(detail).with_errors(member.into_iter().collect())
    }
}

/// A problem (RFC 9457), in the language that Accept-Language prefers · 错误
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    remedy: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<MemberBody<'a>>,
}

/// What is wrong with one member of what was sent · 字段错误
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ProblemMember")]
pub(super) struct MemberBody<'a> {
    pointer: &'a str,
    code: &'a str,
    detail: &'a str,
}

impl<'a> MemberBody<'a> {
    fn of(member: &'a FieldError, language: Language) -> Self {
        Self { pointer: &member.pointer, code: member.code, detail: member.detail.in_language(language) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::codec::json;

    fn body(problem: &Problem, language: Language) -> Value {
        serde_json::from_slice(&problem.body(language)).unwrap()
    }

    #[test]
    fn a_problem_has_the_members_of_rfc_9457_and_ours() {
        let problem = Problem::new(Code::FieldsInvalid)
            .with_detail("两处有误", "two members are wrong")
            .with_errors(vec![FieldError {
                pointer: "/values/0/index".to_owned(),
                code: "index_zero",
                detail: Text::new("索引为零", "the index is zero"),
            }])
            .at("/v1/records/88.1/a")
            .for_request("r-1");
        assert_eq!(
            body(&problem, Language::En),
            json!({
                "type": "urn:mingpai:problem:fields_invalid",
                "title": Code::FieldsInvalid.row().title(Language::En),
                "status": 422,
                "detail": "two members are wrong",
                "remedy": Code::FieldsInvalid.row().remedy(Language::En),
                "instance": "/v1/records/88.1/a",
                "code": "fields_invalid",
                "request_id": "r-1",
                "errors": [{"pointer": "/values/0/index", "code": "index_zero", "detail": "the index is zero"}],
            })
        );
        let chinese = body(&problem, Language::Zh);
        assert_eq!(chinese["detail"], "两处有误");
        assert_eq!(chinese["errors"][0]["detail"], "索引为零");
    }

    #[test]
    fn the_headers_say_type_language_and_when_to_come_back() {
        let response = Problem::new(Code::Overloaded).to_response(Language::Zh);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[CONTENT_LANGUAGE], "zh-CN");
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        let response = Problem::new(Code::MissingCredentials).to_response(Language::En);
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer realm=\"mingpai\"");
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn every_json_error_becomes_its_own_code_with_its_place() {
        let cases: [(&[u8], Code); 5] = [
            (b"{\"a\":}", Code::JsonSyntax),
            (b"\"\xff\"", Code::JsonSyntax),
            (b"[[[[1]]]]", Code::JsonTooDeep),
            (b"{\"a\":1,\"a\":1}", Code::JsonDuplicateKey),
            (b"1e-999", Code::JsonNumberInexact),
        ];
        for (text, code) in cases {
            let problem = Problem::from(json::parse(text, 3).unwrap_err());
            assert_eq!(problem.code, code);
            assert!(problem.detail.unwrap().en.starts_with("line 1, column "));
        }
        let problem = Problem::from(json::parse(b"{\"a\":1,\"a\":1}", 3).unwrap_err());
        assert_eq!(problem.errors[0].pointer, "/a");
    }
}
