//! `mingpai token`: what opens a node, in a file that only its owner can read. An API key, in exchange for the bootstrap token or
//! another key; or a session's token, in exchange for a signature by the private half of a key that was registered so.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Client, ClientError, ServerArguments};
use super::failure::{CliError, Verdict};
use super::key_file::read_public_key;
use super::screen::Screen;
use super::token_file::{Token, TokenArguments};
use crate::model::principal::Role;
use crate::model::text::Text;
use crate::model::time::Timestamp;
use crate::sign::assertion::{self, Claims};
use crate::sign::keys::{KeyError, PublicJwk, SigningKey, read_signing_key};

const ANSWER_LIMIT_BYTES: usize = 64 << 10;
const DEFAULT_FILE: &str = "mingpai-token";
const DAY_SECONDS: i64 = 24 * 3600;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai token --bootstrap-file mingpai-data/bootstrap-token --out admin-key
  mingpai token --token-file admin-key --label nightly-import --expires 90d --out import-key
  mingpai token --token-file admin-key --role registrar --prefix 88.999.1 --out erp-key
  mingpai keygen --use session --keys my-keys
  mingpai token --token-file admin-key --role registrar --prefix 88.999.1 --public-key '{\"kty\":\"OKP\",…}'
  MINGPAI_TOKEN=$(mingpai token --key-file my-keys/session-….jwk --key-id ID --print)")]
pub struct NewToken {
    #[command(flatten)]
    server: ServerArguments,
    /// 启动令牌文件，只能换一次 / The node's bootstrap token, which works once
    #[arg(long, value_name = "FILE")]
    bootstrap_file: Option<PathBuf>,
    #[command(flatten)]
    token: TokenArguments,
    /// 说明用途 / What the key is for
    #[arg(long, default_value = "cli")]
    label: String,
    /// 有效期，例如 90d、12h 或 RFC 3339 时刻；缺省不过期 / How long it opens anything: 90d, 12h or a time in RFC 3339
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<Timestamp>,
    /// 角色：partner、reader、registrar、owner（须给出 --prefix）、applicant、reviewer、auditor、administrator / What it opens
    #[arg(long, default_value = "administrator", value_parser = clap::builder::PossibleValuesParser::new(Role::GIVEN.map(Role::as_str)))]
    role: String,
    /// 企业角色的前缀范围，含其下级；可多次给出 / Where partner, reader, registrar and owner count, with what is below; may be given again
    #[arg(long = "prefix", value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// 登记一把公钥（JWK 或其文件）而不发放密钥文本：其持有者以签名登录 / Registers a public key in place of a secret: its holder signs in
    #[arg(long, value_name = "JWK|FILE", conflicts_with_all = ["out", "print", "bootstrap_file"])]
    public_key: Option<String>,
    /// 以此私钥登录，取得至多 15 分钟的会话令牌 / Signs in by this private key: a session's token, good for 15 minutes at most
    #[arg(long, value_name = "FILE", requires = "key_id", conflicts_with_all = ["bootstrap_file", "token_file", "label", "expires", "role", "prefixes", "public_key"])]
    key_file: Option<PathBuf>,
    /// 登录所用密钥的编号 / The id that the key was registered under
    #[arg(long, value_name = "ID", requires = "key_file")]
    key_id: Option<String>,
    /// 登录时要求节点以此名称（issuer）自称，以免把签名交给别的节点 / The name (issuer) that the node must go by, so that another one gets no signature
    #[arg(long, value_name = "NAME", requires = "key_file")]
    audience: Option<String>,
    /// 写入的文件（0600，不覆盖） / Where to; mode 0600, never over an existing file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// 也打印到标准输出 / Print it on standard output
    #[arg(long)]
    print: bool,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct NewKey<'a> {
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    /// Unsaid where it is the usual one, which older nodes know as the only one.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    prefixes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<PublicJwk>,
}

/// Not `Debug`: it holds the key, or the session's token.
#[derive(Deserialize)]
struct MadeKey {
    id: String,
    /// None, where a public key stands for it.
    #[serde(alias = "token")]
    key: Option<String>,
    #[serde(default)]
    role: String,
    #[serde(default)]
    prefixes: Vec<String>,
    #[serde(default)]
    expires: Option<String>,
}

/// `90d`, `12h`, `30m`, or a moment.
fn expiry(text: &str) -> Result<Timestamp, Text> {
    let wrong = || {
        Text::new(
            "应为期限或时间，例如 90d、12h、2026-12-31T00:00:00Z",
            "must be a span or a time, such as 90d, 12h or 2026-12-31T00:00:00Z",
        )
    };
    let unit = match text.chars().last() {
        Some('d') => DAY_SECONDS,
        Some('h') => 3600,
        Some('m') => 60,
        _ => return Timestamp::parse(text).map_err(|_| wrong()),
    };
    let count = text.get(..text.len() - 1).and_then(|count| count.parse::<u32>().ok());
    let seconds = i64::from(count.filter(|count| *count > 0).ok_or_else(wrong)?) * unit;
    Timestamp::from_seconds(Timestamp::now().as_seconds() + seconds).map_err(|_| wrong())
}

impl NewToken {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let out = match (&self.out, self.print || self.public_key.is_some()) {
            (Some(path), _) => Some(path.as_path()),
            (None, true) => None,
            (None, false) => Some(Path::new(DEFAULT_FILE)),
        };
        let made = match (&self.key_file, &self.key_id) {
            (Some(key_file), Some(key_id)) => {
                let key = read_signing_key(key_file).map_err(|error| unreadable(&error))?;
                let file = out.map(SecretFile::create).transpose()?;
                let client = Client::new(self.server.clone(), None, screen)?;
                keep(file, sign_in(&client, &key, key_id, self.audience.as_deref()).await?)?
            }
            _ => self.make(out, screen).await?,
        };
        self.report(&made, out, screen)?;
        Ok(Verdict::Yes)
    }

    async fn make(&self, out: Option<&Path>, screen: Screen) -> Result<MadeKey, CliError> {
        let shown = match &self.bootstrap_file {
            Some(path) => Token::read(path, screen)?,
            None => self.token.required(screen)?,
        };
        let public_key = self.public_key.as_deref().map(read_public_key).transpose()?;
        // First the file: a bootstrap token works once, so its answer must not be left without a place.
        let file = out.map(SecretFile::create).transpose()?;
        let client = Client::new(self.server.clone(), Some(&shown), screen)?;
        let role = Some(self.role.as_str()).filter(|role| *role != Role::Administrator.as_str());
        let (label, expires, prefixes) = (self.label.as_str(), self.expires, self.prefixes.as_slice());
        let wanted = NewKey { label, expires, role, prefixes, public_key };
        let made: MadeKey =
            client.post_json("/v1/keys", &wanted, ANSWER_LIMIT_BYTES).await.map_err(|error| self.refused(error))?;
        keep(file, made)
    }

    fn report(&self, made: &MadeKey, out: Option<&Path>, screen: Screen) -> Result<(), CliError> {
        if screen.json {
            let label = self.key_file.is_none().then_some(&self.label);
            let mut told = json!({"id": made.id, "label": label, "role": made.role, "prefixes": made.prefixes, "expires": made.expires, "file": out});
            if let (true, Some(members)) = (self.print, told.as_object_mut()) {
                members.insert("key".to_owned(), made.key.clone().into());
            }
            return screen.print_json(&told);
        }
        let what = std::iter::once(&made.role).chain(&made.prefixes).map(String::as_str).collect::<Vec<_>>().join(" ");
        let (zh, en) = if self.key_file.is_some() { ("会话", "session") } else { ("密钥", "key") };
        screen.note(
            format!(
                "{zh} {}（{what}），{}",
                made.id,
                made.expires
                    .as_ref()
                    .map_or("长期有效，直至撤销".to_owned(), |until| format!("有效至 {until}"))
            ),
            format!("{en} {} ({what}), expires {}", made.id, made.expires.as_deref().unwrap_or("never")),
        );
        if let Some(path) = out {
            let path = path.display();
            screen.note(format!("已写入 {path}（0600）"), format!("written to {path}, mode 0600"));
        }
        if let (true, Some(key)) = (self.print, &made.key) {
            screen.print(key)?;
        }
        Ok(())
    }

    fn refused(&self, error: ClientError) -> CliError {
        match (error.status(), &self.bootstrap_file) {
            (Some(401 | 403), Some(path)) => {
                let (told, path) = (error.text(), path.display());
                CliError::Wrong(Text::new(
                    format!(
                        "{}\n{path} 已用过、已过期（24 小时）或属于另一个节点。已有管理员密钥时用 --token-file；否则重启尚无密钥的节点以得到新令牌",
                        told.zh
                    ),
                    format!(
                        "{}\n{path} was used before, is over 24 hours old, or is another node's. Use --token-file with an administrator's key; a node that has no keys yet puts a new token out at its next start",
                        told.en
                    ),
                ))
            }
            _ => error.into(),
        }
    }
}

/// What a node asks to be signed.
#[derive(Deserialize)]
struct Challenge {
    nonce: String,
    audience: String,
}

/// A session, begun by a signature over the node's challenge.
async fn sign_in(client: &Client, key: &SigningKey, key_id: &str, wanted: Option<&str>) -> Result<MadeKey, CliError> {
    let none = json!({});
    let Challenge { nonce, audience } = client.post_json("/v1/sessions/challenge", &none, ANSWER_LIMIT_BYTES).await?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != audience) {
        return Err(CliError::wrong(
            format!("节点自称 {audience:?}，而不是 {wanted:?}：没有签名"),
            format!("the node goes by {audience:?}, and not {wanted:?}: nothing was signed"),
        ));
    }
    let claims = Claims { sub: key_id.to_owned(), aud: audience, nonce, exp: None, nbf: None };
    let assertion = assertion::sign(key, &claims)
        .map_err(|error| CliError::wrong(format!("无法签名：{error}"), format!("it cannot be signed: {error}")))?;
    let asked = json!({"assertion": assertion});
    client.post_json("/v1/sessions", &asked, ANSWER_LIMIT_BYTES).await.map_err(|error| match error.status() {
        Some(401) => {
            let told = error.text();
            CliError::Wrong(Text::new(
                format!("{}\n节点没有编号为 {key_id} 的有效密钥，或其公钥不是此私钥的公钥", told.zh),
                format!(
                    "{}\nthe node has no key {key_id} in force, or its public key is not the one of this file",
                    told.en
                ),
            ))
        }
        _ => error.into(),
    })
}

fn unreadable(error: &KeyError) -> CliError {
    CliError::Wrong(error.text())
}

fn keep(file: Option<SecretFile<'_>>, made: MadeKey) -> Result<MadeKey, CliError> {
    if let Some(file) = file {
        file.keep(&made)?;
    }
    Ok(made)
}

/// A file for a secret: 0600 from its first moment, and gone again where no secret comes.
struct SecretFile<'a> {
    path: &'a Path,
    file: File,
    kept: bool,
}

impl SecretFile<'_> {
    fn create(path: &Path) -> Result<SecretFile<'_>, CliError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(CliError::file(
            "创建（不覆盖已有文件）",
            "create (existing files are left alone)",
            path,
        ))?;
        Ok(SecretFile { path, file, kept: false })
    }

    fn keep(mut self, made: &MadeKey) -> Result<(), CliError> {
        let text = made.key.as_deref().unwrap_or_default();
        let written = writeln!(self.file, "{text}").and_then(|()| self.file.sync_all());
        self.kept = written.is_ok();
        written.map_err(|error| {
            let (path, id) = (self.path.display(), &made.id);
            CliError::wrong(
                format!("密钥 {id} 已生成，但无法写入 {path}：{error}。请吊销它并重新生成"),
                format!("the key {id} was made but cannot be written to {path}: {error}; revoke it and make another"),
            )
        })
    }
}

impl Drop for SecretFile<'_> {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_span_or_a_moment() {
        let now = Timestamp::now().as_seconds();
        let in_days = expiry("90d").unwrap().as_seconds() - now;
        assert!((in_days - 90 * DAY_SECONDS).abs() <= 2);
        assert_eq!(expiry("2026-12-31T00:00:00Z").unwrap().to_string(), "2026-12-31T00:00:00Z");
        for text in ["", "d", "0d", "-1d", "90", "90y", "1.5h", "铭d", "99999999999d"] {
            assert!(expiry(text).is_err(), "{text}");
        }
    }
}
