//! A problem as the status of a call: `google.rpc.Status` with the code, the wrong fields, the request's id and when to come
//! back. Clients bound what they take of trailers (gRPC's own libraries at 8 KiB), so what is told here is bounded too.

use std::collections::HashMap;
use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::codec::problem::{Code, Problem};
use crate::model::field::FieldError;
use crate::model::text::Language;

/// The `domain` of every `google.rpc.ErrorInfo` from here; its `reason` is the problem's code.
pub const DOMAIN: &str = "mingpai";

/// In a header every byte that is no ASCII takes three.
const MESSAGE_BYTES: usize = 512;
const VIOLATION_BYTES: usize = 192;
/// Of all violations together.
const VIOLATIONS_BYTES: usize = 2048;

/// What a status was made of, for who counts how calls end.
#[derive(Debug, thiserror::Error)]
#[error("{0:?}")]
struct Told(Code);

/// The status of a problem. `content` is the field of the request that pointers lead into.
pub(super) fn of(problem: &Problem, language: Language, content: &str) -> Status {
    let row = problem.code.row();
    let message = problem.detail.as_ref().map_or(row.title(language), |detail| detail.in_language(language));
    let (violations, omitted) = violations(&problem.errors, language, content);
    let mut told = HashMap::from([
        ("status".to_owned(), row.status.to_string()),
        ("title".to_owned(), row.title(language).to_owned()),
        ("remedy".to_owned(), row.remedy(language).to_owned()),
    ]);
    if omitted > 0 {
        told.insert("omitted_errors".to_owned(), omitted.to_string());
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(row.code, DOMAIN, told);
    if !violations.is_empty() {
        details.set_bad_request(violations);
    }
    if let Some(id) = &problem.request_id {
        details.set_request_info(id, "");
    }
    if let Some(seconds) = problem.retry_after_seconds {
        details.set_retry_info(Some(Duration::from_secs(seconds)));
    }
    let mut status = Status::with_error_details(problem.code.grpc(), cut(message, MESSAGE_BYTES), details);
    status.set_source(std::sync::Arc::new(Told(problem.code)));
    status
}

/// The code that a status of ours was made of.
pub(super) fn code(status: &Status) -> Option<Code> {
    let told: &Told = std::error::Error::source(status)?.downcast_ref()?;
    Some(told.0)
}

/// As many as fit, and how many do not.
fn violations(errors: &[FieldError], language: Language, content: &str) -> (Vec<FieldViolation>, usize) {
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for error in errors {
        let mut violation = FieldViolation::new(
            cut(&field(&error.pointer, content), VIOLATION_BYTES),
            cut(error.detail.in_language(language), VIOLATION_BYTES),
        );
        error.code.clone_into(&mut violation.reason);
        bytes += violation.field.len() + violation.description.len() + violation.reason.len() + 16;
        if bytes > VIOLATIONS_BYTES {
            break;
        }
        kept.push(violation);
    }
    let omitted = errors.len() - kept.len();
    (kept, omitted)
}

/// Fields of requests beside their content.
const BESIDE: [&str; 4] = ["identifier", "prefix", "precondition", "idempotency_key"];

/// A JSON pointer as the path of a field: `/values/0/index` in `draft` is `draft.values[0].index`. Inside data, where
/// protobuf has a field for each format and JSON a `value`, the path ends at the data, or at an item of its list.
fn field(pointer: &str, content: &str) -> String {
    let mut path = String::new();
    let mut inside_data = false;
    for (at, step) in pointer.split('/').skip(1).enumerate() {
        let step = step.replace("~1", "/").replace("~0", "~");
        let is_item = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
        if at == 0 && !content.is_empty() && !BESIDE.contains(&step.as_str()) {
            path.push_str(content);
        }
        match (is_item, inside_data) {
            (true, true) => path.push_str(&format!(".list.items[{step}]")),
            (true, false) => path.push_str(&format!("[{step}]")),
            (false, true) => {}
            (false, false) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&step);
            }
        }
        inside_data |= step == "data";
    }
    // An identifier's own rules are told without a pointer.
    match (path.is_empty(), content) {
        (false, _) => path,
        (true, "") => "identifier".to_owned(),
        (true, content) => content.to_owned(),
    }
}

/// At most so many bytes, ending where a letter does.
fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::model::text::Text;

    #[test]
    fn every_problem_is_a_status_with_its_code() {
        for code in Code::ALL.iter().copied() {
            let status = of(&Problem::new(code).for_request("r-1"), Language::Zh, "");
            assert_ne!(status.code(), tonic::Code::Ok);
            assert_eq!(super::code(&status), Some(code));
            let details = status.get_error_details();
            let told = details.error_info().unwrap();
            assert_eq!((told.reason.as_str(), told.domain.as_str()), (code.row().code, DOMAIN));
            assert_eq!(told.metadata["status"], code.row().status.to_string());
            assert_eq!(details.request_info().unwrap().request_id, "r-1");
            let wait = details.retry_info().and_then(|info| info.retry_delay).map(|wait| wait.as_secs());
            assert_eq!(wait, code.row().retry_after_seconds);
        }
    }

    #[test]
    fn a_pointer_becomes_the_path_of_a_field() {
        for (pointer, content, path) in [
            ("/values/0/index", "draft", "draft.values[0].index"),
            ("/values/12/data/value", "draft", "draft.values[12].data"),
            ("/values/1/data/value/3/value", "patch", "patch.values[1].data.list.items[3]"),
            ("/template", "draft", "draft.template"),
            ("", "draft", "draft"),
            ("", "", "identifier"),
            ("/identifiers/3", "", "identifiers[3]"),
            ("/idempotency_key", "draft", "idempotency_key"),
            ("/a~1b~0", "", "a/b~"),
        ] {
            assert_eq!(field(pointer, content), path, "{pointer}");
        }
    }

    #[test]
    fn however_much_is_wrong_the_trailers_stay_small() {
        let long = "错".repeat(2000);
        let error = |at: usize| FieldError {
            pointer: format!("/values/{at}/type"),
            code: "too_long",
            detail: Text::new(long.clone(), long.clone()),
        };
        let problem = Problem::new(Code::FieldsInvalid)
            .with_detail(long.clone(), long.clone())
            .with_errors((0..100).map(error).collect());
        let status = of(&problem, Language::Zh, "draft");
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers).unwrap();
        let bytes: usize = trailers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 7 * 1024, "{bytes}");
        let details = status.get_error_details();
        let kept = details.bad_request().unwrap().field_violations.len();
        assert!(kept > 3);
        let omitted: usize = details.error_info().unwrap().metadata["omitted_errors"].parse().unwrap();
        assert_eq!(kept + omitted, 100);
    }
}
