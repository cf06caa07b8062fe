//! What is wrong with one field of a JSON document, and where: collected, so that a caller mends all at once.
//!
//! Not a schema language: each noun reads its own members with the few steps here.

use serde_json::{Map, Value as Json};

use super::text::Text;

/// So that a hostile document cannot make an answer larger than itself.
const MAX_ERRORS: usize = 100;

/// One complaint. `pointer` is a JSON Pointer (RFC 6901) into what the caller sent; `code` is stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    pub pointer: String,
    pub code: &'static str,
    pub detail: Text,
}

/// A serde error has room for one sentence.
pub(in crate::model) fn first_of(errors: &[FieldError]) -> String {
    errors.first().map(|error| format!("{}: {}", error.pointer, error.detail)).unwrap_or_default()
}

/// A member's name as a step of a JSON pointer (RFC 6901, section 3).
#[must_use]
pub fn pointer_step(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A place in a document; the pointer is written only when something is wrong there.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(in crate::model) fn pointer(&self) -> String {
        let (parent, step) = match self {
            Self::Root => return String::new(),
            Self::Member(parent, name) => (parent, pointer_step(name)),
            Self::Item(parent, at) => (parent, at.to_string()),
        };
        format!("{}/{step}", parent.pointer())
    }
}

/// Everything found wrong so far.
#[derive(Debug, Default)]
pub(in crate::model) struct Complaints {
    found: Vec<FieldError>,
}

impl Complaints {
    pub(in crate::model) fn add(&mut self, place: &Place<'_>, code: &'static str, detail: Text) {
        if self.found.len() < MAX_ERRORS {
            self.found.push(FieldError { pointer: place.pointer(), code, detail });
        }
    }

    /// The value, if it was read and nothing was wrong anywhere.
    pub(in crate::model) fn or<T>(self, value: Option<T>) -> Result<T, Vec<FieldError>> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            _ => Err(self.found),
        }
    }

    pub(in crate::model) fn wrong_type(&mut self, place: &Place<'_>, zh: &str, en: &str) {
        self.add(place, "wrong_type", Text::new(format!("此处应为{zh}"), format!("{en} is expected here")));
    }

    pub(in crate::model) fn required(&mut self, place: &Place<'_>) {
        self.add(place, "required", Text::new("缺少此项", "this member is required"));
    }

    pub(in crate::model) fn too_long(&mut self, place: &Place<'_>, most: usize) {
        self.add(place, "too_long", Text::new(format!("超过 {most} 字节"), format!("longer than {most} bytes")));
    }

    pub(in crate::model) fn too_many(&mut self, place: &Place<'_>, most: usize) {
        self.add(place, "too_many", Text::new(format!("超过 {most} 项"), format!("more than {most} items")));
    }

    pub(in crate::model) fn out_of_range(&mut self, place: &Place<'_>, least: u64, most: u64) {
        let text = Text::new(format!("应在 {least} 与 {most} 之间"), format!("must lie between {least} and {most}"));
        self.add(place, "out_of_range", text);
    }

    pub(in crate::model) fn unknown_word(&mut self, place: &Place<'_>, words: &str) {
        self.add(
            place,
            "unknown_word",
            Text::new(format!("应为下列之一：{words}"), format!("must be one of: {words}")),
        );
    }

    pub(in crate::model) fn object<'j>(&mut self, json: &'j Json, place: &Place<'_>) -> Option<&'j Map<String, Json>> {
        let found = json.as_object();
        if found.is_none() {
            self.wrong_type(place, "对象", "an object");
        }
        found
    }

    /// An array of at most so many items. Missing or null reads as none.
    pub(in crate::model) fn items<'j>(&mut self, json: Option<&'j Json>, place: &Place<'_>, most: usize) -> &'j [Json] {
        match json {
            None | Some(Json::Null) => &[],
            Some(Json::Array(items)) if items.len() > most => {
                self.too_many(place, most);
                &[]
            }
            Some(Json::Array(items)) => items,
            Some(_) => {
                self.wrong_type(place, "数组", "an array");
                &[]
            }
        }
    }

    pub(in crate::model) fn refuse_others(&mut self, object: &Map<String, Json>, known: &[&str], place: &Place<'_>) {
        for name in object.keys().filter(|name| !known.contains(&name.as_str())) {
            let text = Text::new(
                format!("未知字段；可用：{}", known.join("、")),
                format!("unknown field; known are: {}", known.join(", ")),
            );
            self.add(&Place::Member(place, name), "unknown_field", text);
        }
    }

    pub(in crate::model) fn member<'j>(
        &mut self,
        object: &'j Map<String, Json>,
        name: &str,
        place: &Place<'_>,
    ) -> Option<&'j Json> {
        let found = object.get(name);
        if found.is_none() {
            self.required(&Place::Member(place, name));
        }
        found
    }

    /// A line of text: not empty, nothing unprintable, no white space around it.
    pub(in crate::model) fn line<'j>(&mut self, json: &'j Json, place: &Place<'_>, most: usize) -> Option<&'j str> {
        let Some(text) = json.as_str() else {
            self.wrong_type(place, "文本", "text");
            return None;
        };
        self.line_text(text, place, most)
    }

    /// The same of text that was read already.
    pub(in crate::model) fn line_text<'j>(&mut self, text: &'j str, place: &Place<'_>, most: usize) -> Option<&'j str> {
        if text.len() > most {
            self.too_long(place, most);
            return None;
        }
        if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
            let detail = Text::new(
                "不得为空、首尾空白或含控制字符",
                "must not be empty, begin or end with white space, or hold control characters",
            );
            self.add(place, "bad_text", detail);
            return None;
        }
        Some(text)
    }

    /// A member that may be missing or null.
    pub(in crate::model) fn optional_line(
        &mut self,
        object: &Map<String, Json>,
        name: &str,
        place: &Place<'_>,
        most: usize,
    ) -> Option<String> {
        let json = object.get(name).filter(|json| !json.is_null())?;
        self.line(json, &Place::Member(place, name), most).map(str::to_owned)
    }

    pub(in crate::model) fn required_line(
        &mut self,
        object: &Map<String, Json>,
        name: &str,
        place: &Place<'_>,
        most: usize,
    ) -> Option<String> {
        let json = self.member(object, name, place)?;
        self.line(json, &Place::Member(place, name), most).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_slashes_and_tildes_in_member_names() {
        let values = Place::Member(&Place::Root, "values");
        let third = Place::Item(&values, 2);
        assert_eq!(Place::Member(&third, "a/b~c").pointer(), "/values/2/a~1b~0c");
        assert_eq!(Place::Root.pointer(), "");
    }

    #[test]
    fn a_document_full_of_errors_does_not_make_a_boundless_answer() {
        let mut complaints = Complaints::default();
        for _ in 0..1_000 {
            complaints.required(&Place::Root);
        }
        assert_eq!(complaints.or(Some(())).unwrap_err().len(), MAX_ERRORS);
    }
}
