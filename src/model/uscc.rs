//! The unified social credit code (统一社会信用代码), an enterprise's legal number: GB 32100-2015.
//!
//! Eighteen characters: authority, category, region (6), organisation code (9, the last its own check), check. Length and
//! alphabet decide whether a text is one at all. A wrong check does not: codes of the pilot years carry one lawfully, so it is
//! a reviewer's to judge ([`Doubt`]), and never a reason to refuse.

use std::fmt;

use super::codes::Region;
use super::text::Text;

/// No I, O, S, V and Z.
const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
const LENGTH: usize = 18;
/// 3^i mod 31.
const WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
/// Of the organisation code (its characters count 0 to 9, A = 10 to Z = 35).
const ORGANIZATION_WEIGHTS: [u32; 8] = [3, 7, 9, 10, 5, 8, 4, 2];
const REGION: std::ops::Range<usize> = 2..8;
const ORGANIZATION: std::ops::Range<usize> = 8..16;

/// A text of the right length and alphabet, in capitals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uscc(String);

/// Why a text is no USCC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsccError {
    Length { found: usize },
    Character { at: usize, found: char },
}

/// What a reviewer must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The last character is not the one that the others ask for.
    Check { expected: char },
    /// The ninth of the organisation code is not.
    OrganizationCheck { expected: char },
    /// No region has or had the code.
    Region { code: String },
}

impl UsccError {
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Length { found } => Text::new(
                format!("统一社会信用代码应为 {LENGTH} 位，这里是 {found} 位"),
                format!("a unified social credit code has {LENGTH} characters, this has {found}"),
            ),
            Self::Character { at, found } => Text::new(
                format!(
                    "第 {} 位 {found:?} 不在统一社会信用代码的字符集内（数字与 I、O、S、V、Z 以外的大写字母）",
                    at + 1
                ),
                format!(
                    "character {}, {found:?}, is none of a unified social credit code: digits, and letters but I, O, S, V and Z",
                    at + 1
                ),
            ),
        }
    }
}

impl Doubt {
    /// A stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Check { .. } => "uscc_check",
            Self::OrganizationCheck { .. } => "uscc_organization_check",
            Self::Region { .. } => "uscc_region",
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::Check { expected } => Text::new(
                format!("校验位应为 {expected}；试点期间的代码可能不符，请核对证照"),
                format!(
                    "the check character would be {expected}; codes of the pilot years may differ: see the certificate"
                ),
            ),
            Self::OrganizationCheck { expected } => Text::new(
                format!("组织机构代码的校验位应为 {expected}，请核对证照"),
                format!("the organisation code's check would be {expected}: see the certificate"),
            ),
            Self::Region { code } => Text::new(
                format!("登记机关行政区划码 {code} 不在代码表中，可能是开发区或登记机关自用代码，请核对证照"),
                format!(
                    "the region {code} is not in the table; it may be a development zone's or an authority's own: see the certificate"
                ),
            ),
        }
    }
}

impl Uscc {
    /// Letters may be small; white space within or around is not let be.
    ///
    /// # Errors
    /// Another length or alphabet.
    pub fn parse(text: &str) -> Result<Uscc, UsccError> {
        let found = text.chars().count();
        if found != LENGTH {
            return Err(UsccError::Length { found });
        }
        let wrong = text.chars().enumerate().find(|(_, character)| value(*character).is_none());
        match wrong {
            Some((at, found)) => Err(UsccError::Character { at, found }),
            None => Ok(Uscc(text.to_ascii_uppercase())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region that registered it, by its code.
    #[must_use]
    pub fn region(&self) -> &str {
        self.0.get(REGION).unwrap_or_default()
    }

    /// What does not add up.
    #[must_use]
    pub fn doubts(&self) -> Vec<Doubt> {
        let mut doubts = Vec::new();
        if Region::known(self.region()).is_none() {
            doubts.push(Doubt::Region { code: self.region().to_owned() });
        }
        let expected = self.organization_check();
        if self.0.chars().nth(ORGANIZATION.end) != Some(expected) {
            doubts.push(Doubt::OrganizationCheck { expected });
        }
        let expected = self.check();
        if !self.0.ends_with(expected) {
            doubts.push(Doubt::Check { expected });
        }
        doubts
    }

    fn check(&self) -> char {
        let sum: u32 = self.0.chars().zip(WEIGHTS).filter_map(|(c, weight)| Some(value(c)? * weight)).sum();
        let at = (31 - sum % 31) % 31;
        ALPHABET.get(at as usize).map_or('?', |byte| char::from(*byte))
    }

    fn organization_check(&self) -> char {
        let code = self.0.get(ORGANIZATION).unwrap_or_default();
        let sum: u32 =
            code.chars().zip(ORGANIZATION_WEIGHTS).filter_map(|(c, weight)| Some(c.to_digit(36)? * weight)).sum();
        match 11 - sum % 11 {
            10 => 'X',
            11 => '0',
            digit => char::from_digit(digit, 10).unwrap_or('?'),
        }
    }
}

fn value(character: char) -> Option<u32> {
    let capital = character.to_ascii_uppercase();
    let at = ALPHABET.iter().position(|known| char::from(*known) == capital)?;
    u32::try_from(at).ok()
}

impl fmt::Display for Uscc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_codes_add_up() {
        for code in [
            "91350200MA2YJ1XR9G",
            "91350200776049653A",
            "91350500798359476R",
            "91440101MA5CJQ4N59",
            "913502000728319549",
            "91330000755918469E",
        ] {
            assert_eq!(Uscc::parse(code).unwrap().doubts(), [], "{code}");
            assert_eq!(Uscc::parse(&code.to_lowercase()).unwrap().as_str(), code);
        }
    }

    #[test]
    fn codes_of_the_pilot_years_are_a_reviewers_to_judge() {
        for code in ["91350203M0001QAY9B", "91350100M0001TGQXM", "91350211M0000XUF46"] {
            let doubts = Uscc::parse(code).unwrap().doubts();
            assert!(doubts.iter().any(|doubt| matches!(doubt, Doubt::Check { .. })), "{code}: {doubts:?}");
        }
    }

    #[test]
    fn every_single_mistake_in_a_code_is_seen() {
        let right = "91350200MA2YJ1XR9G";
        for at in 0..LENGTH {
            for other in ALPHABET {
                let mut bytes = right.as_bytes().to_vec();
                if std::mem::replace(&mut bytes[at], *other) == *other {
                    continue;
                }
                let code = String::from_utf8(bytes).unwrap();
                assert!(!Uscc::parse(&code).unwrap().doubts().is_empty(), "{code}");
            }
        }
    }

    #[test]
    fn another_length_or_alphabet_is_refused() {
        for (text, error) in [
            ("", UsccError::Length { found: 0 }),
            ("91350200MA2YJ1XR9", UsccError::Length { found: 17 }),
            ("91350200MA2YJ1XR9GG", UsccError::Length { found: 19 }),
            ("91350200MA2YJ1XR9I", UsccError::Character { at: 17, found: 'I' }),
            ("91350200MA2YJ1X R9", UsccError::Character { at: 15, found: ' ' }),
            ("91350200MA2YJ1XR９G", UsccError::Character { at: 16, found: '９' }),
        ] {
            assert_eq!(Uscc::parse(text), Err(error), "{text}");
        }
    }
}
