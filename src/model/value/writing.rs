//! The JSON of values, byte for byte what `Serialize` gives, for whoever writes a great many of them.

use serde_json::to_writer;

use super::{Data, Permissions, Value, Visibility};
use crate::model::time::Timestamp;

/// Writes values; most of a record have one timestamp, which it spells once.
#[derive(Default)]
pub struct ValueWriter {
    spelled: Option<(Timestamp, String)>,
}

impl ValueWriter {
    /// Adds the value's JSON to `out`.
    ///
    /// # Errors
    /// What does not serialise.
    pub fn write(&mut self, value: &Value, out: &mut Vec<u8>) -> serde_json::Result<()> {
        let is_plain = value.permissions == Permissions::default()
            && value.references.is_empty()
            && value.visibility == Visibility::Public;
        let text = match &value.data {
            Data::String(text) | Data::Date(text) | Data::Url(text) if is_plain => text.as_str(),
            Data::Decimal { text, unit: None } if is_plain => text.as_str(),
            Data::Identifier(identifier) if is_plain => identifier.spelling(),
            _ => return to_writer(out, value),
        };
        out.extend_from_slice(b"{\"index\":");
        to_writer(&mut *out, &value.index)?;
        out.extend_from_slice(b",\"type\":");
        write_text(&value.r#type, out)?;
        out.extend_from_slice(b",\"data\":{\"format\":\"");
        out.extend_from_slice(value.data.format().as_bytes());
        out.extend_from_slice(b"\",\"value\":");
        write_text(text, out)?;
        out.extend_from_slice(b"},\"ttl\":");
        to_writer(&mut *out, &value.ttl_seconds)?;
        out.extend_from_slice(b",\"timestamp\":\"");
        out.extend_from_slice(self.spelling(value.timestamp).as_bytes());
        out.extend_from_slice(b"\"}");
        Ok(())
    }

    fn spelling(&mut self, time: Timestamp) -> &str {
        let spelled = self.spelled.take().filter(|(of, _)| *of == time);
        &self.spelled.insert(spelled.unwrap_or_else(|| (time, time.to_string()))).1
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) -> serde_json::Result<()> {
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        return to_writer(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}
