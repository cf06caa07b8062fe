//! Which prefixes a licence of one prefix reaches: itself and what is delegated below it, segment by segment.

use crate::model::scheme::{handle, vaa};

/// The most bytes of a prefix that may be licensed.
const MAX_PREFIX_BYTES: usize = 255;

/// Whether a licence of `licensed` is one of `prefix` too. Both are canonical: `88.999.1` covers `88.999.1.2` and not
/// `88.999.10`.
#[must_use]
pub fn covers(licensed: &str, prefix: &str) -> bool {
    prefix.strip_prefix(licensed).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The prefix and those that it lies below, the longest first.
pub fn and_above(prefix: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(prefix), |longer| longer.rsplit_once('.').map(|(above, _)| above))
}

/// Whether a text is a prefix that may be licensed, written as it is compared: VAA or Handle, in lower case. The root of a
/// scheme (`88`) is nobody's to license here.
#[must_use]
pub fn is_canonical(text: &str) -> bool {
    let is_prefix = if text.starts_with(vaa::ROOT) { vaa::is_prefix(text) } else { handle::is_prefix(text) };
    is_prefix
        && text != vaa::ROOT.trim_end_matches('.')
        && text.len() <= MAX_PREFIX_BYTES
        && !text.bytes().any(|byte| byte.is_ascii_uppercase() || byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_reaches_what_is_below_it_and_no_neighbour() {
        for (licensed, prefix, reaches) in [
            ("88.999.1", "88.999.1", true),
            ("88.999", "88.999.1", true),
            ("88.999.1", "88.999.10", false),
            ("88.999.1", "88.999", false),
            ("86.709", "86.7091", false),
        ] {
            assert_eq!(covers(licensed, prefix), reaches, "{licensed} {prefix}");
        }
        assert_eq!(and_above("86.709.1").collect::<Vec<_>>(), ["86.709.1", "86.709", "86"]);
    }

    #[test]
    fn only_a_prefix_as_it_is_compared_can_be_licensed() {
        assert!(is_canonical("88.999.1") && is_canonical("86.709.612") && is_canonical("test"));
        for wrong in ["", "88", "Test", "a/b", "88.999.", &"a".repeat(256)] {
            assert!(!is_canonical(wrong), "{wrong}");
        }
    }
}
