//! A message to a person, in Chinese and in English.
//!
//! Not a translation table: whoever has something to say writes both at once, so that neither can be forgotten.

use std::{fmt, io};

/// The languages that every message exists in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    Zh,
    En,
}

/// One message, twice.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Text {
    pub zh: String,
    pub en: String,
}

impl Text {
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// Why the operating system said no; what it did not say itself stays as it is.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        let told = error.to_string();
        if error.raw_os_error().is_none() {
            return Self::new(told.clone(), told);
        }
        let zh = match error.kind() {
            io::ErrorKind::NotFound => return Self::new("文件或目录不存在", "no such file or folder"),
            io::ErrorKind::PermissionDenied => return Self::new("没有权限", "permission denied"),
            io::ErrorKind::AlreadyExists => "文件已存在",
            io::ErrorKind::IsADirectory => "这是一个目录",
            io::ErrorKind::NotADirectory => "路径中有一段不是目录",
            io::ErrorKind::ReadOnlyFilesystem => "文件系统只读",
            io::ErrorKind::StorageFull => "磁盘空间不足",
            io::ErrorKind::AddrInUse => "地址已被占用",
            io::ErrorKind::AddrNotAvailable => "本机没有该地址",
            io::ErrorKind::ConnectionRefused => "连接被拒绝",
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => "连接被对方断开",
            io::ErrorKind::TimedOut => "超时",
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "网络不通",
            _ => return Self::new(told.clone(), told),
        };
        Self::new(zh, told)
    }

    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::Zh => &self.zh,
            Language::En => &self.en,
        }
    }
}

/// A count with its English noun, given in the singular: "1 entry", "2 entries".
#[must_use]
pub fn counted(count: impl fmt::Display, noun: &str) -> String {
    let count = count.to_string();
    if count == "1" {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{count} {stem}ies"),
        _ if noun.ends_with(['s', 'x']) || noun.ends_with("ch") => format!("{count} {noun}es"),
        _ => format!("{count} {noun}s"),
    }
}

/// The English half: logs are read by tools.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

/// So that a reader of arguments can give it as its reason: clap shows the English half, cli/mistake the Chinese one.
impl std::error::Error for Text {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_language_gets_its_own_half() {
        let text = Text::new("标识为空", "the identifier is empty");
        assert_eq!(text.in_language(Language::Zh), "标识为空");
        assert_eq!(text.in_language(Language::En), "the identifier is empty");
        assert_eq!(text.to_string(), "the identifier is empty");
    }

    #[test]
    fn one_thing_is_named_in_the_singular_and_every_other_number_in_the_plural() {
        for (count, noun, told) in [
            (0, "entry", "0 entries"),
            (1, "entry", "1 entry"),
            (2, "entry", "2 entries"),
            (1, "segment", "1 segment"),
            (21, "segment", "21 segments"),
            (1, "row", "1 row"),
            (0, "row", "0 rows"),
            (11, "day", "11 days"),
            (2, "witness", "2 witnesses"),
            (1, "witness", "1 witness"),
            (3, "prefix", "3 prefixes"),
            (2, "branch", "2 branches"),
            (1, "new frame", "1 new frame"),
            (2, "new frame", "2 new frames"),
        ] {
            assert_eq!(counted(count, noun), told);
        }
    }
}
