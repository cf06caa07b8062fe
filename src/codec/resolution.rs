//! A resolution as JSON: `{"identifier","version","status","template","values":[…],"links","aliases","registrant","registered",
//! "updated"}`, and `"entry"` when it was asked for.
//!
//! Encodes whatever values the record still has: who may see what was decided by the service.

use crate::services::EncodeResolution;
use crate::services::resolve::Resolution;

/// What the service's cache is filled with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResolutionJson;

impl EncodeResolution for ResolutionJson {
    fn encode(&self, resolution: &Resolution) -> Vec<u8> {
        encode(resolution)
    }
}

/// Members around the values, roughly.
const FRAME_BYTES: usize = 256;
/// Members of a value around its type and data, roughly.
const VALUE_BYTES: usize = 112;

/// One buffer, sized beforehand so that it seldom grows.
#[must_use]
pub fn encode(resolution: &Resolution) -> Vec<u8> {
    let record = &resolution.record;
    let values: usize =
        record.values.iter().map(|value| VALUE_BYTES + value.r#type.len() + value.data.weight_bytes()).sum();
    let others = 96 * (record.links.len() + record.aliases.len());
    let entry = resolution.entry.as_ref().map_or(0, String::len);
    let mut out = Vec::with_capacity(FRAME_BYTES + values + others + entry);
    // Serialising into memory fails only for maps with keys that are no text, which a record has none of.
    if serde_json::to_writer(&mut out, record).is_err() {
        return Vec::new();
    }
    if let Some(closed) = &resolution.suspended
        && out.pop() == Some(b'}')
    {
        // A time needs no escaping.
        let status = closed.status.as_str();
        let suspended = format!(",\"prefix\":{{\"status\":\"{status}\",\"since\":\"{}\"}}}}", closed.since);
        out.extend_from_slice(suspended.as_bytes());
    }
    if let Some(entry) = &resolution.entry
        && out.pop() == Some(b'}')
    {
        // An entry is base64url, dots and tildes: nothing in it needs escaping.
        out.extend_from_slice(b",\"entry\":\"");
        out.extend_from_slice(entry.as_bytes());
        out.extend_from_slice(b"\"}");
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::draft::Draft;
    use crate::model::identifier::Identifier;
    use crate::model::record::Record;
    use crate::model::time::Timestamp;
    use crate::services::share::View;

    #[test]
    fn the_members_are_those_of_the_design_and_the_entry_comes_when_asked() {
        let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        let draft = json!({
            "template": "auto/part@1",
            "registrant": "示范企业",
            "values": [{"index": 2000, "type": "名称", "data": "螺栓"}],
            "aliases": [{"scheme": "gs1", "identifier": "01/09506000134352"}],
            "links": [{"rel": "manual", "href": "https://example.com/"}],
        });
        let draft = Draft::from_json(&draft, now).unwrap();
        let identifier = Identifier::parse("88.118.8/JXDY2106023").unwrap();
        let mut resolution = Resolution {
            record: Record::first(identifier, draft, now),
            entry: None,
            index: 7,
            suspended: None,
            view: View::Public,
        };
        let expected = r#"{"identifier":"88.118.8/JXDY2106023","version":1,"status":"active","template":"auto/part@1","values":[{"index":2000,"type":"名称","data":{"format":"string","value":"螺栓"},"ttl":86400,"timestamp":"2026-11-23T15:24:37Z"}],"links":[{"rel":"manual","href":"https://example.com/"}],"aliases":[{"scheme":"gs1","identifier":"01/09506000134352"}],"registrant":"示范企业","registered":"2026-11-23T15:24:37Z","updated":"2026-11-23T15:24:37Z"}"#;
        assert_eq!(String::from_utf8(encode(&resolution)).unwrap(), expected);
        resolution.entry = Some("eyJ.eyJ.sig~WyJ~".to_owned());
        let with_entry: serde_json::Value = serde_json::from_slice(&encode(&resolution)).unwrap();
        assert_eq!(with_entry["entry"], "eyJ.eyJ.sig~WyJ~");
        assert_eq!(with_entry["version"], 1);
    }
}
