//! Strict JSON: text from outside to a `serde_json::Value`, or the place and the reason why not.
//!
//! Stricter than RFC 8259 asks: nesting is bounded before it is entered, a key may occur once in an object, nothing
//! follows the value, the bytes are UTF-8, and a number must survive the trip through the machine's numbers, because
//! what is signed must be what was sent. Not here: what the members mean (model/draft), and lines of NDJSON
//! (`lines`).

mod number;

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use crate::model::field::pointer_step;

/// What was wrong, and where. Line and column count from 1, the column in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line} column {column}")]
pub struct JsonError {
    pub kind: JsonErrorKind,
    pub line: usize,
    pub column: usize,
    /// JSON Pointer (RFC 6901) of the value being read, as far as it was known.
    pub pointer: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    #[error("not UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Syntax(String),
    #[error("nested deeper than {limit}")]
    TooDeep { limit: usize },
    #[error("the key \"{0}\" occurs twice")]
    DuplicateKey(String),
    #[error("the number {0} cannot be kept exactly; send it as a string")]
    InexactNumber(String),
}

/// Parses one JSON value that fills `bytes`.
///
/// `depth` counts open arrays and objects; the parser never recurses deeper, whatever the input holds. At most 100,
/// since serde_json's own guard stands at 128.
pub fn parse(bytes: &[u8], depth: usize) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = position(bytes, error.valid_up_to());
        JsonError { kind: JsonErrorKind::NotUtf8, line, column, pointer: None }
    })?;
    let trail = Trail { limit: depth, path: RefCell::default(), fault: RefCell::default() };
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Strict { trail: &trail, depth: 0 }
        .deserialize(&mut parser)
        .and_then(|value| parser.end().map(|()| value))
        .map_err(|error| trail.explain(&error))?;
    match number::inexact(text) {
        None => Ok(value),
        Some((at, number)) => {
            let (line, column) = position(bytes, at);
            Err(JsonError { kind: JsonErrorKind::InexactNumber(number.to_owned()), line, column, pointer: None })
        }
    }
}

fn position(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    (line, column)
}

/// What the visitors know together: the limit, what stopped them, and where.
struct Trail {
    limit: usize,
    /// Written by those who leave with an error, from the inside out: what goes well costs nothing here.
    path: RefCell<Vec<Step>>,
    fault: RefCell<Option<JsonErrorKind>>,
}

enum Step {
    Key(String),
    Index(usize),
}

impl Trail {
    fn explain(&self, error: &serde_json::Error) -> JsonError {
        let kind = self.fault.take().unwrap_or_else(|| {
            let text = error.to_string();
            let reason = text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
            JsonErrorKind::Syntax(reason.to_owned())
        });
        JsonError { kind, line: error.line(), column: error.column(), pointer: Some(self.pointer()) }
    }

    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for step in self.path.borrow().iter().rev() {
            pointer.push('/');
            match step {
                Step::Key(key) => pointer.push_str(&pointer_step(key)),
                Step::Index(index) => pointer.push_str(&index.to_string()),
            }
        }
        pointer
    }

    fn stop<E: serde::de::Error>(&self, kind: JsonErrorKind) -> E {
        let error = E::custom(&kind);
        self.fault.replace(Some(kind));
        error
    }

    fn passed(&self, step: Step) {
        self.path.borrow_mut().push(step);
    }
}

/// Reads one value with `depth` containers open around it.
#[derive(Clone, Copy)]
struct Strict<'t> {
    trail: &'t Trail,
    depth: usize,
}

impl Strict<'_> {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= self.trail.limit {
            return Err(self.trail.stop(JsonErrorKind::TooDeep { limit: self.trail.limit }));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<Value, D::Error> {
        parser.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.inside()?;
        let mut list = Vec::new();
        loop {
            match elements.next_element_seed(inner) {
                Ok(Some(element)) => list.push(element),
                Ok(None) => return Ok(Value::Array(list)),
                Err(error) => {
                    self.trail.passed(Step::Index(list.len()));
                    return Err(error);
                }
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.inside()?;
        let mut object = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            match object.entry(key) {
                Entry::Occupied(known) => {
                    let key = known.key().clone();
                    self.trail.passed(Step::Key(key.clone()));
                    return Err(self.trail.stop(JsonErrorKind::DuplicateKey(key)));
                }
                Entry::Vacant(place) => match members.next_value_seed(inner) {
                    Ok(value) => drop(place.insert(value)),
                    Err(error) => {
                        self.trail.passed(Step::Key(place.key().clone()));
                        return Err(error);
                    }
                },
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn error(text: impl AsRef<[u8]>) -> JsonError {
        parse(text.as_ref(), 32).expect_err("must be refused")
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let value = parse(r#" {"a":[null,true,-1,18446744073709551615,1.5,"\u4e2d"],"b":{}} "#.as_bytes(), 32).unwrap();
        assert_eq!(value, json!({"a": [null, true, -1, 18_446_744_073_709_551_615_u64, 1.5, "中"], "b": {}}));
    }

    #[test]
    fn nesting_is_allowed_up_to_the_limit_and_refused_beyond() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(32).as_bytes(), 32).is_ok());
        let refused = error(nested(33));
        assert_eq!(refused.kind, JsonErrorKind::TooDeep { limit: 32 });
        assert_eq!(refused.pointer.unwrap(), "/0".repeat(32));
        let objects = |depth: usize| format!("{}1{}", "{\"k\":".repeat(depth), "}".repeat(depth));
        assert!(parse(objects(32).as_bytes(), 32).is_ok());
        assert_eq!(error(objects(33)).kind, JsonErrorKind::TooDeep { limit: 32 });
    }

    #[test]
    fn a_million_open_brackets_neither_overflow_nor_cost_more_than_the_limit() {
        for unit in ["[", "{\"a\":", "[{\"a\":"] {
            assert_eq!(error(unit.repeat(1_000_000)).kind, JsonErrorKind::TooDeep { limit: 32 });
        }
        assert!(matches!(
            parse("[".repeat(1_000_000).as_bytes(), 100).unwrap_err().kind,
            JsonErrorKind::TooDeep { .. }
        ));
    }

    #[test]
    fn a_key_that_occurs_twice_is_named_by_its_pointer() {
        let refused = error(r#"{"values":[{"index":1},{"a/b~":1,"a/b~":2}]}"#);
        assert_eq!(refused.kind, JsonErrorKind::DuplicateKey("a/b~".to_owned()));
        assert_eq!(refused.pointer.as_deref(), Some("/values/1/a~1b~0"));
        // The same key, spelled with an escape.
        assert!(matches!(error(r#"{"a":1,"\u0061":2}"#).kind, JsonErrorKind::DuplicateKey(_)));
        // In different objects it may occur.
        assert!(parse(br#"[{"a":1},{"a":1}]"#, 32).is_ok());
    }

    #[test]
    fn a_syntax_error_has_line_column_and_pointer() {
        let refused = error("{\n  \"a\": [1, 2,, 3]\n}");
        assert_eq!((refused.line, refused.column), (2, 14));
        assert_eq!(refused.pointer.as_deref(), Some("/a/2"));
        let JsonErrorKind::Syntax(reason) = refused.kind else { panic!("{refused:?}") };
        assert!(!reason.contains("line"), "{reason}");
    }

    #[test]
    fn bytes_after_the_value_and_an_empty_text_are_refused() {
        for text in ["1 2", "{}x", "[] ]", "", "  ", "{", "nul"] {
            assert!(matches!(error(text).kind, JsonErrorKind::Syntax(_)), "{text}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_refused_where_it_begins() {
        let refused = error(b"{\n\"a\":\"\xff\"}");
        assert_eq!(refused.kind, JsonErrorKind::NotUtf8);
        assert_eq!((refused.line, refused.column), (2, 6));
        assert_eq!(error(b"\"\xed\xa0\x80\"").kind, JsonErrorKind::NotUtf8);
        assert!(matches!(error(r#""\ud800""#).kind, JsonErrorKind::Syntax(_)));
    }

    #[test]
    fn a_number_that_would_change_is_refused_and_one_that_would_not_is_kept() {
        for good in [
            "0.1",
            "1.50",
            "-0.0",
            "1e3",
            "1E-7",
            "9007199254740993",
            "123456789.12345679",
            "0.30000000000000004",
            // serde_json writes the f64 so, the standard library with a 3 at its end.
            "-223036581376713.62",
        ] {
            assert!(parse(good.as_bytes(), 1).is_ok(), "{good}");
        }
        for bad in [
            "18446744073709551616",
            "12345678901234567890.5",
            "0.1000000000000000055",
            "1e-400",
            "1e00000000000000000001",
        ] {
            let text = format!("[\"1e999 \\\" 99999999999999999999\", {bad}]");
            let outcome = parse(text.as_bytes(), 1);
            if bad == "1e00000000000000000001" {
                assert_eq!(outcome.unwrap()[1], json!(10.0), "only the spelling is odd");
            } else {
                assert_eq!(outcome.unwrap_err().kind, JsonErrorKind::InexactNumber(bad.to_owned()));
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes, 32);
        }

        #[test]
        fn any_finite_number_written_by_serde_json_is_kept(number in any::<f64>().prop_filter("finite", |n| n.is_finite())) {
            let text = serde_json::to_string(&number).unwrap();
            prop_assert_eq!(parse(text.as_bytes(), 1).unwrap(), json!(number));
        }

        #[test]
        fn what_serde_json_reads_is_read_alike(text in r#"[\[\]{}",:0-9a\\ntrue. -]{0,40}"#) {
            if let Ok(ours) = parse(text.as_bytes(), 32) {
                prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).unwrap());
            }
        }
    }
}
