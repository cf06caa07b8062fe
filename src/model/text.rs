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

/// The English half: logs are read by tools.
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.en)
    }
}

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
}
