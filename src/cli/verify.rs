//! `mingpai verify`: is an entry genuine? Offline; only `--server` fetches keys, and only keys.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value as Json, json};

use super::client::{Client, Server, ServerArguments};
use super::failure::{CliError, Verdict};
use super::key_file::{ed25519_keys, read_public_key};
use super::screen::Screen;
use crate::sign::keys::PublicJwk;
use crate::sign::verify::{Finding, Known, Report, verify_document};

/// The largest file that is read as an entry, or as keys.
const DOCUMENT_LIMIT_BYTES: u64 = 64 << 20;
const JWKS_LIMIT_BYTES: usize = 4 << 20;

#[derive(Debug, Args)]
#[command(after_help = "例 Examples:
  mingpai verify a1.json --jwks keys.json
  mingpai verify entry.sdjwt --jwks keys.json --identifier 88.999.1/A1 --issuer https://id.example.cn
  mingpai resolve 88.999.1/A1 --entry --json | mingpai verify - --server http://127.0.0.1:8080

退出码 Exit codes: 0 真 genuine · 1 假 not genuine · 2 无法判断 could not tell")]
pub struct Verify {
    /// 条目，或带 entry 的解析结果；- 为标准输入 / An entry, or a resolution with one; - reads standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// 节点的公钥（/.well-known/jwks.json 的内容） / The node's public keys
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    jwks: Option<PathBuf>,
    /// 从节点取公钥：信任此连接 / Fetch the keys from the node, trusting this connection
    #[arg(long, value_name = "URL")]
    server: Option<Server>,
    /// https：信任此文件中的根证书（PEM） / https: trust the roots in this file (PEM)
    #[arg(long, value_name = "FILE", env = "MINGPAI_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// 应为此标识（或其别名） / It must be about this identifier, or an alias of it
    #[arg(long, value_name = "ID")]
    identifier: Option<String>,
    /// 应由此节点签发 / It must be issued by this node
    #[arg(long, value_name = "URI")]
    issuer: Option<String>,
    /// 所信任的上级节点公钥，用以核对许可 / The upper node's public key, to judge licences by
    #[arg(long, value_name = "JWK|FILE")]
    upper_key: Option<String>,
    /// JSON
    #[arg(long)]
    pub json: bool,
}

impl Verify {
    pub async fn run(&self, screen: Screen) -> Result<Verdict, CliError> {
        let keys = self.keys(screen).await?;
        let upper = self.upper_key.as_deref().map(read_public_key).transpose()?;
        let document = read_document(&self.file)?;
        let report = verify_document(
            &document,
            Known {
                keys: &keys,
                identifier: self.identifier.as_deref(),
                issuer: self.issuer.as_deref(),
                upper: upper.as_ref(),
                are_licences_proven: false,
            },
        );
        let verdict = match report.verdict() {
            Finding::Pass => Verdict::Yes,
            Finding::Fail => Verdict::No,
            Finding::Unknown => Verdict::Unknown,
        };
        print(&report, verdict, screen)?;
        Ok(verdict)
    }

    async fn keys(&self, screen: Screen) -> Result<Vec<PublicJwk>, CliError> {
        let document: Json = match (&self.jwks, &self.server) {
            (Some(path), _) => serde_json::from_slice(&read_document(path)?).map_err(|error| {
                let path = path.display();
                CliError::wrong(
                    format!("公钥文件 {path} 不是 JSON：{error}"),
                    format!("the key file {path} is not JSON: {error}"),
                )
            })?,
            (None, Some(server)) => {
                let client = Client::new(
                    ServerArguments { server: server.clone(), ca_file: self.ca_file.clone() },
                    None,
                    screen,
                )?;
                client.ask_json("/.well-known/jwks.json", JWKS_LIMIT_BYTES).await?
            }
            (None, None) => return Ok(Vec::new()),
        };
        let keys = ed25519_keys(&document);
        if keys.is_empty() {
            screen.note("给出的公钥里没有可用的 Ed25519 公钥", "there is no usable Ed25519 key among the given keys");
        }
        Ok(keys)
    }
}

fn print(report: &Report, verdict: Verdict, screen: Screen) -> Result<(), CliError> {
    if screen.json {
        return screen.print_json(&json!({
            "genuine": match verdict {
                Verdict::Yes => Json::Bool(true),
                Verdict::No => Json::Bool(false),
                Verdict::Unknown => Json::Null,
            },
            "steps": report.steps,
            "not_checked": left_out(report),
        }));
    }
    for step in &report.steps {
        let mark = match step.finding {
            Finding::Pass => screen.pick("通过", "pass   "),
            Finding::Unknown => screen.pick("未知", "unknown"),
            Finding::Fail => screen.pick("失败", "FAIL   "),
        };
        let detail = step.detail.in_language(screen.language);
        screen.print(format_args!("{mark}  {:<12} {detail}", step.name))?;
    }
    match verdict {
        Verdict::Yes => screen.say("结论：真", "verdict: genuine")?,
        Verdict::No => screen.say("结论：假，不可信", "verdict: NOT genuine")?,
        Verdict::Unknown => screen.say("结论：无法判断", "verdict: cannot tell")?,
    }
    screen.note(
        "未检查：条目是否在日志中、是否为最新版本（需要证明或联网解析）",
        "not checked: that the entry is in the log, and that it is the newest version (that takes a proof, or resolving)",
    );
    Ok(())
}

/// What only a proof, a node or more statements could tell.
fn left_out(report: &Report) -> Vec<&'static str> {
    let mut left = vec!["log_inclusion", "newest_version"];
    if !report.steps.iter().any(|step| step.name == "statements") {
        left.push("licences");
    }
    left
}

fn read_document(path: &Path) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(DOCUMENT_LIMIT_BYTES + 1).read_to_end(&mut bytes))
    };
    read.map_err(CliError::file("读取", "read", path))?;
    if bytes.len() as u64 > DOCUMENT_LIMIT_BYTES {
        let path = path.display();
        return Err(CliError::wrong(
            format!("{path} 超过 64 MiB，不会是条目"),
            format!("{path} is over 64 MiB: that is no entry"),
        ));
    }
    Ok(bytes)
}
