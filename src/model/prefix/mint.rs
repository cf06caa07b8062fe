//! The pattern of minted suffixes: literal text, `{date}` (UTC, 20261123), `{random:N}` and `{digits:N}`.
//!
//! `{random:N}` draws N characters of Crockford's base 32 without letters that read alike (5 bits each), `{digits:N}` N
//! decimal digits. A pattern draws at least 40 bits, or a busy prefix would meet its own names again.
//! Not a counter: a sequence would show to strangers how much a registrant makes.

use thiserror::Error;

use crate::model::time::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const MAX_PATTERN_BYTES: usize = 128;
const MAX_DRAWN: usize = 64;
const MIN_BITS: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintPattern {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Date,
    Random(usize),
    Digits(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MintPatternError {
    #[error("it is empty or longer than 128 bytes")]
    Length,
    #[error("only {{date}}, {{random:N}} and {{digits:N}} with N from 1 to 64 may stand in braces")]
    Placeholder,
    #[error("it draws fewer than 40 random bits: at least {{random:8}} or {{digits:13}} is needed")]
    TooPredictable,
    #[error("its literal text holds white space or control characters")]
    Literal,
}

impl MintPattern {
    pub const DEFAULT: &'static str = "{date}-{random:12}";

    /// # Errors
    /// The rule that the pattern breaks.
    pub fn parse(text: &str) -> Result<Self, MintPatternError> {
        if text.is_empty() || text.len() > MAX_PATTERN_BYTES {
            return Err(MintPatternError::Length);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
            if literal.contains('}') || (after.is_empty() && literal.len() < rest.len()) {
                return Err(MintPatternError::Placeholder);
            }
            if literal.chars().any(|found| found.is_whitespace() || found.is_control()) {
                return Err(MintPatternError::Literal);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            if after.is_empty() {
                break;
            }
            let (inside, next) = after.split_once('}').ok_or(MintPatternError::Placeholder)?;
            parts.push(placeholder(inside)?);
            rest = next;
        }
        let pattern = Self { parts };
        if pattern.drawn_bits() < MIN_BITS { Err(MintPatternError::TooPredictable) } else { Ok(pattern) }
    }

    /// A suffix; `fill` writes fresh randomness.
    pub fn mint(&self, now: Timestamp, mut fill: impl FnMut(&mut [u8])) -> String {
        let mut suffix = String::new();
        let mut bytes = [0_u8; 2 * MAX_DRAWN];
        for part in &self.parts {
            match part {
                Part::Literal(text) => suffix.push_str(text),
                Part::Date => {
                    let (year, month, day, ..) = now.civil();
                    suffix.push_str(&format!("{year:04}{month:02}{day:02}"));
                }
                Part::Random(count) => {
                    fill(&mut bytes);
                    let characters = bytes.iter().take(*count).filter_map(|byte| ALPHABET.get(usize::from(byte & 31)));
                    suffix.extend(characters.map(|byte| char::from(*byte)));
                }
                Part::Digits(count) => {
                    fill(&mut bytes);
                    // 65,536 is 6 over a multiple of ten: a bias of one in eleven thousand, nothing to a uniqueness check.
                    let (pairs, _) = bytes.as_chunks::<2>();
                    let digits = pairs.iter().take(*count).map(|pair| u32::from(u16::from_be_bytes(*pair)) % 10);
                    suffix.extend(digits.filter_map(|digit| char::from_digit(digit, 10)));
                }
            }
        }
        suffix
    }

    fn drawn_bits(&self) -> usize {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Literal(_) | Part::Date => 0,
                Part::Random(count) => 5 * count,
                // 3.32 bits a digit.
                Part::Digits(count) => count * 332 / 100,
            })
            .sum()
    }
}

fn placeholder(inside: &str) -> Result<Part, MintPatternError> {
    if inside == "date" {
        return Ok(Part::Date);
    }
    let (word, count) = inside.split_once(':').ok_or(MintPatternError::Placeholder)?;
    let count =
        count.parse().ok().filter(|count| (1..=MAX_DRAWN).contains(count)).ok_or(MintPatternError::Placeholder)?;
    match word {
        "random" => Ok(Part::Random(count)),
        "digits" => Ok(Part::Digits(count)),
        _ => Err(MintPatternError::Placeholder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_mints_its_literals_the_date_and_fresh_characters() {
        let pattern = MintPattern::parse("LOT-{date}-{random:8}").unwrap();
        let now = Timestamp::parse("2026-11-23T15:24:37Z").unwrap();
        assert_eq!(pattern.mint(now, |bytes| bytes.fill(31)), "LOT-20261123-ZZZZZZZZ");
        assert_eq!(MintPattern::parse("{digits:13}").unwrap().mint(now, |bytes| bytes.fill(0)), "0000000000000");
    }

    #[test]
    fn patterns_that_would_repeat_themselves_or_cannot_be_read_are_refused() {
        for (text, error) in [
            ("", MintPatternError::Length),
            ("LOT", MintPatternError::TooPredictable),
            ("{random:7}", MintPatternError::TooPredictable),
            ("{random}", MintPatternError::Placeholder),
            ("{random:0}", MintPatternError::Placeholder),
            ("{random:65}", MintPatternError::Placeholder),
            ("{counter:9}", MintPatternError::Placeholder),
            ("{random:12", MintPatternError::Placeholder),
            ("{random:12}{", MintPatternError::Placeholder),
            ("a}{random:12}", MintPatternError::Placeholder),
            ("a b{random:12}", MintPatternError::Literal),
        ] {
            assert_eq!(MintPattern::parse(text), Err(error), "{text}");
        }
    }
}
