//! Numbers that would not survive `i64`, `u64` or `f64`: what is signed must be what was sent.

/// The first number of a valid JSON text that `i64`, `u64` or `f64` would change, with its offset.
pub(super) fn inexact(text: &str) -> Option<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => {
                let rest = bytes.iter().skip(at);
                let length =
                    rest.take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).count();
                let number = text.get(at..at + length)?;
                if !is_exact(number) {
                    return Some((at, number));
                }
                at += length;
            }
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at
}

fn is_exact(number: &str) -> bool {
    // An f64 keeps every decimal of 15 significant digits (IEEE 754 binary64, DBL_DIG); exponents are judged below.
    if number.len() <= 15 && !number.contains(['e', 'E']) {
        return true;
    }
    if number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok() {
        return true;
    }
    // As serde_json writes it back. Where two shortest decimals name one f64, the standard library may choose the other.
    let written = number.parse().ok().and_then(serde_json::Number::from_f64);
    written.is_some_and(|written| decimal(number) == decimal(&written.to_string()))
}

/// Sign, significant digits and power of ten of the last digit: equal for equal numbers, whatever their spelling.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let kept = digits.trim_end_matches('0');
    let significant = kept.trim_start_matches('0').to_owned();
    if significant.is_empty() {
        return Some((false, significant, 0));
    }
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let power = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?.checked_add(dropped)?;
    Some((number.starts_with('-'), significant, power))
}
