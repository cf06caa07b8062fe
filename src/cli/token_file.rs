//! The credential that a client command shows: read from a file that others cannot read, never printed.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use http::HeaderValue;

use super::failure::CliError;
use super::screen::Screen;

/// The largest file that is read as a token.
const TOKEN_LIMIT_BYTES: u64 = 4096;
/// A token in the environment, where a file is not practical.
const TOKEN_VARIABLE: &str = "MINGPAI_TOKEN";

#[derive(Clone, Debug, Default, Args)]
pub struct TokenArguments {
    /// API 密钥文件（权限 0600）；也可用环境变量 MINGPAI_TOKEN / File with an API key, mode 0600; or MINGPAI_TOKEN
    #[arg(long, value_name = "FILE", env = "MINGPAI_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

/// Not `Debug`, not `Display`: the text leaves only as a header.
pub struct Token {
    text: String,
    /// The file or variable that it is from, as a person is told.
    source: String,
}

impl TokenArguments {
    /// The token that was named, if one was.
    pub fn token(&self, screen: Screen) -> Result<Option<Token>, CliError> {
        match (&self.token_file, std::env::var(TOKEN_VARIABLE)) {
            (Some(path), _) => Token::read(path, screen).map(Some),
            (None, Ok(text)) => Token::parse(text.trim(), TOKEN_VARIABLE).map(Some),
            (None, Err(_)) => Ok(None),
        }
    }

    /// The same where nothing goes without one.
    pub fn required(&self, screen: Screen) -> Result<Token, CliError> {
        self.token(screen)?.ok_or_else(|| {
            CliError::wrong(
                "需要 API 密钥：用 --token-file 给出文件，没有则向管理员索取（首次启动：mingpai token --bootstrap-file）",
                "an API key is needed: give its file with --token-file, ask the administrator for one (at a node's first start: `mingpai token --bootstrap-file`)",
            )
        })
    }
}

impl Token {
    /// Reads a token from a file. One that everybody can read is refused; one that its group can read is remarked upon.
    pub fn read(path: &Path, screen: Screen) -> Result<Token, CliError> {
        let failed = || CliError::file("读取密钥文件", "read the token file", path);
        let file = File::open(path).map_err(failed())?;
        let about = file.metadata().map_err(failed())?;
        let mode = about.permissions().mode() & 0o777;
        let shown = path.display();
        if about.is_file() && mode & 0o007 != 0 {
            return Err(CliError::wrong(
                format!(
                    "{shown} 任何人都可访问（权限 {mode:04o}），拒绝使用：请运行 chmod 600 {shown}，并考虑换一个新密钥"
                ),
                format!(
                    "{shown} is open to everybody (mode {mode:04o}) and is not used: run `chmod 600 {shown}`, and consider a new key"
                ),
            ));
        }
        if about.is_file() && mode & 0o070 != 0 {
            screen.note(
                format!("注意：{shown} 可被同组用户访问（权限 {mode:04o}），建议 chmod 600"),
                format!("note: the group can reach {shown} (mode {mode:04o}); `chmod 600` is better"),
            );
        }
        let mut text = String::new();
        file.take(TOKEN_LIMIT_BYTES).read_to_string(&mut text).map_err(failed())?;
        Token::parse(text.trim(), &shown.to_string())
    }

    /// `source` names where it is from, for the complaint; the text itself is never repeated.
    fn parse(text: &str, source: &str) -> Result<Token, CliError> {
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits {
            Ok(Token { text: text.to_owned(), source: source.to_owned() })
        } else {
            Err(CliError::wrong(
                format!("{source} 里不是一个密钥：应为一行可见字符"),
                format!("{source} holds no token: one line of visible characters is expected"),
            ))
        }
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// `Authorization`, marked so that no debug output shows it.
    pub fn header(&self) -> Result<HeaderValue, CliError> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.text))
            .map_err(|_| CliError::wrong("密钥含有不可用的字符", "the token has characters that no header takes"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}
