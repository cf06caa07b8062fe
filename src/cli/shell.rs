//! Words of a command that a person is shown: as a POSIX shell reads them back, so that it runs as it is printed.

use std::path::Path;

/// One word: quoted where a shell would take it for more, or for less.
#[must_use]
pub fn word(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+=:,@%".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as one word.
#[must_use]
pub fn path(path: &Path) -> String {
    word(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_back_from_a_shell_as_it_was() {
        for text in ["/var/lib/mingpai", "数据", "a b", "", "it's", "$HOME", "a;b", "*", "\"", "key=a b", "~x"] {
            let script = format!("printf %s {}", word(text));
            let said = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&said.stdout), text);
        }
        assert_eq!(word("/var/lib/数据"), "/var/lib/数据");
    }
}
