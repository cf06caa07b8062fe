//! Values of the right type, and what to say of the others.

use std::fmt;

use toml::Value;

use crate::model::text::Text;

/// The text of a variable or flag as the type that its key has.
pub(super) fn parse_as(known: &Value, text: &str) -> Result<Value, Text> {
    match known {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| type_named(known)),
        Value::Integer(_) => text.replace('_', "").parse().map(Value::Integer).map_err(|_| type_named(known)),
        Value::Array(_) => {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Ok(Value::Array(parts.map(|part| Value::String(part.to_owned())).collect()))
        }
        _ => Err(wrong_type("配置文件中的小节", "a section of the file")),
    }
}

pub(super) fn type_named(known: &Value) -> Text {
    match known {
        Value::String(_) => wrong_type("字符串", "a string"),
        Value::Integer(_) => wrong_type("整数", "an integer"),
        Value::Boolean(_) => wrong_type("true 或 false", "true or false"),
        Value::Array(_) => wrong_type("列表", "a list"),
        _ => wrong_type("小节", "a section"),
    }
}

pub(super) fn wrong_type(zh: &str, en: &str) -> Text {
    Text::new(format!("类型不对, 应为{zh}"), format!("wrong type: give {en}"))
}

pub(super) fn internal(error: &dyn fmt::Display) -> Text {
    Text::new(format!("配置无法组装: {error}"), format!("the configuration does not fit together: {error}"))
}
