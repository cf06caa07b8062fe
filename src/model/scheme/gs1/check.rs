//! Check digits and check character pairs.
//!
//! Source: GS1 General Specifications, section 7.9: 7.9.1 "Standard check digit calculations for GS1 data structures" (modulo
//! 10, weights 3 and 1 from the right) and 7.9.5 "Check character calculation (for alphanumeric keys)" (prime weights, modulo
//! 1021, two characters of a set of 32).

/// The digit that completes `body`; `None` when it is not digits alone.
#[must_use]
pub fn check_digit(body: &str) -> Option<u8> {
    let mut sum = 0_u32;
    for (at, byte) in body.bytes().rev().enumerate() {
        if !byte.is_ascii_digit() {
            return None;
        }
        let weight = if at % 2 == 0 { 3 } else { 1 };
        sum = (sum + weight * u32::from(byte - b'0')) % 10;
    }
    u8::try_from((10 - sum) % 10).ok().map(|digit| b'0' + digit)
}

/// GS1 AI encodable character set 82, in the order of its values.
pub(super) const SET_82: &[u8] = b"!\"%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// The 32 characters that cannot be mistaken for one another, in the order of their values.
const SET_32: &[u8] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
/// Enough for the 23 characters that a GMN has before its pair.
const PRIMES: [u32; 23] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83];

/// The pair that completes a Global Model Number; `None` for a body over 23 characters or outside set 82.
#[must_use]
pub fn check_character_pair(body: &str) -> Option<[char; 2]> {
    if body.len() > PRIMES.len() {
        return None;
    }
    let mut sum = 0_u32;
    for (byte, prime) in body.bytes().rev().zip(PRIMES) {
        let value = SET_82.iter().position(|found| *found == byte)?;
        sum += u32::try_from(value).ok()? * prime;
    }
    let sum = usize::try_from(sum % 1021).ok()?;
    let character = |value: usize| SET_32.get(value).map(|byte| char::from(*byte));
    Some([character(sum >> 5)?, character(sum & 31)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_keys_end_in_their_check_digit() {
        // GTIN-13 and GTIN-8 of the General Specifications' figures, a GTIN-14, an SSCC, a GLN.
        for key in
            ["6291041500213", "4006381333931", "96385074", "09506000134352", "106141412345678908", "5412345000013"]
        {
            let (body, digit) = key.split_at(key.len() - 1);
            assert_eq!(check_digit(body).map(char::from), digit.chars().next(), "{key}");
        }
        assert_eq!(check_digit("12a"), None);
    }

    #[test]
    fn the_pairs_of_the_standards_own_test_vectors_come_out() {
        for key in [
            "22",
            "!22",
            "1987654Ad4X4bL5ttr2310c2K",
            "12345678901234567890123NT",
            "12345_ABCDEFGHIJKLMCP",
            "12345_nopqrstuvwxyzP2",
            "7907665Bm8v2AB",
            "149512464PM+GH",
        ] {
            let (body, pair) = key.split_at(key.len() - 2);
            assert_eq!(check_character_pair(body).map(String::from_iter).as_deref(), Some(pair), "{key}");
        }
        assert_eq!(check_character_pair("a b"), None);
    }
}
