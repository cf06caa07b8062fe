//! What an administrator tells a node: a grant, a licence, an end.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::ANSWER_LIMIT_BYTES;
use crate::cli::client::{Client, ServerArguments, encode};
use crate::cli::failure::{CliError, Verdict};
use crate::cli::key_file::read_public_key;
use crate::cli::screen::Screen;
use crate::cli::token_file::TokenArguments;
use crate::sign::licence::MAX_GRANT_BYTES;

/// The node that is told, and by whom.
#[derive(Debug, Args)]
pub struct Node {
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    token: TokenArguments,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

/// What is to be ended in the same step.
#[derive(Debug, Args)]
pub struct Replacing {
    /// 同时结束现有许可的理由 / Why what is in force ends in the same step
    #[arg(long, value_name = "REASON")]
    replace: Option<Reason>,
    /// 与 compromised 同用：最后可信的日志序号 / With compromised: the last registry index at which the key was sound
    #[arg(long, value_name = "N")]
    not_after: Option<u64>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reason {
    /// 撤销 / taken back
    Revoked,
    /// 密钥泄露 / the key is known to others
    Compromised,
    /// 同一持有者换密钥 / the same holder, another key
    Rotated,
    /// 换持有者 / another holder
    Transferred,
}

impl Reason {
    fn word(self) -> &'static str {
        match self {
            Reason::Revoked => "revoked",
            Reason::Compromised => "compromised",
            Reason::Rotated => "rotated",
            Reason::Transferred => "transferred",
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai licence add grant --server https://id.example.cn --token-file admin-key")]
pub struct Add {
    /// 上级节点的授权（mingpai licence issue 的输出）；- 为标准输入 / The upper node's grant; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    #[command(flatten)]
    replacing: Replacing,
    #[command(flatten)]
    pub node: Node,
}

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai licence grant --prefix 88.999.1 --holder 示范企业 --key enterprise.jwk --token-file admin-key
  mingpai licence grant --prefix 88.999.1 --holder 新企业 --key new.jwk --replace transferred --token-file admin-key")]
pub struct Grant {
    #[arg(long)]
    prefix: String,
    /// 持有者的名称 / The holder's name
    #[arg(long, value_name = "NAME")]
    holder: String,
    /// 企业的公钥 / The enterprise's public key
    #[arg(long, value_name = "JWK|FILE")]
    key: String,
    /// 登记时须有所有者签名 / Registrations need the owner's signature
    #[arg(long)]
    require_owner_signature: bool,
    #[command(flatten)]
    replacing: Replacing,
    #[command(flatten)]
    pub node: Node,
}

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai licence end LICENCE-ID --reason compromised --not-after 4711 --token-file admin-key")]
pub struct End {
    /// 许可的编号（mingpai licence list） / The licence's id
    #[arg(value_name = "LICENCE-ID")]
    id: String,
    #[arg(long)]
    reason: Reason,
    /// 与 compromised 同用：最后可信的日志序号 / With compromised: the last registry index at which the key was sound
    #[arg(long, value_name = "N")]
    not_after: Option<u64>,
    #[command(flatten)]
    pub node: Node,
}

#[derive(Debug, Args)]
#[command(after_help = "例 Example:
  mingpai licence end-key KID --not-after 4711 --token-file admin-key

须先换用新密钥（mingpai keygen --use entry 并重启节点）。
Another key must be in use first (`mingpai keygen --use entry`, and a restart of the node).")]
pub struct EndKey {
    /// 密钥的 kid（/.well-known/jwks.json） / The key's kid
    kid: String,
    /// 最后可信的日志序号 / The last registry index at which the key was sound
    #[arg(long, value_name = "N")]
    not_after: u64,
    #[command(flatten)]
    pub node: Node,
}

impl Add {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let mut text = String::new();
        let path: &Path = &self.file;
        let limit = MAX_GRANT_BYTES as u64 + 1;
        let read = if path == Path::new("-") {
            io::stdin().take(limit).read_to_string(&mut text)
        } else {
            File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
        };
        read.map_err(CliError::file("读取", "read", path))?;
        let mut wanted = Map::new();
        wanted.insert("role".to_owned(), "node".into());
        wanted.insert("grant".to_owned(), text.trim().into());
        self.replacing.put(&mut wanted);
        self.node.tell("/v1/licences", &wanted, screen).await
    }
}

impl Grant {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let key = read_public_key(&self.key)?;
        let mut wanted = Map::new();
        wanted.insert("role".to_owned(), "enterprise".into());
        wanted.insert("prefix".to_owned(), self.prefix.as_str().into());
        wanted.insert("holder".to_owned(), self.holder.as_str().into());
        wanted.insert("key".to_owned(), json!({"kty": key.kty, "crv": key.crv, "x": key.x}));
        if self.require_owner_signature {
            wanted.insert("owner_signature".to_owned(), "required".into());
        }
        self.replacing.put(&mut wanted);
        self.node.tell("/v1/licences", &wanted, screen).await
    }
}

impl End {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let wanted = ending(self.reason, self.not_after);
        self.node.tell(&format!("/v1/licences/{}/end", encode(&self.id)), &wanted, screen).await
    }
}

impl EndKey {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let wanted = json!({"not_after": self.not_after});
        self.node.tell(&format!("/v1/signing-keys/{}/end", encode(&self.kid)), &wanted, screen).await
    }
}

fn ending(reason: Reason, not_after: Option<u64>) -> Json {
    let mut wanted = json!({"reason": reason.word()});
    if let (Some(not_after), Some(members)) = (not_after, wanted.as_object_mut()) {
        members.insert("not_after".to_owned(), not_after.into());
    }
    wanted
}

impl Replacing {
    fn put(&self, wanted: &mut Map<String, Json>) {
        if let Some(reason) = self.replace {
            wanted.insert("replace".to_owned(), ending(reason, self.not_after));
        }
    }
}

impl Node {
    /// Sends a document once, and says which statement came of it.
    async fn tell(&self, path: &str, wanted: &impl serde::Serialize, screen: Screen) -> Result<Verdict, CliError> {
        let token = self.token.required(screen)?;
        let client = Client::new(self.server.clone(), Some(&token), screen)?;
        let done: Json = client.post_json(path, wanted, ANSWER_LIMIT_BYTES).await?;
        if screen.json {
            screen.print_json(&done)?;
            return Ok(Verdict::Yes);
        }
        let text = |name: &str| done.get(name).and_then(Json::as_str).unwrap_or_default();
        screen.print(format_args!("id     {}", text("id")))?;
        screen.print(format_args!("index  {}", done.get("index").and_then(Json::as_u64).unwrap_or_default()))?;
        Ok(Verdict::Yes)
    }
}
