//! The known key that a mistyped one most likely meant.

use toml::{Table, Value};

/// The known key with the fewest edits to `wanted`.
pub(super) fn nearest(wanted: &str, known: &Table, lists: &[(&str, &Table)]) -> String {
    let mut keys = Vec::new();
    for (name, value) in known {
        keys.push(name.clone());
        if let Value::Table(section) = value {
            keys.extend(section.keys().map(|inner| format!("{name}.{inner}")));
        }
    }
    keys.extend(lists.iter().flat_map(|(name, member)| member.keys().map(move |inner| format!("{name}.{inner}"))));
    keys.into_iter().min_by_key(|key| edits(wanted, key)).unwrap_or_default()
}

/// Levenshtein's distance in bytes.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, a) in from.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.bytes()) {
            let here = (diagonal + usize::from(a != b)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::edits;

    #[test]
    fn edits_counts_insertions_deletions_and_changes() {
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("http.listn", "http.listen"), 1);
        assert_eq!(edits("same", "same"), 0);
    }
}
