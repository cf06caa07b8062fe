//! Parameters: in the path, the query or a header; those that several operations take stand here once.

use serde_json::{Map, Value as Json, json};

use super::example::Example;
use super::schemas::{Schemas, Shape};
use super::wanted;
use crate::model::filter::Filter;
use crate::model::identifier::MAX_IDENTIFIER_BYTES;
use crate::model::text::Text;

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum In {
    Path,
    Query,
    Header,
}

/// One parameter. Values of the query are sent once, except lists, which are repeated.
pub struct Parameter {
    pub place: In,
    pub name: &'static str,
    about: Text,
    shape: Shape,
    /// Its value is the text of a document.
    is_document: bool,
    is_required: bool,
}

impl Parameter {
    pub fn path(name: &'static str, zh: &str, en: &str, schema: Json) -> Self {
        Self::new(In::Path, name, zh, en, Shape::Json(schema))
    }

    pub fn query(name: &'static str, zh: &str, en: &str, schema: Json) -> Self {
        Self::new(In::Query, name, zh, en, Shape::Json(schema))
    }

    pub fn header(name: &'static str, zh: &str, en: &str, schema: Json) -> Self {
        Self::new(In::Header, name, zh, en, Shape::Json(schema))
    }

    /// A JSON document as the value of a query parameter.
    pub fn document(name: &'static str, zh: &str, en: &str, shape: Shape) -> Self {
        Self { is_document: true, ..Self::new(In::Query, name, zh, en, shape) }
    }

    /// Without it there is nothing to answer.
    pub fn required(self) -> Self {
        Self { is_required: true, ..self }
    }

    fn new(place: In, name: &'static str, zh: &str, en: &str, shape: Shape) -> Self {
        Self { place, name, about: Text::new(zh, en), shape, is_document: false, is_required: place == In::Path }
    }

    /// The parameter object (OpenAPI 3.1, section 4.8.12).
    pub(super) fn to_json(&self, schemas: &mut Schemas, examples: &[Example]) -> Json {
        let place = match self.place {
            In::Path => "path",
            In::Query => "query",
            In::Header => "header",
        };
        let mut parameter = Map::new();
        parameter.insert("name".to_owned(), self.name.into());
        parameter.insert("in".to_owned(), place.into());
        parameter.insert("required".to_owned(), self.is_required.into());
        parameter.insert("description".to_owned(), super::both(&self.about).into());
        let schema = self.shape.to_json(schemas);
        if self.is_document {
            parameter.insert("content".to_owned(), json!({"application/json": {"schema": schema}}));
        } else {
            parameter.insert("schema".to_owned(), schema);
        }
        // Of those that may be left out the values stand in the operation's x-examples: a page that fills its form with every
        // example's values at once would ask for a mixture.
        let shown: Map<String, Json> = examples
            .iter()
            .filter(|_| self.place == In::Path)
            .filter_map(|example| Some((example.name.to_owned(), example.shown(example.value_of(self)?))))
            .collect();
        if !shown.is_empty() {
            parameter.insert("examples".to_owned(), shown.into());
        }
        parameter.into()
    }
}

/// Headers that every address reads.
pub(super) fn everywhere() -> [Parameter; 2] {
    [
        Parameter::header(
            "Accept-Language",
            "zh 或 en：问题说明所用的语言，默认中文",
            "zh or en: the language of problems and sentences; Chinese if neither is preferred",
            json!({"type": "string"}),
        ),
        Parameter::header(
            "X-Request-Id",
            "请求编号：1 至 64 个字母、数字或 - _ .；其他的由节点另给",
            "an id for this request: 1 to 64 letters, digits or - _ . ; another one is replaced by the node's",
            json!({"type": "string"}),
        ),
    ]
}

pub fn identifier() -> Parameter {
    Parameter::path(
        "identifier",
        "标识或别名，按 UTF-8 百分号编码，斜杠写作 %2F。节点也接受原样的斜杠，OpenAPI 的路径参数不能表达",
        "an identifier or alias, percent-encoded as UTF-8 with %2F for the slash. The node takes the raw slash too, which a path \
         parameter of OpenAPI cannot say. At most 2,048 bytes",
        json!({"type": "string", "minLength": 1, "maxLength": MAX_IDENTIFIER_BYTES}),
    )
}

pub fn import_id() -> Parameter {
    let schema = json!({"type": "string", "minLength": 1});
    Parameter::path("id", "导入任务的编号", "the import's id, from its Location", schema)
}

pub fn key_id() -> Parameter {
    let schema = json!({"type": "string", "minLength": 1});
    Parameter::path("id", "密钥的编号", "the key's id, which is no secret", schema)
}

/// A page's size.
pub fn limit(usual: &str, most: usize) -> Parameter {
    Parameter::query(
        "limit",
        &format!("一页的条数，默认 {usual}"),
        &format!("how many to a page; {usual} if not said"),
        json!({"type": "integer", "minimum": 1, "maximum": most}),
    )
}

pub fn cursor() -> Parameter {
    Parameter::query(
        "cursor",
        "上一页给出的 next_cursor",
        "the next_cursor of the page before",
        json!({"type": "string", "minLength": 1}),
    )
}

/// `1` or `0`.
pub fn flag(name: &'static str, zh: &str, en: &str) -> Parameter {
    Parameter::query(name, zh, en, json!({"type": "string", "enum": ["1", "true", "0", "false"]}))
}

/// The parameters of [`Filter`], which mean records by what they are.
pub fn filter() -> Vec<Parameter> {
    let of = |name: &'static str| {
        let words = |items: Json| json!({"type": "array", "items": items, "maxItems": 100});
        let (zh, en, schema) = match name {
            "prefix" => ("恰为此前缀的", "exactly below this prefix", json!({"type": "string", "pattern": "^[^/]+$"})),
            "status" => ("这些状态之一；可重复", "one of these; repeatable", words(json!({"enum": wanted::STATUSES}))),
            "type" => (
                "有这些类型之一的值；以 . 结尾者匹配其前缀；可重复",
                "a value has one of these types; one that ends in . matches what begins with it; repeatable",
                words(json!({"type": "string", "minLength": 1})),
            ),
            _ => (
                "注册或最近修改的时间，起含止不含；日期为北京时间零时",
                "when it was registered or last changed; _from includes, _before excludes; a date is its midnight in China",
                json!({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}),
            ),
        };
        Parameter::query(name, zh, en, schema)
    };
    Filter::PARAMETERS.into_iter().map(of).collect()
}

pub fn if_match() -> Parameter {
    Parameter::header(
        "If-Match",
        "所要修改的版本的 ETag，如 \"2\"；* 表示任何版本",
        "the ETag of the version that is to be changed, such as \"2\"; several with commas; * for any",
        json!({"type": "string", "pattern": "^(\\*|(W/)?\"[^\"]*\"( *, *(W/)?\"[^\"]*\")*)$"}),
    )
}

pub fn create_only() -> Parameter {
    Parameter::header(
        "If-None-Match",
        "只能为 *：仅新建；不与 If-Match 同用",
        "* only: create, change nothing. Not together with If-Match",
        json!({"type": "string", "const": "*"}),
    )
}

pub fn if_none_match() -> Parameter {
    Parameter::header(
        "If-None-Match",
        "已有的版本的 ETag；仍是它则回答 304",
        "the ETags that the client has; 304 if one is still right",
        json!({"type": "string"}),
    )
}

pub fn idempotency_key() -> Parameter {
    Parameter::header(
        "Idempotency-Key",
        "1 至 255 个可见 ASCII 字符：24 小时内重发得到首次的回答",
        "1 to 255 visible ASCII characters: within 24 hours a repetition gets the first answer; another payload is 422",
        json!({"type": "string", "pattern": "^[!-~]{1,255}$"}),
    )
}
