//! Canonical JSON (RFC 8785), as far as it is needed here: no fractions.
//!
//! A number that is no whole one within +-(2^53 - 1) is refused: RFC 8785 (section 3.2.2.3) writes numbers as IEEE 754 doubles,
//! and one that a double changes would be signed as another.

use serde_json::Value as Json;

/// The largest whole number that every double near it tells apart (ECMA-262, Number.MAX_SAFE_INTEGER).
const MAX_EXACT: i64 = (1 << 53) - 1;

/// A number that has no canonical form which says the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the number {0} has no exact canonical form (RFC 8785): write it as a decimal")]
pub struct Inexact(pub String);

/// The canonical bytes: members in the order of their names as UTF-16 (section 3.2.3), no white space, the least escaping.
pub fn canonical(json: &Json) -> Result<Vec<u8>, Inexact> {
    let mut out = Vec::new();
    write(json, &mut out)?;
    Ok(out)
}

fn write(json: &Json, out: &mut Vec<u8>) -> Result<(), Inexact> {
    match json {
        Json::Number(number) => {
            let whole = number.as_i64().filter(|whole| (-MAX_EXACT..=MAX_EXACT).contains(whole));
            let whole = whole.ok_or_else(|| Inexact(number.to_string()))?;
            out.extend_from_slice(whole.to_string().as_bytes());
        }
        Json::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Json::Object(members) => {
            let mut sorted: Vec<(&String, &Json)> = members.iter().collect();
            sorted.sort_by(|(one, _), (other, _)| one.encode_utf16().cmp(other.encode_utf16()));
            out.push(b'{');
            for (at, (name, member)) in sorted.into_iter().enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                text(name, out);
                out.push(b':');
                write(member, out)?;
            }
            out.push(b'}');
        }
        Json::String(string) => text(string, out),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Null => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// Escapes as ECMA-262's QuoteJSONString does (section 3.2.2.2 of the RFC).
fn text(string: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for letter in string.chars() {
        match letter {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            control if control < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes()),
            plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(json: &Json) -> String {
        String::from_utf8(canonical(json).unwrap()).unwrap()
    }

    #[test]
    fn members_are_sorted_as_in_rfc_8785() {
        // RFC 8785, section 3.2.3: the order by UTF-16 puts the emoji's surrogates before U+FB33.
        let unsorted = json!({
            "\u{20ac}": "Euro Sign", "\r": "Carriage Return", "\u{fb33}": "Hebrew Letter Dalet With Dagesh",
            "1": "One", "\u{1f600}": "Emoji: Grinning Face", "\u{80}": "Control", "\u{f6}": "Latin Small Letter O With Diaeresis",
        });
        let expected = "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\u{80}\":\"Control\",\
                        \"\u{f6}\":\"Latin Small Letter O With Diaeresis\",\"\u{20ac}\":\"Euro Sign\",\
                        \"\u{1f600}\":\"Emoji: Grinning Face\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}";
        assert_eq!(written(&unsorted), expected);
    }

    #[test]
    fn strings_and_literals_are_written_as_in_rfc_8785() {
        // RFC 8785, section 3.2.2: the string and the literals of the sample.
        let sample = json!({"string": "\u{20ac}$\u{f}\nA'\u{42}\u{22}\u{5c}\\\"/", "literals": [null, true, false]});
        let expected = "{\"literals\":[null,true,false],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
        assert_eq!(written(&sample), expected);
        assert_eq!(written(&json!([])), "[]");
        assert_eq!(written(&json!({"a": {}})), "{\"a\":{}}");
    }

    #[test]
    fn a_number_that_a_double_would_change_is_refused() {
        assert_eq!(written(&json!([0, -1, 9_007_199_254_740_991_i64])), "[0,-1,9007199254740991]");
        for number in [json!(9_007_199_254_740_992_i64), json!(u64::MAX), json!(0.5), json!(-9_007_199_254_740_993_i64)]
        {
            assert!(canonical(&json!({"a": [number]})).is_err());
        }
    }
}
