//! What a person or a script reads: answers on standard output, everything else on standard error.
//!
//! Text that came from elsewhere may hold escape sequences; none reaches a terminal. A closed pipe ends a command, it is
//! no panic.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::failure::CliError;
use crate::model::text::{Language, Text};

/// Where a command writes, and for whom.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub language: Language,
    /// Answers are JSON.
    pub json: bool,
}

impl Screen {
    /// The half of a text that this reader reads.
    #[must_use]
    pub fn pick<'t>(&self, zh: &'t str, en: &'t str) -> &'t str {
        match self.language {
            Language::Zh => zh,
            Language::En => en,
        }
    }

    /// A line of the answer.
    pub fn print(&self, line: impl Display) -> Result<(), CliError> {
        let line = printable(&line.to_string());
        write_out(format!("{line}\n").as_bytes())
    }

    /// A line of the answer in the reader's language.
    pub fn say(&self, zh: impl Display, en: impl Display) -> Result<(), CliError> {
        match self.language {
            Language::Zh => self.print(zh),
            Language::En => self.print(en),
        }
    }

    /// A script or a page that another program reads, byte for byte.
    pub fn print_whole(bytes: &[u8]) -> Result<(), CliError> {
        write_out(bytes)
    }

    /// The answer as JSON, for a script.
    pub fn print_json(&self, answer: &impl Serialize) -> Result<(), CliError> {
        let mut text = serde_json::to_vec_pretty(answer).map_err(|error| {
            CliError::wrong(
                format!("结果无法写成 JSON：{error}"),
                format!("the result does not encode as JSON: {error}"),
            )
        })?;
        text.push(b'\n');
        write_out(&text)
    }

    /// A remark beside the answer. That nobody reads it is no failure.
    pub fn note(&self, zh: impl Display, en: impl Display) {
        let line = match self.language {
            Language::Zh => zh.to_string(),
            Language::En => en.to_string(),
        };
        let _ = writeln!(io::stderr(), "{}", printable(&line));
    }

    pub fn note_text(&self, text: &Text) {
        self.note(&text.zh, &text.en);
    }

    /// Whether progress is watched by a person.
    #[must_use]
    pub fn is_watched() -> bool {
        io::stderr().is_terminal()
    }
}

fn write_out(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::OutputClosed,
        _ => CliError::wrong(format!("无法写标准输出：{error}"), format!("cannot write to standard output: {error}")),
    })
}

/// The text without what a terminal would obey: control characters but line ends and tabs become U+FFFD, and so do the
/// characters that turn the direction of text.
#[must_use]
pub fn printable(text: &str) -> String {
    let obeyed = |letter: char| {
        (letter.is_control() && letter != '\n' && letter != '\t')
            || matches!(letter, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if obeyed(letter) { '\u{FFFD}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_does_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\n铭\u{202e}牌"), "a\u{fffd}[2Jb\tc\n铭\u{fffd}牌");
    }
}
